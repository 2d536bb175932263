/*
 * ubl.h - an invoice result as a UBL 2.1 invoice or credit note after EN 16931.
 *
 * A document that breaks a mandatory rule of the standard is not written: a repaired
 * e-invoice with invented values is worse than none.  Only what follows from printed
 * values is derived: the number of a line, a country from a VAT number's prefix, a unit's
 * code from its printed name, VAT category S from a rate above 0, sums of lines, the VAT
 * breakdown from the lines' rates (which must then give the printed total), the amount due
 * from total, paid amount and rounding.
 */
#ifndef DP_UBL_H
#define DP_UBL_H

#include "route_facts.h"

/* The XML, or NULL and in *broken the rules that it would break: array of {id, text}, in
 * the names of EN 16931.  Caller frees either. */
char *dp_ubl_write(const dp_route_facts *facts, json_t **broken);

#endif

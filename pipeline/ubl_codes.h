/*
 * ubl_codes.h - is this one of the codes that EN 16931 allows?
 */
#ifndef DP_UBL_CODES_H
#define DP_UBL_CODES_H

#include <glib.h>

/* 380, 384 …, and those of a credit note: 381 …; some are both. */
gboolean dp_ubl_is_invoice_type(const char *code);
gboolean dp_ubl_is_credit_type(const char *code);
gboolean dp_ubl_is_currency(const char *code);
gboolean dp_ubl_is_country(const char *code);
gboolean dp_ubl_is_unit(const char *code);

#endif

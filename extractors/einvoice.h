/*
 * einvoice.h - the invoice inside the file: CII (Factur-X, ZUGFeRD 1 and 2, XRechnung) and
 * UBL (invoice, credit note) XML to the canonical invoice fields.
 *
 * GLib's GMarkup reads the XML: it resolves no entities but the five of XML, fetches
 * nothing, and ignores a DOCTYPE, so the usual attacks have nothing to hold on to; libxml2
 * would be a larger library with all of these to be switched off.
 */
#ifndef DX_EINVOICE_H
#define DX_EINVOICE_H

#include "dx.h"

#define DX_XML_BYTES_MAX    (32u << 20)
#define DX_XML_DEPTH_MAX    64u
#define DX_XML_ELEMENTS_MAX 500000u
#define DX_XML_VALUE_MAX    65536u /* bytes of text in one element that are kept */

/* Whether an attachment is worth a try: a known name or the look of XML. */
gboolean dx_einvoice_sniff(const char *name, GBytes *content);

/* Read `content`; `name` is for messages.  Returns an object of plain values with nested
 * names (seller.name, totals.gross_total, lines[]...), amounts as strings; fields that the
 * XML lacks are left out.  `format` (may be NULL) receives "cii", "zugferd1" or "ubl"
 * (constant).  NULL and DX_SOURCE when it is no such invoice or broken, DX_LIMIT past a
 * limit.  The caller owns the result. */
json_t *dx_einvoice_read(const char *name, GBytes *content, const char **format,
                         GError **error);

#endif

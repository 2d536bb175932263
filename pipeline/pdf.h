/* pdf.h - what pdf.c and pdf_text.c share of an open PDF. */
#ifndef DP_PDF_H
#define DP_PDF_H

#include "render_format.h"

#include <poppler.h>

struct dp_pdf {
    const dp_source *source;
    PopplerDocument *document;
    GList *attachments; /* of PopplerAttachment */
    uint32_t page_count;
    gboolean is_encrypted;
};

/* Poppler 22.12 brings none. */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PopplerPage, g_object_unref)

/* A page with a sane size, or NULL.  The caller owns it. */
PopplerPage *dp_pdf_page(dp_pdf *pdf, uint32_t page_index, GError **error);

#endif

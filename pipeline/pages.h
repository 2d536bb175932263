/*
 * pages.h - inside docvl-render: a decoded document of any kind behind one table.
 */
#ifndef DP_PAGES_H
#define DP_PAGES_H

#include <glib.h>
#include <stdint.h>

#include "render.h"
#include "render_proto.h"

typedef struct dp_pages dp_pages;

typedef struct dp_raster {
    uint8_t *data; /* g_malloc, rows without gaps */
    uint32_t width, height, channels;
} dp_raster;

struct dp_pages {
    dp_file_kind kind;
    uint32_t count, attachment_count, field_count;
    gboolean is_encrypted;
    void *state;
    const uint8_t *bytes;
    gsize length;
    gboolean (*page)(dp_pages *, uint32_t index, dp_render_reply *, GError **);
    gboolean (*render)(dp_pages *, const dp_render_request *, dp_raster *, GError **);
    GString *(*text)(dp_pages *, uint32_t index, uint32_t words_max, GError **);
    GBytes *(*attachment)(dp_pages *, const dp_render_request *, char **name, GError **);
    GString *(*fields)(dp_pages *, GError **);
};

/* Words and fields travel as lines: x0 y0 x1 y1 size TAB text. */

gboolean dp_pdf_open(dp_pages *pages, const dp_render_request *request, GError **error);
gboolean dp_tiff_open(dp_pages *pages, const dp_render_request *request, GError **error);
gboolean dp_png_open(dp_pages *pages, const dp_render_request *request, GError **error);
gboolean dp_jpeg_open(dp_pages *pages, const dp_render_request *request, GError **error);

/* Width and height within the limits?  Names what is too large. */
gboolean dp_size_check(uint64_t width, uint64_t height, const dp_render_request *limits,
                       GError **error);
/* Sets `error`; FALSE. */
gboolean dp_bad(GError **error, dp_render_code code, const char *format, ...) G_GNUC_PRINTF(3, 4);

#endif

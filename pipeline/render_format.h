/*
 * render_format.h - what the readers inside docvl-render offer to its main loop.
 *
 * Everything here runs in the worker, on one thread, behind the sandbox.  A dp_source
 * is borrowed by every reader and outlives it.  Errors are in DP_RENDER_ERROR, without
 * the document's name (the client adds it) and without document contents.
 */
#ifndef DP_RENDER_FORMAT_H
#define DP_RENDER_FORMAT_H

#include "render.h"

typedef struct dp_source {
    const uint8_t *data;
    size_t bytes;
    dp_render_limits limits;
    char **passwords; /* NULL-terminated */
} dp_source;

/* An 8-bit picture in memory. */
typedef struct dp_image {
    uint32_t width, height, channels; /* 1 grey or 3 RGB */
    size_t row_bytes;
    uint8_t *data;
    gboolean is_damaged; /* a part could not be decoded */
} dp_image;

/* Size and resolution of a picture before its orientation is applied. */
typedef struct dp_image_head {
    uint32_t width, height;
    uint32_t orientation; /* 1 to 8 as in TIFF and EXIF */
    double x_dpi, y_dpi;  /* 0 when unknown */
} dp_image_head;

/* Tell a file's kind by its content. */
gboolean dp_sniff(const uint8_t *data, size_t bytes, dp_file_kind *kind);

/* Refuse sizes over the limits; `page_index` is used in the message. */
gboolean dp_image_check(const dp_source *source, uint32_t page_index, uint64_t width,
                        uint64_t height, GError **error);
dp_image *dp_image_new(uint32_t width, uint32_t height, uint32_t channels,
                       GError **error);
void dp_image_free(dp_image *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_image, dp_image_free)
/* Turn a picture upright; takes `image`. */
dp_image *dp_image_orient(dp_image *image, uint32_t orientation, GError **error);
/* Resample by area coverage and convert the channels into `out`, whose rows are
 * width * channels bytes. */
gboolean dp_image_write(const dp_image *image, uint8_t *out, uint32_t width,
                        uint32_t height, uint32_t channels, GError **error);
void dp_image_head_page_info(const dp_image_head *head, dp_page_info *info);
/* CMYK, 0 is no ink. */
void dp_cmyk_to_rgb(const uint8_t cmyk[4], uint8_t rgb[3]);

gboolean dp_png_head(const dp_source *source, dp_image_head *head, GError **error);
dp_image *dp_png_decode(const dp_source *source, GError **error);

gboolean dp_jpeg_head(const dp_source *source, dp_image_head *head, GError **error);
dp_image *dp_jpeg_decode(const dp_source *source, GError **error);

typedef struct dp_tiff dp_tiff;
dp_tiff *dp_tiff_open(const dp_source *source, GError **error);
void dp_tiff_free(dp_tiff *tiff);
uint32_t dp_tiff_page_count(const dp_tiff *tiff);
gboolean dp_tiff_head(dp_tiff *tiff, uint32_t page_index, dp_image_head *head,
                      GError **error);
dp_image *dp_tiff_decode(dp_tiff *tiff, uint32_t page_index, GError **error);

typedef struct dp_pdf dp_pdf;
/* Load what fontconfig, Poppler and iconv open lazily, before the sandbox closes. */
void dp_pdf_preload(void);
dp_pdf *dp_pdf_open(const dp_source *source, GError **error);
void dp_pdf_free(dp_pdf *pdf);
uint32_t dp_pdf_page_count(const dp_pdf *pdf);
uint32_t dp_pdf_attachment_count(const dp_pdf *pdf);
gboolean dp_pdf_is_encrypted(const dp_pdf *pdf);
gboolean dp_pdf_page_info(dp_pdf *pdf, uint32_t page_index, dp_page_info *info,
                          GError **error);
/* Draw a page into `out`, whose rows are width * channels bytes. */
gboolean dp_pdf_render(dp_pdf *pdf, uint32_t page_index, uint8_t *out, uint32_t width,
                       uint32_t height, uint32_t channels, GError **error);
/* Records as in render_proto.h. */
GByteArray *dp_pdf_text(dp_pdf *pdf, uint32_t page_index, uint32_t *count,
                        GError **error);
GByteArray *dp_pdf_fields(dp_pdf *pdf, uint32_t *count, GError **error);
/* Name without NUL, then the content. */
GByteArray *dp_pdf_attachment(dp_pdf *pdf, uint32_t index, uint32_t *name_bytes,
                              GError **error);

/* Lower the process's limits and rights for good.  The worker ends itself with an
 * error text on failure: without a sandbox it must not read a document. */
gboolean dp_render_sandbox(const dp_render_limits *limits, GError **error);
/* What it consists of here, in words: "seccomp, Landlock 3".  Caller frees. */
char *dp_render_sandbox_facts(void);

#endif

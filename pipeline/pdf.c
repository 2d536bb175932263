/*
 * pdf.c - PDF pages through Poppler and cairo.
 *
 * cairo surfaces end at 32,767 pixels per side and cost four bytes per pixel, so a
 * page is drawn as tiles of bounded size that join without a seam.
 */
#include "pdf.h"
#include "render_proto.h"

#include <math.h>
#include <poppler.h>
#include <string.h>

#define TILE_SIDE_MAX   16384u
#define TILE_PIXELS_MAX (32u << 20)
#define IMAGES_MAX      64u   /* pictures of a page that are measured */
#define PROBE_SIDE      256.0 /* pixels of the drawing that looks for visible text */

PopplerPage *dp_pdf_page(dp_pdf *pdf, uint32_t page_index, GError **error)
{
    g_assert(page_index < pdf->page_count);
    PopplerPage *page = poppler_document_get_page(pdf->document, (int)page_index);
    double width = 0, height = 0;
    if (page != NULL)
        poppler_page_get_size(page, &width, &height);
    if (isfinite(width) && isfinite(height) && width > 0 && height > 0)
        return page;
    g_clear_object(&page);
    g_set_error(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                "page %u: the page is damaged", page_index + 1);
    return NULL;
}

/* Poppler does not tell whether the empty password was needed; the trailer does. */
static gboolean has_encrypt_entry(const dp_source *source)
{
    const uint8_t *at = source->data, *end = at + source->bytes;
    while ((at = memmem(at, (size_t)(end - at), "/Encrypt", 8)) != NULL) {
        at += 8;
        const uint8_t *next = at;
        while (next < end && g_ascii_isspace(*next))
            next++;
        if (next < end && (g_ascii_isdigit(*next) || *next == '<'))
            return TRUE;
    }
    return FALSE;
}

static PopplerDocument *open_with(GBytes *bytes, const dp_source *source, GError **error)
{
    g_autoptr(GError) local = NULL;
    PopplerDocument *document = poppler_document_new_from_bytes(bytes, NULL, &local);
    for (char **p = source->passwords; document == NULL && p != NULL && *p != NULL; p++) {
        if (!g_error_matches(local, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
            break;
        g_clear_error(&local);
        document = poppler_document_new_from_bytes(bytes, *p, &local);
    }
    if (document != NULL)
        return document;
    if (g_error_matches(local, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED))
        g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_ENCRYPTED,
                            "encrypted, and none of the passwords opens it");
    else
        g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                            "the PDF structure is damaged");
    return NULL;
}

dp_pdf *dp_pdf_open(const dp_source *source, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new_static(source->data, source->bytes);
    PopplerDocument *document = open_with(bytes, source, error);
    if (document == NULL)
        return NULL;
    dp_pdf *pdf = g_new0(dp_pdf, 1);
    pdf->source = source;
    pdf->document = document;
    pdf->is_encrypted = has_encrypt_entry(source);
    int pages = poppler_document_get_n_pages(document);
    if (pages <= 0 || (uint32_t)pages > source->limits.pages_max) {
        if (pages <= 0)
            g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                                "the PDF has no pages");
        else
            g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT, "%d pages, limit %u",
                        pages, source->limits.pages_max);
        g_clear_pointer(&pdf, dp_pdf_free);
        return NULL;
    }
    pdf->page_count = (uint32_t)pages;
    if (poppler_document_has_attachments(document))
        pdf->attachments = poppler_document_get_attachments(document);
    if (g_list_length(pdf->attachments) > DP_ATTACHMENTS_MAX) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT, "%u attachments, limit %u",
                    g_list_length(pdf->attachments), DP_ATTACHMENTS_MAX);
        g_clear_pointer(&pdf, dp_pdf_free);
    }
    return pdf;
}

void dp_pdf_free(dp_pdf *pdf)
{
    if (pdf == NULL)
        return;
    g_list_free_full(pdf->attachments, g_object_unref);
    g_clear_object(&pdf->document);
    g_free(pdf);
}

uint32_t dp_pdf_page_count(const dp_pdf *pdf)
{
    return pdf->page_count;
}

uint32_t dp_pdf_attachment_count(const dp_pdf *pdf)
{
    return g_list_length(pdf->attachments);
}

gboolean dp_pdf_is_encrypted(const dp_pdf *pdf)
{
    return pdf->is_encrypted;
}

/* How much of the page its pictures cover, and the resolution of the finest one that
 * fills it (mixed raster content has a coarse background under a fine mask). */
static double measure_images(PopplerPage *page, double page_area, double *dpi)
{
    GList *list = poppler_page_get_image_mapping(page);
    double covered = 0;
    uint32_t seen = 0;
    *dpi = 0;
    for (GList *at = list; at != NULL && seen < IMAGES_MAX; at = at->next, seen++) {
        const PopplerImageMapping *m = at->data;
        double area = fabs((m->area.x2 - m->area.x1) * (m->area.y2 - m->area.y1));
        double share = area / page_area;
        if (!isfinite(share) || share < 0.8)
            continue;
        covered = MAX(covered, MIN(share, 1.0));
        cairo_surface_t *image = poppler_page_get_image(page, m->image_id);
        if (image == NULL)
            continue;
        double pixels = (double)cairo_image_surface_get_width(image) *
                        cairo_image_surface_get_height(image);
        *dpi = MAX(*dpi, 72.0 * sqrt(pixels / area));
        cairo_surface_destroy(image);
    }
    poppler_page_free_image_mapping(list);
    return covered;
}

static void count_glyphs(cairo_surface_t *observer, cairo_surface_t *target, void *data)
{
    (*(uint32_t *)data)++;
}

/* Invisible text (render mode 3) reaches the text layer but never cairo. */
static uint32_t count_drawn_texts(PopplerPage *page, double width, double height)
{
    double scale = PROBE_SIDE / MAX(width, height);
    uint32_t count = 0;
    cairo_surface_t *image = cairo_image_surface_create(
        CAIRO_FORMAT_RGB24, (int)MAX(1, width * scale), (int)MAX(1, height * scale));
    cairo_surface_t *observer =
        cairo_surface_create_observer(image, CAIRO_SURFACE_OBSERVER_NORMAL);
    (void)cairo_surface_observer_add_glyphs_callback(observer, count_glyphs, &count);
    cairo_t *cr = cairo_create(observer);
    cairo_scale(cr, scale, scale);
    poppler_page_render(page, cr);
    cairo_destroy(cr);
    cairo_surface_destroy(observer);
    cairo_surface_destroy(image);
    return count;
}

static uint32_t count_words(const char *text, uint32_t words_max)
{
    uint32_t words = 0;
    gboolean is_inside = FALSE;
    for (const char *p = text; *p != '\0' && words <= words_max;
         p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        gboolean is_gap = g_unichar_isspace(c) || g_unichar_iscntrl(c);
        words += !is_gap && !is_inside;
        is_inside = !is_gap;
    }
    return words;
}

gboolean dp_pdf_page_info(dp_pdf *pdf, uint32_t page_index, dp_page_info *info,
                          GError **error)
{
    g_autoptr(PopplerPage) page = dp_pdf_page(pdf, page_index, error);
    if (page == NULL)
        return FALSE;
    *info = (dp_page_info){ 0 };
    poppler_page_get_size(page, &info->width_pt, &info->height_pt);
    double covered =
        measure_images(page, info->width_pt * info->height_pt, &info->scan_dpi);
    g_autofree char *text = poppler_page_get_text(page);
    uint32_t words = text == NULL ? 0 : count_words(text, pdf->source->limits.words_max);
    info->has_text = words > 0;
    if (words > 0) {
        uint32_t drawn = count_drawn_texts(page, info->width_pt, info->height_pt);
        /* A scan may carry a drawn stamp or page number above its OCR layer. */
        info->is_text_hidden = drawn == 0 || (covered > 0 && drawn * 10 < words);
    }
    return TRUE;
}

static void copy_tile(cairo_surface_t *surface, uint32_t w, uint32_t h, uint8_t *out,
                      size_t row_bytes, uint32_t channels)
{
    const uint8_t *data = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (uint32_t y = 0; y < h; y++) {
        const uint8_t *in = data + (size_t)y * (size_t)stride;
        uint8_t *to = out + y * row_bytes;
        for (uint32_t x = 0; x < w; x++, in += 4) {
            uint32_t pixel;
            memcpy(&pixel, in, sizeof pixel);
            uint32_t r = pixel >> 16 & 255, g = pixel >> 8 & 255, b = pixel & 255;
            if (channels == 1) {
                *to++ = (uint8_t)((77 * r + 150 * g + 29 * b + 128) >> 8);
            } else {
                *to++ = (uint8_t)r;
                *to++ = (uint8_t)g;
                *to++ = (uint8_t)b;
            }
        }
    }
}

typedef struct tile {
    uint32_t x, y, width, height;
    double x_scale, y_scale;
} tile;

static gboolean draw_tile(PopplerPage *page, const tile *t, uint8_t *out,
                          size_t row_bytes, uint32_t channels)
{
    cairo_surface_t *surface =
        cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)t->width, (int)t->height);
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_translate(cr, -(double)t->x, -(double)t->y);
    cairo_scale(cr, t->x_scale, t->y_scale);
    poppler_page_render(page, cr);
    cairo_destroy(cr);
    cairo_surface_flush(surface);
    /* A failed drawing operation leaves the context in error, not the surface: what
     * was drawn before it stays, as in every viewer. */
    gboolean is_good = cairo_surface_status(surface) == CAIRO_STATUS_SUCCESS;
    if (is_good)
        copy_tile(surface, t->width, t->height, out, row_bytes, channels);
    cairo_surface_destroy(surface);
    return is_good;
}

gboolean dp_pdf_render(dp_pdf *pdf, uint32_t page_index, uint8_t *out, uint32_t width,
                       uint32_t height, uint32_t channels, GError **error)
{
    g_autoptr(PopplerPage) page = dp_pdf_page(pdf, page_index, error);
    if (page == NULL)
        return FALSE;
    double width_pt, height_pt;
    poppler_page_get_size(page, &width_pt, &height_pt);
    size_t row_bytes = (size_t)width * channels;
    uint32_t tile_width = MIN(width, TILE_SIDE_MAX);
    uint32_t tile_height = MIN(MIN(height, TILE_SIDE_MAX), TILE_PIXELS_MAX / tile_width);
    for (uint32_t y = 0; y < height; y += tile_height) {
        for (uint32_t x = 0; x < width; x += tile_width) {
            tile t = { x,
                       y,
                       MIN(tile_width, width - x),
                       MIN(tile_height, height - y),
                       width / width_pt,
                       height / height_pt };
            if (!draw_tile(page, &t, out + y * row_bytes + (size_t)x * channels,
                           row_bytes, channels)) {
                g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                            "page %u: no memory to draw %u x %u px", page_index + 1,
                            width, height);
                return FALSE;
            }
        }
    }
    return TRUE;
}

/* A page with the standard fonts; Poppler rebuilds the missing cross-reference. */
void dp_pdf_preload(void)
{
    static const char pdf_text[] =
        "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R/Resources"
        "<</Font<</A<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
        "/B<</Type/Font/Subtype/Type1/BaseFont/Times-Roman>>"
        "/C<</Type/Font/Subtype/Type1/BaseFont/Courier>>"
        "/D<</Type/Font/Subtype/Type1/BaseFont/Symbol>>"
        "/E<</Type/Font/Subtype/Type1/BaseFont/ZapfDingbats>>>>>>>>endobj\n"
        "4 0 obj<</Length 77>>stream\n"
        "BT /A 9 Tf (a) Tj /B 9 Tf (b) Tj /C 9 Tf (c) Tj /D 9 Tf (d) Tj /E 9 Tf (e) Tj "
        "ET\n"
        "endstream endobj\ntrailer<</Root 1 0 R/Size 5>>\n%%EOF\n";
    /* glibc loads these converters as modules; afterwards nothing may be mapped
     * executable.  They stay open for the life of the process. */
    static const char *const charsets[] = { "UTF-16BE", "UTF-16", "ISO-8859-1" };
    for (gsize i = 0; i < G_N_ELEMENTS(charsets); i++)
        (void)g_iconv_open("UTF-8", charsets[i]);
    dp_source source = { (const uint8_t *)pdf_text,
                         sizeof pdf_text - 1,
                         { .pages_max = 1, .words_max = 100 },
                         NULL };
    dp_pdf *pdf = dp_pdf_open(&source, NULL);
    uint8_t pixels[32 * 32];
    dp_page_info info;
    /* A failure here is none of the document's: its own pages will tell. */
    if (pdf != NULL && dp_pdf_page_info(pdf, 0, &info, NULL))
        (void)dp_pdf_render(pdf, 0, pixels, 32, 32, 1, NULL);
    dp_pdf_free(pdf);
}

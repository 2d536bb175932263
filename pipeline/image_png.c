/*
 * image_png.c - PNG through libpng, flattened on white.
 *
 * A file that ends early keeps the rows that arrived: libpng leaves by longjmp, so
 * everything that must survive the jump lives in the reader struct, not in locals.
 */
#include "render_format.h"

#include <png.h>
#include <string.h>

#define CHUNK_BYTES_MAX (8u << 20) /* of an ancillary chunk: profiles, texts */

typedef struct reader {
    const dp_source *source;
    size_t at;
    png_structp png;
    png_infop info;
    dp_image *image;
    uint8_t *raw; /* one row, or the whole picture when interlaced */
    uint32_t raw_channels;
    uint32_t rows_done;
} reader;

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    reader *r = png_get_io_ptr(png);
    if (n > r->source->bytes - r->at)
        png_error(png, "end of data");
    memcpy(out, r->source->data + r->at, n);
    r->at += n;
}

static void on_error(png_structp png, png_const_charp text)
{
    (void)text; /* it may quote the file */
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void reader_clear(reader *r)
{
    if (r->png != NULL)
        png_destroy_read_struct(&r->png, &r->info, NULL);
    g_clear_pointer(&r->raw, g_free);
    g_clear_pointer(&r->image, dp_image_free);
}

static gboolean fail_unreadable(GError **error)
{
    g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                        "page 1: the PNG picture is damaged");
    return FALSE;
}

static gboolean reader_start(reader *r, const dp_source *source, GError **error)
{
    *r = (reader){ .source = source };
    r->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r, on_error, on_warning);
    r->info = r->png == NULL ? NULL : png_create_info_struct(r->png);
    if (r->info == NULL || setjmp(png_jmpbuf(r->png)) != 0)
        return fail_unreadable(error);
    png_set_read_fn(r->png, r, read_bytes);
    /* Our own check follows and names the limit; libpng's would only say "invalid". */
    png_set_user_limits(r->png, 0x7fffffff, 0x7fffffff);
    png_set_chunk_malloc_max(r->png, CHUNK_BYTES_MAX);
    png_set_crc_action(r->png, PNG_CRC_QUIET_USE, PNG_CRC_QUIET_USE);
    png_read_info(r->png, r->info);
    return TRUE;
}

static void fill_head(reader *r, dp_image_head *head)
{
    png_uint_32 x = 0, y = 0;
    int unit = PNG_RESOLUTION_UNKNOWN;
    *head = (dp_image_head){ .width = png_get_image_width(r->png, r->info),
                             .height = png_get_image_height(r->png, r->info),
                             .orientation = 1 };
    if (png_get_pHYs(r->png, r->info, &x, &y, &unit) != 0 &&
        unit == PNG_RESOLUTION_METER) {
        head->x_dpi = x * 0.0254;
        head->y_dpi = y * 0.0254;
    }
}

gboolean dp_png_head(const dp_source *source, dp_image_head *head, GError **error)
{
    reader r;
    gboolean is_good = reader_start(&r, source, error);
    if (is_good) {
        fill_head(&r, head);
        is_good = dp_image_check(source, 0, head->width, head->height, error);
    }
    reader_clear(&r);
    return is_good;
}

/* Put one row of grey, grey + alpha, RGB or RGBA on white paper. */
static void flatten_row(const uint8_t *in, uint32_t in_channels, uint8_t *out,
                        uint32_t width)
{
    uint32_t colours = in_channels >= 3 ? 3 : 1;
    if (colours == in_channels) {
        memcpy(out, in, (size_t)width * colours);
        return;
    }
    for (uint32_t x = 0; x < width; x++, in += in_channels) {
        uint32_t alpha = in[colours];
        for (uint32_t k = 0; k < colours; k++)
            *out++ = (uint8_t)((in[k] * alpha + 255u * (255u - alpha) + 127u) / 255u);
    }
}

static void read_rows(reader *r)
{
    dp_image *image = r->image;
    gboolean is_interlaced =
        png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE;
    size_t row_bytes = (size_t)image->width * r->raw_channels;
    int passes = png_set_interlace_handling(r->png);
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < image->height; y++) {
            uint8_t *raw = r->raw + (is_interlaced ? y * row_bytes : 0);
            png_read_row(r->png, raw, NULL);
            if (!is_interlaced)
                flatten_row(raw, r->raw_channels, image->data + y * image->row_bytes,
                            image->width);
            r->rows_done++;
        }
    }
}

static gboolean prepare(reader *r, GError **error)
{
    dp_image_head head;
    fill_head(r, &head);
    if (!dp_image_check(r->source, 0, head.width, head.height, error))
        return FALSE;
    if (setjmp(png_jmpbuf(r->png)) != 0)
        return fail_unreadable(error);
    png_set_expand(r->png);
    png_set_scale_16(r->png);
    (void)png_set_interlace_handling(r->png); /* read_rows() asks again for the count */
    png_read_update_info(r->png, r->info);
    r->raw_channels = png_get_channels(r->png, r->info);
    size_t row_bytes = (size_t)head.width * r->raw_channels;
    if (png_get_rowbytes(r->png, r->info) != row_bytes)
        return fail_unreadable(error);
    gboolean is_interlaced =
        png_get_interlace_type(r->png, r->info) != PNG_INTERLACE_NONE;
    r->raw = g_try_malloc_n(is_interlaced ? head.height : 1, row_bytes);
    if (r->raw == NULL) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "page 1: no memory for %u x %u px", head.width, head.height);
        return FALSE;
    }
    memset(r->raw, 255, row_bytes * (is_interlaced ? head.height : 1));
    r->image = dp_image_new(head.width, head.height, r->raw_channels >= 3 ? 3 : 1, error);
    return r->image != NULL;
}

/* setjmp with nothing in the frame that a jump could lose. */
static void read_picture(reader *r)
{
    if (setjmp(png_jmpbuf(r->png)) != 0) {
        r->image->is_damaged = TRUE;
        return;
    }
    read_rows(r);
}

dp_image *dp_png_decode(const dp_source *source, GError **error)
{
    reader r;
    dp_image *result = NULL;
    if (reader_start(&r, source, error) && prepare(&r, error)) {
        read_picture(&r);
        gboolean is_interlaced =
            png_get_interlace_type(r.png, r.info) != PNG_INTERLACE_NONE;
        for (uint32_t y = 0; is_interlaced && y < r.image->height; y++)
            flatten_row(r.raw + (size_t)y * r.image->width * r.raw_channels,
                        r.raw_channels, r.image->data + y * r.image->row_bytes,
                        r.image->width);
        if (r.rows_done == 0)
            (void)fail_unreadable(error);
        else
            result = g_steal_pointer(&r.image);
    }
    reader_clear(&r);
    return result;
}

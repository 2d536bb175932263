/*
 * images.c - TIFF, PNG and JPEG to upright 8-bit rasters.
 */
#include "pages.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>
#include <turbojpeg.h>

/* ---- shared ------------------------------------------------------------------------- */

static uint8_t grey_of(uint32_t r, uint32_t g, uint32_t b)
{
    return (uint8_t)((r * 19595 + g * 38470 + b * 7471 + 32768) >> 16);
}

/* Orientation as in TIFF and EXIF (1..8); the result is upright.  Takes `in`. */
static dp_raster upright(dp_raster in, uint32_t orientation)
{
    if (orientation < 2 || orientation > 8)
        return in;
    gboolean is_swapped = orientation >= 5;
    dp_raster out = { g_malloc((gsize)in.width * in.height * in.channels),
                      is_swapped ? in.height : in.width, is_swapped ? in.width : in.height, in.channels };
    for (uint32_t y = 0; y < out.height; y++)
        for (uint32_t x = 0; x < out.width; x++) {
            uint32_t sx = is_swapped ? y : x, sy = is_swapped ? x : y;
            if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8)
                sx = in.width - 1 - sx;
            if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7)
                sy = in.height - 1 - sy;
            memcpy(out.data + ((gsize)y * out.width + x) * in.channels,
                   in.data + ((gsize)sy * in.width + sx) * in.channels, in.channels);
        }
    g_free(in.data);
    return out;
}

/* Mean over the source pixels of every target pixel; only ever smaller.  Takes `in`. */
static dp_raster shrunk(dp_raster in, uint32_t width, uint32_t height)
{
    if (width == 0 || height == 0 || (width == in.width && height == in.height))
        return in;
    dp_raster out = { g_malloc((gsize)width * height * in.channels), width, height, in.channels };
    for (uint32_t y = 0; y < height; y++) {
        uint32_t y0 = (uint32_t)((uint64_t)y * in.height / height);
        uint32_t y1 = MAX(y0 + 1, (uint32_t)((uint64_t)(y + 1) * in.height / height));
        for (uint32_t x = 0; x < width; x++) {
            uint32_t x0 = (uint32_t)((uint64_t)x * in.width / width);
            uint32_t x1 = MAX(x0 + 1, (uint32_t)((uint64_t)(x + 1) * in.width / width));
            for (uint32_t c = 0; c < in.channels; c++) {
                uint64_t sum = 0;
                for (uint32_t j = y0; j < y1; j++)
                    for (uint32_t i = x0; i < x1; i++)
                        sum += in.data[((gsize)j * in.width + i) * in.channels + c];
                uint64_t n = (uint64_t)(y1 - y0) * (x1 - x0);
                out.data[((gsize)y * width + x) * in.channels + c] = (uint8_t)((sum + n / 2) / n);
            }
        }
    }
    g_free(in.data);
    return out;
}

static dp_raster as_channels(dp_raster in, uint32_t channels)
{
    if (in.channels == channels)
        return in;
    gsize n = (gsize)in.width * in.height;
    dp_raster out = { g_malloc(n * channels), in.width, in.height, channels };
    for (gsize i = 0; i < n; i++)
        if (channels == 1)
            out.data[i] = grey_of(in.data[3 * i], in.data[3 * i + 1], in.data[3 * i + 2]);
        else
            memset(out.data + 3 * i, in.data[i], 3);
    g_free(in.data);
    return out;
}

static void finish(dp_raster raw, uint32_t orientation, const dp_render_request *q, dp_raster *out)
{
    *out = shrunk(upright(as_channels(raw, q->channels), orientation), q->width, q->height);
}

typedef struct still { /* a picture of one page */
    uint32_t width, height, orientation;
    double dpi_x, dpi_y;
} still;

static void page_facts(uint32_t width, uint32_t height, uint32_t orientation, double dpi_x,
                       double dpi_y, dp_render_reply *r)
{
    gboolean is_swapped = orientation >= 5 && orientation <= 8;
    gboolean is_sane = dpi_x >= 20 && dpi_x <= 4800 && dpi_y >= 20 && dpi_y <= 4800;
    double w = width * 72.0 / (is_sane ? dpi_x : 72), h = height * 72.0 / (is_sane ? dpi_y : 72);
    r->width = is_swapped ? height : width;
    r->height = is_swapped ? width : height;
    r->width_pt = is_swapped ? h : w;
    r->height_pt = is_swapped ? w : h;
}

static gboolean still_page(dp_pages *pages, uint32_t index, dp_render_reply *r, GError **error)
{
    const still *s = pages->state;
    page_facts(s->width, s->height, s->orientation, s->dpi_x, s->dpi_y, r);
    return TRUE;
}

/* ---- PNG ------------------------------------------------------------------------------ */

typedef struct png_input {
    const uint8_t *at;
    gsize left;
} png_input;

static void png_read_memory(png_structp png, png_bytep to, png_size_t n)
{
    png_input *in = png_get_io_ptr(png);
    if (n > in->left)
        png_error(png, "the file ends early");
    memcpy(to, in->at, n);
    in->at += n;
    in->left -= n;
}

static void png_fail(png_structp png, png_const_charp text)
{
    GError **error = png_get_error_ptr(png);
    dp_bad(error, DP_RENDER_UNREADABLE, "damaged PNG (%s)", text);
    png_longjmp(png, 1);
}

static void png_quiet(png_structp png, png_const_charp text)
{
}

/* Reads the header, and the pixels with `out`.  Locals that longjmp could clobber are
 * volatile or set before setjmp. */
static gboolean png_decode(dp_pages *pages, const dp_render_request *q, still *s, dp_raster *out,
                           GError **error)
{
    png_input in = { pages->bytes, pages->length };
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, error, png_fail, png_quiet);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    uint8_t *volatile data = NULL;
    png_bytep *volatile rows = NULL;
    if (info == NULL || setjmp(png_jmpbuf(png)) != 0) {
        png_destroy_read_struct(&png, &info, NULL);
        g_free(data);
        g_free(rows);
        return dp_bad(error, DP_RENDER_UNREADABLE, "damaged PNG");
    }
    png_set_user_limits(png, q->side_max, q->side_max);
    png_set_read_fn(png, &in, png_read_memory);
    png_read_info(png, info);
    s->width = png_get_image_width(png, info);
    s->height = png_get_image_height(png, info);
    s->dpi_x = png_get_x_pixels_per_meter(png, info) * 0.0254;
    s->dpi_y = png_get_y_pixels_per_meter(png, info) * 0.0254;
    s->orientation = 1;
    gboolean is_ok = dp_size_check(s->width, s->height, q, error);
    if (is_ok && out != NULL) {
        png_set_expand(png);
        png_set_scale_16(png);
        png_set_gray_to_rgb(png);
        png_color_16 white = { 0, 255, 255, 255, 255 };
        png_set_background(png, &white, PNG_BACKGROUND_GAMMA_SCREEN, 0, 1);
        png_set_strip_alpha(png);
        (void)png_set_interlace_handling(png);
        png_read_update_info(png, info);
        gsize row_bytes = png_get_rowbytes(png, info);
        if (row_bytes != 3 * (gsize)s->width)
            png_error(png, "unexpected row size");
        data = g_malloc(row_bytes * s->height);
        rows = g_new(png_bytep, s->height);
        for (uint32_t y = 0; y < s->height; y++)
            rows[y] = data + y * row_bytes;
        png_read_image(png, rows);
        finish((dp_raster){ data, s->width, s->height, 3 }, 1, q, out);
        g_free(rows);
    }
    png_destroy_read_struct(&png, &info, NULL);
    return is_ok;
}

static gboolean png_render(dp_pages *pages, const dp_render_request *q, dp_raster *out, GError **error)
{
    still s = { 0 };
    return png_decode(pages, q, &s, out, error);
}

gboolean dp_png_open(dp_pages *pages, const dp_render_request *q, GError **error)
{
    still *s = g_new0(still, 1);
    if (!png_decode(pages, q, s, NULL, error)) {
        g_free(s);
        return FALSE;
    }
    pages->state = s;
    pages->count = 1;
    pages->page = still_page;
    pages->render = png_render;
    return TRUE;
}

/* ---- JPEG ------------------------------------------------------------------------------ */

static uint32_t exif_u16(const uint8_t *p, gboolean is_big)
{
    return is_big ? (uint32_t)(p[0] << 8 | p[1]) : (uint32_t)(p[1] << 8 | p[0]);
}

static uint32_t exif_u32(const uint8_t *p, gboolean is_big)
{
    return is_big ? exif_u16(p, TRUE) << 16 | exif_u16(p + 2, TRUE)
                  : exif_u16(p + 2, FALSE) << 16 | exif_u16(p, FALSE);
}

/* EXIF 2.3: TIFF header behind "Exif\0\0", tag 0x0112 of the first directory. */
static uint32_t exif_orientation(const uint8_t *p, gsize n)
{
    if (n < 14 || memcmp(p, "Exif\0\0", 6) != 0)
        return 1;
    p += 6;
    n -= 6;
    gboolean is_big = p[0] == 'M';
    uint32_t at = exif_u32(p + 4, is_big);
    if (at > n - 2 || n < 10)
        return 1;
    uint32_t count = exif_u16(p + at, is_big);
    for (uint32_t i = 0; i < count && at + 2 + 12 * (i + 1) <= n; i++) {
        const uint8_t *entry = p + at + 2 + 12 * i;
        if (exif_u16(entry, is_big) == 0x0112) {
            uint32_t v = exif_u16(entry + 8, is_big);
            return v >= 1 && v <= 8 ? v : 1;
        }
    }
    return 1;
}

static void jpeg_markers(const uint8_t *b, gsize n, still *s)
{
    for (gsize i = 2; i + 4 <= n && b[i] == 0xff && b[i + 1] != 0xda && b[i + 1] != 0xd9;) {
        gsize length = (gsize)(b[i + 2] << 8 | b[i + 3]);
        if (length < 2 || i + 2 + length > n)
            return;
        const uint8_t *p = b + i + 4;
        if (b[i + 1] == 0xe1)
            s->orientation = MAX(s->orientation, exif_orientation(p, length - 2));
        if (b[i + 1] == 0xe0 && length >= 14 && memcmp(p, "JFIF", 5) == 0 && p[7] > 0) {
            double unit = p[7] == 2 ? 2.54 : 1;
            s->dpi_x = (p[8] << 8 | p[9]) * unit;
            s->dpi_y = (p[10] << 8 | p[11]) * unit;
        }
        i += 2 + length;
    }
}

static gboolean jpeg_render(dp_pages *pages, const dp_render_request *q, dp_raster *out, GError **error)
{
    const still *s = pages->state;
    tjhandle tj = tjInitDecompress();
    int width, height, sampling, space;
    gboolean is_ok = tj != NULL && tjDecompressHeader3(tj, pages->bytes, pages->length, &width, &height,
                                                       &sampling, &space) == 0;
    gboolean is_cmyk = is_ok && (space == TJCS_CMYK || space == TJCS_YCCK);
    gsize n = is_ok ? (gsize)width * (gsize)height : 0;
    uint8_t *data = is_ok ? g_malloc0(n * (is_cmyk ? 4 : 3)) : NULL;
    if (is_ok && tjDecompress2(tj, pages->bytes, pages->length, data, width, 0, height,
                               is_cmyk ? TJPF_CMYK : TJPF_RGB, 0) != 0)
        is_ok = tjGetErrorCode(tj) == TJERR_WARNING; /* truncated: what is there is kept */
    if (!is_ok) {
        dp_bad(error, DP_RENDER_UNREADABLE, "damaged JPEG (%s)", tj != NULL ? tjGetErrorStr2(tj) : "no memory");
        g_free(data);
    }
    if (tj != NULL)
        tjDestroy(tj);
    if (!is_ok)
        return FALSE;
    if (is_cmyk) /* Adobe stores the complement, and so do all others in practice */
        for (gsize i = 0; i < n; i++)
            for (gsize c = 0; c < 3; c++)
                data[3 * i + c] = (uint8_t)(data[4 * i + c] * data[4 * i + 3] / 255);
    finish((dp_raster){ data, (uint32_t)width, (uint32_t)height, 3 }, s->orientation, q, out);
    return TRUE;
}

gboolean dp_jpeg_open(dp_pages *pages, const dp_render_request *q, GError **error)
{
    tjhandle tj = tjInitDecompress();
    int width = 0, height = 0, sampling, space;
    gboolean is_ok = tj != NULL && tjDecompressHeader3(tj, pages->bytes, pages->length, &width, &height,
                                                       &sampling, &space) == 0;
    if (!is_ok)
        dp_bad(error, DP_RENDER_UNREADABLE, "damaged JPEG (%s)", tj != NULL ? tjGetErrorStr2(tj) : "no memory");
    if (tj != NULL)
        tjDestroy(tj);
    if (!is_ok || !dp_size_check((uint64_t)width, (uint64_t)height, q, error))
        return FALSE;
    still *s = g_new0(still, 1);
    *s = (still){ (uint32_t)width, (uint32_t)height, 1, 0, 0 };
    jpeg_markers(pages->bytes, pages->length, s);
    pages->state = s;
    pages->count = 1;
    pages->page = still_page;
    pages->render = jpeg_render;
    return TRUE;
}

/* ---- TIFF ------------------------------------------------------------------------------ */

typedef struct tiff_input {
    const uint8_t *bytes;
    toff_t length, at;
} tiff_input;

static tmsize_t tiff_read(thandle_t h, void *to, tmsize_t n)
{
    tiff_input *in = h;
    if (n < 0 || in->at >= in->length)
        return 0;
    toff_t take = MIN((toff_t)n, in->length - in->at);
    memcpy(to, in->bytes + in->at, take);
    in->at += take;
    return (tmsize_t)take;
}

static tmsize_t tiff_write(thandle_t h, void *from, tmsize_t n)
{
    return 0;
}

static toff_t tiff_seek(thandle_t h, toff_t offset, int whence)
{
    tiff_input *in = h;
    in->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? in->at + offset : in->length + offset;
    return in->at;
}

static int tiff_close(thandle_t h)
{
    return 0;
}

static toff_t tiff_size(thandle_t h)
{
    return ((tiff_input *)h)->length;
}

static gboolean tiff_facts(TIFF *tif, uint32_t *w, uint32_t *h, uint16_t *orientation, double *dpi_x,
                           double *dpi_y, GError **error)
{
    float x = 0, y = 0;
    uint16_t unit = RESUNIT_INCH;
    if (!TIFFGetField(tif, TIFFTAG_IMAGEWIDTH, w) || !TIFFGetField(tif, TIFFTAG_IMAGELENGTH, h))
        return dp_bad(error, DP_RENDER_UNREADABLE, "a TIFF page without a size");
    TIFFGetFieldDefaulted(tif, TIFFTAG_ORIENTATION, orientation);
    TIFFGetFieldDefaulted(tif, TIFFTAG_RESOLUTIONUNIT, &unit);
    (void)TIFFGetField(tif, TIFFTAG_XRESOLUTION, &x); /* absent: 0 */
    (void)TIFFGetField(tif, TIFFTAG_YRESOLUTION, &y);
    double scale = unit == RESUNIT_CENTIMETER ? 2.54 : unit == RESUNIT_INCH ? 1 : 0;
    *dpi_x = x * scale;
    *dpi_y = y * scale;
    return TRUE;
}

static gboolean tiff_page(dp_pages *pages, uint32_t index, dp_render_reply *r, GError **error)
{
    uint32_t w, h;
    uint16_t orientation = 1;
    double x, y;
    if (!TIFFSetDirectory(pages->state, (tdir_t)index) ||
        !tiff_facts(pages->state, &w, &h, &orientation, &x, &y, error))
        return dp_bad(error, DP_RENDER_UNREADABLE, "the page cannot be read");
    page_facts(w, h, orientation, x, y, r);
    return TRUE;
}

static gboolean tiff_render(dp_pages *pages, const dp_render_request *q, dp_raster *out, GError **error)
{
    TIFF *tif = pages->state;
    uint32_t w, h;
    uint16_t orientation = 1;
    double x, y;
    char why[1024] = "";
    if (!TIFFSetDirectory(tif, (tdir_t)q->page) || !tiff_facts(tif, &w, &h, &orientation, &x, &y, error))
        return dp_bad(error, DP_RENDER_UNREADABLE, "the page cannot be read");
    if (!dp_size_check(w, h, q, error))
        return FALSE;
    if (!TIFFRGBAImageOK(tif, why))
        return dp_bad(error, DP_RENDER_UNREADABLE, "%s", why);
    uint32_t *rgba = g_try_malloc_n((gsize)w * h, 4);
    if (rgba == NULL)
        return dp_bad(error, DP_RENDER_LIMIT, "no memory for %u x %u pixels", w, h);
    /* libtiff turns rows to the asked origin, but never swaps the axes */
    if (!TIFFReadRGBAImageOriented(tif, w, h, rgba, ORIENTATION_TOPLEFT, 0)) {
        g_free(rgba);
        return dp_bad(error, DP_RENDER_UNREADABLE, "damaged TIFF data");
    }
    uint8_t *rgb = g_malloc((gsize)w * h * 3);
    for (gsize i = 0; i < (gsize)w * h; i++) {
        uint32_t alpha = TIFFGetA(rgba[i]); /* premultiplied: the rest is white paper */
        rgb[3 * i] = (uint8_t)MIN(255, TIFFGetR(rgba[i]) + 255 - alpha);
        rgb[3 * i + 1] = (uint8_t)MIN(255, TIFFGetG(rgba[i]) + 255 - alpha);
        rgb[3 * i + 2] = (uint8_t)MIN(255, TIFFGetB(rgba[i]) + 255 - alpha);
    }
    g_free(rgba);
    finish((dp_raster){ rgb, w, h, 3 }, orientation >= 5 ? 5 : 1, q, out);
    return TRUE;
}

static void tiff_quiet(const char *module, const char *format, va_list list)
{
}

gboolean dp_tiff_open(dp_pages *pages, const dp_render_request *q, GError **error)
{
    TIFFSetErrorHandler(tiff_quiet);
    TIFFSetWarningHandler(tiff_quiet);
    tiff_input *in = g_new0(tiff_input, 1);
    *in = (tiff_input){ pages->bytes, pages->length, 0 };
    TIFF *tif = TIFFClientOpen("document", "rm", in, tiff_read, tiff_write, tiff_seek, tiff_close,
                               tiff_size, NULL, NULL);
    if (tif == NULL) {
        g_free(in);
        return dp_bad(error, DP_RENDER_UNREADABLE, "damaged TIFF");
    }
    uint32_t count = 0;
    do
        count++;
    while (count <= q->pages_max && TIFFReadDirectory(tif));
    pages->state = tif;
    pages->count = count;
    pages->page = tiff_page;
    pages->render = tiff_render;
    return TRUE;
}

/*
 * image_tiff.c - TIFF pages through libtiff, from memory.
 *
 * Strips and tiles are read one block at a time, unpacked to one byte per sample and
 * turned into grey or RGB here, so CMYK, 16 bit and planar files work alike and a
 * damaged block costs only its own part of the picture.  What this does not cover
 * (subsampled YCbCr, CIE L*a*b*, old-style JPEG) goes through TIFFReadRGBAImage.
 */
#include "render_format.h"

#include <stdio.h>
#include <string.h>
#include <tiffio.h>

#define SAMPLES_MAX     8u
#define BLOCK_BYTES_MAX (512u << 20)

struct dp_tiff {
    const dp_source *source;
    uint64_t at; /* read position */
    TIFF *tif;
    GArray *offsets; /* of uint64_t: directories that are pages */
};

/* What one directory says. */
typedef struct layout {
    uint32_t width, height;
    uint32_t block_width, block_height;
    uint16_t bits, samples, photometric, planar, compression, format;
    gboolean is_tiled, is_inked; /* inked: CMYK */
    const uint16_t *map[3];      /* palette; owned by libtiff */
    gboolean is_map_wide;        /* palette entries use 16 bits */
} layout;

static tmsize_t io_read(thandle_t handle, void *out, tmsize_t n)
{
    dp_tiff *t = handle;
    if (n <= 0 || t->at >= t->source->bytes)
        return 0;
    size_t count = MIN((uint64_t)n, t->source->bytes - t->at);
    memcpy(out, t->source->data + t->at, count);
    t->at += count;
    return (tmsize_t)count;
}

static tmsize_t io_write(thandle_t handle, void *in, tmsize_t n)
{
    return -1;
}

static toff_t io_seek(thandle_t handle, toff_t offset, int whence)
{
    dp_tiff *t = handle;
    if (whence == SEEK_SET)
        t->at = offset;
    else if (whence == SEEK_CUR)
        t->at += offset;
    else
        t->at = t->source->bytes + offset;
    return t->at;
}

static int io_close(thandle_t handle)
{
    return 0;
}

static toff_t io_size(thandle_t handle)
{
    return ((dp_tiff *)handle)->source->bytes;
}

static dp_image *fail_page(uint32_t page_index, const char *what, GError **error)
{
    g_set_error(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE, "page %u: %s",
                page_index + 1, what);
    return NULL;
}

/* Thumbnails and masks are not pages. */
static gboolean is_page(TIFF *tif)
{
    uint32_t type = 0;
    return TIFFGetField(tif, TIFFTAG_SUBFILETYPE, &type) != 1 ||
           (type & (FILETYPE_REDUCEDIMAGE | FILETYPE_MASK)) == 0;
}

static gboolean list_pages(dp_tiff *t, GError **error)
{
    uint32_t pages_max = t->source->limits.pages_max;
    uint64_t first = TIFFCurrentDirOffset(t->tif);
    uint32_t directories = 0;
    do {
        uint64_t offset = TIFFCurrentDirOffset(t->tif);
        if (is_page(t->tif))
            g_array_append_val(t->offsets, offset);
        /* Thumbnails do not count, but their number needs an end too. */
        if (t->offsets->len > pages_max || ++directories > 4 * (uint64_t)pages_max + 16) {
            g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                        "more than %u pages, the limit", pages_max);
            return FALSE;
        }
    } while (TIFFReadDirectory(t->tif) == 1);
    if (t->offsets->len == 0)
        g_array_append_val(t->offsets, first);
    return TRUE;
}

dp_tiff *dp_tiff_open(const dp_source *source, GError **error)
{
    dp_tiff *t = g_new0(dp_tiff, 1);
    t->source = source;
    t->offsets = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    /* Their texts may quote the file. */
    (void)TIFFSetErrorHandler(NULL);
    (void)TIFFSetWarningHandler(NULL);
    TIFFOpenOptions *opts = TIFFOpenOptionsAlloc();
    if (opts != NULL) {
        TIFFOpenOptionsSetMaxSingleMemAlloc(opts, BLOCK_BYTES_MAX);
        t->tif = TIFFClientOpenExt("document", "rm", t, io_read, io_write, io_seek,
                                   io_close, io_size, NULL, NULL, opts);
        TIFFOpenOptionsFree(opts);
    }
    if (t->tif == NULL) {
        g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                            "the TIFF structure is damaged");
        g_clear_pointer(&t, dp_tiff_free);
    } else if (!list_pages(t, error)) {
        g_clear_pointer(&t, dp_tiff_free);
    }
    return t;
}

void dp_tiff_free(dp_tiff *t)
{
    if (t == NULL)
        return;
    if (t->tif != NULL)
        TIFFClose(t->tif);
    g_array_unref(t->offsets);
    g_free(t);
}

uint32_t dp_tiff_page_count(const dp_tiff *t)
{
    return t->offsets->len;
}

gboolean dp_tiff_head(dp_tiff *t, uint32_t page_index, dp_image_head *head,
                      GError **error)
{
    g_assert(page_index < t->offsets->len);
    if (TIFFSetSubDirectory(t->tif, g_array_index(t->offsets, uint64_t, page_index)) != 1)
        return fail_page(page_index, "the TIFF directory is damaged", error) != NULL;
    uint16_t orientation = 1, unit = RESUNIT_INCH;
    float x = 0, y = 0;
    *head = (dp_image_head){ .orientation = 1 };
    (void)TIFFGetField(t->tif, TIFFTAG_IMAGEWIDTH, &head->width);
    (void)TIFFGetField(t->tif, TIFFTAG_IMAGELENGTH, &head->height);
    (void)TIFFGetFieldDefaulted(t->tif, TIFFTAG_ORIENTATION, &orientation);
    (void)TIFFGetFieldDefaulted(t->tif, TIFFTAG_RESOLUTIONUNIT, &unit);
    (void)TIFFGetField(t->tif, TIFFTAG_XRESOLUTION, &x);
    (void)TIFFGetField(t->tif, TIFFTAG_YRESOLUTION, &y);
    double scale = unit == RESUNIT_CENTIMETER ? 2.54 : unit == RESUNIT_INCH ? 1 : 0;
    if (orientation >= 1 && orientation <= 8)
        head->orientation = orientation;
    head->x_dpi = (double)x * scale;
    head->y_dpi = (double)y * scale;
    return dp_image_check(t->source, page_index, head->width, head->height, error);
}

static void read_palette(TIFF *tif, layout *l)
{
    uint16_t *r = NULL, *g = NULL, *b = NULL;
    if (TIFFGetField(tif, TIFFTAG_COLORMAP, &r, &g, &b) != 1)
        return;
    l->map[0] = r;
    l->map[1] = g;
    l->map[2] = b;
    /* Old writers stored 8-bit entries although the field has 16. */
    for (uint32_t i = 0; i < 1u << l->bits; i++)
        l->is_map_wide |= r[i] > 255 || g[i] > 255 || b[i] > 255;
}

static void read_layout(TIFF *tif, const dp_image_head *head, layout *l)
{
    *l = (layout){ .width = head->width, .height = head->height, .photometric = 0xffff };
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_BITSPERSAMPLE, &l->bits);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLESPERPIXEL, &l->samples);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_PLANARCONFIG, &l->planar);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_COMPRESSION, &l->compression);
    (void)TIFFGetFieldDefaulted(tif, TIFFTAG_SAMPLEFORMAT, &l->format);
    if (TIFFGetField(tif, TIFFTAG_PHOTOMETRIC, &l->photometric) != 1) {
        gboolean is_fax = l->compression >= COMPRESSION_CCITTRLE &&
                          l->compression <= COMPRESSION_CCITTFAX4;
        l->photometric = l->samples >= 3 ? PHOTOMETRIC_RGB
                         : is_fax        ? PHOTOMETRIC_MINISWHITE
                                         : PHOTOMETRIC_MINISBLACK;
    }
    /* The JPEG codec converts for us; then the samples are plain RGB. */
    if (l->compression == COMPRESSION_JPEG && l->photometric == PHOTOMETRIC_YCBCR &&
        l->planar == PLANARCONFIG_CONTIG &&
        TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB) == 1)
        l->photometric = PHOTOMETRIC_RGB;
    l->is_tiled = TIFFIsTiled(tif) != 0;
    l->block_width = l->width;
    if (l->is_tiled) {
        (void)TIFFGetField(tif, TIFFTAG_TILEWIDTH, &l->block_width);
        (void)TIFFGetField(tif, TIFFTAG_TILELENGTH, &l->block_height);
    } else {
        (void)TIFFGetFieldDefaulted(tif, TIFFTAG_ROWSPERSTRIP, &l->block_height);
        l->block_height = MIN(l->block_height, l->height);
    }
    l->is_inked = l->photometric == PHOTOMETRIC_SEPARATED;
    if (l->photometric == PHOTOMETRIC_PALETTE && l->bits <= 16)
        read_palette(tif, l);
}

/* Whether our own path reads this layout; otherwise libtiff's RGBA one has to. */
static gboolean is_plain(const layout *l)
{
    if (l->bits < 1 || l->bits > 16 || l->samples < 1 || l->samples > SAMPLES_MAX ||
        l->block_width == 0 || l->block_height == 0 ||
        (l->format != SAMPLEFORMAT_UINT && l->format != SAMPLEFORMAT_VOID))
        return FALSE;
    switch (l->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        return TRUE;
    case PHOTOMETRIC_PALETTE:
        return l->map[0] != NULL;
    case PHOTOMETRIC_RGB:
        return l->samples >= 3;
    case PHOTOMETRIC_SEPARATED:
        return l->samples >= 4;
    default:
        return FALSE;
    }
}

/* Samples of one row as full-range bytes; palette indices are kept as 16 bits. */
static void unpack_row(const layout *l, const uint8_t *in, uint16_t *out, uint32_t n,
                       uint32_t stride)
{
    gboolean is_index = l->photometric == PHOTOMETRIC_PALETTE;
    uint32_t top = (1u << l->bits) - 1, have = 0, acc = 0;
    for (uint32_t i = 0; i < n; i++, out += stride) {
        uint32_t value;
        if (l->bits == 8) {
            value = in[i];
        } else if (l->bits == 16) {
            uint16_t wide; /* libtiff has put it in host order */
            memcpy(&wide, in + 2 * (size_t)i, sizeof wide);
            value = wide;
        } else {
            while (have < l->bits) {
                acc = acc << 8 | *in++;
                have += 8;
            }
            have -= l->bits;
            value = acc >> have & top;
        }
        *out =
            (uint16_t)(is_index || l->bits == 8 ? value : (value * 255 + top / 2) / top);
    }
}

static void put_pixel(const layout *l, const uint16_t *in, uint8_t *out)
{
    switch (l->photometric) {
    case PHOTOMETRIC_MINISWHITE:
        out[0] = (uint8_t)(255 - in[0]);
        break;
    case PHOTOMETRIC_MINISBLACK:
        out[0] = (uint8_t)in[0];
        break;
    case PHOTOMETRIC_PALETTE:
        for (int k = 0; k < 3; k++)
            out[k] = (uint8_t)(l->is_map_wide ? l->map[k][in[0]] >> 8 : l->map[k][in[0]]);
        break;
    case PHOTOMETRIC_SEPARATED: {
        uint8_t ink[4] = { (uint8_t)in[0], (uint8_t)in[1], (uint8_t)in[2],
                           (uint8_t)in[3] };
        dp_cmyk_to_rgb(ink, out);
        break;
    }
    default:
        for (int k = 0; k < 3; k++)
            out[k] = (uint8_t)in[k];
    }
}

/* One block of all planes at (x0, y0).  Returns whether all of it could be read. */
static gboolean read_block(TIFF *tif, const layout *l, uint32_t x0, uint32_t y0,
                           uint8_t *raw, size_t raw_bytes, uint16_t *samples,
                           dp_image *image)
{
    gboolean is_split = l->planar == PLANARCONFIG_SEPARATE && l->samples > 1;
    uint32_t planes = is_split ? l->samples : 1, each = is_split ? 1 : l->samples;
    uint32_t w = MIN(l->block_width, l->width - x0);
    uint32_t h = MIN(l->block_height, l->height - y0);
    size_t pitch = ((size_t)l->block_width * each * l->bits + 7) / 8;
    gboolean is_whole = TRUE;
    for (uint32_t p = 0; p < planes; p++) {
        memset(raw, l->is_inked || l->photometric == PHOTOMETRIC_MINISWHITE ? 0 : 255,
               raw_bytes);
        tmsize_t got =
            l->is_tiled
                ? TIFFReadEncodedTile(tif, TIFFComputeTile(tif, x0, y0, 0, (uint16_t)p),
                                      raw, (tmsize_t)raw_bytes)
                : TIFFReadEncodedStrip(tif, TIFFComputeStrip(tif, y0, (uint16_t)p), raw,
                                       (tmsize_t)raw_bytes);
        is_whole &= got > 0;
        for (uint32_t y = 0; y < h; y++)
            unpack_row(l, raw + y * pitch,
                       samples + (size_t)y * l->block_width * l->samples + p, w * each,
                       is_split ? l->samples : 1);
    }
    for (uint32_t y = 0; y < h; y++) {
        const uint16_t *in = samples + (size_t)y * l->block_width * l->samples;
        uint8_t *out =
            image->data + (y0 + y) * image->row_bytes + (size_t)x0 * image->channels;
        for (uint32_t x = 0; x < w; x++, in += l->samples, out += image->channels)
            put_pixel(l, in, out);
    }
    return is_whole;
}

static dp_image *decode_plain(dp_tiff *t, const layout *l, uint32_t page, GError **error)
{
    uint64_t rows = l->block_height;
    uint64_t samples_bytes = rows * l->block_width;
    tmsize_t raw_bytes = l->is_tiled ? TIFFTileSize(t->tif) : TIFFStripSize(t->tif);
    uint64_t each = l->planar == PLANARCONFIG_SEPARATE ? 1 : l->samples;
    uint64_t needed = ((uint64_t)l->block_width * each * l->bits + 7) / 8 * rows;
    if (samples_bytes > BLOCK_BYTES_MAX / (2 * l->samples)) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "page %u: a block of %u x %u px, limit %u bytes", page + 1,
                    l->block_width, l->block_height, BLOCK_BYTES_MAX);
        return NULL;
    }
    if (raw_bytes <= 0 || (uint64_t)raw_bytes < needed)
        return fail_page(page, "the TIFF layout is damaged", error);
    g_autofree uint8_t *raw = g_try_malloc((gsize)raw_bytes);
    g_autofree uint16_t *samples = g_try_malloc0_n(samples_bytes * l->samples, 2);
    gboolean is_grey = l->photometric <= PHOTOMETRIC_MINISBLACK;
    g_autoptr(dp_image) image = dp_image_new(l->width, l->height, is_grey ? 1 : 3, error);
    if (image == NULL)
        return NULL;
    if (raw == NULL || samples == NULL) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT, "page %u: no memory",
                    page + 1);
        return NULL;
    }
    uint32_t blocks = 0, bad = 0;
    for (uint64_t y = 0; y < l->height; y += l->block_height) {
        for (uint64_t x = 0; x < l->width; x += l->block_width, blocks++)
            bad += !read_block(t->tif, l, (uint32_t)x, (uint32_t)y, raw,
                               (size_t)raw_bytes, samples, image);
    }
    if (bad == blocks)
        return fail_page(page, "the picture is damaged", error);
    image->is_damaged = bad > 0;
    return g_steal_pointer(&image);
}

static dp_image *decode_rgba(dp_tiff *t, const layout *l, uint32_t page, GError **error)
{
    char text[1024] = ""; /* not shown: it may quote the file */
    if (TIFFRGBAImageOK(t->tif, text) != 1)
        return fail_page(page, "a TIFF variant that is not supported", error);
    size_t pixels = (size_t)l->width * l->height;
    g_autofree uint32_t *raster = g_try_malloc_n(pixels, sizeof(uint32_t));
    g_autoptr(dp_image) image = dp_image_new(l->width, l->height, 3, error);
    if (image == NULL)
        return NULL;
    if (raster == NULL) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT, "page %u: no memory",
                    page + 1);
        return NULL;
    }
    memset(raster, 255, pixels * sizeof *raster);
    /* Undo libtiff's own turning: the same orientation in and out leaves rows as stored. */
    uint16_t orientation = ORIENTATION_TOPLEFT;
    (void)TIFFGetFieldDefaulted(t->tif, TIFFTAG_ORIENTATION, &orientation);
    if (TIFFReadRGBAImageOriented(t->tif, l->width, l->height, raster, orientation, 1) !=
        1)
        return fail_page(page, "the picture is damaged", error);
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *out = image->data + i * 3;
        out[0] = TIFFGetR(raster[i]);
        out[1] = TIFFGetG(raster[i]);
        out[2] = TIFFGetB(raster[i]);
    }
    return g_steal_pointer(&image);
}

dp_image *dp_tiff_decode(dp_tiff *t, uint32_t page_index, GError **error)
{
    dp_image_head head;
    layout l;
    if (!dp_tiff_head(t, page_index, &head, error))
        return NULL;
    read_layout(t->tif, &head, &l);
    dp_image *image = is_plain(&l) ? decode_plain(t, &l, page_index, error)
                                   : decode_rgba(t, &l, page_index, error);
    return image == NULL ? NULL : dp_image_orient(image, head.orientation, error);
}

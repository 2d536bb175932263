/*
 * image_jpeg.c - JPEG through TurboJPEG, with the few facts that it does not tell.
 *
 * A short walk over the marker segments finds the EXIF orientation, the resolution,
 * the Adobe marker (its CMYK is stored inverted) and where the picture data begins.
 */
#include "render_format.h"

#include <string.h>
#include <turbojpeg.h>

#define SCAN_BYTES_MIN 2u /* picture data that is worth a try */

typedef struct facts {
    uint32_t orientation;
    double x_dpi, y_dpi;
    gboolean has_adobe;
    size_t scan_bytes; /* from the first scan to the end of the file */
} facts;

/* The TIFF structure inside an EXIF segment. */
typedef struct exif {
    const uint8_t *data;
    size_t bytes;
    gboolean is_big;
} exif;

static uint32_t exif_get(const exif *e, size_t at, size_t n)
{
    if (at > e->bytes || e->bytes - at < n)
        return 0;
    uint32_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | e->data[at + (e->is_big ? i : n - 1 - i)];
    return value;
}

static double exif_rational(const exif *e, uint32_t at)
{
    uint32_t over = exif_get(e, at, 4), under = exif_get(e, (size_t)at + 4, 4);
    return under == 0 ? 0 : (double)over / under;
}

static void read_exif(const uint8_t *data, size_t bytes, facts *f)
{
    exif e = { data, bytes, bytes > 0 && data[0] == 'M' };
    if (bytes < 14 || exif_get(&e, 2, 2) != 42)
        return;
    size_t at = exif_get(&e, 4, 4);
    uint32_t entries = exif_get(&e, at, 2);
    double x = 0, y = 0, unit = 1;
    for (uint32_t i = 0; i < entries && at + 14 + 12ull * i <= bytes; i++) {
        size_t entry = at + 2 + 12 * (size_t)i;
        uint32_t tag = exif_get(&e, entry, 2);
        uint32_t value = exif_get(&e, entry + 8, 2);
        uint32_t offset = exif_get(&e, entry + 8, 4);
        if (tag == 0x0112 && value >= 1 && value <= 8)
            f->orientation = value;
        else if (tag == 0x011a)
            x = exif_rational(&e, offset);
        else if (tag == 0x011b)
            y = exif_rational(&e, offset);
        else if (tag == 0x0128)
            unit = value == 3 ? 2.54 : 1;
    }
    if (x > 0 && y > 0 && f->x_dpi <= 0) {
        f->x_dpi = x * unit;
        f->y_dpi = y * unit;
    }
}

static void read_segment(uint8_t marker, const uint8_t *body, size_t n, facts *f)
{
    if (marker == 0xe0 && n >= 12 && memcmp(body, "JFIF", 5) == 0) {
        double unit = body[7] == 1 ? 1 : body[7] == 2 ? 2.54 : 0;
        f->x_dpi = unit * (body[8] << 8 | body[9]);
        f->y_dpi = unit * (body[10] << 8 | body[11]);
    } else if (marker == 0xe1 && n >= 6 && memcmp(body, "Exif\0", 6) == 0) {
        read_exif(body + 6, n - 6, f);
    } else if (marker == 0xee && n >= 12 && memcmp(body, "Adobe", 5) == 0) {
        f->has_adobe = TRUE;
    }
}

static void read_facts(const dp_source *source, facts *f)
{
    *f = (facts){ .orientation = 1 };
    const uint8_t *data = source->data;
    size_t at = 2;
    while (source->bytes > 4 && at < source->bytes - 4) {
        if (data[at] != 0xff) {
            at++; /* junk between segments; libjpeg skips it too */
            continue;
        }
        uint8_t marker = data[at + 1];
        if (marker == 0xff || marker == 0 || marker == 1 ||
            (marker >= 0xd0 && marker <= 0xd8)) {
            at += marker == 0xff ? 1 : 2;
            continue;
        }
        size_t n = (size_t)data[at + 2] << 8 | data[at + 3];
        if (n < 2 || n > source->bytes - at - 2)
            return;
        if (marker == 0xda) {
            f->scan_bytes = source->bytes - at - 2 - n;
            return;
        }
        read_segment(marker, data + at + 4, n - 2, f);
        at += 2 + n;
    }
}

static gboolean fail_unreadable(GError **error)
{
    g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                        "page 1: the JPEG picture is damaged");
    return FALSE;
}

static gboolean read_header(tjhandle tj, const dp_source *source, dp_image_head *head,
                            facts *f, int *space, GError **error)
{
    int width = 0, height = 0, subsampling = 0;
    int rc = tjDecompressHeader3(tj, source->data, source->bytes, &width, &height,
                                 &subsampling, space);
    if ((rc != 0 && tjGetErrorCode(tj) != TJERR_WARNING) || width <= 0 || height <= 0)
        return fail_unreadable(error);
    read_facts(source, f);
    if (f->scan_bytes < SCAN_BYTES_MIN)
        return fail_unreadable(error);
    *head = (dp_image_head){ .width = (uint32_t)width,
                             .height = (uint32_t)height,
                             .orientation = f->orientation,
                             .x_dpi = f->x_dpi,
                             .y_dpi = f->y_dpi };
    return dp_image_check(source, 0, head->width, head->height, error);
}

gboolean dp_jpeg_head(const dp_source *source, dp_image_head *head, GError **error)
{
    facts f;
    int space = 0;
    tjhandle tj = tjInitDecompress();
    gboolean is_good = tj != NULL && read_header(tj, source, head, &f, &space, error);
    if (tj == NULL)
        (void)fail_unreadable(error);
    else
        (void)tjDestroy(tj); /* nothing to do about a failure */
    return is_good;
}

/* TurboJPEG returns warnings as errors; the rows decoded so far are in place. */
static gboolean decode_into(tjhandle tj, const dp_source *source, uint8_t *out,
                            const dp_image_head *head, int format, dp_image *image,
                            GError **error)
{
    int rc = tjDecompress2(tj, source->data, source->bytes, out, (int)head->width, 0,
                           (int)head->height, format, TJFLAG_ACCURATEDCT);
    if (rc == 0)
        return TRUE;
    image->is_damaged = TRUE;
    return tjGetErrorCode(tj) == TJERR_WARNING || fail_unreadable(error);
}

static gboolean decode_cmyk(tjhandle tj, const dp_source *source,
                            const dp_image_head *head, gboolean is_inverted,
                            dp_image *image, GError **error)
{
    size_t pixels = (size_t)head->width * head->height;
    g_autofree uint8_t *cmyk = g_try_malloc_n(pixels, 4);
    if (cmyk == NULL) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "page 1: no memory for %u x %u px", head->width, head->height);
        return FALSE;
    }
    memset(cmyk, is_inverted ? 255 : 0, pixels * 4);
    if (!decode_into(tj, source, cmyk, head, TJPF_CMYK, image, error))
        return FALSE;
    for (size_t i = 0; i < pixels; i++) {
        uint8_t *ink = cmyk + i * 4;
        for (int k = 0; is_inverted && k < 4; k++)
            ink[k] = (uint8_t)(255 - ink[k]);
        dp_cmyk_to_rgb(ink, image->data + i * 3);
    }
    return TRUE;
}

static dp_image *decode(tjhandle tj, const dp_source *source, GError **error)
{
    facts f;
    int space = 0;
    dp_image_head head;
    if (!read_header(tj, source, &head, &f, &space, error))
        return NULL;
    gboolean is_grey = space == TJCS_GRAY;
    g_autoptr(dp_image) image =
        dp_image_new(head.width, head.height, is_grey ? 1 : 3, error);
    if (image == NULL)
        return NULL;
    gboolean is_good;
    if (space == TJCS_CMYK || space == TJCS_YCCK)
        is_good = decode_cmyk(tj, source, &head, f.has_adobe, image, error);
    else
        is_good = decode_into(tj, source, image->data, &head,
                              is_grey ? TJPF_GRAY : TJPF_RGB, image, error);
    if (!is_good)
        return NULL;
    return dp_image_orient(g_steal_pointer(&image), head.orientation, error);
}

dp_image *dp_jpeg_decode(const dp_source *source, GError **error)
{
    tjhandle tj = tjInitDecompress();
    if (tj == NULL) {
        (void)fail_unreadable(error);
        return NULL;
    }
    dp_image *image = decode(tj, source, error);
    (void)tjDestroy(tj); /* nothing to do about a failure */
    return image;
}

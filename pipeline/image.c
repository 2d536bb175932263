/*
 * image.c - pictures in memory: limits, orientation and area resampling.
 *
 * Resampling weighs every source pixel by the share of it that an output pixel
 * covers, so a downscaled scan keeps the darkness of its thin strokes.
 */
#include "render_format.h"

#include <math.h>
#include <string.h>

#define DPI_MIN 20.0 /* below and above: an absurd resolution, read as missing */
#define DPI_MAX 9600.0

gboolean dp_image_check(const dp_source *source, uint32_t page_index, uint64_t width,
                        uint64_t height, GError **error)
{
    uint64_t side = MAX(width, height);
    if (width == 0 || height == 0) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                    "page %u: the picture is empty", page_index + 1);
        return FALSE;
    }
    if (side > source->limits.side_max) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "page %u: %" G_GUINT64_FORMAT " px on one side, limit %u",
                    page_index + 1, side, source->limits.side_max);
        return FALSE;
    }
    /* Both sides fit in 32 bits now, so the product fits in 64. */
    if (side > UINT32_MAX || width * height > source->limits.pixels_max) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "page %u: %" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT
                    " px, limit %" G_GUINT64_FORMAT " px",
                    page_index + 1, width, height, source->limits.pixels_max);
        return FALSE;
    }
    return TRUE;
}

dp_image *dp_image_new(uint32_t width, uint32_t height, uint32_t channels, GError **error)
{
    g_assert(width > 0 && height > 0);
    g_assert(channels == 1 || channels == 3);
    size_t row_bytes = (size_t)width * channels;
    uint8_t *data = g_try_malloc_n(height, row_bytes);
    if (data == NULL) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "no memory for a picture of %u x %u px", width, height);
        return NULL;
    }
    memset(data, 255, row_bytes * height);
    dp_image *image = g_new0(dp_image, 1);
    *image = (dp_image){ .width = width,
                         .height = height,
                         .channels = channels,
                         .row_bytes = row_bytes,
                         .data = data };
    return image;
}

void dp_image_free(dp_image *image)
{
    if (image == NULL)
        return;
    g_free(image->data);
    g_free(image);
}

dp_image *dp_image_orient(dp_image *image, uint32_t orientation, GError **error)
{
    g_autoptr(dp_image) from = image;
    if (orientation < 2 || orientation > 8)
        return g_steal_pointer(&from);
    gboolean is_swapped = orientation >= 5;
    uint32_t w = from->width, h = from->height, c = from->channels;
    dp_image *to = dp_image_new(is_swapped ? h : w, is_swapped ? w : h, c, error);
    if (to == NULL)
        return NULL;
    to->is_damaged = from->is_damaged;
    /* Which stored row and column the visual row and column come from. */
    gboolean flip_x =
        orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    gboolean flip_y =
        orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    for (uint32_t y = 0; y < to->height; y++) {
        uint8_t *out = to->data + y * to->row_bytes;
        for (uint32_t x = 0; x < to->width; x++, out += c) {
            uint32_t sx = is_swapped ? y : x, sy = is_swapped ? x : y;
            sx = flip_x ? w - 1 - sx : sx;
            sy = flip_y ? h - 1 - sy : sy;
            memcpy(out, from->data + sy * from->row_bytes + (size_t)sx * c, c);
        }
    }
    return to;
}

/* Add one source row, resampled horizontally and weighted, to the sums. */
static void add_row(const dp_image *image, const uint8_t *row, float weight, float *sums,
                    uint32_t width)
{
    double step = (double)image->width / width;
    uint32_t c = image->channels;
    for (uint32_t x = 0; x < width; x++) {
        double left = x * step, right = MIN((x + 1) * step, (double)image->width);
        uint32_t first = MIN((uint32_t)left, image->width - 1);
        uint32_t last = MIN((uint32_t)ceil(right), image->width);
        float sum[3] = { 0 }, total = 0;
        for (uint32_t i = first; i < last; i++) {
            float share = (float)(MIN(right, i + 1.0) - MAX(left, (double)i));
            share = MAX(share, 0.0f);
            total += share;
            for (uint32_t k = 0; k < c; k++)
                sum[k] += share * row[(size_t)i * c + k];
        }
        float scale = total > 0 ? weight / total : 0;
        for (uint32_t k = 0; k < c; k++)
            sums[(size_t)x * c + k] += sum[k] * scale;
    }
}

static void write_pixel(uint8_t *out, uint32_t out_channels, const uint8_t *in,
                        uint32_t in_channels)
{
    if (in_channels == out_channels)
        memcpy(out, in, in_channels);
    else if (out_channels == 3)
        memset(out, in[0], 3);
    else
        out[0] = (uint8_t)((77u * in[0] + 150u * in[1] + 29u * in[2] + 128u) >> 8);
}

static void write_plain(const dp_image *image, uint8_t *out, uint32_t channels)
{
    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *in = image->data + y * image->row_bytes;
        if (channels == image->channels) {
            memcpy(out, in, image->row_bytes);
            out += image->row_bytes;
            continue;
        }
        for (uint32_t x = 0; x < image->width; x++, out += channels)
            write_pixel(out, channels, in + (size_t)x * image->channels, image->channels);
    }
}

gboolean dp_image_write(const dp_image *image, uint8_t *out, uint32_t width,
                        uint32_t height, uint32_t channels, GError **error)
{
    g_assert(width > 0 && height > 0);
    g_assert(channels == 1 || channels == 3);
    if (width == image->width && height == image->height) {
        write_plain(image, out, channels);
        return TRUE;
    }
    size_t values = (size_t)width * image->channels;
    g_autofree float *sums = g_try_new(float, values);
    if (sums == NULL) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "no memory to scale a picture to %u px", width);
        return FALSE;
    }
    double step = (double)image->height / height;
    for (uint32_t y = 0; y < height; y++) {
        double top = y * step, bottom = MIN((y + 1) * step, (double)image->height);
        uint32_t first = MIN((uint32_t)top, image->height - 1);
        uint32_t last = MIN((uint32_t)ceil(bottom), image->height);
        double total = 0;
        memset(sums, 0, values * sizeof *sums);
        for (uint32_t i = first; i < last; i++) {
            double share = MAX(MIN(bottom, i + 1.0) - MAX(top, (double)i), 0.0);
            total += share;
            add_row(image, image->data + i * image->row_bytes, (float)share, sums, width);
        }
        for (uint32_t x = 0; x < width; x++, out += channels) {
            uint8_t pixel[3] = { 0 };
            for (uint32_t k = 0; k < image->channels; k++) {
                double value = sums[(size_t)x * image->channels + k] / MAX(total, 1e-9);
                pixel[k] = (uint8_t)CLAMP(value + 0.5, 0.0, 255.0);
            }
            write_pixel(out, channels, pixel, image->channels);
        }
    }
    return TRUE;
}

static double sane_dpi(double dpi)
{
    return isfinite(dpi) && dpi >= DPI_MIN && dpi <= DPI_MAX ? dpi : 72.0;
}

void dp_image_head_page_info(const dp_image_head *head, dp_page_info *info)
{
    double width_pt = head->width * 72.0 / sane_dpi(head->x_dpi);
    double height_pt = head->height * 72.0 / sane_dpi(head->y_dpi);
    gboolean is_swapped = head->orientation >= 5 && head->orientation <= 8;
    *info = (dp_page_info){
        .width_pt = is_swapped ? height_pt : width_pt,
        .height_pt = is_swapped ? width_pt : height_pt,
        .width_px = is_swapped ? head->height : head->width,
        .height_px = is_swapped ? head->width : head->height,
    };
}

void dp_cmyk_to_rgb(const uint8_t cmyk[4], uint8_t rgb[3])
{
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)(((255u - cmyk[i]) * (255u - cmyk[3]) + 127u) / 255u);
}

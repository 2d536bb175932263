/*
 * image.c - pictures as the vision tower wants them.
 *
 * The reference pipeline is Pillow: its 8-bit bicubic filter with 22-bit integer
 * weights and its ImageOps.pad() geometry are followed to the last bit, because a model
 * reads small print worse through another filter than it was trained on.
 */
#include "core.h"

#include <assert.h>
#include <math.h>

#include "util.h"

#define CANVAS_GREY    127
#define PRECISION_BITS 22

void vl_plane_clear(vl_plane *plane)
{
    free(plane->data);
    *plane = (vl_plane){ 0 };
}

static bool plane_init(vl_plane *plane, uint32_t width, uint32_t height,
                       uint32_t channels, vl_error *err)
{
    size_t bytes;
    assert(width > 0 && height > 0);
    if (!vl_mul((size_t)width * channels, height, &bytes) ||
        (plane->data = malloc(bytes)) == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a picture of %u x %u", width,
                       height) != NULL;
    plane->width = width;
    plane->height = height;
    plane->channels = channels;
    return true;
}

/* ---- fitting ---- */

static uint32_t round_even(double value, uint32_t most)
{
    double rounded = nearbyint(value); /* ties to even in the default mode */
    return rounded < 1 ? 1 : rounded > most ? most : (uint32_t)rounded;
}

void vl_fit_into(uint32_t width, uint32_t height, uint32_t canvas_w, uint32_t canvas_h,
                 vl_fit *fit)
{
    double ratio = (double)width / height, wanted = (double)canvas_w / canvas_h;
    fit->width = canvas_w;
    fit->height = canvas_h;
    if (ratio > wanted)
        fit->height = round_even((double)height / width * canvas_w, canvas_h);
    else if (ratio < wanted)
        fit->width = round_even((double)width / height * canvas_h, canvas_w);
    fit->x = (uint32_t)nearbyint((canvas_w - fit->width) / 2.0);
    fit->y =
        fit->width != canvas_w ? 0 : (uint32_t)nearbyint((canvas_h - fit->height) / 2.0);
}

static bool check_size(uint32_t width, uint32_t height, vl_error *err)
{
    if (width == 0 || height == 0)
        return vl_fail(err, VL_INVALID, "picture of %u x %u pixels", width, height) !=
               NULL;
    if (width > VL_IMAGE_SIDE_MAX || height > VL_IMAGE_SIDE_MAX)
        return vl_fail(err, VL_LIMIT, "picture of %u x %u pixels, limit %u a side", width,
                       height, VL_IMAGE_SIDE_MAX) != NULL;
    if ((uint64_t)width * height > VL_IMAGE_PIXELS_MAX)
        return vl_fail(err, VL_LIMIT, "picture of %u x %u pixels, limit %u in all", width,
                       height, VL_IMAGE_PIXELS_MAX) != NULL;
    return true;
}

bool vl_fit_grid_config(const vl_config *c, size_t grid_index, uint32_t width,
                        uint32_t height, vl_fit *fit, vl_error *err)
{
    if (grid_index >= c->grid_count)
        return vl_fail(err, VL_INVALID, "grid %zu of %zu", grid_index, c->grid_count) !=
               NULL;
    if (!check_size(width, height, err))
        return false;
    vl_fit made = { .grid = c->grids[grid_index] };
    vl_fit_into(width, height, made.grid.canvas_w, made.grid.canvas_h, &made);
    *fit = made;
    return true;
}

bool vl_fit_choose_config(const vl_config *c, uint32_t width, uint32_t height,
                          vl_fit *fit, vl_error *err)
{
    size_t best = 0;
    uint64_t best_effective = 0, best_waste = UINT64_MAX, all = (uint64_t)width * height;
    if (!check_size(width, height, err))
        return false;
    for (size_t i = 0; i < c->grid_count; i++) {
        uint32_t w = c->grids[i].canvas_w, h = c->grids[i].canvas_h;
        double scale = fmin((double)w / width, (double)h / height);
        uint64_t fitted = (uint64_t)(width * scale) * (uint64_t)(height * scale);
        uint64_t effective = fitted < all ? fitted : all;
        uint64_t waste = (uint64_t)w * h - effective;
        if (effective > best_effective ||
            (effective == best_effective && waste < best_waste)) {
            best = i;
            best_effective = effective;
            best_waste = waste;
        }
    }
    return vl_fit_grid_config(c, best, width, height, fit, err);
}

/* ---- pixels ---- */

bool vl_plane_from_image(const vl_image *image, uint32_t channels, vl_plane *plane,
                         vl_error *err)
{
    if (image->data == NULL || (image->channels != 1 && image->channels != 3) ||
        image->row_bytes < (size_t)image->width * image->channels)
        return vl_fail(err, VL_INVALID, "picture of %u channels, rows of %zu bytes",
                       image->channels, image->row_bytes) != NULL;
    if (!check_size(image->width, image->height, err) ||
        !plane_init(plane, image->width, image->height, channels, err))
        return false;
    uint8_t *out = plane->data;
    for (uint32_t y = 0; y < image->height; y++) {
        const uint8_t *p = image->data + y * image->row_bytes;
        if (channels == image->channels) {
            memcpy(out, p, (size_t)image->width * channels);
            out += (size_t)image->width * channels;
            continue;
        }
        for (uint32_t x = 0; x < image->width; x++) {
            if (channels == 1) { /* BT.601 in 16 bits, as Pillow */
                *out++ =
                    (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >>
                              16);
                p += 3;
            } else {
                memset(out, *p++, 3);
                out += 3;
            }
        }
    }
    return true;
}

static double bicubic(double x)
{
    x = fabs(x);
    if (x < 1)
        return (1.5 * x - 2.5) * x * x + 1;
    if (x < 2)
        return ((-0.5 * x + 2.5) * x - 4) * x + 2;
    return 0;
}

/* Integer weights of one direction: output i is the sum of weights[i * room + k] times
 * input first[i] + k, k < count[i]. */
typedef struct filter {
    int32_t *weights;
    uint32_t *first, *count;
    uint32_t room;
} filter;

static void filter_clear(filter *f)
{
    free(f->weights);
    free(f->first);
    free(f->count);
}

static bool filter_init(filter *f, uint32_t in, uint32_t out, vl_error *err)
{
    double step = (double)in / out, scale = step < 1 ? 1 : step, support = 2 * scale;
    f->room = (uint32_t)ceil(support) * 2 + 1;
    f->weights = calloc((size_t)out * f->room, sizeof *f->weights);
    f->first = calloc(out, sizeof *f->first);
    f->count = calloc(out, sizeof *f->count);
    double *exact = calloc(f->room, sizeof *exact);
    if (f->weights == NULL || f->first == NULL || f->count == NULL || exact == NULL) {
        free(exact);
        return vl_fail(err, VL_NOMEM, "no memory to resize %u to %u", in, out) != NULL;
    }
    for (uint32_t i = 0; i < out; i++) {
        double middle = (i + 0.5) * step, sum = 0;
        int64_t low = (int64_t)(middle - support + 0.5);
        int64_t high = (int64_t)(middle + support + 0.5);
        low = low < 0 ? 0 : low;
        high = high > (int64_t)in ? (int64_t)in : high;
        uint32_t n = (uint32_t)(high - low);
        assert(n <= f->room);
        for (uint32_t k = 0; k < n; k++) {
            exact[k] = bicubic((k + (double)low - middle + 0.5) * (1 / scale));
            sum += exact[k];
        }
        for (uint32_t k = 0; k < n; k++) {
            double w = (sum != 0 ? exact[k] / sum : exact[k]) * (1 << PRECISION_BITS);
            f->weights[(size_t)i * f->room + k] = (int32_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
        f->first[i] = (uint32_t)low;
        f->count[i] = n;
    }
    free(exact);
    return true;
}

static uint8_t clip(int64_t sum)
{
    int64_t value = sum >> PRECISION_BITS;
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

static void resize_rows(const vl_plane *from, const filter *f, vl_plane *to)
{
    uint32_t n = from->channels;
    for (uint32_t y = 0; y < to->height; y++) {
        const uint8_t *row = from->data + (size_t)y * from->width * n;
        uint8_t *out = to->data + (size_t)y * to->width * n;
        for (uint32_t x = 0; x < to->width; x++)
            for (uint32_t c = 0; c < n; c++) {
                const int32_t *w = f->weights + (size_t)x * f->room;
                const uint8_t *p = row + (size_t)f->first[x] * n + c;
                int64_t sum = 1 << (PRECISION_BITS - 1);
                for (uint32_t k = 0; k < f->count[x]; k++)
                    sum += (int64_t)w[k] * p[(size_t)k * n];
                *out++ = clip(sum);
            }
    }
}

static void resize_columns(const vl_plane *from, const filter *f, vl_plane *to,
                           int64_t *sums)
{
    size_t row_bytes = (size_t)from->width * from->channels;
    for (uint32_t y = 0; y < to->height; y++) {
        const int32_t *w = f->weights + (size_t)y * f->room;
        const uint8_t *p = from->data + f->first[y] * row_bytes;
        uint8_t *out = to->data + y * row_bytes;
        for (size_t i = 0; i < row_bytes; i++)
            sums[i] = 1 << (PRECISION_BITS - 1);
        for (uint32_t k = 0; k < f->count[y]; k++, p += row_bytes)
            for (size_t i = 0; i < row_bytes; i++)
                sums[i] += (int64_t)w[k] * p[i];
        for (size_t i = 0; i < row_bytes; i++)
            out[i] = clip(sums[i]);
    }
}

bool vl_plane_resize(const vl_plane *from, uint32_t width, uint32_t height, vl_plane *to,
                     vl_error *err)
{
    filter across = { 0 }, down = { 0 };
    vl_plane middle = { 0 }, made = { 0 };
    int64_t *sums = NULL;
    bool is_done = false;
    if (!plane_init(&middle, width, from->height, from->channels, err))
        goto out;
    if (width == from->width) {
        memcpy(middle.data, from->data, (size_t)width * from->height * from->channels);
    } else {
        if (!filter_init(&across, from->width, width, err))
            goto out;
        resize_rows(from, &across, &middle);
    }
    if (height == from->height) {
        made = middle;
        middle = (vl_plane){ 0 };
    } else {
        sums = malloc((size_t)width * from->channels * sizeof *sums);
        if (sums == NULL) {
            (void)vl_fail(err, VL_NOMEM, "no memory to resize a picture");
            goto out;
        }
        if (!filter_init(&down, from->height, height, err) ||
            !plane_init(&made, width, height, from->channels, err))
            goto out;
        resize_columns(&middle, &down, &made, sums);
    }
    *to = made;
    is_done = true;
out:
    free(sums);
    filter_clear(&across);
    filter_clear(&down);
    vl_plane_clear(&middle);
    return is_done;
}

bool vl_plane_pad(const vl_plane *from, const vl_fit *fit, vl_plane *to, vl_error *err)
{
    vl_plane fitted = { 0 }, canvas = { 0 };
    assert(fit->x + fit->width <= fit->grid.canvas_w);
    assert(fit->y + fit->height <= fit->grid.canvas_h);
    if (!vl_plane_resize(from, fit->width, fit->height, &fitted, err))
        return false;
    if (!plane_init(&canvas, fit->grid.canvas_w, fit->grid.canvas_h, from->channels,
                    err)) {
        vl_plane_clear(&fitted);
        return false;
    }
    size_t n = from->channels, row_bytes = (size_t)canvas.width * n;
    memset(canvas.data, CANVAS_GREY, row_bytes * canvas.height);
    for (uint32_t y = 0; y < fit->height; y++)
        memcpy(canvas.data + (fit->y + y) * row_bytes + fit->x * n,
               fitted.data + (size_t)y * fit->width * n, (size_t)fit->width * n);
    vl_plane_clear(&fitted);
    *to = canvas;
    return true;
}

void vl_plane_patches(const vl_plane *plane, uint32_t x0, uint32_t y0, const vl_config *c,
                      float *rows)
{
    uint32_t patch = c->patch, n = plane->channels;
    assert(x0 + c->tile <= plane->width);
    assert(y0 + c->tile <= plane->height);
    for (uint32_t i = 0; i < c->side * c->side; i++) {
        uint32_t px = x0 + i % c->side * patch, py = y0 + i / c->side * patch;
        for (uint32_t ch = 0; ch < n; ch++)
            for (uint32_t y = 0; y < patch; y++) {
                const uint8_t *p =
                    plane->data + ((size_t)(py + y) * plane->width + px) * n + ch;
                for (uint32_t x = 0; x < patch; x++)
                    *rows++ = (float)p[(size_t)x * n] / 127.5f - 1.0f;
            }
    }
}

/*
 * deskew.c - measuring and turning pages before they are read.
 *
 * Print is found as what is darker than its surroundings, on a reduced picture.  The
 * angle of the lines is the one at which the ink falls into the fewest rows: sums over
 * slanted rows differ most from one to the next when the slant is that of the print.
 */
#include "deskew.h"

#include <assert.h>
#include <math.h>

#include "util.h"

#define AROUND       24    /* reduced pixels around one that make its surroundings */
#define DARKER       0.86f /* share of the surroundings' light below which is ink */
#define DARKER_LEAST 14    /* grey levels */
#define BLOCK        4u    /* reduced pixels a side of a block of the content box */
#define INK_LEAST    200u  /* pixels that tell an angle */
#define STEP_COARSE  0.5
#define STEP_FINE    0.05
#define CURRENT_GAIN 1.02  /* and an angle than none */
#define MARGIN       0.012 /* of the page's longer side around the content */
#define UNSEEN       3     /* in bits, while the parts are being found */
#define SPECK        3u    /* pixels; fewer are none */
#define EDGE_MOST    40u   /* pixels of a part that touches the edge */
#define LETTER_MOST  160u  /* pixels of a letter or a word */
#define SLENDER      12u   /* times as long as wide */
#define PARTS_MOST   4000u /* of those that tell a direction */
#define PARTS_LEAST  20u   /* letters that tell a height */

static bool fail_memory(const char *what, vl_error *err)
{
    return vl_fail(err, VL_NOMEM, "no memory to %s a page", what) != NULL;
}

static bool plane_new(vl_plane *plane, uint32_t width, uint32_t height, uint32_t channels)
{
    size_t bytes;
    if (!vl_mul((size_t)width * channels, height, &bytes) || bytes == 0)
        return false;
    *plane = (vl_plane){ malloc(bytes), width, height, channels };
    return plane->data != NULL;
}

/* ---- turning ---- */

bool vl_plane_reduce(const vl_plane *from, uint32_t step, vl_plane *to, vl_error *err)
{
    uint32_t n = from->channels, width = from->width / step, height = from->height / step;
    vl_plane made;
    assert(step > 0);
    width = width > 0 ? width : 1;
    height = height > 0 ? height : 1;
    uint32_t step_x = step < from->width ? step : from->width;
    uint32_t step_y = step < from->height ? step : from->height;
    uint32_t *sums = calloc((size_t)width * n, sizeof *sums);
    if (sums == NULL || !plane_new(&made, width, height, n)) {
        free(sums);
        return fail_memory("reduce", err);
    }
    uint32_t area = step_x * step_y;
    for (uint32_t y = 0; y < height; y++) {
        memset(sums, 0, (size_t)width * n * sizeof *sums);
        for (uint32_t k = 0; k < step_y; k++) {
            const uint8_t *p = from->data + (size_t)(y * step_y + k) * from->width * n;
            for (uint32_t x = 0; x < width; x++)
                for (uint32_t i = 0; i < step_x; i++)
                    for (uint32_t c = 0; c < n; c++)
                        sums[(size_t)x * n + c] += *p++;
        }
        for (size_t i = 0; i < (size_t)width * n; i++)
            made.data[(size_t)y * width * n + i] = (uint8_t)((sums[i] + area / 2) / area);
    }
    free(sums);
    *to = made;
    return true;
}

bool vl_plane_turn(const vl_plane *from, uint32_t quarters, vl_plane *to, vl_error *err)
{
    bool is_across = quarters % 2 != 0;
    uint32_t n = from->channels, w = from->width, h = from->height;
    vl_plane made;
    assert(quarters < 4);
    if (!plane_new(&made, is_across ? h : w, is_across ? w : h, n))
        return fail_memory("turn", err);
    for (uint32_t y = 0; y < h; y++)
        for (uint32_t x = 0; x < w; x++) {
            uint32_t u = quarters == 1   ? h - 1 - y
                         : quarters == 2 ? w - 1 - x
                         : quarters == 3 ? y
                                         : x;
            uint32_t v = quarters == 1   ? x
                         : quarters == 2 ? h - 1 - y
                         : quarters == 3 ? w - 1 - x
                                         : y;
            memcpy(made.data + ((size_t)v * made.width + u) * n,
                   from->data + ((size_t)y * w + x) * n, n);
        }
    *to = made;
    return true;
}

static uint32_t held(int64_t value, uint32_t size)
{
    return value < 0 ? 0 : value >= (int64_t)size ? size - 1 : (uint32_t)value;
}

bool vl_plane_level(const vl_plane *from, double degrees, vl_plane *to, vl_error *err)
{
    uint32_t n = from->channels, w = from->width, h = from->height;
    double angle = degrees * M_PI / 180, c = cos(angle), s = sin(angle);
    vl_plane made;
    assert(fabs(degrees) <= 2 * VL_SKEW_MAX);
    if (!plane_new(&made, (uint32_t)ceil(w * c + h * fabs(s)),
                   (uint32_t)ceil(w * fabs(s) + h * c), n))
        return fail_memory("level", err);
    uint8_t *out = made.data;
    int64_t step_x = llrint(c * 65536), step_y = llrint(s * 65536);
    for (uint32_t y = 0; y < made.height; y++) {
        double dx = 0.5 - made.width / 2.0, dy = y + 0.5 - made.height / 2.0;
        int64_t fx = llrint((c * dx - s * dy + w / 2.0 - 0.5) * 65536);
        int64_t fy = llrint((s * dx + c * dy + h / 2.0 - 0.5) * 65536);
        for (uint32_t x = 0; x < made.width; x++, fx += step_x, fy += step_y) {
            uint32_t x0 = held(fx >> 16, w), x1 = held((fx >> 16) + 1, w);
            uint32_t px = (uint32_t)(fx >> 8) & 255, py = (uint32_t)(fy >> 8) & 255;
            const uint8_t *top = from->data + (size_t)held(fy >> 16, h) * w * n;
            const uint8_t *low = from->data + (size_t)held((fy >> 16) + 1, h) * w * n;
            for (uint32_t k = 0; k < n; k++) {
                uint32_t up = top[x0 * n + k] * (256 - px) + top[x1 * n + k] * px;
                uint32_t down = low[x0 * n + k] * (256 - px) + low[x1 * n + k] * px;
                *out++ = (uint8_t)((up * (256 - py) + down * py + 32768) >> 16);
            }
        }
    }
    *to = made;
    return true;
}

void vl_upright_point(const vl_upright *u, double *x, double *y)
{
    double angle = u->degrees * M_PI / 180, c = cos(angle), s = sin(angle);
    double w = u->picture_width, h = u->picture_height;
    bool is_across = u->quarters % 2 != 0;
    double dx = *x - u->width / 2.0, dy = *y - u->height / 2.0;
    double a = c * dx - s * dy + (is_across ? h : w) / 2;
    double b = s * dx + c * dy + (is_across ? w : h) / 2;
    *x = u->quarters == 1 ? b : u->quarters == 2 ? w - a : u->quarters == 3 ? w - b : a;
    *y = u->quarters == 1 ? h - a : u->quarters == 2 ? h - b : u->quarters == 3 ? a : b;
}

bool vl_plane_crop(const vl_plane *from, const vl_box *box, vl_plane *to, vl_error *err)
{
    uint32_t x0 = (uint32_t)box->x0, y0 = (uint32_t)box->y0, n = from->channels;
    uint32_t w = (uint32_t)(box->x1 - box->x0), h = (uint32_t)(box->y1 - box->y0);
    vl_plane made;
    assert(box->x0 >= 0 && box->x0 + w <= from->width);
    assert(box->y0 >= 0 && box->y0 + h <= from->height);
    if (!plane_new(&made, w, h, n))
        return fail_memory("crop", err);
    for (uint32_t y = 0; y < h; y++)
        memcpy(made.data + (size_t)y * w * n,
               from->data + ((size_t)(y0 + y) * from->width + x0) * n, (size_t)w * n);
    *to = made;
    return true;
}

/* ---- ink ---- */

void vl_ink_clear(vl_ink *ink)
{
    free(ink->bits);
    *ink = (vl_ink){ 0 };
}

/* Sums over all pixels above and left, [height + 1][width + 1]. */
static uint32_t *integral(const vl_plane *p)
{
    size_t w = p->width + 1;
    uint32_t *sums = calloc(w * (p->height + 1), sizeof *sums);
    for (uint32_t y = 0; sums != NULL && y < p->height; y++) {
        uint32_t row = 0;
        for (uint32_t x = 0; x < p->width; x++) {
            row += p->data[(size_t)y * p->width + x];
            sums[(y + 1) * w + x + 1] = sums[y * w + x + 1] + row;
        }
    }
    return sums;
}

static bool is_dark(const vl_plane *p, const uint32_t *sums, uint32_t x, uint32_t y)
{
    size_t w = p->width + 1;
    uint32_t x0 = x > AROUND ? x - AROUND : 0, y0 = y > AROUND ? y - AROUND : 0;
    uint32_t x1 = x + AROUND < p->width ? x + AROUND : p->width;
    uint32_t y1 = y + AROUND < p->height ? y + AROUND : p->height;
    uint32_t sum =
        sums[y1 * w + x1] - sums[y0 * w + x1] - sums[y1 * w + x0] + sums[y0 * w + x0];
    float mean = (float)sum / (float)((x1 - x0) * (y1 - y0));
    float value = p->data[(size_t)y * p->width + x];
    return value < DARKER * mean && value + DARKER_LEAST < mean;
}

/* A connected part of the ink. */
typedef struct part {
    uint32_t x0, y0, x1, y1; /* inclusive */
    uint32_t count;          /* pixels, the first ones of the stack that found them */
} part;

/* Flood with a queue of our own; the pixels stay in it, marked with `mark`. */
static part flood(const vl_ink *ink, uint32_t *queue, size_t start, uint8_t mark)
{
    uint32_t w = ink->width;
    part p = { w, ink->height, 0, 0, 0 };
    queue[p.count++] = (uint32_t)start;
    ink->bits[start] = mark;
    for (uint32_t at = 0; at < p.count; at++) {
        uint32_t x = queue[at] % w, y = queue[at] / w;
        p.x0 = x < p.x0 ? x : p.x0;
        p.x1 = x > p.x1 ? x : p.x1;
        p.y0 = y < p.y0 ? y : p.y0;
        p.y1 = y > p.y1 ? y : p.y1;
        for (uint32_t v = y > 0 ? y - 1 : 0; v <= y + 1 && v < ink->height; v++)
            for (uint32_t u = x > 0 ? x - 1 : 0; u <= x + 1 && u < w; u++)
                if (ink->bits[v * w + u] == UNSEEN) {
                    ink->bits[v * w + u] = mark;
                    queue[p.count++] = v * w + u;
                }
    }
    return p;
}

static uint8_t kind_of(const vl_ink *ink, const part *p)
{
    uint32_t w = p->x1 - p->x0 + 1, h = p->y1 - p->y0 + 1;
    bool is_at_edge =
        p->x0 == 0 || p->y0 == 0 || p->x1 + 1 == ink->width || p->y1 + 1 == ink->height;
    if (p->count < SPECK || (is_at_edge && (w > EDGE_MOST || h > EDGE_MOST)))
        return 0;
    bool is_letter = w < LETTER_MOST && h < LETTER_MOST && w <= SLENDER * h &&
                     h <= SLENDER * w && (w > 3 || h > 3);
    return is_letter ? VL_INK_LETTER : VL_INK_OTHER;
}

/* Letters stand nearer to each other in their line than lines do: the share of parts whose
 * nearest part is above or below. */
static float upended_share(const part *parts, uint32_t count)
{
    uint32_t across = 0, upright = 0;
    for (uint32_t i = 0; i < count; i++) {
        const part *a = &parts[i];
        int64_t best = INT64_MAX;
        bool is_across = false;
        for (uint32_t k = 0; k < count; k++) {
            const part *b = &parts[k];
            int64_t x = (int64_t)(a->x0 > b->x0 ? a->x0 : b->x0) -
                        (a->x1 < b->x1 ? a->x1 : b->x1);
            int64_t y = (int64_t)(a->y0 > b->y0 ? a->y0 : b->y0) -
                        (a->y1 < b->y1 ? a->y1 : b->y1);
            /* apart in one direction (positive), beside each other in the other */
            if (k == i || (x > 0) == (y > 0) || (x > 0 ? x : y) >= best)
                continue;
            best = x > 0 ? x : y;
            is_across = y > 0;
        }
        upright += best != INT64_MAX && !is_across;
        across += best != INT64_MAX && is_across;
    }
    return across + upright > 0 ? (float)across / (float)(across + upright) : 0;
}

typedef struct letters {
    uint64_t areas[LETTER_MOST], total; /* by height */
    part *parts;
    uint32_t count;
} letters;

static void letters_add(letters *l, const part *p)
{
    uint32_t w = p->x1 - p->x0 + 1, h = p->y1 - p->y0 + 1;
    if (h >= 4 && w >= 4 && l->count < PARTS_MOST)
        l->parts[l->count++] = *p;
    if (h >= 4 && 5 * w >= h) {
        l->areas[h] += (uint64_t)w * h;
        l->total += (uint64_t)w * h;
    }
}

/* Sort the ink into kinds; the heights of letters are weighed by their area, for faint
 * print falls into many small parts. */
static bool sort_parts(vl_ink *ink)
{
    size_t all = (size_t)ink->width * ink->height;
    uint32_t *queue = malloc(all * sizeof *queue);
    letters l = { .parts = malloc(PARTS_MOST * sizeof *l.parts) };
    bool is_done = queue != NULL && l.parts != NULL;
    for (size_t i = 0; is_done && i < all; i++) {
        if (ink->bits[i] != UNSEEN)
            continue;
        part p = flood(ink, queue, i, VL_INK_OTHER);
        uint8_t kind = kind_of(ink, &p);
        for (uint32_t k = 0; k < p.count; k++)
            ink->bits[queue[k]] = kind;
        if (kind == VL_INK_LETTER)
            letters_add(&l, &p);
    }
    uint64_t below = 0;
    ink->letter = 0;
    for (uint32_t h = 0; is_done && l.count >= PARTS_LEAST && ink->letter == 0; h++) {
        below += l.areas[h];
        ink->letter = 2 * below >= l.total ? h : 0;
    }
    ink->upended =
        is_done && l.count >= PARTS_LEAST ? upended_share(l.parts, l.count) : 0;
    free(queue);
    free(l.parts);
    return is_done;
}

bool vl_ink_find(const vl_plane *grey, vl_ink *ink, vl_error *err)
{
    assert(grey->channels == 1);
    uint32_t side = grey->width > grey->height ? grey->width : grey->height;
    uint32_t step = (side + VL_INK_SIDE_MAX - 1) / VL_INK_SIDE_MAX;
    vl_plane small;
    if (!vl_plane_reduce(grey, step, &small, err))
        return false;
    size_t count = (size_t)small.width * small.height;
    uint32_t *sums = integral(&small);
    vl_ink made = { calloc(count, 1), small.width, small.height, step, 0, 0 };
    bool is_done = sums != NULL && made.bits != NULL;
    for (uint32_t y = 0; is_done && y < made.height; y++)
        for (uint32_t x = 0; x < made.width; x++)
            if (is_dark(&small, sums, x, y))
                made.bits[(size_t)y * made.width + x] = UNSEEN;
    is_done = is_done && sort_parts(&made);
    vl_plane_clear(&small);
    free(sums);
    if (!is_done) {
        vl_ink_clear(&made);
        return fail_memory("look at", err);
    }
    *ink = made;
    return true;
}

/* ---- angle ---- */

typedef struct points {
    int16_t *x, *y;
    uint32_t count, width, height;
    uint32_t *rows; /* [height + 2 * width] */
} points;

static void points_clear(points *p)
{
    free(p->x);
    free(p->y);
    free(p->rows);
}

static bool points_init(points *p, const vl_ink *ink)
{
    size_t all = (size_t)ink->width * ink->height, count = 0, most = 400000;
    for (size_t i = 0; i < all; i++)
        count += ink->bits[i] == VL_INK_LETTER;
    size_t skip = count / most + 1, seen = 0;
    p->width = ink->width;
    p->height = ink->height;
    p->x = malloc((count / skip + 1) * sizeof *p->x);
    p->y = malloc((count / skip + 1) * sizeof *p->y);
    p->rows = malloc(((size_t)ink->height + ink->width) * 3 * sizeof *p->rows);
    if (p->x == NULL || p->y == NULL || p->rows == NULL)
        return false;
    for (size_t i = 0; i < all; i++)
        if (ink->bits[i] == VL_INK_LETTER && seen++ % skip == 0) {
            p->x[p->count] = (int16_t)(i % ink->width);
            p->y[p->count++] = (int16_t)(i / ink->width);
        }
    return true;
}

/* How sharply the ink falls into rows slanted by `degrees`; columns when `is_turned`. */
static double sharpness(points *p, double degrees, bool is_turned)
{
    uint32_t across = is_turned ? p->height : p->width;
    uint32_t along = is_turned ? p->width : p->height;
    double slope = tan(degrees * M_PI / 180);
    int32_t fixed = (int32_t)lrint(slope * 65536);
    uint32_t shift = (uint32_t)ceil(fabs(slope) * across) + 1, rows = along + 2 * shift;
    double sum = 0;
    assert(rows <= 3 * (p->height + p->width));
    memset(p->rows, 0, rows * sizeof *p->rows);
    for (uint32_t i = 0; i < p->count; i++) {
        int32_t x = is_turned ? (int32_t)p->height - 1 - p->y[i] : p->x[i];
        int32_t y = is_turned ? p->x[i] : p->y[i];
        p->rows[(uint32_t)(y + (int32_t)shift - ((x * fixed) >> 16))]++;
    }
    for (uint32_t i = 1; i < rows; i++) {
        double d = (double)p->rows[i] - p->rows[i - 1];
        sum += d * d;
    }
    return sum;
}

static double best_angle(points *p, bool is_turned)
{
    double angle = 0, level = sharpness(p, 0, is_turned), best = level;
    for (double a = -VL_SKEW_MAX; a <= VL_SKEW_MAX; a += STEP_COARSE) {
        double s = sharpness(p, a, is_turned);
        if (s > best) {
            best = s;
            angle = a;
        }
    }
    double middle = angle;
    for (double a = middle - STEP_COARSE; a <= middle + STEP_COARSE; a += STEP_FINE) {
        double s = sharpness(p, a, is_turned);
        if (s > best) {
            best = s;
            angle = a;
        }
    }
    return best > CURRENT_GAIN * level ? angle : 0;
}

bool vl_ink_skew(const vl_ink *ink, bool is_turned, double *degrees, vl_error *err)
{
    points p = { 0 };
    bool is_done = points_init(&p, ink);
    if (!is_done)
        (void)fail_memory("measure", err);
    *degrees = is_done && p.count >= INK_LEAST ? best_angle(&p, is_turned) : 0;
    points_clear(&p);
    return is_done;
}

/* ---- content ---- */

static uint32_t block_ink(const vl_ink *ink, uint32_t bx, uint32_t by)
{
    uint32_t count = 0;
    for (uint32_t y = by * BLOCK; y < (by + 1) * BLOCK && y < ink->height; y++)
        for (uint32_t x = bx * BLOCK; x < (bx + 1) * BLOCK && x < ink->width; x++)
            count += ink->bits[(size_t)y * ink->width + x] != 0;
    return count;
}

vl_box vl_ink_box(const vl_ink *ink, const vl_plane *grey)
{
    uint32_t columns = (ink->width + BLOCK - 1) / BLOCK;
    uint32_t rows = (ink->height + BLOCK - 1) / BLOCK;
    uint32_t x0 = columns, x1 = 0, y0 = rows, y1 = 0;
    for (uint32_t y = 0; y < rows; y++)
        for (uint32_t x = 0; x < columns; x++) {
            /* Lone specks do not count: a block needs ink and inked company. */
            uint32_t here = block_ink(ink, x, y), near = 0;
            for (uint32_t k = 0; here >= 3 && k < 5; k++)
                near += k != 2 && x + k >= 2 && x + k - 2 < columns &&
                        block_ink(ink, x + k - 2, y) >= 2;
            if (near == 0)
                continue;
            x0 = x < x0 ? x : x0;
            x1 = x + 1 > x1 ? x + 1 : x1;
            y0 = y < y0 ? y : y0;
            y1 = y + 1 > y1 ? y + 1 : y1;
        }
    vl_box box = { 0, 0, grey->width, grey->height };
    if (x0 >= x1)
        return box;
    double unit = (double)BLOCK * ink->step;
    double margin = MARGIN * fmax(grey->width, grey->height);
    margin = fmax(margin, 8);
    box.x0 = floor(fmax(box.x0, x0 * unit - margin));
    box.y0 = floor(fmax(box.y0, y0 * unit - margin));
    box.x1 = ceil(fmin(box.x1, x1 * unit + margin));
    box.y1 = ceil(fmin(box.y1, y1 * unit + margin));
    return box;
}

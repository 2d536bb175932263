/*
 * order.c - pieces of lines in reading order.
 *
 * Columns are looked for where running text stands: on both sides of a gutter there must be
 * many long pieces beside each other, and few across it.  Those few (headings) part the
 * page into bands, each read column by column; columns may hold columns.  Tables and
 * receipts have short pieces on one side at least, so their rows stay whole.
 */
#include "order.h"

#include <math.h>
#include <stdlib.h>

#include "util.h"

#define DEPTH_MOST  5u
#define LONG        8.0f /* heights of a piece of running text */
#define LONG_SHARE  0.5f /* of the pieces of a column */
#define LINES_LEAST 5u   /* of running text in a column */
#define CROSS_SHARE 0.2f /* of the smaller column that may lie across */
#define BAND_SHARE  0.6f /* of either side, of a heading that parts the page */
#define BESIDE      0.5f /* of the shorter column that stands beside the other */
#define PIECES_MOST 4000u

typedef struct ordering {
    const vl_piece *pieces;
    uint32_t *lines, line_count, *areas, area_count;
    uint32_t *spare; /* [count] */
} ordering;

/* ---- rows ---- */

/* glibc's qsort_r would do, but is not in C: pieces are few, and nearly sorted. */
static void sort_by_y(const ordering *o, uint32_t *index, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint32_t v = index[i];
        size_t k = i;
        for (; k > 0 && o->pieces[index[k - 1]].y > o->pieces[v].y; k--)
            index[k] = index[k - 1];
        index[k] = v;
    }
}

/* Number pieces sorted by height: those at one height that do not overlap share a line. */
static void number_rows(ordering *o, const uint32_t *index, size_t count)
{
    vl_piece last = { 0 };
    for (size_t i = 0; i < count; i++) {
        const vl_piece *p = &o->pieces[index[i]];
        float slack = 0.3f * p->height;
        bool is_same = i > 0 &&
                       fabsf(p->y - last.y) < 0.45f * fminf(p->height, last.height) &&
                       (p->x0 >= last.x1 - slack || last.x0 >= p->x1 - slack);
        if (is_same) {
            last.x0 = fminf(last.x0, p->x0);
            last.x1 = fmaxf(last.x1, p->x1);
            last.height = fminf(last.height, p->height);
        } else {
            last = *p;
            o->line_count++;
        }
        o->lines[index[i]] = o->line_count - 1;
        o->areas[index[i]] = o->area_count;
    }
    o->area_count++;
}

/* ---- columns ---- */

typedef struct side {
    uint32_t count, long_count;
    float top, bottom;
} side;

static void side_add(side *s, const vl_piece *p)
{
    s->top = s->count == 0 ? p->y : fminf(s->top, p->y);
    s->bottom = s->count == 0 ? p->y : fmaxf(s->bottom, p->y);
    s->count++;
    s->long_count += p->x1 - p->x0 >= LONG * p->height;
}

static bool is_column(const side *s)
{
    return s->long_count >= LINES_LEAST &&
           (float)s->long_count >= LONG_SHARE * (float)s->count;
}

/* How well x parts the pieces into two columns; 0: not at all. */
static float gutter_worth(const ordering *o, const uint32_t *index, size_t count, float x)
{
    side left = { 0 }, right = { 0 };
    uint32_t across = 0;
    for (size_t i = 0; i < count; i++) {
        const vl_piece *p = &o->pieces[index[i]];
        if (p->x1 <= x)
            side_add(&left, p);
        else if (p->x0 >= x)
            side_add(&right, p);
        else
            across++;
    }
    if (!is_column(&left) || !is_column(&right))
        return 0;
    float less = (float)(left.count < right.count ? left.count : right.count);
    float shared = fminf(left.bottom, right.bottom) - fmaxf(left.top, right.top);
    float shorter = fminf(left.bottom - left.top, right.bottom - right.top);
    if ((float)across > CROSS_SHARE * less || shared < BESIDE * shorter)
        return 0;
    return less / (1 + 3 * (float)across);
}

static bool find_gutter(const ordering *o, const uint32_t *index, size_t count, float *x)
{
    float best = 0;
    for (size_t i = 0; i < count; i++) {
        const vl_piece *p = &o->pieces[index[i]];
        float at = p->x1 + 0.3f * p->height;
        if (p->x1 - p->x0 < LONG * p->height)
            continue;
        float worth = gutter_worth(o, index, count, at);
        if (worth > best) {
            best = worth;
            *x = at;
        }
    }
    return best > 0;
}

/* Does a piece part the page into bands?  One that lies across the gutter and covers most of
 * both sides, or is alone in its row: neither a caption amid two columns does, nor a line
 * of one column that runs into it. */
static bool is_band(const ordering *o, const uint32_t *index, size_t count, size_t at,
                    float x)
{
    const vl_piece *p = &o->pieces[index[at]];
    float left = p->x0, right = p->x1;
    bool is_alone = true;
    if (p->x0 >= x || p->x1 <= x)
        return false;
    for (size_t i = 0; i < count; i++) {
        const vl_piece *q = &o->pieces[index[i]];
        left = fminf(left, q->x0);
        right = fmaxf(right, q->x1);
        is_alone =
            is_alone && (i == at || fabsf(q->y - p->y) > fmaxf(p->height, q->height));
    }
    return is_alone || (x - p->x0 >= BAND_SHARE * (x - left) &&
                        p->x1 - x >= BAND_SHARE * (right - x));
}

/* Left of x first, then right of it, either in its order; returns how many are left. */
static size_t part(ordering *o, uint32_t *index, size_t count, float x)
{
    size_t left = 0, right = 0;
    for (size_t i = 0; i < count; i++)
        if (o->pieces[index[i]].x0 + o->pieces[index[i]].x1 <= 2 * x)
            index[left++] = index[i];
        else
            o->spare[right++] = index[i];
    for (size_t i = 0; i < right; i++)
        index[left + i] = o->spare[i];
    return left;
}

/* `index` is sorted by height.  The depth is bounded by DEPTH_MOST. */
static void order(ordering *o, uint32_t *index, size_t count, uint32_t depth)
{
    float x = 0;
    if (depth == DEPTH_MOST || count < 2 * LINES_LEAST || count > PIECES_MOST ||
        !find_gutter(o, index, count, &x)) {
        number_rows(o, index, count);
        return;
    }
    for (size_t start = 0, end; start < count; start = end) {
        bool is_across = is_band(o, index, count, start, x);
        end = start + 1;
        while (end < count && is_band(o, index, count, end, x) == is_across)
            end++;
        if (is_across) {
            number_rows(o, index + start, end - start);
            continue;
        }
        size_t left = part(o, index + start, end - start, x);
        order(o, index + start, left, depth + 1);
        order(o, index + start + left, end - start - left, depth + 1);
    }
}

bool vl_order_pieces(const vl_piece *pieces, size_t count, uint32_t *lines,
                     uint32_t *areas)
{
    ordering o = { .pieces = pieces, .lines = lines, .areas = areas };
    uint32_t *index = malloc((count + 1) * sizeof *index);
    o.spare = malloc((count + 1) * sizeof *o.spare);
    bool is_done = index != NULL && o.spare != NULL;
    if (is_done) {
        for (uint32_t i = 0; i < count; i++)
            index[i] = i;
        sort_by_y(&o, index, count);
        order(&o, index, count, 0);
    }
    free(index);
    free(o.spare);
    return is_done;
}

/*
 * ticks.c - tick boxes of a page: signs in its text, or small frames on its picture.
 *
 * A frame is found as one connected piece of ink that has four straight sides as long as
 * they are far apart.  What a pen adds may stick out of it.  A ring to tick is rounder and
 * larger than a letter, stands apart from what follows, and has another of its size on the
 * page.
 */
#include "form.h"

#include <math.h>
#include <string.h>

#define SIDE_LEAST  0.75 /* side of a box in heights of a letter line */
#define SIDE_MOST   2.4
#define PIECE_MOST  2.0 /* a piece of ink, with pen strokes, in sides of the largest box */
#define SQUARE      1.35  /* how much longer one side may be */
#define COVERED     0.85  /* of a side that is ink */
#define OFF_BELOW   0.035 /* part of the inside that is ink */
#define ON_ABOVE    0.08
#define RING_LEAST  0.9 /* diameter of a ring in heights of a letter line */
#define ROUND       0.9 /* part of its circle that is ink */
#define TICKS_MAX   2000u
#define PIECES_MAX  400000u
#define SIDE_PIXELS 10

/* ---- signs ----------------------------------------------------------------------- */

typedef struct sign {
    const char *text;
    dx_tick_state state;
    gboolean is_sure; /* never a bullet */
} sign;

static const sign signs[] = {
    { "☐", DX_TICK_OFF, TRUE },  { "☑", DX_TICK_ON, TRUE },
    { "☒", DX_TICK_ON, TRUE },   { "[x]", DX_TICK_ON, TRUE },
    { "[X]", DX_TICK_ON, TRUE }, { "[_]", DX_TICK_OFF, TRUE },
    { "[]", DX_TICK_OFF, TRUE }, { "□", DX_TICK_OFF, FALSE },
    { "▢", DX_TICK_OFF, FALSE }, { "◻", DX_TICK_OFF, FALSE },
    { "❏", DX_TICK_OFF, FALSE }, { "❑", DX_TICK_OFF, FALSE },
    { "■", DX_TICK_ON, FALSE },  { "◼", DX_TICK_ON, FALSE },
    { "✓", DX_TICK_ON, FALSE },  { "✔", DX_TICK_ON, FALSE },
    { "✗", DX_TICK_ON, FALSE },  { "✘", DX_TICK_ON, FALSE },
};

static const sign *sign_of(const char *text)
{
    for (gsize i = 0; i < G_N_ELEMENTS(signs); i++)
        if (g_str_has_prefix(text, signs[i].text))
            return &signs[i];
    return NULL;
}

GArray *dx_ticks_set(GArray *prints)
{
    GArray *ticks = g_array_new(FALSE, FALSE, sizeof(dx_tick));
    gboolean has_open = FALSE; /* bullets alone are no boxes */
    for (guint i = 0; i < prints->len; i++) {
        const sign *s = sign_of(g_array_index(prints, dx_print, i).text);
        has_open |= s != NULL && (s->is_sure || s->state == DX_TICK_OFF);
    }
    for (guint i = 0; has_open && i < prints->len && ticks->len < TICKS_MAX; i++) {
        dx_print *p = &g_array_index(prints, dx_print, i);
        const sign *s = p->is_entry ? NULL : sign_of(p->text);
        if (s == NULL)
            continue;
        dx_tick tick = { .box = p->box, .state = s->state };
        const char *rest = p->text + strlen(s->text);
        if (*rest == '\0') {
            p->is_entry = TRUE;
        } else { /* set close to its caption */
            double part = (double)g_utf8_strlen(s->text, -1) / g_utf8_strlen(p->text, -1);
            tick.box.x1 = p->box.x0 + part * (p->box.x1 - p->box.x0);
            p->box.x0 = tick.box.x1;
            p->text = rest;
        }
        g_array_append_val(ticks, tick);
    }
    return ticks;
}

/* ---- frames ---------------------------------------------------------------------- */

typedef struct area { /* inclusive */
    gint x0, y0, x1, y1;
} area;

/* The box around the piece of ink at (x, y), which is marked as seen. */
static area flood(dx_ink *k, gint x, gint y, GArray *stack)
{
    area a = { x, y, x, y };
    guint32 at = (guint32)y * (guint32)k->width + (guint32)x;
    k->is_dark[at] = 2;
    g_array_set_size(stack, 0);
    g_array_append_val(stack, at);
    while (stack->len > 0) {
        at = g_array_index(stack, guint32, stack->len - 1);
        g_array_set_size(stack, stack->len - 1);
        gint px = (gint)(at % (guint32)k->width), py = (gint)(at / (guint32)k->width);
        a = (area){ MIN(a.x0, px), MIN(a.y0, py), MAX(a.x1, px), MAX(a.y1, py) };
        for (gint d = 0; d < 9; d++) {
            gint nx = px + d % 3 - 1, ny = py + d / 3 - 1;
            if (nx < 0 || ny < 0 || nx >= k->width || ny >= k->height)
                continue;
            guint32 next = (guint32)ny * (guint32)k->width + (guint32)nx;
            if (k->is_dark[next] == 1) {
                k->is_dark[next] = 2;
                g_array_append_val(stack, next);
            }
        }
    }
    return a;
}

/* The longest run of ink along a row (or a column) of the piece. */
static gint longest(const dx_ink *k, const area *a, gint at, gboolean is_row)
{
    gint best = 0, now = 0;
    gint first = is_row ? a->x0 : a->y0, last = is_row ? a->x1 : a->y1;
    for (gint i = first; i <= last; i++) {
        now = (is_row ? dx_ink_dark(k, i, at) : dx_ink_dark(k, at, i)) ? now + 1 : 0;
        best = MAX(best, now);
    }
    return best;
}

/* Part of the line from (x0, y0) to (x1, y1) that has ink on it or right beside it. */
static double covered(const dx_ink *k, gint x0, gint y0, gint x1, gint y1)
{
    gint n = MAX(x1 - x0, y1 - y0) + 1, hits = 0;
    gboolean is_row = y0 == y1;
    for (gint i = 0; i < n; i++) {
        gint x = is_row ? x0 + i : x0, y = is_row ? y0 : y0 + i;
        hits += dx_ink_dark(k, x, y) ||
                (is_row ? dx_ink_dark(k, x, y - 1) || dx_ink_dark(k, x, y + 1)
                        : dx_ink_dark(k, x - 1, y) || dx_ink_dark(k, x + 1, y));
    }
    return (double)hits / n;
}

/* A corner may be worn, so it is looked for one pixel further in. */
static gboolean has_corners(const dx_ink *k, const area *f)
{
    const gint xs[2] = { f->x0 + 1, f->x1 - 1 }, ys[2] = { f->y0 + 1, f->y1 - 1 };
    for (gint i = 0; i < 4; i++) {
        gint x = xs[i % 2], y = ys[i / 2], hits = 0;
        for (gint d = 0; d < 9; d++)
            hits += dx_ink_dark(k, x + d % 3 - 1, y + d / 3 - 1);
        if (hits < 4)
            return FALSE;
    }
    return TRUE;
}

/* There is paper somewhere on each side of a square that lies `in` pixels further in. */
static gboolean has_paper(const dx_ink *k, const area *f, gint in)
{
    gint w = f->x1 - f->x0 + 1, h = f->y1 - f->y0 + 1;
    gint light[4] = { 0 };
    for (gint i = in; i < MAX(w, h) - in; i++) {
        light[0] += i < w - in && !dx_ink_dark(k, f->x0 + i, f->y0 + in);
        light[1] += i < w - in && !dx_ink_dark(k, f->x0 + i, f->y1 - in);
        light[2] += i < h - in && !dx_ink_dark(k, f->x0 + in, f->y0 + i);
        light[3] += i < h - in && !dx_ink_dark(k, f->x1 - in, f->y0 + i);
    }
    return light[0] > 0 && light[1] > 0 && light[2] > 0 && light[3] > 0;
}

/* The four sides are lines, not the edges of something filled: paper follows before a fifth
 * of the way in. */
static gboolean is_thin(const dx_ink *k, const area *f)
{
    gint most = MAX(2, MIN(f->x1 - f->x0, f->y1 - f->y0) / 5);
    for (gint in = 2; in <= most; in++)
        if (has_paper(k, f, in))
            return TRUE;
    return FALSE;
}

/* The frame inside a piece of ink. */
static gboolean frame_of(const dx_ink *k, const area *a, gint least, gint most, area *out)
{
    gint top = -1, bottom = -1, left = -1, right = -1;
    for (gint y = a->y0; y <= a->y1; y++)
        if (longest(k, a, y, TRUE) >= least) {
            top = top < 0 ? y : top;
            bottom = y;
        }
    for (gint x = a->x0; x <= a->x1; x++)
        if (longest(k, a, x, FALSE) >= least) {
            left = left < 0 ? x : left;
            right = x;
        }
    if (top < 0 || right < 0)
        return FALSE;
    gint w = right - left + 1, h = bottom - top + 1;
    if (w < least || h < least || w > most || h > most || w > SQUARE * h ||
        h > SQUARE * w)
        return FALSE;
    *out = (area){ left, top, right, bottom };
    /* letters have no corners, or strokes too heavy for their size */
    return has_corners(k, out) && is_thin(k, out) &&
           covered(k, left, top, right, top) >= COVERED &&
           covered(k, left, bottom, right, bottom) >= COVERED &&
           covered(k, left, top, left, bottom) >= COVERED &&
           covered(k, right, top, right, bottom) >= COVERED;
}

/* What is inside the frame. */
static dx_tick_state state_of(const dx_ink *k, const area *f)
{
    gint side = MIN(f->x1 - f->x0, f->y1 - f->y0) + 1;
    gint inset = MAX(2, side / 6), hits = 0, count = 0;
    for (gint y = f->y0 + inset; y <= f->y1 - inset; y++)
        for (gint x = f->x0 + inset; x <= f->x1 - inset; x++, count++)
            hits += dx_ink_dark(k, x, y);
    double part = count > 0 ? (double)hits / count : 1;
    return part < OFF_BELOW  ? DX_TICK_OFF
           : part > ON_ABOVE ? DX_TICK_ON
                             : DX_TICK_UNCLEAR;
}

/* ---- rings ----------------------------------------------------------------------- */

/* Part of the circle around the middle of `a` that is ink, or has ink right beside it. */
static double on_circle(const dx_ink *k, const area *a, double radius, gboolean is_wide)
{
    double cx = (a->x0 + a->x1) / 2.0, cy = (a->y0 + a->y1) / 2.0;
    gint hits = 0, count = 48;
    for (gint i = 0; i < count; i++) {
        double c = cos(2 * G_PI * i / count), s = sin(2 * G_PI * i / count);
        gboolean is_hit = FALSE;
        for (gint d = is_wide ? -1 : 0; d <= (is_wide ? 1 : 0); d++)
            is_hit |= dx_ink_dark(k, (gint)lround(cx + (radius + d) * c),
                                  (gint)lround(cy + (radius + d) * s));
        hits += is_hit;
    }
    return (double)hits / count;
}

/* No ink right behind it: the next letter of a word is nearer. */
static gboolean is_apart(const dx_ink *k, const area *a)
{
    gint gap = MAX(2, (a->x1 - a->x0 + 1) / 5);
    for (gint x = a->x1 + 1; x <= a->x1 + gap; x++)
        for (gint y = a->y0; y <= a->y1; y++)
            if (dx_ink_dark(k, x, y))
                return FALSE;
    return TRUE;
}

static gboolean ring_of(const dx_ink *k, const area *a, gint least, gint most,
                        dx_tick_state *state)
{
    gint w = a->x1 - a->x0 + 1, h = a->y1 - a->y0 + 1;
    if (w < least || h < least || w > most || h > most || ABS(w - h) > 1 + w / 12)
        return FALSE;
    double r = (w + h) / 4.0;
    if (on_circle(k, a, r - 1, TRUE) < ROUND || on_circle(k, a, r * 0.72, FALSE) > 0.3 ||
        on_circle(k, a, r * 1.2, FALSE) > 0.1 || !is_apart(k, a))
        return FALSE;
    double inside = 0;
    for (gint i = 0; i < 4; i++)
        inside += on_circle(k, a, r * (0.05 + 0.12 * i), FALSE) / 4;
    *state = inside < 0.1 ? DX_TICK_OFF : inside > 0.3 ? DX_TICK_ON : DX_TICK_UNCLEAR;
    return TRUE;
}

/* A ring alone is a letter, a seal, a bullet. */
static void drop_lonely(GArray *rings, gint height)
{
    g_autofree gboolean *is_lonely = g_new0(gboolean, rings->len + 1);
    for (guint i = 0; i < rings->len; i++) {
        const dx_box *a = &g_array_index(rings, dx_tick, i).box;
        is_lonely[i] = TRUE;
        for (guint j = 0; j < rings->len && is_lonely[i]; j++) {
            const dx_box *b = &g_array_index(rings, dx_tick, j).box;
            double least = MIN(a->y1 - a->y0, b->y1 - b->y0);
            is_lonely[i] = i == j || fabs((a->y1 - a->y0) - (b->y1 - b->y0)) >
                                         0.12 * least + 1.0 / height;
        }
    }
    for (guint i = rings->len; i-- > 0;)
        if (is_lonely[i])
            g_array_remove_index(rings, i);
}

static gint by_row(gconstpointer a, gconstpointer b)
{
    const dx_box *p = &((const dx_tick *)a)->box, *q = &((const dx_tick *)b)->box;
    if ((p->y0 + p->y1) / 2 < q->y0 || (q->y0 + q->y1) / 2 < p->y0)
        return p->y0 < q->y0 ? -1 : 1;
    return p->x0 < q->x0 ? -1 : p->x0 > q->x0;
}

GArray *dx_ticks_drawn(const dx_ink *page, double height)
{
    GArray *ticks = g_array_new(FALSE, FALSE, sizeof(dx_tick));
    dx_ink k = *page;
    k.is_dark = g_memdup2(page->is_dark, (gsize)k.width * (gsize)k.height);
    gint least = (gint)MAX(SIDE_PIXELS, SIDE_LEAST * height);
    gint most = (gint)MAX(2 * SIDE_PIXELS, SIDE_MOST * height);
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(guint32));
    g_autoptr(GArray) rings = g_array_new(FALSE, FALSE, sizeof(dx_tick));
    gint ring = (gint)MAX(SIDE_PIXELS, RING_LEAST * height);
    guint pieces = 0;
    for (gint y = 0; y < k.height && pieces < PIECES_MAX && ticks->len < TICKS_MAX; y++)
        for (gint x = 0; x < k.width; x++) {
            if (k.is_dark[(gsize)y * (gsize)k.width + (gsize)x] != 1)
                continue;
            pieces++;
            area a = flood(&k, x, y, stack), f;
            gint w = a.x1 - a.x0 + 1, h = a.y1 - a.y0 + 1;
            dx_tick tick;
            gboolean is_ring = ring_of(&k, &a, ring, most, &tick.state);
            if (is_ring)
                f = a;
            else if (w < least || h < least || w > PIECE_MOST * most ||
                     h > PIECE_MOST * most || !frame_of(&k, &a, least, most, &f))
                continue;
            if (!is_ring)
                tick.state = state_of(&k, &f);
            tick.box = (dx_box){ (double)f.x0 / k.width, (double)f.y0 / k.height,
                                 (f.x1 + 1.0) / k.width, (f.y1 + 1.0) / k.height };
            g_array_append_val(is_ring ? rings : ticks, tick);
        }
    g_free(k.is_dark);
    drop_lonely(rings, k.height);
    g_array_append_vals(ticks, rings->data, rings->len);
    g_array_sort(ticks, by_row);
    return ticks;
}

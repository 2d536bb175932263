/*
 * ticks.c - tick boxes of a page: signs in its text, or small frames on its picture.
 *
 * A frame is found as one connected piece of ink that has four straight sides as long as
 * they are far apart.  What a pen adds may stick out of it.  Circles are not looked for:
 * they cannot be told from letters.
 */
#include "form.h"

#include <math.h>
#include <string.h>

#define INK_PART    0.78 /* darker than this part of the paper's brightness is ink */
#define SIDE_LEAST  0.75 /* side of a box in heights of a letter line */
#define SIDE_MOST   2.4
#define PIECE_MOST  2.0 /* a piece of ink, with pen strokes, in sides of the largest box */
#define SQUARE      1.35  /* how much longer one side may be */
#define COVERED     0.85  /* of a side that is ink */
#define OFF_BELOW   0.035 /* part of the inside that is ink */
#define ON_ABOVE    0.08
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

typedef struct ink {
    guint8 *is_dark; /* [width * height]; 2: seen */
    gint width, height;
} ink;

typedef struct area { /* inclusive */
    gint x0, y0, x1, y1;
} area;

static guint8 grey_at(const vl_image *m, gint x, gint y)
{
    const guint8 *p = m->data + (gsize)y * m->row_bytes + (gsize)x * m->channels;
    return m->channels == 1 ? *p : (guint8)((p[0] + 2 * p[1] + p[2]) / 4);
}

static ink ink_of(const vl_image *m)
{
    ink k = { g_malloc((gsize)m->width * m->height), (gint)m->width, (gint)m->height };
    gsize counts[256] = { 0 }, most = 0;
    for (gint y = 0; y < k.height; y++)
        for (gint x = 0; x < k.width; x++) {
            guint8 v = grey_at(m, x, y);
            k.is_dark[(gsize)y * (gsize)k.width + (gsize)x] = v;
            counts[v]++;
        }
    guint paper = 255; /* the commonest brightness of the lighter half */
    for (guint v = 128; v < 256; v++)
        if (counts[v] >= most) {
            most = counts[v];
            paper = v;
        }
    guint limit = (guint)(paper * INK_PART);
    for (gsize i = 0; i < (gsize)k.width * (gsize)k.height; i++)
        k.is_dark[i] = k.is_dark[i] < limit;
    return k;
}

static gboolean dark(const ink *k, gint x, gint y)
{
    return x >= 0 && y >= 0 && x < k->width && y < k->height &&
           k->is_dark[(gsize)y * (gsize)k->width + (gsize)x] != 0;
}

/* The box around the piece of ink at (x, y), which is marked as seen. */
static area flood(ink *k, gint x, gint y, GArray *stack)
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
static gint longest(const ink *k, const area *a, gint at, gboolean is_row)
{
    gint best = 0, now = 0;
    gint first = is_row ? a->x0 : a->y0, last = is_row ? a->x1 : a->y1;
    for (gint i = first; i <= last; i++) {
        now = (is_row ? dark(k, i, at) : dark(k, at, i)) ? now + 1 : 0;
        best = MAX(best, now);
    }
    return best;
}

/* Part of the line from (x0, y0) to (x1, y1) that has ink on it or right beside it. */
static double covered(const ink *k, gint x0, gint y0, gint x1, gint y1)
{
    gint n = MAX(x1 - x0, y1 - y0) + 1, hits = 0;
    gboolean is_row = y0 == y1;
    for (gint i = 0; i < n; i++) {
        gint x = is_row ? x0 + i : x0, y = is_row ? y0 : y0 + i;
        hits += dark(k, x, y) || (is_row ? dark(k, x, y - 1) || dark(k, x, y + 1)
                                         : dark(k, x - 1, y) || dark(k, x + 1, y));
    }
    return (double)hits / n;
}

static gboolean has_corners(const ink *k, const area *f)
{
    const gint xs[2] = { f->x0, f->x1 }, ys[2] = { f->y0, f->y1 };
    for (gint i = 0; i < 4; i++) {
        gint x = xs[i % 2], y = ys[i / 2], hits = 0;
        for (gint d = 0; d < 9; d++)
            hits += dark(k, x + d % 3 - 1, y + d / 3 - 1);
        if (hits < 3)
            return FALSE;
    }
    return TRUE;
}

/* The four sides are lines: a fifth of the way in there is paper somewhere on each. */
static gboolean is_thin(const ink *k, const area *f)
{
    gint w = f->x1 - f->x0 + 1, h = f->y1 - f->y0 + 1, in = MAX(2, MIN(w, h) / 5);
    gint light[4] = { 0 };
    for (gint i = in; i < MAX(w, h) - in; i++) {
        light[0] += i < w - in && !dark(k, f->x0 + i, f->y0 + in);
        light[1] += i < w - in && !dark(k, f->x0 + i, f->y1 - in);
        light[2] += i < h - in && !dark(k, f->x0 + in, f->y0 + i);
        light[3] += i < h - in && !dark(k, f->x1 - in, f->y0 + i);
    }
    return light[0] > 0 && light[1] > 0 && light[2] > 0 && light[3] > 0;
}

/* The frame inside a piece of ink. */
static gboolean frame_of(const ink *k, const area *a, gint least, gint most, area *out)
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

/* What is inside the frame; FALSE when it is filled up and no box at all. */
static gboolean state_of(const ink *k, const area *f, dx_tick_state *state)
{
    gint side = MIN(f->x1 - f->x0, f->y1 - f->y0) + 1;
    gint inset = MAX(2, side / 6), hits = 0, count = 0;
    for (gint y = f->y0 + inset; y <= f->y1 - inset; y++)
        for (gint x = f->x0 + inset; x <= f->x1 - inset; x++, count++)
            hits += dark(k, x, y);
    double part = count > 0 ? (double)hits / count : 1;
    *state = part < OFF_BELOW  ? DX_TICK_OFF
             : part > ON_ABOVE ? DX_TICK_ON
                               : DX_TICK_UNCLEAR;
    /* a letter in a reversed field, a bullet: ink to the edges */
    gint rim = 0, rim_count = 0;
    for (gint i = f->x0 + inset; i <= f->x1 - inset; i++, rim_count += 2)
        rim += dark(k, i, f->y0 + inset) + dark(k, i, f->y1 - inset);
    return count > 0 && !(rim_count > 0 && rim == rim_count);
}

GArray *dx_ticks_drawn(const vl_image *image, double height)
{
    GArray *ticks = g_array_new(FALSE, FALSE, sizeof(dx_tick));
    ink k = ink_of(image);
    gint least = (gint)MAX(SIDE_PIXELS, SIDE_LEAST * height * k.height);
    gint most = (gint)MAX(2 * SIDE_PIXELS, SIDE_MOST * height * k.height);
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(guint32));
    guint pieces = 0;
    for (gint y = 0; y < k.height && pieces < PIECES_MAX && ticks->len < TICKS_MAX; y++)
        for (gint x = 0; x < k.width; x++) {
            if (k.is_dark[(gsize)y * (gsize)k.width + (gsize)x] != 1)
                continue;
            pieces++;
            area a = flood(&k, x, y, stack), f;
            gint w = a.x1 - a.x0 + 1, h = a.y1 - a.y0 + 1;
            dx_tick tick;
            if (w < least || h < least || w > PIECE_MOST * most ||
                h > PIECE_MOST * most || !frame_of(&k, &a, least, most, &f) ||
                !state_of(&k, &f, &tick.state))
                continue;
            tick.box = (dx_box){ (double)f.x0 / k.width, (double)f.y0 / k.height,
                                 (f.x1 + 1.0) / k.width, (f.y1 + 1.0) / k.height };
            g_array_append_val(ticks, tick);
        }
    g_free(k.is_dark);
    return ticks;
}

/*
 * ink.c - dark pixels of an upright page, and the lines ruled on it.
 *
 * A pixel is ink when it is darker than the mean of its surroundings.  A line is a chain of
 * runs in neighbouring rows (or columns) that is long, thin and nearly without gaps: rows
 * of letters have more gaps, bands are thicker.
 */
#include "ink.h"

#include <math.h>

#define DARKER     0.11 /* than the surroundings, of white */
#define AROUND     24   /* half the side of the surroundings, pixels */
#define DOTTED     0.3  /* part of a run that is ink, at least */
#define FULL       0.8  /* less of it is a row of dots */
#define BESIDE     1    /* pixels from a line to what must be paper */
#define ALONE      0.3  /* part of that which may be ink */
#define ALONE_DOTS 0.12
#define WRITTEN    0.5  /* the same where words stand on the line */
#define SLANT      0.01 /* rows that a line may rise over a pixel of its length */
#define RULES_MAX  20000u

/* ---- pixels ------------------------------------------------------------------------- */

/* Where the upright page's points lie on the picture: x = a + b x' + c y', y likewise. */
typedef struct turn {
    double x[3], y[3];
} turn;

static void corner(const vl_text *text, float x, float y, double out[2])
{
    float box[4] = { x, y, x, y };
    vl_text_to_picture(text, box);
    out[0] = (double)box[0];
    out[1] = (double)box[1];
}

/* From three points well inside: the edges may lie outside the picture. */
static turn turn_of(const vl_text *text, double w, double h)
{
    double o[2], p[2], q[2];
    float x0 = (float)(w / 4), x1 = (float)(w * 3 / 4), y0 = (float)(h / 4),
          y1 = (float)(h * 3 / 4);
    corner(text, x0, y0, o);
    corner(text, x1, y0, p);
    corner(text, x0, y1, q);
    turn t;
    double *const out[2] = { t.x, t.y };
    for (gint i = 0; i < 2; i++) {
        out[i][1] = (p[i] - o[i]) / (w / 2);
        out[i][2] = (q[i] - o[i]) / (h / 2);
        out[i][0] = o[i] - out[i][1] * w / 4 - out[i][2] * h / 4;
    }
    return t;
}

static guint8 grey_at(const vl_image *m, gint x, gint y)
{
    const guint8 *p = m->data + (gsize)y * m->row_bytes + (gsize)x * m->channels;
    return m->channels == 1 ? *p : (guint8)((p[0] + 2 * p[1] + p[2]) / 4);
}

/* Grey of the upright page; white outside the picture. */
static void take_grey(dx_ink *k, const vl_image *m, const vl_text *text)
{
    turn t = { { 0, 1, 0 }, { 0, 0, 1 } };
    if (text != NULL)
        t = turn_of(text, k->width, k->height);
    for (gint y = 0; y < k->height; y++)
        for (gint x = 0; x < k->width; x++) {
            gint px = (gint)floor(t.x[0] + t.x[1] * (x + 0.5) + t.x[2] * (y + 0.5)),
                 py = (gint)floor(t.y[0] + t.y[1] * (x + 0.5) + t.y[2] * (y + 0.5));
            gboolean is_in =
                px >= 0 && py >= 0 && px < (gint)m->width && py < (gint)m->height;
            k->is_dark[(gsize)y * (gsize)k->width + (gsize)x] =
                is_in ? grey_at(m, px, py) : 255;
        }
}

/* Grey becomes ink: each pixel against the mean of the square around it.  `sums` has the
 * sums of the columns of the square, so a pixel costs a few additions. */
static void to_ink(dx_ink *k)
{
    gsize w = (gsize)k->width, h = (gsize)k->height;
    g_autofree guint8 *grey = g_memdup2(k->is_dark, w * h);
    g_autofree guint32 *sums = g_new0(guint32, w);
    for (gint y = -AROUND; y < k->height; y++) {
        gint in = y + AROUND, out = y - AROUND - 1;
        for (gsize x = 0; x < w; x++) {
            if (in < k->height)
                sums[x] += grey[(gsize)in * w + x];
            if (out >= 0)
                sums[x] -= grey[(gsize)out * w + x];
        }
        if (y < 0)
            continue;
        gint rows = MIN(in, k->height - 1) - MAX(out, -1);
        guint64 sum = 0;
        for (gint x = -AROUND; x < k->width; x++) {
            sum += x + AROUND < k->width ? sums[x + AROUND] : 0;
            sum -= x - AROUND - 1 >= 0 ? sums[x - AROUND - 1] : 0;
            if (x < 0)
                continue;
            gint columns = MIN(x + AROUND, k->width - 1) - MAX(x - AROUND - 1, -1);
            double mean = (double)sum / ((double)rows * columns);
            gsize at = (gsize)y * w + (gsize)x;
            k->is_dark[at] = grey[at] + DARKER * 255 < mean;
        }
    }
}

dx_ink *dx_ink_new(const vl_image *image, const vl_text *text)
{
    dx_ink *k = g_new0(dx_ink, 1);
    k->width = (gint)image->width;
    k->height = (gint)image->height;
    if (text != NULL) {
        k->width = (gint)vl_text_upright(text).width;
        k->height = (gint)vl_text_upright(text).height;
    }
    k->is_dark = g_malloc((gsize)k->width * (gsize)k->height);
    take_grey(k, image, text);
    to_ink(k);
    return k;
}

void dx_ink_free(dx_ink *k)
{
    if (k == NULL)
        return;
    g_free(k->is_dark);
    g_free(k);
}

gboolean dx_ink_dark(const dx_ink *k, gint x, gint y)
{
    return x >= 0 && y >= 0 && x < k->width && y < k->height &&
           k->is_dark[(gsize)y * (gsize)k->width + (gsize)x] != 0;
}

/* ---- lines -------------------------------------------------------------------------- */

typedef struct span {
    gint from, to;
} span;

typedef struct chain {
    span all, now, was; /* of all its runs; of those in the last row; in the row before */
    gint first, last;   /* rows */
    double weight, sum; /* lengths, lengths times rows */
    double hits;        /* pixels that are ink */
} chain;

typedef struct tracer {
    const dx_ink *ink;
    gboolean is_upright;
    gint length, count; /* of a row; rows */
    double least, most;
    gint gap;     /* pixels inside a run */
    GArray *open; /* of chain */
    GArray *rules;
} tracer;

static gboolean dark(const tracer *t, gint row, gint i)
{
    return t->is_upright ? dx_ink_dark(t->ink, row, i) : dx_ink_dark(t->ink, i, row);
}

/* A slanting line leaves a row where it enters the next. */
static gboolean is_inked(const tracer *t, gint row, gint i)
{
    return dark(t, row, i) || dark(t, row - 1, i) || dark(t, row + 1, i);
}

/* Part of a row that is ink. */
static double fullness(const tracer *t, gint row, gint from, gint to)
{
    gint hits = 0;
    for (gint i = from; i <= to; i++)
        hits += dark(t, row, i);
    return (double)hits / (to - from + 1);
}

/* Paper on both sides; letters have more of themselves on one.  The line may slant and
 * have words on one half, so the halves are looked at for themselves. */
static gboolean is_alone(const tracer *t, const chain *c)
{
    gint half = (c->all.to - c->all.from + 1) / 2;
    double most = c->hits < FULL * c->weight ? ALONE_DOTS : ALONE;
    for (gint side = -1; side <= 1; side += 2) {
        gint row = side < 0 ? c->first - BESIDE : c->last + BESIDE;
        double one = fullness(t, row, c->all.from, c->all.from + half),
               other = fullness(t, row, c->all.to - half, c->all.to);
        if (MIN(one, other) > most || MAX(one, other) > WRITTEN)
            return FALSE;
    }
    return TRUE;
}

static void close_chain(tracer *t, const chain *c)
{
    double length = c->all.to - c->all.from + 1, thick = c->last - c->first + 1;
    if (length < t->least || thick > t->most + SLANT * length ||
        c->weight < 0.9 * length || !is_alone(t, c) || t->rules->len >= RULES_MAX)
        return;
    dx_rule rule = { c->all.from, c->all.to + 1, c->sum / c->weight + 0.5 };
    g_array_append_val(t->rules, rule);
}

static span around(span a, span b)
{
    return (span){ MIN(a.from, b.from), MAX(a.to, b.to) };
}

static gboolean is_near(const tracer *t, span a, span b)
{
    return a.from <= b.to + t->gap && a.to >= b.from - t->gap;
}

/* A run joins every chain that it touches, and these become one. */
static void add_run(tracer *t, gint row, span run, gint hits)
{
    double n = run.to - run.from + 1;
    chain whole = { run, run, run, row, row, n, n * row, hits };
    for (guint i = t->open->len; i-- > 0;) {
        chain c = g_array_index(t->open, chain, i);
        if (!is_near(t, run, c.now) && !is_near(t, run, c.was))
            continue;
        whole.was = c.last == row ? around(whole.was, c.was) : around(whole.was, c.now);
        whole.now = c.last == row ? around(whole.now, c.now) : whole.now;
        whole.all = around(whole.all, c.all);
        whole.first = MIN(whole.first, c.first);
        whole.weight += c.weight;
        whole.sum += c.sum;
        whole.hits += c.hits;
        g_array_remove_index_fast(t->open, i);
    }
    g_array_append_val(t->open, whole);
}

static void take_row(tracer *t, gint row)
{
    gint from = -1, last = -1, hits = 0;
    gint shortest = (gint)(t->least * 0.5);
    for (gint i = 0; i <= t->length + t->gap; i++) {
        if (i < t->length && is_inked(t, row, i)) {
            if (from < 0) {
                from = i;
                hits = 0;
            }
            last = i;
            hits++;
        } else if (from >= 0 && i - last > t->gap) {
            gint n = last - from + 1;
            if (n >= shortest && hits >= DOTTED * n)
                add_run(t, row, (span){ from, last }, hits);
            from = -1;
        }
    }
}

static gint by_place(gconstpointer a, gconstpointer b)
{
    const dx_rule *p = a, *q = b;
    return p->at < q->at ? -1 : p->at > q->at;
}

GArray *dx_ink_rules(const dx_ink *ink, gboolean is_upright, double least, double most)
{
    tracer t = { .ink = ink,
                 .is_upright = is_upright,
                 .length = is_upright ? ink->height : ink->width,
                 .count = is_upright ? ink->width : ink->height,
                 .least = MAX(least, 8),
                 .gap = (gint)CLAMP(most * 0.7, 2, 5),
                 .most = most + 2, /* the rows above and below that is_inked() adds */
                 .open = g_array_new(FALSE, FALSE, sizeof(chain)),
                 .rules = g_array_new(FALSE, FALSE, sizeof(dx_rule)) };
    for (gint row = 0; row <= t.count + 1; row++) {
        if (row < t.count)
            take_row(&t, row);
        for (guint i = t.open->len; i-- > 0;) {
            const chain *c = &g_array_index(t.open, chain, i);
            if (c->last + 1 < row || row > t.count) {
                close_chain(&t, c);
                g_array_remove_index_fast(t.open, i);
            }
        }
    }
    g_array_unref(t.open);
    g_array_sort(t.rules, by_place);
    return t.rules;
}

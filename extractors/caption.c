/*
 * caption.c - the printed words that name a field of a form.
 *
 * A caption stands above its field from the same left edge, or before it on its row, or
 * below the line that is written on.  That of a tick box stands behind the box, else before
 * it.  Lines go on while they follow closely.
 */
#include "form.h"

#include <string.h>

#define LINES_MAX 4u

/* Distances in heights of a letter line. */
#define WORD_GAP   0.8  /* inside one caption */
#define NUMBER_GAP 3.0  /* behind the number of a field */
#define BEFORE_MAX 12.0 /* from a caption to the field behind it */
#define NEAR_MAX   1.2
#define ABOVE_MAX  3.2
#define BELOW_MAX  1.0
#define LINE_STEP  1.5

typedef struct finder {
    const GArray *prints;
    const dx_spot *spot;
    double height; /* of the line looked at */
} finder;

static const dx_print *print_at(const finder *f, guint i)
{
    return &g_array_index(f->prints, dx_print, i);
}

static double middle(const dx_box *b)
{
    return (b->y0 + b->y1) / 2;
}

static double height_of(const dx_box *b)
{
    return MAX(b->y1 - b->y0, 1e-4);
}

static gboolean is_on_row(const dx_box *a, const dx_box *b)
{
    return middle(a) > b->y0 && middle(a) < b->y1;
}

/* Widths count in the page's height, as heights do. */
static double gap_x(const finder *f, double from, double to)
{
    return (to - from) * f->spot->aspect;
}

/* Another field between two places of a row: the word belongs to that one. */
static gboolean is_parted(const finder *f, double x0, double x1, double y)
{
    for (guint i = 0; i < f->spot->others->len; i++) {
        const dx_box *o = &g_array_index(f->spot->others, dx_box, i);
        double x = (o->x0 + o->x1) / 2;
        gboolean is_self = o->x0 == f->spot->box.x0 && o->y0 == f->spot->box.y0 &&
                           o->x1 == f->spot->box.x1;
        if (!is_self && x > x0 && x < x1 && y > o->y0 && y < o->y1)
            return TRUE;
    }
    return FALSE;
}

/* Half way to the next small box on either side, for captions above and below. */
static void bounds(const finder *f, double *x0, double *x1)
{
    const dx_box *b = &f->spot->box;
    *x0 = f->spot->is_tick ? 0 : b->x0 - 0.8 * height_of(b);
    *x1 = f->spot->is_tick ? 1 : b->x1;
    for (guint i = 0; i < f->spot->others->len; i++) {
        const dx_box *o = &g_array_index(f->spot->others, dx_box, i);
        if (!is_on_row(o, b) && !is_on_row(b, o))
            continue;
        if (o->x0 >= b->x1)
            *x1 = MIN(*x1, f->spot->is_tick ? (b->x1 + o->x0) / 2 : o->x0);
        else if (o->x1 <= b->x0)
            *x0 = MAX(*x0, f->spot->is_tick ? (o->x1 + b->x0) / 2 : o->x1);
    }
}

/* A sign that says nothing by itself: "$", ":", "|". */
static gboolean is_bare(const char *text)
{
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c))
        if (g_unichar_isalnum(g_utf8_get_char(c)))
            return FALSE;
    return TRUE;
}

/* "1", "2a", "11.", "IV)": what counts the fields of a form; a caption starts with it. */
static gboolean is_number(const char *text)
{
    gsize n = strspn(text, "0123456789");
    if (n == 0)
        n = strspn(text, "IVX");
    if (n == 0 || n > 3)
        return FALSE;
    if (g_ascii_islower(text[n]))
        n++;
    return text[n + strspn(text + n, ".):")] == '\0';
}

typedef struct line {
    GPtrArray *words; /* of dx_print, left to right */
    dx_box box;
} line;

static gint by_x(gconstpointer a, gconstpointer b)
{
    const dx_print *p = *(const dx_print *const *)a, *q = *(const dx_print *const *)b;
    return p->box.x0 < q->box.x0 ? -1 : p->box.x0 > q->box.x0;
}

static void line_clear(line *l)
{
    g_clear_pointer(&l->words, g_ptr_array_unref);
}

/* The run of words around `seed` on its row, inside [x0, x1], without wide gaps. */
static line run_around(const finder *f, const dx_print *seed, double x0, double x1)
{
    line l = { .words = g_ptr_array_new(), .box = seed->box };
    for (guint i = 0; i < f->prints->len; i++) {
        const dx_print *p = print_at(f, i);
        double x = (p->box.x0 + p->box.x1) / 2;
        if (p == seed ||
            (!p->is_entry && x > x0 && x < x1 && is_on_row(&p->box, &seed->box)))
            g_ptr_array_add(l.words, (gpointer)p);
    }
    g_ptr_array_sort(l.words, by_x);
    guint at = 0;
    while (g_ptr_array_index(l.words, at) != seed)
        at++;
    guint first = at, last = at;
    double h = height_of(&seed->box), most = WORD_GAP * h;
    while (first > 0) {
        const dx_print *p = g_ptr_array_index(l.words, first - 1);
        const dx_print *q = g_ptr_array_index(l.words, first);
        if (gap_x(f, p->box.x1, q->box.x0) >
                (is_number(p->text) ? NUMBER_GAP * h : most) ||
            is_parted(f, p->box.x1, q->box.x0, middle(&seed->box)))
            break;
        first--;
    }
    while (last + 1 < l.words->len) {
        const dx_print *p = g_ptr_array_index(l.words, last);
        const dx_print *q = g_ptr_array_index(l.words, last + 1);
        gboolean is_first = last == first && is_number(p->text);
        if (gap_x(f, p->box.x1, q->box.x0) > (is_first ? NUMBER_GAP * h : most) ||
            is_parted(f, p->box.x1, q->box.x0, middle(&seed->box)))
            break;
        last++;
    }
    g_ptr_array_set_size(l.words, (gint)last + 1);
    if (first > 0)
        g_ptr_array_remove_range(l.words, 0, first);
    for (guint i = 0; i < l.words->len; i++) {
        const dx_box *b = &((const dx_print *)g_ptr_array_index(l.words, i))->box;
        l.box = (dx_box){ MIN(l.box.x0, b->x0), MIN(l.box.y0, b->y0),
                          MAX(l.box.x1, b->x1), MAX(l.box.y1, b->y1) };
    }
    return l;
}

static void add_line(GString *out, const line *l, gboolean is_before, dx_box *box)
{
    g_autoptr(GString) text = g_string_new(NULL);
    for (guint i = 0; i < l->words->len; i++) {
        dx_print *word = g_ptr_array_index(l->words, i);
        word->is_named = TRUE;
        g_string_append_printf(text, "%s%s", i > 0 ? " " : "", word->text);
    }
    *box = out->len == 0 ? l->box
                         : (dx_box){ MIN(box->x0, l->box.x0), MIN(box->y0, l->box.y0),
                                     MAX(box->x1, l->box.x1), MAX(box->y1, l->box.y1) };
    if (is_before && out->len > 0)
        g_string_append_c(text, ' ');
    else if (!is_before && out->len > 0)
        g_string_append_c(out, ' ');
    g_string_insert(out, is_before ? 0 : -1, text->str);
}

/* The next line of a caption, above (step < 0) or below: it starts near the same edge. */
static const dx_print *next_line(const finder *f, const dx_box *from, gboolean is_up)
{
    double h = height_of(from);
    for (guint i = 0; i < f->prints->len; i++) {
        const dx_print *p = print_at(f, i);
        double step =
            is_up ? middle(from) - middle(&p->box) : middle(&p->box) - middle(from);
        double edge = gap_x(f, from->x0, p->box.x0);
        if (!p->is_entry && step > 0.6 * h && step < LINE_STEP * h && edge > -1.6 * h &&
            edge < 1.6 * h && height_of(&p->box) < 1.4 * h &&
            height_of(&p->box) > 0.7 * h && !is_bare(p->text))
            return p;
    }
    return NULL;
}

static char *whole(const finder *f, const dx_print *seed, double x0, double x1, int going,
                   dx_box *box)
{
    GString *out = g_string_new(NULL);
    line l = run_around(f, seed, x0, x1);
    for (guint n = 0; n < LINES_MAX; n++) {
        add_line(out, &l, going < 0, box);
        gboolean is_start =
            is_number(((const dx_print *)g_ptr_array_index(l.words, 0))->text);
        const dx_print *next = going == 0 || (going < 0 && is_start)
                                   ? NULL
                                   : next_line(f, &l.box, going < 0);
        dx_box from = l.box;
        line_clear(&l);
        if (next == NULL ||
            is_parted(f, MIN(from.x0, next->box.x0) - 0.05, from.x0, middle(&next->box)))
            break;
        l = run_around(f, next, x0, x1);
    }
    line_clear(&l);
    while (out->len > 0 && strchr(": .$|_", out->str[out->len - 1]) != NULL)
        g_string_truncate(out, out->len - 1);
    return g_string_free(out, FALSE);
}

/* The word whose edge is nearest to the field on its row: before it, or behind. */
static const dx_print *beside(const finder *f, gboolean is_before, double most)
{
    const dx_box *b = &f->spot->box;
    const dx_print *best = NULL;
    double least = 0;
    for (guint i = 0; i < f->prints->len; i++) {
        const dx_print *p = print_at(f, i);
        double slack = 0.3 * height_of(&p->box) / f->spot->aspect;
        if (p->is_entry || is_bare(p->text) ||
            (!is_on_row(&p->box, b) && !is_on_row(b, &p->box)))
            continue;
        double gap = is_before ? gap_x(f, p->box.x1, b->x0) : gap_x(f, b->x1, p->box.x0);
        if (gap < -slack || gap > most * height_of(&p->box) ||
            is_parted(f, is_before ? p->box.x1 : b->x1, is_before ? b->x0 : p->box.x0,
                      middle(b)))
            continue;
        if (best == NULL || gap < least) {
            best = p;
            least = gap;
        }
    }
    return best;
}

/* The lowest word above the field (or the highest below), over its width. */
static const dx_print *over(const finder *f, gboolean is_above, double most)
{
    const dx_box *b = &f->spot->box;
    double x0, x1;
    bounds(f, &x0, &x1);
    const dx_print *best = NULL;
    double least = 0;
    for (guint i = 0; i < f->prints->len; i++) {
        const dx_print *p = print_at(f, i);
        double x = (p->box.x0 + p->box.x1) / 2, h = height_of(&p->box);
        double gap = is_above ? b->y0 - p->box.y1 : p->box.y0 - b->y1;
        gboolean is_over = f->spot->is_tick
                               ? p->box.x1 > b->x0 - 3 * h && p->box.x0 < b->x1 + 3 * h
                               : TRUE;
        if (p->is_entry || is_bare(p->text) || x < x0 || x > x1 || !is_over ||
            gap < -0.6 * h || gap > most * h)
            continue;
        /* of one row the leftmost */
        if (best == NULL || gap < least - 0.5 * h ||
            (gap < least + 0.5 * h && p->box.x0 < best->box.x0)) {
            best = p;
            least = gap;
        }
    }
    return best;
}

/* Another field stands under this word: it names that one. */
static gboolean is_over_other(const finder *f, const dx_print *p)
{
    double h = height_of(&p->box), x = (p->box.x0 + p->box.x1) / 2;
    for (guint i = 0; i < f->spot->others->len; i++) {
        const dx_box *o = &g_array_index(f->spot->others, dx_box, i);
        if (o->y0 > middle(&p->box) && o->y0 - p->box.y1 < ABOVE_MAX * h &&
            x > o->x0 - 3 * h && x < o->x1)
            return TRUE;
    }
    return FALSE;
}

char *dx_caption(GArray *prints, const dx_spot *spot, dx_box *box)
{
    dx_box place;
    box = box != NULL ? box : &place;
    finder f = { .prints = prints, .spot = spot };
    double x0, x1;
    bounds(&f, &x0, &x1);
    const dx_print *seed;
    if (spot->is_tick) {
        if ((seed = beside(&f, FALSE, NEAR_MAX * 2)) != NULL)
            return whole(&f, seed, spot->box.x1, 1, 1, box);
        if ((seed = beside(&f, TRUE, NEAR_MAX * 2)) != NULL)
            return whole(&f, seed, 0, spot->box.x0, -1, box);
        if ((seed = over(&f, TRUE, ABOVE_MAX)) != NULL)
            return whole(&f, seed, x0, x1, -1, box);
        return NULL;
    }
    const dx_print *below = over(&f, FALSE, BELOW_MAX);
    if (below != NULL && is_over_other(&f, below))
        below = NULL;
    seed = over(&f, TRUE, NEAR_MAX);
    if (seed != NULL && below != NULL && /* the name under a line that is written on */
        below->box.y0 - spot->box.y1 <
            spot->box.y0 - seed->box.y1 - 0.3 * height_of(&seed->box))
        return whole(&f, below, x0, 1, 0, box);
    if (seed != NULL)
        return whole(&f, seed, x0, 1, -1, box);
    if ((seed = beside(&f, TRUE, BEFORE_MAX)) != NULL)
        return whole(&f, seed, 0, spot->box.x0, 0, box);
    if ((seed = over(&f, TRUE, ABOVE_MAX)) != NULL)
        return whole(&f, seed, x0, 1, -1, box);
    return below != NULL ? whole(&f, below, x0, 1, 0, box) : NULL;
}

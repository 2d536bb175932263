/*
 * entries.c - what was written into a form, and the captions that ask for it.
 *
 * The page's words become pieces: words of one row that no wide gap, ruled line or colon
 * parts.  A caption stands before its entry, above it, or below the line that it is
 * written on.  Every such couple of pieces is weighed by what the page shows: colons,
 * lines under the entry, boxes, size and distance, and what entries are made of.  The
 * best couples are taken first; the commoner of "before" and "above" on the page helps.
 * Pieces that remain join the caption or entry whose next line they are.
 */
#include "form.h"

#include <math.h>
#include <string.h>

#define ROW_SAME      0.45 /* heights between the middles of words on one row */
#define WORD_GAP      0.85 /* ems; wider ends a piece */
#define SET_GAP       0.65 /* the same of a text layer, whose places are exact */
#define COMB_GAP      2.4  /* ems between single letters in boxes */
#define COMB          4.0  /* logits that letters in boxes are worth */
#define SIGN_GAP      7.0  /* ems behind a currency sign */
#define BESIDE_MAX    30.0 /* ems */
#define ABOVE_MAX     2.6
#define RULE_NEAR     1.0  /* ems between an entry and the line under it */
#define TALL          0.95 /* ems of the least upright line */
#define WORTH_MIN     1.0
#define LINE_STEP     1.75
#define CAPTION_STEP  1.35
#define ITEM_GAP      3.5
#define SPECK         0.8 /* chance */
#define PIECES_MAX    1500u
#define CAPTION_WORDS 14u

typedef struct piece {
    GPtrArray *words; /* of dx_print, left to right; borrowed */
    dx_box box;       /* pixels, as all places here */
    double em, prob;
    char *text;
    double entry;         /* how much it looks like an entry by itself */
    const dx_rule *under; /* the line that it stands on */
    gboolean is_asking;   /* ends with a colon or question mark */
    gint partner;         /* -1: none */
    gboolean is_caption;
    gboolean is_joined; /* to another piece */
} piece;

typedef enum place { BESIDE, ABOVE, BELOW, PLACES } place;

typedef struct couple {
    guint caption, entry;
    place where;
    double worth;
} couple;

typedef struct desk {
    double width, height;
    double em;               /* usual */
    GArray *level, *upright; /* of dx_rule */
    GArray *pieces;
    GArray *couples;
    double liking[PLACES];
} desk;

static piece *piece_at(const desk *d, guint i)
{
    return &g_array_index(d->pieces, piece, i);
}

static double middle(const dx_box *b)
{
    return (b->y0 + b->y1) / 2;
}

/* ---- lines --------------------------------------------------------------------------- */

/* An upright line between two places of a row. */
static gboolean is_walled(const desk *d, double x0, double x1, double y)
{
    for (guint i = 0; i < d->upright->len; i++) {
        const dx_rule *r = &g_array_index(d->upright, dx_rule, i);
        if (r->at > x0 && r->at < x1 && r->from < y && r->to > y)
            return TRUE;
    }
    return FALSE;
}

/* A level line between two heights, over most of [x0, x1]. */
static gboolean is_floored(const desk *d, double x0, double x1, double y0, double y1)
{
    for (guint i = 0; i < d->level->len; i++) {
        const dx_rule *r = &g_array_index(d->level, dx_rule, i);
        if (r->at > y0 && r->at < y1 &&
            MIN(r->to, x1) - MAX(r->from, x0) > 0.5 * (x1 - x0))
            return TRUE;
    }
    return FALSE;
}

/* The line that words over [x0, x1] stand on. */
static const dx_rule *rule_under(const desk *d, double x0, double x1, double y, double em)
{
    for (guint i = 0; i < d->level->len; i++) {
        const dx_rule *r = &g_array_index(d->level, dx_rule, i);
        if (r->at > y - 0.35 * em && r->at < y + RULE_NEAR * em &&
            MIN(r->to, x1) - MAX(r->from, x0) > 0.6 * (x1 - x0))
            return r;
    }
    return NULL;
}

/* ---- pieces --------------------------------------------------------------------------- */

static gboolean is_bare(const char *text)
{
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c))
        if (g_unichar_isalnum(g_utf8_get_char(c)))
            return FALSE;
    return TRUE;
}

static gboolean is_money_sign(const char *text)
{
    static const char *const signs[] = { "$", "€", "£", "US$", "RM", "zł", "Kč", "CHF" };
    for (gsize i = 0; i < G_N_ELEMENTS(signs); i++)
        if (strcmp(text, signs[i]) == 0)
            return TRUE;
    return FALSE;
}

static gboolean is_single(const dx_print *p)
{
    return g_utf8_strlen(p->text, -1) == 1 && !is_bare(p->text);
}

static gboolean ends_asking(const char *text)
{
    gsize n = strlen(text);
    return n > 1 && (text[n - 1] == ':' || text[n - 1] == '?');
}

static dx_box box_of(const desk *d, const dx_print *p)
{
    return (dx_box){ p->box.x0 * d->width, p->box.y0 * d->height, p->box.x1 * d->width,
                     p->box.y1 * d->height };
}

static gint by_x(gconstpointer a, gconstpointer b)
{
    const dx_print *p = *(const dx_print *const *)a, *q = *(const dx_print *const *)b;
    return p->box.x0 < q->box.x0 ? -1 : p->box.x0 > q->box.x0;
}

static gint by_y(gconstpointer a, gconstpointer b)
{
    const dx_print *p = *(const dx_print *const *)a, *q = *(const dx_print *const *)b;
    double x = p->box.y0 + p->box.y1, y = q->box.y0 + q->box.y1;
    return x < y ? -1 : x > y;
}

/* A line starts or ends between two words: what stands on it is the entry. */
static gboolean is_rule_edge(const desk *d, const dx_box *a, const dx_box *b, double em)
{
    const dx_rule *before = rule_under(d, a->x0, a->x1, a->y1, em),
                  *after = rule_under(d, b->x0, b->x1, b->y1, em);
    if (before == NULL && after != NULL)
        return after->from > a->x0 + 0.5 * em && after->from < b->x0 + 0.8 * em;
    return before != NULL && after == NULL && before->to < b->x1 - 0.5 * em &&
           before->to > a->x1 - 0.8 * em;
}

static gboolean is_break(const desk *d, const dx_print *p, const dx_print *q,
                         gboolean *comb)
{
    dx_box a = box_of(d, p), b = box_of(d, q);
    double em = MAX(p->em, q->em) * d->height, least = MIN(p->em, q->em) * d->height;
    double gap = b.x0 - a.x1;
    *comb = FALSE;
    if (is_single(p) && is_single(q) && gap < COMB_GAP * em &&
        is_walled(d, (a.x0 + a.x1) / 2, (b.x0 + b.x1) / 2, middle(&a))) {
        *comb = TRUE;
        return FALSE;
    }
    if (is_money_sign(p->text) && gap < SIGN_GAP * em &&
        !is_walled(d, a.x1, b.x0, middle(&a)))
        return FALSE;
    return gap > (p->prob < 1 || q->prob < 1 ? WORD_GAP : SET_GAP) * em ||
           ends_asking(p->text) || em > 1.5 * least ||
           is_walled(d, a.x1 - 0.2 * em, b.x0 + 0.2 * em, middle(&a)) ||
           is_rule_edge(d, &a, &b, em);
}

/* How much the text alone looks like something filled in. */
static double entry_look(const char *text)
{
    guint letters = 0, digits = 0, capitals = 0, words = 1;
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        letters += g_unichar_isalpha(u);
        capitals += g_unichar_isupper(u);
        digits += g_unichar_isdigit(u);
        words += u == ' ';
    }
    double look = 0;
    gsize number = strspn(text, "0123456789");
    gboolean is_item = number > 0 && number < 3 && letters > 3 &&
                       (g_str_has_prefix(text + number, ". ") || text[number] == ' ' ||
                        g_str_has_prefix(text + number, ") ") ||
                        (g_ascii_islower(text[number]) && text[number + 1] == ' ')) &&
                       digits - number < 3;
    if (is_item)
        look -= 1.2;
    else if (letters + digits > 0)
        look += 1.6 * digits / (letters + digits);
    if (strchr(text, '@') != NULL)
        look += 1.5;
    if (strchr(text, '(') != NULL && letters > 3 * digits)
        look -= 0.8;
    if (letters > 3 && capitals == letters)
        look += 0.3;
    if (words > 6)
        look -= 0.15 * (words - 6);
    return look;
}

static void piece_finish(const desk *d, piece *p, const GArray *combs)
{
    GString *text = g_string_new(NULL);
    double prob = 0, em = 0;
    guint comb_count = 0;
    for (guint i = 0; i < p->words->len; i++) {
        const dx_print *w = g_ptr_array_index(p->words, i);
        dx_box b = box_of(d, w);
        gboolean is_comb = g_array_index(combs, gboolean, i);
        comb_count += is_comb;
        if (i > 0 && !is_comb)
            g_string_append_c(text, ' ');
        g_string_append(text, w->text);
        p->box = i == 0 ? b
                        : (dx_box){ MIN(p->box.x0, b.x0), MIN(p->box.y0, b.y0),
                                    MAX(p->box.x1, b.x1), MAX(p->box.y1, b.y1) };
        prob += w->prob;
        em += w->em * d->height;
    }
    p->prob = prob / p->words->len;
    p->em = MAX(em / p->words->len, 1);
    p->text = g_string_free(text, FALSE);
    p->is_asking = ends_asking(p->text);
    p->entry = entry_look(p->text) - (p->is_asking ? 3 : 0) + (comb_count > 1 ? COMB : 0);
    p->under = rule_under(d, p->box.x0, p->box.x1, p->box.y1, p->em);
    p->partner = -1;
}

static void add_piece(desk *d, GPtrArray *words, GArray *combs)
{
    gboolean is_any = FALSE; /* specks are read as small letters */
    for (guint i = 0; i < words->len; i++) {
        const dx_print *p = g_ptr_array_index(words, i);
        is_any |= !is_bare(p->text) &&
                  !(p->prob < SPECK && g_ascii_islower(*p->text) && p->text[1] == '\0');
    }
    if (is_any && d->pieces->len < PIECES_MAX) {
        piece p = { .words = g_ptr_array_ref(words) };
        piece_finish(d, &p, combs);
        g_array_append_val(d->pieces, p);
    }
}

static void cut_row(desk *d, GPtrArray *row)
{
    g_ptr_array_sort(row, by_x);
    g_autoptr(GPtrArray) words = NULL;
    g_autoptr(GArray) combs = g_array_new(FALSE, FALSE, sizeof(gboolean));
    for (guint i = 0; i <= row->len; i++) {
        gboolean is_comb = FALSE;
        gboolean is_end =
            i == row->len ||
            (words != NULL && is_break(d, g_ptr_array_index(row, i - 1),
                                       g_ptr_array_index(row, i), &is_comb));
        if (words != NULL && is_end) {
            add_piece(d, words, combs);
            g_clear_pointer(&words, g_ptr_array_unref);
        }
        if (i == row->len)
            break;
        if (words == NULL) {
            words = g_ptr_array_new();
            g_array_set_size(combs, 0);
        }
        g_ptr_array_add(words, g_ptr_array_index(row, i));
        g_array_append_val(combs, is_comb);
    }
}

/* Strokes of letters are no lines. */
static void drop_strokes(const desk *d, GArray *rules, gboolean is_upright,
                         const GArray *prints)
{
    for (guint i = rules->len; i-- > 0;) {
        const dx_rule *r = &g_array_index(rules, dx_rule, i);
        gboolean is_stroke = FALSE;
        for (guint k = 0; k < prints->len && !is_stroke; k++) {
            dx_box b = box_of(d, &g_array_index(prints, dx_print, k));
            double x0 = is_upright ? b.y0 : b.x0, x1 = is_upright ? b.y1 : b.x1;
            double y0 = is_upright ? b.x0 : b.y0, y1 = is_upright ? b.x1 : b.y1;
            double most = is_upright ? 2 : 1.2;
            is_stroke = r->at > y0 && r->at < y1 && r->to - r->from < most * (x1 - x0) &&
                        MIN(r->to, x1) - MAX(r->from, x0) > 0.5 * (r->to - r->from);
        }
        if (is_stroke)
            g_array_remove_index(rules, i);
    }
}

static gint by_em(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double usual_em(const GArray *prints, double height)
{
    g_autoptr(GArray) ems = g_array_new(FALSE, FALSE, sizeof(double));
    for (guint i = 0; i < prints->len; i++) {
        double em = g_array_index(prints, dx_print, i).em * height;
        g_array_append_val(ems, em);
    }
    g_array_sort(ems, by_em);
    return ems->len > 0 ? MAX(g_array_index(ems, double, ems->len / 2), 1) : 10;
}

static void cut(desk *d, const GArray *prints)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    for (guint i = 0; i < prints->len; i++) {
        const dx_print *p = &g_array_index(prints, dx_print, i);
        if (!p->is_entry && !p->is_named && *p->text != '\0')
            g_ptr_array_add(words, (gpointer)p);
    }
    g_ptr_array_sort(words, by_y);
    while (words->len > 0) { /* rows, from above */
        const dx_print *seed = g_ptr_array_index(words, 0);
        g_autoptr(GPtrArray) row = g_ptr_array_new();
        double y = middle(&seed->box), h = MAX(seed->box.y1 - seed->box.y0, 1e-4);
        guint kept = 0;
        for (guint i = 0; i < words->len; i++) {
            const dx_print *p = g_ptr_array_index(words, i);
            double own = MAX(p->box.y1 - p->box.y0, 1e-4);
            if (fabs(middle(&p->box) - y) < ROW_SAME * MIN(h, own))
                g_ptr_array_add(row, (gpointer)p);
            else
                g_ptr_array_index(words, kept++) = (gpointer)p;
        }
        g_ptr_array_set_size(words, (gint)kept);
        cut_row(d, row);
    }
}

static void piece_clear(gpointer data)
{
    piece *p = data;
    g_clear_pointer(&p->words, g_ptr_array_unref);
    g_clear_pointer(&p->text, g_free);
}

/* ---- couples --------------------------------------------------------------------------- */

/* What both pieces are like: the entry more like an entry than the caption. */
static double contrast(const desk *d, const piece *a, const piece *b)
{
    double look = b->entry - 0.7 * CLAMP(a->entry, -1.5, 3);
    look +=
        CLAMP((a->prob - b->prob) * 4, -1.2, 1.2); /* handwriting is read less surely */
    if (a->words->len > CAPTION_WORDS && !a->is_asking)
        look -= 0.1 * (a->words->len - CAPTION_WORDS);
    if (a->em > 1.25 * d->em) /* captions are rarely large */
        look -= 1.2;
    return look;
}

static gboolean same_row(const piece *a, const piece *b)
{
    return fabs(middle(&a->box) - middle(&b->box)) < 0.6 * MAX(a->em, b->em);
}

/* Something stands between two pieces of a row. */
static gboolean is_blocked(const desk *d, guint a, guint b)
{
    const piece *p = piece_at(d, a), *q = piece_at(d, b);
    for (guint i = 0; i < d->pieces->len; i++) {
        const piece *o = piece_at(d, i);
        if (i != a && i != b && o->box.x0 >= p->box.x1 - 0.3 * p->em &&
            o->box.x1 <= q->box.x0 + 0.3 * q->em && (same_row(o, p) || same_row(o, q)))
            return TRUE;
    }
    return FALSE;
}

static double worth_beside(const desk *d, guint i, guint k)
{
    const piece *a = piece_at(d, i), *b = piece_at(d, k);
    double em = MAX(a->em, b->em), gap = (b->box.x0 - a->box.x1) / em;
    if (!same_row(a, b) || gap < -0.3 || gap > BESIDE_MAX || is_blocked(d, i, k))
        return -INFINITY;
    double worth = contrast(d, a, b) + d->liking[BESIDE] - 0.2;
    if (a->is_asking)
        worth += 2.5;
    if (b->under != NULL && b->under != a->under && b->under->from > a->box.x1 - em)
        worth += 2.5;
    if (a->under != NULL && a->under != b->under)
        worth -= 1.5;
    if (a->under != NULL && a->under == b->under)
        worth -= 0.5;
    if (is_walled(d, a->box.x1 - 0.2 * em, b->box.x0 + 0.2 * em, middle(&a->box)))
        worth -= 1.5;
    if (gap > 12)
        worth -= 0.06 * (gap - 12);
    if (a->em > 1.35 * b->em)
        worth -= 1.5;
    return worth;
}

/* The next piece under another one: nothing between that lies over both. */
static gboolean is_hidden(const desk *d, guint a, guint b)
{
    const piece *p = piece_at(d, a), *q = piece_at(d, b);
    double x0 = MAX(p->box.x0, q->box.x0) - 0.5 * p->em,
           x1 = MAX(MIN(p->box.x1, q->box.x1), x0 + p->em);
    for (guint i = 0; i < d->pieces->len; i++) {
        const piece *o = piece_at(d, i);
        double y = middle(&o->box);
        if (i != a && i != b && y > middle(&p->box) + 0.4 * p->em &&
            y < middle(&q->box) - 0.4 * p->em && o->box.x0 < x1 && o->box.x1 > x0)
            return TRUE;
    }
    return FALSE;
}

static double worth_above(const desk *d, guint i, guint k)
{
    const piece *a = piece_at(d, i), *b = piece_at(d, k);
    double em = (a->em + b->em) / 2, gap = (b->box.y0 - a->box.y1) / em;
    double edge = (b->box.x0 - a->box.x0) / em;
    if (same_row(a, b) || middle(&b->box) < middle(&a->box) || gap < -0.8 ||
        gap > ABOVE_MAX || edge < -1.5 || edge > 25 ||
        (edge > 8 && b->box.x0 > a->box.x1) ||
        is_floored(d, MAX(a->box.x0, b->box.x0), MIN(a->box.x1, b->box.x1),
                   middle(&a->box), b->box.y1 - 0.4 * b->em) ||
        is_walled(d, MIN(a->box.x0, b->box.x0) - 0.2 * em, MAX(a->box.x0, b->box.x0),
                  middle(&b->box)) ||
        is_hidden(d, i, k))
        return -INFINITY;
    double worth = contrast(d, a, b) + d->liking[ABOVE];
    double size = a->em / b->em;
    worth += size < 0.88 ? 1.3 : size > 1.2 ? -2 : 0;
    if (is_floored(d, b->box.x0, b->box.x1, b->box.y1 - 0.35 * b->em,
                   b->box.y1 + 1.2 * b->em))
        worth += 1.8;
    if (is_floored(d, a->box.x0, a->box.x1, a->box.y0 - 1.2 * a->em,
                   a->box.y0 + 0.3 * a->em))
        worth += 0.8;
    if (a->is_asking)
        worth += 0.7;
    if (size > 0.92 && size < 1.08 && gap < 0.5 && b->words->len > 3 && !a->is_asking)
        worth -= 1.2; /* lines of a paragraph */
    worth -= 0.6 * MAX(0, gap - 0.8);
    worth += fabs(edge) < 1 ? 0.4 : edge > 4 ? -0.3 : 0;
    return worth;
}

/* A side of a box, not a line to write on. */
static gboolean is_side(const desk *d, const dx_rule *rule)
{
    double slack = 0.4 * d->em;
    for (guint i = 0; i < d->upright->len; i++) {
        const dx_rule *r = &g_array_index(d->upright, dx_rule, i);
        if (r->at > rule->from - slack && r->at < rule->to + slack &&
            r->from < rule->at + slack && r->to > rule->at - slack)
            return TRUE;
    }
    return FALSE;
}

static double worth_below(const desk *d, guint i, guint k)
{
    const piece *a = piece_at(d, i), *b = piece_at(d, k);
    double gap = (a->box.y0 - b->box.y1) / a->em, near = 2 * a->em;
    if (b->under == NULL || same_row(a, b) || middle(&a->box) < b->under->at ||
        a->box.y0 - b->under->at > 1.2 * a->em || gap > ABOVE_MAX ||
        a->box.x1 < b->under->from || a->box.x0 > b->under->to ||
        a->box.x0 > b->box.x1 + near || a->box.x1 < b->box.x0 - near || a->is_asking ||
        is_side(d, b->under) || is_hidden(d, k, i))
        return -INFINITY;
    double worth = contrast(d, a, b) + d->liking[BELOW] - 0.3;
    if (b->under->from > a->box.x0 + near || a->box.x1 > b->under->to + near)
        worth -= 1;
    worth += a->em < 0.88 * b->em ? 0.8 : a->em > 1.2 * b->em ? -2 : 0;
    return worth;
}

static gint by_worth(gconstpointer a, gconstpointer b)
{
    const couple *p = a, *q = b;
    if (p->worth != q->worth)
        return p->worth > q->worth ? -1 : 1;
    return p->caption != q->caption ? (p->caption < q->caption ? -1 : 1)
                                    : (p->entry < q->entry ? -1 : p->entry > q->entry);
}

static void weigh(desk *d)
{
    double (*const ways[PLACES])(const desk *, guint,
                                 guint) = { worth_beside, worth_above, worth_below };
    g_array_set_size(d->couples, 0);
    for (guint i = 0; i < d->pieces->len; i++)
        for (guint k = 0; k < d->pieces->len; k++) {
            const dx_box *a = &piece_at(d, i)->box, *b = &piece_at(d, k)->box;
            if (i == k || fabs(middle(a) - middle(b)) > 6 * piece_at(d, i)->em)
                continue;
            for (guint n = 0; n < PLACES; n++) {
                couple c = { i, k, (place)n, ways[n](d, i, k) };
                if (c.worth > WORTH_MIN)
                    g_array_append_val(d->couples, c);
            }
        }
    g_array_sort(d->couples, by_worth);
}

static void choose(desk *d)
{
    guint kept = 0;
    for (guint i = 0; i < d->pieces->len; i++)
        piece_at(d, i)->partner = -1;
    for (guint i = 0; i < d->couples->len; i++) {
        couple c = g_array_index(d->couples, couple, i);
        piece *a = piece_at(d, c.caption), *b = piece_at(d, c.entry);
        if (a->partner >= 0 || b->partner >= 0)
            continue;
        a->partner = (gint)c.entry;
        a->is_caption = TRUE;
        b->partner = (gint)c.caption;
        b->is_caption = FALSE;
        g_array_index(d->couples, couple, kept++) = c;
    }
    g_array_set_size(d->couples, kept);
}

static void like(desk *d)
{
    double count[PLACES] = { 0 }, all = 3;
    for (guint i = 0; i < d->couples->len; i++) {
        count[g_array_index(d->couples, couple, i).where]++;
        all++;
    }
    for (guint n = 0; n < PLACES; n++)
        d->liking[n] = 1.6 * count[n] / all - 0.5;
}

/* ---- lines of one caption or entry -------------------------------------------------------- */

/* `b` goes on where `a` ends, one line lower and in the same hand. */
static gboolean goes_on(const desk *d, const piece *a, const piece *b)
{
    double em = MIN(a->em, b->em), step = (middle(&b->box) - middle(&a->box)) / em;
    return step > 0.6 && step < LINE_STEP && MAX(a->em, b->em) < 1.3 * em &&
           fabs(a->box.x0 - b->box.x0) < 2 * em && fabs(a->prob - b->prob) < 0.3 &&
           !is_floored(d, b->box.x0, b->box.x1, a->box.y1 - 0.2 * em, middle(&b->box));
}

static void join(piece *into, piece *other, gboolean is_before)
{
    char *text = is_before ? g_strconcat(other->text, " ", into->text, NULL)
                           : g_strconcat(into->text, " ", other->text, NULL);
    g_free(into->text);
    into->text = text;
    other->is_joined = TRUE;
    into->box =
        (dx_box){ MIN(into->box.x0, other->box.x0), MIN(into->box.y0, other->box.y0),
                  MAX(into->box.x1, other->box.x1), MAX(into->box.y1, other->box.y1) };
}

/* "7", "2a", "11.": what counts the fields of a form; a caption starts with it. */
static gboolean is_item(const char *text)
{
    gsize n = strspn(text, "0123456789");
    if (n == 0 || n > 2)
        return FALSE;
    if (g_ascii_islower(text[n]))
        n++;
    return text[n + strspn(text + n, ".)")] == '\0';
}

static void remove_joined(desk *d)
{
    for (guint i = d->pieces->len; i-- > 0;)
        if (piece_at(d, i)->is_joined)
            g_array_remove_index(d->pieces, i);
}

static void join_items(desk *d)
{
    for (guint i = 0; i < d->pieces->len; i++) {
        piece *a = piece_at(d, i);
        for (guint k = 0; k < d->pieces->len && is_item(a->text) && !a->is_joined; k++) {
            piece *b = piece_at(d, k);
            double gap = b->box.x0 - a->box.x1;
            if (k != i && same_row(a, b) && gap > 0 && gap < ITEM_GAP * b->em &&
                b->entry < 0.4 && !is_item(b->text) &&
                MAX(a->em, b->em) < 1.4 * MIN(a->em, b->em) &&
                !is_walled(d, a->box.x1, b->box.x0, middle(&b->box))) {
                double entry = b->entry - 0.8;
                join(b, a, TRUE);
                b->entry = entry;
            }
        }
    }
    remove_joined(d);
}

/* More stands behind it on its row. */
static gboolean has_next(const desk *d, const piece *a)
{
    for (guint i = 0; i < d->pieces->len; i++) {
        const piece *o = piece_at(d, i);
        if (o != a && same_row(a, o) && o->box.x0 > a->box.x1 &&
            o->box.x0 - a->box.x1 < BESIDE_MAX * a->em &&
            !is_walled(d, a->box.x1, o->box.x0, middle(&a->box)))
            return TRUE;
    }
    return FALSE;
}

/* What ends in the middle of a sentence is continued: "postal code" / "and telephone". */
static void join_sentences(desk *d)
{
    for (guint i = 0; i < d->pieces->len; i++) {
        piece *b = piece_at(d, i);
        gunichar first = g_utf8_get_char(b->text);
        if (!g_unichar_islower(first) || b->entry > 0.6)
            continue;
        for (guint k = i; k-- > 0;) {
            piece *a = piece_at(d, k);
            if (a->is_joined || a->is_asking || !goes_on(d, a, b) || a->under != NULL ||
                has_next(d, a))
                continue;
            join(b, a, TRUE);
            b->entry = entry_look(b->text) - (b->is_asking ? 3 : 0);
            b->box.y0 = MAX(b->box.y0, b->box.y1 - 4 * b->em);
            break;
        }
    }
    remove_joined(d);
}

/* What stands behind an entry in the same hand, or on the same line. */
static gboolean is_same_entry(const desk *d, const piece *a, const piece *b)
{
    double em = MAX(a->em, b->em), gap = b->box.x0 - a->box.x1;
    return same_row(a, b) && gap > -0.3 * em && !a->is_asking && !b->is_asking &&
           MIN(a->entry, b->entry) > -0.8 &&
           gap < (a->under != NULL && a->under == b->under ? 4 : 1.8) * em &&
           em < 1.3 * MIN(a->em, b->em) &&
           !is_walled(d, a->box.x1, b->box.x0, middle(&b->box));
}

static void join_rest(desk *d)
{
    for (gboolean is_more = TRUE; is_more;) {
        is_more = FALSE;
        for (guint i = 0; i < d->pieces->len; i++) {
            piece *p = piece_at(d, i);
            if (p->partner >= 0 || p->is_joined)
                continue;
            for (guint k = 0; k < d->pieces->len && !p->is_joined; k++) {
                piece *q = piece_at(d, k);
                if (q->partner < 0 || k == i)
                    continue;
                dx_box whole = q->box;
                piece last = *q, first = *q;
                last.box.y0 = whole.y1 - p->em * 0.9;
                first.box.y1 = whole.y0 + p->em * 0.9;
                if (!q->is_caption && p->entry > -0.8 && !p->is_asking &&
                    goes_on(d, &last, p))
                    join(q, p, FALSE);
                else if (q->is_caption && !q->is_asking && p->entry < 0.8 &&
                         middle(&first.box) - middle(&p->box) < CAPTION_STEP * p->em &&
                         goes_on(d, p, &first))
                    join(q, p, TRUE);
                else if (!q->is_caption && is_same_entry(d, q, p))
                    join(q, p, FALSE);
                else if (!q->is_caption && is_same_entry(d, p, q))
                    join(q, p, TRUE);
                is_more |= p->is_joined;
            }
        }
    }
}

/* ---- all of it ------------------------------------------------------------------------------ */

static dx_box share_of(const desk *d, const dx_box *b)
{
    return (dx_box){ b->x0 / d->width, b->y0 / d->height, b->x1 / d->width,
                     b->y1 / d->height };
}

static char *trimmed(const char *text, const char *ends)
{
    char *out = g_strdup(text);
    gsize n = strlen(out);
    while (n > 0 && strchr(ends, out[n - 1]) != NULL)
        out[--n] = '\0';
    return out;
}

static void entry_clear(gpointer data)
{
    dx_entry *e = data;
    g_free(e->label);
    g_free(e->value);
}

static gint by_caption(gconstpointer a, gconstpointer b)
{
    const dx_entry *p = a, *q = b;
    double h =
        MIN(p->label_box.y1 - p->label_box.y0, q->label_box.y1 - q->label_box.y0) / 2;
    if (fabs(p->label_box.y0 - q->label_box.y0) > h)
        return p->label_box.y0 < q->label_box.y0 ? -1 : 1;
    return p->label_box.x0 < q->label_box.x0 ? -1 : p->label_box.x0 > q->label_box.x0;
}

GArray *dx_entries(const GArray *prints, const dx_ink *ink, double aspect)
{
    desk d = { .width = ink != NULL ? ink->width : 1000 * aspect,
               .height = ink != NULL ? ink->height : 1000,
               .pieces = g_array_new(FALSE, TRUE, sizeof(piece)),
               .couples = g_array_new(FALSE, FALSE, sizeof(couple)) };
    d.em = usual_em(prints, d.height);
    d.level = ink != NULL ? dx_ink_rules(ink, FALSE, 2.5 * d.em, 0.3 * d.em)
                          : g_array_new(FALSE, FALSE, sizeof(dx_rule));
    d.upright = ink != NULL ? dx_ink_rules(ink, TRUE, TALL * d.em, 0.3 * d.em)
                            : g_array_new(FALSE, FALSE, sizeof(dx_rule));
    g_array_set_clear_func(d.pieces, piece_clear);
    drop_strokes(&d, d.level, FALSE, prints);
    drop_strokes(&d, d.upright, TRUE, prints);
    cut(&d, prints);
    join_items(&d);
    join_sentences(&d);
    for (guint round = 0; round < 2; round++) {
        weigh(&d);
        choose(&d);
        if (round == 0)
            like(&d);
    }
    join_rest(&d);
    GArray *entries = g_array_new(FALSE, FALSE, sizeof(dx_entry));
    g_array_set_clear_func(entries, entry_clear);
    for (guint i = 0; i < d.couples->len; i++) {
        const couple *c = &g_array_index(d.couples, couple, i);
        const piece *a = piece_at(&d, c->caption), *b = piece_at(&d, c->entry);
        dx_entry e = { .label = trimmed(a->text, ": .$|_"),
                       .value = trimmed(b->text, " _|"),
                       .label_box = share_of(&d, &a->box),
                       .value_box = share_of(&d, &b->box),
                       .prob = b->prob,
                       .worth = c->worth };
        g_array_append_val(entries, e);
    }
    g_array_sort(entries, by_caption);
    g_array_unref(d.pieces);
    g_array_unref(d.couples);
    g_array_unref(d.level);
    g_array_unref(d.upright);
    return entries;
}

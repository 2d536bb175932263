/*
 * table.c - a table's heading is the row with most of its columns' labels; below it every
 * word belongs to the nearest heading, and every row with an amount is an entry.
 */
#include "table.h"

#include <math.h>
#include <string.h>

#include "address.h"

#define HEADINGS_LEAST 3   /* labels of different columns in one row */
#define GAP_MOST       9.0 /* line heights between two rows */
#define WRAP_FULL      0.7 /* a name that fills so much of its column goes on below */
#define WRAP_LINES     2u

typedef struct row_view {
    guint first, last; /* words of the layout */
    dx_box box;
} row_view;

void dx_table_free(dx_table *t)
{
    if (t == NULL)
        return;
    g_array_unref(t->columns);
    g_array_unref(t->values);
    g_free(t);
}

static void value_clear(gpointer data)
{
    g_free(((dx_table_value *)data)->text);
}

static gint by_x(gconstpointer a, gconstpointer b)
{
    const dx_column *x = a, *y = b;
    return x->x0 < y->x0 ? -1 : x->x0 > y->x0;
}

static GArray *rows_of(const dx_layout *l)
{
    GArray *rows = g_array_new(FALSE, FALSE, sizeof(row_view));
    for (guint w = 0; w < l->word_count; w++) {
        gboolean is_new =
            w == 0 || memchr(l->text + l->word_start[w - 1], '\n',
                             l->word_start[w] - l->word_start[w - 1]) != NULL;
        if (is_new) {
            row_view r = { w, w, l->boxes[w] };
            g_array_append_val(rows, r);
            continue;
        }
        row_view *r = &g_array_index(rows, row_view, rows->len - 1);
        r->last = w;
        r->box.y0 = MIN(r->box.y0, l->boxes[w].y0);
        r->box.y1 = MAX(r->box.y1, l->boxes[w].y1);
    }
    return rows;
}

/* Labels of column `c` inside a row, the rightmost or leftmost free one. */
static gboolean take_label(const dx_scene *s, const row_view *r, guint c,
                           gboolean is_right, GArray *columns, GArray *taken)
{
    const dx_layout *l = s->layout;
    const GArray *labels = g_ptr_array_index(s->marks->labels, c);
    gsize start = l->word_start[r->first], end = l->word_end[r->last];
    gint best = -1;
    for (guint i = 0; i < labels->len; i++) {
        const dx_label *label = &g_array_index(labels, dx_label, i);
        gboolean is_free = label->start >= start && label->end <= end;
        for (guint k = 0; k < taken->len && is_free; k++)
            is_free = g_array_index(taken, gsize, k) != label->start;
        if (is_free && (best < 0 || is_right))
            best = (gint)i;
    }
    if (best < 0)
        return FALSE;
    const dx_label *label = &g_array_index(labels, dx_label, best);
    dx_box box;
    dx_layout_box(l, label->start, label->end, &box);
    dx_column column = { (gint)c, box.x0, box.x1 };
    g_array_append_val(columns, column);
    g_array_append_val(taken, label->start);
    return TRUE;
}

static gboolean has_column(const GArray *columns, gint leaf)
{
    for (guint i = 0; i < columns->len; i++)
        if (g_array_index(columns, dx_column, i).leaf == leaf)
            return TRUE;
    return FALSE;
}

/* Words of the heading that no label covers are columns that nobody asked for. */
static void add_unknown(const dx_layout *l, const row_view *r, GArray *columns)
{
    guint known = columns->len;
    for (guint w = r->first; w <= r->last; w++) {
        const dx_box *b = &l->boxes[w];
        gboolean is_covered = FALSE;
        for (guint i = 0; i < columns->len && !is_covered; i++) {
            dx_column *c = &g_array_index(columns, dx_column, i);
            double gap = MAX(b->x0 - c->x1, c->x0 - b->x1) * l->aspect,
                   em = b->y1 - b->y0;
            is_covered = gap < (i < known ? 0.6 : 0.9) * em;
            if (is_covered && i >= known) {
                c->x0 = MIN(c->x0, b->x0);
                c->x1 = MAX(c->x1, b->x1);
            }
        }
        if (is_covered)
            continue;
        dx_column column = { -1, b->x0, b->x1 };
        g_array_append_val(columns, column);
    }
    g_array_sort(columns, by_x);
}

static GArray *headings_of(const dx_scene *s, const row_view *r, guint count, gint amount,
                           gint name)
{
    GArray *columns = g_array_new(FALSE, FALSE, sizeof(dx_column));
    g_autoptr(GArray) taken = g_array_new(FALSE, FALSE, sizeof(gsize));
    if (amount >= 0)
        take_label(s, r, (guint)amount, TRUE, columns, taken);
    if (name >= 0)
        take_label(s, r, (guint)name, FALSE, columns, taken);
    for (guint c = 0; c < count; c++)
        if ((gint)c != amount && (gint)c != name)
            take_label(s, r, c, FALSE, columns, taken);
    return columns;
}

/* The nearest heading to a word: overlap first, then distance of the edges. */
static gint column_of(const GArray *columns, const dx_box *b)
{
    gint best = -1;
    double least = INFINITY;
    for (guint i = 0; i < columns->len; i++) {
        const dx_column *c = &g_array_index(columns, dx_column, i);
        double shared = MIN(c->x1, b->x1) - MAX(c->x0, b->x0);
        double off = shared > 0 ? -shared / MAX(MIN(c->x1 - c->x0, b->x1 - b->x0), 1e-6)
                                : MIN(fabs(c->x0 - b->x0), fabs(c->x1 - b->x1));
        if (off < least) {
            least = off;
            best = (gint)i;
        }
    }
    return best;
}

static void append_word(dx_table_value *v, const dx_layout *l, guint w)
{
    g_autofree char *word =
        g_strndup(l->text + l->word_start[w], l->word_end[w] - l->word_start[w]);
    if (v->text == NULL) {
        v->text = g_steal_pointer(&word);
        v->box = l->boxes[w];
        return;
    }
    char *joined = g_strconcat(v->text, " ", word, NULL);
    g_free(v->text);
    v->text = joined;
    v->box.x0 = MIN(v->box.x0, l->boxes[w].x0);
    v->box.y0 = MIN(v->box.y0, l->boxes[w].y0);
    v->box.x1 = MAX(v->box.x1, l->boxes[w].x1);
    v->box.y1 = MAX(v->box.y1, l->boxes[w].y1);
}

/* The words of a row by column asked for.  Words that run on without a gap (one cell of
 * text) stay with the column where the run began, when that is the name. */
static void fill(const dx_layout *l, const row_view *r, const GArray *columns, gint name,
                 dx_table_value *cells)
{
    gint last = -1;
    for (guint w = r->first; w <= r->last; w++) {
        gint at = column_of(columns, &l->boxes[w]);
        gint leaf = at >= 0 ? g_array_index(columns, dx_column, at).leaf : -1;
        gboolean runs_on = w > r->first && l->text[l->word_start[w] - 1] == ' ';
        if (runs_on && last == name && name >= 0)
            leaf = name;
        last = leaf;
        if (leaf >= 0)
            append_word(&cells[leaf], l, w);
    }
}

/* A value that does not read as its column's kind is looked for inside the words; what is
 * left over of a quantity is its unit. */
static void clean(const dx_scene *s, dx_kind kind, dx_table_value *v)
{
    g_autofree char *value = NULL;
    if (v->text == NULL || kind == DX_KIND_TEXT || kind == DX_KIND_NONE)
        return;
    if (dx_normalize(kind, v->text, s->context, &value, NULL))
        return;
    g_autoptr(GArray) found =
        dx_find_candidates(kind, v->text, strlen(v->text), s->context);
    char *best = NULL;
    gsize length = 0;
    for (guint i = 0; i < found->len; i++) {
        const dx_candidate *c = &g_array_index(found, dx_candidate, i);
        if (c->end - c->start <= length)
            continue;
        g_free(best);
        best = g_strndup(v->text + c->start, c->end - c->start);
        length = c->end - c->start;
    }
    g_free(v->text);
    v->text = best;
}

static gboolean is_amount(const dx_scene *s, const dx_table_value *v)
{
    g_autofree char *value = NULL;
    gboolean reads = v->text != NULL &&
                     dx_normalize(DX_KIND_AMOUNT, v->text, s->context, &value, NULL);
    return reads && strpbrk(v->text, "0123456789") != NULL;
}

static gboolean is_transfer(const char *text)
{
    static const char *const words[] = { "carried forward",
                                         "brought forward",
                                         "ubertrag",
                                         "a reporter",
                                         "report",
                                         "suma y sigue",
                                         "a riportare",
                                         "riporto",
                                         "transport",
                                         "do przeniesienia",
                                         "z przeniesienia",
                                         "prevod",
                                         NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    for (const char *const *word = words; *word != NULL; word++)
        if (g_str_has_prefix(folded, *word))
            return TRUE;
    return FALSE;
}

static gboolean is_sum_row(const dx_layout *l, const row_view *r, guint filled)
{
    if (filled > 2)
        return FALSE;
    g_autofree char *text = g_strndup(l->text + l->word_start[r->first],
                                      l->word_end[r->last] - l->word_start[r->first]);
    return dx_names_sum(text);
}

/* Where the column of the name ends: at the next heading. */
static double column_end(const GArray *columns, gint leaf)
{
    for (guint i = 0; i < columns->len; i++)
        if (g_array_index(columns, dx_column, i).leaf == leaf)
            return i + 1 < columns->len ? g_array_index(columns, dx_column, i + 1).x0 : 1;
    return 1;
}

static void wrap_name(dx_table *t, guint columns, gint name, const dx_table_value *more,
                      guint *wrapped)
{
    dx_table_value *v = &g_array_index(t->values, dx_table_value,
                                       (t->row_count - 1) * columns + (guint)name);
    double end = column_end(t->columns, name);
    if (v->text == NULL || *wrapped >= WRAP_LINES ||
        strlen(v->text) + strlen(more->text) > 190 ||
        v->box.x1 - v->box.x0 < WRAP_FULL * (end - v->box.x0) ||
        fabs(more->box.x0 - v->box.x0) > 0.03)
        return;
    char *joined = g_strconcat(v->text, " ", more->text, NULL);
    g_free(v->text);
    v->text = joined;
    v->box.y1 = more->box.y1;
    (*wrapped)++;
}

static void read_rows(const dx_scene *s, dx_table *t, const GArray *rows, guint from,
                      const dx_kind *kinds, guint count, gint amount, gint name)
{
    const dx_layout *l = s->layout;
    guint wrapped = 0;
    double bottom = from > 0 ? g_array_index(rows, row_view, from - 1).box.y1 : -1;
    for (guint i = from; i < rows->len && t->row_count < DX_TABLE_ROWS_MAX; i++) {
        const row_view *r = &g_array_index(rows, row_view, i);
        double em = l->boxes[r->first].y1 - l->boxes[r->first].y0;
        if (bottom >= 0 && t->row_count > 0 && r->box.y0 - bottom > GAP_MOST * em)
            break;
        g_autofree dx_table_value *cells = g_new0(dx_table_value, count);
        fill(l, r, t->columns, name, cells);
        guint filled = 0;
        for (guint c = 0; c < count; c++) {
            clean(s, kinds[c], &cells[c]);
            filled += cells[c].text != NULL;
        }
        gboolean is_over = is_sum_row(l, r, filled);
        gboolean is_entry =
            !is_over && is_amount(s, &cells[amount]) && filled >= 2 &&
            (name < 0 || (cells[name].text != NULL && !is_transfer(cells[name].text)));
        if (is_entry) {
            g_array_append_vals(t->values, cells, count);
            t->row_count++;
            wrapped = 0;
            bottom = r->box.y1;
            continue;
        }
        if (!is_over && name >= 0 && t->row_count > 0 && filled == 1 &&
            cells[name].text != NULL && r->box.y0 - bottom < 0.9 * em) {
            wrap_name(t, count, name, &cells[name], &wrapped);
            bottom = r->box.y1;
        }
        for (guint c = 0; c < count; c++)
            g_free(cells[c].text);
        if (is_over && t->row_count > 0)
            break;
    }
}

static guint letters_of(const char *text)
{
    guint count = 0;
    for (; text != NULL && *text != '\0'; text = g_utf8_next_char(text))
        count += g_unichar_isalpha(g_utf8_get_char(text)) != 0;
    return count;
}

/* The name's heading may be one that no list knows, or stand over the numbers of the rows
 * ("Item"): the column with most letters below it is the name's. */
static void settle_name(const dx_layout *l, const GArray *rows, guint from,
                        GArray *columns, gint name)
{
    g_autofree guint *letters = g_new0(guint, columns->len);
    for (guint i = from; i < rows->len && i < from + 12; i++) {
        const row_view *r = &g_array_index(rows, row_view, i);
        for (guint w = r->first; w <= r->last; w++) {
            gint at = column_of(columns, &l->boxes[w]);
            g_autofree char *word =
                g_strndup(l->text + l->word_start[w], l->word_end[w] - l->word_start[w]);
            if (at >= 0)
                letters[at] += letters_of(word);
        }
    }
    gint best = -1, now = -1;
    for (guint i = 0; i < columns->len; i++) {
        gint leaf = g_array_index(columns, dx_column, i).leaf;
        now = leaf == name ? (gint)i : now;
        if ((leaf == -1 || leaf == name) && (best < 0 || letters[i] > letters[best]))
            best = (gint)i;
    }
    if (best < 0 || best == now || (now >= 0 && letters[now] * 2 > letters[best]))
        return;
    if (now >= 0)
        g_array_index(columns, dx_column, now).leaf = -1;
    g_array_index(columns, dx_column, best).leaf = name;
}

dx_table *dx_table_find(const dx_scene *s, const dx_kind *kinds, gint amount, gint name,
                        const GArray *before)
{
    guint count = s->marks->labels->len, most = HEADINGS_LEAST - 1, heading = G_MAXUINT;
    if (amount < 0 || count == 0)
        return NULL;
    g_autoptr(GArray) rows = rows_of(s->layout);
    g_autoptr(GArray) best = NULL;
    for (guint i = 0; i < rows->len; i++) {
        g_autoptr(GArray) columns =
            headings_of(s, &g_array_index(rows, row_view, i), count, amount, name);
        if (columns->len <= most || !has_column(columns, amount))
            continue;
        most = columns->len;
        heading = i;
        g_clear_pointer(&best, g_array_unref);
        best = g_steal_pointer(&columns);
    }
    if (best == NULL && before == NULL)
        return NULL;
    dx_table *t = g_new0(dx_table, 1);
    t->values = g_array_new(FALSE, TRUE, sizeof(dx_table_value));
    g_array_set_clear_func(t->values, value_clear);
    if (best != NULL) {
        add_unknown(s->layout, &g_array_index(rows, row_view, heading), best);
        t->columns = g_steal_pointer(&best);
        if (name >= 0)
            settle_name(s->layout, rows, heading + 1, t->columns, name);
    } else {
        t->columns = g_array_copy((GArray *)before);
    }
    read_rows(s, t, rows, heading != G_MAXUINT ? heading + 1 : 0, kinds, count, amount,
              name);
    return t;
}

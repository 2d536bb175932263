/*
 * layout.c - words with boxes to rows, cells and text.
 *
 * Rows are built from the top: words in order of their centre join the row whose word
 * next to them in x has nearly the same centre.  Comparing with the neighbour, not with
 * the row as a whole, lets the rows of a skewed scan climb across the page.
 */
#include "layout.h"

#include <math.h>
#include <string.h>

#include "normalize.h"

#define ROW_TOLERANCE 0.5 /* of the smaller box height */
#define TAB_GAP       0.9 /* of the larger box height */
#define JUMP_GAP      1.5 /* line heights */

typedef struct item {
    dx_box box;
    double centre;
    guint source;
    char *text;
} item;

typedef struct row {
    GArray *items; /* of item, in order of x */
    double lowest; /* largest centre so far */
    double sum;
} row;

static double height_of(const dx_box *box)
{
    return MAX(box->y1 - box->y0, 1e-6);
}

static void item_clear(gpointer data)
{
    g_free(((item *)data)->text);
}

static void row_free(gpointer data)
{
    row *r = data;
    g_array_unref(r->items);
    g_free(r);
}

/* No control characters inside a word: tab and newline are the layout's own signs. */
static char *clean_text(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    GString *out = g_string_new(NULL);
    for (const char *p = valid; *p != 0; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_iscntrl(c) || g_unichar_isspace(c))
            g_string_append_c(out, ' ');
        else
            g_string_append_unichar(out, c);
    }
    return g_strstrip(g_string_free(out, FALSE));
}

static gint by_centre(gconstpointer a, gconstpointer b)
{
    const item *x = a, *y = b;
    if (x->centre != y->centre)
        return x->centre < y->centre ? -1 : 1;
    return x->box.x0 < y->box.x0 ? -1 : x->box.x0 > y->box.x0;
}

static gint by_row(gconstpointer a, gconstpointer b)
{
    const row *x = *(row *const *)a, *y = *(row *const *)b;
    double cx = x->sum / x->items->len, cy = y->sum / y->items->len;
    return cx < cy ? -1 : cx > cy;
}

static double x_distance(const dx_box *a, const dx_box *b)
{
    if (a->x0 > b->x1)
        return a->x0 - b->x1;
    return b->x0 > a->x1 ? b->x0 - a->x1 : 0;
}

/* Difference of the centres of a word and its neighbour in a row; INFINITY when the word
 * does not belong there. */
static double row_fit(const row *r, const item *word)
{
    const item *nearest = NULL;
    double distance = INFINITY;
    for (guint i = 0; i < r->items->len; i++) {
        const item *other = &g_array_index(r->items, item, i);
        double d = x_distance(&other->box, &word->box);
        if (d < distance) {
            distance = d;
            nearest = other;
        }
    }
    g_assert(nearest != NULL);
    double off = fabs(nearest->centre - word->centre);
    double limit = ROW_TOLERANCE * MIN(height_of(&nearest->box), height_of(&word->box));
    return off < limit ? off : INFINITY;
}

static void row_add(row *r, const item *word)
{
    guint at = r->items->len;
    while (at > 0 && g_array_index(r->items, item, at - 1).box.x0 > word->box.x0)
        at--;
    g_array_insert_val(r->items, at, *word);
    r->lowest = MAX(r->lowest, word->centre);
    r->sum += word->centre;
}

/* `open` rows may still take words: the centres come in order, so a row that lies more
 * than half a word above the current one is done. */
static GPtrArray *build_rows(GArray *items)
{
    GPtrArray *rows = g_ptr_array_new_with_free_func(row_free);
    g_autoptr(GPtrArray) open = g_ptr_array_new();
    for (guint i = 0; i < items->len; i++) {
        item *word = &g_array_index(items, item, i);
        row *best = NULL;
        double best_fit = INFINITY;
        for (guint k = 0; k < open->len;) {
            row *r = g_ptr_array_index(open, k);
            if (word->centre - r->lowest > 0.25) {
                g_ptr_array_remove_index_fast(open, k);
                continue;
            }
            double fit = word->centre - r->lowest < height_of(&word->box)
                             ? row_fit(r, word)
                             : INFINITY;
            if (fit < best_fit) {
                best_fit = fit;
                best = r;
            }
            k++;
        }
        if (best == NULL) {
            best = g_new0(row, 1);
            best->items = g_array_new(FALSE, FALSE, sizeof(item));
            g_array_set_clear_func(best->items, item_clear);
            g_ptr_array_add(rows, best);
            g_ptr_array_add(open, best);
        }
        row_add(best, word);
        word->text = NULL; /* the row owns it now */
    }
    g_ptr_array_sort(rows, by_row);
    return rows;
}

static void grow_box(dx_box *all, const dx_box *box)
{
    all->x0 = MIN(all->x0, box->x0);
    all->y0 = MIN(all->y0, box->y0);
    all->x1 = MAX(all->x1, box->x1);
    all->y1 = MAX(all->y1, box->y1);
}

static void write_row(dx_layout *layout, GString *text, const row *r, guint row_index)
{
    guint col = 0;
    for (guint i = 0; i < r->items->len; i++) {
        const item *word = &g_array_index(r->items, item, i);
        gboolean is_new = i == 0;
        if (i > 0) {
            const dx_box *left = &g_array_index(r->items, item, i - 1).box;
            double gap = (word->box.x0 - left->x1) * layout->aspect;
            is_new = gap > TAB_GAP * MAX(height_of(left), height_of(&word->box));
            g_string_append_c(text, is_new ? '\t' : ' ');
            col += is_new;
        }
        guint w = layout->word_count++;
        layout->word_start[w] = text->len;
        g_string_append(text, word->text);
        layout->word_end[w] = text->len;
        layout->word_source[w] = word->source;
        layout->boxes[w] = word->box;
        if (is_new) {
            dx_cell cell = { row_index, col, layout->word_start[w], text->len,
                             word->box };
            g_array_append_val(layout->cells, cell);
        } else {
            dx_cell *cell =
                &g_array_index(layout->cells, dx_cell, layout->cells->len - 1);
            cell->end = text->len;
            grow_box(&cell->box, &word->box);
        }
    }
}

/* The words worth laying out, in order of their centres. */
static GArray *take_words(const GArray *words, gsize *bytes)
{
    GArray *items = g_array_new(FALSE, FALSE, sizeof(item));
    g_array_set_clear_func(items, item_clear);
    *bytes = 0;
    for (guint i = 0; i < words->len; i++) {
        const dx_word *word = &g_array_index(words, dx_word, i);
        if (!isfinite(word->x0) || !isfinite(word->y0) || !isfinite(word->x1) ||
            !isfinite(word->y1))
            continue;
        item it = { .box = { MIN(word->x0, word->x1), MIN(word->y0, word->y1),
                             MAX(word->x0, word->x1), MAX(word->y0, word->y1) },
                    .source = i,
                    .text = clean_text(word->text) };
        it.centre = (it.box.y0 + it.box.y1) / 2;
        if (*it.text == 0) {
            g_free(it.text);
            continue;
        }
        *bytes += strlen(it.text) + 1;
        g_array_append_val(items, it);
    }
    g_array_sort(items, by_centre);
    return items;
}

dx_layout *dx_layout_new(const GArray *words, double width_pt, double height_pt,
                         uint32_t page_index, GError **error)
{
    if (words->len > DX_LAYOUT_WORDS_MAX) {
        g_set_error(error, DX_ERROR, DX_LIMIT, "page %u: %u words, limit %u",
                    page_index + 1, words->len, DX_LAYOUT_WORDS_MAX);
        return NULL;
    }
    gsize bytes;
    g_autoptr(GArray) items = take_words(words, &bytes);
    if (bytes > DX_LAYOUT_BYTES_MAX) {
        g_set_error(error, DX_ERROR, DX_LIMIT,
                    "page %u: %" G_GSIZE_FORMAT " bytes of text, limit %u",
                    page_index + 1, bytes, DX_LAYOUT_BYTES_MAX);
        return NULL;
    }
    dx_layout *layout = g_new0(dx_layout, 1);
    gboolean has_size = width_pt > 0 && height_pt > 0;
    layout->aspect = has_size ? width_pt / height_pt : 1;
    layout->word_start = g_new0(gsize, items->len + 1);
    layout->word_end = g_new0(gsize, items->len + 1);
    layout->word_source = g_new0(guint, items->len + 1);
    layout->boxes = g_new0(dx_box, items->len + 1);
    layout->cells = g_array_new(FALSE, FALSE, sizeof(dx_cell));
    g_autoptr(GPtrArray) rows = build_rows(items);
    GString *text = g_string_sized_new(bytes);
    for (guint i = 0; i < rows->len; i++) {
        if (i > 0)
            g_string_append_c(text, '\n');
        write_row(layout, text, g_ptr_array_index(rows, i), i);
    }
    g_assert(layout->word_count == items->len);
    layout->row_count = rows->len;
    layout->bytes = text->len;
    layout->text = g_string_free(text, FALSE);
    layout->word_at = g_new(guint32, layout->bytes + 1);
    memset(layout->word_at, 0xff, (layout->bytes + 1) * sizeof *layout->word_at);
    for (guint w = 0; w < layout->word_count; w++)
        for (gsize b = layout->word_start[w]; b < layout->word_end[w]; b++)
            layout->word_at[b] = w;
    return layout;
}

void dx_layout_free(dx_layout *layout)
{
    if (layout == NULL)
        return;
    g_free(layout->text);
    g_free(layout->word_at);
    g_free(layout->word_start);
    g_free(layout->word_end);
    g_free(layout->word_source);
    g_free(layout->boxes);
    if (layout->cells != NULL)
        g_array_unref(layout->cells);
    g_free(layout);
}

GArray *dx_layout_span(const dx_layout *layout, gsize start, gsize end, dx_box *all)
{
    GArray *boxes = g_array_new(FALSE, FALSE, sizeof(dx_box));
    dx_box sum = { 0 };
    guint32 last = G_MAXUINT32;
    for (gsize b = start; b < MIN(end, layout->bytes); b++) {
        guint32 w = layout->word_at[b];
        if (w == G_MAXUINT32 || w == last)
            continue;
        last = w;
        if (boxes->len == 0)
            sum = layout->boxes[w];
        grow_box(&sum, &layout->boxes[w]);
        g_array_append_val(boxes, layout->boxes[w]);
    }
    if (all != NULL)
        *all = sum;
    return boxes;
}

void dx_layout_box(const dx_layout *layout, gsize start, gsize end, dx_box *box)
{
    g_array_unref(dx_layout_span(layout, start, end, box));
}

/* Index of the first cell that ends at or behind `offset`. */
static guint cell_index(const dx_layout *layout, gsize offset)
{
    guint low = 0, high = layout->cells->len;
    while (low < high) {
        guint middle = (low + high) / 2;
        if (g_array_index(layout->cells, dx_cell, middle).end < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const dx_cell *dx_layout_cell(const dx_layout *layout, gsize offset)
{
    guint i = cell_index(layout, offset);
    if (i >= layout->cells->len)
        return NULL;
    const dx_cell *cell = &g_array_index(layout->cells, dx_cell, i);
    return offset >= cell->start ? cell : NULL;
}

static double x_overlap(const dx_box *a, const dx_box *b)
{
    return MIN(a->x1, b->x1) - MAX(a->x0, b->x0);
}

GArray *dx_layout_jumps(const dx_layout *layout)
{
    GArray *jumps = g_array_new(FALSE, FALSE, sizeof(dx_jump));
    for (guint i = 0; i < layout->cells->len; i++) {
        const dx_cell *cell = &g_array_index(layout->cells, dx_cell, i);
        const dx_cell *best = NULL;
        double best_gap = INFINITY, best_overlap = 0;
        for (guint k = i + 1; k < layout->cells->len; k++) {
            const dx_cell *below = &g_array_index(layout->cells, dx_cell, k);
            if (below->row == cell->row)
                continue;
            /* A few rows beside each other may stand between; many cannot. */
            if (below->row > cell->row + 8)
                break;
            double line = MAX(height_of(&cell->box), height_of(&below->box));
            double gap = below->box.y0 - cell->box.y1;
            double overlap = x_overlap(&cell->box, &below->box);
            if (overlap <= 0 || gap >= JUMP_GAP * line || gap <= -line)
                continue;
            if (gap < best_gap - 1e-9 ||
                (gap < best_gap + 1e-9 && overlap > best_overlap)) {
                best = below;
                best_gap = gap;
                best_overlap = overlap;
            }
        }
        if (best != NULL) {
            dx_jump jump = { cell->end, best->start };
            g_array_append_val(jumps, jump);
        }
    }
    return jumps;
}

/* ---- labels ----------------------------------------------------------------- */

/* Folded characters with the byte each came from.  Tabs and newlines stay, so that no
 * label runs over them. */
typedef struct folded {
    gunichar *chars;
    gsize *at; /* [count + 1] */
    gsize count;
} folded;

static void folded_clear(folded *f)
{
    g_free(f->chars);
    g_free(f->at);
}

static folded fold_text(const char *text, gsize bytes)
{
    folded f = { g_new(gunichar, 2 * bytes + 1), g_new(gsize, 2 * bytes + 2), 0 };
    for (const char *p = text; p < text + bytes; p = g_utf8_next_char(p)) {
        gunichar out[3];
        gunichar c = g_utf8_get_char(p);
        if (c == ':' || c == '.')
            continue; /* "No.:" and "No" are one label */
        unsigned n = dx_fold_char(c, out);
        for (unsigned i = 0; i < n; i++) {
            if (out[i] == ' ' && (f.count == 0 || f.chars[f.count - 1] == ' '))
                continue;
            f.chars[f.count] = out[i];
            f.at[f.count++] = (gsize)(p - text);
        }
    }
    while (f.count > 0 && f.chars[f.count - 1] == ' ')
        f.count--;
    f.at[f.count] = bytes;
    return f;
}

static gboolean is_word_char(gunichar c)
{
    return g_unichar_isalnum(c);
}

/* A digit is no misread letter: "Line 1" must not find "Line 2" or "Line". */
static guint letter_cost(gunichar c)
{
    return g_unichar_isdigit(c) ? DX_LABEL_CHARS_MAX : 1;
}

/* Edit distance of `label` to the best stretch that begins at `start` and ends at the end
 * of a word; at most `errors`.  FALSE when there is none. */
static gboolean match_at(const folded *text, gsize start, const folded *label,
                         guint *errors, gsize *end)
{
    guint limit = *errors;
    guint column[DX_LABEL_CHARS_MAX + 1];
    gboolean found = FALSE;
    column[0] = 0;
    for (gsize i = 1; i <= label->count; i++)
        column[i] = column[i - 1] + letter_cost(label->chars[i - 1]);
    for (gsize k = start; k < text->count && k < start + label->count + limit; k++) {
        gunichar c = text->chars[k];
        if (c == '\t' || c == '\n')
            break;
        guint diagonal = column[0], smallest;
        column[0] = (guint)(k - start) + 1;
        smallest = column[0];
        for (gsize i = 1; i <= label->count; i++) {
            guint cost = letter_cost(label->chars[i - 1]);
            guint swap = diagonal + (label->chars[i - 1] == c ? 0 : cost);
            diagonal = column[i];
            column[i] = MIN(swap, MIN(column[i] + 1, column[i - 1] + cost));
            smallest = MIN(smallest, column[i]);
        }
        if (smallest > limit)
            break;
        gboolean at_end =
            k + 1 >= text->count || !is_word_char(text->chars[k + 1]) || !is_word_char(c);
        if (at_end && column[label->count] <= limit &&
            (!found || column[label->count] < *errors)) {
            found = TRUE;
            *errors = column[label->count];
            *end = k + 1;
        }
    }
    return found;
}

static gint by_quality(gconstpointer a, gconstpointer b)
{
    const dx_label *x = a, *y = b;
    gsize xn = x->end - x->start, yn = y->end - y->start;
    /* A longer label with one slip beats a short exact one inside it. */
    gssize xq = (gssize)xn - 6 * (gssize)x->errors,
           yq = (gssize)yn - 6 * (gssize)y->errors;
    return xq > yq ? -1 : xq < yq;
}

static gint by_label_start(gconstpointer a, gconstpointer b)
{
    const dx_label *x = a, *y = b;
    return x->start < y->start ? -1 : x->start > y->start;
}

/* Of overlapping finds keep the best. */
static GArray *drop_overlaps(GArray *all)
{
    GArray *kept = g_array_new(FALSE, FALSE, sizeof(dx_label));
    g_array_sort(all, by_quality);
    for (guint i = 0; i < all->len; i++) {
        const dx_label *one = &g_array_index(all, dx_label, i);
        gboolean free_place = TRUE;
        for (guint k = 0; k < kept->len && free_place; k++) {
            const dx_label *other = &g_array_index(kept, dx_label, k);
            free_place = one->end <= other->start || one->start >= other->end;
        }
        if (free_place)
            g_array_append_val(kept, *one);
    }
    g_array_sort(kept, by_label_start);
    return kept;
}

/* The first letter of a label may be misread, but not missing, and an n is no v: "Our
 * reference" is not "Your reference", nor is "Notre" "Votre". */
static gboolean begins_alike(const folded *text, gsize at, const folded *label)
{
    gunichar here = text->chars[at], there = label->chars[0];
    if (here == there || label->count < 2)
        return here == there;
    return at + 1 < text->count && text->chars[at + 1] == label->chars[1] &&
           !(here == 'n' && there == 'v');
}

GArray *dx_layout_labels(const dx_layout *layout, const char *const *labels)
{
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(dx_label));
    folded text = fold_text(layout->text, layout->bytes);
    for (guint which = 0; labels[which] != NULL; which++) {
        if (!g_utf8_validate(labels[which], -1, NULL))
            continue;
        folded label = fold_text(labels[which], strlen(labels[which]));
        gboolean usable = label.count > 0 && label.count <= DX_LABEL_CHARS_MAX;
        for (gsize k = 0; usable && k < text.count; k++) {
            gboolean at_word =
                text.chars[k] != ' ' && (k == 0 || !is_word_char(text.chars[k - 1]));
            if (!at_word)
                continue;
            guint errors = (guint)(label.count / 6);
            gsize end;
            if (!match_at(&text, k, &label, &errors, &end) ||
                (errors > 0 && !begins_alike(&text, k, &label)))
                continue;
            dx_label found = { text.at[k], text.at[end], which, errors };
            while (found.end > found.start && (layout->text[found.end - 1] == ' ' ||
                                               layout->text[found.end - 1] == '\n' ||
                                               layout->text[found.end - 1] == '\t'))
                found.end--;
            g_array_append_val(all, found);
        }
        folded_clear(&label);
    }
    folded_clear(&text);
    return drop_overlaps(all);
}

/* Words between a label and a span on the same row make the relation weaker. */
static guint words_between(const dx_layout *layout, gsize from, gsize to)
{
    guint count = 0;
    guint32 last = G_MAXUINT32;
    for (gsize b = from; b < to; b++) {
        guint32 w = layout->word_at[b];
        gboolean counts = w != G_MAXUINT32 && w != last && b == layout->word_start[w] &&
                          g_ascii_ispunct(layout->text[b]) == 0;
        count += counts;
        last = w;
    }
    return count;
}

double dx_layout_score(const dx_layout *layout, const dx_label *label, gsize start,
                       gsize end)
{
    dx_box l, c;
    g_autoptr(GArray) label_boxes = dx_layout_span(layout, label->start, label->end, &l);
    g_autoptr(GArray) span_boxes = dx_layout_span(layout, start, end, &c);
    if (label_boxes->len == 0 || span_boxes->len == 0)
        return 0;
    if (start < label->end && end > label->start)
        return 0; /* the label itself is no value */
    double em = MIN(height_of(&l), height_of(&c));
    double quality = 1.0 - 0.1 * label->errors;
    double shared = MIN(l.y1, c.y1) - MAX(l.y0, c.y0);
    if (shared > 0.5 * em) {
        if (start < label->end)
            return 0; /* left of the label */
        double distance = MAX((c.x0 - l.x1) * layout->aspect / em, 0);
        return quality * exp(-distance / 40) *
               pow(0.7, words_between(layout, label->end, start));
    }
    double gap = (c.y0 - l.y1) / em;
    if (gap < -0.5)
        return 0;
    /* A sentence goes on in the next line. */
    gsize between = start > label->end ? strspn(layout->text + label->end, " \n:.") : 0;
    if (between > 0 && label->end + between == start && gap < JUMP_GAP)
        return quality * 0.8;
    /* Below: columns line up at the left, at the right, or over each other. */
    double width = MIN(l.x1 - l.x0, c.x1 - c.x0);
    double edge = MIN(fabs(l.x0 - c.x0), fabs(l.x1 - c.x1)) * layout->aspect / em;
    double lined_up = edge < 1                          ? 1
                      : x_overlap(&l, &c) > 0.5 * width ? 0.8
                      : x_overlap(&l, &c) > 0           ? 0.5
                                                        : 0;
    return quality * 0.9 * lined_up * exp(-MAX(gap, 0) / 4);
}

/*
 * choices.c - the pieces of a page that may be the value of a leaf, each weighed by its
 *             place beside a printed label.
 */
#include "extract.h"

#include "address.h"

#include <string.h>

#define WORDS_MAX 14   /* of one free value */
#define LINES_MAX 5    /* of one address */
#define FREE_MAX  6000 /* free candidates of one page */

static gboolean has_digit(const char *text)
{
    for (; *text != '\0'; text++)
        if (g_ascii_isdigit(*text))
            return TRUE;
    return FALSE;
}

dx_places *dx_places_new(const dx_page *p, const GArray *leaves)
{
    dx_places *marks = g_new0(dx_places, 1);
    const char **asks = g_new0(const char *, leaves->len + 1);
    marks->labels = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(GArray) owner = g_array_new(FALSE, FALSE, sizeof(guint));
    for (guint i = 0; i < leaves->len; i++) {
        const dx_leaf *l = &g_array_index(leaves, dx_leaf, i);
        asks[i] = l->ask;
        g_ptr_array_add(marks->labels, g_array_new(FALSE, FALSE, sizeof(dx_label)));
        gsize k;
        json_t *name;
        json_array_foreach(json_object_get(l->node, "x-labels"), k, name)
            if (json_is_string(name)) {
                g_ptr_array_add(names, (char *)json_string_value(name));
                g_array_append_val(owner, i);
            }
    }
    g_ptr_array_add(names, NULL);
    marks->asks = asks;
    g_autoptr(GArray) found =
        dx_layout_labels(p->layout, (const char *const *)names->pdata);
    for (guint k = 0; k < found->len; k++) {
        const dx_label *label = &g_array_index(found, dx_label, k);
        g_autofree char *text = dx_fold(g_ptr_array_index(names, label->which),
                                        strlen(g_ptr_array_index(names, label->which)));
        /* a label that several fields have in their lists marks all of them */
        for (guint n = 0; n + 1 < names->len; n++) {
            g_autofree char *other =
                dx_fold(g_ptr_array_index(names, n), strlen(g_ptr_array_index(names, n)));
            if (strcmp(other, text) == 0)
                g_array_append_val((GArray *)g_ptr_array_index(
                                       marks->labels, g_array_index(owner, guint, n)),
                                   *label);
        }
    }
    return marks;
}

void dx_places_free(dx_places *marks)
{
    if (marks == NULL)
        return;
    g_ptr_array_unref(marks->labels);
    g_free((void *)marks->asks);
    g_free(marks);
}

/* Words of running text are no labels of a name: "from", "to", "an" count only with a
 * colon or alone in their cell. */
static gboolean is_solid(const dx_layout *t, const dx_label *label)
{
    gsize end = label->end;
    while (end < t->bytes && t->text[end] == ' ')
        end++;
    if (end < t->bytes && t->text[end] == ':')
        return TRUE;
    const dx_cell *cell = dx_layout_cell(t, label->start);
    return cell != NULL && cell->start == label->start && end >= cell->end;
}

static double weight_of(const dx_page *p, const GArray *labels, gsize start, gsize end)
{
    double best = 0;
    for (guint i = 0; i < labels->len && i < 60; i++)
        best = MAX(best, dx_layout_score(p->layout, &g_array_index(labels, dx_label, i),
                                         start, end));
    return best;
}

static char *slice(const dx_page *p, gsize start, gsize end)
{
    char *text = g_strndup(p->layout->text + start, end - start);
    return g_strdelimit(text, "\t\n", ' ');
}

static void add_typed(dx_choices *out, const dx_work *w, const dx_page *p,
                      const dx_leaf *l, const GArray *labels)
{
    g_autoptr(GArray) found =
        dx_find_candidates(l->kind, p->layout->text, p->layout->bytes, &w->learnt);
    for (guint i = 0; i < found->len; i++) {
        const dx_candidate *c = &g_array_index(found, dx_candidate, i);
        g_autofree char *text = slice(p, c->start, c->end);
        dx_choices_add(out, text, c->start, c->end,
                       weight_of(p, labels, c->start, c->end));
    }
    if (l->kind != DX_KIND_AMOUNT && l->kind != DX_KIND_QUANTITY)
        return;
    /* numbers that print runs together: 2*12.50, 3x4.00 */
    const char *t = p->layout->text;
    for (gsize i = 0; i < p->layout->bytes;) {
        gsize n = strspn(t + i, "0123456789.,");
        if (n > 0 && n < 16 && g_ascii_isdigit(t[i])) {
            gsize m = n;
            while (m > 1 && !g_ascii_isdigit(t[i + m - 1]))
                m--;
            g_autofree char *text = slice(p, i, i + m);
            g_autofree char *value = NULL;
            if (!(l->kind == DX_KIND_AMOUNT && dx_is_rate(t + i + m)) &&
                dx_normalize(l->kind, text, &w->learnt, &value, NULL))
                dx_choices_add(out, text, i, i + m, weight_of(p, labels, i, i + m));
        }
        i += MAX(n, 1);
    }
}

static gboolean has_sign(const char *text) /* a letter or a digit */
{
    for (; *text != '\0'; text = g_utf8_next_char(text))
        if (g_unichar_isalnum(g_utf8_get_char(text)))
            return TRUE;
    return FALSE;
}

/* "19/01/17 10:48", "12:31:00": a date or a time of day is no number of a paper. */
static gboolean is_moment(const char *text)
{
    return g_regex_match_simple(
        "^\\(?\\d{1,2}([./-])\\d{1,2}\\1\\d{2}(\\d{2})?\\)?([ ,]|$)"
        "|^\\d{1,2}:\\d{2}(:\\d{2})?\\)?([ ,]|$)",
        text, 0, 0);
}

/* A bracket whose other half is not there. */
static void cut_bracket(char *text)
{
    gsize n = strlen(text);
    if (n > 1 && text[n - 1] == ')' && strchr(text, '(') == NULL)
        text[n - 1] = '\0';
    if (text[0] == '(' && text[1] != '\0' && strchr(text, ')') == NULL)
        memmove(text, text + 1, strlen(text));
}

/* In a number of several groups every group but a short first one has a digit. */
static gboolean is_number_group(const dx_page *p, guint first, guint last)
{
    const dx_layout *t = p->layout;
    for (guint i = first; i <= last; i++) {
        g_autofree char *word = slice(p, t->word_start[i], t->word_end[i]);
        gboolean has_letter = FALSE;
        for (const char *c = word; *c != '\0'; c = g_utf8_next_char(c))
            has_letter |= g_unichar_isalpha(g_utf8_get_char(c));
        if (!has_digit(word) && has_letter &&
            (i > first || strlen(word) > 4 || strpbrk(word, ".:,") != NULL))
            return FALSE;
    }
    return TRUE;
}

/* Runs of words inside one cell. */
static void add_free(dx_choices *out, const dx_page *p, const dx_leaf *l,
                     const GArray *labels)
{
    const dx_layout *t = p->layout;
    guint most = l->kind == DX_KIND_ID ? 4 : WORDS_MAX;
    gboolean is_name =
        strcmp(l->ask, "seller_name") == 0 || strcmp(l->ask, "buyer_name") == 0;
    for (guint a = 0; a < t->word_count; a++) {
        const dx_cell *cell = dx_layout_cell(t, t->word_start[a]);
        for (guint b = a; b < t->word_count && b < a + most && cell != NULL &&
                          t->word_end[b] <= cell->end;
             b++) {
            if (dx_choices_count(out) >= FREE_MAX)
                return;
            g_autofree char *text = slice(p, t->word_start[a], t->word_end[b]);
            if (strlen(text) > 200 || !has_sign(text) ||
                (l->kind == DX_KIND_ID && (!has_digit(text) || is_moment(text))))
                continue;
            if (l->kind == DX_KIND_ID && !is_number_group(p, a, b))
                break;
            if (is_name && !dx_could_be_name(text))
                continue;
            if (l->kind == DX_KIND_ID &&
                (text[0] == ':' || g_ascii_strncasecmp(text, "box ", 4) == 0))
                break;
            g_autofree char *trimmed = g_strdup(text);
            gsize n = strlen(trimmed);
            while (n > 1 && strchr(",;:", trimmed[n - 1]) != NULL)
                trimmed[--n] = '\0';
            if (l->kind == DX_KIND_ID)
                cut_bracket(trimmed);
            double weight = weight_of(p, labels, t->word_start[a], t->word_end[b]);
            /* a whole cell (or all behind a label in it) is likelier than a part */
            if (t->word_end[b] != cell->end)
                weight *= 0.6;
            dx_choices_add(out, trimmed, t->word_start[a], t->word_end[b], weight);
            char *bracket = strrchr(trimmed, '('); /* a number set close behind a name */
            if (bracket != NULL && bracket > trimmed + 1 && bracket[-1] != ' ') {
                gsize length = (gsize)(bracket - trimmed);
                while (length > 1 &&
                       (trimmed[length - 1] == '(' || trimmed[length - 1] == ' '))
                    length--;
                trimmed[length] = '\0';
                dx_choices_add(out, trimmed, t->word_start[a], t->word_start[a] + length,
                               weight * 0.9);
            }
        }
    }
}

/* Blocks of lines: from a word to the end of its cell, then cell by cell downwards. */
static void add_blocks(dx_choices *out, const dx_page *p, const GArray *labels)
{
    const dx_layout *t = p->layout;
    g_autoptr(GArray) jumps = dx_layout_jumps(t);
    for (guint a = 0; a < t->word_count; a++) {
        const dx_cell *cell = dx_layout_cell(t, t->word_start[a]);
        if (cell == NULL || (t->word_start[a] != cell->start && a > 0 &&
                             strchr(":·|", t->text[t->word_end[a - 1] - 1]) == NULL))
            continue;
        g_autoptr(GString) text = g_string_new(NULL);
        gsize start = t->word_start[a], end = cell->end;
        double weight = weight_of(p, labels, start, end);
        for (guint n = 0;
             n < LINES_MAX && cell != NULL && dx_choices_count(out) < FREE_MAX; n++) {
            g_autofree char *line = slice(p, n == 0 ? start : cell->start, cell->end);
            gsize length = strlen(line);
            while (length > 1 && strchr(", ", line[length - 1]) != NULL)
                line[--length] = '\0';
            g_string_append_printf(text, "%s%s", n > 0 ? ", " : "", line);
            end = n == 0 ? cell->end : end;
            if (text->len < 240)
                dx_choices_add(out, text->str, start, end, weight * 0.5);
            gsize to = G_MAXSIZE;
            for (guint j = 0; j < jumps->len; j++)
                if (g_array_index(jumps, dx_jump, j).from == cell->end)
                    to = g_array_index(jumps, dx_jump, j).to;
            cell = to != G_MAXSIZE ? dx_layout_cell(t, to) : NULL;
        }
    }
}

dx_choices *dx_choices_of(const dx_work *w, const dx_page *p, const dx_leaf *l,
                          const GArray *labels, const GArray *clues)
{
    dx_choices *out = dx_choices_new();
    gboolean is_text = l->kind == DX_KIND_TEXT || l->kind == DX_KIND_NONE;
    g_autoptr(GArray) solid = g_array_new(FALSE, FALSE, sizeof(dx_label));
    for (guint i = 0; i < labels->len; i++)
        if (!is_text || is_solid(p->layout, &g_array_index(labels, dx_label, i)))
            g_array_append_val(solid, g_array_index(labels, dx_label, i));
    if (!is_text && l->kind != DX_KIND_ID)
        add_typed(out, w, p, l, solid);
    else
        add_free(out, p, l, solid);
    if (g_str_has_suffix(l->ask, "address"))
        add_blocks(out, p, solid);
    for (guint i = 0; clues != NULL && i < clues->len; i++) {
        const dx_clue *clue = &g_array_index(clues, dx_clue, i);
        if (strcmp(clue->ask, l->ask) == 0)
            dx_choices_add(out, clue->raw, 0, 0, CLAMP(clue->score / 5, 0, 1));
    }
    dx_choices_seal(out);
    return out;
}

/*
 * clue.c - the list of clues, and the labels that fields share.
 */
#include "clue.h"

#include <string.h>

static void clue_clear(gpointer data)
{
    g_free(((dx_clue *)data)->raw);
    g_free(((dx_clue *)data)->value);
    json_decref(((dx_clue *)data)->parts);
}

GArray *dx_clues_new(void)
{
    GArray *clues = g_array_new(FALSE, TRUE, sizeof(dx_clue));
    g_array_set_clear_func(clues, clue_clear);
    return clues;
}

void dx_clue_add(GArray *clues, const char *ask, const char *raw, const char *value,
                 const dx_box *box, double score)
{
    if (raw == NULL || *raw == '\0')
        return;
    dx_clue clue = { ask, g_strdup(raw), g_strdup(value), NULL, *box, score, 0, 0 };
    g_array_append_val(clues, clue);
}

void dx_clue_parts(GArray *clues, json_t *parts)
{
    g_assert(clues->len > 0);
    g_array_index(clues, dx_clue, clues->len - 1).parts = parts;
}

void dx_clue_span(GArray *clues, const dx_layout *layout, const char *ask, gsize start,
                  gsize end, double score)
{
    dx_box box;
    dx_layout_box(layout, start, end, &box);
    g_autofree char *raw = g_strndup(layout->text + start, end - start);
    g_strstrip(g_strdelimit(raw, "\t\n", ' '));
    dx_clue_add(clues, ask, raw, NULL, &box, score);
}

double dx_mark_score(const dx_scene *scene, const char *ask, gsize start, gsize end)
{
    double best = 0;
    for (guint i = 0; scene->marks->asks[i] != NULL; i++) {
        if (strcmp(scene->marks->asks[i], ask) != 0)
            continue;
        const GArray *labels = g_ptr_array_index(scene->marks->labels, i);
        for (guint k = 0; k < labels->len; k++)
            best = MAX(best,
                       dx_layout_score(scene->layout, &g_array_index(labels, dx_label, k),
                                       start, end));
    }
    return best;
}

double dx_seen(const dx_layout *layout, const GArray *words, const dx_box *box)
{
    double seen = 1;
    for (guint i = 0; i < layout->word_count; i++) {
        const dx_box *b = &layout->boxes[i];
        double x = (b->x0 + b->x1) / 2, y = (b->y0 + b->y1) / 2;
        guint source = layout->word_source[i];
        if (x >= box->x0 && x <= box->x1 && y >= box->y0 && y <= box->y1 &&
            source < words->len)
            seen *= CLAMP(g_array_index(words, dx_word, source).prob, 0, 1);
    }
    return seen;
}

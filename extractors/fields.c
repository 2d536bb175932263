/*
 * fields.c - questions to the model, and its answers as leaves of the envelope.
 */
#include "extract.h"

#include <math.h>
#include <string.h>

#define LABEL_BIAS 2.0 /* logits that a perfect place beside a label is worth */
#define ROWS_MAX   40  /* of one list on one page */

/* ---- questions ------------------------------------------------------------------------------ */

static char *question_of(const GArray *leaves, const char *list)
{
    GString *q = g_string_new("Extract JSON: ");
    if (list != NULL)
        g_string_append_printf(q, "%s[", list);
    for (guint i = 0; i < leaves->len; i++)
        g_string_append_printf(q, "%s%s", i > 0 ? ", " : "",
                               g_array_index(leaves, dx_leaf, i).ask);
    if (list != NULL)
        g_string_append_c(q, ']');
    return g_string_free(q, FALSE);
}

/* DOCVL_LABEL_BIAS is for comparing settings in tests. */
static double label_bias(void)
{
    const char *text = g_getenv("DOCVL_LABEL_BIAS");
    return text != NULL ? g_ascii_strtod(text, NULL) : LABEL_BIAS;
}

typedef struct asked {
    GPtrArray *choices; /* of dx_choices, one a leaf */
    GArray *values;     /* of dx_answer_value */
} asked;

static void asked_clear(asked *a)
{
    g_clear_pointer(&a->choices, g_ptr_array_unref);
    g_clear_pointer(&a->values, g_array_unref);
}

static gboolean ask(dx_work *w, dx_session *session, const dx_page *p,
                    const GArray *leaves, const char *list, const GArray *clues,
                    const dx_places *marks, asked *a, GError **error)
{
    gint64 start = g_get_monotonic_time();
    g_autofree char *question = question_of(leaves, list);
    g_autofree dx_slot *slots = g_new0(dx_slot, leaves->len);
    a->choices = g_ptr_array_new_with_free_func((GDestroyNotify)dx_choices_free);
    for (guint i = 0; i < leaves->len; i++) {
        const dx_leaf *l = &g_array_index(leaves, dx_leaf, i);
        g_ptr_array_add(
            a->choices,
            dx_choices_of(w, p, l, g_ptr_array_index(marks->labels, i), clues));
        slots[i] =
            (dx_slot){ .key = l->ask, .choices = g_ptr_array_index(a->choices, i) };
    }
    dx_form form = {
        .slots = slots, .slot_count = leaves->len, .list = list, .rows_max = ROWS_MAX
    };
    gboolean is_truncated = FALSE;
    uint32_t most = w->options->tokens_max > 0 ? w->options->tokens_max : 1024;
    gboolean is_ok =
        dx_session_ask(session, p->layout->text, question, error) &&
        dx_answer_run(w->engine->model, w->engine->vocab, dx_session_context(session),
                      &form, most, list == NULL ? label_bias() : 0,
                      w->options->cancellable, &a->values, &is_truncated, error);
    w->is_truncated |= is_ok && is_truncated;
    w->us_answer += g_get_monotonic_time() - start;
    return is_ok;
}

static gboolean is_asked(const GArray *leaves, const char *ask)
{
    for (guint i = 0; i < leaves->len; i++)
        if (strcmp(g_array_index(leaves, dx_leaf, i).ask, ask) == 0)
            return TRUE;
    return FALSE;
}

/* The clues that the schema has fields for. */
static GArray *clues_of(dx_work *w, const dx_page *p, const dx_places *marks)
{
    GArray *clues = dx_clues_new();
    dx_scene scene = { p->layout, &w->learnt, marks, p->number == 1, p->is_read };
    if (is_asked(w->leaves, "seller_name"))
        dx_clues_parties(&scene, clues);
    if (is_asked(w->leaves, "gross_total") || is_asked(w->leaves, "total"))
        dx_totals_add(w->totals, &scene, p->number);
    if (is_asked(w->leaves, "invoice_number"))
        dx_clues_papers(&scene, clues);
    if (is_asked(w->leaves, "merchant_name"))
        dx_clues_shop(&scene, clues);
    return clues;
}

/* The parts of an address go to the leaves beside it. */
static void put_parts(dx_work *w, const dx_leaf *l, const json_t *leaf_json,
                      const json_t *parts)
{
    const char *dot = strrchr(l->path, '.');
    if (dot == NULL)
        return;
    for (guint i = 0; i < w->derived->len; i++) {
        const char *path = g_array_index(w->derived, dx_leaf, i).path,
                   *name = strrchr(path, '.');
        if (name == NULL || name - path != dot - l->path ||
            strncmp(path, l->path, (gsize)(name - path)) != 0)
            continue;
        const char *text = json_string_value(json_object_get(parts, name + 1));
        json_t *part = text != NULL ? json_deep_copy(leaf_json) : dx_null_leaf();
        if (text != NULL) {
            json_object_set_new(part, "value", json_string(text));
            json_object_set_new(part, "raw", json_string(text));
        }
        dx_field_put(w->fields, path, part);
    }
}

gboolean dx_ask_fields(dx_work *w, dx_session *session, const dx_page *p, GError **error)
{
    asked a = { 0 };
    if (w->leaves->len == 0)
        return TRUE;
    g_autoptr(dx_places) marks = dx_places_new(p, w->leaves);
    g_autoptr(GArray) clues = clues_of(w, p, marks);
    gboolean is_ok = ask(w, session, p, w->leaves, NULL, clues, marks, &a, error);
    for (guint i = 0; is_ok && i < w->leaves->len; i++) {
        const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
        dx_verdicts v = { .choices = g_ptr_array_index(a.choices, i), .clues = clues };
        if (i < a.values->len) {
            v.answer = g_array_index(a.values, dx_answer_value, i).text;
            v.prob = g_array_index(a.values, dx_answer_value, i).prob;
        }
        dx_hear(g_ptr_array_index(w->heard, i), w, p, l, &v);
    }
    asked_clear(&a);
    return is_ok;
}

void dx_decide_fields(dx_work *w)
{
    for (guint i = 0; i < w->leaves->len; i++) {
        const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
        GArray *options = g_ptr_array_index(w->heard, i);
        for (uint32_t n = 1; n <= w->pages_read; n++) {
            g_autoptr(GArray) clues = dx_clues_totals(w->totals, n);
            dx_page p = { .number = n, .is_read = dx_totals_is_read(w->totals, n) };
            dx_hear_clues(options, w, &p, l, clues);
        }
        json_t *parts;
        dx_field_put(w->fields, l->path, dx_decide(options, l, &parts));
        put_parts(w, l, dx_field_get(w->fields, l->path), parts);
        json_decref(parts);
    }
}

static const char *list_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL ? dot + 1 : path;
}

/* A value of a row as the model gave it. */
static json_t *row_leaf(const dx_work *w, const dx_page *p, const dx_leaf *l,
                        const dx_choices *choices, const dx_answer_value *v)
{
    gsize start, end;
    double weight;
    g_autofree char *value = NULL;
    if (v->text == NULL || !dx_choices_find(choices, v->text, &start, &end, &weight))
        return dx_null_leaf();
    gboolean reads = dx_leaf_value(w, l, v->text, &value);
    dx_box box;
    g_autoptr(GArray) boxes = dx_layout_span(p->layout, start, end, &box);
    double confidence = sqrt(v->prob) * (p->is_read ? 0.95 : 1) * (reads ? 1 : 0.3);
    return dx_leaf_new(p->number, p->is_read, reads ? value : v->text, v->text, &box,
                       CLAMP(confidence, 0.01, 0.99));
}

gboolean dx_ask_list(dx_work *w, dx_session *session, const dx_page *p,
                     const dx_list_leaf *list, GError **error)
{
    asked a = { 0 };
    json_t *rows = dx_field_get(w->fields, list->path);
    g_autoptr(dx_places) marks = dx_places_new(p, list->leaves);
    gboolean is_ok =
        ask(w, session, p, list->leaves, list_name(list->path), NULL, marks, &a, error);
    guint columns = list->leaves->len;
    for (guint r = 0; is_ok && columns > 0 && r < a.values->len / columns; r++) {
        json_t *row = json_object();
        gboolean is_any = FALSE;
        for (guint i = 0; i < columns; i++) {
            const dx_leaf *l = &g_array_index(list->leaves, dx_leaf, i);
            const dx_answer_value *v =
                &g_array_index(a.values, dx_answer_value, r * columns + i);
            json_t *value = row_leaf(w, p, l, g_ptr_array_index(a.choices, i), v);
            is_any |= !dx_is_null(value);
            dx_field_put(row, l->path, value);
        }
        if (is_any)
            json_array_append_new(rows, row);
        else
            json_decref(row);
    }
    asked_clear(&a);
    return is_ok;
}

/*
 * fields.c - questions to the model, and its answers as leaves of the envelope.
 */
#include "extract.h"

#include <math.h>
#include <string.h>

#define LABEL_BIAS 2.0 /* logits that a perfect place beside a label is worth */
#define ROWS_MAX   40  /* of one list on one page */

/* ---- values ------------------------------------------------------------------------------ */

/* Titles of papers as enum values. */
static const char *title_of(const char *folded)
{
    static const struct {
        const char *part, *value;
    } titles[] = {
        { "proforma", "proforma" },           { "pro forma", "proforma" },
        { "credit", "credit_note" },          { "gutschrift", "credit_note" },
        { "avoir", "credit_note" },           { "nota de credito", "credit_note" },
        { "nota di credito", "credit_note" }, { "dobropis", "credit_note" },
        { "korekt", "credit_note" },          { "debit", "debit_note" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(titles); i++)
        if (strstr(folded, titles[i].part) != NULL)
            return titles[i].value;
    return "invoice";
}

static gboolean normalised(const dx_work *w, const dx_leaf *l, const char *raw,
                           char **value)
{
    const json_t *choices = json_object_get(l->node, "enum");
    if (strcmp(l->path, "document_type") == 0 && choices != NULL) {
        g_autofree char *folded = dx_fold(raw, strlen(raw));
        *value = g_strdup(title_of(folded));
        return TRUE;
    }
    if (dx_normalize(l->kind, raw, &w->learnt, value, NULL))
        return TRUE;
    return FALSE;
}

static json_t *make_leaf(const dx_work *w, const dx_page *p, const dx_leaf *l,
                         const dx_choices *choices, const char *text, double prob)
{
    gsize start = 0, end = 0;
    double weight = 0;
    g_autofree char *value = NULL;
    if (text == NULL || !dx_choices_find(choices, text, &start, &end, &weight))
        return dx_null_leaf();
    gboolean is_read = normalised(w, l, text, &value);
    dx_box box = { 0 };
    g_autoptr(GArray) boxes = dx_layout_span(p->layout, start, end, &box);
    double seen = 1;
    for (guint i = 0; p->is_read && i < boxes->len; i++)
        seen = MIN(seen, 0.95);
    /* token probability, place beside a label, and whether it reads as its kind */
    double confidence = CLAMP((0.55 * sqrt(prob) + 0.45 * weight) * seen, 0.01, 0.99);
    if (l->kind == DX_KIND_TEXT)
        confidence = CLAMP(sqrt(prob) * seen, 0.01, 0.99);
    if (!is_read)
        confidence *= 0.3;
    json_t *leaf_json = json_pack(
        "{s:s, s:s, s:s, s:f, s:i, s:[f, f, f, f]}", "value", is_read ? value : text,
        "raw", text, "source", p->is_read ? "vlm" : "text", "confidence", confidence,
        "page", (int)p->number, "bbox", box.x0, box.y0, box.x1, box.y1);
    return leaf_json != NULL ? leaf_json : dx_null_leaf();
}

/* A value that the model left out, though one stands right beside its label. */
static const char *by_label(const dx_leaf *l, const dx_choices *choices, double *weight)
{
    const char *best = NULL;
    *weight = 0.85;
    gboolean is_free = l->kind == DX_KIND_TEXT || l->kind == DX_KIND_NONE ||
                       l->kind == DX_KIND_AMOUNT || l->kind == DX_KIND_ID;
    for (guint i = 0; !is_free && i < dx_choices_count(choices); i++) {
        double at;
        const char *text = dx_choices_text(choices, i, &at);
        if (at > *weight ||
            (best != NULL && at == *weight && strlen(text) > strlen(best))) {
            best = text;
            *weight = at;
        }
    }
    return best;
}

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
                    const GArray *leaves, const char *list, asked *a, GError **error)
{
    gint64 start = g_get_monotonic_time();
    g_autofree char *question = question_of(leaves, list);
    g_autofree dx_slot *slots = g_new0(dx_slot, leaves->len);
    a->choices = g_ptr_array_new_with_free_func((GDestroyNotify)dx_choices_free);
    for (guint i = 0; i < leaves->len; i++) {
        const dx_leaf *l = &g_array_index(leaves, dx_leaf, i);
        g_ptr_array_add(a->choices, dx_choices_of(w, p, l));
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

static void keep_better(dx_work *w, const dx_leaf *l, json_t *found)
{
    json_t *have = dx_field_get(w->fields, l->path);
    double old =
        have != NULL ? json_number_value(json_object_get(have, "confidence")) : 0;
    double new = json_number_value(json_object_get(found, "confidence"));
    if (have == NULL || (dx_is_null(have) && !dx_is_null(found)) ||
        (!dx_is_null(found) && new > old + 0.15))
        dx_field_put(w->fields, l->path, found);
    else
        json_decref(found);
}

gboolean dx_ask_fields(dx_work *w, dx_session *session, const dx_page *p, GError **error)
{
    asked a = { 0 };
    if (w->leaves->len == 0)
        return TRUE;
    gboolean is_ok = ask(w, session, p, w->leaves, NULL, &a, error);
    for (guint i = 0; is_ok && i < w->leaves->len; i++) {
        const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
        const dx_choices *choices = g_ptr_array_index(a.choices, i);
        const char *text = NULL;
        double prob = 0;
        if (i < a.values->len) {
            const dx_answer_value *v = &g_array_index(a.values, dx_answer_value, i);
            text = v->text;
            prob = v->prob;
        }
        if (text == NULL) {
            double weight;
            text = by_label(l, choices, &weight);
            prob = 0.1;
        }
        keep_better(w, l, make_leaf(w, p, l, choices, text, prob));
    }
    asked_clear(&a);
    return is_ok;
}

static const char *list_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL ? dot + 1 : path;
}

gboolean dx_ask_list(dx_work *w, dx_session *session, const dx_page *p,
                     const dx_list_leaf *list, GError **error)
{
    asked a = { 0 };
    json_t *rows = dx_field_get(w->fields, list->path);
    gboolean is_ok = ask(w, session, p, list->leaves, list_name(list->path), &a, error);
    guint columns = list->leaves->len;
    for (guint r = 0; is_ok && columns > 0 && r < a.values->len / columns; r++) {
        json_t *row = json_object();
        gboolean is_any = FALSE;
        for (guint i = 0; i < columns; i++) {
            const dx_leaf *l = &g_array_index(list->leaves, dx_leaf, i);
            const dx_answer_value *v =
                &g_array_index(a.values, dx_answer_value, r * columns + i);
            json_t *value =
                make_leaf(w, p, l, g_ptr_array_index(a.choices, i), v->text, v->prob);
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

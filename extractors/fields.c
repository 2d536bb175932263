/*
 * fields.c - questions to the model, and its answers as leaves of the envelope.
 */
#include "extract.h"

#include <math.h>
#include <string.h>

#define LABEL_BIAS  2.0  /* logits that a perfect place beside a label is worth */
#define ROW_HOLDS   0.97 /* quantity x price = amount */
#define ROW_UNKNOWN 0.8
#define ROW_FAILS   0.45
#define ROWS_MAX    40 /* of one list on one page */

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
        slots[i].key = l->ask;
        if (!w->options->is_free)
            slots[i].choices = g_ptr_array_index(a->choices, i);
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
    dx_scene scene = {
        p->layout, &w->learnt, marks, p->number == 1, p->is_read, p->words
    };
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

/* A country that follows from a tax number, an account or a telephone's prefix. */
static void mark_derived(json_t *leaf)
{
    json_object_set_new(leaf, "raw", json_null());
    json_object_set_new(leaf, "bbox", json_null());
    json_object_set_new(leaf, "source", json_string("derived"));
}

void dx_put_parts(dx_work *w, const dx_leaf *l, const json_t *leaf_json,
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
        gboolean is_printed = json_is_true(json_object_get(parts, "is_country_printed"));
        if (text != NULL && strcmp(name + 1, "country") == 0 && !is_printed)
            mark_derived(part);
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
        dx_grounds grounds;
        dx_field_put(w->fields, l->path, dx_decide(options, l, &grounds, &parts));
        g_array_append_val(w->grounds, grounds);
        dx_put_parts(w, l, dx_field_get(w->fields, l->path), parts);
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
    g_autofree char *value = NULL;
    dx_box box;
    if (v->text == NULL || !dx_answer_place(w, p, choices, v->text, &box))
        return dx_null_leaf();
    gboolean reads = dx_leaf_value(w, l, v->text, &value);
    box = dx_page_box(p, &box);
    double confidence = sqrt(v->prob) *
                        (p->is_read ? dx_seen(p->layout, p->words, &box) : 1) *
                        (reads ? 1 : 0.3);
    return dx_leaf_new(p->number, p->is_read, reads ? value : v->text, v->text, &box,
                       CLAMP(confidence, 0.01, 0.99));
}

static gint column_named(const dx_list_leaf *list, const char *const *asks)
{
    for (; *asks != NULL; asks++)
        for (guint i = 0; i < list->leaves->len; i++)
            if (strcmp(g_array_index(list->leaves, dx_leaf, i).ask, *asks) == 0)
                return (gint)i;
    return -1;
}

/* The number in a column of a row, in millionths. */
static gboolean number_in(const json_t *row, const char *column, int64_t *micro)
{
    const char *value =
        json_string_value(json_object_get(json_object_get(row, column), "value"));
    return value != NULL && dx_amount_parse(value, micro);
}

/* How surely a row was read: its arithmetic says it, where it has all of it. */
static double row_confidence(const json_t *row)
{
    int64_t quantity, price, amount, product;
    if (!number_in(row, "quantity", &quantity) || !number_in(row, "unit_price", &price) ||
        (!number_in(row, "net_amount", &amount) && !number_in(row, "amount", &amount)) ||
        !dx_amount_mul(quantity, price, &product))
        return ROW_UNKNOWN;
    return ABS(product - amount) <= 20000 ? ROW_HOLDS : ROW_FAILS;
}

static json_t *table_row(const dx_work *w, const dx_page *p, const dx_list_leaf *list,
                         const dx_table *t, guint r)
{
    json_t *row = json_object();
    guint columns = list->leaves->len;
    for (guint i = 0; i < columns; i++) {
        const dx_leaf *l = &g_array_index(list->leaves, dx_leaf, i);
        const dx_table_value *v =
            &g_array_index(t->values, dx_table_value, r * columns + i);
        g_autofree char *value = NULL;
        gboolean reads = v->text != NULL && dx_leaf_value(w, l, v->text, &value);
        dx_field_put(row, l->path,
                     reads
                         ? dx_leaf_new(p->number, p->is_read, value, v->text, &v->box, 1)
                         : dx_null_leaf());
    }
    double confidence = row_confidence(row);
    for (guint i = 0; i < columns; i++) {
        const dx_leaf *l = &g_array_index(list->leaves, dx_leaf, i);
        json_t *leaf = dx_field_get(row, l->path);
        const dx_table_value *v =
            &g_array_index(t->values, dx_table_value, r * columns + i);
        double seen = p->is_read ? dx_seen(p->layout, p->words, &v->box) : 1;
        if (!dx_is_null(leaf))
            json_object_set_new(leaf, "confidence", json_real(confidence * seen));
    }
    return row;
}

/* A unit printed behind its quantity: "10 Stk". */
static void split_unit(json_t *row)
{
    json_t *quantity = json_object_get(row, "quantity"),
           *unit = json_object_get(row, "unit");
    const char *raw = json_string_value(json_object_get(quantity, "raw"));
    if (raw == NULL || unit == NULL || !dx_is_null(unit))
        return;
    const char *tail = raw + strlen(raw);
    while (tail > raw && !g_ascii_isdigit(tail[-1]))
        tail--;
    g_autofree char *text = g_strstrip(g_strdup(tail));
    if (!g_unichar_isalpha(g_utf8_get_char(text)))
        return;
    json_t *found = json_deep_copy(quantity);
    json_object_set_new(found, "value", json_string(text));
    json_object_set_new(found, "raw", json_string(text));
    json_object_set_new(row, "unit", found);
}

/* Numbers of the rows, printed before the names: 1, 2, 3, ... */
static void cut_numbers(json_t *rows, gsize from, const char *name)
{
    gsize count = json_array_size(rows), cut = 0;
    for (int is_sure = 0; is_sure < 2; is_sure++)
        for (gsize i = from; i < count; i++) {
            json_t *leaf = json_object_get(json_array_get(rows, i), name);
            const char *text = json_string_value(json_object_get(leaf, "value"));
            char *end = NULL;
            guint64 number = text != NULL ? g_ascii_strtoull(text, &end, 10) : 0;
            gboolean is_next =
                text != NULL && end != text && *end == ' ' && number == i - from + 1;
            cut += is_next && !is_sure;
            if (is_next && is_sure && cut == count - from)
                json_object_set_new(leaf, "value", json_string(g_strchug(end)));
        }
}

/* The rows of a table whose headings were found; 0 when there is none. */
static guint take_table(dx_work *w, const dx_page *p, dx_list_leaf *list,
                        const dx_places *places)
{
    static const char *const amounts[] = { "net_amount", "amount", "tax_amount", NULL };
    static const char *const names[] = { "name", "description", NULL };
    g_autofree dx_kind *kinds = g_new0(dx_kind, list->leaves->len);
    for (guint i = 0; i < list->leaves->len; i++)
        kinds[i] = g_array_index(list->leaves, dx_leaf, i).kind;
    dx_scene scene = {
        p->layout, &w->learnt, places, p->number == 1, p->is_read, p->words
    };
    g_autoptr(dx_table) t = dx_table_find(&scene, kinds, column_named(list, amounts),
                                          column_named(list, names), list->columns);
    if (t == NULL)
        return 0;
    json_t *rows = dx_field_get(w->fields, list->path);
    gsize from = json_array_size(rows);
    gint name = column_named(list, names);
    for (guint r = 0; r < t->row_count; r++) {
        json_t *row = table_row(w, p, list, t, r);
        split_unit(row);
        json_array_append_new(rows, row);
    }
    if (name >= 0)
        cut_numbers(rows, from, g_array_index(list->leaves, dx_leaf, name).ask);
    if (t->row_count > 0) {
        g_clear_pointer(&list->columns, g_array_unref);
        list->columns = g_array_ref(t->columns);
    }
    return t->row_count;
}

/* Taxes stated in lines of their own, where no table has them. */
static guint take_tax_lines(dx_work *w, const dx_page *p, const dx_list_leaf *list,
                            const dx_places *places)
{
    static const char *const names[] = { "rate", "taxable_amount", "tax_amount" };
    if (!is_asked(list->leaves, "rate") || !is_asked(list->leaves, "tax_amount"))
        return 0;
    dx_scene scene = {
        p->layout, &w->learnt, places, p->number == 1, p->is_read, p->words
    };
    g_autoptr(GArray) found = dx_tax_lines(&scene);
    json_t *rows = dx_field_get(w->fields, list->path);
    for (guint r = 0; r < found->len; r++) {
        const dx_tax_line *t = &g_array_index(found, dx_tax_line, r);
        const char *const raws[] = { t->rate, t->taxable, t->tax };
        double seen = p->is_read ? dx_seen(p->layout, p->words, &t->box) : 1;
        json_t *row = json_object();
        for (guint i = 0; i < list->leaves->len; i++) {
            const dx_leaf *l = &g_array_index(list->leaves, dx_leaf, i);
            json_t *leaf = dx_null_leaf();
            for (gsize k = 0; k < G_N_ELEMENTS(names); k++) {
                g_autofree char *value = NULL;
                if (strcmp(l->ask, names[k]) != 0 || raws[k] == NULL ||
                    !dx_leaf_value(w, l, raws[k], &value))
                    continue;
                json_decref(leaf);
                leaf = dx_leaf_new(p->number, p->is_read, value, raws[k], &t->box,
                                   (t->taxable != NULL ? ROW_HOLDS : ROW_UNKNOWN) * seen);
            }
            dx_field_put(row, l->path, leaf);
        }
        json_array_append_new(rows, row);
    }
    return found->len;
}

gboolean dx_ask_list(dx_work *w, dx_session *session, const dx_page *p,
                     dx_list_leaf *list, GError **error)
{
    asked a = { 0 };
    json_t *rows = dx_field_get(w->fields, list->path);
    g_autoptr(dx_places) marks = dx_places_new(p, list->leaves);
    /* A table with headings is read off its columns; the model reads what has none.  A
     * table that went on from the page before ends where it ends. */
    gboolean goes_on = list->columns != NULL;
    if (take_table(w, p, list, marks) > 0 || goes_on ||
        take_tax_lines(w, p, list, marks) > 0)
        return TRUE;
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

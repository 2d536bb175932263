/* test_mend.c - what is left out after a failed check, and what stays. */
#include "extract.h"

#include "checks.h"

static const char schema[] =
    "{\"type\":\"object\",\"required\":[\"issue_date\"],"
    "\"x-checks\":["
    "{\"id\":\"D\",\"expr\":\"due_date >= issue_date\",\"severity\":\"error\"},"
    "{\"id\":\"G\",\"expr\":\"gross == net + tax\",\"severity\":\"error\"},"
    "{\"id\":\"S\",\"expr\":\"tax == sum(taxes[].tax_amount)\",\"severity\":\"error\"},"
    "{\"id\":\"T\",\"expr\":\"taxes[].tax_amount == taxes[].base * taxes[].rate / 100\","
    "\"tolerance\":\"0.02\",\"severity\":\"error\"}],"
    "\"properties\":{"
    "\"issue_date\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"date\"},"
    "\"due_date\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"date\"},"
    "\"net\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"amount\"},"
    "\"tax\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"amount\"},"
    "\"gross\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"amount\"},"
    "\"taxes\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{"
    "\"rate\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"percent\"},"
    "\"base\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"amount\"},"
    "\"tax_amount\":{\"type\":[\"string\",\"null\"],\"x-kind\":\"amount\"}}}}}}";

typedef struct paper {
    const char *issue, *due, *net, *tax, *gross, *rows; /* "rate base tax;..." */
    double due_label; /* what a printed label says for the due date */
} paper;

static json_t *leaf_of(const char *value)
{
    static const dx_box nowhere = { 0 };
    return value != NULL ? dx_leaf_new(1, FALSE, value, value, &nowhere, 0.8)
                         : dx_null_leaf();
}

static void fill(dx_work *w, const paper *p)
{
    const char *const values[][2] = { { "issue_date", p->issue },
                                      { "due_date", p->due },
                                      { "net", p->net },
                                      { "tax", p->tax },
                                      { "gross", p->gross } };
    for (guint i = 0; i < w->leaves->len; i++) {
        const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
        gboolean is_due = g_str_equal(l->path, "due_date");
        dx_grounds g = { 0 };
        for (gsize k = 0; k < G_N_ELEMENTS(values); k++)
            if (g_str_equal(l->path, values[k][0])) {
                dx_field_put(w->fields, l->path, leaf_of(values[k][1]));
                if (values[k][1] != NULL)
                    g = (dx_grounds){ .worth = 2,
                                      .answer = 1.7,
                                      .label = is_due ? p->due_label : 3,
                                      .seen = 1 };
            }
        g_array_append_val(w->grounds, g);
        g_ptr_array_add(w->heard, dx_options_new());
    }
    json_t *rows = json_array();
    g_auto(GStrv) lines = g_strsplit(p->rows != NULL ? p->rows : "", ";", -1);
    for (char **line = lines; *line != NULL; line++) {
        g_auto(GStrv) cells = g_strsplit(*line, " ", 3);
        json_t *row = json_object();
        json_object_set_new(row, "rate", leaf_of(cells[0]));
        json_object_set_new(row, "base", leaf_of(cells[1]));
        json_object_set_new(row, "tax_amount", leaf_of(cells[2]));
        json_array_append_new(rows, row);
    }
    dx_field_put(w->fields, "taxes", rows);
}

/* What is told as mended, written "field>value field>null". */
static char *mended(const paper *p, json_t **fields)
{
    json_t *node = json_loads(schema, 0, NULL);
    g_assert_nonnull(node);
    dx_work w = { .schema = node,
                  .leaves = dx_leaves_new(),
                  .derived = dx_leaves_new(),
                  .lists = g_ptr_array_new_with_free_func(dx_list_free),
                  .fields = json_object(),
                  .heard = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref),
                  .grounds = g_array_new(FALSE, TRUE, sizeof(dx_grounds)) };
    dx_collect(&w, node, "", w.leaves, FALSE);
    fill(&w, p);
    json_t *checks = dx_checks_run(node, w.fields, NULL, NULL);
    json_t *told = dx_mend(&w, checks);
    GString *text = g_string_new(NULL);
    gsize i;
    json_t *change;
    json_array_foreach(told, i, change)
        g_string_append_printf(text, "%s%s", i > 0 ? " " : "",
                               json_string_value(json_object_get(change, "field")));
    json_decref(told);
    json_decref(checks);
    *fields = w.fields;
    g_array_unref(w.leaves);
    g_array_unref(w.derived);
    g_ptr_array_unref(w.lists);
    g_ptr_array_unref(w.heard);
    g_array_unref(w.grounds);
    json_decref(node);
    return g_string_free(text, FALSE);
}

static void test_left_out(void)
{
    static const struct {
        paper paper;
        const char *told;
    } cases[] = {
        /* the decoder alone names a day before the invoice's own */
        { { .issue = "2026-02-03", .due = "2026-02-01" }, "due_date" },
        /* a label names it: the paper is at fault, somebody should look */
        { { .issue = "2026-02-03", .due = "2026-02-01", .due_label = 3 }, "" },
        { { .issue = "2026-02-03", .due = "2026-02-17" }, "" },
        /* rows of another table: false in themselves, and not the tax of the sum */
        { { .net = "858.75", .tax = "163.16", .gross = "1021.91", .rows = "19 850 8.75" },
          "taxes" },
        /* a rate that was worked out wrongly is the paper's fault */
        { { .net = "100", .tax = "25", .gross = "125", .rows = "19 100 25" }, "" },
        /* rows that hold, with a sum that does not */
        { { .net = "100", .tax = "20", .gross = "120", .rows = "19 100 19" }, "" },
        /* nothing proves the sum of the taxes */
        { { .tax = "163.16", .rows = "19 850 8.75" }, "" },
        { { .net = "100", .tax = "20", .gross = "121", .rows = "19 100 18" }, "" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %zu", i);
        json_t *fields;
        g_autofree char *told = mended(&cases[i].paper, &fields);
        g_assert_cmpstr(told, ==, cases[i].told);
        gboolean is_due_out = g_str_equal(told, "due_date");
        g_assert_cmpint(dx_is_null(dx_field_get(fields, "due_date")), ==,
                        is_due_out || cases[i].paper.due == NULL);
        gsize rows = json_array_size(json_object_get(fields, "taxes"));
        g_assert_cmpuint(rows, ==,
                         cases[i].paper.rows != NULL && !g_str_equal(told, "taxes"));
        json_decref(fields);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mend/left out", test_left_out);
    return g_test_run();
}

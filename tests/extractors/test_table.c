/*
 * test_table.c - rows by headings: columns, wraps, sums, tables that go on.
 */
#include "table.h"

#include "page.h"

static const char *const asks[] = { "name", "quantity", "unit_price", "net_amount",
                                    NULL };
static const dx_kind kinds[] = { DX_KIND_TEXT, DX_KIND_QUANTITY, DX_KIND_AMOUNT,
                                 DX_KIND_AMOUNT };
static const char *const labels[] = { "Description", "Qty", "Price", "Amount", NULL };

static dx_table *find(const dx_layout *l, const GArray *before)
{
    g_autoptr(GPtrArray) places =
        g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref);
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        const char *const one[] = { labels[i], NULL };
        g_ptr_array_add(places, dx_layout_labels(l, one));
    }
    dx_context context = { 0 };
    dx_context_learn(&context, l->text, l->bytes);
    dx_places marks = { asks, places };
    dx_scene scene = { l, &context, &marks, TRUE, FALSE, NULL };
    return dx_table_find(&scene, kinds, 3, 0, before);
}

static const char *text_at(const dx_table *t, guint row, guint column)
{
    return g_array_index(t->values, dx_table_value, row * G_N_ELEMENTS(kinds) + column)
        .text;
}

static void test_rows(void)
{
    static const struct {
        const char *what, *page;
        guint rows;
        const char *first[4], *last[4];
    } cases[] = {
        { "plain",
          "Description        Qty    Price    Amount\nBolts                2     4.00    "
          "  8.00\nNuts                10     0.50      5.00\nTotal                      "
          "         13.00",
          2,
          { "Bolts", "2", "4.00", "8.00" },
          { "Nuts", "10", "0.50", "5.00" } },
        { "a column nobody asks for",
          "Pos   Description        Qty    Price    Amount\n1     Bolts                2 "
          "    4.00      8.00",
          1,
          { "Bolts", "2", "4.00", "8.00" },
          { "Bolts", "2", "4.00", "8.00" } },
        { "an empty column",
          "Description        Qty    Price    Amount\nBolts                2             "
          "  8.00",
          1,
          { "Bolts", "2", NULL, "8.00" },
          { "Bolts", "2", NULL, "8.00" } },
        { "a name that wraps",
          "Description        Qty    Price    Amount\nBolts, galvanised    2     4.00    "
          "  8.00\nwith nuts\nNuts                 1     1.00      1.00",
          2,
          { "Bolts, galvanised with nuts", "2", "4.00", "8.00" },
          { "Nuts", "1", "1.00", "1.00" } },
        { "a carried sum",
          "Description        Qty    Price    Amount\nBolts                2     4.00    "
          "  8.00\nCarried forward                     8.00\n",
          1,
          { "Bolts", "2", "4.00", "8.00" },
          { "Bolts", "2", "4.00", "8.00" } },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        g_autoptr(dx_table) t = find(l, NULL);
        g_assert_nonnull(t);
        g_assert_cmpuint(t->row_count, ==, cases[i].rows);
        for (guint c = 0; c < G_N_ELEMENTS(kinds); c++) {
            g_assert_cmpstr(text_at(t, 0, c), ==, cases[i].first[c]);
            g_assert_cmpstr(text_at(t, t->row_count - 1, c), ==, cases[i].last[c]);
        }
    }
}

static void test_no_table(void)
{
    static const char *const pages[] = {
        "", "Amount due   8.00", "A letter.\nThe price and the amount are given below."
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pages); i++) {
        g_autoptr(dx_layout) l = page_layout(pages[i]);
        g_assert_null(find(l, NULL));
    }
}

static void test_goes_on(void)
{
    g_autoptr(dx_layout) one =
        page_layout("Description        Qty    Price    Amount\nBolts                2   "
                    "  4.00      8.00");
    g_autoptr(dx_layout) two =
        page_layout("Nuts                10     0.50      5.00\nTotal                    "
                    "           13.00");
    g_autoptr(dx_table) first = find(one, NULL);
    g_autoptr(dx_table) second = find(two, first->columns);
    g_assert_cmpuint(second->row_count, ==, 1);
    g_assert_cmpstr(text_at(second, 0, 0), ==, "Nuts");
    g_assert_cmpstr(text_at(second, 0, 3), ==, "5.00");
}

/* Rows of one page are limited. */
static void test_limit(void)
{
    for (guint rows = DX_TABLE_ROWS_MAX; rows <= DX_TABLE_ROWS_MAX + 1; rows++) {
        g_autoptr(GString) page =
            g_string_new("Description        Qty    Price    Amount");
        for (guint i = 0; i < rows; i++)
            g_string_append(page, "\nBolts                2     4.00      8.00");
        g_autoptr(dx_layout) l = page_layout(page->str);
        g_autoptr(dx_table) t = find(l, NULL);
        g_assert_cmpuint(t->row_count, ==, DX_TABLE_ROWS_MAX);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/table/rows", test_rows);
    g_test_add_func("/table/none", test_no_table);
    g_test_add_func("/table/goes_on", test_goes_on);
    g_test_add_func("/table/limit", test_limit);
    return g_test_run();
}

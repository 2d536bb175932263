/* test_trust.c - confidence out of grounds, and what checks say of a field. */
#include "trust.h"

#include <string.h>

static const dx_grounds plain = {
    .worth = 5, .lead = 3, .seen = 1, .label = 3, .answer = 1.5, .is_stated = TRUE
};

static double trust(dx_grounds g, unsigned marks)
{
    return dx_trust(&g, DX_KIND_AMOUNT, "total", marks);
}

/* More that speaks for a value never makes it less likely. */
static void test_order(void)
{
    double base = trust(plain, 0);
    g_assert_cmpfloat(base, >, 0.5);
    g_assert_cmpfloat(base, <=, 0.99);
    dx_grounds g = plain;
    g.lead = 0.2;
    g_assert_cmpfloat(trust(g, 0), <, base);
    g = plain;
    g.seen = 0.6;
    g.is_read = TRUE;
    g_assert_cmpfloat(trust(g, 0), <, base);
    g = plain;
    g.answer = 0;
    g_assert_cmpfloat(trust(g, 0), <, base);
    g_assert_cmpfloat(trust(plain, DX_CHECK_FAILED), <, base);
    g = plain;
    g.rival = 1.5;
    g_assert_cmpfloat(trust(g, 0), <, base);
    g_assert_cmpfloat(trust(plain, DX_CHECK_PROVED), >=, base);
    /* what comes out was read right, however faint the print */
    g = plain;
    g.seen = 0.6;
    g.is_read = TRUE;
    g_assert_cmpfloat(trust(g, DX_CHECK_PROVED), >, trust(g, 0) + 0.2);
    double faint = trust(g, 0);
    g.is_checked = TRUE;
    g_assert_cmpfloat(trust(g, 0), >, faint + 0.2);
}

static void test_limits(void)
{
    dx_grounds g = { .seen = 0, .is_read = TRUE, .lead = -100 };
    g_assert_cmpfloat(trust(g, DX_CHECK_FAILED), ==, 0.01);
    g = (dx_grounds){ .seen = 1, .lead = 1e9, .label = 3, .answer = 2 };
    g_assert_cmpfloat(trust(g, DX_CHECK_PROVED), <=, 0.99);
}

/* The table names every weight once, and the fit sees what dx_trust() sees. */
static void test_table(void)
{
    json_t *table =
        dx_trust_table(&plain, DX_KIND_TEXT, "seller_address", DX_CHECK_PROVED);
    g_assert_cmpfloat(json_number_value(json_object_get(table, "one")), ==, 1);
    g_assert_cmpfloat(json_number_value(json_object_get(table, "address")), ==, 1);
    g_assert_cmpfloat(json_number_value(json_object_get(table, "text")), ==, 0);
    g_assert_cmpfloat(json_number_value(json_object_get(table, "proved")), ==, 1);
    g_assert_cmpfloat(json_number_value(json_object_get(table, "label")), ==, 3);
    json_decref(table);
}

static json_t *checks_of(const char *text)
{
    json_t *checks = json_loads(text, 0, NULL);
    g_assert_nonnull(checks);
    return checks;
}

static void test_marks(void)
{
    static const struct {
        const char *checks, *path;
        unsigned marks;
    } cases[] = {
        { "[{\"id\":\"A-6\",\"result\":\"pass\",\"lhs\":\"119\",\"rhs\":\"119\","
          "\"severity\":"
          "\"error\",\"fields\":[\"totals.gross_total\",\"totals.net_total\"]}]",
          "totals.net_total", DX_CHECK_PROVED },
        { "[{\"id\":\"A-6\",\"result\":\"pass\",\"lhs\":\"119\",\"rhs\":\"119\","
          "\"severity\":"
          "\"error\",\"fields\":[\"totals.gross_total\"]}]",
          "totals.net_total", 0 },
        /* zero is zero whatever was read */
        { "[{\"id\":\"A\",\"result\":\"pass\",\"lhs\":\"0\",\"rhs\":\"0\",\"severity\":"
          "\"error\",\"fields\":[\"total\"]}]",
          "total", 0 },
        /* the form of a date proves nothing */
        { "[{\"id\":\"D-3\",\"result\":\"pass\",\"lhs\":\"2026-02-01\",\"rhs\":"
          "\"2026-01-01\",\"severity\":\"error\",\"fields\":[\"due_date\"]}]",
          "due_date", 0 },
        { "[{\"id\":\"D-3\",\"result\":\"fail\",\"lhs\":\"2026-01-01\",\"rhs\":"
          "\"2026-02-01\",\"severity\":\"error\",\"fields\":[\"due_date\"]}]",
          "due_date", DX_CHECK_FAILED },
        { "[{\"id\":\"D\",\"result\":\"fail\",\"lhs\":\"1\",\"rhs\":\"2\",\"severity\":"
          "\"warn\",\"fields\":[\"total\"]}]",
          "total", 0 },
        { "[{\"id\":\"B-1\",\"result\":\"fail\",\"lhs\":\"X\",\"rhs\":null,\"severity\":"
          "\"error\",\"fields\":[\"payment.accounts[0].iban\"]}]",
          "payment.accounts.0.iban", DX_CHECK_FAILED },
        { "[{\"id\":\"B-1\",\"result\":\"fail\",\"lhs\":\"X\",\"rhs\":null,\"severity\":"
          "\"error\",\"fields\":[\"payment.accounts[0].iban\"]}]",
          "payment.accounts.0.ibans", 0 },
        /* the rows may lack one */
        { "[{\"id\":\"A-5\",\"result\":\"fail\",\"lhs\":\"27\",\"rhs\":\"19\","
          "\"severity\":"
          "\"error\",\"fields\":[\"totals.tax_total\",\"taxes[].tax_amount\"]}]",
          "totals.tax_total", 0 },
        /* that the number is missing says nothing of the date */
        { "[{\"id\":\"Q-1\",\"result\":\"fail\",\"lhs\":null,\"rhs\":null,\"severity\":"
          "\"error\",\"fields\":[\"invoice_number\",\"issue_date\"]}]",
          "issue_date", 0 },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %zu: %s", i, cases[i].path);
        json_t *checks = checks_of(cases[i].checks);
        g_assert_cmpuint(dx_check_marks(checks, cases[i].path), ==, cases[i].marks);
        json_decref(checks);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/trust/order", test_order);
    g_test_add_func("/trust/limits", test_limits);
    g_test_add_func("/trust/table", test_table);
    g_test_add_func("/trust/marks", test_marks);
    return g_test_run();
}

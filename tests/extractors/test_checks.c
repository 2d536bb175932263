/*
 * test_checks.c - the language of checks, and the worked example of the field reference:
 * no changed digit may escape all checks.
 */
#include "checks.h"

#include <string.h>

#define TODAY "2024-06-15"

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *out = json_loads(text, 0, &error);
    if (out == NULL)
        g_error("%s: %s", error.text, text);
    return out;
}

static const char values_text[] =
    "{\"invoice_number\":\"RE-7\",\"issue_date\":\"2024-05-31\",\"due_date\":\"2024-06-"
    "14\","
    "\"payment\":{\"net_days\":14},\"seller\":{\"name\":\"A "
    "GmbH\"},\"buyer\":{\"name\":\"B SA\"},"
    "\"lines\":[{\"kind\":\"item\",\"quantity\":\"2\",\"unit_price\":\"100.00\",\"net_"
    "amount\":\"200.00\"},"
    "{\"quantity\":\"3\",\"unit_price\":\"50.00\",\"net_amount\":\"150.00\"},"
    "{\"kind\":\"subtotal\",\"net_amount\":\"350.00\"}],"
    "\"allowances\":[{\"amount\":\"10.00\"}],\"surcharges\":[],"
    "\"taxes\":[{\"rate\":\"19\",\"taxable_amount\":\"340.00\",\"tax_amount\":\"64.60\"}]"
    ","
    "\"totals\":{\"line_total\":\"350.00\",\"allowance_total\":\"10.00\",\"net_total\":"
    "\"340.00\","
    "\"tax_total\":\"64.60\",\"gross_total\":{\"value\":\"404.60\",\"page\":1},\"paid\":"
    "\"100.00\","
    "\"rounding\":null,\"amount_due\":\"304.60\"}}";

#define LINE_TOLERANCE                                                                   \
    "if(decimals(lines[].quantity) + max(decimals(lines[].unit_price), 2) <= 2, 0, "     \
    "0.02)"

static const char schema_text[] =
    "{\"x-checks\":["
    "{\"id\":\"L-1\",\"expr\":\"lines[].net_amount == lines[].quantity * "
    "lines[].unit_price\","
    "\"tolerance\":\"" LINE_TOLERANCE "\"},"
    "{\"id\":\"A-1\",\"expr\":\"totals.line_total == sum(lines[kind != "
    "subtotal|transfer|text]."
    "net_amount)\"},"
    "{\"id\":\"A-2\",\"expr\":\"(totals.allowance_total ?? 0) == "
    "sum(allowances[].amount)\"},"
    "{\"id\":\"A-4\",\"expr\":\"totals.net_total == totals.line_total - "
    "(totals.allowance_total ?? 0) + (totals.charge_total ?? 0)\"},"
    "{\"id\":\"A-5\",\"expr\":\"totals.tax_total == sum(taxes[].tax_amount)\"},"
    "{\"id\":\"A-6\",\"expr\":\"totals.gross_total == totals.net_total + "
    "totals.tax_total\"},"
    "{\"id\":\"A-7\",\"expr\":\"totals.amount_due == totals.gross_total - (totals.paid "
    "?? 0) "
    "+ (totals.rounding ?? 0)\"},"
    "{\"id\":\"A-9\",\"expr\":\"sum(taxes[].taxable_amount) == totals.net_total\"},"
    "{\"id\":\"T-1\",\"expr\":\"taxes[].tax_amount == round(taxes[].taxable_amount * "
    "taxes[].rate / 100, 2)\",\"tolerance\":\"0.02\"}]}";

static const char *result_of(json_t *results, const char *id)
{
    size_t i;
    json_t *entry;
    json_array_foreach(results, i, entry)
        if (strcmp(json_string_value(json_object_get(entry, "id")), id) == 0)
            return json_string_value(json_object_get(entry, "result"));
    return NULL;
}

static json_t *run_checks(const json_t *schema, const json_t *values)
{
    g_autoptr(GError) error = NULL;
    dx_check_opts opts = { .today = TODAY };
    json_t *results = dx_checks_run(schema, values, &opts, &error);
    g_assert_no_error(error);
    return results;
}

static void test_expressions(void)
{
    static const struct {
        const char *expr, *tolerance, *result;
    } cases[] = {
        /* clang-format off */
        { "1 + 2 * 3 == 7", NULL, "pass" },
        { "(1 + 2) * 3 == 9", NULL, "pass" },
        { "10 - 4 - 3 == 3", NULL, "pass" },
        { "-2 + 5 == 3", NULL, "pass" },
        { "100 / 8 / 2 == 6.25", NULL, "pass" },
        { "1 / 0 == 1", NULL, "skip" },
        { "abs(0 - 3) == 3", NULL, "pass" },
        { "min(2, 3) == 2", NULL, "pass" },
        { "max(2, 3) == 3", NULL, "pass" },
        { "round(1.005, 2) == 1.01", NULL, "pass" },
        { "decimals(1.50) == 1", NULL, "pass" },
        { "if(1 < 2, 5, 6) == 5", NULL, "pass" },
        { "count(lines[]) == 3", NULL, "pass" },
        { "count(lines[kind == subtotal]) == 1", NULL, "pass" },
        { "sum(lines[kind != subtotal].quantity * lines[].unit_price) == 350", NULL, "pass" },
        { "sum(lines[].quantity) == 5", NULL, "skip" }, /* the subtotal row has none */
        { "sum(charges[].amount) == 0", NULL, "skip" },
        { "sum(taxes[kind == none].tax_amount) == 0", NULL, "pass" }, /* rows, none chosen */
        { "sum(surcharges[].amount) == 0", NULL, "skip" }, /* a list without rows */
        { "count(surcharges[]) == 0", NULL, "pass" },
        { "totals.gross_total == 404.60", NULL, "pass" },
        { "totals.gross_total == 404.61", "0.01", "pass" },
        { "totals.gross_total == 404.62", "0.01", "fail" },
        { "totals.gross_total <= 404.59", "0.01", "pass" },
        { "totals.gross_total <= 404.58", "0.01", "fail" },
        { "totals.nothing == 1", NULL, "skip" },
        { "totals.nothing ?? 5 == 5", NULL, "pass" },
        { "due_date >= issue_date", NULL, "pass" },
        { "due_date == issue_date + payment.net_days", NULL, "pass" },
        { "due_date - issue_date == 14", NULL, "pass" },
        { "issue_date > today", NULL, "fail" },
        { "seller.name != buyer.name", NULL, "pass" },
        { "seller.name == 'a gmbh'", NULL, "pass" },
        { "seller.name == 1", NULL, "skip" },
        { "seller.name + 1 == 1", NULL, "skip" },
        { "999999999999 * 999999999999 == 1", NULL, "skip" },
        { "lines[].net_amount > 0", NULL, "pass" },
        { "valid_date(issue_date)", NULL, "pass" },
        { "valid_iban(seller.name)", NULL, "fail" },
        { "valid_iban(seller.iban)", NULL, "skip" },
        { "valid_iban(payment.accounts[].iban)", NULL, "skip" },
        { "required(invoice_number, issue_date, totals.gross_total)", NULL, "pass" },
        { "required(invoice_number, totals.rounding, issue_date)", NULL, "fail" },
        /* clang-format on */
    };
    json_t *values = parse(values_text);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].expr);
        json_t *schema = json_pack("{s:[{s:s, s:s, s:s}]}", "x-checks", "id", "X", "expr",
                                   cases[i].expr, "tolerance",
                                   cases[i].tolerance != NULL ? cases[i].tolerance : "0");
        json_t *results = run_checks(schema, values);
        g_assert_cmpstr(result_of(results, "X"), ==, cases[i].result);
        json_decref(results);
        json_decref(schema);
    }
    json_decref(values);
}

static void test_errors(void)
{
    static const struct {
        const char *expr, *text;
    } cases[] = {
        /* clang-format off */
        { "1 +", "check X: a value is missing at character 4" },
        { "(1", "check X: ')' is missing at character 3" },
        { "valid_nope(a)", "check X: unknown function at character 12" },
        { "required()", "check X: unexpected character at character 10" },
        { "nope(1)", "check X: unknown function at character 6" },
        { "1 == 2 == 3", "check X: unexpected character at character 8" },
        { "min(1) == 1", "check X: too few arguments at character 6" },
        { "abs(1, 2) == 1", "check X: too many arguments at character 7" },
        { "sum(sum(a[].b)) == 1", "check X: a sum inside a sum at character 9" },
        { "a[].b == c[].d", "check X: two different lists outside sum() at character 15" },
        { "a[].b[].c == 1", "check X: a list inside a list at character 7" },
        { "a[k == v].b == 1", "check X: a filter outside sum() or count() at character 10" },
        { "1.2.3 == 1", "check X: not a number at character 6" },
        { "'x == 1", "check X: the closing ' is missing at character 1" },
        { "a. == 1", "check X: a name is missing at character 3" },
        { "$", "check X: unexpected character at character 1" },
        { "", "check X: a value is missing at character 1" },
        /* clang-format on */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        g_test_message("case: %s", cases[i].expr);
        g_assert_null(dx_expr_parse("X", cases[i].expr, &error));
        g_assert_error(error, DX_ERROR, DX_SCHEMA);
        g_assert_cmpstr(error->message, ==, cases[i].text);
    }
    json_t *schema = parse("{\"x-checks\":[{\"id\":\"A-6\",\"expr\":\"1 +\"}]}");
    g_autoptr(GError) error = NULL;
    g_assert_false(dx_checks_validate(schema, &error));
    g_assert_true(g_str_has_prefix(error->message, "check A-6: "));
    json_decref(schema);
}

static void test_limits(void)
{
    /* The whole expression is one level, each bracket one more. */
    for (unsigned extra = 0; extra < 2; extra++) {
        unsigned brackets = DX_CHECK_DEPTH_MAX - 1 + extra;
        g_autofree char *open = g_strnfill(brackets, '(');
        g_autofree char *close = g_strnfill(brackets, ')');
        g_autofree char *text = g_strconcat(open, "1", close, NULL);
        g_autoptr(GError) error = NULL;
        g_autoptr(dx_expr) expr = dx_expr_parse("X", text, &error);
        g_assert_cmpint(expr != NULL, ==, (extra == 0));
        if (extra > 0)
            g_assert_nonnull(strstr(error->message, "deeper than the limit of 32"));
    }
    for (unsigned extra = 0; extra < 2; extra++) {
        g_autofree char *blanks = g_strnfill(DX_CHECK_BYTES_MAX - 1 + extra, ' ');
        g_autofree char *text = g_strconcat("1", blanks, NULL);
        g_autoptr(dx_expr) expr = dx_expr_parse("X", text, NULL);
        g_assert_cmpint(expr != NULL, ==, (extra == 0));
    }
    for (unsigned extra = 0; extra < 2; extra++) { /* n terms are 2n - 1 nodes */
        g_autoptr(GString) text = g_string_new("1");
        for (unsigned i = 1; i < DX_CHECK_NODES_MAX / 2 + extra; i++)
            g_string_append(text, "+1");
        g_autoptr(dx_expr) expr = dx_expr_parse("X", text->str, NULL);
        g_assert_cmpint(expr != NULL, ==, (extra == 0));
    }
    g_autofree char *minus = g_strnfill(200, '-');
    g_autofree char *text = g_strconcat(minus, "1", NULL);
    g_autoptr(dx_expr) expr = dx_expr_parse("X", text, NULL);
    g_assert_null(expr);
}

static json_t *leaf_holder(json_t *values, const char *path, const char **name)
{
    json_t *at = values;
    const char *slash;
    while ((slash = strchr(path, '/')) != NULL) {
        g_autofree char *part = g_strndup(path, (gsize)(slash - path));
        at = json_is_array(at)
                 ? json_array_get(at, (size_t)g_ascii_strtoull(part, NULL, 10))
                 : json_object_get(at, part);
        path = slash + 1;
    }
    *name = path;
    return at;
}

/* Section 11.11 of the field reference. */
static void test_worked_example(void)
{
    static const char *const fields[] = {
        "lines/0/quantity",    "lines/0/unit_price",       "lines/0/net_amount",
        "lines/1/quantity",    "lines/1/unit_price",       "lines/1/net_amount",
        "allowances/0/amount", "taxes/0/tax_amount",       "taxes/0/taxable_amount",
        "totals/line_total",   "totals/allowance_total",   "totals/net_total",
        "totals/tax_total",    "totals/gross_total/value", "totals/paid",
        "totals/amount_due",
    };
    json_t *schema = parse(schema_text);
    json_t *good = parse(values_text);
    json_t *results = run_checks(schema, good);
    size_t index;
    json_t *entry;
    json_array_foreach(results, index, entry)
        g_assert_cmpstr(json_string_value(json_object_get(entry, "result")), ==, "pass");
    g_assert_cmpuint(json_array_size(results), >=, 9);
    json_decref(results);
    for (gsize f = 0; f < G_N_ELEMENTS(fields); f++) {
        const char *name;
        json_t *holder = leaf_holder(good, fields[f], &name);
        g_autofree char *text =
            g_strdup(json_string_value(json_object_get(holder, name)));
        g_assert_nonnull(text);
        for (gsize k = 0; text[k] != 0; k++) {
            for (char d = '0'; d <= '9' && text[k] != '.'; d++) {
                if (d == text[k])
                    continue;
                g_autofree char *wrong = g_strdup(text);
                wrong[k] = d;
                json_t *bad = json_deep_copy(good);
                holder = leaf_holder(bad, fields[f], &name);
                json_object_set_new(holder, name, json_string(wrong));
                results = run_checks(schema, bad);
                unsigned failed = 0;
                json_array_foreach(results, index, entry)
                    failed += strcmp(json_string_value(json_object_get(entry, "result")),
                                     "fail") == 0;
                if (failed == 0)
                    g_test_message("escaped: %s = %s", fields[f], wrong);
                g_assert_cmpuint(failed, >, 0);
                json_decref(results);
                json_decref(bad);
            }
        }
    }
    json_decref(good);
    json_decref(schema);
}

static void test_report(void)
{
    json_t *schema = parse(schema_text), *values = parse(values_text);
    json_object_set_new(json_array_get(json_object_get(values, "lines"), 1), "net_amount",
                        json_string("151.00"));
    json_t *results = run_checks(schema, values);
    json_t *first = json_array_get(results, 0);
    g_autofree char *text = json_dumps(first, JSON_COMPACT);
    g_assert_cmpstr(
        text, ==,
        "{\"id\":\"L-1\",\"result\":\"fail\",\"lhs\":\"151\",\"rhs\":\"150\","
        "\"tolerance\":\"0\",\"fields\":[\"lines[1].net_amount\","
        "\"lines[1].quantity\",\"lines[1].unit_price\"],\"severity\":\"error\"}");
    json_decref(results);
    json_decref(values);
    json_decref(schema);
}

static void test_kinds(void)
{
    static const struct {
        const char *kind, *value, *id, *result;
    } cases[] = {
        /* clang-format off */
        { "iban", "DE89370400440532013000", "B-1", "pass" },
        { "iban", "DE89370400440532013001", "B-1", "fail" },
        { "bic", "COBADEFFXXX", "B-2", "pass" },
        { "bic", "COBAZZFFXXX", "B-2", "fail" },
        { "vat_id", "DE136695976", "V-1", "pass" },
        { "vat_id", "DE13669597", "V-1", "fail" },
        { "vat_id", "DE136695976", "V-2", "pass" },
        { "vat_id", "DE136695977", "V-2", "fail" },
        { "vat_id", "US12345", "V-2", NULL },
        { "iso11649", "RF18539007547034", "R-1", "pass" },
        { "iso11649", "RF18539007547035", "R-1", "fail" },
        { "creditor_id", "DE98ZZZ09999999999", "B-4", "pass" },
        { "gtin", "4006381333931", "I-2", "pass" },
        { "gtin", "4006381333932", "I-2", "fail" },
        { "date", "1990-01-01", "D-1", "pass" },
        { "date", "1989-12-31", "D-1", "fail" },
        { "date", "2026-06-16", "D-1", "pass" },
        { "date", "2026-06-17", "D-1", "fail" },
        { "date", "2023-02-29", "D-1", "fail" },
        { "text", "DE13669597", "V-1", NULL },
        /* clang-format on */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s %s", cases[i].kind, cases[i].value);
        json_t *schema = json_pack("{s:{s:{s:{s:s}}}}", "properties", "list", "items",
                                   "x-kind", cases[i].kind);
        json_t *values = json_pack("{s:[{s:s}]}", "list", "value", cases[i].value);
        json_t *results = run_checks(schema, values);
        g_assert_cmpstr(result_of(results, cases[i].id), ==, cases[i].result);
        json_decref(results);
        json_decref(values);
        json_decref(schema);
    }
}

static void test_dates_required(void)
{
    static const struct {
        const char *values, *id, *result;
    } cases[] = {
        /* clang-format off */
        { "{\"issue_date\":\"2024-06-16\"}", "D-2", "pass" },
        { "{\"issue_date\":\"2024-06-17\"}", "D-2", "fail" },
        { "{\"issue_date\":\"2024-06-01\",\"due_date\":\"2024-05-31\"}", "D-3", "fail" },
        { "{\"issue_date\":\"2024-06-01\",\"due_date\":\"2024-06-01\"}", "D-3", "pass" },
        { "{\"period_start\":\"2024-06-01\",\"period_end\":\"2024-05-01\"}", "D-4", "fail" },
        { "{\"total\":\"1\"}", "D-3", NULL },
        { "{\"total\":\"1\",\"a\":{\"b\":\"x\"}}", "Q", "pass" },
        { "{\"total\":null,\"a\":{\"b\":\"x\"}}", "Q", "fail" },
        { "{\"total\":\"1\",\"a\":{\"b\":null}}", "Q", "fail" },
        /* clang-format on */
    };
    json_t *schema =
        parse("{\"required\":[\"total\"],\"properties\":{\"a\":{\"x-required\":"
              "[\"b\"],\"properties\":{\"b\":{}}}}}");
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].values);
        json_t *values = parse(cases[i].values);
        json_t *results = run_checks(schema, values);
        const char *worst = result_of(results, cases[i].id);
        size_t k;
        json_t *entry;
        json_array_foreach(results, k, entry)
            if (strcmp(json_string_value(json_object_get(entry, "id")), cases[i].id) ==
                    0 &&
                strcmp(json_string_value(json_object_get(entry, "result")), "fail") == 0)
                worst = "fail";
        g_assert_cmpstr(worst, ==, cases[i].result);
        json_decref(results);
        json_decref(values);
    }
    json_decref(schema);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/checks/expressions", test_expressions);
    g_test_add_func("/checks/errors", test_errors);
    g_test_add_func("/checks/limits", test_limits);
    g_test_add_func("/checks/worked-example", test_worked_example);
    g_test_add_func("/checks/report", test_report);
    g_test_add_func("/checks/kinds", test_kinds);
    g_test_add_func("/checks/dates-required", test_dates_required);
    return g_test_run();
}

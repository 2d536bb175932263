/*
 * test_template.c - templates, what values may do to a path, decimals.
 */
#include "decimal.h"
#include "template.h"

#include <string.h>

static const char document[] =
    "{\"schema\":\"invoice\",\"status\":\"ok\",\"doc_id\":\"0123\","
    "\"class\":{\"label\":\"invoice\",\"confidence\":0.9},\"timing\":{\"pages\":3},"
    "\"fields\":{"
    "\"invoice_number\":{\"value\":\"RE-1/27\",\"source\":\"text\",\"confidence\":0.9},"
    "\"issue_date\":{\"value\":\"2026-02-03\",\"source\":\"text\",\"confidence\":0.8},"
    "\"new_year\":\"2027-01-01\",\"no_date\":\"2026-02-30\",\"empty\":\"\",\"nothing\":"
    "null,"
    "\"seller\":{\"name\":{\"value\":\"M\\u00fcller & S\\u00f6hne "
    "GmbH\",\"source\":\"text\"}},"
    "\"greek\":\"\\u0391\\u03b8\\u03ae\\u03bd\\u03b1\",\"cjk\":\"\\u682a\\u5f0f "
    "\\u4f1a\\u793e\","
    "\"up\":\"../../etc/passwd\",\"dots\":\"..\",\"dot\":\".\",\"hidden\":\".ssh\","
    "\"dash\":\"-rf\",\"tilde\":\"~root\",\"nul\":\"NUL\",\"com\":\"com1.pdf\",\"nl\":"
    "\"a\\nb\\u0007c\","
    "\"bidi\":\"a\\u202efdp.exe\",\"zero\":\"\\u200b\",\"trail\":\"a. . "
    "\",\"win\":\"a:b*c?d<e>|\\\"\","
    "\"back\":\"..\\\\x\",\"blank\":\"  a   b "
    "\",\"decomposed\":\"u\\u0308\",\"slashes\":\"////\","
    "\"number\":12,\"yes\":true,\"list\":[{\"n\":\"a\"},{\"n\":\"b\"}]}}";

static dp_route_facts facts;

static const struct {
    const char *what, *text;
    dp_template_kind kind;
    const char *expect;
} expansions[] = {
    { "plain", "a/b.pdf", DP_TEMPLATE_PATH, "a/b.pdf" },
    { "absolute", "/srv/{@schema}/x", DP_TEMPLATE_PATH, "/srv/invoice/x" },
    { "the manual's", "{seller.name|slug}/{issue_date:%Y/%m}/{invoice_number}.pdf",
      DP_TEMPLATE_PATH, "muller-sohne-gmbh/2026/02/RE-1_27.pdf" },
    { "UTF-8 stays", "{seller.name}.pdf", DP_TEMPLATE_PATH,
      "M\u00fcller & S\u00f6hne GmbH.pdf" },
    { "folder", "x/", DP_TEMPLATE_PATH, "x/scan 1.pdf" },
    { "upper lower", "{seller.name|upper}-{seller.name|lower}", DP_TEMPLATE_NAME,
      "M\u00dcLLER & S\u00d6HNE GMBH-m\u00fcller & s\u00f6hne gmbh" },
    { "trunc", "{seller.name|trunc:3}", DP_TEMPLATE_NAME, "M\u00fcl" },
    { "default", "{nothing|default:none}", DP_TEMPLATE_NAME, "none" },
    { "default of empty", "{empty|default:none}", DP_TEMPLATE_NAME, "none" },
    { "missing", "{absent.path}/x", DP_TEMPLATE_PATH, "unknown/x" },
    { "missing date", "{nothing:%Y/%m}/x", DP_TEMPLATE_PATH, "unknown/x" },
    { "braces", "{{{@stem}}}.{@ext}", DP_TEMPLATE_NAME, "{scan 1}.pdf" },
    { "greek slug", "{greek|slug}", DP_TEMPLATE_NAME, "\u03b1\u03b8\u03ae\u03bd\u03b1" },
    { "cjk slug", "{cjk|slug}", DP_TEMPLATE_NAME, "\u682a\u5f0f-\u4f1a\u793e" },
    { "iso week", "{new_year:%G-W%V}", DP_TEMPLATE_NAME, "2026-W53" },
    { "day of year", "{issue_date:%y%j}", DP_TEMPLATE_NAME, "26034" },
    { "quarter", "{issue_date:Q%q-%d%%}", DP_TEMPLATE_NAME, "Q1-03%" },
    { "element", "{list.1.n}", DP_TEMPLATE_NAME, "b" },
    { "first of each", "{list[].n}", DP_TEMPLATE_NAME, "a" },
    { "number", "{number}{yes}{@pages}", DP_TEMPLATE_NAME, "12true3" },
    { "class", "{@class}-{@status}-{@doc_id}", DP_TEMPLATE_NAME, "invoice-ok-0123" },
    { "up the tree", "x/{up}", DP_TEMPLATE_PATH, "x/_._.._etc_passwd" },
    { "dot dot", "x/{dots}/y", DP_TEMPLATE_PATH, "x/_/y" },
    { "dot", "x/{dot}", DP_TEMPLATE_PATH, "x/_" },
    { "hidden", "x/{hidden}", DP_TEMPLATE_PATH, "x/_ssh" },
    { "dash", "x/{dash}", DP_TEMPLATE_PATH, "x/_rf" },
    { "dash made", "x/-{number}", DP_TEMPLATE_PATH, "x/_12" },
    { "tilde", "{tilde}/x", DP_TEMPLATE_PATH, "_root/x" },
    { "reserved", "{nul}", DP_TEMPLATE_NAME, "_NUL" },
    { "reserved with extension", "{com}", DP_TEMPLATE_NAME, "_com1.pdf" },
    { "control characters", "{nl}", DP_TEMPLATE_NAME, "a b_c" },
    { "bidi", "{bidi}", DP_TEMPLATE_NAME, "afdp.exe" },
    { "nothing visible", "x/{zero}/y", DP_TEMPLATE_PATH, "x/_/y" },
    { "trailing dots", "{trail}", DP_TEMPLATE_NAME, "a" },
    { "windows", "{win}", DP_TEMPLATE_NAME, "a_b_c_d_e___" },
    { "backslash", "{back}", DP_TEMPLATE_NAME, "_._x" },
    { "blanks", "{blank}", DP_TEMPLATE_NAME, "a b" },
    { "composed", "{decomposed}", DP_TEMPLATE_NAME, "\u00fc" },
    { "slashes", "{slashes}", DP_TEMPLATE_NAME, "____" },
    { "a line keeps slashes", "Re: {invoice_number}: {nl}", DP_TEMPLATE_LINE,
      "Re: RE-1/27: a b_c" },
};

static void test_expand(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(expansions); i++) {
        g_test_message("case: %s", expansions[i].what);
        g_autoptr(GError) error = NULL;
        g_autoptr(dp_template) t =
            dp_template_new(expansions[i].text, expansions[i].kind, &error);
        g_assert_no_error(error);
        g_autofree char *text = dp_template_expand(t, &facts, "unknown", &error);
        g_assert_no_error(error);
        g_assert_cmpstr(text, ==, expansions[i].expect);
    }
}

static const struct {
    const char *text;
    dp_template_kind kind;
    const char *expect; /* part of the message */
} faults[] = {
    { "", DP_TEMPLATE_PATH, "empty" },
    { "{a", DP_TEMPLATE_PATH, "has no \"}\"" },
    { "a}", DP_TEMPLATE_PATH, "has no \"{\"" },
    { "{}", DP_TEMPLATE_PATH, "placeholder is empty" },
    { "{|upper}", DP_TEMPLATE_PATH, "path is empty" },
    { "{a|shout}", DP_TEMPLATE_PATH, "unknown filter \"shout\"" },
    { "{a|upper:1}", DP_TEMPLATE_PATH, "takes nothing" },
    { "{a|trunc}", DP_TEMPLATE_PATH, "needs a" },
    { "{a|trunc:0}", DP_TEMPLATE_PATH, "1 to 255" },
    { "{a|trunc:256}", DP_TEMPLATE_PATH, "1 to 255" },
    { "{a|trunc:1x}", DP_TEMPLATE_PATH, "1 to 255" },
    { "{a|default:}", DP_TEMPLATE_PATH, "without a text" },
    { "{a:%H}", DP_TEMPLATE_PATH, "date format" },
    { "{a:%}", DP_TEMPLATE_PATH, "date format" },
    { "{a:}", DP_TEMPLATE_PATH, "date format is empty" },
    { "{a:%Y//%m}", DP_TEMPLATE_PATH, "empty folders" },
    { "{a:/%Y}", DP_TEMPLATE_PATH, "empty folders" },
    { "{a:..}", DP_TEMPLATE_PATH, "empty folders" },
    { "{@nothing}", DP_TEMPLATE_PATH, "no such fact" },
    { "{a..b}", DP_TEMPLATE_PATH, "name in a path is empty" },
    { "{.a}", DP_TEMPLATE_PATH, "name in a path is empty" },
    { "{a[]b}", DP_TEMPLATE_PATH, "character that no field" },
    { "{a[0]}", DP_TEMPLATE_PATH, "character that no field" },
    { "../x", DP_TEMPLATE_PATH, "\"..\"" },
    { "/a/../b", DP_TEMPLATE_PATH, "\"..\"" },
    { "a/./b", DP_TEMPLATE_PATH, "\"..\"" },
    { "a//b", DP_TEMPLATE_PATH, "empty part" },
    { "a\nb", DP_TEMPLATE_PATH, "control character" },
    { "a/b", DP_TEMPLATE_NAME, "has a slash" },
    { ".", DP_TEMPLATE_NAME, "\"..\"" },
    { "..", DP_TEMPLATE_NAME, "\"..\"" },
    { "{a:%Y/%m}", DP_TEMPLATE_NAME, "has a slash" },
    { "\xff", DP_TEMPLATE_LINE, "not UTF-8" },
};

static void test_faults(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autofree char *shown = g_utf8_make_valid(faults[i].text, -1);
        g_test_message("case: %s", shown);
        g_autoptr(GError) error = NULL;
        g_autoptr(dp_template) t =
            dp_template_new(faults[i].text, faults[i].kind, &error);
        g_assert_null(t);
        g_assert_error(error, DP_ROUTE_ERROR, DP_ROUTE_CONFIG);
        if (strstr(error->message, faults[i].expect) == NULL)
            g_error("\"%s\": %s", faults[i].text, error->message);
    }
}

static void test_limits(void)
{
    g_autofree char *text = g_strnfill(DP_TEMPLATE_BYTES_MAX, 'a');
    g_autoptr(dp_template) fits = dp_template_new(text, DP_TEMPLATE_LINE, NULL);
    g_assert_nonnull(fits);
    g_autofree char *longer = g_strconcat(text, "a", NULL);
    g_assert_null(dp_template_new(longer, DP_TEMPLATE_LINE, NULL));

    g_autoptr(GString) parts = g_string_new(NULL);
    for (int i = 0; i < DP_TEMPLATE_PARTS_MAX; i++)
        g_string_append(parts, "{a}");
    g_autoptr(dp_template) many = dp_template_new(parts->str, DP_TEMPLATE_LINE, NULL);
    g_assert_nonnull(many);
    g_string_append(parts, "{a}");
    g_assert_null(dp_template_new(parts->str, DP_TEMPLATE_LINE, NULL));

    g_autofree char *path = g_strnfill(DP_PATH_BYTES_MAX, 'a');
    g_assert_null(dp_route_path_fault(path));
    g_autofree char *long_path = g_strconcat(path, "a", NULL);
    g_assert_nonnull(dp_route_path_fault(long_path));
    g_assert_null(dp_route_path_fault("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"));
    g_assert_nonnull(dp_route_path_fault("a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"));
}

/* A value of any length makes a name of at most 255 bytes that is still UTF-8. */
static void test_names(void)
{
    for (int count = 60; count < 140; count++) {
        g_autoptr(GString) value = g_string_new(NULL);
        for (int i = 0; i < count; i++)
            g_string_append(value, "\u20ac\u00fc"); /* 5 bytes */
        g_string_append(value, ".pdf");
        g_autofree char *name = dp_name_safe(value->str);
        g_assert_cmpuint(strlen(name), <=, DP_NAME_BYTES_MAX);
        g_assert_true(g_utf8_validate(name, -1, NULL));
        g_assert_true(g_str_has_suffix(name, ".pdf"));
        g_assert_cmpuint(strlen(name), >=, MIN(value->len, DP_NAME_BYTES_MAX - 4));
        g_autofree char *numbered = dp_name_numbered(name, 9999);
        g_assert_cmpuint(strlen(numbered), <=, DP_NAME_BYTES_MAX);
        g_assert_true(g_utf8_validate(numbered, -1, NULL));
        g_assert_true(g_str_has_suffix(numbered, "-9999.pdf"));
    }
    g_autofree char *two = dp_name_numbered("scan.pdf", 2);
    g_assert_cmpstr(two, ==, "scan-2.pdf");
    g_autofree char *bare = dp_name_numbered("scan", 2);
    g_assert_cmpstr(bare, ==, "scan-2");
}

static void test_missing(void)
{
    g_autoptr(dp_template) t = dp_template_new("{absent}", DP_TEMPLATE_NAME, NULL);
    g_autoptr(GError) error = NULL;
    g_assert_null(dp_template_expand(t, &facts, NULL, &error));
    g_assert_error(error, DP_ROUTE_ERROR, DP_ROUTE_VALUE);
    g_assert_cmpstr(error->message, ==, "the value {absent} is missing");
    g_autoptr(dp_template) d = dp_template_new("{no_date:%Y}", DP_TEMPLATE_NAME, NULL);
    g_autoptr(GError) wrong = NULL;
    g_assert_null(dp_template_expand(d, &facts, "unknown", &wrong));
    g_assert_error(wrong, DP_ROUTE_ERROR, DP_ROUTE_VALUE);
}

static const struct {
    const char *text;
    gboolean is_good;
    const char *expect; /* with at least two places */
} decimals[] = {
    { "0", TRUE, "0.00" },
    { "-0", TRUE, "0.00" },
    { "1234.5", TRUE, "1234.50" },
    { "-1234.567", TRUE, "-1234.567" },
    { "+7", TRUE, "7.00" },
    { "0.000000000001", TRUE, "0.000000000001" },
    { "-0.05", TRUE, "-0.05" },
    { "999999999999999999", TRUE, "999999999999999999.00" },
    { "000000000000000000001", TRUE, "1.00" },
    { "1000000000000000000", FALSE, NULL },
    { "0.0000000000001", FALSE, NULL },
    { "", FALSE, NULL },
    { "-", FALSE, NULL },
    { ".5", FALSE, NULL },
    { "5.", FALSE, NULL },
    { "1,5", FALSE, NULL },
    { "1e3", FALSE, NULL },
    { " 1", FALSE, NULL },
    { "1 ", FALSE, NULL },
    { "0x10", FALSE, NULL },
    { "1.2.3", FALSE, NULL },
};

static void test_decimals(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(decimals); i++) {
        g_test_message("case: %s", decimals[i].text);
        dp_decimal value;
        g_assert_cmpint(dp_decimal_parse(decimals[i].text, &value), ==,
                        decimals[i].is_good);
        if (decimals[i].is_good) {
            g_autofree char *text = dp_decimal_text(value, 2);
            g_assert_cmpstr(text, ==, decimals[i].expect);
        }
    }
    /* what doubles get wrong */
    dp_decimal a, b, sum;
    g_assert_true(dp_decimal_parse("0.1", &a));
    g_assert_true(dp_decimal_parse("0.2", &b));
    g_assert_true(dp_decimal_parse("0.3", &sum));
    g_assert_cmpint(dp_decimal_compare(dp_decimal_add(a, b), sum), ==, 0);
    g_assert_cmpint(dp_decimal_compare(dp_decimal_subtract(sum, b), a), ==, 0);
}

static void test_reals(void)
{
    static const struct {
        double real;
        const char *expect; /* NULL: refused */
    } reals[] = {
        { 1234.10, "1234.1" }, { 0.1, "0.1" },      { 1e6, "1000000" },
        { -2.5, "-2.5" },      { 404.60, "404.6" }, { 1e-13, NULL },
        { 1e19, NULL },        { 0.1 + 0.2, NULL }, { 123456789012345.6, NULL }
    };
    for (gsize i = 0; i < G_N_ELEMENTS(reals); i++) {
        g_test_message("case: %.17g", reals[i].real);
        json_t *node = json_real(reals[i].real);
        dp_decimal value;
        g_assert_cmpint(dp_decimal_from_json(node, &value), ==, reals[i].expect != NULL);
        if (reals[i].expect != NULL) {
            g_autofree char *text = dp_decimal_text(value, 0);
            g_assert_cmpstr(text, ==, reals[i].expect);
        }
        json_decref(node);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    json_t *result = json_loads(document, 0, NULL);
    g_assert_nonnull(result);
    facts = (dp_route_facts){ .result = result, .name = "scan 1.pdf" };
    g_test_add_func("/template/expand", test_expand);
    g_test_add_func("/template/faults", test_faults);
    g_test_add_func("/template/limits", test_limits);
    g_test_add_func("/template/names", test_names);
    g_test_add_func("/template/missing", test_missing);
    g_test_add_func("/decimal/text", test_decimals);
    g_test_add_func("/decimal/reals", test_reals);
    int code = g_test_run();
    json_decref(result);
    return code;
}

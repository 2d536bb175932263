/*
 * test_route.c - conditions, the choice of a rule, what a wrong configuration is told.
 */
#include "route.h"

#include <string.h>

static const char document[] =
    "{\"schema\":\"invoice\",\"status\":\"ok\","
    "\"class\":{\"label\":\"invoice\",\"confidence\":0.75},\"timing\":{\"pages\":3},"
    "\"checks\":[{\"id\":\"A-6\",\"result\":\"pass\"},{\"id\":\"T-1\",\"result\":"
    "\"pass\"},"
    "{\"id\":\"T-1\",\"result\":\"fail\"},{\"id\":\"B-1\",\"result\":\"skip\"}],"
    "\"fields\":{"
    "\"total\":{\"value\":\"1000.10\",\"source\":\"text\",\"confidence\":0.913},"
    "\"issue_date\":{\"value\":\"2026-02-28\",\"source\":\"text\",\"confidence\":0.62},"
    "\"seller\":{\"name\":{\"value\":\"ACME "
    "Gmbh\",\"source\":\"text\",\"confidence\":0.99},"
    "\"vat_id\":{\"value\":null,\"source\":\"text\",\"confidence\":0.1}},"
    "\"lines\":[{\"rate\":\"7\",\"name\":\"a\"},{\"rate\":\"19\",\"name\":\"b\"}],"
    "\"empty\":[],"
    "\"long\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\"}}";

static dp_route_facts facts;

static void must_not_report(void *user, const char *pointer, gboolean at_key,
                            const char *text)
{
    g_error("%s: %s", pointer, text);
}

static json_t *parse(const char *text)
{
    json_error_t error;
    json_t *node = json_loads(text, JSON_DECODE_ANY, &error);
    if (node == NULL)
        g_error("%s: %s", text, error.text);
    return node;
}

static const struct {
    const char *when;
    gboolean holds;
} conditions[] = {
    { "{\"schema\":\"invoice\"}", TRUE },
    { "{\"schema\":[\"receipt\",\"invoice\"]}", TRUE },
    { "{\"schema\":{\"not_in\":[\"receipt\"]}}", TRUE },
    { "{\"schema\":\"receipt\"}", FALSE },
    { "{\"class\":\"invoice\"}", TRUE },
    { "{\"class\":{\"in\":[\"invoice\"],\"min_confidence\":0.75}}", TRUE },
    { "{\"class\":{\"in\":[\"invoice\"],\"min_confidence\":0.76}}", FALSE },
    { "{\"status\":[\"ok\",\"review\"]}", TRUE },
    { "{\"status\":\"review\"}", FALSE },
    { "{\"profile\":\"night\"}", TRUE },
    { "{\"profile\":\"day\"}", FALSE },
    { "{\"pages\":3}", TRUE },
    { "{\"pages\":{\"gte\":2,\"lte\":3}}", TRUE },
    { "{\"pages\":{\"gt\":3}}", FALSE },
    { "{\"file\":\"*.pdf\"}", TRUE },
    { "{\"file\":\"*.PDF\"}", FALSE },
    { "{\"file\":[\"x\",\"sc?n-[0-9]*\"]}", TRUE },
    { "{\"source\":\"/srv/in\"}", TRUE },
    { "{\"source\":\"/srv/in/\"}", TRUE },
    { "{\"source\":\"/srv/in/a\"}", TRUE },
    { "{\"source\":\"/srv/i\"}", FALSE },
    { "{\"source\":\"in\"}", TRUE }, /* from the folder of the configuration */
    { "{\"source\":[\"./x\",\"../srv/in/\"]}", TRUE },
    { "{\"source\":\"i\"}", FALSE },
    { "{\"source\":\"/\"}", TRUE },
    { "{\"confidence\":{\"gte\":0.62}}", TRUE }, /* nulls do not count */
    { "{\"confidence\":{\"gte\":0.621}}", FALSE },
    { "{\"confidence\":{\"lt\":0.7}}", TRUE },
    { "{\"checks\":{\"passed\":\"A-6\"}}", TRUE },
    { "{\"checks\":{\"passed\":\"T-1\"}}", FALSE }, /* one row of it failed */
    { "{\"checks\":{\"failed\":\"T-1\"}}", TRUE },
    { "{\"checks\":{\"passed\":\"B-1\"}}", FALSE }, /* skipped is not passed */
    { "{\"checks\":{\"failed\":[\"T-1\",\"A-6\"]}}", FALSE },
    { "{\"checks\":{\"passed\":\"Z-9\"}}", FALSE },
    { "{\"checks\":{\"any_failed\":\"yes\"}}", TRUE },
    { "{\"checks\":{\"any_failed\":false}}", FALSE },
    { "{\"fields\":{\"total\":1000.1}}", TRUE },
    { "{\"fields\":{\"total\":\"1000.10\"}}", TRUE },
    { "{\"fields\":{\"total\":\"1000.1\"}}", FALSE }, /* a text is compared as text */
    { "{\"fields\":{\"total\":{\"gt\":1000.09,\"lt\":\"1000.11\"}}}", TRUE },
    { "{\"fields\":{\"total\":{\"gt\":1000.10}}}", FALSE },
    { "{\"fields\":{\"total\":{\"gte\":1000.10}}}", TRUE },
    { "{\"fields\":{\"total\":{\"lte\":\"1000.0999999999\"}}}", FALSE },
    { "{\"fields\":{\"total\":{\"gte\":1,\"min_confidence\":0.913}}}", TRUE },
    { "{\"fields\":{\"total\":{\"min_confidence\":0.914}}}", FALSE },
    { "{\"fields\":{\"seller.name\":{\"gt\":1}}}", FALSE }, /* not a number */
    { "{\"fields\":{\"issue_date\":{\"from\":\"2026-02-28\",\"to\":\"2026-02-28\"}}}",
      TRUE },
    { "{\"fields\":{\"issue_date\":{\"from\":\"2026-03-01\"}}}", FALSE },
    { "{\"fields\":{\"issue_date\":{\"to\":\"2026-02-27\"}}}", FALSE },
    { "{\"fields\":{\"total\":{\"from\":\"2026-02-27\"}}}", FALSE }, /* not a date */
    { "{\"fields\":{\"seller.name\":\"acme gmbh\"}}", FALSE },
    { "{\"fields\":{\"seller.name\":{\"equals\":\"acme GMBH\",\"ignore_case\":\"yes\"}}}",
      TRUE },
    { "{\"fields\":{\"seller.name\":{\"in\":[\"acme gmbh\"],\"ignore_case\":true}}}",
      TRUE },
    { "{\"fields\":{\"seller.name\":{\"matches\":\"(?i)^acme\\\\b\"}}}", TRUE },
    { "{\"fields\":{\"seller.name\":{\"matches\":\"^acme\"}}}", FALSE },
    { "{\"fields\":{\"seller.name\":{\"not_in\":[\"x\"]}}}", TRUE },
    { "{\"fields\":{\"seller.vat_id\":{\"not_in\":[\"x\"]}}}", FALSE }, /* missing */
    { "{\"fields\":{\"seller.vat_id\":{\"present\":\"no\"}}}", TRUE },
    { "{\"fields\":{\"seller.vat_id\":{\"present\":\"yes\"}}}", FALSE },
    { "{\"fields\":{\"seller.name\":{\"present\":\"no\"}}}", FALSE },
    { "{\"fields\":{\"seller.none.at.all\":{\"present\":false}}}", TRUE },
    { "{\"fields\":{\"lines\":{\"present\":true}}}", TRUE },
    { "{\"fields\":{\"empty\":{\"present\":true}}}", FALSE },
    { "{\"fields\":{\"lines[].rate\":19}}", TRUE },
    { "{\"fields\":{\"lines[].rate\":20}}", FALSE },
    { "{\"fields\":{\"lines.0.rate\":19}}", FALSE },
    { "{\"fields\":{\"lines[].rate\":{\"gt\":7,\"lt\":19}}}",
      FALSE }, /* of one element */
    { "{\"fields\":{\"long\":{\"matches\":\"^(a+)+$\"}}}",
      FALSE }, /* over the match limit */
    { "{\"schema\":\"invoice\",\"status\":\"review\"}", FALSE },
    { "{\"any\":[{\"status\":\"review\"},{\"schema\":\"invoice\"}]}", TRUE },
    { "{\"any\":[{\"status\":\"review\"},{\"schema\":\"receipt\"}]}", FALSE },
    { "{\"all\":[{\"status\":\"ok\"},{\"schema\":\"invoice\"}]}", TRUE },
    { "{\"not\":{\"status\":\"ok\"}}", FALSE },
    { "{\"not\":{\"status\":\"ok\",\"schema\":\"receipt\"}}", TRUE },
    { "{\"any\":[{\"not\":{\"all\":[{\"status\":\"ok\"}]}},{\"pages\":3}]}", TRUE },
};

static void test_conditions(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(conditions); i++) {
        g_test_message("case: %s", conditions[i].when);
        json_t *node = parse(conditions[i].when);
        g_autoptr(dp_when) when = dp_when_new(node, "/srv", "", must_not_report, NULL);
        g_assert_nonnull(when);
        g_assert_cmpint(dp_when_holds(when, &facts, NULL), ==, conditions[i].holds);
        /* with a trace everything is looked at, and the answer is the same */
        json_t *trace = json_array();
        g_assert_cmpint(dp_when_holds(when, &facts, trace), ==, conditions[i].holds);
        json_t *top = json_array_get(trace, 0);
        g_assert_cmpint(json_is_true(json_object_get(top, "holds")), ==,
                        conditions[i].holds);
        g_assert_cmpuint(json_array_size(json_object_get(top, "parts")), ==,
                         json_object_size(node));
        json_decref(trace);
        json_decref(node);
    }
}

static void test_limit_is_told(void)
{
    json_t *node = parse("{\"fields\":{\"long\":{\"matches\":\"^(a+)+$\"}}}");
    g_autoptr(dp_when) when = dp_when_new(node, "/srv", "", must_not_report, NULL);
    json_t *trace = json_array();
    dp_when_holds(when, &facts, trace);
    json_t *parts = json_object_get(json_array_get(trace, 0), "parts");
    const char *found =
        json_string_value(json_object_get(json_array_get(parts, 0), "found"));
    g_assert_nonnull(strstr(found, "over its limit"));
    json_decref(trace);
    json_decref(node);
}

static const struct {
    const char *glob, *text;
    gboolean matches;
} globs[] = {
    { "*", "", TRUE },
    { "", "", TRUE },
    { "", "a", FALSE },
    { "a*c", "abbbc", TRUE },
    { "a*c", "abbb", FALSE },
    { "?", "\u00fc", TRUE },
    { "??", "\u00fc", FALSE },
    { "[a-c]x", "bx", TRUE },
    { "[!a-c]x", "bx", FALSE },
    { "[!a-c]x", "dx", TRUE },
    { "[]]", "]", TRUE },
    { "[a", "[a", TRUE },
    { "*.tar.gz", "a.tar.tar.gz", TRUE },
    { "[\u00e4-\u00fc]", "\u00f6", TRUE },
    { "**b", "aab", TRUE },
    { "[a-]", "-", TRUE },
    { "*a*a*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
      FALSE },
};

static void test_globs(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(globs); i++) {
        g_test_message("case: %s %s", globs[i].glob, globs[i].text);
        g_assert_cmpint(dp_glob_matches(globs[i].glob, globs[i].text), ==,
                        globs[i].matches);
    }
}

/* ---- wrong configurations ------------------------------------------------------- */

static void note_first(void *user, const char *pointer, gboolean at_key, const char *text)
{
    char **first = user;
    if (*first == NULL)
        *first = g_strdup_printf("%s%s: %s", pointer, at_key ? " key" : "", text);
}

#define RULE(when, act)                                                                  \
    "{\"rules\":[{\"name\":\"a\",\"when\":" when ",\"do\":[" act "]}]}"
#define COPY "{\"copy\":\"x\"}"

static const struct {
    const char *routes, *expect; /* how the first report begins */
} faults[] = {
    { "[]", "" },
    { "{\"rule\":[]}", "/rule key: unknown key \"rule\" (did you mean \"rules\"?)" },
    { "{\"rules\":{}}", "/rules: a list of rules" },
    { "{\"rules\":[1]}", "/rules/0: " },
    { "{\"rules\":[{\"name\":\"a\",\"do\":[]}]}", "/rules/0" },
    { "{\"rules\":[{\"name\":\"review\",\"when\":{\"pages\":1},\"do\":[]}]}",
      "/rules/0/name: another" },
    { RULE("{}", ""), "/rules/0/when: a mapping of conditions" },
    { RULE("{\"scema\":\"x\"}", ""),
      "/rules/0/when/scema key: unknown key \"scema\" (did you mean \"schema\"?)" },
    { RULE("{\"schema\":{\"gt\":1}}", ""),
      "/rules/0/when/schema/gt key: unknown key \"gt\"" },
    { RULE("{\"fields\":{\"a\":{\"gte\":\"1,5\"}}}", ""),
      "/rules/0/when/fields/a/gte: a number" },
    { RULE("{\"fields\":{\"a\":{\"gt\":0.30000000000000004}}}", ""),
      "/rules/0/when/fields/a/gt: a number" },
    { RULE("{\"fields\":{\"a\":{\"from\":\"1.2.2026\"}}}", ""),
      "/rules/0/when/fields/a/from: a date" },
    { RULE("{\"fields\":{\"a\":{\"to\":\"2026-02-30\"}}}", ""),
      "/rules/0/when/fields/a/to: a date" },
    { RULE("{\"fields\":{\"a\":{\"matches\":\"(\"}}}", ""),
      "/rules/0/when/fields/a/matches: the regular expression is wrong at character 2" },
    { RULE("{\"fields\":{\"a\":{\"matches\":\"\\\\C\"}}}", ""),
      "/rules/0/when/fields/a/matches: the regular" },
    { RULE("{\"fields\":{\"a\":[]}}", ""), "/rules/0/when/fields/a: a list" },
    { RULE("{\"fields\":{\"a/b\":{\"x\":1}}}", ""),
      "/rules/0/when/fields/a~1b/x key: unknown" },
    { RULE("{\"fields\":{\"a..b\":1}}", ""), "/rules/0/when/fields/a..b key: a name" },
    { RULE("{\"fields\":{\"a\":{\"present\":\"maybe\"}}}", ""),
      "/rules/0/when/fields/a/present: yes or no" },
    { RULE("{\"checks\":{\"pased\":\"A\"}}", ""),
      "/rules/0/when/checks/pased key: unknown key \"pased\" (did you mean "
      "\"passed\"?)" },
    { RULE("{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":{\"not\":{"
           "\"not\":{\"pages\":1}}}}}}}}}}",
           ""),
      "/rules/0/when/not/not/not/not/not/not/not/not/not key: all, any and not are "
      "nested" },
    { RULE("{\"any\":[]}", ""), "/rules/0/when/any: a list of conditions" },
    { RULE("{\"pages\":1}", "{\"moev\":\"x\"}"),
      "/rules/0/do/0/moev key: unknown action \"moev\" (did you mean \"move\"?)" },
    { RULE("{\"pages\":1}", "{\"move\":\"x\",\"copy\":\"y\"}"),
      "/rules/0/do/0: a mapping of one action" },
    { RULE("{\"pages\":1}", "\"move\""), "/rules/0/do/0: a mapping of one action" },
    { RULE("{\"pages\":1}", "{\"move\":\"../x\"}"), "/rules/0/do/0/move/to: the path" },
    { RULE("{\"pages\":1}", "{\"rename\":\"a/b\"}"),
      "/rules/0/do/0/rename/to: the name" },
    { RULE("{\"pages\":1}", "{\"link\":{\"to\":\"x\",\"as\":\"soft\"}}"),
      "/rules/0/do/0/link/as: \"soft\" is none of" },
    { RULE("{\"pages\":1}", "{\"run\":[]}"), "/rules/0/do/0/run/command" },
    { RULE("{\"pages\":1}", "{\"run\":\"rm -rf\"}"), "/rules/0/do/0/run/command" },
    { RULE("{\"pages\":1}", "{\"run\":{\"command\":[\"a\"],\"timeout\":\"2h\"}}"),
      "/rules/0/do/0/run/timeout" },
    { RULE("{\"pages\":1}", "{\"webhook\":\"ftp://a/b\"}"),
      "/rules/0/do/0/webhook/url: an http" },
    { RULE("{\"pages\":1}", "{\"webhook\":\"file:///etc/passwd\"}"),
      "/rules/0/do/0/webhook/url: an http" },
    { RULE("{\"pages\":1}", "{\"webhook\":\"https://u:p@h/\"}"),
      "/rules/0/do/0/webhook/url: a password" },
    { RULE("{\"pages\":1}",
           "{\"webhook\":{\"url\":\"http://h/\",\"headers\":{\"X-A\":\"a\\r\\nB: c\"}}}"),
      "/rules/0/do/0/webhook/headers: a header" },
    { RULE("{\"pages\":1}", "{\"webhook\":{\"url\":\"http://h/"
                            "\",\"secret_file\":\"a\",\"secret_env\":\"B\"}}"),
      "/rules/0/do/0/webhook/secret_env: secret_file" },
    { RULE("{\"pages\":1}", "{\"mail\":{\"maildir\":\"m\",\"from\":\"a@b\",\"to\":"
                            "\"nobody\",\"subject\":\"x\"}}"),
      "/rules/0/do/0/mail/to: an address" },
    { RULE("{\"pages\":1}", "{\"append\":{\"to\":\"x\",\"columns\":[\"a..b\"]}}"),
      "/rules/0/do/0/append/columns/0: a name" },
    { RULE("{\"pages\":1}", "{\"priority\":2000}"), "/rules/0/do/0/priority/priority" },
    { "{\"tests\":[{\"result\":{}}]}", "/tests/0" },
    { "{\"otherwise\":{\"do\":[{\"x\":1}]}}", "/otherwise/do/0/x key: unknown action" },
};

static void test_faults(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_test_message("case: %s", faults[i].routes);
        json_t *node = parse(faults[i].routes);
        g_autofree char *first = NULL;
        g_assert_false(dp_routes_check(node, note_first, &first));
        g_assert_nonnull(first);
        if (!g_str_has_prefix(first, faults[i].expect))
            g_error("got \"%s\", expected \"%s\"", first, faults[i].expect);
        json_decref(node);
    }
}

/* ---- the choice ------------------------------------------------------------------- */

static const char routes_text[] =
    "{\"root\":\"/srv\",\"rules\":["
    "{\"name\":\"big\",\"when\":{\"fields\":{\"total\":{\"gte\":5000}}},\"do\":[{"
    "\"copy\":\"big/\"}]},"
    "{\"name\":\"acme\",\"missing\":\"none\",\"when\":{\"fields\":{\"seller.name\":{"
    "\"matches\":\"^ACME\"}}},"
    "\"do\":[{\"priority\":7},{\"move\":\"{seller.name|slug}/{seller.vat_id}/"
    "{issue_date:%Y}/{@rule}.pdf\"},"
    "{\"run\":[\"./tell\",\"x\"]}]},"
    "{\"name\":\"any\",\"when\":{\"pages\":{\"gte\":1}},\"do\":[]}],"
    "\"review\":{\"do\":[{\"copy\":\"/review/{@file}\"}]},"
    "\"failed\":{\"do\":[{\"copy\":\"failed/\"}]},"
    "\"otherwise\":{\"missing\":\"fail\",\"do\":[{\"copy\":\"{seller.none}\"}]},"
    "\"tests\":[{\"result\":{\"schema\":\"invoice\",\"fields\":{\"total\":\"5000.00\"}},"
    "\"file\":\"a.pdf\","
    "\"expect\":{\"rule\":\"big\",\"targets\":[\"big/a.pdf\"]}},"
    "{\"name\":\"wrong\",\"result\":{\"fields\":{\"seller.name\":\"ACME\"}},\"expect\":{"
    "\"rule\":\"big\"}},"
    "{\"result\":{\"status\":\"review\"},\"expect\":{\"rule\":\"review\",\"targets\":[\"/"
    "review/b.pdf\"]}},"
    "{\"result\":{\"status\":\"review\",\"checks\":{\"A-1\":\"fail\"}},\"expect\":{"
    "\"rule\":\"review\","
    "\"targets\":[\"/review/document.pdf\"]}}]}";

static void test_choice(void)
{
    json_t *node = parse(routes_text);
    g_autoptr(dp_routes) routes =
        dp_routes_new(node, "/etc/docvl", must_not_report, NULL);
    json_t *trace = json_array();
    const dp_rule *rule = dp_routes_match(routes, &facts, trace);
    g_assert_cmpstr(dp_rule_name(rule), ==, "acme");
    g_assert_true(dp_routes_match(routes, &facts, NULL) == rule);
    g_assert_cmpuint(json_array_size(trace), ==, 6);
    int taken = 0;
    gsize i;
    json_t *row;
    json_array_foreach(trace, i, row)
        taken += json_is_true(json_object_get(row, "taken"));
    g_assert_cmpint(taken, ==, 1);

    g_autoptr(GError) error = NULL;
    json_t *plan = dp_routes_plan(routes, rule, &facts, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(json_array_size(plan), ==, 2);
    json_t *move = json_array_get(plan, 0), *run = json_array_get(plan, 1);
    g_assert_cmpstr(dp_action_target(move), ==, "/srv/acme-gmbh/none/2026/acme.pdf");
    g_assert_cmpint(json_integer_value(json_object_get(move, "priority")), ==, 7);
    g_assert_cmpstr(json_string_value(json_array_get(json_object_get(run, "command"), 0)),
                    ==, "/etc/docvl/./tell");
    json_decref(plan);
    json_decref(trace);

    static const struct {
        const char *status, *rule;
    } statuses[] = { { "review", "review" }, { "failed", "failed" } };
    for (i = 0; i < G_N_ELEMENTS(statuses); i++) {
        json_t *result = json_deep_copy(facts.result);
        json_object_set_new(result, "status", json_string(statuses[i].status));
        dp_route_facts other = facts;
        other.result = result;
        g_assert_cmpstr(dp_rule_name(dp_routes_match(routes, &other, NULL)), ==,
                        statuses[i].rule);
        json_decref(result);
    }
    json_t *bare = parse("{\"status\":\"ok\",\"fields\":{}}");
    dp_route_facts other = { .result = bare, .name = "x.pdf" };
    const dp_rule *rest = dp_routes_match(routes, &other, NULL);
    g_assert_cmpstr(dp_rule_name(rest), ==, "otherwise");
    g_assert_null(dp_routes_plan(routes, rest, &other, &error));
    g_assert_error(error, DP_ROUTE_ERROR, DP_ROUTE_VALUE);
    g_assert_cmpstr(error->message, ==,
                    "rule \"otherwise\": copy: the value {seller.none} is missing");
    json_decref(bare);
    json_decref(node);
}

static void test_examples(void)
{
    json_t *node = parse(routes_text);
    g_autoptr(dp_routes) routes = dp_routes_new(node, "/", must_not_report, NULL);
    json_t *report = dp_routes_test(routes);
    static const struct {
        gboolean passed;
        const char *text;
    } expect[] = {
        { TRUE, "" },
        { FALSE, "rule \"acme\" is taken, expected \"big\"" },
        { FALSE, "target 1 is /review/document.pdf, expected /review/b.pdf" },
        { TRUE, "" },
    };
    g_assert_cmpuint(json_array_size(report), ==, G_N_ELEMENTS(expect));
    for (gsize i = 0; i < G_N_ELEMENTS(expect); i++) {
        json_t *row = json_array_get(report, i);
        g_assert_cmpstr(json_string_value(json_object_get(row, "text")), ==,
                        expect[i].text);
        g_assert_cmpint(json_is_true(json_object_get(row, "passed")), ==,
                        expect[i].passed);
    }
    json_decref(report);
    json_decref(node);
}

/* No review section: the rules see such documents; no otherwise: nothing is taken. */
static void test_without_ends(void)
{
    json_t *node = parse(RULE("{\"status\":\"review\"}", COPY));
    g_autoptr(dp_routes) routes = dp_routes_new(node, "/", must_not_report, NULL);
    json_t *result = parse("{\"status\":\"review\"}");
    dp_route_facts other = { .result = result };
    g_assert_cmpstr(dp_rule_name(dp_routes_match(routes, &other, NULL)), ==, "a");
    json_object_set_new(result, "status", json_string("failed"));
    g_assert_null(dp_routes_match(routes, &other, NULL));
    g_assert_null(dp_routes_match(routes, &facts, NULL));
    json_decref(result);
    json_decref(node);
}

static void test_key(void)
{
    json_t *a = parse("{\"kind\":\"copy\",\"to\":\"/a\"}");
    json_t *b = parse("{\"to\":\"/a\",\"kind\":\"copy\",\"chosen\":\"/a-2\",\"date\":5}");
    g_autofree char *x = dp_action_key("aa", "bb", 0, a),
                    *y = dp_action_key("aa", "bb", 0, b);
    g_autofree char *z = dp_action_key("aa", "bb", 1, a),
                    *v = dp_action_key("ab", "bb", 0, a);
    g_assert_cmpuint(strlen(x), ==, 64);
    g_assert_cmpstr(x, ==, y);
    g_assert_cmpstr(x, !=, z);
    g_assert_cmpstr(x, !=, v);
    json_decref(a);
    json_decref(b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    json_t *result = parse(document);
    facts = (dp_route_facts){
        .result = result, .name = "scan-1.pdf", .folder = "/srv/in/a", .profile = "night"
    };
    g_test_add_func("/route/conditions", test_conditions);
    g_test_add_func("/route/limit", test_limit_is_told);
    g_test_add_func("/route/globs", test_globs);
    g_test_add_func("/route/faults", test_faults);
    g_test_add_func("/route/choice", test_choice);
    g_test_add_func("/route/examples", test_examples);
    g_test_add_func("/route/without-ends", test_without_ends);
    g_test_add_func("/route/key", test_key);
    int code = g_test_run();
    json_decref(result);
    return code;
}

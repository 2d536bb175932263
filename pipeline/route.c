/*
 * route.c - rules with their actions, and the examples that test them.
 */
#include "route.h"

#include <assert.h>
#include <string.h>

struct dp_rule {
    char *name, *missing; /* missing NULL: that of the routes */
    dp_when *when;        /* NULL: review, failed, otherwise */
    json_t *actions;      /* normalised */
};

struct dp_routes {
    char *base, *root, *missing;
    GPtrArray *rules; /* of dp_rule */
    dp_rule *review, *failed, *otherwise;
    json_t *tests;
};

typedef struct checker {
    dp_report report;
    void *user;
    gboolean is_good;
} checker;

/* ---- what a configuration may say --------------------------------------------------- */

static const dp_facts end_facts[] = {
    { .key = "do",
      .kind = DP_KIND_OTHER,
      .is_required = TRUE,
      .help = "actions, in order" },
    { .key = "missing",
      .kind = DP_KIND_TEXT,
      .help = "text for a missing value, or \"fail\"" },
    { NULL },
};
static const dp_facts rule_facts[] = {
    { .key = "name",
      .kind = DP_KIND_TEXT,
      .is_required = TRUE,
      .help = "for people and logs" },
    { .key = "when", .kind = DP_KIND_OTHER, .is_required = TRUE, .help = "conditions" },
    { .key = "do",
      .kind = DP_KIND_OTHER,
      .is_required = TRUE,
      .help = "actions, in order" },
    { .key = "missing",
      .kind = DP_KIND_TEXT,
      .help = "text for a missing value, or \"fail\"" },
    { NULL },
};
static const dp_facts expect_facts[] = {
    { .key = "rule",
      .kind = DP_KIND_TEXT,
      .is_required = TRUE,
      .help = "name, or \"none\"" },
    { .key = "targets", .kind = DP_KIND_TEXTS, .help = "where the actions go" },
    { NULL },
};
static const dp_facts test_facts[] = {
    { .key = "name", .kind = DP_KIND_TEXT, .help = "for people" },
    { .key = "result",
      .kind = DP_KIND_OTHER,
      .is_required = TRUE,
      .help = "part of a result" },
    { .key = "file",
      .kind = DP_KIND_TEXT,
      .fallback = "document.pdf",
      .help = "file name" },
    { .key = "source", .kind = DP_KIND_TEXT, .help = "folder it came in through" },
    { .key = "profile", .kind = DP_KIND_TEXT, .help = "its profile" },
    { .key = "expect",
      .kind = DP_KIND_OBJECT,
      .object = expect_facts,
      .is_required = TRUE,
      .help = "what must come out" },
    { NULL },
};
static const dp_facts routes_facts[] = {
    { .key = "root",
      .kind = DP_KIND_PATH,
      .fallback = ".",
      .help = "where relative targets start" },
    { .key = "missing",
      .kind = DP_KIND_TEXT,
      .fallback = "unknown",
      .help = "text for a missing value, or \"fail\"" },
    { .key = "rules", .kind = DP_KIND_OTHER, .help = "the first that matches is taken" },
    { .key = "review",
      .kind = DP_KIND_OBJECT,
      .object = end_facts,
      .help = "for documents that need review" },
    { .key = "failed",
      .kind = DP_KIND_OBJECT,
      .object = end_facts,
      .help = "for documents that failed" },
    { .key = "otherwise",
      .kind = DP_KIND_OBJECT,
      .object = end_facts,
      .help = "for documents that no rule matches" },
    { .key = "tests",
      .kind = DP_KIND_OBJECTS,
      .object = test_facts,
      .max = DP_ROUTE_TESTS_MAX,
      .help = "examples for docvl route --test" },
    { NULL },
};

/* ---- compiling ------------------------------------------------------------------------ */

static void note_report(void *user, const char *pointer, gboolean at_key,
                        const char *text)
{
    checker *c = user;
    c->is_good = FALSE;
    c->report(c->user, pointer, at_key, text);
}

static void rule_free(gpointer data)
{
    dp_rule *rule = data;
    if (rule == NULL)
        return;
    g_free(rule->name);
    g_free(rule->missing);
    dp_when_free(rule->when);
    json_decref(rule->actions);
    g_free(rule);
}

static json_t *compile_actions(checker *c, const json_t *list, const char *at)
{
    json_t *actions = json_array();
    gsize i;
    json_t *action;
    if (!json_is_array(list))
        note_report(c, at, FALSE, "a list of actions is expected");
    if (json_array_size(list) > DP_RULE_ACTIONS_MAX)
        note_report(c, at, FALSE, "more than 32 actions");
    json_array_foreach(list, i, action) {
        g_autofree char *here = g_strdup_printf("%s/%zu", at, i);
        json_t *whole = dp_action_check(action, here, note_report, c);
        if (whole != NULL)
            json_array_append_new(actions, whole);
    }
    return actions;
}

/* `value` is a mapping with "do"; a rule of its own for review, failed, otherwise. */
static dp_rule *compile_rule(checker *c, const json_t *value, const char *name,
                             const char *at)
{
    dp_rule *rule = g_new0(dp_rule, 1);
    g_autofree char *do_at = g_strconcat(at, "/do", NULL);
    rule->name = g_strdup(name);
    rule->missing = g_strdup(json_string_value(json_object_get(value, "missing")));
    const json_t *list = json_object_get(value, "do");
    rule->actions = list != NULL ? compile_actions(c, list, do_at) : json_array();
    return rule;
}

static dp_rule *compile_end(checker *c, const json_t *routes, const char *name)
{
    const json_t *value = json_object_get(routes, name);
    g_autofree char *at = g_strconcat("/", name, NULL);
    return json_is_object(value) ? compile_rule(c, value, name, at) : NULL;
}

static gboolean is_name_taken(const dp_routes *r, const char *name)
{
    static const char *const ends[] = { "review", "failed", "otherwise", "none", NULL };
    for (guint i = 0; i < r->rules->len; i++)
        if (strcmp(((dp_rule *)r->rules->pdata[i])->name, name) == 0)
            return TRUE;
    return g_strv_contains(ends, name);
}

static void compile_rules(checker *c, dp_routes *r, const json_t *list)
{
    if (list != NULL && !json_is_array(list))
        note_report(c, "/rules", FALSE, "a list of rules is expected");
    if (json_array_size(list) > DP_RULES_MAX)
        note_report(c, "/rules", FALSE, "more than 200 rules");
    gsize i;
    json_t *value;
    json_array_foreach(list, i, value) {
        g_autofree char *at = g_strdup_printf("/rules/%zu", i);
        g_autofree char *when_at = g_strconcat(at, "/when", NULL);
        g_autofree char *name_at = g_strconcat(at, "/name", NULL);
        if (!dp_facts_check(rule_facts, value, at, note_report, c))
            if (!json_is_object(value))
                continue;
        const char *name = json_string_value(json_object_get(value, "name"));
        if (name != NULL && is_name_taken(r, name))
            note_report(c, name_at, FALSE,
                        "another rule has this name, or docvl uses it");
        dp_rule *rule = compile_rule(c, value, name != NULL ? name : "", at);
        const json_t *when = json_object_get(value, "when");
        if (when != NULL)
            rule->when = dp_when_new(when, r->base, when_at, note_report, c);
        g_ptr_array_add(r->rules, rule);
    }
}

dp_routes *dp_routes_new(const json_t *routes, const char *base, dp_report report,
                         void *user)
{
    assert(report != NULL);
    assert(g_path_is_absolute(base));
    checker c = { report, user, TRUE };
    if (!dp_facts_check(routes_facts, routes, "", note_report, &c) &&
        !json_is_object(routes))
        return NULL;
    g_autoptr(dp_routes) r = g_new0(dp_routes, 1);
    const char *root = json_string_value(json_object_get(routes, "root"));
    const char *missing = json_string_value(json_object_get(routes, "missing"));
    g_autofree char *joined = root == NULL ? g_strdup(base)
                              : g_path_is_absolute(root)
                                  ? g_strdup(root)
                                  : g_build_filename(base, root, NULL);
    r->base = g_strdup(base);
    r->root = g_canonicalize_filename(joined, "/");
    r->missing = g_strdup(missing != NULL ? missing : "unknown");
    r->rules = g_ptr_array_new_with_free_func(rule_free);
    r->tests = json_incref(json_object_get(routes, "tests"));
    compile_rules(&c, r, json_object_get(routes, "rules"));
    r->review = compile_end(&c, routes, "review");
    r->failed = compile_end(&c, routes, "failed");
    r->otherwise = compile_end(&c, routes, "otherwise");
    return c.is_good ? g_steal_pointer(&r) : NULL;
}

const char *dp_routes_root(const dp_routes *routes)
{
    return routes->root;
}

void dp_routes_free(dp_routes *r)
{
    if (r == NULL)
        return;
    g_ptr_array_unref(r->rules);
    rule_free(r->review);
    rule_free(r->failed);
    rule_free(r->otherwise);
    json_decref(r->tests);
    g_free(r->base);
    g_free(r->root);
    g_free(r->missing);
    g_free(r);
}

gboolean dp_routes_check(const json_t *routes, dp_report report, void *user)
{
    g_autoptr(dp_routes) r = dp_routes_new(routes, "/", report, user);
    return r != NULL;
}

/* ---- matching --------------------------------------------------------------------------- */

const char *dp_rule_name(const dp_rule *rule)
{
    return rule->name;
}

static void trace_rule(json_t *trace, const dp_rule *rule, gboolean matched,
                       json_t *conditions)
{
    if (trace != NULL)
        json_array_append_new(trace, json_pack("{s:s, s:b, s:b, s:o}", "rule", rule->name,
                                               "matched", (int)matched, "taken", 0,
                                               "conditions", conditions));
}

static json_t *status_condition(const char *wanted, const char *status)
{
    g_autofree char *text = g_strdup_printf("status equals \"%s\"", wanted);
    return json_pack("[{s:s, s:b, s:s}]", "condition", text, "holds",
                     (int)(g_strcmp0(wanted, status) == 0), "found",
                     status != NULL ? status : "missing");
}

static const dp_rule *match_rules(const dp_routes *r, const dp_route_facts *facts,
                                  gboolean is_open, json_t *trace)
{
    const dp_rule *taken = NULL;
    for (guint i = 0; i < r->rules->len && (taken == NULL || trace != NULL); i++) {
        const dp_rule *rule = r->rules->pdata[i];
        json_t *conditions = trace != NULL ? json_array() : NULL;
        gboolean matched = dp_when_holds(rule->when, facts, conditions);
        trace_rule(trace, rule, matched, conditions);
        if (matched && taken == NULL && is_open)
            taken = rule;
    }
    return taken;
}

static void mark_taken(json_t *trace, const dp_rule *rule)
{
    gsize i;
    json_t *row;
    json_array_foreach(trace, i, row)
        if (rule != NULL &&
            g_strcmp0(json_string_value(json_object_get(row, "rule")), rule->name) == 0)
            json_object_set_new(row, "taken", json_true());
}

const dp_rule *dp_routes_match(const dp_routes *r, const dp_route_facts *facts,
                               json_t *trace)
{
    const char *status = json_string_value(json_object_get(facts->result, "status"));
    gboolean is_failed = g_strcmp0(status, "failed") == 0;
    gboolean is_review = g_strcmp0(status, "review") == 0 && r->review != NULL;
    if (trace != NULL && r->failed != NULL)
        trace_rule(trace, r->failed, is_failed, status_condition("failed", status));
    if (trace != NULL && r->review != NULL)
        trace_rule(trace, r->review, is_review, status_condition("review", status));
    const dp_rule *taken = is_failed ? r->failed : is_review ? r->review : NULL;
    if (!(is_failed || is_review) || trace != NULL) {
        const dp_rule *rule = match_rules(r, facts, !is_failed && !is_review, trace);
        taken = rule != NULL ? rule : taken;
    }
    gboolean is_rest = taken == NULL && !is_failed;
    if (trace != NULL && r->otherwise != NULL)
        trace_rule(trace, r->otherwise, is_rest, json_array());
    if (is_rest)
        taken = r->otherwise;
    mark_taken(trace, taken);
    return taken;
}

/* ---- planning ---------------------------------------------------------------------------- */

json_t *dp_routes_plan(const dp_routes *r, const dp_rule *rule,
                       const dp_route_facts *facts, GError **error)
{
    dp_route_facts with_rule = *facts;
    with_rule.rule = rule->name;
    const char *missing = rule->missing != NULL ? rule->missing : r->missing;
    dp_action_places places = { .base = r->base,
                                .root = r->root,
                                .missing =
                                    strcmp(missing, "fail") == 0 ? NULL : missing };
    json_t *plan = json_array(), *priority = NULL;
    gsize i;
    json_t *action;
    json_array_foreach(rule->actions, i, action) {
        const char *kind = json_string_value(json_object_get(action, "kind"));
        if (strcmp(kind, "priority") == 0) { /* it stands in what comes behind it */
            priority = json_object_get(action, "priority");
            continue;
        }
        json_t *planned = dp_action_plan(action, &with_rule, &places, error);
        if (planned == NULL) {
            g_prefix_error(error, "rule \"%s\": ", rule->name);
            json_decref(plan);
            return NULL;
        }
        if (priority != NULL)
            json_object_set(planned, "priority", priority);
        json_array_append_new(plan, planned);
    }
    return plan;
}

const char *dp_action_target(const json_t *planned)
{
    static const char *const keys[] = { "maildir", "to", "url" };
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *target = json_string_value(json_object_get(planned, keys[i]));
        if (target != NULL)
            return target;
    }
    return NULL;
}

/* ---- examples -------------------------------------------------------------------------------- */

/* {"a.b": 1} to {"a": {"b": 1}}, so that an example may be written flat. */
static json_t *nest(const json_t *flat)
{
    json_t *out = json_object();
    const char *path;
    json_t *value;
    json_object_foreach((json_t *)flat, path, value) {
        g_auto(GStrv) names = g_strsplit(path, ".", DP_PATH_DEPTH_MAX);
        json_t *node = out;
        guint last = g_strv_length(names);
        for (guint i = 0; i + 1 < last; i++) {
            json_t *child = json_object_get(node, names[i]);
            if (!json_is_object(child)) {
                json_object_set_new(node, names[i], json_object());
                child = json_object_get(node, names[i]);
            }
            node = child;
        }
        if (last > 0)
            json_object_set(node, names[last - 1], value);
    }
    return out;
}

/* The short forms: class as a word, checks as a mapping, pages, flat fields. */
static json_t *example_result(const json_t *excerpt)
{
    json_t *result = json_copy((json_t *)excerpt);
    json_t *fields = json_object_get(excerpt, "fields"),
           *class_ = json_object_get(excerpt, "class");
    json_t *checks = json_object_get(excerpt, "checks"),
           *pages = json_object_get(excerpt, "pages");
    if (json_object_get(result, "status") == NULL)
        json_object_set_new(result, "status", json_string("ok"));
    json_object_set_new(result, "fields", nest(fields));
    if (json_is_string(class_))
        json_object_set_new(result, "class",
                            json_pack("{s:O, s:f}", "label", class_, "confidence", 1.0));
    if (pages != NULL)
        json_object_set_new(result, "timing", json_pack("{s:O}", "pages", pages));
    if (json_is_object(checks)) {
        json_t *list = json_array();
        const char *id;
        json_t *value;
        json_object_foreach(checks, id, value)
            json_array_append_new(list,
                                  json_pack("{s:s, s:O}", "id", id, "result", value));
        json_object_set_new(result, "checks", list);
    }
    return result;
}

/* NULL when the plan goes where the example says, else what is wrong. */
static char *compare_targets(const dp_routes *r, const json_t *plan,
                             const json_t *targets)
{
    gsize count = 0, i;
    json_t *planned;
    json_array_foreach(plan, i, planned) {
        const char *target = dp_action_target(planned);
        if (target == NULL)
            continue;
        const char *wanted = json_string_value(json_array_get(targets, count++));
        g_autofree char *whole =
            wanted == NULL ? NULL
            : strstr(wanted, "://") != NULL || *wanted == '/' ||
                    strcmp(json_string_value(json_object_get(planned, "kind")),
                           "rename") == 0
                ? g_strdup(wanted)
                : g_build_filename(r->root, wanted, NULL);
        if (g_strcmp0(whole, target) != 0)
            return g_strdup_printf("target %zu is %s, expected %s", count, target,
                                   whole != NULL ? whole : "none");
    }
    return count == json_array_size(targets)
               ? NULL
               : g_strdup_printf("%zu targets, expected %zu", count,
                                 json_array_size(targets));
}

static char *run_example(const dp_routes *r, const json_t *example)
{
    json_t *result = example_result(json_object_get(example, "result"));
    const json_t *expect = json_object_get(example, "expect");
    const char *file = json_string_value(json_object_get(example, "file"));
    const char *wanted = json_string_value(json_object_get(expect, "rule"));
    const char *source = json_string_value(json_object_get(example, "source"));
    g_autofree char *folder =
        source != NULL ? g_canonicalize_filename(source, r->base) : NULL;
    dp_route_facts facts = {
        .result = result,
        .name = file != NULL ? file : "document.pdf",
        .folder = folder,
        .profile = json_string_value(json_object_get(example, "profile")),
    };
    const dp_rule *rule = dp_routes_match(r, &facts, NULL);
    const char *name = rule != NULL ? rule->name : "none";
    char *wrong = NULL;
    const json_t *targets = json_object_get(expect, "targets");
    if (g_strcmp0(name, wanted) != 0) {
        wrong = g_strdup_printf("rule \"%s\" is taken, expected \"%s\"", name, wanted);
    } else if (targets != NULL && rule != NULL) {
        g_autoptr(GError) error = NULL;
        json_t *plan = dp_routes_plan(r, rule, &facts, &error);
        wrong =
            plan != NULL ? compare_targets(r, plan, targets) : g_strdup(error->message);
        json_decref(plan);
    }
    json_decref(result);
    return wrong;
}

json_t *dp_routes_test(const dp_routes *r)
{
    json_t *report = json_array();
    gsize i;
    json_t *example;
    json_array_foreach(r->tests, i, example) {
        const char *name = json_string_value(json_object_get(example, "name"));
        g_autofree char *number = g_strdup_printf("test %zu", i + 1);
        g_autofree char *wrong = run_example(r, example);
        json_array_append_new(report, json_pack("{s:s, s:b, s:s}", "name",
                                                name != NULL ? name : number, "passed",
                                                (int)(wrong == NULL), "text",
                                                wrong != NULL ? wrong : ""));
    }
    return report;
}

/*
 * route_when.c - conditions compiled into a tree, and the walk over it.
 *
 * Every leaf is a set of tests over the values of one path; a leaf holds when one of the
 * values passes all of them.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "route_when.h"

#include "decimal.h"

#include <assert.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum test_op {
    OP_EQUALS,
    OP_IN,
    OP_NOT_IN,
    OP_MATCHES,
    OP_GT,
    OP_GTE,
    OP_LT,
    OP_LTE,
    OP_FROM,
    OP_TO,
    OP_PRESENT,
    OP_MIN_CONFIDENCE,
    OP_IGNORE_CASE,
    OP_COUNT
} test_op;

static const char *const op_names[OP_COUNT + 1] = {
    "equals", "in", "not_in",  "matches",        "gt",          "gte", "lt", "lte",
    "from",   "to", "present", "min_confidence", "ignore_case", NULL
};

typedef struct test {
    test_op op;
    json_t *value;     /* of the configuration; a reference */
    dp_decimal number; /* of gt … lte, min_confidence */
    pcre2_code *regex;
} test;

typedef enum node_kind {
    NODE_ALL,
    NODE_ANY,
    NODE_NOT,
    NODE_FIELD,
    NODE_GLOB,
    NODE_FOLDER,
    NODE_CHECKS,
    NODE_CONFIDENCE
} node_kind;

struct dp_when {
    node_kind kind;
    char *label;
    GPtrArray *children; /* of groups */
    char *path;          /* of NODE_FIELD */
    GArray *tests;
    gboolean is_case_ignored;
    char **words; /* globs, folders */
    char **passed, **failed;
    int any_failed; /* -1: not asked */
};

typedef struct compiler {
    const char *base;
    dp_report report;
    void *user;
    gboolean is_good;
} compiler;

/* ---- reporting ------------------------------------------------------------- */

static void complain(compiler *c, const char *at, gboolean at_key, const char *format,
                     ...) G_GNUC_PRINTF(4, 5);
static void complain(compiler *c, const char *at, gboolean at_key, const char *format,
                     ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    c->is_good = FALSE;
    c->report(c->user, at, at_key, text);
}

static char *below(const char *pointer, const char *key)
{
    g_autoptr(GString) out = g_string_new(pointer);
    g_string_append_c(out, '/');
    for (; *key != '\0'; key++) {
        if (*key == '~' || *key == '/')
            g_string_append(out, *key == '~' ? "~0" : "~1");
        else
            g_string_append_c(out, *key);
    }
    return g_strdup(out->str);
}

static void unknown_key(compiler *c, const char *at, const char *key,
                        const char *const *known)
{
    const char *near = dp_nearest(key, known);
    g_autofree char *all = g_strjoinv(", ", (char **)known);
    if (near != NULL)
        complain(c, at, TRUE, "unknown key \"%s\" (did you mean \"%s\"?)", key, near);
    else
        complain(c, at, TRUE, "unknown key \"%s\"; known: %s", key, all);
}

static gboolean read_bool(const json_t *node, gboolean *value)
{
    const char *word = json_string_value(node);
    *value = json_is_true(node) || g_strcmp0(word, "yes") == 0;
    return *value || json_is_false(node) || g_strcmp0(word, "no") == 0;
}

/* ---- nodes ----------------------------------------------------------------- */

static void clear_test(gpointer data)
{
    test *t = data;
    json_decref(t->value);
    pcre2_code_free(t->regex);
}

static dp_when *node_new(node_kind kind, const char *label)
{
    dp_when *n = g_new0(dp_when, 1);
    n->kind = kind;
    n->label = g_strdup(label);
    n->children = g_ptr_array_new_with_free_func((GDestroyNotify)dp_when_free);
    n->tests = g_array_new(FALSE, TRUE, sizeof(test));
    g_array_set_clear_func(n->tests, clear_test);
    n->any_failed = -1;
    return n;
}

void dp_when_free(dp_when *n)
{
    if (n == NULL)
        return;
    g_ptr_array_unref(n->children); /* depth is bounded by DP_WHEN_DEPTH_MAX */
    g_array_unref(n->tests);
    g_strfreev(n->words);
    g_strfreev(n->passed);
    g_strfreev(n->failed);
    g_free(n->label);
    g_free(n->path);
    g_free(n);
}

/* ---- compiling tests --------------------------------------------------------- */

static gboolean is_scalar(const json_t *node)
{
    return json_is_string(node) || json_is_number(node) || json_is_boolean(node);
}

static void check_list(compiler *c, const json_t *list, const char *at)
{
    if (!json_is_array(list) || json_array_size(list) == 0) {
        complain(c, at, FALSE, "a list of values is expected, not empty");
        return;
    }
    if (json_array_size(list) > DP_WHEN_WORDS_MAX)
        complain(c, at, FALSE, "%zu values, limit %d", json_array_size(list),
                 DP_WHEN_WORDS_MAX);
    gsize i;
    json_t *value;
    json_array_foreach(list, i, value)
        if (!is_scalar(value))
            complain(c, at, FALSE, "value %zu of the list is no text, number or yes/no",
                     i + 1);
}

static void compile_regex(compiler *c, test *t, const char *at)
{
    const char *pattern = json_string_value(t->value);
    if (pattern == NULL || strlen(pattern) > DP_REGEX_BYTES_MAX) {
        complain(c, at, FALSE, "a regular expression of at most %d bytes is expected",
                 DP_REGEX_BYTES_MAX);
        return;
    }
    int code;
    PCRE2_SIZE offset;
    t->regex = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                             PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code,
                             &offset, NULL);
    if (t->regex == NULL) {
        PCRE2_UCHAR text[200] = { 0 };
        (void)pcre2_get_error_message(code, text, sizeof text); /* cut is fine */
        complain(c, at, FALSE, "the regular expression is wrong at character %zu: %s",
                 (gsize)offset + 1, (const char *)text);
    }
}

static gboolean is_date(const char *text)
{
    int y, m, d, n = 0;
    return text != NULL && strlen(text) == 10 &&
           sscanf(text, "%4d-%2d-%2d%n", &y, &m, &d, &n) == 3 && n == 10 && y > 0 &&
           g_date_valid_dmy((GDateDay)d, (GDateMonth)m, (GDateYear)y);
}

static void compile_test(compiler *c, dp_when *n, test_op op, const json_t *value,
                         const char *at)
{
    test t = { .op = op, .value = json_incref((json_t *)value) };
    gboolean yes;
    switch (op) {
    case OP_EQUALS:
        if (!is_scalar(value))
            complain(c, at, FALSE, "a text, a number or yes/no is expected");
        break;
    case OP_IN:
    case OP_NOT_IN:
        check_list(c, value, at);
        break;
    case OP_MATCHES:
        compile_regex(c, &t, at);
        break;
    case OP_FROM:
    case OP_TO:
        if (!is_date(json_string_value(value)))
            complain(c, at, FALSE, "a date (YYYY-MM-DD) is expected");
        break;
    case OP_PRESENT:
    case OP_IGNORE_CASE:
        if (!read_bool(value, &yes))
            complain(c, at, FALSE, "yes or no is expected");
        break;
    default:
        if (!dp_decimal_from_json(value, &t.number))
            complain(c, at, FALSE,
                     "a number is expected, of at most 18 digits before and 12 "
                     "after the point; one of more than 15 digits in quotes");
    }
    if (op == OP_IGNORE_CASE) {
        n->is_case_ignored = read_bool(value, &yes) && yes;
        clear_test(&t);
        return;
    }
    g_array_append_val(n->tests, t);
}

/* Scalar: equals; list: in; mapping: its operators out of those that `ops` allows. */
static void compile_tests(compiler *c, dp_when *n, const json_t *value, guint ops,
                          const char *at)
{
    if (is_scalar(value) && (ops & 1u << OP_EQUALS)) {
        compile_test(c, n, OP_EQUALS, value, at);
        return;
    }
    if (json_is_array(value) && (ops & 1u << OP_IN)) {
        compile_test(c, n, OP_IN, value, at);
        return;
    }
    if (!json_is_object(value) || json_object_size(value) == 0) {
        complain(c, at, FALSE, "a value, a list or a mapping of operators is expected");
        return;
    }
    const char *known[OP_COUNT + 1] = { NULL };
    guint count = 0;
    for (guint k = 0; k < OP_COUNT; k++)
        if (ops & 1u << k)
            known[count++] = op_names[k];
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)value, key, child) {
        g_autofree char *here = below(at, key);
        guint op = 0;
        while (op < OP_COUNT && strcmp(op_names[op], key) != 0)
            op++;
        if (op == OP_COUNT || !(ops & 1u << op))
            unknown_key(c, here, key, known);
        else
            compile_test(c, n, (test_op)op, child, here);
    }
}

enum {
    OPS_RANGE = 1u << OP_GT | 1u << OP_GTE | 1u << OP_LT | 1u << OP_LTE,
    OPS_WORD = 1u << OP_EQUALS | 1u << OP_IN | 1u << OP_NOT_IN,
    OPS_FIELD = (1u << OP_COUNT) - 1,
};

/* ---- compiling nodes ----------------------------------------------------------- */

static dp_when *compile_group(compiler *c, const json_t *when, const char *at,
                              guint depth);

static char **compile_words(compiler *c, const json_t *value, const char *at)
{
    GPtrArray *words = g_ptr_array_new();
    if (json_is_string(value))
        g_ptr_array_add(words, g_strdup(json_string_value(value)));
    else
        check_list(c, value, at);
    gsize i;
    json_t *word;
    json_array_foreach(value, i, word) {
        if (!json_is_string(word))
            complain(c, at, FALSE, "a text or a list of texts is expected");
        else
            g_ptr_array_add(words, g_strdup(json_string_value(word)));
    }
    g_ptr_array_add(words, NULL);
    return (char **)g_ptr_array_free(words, FALSE);
}

/* As all paths of a configuration: from its own folder. */
static char **compile_folders(compiler *c, const json_t *value, const char *at)
{
    char **words = compile_words(c, value, at);
    for (char **word = words; *word != NULL; word++) {
        char *whole = g_canonicalize_filename(*word, c->base);
        g_free(*word);
        *word = whole;
    }
    return words;
}

static void add_fields(compiler *c, dp_when *group, const json_t *fields, const char *at)
{
    if (!json_is_object(fields) || json_object_size(fields) == 0) {
        complain(c, at, FALSE, "a mapping of paths to conditions is expected");
        return;
    }
    const char *path;
    json_t *value;
    json_object_foreach((json_t *)fields, path, value) {
        g_autofree char *here = below(at, path);
        const char *fault = dp_route_path_fault(path);
        if (fault != NULL)
            complain(c, here, TRUE, "%s", fault);
        g_autofree char *label = g_strdup_printf("fields %s", path);
        dp_when *n = node_new(NODE_FIELD, label);
        n->path = g_strdup(path);
        compile_tests(c, n, value, OPS_FIELD, here);
        g_ptr_array_add(group->children, n);
    }
}

static void add_checks(compiler *c, dp_when *group, const json_t *value, const char *at)
{
    static const char *const known[] = { "passed", "failed", "any_failed", NULL };
    dp_when *n = node_new(NODE_CHECKS, "checks");
    g_ptr_array_add(group->children, n);
    if (!json_is_object(value) || json_object_size(value) == 0) {
        complain(c, at, FALSE, "a mapping of passed, failed, any_failed is expected");
        return;
    }
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)value, key, child) {
        g_autofree char *here = below(at, key);
        gboolean yes;
        if (strcmp(key, "passed") == 0)
            n->passed = compile_words(c, child, here);
        else if (strcmp(key, "failed") == 0)
            n->failed = compile_words(c, child, here);
        else if (strcmp(key, "any_failed") != 0)
            unknown_key(c, here, key, known);
        else if (!read_bool(child, &yes))
            complain(c, here, FALSE, "yes or no is expected");
        else
            n->any_failed = yes;
    }
}

static void add_groups(compiler *c, dp_when *group, const char *key, const json_t *value,
                       const char *at, guint depth)
{
    if (depth >= DP_WHEN_DEPTH_MAX) {
        complain(c, at, TRUE, "all, any and not are nested deeper than %d",
                 DP_WHEN_DEPTH_MAX);
        return;
    }
    gboolean is_not = strcmp(key, "not") == 0;
    dp_when *n = node_new(is_not                    ? NODE_NOT
                          : strcmp(key, "any") == 0 ? NODE_ANY
                                                    : NODE_ALL,
                          key);
    g_ptr_array_add(group->children, n);
    if (is_not) {
        g_ptr_array_add(n->children, compile_group(c, value, at, depth + 1));
        return;
    }
    if (!json_is_array(value) || json_array_size(value) == 0)
        complain(c, at, FALSE, "a list of conditions is expected, not empty");
    gsize i;
    json_t *child;
    json_array_foreach(value, i, child) {
        g_autofree char *here = g_strdup_printf("%s/%zu", at, i);
        g_ptr_array_add(n->children, compile_group(c, child, here, depth + 1));
    }
}

static dp_when *add_leaf(dp_when *group, node_kind kind, const char *label,
                         const char *path)
{
    dp_when *n = node_new(kind, label);
    n->path = g_strdup(path);
    g_ptr_array_add(group->children, n);
    return n;
}

static void compile_key(compiler *c, dp_when *group, const char *key, const json_t *value,
                        const char *at, guint depth)
{
    static const char *const known[] = { "all",        "any",     "checks", "class",
                                         "confidence", "fields",  "file",   "not",
                                         "pages",      "profile", "schema", "source",
                                         "status",     NULL };
    if (strcmp(key, "all") == 0 || strcmp(key, "any") == 0 || strcmp(key, "not") == 0)
        add_groups(c, group, key, value, at, depth);
    else if (strcmp(key, "fields") == 0)
        add_fields(c, group, value, at);
    else if (strcmp(key, "checks") == 0)
        add_checks(c, group, value, at);
    else if (strcmp(key, "class") == 0)
        compile_tests(c, add_leaf(group, NODE_FIELD, key, "@class"), value,
                      OPS_WORD | 1u << OP_MIN_CONFIDENCE, at);
    else if (strcmp(key, "schema") == 0)
        compile_tests(c, add_leaf(group, NODE_FIELD, key, "@schema"), value, OPS_WORD,
                      at);
    else if (strcmp(key, "profile") == 0)
        compile_tests(c, add_leaf(group, NODE_FIELD, key, "@profile"), value, OPS_WORD,
                      at);
    else if (strcmp(key, "status") == 0)
        compile_tests(c, add_leaf(group, NODE_FIELD, key, "@status"), value, OPS_WORD,
                      at);
    else if (strcmp(key, "pages") == 0)
        compile_tests(c, add_leaf(group, NODE_FIELD, key, "@pages"), value,
                      1u << OP_EQUALS | OPS_RANGE, at);
    else if (strcmp(key, "confidence") == 0)
        compile_tests(c, add_leaf(group, NODE_CONFIDENCE, key, NULL), value, OPS_RANGE,
                      at);
    else if (strcmp(key, "file") == 0)
        add_leaf(group, NODE_GLOB, key, NULL)->words = compile_words(c, value, at);
    else if (strcmp(key, "source") == 0)
        add_leaf(group, NODE_FOLDER, key, NULL)->words = compile_folders(c, value, at);
    else
        unknown_key(c, at, key, known);
}

static dp_when *compile_group(compiler *c, const json_t *when, const char *at,
                              guint depth)
{
    dp_when *group = node_new(NODE_ALL, "all");
    if (!json_is_object(when) || json_object_size(when) == 0) {
        complain(c, at, FALSE, "a mapping of conditions is expected, not empty");
        return group;
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)when, key, value) {
        g_autofree char *here = below(at, key);
        compile_key(c, group, key, value, here, depth);
    }
    return group;
}

dp_when *dp_when_new(const json_t *when, const char *base, const char *pointer,
                     dp_report report, void *user)
{
    assert(report != NULL);
    assert(g_path_is_absolute(base));
    compiler c = { .base = base, .report = report, .user = user, .is_good = TRUE };
    g_autoptr(dp_when) group = compile_group(&c, when, pointer, 0);
    return c.is_good ? g_steal_pointer(&group) : NULL;
}

/* ---- globs ------------------------------------------------------------------ */

/* One character against what the glob has at `*glob`, which is moved behind it. */
static gboolean match_one(const char **glob, gunichar u)
{
    const char *g = *glob;
    if (*g != '[' || strchr(g + 1, ']') == NULL) {
        *glob = g_utf8_next_char(g);
        return *g == '?' || g_utf8_get_char(g) == u;
    }
    gboolean is_not = g[1] == '!', is_in = FALSE;
    const char *c = g + 1 + is_not, *first = c;
    for (; *c != '\0' && (*c != ']' || c == first);) {
        gunichar low = g_utf8_get_char(c), high = low;
        c = g_utf8_next_char(c);
        if (*c == '-' && c[1] != ']' && c[1] != '\0') {
            high = g_utf8_get_char(c + 1);
            c = g_utf8_next_char(c + 1);
        }
        is_in |= u >= low && u <= high;
    }
    *glob = *c == ']' ? c + 1 : c;
    return is_in != is_not;
}

gboolean dp_glob_matches(const char *glob, const char *text)
{
    const char *star = NULL, *back = NULL;
    while (*text != '\0') {
        if (*glob == '*') {
            star = ++glob;
            back = text;
            continue;
        }
        const char *g = glob;
        if (*glob != '\0' && match_one(&g, g_utf8_get_char(text))) {
            glob = g;
            text = g_utf8_next_char(text);
        } else if (star != NULL) { /* only the last star need be tried again */
            glob = star;
            text = back = g_utf8_next_char(back);
        } else {
            return FALSE;
        }
    }
    while (*glob == '*')
        glob++;
    return *glob == '\0';
}

/* ---- looking ----------------------------------------------------------------- */

static gboolean in_range(test_op op, dp_decimal actual, dp_decimal limit)
{
    int order = dp_decimal_compare(actual, limit);
    return op == OP_GT    ? order > 0
           : op == OP_GTE ? order >= 0
           : op == OP_LT  ? order < 0
                          : order <= 0;
}

static gboolean equals(const json_t *wanted, const char *text, gboolean is_case_ignored)
{
    dp_decimal a, b;
    if (json_is_number(wanted))
        return dp_decimal_from_json(wanted, &a) && dp_decimal_parse(text, &b) &&
               dp_decimal_compare(a, b) == 0;
    if (json_is_boolean(wanted))
        return strcmp(text, json_is_true(wanted) ? "true" : "false") == 0;
    const char *word = json_string_value(wanted);
    if (!is_case_ignored)
        return strcmp(word, text) == 0;
    g_autofree char *x = g_utf8_casefold(word, -1);
    g_autofree char *y = g_utf8_casefold(text, -1);
    return strcmp(x, y) == 0;
}

static gboolean is_listed(const test *t, const char *text, gboolean is_case_ignored)
{
    gsize i;
    json_t *value;
    json_array_foreach(t->value, i, value)
        if (equals(value, text, is_case_ignored))
            return TRUE;
    return FALSE;
}

/* A pattern that runs over a limit does not match; *why says so. */
static gboolean regex_matches(const pcre2_code *regex, const char *text, const char **why)
{
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int n = PCRE2_ERROR_NOMEMORY;
    if (limits != NULL && data != NULL) {
        pcre2_set_match_limit(limits, DP_REGEX_MATCH_MAX);
        pcre2_set_depth_limit(limits, DP_REGEX_DEPTH_MAX);
        pcre2_set_heap_limit(limits, DP_REGEX_HEAP_KIB_MAX);
        n = pcre2_match(regex, (PCRE2_SPTR)text, strlen(text), 0, 0, data, limits);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(limits);
    if (n < 0 && n != PCRE2_ERROR_NOMATCH)
        *why = "the expression ran over its limit";
    return n >= 0;
}

static double leaf_confidence(const json_t *leaf)
{
    const json_t *c = json_object_get(leaf, "confidence");
    return json_is_number(c) ? json_number_value(c) : 1;
}

/* A confidence as a decimal of six places: what a result shows. */
static dp_decimal confidence_decimal(double confidence)
{
    char text[32];
    dp_decimal value = { 0 };
    (void)snprintf(text, sizeof text, "%.6f", CLAMP(confidence, 0.0, 1.0));
    (void)dp_decimal_parse(text, &value); /* this form always parses */
    return value;
}

static gboolean test_passes(const dp_when *n, const test *t, const json_t *leaf,
                            const char *text, double confidence, const char **why)
{
    dp_decimal number;
    switch (t->op) {
    case OP_EQUALS:
        return equals(t->value, text, n->is_case_ignored);
    case OP_IN:
        return is_listed(t, text, n->is_case_ignored);
    case OP_NOT_IN:
        return !is_listed(t, text, n->is_case_ignored);
    case OP_MATCHES:
        return regex_matches(t->regex, text, why);
    case OP_FROM:
    case OP_TO: /* ISO dates sort as texts */
        if (!is_date(text)) {
            *why = "not a date";
            return FALSE;
        }
        return t->op == OP_FROM ? strcmp(text, json_string_value(t->value)) >= 0
                                : strcmp(text, json_string_value(t->value)) <= 0;
    case OP_PRESENT: {
        gboolean yes = FALSE;
        return read_bool(t->value, &yes) && yes;
    }
    case OP_MIN_CONFIDENCE:
        return in_range(OP_GTE, confidence_decimal(confidence), t->number);
    default:
        if (!dp_decimal_parse(text, &number)) {
            *why = "not a number";
            return FALSE;
        }
        return in_range(t->op, number, t->number);
    }
}

static gboolean leaf_passes(const dp_when *n, const dp_route_facts *facts,
                            const json_t *leaf, const char *text, const char **why)
{
    double confidence = leaf_confidence(leaf);
    if (g_strcmp0(n->path, "@class") == 0)
        confidence = leaf_confidence(json_object_get(facts->result, "class"));
    for (guint i = 0; i < n->tests->len; i++)
        if (!test_passes(n, &g_array_index(n->tests, test, i), leaf, text, confidence,
                         why))
            return FALSE;
    return TRUE;
}

/* Does every test ask for absence? */
static gboolean wants_missing(const dp_when *n)
{
    gboolean yes = FALSE;
    for (guint i = 0; i < n->tests->len; i++) {
        const test *t = &g_array_index(n->tests, test, i);
        if (t->op != OP_PRESENT || !read_bool(t->value, &yes) || yes)
            return FALSE;
    }
    return TRUE;
}

static gboolean field_holds(const dp_when *n, const dp_route_facts *facts, char **found)
{
    g_autoptr(GPtrArray) leaves = dp_route_find(facts, n->path);
    gboolean has_any = FALSE, holds = FALSE;
    g_autofree char *first = NULL;
    const char *why = NULL;
    for (guint i = 0; i < leaves->len && !holds; i++) {
        g_autofree char *text = dp_leaf_text(leaves->pdata[i]);
        gboolean is_tree = text == NULL;
        if (is_tree && (json_array_size(leaves->pdata[i]) > 0 ||
                        json_object_size(leaves->pdata[i]) > 0))
            text = g_strdup("…"); /* a list or group that is not empty is there */
        if (text == NULL || *text == '\0')
            continue;
        has_any = TRUE;
        holds = leaf_passes(n, facts, leaves->pdata[i], text, &why);
        if (first == NULL || holds) {
            g_free(first);
            first = g_steal_pointer(&text);
        }
    }
    *found = why != NULL && !holds ? g_strdup_printf("%s (%s)", first, why)
             : first != NULL       ? g_steal_pointer(&first)
                                   : g_strdup("missing");
    return has_any ? holds : wants_missing(n);
}

static gboolean is_below(const char *folder, const char *root)
{
    gsize length = strlen(root);
    while (length > 1 && root[length - 1] == '/')
        length--;
    return strncmp(folder, root, length) == 0 &&
           (folder[length] == '\0' || folder[length] == '/' || length == 1);
}

/* Where links lead to; the path itself when nothing is there. */
static char *real_folder(const char *path)
{
    char *real = realpath(path, NULL);
    char *copy = g_strdup(real != NULL ? real : path);
    free(real);
    return copy;
}

/* One name for a folder is as good as another: batch follows links, a watcher does not. */
static gboolean came_through(const char *folder, const char *root)
{
    if (is_below(folder, root))
        return TRUE;
    g_autofree char *real = real_folder(folder);
    g_autofree char *real_root = real_folder(root);
    return is_below(real, real_root);
}

static const char *check_result(const dp_route_facts *facts, const char *id,
                                gboolean *any_failed)
{
    const char *seen = NULL;
    gsize i;
    json_t *check;
    json_array_foreach(json_object_get(facts->result, "checks"), i, check) {
        const char *result = json_string_value(json_object_get(check, "result"));
        gboolean is_failed = g_strcmp0(result, "fail") == 0;
        *any_failed |= is_failed;
        if (id == NULL ||
            g_strcmp0(json_string_value(json_object_get(check, "id")), id) != 0)
            continue;
        if (seen == NULL ||
            is_failed) /* one id may stand for many rows: one failure counts */
            seen = result;
    }
    return seen;
}

static gboolean checks_hold(const dp_when *n, const dp_route_facts *facts, char **found)
{
    gboolean holds = TRUE, any_failed = FALSE;
    g_autoptr(GString) seen = g_string_new(NULL);
    for (char **id = n->passed; id != NULL && *id != NULL; id++) {
        const char *result = check_result(facts, *id, &any_failed);
        holds &= g_strcmp0(result, "pass") == 0;
        g_string_append_printf(seen, "%s %s ", *id, result != NULL ? result : "not run");
    }
    for (char **id = n->failed; id != NULL && *id != NULL; id++) {
        const char *result = check_result(facts, *id, &any_failed);
        holds &= g_strcmp0(result, "fail") == 0;
        g_string_append_printf(seen, "%s %s ", *id, result != NULL ? result : "not run");
    }
    (void)check_result(facts, NULL, &any_failed); /* for any_failed alone */
    if (n->any_failed >= 0)
        holds &= any_failed == n->any_failed;
    g_string_append(seen, any_failed ? "(some failed)" : "(none failed)");
    *found = g_strdup(seen->str);
    return holds;
}

static gboolean confidence_holds(const dp_when *n, const dp_route_facts *facts,
                                 char **found)
{
    dp_decimal least =
        confidence_decimal(dp_confidence_least(json_object_get(facts->result, "fields")));
    *found = dp_decimal_text(least, 0);
    for (guint i = 0; i < n->tests->len; i++) {
        const test *t = &g_array_index(n->tests, test, i);
        if (!in_range(t->op, least, t->number))
            return FALSE;
    }
    return TRUE;
}

static gboolean words_hold(const dp_when *n, const dp_route_facts *facts, char **found)
{
    const char *text = n->kind == NODE_GLOB ? facts->name : facts->folder;
    *found = text != NULL ? g_utf8_make_valid(text, -1) : g_strdup("missing");
    if (text == NULL)
        return FALSE;
    for (char **word = n->words; *word != NULL; word++)
        if (n->kind == NODE_GLOB ? dp_glob_matches(*word, *found)
                                 : came_through(text, *word))
            return TRUE;
    return FALSE;
}

static gboolean leaf_holds(const dp_when *n, const dp_route_facts *facts, char **found)
{
    return n->kind == NODE_FIELD        ? field_holds(n, facts, found)
           : n->kind == NODE_CHECKS     ? checks_hold(n, facts, found)
           : n->kind == NODE_CONFIDENCE ? confidence_holds(n, facts, found)
                                        : words_hold(n, facts, found);
}

/* "fields totals.gross_total gte 1000, lt 2000" */
static char *describe(const dp_when *n)
{
    g_autoptr(GString) out = g_string_new(n->label);
    for (guint i = 0; i < n->tests->len; i++) {
        const test *t = &g_array_index(n->tests, test, i);
        char *value = json_dumps(t->value, JSON_ENCODE_ANY | JSON_COMPACT |
                                               JSON_REAL_PRECISION(15));
        g_string_append_printf(out, "%s %s %s", i > 0 ? "," : "", op_names[t->op], value);
        free(value);
    }
    if (n->words != NULL) {
        g_autofree char *all = g_strjoinv(" or ", n->words);
        g_string_append_printf(out, " %s", all);
    }
    for (char **id = n->passed; id != NULL && *id != NULL; id++)
        g_string_append_printf(out, " %s passed", *id);
    for (char **id = n->failed; id != NULL && *id != NULL; id++)
        g_string_append_printf(out, " %s failed", *id);
    if (n->any_failed >= 0)
        g_string_append(out, n->any_failed ? " any failed" : " none failed");
    return g_strdup(out->str);
}

static gboolean group_holds(const dp_when *n, const dp_route_facts *facts, json_t *parts)
{
    gboolean is_any = n->kind == NODE_ANY, holds = !is_any;
    for (guint i = 0; i < n->children->len; i++) {
        gboolean is_one = dp_when_holds(n->children->pdata[i], facts, parts);
        holds = is_any ? holds || is_one : holds && is_one;
        if (parts == NULL && holds == is_any)
            break;
    }
    return n->kind == NODE_NOT ? !holds : holds;
}

gboolean dp_when_holds(const dp_when *n, const dp_route_facts *facts, json_t *trace)
{
    if (n->kind <= NODE_NOT) {
        json_t *parts = trace != NULL ? json_array() : NULL;
        gboolean holds = group_holds(n, facts, parts);
        if (trace != NULL)
            json_array_append_new(trace,
                                  json_pack("{s:s, s:b, s:o}", "condition", n->label,
                                            "holds", (int)holds, "parts", parts));
        return holds;
    }
    g_autofree char *found = NULL;
    gboolean holds = leaf_holds(n, facts, &found);
    if (trace != NULL) {
        g_autofree char *what = describe(n);
        json_array_append_new(trace, json_pack("{s:s, s:b, s:s}", "condition", what,
                                               "holds", (int)holds, "found", found));
    }
    return holds;
}

/*
 * fuzz_route.c - any bytes as a template with a value, or as routes.
 *
 * The first byte says which: 'T', a template up to the first newline, then the value of
 * every field it names, expanded as a path that must stay below its root; 'R', YAML that
 * is compiled, matched with a trace, and planned.
 */
#include "fuzz.h"

#include "route.h"

#include <stdlib.h>
#include <string.h>

static void check_path(const char *path)
{
    if (!g_utf8_validate(path, -1, NULL))
        abort();
    g_auto(GStrv) parts = g_strsplit(*path == '/' ? path + 1 : path, "/", -1);
    for (char **part = parts; *part != NULL; part++) {
        if (**part == '\0' || strcmp(*part, ".") == 0 || strcmp(*part, "..") == 0)
            abort();
        for (const char *c = *part; *c != '\0'; c++)
            if (g_ascii_iscntrl(*c))
                abort();
    }
}

static void expand(const char *text, const char *value, dp_template_kind kind)
{
    g_autoptr(dp_template) t = dp_template_new(text, kind, NULL);
    if (t == NULL)
        return;
    g_autofree char *valid = g_utf8_make_valid(value, -1);
    json_t *result =
        json_pack("{s:{s:s, s:{s:s}}}", "fields", "a", valid, "b", "c", valid);
    dp_route_facts facts = { .result = result, .name = value };
    g_autofree char *path = dp_template_expand(t, &facts, "unknown", NULL);
    if (path != NULL && kind != DP_TEMPLATE_LINE)
        check_path(path);
    if (path != NULL && kind == DP_TEMPLATE_NAME && strchr(path, '/') != NULL)
        abort();
    if (path != NULL && strchr(path, '\n') != NULL)
        abort();
    json_decref(result);
    g_autofree char *name = dp_name_safe(value);
    check_path(name);
    if (strlen(name) > DP_NAME_BYTES_MAX || strchr(name, '/') != NULL ||
        strchr(".-~", *name))
        abort();
    g_autofree char *numbered = dp_name_numbered(name, DP_CLASH_MAX);
    if (strlen(numbered) > DP_NAME_BYTES_MAX || !g_utf8_validate(numbered, -1, NULL))
        abort();
}

static void ignore(void *user, const char *pointer, gboolean at_key, const char *text)
{
}

static void route(const char *text, size_t bytes)
{
    json_t *node = dx_yaml_parse(text, bytes, "fuzz", NULL);
    g_autoptr(dp_routes) routes =
        node != NULL ? dp_routes_new(node, "/srv", ignore, NULL) : NULL;
    if (routes != NULL) {
        json_t *result = json_pack("{s:s, s:s, s:{s:s, s:s, s:[{s:s}]}}", "schema",
                                   "invoice", "status", "ok", "fields", "a", "1000.10",
                                   "d", "2026-02-28", "l", "n", "x");
        dp_route_facts facts = { .result = result, .name = "a.pdf", .folder = "/in" };
        json_t *trace = json_array();
        const dp_rule *rule = dp_routes_match(routes, &facts, trace);
        if (rule != dp_routes_match(routes, &facts, NULL))
            abort();
        json_t *plan = rule != NULL ? dp_routes_plan(routes, rule, &facts, NULL) : NULL;
        json_decref(plan);
        json_decref(trace);
        json_decref(result);
        json_decref(dp_routes_test(routes));
    }
    json_decref(node);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < 2)
        return 0;
    g_autofree char *text = g_strndup((const char *)data + 1, bytes - 1);
    if (*data == 'R') {
        route(text, strlen(text));
        return 0;
    }
    char *value = strchr(text, '\n');
    if (value != NULL)
        *value++ = '\0';
    for (dp_template_kind kind = DP_TEMPLATE_PATH; kind <= DP_TEMPLATE_LINE; kind++)
        expand(text, value != NULL ? value : "", kind);
    return 0;
}

/*
 * route_paths.c - the fields that conditions, templates and columns name.
 */
#include "route_paths.h"

#include "actions.h"

#include <string.h>

typedef struct walk {
    dp_report report;
    void *user;
} walk;

static void found(const walk *w, const char *at, gboolean at_key, const char *path)
{
    if (*path != '@')
        w->report(w->user, at, at_key, path);
}

static void walk_when(const walk *w, const json_t *when, const char *at);

/* One condition, or a list of them. */
static void walk_group(const walk *w, const json_t *group, const char *at)
{
    if (json_is_object(group))
        walk_when(w, group, at);
    gsize i;
    json_t *one;
    json_array_foreach(group, i, one) {
        g_autofree char *here = g_strdup_printf("%s/%zu", at, i);
        walk_when(w, one, here);
    }
}

static void walk_when(const walk *w, const json_t *when, const char *at)
{
    static const char *const groups[] = { "all", "any", "not" };
    for (gsize i = 0; i < G_N_ELEMENTS(groups); i++) {
        g_autofree char *here = g_strdup_printf("%s/%s", at, groups[i]);
        walk_group(w, json_object_get(when, groups[i]), here);
    }
    const char *path;
    json_t *test;
    json_object_foreach(json_object_get(when, "fields"), path, test) {
        g_autofree char *here = g_strdup_printf("%s/fields/%s", at, path);
        found(w, here, TRUE, path);
    }
}

static void on_action_path(void *user, const char *pointer, gboolean at_key,
                           const char *path)
{
    found(user, pointer, at_key, path);
}

/* A mapping with `when` (a rule only) and `do`. */
static void walk_rule(const walk *w, const json_t *rule, const char *at)
{
    g_autofree char *when = g_strconcat(at, "/when", NULL);
    walk_when(w, json_object_get(rule, "when"), when);
    gsize i;
    json_t *action;
    json_array_foreach(json_object_get(rule, "do"), i, action) {
        g_autofree char *here = g_strdup_printf("%s/do/%zu", at, i);
        dp_action_paths(action, here, on_action_path, (void *)w);
    }
}

void dp_route_paths(const json_t *routes, dp_report report, void *user)
{
    static const char *const ends[] = { "review", "failed", "otherwise" };
    walk w = { report, user };
    gsize i;
    json_t *rule;
    json_array_foreach(json_object_get(routes, "rules"), i, rule) {
        g_autofree char *at = g_strdup_printf("/rules/%zu", i);
        walk_rule(&w, rule, at);
    }
    for (i = 0; i < G_N_ELEMENTS(ends); i++) {
        g_autofree char *at = g_strconcat("/", ends[i], NULL);
        walk_rule(&w, json_object_get(routes, ends[i]), at);
    }
}

static gboolean is_number(const char *name)
{
    return *name != '\0' && strspn(name, "0123456789") == strlen(name);
}

gboolean dp_route_path_is_known(const char *path, GHashTable *known)
{
    g_autoptr(GString) shape = g_string_new(NULL);
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    for (char **name = names; *name != NULL; name++) {
        if (is_number(*name) && shape->len > 0)
            g_string_append(shape, "[]");
        else
            g_string_append_printf(shape, "%s%s", shape->len > 0 ? "." : "", *name);
    }
    return g_hash_table_contains(known, shape->str);
}

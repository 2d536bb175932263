/*
 * route_facts.c - values of a document by path.
 */
#include "route_facts.h"

#include <string.h>

static const char *const builtins[] = { "@file",   "@stem",     "@ext",    "@schema",
                                        "@class",  "@status",   "@doc_id", "@profile",
                                        "@folder", "@received", "@rule",   "@pages",
                                        NULL };

gboolean dp_is_leaf(const json_t *node)
{
    return json_is_object(node) && json_object_get(node, "value") != NULL &&
           (json_object_get(node, "source") != NULL ||
            json_object_get(node, "confidence") != NULL);
}

const json_t *dp_leaf_value(const json_t *leaf)
{
    return dp_is_leaf(leaf) ? json_object_get(leaf, "value") : leaf;
}

char *dp_leaf_text(const json_t *leaf)
{
    const json_t *value = dp_leaf_value(leaf);
    if (json_is_string(value))
        return g_strdup(json_string_value(value));
    if (json_is_boolean(value))
        return g_strdup(json_is_true(value) ? "true" : "false");
    if (json_is_integer(value))
        return g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    if (json_is_real(value)) {
        char text[G_ASCII_DTOSTR_BUF_SIZE];
        return g_strdup(g_ascii_dtostr(text, sizeof text, json_real_value(value)));
    }
    return NULL;
}

const char *dp_route_path_fault(const char *path)
{
    if (*path == '\0')
        return "a path is empty";
    if (strlen(path) > DP_PATH_BYTES_MAX)
        return "a path is longer than 256 bytes";
    if (*path == '@')
        return g_strv_contains(builtins, path)
                   ? NULL
                   : "there is no such fact; @file, @stem, @ext, @schema, @class, "
                     "@status, @doc_id, "
                     "@profile, @folder, @received, @rule, @pages";
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    if (g_strv_length(names) > DP_PATH_DEPTH_MAX)
        return "a path has more than 16 names";
    for (char **name = names; *name != NULL; name++) {
        if (g_str_has_suffix(*name, "[]"))
            (*name)[strlen(*name) - 2] = '\0';
        if (**name == '\0')
            return "a name in a path is empty";
        for (const char *c = *name; *c != '\0'; c++)
            if (g_ascii_iscntrl(*c) || strchr("{}|:[]@", *c) != NULL)
                return "a path has a character that no field name has";
    }
    return NULL;
}

static void take_node(GPtrArray *found, const json_t *node)
{
    if (!json_is_null(dp_leaf_value(node)) && found->len < DP_PATH_VALUES_MAX)
        g_ptr_array_add(found, json_incref((json_t *)node));
}

/* One name of the path: from every node to the child of that name. */
static GPtrArray *step(GPtrArray *from, const char *name, gboolean is_each)
{
    GPtrArray *to = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    char *end;
    guint64 index = g_ascii_strtoull(name, &end, 10);
    gboolean is_index = *end == '\0' && g_ascii_isdigit(*name);
    for (guint i = 0; i < from->len; i++) {
        const json_t *node = from->pdata[i];
        const json_t *child = json_is_array(node) && is_index
                                  ? json_array_get(node, (size_t)index)
                                  : json_object_get(node, name);
        if (child == NULL)
            continue;
        gsize k;
        json_t *element;
        if (is_each) {
            json_array_foreach(child, k, element)
                take_node(to, element);
        } else {
            take_node(to, child);
        }
    }
    return to;
}

static GPtrArray *find_field(const json_t *fields, const char *path)
{
    GPtrArray *nodes = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    if (fields != NULL)
        take_node(nodes, fields);
    g_auto(GStrv) names = g_strsplit(path, ".", -1);
    for (char **name = names; *name != NULL && nodes->len > 0; name++) {
        gboolean is_each = g_str_has_suffix(*name, "[]");
        if (is_each)
            (*name)[strlen(*name) - 2] = '\0';
        GPtrArray *next = step(nodes, *name, is_each);
        g_ptr_array_unref(nodes);
        nodes = next;
    }
    return nodes;
}

static json_t *received_date(gint64 seconds)
{
    if (seconds <= 0)
        return NULL;
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(seconds);
    g_autofree char *text = time != NULL ? g_date_time_format(time, "%Y-%m-%d") : NULL;
    return text != NULL ? json_string(text) : NULL;
}

static json_t *name_part(const char *name, const char *which)
{
    if (name == NULL)
        return NULL;
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    const char *point = strrchr(valid, '.');
    if (point == valid)
        point = NULL;
    if (strcmp(which, "@file") == 0)
        return json_string(valid);
    if (strcmp(which, "@ext") == 0)
        return point != NULL && point[1] != '\0' ? json_string(point + 1) : NULL;
    return point != NULL ? json_stringn(valid, (size_t)(point - valid))
                         : json_string(valid);
}

static json_t *text_or_null(const char *text)
{
    if (text == NULL)
        return NULL;
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_string(valid);
}

static json_t *builtin(const dp_route_facts *facts, const char *path)
{
    const json_t *result = facts->result;
    if (strcmp(path, "@file") == 0 || strcmp(path, "@stem") == 0 ||
        strcmp(path, "@ext") == 0)
        return name_part(facts->name, path);
    if (strcmp(path, "@received") == 0)
        return received_date(facts->received);
    if (strcmp(path, "@rule") == 0)
        return text_or_null(facts->rule);
    if (strcmp(path, "@profile") == 0)
        return text_or_null(facts->profile);
    if (strcmp(path, "@folder") == 0)
        return text_or_null(facts->folder);
    if (strcmp(path, "@class") == 0)
        return json_incref(json_object_get(json_object_get(result, "class"), "label"));
    if (strcmp(path, "@pages") == 0)
        return json_incref(json_object_get(json_object_get(result, "timing"), "pages"));
    return json_incref(json_object_get(result, path + 1)); /* schema, status, doc_id */
}

GPtrArray *dp_route_find(const dp_route_facts *facts, const char *path)
{
    if (*path != '@')
        return find_field(json_object_get(facts->result, "fields"), path);
    GPtrArray *found = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    json_t *value = builtin(facts, path);
    if (value != NULL && !json_is_null(value))
        g_ptr_array_add(found, value);
    else
        json_decref(value);
    return found;
}

char *dp_route_text(const dp_route_facts *facts, const char *path)
{
    g_autoptr(GPtrArray) found = dp_route_find(facts, path);
    for (guint i = 0; i < found->len; i++) {
        char *text = dp_leaf_text(found->pdata[i]);
        if (text != NULL && *text != '\0')
            return text;
        g_free(text);
    }
    return NULL;
}

double dp_confidence_least(const json_t *node)
{
    double least = 1;
    if (dp_is_leaf(node)) {
        const json_t *c = json_object_get(node, "confidence");
        return json_is_number(c) && !json_is_null(json_object_get(node, "value"))
                   ? json_number_value(c)
                   : 1;
    }
    const char *key;
    json_t *child;
    gsize i;
    json_object_foreach((json_t *)node, key, child)
        least = MIN(least, dp_confidence_least(child));
    json_array_foreach(node, i, child)
        least = MIN(least, dp_confidence_least(child));
    return least;
}

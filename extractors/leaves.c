/*
 * leaves.c - what a schema asks, as flat lists of leaves, and the way back into the result tree.
 */
#include "extract.h"

#include <string.h>

static void clear_leaf(gpointer data)
{
    g_free(((dx_leaf *)data)->path);
}

void dx_list_free(gpointer data)
{
    dx_list_leaf *l = data;
    g_free(l->path);
    g_array_unref(l->leaves);
    g_clear_pointer(&l->columns, g_array_unref);
    g_free(l);
}

GArray *dx_leaves_new(void)
{
    GArray *leaves = g_array_new(FALSE, TRUE, sizeof(dx_leaf));
    g_array_set_clear_func(leaves, clear_leaf);
    return leaves;
}

static gboolean is_listed(const json_t *required, const char *key)
{
    gsize i;
    json_t *name;
    json_array_foreach((json_t *)required, i, name)
        if (strcmp(json_string_value(name), key) == 0)
            return TRUE;
    return FALSE;
}

static gboolean has_type(const json_t *node, const char *type)
{
    const json_t *t = json_object_get(node, "type");
    return json_is_string(t) ? strcmp(json_string_value(t), type) == 0
                             : is_listed(t, type);
}

typedef struct object { /* where the walk is */
    gboolean is_row;
    gboolean is_required; /* and every object around it */
} object;

/* Walk the properties; the depth is bounded by the schema reader's own limit. */
static void collect(dx_work *w, const json_t *node, const char *prefix, GArray *leaves,
                    object in)
{
    const json_t *properties = json_object_get(node, "properties");
    const json_t *required = json_object_get(node, "required");
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)properties, key, child) {
        g_autofree char *path =
            *prefix != '\0' ? g_strdup_printf("%s.%s", prefix, key) : g_strdup(key);
        object inner = { in.is_row, in.is_required && is_listed(required, key) };
        if (has_type(child, "object")) {
            collect(w, child, path, leaves, inner);
        } else if (has_type(child, "array")) {
            const json_t *items = json_object_get(child, "items");
            if (in.is_row || !has_type(items, "object"))
                continue;
            if (json_integer_value(json_object_get(child, "maxItems")) == 1) {
                /* a list of at most one row is asked with the single fields */
                g_autofree char *row = g_strconcat(path, ".0", NULL);
                collect(w, items, row, leaves, (object){ TRUE, FALSE });
                continue;
            }
            dx_list_leaf *l = g_new0(dx_list_leaf, 1);
            l->path = g_strdup(path);
            l->leaves = dx_leaves_new();
            collect(w, items, "", l->leaves, (object){ TRUE, TRUE });
            g_ptr_array_add(w->lists, l);
        } else {
            const char *ask = json_string_value(json_object_get(child, "x-ask"));
            const char *kind = json_string_value(json_object_get(child, "x-kind"));
            dx_leaf l = { .path = g_strdup(path),
                          .node = child,
                          .kind = DX_KIND_TEXT,
                          .is_required = inner.is_required };
            dx_kind known = kind != NULL ? dx_kind_from_name(kind) : DX_KIND_NONE;
            if (known != DX_KIND_NONE)
                l.kind = known;
            else if (kind != NULL && strstr(kind, "tax_number") != NULL)
                l.kind = DX_KIND_ID;
            l.ask = ask != NULL ? ask : key;
            gboolean is_derived = json_is_true(json_object_get(child, "x-derived"));
            if (is_derived && in.is_row) /* other code fills it in (form.c) */
                clear_leaf(&l);
            else
                g_array_append_val(is_derived ? w->derived : leaves, l);
        }
    }
}

void dx_collect(dx_work *w, const json_t *node, const char *prefix, GArray *leaves,
                gboolean is_row)
{
    collect(w, node, prefix, leaves, (object){ is_row, TRUE });
}

static json_t *branch(json_t *root, const char *path, char **last)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    json_t *at = root;
    guint n = g_strv_length(parts);
    for (guint i = 0; i + 1 < n; i++) {
        gboolean is_row = strcmp(parts[i + 1], "0") == 0;
        json_t *next =
            json_is_array(at) ? json_array_get(at, 0) : json_object_get(at, parts[i]);
        if (next == NULL && json_is_array(at)) {
            next = json_object();
            json_array_append_new(at, next);
        } else if (next == NULL) {
            next = is_row ? json_array() : json_object();
            json_object_set_new(at, parts[i], next);
        }
        at = next;
    }
    *last = g_strdup(parts[n - 1]);
    return at;
}

void dx_field_put(json_t *root, const char *path, json_t *value)
{
    g_autofree char *last = NULL;
    json_t *parent = branch(root, path, &last);
    json_object_set_new(parent, last, value);
}

json_t *dx_field_get(json_t *root, const char *path)
{
    g_autofree char *last = NULL;
    json_t *parent = branch(root, path, &last);
    return json_object_get(parent, last);
}

json_t *dx_null_leaf(void)
{
    return json_pack("{s:n, s:n, s:n, s:n, s:n, s:n}", "value", "raw", "source",
                     "confidence", "page", "bbox");
}

gboolean dx_is_null(const json_t *leaf_json)
{
    return leaf_json == NULL || json_is_null(json_object_get(leaf_json, "value"));
}

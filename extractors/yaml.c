/*
 * yaml.c - local YAML files as jansson trees, from libyaml's events.
 *
 * Only what a configuration file needs: nested brackets make libyaml slow, aliases make
 * small files large, tags ask for types; so depth is limited and the others are refused.
 */
#include "dx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { YAML_DEPTH_MAX = 32, YAML_BYTES_MAX = 1 << 20 };

struct dx_marks {
    GHashTable *table; /* JSON Pointer to dx_mark */
};

typedef struct frame {
    json_t *node;     /* borrowed from its parent, the root from `loader` */
    char *key;        /* of a mapping: waiting for its value */
    yaml_mark_t at;   /* of that key */
    gsize path_bytes; /* length of loader.path that names this node */
} frame;

typedef struct loader {
    const char *name;
    frame stack[YAML_DEPTH_MAX];
    guint depth;
    json_t *root;
    dx_marks *marks; /* NULL when nobody asked for them */
    GString *path;   /* JSON Pointer of the node that was added last, with marks only */
    GError **error;
} loader;

static gboolean refuse(loader *l, const yaml_mark_t *at, const char *text)
{
    g_set_error(l->error, DX_ERROR, DX_SCHEMA, "%s:%zu:%zu: %s", l->name, at->line + 1,
                at->column + 1, text);
    return FALSE;
}

static gboolean is_one_of(const char *s, const char *const *words)
{
    for (; *words != NULL; words++) {
        if (strcmp(s, *words) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Digits, a point and an exponent, as the YAML 1.2 core schema writes numbers. */
static gboolean is_number(const char *s, gboolean *is_real)
{
    *is_real = FALSE;
    s += *s == '-' || *s == '+';
    guint digits = 0;
    for (; g_ascii_isdigit(*s) || (*s == '.' && !*is_real); s++) {
        digits += *s != '.';
        *is_real |= *s == '.';
    }
    if (digits == 0)
        return FALSE;
    if (*s == 'e' || *s == 'E') {
        *is_real = TRUE;
        s++;
        s += *s == '-' || *s == '+';
        if (!g_ascii_isdigit(*s))
            return FALSE;
        while (g_ascii_isdigit(*s))
            s++;
    }
    return *s == '\0';
}

static json_t *plain_value(const char *s)
{
    static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
    static const char *const trues[] = { "true", "True", "TRUE", NULL };
    static const char *const falses[] = { "false", "False", "FALSE", NULL };
    gboolean is_real;
    if (is_one_of(s, nulls))
        return json_null();
    if (is_one_of(s, trues))
        return json_true();
    if (is_one_of(s, falses))
        return json_false();
    if (!is_number(s, &is_real))
        return json_string(s);
    if (!is_real) {
        errno = 0;
        long long v = strtoll(s, NULL, 10);
        if (errno == 0)
            return json_integer(v);
    }
    return json_real(g_ascii_strtod(s, NULL)); /* NULL when it is not finite */
}

static void append_escaped(GString *path, const char *key)
{
    for (; *key != '\0'; key++) {
        if (*key == '~')
            g_string_append(path, "~0");
        else if (*key == '/')
            g_string_append(path, "~1");
        else
            g_string_append_c(path, *key);
    }
}

/* Note where the value that comes now stands; before it enters its parent. */
static void note_place(loader *l, const yaml_event_t *e)
{
    if (l->marks == NULL)
        return;
    yaml_mark_t key = e->start_mark;
    if (l->depth > 0) {
        const frame *top = &l->stack[l->depth - 1];
        g_string_truncate(l->path, top->path_bytes);
        g_string_append_c(l->path, '/');
        if (json_is_array(top->node)) {
            g_string_append_printf(l->path, "%zu", json_array_size(top->node));
        } else if (top->key != NULL) {
            append_escaped(l->path, top->key);
            key = top->at;
        }
    }
    dx_mark *mark = g_new(dx_mark, 1);
    *mark = (dx_mark){ (guint)e->start_mark.line + 1, (guint)e->start_mark.column + 1,
                       (guint)key.line + 1, (guint)key.column + 1 };
    g_hash_table_replace(l->marks->table, g_strdup(l->path->str), mark);
}

/* Put a value where the document is; takes it. */
static gboolean add_value(loader *l, const yaml_event_t *e, json_t *value)
{
    if (value == NULL)
        return refuse(l, &e->start_mark,
                      "a value is not UTF-8, has a NUL or is too large");
    note_place(l, e);
    if (l->depth == 0) {
        l->root = value;
        return TRUE;
    }
    frame *top = &l->stack[l->depth - 1];
    if (json_is_array(top->node))
        return json_array_append_new(top->node, value) == 0;
    if (top->key == NULL) {
        json_decref(value);
        return refuse(l, &e->start_mark, "a key must be a plain text");
    }
    gboolean is_good = json_object_set_new(top->node, top->key, value) == 0;
    g_clear_pointer(&top->key, g_free);
    return is_good;
}

static gboolean add_scalar(loader *l, const yaml_event_t *e)
{
    const char *text = (const char *)e->data.scalar.value;
    gsize bytes = e->data.scalar.length;
    if (strlen(text) != bytes)
        return refuse(l, &e->start_mark, "a value has a NUL");
    frame *top = l->depth > 0 ? &l->stack[l->depth - 1] : NULL;
    if (top != NULL && json_is_object(top->node) && top->key == NULL) {
        if (json_object_get(top->node, text) != NULL) {
            g_autofree char *why = g_strdup_printf("the key \"%s\" is there twice", text);
            return refuse(l, &e->start_mark, why);
        }
        top->key = g_strdup(text);
        top->at = e->start_mark;
        return TRUE;
    }
    gboolean is_plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return add_value(l, e, is_plain ? plain_value(text) : json_string(text));
}

static gboolean open_node(loader *l, const yaml_event_t *e, json_t *node)
{
    if (l->depth >= YAML_DEPTH_MAX) {
        json_decref(node);
        return refuse(l, &e->start_mark, "nested too deeply (limit 32)");
    }
    if (!add_value(l, e, node))
        return FALSE;
    l->stack[l->depth++] =
        (frame){ .node = node, .path_bytes = l->path != NULL ? l->path->len : 0 };
    return TRUE;
}

/* Anchors and tags; the events have them in different places. */
static const char *forbidden(const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (e->type == YAML_ALIAS_EVENT)
        return "aliases are not supported";
    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    }
    return anchor != NULL ? "anchors are not supported"
           : tag != NULL  ? "tags are not supported"
                          : NULL;
}

static gboolean take(loader *l, const yaml_event_t *e)
{
    const char *why = forbidden(e);
    if (why != NULL)
        return refuse(l, &e->start_mark, why);
    switch (e->type) {
    case YAML_DOCUMENT_START_EVENT:
        return l->root == NULL ||
               refuse(l, &e->start_mark, "a second document is not supported");
    case YAML_SCALAR_EVENT:
        return add_scalar(l, e);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(l, e, json_array());
    case YAML_MAPPING_START_EVENT:
        return open_node(l, e, json_object());
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        l->depth--;
        return TRUE;
    default:
        return TRUE;
    }
}

static json_t *load(loader *l, const char *text, gsize bytes)
{
    yaml_parser_t parser;
    if (bytes > YAML_BYTES_MAX) {
        g_set_error(l->error, DX_ERROR, DX_LIMIT, "%s: %zu bytes, limit %d", l->name,
                    bytes, YAML_BYTES_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&parser)) {
        g_set_error(l->error, DX_ERROR, DX_LIMIT, "%s: no memory for a parser", l->name);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    gboolean is_good = TRUE, is_over = FALSE;
    while (is_good && !is_over) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            is_good = refuse(l, &parser.problem_mark,
                             parser.problem != NULL ? parser.problem : "cannot be read");
            break;
        }
        is_over = e.type == YAML_STREAM_END_EVENT;
        is_good = take(l, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    for (guint i = 0; i < YAML_DEPTH_MAX; i++)
        g_free(l->stack[i].key);
    if (is_good && l->root == NULL)
        g_set_error(l->error, DX_ERROR, DX_SCHEMA, "%s: is empty", l->name);
    if (!is_good && l->root != NULL)
        json_decref(l->root);
    return is_good ? l->root : NULL;
}

json_t *dx_yaml_parse(const char *text, gsize bytes, const char *name, GError **error)
{
    loader l = { .name = name, .error = error };
    return load(&l, text, bytes);
}

json_t *dx_yaml_parse_marks(const char *text, gsize bytes, const char *name,
                            dx_marks **marks, GError **error)
{
    g_autoptr(dx_marks) taken = g_new0(dx_marks, 1);
    taken->table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autoptr(GString) path = g_string_new(NULL);
    loader l = { .name = name, .error = error, .marks = taken, .path = path };
    json_t *root = load(&l, text, bytes);
    if (root != NULL)
        *marks = g_steal_pointer(&taken);
    return root;
}

gboolean dx_marks_find(const dx_marks *marks, const char *pointer, dx_mark *mark)
{
    const dx_mark *found = g_hash_table_lookup(marks->table, pointer);
    if (found == NULL)
        return FALSE;
    *mark = *found;
    return TRUE;
}

void dx_marks_free(dx_marks *marks)
{
    if (marks == NULL)
        return;
    g_hash_table_unref(marks->table);
    g_free(marks);
}

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

typedef struct frame {
    json_t *node; /* borrowed from its parent, the root from `loader` */
    char *key;    /* of a mapping: waiting for its value */
} frame;

typedef struct loader {
    const char *name;
    frame stack[YAML_DEPTH_MAX];
    guint depth;
    json_t *root;
    GError **error;
} loader;

static gboolean refuse(loader *l, const yaml_mark_t *at, const char *text)
{
    g_set_error(l->error, DX_ERROR, DX_SCHEMA, "%s: line %zu, column %zu: %s", l->name,
                at->line + 1, at->column + 1, text);
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

/* Put a value where the document is; takes it. */
static gboolean add_value(loader *l, const yaml_event_t *e, json_t *value)
{
    if (value == NULL)
        return refuse(l, &e->start_mark, "a value is not UTF-8, has a NUL or is too large");
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
    l->stack[l->depth++] = (frame){ node, NULL };
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

json_t *dx_yaml_parse(const char *text, gsize bytes, const char *name, GError **error)
{
    loader l = { .name = name, .error = error };
    yaml_parser_t parser;
    if (bytes > YAML_BYTES_MAX) {
        g_set_error(error, DX_ERROR, DX_LIMIT, "%s: %zu bytes, limit %d", name, bytes,
                    YAML_BYTES_MAX);
        return NULL;
    }
    if (!yaml_parser_initialize(&parser)) {
        g_set_error(error, DX_ERROR, DX_LIMIT, "%s: no memory for a parser", name);
        return NULL;
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    gboolean is_good = TRUE, is_over = FALSE;
    while (is_good && !is_over) {
        yaml_event_t e;
        if (!yaml_parser_parse(&parser, &e)) {
            is_good = refuse(&l, &parser.problem_mark,
                             parser.problem != NULL ? parser.problem : "cannot be read");
            break;
        }
        is_over = e.type == YAML_STREAM_END_EVENT;
        is_good = take(&l, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    for (guint i = 0; i < YAML_DEPTH_MAX; i++)
        g_free(l.stack[i].key);
    if (is_good && l.root == NULL)
        g_set_error(error, DX_ERROR, DX_SCHEMA, "%s: is empty", name);
    if (!is_good && l.root != NULL)
        json_decref(l.root);
    return is_good ? l.root : NULL;
}

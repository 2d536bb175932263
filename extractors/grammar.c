/*
 * grammar.c - a JSON Schema as a program for the matcher: compact JSON, properties in the
 * order of the schema.
 *
 * Whatever constrains a value is written into the program or refused with its JSON
 * Pointer; nothing is left to be checked afterwards.  A program never has a dead end:
 * what can be begun can be finished.
 */
#include "compile.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

enum {
    T_NULL = 1,
    T_BOOLEAN = 2,
    T_NUMBER = 4,
    T_INTEGER = 8,
    T_STRING = 16,
    T_ARRAY = 32,
    T_OBJECT = 64,
    T_NOTE = 128,
    T_OTHER = 256
};

static const struct {
    const char *name;
    int bit;
} types[] = {
    { "null", T_NULL },       { "boolean", T_BOOLEAN }, { "number", T_NUMBER },
    { "integer", T_INTEGER }, { "string", T_STRING },   { "array", T_ARRAY },
    { "object", T_OBJECT },
};

/* Every keyword with the types it is about; T_NOTE says nothing about values. */
static const struct {
    const char *name;
    int types;
} keywords[] = {
    { "type", T_OTHER },
    { "enum", T_OTHER },
    { "const", T_OTHER },
    { "anyOf", T_OTHER },
    { "oneOf", T_OTHER },
    { "$ref", T_OTHER },
    { "minLength", T_STRING },
    { "maxLength", T_STRING },
    { "pattern", T_STRING },
    { "format", T_STRING },
    { "minimum", T_NUMBER | T_INTEGER },
    { "maximum", T_NUMBER | T_INTEGER },
    { "exclusiveMinimum", T_NUMBER | T_INTEGER },
    { "exclusiveMaximum", T_NUMBER | T_INTEGER },
    { "multipleOf", T_NUMBER | T_INTEGER },
    { "items", T_ARRAY },
    { "prefixItems", T_ARRAY },
    { "minItems", T_ARRAY },
    { "maxItems", T_ARRAY },
    { "properties", T_OBJECT },
    { "required", T_OBJECT },
    { "additionalProperties", T_OBJECT },
    { "$schema", T_NOTE },
    { "$id", T_NOTE },
    { "$comment", T_NOTE },
    { "$defs", T_NOTE },
    { "title", T_NOTE },
    { "description", T_NOTE },
    { "default", T_NOTE },
    { "examples", T_NOTE },
    { "deprecated", T_NOTE },
    { "readOnly", T_NOTE },
    { "writeOnly", T_NOTE },
};

static gboolean compile_value(dx_compiler *c, const json_t *schema);

/* ---- errors and instructions ---------------------------------------------------- */

gboolean dx_compile_fail(dx_compiler *c, const char *key, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(c->error, DX_ERROR, DX_SCHEMA, "%s%s%s: %s", c->at->str,
                key != NULL       ? "/"
                : c->at->len == 0 ? "/"
                                  : "",
                key != NULL ? key : "", text);
    return FALSE;
}

gboolean dx_compile_op(dx_compiler *c, dx_op op)
{
    if (c->grammar->ops->len >= DX_GRAMMAR_OPS_MAX)
        return dx_compile_fail(c, NULL,
                               "the schema is too large written out (limit %d "
                               "instructions)",
                               DX_GRAMMAR_OPS_MAX);
    g_array_append_val(c->grammar->ops, op);
    return TRUE;
}

static uint32_t here(const dx_compiler *c)
{
    return c->grammar->ops->len;
}

static dx_op *op_at(dx_compiler *c, uint32_t at)
{
    return &g_array_index(c->grammar->ops, dx_op, at);
}

gboolean dx_compile_text(dx_compiler *c, const char *text, gsize bytes)
{
    assert(bytes > 0);
    if (bytes > DX_GRAMMAR_TEXT_MAX - c->grammar->pool->len)
        return dx_compile_fail(c, NULL,
                               "keys and constants are too long written out "
                               "(limit %d bytes)",
                               DX_GRAMMAR_TEXT_MAX);
    dx_op op = { .kind = OP_LIT, .x = c->grammar->pool->len, .y = (uint32_t)bytes };
    g_byte_array_append(c->grammar->pool, (const guint8 *)text, (guint)bytes);
    return dx_compile_op(c, op);
}

static gboolean compile_json(dx_compiler *c, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    if (text == NULL)
        return dx_compile_fail(c, NULL, "a value cannot be written as JSON");
    gboolean is_good = dx_compile_text(c, text, strlen(text));
    free(text);
    return is_good;
}

gboolean dx_compile_count(dx_compiler *c, const json_t *schema, const char *key,
                          uint32_t limit, uint32_t *value)
{
    const json_t *v = json_object_get(schema, key);
    if (v == NULL)
        return TRUE;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > limit)
        return dx_compile_fail(c, key, "must be a whole number from 0 to %u", limit);
    *value = (uint32_t)json_integer_value(v);
    return TRUE;
}

/* Add a step to a JSON Pointer; returns the old length for g_string_truncate(). */
static gsize enter(GString *pointer, const char *key)
{
    gsize old = pointer->len;
    g_string_append_c(pointer, '/');
    for (; *key != '\0'; key++) {
        if (*key == '~' || *key == '/')
            g_string_append(pointer, *key == '~' ? "~0" : "~1");
        else
            g_string_append_c(pointer, *key);
    }
    return old;
}

static gsize enter_index(GString *pointer, size_t index)
{
    gsize old = pointer->len;
    g_string_append_printf(pointer, "/%zu", index);
    return old;
}

/* ---- choices: one part after the other, FORK before each but the last ---------------- */

typedef struct choice {
    uint32_t fork;
    GArray *jumps; /* to patch to the end */
} choice;

static gboolean choice_add(dx_compiler *c, choice *ch, gboolean is_last)
{
    if (ch->jumps == NULL) {
        ch->jumps = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    } else {
        uint32_t jump = here(c);
        g_array_append_val(ch->jumps, jump);
        if (!dx_compile_op(c, (dx_op){ .kind = OP_JUMP }))
            return FALSE;
        op_at(c, ch->fork)->y = here(c);
    }
    ch->fork = here(c);
    return is_last || dx_compile_op(c, (dx_op){ .kind = OP_FORK, .x = here(c) + 1 });
}

static void choice_end(dx_compiler *c, choice *ch)
{
    for (guint i = 0; ch->jumps != NULL && i < ch->jumps->len; i++)
        op_at(c, g_array_index(ch->jumps, uint32_t, i))->x = here(c);
    if (ch->jumps != NULL)
        g_array_unref(ch->jumps);
}

/* ---- objects ----------------------------------------------------------------------- */

static gboolean is_required(const json_t *required, const char *key)
{
    size_t i;
    json_t *name;
    json_array_foreach((json_t *)required, i, name) {
        if (strcmp(json_string_value(name), key) == 0)
            return TRUE;
    }
    return FALSE;
}

static gboolean check_required(dx_compiler *c, const json_t *required,
                               const json_t *props)
{
    if (required == NULL)
        return TRUE;
    if (!json_is_array(required))
        return dx_compile_fail(c, "required", "must be a list of names");
    for (size_t i = 0; i < json_array_size(required); i++) {
        const json_t *name = json_array_get(required, i);
        g_autofree char *key = g_strdup_printf("required/%zu", i);
        if (!json_is_string(name))
            return dx_compile_fail(c, key, "must be a name");
        if (json_object_get(props, json_string_value(name)) == NULL)
            return dx_compile_fail(c, key, "\"%s\" is not among the properties",
                                   json_string_value(name));
    }
    return TRUE;
}

static gboolean compile_property(dx_compiler *c, const char *key, const json_t *schema,
                                 gboolean is_needed, uint8_t depth)
{
    uint32_t fork = here(c);
    if (!is_needed && !dx_compile_op(c, (dx_op){ .kind = OP_FORK, .x = fork + 1 }))
        return FALSE;
    json_t *name = json_string(key);
    gboolean is_good = dx_compile_op(c, (dx_op){ .kind = OP_COMMA, .depth = depth }) &&
                       compile_json(c, name) && dx_compile_text(c, ":", 1);
    json_decref(name);
    gsize at = enter(c->at, key), path = enter(c->path, key);
    is_good = is_good && compile_value(c, schema);
    g_string_truncate(c->at, at);
    g_string_truncate(c->path, path);
    if (!is_needed)
        op_at(c, fork)->y = here(c);
    return is_good;
}

static gboolean compile_object(dx_compiler *c, const json_t *schema)
{
    json_t *props = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    const json_t *more = json_object_get(schema, "additionalProperties");
    if (!json_is_object(props))
        return dx_compile_fail(c, props != NULL ? "properties" : NULL,
                               "an object needs its properties");
    if (more != NULL && !json_is_boolean(more) && !json_is_object(more))
        return dx_compile_fail(c, "additionalProperties",
                               "must be a schema or a boolean");
    if (!check_required(c, required, props))
        return FALSE;
    uint8_t depth = (uint8_t)c->objects++;
    assert(depth < 32);
    gboolean is_good = dx_compile_op(c, (dx_op){ .kind = OP_OBJECT, .depth = depth }) &&
                       dx_compile_text(c, "{", 1);
    gsize at = enter(c->at, "properties");
    const char *key;
    json_t *value;
    json_object_foreach(props, key, value) {
        is_good =
            is_good && compile_property(c, key, value, is_required(required, key), depth);
    }
    g_string_truncate(c->at, at);
    c->objects--;
    /* Forgetting the mark lets states that differ in nothing else become one. */
    return is_good && dx_compile_op(c, (dx_op){ .kind = OP_OBJECT, .depth = depth }) &&
           dx_compile_text(c, "}", 1);
}

/* ---- lists ------------------------------------------------------------------------- */

typedef struct list {
    const json_t *prefix, *items;
    uint32_t min, max;
    uint8_t depth;
    choice ends; /* jumps to the end of the list */
} list;

static gboolean read_list(dx_compiler *c, const json_t *schema, list *l)
{
    l->prefix = json_object_get(schema, "prefixItems");
    l->items = json_object_get(schema, "items");
    l->max = DX_ITEMS_MAX;
    if (!dx_compile_count(c, schema, "minItems", DX_ITEMS_LIMIT, &l->min))
        return FALSE;
    l->max = MAX(l->max, l->min);
    if (!dx_compile_count(c, schema, "maxItems", DX_ITEMS_LIMIT, &l->max))
        return FALSE;
    if (l->prefix != NULL && !json_is_array(l->prefix))
        return dx_compile_fail(c, "prefixItems", "must be a list of schemas");
    if (l->items == NULL && l->prefix == NULL)
        return dx_compile_fail(c, NULL, "an array needs items or prefixItems");
    if (json_is_false(l->items) || l->items == NULL) {
        l->items = NULL;
        l->max = MIN(l->max, (uint32_t)json_array_size(l->prefix));
    }
    if (l->min > l->max)
        return dx_compile_fail(c, "minItems", "%u is more than the list can have (%u)",
                               l->min, l->max);
    if (c->lists >= DX_GRAMMAR_LISTS_MAX)
        return dx_compile_fail(c, NULL, "lists are nested too deeply (limit %d)",
                               DX_GRAMMAR_LISTS_MAX);
    return TRUE;
}

/* A way out of the list here, when it may end after `n` items. */
static gboolean may_end(dx_compiler *c, list *l, uint32_t n)
{
    if (n < l->min)
        return TRUE;
    uint32_t fork = here(c);
    g_array_append_val(l->ends.jumps, fork);
    return dx_compile_op(c, (dx_op){ .kind = OP_FORK, .y = fork + 1 });
}

static gboolean compile_prefix(dx_compiler *c, list *l, uint32_t *count)
{
    size_t n = json_array_size(l->prefix);
    gsize at = enter(c->at, "prefixItems");
    gboolean is_good = TRUE;
    for (size_t i = 0; i < n && i < l->max && is_good; i++) {
        is_good = may_end(c, l, (uint32_t)i) && (i == 0 || dx_compile_text(c, ",", 1));
        gsize at_item = enter_index(c->at, i), path = enter_index(c->path, i);
        is_good = is_good && compile_value(c, json_array_get(l->prefix, i)) &&
                  dx_compile_op(c, (dx_op){ .kind = OP_ITEM, .depth = l->depth });
        g_string_truncate(c->at, at_item);
        g_string_truncate(c->path, path);
        (*count)++;
    }
    g_string_truncate(c->at, at);
    return is_good;
}

/* Items after the prefix: [way out] [","] body: item, count, then more or the end. */
static gboolean compile_items(dx_compiler *c, list *l, uint32_t count)
{
    if (count >= l->max || l->items == NULL)
        return TRUE;
    if (!may_end(c, l, count) || (count > 0 && !dx_compile_text(c, ",", 1)))
        return FALSE;
    uint32_t body = here(c);
    gsize at = enter(c->at, "items"), path = c->path->len;
    g_string_append_printf(c->path, "/~2%u", l->depth);
    gboolean is_good = compile_value(c, l->items);
    g_string_truncate(c->at, at);
    g_string_truncate(c->path, path);
    if (!is_good || !dx_compile_op(c, (dx_op){ .kind = OP_ITEM, .depth = l->depth }))
        return FALSE;
    uint32_t pick = here(c);
    dx_op choose = { .kind = OP_CHOICE,
                     .depth = l->depth,
                     .min = l->min,
                     .max = l->max,
                     .x = pick + 1,
                     .y = pick + 3 };
    return dx_compile_op(c, choose) && dx_compile_text(c, ",", 1) &&
           dx_compile_op(c, (dx_op){ .kind = OP_JUMP, .x = body });
}

static gboolean compile_array(dx_compiler *c, const json_t *schema)
{
    list l = { 0 };
    if (!read_list(c, schema, &l))
        return FALSE;
    l.depth = (uint8_t)c->lists++;
    l.ends.jumps = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    uint32_t count = 0;
    gboolean is_good = dx_compile_op(c, (dx_op){ .kind = OP_LIST, .depth = l.depth }) &&
                       dx_compile_text(c, "[", 1) && compile_prefix(c, &l, &count) &&
                       compile_items(c, &l, count);
    choice_end(c, &l.ends);
    c->lists--;
    return is_good && dx_compile_op(c, (dx_op){ .kind = OP_LIST, .depth = l.depth }) &&
           dx_compile_text(c, "]", 1);
}

/* ---- keywords ------------------------------------------------------------------------ */

static gboolean read_types(dx_compiler *c, const json_t *type, int *set)
{
    size_t n = json_is_array(type) ? json_array_size(type) : 1;
    *set = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(type) ? json_array_get(type, i) : type;
        int bit = 0;
        for (gsize k = 0; k < G_N_ELEMENTS(types) && json_is_string(one); k++) {
            if (strcmp(json_string_value(one), types[k].name) == 0)
                bit = types[k].bit;
        }
        if (bit == 0)
            return dx_compile_fail(c, "type",
                                   "is not null, boolean, integer, number, "
                                   "string, array, object or a list of them");
        *set |= bit;
    }
    if (*set == 0)
        return dx_compile_fail(c, "type", "is an empty list");
    return TRUE;
}

/* Types by what is said about them, when there is no "type". */
static int guess_types(const json_t *schema)
{
    if (json_object_get(schema, "properties") != NULL)
        return T_OBJECT;
    if (json_object_get(schema, "items") != NULL ||
        json_object_get(schema, "prefixItems") != NULL)
        return T_ARRAY;
    return json_object_get(schema, "x-copy") != NULL ? T_STRING | T_NULL : 0;
}

static int keyword_types(const char *key)
{
    if (g_str_has_prefix(key, "x-"))
        return T_NOTE;
    for (gsize i = 0; i < G_N_ELEMENTS(keywords); i++) {
        if (strcmp(key, keywords[i].name) == 0)
            return keywords[i].types;
    }
    return 0;
}

/* Every keyword must be known and have an effect; `lone`, when there is one, must be the
 * only one that says something about values ("type" may stand beside enum and const). */
static gboolean check_keywords(dx_compiler *c, const json_t *schema, int set,
                               const char *lone, gboolean with_type)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)schema, key, value) {
        int about = keyword_types(key);
        if (about == 0 && json_is_false(value) && strcmp(key, "uniqueItems") == 0)
            continue;
        g_autoptr(GString) step = g_string_new(NULL);
        enter(step, key);
        if (about == 0)
            return dx_compile_fail(c, step->str + 1, "this keyword cannot be enforced");
        if (about == T_NOTE || (lone != NULL && strcmp(key, lone) == 0) ||
            (with_type && strcmp(key, "type") == 0))
            continue;
        if (lone != NULL)
            return dx_compile_fail(c, key, "cannot be enforced together with %s", lone);
        if (about != T_OTHER && (about & set) == 0)
            return dx_compile_fail(c, key, "has no effect on this type");
    }
    return TRUE;
}

static int type_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return T_OBJECT;
    case JSON_ARRAY:
        return T_ARRAY;
    case JSON_STRING:
        return T_STRING;
    case JSON_INTEGER:
        return T_INTEGER | T_NUMBER;
    case JSON_REAL:
        return T_NUMBER;
    case JSON_NULL:
        return T_NULL;
    default:
        return T_BOOLEAN;
    }
}

static gboolean compile_enum(dx_compiler *c, const json_t *schema, const char *key)
{
    int set = ~0;
    const json_t *type = json_object_get(schema, "type");
    if (!check_keywords(c, schema, 0, key, TRUE) ||
        (type != NULL && !read_types(c, type, &set)))
        return FALSE;
    const json_t *given = json_object_get(schema, key);
    g_autoptr(GPtrArray) values = g_ptr_array_new();
    gboolean is_enum = strcmp(key, "enum") == 0;
    if (is_enum && !json_is_array(given))
        return dx_compile_fail(c, key, "must be a list of values");
    for (size_t i = 0; i < (is_enum ? json_array_size(given) : 1); i++) {
        json_t *v = is_enum ? json_array_get(given, i) : (json_t *)given;
        if (type_of(v) & set)
            g_ptr_array_add(values, v);
    }
    if (values->len == 0)
        return dx_compile_fail(c, key, "no value fits the type");
    choice ch = { 0 };
    gboolean is_good = TRUE;
    for (guint i = 0; i < values->len && is_good; i++)
        is_good =
            choice_add(c, &ch, i + 1 == values->len) && compile_json(c, values->pdata[i]);
    choice_end(c, &ch);
    return is_good;
}

/* ---- anyOf, oneOf, $ref ---------------------------------------------------------------- */

/* The bytes that the part of the program at `at` can begin with. */
static void first_bytes(const dx_compiler *c, uint32_t at, guint8 seen[256])
{
    g_autoptr(GArray) pending = g_array_new(FALSE, FALSE, sizeof at);
    g_array_append_val(pending, at);
    while (pending->len > 0) {
        uint32_t pc = g_array_index(pending, uint32_t, pending->len - 1), next = pc + 1;
        g_array_set_size(pending, pending->len - 1);
        const dx_op *op = &g_array_index(c->grammar->ops, dx_op, pc);
        if (op->kind == OP_LIT) {
            seen[c->grammar->pool->data[op->x]] = 1;
        } else if (op->kind == OP_NUMBER) {
            for (const char *p = "-0123456789"; *p != '\0'; p++)
                seen[(guint8)*p] = 1;
        } else if (op->kind == OP_FORK) {
            g_array_append_val(pending, op->x);
            g_array_append_val(pending, op->y);
        } else {
            next = op->kind == OP_JUMP ? op->x : next;
            g_array_append_val(pending, next);
        }
    }
}

static gboolean compile_parts(dx_compiler *c, const json_t *schema, const char *key)
{
    const json_t *parts = json_object_get(schema, key);
    size_t n = json_array_size(parts);
    gboolean is_good = check_keywords(c, schema, 0, key, FALSE);
    if (is_good && (!json_is_array(parts) || n == 0))
        return dx_compile_fail(c, key, "must be a list of schemas");
    guint8 taken[256] = { 0 };
    gboolean is_exclusive = strcmp(key, "oneOf") == 0;
    choice ch = { 0 };
    for (size_t i = 0; i < n && is_good; i++) {
        is_good = choice_add(c, &ch, i + 1 == n);
        uint32_t entry = here(c);
        gsize at = enter(c->at, key);
        enter_index(c->at, i);
        is_good = is_good && compile_value(c, json_array_get(parts, i));
        guint8 mine[256] = { 0 };
        if (is_good && is_exclusive)
            first_bytes(c, entry, mine);
        for (int b = 0; b < 256 && is_good; b++) {
            if (mine[b] && taken[b])
                is_good = dx_compile_fail(c, NULL,
                                          "begins like an earlier part of oneOf "
                                          "(with '%c'); use anyOf",
                                          b);
            taken[b] |= mine[b];
        }
        g_string_truncate(c->at, at);
    }
    choice_end(c, &ch);
    return is_good;
}

static gboolean compile_ref(dx_compiler *c, const json_t *schema)
{
    const json_t *ref = json_object_get(schema, "$ref");
    if (!check_keywords(c, schema, 0, "$ref", FALSE))
        return FALSE;
    if (!json_is_string(ref))
        return dx_compile_fail(c, "$ref", "must be a string");
    const json_t *target = dx_schema_resolve(c->root, json_string_value(ref));
    if (target == NULL)
        return dx_compile_fail(c, "$ref", "%s is not in this schema",
                               json_string_value(ref));
    if (g_ptr_array_find(c->refs, target, NULL))
        return dx_compile_fail(c, "$ref", "%s contains itself", json_string_value(ref));
    g_ptr_array_add(c->refs, (gpointer)target);
    g_autofree char *outer = g_strdup(c->at->str);
    g_string_assign(c->at, json_string_value(ref) + 1);
    gboolean is_good = compile_value(c, target);
    if (is_good)
        g_string_assign(c->at, outer);
    g_ptr_array_set_size(c->refs, (gint)c->refs->len - 1);
    return is_good;
}

/* ---- values ---------------------------------------------------------------------------- */

static gboolean compile_copy(dx_compiler *c, const json_t *schema, int set)
{
    static const char *const lengths[] = { "minLength", "maxLength", "pattern",
                                           "format" };
    const json_t *kind = json_object_get(schema, "x-copy");
    if (!json_is_true(kind) && !json_is_string(kind))
        return dx_compile_fail(c, "x-copy", "must be true, false or a name");
    if (!(set & T_STRING) || (set & ~(T_STRING | T_NULL)))
        return dx_compile_fail(c, "x-copy", "is for strings");
    for (gsize i = 0; i < G_N_ELEMENTS(lengths); i++) {
        if (json_object_get(schema, lengths[i]) != NULL)
            return dx_compile_fail(c, lengths[i],
                                   "cannot be enforced together with x-copy");
    }
    dx_copy_rule rule = { g_strdup(json_string_value(kind)), g_strdup(c->path->str) };
    g_array_append_val(c->grammar->copies, rule);
    choice ch = { 0 };
    dx_op op = { .kind = OP_COPY, .x = c->grammar->copies->len - 1 };
    gboolean is_good = choice_add(c, &ch, FALSE) && dx_compile_text(c, "null", 4) &&
                       choice_add(c, &ch, TRUE) && dx_compile_text(c, "\"", 1) &&
                       dx_compile_op(c, op) && dx_compile_text(c, "\"", 1);
    choice_end(c, &ch);
    return is_good;
}

static gboolean compile_type(dx_compiler *c, const json_t *schema, int bit)
{
    switch (bit) {
    case T_NULL:
        return dx_compile_text(c, "null", 4);
    case T_NUMBER:
    case T_INTEGER:
        return dx_compile_number(c, schema, bit == T_INTEGER);
    case T_STRING:
        return dx_compile_string(c, schema);
    case T_ARRAY:
        return compile_array(c, schema);
    case T_OBJECT:
        return compile_object(c, schema);
    default:
        break;
    }
    choice ch = { 0 };
    gboolean is_good = choice_add(c, &ch, FALSE) && dx_compile_text(c, "true", 4) &&
                       choice_add(c, &ch, TRUE) && dx_compile_text(c, "false", 5);
    choice_end(c, &ch);
    return is_good;
}

static gboolean compile_types(dx_compiler *c, const json_t *schema)
{
    int set = guess_types(schema);
    const json_t *type = json_object_get(schema, "type");
    if (type != NULL && !read_types(c, type, &set))
        return FALSE;
    if (!check_keywords(c, schema, set, NULL, FALSE))
        return FALSE;
    if (set == 0)
        return dx_compile_fail(c, NULL,
                               "a value needs a type, enum, const, anyOf or $ref");
    const json_t *copy = json_object_get(schema, "x-copy");
    if (copy != NULL && !json_is_false(copy))
        return compile_copy(c, schema, set);
    if (set & T_NUMBER)
        set &= ~T_INTEGER;
    choice ch = { 0 };
    gboolean is_good = TRUE;
    for (int bit = 1; bit <= set && is_good; bit <<= 1) {
        if (set & bit)
            is_good = choice_add(c, &ch, bit * 2 > set) && compile_type(c, schema, bit);
    }
    choice_end(c, &ch);
    return is_good;
}

static gboolean compile_value(dx_compiler *c, const json_t *schema)
{
    static const char *const whole[] = { "$ref", "enum", "const", "anyOf", "oneOf" };
    if (!json_is_object(schema))
        return dx_compile_fail(c, NULL, "a schema must be an object");
    if (c->depth >= DX_GRAMMAR_DEPTH_MAX)
        return dx_compile_fail(c, NULL, "schemas are nested too deeply (limit %d)",
                               DX_GRAMMAR_DEPTH_MAX);
    c->depth++;
    gsize i = 0;
    while (i < G_N_ELEMENTS(whole) && json_object_get(schema, whole[i]) == NULL)
        i++;
    gboolean is_good = i == 0                    ? compile_ref(c, schema)
                       : i < 3                   ? compile_enum(c, schema, whole[i])
                       : i < G_N_ELEMENTS(whole) ? compile_parts(c, schema, whole[i])
                                                 : compile_types(c, schema);
    c->depth--;
    return is_good;
}

/* ---- public ----------------------------------------------------------------------------- */

dx_grammar *dx_grammar_compile(const json_t *schema, GError **error)
{
    dx_grammar *g = g_new0(dx_grammar, 1);
    g->refs = 1;
    g->ops = g_array_new(FALSE, TRUE, sizeof(dx_op));
    g->pool = g_byte_array_new();
    g->strings = g_array_new(FALSE, TRUE, sizeof(dx_string_rule));
    g->numbers = g_array_new(FALSE, TRUE, sizeof(dx_number_rule));
    g->copies = g_array_new(FALSE, TRUE, sizeof(dx_copy_rule));
    dx_compiler c = { .grammar = g, .root = schema, .error = error };
    c.at = g_string_new(NULL);
    c.path = g_string_new(NULL);
    c.refs = g_ptr_array_new();
    g_ptr_array_add(c.refs, (gpointer)schema);
    gboolean is_good =
        compile_value(&c, schema) && dx_compile_op(&c, (dx_op){ .kind = OP_END });
    g_string_free(c.at, TRUE);
    g_string_free(c.path, TRUE);
    g_ptr_array_unref(c.refs);
    if (is_good)
        return g;
    dx_grammar_unref(g);
    return NULL;
}

dx_grammar *dx_grammar_ref(dx_grammar *grammar)
{
    g_atomic_int_inc(&grammar->refs);
    return grammar;
}

void dx_grammar_unref(dx_grammar *g)
{
    if (g == NULL || !g_atomic_int_dec_and_test(&g->refs))
        return;
    for (guint i = 0; i < g->strings->len; i++) {
        dx_regex_free(g_array_index(g->strings, dx_string_rule, i).regex);
        g_free(g_array_index(g->strings, dx_string_rule, i).is_open);
    }
    for (guint i = 0; i < g->copies->len; i++) {
        g_free(g_array_index(g->copies, dx_copy_rule, i).name);
        g_free(g_array_index(g->copies, dx_copy_rule, i).path);
    }
    g_array_unref(g->ops);
    g_byte_array_unref(g->pool);
    g_array_unref(g->strings);
    g_array_unref(g->numbers);
    g_array_unref(g->copies);
    g_free(g);
}

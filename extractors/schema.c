/*
 * schema.c - a document type: loading, the short form by example, our own keywords.
 *
 * What a plain JSON Schema may say is decided in one place, by compiling it; this file
 * checks the x- keywords, which the compiler takes as notes.
 */
#include "grammar.h"

#include <string.h>

/* G_DEFINE_QUARK would keep it in a variable that threads write without a lock. */
GQuark dx_error_quark(void)
{
    return g_quark_from_static_string("dx_error");
}

enum { SCHEMA_BYTES_MAX = 1 << 20, SCHEMA_DEPTH_MAX = 32 };

struct dx_schema {
    gint refs;
    char *name, *version, *sha256;
    json_t *json;
};

static const char *const kinds[] = {
    "text",        "id",         "date",    "time",     "amount", "quantity",
    "percent",     "currency",   "country", "language", "iban",   "bic",
    "vat_id",      "tax_number", "gtin",    "gln",      "lei",    "iso11649",
    "creditor_id", "email",      "phone",   "url",      "bool",   "enum",
    "integer",     NULL,
};
static const char *const merges[] = { "append", "first", "last", "sum", "same", NULL };
static const char *const severities[] = { "error", "warn", NULL };

/* ---- our keywords ------------------------------------------------------------------- */

static const char *check_one_of(const json_t *v, const char *const *words)
{
    return json_is_string(v) && g_strv_contains(words, json_string_value(v))
               ? NULL
               : "is not a known word";
}

static const char *check_kind(const json_t *v)
{
    return check_one_of(v, kinds);
}

static const char *check_merge(const json_t *v)
{
    return check_one_of(v, merges);
}

static const char *check_text(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) > 0 ? NULL : "must be a text";
}

static const char *check_bool(const json_t *v)
{
    return json_is_boolean(v) ? NULL : "must be true or false";
}

static const char *check_copy(const json_t *v)
{
    return json_is_boolean(v) ? NULL : check_text(v);
}

static const char *check_labels(const json_t *v)
{
    if (!json_is_array(v))
        return "must be a list of texts";
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (check_text(json_array_get(v, i)) != NULL)
            return "must be a list of texts";
    }
    return NULL;
}

static const char *check_alias(const json_t *v)
{
    const char *key;
    json_t *value;
    if (!json_is_object(v))
        return "must be a mapping of service to name";
    json_object_foreach((json_t *)v, key, value) {
        if (!json_is_string(value))
            return "must be a mapping of service to name";
    }
    return NULL;
}

static const char *check_below(const json_t *v)
{
    return json_is_number(v) && json_number_value(v) >= 0 && json_number_value(v) <= 1
               ? NULL
               : "must be a number from 0 to 1";
}

static gboolean is_decimal(const char *s)
{
    return g_regex_match_simple("^[0-9]{1,12}(\\.[0-9]{1,6})?$", s,
                                G_REGEX_DOLLAR_ENDONLY, 0);
}

static const char *check_checks(const json_t *v)
{
    static const char *const members[] = { "id", "expr", "tolerance", "severity", NULL };
    if (!json_is_array(v))
        return "must be a list of {id, expr, tolerance, severity}";
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *check = json_array_get(v, i);
        const char *key;
        json_t *member;
        json_object_foreach((json_t *)check, key, member) {
            if (!g_strv_contains(members, key))
                return "a check has id, expr, tolerance and severity only";
        }
        const json_t *id = json_object_get(check, "id");
        const json_t *tolerance = json_object_get(check, "tolerance");
        if (check_text(id) != NULL || check_text(json_object_get(check, "expr")) != NULL)
            return "a check needs an id and an expr";
        if (tolerance != NULL &&
            (!json_is_string(tolerance) || !is_decimal(json_string_value(tolerance))))
            return "the tolerance of a check is a decimal in quotes, such as \"0.01\"";
        if (check_one_of(json_object_get(check, "severity"), severities) != NULL)
            return "the severity of a check is error or warn";
        if (!g_hash_table_add(seen, (gpointer)json_string_value(id)))
            return "two checks have the same id";
    }
    return NULL;
}

static const struct {
    const char *name;
    const char *(*check)(const json_t *value); /* NULL when good, else why not */
    gboolean is_root;                          /* only at the root */
} keywords[] = {
    { "x-kind", check_kind, FALSE },    { "x-labels", check_labels, FALSE },
    { "x-bt", check_text, FALSE },      { "x-alias", check_alias, FALSE },
    { "x-ask", check_text, FALSE },     { "x-copy", check_copy, FALSE },
    { "x-derived", check_bool, FALSE }, { "x-redact", check_bool, FALSE },
    { "x-merge", check_merge, FALSE },  { "x-review-below", check_below, FALSE },
    { "x-checks", check_checks, TRUE }, { "x-version", check_text, TRUE },
};

static guint edit_distance(const char *a, const char *b)
{
    guint row[64], n = (guint)MIN(strlen(b), G_N_ELEMENTS(row) - 1);
    for (guint k = 0; k <= n; k++)
        row[k] = k;
    for (guint i = 0; a[i] != '\0'; i++) {
        guint corner = row[0];
        row[0] = i + 1;
        for (guint k = 0; k < n; k++) {
            guint change = corner + (a[i] != b[k]);
            corner = row[k + 1];
            row[k + 1] = MIN(change, MIN(row[k], corner) + 1);
        }
    }
    return row[n];
}

static gboolean fail(GError **error, const GString *at, const char *key, const char *why)
{
    g_set_error(error, DX_ERROR, DX_SCHEMA, "%s/%s: %s", at->str, key, why);
    return FALSE;
}

static gboolean check_keyword(const char *key, const json_t *value, const GString *at,
                              GError **error)
{
    guint best = G_MAXUINT;
    const char *nearest = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(keywords); i++) {
        if (strcmp(key, keywords[i].name) == 0) {
            const char *why = keywords[i].check(value);
            if (why == NULL && keywords[i].is_root && at->len > 0)
                why = "belongs to the root of the schema";
            return why == NULL || fail(error, at, key, why);
        }
        guint far = strlen(key) < 60 ? edit_distance(key, keywords[i].name) : 60;
        if (far < best) {
            best = far;
            nearest = keywords[i].name;
        }
    }
    g_autofree char *why = g_strdup_printf("unknown keyword; did you mean %s?", nearest);
    return fail(error, at, key, why);
}

/* Keywords that hold values, not schemas: an "x-" name in them is data. */
static gboolean is_data(const char *key)
{
    static const char *const names[] = { "enum", "const", "default", "examples", NULL };
    return g_strv_contains(names, key);
}

/* The depth of the tree is bounded by the caller. */
static gboolean check_notes(const json_t *node, gboolean is_names, GString *at,
                            GError **error)
{
    const char *key;
    json_t *value;
    for (size_t i = 0; i < json_array_size(node); i++) {
        gsize old = at->len;
        g_string_append_printf(at, "/%zu", i);
        gboolean is_good = check_notes(json_array_get(node, i), FALSE, at, error);
        g_string_truncate(at, old);
        if (!is_good)
            return FALSE;
    }
    json_object_foreach((json_t *)node, key, value) {
        if (!is_names && g_str_has_prefix(key, "x-")) {
            if (!check_keyword(key, value, at, error))
                return FALSE;
            continue;
        }
        if (!is_names && is_data(key))
            continue;
        gsize old = at->len;
        g_string_append_printf(at, "/%s", key);
        gboolean names_below =
            !is_names && (strcmp(key, "properties") == 0 || strcmp(key, "$defs") == 0);
        gboolean is_good = check_notes(value, names_below, at, error);
        g_string_truncate(at, old);
        if (!is_good)
            return FALSE;
    }
    return TRUE;
}

/* ---- the short form by example ---------------------------------------------------------- */

static json_t *expand(const json_t *example, gboolean *is_required, GString *at,
                      GError **error);

/* "amount!" is a required amount, "amount" or "amount?" one that may be missing. */
static json_t *expand_leaf(const char *word, gboolean *is_required, const GString *at,
                           GError **error)
{
    g_autofree char *kind = g_strdup(word);
    gsize n = strlen(kind);
    *is_required = n > 0 && kind[n - 1] == '!';
    if (n > 0 && (kind[n - 1] == '!' || kind[n - 1] == '?'))
        kind[n - 1] = '\0';
    if (!g_strv_contains(kinds, kind) || strcmp(kind, "enum") == 0) {
        g_set_error(error, DX_ERROR, DX_SCHEMA, "%s: \"%s\" is not a kind of value",
                    at->str, word);
        return NULL;
    }
    const char *type = strcmp(kind, "bool") == 0      ? "boolean"
                       : strcmp(kind, "integer") == 0 ? "integer"
                                                      : "string";
    return json_pack("{s:[s,s],s:s}", "type", type, "null", "x-kind", kind);
}

static json_t *expand_object(const json_t *example, gboolean *is_required, GString *at,
                             GError **error)
{
    json_t *props = json_object(), *required = json_array();
    const char *key;
    json_t *value;
    *is_required = FALSE;
    json_object_foreach((json_t *)example, key, value) {
        gsize old = at->len;
        gboolean is_needed;
        g_string_append_printf(at, "/%s", key);
        json_t *schema = expand(value, &is_needed, at, error);
        g_string_truncate(at, old);
        if (schema == NULL) {
            json_decref(props);
            json_decref(required);
            return NULL;
        }
        json_object_set_new(props, key, schema);
        if (is_needed)
            json_array_append_new(required, json_string(key));
        *is_required |= is_needed;
    }
    return json_pack("{s:s,s:b,s:o,s:o}", "type", "object", "additionalProperties", 0,
                     "properties", props, "required", required);
}

static json_t *expand(const json_t *example, gboolean *is_required, GString *at,
                      GError **error)
{
    if (json_is_object(example))
        return expand_object(example, is_required, at, error);
    if (json_is_string(example))
        return expand_leaf(json_string_value(example), is_required, at, error);
    if (json_array_size(example) != 1) {
        g_set_error(error, DX_ERROR, DX_SCHEMA,
                    "%s: an example is a kind, an object, or a list of one example",
                    at->str);
        return NULL;
    }
    json_t *items = expand(json_array_get(example, 0), is_required, at, error);
    *is_required = FALSE;
    return items == NULL ? NULL : json_pack("{s:s,s:o}", "type", "array", "items", items);
}

/* A JSON Schema of a document says so with type, properties, $ref or $schema; what has
 * none of them, or a field of that name holding an example, is an example. */
static gboolean is_schema(const json_t *json)
{
    const json_t *type = json_object_get(json, "type");
    return json_is_object(json_object_get(json, "properties")) ||
           json_object_get(json, "$schema") != NULL ||
           json_object_get(json, "$ref") != NULL ||
           (json_is_string(type) && strcmp(json_string_value(type), "object") == 0);
}

/* ---- parsing ------------------------------------------------------------------------------ */

/* Iterative: the depth is what it checks. */
static gboolean is_shallow(const json_t *root)
{
    g_autoptr(GPtrArray) level = g_ptr_array_new();
    g_ptr_array_add(level, (gpointer)root);
    for (guint depth = 0; level->len > 0; depth++) {
        if (depth > SCHEMA_DEPTH_MAX * 2)
            return FALSE;
        g_autoptr(GPtrArray) below = g_ptr_array_new();
        for (guint i = 0; i < level->len; i++) {
            json_t *node = level->pdata[i], *value;
            const char *key;
            for (size_t k = 0; k < json_array_size(node); k++)
                g_ptr_array_add(below, json_array_get(node, k));
            json_object_foreach(node, key, value) {
                g_ptr_array_add(below, value);
            }
        }
        GPtrArray *swap = level;
        level = below;
        below = swap;
    }
    return TRUE;
}

static json_t *read_tree(const char *text, gsize bytes, const char *name, GError **error)
{
    gsize at = 0;
    while (at < bytes && g_ascii_isspace(text[at]))
        at++;
    if (at == bytes || text[at] != '{')
        return dx_yaml_parse(text, bytes, name, error);
    json_error_t e;
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &e);
    if (json == NULL)
        g_set_error(error, DX_ERROR, DX_SCHEMA, "%s:%d:%d: %s", name, e.line, e.column,
                    e.text);
    return json;
}

/* A tree as a checked JSON Schema; takes `json`. */
static json_t *complete(json_t *json, const char *name, GError **error)
{
    g_autoptr(GString) at = g_string_new(NULL);
    if (!json_is_object(json) || !is_shallow(json)) {
        g_set_error(error, DX_ERROR, DX_SCHEMA, "%s: %s", name,
                    json_is_object(json) ? "nested too deeply" : "is not an object");
        json_decref(json);
        return NULL;
    }
    if (!is_schema(json)) {
        gboolean is_required;
        json_t *schema = expand(json, &is_required, at, error);
        json_decref(json);
        if (schema == NULL)
            return NULL;
        json = schema;
    }
    g_autoptr(dx_grammar) grammar = NULL;
    if (check_notes(json, FALSE, at, error))
        grammar = dx_grammar_compile(json, error);
    if (grammar != NULL)
        return json;
    json_decref(json);
    return NULL;
}

dx_schema *dx_schema_parse(const char *text, gsize bytes, const char *name,
                           GError **error)
{
    if (bytes > SCHEMA_BYTES_MAX) {
        g_set_error(error, DX_ERROR, DX_LIMIT, "%s: %zu bytes, limit %d", name, bytes,
                    SCHEMA_BYTES_MAX);
        return NULL;
    }
    json_t *json = read_tree(text, bytes, name, error);
    if (json != NULL)
        json = complete(json, name, error);
    if (json == NULL)
        return NULL;
    dx_schema *schema = g_new0(dx_schema, 1);
    const char *version = json_string_value(json_object_get(json, "x-version"));
    schema->refs = 1;
    schema->name = g_strdup(name);
    schema->version = g_strdup(version != NULL ? version : "1");
    schema->sha256 =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, bytes);
    schema->json = json;
    return schema;
}

/* ---- files ---------------------------------------------------------------------------------- */

static gboolean is_path(const char *name)
{
    return strchr(name, '/') != NULL || g_str_has_suffix(name, ".yaml") ||
           g_str_has_suffix(name, ".yml") || g_str_has_suffix(name, ".json");
}

/* The file name without folder and ending. */
static char *stem_of(const char *path)
{
    char *base = g_path_get_basename(path), *dot = strrchr(base, '.');
    if (dot != NULL && dot != base)
        *dot = '\0';
    return base;
}

/* Reads at most a byte more than the limit, so a device or a large file does no harm. */
static dx_schema *load_file(const char *path, GError **error)
{
    g_autoptr(GFile) file = g_file_new_for_path(path);
    g_autoptr(GFileInputStream) in = g_file_read(file, NULL, error);
    if (in == NULL) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    g_autofree char *text = g_malloc(SCHEMA_BYTES_MAX + 1);
    gsize bytes;
    if (!g_input_stream_read_all(G_INPUT_STREAM(in), text, SCHEMA_BYTES_MAX + 1, &bytes,
                                 NULL, error)) {
        g_prefix_error(error, "%s: ", path);
        return NULL;
    }
    g_autofree char *name = stem_of(path);
    dx_schema *schema = dx_schema_parse(text, bytes, name, error);
    if (schema == NULL)
        g_prefix_error(error, "%s: ", path);
    return schema;
}

dx_schema *dx_schema_load(const char *name_or_path, const char *const *dirs,
                          GError **error)
{
    if (is_path(name_or_path))
        return load_file(name_or_path, error);
    for (; dirs != NULL && *dirs != NULL; dirs++) {
        g_autofree char *file = g_strconcat(name_or_path, ".yaml", NULL);
        g_autofree char *path = g_build_filename(*dirs, file, NULL);
        if (g_file_test(path, G_FILE_TEST_EXISTS))
            return load_file(path, error);
    }
    g_set_error(error, DX_ERROR, DX_NOTFOUND, "no schema is called %s", name_or_path);
    return NULL;
}

static int name_order(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static gboolean list_dir(const char *dir, GHashTable *seen, json_t *out, GError **error)
{
    g_autoptr(GDir) folder = g_dir_open(dir, 0, NULL);
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);
    const char *file;
    /* A folder of the search list that does not exist holds no schemas. */
    while (folder != NULL && (file = g_dir_read_name(folder)) != NULL) {
        if (g_str_has_suffix(file, ".yaml"))
            g_ptr_array_add(files, g_strdup(file));
    }
    g_ptr_array_sort(files, name_order);
    for (guint i = 0; i < files->len; i++) {
        if (!g_hash_table_add(seen, g_strdup(files->pdata[i])))
            continue;
        g_autofree char *path = g_build_filename(dir, files->pdata[i], NULL);
        g_autoptr(dx_schema) schema = load_file(path, error);
        if (schema == NULL)
            return FALSE;
        const char *title = json_string_value(json_object_get(schema->json, "title"));
        json_array_append_new(out, json_pack("{s:s,s:s,s:s,s:s}", "name", schema->name,
                                             "version", schema->version, "title",
                                             title != NULL ? title : schema->name, "path",
                                             path));
    }
    return TRUE;
}

json_t *dx_schema_list(const char *const *dirs, GError **error)
{
    json_t *out = json_array();
    g_autoptr(GHashTable) seen =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (; *dirs != NULL; dirs++) {
        if (!list_dir(*dirs, seen, out, error)) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

dx_schema *dx_schema_ref(dx_schema *schema)
{
    g_atomic_int_inc(&schema->refs);
    return schema;
}

void dx_schema_unref(dx_schema *schema)
{
    if (schema == NULL || !g_atomic_int_dec_and_test(&schema->refs))
        return;
    g_free(schema->name);
    g_free(schema->version);
    g_free(schema->sha256);
    json_decref(schema->json);
    g_free(schema);
}

const char *dx_schema_name(const dx_schema *schema)
{
    return schema->name;
}

const char *dx_schema_version(const dx_schema *schema)
{
    return schema->version;
}

const char *dx_schema_sha256(const dx_schema *schema)
{
    return schema->sha256;
}

const json_t *dx_schema_json(const dx_schema *schema)
{
    return schema->json;
}

const json_t *dx_schema_resolve(const json_t *root, const char *ref)
{
    if (ref[0] != '#' || (ref[1] != '\0' && ref[1] != '/'))
        return NULL;
    g_auto(GStrv) steps = g_strsplit(ref + 1, "/", -1);
    const json_t *node = root;
    for (guint i = 1; steps[0] != NULL && steps[i] != NULL && node != NULL; i++) {
        GString *key = g_string_new(steps[i]);
        g_string_replace(key, "~1", "/", 0);
        g_string_replace(key, "~0", "~", 0);
        if (json_is_array(node)) {
            guint64 index;
            node = g_ascii_string_to_unsigned(key->str, 10, 0, G_MAXINT32, &index, NULL)
                       ? json_array_get(node, index)
                       : NULL;
        } else {
            node = json_object_get(node, key->str);
        }
        g_string_free(key, TRUE);
    }
    return node;
}

/* ---- paths ---------------------------------------------------------------------------- */

/* Ends: what refers to itself, or is too deep, has not been accepted. */
static void add_paths(const json_t *root, const json_t *node, const char *path,
                      GHashTable *paths)
{
    static const char *const parts[] = { "anyOf", "oneOf" };
    if (*path != '\0')
        g_hash_table_add(paths, g_strdup(path));
    const char *ref = json_string_value(json_object_get(node, "$ref"));
    if (ref != NULL)
        add_paths(root, dx_schema_resolve(root, ref), path, paths);
    gsize i;
    json_t *part;
    for (gsize k = 0; k < G_N_ELEMENTS(parts); k++) {
        json_array_foreach(json_object_get(node, parts[k]), i, part) {
            add_paths(root, part, path, paths);
        }
    }
    const char *name;
    json_object_foreach(json_object_get(node, "properties"), name, part) {
        g_autofree char *below =
            *path != '\0' ? g_strconcat(path, ".", name, NULL) : g_strdup(name);
        add_paths(root, part, below, paths);
    }
    const json_t *items = json_object_get(node, "items");
    if (items != NULL) {
        g_autofree char *each = g_strconcat(path, "[]", NULL);
        add_paths(root, items, each, paths);
    }
}

GHashTable *dx_schema_paths(const dx_schema *schema)
{
    GHashTable *paths = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    add_paths(schema->json, schema->json, "", paths);
    return paths;
}

/* test_schema.c - loading schemas: YAML, JSON, the short form, x- keywords, limits. */
#include "dx.h"

#include <glib/gstdio.h>
#include <string.h>

static const struct {
    const char *what, *text, *error; /* NULL: good; else a part of the message */
} schemas[] = {
    /* clang-format off */
    { "yaml", "type: object\nproperties: {a: {type: string}}\n", NULL },
    { "json", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}", NULL },
    { "yaml flow", " {type: object}", "t:1:" },
    { "json twice", "{\"type\":\"object\",\"type\":\"object\"}", "t:1:" },
    { "yaml twice", "type: object\ntype: object\n", ":2:1: the key \"type\"" },
    { "alias", "type: object\nproperties: {a: &x {type: string}}\n",
      ":2:17: anchors" },
    { "tag", "type: !!str object\n", ":1:7: tags" },
    { "two documents", "type: object\nproperties: {}\n---\na: 1\n", "a second document" },
    { "list", "- a\n", "is not an object" },
    { "empty", "", "is empty" },
    { "broken", "a: [1\nb: }", "t:2:" },
    { "x- known", "type: object\nproperties: {a: {type: string, x-kind: iban}}\n", NULL },
    { "x- unknown", "type: object\nproperties: {a: {type: string, x-lables: [b]}}\n",
      "/properties/a/x-lables: unknown keyword; did you mean x-labels?" },
    { "x- bad kind", "type: object\nproperties: {a: {type: string, x-kind: money}}\n",
      "/properties/a/x-kind: is not a known word" },
    { "x- property name", "type: object\nproperties: {x-a: {type: string}}\n", NULL },
    { "x-review-below 1", "type: object\nx-review-below: 1\nproperties: {}\n", NULL },
    { "x-review-below 1.1", "type: object\nx-review-below: 1.1\nproperties: {}\n",
      "/x-review-below" },
    { "x-checks twice",
      "type: object\nproperties: {}\nx-checks:\n"
      "  - {id: A, expr: a, severity: warn}\n  - {id: A, expr: b, severity: warn}\n",
      "/x-checks: two checks" },
    { "x-checks tolerance",
      "type: object\nproperties: {}\nx-checks: [{id: A, expr: a, severity: warn, "
      "tolerance: 0.01}]\n", "/x-checks: the tolerance" },
    { "x-checks below", "type: object\nproperties: {a: {type: string, x-checks: []}}\n",
      "/properties/a/x-checks: belongs to the root" },
    { "not enforceable",
      "type: object\nproperties: {a: {type: array, items: {type: string}, uniqueItems: "
      "true}}\n", "/properties/a/uniqueItems: this keyword cannot be enforced" },
    { "short form", "number: id!\ntotals: {gross: amount}\nlines: [{name: text}]\n", NULL },
    { "short form, bad kind", "number: money!\n", "/number: \"money!\"" },
    { "short form, empty list", "lines: []\n", "/lines: an example" },
    /* clang-format on */
};

static void test_parse(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(schemas); i++) {
        g_test_message("case: %s", schemas[i].what);
        g_autoptr(GError) error = NULL;
        g_autoptr(dx_schema) schema =
            dx_schema_parse(schemas[i].text, strlen(schemas[i].text), "t", &error);
        if (schemas[i].error == NULL) {
            g_assert_no_error(error);
            g_assert_cmpstr(dx_schema_name(schema), ==, "t");
            g_assert_cmpuint(strlen(dx_schema_sha256(schema)), ==, 64);
        } else {
            g_assert_error(error, DX_ERROR, DX_SCHEMA);
            if (strstr(error->message, schemas[i].error) == NULL)
                g_test_message("got: %s", error->message);
            g_assert_nonnull(strstr(error->message, schemas[i].error));
            g_assert_null(schema);
        }
    }
}

static void test_short_form(void)
{
    const char *text = "{\"n\":\"id!\",\"t\":{\"g\":\"amount!\",\"q\":\"quantity?\"},"
                       "\"l\":[{\"d\":\"text\",\"b\":\"bool\"}]}";
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_schema) schema = dx_schema_parse(text, strlen(text), "t", &error);
    g_assert_no_error(error);
    char *out = json_dumps(dx_schema_json(schema), JSON_COMPACT);
    g_assert_cmpstr(
        out, ==,
        "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"n\":{"
        "\"type\":"
        "[\"string\",\"null\"],\"x-kind\":\"id\"},\"t\":{\"type\":\"object\","
        "\"additionalProperties\":false,\"properties\":{\"g\":{\"type\":[\"string\","
        "\"null\"],"
        "\"x-kind\":\"amount\"},\"q\":{\"type\":[\"string\",\"null\"],\"x-kind\":"
        "\"quantity\"}},"
        "\"required\":[\"g\"]},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"object\","
        "\"additionalProperties\":false,\"properties\":{\"d\":{\"type\":[\"string\","
        "\"null\"],"
        "\"x-kind\":\"text\"},\"b\":{\"type\":[\"boolean\",\"null\"],\"x-kind\":\"bool\"}"
        "},"
        "\"required\":[]}}},\"required\":[\"n\",\"t\"]}");
    free(out);
}

static const struct {
    const char *yaml, *json;
} scalars[] = {
    /* clang-format off */
    { "a: 1", "{\"a\":1}" },         { "a: '1'", "{\"a\":\"1\"}" },
    { "a: 1.5", "{\"a\":1.5}" },     { "a: ~", "{\"a\":null}" },
    { "a:", "{\"a\":null}" },        { "a: null", "{\"a\":null}" },
    { "a: true", "{\"a\":true}" },   { "a: yes", "{\"a\":\"yes\"}" },
    { "a: no", "{\"a\":\"no\"}" },   { "a: 1.2.3", "{\"a\":\"1.2.3\"}" },
    { "a: -", "{\"a\":[null]}" },    { "a: 2024-05-31", "{\"a\":\"2024-05-31\"}" },
    { "a: [x, 'y']", "{\"a\":[\"x\",\"y\"]}" },
    /* clang-format on */
};

static void test_yaml_scalars(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(scalars); i++) {
        g_test_message("case: %s", scalars[i].yaml);
        g_autoptr(GError) error = NULL;
        json_t *v = dx_yaml_parse(scalars[i].yaml, strlen(scalars[i].yaml), "t", &error);
        if (v == NULL) {
            g_assert_cmpstr(scalars[i].yaml, ==, "a: -"); /* libyaml wants a new line */
            continue;
        }
        char *out = json_dumps(v, JSON_COMPACT);
        g_assert_cmpstr(out, ==, scalars[i].json);
        free(out);
        json_decref(v);
    }
}

static const struct {
    const char *pointer;
    dx_mark mark;
} places[] = {
    { "", { 1, 1, 1, 1 } },
    { "/a", { 1, 4, 1, 1 } },
    { "/b", { 3, 3, 2, 1 } },
    { "/b/1", { 4, 5, 4, 5 } },
    { "/b/1/c~1~0d", { 4, 13, 4, 5 } },
};

static void test_yaml_places(void)
{
    static const char text[] = "a: 1\nb:\n  - x\n  - \"c/~d\": 7\n";
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_marks) marks = NULL;
    json_t *v = dx_yaml_parse_marks(text, strlen(text), "t", &marks, &error);
    g_assert_no_error(error);
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_test_message("case: %s", places[i].pointer);
        dx_mark mark = { 0 };
        g_assert_true(dx_marks_find(marks, places[i].pointer, &mark));
        g_assert_cmpuint(mark.line, ==, places[i].mark.line);
        g_assert_cmpuint(mark.column, ==, places[i].mark.column);
        g_assert_cmpuint(mark.key_line, ==, places[i].mark.key_line);
        g_assert_cmpuint(mark.key_column, ==, places[i].mark.key_column);
    }
    dx_mark none;
    g_assert_false(dx_marks_find(marks, "/b/2", &none));
    json_decref(v);
}

static void test_yaml_limits(void)
{
    for (guint depth = 32; depth <= 33; depth++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GString) s = g_string_new(NULL);
        for (guint i = 0; i < depth; i++)
            g_string_append_c(s, '[');
        for (guint i = 0; i < depth; i++)
            g_string_append_c(s, ']');
        json_t *v = dx_yaml_parse(s->str, s->len, "t", &error);
        g_assert_cmpint(v != NULL, ==, depth == 32);
        if (v == NULL)
            g_assert_cmpstr(error->message, ==, "t:1:33: nested too deeply (limit 32)");
        json_decref(v);
    }
    for (gsize bytes = 1 << 20; bytes <= (1 << 20) + 1; bytes++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *s = g_malloc(bytes);
        memset(s, ' ', bytes);
        s[0] = 'a';
        json_t *v = dx_yaml_parse(s, bytes, "t", &error);
        g_assert_cmpint(v != NULL, ==, bytes == 1 << 20);
        if (v == NULL)
            g_assert_error(error, DX_ERROR, DX_LIMIT);
        json_decref(v);
    }
}

static void test_files(void)
{
    const char *const dirs[] = { g_getenv("DOCVL_TEST_SCHEMAS"), NULL };
    static const char *const names[] = { "form", "invoice", "receipt" };
    g_autoptr(GError) error = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(dx_schema) schema = dx_schema_load(names[i], dirs, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(dx_schema_name(schema), ==, names[i]);
        g_assert_cmpstr(dx_schema_version(schema), ==, "1");
    }
    json_t *list = dx_schema_list(dirs, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(json_array_size(list), ==, 3);
    g_assert_cmpstr(json_string_value(json_object_get(json_array_get(list, 1), "title")),
                    ==, "Invoice");
    json_decref(list);
    g_assert_null(dx_schema_load("nothing", dirs, &error));
    g_assert_error(error, DX_ERROR, DX_NOTFOUND);
    g_clear_error(&error);
    g_assert_null(dx_schema_load("./no-such.yaml", dirs, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND);
}

static void test_paths(void)
{
    static const char text[] =
        "type: object\n"
        "$defs: {party: {type: object, properties: {name: {type: string}}}}\n"
        "properties:\n"
        "  seller: {$ref: '#/$defs/party'}\n"
        "  buyer: {anyOf: [{$ref: '#/$defs/party'}, {type: 'null'}]}\n"
        "  lines: {type: array, items: {type: object, properties: {a: {type: "
        "string}}}}\n";
    static const char *const there[] = { "seller",     "seller.name", "buyer",
                                         "buyer.name", "lines",       "lines[]",
                                         "lines[].a" };
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_schema) schema = dx_schema_parse(text, strlen(text), "t", &error);
    g_assert_no_error(error);
    g_autoptr(GHashTable) paths = dx_schema_paths(schema);
    for (gsize i = 0; i < G_N_ELEMENTS(there); i++)
        g_assert_true(g_hash_table_contains(paths, there[i]));
    g_assert_cmpuint(g_hash_table_size(paths), ==, G_N_ELEMENTS(there));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/schema/parse", test_parse);
    g_test_add_func("/schema/short-form", test_short_form);
    g_test_add_func("/schema/files", test_files);
    g_test_add_func("/schema/paths", test_paths);
    g_test_add_func("/yaml/scalars", test_yaml_scalars);
    g_test_add_func("/yaml/limits", test_yaml_limits);
    g_test_add_func("/yaml/places", test_yaml_places);
    return g_test_run();
}

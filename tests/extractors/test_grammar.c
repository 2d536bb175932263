/*
 * test_grammar.c - what a compiled schema lets through, byte by byte; limits; forced text;
 * copied strings.
 *
 * The vocabulary of most tests is the 256 bytes, so that accepting a text is accepting
 * its bytes.
 */
#include "dx.h"

#include <string.h>

enum { BYTES = 257, EOS = 256 };

static dx_vocab *byte_vocab(void)
{
    static char bytes[256];
    static const char *tokens[BYTES];
    static size_t lengths[BYTES];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = &bytes[i];
        lengths[i] = 1;
    }
    return dx_vocab_new(tokens, lengths, BYTES, EOS);
}

static json_t *parse(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, JSON_DECODE_ANY, &e);
    if (v == NULL)
        g_error("test schema: %s in %s", e.text, text);
    return v;
}

static dx_grammar *compile(const char *text, GError **error)
{
    json_t *schema = parse(text);
    dx_grammar *g = dx_grammar_compile(schema, error);
    json_decref(schema);
    return g;
}

/* Bytes of the text that were taken; *is_whole: it is a whole answer.  The mask must say
 * the same as accept, for every byte. */
static gsize take(dx_matcher *m, const char *text, gboolean *is_whole)
{
    uint32_t mask[(BYTES + 31) / 32];
    int32_t forced[1];
    size_t count, i = 0;
    gsize bytes = strlen(text);
    for (;; i++) {
        vl_step step = dx_matcher_next(m, mask, forced, 0, &count);
        g_assert_cmpint(step, !=, VL_STEP_FORCED);
        *is_whole = step == VL_STEP_END ||
                    (step == VL_STEP_SAMPLE && mask[EOS / 32] >> (EOS % 32) & 1);
        if (i == bytes)
            return i;
        uint8_t b = (uint8_t)text[i];
        gboolean may = step == VL_STEP_SAMPLE && mask[b / 32] >> (b % 32) & 1;
        gboolean did = dx_matcher_accept(m, b);
        g_assert_cmpint(may, ==, did);
        if (!did)
            return i;
    }
}

static void check(const char *schema, const char *text, int refused_at,
                  const dx_copy_source *copy)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_vocab) v = byte_vocab();
    g_autoptr(dx_grammar) g = compile(schema, &error);
    g_assert_no_error(error);
    g_autoptr(dx_matcher) m = dx_matcher_new(g, v, copy);
    gboolean is_whole;
    g_test_message("%s <- %s", schema, text);
    int n = (int)take(m, text, &is_whole);
    if (refused_at < 0) {
        g_assert_cmpint(n, ==, strlen(text));
        g_assert_true(is_whole);
        g_assert_cmpstr(dx_matcher_text(m, NULL), ==, text);
    } else {
        g_assert_cmpint(n, ==, refused_at);
        g_assert_false(is_whole && n == (int)strlen(text));
    }
}

#define OBJ                                                                              \
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"null\"},\"b\":{\"type\":"    \
    "\"null\"},\"c\":{\"type\":\"null\"}},\"required\":[\"b\"]}"
#define STR(x) "{\"type\":\"string\"," x "}"
#define INT(x) "{\"type\":\"integer\"," x "}"
#define NUM(x) "{\"type\":\"number\"," x "}"
#define ARR(x) "{\"type\":\"array\",\"items\":{\"type\":\"null\"}," x "}"

static const struct {
    const char *schema, *text;
    int refused_at; /* -1: a whole answer; the length: a beginning of one */
} answers[] = {
    { OBJ, "{\"b\":null}", -1 },
    { OBJ, "{\"a\":null,\"b\":null,\"c\":null}", -1 },
    { OBJ, "{\"b\":null,\"c\":null}", -1 },
    { OBJ, "{\"c\":null}", 2 },
    { OBJ, "{\"b\":null,\"a\":null}", 11 },
    { OBJ, "{}", 1 },
    { OBJ, "{ \"b\"", 1 },
    { STR("\"maxLength\":3"), "\"abc\"", -1 },
    { STR("\"maxLength\":3"), "\"abcd\"", 4 },
    { STR("\"maxLength\":3"), "\"\xc3\xa9\xe2\x82\xac\\n\"", -1 },
    { STR("\"minLength\":2"), "\"a\"", 2 },
    { STR("\"minLength\":2"), "\"ab\"", -1 },
    { STR("\"minLength\":2"), "\"ab", 3 },
    { STR("\"maxLength\":9"), "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u001f\"", -1 },
    { STR("\"maxLength\":9"), "\"\\u0000\"", 6 },
    { STR("\"maxLength\":9"), "\"\\u000a\"", 6 },
    { STR("\"maxLength\":9"), "\"\\u0041\"", 5 },
    { STR("\"maxLength\":9"), "\"\\a\"", 2 },
    { STR("\"maxLength\":9"), "\"\n\"", 1 },
    { STR("\"maxLength\":9"), "\"\xc0\x80\"", 1 },
    { STR("\"maxLength\":9"), "\"\xe0\x80\x80\"", 2 },
    { STR("\"maxLength\":9"), "\"\xed\xa0\x80\"", 2 },
    { STR("\"maxLength\":9"), "\"\xf4\x90\x80\x80\"", 2 },
    { STR("\"maxLength\":9"), "\"\xf0\x9f\x98\x80\"", -1 },
    { STR("\"maxLength\":9"), "\"\xc3\"", 2 },
    { STR("\"pattern\":\"^(ab)+$\",\"maxLength\":5"), "\"abab\"", -1 },
    { STR("\"pattern\":\"^(ab)+$\",\"maxLength\":5"), "\"ababa", 5 },
    { STR("\"pattern\":\"[0-9]\",\"maxLength\":2"), "\"x5\"", -1 },
    { STR("\"pattern\":\"[0-9]\",\"maxLength\":2"), "\"xx", 2 },
    { STR("\"pattern\":\"^a|b$\",\"maxLength\":2"), "\"ax\"", -1 },
    { STR("\"pattern\":\"^a|b$\",\"maxLength\":2"), "\"xx", 2 },
    { STR("\"pattern\":\"^[\\u00e9]$\""), "\"\xc3\xa9\"", -1 },
    { STR("\"pattern\":\"^[\\u00e9]$\""), "\"\xc3\xa8\"", 2 },
    { STR("\"pattern\":\"^[\\u00e9]$\""), "\"\xc4", 1 },
    { STR("\"pattern\":\"^\\\\n$\""), "\"\\n\"", -1 },
    { STR("\"pattern\":\"^\\\\n$\""), "\"\\t\"", 2 },
    { STR("\"pattern\":\"^\\\\x01$\""), "\"\\u0001\"", -1 },
    { STR("\"pattern\":\"^\\\\x01$\""), "\"\\u0002\"", 6 },
    { STR("\"format\":\"date\""), "\"2024-02-29\"", -1 },
    { STR("\"format\":\"date\""), "\"2023-02-29\"", 10 },
    { STR("\"format\":\"date\""), "\"2024-04-31\"", 10 },
    { STR("\"format\":\"date\""), "\"1900-02-29\"", 10 },
    { STR("\"format\":\"date\""), "\"2000-02-29\"", -1 },
    { STR("\"format\":\"time\""), "\"23:59:59Z\"", -1 },
    { STR("\"format\":\"time\""), "\"24:00:00Z\"", 2 },
    { STR("\"format\":\"date-time\""), "\"2024-05-31T08:00:00+02:00\"", -1 },
    { STR("\"format\":\"uuid\""), "\"123e4567-e89b-12d3-a456-426614174000\"", -1 },
    { STR("\"format\":\"email\""), "\"a.b@example.org\"", -1 },
    { STR("\"format\":\"email\""), "\"a..b\"", 3 },
    { STR("\"format\":\"uri\""), "\"https://example.org/a?b=%20\"", -1 },
    { INT("\"minimum\":5,\"maximum\":12"), "5", -1 },
    { INT("\"minimum\":5,\"maximum\":12"), "12", -1 },
    { INT("\"minimum\":5,\"maximum\":12"), "13", 1 },
    { INT("\"minimum\":5,\"maximum\":12"), "4", 0 },
    { INT("\"minimum\":5,\"maximum\":12"), "1", 1 },
    { INT("\"minimum\":5,\"maximum\":12"), "-", 0 },
    { INT("\"minimum\":-12,\"maximum\":-5"), "-12", -1 },
    { INT("\"minimum\":-12,\"maximum\":-5"), "-4", 1 },
    { INT("\"minimum\":0"), "-", 0 },
    { INT("\"minimum\":-1"), "-0", 1 },
    { INT("\"minimum\":0"), "01", 1 },
    { INT("\"multipleOf\":7,\"maximum\":20,\"minimum\":0"), "14", -1 },
    { INT("\"multipleOf\":7,\"maximum\":20,\"minimum\":0"), "15", 1 },
    { INT("\"multipleOf\":7,\"maximum\":20,\"minimum\":8"), "7", 0 },
    { INT("\"exclusiveMinimum\":5,\"exclusiveMaximum\":7"), "6", -1 },
    { INT("\"exclusiveMinimum\":5,\"exclusiveMaximum\":7"), "7", 0 },
    { INT("\"minimum\":1.5,\"maximum\":2.5"), "2", -1 },
    { INT("\"minimum\":1.5,\"maximum\":2.5"), "1", 0 },
    { INT("\"minimum\":0"), "999999999999999", -1 },
    { INT("\"minimum\":0"), "9999999999999990", 15 },
    { NUM("\"minimum\":0.5,\"maximum\":1.25"), "0.5", -1 },
    { NUM("\"minimum\":0.5,\"maximum\":1.25"), "0.4", 2 },
    { NUM("\"minimum\":0.5,\"maximum\":1.25"), "1.25", -1 },
    { NUM("\"minimum\":0.5,\"maximum\":1.25"), "1.250000", -1 },
    { NUM("\"minimum\":0.5,\"maximum\":1.25"), "1.250001", 7 },
    { NUM("\"minimum\":0.5,\"maximum\":1.25"), "1.26", 3 },
    { NUM("\"multipleOf\":0.01"), "19.99", -1 },
    { NUM("\"multipleOf\":0.01"), "19.999", 5 },
    { NUM("\"multipleOf\":0.3,\"minimum\":0"), "0.9", -1 },
    { NUM("\"multipleOf\":0.3,\"minimum\":0"), "1.1", 2 },
    { NUM("\"minimum\":0"), "0.1234567", 8 },
    { NUM("\"minimum\":0"), "123456789012.5", -1 },
    { NUM("\"minimum\":0"), "1234567890123", 12 },
    { NUM("\"minimum\":-1"), "1e5", 1 },
    { ARR("\"minItems\":1,\"maxItems\":2"), "[null,null]", -1 },
    { ARR("\"minItems\":1,\"maxItems\":2"), "[null,null,", 10 },
    { ARR("\"minItems\":1,\"maxItems\":2"), "[]", 1 },
    { ARR("\"maxItems\":0"), "[]", -1 },
    { ARR("\"maxItems\":0"), "[n", 1 },
    { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"boolean\"}],"
      "\"items\":{\"const\":1},\"maxItems\":3}",
      "[null,true,1]", -1 },
    { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"boolean\"}],"
      "\"items\":{\"const\":1},\"maxItems\":3}",
      "[null]", -1 },
    { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"},{\"type\":\"boolean\"}],"
      "\"items\":{\"const\":1},\"maxItems\":3}",
      "[null,true,1,", 12 },
    { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"null\"}],\"items\":false}",
      "[null,", 5 },
    { "{\"anyOf\":[{\"const\":\"ab\"},{\"const\":\"ac\"}]}", "\"ac\"", -1 },
    { "{\"type\":[\"string\",\"null\"],\"enum\":[\"x\",null,5]}", "null", -1 },
    { "{\"type\":[\"string\",\"null\"],\"enum\":[\"x\",null,5]}", "5", 0 },
    { "{\"type\":[\"integer\",\"boolean\"]}", "false", -1 },
    { "{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"const\":{\"k\":[1,2]}}}}",
      "{\"k\":[1,2]}", -1 },
    { "{\"type\":\"string\",\"x-copy\":true}", "null", -1 },
    { "{\"type\":\"string\",\"x-copy\":true}", "\"", 0 },
};

static void test_answers(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(answers); i++)
        check(answers[i].schema, answers[i].text, answers[i].refused_at, NULL);
}

static const struct {
    const char *schema, *error;
} refusals[] = {
    { "{}", "/: a value needs a type" },
    { "[]", "/: a schema must be an object" },
    { "{\"type\":\"thing\"}", "/type: is not" },
    { "{\"type\":\"string\",\"contentEncoding\":\"base64\"}",
      "/contentEncoding: this keyword cannot be enforced" },
    { "{\"type\":\"object\",\"properties\":{\"a/b\":{\"type\":\"string\",\"pattern\":"
      "\"(?=x)\"}}}",
      "/properties/a~1b/pattern: cannot be enforced: (? is" },
    { STR("\"pattern\":\"a{1001}\""), "/pattern: cannot be enforced: a repeat" },
    { STR("\"pattern\":\"(\""), "/pattern: cannot be enforced: ( without )" },
    { STR("\"pattern\":\"\\\\1\""), "/pattern: cannot be enforced: an escape" },
    { STR("\"pattern\":\"^a{5}$\",\"maxLength\":4"), "/pattern: no string fits" },
    { STR("\"format\":\"ipv4\""), "/format: is not one of" },
    { STR("\"format\":\"date\",\"pattern\":\"a\""),
      "/format: cannot be enforced together" },
    { STR("\"minLength\":4,\"maxLength\":3"), "/minLength: 4 is above" },
    { STR("\"maxLength\":65536"), "/maxLength: must be a whole number from 0 to 65535" },
    { STR("\"minimum\":1"), "/minimum: has no effect" },
    { INT("\"minimum\":3,\"maximum\":2"), "/: no number fits" },
    { INT("\"minimum\":8,\"maximum\":13,\"multipleOf\":7"), "/: no number fits" },
    { INT("\"multipleOf\":0"), "/multipleOf: must be above 0" },
    { NUM("\"multipleOf\":0.0000001"), "/multipleOf: must be above 0" },
    { INT("\"minimum\":1e300"), "/minimum: is beyond 18 digits" },
    { ARR("\"uniqueItems\":true"), "/uniqueItems: this keyword" },
    { ARR("\"maxItems\":65536"), "/maxItems: must be" },
    { "{\"type\":\"array\"}", "/: an array needs items" },
    { "{\"type\":\"object\"}", "/: an object needs its properties" },
    { "{\"type\":\"object\",\"properties\":{},\"required\":[\"a\"]}",
      "/required/0: \"a\" is not among" },
    { "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}",
      "/oneOf/1: begins like an earlier part" },
    { "{\"anyOf\":[{\"type\":\"null\"}],\"type\":\"null\"}",
      "/type: cannot be enforced together with anyOf" },
    { "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"type\":\"array\",\"items\":{\"$ref\":"
      "\"#/$defs/a\"}}}}",
      "/$defs/a/items/$ref: #/$defs/a contains itself" },
    { "{\"$ref\":\"#/$defs/x\"}", "/$ref: #/$defs/x is not in this schema" },
    { "{\"$ref\":\"http://example.org/\"}", "/$ref: http://example.org/ is not" },
    { "{\"type\":\"string\",\"enum\":[1]}", "/enum: no value fits" },
    { "{\"type\":\"string\",\"x-copy\":true,\"maxLength\":3}",
      "/maxLength: cannot be enforced together with x-copy" },
    { "{\"type\":\"integer\",\"x-copy\":true}", "/x-copy: is for strings" },
};

static void test_refusals(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(refusals); i++) {
        g_test_message("case: %s", refusals[i].schema);
        g_autoptr(GError) error = NULL;
        g_autoptr(dx_grammar) g = compile(refusals[i].schema, &error);
        g_assert_null(g);
        g_assert_error(error, DX_ERROR, DX_SCHEMA);
        if (!g_str_has_prefix(error->message, refusals[i].error))
            g_assert_cmpstr(error->message, ==, refusals[i].error);
    }
}

/* n lists inside each other around a null. */
static char *nested(guint n, const char *open, const char *close)
{
    GString *s = g_string_new(NULL);
    for (guint i = 0; i < n; i++)
        g_string_append(s, open);
    g_string_append(s, "{\"type\":\"null\"}");
    for (guint i = 0; i < n; i++)
        g_string_append(s, close);
    return g_string_free(s, FALSE);
}

static void check_limit(const char *schema, const char *error_part)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_grammar) g = compile(schema, &error);
    if (error_part == NULL) {
        g_assert_no_error(error);
        g_assert_nonnull(g);
    } else {
        g_assert_null(g);
        g_assert_error(error, DX_ERROR, DX_SCHEMA);
        g_assert_nonnull(strstr(error->message, error_part));
    }
}

/* 2^n leaves through n definitions that each name the one before twice. */
static char *doubling(guint n)
{
    GString *s = g_string_new("{\"$defs\":{\"d0\":{\"const\":1}");
    for (guint i = 1; i <= n; i++)
        g_string_append_printf(s,
                               ",\"d%u\":{\"type\":\"array\",\"prefixItems\":[{\"$ref\":"
                               "\"#/$defs/d%u\"},{\"$ref\":\"#/$defs/d%u\"}]}",
                               i, i - 1, i - 1);
    g_string_append_printf(s, "},\"$ref\":\"#/$defs/d%u\"}", n);
    return g_string_free(s, FALSE);
}

static void test_limits(void)
{
    static const char list[] = "{\"type\":\"array\",\"items\":";
    static const char object[] = "{\"type\":\"object\",\"properties\":{\"a\":";
    g_autofree char *l8 = nested(8, list, "}"), *l9 = nested(9, list, "}");
    g_autofree char *o31 = nested(31, object, "}}"), *o32 = nested(32, object, "}}");
    check_limit(l8, NULL);
    check_limit(l9, "lists are nested too deeply (limit 8)");
    check_limit(o31, NULL);
    check_limit(o32, "schemas are nested too deeply (limit 32)");
    g_autofree char *d7 = doubling(7), *d9 = doubling(9);
    check_limit(d7, NULL);
    check_limit(d9, "lists are nested");
    check_limit(STR("\"maxLength\":65535"), NULL);
    check_limit(ARR("\"maxItems\":65535"), NULL);
    check_limit(STR("\"pattern\":\"^a{1000}$\",\"maxLength\":1000"), NULL);
    check_limit(STR("\"pattern\":\"^.*a.{8}$\",\"maxLength\":100"), NULL);
    check_limit(STR("\"pattern\":\"^.*a.{9}$\",\"maxLength\":100"),
                "too many states (limit 1024)");
    check_limit(STR("\"pattern\":\"(((a{20}){20}){20})\""),
                "too large (limit 4096 nodes)");
    check_limit(STR("\"pattern\":\"^[ab]{600}$\",\"maxLength\":6900"), NULL);
    check_limit(STR("\"pattern\":\"^[ab]{600}$\",\"maxLength\":7000"),
                "are too many (limit 4194304)");
}

/* A schema of many members, to find the limit of instructions from both sides. */
static void test_size_limits(void)
{
    for (guint n = 13105; n <= 13108; n += 3) {
        GString *s = g_string_new("{\"enum\":[0");
        /* An enum value takes a fork, its text and a jump; one less for the last. */
        for (guint i = 1; i < n * 5 / 3; i++)
            g_string_append_printf(s, ",%u", i);
        g_string_append(s, "]}");
        g_autofree char *text = g_string_free(s, FALSE);
        check_limit(text, n == 13105 ? NULL : "limit 65536 instructions");
    }
    for (gsize bytes = (1 << 20) - 2; bytes <= (1 << 20) - 1; bytes++) {
        g_autofree char *value = g_strnfill(bytes, 'x');
        g_autofree char *text = g_strdup_printf("{\"const\":\"%s\"}", value);
        check_limit(text, bytes == (1 << 20) - 2 ? NULL : "limit 1048576 bytes");
    }
}

static void test_default_limits(void)
{
    g_autofree char *a512 = g_strnfill(512, 'a');
    g_autofree char *s512 = g_strdup_printf("\"%s\"", a512);
    g_autofree char *s513 = g_strdup_printf("\"%sa\"", a512);
    check("{\"type\":\"string\"}", s512, -1, NULL);
    check("{\"type\":\"string\"}", s513, 513, NULL);
    GString *rows = g_string_new("[1");
    for (int i = 1; i < 256; i++)
        g_string_append(rows, ",1");
    g_autofree char *r256 = g_strdup_printf("%s]", rows->str);
    g_autofree char *r257 = g_strdup_printf("%s,1]", rows->str);
    check("{\"type\":\"array\",\"items\":{\"const\":1}}", r256, -1, NULL);
    check("{\"type\":\"array\",\"items\":{\"const\":1}}", r257, (int)rows->len, NULL);
    g_string_free(rows, TRUE);
}

static void test_forced(void)
{
    static const char *const tokens[] = { "",  "{",  "\"",  "{\"na", "me",    "m",
                                          "n", "a",  "e",   ":",     "\":\"", "}",
                                          "x", "}}", "\"}", "null" };
    size_t lengths[G_N_ELEMENTS(tokens)];
    for (gsize i = 0; i < G_N_ELEMENTS(tokens); i++)
        lengths[i] = strlen(tokens[i]);
    g_autoptr(dx_vocab) v = dx_vocab_new(tokens, lengths, G_N_ELEMENTS(tokens), 0);
    g_autoptr(dx_grammar) g = compile("{\"type\":\"object\",\"properties\":{\"name\":"
                                      "{\"type\":\"string\",\"maxLength\":2}},"
                                      "\"required\":[\"name\"]}",
                                      NULL);
    g_autoptr(dx_matcher) m = dx_matcher_new(g, v, NULL);
    uint32_t mask[1];
    int32_t forced[8];
    size_t count;
    /* {"name":" is certain; longest tokens first: {"na  me  ":" */
    g_assert_cmpint(dx_matcher_next(m, mask, forced, 2, &count), ==, VL_STEP_FORCED);
    g_assert_cmpuint(count, ==, 2);
    g_assert_cmpint(dx_matcher_next(m, mask, forced, 8, &count), ==, VL_STEP_FORCED);
    g_assert_cmpuint(count, ==, 3);
    static const int32_t expect[] = { 3, 4, 10 };
    for (int i = 0; i < 3; i++) {
        g_assert_cmpint(forced[i], ==, expect[i]);
        g_assert_true(dx_matcher_accept(m, forced[i]));
    }
    g_assert_cmpint(dx_matcher_next(m, mask, forced, 8, &count), ==, VL_STEP_SAMPLE);
    /* All without a quote that fit two characters, and the end of the string. */
    uint32_t fits = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 |
                    1u << 9 | 1u << 11 | 1u << 12 | 1u << 13 | 1u << 14;
    g_assert_cmphex(mask[0], ==, fits);
    g_assert_false(dx_matcher_accept(m, 15));
    g_assert_true(dx_matcher_accept(m, 4));
    g_assert_cmpint(dx_matcher_next(m, mask, forced, 8, &count), ==, VL_STEP_FORCED);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpint(forced[0], ==, 14);
    g_assert_true(dx_matcher_accept(m, 14));
    g_assert_cmpint(dx_matcher_next(m, mask, forced, 8, &count), ==, VL_STEP_END);
    g_assert_cmpstr(dx_matcher_text(m, NULL), ==, "{\"name\":\"me\"}");
}

/* ---- copied strings ------------------------------------------------------------------ */

/*                       0123456789012345678901234567890 */
static const char page[] = "Acme \"Ltd\"\nMain St 5\nTotal 12.50";
#define LINE   "{\"type\":\"string\",\"x-copy\":true}"
#define AMOUNT "{\"type\":\"string\",\"x-copy\":\"amount\"}"

static dx_copy_source *make_source(uint32_t max_bytes)
{
    static const uint32_t starts[] = { 0, 5, 11, 16, 19, 21, 27 };
    static const uint32_t ends[] = { 4, 10, 15, 18, 20, 26, 32 };
    static const dx_copy_span amounts[] = { { 27, 32 }, { 19, 20 } };
    dx_copy_source *source = dx_copy_source_new(page, strlen(page));
    g_assert_nonnull(source);
    g_assert_true(dx_copy_source_add_free(source, NULL, starts, 7, ends, 7, max_bytes));
    g_assert_true(dx_copy_source_add_spans(source, "amount", amounts, 2));
    g_assert_true(dx_copy_source_add_jump(source, 10, 11, ", "));
    g_assert_true(dx_copy_source_add_jump(source, 20, 21, " "));
    return source;
}

static const struct {
    const char *schema, *text;
    uint32_t max_bytes;
    int refused_at;
} copies[] = {
    { LINE, "null", 64, -1 },
    { LINE, "\"Acme\"", 64, -1 },
    { LINE, "\"Acm\"", 64, 4 },
    { LINE, "\"Bcme\"", 64, 1 },
    { LINE, "\"Acme \\\"Ltd\\\"\"", 64, -1 },
    { LINE, "\"Acme \\\"Ltd\\\", Main St 5\"", 64, -1 },
    { LINE, "\"Acme \\\"Ltd\\\"\\nMain St\"", 64, -1 },
    { LINE, "\"Main St 5 Total 12.50\"", 64, -1 },
    { LINE, "\"Main St 5 Total 12.50\"", 21, -1 },
    { LINE, "\"Main St 5 Total 12.50\"", 20, 16 },
    { LINE, "\"\"", 64, 1 },
    { LINE, "\"Acme\"", 4, -1 },
    { LINE, "\"Acme\"", 3, 1 },
    { AMOUNT, "\"12.50\"", 64, -1 },
    { AMOUNT, "\"5\"", 64, -1 },
    { AMOUNT, "\"12\"", 64, 3 },
    { "{\"type\":\"string\",\"x-copy\":\"date\"}", "\"", 64, 0 },
};

static void test_copies(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(copies); i++) {
        g_autoptr(dx_copy_source) source = make_source(copies[i].max_bytes);
        check(copies[i].schema, copies[i].text, copies[i].refused_at, source);
    }
}

static void test_copied(void)
{
    g_autoptr(dx_copy_source) source = make_source(64);
    g_autoptr(dx_vocab) v = byte_vocab();
    g_autoptr(dx_grammar) g = compile(
        "{\"type\":\"object\",\"properties\":{\"s/r\":" LINE ",\"l\":{\"type\":\"array\","
        "\"items\":{\"type\":\"object\",\"properties\":{\"a\":" AMOUNT "}}}}}",
        NULL);
    g_autoptr(dx_matcher) m = dx_matcher_new(g, v, source);
    gboolean is_whole;
    take(m,
         "{\"s/r\":\"Acme \\\"Ltd\\\", Main St "
         "5\",\"l\":[{\"a\":null},{\"a\":\"12.50\"}]}",
         &is_whole);
    g_assert_true(is_whole);
    char *pointer = NULL;
    GArray *spans = NULL;
    g_assert_true(dx_matcher_copied(m, 0, &pointer, &spans));
    g_assert_cmpstr(pointer, ==, "/s~1r");
    g_assert_cmpuint(spans->len, ==, 2);
    g_assert_cmpuint(g_array_index(spans, dx_copy_span, 0).start, ==, 0);
    g_assert_cmpuint(g_array_index(spans, dx_copy_span, 0).end, ==, 10);
    g_assert_cmpuint(g_array_index(spans, dx_copy_span, 1).start, ==, 11);
    g_assert_cmpuint(g_array_index(spans, dx_copy_span, 1).end, ==, 20);
    g_free(pointer);
    g_array_unref(spans);
    g_assert_true(dx_matcher_copied(m, 1, &pointer, &spans));
    g_assert_cmpstr(pointer, ==, "/l/1/a");
    g_assert_cmpuint(spans->len, ==, 1);
    g_assert_cmpuint(g_array_index(spans, dx_copy_span, 0).start, ==, 27);
    g_assert_cmpuint(g_array_index(spans, dx_copy_span, 0).end, ==, 32);
    g_free(pointer);
    g_array_unref(spans);
    g_assert_false(dx_matcher_copied(m, 2, &pointer, &spans));
}

static void test_source_arguments(void)
{
    static const uint32_t inside = 1, start = 0, end = 2, far = 4;
    static const dx_copy_span empty = { 0, 0 }, good = { 0, 2 };
    g_assert_null(dx_copy_source_new("\xc3", 1));
    g_autoptr(dx_copy_source) source = dx_copy_source_new("\xc3\xa9x", 3);
    g_assert_true(dx_copy_source_add_free(source, "a", &start, 1, &end, 1, 9));
    g_assert_false(dx_copy_source_add_free(source, "a", &inside, 1, &end, 1, 9));
    g_assert_false(dx_copy_source_add_free(source, "a", &start, 1, &far, 1, 9));
    g_assert_true(dx_copy_source_add_spans(source, "a", &good, 1));
    g_assert_false(dx_copy_source_add_spans(source, "a", &empty, 1));
    g_assert_true(dx_copy_source_add_jump(source, 0, 2, ""));
    g_assert_false(dx_copy_source_add_jump(source, 2, 2, ""));
    g_assert_false(dx_copy_source_add_jump(source, 0, 1, ""));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/grammar/answers", test_answers);
    g_test_add_func("/grammar/refusals", test_refusals);
    g_test_add_func("/grammar/limits", test_limits);
    g_test_add_func("/grammar/size-limits", test_size_limits);
    g_test_add_func("/grammar/default-limits", test_default_limits);
    g_test_add_func("/grammar/forced", test_forced);
    g_test_add_func("/copy/pieces", test_copies);
    g_test_add_func("/copy/copied", test_copied);
    g_test_add_func("/copy/arguments", test_source_arguments);
    return g_test_run();
}

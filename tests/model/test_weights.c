/*
 * test_weights.c - hostile safetensors headers, shards, JSON, and configurations that
 * must be refused.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <string.h>

#include "json.h"
#include "weights.h"

static char *dir;

static void put_file(const char *name, const char *data, gsize bytes)
{
    char *path = g_build_filename(dir, name, NULL);
    g_assert_true(g_file_set_contents(path, data, (gssize)bytes, NULL));
    g_free(path);
}

static void drop_file(const char *name)
{
    char *path = g_build_filename(dir, name, NULL);
    (void)g_unlink(path); /* may not be there */
    g_free(path);
}

static void put_tensors(const char *name, const char *header, guint64 header_bytes,
                        gsize data_bytes)
{
    GString *file = g_string_new(NULL);
    for (int i = 0; i < 8; i++)
        g_string_append_c(file, (char)(header_bytes >> (8 * i)));
    g_string_append(file, header);
    for (gsize i = 0; i < data_bytes; i++)
        g_string_append_c(file, (char)i);
    put_file(name, file->str, file->len);
    g_string_free(file, TRUE);
}

#define T(shape, from, to)                                                               \
    "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static void test_headers(void)
{
    static const struct {
        const char *what, *header;
        gsize data_bytes;
        gint64 header_bytes; /* -1: as long as it is */
        vl_code expect;
    } cases[] = {
        { "one", "{\"a\":" T("[2]", "0", "8") "}", 8, -1, VL_OK },
        { "padded header, metadata",
          "{\"__metadata__\":{\"x\":\"y\"},\"a\":" T("[2]", "0", "8") "}   ", 8, -1,
          VL_OK },
        { "two", "{\"b\":" T("[1]", "8", "12") ",\"a\":" T("[1,2]", "0", "8") "}", 12, -1,
          VL_OK },
        { "scalar", "{\"a\":" T("[]", "0", "4") "}", 4, -1, VL_OK },
        { "truncated data", "{\"a\":" T("[2]", "0", "8") "}", 7, -1, VL_FORMAT },
        { "bytes behind", "{\"a\":" T("[2]", "0", "8") "}", 9, -1, VL_FORMAT },
        { "overlap", "{\"a\":" T("[2]", "0", "8") ",\"b\":" T("[2]", "4", "12") "}", 12,
          -1, VL_FORMAT },
        { "hole", "{\"a\":" T("[1]", "0", "4") ",\"b\":" T("[1]", "8", "12") "}", 12, -1,
          VL_FORMAT },
        { "size and shape differ", "{\"a\":" T("[3]", "0", "8") "}", 8, -1, VL_FORMAT },
        { "offsets reversed", "{\"a\":" T("[2]", "8", "0") "}", 8, -1, VL_FORMAT },
        { "offset negative", "{\"a\":" T("[2]", "-8", "0") "}", 8, -1, VL_FORMAT },
        { "offset fraction", "{\"a\":" T("[2]", "0.5", "8") "}", 8, -1, VL_FORMAT },
        { "side of zero", "{\"a\":" T("[0]", "0", "0") "}", 0, -1, VL_FORMAT },
        { "product overflows",
          "{\"a\":" T("[4294967295,4294967295,4294967295]", "0", "8") "}", 8, -1,
          VL_FORMAT },
        { "four dimensions", "{\"a\":" T("[1,1,1,2]", "0", "8") "}", 8, -1, VL_OK },
        { "five dimensions", "{\"a\":" T("[1,1,1,1,2]", "0", "8") "}", 8, -1, VL_FORMAT },
        { "other type",
          "{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, -1,
          VL_UNSUPPORTED },
        { "name twice", "{\"a\":" T("[1]", "0", "4") ",\"a\":" T("[1]", "4", "8") "}", 8,
          -1, VL_FORMAT },
        { "no object", "[]", 0, -1, VL_FORMAT },
        { "no tensor", "{}", 0, -1, VL_FORMAT },
        { "no JSON", "{\"a\"", 0, -1, VL_FORMAT },
        { "zero in a name", "{\"a\\u0000b\":" T("[2]", "0", "8") "}", 8, -1, VL_FORMAT },
        { "header one byte too long", "{}", 0, 3, VL_FORMAT },
        { "header length at the limit", "{}", 0, VL_WEIGHTS_HEADER_BYTES_MAX, VL_FORMAT },
        { "header length above the limit", "{}", 0, VL_WEIGHTS_HEADER_BYTES_MAX + 1,
          VL_LIMIT },
        { "header length enormous", "{}", 0, G_MAXINT64, VL_LIMIT },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        g_test_message("case: %s", cases[i].what);
        put_tensors("model.safetensors", cases[i].header,
                    cases[i].header_bytes < 0 ? strlen(cases[i].header)
                                              : (guint64)cases[i].header_bytes,
                    cases[i].data_bytes);
        vl_weights *w = vl_weights_open(dir, &err);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        g_assert_true((w != NULL) == (cases[i].expect == VL_OK));
        vl_weights_free(w);
    }
    drop_file("model.safetensors");
}

static void test_files(void)
{
    vl_error err = { 0 };
    g_assert_null(vl_weights_open(dir, &err));
    g_assert_cmpint(err.code, ==, VL_IO);
    put_file("model.safetensors", "1234567", 7);
    g_assert_null(vl_weights_open(dir, &err));
    g_assert_cmpint(err.code, ==, VL_FORMAT);
    put_file("model.safetensors", "", 0);
    g_assert_null(vl_weights_open(dir, &err));
    g_assert_cmpint(err.code, ==, VL_FORMAT);
    drop_file("model.safetensors");
}

static void test_shards(void)
{
    static const struct {
        const char *what, *index;
        vl_code expect;
    } cases[] = {
        { "two files",
          "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"y.safetensors\"}}", VL_OK },
        { "outside", "{\"weight_map\":{\"a\":\"../x.safetensors\"}}", VL_FORMAT },
        { "absolute", "{\"weight_map\":{\"a\":\"/x.safetensors\"}}", VL_FORMAT },
        { "other name", "{\"weight_map\":{\"a\":\"x.bin\"}}", VL_FORMAT },
        { "missing", "{\"weight_map\":{\"a\":\"z.safetensors\"}}", VL_IO },
        { "no map", "{}", VL_FORMAT },
        { "not in its file",
          "{\"weight_map\":{\"a\":\"x.safetensors\",\"c\":\"x.safetensors\"}}",
          VL_FORMAT },
        { "in two files",
          "{\"weight_map\":{\"a\":\"x.safetensors\",\"b\":\"x2.safetensors\"}}",
          VL_FORMAT },
    };
    put_tensors("x.safetensors", "{\"a\":" T("[1]", "0", "4") "}",
                strlen("{\"a\":" T("[1]", "0", "4") "}"), 4);
    put_tensors("x2.safetensors", "{\"a\":" T("[1]", "0", "4") "}",
                strlen("{\"a\":" T("[1]", "0", "4") "}"), 4);
    put_tensors("y.safetensors", "{\"b\":" T("[1]", "0", "4") "}",
                strlen("{\"b\":" T("[1]", "0", "4") "}"), 4);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        g_test_message("case: %s", cases[i].what);
        put_file("model.safetensors.index.json", cases[i].index, strlen(cases[i].index));
        vl_weights *w = vl_weights_open(dir, &err);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        if (w != NULL) {
            g_assert_cmpuint(vl_weights_count(w), ==, 2);
            g_assert_nonnull(vl_weights_get(w, "b"));
            g_assert_null(vl_weights_get(w, "c"));
        }
        vl_weights_free(w);
    }
    drop_file("model.safetensors.index.json");
    drop_file("x.safetensors");
    drop_file("x2.safetensors");
    drop_file("y.safetensors");
}

static void test_json(void)
{
    static const struct {
        const char *text;
        vl_code expect;
    } cases[] = {
        { "{\"a\":[1,-2.5e3,true,null,\"\\u00e9\\ud83d\\ude00\"]}", VL_OK },
        { " 0 ", VL_OK },
        { "", VL_FORMAT },
        { "01", VL_FORMAT },
        { "1.", VL_FORMAT },
        { "1e999", VL_FORMAT },
        { "[1,]", VL_FORMAT },
        { "{\"a\":1,}", VL_FORMAT },
        { "{\"a\":1,\"a\":2}", VL_FORMAT },
        { "\"\\ud800\"", VL_FORMAT },
        { "\"\xff\"", VL_FORMAT },
        { "\"\xc0\x80\"", VL_FORMAT },
        { "\"\n\"", VL_FORMAT },
        { "\"a", VL_FORMAT },
        { "nul", VL_FORMAT },
        { "1 1", VL_FORMAT },
        { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", VL_OK },
        { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
          VL_LIMIT },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        g_autofree char *shown = g_strescape(cases[i].text, NULL);
        g_test_message("case: %s", shown);
        vl_json_doc *doc =
            vl_json_parse(cases[i].text, strlen(cases[i].text), "test", &err);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        vl_json_free(doc);
    }
    vl_error err = { 0 };
    vl_json_doc *doc = vl_json_parse(cases[0].text, strlen(cases[0].text), "test", &err);
    const vl_json *list = vl_json_get(vl_json_root(doc), "a");
    g_assert_cmpuint(list->count, ==, 5);
    g_assert_cmpfloat(list->child->next->number, ==, -2500);
    g_assert_true(
        vl_json_is(list->child->next->next->next->next, "\xc3\xa9\xf0\x9f\x98\x80"));
    vl_json_free(doc);
}

/* Text of every length around a block's, in parts, against GLib's. */
static void check_sha256(bool is_scalar)
{
    char text[300];
    for (gsize i = 0; i < sizeof text; i++)
        text[i] = (char)g_test_rand_int_range(0, 256);
    for (gsize bytes = 0; bytes <= sizeof text; bytes++) {
        vl_sha256 sha;
        char hex[65];
        gsize part = (gsize)g_test_rand_int_range(0, (gint32)bytes + 1);
        vl_sha256_init(&sha);
        if (is_scalar)
            sha.blocks = vl_sha256_blocks_scalar;
        vl_sha256_add(&sha, text, part);
        vl_sha256_add(&sha, text + part, bytes - part);
        vl_sha256_hex(&sha, hex);
        char *sum = g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)text, bytes);
        g_assert_cmpstr(hex, ==, sum);
        g_free(sum);
    }
}

static void test_sha256(void)
{
    vl_sha256 sha;
    vl_sha256_init(&sha);
    if (sha.blocks == vl_sha256_blocks_scalar)
        g_test_message("this processor has no instructions for it");
    check_sha256(true);
    check_sha256(false);
}

/* The parity model with one change in its configuration. */
static void test_config(void)
{
    static const struct {
        const char *from, *to;
        vl_code expect;
    } cases[] = {
        { "\"model_name\":\"parity\"", "\"model_name\":\"other\"", VL_OK },
        { "\"deepseek_vl_v2\"", "\"llava\"", VL_UNSUPPORTED },
        { "\"use_mla\":false", "\"use_mla\":true", VL_FORMAT },
        { "\"use_mla\":false,", "", VL_FORMAT },
        { "\"use_mla\":false", "\"use_mla\":0", VL_FORMAT },
        { "\"n_routed_experts\":null", "\"n_routed_experts\":64", VL_FORMAT },
        { "\"use_mla\":false", "\"attention_bias\":true,\"use_mla\":false",
          VL_UNSUPPORTED },
        { "\"downsample_mlp_gelu\"", "\"linear\"", VL_UNSUPPORTED },
        { "\"tile_tag\":\"2D\"", "\"tile_tag\":\"1D\"", VL_UNSUPPORTED },
        { "\"num_key_value_heads\":2", "\"num_key_value_heads\":1", VL_UNSUPPORTED },
        { "\"depth\":2", "\"depth\":3", VL_UNSUPPORTED },
        { "\"num_attention_heads\":2", "\"num_attention_heads\":3", VL_UNSUPPORTED },
        { "\"hidden_size\":32", "\"hidden_size\":64", VL_FORMAT },
        { "\"intermediate_size\":48", "\"intermediate_size\":49", VL_FORMAT },
        { "\"intermediate_size\":48", "\"intermediate_size\":-1", VL_FORMAT },
        { "\"width\":32", "\"width\":8193", VL_LIMIT },
        { "\"num_hidden_layers\":2", "\"num_hidden_layers\":3", VL_FORMAT },
        { "\"num_hidden_layers\":2", "\"num_hidden_layers\":257", VL_LIMIT },
        { "\"vocab_size\":300", "\"vocab_size\":301", VL_FORMAT },
        { "\"tile_overlap\":16", "\"tile_overlap\":32", VL_FORMAT },
        { "\"tile_overlap\":16", "\"tile_overlap\":33", VL_LIMIT },
        { "\"anchors\":4", "\"anchors\":8", VL_FORMAT },
        { "\"anchors\":4", "\"anchors\":17", VL_LIMIT },
        { "[64,64]", "[64,65]", VL_FORMAT },
        { "[64,64]", "[3088,64]", VL_OK },
        { "[64,64]", "[3136,64]", VL_LIMIT },
        { "\"max_position_embeddings\":600", "\"max_position_embeddings\":131073",
          VL_LIMIT },
    };
    static const char *const names[] = { "tokenizer.json", "model.safetensors" };
    char *text, *data;
    gsize bytes;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        char *path = g_build_filename(TEST_DATA "/parity", names[i], NULL);
        g_assert_true(g_file_get_contents(path, &data, &bytes, NULL));
        put_file(names[i], data, bytes);
        g_free(data);
        g_free(path);
    }
    g_assert_true(
        g_file_get_contents(TEST_DATA "/parity/config.json", &text, NULL, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        GString *changed = g_string_new(text);
        g_test_message("case: %s", cases[i].to);
        g_assert_cmpuint(g_string_replace(changed, cases[i].from, cases[i].to, 1), ==, 1);
        put_file("config.json", changed->str, changed->len);
        vl_model *model = vl_model_open(dir, &(vl_model_opts){ .threads = 1 }, &err);
        g_test_message("%s", err.text);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        vl_model_unref(model);
        g_string_free(changed, TRUE);
    }
    drop_file("config.json");
    drop_file("tokenizer.json");
    drop_file("model.safetensors");
    g_free(text);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    dir = g_dir_make_tmp("vl-weights-XXXXXX", NULL);
    g_assert_nonnull(dir);
    g_test_add_func("/weights/headers", test_headers);
    g_test_add_func("/weights/files", test_files);
    g_test_add_func("/weights/shards", test_shards);
    g_test_add_func("/weights/json", test_json);
    g_test_add_func("/weights/sha256", test_sha256);
    g_test_add_func("/weights/config", test_config);
    int status = g_test_run();
    (void)g_rmdir(dir); /* stays only when a test failed */
    g_free(dir);
    return status;
}

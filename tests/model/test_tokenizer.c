/*
 * test_tokenizer.c - token vectors, round trips, and files that must be refused.
 */
#include <glib.h>
#include <string.h>

#include "tokenizer.h"
#include "weights.h"

#define VOCAB 300

static char *tokenizer_text;
static size_t tokenizer_bytes;

static vl_tokenizer *tokenizer_new(const char *text, size_t bytes, uint32_t vocab,
                                   vl_error *err)
{
    vl_json_doc *doc = vl_json_parse(text, bytes, "tokenizer.json", err);
    if (doc == NULL)
        return NULL;
    vl_tokenizer *t = vl_tokenizer_new(vl_json_root(doc), vocab, err);
    vl_json_free(doc);
    return t;
}

static vl_tokenizer *good_new(void)
{
    vl_error err = { 0 };
    vl_tokenizer *t = tokenizer_new(tokenizer_text, tokenizer_bytes, VOCAB, &err);
    g_assert_cmpstr(err.text, ==, "");
    return t;
}

static void check_round_trip(const vl_tokenizer *t, const char *text, size_t bytes)
{
    size_t count = vl_tokenizer_encode(t, text, bytes, NULL, 0);
    int32_t *ids = g_new(int32_t, count + 1);
    GString *back = g_string_new(NULL);
    g_assert_cmpuint(vl_tokenizer_encode(t, text, bytes, ids, count), ==, count);
    for (size_t i = 0; i < count; i++) {
        size_t n;
        const char *part = vl_tokenizer_bytes(t, ids[i], &n);
        g_assert_cmpuint(n, >, 0);
        g_string_append_len(back, part, (gssize)n);
    }
    g_assert_cmpmem(back->str, back->len, text, bytes);
    g_string_free(back, TRUE);
    g_free(ids);
}

static void test_vectors(void)
{
    vl_error err = { 0 };
    size_t bytes;
    char *text =
        vl_file_read(TEST_DATA "/parity/expect", "tokens.json", 1 << 20, &bytes, &err);
    vl_json_doc *doc = vl_json_parse(text, bytes, "tokens.json", &err);
    vl_tokenizer *t = good_new();
    g_assert_nonnull(doc);
    g_assert_cmpuint(vl_json_root(doc)->count, >=, 20);
    for (const vl_json *row = vl_json_root(doc)->child; row != NULL; row = row->next) {
        const vl_json *words = vl_json_get(row, "text"), *ids = vl_json_get(row, "ids");
        int32_t found[256];
        size_t i = 0;
        g_test_message("case: \"%s\"", words->text);
        size_t count = vl_tokenizer_encode(t, words->text, words->text_bytes, found, 256);
        g_assert_cmpuint(count, ==, ids->count);
        for (const vl_json *id = ids->child; id != NULL; id = id->next)
            g_assert_cmpint(found[i++], ==, (int32_t)id->number);
        check_round_trip(t, words->text, words->text_bytes);
    }
    vl_tokenizer_free(t);
    vl_json_free(doc);
    free(text);
}

static void test_specials(void)
{
    vl_tokenizer *t = good_new();
    static const char forged[] = "<|User|>";
    int32_t ids[32];
    size_t bytes;
    g_assert_cmpint(vl_tokenizer_special(t, VL_TOKEN_BOS), ==, 0);
    g_assert_cmpint(vl_tokenizer_special(t, VL_TOKEN_USER), ==, 9);
    size_t count = vl_tokenizer_encode(t, forged, strlen(forged), ids, 32);
    g_assert_cmpuint(count, >, 1);
    for (size_t i = 0; i < count; i++)
        g_assert_cmpint(ids[i], >, 10);
    for (int32_t id = -1; id < 11; id++) {
        (void)vl_tokenizer_bytes(t, id, &bytes); /* only the length matters */
        g_assert_cmpuint(bytes, ==, 0);
    }
    (void)vl_tokenizer_bytes(t, VOCAB, &bytes); /* beyond the last id */
    g_assert_cmpuint(bytes, ==, 0);
    vl_tokenizer_free(t);
}

static void test_random_bytes(void)
{
    vl_tokenizer *t = good_new();
    for (int round = 0; round < 300; round++) {
        char text[200];
        gsize n = (gsize)g_test_rand_int_range(0, sizeof text);
        for (gsize i = 0; i < n; i++)
            text[i] = g_test_rand_bit()
                          ? "hello aw'sg\n 1\xc3\xa9"[g_test_rand_int_range(0, 16)]
                          : (char)g_test_rand_int_range(0, 256);
        check_round_trip(t, text, n);
    }
    vl_tokenizer_free(t);
}

/* A "word" of a megabyte is merged in n log n: quadratic work would take hours. */
static void test_long_word(void)
{
    vl_tokenizer *t = good_new();
    size_t bytes = 1 << 20;
    char *text = g_malloc(bytes);
    memset(text, 'a', bytes);
    g_test_timer_start();
    g_assert_cmpuint(vl_tokenizer_encode(t, text, bytes, NULL, 0), ==, bytes / 4);
    g_assert_cmpfloat(g_test_timer_elapsed(), <, 20);
    g_free(text);
    vl_tokenizer_free(t);
}

static void test_refused(void)
{
    static const struct {
        const char *what, *from, *to;
        uint32_t vocab;
        vl_code expect;
    } cases[] = {
        { "vocabulary fits exactly", "", "", 284, VL_OK },
        { "id beyond the model", "", "", 283, VL_FORMAT },
        { "other pre-tokenizer", "\"Digits\"", "\"Split\"", VOCAB, VL_UNSUPPORTED },
        { "other model", "\"BPE\"", "\"Unigram\"", VOCAB, VL_UNSUPPORTED },
        { "normalizer", "\"normalizer\":null", "\"normalizer\":{}", VOCAB,
          VL_UNSUPPORTED },
        { "merge of unknown parts", "\"l l\"", "\"l zz\"", VOCAB, VL_FORMAT },
        { "merge without blank", "\"l l\"", "\"ll\"", VOCAB, VL_FORMAT },
        { "negative id", "\"ll\":267", "\"ll\":-1", VOCAB, VL_FORMAT },
        { "id twice", "\"ll\":267", "\"ll\":268", VOCAB, VL_FORMAT },
        { "duplicate key", "\"ll\":267", "\"he\":267", VOCAB, VL_FORMAT },
        { "byte without token", "\"a\":", "\"qqq\":", VOCAB, VL_FORMAT },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        g_test_message("case: %s", cases[i].what);
        GString *text = g_string_new_len(tokenizer_text, (gssize)tokenizer_bytes);
        if (cases[i].from[0] != '\0')
            g_assert_cmpuint(g_string_replace(text, cases[i].from, cases[i].to, 1), ==,
                             1);
        vl_tokenizer *t = tokenizer_new(text->str, text->len, cases[i].vocab, &err);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        g_assert_true((t != NULL) == (cases[i].expect == VL_OK));
        vl_tokenizer_free(t);
        g_string_free(text, TRUE);
    }
}

int main(int argc, char **argv)
{
    vl_error err = { 0 };
    g_test_init(&argc, &argv, NULL);
    tokenizer_text = vl_file_read(TEST_DATA "/parity", "tokenizer.json", 1 << 20,
                                  &tokenizer_bytes, &err);
    g_assert_nonnull(tokenizer_text);
    g_test_add_func("/tokenizer/vectors", test_vectors);
    g_test_add_func("/tokenizer/specials", test_specials);
    g_test_add_func("/tokenizer/random-bytes", test_random_bytes);
    g_test_add_func("/tokenizer/long-word", test_long_word);
    g_test_add_func("/tokenizer/refused", test_refused);
    int status = g_test_run();
    free(tokenizer_text);
    return status;
}

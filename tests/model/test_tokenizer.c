/*
 * test_tokenizer.c - token vectors, round trips, and files that must be refused.
 */
#include <glib.h>
#include <string.h>

#include "split.h"
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

static vl_json_doc *json_open(const char *dir, const char *name, char **text)
{
    vl_error err = { 0 };
    size_t bytes;
    *text = vl_file_read(dir, name, VL_TOKENIZER_BYTES_MAX, &bytes, &err);
    g_assert_cmpstr(err.text, ==, "");
    vl_json_doc *doc = vl_json_parse(*text, bytes, name, &err);
    g_assert_cmpstr(err.text, ==, "");
    return doc;
}

static void check_vectors(const vl_tokenizer *t, const char *dir, const char *name)
{
    char *text;
    vl_json_doc *doc = json_open(dir, name, &text);
    g_assert_cmpuint(vl_json_root(doc)->count, >=, 20);
    for (const vl_json *row = vl_json_root(doc)->child; row != NULL; row = row->next) {
        const vl_json *words = vl_json_get(row, "text"), *ids = vl_json_get(row, "ids");
        int32_t found[1024];
        size_t i = 0;
        g_test_message("case: \"%s\"", words->text);
        size_t count =
            vl_tokenizer_encode(t, words->text, words->text_bytes, found, 1024);
        g_assert_cmpuint(count, ==, ids->count);
        for (const vl_json *id = ids->child; id != NULL; id = id->next)
            g_assert_cmpint(found[i++], ==, (int32_t)id->number);
        check_round_trip(t, words->text, words->text_bytes);
    }
    vl_json_free(doc);
    free(text);
}

static void test_vectors(void)
{
    vl_tokenizer *t = good_new();
    check_vectors(t, TEST_DATA "/parity/expect", "tokens.json");
    vl_tokenizer_free(t);
}

/* A published vocabulary, or the part of one that the test's texts reach. */
static void test_published(gconstpointer data)
{
    const char *dir = data;
    vl_error err = { 0 };
    char *text;
    int32_t id;
    size_t bytes;
    vl_json_doc *doc = json_open(dir, "tokenizer.json", &text);
    vl_tokenizer *t = vl_tokenizer_new(vl_json_root(doc), 102400, &err);
    g_assert_cmpstr(err.text, ==, "");
    vl_json_free(doc);
    free(text);
    check_vectors(t, dir, "tokens.json");
    g_assert_cmpint(vl_tokenizer_special(t, VL_TOKEN_BOS), ==, 100000);
    g_assert_cmpint(vl_tokenizer_special(t, VL_TOKEN_ASSISTANT), ==, 100010);
    /* The vocabulary has no token for a byte that no text holds. */
    g_assert_cmpuint(vl_tokenizer_encode(t, "\xff", 1, &id, 1), ==, 1);
    const char *token = vl_tokenizer_bytes(t, id, &bytes);
    g_assert_cmpmem(token, bytes, "?", 1);
    vl_tokenizer_free(t);
}

typedef struct piece_list {
    const vl_json *next;
    size_t bytes;
} piece_list;

static void check_piece(void *user, const uint8_t *p, size_t bytes)
{
    piece_list *list = user;
    g_assert_nonnull(list->next);
    g_assert_cmpmem(p, bytes, list->next->text, list->next->text_bytes);
    list->next = list->next->next;
    list->bytes += bytes;
}

static void test_splits(void)
{
    char *text;
    vl_json_doc *doc = json_open(TEST_DATA "/tokenizer", "splits.json", &text);
    g_assert_cmpuint(vl_json_root(doc)->count, ==, 2);
    for (const vl_json *set = vl_json_root(doc)->child; set != NULL; set = set->next) {
        vl_error err = { 0 };
        vl_split *split = vl_split_new(vl_json_get(set, "stages"), &err);
        g_assert_cmpstr(err.text, ==, "");
        const vl_json *rows = vl_json_get(set, "rows");
        g_assert_cmpuint(rows->count, >=, 150);
        for (const vl_json *row = rows->child; row != NULL; row = row->next) {
            GString *whole = g_string_new(NULL);
            for (const vl_json *piece = row->child; piece != NULL; piece = piece->next)
                g_string_append_len(whole, piece->text, (gssize)piece->text_bytes);
            piece_list list = { row->child, 0 };
            vl_split_run(split, (const uint8_t *)whole->str, whole->len, check_piece,
                         &list);
            g_assert_null(list.next);
            g_assert_cmpuint(list.bytes, ==, whole->len);
            g_string_free(whole, TRUE);
        }
        vl_split_free(split);
    }
    vl_json_free(doc);
    free(text);
}

static void add_bytes(void *user, const uint8_t *p, size_t bytes)
{
    g_string_append_len(user, (const char *)p, (gssize)bytes);
}

static vl_split *split_of(const char *pattern, vl_error *err)
{
    GString *text = g_string_new("[{\"type\":\"Split\",\"behavior\":\"Isolated\","
                                 "\"invert\":false,\"pattern\":{\"Regex\":\"");
    for (const char *p = pattern; *p != '\0'; p++) {
        if (*p == '\\' || *p == '"')
            g_string_append_c(text, '\\');
        g_string_append_c(text, *p);
    }
    g_string_append(text, "\"}},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                          "\"use_regex\":false}]");
    vl_json_doc *doc = vl_json_parse(text->str, text->len, "test", err);
    g_assert_nonnull(doc);
    vl_split *split = vl_split_new(vl_json_root(doc), err);
    vl_json_free(doc);
    g_string_free(text, TRUE);
    return split;
}

static void test_patterns(void)
{
    static const struct {
        const char *pattern;
        vl_code expect;
    } cases[] = {
        { "a", VL_OK },
        { "[a-z0-9_-]{2,3}|\\s+$|[^\\p{L}\\n]+(?!\\S)", VL_OK },
        { "a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p", VL_OK },
        { "a|b|c|d|e|f|g|h|i|j|k|l|m|n|o|p|q", VL_UNSUPPORTED },
        { "abcdefgh", VL_OK },
        { "abcdefghi", VL_UNSUPPORTED },
        { "a{1000}", VL_OK },
        { "a{1001}", VL_UNSUPPORTED },
        { "", VL_UNSUPPORTED },
        { "a*", VL_UNSUPPORTED },
        { "a|", VL_UNSUPPORTED },
        { "a{0}", VL_UNSUPPORTED },
        { "a{3,2}", VL_UNSUPPORTED },
        { "a{99999999999}", VL_UNSUPPORTED },
        { "a{2", VL_UNSUPPORTED },
        { "a+?", VL_UNSUPPORTED },
        { "a++", VL_UNSUPPORTED },
        { "(a)", VL_UNSUPPORTED },
        { "(?i:a)", VL_UNSUPPORTED },
        { "a(?!bc)", VL_UNSUPPORTED },
        { "a(?!b", VL_UNSUPPORTED },
        { "a$b", VL_UNSUPPORTED },
        { "a*b+", VL_OK },
        { "a*b+c", VL_UNSUPPORTED },
        { "a*b{1,2}$", VL_UNSUPPORTED },
        { "$", VL_UNSUPPORTED },
        { ".", VL_UNSUPPORTED },
        { "[", VL_UNSUPPORTED },
        { "[]", VL_UNSUPPORTED },
        { "[a", VL_UNSUPPORTED },
        { "[a-", VL_UNSUPPORTED },
        { "[z-a]", VL_UNSUPPORTED },
        { "[a-\\s]", VL_UNSUPPORTED },
        { "[a[b]]", VL_UNSUPPORTED },
        { "[a&&b]", VL_UNSUPPORTED },
        { "\\d", VL_UNSUPPORTED },
        { "\\p{Lu}", VL_UNSUPPORTED },
        { "\\", VL_UNSUPPORTED },
        { "[\\", VL_UNSUPPORTED },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        g_test_message("case: %s", cases[i].pattern);
        vl_split *split = split_of(cases[i].pattern, &err);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        g_assert_true((split != NULL) == (cases[i].expect == VL_OK));
        vl_split_free(split);
    }
}

/* Whatever the bytes, the pieces are the text; and runs of blanks cost no square. */
static void test_split_any(void)
{
    vl_error err = { 0 };
    vl_split *split =
        split_of("\\s+$|\\s*[\\r\\n]+|[^\\p{L}]?[\\p{L}\\p{M}]+|\\p{P}{1,3}", &err);
    g_assert_nonnull(split);
    for (int round = 0; round < 500; round++) {
        char text[64];
        gsize n = (gsize)g_test_rand_int_range(0, sizeof text);
        for (gsize i = 0; i < n; i++)
            text[i] = g_test_rand_bit()
                          ? "a \n.\xc3\xa9\xcc\x81"[g_test_rand_int_range(0, 8)]
                          : (char)g_test_rand_int_range(0, 256);
        GString *back = g_string_new(NULL);
        vl_split_run(split, (const uint8_t *)text, n, add_bytes, back);
        g_assert_cmpmem(back->str, back->len, text, n);
        g_string_free(back, TRUE);
    }
    gsize bytes = 1 << 20;
    char *text = g_malloc(bytes);
    memset(text, ' ', bytes);
    text[bytes - 1] = '1';
    GString *back = g_string_new(NULL);
    g_test_timer_start();
    vl_split_run(split, (const uint8_t *)text, bytes, add_bytes, back);
    g_assert_cmpfloat(g_test_timer_elapsed(), <, 20);
    g_assert_cmpuint(back->len, ==, bytes);
    g_string_free(back, TRUE);
    g_free(text);
    vl_split_free(split);
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
        { "normalizers, but none", "\"normalizer\":null",
          "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[]}", VOCAB, VL_OK },
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
    g_test_add_data_func("/tokenizer/published", TEST_DATA "/tokenizer", test_published);
    if (g_getenv("VL_TOKENS") != NULL) /* a whole vocabulary: make_tokens.py */
        g_test_add_data_func("/tokenizer/whole", g_getenv("VL_TOKENS"), test_published);
    g_test_add_func("/tokenizer/splits", test_splits);
    g_test_add_func("/tokenizer/patterns", test_patterns);
    g_test_add_func("/tokenizer/split-any", test_split_any);
    g_test_add_func("/tokenizer/specials", test_specials);
    g_test_add_func("/tokenizer/random-bytes", test_random_bytes);
    g_test_add_func("/tokenizer/long-word", test_long_word);
    g_test_add_func("/tokenizer/refused", test_refused);
    int status = g_test_run();
    free(tokenizer_text);
    return status;
}

/*
 * test_grammar_property.c - writes answers for schemas that check_property.py drew.
 *
 * Reads one JSON Schema a line, answers with one JSON text a line: random logits on a
 * small vocabulary, as a sampler would choose.  "!" and the message when the schema is
 * refused, "?" when the matcher found no way on.  Also times the mask: with --time a line
 * "time MEAN_US P99_US MAX_US STEPS" goes to stderr.
 */
#include "dx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKENS = 4096, STEPS_MAX = 20000, LINE_MAX_BYTES = 1 << 20 };

static char *texts[TOKENS];
static size_t lengths[TOKENS];

/* All bytes, then frequent pieces of JSON, words and UTF-8, cut and joined at random. */
static dx_vocab *make_vocab(GRand *rand)
{
    static const char *const bits[] = {
        "\"",
        "\":",
        "\",\"",
        "{\"",
        "}",
        "]",
        "[",
        ",",
        ":",
        "null",
        "true",
        "false",
        "0",
        "12",
        "-",
        ".",
        "00",
        "a",
        "the",
        " ",
        "in",
        "vo",
        "ice",
        "\\n",
        "\\u00",
        "\\\"",
        "\xc3\xa9",
        "\xe2\x82\xac",
        "\xf0\x9f\x98\x80",
        "\xe2\x82",
        "-0",
        "2024",
        "1e",
        "\\",
        "/",
        "e",
        "x",
        "19",
        "\\u",
        "\xc3",
    };
    lengths[0] = 0; /* end of the answer */
    texts[0] = g_strdup("");
    for (int i = 1; i < TOKENS; i++) {
        GString *s = g_string_new(NULL);
        if (i <= 256)
            g_string_append_c(s, (char)(i - 1));
        for (int k = 0; i > 256 && k < g_rand_int_range(rand, 1, 4); k++) {
            if (g_rand_boolean(rand))
                g_string_append(s, bits[g_rand_int_range(rand, 0, G_N_ELEMENTS(bits))]);
            else
                g_string_append_c(s, (char)g_rand_int_range(rand, 32, 127));
        }
        lengths[i] = s->len;
        texts[i] = g_string_free(s, FALSE);
    }
    return dx_vocab_new((const char *const *)texts, lengths, TOKENS, 0);
}

/* Random logits: the best of `tries` allowed tokens after a random place, so that short
 * and long answers both occur. */
static int32_t choose(GRand *rand, const uint32_t *mask, gboolean likes_quotes)
{
    int32_t best = -1;
    double best_logit = 0;
    int tries = 0;
    guint32 from = g_rand_int_range(rand, 0, TOKENS);
    for (int k = 0; k < TOKENS && tries < 16; k++) {
        int32_t i = (int32_t)((from + (guint)k * 769) % TOKENS);
        if (!(mask[i / 32] >> (i % 32) & 1))
            continue;
        double logit = g_rand_double(rand);
        if (likes_quotes && lengths[i] > 0 && strpbrk(texts[i], "\"]}") != NULL)
            logit += 1;
        if (best < 0 || logit > best_logit) {
            best = i;
            best_logit = logit;
        }
        tries++;
    }
    return best;
}

static GArray *times;

static vl_step timed_next(dx_matcher *m, uint32_t *mask, int32_t *forced, size_t *count)
{
    gint64 from = g_get_monotonic_time();
    vl_step step = dx_matcher_next(m, mask, forced, 64, count);
    gint64 us = g_get_monotonic_time() - from;
    g_array_append_val(times, us);
    return step;
}

static void answer(const dx_grammar *g, const dx_vocab *v, GRand *rand)
{
    static uint32_t mask[TOKENS / 32];
    g_autoptr(dx_matcher) m = dx_matcher_new(g, v, NULL);
    gboolean likes_quotes = g_rand_int_range(rand, 0, 4) != 0;
    for (int i = 0; i < STEPS_MAX; i++) {
        int32_t forced[64];
        size_t count;
        vl_step step = timed_next(m, mask, forced, &count);
        if (step == VL_STEP_END) {
            puts(dx_matcher_text(m, NULL));
            return;
        }
        if (step == VL_STEP_FAIL)
            break;
        /* After many steps end what can be ended. */
        int32_t token = choose(rand, mask, likes_quotes || i > 60);
        gboolean is_good = step == VL_STEP_FORCED || dx_matcher_accept(m, token);
        for (size_t k = 0; step == VL_STEP_FORCED && k < count && is_good; k++)
            is_good = dx_matcher_accept(m, forced[k]);
        if (!is_good) {
            puts("? a token of the mask was refused");
            return;
        }
    }
    printf("? no way on after %s\n", dx_matcher_text(m, NULL));
}

static int number_order(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;
    return x < y ? -1 : x > y;
}

static void report(void)
{
    double sum = 0;
    g_array_sort(times, number_order);
    for (guint i = 0; i < times->len; i++)
        sum += (double)g_array_index(times, gint64, i);
    if (times->len > 0)
        fprintf(stderr,
                "time mean %.1f us, p99 %" G_GINT64_FORMAT " us, max %" G_GINT64_FORMAT
                " us, %u steps\n",
                sum / times->len, g_array_index(times, gint64, times->len * 99 / 100),
                g_array_index(times, gint64, times->len - 1), times->len);
}

int main(int argc, char **argv)
{
    guint32 seed = argc > 1 ? (guint32)strtoul(argv[1], NULL, 10) : 1;
    GRand *rand = g_rand_new_with_seed(seed);
    dx_vocab *v = make_vocab(rand);
    times = g_array_new(FALSE, FALSE, sizeof(gint64));
    char *line = g_malloc(LINE_MAX_BYTES);
    while (fgets(line, LINE_MAX_BYTES, stdin) != NULL) {
        g_autoptr(GError) error = NULL;
        json_t *schema = json_loads(line, JSON_DECODE_ANY, NULL);
        dx_grammar *g = schema != NULL ? dx_grammar_compile(schema, &error) : NULL;
        if (g == NULL)
            printf("! %s\n", error != NULL ? error->message : "not JSON");
        else
            answer(g, v, rand);
        dx_grammar_unref(g);
        json_decref(schema);
    }
    if (argc > 2 && strcmp(argv[2], "--time") == 0)
        report();
    g_free(line);
    g_array_unref(times);
    dx_vocab_unref(v);
    for (int i = 0; i < TOKENS; i++)
        g_free(texts[i]);
    g_rand_free(rand);
    return 0;
}

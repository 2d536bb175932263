/*
 * test_merge.c - anchors that say what they were trained to say, and the characters back.
 */
#include <glib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "merge.h"

#define COLUMNS 128u
#define ROWS    8u
#define WIDE    4.0f
#define HIGH    16.0f

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789.,-";
static uint32_t codes[sizeof alphabet];
static vl_report reports[ROWS * COLUMNS];
static float nearest[ROWS * COLUMNS];

static uint32_t kind_of(char c)
{
    return (uint32_t)(strchr(alphabet, c) - alphabet) + 1;
}

static float advance_of(char c, float height)
{
    return height * (strchr("ijl.,", c) != NULL  ? 0.34f
                     : strchr("tfr-", c) != NULL ? 0.44f
                     : strchr("mw", c) != NULL   ? 1.1f
                                                 : 0.76f);
}

static void clear(void)
{
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++) {
        reports[i] = (vl_report){ .none = 0.99f };
        nearest[i] = 99;
    }
    for (uint32_t i = 0; alphabet[i] != '\0'; i++)
        codes[i] = (uint8_t)alphabet[i];
}

/* The labels of training (labels() in train.py); within one and one and a half anchors
 * they are not judged, so there the report is `stray` likely to repeat the character, at
 * a place pulled toward itself. */
static void say(char c, float x, float y, float height, float stray)
{
    int row = (int)(y / HIGH), column = (int)(x / WIDE);
    float part = y / HIGH - (float)row;
    int other = part < 0.25f ? row - 1 : part > 0.75f ? row + 1 : -1;
    for (int n = 0; n < 2; n++) {
        int i = n == 0 ? row : other;
        if (i < 0 || i >= (int)ROWS)
            continue;
        for (int j = MAX(0, column - 2); j < MIN((int)COLUMNS, column + 3); j++) {
            float middle = WIDE * ((float)j + 0.5f), dx = x - middle;
            float distance = fabsf(dx) + (n == 0 ? 0 : 1);
            uint32_t at = (uint32_t)i * COLUMNS + (uint32_t)j;
            if (distance >= nearest[at] || fabsf(dx) >= 6)
                continue;
            float prob = fabsf(dx) <= 4 ? 0.98f : stray;
            nearest[at] = distance;
            reports[at] = (vl_report){ .none = 1 - prob,
                                       .prob = { prob },
                                       .kind = { kind_of(c) },
                                       .x = middle + CLAMP(dx, -3, 3),
                                       .y = y,
                                       .height = height,
                                       .gap = -3 };
        }
    }
}

static void say_line(const char *text, float x, float y, float height, float slope,
                     float stray)
{
    for (const char *c = text; *c != '\0'; c++) {
        float advance = *c == ' ' ? 0.4f * height : advance_of(*c, height);
        x += advance / 2;
        if (*c != ' ')
            say(*c, x, y + slope * x, height, stray);
        x += advance / 2;
    }
}

typedef struct placed {
    float x, y;
    char c;
} placed;

static int by_place(const void *a, const void *b)
{
    const placed *p = a, *q = b;
    if (fabsf(p->y - q->y) > 8)
        return p->y < q->y ? -1 : 1;
    return (p->x > q->x) - (p->x < q->x);
}

static char *merge(void)
{
    vl_anchors anchors = { reports, COLUMNS, ROWS, WIDE, HIGH, codes };
    vl_mark *marks = NULL;
    size_t count = 0;
    g_assert_true(vl_anchors_merge(&anchors, &marks, &count));
    placed *all = g_new0(placed, count + 1);
    for (size_t i = 0; i < count; i++)
        all[i] = (placed){ marks[i].x, marks[i].y, alphabet[marks[i].kind - 1] };
    qsort(all, count, sizeof *all, by_place);
    GString *text = g_string_new(NULL);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && fabsf(all[i].y - all[i - 1].y) > 8)
            g_string_append_c(text, '/');
        g_string_append_c(text, all[i].c);
        g_assert_cmpfloat(marks[i].prob, >, 0.2f);
    }
    g_free(all);
    free(marks);
    return g_string_free(text, FALSE);
}

static void test_lines(void)
{
    static const struct {
        const char *what, *text;
        float x, y, height, slope, stray;
    } cases[] = {
        { "large print", "total amount", 10, 40, 20, 0, 0.1f },
        { "common print", "the quick brown fox 123", 10, 40, 12, 0, 0.1f },
        { "double letters", "all little bottles, 1100.00", 10, 40, 12, 0, 0.1f },
        { "strays repeat their neighbour", "all little bottles, 1100.00", 10, 40, 12, 0,
          0.9f },
        { "strays at another place", "all little bottles, 1100.00", 11.3f, 40, 13, 0,
          0.9f },
        { "on the edge of two patches", "settled twice", 10, 48, 12, 0, 0.6f },
        { "just above the edge", "settled twice", 10, 46.5f, 12, 0, 0.6f },
        { "skewed over an edge", "the quick brown fox 123", 10, 44, 12, 0.04f, 0.6f },
        { "small print", "small print 2019", 10, 40, 9, 0, 0.3f },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        clear();
        say_line(cases[i].text, cases[i].x, cases[i].y, cases[i].height, cases[i].slope,
                 cases[i].stray);
        char *got = merge();
        char **words = g_strsplit(cases[i].text, " ", -1), *want = g_strjoinv("", words);
        g_assert_cmpstr(got, ==, want);
        g_strfreev(words);
        g_free(want);
        g_free(got);
    }
}

/* Random lines of random print: nearly nothing is lost, nothing is made up. */
static void test_recall(void)
{
    uint32_t right = 0, all = 0;
    for (int round = 0; round < 60; round++) {
        char text[40];
        uint32_t count = 0;
        float height = (float)g_test_rand_double_range(10, 18), x = 8;
        while (count < 30 && x < 480) {
            text[count] = alphabet[g_test_rand_int_range(0, 36)];
            x += advance_of(text[count++], height);
        }
        text[count] = '\0';
        clear();
        say_line(text, 8, (float)g_test_rand_double_range(24, 100), height, 0, 0.5f);
        char *got = merge();
        /* Common characters in order. */
        uint32_t at = 0;
        for (const char *c = got; *c != '\0'; c++) {
            const char *hit = strchr(text + at, *c);
            if (hit == NULL || hit > text + at + 2)
                continue;
            at = (uint32_t)(hit - text) + 1;
            right++;
        }
        g_assert_cmpuint(strlen(got), <=, count + 1);
        all += count;
        g_free(got);
    }
    g_test_message("%u of %u characters", right, all);
    g_assert_cmpuint(right * 100, >=, all * 98);
}

/* A patch between two lines says a mixture of both: that is no third line. */
static void test_squeezed(void)
{
    clear();
    say_line("upper line of print", 10, 28, 12, 0, 0.3f);
    say_line("lower line of print", 10, 51, 12, 0, 0.3f);
    for (uint32_t i = 2 * COLUMNS + 4; i < 2 * COLUMNS + 36; i++) {
        float x = WIDE * ((float)(i % COLUMNS) + 0.5f);
        reports[i] = (vl_report){ .none = 0.3f,
                                  .prob = { 0.6f },
                                  .kind = { 1 + i % 20 },
                                  .x = x,
                                  .y = 39.5f,
                                  .height = 12 };
    }
    char *got = merge();
    g_assert_cmpstr(got, ==, "upperlineofprint/lowerlineofprint");
    g_free(got);
}

/* An anchor four to six pixels from two characters gives part of its answer to either, and
 * a place between: the likelier of them is not there twice. */
static void test_shared(void)
{
    static const char text[] = "58.00, 12.32, all liable titles, ttii 5.89 ll 1100.31";
    uint32_t shared = 0;
    for (int step = 0; step < 20; step++) {
        float height = 12 + 0.25f * (float)step, start = 8 + 0.4f * (float)step,
              x = start;
        struct {
            float x;
            char c;
        } set[sizeof text];
        size_t count = 0;
        clear();
        say_line(text, start, 40, height, 0, 0.2f);
        for (const char *c = text; *c != '\0'; c++) {
            float advance = *c == ' ' ? 0.4f * height : advance_of(*c, height);
            x += advance / 2;
            if (*c != ' ') {
                set[count].x = x;
                set[count++].c = *c;
            }
            x += advance / 2;
        }
        for (size_t i = 0; i + 1 < count; i++)
            for (uint32_t j = 0; j < COLUMNS; j++) {
                float middle = WIDE * ((float)j + 0.5f), to = middle - set[i].x,
                      from = set[i + 1].x - middle;
                if (to < 4 || to >= 6.5f || from < 4 || from >= 6.5f ||
                    set[i].c == set[i + 1].c)
                    continue;
                bool is_left = to < from;
                char near = is_left ? set[i].c : set[i + 1].c,
                     far = is_left ? set[i + 1].c : set[i].c;
                reports[2 * COLUMNS + j] =
                    (vl_report){ .none = 0.01f,
                                 .prob = { 0.78f, 0.2f },
                                 .kind = { kind_of(near), kind_of(far) },
                                 .x = middle + (is_left ? -0.7f : 0.7f),
                                 .y = 40,
                                 .height = height,
                                 .gap = -3 };
                shared++;
            }
        char *got = merge();
        char **words = g_strsplit(text, " ", -1), *want = g_strjoinv("", words);
        g_assert_cmpstr(got, ==, want);
        g_strfreev(words);
        g_free(want);
        g_free(got);
    }
    g_assert_cmpuint(shared, >, 50);
}

/* Lines a little more than a patch apart: a row that two of them reach names letters of
 * both, at heights between them.  Few letters go astray. */
static void test_mixed(void)
{
    static const char *const lines[] = {
        "appropriate space. you must",  "the information required for",
        "of income for which a treaty", "made. note, if you claim a",
        "reduced rate of tax, based",   "on a treaty, you must be a",
    };
    static float smooth[COLUMNS];
    uint32_t right = 0, found = 0, all = 0;
    for (int phase = 0; phase < 8; phase++) {
        float top = 14 + 2.2f * (float)phase, pitch = 17.7f;
        clear();
        for (uint32_t i = 0; i < G_N_ELEMENTS(lines); i++)
            say_line(lines[i], 10, top + pitch * (float)i, 12, 0, 0.6f);
        for (uint32_t row = 0; row < ROWS; row++) {
            vl_report *r = &reports[(size_t)row * COLUMNS];
            for (uint32_t c = 0; c < COLUMNS; c++) {
                float sum = 0, count = 0;
                for (uint32_t k = c > 1 ? c - 2 : 0; k < MIN(c + 3, COLUMNS); k++)
                    if (r[k].none < 0.7f) {
                        sum += r[k].y;
                        count++;
                    }
                smooth[c] = count > 0 ? sum / count : r[c].y;
            }
            for (uint32_t c = 0; c < COLUMNS; c++)
                r[c].y = smooth[c];
        }
        vl_anchors anchors = { reports, COLUMNS, ROWS, WIDE, HIGH, codes };
        vl_mark *marks = NULL;
        size_t count = 0;
        g_assert_true(vl_anchors_merge(&anchors, &marks, &count));
        found += (uint32_t)count;
        for (uint32_t i = 0; i < G_N_ELEMENTS(lines); i++) {
            float x = 10;
            for (const char *c = lines[i]; *c != '\0'; c++) {
                float advance = *c == ' ' ? 4.8f : advance_of(*c, 12);
                float y = top + pitch * (float)i;
                x += advance / 2;
                if (*c != ' ') {
                    bool is_found = false;
                    for (size_t k = 0; k < count; k++)
                        is_found |= marks[k].kind == kind_of(*c) &&
                                    fabsf(marks[k].x - x) < 3 &&
                                    fabsf(marks[k].y - y) < 7;
                    right += is_found;
                    all++;
                }
                x += advance / 2;
            }
        }
        free(marks);
    }
    g_test_message("%u of %u characters, %u named", right, all, found);
    g_assert_cmpuint(right * 100, >=, all * 90);
    g_assert_cmpuint(found * 100, <=, all * 111);
}

/* Where the patches of a line's height speak of the line above, every third anchor has
 * nothing to say about it: that is no silence. */
static void test_taken(void)
{
    static const char text[] = "the amount under the sum";
    size_t found = 0, all = 0;
    for (int step = 0; step < 20; step++) {
        clear();
        say_line(text, 10 + 0.4f * (float)step, 28, 12, 0, 0.1f);
        for (uint32_t c = (uint32_t)step % 3; c < COLUMNS; c += 3)
            reports[COLUMNS + c] = (vl_report){ .none = 0.01f,
                                                .prob = { 0.97f },
                                                .kind = { kind_of('o') },
                                                .x = WIDE * ((float)c + 0.5f),
                                                .y = 9,
                                                .height = 12,
                                                .gap = -3 };
        char *got = merge();
        char **lines = g_strsplit(got, "/", -1);
        found += strlen(lines[g_strv_length(lines) - 1]);
        g_strfreev(lines);
        all += strlen("theamountunderthesum");
        g_free(got);
    }
    g_test_message("%zu of %zu characters", found, all);
    g_assert_cmpuint(found, <=, all);
    g_assert_cmpuint(found * 100, >=, all * 96);
}

/* Letters much closer than their height lets expect. */
static void test_condensed(void)
{
    static const char text[] = "hereandnowashopnamedupon";
    clear();
    for (uint32_t i = 0; text[i] != '\0'; i++)
        say(text[i], 12 + 6.4f * (float)i, 40, 20, 0.3f);
    char *got = merge();
    g_assert_cmpstr(got, ==, text);
    g_free(got);
}

/* What the anchors of a character name beside it comes with it. */
static void test_doubt(void)
{
    clear();
    say_line("abc", 40, 40, 16, 0, 0);
    for (uint32_t i = 0; i < COLUMNS * ROWS; i++)
        if (reports[i].kind[0] == kind_of('b')) {
            reports[i].prob[0] = 0.6f;
            reports[i].prob[1] = 0.3f;
            reports[i].kind[1] = kind_of('h');
        }
    vl_anchors anchors = { reports, COLUMNS, ROWS, WIDE, HIGH, codes };
    vl_mark *marks = NULL;
    size_t count = 0;
    g_assert_true(vl_anchors_merge(&anchors, &marks, &count));
    g_assert_cmpuint(count, ==, 3);
    for (size_t i = 0; i < count; i++) {
        gboolean is_doubted = marks[i].kind == kind_of('b');
        g_assert_cmpuint(marks[i].other[0], ==, is_doubted ? kind_of('h') : 0);
        g_assert_cmpfloat_with_epsilon(marks[i].other_prob[0], is_doubted ? 0.3f : 0,
                                       1e-3f);
    }
    free(marks);
}

static void test_noise(void)
{
    for (int round = 0; round < 30; round++) {
        clear();
        for (uint32_t i = 0; i < ROWS * COLUMNS; i++) {
            float none = (float)g_test_rand_double_range(0, 1);
            if (g_test_rand_int_range(0, 50) == 0)
                none = NAN;
            reports[i] =
                (vl_report){ .none = none,
                             .prob = { (1 - none) / 2, (1 - none) / 4 },
                             .kind = { (uint32_t)g_test_rand_int_range(1, 20),
                                       (uint32_t)g_test_rand_int_range(20, 39) },
                             .x = (float)g_test_rand_double_range(-99, 600),
                             .y = (float)g_test_rand_double_range(-99, 600),
                             .height = (float)g_test_rand_double_range(-20, 60) };
        }
        g_free(merge());
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/merge/lines", test_lines);
    g_test_add_func("/merge/recall", test_recall);
    g_test_add_func("/merge/squeezed", test_squeezed);
    g_test_add_func("/merge/shared", test_shared);
    g_test_add_func("/merge/mixed", test_mixed);
    g_test_add_func("/merge/taken", test_taken);
    g_test_add_func("/merge/condensed", test_condensed);
    g_test_add_func("/merge/doubt", test_doubt);
    g_test_add_func("/merge/noise", test_noise);
    return g_test_run();
}

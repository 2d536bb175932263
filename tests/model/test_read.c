/*
 * test_read.c - characters to words and lines.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "read.h"

typedef struct page {
    vl_char chars[2000];
    size_t count;
} page;

/* Print at (x, y): every character `advance` apart, blanks as a gap of one more; the gap
 * flag of the letter before a blank is `flag`. */
static void print_line(page *p, const char *text, float x, float y, float height,
                       float advance, float flag, float slope)
{
    for (const char *c = text; *c != '\0'; c++, x += advance) {
        if (*c == ' ')
            continue;
        p->chars[p->count++] = (vl_char){ .code = (uint8_t)*c,
                                          .x = x,
                                          .y = y + slope * x,
                                          .height = height,
                                          .prob = 0.9f,
                                          .gap = c[1] == ' ' ? flag : 0.02f };
    }
}

static char *read_page(const page *p, const vl_page_place *place)
{
    vl_error err = { 0 };
    vl_text *text = vl_text_group(p->chars, p->count, place, &err);
    g_assert_nonnull(text);
    size_t count, char_count;
    const vl_word *words = vl_text_words(text, &count);
    const vl_char *chars = vl_text_chars(text, &char_count);
    GString *out = g_string_new(NULL);
    for (size_t i = 0; i < count; i++) {
        const vl_word *w = &words[i];
        g_assert_cmpfloat(w->x0, <=, w->x1);
        g_assert_cmpfloat(w->y0, <=, w->y1);
        g_assert_cmpfloat(w->x0, >=, 0);
        g_assert_cmpfloat(w->x1, <=, place->width);
        g_assert_cmpuint(w->char_first + w->char_count, <=, char_count);
        g_assert_cmpuint(chars[w->char_first].code, ==, g_utf8_get_char(w->text));
        g_assert_cmpint(g_utf8_strlen(w->text, -1), ==, w->char_count);
        if (i > 0)
            g_string_append_c(out, words[i - 1].line != w->line ? '\n' : ' ');
        g_string_append(out, w->text);
    }
    vl_text_free(text);
    return g_string_free(out, FALSE);
}

static const vl_page_place plain = { 0, 0, 1, 1, 1000, 1000 };

static void test_words(void)
{
    static const struct {
        const char *what;
        float flag, advance, slope;
    } cases[] = {
        { "flag and distance", 0.95f, 8, 0 }, { "no flag, distance alone", 0.3f, 8, 0 },
        { "narrow print", 0.95f, 6, 0 },      { "skewed down", 0.95f, 8, 0.03f },
        { "skewed up", 0.95f, 8, -0.03f },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        page p = { .count = 0 };
        g_test_message("case: %s", cases[i].what);
        float f = cases[i].flag, a = cases[i].advance, s = cases[i].slope;
        print_line(&p, "Total amount due 125.00", 100, 180, 11, a, f, s);
        print_line(&p, "Invoice number 4711 of March", 100, 160, 11, a, f, s);
        print_line(&p, "12", 800, 160, 11, a, f, s);
        char *text = read_page(&p, &plain);
        g_assert_cmpstr(text, ==,
                        "Invoice number 4711 of March 12\nTotal amount due 125.00");
        g_free(text);
    }
}

/* The flag parts where the distance alone would not, and only with it. */
static void test_flag(void)
{
    for (int has_flag = 0; has_flag < 2; has_flag++) {
        page p = { .count = 0 };
        print_line(&p, "nnnnnnnn", 100, 100, 11, 8, 0, 0);
        print_line(&p, "nnnnnnnn", 100 + 8 * 8 + 2.5f, 100, 11, 8, 0, 0);
        p.chars[7].gap = has_flag != 0 ? 0.97f : 0.1f;
        char *text = read_page(&p, &plain);
        g_assert_cmpstr(text, ==,
                        has_flag != 0 ? "nnnnnnnn nnnnnnnn" : "nnnnnnnnnnnnnnnn");
        g_free(text);
    }
}

static void test_doubles(void)
{
    page p = { .count = 0 };
    print_line(&p, "word", 100, 100, 12, 9, 0.9f, 0);
    p.chars[p.count] = p.chars[1];
    p.chars[p.count].x += 1;
    p.chars[p.count++].prob = 0.5f;
    char *text = read_page(&p, &plain);
    g_assert_cmpstr(text, ==, "word");
    g_free(text);
}

static void test_place(void)
{
    vl_error err = { 0 };
    page p = { .count = 0 };
    size_t count;
    print_line(&p, "ab", 110, 60, 10, 8, 0.9f, 0);
    vl_page_place place = { 10, 20, 2, 2, 400, 300 };
    vl_text *text = vl_text_group(p.chars, p.count, &place, &err);
    const vl_word *w = vl_text_words(text, &count);
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpfloat(fabsf(w->x0 - 192), <, 0.01f);
    g_assert_cmpfloat(fabsf(w->x1 - 224), <, 0.01f);
    g_assert_cmpfloat(fabsf(w->height - 20), <, 0.01f);
    g_assert_cmpfloat(w->y0, <, 80);
    g_assert_cmpfloat(w->y1, >, 80);
    g_assert_cmpfloat(fabsf(vl_text_chars(text, &count)[0].x - 200), <, 0.01f);
    vl_text_free(text);
}

static void test_empty_and_noise(void)
{
    page p = { .count = 0 };
    char *text = read_page(&p, &plain);
    g_assert_cmpstr(text, ==, "");
    g_free(text);
    for (int round = 0; round < 20; round++) {
        p.count = (size_t)g_test_rand_int_range(1, 1500);
        for (size_t i = 0; i < p.count; i++)
            p.chars[i] = (vl_char){ .code = (uint32_t)g_test_rand_int_range(33, 0x2000),
                                    .x = (float)g_test_rand_double_range(0, 1000),
                                    .y = (float)g_test_rand_double_range(0, 1000),
                                    .height = (float)g_test_rand_double_range(-50, 200),
                                    .prob = 0.5f,
                                    .gap = (float)g_test_rand_double_range(0, 1) };
        g_free(read_page(&p, &plain));
    }
}

/* Column `name` of running text, ragged at the right: its words begin with that letter.
 * Its lines are added to `want`. */
static void print_column(page *p, char name, float x, float y, float pitch, int lines,
                         GString *want)
{
    uint32_t seed = (uint32_t)name * 7919;
    for (int i = 0; i < lines; i++) {
        g_autoptr(GString) line = g_string_new(NULL);
        for (;;) {
            seed = seed * 1664525 + 1013904223;
            gsize length = 2 + (seed >> 16) % 7;
            if (line->len + 1 + length > 27 || (i % 7 == 6 && line->len > 5))
                break;
            g_string_append_printf(line, "%s%c%.*s", line->len > 0 ? " " : "", name,
                                   (int)length - 1, "nosuerla");
        }
        print_line(p, line->str, x, y + pitch * (float)i, 10, 7, 0.97f, 0);
        g_string_append_printf(want, "%s\n", line->str);
    }
}

/* Columns of running text whose baselines are shifted against each other are read one after
 * the other, whatever the shift, and no line is torn. */
static void test_columns(void)
{
    static const struct {
        float gutter, pitch; /* heights; the last letter of a full line to the first */
        int columns;
    } cases[] = { { 3, 1.6f, 2 }, { 2, 1.6f, 3 }, { 2, 1.35f, 3 }, { 1.5f, 1.5f, 2 } };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        for (int shift = 0; shift <= 70; shift += 10) {
            page p = { .count = 0 };
            g_autoptr(GString) want = g_string_new("HhhhhH IiiiI JjjjJ\n");
            float pitch = 10 * cases[i].pitch, x = 40;
            g_test_message("case: %d columns, gutter %.1f, pitch %.2f, shift %d %%",
                           cases[i].columns, cases[i].gutter, cases[i].pitch, shift);
            print_line(&p, "HhhhhH IiiiI JjjjJ", x + 40, 60, 14, 11, 0.97f, 0);
            for (int k = 0; k < cases[i].columns; k++) {
                print_column(&p, (char)('a' + k), x,
                             100 + pitch * (float)(shift * k) / 100, pitch, 14, want);
                x += 26 * 7 + 10 * cases[i].gutter;
            }
            g_autofree char *text = read_page(&p, &plain);
            g_string_truncate(want, want->len - 1);
            g_assert_cmpstr(text, ==, want->str);
        }
}

/* A heading across two columns parts the page: what stands above it comes first. */
static void test_heading(void)
{
    page p = { .count = 0 };
    g_autoptr(GString) want = g_string_new(NULL);
    print_column(&p, 'a', 40, 100, 16, 8, want);
    print_column(&p, 'b', 260, 106, 16, 8, want);
    print_line(&p, "HhhH IiiI JjjJ KkkK LllL", 60, 260, 14, 12, 0.97f, 0);
    g_string_append(want, "HhhH IiiI JjjJ KkkK LllL\n");
    print_column(&p, 'c', 40, 290, 16, 8, want);
    print_column(&p, 'd', 260, 295, 16, 8, want);
    g_autofree char *text = read_page(&p, &plain);
    g_string_truncate(want, want->len - 1);
    g_assert_cmpstr(text, ==, want->str);
}

/* A table is read in rows, and so are the two blocks above it that share lines. */
static void test_rows(void)
{
    static const char *const sheet[][4] = {
        { "Seller and Sons", "", "", "Invoice 4711" },
        { "Long Street 12", "", "", "Date 12.03.2019" },
        { "12345 Somewhere", "", "", "Customer 998" },
        { "Country", "", "", "Page 1" },
        { "", "", "", "" },
        { "Article", "Pieces", "Each", "Amount" },
        { "Screws of brass, long", "10", "1.20", "12.00" },
        { "Nails", "200", "0.05", "10.00" },
        { "Hammer with handle", "1", "19.90", "19.90" },
        { "Paint, white", "2", "8.45", "16.90" },
        { "Brushes for paint", "3", "2.10", "6.30" },
        { "Total", "", "", "65.10" },
    };
    page p = { .count = 0 };
    g_autoptr(GString) want = g_string_new(NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(sheet); i++) {
        g_autoptr(GString) line = g_string_new(NULL);
        for (int k = 0; k < 4; k++) {
            static const float left[] = { 40, 330, 420, 520 };
            const char *text = sheet[i][k];
            if (*text == '\0')
                continue;
            print_line(&p, text, left[k], 100 + 18 * (float)i, 10, 7, 0.97f, 0.002f);
            g_string_append_printf(line, "%s%s", line->len > 0 ? " " : "", text);
        }
        if (line->len > 0)
            g_string_append_printf(want, "%s%s", want->len > 0 ? "\n" : "", line->str);
    }
    g_autofree char *text = read_page(&p, &plain);
    g_assert_cmpstr(text, ==, want->str);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/read/words", test_words);
    g_test_add_func("/read/flag", test_flag);
    g_test_add_func("/read/doubles", test_doubles);
    g_test_add_func("/read/place", test_place);
    g_test_add_func("/read/columns", test_columns);
    g_test_add_func("/read/heading", test_heading);
    g_test_add_func("/read/rows", test_rows);
    g_test_add_func("/read/empty-and-noise", test_empty_and_noise);
    return g_test_run();
}

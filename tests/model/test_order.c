/*
 * test_order.c - pieces of lines, and the order in which they are read.
 */
#include <glib.h>
#include <string.h>

#include "order.h"

typedef struct sheet {
    vl_piece pieces[400];
    const char *names[400];
    size_t count;
} sheet;

static void put(sheet *s, const char *name, float x0, float x1, float y)
{
    s->names[s->count] = name;
    s->pieces[s->count++] = (vl_piece){ x0, x1, y, 10 };
}

static void column(sheet *s, const char *name, float x0, float x1, float y, int lines)
{
    for (int i = 0; i < lines; i++)
        put(s, name, x0, x1, y + 20 * (float)i);
}

/* Names in reading order, those of one line joined, repetitions once. */
static char *read_sheet(const sheet *s)
{
    uint32_t lines[400], areas[400];
    GString *out = g_string_new(NULL);
    const char *last = "";
    g_assert_true(vl_order_pieces(s->pieces, s->count, lines, areas));
    for (uint32_t line = 0; line < s->count; line++) {
        g_autoptr(GString) row = g_string_new(NULL);
        for (int x = 0; x < 1000; x += 10)
            for (size_t i = 0; i < s->count; i++)
                if (lines[i] == line && (int)s->pieces[i].x0 / 10 * 10 == x)
                    g_string_append(row, s->names[i]);
        if (row->len > 0 && !g_str_equal(row->str, last))
            g_string_append_printf(out, "%s ", row->str);
        last = row->len > 0 ? g_intern_string(row->str) : last;
    }
    return g_string_free(out, FALSE);
}

static void test_columns(void)
{
    sheet two = { .count = 0 };
    put(&two, "H", 100, 700, 50);
    column(&two, "a", 100, 380, 102, 12);
    column(&two, "b", 420, 700, 100, 11);
    put(&two, "F", 380, 420, 400);
    char *text = read_sheet(&two);
    g_assert_cmpstr(text, ==, "H a b F ");
    g_free(text);
    sheet three = { .count = 0 };
    column(&three, "a", 100, 280, 100, 9);
    column(&three, "c", 520, 700, 103, 9);
    column(&three, "b", 310, 490, 101, 9);
    text = read_sheet(&three);
    g_assert_cmpstr(text, ==, "a b c ");
    g_free(text);
    /* A heading across parts the page into bands. */
    sheet bands = { .count = 0 };
    column(&bands, "a", 100, 380, 100, 8);
    column(&bands, "b", 420, 700, 100, 8);
    put(&bands, "H", 100, 700, 300);
    column(&bands, "c", 100, 380, 340, 8);
    column(&bands, "d", 420, 700, 340, 8);
    text = read_sheet(&bands);
    g_assert_cmpstr(text, ==, "a b H c d ");
    g_free(text);
}

/* A caption amid two columns does not part them. */
static void test_caption(void)
{
    sheet s = { .count = 0 };
    column(&s, "a", 100, 380, 100, 16);
    column(&s, "b", 420, 700, 100, 16);
    put(&s, "c", 385, 425, 202);
    char *text = read_sheet(&s);
    g_assert_true(g_str_has_prefix(text, "a "));
    g_assert_cmpuint(strlen(text), <=, strlen("a b c b "));
    g_free(text);
}

/* Rows stay whole where one side is of short pieces: tables, receipts, forms. */
static void test_rows(void)
{
    static const struct {
        const char *what;
        float a0, a1, b0, b1;
        int a_lines, b_lines;
    } cases[] = {
        { "prices", 100, 380, 640, 700, 12, 12 },
        { "labels", 100, 160, 420, 700, 12, 12 },
        { "few lines", 100, 380, 420, 700, 4, 4 },
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        sheet s = { .count = 0 };
        g_test_message("case: %s", cases[i].what);
        column(&s, "a", cases[i].a0, cases[i].a1, 100, cases[i].a_lines);
        column(&s, "b", cases[i].b0, cases[i].b1, 101, cases[i].b_lines);
        char *text = read_sheet(&s);
        g_assert_cmpstr(text, ==, "ab ");
        g_free(text);
    }
}

/* Two texts below each other are no columns, however they are set. */
static void test_below(void)
{
    sheet s = { .count = 0 };
    column(&s, "b", 420, 700, 100, 8);
    column(&s, "a", 100, 380, 400, 8);
    char *text = read_sheet(&s);
    g_assert_cmpstr(text, ==, "b a ");
    g_free(text);
}

static void test_noise(void)
{
    for (int round = 0; round < 50; round++) {
        sheet s = { .count = 0 };
        uint32_t lines[400], areas[400], most = 0;
        int count = g_test_rand_int_range(0, 400);
        for (int i = 0; i < count; i++) {
            float x = (float)g_test_rand_double_range(0, 900);
            put(&s, "x", x, x + (float)g_test_rand_double_range(0, 300),
                (float)g_test_rand_double_range(0, 900));
        }
        g_assert_true(vl_order_pieces(s.pieces, s.count, lines, areas));
        for (size_t i = 0; i < s.count; i++)
            most = MAX(most, lines[i] + 1);
        g_assert_cmpuint(most, <=, s.count);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/order/columns", test_columns);
    g_test_add_func("/order/caption", test_caption);
    g_test_add_func("/order/rows", test_rows);
    g_test_add_func("/order/below", test_below);
    g_test_add_func("/order/noise", test_noise);
    return g_test_run();
}

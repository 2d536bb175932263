/*
 * test_layout.c - words to rows, cells and back; labels and their neighbours.
 */
#include "layout.h"

#include <math.h>
#include <string.h>

/* A4 in points; boxes are given in points and turned into fractions. */
#define WIDTH  595.0
#define HEIGHT 842.0

static void add(GArray *words, const char *text, double x, double y, double width)
{
    dx_word w = { (char *)text,      x / WIDTH,   y / HEIGHT, (x + width) / WIDTH,
                  (y + 10) / HEIGHT, 10 / HEIGHT, 1 };
    g_array_append_val(words, w);
}

static GArray *invoice_words(void)
{
    GArray *words = g_array_new(FALSE, FALSE, sizeof(dx_word));
    add(words, "404,60", 480, 302, 40);
    add(words, "Rechnungsnummer:", 50, 100, 90);
    add(words, "RE-7", 200, 101, 30);
    add(words, "Datum", 300, 100, 30);
    add(words, "31.05.2024", 300, 113, 50);
    add(words, "Gesamt", 50, 300, 40);
    add(words, "betrag", 93, 300, 40);
    add(words, "", 10, 10, 5);
    add(words, "€", 523, 302, 6);
    return words;
}

static void test_text(void)
{
    g_autoptr(GArray) words = invoice_words();
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 0, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(l->text, ==,
                    "Rechnungsnummer:\tRE-7\tDatum\n31.05.2024\nGesamt betrag\t404,60 €");
    g_assert_cmpuint(l->word_count, ==, 8);
    g_assert_cmpuint(l->row_count, ==, 3);
    /* Every byte of a word knows it, separators do not; the way back is the same. */
    for (guint w = 0; w < l->word_count; w++) {
        const dx_word *source = &g_array_index(words, dx_word, l->word_source[w]);
        g_assert_cmpmem(l->text + l->word_start[w], l->word_end[w] - l->word_start[w],
                        source->text, strlen(source->text));
        for (gsize b = l->word_start[w]; b < l->word_end[w]; b++)
            g_assert_cmpuint(l->word_at[b], ==, w);
    }
    for (gsize b = 0; b < l->bytes; b++)
        if (strchr("\t\n ", l->text[b]) != NULL)
            g_assert_cmpuint(l->word_at[b], ==, G_MAXUINT32);
    g_assert_cmpuint(l->cells->len, ==, 6);
    gsize at = (gsize)(strstr(l->text, "404") - l->text);
    const dx_cell *cell = dx_layout_cell(l, at);
    g_assert_cmpuint(cell->row, ==, 2);
    g_assert_cmpuint(cell->col, ==, 1);
    g_assert_cmpuint(cell->start, ==, at);
    dx_box box;
    g_autoptr(GArray) boxes = dx_layout_span(l, at, l->bytes, &box);
    g_assert_cmpuint(boxes->len, ==, 2);
    g_assert_cmpfloat_with_epsilon(box.x0, 480 / WIDTH, 1e-9);
    g_assert_cmpfloat_with_epsilon(box.x1, 529 / WIDTH, 1e-9);
}

/* The row rule: just under and just over half a height. */
static void test_rows(void)
{
    static const struct {
        double offset;
        guint rows;
    } cases[] = { { 0, 1 }, { 4.9, 1 }, { 5.1, 2 }, { -4.9, 1 }, { 30, 2 } };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(dx_word));
        add(words, "a", 50, 100, 20);
        add(words, "b", 75, 100 + cases[i].offset, 20);
        g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 0, NULL);
        g_test_message("case: offset %g", cases[i].offset);
        g_assert_cmpuint(l->row_count, ==, cases[i].rows);
    }
    /* A skewed line stays one row although its ends are two heights apart. */
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(dx_word));
    for (int i = 0; i < 10; i++)
        add(words, "w", 50 + 25 * i, 100 + 2 * i, 20);
    g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 0, NULL);
    g_assert_cmpuint(l->row_count, ==, 1);
}

static void test_gap(void)
{
    static const struct {
        double gap;
        const char *text;
    } cases[] = { { 3, "a b" }, { 8.9, "a b" }, { 9.1, "a\tb" }, { -5, "a b" } };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(dx_word));
        add(words, "a", 50, 100, 20);
        add(words, "b", 70 + cases[i].gap, 100, 20);
        g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 0, NULL);
        g_assert_cmpstr(l->text, ==, cases[i].text);
    }
}

static void test_jumps(void)
{
    g_autoptr(GArray) words = invoice_words();
    g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 0, NULL);
    g_autoptr(GArray) jumps = dx_layout_jumps(l);
    g_assert_cmpuint(jumps->len, ==, 1);
    const dx_jump *jump = &g_array_index(jumps, dx_jump, 0);
    g_assert_cmpuint(jump->from, ==, (gsize)(strstr(l->text, "Datum") - l->text) + 5);
    g_assert_cmpuint(jump->to, ==, (gsize)(strstr(l->text, "31.05") - l->text));
    for (int near_enough = 0; near_enough < 2; near_enough++) {
        g_autoptr(GArray) two = g_array_new(FALSE, FALSE, sizeof(dx_word));
        add(two, "top", 50, 100, 40);
        add(two, "below", 60, 110 + (near_enough ? 14.9 : 15.1), 40);
        g_autoptr(dx_layout) m = dx_layout_new(two, WIDTH, HEIGHT, 0, NULL);
        g_autoptr(GArray) found = dx_layout_jumps(m);
        g_assert_cmpuint(found->len, ==, (guint)near_enough);
    }
}

static void test_labels(void)
{
    static const struct {
        const char *line, *label;
        int errors; /* -1: not found */
        const char *found;
    } cases[] = {
        { "Rechnungsnummer: 12", "rechnungsnummer", 0, "Rechnungsnummer" },
        { "Rechnungsnumrner: 12", "Rechnungsnummer", 2, "Rechnungsnumrner" },
        { "Rechnungsnumner 12", "Rechnungsnummer", 1, "Rechnungsnumner" },
        { "RECHNUNG NR. 12", "Rechnung Nr", 0, "RECHNUNG NR" },
        { "Invoice No.: 12", "Invoice no", 0, "Invoice No" },
        { "Numéro de facture 12", "numero de facture", 0, "Numéro de facture" },
        { "Totaal 12", "Total", -1, NULL },
        { "Subtotal 12", "Total", -1, NULL },
        { "Total 12", "Total", 0, "Total" },
        { "Line 2", "Line 1", -1, NULL },
        { "Dato 1", "Date", -1, NULL },
        { "Our reference 12", "Your reference", -1, NULL },
        { "Notre commande 12", "Votre commande", -1, NULL },
        { "Vour reference 12", "Your reference", 1, "Vour reference" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s in %s", cases[i].label, cases[i].line);
        g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(dx_word));
        g_auto(GStrv) each = g_strsplit(cases[i].line, " ", -1);
        double x = 50;
        for (char **w = each; *w != NULL; w++) {
            double width = 5.0 * (double)g_utf8_strlen(*w, -1);
            add(words, *w, x, 100, width);
            x += width + 3;
        }
        g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 0, NULL);
        const char *labels[] = { cases[i].label, NULL };
        g_autoptr(GArray) found = dx_layout_labels(l, labels);
        g_assert_cmpuint(found->len, ==, (cases[i].errors >= 0 ? 1u : 0u));
        if (found->len == 0)
            continue;
        const dx_label *one = &g_array_index(found, dx_label, 0);
        g_assert_cmpuint(one->errors, ==, (guint)cases[i].errors);
        g_autofree char *text = g_strndup(l->text + one->start, one->end - one->start);
        text[strcspn(text, ":.")] = 0;
        g_assert_cmpstr(text, ==, cases[i].found);
    }
}

static double score_of(const dx_layout *l, const char *label, const char *value)
{
    const char *labels[] = { label, NULL };
    g_autoptr(GArray) found = dx_layout_labels(l, labels);
    g_assert_cmpuint(found->len, ==, 1);
    gsize start = (gsize)(strstr(l->text, value) - l->text);
    return dx_layout_score(l, &g_array_index(found, dx_label, 0), start,
                           start + strlen(value));
}

static void test_score(void)
{
    g_autoptr(GArray) words = invoice_words();
    g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 0, NULL);
    double number = score_of(l, "Rechnungsnummer", "RE-7");
    double date = score_of(l, "Datum", "31.05.2024");
    g_assert_cmpfloat(number, >, 0.7);
    g_assert_cmpfloat(date, >, 0.7);
    g_assert_cmpfloat(score_of(l, "Rechnungsnummer", "404,60"), <, 0.05);
    g_assert_cmpfloat(score_of(l, "Datum", "RE-7"), ==, 0);
    g_assert_cmpfloat(score_of(l, "Gesamt betrag", "404,60"), >, 0.3);
    g_assert_cmpfloat(score_of(l, "Gesamt betrag", "31.05.2024"), ==, 0);
    g_assert_cmpfloat(score_of(l, "Datum", "Datum"), ==, 0);
}

static void test_limits(void)
{
    for (guint extra = 0; extra < 2; extra++) {
        g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(dx_word));
        for (guint i = 0; i < DX_LAYOUT_WORDS_MAX + extra; i++)
            add(words, "w", 5.0 * (i % 100), 4.0 * (double)(i / 100), 4);
        g_autoptr(GError) error = NULL;
        g_autoptr(dx_layout) l = dx_layout_new(words, WIDTH, HEIGHT, 6, &error);
        if (extra == 0) {
            g_assert_no_error(error);
            g_assert_cmpuint(l->word_count, ==, DX_LAYOUT_WORDS_MAX);
        } else {
            g_assert_error(error, DX_ERROR, DX_LIMIT);
            g_assert_cmpstr(error->message, ==, "page 7: 20001 words, limit 20000");
        }
    }
}

static void test_hostile(void)
{
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(dx_word));
    dx_word bad[] = {
        { "a\tb\nc", 0.5, 0.5, 0.1, 0.1, 0, 1 },
        { "\xff\xfe", 0, 0, 0, 0, 0, 1 },
        { "nan", NAN, 0, 1, 1, 0, 1 },
        { "inf", 0, 0, INFINITY, 1, 0, 1 },
        { NULL, 0, 0, 1, 1, 0, 1 },
        { "far", -50, 1e9, 4, 1e9, 0, 1 },
    };
    g_array_append_vals(words, bad, G_N_ELEMENTS(bad));
    g_autoptr(dx_layout) l = dx_layout_new(words, 0, 0, 0, NULL);
    g_assert_nonnull(l);
    g_assert_true(g_utf8_validate(l->text, -1, NULL));
    g_assert_cmpuint(l->word_count, ==, 3);
    g_autoptr(GArray) none = g_array_new(FALSE, FALSE, sizeof(dx_word));
    g_autoptr(dx_layout) empty = dx_layout_new(none, WIDTH, HEIGHT, 0, NULL);
    g_assert_cmpstr(empty->text, ==, "");
    g_assert_null(dx_layout_cell(empty, 0));
    const char *labels[] = { "Total", NULL };
    g_autoptr(GArray) found = dx_layout_labels(empty, labels);
    g_assert_cmpuint(found->len, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/layout/text", test_text);
    g_test_add_func("/layout/rows", test_rows);
    g_test_add_func("/layout/gap", test_gap);
    g_test_add_func("/layout/jumps", test_jumps);
    g_test_add_func("/layout/labels", test_labels);
    g_test_add_func("/layout/score", test_score);
    g_test_add_func("/layout/limits", test_limits);
    g_test_add_func("/layout/hostile", test_hostile);
    return g_test_run();
}

/* test_form.c - captions and entries of forms, ruled lines, tick boxes in text and drawn. */
#include "form.h"

#include "page.h"

#define COLUMN(c) ((40 + (c)*PAGE_LETTER) / PAGE_WIDTH)
#define LINE(n)   ((40 + (n)*PAGE_LINE) / PAGE_HEIGHT)

/* The page's words; `words` keeps the texts. */
static GArray *prints_of(GArray *words)
{
    GArray *prints = g_array_new(FALSE, FALSE, sizeof(dx_print));
    for (guint i = 0; i < words->len; i++) {
        const dx_word *w = &g_array_index(words, dx_word, i);
        dx_print p = { .text = w->text,
                       .box = { w->x0, w->y0, w->x1, w->y1 },
                       .em = w->em,
                       .prob = w->prob };
        g_array_append_val(prints, p);
    }
    return prints;
}

/* A field over columns [from, to) of a line. */
static dx_box field(double from, double to, double line)
{
    return (dx_box){ COLUMN(from), LINE(line), COLUMN(to),
                     LINE(line) + 10 / PAGE_HEIGHT };
}

static char *caption(const char *page, dx_box box, gboolean is_tick, const GArray *others)
{
    g_autoptr(GArray) words = page_words(page);
    g_autoptr(GArray) prints = prints_of(words);
    g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(dx_box));
    g_array_append_val(all, box);
    if (others != NULL)
        g_array_append_vals(all, others->data, others->len);
    dx_spot spot = { box, is_tick, all, PAGE_WIDTH / PAGE_HEIGHT };
    return dx_caption(prints, &spot, NULL);
}

static void test_captions(void)
{
    static const struct {
        const char *page, *expected;
        double from, to, line;
        gboolean is_tick;
    } cases[] = {
        { "Surname:", "Surname", 10, 40, 0, FALSE },
        { "1  Name of the owner\n", "1 Name of the owner", 0, 30, 1, FALSE },
        { "Some text above it\n1  Street and number,\nno box\n",
          "1 Street and number, no box", 0, 30, 3, FALSE },
        { "\n\nDate (day, month)", "Date (day, month)", 0, 20, 1, FALSE },
        { "   Resident of this country\n", "Resident of this country", 0, 2, 0, TRUE },
        { "   I agree that the data\n   are kept", "I agree that the data are kept", 0, 2,
          0, TRUE },
        { "Amount $", "Amount", 9, 20, 0, FALSE },
        { "far above\n\n\n\n\n\n", NULL, 0, 20, 6, FALSE },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %zu: %s", i, cases[i].page);
        g_autofree char *text =
            caption(cases[i].page, field(cases[i].from, cases[i].to, cases[i].line),
                    cases[i].is_tick, NULL);
        g_assert_cmpstr(text, ==, cases[i].expected);
    }
}

/* What stands before another field belongs to that one. */
static void test_neighbours(void)
{
    static const char page[] = "   Yes        No\n";
    g_autoptr(GArray) others = g_array_new(FALSE, FALSE, sizeof(dx_box));
    dx_box no = field(11, 13, 0);
    g_array_append_val(others, no);
    g_autofree char *text = caption(page, field(0, 2, 0), TRUE, others);
    g_assert_cmpstr(text, ==, "Yes");
    g_array_set_size(others, 0);
    dx_box yes = field(0, 2, 0);
    g_array_append_val(others, yes);
    g_autofree char *other = caption(page, no, TRUE, others);
    g_assert_cmpstr(other, ==, "No");
}

static void test_signs(void)
{
    static const struct {
        const char *page;
        guint count;
        dx_tick_state first;
    } cases[] = {
        { "☒ Yes   ☐ No", 2, DX_TICK_ON },
        { "[x] Yes   [] No", 2, DX_TICK_ON },
        { "□Married   ■Single", 2, DX_TICK_OFF },
        { "■ first point\n■ second point", 0, DX_TICK_OFF }, /* bullets */
        { "Yes   No", 0, DX_TICK_OFF },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].page);
        g_autoptr(GArray) words = page_words(cases[i].page);
        g_autoptr(GArray) prints = prints_of(words);
        g_autoptr(GArray) ticks = dx_ticks_set(prints);
        g_assert_cmpuint(ticks->len, ==, cases[i].count);
        if (ticks->len > 0)
            g_assert_cmpint(g_array_index(ticks, dx_tick, 0).state, ==, cases[i].first);
    }
}

/* ---- pictures ---- */

#define SIDE 400

static guint8 paper[SIDE * SIDE];

static void line(int x0, int y0, int x1, int y1)
{
    int n = MAX(ABS(x1 - x0), ABS(y1 - y0));
    for (int i = 0; i <= n; i++) {
        int x = x0 + (x1 - x0) * i / n, y = y0 + (y1 - y0) * i / n;
        paper[y * SIDE + x] = 20;
        paper[y * SIDE + x + 1] = 20;
    }
}

static void frame(int x, int y, int w, int h)
{
    line(x, y, x + w, y);
    line(x, y + h, x + w, y + h);
    line(x, y, x, y + h);
    line(x + w, y, x + w, y + h);
}

static GArray *drawn(void)
{
    vl_image image = { paper, SIDE, SIDE, 1, SIDE };
    g_autoptr(dx_ink) ink = dx_ink_new(&image, NULL);
    return dx_ticks_drawn(ink, 20);
}

static void test_frames(void)
{
    memset(paper, 240, sizeof paper);
    frame(40, 40, 24, 24); /* empty */
    frame(140, 40, 24, 24);
    line(138, 38, 168, 68); /* a cross that sticks out */
    line(168, 38, 138, 68);
    g_autoptr(GArray) ticks = drawn();
    g_assert_cmpuint(ticks->len, ==, 2);
    const dx_tick *a = &g_array_index(ticks, dx_tick, 0), *b = a + 1;
    const dx_tick *empty = a->box.x0 < b->box.x0 ? a : b, *crossed = empty == a ? b : a;
    g_assert_cmpint(empty->state, ==, DX_TICK_OFF);
    g_assert_cmpint(crossed->state, ==, DX_TICK_ON);
    g_assert_cmpfloat_with_epsilon(empty->box.x0, 40.0 / SIDE, 0.01);
    g_assert_cmpfloat_with_epsilon(crossed->box.x1, 165.0 / SIDE, 0.01);
}

/* No boxes: a wide cell, a large frame, an open shape, a ring, a filled square. */
static void test_no_frames(void)
{
    memset(paper, 240, sizeof paper);
    frame(20, 20, 120, 24);
    frame(20, 100, 120, 120);
    line(200, 20, 224, 20);
    line(200, 20, 200, 44);
    line(200, 44, 224, 44);
    for (int y = 0; y < 30; y++)
        for (int x = 0; x < 30; x++) {
            int r = (x - 15) * (x - 15) + (y - 15) * (y - 15);
            if (r > 120 && r < 190)
                paper[(100 + y) * SIDE + 200 + x] = 20;
            paper[(200 + y) * SIDE + 200 + x] = 20;
        }
    g_autoptr(GArray) ticks = drawn();
    g_assert_cmpuint(ticks->len, ==, 0);
}

/* Rings of one size are to be ticked; a letter is followed closely, a lonely ring is none. */
static void ring(int x, int y, int radius, int filled)
{
    for (int dy = -radius; dy <= radius; dy++)
        for (int dx = -radius; dx <= radius; dx++) {
            int r = dx * dx + dy * dy;
            if ((r > (radius - 2) * (radius - 2) && r <= radius * radius) ||
                r < filled * filled)
                paper[(y + dy) * SIDE + x + dx] = 20;
        }
}

static void test_rings(void)
{
    memset(paper, 240, sizeof paper);
    ring(60, 60, 13, 0);
    ring(160, 60, 13, 7);
    ring(260, 60, 13, 0);
    for (int y = 50; y < 70; y++) /* the next letter of a word */
        memset(paper + y * SIDE + 275, 20, 3);
    g_autoptr(GArray) ticks = drawn();
    g_assert_cmpuint(ticks->len, ==, 2);
    g_assert_cmpint(g_array_index(ticks, dx_tick, 0).state, ==, DX_TICK_OFF);
    g_assert_cmpint(g_array_index(ticks, dx_tick, 1).state, ==, DX_TICK_ON);
    memset(paper, 240, sizeof paper);
    ring(60, 60, 13, 0);
    g_autoptr(GArray) lonely = drawn();
    g_assert_cmpuint(lonely->len, ==, 0);
}

/* ---- lines and entries ---- */

static void test_rules(void)
{
    memset(paper, 240, sizeof paper);
    line(20, 50, 380, 53);            /* slants */
    for (int x = 20; x < 300; x += 4) /* dots */
        paper[120 * SIDE + x] = paper[120 * SIDE + x + 1] = 20;
    memset(paper + 200 * SIDE, 20, 12 * SIDE); /* a band */
    line(40, 240, 40, 360);
    vl_image image = { paper, SIDE, SIDE, 1, SIDE };
    g_autoptr(dx_ink) ink = dx_ink_new(&image, NULL);
    g_autoptr(GArray) level = dx_ink_rules(ink, FALSE, 60, 5);
    g_autoptr(GArray) upright = dx_ink_rules(ink, TRUE, 60, 5);
    g_assert_cmpuint(level->len, ==, 2);
    g_assert_cmpfloat_with_epsilon(g_array_index(level, dx_rule, 0).at, 52, 2);
    g_assert_cmpfloat_with_epsilon(g_array_index(level, dx_rule, 0).to, 381, 4);
    g_assert_cmpfloat_with_epsilon(g_array_index(level, dx_rule, 1).at, 120, 2);
    g_assert_cmpuint(upright->len, ==, 1);
    g_assert_cmpfloat_with_epsilon(g_array_index(upright, dx_rule, 0).from, 240, 3);
}

/* What dx_entries() finds, as "label=value" lines. */
static char *entries(const char *page, const dx_ink *ink)
{
    g_autoptr(GArray) words = page_words(page);
    g_autoptr(GArray) prints = prints_of(words);
    g_autoptr(GArray) found = dx_entries(prints, ink, PAGE_WIDTH / PAGE_HEIGHT);
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < found->len; i++) {
        const dx_entry *e = &g_array_index(found, dx_entry, i);
        g_string_append_printf(out, "%s=%s\n", e->label, e->value);
    }
    return g_string_free(out, FALSE);
}

static void test_entries(void)
{
    static const struct {
        const char *page, *expected;
    } cases[] = {
        { "Name: Ada Byron\nDate of birth: 10.12.1815",
          "Name=Ada Byron\nDate of birth=10.12.1815\n" },
        { "Name:      Ada Byron      Phone:     020 7946 0018\n",
          "Name=Ada Byron\nPhone=020 7946 0018\n" },
        { "1  Rents\n   1,500.00\n\n\n2  Royalties\n   250.00",
          "1 Rents=1,500.00\n2 Royalties=250.00\n" },
        { "Just a line of text\n", "" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case %zu: %s", i, cases[i].page);
        g_autofree char *text = entries(cases[i].page, NULL);
        g_assert_cmpstr(text, ==, cases[i].expected);
    }
}

/* No colon, no difference in size: the line under the entry tells. */
static void test_line_tells(void)
{
    enum { WIDTH = 595, HEIGHT = 842 };
    g_autofree guint8 *sheet = g_malloc(WIDTH * HEIGHT);
    memset(sheet, 240, WIDTH * HEIGHT);
    for (int x = 88; x < 300; x++) /* from behind "Surname", under "Byron" */
        sheet[52 * WIDTH + x] = 20;
    vl_image image = { sheet, WIDTH, HEIGHT, 1, WIDTH };
    g_autoptr(dx_ink) ink = dx_ink_new(&image, NULL);
    g_autofree char *text = entries("Surname   Byron", ink);
    g_assert_cmpstr(text, ==, "Surname=Byron\n");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/form/captions", test_captions);
    g_test_add_func("/form/neighbours", test_neighbours);
    g_test_add_func("/form/signs", test_signs);
    g_test_add_func("/form/frames", test_frames);
    g_test_add_func("/form/no-frames", test_no_frames);
    g_test_add_func("/form/rings", test_rings);
    g_test_add_func("/form/rules", test_rules);
    g_test_add_func("/form/entries", test_entries);
    g_test_add_func("/form/line-tells", test_line_tells);
    return g_test_run();
}

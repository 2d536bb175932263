/*
 * page.h - pages for tests, written as text: a tab is a column gap, a line is a row.
 */
#ifndef TEST_PAGE_H
#define TEST_PAGE_H

#include "layout.h"

#include <string.h>

#define PAGE_WIDTH  595.0
#define PAGE_HEIGHT 842.0
#define PAGE_LETTER 5.0  /* points */
#define PAGE_LINE   14.0 /* points */

/* A word at character column `column` (a digit may stand in front of the text as @COL:). */
static inline void page_word(GArray *words, const char *text, double column, guint line)
{
    double x = 40 + column * PAGE_LETTER, y = 40 + line * PAGE_LINE;
    dx_word w = { .text = g_strdup(text),
                  .x0 = x / PAGE_WIDTH,
                  .y0 = y / PAGE_HEIGHT,
                  .x1 = (x + (double)g_utf8_strlen(text, -1) * PAGE_LETTER) / PAGE_WIDTH,
                  .y1 = (y + 10) / PAGE_HEIGHT,
                  .em = 10 / PAGE_HEIGHT,
                  .prob = 1 };
    g_array_append_val(words, w);
}

static inline void page_word_clear(gpointer data)
{
    g_free(((dx_word *)data)->text);
}

/* Every character has its place: two or more blanks make a column. */
static inline GArray *page_words(const char *text)
{
    GArray *words = g_array_new(FALSE, TRUE, sizeof(dx_word));
    g_array_set_clear_func(words, page_word_clear);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint n = 0; lines[n] != NULL; n++) {
        glong column = 0;
        for (const char *c = lines[n]; *c != '\0';) {
            gsize blank = strspn(c, " "), length = strcspn(c + blank, " ");
            g_autofree char *word = g_strndup(c + blank, length);
            if (length > 0)
                page_word(words, word, (double)column + (double)blank, n);
            column += (glong)blank + g_utf8_strlen(word, -1);
            c += blank + length;
        }
    }
    return words;
}

static inline dx_layout *page_layout(const char *text)
{
    g_autoptr(GArray) words = page_words(text);
    g_autoptr(GError) error = NULL;
    dx_layout *layout = dx_layout_new(words, PAGE_WIDTH, PAGE_HEIGHT, 0, &error);
    g_assert_no_error(error);
    return layout;
}

#endif

/*
 * layout.h - the words of a page as text, and the way back from text to boxes.
 *
 * A dx_layout is made once per page and does not change: threads may share it.  The text
 * has one line per row of the page; words of a row are divided by a blank, or by a tab
 * where the gap is that of a table column.  Every byte of the text knows its word.
 */
#ifndef DX_LAYOUT_H
#define DX_LAYOUT_H

#include "dx.h"

#define DX_LAYOUT_WORDS_MAX 20000u
#define DX_LAYOUT_BYTES_MAX (4u << 20)
#define DX_LABEL_CHARS_MAX  64u /* a longer label is never found */

typedef struct dx_box {
    double x0, y0, x1, y1; /* fractions of the page, as in dx_word */
} dx_box;

/* Words between two tabs or line ends. */
typedef struct dx_cell {
    guint row, col;
    gsize start, end; /* bytes of the text */
    dx_box box;
} dx_cell;

/* Reading may go on in the cell below instead of the one to the right. */
typedef struct dx_jump {
    gsize from; /* the end of a cell */
    gsize to;   /* the start of the cell below it */
} dx_jump;

typedef struct dx_label {
    gsize start, end;
    guint which;  /* index in the list of labels */
    guint errors; /* letters that differ; 0 for an exact find */
} dx_label;

typedef struct dx_layout {
    char *text; /* NUL-terminated */
    gsize bytes;
    double aspect;    /* page width / page height */
    guint word_count; /* words in reading order; empty ones are left out */
    guint row_count;
    guint32 *word_at;   /* [bytes] index in reading order, UINT32_MAX between words */
    gsize *word_start;  /* [word_count] */
    gsize *word_end;    /* [word_count] */
    guint *word_source; /* [word_count] index in the array given to dx_layout_new() */
    dx_box *boxes;      /* [word_count] */
    GArray *cells;      /* of dx_cell, in reading order */
} dx_layout;

/* Lay out `words` (of dx_word, not kept) of page `page_index` (for messages only).
 * DX_LIMIT when the page has more than DX_LAYOUT_WORDS_MAX words or DX_LAYOUT_BYTES_MAX
 * bytes.  The caller owns the result. */
dx_layout *dx_layout_new(const GArray *words, double width_pt, double height_pt,
                         uint32_t page_index, GError **error);
void dx_layout_free(dx_layout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_layout, dx_layout_free)

/* Boxes of the words in [start, end) (of dx_box, caller owns), and their union, which may
 * be NULL.  Empty array and FALSE-sized union (all zero) when no word is inside. */
GArray *dx_layout_span(const dx_layout *layout, gsize start, gsize end, dx_box *all);
/* The union alone. */
void dx_layout_box(const dx_layout *layout, gsize start, gsize end, dx_box *box);
/* The cell an offset lies in, or NULL. */
const dx_cell *dx_layout_cell(const dx_layout *layout, gsize offset);
/* For every cell the nearest one below it (x-overlap, gap under 1.5 line heights).
 * GArray of dx_jump in order of `from`; caller owns. */
GArray *dx_layout_jumps(const dx_layout *layout);

/* Printed labels: `labels` is NULL-terminated, UTF-8.  Case, accents, colons, points and
 * runs of blanks do not count; one letter in six may be wrong.  GArray of dx_label in
 * order of start; overlapping finds keep the better (fewer errors, then longer). */
GArray *dx_layout_labels(const dx_layout *layout, const char *const *labels);
/* How well a span stands to a label: 1 right behind it, falling with the distance to the
 * right on its row or below it, 0 anywhere else. */
double dx_layout_score(const dx_layout *layout, const dx_label *label, gsize start,
                       gsize end);

#endif

/*
 * table.h - rows of a printed table, from the labels of its columns and the places of its
 * words.
 */
#ifndef DX_TABLE_H
#define DX_TABLE_H

#include "clue.h"

#define DX_TABLE_ROWS_MAX 400u /* of one page */

typedef struct dx_column {
    gint leaf;     /* index in the asked columns, -1 for one that nobody asked for */
    double x0, x1; /* of its heading */
} dx_column;

typedef struct dx_table_value {
    char *text; /* NULL: nothing in this column */
    dx_box box;
} dx_table_value;

typedef struct dx_table {
    GArray *columns; /* of dx_column, left to right */
    GArray *values;  /* of dx_table_value, rows x columns asked */
    guint row_count;
} dx_table;

/* The table whose headings the scene's places are.  `kinds` are those of the asked
 * columns; `amount` is the column that every row has, `name` the one that may take several
 * lines (-1: none).  `before` are the columns of the page before, for a table that goes on
 * without headings; may be NULL.  NULL when there is no such table. */
dx_table *dx_table_find(const dx_scene *scene, const dx_kind *kinds, gint amount,
                        gint name, const GArray *before);
void dx_table_free(dx_table *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_table, dx_table_free)

/* A line that states a tax: "VAT 20 % on 553.50: 110.70". */
typedef struct dx_tax_line {
    char *rate, *taxable, *tax; /* as printed; taxable may be NULL */
    dx_box box;
} dx_tax_line;
/* GArray of dx_tax_line: rows with a word for tax, one rate, and amounts of which the last
 * is the tax; where two stand, the rate must hold (totals.c).  The caller owns it. */
GArray *dx_tax_lines(const dx_scene *scene);

/* TRUE for words that name a sum ("Total", "zzgl. MwSt") and not a thing (totals.c). */
gboolean dx_names_sum(const char *text);

#endif

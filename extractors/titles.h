/*
 * titles.h - what a paper calls itself: titles of papers in nine languages.
 */
#ifndef DX_TITLES_H
#define DX_TITLES_H

#include "layout.h"

/* The canonical class ("invoice", "purchase order", …) that a label means, by its own name
 * or one of its titles in any language; NULL for another label.  Static. */
const char *dx_title_class(const char *label);
/* How much the page's headings speak for each of `classes` (canonical, entries may be
 * NULL), in logits: sizes of print and places count.  `words` is what the layout was made
 * from.  [count] is added to. */
void dx_title_scores(const dx_layout *layout, const GArray *words,
                     const char *const *classes, guint count, double *logits);

#endif

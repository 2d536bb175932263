/*
 * ink.h - the dark pixels of a page and the straight lines that are ruled on it.
 *
 * All places are pixels of the upright page, the page that a document's words stand on.
 */
#ifndef DX_INK_H
#define DX_INK_H

#include "dx.h"

#include <vl.h>

typedef struct dx_ink {
    guint8 *is_dark; /* [width * height]; not 0 is ink */
    gint width, height;
} dx_ink;

/* A ruled line: as thin as it is drawn, over its whole length. */
typedef struct dx_rule {
    double from, to; /* along the line: x of a level one, y of an upright one */
    double at;       /* across */
} dx_rule;

/* `text` says how the picture was turned to be read; NULL when it is upright.  What is
 * darker than the paper around it is ink, so uneven light does no harm. */
dx_ink *dx_ink_new(const vl_image *image, const vl_text *text);
void dx_ink_free(dx_ink *ink);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_ink, dx_ink_free)

gboolean dx_ink_dark(const dx_ink *ink, gint x, gint y);

/* Lines of at least `least` pixels that are no thicker than `most` (GArray of dx_rule in
 * order of `at`): level ones, or upright ones.  Dots in a row that nearly touch count. */
GArray *dx_ink_rules(const dx_ink *ink, gboolean is_upright, double least, double most);

#endif

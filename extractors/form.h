/*
 * form.h - printed captions of form fields and tick boxes, from the places of words.
 *
 *   dx_caption   the words that name a place on a page
 *   dx_ticks     tick boxes on a page: set as signs in its text, or drawn on its picture
 *
 * Boxes are fractions of the page that the file shows.
 */
#ifndef DX_FORM_H
#define DX_FORM_H

#include "layout.h"

#include <vl.h>

/* A word where it stands on the page; borrowed text. */
typedef struct dx_print {
    const char *text;
    dx_box box;
    gboolean is_entry; /* something filled in, no part of a caption */
} dx_print;

typedef enum dx_tick_state { DX_TICK_OFF, DX_TICK_ON, DX_TICK_UNCLEAR } dx_tick_state;

typedef struct dx_tick {
    dx_box box;
    dx_tick_state state;
} dx_tick;

/* What a caption is looked for beside. */
typedef struct dx_spot {
    dx_box box;
    gboolean is_tick;     /* a small box: its caption stands behind it, else before it */
    const GArray *others; /* of dx_box: all fields of the page, this one among them */
    double aspect;        /* page width / page height */
} dx_spot;

/* The caption as one line, NULL when there is none near.  `prints` is of dx_print. */
char *dx_caption(const GArray *prints, const dx_spot *spot);

/* Signs in the text that are a tick box ("☐", "☒", "[x]"): GArray of dx_tick; their
 * prints become entries. */
GArray *dx_ticks_set(GArray *prints);
/* Small square frames drawn on a picture, with what is inside: GArray of dx_tick.
 * `height` is the usual height of a letter as a fraction of the page height. */
GArray *dx_ticks_drawn(const vl_image *image, double height);

#endif

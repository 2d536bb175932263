/*
 * form.h - captions, entries and tick boxes of forms, from the places of words and lines.
 *
 *   dx_caption   the words that name a place on a page
 *   dx_entries   captions with what was filled in beside, below or above them
 *   dx_ticks     tick boxes on a page: set as signs in its text, or drawn on its picture
 *
 * Boxes are fractions of one page: the one that the file shows or, where ink is given, the
 * upright one.
 */
#ifndef DX_FORM_H
#define DX_FORM_H

#include "ink.h"
#include "layout.h"

/* A word where it stands on the page; borrowed text. */
typedef struct dx_print {
    const char *text;
    dx_box box;
    double em, prob;   /* as in dx_word; only dx_entries() reads them */
    gboolean is_entry; /* something filled in, no part of a caption */
    gboolean is_named; /* part of a caption that dx_caption() gave */
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

/* The caption as one line, NULL when there is none near; *box (may be NULL) gets its place.
 * `prints` is of dx_print; those of the caption are marked. */
char *dx_caption(GArray *prints, const dx_spot *spot, dx_box *box);

/* Signs in the text that are a tick box ("☐", "☒", "[x]"): GArray of dx_tick; their
 * prints become entries. */
GArray *dx_ticks_set(GArray *prints);
/* Small square frames and rings drawn on a page, with what is inside: GArray of dx_tick.
 * `height` is the usual height of a letter in pixels. */
GArray *dx_ticks_drawn(const dx_ink *ink, double height);

/* A caption with what was filled in. */
typedef struct dx_entry {
    char *label, *value;
    dx_box label_box, value_box;
    double prob;  /* of its words, on the mean */
    double worth; /* in logits: how well both belong together */
} dx_entry;

/* All of a page in reading order (GArray of dx_entry); prints that are entries already, or
 * part of a caption, are left out.  Without `ink` (NULL) no ruled lines are known.  aspect: page width / height. */
GArray *dx_entries(const GArray *prints, const dx_ink *ink, double aspect);

#endif

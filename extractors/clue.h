/*
 * clue.h - what the form of a page says about its values, without any model.
 *
 * A clue is a value for one asked field with a score in logits: how much likelier the
 * place, the neighbours or the arithmetic of a page make it.  Clues for one value add up
 * with the place beside a label and the model's answer (decide.c).
 */
#ifndef DX_CLUE_H
#define DX_CLUE_H

#include "layout.h"
#include "normalize.h"

typedef struct dx_clue {
    const char *ask; /* the field's name in questions; static */
    char *raw;       /* as printed, lines joined by ", " */
    char *value;     /* NULL: raw is still to be normalised */
    json_t *parts;   /* of an address: {line1, line2, line3, postcode, city, country,
                  is_country_printed}, or NULL */
    dx_box box;
    double score;
    uint32_t page;       /* 0: the page that is being read */
    double seen;         /* how surely its print was read; 0: ask the page */
    gboolean is_derived; /* follows from another value, no print says it */
} dx_clue;

/* Printed labels of the asked fields: the schema's, found on this page.  Where labels of
 * several fields overlap the longer one stays ("due date" is no "date"). */
typedef struct dx_places {
    const char *const *asks; /* [count] names of the fields */
    GPtrArray *labels;       /* [count] of GArray of dx_label */
} dx_places;

/* Everything that clues are made from. */
typedef struct dx_scene {
    const dx_layout *layout;
    const dx_context *context;
    const dx_places *marks;
    gboolean is_first_page;
    gboolean is_read;    /* off the picture */
    const GArray *words; /* of dx_word, what the layout was made from */
} dx_scene;

GArray *dx_clues_new(void);
/* Copies raw and value. */
void dx_clue_add(GArray *clues, const char *ask, const char *raw, const char *value,
                 const dx_box *box, double score);
/* The last clue gets `parts` (takes). */
void dx_clue_parts(GArray *clues, json_t *parts);
/* The clue for a piece of the text. */
void dx_clue_span(GArray *clues, const dx_layout *layout, const char *ask, gsize start,
                  gsize end, double score);

/* How surely the print inside a box was read: the product of its words' probabilities. */
double dx_seen(const dx_layout *layout, const GArray *words, const dx_box *box);

/* How well [start, end) stands to the labels of a field, 0..1; 0 for a field that is not
 * asked. */
double dx_mark_score(const dx_scene *scene, const char *ask, gsize start, gsize end);

/* parties.c: names, addresses and tax numbers of seller and buyer. */
void dx_clues_parties(const dx_scene *scene, GArray *clues);
/* totals.c: net, tax, gross, due of an invoice; subtotal, tax, total, cash and change of a
 * receipt: the set of amounts, of all pages, that adds up. */
typedef struct dx_totals dx_totals;
dx_totals *dx_totals_new(void);
void dx_totals_free(dx_totals *totals);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_totals, dx_totals_free)
void dx_totals_add(dx_totals *totals, const dx_scene *scene, uint32_t page);
/* The clues whose amounts stand on `page`; the caller owns the array. */
GArray *dx_clues_totals(dx_totals *totals, uint32_t page);
gboolean dx_totals_is_read(const dx_totals *totals, uint32_t page);
/* papers.c: numbers and dates in a paper's heading and in its sentences. */
void dx_clues_papers(const dx_scene *scene, GArray *clues);
/* shop.c: name, address and date at the top of a receipt; its currency, and how it was
 * paid. */
void dx_clues_shop(const dx_scene *scene, GArray *clues);

#endif

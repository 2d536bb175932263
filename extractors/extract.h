/*
 * extract.h - shared between the files that turn a page and a schema into fields.
 *
 *   extract.c   the document: pages in, envelope out
 *   leaves.c    what the schema asks, and where a value goes
 *   choices.c   which pieces of a page a leaf may be
 *   decide.c    one value out of labels, clues and the model's answer
 *   trust.c     how likely the chosen value is right
 *   mend.c      other values where a check failed
 *   review.c    what the checks say of the values, and whether somebody should look
 *   fields.c    questions to the model, answers to envelope leaves
 *   form.c      fields and tick boxes of a form
 *   sources.c   better sources than the page: XML, derived values
 *   classify.c  the class of a document
 *
 * A dx_work lives as long as one call of dx_extract() and belongs to its thread.
 */
#ifndef DX_EXTRACT_H
#define DX_EXTRACT_H

#include "answer.h"
#include "clue.h"
#include "table.h"
#include "layout.h"
#include "normalize.h"
#include "prompt.h"
#include "trust.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_session, dx_session_free)

struct dx_engine {
    vl_model *model;
    dx_vocab *vocab;
};

typedef struct dx_page {
    uint32_t number;
    gboolean is_read; /* words from the text head */
    GArray *words;    /* of dx_word, on the upright page */
    dx_layout *layout;
    vl_text *text;     /* what was read; NULL for a text layer */
    vl_vision *vision; /* NULL unless the decoder is to see the page */
} dx_page;

/* A box of the layout as one of the page that the file shows, which may lie turned. */
dx_box dx_page_box(const dx_page *page, const dx_box *box);

typedef struct dx_leaf {
    char *path; /* dotted; inside a list: from the row */
    const char *ask;
    dx_kind kind;
    const json_t *node;
    gboolean is_required;
} dx_leaf;

typedef struct dx_list_leaf {
    char *path;
    GArray *leaves;  /* of dx_leaf */
    GArray *columns; /* of dx_column: the table of the page before, or NULL */
} dx_list_leaf;

typedef struct dx_work {
    dx_engine *engine;
    const dx_source *source;
    const dx_options *options;
    const json_t *schema;
    GArray *leaves;   /* of dx_leaf */
    GArray *derived;  /* of dx_leaf: parts of other values, never asked */
    GPtrArray *lists; /* of dx_list_leaf */
    json_t *fields;
    GPtrArray *heard;      /* one GArray for each of `leaves`, see dx_hear() */
    GArray *grounds;       /* of dx_grounds, one for each of `leaves` */
    GArray *form;          /* of dx_form_field; NULL: not wanted, or none */
    GHashTable *form_keys; /* keys of rows that are given away */
    uint32_t entries_page; /* the last page whose entries were found by their places */
    dx_totals *totals;
    dx_context learnt;
    gboolean is_truncated;
    gint64 us_read, us_answer, us_open;
    gint64 us_picture, us_vision; /* of us_read; vision with the text head */
    uint32_t pages_read;
} dx_work;

/* ---- extract.c ------------------------------------------------------------------- */

/* A page with its words laid out; NULL and an error when it cannot be had. */
dx_page *dx_page_open(dx_work *w, uint32_t index, GError **error);
void dx_page_free(dx_page *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_page, dx_page_free)
void dx_tell(const dx_options *options, const char *stage, uint32_t number,
             uint32_t count);

/* ---- leaves.c -------------------------------------------------------------------- */

GArray *dx_leaves_new(void);
void dx_list_free(gpointer data);
/* Walk the properties of `node` into `leaves` and, for lists, w->lists. */
void dx_collect(dx_work *w, const json_t *node, const char *prefix, GArray *leaves,
                gboolean is_row);
/* A dotted path in the result; put takes `value`, get borrows. */
void dx_field_put(json_t *root, const char *path, json_t *value);
json_t *dx_field_get(json_t *root, const char *path);
json_t *dx_null_leaf(void);
gboolean dx_is_null(const json_t *leaf_json);

/* ---- choices.c ------------------------------------------------------------------- */

/* The schema's labels on this page, for each of `leaves`.  The caller frees both. */
dx_places *dx_places_new(const dx_page *p, const GArray *leaves);
void dx_places_free(dx_places *marks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_places, dx_places_free)
/* Candidates of leaf `index` of the marks' leaves; `clues` may be NULL. */
dx_choices *dx_choices_of(const dx_work *w, const dx_page *p, const dx_leaf *l,
                          const GArray *labels, const GArray *clues);

/* ---- decide.c -------------------------------------------------------------------- */

typedef struct dx_verdicts {
    const dx_choices *choices;
    const GArray *clues; /* of dx_clue; may be NULL */
    const char *answer;  /* the model's, NULL for null */
    double prob;         /* of its tokens */
} dx_verdicts;

/* What was heard about one leaf, on all pages (GArray, opaque; the caller frees it). */
GArray *dx_options_new(void);
void dx_hear(GArray *options, const dx_work *w, const dx_page *p, const dx_leaf *l,
             const dx_verdicts *v);
/* Where an answer stands on the upright page: the best candidate of this text, without the
 * copy mask any place of it, or an empty box.  FALSE: it is no candidate. */
gboolean dx_answer_place(const dx_work *w, const dx_page *p, const dx_choices *choices,
                         const char *answer, dx_box *box);
void dx_hear_clues(GArray *options, const dx_work *w, const dx_page *p, const dx_leaf *l,
                   const GArray *clues);
/* The leaf of the envelope, null when nothing speaks loudly enough.  *parts gets the
 * parts of an address (the caller owns them) or NULL. */
json_t *dx_decide(GArray *options, const dx_leaf *l, dx_grounds *grounds, json_t **parts);
/* The same for the option that is in place `index` by worth, 0 the best; NULL when there is
 * none that is worth enough.  The first call is for 0. */
json_t *dx_option_leaf(GArray *options, const dx_leaf *l, guint index,
                       dx_grounds *grounds, json_t **parts);
/* The best without the model's answers, which are forgotten. */
json_t *dx_unanswered_leaf(GArray *options, const dx_leaf *l, dx_grounds *grounds);
/* Value of `raw` for a leaf; FALSE when it does not read as its kind. */
gboolean dx_leaf_value(const dx_work *w, const dx_leaf *l, const char *raw, char **value);
json_t *dx_leaf_new(uint32_t page, gboolean is_read, const char *value, const char *raw,
                    const dx_box *box, double confidence);

/* ---- fields.c -------------------------------------------------------------------- */

gboolean dx_ask_fields(dx_work *w, dx_session *session, const dx_page *p, GError **error);
/* After the last page: the fields that were heard about. */
void dx_decide_fields(dx_work *w);
gboolean dx_ask_list(dx_work *w, dx_session *session, const dx_page *p,
                     dx_list_leaf *list, GError **error);

/* The parts of an address go to the leaves beside it. */
void dx_put_parts(dx_work *w, const dx_leaf *l, const json_t *leaf_json,
                  const json_t *parts);

/* ---- mend.c ---------------------------------------------------------------------- */

/* Try other values where `checks` failed.  What was changed as [{field, from, to}], the
 * caller owns it and runs the checks again; NULL when nothing was. */
json_t *dx_mend(dx_work *w, const json_t *checks);

/* ---- review.c -------------------------------------------------------------------- */

/* The confidence of every value, now that the checks are known. */
void dx_weigh_fields(dx_work *w, const json_t *checks);
/* TRUE when somebody should look at the document. */
gboolean dx_needs_review(const dx_work *w, const json_t *checks);

/* ---- form.c ---------------------------------------------------------------------- */

/* Fetch the fields of a PDF that can be filled in, for a schema with rows of label and
 * value. */
void dx_form_open(dx_work *w);
/* TRUE when the rows of this list are not to be asked on this page. */
gboolean dx_form_takes(const dx_work *w, const dx_list_leaf *list, const dx_page *p);
/* Rows for the fields and tick boxes of a page. */
gboolean dx_form_page(dx_work *w, const dx_page *p, GError **error);

/* ---- sources.c ------------------------------------------------------------------- */

/* TRUE when an e-invoice inside the file gave the fields. */
gboolean dx_take_xml(dx_work *w);
void dx_derive_currency(dx_work *w);
void dx_derive_type(dx_work *w);

#endif

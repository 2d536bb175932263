/*
 * answer.h - a question's answer as a constraint on the decoder.
 *
 * The answer is compact JSON with fixed keys.  Every value is null or, with the copy mask,
 * one of a list of candidates: pieces of the page's text, so that a printed value can be
 * neither misspelt nor invented.  Braces and keys are forced text and never sampled.  Every
 * candidate has a weight (how well it stands to a printed label of its field) that is added
 * to the logits of the tokens that lead to it.
 */
#ifndef DX_ANSWER_H
#define DX_ANSWER_H

#include "dx.h"

typedef struct dx_choices dx_choices; /* candidates of one kind of value */

dx_choices *dx_choices_new(void);
void dx_choices_free(dx_choices *choices);
/* `text` as it is to be written (not yet escaped); span [start, end) of the page text.
 * The same text may come several times: the best weight counts for the choice. */
void dx_choices_add(dx_choices *choices, const char *text, gsize start, gsize end,
                    double weight);
/* Sort; call once before use. */
void dx_choices_seal(dx_choices *choices);
guint dx_choices_count(const dx_choices *choices);
/* The candidate with this text: its best span. */
gboolean dx_choices_find(const dx_choices *choices, const char *text, gsize *start,
                         gsize *end, double *weight);
/* Candidates as (text, weight), best weight first; for alternatives. */
const char *dx_choices_text(const dx_choices *choices, guint i, double *weight);

typedef struct dx_slot {
    const char *key;
    const dx_choices *choices; /* NULL: no copy mask, any text of 1 to 200 bytes */
    gboolean is_required;      /* null is not allowed */
} dx_slot;

typedef struct dx_form { /* what a question asks */
    const dx_slot *slots;
    guint slot_count;
    const char *list; /* NULL: one object {slots}; else {"list":[{slots},…]} */
    guint rows_max;
} dx_form;

typedef struct dx_answer_value {
    char *text;  /* NULL: null */
    double prob; /* of the tokens among the allowed ones */
} dx_answer_value;

/* Generate.  *values gets rows x slot_count values (GArray of dx_answer_value, frees its
 * texts); for an object there is one row.  *is_truncated when a limit cut it. */
gboolean dx_answer_run(const vl_model *model, dx_vocab *vocab, vl_context *context,
                       const dx_form *form, uint32_t tokens_max, double bias,
                       GCancellable *cancellable, GArray **values, gboolean *is_truncated,
                       GError **error);

/* Log-probabilities of fixed continuations, for classification: [count], not normalised.
 * The context is as before afterwards. */
gboolean dx_answer_score(const vl_model *model, vl_context *context,
                         const char *const *texts, guint count, double *logprob,
                         GError **error);

#endif

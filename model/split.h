/*
 * split.h - the splits of a Hugging Face pre-tokenizer: text to the pieces that byte-pair
 * merging works in.
 *
 * Stages run one after the other, each on every piece that the one before left; what a
 * stage's pattern finds becomes a piece, and so does what lies between.  Patterns are
 * the part of regular expressions that the published tokenizers use: alternatives of
 * sequences of single characters and classes ([...], \s, \p{L}, ...) with ?, *, + or
 * {m,n}, and at the end of a sequence $ or a negative look at one character, (?!x).
 */
#ifndef VL_SPLIT_H
#define VL_SPLIT_H

#include "json.h"

#define VL_SPLIT_STAGES_MAX 8
#define VL_SPLIT_ALTS_MAX   16
#define VL_SPLIT_ITEMS_MAX  8
#define VL_SPLIT_RANGES_MAX 4096

typedef struct vl_split vl_split;

/* `stages` is the list "pretokenizers"; a ByteLevel without pattern ends it. */
vl_split *vl_split_new(const vl_json *stages, vl_error *err);
void vl_split_free(vl_split *split);
/* Calls `piece` with every piece in order; together they are the text. */
void vl_split_run(const vl_split *split, const uint8_t *text, size_t bytes,
                  void (*piece)(void *user, const uint8_t *p, size_t bytes), void *user);

#endif

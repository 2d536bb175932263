/*
 * tokenizer.h - byte-level BPE of a Hugging Face tokenizer.json.
 *
 * Pre-tokenizer: Sequence[Digits(individual), ByteLevel(no prefix space, regex)], or what
 * split.h reads, as the published checkpoints have it.  A byte that is in no UTF-8 and
 * has no token becomes a question mark.  Immutable after opening.
 */
#ifndef VL_TOKENIZER_H
#define VL_TOKENIZER_H

#include "json.h"

#define VL_TOKENIZER_BYTES_MAX (32u << 20)
#define VL_TOKENS_MAX          (1u << 20)
#define VL_TOKEN_BYTES_MAX     1024

typedef struct vl_tokenizer vl_tokenizer;

/* `vocab` is the model's number of rows: no id may reach it. */
vl_tokenizer *vl_tokenizer_new(const vl_json *root, uint32_t vocab, vl_error *err);
void vl_tokenizer_free(vl_tokenizer *tokenizer);
int32_t vl_tokenizer_special(const vl_tokenizer *tokenizer, vl_special which);
const char *vl_tokenizer_bytes(const vl_tokenizer *tokenizer, int32_t id, size_t *bytes);
size_t vl_tokenizer_encode(const vl_tokenizer *tokenizer, const char *text, size_t bytes,
                           int32_t *ids, size_t ids_max);

#endif

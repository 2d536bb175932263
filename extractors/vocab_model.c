/*
 * vocab_model.c - the vocabulary of a loaded model.  Apart from vocab.c so that tests of
 * the grammar need no model.
 */
#include "grammar.h"
#include "prompt.h"

static size_t tokenize(const void *user, const char *text, size_t bytes, int32_t *ids,
                       size_t ids_max)
{
    return dx_tokenize(user, text, bytes, ids, ids_max);
}

static void release(void *user)
{
    vl_model_unref(user);
}

dx_vocab *dx_vocab_from_model(const vl_model *model)
{
    const vl_model_info *info = vl_model_get_info(model);
    g_autofree const char **tokens = g_new0(const char *, info->vocab);
    g_autofree size_t *lengths = g_new0(size_t, info->vocab);
    for (uint32_t i = 0; i < info->vocab; i++)
        tokens[i] = vl_token_bytes(model, (int32_t)i, &lengths[i]);
    dx_vocab *vocab =
        dx_vocab_new(tokens, lengths, info->vocab, vl_token_special(model, VL_TOKEN_EOS));
    vocab->tokenize = tokenize;
    /* The model is immutable but for its count of references. */
    vocab->user = vl_model_ref((vl_model *)model);
    vocab->user_free = release;
    return vocab;
}

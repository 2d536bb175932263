/*
 * fuzz_answer.h - answer a compiled grammar with choices made of the fuzzer's bytes: every
 * step must have a way on, and the end must be JSON.
 */
#ifndef FUZZ_ANSWER_H
#define FUZZ_ANSWER_H

#include "dx.h"
#include "fuzz.h"

#define FUZZ_TOKENS 257 /* every byte and the end */

static inline dx_vocab *fuzz_byte_vocab(void)
{
    static char bytes[256];
    static const char *tokens[FUZZ_TOKENS];
    static size_t lengths[FUZZ_TOKENS];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = &bytes[i];
        lengths[i] = 1;
    }
    return dx_vocab_new(tokens, lengths, FUZZ_TOKENS, 256);
}

static inline void fuzz_check_json(const dx_matcher *matcher)
{
    gsize bytes;
    const char *text = dx_matcher_text(matcher, &bytes);
    json_t *value = json_loadb(text, bytes, JSON_DECODE_ANY, NULL);
    if (value == NULL)
        g_error("a complete answer that is not JSON");
    json_decref(value);
}

static inline void fuzz_answer(const dx_grammar *grammar, const dx_vocab *vocab,
                               const uint8_t *data, size_t bytes, size_t steps_max)
{
    g_autoptr(dx_matcher) matcher = dx_matcher_new(grammar, vocab, NULL);
    uint32_t mask[(FUZZ_TOKENS + 31) / 32];
    int32_t forced[32];
    size_t count;
    for (size_t i = 0; i < steps_max; i++) {
        vl_step step = dx_matcher_next(matcher, mask, forced, 32, &count);
        if (step == VL_STEP_FAIL)
            g_error("no way on in a grammar that compiled");
        if (step == VL_STEP_END) {
            fuzz_check_json(matcher);
            return;
        }
        for (size_t k = 0; k < count; k++)
            if (!dx_matcher_accept(matcher, forced[k]))
                g_error("forced text is refused");
        int32_t token = data[i * 7 % bytes];
        while (step == VL_STEP_SAMPLE && !(mask[token / 32] >> (token % 32) & 1))
            token = (token + 1) % FUZZ_TOKENS;
        if (step == VL_STEP_SAMPLE && !dx_matcher_accept(matcher, token))
            g_error("a token of the mask is refused");
    }
}

#endif

/*
 * fuzz_schema.c - any bytes as a schema; what compiles is answered with choices made of
 * the same bytes and must end as JSON.
 */
#include "dx.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { BYTES = 257, STEPS_MAX = 4096 };

static dx_vocab *byte_vocab(void)
{
    static char bytes[256];
    static const char *tokens[BYTES];
    static size_t lengths[BYTES];
    for (int i = 0; i < 256; i++) {
        bytes[i] = (char)i;
        tokens[i] = &bytes[i];
        lengths[i] = 1;
    }
    return dx_vocab_new(tokens, lengths, BYTES, 256);
}

static void answer(const dx_grammar *g, const dx_vocab *v, const uint8_t *data, size_t bytes)
{
    g_autoptr(dx_matcher) m = dx_matcher_new(g, v, NULL);
    uint32_t mask[(BYTES + 31) / 32];
    int32_t forced[32];
    size_t count;
    for (int i = 0; i < STEPS_MAX; i++) {
        vl_step step = dx_matcher_next(m, mask, forced, 32, &count);
        if (step == VL_STEP_FAIL)
            abort();
        if (step == VL_STEP_END) {
            gsize n;
            const char *text = dx_matcher_text(m, &n);
            json_t *v_out = json_loadb(text, n, JSON_DECODE_ANY, NULL);
            if (v_out == NULL)
                abort();
            json_decref(v_out);
            return;
        }
        for (size_t k = 0; k < count; k++) {
            if (!dx_matcher_accept(m, forced[k]))
                abort();
        }
        int32_t token = bytes > 0 ? data[(size_t)i * 7 % bytes] : 0;
        while (step == VL_STEP_SAMPLE && !(mask[token / 32] >> (token % 32) & 1))
            token = (token + 1) % BYTES;
        if (step == VL_STEP_SAMPLE && !dx_matcher_accept(m, token))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static dx_vocab *vocab;
    if (vocab == NULL)
        vocab = byte_vocab();
    g_autoptr(dx_schema) schema = dx_schema_parse((const char *)data, bytes, "fuzz", NULL);
    if (schema == NULL)
        return 0;
    g_autoptr(dx_grammar) grammar = dx_grammar_compile(dx_schema_json(schema), NULL);
    answer(grammar, vocab, data, bytes);
    return 0;
}

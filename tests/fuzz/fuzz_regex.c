/*
 * fuzz_regex.c - any text as a "pattern": compiles or is refused with a reason, and what
 * compiles can be answered to the end.
 */
#include "fuzz_answer.h"

#define STEPS_MAX 600

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static dx_vocab *vocab;
    if (vocab == NULL)
        vocab = fuzz_byte_vocab();
    json_t *pattern = bytes > 0 ? json_stringn((const char *)data, bytes) : NULL;
    if (pattern == NULL) /* not UTF-8 */
        return 0;
    json_t *schema = json_pack("{s:s, s:o, s:i}", "type", "string", "pattern", pattern,
                               "maxLength", 64);
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_grammar) grammar = dx_grammar_compile(schema, &error);
    if ((grammar == NULL) == (error == NULL))
        g_error("neither a grammar nor an error, or both");
    if (grammar != NULL)
        fuzz_answer(grammar, vocab, data, bytes, STEPS_MAX);
    json_decref(schema);
    return 0;
}

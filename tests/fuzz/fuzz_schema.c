/*
 * fuzz_schema.c - any bytes as a schema (YAML or JSON, the whole or the short form); what
 * compiles is answered with choices made of the same bytes and must end as JSON.
 */
#include "fuzz_answer.h"

#define STEPS_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static dx_vocab *vocab;
    if (vocab == NULL)
        vocab = fuzz_byte_vocab();
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_schema) schema =
        dx_schema_parse((const char *)data, bytes, "fuzz", &error);
    if ((schema == NULL) == (error == NULL))
        g_error("neither a schema nor an error, or both");
    if (schema == NULL || bytes == 0)
        return 0;
    g_autoptr(dx_grammar) grammar = dx_grammar_compile(dx_schema_json(schema), NULL);
    if (grammar == NULL)
        g_error("a schema that was taken cannot be compiled");
    fuzz_answer(grammar, vocab, data, bytes, STEPS_MAX);
    return 0;
}

/*
 * fuzz_checkpoint.c - any bytes as config.json and as tokenizer.json.  A tokenizer that
 * opens must encode the bytes it was made of, within its own limits.
 */
#include "core.h"
#include "fuzz.h"

#include <stdlib.h>

#define VOCAB 4096u

static void try_tokenizer(const vl_json *root, const char *text, size_t bytes)
{
    vl_error err = { 0 };
    vl_tokenizer *tokenizer = vl_tokenizer_new(root, VOCAB, &err);
    if (tokenizer == NULL) {
        if (err.code == VL_OK || err.text[0] == '\0')
            abort();
        return;
    }
    int32_t ids[64];
    size_t count = vl_tokenizer_encode(tokenizer, text, bytes, ids, 64);
    for (size_t i = 0; i < count && i < 64; i++) {
        size_t n = 0;
        if (ids[i] < 0 || (uint32_t)ids[i] >= VOCAB)
            abort();
        (void)vl_tokenizer_bytes(tokenizer, ids[i], &n); /* only that it can be read */
        if (n > VL_TOKEN_BYTES_MAX)
            abort();
    }
    vl_tokenizer_free(tokenizer);
}

static void try_config(const vl_json *root)
{
    vl_config config = { .name = "" };
    vl_error err = { 0 };
    bool is_read = vl_config_read(&config, root, "fuzz", &err);
    if (!is_read && (err.code == VL_OK || err.text[0] == '\0'))
        abort();
    free(config.chars);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    vl_error err = { 0 };
    vl_json_doc *doc = vl_json_parse((const char *)data, bytes, "fuzz", &err);
    if (doc == NULL)
        return err.code == VL_OK ? -1 : 0;
    try_config(vl_json_root(doc));
    try_tokenizer(vl_json_root(doc), (const char *)data, bytes);
    vl_json_free(doc);
    return 0;
}

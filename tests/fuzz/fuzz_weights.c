/*
 * fuzz_weights.c - any bytes as model.safetensors.  What opens must have every tensor
 * inside the file.
 */
#include "fuzz.h"
#include "weights.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void remove_folder(void)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    (void)unlink(path); /* left-overs in a temporary folder harm nobody */
    (void)rmdir(folder);
}

static void write_file(const uint8_t *data, size_t bytes)
{
    if (folder[0] == '\0') {
        const char *base = getenv("TMPDIR");
        (void)snprintf(folder, sizeof folder, "%s/fuzz-weights-XXXXXX",
                       base != NULL ? base : "/tmp");
        if (mkdtemp(folder) == NULL)
            abort();
        atexit(remove_folder);
    }
    char path[128];
    (void)snprintf(path, sizeof path, "%s/model.safetensors", folder);
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, bytes) != (ssize_t)bytes || close(fd) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    write_file(data, bytes);
    vl_error err = { 0 };
    vl_weights *weights = vl_weights_open(folder, &err);
    if (weights == NULL)
        return err.code == VL_OK || err.text[0] == '\0' ? -1 : 0;
    static const char *const names[] = { "a", "b", "language.model.norm.weight" };
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const vl_tensor *tensor = vl_weights_get(weights, names[i]);
        for (uint64_t k = 0; tensor != NULL && k < tensor->bytes; k++)
            sum = (uint8_t)(sum + tensor->data[k]);
    }
    vl_sha256 sha;
    vl_sha256_init(&sha);
    vl_weights_hash(weights, &sha);
    vl_weights_free(weights);
    return 0;
}

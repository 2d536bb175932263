/*
 * corpus.c - runs a fuzz target over the files of a folder, with any compiler: what a
 * search once found stays found.
 *
 * Each file is given whole, and then again cut at 16 places and with 64 bytes changed, from
 * a fixed seed: cheap, and it sees what a refactoring breaks at once.
 */
#include "fuzz.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

#define CUTS    16u
#define CHANGES 64u

static void try_bytes(const uint8_t *data, size_t bytes)
{
    /* A copy of exactly this size, and never NULL as g_malloc(0) would be:
     * AddressSanitizer sees one byte too many. */
    uint8_t *copy = malloc(bytes);
    g_assert_nonnull(copy);
    memcpy(copy, data, bytes);
    g_assert_cmpint(LLVMFuzzerTestOneInput(copy, bytes), ==, 0);
    free(copy);
}

static void try_file(gconstpointer path)
{
    g_autofree char *text = NULL;
    gsize bytes = 0;
    g_autoptr(GError) error = NULL;
    g_file_get_contents(path, &text, &bytes, &error);
    g_assert_no_error(error);
    uint8_t *data = (uint8_t *)text;
    try_bytes(data, bytes);
    for (gsize i = 0; i < CUTS && i < bytes; i++)
        try_bytes(data, bytes * i / CUTS);
    g_autoptr(GRand) random = g_rand_new_with_seed(1);
    for (gsize i = 0; i < CHANGES && bytes > 0; i++) {
        gsize at = (gsize)g_rand_int(random) % bytes;
        uint8_t before = data[at];
        data[at] = (uint8_t)g_rand_int(random);
        try_bytes(data, bytes);
        data[at] = before;
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_assert_cmpint(argc, ==, 2);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) folder = g_dir_open(argv[1], 0, &error);
    g_assert_no_error(error);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    for (const char *name; (name = g_dir_read_name(folder)) != NULL;) {
        g_ptr_array_add(paths, g_build_filename(argv[1], name, NULL));
        g_autofree char *test = g_strconcat("/corpus/", name, NULL);
        g_test_add_data_func(test, paths->pdata[paths->len - 1], try_file);
    }
    g_assert_cmpuint(paths->len, >, 0);
    return g_test_run();
}

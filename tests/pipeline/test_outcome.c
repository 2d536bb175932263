/* test_outcome.c - whose fault an error is, and what it is called. */
#include "app.h"

#include <errno.h>

static const struct {
    int code;
    gboolean is_temporary;
    const char *name;
} table[] = {
    { ENOSPC, TRUE, "disk_full" }, { EDQUOT, TRUE, "disk_full" },
    { EMFILE, TRUE, "io" },        { ESTALE, TRUE, "io" },
    { EROFS, TRUE, "io" },         { ENOTCONN, TRUE, "io" },
    { EHOSTDOWN, TRUE, "io" },     { ETIMEDOUT, TRUE, "io" },
    { EIO, FALSE, "io" },          { ENAMETOOLONG, FALSE, "io" },
    { EACCES, FALSE, "denied" },   { ENOENT, FALSE, "missing" },
    { EPERM, FALSE, "denied" },    { EISDIR, FALSE, "io" },
};

static void test_io(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++) {
        g_test_message("case: %s", g_strerror(table[i].code));
        g_autoptr(GError) error = NULL;
        errno = table[i].code;
        g_assert_false(dp_fail_errno(&error, "writing", "x"));
        g_assert_cmpint(dp_error_is_temporary(error), ==, table[i].is_temporary);
        g_assert_cmpint(dp_exit_of(error) == DP_EXIT_TEMPORARY, ==,
                        table[i].is_temporary);
        g_assert_cmpstr(dp_error_name(error), ==, table[i].name);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/outcome/io", test_io);
    return g_test_run();
}

/* test_claims.c - one file, one watcher; and what becomes of a dead one's files. */
#include "claims.h"

#include "app.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* In place of the libraries': locks that nobody else sees, and a clock that jumps. */
static gboolean are_locks_seen = TRUE;
static gint64 clock_us;

int flock(int fd, int operation)
{
    return are_locks_seen ? (int)syscall(SYS_flock, fd, operation) : 0;
}

gint64 g_get_monotonic_time(void)
{
    return clock_us;
}

typedef struct fixture {
    char *dir;
    int fd;
} fixture;

static void set_up(fixture *f, gconstpointer unused)
{
    f->dir = g_dir_make_tmp("docvl-claims-XXXXXX", NULL);
    f->fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_assert_cmpint(f->fd, >=, 0);
}

static void tear_down(fixture *f, gconstpointer unused)
{
    close(f->fd);
    g_free(f->dir);
}

static void drop(const fixture *f, const char *name)
{
    g_autofree char *path = g_build_filename(f->dir, name, NULL);
    g_assert_true(g_file_set_contents(path, name, -1, NULL));
}

static void test_one_winner(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_claims) a = dp_claims_open(f->dir, "journal", &error);
    g_autoptr(dp_claims) b = dp_claims_open(f->dir, "journal", &error);
    g_assert_no_error(error);
    drop(f, "x.pdf");
    g_autofree char *first = dp_claims_take(a, f->fd, "x.pdf", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(dp_claims_relative(f->dir, first), ==, "x.pdf");
    g_assert_true(g_file_test(first, G_FILE_TEST_EXISTS));
    g_assert_null(dp_claims_take(b, f->fd, "x.pdf", &error));
    g_assert_error(error, DP_IO_ERROR, ENOENT);
    /* the same name again is another file */
    g_clear_error(&error);
    drop(f, "x.pdf");
    g_autofree char *second = dp_claims_take(a, f->fd, "x.pdf", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(first, !=, second);
}

/* A process that takes a file and dies with it. */
static void die_with(const fixture *f, const char *name, const char *owner)
{
    drop(f, name);
    pid_t pid = fork();
    if (pid == 0) {
        dp_claims *claims = dp_claims_open(f->dir, owner, NULL);
        char *path = claims != NULL ? dp_claims_take(claims, f->fd, name, NULL) : NULL;
        _exit(path != NULL ? 0 : 1);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
}

static void test_adopt(fixture *f, gconstpointer unused)
{
    die_with(f, "ours.pdf", "journal");
    die_with(f, "theirs.pdf", "another journal");
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_claims) a = dp_claims_open(f->dir, "journal", &error);
    g_autoptr(GPtrArray) list = dp_claims_list(a, DP_CLAIMS_ADOPTED_NOW, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(list->len, ==, 1);
    const dp_claimed *one = g_ptr_array_index(list, 0);
    g_assert_cmpstr(one->relative, ==, "ours.pdf");
    g_assert_cmpstr(dp_claims_relative(f->dir, one->path), ==, "ours.pdf");
    /* adopted once: a second watcher finds it locked, we do not list it as new again */
    g_autoptr(dp_claims) b = dp_claims_open(f->dir, "journal", &error);
    g_autoptr(GPtrArray) none = dp_claims_list(b, DP_CLAIMS_ALL, &error);
    g_assert_cmpuint(none->len, ==, 0);
    g_autoptr(GPtrArray) again = dp_claims_list(a, DP_CLAIMS_ADOPTED_NOW, &error);
    g_assert_cmpuint(again->len, ==, 0);
    g_autoptr(GPtrArray) all = dp_claims_list(a, DP_CLAIMS_ALL, &error);
    g_assert_cmpuint(all->len, ==, 1);
    /* finished: its folders and its lock go */
    g_assert_cmpint(g_unlink(one->path), ==, 0);
    dp_claims_tidy(f->dir, one->path);
    g_autoptr(GPtrArray) empty = dp_claims_list(a, DP_CLAIMS_ALL, &error);
    g_assert_cmpuint(empty->len, ==, 0);
    g_autofree char *base = g_build_filename(f->dir, DP_CLAIMS_FOLDER, NULL);
    g_autoptr(GDir) left = g_dir_open(base, 0, NULL);
    guint locks = 0;
    for (const char *name; (name = g_dir_read_name(left)) != NULL;)
        locks += g_str_has_suffix(name, ".lock");
    g_assert_cmpuint(locks, ==, 3); /* a, b, and the one of another journal */
}

/* The claims of watchers on two machines, where the file system keeps locks to itself. */
static void test_locks_that_are_not_seen(fixture *f, gconstpointer unused)
{
    are_locks_seen = FALSE;
    clock_us = G_USEC_PER_SEC;
    dp_claims *a = dp_claims_open(f->dir, "journal", NULL);
    dp_claims *b = dp_claims_open(f->dir, "another journal", NULL);
    drop(f, "x.pdf");
    g_autofree char *path = dp_claims_take(a, f->fd, "x.pdf", NULL);
    for (guint minutes = 0; minutes < 30; minutes++) {
        g_usleep(2000); /* for the file's time to be another one */
        clock_us += 60 * G_USEC_PER_SEC;
        dp_claims_touch(a);
        g_autoptr(GPtrArray) list = dp_claims_list(b, DP_CLAIMS_ALL, NULL);
        g_assert_cmpuint(list->len, ==, 0);
        g_assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    }
    /* it stops touching */
    clock_us += DP_CLAIMS_ABANDONED_US;
    g_autoptr(GPtrArray) none = dp_claims_list(b, DP_CLAIMS_ALL, NULL);
    g_assert_cmpuint(none->len, ==, 0);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_autofree char *back = g_build_filename(f->dir, "x.pdf", NULL);
    g_assert_true(g_file_test(back, G_FILE_TEST_EXISTS));
    dp_claims_free(b);
    dp_claims_free(a);
    are_locks_seen = TRUE;
}

static guint count_locks(const fixture *f)
{
    g_autofree char *base = g_build_filename(f->dir, DP_CLAIMS_FOLDER, NULL);
    g_autoptr(GDir) dir = g_dir_open(base, 0, NULL);
    guint locks = 0;
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;)
        locks += g_str_has_suffix(name, ".lock");
    return locks;
}

static void remove_locks(const fixture *f)
{
    g_autofree char *base = g_build_filename(f->dir, DP_CLAIMS_FOLDER, NULL);
    g_autoptr(GDir) dir = g_dir_open(base, 0, NULL);
    for (const char *name; (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *path = g_build_filename(base, name, NULL);
        if (g_str_has_suffix(name, ".lock"))
            g_assert_cmpint(g_unlink(path), ==, 0);
    }
}

/* Locks that a person removed: the living make theirs again, the claims of the dead go back. */
static void test_locks_that_are_removed(fixture *f, gconstpointer unused)
{
    clock_us = G_USEC_PER_SEC;
    die_with(f, "x.pdf", "journal");
    dp_claims *a = dp_claims_open(f->dir, "another journal", NULL);
    remove_locks(f);
    g_assert_cmpuint(count_locks(f), ==, 0);
    clock_us += DP_CLAIMS_TOUCH_US;
    dp_claims_touch(a);
    g_assert_cmpuint(count_locks(f), ==, 1);
    for (guint n = 0; n < 3; n++) {
        g_autoptr(GPtrArray) list = dp_claims_list(a, DP_CLAIMS_ALL, NULL);
        g_assert_cmpuint(list->len, ==, 0);
        clock_us += DP_CLAIMS_ABANDONED_US;
    }
    g_autofree char *back = g_build_filename(f->dir, "x.pdf", NULL);
    g_assert_true(g_file_test(back, G_FILE_TEST_EXISTS));
    g_assert_cmpuint(count_locks(f), ==, 1);
    dp_claims_free(a);
}

static void test_nothing_left(fixture *f, gconstpointer unused)
{
    dp_claims *a = dp_claims_open(f->dir, "journal", NULL);
    g_assert_nonnull(a);
    dp_claims_free(a);
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
}

static void test_no_link(fixture *f, gconstpointer unused)
{
    g_autofree char *base = g_build_filename(f->dir, DP_CLAIMS_FOLDER, NULL);
    g_assert_cmpint(symlink("/tmp", base), ==, 0);
    g_autoptr(GError) error = NULL;
    g_assert_null(dp_claims_open(f->dir, "journal", &error));
    g_assert_error(error, DP_IO_ERROR, ENOTDIR);
}

static const struct {
    const char *path, *relative;
} rows[] = {
    { "/in/.docvl/ab/1/x.pdf", "x.pdf" },
    { "/in/.docvl/ab/1/s/x.pdf", "s/x.pdf" },
    { "/in/.docvl/ab/1/", NULL },
    { "/in/.docvl/ab.lock", NULL },
    { "/in/x.pdf", NULL },
    { "/inn/.docvl/ab/1/x.pdf", NULL },
    { "/in", NULL },
};

static void test_relative(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("case: %s", rows[i].path);
        g_assert_cmpstr(dp_claims_relative("/in", rows[i].path), ==, rows[i].relative);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name, function) g_test_add(name, fixture, NULL, set_up, function, tear_down)
    ADD("/claims/one-winner", test_one_winner);
    ADD("/claims/adopt", test_adopt);
    ADD("/claims/locks-that-are-not-seen", test_locks_that_are_not_seen);
    ADD("/claims/locks-that-are-removed", test_locks_that_are_removed);
    ADD("/claims/nothing-left", test_nothing_left);
    ADD("/claims/no-link", test_no_link);
    g_test_add_func("/claims/relative", test_relative);
    return g_test_run();
}

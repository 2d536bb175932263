/* test_names.c - names that are left alone, free names, moving without overwriting. */
#include "names.h"

#include "app.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a file system may not know; both in place of the C library's. */
static int no_replace_code, link_code; /* errno; 0: it knows */

int renameat2(int from_dir, const char *from, int to_dir, const char *to,
              unsigned int flags)
{
    if (flags != 0 && no_replace_code != 0) {
        errno = no_replace_code;
        return -1;
    }
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to)
{
    if (link_code != 0) {
        errno = link_code;
        return -1;
    }
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

static const struct {
    const char *name;
    gboolean is_ignored;
} names[] = {
    { "a.pdf", FALSE },
    { "part", FALSE },
    { "a.part", TRUE },
    { "A.PART", TRUE },
    { "a.part.pdf", FALSE },
    { ".a.pdf", TRUE },
    { "~$a.docx", TRUE },
    { "a.pdf~", TRUE },
    { "x.crdownload", TRUE },
    { "x.filepart", TRUE },
    { "x.tmp", TRUE },
    { "x.tmpl", FALSE },
    { "Thumbs.db", TRUE },
    { "my Thumbs.db", FALSE },
    { "desktop.ini", TRUE },
    { "Icon\r", TRUE },
    { "lost+found", TRUE },
    { ".nfs000123", TRUE },
    { "draft 1.pdf", TRUE },
    { "Draft.pdf", TRUE },
    { "a draft.pdf", FALSE },
    { "a.bak", TRUE },
    { "", FALSE },
    { "~", TRUE },
};

static void test_ignored(void)
{
    const char *const globs[] = { "draft*", "*.bak", NULL };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_test_message("case: %s", names[i].name);
        g_assert_cmpint(dp_name_is_ignored(names[i].name, globs), ==,
                        names[i].is_ignored);
    }
    g_assert_false(dp_name_is_ignored("draft.pdf", NULL));
}

static const struct {
    const char *path, *folder;
    gboolean is_within;
} paths[] = {
    { "/a", "/a", TRUE },    { "/a/b", "/a", TRUE }, { "/ab", "/a", FALSE },
    { "/a", "/a/b", FALSE }, { "/a/b", "/", TRUE },  { "/b", "/a", FALSE },
};

static void test_within(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        g_assert_cmpint(dp_path_is_within(paths[i].path, paths[i].folder), ==,
                        paths[i].is_within);
}

static char *put(const char *dir, const char *name, const char *text)
{
    char *path = g_build_filename(dir, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static void expect_text(const char *path, const char *text)
{
    g_autofree char *found = NULL;
    g_assert_true(g_file_get_contents(path, &found, NULL, NULL));
    g_assert_cmpstr(found, ==, text);
}

static void test_free_names(void)
{
    g_autofree char *dir = g_dir_make_tmp("docvl-names-XXXXXX", NULL);
    static const struct {
        const char *have, *want, *next;
    } rows[] = {
        { "a.pdf", "a.pdf", "a~2.pdf" },       { "a~2.pdf", "a.pdf", "a~3.pdf" },
        { "plain", "plain", "plain~2" },       { "x.tar.gz", "x.tar.gz", "x.tar~2.gz" },
        { ".hidden", ".hidden", ".hidden~2" }, { "z", "d.d/new.pdf", "d.d/new.pdf" },
        { "d.d/new", "d.d/new", "d.d/new~2" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_test_message("case: %s", rows[i].want);
        g_free(put(dir, rows[i].have, "x"));
        g_autoptr(GError) error = NULL;
        g_autofree char *found = dp_path_free_name(dir, rows[i].want, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(found + strlen(dir) + 1, ==, rows[i].next);
    }
}

/* Our own endings and numbers must find room behind it. */
static void test_short_names(void)
{
    g_autofree char *plain = g_strnfill(251, 'a');
    g_autofree char *longest = g_strconcat("sub.d/", plain, ".pdf", NULL);
    g_autofree char *other = g_strconcat("sub.d/b", plain + 1, ".pdf", NULL);
    g_autofree char *cut = dp_name_short(longest), *cut_other = dp_name_short(other);
    g_assert_true(g_str_has_prefix(cut, "sub.d/aaaa"));
    g_assert_true(g_str_has_suffix(cut, ".pdf"));
    g_assert_cmpuint(strlen(cut), <=, strlen("sub.d/") + 220);
    g_assert_cmpstr(cut + strlen(cut) - 12, !=, cut_other + strlen(cut_other) - 12);
    g_autoptr(GString) greek = g_string_new("x");
    while (greek->len + 2 <= 255)
        g_string_append(greek, "\xce\xb1");
    g_autofree char *cut_greek = dp_name_short(greek->str);
    g_assert_true(g_utf8_validate(cut_greek, -1, NULL));
    g_autofree char *kept = dp_name_short("sub/a.pdf");
    g_assert_cmpstr(kept, ==, "sub/a.pdf");
}

static void move_between(const char *from_dir, const char *to_dir)
{
    g_autofree char *a = put(from_dir, "a", "first");
    g_autofree char *b = put(to_dir, "b", "second");
    g_autofree char *c = g_build_filename(to_dir, "c", NULL);
    g_autoptr(GError) error = NULL;
    g_assert_false(dp_file_move(a, b, &error));
    g_assert_error(error, DP_IO_ERROR, EEXIST);
    expect_text(a, "first");
    expect_text(b, "second");
    g_clear_error(&error);
    g_assert_true(dp_file_move(a, c, &error));
    g_assert_no_error(error);
    expect_text(c, "first");
    g_assert_false(dp_file_move(a, c, &error));
    g_assert_error(error, DP_IO_ERROR, ENOENT);
    g_autofree char *part = g_build_filename(to_dir, ".c.part", NULL);
    g_assert_false(g_file_test(part, G_FILE_TEST_EXISTS));
}

static void test_move(void)
{
    g_autofree char *dir = g_dir_make_tmp("docvl-names-XXXXXX", NULL);
    move_between(dir, dir);
}

/* sshfs and FAT have no RENAME_NOREPLACE, and perhaps no hard links. */
static void test_move_on_plain_file_systems(void)
{
    static const int codes[][2] = { { EINVAL, 0 },      { ENOSYS, 0 },
                                    { EINVAL, EPERM },  { EINVAL, EOPNOTSUPP },
                                    { EINVAL, ENOSYS }, { EINVAL, EMLINK } };
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++) {
        g_test_message("case: %zu", i);
        g_autofree char *dir = g_dir_make_tmp("docvl-names-XXXXXX", NULL);
        no_replace_code = codes[i][0];
        link_code = codes[i][1];
        move_between(dir, dir);
    }
    no_replace_code = link_code = 0;
}

/* From /dev/shm, which is a file system of its own where there is one. */
static void test_move_over_file_systems(void)
{
    GStatBuf here, there;
    g_autofree char *dir = g_dir_make_tmp("docvl-names-XXXXXX", NULL);
    g_autofree char *other = g_strdup("/dev/shm/docvl-names-XXXXXX");
    if (g_mkdtemp(other) == NULL || g_stat(dir, &here) != 0 ||
        g_stat(other, &there) != 0 || here.st_dev == there.st_dev) {
        g_test_skip("one file system only");
        return;
    }
    move_between(other, dir);
    g_assert_cmpint(g_rmdir(other), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/names/ignored", test_ignored);
    g_test_add_func("/names/within", test_within);
    g_test_add_func("/names/free", test_free_names);
    g_test_add_func("/names/short", test_short_names);
    g_test_add_func("/names/move", test_move);
    g_test_add_func("/names/move-on-plain-file-systems", test_move_on_plain_file_systems);
    g_test_add_func("/names/move-over-file-systems", test_move_over_file_systems);
    return g_test_run();
}

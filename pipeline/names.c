/*
 * names.c - names that are not documents, and moving files without overwriting any.
 */
#include "names.h"

#include "app.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { SHORT_MAX = 220, ENDING_MAX = 10, FREE_NAMES_MAX = 100000, COPY_BYTES = 1 << 16 };

/* Endings, and whole names; no globs, since ten thousand names at rest are compared with
 * each of them at every scan. */
static const char *const endings[] = {
    "~",           ".part",   ".partial", ".filepart", ".crdownload", ".download",
    ".opdownload", ".aria2",  ".!ut",     ".!qb",      ".!sync",      ".unfinished",
    ".uploading",  ".upload", ".tmp",     ".temp",     ".swp",        ".swx",
    ".lock",       ".lck",    ".lnk",     ".url",
};
static const char *const whole_names[] = {
    "thumbs.db", "ehthumbs.db",  "desktop.ini",
    "icon\r",    "lost+found",   "@eadir",
    "__macosx",  "$recycle.bin", "system volume information",
};

static gboolean is_built_in(const char *name)
{
    if (*name == '.' || *name == '~') /* hidden, ours, office programs' */
        return TRUE;
    gsize length = strlen(name);
    for (gsize i = 0; i < G_N_ELEMENTS(endings); i++) {
        gsize bytes = strlen(endings[i]);
        if (length >= bytes && g_ascii_strcasecmp(name + length - bytes, endings[i]) == 0)
            return TRUE;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(whole_names); i++)
        if (g_ascii_strcasecmp(name, whole_names[i]) == 0)
            return TRUE;
    return FALSE;
}

static gboolean matches(const char *name, const char *const *globs)
{
    for (; globs != NULL && *globs != NULL; globs++)
        if (fnmatch(*globs, name, FNM_CASEFOLD) == 0)
            return TRUE;
    return FALSE;
}

gboolean dp_name_is_ignored(const char *name, const char *const *globs)
{
    return is_built_in(name) || matches(name, globs);
}

gboolean dp_path_is_within(const char *path, const char *folder)
{
    gsize length = strlen(folder);
    return strncmp(path, folder, length) == 0 &&
           (path[length] == '\0' || path[length] == '/' || strcmp(folder, "/") == 0);
}

gboolean dp_path_is_gone(const char *path)
{
    struct stat st;
    return lstat(path, &st) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

gboolean dp_make_folders(const char *path, int mode)
{
    if (mkdir(path, (mode_t)mode) == 0)
        return TRUE;
    if (errno == ENOENT) {
        g_autofree char *parent = g_path_get_dirname(path);
        if (strcmp(parent, path) == 0 || !dp_make_folders(parent, mode))
            return FALSE;
        if (mkdir(path, (mode_t)mode) == 0)
            return TRUE;
    }
    struct stat st;
    if (errno != EEXIST || stat(path, &st) != 0)
        return FALSE;
    errno = S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    return S_ISDIR(st.st_mode);
}

gboolean dp_fd_is_network(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) != 0)
        return FALSE;
    static const unsigned long kinds[] = {
        NFS_SUPER_MAGIC,
        SMB_SUPER_MAGIC,
        0xff534d42 /* cifs */,
        0xfe534d42 /* smb2 */,
        AFS_SUPER_MAGIC,
        CODA_SUPER_MAGIC,
        V9FS_MAGIC,
        0x65735546 /* fuse */,
        0x00c36400 /* ceph */,
        0x01161970 /* gfs2 */,
        0x7461636f /* ocfs2 */,
        0x0bd00bd0 /* lustre */,
        0x47504653 /* gpfs */,
        0x786f4256 /* vboxsf */,
        0xbacbacbc /* vmhgfs */,
    };
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if ((unsigned long)fs.f_type == kinds[i])
            return TRUE;
    return FALSE;
}

char *dp_name_short(const char *relative)
{
    const char *slash = strrchr(relative, '/');
    const char *base = slash != NULL ? slash + 1 : relative;
    gsize length = strlen(base);
    if (length <= SHORT_MAX)
        return g_strdup(relative);
    const char *dot = strrchr(base, '.');
    const char *ending = dot != NULL && strlen(dot) <= ENDING_MAX ? dot : base + length;
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, base, -1);
    gsize keep = SHORT_MAX - strlen("~12345678") - strlen(ending);
    while (keep > 0 && ((guchar)base[keep] & 0xc0) == 0x80) /* within a character */
        keep--;
    return g_strdup_printf("%.*s%.*s~%.8s%s", (int)(base - relative), relative, (int)keep,
                           base, sum, ending);
}

char *dp_path_free_name(const char *folder, const char *relative, GError **error)
{
    g_autofree char *name_short = dp_name_short(relative);
    g_autofree char *first = g_build_filename(folder, name_short, NULL);
    g_autofree char *dir = g_path_get_dirname(first);
    if (!dp_make_folders(dir, 0755)) {
        (void)dp_fail_errno(error, "making the folder", dir);
        return NULL;
    }
    const char *base = strrchr(first, '/') + 1;
    const char *dot = strrchr(base, '.');
    gsize stem = dot != NULL && dot != base ? (gsize)(dot - first) : strlen(first);
    for (guint n = 1; n <= FREE_NAMES_MAX; n++) {
        g_autofree char *name =
            n == 1 ? g_strdup(first)
                   : g_strdup_printf("%.*s~%u%s", (int)stem, first, n, first + stem);
        struct stat st;
        if (lstat(name, &st) == 0)
            continue;
        if (errno == ENOENT)
            return g_steal_pointer(&name);
        (void)dp_fail_errno(error, "looking for", name);
        return NULL;
    }
    g_set_error(error, DP_IO_ERROR, EEXIST, "%s: %d names like it are taken", first,
                FREE_NAMES_MAX);
    return NULL;
}

static gboolean copy_bytes(int in, int out)
{
    char buffer[COPY_BYTES];
    for (;;) {
        ssize_t got = read(in, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0;
        for (ssize_t done = 0; done < got;) {
            ssize_t put = write(out, buffer + done, (size_t)(got - done));
            if (put < 0 && errno != EINTR)
                return FALSE;
            done += MAX(put, 0);
        }
    }
}

/* Where links are unknown too (FAT, some network shares) a look must do; watchers of this
 * machine look one after the other. */
static gboolean look_and_rename(const char *from, const char *to)
{
    g_autofree char *dir = g_path_get_dirname(to);
    int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0)
        return FALSE;
    while (flock(lock, LOCK_EX) != 0 && errno == EINTR) {
        /* without locks the look alone must do */
    }
    gboolean is_there = !dp_path_is_gone(from), is_free = dp_path_is_gone(to);
    gboolean is_done = is_there && is_free && rename(from, to) == 0;
    int saved = !is_there ? ENOENT : !is_free ? EEXIST : errno;
    close(lock);
    errno = saved;
    return is_done;
}

gboolean dp_rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return TRUE;
    if (errno != EINVAL && errno != ENOSYS)
        return FALSE;
    /* A file system without RENAME_NOREPLACE: a hard link has the same promise. */
    if (link(from, to) == 0)
        return unlink(from) == 0;
    if (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS && errno != EMLINK)
        return FALSE;
    return look_and_rename(from, to);
}

static gboolean sync_folder_of(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean is_good = fd >= 0 && (fsync(fd) == 0 || errno == EINVAL);
    if (fd >= 0)
        close(fd);
    return is_good;
}

static gboolean copy_over(const char *from, const char *to, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(to);
    g_autofree char *part = dp_part_path(to);
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (in < 0)
        return dp_fail_errno(error, "opening", from);
    struct stat st;
    (void)unlink(part); /* what a crash left may be another file's second name */
    int out = open(part, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    gboolean is_good = out >= 0 && fstat(in, &st) == 0 && copy_bytes(in, out);
    if (is_good) {
        const struct timespec times[2] = { st.st_atim, st.st_mtim };
        (void)futimens(out, times); /* a wrong time is no reason to keep the file back */
        (void)fchmod(out, st.st_mode & 0777);
        is_good = fsync(out) == 0;
    }
    int saved = errno;
    close(in);
    if (out >= 0 && close(out) != 0 && is_good) {
        is_good = FALSE;
        saved = errno;
    }
    if (is_good && !dp_rename_new(part, to)) {
        is_good = FALSE;
        saved = errno;
    }
    if (!is_good) {
        (void)unlink(part); /* nothing more can be done about it */
        errno = saved;
        return dp_fail_errno(error, "writing", to);
    }
    if (!sync_folder_of(to))
        return dp_fail_errno(error, "syncing", dir);
    return unlink(from) == 0 || dp_fail_errno(error, "removing", from);
}

gboolean dp_file_move(const char *from, const char *to, GError **error)
{
    assert(*from == '/');
    assert(*to == '/');
    if (dp_rename_new(from, to))
        return TRUE;
    if (errno == EXDEV)
        return copy_over(from, to, error);
    return dp_fail_errno(error, "moving to", to);
}

/*
 * publish.c - files that appear whole or not at all.
 *
 * The bytes go to .NAME.part beside the target, are synced, and get their name by one
 * rename.  The temporary name is always the same: what a killed process left there is
 * overwritten by the next try and so disappears.  A lock on it keeps two writers of one
 * target apart; it ends with its process and can't go stale.
 */
#include "app.h"

#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/file.h>
#include <unistd.h>

#define TRIES_MAX 1000 /* of 10 ms: as long as another writer may take for one result */

int dp_open_file(const char *path, int flags)
{
    int fd;
    do
        fd = open(path, flags | O_CLOEXEC, 0644);
    while (fd < 0 && errno == EINTR);
    return fd;
}

gboolean dp_write_all(int fd, const char *bytes, gsize length)
{
    while (length > 0) {
        gssize n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FALSE;
        bytes += n;
        length -= (gsize)n;
    }
    return TRUE;
}

static gboolean sync_file(int fd)
{
    int code;
    do
        code = fsync(fd);
    while (code != 0 && errno == EINTR);
    return code == 0;
}

/* Does the open file still have this name, and no other?  The writer before us renamed it
 * away, or the folder was emptied; or it gave it a second name (dp_rename_new) and was
 * killed before it took this one away. */
static gboolean has_name(int fd, const char *path)
{
    struct stat mine, named;
    if (fstat(fd, &mine) != 0 || lstat(path, &named) != 0 ||
        mine.st_ino != named.st_ino || mine.st_dev != named.st_dev)
        return FALSE;
    if (mine.st_nlink <= 1)
        return TRUE;
    (void)unlink(path); /* looked at again */
    return FALSE;
}

/* Open and lock the temporary file, empty. */
static int open_part(const char *path)
{
    for (guint i = 0; i < TRIES_MAX; i++) {
        int fd = dp_open_file(path, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            return -1;
        /* ENOLCK and such: a file system without locks; one writer is the rule anyway */
        gboolean is_locked =
            flock(fd, LOCK_EX | LOCK_NB) == 0 || (errno != EWOULDBLOCK && errno != EINTR);
        if (is_locked && has_name(fd, path)) {
            if (ftruncate(fd, 0) == 0)
                return fd;
            int saved = errno;
            close(fd);
            errno = saved;
            return -1;
        }
        close(fd);
        if (!is_locked)
            g_usleep(10000);
    }
    errno = EBUSY;
    return -1;
}

/* The lock is held until the rename is done, so the descriptor is closed behind it: what a
 * close could still complain about, the sync has said. */
static gboolean write_and_rename(const char *part, const char *path, gboolean is_new,
                                 dp_writer writer, void *user)
{
    int fd = open_part(part);
    if (fd < 0)
        return FALSE;
    gboolean is_ok = writer(user, fd) && sync_file(fd) &&
                     (is_new ? dp_rename_new(part, path) : rename(part, path) == 0);
    int saved = errno;
    if (!is_ok)
        (void)unlink(part); /* nothing more can be done about it */
    close(fd);
    errno = saved;
    return is_ok;
}

char *dp_part_path(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *base = g_path_get_basename(path);
    if (strlen(base) + strlen("..part") <= NAME_MAX)
        return g_strdup_printf("%s/.%s.part", dir, base);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, base, -1);
    return g_strdup_printf("%s/.docvl-%.32s.part", dir, sum);
}

static gboolean publish(const char *path, gboolean is_new, dp_writer writer, void *user,
                        GError **error)
{
    g_autofree char *dir = g_path_get_dirname(path);
    g_autofree char *part = dp_part_path(path);
    int dir_fd = dp_open_file(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return dp_fail_errno(error, "opening", dir);
    if (!write_and_rename(part, path, is_new, writer, user)) {
        int saved = errno;
        close(dir_fd);
        errno = saved;
        return dp_fail_errno(error, "writing", path);
    }
    /* A file system without directory sync says EINVAL: the rename stands then. */
    gboolean is_ok = sync_file(dir_fd) || errno == EINVAL;
    int saved = errno;
    close(dir_fd);
    errno = saved;
    return is_ok || dp_fail_errno(error, "syncing", dir);
}

gboolean dp_publish_by(const char *path, dp_writer writer, void *user, GError **error)
{
    return publish(path, FALSE, writer, user, error);
}

typedef struct text {
    const char *bytes;
    gsize length;
} text;

static gboolean write_text(void *user, int fd)
{
    const text *t = user;
    return dp_write_all(fd, t->bytes, t->length);
}

gboolean dp_publish(const char *path, const char *bytes, gsize length, GError **error)
{
    text t = { bytes, length };
    return publish(path, FALSE, write_text, &t, error);
}

gboolean dp_publish_new(const char *path, const char *bytes, gsize length, GError **error)
{
    text t = { bytes, length };
    return publish(path, TRUE, write_text, &t, error);
}

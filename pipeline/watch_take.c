/*
 * watch_take.c - one name in a watched folder: is it a document, is it whole, take it.
 *
 * Whole is what has had the same size and time for a while, by the monotonic clock, and is
 * not open for writing as far as the kernel can say; or what has a marker beside it.
 */
#include "watch_parts.h"

#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BUSY_US (G_USEC_PER_SEC / 2) /* until a file that is held is looked at again */
#define HELD_US                                                                          \
    (600 * G_USEC_PER_SEC) /* a file open for writing so long is worth a word */

static gint64 nanoseconds(struct timespec t)
{
    return (gint64)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- refusing -------------------------------------------------------------------------------- */

/* What is no file never becomes one.  A file that could not be read or taken may be, without
 * any change that its times show (a disk's error, rights of a folder): by the back-off table,
 * and its last wait from then on. */
static void wait_for_next_try(refusal *no, const struct stat *st)
{
    if (!S_ISREG(st->st_mode))
        return;
    no->tries = MIN(no->tries + 1, DP_ATTEMPTS_MAX - 1);
    no->again_us = dp_now_us() + dp_backoff_ms(no->tries) * 1000;
}

static void dp_folder_refuse(dp_folder *f, const char *relative, const struct stat *st,
                             const char *code, const char *reason)
{
    refusal *known = g_hash_table_lookup(f->refused, relative);
    g_autofree char *own =
        g_strdup(relative); /* `relative` may go with the table's entry */
    g_hash_table_remove(f->waiting, relative);
    relative = own;
    if (known != NULL && known->inode == st->st_ino &&
        known->ctime_ns == nanoseconds(st->st_ctim)) {
        known->scan = f->scan;
        wait_for_next_try(known, st);
        return;
    }
    known = g_new(refusal, 1);
    *known = (refusal){ .inode = st->st_ino,
                        .ctime_ns = nanoseconds(st->st_ctim),
                        .scan = f->scan };
    wait_for_next_try(known, st);
    g_hash_table_replace(f->refused, g_strdup(relative), known);
    dp_message(f->watch->app, "error", "%s/%s: %s", f->config->path, relative, reason);
    g_autofree char *origin = NULL;
    g_autoptr(dp_site) site = NULL;
    dp_place place;
    if (dp_folder_place(f, relative, &origin, &site, &place))
        (void)dp_finish_refused(f->watch, &place, origin, code,
                                reason); /* it is logged */
}

void dp_folder_accept(dp_folder *f, const char *relative)
{
    if (!g_hash_table_remove(f->refused, relative))
        return;
    g_autofree char *origin = NULL;
    g_autoptr(dp_site) site = NULL;
    dp_place place;
    if (dp_folder_place(f, relative, &origin, &site, &place))
        dp_finish_accepted(&place);
}

/* ---- looking at one name ------------------------------------------------------------------------ */

gboolean dp_folder_is_marker(const dp_folder *f, const char *name)
{
    return f->config->marker != NULL && g_str_has_suffix(name, f->config->marker);
}

static gboolean has_marker(const dp_folder *f, int dir_fd, const char *name)
{
    g_autofree char *marker = g_strconcat(name, f->config->marker, NULL);
    return faccessat(dir_fd, marker, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static const char *kind_of(mode_t mode)
{
    return S_ISLNK(mode) ? "a symbolic link is not followed; put the document itself here"
           : S_ISFIFO(mode) ? "a named pipe is no document"
           : S_ISSOCK(mode) ? "a socket is no document"
                            : "a device is no document";
}

static gboolean is_unchanged(const seen *s, const struct stat *st)
{
    return s->size == st->st_size && s->mtime_ns == nanoseconds(st->st_mtim) &&
           s->inode == st->st_ino;
}

static int priority_of(const dp_folder *f, const char *relative)
{
    g_autofree char *origin = NULL;
    g_autoptr(dp_site) site = NULL;
    dp_place place;
    return dp_folder_place(f, relative, &origin, &site, &place) ? place.settings->priority
                                                                : 0;
}

static void restart_settling(const dp_folder *f, seen *s, const struct stat *st)
{
    s->size = st->st_size;
    s->mtime_ns = nanoseconds(st->st_mtim);
    s->inode = st->st_ino;
    s->since_us = dp_now_us();
    s->due_us = s->since_us + (f->config->marker != NULL ? 0 : f->config->settle_us);
}

/* Look at a name in the open folder dir_fd; `relative` is its whole path below the root. */
void dp_folder_look(dp_folder *f, int dir_fd, const char *name, const char *relative)
{
    struct stat st;
    if (dp_name_is_ignored(name, (const char *const *)f->config->ignore) ||
        dp_folder_is_marker(f, name))
        return;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        g_hash_table_remove(f->waiting, relative);
        return;
    }
    if (S_ISDIR(st.st_mode))
        return;
    if (!S_ISREG(st.st_mode)) {
        dp_folder_refuse(f, relative, &st, "not_a_file", kind_of(st.st_mode));
        return;
    }
    refusal *no = g_hash_table_lookup(f->refused, relative);
    if (no != NULL && no->inode == st.st_ino && no->ctime_ns == nanoseconds(st.st_ctim)) {
        no->scan = f->scan;
        if (no->again_us == 0 || dp_now_us() < no->again_us)
            return;
    }
    seen *kept = g_hash_table_lookup(f->kept, relative);
    if (kept != NULL && is_unchanged(kept, &st)) {
        kept->scan = f->scan;
        return;
    }
    if (f->config->marker != NULL && !has_marker(f, dir_fd, name))
        return;
    seen *s = g_hash_table_lookup(f->waiting, relative);
    if (s == NULL) {
        s = g_new0(seen, 1);
        s->relative = g_strdup(relative);
        s->priority = priority_of(f, relative);
        restart_settling(f, s, &st);
        g_hash_table_insert(f->waiting, s->relative, s);
    } else if (!is_unchanged(s, &st)) {
        restart_settling(f, s, &st);
    }
    s->scan = f->scan;
}

/* ---- taking ------------------------------------------------------------------------------------------ */

/* Does anybody have the file open for writing?  A read lease is only given when nobody has;
 * where leases do not work (network, other owner) nothing is known. */
static gboolean is_held(int fd)
{
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
        return FALSE;
    }
    return errno == EAGAIN;
}

/* A network file system may have told size and time from its memory; the file is open by now,
 * so they are asked of the server. */
static gboolean is_fresh(int fd, struct stat *st)
{
    struct statx now;
    if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC,
              STATX_SIZE | STATX_MTIME | STATX_INO, &now) != 0)
        return errno == ENOSYS; /* a kernel without it has no such memory to pass by */
    st->st_size = (off_t)now.stx_size;
    st->st_ino = (ino_t)now.stx_ino;
    st->st_mtim.tv_sec = (time_t)now.stx_mtime.tv_sec;
    st->st_mtim.tv_nsec = (long)now.stx_mtime.tv_nsec;
    return TRUE;
}

static void note_held(dp_folder *f, seen *s)
{
    gint64 now = dp_now_us();
    if (s->held_us == 0)
        s->held_us = now;
    s->due_us = now + CLAMP(f->config->settle_us, BUSY_US / 10, BUSY_US);
    if (now - s->held_us >= HELD_US && !s->is_held_told) {
        s->is_held_told = TRUE;
        dp_message(f->watch->app, "warning",
                   "%s/%s: unchanged, but still open for writing after "
                   "%d minutes",
                   f->config->path, s->relative, (int)(HELD_US / 60000000));
    }
}

static void forget(dp_folder *f, const char *relative)
{
    dp_folder_accept(f, relative);
    g_hash_table_remove(f->waiting, relative);
}

static void claim(dp_folder *f, seen *s, int dir_fd, const char *name,
                  const struct stat *st)
{
    if (dp_folder_is_kept(f)) {
        g_autofree char *path = g_build_filename(f->config->path, s->relative, NULL);
        seen *kept = g_new0(seen, 1);
        *kept = *s;
        kept->relative = g_strdup(s->relative);
        g_hash_table_replace(f->kept, kept->relative, kept);
        dp_folder_push(f, g_steal_pointer(&path), g_strdup(s->relative), FALSE);
        forget(f, kept->relative);
        return;
    }
    g_autoptr(GError) error = NULL;
    char *path = dp_claims_take(f->claims, dir_fd, s->relative, &error);
    int code = error != NULL ? error->code : 0; /* of DP_IO_ERROR: errno */
    if (path == NULL && code == ENOENT) {
        forget(f, s->relative); /* somebody else was faster */
        return;
    }
    if (path == NULL && dp_errno_is_temporary(code)) {
        s->due_us = dp_now_us() + dp_stall_ms(1) * 1000;
        dp_message(f->watch->app, "warning", "%s; tried again", error->message);
        return;
    }
    if (path == NULL) {
        dp_folder_refuse(f, s->relative, st, "cannot_be_taken", error->message);
        return;
    }
    if (f->config->marker != NULL) {
        g_autofree char *marker = g_strconcat(name, f->config->marker, NULL);
        (void)unlinkat(dir_fd, marker,
                       0); /* a marker that stays speaks of the next file */
    }
    g_autofree char *relative = g_strdup(s->relative);
    forget(f, relative);
    dp_folder_push(f, path, g_steal_pointer(&relative), FALSE);
}

/* The time of `s` has come: take it when it is still as it was. */
static void try_to_take(dp_folder *f, seen *s)
{
    const char *slash = strrchr(s->relative, '/');
    const char *name = slash != NULL ? slash + 1 : s->relative;
    g_autofree char *folder =
        g_strndup(s->relative, slash != NULL ? (gsize)(slash - s->relative) : 0);
    int dir_fd = dp_folder_open_below(f, folder);
    struct stat st;
    if (dir_fd < 0 || fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        g_hash_table_remove(f->waiting, s->relative);
    } else if (!S_ISREG(st.st_mode)) {
        dp_folder_refuse(f, s->relative, &st, "not_a_file", kind_of(st.st_mode));
    } else if (!is_unchanged(s, &st)) {
        restart_settling(f, s, &st);
    } else {
        int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        int code = errno;
        g_autofree char *why =
            g_strdup_printf("cannot be read: %s; left where it is", g_strerror(code));
        if (fd >= 0 && is_held(fd))
            note_held(f, s);
        else if (fd >= 0 && (!is_fresh(fd, &st) || !is_unchanged(s, &st)))
            restart_settling(f, s, &st);
        else if (fd >= 0)
            claim(f, s, dir_fd, name, &st);
        else if (code == ENOENT)
            g_hash_table_remove(f->waiting, s->relative);
        else if (dp_errno_is_temporary(code))
            s->due_us = dp_now_us() + BUSY_US;
        else
            dp_folder_refuse(f, s->relative, &st, "unreadable", why);
        if (fd >= 0)
            close(fd);
    }
    if (dir_fd >= 0)
        close(dir_fd);
}

/* Higher priority first, then the older file. */
static int compare_seen(gconstpointer a, gconstpointer b)
{
    const seen *p = *(seen *const *)a, *q = *(seen *const *)b;
    if (p->priority != q->priority)
        return p->priority > q->priority ? -1 : 1;
    if (p->mtime_ns != q->mtime_ns)
        return p->mtime_ns < q->mtime_ns ? -1 : 1;
    return strcmp(p->relative, q->relative);
}

/* *next: when the next one is due; G_MAXINT64: none waits. */
void dp_folder_settle(dp_folder *f, gint64 *next)
{
    g_autoptr(GPtrArray) due = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;
    gint64 now = dp_now_us();
    g_hash_table_iter_init(&iter, f->waiting);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        if (((seen *)value)->due_us <= now)
            g_ptr_array_add(due, value);
    g_ptr_array_sort(due, compare_seen);
    for (guint i = 0; i < due->len; i++)
        try_to_take(f, g_ptr_array_index(due, i));
    *next = G_MAXINT64;
    g_hash_table_iter_init(&iter, f->waiting);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        *next = MIN(*next, ((seen *)value)->due_us);
}

/*
 * action_files.c - move, copy, link, rename, write: files that appear whole or not at all.
 *
 * Nothing is ever replaced.  A name that is taken by the same content is the target already
 * (so a try that was cut off is not done twice); taken by other content, the next number is
 * tried.  New bytes are written to a name derived from the key, synced, and renamed without
 * replacing; then the folder is synced.  The document's own name goes last.
 */
#include "action_parts.h"

#include "app.h"
#include "names.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean dp_action_fail(GError **error, dp_route_code code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    g_set_error_literal(error, DP_ROUTE_ERROR, (int)code, text);
    return FALSE;
}

gboolean dp_action_errno(GError **error, const char *what, const char *path)
{
    int saved = errno;
    dp_route_code code = saved == EIO || dp_errno_is_temporary(saved) ? DP_ROUTE_TEMPORARY
                                                                      : DP_ROUTE_REFUSED;
    return dp_action_fail(error, code, "%s %s: %s", what, path, g_strerror(saved));
}

/* ---- folders ------------------------------------------------------------------ */

gboolean dp_action_sync_dir(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return dp_action_errno(error, "opening", path);
    /* A file system without directory sync says EINVAL: the rename stands then. */
    gboolean is_ok = fsync(fd) == 0 || errno == EINVAL;
    int saved = errno;
    close(fd);
    errno = saved;
    return is_ok || dp_action_errno(error, "syncing", path);
}

static gboolean sync_parent(const char *path, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(path);
    return dp_action_sync_dir(dir, error);
}

gboolean dp_action_make_dirs(const char *path, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(path);
    if (access(dir, F_OK) == 0)
        return TRUE;
    for (char *slash = strchr(dir + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash != NULL)
            *slash = '\0';
        if (mkdir(dir, 0755) == 0) {
            if (!sync_parent(dir, error))
                return FALSE;
        } else if (errno != EEXIST) {
            return dp_action_errno(error, "creating", dir);
        }
        if (slash == NULL)
            return TRUE;
        *slash = '/';
    }
}

/* ---- content -------------------------------------------------------------------- */

gboolean dp_action_write_all(int fd, const char *bytes, gsize length)
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

/* Read `from` to its end into the hash and, when to >= 0, into that file. */
static gboolean pour(int from, int to, GChecksum *sum)
{
    char buffer[65536];
    for (;;) {
        gssize n = read(from, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        g_checksum_update(sum, (const guchar *)buffer, n);
        if (to >= 0 && !dp_action_write_all(to, buffer, (gsize)n))
            return FALSE;
    }
}

/* SHA-256 of a regular file; NULL with errno. */
static char *hash_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    struct stat st;
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    errno = EINVAL; /* of a FIFO or device */
    gboolean is_ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && pour(fd, -1, sum);
    int saved = errno;
    close(fd);
    errno = saved;
    return is_ok ? g_strdup(g_checksum_get_string(sum)) : NULL;
}

static gboolean has_content(const char *path, const char *sha256)
{
    g_autofree char *sum = hash_file(path);
    return sum != NULL && strcmp(sum, sha256) == 0;
}

/* The hash that the document must have: the one it was read with. */
static char *document_hash(dp_action_run *run, GError **error)
{
    const char *path = run->facts->path;
    if (path == NULL) {
        dp_action_fail(error, DP_ROUTE_VALUE, "there is no document beside the result");
        return NULL;
    }
    g_autofree char *sum = hash_file(path);
    if (sum == NULL) {
        dp_action_errno(error, "reading", path);
        return NULL;
    }
    if (run->sha256 != NULL && strcmp(sum, run->sha256) != 0) {
        dp_action_fail(error, DP_ROUTE_VALUE, "%s: changed since it was read, left alone",
                       path);
        return NULL;
    }
    return g_steal_pointer(&sum);
}

GBytes *dp_action_document(dp_action_run *run, gsize bytes_max, GError **error)
{
    const char *path = run->facts->path;
    struct stat st;
    if (path == NULL || stat(path, &st) != 0) {
        if (path == NULL)
            dp_action_fail(error, DP_ROUTE_VALUE,
                           "there is no document beside the result");
        else
            dp_action_errno(error, "reading", path);
        return NULL;
    }
    if (!S_ISREG(st.st_mode) || (guint64)st.st_size > bytes_max) {
        dp_action_fail(error, DP_ROUTE_VALUE, "%s: %" G_GINT64_FORMAT " bytes, limit %zu",
                       path, (gint64)st.st_size, bytes_max);
        return NULL;
    }
    char *bytes;
    gsize length;
    if (!g_file_get_contents(path, &bytes, &length, NULL)) {
        dp_action_errno(error, "reading", path);
        return NULL;
    }
    g_autofree char *sum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (guchar *)bytes, length);
    if (run->sha256 != NULL && strcmp(sum, run->sha256) != 0) {
        g_free(bytes);
        dp_action_fail(error, DP_ROUTE_VALUE, "%s: changed since it was read, left alone",
                       path);
        return NULL;
    }
    return g_bytes_new_take(bytes, length);
}

/* ---- names ------------------------------------------------------------------------ */

/* Make `to` from `source` without replacing; errno EEXIST when it is taken. */
typedef gboolean (*maker)(dp_action_run *run, const char *source, const char *to);

typedef struct placing {
    dp_action_run *run;
    const char *source; /* a path, or what the maker takes */
    const char *sha256; /* content that makes a taken name the target */
    maker make;
    gboolean (*is_there)(const struct placing *p,
                         const char *path); /* NULL: by content */
    gboolean is_move;                       /* the document's own name goes */
} placing;

static gboolean is_target(const placing *p, const char *path)
{
    return p->is_there != NULL ? p->is_there(p, path) : has_content(path, p->sha256);
}

/* A first name need not be synced: the plan has it, and what is there is recognised by its
 * content.  A numbered one must: the names before it may be free by the next look.  So must
 * a move, with all that was done before: those actions want the document where it is now. */
static gboolean remember_choice(const placing *p, const char *path, guint number,
                                GError **error)
{
    dp_action_run *run = p->run;
    const char *before = json_string_value(json_object_get(run->planned, "chosen"));
    if (g_strcmp0(before, path) == 0 && run->was_started && !p->is_move)
        return TRUE;
    dp_lasting how = number > 1 || p->is_move ? DP_LASTING_SYNCED : DP_LASTING_NOTED;
    g_autofree char *valid = g_utf8_make_valid(path, -1);
    json_object_set_new(run->planned, "chosen", json_string(valid));
    return run->remember(run->user, run->planned, how, error);
}

static char *numbered_path(const char *to, guint number)
{
    if (number == 1)
        return g_strdup(to);
    g_autofree char *dir = g_path_get_dirname(to);
    g_autofree char *base = g_path_get_basename(to);
    g_autofree char *name = dp_name_numbered(base, number);
    return g_build_filename(dir, name, NULL);
}

/* The new name lasts: now, or when the caller has synced the folders of several. */
static gboolean sync_name(const placing *p, const char *path, GError **error)
{
    if (p->run->folders == NULL || p->is_move)
        return sync_parent(path, error);
    g_autofree char *dir = g_path_get_dirname(path);
    if (!g_ptr_array_find_with_equal_func(p->run->folders, dir, g_str_equal, NULL))
        g_ptr_array_add(p->run->folders, g_steal_pointer(&dir));
    p->run->is_unsynced = TRUE;
    return TRUE;
}

/* Put it under `to` or the first numbered name that is free.  Caller frees the name. */
static char *place(const placing *p, const char *to, GError **error)
{
    const char *chosen = json_string_value(json_object_get(p->run->planned, "chosen"));
    if (p->run->was_started && chosen != NULL && is_target(p, chosen))
        return sync_name(p, chosen, error) ? g_strdup(chosen) : NULL;
    if (!dp_action_make_dirs(to, error))
        return NULL;
    for (guint n = 1; n <= DP_CLASH_MAX; n++) {
        g_autofree char *path = numbered_path(to, n);
        struct stat st;
        if (lstat(path, &st) == 0) {
            if (!is_target(p, path))
                continue;
            /* the journal is to know before a move takes the old name away */
            if (!remember_choice(p, path, n, error))
                return NULL;
        } else if (errno != ENOENT) {
            dp_action_errno(error, "looking at", path);
            return NULL;
        } else {
            if (!remember_choice(p, path, n, error))
                return NULL;
            if (!p->make(p->run, p->source, path)) {
                if (errno == EEXIST) { /* taken in this moment: look again */
                    n--;
                    continue;
                }
                dp_action_errno(error, "making", path);
                return NULL;
            }
        }
        return sync_name(p, path, error) ? g_steal_pointer(&path) : NULL;
    }
    dp_action_fail(error, DP_ROUTE_VALUE, "%s: all of %d numbered names are taken", to,
                   DP_CLASH_MAX);
    return NULL;
}

/* A name of our own beside the target, the same in every try. */
static char *part_path(const dp_action_run *run, const char *to)
{
    g_autofree char *dir = g_path_get_dirname(to);
    return g_strdup_printf("%s/.docvl-%.16s.part", dir, run->key);
}

static gboolean end_part(int fd, const char *part, const char *to, gboolean is_ok)
{
    is_ok = is_ok && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 && is_ok) {
        is_ok = FALSE;
        saved = errno;
    }
    if (is_ok) {
        is_ok = dp_rename_new(part, to);
        saved = errno;
    }
    if (!is_ok)
        (void)unlink(part); /* the first error is the one to tell */
    errno = saved;
    return is_ok;
}

static gboolean make_copy(dp_action_run *run, const char *source, const char *to)
{
    int from = open(source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st = { 0 };
    if (from < 0)
        return FALSE;
    /* Whoever may not read the document may not read its copy. */
    mode_t mode = fstat(from, &st) == 0 ? (st.st_mode & 0777) | 0600 : 0600;
    g_autofree char *part = part_path(run, to);
    int fd = open(part, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0) {
        int saved = errno;
        close(from);
        errno = saved;
        return FALSE;
    }
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    gboolean is_ok = pour(from, fd, sum);
    int saved = errno;
    if (is_ok && fstat(from, &st) == 0) {
        struct timespec times[2] = { st.st_atim, st.st_mtim };
        (void)futimens(fd, times); /* the copy is right with a new time, too */
    }
    close(from);
    if (is_ok && run->sha256 != NULL &&
        strcmp(g_checksum_get_string(sum), run->sha256) != 0) {
        is_ok = FALSE; /* written to while it was copied */
        saved = EBUSY;
    }
    errno = saved;
    return end_part(fd, part, to, is_ok);
}

/* ---- the document -------------------------------------------------------------------- */

/* Are both names the same directory entry? */
static gboolean is_same_name(const char *a, const char *b)
{
    g_autofree char *dir_a = g_path_get_dirname(a);
    g_autofree char *dir_b = g_path_get_dirname(b);
    g_autofree char *name_a = g_path_get_basename(a);
    g_autofree char *name_b = g_path_get_basename(b);
    struct stat x, y;
    return strcmp(name_a, name_b) == 0 && stat(dir_a, &x) == 0 && stat(dir_b, &y) == 0 &&
           x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static gboolean make_move(dp_action_run *run, const char *source, const char *to)
{
    if (dp_rename_new(source, to))
        return TRUE;
    return errno == EXDEV &&
           make_copy(run, source, to); /* the caller takes the old name away */
}

/* The document under `to`; its old name is taken away when it still is there. */
static gboolean move_to(dp_action_run *run, const char *to, GError **error)
{
    const char *source = run->facts->path;
    const char *chosen = json_string_value(json_object_get(run->planned, "chosen"));
    struct stat st;
    if (source != NULL && run->was_started && chosen != NULL && lstat(source, &st) != 0 &&
        errno == ENOENT && run->sha256 != NULL && has_content(chosen, run->sha256)) {
        run->moved_to = g_strdup(chosen); /* cut off behind the rename */
        return TRUE;
    }
    g_autofree char *sum = document_hash(run, error);
    if (sum == NULL)
        return FALSE;
    placing p = {
        .run = run, .source = source, .sha256 = sum, .make = make_move, .is_move = TRUE
    };
    g_autofree char *path = place(&p, to, error);
    if (path == NULL)
        return FALSE;
    if (!is_same_name(source, path)) {
        if (unlink(source) != 0 && errno != ENOENT)
            return dp_action_errno(error, "removing", source);
        if (!sync_parent(source, error))
            return FALSE;
    }
    run->moved_to = g_steal_pointer(&path);
    return TRUE;
}

gboolean dp_do_move(dp_action_run *run, GError **error)
{
    return move_to(run, json_string_value(json_object_get(run->planned, "to")), error);
}

gboolean dp_do_rename(dp_action_run *run, GError **error)
{
    const char *name = json_string_value(json_object_get(run->planned, "to"));
    if (run->facts->path == NULL)
        return dp_action_fail(error, DP_ROUTE_VALUE,
                              "there is no document beside the result");
    g_autofree char *dir = g_path_get_dirname(run->facts->path);
    g_autofree char *to = g_build_filename(dir, name, NULL);
    return move_to(run, to, error);
}

gboolean dp_do_copy(dp_action_run *run, GError **error)
{
    g_autofree char *sum = document_hash(run, error);
    if (sum == NULL)
        return FALSE;
    placing p = {
        .run = run, .source = run->facts->path, .sha256 = sum, .make = make_copy
    };
    g_autofree char *path =
        place(&p, json_string_value(json_object_get(run->planned, "to")), error);
    return path != NULL;
}

static gboolean make_link(dp_action_run *run, const char *source, const char *to)
{
    return link(source, to) == 0;
}

static gboolean make_symlink(dp_action_run *run, const char *source, const char *to)
{
    return symlink(source, to) == 0;
}

static gboolean points_to(const placing *p, const char *path)
{
    g_autofree char *there = g_file_read_link(path, NULL);
    return there != NULL && strcmp(there, p->source) == 0;
}

gboolean dp_do_link(dp_action_run *run, GError **error)
{
    gboolean is_symbolic =
        g_strcmp0(json_string_value(json_object_get(run->planned, "as")), "symbolic") ==
        0;
    g_autofree char *sum = document_hash(run, error);
    if (sum == NULL)
        return FALSE;
    placing p = { .run = run,
                  .source = run->facts->path,
                  .sha256 = sum,
                  .make = is_symbolic ? make_symlink : make_link,
                  .is_there = is_symbolic ? points_to : NULL };
    g_autofree char *path =
        place(&p, json_string_value(json_object_get(run->planned, "to")), error);
    return path != NULL;
}

/* ---- bytes ------------------------------------------------------------------------------ */

typedef struct content {
    const char *bytes;
    gsize length;
} content;

/* `source` is a content here: the maker's third party is bytes in memory. */
static gboolean make_bytes(dp_action_run *run, const char *source, const char *to)
{
    const content *c = (const content *)(const void *)source;
    g_autofree char *part = part_path(run, to);
    int fd = open(part, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return FALSE;
    return end_part(fd, part, to, dp_action_write_all(fd, c->bytes, c->length));
}

gboolean dp_action_place_bytes(dp_action_run *run, const char *to, const char *bytes,
                               gsize length, GError **error)
{
    content c = { bytes, length };
    g_autofree char *sum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)bytes, length);
    placing p = {
        .run = run, .source = (const char *)&c, .sha256 = sum, .make = make_bytes
    };
    g_autofree char *path = place(&p, to, error);
    return path != NULL;
}

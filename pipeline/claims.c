/*
 * claims.c - claims by rename, and the adoption of those of dead watchers.
 */
#include "claims.h"

#include "app.h"
#include "names.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CLAIM_DEPTH_MAX = 32, ID_BYTES = 12 };

typedef struct dead {
    int lock_fd; /* ours now; -1: seen dead, not yet taken over */
    gint64 seen_us;
    gint64 touched_ns; /* as it was seen then, by the clock of whoever touched it */
} dead;

struct dp_claims {
    char *folder, *base; /* base: folder/.docvl */
    char *id, *owner;
    int lock_fd;
    gint64 touched_us;
    guint64 number;
    GHashTable *adopted; /* id to dead */
};

static void free_dead(gpointer data)
{
    dead *d = data;
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    g_free(d);
}

static char *lock_path(const dp_claims *c, const char *id)
{
    return g_strdup_printf("%s/%s.lock", c->base, id);
}

/* A lock of our own under a fresh name.  Another watcher may try it between creation and
 * flock (it believes that we are dead): then we take another name. */
static gboolean lock_own(dp_claims *c, GError **error)
{
    for (guint n = 0; n < 16; n++) {
        g_autofree char *id =
            g_strdup_printf("%08x%04x", g_random_int(), (guint)getpid() & 0xffff);
        g_autofree char *path = lock_path(c, id);
        int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0 && errno == EEXIST)
            continue;
        if (fd < 0)
            return dp_fail_errno(error, "creating", path);
        struct stat st;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) {
            ssize_t put = write(fd, c->owner, strlen(c->owner));
            if (put == (ssize_t)strlen(c->owner)) {
                c->lock_fd = fd;
                c->id = g_steal_pointer(&id);
                return TRUE;
            }
        }
        int saved = errno;
        gboolean is_tried = saved == EWOULDBLOCK;
        (void)unlink(path); /* ours, and of no use */
        close(fd);
        errno = saved;
        if (!is_tried)
            return dp_fail_errno(error, "locking (do locks work on this file system?)",
                                 path);
    }
    errno = EBUSY;
    return dp_fail_errno(error, "locking a file in", c->base);
}

dp_claims *dp_claims_open(const char *folder, const char *owner, GError **error)
{
    assert(*folder == '/');
    g_autoptr(dp_claims) c = g_new0(dp_claims, 1);
    c->lock_fd = -1;
    c->folder = g_strdup(folder);
    c->owner = g_strdup(owner);
    c->base = g_build_filename(folder, DP_CLAIMS_FOLDER, NULL);
    c->adopted = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_dead);
    if (mkdir(c->base, 0700) != 0 && errno != EEXIST) {
        (void)dp_fail_errno(error, "making the work folder", c->base);
        return NULL;
    }
    struct stat st;
    if (lstat(c->base, &st) != 0 || !S_ISDIR(st.st_mode)) {
        errno = ENOTDIR; /* a link would lead our claims out of the folder */
        (void)dp_fail_errno(error, "using the work folder", c->base);
        return NULL;
    }
    return lock_own(c, error) ? g_steal_pointer(&c) : NULL;
}

void dp_claims_free(dp_claims *claims)
{
    if (claims == NULL)
        return;
    if (claims->id != NULL) {
        g_autofree char *dir = g_build_filename(claims->base, claims->id, NULL);
        g_autofree char *lock = lock_path(claims, claims->id);
        /* While files are left the lock's file stays, for whoever adopts them. */
        if (rmdir(dir) == 0 || errno == ENOENT)
            (void)unlink(lock);
        (void)rmdir(claims->base); /* goes when nobody else is there */
    }
    if (claims->lock_fd >= 0)
        close(claims->lock_fd);
    g_clear_pointer(&claims->adopted, g_hash_table_unref);
    g_free(claims->folder);
    g_free(claims->base);
    g_free(claims->id);
    g_free(claims->owner);
    g_free(claims);
}

/* Somebody has removed it: then nobody would look after our claims when we die. */
static void make_lock_again(dp_claims *c, const char *path)
{
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return; /* the next touch tries again */
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || ftruncate(fd, 0) != 0 ||
        write(fd, c->owner, strlen(c->owner)) != (ssize_t)strlen(c->owner)) {
        close(fd);
        return;
    }
    close(c->lock_fd);
    c->lock_fd = fd;
}

void dp_claims_touch(dp_claims *c)
{
    gint64 now = g_get_monotonic_time();
    if (now - c->touched_us < DP_CLAIMS_TOUCH_US)
        return;
    c->touched_us = now;
    struct stat st;
    g_autofree char *path = lock_path(c, c->id);
    if (lstat(path, &st) != 0 && errno == ENOENT)
        make_lock_again(c, path);
    (void)futimens(c->lock_fd, NULL); /* where it does not work, the lock has to */
}

char *dp_claims_take(dp_claims *c, int dir_fd, const char *relative, GError **error)
{
    assert(*relative != '/');
    g_autofree char *path = g_strdup_printf("%s/%s/%" G_GINT64_MODIFIER "u/%s", c->base,
                                            c->id, ++c->number, relative);
    g_autofree char *dir = g_path_get_dirname(path);
    const char *name = strrchr(relative, '/');
    name = name != NULL ? name + 1 : relative;
    if (!dp_make_folders(dir, 0700)) {
        (void)dp_fail_errno(error, "making the work folder", dir);
        return NULL;
    }
    if (renameat(dir_fd, name, AT_FDCWD, path) != 0) {
        int saved = errno;
        dp_claims_tidy(c->folder, path);
        errno = saved;
        (void)dp_fail_errno(error, "taking", relative);
        return NULL;
    }
    return g_steal_pointer(&path);
}

void dp_claimed_free(gpointer claimed)
{
    dp_claimed *one = claimed;
    g_free(one->path);
    g_free(one->relative);
    g_free(one);
}

/* ---- listing ----------------------------------------------------------------------- */

static void list_into(GPtrArray *out, const char *dir, const char *relative, guint depth)
{
    g_autoptr(GDir) handle = g_dir_open(dir, 0, NULL);
    const char *name;
    while (handle != NULL && (name = g_dir_read_name(handle)) != NULL) {
        g_autofree char *path = g_build_filename(dir, name, NULL);
        g_autofree char *below =
            relative != NULL ? g_build_filename(relative, name, NULL) : g_strdup(name);
        struct stat st;
        if (lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode)) {
            if (depth < CLAIM_DEPTH_MAX)
                list_into(out, path, below, depth + 1);
            (void)rmdir(path); /* goes when it is empty */
            continue;
        }
        dp_claimed *one = g_new0(dp_claimed, 1);
        one->path = g_steal_pointer(&path);
        one->relative = g_steal_pointer(&below);
        g_ptr_array_add(out, one);
    }
}

/* The files below ID/NUMBER/. */
static void list_claims(const dp_claims *c, const char *id, GPtrArray *out)
{
    g_autofree char *dir = g_build_filename(c->base, id, NULL);
    g_autoptr(GDir) handle = g_dir_open(dir, 0, NULL);
    const char *number;
    while (handle != NULL && (number = g_dir_read_name(handle)) != NULL) {
        g_autofree char *path = g_build_filename(dir, number, NULL);
        list_into(out, path, NULL, 0);
        (void)rmdir(path);
    }
}

/* Files of a watcher whose journal is not ours: back to where they came from. */
static void give_back(const dp_claims *c, const char *id)
{
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(dp_claimed_free);
    list_claims(c, id, files);
    for (guint i = 0; i < files->len; i++) {
        const dp_claimed *one = g_ptr_array_index(files, i);
        g_autofree char *to = dp_path_free_name(c->folder, one->relative, NULL);
        if (to != NULL && dp_file_move(one->path, to, NULL))
            dp_claims_tidy(c->folder, one->path);
    }
}

static char *read_owner(int fd)
{
    char text[8192];
    ssize_t got = pread(fd, text, sizeof text, 0);
    return g_strndup(text, (gsize)MAX(got, 0));
}

/* The watcher `id` may be dead.  TRUE when its files are ours from now on. */
static gboolean try_adopt(dp_claims *c, const char *id)
{
    dead *known = g_hash_table_lookup(c->adopted, id);
    if (known != NULL && known->lock_fd >= 0)
        return TRUE;
    g_autofree char *path = lock_path(c, id);
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return FALSE;
    struct stat st;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0 || st.st_nlink == 0) {
        close(fd);
        g_hash_table_remove(c->adopted, id);
        return FALSE;
    }
    g_autofree char *owner = read_owner(fd);
    gint64 touched_ns = (gint64)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    if (known == NULL) {
        known = g_new0(dead, 1);
        *known = (dead){ -1, g_get_monotonic_time(), touched_ns };
        g_hash_table_insert(c->adopted, g_strdup(id), known);
    } else if (known->touched_ns != touched_ns) { /* it lives, and its lock is not seen */
        known->seen_us = g_get_monotonic_time();
        known->touched_ns = touched_ns;
    }
    if (strcmp(owner, c->owner) == 0) {
        known->lock_fd = fd;
        return TRUE;
    }
    if (g_get_monotonic_time() - known->seen_us >= DP_CLAIMS_ABANDONED_US) {
        give_back(c, id);
        known->lock_fd = fd; /* removed with its folder when that is empty */
        return TRUE;
    }
    close(fd);
    return FALSE;
}

/* An adopted folder that is empty has done its duty. */
static void drop_if_empty(dp_claims *c, const char *id)
{
    g_autofree char *dir = g_build_filename(c->base, id, NULL);
    if (rmdir(dir) != 0 && errno != ENOENT)
        return;
    g_autofree char *path = lock_path(c, id);
    (void)unlink(path); /* before the lock goes with its descriptor */
    g_hash_table_remove(c->adopted, id);
}

/* Claims whose lock somebody has removed get one that nobody holds. */
static void give_lock(const dp_claims *c, const char *id)
{
    g_autofree char *dir = g_build_filename(c->base, id, NULL);
    g_autofree char *path = lock_path(c, id);
    struct stat st;
    if (strcmp(id, c->id) == 0 || lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode) ||
        !dp_path_is_gone(path))
        return;
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0)
        close(fd);
}

GPtrArray *dp_claims_list(dp_claims *c, dp_claims_which which, GError **error)
{
    g_autoptr(GError) wrong = NULL;
    g_autoptr(GDir) handle = g_dir_open(c->base, 0, &wrong);
    if (handle == NULL) {
        g_propagate_error(error, g_steal_pointer(&wrong));
        return NULL;
    }
    GPtrArray *out = g_ptr_array_new_with_free_func(dp_claimed_free);
    if (which == DP_CLAIMS_ALL)
        list_claims(c, c->id, out);
    const char *name;
    while ((name = g_dir_read_name(handle)) != NULL) {
        if (!g_str_has_suffix(name, ".lock")) {
            give_lock(c, name);
            continue;
        }
        g_autofree char *id = g_strndup(name, strlen(name) - 5);
        const dead *known = g_hash_table_lookup(c->adopted, id);
        gboolean is_ours = known != NULL && known->lock_fd >= 0;
        if (strcmp(id, c->id) == 0 || !try_adopt(c, id))
            continue;
        if (is_ours && which == DP_CLAIMS_ADOPTED_NOW) {
            drop_if_empty(c, id);
            continue;
        }
        guint before = out->len;
        list_claims(c, id, out);
        if (out->len == before)
            drop_if_empty(c, id);
    }
    return out;
}

/* The names in `dir`; none when it cannot be read. */
static GPtrArray *names_in(const char *dir)
{
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) handle = g_dir_open(dir, 0, NULL);
    const char *name;
    while (handle != NULL && (name = g_dir_read_name(handle)) != NULL)
        g_ptr_array_add(names, g_build_filename(dir, name, NULL));
    return names;
}

GPtrArray *dp_claims_find(const char *folder, const char *relative)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *base = g_build_filename(folder, DP_CLAIMS_FOLDER, NULL);
    g_autoptr(GPtrArray) ids = names_in(base);
    for (guint i = 0; i < ids->len; i++) {
        g_autoptr(GPtrArray) numbers = names_in(g_ptr_array_index(ids, i));
        for (guint k = 0; k < numbers->len; k++) {
            g_autofree char *path =
                g_build_filename(g_ptr_array_index(numbers, k), relative, NULL);
            struct stat st;
            if (lstat(path, &st) == 0 && S_ISREG(st.st_mode))
                g_ptr_array_add(found, g_steal_pointer(&path));
        }
    }
    return found;
}

const char *dp_claims_relative(const char *folder, const char *path)
{
    gsize length = strlen(folder);
    if (!dp_path_is_within(path, folder) || path[length] != '/')
        return NULL;
    const char *rest = path + length + 1;
    if (!g_str_has_prefix(rest, DP_CLAIMS_FOLDER "/"))
        return NULL;
    for (guint parts = 0; parts < 3; parts++) { /* .docvl, ID, NUMBER */
        rest = strchr(rest, '/');
        if (rest == NULL)
            return NULL;
        rest++;
    }
    return *rest != '\0' ? rest : NULL;
}

char *dp_claims_dir(const char *folder, const char *path)
{
    const char *id = path + strlen(folder) + strlen("/" DP_CLAIMS_FOLDER "/");
    assert(dp_claims_relative(folder, path) != NULL);
    return g_strndup(path, (gsize)(strchr(id, '/') - path));
}

void dp_claims_tidy(const char *folder, const char *path)
{
    const char *relative = dp_claims_relative(folder, path);
    if (relative == NULL)
        return;
    gsize number_end = (gsize)(relative - path) - 1;
    g_autofree char *dir = g_path_get_dirname(path);
    while (strlen(dir) >= number_end && rmdir(dir) == 0) {
        char *slash = strrchr(dir, '/');
        *slash = '\0';
    }
}

/*
 * watch_folder.c - one watched folder and its thread: what is there, and is it whole?
 *
 * inotify says when to look; what is true is only what stat(2) says.  So a lost notice, an
 * overflow of the queue, or a file system without notices cost time and nothing else: the
 * next scan finds what is there.  Ages are measured with the monotonic clock from when we
 * saw a size and time for the first time; the wall clock may jump as it likes.
 */
#include "watch_parts.h"

#include "names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { DEPTH_MAX = 32 };
#define LOST_US  (2 * G_USEC_PER_SEC) /* between looks for a folder that is gone */
#define CHECK_US (5 * G_USEC_PER_SEC) /* between looks whether it is still the same */

gint64 dp_now_us(void)
{
    return g_get_monotonic_time();
}

static void free_seen(gpointer data)
{
    seen *s = data;
    g_free(s->relative);
    g_free(s);
}

gboolean dp_folder_place(const dp_folder *f, const char *relative, char **origin,
                         dp_site **site, dp_place *place)
{
    *origin = g_build_filename(f->config->path, relative, NULL);
    *site = dp_watch_site(f->watch);
    return dp_site_place(*site, *origin, place);
}

/* ---- the folder itself ------------------------------------------------------------------- */

static void close_folder(dp_folder *f)
{
    if (f->notify_fd >= 0)
        close(f->notify_fd);
    if (f->root_fd >= 0)
        close(f->root_fd);
    f->notify_fd = f->root_fd = -1;
    g_hash_table_remove_all(f->notices);
    g_hash_table_remove_all(f->waiting);
    g_hash_table_remove_all(f->refused);
    g_queue_clear_full(&f->adds, dp_taken_free); /* the next sweep finds them */
    g_clear_pointer(&f->claims, dp_claims_free);
}

static void lose_folder(dp_folder *f, const char *why)
{
    if (!f->is_lost_told)
        dp_message(f->watch->app, "error", "%s: %s; waiting for it to come back",
                   f->config->path, why);
    f->is_lost_told = TRUE;
    close_folder(f);
}

static void tell_no_notices(const dp_folder *f, int code)
{
    const char *why = code == ENOSPC ? "fs.inotify.max_user_watches is reached"
                      : code == EMFILE
                          ? "fs.inotify.max_user_instances or the limit of open files "
                            "is reached"
                          : g_strerror(code);
    dp_message(f->watch->app, "warning", "%s: no notices (%s), looking every %.1f s",
               f->config->path, why, (double)f->config->poll_us / G_USEC_PER_SEC);
}

static gboolean open_folder(dp_folder *f)
{
    const char *path = f->config->path;
    if (!dp_mounts_are_there(f->watch, path)) {
        lose_folder(f, "not mounted");
        return FALSE;
    }
    f->root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct stat st;
    if (f->root_fd < 0 || fstat(f->root_fd, &st) != 0) {
        g_autofree char *why =
            g_strdup(errno == ELOOP || errno == ENOTDIR
                         ? "no folder, or a symbolic link (not followed)"
                         : g_strerror(errno));
        lose_folder(f, why);
        return FALSE;
    }
    f->device = st.st_dev;
    f->inode = st.st_ino;
    f->is_network = dp_fd_is_network(f->root_fd);
    g_autoptr(GError) error = NULL;
    /* With `keep` there are claims only when they are left from before it was set. */
    g_autofree char *work = g_build_filename(path, DP_CLAIMS_FOLDER, NULL);
    if (!dp_folder_is_kept(f) || g_file_test(work, G_FILE_TEST_IS_DIR)) {
        f->claims = dp_claims_open(path, f->watch->owner, &error);
        if (f->claims == NULL) {
            lose_folder(f, error->message);
            return FALSE;
        }
    }
    f->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (f->notify_fd < 0)
        tell_no_notices(f, errno);
    if (f->is_lost_told)
        dp_message(f->watch->app, "info", "%s: is back", path);
    f->is_lost_told = FALSE;
    f->scan_us = f->sweep_us = 0;
    return TRUE;
}

static gboolean is_polling(const dp_folder *f)
{
    return f->config->poll == DP_POLL_YES || f->notify_fd < 0 ||
           (f->config->poll == DP_POLL_AUTO && f->is_network);
}

/* The path may lead to another folder by now: mounted, unmounted, made anew. */
static gboolean is_same_folder(const dp_folder *f)
{
    struct stat st;
    return stat(f->config->path, &st) == 0 && st.st_dev == f->device &&
           st.st_ino == f->inode;
}

/* No notice comes of a folder that was deleted while we have it open, nor of one that
 * something was mounted over. */
static void check_folder(dp_folder *f)
{
    if (dp_now_us() < f->check_us)
        return;
    f->check_us = dp_now_us() + CHECK_US;
    if (!is_same_folder(f))
        lose_folder(f, "gone, or another folder in its place");
}

static void add_notice(dp_folder *f, int dir_fd, const char *relative)
{
    if (f->notify_fd < 0)
        return;
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", dir_fd);
    int number =
        inotify_add_watch(f->notify_fd, path,
                          IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_DELETE_SELF |
                              IN_MOVE_SELF | IN_ATTRIB | IN_ONLYDIR | IN_EXCL_UNLINK);
    if (number >= 0) {
        g_hash_table_replace(f->notices, GINT_TO_POINTER(number), g_strdup(relative));
        return;
    }
    tell_no_notices(f, errno);
    close(f->notify_fd);
    f->notify_fd = -1;
}

/* ---- looking ------------------------------------------------------------------------------------ */

static char *below_of(const char *folder, const char *name)
{
    return *folder == '\0' ? g_strdup(name) : g_build_filename(folder, name, NULL);
}

/* At `name` of the open folder dir_fd, or at what it is the marker of; `folder` is the folder's
 * path below the root. */
static void look_at(dp_folder *f, int dir_fd, const char *folder, const char *name)
{
    g_autofree char *base = g_strdup(name);
    if (dp_folder_is_marker(f, name))
        base[strlen(name) - strlen(f->config->marker)] = '\0';
    if (*base == '\0')
        return;
    g_autofree char *relative = below_of(folder, base);
    dp_folder_look(f, dir_fd, base, relative);
}

/* ---- scanning ----------------------------------------------------------------------------------- */

static gboolean is_entered(const dp_folder *f, const char *relative, const char *name)
{
    if (dp_name_is_ignored(name, (const char *const *)f->config->ignore))
        return FALSE;
    if (f->config->is_recursive)
        return TRUE;
    for (guint i = 0; *relative == '\0' && i < f->config->subfolders->len; i++) {
        const dp_subfolder *sub = g_ptr_array_index(f->config->subfolders, i);
        if (strcmp(sub->name, name) == 0)
            return TRUE;
    }
    return FALSE;
}

/* With a marker the markers lead to their documents: of the other files, which may be many and
 * wait for days, nothing is asked but what is known of them already. */
static gboolean is_marked(dp_folder *f, int dir_fd, const char *relative,
                          const char *name)
{
    if (f->config->marker == NULL)
        return TRUE;
    if (dp_folder_is_marker(f, name)) {
        look_at(f, dir_fd, relative, name);
        return FALSE;
    }
    if (g_hash_table_size(f->refused) == 0 && g_hash_table_size(f->kept) == 0)
        return FALSE;
    g_autofree char *below = below_of(relative, name);
    return g_hash_table_contains(f->refused, below) ||
           g_hash_table_contains(f->kept, below);
}

/* Takes dir_fd.  Depth is limited. */
static void scan_dir(dp_folder *f, int dir_fd, const char *relative, guint depth)
{
    add_notice(f, dir_fd, relative); /* before reading: what comes meanwhile is noticed */
    DIR *dir = fdopendir(dir_fd);
    if (dir == NULL) {
        close(dir_fd);
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL) {
        const char *name = entry->d_name;
        if (name[0] == '.')
            continue;
        if (entry->d_type == DT_REG && !is_marked(f, dirfd(dir), relative, name))
            continue;
        g_autofree char *below = below_of(relative, name);
        if (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN) {
            dp_folder_look(f, dirfd(dir), name, below);
            continue;
        }
        int fd = is_entered(f, relative, name)
                     ? openat(dirfd(dir), name,
                              O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
                     : -1;
        if (fd >= 0 && depth + 1 < DEPTH_MAX) {
            scan_dir(f, fd, below, depth + 1);
            continue;
        }
        if (fd >= 0) {
            close(fd);
            if (!f->is_depth_told)
                dp_message(f->watch->app, "error",
                           "%s/%s: nested too deeply (limit %d), not "
                           "entered",
                           f->config->path, below, DEPTH_MAX);
            f->is_depth_told = TRUE;
        }
        dp_folder_look(f, dirfd(dir), name, below);
    }
    closedir(dir);
}

static gboolean is_old_seen(gpointer key, gpointer value, gpointer user)
{
    return ((seen *)value)->scan != ((dp_folder *)user)->scan;
}

static void drop_old_refusals(dp_folder *f)
{
    g_autoptr(GPtrArray) old = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer key, value;
    g_hash_table_iter_init(&iter, f->refused);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (((refusal *)value)->scan != f->scan)
            g_ptr_array_add(old, g_strdup(key));
    for (guint i = 0; i < old->len; i++)
        dp_folder_accept(f, g_ptr_array_index(old, i));
}

static gboolean is_in_adds(dp_folder *f, const char *path)
{
    for (GList *link = f->adds.head; link != NULL; link = link->next)
        if (strcmp(((taken *)link->data)->path, path) == 0)
            return TRUE;
    return FALSE;
}

/* What lies in the work folder: ours from before a crash, left by a watcher that died, or
 * files that could not be put where they belong. */
static void sweep(dp_folder *f)
{
    g_mutex_lock(&f->watch->lock);
    guint wanted = f->watch->sweeps;
    g_mutex_unlock(&f->watch->lock);
    gboolean is_whole = f->sweep_us == 0 || wanted != f->sweeps;
    g_autoptr(GPtrArray) list =
        dp_claims_list(f->claims, is_whole ? DP_CLAIMS_ALL : DP_CLAIMS_ADOPTED_NOW, NULL);
    for (guint i = 0; list != NULL && i < list->len; i++) {
        dp_claimed *one = g_ptr_array_index(list, i);
        if (!is_in_adds(f, one->path))
            dp_folder_push(f, g_strdup(one->path), g_strdup(one->relative), TRUE);
    }
    f->sweeps = wanted;
    f->sweep_us = dp_now_us();
}

static void scan(dp_folder *f)
{
    if (!is_same_folder(f)) {
        lose_folder(f, "gone, or another folder in its place");
        return;
    }
    f->scan++;
    g_autoptr(dp_site) site = dp_watch_site(f->watch);
    dp_mounts_learn(f->watch, f->config, dp_site_routes(site));
    int fd = openat(f->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        lose_folder(f, g_strerror(errno));
        return;
    }
    scan_dir(f, fd, "", 0);
    g_hash_table_foreach_remove(f->waiting, is_old_seen, f);
    g_hash_table_foreach_remove(f->kept, is_old_seen, f);
    drop_old_refusals(f);
    if (f->claims != NULL)
        sweep(f);
    f->scan_us =
        dp_now_us() + (is_polling(f) ? f->config->poll_us : f->config->rescan_us);
}

/* ---- notices ------------------------------------------------------------------------------------- */

/* Open a folder below the root without following a link in any part.  -1: not there. */
int dp_folder_open_below(const dp_folder *f, const char *relative)
{
    int fd = openat(f->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    g_auto(GStrv) parts = g_strsplit(relative, "/", -1);
    for (char **part = parts; fd >= 0 && *part != NULL; part++) {
        if (**part == '\0')
            continue;
        int next = openat(fd, *part, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        close(fd);
        fd = next;
    }
    return fd;
}

static void take_notice(dp_folder *f, const struct inotify_event *e)
{
    if ((e->mask & IN_Q_OVERFLOW) != 0) {
        if (!f->is_overflow_told)
            dp_message(f->watch->app, "warning",
                       "%s: more notices than the kernel holds; looking "
                       "at everything again",
                       f->config->path);
        f->is_overflow_told = TRUE;
        f->scan_us = 0;
        return;
    }
    const char *folder = g_hash_table_lookup(f->notices, GINT_TO_POINTER(e->wd));
    if (folder == NULL)
        return;
    if ((e->mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
        f->scan_us = 0;
        if ((e->mask & IN_IGNORED) != 0)
            g_hash_table_remove(f->notices, GINT_TO_POINTER(e->wd));
        return;
    }
    if (e->len == 0 || e->name[0] == '.')
        return;
    if ((e->mask & IN_ISDIR) != 0) {
        if ((e->mask & (IN_CREATE | IN_MOVED_TO)) != 0)
            f->scan_us = 0;
        return;
    }
    /* Without settling, a file that was just created is not whole by any measure. */
    if ((e->mask & IN_CREATE) != 0 && f->config->settle_us == 0 &&
        f->config->marker == NULL)
        return;
    int fd = *folder == '\0' ? f->root_fd : dp_folder_open_below(f, folder);
    if (fd < 0)
        return;
    look_at(f, fd, folder, e->name);
    if (fd != f->root_fd)
        close(fd);
}

static void read_notices(dp_folder *f)
{
    _Alignas(struct inotify_event) char buffer[64 * 1024];
    while (f->notify_fd >= 0) {
        ssize_t got = read(f->notify_fd, buffer, sizeof buffer);
        if (got <= 0)
            return;
        for (ssize_t at = 0; at < got;) {
            const struct inotify_event *e = (const struct inotify_event *)(buffer + at);
            take_notice(f, e);
            at += (ssize_t)sizeof *e + e->len;
        }
    }
}

/* ---- the thread --------------------------------------------------------------------------------------------- */

void dp_folder_beat(dp_folder *f)
{
    g_mutex_lock(&f->lock);
    f->counts.beat_us = dp_now_us();
    f->counts.is_there = f->root_fd >= 0;
    f->counts.is_polling = f->root_fd >= 0 && is_polling(f);
    f->counts.waiting = g_hash_table_size(f->waiting);
    f->counts.refused = g_hash_table_size(f->refused);
    f->counts.taken = g_queue_get_length(&f->adds);
    g_mutex_unlock(&f->lock);
}

static void wait_for_work(dp_folder *f, gint64 until_us)
{
    dp_folder_beat(f);
    gint64 us = CLAMP(until_us - dp_now_us(), 0, 60 * G_USEC_PER_SEC);
    struct pollfd fds[] = { { f->wake_fd, POLLIN, 0 }, { f->notify_fd, POLLIN, 0 } };
    struct timespec timeout = { us / G_USEC_PER_SEC, us % G_USEC_PER_SEC * 1000 };
    if (ppoll(fds, f->notify_fd >= 0 ? 2 : 1, &timeout, NULL) <= 0)
        return;
    uint64_t unused;
    if ((fds[0].revents & POLLIN) != 0 && read(f->wake_fd, &unused, sizeof unused) < 0)
        return;
}

static gpointer run(gpointer data)
{
    dp_folder *f = data;
    while (g_atomic_int_get(&f->is_stopping) == 0) {
        gint64 settle_us = G_MAXINT64, add_us = G_MAXINT64;
        if (f->root_fd < 0 && !open_folder(f)) {
            wait_for_work(f, dp_now_us() + LOST_US);
            continue;
        }
        if (f->claims != NULL)
            dp_claims_touch(f->claims);
        read_notices(f);
        if (dp_now_us() >= f->scan_us)
            scan(f);
        else
            check_folder(f);
        if (f->root_fd < 0)
            continue;
        dp_folder_settle(f, &settle_us);
        dp_folder_add_all(f, &add_us);
        wait_for_work(
            f, MIN(MIN(settle_us, add_us), MIN(f->scan_us, dp_now_us() + CHECK_US)));
    }
    close_folder(f);
    g_atomic_int_set(&f->is_ended, 1);
    return NULL;
}

dp_folder *dp_folder_start(dp_watch *watch, dp_site *site, guint index)
{
    dp_folder *f = g_new0(dp_folder, 1);
    f->watch = watch;
    f->site = dp_site_ref(site);
    f->config = g_ptr_array_index(dp_site_config(site)->folders, index);
    f->root_fd = f->notify_fd = -1;
    f->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    f->notices = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    f->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_seen);
    f->refused = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    f->kept = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_seen);
    g_queue_init(&f->adds);
    g_mutex_init(&f->lock);
    f->counts.beat_us = dp_now_us();
    f->thread = g_thread_new("folder", run, f);
    return f;
}

const dp_folder_config *dp_folder_config_of(const dp_folder *folder)
{
    return folder->config;
}

void dp_folder_get_counts(dp_folder *folder, dp_folder_counts *counts)
{
    g_mutex_lock(&folder->lock);
    *counts = folder->counts;
    g_mutex_unlock(&folder->lock);
}

void dp_folder_stop(dp_folder *folder)
{
    g_atomic_int_set(&folder->is_stopping, 1);
    uint64_t one = 1;
    (void)!write(folder->wake_fd, &one, sizeof one); /* a full counter wakes as well */
}

gboolean dp_folder_has_ended(dp_folder *folder)
{
    return g_atomic_int_get(&folder->is_ended) != 0;
}

void dp_folder_free(dp_folder *folder)
{
    if (folder == NULL)
        return;
    dp_folder_stop(folder);
    g_thread_join(folder->thread);
    if (folder->wake_fd >= 0)
        close(folder->wake_fd);
    g_hash_table_unref(folder->notices);
    g_hash_table_unref(folder->waiting);
    g_hash_table_unref(folder->refused);
    g_hash_table_unref(folder->kept);
    g_mutex_clear(&folder->lock);
    dp_site_unref(folder->site);
    g_free(folder);
}

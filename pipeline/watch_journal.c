/*
 * watch_journal.c - what was taken goes into the journal, or is recognised by it.
 *
 * A name for the result is chosen here, once: no result that is there or is promised to
 * another document is ever overwritten.
 */
#include "watch_parts.h"

#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ADD_ATTEMPTS_MAX = 5, TARGETS_MAX = 10000 };
#define REFUSED_US                                                                       \
    (300 * G_USEC_PER_SEC) /* until one that cannot be refused is tried again */

void dp_taken_free(gpointer data)
{
    taken *t = data;
    g_free(t->path);
    g_free(t->relative);
    g_free(t);
}

void dp_folder_push(dp_folder *f, char *path, char *relative, gboolean is_recovered)
{
    taken *t = g_new0(taken, 1);
    *t = (taken){ .path = path, .relative = relative, .is_recovered = is_recovered };
    g_queue_push_tail(&f->adds, t);
}

static dp_doc *row_of(dp_watch *w, const char *path)
{
    dp_filter filter = { .lane = w->lane, .path = path };
    g_autoptr(GPtrArray) rows = dp_queue_list(w->queue, &filter, NULL);
    for (guint i = 0; rows != NULL && i < rows->len; i++) {
        dp_doc *doc = g_ptr_array_index(rows, i);
        if (strcmp(doc->path, path) == 0)
            return dp_queue_get(w->queue, doc->id, NULL);
    }
    return NULL;
}

static gboolean is_promised(dp_watch *w, GPtrArray *rows, const char *target)
{
    g_mutex_lock(&w->lock);
    gboolean is_there = g_hash_table_contains(w->targets, target);
    g_mutex_unlock(&w->lock);
    for (guint i = 0; !is_there && rows != NULL && i < rows->len; i++) {
        const dp_doc *doc = g_ptr_array_index(rows, i);
        is_there = g_strcmp0(doc->target, target) == 0;
    }
    return is_there;
}

/* A name for the result that no result has, nor is promised to a document under way: a
 * scanner that begins again at scan0001.pdf must not overwrite. */
static char *choose_target(dp_watch *w, const dp_place *place, const char *origin,
                           GError **error)
{
    dp_filter filter = { .lane = w->lane,
                         .path = origin,
                         .states =
                             ((1u << DP_STATE_COUNT) - 1) & ~(1u << DP_STATE_ROUTED) };
    g_autoptr(GPtrArray) rows = dp_queue_list(w->queue, &filter, error);
    if (rows == NULL)
        return NULL;
    g_autofree char *relative = dp_name_short(place->relative);
    for (guint n = 1; n <= TARGETS_MAX; n++) {
        g_autofree char *name =
            n == 1 ? g_strdup_printf("%s/%s.json", place->folder->out, relative)
                   : g_strdup_printf("%s/%s~%u.json", place->folder->out, relative, n);
        struct stat st;
        int code = lstat(name, &st) == 0 ? 0 : errno;
        if (code != 0 && code != ENOENT && code != ENOTDIR) { /* as in lock_out() */
            g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_IO, "looking for %s: %s", name,
                        g_strerror(code));
            return NULL;
        }
        if (code != 0 && !is_promised(w, rows, name))
            return g_steal_pointer(&name);
    }
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_LIMIT,
                "%s: %d results of this name wait in %s", place->relative, TARGETS_MAX,
                place->folder->out);
    return NULL;
}

/* Watchers that share a folder for results choose one after the other; where locks do not
 * work, one watcher is all there may be.  Whatever is wrong with that folder is not the
 * document's fault: the error is one that passes. */
static int lock_out(dp_watch *w, const dp_place *place, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(place->relative);
    g_autofree char *full = g_build_filename(place->folder->out, dir, NULL);
    g_autofree char *path = g_build_filename(place->folder->out, ".docvl.lock", NULL);
    int fd = -1;
    errno = ENODEV;
    if (dp_mounts_are_there(w, full) && dp_make_folders(full, 0755))
        fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0 && (flock(fd, LOCK_EX) == 0 || errno == ENOLCK || errno == EOPNOTSUPP ||
                    errno == ENOSYS))
        return fd;
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_IO, "%s: %s", place->folder->out,
                g_strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The folder of results is shared with a watcher that has another journal, and both had
 * promised the name. */
gboolean dp_watch_on_taken(void *user, dp_doc *doc, GError **error)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (!dp_site_place(site, doc->origin, &place)) {
        errno = EBUSY; /* the configuration was changed in this moment */
        return dp_fail_errno(error, "finding the folder of", doc->origin);
    }
    int lock = lock_out(w, &place, error);
    if (lock < 0)
        return FALSE;
    char *target = choose_target(w, &place, doc->origin, error);
    gboolean is_good =
        target != NULL && dp_queue_set_target(w->queue, doc->id, target, error);
    if (is_good) {
        g_mutex_lock(&w->lock);
        g_hash_table_remove(w->targets, doc->target);
        g_hash_table_add(w->targets, g_strdup(target));
        g_mutex_unlock(&w->lock);
        g_free(doc->target);
        doc->target = g_steal_pointer(&target);
    }
    g_free(target);
    close(lock);
    return is_good;
}

static gboolean add_to_journal(dp_folder *f, const taken *t, const char *origin,
                               const dp_place *place, dp_added *added, GError **error)
{
    dp_watch *w = f->watch;
    dp_stamp stamp;
    char sha256[65];
    if (!dp_stamp_file(t->path, &stamp, error))
        return FALSE;
    if (!dp_queue_known_hash(w->queue, w->lane, t->path, &stamp, sha256) &&
        !dp_hash_file(t->path, sha256, &stamp, error))
        return FALSE;
    int lock = lock_out(w, place, error);
    if (lock < 0)
        return FALSE;
    g_autofree char *target = choose_target(w, place, origin, error);
    dp_arrival arrival = {
        .lane = w->lane,
        .path = t->path,
        .origin = origin,
        .target = target,
        .profile = place->settings->profile,
        .sha256 = sha256,
        .recipe = dp_recipe_sha256(place->recipe),
        .stamp = stamp,
        .priority = place->settings->priority,
        .is_light = TRUE, /* until the journal has it for good, the work folder does */
    };
    gboolean is_good = target != NULL && dp_queue_add(w->queue, &arrival, added, error);
    if (is_good && added->how == DP_ADD_NEW) {
        g_mutex_lock(&w->lock);
        g_hash_table_add(w->targets, g_steal_pointer(&target));
        g_mutex_unlock(&w->lock);
    }
    close(lock);
    return is_good;
}

static void count_added(dp_folder *f, gboolean is_duplicate)
{
    g_mutex_lock(&f->lock);
    f->counts.added += !is_duplicate;
    f->counts.duplicates += is_duplicate;
    g_mutex_unlock(&f->lock);
}

/* The journal knows this very file: a crash came between the journal and the move. */
static gboolean finish_known(dp_folder *f, const dp_place *place, const dp_doc *doc)
{
    /* Whoever wrote that it is done may have died without a sync. */
    if (doc->state == DP_STATE_ROUTED)
        return dp_queue_sync(f->watch->queue, TRUE, NULL) &&
               dp_finish_done(f->watch, place, doc);
    if (doc->state == DP_STATE_FAILED || doc->state == DP_STATE_QUARANTINED)
        return dp_finish_failed(f->watch, place, doc);
    dp_runner_wake(f->watch->runner);
    return TRUE;
}

static gboolean has_failed(const dp_doc *doc)
{
    return doc->state == DP_STATE_FAILED || doc->state == DP_STATE_QUARANTINED;
}

/* The file of `first` is gone before the end, or left the work folder only on paper (a crash):
 * then this file stands in for it.  FALSE with an error. */
static gboolean stand_in(dp_watch *w, const taken *t, const dp_doc *first,
                         gboolean *is_standing, GError **error)
{
    dp_finish_hold(w, first->id);
    g_autoptr(dp_doc) now = dp_queue_get(w->queue, first->id, error);
    gboolean is_ok = now != NULL;
    *is_standing =
        is_ok && dp_path_is_gone(now->path) && !dp_path_is_gone(t->path) &&
        (t->is_recovered || (now->state != DP_STATE_ROUTED && !has_failed(now)));
    if (*is_standing)
        is_ok = dp_queue_set_path(w->queue, first->id, t->path, error);
    dp_finish_release(w, first->id);
    return is_ok;
}

/* Between two file systems a move is a copy and an unlink, and a crash or a share that went
 * came before the unlink: this file was put away already, and keeps its time there. */
static gboolean is_left_of_move(const taken *t, const dp_place *place,
                                const dp_doc *first)
{
    enum { COARSE_S = 2 }; /* FAT counts its seconds in pairs */
    struct stat here, there;
    char sha256[65];
    dp_stamp stamp;
    const char *below = first->origin + strlen(place->folder->path);
    return t->is_recovered && first->state == DP_STATE_ROUTED &&
           dp_path_is_within(first->origin, place->folder->path) && *below == '/' &&
           strcmp(below + 1, t->relative) == 0 &&
           dp_path_is_within(first->path, place->folder->done) &&
           lstat(t->path, &here) == 0 && lstat(first->path, &there) == 0 &&
           here.st_dev != there.st_dev && here.st_size == there.st_size &&
           ABS(here.st_mtime - there.st_mtime) <= COARSE_S &&
           dp_hash_file(first->path, sha256, &stamp, NULL) &&
           strcmp(sha256, first->sha256) == 0;
}

/* The content is known under another path. */
static gboolean meet_twin(dp_folder *f, const taken *t, const dp_place *place,
                          const dp_doc *first, GError **error)
{
    dp_watch *w = f->watch;
    gint64 id = first->id;
    gboolean is_standing;
    if (!stand_in(w, t, first, &is_standing, error))
        return FALSE;
    if (is_standing) {
        g_autoptr(dp_doc) now = dp_queue_get(w->queue, id, error);
        return now != NULL && finish_known(f, place, now);
    }
    if (dp_path_is_gone(t->path))
        return TRUE; /* it was this file that was being moved */
    gboolean is_gone = dp_path_is_gone(first->path), is_failed = has_failed(first);
    if (is_left_of_move(t, place, first)) {
        (void)unlink(t->path); /* if not, the next sweep comes back to it */
        dp_claims_tidy(f->config->path, t->path);
        return TRUE;
    }
    if (!is_failed || dp_folder_is_kept(f)) {
        count_added(f, TRUE);
        return dp_finish_duplicate(w, place, t->path, first);
    }
    /* Somebody brings a document again that failed: another try, at once. */
    guint count = 0;
    dp_retry which =
        first->state == DP_STATE_FAILED ? DP_RETRY_FAILED : DP_RETRY_QUARANTINED;
    g_autofree char *old = g_strdup(first->path);
    if (!dp_queue_set_path(w->queue, id, t->path, error) ||
        !dp_queue_retry(w->queue, w->lane, id, which, &count, error))
        return FALSE;
    char sha256[65];
    dp_stamp stamp;
    if (!is_gone && dp_path_is_within(old, place->folder->failed) &&
        dp_hash_file(old, sha256, &stamp, NULL) && strcmp(sha256, first->sha256) == 0)
        (void)unlink(old); /* the same bytes are at t->path */
    g_autofree char *note = g_strconcat(old, ".error.json", NULL);
    if (dp_path_is_within(old, place->folder->failed))
        (void)unlink(note);
    dp_message(w->app, "info", "%s: failed before, tried again", t->relative);
    dp_runner_wake(w->runner);
    return TRUE;
}

/* TRUE: the journal has it.  FALSE without error: try again later. */
static gboolean add_one(dp_folder *f, const taken *t, GError **error)
{
    g_autofree char *origin = NULL;
    g_autoptr(dp_site) site = NULL;
    dp_place place;
    if (!dp_folder_place(f, t->relative, &origin, &site, &place))
        return FALSE; /* the folder is about to be stopped; the next watcher finds the file */
    if (t->is_recovered) {
        g_autoptr(dp_doc) known = row_of(f->watch, t->path);
        if (known != NULL)
            return finish_known(f, &place, known);
    }
    dp_added added;
    if (!add_to_journal(f, t, origin, &place, &added, error))
        return FALSE;
    if (added.how == DP_ADD_NEW || added.how == DP_ADD_FORCED) {
        count_added(f, FALSE);
        dp_runner_wake(f->watch->runner);
        return TRUE;
    }
    g_autoptr(dp_doc) doc = dp_queue_get(f->watch->queue, added.id, error);
    if (doc == NULL)
        return FALSE;
    if (strcmp(doc->path, t->path) != 0)
        return meet_twin(f, t, &place, doc, error);
    if (dp_folder_is_kept(f) && dp_claims_relative(f->config->path, t->path) == NULL)
        return TRUE; /* a file that stays where it is, known from an earlier run */
    return finish_known(f, &place, doc);
}

/* Not into the journal: later, or not at all. */
static gboolean is_given_up(dp_folder *f, taken *t, const GError *error)
{
    if (dp_path_is_gone(t->path))
        return TRUE; /* taken away, or finished by another watcher */
    const char *text = error != NULL ? error->message : "its place is not ready";
    gboolean is_passing_now = error == NULL || dp_folder_is_kept(f) ||
                              dp_error_is_temporary(error) ||
                              g_error_matches(error, DP_QUEUE_ERROR, DP_QUEUE_BUSY) ||
                              g_error_matches(error, DP_QUEUE_ERROR, DP_QUEUE_FULL) ||
                              g_error_matches(error, DP_QUEUE_ERROR, DP_QUEUE_IO);
    if (is_passing_now) {
        if (t->stalls++ % 10 == 0)
            dp_message(f->watch->app, "warning", "%s: %s; tried again", t->relative,
                       text);
        t->due_us = dp_now_us() + dp_stall_ms(t->stalls) * 1000;
        return FALSE;
    }
    if (++t->attempts < ADD_ATTEMPTS_MAX) {
        dp_message(f->watch->app, "error", "%s: %s (attempt %u)", t->relative, text,
                   t->attempts);
        t->due_us = dp_now_us() + MAX(dp_backoff_ms(t->attempts), 0) * 1000;
        return FALSE;
    }
    t->due_us = dp_now_us() + REFUSED_US; /* should moving it fail as well */
    g_autofree char *origin = NULL;
    g_autoptr(dp_site) site = NULL;
    dp_place place;
    return dp_folder_place(f, t->relative, &origin, &site, &place) &&
           dp_finish_refused(f->watch, &place, t->path, "io", text);
}

void dp_folder_add_all(dp_folder *f, gint64 *next)
{
    guint count = g_queue_get_length(&f->adds);
    *next = G_MAXINT64;
    for (guint i = 0; i < count && g_atomic_int_get(&f->is_stopping) == 0; i++) {
        taken *t = g_queue_pop_head(&f->adds);
        g_autoptr(GError) error = NULL;
        if (t->due_us <= dp_now_us() &&
            (add_one(f, t, &error) || is_given_up(f, t, error))) {
            dp_taken_free(t);
            if (i % 16 == 0)
                dp_folder_beat(f);
            continue;
        }
        *next = MIN(*next, t->due_us);
        g_queue_push_tail(&f->adds, t);
    }
}

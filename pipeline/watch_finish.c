/*
 * watch_finish.c - where a file goes when its document is done, has failed, or is one that
 * we know.
 *
 * The journal learns the new path before the file is renamed.  A crash between the two
 * leaves a file in the work folder whose content the journal knows under a path that does
 * not exist; the sweep at the next start recognises that and finishes it again, or the worker
 * that is to work on it is faster and goes on with the file where it is (find_file).
 */
#include "watch.h"

#include "claims.h"
#include "names.h"
#include "routing.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define LONE_NOTES_MAX 1000

static gboolean is_there(const char *path)
{
    return !dp_path_is_gone(path);
}

static void note_sweep(dp_watch *w)
{
    g_mutex_lock(&w->lock);
    w->sweeps++;
    g_mutex_unlock(&w->lock);
}

/* ---- error files ----------------------------------------------------------------------- */

static char *error_path(const char *document)
{
    return g_strconcat(document, ".error.json", NULL);
}

static json_t *utf8(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text != NULL ? text : "", -1);
    return json_string(valid);
}

static json_t *time_json(gint64 ms)
{
    if (ms == 0)
        return json_null();
    g_autoptr(GDateTime) when = g_date_time_new_from_unix_utc(ms / 1000);
    g_autofree char *text = when != NULL ? g_date_time_format_iso8601(when) : NULL;
    return text != NULL ? json_string(text) : json_null();
}

static gboolean write_json(dp_watch *w, const char *path, json_t *tree)
{
    g_autofree char *dir = g_path_get_dirname(path);
    if (!dp_mounts_are_there(w, path)) {
        json_decref(tree);
        note_sweep(w);
        return FALSE;
    }
    (void)dp_make_folders(dir, 0755); /* publishing says what is wrong */
    char *dump = json_dumps(tree, JSON_INDENT(2));
    json_decref(tree);
    g_autofree char *text = g_strconcat(dump, "\n", NULL);
    free(dump);
    g_autoptr(GError) error = NULL;
    if (dp_publish(path, text, strlen(text), &error))
        return TRUE;
    dp_message(w->app, "error", "%s", error->message);
    return FALSE;
}

static gboolean write_failure(dp_watch *w, const dp_place *place, const char *document,
                              const dp_doc *doc)
{
    g_autofree char *path = error_path(document);
    gboolean is_over = doc->state != DP_STATE_FAILED;
    json_t *tree = json_pack("{s:o, s:o, s:s, s:o, s:o, s:i, s:o, s:s, s:I, s:o}", "file",
                             utf8(place->relative), "origin", utf8(doc->origin), "status",
                             doc->state == DP_STATE_FAILED        ? "failed"
                             : doc->state == DP_STATE_QUARANTINED ? "quarantined"
                                                                  : "no result",
                             "code", utf8(doc->code), "reason", utf8(dp_doc_reason(doc)),
                             "attempts", (int)doc->attempts, "next_time",
                             is_over ? json_null() : time_json(doc->next_at), "doc_id",
                             doc->sha256, "journal_id", (json_int_t)doc->id, "time",
                             time_json(g_get_real_time() / 1000));
    return write_json(w, path, tree);
}

/* ---- moving ------------------------------------------------------------------------------ */

void dp_finish_hold(dp_watch *w, gint64 id)
{
    g_mutex_lock(&w->lock);
    while (id != 0 && !g_hash_table_add(w->moving, GSIZE_TO_POINTER((gsize)id)))
        g_cond_wait(&w->moved, &w->lock);
    g_mutex_unlock(&w->lock);
}

void dp_finish_release(dp_watch *w, gint64 id)
{
    g_mutex_lock(&w->lock);
    g_hash_table_remove(w->moving, GSIZE_TO_POINTER((gsize)id));
    g_cond_broadcast(&w->moved);
    g_mutex_unlock(&w->lock);
}

static gboolean move_once(dp_watch *w, const char *folder, const dp_place *place,
                          const char *from, gint64 id, char **moved)
{
    if (!dp_mounts_are_there(w, folder)) {
        note_sweep(w);
        return FALSE;
    }
    for (guint tries = 0; tries < 8 && is_there(from); tries++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *to = dp_path_free_name(folder, place->relative, &error);
        if (to != NULL && (id == 0 || dp_queue_set_path(w->queue, id, to, &error)) &&
            dp_file_move(from, to, &error)) {
            dp_claims_tidy(place->folder->path, from);
            *moved = g_steal_pointer(&to);
            return TRUE;
        }
        if (g_error_matches(error, DP_IO_ERROR, EEXIST))
            continue; /* another watcher was faster with this name */
        if (!is_there(from))
            return FALSE; /* somebody finished it */
        if (id != 0)
            (void)dp_queue_set_path(w->queue, id, from,
                                    NULL); /* the sweep copes without */
        dp_message(w->app, "error", "%s", error->message);
        note_sweep(w);
        return FALSE;
    }
    return FALSE;
}

/* Move to a free name below `folder`; *moved gets it.  With a row, the journal hears first. */
static gboolean move_to(dp_watch *w, const char *folder, const dp_place *place,
                        const char *from, gint64 id, char **moved)
{
    dp_finish_hold(w, id);
    gboolean is_moved = move_once(w, folder, place, from, id, moved);
    dp_finish_release(w, id);
    return is_moved;
}

static gboolean is_ours(const dp_place *place, const char *path)
{
    return dp_claims_relative(place->folder->path, path) != NULL;
}

static gboolean is_failed_copy(const dp_place *place, const char *path)
{
    return dp_path_is_within(path, place->folder->failed);
}

static void forget_target(dp_watch *w, const char *target)
{
    if (target == NULL)
        return;
    g_mutex_lock(&w->lock);
    g_hash_table_remove(w->targets, target);
    g_mutex_unlock(&w->lock);
}

/* ---- done ----------------------------------------------------------------------------------- */

/* Before the input is gone: a plan that is done again after a power cut wants the document.
 * A move has told the journal its new path, synced. */
static gboolean is_end_synced(dp_watch *w)
{
    g_autoptr(GError) error = NULL;
    if (dp_queue_sync(w->queue, FALSE, &error))
        return TRUE;
    dp_message(w->app, "error", "%s", error->message);
    note_sweep(w);
    return FALSE;
}

static gboolean put_away(dp_watch *w, const dp_place *place, const char *path, gint64 id)
{
    g_autofree char *moved = NULL;
    switch (place->folder->on_done) {
    case DP_DONE_KEEP: /* one that was taken before this was set goes back */
        return !is_ours(place, path) ||
               move_to(w, place->folder->path, place, path, id, &moved);
    case DP_DONE_DELETE:
        if (!is_end_synced(w))
            return FALSE;
        if (g_unlink(path) != 0 && errno != ENOENT) {
            dp_message(w->app, "error", "removing %s: %s", path, g_strerror(errno));
            note_sweep(w);
            return FALSE;
        }
        dp_claims_tidy(place->folder->path, path);
        return TRUE;
    default:
        return move_to(w, place->folder->done, place, path, id, &moved);
    }
}

/* Does the note beside `document` (which need not be there) speak of `doc`? */
static gboolean has_note_of(const char *document, const dp_doc *doc)
{
    g_autofree char *path = error_path(document);
    if (!is_there(path))
        return FALSE;
    json_t *note = json_load_file(path, 0, NULL);
    const char *id = json_string_value(json_object_get(note, "doc_id"));
    gboolean is_its = g_strcmp0(id, doc->sha256) == 0 &&
                      json_integer_value(json_object_get(note, "journal_id")) == doc->id;
    json_decref(note);
    return is_its;
}

static void drop_note(const char *document, const dp_doc *doc)
{
    g_autofree char *path = error_path(document);
    if (has_note_of(document, doc))
        (void)g_unlink(path); /* the next look at this name finds it again */
}

/* The name below failed/ whose note speaks of a document that does not lie there: its own,
 * unless another's note or file is under it.  Caller frees. */
static char *lone_note(const dp_place *place, const dp_doc *doc)
{
    g_autofree char *relative = dp_name_short(place->relative);
    g_autofree char *first = g_build_filename(place->folder->failed, relative, NULL);
    for (guint n = 1; n <= LONE_NOTES_MAX; n++) {
        g_autofree char *name =
            n == 1 ? g_strdup(first) : g_strdup_printf("%s~%u", first, n);
        g_autofree char *note = error_path(name);
        if (has_note_of(name, doc) || (!is_there(note) && !is_there(name)))
            return g_steal_pointer(&name);
    }
    return g_steal_pointer(&first);
}

gboolean dp_finish_done(dp_watch *w, const dp_place *place, const dp_doc *doc)
{
    forget_target(w, doc->target);
    gboolean was_failed = is_failed_copy(place, doc->path);
    /* Routing may have moved the document already: then it is not ours any more. */
    if (is_ours(place, doc->path) || was_failed) {
        if (g_strcmp0(doc->status, "failed") == 0)
            return dp_finish_failed(w, place, doc);
        if (!put_away(w, place, doc->path, doc->id))
            return FALSE;
    }
    if (was_failed)
        drop_note(doc->path, doc);
    else if (place->folder->on_done == DP_DONE_KEEP)
        dp_finish_accepted(place);
    g_autofree char *lone = lone_note(place, doc);
    drop_note(lone, doc); /* of a try whose file lies elsewhere */
    return TRUE;
}

gboolean dp_finish_failed(dp_watch *w, const dp_place *place, const dp_doc *doc)
{
    if (doc->state == DP_STATE_QUARANTINED)
        forget_target(w, doc->target);
    if (is_failed_copy(place, doc->path) && is_there(doc->path))
        return write_failure(w, place, doc->path, doc);
    if (!is_ours(place, doc->path) && !is_failed_copy(place, doc->path)) {
        /* It stays in its folder, or an action has put it where it belongs before a later
         * one failed: only the note is here. */
        g_autofree char *name = lone_note(place, doc);
        return write_failure(w, place, name, doc);
    }
    if (!is_there(doc->path)) { /* it was taken away: there is nothing to put anywhere */
        g_autofree char *note = error_path(doc->path);
        if (is_failed_copy(place, doc->path))
            (void)g_unlink(note);
        return TRUE;
    }
    g_autofree char *moved = NULL;
    return move_to(w, place->folder->failed, place, doc->path, doc->id, &moved) &&
           write_failure(w, place, moved, doc);
}

gboolean dp_finish_duplicate(dp_watch *w, const dp_place *place, const char *path,
                             const dp_doc *first)
{
    g_autofree char *relative = dp_name_short(place->relative);
    g_autofree char *name = g_strconcat(relative, ".duplicate.json", NULL);
    g_autofree char *plain = g_build_filename(place->folder->out, name, NULL);
    gboolean is_kept = place->folder->on_done == DP_DONE_KEEP;
    if (is_kept && strcmp(path, first->path) == 0)
        return TRUE; /* the very file, which was changed in its place */
    if (!is_kept || !is_there(plain)) { /* a kept file is met again at every start */
        g_autofree char *free_name = dp_path_free_name(place->folder->out, name, NULL);
        dp_message(w->app, "info", "%s: same content as %s, not done again",
                   place->relative, first->origin);
        json_t *tree = json_pack(
            "{s:o, s:s, s:s, s:o, s:o, s:o}", "file", utf8(place->relative), "status",
            "duplicate", "doc_id", first->sha256, "first", utf8(first->origin), "result",
            first->target != NULL ? utf8(first->target) : json_null(), "time",
            time_json(g_get_real_time() / 1000));
        if (!write_json(w, free_name != NULL ? free_name : plain, tree)) {
            note_sweep(w);
            return FALSE;
        }
    }
    return put_away(w, place, path, 0);
}

/* ---- refused ---------------------------------------------------------------------------------- */

gboolean dp_finish_refused(dp_watch *w, const dp_place *place, const char *path,
                           const char *code, const char *reason)
{
    g_autofree char *relative = dp_name_short(place->relative);
    g_autofree char *beside = g_build_filename(place->folder->failed, relative, NULL);
    g_autofree char *moved = NULL;
    if (is_ours(place, path)) {
        if (!move_to(w, place->folder->failed, place, path, 0, &moved))
            return FALSE;
        g_free(beside);
        beside = g_strdup(moved);
    }
    g_autofree char *file = error_path(beside);
    json_t *tree = json_pack("{s:o, s:o, s:s, s:s, s:o, s:i, s:n, s:o}", "file",
                             utf8(place->relative), "origin", utf8(path), "status",
                             "refused", "code", code, "reason", utf8(reason), "attempts",
                             0, "next_time", "time", time_json(g_get_real_time() / 1000));
    return write_json(w, file, tree);
}

void dp_finish_accepted(const dp_place *place)
{
    g_autofree char *relative = dp_name_short(place->relative);
    g_autofree char *beside = g_build_filename(place->folder->failed, relative, NULL);
    g_autofree char *file = error_path(beside);
    if (is_there(file) && !is_there(beside))
        (void)g_unlink(file); /* it spoke of a file that is no longer refused */
}

/* ---- hooks of the engine -------------------------------------------------------------------------- */

static dp_recipe *find_recipe(void *user, const dp_doc *doc)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (!dp_site_place(site, doc->origin, &place))
        return NULL;
    /* The result's folder may have been deleted since the document was added. */
    if (doc->target != NULL &&
        !dp_folder_is_away(w, place.folder, dp_site_routes(site))) {
        g_autofree char *dir = g_path_get_dirname(doc->target);
        (void)dp_make_folders(dir, 0755);
    }
    return dp_recipe_ref(place.recipe);
}

/* A file in a work folder whose content the journal knows under a path where nothing lies is
 * that document: its move did not happen. */
static char *find_claimed(dp_watch *w, const dp_place *place, const dp_doc *doc)
{
    g_autoptr(GPtrArray) paths = dp_claims_find(place->folder->path, place->relative);
    for (guint i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);
        char sha256[65];
        dp_stamp stamp;
        if (dp_hash_file(path, sha256, &stamp, NULL) &&
            strcmp(sha256, doc->sha256) == 0 &&
            dp_queue_set_path(w->queue, doc->id, path, NULL))
            return g_strdup(path);
    }
    return NULL;
}

/* A sweep may be moving it just now, and the journal know the new place already: what the
 * journal says is looked at once more when that is over. */
static char *find_file(void *user, const dp_doc *doc)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (!dp_site_place(site, doc->origin, &place))
        return NULL;
    dp_finish_hold(w, doc->id);
    g_autoptr(dp_doc) now = dp_queue_get(w->queue, doc->id, NULL);
    char *path = now != NULL && is_there(now->path) ? g_strdup(now->path)
                                                    : find_claimed(w, &place, doc);
    dp_finish_release(w, doc->id);
    return path;
}

static dp_whereabouts whereabouts(void *user, const dp_doc *doc)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (!dp_site_place(site, doc->origin, &place))
        return DP_WHERE_THERE;
    if (dp_folder_is_away(w, place.folder, dp_site_routes(site)))
        return DP_WHERE_AWAY;
    /* What is removed by hand leaves the work folder that it was in. */
    g_autofree char *dir =
        is_ours(&place, doc->path) ? dp_claims_dir(place.folder->path, doc->path) : NULL;
    return dir != NULL && !is_there(dir) ? DP_WHERE_UNSURE : DP_WHERE_THERE;
}

/* Without its folders nothing is written and nothing routed: it waits. */
static gboolean is_place_there(dp_watch *w, const dp_doc *doc, GError **error)
{
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (!dp_site_place(site, doc->origin, &place) ||
        !dp_folder_is_away(w, place.folder, dp_site_routes(site)))
        return TRUE;
    errno = EBUSY; /* passes */
    return dp_fail_errno(error, "waiting for the folders of", doc->origin);
}

/* A power cut must not leave a result whose document the journal has forgotten: it would come
 * back from the work folder, find its name taken, and get a second result.  Mostly the journal
 * was synced since it came. */
static gboolean on_publish(void *user, const dp_doc *doc, GError **error)
{
    dp_watch *w = user;
    return is_place_there(w, doc, error) && dp_queue_sync(w->queue, FALSE, error);
}

static char *next_try(const dp_doc *doc)
{
    return g_strdup_printf("next try in %" G_GINT64_FORMAT " s",
                           MAX(0, (doc->next_at - g_get_real_time() / 1000) / 1000));
}

/* Routes of the configuration as it is now; a plan that was made stands (queue.h). */
static gboolean on_published(void *user, const dp_doc *doc, const json_t *result,
                             dp_routing *routing, dp_lasting *lasting, GError **error)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_router router = { w->queue, dp_site_routes(site), w->app->cancellable };
    if (!is_place_there(w, doc, error) ||
        !dp_route_document(&router, doc, result, routing, lasting, error))
        return FALSE; /* on_failed tells it */
    g_autoptr(dp_doc) now =
        *routing == DP_ROUTING_LATER ? dp_queue_get(w->queue, doc->id, NULL) : NULL;
    if (now != NULL) {
        g_autofree char *next = next_try(now);
        dp_message(w->app, "warning", "%s: routing waits: %s (%s)", doc->origin,
                   now->reason, next);
    }
    return TRUE;
}

static void on_done(void *user, const dp_doc *claimed, const json_t *result)
{
    dp_watch *w = user;
    /* The row as it was claimed knows nothing of the result, nor where routing moved it. */
    g_autoptr(dp_doc) doc = dp_queue_get(w->queue, claimed->id, NULL);
    if (doc == NULL) {
        note_sweep(w);
        return;
    }
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (!dp_site_place(site, doc->origin, &place)) {
        dp_message(w->app, "warning",
                   "%s: done, but its folder is not watched any more; the file "
                   "stays at %s",
                   doc->origin, doc->path);
        return;
    }
    dp_message(w->app, "info", "%s: %s, %u page%s in %.1f s", doc->origin, doc->status,
               doc->pages, doc->pages == 1 ? "" : "s", (double)doc->work_ms / 1000);
    (void)dp_finish_done(w, &place, doc);        /* the sweep comes back to it */
    if (strcmp(doc->path, claimed->path) != 0) { /* moved by an action */
        dp_claims_tidy(place.folder->path, claimed->path);
        if (is_failed_copy(&place, claimed->path))
            drop_note(claimed->path, doc);
    }
}

static void on_failed(void *user, const dp_doc *doc)
{
    dp_watch *w = user;
    if (strcmp(doc->code, DP_CODE_AWAY) == 0)
        return; /* its folder has been told */
    if (doc->state == DP_STATE_SETTLED) {
        dp_message(w->app, "warning", "%s: %s; tried again, this does not count",
                   doc->origin, doc->reason);
        return;
    }
    const char *reason = dp_doc_reason(doc);
    g_autofree char *more =
        doc->state == DP_STATE_QUARANTINED ? g_strdup("quarantined") : next_try(doc);
    dp_message(w->app, "error", "%s: %s (%s; attempt %u, %s)", doc->origin, reason,
               doc->code, doc->attempts, more);
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (dp_site_place(site, doc->origin, &place))
        (void)dp_finish_failed(w, &place, doc); /* the sweep comes back to it */
}

/* Routes for those that failed: the file lies in failed/ by now. */
static gboolean on_given_up(void *user, const dp_doc *doc, dp_routing *routing,
                            GError **error)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_router router = { w->queue, dp_site_routes(site), w->app->cancellable };
    return is_place_there(w, doc, error) &&
           dp_route_given_up(w->app, &router, doc, routing, error);
}

/* A note of its failure speaks of content that is no more. */
static void on_changed(void *user, const dp_doc *doc)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    dp_place place;
    if (!dp_site_place(site, doc->origin, &place))
        return;
    drop_note(doc->path, doc);
    g_autofree char *lone = lone_note(&place, doc);
    drop_note(lone, doc);
}

static void on_twin(void *user, const dp_doc *doc, gint64 twin)
{
    dp_watch *w = user;
    g_autoptr(dp_site) site = dp_watch_site(w);
    g_autoptr(dp_doc) first = dp_queue_get(w->queue, twin, NULL);
    dp_place place;
    if (first != NULL && dp_site_place(site, doc->origin, &place))
        (void)dp_finish_duplicate(w, &place, doc->path, first);
}

dp_job_hooks dp_watch_hooks(dp_watch *watch)
{
    return (dp_job_hooks){ .user = watch,
                           .recipe = find_recipe,
                           .find = find_file,
                           .whereabouts = whereabouts,
                           .on_publish = on_publish,
                           .on_taken = dp_watch_on_taken,
                           .on_published = on_published,
                           .on_failed = on_failed,
                           .on_given_up = on_given_up,
                           .on_done = on_done,
                           .on_changed = on_changed,
                           .on_twin = on_twin };
}

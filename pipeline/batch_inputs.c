/*
 * batch_inputs.c - an input of `docvl batch`: into the journal, to the runner, or known
 * already; twins get a copy of the other's result.
 */
#include "batch_parts.h"

#include "names.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* ---- inputs (main thread) -------------------------------------------------------------------- */

static char *target_of(const dp_batch *b, const char *path, const char *relative)
{
    return b->is_beside ? g_strconcat(path, ".json", NULL)
                        : g_strconcat(b->out_real, "/", relative, ".json", NULL);
}

static gboolean make_folder_of(dp_batch *b, const char *target, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(target);
    if (g_mkdir_with_parents(dir, 0777) == 0)
        return TRUE;
    return dp_fail_errno(error, "creating", dir);
}

/* No worker hears of it, but it counts. */
static void note_failed(dp_batch *b)
{
    if (b->runner != NULL && dp_runner_note_failed(b->runner))
        b->is_stopped_early = TRUE;
}

/* The file itself is the trouble, or a name. */
static void fail_row(dp_batch *b, dp_row *row, const GError *error)
{
    gboolean is_temporary = dp_error_is_temporary(error);
    b->is_temporary |= is_temporary;
    dp_row_fail(row, is_temporary ? DP_FATE_LEFT : DP_FATE_FAILED, dp_error_name(error),
                error->message);
    dp_message(b->app, "error", "%s", error->message);
    if (!is_temporary)
        note_failed(b);
}

static gboolean list_row(dp_batch *b, dp_row *row)
{
    g_mutex_lock(&b->lock_rows);
    gboolean is_new = g_hash_table_insert(b->by_id, &row->id, row);
    g_mutex_unlock(&b->lock_rows);
    b->pushed += is_new;
    return is_new;
}

static void push(dp_batch *b, dp_row *row)
{
    if (list_row(b, row))
        dp_runner_push(b->runner, row->id);
}

/* One that an earlier run has begun and not ended comes behind all others: else a document
 * that takes longer than --max-time, or kills its worker, would keep them waiting for ever. */
static void push_known(dp_batch *b, dp_row *row, const dp_doc *doc)
{
    gboolean was_begun =
        doc->state == DP_STATE_SETTLED && doc->changed_at > doc->added_at;
    if (!was_begun)
        push(b, row);
    else if (list_row(b, row))
        g_ptr_array_add(b->begun, row);
}

void dp_batch_push_begun(dp_batch *b)
{
    for (guint i = 0; i < b->begun->len; i++)
        dp_runner_push(b->runner, ((const dp_row *)b->begun->pdata[i])->id);
}

static gboolean exists(const char *path)
{
    return path != NULL && !dp_path_is_gone(path);
}

/* Is the file the result of this document?  Another's may have been written over it: that of
 * other content which came under the same name, or of the same file by another recipe.  What
 * people have made of a result is left alone. */
static gboolean is_result_of(const char *path, const dp_doc *doc)
{
    if (!exists(path))
        return FALSE;
    json_t *present = json_load_file(path, 0, NULL);
    const json_t *engine = json_object_get(present, "engine");
    const char *id = json_string_value(json_object_get(present, "doc_id"));
    const char *recipe = json_string_value(json_object_get(engine, "recipe_sha256"));
    const char *status = json_string_value(json_object_get(present, "status"));
    gboolean is_own =
        json_is_object(present) &&
        (id != NULL ? strcmp(id, doc->sha256) == 0 : g_strcmp0(status, "failed") != 0) &&
        (recipe == NULL || strcmp(recipe, doc->recipe) == 0);
    json_decref(present);
    return is_own;
}

static gboolean hash_input(dp_batch *b, const char *path, char sha256[65],
                           dp_stamp *stamp, GError **error)
{
    if (!dp_stamp_file(path, stamp, error))
        return FALSE;
    if (b->queue != NULL && dp_queue_known_hash(b->queue, b->lane, path, stamp, sha256))
        return TRUE;
    return dp_hash_file(path, sha256, stamp, error);
}

/* Does its file still hold what it was added with?  One that cannot be read now does, until it
 * is known better. */
static gboolean has_content(dp_batch *b, const dp_doc *doc)
{
    char sha256[65];
    dp_stamp stamp;
    return hash_input(b, doc->path, sha256, &stamp, NULL)
               ? strcmp(sha256, doc->sha256) == 0
               : exists(doc->path);
}

/* Has this run listed the document already, under another name or for another result? */
static gboolean is_listed(dp_batch *b, gint64 id)
{
    g_mutex_lock(&b->lock_rows);
    gboolean is_known = g_hash_table_contains(b->by_id, &id);
    g_mutex_unlock(&b->lock_rows);
    return is_known;
}

/* The routes took its document away, and here it is again, or under another name: nothing is
 * done twice, so it stays, which somebody must be told. */
static void tell_duplicate(dp_batch *b, const dp_row *row, const dp_doc *doc)
{
    if (b->routes != NULL && doc->state == DP_STATE_ROUTED &&
        strcmp(doc->path, doc->origin) != 0 && strcmp(doc->path, row->path) != 0 &&
        exists(row->path))
        dp_message(b->app, "warning",
                   "%s: done before, as %s, which is %s now; left here", row->path,
                   doc->origin, doc->path);
}

/* Done before: only if the result is where it belongs (with routes: wherever they took it). */
static gboolean settle_done(dp_batch *b, dp_row *row, const dp_doc *doc, GError **error)
{
    gboolean is_there = is_result_of(doc->target, doc);
    if (g_strcmp0(doc->target, row->target) != 0 && is_there) {
        row->fate = DP_FATE_TWIN; /* the same document, its result wanted elsewhere too */
        g_ptr_array_add(b->twins, row);
        return TRUE;
    }
    if (is_there || b->routes != NULL) {
        row->fate = DP_FATE_DONE;
        tell_duplicate(b, row, doc);
        return TRUE;
    }
    if (!dp_queue_set_target(b->queue, doc->id, row->target, error) ||
        !dp_queue_redo(b->queue, doc->id, error))
        return FALSE;
    push(b, row);
    return TRUE;
}

static gboolean settle_waiting(dp_batch *b, dp_row *row, const dp_doc *doc,
                               GError **error)
{
    gboolean is_due = dp_doc_is_due(doc);
    guint count;
    if (doc->state == DP_STATE_QUARANTINED && strcmp(doc->code, "gone") == 0) {
        /* It was away when its turn came, and is here now. */
        if (!dp_queue_retry(b->queue, NULL, doc->id, DP_RETRY_QUARANTINED, &count, error))
            return FALSE;
    } else if (doc->state == DP_STATE_QUARANTINED ||
               (doc->state != DP_STATE_SETTLED && *doc->worker == '\0' && !is_due)) {
        g_autofree char *reason =
            g_strconcat(doc->reason,
                        doc->state == DP_STATE_QUARANTINED ? " (quarantined)" : "", NULL);
        dp_row_fail(row, DP_FATE_WAITS, doc->code, reason);
        return TRUE;
    }
    if (g_strcmp0(doc->target, row->target) != 0 &&
        !dp_queue_set_target(b->queue, doc->id, row->target, error))
        return FALSE;
    push_known(b, row, doc);
    return TRUE;
}

/* The other document goes on, and this name gets a copy of its result. */
static gboolean wait_for_twin(dp_batch *b, dp_row *row, const dp_doc *doc, GError **error)
{
    row->fate = DP_FATE_TWIN;
    if (strcmp(doc->origin, row->path) != 0)
        row->twin_of = g_strdup(doc->origin);
    g_ptr_array_add(b->twins, row);
    if (is_listed(b, doc->id))
        return TRUE;
    gboolean is_lost = doc->state == DP_STATE_ROUTED && b->routes == NULL &&
                       !is_result_of(doc->target, doc);
    if (is_lost && !dp_queue_redo(b->queue, doc->id, error))
        return FALSE;
    if (is_lost || doc->state == DP_STATE_SETTLED ||
        (doc->state == DP_STATE_FAILED && dp_doc_is_due(doc))) {
        b->pushed++;
        dp_runner_push(b->runner, doc->id);
    }
    return TRUE;
}

/* The content is known under another path.  That one goes on; when its file is gone or holds
 * something else by now, this one takes its place. */
static gboolean settle_twin(dp_batch *b, dp_row *row, const dp_doc *doc, GError **error)
{
    if (strcmp(doc->origin, row->path) != 0 && has_content(b, doc))
        return wait_for_twin(b, row, doc, error);
    if (!dp_queue_set_origin(b->queue, doc->id, row->path, error))
        return FALSE;
    return doc->state == DP_STATE_ROUTED ? settle_done(b, row, doc, error)
                                         : settle_waiting(b, row, doc, error);
}

/* Known under this path, but it lay elsewhere meanwhile, and there it is no more. */
static gboolean take_path_back(dp_batch *b, const dp_row *row, const dp_doc *doc,
                               GError **error)
{
    return *doc->worker != '\0' || strcmp(doc->path, row->path) == 0 ||
           exists(doc->path) || dp_queue_set_origin(b->queue, doc->id, row->path, error);
}

static gboolean settle_row(dp_batch *b, dp_row *row, const dp_added *added,
                           GError **error)
{
    row->id = added->id;
    if (added->how == DP_ADD_NEW || added->how == DP_ADD_FORCED) {
        push(b, row);
        return TRUE;
    }
    g_autoptr(dp_doc) doc = dp_queue_get(b->queue, added->id, error);
    if (doc == NULL)
        return FALSE;
    if (is_listed(b, doc->id))
        return (has_content(b, doc) ||
                dp_queue_set_origin(b->queue, doc->id, row->path, error)) &&
               wait_for_twin(b, row, doc, error);
    if (added->how != DP_ADD_TWIN && !take_path_back(b, row, doc, error))
        return FALSE;
    switch (added->how) {
    case DP_ADD_DONE:
        return settle_done(b, row, doc, error);
    case DP_ADD_TWIN:
        return settle_twin(b, row, doc, error);
    default:
        return settle_waiting(b, row, doc, error);
    }
}

static void clash(dp_batch *b, const char *path, const char *target, const char *other)
{
    dp_row *row = dp_tale_add(b->tale, path, NULL);
    g_autofree char *text =
        g_strdup_printf("%s: its result would be %s, as that of %s", path, target, other);
    dp_row_fail(row, DP_FATE_FAILED, "clash", text);
    dp_message(b->app, "error", "%s", text);
    note_failed(b);
}

/* The file whose result lies there from another run, which looked into another folder, and
 * would be lost; NULL: none.  Caller frees. */
static char *owner_of(dp_batch *b, const char *target, const char *path,
                      const char *sha256)
{
    if (b->queue == NULL || !exists(target))
        return NULL;
    json_t *present = json_load_file(target, 0, NULL);
    const json_t *engine = json_object_get(present, "engine");
    const char *id = json_string_value(json_object_get(present, "doc_id"));
    const char *recipe = json_string_value(json_object_get(engine, "recipe_sha256"));
    gboolean is_other = id != NULL && recipe != NULL && strcmp(id, sha256) != 0;
    g_autoptr(dp_doc) doc =
        is_other ? dp_queue_find(b->queue, b->lane, id, recipe, NULL) : NULL;
    json_decref(present);
    /* One that was moved away has left its name to others. */
    gboolean is_here = doc != NULL && strcmp(doc->path, path) != 0 &&
                       strcmp(doc->path, doc->origin) == 0 &&
                       g_strcmp0(doc->target, target) == 0 && has_content(b, doc);
    return is_here ? g_strdup(doc->path) : NULL;
}

/* By force once in a run, whatever the number of its names. */
static gboolean is_forced(dp_batch *b, const char *sha256)
{
    g_autoptr(dp_doc) doc =
        b->is_forced
            ? dp_queue_find(b->queue, b->lane, sha256, dp_recipe_sha256(b->recipe), NULL)
            : NULL;
    return b->is_forced && (doc == NULL || !is_listed(b, doc->id));
}

gboolean dp_batch_is_over(void *user)
{
    dp_batch *b = user;
    if (g_cancellable_is_cancelled(b->app->cancellable) ||
        (b->runner != NULL && dp_runner_wait(b->runner, 0, NULL)))
        b->is_stopped_early = TRUE;
    return b->is_stopped_early || (b->limit > 0 && b->pushed >= (guint)b->limit);
}

static void tell_dry(dp_batch *b, const char *path, const char *sha256)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_doc) doc = b->queue != NULL
                                ? dp_queue_find(b->queue, b->lane, sha256,
                                                dp_recipe_sha256(b->recipe), &error)
                                : NULL;
    const char *what = doc == NULL                      ? "new"
                       : strcmp(doc->origin, path) != 0 ? "twin"
                       : doc->state == DP_STATE_ROUTED  ? "done"
                                                        : dp_state_name(doc->state);
    b->pushed += doc == NULL || doc->state != DP_STATE_ROUTED;
    printf("%s\t%s\n", what, path);
}

gboolean dp_batch_found(void *user, const char *path, const char *relative)
{
    dp_batch *b = user;
    if (dp_batch_is_over(b))
        return FALSE;
    g_autofree char *target = target_of(b, path, relative);
    const dp_row *other = g_hash_table_lookup(b->targets, target);
    if (other != NULL) {
        if (strcmp(other->path, path) != 0) /* the same file named twice is one */
            clash(b, path, target, other->path);
        return TRUE;
    }
    char sha256[65];
    dp_stamp stamp;
    g_autoptr(GError) error = NULL;
    if (!hash_input(b, path, sha256, &stamp, &error)) {
        fail_row(b, dp_tale_add(b->tale, path, target), error);
        return TRUE;
    }
    g_autofree char *owner = owner_of(b, target, path, sha256);
    if (owner != NULL) {
        clash(b, path, target, owner);
        return TRUE;
    }
    if (b->is_dry) {
        tell_dry(b, path, sha256);
        return TRUE;
    }
    dp_row *row = dp_tale_add(b->tale, path, target);
    g_hash_table_insert(b->targets, row->target, row);
    dp_arrival arrival = { .lane = b->lane,
                           .path = path,
                           .target = target,
                           .sha256 = sha256,
                           .recipe = dp_recipe_sha256(b->recipe),
                           .stamp = stamp,
                           .is_forced = is_forced(b, sha256),
                           .is_light = TRUE };
    dp_added added;
    if (!make_folder_of(b, target, &error) ||
        !dp_queue_add(b->queue, &arrival, &added, &error) ||
        !settle_row(b, row, &added, &error))
        fail_row(b, row, error);
    return TRUE;
}

void dp_batch_skipped(void *user, const char *path, dp_scan_skip why, const GError *error)
{
    dp_batch *b = user;
    b->tale->skipped[why]++;
    if (why == DP_SKIP_ERROR)
        fail_row(b, dp_tale_add(b->tale, path, NULL), error);
    else if (why == DP_SKIP_NAME && b->tale->skipped_names->len < DP_TALE_NAMES_MAX)
        g_ptr_array_add(b->tale->skipped_names, g_strdup(path));
}

/* ---- twins ------------------------------------------------------------------------------------ */

/* The result of the other document under this one's name. */
static gboolean copy_result(dp_batch *b, const dp_row *row, const dp_doc *doc,
                            GError **error)
{
    if (is_result_of(row->target, doc) && !b->is_forced)
        return TRUE;
    json_error_t where;
    json_t *result = is_result_of(doc->target, doc)
                         ? json_load_file(doc->target, JSON_REJECT_DUPLICATES, &where)
                         : NULL;
    if (result == NULL) {
        g_set_error(error, DP_IO_ERROR, EIO,
                    "%s: the result of %s, its twin, is not there", row->path,
                    doc->origin);
        return FALSE;
    }
    g_autofree char *base = g_path_get_basename(row->path);
    g_autofree char *name = g_utf8_make_valid(base, -1);
    g_autofree char *other = g_utf8_make_valid(doc->origin, -1);
    json_object_set_new(result, "file", json_string(name));
    json_object_del(result, "twin_of");
    if (strcmp(doc->origin, row->path) !=
        0) /* not just another result of the same file */
        json_object_set_new(result, "twin_of", json_string(other));
    g_autofree char *text = dp_result_text(result, "json", FALSE);
    json_decref(result);
    return dp_publish(row->target, text, strlen(text), error);
}

static void settle_one_twin(dp_batch *b, dp_row *row)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_doc) doc = dp_queue_get(b->queue, row->id, &error);
    /* What an action of routing could not do leaves a good result alone. */
    gboolean has_result = doc != NULL && *doc->status != '\0';
    if (doc == NULL || (!has_result && (doc->state == DP_STATE_FAILED ||
                                        doc->state == DP_STATE_QUARANTINED))) {
        dp_row_fail(row, DP_FATE_FAILED, doc != NULL ? doc->code : dp_error_name(error),
                    doc != NULL ? doc->reason : error->message);
        dp_batch_publish_failure(b, row->path, row->target, row->code, row->reason);
    } else if (!has_result) {
        row->fate = DP_FATE_LEFT;
    } else if ((b->routes == NULL || is_result_of(doc->target, doc)) &&
               !copy_result(b, row, doc, &error)) {
        dp_row_fail(row, DP_FATE_FAILED, dp_error_name(error), error->message);
        dp_message(b->app, "error", "%s", error->message);
    } else {
        tell_duplicate(b, row, doc);
    }
}

void dp_batch_settle_twins(dp_batch *b)
{
    for (guint i = 0; i < b->twins->len; i++)
        settle_one_twin(b, g_ptr_array_index(b->twins, i));
}

/* Given up before, but not to the end: it goes on, and is told as what it is. */
static void push_given_up(dp_batch *b, dp_row *row, const dp_doc *doc)
{
    dp_row_fail(row, DP_FATE_WAITS, doc->code, doc->reason);
    if (*doc->worker == '\0' && dp_doc_is_due(doc))
        push(b, row);
}

/* Is it to be worked on, and no look into folders finds it?  Its routing was broken off, or it
 * was released, when an action had moved its file already. */
static gboolean is_out_of_sight(const dp_batch *b, const dp_doc *doc)
{
    gboolean is_moved = strcmp(doc->path, doc->origin) != 0;
    return doc->is_giving_up ||
           (b->routes != NULL && (doc->state == DP_STATE_PUBLISHED ||
                                  (is_moved && (doc->state == DP_STATE_SETTLED ||
                                                doc->state == DP_STATE_FAILED))));
}

void dp_batch_push_published(dp_batch *b)
{
    dp_filter filter = { .lane = b->lane,
                         .states = 1u << DP_STATE_QUARANTINED | 1u << DP_STATE_PUBLISHED |
                                   1u << DP_STATE_SETTLED | 1u << DP_STATE_FAILED };
    for (guint count = 1; count > 0;) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) docs = dp_queue_list(b->queue, &filter, &error);
        count = docs != NULL ? docs->len : 0;
        for (guint i = 0; i < count; i++) {
            const dp_doc *doc = g_ptr_array_index(docs, i);
            filter.after_id = doc->id;
            if (!is_out_of_sight(b, doc))
                continue;
            gboolean is_begun = doc->is_giving_up || doc->state == DP_STATE_PUBLISHED;
            dp_row *row =
                dp_tale_add(b->tale, is_begun ? doc->origin : doc->path, doc->target);
            row->id = doc->id;
            if (row->target != NULL)
                g_hash_table_insert(b->targets, row->target, row);
            if (doc->is_giving_up)
                push_given_up(b, row, doc);
            else if (!settle_waiting(b, row, doc, &error))
                dp_row_fail(row, DP_FATE_LEFT, dp_error_name(error), error->message);
        }
    }
}

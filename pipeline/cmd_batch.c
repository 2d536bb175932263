/*
 * cmd_batch.c - docvl batch: everything in files, folders and lists, once, whatever happens
 * in between.
 *
 * The main thread looks for inputs, adds them to the journal and hands them to the runner,
 * which works meanwhile.  Running the same line again is the way to resume: what is done is
 * recognised by content and recipe, the rest goes on.
 */
#include "batch.h"

#include "config.h"
#include "options.h"
#include "routing.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct batch {
    dp_app *app;
    /* the command line */
    char *out_dir, *schema, *format, *labels, *shard, *since, *memory, *report, *journal,
        *lock, *max_time, *wait_lock, *metrics, *summary, *config_file;
    char **include, **exclude;
    gboolean is_beside, is_auto, is_plain, is_recursive, is_nul, is_dry, is_fail_fast,
        is_forced;
    int jobs, limit, failures_max;
    /* what it means */
    dp_scan_opts scan;
    guint64 memory_max;
    guint seconds_max, wait_s;
    char *out_real, *lane;
    char **label_list;
    dp_config *config;
    dp_routes *routes; /* NULL: none */
    /* the run */
    dp_queue *queue;
    dx_engine *engine;
    vl_model *model;
    dp_recipe *recipe;
    dp_runner *runner;
    dp_tale *tale;
    GHashTable *targets; /* path of a result to dp_row, to see clashes */
    GMutex lock_rows;    /* rows by document, written by the hooks */
    GHashTable *by_id;   /* gint64 to dp_row: the one that the runner works on */
    GPtrArray *twins;    /* of dp_row, borrowed */
    guint pushed;
    gboolean is_stopped_early; /* the scan was */
    gboolean is_temporary;     /* something could not be looked at now */
    gint64 metrics_at;
} batch;

/* ---- what became of a document (worker threads) --------------------------------------- */

static dp_recipe *hook_recipe(void *user, const dp_doc *doc)
{
    batch *b = user;
    return dp_recipe_ref(b->recipe);
}

static void hook_done(void *user, const dp_doc *doc, const json_t *result)
{
    batch *b = user;
    const char *status = json_string_value(json_object_get(result, "status"));
    g_autoptr(dp_doc) now = dp_queue_get(b->queue, doc->id, NULL);
    g_mutex_lock(&b->lock_rows);
    dp_row *row = g_hash_table_lookup(b->by_id, &doc->id);
    if (row != NULL) {
        row->fate = g_strcmp0(status, "review") == 0 ? DP_FATE_REVIEW : DP_FATE_OK;
        row->pages = now != NULL ? now->pages : 0;
        row->work_ms = now != NULL ? now->work_ms : 0;
        g_clear_pointer(&row->code, g_free);
        g_clear_pointer(&row->reason, g_free);
    }
    g_mutex_unlock(&b->lock_rows);
}

/* A failed document has its envelope too: nothing is skipped in silence. */
static void publish_failure(batch *b, const char *origin, const char *target,
                            const char *code, const char *reason)
{
    g_autofree char *base = g_path_get_basename(origin);
    g_autofree char *name = g_utf8_make_valid(base, -1);
    g_autofree char *text = g_utf8_make_valid(reason, -1);
    json_t *result = json_pack("{s:s, s:s, s:{s:s, s:s}}", "file", name, "status",
                               "failed", "error", "code", code, "message", text);
    g_autofree char *dump = dp_result_text(result, "json", FALSE);
    json_decref(result);
    g_autoptr(GError) error = NULL;
    if (dump != NULL && target != NULL && !dp_publish(target, dump, strlen(dump), &error))
        dp_message(b->app, "error", "%s", error->message);
}

static void hook_failed(void *user, const dp_doc *doc)
{
    batch *b = user;
    gboolean is_temporary =
        doc->state != DP_STATE_FAILED && doc->state != DP_STATE_QUARANTINED;
    /* What an action of routing could not do leaves a good result alone. */
    if (!is_temporary && *doc->status == '\0')
        publish_failure(b, doc->origin, doc->target, doc->code, doc->reason);
    g_mutex_lock(&b->lock_rows);
    dp_row *row = g_hash_table_lookup(b->by_id, &doc->id);
    if (row != NULL)
        dp_row_fail(row, is_temporary ? DP_FATE_LEFT : DP_FATE_FAILED, doc->code,
                    doc->reason);
    g_mutex_unlock(&b->lock_rows);
    const char *at = strstr(doc->reason, doc->origin) == NULL ? doc->origin : NULL;
    dp_message(b->app, is_temporary ? "warning" : "error", "%s%s%s%s",
               at != NULL ? at : "", at != NULL ? ": " : "", doc->reason,
               doc->state == DP_STATE_QUARANTINED ? " (quarantined)" : "");
    dp_router router = { b->queue, b->routes, b->app->cancellable };
    g_autoptr(GError) error = NULL;
    if (!dp_route_failed(&router, doc, &error))
        dp_message(b->app, "error", "%s: routes, failed: %s", doc->origin,
                   error->message);
}

/* Routing: what waits for its next try is told now, mail from cron means trouble. */
static gboolean hook_published(void *user, const dp_doc *doc, const json_t *result,
                               dp_routing *routing, GError **error)
{
    batch *b = user;
    dp_router router = { b->queue, b->routes, b->app->cancellable };
    gboolean is_ok = dp_route_document(&router, doc, result, routing, error);
    g_autoptr(dp_doc) now = dp_queue_get(b->queue, doc->id, NULL);
    if ((is_ok && *routing != DP_ROUTING_LATER) || now == NULL)
        return is_ok;
    const char *reason = is_ok ? now->reason : (*error)->message;
    dp_message(b->app, "warning", "%s: routing waits: %s", doc->origin, reason);
    g_mutex_lock(&b->lock_rows);
    dp_row *row = g_hash_table_lookup(b->by_id, &doc->id);
    if (row != NULL)
        dp_row_fail(row, DP_FATE_WAITS, is_ok ? now->code : dp_error_name(*error),
                    reason);
    g_mutex_unlock(&b->lock_rows);
    return is_ok;
}

static void hook_twin(void *user, const dp_doc *doc, gint64 twin)
{
    batch *b = user;
    g_mutex_lock(&b->lock_rows);
    dp_row *row = g_hash_table_lookup(b->by_id, &doc->id);
    if (row != NULL) {
        g_hash_table_remove(b->by_id, &doc->id);
        row->id = twin;
        row->fate = DP_FATE_TWIN;
        g_ptr_array_add(b->twins, row);
    }
    g_mutex_unlock(&b->lock_rows);
}

/* ---- inputs (main thread) -------------------------------------------------------------------- */

static char *target_of(const batch *b, const char *path, const char *relative)
{
    return b->is_beside ? g_strconcat(path, ".json", NULL)
                        : g_strconcat(b->out_real, "/", relative, ".json", NULL);
}

static gboolean make_folder_of(batch *b, const char *target, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(target);
    if (g_mkdir_with_parents(dir, 0777) == 0)
        return TRUE;
    return dp_fail_errno(error, "creating", dir);
}

/* Nothing was journaled: the file itself is the trouble. */
static void fail_input(batch *b, const char *path, const char *target,
                       const GError *error)
{
    dp_row *row = dp_tale_add(b->tale, path, target);
    gboolean is_temporary = dp_error_is_temporary(error);
    b->is_temporary |= is_temporary;
    dp_row_fail(row, is_temporary ? DP_FATE_LEFT : DP_FATE_FAILED, dp_error_name(error),
                error->message);
    dp_message(b->app, "error", "%s", error->message);
}

static void push(batch *b, dp_row *row)
{
    g_mutex_lock(&b->lock_rows);
    gboolean is_new = g_hash_table_insert(b->by_id, &row->id, row);
    g_mutex_unlock(&b->lock_rows);
    if (!is_new)
        return;
    b->pushed++;
    dp_runner_push(b->runner, row->id);
}

static gboolean exists(const char *path)
{
    return path != NULL && access(path, F_OK) == 0;
}

/* Done before: only if the result is where it belongs (with routes: wherever they took it). */
static gboolean settle_done(batch *b, dp_row *row, const dp_doc *doc, GError **error)
{
    gboolean is_there = exists(doc->target);
    if (g_strcmp0(doc->target, row->target) != 0 && is_there) {
        row->fate = DP_FATE_TWIN; /* the same document, its result wanted elsewhere too */
        g_ptr_array_add(b->twins, row);
        return TRUE;
    }
    if (is_there || b->routes != NULL) {
        row->fate = DP_FATE_DONE;
        return TRUE;
    }
    if (!dp_queue_set_target(b->queue, doc->id, row->target, error) ||
        !dp_queue_redo(b->queue, doc->id, error))
        return FALSE;
    push(b, row);
    return TRUE;
}

static gboolean settle_waiting(batch *b, dp_row *row, const dp_doc *doc, GError **error)
{
    gboolean is_due = dp_doc_is_due(doc);
    guint count;
    if (doc->state == DP_STATE_QUARANTINED && strcmp(doc->code, "gone") == 0) {
        /* It was away when its turn came, and is here now. */
        if (!dp_queue_retry(b->queue, NULL, doc->id, DP_RETRY_QUARANTINED, &count, error))
            return FALSE;
    } else if (doc->state == DP_STATE_QUARANTINED ||
               (doc->state != DP_STATE_SETTLED && *doc->worker == '\0' && !is_due)) {
        dp_row_fail(row, DP_FATE_WAITS, doc->code, doc->reason);
        return TRUE;
    }
    if (g_strcmp0(doc->target, row->target) != 0 &&
        !dp_queue_set_target(b->queue, doc->id, row->target, error))
        return FALSE;
    push(b, row);
    return TRUE;
}

/* The content is known under another path.  That one goes on; when its file is gone, this
 * one takes its place. */
static gboolean settle_twin(batch *b, dp_row *row, const dp_doc *doc, GError **error)
{
    if (strcmp(doc->origin, row->path) != 0 && exists(doc->path)) {
        row->fate = DP_FATE_TWIN;
        row->twin_of = g_strdup(doc->origin);
        g_ptr_array_add(b->twins, row);
        if (doc->state == DP_STATE_ROUTED && !exists(doc->target) && b->routes == NULL &&
            !dp_queue_redo(b->queue, doc->id, error))
            return FALSE;
        g_mutex_lock(&b->lock_rows);
        gboolean is_listed = g_hash_table_contains(b->by_id, &doc->id);
        g_mutex_unlock(&b->lock_rows);
        if (!is_listed && doc->state == DP_STATE_SETTLED) {
            b->pushed++;
            dp_runner_push(b->runner, doc->id);
        }
        return TRUE;
    }
    if (!dp_queue_set_path(b->queue, doc->id, row->path, error))
        return FALSE;
    return doc->state == DP_STATE_ROUTED ? settle_done(b, row, doc, error)
                                         : settle_waiting(b, row, doc, error);
}

static gboolean settle_row(batch *b, dp_row *row, const dp_added *added, GError **error)
{
    row->id = added->id;
    if (added->how == DP_ADD_NEW || added->how == DP_ADD_FORCED) {
        push(b, row);
        return TRUE;
    }
    g_autoptr(dp_doc) doc = dp_queue_get(b->queue, added->id, error);
    if (doc == NULL)
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

static gboolean hash_input(batch *b, const char *path, char sha256[65], dp_stamp *stamp,
                           GError **error)
{
    if (!dp_stamp_file(path, stamp, error))
        return FALSE;
    if (b->queue != NULL && dp_queue_known_hash(b->queue, b->lane, path, stamp, sha256))
        return TRUE;
    return dp_hash_file(path, sha256, stamp, error);
}

static void clash(batch *b, const char *path, const char *target, const dp_row *other)
{
    dp_row *row = dp_tale_add(b->tale, path, NULL);
    g_autofree char *text = g_strdup_printf("%s: its result would be %s, as that of %s",
                                            path, target, other->path);
    dp_row_fail(row, DP_FATE_FAILED, "clash", text);
    dp_message(b->app, "error", "%s", text);
}

/* TRUE: stop here. */
static gboolean is_scan_over(batch *b)
{
    if (g_cancellable_is_cancelled(b->app->cancellable) ||
        (b->runner != NULL && dp_runner_wait(b->runner, 0, NULL)))
        b->is_stopped_early = TRUE;
    return b->is_stopped_early || (b->limit > 0 && b->pushed >= (guint)b->limit);
}

static void tell_dry(batch *b, const char *path, const char *sha256)
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

static gboolean on_found(void *user, const char *path, const char *relative)
{
    batch *b = user;
    if (is_scan_over(b))
        return FALSE;
    g_autofree char *target = target_of(b, path, relative);
    const dp_row *other = g_hash_table_lookup(b->targets, target);
    if (other != NULL) {
        if (strcmp(other->path, path) != 0) /* the same file named twice is one */
            clash(b, path, target, other);
        return TRUE;
    }
    char sha256[65];
    dp_stamp stamp;
    g_autoptr(GError) error = NULL;
    if (!hash_input(b, path, sha256, &stamp, &error)) {
        fail_input(b, path, target, error);
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
                           .is_forced = b->is_forced,
                           .is_light = TRUE };
    dp_added added;
    if (!make_folder_of(b, target, &error) ||
        !dp_queue_add(b->queue, &arrival, &added, &error) ||
        !settle_row(b, row, &added, &error)) {
        gboolean is_temporary = dp_error_is_temporary(error);
        b->is_temporary |= is_temporary;
        dp_row_fail(row, is_temporary ? DP_FATE_LEFT : DP_FATE_FAILED,
                    dp_error_name(error), error->message);
        dp_message(b->app, "error", "%s", error->message);
    }
    return TRUE;
}

static void on_skipped(void *user, const char *path, dp_scan_skip why,
                       const GError *error)
{
    batch *b = user;
    b->tale->skipped[why]++;
    if (why == DP_SKIP_ERROR)
        fail_input(b, path, NULL, error);
    else if (why == DP_SKIP_NAME && b->tale->skipped_names->len < DP_TALE_NAMES_MAX)
        g_ptr_array_add(b->tale->skipped_names, g_strdup(path));
}

/* ---- twins ------------------------------------------------------------------------------------ */

/* The result of the other document under this one's name. */
static gboolean copy_result(batch *b, const dp_row *row, const dp_doc *doc,
                            GError **error)
{
    json_t *present = json_load_file(row->target, 0, NULL);
    const char *id = json_string_value(json_object_get(present, "doc_id"));
    gboolean is_there = g_strcmp0(id, doc->sha256) == 0;
    json_decref(present);
    if (is_there && !b->is_forced)
        return TRUE;
    json_error_t where;
    json_t *result = json_load_file(doc->target, JSON_REJECT_DUPLICATES, &where);
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
    json_object_set_new(result, "twin_of", json_string(other));
    g_autofree char *text = dp_result_text(result, "json", FALSE);
    json_decref(result);
    return dp_publish(row->target, text, strlen(text), error);
}

static void settle_twins(batch *b)
{
    for (guint i = 0; i < b->twins->len; i++) {
        dp_row *row = g_ptr_array_index(b->twins, i);
        g_autoptr(GError) error = NULL;
        g_autoptr(dp_doc) doc = dp_queue_get(b->queue, row->id, &error);
        if (doc == NULL || doc->state == DP_STATE_FAILED ||
            doc->state == DP_STATE_QUARANTINED) {
            dp_row_fail(row, DP_FATE_FAILED,
                        doc != NULL ? doc->code : dp_error_name(error),
                        doc != NULL ? doc->reason : error->message);
            publish_failure(b, row->path, row->target, row->code, row->reason);
        } else if (doc->state != DP_STATE_ROUTED && doc->state != DP_STATE_PUBLISHED) {
            row->fate = DP_FATE_LEFT;
        } else if (exists(doc->target) && !copy_result(b, row, doc, &error)) {
            dp_row_fail(row, DP_FATE_FAILED, dp_error_name(error), error->message);
            dp_message(b->app, "error", "%s", error->message);
        }
    }
}

/* ---- the run ------------------------------------------------------------------------------------ */

static void write_metrics(batch *b, gboolean is_last)
{
    gint64 now = g_get_monotonic_time();
    if (b->metrics == NULL || (!is_last && now - b->metrics_at < 5 * G_USEC_PER_SEC))
        return;
    b->metrics_at = now;
    g_autoptr(GError) error = NULL;
    if (!dp_metrics_write(b->metrics, b->queue, NULL, b->runner, &error))
        dp_message(b->app, "warning", "metrics: %s", error->message);
}

static void show_progress(batch *b)
{
    dp_runner_counts c;
    dp_runner_get_counts(b->runner, &c);
    guint64 through = c.done + c.review + c.failed;
    double seconds = (double)(g_get_monotonic_time() - c.started_us) / 1e6;
    double eta =
        through > 0 ? seconds / (double)through * (double)(b->pushed - through) : 0;
    dp_progress(b->app,
                "%" G_GUINT64_FORMAT " of %u documents, %.2f pages/s, %" G_GUINT64_FORMAT
                " failed (about %.0f s left)",
                through, b->pushed, seconds > 0 ? (double)c.pages / seconds : 0, c.failed,
                MAX(eta, 0));
}

static dp_runner_end wait_for_runner(batch *b)
{
    dp_runner_end end = DP_RUNNER_DRAINED;
    while (!dp_runner_wait(b->runner, 200, &end)) {
        if (g_cancellable_is_cancelled(b->app->cancellable))
            dp_runner_stop(b->runner);
        show_progress(b);
        write_metrics(b, FALSE);
    }
    dp_progress_end(b->app);
    return end;
}

static char **arguments_of(batch *b, int argc, char **argv, char **stdin_only)
{
    if (argc > 1)
        return argv + 1;
    if (b->config != NULL && b->config->batch.from != NULL)
        return b->config->batch.from;
    return b->is_nul ? stdin_only : NULL;
}

/* Documents whose routing was broken off: an action may have moved their file already, so
 * no look into folders finds them again. */
static void push_published(batch *b)
{
    dp_filter filter = { .lane = b->lane, .states = 1u << DP_STATE_PUBLISHED };
    guint count = b->routes != NULL ? 1 : 0;
    while (count > 0) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) docs = dp_queue_list(b->queue, &filter, &error);
        count = docs != NULL ? docs->len : 0;
        for (guint i = 0; i < count; i++) {
            const dp_doc *doc = g_ptr_array_index(docs, i);
            filter.after_id = doc->id;
            dp_row *row = dp_tale_add(b->tale, doc->origin, doc->target);
            row->id = doc->id;
            if (row->target != NULL)
                g_hash_table_insert(b->targets, row->target, row);
            if (!settle_waiting(b, row, doc, &error))
                dp_row_fail(row, DP_FATE_LEFT, dp_error_name(error), error->message);
        }
    }
}

static dp_runner_end work(batch *b, char **arguments)
{
    push_published(b);
    dp_scan_hooks hooks = { b, on_found, on_skipped };
    dp_scan(&b->scan, arguments, &hooks);
    dp_runner_close(b->runner);
    dp_runner_end end = wait_for_runner(b);
    g_mutex_lock(&b->lock_rows); /* the workers have ended; for the checkers' sake */
    g_mutex_unlock(&b->lock_rows);
    settle_twins(b);
    return end;
}

/* ---- afterwards ----------------------------------------------------------------------------------- */

static gboolean write_report(batch *b)
{
    if (b->report == NULL)
        return TRUE;
    json_t *tale = dp_tale_json(b->tale);
    char *dump = json_dumps(tale, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    json_decref(tale);
    g_autofree char *text = g_strconcat(dump, "\n", NULL);
    free(dump);
    g_autoptr(GError) error = NULL;
    if (dp_publish(b->report, text, strlen(text), &error))
        return TRUE;
    dp_message(b->app, "error", "report: %s", error->message);
    return FALSE;
}

static gboolean collect(batch *b)
{
    if (strcmp(b->format, "json") == 0)
        return TRUE;
    g_autofree char *name = g_strconcat("results.", b->format, NULL);
    g_autofree char *path = g_build_filename(b->out_real, name, NULL);
    g_autoptr(GError) error = NULL;
    if (dp_tale_collect(b->tale, path, b->format, &error))
        return TRUE;
    dp_message(b->app, "error", "%s", error->message);
    return FALSE;
}

/* The exit code of a single failed document says why. */
static dp_exit exit_of_code(const char *code)
{
    static const struct {
        const char *code;
        dp_exit exit;
    } table[] = {
        { "encrypted", DP_EXIT_ENCRYPTED }, { "unreadable", DP_EXIT_UNREADABLE },
        { "limit", DP_EXIT_UNREADABLE },    { "crashed", DP_EXIT_UNREADABLE },
        { "missing", DP_EXIT_UNREADABLE },  { "gone", DP_EXIT_UNREADABLE },
        { "denied", DP_EXIT_UNREADABLE },   { "io", DP_EXIT_UNREADABLE }
    };
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        if (g_strcmp0(table[i].code, code) == 0)
            return table[i].exit;
    return DP_EXIT_SOME_FAILED;
}

static dp_exit exit_of(batch *b, dp_runner_end end, gboolean is_written)
{
    const guint64 *n = b->tale->fates;
    guint64 failed = n[DP_FATE_FAILED] + n[DP_FATE_WAITS];
    if (!is_written || end == DP_RUNNER_TIME || end == DP_RUNNER_STALLED ||
        (failed == 0 &&
         (b->is_temporary || (n[DP_FATE_LEFT] > 0 && end != DP_RUNNER_STOPPED))))
        return DP_EXIT_TEMPORARY;
    if (end == DP_RUNNER_FAILURES)
        return DP_EXIT_SOME_FAILED;
    dp_tally tally = { .ok = (guint)(n[DP_FATE_OK] + n[DP_FATE_DONE] + n[DP_FATE_TWIN]),
                       .review = (guint)n[DP_FATE_REVIEW],
                       .failed = (guint)failed };
    for (guint i = 0; i < b->tale->rows->len; i++) {
        const dp_row *row = g_ptr_array_index(b->tale->rows, i);
        if (row->fate == DP_FATE_FAILED || row->fate == DP_FATE_WAITS)
            tally.only = exit_of_code(row->code);
    }
    return dp_tally_exit(&tally, b->app);
}

static void show_summary(batch *b, dp_exit code)
{
    gboolean is_auto = strcmp(b->summary, "auto") == 0;
    gboolean is_shown = strcmp(b->summary, "always") == 0 ||
                        (is_auto && (code != DP_EXIT_OK || isatty(STDERR_FILENO) != 0));
    if (!is_shown || b->app->is_quiet)
        return;
    g_autofree char *text = dp_tale_summary(b->tale);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        if (**line != '\0')
            dp_message(b->app, "info", "%s", *line);
}

static dp_exit finish(batch *b, dp_runner_end end)
{
    static const char *const ends[] = { "drained", "stopped", "time", "failures",
                                        "stalled" };
    gboolean is_written = collect(b);
    b->tale->ended =
        b->is_stopped_early && end == DP_RUNNER_DRAINED ? "stopped" : ends[end];
    dp_tale_close(b->tale);
    is_written = write_report(b) && is_written;
    write_metrics(b, TRUE);
    dp_exit code = exit_of(b, end, is_written);
    if (end == DP_RUNNER_TIME)
        dp_message(b->app, "warning",
                   "stopped after %u s (--max-time); the same line goes on",
                   b->seconds_max);
    else if (end == DP_RUNNER_FAILURES)
        dp_message(b->app, "warning", "stopped: too many documents failed");
    else if (end == DP_RUNNER_STALLED)
        dp_message(
            b->app, "error",
            "stopped: temporary errors one after the other; the same line goes on");
    show_summary(b, code);
    return code;
}

static gboolean open_model(batch *b, GError **error)
{
    guint jobs = b->jobs > 0 ? (guint)b->jobs : dp_workers_default();
    dp_app app = *b->app;
    if (app.threads ==
        0) /* a document for each processor beats a processor for each matrix */
        app.threads = (int)MAX(1, (dp_workers_default() + jobs - 1) / jobs);
    b->engine = dp_open_engine(&app, &b->model);
    return b->engine != NULL;
}

static gboolean open_recipe(batch *b)
{
    const dp_settings *d = b->config != NULL ? &b->config->defaults : NULL;
    dp_recipe_opts opts = {
        .schema = b->schema,
        .text = b->app->text != NULL ? b->app->text
                : d != NULL          ? d->text
                                     : NULL,
        .labels = b->label_list != NULL ? (const char *const *)b->label_list
                  : d != NULL           ? (const char *const *)d->labels
                                        : NULL,
        .passwords = (const char *const *)b->app->passwords,
        .limits = b->app->limits,
        .review_below = d != NULL ? d->review_below : 0,
        .pages_max = d != NULL ? d->pages_max : 0,
        .is_classified = d != NULL && d->is_classified,
        .is_plain = b->is_plain,
    };
    g_autoptr(GError) error = NULL;
    b->recipe = dp_recipe_new(b->engine, vl_model_get_info(b->model), &opts, &error);
    if (b->recipe == NULL)
        dp_message(b->app, "error", "%s", error->message);
    return b->recipe != NULL;
}

static gboolean open_journal(batch *b, GError **error)
{
    if (b->is_dry) {
        b->queue = dp_queue_open(b->journal, DP_QUEUE_EXISTING, error);
        if (b->queue == NULL &&
            g_error_matches(*error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND))
            g_clear_error(error);
        return *error == NULL;
    }
    g_autofree char *dir = g_path_get_dirname(b->journal);
    if (g_mkdir_with_parents(dir, 0777) != 0)
        return dp_fail_errno(error, "creating", dir);
    b->queue = dp_queue_open(b->journal, DP_QUEUE_CREATE, error);
    return b->queue != NULL;
}

static gboolean start(batch *b, GError **error)
{
    dp_job_hooks hooks = { .user = b,
                           .recipe = hook_recipe,
                           .on_published = b->routes != NULL ? hook_published : NULL,
                           .on_failed = hook_failed,
                           .on_done = hook_done,
                           .on_twin = hook_twin };
    dp_runner_opts opts = { .mode = DP_RUNNER_PUSHED,
                            .lane = b->lane,
                            .workers = (guint)b->jobs,
                            .memory_max = b->memory_max,
                            .failures_max =
                                b->is_fail_fast ? 1 : (guint64)b->failures_max,
                            .seconds_max = b->seconds_max,
                            .hooks = &hooks };
    b->runner = dp_runner_new(b->queue, b->engine, vl_model_get_info(b->model), &opts);
    return dp_runner_start(b->runner, error);
}

static int run(batch *b, char **arguments)
{
    g_autoptr(GError) error = NULL;
    if (!dp_check_schema(b->app, b->schema))
        return DP_EXIT_CONFIG;
    if (!open_model(b, &error))
        return DP_EXIT_MODEL;
    if (!open_recipe(b))
        return DP_EXIT_CONFIG;
    b->tale = dp_tale_new();
    if (!open_journal(b, &error) || (!b->is_dry && !start(b, &error))) {
        dp_message(b->app, "error", "%s", error->message);
        return (int)dp_exit_of(error);
    }
    if (!b->is_dry)
        return (int)finish(b, work(b, arguments));
    dp_scan_hooks hooks = { b, on_found, on_skipped };
    dp_scan(&b->scan, arguments, &hooks);
    dp_tale_close(b->tale);
    return b->tale->fates[DP_FATE_FAILED] > 0 ? DP_EXIT_UNREADABLE : DP_EXIT_OK;
}

/* ---- the command line -------------------------------------------------------------------------------- */

static gboolean usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean usage(GError **error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "%s", text);
    return FALSE;
}

static gboolean read_shard(batch *b, GError **error)
{
    if (b->shard == NULL)
        return TRUE;
    guint i = 0, n = 0;
    char rest = 0;
    if (sscanf(b->shard, "%5u/%5u%c", &i, &n, &rest) != 2 || i < 1 || i > n || n > 10000)
        return usage(error, "--shard %s: i/n with 1 <= i <= n <= 10000", b->shard);
    b->scan.shard = i;
    b->scan.shards = n;
    return TRUE;
}

/* "2d" before now, or a date, or a date and time, local or with a zone. */
static gboolean read_since(batch *b, GError **error)
{
    gint64 us;
    if (b->since == NULL)
        return TRUE;
    if (dp_duration_parse(b->since, &us)) {
        b->scan.since_ns = (g_get_real_time() - us) * 1000;
        return TRUE;
    }
    g_autoptr(GTimeZone) zone = g_time_zone_new_local();
    g_autofree char *text = strchr(b->since, 'T') == NULL && strchr(b->since, ' ') == NULL
                                ? g_strconcat(b->since, "T00:00:00", NULL)
                                : g_strdup(b->since);
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, zone);
    if (time == NULL)
        return usage(error,
                     "--since %s: a time such as 2d or 2024-05-31 or 2024-05-31T18:00:00",
                     b->since);
    b->scan.since_ns = g_date_time_to_unix(time) * G_GINT64_CONSTANT(1000000000);
    return TRUE;
}

static gboolean is_word(const char *option, const char *word, const char *const *words,
                        GError **error)
{
    if (g_strv_contains(words, word))
        return TRUE;
    g_autofree char *all = g_strjoinv(", ", (char **)words);
    return usage(error, "%s %s: one of %s", option, word, all);
}

static gboolean read_labels(batch *b, GError **error)
{
    if (b->labels == NULL)
        return TRUE;
    b->label_list = g_strsplit(b->labels, ",", -1);
    for (char **label = b->label_list; *label != NULL; label++)
        if (*g_strstrip(*label) == '\0')
            return usage(error, "--labels %s: an empty name", b->labels);
    if (g_strv_length(b->label_list) < 2)
        return usage(error, "--labels %s: at least two names", b->labels);
    return TRUE;
}

static char *path_or(const char *mine, const char *theirs)
{
    return mine != NULL ? g_canonicalize_filename(mine, NULL) : g_strdup(theirs);
}

static void ignore_mistake(void *user, const char *pointer, gboolean at_key,
                           const char *text)
{
}

/* What the command line leaves open, the configuration says. */
static gboolean take_config(batch *b, GError **error)
{
    if (b->config_file == NULL)
        return TRUE;
    b->config = dp_config_load(b->config_file, error);
    if (b->config == NULL)
        return FALSE;
    const dp_config *c = b->config;
    if (c->routes != NULL) { /* loading has reported every mistake in them */
        g_autofree char *whole = g_canonicalize_filename(b->config_file, NULL);
        g_autofree char *base = g_path_get_dirname(whole);
        b->routes = dp_routes_new(c->routes, base, ignore_mistake, NULL);
        if (b->routes == NULL)
            return usage(error, "%s: its routes are wrong", b->config_file);
    }
    if (b->out_dir == NULL && !b->is_beside)
        b->out_dir = g_strdup(c->batch.out);
    if (b->schema == NULL && !b->is_auto && g_strcmp0(c->defaults.schema, "auto") != 0)
        b->schema = g_strdup(c->defaults.schema);
    if (b->include == NULL)
        b->include = g_strdupv(c->batch.include);
    if (b->exclude == NULL)
        b->exclude = g_strdupv(c->batch.exclude);
    b->is_recursive |= c->batch.is_recursive;
    if (b->jobs == 0)
        b->jobs = (int)c->workers;
    if (b->app->threads == 0)
        b->app->threads = (int)c->threads;
    if (b->memory == NULL)
        b->memory_max = c->memory_bytes;
    if (b->max_time == NULL)
        b->seconds_max = (guint)(c->batch.max_time_us / G_USEC_PER_SEC);
    if (b->app->model_dir == NULL)
        b->app->model_dir = g_strdup(c->model);
    if (b->app->passwords == NULL && c->passwords_file != NULL) {
        b->app->passwords = dp_passwords_read(c->passwords_file, error);
        return b->app->passwords != NULL;
    }
    return TRUE;
}

static gboolean read_paths(batch *b, GError **error)
{
    const dp_config *c = b->config;
    char *report = path_or(b->report, c != NULL ? c->batch.report : NULL);
    char *lock = path_or(b->lock, c != NULL ? c->batch.lock : NULL);
    char *metrics = path_or(b->metrics, c != NULL ? c->metrics_file : NULL);
    b->report = report;
    b->lock = lock;
    b->metrics = metrics;
    if (b->is_beside == (b->out_dir != NULL))
        return usage(error, "%s",
                     b->is_beside ? "-o and --beside exclude each other"
                                  : "where to? -o DIR, or --beside");
    if (b->is_beside && strcmp(b->format, "json") != 0)
        return usage(error, "--format %s needs -o DIR", b->format);
    if (b->out_dir != NULL) {
        g_autofree char *whole = g_canonicalize_filename(b->out_dir, NULL);
        if (!b->is_dry && g_mkdir_with_parents(whole, 0777) != 0)
            return dp_fail_errno(error, "creating", whole);
        char *real = realpath(whole, NULL);
        b->out_real = real != NULL ? g_strdup(real) : g_strdup(whole);
        free(real);
        b->scan.skip_dir = b->out_real;
    }
    g_autofree char *part =
        b->scan.shards > 1
            ? g_strdup_printf("journal-%u-of-%u.db", b->scan.shard, b->scan.shards)
            : g_strdup("journal.db");
    g_autofree char *inside =
        b->out_real != NULL ? g_build_filename(b->out_real, ".docvl", part, NULL) : NULL;
    g_autofree char *usual = dp_journal_default();
    b->journal = b->journal != NULL ? g_canonicalize_filename(b->journal, NULL)
                 : c != NULL && c->journal != NULL   ? g_strdup(c->journal)
                 : g_getenv("DOCVL_JOURNAL") != NULL ? g_strdup(usual)
                 : inside != NULL                    ? g_strdup(inside)
                                                     : g_strdup(usual);
    /* Documents of two configurations in one journal are not each other's twins. */
    b->lane = c != NULL ? g_strconcat("batch:", b->out_real, NULL) : g_strdup("batch");
    return TRUE;
}

static gboolean read_options(batch *b, GError **error)
{
    static const char *const formats[] = { "json", "jsonl", "csv", NULL };
    static const char *const summaries[] = { "auto", "always", "never", NULL };
    if (b->format == NULL)
        b->format = g_strdup("json");
    if (b->summary == NULL)
        b->summary = g_strdup("auto");
    if (b->is_auto && b->schema != NULL)
        return usage(error, "--auto and --schema exclude each other");
    if (b->jobs < 0 || b->jobs > DP_RUNNER_WORKERS_MAX)
        return usage(error, "--jobs %d: 0 to %d", b->jobs, DP_RUNNER_WORKERS_MAX);
    if (b->limit < 0)
        return usage(error, "--limit %d: not below 0", b->limit);
    if (b->failures_max < 0)
        return usage(error, "--max-failures %d: not below 0", b->failures_max);
    if (!is_word("--format", b->format, formats, error) ||
        !is_word("--summary", b->summary, summaries, error) || !read_shard(b, error) ||
        !read_since(b, error) || !read_labels(b, error) || !take_config(b, error))
        return FALSE;
    if ((b->memory != NULL &&
         !dp_option_bytes("--memory", b->memory, &b->memory_max, error)) ||
        (b->max_time != NULL &&
         !dp_option_seconds("--max-time", b->max_time, &b->seconds_max, error)) ||
        (b->wait_lock != NULL &&
         !dp_option_seconds("--wait-lock", b->wait_lock, &b->wait_s, error)))
        return FALSE;
    b->scan.include = (const char *const *)b->include;
    b->scan.exclude = (const char *const *)b->exclude;
    b->scan.is_recursive = b->is_recursive;
    b->scan.is_nul = b->is_nul;
    return read_paths(b, error);
}

/* "-j4" as everybody writes it; GLib wants a blank. */
static void spell_out_jobs(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (argv[i][0] == '-' && argv[i][1] == 'j' && g_ascii_isdigit(argv[i][2]))
            argv[i] = g_strconcat("--jobs=", argv[i] + 2, NULL);
}

static gboolean parse(batch *b, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &b->out_dir, "", "DIR" },
        { "beside", 0, 0, G_OPTION_ARG_NONE, &b->is_beside, "", NULL },
        { "schema", 's', 0, G_OPTION_ARG_FILENAME, &b->schema, "", "NAME" },
        { "auto", 0, 0, G_OPTION_ARG_NONE, &b->is_auto, "", NULL },
        { "labels", 'l', 0, G_OPTION_ARG_STRING, &b->labels, "", "A,B" },
        { "format", 'f', 0, G_OPTION_ARG_STRING, &b->format, "", "FORMAT" },
        { "plain", 0, 0, G_OPTION_ARG_NONE, &b->is_plain, "", NULL },
        { "recursive", 'r', 0, G_OPTION_ARG_NONE, &b->is_recursive, "", NULL },
        { "include", 0, 0, G_OPTION_ARG_STRING_ARRAY, &b->include, "", "GLOB" },
        { "exclude", 0, 0, G_OPTION_ARG_STRING_ARRAY, &b->exclude, "", "GLOB" },
        { "from0", '0', 0, G_OPTION_ARG_NONE, &b->is_nul, "", NULL },
        { "since", 0, 0, G_OPTION_ARG_STRING, &b->since, "", "TIME" },
        { "shard", 0, 0, G_OPTION_ARG_STRING, &b->shard, "", "I/N" },
        { "limit", 0, 0, G_OPTION_ARG_INT, &b->limit, "", "N" },
        { "jobs", 'j', 0, G_OPTION_ARG_INT, &b->jobs, "", "N" },
        { "memory", 0, 0, G_OPTION_ARG_STRING, &b->memory, "", "SIZE" },
        { "max-time", 0, 0, G_OPTION_ARG_STRING, &b->max_time, "", "TIME" },
        { "fail-fast", 0, 0, G_OPTION_ARG_NONE, &b->is_fail_fast, "", NULL },
        { "max-failures", 0, 0, G_OPTION_ARG_INT, &b->failures_max, "", "N" },
        { "force", 0, 0, G_OPTION_ARG_NONE, &b->is_forced, "", NULL },
        { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &b->is_dry, "", NULL },
        { "report", 0, 0, G_OPTION_ARG_FILENAME, &b->report, "", "FILE" },
        { "summary", 0, 0, G_OPTION_ARG_STRING, &b->summary, "", "WHEN" },
        { "metrics-file", 0, 0, G_OPTION_ARG_FILENAME, &b->metrics, "", "FILE" },
        { "journal", 0, 0, G_OPTION_ARG_FILENAME, &b->journal, "", "FILE" },
        { "lock", 0, 0, G_OPTION_ARG_FILENAME, &b->lock, "", "FILE" },
        { "wait-lock", 0, 0, G_OPTION_ARG_STRING, &b->wait_lock, "", "TIME" },
        { "config", 0, 0, G_OPTION_ARG_FILENAME, &b->config_file, "", "FILE" },
        { NULL },
    };
    if (!dp_options_from_env("DOCVL_BATCH", entries, error))
        return FALSE;
    spell_out_jobs(*argc, *argv);
    g_autoptr(GOptionContext) context = g_option_context_new("[FILE|DIR|-]…");
    g_option_context_add_main_entries(context, entries, NULL);
    gboolean was_auto = b->is_auto, was_beside = b->is_beside;
    const char *old_schema = b->schema, *old_out = b->out_dir;
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    dp_options_exclude(&b->is_auto, was_auto, &b->schema, old_schema);
    dp_options_exclude(&b->is_beside, was_beside, &b->out_dir, old_out);
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) { /* GLib leaves it before a dash */
        memmove(*argv + 1, *argv + 2, (size_t)(*argc - 1) * sizeof **argv);
        (*argc)--;
    }
    return read_options(b, error);
}

static void clear(batch *b)
{
    dp_runner_free(b->runner);
    dp_queue_free(b->queue);
    dp_recipe_unref(b->recipe);
    dx_engine_free(b->engine);
    vl_model_unref(b->model);
    dp_tale_free(b->tale);
    dp_routes_free(b->routes);
    dp_config_free(b->config);
    g_hash_table_unref(b->targets);
    g_hash_table_unref(b->by_id);
    g_ptr_array_unref(b->twins);
    g_mutex_clear(&b->lock_rows);
}

int dp_cmd_batch(dp_app *app, int argc, char **argv)
{
    batch b = { .app = app };
    g_autoptr(GError) error = NULL;
    if (!parse(&b, &argc, &argv, &error)) {
        dp_options_name_variable("DOCVL_BATCH", &error);
        dp_message(app, "error", "%s", error->message);
        return error->domain == DP_CONFIG_ERROR ? DP_EXIT_CONFIG : DP_EXIT_USAGE;
    }
    static char *only_list[] = { "-", NULL };
    char **arguments = arguments_of(&b, argc, argv, only_list);
    if (arguments == NULL) {
        dp_message(app, "error", "no FILE or DIR given (\"-\" is a list on stdin)");
        return DP_EXIT_USAGE;
    }
    g_autoptr(dp_lock) lock = NULL;
    if (b.lock != NULL && !b.is_dry) {
        lock = dp_lock_take(b.lock, b.wait_s, app->cancellable, &error);
        if (lock == NULL) {
            dp_message(app, "error", "%s", error->message);
            return (int)dp_exit_of(error);
        }
    }
    b.targets = g_hash_table_new(g_str_hash, g_str_equal);
    b.by_id = g_hash_table_new(g_int64_hash, g_int64_equal);
    b.twins = g_ptr_array_new();
    g_mutex_init(&b.lock_rows);
    int code = run(&b, arguments);
    clear(&b);
    return code;
}

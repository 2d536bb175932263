/*
 * cmd_batch.c - docvl batch: everything in files, folders and lists, once, whatever happens
 * in between.
 *
 * The main thread looks for inputs, adds them to the journal and hands them to the runner,
 * which works meanwhile.  Running the same line again is the way to resume: what is done is
 * recognised by content and recipe, the rest goes on.
 */
#include "batch_parts.h"

#include "options.h"
#include "routing.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what became of a document (worker threads) --------------------------------------- */

static dp_recipe *hook_recipe(void *user, const dp_doc *doc)
{
    dp_batch *b = user;
    return dp_recipe_ref(b->recipe);
}

static void hook_done(void *user, const dp_doc *doc, const json_t *result)
{
    dp_batch *b = user;
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
void dp_batch_publish_failure(dp_batch *b, const char *origin, const char *target,
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
    dp_batch *b = user;
    gboolean is_temporary =
        doc->state != DP_STATE_FAILED && doc->state != DP_STATE_QUARANTINED;
    /* What an action of routing could not do leaves a good result alone. */
    if (!is_temporary && *doc->status == '\0')
        dp_batch_publish_failure(b, doc->origin, doc->target, doc->code, doc->reason);
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
}

static gboolean hook_given_up(void *user, const dp_doc *doc, dp_routing *routing,
                              GError **error)
{
    dp_batch *b = user;
    dp_router router = { b->queue, b->routes, b->app->cancellable };
    return dp_route_given_up(b->app, &router, doc, routing, error);
}

/* Routing: what waits for its next try is told now, mail from cron means trouble. */
static gboolean hook_published(void *user, const dp_doc *doc, const json_t *result,
                               dp_routing *routing, dp_lasting *lasting, GError **error)
{
    dp_batch *b = user;
    dp_router router = { b->queue, b->routes, b->app->cancellable };
    gboolean is_ok = dp_route_document(&router, doc, result, routing, lasting, error);
    g_autoptr(dp_doc) now = dp_queue_get(b->queue, doc->id, NULL);
    if ((is_ok && *routing != DP_ROUTING_LATER) || now == NULL)
        return is_ok;
    const char *reason = is_ok ? now->reason : (*error)->message;
    dp_message(b->app, "error", "%s: routing waits: %s", doc->origin, reason);
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
    dp_batch *b = user;
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

/* ---- the run ------------------------------------------------------------------------------------ */

static void write_metrics(dp_batch *b, gboolean is_last)
{
    gint64 now = g_get_monotonic_time();
    if (b->metrics == NULL || (!is_last && now - b->metrics_at < 5 * G_USEC_PER_SEC))
        return;
    b->metrics_at = now;
    g_autoptr(GError) error = NULL;
    if (!dp_metrics_write(b->metrics, b->queue, NULL, b->runner, &error))
        dp_message(b->app, "warning", "metrics: %s", error->message);
}

static void show_progress(dp_batch *b)
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

static dp_runner_end wait_for_runner(dp_batch *b)
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

static char **arguments_of(dp_batch *b, int argc, char **argv, char **stdin_only)
{
    if (argc > 1)
        return argv + 1;
    if (b->config != NULL && b->config->batch.from != NULL)
        return b->config->batch.from;
    return b->is_nul ? stdin_only : NULL;
}

static dp_runner_end work(dp_batch *b, char **arguments)
{
    dp_batch_push_published(b);
    dp_scan_hooks hooks = { b, dp_batch_found, dp_batch_skipped, dp_batch_is_over };
    dp_scan(&b->scan, arguments, &hooks);
    dp_batch_push_begun(b);
    dp_runner_close(b->runner);
    dp_runner_end end = wait_for_runner(b);
    g_mutex_lock(&b->lock_rows); /* the workers have ended; for the checkers' sake */
    g_mutex_unlock(&b->lock_rows);
    dp_batch_settle_twins(b);
    return end;
}

/* ---- afterwards ----------------------------------------------------------------------------------- */

static gboolean write_report(dp_batch *b)
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

static gboolean collect(dp_batch *b)
{
    if (strcmp(b->format, "json") == 0)
        return TRUE;
    /* Shards that share a folder do not replace each other's. */
    g_autofree char *name = b->scan.shards > 1
                                ? g_strdup_printf("results-%u-of-%u.%s", b->scan.shard,
                                                  b->scan.shards, b->format)
                                : g_strconcat("results.", b->format, NULL);
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

/* Somebody stopped it: that a signal did is the caller's to say, but never that all is done. */
static gboolean is_stopped(const dp_batch *b, dp_runner_end end)
{
    return end == DP_RUNNER_STOPPED || (b->is_stopped_early && end == DP_RUNNER_DRAINED);
}

static dp_exit exit_of(dp_batch *b, dp_runner_end end, gboolean is_written)
{
    const guint64 *n = b->tale->fates;
    guint64 failed = n[DP_FATE_FAILED] + n[DP_FATE_WAITS];
    if (!is_written || is_stopped(b, end) || end == DP_RUNNER_TIME ||
        end == DP_RUNNER_STALLED ||
        (failed == 0 && (b->is_temporary || n[DP_FATE_LEFT] > 0)))
        return DP_EXIT_TEMPORARY;
    if (end == DP_RUNNER_FAILURES)
        return DP_EXIT_SOME_FAILED;
    dp_tally tally = { .ok = (guint)(n[DP_FATE_OK] + n[DP_FATE_DONE] + n[DP_FATE_TWIN]),
                       .review = (guint)n[DP_FATE_REVIEW] };
    for (guint i = 0; i < b->tale->rows->len; i++) {
        const dp_row *row = g_ptr_array_index(b->tale->rows, i);
        if (row->fate == DP_FATE_FAILED || row->fate == DP_FATE_WAITS)
            dp_tally_fail(&tally, exit_of_code(row->code));
    }
    return dp_tally_exit(&tally, b->app);
}

static void show_summary(dp_batch *b, dp_exit code)
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

/* "All is done" must be true after a power cut, too; also of what an earlier run has done. */
static gboolean sync_journal(dp_batch *b)
{
    g_autoptr(GError) error = NULL;
    if (dp_queue_sync(b->queue, TRUE, &error))
        return TRUE;
    dp_message(b->app, "error", "%s", error->message);
    return FALSE;
}

static dp_exit finish(dp_batch *b, dp_runner_end end)
{
    static const char *const ends[] = { "drained", "stopped", "time", "failures",
                                        "stalled" };
    gboolean is_synced = sync_journal(b);
    gboolean is_written = collect(b) && is_synced;
    b->tale->ended = is_stopped(b, end) ? "stopped" : ends[end];
    dp_tale_close(b->tale);
    is_written = write_report(b) && is_written;
    write_metrics(b, TRUE);
    dp_exit code = exit_of(b, end, is_written);
    /* Errors, since --quiet leaves nothing else: not all is done. */
    if (end == DP_RUNNER_TIME)
        dp_message(b->app, "error",
                   "stopped after %u s (--max-time); the same line goes on",
                   b->seconds_max);
    else if (end == DP_RUNNER_FAILURES)
        dp_message(b->app, "error", "stopped: too many documents failed");
    else if (end == DP_RUNNER_STALLED)
        dp_message(
            b->app, "error",
            "stopped: temporary errors one after the other; the same line goes on");
    else if (!is_stopped(b, end) && b->tale->fates[DP_FATE_LEFT] > 0)
        dp_message(b->app, "error",
                   "%" G_GUINT64_FORMAT
                   " left: a temporary error, or in work elsewhere; the "
                   "same line goes on",
                   b->tale->fates[DP_FATE_LEFT]);
    show_summary(b, code);
    return code;
}

static gboolean open_model(dp_batch *b, dp_exit *why)
{
    guint jobs = b->jobs > 0 ? (guint)b->jobs : dp_workers_default();
    dp_app app = *b->app;
    if (app.threads ==
        0) /* a document for each processor beats a processor for each matrix */
        app.threads = (int)MAX(1, (dp_workers_default() + jobs - 1) / jobs);
    b->engine = dp_open_engine(&app, &b->model, why);
    return b->engine != NULL;
}

static gboolean open_recipe(dp_batch *b, dp_exit *why)
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
    if (b->recipe != NULL)
        return TRUE;
    dp_message(b->app, "error", "%s", error->message);
    *why = dp_error_is_temporary(error) ? DP_EXIT_TEMPORARY : DP_EXIT_CONFIG;
    return FALSE;
}

static gboolean open_journal(dp_batch *b, GError **error)
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

static gboolean start(dp_batch *b, GError **error)
{
    dp_job_hooks hooks = { .user = b,
                           .recipe = hook_recipe,
                           .on_published = b->routes != NULL ? hook_published : NULL,
                           .on_failed = hook_failed,
                           .on_given_up = b->routes != NULL ? hook_given_up : NULL,
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

static int run(dp_batch *b, char **arguments)
{
    g_autoptr(GError) error = NULL;
    dp_exit why = dp_check_schema(b->app, b->schema);
    if (why != DP_EXIT_OK)
        return (int)why;
    if (!open_model(b, &why) || !open_recipe(b, &why))
        return (int)why;
    b->tale = dp_tale_new();
    if (!open_journal(b, &error) || (!b->is_dry && !start(b, &error))) {
        dp_message(b->app, "error", "%s", error->message);
        return (int)dp_exit_of(error);
    }
    if (!b->is_dry)
        return (int)finish(b, work(b, arguments));
    dp_scan_hooks hooks = { b, dp_batch_found, dp_batch_skipped, dp_batch_is_over };
    dp_scan(&b->scan, arguments, &hooks);
    dp_tale_close(b->tale);
    return b->tale->fates[DP_FATE_FAILED] > 0 ? DP_EXIT_UNREADABLE : DP_EXIT_OK;
}

/* ---- the command ------------------------------------------------------------------------- */

static void clear(dp_batch *b)
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
    g_ptr_array_unref(b->begun);
    g_mutex_clear(&b->lock_rows);
}

int dp_cmd_batch(dp_app *app, int argc, char **argv)
{
    dp_batch b = { .app = app };
    g_autoptr(GError) error = NULL;
    if (!dp_batch_parse(&b, &argc, &argv, &error)) {
        dp_options_name_variable("DOCVL_BATCH", &error);
        dp_message_lines(app, "error", error->message);
        return dp_error_is_temporary(error)       ? DP_EXIT_TEMPORARY
               : error->domain == DP_CONFIG_ERROR ? DP_EXIT_CONFIG
                                                  : DP_EXIT_USAGE;
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
    b.begun = g_ptr_array_new();
    g_mutex_init(&b.lock_rows);
    int code = run(&b, arguments);
    clear(&b);
    return code;
}

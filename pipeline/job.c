/*
 * job.c - a claimed document through its states, and on to routing.
 *
 * The order is the safety: first the result is durable under its name, then the journal says
 * so, then (and only then) somebody may touch the input.
 */
#include "job.h"

#include "names.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_MAX = 100 }; /* that others may take before the result has one */

typedef struct progress {
    const dp_job *job;
    const dp_doc *doc;
    dp_state state; /* as the journal has it */
    gboolean is_lost;
} progress;

/* ---- steps on the way ------------------------------------------------------------------ */

/* The journal's note of a step.  What goes wrong is not fatal here: the steps promise nothing,
 * and the publication asks again whether the document is still ours. */
static void step_to(progress *p, dp_state to)
{
    while (p->state < to && !p->is_lost) {
        g_autoptr(GError) error = NULL;
        dp_state next = p->state + 1;
        if (!dp_queue_advance(p->job->queue, p->doc->id, next, &error)) {
            p->is_lost = g_error_matches(error, DP_QUEUE_ERROR, DP_QUEUE_LOST) ||
                         g_error_matches(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND);
            return;
        }
        p->state = next;
    }
}

static void on_progress(void *user, const char *stage, uint32_t page, uint32_t pages)
{
    progress *p = user;
    if (strcmp(stage, "extracting") == 0 && page == pages)
        step_to(p, DP_STATE_RENDERED);
    else if (strcmp(stage, "checking") == 0)
        step_to(p, DP_STATE_EXTRACTED);
    if (p->job->hooks->on_progress != NULL)
        p->job->hooks->on_progress(p->job->hooks->user, p->doc, stage, page, pages);
    if (p->job->how.progress != NULL)
        p->job->how.progress(p->job->how.user, stage, page, pages);
}

static void on_wait_begin(void *user)
{
    const progress *p = user;
    if (p->job->how.wait_begin != NULL)
        p->job->how.wait_begin(p->job->how.user);
}

static void on_wait_end(void *user)
{
    const progress *p = user;
    if (p->job->how.wait_end != NULL)
        p->job->how.wait_end(p->job->how.user);
}

/* ---- ends ------------------------------------------------------------------------------- */

static gboolean is_lost(const GError *error)
{
    return error->domain == DP_QUEUE_ERROR &&
           (error->code == DP_QUEUE_LOST || error->code == DP_QUEUE_NOTFOUND);
}

static void note(dp_job_report *report, dp_job_end how, const GError *error)
{
    report->end = how;
    if (error == NULL)
        return;
    g_strlcpy(report->code, dp_error_name(error), sizeof report->code);
    g_autofree char *text = g_utf8_make_valid(error->message, -1);
    g_utf8_strncpy(report->reason, text, 60); /* 60 characters have at most 240 bytes */
    if (strlen(text) < sizeof report->reason)
        g_strlcpy(report->reason, text, sizeof report->reason);
}

/* The journal itself could not be written: the lease ends by itself, or the runner gives the
 * document back when it can. */
static void end_ungripped(dp_job_report *report, const GError *error)
{
    note(report, is_lost(error) ? DP_JOB_LOST : DP_JOB_STALLED, error);
    report->is_grip_lost = !is_lost(error);
}

static void end_cancelled(const dp_job *job, const dp_doc *doc, dp_job_report *report)
{
    g_autoptr(GError) error = NULL;
    if (dp_queue_unclaim(job->queue, doc->id, &error))
        note(report, DP_JOB_CANCELLED, NULL);
    else
        end_ungripped(report, error);
}

/* `failed` of the routes, for a document that was given up and is ours.  Whatever goes wrong
 * here, the journal brings it back. */
static void give_up(const dp_job *job, gint64 id, dp_job_report *report)
{
    g_autoptr(GError) error = NULL, why = NULL;
    dp_routing routing = DP_ROUTING_DONE;
    g_autoptr(dp_doc) doc = dp_queue_get(job->queue, id, &error);
    gboolean is_ok = doc != NULL;
    if (is_ok && job->hooks->on_given_up != NULL &&
        !job->hooks->on_given_up(job->hooks->user, doc, &routing, &why)) {
        dp_failure failure = { .code = dp_error_name(why),
                               .reason = why->message,
                               .is_temporary = dp_error_is_temporary(why) };
        is_ok = dp_queue_fail(job->queue, id, &failure, NULL, &error);
    } else if (is_ok && routing == DP_ROUTING_LATER) {
        is_ok = dp_queue_unclaim(job->queue, id, &error);
    } else if (is_ok && routing == DP_ROUTING_DONE) {
        is_ok = dp_queue_given_up(job->queue, id, &error);
    }
    report->is_grip_lost = !is_ok && !is_lost(error);
}

/* Nothing lies where the row said when it was claimed: the file was moved since, or a crash
 * came between the journal and the move.  Where it lies, or NULL. */
static char *find_moved(const dp_job *job, const dp_doc *doc)
{
    g_autoptr(dp_doc) now = dp_queue_get(job->queue, doc->id, NULL);
    if (now != NULL && !dp_path_is_gone(now->path))
        return g_strdup(now->path);
    return job->hooks->find != NULL ? job->hooks->find(job->hooks->user, doc) : NULL;
}

/* The installation is broken, or just being replaced: as with a full disk, no document is to
 * pay for it. */
static gboolean is_passing(const GError *cause)
{
    return dp_error_is_temporary(cause) ||
           g_error_matches(cause, DP_RENDER_ERROR, DP_RENDER_NOSTART);
}

static void end_failed(const dp_job *job, const dp_doc *doc, const GError *cause,
                       dp_job_report *report)
{
    dp_whereabouts where = job->hooks->whereabouts != NULL
                               ? job->hooks->whereabouts(job->hooks->user, doc)
                               : DP_WHERE_THERE;
    gboolean is_away = where == DP_WHERE_AWAY;
    /* Somebody took the input away: it will not come back by waiting. */
    gboolean is_missing =
        !is_away && doc->state == DP_STATE_CLAIMED && dp_path_is_gone(doc->path);
    g_autofree char *moved = is_missing ? find_moved(job, doc) : NULL;
    gboolean is_gone = is_missing && moved == NULL;
    dp_failure failure = {
        .code = is_away   ? DP_CODE_AWAY
                : is_gone ? "gone"
                          : dp_error_name(cause),
        .reason = cause->message,
        .is_temporary = is_away || moved != NULL || (!is_gone && is_passing(cause)),
        .is_final = is_gone && where == DP_WHERE_THERE,
    };
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_doc) after = NULL;
    if (!dp_queue_fail(job->queue, doc->id, &failure, &after, &error)) {
        end_ungripped(report, error);
        return;
    }
    /* Documents of other folders need not wait for those that are away. */
    note(report,
         is_away                ? DP_JOB_WAITS
         : failure.is_temporary ? DP_JOB_STALLED
                                : DP_JOB_FAILED,
         cause);
    g_strlcpy(report->code, failure.code, sizeof report->code);
    report->is_quarantined = after != NULL && after->state == DP_STATE_QUARANTINED;
    if (after != NULL && job->hooks->on_failed != NULL)
        job->hooks->on_failed(job->hooks->user, after);
    if (after == NULL)
        report->is_grip_lost = TRUE; /* it may be ours still: given back later */
    else if (after->is_giving_up)
        give_up(job, after->id, report);
}

/* A document that was given up before: its worker was lost, or an action waited. */
static void give_up_again(const dp_job *job, const dp_doc *doc, dp_job_report *report)
{
    note(report, DP_JOB_GIVEN_UP, NULL);
    report->is_quarantined = TRUE;
    g_strlcpy(report->code, doc->code, sizeof report->code);
    g_autoptr(GPtrArray) actions = dp_queue_actions(job->queue, doc->id, NULL);
    /* A plan is made behind the hook: with one, all that has been told. */
    if ((actions == NULL || actions->len == 0) && job->hooks->on_failed != NULL)
        job->hooks->on_failed(job->hooks->user, doc);
    give_up(job, doc->id, report);
}

/* ---- routing ------------------------------------------------------------------------------ */

/* Everything behind the publication; `doc` is published and ours. */
static void route(const dp_job *job, const dp_doc *doc, const json_t *result,
                  dp_job_report *report)
{
    dp_routing routing = DP_ROUTING_DONE;
    dp_lasting lasting = DP_LASTING_SYNCED;
    g_autoptr(GError) error = NULL;
    const dp_job_hooks *hooks = job->hooks;
    if (hooks->on_published != NULL &&
        !hooks->on_published(hooks->user, doc, result, &routing, &lasting, &error)) {
        end_failed(job, doc, error, report);
        if (report->end == DP_JOB_FAILED && !report->is_quarantined)
            report->end = DP_JOB_WAITS;
        return;
    }
    if (routing == DP_ROUTING_LATER) {
        if (dp_queue_unclaim(job->queue, doc->id, &error))
            note(report, DP_JOB_WAITS, NULL);
        else
            end_ungripped(report, error);
        return;
    }
    if (routing == DP_ROUTING_QUARANTINED) {
        g_autoptr(dp_doc) after = dp_queue_get(job->queue, doc->id, NULL);
        note(report, DP_JOB_FAILED, NULL);
        report->is_quarantined = TRUE;
        g_strlcpy(report->code, after != NULL ? after->code : "action",
                  sizeof report->code);
        if (after != NULL && hooks->on_failed != NULL)
            hooks->on_failed(hooks->user, after);
        return;
    }
    if (!dp_queue_routed(job->queue, doc->id, lasting, &error)) {
        end_ungripped(report, error);
        return;
    }
    note(report, DP_JOB_DONE, NULL);
    if (hooks->on_done != NULL)
        hooks->on_done(hooks->user, doc, result);
}

/* The result as it was published, for a document that is only to be routed. */
static json_t *read_result(const dp_doc *doc, GError **error)
{
    if (doc->target == NULL)
        return json_object();
    json_error_t where;
    errno = 0;
    json_t *result = json_load_file(doc->target, JSON_REJECT_DUPLICATES, &where);
    if (result == NULL && errno != 0)
        (void)dp_fail_errno(error, "reading", doc->target);
    else if (result == NULL)
        g_set_error(error, DP_IO_ERROR, EIO, "%s: no result: %s", doc->target,
                    where.text);
    return result;
}

static void route_again(const dp_job *job, const dp_doc *doc, dp_job_report *report)
{
    g_autoptr(GError) error = NULL;
    json_t *result = read_result(doc, &error);
    if (result == NULL)
        end_failed(job, doc, error, report);
    else
        route(job, doc, result, report);
    json_decref(result);
}

/* ---- the whole way --------------------------------------------------------------------------- */

/* Our own result, of a try that was cut off or is done again. */
static gboolean is_result_of(const char *path, const char *sha256)
{
    json_t *result = json_load_file(path, 0, NULL);
    gboolean is_its =
        g_strcmp0(json_string_value(json_object_get(result, "doc_id")), sha256) == 0;
    json_decref(result);
    return is_its;
}

/* Another journal's watcher may have taken the name since it was chosen. */
static gboolean write_result(const dp_job *job, dp_doc *doc, const char *text,
                             GError **error)
{
    gsize length = strlen(text);
    if (job->hooks->on_taken == NULL)
        return dp_publish(doc->target, text, length, error);
    for (guint tries = 0; tries < NAMES_MAX; tries++) {
        g_autoptr(GError) inner = NULL;
        if (dp_publish_new(doc->target, text, length, &inner))
            return TRUE;
        if (!g_error_matches(inner, DP_IO_ERROR, EEXIST)) {
            g_propagate_error(error, g_steal_pointer(&inner));
            return FALSE;
        }
        if (is_result_of(doc->target, doc->sha256))
            return dp_publish(doc->target, text, length, error);
        if (!job->hooks->on_taken(job->hooks->user, doc, error))
            return FALSE;
    }
    errno = EBUSY;
    return dp_fail_errno(error, "finding a name like", doc->target);
}

static gboolean publish(const dp_job *job, const dp_recipe *recipe, dp_doc *doc,
                        const json_t *result, const dp_publication *publication,
                        GError **error)
{
    const dp_job_hooks *hooks = job->hooks;
    if (hooks->on_publish != NULL && !hooks->on_publish(hooks->user, doc, error))
        return FALSE;
    if (doc->target != NULL) {
        g_autofree char *text =
            dp_result_text(result, "json", dp_recipe_is_plain(recipe));
        if (text == NULL) {
            errno = ENOMEM;
            return dp_fail_errno(error, "writing", doc->target);
        }
        if (!write_result(job, doc, text, error))
            return FALSE;
    }
    if (!dp_queue_publish(job->queue, doc->id, publication, error))
        return FALSE;
    doc->state = publication->is_end ? DP_STATE_ROUTED : DP_STATE_PUBLISHED;
    return TRUE;
}

/* The file holds other bytes than those that were added: what lies there now is worked on
 * next, under its own key. */
static void end_changed(const dp_job *job, const dp_doc *doc, dp_job_report *report)
{
    char sha256[65];
    dp_stamp stamp;
    gint64 twin = 0;
    g_autoptr(GError) error = NULL;
    if (!dp_hash_file(doc->path, sha256, &stamp, &error)) {
        end_failed(job, doc, error, report);
        return;
    }
    if (!dp_queue_rekey(job->queue, doc->id, sha256, doc->recipe, &twin, &error)) {
        end_ungripped(report, error);
        return;
    }
    if (job->hooks->on_changed != NULL)
        job->hooks->on_changed(job->hooks->user, doc);
    if (twin != 0) {
        note(report, DP_JOB_TWIN, NULL);
        if (job->hooks->on_twin != NULL)
            job->hooks->on_twin(job->hooks->user, doc, twin);
        return;
    }
    end_cancelled(job, doc, report);
    if (report->end == DP_JOB_CANCELLED)
        report->end = DP_JOB_AGAIN;
}

static void finish(progress *p, const dp_recipe *recipe, dp_doc *doc,
                   const json_t *result, gint64 started, dp_job_report *report)
{
    const dp_job *job = p->job;
    const char *status = json_string_value(json_object_get(result, "status"));
    const json_t *timing = json_object_get(result, "timing");
    gint64 journal = g_get_monotonic_time();
    dp_publication publication = {
        .status = status != NULL ? status : "ok",
        .pages = (guint)json_integer_value(json_object_get(timing, "pages")),
        .work_ms = (journal - started) / 1000,
        .is_end = job->hooks->on_published == NULL,
    };
    report->pages = publication.pages;
    g_strlcpy(report->status, publication.status, sizeof report->status);
    g_autoptr(GError) error = NULL;
    on_wait_begin(p); /* syncing needs no processor */
    gboolean is_ok = publish(job, recipe, doc, result, &publication, &error);
    report->journal_us += g_get_monotonic_time() - journal;
    on_wait_end(p);
    if (!is_ok) {
        if (error->domain == DP_QUEUE_ERROR)
            end_ungripped(report, error);
        else
            end_failed(job, doc, error, report);
    } else if (!publication.is_end) {
        route(job, doc, result, report);
    } else {
        note(report, DP_JOB_DONE, NULL);
        if (job->hooks->on_done != NULL)
            job->hooks->on_done(job->hooks->user, doc, result);
    }
}

static void work(const dp_job *job, const dp_recipe *recipe, dp_doc *doc,
                 dp_job_report *report)
{
    gint64 started = g_get_monotonic_time();
    progress p = { .job = job, .doc = doc, .state = DP_STATE_CLAIMED };
    g_autofree char *name = g_path_get_basename(doc->origin);
    dp_extraction how = { .progress = on_progress,
                          .wait_begin = on_wait_begin,
                          .wait_end = on_wait_end,
                          .user = &p,
                          .cancellable = job->how.cancellable,
                          .name = name,
                          .sha256 = doc->sha256 };
    g_autoptr(GError) error = NULL;
    json_t *result =
        dp_extract_document(job->engine, job->model, recipe, doc->path, &how, &error);
    if (result != NULL) {
        step_to(&p, DP_STATE_CHECKED);
        finish(&p, recipe, doc, result, started, report);
        json_decref(result);
    } else if (g_cancellable_is_cancelled(job->how.cancellable) ||
               g_error_matches(error, DX_ERROR, DX_CANCELLED)) {
        end_cancelled(job, doc, report);
    } else if (g_error_matches(error, DP_JOB_ERROR, DP_JOB_CHANGED)) {
        end_changed(job, doc, report);
    } else {
        end_failed(job, doc, error, report);
    }
}

void dp_job_run(const dp_job *job, dp_doc *doc, dp_job_report *report)
{
    assert(doc->state == DP_STATE_CLAIMED || doc->state == DP_STATE_PUBLISHED ||
           doc->is_giving_up);
    assert(job->hooks->recipe != NULL);
    *report = (dp_job_report){ .bytes = doc->bytes };
    gint64 started = g_get_monotonic_time();
    char *moved = dp_path_is_gone(doc->path) ? find_moved(job, doc) : NULL;
    if (moved != NULL) {
        g_free(doc->path);
        doc->path = moved;
    }
    if (doc->state == DP_STATE_PUBLISHED) {
        route_again(job, doc, report);
    } else if (doc->is_giving_up) {
        give_up_again(job, doc, report);
    } else {
        g_autoptr(dp_recipe) recipe = job->hooks->recipe(job->hooks->user, doc);
        if (recipe != NULL) {
            work(job, recipe, doc, report);
        } else {
            g_autoptr(GError) error =
                g_error_new(DP_JOB_ERROR, DP_JOB_NORECIPE,
                            "%s: the configuration has no profile \"%s\" (any more)",
                            doc->origin, doc->profile);
            end_failed(job, doc, error, report);
        }
    }
    report->work_us = g_get_monotonic_time() - started;
}

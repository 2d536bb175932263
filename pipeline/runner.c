/*
 * runner.c - the threads that work off the journal.
 *
 * There are more threads than seats: a thread needs a seat to compute and gives it away
 * while it waits for its document's reader or the disk.  One more thread, the keeper, sends
 * the heart-beats, watches the time limit, syncs what the journal has only noted, and gives
 * back documents whose row could not be written when their work ended.
 */
#include "runner.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WORKERS_DEFAULT_MAX 16
#define IDLE_MS_MAX         2000 /* FOREVER: another process may have added something */
#define TICK_US             200000
#define SYNC_US             G_USEC_PER_SEC /* what is only noted waits so long at most */
#define STALLS_MAX          6 /* PUSHED: temporary errors in a row that end the run */
#define AGAIN_MAX           3 /* PUSHED: times that one document is tried in a run */
#define PAUSE_MS_MAX        60000

typedef struct task {
    gint64 id;
    gint64 due_us; /* monotonic; 0: now */
    guint tries;
} task;

struct dp_runner {
    dp_queue *queue;
    dx_engine *engine;
    const vl_model_info *model;
    dp_runner_opts opts;
    char *lane;
    dp_job_hooks hooks;
    GCancellable *cancellable;

    GMutex lock; /* all below */
    GCond changed;
    GQueue *tasks;     /* PUSHED: of task */
    GArray *ungripped; /* of gint64: rows to give back */
    gboolean is_closed, is_stopping, is_started;
    dp_runner_end end;
    guint wakes; /* counts dp_runner_wake(), so that none is missed */
    guint seats_free;
    guint running;          /* threads */
    guint stalls;           /* temporary errors since the last success */
    guint64 failed_outside; /* dp_runner_note_failed() */
    gint64 paused_until_us;
    dp_runner_counts counts;
    GPtrArray *threads;
    GThread *keeper;
};

guint dp_workers_default(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return CLAMP((guint)CPU_COUNT(&set), 1, WORKERS_DEFAULT_MAX);
}

/* ---- stopping ------------------------------------------------------------------------- */

/* Called with the lock held.  The first reason is the one that is told. */
static void stop_locked(dp_runner *r, dp_runner_end end, gboolean is_at_once)
{
    if (!r->is_stopping) {
        r->is_stopping = TRUE;
        r->end = end;
    }
    if (is_at_once)
        g_cancellable_cancel(r->cancellable);
    g_cond_broadcast(&r->changed);
}

void dp_runner_stop(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    stop_locked(r, DP_RUNNER_STOPPED, TRUE);
    g_mutex_unlock(&r->lock);
}

void dp_runner_drain(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    stop_locked(r, DP_RUNNER_STOPPED, FALSE);
    g_mutex_unlock(&r->lock);
}

static gboolean stop_at_failures(dp_runner *r)
{
    gboolean is_over = r->opts.failures_max > 0 &&
                       r->counts.failed + r->failed_outside >= r->opts.failures_max;
    if (is_over)
        stop_locked(r, DP_RUNNER_FAILURES, TRUE);
    return is_over;
}

gboolean dp_runner_note_failed(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    r->failed_outside++;
    gboolean is_over = stop_at_failures(r);
    g_mutex_unlock(&r->lock);
    return is_over;
}

void dp_runner_close(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    r->is_closed = TRUE;
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
}

void dp_runner_wake(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    r->wakes++;
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
}

void dp_runner_push(dp_runner *r, gint64 id)
{
    assert(r->opts.mode == DP_RUNNER_PUSHED);
    task *t = g_new0(task, 1);
    t->id = id;
    g_mutex_lock(&r->lock);
    assert(!r->is_closed);
    g_queue_push_tail(r->tasks, t);
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
}

/* ---- seats ---------------------------------------------------------------------------- */

static void seat_take(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    while (r->seats_free == 0)
        g_cond_wait(&r->changed, &r->lock);
    r->seats_free--;
    r->counts.last_progress_us = g_get_monotonic_time();
    g_mutex_unlock(&r->lock);
}

static void seat_give(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    r->seats_free++;
    r->counts.last_progress_us = g_get_monotonic_time();
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
}

static void on_wait_begin(void *user)
{
    seat_give(user);
}

static void on_wait_end(void *user)
{
    seat_take(user);
}

static void on_progress(void *user, const char *stage, uint32_t page, uint32_t pages)
{
    dp_runner *r = user;
    g_mutex_lock(&r->lock);
    r->counts.last_progress_us = g_get_monotonic_time();
    g_mutex_unlock(&r->lock);
}

/* ---- what to do next --------------------------------------------------------------------- */

/* No further document is begun above the limit, but one always goes on. */
static gboolean is_memory_short(dp_runner *r)
{
    if (r->opts.memory_max == 0 || r->counts.in_work == 0)
        return FALSE;
    guint64 own, all;
    dp_memory_now(&own, &all);
    return all > r->opts.memory_max;
}

static void wait_us(dp_runner *r, gint64 us)
{
    (void)g_cond_wait_until(&r->changed, &r->lock, g_get_monotonic_time() + us);
}

/* PUSHED: the first task whose time has come.  Called with the lock held, returns with it;
 * NULL: the run is over. */
static task *next_task(dp_runner *r)
{
    for (;;) {
        if (r->is_stopping)
            return NULL;
        gint64 now = g_get_monotonic_time(), soonest = 0;
        if (is_memory_short(r)) {
            wait_us(r, TICK_US);
            continue;
        }
        for (GList *at = r->tasks->head; at != NULL; at = at->next) {
            task *t = at->data;
            if (t->due_us <= now) {
                g_queue_delete_link(r->tasks, at);
                return t;
            }
            soonest = soonest == 0 ? t->due_us : MIN(soonest, t->due_us);
        }
        if (r->is_closed && soonest == 0 && r->counts.in_work == 0)
            return NULL;
        wait_us(r, soonest == 0 ? G_USEC_PER_SEC : MIN(soonest - now, G_USEC_PER_SEC));
    }
}

/* A claim failed: the journal is busy or the disk full.  Lock held. */
static void note_stall(dp_runner *r)
{
    r->stalls++;
    r->counts.stalled++;
    gint64 pause = MIN(dp_stall_ms(r->stalls), PAUSE_MS_MAX) * 1000;
    if (r->opts.mode == DP_RUNNER_FOREVER)
        r->paused_until_us = g_get_monotonic_time() + pause;
    else if (r->stalls >= STALLS_MAX)
        stop_locked(r, DP_RUNNER_STALLED, FALSE);
}

static void put_off(dp_runner *r, task *t)
{
    t->tries++;
    t->due_us = g_get_monotonic_time() + (dp_stall_ms(t->tries) + 50) * 1000;
    g_queue_push_tail(r->tasks, t);
}

/* Called with the lock held, gives it up while the journal is asked. */
static dp_doc *claim_unlocked(dp_runner *r, gint64 id, GError **error)
{
    dp_claim claim = { .lane = r->lane, .id = id };
    g_mutex_unlock(&r->lock);
    dp_doc *doc = dp_queue_claim(r->queue, &claim, error);
    g_mutex_lock(&r->lock);
    return doc;
}

static dp_doc *next_pushed(dp_runner *r, task **out)
{
    task *t;
    while ((t = next_task(r)) != NULL) {
        g_autoptr(GError) error = NULL;
        r->counts.in_work++; /* so that nobody takes the run for over meanwhile */
        dp_doc *doc = claim_unlocked(r, t->id, &error);
        if (doc != NULL) {
            *out = t;
            return doc;
        }
        r->counts.in_work--;
        if (error != NULL && t->tries + 1 < AGAIN_MAX) {
            note_stall(r);
            put_off(r, t);
        } else {
            r->counts.lost++; /* another process has it, or it is not due */
            g_free(t);
        }
        g_cond_broadcast(&r->changed);
    }
    return NULL;
}

/* FOREVER: how long to sleep when there is nothing to do.  Lock held, given up meanwhile. */
static gint64 idle_us(dp_runner *r)
{
    gint64 due = -1;
    g_mutex_unlock(&r->lock);
    if (!dp_queue_next_due(r->queue, r->lane, &due, NULL))
        due = -1;
    g_mutex_lock(&r->lock);
    return due < 0 ? IDLE_MS_MAX * 1000 : CLAMP(due, 10, IDLE_MS_MAX) * 1000;
}

static dp_doc *next_due(dp_runner *r)
{
    while (!r->is_stopping) {
        gint64 now = g_get_monotonic_time();
        guint wakes = r->wakes;
        if (now < r->paused_until_us || is_memory_short(r)) {
            wait_us(r, now < r->paused_until_us
                           ? MIN(r->paused_until_us - now, G_USEC_PER_SEC)
                           : TICK_US);
            continue;
        }
        g_autoptr(GError) error = NULL;
        r->counts.in_work++;
        dp_doc *doc = claim_unlocked(r, 0, &error);
        if (doc != NULL)
            return doc;
        r->counts.in_work--;
        if (error != NULL) {
            note_stall(r);
            continue;
        }
        gint64 us = idle_us(r);
        if (wakes == r->wakes && !r->is_stopping)
            wait_us(r, us);
    }
    return NULL;
}

/* ---- work ---------------------------------------------------------------------------------- */

/* Lock held. */
static void account(dp_runner *r, gint64 id, const dp_job_report *report)
{
    dp_runner_counts *c = &r->counts;
    c->pages += report->pages;
    c->work_us += report->work_us;
    c->journal_us += report->journal_us;
    c->last_progress_us = g_get_monotonic_time();
    if (report->is_grip_lost)
        g_array_append_val(r->ungripped, id);
    if (report->end == DP_JOB_STALLED)
        note_stall(r);
    else if (report->end != DP_JOB_CANCELLED && report->end != DP_JOB_LOST)
        r->stalls = 0;
    if (report->pages > 0)
        c->bytes += (guint64)report->bytes;
    if (strcmp(report->status, "ok") == 0)
        c->done++;
    else if (strcmp(report->status, "review") == 0)
        c->review++;
    c->failed += report->end == DP_JOB_FAILED;
    c->quarantined += report->end == DP_JOB_FAILED && report->is_quarantined;
    c->cancelled += report->end == DP_JOB_CANCELLED;
    c->lost += report->end == DP_JOB_LOST;
    c->twins += report->end == DP_JOB_TWIN;
    c->waits += report->end == DP_JOB_WAITS;
    (void)stop_at_failures(r); /* the run ends by itself */
}

/* PUSHED: what was given back is tried again in this run. Lock held; takes the task. */
static void settle_task(dp_runner *r, task *t, const dp_job_report *report)
{
    gboolean is_again = report->end == DP_JOB_STALLED || report->end == DP_JOB_AGAIN;
    if (is_again && t->tries + 1 < AGAIN_MAX) {
        put_off(r, t);
        if (report->end == DP_JOB_AGAIN)
            t->due_us = 0;
    } else {
        g_free(t);
    }
}

static gpointer worker_main(gpointer data)
{
    dp_runner *r = data;
    dp_job job = { .queue = r->queue,
                   .engine = r->engine,
                   .model = r->model,
                   .hooks = &r->hooks,
                   .how = { .progress = on_progress,
                            .wait_begin = on_wait_begin,
                            .wait_end = on_wait_end,
                            .user = r,
                            .cancellable = r->cancellable } };
    g_mutex_lock(&r->lock);
    for (;;) {
        task *t = NULL;
        g_autoptr(dp_doc) doc =
            r->opts.mode == DP_RUNNER_PUSHED ? next_pushed(r, &t) : next_due(r);
        if (doc == NULL)
            break;
        g_mutex_unlock(&r->lock);
        dp_job_report report;
        seat_take(r);
        dp_job_run(&job, doc, &report);
        seat_give(r);
        g_mutex_lock(&r->lock);
        account(r, doc->id, &report);
        if (t != NULL)
            settle_task(r, t, &report);
        r->counts.in_work--;
        g_cond_broadcast(&r->changed);
    }
    r->running--;
    g_cond_broadcast(&r->changed);
    g_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- the keeper ------------------------------------------------------------------------------ */

/* Rows that still say that we have them although we do not: tried until it works. */
static void give_back(dp_runner *r)
{
    g_mutex_lock(&r->lock);
    g_autoptr(GArray) ids = r->ungripped;
    r->ungripped = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_mutex_unlock(&r->lock);
    for (guint i = 0; i < ids->len; i++) {
        gint64 id = g_array_index(ids, gint64, i);
        g_autoptr(GError) error = NULL;
        if (dp_queue_unclaim(r->queue, id, &error) || !dp_error_is_temporary(error))
            continue;
        g_mutex_lock(&r->lock);
        g_array_append_val(r->ungripped, id);
        g_mutex_unlock(&r->lock);
    }
}

static gpointer keeper_main(gpointer data)
{
    dp_runner *r = data;
    gint64 beat_us = dp_lease_ms() * 1000 / 3, beaten = g_get_monotonic_time();
    gint64 synced = beaten;
    g_mutex_lock(&r->lock);
    while (r->running > 0) {
        wait_us(r, MIN(beat_us, TICK_US));
        gint64 now = g_get_monotonic_time();
        if (r->opts.seconds_max > 0 &&
            now - r->counts.started_us > (gint64)r->opts.seconds_max * G_USEC_PER_SEC)
            stop_locked(r, DP_RUNNER_TIME, TRUE);
        gboolean is_beat = now - beaten >= beat_us && r->counts.in_work > 0;
        gboolean is_back = r->ungripped->len > 0;
        g_mutex_unlock(&r->lock);
        if (is_beat && dp_queue_heartbeat(r->queue, 0, NULL))
            beaten = now;
        if (is_back)
            give_back(r);
        if (now - synced >= SYNC_US) { /* a later document's sync may have been faster */
            (void)dp_queue_sync(r->queue, FALSE, NULL); /* tried again at the next tick */
            synced = now;
        }
        g_mutex_lock(&r->lock);
    }
    g_mutex_unlock(&r->lock);
    give_back(r);
    (void)dp_queue_sync(r->queue, FALSE, NULL);
    return NULL;
}

/* ---- outside ------------------------------------------------------------------------------------ */

dp_runner *dp_runner_new(dp_queue *queue, dx_engine *engine, const vl_model_info *model,
                         const dp_runner_opts *opts)
{
    assert(opts->hooks != NULL);
    dp_runner *r = g_new0(dp_runner, 1);
    r->queue = queue;
    r->engine = engine;
    r->model = model;
    r->opts = *opts;
    r->hooks = *opts->hooks;
    r->lane = g_strdup(opts->lane);
    r->cancellable = g_cancellable_new();
    g_mutex_init(&r->lock);
    g_cond_init(&r->changed);
    r->tasks = g_queue_new();
    r->ungripped = g_array_new(FALSE, FALSE, sizeof(gint64));
    r->threads = g_ptr_array_new();
    r->opts.workers = CLAMP(opts->workers > 0 ? opts->workers : dp_workers_default(), 1,
                            DP_RUNNER_WORKERS_MAX);
    r->seats_free = r->opts.workers;
    return r;
}

/* Not all threads could be started: those that were end. */
static gboolean start_failed(dp_runner *r, guint missing, const GError *why,
                             GError **error)
{
    g_mutex_lock(&r->lock);
    r->running -= missing;
    stop_locked(r, DP_RUNNER_STOPPED, TRUE);
    g_mutex_unlock(&r->lock);
    g_set_error(error, DP_IO_ERROR, EAGAIN, "%s", why->message);
    return FALSE;
}

gboolean dp_runner_start(dp_runner *r, GError **error)
{
    assert(!r->is_started);
    guint count;
    if (!dp_queue_recover(r->queue, &count, error))
        return FALSE;
    r->is_started = TRUE;
    r->counts.started_us = r->counts.last_progress_us = g_get_monotonic_time();
    guint threads = r->opts.workers + MAX(1, r->opts.workers / 2);
    r->running = threads;
    g_autoptr(GError) why = NULL;
    while (r->threads->len < threads && why == NULL) {
        GThread *thread = g_thread_try_new("worker", worker_main, r, &why);
        if (thread != NULL)
            g_ptr_array_add(r->threads, thread);
    }
    if (why == NULL)
        r->keeper = g_thread_try_new("keeper", keeper_main, r, &why);
    if (why != NULL)
        return start_failed(r, threads - r->threads->len, why, error);
    return TRUE;
}

gboolean dp_runner_wait(dp_runner *r, gint64 timeout_ms, dp_runner_end *end)
{
    gint64 until = g_get_monotonic_time() + timeout_ms * 1000;
    g_mutex_lock(&r->lock);
    gboolean is_in_time = TRUE;
    while (r->running > 0 && is_in_time) {
        if (timeout_ms < 0)
            g_cond_wait(&r->changed, &r->lock);
        else
            is_in_time = g_cond_wait_until(&r->changed, &r->lock, until);
    }
    gboolean is_over = r->running == 0;
    if (is_over && end != NULL)
        *end = r->is_stopping ? r->end : DP_RUNNER_DRAINED;
    g_mutex_unlock(&r->lock);
    return is_over;
}

void dp_runner_get_counts(dp_runner *r, dp_runner_counts *counts)
{
    g_mutex_lock(&r->lock);
    *counts = r->counts;
    g_mutex_unlock(&r->lock);
}

void dp_runner_free(dp_runner *r)
{
    if (r == NULL)
        return;
    dp_runner_stop(r);
    for (guint i = 0; i < r->threads->len; i++)
        g_thread_join(g_ptr_array_index(r->threads, i));
    if (r->keeper != NULL)
        g_thread_join(r->keeper);
    g_ptr_array_unref(r->threads);
    g_queue_free_full(r->tasks, g_free);
    g_array_unref(r->ungripped);
    g_object_unref(r->cancellable);
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->changed);
    g_free(r->lane);
    g_free(r);
}

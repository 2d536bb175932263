/*
 * runner.h - the threads that work off the journal.
 *
 * One runner per process: the model is loaded once and shared.  `workers` documents are
 * computed at a time; a few more are open, so that a processor never waits for a document's
 * reader or the disk (a document that waits for its reader lends its seat to another one).
 *
 * batch pushes the documents it listed and waits until they are through; watch and service
 * let it run until they stop it and wake it when they have added something.
 */
#ifndef DP_RUNNER_H
#define DP_RUNNER_H

#include "job.h"

#define DP_RUNNER_WORKERS_MAX 64

typedef struct dp_runner dp_runner;

typedef enum dp_runner_mode {
    DP_RUNNER_PUSHED,  /* works on dp_runner_push() only, each document once per run; ends
                          after dp_runner_close() when all are through */
    DP_RUNNER_FOREVER, /* works on whatever is due in the lane until dp_runner_stop() */
} dp_runner_mode;

typedef struct dp_runner_opts {
    dp_runner_mode mode;
    const char *lane;     /* NULL: any; copied */
    guint workers;        /* documents computed at a time; 0: dp_workers_default() */
    guint64 memory_max;   /* bytes of this process and its readers above which no further
                                document is begun (one always goes on); 0: no limit */
    guint64 failures_max; /* stop after so many failed documents; 0: never */
    guint seconds_max;    /* stop (between pages) after so many seconds; 0: never */
    const dp_job_hooks *hooks; /* copied; hooks->user must live longer than the runner */
} dp_runner_opts;

typedef struct dp_runner_counts {
    guint64 done, review; /* done counts "ok" results only */
    guint64 failed;       /* results with status failed, and tries that failed */
    guint64 quarantined;  /* of the failed */
    guint64 stalled, cancelled, lost, twins, waits;
    guint64 pages, bytes;
    gint64 work_us, journal_us;
    guint in_work;     /* documents now */
    gint64 started_us; /* monotonic */
    gint64
        last_progress_us; /* monotonic: when a worker last came from one step to the next;
                                a watchdog is fed from this */
} dp_runner_counts;

typedef enum dp_runner_end {
    DP_RUNNER_DRAINED,
    DP_RUNNER_STOPPED,  /* dp_runner_stop() or _drain() */
    DP_RUNNER_TIME,     /* seconds_max */
    DP_RUNNER_FAILURES, /* failures_max */
    DP_RUNNER_STALLED, /* PUSHED: temporary errors one after the other: a full disk, no memory */
} dp_runner_end;

guint dp_workers_default(void); /* one per CPU that this process may use, at most 16 */

/* Does not own queue, engine and model; they must live longer.  Starts nothing. */
dp_runner *dp_runner_new(dp_queue *queue, dx_engine *engine, const vl_model_info *model,
                         const dp_runner_opts *opts);
/* Stops, waits, releases. */
void dp_runner_free(dp_runner *runner);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_runner, dp_runner_free)

/* Start the threads; brings back what dead workers had first. */
gboolean dp_runner_start(dp_runner *runner, GError **error);
/* PUSHED: work on this document too.  Any thread. */
void dp_runner_push(dp_runner *runner, gint64 id);
/* PUSHED: an input that failed before it could be pushed; counts for failures_max alone.
 * TRUE: that was the last one. */
gboolean dp_runner_note_failed(dp_runner *runner);
/* PUSHED: nothing more will come. */
void dp_runner_close(dp_runner *runner);
/* FOREVER: something was added or is due earlier.  Any thread, also a hook; cheap. */
void dp_runner_wake(dp_runner *runner);
/* Ask all workers to stop between pages; what they had goes back to settled.  Returns at
 * once; any thread, not a signal handler. */
void dp_runner_stop(dp_runner *runner);
/* FOREVER: take no new document, finish those in work.  Returns at once. */
void dp_runner_drain(dp_runner *runner);
/* Wait until the runner has ended (at most timeout_ms; -1: for ever).  FALSE: not yet. */
gboolean dp_runner_wait(dp_runner *runner, gint64 timeout_ms, dp_runner_end *end);
void dp_runner_get_counts(dp_runner *runner, dp_runner_counts *counts);

/* ---- metrics ------------------------------------------------------------------------ */

/* Write the Prometheus text file `path`, atomically replaced: documents by state, pages and
 * pages per second, age of the queue, failures by reason, memory.  `lane` NULL: any. */
gboolean dp_metrics_write(const char *path, dp_queue *queue, const char *lane,
                          dp_runner *runner, GError **error);

/* Resident bytes of this process (own) and of it with its children (all). */
void dp_memory_now(guint64 *own, guint64 *all);

#endif

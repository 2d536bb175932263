/*
 * batch_parts.h - what the parts of `docvl batch` share: one run, from its command line to
 * its end.
 */
#ifndef DP_BATCH_PARTS_H
#define DP_BATCH_PARTS_H

#include "batch.h"
#include "config.h"
#include "route.h"

typedef struct dp_batch {
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
    GPtrArray *begun;    /* the same: to be pushed when the scan is over */
    guint pushed;
    gboolean is_stopped_early; /* the scan was */
    gboolean is_temporary;     /* something could not be looked at now */
    gint64 metrics_at;
} dp_batch;

/* Command line, environment and configuration (batch_options.c).  `argv` keeps the
 * arguments. */
gboolean dp_batch_parse(dp_batch *b, int *argc, char ***argv, GError **error);

/* Inputs (batch_inputs.c), for dp_scan_hooks; main thread. */
gboolean dp_batch_found(void *user, const char *path, const char *relative);
void dp_batch_skipped(void *user, const char *path, dp_scan_skip why,
                      const GError *error);
gboolean dp_batch_is_over(void *user);
/* Documents whose routing was broken off go to the runner. */
void dp_batch_push_published(dp_batch *b);
/* When the scan is over: what earlier runs have begun and not ended. */
void dp_batch_push_begun(dp_batch *b);
/* When the runner has ended: results for the twins. */
void dp_batch_settle_twins(dp_batch *b);

/* The envelope of a document that failed, under its result's name (cmd_batch.c). */
void dp_batch_publish_failure(dp_batch *b, const char *origin, const char *target,
                              const char *code, const char *reason);

#endif

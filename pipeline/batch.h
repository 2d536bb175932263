/*
 * batch.h - the parts of `docvl batch`: finding inputs, telling what became of them.
 */
#ifndef DP_BATCH_H
#define DP_BATCH_H

#include "runner.h"

/* ---- inputs (batch_scan.c) ------------------------------------------------------------- */

#define DP_SCAN_DEPTH_MAX 100   /* folders in folders */
#define DP_SCAN_LIST_MAX  65536 /* bytes of one name of a list on stdin */

typedef struct dp_scan_opts {
    const char *const *include; /* globs; NULL: names of PDF, TIFF, PNG and JPEG files */
    const char *const *exclude; /* globs, of files and folders; may be NULL */
    gboolean is_recursive;
    gboolean is_nul;     /* names on stdin end with NUL, not with a line feed */
    gint64 since_ns;     /* files changed before are left alone; 0: none */
    guint shard, shards; /* only the files of shard 1..shards; 0: all */
    const char
        *skip_dir;      /* real path of the results' folder, never entered; may be NULL */
    gboolean is_beside; /* results lie beside their documents */
} dp_scan_opts;

typedef enum dp_scan_skip {
    DP_SKIP_NAME, /* no include glob fits, or an exclude glob does, or hidden; a result */
    DP_SKIP_FOLDER, /* not recursive, hidden or excluded; not the results' own */
    DP_SKIP_LINK,   /* symbolic link, FIFO, device, socket */
    DP_SKIP_SINCE,
    DP_SKIP_SHARD,
    DP_SKIP_ERROR, /* could not be looked at */
} dp_scan_skip;

typedef struct dp_scan_hooks {
    void *user;
    /* A file to work on: its real path and its place below the argument (the base name when
     * it was named itself).  FALSE stops the scan. */
    gboolean (*found)(void *user, const char *path, const char *relative);
    /* `error` with DP_SKIP_ERROR only. */
    void (*skipped)(void *user, const char *path, dp_scan_skip why, const GError *error);
    gboolean (*is_over)(void *user); /* TRUE stops the scan; asked behind an error */
} dp_scan_hooks;

/* Walk over files, folders and lists ("-"), in the order of names. */
void dp_scan(const dp_scan_opts *opts, char **arguments, const dp_scan_hooks *hooks);

/* ---- outcome (batch_report.c) ------------------------------------------------------------- */

/* What became of one input. */
typedef enum dp_fate {
    DP_FATE_OK,
    DP_FATE_REVIEW,
    DP_FATE_FAILED, /* tried now */
    DP_FATE_WAITS,  /* failed before, its next try is not due; or quarantined */
    DP_FATE_DONE,   /* was done before */
    DP_FATE_TWIN,   /* same content as another input */
    DP_FATE_LEFT,   /* not reached: stopped, or another process has it */
    DP_FATE_COUNT
} dp_fate;

typedef struct dp_row {
    char *path, *target;
    gint64 id; /* in the journal; 0: none */
    dp_fate fate;
    char *code, *reason; /* of a failure, or NULL */
    char *twin_of;       /* path of the other, or NULL */
    guint pages;
    gint64 work_ms;
} dp_row;

/* All inputs of a run; one thread at a time. */
typedef struct dp_tale {
    GPtrArray *rows; /* of dp_row, in the order of the scan */
    guint64 skipped[DP_SKIP_ERROR + 1];
    GPtrArray *skipped_names; /* the first DP_TALE_NAMES_MAX skipped for their name */
    gint64 started_us, finished_us; /* wall clock */
    guint64 fates[DP_FATE_COUNT];
    guint64 pages;
    json_t *reasons;
    const char *ended; /* "drained", "stopped", "time", "failures", "stalled" */
} dp_tale;
#define DP_TALE_NAMES_MAX 1000

dp_tale *dp_tale_new(void);
void dp_tale_free(dp_tale *tale);
dp_row *dp_tale_add(dp_tale *tale, const char *path, const char *target);
void dp_row_fail(dp_row *row, dp_fate fate, const char *code, const char *reason);
/* Count everything; call once, when all rows have their fate. */
void dp_tale_close(dp_tale *tale);
/* The summary, several lines. Caller frees. */
char *dp_tale_summary(const dp_tale *tale);
json_t *dp_tale_json(const dp_tale *tale);
/* All results of the run in one file: JSON Lines or CSV, put together from the JSON files and
 * replaced at once. */
gboolean dp_tale_collect(const dp_tale *tale, const char *path, const char *format,
                         GError **error);

#endif

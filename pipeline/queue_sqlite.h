/*
 * queue_sqlite.h - the journal in an SQLite file, for the files that make it up:
 *
 *   queue_sqlite.c            opens and closes it; its tables
 *   queue_sqlite_core.c       statements, transactions, rows
 *   queue_sqlite_documents.c  arrivals, and changes by others than the worker
 *   queue_sqlite_leases.c     who has what: claims, heart-beats, what dead workers had
 *   queue_sqlite_work.c       the reports of workers
 *   queue_sqlite_actions.c    routing
 *   queue_sqlite_people.c     counts, lists, retries, pruning
 *   queue_sqlite_sql.c        the text of all statements
 *
 * Write-ahead logging: readers never wait, writers take turns.  A transaction that carries
 * a promise is committed with synchronous=FULL, which syncs the log and with it all that
 * was written before; the others with NORMAL, which costs no sync.  Every transaction
 * begins IMMEDIATE: what it read is still true when it writes.  What was committed without a
 * sync is made to last by a sync of the log alone (dp_sqlite_sync).
 */
#ifndef DP_QUEUE_SQLITE_H
#define DP_QUEUE_SQLITE_H

#include "queue_backend.h"

#include <sqlite3.h>

#define DP_SQLITE_APPLICATION 0x646f6376 /* "docv" */
#define DP_SQLITE_VERSION     2          /* of the tables */
#define DP_RECOVER_EVERY_MS   1000

typedef enum dp_sql {
    DP_SQL_SCHEMA,
    DP_SQL_UPGRADE_1,
    DP_SQL_SYNC_FULL,
    DP_SQL_SYNC_NORMAL,
    DP_SQL_BEGIN,
    DP_SQL_COMMIT,
    DP_SQL_ROLLBACK,
    DP_SQL_DOC,
    DP_SQL_FILE_PUT,
    DP_SQL_DOC_ADD,
    DP_SQL_ACTIONS_DROP,
    DP_SQL_DOC_RESET,
    DP_SQL_DOC_FORCE,
    DP_SQL_DOC_BY_KEY,
    DP_SQL_FILE_HASH,
    DP_SQL_ACTIONS_INTERRUPTED,
    DP_SQL_DOC_TAKE_BACK,
    DP_SQL_DOC_TAKE_BACK_GIVEN,
    DP_SQL_DOCS_LEASED,
    DP_SQL_NEXT_BY_ID,
    DP_SQL_NEXT,
    DP_SQL_DOC_CLAIM,
    DP_SQL_HEARTBEAT,
    DP_SQL_NEXT_DUE,
    DP_SQL_DOC_ADVANCE,
    DP_SQL_DOC_PUBLISH,
    DP_SQL_DOC_FAIL,
    DP_SQL_DOC_GIVE_UP,
    DP_SQL_DOC_UNCLAIM,
    DP_SQL_ACTIONS_UNDONE,
    DP_SQL_DOC_ROUTED,
    DP_SQL_DOC_PATH,
    DP_SQL_DOC_ORIGIN,
    DP_SQL_DOC_TARGET,
    DP_SQL_DOC_DROP,
    DP_SQL_DOC_REKEY,
    DP_SQL_ACTIONS,
    DP_SQL_ACTION_ADD,
    DP_SQL_ACTION,
    DP_SQL_ACTION_START,
    DP_SQL_ACTION_DONE,
    DP_SQL_ACTION_FAIL,
    DP_SQL_COUNT_STATES,
    DP_SQL_COUNT_ACTIONS,
    DP_SQL_REASONS,
    DP_SQL_LIST_BY_PATH,
    DP_SQL_LIST,
    DP_SQL_RETRY_DROP,
    DP_SQL_RETRY_ACTIONS,
    DP_SQL_RETRY,
    DP_SQL_PRUNE,
    DP_SQL_PRUNE_FILES,
    DP_SQL_FORGET,
    DP_SQL_APPLICATION,
    DP_SQL_VERSION,
    DP_SQL_TABLES,
    DP_SQL_WAL,
    DP_SQL_OPEN,
    DP_SQL_COUNT
} dp_sql_id;

/* queue_sqlite_sql.c */
extern const char *const dp_sql[DP_SQL_COUNT];

typedef enum dp_sync {
    DP_SYNC_NORMAL,
    DP_SYNC_OWED, /* as NORMAL, but dp_sqlite_sync() makes up for it */
    DP_SYNC_FULL,
} dp_sync;

typedef struct dp_sqlite {
    dp_queue base;
    GMutex lock; /* the handle is used by one thread at a time */
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statements[DP_SQL_COUNT]; /* prepared once, when first used */
    gboolean is_full;                       /* as the handle is set */
    gboolean is_owing;   /* a transaction of DP_SYNC_OWED was not synced yet */
    gint64 recovered_at; /* monotonic ms */
} dp_sqlite;

/* ---- queue_sqlite_core.c; the lock is held ----------------------------------------- */

/* Sets the error of the last call; FALSE. */
gboolean dp_sqlite_error(dp_sqlite *q, const char *what, GError **error);
/* A statement ready to be stepped; the caller ends with dp_sqlite_done().  `types` has a
 * letter for each parameter: s text (NULL is SQL's NULL), i gint64. */
sqlite3_stmt *dp_sqlite_query(dp_sqlite *q, GError **error, dp_sql_id sql,
                              const char *types, ...);
void dp_sqlite_done(sqlite3_stmt *stmt);
/* A statement without rows; *changed (may be NULL) gets the number of changed ones. */
gboolean dp_sqlite_run(dp_sqlite *q, GError **error, int *changed, dp_sql_id sql,
                       const char *types, ...);
/* A statement whose first row is one number (NULL is left as it was). */
gboolean dp_sqlite_number(dp_sqlite *q, GError **error, gint64 *number, dp_sql_id sql,
                          const char *types, ...);
gboolean dp_sqlite_exec(dp_sqlite *q, dp_sql_id sql, const char *what, GError **error);
gboolean dp_sqlite_begin(dp_sqlite *q, dp_sync level, GError **error);
/* Commit, or roll back when is_ok says that something went wrong. */
gboolean dp_sqlite_end(dp_sqlite *q, gboolean is_ok, GError **error);

char *dp_sqlite_text(sqlite3_stmt *stmt, int column); /* "" for NULL; caller frees */
dp_doc *dp_sqlite_doc_at(sqlite3_stmt *stmt);
/* The row of a query for one document; NULL without error: none. */
dp_doc *dp_sqlite_one_doc(dp_sqlite *q, sqlite3_stmt *stmt, GError **error);
/* DP_QUEUE_NOTFOUND when there is none. */
dp_doc *dp_sqlite_find_doc(dp_sqlite *q, gint64 id, GError **error);
/* A document that this process holds; DP_QUEUE_LOST otherwise. */
dp_doc *dp_sqlite_held_doc(dp_sqlite *q, gint64 id, GError **error);
gboolean dp_sqlite_may_become(const dp_doc *doc, dp_state to, GError **error);

/* ---- frames: take the lock ----------------------------------------------------------- */

/* One transaction around `work`. */
typedef gboolean (*dp_sqlite_work)(dp_sqlite *q, gpointer data, GError **error);
gboolean dp_sqlite_write(dp_queue *queue, dp_sync level, dp_sqlite_work work,
                         gpointer data, GError **error);
/* The same around `step` for a document that this process holds. */
typedef gboolean (*dp_sqlite_step)(dp_sqlite *q, dp_doc *doc, gconstpointer data,
                                   GError **error);
gboolean dp_sqlite_report(dp_queue *queue, gint64 id, dp_sync level, dp_sqlite_step step,
                          gconstpointer data, GError **error);

/* ---- shared by two of them; the lock is held ------------------------------------------ */

gboolean dp_sqlite_reset_doc(dp_sqlite *q, gint64 id, GError **error);
/* One line of at most DP_QUEUE_REASON_MAX bytes. */
char *dp_sqlite_line(const char *text);
/* The columns after those of a document in DP_SQL_DOCS_LEASED. */
enum { DP_SQLITE_LEASE_WALL = 23, DP_SQLITE_LEASE_MONOTONIC };
/* `failed` of the routes for a document that this process holds: not done now (it waits), or
 * (is_final, or the tries are used up) not at all.  *is_over says which; *attempts are those
 * of what failed. */
gboolean dp_sqlite_fail_given_up(dp_sqlite *q, dp_doc *doc, const dp_failure *failure,
                                 const char *reason, gint64 *attempts, gboolean *is_over,
                                 GError **error);
/* Attempts are spent by failures that count; `doc` is brought to what it becomes. */
void dp_sqlite_note_failure(dp_doc *doc, const dp_failure *failure);
gboolean dp_sqlite_write_failure(dp_sqlite *q, const dp_doc *doc, const char *code,
                                 const char *reason, const char *worker, GError **error);

/* ---- the storage's functions (queue_backend.h) ----------------------------------------- */

gboolean dp_sqlite_known_hash(dp_queue *queue, const char *lane, const char *path,
                              const dp_stamp *stamp, char sha256[65]);
gboolean dp_sqlite_add(dp_queue *queue, const dp_arrival *a, dp_added *added,
                       GError **error);
dp_doc *dp_sqlite_get(dp_queue *queue, gint64 id, GError **error);
dp_doc *dp_sqlite_find(dp_queue *queue, const char *lane, const char *sha256,
                       const char *recipe, GError **error);
gboolean dp_sqlite_set_path(dp_queue *queue, gint64 id, const char *path, GError **error);
gboolean dp_sqlite_set_origin(dp_queue *queue, gint64 id, const char *path,
                              GError **error);
gboolean dp_sqlite_set_target(dp_queue *queue, gint64 id, const char *target,
                              GError **error);
gboolean dp_sqlite_rekey(dp_queue *queue, gint64 id, const char *sha256,
                         const char *recipe, gint64 *twin, GError **error);
gboolean dp_sqlite_recover(dp_queue *queue, guint *count, GError **error);
dp_doc *dp_sqlite_claim(dp_queue *queue, const dp_claim *claim, GError **error);
gboolean dp_sqlite_heartbeat(dp_queue *queue, gint64 lease_ms, GError **error);
gboolean dp_sqlite_next_due(dp_queue *queue, const char *lane, gint64 *ms,
                            GError **error);
gboolean dp_sqlite_advance(dp_queue *queue, gint64 id, dp_state to, GError **error);
gboolean dp_sqlite_publish(dp_queue *queue, gint64 id, const dp_publication *publication,
                           GError **error);
gboolean dp_sqlite_fail(dp_queue *queue, gint64 id, const dp_failure *failure,
                        dp_doc **after, GError **error);
gboolean dp_sqlite_given_up(dp_queue *queue, gint64 id, GError **error);
gboolean dp_sqlite_unclaim(dp_queue *queue, gint64 id, GError **error);
gboolean dp_sqlite_routed(dp_queue *queue, gint64 id, dp_lasting how, GError **error);
gboolean dp_sqlite_sync(dp_queue *queue, gboolean is_all, GError **error);
GPtrArray *dp_sqlite_actions(dp_queue *queue, gint64 document, GError **error);
gboolean dp_sqlite_actions_plan(dp_queue *queue, gint64 document, GPtrArray *plan,
                                GError **error);
gboolean dp_sqlite_action_start(dp_queue *queue, gint64 action, const char *detail,
                                dp_lasting how, GError **error);
gboolean dp_sqlite_action_done(dp_queue *queue, gint64 action, const char *moved_to,
                               GError **error);
gboolean dp_sqlite_action_fail(dp_queue *queue, gint64 action, const dp_failure *failure,
                               GError **error);
gboolean dp_sqlite_counts(dp_queue *queue, const char *lane, dp_counts *counts,
                          GError **error);
json_t *dp_sqlite_reasons(dp_queue *queue, const char *lane, GError **error);
GPtrArray *dp_sqlite_list(dp_queue *queue, const dp_filter *f, GError **error);
gboolean dp_sqlite_retry(dp_queue *queue, const char *lane, gint64 id, dp_retry which,
                         guint *count, GError **error);
gboolean dp_sqlite_redo(dp_queue *queue, gint64 id, GError **error);
gboolean dp_sqlite_prune(dp_queue *queue, const char *lane, gint64 before, guint *count,
                         GError **error);
gboolean dp_sqlite_forget(dp_queue *queue, const char *lane, gint64 id, guint *count,
                          GError **error);

#endif

/*
 * queue_sqlite.c - the journal in an SQLite file: opened, made, checked, closed.
 */
#include "queue_sqlite.h"

#include <errno.h>
#include <unistd.h>

static void free_queue(dp_queue *queue)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    for (guint i = 0; i < DP_SQL_COUNT; i++)
        sqlite3_finalize(q->statements[i]);
    if (q->db != NULL)
        sqlite3_close_v2(q->db);
    g_mutex_clear(&q->lock);
    g_free(q->path);
    g_free(q);
}

static const dp_queue_class sqlite_class = {
    .free = free_queue,
    .add = dp_sqlite_add,
    .known_hash = dp_sqlite_known_hash,
    .claim = dp_sqlite_claim,
    .recover = dp_sqlite_recover,
    .heartbeat = dp_sqlite_heartbeat,
    .next_due = dp_sqlite_next_due,
    .advance = dp_sqlite_advance,
    .publish = dp_sqlite_publish,
    .fail = dp_sqlite_fail,
    .given_up = dp_sqlite_given_up,
    .unclaim = dp_sqlite_unclaim,
    .routed = dp_sqlite_routed,
    .sync = dp_sqlite_sync,
    .set_path = dp_sqlite_set_path,
    .set_origin = dp_sqlite_set_origin,
    .set_target = dp_sqlite_set_target,
    .rekey = dp_sqlite_rekey,
    .get = dp_sqlite_get,
    .find = dp_sqlite_find,
    .actions_plan = dp_sqlite_actions_plan,
    .actions = dp_sqlite_actions,
    .action_start = dp_sqlite_action_start,
    .action_done = dp_sqlite_action_done,
    .action_fail = dp_sqlite_action_fail,
    .counts = dp_sqlite_counts,
    .reasons = dp_sqlite_reasons,
    .list = dp_sqlite_list,
    .retry = dp_sqlite_retry,
    .redo = dp_sqlite_redo,
    .prune = dp_sqlite_prune,
    .forget = dp_sqlite_forget,
};

/* An empty file becomes a journal (*version 0); one of ours is taken, brought up to date when
 * it is older; all else is refused. */
static gboolean check_schema(dp_sqlite *q, gint64 *version, GError **error)
{
    gint64 application = 0, tables = 0;
    if (!dp_sqlite_number(q, error, &application, DP_SQL_APPLICATION, "") ||
        !dp_sqlite_number(q, error, version, DP_SQL_VERSION, "") ||
        !dp_sqlite_number(q, error, &tables, DP_SQL_TABLES, ""))
        return FALSE;
    if (application == 0 && *version == 0 && tables == 0)
        return TRUE;
    if (application != DP_SQLITE_APPLICATION) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_DAMAGED,
                    "journal %s: a database, but not docvl's", q->path);
        return FALSE;
    }
    if (*version < 1 || *version > DP_SQLITE_VERSION) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_VERSION,
                    "journal %s: written by another docvl (version %" G_GINT64_FORMAT
                    ", this one knows 1 to %d)",
                    q->path, *version, DP_SQLITE_VERSION);
        return FALSE;
    }
    return TRUE;
}

static gboolean make_schema(dp_sqlite *q, GError **error)
{
    gint64 version = 0;
    if (!check_schema(q, &version, error))
        return FALSE;
    if (version == DP_SQLITE_VERSION)
        return TRUE;
    if (!dp_sqlite_begin(q, DP_SYNC_FULL, error))
        return FALSE;
    /* Another process may have been faster. */
    gboolean is_ok = check_schema(q, &version, error);
    if (is_ok && version == 0)
        is_ok = dp_sqlite_exec(q, DP_SQL_SCHEMA, "creating tables", error);
    else if (is_ok && version == 1)
        is_ok = dp_sqlite_exec(q, DP_SQL_UPGRADE_1, "changing tables", error);
    return dp_sqlite_end(q, is_ok, is_ok ? error : NULL);
}

/* The change to WAL needs the file alone and does not wait by itself. */
static gboolean set_wal(dp_sqlite *q, GError **error)
{
    gint64 until = dp_monotonic_ms() + DP_BUSY_MS;
    for (;;) {
        int code = sqlite3_exec(q->db, dp_sql[DP_SQL_WAL], NULL, NULL, NULL);
        if (code == SQLITE_OK)
            return TRUE;
        if ((code & 0xff) != SQLITE_BUSY || dp_monotonic_ms() > until)
            return dp_sqlite_error(q, "switching to write-ahead logging", error);
        g_usleep(20000);
    }
}

dp_queue *dp_queue_sqlite_open(const char *path, dp_queue_mode mode, GError **error)
{
    if (mode == DP_QUEUE_EXISTING && access(path, F_OK) != 0) {
        g_set_error(error, DP_QUEUE_ERROR,
                    errno == ENOENT ? DP_QUEUE_NOTFOUND : DP_QUEUE_IO, "journal %s: %s",
                    path, g_strerror(errno));
        return NULL;
    }
    dp_sqlite *q = g_new0(dp_sqlite, 1);
    q->base.class = &sqlite_class;
    q->path = g_strdup(path);
    q->is_full = TRUE;
    q->recovered_at = -DP_RECOVER_EVERY_MS;
    g_mutex_init(&q->lock);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE |
                (mode == DP_QUEUE_CREATE ? SQLITE_OPEN_CREATE : 0);
    gboolean is_ok = sqlite3_open_v2(path, &q->db, flags, NULL) == SQLITE_OK;
    if (!is_ok && q->db == NULL)
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_IO, "journal %s: no memory", path);
    else if (!is_ok)
        dp_sqlite_error(q, "opening", error);
    if (is_ok) {
        sqlite3_busy_timeout(q->db, DP_BUSY_MS);
        is_ok = dp_sqlite_exec(q, DP_SQL_OPEN, "opening", error);
    }
    is_ok = is_ok && set_wal(q, error) && make_schema(q, error);
    if (!is_ok) {
        free_queue(&q->base);
        return NULL;
    }
    return &q->base;
}

/*
 * queue_sqlite_core.c - statements, transactions, rows, and the frames around them.
 */
#include "queue_sqlite.h"

#include <stdarg.h>
#include <string.h>

gboolean dp_sqlite_error(dp_sqlite *q, const char *what, GError **error)
{
    int full = sqlite3_extended_errcode(q->db), primary = full & 0xff;
    int code = primary == SQLITE_BUSY || primary == SQLITE_LOCKED      ? DP_QUEUE_BUSY
               : primary == SQLITE_FULL                                ? DP_QUEUE_FULL
               : primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB ? DP_QUEUE_DAMAGED
                                                                       : DP_QUEUE_IO;
    g_set_error(error, DP_QUEUE_ERROR, code, "journal %s: %s: %s (%d)", q->path, what,
                sqlite3_errmsg(q->db), full);
    return FALSE;
}

static sqlite3_stmt *prepare(dp_sqlite *q, dp_sql_id sql, GError **error)
{
    sqlite3_stmt **stmt = &q->statements[sql];
    if (*stmt == NULL &&
        sqlite3_prepare_v3(q->db, dp_sql[sql], -1, SQLITE_PREPARE_PERSISTENT, stmt,
                           NULL) != SQLITE_OK) {
        dp_sqlite_error(q, "preparing", error);
        return NULL;
    }
    return *stmt;
}

/* Types: s text (NULL is SQL's NULL), i gint64. */
static gboolean bind(sqlite3_stmt *stmt, const char *types, va_list list)
{
    int code = SQLITE_OK;
    for (int i = 1; *types != '\0' && code == SQLITE_OK; types++, i++) {
        if (*types == 's')
            code = sqlite3_bind_text(stmt, i, va_arg(list, const char *), -1,
                                     SQLITE_TRANSIENT);
        else
            code = sqlite3_bind_int64(stmt, i, va_arg(list, gint64));
    }
    return code == SQLITE_OK;
}

/* Ready to be stepped; the caller ends with dp_sqlite_done(). */
sqlite3_stmt *dp_sqlite_query(dp_sqlite *q, GError **error, dp_sql_id sql,
                              const char *types, ...)
{
    sqlite3_stmt *stmt = prepare(q, sql, error);
    if (stmt == NULL)
        return NULL;
    va_list list;
    va_start(list, types);
    gboolean is_ok = bind(stmt, types, list);
    va_end(list);
    if (!is_ok) {
        dp_sqlite_error(q, "binding", error);
        sqlite3_clear_bindings(stmt);
        return NULL;
    }
    return stmt;
}

void dp_sqlite_done(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt); /* repeats the error of the step, which was looked at */
    sqlite3_clear_bindings(stmt);
}

/* A statement without rows; *changed (may be NULL) gets the number of changed ones. */
gboolean dp_sqlite_run(dp_sqlite *q, GError **error, int *changed, dp_sql_id sql,
                       const char *types, ...)
{
    sqlite3_stmt *stmt = prepare(q, sql, error);
    if (stmt == NULL)
        return FALSE;
    va_list list;
    va_start(list, types);
    gboolean is_ok = bind(stmt, types, list);
    va_end(list);
    int code = is_ok ? sqlite3_step(stmt) : SQLITE_NOMEM;
    is_ok = code == SQLITE_DONE || code == SQLITE_ROW;
    if (!is_ok)
        dp_sqlite_error(q, "writing", error);
    else if (changed != NULL)
        *changed = sqlite3_changes(q->db);
    dp_sqlite_done(stmt);
    return is_ok;
}

gboolean dp_sqlite_number(dp_sqlite *q, GError **error, gint64 *number, dp_sql_id sql,
                          const char *types, ...)
{
    sqlite3_stmt *stmt = prepare(q, sql, error);
    if (stmt == NULL)
        return FALSE;
    va_list list;
    va_start(list, types);
    gboolean is_ok = bind(stmt, types, list) && sqlite3_step(stmt) == SQLITE_ROW;
    va_end(list);
    if (!is_ok)
        dp_sqlite_error(q, "reading", error);
    else if (sqlite3_column_type(stmt, 0) != SQLITE_NULL)
        *number = sqlite3_column_int64(stmt, 0);
    dp_sqlite_done(stmt);
    return is_ok;
}

gboolean dp_sqlite_exec(dp_sqlite *q, dp_sql_id sql, const char *what, GError **error)
{
    return sqlite3_exec(q->db, dp_sql[sql], NULL, NULL, NULL) == SQLITE_OK ||
           dp_sqlite_error(q, what, error);
}

gboolean dp_sqlite_begin(dp_sqlite *q, dp_sync level, GError **error)
{
    gboolean is_full = level == DP_SYNC_FULL;
    dp_sql_id sql = is_full ? DP_SQL_SYNC_FULL : DP_SQL_SYNC_NORMAL;
    if (q->is_full != is_full && !dp_sqlite_exec(q, sql, "choosing when to sync", error))
        return FALSE;
    q->is_full = is_full;
    return dp_sqlite_run(q, error, NULL, DP_SQL_BEGIN, "");
}

gboolean dp_sqlite_end(dp_sqlite *q, gboolean is_ok, GError **error)
{
    if (is_ok && dp_sqlite_run(q, error, NULL, DP_SQL_COMMIT, ""))
        return TRUE;
    if (sqlite3_get_autocommit(q->db) == 0)
        (void)dp_sqlite_run(q, NULL, NULL, DP_SQL_ROLLBACK,
                            ""); /* the first error is the one to tell */
    return FALSE;
}

static char *text_at(sqlite3_stmt *stmt, int column)
{
    return g_strdup((const char *)sqlite3_column_text(stmt, column));
}

char *dp_sqlite_text(sqlite3_stmt *stmt, int column)
{
    char *text = text_at(stmt, column);
    return text != NULL ? text : g_strdup("");
}

dp_doc *dp_sqlite_doc_at(sqlite3_stmt *stmt)
{
    dp_doc *doc = g_new0(dp_doc, 1);
    doc->id = sqlite3_column_int64(stmt, 0);
    doc->lane = dp_sqlite_text(stmt, 1);
    doc->path = dp_sqlite_text(stmt, 2);
    doc->origin = dp_sqlite_text(stmt, 3);
    doc->target = text_at(stmt, 4);
    doc->profile = dp_sqlite_text(stmt, 5);
    doc->sha256 = dp_sqlite_text(stmt, 6);
    doc->recipe = dp_sqlite_text(stmt, 7);
    g_autofree char *state = dp_sqlite_text(stmt, 8);
    if (!dp_state_parse(state, &doc->state))
        doc->state = DP_STATE_QUARANTINED; /* nobody works on what nobody knows */
    doc->priority = sqlite3_column_int(stmt, 9);
    doc->bytes = sqlite3_column_int64(stmt, 10);
    doc->added_at = sqlite3_column_int64(stmt, 11);
    doc->changed_at = sqlite3_column_int64(stmt, 12);
    doc->next_at = sqlite3_column_int64(stmt, 13);
    doc->attempts = (guint)sqlite3_column_int(stmt, 14);
    doc->stalls = (guint)sqlite3_column_int(stmt, 15);
    doc->code = dp_sqlite_text(stmt, 16);
    doc->reason = dp_sqlite_text(stmt, 17);
    doc->worker = dp_sqlite_text(stmt, 18);
    doc->status = dp_sqlite_text(stmt, 19);
    doc->pages = (guint)sqlite3_column_int(stmt, 20);
    doc->work_ms = sqlite3_column_int64(stmt, 21);
    doc->is_giving_up = sqlite3_column_int(stmt, 22) != 0;
    return doc;
}

/* The row of a query for one document; NULL without error: none. */
dp_doc *dp_sqlite_one_doc(dp_sqlite *q, sqlite3_stmt *stmt, GError **error)
{
    if (stmt == NULL)
        return NULL;
    int code = sqlite3_step(stmt);
    dp_doc *doc = code == SQLITE_ROW ? dp_sqlite_doc_at(stmt) : NULL;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        dp_sqlite_error(q, "reading", error);
    dp_sqlite_done(stmt);
    return doc;
}

dp_doc *dp_sqlite_find_doc(dp_sqlite *q, gint64 id, GError **error)
{
    g_autoptr(GError) inner = NULL;
    sqlite3_stmt *stmt = dp_sqlite_query(q, &inner, DP_SQL_DOC, "i", id);
    dp_doc *doc = dp_sqlite_one_doc(q, stmt, &inner);
    if (inner != NULL)
        g_propagate_error(error, g_steal_pointer(&inner));
    else if (doc == NULL)
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND,
                    "document %" G_GINT64_FORMAT " is not in the journal", id);
    return doc;
}

/* A document that this process holds. */
dp_doc *dp_sqlite_held_doc(dp_sqlite *q, gint64 id, GError **error)
{
    g_autoptr(dp_doc) doc = dp_sqlite_find_doc(q, id, error);
    if (doc == NULL)
        return NULL;
    if (strcmp(doc->worker, dp_worker_self()) == 0)
        return g_steal_pointer(&doc);
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_LOST,
                "%s: another worker has it, or its lease ended", doc->origin);
    return NULL;
}

gboolean dp_sqlite_may_become(const dp_doc *doc, dp_state to, GError **error)
{
    if (dp_state_leads(doc->state, to))
        return TRUE;
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE, "%s: no way from %s to %s",
                doc->origin, dp_state_name(doc->state), dp_state_name(to));
    return FALSE;
}

/* ---- frames -------------------------------------------------------------------------- */

gboolean dp_sqlite_write(dp_queue *queue, dp_sync level, dp_sqlite_work work,
                         gpointer data, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    int changes = sqlite3_total_changes(q->db);
    gboolean is_ok = dp_sqlite_begin(q, level, error);
    if (is_ok) {
        is_ok = work(q, data, error);
        is_ok = dp_sqlite_end(q, is_ok, is_ok ? error : NULL);
    }
    /* A transaction that wrote nothing has synced nothing either. */
    gboolean is_written = is_ok && sqlite3_total_changes(q->db) != changes;
    if (is_written && level != DP_SYNC_NORMAL)
        q->is_owing = level == DP_SYNC_OWED;
    g_mutex_unlock(&q->lock);
    return is_ok;
}

/* The log holds every transaction that was committed and is not in the database yet; what is
 * in the database was synced by the checkpoint that brought it there. */
gboolean dp_sqlite_sync(dp_queue *queue, gboolean is_all, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    gboolean is_ok = TRUE;
    if (is_all || q->is_owing) {
        sqlite3_file *wal = NULL;
        int code =
            sqlite3_file_control(q->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal);
        if (code == SQLITE_OK && wal != NULL && wal->pMethods != NULL)
            code = wal->pMethods->xSync(wal, SQLITE_SYNC_NORMAL);
        is_ok = code == SQLITE_OK;
        if (is_ok)
            q->is_owing = FALSE;
        else
            g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_IO,
                        "journal %s: syncing: %s (%d)", q->path, sqlite3_errstr(code),
                        code);
    }
    g_mutex_unlock(&q->lock);
    return is_ok;
}

typedef struct held {
    gint64 id;
    dp_sqlite_step step;
    gconstpointer data;
} held;

static gboolean with_held(dp_sqlite *q, gpointer data, GError **error)
{
    const held *h = data;
    g_autoptr(dp_doc) doc = dp_sqlite_held_doc(q, h->id, error);
    return doc != NULL && h->step(q, doc, h->data, error);
}

gboolean dp_sqlite_report(dp_queue *queue, gint64 id, dp_sync level, dp_sqlite_step step,
                          gconstpointer data, GError **error)
{
    held h = { id, step, data };
    return dp_sqlite_write(queue, level, with_held, &h, error);
}

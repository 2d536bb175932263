/*
 * queue_sqlite.c - the journal in an SQLite file; the only file with SQL in it.
 *
 * Write-ahead logging: readers never wait, writers take turns.  A transaction that carries
 * a promise is committed with synchronous=FULL, which syncs the log and with it all that
 * was written before; the others with NORMAL, which costs no sync.  Every transaction
 * begins IMMEDIATE: what it read is still true when it writes.
 */
#include "queue_backend.h"

#include <assert.h>
#include <errno.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define APPLICATION_ID   0x646f6376 /* "docv" */
#define SCHEMA_VERSION   1
#define RECOVER_EVERY_MS 1000

typedef enum sync { SYNC_NORMAL, SYNC_FULL } sync_level;

typedef struct sqlite_queue {
    dp_queue base;
    GMutex lock; /* the handle is used by one thread at a time */
    sqlite3 *db;
    char *path;
    GHashTable *statements; /* SQL text (its address) to sqlite3_stmt */
    sync_level level;
    gint64 recovered_at; /* monotonic ms */
} sqlite_queue;

static const char schema_sql[] =
    "CREATE TABLE documents("
    " id INTEGER PRIMARY KEY AUTOINCREMENT, lane TEXT NOT NULL, path TEXT NOT NULL,"
    " origin TEXT NOT NULL, target TEXT, profile TEXT NOT NULL, sha256 TEXT NOT NULL,"
    " recipe TEXT NOT NULL, state TEXT NOT NULL, priority INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, added_at INTEGER NOT NULL, changed_at INTEGER NOT NULL,"
    " next_at INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,"
    " stalls INTEGER NOT NULL DEFAULT 0, code TEXT NOT NULL DEFAULT '',"
    " reason TEXT NOT NULL DEFAULT '', worker TEXT NOT NULL DEFAULT '',"
    " lease_wall INTEGER NOT NULL DEFAULT 0, lease_monotonic INTEGER NOT NULL DEFAULT 0,"
    " status TEXT NOT NULL DEFAULT '', pages INTEGER NOT NULL DEFAULT 0,"
    " work_ms INTEGER NOT NULL DEFAULT 0, UNIQUE(lane, sha256, recipe)) STRICT;"
    "CREATE INDEX documents_waiting ON documents(priority DESC, id)"
    " WHERE worker='' AND state IN ('settled','failed','published');"
    "CREATE INDEX documents_leased ON documents(worker) WHERE worker<>'';"
    "CREATE INDEX documents_state ON documents(state, changed_at);"
    "CREATE INDEX documents_path ON documents(path);"
    "CREATE INDEX documents_origin ON documents(origin);"
    /* What was looked at, so that an unchanged file is not hashed again. */
    "CREATE TABLE files("
    " lane TEXT NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL,"
    " mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,"
    " sha256 TEXT NOT NULL, PRIMARY KEY(lane, path)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE actions("
    " id INTEGER PRIMARY KEY AUTOINCREMENT,"
    " document INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,"
    " position INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,"
    " state TEXT NOT NULL DEFAULT 'pending', attempts INTEGER NOT NULL DEFAULT 0,"
    " next_at INTEGER NOT NULL DEFAULT 0, detail TEXT NOT NULL DEFAULT '',"
    " reason TEXT NOT NULL DEFAULT '', UNIQUE(document, position)) STRICT;"
    "CREATE INDEX actions_open ON actions(document) WHERE state IN ('pending','started');"
    "PRAGMA application_id=1685021558;"
    "PRAGMA user_version=1;";
_Static_assert(APPLICATION_ID == 1685021558, "the number in the SQL is this one");

#define DOC_COLUMNS                                                                      \
    "id, lane, path, origin, target, profile, sha256, recipe, state, priority, bytes, "  \
    "added_at, changed_at, next_at, attempts, stalls, code, reason, worker, status, "    \
    "pages, work_ms"

/* ---- errors and statements ------------------------------------------------------------ */

static gboolean fail_sql(sqlite_queue *q, const char *what, GError **error)
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

/* Statements are prepared once; `sql` is a literal, its address is the key. */
static sqlite3_stmt *prepare(sqlite_queue *q, const char *sql, GError **error)
{
    sqlite3_stmt *stmt = g_hash_table_lookup(q->statements, sql);
    if (stmt != NULL)
        return stmt;
    if (sqlite3_prepare_v3(q->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL) !=
        SQLITE_OK) {
        fail_sql(q, "preparing", error);
        return NULL;
    }
    g_hash_table_insert(q->statements, (gpointer)sql, stmt);
    return stmt;
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

/* Ready to be stepped; the caller ends with done(). */
static sqlite3_stmt *query(sqlite_queue *q, GError **error, const char *sql,
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
        fail_sql(q, "binding", error);
        sqlite3_clear_bindings(stmt);
        return NULL;
    }
    return stmt;
}

static void done(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt); /* repeats the error of the step, which was looked at */
    sqlite3_clear_bindings(stmt);
}

/* A statement without rows; *changed (may be NULL) gets the number of changed ones. */
static gboolean run(sqlite_queue *q, GError **error, int *changed, const char *sql,
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
        fail_sql(q, "writing", error);
    else if (changed != NULL)
        *changed = sqlite3_changes(q->db);
    done(stmt);
    return is_ok;
}

static gboolean begin(sqlite_queue *q, sync_level level, GError **error)
{
    if (q->level != level) {
        const char *sql =
            level == SYNC_FULL ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL";
        if (sqlite3_exec(q->db, sql, NULL, NULL, NULL) != SQLITE_OK)
            return fail_sql(q, "choosing when to sync", error);
        q->level = level;
    }
    return run(q, error, NULL, "BEGIN IMMEDIATE", "");
}

/* Commit, or roll back when is_ok says that something went wrong. */
static gboolean end(sqlite_queue *q, gboolean is_ok, GError **error)
{
    if (is_ok && run(q, error, NULL, "COMMIT", ""))
        return TRUE;
    if (sqlite3_get_autocommit(q->db) == 0)
        (void)run(q, NULL, NULL, "ROLLBACK", ""); /* the first error is the one to tell */
    return FALSE;
}

static char *text_at(sqlite3_stmt *stmt, int column)
{
    return g_strdup((const char *)sqlite3_column_text(stmt, column));
}

static char *string_at(sqlite3_stmt *stmt, int column)
{
    char *text = text_at(stmt, column);
    return text != NULL ? text : g_strdup("");
}

static dp_doc *doc_at(sqlite3_stmt *stmt)
{
    dp_doc *doc = g_new0(dp_doc, 1);
    doc->id = sqlite3_column_int64(stmt, 0);
    doc->lane = string_at(stmt, 1);
    doc->path = string_at(stmt, 2);
    doc->origin = string_at(stmt, 3);
    doc->target = text_at(stmt, 4);
    doc->profile = string_at(stmt, 5);
    doc->sha256 = string_at(stmt, 6);
    doc->recipe = string_at(stmt, 7);
    g_autofree char *state = string_at(stmt, 8);
    if (!dp_state_parse(state, &doc->state))
        doc->state = DP_STATE_QUARANTINED; /* nobody works on what nobody knows */
    doc->priority = sqlite3_column_int(stmt, 9);
    doc->bytes = sqlite3_column_int64(stmt, 10);
    doc->added_at = sqlite3_column_int64(stmt, 11);
    doc->changed_at = sqlite3_column_int64(stmt, 12);
    doc->next_at = sqlite3_column_int64(stmt, 13);
    doc->attempts = (guint)sqlite3_column_int(stmt, 14);
    doc->stalls = (guint)sqlite3_column_int(stmt, 15);
    doc->code = string_at(stmt, 16);
    doc->reason = string_at(stmt, 17);
    doc->worker = string_at(stmt, 18);
    doc->status = string_at(stmt, 19);
    doc->pages = (guint)sqlite3_column_int(stmt, 20);
    doc->work_ms = sqlite3_column_int64(stmt, 21);
    return doc;
}

/* The row of a query for one document; NULL without error: none. */
static dp_doc *one_doc(sqlite_queue *q, sqlite3_stmt *stmt, GError **error)
{
    if (stmt == NULL)
        return NULL;
    int code = sqlite3_step(stmt);
    dp_doc *doc = code == SQLITE_ROW ? doc_at(stmt) : NULL;
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        fail_sql(q, "reading", error);
    done(stmt);
    return doc;
}

static dp_doc *find_doc(sqlite_queue *q, gint64 id, GError **error)
{
    g_autoptr(GError) inner = NULL;
    sqlite3_stmt *stmt =
        query(q, &inner, "SELECT " DOC_COLUMNS " FROM documents WHERE id=?1", "i", id);
    dp_doc *doc = one_doc(q, stmt, &inner);
    if (inner != NULL)
        g_propagate_error(error, g_steal_pointer(&inner));
    else if (doc == NULL)
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND,
                    "document %" G_GINT64_FORMAT " is not in the journal", id);
    return doc;
}

/* A document that this process holds. */
static dp_doc *held_doc(sqlite_queue *q, gint64 id, GError **error)
{
    g_autoptr(dp_doc) doc = find_doc(q, id, error);
    if (doc == NULL)
        return NULL;
    if (strcmp(doc->worker, dp_worker_self()) == 0)
        return g_steal_pointer(&doc);
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_LOST,
                "%s: another worker has it, or its lease ended", doc->origin);
    return NULL;
}

static gboolean may_become(const dp_doc *doc, dp_state to, GError **error)
{
    if (dp_state_leads(doc->state, to))
        return TRUE;
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE, "%s: no way from %s to %s",
                doc->origin, dp_state_name(doc->state), dp_state_name(to));
    return FALSE;
}

/* ---- arrivals -------------------------------------------------------------------------- */

static gboolean remember_file(sqlite_queue *q, const dp_arrival *a, GError **error)
{
    return run(q, error, NULL,
               "INSERT INTO files(lane, path, size, mtime_ns, ctime_ns, inode, sha256)"
               " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(lane, path) DO UPDATE SET"
               " size=?3, mtime_ns=?4, ctime_ns=?5, inode=?6, sha256=?7",
               "ssiiiis", a->lane, a->path, a->stamp.size, a->stamp.mtime_ns,
               a->stamp.ctime_ns, (gint64)a->stamp.inode, a->sha256);
}

static gboolean insert_doc(sqlite_queue *q, const dp_arrival *a, dp_added *added,
                           GError **error)
{
    if (!run(q, error, NULL,
             "INSERT INTO documents(lane, path, origin, target, profile, sha256, recipe,"
             " state, priority, bytes, added_at, changed_at)"
             " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 'settled', ?8, ?9, ?10, ?10)",
             "sssssssiii", a->lane, a->path, a->origin != NULL ? a->origin : a->path,
             a->target, a->profile != NULL ? a->profile : "", a->sha256, a->recipe,
             (gint64)a->priority, a->stamp.size, dp_now_ms()))
        return FALSE;
    *added = (dp_added){ .how = DP_ADD_NEW,
                         .id = sqlite3_last_insert_rowid(q->db),
                         .state = DP_STATE_SETTLED };
    return TRUE;
}

static gboolean reset_doc(sqlite_queue *q, gint64 id, GError **error)
{
    return run(q, error, NULL, "DELETE FROM actions WHERE document=?1", "i", id) &&
           run(q, error, NULL,
               "UPDATE documents SET state='settled', attempts=0, stalls=0, next_at=0,"
               " status='', code='', reason='', pages=0, work_ms=0, worker='',"
               " changed_at=?2 WHERE id=?1",
               "ii", id, dp_now_ms());
}

/* `doc` has the content and recipe of the arrival already. */
static gboolean recognise(sqlite_queue *q, const dp_arrival *a, const dp_doc *doc,
                          dp_added *added, GError **error)
{
    gboolean is_same =
        strcmp(doc->path, a->path) == 0 ||
        g_strcmp0(doc->origin, a->origin != NULL ? a->origin : a->path) == 0;
    gboolean is_idle = *doc->worker == '\0' && doc->state != DP_STATE_SETTLED &&
                       doc->state != DP_STATE_PUBLISHED;
    *added = (dp_added){ .id = doc->id, .state = doc->state };
    if (a->is_forced && is_idle) {
        added->how = DP_ADD_FORCED;
        added->state = DP_STATE_SETTLED;
        return reset_doc(q, doc->id, error) &&
               run(q, error, NULL,
                   "UPDATE documents SET path=?2, origin=?3, target=?4, profile=?5,"
                   " priority=?6 WHERE id=?1",
                   "issssi", doc->id, a->path, a->origin != NULL ? a->origin : a->path,
                   a->target, a->profile != NULL ? a->profile : "", (gint64)a->priority);
    }
    added->how = !is_same                        ? DP_ADD_TWIN
                 : doc->state == DP_STATE_ROUTED ? DP_ADD_DONE
                 : doc->state == DP_STATE_FAILED || doc->state == DP_STATE_QUARANTINED
                     ? DP_ADD_FAILED
                     : DP_ADD_PENDING;
    return TRUE;
}

static dp_doc *doc_by_key(sqlite_queue *q, const char *lane, const char *sha256,
                          const char *recipe, GError **error)
{
    return one_doc(q,
                   query(q, error,
                         "SELECT " DOC_COLUMNS
                         " FROM documents WHERE lane=?1 AND sha256=?2 AND recipe=?3",
                         "sss", lane, sha256, recipe),
                   error);
}

static gboolean known_hash_locked(sqlite_queue *q, const char *lane, const char *path,
                                  const dp_stamp *stamp, char sha256[65])
{
    sqlite3_stmt *stmt =
        query(q, NULL,
              "SELECT sha256 FROM files WHERE lane=?1 AND path=?2 AND size=?3 AND"
              " mtime_ns=?4 AND ctime_ns=?5 AND inode=?6",
              "ssiiii", lane, path, stamp->size, stamp->mtime_ns, stamp->ctime_ns,
              (gint64)stamp->inode);
    if (stmt == NULL)
        return FALSE;
    gboolean is_known = sqlite3_step(stmt) == SQLITE_ROW;
    const char *text = is_known ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    is_known = text != NULL && strlen(text) == 64;
    if (is_known)
        memcpy(sha256, text, 65);
    done(stmt);
    return is_known;
}

static gboolean sqlite_known_hash(dp_queue *queue, const char *lane, const char *path,
                                  const dp_stamp *stamp, char sha256[65])
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    gboolean is_known = known_hash_locked(q, lane, path, stamp, sha256);
    g_mutex_unlock(&q->lock);
    return is_known;
}

static gboolean add_locked(sqlite_queue *q, const dp_arrival *a, dp_added *added,
                           GError **error)
{
    if (!begin(q, a->is_light ? SYNC_NORMAL : SYNC_FULL, error))
        return FALSE;
    g_autoptr(GError) inner = NULL;
    g_autoptr(dp_doc) doc = doc_by_key(q, a->lane, a->sha256, a->recipe, &inner);
    gboolean is_ok = inner == NULL && remember_file(q, a, &inner);
    if (is_ok)
        is_ok = doc != NULL ? recognise(q, a, doc, added, &inner)
                            : insert_doc(q, a, added, &inner);
    is_ok = end(q, is_ok, inner == NULL ? &inner : NULL);
    if (!is_ok)
        g_propagate_error(error, g_steal_pointer(&inner));
    return is_ok;
}

/* Most arrivals of a line that is run again are known, and need no transaction. */
static gboolean is_unchanged(sqlite_queue *q, const dp_arrival *a, dp_added *added)
{
    char sha256[65];
    if (a->is_forced || !known_hash_locked(q, a->lane, a->path, &a->stamp, sha256) ||
        strcmp(sha256, a->sha256) != 0)
        return FALSE;
    g_autoptr(dp_doc) doc = doc_by_key(q, a->lane, a->sha256, a->recipe, NULL);
    return doc != NULL && recognise(q, a, doc, added, NULL);
}

static gboolean sqlite_add(dp_queue *queue, const dp_arrival *a, dp_added *added,
                           GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    dp_added result = { 0 };
    g_mutex_lock(&q->lock);
    gboolean is_ok = is_unchanged(q, a, &result) || add_locked(q, a, &result, error);
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *added = result;
    return is_ok;
}

/* ---- leases ----------------------------------------------------------------------------- */

/* Is the time of a wait over?  Too far away to be one of ours: the clock was set back. */
#define IS_DUE "(next_at<=?1 OR next_at>?1+10800000)"
_Static_assert(DP_WAIT_MAX_MS == 10800000, "the number in the SQL is this one");

static gboolean take_back(sqlite_queue *q, const dp_doc *doc, GError **error)
{
    gint64 now = dp_now_ms();
    guint attempts = doc->attempts + 1;
    gint64 wait = dp_backoff_ms(attempts);
    gboolean is_published = doc->state == DP_STATE_PUBLISHED;
    const char *state = wait < 0       ? "quarantined"
                        : is_published ? "published"
                        : attempts > 1 ? "failed"
                                       : "settled";
    return run(q, error, NULL,
               "UPDATE actions SET attempts=attempts+1 WHERE document=?1 AND"
               " state='started'",
               "i", doc->id) &&
           run(q, error, NULL,
               "UPDATE documents SET state=?2, worker='', attempts=?3, next_at=?4,"
               " code='worker_lost', reason='the process that worked on it died or hung',"
               " changed_at=?5 WHERE id=?1",
               "isiii", doc->id, state, (gint64)attempts,
               attempts > 1 && wait > 0 ? now + wait : (gint64)0, now);
}

static gboolean is_lease_over(const dp_doc *doc, gint64 lease_wall,
                              gint64 lease_monotonic)
{
    if (strcmp(doc->worker, dp_worker_self()) == 0)
        return FALSE;
    if (dp_worker_is_dead(doc->worker))
        return TRUE;
    return dp_worker_is_same_boot(doc->worker) ? lease_monotonic < dp_monotonic_ms()
                                               : lease_wall < dp_now_ms();
}

/* Documents whose lease is over.  In a transaction when it is to be believed. */
static GPtrArray *find_orphans(sqlite_queue *q, GError **error)
{
    sqlite3_stmt *stmt = query(q, error,
                               "SELECT " DOC_COLUMNS ", lease_wall, lease_monotonic"
                               " FROM documents WHERE worker<>''",
                               "");
    if (stmt == NULL)
        return NULL;
    g_autoptr(GPtrArray) orphans =
        g_ptr_array_new_with_free_func((GDestroyNotify)dp_doc_free);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autoptr(dp_doc) doc = doc_at(stmt);
        if (is_lease_over(doc, sqlite3_column_int64(stmt, 22),
                          sqlite3_column_int64(stmt, 23)))
            g_ptr_array_add(orphans, g_steal_pointer(&doc));
    }
    if (code != SQLITE_DONE)
        fail_sql(q, "reading", error);
    done(stmt);
    return code == SQLITE_DONE ? g_steal_pointer(&orphans) : NULL;
}

static gboolean recover_locked(sqlite_queue *q, guint *count, GError **error)
{
    *count = 0;
    q->recovered_at = dp_monotonic_ms();
    /* A look costs nothing; only when something is to be done the writer's turn is taken. */
    g_autoptr(GPtrArray) first = find_orphans(q, error);
    if (first == NULL || first->len == 0)
        return first != NULL;
    if (!begin(q, SYNC_FULL, error))
        return FALSE;
    g_autoptr(GPtrArray) orphans = find_orphans(q, error);
    gboolean is_ok = orphans != NULL;
    for (guint i = 0; is_ok && i < orphans->len; i++)
        is_ok = take_back(q, g_ptr_array_index(orphans, i), error);
    if (!end(q, is_ok, is_ok ? error : NULL))
        return FALSE;
    *count = orphans->len;
    return TRUE;
}

static gboolean sqlite_recover(dp_queue *queue, guint *count, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    guint n = 0;
    g_mutex_lock(&q->lock);
    gboolean is_ok = recover_locked(q, &n, error);
    g_mutex_unlock(&q->lock);
    if (is_ok && count != NULL)
        *count = n;
    return is_ok;
}

#define WAITING "worker='' AND state IN ('settled','failed','published')"

static dp_doc *next_doc(sqlite_queue *q, const dp_claim *claim, GError **error)
{
    gint64 now = claim->is_now ? G_MAXINT64 / 2 : dp_now_ms();
    sqlite3_stmt *stmt;
    if (claim->id != 0)
        stmt = query(q, error,
                     "SELECT " DOC_COLUMNS " FROM documents WHERE id=?2 AND " WAITING
                     " AND " IS_DUE " AND (?3 IS NULL OR lane=?3)",
                     "iis", now, claim->id, claim->lane);
    else
        stmt = query(q, error,
                     "SELECT " DOC_COLUMNS " FROM documents WHERE " WAITING " AND " IS_DUE
                     " AND (?2 IS NULL OR lane=?2) ORDER BY priority DESC, id LIMIT 1",
                     "is", now, claim->lane);
    return one_doc(q, stmt, error);
}

static dp_doc *claim_locked(sqlite_queue *q, const dp_claim *claim, GError **error)
{
    guint count;
    if (dp_monotonic_ms() - q->recovered_at >= RECOVER_EVERY_MS &&
        !recover_locked(q, &count, error))
        return NULL;
    g_autoptr(GError) inner = NULL;
    g_autoptr(dp_doc) probe = next_doc(q, claim, &inner);
    if (probe == NULL || !begin(q, SYNC_NORMAL, &inner)) {
        if (inner != NULL)
            g_propagate_error(error, g_steal_pointer(&inner));
        return NULL;
    }
    gint64 lease = claim->lease_ms > 0 ? claim->lease_ms : dp_lease_ms();
    g_autoptr(dp_doc) doc = next_doc(q, claim, &inner);
    gboolean is_ok = inner == NULL;
    if (doc != NULL) {
        if (doc->state != DP_STATE_PUBLISHED)
            doc->state = DP_STATE_CLAIMED;
        g_free(doc->worker);
        doc->worker = g_strdup(dp_worker_self());
        is_ok = run(q, &inner, NULL,
                    "UPDATE documents SET state=?2, worker=?3, lease_wall=?4,"
                    " lease_monotonic=?5, changed_at=?6 WHERE id=?1",
                    "issiii", doc->id, dp_state_name(doc->state), doc->worker,
                    dp_now_ms() + lease, dp_monotonic_ms() + lease, dp_now_ms());
    }
    if (!end(q, is_ok, is_ok ? &inner : NULL)) {
        g_propagate_error(error, g_steal_pointer(&inner));
        return NULL;
    }
    return g_steal_pointer(&doc);
}

static dp_doc *sqlite_claim(dp_queue *queue, const dp_claim *claim, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    dp_doc *doc = claim_locked(q, claim, error);
    g_mutex_unlock(&q->lock);
    return doc;
}

static gboolean sqlite_heartbeat(dp_queue *queue, gint64 lease_ms, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, SYNC_NORMAL, error);
    if (is_ok) {
        is_ok =
            run(q, error, NULL,
                "UPDATE documents SET lease_wall=?2, lease_monotonic=?3 WHERE worker=?1",
                "sii", dp_worker_self(), dp_now_ms() + lease_ms,
                dp_monotonic_ms() + lease_ms);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    return is_ok;
}

static gboolean sqlite_next_due(dp_queue *queue, const char *lane, gint64 *ms,
                                GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    gint64 now = dp_now_ms(), wait = -1;
    g_mutex_lock(&q->lock);
    sqlite3_stmt *stmt =
        query(q, error,
              "SELECT min(CASE WHEN " IS_DUE " THEN 0 ELSE next_at-?1 END)"
              " FROM documents WHERE " WAITING " AND (?2 IS NULL OR lane=?2)",
              "is", now, lane);
    gboolean is_ok = stmt != NULL;
    if (is_ok) {
        is_ok = sqlite3_step(stmt) == SQLITE_ROW;
        if (!is_ok)
            fail_sql(q, "reading", error);
        else if (sqlite3_column_type(stmt, 0) != SQLITE_NULL)
            wait = sqlite3_column_int64(stmt, 0);
        done(stmt);
    }
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *ms = wait;
    return is_ok;
}

/* ---- reports of workers -------------------------------------------------------------------- */

/* The frame of all reports: lock, transaction, the document held, `step`, commit. */
typedef gboolean (*report_step)(sqlite_queue *q, dp_doc *doc, gconstpointer data,
                                GError **error);

static gboolean report(dp_queue *queue, gint64 id, sync_level level, report_step step,
                       gconstpointer data, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, level, error);
    if (is_ok) {
        g_autoptr(dp_doc) doc = held_doc(q, id, error);
        is_ok = doc != NULL && step(q, doc, data, error);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    return is_ok;
}

static gboolean step_advance(sqlite_queue *q, dp_doc *doc, gconstpointer data,
                             GError **error)
{
    dp_state to = *(const dp_state *)data;
    return may_become(doc, to, error) &&
           run(q, error, NULL, "UPDATE documents SET state=?2, changed_at=?3 WHERE id=?1",
               "isi", doc->id, dp_state_name(to), dp_now_ms());
}

static gboolean sqlite_advance(dp_queue *queue, gint64 id, dp_state to, GError **error)
{
    return report(queue, id, SYNC_NORMAL, step_advance, &to, error);
}

static gboolean step_publish(sqlite_queue *q, dp_doc *doc, gconstpointer data,
                             GError **error)
{
    const dp_publication *p = data;
    dp_state to = p->is_end ? DP_STATE_ROUTED : DP_STATE_PUBLISHED;
    return may_become(doc, to, error) &&
           run(q, error, NULL,
               "UPDATE documents SET state=?2, status=?3, pages=?4, work_ms=?5, "
               "attempts=0,"
               " stalls=0, next_at=0, code='', reason='', worker=?6, changed_at=?7"
               " WHERE id=?1",
               "issiisi", doc->id, dp_state_name(to), p->status, (gint64)p->pages,
               p->work_ms, p->is_end ? "" : doc->worker, dp_now_ms());
}

static gboolean sqlite_publish(dp_queue *queue, gint64 id,
                               const dp_publication *publication, GError **error)
{
    return report(queue, id, SYNC_FULL, step_publish, publication, error);
}

/* Attempts are spent by failures that count; `doc` is brought to what it becomes. */
static void note_failure(dp_doc *doc, const dp_failure *f)
{
    gint64 now = dp_now_ms();
    gboolean is_published = doc->state == DP_STATE_PUBLISHED;
    if (f->is_temporary && !f->is_final) {
        doc->stalls++;
        doc->next_at = now + dp_stall_ms(doc->stalls);
        doc->state = is_published ? DP_STATE_PUBLISHED : DP_STATE_SETTLED;
        return;
    }
    doc->attempts++;
    doc->stalls = 0;
    gint64 wait = f->is_final ? -1 : dp_backoff_ms(doc->attempts);
    doc->next_at = wait >= 0 ? now + wait : 0;
    doc->state = wait < 0       ? DP_STATE_QUARANTINED
                 : is_published ? DP_STATE_PUBLISHED
                                : DP_STATE_FAILED;
}

/* One line of at most DP_QUEUE_REASON_MAX bytes. */
static char *line_of(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    g_strdelimit(valid, "\r\n\t", ' ');
    if (strlen(valid) > DP_QUEUE_REASON_MAX) {
        char *cut = g_utf8_find_prev_char(valid, valid + DP_QUEUE_REASON_MAX);
        *(cut != NULL ? cut : valid) = '\0';
    }
    return valid;
}

static gboolean write_failure(sqlite_queue *q, const dp_doc *doc, const char *code,
                              const char *reason, const char *worker, GError **error)
{
    g_autofree char *line = line_of(reason);
    return run(
        q, error, NULL,
        "UPDATE documents SET state=?2, attempts=?3, stalls=?4, next_at=?5, code=?6,"
        " reason=?7, worker=?8, changed_at=?9 WHERE id=?1",
        "isiiisssi", doc->id, dp_state_name(doc->state), (gint64)doc->attempts,
        (gint64)doc->stalls, doc->next_at, code, line, worker, dp_now_ms());
}

static gboolean step_fail(sqlite_queue *q, dp_doc *doc, gconstpointer data,
                          GError **error)
{
    const dp_failure *f = data;
    note_failure(doc, f);
    return write_failure(q, doc, f->code, f->reason, "", error);
}

static dp_doc *sqlite_get(dp_queue *queue, gint64 id, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    dp_doc *doc = find_doc(q, id, error);
    g_mutex_unlock(&q->lock);
    return doc;
}

static dp_doc *sqlite_find(dp_queue *queue, const char *lane, const char *sha256,
                           const char *recipe, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    dp_doc *doc = doc_by_key(q, lane, sha256, recipe, error);
    g_mutex_unlock(&q->lock);
    return doc;
}

static gboolean sqlite_fail(dp_queue *queue, gint64 id, const dp_failure *failure,
                            dp_doc **after, GError **error)
{
    if (!report(queue, id, SYNC_FULL, step_fail, failure, error))
        return FALSE;
    if (after != NULL)
        *after = sqlite_get(queue, id, NULL); /* NULL: pruned by somebody meanwhile */
    return TRUE;
}

static gboolean step_unclaim(sqlite_queue *q, dp_doc *doc, gconstpointer data,
                             GError **error)
{
    dp_state to =
        doc->state == DP_STATE_PUBLISHED ? DP_STATE_PUBLISHED : DP_STATE_SETTLED;
    return run(q, error, NULL,
               "UPDATE documents SET state=?2, worker='', changed_at=?3 WHERE id=?1",
               "isi", doc->id, dp_state_name(to), dp_now_ms());
}

static gboolean sqlite_unclaim(dp_queue *queue, gint64 id, GError **error)
{
    return report(queue, id, SYNC_NORMAL, step_unclaim, NULL, error);
}

static gboolean step_routed(sqlite_queue *q, dp_doc *doc, gconstpointer data,
                            GError **error)
{
    sqlite3_stmt *stmt = query(
        q, error, "SELECT count(*) FROM actions WHERE document=?1 AND state<>'done'", "i",
        doc->id);
    if (stmt == NULL)
        return FALSE;
    gboolean is_ok = sqlite3_step(stmt) == SQLITE_ROW;
    gint64 open = is_ok ? sqlite3_column_int64(stmt, 0) : 0;
    if (!is_ok)
        fail_sql(q, "reading", error);
    done(stmt);
    if (open > 0) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE,
                    "%s: %" G_GINT64_FORMAT " actions are not done", doc->origin, open);
        return FALSE;
    }
    return is_ok && may_become(doc, DP_STATE_ROUTED, error) &&
           run(q, error, NULL,
               "UPDATE documents SET state='routed', worker='', attempts=0, stalls=0,"
               " next_at=0, code='', reason='', changed_at=?2 WHERE id=?1",
               "ii", doc->id, dp_now_ms());
}

static gboolean sqlite_routed(dp_queue *queue, gint64 id, GError **error)
{
    return report(queue, id, SYNC_FULL, step_routed, NULL, error);
}

/* ---- changes by others ------------------------------------------------------------------ */

/* One statement about one document that need not be held. */
static gboolean change_doc(dp_queue *queue, gint64 id, const char *sql, const char *value,
                           GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    int changed = 0;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, SYNC_FULL, error);
    if (is_ok) {
        is_ok = run(q, error, &changed, sql, "is", id, value);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    if (is_ok && changed == 0) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND,
                    "document %" G_GINT64_FORMAT " is not in the journal", id);
        return FALSE;
    }
    return is_ok;
}

static gboolean sqlite_set_path(dp_queue *queue, gint64 id, const char *path,
                                GError **error)
{
    return change_doc(queue, id, "UPDATE documents SET path=?2 WHERE id=?1", path, error);
}

static gboolean sqlite_set_target(dp_queue *queue, gint64 id, const char *target,
                                  GError **error)
{
    return change_doc(queue, id, "UPDATE documents SET target=?2 WHERE id=?1", target,
                      error);
}

static gboolean rekey_locked(sqlite_queue *q, gint64 id, const char *sha256,
                             const char *recipe, gint64 *twin, GError **error)
{
    g_autoptr(GError) inner = NULL;
    g_autoptr(dp_doc) doc = find_doc(q, id, error);
    if (doc == NULL)
        return FALSE;
    g_autoptr(dp_doc) other = doc_by_key(q, doc->lane, sha256, recipe, &inner);
    if (inner != NULL) {
        g_propagate_error(error, g_steal_pointer(&inner));
        return FALSE;
    }
    *twin = other != NULL && other->id != id ? other->id : 0;
    if (*twin != 0)
        return run(q, error, NULL, "DELETE FROM documents WHERE id=?1", "i", id);
    return run(q, error, NULL, "UPDATE documents SET sha256=?2, recipe=?3 WHERE id=?1",
               "iss", id, sha256, recipe);
}

static gboolean sqlite_rekey(dp_queue *queue, gint64 id, const char *sha256,
                             const char *recipe, gint64 *twin, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    gint64 other = 0;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, SYNC_FULL, error);
    if (is_ok) {
        is_ok = rekey_locked(q, id, sha256, recipe, &other, error);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *twin = other;
    return is_ok;
}

/* ---- actions -------------------------------------------------------------------------------- */

static const char *const action_states[] = { "pending", "started", "done", "failed" };

static dp_action *action_at(sqlite3_stmt *stmt)
{
    dp_action *action = g_new0(dp_action, 1);
    action->id = sqlite3_column_int64(stmt, 0);
    action->document = sqlite3_column_int64(stmt, 1);
    action->index = (guint)sqlite3_column_int(stmt, 2);
    action->kind = string_at(stmt, 3);
    action->key = string_at(stmt, 4);
    g_autofree char *state = string_at(stmt, 5);
    action->state = DP_ACTION_FAILED;
    for (guint i = 0; i < G_N_ELEMENTS(action_states); i++)
        if (strcmp(action_states[i], state) == 0)
            action->state = (dp_action_state)i;
    action->attempts = (guint)sqlite3_column_int(stmt, 6);
    action->next_at = sqlite3_column_int64(stmt, 7);
    action->detail = string_at(stmt, 8);
    action->reason = string_at(stmt, 9);
    return action;
}

#define ACTION_COLUMNS                                                                   \
    "id, document, position, kind, key, state, attempts, next_at, detail, reason"

static GPtrArray *actions_of(sqlite_queue *q, gint64 document, GError **error)
{
    sqlite3_stmt *stmt = query(q, error,
                               "SELECT " ACTION_COLUMNS
                               " FROM actions WHERE document=?1 ORDER BY position",
                               "i", document);
    if (stmt == NULL)
        return NULL;
    g_autoptr(GPtrArray) list =
        g_ptr_array_new_with_free_func((GDestroyNotify)dp_action_free);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
        g_ptr_array_add(list, action_at(stmt));
    if (code != SQLITE_DONE)
        fail_sql(q, "reading", error);
    done(stmt);
    return code == SQLITE_DONE ? g_steal_pointer(&list) : NULL;
}

static GPtrArray *sqlite_actions(dp_queue *queue, gint64 document, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    GPtrArray *list = actions_of(q, document, error);
    g_mutex_unlock(&q->lock);
    return list;
}

static gboolean step_plan(sqlite_queue *q, dp_doc *doc, gconstpointer data,
                          GError **error)
{
    const GPtrArray *plan = data;
    g_autoptr(GPtrArray) present = actions_of(q, doc->id, error);
    if (present == NULL)
        return FALSE;
    for (guint i = 0; present->len == 0 && i < plan->len; i++) {
        const dp_action *a = g_ptr_array_index((GPtrArray *)plan, i);
        if (!run(q, error, NULL,
                 "INSERT INTO actions(document, position, kind, key, detail)"
                 " VALUES(?1, ?2, ?3, ?4, ?5)",
                 "iisss", doc->id, (gint64)a->index, a->kind, a->key,
                 a->detail != NULL ? a->detail : ""))
            return FALSE;
    }
    return TRUE;
}

static gboolean sqlite_actions_plan(dp_queue *queue, gint64 document, GPtrArray *plan,
                                    GError **error)
{
    return report(queue, document, SYNC_FULL, step_plan, plan, error);
}

static dp_action *find_action(sqlite_queue *q, gint64 id, GError **error)
{
    sqlite3_stmt *stmt =
        query(q, error, "SELECT " ACTION_COLUMNS " FROM actions WHERE id=?1", "i", id);
    if (stmt == NULL)
        return NULL;
    int code = sqlite3_step(stmt);
    dp_action *action = code == SQLITE_ROW ? action_at(stmt) : NULL;
    if (code == SQLITE_DONE)
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND,
                    "action %" G_GINT64_FORMAT " is not in the journal", id);
    else if (code != SQLITE_ROW)
        fail_sql(q, "reading", error);
    done(stmt);
    return action;
}

/* The frame of the reports about actions: their document must be held. */
typedef gboolean (*action_step)(sqlite_queue *q, dp_doc *doc, dp_action *action,
                                gconstpointer data, GError **error);

static gboolean report_action(dp_queue *queue, gint64 id, action_step step,
                              gconstpointer data, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, SYNC_FULL, error);
    if (is_ok) {
        g_autoptr(dp_action) action = find_action(q, id, error);
        g_autoptr(dp_doc) doc =
            action != NULL ? held_doc(q, action->document, error) : NULL;
        is_ok = doc != NULL && step(q, doc, action, data, error);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    return is_ok;
}

static gboolean is_action_in(const dp_action *action, guint allowed, GError **error)
{
    if ((allowed >> action->state & 1) != 0)
        return TRUE;
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE, "action %u (%s) is %s already",
                action->index, action->kind, action_states[action->state]);
    return FALSE;
}

#define OPEN (1u << DP_ACTION_PENDING | 1u << DP_ACTION_STARTED)

static gboolean step_start(sqlite_queue *q, dp_doc *doc, dp_action *action,
                           gconstpointer data, GError **error)
{
    return is_action_in(action, OPEN, error) &&
           run(q, error, NULL,
               "UPDATE actions SET state='started', detail=coalesce(?2, detail) WHERE "
               "id=?1",
               "is", action->id, (const char *)data);
}

static gboolean sqlite_action_start(dp_queue *queue, gint64 action, const char *detail,
                                    GError **error)
{
    return report_action(queue, action, step_start, detail, error);
}

static gboolean step_done(sqlite_queue *q, dp_doc *doc, dp_action *action,
                          gconstpointer data, GError **error)
{
    return is_action_in(action, OPEN, error) &&
           run(q, error, NULL,
               "UPDATE actions SET state='done', next_at=0, reason='' WHERE id=?1", "i",
               action->id);
}

static gboolean sqlite_action_done(dp_queue *queue, gint64 action, GError **error)
{
    return report_action(queue, action, step_done, NULL, error);
}

static gboolean step_action_fail(sqlite_queue *q, dp_doc *doc, dp_action *action,
                                 gconstpointer data, GError **error)
{
    const dp_failure *f = data;
    if (!is_action_in(action, OPEN, error))
        return FALSE;
    /* The waits count the action's tries: each action of a document has its own. */
    doc->attempts = action->attempts;
    note_failure(doc, f);
    gboolean is_over = doc->state == DP_STATE_QUARANTINED;
    g_autofree char *line = line_of(f->reason);
    g_autofree char *reason =
        g_strdup_printf("action %u (%s): %s", action->index, action->kind, f->reason);
    return run(q, error, NULL,
               "UPDATE actions SET state=?2, attempts=?3, next_at=?4, reason=?5 WHERE "
               "id=?1",
               "isiis", action->id, is_over ? "failed" : "pending", (gint64)doc->attempts,
               doc->next_at, line) &&
           write_failure(q, doc, f->code, reason, is_over ? "" : doc->worker, error);
}

static gboolean sqlite_action_fail(dp_queue *queue, gint64 action,
                                   const dp_failure *failure, GError **error)
{
    return report_action(queue, action, step_action_fail, failure, error);
}

/* ---- for people --------------------------------------------------------------------------- */

static gboolean count_states(sqlite_queue *q, const char *lane, dp_counts *counts,
                             GError **error)
{
    sqlite3_stmt *stmt =
        query(q, error,
              "SELECT state, count(*), sum(pages), min(added_at) FROM documents"
              " WHERE ?1 IS NULL OR lane=?1 GROUP BY state",
              "s", lane);
    if (stmt == NULL)
        return FALSE;
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autofree char *name = string_at(stmt, 0);
        dp_state state;
        if (!dp_state_parse(name, &state))
            continue;
        counts->documents[state] = (guint64)sqlite3_column_int64(stmt, 1);
        counts->pages += (guint64)sqlite3_column_int64(stmt, 2);
        gint64 oldest = sqlite3_column_int64(stmt, 3);
        if (state != DP_STATE_ROUTED && state != DP_STATE_QUARANTINED &&
            (counts->oldest_at == 0 || oldest < counts->oldest_at))
            counts->oldest_at = oldest;
    }
    if (code != SQLITE_DONE)
        fail_sql(q, "reading", error);
    done(stmt);
    return code == SQLITE_DONE;
}

static gboolean count_actions(sqlite_queue *q, const char *lane, dp_counts *counts,
                              GError **error)
{
    sqlite3_stmt *stmt =
        query(q, error,
              "SELECT count(*) FROM actions JOIN documents ON documents.id=document"
              " WHERE actions.state IN ('pending','started') AND (?1 IS NULL OR lane=?1)",
              "s", lane);
    if (stmt == NULL)
        return FALSE;
    gboolean is_ok = sqlite3_step(stmt) == SQLITE_ROW;
    if (is_ok)
        counts->actions_open = (guint64)sqlite3_column_int64(stmt, 0);
    else
        fail_sql(q, "reading", error);
    done(stmt);
    return is_ok;
}

static gboolean sqlite_counts(dp_queue *queue, const char *lane, dp_counts *counts,
                              GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    dp_counts result = { 0 };
    g_mutex_lock(&q->lock);
    gboolean is_ok =
        count_states(q, lane, &result, error) && count_actions(q, lane, &result, error);
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *counts = result;
    return is_ok;
}

static json_t *sqlite_reasons(dp_queue *queue, const char *lane, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    sqlite3_stmt *stmt = query(q, error,
                               "SELECT code, count(*) FROM documents WHERE state IN"
                               " ('failed','quarantined') AND (?1 IS NULL OR lane=?1)"
                               " GROUP BY code ORDER BY code",
                               "s", lane);
    json_t *reasons = stmt != NULL ? json_object() : NULL;
    int code = SQLITE_DONE;
    while (stmt != NULL && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autofree char *name = string_at(stmt, 0);
        json_object_set_new(reasons, *name != '\0' ? name : "unknown",
                            json_integer(sqlite3_column_int64(stmt, 1)));
    }
    if (code != SQLITE_DONE) {
        fail_sql(q, "reading", error);
        g_clear_pointer(&reasons, json_decref);
    }
    if (stmt != NULL)
        done(stmt);
    g_mutex_unlock(&q->lock);
    return reasons;
}

static gboolean list_page(sqlite_queue *q, const dp_filter *f, gint64 after, guint limit,
                          GPtrArray *docs, gint64 *last, guint *seen, GError **error)
{
    sqlite3_stmt *stmt;
    if (f->path != NULL) /* by its two indexes */
        stmt =
            query(q, error,
                  "SELECT " DOC_COLUMNS " FROM documents WHERE (path=?3 OR origin=?3) AND"
                  " id>?1 AND (?2 IS NULL OR lane=?2) ORDER BY id LIMIT ?4",
                  "issi", after, f->lane, f->path, (gint64)limit);
    else
        stmt = query(q, error,
                     "SELECT " DOC_COLUMNS " FROM documents WHERE id>?1 AND"
                     " (?2 IS NULL OR lane=?2) ORDER BY id LIMIT ?3",
                     "isi", after, f->lane, (gint64)limit);
    if (stmt == NULL)
        return FALSE;
    int code;
    *seen = 0;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autoptr(dp_doc) doc = doc_at(stmt);
        *last = doc->id;
        (*seen)++;
        if (f->states == 0 || (f->states >> doc->state & 1) != 0)
            g_ptr_array_add(docs, g_steal_pointer(&doc));
    }
    if (code != SQLITE_DONE)
        fail_sql(q, "reading", error);
    done(stmt);
    return code == SQLITE_DONE;
}

static GPtrArray *sqlite_list(dp_queue *queue, const dp_filter *f, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_autoptr(GPtrArray) docs =
        g_ptr_array_new_with_free_func((GDestroyNotify)dp_doc_free);
    guint limit = f->limit > 0 ? f->limit : 1000, seen = limit;
    gint64 after = f->after_id;
    gboolean is_ok = TRUE;
    g_mutex_lock(&q->lock);
    while (is_ok && seen == limit && docs->len < limit)
        is_ok = list_page(q, f, after, limit, docs, &after, &seen, error);
    g_mutex_unlock(&q->lock);
    if (docs->len > limit)
        g_ptr_array_set_size(docs, (int)limit);
    return is_ok ? g_steal_pointer(&docs) : NULL;
}

/* A published document that waits for an action's next try counts as failed here. */
#define RETRIED                                                                          \
    " WHERE worker='' AND (?1 IS NULL OR lane=?1) AND (?2=0 OR id=?2) AND (state=?3 OR"  \
    " (state='published' AND next_at>0 AND ?3='failed'))"

static gboolean retry_locked(sqlite_queue *q, const char *lane, gint64 id, dp_retry which,
                             int *changed, GError **error)
{
    const char *state = which == DP_RETRY_FAILED ? "failed" : "quarantined";
    /* What was published before it failed is routed on, the rest is worked on again. */
    return run(q, error, NULL,
               "UPDATE actions SET state='pending', attempts=0, next_at=0 WHERE state IN"
               " ('failed','pending') AND document IN (SELECT id FROM documents" RETRIED
               ")",
               "sis", lane, id, state) &&
           run(q, error, changed,
               "UPDATE documents SET attempts=0, stalls=0, next_at=0, changed_at=?4,"
               " state=CASE WHEN status='' THEN 'settled' ELSE 'published' END" RETRIED,
               "sisi", lane, id, state, dp_now_ms());
}

static gboolean sqlite_retry(dp_queue *queue, const char *lane, gint64 id, dp_retry which,
                             guint *count, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    int changed = 0;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, SYNC_FULL, error);
    if (is_ok) {
        is_ok = retry_locked(q, lane, id, which, &changed, error);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *count = (guint)changed;
    return is_ok;
}

static gboolean sqlite_redo(dp_queue *queue, gint64 id, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, SYNC_FULL, error);
    if (is_ok) {
        g_autoptr(dp_doc) doc = find_doc(q, id, error);
        is_ok = doc != NULL && may_become(doc, DP_STATE_SETTLED, error) &&
                reset_doc(q, id, error);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    return is_ok;
}

static gboolean sqlite_prune(dp_queue *queue, const char *lane, gint64 before,
                             guint *count, GError **error)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    int changed = 0;
    g_mutex_lock(&q->lock);
    gboolean is_ok = begin(q, SYNC_FULL, error);
    if (is_ok) {
        is_ok = run(q, error, &changed,
                    "DELETE FROM documents WHERE state='routed' AND changed_at<?2 AND"
                    " (?1 IS NULL OR lane=?1)",
                    "si", lane, before) &&
                run(q, error, NULL,
                    "DELETE FROM files WHERE (?1 IS NULL OR lane=?1) AND NOT EXISTS"
                    " (SELECT 1 FROM documents WHERE documents.lane=files.lane AND"
                    " documents.sha256=files.sha256)",
                    "s", lane);
        is_ok = end(q, is_ok, is_ok ? error : NULL);
    }
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *count = (guint)changed;
    return is_ok;
}

/* ---- open and close -------------------------------------------------------------------------- */

static void sqlite_free(dp_queue *queue)
{
    sqlite_queue *q = (sqlite_queue *)queue;
    if (q->statements != NULL)
        g_hash_table_unref(q->statements);
    if (q->db != NULL)
        sqlite3_close_v2(q->db);
    g_mutex_clear(&q->lock);
    g_free(q->path);
    g_free(q);
}

static void finalize(gpointer stmt)
{
    sqlite3_finalize(stmt);
}

static const dp_queue_class sqlite_class = {
    .free = sqlite_free,
    .add = sqlite_add,
    .known_hash = sqlite_known_hash,
    .claim = sqlite_claim,
    .recover = sqlite_recover,
    .heartbeat = sqlite_heartbeat,
    .next_due = sqlite_next_due,
    .advance = sqlite_advance,
    .publish = sqlite_publish,
    .fail = sqlite_fail,
    .unclaim = sqlite_unclaim,
    .routed = sqlite_routed,
    .set_path = sqlite_set_path,
    .set_target = sqlite_set_target,
    .rekey = sqlite_rekey,
    .get = sqlite_get,
    .find = sqlite_find,
    .actions_plan = sqlite_actions_plan,
    .actions = sqlite_actions,
    .action_start = sqlite_action_start,
    .action_done = sqlite_action_done,
    .action_fail = sqlite_action_fail,
    .counts = sqlite_counts,
    .reasons = sqlite_reasons,
    .list = sqlite_list,
    .retry = sqlite_retry,
    .redo = sqlite_redo,
    .prune = sqlite_prune,
};

static gboolean read_number(sqlite_queue *q, const char *sql, gint64 *number,
                            GError **error)
{
    sqlite3_stmt *stmt = query(q, error, sql, "");
    if (stmt == NULL)
        return FALSE;
    gboolean is_ok = sqlite3_step(stmt) == SQLITE_ROW;
    if (is_ok)
        *number = sqlite3_column_int64(stmt, 0);
    else
        fail_sql(q, "reading", error);
    done(stmt);
    return is_ok;
}

/* An empty file becomes a journal; one of ours is taken; all else is refused. */
static gboolean check_schema(sqlite_queue *q, gboolean *is_empty, GError **error)
{
    gint64 application = 0, version = 0, tables = 0;
    if (!read_number(q, "PRAGMA application_id", &application, error) ||
        !read_number(q, "PRAGMA user_version", &version, error) ||
        !read_number(q, "SELECT count(*) FROM sqlite_master", &tables, error))
        return FALSE;
    *is_empty = application == 0 && version == 0 && tables == 0;
    if (*is_empty)
        return TRUE;
    if (application != APPLICATION_ID) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_DAMAGED,
                    "journal %s: a database, but not docvl's", q->path);
        return FALSE;
    }
    if (version != SCHEMA_VERSION) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_VERSION,
                    "journal %s: written by another docvl (version %" G_GINT64_FORMAT
                    ", this one knows %d)",
                    q->path, version, SCHEMA_VERSION);
        return FALSE;
    }
    return TRUE;
}

static gboolean make_schema(sqlite_queue *q, GError **error)
{
    gboolean is_empty = FALSE;
    if (!check_schema(q, &is_empty, error))
        return FALSE;
    if (!is_empty)
        return TRUE;
    if (!begin(q, SYNC_FULL, error))
        return FALSE;
    /* Another process may have been faster. */
    gboolean is_ok = check_schema(q, &is_empty, error);
    if (is_ok && is_empty) {
        is_ok = sqlite3_exec(q->db, schema_sql, NULL, NULL, NULL) == SQLITE_OK;
        if (!is_ok)
            fail_sql(q, "creating tables", error);
    }
    return end(q, is_ok, is_ok ? error : NULL);
}

/* The change to WAL needs the file alone and does not wait by itself. */
static gboolean set_wal(sqlite_queue *q, GError **error)
{
    gint64 until = dp_monotonic_ms() + DP_BUSY_MS;
    for (;;) {
        int code = sqlite3_exec(q->db, "PRAGMA journal_mode=WAL", NULL, NULL, NULL);
        if (code == SQLITE_OK)
            return TRUE;
        if ((code & 0xff) != SQLITE_BUSY || dp_monotonic_ms() > until)
            return fail_sql(q, "switching to write-ahead logging", error);
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
    sqlite_queue *q = g_new0(sqlite_queue, 1);
    q->base.class = &sqlite_class;
    q->path = g_strdup(path);
    q->level = SYNC_FULL;
    q->recovered_at = -RECOVER_EVERY_MS;
    g_mutex_init(&q->lock);
    q->statements = g_hash_table_new_full(g_direct_hash, g_direct_equal, NULL, finalize);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | SQLITE_OPEN_EXRESCODE |
                (mode == DP_QUEUE_CREATE ? SQLITE_OPEN_CREATE : 0);
    gboolean is_ok = sqlite3_open_v2(path, &q->db, flags, NULL) == SQLITE_OK;
    if (!is_ok && q->db == NULL)
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_IO, "journal %s: no memory", path);
    else if (!is_ok)
        fail_sql(q, "opening", error);
    if (is_ok) {
        sqlite3_busy_timeout(q->db, DP_BUSY_MS);
        is_ok = sqlite3_exec(q->db, "PRAGMA foreign_keys=ON; PRAGMA synchronous=FULL;",
                             NULL, NULL, NULL) == SQLITE_OK;
        if (!is_ok)
            fail_sql(q, "opening", error);
    }
    is_ok = is_ok && set_wal(q, error) && make_schema(q, error);
    if (!is_ok) {
        sqlite_free(&q->base);
        return NULL;
    }
    return &q->base;
}

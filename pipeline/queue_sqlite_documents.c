/*
 * queue_sqlite_documents.c - documents arrive, are looked up, and are changed by others than
 * their worker.
 */
#include "queue_sqlite.h"

#include <string.h>

/* ---- arrivals -------------------------------------------------------------------------- */

static gboolean remember_file(dp_sqlite *q, const dp_arrival *a, GError **error)
{
    return dp_sqlite_run(q, error, NULL, DP_SQL_FILE_PUT, "ssiiiis", a->lane, a->path,
                         a->stamp.size, a->stamp.mtime_ns, a->stamp.ctime_ns,
                         (gint64)a->stamp.inode, a->sha256);
}

static gboolean insert_doc(dp_sqlite *q, const dp_arrival *a, dp_added *added,
                           GError **error)
{
    if (!dp_sqlite_run(q, error, NULL, DP_SQL_DOC_ADD, "sssssssiii", a->lane, a->path,
                       a->origin != NULL ? a->origin : a->path, a->target,
                       a->profile != NULL ? a->profile : "", a->sha256, a->recipe,
                       (gint64)a->priority, a->stamp.size, dp_now_ms()))
        return FALSE;
    *added = (dp_added){ .how = DP_ADD_NEW,
                         .id = sqlite3_last_insert_rowid(q->db),
                         .state = DP_STATE_SETTLED };
    return TRUE;
}

gboolean dp_sqlite_reset_doc(dp_sqlite *q, gint64 id, GError **error)
{
    return dp_sqlite_run(q, error, NULL, DP_SQL_ACTIONS_DROP, "i", id) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_DOC_RESET, "ii", id, dp_now_ms());
}

/* `doc` has the content and recipe of the arrival already. */
static gboolean recognise(dp_sqlite *q, const dp_arrival *a, const dp_doc *doc,
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
        return dp_sqlite_reset_doc(q, doc->id, error) &&
               dp_sqlite_run(q, error, NULL, DP_SQL_DOC_FORCE, "issssi", doc->id, a->path,
                             a->origin != NULL ? a->origin : a->path, a->target,
                             a->profile != NULL ? a->profile : "", (gint64)a->priority);
    }
    added->how = !is_same                        ? DP_ADD_TWIN
                 : doc->state == DP_STATE_ROUTED ? DP_ADD_DONE
                 : doc->state == DP_STATE_FAILED || doc->state == DP_STATE_QUARANTINED
                     ? DP_ADD_FAILED
                     : DP_ADD_PENDING;
    return TRUE;
}

static dp_doc *doc_by_key(dp_sqlite *q, const char *lane, const char *sha256,
                          const char *recipe, GError **error)
{
    return dp_sqlite_one_doc(
        q, dp_sqlite_query(q, error, DP_SQL_DOC_BY_KEY, "sss", lane, sha256, recipe),
        error);
}

static gboolean known_hash_locked(dp_sqlite *q, const char *lane, const char *path,
                                  const dp_stamp *stamp, char sha256[65])
{
    sqlite3_stmt *stmt =
        dp_sqlite_query(q, NULL, DP_SQL_FILE_HASH, "ssiiii", lane, path, stamp->size,
                        stamp->mtime_ns, stamp->ctime_ns, (gint64)stamp->inode);
    if (stmt == NULL)
        return FALSE;
    gboolean is_known = sqlite3_step(stmt) == SQLITE_ROW;
    const char *text = is_known ? (const char *)sqlite3_column_text(stmt, 0) : NULL;
    is_known = text != NULL && strlen(text) == 64;
    if (is_known)
        memcpy(sha256, text, 65);
    dp_sqlite_done(stmt);
    return is_known;
}

gboolean dp_sqlite_known_hash(dp_queue *queue, const char *lane, const char *path,
                              const dp_stamp *stamp, char sha256[65])
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    gboolean is_known = known_hash_locked(q, lane, path, stamp, sha256);
    g_mutex_unlock(&q->lock);
    return is_known;
}

static gboolean add_locked(dp_sqlite *q, const dp_arrival *a, dp_added *added,
                           GError **error)
{
    if (!dp_sqlite_begin(q, a->is_light ? DP_SYNC_OWED : DP_SYNC_FULL, error))
        return FALSE;
    g_autoptr(GError) inner = NULL;
    g_autoptr(dp_doc) doc = doc_by_key(q, a->lane, a->sha256, a->recipe, &inner);
    gboolean is_ok = inner == NULL && remember_file(q, a, &inner);
    if (is_ok)
        is_ok = doc != NULL ? recognise(q, a, doc, added, &inner)
                            : insert_doc(q, a, added, &inner);
    is_ok = dp_sqlite_end(q, is_ok, inner == NULL ? &inner : NULL);
    if (!is_ok)
        g_propagate_error(error, g_steal_pointer(&inner));
    else if (a->is_light)
        q->is_owing = TRUE;
    return is_ok;
}

/* Most arrivals of a line that is run again are known, and need no transaction. */
static gboolean is_unchanged(dp_sqlite *q, const dp_arrival *a, dp_added *added)
{
    char sha256[65];
    if (a->is_forced || !known_hash_locked(q, a->lane, a->path, &a->stamp, sha256) ||
        strcmp(sha256, a->sha256) != 0)
        return FALSE;
    g_autoptr(dp_doc) doc = doc_by_key(q, a->lane, a->sha256, a->recipe, NULL);
    return doc != NULL && recognise(q, a, doc, added, NULL);
}

gboolean dp_sqlite_add(dp_queue *queue, const dp_arrival *a, dp_added *added,
                       GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    dp_added result = { 0 };
    g_mutex_lock(&q->lock);
    gboolean is_ok = is_unchanged(q, a, &result) || add_locked(q, a, &result, error);
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *added = result;
    return is_ok;
}

/* ---- looking up ------------------------------------------------------------------------ */

dp_doc *dp_sqlite_get(dp_queue *queue, gint64 id, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    dp_doc *doc = dp_sqlite_find_doc(q, id, error);
    g_mutex_unlock(&q->lock);
    return doc;
}

dp_doc *dp_sqlite_find(dp_queue *queue, const char *lane, const char *sha256,
                       const char *recipe, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    dp_doc *doc = doc_by_key(q, lane, sha256, recipe, error);
    g_mutex_unlock(&q->lock);
    return doc;
}

/* ---- changes by others ------------------------------------------------------------------ */

/* One statement about one document that need not be held. */
typedef struct change {
    gint64 id;
    dp_sql_id sql;
    const char *value;
} change;

static gboolean change_locked(dp_sqlite *q, gpointer data, GError **error)
{
    const change *c = data;
    int changed = 0;
    if (!dp_sqlite_run(q, error, &changed, c->sql, "is", c->id, c->value))
        return FALSE;
    if (changed == 0)
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND,
                    "document %" G_GINT64_FORMAT " is not in the journal", c->id);
    return changed > 0;
}

gboolean dp_sqlite_set_path(dp_queue *queue, gint64 id, const char *path, GError **error)
{
    change c = { id, DP_SQL_DOC_PATH, path };
    return dp_sqlite_write(queue, DP_SYNC_FULL, change_locked, &c, error);
}

gboolean dp_sqlite_set_origin(dp_queue *queue, gint64 id, const char *path,
                              GError **error)
{
    change c = { id, DP_SQL_DOC_ORIGIN, path };
    return dp_sqlite_write(queue, DP_SYNC_FULL, change_locked, &c, error);
}

gboolean dp_sqlite_set_target(dp_queue *queue, gint64 id, const char *target,
                              GError **error)
{
    change c = { id, DP_SQL_DOC_TARGET, target };
    return dp_sqlite_write(queue, DP_SYNC_FULL, change_locked, &c, error);
}

typedef struct new_key {
    gint64 id;
    const char *sha256, *recipe;
    gint64 twin;
} new_key;

static gboolean rekey_locked(dp_sqlite *q, gpointer data, GError **error)
{
    new_key *k = data;
    g_autoptr(GError) inner = NULL;
    g_autoptr(dp_doc) doc = dp_sqlite_find_doc(q, k->id, error);
    if (doc == NULL)
        return FALSE;
    g_autoptr(dp_doc) other = doc_by_key(q, doc->lane, k->sha256, k->recipe, &inner);
    if (inner != NULL) {
        g_propagate_error(error, g_steal_pointer(&inner));
        return FALSE;
    }
    k->twin = other != NULL && other->id != k->id ? other->id : 0;
    if (k->twin != 0)
        return dp_sqlite_run(q, error, NULL, DP_SQL_DOC_DROP, "i", k->id);
    return dp_sqlite_run(q, error, NULL, DP_SQL_DOC_REKEY, "iss", k->id, k->sha256,
                         k->recipe);
}

gboolean dp_sqlite_rekey(dp_queue *queue, gint64 id, const char *sha256,
                         const char *recipe, gint64 *twin, GError **error)
{
    new_key k = { id, sha256, recipe, 0 };
    if (!dp_sqlite_write(queue, DP_SYNC_FULL, rekey_locked, &k, error))
        return FALSE;
    *twin = k.twin;
    return TRUE;
}

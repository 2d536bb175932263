/*
 * queue_sqlite_leases.c - who has what: claims, heart-beats, and what dead workers had.
 */
#include "queue_sqlite.h"

#include <string.h>

#define GIVEN_UP_ATTEMPTS_MAX (2 * DP_ATTEMPTS_MAX)

/* It was given up, and its worker died over `failed` of the routes: that goes on later, but
 * not for ever. */
static gboolean take_back_given(dp_sqlite *q, const dp_doc *doc, GError **error)
{
    gint64 now = dp_now_ms();
    gboolean goes_on = doc->attempts < GIVEN_UP_ATTEMPTS_MAX;
    return dp_sqlite_run(q, error, NULL, DP_SQL_ACTIONS_INTERRUPTED, "i", doc->id) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_DOC_TAKE_BACK_GIVEN, "iiiii", doc->id,
                         (gint64)doc->attempts + 1, now + dp_backoff_ms(1),
                         (gint64)goes_on, now);
}

static gboolean take_back(dp_sqlite *q, const dp_doc *doc, GError **error)
{
    if (doc->is_giving_up)
        return take_back_given(q, doc, error);
    gint64 now = dp_now_ms();
    guint attempts = doc->attempts + 1;
    gint64 wait = dp_backoff_ms(attempts);
    gboolean is_published = doc->state == DP_STATE_PUBLISHED;
    const char *state = wait < 0       ? "quarantined"
                        : is_published ? "published"
                        : attempts > 1 ? "failed"
                                       : "settled";
    return dp_sqlite_run(q, error, NULL, DP_SQL_ACTIONS_INTERRUPTED, "i", doc->id) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_DOC_TAKE_BACK, "isiiii", doc->id, state,
                         (gint64)attempts,
                         attempts > 1 && wait > 0 ? now + wait : (gint64)0, now,
                         (gint64)(wait < 0 && !is_published));
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
static GPtrArray *find_orphans(dp_sqlite *q, GError **error)
{
    sqlite3_stmt *stmt = dp_sqlite_query(q, error, DP_SQL_DOCS_LEASED, "");
    if (stmt == NULL)
        return NULL;
    g_autoptr(GPtrArray) orphans =
        g_ptr_array_new_with_free_func((GDestroyNotify)dp_doc_free);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autoptr(dp_doc) doc = dp_sqlite_doc_at(stmt);
        if (is_lease_over(doc, sqlite3_column_int64(stmt, DP_SQLITE_LEASE_WALL),
                          sqlite3_column_int64(stmt, DP_SQLITE_LEASE_MONOTONIC)))
            g_ptr_array_add(orphans, g_steal_pointer(&doc));
    }
    if (code != SQLITE_DONE)
        dp_sqlite_error(q, "reading", error);
    dp_sqlite_done(stmt);
    return code == SQLITE_DONE ? g_steal_pointer(&orphans) : NULL;
}

static gboolean recover_locked(dp_sqlite *q, guint *count, GError **error)
{
    *count = 0;
    q->recovered_at = dp_monotonic_ms();
    /* A look costs nothing; only when something is to be done the writer's turn is taken. */
    g_autoptr(GPtrArray) first = find_orphans(q, error);
    if (first == NULL || first->len == 0)
        return first != NULL;
    if (!dp_sqlite_begin(q, DP_SYNC_FULL, error))
        return FALSE;
    g_autoptr(GPtrArray) orphans = find_orphans(q, error);
    gboolean is_ok = orphans != NULL;
    for (guint i = 0; is_ok && i < orphans->len; i++)
        is_ok = take_back(q, g_ptr_array_index(orphans, i), error);
    if (!dp_sqlite_end(q, is_ok, is_ok ? error : NULL))
        return FALSE;
    *count = orphans->len;
    return TRUE;
}

gboolean dp_sqlite_recover(dp_queue *queue, guint *count, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    guint n = 0;
    g_mutex_lock(&q->lock);
    gboolean is_ok = recover_locked(q, &n, error);
    g_mutex_unlock(&q->lock);
    if (is_ok && count != NULL)
        *count = n;
    return is_ok;
}

static dp_doc *next_doc(dp_sqlite *q, const dp_claim *claim, GError **error)
{
    gint64 now = claim->is_now ? G_MAXINT64 / 2 : dp_now_ms();
    sqlite3_stmt *stmt;
    if (claim->id != 0)
        stmt = dp_sqlite_query(q, error, DP_SQL_NEXT_BY_ID, "iis", now, claim->id,
                               claim->lane);
    else
        stmt = dp_sqlite_query(q, error, DP_SQL_NEXT, "is", now, claim->lane);
    return dp_sqlite_one_doc(q, stmt, error);
}

static dp_doc *claim_locked(dp_sqlite *q, const dp_claim *claim, GError **error)
{
    guint count;
    if (dp_monotonic_ms() - q->recovered_at >= DP_RECOVER_EVERY_MS &&
        !recover_locked(q, &count, error))
        return NULL;
    g_autoptr(GError) inner = NULL;
    g_autoptr(dp_doc) probe = next_doc(q, claim, &inner);
    if (probe == NULL || !dp_sqlite_begin(q, DP_SYNC_NORMAL, &inner)) {
        if (inner != NULL)
            g_propagate_error(error, g_steal_pointer(&inner));
        return NULL;
    }
    gint64 lease = claim->lease_ms > 0 ? claim->lease_ms : dp_lease_ms();
    g_autoptr(dp_doc) doc = next_doc(q, claim, &inner);
    gboolean is_ok = inner == NULL;
    if (doc != NULL) {
        if (doc->state != DP_STATE_PUBLISHED && !doc->is_giving_up)
            doc->state = DP_STATE_CLAIMED;
        g_free(doc->worker);
        doc->worker = g_strdup(dp_worker_self());
        is_ok = dp_sqlite_run(q, &inner, NULL, DP_SQL_DOC_CLAIM, "issiii", doc->id,
                              dp_state_name(doc->state), doc->worker, dp_now_ms() + lease,
                              dp_monotonic_ms() + lease, dp_now_ms());
    }
    if (!dp_sqlite_end(q, is_ok, is_ok ? &inner : NULL)) {
        g_propagate_error(error, g_steal_pointer(&inner));
        return NULL;
    }
    return g_steal_pointer(&doc);
}

dp_doc *dp_sqlite_claim(dp_queue *queue, const dp_claim *claim, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    dp_doc *doc = claim_locked(q, claim, error);
    g_mutex_unlock(&q->lock);
    return doc;
}

static gboolean heartbeat_locked(dp_sqlite *q, gpointer data, GError **error)
{
    gint64 lease = *(const gint64 *)data;
    return dp_sqlite_run(q, error, NULL, DP_SQL_HEARTBEAT, "sii", dp_worker_self(),
                         dp_now_ms() + lease, dp_monotonic_ms() + lease);
}

gboolean dp_sqlite_heartbeat(dp_queue *queue, gint64 lease_ms, GError **error)
{
    return dp_sqlite_write(queue, DP_SYNC_NORMAL, heartbeat_locked, &lease_ms, error);
}

gboolean dp_sqlite_next_due(dp_queue *queue, const char *lane, gint64 *ms, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    gint64 wait = -1;
    g_mutex_lock(&q->lock);
    gboolean is_ok =
        dp_sqlite_number(q, error, &wait, DP_SQL_NEXT_DUE, "is", dp_now_ms(), lane);
    g_mutex_unlock(&q->lock);
    if (is_ok)
        *ms = wait;
    return is_ok;
}

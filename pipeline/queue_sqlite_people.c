/*
 * queue_sqlite_people.c - counts, lists, retries and pruning.
 */
#include "queue_sqlite.h"

static gboolean count_states(dp_sqlite *q, const char *lane, dp_counts *counts,
                             GError **error)
{
    sqlite3_stmt *stmt = dp_sqlite_query(q, error, DP_SQL_COUNT_STATES, "s", lane);
    if (stmt == NULL)
        return FALSE;
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autofree char *name = dp_sqlite_text(stmt, 0);
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
        dp_sqlite_error(q, "reading", error);
    dp_sqlite_done(stmt);
    return code == SQLITE_DONE;
}

gboolean dp_sqlite_counts(dp_queue *queue, const char *lane, dp_counts *counts,
                          GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    dp_counts result = { 0 };
    gint64 open = 0;
    g_mutex_lock(&q->lock);
    gboolean is_ok = count_states(q, lane, &result, error) &&
                     dp_sqlite_number(q, error, &open, DP_SQL_COUNT_ACTIONS, "s", lane);
    g_mutex_unlock(&q->lock);
    if (!is_ok)
        return FALSE;
    *counts = result;
    counts->actions_open = (guint64)open;
    return TRUE;
}

json_t *dp_sqlite_reasons(dp_queue *queue, const char *lane, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    sqlite3_stmt *stmt = dp_sqlite_query(q, error, DP_SQL_REASONS, "s", lane);
    json_t *reasons = stmt != NULL ? json_object() : NULL;
    int code = SQLITE_DONE;
    while (stmt != NULL && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autofree char *name = dp_sqlite_text(stmt, 0);
        json_object_set_new(reasons, *name != '\0' ? name : "unknown",
                            json_integer(sqlite3_column_int64(stmt, 1)));
    }
    if (code != SQLITE_DONE) {
        dp_sqlite_error(q, "reading", error);
        g_clear_pointer(&reasons, json_decref);
    }
    if (stmt != NULL)
        dp_sqlite_done(stmt);
    g_mutex_unlock(&q->lock);
    return reasons;
}

static gboolean list_page(dp_sqlite *q, const dp_filter *f, gint64 after, guint limit,
                          GPtrArray *docs, gint64 *last, guint *seen, GError **error)
{
    sqlite3_stmt *stmt;
    if (f->path != NULL) /* by its two indexes */
        stmt = dp_sqlite_query(q, error, DP_SQL_LIST_BY_PATH, "issi", after, f->lane,
                               f->path, (gint64)limit);
    else
        stmt =
            dp_sqlite_query(q, error, DP_SQL_LIST, "isi", after, f->lane, (gint64)limit);
    if (stmt == NULL)
        return FALSE;
    int code;
    *seen = 0;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) {
        g_autoptr(dp_doc) doc = dp_sqlite_doc_at(stmt);
        *last = doc->id;
        (*seen)++;
        if ((f->states == 0 || (f->states >> doc->state & 1) != 0) &&
            (!f->is_told || *doc->reason != '\0'))
            g_ptr_array_add(docs, g_steal_pointer(&doc));
    }
    if (code != SQLITE_DONE)
        dp_sqlite_error(q, "reading", error);
    dp_sqlite_done(stmt);
    return code == SQLITE_DONE;
}

GPtrArray *dp_sqlite_list(dp_queue *queue, const dp_filter *f, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
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

typedef struct sweep {
    const char *lane;
    gint64 id, before;
    dp_retry which;
    int changed;
} sweep;

static gboolean retry_locked(dp_sqlite *q, gpointer data, GError **error)
{
    sweep *s = data;
    const char *state = s->which == DP_RETRY_FAILED ? "failed" : "quarantined";
    /* What was published before it failed is routed on, the rest is worked on again. */
    return dp_sqlite_run(q, error, NULL, DP_SQL_RETRY_DROP, "sis", s->lane, s->id,
                         state) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_RETRY_ACTIONS, "sis", s->lane, s->id,
                         state) &&
           dp_sqlite_run(q, error, &s->changed, DP_SQL_RETRY, "sisi", s->lane, s->id,
                         state, dp_now_ms());
}

gboolean dp_sqlite_retry(dp_queue *queue, const char *lane, gint64 id, dp_retry which,
                         guint *count, GError **error)
{
    sweep s = { .lane = lane, .id = id, .which = which };
    if (!dp_sqlite_write(queue, DP_SYNC_FULL, retry_locked, &s, error))
        return FALSE;
    *count = (guint)s.changed;
    return TRUE;
}

static gboolean redo_locked(dp_sqlite *q, gpointer data, GError **error)
{
    g_autoptr(dp_doc) doc = dp_sqlite_find_doc(q, *(const gint64 *)data, error);
    return doc != NULL && dp_sqlite_may_become(doc, DP_STATE_SETTLED, error) &&
           dp_sqlite_reset_doc(q, doc->id, error);
}

gboolean dp_sqlite_redo(dp_queue *queue, gint64 id, GError **error)
{
    return dp_sqlite_write(queue, DP_SYNC_FULL, redo_locked, &id, error);
}

static gboolean prune_locked(dp_sqlite *q, gpointer data, GError **error)
{
    sweep *s = data;
    return dp_sqlite_run(q, error, &s->changed, DP_SQL_PRUNE, "si", s->lane, s->before) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_PRUNE_FILES, "s", s->lane);
}

gboolean dp_sqlite_prune(dp_queue *queue, const char *lane, gint64 before, guint *count,
                         GError **error)
{
    sweep s = { .lane = lane, .before = before };
    if (!dp_sqlite_write(queue, DP_SYNC_FULL, prune_locked, &s, error))
        return FALSE;
    *count = (guint)s.changed;
    return TRUE;
}

static gboolean forget_locked(dp_sqlite *q, gpointer data, GError **error)
{
    sweep *s = data;
    return dp_sqlite_run(q, error, &s->changed, DP_SQL_FORGET, "si", s->lane, s->id) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_PRUNE_FILES, "s", s->lane);
}

gboolean dp_sqlite_forget(dp_queue *queue, const char *lane, gint64 id, guint *count,
                          GError **error)
{
    sweep s = { .lane = lane, .id = id };
    if (!dp_sqlite_write(queue, DP_SYNC_FULL, forget_locked, &s, error))
        return FALSE;
    *count = (guint)s.changed;
    return TRUE;
}

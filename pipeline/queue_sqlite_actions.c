/*
 * queue_sqlite_actions.c - the actions of routing.
 */
#include "queue_sqlite.h"

#include <string.h>

static const char *const action_states[] = { "pending", "started", "done", "failed" };

static dp_action *action_at(sqlite3_stmt *stmt)
{
    dp_action *action = g_new0(dp_action, 1);
    action->id = sqlite3_column_int64(stmt, 0);
    action->document = sqlite3_column_int64(stmt, 1);
    action->index = (guint)sqlite3_column_int(stmt, 2);
    action->kind = dp_sqlite_text(stmt, 3);
    action->key = dp_sqlite_text(stmt, 4);
    g_autofree char *state = dp_sqlite_text(stmt, 5);
    action->state = DP_ACTION_FAILED;
    for (guint i = 0; i < G_N_ELEMENTS(action_states); i++)
        if (strcmp(action_states[i], state) == 0)
            action->state = (dp_action_state)i;
    action->attempts = (guint)sqlite3_column_int(stmt, 6);
    action->next_at = sqlite3_column_int64(stmt, 7);
    action->detail = dp_sqlite_text(stmt, 8);
    action->reason = dp_sqlite_text(stmt, 9);
    return action;
}

static GPtrArray *actions_of(dp_sqlite *q, gint64 document, GError **error)
{
    sqlite3_stmt *stmt = dp_sqlite_query(q, error, DP_SQL_ACTIONS, "i", document);
    if (stmt == NULL)
        return NULL;
    g_autoptr(GPtrArray) list =
        g_ptr_array_new_with_free_func((GDestroyNotify)dp_action_free);
    int code;
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW)
        g_ptr_array_add(list, action_at(stmt));
    if (code != SQLITE_DONE)
        dp_sqlite_error(q, "reading", error);
    dp_sqlite_done(stmt);
    return code == SQLITE_DONE ? g_steal_pointer(&list) : NULL;
}

GPtrArray *dp_sqlite_actions(dp_queue *queue, gint64 document, GError **error)
{
    dp_sqlite *q = (dp_sqlite *)queue;
    g_mutex_lock(&q->lock);
    GPtrArray *list = actions_of(q, document, error);
    g_mutex_unlock(&q->lock);
    return list;
}

static gboolean step_plan(dp_sqlite *q, dp_doc *doc, gconstpointer data, GError **error)
{
    const GPtrArray *plan = data;
    g_autoptr(GPtrArray) present = actions_of(q, doc->id, error);
    if (present == NULL)
        return FALSE;
    for (guint i = 0; present->len == 0 && i < plan->len; i++) {
        const dp_action *a = g_ptr_array_index((GPtrArray *)plan, i);
        if (!dp_sqlite_run(q, error, NULL, DP_SQL_ACTION_ADD, "iisss", doc->id,
                           (gint64)a->index, a->kind, a->key,
                           a->detail != NULL ? a->detail : ""))
            return FALSE;
    }
    return TRUE;
}

gboolean dp_sqlite_actions_plan(dp_queue *queue, gint64 document, GPtrArray *plan,
                                GError **error)
{
    /* Carries the publication, too: what comes next touches something. */
    return dp_sqlite_report(queue, document, DP_SYNC_FULL, step_plan, plan, error);
}

static dp_action *find_action(dp_sqlite *q, gint64 id, GError **error)
{
    sqlite3_stmt *stmt = dp_sqlite_query(q, error, DP_SQL_ACTION, "i", id);
    if (stmt == NULL)
        return NULL;
    int code = sqlite3_step(stmt);
    dp_action *action = code == SQLITE_ROW ? action_at(stmt) : NULL;
    if (code == SQLITE_DONE)
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND,
                    "action %" G_GINT64_FORMAT " is not in the journal", id);
    else if (code != SQLITE_ROW)
        dp_sqlite_error(q, "reading", error);
    dp_sqlite_done(stmt);
    return action;
}

/* The frame of the reports about actions: their document must be held. */
typedef gboolean (*action_step)(dp_sqlite *q, dp_doc *doc, dp_action *action,
                                gconstpointer data, GError **error);

typedef struct action_report {
    gint64 id;
    action_step step;
    gconstpointer data;
} action_report;

static gboolean report_locked(dp_sqlite *q, gpointer data, GError **error)
{
    const action_report *r = data;
    g_autoptr(dp_action) action = find_action(q, r->id, error);
    g_autoptr(dp_doc) doc =
        action != NULL ? dp_sqlite_held_doc(q, action->document, error) : NULL;
    return doc != NULL && r->step(q, doc, action, r->data, error);
}

static gboolean report_action(dp_queue *queue, gint64 id, dp_sync level, action_step step,
                              gconstpointer data, GError **error)
{
    action_report r = { id, step, data };
    return dp_sqlite_write(queue, level, report_locked, &r, error);
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

static gboolean step_start(dp_sqlite *q, dp_doc *doc, dp_action *action,
                           gconstpointer data, GError **error)
{
    return is_action_in(action, OPEN, error) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_ACTION_START, "is", action->id,
                         (const char *)data);
}

gboolean dp_sqlite_action_start(dp_queue *queue, gint64 action, const char *detail,
                                dp_lasting how, GError **error)
{
    return report_action(queue, action,
                         how == DP_LASTING_SYNCED ? DP_SYNC_FULL : DP_SYNC_NORMAL,
                         step_start, detail, error);
}

static gboolean step_done(dp_sqlite *q, dp_doc *doc, dp_action *action,
                          gconstpointer data, GError **error)
{
    const char *moved_to = data;
    return is_action_in(action, OPEN, error) &&
           (moved_to == NULL ||
            dp_sqlite_run(q, error, NULL, DP_SQL_DOC_PATH, "is", doc->id, moved_to)) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_ACTION_DONE, "i", action->id);
}

gboolean dp_sqlite_action_done(dp_queue *queue, gint64 action, const char *moved_to,
                               GError **error)
{
    return report_action(queue, action, DP_SYNC_NORMAL, step_done, moved_to, error);
}

static gboolean step_action_fail(dp_sqlite *q, dp_doc *doc, dp_action *action,
                                 gconstpointer data, GError **error)
{
    const dp_failure *f = data;
    if (!is_action_in(action, OPEN, error))
        return FALSE;
    g_autofree char *line = dp_sqlite_line(f->reason);
    g_autofree char *reason =
        g_strdup_printf("action %u (%s): %s", action->index, action->kind, f->reason);
    /* The waits count the action's tries: each action of a document has its own. */
    gint64 attempts = action->attempts;
    gboolean is_over = FALSE;
    if (doc->is_giving_up) {
        if (!dp_sqlite_fail_given_up(q, doc, f, reason, &attempts, &is_over, error))
            return FALSE;
    } else {
        doc->attempts = action->attempts;
        dp_sqlite_note_failure(doc, f);
        attempts = doc->attempts;
        is_over = doc->state == DP_STATE_QUARANTINED;
        if (!dp_sqlite_write_failure(q, doc, f->code, reason, is_over ? "" : doc->worker,
                                     error))
            return FALSE;
    }
    return dp_sqlite_run(q, error, NULL, DP_SQL_ACTION_FAIL, "isiis", action->id,
                         is_over ? "failed" : "pending", attempts, doc->next_at, line);
}

gboolean dp_sqlite_action_fail(dp_queue *queue, gint64 action, const dp_failure *failure,
                               GError **error)
{
    return report_action(queue, action, DP_SYNC_FULL, step_action_fail, failure, error);
}

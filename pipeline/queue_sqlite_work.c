/*
 * queue_sqlite_work.c - what workers report about the documents that they hold.
 */
#include "queue_sqlite.h"

#include <string.h>

static gboolean step_advance(dp_sqlite *q, dp_doc *doc, gconstpointer data,
                             GError **error)
{
    dp_state to = *(const dp_state *)data;
    return dp_sqlite_may_become(doc, to, error) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_DOC_ADVANCE, "isi", doc->id,
                         dp_state_name(to), dp_now_ms());
}

gboolean dp_sqlite_advance(dp_queue *queue, gint64 id, dp_state to, GError **error)
{
    return dp_sqlite_report(queue, id, DP_SYNC_NORMAL, step_advance, &to, error);
}

static gboolean step_publish(dp_sqlite *q, dp_doc *doc, gconstpointer data,
                             GError **error)
{
    const dp_publication *p = data;
    dp_state to = p->is_end ? DP_STATE_ROUTED : DP_STATE_PUBLISHED;
    return dp_sqlite_may_become(doc, to, error) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_DOC_PUBLISH, "issiisi", doc->id,
                         dp_state_name(to), p->status, (gint64)p->pages, p->work_ms,
                         p->is_end ? "" : doc->worker, dp_now_ms());
}

gboolean dp_sqlite_publish(dp_queue *queue, gint64 id, const dp_publication *publication,
                           GError **error)
{
    /* What is to be routed is planned first, synced, before anything is touched. */
    return dp_sqlite_report(queue, id,
                            publication->is_end ? DP_SYNC_FULL : DP_SYNC_NORMAL,
                            step_publish, publication, error);
}

/* Attempts are spent by failures that count; `doc` is brought to what it becomes. */
void dp_sqlite_note_failure(dp_doc *doc, const dp_failure *f)
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
char *dp_sqlite_line(const char *text)
{
    char *valid = g_utf8_make_valid(text, -1);
    g_strdelimit(valid, "\r\n\t", ' ');
    if (strlen(valid) > DP_QUEUE_REASON_MAX) {
        char *cut = g_utf8_find_prev_char(valid, valid + DP_QUEUE_REASON_MAX);
        *(cut != NULL ? cut : valid) = '\0';
    }
    return valid;
}

gboolean dp_sqlite_write_failure(dp_sqlite *q, const dp_doc *doc, const char *code,
                                 const char *reason, const char *worker, GError **error)
{
    g_autofree char *line = dp_sqlite_line(reason);
    return dp_sqlite_run(q, error, NULL, DP_SQL_DOC_FAIL, "isiiisssii", doc->id,
                         dp_state_name(doc->state), (gint64)doc->attempts,
                         (gint64)doc->stalls, doc->next_at, code, line, worker,
                         (gint64)doc->is_giving_up, dp_now_ms());
}

gboolean dp_sqlite_fail_given_up(dp_sqlite *q, dp_doc *doc, const dp_failure *f,
                                 const char *reason, gint64 *attempts, gboolean *is_over,
                                 GError **error)
{
    doc->attempts = (guint)*attempts;
    doc->state = DP_STATE_PUBLISHED; /* waits like one whose actions wait */
    dp_sqlite_note_failure(doc, f);
    *attempts = doc->attempts;
    *is_over = doc->state == DP_STATE_QUARANTINED;
    g_autofree char *both =
        g_strdup_printf("%s; routes, failed: %s", doc->reason, reason);
    g_autofree char *line = dp_sqlite_line(*is_over ? both : doc->reason);
    return dp_sqlite_run(q, error, NULL, DP_SQL_DOC_GIVE_UP, "iiissii", doc->id,
                         (gint64)doc->stalls, doc->next_at, line,
                         *is_over ? "" : doc->worker, (gint64) !*is_over, dp_now_ms());
}

static gboolean step_fail(dp_sqlite *q, dp_doc *doc, gconstpointer data, GError **error)
{
    const dp_failure *f = data;
    if (doc->is_giving_up) {
        gint64 attempts = DP_ATTEMPTS_MAX; /* what can't be planned now never can */
        gboolean is_over;
        if (!dp_sqlite_fail_given_up(q, doc, f, f->reason, &attempts, &is_over, error))
            return FALSE;
        return is_over ||
               dp_sqlite_run(q, error, NULL, DP_SQL_DOC_UNCLAIM, "isi", doc->id,
                             dp_state_name(DP_STATE_QUARANTINED), dp_now_ms());
    }
    dp_sqlite_note_failure(doc, f);
    doc->is_giving_up = doc->state == DP_STATE_QUARANTINED && *doc->status == '\0';
    return dp_sqlite_write_failure(q, doc, f->code, f->reason,
                                   doc->is_giving_up ? doc->worker : "", error);
}

gboolean dp_sqlite_fail(dp_queue *queue, gint64 id, const dp_failure *failure,
                        dp_doc **after, GError **error)
{
    if (!dp_sqlite_report(queue, id, DP_SYNC_FULL, step_fail, failure, error))
        return FALSE;
    if (after != NULL)
        *after = dp_sqlite_get(queue, id, NULL); /* NULL: pruned by somebody meanwhile */
    return TRUE;
}

static gboolean step_given_up(dp_sqlite *q, dp_doc *doc, gconstpointer data,
                              GError **error)
{
    if (!doc->is_giving_up) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE, "%s: is not being given up",
                    doc->origin);
        return FALSE;
    }
    return dp_sqlite_run(q, error, NULL, DP_SQL_DOC_GIVE_UP, "iiissii", doc->id,
                         (gint64)0, (gint64)0, doc->reason, "", (gint64)0, dp_now_ms());
}

gboolean dp_sqlite_given_up(dp_queue *queue, gint64 id, GError **error)
{
    return dp_sqlite_report(queue, id, DP_SYNC_FULL, step_given_up, NULL, error);
}

static gboolean step_unclaim(dp_sqlite *q, dp_doc *doc, gconstpointer data,
                             GError **error)
{
    dp_state to = doc->state == DP_STATE_PUBLISHED || doc->is_giving_up
                      ? doc->state
                      : DP_STATE_SETTLED;
    return dp_sqlite_run(q, error, NULL, DP_SQL_DOC_UNCLAIM, "isi", doc->id,
                         dp_state_name(to), dp_now_ms());
}

gboolean dp_sqlite_unclaim(dp_queue *queue, gint64 id, GError **error)
{
    return dp_sqlite_report(queue, id, DP_SYNC_NORMAL, step_unclaim, NULL, error);
}

static gboolean step_routed(dp_sqlite *q, dp_doc *doc, gconstpointer data, GError **error)
{
    gint64 open = 0;
    if (!dp_sqlite_number(q, error, &open, DP_SQL_ACTIONS_UNDONE, "i", doc->id))
        return FALSE;
    if (open > 0) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE,
                    "%s: %" G_GINT64_FORMAT " actions are not done", doc->origin, open);
        return FALSE;
    }
    return dp_sqlite_may_become(doc, DP_STATE_ROUTED, error) &&
           dp_sqlite_run(q, error, NULL, DP_SQL_DOC_ROUTED, "ii", doc->id, dp_now_ms());
}

gboolean dp_sqlite_routed(dp_queue *queue, gint64 id, dp_lasting how, GError **error)
{
    return dp_sqlite_report(queue, id,
                            how == DP_LASTING_SYNCED ? DP_SYNC_FULL : DP_SYNC_OWED,
                            step_routed, NULL, error);
}

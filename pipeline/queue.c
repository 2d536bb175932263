/*
 * queue.c - what every storage of the journal shares: the table of states, the waits, who a
 * worker is, and the checks of arguments before a storage's function is called.
 */
#include "queue_backend.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* G_DEFINE_QUARK would keep it in a variable that threads write without a lock. */
GQuark dp_queue_error_quark(void)
{
    return g_quark_from_static_string("dp_queue_error");
}

/* ---- states ------------------------------------------------------------------------ */

#define TO(state) (1u << DP_STATE_##state)
/* What a worker holds between its claim and the publication. */
#define GIVEN_UP (TO(SETTLED) | TO(FAILED) | TO(QUARANTINED))

static const struct {
    const char *name;
    guint to; /* bits of the states that may follow */
} states[] = {
    [DP_STATE_FOUND] = { "found", TO(SETTLED) },
    [DP_STATE_SETTLED] = { "settled", TO(CLAIMED) },
    [DP_STATE_CLAIMED] = { "claimed", TO(RENDERED) | GIVEN_UP },
    [DP_STATE_RENDERED] = { "rendered", TO(EXTRACTED) | GIVEN_UP },
    [DP_STATE_EXTRACTED] = { "extracted", TO(CHECKED) | GIVEN_UP },
    [DP_STATE_CHECKED] = { "checked", TO(PUBLISHED) | TO(ROUTED) | GIVEN_UP },
    [DP_STATE_PUBLISHED] = { "published", TO(ROUTED) | TO(QUARANTINED) },
    [DP_STATE_ROUTED] = { "routed", TO(SETTLED) },
    [DP_STATE_FAILED] = { "failed", TO(CLAIMED) | TO(SETTLED) | TO(QUARANTINED) },
    [DP_STATE_QUARANTINED] = { "quarantined", TO(SETTLED) | TO(PUBLISHED) },
};
_Static_assert(G_N_ELEMENTS(states) == DP_STATE_COUNT, "a state lacks its row");

const char *dp_state_name(dp_state state)
{
    assert(state < DP_STATE_COUNT);
    return states[state].name;
}

gboolean dp_state_parse(const char *name, dp_state *state)
{
    for (guint i = 0; i < DP_STATE_COUNT; i++) {
        if (strcmp(states[i].name, name) == 0) {
            *state = (dp_state)i;
            return TRUE;
        }
    }
    return FALSE;
}

gboolean dp_state_leads(dp_state from, dp_state to)
{
    assert(from < DP_STATE_COUNT);
    assert(to < DP_STATE_COUNT);
    return (states[from].to >> to & 1) != 0;
}

/* ---- waits ------------------------------------------------------------------------- */

gint64 dp_backoff_ms(guint attempts)
{
    static const gint64 table[DP_ATTEMPTS_MAX - 1] = { 60000, 300000, 1800000, 7200000 };
    assert(attempts > 0);
    if (attempts >= DP_ATTEMPTS_MAX)
        return -1;
    const char *env = g_getenv("DOCVL_BACKOFF");
    if (env != NULL && *env != '\0') {
        g_auto(GStrv) parts = g_strsplit(env, ",", DP_ATTEMPTS_MAX);
        guint count = g_strv_length(parts);
        if (count > 0)
            return CLAMP(g_ascii_strtoll(parts[MIN(attempts, count) - 1], NULL, 10), 0,
                         7200000);
    }
    return table[attempts - 1];
}

/* A number of milliseconds that tests may shorten by an environment variable. */
static gint64 ms_of(const char *name, gint64 usual)
{
    const char *env = g_getenv(name);
    return env != NULL && *env != '\0' ? CLAMP(g_ascii_strtoll(env, NULL, 10), 1, usual)
                                       : usual;
}

gint64 dp_stall_ms(guint stalls)
{
    gint64 ms = ms_of("DOCVL_STALL_MS", 5000);
    for (guint i = 1; i < stalls && ms < 300000; i++)
        ms *= 2;
    return MIN(ms, 300000);
}

gint64 dp_lease_ms(void)
{
    return ms_of("DOCVL_LEASE_MS", DP_LEASE_MS);
}

gint64 dp_now_ms(void)
{
    return g_get_real_time() / 1000;
}

gint64 dp_monotonic_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* ---- workers ------------------------------------------------------------------------ */

/* When a process began, in ticks since boot: field 22 of /proc/PID/stat.  The name in
 * field 2 may hold blanks and parentheses, so counting begins behind the last one. */
static gboolean start_time(long pid, guint64 *ticks)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return FALSE;
    char *got = fgets(line, sizeof line, file);
    fclose(file);
    char *at = got != NULL ? strrchr(line, ')') : NULL;
    if (at == NULL)
        return FALSE;
    g_auto(GStrv) fields = g_strsplit(at + 1, " ", 24);
    if (g_strv_length(fields) < 22 || *fields[1] == 'Z' || *fields[1] == 'X')
        return FALSE; /* a zombie works no more */
    *ticks = g_ascii_strtoull(fields[20], NULL, 10);
    return TRUE;
}

static char *boot_id(void)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
        return g_strdup("boot");
    return g_strdup(g_strstrip(text));
}

static char *pid_space(void)
{
    g_autofree char *link = g_file_read_link("/proc/self/ns/pid", NULL);
    return g_strdelimit(g_strdup(link != NULL ? link : "pid"), "/", '_');
}

/* boot/space/pid/start; made anew in a child that goes on without exec. */
const char *dp_worker_self(void)
{
    static GMutex lock;
    static char *self;
    static pid_t owner;
    g_mutex_lock(&lock);
    if (owner != getpid()) {
        guint64 ticks = 0;
        (void)start_time((long)getpid(),
                         &ticks); /* 0 matches nothing: the lease counts */
        g_autofree char *boot = boot_id();
        g_autofree char *space = pid_space();
        /* The one before is not freed: somebody may hold it. */
        self = g_strdup_printf("%s/%s/%ld/%" G_GUINT64_FORMAT, boot, space,
                               (long)getpid(), ticks);
        owner = getpid();
    }
    const char *made = self;
    g_mutex_unlock(&lock);
    return made;
}

gboolean dp_worker_is_same_boot(const char *worker)
{
    const char *self = dp_worker_self();
    const char *slash = strchr(self, '/');
    return strncmp(self, worker, (gsize)(slash - self) + 1) == 0;
}

gboolean dp_worker_is_dead(const char *worker)
{
    if (!dp_worker_is_same_boot(worker))
        return TRUE;
    g_auto(GStrv) theirs = g_strsplit(worker, "/", 5);
    g_auto(GStrv) ours = g_strsplit(dp_worker_self(), "/", 5);
    if (g_strv_length(theirs) != 4 || strcmp(theirs[1], ours[1]) != 0)
        return FALSE;
    guint64 ticks = 0;
    if (!start_time((long)g_ascii_strtoll(theirs[2], NULL, 10), &ticks))
        return TRUE;
    return ticks != g_ascii_strtoull(theirs[3], NULL, 10);
}

/* ---- rows ---------------------------------------------------------------------------- */

void dp_doc_free(dp_doc *doc)
{
    if (doc == NULL)
        return;
    g_free(doc->lane);
    g_free(doc->path);
    g_free(doc->origin);
    g_free(doc->target);
    g_free(doc->profile);
    g_free(doc->sha256);
    g_free(doc->recipe);
    g_free(doc->code);
    g_free(doc->reason);
    g_free(doc->worker);
    g_free(doc->status);
    g_free(doc);
}

gboolean dp_doc_is_due(const dp_doc *doc)
{
    gint64 now = dp_now_ms();
    return doc->next_at <= now || doc->next_at > now + DP_WAIT_MAX_MS;
}

void dp_action_free(dp_action *action)
{
    if (action == NULL)
        return;
    g_free(action->kind);
    g_free(action->key);
    g_free(action->detail);
    g_free(action->reason);
    g_free(action);
}

const char *dp_doc_reason(const dp_doc *doc)
{
    const char *reason = doc->reason;
    gsize length = strlen(doc->path);
    if (strncmp(reason, doc->path, length) == 0 && reason[length] == ':')
        return reason + length + 1 + (reason[length + 1] == ' ');
    /* It lay elsewhere when that was written; under another folder, but under its name. */
    g_autofree char *base = g_path_get_basename(doc->origin);
    g_autofree char *named = g_strconcat("/", base, ": ", NULL);
    const char *at = *reason == '/' ? strstr(reason, named) : NULL;
    return at != NULL ? at + strlen(named) : reason;
}

/* Paths are bytes, JSON is UTF-8. */
static json_t *text_json(const char *text)
{
    if (text == NULL || *text == '\0')
        return json_null();
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    return json_string(valid);
}

static json_t *time_json(gint64 ms)
{
    if (ms <= 0)
        return json_null();
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(ms / 1000);
    g_autofree char *text =
        time != NULL ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ") : NULL;
    return text != NULL ? json_string(text) : json_null();
}

json_t *dp_doc_json(const dp_doc *doc)
{
    return json_pack("{s:I, s:s, s:s, s:o, s:o, s:o, s:s, s:s, s:s, s:i, s:I, s:o, s:o, "
                     "s:o, s:i, s:o, s:o, "
                     "s:o, s:i, s:I}",
                     "id", (json_int_t)doc->id, "lane", doc->lane, "state",
                     dp_state_name(doc->state), "file", text_json(doc->origin), "path",
                     text_json(doc->path), "result", text_json(doc->target), "profile",
                     doc->profile, "sha256", doc->sha256, "recipe", doc->recipe,
                     "priority", doc->priority, "bytes", (json_int_t)doc->bytes, "added",
                     time_json(doc->added_at), "changed", time_json(doc->changed_at),
                     "next", time_json(doc->next_at), "attempts", (int)doc->attempts,
                     "code", text_json(doc->code), "reason", text_json(doc->reason),
                     "status", text_json(doc->status), "pages", (int)doc->pages,
                     "work_ms", (json_int_t)doc->work_ms);
}

/* ---- the storage's functions, arguments checked ---------------------------------------- */

static gboolean is_within(const char *text, const char *what, gsize most, GError **error)
{
    if (text == NULL || strlen(text) <= most)
        return TRUE;
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_LIMIT, "%s has %zu bytes, limit %zu",
                what, strlen(text), most);
    return FALSE;
}

static gboolean is_text(const char *text, const char *what, GError **error)
{
    if (g_utf8_validate(text, -1, NULL) && *text != '\0')
        return TRUE;
    g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_LIMIT, "%s is empty or not UTF-8", what);
    return FALSE;
}

dp_queue *dp_queue_open(const char *location, dp_queue_mode mode, GError **error)
{
    assert(location != NULL);
    if (!is_within(location, "the journal's path", DP_QUEUE_PATH_MAX, error))
        return NULL;
    return dp_queue_sqlite_open(location, mode, error);
}

void dp_queue_free(dp_queue *queue)
{
    if (queue != NULL)
        queue->class->free(queue);
}

gboolean dp_queue_add(dp_queue *queue, const dp_arrival *arrival, dp_added *added,
                      GError **error)
{
    assert(arrival->sha256 != NULL && strlen(arrival->sha256) == 64);
    assert(arrival->recipe != NULL);
    if (!is_text(arrival->lane, "the lane", error) ||
        !is_within(arrival->lane, "the lane", 200, error) ||
        !is_within(arrival->path, "the path", DP_QUEUE_PATH_MAX, error) ||
        !is_within(arrival->origin, "the path", DP_QUEUE_PATH_MAX, error) ||
        !is_within(arrival->target, "the result's path", DP_QUEUE_PATH_MAX, error) ||
        !is_within(arrival->profile, "the profile's name", 200, error))
        return FALSE;
    if (arrival->priority < -1000 || arrival->priority > 1000) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_LIMIT, "priority %d: -1000 to 1000",
                    arrival->priority);
        return FALSE;
    }
    return queue->class->add(queue, arrival, added, error);
}

gboolean dp_queue_known_hash(dp_queue *queue, const char *lane, const char *path,
                             const dp_stamp *stamp, char sha256[65])
{
    return queue->class->known_hash(queue, lane, path, stamp, sha256);
}

dp_doc *dp_queue_claim(dp_queue *queue, const dp_claim *claim, GError **error)
{
    return queue->class->claim(queue, claim, error);
}

gboolean dp_queue_recover(dp_queue *queue, guint *count, GError **error)
{
    return queue->class->recover(queue, count, error);
}

gboolean dp_queue_heartbeat(dp_queue *queue, gint64 lease_ms, GError **error)
{
    return queue->class->heartbeat(queue, lease_ms > 0 ? lease_ms : dp_lease_ms(), error);
}

gboolean dp_queue_next_due(dp_queue *queue, const char *lane, gint64 *ms, GError **error)
{
    return queue->class->next_due(queue, lane, ms, error);
}

gboolean dp_queue_advance(dp_queue *queue, gint64 id, dp_state to, GError **error)
{
    assert(to == DP_STATE_RENDERED || to == DP_STATE_EXTRACTED || to == DP_STATE_CHECKED);
    return queue->class->advance(queue, id, to, error);
}

gboolean dp_queue_publish(dp_queue *queue, gint64 id, const dp_publication *publication,
                          GError **error)
{
    assert(publication->status != NULL);
    return queue->class->publish(queue, id, publication, error);
}

gboolean dp_queue_fail(dp_queue *queue, gint64 id, const dp_failure *failure,
                       dp_doc **after, GError **error)
{
    assert(failure->code != NULL && failure->reason != NULL);
    return queue->class->fail(queue, id, failure, after, error);
}

gboolean dp_queue_given_up(dp_queue *queue, gint64 id, GError **error)
{
    return queue->class->given_up(queue, id, error);
}

gboolean dp_queue_unclaim(dp_queue *queue, gint64 id, GError **error)
{
    return queue->class->unclaim(queue, id, error);
}

gboolean dp_queue_routed(dp_queue *queue, gint64 id, dp_lasting how, GError **error)
{
    return queue->class->routed(queue, id, how, error);
}

gboolean dp_queue_sync(dp_queue *queue, gboolean is_all, GError **error)
{
    return queue->class->sync(queue, is_all, error);
}

gboolean dp_queue_set_path(dp_queue *queue, gint64 id, const char *path, GError **error)
{
    return is_within(path, "the path", DP_QUEUE_PATH_MAX, error) &&
           queue->class->set_path(queue, id, path, error);
}

gboolean dp_queue_set_origin(dp_queue *queue, gint64 id, const char *path, GError **error)
{
    return is_within(path, "the path", DP_QUEUE_PATH_MAX, error) &&
           queue->class->set_origin(queue, id, path, error);
}

gboolean dp_queue_set_target(dp_queue *queue, gint64 id, const char *target,
                             GError **error)
{
    return is_within(target, "the result's path", DP_QUEUE_PATH_MAX, error) &&
           queue->class->set_target(queue, id, target, error);
}

gboolean dp_queue_rekey(dp_queue *queue, gint64 id, const char *sha256,
                        const char *recipe, gint64 *twin, GError **error)
{
    assert(strlen(sha256) == 64);
    return queue->class->rekey(queue, id, sha256, recipe, twin, error);
}

dp_doc *dp_queue_get(dp_queue *queue, gint64 id, GError **error)
{
    return queue->class->get(queue, id, error);
}

dp_doc *dp_queue_find(dp_queue *queue, const char *lane, const char *sha256,
                      const char *recipe, GError **error)
{
    return queue->class->find(queue, lane, sha256, recipe, error);
}

gboolean dp_queue_actions_plan(dp_queue *queue, gint64 document, GPtrArray *plan,
                               GError **error)
{
    if (plan->len > DP_ACTIONS_MAX) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_LIMIT,
                    "%u actions for one document, limit %d", plan->len, DP_ACTIONS_MAX);
        return FALSE;
    }
    for (guint i = 0; i < plan->len; i++) {
        const dp_action *a = g_ptr_array_index(plan, i);
        if (!is_within(a->detail, "an action's detail", DP_ACTION_DETAIL_MAX, error) ||
            !is_within(a->kind, "an action's kind", 64, error) ||
            !is_within(a->key, "an action's key", 256, error))
            return FALSE;
    }
    return queue->class->actions_plan(queue, document, plan, error);
}

GPtrArray *dp_queue_actions(dp_queue *queue, gint64 document, GError **error)
{
    return queue->class->actions(queue, document, error);
}

gboolean dp_queue_action_start(dp_queue *queue, gint64 action, const char *detail,
                               dp_lasting how, GError **error)
{
    return is_within(detail, "an action's detail", DP_ACTION_DETAIL_MAX, error) &&
           queue->class->action_start(queue, action, detail, how, error);
}

gboolean dp_queue_action_done(dp_queue *queue, gint64 action, const char *moved_to,
                              GError **error)
{
    return is_within(moved_to, "the path", DP_QUEUE_PATH_MAX, error) &&
           queue->class->action_done(queue, action, moved_to, error);
}

gboolean dp_queue_action_fail(dp_queue *queue, gint64 action, const dp_failure *failure,
                              GError **error)
{
    return queue->class->action_fail(queue, action, failure, error);
}

gboolean dp_queue_counts(dp_queue *queue, const char *lane, dp_counts *counts,
                         GError **error)
{
    return queue->class->counts(queue, lane, counts, error);
}

json_t *dp_queue_reasons(dp_queue *queue, const char *lane, GError **error)
{
    return queue->class->reasons(queue, lane, error);
}

GPtrArray *dp_queue_list(dp_queue *queue, const dp_filter *filter, GError **error)
{
    return queue->class->list(queue, filter, error);
}

gboolean dp_queue_retry(dp_queue *queue, const char *lane, gint64 id, dp_retry which,
                        guint *count, GError **error)
{
    return queue->class->retry(queue, lane, id, which, count, error);
}

gboolean dp_queue_redo(dp_queue *queue, gint64 id, GError **error)
{
    return queue->class->redo(queue, id, error);
}

gboolean dp_queue_prune(dp_queue *queue, const char *lane, gint64 before, guint *count,
                        GError **error)
{
    return queue->class->prune(queue, lane, before, count, error);
}

gboolean dp_queue_forget(dp_queue *queue, const char *lane, gint64 id, guint *count,
                         GError **error)
{
    return queue->class->forget(queue, lane, id, count, error);
}

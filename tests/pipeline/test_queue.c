/*
 * test_queue.c - the journal: states, keys, leases, waits, actions.
 */
#include "queue.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct fixture {
    char *dir, *path;
    dp_queue *queue;
} fixture;

static void set_up(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    f->dir = g_dir_make_tmp("docvl-queue-XXXXXX", &error);
    g_assert_no_error(error);
    f->path = g_build_filename(f->dir, "journal.db", NULL);
    f->queue = dp_queue_open(f->path, DP_QUEUE_CREATE, &error);
    g_assert_no_error(error);
}

static void tear_down(fixture *f, gconstpointer unused)
{
    static const char *const endings[] = { "", "-wal", "-shm" };
    dp_queue_free(f->queue);
    for (gsize i = 0; i < G_N_ELEMENTS(endings); i++) {
        g_autofree char *name = g_strconcat(f->path, endings[i], NULL);
        (void)g_unlink(name); /* the last two are there only while it is open */
    }
    g_assert_cmpint(g_rmdir(f->dir), ==, 0);
    g_free(f->dir);
    g_free(f->path);
}

static const char *hash_of(guint number)
{
    static char hex[65];
    g_snprintf(hex, sizeof hex, "%064x", number);
    return hex;
}

static dp_added add(fixture *f, const char *path, guint content)
{
    g_autoptr(GError) error = NULL;
    dp_arrival arrival = { .lane = "test",
                           .path = path,
                           .target = "/out/x.json",
                           .sha256 = hash_of(content),
                           .recipe = "r",
                           .stamp = { .size = 10, .mtime_ns = content } };
    dp_added added = { 0 };
    dp_queue_add(f->queue, &arrival, &added, &error);
    g_assert_no_error(error);
    return added;
}

static dp_doc *claim(fixture *f, gint64 id)
{
    g_autoptr(GError) error = NULL;
    dp_doc *doc =
        dp_queue_claim(f->queue, &(dp_claim){ .lane = "test", .id = id }, &error);
    g_assert_no_error(error);
    return doc;
}

static void work_to_checked(fixture *f, gint64 id)
{
    g_autoptr(GError) error = NULL;
    for (dp_state s = DP_STATE_RENDERED; s <= DP_STATE_CHECKED; s++) {
        dp_queue_advance(f->queue, id, s, &error);
        g_assert_no_error(error);
    }
}

static dp_state state_of(fixture *f, gint64 id)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_doc) doc = dp_queue_get(f->queue, id, &error);
    g_assert_no_error(error);
    return doc->state;
}

/* ---- states ------------------------------------------------------------------------------- */

static void test_table(void)
{
    static const struct {
        dp_state from, to;
        gboolean leads;
    } cases[] = {
        { DP_STATE_FOUND, DP_STATE_SETTLED, TRUE },
        { DP_STATE_SETTLED, DP_STATE_CLAIMED, TRUE },
        { DP_STATE_CLAIMED, DP_STATE_RENDERED, TRUE },
        { DP_STATE_CLAIMED, DP_STATE_EXTRACTED, FALSE },
        { DP_STATE_CLAIMED, DP_STATE_PUBLISHED, FALSE },
        { DP_STATE_CHECKED, DP_STATE_PUBLISHED, TRUE },
        { DP_STATE_PUBLISHED, DP_STATE_SETTLED, FALSE },
        { DP_STATE_PUBLISHED, DP_STATE_ROUTED, TRUE },
        { DP_STATE_FAILED, DP_STATE_CLAIMED, TRUE },
        { DP_STATE_QUARANTINED, DP_STATE_CLAIMED, FALSE },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("%s to %s", dp_state_name(cases[i].from),
                       dp_state_name(cases[i].to));
        g_assert_cmpint(dp_state_leads(cases[i].from, cases[i].to), ==, cases[i].leads);
    }
    for (guint s = 0; s < DP_STATE_COUNT; s++) {
        dp_state back;
        g_assert_true(dp_state_parse(dp_state_name((dp_state)s), &back));
        g_assert_cmpint(back, ==, s);
    }
}

static void test_waits(void)
{
    static const gint64 expect[] = { 60000, 300000, 1800000, 7200000, -1, -1 };
    g_unsetenv("DOCVL_BACKOFF");
    g_unsetenv("DOCVL_STALL_MS");
    for (guint i = 0; i < G_N_ELEMENTS(expect); i++)
        g_assert_cmpint(dp_backoff_ms(i + 1), ==, expect[i]);
    g_assert_cmpint(dp_stall_ms(1), ==, 5000);
    g_assert_cmpint(dp_stall_ms(2), ==, 10000);
    g_assert_cmpint(dp_stall_ms(1000), ==, 300000);
}

static void test_way(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    dp_added added = add(f, "/in/a", 1);
    g_assert_cmpint(added.how, ==, DP_ADD_NEW);
    dp_publication p = { .status = "ok", .pages = 2, .is_end = TRUE };
    g_assert_false(dp_queue_publish(f->queue, added.id, &p, &error));
    g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_LOST);
    g_clear_error(&error);
    g_autoptr(dp_doc) doc = claim(f, 0);
    g_assert_cmpint(doc->state, ==, DP_STATE_CLAIMED);
    g_assert_null(claim(f, 0));
    g_assert_false(dp_queue_publish(f->queue, added.id, &p, &error));
    g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE);
    g_clear_error(&error);
    work_to_checked(f, added.id);
    g_assert_true(dp_queue_publish(f->queue, added.id, &p, &error));
    g_assert_no_error(error);
    g_assert_cmpint(state_of(f, added.id), ==, DP_STATE_ROUTED);
    g_assert_null(claim(f, 0));
}

static void test_arrivals(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    dp_added first = add(f, "/in/a", 1);
    g_assert_cmpint(add(f, "/in/a", 1).how, ==, DP_ADD_PENDING);
    dp_added twin = add(f, "/in/b", 1);
    g_assert_cmpint(twin.how, ==, DP_ADD_TWIN);
    g_assert_cmpint(twin.id, ==, first.id);
    g_assert_cmpint(add(f, "/in/a", 2).how, ==, DP_ADD_NEW);
    char hash[65];
    dp_stamp stamp = { .size = 10, .mtime_ns = 2 };
    g_assert_true(dp_queue_known_hash(f->queue, "test", "/in/a", &stamp, hash));
    g_assert_cmpstr(hash, ==, hash_of(2));
    stamp.ctime_ns = 1;
    g_assert_false(dp_queue_known_hash(f->queue, "test", "/in/a", &stamp, hash));
    gint64 other = 0;
    g_assert_true(dp_queue_rekey(f->queue, first.id, hash_of(2), "r", &other, &error));
    g_assert_cmpint(other, !=, 0);
    g_assert_null(dp_queue_get(f->queue, first.id, &error));
    g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND);
}

static void test_limits(fixture *f, gconstpointer unused)
{
    g_autofree char *fits = g_strnfill(DP_QUEUE_PATH_MAX, 'x');
    g_autofree char *over = g_strnfill(DP_QUEUE_PATH_MAX + 1, 'x');
    g_autoptr(GError) error = NULL;
    dp_added added;
    dp_arrival arrival = {
        .lane = "test", .path = fits, .sha256 = hash_of(1), .recipe = "r"
    };
    g_assert_true(dp_queue_add(f->queue, &arrival, &added, &error));
    arrival.path = over;
    g_assert_false(dp_queue_add(f->queue, &arrival, &added, &error));
    g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_LIMIT);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void test_failures(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_setenv("DOCVL_BACKOFF", "1,1,1,1", TRUE);
    dp_added added = add(f, "/in/a", 1);
    for (guint i = 1; i <= DP_ATTEMPTS_MAX; i++) {
        g_usleep(5000);
        g_autoptr(dp_doc) doc = claim(f, 0);
        g_assert_nonnull(doc);
        g_autoptr(dp_doc) after = NULL;
        dp_failure failure = { .code = "unreadable", .reason = "broken\nhere" };
        g_assert_true(dp_queue_fail(f->queue, added.id, &failure, &after, &error));
        g_assert_cmpuint(after->attempts, ==, i);
        g_assert_cmpstr(after->reason, ==, "broken here");
        g_assert_cmpint(after->state, ==,
                        i < DP_ATTEMPTS_MAX ? DP_STATE_FAILED : DP_STATE_QUARANTINED);
    }
    g_assert_null(claim(f, 0)); /* ours, until `failed` of the routes is through */
    g_assert_true(dp_queue_given_up(f->queue, added.id, &error));
    g_assert_null(claim(f, 0));
    g_assert_false(dp_queue_given_up(f->queue, added.id, &error));
    g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_LOST);
    g_clear_error(&error);
    guint count = 0;
    g_assert_true(
        dp_queue_retry(f->queue, "test", 0, DP_RETRY_QUARANTINED, &count, &error));
    g_assert_cmpuint(count, ==, 1);
    g_assert_cmpint(state_of(f, added.id), ==, DP_STATE_SETTLED);
    g_unsetenv("DOCVL_BACKOFF");
}

static void test_temporary(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    dp_added added = add(f, "/in/a", 1);
    g_autoptr(dp_doc) doc = claim(f, 0);
    g_autoptr(dp_doc) after = NULL;
    dp_failure failure = { .code = "disk_full", .reason = "full", .is_temporary = TRUE };
    g_assert_true(dp_queue_fail(f->queue, added.id, &failure, &after, &error));
    g_assert_cmpuint(after->attempts, ==, 0);
    g_assert_cmpint(after->state, ==, DP_STATE_SETTLED);
    g_assert_null(claim(f, 0)); /* it waits */
    gint64 ms = 0;
    g_assert_true(dp_queue_next_due(f->queue, "test", &ms, &error));
    g_assert_cmpint(ms, >, 3000);
    g_assert_cmpint(ms, <=, 5000);
}

/* ---- leases ------------------------------------------------------------------------------------- */

/* A process that claims and dies: its document is back at once, and counted. */
static void test_dead_worker(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    dp_added added = add(f, "/in/a", 1);
    dp_queue_free(f->queue);
    f->queue = NULL;
    int ready[2];
    g_assert_cmpint(pipe2(ready, O_CLOEXEC), ==, 0);
    pid_t child = fork();
    g_assert_cmpint(child, >=, 0);
    if (child == 0) {
        dp_queue *own = dp_queue_open(f->path, DP_QUEUE_EXISTING, NULL);
        dp_doc *doc = dp_queue_claim(own, &(dp_claim){ .lane = "test" }, NULL);
        (void)!write(ready[1], doc != NULL ? "y" : "n", 1);
        pause();
        _exit(0);
    }
    char answer = 0;
    g_assert_cmpint(read(ready[0], &answer, 1), ==, 1);
    g_assert_cmpint(answer, ==, 'y');
    f->queue = dp_queue_open(f->path, DP_QUEUE_EXISTING, &error);
    g_assert_no_error(error);
    g_assert_null(claim(f, 0)); /* it lives and has it */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    guint count = 0;
    g_assert_true(dp_queue_recover(f->queue, &count, &error));
    g_assert_cmpuint(count, ==, 1);
    g_autoptr(dp_doc) doc = claim(f, 0);
    g_assert_nonnull(doc);
    g_assert_cmpint(doc->id, ==, added.id);
    g_assert_cmpuint(doc->attempts, ==, 1);
    g_assert_cmpstr(doc->code, ==, "worker_lost");
    close(ready[0]);
    close(ready[1]);
}

/* ---- actions ------------------------------------------------------------------------------------- */

static GPtrArray *plan_of(guint count)
{
    GPtrArray *plan = g_ptr_array_new_with_free_func((GDestroyNotify)dp_action_free);
    for (guint i = 0; i < count; i++) {
        dp_action *a = g_new0(dp_action, 1);
        a->index = i;
        a->kind = g_strdup("copy");
        a->key = g_strdup_printf("key%u", i);
        g_ptr_array_add(plan, a);
    }
    return plan;
}

static gint64 publish(fixture *f)
{
    g_autoptr(GError) error = NULL;
    dp_added added = add(f, "/in/a", 1);
    g_autoptr(dp_doc) doc = claim(f, 0);
    work_to_checked(f, added.id);
    dp_publication p = { .status = "ok" };
    g_assert_true(dp_queue_publish(f->queue, added.id, &p, &error));
    return added.id;
}

static void test_actions(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    gint64 id = publish(f);
    g_autoptr(GPtrArray) plan = plan_of(2);
    g_assert_true(dp_queue_actions_plan(f->queue, id, plan, &error));
    g_autoptr(GPtrArray) other = plan_of(5);
    g_assert_true(
        dp_queue_actions_plan(f->queue, id, other, &error)); /* the first stands */
    g_autoptr(GPtrArray) actions = dp_queue_actions(f->queue, id, &error);
    g_assert_cmpuint(actions->len, ==, 2);
    g_assert_false(dp_queue_routed(f->queue, id, DP_LASTING_NOTED, &error));
    g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE);
    g_clear_error(&error);
    for (guint i = 0; i < 2; i++) {
        const dp_action *a = g_ptr_array_index(actions, i);
        g_assert_true(
            dp_queue_action_start(f->queue, a->id, "{}", DP_LASTING_SYNCED, &error));
        g_assert_true(dp_queue_action_done(f->queue, a->id, NULL, &error));
        g_assert_false(dp_queue_action_done(f->queue, a->id, NULL, &error));
        g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_STATE);
        g_clear_error(&error);
    }
    g_assert_true(dp_queue_routed(f->queue, id, DP_LASTING_NOTED, &error));
    g_assert_true(dp_queue_sync(f->queue, FALSE, &error));
    g_assert_true(dp_queue_sync(f->queue, TRUE, &error));
    g_assert_cmpint(state_of(f, id), ==, DP_STATE_ROUTED);
}

static void test_action_waits_and_ends(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    gint64 id = publish(f);
    g_autoptr(GPtrArray) plan = plan_of(1);
    g_assert_true(dp_queue_actions_plan(f->queue, id, plan, &error));
    g_autoptr(GPtrArray) actions = dp_queue_actions(f->queue, id, &error);
    gint64 action = ((dp_action *)g_ptr_array_index(actions, 0))->id;
    dp_failure failure = { .code = "action", .reason = "no answer" };
    g_assert_true(dp_queue_action_fail(f->queue, action, &failure, &error));
    g_assert_true(dp_queue_unclaim(f->queue, id, &error));
    g_assert_cmpint(state_of(f, id), ==, DP_STATE_PUBLISHED);
    g_assert_null(claim(f, 0));
    g_autoptr(dp_doc) doc =
        dp_queue_claim(f->queue, &(dp_claim){ .lane = "test", .is_now = TRUE }, &error);
    g_assert_nonnull(doc);
    failure.is_final = TRUE;
    g_assert_true(dp_queue_action_fail(f->queue, action, &failure, &error));
    g_assert_cmpint(state_of(f, id), ==, DP_STATE_QUARANTINED);
    guint count;
    g_assert_true(
        dp_queue_retry(f->queue, NULL, id, DP_RETRY_QUARANTINED, &count, &error));
    g_assert_cmpint(state_of(f, id), ==, DP_STATE_PUBLISHED); /* not extracted again */
}

/* ---- given up ------------------------------------------------------------------------------------ */

static gint64 give_up(fixture *f, dp_doc **after)
{
    g_autoptr(GError) error = NULL;
    dp_added added = add(f, "/in/a", 1);
    g_autoptr(dp_doc) doc = claim(f, 0);
    dp_failure failure = { .code = "unreadable", .reason = "broken", .is_final = TRUE };
    g_assert_true(dp_queue_fail(f->queue, added.id, &failure, after, &error));
    return added.id;
}

/* `failed` of the routes waits, goes on and ends; the reason of the failure stays. */
static void test_given_up(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_doc) after = NULL;
    gint64 id = give_up(f, &after);
    g_assert_true(after->is_giving_up);
    g_autoptr(GPtrArray) plan = plan_of(1);
    g_assert_true(dp_queue_actions_plan(f->queue, id, plan, &error));
    g_autoptr(GPtrArray) actions = dp_queue_actions(f->queue, id, &error);
    gint64 action = ((dp_action *)g_ptr_array_index(actions, 0))->id;
    dp_failure failure = { .code = "action", .reason = "no answer" };
    g_assert_true(dp_queue_action_fail(f->queue, action, &failure, &error));
    g_assert_true(dp_queue_unclaim(f->queue, id, &error));
    g_assert_null(claim(f, 0));
    gint64 ms = 0;
    g_assert_true(dp_queue_next_due(f->queue, "test", &ms, &error));
    g_assert_cmpint(ms, >, 50000);
    g_assert_cmpint(ms, <=, 60000);
    g_autoptr(dp_doc) doc =
        dp_queue_claim(f->queue, &(dp_claim){ .lane = "test", .is_now = TRUE }, &error);
    g_assert_nonnull(doc);
    g_assert_cmpint(doc->state, ==, DP_STATE_QUARANTINED);
    g_assert_cmpstr(doc->reason, ==, "broken");
    failure.is_final = TRUE;
    g_assert_true(dp_queue_action_fail(f->queue, action, &failure, &error));
    g_autoptr(dp_doc) end = dp_queue_get(f->queue, id, &error);
    g_assert_false(end->is_giving_up);
    g_assert_cmpstr(end->code, ==, "unreadable");
    g_assert_cmpstr(end->reason, ==,
                    "broken; routes, failed: action 0 (copy): no answer");
    g_assert_cmpstr(end->worker, ==, "");
    /* Released: worked on again, and nothing of that plan is left. */
    guint count;
    g_assert_true(
        dp_queue_retry(f->queue, NULL, id, DP_RETRY_QUARANTINED, &count, &error));
    g_autoptr(GPtrArray) none = dp_queue_actions(f->queue, id, &error);
    g_assert_cmpuint(none->len, ==, 0);
    g_autoptr(dp_doc) again = claim(f, id);
    g_assert_cmpint(again->state, ==, DP_STATE_CLAIMED);
}

/* A plan that can't be made: now, and never. */
static void test_given_up_without_plan(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_doc) after = NULL;
    gint64 id = give_up(f, &after);
    dp_failure failure = { .code = "io", .reason = "full", .is_temporary = TRUE };
    g_assert_true(dp_queue_fail(f->queue, id, &failure, NULL, &error));
    g_assert_null(claim(f, 0)); /* it waits */
    g_autoptr(dp_doc) doc =
        dp_queue_claim(f->queue, &(dp_claim){ .lane = "test", .is_now = TRUE }, &error);
    g_assert_nonnull(doc);
    g_assert_true(doc->is_giving_up);
    failure.is_temporary = FALSE;
    g_assert_true(dp_queue_fail(f->queue, id, &failure, NULL, &error));
    g_autoptr(dp_doc) end = dp_queue_get(f->queue, id, &error);
    g_assert_false(end->is_giving_up);
    g_assert_cmpint(end->state, ==, DP_STATE_QUARANTINED);
    g_assert_cmpstr(end->reason, ==, "broken; routes, failed: full");
}

static void run_sql(fixture *f, const char *sql)
{
    sqlite3 *db = NULL;
    g_assert_cmpint(sqlite3_open(f->path, &db), ==, SQLITE_OK);
    char *message = NULL;
    sqlite3_exec(db, sql, NULL, NULL, &message);
    g_assert_cmpstr(message, ==, NULL);
    sqlite3_close(db);
}

/* A journal as the first docvl made it is brought up to date, with what is in it. */
static void test_upgrade(fixture *f, gconstpointer unused)
{
    g_autoptr(GError) error = NULL;
    dp_added added = add(f, "/in/a", 1);
    g_clear_pointer(&f->queue, dp_queue_free);
    run_sql(f, "DROP INDEX documents_waiting;"
               "ALTER TABLE documents DROP COLUMN giving_up;"
               "CREATE INDEX documents_waiting ON documents(priority DESC, id)"
               " WHERE worker='' AND state IN ('settled','failed','published');"
               "PRAGMA user_version=1;");
    f->queue = dp_queue_open(f->path, DP_QUEUE_EXISTING, &error);
    g_assert_no_error(error);
    g_autoptr(dp_doc) doc = claim(f, 0);
    g_assert_nonnull(doc);
    g_assert_cmpint(doc->id, ==, added.id);
    g_assert_false(doc->is_giving_up);
    g_clear_pointer(&f->queue, dp_queue_free);
    run_sql(f, "PRAGMA user_version=3;");
    f->queue = dp_queue_open(f->path, DP_QUEUE_EXISTING, &error);
    g_assert_error(error, DP_QUEUE_ERROR, DP_QUEUE_VERSION);
}

/* ---- cost ------------------------------------------------------------------------------------------ */

static void test_cost(fixture *f, gconstpointer unused)
{
    enum { COUNT = 200 };
    gint64 started = g_get_monotonic_time();
    for (guint i = 0; i < COUNT; i++) {
        g_autofree char *path = g_strdup_printf("/in/%u", i);
        dp_added added = add(f, path, i + 1);
        g_autoptr(dp_doc) doc = claim(f, added.id);
        work_to_checked(f, added.id);
        dp_publication p = { .status = "ok", .is_end = TRUE };
        g_assert_true(dp_queue_publish(f->queue, added.id, &p, NULL));
    }
    g_test_message("journal: %.2f ms a document (two of its six transactions synced)",
                   (double)(g_get_monotonic_time() - started) / 1000 / COUNT);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/queue/table", test_table);
    g_test_add_func("/queue/waits", test_waits);
#define CASE(name, function)                                                             \
    g_test_add("/queue/" name, fixture, NULL, set_up, function, tear_down)
    CASE("way", test_way);
    CASE("arrivals", test_arrivals);
    CASE("limits", test_limits);
    CASE("failures", test_failures);
    CASE("temporary", test_temporary);
    CASE("dead-worker", test_dead_worker);
    CASE("actions", test_actions);
    CASE("action-waits", test_action_waits_and_ends);
    CASE("given-up", test_given_up);
    CASE("given-up-without-plan", test_given_up_without_plan);
    CASE("upgrade", test_upgrade);
    CASE("cost", test_cost);
    return g_test_run();
}

/*
 * cmd_watch.c - docvl watch: starts the folders and the engine, and answers signals.
 *
 *   SIGTERM, SIGINT  stop between pages; what was in work goes back to the journal
 *   SIGHUP           read the configuration again; a wrong one changes nothing
 *   SIGUSR1          say on standard error how things stand
 */
#include "watch.h"

#include "names.h"
#include "notify.h"
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_US    G_USEC_PER_SEC
#define METRICS_US (15 * G_USEC_PER_SEC)
#define ANSWER_US                                                                        \
    (5 * G_USEC_PER_SEC) /* a share that does not answer is left alone then */
#define STUCK_US (900 * G_USEC_PER_SEC) /* no step of any worker for so long: not alive */

typedef struct service {
    dp_app *app;
    const char *path; /* of the configuration */
    vl_model *model;
    dx_engine *engine;
    dp_watch watch;
    GPtrArray *folders; /* of dp_folder: at work */
    GPtrArray *leaving; /* asked to stop */
    char *status_file, *metrics_file;
    gboolean
        is_left; /* a folder's thread hangs: what it uses stays until the process ends */
    char *last_status; /* as written last */
    gint64 started_at, status_us, metrics_us;
} service;

static int signal_pipe[2] = { -1, -1 };

static void on_signal(int number)
{
    dp_signal_write(signal_pipe[1], number == SIGHUP ? 'h' : 'u');
}

static gboolean catch_signals(void)
{
    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        return FALSE;
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGHUP, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGIO, SIG_IGN); /* a lease that somebody breaks while we hold it */
    return TRUE;
}

/* ---- configuration ------------------------------------------------------------------------- */

/* The paths of one folder with links resolved, by a thread of its own: a share whose server is
 * dead may never answer. */
typedef struct real_paths {
    gatomicrefcount refs;
    GMutex lock;
    GCond changed;
    gboolean is_done;
    char *paths[4], *real[4]; /* path, out, failed, done */
} real_paths;

static void unref_real_paths(gpointer data)
{
    real_paths *r = data;
    if (!g_atomic_ref_count_dec(&r->refs))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(r->paths); i++) {
        g_free(r->paths[i]);
        g_free(r->real[i]);
    }
    g_mutex_clear(&r->lock);
    g_cond_clear(&r->changed);
    g_free(r);
}

/* What is not there yet will be made below what is. */
static char *real_path_of(const char *path)
{
    char *real = realpath(path, NULL);
    if (real == NULL && strcmp(path, "/") != 0) {
        g_autofree char *parent = g_path_get_dirname(path);
        g_autofree char *base = g_path_get_basename(path);
        g_autofree char *above = real_path_of(parent);
        return g_build_filename(above, base, NULL);
    }
    char *copy = g_strdup(real != NULL ? real : path);
    free(real);
    return copy;
}

static gpointer resolve(gpointer data)
{
    real_paths *r = data;
    char *real[G_N_ELEMENTS(r->paths)];
    for (gsize i = 0; i < G_N_ELEMENTS(r->paths); i++)
        real[i] = real_path_of(r->paths[i]);
    g_mutex_lock(&r->lock);
    memcpy(r->real, real, sizeof real);
    r->is_done = TRUE;
    g_cond_signal(&r->changed);
    g_mutex_unlock(&r->lock);
    unref_real_paths(r);
    return NULL;
}

static real_paths *begin_resolving(const dp_folder_config *f)
{
    real_paths *r = g_new0(real_paths, 1);
    g_atomic_ref_count_init(&r->refs);
    g_mutex_init(&r->lock);
    g_cond_init(&r->changed);
    const char *paths[] = { f->path, f->out, f->failed, f->done };
    for (gsize i = 0; i < G_N_ELEMENTS(paths); i++)
        r->paths[i] = g_strdup(paths[i]);
    g_atomic_ref_count_inc(&r->refs);
    GThread *thread = g_thread_try_new("paths", resolve, r, NULL);
    if (thread != NULL)
        g_thread_unref(thread);
    else
        (void)resolve(r);
    return r;
}

static gboolean has_answered(const dp_app *app, const dp_config *config, real_paths *r,
                             gint64 until_us)
{
    g_mutex_lock(&r->lock);
    while (!r->is_done && g_cond_wait_until(&r->changed, &r->lock, until_us)) {
    }
    gboolean is_done = r->is_done;
    g_mutex_unlock(&r->lock);
    if (!is_done)
        dp_message(app, "warning",
                   "%s: %s does not answer: not checked whether links lead from output "
                   "to input",
                   config->file, r->paths[0]);
    return is_done;
}

/* What config.c checked by name, once more with links resolved. */
static gboolean check_places(const dp_app *app, const dp_config *config)
{
    gboolean is_good = TRUE;
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func(unref_real_paths);
    g_autoptr(GPtrArray) known = g_ptr_array_new();
    for (guint i = 0; i < config->folders->len; i++)
        g_ptr_array_add(all, begin_resolving(g_ptr_array_index(config->folders, i)));
    gint64 until = g_get_monotonic_time() + ANSWER_US;
    for (guint i = 0; i < all->len; i++)
        if (has_answered(app, config, g_ptr_array_index(all, i), until))
            g_ptr_array_add(known, g_ptr_array_index(all, i));
    for (guint i = 0; i < known->len; i++) {
        const real_paths *from = g_ptr_array_index(known, i);
        for (guint k = 0; k < known->len; k++) {
            const char *in = ((const real_paths *)g_ptr_array_index(known, k))->real[0];
            for (gsize n = 1; n < G_N_ELEMENTS(from->real); n++) {
                if (!dp_path_is_within(from->real[n], in))
                    continue;
                dp_message(app, "error",
                           "%s: %s leads into the watched folder %s: its own output "
                           "would be taken as input",
                           config->file, from->paths[n], in);
                is_good = FALSE;
            }
        }
    }
    return is_good;
}

static dp_config *open_config(const dp_app *app, const char *path, dp_exit *code)
{
    g_autoptr(dp_config) config = dp_config_open(app, path, code);
    if (config == NULL)
        return NULL;
    if (config->folders->len == 0) {
        dp_message(app, "error", "%s: no folders to watch", path);
        return NULL;
    }
    if (!check_places(app, config))
        return NULL;
    (void)dp_config_check_fields(app, config, NULL, "warning");
    return g_steal_pointer(&config);
}

static void warn_of_network(const dp_app *app, const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && dp_fd_is_network(fd))
        dp_message(app, "warning",
                   "the journal is in %s, which seems to be on a network: it does not "
                   "stand two machines; put it on a local disk",
                   dir);
    if (fd >= 0)
        close(fd);
}

static dp_queue *open_journal(const dp_app *app, const dp_config *config, char **location)
{
    *location =
        config->journal != NULL ? g_strdup(config->journal) : dp_journal_default();
    g_autofree char *dir = g_path_get_dirname(*location);
    (void)g_mkdir_with_parents(dir, 0700); /* opening says what is wrong */
    warn_of_network(app, dir);
    g_autoptr(GError) error = NULL;
    dp_queue *queue = dp_queue_open(*location, DP_QUEUE_CREATE, &error);
    if (queue == NULL)
        dp_message(app, "error", "journal %s: %s", *location, error->message);
    return queue;
}

/* Machines that are set up alike share folders, but not the one of the journal (whose own file
 * may be another one after it was restored). */
static char *owner_of(const char *journal, const char *lane)
{
    struct statx st = { 0 };
    g_autofree char *dir = g_path_get_dirname(journal);
    (void)statx(AT_FDCWD, dir, 0, STATX_INO | STATX_BTIME, &st); /* the names stay */
    return g_strdup_printf("%s\n%s\n%s\n%" PRIu64 " %" PRId64 ".%09" PRIu32 "\n", journal,
                           lane, g_get_host_name(), (uint64_t)st.stx_ino,
                           (int64_t)st.stx_btime.tv_sec, st.stx_btime.tv_nsec);
}

/* ---- status ------------------------------------------------------------------------------------ */

static json_t *folder_status(dp_folder *folder)
{
    dp_folder_counts c;
    dp_folder_get_counts(folder, &c);
    return json_pack("{s:s, s:b, s:b, s:i, s:i, s:i, s:I, s:I, s:b}", "path",
                     dp_folder_config_of(folder)->path, "is_there", (int)c.is_there,
                     "is_polling", (int)c.is_polling, "waiting", (int)c.waiting, "taken",
                     (int)c.taken, "refused", (int)c.refused, "added",
                     (json_int_t)c.added, "duplicates", (json_int_t)c.duplicates,
                     "is_stuck", (int)(g_get_monotonic_time() - c.beat_us > STUCK_US));
}

/* Without the journal's counts: cheap, and different whenever something happened. */
static json_t *quick_status(service *s)
{
    dp_runner_counts r;
    dp_runner_get_counts(s->watch.runner, &r);
    json_t *folders = json_array();
    for (guint i = 0; i < s->folders->len; i++)
        json_array_append_new(folders, folder_status(g_ptr_array_index(s->folders, i)));
    return json_pack("{s:i, s:s, s:I, s:o, s:{s:I, s:I, s:I, s:I, s:I, s:i, s:I}}", "pid",
                     (int)getpid(), "config", s->path, "started_at",
                     (json_int_t)s->started_at, "folders", folders, "since_start", "done",
                     (json_int_t)r.done, "review", (json_int_t)r.review, "failed",
                     (json_int_t)r.failed, "quarantined", (json_int_t)r.quarantined,
                     "twins", (json_int_t)r.twins, "in_work", (int)r.in_work, "pages",
                     (json_int_t)r.pages);
}

static void add_journal(service *s, json_t *status)
{
    dp_counts counts;
    g_autoptr(GError) error = NULL;
    if (!dp_queue_counts(s->watch.queue, s->watch.lane, &counts, &error)) {
        json_object_set_new(status, "journal", json_string(error->message));
        return;
    }
    json_t *journal = json_object();
    for (int state = DP_STATE_SETTLED; state < DP_STATE_COUNT; state++)
        json_object_set_new(journal, dp_state_name((dp_state)state),
                            json_integer((json_int_t)counts.documents[state]));
    json_object_set_new(status, "journal", journal);
}

static long long count_of(const json_t *counts, const char *key)
{
    return (long long)json_integer_value(json_object_get(counts, key));
}

/* `is_asked`: by SIGUSR1; then it goes to standard error too. */
static void write_status(service *s, gboolean is_asked)
{
    json_t *status = quick_status(s);
    char *quick = json_dumps(status, JSON_COMPACT);
    gboolean is_new = g_strcmp0(quick, s->last_status) != 0;
    if (is_asked || (is_new && s->status_file != NULL)) {
        add_journal(s, status);
        char *dump = json_dumps(status, JSON_INDENT(2));
        g_autofree char *text = g_strconcat(dump, "\n", NULL);
        free(dump);
        g_autoptr(GError) error = NULL;
        if (s->status_file != NULL &&
            !dp_publish(s->status_file, text, strlen(text), &error))
            dp_message(s->app, "warning", "%s", error->message);
        char *line = json_dumps(status, JSON_COMPACT);
        if (is_asked)
            fprintf(stderr, "%s%s\n", dp_stderr_is_journal() ? "<6>" : "", line);
        free(line);
    }
    if (is_new) {
        const json_t *since = json_object_get(status, "since_start");
        (void)dp_notify("STATUS=%u folder%s, %lld done, %lld failed, %lld in work",
                        s->folders->len, s->folders->len == 1 ? "" : "s",
                        count_of(since, "done") + count_of(since, "review"),
                        count_of(since, "failed"), count_of(since, "in_work"));
        g_free(s->last_status);
        s->last_status = g_strdup(quick);
    }
    free(quick);
    json_decref(status);
}

static void write_metrics(service *s)
{
    gint64 now = g_get_monotonic_time();
    if (s->metrics_file == NULL || now < s->metrics_us)
        return;
    s->metrics_us = now + METRICS_US;
    g_autoptr(GError) error = NULL;
    if (!dp_metrics_write(s->metrics_file, s->watch.queue, s->watch.lane, s->watch.runner,
                          &error))
        dp_message(s->app, "warning", "%s", error->message);
}

/* ---- folders --------------------------------------------------------------------------------------- */

static gboolean has_path(GPtrArray *folders, const char *path)
{
    for (guint i = 0; i < folders->len; i++)
        if (strcmp(dp_folder_config_of(g_ptr_array_index(folders, i))->path, path) == 0)
            return TRUE;
    return FALSE;
}

/* Ends those that have ended, and starts those whose place is free. */
static void settle_folders(service *s)
{
    for (guint i = s->leaving->len; i > 0; i--)
        if (dp_folder_has_ended(g_ptr_array_index(s->leaving, i - 1)))
            g_ptr_array_remove_index(s->leaving, i - 1);
    dp_site *site = s->watch.site; /* only this thread replaces it */
    const dp_config *config = dp_site_config(site);
    for (guint i = 0; i < config->folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(config->folders, i);
        if (!has_path(s->folders, f->path) && !has_path(s->leaving, f->path))
            g_ptr_array_add(s->folders, dp_folder_start(&s->watch, site, i));
    }
}

static const dp_folder_config *find_folder(const dp_config *config, const char *path)
{
    for (guint i = 0; i < config->folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(config->folders, i);
        if (strcmp(f->path, path) == 0)
            return f;
    }
    return NULL;
}

static void stop_changed_folders(service *s, const dp_config *config)
{
    for (guint i = s->folders->len; i > 0; i--) {
        dp_folder *folder = g_ptr_array_index(s->folders, i - 1);
        const dp_folder_config *old = dp_folder_config_of(folder);
        const dp_folder_config *next = find_folder(config, old->path);
        if (next != NULL && dp_folder_config_equal(old, next))
            continue;
        dp_folder_stop(folder);
        g_ptr_array_add(s->leaving, g_ptr_array_steal_index(s->folders, i - 1));
    }
}

/* What is fixed at the start. */
static void warn_of_fixed(service *s, const dp_config *old, const dp_config *config)
{
    const struct {
        const char *key;
        gboolean is_changed;
    } fixed[] = {
        { "journal", g_strcmp0(old->journal, config->journal) != 0 },
        { "model", g_strcmp0(old->model, config->model) != 0 },
        { "threads", old->threads != config->threads },
        { "workers", old->workers != config->workers },
        { "memory", old->memory_bytes != config->memory_bytes },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(fixed); i++)
        if (fixed[i].is_changed)
            dp_message(s->app, "warning", "%s: %s changed; it counts from the next start",
                       s->path, fixed[i].key);
}

static void take_files(service *s, const dp_config *config)
{
    g_free(s->status_file);
    g_free(s->metrics_file);
    s->status_file = g_strdup(config->status_file);
    s->metrics_file = g_strdup(config->metrics_file);
    s->metrics_us = 0;
    g_clear_pointer(&s->last_status, g_free);
}

static void reload(service *s)
{
    (void)dp_notify("RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT,
                    g_get_monotonic_time());
    dp_exit unused;
    dp_config *config = open_config(s->app, s->path, &unused);
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_site) site =
        config != NULL
            ? dp_site_new(config, s->engine, vl_model_get_info(s->model), &error)
            : NULL;
    if (error != NULL)
        dp_message(s->app, "error", "%s: %s", s->path, error->message);
    if (site == NULL) {
        dp_message(s->app, "error",
                   "%s: not reloaded, going on with the configuration as it was",
                   s->path);
    } else {
        warn_of_fixed(s, dp_site_config(s->watch.site), config);
        stop_changed_folders(s, config);
        take_files(s, config);
        g_mutex_lock(&s->watch.lock);
        dp_site *old = s->watch.site;
        s->watch.site = g_steal_pointer(&site);
        g_mutex_unlock(&s->watch.lock);
        dp_site_unref(old);
        dp_message(s->app, "info", "%s: reloaded", s->path);
        settle_folders(s);
    }
    (void)dp_notify("READY=1");
}

/* ---- the loop ------------------------------------------------------------------------------------------ */

/* One folder may hang (a dead network share); all of them, or the engine, may not. */
static gboolean is_alive(service *s)
{
    gint64 now = g_get_monotonic_time();
    guint stuck = 0;
    for (guint i = 0; i < s->folders->len; i++) {
        dp_folder_counts c;
        dp_folder_get_counts(g_ptr_array_index(s->folders, i), &c);
        stuck += now - c.beat_us > STUCK_US;
    }
    dp_runner_counts r;
    dp_runner_get_counts(s->watch.runner, &r);
    gboolean is_engine_stuck = r.in_work > 0 && now - r.last_progress_us > STUCK_US;
    return !is_engine_stuck && (s->folders->len == 0 || stuck < s->folders->len);
}

static void answer_signals(service *s)
{
    char bytes[64];
    ssize_t got = read(signal_pipe[0], bytes, sizeof bytes);
    if (got > 0 && memchr(bytes, 'h', (size_t)got) != NULL)
        reload(s);
    if (got > 0 && memchr(bytes, 'u', (size_t)got) != NULL)
        write_status(s, TRUE);
}

static void loop(service *s)
{
    gint64 watchdog_us = dp_notify_watchdog_us();
    gint64 tick_us = watchdog_us > 0 ? MIN(TICK_US, watchdog_us / 3) : TICK_US;
    struct pollfd fds[2] = { { g_cancellable_get_fd(s->app->cancellable), POLLIN, 0 },
                             { signal_pipe[0], POLLIN, 0 } };
    while (!g_cancellable_is_cancelled(s->app->cancellable)) {
        settle_folders(s);
        write_status(s, FALSE);
        write_metrics(s);
        if (watchdog_us > 0 && is_alive(s))
            (void)dp_notify("WATCHDOG=1");
        if (poll(fds, G_N_ELEMENTS(fds), (int)MAX(tick_us / 1000, 10)) > 0 &&
            (fds[1].revents & POLLIN) != 0)
            answer_signals(s);
    }
    g_cancellable_release_fd(s->app->cancellable);
}

static void stop(service *s)
{
    (void)dp_notify("STOPPING=1");
    dp_message(s->app, "info", "stopping; documents in work go back to the journal");
    for (guint i = 0; i < s->folders->len; i++)
        dp_folder_stop(g_ptr_array_index(s->folders, i));
    dp_runner_stop(s->watch.runner);
    dp_runner_end end;
    while (!dp_runner_wait(s->watch.runner, TICK_US / 1000, &end))
        (void)dp_notify("WATCHDOG=1");
    write_status(s, FALSE);
    s->metrics_us = 0;
    write_metrics(s);
}

static gboolean have_ended(GPtrArray *folders)
{
    for (guint i = 0; i < folders->len; i++)
        if (!dp_folder_has_ended(g_ptr_array_index(folders, i)))
            return FALSE;
    return TRUE;
}

/* FALSE: one hangs.  The journal has been synced by the engine's end. */
static gboolean end_folders(service *s)
{
    gint64 until = g_get_monotonic_time() + ANSWER_US;
    while ((!have_ended(s->folders) || !have_ended(s->leaving)) &&
           g_get_monotonic_time() < until)
        g_usleep(20000);
    if (!have_ended(s->folders) || !have_ended(s->leaving)) {
        dp_message(s->app, "warning", "a folder does not answer; ending without it");
        return FALSE;
    }
    g_ptr_array_set_size(s->folders, 0);
    g_ptr_array_set_size(s->leaving, 0);
    return TRUE;
}

static int serve(service *s, const dp_config *config)
{
    dp_job_hooks hooks = dp_watch_hooks(&s->watch);
    dp_runner_opts opts = { .mode = DP_RUNNER_FOREVER,
                            .lane = s->watch.lane,
                            .workers = config->workers,
                            .memory_max = config->memory_bytes,
                            .hooks = &hooks };
    s->watch.runner =
        dp_runner_new(s->watch.queue, s->engine, vl_model_get_info(s->model), &opts);
    g_autoptr(GError) error = NULL;
    int code = DP_EXIT_OK;
    if (!dp_runner_start(s->watch.runner, &error)) {
        dp_message(s->app, "error", "%s", error->message);
        code = DP_EXIT_TEMPORARY;
    } else {
        settle_folders(s);
        (void)dp_notify("READY=1");
        dp_message(s->app, "info", "watching %u folder%s", s->folders->len,
                   s->folders->len == 1 ? "" : "s");
        loop(s);
        stop(s);
    }
    s->is_left = !end_folders(s);
    if (!s->is_left)
        dp_runner_free(s->watch.runner);
    return code;
}

static int run(service *s, dp_config *config)
{
    if (s->app->model_dir == NULL)
        s->app->model_dir = g_strdup(config->model);
    if (s->app->threads == 0)
        s->app->threads = (int)config->threads;
    dp_exit why;
    s->engine = dp_open_engine(s->app, &s->model, &why);
    if (s->engine == NULL) {
        dp_config_free(config);
        return (int)why;
    }
    g_autofree char *location = NULL;
    s->watch.queue = open_journal(s->app, config, &location);
    if (s->watch.queue == NULL) {
        dp_config_free(config);
        return DP_EXIT_TEMPORARY;
    }
    s->watch.owner = owner_of(location, s->watch.lane);
    g_autoptr(GError) error = NULL;
    s->watch.site = dp_site_new(config, s->engine, vl_model_get_info(s->model), &error);
    if (s->watch.site == NULL) {
        dp_message(s->app, "error", "%s: %s", s->path, error->message);
        return dp_error_is_temporary(error) ? DP_EXIT_TEMPORARY : DP_EXIT_CONFIG;
    }
    take_files(s, config);
    return serve(s, config);
}

int dp_cmd_watch(dp_app *app, int argc, char **argv)
{
    if (argc != 2) {
        dp_message(app, "error", "usage: docvl watch CONFIG.yaml");
        return DP_EXIT_USAGE;
    }
    if (!catch_signals()) {
        dp_message(app, "error", "signals: %s", g_strerror(errno));
        return DP_EXIT_TEMPORARY;
    }
    dp_exit why;
    dp_config *config = open_config(app, argv[1], &why);
    if (config == NULL)
        return (int)why;
    char *lane = g_canonicalize_filename(argv[1], NULL);
    service *s = g_new0(service, 1); /* may outlive this function, see is_left */
    s->app = app;
    s->path = argv[1];
    s->started_at = g_get_real_time() / G_USEC_PER_SEC;
    s->watch.app = app;
    s->watch.lane = lane;
    s->folders = g_ptr_array_new_with_free_func((GDestroyNotify)dp_folder_free);
    s->leaving = g_ptr_array_new_with_free_func((GDestroyNotify)dp_folder_free);
    s->watch.targets = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    s->watch.moving = g_hash_table_new(NULL, NULL);
    s->watch.mounts = dp_mounts_new();
    g_mutex_init(&s->watch.lock);
    g_cond_init(&s->watch.moved);
    int code = run(s, config);
    if (s->is_left)
        return code;
    g_ptr_array_unref(s->folders);
    g_ptr_array_unref(s->leaving);
    g_hash_table_unref(s->watch.targets);
    g_hash_table_unref(s->watch.moving);
    g_hash_table_unref(s->watch.mounts);
    g_mutex_clear(&s->watch.lock);
    g_cond_clear(&s->watch.moved);
    dp_site_unref(s->watch.site);
    dp_queue_free(s->watch.queue);
    dx_engine_free(s->engine);
    vl_model_unref(s->model);
    g_free(s->watch.owner);
    g_free(lane);
    take_files(s, &(dp_config){ 0 });
    g_free(s);
    return code;
}

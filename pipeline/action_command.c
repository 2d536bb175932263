/*
 * action_command.c - run a program of the administrator's on a document.
 *
 * No shell: an argument vector, the values in the environment and as JSON on standard
 * input.  Values never become arguments.  The program leads its own process group, which
 * is killed when it ends, when its time is over, and when docvl is told to stop.
 *
 * Exit status 0 is done, 75 (EX_TEMPFAIL) is "later, not counted", all others "later".
 */
#include "action_parts.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_TEMPORARY = 75, POLL_MS = 200 };

typedef struct command {
    pid_t pid;
    int process, in, out; /* pidfd (or -1), its stdin, its stdout and stderr */
    const char *text;     /* still to be written */
    gsize left;
    GString *output;
    gsize output_max;
    gint64 end_us;
} command;

/* ---- environment -------------------------------------------------------------------- */

static void set_variable(GHashTable *env, const char *name, const char *value)
{
    if (value != NULL && strlen(value) <= DP_ENV_VALUE_MAX &&
        g_hash_table_size(env) < DP_ENV_VARIABLES_MAX)
        g_hash_table_insert(env, g_strdup(name), g_strdup(value));
}

/* "seller.name" to "DOCVL_FIELD_SELLER_NAME". */
static char *variable_name(const char *path)
{
    char *name = g_strconcat("DOCVL_FIELD_", path, NULL);
    for (char *c = name; *c != '\0'; c++)
        *c = g_ascii_isalnum(*c) ? g_ascii_toupper(*c) : '_';
    return name;
}

/* The depth is that of a result, which jansson has bounded. */
static void set_fields(GHashTable *env, const json_t *node, const char *path)
{
    g_autofree char *text = dp_leaf_text(node);
    if (text != NULL) {
        g_autofree char *name = variable_name(path);
        set_variable(env, name, text);
        return;
    }
    if (dp_is_leaf(node))
        return;
    const char *key;
    json_t *child;
    gsize i;
    json_object_foreach((json_t *)node, key, child) {
        g_autofree char *below =
            g_strdup_printf("%s%s%s", path, *path != '\0' ? "." : "", key);
        set_fields(env, child, below);
    }
    json_array_foreach(node, i, child) {
        g_autofree char *below = g_strdup_printf("%s.%zu", path, i);
        set_fields(env, child, below);
    }
}

static char **make_environment(const dp_action_run *run)
{
    static const char *const kept[] = { "PATH", "HOME",   "LANG", "LC_ALL", "LC_CTYPE",
                                        "TZ",   "TMPDIR", "USER", "LOGNAME" };
    static const struct {
        const char *name, *path;
    } facts[] = { { "DOCVL_FILE", "@file" },     { "DOCVL_SCHEMA", "@schema" },
                  { "DOCVL_CLASS", "@class" },   { "DOCVL_STATUS", "@status" },
                  { "DOCVL_DOC_ID", "@doc_id" }, { "DOCVL_PROFILE", "@profile" } };
    g_autoptr(GHashTable) env =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (gsize i = 0; i < G_N_ELEMENTS(kept); i++)
        set_variable(env, kept[i], g_getenv(kept[i]));
    for (gsize i = 0; i < G_N_ELEMENTS(facts); i++) {
        g_autofree char *value = dp_route_text(run->facts, facts[i].path);
        set_variable(env, facts[i].name, value);
    }
    set_variable(env, "DOCVL_PATH", run->facts->path);
    set_variable(env, "DOCVL_RESULT", run->facts->result_path);
    set_variable(env, "DOCVL_KEY", run->key);
    set_variable(env, "DOCVL_RULE",
                 json_string_value(json_object_get(run->planned, "rule")));
    g_autofree char *priority =
        g_strdup_printf("%" JSON_INTEGER_FORMAT,
                        json_integer_value(json_object_get(run->planned, "priority")));
    set_variable(env, "DOCVL_PRIORITY", priority);
    set_fields(env, json_object_get(run->facts->result, "fields"), "");
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer name, value;
    g_hash_table_iter_init(&iter, env);
    while (g_hash_table_iter_next(&iter, &name, &value))
        g_ptr_array_add(list, g_strdup_printf("%s=%s", (char *)name, (char *)value));
    g_ptr_array_add(list, NULL);
    return (char **)g_ptr_array_free(list, FALSE);
}

/* ---- the process ---------------------------------------------------------------------- */

static int spawn(command *c, char *const *words, char *const *env, const char *folder,
                 int in, int out)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attr) != 0) {
        posix_spawn_file_actions_destroy(&files);
        return ENOMEM;
    }
    int code = posix_spawn_file_actions_adddup2(&files, in, 0);
    code = code ? code : posix_spawn_file_actions_adddup2(&files, out, 1);
    code = code ? code : posix_spawn_file_actions_adddup2(&files, out, 2);
    code = code ? code : posix_spawn_file_actions_addclosefrom_np(&files, 3);
    code = code ? code : posix_spawn_file_actions_addchdir_np(&files, folder);
    code = code ? code : posix_spawnattr_setpgroup(&attr, 0);
    code = code ? code : posix_spawnattr_setsigmask(&attr, &none);
    code = code ? code : posix_spawnattr_setsigdefault(&attr, &all);
    code = code ? code
                : posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP |
                                                      POSIX_SPAWN_SETSIGMASK |
                                                      POSIX_SPAWN_SETSIGDEF);
    code = code ? code : posix_spawnp(&c->pid, words[0], &files, &attr, words, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&files);
    return code;
}

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static gboolean start(command *c, char *const *words, char *const *env,
                      const char *folder, GError **error)
{
    int in[2] = { -1, -1 }, out[2] = { -1, -1 };
    int code = pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0 ? 0 : errno;
    if (code == 0)
        code = spawn(c, words, env, folder, in[0], out[1]);
    close_end(&in[0]);
    close_end(&out[1]);
    c->in = in[1];
    c->out = out[0];
    if (code != 0) {
        close_end(&c->in);
        close_end(&c->out);
        errno = code;
        return dp_action_errno(error, "starting", words[0]);
    }
    /* our ends must not block; the program's stay as it expects them */
    (void)fcntl(c->in, F_SETFL, O_NONBLOCK);
    (void)fcntl(c->out, F_SETFL, O_NONBLOCK);
    c->process = (int)syscall(SYS_pidfd_open, c->pid, 0); /* -1 before Linux 5.3 */
    return TRUE;
}

static void feed(command *c)
{
    gssize n = write(c->in, c->text, c->left);
    if (n >= 0) {
        c->text += n;
        c->left -= (gsize)n;
    }
    /* EPIPE: it does not want to read, which is its right */
    if (c->left == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_end(&c->in);
}

static void drain(command *c)
{
    char buffer[4096];
    for (;;) {
        gssize n = read(c->out, buffer, sizeof buffer);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            close_end(&c->out);
            return;
        }
        gsize room = c->output_max - MIN(c->output_max, c->output->len);
        g_string_append_len(c->output, buffer, (gssize)MIN((gsize)n, room));
    }
}

/* Has it ended?  Its number stays taken until it is waited for. */
static gboolean has_ended(const command *c)
{
    siginfo_t info = { 0 };
    return waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == c->pid;
}

typedef enum command_end {
    COMMAND_ENDED,
    COMMAND_TIMEOUT,
    COMMAND_CANCELLED
} command_end;

static command_end supervise(command *c, GCancellable *cancellable)
{
    while (!has_ended(c)) {
        gint64 left_ms = (c->end_us - g_get_monotonic_time()) / 1000;
        if (left_ms <= 0)
            return COMMAND_TIMEOUT;
        if (g_cancellable_is_cancelled(cancellable))
            return COMMAND_CANCELLED;
        struct pollfd fds[3] = { { c->process, POLLIN, 0 },
                                 { c->in, POLLOUT, 0 },
                                 { c->out, POLLIN, 0 } };
        int wait_ms = c->process < 0 && c->out < 0 ? 10 : POLL_MS;
        if (poll(fds, 3, (int)MIN(left_ms, wait_ms)) < 0)
            continue; /* EINTR */
        if (fds[1].revents != 0)
            feed(c);
        if (fds[2].revents != 0)
            drain(c);
    }
    if (c->out >= 0)
        drain(c);
    return COMMAND_ENDED;
}

/* The group goes before the leader is waited for, so that its number is still ours. */
static int finish(command *c)
{
    int status = 0;
    (void)kill(-c->pid, SIGKILL); /* ESRCH when nothing is left */
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close_end(&c->in);
    close_end(&c->out);
    close_end(&c->process);
    return status;
}

/* The last line of what it wrote, without control characters. */
static char *last_line(const GString *output)
{
    g_autofree char *valid = g_utf8_make_valid(output->str, (gssize)output->len);
    g_strchomp(valid);
    const char *line = strrchr(valid, '\n');
    char *text = g_strndup(line != NULL ? line + 1 : valid, 200);
    for (char *c = text; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            *c = '?';
    char *clean = g_utf8_make_valid(text, -1); /* the cut may be inside a character */
    g_free(text);
    return clean;
}

static gboolean judge(const command *c, const char *name, command_end end, int status,
                      GError **error)
{
    g_autofree char *said = last_line(c->output);
    const char *gap = *said != '\0' ? ": " : "";
    if (end == COMMAND_CANCELLED)
        return dp_action_fail(error, DP_ROUTE_TEMPORARY, "%s: stopped with docvl", name);
    if (end == COMMAND_TIMEOUT)
        return dp_action_fail(error, DP_ROUTE_REFUSED, "%s: over its time limit%s%s",
                              name, gap, said);
    if (WIFSIGNALED(status))
        return dp_action_fail(error, DP_ROUTE_REFUSED, "%s: killed by signal %d%s%s",
                              name, WTERMSIG(status), gap, said);
    int code = WEXITSTATUS(status);
    return code == 0 ||
           dp_action_fail(error,
                          code == EXIT_TEMPORARY ? DP_ROUTE_TEMPORARY : DP_ROUTE_REFUSED,
                          "%s: exit status %d%s%s", name, code, gap, said);
}

gboolean dp_do_command(dp_action_run *run, GError **error)
{
    const json_t *list = json_object_get(run->planned, "command");
    assert(json_array_size(list) > 0);
    if (!run->remember(run->user, run->planned, DP_LASTING_SYNCED, error))
        return FALSE;
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    gsize i;
    json_t *word;
    json_array_foreach(list, i, word)
        g_ptr_array_add(words, (gpointer)json_string_value(word));
    g_ptr_array_add(words, NULL);
    g_auto(GStrv) env = make_environment(run);
    gsize length;
    g_autofree char *payload = dp_action_payload(run, &length);
    g_autoptr(GString) output = g_string_new(NULL);
    gint64 seconds = json_integer_value(json_object_get(run->planned, "timeout"));
    command c = { .process = -1,
                  .in = -1,
                  .out = -1,
                  .text = payload,
                  .left = length,
                  .output = output,
                  .output_max = (gsize)json_integer_value(
                      json_object_get(run->planned, "output_max")),
                  .end_us = g_get_monotonic_time() + seconds * G_USEC_PER_SEC };
    const char *folder = json_string_value(json_object_get(run->planned, "folder"));
    if (!start(&c, (char *const *)words->pdata, env, folder, error))
        return FALSE;
    command_end end = supervise(&c, run->cancellable);
    int status = finish(&c);
    return judge(&c, words->pdata[0], end, status, error);
}

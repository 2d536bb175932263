/*
 * main.c - the docvl program: global options, the command table, signals.
 */
#include "app.h"
#include "options.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <locale.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name, *arguments, *help;
    int (*run)(dp_app *app, int argc, char **argv);
    const char *options;
} commands[] = {
    { "extract", "FILE...", "documents to checked JSON", dp_cmd_extract,
      "  -s, --schema NAME    schema by name or path\n"
      "  --auto               choose the schema by classification (default)\n"
      "  -o DIR               write DIR/<file name>.json instead of to stdout\n"
      "  -f, --format FORMAT  json, jsonl or csv\n"
      "  --plain              values alone, without their envelope\n" },
    { "read", "FILE...", "documents to text", dp_cmd_read,
      "  --boxes              words with boxes, a JSON line a document\n" },
    { "classify", "FILE...", "name the kind of each document", dp_cmd_classify,
      "  -l, --labels A,B,C   classes to choose from, at least two\n" },
    { "batch", "[FILE|DIR|-]...", "folders of documents, resumable", dp_cmd_batch,
      "  -o DIR               a tree of results; or --beside: FILE.json beside each "
      "FILE\n"
      "  -s, --schema NAME    schema by name or path; --auto (default): by class\n"
      "  -l, --labels A,B,C   classes to choose from\n"
      "  -f, --format FORMAT  jsonl, csv: all results in DIR/results.FORMAT too\n"
      "  --plain              values alone, without their envelope\n"
      "  -r, --recursive      folders in folders too\n"
      "  --include GLOB       names to take (default *.pdf *.tif *.tiff *.png *.jpg "
      "*.jpeg)\n"
      "  --exclude GLOB       names to leave, files and folders\n"
      "  -0, --from0          names on stdin end with NUL, not with a line feed\n"
      "  --since TIME         files changed since: 2d, 2024-05-31, 2024-05-31T18:00:00\n"
      "  --shard I/N          only the I-th of N parts\n"
      "  --limit N            at most N documents in this run\n"
      "  -j, --jobs N         documents at a time, default one per CPU\n"
      "  --memory SIZE        begin no further document above it, such as 4GiB\n"
      "  --max-time TIME      stop between pages, such as 50m\n"
      "  --fail-fast          stop at the first failure; --max-failures N: at the N-th\n"
      "  --force              repeat what is done\n"
      "  -n, --dry-run        only say what would be done\n"
      "  --report FILE        what became of each document, as JSON\n"
      "  --summary WHEN       auto (on a terminal or in trouble), always, never\n"
      "  --metrics-file FILE  numbers for Prometheus\n"
      "  --journal FILE       default DIR/.docvl/journal.db\n"
      "  --lock FILE          one run at a time; --wait-lock TIME: wait for it\n"
      "  --config FILE        take from a configuration what is not given here\n" },
    { "status", "", "what is in the journal", dp_cmd_status,
      "  --journal FILE       the journal; or -o DIR: the one that batch keeps there\n"
      "  --lane NAME          only batch, or one watch configuration\n"
      "  -a, --all            every failed document, not the first 20\n"
      "  --json               as JSON\n" },
    { "retry", "ID|FILE... | --all", "try failed documents again now", dp_cmd_retry,
      "  --journal FILE       the journal; or -o DIR: the one that batch keeps there\n"
      "  --lane NAME          only batch, or one watch configuration\n" },
    { "quarantine", "list | show | release | forget ID|FILE...",
      "documents that were given up", dp_cmd_quarantine,
      "  --journal FILE       the journal; or -o DIR: the one that batch keeps there\n"
      "  --lane NAME          only batch, or one watch configuration\n"
      "  -a, --all            (release, forget) all of them\n"
      "  --json               as JSON\n" },
    { "journal", "export | prune --older-than TIME", "the journal itself", dp_cmd_journal,
      "  --journal FILE       the journal; or -o DIR: the one that batch keeps there\n"
      "  --lane NAME          only batch, or one watch configuration\n"
      "  --older-than TIME    (prune) documents that are done for so long, such as "
      "90d\n" },
    { "schema", "list | show NAME | check FILE", "document types", dp_cmd_schema, "" },
    { "watch", "CONFIG.yaml", "look after folders", dp_cmd_watch, "" },
    { "route", "CONFIG [FILE...]", "take documents or results through the rules",
      dp_cmd_route,
      "  -n, --dry-run        say what would be done, touch nothing\n"
      "  --explain            every rule, and why it did or did not match\n"
      "  --test               run the examples of CONFIG\n"
      "  --force              again, even when it was done before\n"
      "  --document FILE      the document of the result, when it is not beside it\n" },
    { "config", "check FILE | show FILE | keys", "configuration files", dp_cmd_config,
      "" },
    { "model", "info", "facts about the model", dp_cmd_model, "" },
    { "doctor", "", "check that everything works here", dp_cmd_doctor, "" },
};

#define SIGNAL_RETRY_US 100000

static volatile sig_atomic_t caught;
static GCancellable *cancellable;
static int signal_pipe[2];

static void on_signal(int number)
{
    caught = number;
    dp_signal_write(signal_pipe[1], '\0');
}

/* g_cancellable_cancel() is not safe in a signal handler, so a thread waits for a byte.  It
 * sleeps until then: `watch` may have nothing to do for days.  A pipe that can't be read is
 * no signal: nothing may be stopped for it. */
static gpointer wait_for_signal(gpointer unused)
{
    char byte;
    while (read(signal_pipe[0], &byte, 1) != 1 && caught == 0)
        g_usleep(SIGNAL_RETRY_US);
    g_cancellable_cancel(cancellable);
    return NULL;
}

static gboolean catch_signals(GError **error)
{
    if (!g_unix_open_pipe(signal_pipe, FD_CLOEXEC, error))
        return FALSE;
    struct sigaction action = { .sa_handler = on_signal };
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    /* A terminal that goes away ends a run as SIGTERM does, unless nohup was there first; a
     * watcher gives this signal another meaning. */
    struct sigaction old;
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* above `ulimit -f` a write is an error like others */
    GThread *thread = g_thread_try_new("signals", wait_for_signal, NULL, error);
    if (thread != NULL)
        g_thread_unref(thread);
    return thread != NULL;
}

static void print_globals(FILE *out)
{
    fputs(
        "Global options (before or after the command):\n"
        "  --model DIR      folder of the model (config.json, tokenizer.json, weights)\n"
        "  --threads N      threads, default one per CPU\n"
        "  --password P     password for encrypted PDFs, may be repeated\n"
        "  --text WHEN      use the PDF's text layer: auto, always, never\n"
        "  --max-pages N    pages of a document, default 500\n"
        "  --max-bytes N    size of a file, default 256MiB\n"
        "  --max-pixels N   pixels of a decoded page, default 200000000\n"
        "  --max-seconds N  time for one request to the decoder, default 60\n"
        "  --json           messages as JSON lines\n"
        "  --quiet          errors only\n"
        "  --version        version\n\n"
        "Every option also from the environment: --threads is DOCVL_THREADS, and "
        "--max-time\n"
        "of batch is DOCVL_BATCH_MAX_TIME.  The command line wins.\n\n"
        "Exit codes: 0 ok, 1 usage or internal, 2 input unreadable, 3 some documents\n"
        "failed, 4 some need review, 7 model missing or damaged, 8 encrypted, 9 schema\n"
        "or configuration error, 75 temporary, 130/143 interrupted.\n"
        "`docvl COMMAND --help` shows the options of a command.\n",
        out);
}

static void print_help(FILE *out)
{
    fputs(
        "Usage: docvl [--model DIR] [--threads N] [--json] [--quiet] COMMAND ...\n\n"
        "PDFs and scans in, checked JSON out; nothing leaves the machine.\n\nCommands:\n",
        out);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++)
        fprintf(out, "  %-10s %-33s %s\n", commands[i].name, commands[i].arguments,
                commands[i].help);
    fputs("\n", out);
    print_globals(out);
}

static void print_command_help(gsize i)
{
    printf("Usage: docvl %s [OPTIONS] %s\n\n%s\n\n%s\n", commands[i].name,
           commands[i].arguments, commands[i].help, commands[i].options);
    print_globals(stdout);
}

/* Is help asked for, before a "--"? */
static gboolean wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return TRUE;
    return FALSE;
}

/* Line feeds alone separate them: a colon may be part of one. */
static void take_passwords(dp_app *app)
{
    const char *value = g_getenv("DOCVL_PASSWORD");
    if (value != NULL && *value != '\0')
        app->passwords = g_strsplit(value, "\n", -1);
}

/* From the environment with `context` NULL: all but what others look up there, which are
 * passwords, limits (limits.c) and the model (app.c). */
static gboolean take_globals(GOptionContext *context, dp_app *app, GError **error)
{
    const GOptionEntry entries[] = {
        { "threads", 0, 0, G_OPTION_ARG_INT, &app->threads, "Threads", "N" },
        { "text", 0, 0, G_OPTION_ARG_STRING, &app->text, "auto, always or never",
          "WHEN" },
        { "json", 0, 0, G_OPTION_ARG_NONE, &app->is_json_log, "Messages as JSON lines",
          NULL },
        { "quiet", 0, 0, G_OPTION_ARG_NONE, &app->is_quiet, "Errors only", NULL },
        { NULL },
    };
    const GOptionEntry others[] = {
        { "model", 0, 0, G_OPTION_ARG_FILENAME, &app->model_dir, "Folder of the model",
          "DIR" },
        { "password", 0, 0, G_OPTION_ARG_STRING_ARRAY, &app->passwords, "PDF password",
          "P" },
        { "max-pages", 0, 0, G_OPTION_ARG_STRING, &app->limit_texts[DP_LIMIT_PAGES], "",
          "N" },
        { "max-bytes", 0, 0, G_OPTION_ARG_STRING, &app->limit_texts[DP_LIMIT_BYTES], "",
          "N" },
        { "max-pixels", 0, 0, G_OPTION_ARG_STRING, &app->limit_texts[DP_LIMIT_PIXELS], "",
          "N" },
        { "max-seconds", 0, 0, G_OPTION_ARG_STRING, &app->limit_texts[DP_LIMIT_SECONDS],
          "", "N" },
        { NULL },
    };
    if (context == NULL) {
        take_passwords(app);
        return dp_options_from_env("DOCVL", entries, error);
    }
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_add_main_entries(context, others, NULL);
    return TRUE;
}

/* Take the global options out of argv wherever they stand; the rest is the command's. */
static gboolean parse_globals(dp_app *app, int *argc, char ***argv, GError **error)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    if (!take_globals(NULL, app, error) || !take_globals(context, app, error))
        return FALSE;
    g_option_context_set_help_enabled(context, FALSE);
    g_option_context_set_ignore_unknown_options(context, TRUE);
    /* what stands behind "--" are file names, whatever they look like */
    int all = *argc, head = 1;
    while (head < all && strcmp((*argv)[head], "--") != 0)
        head++;
    int left = head;
    if (!g_option_context_parse(context, &left, argv, error))
        return FALSE;
    memmove(*argv + left, *argv + head, (size_t)(all - head) * sizeof **argv);
    *argc = left + all - head;
    (*argv)[*argc] = NULL;
    return TRUE;
}

static int run_command(dp_app *app, int argc, char **argv)
{
    const char *name = argv[1];
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (wants_help(argc - 1, argv + 1)) {
            print_command_help(i);
            return DP_EXIT_OK;
        }
        g_autoptr(GError) error = NULL;
        if (!catch_signals(&error)) { /* out of descriptors or processes */
            dp_message(app, "error", "%s", error->message);
            return DP_EXIT_TEMPORARY;
        }
        int code = commands[i].run(app, argc - 1, argv + 1);
        dp_progress_end(app);
        if (fflush(stdout) != 0 || ferror(stdout)) {
            dp_message(app, "error", "writing the output: %s", g_strerror(errno));
            code = DP_EXIT_USAGE;
        }
        if (caught != 0)
            code = caught == SIGINT ? DP_EXIT_INTERRUPTED : DP_EXIT_TERMINATED;
        return code;
    }
    dp_message(app, "error", "unknown command \"%s\" (docvl --help lists them)", name);
    return DP_EXIT_USAGE;
}

static gboolean check_globals(dp_app *app, GError **error)
{
    if (app->threads < 0 || app->threads > 1024) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                    "--threads %d: 0 to 1024", app->threads);
        return FALSE;
    }
    dx_options unused = { 0 };
    return dp_limits_read(app, error) && dp_dx_options(app, &unused, error);
}

static void app_clear(dp_app *app)
{
    g_free(app->model_dir);
    g_free(app->text);
    g_strfreev(app->passwords);
    for (gsize i = 0; i < G_N_ELEMENTS(app->limit_texts); i++)
        g_free(app->limit_texts[i]);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(dp_app, app_clear)

/* Whoever starts us may have closed them.  The next file that is opened would take their
 * number, and what is meant for a person would be written into a result or a lock.  The
 * wrong way round, so that reading and writing still fail. */
static void keep_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null",
                       (fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
}

int main(int argc, char **argv)
{
    keep_standard_descriptors();
    setlocale(LC_CTYPE, "");
    /* jansson without memory would leave members out of a result; like GLib it ends the
     * process instead, and the journal brings the document back. */
    json_set_alloc_funcs(g_malloc, g_free);
    g_auto(dp_app) app = { .cancellable = cancellable = g_cancellable_new() };
    g_autoptr(GError) error = NULL;
    if (!parse_globals(&app, &argc, &argv, &error)) {
        dp_message(&app, "error", "%s", error->message);
        return DP_EXIT_USAGE;
    }
    if (argc >= 2 && strcmp(argv[1], "--version") == 0) {
        puts("docvl " DOCVL_VERSION);
        return DP_EXIT_OK;
    }
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                      strcmp(argv[1], "help") == 0)) {
        print_help(stdout);
        return DP_EXIT_OK;
    }
    if (argc < 2 || argv[1][0] == '-') {
        print_help(stderr);
        return DP_EXIT_USAGE;
    }
    if (!check_globals(&app, &error)) {
        dp_options_name_variable("DOCVL", &error);
        dp_message(&app, "error", "%s", error->message);
        return DP_EXIT_USAGE;
    }
    return run_command(&app, argc, argv);
}

/*
 * batch_options.c - the command line of `docvl batch`, its variables and its configuration.
 */
#include "batch_parts.h"

#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gboolean usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);
static gboolean usage(GError **error, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "%s", text);
    return FALSE;
}

static gboolean read_shard(dp_batch *b, GError **error)
{
    if (b->shard == NULL)
        return TRUE;
    guint i = 0, n = 0;
    char rest = 0;
    if (sscanf(b->shard, "%5u/%5u%c", &i, &n, &rest) != 2 || i < 1 || i > n || n > 10000)
        return usage(error, "--shard %s: i/n with 1 <= i <= n <= 10000", b->shard);
    b->scan.shard = i;
    b->scan.shards = n;
    return TRUE;
}

/* "2d" before now, or a date, or a date and time, local or with a zone. */
static gboolean read_since(dp_batch *b, GError **error)
{
    gint64 us;
    if (b->since == NULL)
        return TRUE;
    if (dp_duration_parse(b->since, &us)) {
        b->scan.since_ns = (g_get_real_time() - us) * 1000;
        return TRUE;
    }
    g_autoptr(GTimeZone) zone = g_time_zone_new_local();
    g_autofree char *text = strchr(b->since, 'T') == NULL && strchr(b->since, ' ') == NULL
                                ? g_strconcat(b->since, "T00:00:00", NULL)
                                : g_strdup(b->since);
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(text, zone);
    if (time == NULL)
        return usage(error,
                     "--since %s: a time such as 2d or 2024-05-31 or 2024-05-31T18:00:00",
                     b->since);
    b->scan.since_ns = g_date_time_to_unix(time) * G_GINT64_CONSTANT(1000000000);
    return TRUE;
}

static gboolean is_word(const char *option, const char *word, const char *const *words,
                        GError **error)
{
    if (g_strv_contains(words, word))
        return TRUE;
    g_autofree char *all = g_strjoinv(", ", (char **)words);
    return usage(error, "%s %s: one of %s", option, word, all);
}

static gboolean read_labels(dp_batch *b, GError **error)
{
    if (b->labels == NULL)
        return TRUE;
    b->label_list = g_strsplit(b->labels, ",", -1);
    for (char **label = b->label_list; *label != NULL; label++)
        if (*g_strstrip(*label) == '\0')
            return usage(error, "--labels %s: an empty name", b->labels);
    if (g_strv_length(b->label_list) < 2)
        return usage(error, "--labels %s: at least two names", b->labels);
    return TRUE;
}

static char *path_or(const char *mine, const char *theirs)
{
    return mine != NULL ? g_canonicalize_filename(mine, NULL) : g_strdup(theirs);
}

static void ignore_mistake(void *user, const char *pointer, gboolean at_key,
                           const char *text)
{
}

/* What the command line leaves open, the configuration says. */
static gboolean take_config(dp_batch *b, GError **error)
{
    if (b->config_file == NULL)
        return TRUE;
    b->config = dp_config_load(b->config_file, error);
    if (b->config == NULL)
        return FALSE;
    const dp_config *c = b->config;
    if (c->routes != NULL) { /* loading has reported every mistake in them */
        g_autofree char *whole = g_canonicalize_filename(b->config_file, NULL);
        g_autofree char *base = g_path_get_dirname(whole);
        b->routes = dp_routes_new(c->routes, base, ignore_mistake, NULL);
        if (b->routes == NULL)
            return usage(error, "%s: its routes are wrong", b->config_file);
    }
    if (b->out_dir == NULL && !b->is_beside)
        b->out_dir = g_strdup(c->batch.out);
    if (b->schema == NULL && !b->is_auto && g_strcmp0(c->defaults.schema, "auto") != 0)
        b->schema = g_strdup(c->defaults.schema);
    (void)dp_config_check_fields(b->app, c, b->schema, "warning");
    if (b->include == NULL)
        b->include = g_strdupv(c->batch.include);
    if (b->exclude == NULL)
        b->exclude = g_strdupv(c->batch.exclude);
    b->is_recursive |= c->batch.is_recursive;
    if (b->jobs == 0)
        b->jobs = (int)c->workers;
    if (b->app->threads == 0)
        b->app->threads = (int)c->threads;
    if (b->memory == NULL)
        b->memory_max = c->memory_bytes;
    if (b->max_time == NULL)
        b->seconds_max = (guint)(c->batch.max_time_us / G_USEC_PER_SEC);
    if (b->app->model_dir == NULL)
        b->app->model_dir = g_strdup(c->model);
    if (b->app->passwords == NULL && c->passwords_file != NULL) {
        b->app->passwords = dp_passwords_read(c->passwords_file, error);
        return b->app->passwords != NULL;
    }
    return TRUE;
}

static gboolean read_paths(dp_batch *b, GError **error)
{
    const dp_config *c = b->config;
    char *report = path_or(b->report, c != NULL ? c->batch.report : NULL);
    char *lock = path_or(b->lock, c != NULL ? c->batch.lock : NULL);
    char *metrics = path_or(b->metrics, c != NULL ? c->metrics_file : NULL);
    b->report = report;
    b->lock = lock;
    b->metrics = metrics;
    if (b->is_beside == (b->out_dir != NULL))
        return usage(error, "%s",
                     b->is_beside ? "-o and --beside exclude each other"
                                  : "where to? -o DIR, or --beside");
    if (b->is_beside && strcmp(b->format, "json") != 0)
        return usage(error, "--format %s needs -o DIR", b->format);
    if (b->out_dir != NULL && *b->out_dir == '\0')
        return usage(error, "--output: the name of the folder is empty");
    if (b->out_dir != NULL) {
        g_autofree char *whole = g_canonicalize_filename(b->out_dir, NULL);
        if (!b->is_dry && g_mkdir_with_parents(whole, 0777) != 0)
            return dp_fail_errno(error, "creating", whole);
        char *real = realpath(whole, NULL);
        b->out_real = real != NULL ? g_strdup(real) : g_strdup(whole);
        free(real);
        b->scan.skip_dir = b->out_real;
    }
    g_autofree char *part =
        b->scan.shards > 1
            ? g_strdup_printf("journal-%u-of-%u.db", b->scan.shard, b->scan.shards)
            : g_strdup("journal.db");
    g_autofree char *inside =
        b->out_real != NULL ? g_build_filename(b->out_real, ".docvl", part, NULL) : NULL;
    g_autofree char *usual = dp_journal_default();
    b->journal = b->journal != NULL ? g_canonicalize_filename(b->journal, NULL)
                 : c != NULL && c->journal != NULL   ? g_strdup(c->journal)
                 : g_getenv("DOCVL_JOURNAL") != NULL ? g_strdup(usual)
                 : inside != NULL                    ? g_strdup(inside)
                                                     : g_strdup(usual);
    /* Documents of two configurations in one journal are not each other's twins. */
    b->lane = c != NULL ? g_strconcat("batch:", b->out_real, NULL) : g_strdup("batch");
    return TRUE;
}

static gboolean read_options(dp_batch *b, GError **error)
{
    static const char *const formats[] = { "json", "jsonl", "csv", NULL };
    static const char *const summaries[] = { "auto", "always", "never", NULL };
    if (b->format == NULL)
        b->format = g_strdup("json");
    if (b->summary == NULL)
        b->summary = g_strdup("auto");
    if (b->is_auto && b->schema != NULL)
        return usage(error, "--auto and --schema exclude each other");
    if (b->jobs < 0 || b->jobs > DP_RUNNER_WORKERS_MAX)
        return usage(error, "--jobs %d: 0 to %d", b->jobs, DP_RUNNER_WORKERS_MAX);
    if (b->limit < 0)
        return usage(error, "--limit %d: not below 0", b->limit);
    if (b->failures_max < 0)
        return usage(error, "--max-failures %d: not below 0", b->failures_max);
    if (!is_word("--format", b->format, formats, error) ||
        !is_word("--summary", b->summary, summaries, error) || !read_shard(b, error) ||
        !read_since(b, error) || !read_labels(b, error) || !take_config(b, error))
        return FALSE;
    if ((b->memory != NULL &&
         !dp_option_bytes("--memory", b->memory, &b->memory_max, error)) ||
        (b->max_time != NULL &&
         !dp_option_seconds("--max-time", b->max_time, &b->seconds_max, error)) ||
        (b->wait_lock != NULL &&
         !dp_option_seconds("--wait-lock", b->wait_lock, &b->wait_s, error)))
        return FALSE;
    b->scan.include = (const char *const *)b->include;
    b->scan.exclude = (const char *const *)b->exclude;
    b->scan.is_recursive = b->is_recursive;
    b->scan.is_beside = b->is_beside;
    b->scan.is_nul = b->is_nul;
    return read_paths(b, error);
}

/* "-j4" as everybody writes it; GLib wants a blank. */
static void spell_out_jobs(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (argv[i][0] == '-' && argv[i][1] == 'j' && g_ascii_isdigit(argv[i][2]))
            argv[i] = g_strconcat("--jobs=", argv[i] + 2, NULL);
}

gboolean dp_batch_parse(dp_batch *b, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &b->out_dir, "", "DIR" },
        { "beside", 0, 0, G_OPTION_ARG_NONE, &b->is_beside, "", NULL },
        { "schema", 's', 0, G_OPTION_ARG_FILENAME, &b->schema, "", "NAME" },
        { "auto", 0, 0, G_OPTION_ARG_NONE, &b->is_auto, "", NULL },
        { "labels", 'l', 0, G_OPTION_ARG_STRING, &b->labels, "", "A,B" },
        { "format", 'f', 0, G_OPTION_ARG_STRING, &b->format, "", "FORMAT" },
        { "plain", 0, 0, G_OPTION_ARG_NONE, &b->is_plain, "", NULL },
        { "recursive", 'r', 0, G_OPTION_ARG_NONE, &b->is_recursive, "", NULL },
        { "include", 0, 0, G_OPTION_ARG_STRING_ARRAY, &b->include, "", "GLOB" },
        { "exclude", 0, 0, G_OPTION_ARG_STRING_ARRAY, &b->exclude, "", "GLOB" },
        { "from0", '0', 0, G_OPTION_ARG_NONE, &b->is_nul, "", NULL },
        { "since", 0, 0, G_OPTION_ARG_STRING, &b->since, "", "TIME" },
        { "shard", 0, 0, G_OPTION_ARG_STRING, &b->shard, "", "I/N" },
        { "limit", 0, 0, G_OPTION_ARG_INT, &b->limit, "", "N" },
        { "jobs", 'j', 0, G_OPTION_ARG_INT, &b->jobs, "", "N" },
        { "memory", 0, 0, G_OPTION_ARG_STRING, &b->memory, "", "SIZE" },
        { "max-time", 0, 0, G_OPTION_ARG_STRING, &b->max_time, "", "TIME" },
        { "fail-fast", 0, 0, G_OPTION_ARG_NONE, &b->is_fail_fast, "", NULL },
        { "max-failures", 0, 0, G_OPTION_ARG_INT, &b->failures_max, "", "N" },
        { "force", 0, 0, G_OPTION_ARG_NONE, &b->is_forced, "", NULL },
        { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &b->is_dry, "", NULL },
        { "report", 0, 0, G_OPTION_ARG_FILENAME, &b->report, "", "FILE" },
        { "summary", 0, 0, G_OPTION_ARG_STRING, &b->summary, "", "WHEN" },
        { "metrics-file", 0, 0, G_OPTION_ARG_FILENAME, &b->metrics, "", "FILE" },
        { "journal", 0, 0, G_OPTION_ARG_FILENAME, &b->journal, "", "FILE" },
        { "lock", 0, 0, G_OPTION_ARG_FILENAME, &b->lock, "", "FILE" },
        { "wait-lock", 0, 0, G_OPTION_ARG_STRING, &b->wait_lock, "", "TIME" },
        { "config", 0, 0, G_OPTION_ARG_FILENAME, &b->config_file, "", "FILE" },
        { NULL },
    };
    if (!dp_options_from_env("DOCVL_BATCH", entries, error))
        return FALSE;
    spell_out_jobs(*argc, *argv);
    g_autoptr(GOptionContext) context = g_option_context_new("[FILE|DIR|-]…");
    g_option_context_add_main_entries(context, entries, NULL);
    gboolean was_auto = b->is_auto, was_beside = b->is_beside;
    const char *old_schema = b->schema, *old_out = b->out_dir;
    if (!g_option_context_parse(context, argc, argv, error))
        return FALSE;
    dp_options_exclude(&b->is_auto, was_auto, &b->schema, old_schema);
    dp_options_exclude(&b->is_beside, was_beside, &b->out_dir, old_out);
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) { /* GLib leaves it before a dash */
        memmove(*argv + 1, *argv + 2, (size_t)(*argc - 1) * sizeof **argv);
        (*argc)--;
    }
    return read_options(b, error);
}

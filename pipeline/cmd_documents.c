/*
 * cmd_documents.c - extract, read and classify: the commands that walk over documents.
 */
#include "job.h"
#include "options.h"

#include <string.h>

typedef struct run {
    dp_app *app;
    const char *variables; /* what they begin with, such as DOCVL_READ */
    char *schema_name, *out_dir, *format, *labels;
    gboolean is_auto, is_plain, is_boxes;
    dx_engine *engine;
    const vl_model_info *model;
    dx_options options;
    guint index, count;
    gint64 started;
} run;

static void run_clear(run *r)
{
    g_free(r->schema_name);
    g_free(r->out_dir);
    g_free(r->format);
    g_free(r->labels);
    dx_engine_free(r->engine);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(run, run_clear)

static const char *current_name;

static void show_progress(void *user, const char *stage, uint32_t page, uint32_t pages)
{
    run *r = user;
    double seconds = (double)(g_get_monotonic_time() - r->started) / 1e6;
    double eta = r->index > 0 ? seconds / r->index * (r->count - r->index) : 0;
    if (r->index > 0)
        dp_progress(r->app, "[%u/%u] %s: page %u of %u, %s (about %.0f s left)",
                    r->index + 1, r->count, current_name, page, pages, stage, eta);
    else
        dp_progress(r->app, "[%u/%u] %s: page %u of %u, %s", r->index + 1, r->count,
                    current_name, page, pages, stage);
}

static int parse(run *r, int *argc, char ***argv, const char *summary,
                 const GOptionEntry *entries)
{
    g_autoptr(GError) error = NULL;
    if (!dp_options_from_env(r->variables, entries, &error)) {
        dp_message(r->app, "error", "%s", error->message);
        return DP_EXIT_USAGE;
    }
    gboolean was_auto = r->is_auto;
    const char *old_schema = r->schema_name;
    g_autoptr(GOptionContext) context = g_option_context_new("FILE…");
    g_option_context_set_summary(context, summary);
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        dp_message(r->app, "error", "%s", error->message);
        return DP_EXIT_USAGE;
    }
    dp_options_exclude(&r->is_auto, was_auto, &r->schema_name, old_schema);
    if (*argc > 1 && strcmp((*argv)[1], "--") == 0) { /* GLib leaves it before a dash */
        memmove(*argv + 1, *argv + 2, (size_t)(*argc - 1) * sizeof **argv);
        (*argc)--;
    }
    if (*argc < 2) {
        dp_message(r->app, "error", "no FILE given (\"-\" is stdin)");
        return DP_EXIT_USAGE;
    }
    if (!dp_dx_options(r->app, &r->options, &error)) {
        dp_message(r->app, "error", "%s", error->message);
        return DP_EXIT_USAGE;
    }
    r->options.progress = show_progress;
    r->options.user = r;
    r->count = (guint)*argc - 1;
    r->started = g_get_monotonic_time();
    return DP_EXIT_OK;
}

/* A wrong value, wherever it came from. */
static int refuse(const run *r, const char *format, ...) G_GNUC_PRINTF(2, 3);
static int refuse(const run *r, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autoptr(GError) error =
        g_error_new_valist(G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, format, list);
    va_end(list);
    dp_options_name_variable(r->variables, &error);
    dp_message(r->app, "error", "%s", error->message);
    return DP_EXIT_USAGE;
}

static gboolean open_engine(run *r, dp_exit *why)
{
    vl_model *model = NULL;
    r->engine = dp_open_engine(r->app, &model, why);
    if (r->engine == NULL)
        return FALSE;
    r->model = vl_model_get_info(model);
    vl_model_unref(model); /* the engine holds its own reference */
    return TRUE;
}

static void note_failure(run *r, dp_tally *tally, const char *path, const GError *error)
{
    dp_tally_fail(tally, dp_exit_of(error));
    const char *at = strstr(error->message, path) == NULL ? path : NULL;
    dp_message(r->app, "error", "%s%s%s", at != NULL ? at : "", at != NULL ? ": " : "",
               error->message);
}

static void tell_damage(const run *r, const char *path, const json_t *result)
{
    json_int_t page = json_integer_value(json_object_get(result, "damaged_page"));
    if (page > 0)
        dp_message(r->app, "warning",
                   "%s: page %d: a part of the picture is damaged and missing", path,
                   (int)page);
}

/* ---- extract ------------------------------------------------------------------ */

static json_t *extract_one(run *r, const dp_recipe *recipe, const char *path,
                           GError **error)
{
    dp_extraction how = { .progress = show_progress,
                          .user = r,
                          .cancellable = r->app->cancellable };
    return dp_extract_document(r->engine, r->model, recipe, path, &how, error);
}

static char *base_of(const char *path)
{
    return strcmp(path, "-") == 0 ? g_strdup("stdin") : g_path_get_basename(path);
}

/* A failed document has its envelope too: nothing is skipped in silence. */
static json_t *failed_result(const char *path, const GError *error)
{
    g_autofree char *base = base_of(path);
    return dp_failed_result(base, error);
}

static gboolean emit(run *r, const char *path, json_t *result, GError **error)
{
    g_autofree char *text = dp_result_text(result, r->format, r->is_plain);
    if (r->out_dir == NULL) {
        fputs(text, stdout);
        return TRUE;
    }
    g_autofree char *base = base_of(path);
    g_autofree char *name = g_strconcat(base, ".", r->format, NULL);
    g_autofree char *target = g_build_filename(r->out_dir, name, NULL);
    return dp_publish(target, text, strlen(text), error);
}

static gboolean is_format(const char *format)
{
    return strcmp(format, "json") == 0 || strcmp(format, "jsonl") == 0 ||
           strcmp(format, "csv") == 0;
}

static void extract_all(run *r, const dp_recipe *recipe, char **files, dp_tally *tally)
{
    for (r->index = 0; r->index < r->count; r->index++) {
        if (g_cancellable_is_cancelled(r->app->cancellable))
            return;
        const char *path = current_name = files[r->index];
        g_autoptr(GError) error = NULL;
        json_t *result = extract_one(r, recipe, path, &error);
        if (result == NULL && g_cancellable_is_cancelled(r->app->cancellable))
            return;
        tell_damage(r, path, result);
        const char *status = json_string_value(json_object_get(result, "status"));
        if (result == NULL) {
            note_failure(r, tally, path, error);
            if (r->out_dir != NULL || strcmp(r->format, "json") != 0)
                result = failed_result(path, error);
        } else if (g_strcmp0(status, "ok") == 0) {
            tally->ok++;
        } else if (g_strcmp0(status, "review") == 0) {
            tally->review++;
            if (r->out_dir != NULL)
                dp_message(r->app, "info", "%s: needs review", path);
        } else {
            dp_tally_fail(tally, DP_EXIT_SOME_FAILED);
        }
        g_autoptr(GError) write_error = NULL;
        if (result != NULL && !emit(r, path, result, &write_error)) {
            dp_message(r->app, "error", "%s", write_error->message);
            dp_tally_fail(tally, DP_EXIT_TEMPORARY);
        }
        json_decref(result);
    }
}

int dp_cmd_extract(dp_app *app, int argc, char **argv)
{
    g_auto(run) r = { .app = app, .variables = "DOCVL_EXTRACT" };
    const GOptionEntry entries[] = {
        { "schema", 's', 0, G_OPTION_ARG_FILENAME, &r.schema_name,
          "Schema by name or path", "NAME" },
        { "auto", 0, 0, G_OPTION_ARG_NONE, &r.is_auto,
          "Choose the schema by classification (default)", NULL },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &r.out_dir,
          "Write DIR/<file name>.json", "DIR" },
        { "format", 'f', 0, G_OPTION_ARG_STRING, &r.format, "json, jsonl or csv",
          "FORMAT" },
        { "plain", 0, 0, G_OPTION_ARG_NONE, &r.is_plain,
          "Values alone, without their envelope", NULL },
        { NULL },
    };
    int code = parse(&r, &argc, &argv, "Turns documents into checked JSON.", entries);
    if (code != DP_EXIT_OK)
        return code;
    if (r.format == NULL)
        r.format = g_strdup("json");
    if (!is_format(r.format))
        return refuse(&r, "--format %s: json, jsonl or csv", r.format);
    if (r.is_auto && r.schema_name != NULL)
        return refuse(&r, "--auto and --schema exclude each other");
    dp_exit why = dp_check_schema(app, r.schema_name);
    if (why != DP_EXIT_OK)
        return (int)why;
    if (r.out_dir != NULL && g_mkdir_with_parents(r.out_dir, 0755) != 0) {
        dp_message(app, "error", "%s: %s", r.out_dir, g_strerror(errno));
        return DP_EXIT_USAGE;
    }
    if (!open_engine(&r, &why))
        return (int)why;
    dp_recipe_opts recipe_opts = { .schema = r.schema_name,
                                   .text = app->text,
                                   .passwords = (const char *const *)app->passwords,
                                   .limits = app->limits };
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_recipe) recipe = dp_recipe_new(r.engine, r.model, &recipe_opts, &error);
    if (recipe == NULL) {
        dp_message(app, "error", "%s", error->message);
        return dp_error_is_temporary(error) ? DP_EXIT_TEMPORARY : DP_EXIT_CONFIG;
    }
    if (strcmp(r.format, "csv") == 0 && r.out_dir == NULL) {
        g_autofree char *header = dp_csv_header();
        puts(header);
    }
    dp_tally tally = { 0 };
    extract_all(&r, recipe, argv + 1, &tally);
    return (int)dp_tally_exit(&tally, app);
}

/* ---- read and classify --------------------------------------------------------- */

typedef json_t *(*work)(dx_engine *, const dx_source *, const dx_options *, GError **);

static void print_read(run *r, const dp_input *input, json_t *result)
{
    if (r->is_boxes) {
        json_object_set_new(result, "file", json_string(input->name));
        char *dump = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(6));
        puts(dump);
        free(dump);
        return;
    }
    gsize i;
    json_t *page;
    json_array_foreach(json_object_get(result, "pages"), i, page) {
        if (i > 0)
            fputs("\f", stdout);
        puts(json_string_value(json_object_get(page, "text")));
    }
}

static void print_class(run *r, const dp_input *input, json_t *result)
{
    json_t *line = json_pack("{s:s, s:O}", "file", input->name, "class", result);
    char *dump = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
    puts(dump);
    free(dump);
    json_decref(line);
}

static int walk(run *r, char **files, work job,
                void (*print)(run *, const dp_input *, json_t *))
{
    dp_exit why;
    if (!open_engine(r, &why))
        return (int)why;
    dp_tally tally = { 0 };
    for (r->index = 0; r->index < r->count; r->index++) {
        if (g_cancellable_is_cancelled(r->app->cancellable))
            break;
        g_autoptr(GError) error = NULL;
        current_name = files[r->index];
        g_autoptr(dp_input) input = dp_input_open(r->app, files[r->index], &error);
        json_t *result =
            input != NULL ? job(r->engine, &input->source, &r->options, &error) : NULL;
        if (result == NULL && g_cancellable_is_cancelled(r->app->cancellable))
            break;
        if (result == NULL) {
            note_failure(r, &tally, files[r->index], error);
            continue;
        }
        dp_progress_end(r->app);
        if (dp_input_mark_damage(input, result)) {
            tell_damage(r, files[r->index], result);
            tally.review++;
        } else {
            tally.ok++;
        }
        print(r, input, result);
        json_decref(result);
    }
    return (int)dp_tally_exit(&tally, r->app);
}

int dp_cmd_read(dp_app *app, int argc, char **argv)
{
    g_auto(run) r = { .app = app, .variables = "DOCVL_READ" };
    const GOptionEntry entries[] = {
        { "boxes", 0, 0, G_OPTION_ARG_NONE, &r.is_boxes,
          "Words with boxes, a JSON line a document", NULL },
        { NULL },
    };
    int code = parse(&r, &argc, &argv,
                     "Prints the text of documents, a form feed between pages.", entries);
    return code != DP_EXIT_OK ? code : walk(&r, argv + 1, dx_read, print_read);
}

int dp_cmd_classify(dp_app *app, int argc, char **argv)
{
    g_auto(run) r = { .app = app, .variables = "DOCVL_CLASSIFY" };
    const GOptionEntry entries[] = {
        { "labels", 'l', 0, G_OPTION_ARG_STRING, &r.labels,
          "Classes to choose from, at least two", "A,B,…" },
        { NULL },
    };
    int code = parse(&r, &argc, &argv,
                     "Names the kind of each document, a JSON line each.", entries);
    if (code != DP_EXIT_OK)
        return code;
    g_auto(GStrv) labels = r.labels != NULL ? g_strsplit(r.labels, ",", -1) : NULL;
    for (char **label = labels; label != NULL && *label != NULL; label++)
        g_strstrip(*label);
    if (labels != NULL &&
        (g_strv_length(labels) < 2 || g_strv_contains((const char *const *)labels, "")))
        return refuse(&r, "--labels %s: at least two names, none empty", r.labels);
    r.options.labels = (const char *const *)labels;
    return walk(&r, argv + 1, dx_classify, print_class);
}

/*
 * cmd_route.c - docvl route: take documents or results through the rules by hand, ask why
 * a rule matches, run the examples of a configuration.
 *
 * What is done goes through the journal like everything else: the same line run again after
 * an interruption goes on where it was, and does nothing twice.
 */
#include "app.h"
#include "config.h"
#include "options.h"
#include "routing.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { RESULT_BYTES_MAX = 64 << 20 };
#define ROUTE_LANE "route"

typedef struct route_run {
    dp_app *app;
    dp_config *config;
    dp_routes *routes;
    gboolean is_dry, is_explaining, is_testing, is_forced;
    char *document;
    dx_engine *engine; /* opened for the first document that is no result */
    const vl_model_info *model;
    dp_recipe *recipe;
    dp_queue *queue; /* opened for the first that is routed */
    dp_tally tally;
    gboolean is_temporary;
} route_run;

/* A file of the command line. */
typedef struct subject {
    char *path;        /* the document; NULL when only its result is there */
    char *result_path; /* NULL: extracted now */
    char *origin;      /* what it is called in the journal */
    json_t *result;
    char sha256[65], recipe[65];
    dp_stamp stamp;
    gboolean is_known; /* this document is done; it was not extracted again */
    dp_exit failure;   /* why it could not be extracted, or DP_EXIT_OK */
} subject;

static void subject_clear(subject *s)
{
    g_free(s->path);
    g_free(s->result_path);
    g_free(s->origin);
    json_decref(s->result);
    *s = (subject){ 0 };
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(subject, subject_clear)

/* ---- reading ----------------------------------------------------------------------- */

static gboolean fail(GError **error, int code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static gboolean fail(GError **error, int code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    g_set_error_literal(error, DP_RENDER_ERROR, code, text);
    return FALSE;
}

/* A file that is not there or may not be read is an unreadable document, as for extract. */
static gboolean no_input(GError *why, GError **error)
{
    if (why->domain == DP_IO_ERROR && !dp_error_is_temporary(why)) {
        why->domain = DP_RENDER_ERROR;
        why->code = DP_RENDER_UNREADABLE;
    }
    g_propagate_error(error, why);
    return FALSE;
}

/* Does it begin as a JSON object does? */
static gboolean is_result_file(const char *path)
{
    int fd = dp_open_file(path, O_RDONLY | O_NONBLOCK);
    char c = '\0';
    gboolean is_object = FALSE;
    while (fd >= 0 && read(fd, &c, 1) == 1 && !is_object && g_ascii_isspace(c))
        continue;
    is_object = c == '{';
    if (fd >= 0)
        close(fd);
    return is_object;
}

static gboolean is_sha256(const char *text)
{
    gboolean is_good = text != NULL && strlen(text) == 64;
    for (guint i = 0; is_good && i < 64; i++)
        is_good = g_ascii_isxdigit(text[i]) && !g_ascii_isupper(text[i]);
    return is_good;
}

/* The document of a result: as the command line says, or "X" beside "X.json". */
static char *document_of(const route_run *r, const char *result_path)
{
    if (r->document != NULL)
        return g_canonicalize_filename(r->document, NULL);
    if (!g_str_has_suffix(result_path, ".json"))
        return NULL;
    char *path = g_strndup(result_path, strlen(result_path) - strlen(".json"));
    if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
        return path;
    g_free(path);
    return NULL;
}

static gboolean read_result(const route_run *r, const char *path, subject *s,
                            GError **error)
{
    g_autofree char *text = NULL;
    gsize bytes;
    g_autoptr(GError) why = NULL;
    if (!dp_stamp_file(path, &s->stamp, &why))
        return no_input(g_steal_pointer(&why), error);
    if (s->stamp.size > RESULT_BYTES_MAX)
        return fail(error, DP_RENDER_LIMIT, "%s: %" G_GINT64_FORMAT " bytes, limit %d",
                    path, s->stamp.size, RESULT_BYTES_MAX);
    if (!g_file_get_contents(path, &text, &bytes, &why))
        return fail(error, DP_RENDER_UNREADABLE, "%s", why->message);
    json_error_t place;
    s->result = json_loadb(text, bytes, 0, &place);
    if (s->result == NULL)
        return fail(error, DP_RENDER_UNREADABLE, "%s: line %d: %s", path, place.line,
                    place.text);
    if (!json_is_string(json_object_get(s->result, "status")))
        return fail(error, DP_RENDER_UNREADABLE, "%s: not a result of docvl (no status)",
                    path);
    s->result_path = g_strdup(path);
    s->path = document_of(r, path);
    s->origin = g_strdup(s->path != NULL ? s->path : path);
    g_autofree char *sum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, (const guchar *)text, bytes);
    const char *id = json_string_value(json_object_get(s->result, "doc_id"));
    g_strlcpy(s->recipe, sum, sizeof s->recipe);
    g_strlcpy(s->sha256, is_sha256(id) ? id : sum, sizeof s->sha256);
    return TRUE;
}

static gboolean open_engine(route_run *r, GError **error)
{
    if (r->recipe != NULL)
        return TRUE;
    vl_model *model = NULL;
    dp_exit why;
    r->engine = dp_open_engine(r->app, &model, &why);
    if (r->engine == NULL) {
        if (why == DP_EXIT_TEMPORARY)
            g_set_error(error, DP_ROUTE_ERROR, DP_ROUTE_TEMPORARY,
                        "the model cannot be opened now");
        else
            g_set_error(error, DX_ERROR, DX_MODEL, "the model cannot be opened");
        return FALSE;
    }
    r->model = vl_model_get_info(model);
    vl_model_unref(model); /* the engine holds its own reference */
    const dp_settings *s = &r->config->defaults;
    dp_recipe_opts opts = { .schema = strcmp(s->schema, "auto") == 0 ? NULL : s->schema,
                            .text = s->text,
                            .labels = (const char *const *)s->labels,
                            .passwords = (const char *const *)r->app->passwords,
                            .review_below = s->review_below,
                            .pages_max = s->pages_max,
                            .is_classified = s->is_classified };
    r->recipe = dp_recipe_new(r->engine, r->model, &opts, error);
    return r->recipe != NULL;
}

/* A document that an earlier run has moved and not finished: where it is now. */
static char *moved_document(route_run *r, const char *origin)
{
    if (r->queue == NULL)
        return NULL;
    dp_filter filter = { .lane = ROUTE_LANE,
                         .path = origin,
                         .states =
                             1u << DP_STATE_PUBLISHED | 1u << DP_STATE_QUARANTINED };
    g_autoptr(GPtrArray) rows = dp_queue_list(r->queue, &filter, NULL);
    return rows != NULL && rows->len > 0 ? g_strdup(((dp_doc *)rows->pdata[0])->path)
                                         : NULL;
}

/* A document that cannot be read is another matter than the one that could be: with its
 * password it is routed anew. */
static void note_unreadable(route_run *r, subject *s, const char *name, const GError *why)
{
    dp_message(r->app, "error", "%s", why->message);
    s->failure = dp_exit_of(why);
    g_autofree char *text = g_strconcat("failed ", s->recipe, NULL);
    g_autofree char *sum = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    g_strlcpy(s->recipe, sum, sizeof s->recipe);
    s->result = dp_failed_result(name, why); /* there may be a rule for it */
}

static gboolean is_done_before(const route_run *r, const subject *s)
{
    if (r->queue == NULL || r->is_forced)
        return FALSE;
    g_autoptr(dp_doc) doc =
        dp_queue_find(r->queue, ROUTE_LANE, s->sha256, s->recipe, NULL);
    return doc != NULL && doc->state == DP_STATE_ROUTED;
}

static gboolean read_document(route_run *r, const char *path, subject *s, GError **error)
{
    s->origin = g_strdup(path);
    s->path = g_file_test(path, G_FILE_TEST_EXISTS) ? NULL : moved_document(r, path);
    if (s->path == NULL)
        s->path = g_strdup(path);
    g_autoptr(GError) why = NULL;
    if (!dp_hash_file(s->path, s->sha256, &s->stamp, &why))
        return no_input(g_steal_pointer(&why), error);
    if (!open_engine(r, error))
        return FALSE;
    g_strlcpy(s->recipe, dp_recipe_sha256(r->recipe), sizeof s->recipe);
    s->is_known = is_done_before(r, s);
    if (s->is_known)
        return TRUE;
    g_autofree char *name = g_path_get_basename(path);
    dp_extraction how = { .name = name,
                          .sha256 = s->sha256,
                          .cancellable = r->app->cancellable };
    s->result = dp_extract_document(r->engine, r->model, r->recipe, s->path, &how, &why);
    if (s->result != NULL)
        return TRUE;
    dp_exit code = dp_exit_of(why);
    gboolean is_its_own = code == DP_EXIT_UNREADABLE || code == DP_EXIT_ENCRYPTED ||
                          code == DP_EXIT_SOME_FAILED;
    if (!is_its_own || g_cancellable_is_cancelled(r->app->cancellable)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    note_unreadable(r, s, name, why);
    return TRUE;
}

static gboolean open_queue(route_run *r, GError **error)
{
    if (r->queue != NULL)
        return TRUE;
    g_autofree char *own = dp_journal_default();
    const char *path = r->config->journal != NULL ? r->config->journal : own;
    g_autofree char *dir = g_path_get_dirname(path);
    if (g_mkdir_with_parents(dir, 0700) != 0)
        return dp_fail_errno(error, "creating", dir);
    r->queue = dp_queue_open(path, DP_QUEUE_CREATE, error);
    return r->queue != NULL;
}

/* ---- explaining --------------------------------------------------------------------- */

static void print_conditions(const json_t *conditions, int indent)
{
    gsize i;
    json_t *row;
    json_array_foreach(conditions, i, row) {
        const char *found = json_string_value(json_object_get(row, "found"));
        printf("%*s%s %s", indent, "",
               json_is_true(json_object_get(row, "holds")) ? "+" : "-",
               json_string_value(json_object_get(row, "condition")));
        printf(found != NULL ? "   (found: %.200s)\n" : "\n", found);
        /* The depth is that of the rules, which have a limit. */
        print_conditions(json_object_get(row, "parts"), indent + 2);
    }
}

static void print_trace(const char *file, const json_t *trace)
{
    printf("%s\n", file);
    gsize i;
    json_t *row;
    json_array_foreach(trace, i, row) {
        gboolean is_taken = json_is_true(json_object_get(row, "taken"));
        gboolean matched = json_is_true(json_object_get(row, "matched"));
        printf("  %s: %s\n", json_string_value(json_object_get(row, "rule")),
               is_taken  ? "taken"
               : matched ? "matches, but another comes first"
                         : "no");
        print_conditions(json_object_get(row, "conditions"), 4);
    }
}

static void subject_facts(const subject *s, dp_doc_facts *f)
{
    dp_doc doc = { .path = s->path != NULL ? s->path : s->result_path,
                   .origin = s->origin,
                   .target = s->result_path,
                   .profile = "" };
    dp_doc_facts_init(f, &doc, s->result);
    f->facts.received = s->stamp.mtime_ns / 1000000000;
}

static void print_line(json_t *line)
{
    char *dump = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
    puts(dump);
    free(dump);
    json_decref(line);
}

static json_t *line_for(const char *file, const char *rule, const char *outcome)
{
    g_autofree char *valid = g_utf8_make_valid(file, -1);
    json_t *line = json_pack("{s:s, s:s}", "file", valid, "outcome", outcome);
    json_object_set_new(line, "rule", rule != NULL ? json_string(rule) : json_null());
    json_object_set_new(line, "actions", json_array());
    return line;
}

/* --explain and --dry-run: nothing is touched. */
static gboolean show_subject(route_run *r, const char *file, const subject *s,
                             GError **error)
{
    dp_doc_facts f;
    subject_facts(s, &f);
    json_t *trace = json_array(), *plan = NULL;
    const dp_rule *rule = dp_routes_match(r->routes, &f.facts, trace);
    gboolean is_ok = TRUE;
    if (rule != NULL) {
        plan = dp_routes_plan(r->routes, rule, &f.facts, error);
        is_ok = plan != NULL;
    }
    json_t *line = line_for(file, rule != NULL ? dp_rule_name(rule) : NULL, "dry-run");
    if (r->is_explaining)
        print_trace(file, trace);
    gsize i;
    json_t *planned;
    json_array_foreach(plan, i, planned) {
        g_autofree char *text = dp_action_describe(planned);
        if (r->is_explaining)
            printf("  -> %s\n", text);
        json_array_append(json_object_get(line, "actions"), planned);
    }
    if (is_ok && r->is_dry && !r->is_explaining)
        print_line(json_incref(line));
    json_decref(line);
    json_decref(plan);
    json_decref(trace);
    dp_doc_facts_clear(&f);
    return is_ok;
}

/* ---- doing ------------------------------------------------------------------------------ */

static void print_outcome(route_run *r, const char *file, gint64 id, const char *outcome)
{
    g_autoptr(GPtrArray) actions = dp_queue_actions(r->queue, id, NULL);
    json_t *line = line_for(file, NULL, outcome);
    for (guint i = 0; actions != NULL && i < actions->len; i++) {
        static const char *const states[] = { "pending", "started", "done", "failed" };
        const dp_action *action = actions->pdata[i];
        json_t *planned = json_loads(action->detail, 0, NULL);
        json_t *row = json_pack("{s:s, s:s, s:s}", "kind", action->kind, "state",
                                states[action->state], "key", action->key);
        const char *target = json_string_value(json_object_get(planned, "chosen"));
        target = target != NULL ? target : dp_action_target(planned);
        if (target != NULL)
            json_object_set_new(row, "target", json_string(target));
        if (action->state != DP_ACTION_DONE && *action->reason != '\0')
            json_object_set_new(row, "reason", json_string(action->reason));
        if (json_object_get(planned, "rule") != NULL)
            json_object_set(line, "rule", json_object_get(planned, "rule"));
        json_array_append_new(json_object_get(line, "actions"), row);
        json_decref(planned);
    }
    print_line(line);
}

static gboolean add_subject(route_run *r, const subject *s, dp_added *added,
                            GError **error)
{
    dp_arrival arrival = {
        .lane = ROUTE_LANE,
        .path = s->path != NULL ? s->path : s->result_path,
        .origin = s->origin,
        .target = s->result_path,
        .sha256 = s->sha256,
        .recipe = s->recipe,
        .stamp = s->stamp,
        .is_forced = r->is_forced,
    };
    return dp_queue_add(r->queue, &arrival, added, error);
}

/* The way to "published": the result is there already. */
static gboolean publish(route_run *r, dp_doc *doc, const json_t *result, GError **error)
{
    static const dp_state way[] = { DP_STATE_RENDERED, DP_STATE_EXTRACTED,
                                    DP_STATE_CHECKED };
    for (gsize i = 0; i < G_N_ELEMENTS(way); i++)
        if (!dp_queue_advance(r->queue, doc->id, way[i], error))
            return FALSE;
    dp_publication publication = {
        .status = json_string_value(json_object_get(result, "status")),
        .pages = (guint)json_integer_value(
            json_object_get(json_object_get(result, "timing"), "pages")),
    };
    return dp_queue_publish(r->queue, doc->id, &publication, error);
}

/* Routed as the rules want it; but a document that cannot be read stays a failure. */
static void count(route_run *r, const subject *s)
{
    if (s->failure != DP_EXIT_OK)
        dp_tally_fail(&r->tally, s->failure);
    else
        r->tally.ok++;
}

static gboolean route_claimed(route_run *r, const char *file, dp_doc *doc,
                              const subject *s, GError **error)
{
    dp_router router = { r->queue, r->routes, r->app->cancellable };
    dp_routing routing = DP_ROUTING_DONE;
    if (doc->state == DP_STATE_CLAIMED && !publish(r, doc, s->result, error))
        return FALSE;
    if (!dp_route_document(&router, doc, s->result, &routing, NULL, error)) {
        (void)dp_queue_unclaim(r->queue, doc->id,
                               NULL); /* the first error is the one to tell */
        return FALSE;
    }
    if (routing == DP_ROUTING_DONE) {
        if (!dp_queue_routed(r->queue, doc->id, DP_LASTING_SYNCED, error))
            return FALSE;
        count(r, s);
    } else if (routing == DP_ROUTING_LATER) {
        if (!dp_queue_unclaim(r->queue, doc->id, error))
            return FALSE;
        r->is_temporary = TRUE;
    } else {
        dp_tally_fail(&r->tally, DP_EXIT_SOME_FAILED);
    }
    g_autoptr(dp_doc) after = dp_queue_get(r->queue, doc->id, NULL);
    if (routing != DP_ROUTING_DONE && after != NULL)
        dp_message(r->app, "error", "%s: %s%s", file, after->reason,
                   routing == DP_ROUTING_LATER ? "" : " (given up; --force begins anew)");
    print_outcome(r, file, doc->id,
                  routing == DP_ROUTING_DONE    ? "done"
                  : routing == DP_ROUTING_LATER ? "later"
                                                : "given up");
    return TRUE;
}

static gboolean has_rule(const route_run *r, const subject *s)
{
    dp_doc_facts f;
    subject_facts(s, &f);
    const dp_rule *rule = dp_routes_match(r->routes, &f.facts, NULL);
    dp_doc_facts_clear(&f);
    return rule != NULL;
}

static gboolean route_subject(route_run *r, const char *file, const subject *s,
                              GError **error)
{
    dp_added added = { 0 };
    if (s->failure != DP_EXIT_OK && !has_rule(r, s)) {
        print_line(line_for(file, NULL, "failed")); /* not journaled: tried again */
        count(r, s);
        return TRUE;
    }
    if (!add_subject(r, s, &added, error))
        return FALSE;
    if (added.state == DP_STATE_ROUTED) {
        dp_message(r->app, "info", "%s: routed before (--force does it again)", file);
        print_outcome(r, file, added.id, "done before");
        count(r, s);
        return TRUE;
    }
    dp_claim claim = { .lane = ROUTE_LANE, .id = added.id, .is_now = TRUE };
    g_autoptr(GError) why = NULL;
    g_autoptr(dp_doc) doc = dp_queue_claim(r->queue, &claim, &why);
    if (why != NULL) {
        g_propagate_error(error, g_steal_pointer(&why));
        return FALSE;
    }
    if (doc != NULL)
        return route_claimed(r, file, doc, s, error);
    if (added.state == DP_STATE_QUARANTINED) {
        g_autoptr(dp_doc) row = dp_queue_get(r->queue, added.id, NULL);
        dp_message(r->app, "error", "%s: given up before: %s (--force begins anew)", file,
                   row != NULL ? row->reason : "");
        dp_tally_fail(&r->tally, DP_EXIT_SOME_FAILED);
    } else {
        dp_message(r->app, "error", "%s: another process is at it", file);
        r->is_temporary = TRUE;
    }
    return TRUE;
}

static void take_file(route_run *r, const char *file)
{
    g_auto(subject) s = { 0 };
    g_autoptr(GError) error = NULL;
    g_autofree char *path = g_canonicalize_filename(file, NULL);
    gboolean is_showing = r->is_dry || r->is_explaining;
    gboolean is_ok = (is_showing || open_queue(r, &error)) &&
                     (is_result_file(path) ? read_result(r, path, &s, &error)
                                           : read_document(r, path, &s, &error));
    is_ok = is_ok && (is_showing ? show_subject(r, file, &s, &error)
                                 : route_subject(r, file, &s, &error));
    if (is_ok) {
        if (is_showing)
            count(r, &s);
        return;
    }
    if (g_cancellable_is_cancelled(r->app->cancellable))
        return;
    dp_tally_fail(&r->tally, dp_exit_of(error));
    r->is_temporary |= dp_exit_of(error) == DP_EXIT_TEMPORARY;
    dp_message(r->app, "error", "%s%s%s",
               strstr(error->message, file) != NULL ? "" : file,
               strstr(error->message, file) != NULL ? "" : ": ", error->message);
}

/* ---- the command --------------------------------------------------------------------------- */

static int run_tests(route_run *r)
{
    json_t *report = dp_routes_test(r->routes);
    gsize i, failed = 0;
    json_t *row;
    json_array_foreach(report, i, row) {
        gboolean passed = json_is_true(json_object_get(row, "passed"));
        const char *text = json_string_value(json_object_get(row, "text"));
        printf("%s %s%s%s\n", passed ? "ok    " : "not ok",
               json_string_value(json_object_get(row, "name")), *text != '\0' ? ": " : "",
               text);
        failed += !passed;
    }
    if (i == 0)
        dp_message(r->app, "info", "there are no tests in the configuration");
    json_decref(report);
    return failed == 0 ? DP_EXIT_OK : DP_EXIT_CONFIG;
}

static void report_mistake(void *user, const char *pointer, gboolean at_key,
                           const char *text)
{
    dp_message(user, "error", "/routes%s: %s", pointer,
               text); /* config.c has checked before */
}

static int run_route(route_run *r, const char *config, char **files)
{
    dp_exit code;
    r->config = dp_config_open(r->app, config, &code);
    if (r->config == NULL)
        return (int)code;
    if (r->config->routes == NULL) {
        dp_message(r->app, "error", "%s: has no routes", config);
        return DP_EXIT_CONFIG;
    }
    g_autofree char *path = g_canonicalize_filename(config, NULL);
    g_autofree char *base = g_path_get_dirname(path);
    r->routes = dp_routes_new(r->config->routes, base, report_mistake, r->app);
    if (r->routes == NULL)
        return DP_EXIT_CONFIG;
    (void)dp_config_check_fields(r->app, r->config, NULL, "warning");
    if (r->is_testing)
        return run_tests(r);
    for (; *files != NULL && !g_cancellable_is_cancelled(r->app->cancellable); files++)
        take_file(r, *files);
    return r->is_temporary ? DP_EXIT_TEMPORARY : (int)dp_tally_exit(&r->tally, r->app);
}

int dp_cmd_route(dp_app *app, int argc, char **argv)
{
    route_run r = { .app = app };
    const GOptionEntry entries[] = {
        { "dry-run", 'n', 0, G_OPTION_ARG_NONE, &r.is_dry, "Say what would be done",
          NULL },
        { "explain", 0, 0, G_OPTION_ARG_NONE, &r.is_explaining, "Every rule, and why",
          NULL },
        { "test", 0, 0, G_OPTION_ARG_NONE, &r.is_testing, "Run the examples of CONFIG",
          NULL },
        { "force", 0, 0, G_OPTION_ARG_NONE, &r.is_forced, "Again, even when it was done",
          NULL },
        { "document", 0, 0, G_OPTION_ARG_FILENAME, &r.document, "Document of the result",
          "FILE" },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("CONFIG [FILE…]");
    g_option_context_add_main_entries(context, entries, NULL);
    g_autoptr(GError) error = NULL;
    if (!dp_options_from_env("DOCVL_ROUTE", entries, &error) ||
        !g_option_context_parse(context, &argc, &argv, &error)) {
        dp_message(app, "error", "%s", error->message);
        return DP_EXIT_USAGE;
    }
    if (argc > 1 && strcmp(argv[1], "--") == 0) { /* GLib leaves it before a dash */
        argv++;
        argc--;
    }
    if (argc < 2 || (argc < 3) != r.is_testing || (r.document != NULL && argc != 3)) {
        dp_message(app, "error",
                   argc < 2       ? "no CONFIG given"
                   : r.is_testing ? "--test takes no FILE"
                   : argc < 3     ? "no FILE given"
                                  : "--document goes with one result");
        return DP_EXIT_USAGE;
    }
    int code = run_route(&r, argv[1], argv + 2);
    dp_recipe_unref(r.recipe);
    dx_engine_free(r.engine);
    dp_queue_free(r.queue);
    dp_routes_free(r.routes);
    dp_config_free(r.config);
    g_free(r.document);
    return code;
}

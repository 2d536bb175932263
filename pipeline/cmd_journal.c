/*
 * cmd_journal.c - status, retry, quarantine and journal: looking into the journal, and
 * putting documents back to work.
 */
#include "options.h"
#include "queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct look {
    dp_app *app;
    char *journal, *out_dir, *lane, *older;
    gboolean is_all;
    dp_queue *queue;
} look;

/* ---- command line ------------------------------------------------------------------------ */

static gboolean parse(look *l, const char *prefix, int *argc, char ***argv,
                      GError **error)
{
    const GOptionEntry entries[] = {
        { "journal", 0, 0, G_OPTION_ARG_FILENAME, &l->journal, "", "FILE" },
        { "output", 'o', 0, G_OPTION_ARG_FILENAME, &l->out_dir, "", "DIR" },
        { "lane", 0, 0, G_OPTION_ARG_STRING, &l->lane, "", "NAME" },
        { "all", 'a', 0, G_OPTION_ARG_NONE, &l->is_all, "", NULL },
        { "older-than", 0, 0, G_OPTION_ARG_STRING, &l->older, "", "TIME" },
        { NULL },
    };
    if (!dp_options_from_env(prefix, entries, error))
        return FALSE;
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

static int compare_names(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Like batch: -o DIR stands for the journal that batch keeps there, or with --shard for the
 * journals of the shards.  GPtrArray of char *, never empty. */
static GPtrArray *journals_of(const look *l)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    if (l->journal != NULL || l->out_dir == NULL) {
        g_ptr_array_add(paths,
                        l->journal != NULL ? g_strdup(l->journal) : dp_journal_default());
        return paths;
    }
    g_autofree char *inside = g_build_filename(l->out_dir, ".docvl", NULL);
    g_autoptr(GDir) dir = g_dir_open(inside, 0, NULL);
    const char *name;
    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        if (strcmp(name, "journal.db") == 0 ||
            (g_str_has_prefix(name, "journal-") && g_str_has_suffix(name, ".db")))
            g_ptr_array_add(paths, g_build_filename(inside, name, NULL));
    g_ptr_array_sort(paths, compare_names);
    if (paths->len == 0) /* opening says what is wrong */
        g_ptr_array_add(paths, g_build_filename(inside, "journal.db", NULL));
    return paths;
}

/* One journal: a document's number means nothing in another. */
static gboolean open_journal(look *l, GError **error)
{
    g_autoptr(GPtrArray) paths = journals_of(l);
    if (paths->len > 1) {
        g_set_error(
            error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
            "%s has %u journals, one for each shard: say --journal %s, or another",
            l->out_dir, paths->len, (char *)paths->pdata[0]);
        return FALSE;
    }
    l->queue = dp_queue_open(paths->pdata[0], DP_QUEUE_EXISTING, error);
    return l->queue != NULL;
}

static int fail(look *l, const GError *error)
{
    dp_message(l->app, "error", "%s", error->message);
    if (error->domain == G_OPTION_ERROR)
        return DP_EXIT_USAGE;
    return g_error_matches(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND)
               ? DP_EXIT_UNREADABLE
               : (int)dp_exit_of(error);
}

/* ---- status -------------------------------------------------------------------------------- */

#define TROUBLED (1u << DP_STATE_FAILED | 1u << DP_STATE_QUARANTINED)

/* Those in one of `states` (bits 1 << dp_state). */
static json_t *docs_json(GPtrArray *docs, guint states)
{
    json_t *list = json_array();
    for (guint i = 0; i < docs->len; i++) {
        const dp_doc *doc = g_ptr_array_index(docs, i);
        if ((states >> doc->state & 1) != 0)
            json_array_append_new(list, dp_doc_json(doc));
    }
    return list;
}

static json_t *status_json(const dp_counts *counts, json_t *reasons, GPtrArray *troubled)
{
    json_t *documents = json_object();
    for (guint i = DP_STATE_SETTLED; i < DP_STATE_COUNT; i++)
        json_object_set_new(documents, dp_state_name((dp_state)i),
                            json_integer((json_int_t)counts->documents[i]));
    gint64 now = g_get_real_time() / 1000;
    json_t *age = counts->oldest_at > 0
                      ? json_integer(MAX(now - counts->oldest_at, 0) / 1000)
                      : json_null();
    return json_pack("{s:o, s:I, s:I, s:o, s:O, s:o, s:o}", "documents", documents,
                     "pages", (json_int_t)counts->pages, "actions_open",
                     (json_int_t)counts->actions_open, "queue_age_seconds", age,
                     "reasons", reasons, "failed", docs_json(troubled, TROUBLED),
                     "waiting", docs_json(troubled, ~TROUBLED));
}

static void print_age(gint64 oldest_at)
{
    if (oldest_at == 0)
        return;
    gint64 s = MAX(g_get_real_time() / 1000 - oldest_at, 0) / 1000;
    printf("oldest that waits: %" G_GINT64_FORMAT " h %02d m\n", s / 3600,
           (int)(s % 3600 / 60));
}

static void print_clean(const char *text)
{
    g_autofree char *clean = g_strdup(text);
    for (char *c = clean; *c != '\0'; c++) /* a file name must not steer the terminal */
        if (g_ascii_iscntrl(*c))
            *c = '?';
    fputs(clean, stdout);
}

static void print_doc(const dp_doc *doc)
{
    g_autofree char *next = g_strdup("");
    if (doc->state == DP_STATE_FAILED || doc->next_at > 0) {
        g_autoptr(GDateTime) time = g_date_time_new_from_unix_local(doc->next_at / 1000);
        g_autofree char *text =
            time != NULL ? g_date_time_format(time, "%Y-%m-%d %H:%M") : g_strdup("now");
        g_free(next);
        next = g_strconcat(", next ", text, NULL);
    }
    printf("%" G_GINT64_FORMAT "\t%s (%u tries%s)\t%s: ", doc->id,
           dp_state_name(doc->state), doc->attempts, next, doc->code);
    print_clean(doc->reason);
    fputc('\t', stdout);
    print_clean(doc->origin);
    fputc('\n', stdout);
}

static void print_status(const dp_counts *counts, GPtrArray *troubled)
{
    for (guint i = DP_STATE_SETTLED; i < DP_STATE_COUNT; i++)
        if (counts->documents[i] > 0)
            printf("%-12s %" G_GUINT64_FORMAT "\n", dp_state_name((dp_state)i),
                   counts->documents[i]);
    if (counts->actions_open > 0)
        printf("%-12s %" G_GUINT64_FORMAT "\n", "actions open", counts->actions_open);
    print_age(counts->oldest_at);
    for (guint i = 0; i < troubled->len; i++)
        print_doc(g_ptr_array_index(troubled, i));
}

static void add_counts(dp_counts *sum, const dp_counts *one)
{
    for (guint i = 0; i < DP_STATE_COUNT; i++)
        sum->documents[i] += one->documents[i];
    sum->actions_open += one->actions_open;
    sum->pages += one->pages;
    if (one->oldest_at > 0 && (sum->oldest_at == 0 || one->oldest_at < sum->oldest_at))
        sum->oldest_at = one->oldest_at;
}

static void add_reasons(json_t *sum, const json_t *one)
{
    const char *code;
    json_t *count;
    json_object_foreach((json_t *)one, code, count)
        json_object_set_new(sum, code,
                            json_integer(json_integer_value(count) +
                                         json_integer_value(json_object_get(sum, code))));
}

/* What one journal says, added to what others have said. */
static gboolean look_into(look *l, const char *path, dp_counts *counts, json_t *reasons,
                          GPtrArray *troubled, GError **error)
{
    l->queue = dp_queue_open(path, DP_QUEUE_EXISTING, error);
    if (l->queue == NULL)
        return FALSE;
    dp_filter filter = { .lane = l->lane,
                         .states = ~(1u << DP_STATE_ROUTED),
                         .is_told = TRUE,
                         .limit = l->is_all ? G_MAXINT : 20 };
    dp_counts here;
    json_t *why = NULL;
    g_autoptr(GPtrArray) docs = NULL;
    gboolean is_ok = dp_queue_counts(l->queue, l->lane, &here, error) &&
                     (why = dp_queue_reasons(l->queue, l->lane, error)) != NULL &&
                     (docs = dp_queue_list(l->queue, &filter, error)) != NULL;
    dp_queue_free(l->queue);
    l->queue = NULL;
    if (is_ok) {
        add_counts(counts, &here);
        add_reasons(reasons, why);
        g_ptr_array_extend_and_steal(troubled, g_steal_pointer(&docs));
    }
    json_decref(why);
    return is_ok;
}

int dp_cmd_status(dp_app *app, int argc, char **argv)
{
    look l = { .app = app };
    g_autoptr(GError) error = NULL;
    dp_counts counts = { 0 };
    if (!parse(&l, "DOCVL_STATUS", &argc, &argv, &error))
        return fail(&l, error);
    if (argc > 1) { /* of another journal than the one that was meant it would be a lie */
        dp_message(
            app, "error",
            "status takes no \"%s\"; the journal is named by --journal FILE or -o DIR",
            argv[1]);
        return DP_EXIT_USAGE;
    }
    json_t *reasons = json_object();
    g_autoptr(GPtrArray) troubled =
        g_ptr_array_new_with_free_func((GDestroyNotify)dp_doc_free);
    g_autoptr(GPtrArray) paths = journals_of(&l);
    gboolean is_ok = TRUE;
    for (guint i = 0; is_ok && i < paths->len; i++)
        is_ok = look_into(&l, paths->pdata[i], &counts, reasons, troubled, &error);
    if (is_ok && app->is_json_log) {
        json_t *status = status_json(&counts, reasons, troubled);
        char *dump = json_dumps(status, JSON_INDENT(2));
        puts(dump);
        free(dump);
        json_decref(status);
    } else if (is_ok) {
        print_status(&counts, troubled);
    }
    json_decref(reasons);
    return is_ok ? DP_EXIT_OK : fail(&l, error);
}

/* ---- retry and quarantine --------------------------------------------------------------------- */

/* A document by number or by path. */
static gboolean id_of(look *l, const char *text, gint64 *id, GError **error)
{
    char *end = NULL;
    gint64 number = g_ascii_strtoll(text, &end, 10);
    if (number > 0 && *end == '\0') {
        *id = number;
        return TRUE;
    }
    g_autofree char *path = g_canonicalize_filename(text, NULL);
    dp_filter filter = { .lane = l->lane, .path = path };
    g_autoptr(GPtrArray) docs = dp_queue_list(l->queue, &filter, error);
    if (docs == NULL)
        return FALSE;
    if (docs->len == 0) {
        g_set_error(error, DP_QUEUE_ERROR, DP_QUEUE_NOTFOUND, "%s is not in the journal",
                    text);
        return FALSE;
    }
    *id = ((dp_doc *)g_ptr_array_index(docs, docs->len - 1))
              ->id; /* the newest of this path */
    return TRUE;
}

typedef enum sending { TO_RETRY, TO_RELEASE, TO_FORGET } sending;

static void tell_unmoved(const look *l, const char *name, gint64 id, sending how)
{
    g_autoptr(dp_doc) doc = dp_queue_get(l->queue, id, NULL);
    gboolean is_given_up = doc != NULL && doc->state == DP_STATE_QUARANTINED;
    if (is_given_up && how == TO_RETRY)
        dp_message(
            l->app, "error",
            "%s: quarantined, %s: %s (docvl quarantine release puts it back to work)",
            name, doc->code, dp_doc_reason(doc));
    else
        dp_message(l->app, "error", "%s: %s%s", name,
                   doc == NULL            ? "not there"
                   : *doc->worker != '\0' ? "in work"
                                          : dp_state_name(doc->state),
                   how == TO_RETRY     ? ", not failed"
                   : how == TO_RELEASE ? ", not quarantined"
                                       : "");
}

static gboolean send_one(const look *l, gint64 id, sending how, guint *count,
                         GError **error)
{
    return how == TO_FORGET
               ? dp_queue_forget(l->queue, l->lane, id, count, error)
               : dp_queue_retry(l->queue, l->lane, id,
                                how == TO_RETRY ? DP_RETRY_FAILED : DP_RETRY_QUARANTINED,
                                count, error);
}

/* Back to work or out of the journal: those named, or all. */
static int send_docs(look *l, char **names, sending how)
{
    g_autoptr(GError) error = NULL;
    guint count = 0;
    if (*names == NULL && !l->is_all) {
        dp_message(l->app, "error", "which? a number, a FILE, or --all");
        return DP_EXIT_USAGE;
    }
    if (l->is_all && !send_one(l, 0, how, &count, &error))
        return fail(l, error);
    for (; *names != NULL; names++) {
        gint64 id;
        guint n = 0;
        if (!id_of(l, *names, &id, &error) || !send_one(l, id, how, &n, &error))
            return fail(l, error);
        if (n == 0) {
            tell_unmoved(l, *names, id, how);
            return DP_EXIT_UNREADABLE;
        }
        count += n;
    }
    if (how == TO_FORGET)
        dp_message(l->app, "info", "%u document%s forgotten", count,
                   count == 1 ? "" : "s");
    else
        dp_message(l->app, "info", "%u document%s back to work", count,
                   count == 1 ? " goes" : "s go");
    return DP_EXIT_OK;
}

int dp_cmd_retry(dp_app *app, int argc, char **argv)
{
    look l = { .app = app };
    g_autoptr(GError) error = NULL;
    if (!parse(&l, "DOCVL_RETRY", &argc, &argv, &error) || !open_journal(&l, &error))
        return fail(&l, error);
    int code = send_docs(&l, argv + 1, TO_RETRY);
    dp_queue_free(l.queue);
    return code;
}

static int list_quarantine(look *l)
{
    g_autoptr(GError) error = NULL;
    dp_filter filter = { .lane = l->lane,
                         .states = 1u << DP_STATE_QUARANTINED,
                         .limit = G_MAXINT };
    g_autoptr(GPtrArray) docs = dp_queue_list(l->queue, &filter, &error);
    if (docs == NULL)
        return fail(l, error);
    if (l->app->is_json_log) {
        json_t *list = docs_json(docs, TROUBLED);
        char *dump = json_dumps(list, JSON_INDENT(2));
        puts(dump);
        free(dump);
        json_decref(list);
        return DP_EXIT_OK;
    }
    for (guint i = 0; i < docs->len; i++)
        print_doc(g_ptr_array_index(docs, i));
    return DP_EXIT_OK;
}

static int show_docs(look *l, char **names)
{
    for (; *names != NULL; names++) {
        g_autoptr(GError) error = NULL;
        gint64 id;
        g_autoptr(dp_doc) doc =
            id_of(l, *names, &id, &error) ? dp_queue_get(l->queue, id, &error) : NULL;
        if (doc == NULL)
            return fail(l, error);
        json_t *node = dp_doc_json(doc);
        char *dump = json_dumps(node, JSON_INDENT(2));
        puts(dump);
        free(dump);
        json_decref(node);
    }
    return DP_EXIT_OK;
}

int dp_cmd_quarantine(dp_app *app, int argc, char **argv)
{
    look l = { .app = app };
    g_autoptr(GError) error = NULL;
    if (!parse(&l, "DOCVL_QUARANTINE", &argc, &argv, &error))
        return fail(&l, error);
    const char *verb = argc > 1 ? argv[1] : "";
    gboolean is_list = strcmp(verb, "list") == 0 && argc == 2;
    gboolean is_show = strcmp(verb, "show") == 0 && argc > 2;
    gboolean is_forget = strcmp(verb, "forget") == 0;
    if (!is_list && !is_show && !is_forget && strcmp(verb, "release") != 0) {
        dp_message(app, "error",
                   "usage: docvl quarantine list | show ID|FILE... | release "
                   "ID|FILE...|--all | forget ID|FILE...|--all");
        return DP_EXIT_USAGE;
    }
    if (!open_journal(&l, &error))
        return fail(&l, error);
    int code = is_list   ? list_quarantine(&l)
               : is_show ? show_docs(&l, argv + 2)
                         : send_docs(&l, argv + 2, is_forget ? TO_FORGET : TO_RELEASE);
    dp_queue_free(l.queue);
    return code;
}

/* ---- journal ------------------------------------------------------------------------------------ */

/* A line of JSON for each document, in pages, so that no size of journal fills the memory. */
static int export(look *l)
{
    dp_filter filter = { .lane = l->lane };
    guint count;
    do {
        g_autoptr(GError) error = NULL;
        g_autoptr(GPtrArray) docs = dp_queue_list(l->queue, &filter, &error);
        if (docs == NULL)
            return fail(l, error);
        count = docs->len;
        for (guint i = 0; i < count; i++) {
            const dp_doc *doc = g_ptr_array_index(docs, i);
            json_t *node = dp_doc_json(doc);
            char *dump = json_dumps(node, JSON_COMPACT);
            puts(dump);
            free(dump);
            json_decref(node);
            filter.after_id = doc->id;
        }
    } while (count > 0);
    return DP_EXIT_OK;
}

static int prune(look *l)
{
    g_autoptr(GError) error = NULL;
    guint seconds = 0, count = 0;
    if (l->older == NULL) {
        dp_message(l->app, "error", "prune what? --older-than 90d");
        return DP_EXIT_USAGE;
    }
    if (!dp_option_seconds("--older-than", l->older, &seconds, &error)) {
        dp_options_name_variable("DOCVL_JOURNAL", &error);
        return fail(l, error);
    }
    gint64 before = g_get_real_time() / 1000 - (gint64)seconds * 1000;
    if (!dp_queue_prune(l->queue, l->lane, before, &count, &error))
        return fail(l, error);
    dp_message(l->app, "info", "%u document%s done taken out", count,
               count == 1 ? " that was" : "s that were");
    return DP_EXIT_OK;
}

int dp_cmd_journal(dp_app *app, int argc, char **argv)
{
    look l = { .app = app };
    g_autoptr(GError) error = NULL;
    if (!parse(&l, "DOCVL_JOURNAL", &argc, &argv, &error))
        return fail(&l, error);
    const char *verb = argc == 2 ? argv[1] : "";
    gboolean is_export = strcmp(verb, "export") == 0;
    if (!is_export && strcmp(verb, "prune") != 0) {
        dp_message(app, "error", "usage: docvl journal export | prune --older-than TIME");
        return DP_EXIT_USAGE;
    }
    if (!open_journal(&l, &error))
        return fail(&l, error);
    int code = is_export ? export(&l) : prune(&l);
    dp_queue_free(l.queue);
    return code;
}

/*
 * config.c - the keys of docvl.yaml(5), and from a checked tree to a struct.
 *
 * The tables below are the facts: the check, the list of `docvl config keys`, and through
 * a test schemas/config.schema.json follow them.  What a table cannot say (names that
 * must exist, folders that must not lie in each other) is checked after it, so that one
 * run shows every mistake.
 */
#include "config.h"

#include "app.h"
#include "names.h"
#include "route.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* G_DEFINE_QUARK would keep it in a variable that threads write without a lock. */
GQuark dp_config_error_quark(void)
{
    return g_quark_from_static_string("dp_config_error");
}

enum { PROFILES_MAX = 256, SUBFOLDERS_MAX = 256, LIST_MAX = 256 };
#define DAY 86400.0

static const char *const text_words[] = { "auto", "always", "never", NULL };
static const char *const done_words[] = { "move", "keep", "delete", NULL };
static const char *const poll_words[] = { "auto", "yes", "no", NULL };

/* How a document is worked on; the same keys in every place that has them. */
#define SETTINGS_KEYS                                                                    \
    { .key = "schema",                                                                   \
      .kind = DP_KIND_TEXT,                                                              \
      .fallback = "auto",                                                                \
      .help = "auto, a schema's name, or the path of one" },                             \
        { .key = "text",                                                                 \
          .kind = DP_KIND_WORD,                                                          \
          .words = text_words,                                                           \
          .fallback = "auto",                                                            \
          .help = "use a PDF's text layer" },                                            \
        { .key = "labels",                                                               \
          .kind = DP_KIND_TEXTS,                                                         \
          .min = 2,                                                                      \
          .max = LIST_MAX,                                                               \
          .help = "classes to choose from; none: the default list" },                    \
        { .key = "classify",                                                             \
          .kind = DP_KIND_BOOL,                                                          \
          .fallback = "no",                                                              \
          .help = "name the class of documents with a fixed schema too" },               \
        { .key = "pages_max",                                                            \
          .kind = DP_KIND_INT,                                                           \
          .min = 1,                                                                      \
          .max = 500,                                                                    \
          .fallback = "20",                                                              \
          .help = "pages looked at for fields" },                                        \
        { .key = "review_below",                                                         \
          .kind = DP_KIND_REAL,                                                          \
          .min = 0,                                                                      \
          .max = 1,                                                                      \
          .fallback = "0",                                                               \
          .help = "confidence below which a value needs review; 0: the schema's" },      \
    {                                                                                    \
        .key = "priority", .kind = DP_KIND_INT, .min = -1000, .max = 1000,               \
        .fallback = "0", .help = "higher goes first"                                     \
    }

static const dp_facts profile_facts[] = { SETTINGS_KEYS, { NULL } };

#define PROFILE_KEY                                                                      \
    {                                                                                    \
        .key = "profile", .kind = DP_KIND_TEXT, .help = "name of a profile"              \
    }

static const dp_facts settings_facts[] = { PROFILE_KEY, SETTINGS_KEYS, { NULL } };

static const dp_facts folder_facts[] = {
    { .key = "path",
      .kind = DP_KIND_PATH,
      .is_required = TRUE,
      .help = "the watched folder" },
    { .key = "out",
      .kind = DP_KIND_PATH,
      .is_required = TRUE,
      .help = "where results go" },
    { .key = "failed",
      .kind = DP_KIND_PATH,
      .fallback = "OUT/failed",
      .help = "where documents go that failed" },
    { .key = "done",
      .kind = DP_KIND_PATH,
      .fallback = "OUT/done",
      .help = "where documents go that are done" },
    { .key = "on_done",
      .kind = DP_KIND_WORD,
      .words = done_words,
      .fallback = "move",
      .help = "what becomes of a document that is done" },
    { .key = "settle",
      .kind = DP_KIND_DURATION,
      .min = 0,
      .max = DAY,
      .fallback = "5s",
      .help = "size and time unchanged for so long: the file is whole" },
    { .key = "marker",
      .kind = DP_KIND_TEXT,
      .help = "a file is whole when NAME + this exists; then without settling" },
    { .key = "ignore",
      .kind = DP_KIND_TEXTS,
      .min = 0,
      .max = LIST_MAX,
      .help = "globs of names left alone, beside the built-in ones" },
    { .key = "recursive",
      .kind = DP_KIND_BOOL,
      .fallback = "no",
      .help = "subfolders too" },
    { .key = "poll",
      .kind = DP_KIND_WORD,
      .words = poll_words,
      .fallback = "auto",
      .help = "look again and again; auto: on network file systems" },
    { .key = "poll_interval",
      .kind = DP_KIND_DURATION,
      .min = 0.1,
      .max = DAY,
      .fallback = "10s",
      .help = "time between looks when polling" },
    { .key = "rescan",
      .kind = DP_KIND_DURATION,
      .min = 1,
      .max = DAY,
      .fallback = "60s",
      .help = "time between looks beside inotify" },
    PROFILE_KEY,
    SETTINGS_KEYS,
    { .key = "subfolders",
      .kind = DP_KIND_MAP,
      .max = SUBFOLDERS_MAX,
      .object = settings_facts,
      .help = "name of a subfolder to its settings" },
    { NULL },
};

static const dp_facts batch_facts[] = {
    { .key = "from",
      .kind = DP_KIND_PATHS,
      .min = 1,
      .max = LIST_MAX,
      .is_required = TRUE,
      .help = "files and folders" },
    { .key = "out",
      .kind = DP_KIND_PATH,
      .is_required = TRUE,
      .help = "where results go" },
    { .key = "include",
      .kind = DP_KIND_TEXTS,
      .min = 0,
      .max = LIST_MAX,
      .help = "globs; none: every name" },
    { .key = "exclude",
      .kind = DP_KIND_TEXTS,
      .min = 0,
      .max = LIST_MAX,
      .help = "globs" },
    { .key = "recursive",
      .kind = DP_KIND_BOOL,
      .fallback = "yes",
      .help = "subfolders too" },
    { .key = "report", .kind = DP_KIND_PATH, .help = "where the JSON report goes" },
    { .key = "lock", .kind = DP_KIND_PATH, .help = "held while the batch runs" },
    { .key = "max_time",
      .kind = DP_KIND_DURATION,
      .min = 0,
      .max = 30 * DAY,
      .fallback = "0s",
      .help = "stop cleanly after so long; 0s: no limit" },
    { NULL },
};

static const dp_facts root_facts[] = {
    { .key = "journal", .kind = DP_KIND_PATH, .help = "the SQLite file of jobs" },
    { .key = "model", .kind = DP_KIND_PATH, .help = "folder of the model" },
    { .key = "threads",
      .kind = DP_KIND_INT,
      .min = 0,
      .max = DP_THREADS_MAX,
      .fallback = "0",
      .help = "threads of the model; 0: one a CPU" },
    { .key = "workers",
      .kind = DP_KIND_INT,
      .min = 0,
      .max = DP_WORKERS_MAX,
      .fallback = "0",
      .help = "documents computed at a time; 0: one a CPU" },
    { .key = "memory",
      .kind = DP_KIND_BYTES,
      .min = 256.0 * 1024 * 1024,
      .max = 1024.0 * 1024 * 1024 * 1024 * 16,
      .help = "limit for all workers together" },
    { .key = "metrics_file", .kind = DP_KIND_PATH, .help = "Prometheus text file" },
    { .key = "status_file",
      .kind = DP_KIND_PATH,
      .help = "JSON, written when something changed" },
    { .key = "passwords_file",
      .kind = DP_KIND_PATH,
      .help = "passwords of PDFs, one a line" },
    { .key = "defaults",
      .kind = DP_KIND_OBJECT,
      .object = settings_facts,
      .help = "settings of every document" },
    { .key = "profiles",
      .kind = DP_KIND_MAP,
      .max = PROFILES_MAX,
      .object = profile_facts,
      .help = "named settings" },
    { .key = "folders",
      .kind = DP_KIND_OBJECTS,
      .min = 1,
      .max = DP_FOLDERS_MAX,
      .object = folder_facts,
      .help = "folders that docvl watch(1) looks after" },
    { .key = "batch",
      .kind = DP_KIND_OBJECT,
      .object = batch_facts,
      .help = "what docvl batch(1) works on" },
    { .key = "routes", .kind = DP_KIND_OTHER, .help = "where documents go next" },
    { NULL },
};

const dp_facts *dp_config_facts(void)
{
    return root_facts;
}

/* ---- loading --------------------------------------------------------------------- */

typedef struct problem {
    guint line, column;
    char *text;
} problem;

typedef struct loader {
    dp_config *config;
    const char *name; /* of the file, for messages */
    char *base;       /* folder that relative paths start from */
    GArray *problems;
} loader;

static void clear_problem(gpointer data)
{
    g_free(((problem *)data)->text);
}

dx_mark dp_config_place(const dp_config *config, const char *pointer)
{
    dx_mark mark = { 1, 1, 1, 1 };
    g_autofree char *at = g_strdup(pointer);
    while (!dx_marks_find(config->marks, at, &mark)) {
        char *slash = strrchr(at, '/');
        if (slash == NULL)
            break;
        *slash = '\0';
    }
    return mark;
}

static void add_problem(void *user, const char *pointer, gboolean at_key,
                        const char *text)
{
    loader *l = user;
    dx_mark mark = dp_config_place(l->config, pointer);
    problem p = { at_key ? mark.key_line : mark.line,
                  at_key ? mark.key_column : mark.column, NULL };
    p.text = g_strdup_printf("%s: %s", *pointer == '\0' ? "/" : pointer, text);
    g_array_append_val(l->problems, p);
}

static void add_problemf(loader *l, const char *pointer, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static void add_problemf(loader *l, const char *pointer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    add_problem(l, pointer, FALSE, text);
}

static int compare_problems(gconstpointer a, gconstpointer b)
{
    const problem *p = a, *q = b;
    return p->line != q->line       ? (p->line < q->line ? -1 : 1)
           : p->column != q->column ? (p->column < q->column ? -1 : 1)
                                    : strcmp(p->text, q->text);
}

static gboolean raise_problems(loader *l, GError **error)
{
    if (l->problems->len == 0)
        return TRUE;
    g_array_sort(l->problems, compare_problems);
    g_autoptr(GString) all = g_string_new(NULL);
    for (guint i = 0; i < l->problems->len; i++) {
        const problem *p = &g_array_index(l->problems, problem, i);
        g_string_append_printf(all, "%s%s:%u:%u: %s", i > 0 ? "\n" : "", l->name, p->line,
                               p->column, p->text);
    }
    g_set_error_literal(error, DP_CONFIG_ERROR, DP_CONFIG_WRONG, all->str);
    return FALSE;
}

static char *absolute(const loader *l, const char *path)
{
    return path != NULL && *path != '\0' ? g_canonicalize_filename(path, l->base) : NULL;
}

static char *path_of(const loader *l, const json_t *object, const char *key)
{
    return absolute(l, dp_fact_text(object, key, NULL));
}

static char **texts_of(const loader *l, const json_t *object, const char *key,
                       gboolean is_path)
{
    const json_t *list = json_object_get(object, key), *item;
    if (list == NULL)
        return NULL;
    GPtrArray *out = g_ptr_array_new();
    gsize i;
    json_array_foreach((json_t *)list, i, item) {
        const char *text = json_string_value(item);
        g_ptr_array_add(out, is_path ? absolute(l, text) : g_strdup(text));
    }
    g_ptr_array_add(out, NULL);
    return (char **)g_ptr_array_free(out, FALSE);
}

/* ---- settings ----------------------------------------------------------------------- */

static void settings_clear(dp_settings *s)
{
    g_free(s->profile);
    g_free(s->schema);
    g_free(s->text);
    g_strfreev(s->labels);
}

static void settings_copy(dp_settings *to, const dp_settings *from)
{
    *to = *from;
    to->profile = g_strdup(from->profile);
    to->schema = g_strdup(from->schema);
    to->text = g_strdup(from->text);
    to->labels = g_strdupv(from->labels);
}

static gboolean is_schema_path(const char *schema)
{
    return strchr(schema, '/') != NULL || g_str_has_suffix(schema, ".yaml") ||
           g_str_has_suffix(schema, ".yml") || g_str_has_suffix(schema, ".json");
}

/* Lay the keys of `object` over what is there. */
static void overlay(const loader *l, dp_settings *s, const json_t *object)
{
    const char *schema = dp_fact_text(object, "schema", NULL);
    if (schema != NULL) {
        g_free(s->schema);
        s->schema = is_schema_path(schema) ? absolute(l, schema) : g_strdup(schema);
    }
    const char *text = dp_fact_text(object, "text", NULL);
    if (text != NULL) {
        g_free(s->text);
        s->text = g_strdup(text);
    }
    if (json_object_get(object, "labels") != NULL) {
        g_strfreev(s->labels);
        s->labels = texts_of(l, object, "labels", FALSE);
    }
    s->is_classified = dp_fact_bool(object, "classify", s->is_classified);
    s->pages_max = (guint)dp_fact_int(object, "pages_max", s->pages_max);
    s->review_below = dp_fact_real(object, "review_below", s->review_below);
    s->priority = (int)dp_fact_int(object, "priority", s->priority);
}

static const json_t *profile_of(loader *l, const json_t *object, const char *pointer)
{
    const char *name = dp_fact_text(object, "profile", NULL);
    if (name == NULL)
        return NULL;
    const json_t *profiles = json_object_get(l->config->tree, "profiles");
    const json_t *profile = json_object_get(profiles, name);
    if (profile != NULL)
        return profile;
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *key;
    json_t *unused;
    json_object_foreach((json_t *)profiles, key, unused)
        g_ptr_array_add(names, (char *)key);
    g_ptr_array_add(names, NULL);
    const char *near = dp_nearest(name, (const char *const *)names->pdata);
    g_autofree char *at = g_strconcat(pointer, "/profile", NULL);
    add_problemf(l, at, "no profile \"%s\"%s%s%s", name,
                 near != NULL ? " (did you mean \"" : "", near != NULL ? near : "",
                 near != NULL ? "\"?)" : "");
    return NULL;
}

/* A profile that an object names lies under the object's own keys. */
static void settle_settings(loader *l, dp_settings *s, const dp_settings *below,
                            const json_t *object, const char *pointer)
{
    settings_copy(s, below);
    const json_t *profile = profile_of(l, object, pointer);
    if (profile != NULL) {
        g_free(s->profile);
        s->profile = g_strdup(dp_fact_text(object, "profile", ""));
    }
    overlay(l, s, profile);
    overlay(l, s, object);
}

/* ---- folders -------------------------------------------------------------------------- */

static void free_subfolder(gpointer data)
{
    dp_subfolder *sub = data;
    g_free(sub->name);
    settings_clear(&sub->settings);
    g_free(sub);
}

static void free_folder(gpointer data)
{
    dp_folder_config *f = data;
    g_free(f->path);
    g_free(f->out);
    g_free(f->failed);
    g_free(f->done);
    g_free(f->marker);
    g_strfreev(f->ignore);
    settings_clear(&f->settings);
    g_ptr_array_unref(f->subfolders);
    g_free(f);
}

static gint64 duration_of(const json_t *object, const char *key, gint64 fallback)
{
    return dp_fact_duration_us(json_object_get(object, key), fallback);
}

static gsize word_index(const char *word, const char *const *words)
{
    gsize i = 0;
    while (words[i] != NULL && g_strcmp0(words[i], word) != 0)
        i++;
    return words[i] != NULL ? i : 0;
}

static void read_subfolders(loader *l, dp_folder_config *f, const json_t *object,
                            const char *pointer)
{
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(object, "subfolders"), name, value) {
        g_autofree char *at = g_strdup_printf("%s/subfolders/%s", pointer, name);
        dp_subfolder *sub = g_new0(dp_subfolder, 1);
        sub->name = g_strdup(name);
        settle_settings(l, &sub->settings, &f->settings, value, at);
        g_ptr_array_add(f->subfolders, sub);
        if (*name == '\0' || *name == '.' || strchr(name, '/') != NULL) {
            g_autofree char *text = g_strdup_printf(
                "\"%s\" is no name of a subfolder: one level, no dot in front", name);
            add_problem(l, at, TRUE, text);
        }
    }
}

static void read_folder(loader *l, const json_t *object, const char *pointer)
{
    dp_folder_config *f = g_new0(dp_folder_config, 1);
    f->subfolders = g_ptr_array_new_with_free_func(free_subfolder);
    g_ptr_array_add(l->config->folders, f);
    f->path = path_of(l, object, "path");
    f->out = path_of(l, object, "out");
    f->failed = path_of(l, object, "failed");
    f->done = path_of(l, object, "done");
    if (f->failed == NULL && f->out != NULL)
        f->failed = g_build_filename(f->out, "failed", NULL);
    if (f->done == NULL && f->out != NULL)
        f->done = g_build_filename(f->out, "done", NULL);
    f->on_done =
        (dp_on_done)word_index(dp_fact_text(object, "on_done", NULL), done_words);
    f->poll = (dp_poll)word_index(dp_fact_text(object, "poll", NULL), poll_words);
    f->settle_us = duration_of(object, "settle", 5 * G_USEC_PER_SEC);
    f->poll_us = duration_of(object, "poll_interval", 10 * G_USEC_PER_SEC);
    f->rescan_us = duration_of(object, "rescan", 60 * G_USEC_PER_SEC);
    f->marker = g_strdup(dp_fact_text(object, "marker", NULL));
    f->ignore = texts_of(l, object, "ignore", FALSE);
    f->is_recursive = dp_fact_bool(object, "recursive", FALSE);
    settle_settings(l, &f->settings, &l->config->defaults, object, pointer);
    read_subfolders(l, f, object, pointer);
    if (f->marker != NULL && strchr(f->marker, '/') != NULL) {
        g_autofree char *at = g_strconcat(pointer, "/marker", NULL);
        add_problemf(l, at, "\"%s\": a marker is an ending of a name, without \"/\"",
                     f->marker);
    }
}

/* Is `path` the folder or something below it? */
static gboolean is_within(const char *path, const char *folder)
{
    gsize length = strlen(folder);
    return strncmp(path, folder, length) == 0 &&
           (path[length] == '\0' || path[length] == '/' || strcmp(folder, "/") == 0);
}

/* What docvl writes must not arrive in a folder that it watches: it would go round. */
static void check_outputs(loader *l, guint index)
{
    const dp_folder_config *f = g_ptr_array_index(l->config->folders, index);
    const struct {
        const char *key, *path;
    } outputs[] = { { "out", f->out }, { "failed", f->failed }, { "done", f->done } };
    for (gsize i = 0; i < G_N_ELEMENTS(outputs); i++) {
        for (guint k = 0; k < l->config->folders->len; k++) {
            const dp_folder_config *other = g_ptr_array_index(l->config->folders, k);
            if (outputs[i].path == NULL || other->path == NULL ||
                !is_within(outputs[i].path, other->path))
                continue;
            if (i > 0 && is_within(outputs[i].path, f->out) &&
                is_within(f->out, other->path))
                break; /* said already */
            g_autofree char *at =
                g_strdup_printf("/folders/%u/%s", index, outputs[i].key);
            add_problemf(l, at,
                         "%s lies inside the watched folder %s: its own output would be "
                         "taken as input",
                         outputs[i].path, other->path);
            break;
        }
    }
}

/* Would a file of ours be taken for a document of this folder? */
static gboolean would_be_taken(const dp_folder_config *f, const char *file)
{
    if (f->path == NULL || !is_within(file, f->path) || strcmp(file, f->path) == 0)
        return FALSE;
    const char *below = file + strlen(f->path);
    g_auto(GStrv) parts = g_strsplit(below + strspn(below, "/"), "/", -1);
    guint depth = g_strv_length(parts);
    for (guint i = 0; i < depth; i++)
        if (dp_name_is_ignored(parts[i], (const char *const *)f->ignore))
            return FALSE;
    gboolean is_entered = depth == 1 || f->is_recursive;
    for (guint i = 0; depth == 2 && !is_entered && i < f->subfolders->len; i++) {
        const dp_subfolder *sub = g_ptr_array_index(f->subfolders, i);
        is_entered = strcmp(sub->name, parts[0]) == 0;
    }
    return is_entered;
}

/* What docvl writes and reads for itself must not be taken for a document. */
static void check_own_files(loader *l)
{
    const dp_config *c = l->config;
    g_autofree char *self = g_canonicalize_filename(c->file, NULL);
    const struct {
        const char *at, *path;
    } own[] = { { "/journal", c->journal },
                { "/metrics_file", c->metrics_file },
                { "/status_file", c->status_file },
                { "/passwords_file", c->passwords_file },
                { "/folders", self } };
    for (gsize i = 0; i < G_N_ELEMENTS(own); i++)
        for (guint k = 0; own[i].path != NULL && k < c->folders->len; k++) {
            const dp_folder_config *f = g_ptr_array_index(c->folders, k);
            if (would_be_taken(f, own[i].path))
                add_problemf(l, own[i].at,
                             "%s lies inside the watched folder %s: it would be taken as "
                             "input",
                             own[i].path, f->path);
        }
}

static void check_folders(loader *l)
{
    GPtrArray *folders = l->config->folders;
    for (guint i = 0; i < folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(folders, i);
        g_autofree char *at = g_strdup_printf("/folders/%u/path", i);
        for (guint k = 0; k < i && f->path != NULL; k++) {
            const dp_folder_config *other = g_ptr_array_index(folders, k);
            if (other->path == NULL)
                continue;
            if (strcmp(f->path, other->path) == 0)
                add_problemf(l, at, "%s is watched twice", f->path);
            else if (is_within(f->path, other->path) || is_within(other->path, f->path))
                add_problemf(l, at, "%s and %s lie in each other", f->path, other->path);
        }
        check_outputs(l, i);
    }
    check_own_files(l);
}

static void check_batch(loader *l)
{
    const dp_batch_config *b = &l->config->batch;
    for (char **from = b->from; from != NULL && *from != NULL && b->out != NULL; from++)
        if (is_within(b->out, *from))
            add_problemf(l, "/batch/out",
                         "%s lies inside %s: results would be taken as input", b->out,
                         *from);
}

static void read_root(loader *l)
{
    dp_config *c = l->config;
    const json_t *t = c->tree;
    c->journal = path_of(l, t, "journal");
    c->model = path_of(l, t, "model");
    c->metrics_file = path_of(l, t, "metrics_file");
    c->status_file = path_of(l, t, "status_file");
    c->passwords_file = path_of(l, t, "passwords_file");
    c->threads = (guint)dp_fact_int(t, "threads", 0);
    c->workers = (guint)dp_fact_int(t, "workers", 0);
    c->memory_bytes = dp_fact_bytes(json_object_get(t, "memory"), 0);
    dp_settings built_in = { .profile = (char *)"",
                             .schema = (char *)"auto",
                             .text = (char *)"auto",
                             .pages_max = 20 };
    settle_settings(l, &c->defaults, &built_in, json_object_get(t, "defaults"),
                    "/defaults");
    const json_t *batch = json_object_get(t, "batch");
    c->batch = (dp_batch_config){
        .from = texts_of(l, batch, "from", TRUE),
        .out = path_of(l, batch, "out"),
        .include = texts_of(l, batch, "include", FALSE),
        .exclude = texts_of(l, batch, "exclude", FALSE),
        .is_recursive = dp_fact_bool(batch, "recursive", TRUE),
        .report = path_of(l, batch, "report"),
        .lock = path_of(l, batch, "lock"),
        .max_time_us = duration_of(batch, "max_time", 0),
    };
    c->routes = json_object_get(t, "routes");
}

static void report_route(void *user, const char *pointer, gboolean at_key,
                         const char *text)
{
    g_autofree char *whole = g_strconcat("/routes", pointer, NULL);
    add_problem(user, whole, at_key, text);
}

/* The tree has passed the tables, or the struct is thrown away: reading must survive both. */
static void read_tree(loader *l)
{
    read_root(l);
    const json_t *folders = json_object_get(l->config->tree, "folders");
    for (gsize i = 0; i < json_array_size(folders); i++) {
        g_autofree char *at = g_strdup_printf("/folders/%zu", i);
        read_folder(l, json_array_get(folders, i), at);
    }
    check_folders(l);
    check_batch(l);
    if (l->config->routes != NULL)
        dp_routes_check(l->config->routes, report_route, l);
}

dp_config *dp_config_parse(const char *text, gsize bytes, const char *path,
                           GError **error)
{
    g_autoptr(dp_config) config = g_new0(dp_config, 1);
    config->file = g_strdup(path);
    config->folders = g_ptr_array_new_with_free_func(free_folder);
    g_autoptr(GError) wrong = NULL;
    config->tree = dx_yaml_parse_marks(text, bytes, path, &config->marks, &wrong);
    if (config->tree == NULL) {
        g_set_error_literal(error, DP_CONFIG_ERROR, DP_CONFIG_WRONG, wrong->message);
        return NULL;
    }
    g_autofree char *full = g_canonicalize_filename(path, NULL);
    g_autofree char *base = g_path_get_dirname(full);
    g_autoptr(GArray) problems = g_array_new(FALSE, FALSE, sizeof(problem));
    g_array_set_clear_func(problems, clear_problem);
    loader l = { .config = config, .name = path, .base = base, .problems = problems };
    (void)dp_facts_check(root_facts, config->tree, "", add_problem,
                         &l); /* counted below */
    if (json_is_object(config->tree))
        read_tree(&l);
    return raise_problems(&l, error) ? g_steal_pointer(&config) : NULL;
}

/* What is no mistake of the configuration, and may be gone at the next start; 0: it is one. */
static int passing_errno(const GError *error)
{
    static const struct {
        GFileError code;
        int number;
    } table[] = { { G_FILE_ERROR_NOMEM, ENOMEM },
                  { G_FILE_ERROR_MFILE, EMFILE },
                  { G_FILE_ERROR_NFILE, ENFILE } };
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        if (g_error_matches(error, G_FILE_ERROR, (int)table[i].code))
            return table[i].number;
    return 0;
}

dp_config *dp_config_load(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    gsize bytes;
    g_autoptr(GError) wrong = NULL;
    if (!g_file_get_contents(path, &text, &bytes, &wrong)) {
        int passing = passing_errno(wrong);
        if (passing != 0)
            g_set_error(error, DP_IO_ERROR, passing, "%s", wrong->message);
        else
            g_set_error(error, DP_CONFIG_ERROR, DP_CONFIG_UNREADABLE, "%s",
                        wrong->message);
        return NULL;
    }
    return dp_config_parse(text, bytes, path, error);
}

void dp_config_free(dp_config *config)
{
    if (config == NULL)
        return;
    char **texts[] = { &config->file,        &config->journal,
                       &config->model,       &config->metrics_file,
                       &config->status_file, &config->passwords_file,
                       &config->batch.out,   &config->batch.report,
                       &config->batch.lock };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(*texts[i]);
    g_strfreev(config->batch.from);
    g_strfreev(config->batch.include);
    g_strfreev(config->batch.exclude);
    settings_clear(&config->defaults);
    g_clear_pointer(&config->folders, g_ptr_array_unref);
    json_decref(config->tree);
    dx_marks_free(config->marks);
    g_free(config);
}

/* ---- showing ------------------------------------------------------------------------------ */

static json_t *duration_json(gint64 us)
{
    g_autofree char *text = dp_duration_format(us);
    return json_string(text);
}

static json_t *texts_json(char **texts)
{
    json_t *list = json_array();
    for (; texts != NULL && *texts != NULL; texts++)
        json_array_append_new(list, json_string(*texts));
    return list;
}

static void add_settings(json_t *to, const dp_settings *s)
{
    json_object_set_new(to, "profile",
                        *s->profile != '\0' ? json_string(s->profile) : json_null());
    json_object_set_new(to, "schema", json_string(s->schema));
    json_object_set_new(to, "text", json_string(s->text));
    json_object_set_new(to, "labels",
                        s->labels != NULL ? texts_json(s->labels) : json_null());
    json_object_set_new(to, "classify", json_boolean(s->is_classified));
    json_object_set_new(to, "pages_max", json_integer(s->pages_max));
    json_object_set_new(to, "review_below", json_real(s->review_below));
    json_object_set_new(to, "priority", json_integer(s->priority));
}

static json_t *folder_json(const dp_folder_config *f)
{
    json_t *out = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:b}", "path", f->path, "out", f->out,
        "failed", f->failed, "done", f->done, "on_done", done_words[f->on_done], "poll",
        poll_words[f->poll], "marker", f->marker, "recursive", (int)f->is_recursive);
    json_object_set_new(out, "settle", duration_json(f->settle_us));
    json_object_set_new(out, "poll_interval", duration_json(f->poll_us));
    json_object_set_new(out, "rescan", duration_json(f->rescan_us));
    json_object_set_new(out, "ignore", texts_json(f->ignore));
    add_settings(out, &f->settings);
    json_t *subs = json_object();
    for (guint i = 0; i < f->subfolders->len; i++) {
        const dp_subfolder *sub = g_ptr_array_index(f->subfolders, i);
        json_t *one = json_object();
        add_settings(one, &sub->settings);
        json_object_set_new(subs, sub->name, one);
    }
    json_object_set_new(out, "subfolders", subs);
    return out;
}

/* What is not set has no value that could be written: the file must be one that can be read
 * again. */
static void drop_unset(json_t *node)
{
    const char *key;
    json_t *value;
    void *next;
    gsize i;
    json_object_foreach_safe(node, next, key, value)
    {
        if (json_is_null(value))
            json_object_del(node, key);
        else
            drop_unset(value);
    }
    json_array_foreach(node, i, value) {
        drop_unset(value);
    }
}

json_t *dp_config_json(const dp_config *c)
{
    json_t *out = json_pack(
        "{s:s?, s:s?, s:s?, s:s?, s:s?, s:i, s:i, s:o}", "journal", c->journal, "model",
        c->model, "metrics_file", c->metrics_file, "status_file", c->status_file,
        "passwords_file", c->passwords_file, "threads", (int)c->threads, "workers",
        (int)c->workers, "memory",
        c->memory_bytes > 0 ? json_integer((json_int_t)c->memory_bytes) : json_null());
    json_t *defaults = json_object();
    add_settings(defaults, &c->defaults);
    json_object_set_new(out, "defaults", defaults);
    json_t *folders = json_array();
    for (guint i = 0; i < c->folders->len; i++)
        json_array_append_new(folders, folder_json(g_ptr_array_index(c->folders, i)));
    if (c->folders->len > 0)
        json_object_set_new(out, "folders", folders);
    else
        json_decref(folders);
    const dp_batch_config *b = &c->batch;
    if (b->out != NULL) {
        json_t *batch = json_pack(
            "{s:o, s:s, s:o, s:o, s:b, s:s?, s:s?, s:o}", "from", texts_json(b->from),
            "out", b->out, "include", texts_json(b->include), "exclude",
            texts_json(b->exclude), "recursive", (int)b->is_recursive, "report",
            b->report, "lock", b->lock, "max_time", duration_json(b->max_time_us));
        json_object_set_new(out, "batch", batch);
    }
    drop_unset(out);
    const json_t *profiles = json_object_get(c->tree, "profiles");
    if (profiles != NULL)
        json_object_set(out, "profiles", (json_t *)profiles);
    if (c->routes != NULL)
        json_object_set(out, "routes", c->routes);
    return out;
}

gboolean dp_folder_config_equal(const dp_folder_config *a, const dp_folder_config *b)
{
    json_t *x = folder_json(a), *y = folder_json(b);
    gboolean is_same = json_equal(x, y);
    json_decref(x);
    json_decref(y);
    return is_same;
}

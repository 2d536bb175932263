/*
 * document.c - one document to its result envelope, by a recipe; shared by `extract` and the
 * jobs.
 */
#include "job.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* G_DEFINE_QUARK would keep it in a variable that threads write without a lock. */
GQuark dp_job_error_quark(void)
{
    return g_quark_from_static_string("dp_job_error");
}

/* What --auto chooses from; the last stands for every other class. */
static const char *const auto_schemas[] = { "invoice", "receipt", "form" };

struct dp_recipe {
    gint refs;
    dx_schema *schema; /* NULL: by class, one of `by_class` */
    dx_schema *by_class[G_N_ELEMENTS(auto_schemas)];
    dx_options options;
    char **labels, **passwords;
    dp_render_limits limits;
    gboolean is_plain, is_classified;
    char sha256[65];
};

/* ---- recipes ------------------------------------------------------------------------- */

static gboolean load_schemas(dp_recipe *recipe, const char *name, GError **error)
{
    g_auto(GStrv) dirs = dp_schema_dirs();
    const char *const *where = (const char *const *)dirs;
    if (name != NULL) {
        recipe->schema = dx_schema_load(name, where, error);
        g_prefix_error(error, "schema %s: ", name);
        return recipe->schema != NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(auto_schemas); i++) {
        recipe->by_class[i] = dx_schema_load(auto_schemas[i], where, error);
        if (recipe->by_class[i] == NULL) {
            g_prefix_error(error, "schema %s: ", auto_schemas[i]);
            return FALSE;
        }
    }
    return TRUE;
}

dp_exit dp_check_schema(const dp_app *app, const char *name)
{
    g_autoptr(dp_recipe) recipe = g_new0(dp_recipe, 1);
    recipe->refs = 1;
    g_autoptr(GError) error = NULL;
    if (load_schemas(recipe, name, &error))
        return DP_EXIT_OK;
    dp_message(app, "error", "%s", error->message);
    return dp_error_is_temporary(error) ? DP_EXIT_TEMPORARY : DP_EXIT_CONFIG;
}

static const char *text_use(const dx_options *options)
{
    return options->text == DX_TEXT_ALWAYS  ? "always"
           : options->text == DX_TEXT_NEVER ? "never"
                                            : "auto";
}

/* Everything that a result depends on but the document itself and the time. */
static json_t *recipe_facts(const dp_recipe *recipe, const vl_model_info *model)
{
    json_t *schemas = json_array(), *labels = json_array();
    if (recipe->schema != NULL)
        json_array_append_new(schemas, json_string(dx_schema_sha256(recipe->schema)));
    for (gsize i = 0; recipe->schema == NULL && i < G_N_ELEMENTS(auto_schemas); i++)
        json_array_append_new(schemas,
                              json_string(dx_schema_sha256(recipe->by_class[i])));
    for (char **label = recipe->labels; label != NULL && *label != NULL; label++)
        json_array_append_new(labels, json_string(*label));
    const dx_options *o = &recipe->options;
    return json_pack("{s:o, s:o, s:s, s:s, s:s, s:b, s:b, s:i, s:i, s:f, s:b, s:b}",
                     "schemas", schemas, "labels", labels, "model", model->sha256,
                     "compute", model->compute, "text", text_use(o), "vision",
                     (int)o->is_vision_used, "free", (int)o->is_free, "tokens_max",
                     (int)o->tokens_max, "pages_max", (int)o->pages_max, "review_below",
                     o->review_below, "plain", (int)recipe->is_plain, "classified",
                     (int)recipe->is_classified);
}

static void hash_recipe(dp_recipe *recipe, const vl_model_info *model)
{
    json_t *facts = recipe_facts(recipe, model);
    char *text =
        json_dumps(facts, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
    g_strlcpy(recipe->sha256, hex, sizeof recipe->sha256);
    free(text);
    json_decref(facts);
}

dp_recipe *dp_recipe_new(dx_engine *engine, const vl_model_info *model,
                         const dp_recipe_opts *opts, GError **error)
{
    g_autoptr(dp_recipe) recipe = g_new0(dp_recipe, 1);
    recipe->refs = 1;
    dp_app app = { .text = (char *)opts->text };
    if (!dp_dx_options(&app, &recipe->options, error) ||
        !load_schemas(recipe, opts->schema, error))
        return NULL;
    recipe->labels = g_strdupv((char **)opts->labels);
    recipe->passwords = g_strdupv((char **)opts->passwords);
    recipe->limits = opts->limits;
    recipe->options.labels = (const char *const *)recipe->labels;
    recipe->options.review_below = opts->review_below;
    recipe->options.tokens_max = opts->tokens_max;
    recipe->options.pages_max = opts->pages_max;
    recipe->is_plain = opts->is_plain;
    recipe->is_classified = opts->is_classified;
    hash_recipe(recipe, model);
    return g_steal_pointer(&recipe);
}

dp_recipe *dp_recipe_ref(dp_recipe *recipe)
{
    g_atomic_int_inc(&recipe->refs);
    return recipe;
}

void dp_recipe_unref(dp_recipe *recipe)
{
    if (recipe == NULL || !g_atomic_int_dec_and_test(&recipe->refs))
        return;
    dx_schema_unref(recipe->schema);
    for (gsize i = 0; i < G_N_ELEMENTS(auto_schemas); i++)
        dx_schema_unref(recipe->by_class[i]);
    g_strfreev(recipe->labels);
    g_strfreev(recipe->passwords);
    g_free(recipe);
}

const char *dp_recipe_sha256(const dp_recipe *recipe)
{
    return recipe->sha256;
}

gboolean dp_recipe_is_plain(const dp_recipe *recipe)
{
    return recipe->is_plain;
}

/* ---- files ------------------------------------------------------------------------------ */

static void fill_stamp(const struct stat *st, dp_stamp *stamp)
{
    *stamp = (dp_stamp){
        .size = st->st_size,
        .mtime_ns =
            st->st_mtim.tv_sec * G_GINT64_CONSTANT(1000000000) + st->st_mtim.tv_nsec,
        .ctime_ns =
            st->st_ctim.tv_sec * G_GINT64_CONSTANT(1000000000) + st->st_ctim.tv_nsec,
        .inode = st->st_ino,
    };
}

gboolean dp_stamp_file(const char *path, dp_stamp *stamp, GError **error)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return dp_fail_errno(error, "looking at", path);
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISLNK(st.st_mode) ? ELOOP : EINVAL;
        g_set_error(error, DP_IO_ERROR, errno, "%s: not a regular file", path);
        return FALSE;
    }
    fill_stamp(&st, stamp);
    return TRUE;
}

static gboolean hash_fd(int fd, GChecksum *sum)
{
    g_autofree guchar *buffer = g_malloc(1 << 17);
    for (;;) {
        gssize n = read(fd, buffer, 1 << 17);
        if (n == 0)
            return TRUE;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return FALSE;
        g_checksum_update(sum, buffer, n);
    }
}

gboolean dp_hash_file(const char *path, char sha256[65], dp_stamp *stamp, GError **error)
{
    dp_stamp before, after;
    if (!dp_stamp_file(path, &before, error)) /* a FIFO must not be opened */
        return FALSE;
    int fd =
        dp_open_file(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return dp_fail_errno(error, "opening", path);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    struct stat st;
    gboolean is_ok = fstat(fd, &st) == 0;
    if (is_ok) {
        fill_stamp(&st, &before);
        is_ok = hash_fd(fd, sum) && fstat(fd, &st) == 0;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    if (!is_ok)
        return dp_fail_errno(error, "reading", path);
    fill_stamp(&st, &after);
    if (memcmp(&before, &after, sizeof before) != 0) {
        g_set_error(error, DP_IO_ERROR, EBUSY, "%s: changes while it is read", path);
        return FALSE;
    }
    g_strlcpy(sha256, g_checksum_get_string(sum), 65);
    *stamp = after;
    return TRUE;
}

/* ---- one document -------------------------------------------------------------------------- */

static dx_schema *schema_for(dx_engine *engine, const dp_recipe *recipe,
                             const dx_source *source, const dx_options *options,
                             json_t **class_, GError **error)
{
    if (recipe->schema == NULL || recipe->is_classified) {
        *class_ = dx_classify(engine, source, options, error);
        if (*class_ == NULL)
            return NULL;
    }
    if (recipe->schema != NULL)
        return dx_schema_ref(recipe->schema);
    const char *label = json_string_value(json_object_get(*class_, "label"));
    guint i = g_strcmp0(label, "receipt") == 0 ? 1
              : g_strcmp0(label, "invoice") == 0 ||
                      g_strcmp0(label, "credit note") == 0 ||
                      g_strcmp0(label, "reminder") == 0
                  ? 0
                  : 2;
    return dx_schema_ref(recipe->by_class[i]);
}

static json_t *engine_facts(const vl_model_info *model, const dx_options *options,
                            const dx_schema *schema, const dp_recipe *recipe)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:{s:s, s:b, s:b}}", "version",
                     DOCVL_VERSION, "model", model->name, "model_sha256", model->sha256,
                     "schema_sha256", dx_schema_sha256(schema), "recipe_sha256",
                     recipe->sha256, "compute", model->compute, "options", "text",
                     text_use(options), "vision", (int)options->is_vision_used, "copy",
                     (int)!options->is_free);
}

/* JSON is UTF-8, a file name is bytes. */
static json_t *name_json(const char *name)
{
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    return json_string(valid);
}

json_t *dp_extract_document(dx_engine *engine, const vl_model_info *model,
                            const dp_recipe *recipe, const char *path,
                            const dp_extraction *how, GError **error)
{
    dp_input_waits waits = { how->wait_begin, how->wait_end, how->user };
    const dp_render_opts render = { .limits = recipe->limits,
                                    .passwords = (const char *const *)recipe->passwords,
                                    .cancellable = how->cancellable };
    g_autoptr(dp_input) input = dp_input_open_with(path, &render, &waits, error);
    if (input == NULL)
        return NULL;
    const dp_document_info *info = dp_document_get_info(input->document);
    if (how->sha256 != NULL && strcmp(info->sha256, how->sha256) != 0) {
        g_set_error(error, DP_JOB_ERROR, DP_JOB_CHANGED, "%s: changed while it waited",
                    path);
        return NULL;
    }
    dx_options options = recipe->options;
    options.progress = how->progress;
    options.user = how->user;
    options.cancellable = how->cancellable;
    json_t *class_ = NULL;
    g_autoptr(dx_schema) schema =
        schema_for(engine, recipe, &input->source, &options, &class_, error);
    json_t *result = schema != NULL
                         ? dx_extract(engine, &input->source, schema, &options, error)
                         : NULL;
    if (result == NULL) {
        json_decref(class_);
        return NULL;
    }
    if (class_ != NULL)
        json_object_set_new(result, "class", class_);
    json_object_set_new(result, "file",
                        name_json(how->name != NULL ? how->name : input->name));
    json_object_set_new(result, "doc_id", json_string(info->sha256));
    json_object_set_new(result, "engine", engine_facts(model, &options, schema, recipe));
    (void)dp_input_mark_damage(input, result); /* the caller sees it in the result */
    return result;
}

json_t *dp_failed_result(const char *name, const GError *error)
{
    g_autofree char *valid = g_utf8_make_valid(name, -1);
    g_autofree char *text = g_utf8_make_valid(error->message, -1);
    return json_pack("{s:s, s:s, s:{s:s, s:s}}", "file", valid, "status", "failed",
                     "error", "code", dp_error_name(error), "message", text);
}

char *dp_result_text(const json_t *result, const char *format, gboolean is_plain)
{
    if (strcmp(format, "csv") == 0) {
        g_autofree char *line = dp_csv_line(result);
        return g_strconcat(line, "\n", NULL);
    }
    json_t *shown = json_incref((json_t *)result);
    const json_t *fields = json_object_get(result, "fields");
    if (is_plain && fields != NULL) {
        json_decref(shown);
        shown = json_copy((json_t *)result);
        json_object_set_new(shown, "fields", dp_plain(fields));
    }
    gboolean is_line = strcmp(format, "jsonl") == 0;
    char *dump = json_dumps(shown, (is_line ? (gsize)JSON_COMPACT : JSON_INDENT(2)) |
                                       JSON_REAL_PRECISION(6));
    char *text = dump != NULL ? g_strconcat(dump, "\n", NULL) : NULL;
    free(dump);
    json_decref(shown);
    return text;
}

/*
 * cmd_config.c - docvl config: what a configuration file says, and whether it may.
 */
#include "app.h"
#include "config.h"
#include "route_paths.h"

#include <string.h>

/* The schema called most like `wrong`; NULL: none.  Caller frees. */
static char *nearest_schema(const char *wrong, const char *const *dirs)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    json_t *list = dx_schema_list(dirs, NULL), *row;
    gsize i;
    json_array_foreach(list, i, row) {
        const char *name = json_string_value(json_object_get(row, "name"));
        if (name != NULL)
            g_ptr_array_add(names, (gpointer)name);
    }
    g_ptr_array_add(names, NULL);
    char *near = g_strdup(dp_nearest(wrong, (const char *const *)names->pdata));
    json_decref(list);
    return near;
}

/* Where the schema of the settings at `pointer` was written: there, in its profile, or in the
 * defaults.  Caller frees. */
static char *schema_pointer(const dp_config *config, const char *pointer,
                            const dp_settings *settings)
{
    char *candidates[] = { g_strconcat(pointer, "/schema", NULL),
                           g_strdup_printf("/profiles/%s/schema", settings->profile),
                           g_strdup("/defaults/schema") };
    char *found = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(candidates); i++) {
        dx_mark unused;
        if (found == NULL && dx_marks_find(config->marks, candidates[i], &unused))
            found = g_steal_pointer(&candidates[i]);
        g_free(candidates[i]);
    }
    return found != NULL ? found : g_strdup(pointer);
}

/* Schemas that settings name are found and sound. */
static gboolean check_schema(const dp_app *app, const dp_config *config,
                             const char *pointer, const dp_settings *settings,
                             dp_exit *code)
{
    if (strcmp(settings->schema, "auto") == 0)
        return TRUE;
    g_auto(GStrv) dirs = dp_schema_dirs();
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_schema) schema =
        dx_schema_load(settings->schema, (const char *const *)dirs, &error);
    if (schema != NULL)
        return TRUE;
    g_autofree char *at = schema_pointer(config, pointer, settings);
    g_autofree char *near =
        g_error_matches(error, DX_ERROR, DX_NOTFOUND)
            ? nearest_schema(settings->schema, (const char *const *)dirs)
            : NULL;
    dx_mark mark = dp_config_place(config, at);
    dp_message(app, "error", "%s:%u:%u: %s: %s%s%s%s", config->file, mark.line,
               mark.column, at, error->message, near != NULL ? " (did you mean \"" : "",
               near != NULL ? near : "", near != NULL ? "\"?)" : "");
    if (dp_error_is_temporary(error))
        *code = DP_EXIT_TEMPORARY;
    return FALSE;
}

/* Is the schema of `settings` that of `above`, which has been looked at? */
static gboolean is_same_schema(const dp_settings *settings, const dp_settings *above)
{
    return strcmp(settings->schema, above->schema) == 0;
}

static gboolean check_schemas(const dp_app *app, const dp_config *config, dp_exit *code)
{
    gboolean is_good = check_schema(app, config, "/defaults", &config->defaults, code);
    for (guint i = 0; i < config->folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(config->folders, i);
        g_autofree char *at = g_strdup_printf("/folders/%u", i);
        if (!is_same_schema(&f->settings, &config->defaults))
            is_good &= check_schema(app, config, at, &f->settings, code);
        for (guint k = 0; k < f->subfolders->len; k++) {
            const dp_subfolder *sub = g_ptr_array_index(f->subfolders, k);
            g_autofree char *below = g_strdup_printf("%s/subfolders/%s", at, sub->name);
            if (!is_same_schema(&sub->settings, &f->settings))
                is_good &= check_schema(app, config, below, &sub->settings, code);
        }
    }
    return is_good;
}

/* ---- fields that routes name ------------------------------------------------------------ */

typedef struct field_check {
    const dp_app *app;
    const dp_config *config;
    const char *level;
    GHashTable *known; /* paths of all schemas that documents may have */
    const char **list; /* the same, for the nearest one; borrowed */
    gboolean is_good;
} field_check;

static void check_field(void *user, const char *pointer, gboolean at_key,
                        const char *path)
{
    field_check *c = user;
    if (dp_route_path_is_known(path, c->known))
        return;
    c->is_good = FALSE;
    g_autofree char *whole = g_strconcat("/routes", pointer, NULL);
    const char *near = dp_nearest(path, c->list);
    dx_mark mark = dp_config_place(c->config, whole);
    dp_message(c->app, c->level, "%s:%u:%u: %s: no schema has the field \"%s\"%s%s%s",
               c->config->file, at_key ? mark.key_line : mark.line,
               at_key ? mark.key_column : mark.column, whole, path,
               near != NULL ? " (did you mean \"" : "", near != NULL ? near : "",
               near != NULL ? "\"?)" : "");
}

static void add_schema(GHashTable *known, const char *name, const char *const *dirs)
{
    g_autoptr(dx_schema) schema = dx_schema_load(name, dirs, NULL);
    if (schema == NULL)
        return; /* check_schemas() says so */
    g_autoptr(GHashTable) paths = dx_schema_paths(schema);
    GHashTableIter iter;
    gpointer path;
    g_hash_table_iter_init(&iter, paths);
    while (g_hash_table_iter_next(&iter, &path, NULL)) {
        g_hash_table_iter_steal(&iter);
        g_hash_table_add(known, path);
    }
}

/* The schema of `settings`; "auto" may come to any that is installed. */
static void add_settings(GHashTable *known, const dp_settings *settings,
                         const char *const *dirs)
{
    if (strcmp(settings->schema, "auto") != 0) {
        add_schema(known, settings->schema, dirs);
        return;
    }
    json_t *list = dx_schema_list(dirs, NULL), *row;
    gsize i;
    json_array_foreach(list, i, row) {
        add_schema(known, json_string_value(json_object_get(row, "path")), dirs);
    }
    json_decref(list);
}

gboolean dp_config_check_fields(const dp_app *app, const dp_config *config,
                                const char *more, const char *level)
{
    if (config->routes == NULL)
        return TRUE;
    g_auto(GStrv) owned = dp_schema_dirs();
    const char *const *dirs = (const char *const *)owned;
    g_autoptr(GHashTable) known =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (more != NULL)
        add_schema(known, more, dirs);
    add_settings(known, &config->defaults, dirs);
    for (guint i = 0; i < config->folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(config->folders, i);
        add_settings(known, &f->settings, dirs);
        for (guint k = 0; k < f->subfolders->len; k++)
            add_settings(known,
                         &((dp_subfolder *)g_ptr_array_index(f->subfolders, k))->settings,
                         dirs);
    }
    g_autofree const char **list =
        (const char **)g_hash_table_get_keys_as_array(known, NULL);
    field_check c = { app, config, level, known, list, TRUE };
    dp_route_paths(config->routes, check_field, &c);
    return c.is_good;
}

dp_config *dp_config_open(const dp_app *app, const char *path, dp_exit *code)
{
    *code = DP_EXIT_CONFIG;
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_config) config = dp_config_load(path, &error);
    if (config == NULL) {
        dp_message_lines(app, "error", error->message);
        if (dp_error_is_temporary(error))
            *code = DP_EXIT_TEMPORARY;
        return NULL;
    }
    return check_schemas(app, config, code) ? g_steal_pointer(&config) : NULL;
}

int dp_cmd_config(dp_app *app, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "keys") == 0) {
        g_autofree char *keys = dp_facts_list(dp_config_facts());
        fputs(keys, stdout);
        return DP_EXIT_OK;
    }
    gboolean is_show = argc == 3 && strcmp(argv[1], "show") == 0;
    if (!is_show && !(argc == 3 && strcmp(argv[1], "check") == 0)) {
        dp_message(app, "error", "usage: docvl config check FILE | show FILE | keys");
        return DP_EXIT_USAGE;
    }
    dp_exit code;
    g_autoptr(dp_config) config = dp_config_open(app, argv[2], &code);
    if (config == NULL)
        return (int)code;
    if (!is_show && !dp_config_check_fields(app, config, NULL, "error"))
        return DP_EXIT_CONFIG;
    if (!is_show) {
        printf("%s: ok, %u folder%s\n", argv[2], config->folders->len,
               config->folders->len == 1 ? "" : "s");
        return DP_EXIT_OK;
    }
    json_t *all = dp_config_json(config);
    char *dump = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    puts(dump);
    free(dump);
    json_decref(all);
    return DP_EXIT_OK;
}

/*
 * cmd_config.c - docvl config: what a configuration file says, and whether it may.
 */
#include "app.h"
#include "config.h"

#include <string.h>

/* Schemas that settings name are found and sound. */
static gboolean check_schema(const dp_app *app, const dp_config *config,
                             const char *where, const dp_settings *settings,
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
    dp_message(app, "error", "%s: %s: schema %s: %s", config->file, where,
               settings->schema, error->message);
    if (dp_error_is_temporary(error))
        *code = DP_EXIT_TEMPORARY;
    return FALSE;
}

static gboolean check_schemas(const dp_app *app, const dp_config *config, dp_exit *code)
{
    gboolean is_good = check_schema(app, config, "defaults", &config->defaults, code);
    for (guint i = 0; i < config->folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(config->folders, i);
        is_good &= check_schema(app, config, f->path, &f->settings, code);
        for (guint k = 0; k < f->subfolders->len; k++) {
            const dp_subfolder *sub = g_ptr_array_index(f->subfolders, k);
            g_autofree char *where = g_build_filename(f->path, sub->name, NULL);
            is_good &= check_schema(app, config, where, &sub->settings, code);
        }
    }
    return is_good;
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

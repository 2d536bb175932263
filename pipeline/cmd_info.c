/*
 * cmd_info.c - schema and model: what is installed.
 */
#include "app.h"

#include <string.h>

static void print_json(json_t *node)
{
    char *dump = json_dumps(node, JSON_INDENT(2));
    puts(dump);
    free(dump);
}

static int list_schemas(dp_app *app, char **dirs)
{
    g_autoptr(GError) error = NULL;
    json_t *list = dx_schema_list((const char *const *)dirs, &error);
    if (list == NULL) {
        dp_message(app, "error", "%s", error->message);
        return dp_error_is_temporary(error) ? DP_EXIT_TEMPORARY : DP_EXIT_CONFIG;
    }
    gsize i;
    json_t *row;
    json_array_foreach(list, i, row) {
        const char *title = json_string_value(json_object_get(row, "title"));
        printf("%-12s %-4s %s\n", json_string_value(json_object_get(row, "name")),
               json_string_value(json_object_get(row, "version")),
               title != NULL ? title : "");
    }
    json_decref(list);
    return DP_EXIT_OK;
}

int dp_cmd_schema(dp_app *app, int argc, char **argv)
{
    g_auto(GStrv) dirs = dp_schema_dirs();
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list_schemas(app, dirs);
    gboolean is_show = argc == 3 && strcmp(argv[1], "show") == 0;
    if (!is_show && !(argc == 3 && strcmp(argv[1], "check") == 0)) {
        dp_message(app, "error", "usage: docvl schema list | show NAME | check FILE");
        return DP_EXIT_USAGE;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(dx_schema) schema =
        dx_schema_load(argv[2], (const char *const *)dirs, &error);
    if (schema == NULL) {
        dp_message(app, "error", "schema %s: %s", argv[2], error->message);
        return dp_error_is_temporary(error) ? DP_EXIT_TEMPORARY : DP_EXIT_CONFIG;
    }
    if (is_show)
        print_json((json_t *)dx_schema_json(schema));
    else
        printf("%s: ok, %s version %s\n", argv[2], dx_schema_name(schema),
               dx_schema_version(schema));
    return DP_EXIT_OK;
}

static json_t *model_facts(const vl_model_info *info)
{
    json_t *facts = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:b}", "name",
        info->name, "sha256", info->sha256, "family", info->family, "parameters",
        (json_int_t)info->parameters, "weight_bytes", (json_int_t)info->weight_bytes,
        "compute", info->compute, "kernels", info->kernels, "blas", info->blas, "layers",
        (int)info->layers, "hidden", (int)info->hidden, "vocab", (int)info->vocab, "tile",
        (int)info->tile, "context_max", (int)info->context_max, "text_head",
        (int)info->has_text_head);
    json_t *decoder =
        json_pack("{s:s, s:i, s:i, s:I, s:I}", "attention", info->attention, "experts",
                  (int)info->experts, "experts_used", (int)info->experts_used,
                  "parameters_token", (json_int_t)info->parameters_token,
                  "cache_bytes_token", (json_int_t)info->cache_token_bytes);
    json_object_update(facts, decoder);
    json_decref(decoder);
    return facts;
}

int dp_cmd_model(dp_app *app, int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "info") != 0) {
        dp_message(app, "error", "usage: docvl model info");
        return DP_EXIT_USAGE;
    }
    vl_model *model = NULL;
    dp_exit why;
    g_autoptr(dx_engine) engine = dp_open_engine(app, &model, &why);
    if (engine == NULL)
        return (int)why;
    json_t *facts = model_facts(vl_model_get_info(model));
    print_json(facts);
    json_decref(facts);
    vl_model_unref(model);
    return DP_EXIT_OK;
}

/*
 * cmd_info.c - schema, model and doctor: what is installed and whether it works.
 */
#include "app.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

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
        return DP_EXIT_CONFIG;
    }
    gsize i;
    json_t *row;
    json_array_foreach(list, i, row) {
        const char *title = json_string_value(json_object_get(row, "title"));
        printf("%-12s %-4s %s\n", json_string_value(json_object_get(row, "name")),
               json_string_value(json_object_get(row, "version")), title != NULL ? title : "");
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
    g_autoptr(dx_schema) schema = dx_schema_load(argv[2], (const char *const *)dirs, &error);
    if (schema == NULL) {
        dp_message(app, "error", "schema %s: %s", argv[2], error->message);
        return DP_EXIT_CONFIG;
    }
    if (is_show)
        print_json((json_t *)dx_schema_json(schema));
    else
        printf("%s: ok, %s version %s\n", argv[2], dx_schema_name(schema), dx_schema_version(schema));
    return DP_EXIT_OK;
}

static json_t *model_facts(const vl_model_info *info)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:b}", "name",
                     info->name, "sha256", info->sha256, "parameters", (json_int_t)info->parameters,
                     "weight_bytes", (json_int_t)info->weight_bytes, "compute", info->compute,
                     "kernels", info->kernels, "blas", info->blas, "layers", (int)info->layers,
                     "hidden", (int)info->hidden, "vocab", (int)info->vocab, "tile",
                     (int)info->tile, "context_max", (int)info->context_max, "text_head",
                     (int)info->has_text_head);
}

int dp_cmd_model(dp_app *app, int argc, char **argv)
{
    if (argc != 2 || strcmp(argv[1], "info") != 0) {
        dp_message(app, "error", "usage: docvl model info");
        return DP_EXIT_USAGE;
    }
    vl_model *model = NULL;
    g_autoptr(dx_engine) engine = dp_open_engine(app, &model);
    if (engine == NULL)
        return DP_EXIT_MODEL;
    json_t *facts = model_facts(vl_model_get_info(model));
    print_json(facts);
    json_decref(facts);
    vl_model_unref(model);
    return DP_EXIT_OK;
}

/* The smallest picture that goes the whole way through the sandbox: a 1x1 PNG. */
static const guint8 tiny_png[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d,
    0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01,
    0x08, 0x00, 0x00, 0x00, 0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00,
    0x0a, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0xf8, 0x0f, 0x00, 0x01,
    0x01, 0x01, 0x00, 0xb1, 0x38, 0xf6, 0x14, 0x00, 0x00, 0x00, 0x00, 0x49,
    0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
};

static gboolean check_worker(GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("docvl-doctor-XXXXXX", &path, error);
    if (fd < 0)
        return FALSE;
    (void)g_unlink(path); /* the descriptor is enough */
    if (write(fd, tiny_png, sizeof tiny_png) != (gssize)sizeof tiny_png)
        return g_close(fd, error);
    g_autoptr(dp_document) document = dp_document_open(fd, "the test picture", NULL, error);
    g_close(fd, NULL);
    g_autoptr(dp_pixels) pixels =
        document != NULL ? dp_document_render(document, 0, 0, 0, 1, error) : NULL;
    return pixels != NULL;
}

int dp_cmd_doctor(dp_app *app, int argc, char **argv)
{
    int code = DP_EXIT_OK;
    vl_bench bench = { 0 };
    vl_bench_run(200, &bench);
    printf("docvl      %s\nkernels    %s, int8 %.0f GOPS a thread\nblas       %s, fp32 %.0f GFLOPS a thread\n",
           DOCVL_VERSION, bench.kernels, bench.gops_int8, bench.blas, bench.gflops_fp32);
    g_autoptr(GError) error = NULL;
    gboolean is_fine = check_worker(&error);
    printf("render     %s\n", is_fine ? "ok, in its sandbox" : error->message);
    if (!is_fine)
        code = DP_EXIT_USAGE;
    g_auto(GStrv) dirs = dp_schema_dirs();
    g_clear_error(&error);
    json_t *list = dx_schema_list((const char *const *)dirs, &error);
    printf("schemas    %zu in %s\n", json_array_size(list), dirs[0]);
    json_decref(list);
    vl_model *model = NULL;
    g_autoptr(dx_engine) engine = dp_open_engine(app, &model);
    if (engine == NULL) {
        puts("model      cannot be opened");
        return DP_EXIT_MODEL;
    }
    const vl_model_info *info = vl_model_get_info(model);
    printf("model      %s, %.1f million parameters, %s, sha256 %.16s…\n", info->name,
           (double)info->parameters / 1e6, info->compute, info->sha256);
    vl_model_unref(model);
    return code;
}

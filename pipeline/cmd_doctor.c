/*
 * cmd_doctor.c - docvl doctor: whether everything is in place and works, and what this
 * machine makes of it.
 *
 * A line for each part.  The first part that does not work decides the exit status, and
 * the lines of the others still come.
 */
#include "app.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { BENCH_MS = 200, PAGE_W = 1240, PAGE_H = 1754 }; /* A4 at 150 dpi */

/* The smallest picture that goes the whole way through the sandbox: a 1x1 PNG. */
static const guint8 tiny_png[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48,
    0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00,
    0x00, 0x3a, 0x7e, 0x9b, 0x55, 0x00, 0x00, 0x00, 0x0a, 0x49, 0x44, 0x41, 0x54, 0x78,
    0x9c, 0x63, 0xf8, 0x0f, 0x00, 0x01, 0x01, 0x01, 0x00, 0xb1, 0x38, 0xf6, 0x14, 0x00,
    0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
};

static void tell_machine(void)
{
    struct utsname name;
    vl_bench bench = { 0 };
    vl_bench_run(BENCH_MS, &bench);
    printf("docvl      %s\n", DOCVL_VERSION);
    if (uname(&name) == 0)
        printf("system     %s %s, %s, %u processors\n", name.sysname, name.release,
               name.machine, g_get_num_processors());
    printf("kernels    %s, int8 %.0f GOPS a thread\n", bench.kernels, bench.gops_int8);
    printf("blas       %s, fp32 %.0f GFLOPS a thread\n", bench.blas, bench.gflops_fp32);
    printf("libraries  GLib %u.%u.%u, jansson %s\n", glib_major_version,
           glib_minor_version, glib_micro_version, jansson_version_str());
}

/* A document through docvl-render, and what that says of itself. */
static gboolean open_picture(const dp_app *app, GError **error)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("docvl-doctor-XXXXXX", &path, error);
    if (fd < 0)
        return FALSE;
    (void)g_unlink(path); /* the descriptor is enough */
    if (write(fd, tiny_png, sizeof tiny_png) != (gssize)sizeof tiny_png) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_TEMPORARY, "a temporary file: %s",
                    g_strerror(errno));
        (void)g_close(fd, NULL); /* the error above says more */
        return FALSE;
    }
    dp_render_opts opts = { .limits = app->limits };
    g_autoptr(dp_document) document =
        dp_document_open(fd, "the test picture", &opts, error);
    (void)g_close(fd, NULL); /* only read from */
    g_autoptr(dp_pixels) pixels =
        document != NULL ? dp_document_render(document, 0, 0, 0, 1, error) : NULL;
    return pixels != NULL;
}

static int tell_render(const dp_app *app)
{
    g_autoptr(GError) error = NULL;
    if (!open_picture(app, &error)) {
        printf("render     %s\n", error->message);
        return (int)dp_exit_of(error) == DP_EXIT_TEMPORARY ? DP_EXIT_TEMPORARY
                                                           : DP_EXIT_USAGE;
    }
    g_autofree char *path = dp_render_path(NULL);
    g_autofree char *facts = NULL;
    char *argv[] = { path, (char *)"--version", NULL };
    int status = 0;
    puts("render     ok");
    if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &facts,
                      NULL, &status, &error) ||
        status != 0 || !g_utf8_validate(facts, -1, NULL)) {
        printf("sandbox    %s\n",
               error != NULL ? error->message : "docvl-render says nothing");
        return DP_EXIT_USAGE;
    }
    fputs(facts, stdout);
    return DP_EXIT_OK;
}

static int tell_schemas(void)
{
    g_auto(GStrv) dirs = dp_schema_dirs();
    g_autoptr(GError) error = NULL;
    json_t *list = dx_schema_list((const char *const *)dirs, &error);
    if (list == NULL) {
        printf("schemas    %s\n", error->message);
        return DP_EXIT_CONFIG;
    }
    gsize count = json_array_size(list);
    json_decref(list);
    g_autofree char *joined = g_strjoinv(":", dirs);
    printf("schemas    %zu in %s\n", count, joined);
    return count > 0 ? DP_EXIT_OK : DP_EXIT_CONFIG;
}

/* Seconds to read a page: the tower's work does not depend on what is on it. */
static gboolean time_page(vl_model *model, double *seconds)
{
    g_autofree guint8 *paper = g_malloc(PAGE_W * PAGE_H);
    memset(paper, 0xff, PAGE_W * PAGE_H);
    const vl_image image = { .data = paper,
                             .width = PAGE_W,
                             .height = PAGE_H,
                             .channels = 1,
                             .row_bytes = PAGE_W };
    const vl_vision_opts opts = { .is_text_only = true };
    vl_error err = { 0 };
    gint64 start = g_get_monotonic_time();
    vl_vision *vision = vl_vision_new(model, &image, &opts, &err);
    vl_text *text = vision != NULL ? vl_text_read(vision, &err) : NULL;
    *seconds = (double)(g_get_monotonic_time() - start) / 1e6;
    vl_text_free(text);
    vl_vision_unref(vision);
    return text != NULL;
}

static int tell_model(const dp_app *app)
{
    vl_model *model = NULL;
    dp_exit why;
    g_autoptr(dx_engine) engine = dp_open_engine(app, &model, &why);
    if (engine == NULL) {
        puts("model      cannot be opened");
        return (int)why;
    }
    const vl_model_info *info = vl_model_get_info(model);
    printf("model      %s, %.1f million parameters, %s, %.0f MiB\nhash       %s\n",
           info->name, (double)info->parameters / 1e6, info->compute,
           (double)info->weight_bytes / (1 << 20), info->sha256);
    double seconds;
    if (info->has_text_head && time_page(model, &seconds))
        printf("reading    %.1f s for an A4 page at 150 dpi\n", seconds);
    vl_model_unref(model);
    return DP_EXIT_OK;
}

int dp_cmd_doctor(dp_app *app, int argc, char **argv)
{
    if (argc > 1) {
        dp_message(app, "error", "usage: docvl doctor");
        return DP_EXIT_USAGE;
    }
    tell_machine();
    int codes[] = { tell_render(app), tell_schemas(), tell_model(app) };
    for (gsize i = 0; i < G_N_ELEMENTS(codes); i++)
        if (codes[i] != DP_EXIT_OK)
            return codes[i];
    return DP_EXIT_OK;
}

/*
 * app.c - messages, folders, opening the model and documents.
 */
#include "app.h"

#include "notify.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#ifndef DOCVL_DATADIR
#error "the build sets DOCVL_DATADIR"
#endif

#define SIGNAL_TRIES     5
#define DRAWN_DPI        200.0 /* shows print of 5 points */
#define DRAWN_PIXELS_MAX 64000000u

static gint is_progress_shown; /* atomic: every thread has messages */

static gboolean is_terminal(void)
{
    return isatty(STDERR_FILENO) != 0 && g_strcmp0(g_getenv("TERM"), "dumb") != 0;
}

void dp_progress_end(const dp_app *app)
{
    if (g_atomic_int_compare_and_exchange(&is_progress_shown, TRUE, FALSE))
        fputs("\r\033[K", stderr);
}

void dp_progress(const dp_app *app, const char *format, ...)
{
    if (app->is_quiet || app->is_json_log || !is_terminal())
        return;
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    fprintf(stderr, "\r\033[K%s", text);
    fflush(stderr);
    g_atomic_int_set(&is_progress_shown, TRUE);
}

/* What the system journal reads in front of a line (sd-daemon(3)). */
static const char *journal_priority(const char *level)
{
    if (!dp_stderr_is_journal())
        return "";
    return strcmp(level, "error") == 0     ? "<3>"
           : strcmp(level, "warning") == 0 ? "<4>"
                                           : "<6>";
}

void dp_message(const dp_app *app, const char *level, const char *format, ...)
{
    if (app->is_quiet && strcmp(level, "error") != 0)
        return;
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    for (char *c = text; *c != '\0'; c++) /* a file name must not steer the terminal */
        if (g_ascii_iscntrl(*c))
            *c = '?';
    dp_progress_end(app);
    if (app->is_json_log) {
        g_autofree char *valid = g_utf8_make_valid(text, -1);
        json_t *line =
            json_pack("{s:s, s:I, s:s}", "level", level, "time",
                      (json_int_t)(g_get_real_time() / 1000000), "message", valid);
        char *dump = json_dumps(line, JSON_COMPACT);
        fprintf(stderr, "%s%s\n", journal_priority(level), dump);
        free(dump);
        json_decref(line);
        return;
    }
    const char *no_color = g_getenv("NO_COLOR");
    gboolean is_red = strcmp(level, "error") == 0 && is_terminal() &&
                      (no_color == NULL || *no_color == '\0');
    if (dp_stderr_is_journal()) { /* which knows our name and the time */
        fprintf(stderr, "%s%s\n", journal_priority(level), text);
        return;
    }
    fprintf(stderr, "%sdocvl: %s%s\n", is_red ? "\033[31m" : "", text,
            is_red ? "\033[0m" : "");
}

void dp_message_lines(const dp_app *app, const char *level, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++)
        dp_message(app, level, "%s", *line);
}

/* ---- signals --------------------------------------------------------------- */

void dp_signal_write(int fd, char byte)
{
    int saved = errno;
    for (int i = 0; i < SIGNAL_TRIES; i++)
        if (write(fd, &byte, 1) == 1 || errno == EAGAIN)
            break;
    errno = saved;
}

/* ---- folders --------------------------------------------------------------- */

static char *program_dir(void)
{
    g_autofree char *path = g_file_read_link("/proc/self/exe", NULL);
    return path != NULL ? g_path_get_dirname(path) : g_strdup(".");
}

/* Where our data lies: in the source tree two folders up from a program in the build tree
 * (`tree`), in the share folder of the prefix that the program stands in, or where it was
 * built to be installed.  `probe` is a file that must be there. */
static char *data_dir(const char *tree, const char *installed, const char *probe)
{
    g_autofree char *here = program_dir();
    char *places[] = { g_build_filename(here, "..", "..", tree, NULL),
                       g_build_filename(here, "..", "share", "docvl", installed, NULL) };
    char *found = NULL;
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *file = g_build_filename(places[i], probe, NULL);
        if (found == NULL && g_file_test(file, G_FILE_TEST_EXISTS))
            found = g_canonicalize_filename(places[i], NULL);
        g_free(places[i]);
    }
    return found != NULL ? found : g_build_filename(DOCVL_DATADIR, installed, NULL);
}

char *dp_model_dir(const dp_app *app)
{
    if (app->model_dir != NULL)
        return g_strdup(app->model_dir);
    const char *env = g_getenv("DOCVL_MODEL");
    if (env != NULL && *env != '\0')
        return g_strdup(env);
    return data_dir("model/nano", "model", "config.json");
}

char **dp_schema_dirs(void)
{
    GPtrArray *dirs = g_ptr_array_new();
    const char *env = g_getenv("DOCVL_SCHEMAS");
    if (env != NULL && *env != '\0') {
        g_auto(GStrv) parts = g_strsplit(env, ":", -1);
        for (char **part = parts; *part != NULL; part++)
            if (**part != '\0')
                g_ptr_array_add(dirs, g_strdup(*part));
    }
    g_ptr_array_add(dirs, data_dir("schemas", "schemas", "invoice.yaml"));
    g_ptr_array_add(dirs, NULL);
    return (char **)g_ptr_array_free(dirs, FALSE);
}

dx_engine *dp_open_engine(const dp_app *app, vl_model **model, dp_exit *code)
{
    g_autofree char *dir = dp_model_dir(app);
    vl_error err = { 0 };
    vl_model_opts opts = { .threads = (uint32_t)app->threads };
    const char *compute = g_getenv("DOCVL_COMPUTE");
    if (g_strcmp0(compute, "fp32") == 0)
        opts.compute = VL_COMPUTE_FP32;
    vl_model *opened = vl_model_open(dir, &opts, &err);
    *code = DP_EXIT_MODEL;
    if (opened == NULL) {
        if (err.code == VL_NOMEM)
            *code = DP_EXIT_TEMPORARY;
        dp_message(app, "error", "model %s: %s", dir, err.text);
        return NULL;
    }
    g_autoptr(GError) error = NULL;
    dx_engine *engine = dx_engine_new(opened, &error);
    if (engine == NULL) {
        dp_message(app, "error", "model %s: %s", dir, error->message);
        vl_model_unref(opened);
        return NULL;
    }
    if (model != NULL)
        *model = opened;
    else
        vl_model_unref(opened);
    return engine;
}

/* ---- documents -------------------------------------------------------------- */

static void wait_begin(const dp_input_waits *waits)
{
    if (waits->begin != NULL)
        waits->begin(waits->user);
}

static void wait_end(const dp_input_waits *waits)
{
    if (waits->end != NULL)
        waits->end(waits->user);
}

static gboolean page_info(dp_input *input, uint32_t index, dp_page_info *info,
                          GError **error)
{
    wait_begin(&input->waits);
    gboolean is_ok = dp_document_page_info(input->document, index, info, error);
    wait_end(&input->waits);
    return is_ok;
}

static gboolean source_page(void *user, uint32_t index, dx_page_facts *facts,
                            GError **error)
{
    dp_input *input = user;
    dp_page_info info = { 0 };
    if (!page_info(input, index, &info, error))
        return FALSE;
    *facts = (dx_page_facts){ .width_pt = info.width_pt,
                              .height_pt = info.height_pt,
                              .has_text = info.has_text,
                              .is_drawn = info.width_px == 0 && info.scan_dpi == 0 };
    return TRUE;
}

static void clear_word(gpointer data)
{
    g_free(((dx_word *)data)->text);
}

static GArray *source_words(void *user, uint32_t index, GError **error)
{
    dp_input *input = user;
    wait_begin(&input->waits);
    g_autoptr(GArray) from = dp_document_text(input->document, index, error);
    wait_end(&input->waits);
    if (from == NULL)
        return NULL;
    GArray *words = g_array_sized_new(FALSE, TRUE, sizeof(dx_word), from->len);
    g_array_set_clear_func(words, clear_word);
    for (guint i = 0; i < from->len; i++) {
        const dp_render_word *w = &g_array_index(from, dp_render_word, i);
        double em = w->font_size > 0 ? w->font_size : (w->y1 - w->y0) * 0.85;
        dx_word word = { .text = g_strdup(w->text),
                         .x0 = w->x0,
                         .y0 = w->y0,
                         .x1 = w->x1,
                         .y1 = w->y1,
                         .em = em,
                         .prob = 1 };
        g_array_append_val(words, word);
    }
    return words;
}

/* Pixels in which a page of a PDF is looked at: those of its scan, or half, a third, ..
 * of them or twice, three times, .. as many, so that none is cut; else DRAWN_DPI. */
static void pdf_size(const dp_page_info *info, const dp_render_limits *limits,
                     uint32_t *width, uint32_t *height)
{
    double dpi = DRAWN_DPI, area = info->width_pt * info->height_pt / (72.0 * 72.0);
    uint64_t most = limits->pixels_max > 0 ? limits->pixels_max : DP_PIXELS_MAX;
    if (info->scan_dpi >= 2 * DRAWN_DPI)
        dpi = info->scan_dpi / floor(info->scan_dpi / DRAWN_DPI);
    else if (info->scan_dpi > 0)
        dpi = info->scan_dpi * ceil(DRAWN_DPI / info->scan_dpi);
    dpi = MIN(dpi, sqrt((double)MIN(most, DRAWN_PIXELS_MAX) / area));
    dpi = MIN(dpi, DP_SIDE_MAX * 72.0 / MAX(info->width_pt, info->height_pt));
    *width = (uint32_t)MAX(info->width_pt * dpi / 72 + 0.5, 1);
    *height = (uint32_t)MAX(info->height_pt * dpi / 72 + 0.5, 1);
}

static gboolean source_picture(void *user, uint32_t index, uint32_t width,
                               uint32_t height, vl_image *image, GError **error)
{
    dp_input *input = user;
    dp_page_info info = { 0 };
    if (width == 0 && dp_document_get_info(input->document)->kind == DP_FILE_PDF) {
        if (!page_info(input, index, &info, error))
            return FALSE;
        pdf_size(&info, &input->limits, &width, &height);
    }
    g_clear_pointer(&input->pixels, dp_pixels_free);
    wait_begin(&input->waits);
    input->pixels = dp_document_render(input->document, index, width, height, 1, error);
    wait_end(&input->waits);
    if (input->pixels == NULL)
        return FALSE;
    if (input->pixels->is_damaged && input->damaged_page == 0)
        input->damaged_page = index + 1;
    *image = (vl_image){ .data = input->pixels->data,
                         .width = input->pixels->width,
                         .height = input->pixels->height,
                         .channels = input->pixels->channels,
                         .row_bytes = input->pixels->row_bytes };
    return TRUE;
}

static GBytes *source_attachment(void *user, uint32_t index, char **name, GError **error)
{
    dp_input *input = user;
    wait_begin(&input->waits);
    GBytes *bytes = dp_document_attachment(input->document, index, name, error);
    wait_end(&input->waits);
    return bytes;
}

static void clear_form_field(gpointer data)
{
    g_free(((dx_form_field *)data)->name);
    g_free(((dx_form_field *)data)->value);
    g_free(((dx_form_field *)data)->hint);
}

static GArray *source_fields(void *user, GError **error)
{
    dp_input *input = user;
    wait_begin(&input->waits);
    g_autoptr(GArray) from = dp_document_fields(input->document, error);
    wait_end(&input->waits);
    if (from == NULL)
        return NULL;
    GArray *fields = g_array_new(FALSE, TRUE, sizeof(dx_form_field));
    g_array_set_clear_func(fields, clear_form_field);
    for (guint i = 0; i < from->len; i++) {
        const dp_render_field *f = &g_array_index(from, dp_render_field, i);
        dx_form_field field = { .name = g_strdup(f->name),
                                .value = g_strdup(f->value),
                                .hint = g_strdup(f->hint),
                                .is_choice = f->is_choice,
                                .page_index = f->page_index,
                                .x0 = f->x0,
                                .y0 = f->y0,
                                .x1 = f->x1,
                                .y1 = f->y1 };
        g_array_append_val(fields, field);
    }
    return fields;
}

/* Each password in a process of its own.  NULL: none opens it. */
static dp_document *open_one_by_one(int fd, const char *name, const dp_render_opts *opts)
{
    for (const char *const *p = opts->passwords; *p != NULL; p++) {
        const char *const alone[] = { *p, NULL };
        dp_render_opts with_one = *opts;
        with_one.passwords = alone;
        dp_document *document = dp_document_open(fd, name, &with_one, NULL);
        if (document != NULL)
            return document;
    }
    return NULL;
}

/* Poppler 22.12 crashes on some wrong passwords.  The right one may stand behind such a one
 * in the list; when none is right, the file asked without any says that it is encrypted:
 * that is what the user must hear. */
static dp_document *open_document(int fd, const char *name, const dp_render_opts *opts,
                                  GError **error)
{
    g_autoptr(GError) first = NULL;
    dp_document *document = dp_document_open(fd, name, opts, &first);
    if (document != NULL)
        return document;
    if (opts->passwords != NULL &&
        g_error_matches(first, DP_RENDER_ERROR, DP_RENDER_CRASHED)) {
        document = open_one_by_one(fd, name, opts);
        if (document != NULL)
            return document;
        dp_render_opts plain = *opts;
        plain.passwords = NULL;
        g_autoptr(GError) second = NULL;
        g_autoptr(dp_document) again = dp_document_open(fd, name, &plain, &second);
        if (again == NULL &&
            g_error_matches(second, DP_RENDER_ERROR, DP_RENDER_ENCRYPTED)) {
            g_propagate_error(error, g_steal_pointer(&second));
            return NULL;
        }
    }
    g_propagate_error(error, g_steal_pointer(&first));
    return NULL;
}

static int open_input(const char *path, GError **error)
{
    gboolean is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                      : dp_open_file(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        g_autoptr(GError) io = NULL;
        (void)dp_fail_errno(&io, "opening", path);
        int code = dp_error_is_temporary(io) ? DP_RENDER_TEMPORARY : DP_RENDER_UNREADABLE;
        g_set_error(error, DP_RENDER_ERROR, code, "%s: %s", path, g_strerror(io->code));
        return -1;
    }
    struct stat st;
    if (!is_stdin && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                    "%s: not a regular file", path);
        close(fd);
        return -1;
    }
    return fd;
}

dp_input *dp_input_open_with(const char *path, const dp_render_opts *opts,
                             const dp_input_waits *waits, GError **error)
{
    const dp_input_waits none = { 0 };
    gboolean is_stdin = strcmp(path, "-") == 0;
    int fd = open_input(path, error);
    if (fd < 0)
        return NULL;
    const char *name = is_stdin ? "stdin" : path;
    wait_begin(waits != NULL ? waits : &none);
    dp_document *document = open_document(fd, name, opts, error);
    wait_end(waits != NULL ? waits : &none);
    close(fd);
    if (document == NULL)
        return NULL;
    dp_input *input = g_new0(dp_input, 1);
    const dp_document_info *info = dp_document_get_info(document);
    input->path = g_strdup(path);
    input->name = is_stdin ? g_strdup("stdin") : g_path_get_basename(path);
    input->document = document;
    input->limits = opts->limits;
    input->waits = waits != NULL ? *waits : none;
    input->source = (dx_source){
        .user = input,
        .page_count = info->page_count,
        .page = source_page,
        .words = source_words,
        .picture = source_picture,
        .attachment_count = info->attachment_count,
        .attachment = source_attachment,
        .fields = info->field_count > 0 ? source_fields : NULL,
    };
    return input;
}

dp_input *dp_input_open(const dp_app *app, const char *path, GError **error)
{
    const dp_render_opts opts = { .limits = app->limits,
                                  .passwords = (const char *const *)app->passwords,
                                  .cancellable = app->cancellable };
    return dp_input_open_with(path, &opts, NULL, error);
}

void dp_input_free(dp_input *input)
{
    if (input == NULL)
        return;
    g_clear_pointer(&input->pixels, dp_pixels_free);
    dp_document_free(input->document);
    g_free(input->path);
    g_free(input->name);
    g_free(input);
}

gboolean dp_input_mark_damage(const dp_input *input, json_t *result)
{
    if (input->damaged_page == 0)
        return FALSE;
    json_object_set_new(result, "damaged_page", json_integer(input->damaged_page));
    const char *status = json_string_value(json_object_get(result, "status"));
    if (g_strcmp0(status, "ok") == 0)
        json_object_set_new(result, "status", json_string("review"));
    return TRUE;
}

/* A variable that is 0 or 1. */
static gboolean read_switch(const char *name, gboolean otherwise, gboolean *is_on,
                            GError **error)
{
    const char *text = g_getenv(name);
    *is_on = otherwise;
    if (text == NULL || *text == '\0')
        return TRUE;
    *is_on = strcmp(text, "1") == 0;
    if (*is_on || strcmp(text, "0") == 0)
        return TRUE;
    g_set_error(error, DX_ERROR, DX_LIMIT, "%s %s: 0 or 1", name, text);
    return FALSE;
}

gboolean dp_dx_options(const dp_app *app, dx_options *options, GError **error)
{
    const char *text = app->text != NULL ? app->text : "auto";
    if (strcmp(text, "auto") == 0)
        options->text = DX_TEXT_AUTO;
    else if (strcmp(text, "always") == 0)
        options->text = DX_TEXT_ALWAYS;
    else if (strcmp(text, "never") == 0)
        options->text = DX_TEXT_NEVER;
    else {
        g_set_error(error, DX_ERROR, DX_LIMIT, "--text %s: auto, always or never", text);
        return FALSE;
    }
    gboolean is_copied;
    if (!read_switch("DOCVL_VISION", FALSE, &options->is_vision_used, error) ||
        !read_switch("DOCVL_COPY", TRUE, &is_copied, error))
        return FALSE;
    options->is_free = !is_copied;
    options->cancellable = app->cancellable;
    return TRUE;
}

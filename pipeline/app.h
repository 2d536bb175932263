/*
 * app.h - what the commands of docvl share: options, exit codes, messages, documents.
 */
#ifndef DP_APP_H
#define DP_APP_H

#include "dx.h"
#include "render.h"

/* Stable: add, never renumber. */
typedef enum dp_exit {
    DP_EXIT_OK = 0,
    DP_EXIT_USAGE = 1, /* usage or internal */
    DP_EXIT_UNREADABLE = 2,
    DP_EXIT_SOME_FAILED = 3,
    DP_EXIT_REVIEW = 4,
    DP_EXIT_MODEL = 7,
    DP_EXIT_ENCRYPTED = 8,
    DP_EXIT_CONFIG = 9,
    DP_EXIT_TEMPORARY = 75,
    DP_EXIT_INTERRUPTED = 130,
    DP_EXIT_TERMINATED = 143,
} dp_exit;

/* Limits that have an option (limits.c). */
typedef enum dp_limit {
    DP_LIMIT_PAGES,
    DP_LIMIT_BYTES,
    DP_LIMIT_PIXELS,
    DP_LIMIT_SECONDS,
    DP_LIMIT_COUNT
} dp_limit;

typedef struct dp_app {
    char *model_dir;
    int threads;
    gboolean is_json_log, is_quiet;
    char **passwords;
    char *text; /* auto, always, never */
    GCancellable *cancellable;
    char
        *limit_texts[DP_LIMIT_COUNT]; /* as given; NULL: the variable, else the default */
    dp_render_limits limits;          /* of dp_limits_read() */
} dp_app;

/* Messages on stderr: "docvl: text", or a JSON line with --json. */
void dp_message(const dp_app *app, const char *level, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
/* A message for each line of `text`: the mistakes of a configuration stand on one each, so
 * that an editor can jump to them. */
void dp_message_lines(const dp_app *app, const char *level, const char *text);
/* A line that is overwritten by the next; on a terminal only. */
void dp_progress(const dp_app *app, const char *format, ...) G_GNUC_PRINTF(2, 3);
void dp_progress_end(const dp_app *app);

/* Limits from options and environment into app->limits. */
gboolean dp_limits_read(dp_app *app, GError **error);

/* Folders: option, environment, build tree, beside the program's prefix, installed.  Caller
 * frees. */
char *dp_model_dir(const dp_app *app);
char **dp_schema_dirs(void);

/* Open model and engine; on failure says why and returns NULL (*code: DP_EXIT_MODEL, or
 * DP_EXIT_TEMPORARY when there was no memory, thread or descriptor for it).  `model` may be
 * NULL, else the caller owns a reference. */
dx_engine *dp_open_engine(const dp_app *app, vl_model **model, dp_exit *code);

/* Called around every wait for the document's reader; may be NULL. */
typedef struct dp_input_waits {
    void (*begin)(void *user);
    void (*end)(void *user);
    void *user;
} dp_input_waits;

/* A document as a dx_source.  `path` may be "-". */
typedef struct dp_input {
    char *path, *name;
    dp_document *document;
    dp_pixels *pixels; /* of the last picture asked for */
    guint
        damaged_page; /* first page of whose picture a part could not be decoded; 0: none */
    dx_source source;
    dp_render_limits limits;
    dp_input_waits waits;
} dp_input;

dp_input *dp_input_open(const dp_app *app, const char *path, GError **error);
/* `waits` may be NULL and is copied. */
dp_input *dp_input_open_with(const char *path, const dp_render_opts *opts,
                             const dp_input_waits *waits, GError **error);
void dp_input_free(dp_input *input);
/* A result of a document that was only partly decoded is never "ok": status becomes
 * "review" and the member "damaged_page" says from which page on.  TRUE when it was. */
gboolean dp_input_mark_damage(const dp_input *input, json_t *result);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_input, dp_input_free)

/* Options of the extractors as the command line gave them. */
gboolean dp_dx_options(const dp_app *app, dx_options *options, GError **error);

/* Errors of system calls: the code is errno. */
#define DP_IO_ERROR (dp_io_error_quark())
GQuark dp_io_error_quark(void);
/* Set such an error, "`what` `path`: reason", from errno; returns FALSE. */
gboolean dp_fail_errno(GError **error, const char *what, const char *path);
/* open(2), again when a signal interrupts it. */
int dp_open_file(const char *path, int flags);

/* Exit code that an error stands for. */
dp_exit dp_exit_of(const GError *error);
const char *dp_error_name(const GError *error);
/* The exit code of a run over several documents. */
typedef struct dp_tally {
    guint ok, review, failed;
    dp_exit only; /* exit code of all failures; of different ones DP_EXIT_SOME_FAILED */
} dp_tally;
void dp_tally_fail(dp_tally *tally, dp_exit code);
dp_exit dp_tally_exit(const dp_tally *tally, const dp_app *app);

/* Write `bytes` to `path` so that a reader never sees half of it and a crash loses
 * nothing: temporary name in the same folder, fsync, rename, fsync of the folder.  The
 * temporary name (dp_part_path) is the same every time, so that what a crash leaves is used
 * up by the next try.  Errors are of DP_IO_ERROR. */
gboolean dp_publish(const char *path, const char *bytes, gsize length, GError **error);
/* The same, but what has the name already is not replaced: EEXIST. */
gboolean dp_publish_new(const char *path, const char *bytes, gsize length,
                        GError **error);
/* The same for what does not fit into memory: `writer` writes to fd and returns FALSE with
 * errno set when it can't. */
typedef gboolean (*dp_writer)(void *user, int fd);
gboolean dp_publish_by(const char *path, dp_writer writer, void *user, GError **error);
/* .NAME.part beside `path`; of a NAME that leaves no room, its hash. Caller frees. */
char *dp_part_path(const char *path);
/* write(2) until all is written; FALSE with errno. */
gboolean dp_write_all(int fd, const char *bytes, gsize length);

/* {"a": {"value": …}} to {"a": …}, all the way down. */
json_t *dp_plain(const json_t *node);
/* A cell of an RFC 4180 line; a comma first when the line is not empty. */
void dp_csv_cell(GString *line, const char *text);
/* One line of the minimal view (section 4.6); `header` gives the column names. */
char *dp_csv_header(void);
char *dp_csv_line(const json_t *result);

/* Is it the fault of the machine or the file system, not of the file?  EBUSY, ENOSPC, EDQUOT,
 * ETXTBSY, ESTALE, EMFILE, ENFILE, ENOMEM, EAGAIN, EINTR, EROFS, and a server that is away. */
gboolean dp_errno_is_temporary(int code);
/* May the same thing work in a moment?  Such a code; a journal that is busy or cannot be
 * written; DP_RENDER_TEMPORARY. */
gboolean dp_error_is_temporary(const GError *error);

int dp_cmd_extract(dp_app *app, int argc, char **argv);
int dp_cmd_read(dp_app *app, int argc, char **argv);
int dp_cmd_classify(dp_app *app, int argc, char **argv);
int dp_cmd_schema(dp_app *app, int argc, char **argv);
int dp_cmd_model(dp_app *app, int argc, char **argv);
int dp_cmd_doctor(dp_app *app, int argc, char **argv);
int dp_cmd_status(dp_app *app, int argc, char **argv);
int dp_cmd_retry(dp_app *app, int argc, char **argv);
int dp_cmd_quarantine(dp_app *app, int argc, char **argv);
int dp_cmd_journal(dp_app *app, int argc, char **argv);
int dp_cmd_batch(dp_app *app, int argc, char **argv);
int dp_cmd_route(dp_app *app, int argc, char **argv);
int dp_cmd_config(dp_app *app, int argc, char **argv);

/* For a signal's handler: a byte into the pipe whose other end somebody waits at.  Tried again
 * when it fails, since unheard a watcher would never end; a pipe that is full (EAGAIN) will be
 * read anyway.  errno stays. */
void dp_signal_write(int fd, char byte);

/* Load a configuration and check the schemas that it names; messages are out when it
 * returns NULL (*code: DP_EXIT_CONFIG, or DP_EXIT_TEMPORARY when it could not be read now).
 * Caller frees. */
struct dp_config;
struct dp_config *dp_config_open(const dp_app *app, const char *path, dp_exit *code);
/* Does each field that the routes name exist in a schema that documents may have?  Those of
 * the configuration count, and `more` (a name or a path; NULL: none).  FALSE after a message
 * of `level` for each that does not. */
gboolean dp_config_check_fields(const dp_app *app, const struct dp_config *config,
                                const char *more, const char *level);

#endif

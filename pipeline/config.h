/*
 * config.h - a configuration file as a checked tree and as a struct.
 *
 * YAML, described by schemas/config.schema.json and docvl.yaml(5).  Every mistake of a
 * file is found in one go; each line of the error's text is "FILE:LINE:COLUMN: /pointer:
 * what is wrong".  A dp_config is immutable once loaded and may be read by any thread.
 */
#ifndef DP_CONFIG_H
#define DP_CONFIG_H

#include "facts.h"

#define DP_CONFIG_ERROR (dp_config_error_quark())
GQuark dp_config_error_quark(void);
typedef enum dp_config_code {
    DP_CONFIG_UNREADABLE = 1, /* no such file, no permission */
    DP_CONFIG_WRONG,          /* not what docvl.yaml(5) says */
} dp_config_code;

enum { DP_FOLDERS_MAX = 64, DP_WORKERS_MAX = 64, DP_THREADS_MAX = 1024 };

/* How a document is worked on: subfolder, folder, profile and defaults laid over each
 * other, the narrowest first. */
typedef struct dp_settings {
    char *profile; /* the name of the narrowest one, "" for none */
    char *schema;  /* "auto", a name, or an absolute path */
    char *text;    /* auto, always, never */
    char **labels; /* classes, NULL: the default list */
    gboolean is_classified;
    guint pages_max; /* looked at for fields */
    double review_below;
    int priority; /* higher goes first */
} dp_settings;

typedef enum dp_on_done { DP_DONE_MOVE, DP_DONE_KEEP, DP_DONE_DELETE } dp_on_done;
typedef enum dp_poll { DP_POLL_AUTO, DP_POLL_YES, DP_POLL_NO } dp_poll;

typedef struct dp_subfolder {
    char *name;
    dp_settings settings;
} dp_subfolder;

typedef struct dp_folder_config {
    char *path, *out, *failed, *done; /* absolute, without "." or ".." */
    dp_settings settings;
    dp_on_done on_done;
    dp_poll poll;
    gint64 settle_us, poll_us, rescan_us;
    char *marker;  /* suffix of the marker file, or NULL */
    char **ignore; /* globs beside the built-in ones */
    gboolean is_recursive;
    GPtrArray *subfolders; /* of dp_subfolder */
} dp_folder_config;

typedef struct dp_batch_config {
    char **from; /* files and folders */
    char *out;   /* NULL when the file has no batch part */
    char **include, **exclude;
    gboolean is_recursive;
    char *report, *lock;
    gint64 max_time_us; /* 0: no limit */
} dp_batch_config;

typedef struct dp_config dp_config;
struct dp_config {
    char *file;
    char *journal, *model; /* NULL: the program's default */
    char *metrics_file, *status_file, *passwords_file;
    guint threads, workers; /* 0: one a CPU */
    guint64 memory_bytes;   /* 0: the program's default */
    dp_settings defaults;
    GPtrArray *folders; /* of dp_folder_config */
    dp_batch_config batch;
    json_t *routes;  /* borrowed from `tree`; NULL when there are none */
    json_t *tree;    /* the file as it stands */
    dx_marks *marks; /* its places */
};

/* Load and check.  The caller owns the result. */
dp_config *dp_config_load(const char *path, GError **error);
/* The same from memory; `path` names it and is what relative paths start from. */
dp_config *dp_config_parse(const char *text, gsize bytes, const char *path,
                           GError **error);
void dp_config_free(dp_config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_config, dp_config_free)

/* Where a node stands in the file, or the nearest one above it; `pointer` is a JSON Pointer. */
dx_mark dp_config_place(const dp_config *config, const char *pointer);
/* Everything with its default, as it will be used; caller owns. */
json_t *dp_config_json(const dp_config *config);
/* Are two folders watched in the same way? */
gboolean dp_folder_config_equal(const dp_folder_config *a, const dp_folder_config *b);
/* The tables, for `docvl config keys`. */
const dp_facts *dp_config_facts(void);

#endif

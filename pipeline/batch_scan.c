/*
 * batch_scan.c - from arguments to files: folders, globs, lists on stdin, shards.
 *
 * Folders are walked with a stack of our own, in the order of names, so that two runs see
 * the same order and no tree is too deep for the C stack.
 */
#include "batch.h"

#include "names.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const usual[] = { "*.pdf", "*.tif",  "*.tiff", "*.png",
                                     "*.jpg", "*.jpeg", NULL };

typedef struct folder {
    char *path;     /* real */
    char *relative; /* below the argument; "" for itself */
    guint depth;
} folder;

typedef struct scan {
    const dp_scan_opts *opts;
    const dp_scan_hooks *hooks;
    gboolean is_stopped;
} scan;

static void folder_free(gpointer data)
{
    folder *f = data;
    g_free(f->path);
    g_free(f->relative);
    g_free(f);
}

/* A glob with a slash is held against the place below the argument, else against the name.
 * Case is ignored: scanners write .PDF. */
static gboolean fits(const char *const *globs, const char *relative)
{
    const char *slash = strrchr(relative, '/');
    const char *base = slash != NULL ? slash + 1 : relative;
    for (; globs != NULL && *globs != NULL; globs++)
        if (fnmatch(*globs, strchr(*globs, '/') != NULL ? relative : base,
                    FNM_CASEFOLD) == 0)
            return TRUE;
    return FALSE;
}

static void skip_error(scan *s, const char *path, const GError *error)
{
    s->hooks->skipped(s->hooks->user, path, DP_SKIP_ERROR, error);
    s->is_stopped |= s->hooks->is_over(s->hooks->user);
}

static void skip_errno(scan *s, const char *path)
{
    g_autoptr(GError) error = NULL;
    (void)dp_fail_errno(&error, "looking at", path);
    skip_error(s, path, error);
}

/* By the place below the argument, not by content: no shard reads another's files. */
static gboolean is_ours(const dp_scan_opts *opts, const char *relative)
{
    if (opts->shards <= 1)
        return TRUE;
    g_autofree char *hex = g_compute_checksum_for_string(G_CHECKSUM_SHA256, relative, -1);
    hex[15] = '\0';
    return g_ascii_strtoull(hex, NULL, 16) % opts->shards == opts->shard - 1;
}

static void take_file(scan *s, const char *path, const char *relative,
                      const struct stat *st)
{
    gint64 changed =
        st->st_mtim.tv_sec * G_GINT64_CONSTANT(1000000000) + st->st_mtim.tv_nsec;
    if (s->opts->since_ns != 0 && changed < s->opts->since_ns)
        s->hooks->skipped(s->hooks->user, path, DP_SKIP_SINCE, NULL);
    else if (!is_ours(s->opts, relative))
        s->hooks->skipped(s->hooks->user, path, DP_SKIP_SHARD, NULL);
    else if (!s->hooks->found(s->hooks->user, path, relative))
        s->is_stopped = TRUE;
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static GPtrArray *names_in(scan *s, const char *path)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        skip_errno(s, path);
        return NULL;
    }
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            g_ptr_array_add(names, g_strdup(entry->d_name));
    if (errno != 0) /* what was read is worked on, but it is not all */
        skip_errno(s, path);
    closedir(dir);
    g_ptr_array_sort(names, by_name);
    return names;
}

/* Where results and documents share a folder, an X.json with an X beside it is a result: as
 * an input it would have one in turn, and so on with each run. */
static gboolean is_result(const scan *s, const folder *f, const char *path)
{
    gboolean is_shared =
        s->opts->is_beside ||
        (s->opts->skip_dir != NULL && dp_path_is_within(f->path, s->opts->skip_dir));
    if (!is_shared || !g_str_has_suffix(path, ".json"))
        return FALSE;
    g_autofree char *document = g_strndup(path, strlen(path) - strlen(".json"));
    struct stat st;
    return lstat(document, &st) == 0 && S_ISREG(st.st_mode);
}

static void take_entry(scan *s, const folder *f, const char *name, GPtrArray *inner)
{
    g_autofree char *path = g_build_filename(f->path, name, NULL);
    g_autofree char *relative =
        *f->relative != '\0' ? g_build_filename(f->relative, name, NULL) : g_strdup(name);
    struct stat st;
    if (lstat(path, &st) != 0) {
        if (errno != ENOENT) /* gone meanwhile: nothing to do */
            skip_errno(s, path);
        return;
    }
    gboolean is_hidden = *name == '.' || fits(s->opts->exclude, relative);
    if (S_ISDIR(st.st_mode)) {
        gboolean is_own =
            g_strcmp0(path, s->opts->skip_dir) == 0 || strcmp(name, ".docvl") == 0;
        if (is_hidden || !s->opts->is_recursive || is_own) {
            if (!is_own)
                s->hooks->skipped(s->hooks->user, path, DP_SKIP_FOLDER, NULL);
            return;
        }
        folder *next = g_new0(folder, 1);
        *next = (folder){ g_strdup(path), g_strdup(relative), f->depth + 1 };
        g_ptr_array_add(inner, next);
    } else if (is_hidden ||
               !fits(s->opts->include != NULL ? s->opts->include : usual, relative) ||
               is_result(s, f, path)) {
        s->hooks->skipped(s->hooks->user, path, DP_SKIP_NAME, NULL);
    } else if (!S_ISREG(st.st_mode)) {
        s->hooks->skipped(s->hooks->user, path, DP_SKIP_LINK, NULL);
    } else {
        take_file(s, path, relative, &st);
    }
}

static void walk(scan *s, const char *root)
{
    g_autoptr(GPtrArray) stack = g_ptr_array_new_with_free_func(folder_free);
    folder *first = g_new0(folder, 1);
    *first = (folder){ g_strdup(root), g_strdup(""), 0 };
    g_ptr_array_add(stack, first);
    while (stack->len > 0 && !s->is_stopped) {
        folder *f = g_ptr_array_steal_index(stack, stack->len - 1);
        g_autoptr(GPtrArray) inner = g_ptr_array_new();
        if (f->depth > DP_SCAN_DEPTH_MAX) {
            g_autoptr(GError) error =
                g_error_new(DP_IO_ERROR, ELOOP, "%s: more than %d folders deep", f->path,
                            DP_SCAN_DEPTH_MAX);
            skip_error(s, f->path, error);
        } else {
            g_autoptr(GPtrArray) names = names_in(s, f->path);
            for (guint i = 0; names != NULL && i < names->len && !s->is_stopped; i++)
                take_entry(s, f, g_ptr_array_index(names, i), inner);
        }
        while (inner->len > 0)
            g_ptr_array_add(stack, g_ptr_array_steal_index(inner, inner->len - 1));
        folder_free(f);
    }
}

/* Named by the user: taken whatever its name, links are followed. */
static void take_argument(scan *s, const char *argument)
{
    g_autofree char *real = NULL;
    char *resolved = realpath(argument, NULL);
    real = g_strdup(resolved);
    free(resolved);
    struct stat st;
    if (real == NULL || stat(real, &st) != 0) {
        skip_errno(s, argument);
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        walk(s, real);
    } else if (!S_ISREG(st.st_mode)) {
        g_autoptr(GError) error =
            g_error_new(DP_IO_ERROR, EINVAL, "%s: not a regular file", argument);
        skip_error(s, argument, error);
    } else {
        g_autofree char *base = g_path_get_basename(argument);
        take_file(s, real, base, &st);
    }
}

static void take_list(scan *s)
{
    char *line = NULL;
    size_t space = 0;
    int end = s->opts->is_nul ? '\0' : '\n';
    gssize length;
    while (!s->is_stopped && (length = getdelim(&line, &space, end, stdin)) > 0) {
        if (line[length - 1] == end)
            line[--length] = '\0';
        if (length == 0)
            continue;
        if (length > DP_SCAN_LIST_MAX || strlen(line) != (gsize)length) {
            errno = length > DP_SCAN_LIST_MAX ? ENAMETOOLONG : EINVAL;
            line[MIN(length, 200)] = '\0';
            skip_errno(s, line);
            continue;
        }
        take_argument(s, line);
    }
    free(line);
}

void dp_scan(const dp_scan_opts *opts, char **arguments, const dp_scan_hooks *hooks)
{
    scan s = { .opts = opts, .hooks = hooks };
    for (; *arguments != NULL && !s.is_stopped; arguments++) {
        if (strcmp(*arguments, "-") == 0)
            take_list(&s);
        else
            take_argument(&s, *arguments);
    }
}

/*
 * watch_mount.c - is what was mounted at a folder of the configuration mounted now?
 *
 * A share that is gone leaves an empty folder, or none.  Results that were written there would
 * be hidden when it comes back, and documents that lie on it would be taken for removed.  So
 * where something was seen mounted, nothing is written and nothing is missed without it.
 */
#include "watch.h"

#include "names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct mount {
    char *point;
    gboolean is_lost_told;
} mount;

static void free_mount(gpointer data)
{
    mount *m = data;
    g_free(m->point);
    g_free(m);
}

GHashTable *dp_mounts_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, free_mount);
}

/* Is `point` the root of another file system than the folder it lies in?  FALSE too when it
 * does not answer. */
static gboolean is_mounted(const char *point)
{
    struct stat st, above;
    g_autofree char *parent = g_path_get_dirname(point);
    return stat(point, &st) == 0 && stat(parent, &above) == 0 &&
           st.st_dev != above.st_dev;
}

/* Where the file system of `path` is mounted; NULL: at the root.  What of the path is not
 * there yet is passed by.  Caller frees. */
static char *mount_of(const char *path)
{
    g_autofree char *at = g_strdup(path);
    char *real;
    while ((real = realpath(at, NULL)) == NULL && strcmp(at, "/") != 0) {
        char *parent = g_path_get_dirname(at);
        g_free(at);
        at = parent;
    }
    g_free(at);
    at = g_strdup(real != NULL ? real : "/");
    free(real);
    while (strcmp(at, "/") != 0 && !is_mounted(at)) {
        char *parent = g_path_get_dirname(at);
        g_free(at);
        at = parent;
    }
    return strcmp(at, "/") != 0 ? g_steal_pointer(&at) : NULL;
}

static void learn(dp_watch *w, const char *path)
{
    char *point = mount_of(path);
    if (point == NULL)
        return;
    g_mutex_lock(&w->lock);
    const mount *known = g_hash_table_lookup(w->mounts, path);
    /* One that lies above is seen when the known one is gone. */
    if (known == NULL || !dp_path_is_within(known->point, point)) {
        mount *m = g_new0(mount, 1);
        m->point = g_steal_pointer(&point);
        g_hash_table_replace(w->mounts, g_strdup(path), m);
    }
    g_mutex_unlock(&w->lock);
    g_free(point);
}

void dp_mounts_learn(dp_watch *w, const dp_folder_config *folder, const dp_routes *routes)
{
    learn(w, folder->path);
    learn(w, folder->out);
    learn(w, folder->failed);
    learn(w, folder->done);
    if (routes != NULL)
        learn(w, dp_routes_root(routes));
}

/* The mount points that `path` lies on.  Caller unrefs. */
static GPtrArray *points_of(dp_watch *w, const char *path)
{
    GPtrArray *points = g_ptr_array_new_with_free_func(g_free);
    GHashTableIter iter;
    gpointer key, value;
    g_mutex_lock(&w->lock);
    g_hash_table_iter_init(&iter, w->mounts);
    while (g_hash_table_iter_next(&iter, &key, &value))
        if (dp_path_is_within(path, key))
            g_ptr_array_add(points, g_strdup(((mount *)value)->point));
    g_mutex_unlock(&w->lock);
    return points;
}

/* One message when it goes, one when it is back, however many folders lie on it. */
static void tell(dp_watch *w, const char *point, gboolean is_there)
{
    gboolean is_new = FALSE;
    GHashTableIter iter;
    gpointer value;
    g_mutex_lock(&w->lock);
    g_hash_table_iter_init(&iter, w->mounts);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        mount *m = value;
        if (strcmp(m->point, point) != 0)
            continue;
        is_new = is_new || m->is_lost_told == is_there;
        m->is_lost_told = !is_there;
    }
    g_mutex_unlock(&w->lock);
    if (is_new && is_there)
        dp_message(w->app, "info", "%s: is mounted again", point);
    else if (is_new)
        dp_message(w->app, "error", "%s: not mounted; what belongs there waits", point);
}

gboolean dp_mounts_are_there(dp_watch *w, const char *path)
{
    g_autoptr(GPtrArray) points = points_of(w, path);
    for (guint i = 0; i < points->len; i++) {
        const char *point = g_ptr_array_index(points, i);
        gboolean is_there = is_mounted(point); /* may hang: no lock is held */
        tell(w, point, is_there);
        if (!is_there)
            return FALSE;
    }
    return TRUE;
}

gboolean dp_folder_is_away(dp_watch *w, const dp_folder_config *folder,
                           const dp_routes *routes)
{
    struct stat st;
    return (routes != NULL && !dp_mounts_are_there(w, dp_routes_root(routes))) ||
           !dp_mounts_are_there(w, folder->path) ||
           !dp_mounts_are_there(w, folder->out) ||
           !dp_mounts_are_there(w, folder->failed) ||
           !dp_mounts_are_there(w, folder->done) || stat(folder->path, &st) != 0;
}

/*
 * watch_site.c - a configuration with the recipes of its folders and subfolders.
 */
#include "watch.h"

#include "names.h"
#include "options.h"

#include <assert.h>
#include <string.h>

struct dp_site {
    gatomicrefcount refs;
    dp_config *config;
    GPtrArray
        *recipes; /* [folder] of GPtrArray of dp_recipe: the folder's own, then one for
                           each subfolder */
    dp_routes *routes; /* NULL: none */
};

typedef struct recipe_source {
    dx_engine *engine;
    const vl_model_info *model;
    char **passwords;
} recipe_source;

static dp_recipe *recipe_of(const recipe_source *from, const dp_settings *s,
                            GError **error)
{
    dp_recipe_opts opts = {
        .schema = strcmp(s->schema, "auto") == 0 ? NULL : s->schema,
        .text = s->text,
        .labels = (const char *const *)s->labels,
        .passwords = (const char *const *)from->passwords,
        .review_below = s->review_below,
        .pages_max = s->pages_max,
        .is_classified = s->is_classified,
    };
    return dp_recipe_new(from->engine, from->model, &opts, error);
}

static gboolean add_recipes(dp_site *site, const recipe_source *from,
                            const dp_folder_config *f, GError **error)
{
    GPtrArray *row = g_ptr_array_new_with_free_func((GDestroyNotify)dp_recipe_unref);
    g_ptr_array_add(site->recipes, row);
    for (guint i = 0; i <= f->subfolders->len; i++) {
        const dp_settings *s = &f->settings;
        if (i > 0)
            s = &((const dp_subfolder *)g_ptr_array_index(f->subfolders, i - 1))
                     ->settings;
        dp_recipe *recipe = recipe_of(from, s, error);
        if (recipe == NULL) {
            g_prefix_error(error, "%s: schema %s: ", f->path, s->schema);
            return FALSE;
        }
        g_ptr_array_add(row, recipe);
    }
    return TRUE;
}

/* The check of the configuration has said what is wrong, with its place. */
static void ignore_report(void *user, const char *pointer, gboolean at_key,
                          const char *text)
{
}

static gboolean add_routes(dp_site *site, GError **error)
{
    if (site->config->routes == NULL)
        return TRUE;
    g_autofree char *full = g_canonicalize_filename(site->config->file, NULL);
    g_autofree char *base = g_path_get_dirname(full);
    site->routes = dp_routes_new(site->config->routes, base, ignore_report, NULL);
    if (site->routes != NULL)
        return TRUE;
    g_set_error(error, DP_CONFIG_ERROR, DP_CONFIG_WRONG, "the routes cannot be used");
    return FALSE;
}

dp_site *dp_site_new(dp_config *config, dx_engine *engine, const vl_model_info *model,
                     GError **error)
{
    g_autoptr(dp_site) site = g_new0(dp_site, 1);
    g_atomic_ref_count_init(&site->refs);
    site->config = config;
    site->recipes = g_ptr_array_new_with_free_func((GDestroyNotify)g_ptr_array_unref);
    g_auto(GStrv) passwords = NULL;
    if (config->passwords_file != NULL) {
        passwords = dp_passwords_read(config->passwords_file, error);
        if (passwords == NULL)
            return NULL;
    }
    recipe_source from = { engine, model, passwords };
    for (guint i = 0; i < config->folders->len; i++)
        if (!add_recipes(site, &from, g_ptr_array_index(config->folders, i), error))
            return NULL;
    return add_routes(site, error) ? g_steal_pointer(&site) : NULL;
}

dp_site *dp_site_ref(dp_site *site)
{
    g_atomic_ref_count_inc(&site->refs);
    return site;
}

void dp_site_unref(dp_site *site)
{
    if (site == NULL || !g_atomic_ref_count_dec(&site->refs))
        return;
    g_ptr_array_unref(site->recipes);
    dp_routes_free(site->routes);
    dp_config_free(site->config);
    g_free(site);
}

const dp_config *dp_site_config(const dp_site *site)
{
    return site->config;
}

const dp_routes *dp_site_routes(const dp_site *site)
{
    return site->routes;
}

/* The subfolder that `relative` lies in, as an index into the recipes; 0: the folder's own. */
static guint subfolder_of(const dp_folder_config *f, const char *relative)
{
    const char *slash = strchr(relative, '/');
    for (guint i = 0; slash != NULL && i < f->subfolders->len; i++) {
        const dp_subfolder *sub = g_ptr_array_index(f->subfolders, i);
        gsize length = strlen(sub->name);
        if (length == (gsize)(slash - relative) &&
            strncmp(sub->name, relative, length) == 0)
            return i + 1;
    }
    return 0;
}

gboolean dp_site_place(const dp_site *site, const char *origin, dp_place *place)
{
    for (guint i = 0; i < site->config->folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(site->config->folders, i);
        if (!dp_path_is_within(origin, f->path))
            continue;
        const char *relative = origin + strlen(f->path);
        while (*relative == '/')
            relative++;
        if (*relative == '\0')
            return FALSE;
        guint sub = subfolder_of(f, relative);
        const dp_subfolder *own =
            sub > 0 ? g_ptr_array_index(f->subfolders, sub - 1) : NULL;
        GPtrArray *row = g_ptr_array_index(site->recipes, i);
        *place = (dp_place){ f, own != NULL ? &own->settings : &f->settings,
                             g_ptr_array_index(row, sub), relative };
        return TRUE;
    }
    return FALSE;
}

dp_site *dp_watch_site(dp_watch *watch)
{
    g_mutex_lock(&watch->lock);
    dp_site *site = dp_site_ref(watch->site);
    g_mutex_unlock(&watch->lock);
    return site;
}

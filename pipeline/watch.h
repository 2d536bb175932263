/*
 * watch.h - docvl watch: folders in, documents into the journal, files to where they belong.
 *
 *   dp_site    a configuration with its recipes; immutable, counted.  A reload swaps it.
 *   dp_folder  a thread that looks after one watched folder: what is there, is it whole,
 *              take it, put it into the journal.  One that hangs (a dead network share)
 *              stops nothing but itself.
 *   mounts     where folders were seen mounted: without it, nothing is written there
 *   dp_finish  what becomes of a file after its document is done or has failed.  Called
 *              from the workers of the engine, knows nothing but the journal's row: any
 *              process that shares the journal can finish what another one took.
 *
 * The record is the file until the journal has it, then the journal.  A file is renamed into
 * the watcher's work folder (claims.h) before it enters the journal, and leaves it for done/
 * or failed/ after the journal says so; wherever a crash falls, the sweep of the work folder
 * at the next start finds it.
 */
#ifndef DP_WATCH_H
#define DP_WATCH_H

#include "config.h"
#include "route.h"
#include "runner.h"

typedef struct dp_site dp_site;

/* Where a document belongs. */
typedef struct dp_place {
    const dp_folder_config *folder;
    const dp_settings *settings;
    dp_recipe *recipe;    /* borrowed from the site */
    const char *relative; /* borrowed from the origin: below folder->path */
} dp_place;

/* Takes `config`, also on failure. */
dp_site *dp_site_new(dp_config *config, dx_engine *engine, const vl_model_info *model,
                     GError **error);
dp_site *dp_site_ref(dp_site *site);
void dp_site_unref(dp_site *site);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_site, dp_site_unref)
const dp_config *dp_site_config(const dp_site *site);
/* NULL when there are none. */
const dp_routes *dp_site_routes(const dp_site *site);
/* `origin` is the path that a file had in its watched folder.  FALSE: no folder of it. */
gboolean dp_site_place(const dp_site *site, const char *origin, dp_place *place);

/* What the threads of one watcher share. */
typedef struct dp_watch {
    const dp_app *app;
    dp_queue *queue;
    dp_runner *runner;
    const char *lane;
    char *owner; /* which journal: text of the claims' locks */
    GMutex lock; /* guards what follows */
    dp_site *site;
    GHashTable *moving;  /* ids of documents whose file is being moved just now */
    GCond moved;         /* one of them is there */
    GHashTable *targets; /* results that are promised to a document and not there yet */
    GHashTable *mounts;  /* dp_mounts_new() */
    guint sweeps;        /* counts up when files were left in the work folders */
} dp_watch;

dp_site *dp_watch_site(dp_watch *watch); /* a reference for the caller */

/* ---- folders --------------------------------------------------------------------- */

typedef struct dp_folder dp_folder;

typedef struct dp_folder_counts {
    gboolean is_there; /* the folder can be opened */
    gboolean is_polling;
    guint waiting; /* seen, not settled */
    guint taken;   /* claimed, not in the journal yet */
    guint refused; /* cannot be taken: links, pipes, no permission */
    guint64 added; /* put into the journal since the start */
    guint64 duplicates;
    gint64 beat_us; /* monotonic: when its thread last was alive */
} dp_folder_counts;

/* Start the thread for site's folder number `index`. */
dp_folder *dp_folder_start(dp_watch *watch, dp_site *site, guint index);
const dp_folder_config *dp_folder_config_of(const dp_folder *folder);
void dp_folder_get_counts(dp_folder *folder, dp_folder_counts *counts);
/* Ask it to end; returns at once.  What it took stays in the journal. */
void dp_folder_stop(dp_folder *folder);
gboolean dp_folder_has_ended(dp_folder *folder);
/* Joins the thread. */
void dp_folder_free(dp_folder *folder);

/* ---- mounts ---------------------------------------------------------------------- */

GHashTable *dp_mounts_new(void);
/* Note where the folders of `folder` are mounted, and the root of `routes` (NULL: there are
 * none).  May hang with a dead share. */
void dp_mounts_learn(dp_watch *watch, const dp_folder_config *folder,
                     const dp_routes *routes);
/* Is all that was seen mounted under `path` mounted now?  Tells when that changes. */
gboolean dp_mounts_are_there(dp_watch *watch, const char *path);
/* The folder or one of those for its output, that of `routes` (may be NULL) among them, is not
 * there now: nothing can be said of its documents, nor done with them. */
gboolean dp_folder_is_away(dp_watch *watch, const dp_folder_config *folder,
                           const dp_routes *routes);

/* ---- the end of a file -------------------------------------------------------------- */

/* A worker and a sweep may come to the same file.  While one moves it the journal knows a
 * path where nothing lies yet: whoever judges or changes the place of document `id` holds it
 * meanwhile (the functions below do), and looks at the journal again.  Not recursive. */
void dp_finish_hold(dp_watch *watch, gint64 id);
void dp_finish_release(dp_watch *watch, gint64 id);
/* The document is done: move, delete or leave its file.  FALSE: left where it is, to be
 * tried again by the next sweep. */
gboolean dp_finish_done(dp_watch *watch, const dp_place *place, const dp_doc *doc);
/* It failed: to failed/, with FILE.error.json beside it. */
gboolean dp_finish_failed(dp_watch *watch, const dp_place *place, const dp_doc *doc);
/* The file at `path` has the content of `first`: as done, with NAME.duplicate.json. */
gboolean dp_finish_duplicate(dp_watch *watch, const dp_place *place, const char *path,
                             const dp_doc *first);
/* A file that cannot even be taken or hashed: failed/NAME.error.json.  `path` is moved to
 * failed/ when it lies in the work folder. */
gboolean dp_finish_refused(dp_watch *watch, const dp_place *place, const char *path,
                           const char *code, const char *reason);
/* That is over. */
void dp_finish_accepted(const dp_place *place);

/* A hook of the engine (job.h): the name of a result is taken. */
gboolean dp_watch_on_taken(void *user, dp_doc *doc, GError **error);

/* The hooks of the engine; user is the dp_watch. */
dp_job_hooks dp_watch_hooks(dp_watch *watch);

/* ---- the command ----------------------------------------------------------------------- */

int dp_cmd_watch(dp_app *app, int argc, char **argv);

#endif

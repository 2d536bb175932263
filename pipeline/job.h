/*
 * job.h - one document's way: from a claimed row of the journal to its durable result.
 *
 *   dp_recipe   what is done to a document: schema, options, passwords; hashed, counted,
 *               immutable, shared between threads
 *   dp_job_run  takes a claimed document through rendered, extracted, checked, published,
 *               and on to routing through a hook
 *
 * The order that makes it safe: the result is durable under its name (dp_publish) before the
 * journal says "published"; the journal says "published" before any hook may touch the input.
 * A crash before repeats the extraction and writes the same result once more; a crash after
 * only routes.
 */
#ifndef DP_JOB_H
#define DP_JOB_H

#include "app.h"
#include "queue.h"

/* ---- recipes ---------------------------------------------------------------------- */

typedef struct dp_recipe dp_recipe;

/* Zero and NULL mean the defaults of `docvl extract`. */
typedef struct dp_recipe_opts {
    const char *schema;           /* name or path; NULL: by class */
    const char *text;             /* auto, always, never */
    const char *const *labels;    /* classes to choose from */
    const char *const *passwords; /* not part of the hash */
    dp_render_limits limits;      /* the same: they decide about an error, not a result */
    double review_below;
    uint32_t tokens_max, pages_max;
    gboolean is_plain;      /* results hold values alone */
    gboolean is_classified; /* with a schema too: add "class" to the result */
} dp_recipe_opts;

/* Loads the schema (an error of DX_ERROR says what is wrong with it).  `engine` gives the
 * model's hash and must live longer. */
dp_recipe *dp_recipe_new(dx_engine *engine, const vl_model_info *model,
                         const dp_recipe_opts *opts, GError **error);
/* Is there such a schema (NULL: the ones that classes lead to)?  Says what is wrong with it.
 * For commands: a wrong schema is found before the model is loaded.  DP_EXIT_OK,
 * DP_EXIT_CONFIG, or DP_EXIT_TEMPORARY when it could not be read now. */
dp_exit dp_check_schema(const dp_app *app, const char *name);
dp_recipe *dp_recipe_ref(dp_recipe *recipe);
void dp_recipe_unref(dp_recipe *recipe);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_recipe, dp_recipe_unref)
/* Over schema, model and options: 64 hexadecimal digits; borrowed. */
const char *dp_recipe_sha256(const dp_recipe *recipe);
gboolean dp_recipe_is_plain(const dp_recipe *recipe);

/* SHA-256 of a file's bytes and its stamp, both of the same open file.  Errors are of
 * DP_IO_ERROR. */
gboolean dp_hash_file(const char *path, char sha256[65], dp_stamp *stamp, GError **error);
/* The stamp alone; refuses (ELOOP, EINVAL) what is not a regular file. */
gboolean dp_stamp_file(const char *path, dp_stamp *stamp, GError **error);

/* ---- one document ------------------------------------------------------------------ */

typedef struct dp_extraction {
    void (*progress)(void *user, const char *stage, uint32_t page, uint32_t pages);
    /* Called around every wait for the document's reader process; may be NULL.  The runner
     * lends the processor to another document meanwhile. */
    void (*wait_begin)(void *user);
    void (*wait_end)(void *user);
    void *user;
    GCancellable *cancellable;
    const char *name;   /* "file" of the result; NULL: the base name of the path */
    const char *sha256; /* NULL, or what the content must be: DP_JOB_CHANGED otherwise */
} dp_extraction;

#define DP_JOB_ERROR (dp_job_error_quark())
GQuark dp_job_error_quark(void);
typedef enum dp_job_code {
    DP_JOB_CHANGED = 1, /* the file's bytes are not the ones that were added */
    DP_JOB_NORECIPE,    /* the profile is not in the configuration (any more) */
} dp_job_code;

/* The whole result envelope of one document; `path` may be "-".  Used by `extract` as it is.
 * Any thread. */
json_t *dp_extract_document(dx_engine *engine, const vl_model_info *model,
                            const dp_recipe *recipe, const char *path,
                            const dp_extraction *how, GError **error);
/* The envelope of a document that failed. */
json_t *dp_failed_result(const char *name, const GError *error);
/* The text of a result: "json" (indented), "jsonl" or "csv" (one line); ends with a newline.
 * NULL when there is no memory.  Caller frees. */
char *dp_result_text(const json_t *result, const char *format, gboolean is_plain);

/* ---- hooks -------------------------------------------------------------------------- */

typedef enum dp_routing {
    DP_ROUTING_DONE, /* every action is done: the document becomes routed */
    DP_ROUTING_LATER, /* an action waits for its next try (dp_queue_action_fail was called),
                         the document stays published */
    DP_ROUTING_QUARANTINED, /* an action is given up (dp_queue_action_fail said so) */
} dp_routing;

#define DP_CODE_AWAY "away" /* code of a failure */

/* Where a document is that failed. */
typedef enum dp_whereabouts {
    DP_WHERE_THERE,  /* its file is where it should be, or was taken away for good */
    DP_WHERE_UNSURE, /* should its file be missing, so is the folder that it was in */
    DP_WHERE_AWAY,   /* its folders are not there now: it waits, and nothing counts */
} dp_whereabouts;

/* All are called from a worker thread, several at a time for different documents, never two
 * at a time for the same one; the document is leased all the while.  They must not call
 * dp_runner_free().  NULL where nothing is to be done. */
typedef struct dp_job_hooks {
    void *user;
    /* The recipe of doc->profile, a reference for the caller; NULL fails the document with
     * DP_JOB_NORECIPE. */
    dp_recipe *(*recipe)(void *user, const dp_doc *doc);
    /* Nothing lies at doc->path: where the file lies instead (the journal knows by then), or
     * NULL.  Caller frees.  For owners that tell the journal of a move before they move. */
    char *(*find)(void *user, const dp_doc *doc);
    /* The document failed; why may have nothing to do with it.  NULL: it has. */
    dp_whereabouts (*whereabouts)(void *user, const dp_doc *doc);
    /* The result is about to get its name.  FALSE with an error: not now, the document waits
     * by it.  For owners whose names depend on what the journal knows of this document. */
    gboolean (*on_publish)(void *user, const dp_doc *doc, GError **error);
    /* doc->target is another document's result: choose another name for it, here and in the
     * journal (synced, since the result gets that name next).  NULL: results replace what has
     * their name. */
    gboolean (*on_taken)(void *user, dp_doc *doc, GError **error);
    /* The result is durable and journaled; now the input may be touched.  Called once after
     * publication and again (with the result read back from doc->target) for every later
     * claim of a document that is still published.  Plan with dp_queue_actions_plan(), do
     * with dp_queue_action_start() and _done().  FALSE with an error: nothing could be
     * planned (configuration, journal): the document stays published and waits by the
     * back-off table.  *lasting (DP_LASTING_SYNCED) may be set to DP_LASTING_NOTED for a
     * document whose actions would all find again what they have done: see
     * dp_queue_routed(). */
    gboolean (*on_published)(void *user, const dp_doc *doc, const json_t *result,
                             dp_routing *routing, dp_lasting *lasting, GError **error);
    /* A failure is journaled; `doc` stands as it is then (attempts, next_at, code, reason,
     * state failed, quarantined, or settled when the error was temporary). */
    void (*on_failed)(void *user, const dp_doc *doc);
    /* A document is given up without a result: quarantined, told by on_failed, still leased;
     * `doc` stands as it is now.  Meaning as on_published, for `failed` of the routes. */
    gboolean (*on_given_up)(void *user, const dp_doc *doc, dp_routing *routing,
                            GError **error);
    /* The document reached its end (routed); only noted when on_published said so. */
    void (*on_done)(void *user, const dp_doc *doc, const json_t *result);
    /* The file was changed while it waited: the journal has it under its new key; `doc` is how
     * it was. */
    void (*on_changed)(void *user, const dp_doc *doc);
    /* "Same content as another document" came out only now (the file was changed while it
     * waited); the row `doc` is gone, `twin` is the other. */
    void (*on_twin)(void *user, const dp_doc *doc, gint64 twin);
    void (*on_progress)(void *user, const dp_doc *doc, const char *stage, uint32_t page,
                        uint32_t pages);
} dp_job_hooks;

typedef enum dp_job_end {
    DP_JOB_DONE,      /* routed */
    DP_JOB_WAITS,     /* published, an action waits */
    DP_JOB_FAILED,    /* journaled as failed or quarantined */
    DP_JOB_STALLED,   /* temporary: given back, not counted */
    DP_JOB_CANCELLED, /* given back */
    DP_JOB_TWIN,
    DP_JOB_LOST,     /* another worker has it */
    DP_JOB_GIVEN_UP, /* was quarantined before; now it went `failed` of the routes, or waits
                        for that */
    DP_JOB_AGAIN, /* the file was changed while it waited: given back under its new key */
} dp_job_end;

typedef struct dp_job {
    dp_queue *queue;
    dx_engine *engine;
    const vl_model_info *model;
    const dp_job_hooks *hooks;
    dp_extraction how; /* progress, waits, cancellable; name and sha256 are set here */
} dp_job;

typedef struct dp_job_report {
    dp_job_end end;
    guint pages;
    gint64 work_us, journal_us; /* all of it, and the journal's and publication's part */
    gint64 bytes;
    gboolean is_quarantined; /* with DP_JOB_FAILED */
    gboolean is_grip_lost; /* the journal could not be written: the row still says that we
                                have it; to be given back (dp_queue_unclaim) later */
    char status[16];       /* of the result */
    char code[32];         /* of the failure */
    char reason[256];
} dp_job_report;

/* Run a claimed document to where it can get now. */
void dp_job_run(const dp_job *job, dp_doc *doc, dp_job_report *report);

#endif

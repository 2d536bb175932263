/*
 * queue.h - the journal: which documents there are, in which state, and who has them.
 *
 * One engine lies under batch, watch and service.  What it knows is here: documents keyed
 * by content (SHA-256) and recipe (schema, model, options), the leases of the workers, and
 * the actions of routing.  The storage is behind a table of functions (queue_backend.h);
 * SQLite's is queue_sqlite.h, and all of its SQL is in queue_sqlite_sql.c.
 *
 * The states, and the only ways between them (pipeline/doc/jobs.md says the same):
 *
 *   found        a file was seen.  Not in the journal: the file itself is the record.
 *   settled      in the journal, waits for a worker                        dp_queue_add
 *   claimed      a worker has it, with a lease                             dp_queue_claim
 *   rendered     its document reader answered for all pages                dp_queue_advance
 *   extracted    the model has answered                                    dp_queue_advance
 *   checked      values are converted, placed and checked                  dp_queue_advance
 *   published    the result is durable under its name                      dp_queue_publish
 *   routed       every action of routing is done; the end                  dp_queue_routed
 *   failed       waits for its next try (1 m, 5 m, 30 m, 2 h)              dp_queue_fail
 *   quarantined  the tries are used up, or an action can't be done         dp_queue_fail
 *                One without a result is being given up until `failed` of the routes is
 *                through                                                   dp_queue_given_up
 *
 * A lease that ends (worker dead, machine gone) brings claimed, rendered, extracted and
 * checked back to settled, counting one attempt (from the second on to failed, so that a
 * document that kills its worker waits and ends in quarantine); published stays published
 * and is only routed on.  A worker whose lease was taken gets DP_QUEUE_LOST from every call
 * about that document and must drop it.
 *
 * Promises: when dp_queue_add, _publish (as the end), _fail, _given_up, _actions_plan,
 * _action_fail, _sync, or with DP_LASTING_SYNCED _routed or _action_start returns TRUE, what it
 * wrote survives a power cut, and with it all that was written before.  The others promise
 * nothing of the kind, since nothing was touched yet or what was touched is recognised: losing
 * dp_queue_claim, _advance, _unclaim, _heartbeat or a publication that is to be routed costs
 * repeated pages, losing _action_start or _routed (DP_LASTING_NOTED) or _action_done a look at
 * what the actions have left; never a document.  No action touches anything before the plan is
 * synced.
 *
 * Threads and processes: a dp_queue may be used from all threads of a process (calls take
 * turns), and any number of processes of one machine may have the same journal open.  Not
 * over a network file system.  Do not use a handle across fork().
 *
 * Times are milliseconds of the wall clock since 1970, unless a name says otherwise.
 */
#ifndef DP_QUEUE_H
#define DP_QUEUE_H

#include <gio/gio.h>
#include <jansson.h>
#include <stdint.h>

#define DP_QUEUE_ERROR (dp_queue_error_quark())
GQuark dp_queue_error_quark(void);

typedef enum dp_queue_code {
    DP_QUEUE_BUSY = 1, /* another process holds the journal for longer than DP_BUSY_MS */
    DP_QUEUE_FULL,     /* disk full */
    DP_QUEUE_IO,       /* the disk says no, or no descriptor, memory */
    DP_QUEUE_DAMAGED,  /* not a journal, or a broken one */
    DP_QUEUE_VERSION,  /* written by a newer docvl */
    DP_QUEUE_LOST,     /* the document is not this worker's (any more) */
    DP_QUEUE_NOTFOUND, /* no such document, action or journal */
    DP_QUEUE_STATE,    /* no way leads from its state to the one asked for */
    DP_QUEUE_LIMIT,
} dp_queue_code;

typedef enum dp_state {
    DP_STATE_FOUND,
    DP_STATE_SETTLED,
    DP_STATE_CLAIMED,
    DP_STATE_RENDERED,
    DP_STATE_EXTRACTED,
    DP_STATE_CHECKED,
    DP_STATE_PUBLISHED,
    DP_STATE_ROUTED,
    DP_STATE_FAILED,
    DP_STATE_QUARANTINED,
    DP_STATE_COUNT
} dp_state;

/* "found" … "quarantined"; stable, they are in the journal and in the metrics. */
const char *dp_state_name(dp_state state);
gboolean dp_state_parse(const char *name, dp_state *state);
/* Is there a way from one state to the other? */
gboolean dp_state_leads(dp_state from, dp_state to);

/* Limits. */
#define DP_LEASE_MS          60000 /* a heart-beat is due every third of it */
#define DP_BUSY_MS           30000 /* wait for another process's transaction */
#define DP_ATTEMPTS_MAX      5     /* the fifth failure quarantines */
#define DP_QUEUE_PATH_MAX    4096  /* bytes of a path, name or template */
#define DP_QUEUE_REASON_MAX  1000  /* bytes of a reason, cut at a character */
#define DP_ACTIONS_MAX       64    /* actions of one document */
#define DP_ACTION_DETAIL_MAX 65536 /* bytes of an action's detail */

/* How long the n-th failure (from 1) makes a document wait: 1 m, 5 m, 30 m, 2 h; -1 from
 * DP_ATTEMPTS_MAX on: quarantine.  DOCVL_BACKOFF="ms,ms,ms,ms" (tests) replaces the table. */
gint64 dp_backoff_ms(guint attempts);

/* How long a temporary error (a full disk, no descriptor) makes a document wait; it is
 * not counted as an attempt.  5 s (DOCVL_STALL_MS: tests), doubling up to 5 m. */
gint64 dp_stall_ms(guint stalls);

/* DP_LEASE_MS, or less by DOCVL_LEASE_MS (tests). */
gint64 dp_lease_ms(void);

typedef struct dp_queue dp_queue;

typedef enum dp_queue_mode {
    DP_QUEUE_CREATE,   /* made when it is not there (its folder is not) */
    DP_QUEUE_EXISTING, /* DP_QUEUE_NOTFOUND when it is not there */
} dp_queue_mode;

/* Open the journal `location`: the path of an SQLite file. */
dp_queue *dp_queue_open(const char *location, dp_queue_mode mode, GError **error);
void dp_queue_free(dp_queue *queue);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_queue, dp_queue_free)

/* Who works: this process on this boot of this machine, the same string for all its
 * threads.  Another process of the machine sees at once that its owner is dead.  Borrowed,
 * for the life of the process. */
const char *dp_worker_self(void);

/* ---- documents ------------------------------------------------------------------ */

/* What a look at the file gave: the hash of an unchanged file is not computed again. */
typedef struct dp_stamp {
    gint64 size, mtime_ns, ctime_ns;
    guint64 inode;
} dp_stamp;

/* A document as it arrives.  Strings are copied. */
typedef struct dp_arrival {
    const char *lane;    /* batch, or the name of a watch configuration: documents of
                            different lanes do not know each other */
    const char *path;    /* where the file lies now; absolute */
    const char *origin;  /* what people call it: the path that it came from; NULL: path */
    const char *target;  /* path of its result; absolute; may be NULL */
    const char *profile; /* names the recipe for hooks->recipe(); NULL: "" */
    const char *sha256;  /* of the content: dp_hash_file() */
    const char *recipe;  /* dp_recipe_sha256() */
    dp_stamp stamp;
    int priority;       /* higher first, -1000 to 1000 */
    gboolean is_forced; /* once more, even when it is done */
    gboolean is_light;  /* only noted (dp_queue_sync): the caller finds the file again by
                           itself, as batch does when the same line is run again */
} dp_arrival;

typedef enum dp_add {
    DP_ADD_NEW,     /* now settled */
    DP_ADD_FORCED,  /* was done or failed, settled again since is_forced */
    DP_ADD_PENDING, /* the same content under the same path already waits or is in work */
    DP_ADD_DONE,    /* the same content under the same path is done (routed) */
    DP_ADD_FAILED,  /* failed or quarantined before; tried again when its time has come */
    DP_ADD_TWIN,    /* the same content is known under another path (any state); that
                           document goes on unchanged, nothing is paid for twice */
} dp_add;

typedef struct dp_added {
    dp_add how;
    gint64 id;      /* of the document that stands for this content */
    dp_state state; /* its state now */
} dp_added;

/* Add a document, or recognise it. */
gboolean dp_queue_add(dp_queue *queue, const dp_arrival *arrival, dp_added *added,
                      GError **error);

/* The hash of a file that was added before and has the same stamp; FALSE (no error set)
 * when it is not known. */
gboolean dp_queue_known_hash(dp_queue *queue, const char *lane, const char *path,
                             const dp_stamp *stamp, char sha256[65]);

/* A row of the journal.  Free with dp_doc_free(). */
typedef struct dp_doc {
    gint64 id;
    char *lane, *path, *origin, *target, *profile, *sha256, *recipe;
    dp_state state;
    int priority;
    gint64 bytes, added_at, changed_at, next_at; /* next_at 0: at once */
    guint attempts;                              /* failures that count */
    guint stalls;                                /* temporary ones in a row */
    char *code, *reason; /* of the last failure, "" when there was none */
    char *worker;        /* who has it; "" when nobody */
    char *status;        /* of the result: "ok", "review", "failed"; "" before */
    guint pages;
    gint64 work_ms;        /* from claim to publication */
    gboolean is_giving_up; /* quarantined, and `failed` of the routes is not through */
} dp_doc;
void dp_doc_free(dp_doc *doc);
/* Its wait is over, or the clock was set back below it. */
gboolean dp_doc_is_due(const dp_doc *doc);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_doc, dp_doc_free)

/* The reason of its failure without the path that it begins with: a work folder means nothing
 * to anybody.  Borrowed from doc. */
const char *dp_doc_reason(const dp_doc *doc);

/* Take one document: settled, failed whose time has come, published with actions due, or
 * one that is being given up.  The caller looks at doc->state: DP_STATE_CLAIMED is to be
 * worked on, DP_STATE_PUBLISHED is to be routed only, DP_STATE_QUARANTINED is to go the
 * routes of those that failed.  NULL without error: nothing is due (dp_queue_next_due() says for
 * how long).  Leases that ended, and those of dead processes of this machine, are brought
 * back first. */
typedef struct dp_claim {
    const char *lane; /* NULL: any */
    gint64 id;        /* this document only; 0: by priority, then age */
    gint64 lease_ms;  /* 0: DP_LEASE_MS */
    gboolean is_now;  /* a failed document too whose time has not come yet */
} dp_claim;
dp_doc *dp_queue_claim(dp_queue *queue, const dp_claim *claim, GError **error);

/* Bring back what dead workers had.  *count: how many.  dp_queue_claim() does it by
 * itself; this is for the start of a program. */
gboolean dp_queue_recover(dp_queue *queue, guint *count, GError **error);

/* All leases of this process live on for lease_ms (0: DP_LEASE_MS). */
gboolean dp_queue_heartbeat(dp_queue *queue, gint64 lease_ms, GError **error);

/* Milliseconds until something of the lane (NULL: any) can be claimed: 0 at once, -1 nothing
 * waits. */
gboolean dp_queue_next_due(dp_queue *queue, const char *lane, gint64 *ms, GError **error);

/* How much of a report lasts when the call returns. */
typedef enum dp_lasting {
    DP_LASTING_NOTED, /* a crash of the program leaves it, a power cut may not: enough where
                         the plan tells all that is needed to recognise what was done */
    DP_LASTING_SYNCED, /* nothing takes it away, nor what was written before */
} dp_lasting;

/* The worker's reports.  All of them: DP_QUEUE_LOST when this process does not hold it. */
gboolean dp_queue_advance(dp_queue *queue, gint64 id, dp_state to, GError **error);

typedef struct dp_publication {
    const char *status; /* of the result */
    guint pages;
    gint64 work_ms;
    gboolean is_end; /* nothing is to be routed: straight to routed */
} dp_publication;
gboolean dp_queue_publish(dp_queue *queue, gint64 id, const dp_publication *publication,
                          GError **error);

typedef struct dp_failure {
    const char *code;      /* a word: "unreadable", "encrypted" … (dp_error_name) */
    const char *reason;    /* one line */
    gboolean is_temporary; /* wait, but do not count */
    gboolean is_final;     /* no use to try again: quarantine at once */
} dp_failure;
/* *after (may be NULL) gets the document as it stands then, with attempts and next time.
 * One that is given up by this without a result (after->is_giving_up) stays this worker's
 * until dp_queue_given_up(); for one that is being given up already, a failure means that
 * `failed` of the routes cannot be planned: now (is_temporary), or never. */
gboolean dp_queue_fail(dp_queue *queue, gint64 id, const dp_failure *failure,
                       dp_doc **after, GError **error);
/* `failed` of the routes is through, or there is none: it is nobody's. */
gboolean dp_queue_given_up(dp_queue *queue, gint64 id, GError **error);
/* Give it back unworked (shutdown): settled, published or given up again, nothing counted. */
gboolean dp_queue_unclaim(dp_queue *queue, gint64 id, GError **error);
/* All actions are done: the end. DP_QUEUE_STATE when one is not.  DP_LASTING_NOTED where each
 * of them would find again what it has done; whoever then touches the input, or says that all
 * is done, calls dp_queue_sync() before. */
gboolean dp_queue_routed(dp_queue *queue, gint64 id, dp_lasting how, GError **error);
/* What dp_queue_routed() or dp_queue_add() has only noted survives a power cut from now on.  Costs a sync when
 * nothing has synced the journal since, else nothing; is_all: a sync in any case, since other
 * processes, or one that died, may have noted something too. */
gboolean dp_queue_sync(dp_queue *queue, gboolean is_all, GError **error);

/* The file lies elsewhere now (claimed by rename, moved by an action).  Needs no lease. */
gboolean dp_queue_set_path(dp_queue *queue, gint64 id, const char *path, GError **error);
/* Another file with the same content stands for it from now on: it lies there and is called
 * so.  Needs no lease. */
gboolean dp_queue_set_origin(dp_queue *queue, gint64 id, const char *path,
                             GError **error);
/* Its result goes elsewhere. */
gboolean dp_queue_set_target(dp_queue *queue, gint64 id, const char *target,
                             GError **error);
/* The file holds other bytes than when it was added, or the recipe is another by now.  When
 * the new key is another document's, *twin gets that id, this one is taken out of the
 * journal; else 0. */
gboolean dp_queue_rekey(dp_queue *queue, gint64 id, const char *sha256,
                        const char *recipe, gint64 *twin, GError **error);

dp_doc *dp_queue_get(dp_queue *queue, gint64 id, GError **error);
/* By its key; NULL without error: there is none. */
dp_doc *dp_queue_find(dp_queue *queue, const char *lane, const char *sha256,
                      const char *recipe, GError **error);

/* ---- routing --------------------------------------------------------------------- */

typedef enum dp_action_state {
    DP_ACTION_PENDING,
    DP_ACTION_STARTED, /* begun once; whether it was done, only its target can tell */
    DP_ACTION_DONE,
    DP_ACTION_FAILED, /* given up: the document is quarantined, or was */
} dp_action_state;

typedef struct dp_action {
    gint64 id;
    gint64 document;
    guint index; /* order within the document, from 0 */
    char *kind;  /* "move", "webhook", … */
    char *key;   /* idempotency key; the same in every try */
    dp_action_state state;
    guint attempts;
    gint64 next_at;
    char *detail; /* the caller's, JSON as text: targets already chosen … */
    char *reason; /* of the last failure */
} dp_action;
void dp_action_free(dp_action *action);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_action, dp_action_free)

/* Plan a document's actions, all or none, once: index, kind, key and detail are taken from
 * `plan` (GPtrArray of dp_action).  When the document has actions already nothing is written:
 * the plan made first stands, so a changed configuration cannot do half of one plan and half
 * of another. */
gboolean dp_queue_actions_plan(dp_queue *queue, gint64 document, GPtrArray *plan,
                               GError **error);
/* In order; empty when none were planned.  GPtrArray of dp_action, the caller unrefs. */
GPtrArray *dp_queue_actions(dp_queue *queue, gint64 document, GError **error);
/* "Started" before anything is touched; `detail` (may be NULL: keep) replaces the detail in
 * the same stroke, to remember what is about to be done. */
gboolean dp_queue_action_start(dp_queue *queue, gint64 action, const char *detail,
                               dp_lasting how, GError **error);
/* `moved_to` (may be NULL): where the document lies now. */
gboolean dp_queue_action_done(dp_queue *queue, gint64 action, const char *moved_to,
                              GError **error);
/* Not done: again by the back-off table (the document stays published, its next_at is
 * moved), or, when that is used up or is_final, quarantine.  is_temporary as above. */
gboolean dp_queue_action_fail(dp_queue *queue, gint64 action, const dp_failure *failure,
                              GError **error);

/* ---- for people ------------------------------------------------------------------- */

typedef struct dp_counts {
    guint64 documents[DP_STATE_COUNT];
    guint64 actions_open; /* pending or started */
    gint64 oldest_at; /* when the oldest document that waits was added; 0: none waits */
    guint64 pages;    /* published, ever */
} dp_counts;
gboolean dp_queue_counts(dp_queue *queue, const char *lane, dp_counts *counts,
                         GError **error);
/* {"encrypted": 3, …} over documents failed or quarantined now. */
json_t *dp_queue_reasons(dp_queue *queue, const char *lane, GError **error);

typedef struct dp_filter {
    const char *lane; /* NULL: any */
    guint states;     /* bits 1 << dp_state; 0: all */
    gboolean is_told; /* only those with a reason why they are not done */
    const char *path; /* exact path or origin; NULL: any */
    gint64 after_id;  /* pages through a long list */
    guint limit;      /* 0: 1,000 */
} dp_filter;
/* By id.  GPtrArray of dp_doc. */
GPtrArray *dp_queue_list(dp_queue *queue, const dp_filter *filter, GError **error);

/* Failed or quarantined (id, or id 0: all of the lane): try again now, attempts start anew.
 * Actions that failed are pending again; those of `failed` of the routes are forgotten. *count: how many.  A quarantined one only with
 * DP_RETRY_QUARANTINED. */
typedef enum dp_retry { DP_RETRY_FAILED, DP_RETRY_QUARANTINED } dp_retry;
gboolean dp_queue_retry(dp_queue *queue, const char *lane, gint64 id, dp_retry which,
                        guint *count, GError **error);
/* A document that is done (routed) back to settled: its result is not there any more. */
gboolean dp_queue_redo(dp_queue *queue, gint64 id, GError **error);

/* Take documents that are done out of the journal, unchanged since `before`.  Failed and
 * quarantined ones stay. */
gboolean dp_queue_prune(dp_queue *queue, const char *lane, gint64 before, guint *count,
                        GError **error);
/* Take a document that is not done and not in work out of the journal, with its actions; 0:
 * all that are quarantined to the end.  Nothing of it is touched on disk: content that comes
 * again is new. */
gboolean dp_queue_forget(dp_queue *queue, const char *lane, gint64 id, guint *count,
                         GError **error);
/* A row as JSON, as `journal export` and `status --json` write it. */
json_t *dp_doc_json(const dp_doc *doc);

#endif

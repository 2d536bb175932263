/*
 * actions.h - what is done with a document once its result is durable.
 *
 * An action goes through three forms, all of them JSON:
 *
 *   as configured   {"move": "{seller.name|slug}/"}                    dp_action_check
 *   normalised      {"kind": "move", "to": "{seller.name|slug}/"}
 *   planned         {"kind": "move", "rule": "…", "to": "/srv/…/scan.pdf"}  dp_action_plan
 *
 * A planned action stands in the journal and is done from there alone (dp_action_do), so a
 * changed configuration never does half of one plan and half of another.  It may be done
 * again after a crash at any point.  Exactly once: move, copy, link, rename, write (the
 * target is recognised by its content), append (by its key), mail (by its file name, while
 * the message is in the maildir).  At least once with the same key: run, webhook.
 */
#ifndef DP_ACTIONS_H
#define DP_ACTIONS_H

#include "facts.h"
#include "queue.h"
#include "route_facts.h"
#include "template.h"

#include <gio/gio.h>

enum {
    DP_CLASH_MAX = 9999,       /* numbered names tried for one target */
    DP_COMMAND_WORDS_MAX = 64, /* arguments of a command */
    DP_COMMAND_SECONDS_MAX = 3600,
    DP_OUTPUT_BYTES_DEFAULT = 65536, /* of a command, kept for its message */
    DP_OUTPUT_BYTES_MAX = 1 << 20,
    DP_ENV_VALUE_MAX = 4096,    /* bytes of one variable; a longer value is left out */
    DP_ENV_VARIABLES_MAX = 512, /* of one document; more are left out */
    DP_HOOK_SECONDS_MAX = 300,
    DP_HOOK_BODY_MAX = 16 << 20, /* bytes sent to a webhook */
    DP_HOOK_ANSWER_MAX = 65536,  /* bytes read of its answer */
    DP_HOOK_HEADERS_MAX = 16,
    DP_SECRET_BYTES_MAX = 4096,
    DP_MAIL_BYTES_MAX = 64 << 20, /* of what is attached */
    DP_APPEND_LINE_MAX = 1 << 20, /* bytes of one record */
    DP_COLUMNS_MAX = 200,
};

/* Where relative paths of a configuration start. */
typedef struct dp_action_places {
    const char *base;    /* folder of the configuration; absolute */
    const char *root;    /* of targets; absolute */
    const char *missing; /* NULL: a missing value is an error */
} dp_action_places;

/* Normalise one action; NULL after every mistake was reported. */
json_t *dp_action_check(const json_t *action, const char *pointer, dp_report report,
                        void *user);
/* `report` gets each path to a value that the action names, as it was configured and checked:
 * those of templates and of columns. */
void dp_action_paths(const json_t *action, const char *pointer, dp_report report,
                     void *user);
/* Put the document's values in.  DP_ROUTE_VALUE when one is missing. */
json_t *dp_action_plan(const json_t *action, const dp_route_facts *facts,
                       const dp_action_places *places, GError **error);
/* "move to /srv/a.pdf", for people.  Caller frees. */
char *dp_action_describe(const json_t *planned);
/* SHA-256 over content, recipe, place in the plan and the action; 64 digits, caller frees. */
char *dp_action_key(const char *sha256, const char *recipe, guint index,
                    const json_t *planned);

typedef struct dp_action_run {
    json_t *planned;             /* borrowed; what is chosen on the way is put in */
    const char *key;             /* from dp_action_key() */
    const char *sha256;          /* of the document; NULL: not known, not compared */
    const dp_route_facts *facts; /* facts->path NULL: there is no document */
    gboolean was_started;        /* an earlier try may have begun it */
    GCancellable *cancellable;
    /* Note `planned` as "started"; called before anything is touched, and again when a
     * choice changes.  DP_LASTING_SYNCED where the plan alone would not do to recognise what
     * was done, or where the document's place changes or is shown to others. */
    gboolean (*remember)(void *user, const json_t *planned, dp_lasting how,
                         GError **error);
    void *user;
    /* Folders whose new names the caller syncs before it takes the action for done; NULL:
     * the action syncs them itself. */
    GPtrArray *folders;
    gboolean is_unsynced; /* out: one of them is this action's */
    char *moved_to;       /* out: the document lies here now; caller frees */
} dp_action_run;

/* Put into a planned action what must be known of its target as it is before the plan is
 * journaled: from where a file that is appended to is to be searched later. */
void dp_action_note_target(json_t *planned);
/* May its folder be synced by the caller, together with those of others? */
gboolean dp_action_is_file(const char *kind);
gboolean dp_action_sync_dir(const char *path, GError **error);

/* Do it.  DP_ROUTE_TEMPORARY: later, not counted; DP_ROUTE_REFUSED: later, counted;
 * DP_ROUTE_VALUE: no use to try again.  Any thread; blocks. */
gboolean dp_action_do(dp_action_run *run, GError **error);

#endif

/*
 * options.h - what commands share: flags from the environment, locks, sizes.
 */
#ifndef DP_OPTIONS_H
#define DP_OPTIONS_H

#include "app.h"

/* Set the variables behind `entries` from the environment: --max-time with the prefix
 * DOCVL_BATCH from DOCVL_BATCH_MAX_TIME.  Called before the command line is parsed, which
 * wins.  A flag without value takes 1, yes, true or 0, no, false; a list is separated by
 * line feeds, or by colons when it has none.  An empty variable counts as not set. */
gboolean dp_options_from_env(const char *prefix, const GOptionEntry *entries,
                             GError **error);
/* For an error that begins with an option and its value ("--format xml: ..."): puts the
 * variable in front when the value is the one that stands there. */
void dp_options_name_variable(const char *prefix, GError **error);
/* A switch and a text that exclude each other: what the command line says takes away what
 * the environment said (as it was before the command line was parsed). */
void dp_options_exclude(gboolean *is_on, gboolean was_on, char **text,
                        const char *old_text);

/* "90", "90s", "15m", "6h", "2d": seconds.  "512MiB": bytes.  FALSE and an error of
 * G_OPTION_ERROR that names `option`. */
gboolean dp_option_seconds(const char *option, const char *text, guint *seconds,
                           GError **error);
gboolean dp_option_bytes(const char *option, const char *text, guint64 *bytes,
                         GError **error);

/* A lock file that cannot go stale: the lock belongs to the open file, so it ends with its
 * process however that dies.  The file stays (with the process number in it, for people). */
typedef struct dp_lock dp_lock;
/* Waits at most wait_s seconds, or until `cancellable`.  DP_IO_ERROR with EBUSY when another
 * process has it. */
dp_lock *dp_lock_take(const char *path, guint wait_s, GCancellable *cancellable,
                      GError **error);
void dp_lock_free(dp_lock *lock);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_lock, dp_lock_free)

/* Lines of a file of passwords, without empty ones.  Caller frees with g_strfreev(). */
char **dp_passwords_read(const char *path, GError **error);

/* The journal when none is named: $DOCVL_JOURNAL, $STATE_DIRECTORY/journal.db (systemd), or
 * $XDG_STATE_HOME/docvl/journal.db.  Caller frees. */
char *dp_journal_default(void);

#endif

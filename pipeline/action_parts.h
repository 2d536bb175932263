/*
 * action_parts.h - between actions.c and the files that do the single kinds.
 */
#ifndef DP_ACTION_PARTS_H
#define DP_ACTION_PARTS_H

#include "actions.h"

gboolean dp_do_move(dp_action_run *run, GError **error);
gboolean dp_do_copy(dp_action_run *run, GError **error);
gboolean dp_do_link(dp_action_run *run, GError **error);
gboolean dp_do_rename(dp_action_run *run, GError **error);
gboolean dp_do_write(dp_action_run *run, GError **error);
gboolean dp_do_append(dp_action_run *run, GError **error);
gboolean dp_do_command(dp_action_run *run, GError **error);
gboolean dp_do_webhook(dp_action_run *run, GError **error);
gboolean dp_do_mail(dp_action_run *run, GError **error);

/* Sets planned["offset"]. */
void dp_append_note_offset(json_t *planned);

/* DP_ROUTE_TEMPORARY or DP_ROUTE_REFUSED by errno; returns FALSE. */
gboolean dp_action_errno(GError **error, const char *what, const char *path);
gboolean dp_action_fail(GError **error, dp_route_code code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* The folder of `path` and those above it; each new one is synced into its parent. */
gboolean dp_action_make_dirs(const char *path, GError **error);
gboolean dp_action_write_all(int fd, const char *bytes, gsize length);
/* A file made for good: under `to`, or under a numbered name when other content has that.
 * Content that is there already is recognised.  The name goes to planned["chosen"]. */
gboolean dp_action_place_bytes(dp_action_run *run, const char *to, const char *bytes,
                               gsize length, GError **error);
/* The document, read whole; its hash is compared. */
GBytes *dp_action_document(dp_action_run *run, gsize bytes_max, GError **error);
/* What commands and webhooks get: key, rule, file, path, priority, result.  Caller frees. */
char *dp_action_payload(const dp_action_run *run, gsize *length);

#endif

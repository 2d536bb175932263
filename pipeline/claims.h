/*
 * claims.h - who works on which file of a watched folder.
 *
 * A watcher takes a file by renaming it into a folder of its own below the watched one:
 *
 *   FOLDER/.docvl/ID.lock          held (flock) while the watcher lives, and touched every
 *                                  minute; its owner's text
 *   FOLDER/.docvl/ID/NUMBER/FILE   what it took; FILE is relative to FOLDER
 *
 * rename(2) has one winner, so any number of watchers may look after one folder.  When a
 * watcher dies its lock is free: a watcher with the same owner text (the same journal)
 * takes over its files where they are, since the journal knows them by that path; one with
 * another journal gives them back to the folder when the lock was not touched for
 * DP_CLAIMS_ABANDONED_US.  The touch is for network file systems on which a lock is seen by
 * the machine that holds it only (sshfs, SMB with nobrl).
 *
 * A dp_claims belongs to one thread.
 */
#ifndef DP_CLAIMS_H
#define DP_CLAIMS_H

#include <gio/gio.h>

#define DP_CLAIMS_FOLDER       ".docvl"
#define DP_CLAIMS_ABANDONED_US (600 * G_USEC_PER_SEC)
#define DP_CLAIMS_TOUCH_US     (60 * G_USEC_PER_SEC)

typedef struct dp_claims dp_claims;

/* `owner` says which journal the claims are written to: no other one, on whatever machine,
 * may have the same text.  Errors are DP_IO_ERROR. */
dp_claims *dp_claims_open(const char *folder, const char *owner, GError **error);
/* Gives up the lock; files that were taken and are still there are somebody's to adopt. */
void dp_claims_free(dp_claims *claims);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_claims, dp_claims_free)

/* We live: to be called at least every DP_CLAIMS_TOUCH_US. */
void dp_claims_touch(dp_claims *claims);

/* Take `name` of the open folder dir_fd, which is folder/relative's.  The path that it has
 * now, or NULL (ENOENT: somebody else was faster).  Caller frees. */
char *dp_claims_take(dp_claims *claims, int dir_fd, const char *relative, GError **error);

typedef struct dp_claimed {
    char *path, *relative;
} dp_claimed;
void dp_claimed_free(gpointer claimed);

typedef enum dp_claims_which {
    DP_CLAIMS_ADOPTED_NOW, /* files of watchers that were found dead in this call */
    DP_CLAIMS_ALL,         /* and those that were ours before */
} dp_claims_which;

/* Adopt what dead watchers left, and list it.  GPtrArray of dp_claimed, the caller unrefs. */
GPtrArray *dp_claims_list(dp_claims *claims, dp_claims_which which, GError **error);

/* The paths of all files that any watcher took as `relative` and has still.  Needs no claims,
 * any thread.  GPtrArray of char *, the caller unrefs. */
GPtrArray *dp_claims_find(const char *folder, const char *relative);

/* "FOLDER/.docvl/ID/NUMBER/a/b.pdf" to "a/b.pdf"; NULL when `path` is no claim there.
 * Borrowed from `path`. */
const char *dp_claims_relative(const char *folder, const char *path);
/* The folder of the watcher that took `path`, FOLDER/.docvl/ID.  Caller frees. */
char *dp_claims_dir(const char *folder, const char *path);
/* Remove the folders that a file which was moved away leaves empty. */
void dp_claims_tidy(const char *folder, const char *path);

#endif

/*
 * watch_parts.h - a watched folder, as the three files that look after it see it.
 *
 *   watch_folder.c   the thread: the folder itself, scans, notices
 *   watch_take.c     one name: is it a document, is it whole, take it
 *   watch_journal.c  what was taken goes into the journal, or is recognised by it
 *
 * All of it belongs to the folder's thread but for `counts`.
 */
#ifndef DP_WATCH_PARTS_H
#define DP_WATCH_PARTS_H

#include "claims.h"
#include "watch.h"

#include <sys/stat.h>

typedef struct seen {
    char *relative;
    gint64 size, mtime_ns;
    guint64 inode;
    gint64 since_us, due_us; /* monotonic: unchanged since, look again */
    gint64 held_us;          /* monotonic: found open for writing since; 0: not */
    gboolean is_held_told;
    guint scan; /* number of the scan that saw it last */
    int priority;
} seen;

typedef struct refusal {
    guint64 inode;
    gint64 ctime_ns;
    guint scan;
    guint tries;
    gint64 again_us; /* monotonic: try it again; 0: only when it has changed */
} refusal;

typedef struct taken {
    char *path, *relative;
    gboolean is_recovered; /* found in the work folder, not taken now */
    guint attempts, stalls;
    gint64 due_us;
} taken;

struct dp_folder {
    dp_watch *watch;
    dp_site *site; /* holds config */
    const dp_folder_config *config;
    GThread *thread;
    int wake_fd;
    gint is_stopping, is_ended; /* atomic */

    int root_fd, notify_fd;
    dev_t device;
    ino_t inode;
    gboolean is_network, is_lost_told, is_overflow_told, is_depth_told;
    GHashTable *notices; /* inotify's number to the folder below the root, "" the root */
    dp_claims *claims;   /* NULL when files stay where they are, and none is left */
    GHashTable *waiting; /* relative to seen */
    GHashTable *refused; /* relative to refusal */
    GHashTable *kept;    /* relative to seen: done, and left where it is */
    GQueue adds;         /* of taken: to be put into the journal */
    guint scan;
    guint sweeps; /* of the watch, when this folder swept last */
    gint64 scan_us, sweep_us, check_us;

    GMutex lock; /* guards counts */
    dp_folder_counts counts;
};

/* Files stay where they are: nothing is taken by renaming. */
static inline gboolean dp_folder_is_kept(const dp_folder *folder)
{
    return folder->config->on_done == DP_DONE_KEEP;
}

/* watch_folder.c */
gint64 dp_now_us(void);
/* Where a file belongs now; *site is a reference that `place` borrows from. */
gboolean dp_folder_place(const dp_folder *folder, const char *relative, char **origin,
                         dp_site **site, dp_place *place);
/* Open a folder below the root without following a link in any part.  -1: not there. */
int dp_folder_open_below(const dp_folder *folder, const char *relative);
/* "I am alive", with the counts as they are. */
void dp_folder_beat(dp_folder *folder);

/* watch_take.c */
/* Look at `name` of the open folder dir_fd; `relative` is its whole path below the root. */
void dp_folder_look(dp_folder *folder, int dir_fd, const char *name,
                    const char *relative);
gboolean dp_folder_is_marker(const dp_folder *folder, const char *name);
/* A file that was refused may be taken now, or is gone. */
void dp_folder_accept(dp_folder *folder, const char *relative);
/* Take what has settled.  *next_us: when the next one is due; G_MAXINT64: none waits. */
void dp_folder_settle(dp_folder *folder, gint64 *next_us);

/* watch_journal.c */
/* Takes path and relative. */
void dp_folder_push(dp_folder *folder, char *path, char *relative, gboolean is_recovered);
/* Put what was taken into the journal; *next_us as above. */
void dp_folder_add_all(dp_folder *folder, gint64 *next_us);
void dp_taken_free(gpointer taken);

#endif

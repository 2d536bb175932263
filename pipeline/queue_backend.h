/*
 * queue_backend.h - what a storage of the journal implements; for queue.c and the storages
 * only.  Each function has the meaning of its namesake in queue.h, arguments already
 * checked, outputs never NULL but where queue.h allows it.
 */
#ifndef DP_QUEUE_BACKEND_H
#define DP_QUEUE_BACKEND_H

#include "queue.h"

typedef struct dp_queue_class {
    void (*free)(dp_queue *queue);
    gboolean (*add)(dp_queue *queue, const dp_arrival *arrival, dp_added *added,
                    GError **error);
    gboolean (*known_hash)(dp_queue *queue, const char *lane, const char *path,
                           const dp_stamp *stamp, char sha256[65]);
    dp_doc *(*claim)(dp_queue *queue, const dp_claim *claim, GError **error);
    gboolean (*recover)(dp_queue *queue, guint *count, GError **error);
    gboolean (*heartbeat)(dp_queue *queue, gint64 lease_ms, GError **error);
    gboolean (*next_due)(dp_queue *queue, const char *lane, gint64 *ms, GError **error);
    gboolean (*advance)(dp_queue *queue, gint64 id, dp_state to, GError **error);
    gboolean (*publish)(dp_queue *queue, gint64 id, const dp_publication *publication,
                        GError **error);
    gboolean (*fail)(dp_queue *queue, gint64 id, const dp_failure *failure,
                     dp_doc **after, GError **error);
    gboolean (*given_up)(dp_queue *queue, gint64 id, GError **error);
    gboolean (*unclaim)(dp_queue *queue, gint64 id, GError **error);
    gboolean (*routed)(dp_queue *queue, gint64 id, dp_lasting how, GError **error);
    gboolean (*sync)(dp_queue *queue, gboolean is_all, GError **error);
    gboolean (*set_path)(dp_queue *queue, gint64 id, const char *path, GError **error);
    gboolean (*set_origin)(dp_queue *queue, gint64 id, const char *path, GError **error);
    gboolean (*set_target)(dp_queue *queue, gint64 id, const char *target,
                           GError **error);
    gboolean (*rekey)(dp_queue *queue, gint64 id, const char *sha256, const char *recipe,
                      gint64 *twin, GError **error);
    dp_doc *(*get)(dp_queue *queue, gint64 id, GError **error);
    dp_doc *(*find)(dp_queue *queue, const char *lane, const char *sha256,
                    const char *recipe, GError **error);
    gboolean (*actions_plan)(dp_queue *queue, gint64 document, GPtrArray *plan,
                             GError **error);
    GPtrArray *(*actions)(dp_queue *queue, gint64 document, GError **error);
    gboolean (*action_start)(dp_queue *queue, gint64 action, const char *detail,
                             dp_lasting how, GError **error);
    gboolean (*action_done)(dp_queue *queue, gint64 action, const char *moved_to,
                            GError **error);
    gboolean (*action_fail)(dp_queue *queue, gint64 action, const dp_failure *failure,
                            GError **error);
    gboolean (*counts)(dp_queue *queue, const char *lane, dp_counts *counts,
                       GError **error);
    json_t *(*reasons)(dp_queue *queue, const char *lane, GError **error);
    GPtrArray *(*list)(dp_queue *queue, const dp_filter *filter, GError **error);
    gboolean (*retry)(dp_queue *queue, const char *lane, gint64 id, dp_retry which,
                      guint *count, GError **error);
    gboolean (*redo)(dp_queue *queue, gint64 id, GError **error);
    gboolean (*prune)(dp_queue *queue, const char *lane, gint64 before, guint *count,
                      GError **error);
    gboolean (*forget)(dp_queue *queue, const char *lane, gint64 id, guint *count,
                       GError **error);
} dp_queue_class;

/* First member of every storage's own struct. */
struct dp_queue {
    const dp_queue_class *class;
};

dp_queue *dp_queue_sqlite_open(const char *path, dp_queue_mode mode, GError **error);

/* Milliseconds: of the wall clock, and of the clock that nobody sets and that all processes
 * of this boot share. */
gint64 dp_now_ms(void);
gint64 dp_monotonic_ms(void);

/* A worker's string says that its process is gone: it ran in another boot of this machine,
 * or its process number is free or another process's.  FALSE when that can't be seen (it
 * lives in another process name space): then only its lease counts. */
gboolean dp_worker_is_dead(const char *worker);
/* Both ran (or run) on this boot, so that their monotonic clocks compare. */
gboolean dp_worker_is_same_boot(const char *worker);

/* A time to come, unless the clock was set back: farther away than any wait that we hand
 * out means at once. */
#define DP_WAIT_MAX_MS (3 * 60 * 60 * 1000)

#endif

/*
 * tsan_glib.c - tells ThreadSanitizer of GLib's locks, conditions and counts.  It cannot see
 * them: GLib is not instrumented and takes them by futex.  Linked into programs built with
 * -Db_sanitize=thread, where these functions stand before GLib's.
 */
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire(void *address);
void __tsan_release(void *address);
const char *__tsan_default_suppressions(void);

/* GLib makes the inside of a lock for readers when it is first taken, by atomics that are not
 * seen either. */
const char *__tsan_default_suppressions(void)
{
    return "race:g_rw_lock_reader_lock\nrace:g_rw_lock_writer_lock\n";
}

/* The function of GLib itself. */
#define REAL(name) ((__typeof__(&(name)))real_function(&real_##name, #name))

static gpointer real_function(gpointer *known, const char *name)
{
    gpointer found = __atomic_load_n(known, __ATOMIC_RELAXED);
    if (found == NULL) {
        found = dlsym(RTLD_NEXT, name);
        __atomic_store_n(known, found, __ATOMIC_RELAXED);
    }
    return found;
}

/* A lock: what was done under it is seen by who takes it next. */
#define TAKE(name, type)                                                                 \
    void name(type *lock)                                                                \
    {                                                                                    \
        static gpointer real_##name;                                                     \
        REAL(name)(lock);                                                                \
        __tsan_acquire(lock);                                                            \
    }
#define TRY(name, type)                                                                  \
    gboolean name(type *lock)                                                            \
    {                                                                                    \
        static gpointer real_##name;                                                     \
        gboolean is_taken = REAL(name)(lock);                                            \
        if (is_taken)                                                                    \
            __tsan_acquire(lock);                                                        \
        return is_taken;                                                                 \
    }
#define GIVE(name, type)                                                                 \
    void name(type *lock)                                                                \
    {                                                                                    \
        static gpointer real_##name;                                                     \
        __tsan_release(lock);                                                            \
        REAL(name)(lock);                                                                \
    }

TAKE(g_mutex_lock, GMutex)
TRY(g_mutex_trylock, GMutex)
GIVE(g_mutex_unlock, GMutex)
TAKE(g_rec_mutex_lock, GRecMutex)
TRY(g_rec_mutex_trylock, GRecMutex)
GIVE(g_rec_mutex_unlock, GRecMutex)
TAKE(g_rw_lock_writer_lock, GRWLock)
GIVE(g_rw_lock_writer_unlock, GRWLock)
TAKE(g_rw_lock_reader_lock, GRWLock)
GIVE(g_rw_lock_reader_unlock, GRWLock)

void g_cond_wait(GCond *cond, GMutex *mutex)
{
    static gpointer real_g_cond_wait;
    __tsan_release(mutex);
    REAL(g_cond_wait)(cond, mutex);
    __tsan_acquire(mutex);
}

gboolean g_cond_wait_until(GCond *cond, GMutex *mutex, gint64 end)
{
    static gpointer real_g_cond_wait_until;
    __tsan_release(mutex);
    gboolean is_woken = REAL(g_cond_wait_until)(cond, mutex, end);
    __tsan_acquire(mutex);
    return is_woken;
}

/* Who drops the last reference has seen what the others did. */
gboolean g_atomic_ref_count_dec(gatomicrefcount *count)
{
    static gpointer real_g_atomic_ref_count_dec;
    __tsan_release(count);
    gboolean is_last = REAL(g_atomic_ref_count_dec)(count);
    if (is_last)
        __tsan_acquire(count);
    return is_last;
}

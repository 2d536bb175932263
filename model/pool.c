/*
 * pool.c - persistent worker threads.
 *
 * A call offers seats to the sleeping workers and starts on the items itself; who
 * wakes in time takes a seat, who comes late finds none and sleeps again.  So a
 * short call never waits for a thread that the system has not scheduled yet.
 *
 * The workers belong to one call at a time.  A call that finds them taken does not wait: it
 * works off its items alone, in a guest's slot.  So a caller for each processor on a pool of
 * one thread keeps all of them busy, and results do not depend on who worked.
 */
#include "pool.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef struct worker {
    struct vl_pool *pool;
    pthread_t thread;
    uint32_t slot;
} worker;

struct vl_pool {
    pthread_mutex_t lock;
    pthread_cond_t work; /* seats > 0 or is_stopping */
    pthread_cond_t done; /* running == 0 */
    pthread_cond_t idle; /* !is_busy */
    uint32_t threads;
    uint32_t started; /* workers that run, without the caller */
    uint32_t seats;   /* workers that may still join the call */
    uint32_t running; /* workers inside the call */
    bool is_busy;
    bool is_stopping;
    uint64_t guests; /* bits of the guests' slots that are taken */
    size_t count;
    atomic_size_t next;
    void (*fn)(void *arg, size_t i, uint32_t slot);
    void *arg;
    worker *workers;
    uint8_t *
        scratch; /* [threads + VL_POOL_GUESTS_MAX][VL_SCRATCH_BYTES]; unused ones take address
                         space only */
};

static void take_items(vl_pool *pool, uint32_t slot)
{
    for (;;) {
        size_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->count)
            return;
        pool->fn(pool->arg, i, slot);
    }
}

static void *worker_main(void *arg)
{
    worker *self = arg;
    vl_pool *pool = self->pool;
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->seats == 0 && !pool->is_stopping)
            pthread_cond_wait(&pool->work, &pool->lock);
        if (pool->is_stopping)
            break;
        pool->seats--;
        pool->running++;
        pthread_mutex_unlock(&pool->lock);
        take_items(pool, self->slot);
        pthread_mutex_lock(&pool->lock);
        pool->running--;
        if (pool->running == 0)
            pthread_cond_signal(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

vl_pool *vl_pool_new(uint32_t threads, vl_error *err)
{
    if (threads == 0 || threads > VL_THREADS_MAX)
        return vl_fail(err, VL_LIMIT, "%u threads, allowed are 1 to %u", threads,
                       VL_THREADS_MAX);

    vl_pool *pool = calloc(1, sizeof *pool);
    worker *workers = calloc(threads, sizeof *workers);
    uint8_t *scratch =
        aligned_alloc(64, (size_t)(threads + VL_POOL_GUESTS_MAX) * VL_SCRATCH_BYTES);
    if (pool == NULL || workers == NULL || scratch == NULL) {
        free(pool);
        free(workers);
        free(scratch);
        return vl_fail(err, VL_NOMEM, "no memory for a pool of %u threads", threads);
    }
    pool->threads = threads;
    pool->workers = workers;
    pool->scratch = scratch;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pthread_cond_init(&pool->idle, NULL);
    atomic_init(&pool->next, 0);
    for (uint32_t i = 0; i + 1 < threads; i++) {
        workers[i].pool = pool;
        workers[i].slot = i + 1;
        int failed = pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]);
        if (failed != 0) {
            vl_pool_free(pool);
            return vl_fail(err, VL_NOMEM, "cannot start thread %u of %u", i + 2, threads);
        }
        pool->started++;
    }
    return pool;
}

void vl_pool_free(vl_pool *pool)
{
    if (pool == NULL)
        return;
    pthread_mutex_lock(&pool->lock);
    assert(!pool->is_busy);
    pool->is_stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    free(pool->scratch);
    free(pool->workers);
    free(pool);
}

uint32_t vl_pool_threads(const vl_pool *pool)
{
    return pool->threads;
}

void *vl_pool_scratch(const vl_pool *pool, uint32_t slot)
{
    assert(slot < pool->threads + VL_POOL_GUESTS_MAX);
    return pool->scratch + (size_t)slot * VL_SCRATCH_BYTES;
}

/* Work alone beside the call that has the workers.  Called with the lock held, gives it up;
 * false: no slot is free. */
static bool run_as_guest(vl_pool *pool, size_t count,
                         void (*fn)(void *arg, size_t i, uint32_t slot), void *arg)
{
    if (~pool->guests == 0)
        return false;
    uint32_t guest = (uint32_t)__builtin_ctzll(~pool->guests);
    pool->guests |= 1ull << guest;
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = 0; i < count; i++)
        fn(arg, i, pool->threads + guest);
    pthread_mutex_lock(&pool->lock);
    pool->guests &= ~(1ull << guest);
    pthread_cond_signal(&pool->idle);
    pthread_mutex_unlock(&pool->lock);
    return true;
}

void vl_pool_run(vl_pool *pool, size_t count,
                 void (*fn)(void *arg, size_t i, uint32_t slot), void *arg)
{
    assert(pool != NULL);
    assert(fn != NULL);
    if (count == 0)
        return;

    pthread_mutex_lock(&pool->lock);
    while (pool->is_busy) {
        if (run_as_guest(pool, count, fn, arg))
            return;
        pthread_cond_wait(&pool->idle, &pool->lock);
    }
    pool->is_busy = true;
    pool->fn = fn;
    pool->arg = arg;
    pool->count = count;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    size_t wanted = count - 1;
    pool->seats = wanted < pool->threads - 1 ? (uint32_t)wanted : pool->threads - 1;
    for (uint32_t i = 0; i < pool->seats; i++)
        pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);

    take_items(pool, 0);

    pthread_mutex_lock(&pool->lock);
    pool->seats = 0;
    while (pool->running > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pool->is_busy = false;
    pthread_cond_signal(&pool->idle);
    pthread_mutex_unlock(&pool->lock);
}

/*
 * pool.h - what the operations of model/ share about the thread pool.
 */
#ifndef VL_POOL_H
#define VL_POOL_H

#include "ops.h"

#define VL_SCRATCH_BYTES   (1u << 20)
#define VL_POOL_GUESTS_MAX 64 /* callers that work alone at once; the next one waits */

/* VL_SCRATCH_BYTES of memory, 64-byte aligned, that belong to worker `slot` while
 * one call of its function runs.  Slots are below the number of threads and
 * VL_POOL_GUESTS_MAX together. */
void *vl_pool_scratch(const vl_pool *pool, uint32_t slot);

#endif

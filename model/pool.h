/*
 * pool.h - what the operations of model/ share about the thread pool.
 */
#ifndef VL_POOL_H
#define VL_POOL_H

#include "ops.h"

#define VL_SCRATCH_BYTES (1u << 20)

/* VL_SCRATCH_BYTES of memory, 64-byte aligned, that belong to worker `slot` while
 * one call of its function runs. */
void *vl_pool_scratch(const vl_pool *pool, uint32_t slot);

#endif

/*
 * weights.h - the tensors of a checkpoint folder, mapped read-only.
 *
 * Reads model.safetensors, or the shards that model.safetensors.index.json names.
 * Headers are checked completely before the first tensor is handed out: known
 * types, sizes that follow from the shapes, no overlap, no hole, nothing behind.
 */
#ifndef VL_WEIGHTS_H
#define VL_WEIGHTS_H

#include "ops.h"
#include "sha256.h"

#define VL_WEIGHTS_HEADER_BYTES_MAX (16u << 20)
#define VL_WEIGHTS_SHARDS_MAX       64
#define VL_WEIGHTS_TENSORS_MAX      65536
#define VL_WEIGHTS_NDIM_MAX         4

typedef struct vl_tensor {
    const char *name;
    const uint8_t *data; /* any alignment */
    uint64_t bytes, count;
    vl_dtype dtype;
    uint32_t ndim;
    uint64_t shape[VL_WEIGHTS_NDIM_MAX];
} vl_tensor;

typedef struct vl_weights vl_weights;

vl_weights *vl_weights_open(const char *dir, vl_error *err);
void vl_weights_free(vl_weights *weights);
/* Borrowed; NULL when there is none of this name. */
const vl_tensor *vl_weights_get(const vl_weights *weights, const char *name);
size_t vl_weights_count(const vl_weights *weights);
void vl_weights_hash(const vl_weights *weights, vl_sha256 *sha);
/* Takes the tensor's pages out of memory; reading them again brings them back. */
void vl_weights_release(const vl_weights *weights, const vl_tensor *tensor);

/* A whole small file, zero behind it; the caller frees it.  VL_LIMIT above bytes_max. */
char *vl_file_read(const char *dir, const char *name, size_t bytes_max, size_t *bytes,
                   vl_error *err);

#endif

/*
 * ops.h - the arithmetic that the graphs of model/ are written in.
 *
 * Every operation works on row-major float matrices and splits its rows over the
 * pool.  The kernels behind them are chosen once per process (kernels.h).
 */
#ifndef VL_OPS_H
#define VL_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vl.h"

/* Limits that the callers check before they build a graph. */
#define VL_LINEAR_IN_MAX  65536u /* 255 * 127 * in stays below 2^31 */
#define VL_LINEAR_OUT_MAX (1u << 22)
#define VL_HEAD_DIM_MAX   256u
#define VL_THREADS_MAX    256u

typedef struct vl_pool vl_pool;

/* `threads` workers (the caller is one of them); NULL when no thread starts. */
vl_pool *vl_pool_new(uint32_t threads, vl_error *err);
void vl_pool_free(vl_pool *pool);
uint32_t vl_pool_threads(const vl_pool *pool);
/* Run fn(arg, i, slot) for i in [0, count); `slot` is the running worker's own
 * (pool.h says how large it can be).
 * Several callers may use one pool: calls queue. */
void vl_pool_run(vl_pool *pool, size_t count,
                 void (*fn)(void *arg, size_t i, uint32_t slot), void *arg);

/* A weight matrix [out][in] with an optional bias [out], packed for this CPU. */
typedef struct vl_linear vl_linear;

typedef enum vl_dtype { VL_F32, VL_F16, VL_BF16, VL_I8 } vl_dtype;

typedef struct vl_linear_source {
    const void *data; /* [out][in], little endian, any alignment */
    vl_dtype dtype;
    const float *scale; /* [out], for VL_I8: value = scale[row] * data[row][col] */
    const float *bias;  /* [out] or NULL; copied */
    uint32_t out, in;
    vl_pool *pool; /* that packs; NULL: the caller alone */
} vl_linear_source;

vl_linear *vl_linear_new(const vl_linear_source *source, vl_compute compute,
                         vl_error *err);
void vl_linear_free(vl_linear *linear);
size_t vl_linear_bytes(const vl_linear *linear);
uint32_t vl_linear_out(const vl_linear *linear);
uint32_t vl_linear_in(const vl_linear *linear);

typedef enum vl_act { VL_ACT_NONE, VL_ACT_GELU_TANH, VL_ACT_GELU_ERF } vl_act;

/* y[rows][out] = act(x[rows][in] W^T + b).  Strides in floats.  With `is_added` the
 * product is added to y (residual). */
typedef struct vl_linear_args {
    const float *x;
    size_t rows, x_stride;
    float *y;
    size_t y_stride;
    vl_act act;
    bool is_added;
} vl_linear_args;
void vl_linear_apply(vl_pool *pool, const vl_linear *linear, const vl_linear_args *args);

/* Products that do not depend on each other, together: many small ones keep every
 * worker busy where one alone could not. */
typedef struct vl_linear_job {
    const vl_linear *linear;
    vl_linear_args args;
} vl_linear_job;
void vl_linear_apply_all(vl_pool *pool, const vl_linear_job *jobs, size_t count);

/* y = (x - mean) / sqrt(var + eps) * weight + bias, per row of n. */
void vl_layernorm(vl_pool *pool, const float *x, size_t rows, size_t n,
                  const float *weight, const float *bias, float eps, float *y);
/* y = x / sqrt(mean(x^2) + eps) * weight, per row of n. */
void vl_rmsnorm(vl_pool *pool, const float *x, size_t rows, size_t n, const float *weight,
                float eps, float *y);
/* gate[i] = silu(gate[i]) * up[i]. */
void vl_silu_mul(vl_pool *pool, float *gate, const float *up, size_t n);
/* Half-split rotation (LLaMA): row r of x[rows][heads][dim] stands at position pos0 + r. */
void vl_rope_half(vl_pool *pool, float *x, size_t rows, size_t stride, uint32_t heads,
                  uint32_t dim, uint32_t pos0,
                  const float *cos_sin /* [max][dim]: half cos, then half sin */);
/* Rotation of neighbouring pairs (2i, 2i + 1), as latent attention has it, of `dim`
 * values at x + r * stride + h * head_stride; the same table. */
void vl_rope_pairs(vl_pool *pool, float *x, size_t rows, size_t stride, uint32_t heads,
                   size_t head_stride, uint32_t dim, uint32_t pos0, const float *cos_sin);
void vl_softmax_row(float *x, size_t n);

/* Attention.  q[rows_q], k/v[rows_k], each row [heads][dim] at its own stride (floats).
 * Causal: query row r sees keys 0 .. rows_k - rows_q + r.  `batches` independent
 * problems of the same shape lie batch_*_stride floats apart.  Softmax in float.
 *
 * Latent attention differs in three things, all zero otherwise: values have their own
 * width `dim_v`, heads of keys and values lie `head_stride` floats apart, and the last
 * `dim_shared` values of a query meet a part of the key that all heads have in common.
 * Queries are then [heads][dim + dim_shared].
 *
 * With `is_packed` keys and values lie as vl_attention_pack() puts them, and k_stride and
 * v_stride are the floats of a block; the numbers are those without it.
 *
 * Up to VL_ROWS_FEW - 1 query rows sum their scores in another order than more do.  Rows that
 * run together with others, but must give the numbers of a run of their own, say with
 * `is_few` which order that is; without it rows_q decides. */
#define VL_ROWS_FEW 4u
typedef struct vl_attention_args {
    const float *q, *k, *v;
    float *out;
    size_t q_stride, k_stride, v_stride, out_stride;
    size_t batches, batch_q, batch_k, batch_v, batch_out;
    uint32_t rows_q, rows_k, heads, dim;
    uint32_t dim_v, dim_shared;
    size_t head_stride;
    const float *k_shared; /* [rows_k][dim_shared], the same in every batch */
    size_t k_shared_stride;
    float scale;
    bool is_causal, is_packed;
    const bool *is_few; /* [rows_q], packed: the row comes in a run of few (see below) */
} vl_attention_args;
void vl_attention(vl_pool *pool, const vl_attention_args *args);

/* Keys and values that stay, laid out as attention reads them, in blocks of
 * VL_KEYS_BLOCK positions:
 *
 *   keys    [blocks][heads][dim][VL_KEYS_BLOCK]
 *   values  [blocks][heads][dim in panels of 64][VL_KEYS_BLOCK][64]
 *
 * Puts `rows` rows args->k, args->v (heads, dim and strides from there) at the positions
 * from `pos` on, on the caller's thread. */
#define VL_KEYS_BLOCK 64u
void vl_attention_pack(const vl_attention_args *args, float *keys, float *values,
                       uint32_t pos, uint32_t rows);
size_t vl_attention_key_block(uint32_t heads, uint32_t dim); /* floats of a block */
size_t vl_attention_value_block(uint32_t heads, uint32_t dim);

/* Name of the kernel table in use, of the OpenBLAS core ("none" without). */
const char *vl_kernels_name(void);
const char *vl_blas_name(void);

/* The one place that fills a vl_error; returns NULL. */
void *vl_fail(vl_error *err, vl_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

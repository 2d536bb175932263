/*
 * ops.c - norms, activations, rotary positions, softmax and attention over the pool.
 *
 * Attention walks the keys in blocks of VL_PANEL and keeps, per query row, the
 * running maximum and sum of the softmax, so no matrix of scores exists.
 */
#include "ops.h"

#include "kernels.h"
#include "pool.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define TASK_FLOATS (64u * 1024) /* elementwise work that is worth a task */

typedef struct rows_job {
    const vl_kernels *kernels;
    const float *x, *weight, *bias;
    float *y;
    size_t rows, n, block;
    float eps;
    const float *cos_sin;
    size_t stride;
    uint32_t heads, dim, pos0;
} rows_job;

static void run_rows(vl_pool *pool, rows_job *job, size_t row_floats,
                     void (*fn)(void *arg, size_t i, uint32_t slot))
{
    if (job->rows == 0)
        return;
    job->kernels = vl_kernels_get();
    job->block = TASK_FLOATS / (row_floats > 0 ? row_floats : 1) + 1;
    vl_pool_run(pool, (job->rows + job->block - 1) / job->block, fn, job);
}

static size_t block_end(const rows_job *job, size_t i)
{
    size_t end = (i + 1) * job->block;
    return end < job->rows ? end : job->rows;
}

static void layernorm_task(void *arg, size_t i, uint32_t slot)
{
    const rows_job *j = arg;
    for (size_t r = i * j->block; r < block_end(j, i); r++)
        j->kernels->layernorm(j->x + r * j->n, j->n, j->weight, j->bias, j->eps,
                              j->y + r * j->n);
}

void vl_layernorm(vl_pool *pool, const float *x, size_t rows, size_t n,
                  const float *weight, const float *bias, float eps, float *y)
{
    rows_job job = {
        .x = x, .weight = weight, .bias = bias, .y = y, .rows = rows, .n = n, .eps = eps
    };
    run_rows(pool, &job, n, layernorm_task);
}

static void rmsnorm_task(void *arg, size_t i, uint32_t slot)
{
    const rows_job *j = arg;
    for (size_t r = i * j->block; r < block_end(j, i); r++)
        j->kernels->rmsnorm(j->x + r * j->n, j->n, j->weight, j->eps, j->y + r * j->n);
}

void vl_rmsnorm(vl_pool *pool, const float *x, size_t rows, size_t n, const float *weight,
                float eps, float *y)
{
    rows_job job = { .x = x, .weight = weight, .y = y, .rows = rows, .n = n, .eps = eps };
    run_rows(pool, &job, n, rmsnorm_task);
}

/* "Rows" of one float each: blocks are runs of elements. */
static void silu_task(void *arg, size_t i, uint32_t slot)
{
    const rows_job *j = arg;
    size_t first = i * j->block;
    j->kernels->silu_mul(j->y + first, j->x + first, block_end(j, i) - first);
}

void vl_silu_mul(vl_pool *pool, float *gate, const float *up, size_t n)
{
    rows_job job = { .x = up, .y = gate, .rows = n };
    run_rows(pool, &job, 4, silu_task);
}

static void rope_task(void *arg, size_t i, uint32_t slot)
{
    const rows_job *j = arg;
    size_t half = j->dim / 2;
    for (size_t r = i * j->block; r < block_end(j, i); r++) {
        const float *cosine = j->cos_sin + (j->pos0 + r) * j->dim;
        const float *sine = cosine + half;
        for (size_t h = 0; h < j->heads; h++) {
            float *x = j->y + r * j->stride + h * j->dim;
            for (size_t d = 0; d < half; d++) {
                float a = x[d], b = x[d + half];
                x[d] = a * cosine[d] - b * sine[d];
                x[d + half] = b * cosine[d] + a * sine[d];
            }
        }
    }
}

void vl_rope_half(vl_pool *pool, float *x, size_t rows, size_t stride, uint32_t heads,
                  uint32_t dim, uint32_t pos0, const float *cos_sin)
{
    assert(dim % 2 == 0);
    rows_job job = { .y = x,
                     .rows = rows,
                     .stride = stride,
                     .heads = heads,
                     .dim = dim,
                     .pos0 = pos0,
                     .cos_sin = cos_sin };
    run_rows(pool, &job, (size_t)heads * dim, rope_task);
}

static void rope_pairs_task(void *arg, size_t i, uint32_t slot)
{
    const rows_job *j = arg;
    size_t half = j->dim / 2;
    for (size_t r = i * j->block; r < block_end(j, i); r++) {
        const float *cosine = j->cos_sin + (j->pos0 + r) * j->dim;
        const float *sine = cosine + half;
        for (size_t h = 0; h < j->heads; h++) {
            float *x = j->y + r * j->stride + h * j->n;
            for (size_t d = 0; d < half; d++) {
                float a = x[2 * d], b = x[2 * d + 1];
                x[2 * d] = a * cosine[d] - b * sine[d];
                x[2 * d + 1] = b * cosine[d] + a * sine[d];
            }
        }
    }
}

void vl_rope_pairs(vl_pool *pool, float *x, size_t rows, size_t stride, uint32_t heads,
                   size_t head_stride, uint32_t dim, uint32_t pos0, const float *cos_sin)
{
    assert(dim % 2 == 0);
    rows_job job = { .y = x,
                     .rows = rows,
                     .stride = stride,
                     .heads = heads,
                     .n = head_stride,
                     .dim = dim,
                     .pos0 = pos0,
                     .cos_sin = cos_sin };
    run_rows(pool, &job, (size_t)heads * dim, rope_pairs_task);
}

void vl_softmax_row(float *x, size_t n)
{
    if (n == 0)
        return;
    const vl_kernels *kernels = vl_kernels_get();
    float sum = kernels->exp_sum(x, n, kernels->max(x, n));
    kernels->scale(x, 1 / sum, x, n);
}

/* ---- attention ------------------------------------------------------------ */

#define Q_CHUNK    256u /* query rows of a task, that share the packing of a key block */
#define Q_TILE     48u  /* query rows whose scores are in work at once */
#define DIM_PANELS (VL_HEAD_DIM_MAX / VL_PANEL)

typedef struct attention_scratch {
    float q[Q_CHUNK * VL_HEAD_DIM_MAX];           /* [rows][dim], times scale */
    float out[DIM_PANELS][Q_CHUNK * VL_PANEL];    /* not yet divided by sum */
    float key[VL_HEAD_DIM_MAX * VL_PANEL];        /* [dim][keys] */
    float value[DIM_PANELS][VL_PANEL * VL_PANEL]; /* [keys][VL_PANEL] */
    float score[Q_TILE * VL_PANEL];
    float max[Q_CHUNK], sum[Q_CHUNK];
} attention_scratch;

_Static_assert(sizeof(attention_scratch) <= VL_SCRATCH_BYTES, "scratch of a task fits");

typedef struct attention_job {
    const vl_kernels *kernels;
    const vl_attention_args *args;
    vl_pool *pool;
    size_t chunk, chunks; /* query rows of a task, tasks per head */
    size_t dim, dim_v;    /* whole width of a query, of a value */
    bool is_few;          /* rows_q is below VL_ROWS_FEW */
} attention_job;

_Static_assert(VL_KEYS_BLOCK == VL_PANEL, "a block of keys is a panel of the products");

static size_t panels_of(size_t dim)
{
    return (dim + VL_PANEL - 1) / VL_PANEL;
}

/* One head of one problem. */
typedef struct head {
    const float *q, *k, *v, *shared;
    float *out;
} head;

static head head_at(const attention_job *j, size_t problem, size_t row)
{
    const vl_attention_args *a = j->args;
    size_t batch = problem / a->heads, index = problem % a->heads;
    size_t key_stride = a->head_stride != 0 ? a->head_stride : a->dim;
    size_t value_stride = a->head_stride != 0 ? a->head_stride : j->dim_v;
    if (a->is_packed) {
        key_stride = (size_t)a->dim * VL_PANEL;
        value_stride = panels_of(a->dim) * VL_PANEL * VL_PANEL;
    }
    return (head){ .q = a->q + batch * a->batch_q + row * a->q_stride + index * j->dim,
                   .k = a->k + batch * a->batch_k + index * key_stride,
                   .v = a->v + batch * a->batch_v + index * value_stride,
                   .shared = a->k_shared,
                   .out = a->out + batch * a->batch_out + row * a->out_stride +
                          index * j->dim_v };
}

/* Keys that query row `row` sees. */
static size_t visible(const vl_attention_args *a, size_t row)
{
    return a->is_causal ? (size_t)a->rows_k - a->rows_q + row + 1 : a->rows_k;
}

/* Shuffled by what both GCC (from 12) and clang have. */
typedef float four __attribute__((vector_size(16)));

/* Four values each of four rows, turned: row d of `to` gets value d of each. */
static void turn_four(float *to, const float *k, size_t stride)
{
    four a, b, c, d;
    memcpy(&a, k, sizeof a);
    memcpy(&b, k + stride, sizeof b);
    memcpy(&c, k + 2 * stride, sizeof c);
    memcpy(&d, k + 3 * stride, sizeof d);
    four ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    four ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    four cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    four cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
    memcpy(to, &a, sizeof a);
    memcpy(to + VL_PANEL, &b, sizeof b);
    memcpy(to + 2 * VL_PANEL, &c, sizeof c);
    memcpy(to + 3 * VL_PANEL, &d, sizeof d);
}

/* Columns [0, dim) of `keys` rows k as rows of `to`, [dim][VL_PANEL]. */
static void pack_columns(float *to, const float *k, size_t stride, size_t dim,
                         size_t keys)
{
    size_t keys_four = keys - keys % 4, dim_four = dim - dim % 4;
    for (size_t i = 0; i < keys_four; i += 4) {
        for (size_t d = 0; d < dim_four; d += 4)
            turn_four(to + d * VL_PANEL + i, k + i * stride + d, stride);
        for (size_t d = dim_four; d < dim; d++)
            for (size_t n = i; n < i + 4; n++)
                to[d * VL_PANEL + n] = k[n * stride + d];
    }
    for (size_t i = keys_four; i < keys; i++)
        for (size_t d = 0; d < dim; d++)
            to[d * VL_PANEL + i] = k[i * stride + d];
}

/* Up to VL_PANEL values of a row, the others zero.  Both branches say it: a copy of a size
 * known beforehand takes no call. */
static void pack_value(float *to, const float *v, size_t cols)
{
    if (cols >= VL_PANEL) {
        memcpy(to, v, VL_PANEL * sizeof *to);
    } else {
        memcpy(to, v, cols * sizeof *to);
        memset(to + cols, 0, (VL_PANEL - cols) * sizeof *to);
    }
}

static void pack_keys(const attention_job *j, const head *h, size_t key0, size_t keys,
                      attention_scratch *s)
{
    const vl_attention_args *a = j->args;
    const float *v = h->v + key0 * a->v_stride;
    if (keys < VL_PANEL) {
        memset(s->key, 0, j->dim * VL_PANEL * sizeof(float));
        memset(s->value, 0, sizeof s->value);
    }
    pack_columns(s->key, h->k + key0 * a->k_stride, a->k_stride, a->dim, keys);
    if (a->dim_shared > 0)
        pack_columns(s->key + (size_t)a->dim * VL_PANEL,
                     h->shared + key0 * a->k_shared_stride, a->k_shared_stride,
                     a->dim_shared, keys);
    for (size_t p = 0; p * VL_PANEL < j->dim_v; p++)
        for (size_t i = 0; i < keys; i++)
            pack_value(s->value[p] + i * VL_PANEL, v + i * a->v_stride + p * VL_PANEL,
                       j->dim_v - p * VL_PANEL);
}

/* Turn the scores of one row into weights and rescale what the row has so far. */
static void softmax_step(const vl_kernels *kernels, attention_scratch *s, size_t r,
                         float *score, size_t keys, size_t panels)
{
    memset(score + keys, 0, (VL_PANEL - keys) * sizeof *score);
    if (keys == 0)
        return;
    float top = kernels->max(score, keys);
    if (top > s->max[r]) {
        float factor = expf(s->max[r] - top);
        s->max[r] = top;
        s->sum[r] *= factor;
        for (size_t p = 0; p < panels; p++)
            kernels->scale(s->out[p] + r * VL_PANEL, factor, s->out[p] + r * VL_PANEL,
                           VL_PANEL);
    }
    s->sum[r] += kernels->exp_sum(score, keys, s->max[r]);
}

/* A block of keys as the products read it. */
typedef struct key_block {
    const float *key;   /* [dim][VL_PANEL] */
    const float *value; /* [panels][VL_PANEL][VL_PANEL] */
    size_t key0, keys;
} key_block;

/* Scores of `rows` rows from row0 on, r0 of the chunk.  Rows that are few sum as dot() does,
 * so that a token has the same numbers with packed keys and without. */
static void score_rows(const attention_job *j, attention_scratch *s, size_t row0,
                       size_t r0, size_t rows, const key_block *b)
{
    const bool *is_few = j->args->is_few;
    const float *q = s->q + r0 * j->dim;
    for (size_t r = 0; r < rows;) {
        size_t end = r + 1;
        if (is_few != NULL ? is_few[row0 + r] : j->is_few) {
            j->kernels->dot_panel(q + r * j->dim, b->key, j->dim,
                                  s->score + r * VL_PANEL);
        } else {
            while (end < rows && (is_few == NULL || !is_few[row0 + end]))
                end++;
            j->kernels->gemm_f32(q + r * j->dim, j->dim, end - r, b->key, j->dim,
                                 s->score + r * VL_PANEL, false);
        }
        r = end;
    }
}

static void attend_block(const attention_job *j, attention_scratch *s, size_t row0,
                         size_t rows, const key_block *b)
{
    const vl_attention_args *a = j->args;
    size_t panels = (j->dim_v + VL_PANEL - 1) / VL_PANEL;
    size_t key0 = b->key0, keys = b->keys;
    for (size_t r0 = 0; r0 < rows; r0 += Q_TILE) {
        size_t n = rows - r0 < Q_TILE ? rows - r0 : Q_TILE;
        if (visible(a, row0 + r0 + n - 1) <= key0)
            continue;
        score_rows(j, s, row0 + r0, r0, n, b);
        for (size_t r = 0; r < n; r++) {
            size_t seen = visible(a, row0 + r0 + r);
            size_t here = seen <= key0 ? 0 : seen - key0;
            softmax_step(j->kernels, s, r0 + r, s->score + r * VL_PANEL,
                         here < keys ? here : keys, panels);
        }
        for (size_t p = 0; p < panels; p++)
            j->kernels->gemm_f32(s->score, VL_PANEL, n,
                                 b->value + p * VL_PANEL * VL_PANEL, keys,
                                 s->out[p] + r0 * VL_PANEL, true);
    }
}

static void attention_task(void *arg, size_t i, uint32_t slot)
{
    const attention_job *j = arg;
    const vl_attention_args *a = j->args;
    attention_scratch *s = vl_pool_scratch(j->pool, slot);
    size_t row0 = i % j->chunks * j->chunk;
    size_t rows = a->rows_q - row0 < j->chunk ? a->rows_q - row0 : j->chunk;
    head h = head_at(j, i / j->chunks, row0);
    size_t panels = (j->dim_v + VL_PANEL - 1) / VL_PANEL;

    for (size_t r = 0; r < rows; r++) {
        j->kernels->scale(s->q + r * j->dim, a->scale, h.q + r * a->q_stride, j->dim);
        s->max[r] = -INFINITY;
        s->sum[r] = 0;
    }
    for (size_t p = 0; p < panels; p++)
        memset(s->out[p], 0, rows * VL_PANEL * sizeof(float));

    size_t last = visible(a, row0 + rows - 1);
    for (size_t key0 = 0; key0 < last; key0 += VL_PANEL) {
        size_t keys = last - key0 < VL_PANEL ? last - key0 : VL_PANEL;
        key_block b = { s->key, s->value[0], key0, keys };
        if (a->is_packed) {
            b.key = h.k + key0 / VL_PANEL * a->k_stride;
            b.value = h.v + key0 / VL_PANEL * a->v_stride;
        } else {
            pack_keys(j, &h, key0, keys, s);
        }
        attend_block(j, s, row0, rows, &b);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < panels; p++) {
            size_t cols = j->dim_v - p * VL_PANEL;
            j->kernels->scale(h.out + r * a->out_stride + p * VL_PANEL, 1 / s->sum[r],
                              s->out[p] + r * VL_PANEL,
                              cols < VL_PANEL ? cols : VL_PANEL);
        }
}

/* One query row and head, as in decoding: packing the keys would cost more. */
static void attention_row_task(void *arg, size_t i, uint32_t slot)
{
    const attention_job *j = arg;
    const vl_attention_args *a = j->args;
    attention_scratch *s = vl_pool_scratch(j->pool, slot);
    size_t row = i % a->rows_q;
    head h = head_at(j, i / a->rows_q, row);
    j->kernels->scale(s->q, a->scale, h.q, j->dim);
    float *sum_v = s->out[0];
    memset(sum_v, 0, j->dim_v * sizeof *sum_v);
    float max = -INFINITY, sum = 0;
    size_t last = visible(a, row);
    for (size_t key0 = 0; key0 < last; key0 += VL_PANEL) {
        size_t keys = last - key0 < VL_PANEL ? last - key0 : VL_PANEL;
        for (size_t n = 0; n < keys; n++)
            s->score[n] = j->kernels->dot(s->q, h.k + (key0 + n) * a->k_stride, a->dim);
        for (size_t n = 0; a->dim_shared > 0 && n < keys; n++)
            s->score[n] += j->kernels->dot(
                s->q + a->dim, h.shared + (key0 + n) * a->k_shared_stride, a->dim_shared);
        float top = j->kernels->max(s->score, keys);
        if (top > max) {
            float factor = expf(max - top);
            max = top;
            sum *= factor;
            j->kernels->scale(sum_v, factor, sum_v, j->dim_v);
        }
        sum += j->kernels->exp_sum(s->score, keys, max);
        for (size_t n = 0; n < keys; n++)
            j->kernels->axpy(sum_v, s->score[n], h.v + (key0 + n) * a->v_stride,
                             j->dim_v);
    }
    j->kernels->scale(h.out, 1 / sum, sum_v, j->dim_v);
}

void vl_attention(vl_pool *pool, const vl_attention_args *args)
{
    assert(args->dim > 0 && args->dim + args->dim_shared <= VL_HEAD_DIM_MAX);
    assert(args->dim_v <= VL_HEAD_DIM_MAX);
    assert(!args->is_causal || args->rows_k >= args->rows_q);
    assert(args->rows_k > 0);
    size_t problems = args->batches * args->heads;
    if (problems == 0 || args->rows_q == 0)
        return;
    attention_job job = { .kernels = vl_kernels_get(), .args = args, .pool = pool };
    job.dim = args->dim + args->dim_shared;
    job.dim_v = args->dim_v != 0 ? args->dim_v : args->dim;
    assert(args->is_few == NULL || args->is_packed);
    assert(!args->is_packed ||
           (args->batches == 1 && args->dim_shared == 0 && args->dim_v == 0));
    job.is_few = args->rows_q < VL_ROWS_FEW;
    if (job.is_few && !args->is_packed) {
        vl_pool_run(pool, problems * args->rows_q, attention_row_task, &job);
        return;
    }
    job.chunk = Q_CHUNK;
    job.chunks = (args->rows_q + job.chunk - 1) / job.chunk;
    vl_pool_run(pool, problems * job.chunks, attention_task, &job);
}

size_t vl_attention_key_block(uint32_t heads, uint32_t dim)
{
    return (size_t)heads * dim * VL_PANEL;
}

size_t vl_attention_value_block(uint32_t heads, uint32_t dim)
{
    return heads * panels_of(dim) * VL_PANEL * VL_PANEL;
}

void vl_attention_pack(const vl_attention_args *args, float *keys, float *values,
                       uint32_t pos, uint32_t rows)
{
    uint32_t dim = args->dim;
    size_t panels = panels_of(dim);
    for (uint32_t done = 0; done < rows;) {
        size_t block = (pos + done) / VL_PANEL, column = (pos + done) % VL_PANEL;
        size_t n = VL_PANEL - column < rows - done ? VL_PANEL - column : rows - done;
        const float *k = args->k + done * args->k_stride,
                    *v = args->v + done * args->v_stride;
        float *to_k = keys + block * vl_attention_key_block(args->heads, dim),
              *to_v = values + block * vl_attention_value_block(args->heads, dim);
        for (size_t h = 0; h < args->heads; h++) {
            pack_columns(to_k + h * dim * VL_PANEL + column, k + h * dim, args->k_stride,
                         dim, n);
            for (size_t p = 0; p < panels; p++)
                for (size_t i = 0; i < n; i++)
                    pack_value(to_v +
                                   ((h * panels + p) * VL_PANEL + column + i) * VL_PANEL,
                               v + i * args->v_stride + h * dim + p * VL_PANEL,
                               dim - p * VL_PANEL);
        }
        done += (uint32_t)n;
    }
}

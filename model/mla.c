/*
 * mla.c - multi-head latent attention (VL2 section 6.1).
 *
 * The cache holds one row a position for all heads: the normed compressed form and the
 * rotated part of the key.  Many rows at once expand it to every head's keys and values,
 * one layer at a time; a few rows, as in decoding, take it as it is, with each head's
 * part of kv_b applied to the query before and to the sum behind ("absorbed").  Both
 * are the same arithmetic in another order.
 */
#include "core.h"

#include <assert.h>
#include <math.h>

#include "kernels.h"
#include "pool.h"
#include "util.h"

#define NORM_EPS    1e-6f /* of the reference class, whatever rms_norm_eps says */
#define HEADS_GROUP 4u    /* heads of a task: a key row is read once for them */
#define LATENT_MAX  (4096u + VL_HEAD_DIM_MAX)

bool vl_latent_work_init(vl_latent_work *w, const vl_config *c, uint32_t rows,
                         vl_error *err)
{
    size_t absorbed = (size_t)VL_ABSORB_ROWS_MAX * c->heads * c->kv_rank;
    w->q_a = vl_floats_new((size_t)rows * c->q_rank + 1);
    w->kv = vl_floats_new((size_t)rows * (c->kv_rank + c->rope_dim));
    w->queries = vl_floats_new(absorbed);
    w->sums = vl_floats_new(absorbed);
    w->jobs = malloc(c->heads * sizeof *w->jobs);
    if (w->q_a == NULL || w->kv == NULL || w->queries == NULL || w->sums == NULL ||
        w->jobs == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a conversation") != NULL;
    return true;
}

void vl_latent_work_clear(vl_latent_work *w)
{
    free(w->q_a);
    free(w->kv);
    free(w->queries);
    free(w->sums);
    free(w->jobs);
    *w = (vl_latent_work){ 0 };
}

static void apply(vl_model *m, const vl_linear *linear, const float *x, size_t x_stride,
                  size_t rows, float *y)
{
    vl_linear_apply(m->pool, linear,
                    &(vl_linear_args){ .x = x,
                                       .rows = rows,
                                       .x_stride = x_stride,
                                       .y = y,
                                       .y_stride = vl_linear_out(linear) });
}

/* ---- many rows: expanded ---- */

static void run_expanded(vl_model *m, const vl_latent *l, const float *keys,
                         float *expanded, vl_workspace *w, uint32_t pos, uint32_t rows)
{
    const vl_config *c = &m->config;
    uint32_t nope = c->key_dim - c->rope_dim;
    size_t row = (size_t)c->kv_rank + c->rope_dim;
    size_t head = (size_t)nope + c->value_dim, wide = c->heads * head;
    apply(m, l->kv_b, keys, row, pos + rows, expanded);
    vl_attention(m->pool,
                 &(vl_attention_args){ .q = w->qkv,
                                       .k = expanded,
                                       .v = expanded + nope,
                                       .out = w->out,
                                       .q_stride = (size_t)c->heads * c->key_dim,
                                       .k_stride = wide,
                                       .v_stride = wide,
                                       .out_stride = (size_t)c->heads * c->value_dim,
                                       .batches = 1,
                                       .rows_q = rows,
                                       .rows_k = pos + rows,
                                       .heads = c->heads,
                                       .dim = nope,
                                       .dim_v = c->value_dim,
                                       .dim_shared = c->rope_dim,
                                       .head_stride = head,
                                       .k_shared = keys + c->kv_rank,
                                       .k_shared_stride = row,
                                       .scale = 1 / sqrtf((float)c->key_dim),
                                       .is_causal = true });
}

/* ---- few rows: absorbed ---- */

typedef struct latent_scratch {
    float q[HEADS_GROUP][LATENT_MAX];
    float sum_v[HEADS_GROUP][LATENT_MAX];
    float score[HEADS_GROUP][VL_PANEL];
    float max[HEADS_GROUP], sum[HEADS_GROUP];
} latent_scratch;

_Static_assert(sizeof(latent_scratch) <= VL_SCRATCH_BYTES, "scratch of a task fits");

typedef struct latent_job {
    vl_model *model;
    const vl_kernels *kernels;
    const float *keys; /* [positions][kv_rank + rope_dim] */
    vl_workspace *work;
    uint32_t pos, groups;
} latent_job;

/* The keys [key0, key0 + count) for `heads` heads, whose scores run together. */
static void attend_keys(const latent_job *j, latent_scratch *s, uint32_t heads,
                        size_t key0, size_t count)
{
    const vl_kernels *k = j->kernels;
    size_t rank = j->model->config.kv_rank, row = rank + j->model->config.rope_dim;
    const float *keys = j->keys + key0 * row;
    for (size_t n = 0; n < count; n++)
        for (uint32_t h = 0; h < heads; h++)
            s->score[h][n] = k->dot(s->q[h], keys + n * row, row);
    for (uint32_t h = 0; h < heads; h++) {
        float top = k->max(s->score[h], count);
        if (top > s->max[h]) {
            float factor = expf(s->max[h] - top);
            s->max[h] = top;
            s->sum[h] *= factor;
            k->scale(s->sum_v[h], factor, s->sum_v[h], rank);
        }
        s->sum[h] += k->exp_sum(s->score[h], count, s->max[h]);
    }
    for (size_t n = 0; n < count; n++)
        for (uint32_t h = 0; h < heads; h++)
            k->axpy(s->sum_v[h], s->score[h][n], keys + n * row, rank);
}

/* One row and some heads. */
static void latent_task(void *arg, size_t i, uint32_t slot)
{
    const latent_job *j = arg;
    const vl_config *c = &j->model->config;
    vl_workspace *w = j->work;
    latent_scratch *s = vl_pool_scratch(j->model->pool, slot);
    size_t r = i / j->groups, rank = c->kv_rank, nope = c->key_dim - c->rope_dim;
    uint32_t first = (uint32_t)(i % j->groups) * HEADS_GROUP;
    uint32_t heads = c->heads - first < HEADS_GROUP ? c->heads - first : HEADS_GROUP;
    float scale = 1 / sqrtf((float)c->key_dim);
    for (uint32_t h = 0; h < heads; h++) {
        size_t at = r * c->heads + first + h;
        j->kernels->scale(s->q[h], scale, w->latent.queries + at * rank, rank);
        j->kernels->scale(s->q[h] + rank, scale, w->qkv + at * c->key_dim + nope,
                          c->rope_dim);
        memset(s->sum_v[h], 0, rank * sizeof(float));
        s->max[h] = -INFINITY;
        s->sum[h] = 0;
    }
    size_t seen = j->pos + r + 1;
    for (size_t key0 = 0; key0 < seen; key0 += VL_PANEL)
        attend_keys(j, s, heads, key0, seen - key0 < VL_PANEL ? seen - key0 : VL_PANEL);
    for (uint32_t h = 0; h < heads; h++)
        j->kernels->scale(w->latent.sums + (r * c->heads + first + h) * rank,
                          1 / s->sum[h], s->sum_v[h], rank);
}

static void run_absorbed(vl_model *m, const vl_latent *l, const float *keys,
                         vl_workspace *w, uint32_t pos, uint32_t rows)
{
    const vl_config *c = &m->config;
    vl_latent_work *k = &w->latent;
    size_t rank = c->kv_rank;
    assert(rows <= VL_ABSORB_ROWS_MAX);
    for (uint32_t h = 0; h < c->heads; h++)
        k->jobs[h] = (vl_linear_job){ .linear = l->absorb_k[h],
                                      .args = { .x = w->qkv + (size_t)h * c->key_dim,
                                                .rows = rows,
                                                .x_stride = (size_t)c->heads * c->key_dim,
                                                .y = k->queries + h * rank,
                                                .y_stride = c->heads * rank } };
    vl_linear_apply_all(m->pool, k->jobs, c->heads);
    latent_job job = { .model = m,
                       .kernels = vl_kernels_get(),
                       .keys = keys,
                       .work = w,
                       .pos = pos,
                       .groups = (c->heads + HEADS_GROUP - 1) / HEADS_GROUP };
    vl_pool_run(m->pool, (size_t)rows * job.groups, latent_task, &job);
    for (uint32_t h = 0; h < c->heads; h++)
        k->jobs[h] =
            (vl_linear_job){ .linear = l->absorb_v[h],
                             .args = { .x = k->sums + h * rank,
                                       .rows = rows,
                                       .x_stride = c->heads * rank,
                                       .y = w->out + (size_t)h * c->value_dim,
                                       .y_stride = (size_t)c->heads * c->value_dim } };
    vl_linear_apply_all(m->pool, k->jobs, c->heads);
}

/* ---- both ---- */

/* Compress the rows into the cache: normed, and with the rotated part of the key. */
static void fill_cache(vl_model *m, const vl_latent *l, float *keys, vl_workspace *w,
                       uint32_t pos, uint32_t rows)
{
    const vl_config *c = &m->config;
    const vl_kernels *k = vl_kernels_get();
    size_t rank = c->kv_rank, row = rank + c->rope_dim;
    apply(m, l->kv_a, w->norm, c->hidden, rows, w->latent.kv);
    for (size_t r = 0; r < rows; r++) {
        const float *from = w->latent.kv + r * row;
        float *to = keys + (pos + r) * row;
        k->rmsnorm(from, rank, l->kv_norm, NORM_EPS, to);
        memcpy(to + rank, from + rank, c->rope_dim * sizeof *to);
    }
    vl_rope_pairs(m->pool, keys + pos * row + rank, rows, row, 1, row, c->rope_dim, pos,
                  m->rope);
}

void vl_latent_run(vl_model *m, uint32_t index, vl_kvcache *cache, vl_workspace *w,
                   uint32_t rows)
{
    const vl_config *c = &m->config;
    const vl_latent *l = m->layers[index].latent;
    float *keys = cache->keys[index];
    uint32_t pos = cache->used;
    size_t queries = (size_t)c->heads * c->key_dim;
    assert(l != NULL);
    if (l->q_a != NULL) {
        apply(m, l->q_a, w->norm, c->hidden, rows, w->latent.q_a);
        vl_rmsnorm(m->pool, w->latent.q_a, rows, c->q_rank, l->q_norm, NORM_EPS,
                   w->latent.q_a);
        apply(m, l->q, w->latent.q_a, c->q_rank, rows, w->qkv);
    } else {
        apply(m, l->q, w->norm, c->hidden, rows, w->qkv);
    }
    vl_rope_pairs(m->pool, w->qkv + c->key_dim - c->rope_dim, rows, queries, c->heads,
                  c->key_dim, c->rope_dim, pos, m->rope);
    fill_cache(m, l, keys, w, pos, rows);
    if (rows <= VL_ABSORB_ROWS_MAX)
        run_absorbed(m, l, keys, w, pos, rows);
    else
        run_expanded(m, l, keys, cache->expanded, w, pos, rows);
}

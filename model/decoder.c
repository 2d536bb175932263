/*
 * decoder.c - the decoder's layers: plain multi-head attention (VL2 section 6.2) or the
 * latent one of mla.c, then a dense step or the experts of moe.c.
 *
 * Keys (rotated) and values of a layer lie as attention reads them, so that no token waits
 * for their rearrangement.  The states after the final norm are kept for every position:
 * going back in the conversation then costs one product with the output matrix, not a new
 * run.
 */
#include "core.h"

#include <assert.h>
#include <math.h>

#include "util.h"

#define CACHE_ROWS_BLOCK 256

/* [used][width] grows to [room][width]. */
static bool rows_grow(float **rows, size_t width, uint32_t used, uint32_t room,
                      vl_error *err)
{
    float *grown = vl_floats_new(width * room);
    if (grown == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a cache of %u positions", room) !=
               NULL;
    if (used > 0)
        memcpy(grown, *rows, width * used * sizeof *grown);
    free(*rows);
    *rows = grown;
    return true;
}

/* Floats of a position: of each layer's keys and values, and of one layer expanded. */
static size_t key_floats(const vl_config *c)
{
    return c->is_latent ? (size_t)c->kv_rank + c->rope_dim : c->hidden;
}

static size_t value_floats(const vl_config *c)
{
    return c->is_latent ? 0
                        : vl_attention_value_block(c->heads, c->key_dim) / VL_KEYS_BLOCK;
}

static size_t expanded_floats(const vl_config *c)
{
    return c->is_latent ? (size_t)c->heads * (c->key_dim - c->rope_dim + c->value_dim)
                        : 0;
}

uint32_t vl_kvcache_token_bytes(const vl_config *c)
{
    size_t floats =
        (key_floats(c) + value_floats(c)) * c->layers + expanded_floats(c) + c->hidden;
    return (uint32_t)(floats * sizeof(float));
}

bool vl_kvcache_grow(vl_kvcache *cache, const vl_config *c, uint32_t rows,
                     uint32_t rows_max, vl_error *err)
{
    assert(rows <= rows_max);
    if (rows <= cache->room)
        return true;
    if (cache->keys == NULL)
        cache->keys = calloc(c->layers, sizeof *cache->keys);
    if (cache->values == NULL)
        cache->values = calloc(c->layers, sizeof *cache->values);
    if (cache->keys == NULL || cache->values == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a cache") != NULL;
    /* At least by half, so that a long answer is not copied at every block. */
    uint32_t room = cache->room + cache->room / 2;
    room = room > rows ? room : rows;
    room = (room + CACHE_ROWS_BLOCK - 1) / CACHE_ROWS_BLOCK * CACHE_ROWS_BLOCK;
    room = room < rows_max ? room : rows_max;
    room = (room + VL_KEYS_BLOCK - 1) / VL_KEYS_BLOCK * VL_KEYS_BLOCK;
    uint32_t used = (cache->used + VL_KEYS_BLOCK - 1) / VL_KEYS_BLOCK * VL_KEYS_BLOCK;
    /* A failure half way leaves larger arrays behind the old `room`, which is harmless. */
    for (uint32_t i = 0; i < c->layers; i++)
        if (!rows_grow(&cache->keys[i], key_floats(c), used, room, err) ||
            (value_floats(c) > 0 &&
             !rows_grow(&cache->values[i], value_floats(c), used, room, err)))
            return false;
    /* What is expanded is only of use within a run: nothing to keep. */
    if (!rows_grow(&cache->states, c->hidden, cache->used, room, err) ||
        (expanded_floats(c) > 0 &&
         !rows_grow(&cache->expanded, expanded_floats(c), 0, room, err)))
        return false;
    cache->room = room;
    return true;
}

void vl_kvcache_clear(vl_kvcache *cache, const vl_config *c)
{
    for (uint32_t i = 0; i < c->layers; i++) {
        if (cache->keys != NULL)
            free(cache->keys[i]);
        if (cache->values != NULL)
            free(cache->values[i]);
    }
    free(cache->keys);
    free(cache->values);
    free(cache->states);
    free(cache->expanded);
    *cache = (vl_kvcache){ 0 };
}

bool vl_workspace_init(vl_workspace *w, const vl_config *c, vl_error *err)
{
    const size_t rows = VL_PREFILL_ROWS;
    size_t heads = (size_t)c->heads * c->value_dim;
    size_t shared = (size_t)c->experts_shared * c->expert_mlp;
    size_t mlp = shared > c->mlp ? shared : c->mlp;
    size_t queries = c->is_latent ? (size_t)c->heads * c->key_dim : 3 * (size_t)c->hidden;
    w->x = vl_floats_new(rows * c->hidden);
    w->norm = vl_floats_new(rows * c->hidden);
    w->qkv = vl_floats_new(rows * queries);
    w->out = vl_floats_new(rows * heads);
    w->gate = vl_floats_new(rows * mlp);
    w->up = vl_floats_new(rows * mlp);
    if (w->x == NULL || w->norm == NULL || w->qkv == NULL || w->out == NULL ||
        w->gate == NULL || w->up == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a conversation") != NULL;
    return (c->experts == 0 || vl_moe_work_init(&w->moe, c, VL_PREFILL_ROWS, err)) &&
           (!c->is_latent || vl_latent_work_init(&w->latent, c, VL_PREFILL_ROWS, err));
}

void vl_workspace_clear(vl_workspace *w)
{
    free(w->x);
    free(w->norm);
    free(w->qkv);
    free(w->out);
    free(w->gate);
    free(w->up);
    vl_moe_work_clear(&w->moe);
    vl_latent_work_clear(&w->latent);
    *w = (vl_workspace){ 0 };
}

static void apply(vl_model *m, const vl_linear *linear, const float *x, size_t rows,
                  float *y, bool is_added)
{
    vl_linear_apply(m->pool, linear,
                    &(vl_linear_args){ .x = x,
                                       .rows = rows,
                                       .x_stride = vl_linear_in(linear),
                                       .y = y,
                                       .y_stride = vl_linear_out(linear),
                                       .is_added = is_added });
}

static void run_attention(vl_model *m, uint32_t index, vl_kvcache *cache, vl_workspace *w,
                          uint32_t rows, const bool *is_few)
{
    const vl_config *c = &m->config;
    const vl_decoder_layer *layer = &m->layers[index];
    size_t hidden = c->hidden;
    uint32_t dim = c->key_dim, pos = cache->used;
    float *keys = cache->keys[index], *values = cache->values[index];
    apply(m, layer->qkv, w->norm, rows, w->qkv, false);
    vl_rope_half(m->pool, w->qkv, rows, 3 * hidden, c->heads, dim, pos, m->rope);
    vl_rope_half(m->pool, w->qkv + hidden, rows, 3 * hidden, c->heads, dim, pos, m->rope);
    vl_attention_args args = { .q = w->qkv,
                               .k = w->qkv + hidden,
                               .v = w->qkv + 2 * hidden,
                               .out = w->out,
                               .q_stride = 3 * hidden,
                               .k_stride = 3 * hidden,
                               .v_stride = 3 * hidden,
                               .out_stride = hidden,
                               .batches = 1,
                               .rows_q = rows,
                               .rows_k = pos + rows,
                               .heads = c->heads,
                               .dim = dim,
                               .scale = 1 / sqrtf((float)dim),
                               .is_causal = true,
                               .is_packed = true,
                               .is_few = is_few };
    vl_attention_pack(&args, keys, values, pos, rows);
    args.k = keys;
    args.v = values;
    args.k_stride = vl_attention_key_block(c->heads, dim);
    args.v_stride = vl_attention_value_block(c->heads, dim);
    vl_attention(m->pool, &args);
}

static void run_layer(vl_model *m, uint32_t index, vl_kvcache *cache, vl_workspace *w,
                      uint32_t rows, const bool *is_few)
{
    const vl_config *c = &m->config;
    const vl_decoder_layer *layer = &m->layers[index];
    vl_rmsnorm(m->pool, w->x, rows, c->hidden, layer->norm1, c->rms_eps, w->norm);
    if (c->is_latent)
        vl_latent_run(m, index, cache, w, rows);
    else
        run_attention(m, index, cache, w, rows, is_few);
    apply(m, layer->o, w->out, rows, w->x, true);

    vl_rmsnorm(m->pool, w->x, rows, c->hidden, layer->norm2, c->rms_eps, w->norm);
    if (layer->moe != NULL) {
        vl_moe_run(m, layer->moe, w, rows);
        return;
    }
    apply(m, layer->mlp.gate, w->norm, rows, w->gate, false);
    apply(m, layer->mlp.up, w->norm, rows, w->up, false);
    vl_silu_mul(m->pool, w->gate, w->up, (size_t)rows * c->mlp);
    apply(m, layer->mlp.down, w->gate, rows, w->x, true);
}

void vl_decoder_run(vl_model *m, vl_kvcache *cache, vl_workspace *w, uint32_t rows,
                    const bool *is_few)
{
    const vl_config *c = &m->config;
    assert(rows > 0 && rows <= VL_PREFILL_ROWS);
    assert(cache->used + rows <= cache->room);
    for (uint32_t i = 0; i < c->layers; i++)
        run_layer(m, i, cache, w, rows, is_few);
    vl_rmsnorm(m->pool, w->x, rows, c->hidden, m->final_norm, c->rms_eps,
               cache->states + (size_t)cache->used * c->hidden);
    cache->used += rows;
}

void vl_decoder_embed(const vl_model *m, int32_t id, float *row)
{
    const vl_tensor *t = m->embed;
    size_t hidden = m->config.hidden, first = (size_t)id * hidden;
    float scale = 1;
    assert(id >= 0 && (uint32_t)id < m->config.vocab);
    if (t->dtype == VL_I8)
        memcpy(&scale, m->embed_scale + (size_t)id * sizeof scale, sizeof scale);
    for (size_t i = 0; i < hidden; i++)
        row[i] = scale * vl_number_get(t->data, t->dtype, first + i);
}

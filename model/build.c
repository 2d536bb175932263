/*
 * build.c - the tensors of a checkpoint become the parts of a model: everything is
 * compared with the configuration before a kernel sees it.
 *
 * A matrix is packed straight from the mapped file, one after the other, and its pages
 * are given back behind it: what is resident never exceeds the packed model by more than
 * one matrix.
 */
#include "core.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "util.h"

/* What the helpers below need while a model is being built. */
typedef struct builder {
    vl_model *model;
    vl_error *err;
    bool has_failed;
    uint64_t routed; /* parameters of routed experts, all layers */
} builder;

static const vl_tensor *tensor_get(builder *b, const char *name, size_t ndim,
                                   const uint64_t *shape)
{
    const vl_tensor *t = vl_weights_get(b->model->weights, name);
    if (t == NULL)
        return vl_fail(b->err, VL_FORMAT, "the weights lack %s", name);
    bool is_same = t->ndim == ndim;
    for (size_t i = 0; is_same && i < ndim; i++)
        is_same = t->shape[i] == shape[i];
    if (!is_same)
        return vl_fail(b->err, VL_FORMAT, "%s has another shape than config.json says",
                       name);
    return t;
}

static bool numbers_are_finite(const vl_tensor *t)
{
    for (size_t i = 0; t->dtype != VL_I8 && i < t->count; i++)
        if (!isfinite(vl_number_get(t->data, t->dtype, i)))
            return false;
    return true;
}

static const char *name_of(char *room, size_t room_bytes, const char *prefix,
                           uint32_t index, const char *tail)
{
    int n = index == UINT32_MAX
                ? snprintf(room, room_bytes, "%s%s", prefix, tail)
                : snprintf(room, room_bytes, "%s%u.%s", prefix, index, tail);
    assert(n > 0 && (size_t)n < room_bytes);
    return room;
}

/* A vector (or pos_embed) as floats. */
static float *vector_new(builder *b, const char *name, size_t ndim, const uint64_t *shape)
{
    if (b->has_failed)
        return NULL;
    const vl_tensor *t = tensor_get(b, name, ndim, shape);
    float *v = NULL;
    if (t != NULL && t->dtype == VL_I8)
        (void)vl_fail(b->err, VL_UNSUPPORTED, "%s: I8 is for matrices only", name);
    else if (t != NULL && !numbers_are_finite(t))
        (void)vl_fail(b->err, VL_FORMAT, "%s holds a number that is not finite", name);
    else if (t != NULL && (v = vl_floats_new(t->count)) == NULL)
        (void)vl_fail(b->err, VL_NOMEM, "no memory for %s", name);
    for (size_t i = 0; v != NULL && i < t->count; i++)
        v[i] = vl_number_get(t->data, t->dtype, i);
    b->has_failed = v == NULL;
    if (v != NULL) {
        b->model->info.parameters += t->count;
        b->model->info.weight_bytes += t->count * sizeof *v;
    }
    return v;
}

static float *vector1(builder *b, const char *name, uint32_t n)
{
    uint64_t shape[] = { n };
    return vector_new(b, name, 1, shape);
}

/* The scales of an I8 matrix, as mapped; NULL and has_failed on failure. */
static const uint8_t *scale_get(builder *b, const char *name, uint32_t rows)
{
    char scale_name[160];
    uint64_t shape[] = { rows };
    const vl_tensor *t = tensor_get(
        b, name_of(scale_name, sizeof scale_name, name, UINT32_MAX, "_scale"), 1, shape);
    if (t == NULL)
        return NULL;
    if (t->dtype != VL_F32 || !numbers_are_finite(t))
        return vl_fail(b->err, VL_FORMAT, "%s must be finite F32", scale_name);
    return t->data;
}

typedef struct part {
    const vl_tensor *tensor;
    const uint8_t *scale;
} part;

/* The numbers of a matrix are looked at when they are packed. */
static bool part_get(builder *b, const char *name, size_t ndim, const uint64_t *shape,
                     part *out)
{
    out->tensor = tensor_get(b, name, ndim, shape);
    if (out->tensor == NULL)
        return false;
    if (out->tensor->dtype == VL_I8) {
        out->scale = scale_get(b, name, (uint32_t)shape[0]);
        if (out->scale == NULL)
            return false;
    }
    b->model->info.parameters += out->tensor->count;
    return true;
}

/* Packs `source`, which came from tensor `name`. */
static vl_linear *pack(builder *b, const char *name, vl_linear_source *source,
                       vl_compute compute)
{
    source->pool = b->model->pool;
    vl_linear *linear = vl_linear_new(source, compute, b->err);
    b->has_failed = linear == NULL;
    if (linear != NULL)
        b->model->info.weight_bytes += vl_linear_bytes(linear);
    else if (b->err->code == VL_FORMAT)
        (void)vl_fail(b->err, VL_FORMAT, "%s holds a number that is not finite", name);
    return linear;
}

/* Stacks `count` matrices of the same shape [rows][in] into one [count * rows][in]. */
static vl_linear *stack_new(builder *b, const part *parts, size_t count, uint32_t rows,
                            uint32_t in, const float *bias, vl_compute compute)
{
    vl_dtype dtype = parts[0].tensor->dtype;
    size_t part_bytes = parts[0].tensor->bytes;
    uint8_t *data = count > 1 ? malloc(part_bytes * count) : NULL;
    float *scale = dtype == VL_I8 ? vl_floats_new((size_t)rows * count) : NULL;
    vl_linear *linear = NULL;
    bool is_same = true;
    for (size_t i = 1; i < count; i++)
        is_same = is_same && parts[i].tensor->dtype == dtype;
    b->has_failed = true;
    if (!is_same) {
        (void)vl_fail(b->err, VL_UNSUPPORTED, "%s: its neighbours have another type",
                      parts[0].tensor->name);
    } else if ((count > 1 && data == NULL) || (dtype == VL_I8 && scale == NULL)) {
        (void)vl_fail(b->err, VL_NOMEM, "no memory for %s", parts[0].tensor->name);
    } else {
        for (size_t i = 0; i < count; i++) {
            if (data != NULL)
                memcpy(data + i * part_bytes, parts[i].tensor->data, part_bytes);
            if (scale != NULL)
                memcpy(scale + i * rows, parts[i].scale, rows * sizeof *scale);
        }
        vl_linear_source source = { .data = data != NULL ? data : parts[0].tensor->data,
                                    .dtype = dtype,
                                    .scale = scale,
                                    .bias = bias,
                                    .out = (uint32_t)(rows * count),
                                    .in = in };
        linear = pack(b, parts[0].tensor->name, &source, compute);
        for (size_t i = 0; i < count; i++)
            vl_weights_release(b->model->weights, parts[i].tensor);
    }
    free(data);
    free(scale);
    return linear;
}

/* Matrix `stem`.weight [out][in], with `stem`.bias when wanted. */
static vl_linear *matrix_get(builder *b, const char *stem, uint32_t out, uint32_t in,
                             bool has_bias, vl_compute compute)
{
    char name[160];
    uint64_t shape[] = { out, in };
    part p = { 0 };
    float *bias = NULL;
    if (b->has_failed)
        return NULL;
    b->has_failed = !part_get(b, name_of(name, sizeof name, stem, UINT32_MAX, ".weight"),
                              2, shape, &p);
    if (has_bias && !b->has_failed)
        bias = vector1(b, name_of(name, sizeof name, stem, UINT32_MAX, ".bias"), out);
    vl_linear *linear =
        b->has_failed ? NULL : stack_new(b, &p, 1, out, in, bias, compute);
    free(bias);
    return linear;
}

static vl_linear *linear_get(builder *b, const char *stem, uint32_t out, uint32_t in,
                             bool has_bias)
{
    return matrix_get(b, stem, out, in, has_bias, b->model->compute);
}

/* Zeroed memory; has_failed without. */
static void *zeros_new(builder *b, size_t count, size_t bytes)
{
    if (b->has_failed)
        return NULL;
    void *data = calloc(count, bytes);
    if (data == NULL)
        b->has_failed = vl_fail(b->err, VL_NOMEM, "no memory for the model") == NULL;
    return data;
}

/* ---- parts ---- */

static void build_patch_embed(builder *b)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    uint64_t shape[] = { c->v_width, c->in_chans, c->patch, c->patch };
    part p = { 0 };
    float *bias = vector1(b, "vision.patch_embed.proj.bias", c->v_width);
    if (!b->has_failed)
        b->has_failed = !part_get(b, "vision.patch_embed.proj.weight", 4, shape, &p);
    if (!b->has_failed)
        m->patch_embed = stack_new(b, &p, 1, c->v_width,
                                   c->in_chans * c->patch * c->patch, bias, m->compute);
    free(bias);
    uint64_t pos_shape[] = { 1, (uint64_t)c->side * c->side, c->v_width };
    m->pos_embed = vector_new(b, "vision.pos_embed", 3, pos_shape);
}

static void build_vision(builder *b)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    char name[160];
    uint32_t d = c->v_width;
#define NAME(tail) name_of(name, sizeof name, "vision.blocks.", i, tail)
    m->blocks = zeros_new(b, c->v_layers, sizeof *m->blocks);
    build_patch_embed(b);
    for (uint32_t i = 0; i < c->v_layers && !b->has_failed; i++) {
        vl_vit_block *k = &m->blocks[i];
        k->norm1_weight = vector1(b, NAME("norm1.weight"), d);
        k->norm1_bias = vector1(b, NAME("norm1.bias"), d);
        k->norm2_weight = vector1(b, NAME("norm2.weight"), d);
        k->norm2_bias = vector1(b, NAME("norm2.bias"), d);
        k->qkv = linear_get(b, NAME("attn.qkv"), 3 * d, d, true);
        k->proj = linear_get(b, NAME("attn.proj"), d, d, true);
        k->fc1 = linear_get(b, NAME("mlp.fc1"), c->v_mlp, d, true);
        k->fc2 = linear_get(b, NAME("mlp.fc2"), d, c->v_mlp, true);
    }
#undef NAME
    m->norm_weight = vector1(b, "vision.norm.weight", d);
    m->norm_bias = vector1(b, "vision.norm.bias", d);
    if (c->anchors > 0)
        m->text_head =
            linear_get(b, "vision.text_head", c->anchors * (c->class_count + 4), d, true);
}

static void build_projector(builder *b)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    m->project1 = linear_get(b, "projector.layers.0", c->hidden,
                             c->v_width * c->down * c->down, true);
    m->project2 = linear_get(b, "projector.layers.2", c->hidden, c->hidden, true);
    m->newline = vector1(b, "image_newline", c->hidden);
    m->separator = vector1(b, "view_seperator", c->hidden);
}

static vl_linear *build_qkv(builder *b, uint32_t index)
{
    static const char *const tails[] = { "self_attn.q_proj.weight",
                                         "self_attn.k_proj.weight",
                                         "self_attn.v_proj.weight" };
    uint32_t n = b->model->config.hidden;
    uint64_t shape[] = { n, n };
    part parts[3] = { 0 };
    char name[160];
    for (size_t i = 0; i < 3 && !b->has_failed; i++)
        b->has_failed = !part_get(
            b, name_of(name, sizeof name, "language.model.layers.", index, tails[i]), 2,
            shape, &parts[i]);
    return b->has_failed ? NULL : stack_new(b, parts, 3, n, n, NULL, b->model->compute);
}

/* Number (row, column) of a matrix [..][in]. */
static float part_number(const part *p, size_t row, size_t column, size_t in)
{
    float scale = 1;
    if (p->scale != NULL)
        memcpy(&scale, p->scale + row * sizeof scale, sizeof scale);
    return scale * vl_number_get(p->tensor->data, p->tensor->dtype, row * in + column);
}

/* The halves of a head's rows of kv_b, the first one turned: both take a row of few
 * numbers from one side of the compressed form to the other. */
static void build_absorb(builder *b, vl_latent *l, const part *kv_b, float *slice)
{
    const vl_config *c = &b->model->config;
    uint32_t nope = c->key_dim - c->rope_dim, value = c->value_dim, rank = c->kv_rank;
    for (uint32_t h = 0; h < c->heads && !b->has_failed; h++) {
        size_t row0 = (size_t)h * (nope + value);
        for (size_t d = 0; d < nope; d++)
            for (size_t r = 0; r < rank; r++)
                slice[r * nope + d] = part_number(kv_b, row0 + d, r, rank);
        vl_linear_source source = {
            .data = slice, .dtype = VL_F32, .out = rank, .in = nope
        };
        l->absorb_k[h] = pack(b, kv_b->tensor->name, &source, b->model->compute);
        if (b->has_failed)
            break;
        for (size_t d = 0; d < value; d++)
            for (size_t r = 0; r < rank; r++)
                slice[d * rank + r] = part_number(kv_b, row0 + nope + d, r, rank);
        source = (vl_linear_source){
            .data = slice, .dtype = VL_F32, .out = value, .in = rank
        };
        l->absorb_v[h] = pack(b, kv_b->tensor->name, &source, b->model->compute);
    }
}

static void build_kv_b(builder *b, vl_latent *l, const char *name)
{
    const vl_config *c = &b->model->config;
    uint32_t nope = c->key_dim - c->rope_dim;
    uint32_t wide = nope > c->value_dim ? nope : c->value_dim;
    uint64_t shape[] = { (uint64_t)c->heads * (nope + c->value_dim), c->kv_rank };
    part p = { 0 };
    if (b->has_failed)
        return;
    l->absorb_k = zeros_new(b, c->heads, sizeof(vl_linear *));
    l->absorb_v = zeros_new(b, c->heads, sizeof(vl_linear *));
    float *slice = vl_floats_new((size_t)wide * c->kv_rank);
    if (!b->has_failed && slice == NULL)
        b->has_failed = vl_fail(b->err, VL_NOMEM, "no memory for the model") == NULL;
    if (!b->has_failed)
        b->has_failed = !part_get(b, name, 2, shape, &p);
    if (!b->has_failed)
        build_absorb(b, l, &p, slice);
    if (!b->has_failed)
        l->kv_b =
            stack_new(b, &p, 1, (uint32_t)shape[0], c->kv_rank, NULL, b->model->compute);
    free(slice);
}

static vl_latent *build_latent(builder *b, uint32_t i)
{
    const vl_config *c = &b->model->config;
    char name[160];
    uint32_t n = c->hidden, queries = c->heads * c->key_dim;
    vl_latent *l = zeros_new(b, 1, sizeof *l);
    if (l == NULL)
        return NULL;
#define NAME(tail) name_of(name, sizeof name, "language.model.layers.", i, tail)
    if (c->q_rank == 0) {
        l->q = linear_get(b, NAME("self_attn.q_proj"), queries, n, false);
    } else {
        l->q_a = linear_get(b, NAME("self_attn.q_a_proj"), c->q_rank, n, false);
        l->q_norm = vector1(b, NAME("self_attn.q_a_layernorm.weight"), c->q_rank);
        l->q = linear_get(b, NAME("self_attn.q_b_proj"), queries, c->q_rank, false);
    }
    l->kv_a = linear_get(b, NAME("self_attn.kv_a_proj_with_mqa"),
                         c->kv_rank + c->rope_dim, n, false);
    l->kv_norm = vector1(b, NAME("self_attn.kv_a_layernorm.weight"), c->kv_rank);
    build_kv_b(b, l, NAME("self_attn.kv_b_proj.weight"));
#undef NAME
    return l; /* also when it is half built: vl_build_clear() frees it */
}

static void build_mlp(builder *b, vl_mlp *mlp, const char *prefix, uint32_t wide)
{
    char name[160];
    uint32_t n = b->model->config.hidden;
#define NAME(tail) name_of(name, sizeof name, prefix, UINT32_MAX, tail)
    mlp->gate = linear_get(b, NAME("gate_proj"), wide, n, false);
    mlp->up = linear_get(b, NAME("up_proj"), wide, n, false);
    mlp->down = linear_get(b, NAME("down_proj"), n, wide, false);
#undef NAME
}

static vl_moe *build_moe(builder *b, uint32_t i)
{
    const vl_config *c = &b->model->config;
    char name[160], prefix[96];
    vl_moe *moe = zeros_new(b, 1, sizeof *moe);
    if (moe == NULL)
        return NULL;
#define NAME(tail) name_of(name, sizeof name, "language.model.layers.", i, tail)
    moe->router =
        matrix_get(b, NAME("mlp.gate"), c->experts, c->hidden, false, VL_COMPUTE_FP32);
    if (c->topk == VL_TOPK_BIASED)
        moe->bias = vector1(b, NAME("mlp.gate.e_score_correction_bias"), c->experts);
    moe->experts = zeros_new(b, c->experts, sizeof *moe->experts);
    uint64_t before = b->model->info.parameters;
    for (uint32_t e = 0; e < c->experts && !b->has_failed; e++) {
        (void)name_of(prefix, sizeof prefix, NAME("mlp.experts."), e, "");
        build_mlp(b, &moe->experts[e], prefix, c->expert_mlp);
    }
    b->routed += b->model->info.parameters - before;
    if (c->experts_shared > 0)
        build_mlp(b, &moe->shared, NAME("mlp.shared_experts."),
                  c->experts_shared * c->expert_mlp);
#undef NAME
    return moe; /* also when it is half built */
}

static void build_rope(builder *b)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    uint32_t dim = c->rope_dim, half = dim / 2;
    m->rope = vl_floats_new((size_t)c->context_max * dim);
    if (m->rope == NULL) {
        b->has_failed = vl_fail(b->err, VL_NOMEM, "no memory for the model") == NULL;
        return;
    }
    for (uint32_t i = 0; i < half; i++) {
        float rate = powf(c->rope_theta, -(float)(2 * i) / (float)dim);
        for (uint32_t pos = 0; pos < c->context_max; pos++) {
            float angle = (float)pos * rate;
            m->rope[(size_t)pos * dim + i] = cosf(angle);
            m->rope[(size_t)pos * dim + half + i] = sinf(angle);
        }
    }
}

static void build_layer(builder *b, uint32_t i)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    vl_decoder_layer *layer = &m->layers[i];
    uint32_t n = c->hidden;
    char name[160];
#define NAME(tail) name_of(name, sizeof name, "language.model.layers.", i, tail)
    layer->norm1 = vector1(b, NAME("input_layernorm.weight"), n);
    layer->norm2 = vector1(b, NAME("post_attention_layernorm.weight"), n);
    if (c->is_latent)
        layer->latent = build_latent(b, i);
    else
        layer->qkv = build_qkv(b, i);
    layer->o = linear_get(b, NAME("self_attn.o_proj"), n, c->heads * c->value_dim, false);
    if (vl_config_has_experts(c, i))
        layer->moe = build_moe(b, i);
    else
        build_mlp(b, &layer->mlp, NAME("mlp."), c->mlp);
#undef NAME
}

/* Rows of the embedding stay in the mapped file. */
static void build_embed(builder *b)
{
    vl_model *m = b->model;
    uint64_t shape[] = { m->config.vocab, m->config.hidden };
    part embed = { 0 };
    if (b->has_failed)
        return;
    b->has_failed = !part_get(b, "language.model.embed_tokens.weight", 2, shape, &embed);
    if (b->has_failed)
        return;
    if (!numbers_are_finite(embed.tensor)) {
        (void)vl_fail(b->err, VL_FORMAT, "%s holds a number that is not finite",
                      embed.tensor->name);
        b->has_failed = true;
        return;
    }
    m->embed = embed.tensor;
    m->embed_scale = embed.scale;
    m->info.weight_bytes += embed.tensor->bytes;
    vl_weights_release(m->weights, embed.tensor);
}

static void build_decoder(builder *b)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    build_embed(b);
    uint64_t before = m->info.parameters;
    m->layers = zeros_new(b, c->layers, sizeof *m->layers);
    for (uint32_t i = 0; i < c->layers && !b->has_failed; i++)
        build_layer(b, i);
    m->final_norm = vector1(b, "language.model.norm.weight", c->hidden);
    m->head = linear_get(b, "language.lm_head", c->vocab, c->hidden, false);
    if (!b->has_failed)
        build_rope(b);
    m->info.parameters_token = m->info.parameters - before;
    if (c->experts > 0)
        m->info.parameters_token -=
            b->routed / c->experts * (c->experts - c->experts_used);
}

/* ---- all ---- */

bool vl_build(vl_model *m, vl_error *err)
{
    builder b = { .model = m, .err = err };
    build_vision(&b);
    if (!b.has_failed)
        build_projector(&b);
    if (!b.has_failed)
        build_decoder(&b);
    return !b.has_failed;
}

static void free_vision(vl_model *m)
{
    for (uint32_t i = 0; m->blocks != NULL && i < m->config.v_layers; i++) {
        vl_vit_block *k = &m->blocks[i];
        free(k->norm1_weight);
        free(k->norm1_bias);
        free(k->norm2_weight);
        free(k->norm2_bias);
        vl_linear_free(k->qkv);
        vl_linear_free(k->proj);
        vl_linear_free(k->fc1);
        vl_linear_free(k->fc2);
    }
    free(m->blocks);
    vl_linear_free(m->patch_embed);
    free(m->pos_embed);
    free(m->norm_weight);
    free(m->norm_bias);
    vl_linear_free(m->text_head);
}

static void free_mlp(vl_mlp *mlp)
{
    vl_linear_free(mlp->gate);
    vl_linear_free(mlp->up);
    vl_linear_free(mlp->down);
}

static void free_moe(vl_moe *moe, const vl_config *c)
{
    if (moe == NULL)
        return;
    for (uint32_t e = 0; moe->experts != NULL && e < c->experts; e++)
        free_mlp(&moe->experts[e]);
    free_mlp(&moe->shared);
    vl_linear_free(moe->router);
    free(moe->experts);
    free(moe->bias);
    free(moe);
}

static void free_latent(vl_latent *l, const vl_config *c)
{
    if (l == NULL)
        return;
    for (uint32_t h = 0; h < c->heads; h++) {
        if (l->absorb_k != NULL)
            vl_linear_free(l->absorb_k[h]);
        if (l->absorb_v != NULL)
            vl_linear_free(l->absorb_v[h]);
    }
    free(l->absorb_k);
    free(l->absorb_v);
    vl_linear_free(l->q);
    vl_linear_free(l->q_a);
    vl_linear_free(l->kv_a);
    vl_linear_free(l->kv_b);
    free(l->q_norm);
    free(l->kv_norm);
    free(l);
}

static void free_decoder(vl_model *m)
{
    for (uint32_t i = 0; m->layers != NULL && i < m->config.layers; i++) {
        vl_decoder_layer *layer = &m->layers[i];
        free(layer->norm1);
        free(layer->norm2);
        vl_linear_free(layer->qkv);
        free_latent(layer->latent, &m->config);
        vl_linear_free(layer->o);
        free_mlp(&layer->mlp);
        free_moe(layer->moe, &m->config);
    }
    free(m->layers);
    free(m->final_norm);
    vl_linear_free(m->head);
    free(m->rope);
}

void vl_build_clear(vl_model *m)
{
    free_vision(m);
    vl_linear_free(m->project1);
    vl_linear_free(m->project2);
    free(m->newline);
    free(m->separator);
    free_decoder(m);
}

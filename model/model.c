/*
 * model.c - opening a checkpoint: everything is compared with the configuration before
 * a kernel sees it.
 */
#include "core.h"

#include <assert.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "util.h"

#define CONFIG_BYTES_MAX (1u << 20)

/* What the helpers below need while a model is being built. */
typedef struct builder {
    vl_model *model;
    vl_error *err;
    bool has_failed;
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

static bool part_get(builder *b, const char *name, size_t ndim, const uint64_t *shape,
                     part *out)
{
    out->tensor = tensor_get(b, name, ndim, shape);
    if (out->tensor == NULL)
        return false;
    if (!numbers_are_finite(out->tensor))
        return vl_fail(b->err, VL_FORMAT, "%s holds a number that is not finite", name) !=
               NULL;
    if (out->tensor->dtype == VL_I8) {
        out->scale = scale_get(b, name, (uint32_t)shape[0]);
        if (out->scale == NULL)
            return false;
    }
    b->model->info.parameters += out->tensor->count;
    return true;
}

/* Stacks `count` matrices of the same shape [rows][in] into one [count * rows][in]. */
static vl_linear *stack_new(builder *b, const part *parts, size_t count, uint32_t rows,
                            uint32_t in, const float *bias)
{
    vl_dtype dtype = parts[0].tensor->dtype;
    size_t part_bytes = parts[0].tensor->bytes;
    uint8_t *data = count > 1 ? malloc(part_bytes * count) : NULL;
    float *scale = dtype == VL_I8 ? vl_floats_new((size_t)rows * count) : NULL;
    vl_linear *linear = NULL;
    bool is_same = true;
    for (size_t i = 1; i < count; i++)
        is_same = is_same && parts[i].tensor->dtype == dtype;
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
        linear = vl_linear_new(&source, b->model->compute, b->err);
    }
    free(data);
    free(scale);
    b->has_failed = linear == NULL;
    if (linear != NULL)
        b->model->info.weight_bytes += vl_linear_bytes(linear);
    return linear;
}

/* Matrix `stem`.weight [out][in], with `stem`.bias when wanted. */
static vl_linear *linear_get(builder *b, const char *stem, uint32_t out, uint32_t in,
                             bool has_bias)
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
    vl_linear *linear = b->has_failed ? NULL : stack_new(b, &p, 1, out, in, bias);
    free(bias);
    return linear;
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
        m->patch_embed =
            stack_new(b, &p, 1, c->v_width, c->in_chans * c->patch * c->patch, bias);
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
    m->blocks = calloc(c->v_layers, sizeof *m->blocks);
    if (m->blocks == NULL) {
        b->has_failed = vl_fail(b->err, VL_NOMEM, "no memory for the model") == NULL;
        return;
    }
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
    return b->has_failed ? NULL : stack_new(b, parts, 3, n, n, NULL);
}

static void build_rope(builder *b)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    uint32_t dim = c->hidden / c->heads, half = dim / 2;
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

static void build_decoder(builder *b)
{
    vl_model *m = b->model;
    const vl_config *c = &m->config;
    uint32_t n = c->hidden;
    char name[160];
    uint64_t shape[] = { c->vocab, n };
    part embed = { 0 };
    m->layers = calloc(c->layers, sizeof *m->layers);
    if (m->layers == NULL) {
        b->has_failed = vl_fail(b->err, VL_NOMEM, "no memory for the model") == NULL;
        return;
    }
    if (!b->has_failed)
        b->has_failed =
            !part_get(b, "language.model.embed_tokens.weight", 2, shape, &embed);
    m->embed = embed.tensor;
    m->embed_scale = embed.scale;
#define NAME(tail) name_of(name, sizeof name, "language.model.layers.", i, tail)
    for (uint32_t i = 0; i < c->layers && !b->has_failed; i++) {
        vl_decoder_layer *layer = &m->layers[i];
        layer->norm1 = vector1(b, NAME("input_layernorm.weight"), n);
        layer->norm2 = vector1(b, NAME("post_attention_layernorm.weight"), n);
        layer->qkv = build_qkv(b, i);
        layer->o = linear_get(b, NAME("self_attn.o_proj"), n, n, false);
        layer->gate = linear_get(b, NAME("mlp.gate_proj"), c->mlp, n, false);
        layer->up = linear_get(b, NAME("mlp.up_proj"), c->mlp, n, false);
        layer->down = linear_get(b, NAME("mlp.down_proj"), n, c->mlp, false);
    }
#undef NAME
    m->final_norm = vector1(b, "language.model.norm.weight", n);
    m->head = linear_get(b, "language.lm_head", c->vocab, n, false);
    build_rope(b);
    if (!b->has_failed)
        m->info.weight_bytes += embed.tensor->bytes;
}

/* ---- opening ---- */

static uint32_t cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}

static bool read_texts(vl_model *m, const char *dir, vl_sha256 *sha, vl_error *err)
{
    size_t config_bytes, tokens_bytes;
    char *tokens_text = NULL;
    vl_json_doc *config = NULL, *tokens = NULL;
    bool is_read = false;
    char *config_text =
        vl_file_read(dir, "config.json", CONFIG_BYTES_MAX, &config_bytes, err);
    if (config_text == NULL)
        goto out;
    config = vl_json_parse(config_text, config_bytes, "config.json", err);
    if (config == NULL || !vl_config_read(&m->config, vl_json_root(config), dir, err))
        goto out;
    tokens_text =
        vl_file_read(dir, "tokenizer.json", VL_TOKENIZER_BYTES_MAX, &tokens_bytes, err);
    if (tokens_text == NULL)
        goto out;
    tokens = vl_json_parse(tokens_text, tokens_bytes, "tokenizer.json", err);
    if (tokens == NULL)
        goto out;
    m->tokenizer = vl_tokenizer_new(vl_json_root(tokens), m->config.vocab, err);
    vl_sha256_add(sha, config_text, config_bytes);
    vl_sha256_add(sha, tokens_text, tokens_bytes);
    is_read = m->tokenizer != NULL;
out:
    vl_json_free(config);
    vl_json_free(tokens);
    free(config_text);
    free(tokens_text);
    return is_read;
}

static void fill_info(vl_model *m, vl_sha256 *sha)
{
    const vl_config *c = &m->config;
    vl_model_info *info = &m->info;
    vl_weights_hash(m->weights, sha);
    vl_sha256_hex(sha, info->sha256);
    info->name = c->name;
    info->vocab = c->vocab;
    info->hidden = c->hidden;
    info->layers = c->layers;
    info->context_max = c->context_max;
    info->tile = c->tile;
    info->patch = c->patch;
    info->tile_overlap = c->tile_overlap;
    info->has_text_head = m->text_head != NULL;
    info->kernels = vl_kernels_name();
    info->blas = vl_blas_name();
    info->compute = m->compute == VL_COMPUTE_INT8 ? "int8" : "fp32";
    info->grids = c->grids;
    info->grid_count = c->grid_count;
}

static bool open_all(vl_model *m, const char *dir, const vl_model_opts *opts,
                     vl_error *err)
{
    vl_sha256 sha;
    vl_sha256_init(&sha);
    if (!read_texts(m, dir, &sha, err))
        return false;
    m->weights = vl_weights_open(dir, err);
    if (m->weights == NULL)
        return false;
    m->pool = vl_pool_new(opts->threads != 0 ? opts->threads : cpu_count(), err);
    if (m->pool == NULL)
        return false;
    const vl_tensor *first = vl_weights_get(m->weights, "vision.patch_embed.proj.weight");
    m->compute = opts->compute;
    if (m->compute == VL_COMPUTE_AUTO)
        m->compute =
            first != NULL && first->dtype == VL_I8 ? VL_COMPUTE_INT8 : VL_COMPUTE_FP32;
    builder b = { m, err, false };
    build_vision(&b);
    if (!b.has_failed)
        build_projector(&b);
    if (!b.has_failed)
        build_decoder(&b);
    if (b.has_failed)
        return false;
    fill_info(m, &sha);
    return true;
}

vl_model *vl_model_open(const char *dir, const vl_model_opts *opts, vl_error *err)
{
    static const vl_model_opts defaults = { 0 };
    vl_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a model");
    atomic_init(&m->refs, 1);
    if (!open_all(m, dir, opts != NULL ? opts : &defaults, err)) {
        vl_model_unref(m);
        return NULL;
    }
    return m;
}

vl_model *vl_model_ref(vl_model *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
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

static void free_decoder(vl_model *m)
{
    for (uint32_t i = 0; m->layers != NULL && i < m->config.layers; i++) {
        vl_decoder_layer *layer = &m->layers[i];
        free(layer->norm1);
        free(layer->norm2);
        vl_linear_free(layer->qkv);
        vl_linear_free(layer->o);
        vl_linear_free(layer->gate);
        vl_linear_free(layer->up);
        vl_linear_free(layer->down);
    }
    free(m->layers);
    free(m->final_norm);
    vl_linear_free(m->head);
    free(m->rope);
}

void vl_model_unref(vl_model *m)
{
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    free_vision(m);
    vl_linear_free(m->project1);
    vl_linear_free(m->project2);
    free(m->newline);
    free(m->separator);
    free_decoder(m);
    vl_tokenizer_free(m->tokenizer);
    vl_weights_free(m->weights);
    vl_pool_free(m->pool);
    free(m->config.chars);
    free(m);
}

const vl_model_info *vl_model_get_info(const vl_model *m)
{
    return &m->info;
}

int32_t vl_token_special(const vl_model *m, vl_special which)
{
    return vl_tokenizer_special(m->tokenizer, which);
}

size_t vl_tokenize(const vl_model *m, const char *text, size_t text_bytes, int32_t *ids,
                   size_t ids_max)
{
    return vl_tokenizer_encode(m->tokenizer, text, text_bytes, ids, ids_max);
}

const char *vl_token_bytes(const vl_model *m, int32_t id, size_t *bytes)
{
    return vl_tokenizer_bytes(m->tokenizer, id, bytes);
}

bool vl_fit_choose(const vl_model *m, uint32_t width, uint32_t height, vl_fit *fit,
                   vl_error *err)
{
    return vl_fit_choose_config(&m->config, width, height, fit, err);
}

bool vl_fit_grid(const vl_model *m, size_t grid_index, uint32_t width, uint32_t height,
                 vl_fit *fit, vl_error *err)
{
    return vl_fit_grid_config(&m->config, grid_index, width, height, fit, err);
}

/*
 * config.c - config.json of a DeepSeek-VL2-type checkpoint to a checked vl_config.
 *
 * Missing keys take the defaults of the reference configuration classes.  Every number
 * gets a range here, so that the graph may multiply them without a second thought.
 */
#include "core.h"

#include <math.h>

#include "util.h"

typedef struct range {
    const char *key;
    uint32_t *out;
    uint32_t least, most;
    int64_t fallback; /* -1: the key must be there */
} range;

static bool read_ranges(const vl_json *object, const char *what, const range *ranges,
                        size_t count, vl_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const range *r = &ranges[i];
        const vl_json *value = vl_json_get(object, r->key);
        uint64_t number;
        if ((value == NULL || value->type == VL_JSON_NULL) && r->fallback >= 0) {
            *r->out = (uint32_t)r->fallback;
            continue;
        }
        if (!vl_json_uint(value, UINT32_MAX, &number))
            return vl_fail(err, VL_FORMAT, "config.json: %s%s is no number of use", what,
                           r->key) != NULL;
        if (number < r->least || number > r->most)
            return vl_fail(err, VL_LIMIT, "config.json: %s%s is %llu, limits %u to %u",
                           what, r->key, (unsigned long long)number, r->least,
                           r->most) != NULL;
        *r->out = (uint32_t)number;
    }
    return true;
}

#define READ_RANGES(object, what, ranges, err)                                           \
    read_ranges(object, what, ranges, sizeof(ranges) / sizeof *(ranges), err)

static bool read_float(const vl_json *object, const char *key, double fallback,
                       double least, double most, double *out, vl_error *err)
{
    const vl_json *value = vl_json_get(object, key);
    *out = value != NULL ? value->number : fallback;
    if ((value != NULL && value->type != VL_JSON_NUMBER) ||
        !(*out >= least && *out <= most))
        return vl_fail(err, VL_FORMAT, "config.json: %s is not within %g and %g", key,
                       least, most) != NULL;
    return true;
}

/* An optional string that, when there, must have the one supported value. */
static bool check_kind(const vl_json *object, const char *key, const char *supported,
                       vl_error *err)
{
    const vl_json *value = vl_json_get(object, key);
    if (value == NULL || vl_json_is(value, supported))
        return true;
    return vl_fail(err, VL_UNSUPPORTED,
                   "config.json: %s is \"%.60s\", this core runs \"%s\"", key,
                   value->type == VL_JSON_STRING ? value->text : "?", supported) != NULL;
}

static bool is_null(const vl_json *value)
{
    return value == NULL || value->type == VL_JSON_NULL;
}

/* An optional boolean; a number or text in its place is an error. */
static bool read_bool(const vl_json *object, const char *key, bool fallback, bool *out,
                      vl_error *err)
{
    const vl_json *value = vl_json_get(object, key);
    *out = is_null(value) ? fallback : value->number != 0;
    if (!is_null(value) && value->type != VL_JSON_BOOL)
        return vl_fail(err, VL_FORMAT, "config.json: %s is neither true nor false",
                       key) != NULL;
    return true;
}

/* A switch that this core runs in one position only. */
static bool check_off(const vl_json *object, const char *key, vl_error *err)
{
    bool is_on;
    if (!read_bool(object, key, false, &is_on, err))
        return false;
    return !is_on || vl_fail(err, VL_UNSUPPORTED, "config.json: %s", key) != NULL;
}

static bool decode_chars(vl_config *c, const vl_json *chars, vl_error *err)
{
    if (chars == NULL || chars->type != VL_JSON_STRING || chars->text_bytes == 0)
        return vl_fail(err, VL_FORMAT, "config.json: text_head.chars is no text") != NULL;
    uint32_t count = 0;
    const uint8_t *p = (const uint8_t *)chars->text, *end = p + chars->text_bytes;
    c->chars = malloc(chars->text_bytes * sizeof *c->chars);
    if (c->chars == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for the characters") != NULL;
    while (p < end) {
        /* The JSON reader lets only well-formed UTF-8 through. */
        unsigned n = *p < 0x80 ? 1 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : 4;
        uint32_t code = n == 1 ? *p : *p & (0x7fu >> n);
        for (unsigned i = 1; i < n; i++)
            code = code << 6 | (p[i] & 63u);
        c->chars[count++] = code;
        p += n;
    }
    c->class_count = count + 1;
    if (c->class_count > VL_CLASSES_MAX)
        return vl_fail(err, VL_LIMIT, "config.json: text_head.chars has %u, limit %d",
                       count, VL_CLASSES_MAX - 1) != NULL;
    return true;
}

static bool read_vision(vl_config *c, const vl_json *vision, vl_error *err)
{
    const range ranges[] = {
        { "width", &c->v_width, 8, 8192, 1152 },   { "layers", &c->v_layers, 1, 128, 27 },
        { "heads", &c->v_heads, 1, 128, 16 },      { "patch_size", &c->patch, 2, 64, 14 },
        { "image_size", &c->tile, 16, 2048, 384 }, { "in_chans", &c->in_chans, 1, 3, 3 },
    };
    double ratio;
    if (!READ_RANGES(vision, "vision_config.", ranges, err) ||
        !read_float(vision, "mlp_ratio", 3.7362, 0.25, 16, &ratio, err))
        return false;
    if (c->in_chans == 2 || c->v_width % c->v_heads != 0 || c->tile < 2 * c->patch)
        return vl_fail(err, VL_FORMAT, "config.json: vision_config sizes do not fit") !=
               NULL;
    if (c->v_width / c->v_heads > VL_HEAD_DIM_MAX)
        return vl_fail(err, VL_LIMIT,
                       "config.json: vision_config: a head of %u values, limit %u",
                       c->v_width / c->v_heads, VL_HEAD_DIM_MAX) != NULL;
    c->v_mlp = (uint32_t)(c->v_width * ratio);
    c->side = c->tile / c->patch;
    const vl_json *head = vl_json_get(vision, "text_head");
    if (head == NULL || head->type == VL_JSON_NULL)
        return true;
    const range anchors[] = { { "anchors", &c->anchors, 1, 16, -1 } };
    if (!READ_RANGES(head, "text_head.", anchors, err) ||
        !decode_chars(c, vl_json_get(head, "chars"), err))
        return false;
    if (c->patch % c->anchors != 0 || c->tile % c->patch != 0)
        return vl_fail(err, VL_FORMAT, "config.json: anchors do not divide a patch") !=
               NULL;
    return true;
}

static bool read_projector(vl_config *c, const vl_json *projector, vl_error *err)
{
    uint32_t input, output, depth, ratio;
    const range ranges[] = {
        { "input_dim", &input, 1, 8192, 1152 },
        { "n_embed", &output, 1, 8192, 2048 },
        { "depth", &depth, 1, 16, 2 },
        { "mlp_ratio", &ratio, 1, 16, 1 },
        { "downsample_ratio", &c->down, 1, 8, 2 },
    };
    if (!check_kind(projector, "projector_type", "downsample_mlp_gelu", err) ||
        !check_off(projector, "token_pooling", err) ||
        !READ_RANGES(projector, "projector_config.", ranges, err))
        return false;
    if (depth != 2 || ratio != 1)
        return vl_fail(
                   err, VL_UNSUPPORTED,
                   "config.json: projector of depth %u, ratio %u; this core runs 2, 1",
                   depth, ratio) != NULL;
    if (input != c->v_width || output != c->hidden)
        return vl_fail(err, VL_FORMAT,
                       "config.json: projector_config %u to %u joins %u to %u", input,
                       output, c->v_width, c->hidden) != NULL;
    c->merged = (c->side + c->down - 1) / c->down;
    return true;
}

/* The position in `names` of an optional string; a null is as good as none. */
static bool read_choice(const vl_json *object, const char *key, const char *const *names,
                        size_t count, uint32_t *out, vl_error *err)
{
    const vl_json *value = vl_json_get(object, key);
    *out = 0;
    if (is_null(value))
        return true;
    for (size_t i = 0; i < count; i++)
        if (vl_json_is(value, names[i])) {
            *out = (uint32_t)i;
            return true;
        }
    return vl_fail(err, VL_UNSUPPORTED, "config.json: %s \"%.60s\" is not known", key,
                   value->type == VL_JSON_STRING ? value->text : "?") != NULL;
}

static bool check_groups(const vl_config *c, vl_error *err)
{
    if (c->experts % c->groups != 0 || c->groups_used > c->groups)
        return vl_fail(err, VL_FORMAT,
                       "config.json: %u experts in %u groups, %u of them used",
                       c->experts, c->groups, c->groups_used) != NULL;
    uint32_t eligible =
        c->topk == VL_TOPK_GREEDY ? c->experts : c->experts / c->groups * c->groups_used;
    if (c->experts_used > eligible)
        return vl_fail(err, VL_FORMAT,
                       "config.json: num_experts_per_tok is %u of %u eligible experts",
                       c->experts_used, eligible) != NULL;
    if (c->topk == VL_TOPK_BIASED && c->groups > 1 && c->experts / c->groups < 2)
        return vl_fail(err, VL_FORMAT,
                       "config.json: groups of one expert have no two best") != NULL;
    return true;
}

/* DeepSeekMoE (VL2 section 6.3): what the router may be told to do. */
static bool read_experts(vl_config *c, const vl_json *language, vl_error *err)
{
    static const char *const scorings[] = { "softmax", "sigmoid" };
    static const char *const topks[] = { "greedy", "group_limited_greedy", "noaux_tc" };
    uint32_t scoring, topk;
    double scale;
    if (is_null(vl_json_get(language, "n_routed_experts")))
        return true;
    const range ranges[] = {
        { "n_routed_experts", &c->experts, 1, VL_EXPERTS_MAX, -1 },
        { "num_experts_per_tok", &c->experts_used, 1, VL_EXPERTS_USED_MAX, -1 },
        { "n_shared_experts", &c->experts_shared, 0, 64, 0 },
        { "moe_intermediate_size", &c->expert_mlp, 8, 65536, 1407 },
        { "first_k_dense_replace", &c->dense_first, 0, 256, 0 },
        { "moe_layer_freq", &c->expert_every, 1, 256, 1 },
        { "n_group", &c->groups, 1, VL_EXPERTS_MAX, 1 },
        { "topk_group", &c->groups_used, 1, VL_EXPERTS_MAX, 1 },
    };
    if (!READ_RANGES(language, "language_config.", ranges, err) ||
        !read_choice(language, "scoring_func", scorings, 2, &scoring, err) ||
        !read_choice(language, "topk_method", topks, 3, &topk, err) ||
        !read_bool(language, "norm_topk_prob", false, &c->is_weight_normed, err) ||
        !read_float(language, "routed_scaling_factor", 1, 1e-3, 1e3, &scale, err))
        return false;
    c->scoring = (vl_scoring)scoring;
    c->topk = (vl_topk)topk;
    c->weight_scale = (float)scale;
    if ((uint64_t)c->experts_shared * c->expert_mlp > VL_LINEAR_IN_MAX)
        return vl_fail(err, VL_LIMIT, "config.json: %u shared experts of %u, limit %u",
                       c->experts_shared, c->expert_mlp, VL_LINEAR_IN_MAX) != NULL;
    return check_groups(c, err);
}

/* The geometry of a head: latent (VL2 section 6.1) or plain (6.2). */
static bool read_attention(vl_config *c, const vl_json *language, vl_error *err)
{
    uint32_t nope;
    const vl_json *q_rank = vl_json_get(language, "q_lora_rank");
    if (!read_bool(language, "use_mla", true, &c->is_latent, err))
        return false;
    if (!c->is_latent) {
        if (c->hidden % c->heads != 0 || c->hidden / c->heads % 2 != 0)
            return vl_fail(err, VL_FORMAT, "config.json: %u heads do not divide %u",
                           c->heads, c->hidden) != NULL;
        c->key_dim = c->value_dim = c->rope_dim = c->hidden / c->heads;
    } else {
        const range ranges[] = {
            { "kv_lora_rank", &c->kv_rank, 8, 4096, 512 },
            { "q_lora_rank", &c->q_rank, 8, 8192, 1536 },
            { "qk_rope_head_dim", &c->rope_dim, 2, VL_HEAD_DIM_MAX, 64 },
            { "qk_nope_head_dim", &nope, 1, VL_HEAD_DIM_MAX, 128 },
            { "v_head_dim", &c->value_dim, 1, VL_HEAD_DIM_MAX, 128 },
        };
        if (!READ_RANGES(language, "language_config.", ranges, err))
            return false;
        if (q_rank != NULL && q_rank->type == VL_JSON_NULL)
            c->q_rank = 0;
        if (c->rope_dim % 2 != 0)
            return vl_fail(err, VL_FORMAT, "config.json: qk_rope_head_dim is odd") !=
                   NULL;
        c->key_dim = nope + c->rope_dim;
    }
    if (c->key_dim > VL_HEAD_DIM_MAX)
        return vl_fail(err, VL_LIMIT, "config.json: a head of %u values, limit %u",
                       c->key_dim, VL_HEAD_DIM_MAX) != NULL;
    return true;
}

static bool read_language(vl_config *c, const vl_json *language, vl_error *err)
{
    if (!is_null(vl_json_get(language, "rope_scaling")))
        return vl_fail(err, VL_UNSUPPORTED, "config.json: rope_scaling") != NULL;
    uint32_t kv_heads;
    const range ranges[] = {
        { "hidden_size", &c->hidden, 8, 8192, 4096 },
        { "intermediate_size", &c->mlp, 8, 65536, 11008 },
        { "num_hidden_layers", &c->layers, 1, 256, 30 },
        { "num_attention_heads", &c->heads, 1, 256, 32 },
        { "num_key_value_heads", &kv_heads, 1, 256, 0 },
        { "vocab_size", &c->vocab, 16, VL_TOKENS_MAX, 102400 },
        { "max_position_embeddings", &c->context_max, 16, 1u << 17, 2048 },
    };
    double eps, theta;
    if (!check_off(language, "tie_word_embeddings", err) ||
        !check_off(language, "attention_bias", err) ||
        !check_kind(language, "hidden_act", "silu", err) ||
        !READ_RANGES(language, "language_config.", ranges, err) ||
        !read_float(language, "rms_norm_eps", 1e-6, 1e-12, 1e-1, &eps, err) ||
        !read_float(language, "rope_theta", 10000, 1, 1e9, &theta, err))
        return false;
    if (kv_heads != 0 && kv_heads != c->heads)
        return vl_fail(err, VL_UNSUPPORTED, "config.json: grouped key and value heads") !=
               NULL;
    c->rms_eps = (float)eps;
    c->rope_theta = (float)theta;
    return read_attention(c, language, err) && read_experts(c, language, err);
}

bool vl_config_has_experts(const vl_config *c, uint32_t index)
{
    return c->experts > 0 && index >= c->dense_first && index % c->expert_every == 0;
}

static bool read_grids(vl_config *c, const vl_json *root, vl_error *err)
{
    const vl_json *list = vl_json_get(root, "candidate_resolutions");
    const range overlap[] = { { "tile_overlap", &c->tile_overlap, 0, c->tile / 2, 0 } };
    if (!READ_RANGES(root, "", overlap, err))
        return false;
    if (c->anchors > 0 && c->tile_overlap % c->patch != 0)
        return vl_fail(err, VL_FORMAT,
                       "config.json: tile_overlap %u is not made of patches",
                       c->tile_overlap) != NULL;
    if (list == NULL || list->type != VL_JSON_ARRAY || list->count == 0)
        return vl_fail(err, VL_FORMAT, "config.json: no candidate_resolutions") != NULL;
    if (list->count > VL_GRIDS_MAX)
        return vl_fail(err, VL_LIMIT, "config.json: %u candidate_resolutions, limit %d",
                       list->count, VL_GRIDS_MAX) != NULL;
    uint32_t stride = c->tile - c->tile_overlap;
    for (const vl_json *item = list->child; item != NULL; item = item->next) {
        uint64_t w, h;
        if (item->type != VL_JSON_ARRAY || item->count != 2 ||
            !vl_json_uint(item->child, 1u << 20, &w) ||
            !vl_json_uint(item->child->next, 1u << 20, &h) || w < c->tile ||
            h < c->tile || (w - c->tile_overlap) % stride != 0 ||
            (h - c->tile_overlap) % stride != 0)
            return vl_fail(err, VL_FORMAT,
                           "config.json: candidate_resolutions[%zu] is not made of tiles",
                           c->grid_count) != NULL;
        vl_grid grid = { (uint32_t)(w - c->tile_overlap) / stride,
                         (uint32_t)(h - c->tile_overlap) / stride, (uint32_t)w,
                         (uint32_t)h };
        if ((uint64_t)grid.tiles_w * grid.tiles_h > VL_GRID_TILES_MAX)
            return vl_fail(err, VL_LIMIT,
                           "config.json: candidate_resolutions[%zu]: limit %d tiles",
                           c->grid_count, VL_GRID_TILES_MAX) != NULL;
        c->grids[c->grid_count++] = grid;
    }
    return true;
}

static void read_name(vl_config *c, const vl_json *root, const char *folder)
{
    const vl_json *name = vl_json_get(root, "model_name");
    const char *text = folder;
    size_t bytes = strlen(folder);
    if (name != NULL && name->type == VL_JSON_STRING && name->text_bytes > 0) {
        text = name->text;
        bytes = strlen(name->text);
    } else {
        while (bytes > 1 && text[bytes - 1] == '/')
            bytes--;
        for (size_t i = bytes - 1; i > 0 && bytes > 1; i--)
            if (text[i - 1] == '/') {
                text += i;
                bytes -= i;
                break;
            }
    }
    bytes = bytes < sizeof c->name - 1 ? bytes : sizeof c->name - 1;
    memcpy(c->name, text, bytes);
    c->name[bytes] = '\0';
}

bool vl_config_read(vl_config *c, const vl_json *root, const char *folder, vl_error *err)
{
    const vl_json *vision = vl_json_get(root, "vision_config");
    const vl_json *projector = vl_json_get(root, "projector_config");
    const vl_json *language = vl_json_get(root, "language_config");
    *c = (vl_config){ 0 };
    if (root->type != VL_JSON_OBJECT)
        return vl_fail(err, VL_FORMAT, "config.json: no object") != NULL;
    if (!vl_json_is(vl_json_get(root, "model_type"), "deepseek_vl_v2"))
        return vl_fail(err, VL_UNSUPPORTED,
                       "config.json: model_type is not deepseek_vl_v2") != NULL;
    if (vision == NULL || projector == NULL || language == NULL)
        return vl_fail(err, VL_FORMAT,
                       "config.json: vision_config, projector_config or language_config "
                       "is missing") != NULL;
    read_name(c, root, folder);
    return check_kind(root, "tile_tag", "2D", err) &&
           check_kind(root, "global_view_pos", "head", err) &&
           read_vision(c, vision, err) && read_language(c, language, err) &&
           read_projector(c, projector, err) && read_grids(c, root, err);
}

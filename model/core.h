/*
 * core.h - what the files of model/ share: the checked configuration, the parts of a
 * loaded model, and the steps of its graph.
 */
#ifndef VL_CORE_H
#define VL_CORE_H

#include <stdatomic.h>

#include "ops.h"
#include "tokenizer.h"
#include "weights.h"

#define VL_GRIDS_MAX        64
#define VL_GRID_TILES_MAX   64
#define VL_CLASSES_MAX      8192
#define VL_IMAGE_SIDE_MAX   65500u
#define VL_IMAGE_PIXELS_MAX 300000000u
#define VL_PREFILL_ROWS     256
#define VL_EXPERTS_MAX      1024
#define VL_EXPERTS_USED_MAX 64
#define VL_ABSORB_ROWS_MAX  16 /* rows that latent attention takes without expansion */

typedef enum vl_scoring { VL_SCORING_SOFTMAX, VL_SCORING_SIGMOID } vl_scoring;

typedef enum vl_topk {
    VL_TOPK_GREEDY,
    VL_TOPK_GROUPS, /* group_limited_greedy: groups by their best expert */
    VL_TOPK_BIASED, /* noaux_tc: a learned bias for the choice alone */
} vl_topk;

typedef struct vl_config {
    char name[64];
    uint32_t tile_overlap;
    vl_grid grids[VL_GRIDS_MAX];
    size_t grid_count;
    uint32_t tile, patch, in_chans; /* vision tower */
    uint32_t v_width, v_layers, v_heads, v_mlp;
    uint32_t anchors, class_count; /* text head; 0 when there is none */
    uint32_t *chars;               /* [class_count - 1], owned */
    uint32_t down;                 /* projector: patches merged per side */
    uint32_t hidden, mlp, layers, heads, vocab, context_max; /* decoder */
    float rms_eps, rope_theta;
    uint32_t key_dim, value_dim; /* of a head; key_dim with its rotated part */
    uint32_t rope_dim;           /* rotated values of a head: all of them without MLA */
    bool is_latent;              /* multi-head latent attention (MLA) */
    uint32_t q_rank, kv_rank;    /* MLA; q_rank is 0 where queries have no low rank */
    uint32_t experts;            /* 0: every layer is dense */
    uint32_t experts_used, experts_shared, expert_mlp, dense_first, expert_every;
    uint32_t groups, groups_used;
    vl_scoring scoring;
    vl_topk topk;
    bool is_weight_normed;
    float weight_scale;
    uint32_t side, merged; /* patches, tokens per side of a tile */
} vl_config;

/* Fill *config from the parsed config.json; `folder` names a model without a name. */
bool vl_config_read(vl_config *config, const vl_json *root, const char *folder,
                    vl_error *err);
/* Has the decoder's layer `index` experts? */
bool vl_config_has_experts(const vl_config *config, uint32_t index);

typedef struct vl_vit_block {
    float *norm1_weight, *norm1_bias, *norm2_weight, *norm2_bias;
    vl_linear *qkv, *proj, *fc1, *fc2;
} vl_vit_block;

/* down(silu(gate) * up) */
typedef struct vl_mlp {
    vl_linear *gate, *up, *down;
} vl_mlp;

typedef struct vl_moe {
    vl_linear *router; /* [experts][hidden], always in float */
    float *bias;       /* [experts] for VL_TOPK_BIASED, else NULL */
    vl_mlp *experts;   /* [experts] */
    vl_mlp shared;     /* one of all shared experts' width; NULLs without */
} vl_moe;

/* Matrices of latent attention.  Few rows take keys and values in compressed form: then
 * the head's part of kv_b is applied to the query (absorb_k) and to the sum (absorb_v). */
typedef struct vl_latent {
    vl_linear *q;         /* [heads * key_dim][hidden or q_rank] */
    vl_linear *q_a;       /* [q_rank][hidden], or NULL */
    float *q_norm;        /* [q_rank], or NULL */
    vl_linear *kv_a;      /* [kv_rank + rope_dim][hidden] */
    float *kv_norm;       /* [kv_rank] */
    vl_linear *kv_b;      /* [heads][key_dim - rope_dim, then value_dim][kv_rank] */
    vl_linear **absorb_k; /* [heads] of [kv_rank][key_dim - rope_dim] */
    vl_linear **absorb_v; /* [heads] of [value_dim][kv_rank] */
} vl_latent;

typedef struct vl_decoder_layer {
    float *norm1, *norm2;
    vl_linear *qkv;    /* without MLA */
    vl_latent *latent; /* with */
    vl_linear *o;
    vl_mlp mlp;  /* of a dense layer */
    vl_moe *moe; /* NULL in a dense layer */
} vl_decoder_layer;

struct vl_model {
    atomic_uint refs;
    vl_config config;
    vl_model_info info;
    vl_pool *pool;
    vl_weights *weights;
    vl_tokenizer *tokenizer;
    vl_compute compute; /* never AUTO */

    vl_linear *patch_embed;
    float *pos_embed; /* [side * side][v_width] */
    vl_vit_block *blocks;
    float *norm_weight, *norm_bias;
    vl_linear *text_head; /* NULL without */

    vl_linear *project1, *project2;
    float *newline, *separator; /* [hidden] */

    const vl_tensor *embed;     /* [vocab][hidden] in the mapped file */
    const uint8_t *embed_scale; /* F32 [vocab], for I8 */
    vl_decoder_layer *layers;
    float *final_norm;
    vl_linear *head;
    float *rope; /* [context_max][rope_dim] */
};

struct vl_vision {
    atomic_uint refs;
    vl_model *model;
    vl_fit fit;
    uint32_t width, height; /* of the picture */
    float *features; /* local tiles [tiles][side * side][v_width], with a text head */
    float *tokens;   /* [token_count][hidden]; NULL when only for reading */
    uint32_t token_count;
};

/* ---- pictures (image.c) ---- */

/* Grey or colour plane of the model's channel count. */
typedef struct vl_plane {
    uint8_t *data; /* [height][width][channels] */
    uint32_t width, height, channels;
} vl_plane;

void vl_plane_clear(vl_plane *plane);
bool vl_plane_from_image(const vl_image *image, uint32_t channels, vl_plane *plane,
                         vl_error *err);
/* Pillow's 8-bit bicubic with antialiasing. */
bool vl_plane_resize(const vl_plane *from, uint32_t width, uint32_t height, vl_plane *to,
                     vl_error *err);
/* ImageOps.pad on grey 127. */
bool vl_plane_pad(const vl_plane *from, const vl_fit *fit, vl_plane *to, vl_error *err);
void vl_fit_into(uint32_t width, uint32_t height, uint32_t canvas_w, uint32_t canvas_h,
                 vl_fit *fit);
bool vl_fit_choose_config(const vl_config *config, uint32_t width, uint32_t height,
                          vl_fit *fit, vl_error *err);
bool vl_fit_grid_config(const vl_config *config, size_t grid_index, uint32_t width,
                        uint32_t height, vl_fit *fit, vl_error *err);
/* The patches of the tile whose corner is (x, y) as rows [side * side][channels *
 * patch * patch], values -1 .. 1. */
void vl_plane_patches(const vl_plane *plane, uint32_t x, uint32_t y,
                      const vl_config *config, float *rows);

/* ---- graph ---- */

/* patches [views][side * side][..] to features [views][side * side][v_width]. */
bool vl_vit_run(vl_model *model, const float *patches, uint32_t views, float *features,
                const vl_vision_opts *opts, vl_error *err);
/* features of one view to its tokens [merged * merged][hidden]. */
bool vl_projector_run(vl_model *model, const float *features, uint32_t views,
                      float *tokens, vl_error *err);
uint32_t vl_projector_count(const vl_config *config, const vl_grid *grid);
/* Sequence of a picture (VL2 section 5): view 0 is the global one. */
void vl_projector_assemble(const vl_model *model, const vl_grid *grid, const float *views,
                           float *sequence);

/* Build the parts of `model` from its weights; the caller frees them also on failure. */
bool vl_build(vl_model *model, vl_error *err);
void vl_build_clear(vl_model *model);

typedef struct vl_kvcache {
    /* Per layer in blocks (vl_attention_pack()); with MLA keys hold [room][kv_rank +
     * rope_dim], the normed compressed row and the rotated part, and there are no values. */
    float **keys, **values;
    float *states; /* [room][hidden], after the final norm */
    float *
        expanded; /* MLA: [room][heads * (key_dim - rope_dim + value_dim)], one layer's */
    uint32_t room, used; /* room is in whole blocks */
} vl_kvcache;

/* What an expert layer needs for its rows; slots are rows ordered by expert. */
typedef struct vl_moe_work {
    float *scores;       /* [rows][experts] */
    uint32_t *chosen;    /* [rows][experts_used] */
    float *weights;      /* [rows][experts_used] */
    uint32_t *slots;     /* [rows][experts_used] */
    uint32_t *first;     /* [experts + 1] slot of each expert */
    float *x;            /* [slots][hidden], in and out */
    float *gate, *up;    /* [slots][expert_mlp] */
    vl_linear_job *jobs; /* [2 * experts + 2] */
} vl_moe_work;

typedef struct vl_latent_work {
    float *q_a;          /* [rows][q_rank] */
    float *kv;           /* [rows][kv_rank + rope_dim] */
    float *queries;      /* [VL_ABSORB_ROWS_MAX][heads][kv_rank] */
    float *sums;         /* the same */
    vl_linear_job *jobs; /* [heads] */
} vl_latent_work;

typedef struct vl_workspace {
    float *x, *norm, *qkv, *out, *gate, *up; /* [VL_PREFILL_ROWS][..] */
    vl_moe_work moe;
    vl_latent_work latent;
} vl_workspace;

uint32_t vl_kvcache_token_bytes(const vl_config *config);
bool vl_kvcache_grow(vl_kvcache *cache, const vl_config *config, uint32_t rows,
                     uint32_t rows_max, vl_error *err);
void vl_kvcache_clear(vl_kvcache *cache, const vl_config *config);
bool vl_workspace_init(vl_workspace *work, const vl_config *config, vl_error *err);
void vl_workspace_clear(vl_workspace *work);
/* Run work->x [rows] through the layers behind cache->used; room must be there.  `is_few`
 * as in vl_attention_args, or NULL. */
void vl_decoder_run(vl_model *model, vl_kvcache *cache, vl_workspace *work, uint32_t rows,
                    const bool *is_few);
void vl_decoder_embed(const vl_model *model, int32_t id, float *row);

/* ---- expert layers (moe.c) ---- */

bool vl_moe_work_init(vl_moe_work *work, const vl_config *config, uint32_t rows,
                      vl_error *err);
void vl_moe_work_clear(vl_moe_work *work);
/* One row: `scores` holds the router's logits and is overwritten; chosen[experts_used]
 * are in falling order of what they were chosen by. */
void vl_moe_route(const vl_config *config, const float *bias, float *scores,
                  uint32_t *chosen, float *weights);
/* work->x += experts(work->norm), over `rows` rows. */
void vl_moe_run(vl_model *model, const vl_moe *moe, vl_workspace *work, uint32_t rows);

/* ---- latent attention (mla.c) ---- */

bool vl_latent_work_init(vl_latent_work *work, const vl_config *config, uint32_t rows,
                         vl_error *err);
void vl_latent_work_clear(vl_latent_work *work);
/* work->out = attention(work->norm), before the output matrix; fills the cache's rows. */
void vl_latent_run(vl_model *model, uint32_t layer, vl_kvcache *cache, vl_workspace *work,
                   uint32_t rows);

/* ---- context.c for sample.c ---- */

vl_model *vl_context_model(const vl_context *context);
uint32_t vl_context_room(const vl_context *context); /* positions still free */
/* How many tokens vl_context_guess() would take now; 0 when no logits wait for a run. */
size_t vl_context_guess_max(const vl_context *context);
/* Run these tokens together with those that wait; when they are then added, nothing is left
 * to do.  Others may be added as well.  is_run_end[i]: logits will be asked for behind token
 * i.  Without memory nothing is run. */
void vl_context_guess(vl_context *context, const int32_t *ids, const bool *is_run_end,
                      size_t count);

#endif

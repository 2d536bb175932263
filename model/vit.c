/*
 * vit.c - the SigLIP-type vision tower and the life of a vl_vision.
 *
 * Tiles run in batches: all rows of a batch share each matrix product, attention stays
 * within a tile.  The batch is bounded so that the workspace is, whatever the grid.
 */
#include "core.h"

#include <assert.h>
#include <math.h>

#include "util.h"

#define BATCH_ROWS_MAX 4096
#define NORM_EPS       1e-6f

typedef struct vit_work {
    float *norm, *qkv, *out, *mlp;
} vit_work;

static void work_clear(vit_work *w)
{
    free(w->norm);
    free(w->qkv);
    free(w->out);
    free(w->mlp);
}

static bool work_init(vit_work *w, const vl_config *c, size_t rows, vl_error *err)
{
    w->norm = vl_floats_new(rows * c->v_width);
    w->qkv = vl_floats_new(rows * c->v_width * 3);
    w->out = vl_floats_new(rows * c->v_width);
    w->mlp = vl_floats_new(rows * c->v_mlp);
    if (w->norm == NULL || w->qkv == NULL || w->out == NULL || w->mlp == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for the vision tower") != NULL;
    return true;
}

static void apply(vl_model *m, const vl_linear *linear, const float *x, size_t rows,
                  float *y, vl_act act, bool is_added)
{
    vl_linear_apply(m->pool, linear,
                    &(vl_linear_args){ .x = x,
                                       .rows = rows,
                                       .x_stride = vl_linear_in(linear),
                                       .y = y,
                                       .y_stride = vl_linear_out(linear),
                                       .act = act,
                                       .is_added = is_added });
}

static void run_block(vl_model *m, const vl_vit_block *b, uint32_t views, float *x,
                      vit_work *w)
{
    const vl_config *c = &m->config;
    size_t width = c->v_width, patches = (size_t)c->side * c->side,
           rows = views * patches;
    uint32_t dim = c->v_width / c->v_heads;
    vl_layernorm(m->pool, x, rows, width, b->norm1_weight, b->norm1_bias, NORM_EPS,
                 w->norm);
    apply(m, b->qkv, w->norm, rows, w->qkv, VL_ACT_NONE, false);
    vl_attention(m->pool, &(vl_attention_args){ .q = w->qkv,
                                                .k = w->qkv + width,
                                                .v = w->qkv + 2 * width,
                                                .out = w->out,
                                                .q_stride = 3 * width,
                                                .k_stride = 3 * width,
                                                .v_stride = 3 * width,
                                                .out_stride = width,
                                                .batches = views,
                                                .batch_q = patches * 3 * width,
                                                .batch_k = patches * 3 * width,
                                                .batch_v = patches * 3 * width,
                                                .batch_out = patches * width,
                                                .rows_q = (uint32_t)patches,
                                                .rows_k = (uint32_t)patches,
                                                .heads = c->v_heads,
                                                .dim = dim,
                                                .scale = 1 / sqrtf((float)dim) });
    apply(m, b->proj, w->out, rows, x, VL_ACT_NONE, true);
    vl_layernorm(m->pool, x, rows, width, b->norm2_weight, b->norm2_bias, NORM_EPS,
                 w->norm);
    apply(m, b->fc1, w->norm, rows, w->mlp, VL_ACT_GELU_TANH, false);
    apply(m, b->fc2, w->mlp, rows, x, VL_ACT_NONE, true);
}

bool vl_vit_run(vl_model *m, const float *patches, uint32_t views, float *features,
                const vl_vision_opts *opts, vl_error *err)
{
    const vl_config *c = &m->config;
    size_t width = c->v_width, tile_rows = (size_t)c->side * c->side;
    size_t patch_floats = (size_t)c->patch * c->patch * c->in_chans;
    uint32_t batch =
        tile_rows >= BATCH_ROWS_MAX ? 1 : (uint32_t)(BATCH_ROWS_MAX / tile_rows);
    uint32_t done = 0, total = (views + batch - 1) / batch * c->v_layers;
    batch = batch < views ? batch : views;
    vit_work w = { 0 };
    bool is_done = work_init(&w, c, batch * tile_rows, err);
    for (uint32_t view = 0; is_done && view < views; view += batch) {
        uint32_t n = views - view < batch ? views - view : batch;
        float *x = features + view * tile_rows * width;
        for (uint32_t i = 0; i < n; i++)
            memcpy(x + i * tile_rows * width, m->pos_embed,
                   tile_rows * width * sizeof *x);
        apply(m, m->patch_embed, patches + view * tile_rows * patch_floats, n * tile_rows,
              x, VL_ACT_NONE, true);
        for (uint32_t layer = 0; is_done && layer < c->v_layers; layer++) {
            if (opts->progress != NULL &&
                !opts->progress(opts->user, "vision", done, total)) {
                (void)vl_fail(err, VL_CANCELLED, "cancelled");
                is_done = false;
                break;
            }
            run_block(m, &m->blocks[layer], n, x, &w);
            done++;
        }
        if (!is_done)
            break;
        vl_layernorm(m->pool, x, n * tile_rows, width, m->norm_weight, m->norm_bias,
                     NORM_EPS, w.norm);
        memcpy(x, w.norm, n * tile_rows * width * sizeof *x);
    }
    work_clear(&w);
    if (is_done && opts->progress != NULL &&
        !opts->progress(opts->user, "vision", total, total))
        return vl_fail(err, VL_CANCELLED, "cancelled") != NULL;
    return is_done;
}

/* ---- one picture ---- */

/* The patches of the views: global first unless skipped, then the local tiles. */
static float *cut_views(const vl_model *m, const vl_plane *plane, const vl_fit *fit,
                        uint32_t globals, uint32_t views, vl_error *err)
{
    const vl_config *c = &m->config;
    size_t view_floats = (size_t)c->side * c->side * c->patch * c->patch * c->in_chans;
    float *patches = vl_floats_new(view_floats * views);
    vl_plane canvas = { 0 };
    if (patches == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for %u tiles", views);
    if (globals > 0) {
        vl_fit whole = { .grid = { 1, 1, c->tile, c->tile } };
        vl_fit_into(plane->width, plane->height, c->tile, c->tile, &whole);
        if (!vl_plane_pad(plane, &whole, &canvas, err))
            goto fail;
        vl_plane_patches(&canvas, 0, 0, c, patches);
        vl_plane_clear(&canvas);
    }
    if (!vl_plane_pad(plane, fit, &canvas, err))
        goto fail;
    uint32_t stride = c->tile - c->tile_overlap;
    for (uint32_t i = globals; i < views; i++) {
        uint32_t tile = i - globals;
        vl_plane_patches(&canvas, tile % fit->grid.tiles_w * stride,
                         tile / fit->grid.tiles_w * stride, c, patches + i * view_floats);
    }
    vl_plane_clear(&canvas);
    return patches;
fail:
    free(patches);
    return NULL;
}

static bool project(vl_model *m, vl_vision *v, const float *features, uint32_t views,
                    vl_error *err)
{
    const vl_config *c = &m->config;
    size_t view_tokens = (size_t)c->merged * c->merged;
    float *tokens = vl_floats_new(view_tokens * c->hidden * views);
    v->token_count = vl_projector_count(c, &v->fit.grid);
    v->tokens = vl_floats_new((size_t)v->token_count * c->hidden);
    bool is_done = tokens != NULL && v->tokens != NULL;
    if (!is_done)
        (void)vl_fail(err, VL_NOMEM, "no memory for %u tokens", v->token_count);
    is_done = is_done && vl_projector_run(m, features, views, tokens, err);
    if (is_done)
        vl_projector_assemble(m, &v->fit.grid, tokens, v->tokens);
    free(tokens);
    return is_done;
}

static bool fit_is_sane(const vl_config *c, const vl_fit *fit)
{
    for (size_t i = 0; i < c->grid_count; i++)
        if (memcmp(&c->grids[i], &fit->grid, sizeof fit->grid) == 0)
            return fit->width > 0 && fit->height > 0 &&
                   fit->width <= fit->grid.canvas_w &&
                   fit->height <= fit->grid.canvas_h &&
                   fit->x <= fit->grid.canvas_w - fit->width &&
                   fit->y <= fit->grid.canvas_h - fit->height;
    return false;
}

static bool see(vl_vision *v, const vl_plane *plane, const vl_vision_opts *opts,
                vl_error *err)
{
    vl_model *m = v->model;
    const vl_config *c = &m->config;
    uint32_t globals = opts->is_text_only ? 0 : 1;
    uint32_t tiles = v->fit.grid.tiles_w * v->fit.grid.tiles_h, views = globals + tiles;
    size_t view_floats = (size_t)c->side * c->side * c->v_width;
    float *patches = cut_views(m, plane, &v->fit, globals, views, err);
    float *features = patches != NULL ? vl_floats_new(view_floats * views) : NULL;
    bool is_done = features != NULL;
    if (patches != NULL && !is_done)
        (void)vl_fail(err, VL_NOMEM, "no memory for %u tiles", views);
    is_done = is_done && vl_vit_run(m, patches, views, features, opts, err);
    free(patches);
    is_done = is_done && (opts->is_text_only || project(m, v, features, views, err));
    if (is_done && m->text_head != NULL) {
        memmove(features, features + globals * view_floats,
                tiles * view_floats * sizeof *features);
        v->features = features;
        features = NULL;
    }
    free(features);
    return is_done;
}

vl_vision *vl_vision_new(vl_model *model, const vl_image *image,
                         const vl_vision_opts *opts, vl_error *err)
{
    static const vl_vision_opts defaults = { 0 };
    opts = opts != NULL ? opts : &defaults;
    vl_fit fit;
    if (opts->fit != NULL) {
        fit = *opts->fit;
        if (!fit_is_sane(&model->config, &fit))
            return vl_fail(err, VL_INVALID,
                           "the picture's place is on no grid of this model");
    } else if (!vl_fit_choose(model, image->width, image->height, &fit, err)) {
        return NULL;
    }
    vl_plane plane = { 0 };
    if (!vl_plane_from_image(image, model->config.in_chans, &plane, err))
        return NULL;
    vl_vision *v = calloc(1, sizeof *v);
    if (v == NULL) {
        vl_plane_clear(&plane);
        return vl_fail(err, VL_NOMEM, "no memory for a picture");
    }
    atomic_init(&v->refs, 1);
    v->model = vl_model_ref(model);
    v->fit = fit;
    v->width = image->width;
    v->height = image->height;
    if (!see(v, &plane, opts, err)) {
        vl_vision_unref(v);
        v = NULL;
    }
    vl_plane_clear(&plane);
    return v;
}

vl_vision *vl_vision_ref(vl_vision *v)
{
    atomic_fetch_add(&v->refs, 1);
    return v;
}

void vl_vision_unref(vl_vision *v)
{
    if (v == NULL || atomic_fetch_sub(&v->refs, 1) != 1)
        return;
    vl_model_unref(v->model);
    free(v->features);
    free(v->tokens);
    free(v);
}

uint32_t vl_vision_tokens(const vl_vision *v)
{
    return v->token_count;
}

/*
 * projector.c - patches of the tower to vectors of the decoder (VL2 sections 4 and 5).
 */
#include "core.h"

#include <assert.h>

#include "util.h"

/* One view's patches merged in squares of down x down; the feature index is channel-major
 * (c * down^2 + di * down + dj), zeros beyond the last row and column. */
static void merge_patches(const vl_config *c, const float *view, float *rows)
{
    uint32_t d = c->down, side = c->side, width = c->v_width;
    for (uint32_t i = 0; i < c->merged; i++)
        for (uint32_t j = 0; j < c->merged; j++, rows += (size_t)width * d * d)
            for (uint32_t di = 0; di < d; di++)
                for (uint32_t dj = 0; dj < d; dj++) {
                    uint32_t y = i * d + di, x = j * d + dj;
                    const float *p = view + ((size_t)y * side + x) * width;
                    bool is_inside = y < side && x < side;
                    for (uint32_t ch = 0; ch < width; ch++)
                        rows[(size_t)ch * d * d + di * d + dj] = is_inside ? p[ch] : 0;
                }
}

bool vl_projector_run(vl_model *m, const float *features, uint32_t views, float *tokens,
                      vl_error *err)
{
    const vl_config *c = &m->config;
    size_t rows = (size_t)c->merged * c->merged,
           in = (size_t)c->v_width * c->down * c->down;
    float *merged = vl_floats_new(rows * in), *middle = vl_floats_new(rows * c->hidden);
    bool is_done = merged != NULL && middle != NULL;
    if (!is_done)
        (void)vl_fail(err, VL_NOMEM, "no memory for the projector");
    for (uint32_t view = 0; is_done && view < views; view++) {
        merge_patches(c, features + (size_t)view * c->side * c->side * c->v_width,
                      merged);
        vl_linear_apply(m->pool, m->project1,
                        &(vl_linear_args){ .x = merged,
                                           .rows = rows,
                                           .x_stride = in,
                                           .y = middle,
                                           .y_stride = c->hidden,
                                           .act = VL_ACT_GELU_ERF });
        vl_linear_apply(m->pool, m->project2,
                        &(vl_linear_args){ .x = middle,
                                           .rows = rows,
                                           .x_stride = c->hidden,
                                           .y = tokens + view * rows * c->hidden,
                                           .y_stride = c->hidden });
    }
    free(merged);
    free(middle);
    return is_done;
}

uint32_t vl_projector_count(const vl_config *c, const vl_grid *grid)
{
    uint32_t n = c->merged;
    return n * (n + 1) + 1 + n * grid->tiles_h * (n * grid->tiles_w + 1);
}

/* A row of tokens of `tiles` neighbouring views, then the newline. */
static float *put_row(const vl_model *m, const float *first, uint32_t tiles, uint32_t row,
                      float *out)
{
    size_t hidden = m->config.hidden, n = m->config.merged;
    for (uint32_t tile = 0; tile < tiles; tile++, out += n * hidden)
        memcpy(out, first + (tile * n * n + row * n) * hidden, n * hidden * sizeof *out);
    memcpy(out, m->newline, hidden * sizeof *out);
    return out + hidden;
}

void vl_projector_assemble(const vl_model *m, const vl_grid *grid, const float *views,
                           float *sequence)
{
    size_t hidden = m->config.hidden, n = m->config.merged;
    float *out = sequence;
    for (uint32_t row = 0; row < n; row++)
        out = put_row(m, views, 1, row, out);
    memcpy(out, m->separator, hidden * sizeof *out);
    out += hidden;
    for (uint32_t th = 0; th < grid->tiles_h; th++)
        for (uint32_t row = 0; row < n; row++)
            out = put_row(m, views + (1 + th * grid->tiles_w) * n * n * hidden,
                          grid->tiles_w, row, out);
    assert((size_t)(out - sequence) == vl_projector_count(&m->config, grid) * hidden);
}

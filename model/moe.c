/*
 * moe.c - expert layers (DeepSeekMoE, VL2 section 6.3).
 *
 * Every row chooses its experts; the rows are then gathered by expert, so that each
 * expert is one product whatever the number of rows, and all experts' products run
 * through the pool together.  One row, as in decoding, takes the same way: there each
 * chosen expert has one.  The router works in float: a rounded score would send a row
 * to another expert, which no later step could make good.
 */
#include "core.h"

#include <assert.h>
#include <math.h>

#include "kernels.h"
#include "util.h"

bool vl_moe_work_init(vl_moe_work *w, const vl_config *c, uint32_t rows, vl_error *err)
{
    size_t slots = (size_t)rows * c->experts_used;
    w->scores = vl_floats_new((size_t)rows * c->experts);
    w->chosen = malloc(slots * sizeof *w->chosen);
    w->weights = vl_floats_new(slots);
    w->slots = malloc(slots * sizeof *w->slots);
    w->first = malloc((c->experts + 1) * sizeof *w->first);
    w->x = vl_floats_new(slots * c->hidden);
    w->gate = vl_floats_new(slots * c->expert_mlp);
    w->up = vl_floats_new(slots * c->expert_mlp);
    w->jobs = malloc((2 * (size_t)c->experts + 2) * sizeof *w->jobs);
    if (w->scores == NULL || w->chosen == NULL || w->weights == NULL ||
        w->slots == NULL || w->first == NULL || w->x == NULL || w->gate == NULL ||
        w->up == NULL || w->jobs == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for the experts of a conversation") !=
               NULL;
    return true;
}

void vl_moe_work_clear(vl_moe_work *w)
{
    free(w->scores);
    free(w->chosen);
    free(w->weights);
    free(w->slots);
    free(w->first);
    free(w->x);
    free(w->gate);
    free(w->up);
    free(w->jobs);
    *w = (vl_moe_work){ 0 };
}

/* ---- routing ---- */

/* The `count` largest of x[0..n), the first of equal ones; they are set to -INFINITY. */
static void take_largest(float *x, uint32_t n, uint32_t count, uint32_t *out)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t best = 0;
        for (uint32_t k = 1; k < n; k++)
            if (x[k] > x[best])
                best = k;
        out[i] = best;
        x[best] = -INFINITY;
    }
}

/* What a group is worth: its best expert, or the sum of its two best biased ones. */
static float group_score(const vl_config *c, const float *x, uint32_t n)
{
    float first = -INFINITY, second = -INFINITY;
    for (uint32_t i = 0; i < n; i++) {
        if (x[i] > first) {
            second = first;
            first = x[i];
        } else if (x[i] > second) {
            second = x[i];
        }
    }
    return c->topk == VL_TOPK_BIASED ? first + second : first;
}

/* Experts outside of the best groups are out of the choice. */
static void limit_groups(const vl_config *c, float *choice)
{
    float scores[VL_EXPERTS_MAX];
    uint32_t used[VL_EXPERTS_MAX], n = c->experts / c->groups;
    bool is_used[VL_EXPERTS_MAX] = { false };
    for (uint32_t g = 0; g < c->groups; g++)
        scores[g] = group_score(c, choice + g * n, n);
    take_largest(scores, c->groups, c->groups_used, used);
    for (uint32_t i = 0; i < c->groups_used; i++)
        is_used[used[i]] = true;
    for (uint32_t e = 0; e < c->experts; e++)
        if (!is_used[e / n])
            choice[e] = -INFINITY;
}

void vl_moe_route(const vl_config *c, const float *bias, float *scores, uint32_t *chosen,
                  float *weights)
{
    float choice[VL_EXPERTS_MAX], sum = 0;
    assert(c->experts <= VL_EXPERTS_MAX);
    assert((bias != NULL) == (c->topk == VL_TOPK_BIASED));
    if (c->scoring == VL_SCORING_SOFTMAX)
        vl_softmax_row(scores, c->experts);
    else
        for (uint32_t e = 0; e < c->experts; e++)
            scores[e] = 1 / (1 + expf(-scores[e]));
    for (uint32_t e = 0; e < c->experts; e++)
        choice[e] = bias != NULL ? scores[e] + bias[e] : scores[e];
    if (c->topk != VL_TOPK_GREEDY && c->groups > 1)
        limit_groups(c, choice);
    take_largest(choice, c->experts, c->experts_used, chosen);
    for (uint32_t i = 0; i < c->experts_used; i++) {
        weights[i] = scores[chosen[i]];
        sum += weights[i];
    }
    /* A single expert keeps its score: dividing would make every weight one. */
    float scale = c->weight_scale;
    if (c->is_weight_normed && c->experts_used > 1)
        scale /= sum + 1e-20f;
    for (uint32_t i = 0; i < c->experts_used; i++)
        weights[i] *= scale;
}

/* A slot for every row and expert it chose, in the order of experts, and the row there. */
static void gather(const vl_config *c, vl_moe_work *w, const float *x, uint32_t rows)
{
    size_t hidden = c->hidden, count = (size_t)rows * c->experts_used;
    memset(w->first, 0, (c->experts + 1) * sizeof *w->first);
    for (size_t i = 0; i < count; i++)
        w->first[w->chosen[i] + 1]++;
    for (uint32_t e = 0; e < c->experts; e++)
        w->first[e + 1] += w->first[e];
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = w->first[w->chosen[i]]++;
        w->slots[i] = slot;
        memcpy(w->x + slot * hidden, x + i / c->experts_used * hidden,
               hidden * sizeof *x);
    }
    /* Each entry stands behind its expert's last slot now: one place too far. */
    memmove(w->first + 1, w->first, c->experts * sizeof *w->first);
    w->first[0] = 0;
}

/* ---- products ---- */

static vl_linear_job product(const vl_linear *linear, const float *x, size_t rows,
                             float *y, bool is_added)
{
    return (vl_linear_job){ .linear = linear,
                            .args = { .x = x,
                                      .rows = rows,
                                      .x_stride = vl_linear_in(linear),
                                      .y = y,
                                      .y_stride = vl_linear_out(linear),
                                      .is_added = is_added } };
}

/* The first two matrices of the experts in use and of the shared ones. */
static size_t list_first(const vl_config *c, const vl_moe *moe, vl_workspace *w,
                         uint32_t rows)
{
    vl_moe_work *k = &w->moe;
    size_t n = 0;
    if (moe->shared.gate != NULL) {
        k->jobs[n++] = product(moe->shared.gate, w->norm, rows, w->gate, false);
        k->jobs[n++] = product(moe->shared.up, w->norm, rows, w->up, false);
    }
    for (uint32_t e = 0; e < c->experts; e++) {
        size_t first = k->first[e], count = k->first[e + 1] - first;
        const float *x = k->x + first * c->hidden;
        if (count == 0)
            continue;
        k->jobs[n++] = product(moe->experts[e].gate, x, count,
                               k->gate + first * c->expert_mlp, false);
        k->jobs[n++] =
            product(moe->experts[e].up, x, count, k->up + first * c->expert_mlp, false);
    }
    return n;
}

/* The last one; the experts' answers take the place of the gathered rows. */
static size_t list_last(const vl_config *c, const vl_moe *moe, vl_workspace *w,
                        uint32_t rows)
{
    vl_moe_work *k = &w->moe;
    size_t n = 0;
    if (moe->shared.gate != NULL)
        k->jobs[n++] = product(moe->shared.down, w->gate, rows, w->x, true);
    for (uint32_t e = 0; e < c->experts; e++) {
        size_t first = k->first[e], count = k->first[e + 1] - first;
        if (count > 0)
            k->jobs[n++] = product(moe->experts[e].down, k->gate + first * c->expert_mlp,
                                   count, k->x + first * c->hidden, false);
    }
    return n;
}

typedef struct scatter_job {
    const vl_kernels *kernels;
    const vl_config *config;
    vl_workspace *work;
} scatter_job;

static void scatter_task(void *arg, size_t row, uint32_t slot)
{
    const scatter_job *j = arg;
    const vl_config *c = j->config;
    const vl_moe_work *k = &j->work->moe;
    for (size_t i = row * c->experts_used; i < (row + 1) * c->experts_used; i++)
        j->kernels->axpy(j->work->x + row * c->hidden, k->weights[i],
                         k->x + (size_t)k->slots[i] * c->hidden, c->hidden);
}

void vl_moe_run(vl_model *m, const vl_moe *moe, vl_workspace *w, uint32_t rows)
{
    const vl_config *c = &m->config;
    vl_moe_work *k = &w->moe;
    assert(rows <= VL_PREFILL_ROWS);
    vl_linear_job router = product(moe->router, w->norm, rows, k->scores, false);
    vl_linear_apply(m->pool, router.linear, &router.args);
    for (size_t r = 0; r < rows; r++)
        vl_moe_route(c, moe->bias, k->scores + r * c->experts,
                     k->chosen + r * c->experts_used, k->weights + r * c->experts_used);
    gather(c, k, w->norm, rows);
    vl_linear_apply_all(m->pool, k->jobs, list_first(c, moe, w, rows));
    vl_silu_mul(m->pool, k->gate, k->up, (size_t)rows * c->experts_used * c->expert_mlp);
    if (moe->shared.gate != NULL)
        vl_silu_mul(m->pool, w->gate, w->up,
                    (size_t)rows * c->experts_shared * c->expert_mlp);
    vl_linear_apply_all(m->pool, k->jobs, list_last(c, moe, w, rows));
    scatter_job job = { vl_kernels_get(), c, w };
    vl_pool_run(m->pool, rows, scatter_task, &job);
}

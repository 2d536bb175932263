/*
 * context.c - one conversation.
 *
 * Tokens are only noted when they are added; they run through the decoder in one batch
 * when the next logits are asked for.  So forced tokens of a constraint cost one pass
 * together.  The cache is grown when positions are added, so running them cannot fail.
 *
 * Tokens that a constraint expects run ahead, together with those that wait: a run of many
 * reads the weights and the cache once, as a run of one does.  Their rows lie behind
 * cache.used until the same tokens are added; another token drops them.
 */
#include "core.h"

#include <assert.h>
#include <string.h>

#include "util.h"

#define AHEAD_MAX                                                                        \
    24 /* rows of a run with guesses: more of them cost more than they save */

struct vl_context {
    vl_model *model;
    uint32_t tokens_max;
    vl_kvcache cache;
    vl_workspace work;
    int32_t pending[VL_PREFILL_ROWS];
    uint32_t pending_count;
    int32_t ahead[AHEAD_MAX]; /* tokens whose rows lie behind cache.used */
    uint32_t ahead_count;
    float *logits;            /* [vocab] */
    uint32_t logits_position; /* that they stand behind; 0: none */
};

vl_context *vl_context_new(vl_model *model, const vl_context_opts *opts, vl_error *err)
{
    const vl_config *c = &model->config;
    uint32_t tokens_max = opts != NULL ? opts->tokens_max : 0;
    if (tokens_max > c->context_max)
        return vl_fail(err, VL_LIMIT, "conversation of %u tokens, limit %u", tokens_max,
                       c->context_max);
    vl_context *context = calloc(1, sizeof *context);
    if (context == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a conversation");
    context->model = vl_model_ref(model);
    context->tokens_max = tokens_max != 0 ? tokens_max : c->context_max;
    context->logits = vl_floats_new(c->vocab);
    if (context->logits == NULL) {
        vl_context_free(context);
        return vl_fail(err, VL_NOMEM, "no memory for a conversation");
    }
    if (!vl_workspace_init(&context->work, c, err)) {
        vl_context_free(context);
        return NULL;
    }
    return context;
}

void vl_context_free(vl_context *context)
{
    if (context == NULL)
        return;
    vl_kvcache_clear(&context->cache, &context->model->config);
    vl_workspace_clear(&context->work);
    free(context->logits);
    vl_model_unref(context->model);
    free(context);
}

vl_model *vl_context_model(const vl_context *context)
{
    return context->model;
}

uint32_t vl_context_position(const vl_context *context)
{
    return context->cache.used + context->pending_count;
}

uint32_t vl_context_room(const vl_context *context)
{
    return context->tokens_max - vl_context_position(context);
}

static void run_pending(vl_context *context, const bool *is_few)
{
    size_t hidden = context->model->config.hidden;
    if (context->pending_count == 0)
        return;
    for (uint32_t i = 0; i < context->pending_count; i++)
        vl_decoder_embed(context->model, context->pending[i],
                         context->work.x + i * hidden);
    vl_decoder_run(context->model, &context->cache, &context->work,
                   context->pending_count, is_few);
    context->pending_count = 0;
}

/* Is this token the first of those that ran ahead?  Then its row is taken. */
static bool take_ahead(vl_context *context, int32_t id)
{
    bool is_taken = context->ahead_count > 0 && context->ahead[0] == id;
    if (is_taken) {
        context->cache.used++;
        context->ahead_count--;
        memmove(context->ahead, context->ahead + 1,
                context->ahead_count * sizeof *context->ahead);
    } else {
        context->ahead_count = 0;
    }
    return is_taken;
}

static bool reserve(vl_context *context, size_t count, vl_error *err)
{
    if (count > vl_context_room(context))
        return vl_fail(err, VL_LIMIT, "%zu tokens more than the %u there, limit %u",
                       count, vl_context_position(context), context->tokens_max) != NULL;
    return vl_kvcache_grow(&context->cache, &context->model->config,
                           vl_context_position(context) + (uint32_t)count,
                           context->tokens_max, err);
}

bool vl_context_add_tokens(vl_context *context, const int32_t *ids, size_t count,
                           vl_error *err)
{
    assert(ids != NULL || count == 0);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= context->model->config.vocab)
            return vl_fail(err, VL_INVALID, "token %d, limit %u", ids[i],
                           context->model->config.vocab) != NULL;
    if (!reserve(context, count, err))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (take_ahead(context, ids[i]))
            continue;
        if (context->pending_count == VL_PREFILL_ROWS)
            run_pending(context, NULL);
        context->pending[context->pending_count++] = ids[i];
    }
    return true;
}

bool vl_context_add_vision(vl_context *context, const vl_vision *vision, vl_error *err)
{
    size_t hidden = context->model->config.hidden;
    if (vision->model != context->model)
        return vl_fail(err, VL_INVALID, "the picture was seen by another model") != NULL;
    if (vision->tokens == NULL)
        return vl_fail(err, VL_INVALID, "the picture was seen for reading only") != NULL;
    if (!reserve(context, vision->token_count, err))
        return false;
    context->ahead_count = 0;
    run_pending(context, NULL);
    for (uint32_t at = 0; at < vision->token_count;) {
        uint32_t rows = vision->token_count - at;
        rows = rows < VL_PREFILL_ROWS ? rows : VL_PREFILL_ROWS;
        memcpy(context->work.x, vision->tokens + at * hidden,
               rows * hidden * sizeof *context->work.x);
        vl_decoder_run(context->model, &context->cache, &context->work, rows, NULL);
        at += rows;
    }
    return true;
}

void vl_context_rewind(vl_context *context, uint32_t position)
{
    assert(position <= vl_context_position(context));
    context->ahead_count = 0;
    if (position >= context->cache.used) {
        context->pending_count = position - context->cache.used;
    } else {
        context->pending_count = 0;
        context->cache.used = position;
    }
    context->logits_position = 0;
}

size_t vl_context_guess_max(const vl_context *context)
{
    const vl_config *c = &context->model->config;
    uint32_t waiting = context->pending_count,
             room = context->tokens_max - vl_context_position(context);
    /* Latent attention expands larger runs, and experts differ from row to row. */
    if (waiting == 0 || waiting >= AHEAD_MAX || c->is_latent || c->experts > 0)
        return 0;
    return room < AHEAD_MAX - waiting ? room : AHEAD_MAX - waiting;
}

void vl_context_guess(vl_context *context, const int32_t *ids, const bool *is_run_end,
                      size_t count)
{
    bool is_few[AHEAD_MAX];
    uint32_t waiting = context->pending_count;
    vl_error none = { 0 };
    assert(count <= vl_context_guess_max(context));
    while (count > 0 && !is_run_end[count - 1]) /* a run that is not whole */
        count--;
    if (count == 0 || !reserve(context, count, &none))
        return;
    memcpy(context->pending + waiting, ids, count * sizeof *ids);
    context->pending_count += (uint32_t)count;
    for (size_t first = 0, end; first < context->pending_count; first = end) {
        end = first == 0 ? waiting : first + 1;
        while (first > 0 && end < context->pending_count &&
               !is_run_end[end - 1 - waiting])
            end++;
        for (size_t i = first; i < end; i++)
            is_few[i] = end - first < VL_ROWS_FEW;
    }
    run_pending(context, is_few);
    context->cache.used -= (uint32_t)count;
    memcpy(context->ahead, ids, count * sizeof *ids);
    context->ahead_count = (uint32_t)count;
}

const float *vl_context_logits(vl_context *context)
{
    const vl_model *m = context->model;
    run_pending(context, NULL);
    uint32_t position = context->cache.used;
    if (position == 0)
        return NULL;
    if (context->logits_position != position) {
        vl_linear_apply(m->pool, m->head,
                        &(vl_linear_args){ .x = context->cache.states +
                                                (size_t)(position - 1) * m->config.hidden,
                                           .rows = 1,
                                           .x_stride = m->config.hidden,
                                           .y = context->logits,
                                           .y_stride = m->config.vocab });
        context->logits_position = position;
    }
    return context->logits;
}

/*
 * sample.c - choosing the next token, and the generation loop.
 */
#include "core.h"

#include <assert.h>
#include <math.h>

#include "util.h"

#define TOKENS_DEFAULT 512
#define FORCED_MAX     256
#define GUESS_MAX      64

typedef struct choice {
    float weight;
    int32_t id;
} choice;

typedef struct sampler {
    uint32_t vocab;
    uint32_t *mask; /* NULL without a constraint */
    float *logits;  /* copy that a constraint may bias */
    choice *choices;
    uint64_t state;
    float temperature, top_p;
} sampler;

/* splitmix64: enough for sampling, and one word of state. */
static double random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static bool is_allowed(const sampler *s, uint32_t id)
{
    return s->mask == NULL || (s->mask[id / 32] >> (id % 32) & 1) != 0;
}

static int compare_choices(const void *a, const void *b)
{
    const choice *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Of the weights e^((logit - best) / temperature), those that make up top_p. */
static int32_t draw(sampler *s, float best)
{
    size_t count = 0, kept = 0;
    double sum = 0, part = 0;
    for (uint32_t i = 0; i < s->vocab; i++)
        if (is_allowed(s, i)) {
            float weight = expf((s->logits[i] - best) / s->temperature);
            s->choices[count++] = (choice){ weight, (int32_t)i };
            sum += weight;
        }
    assert(count > 0);
    qsort(s->choices, count, sizeof *s->choices, compare_choices);
    while (kept < count && (kept == 0 || part < s->top_p * sum))
        part += s->choices[kept++].weight;
    double point = random_next(&s->state) * part;
    for (size_t i = 0; i < kept; i++) {
        point -= s->choices[i].weight;
        if (point < 0)
            return s->choices[i].id;
    }
    return s->choices[kept - 1].id;
}

/* The next token; false when none is allowed. */
static bool choose(sampler *s, const float *free_logits, vl_step_info *step)
{
    int32_t best = -1;
    float free_best = -INFINITY;
    for (uint32_t i = 0; i < s->vocab; i++) {
        free_best = fmaxf(free_best, free_logits[i]);
        if (is_allowed(s, i) && (best < 0 || s->logits[i] > s->logits[best]))
            best = (int32_t)i;
    }
    if (best < 0)
        return false;
    int32_t token = s->temperature > 0 ? draw(s, s->logits[best]) : best;
    double allowed = 0, all = 0;
    for (uint32_t i = 0; i < s->vocab; i++) {
        all += expf(free_logits[i] - free_best);
        if (is_allowed(s, i))
            allowed += expf(s->logits[i] - s->logits[best]);
    }
    *step = (vl_step_info){
        .token = token,
        .prob = (float)(expf(s->logits[token] - s->logits[best]) / allowed),
        .prob_free = (float)(expf(free_logits[token] - free_best) / all),
    };
    return true;
}

typedef struct run {
    vl_context *context;
    const vl_generate_opts *opts;
    sampler sampler;
    int32_t eos;
    uint32_t count, count_max;
} run;

/* Append one token and report it.  Sets *end when the caller wants no more. */
static bool append(run *r, const vl_step_info *step, bool *is_stopped, vl_error *err)
{
    const vl_constraint *constraint = r->opts->constraint;
    if (!vl_context_add_tokens(r->context, &step->token, 1, err))
        return false;
    r->count++;
    if (constraint != NULL && constraint->accept != NULL)
        constraint->accept(constraint->user, step->token);
    *is_stopped = r->opts->on_token != NULL && !r->opts->on_token(r->opts->user, step);
    return true;
}

static bool is_full(const run *r)
{
    return r->count >= r->count_max || vl_context_room(r->context) == 0;
}

/* Ask the constraint; appends what it forces.  *is_over with *end when that was all. */
static bool constrain(run *r, bool *is_sampling, bool *is_over, vl_end *end,
                      vl_error *err)
{
    const vl_constraint *constraint = r->opts->constraint;
    int32_t forced[FORCED_MAX];
    size_t count = 0;
    *is_sampling = true;
    if (constraint == NULL)
        return true;
    vl_step step =
        constraint->next(constraint->user, r->sampler.mask, forced, FORCED_MAX, &count);
    *is_sampling = step == VL_STEP_SAMPLE;
    *is_over = step == VL_STEP_END || step == VL_STEP_FAIL;
    *end = step == VL_STEP_END ? VL_END_CONSTRAINT : VL_END_DEAD;
    assert(step != VL_STEP_FORCED || (count > 0 && count <= FORCED_MAX));
    for (size_t i = 0; step == VL_STEP_FORCED && i < count; i++) {
        vl_step_info info = { forced[i], true, 1, 1 };
        bool is_stopped;
        if (is_full(r)) {
            *is_over = true;
            *end = VL_END_LENGTH;
            return true;
        }
        if (!append(r, &info, &is_stopped, err))
            return false;
        if (is_stopped) {
            *is_over = true;
            *end = VL_END_CANCELLED;
            return true;
        }
    }
    return true;
}

/* Let run together what waits and what the constraint expects behind it. */
static void run_ahead(run *r)
{
    const vl_constraint *constraint = r->opts->constraint;
    int32_t ids[GUESS_MAX];
    bool is_run_end[GUESS_MAX];
    size_t most = vl_context_guess_max(r->context);
    most = most < GUESS_MAX ? most : GUESS_MAX;
    if (constraint == NULL || constraint->guess == NULL || most == 0)
        return;
    size_t count = constraint->guess(constraint->user, ids, is_run_end, most);
    assert(count <= most);
    vl_context_guess(r->context, ids, is_run_end, count);
}

/* One round of the loop. */
static bool step_once(run *r, bool *is_over, vl_end *end, vl_error *err)
{
    const vl_constraint *constraint = r->opts->constraint;
    sampler *s = &r->sampler;
    bool is_sampling, is_stopped = false;
    vl_step_info step;
    if (!constrain(r, &is_sampling, is_over, end, err))
        return false;
    if (*is_over || !is_sampling)
        return true;
    if (is_full(r)) {
        *is_over = true;
        *end = VL_END_LENGTH;
        return true;
    }
    run_ahead(r);
    const float *logits = vl_context_logits(r->context);
    memcpy(s->logits, logits, s->vocab * sizeof *logits);
    if (constraint != NULL && constraint->bias != NULL)
        constraint->bias(constraint->user, s->logits);
    *is_over = true;
    if (!choose(s, logits, &step)) {
        *end = VL_END_DEAD;
        return true;
    }
    if (step.token == r->eos) {
        *end = VL_END_EOS;
        return true;
    }
    if (!append(r, &step, &is_stopped, err))
        return false;
    *end = VL_END_CANCELLED;
    *is_over = is_stopped;
    return true;
}

bool vl_generate(vl_context *context, const vl_generate_opts *opts, vl_end *end,
                 vl_error *err)
{
    vl_model *model = vl_context_model(context);
    uint32_t vocab = model->config.vocab;
    if (!(opts->temperature >= 0) || opts->temperature > 100 || !(opts->top_p >= 0) ||
        opts->top_p > 1)
        return vl_fail(err, VL_INVALID, "temperature %g, top_p %g",
                       (double)opts->temperature, (double)opts->top_p) != NULL;
    if (vl_context_position(context) == 0)
        return vl_fail(err, VL_INVALID, "nothing to continue: the context is empty") !=
               NULL;
    run r = { .context = context,
              .opts = opts,
              .eos = vl_token_special(model, VL_TOKEN_EOS),
              .count_max = opts->tokens_max != 0 ? opts->tokens_max : TOKENS_DEFAULT,
              .sampler = { .vocab = vocab,
                           .state = opts->seed,
                           .temperature = opts->temperature,
                           .top_p = opts->top_p > 0 ? opts->top_p : 1 } };
    sampler *s = &r.sampler;
    s->logits = vl_floats_new(vocab);
    s->choices = opts->temperature > 0 ? malloc(vocab * sizeof *s->choices) : NULL;
    s->mask = opts->constraint != NULL ? calloc(vocab / 32 + 1, sizeof *s->mask) : NULL;
    bool is_done = s->logits != NULL && (opts->temperature <= 0 || s->choices != NULL) &&
                   (opts->constraint == NULL || s->mask != NULL);
    if (!is_done)
        (void)vl_fail(err, VL_NOMEM, "no memory to generate");
    bool is_over = false;
    vl_end why = VL_END_LENGTH;
    while (is_done && !is_over)
        is_done = step_once(&r, &is_over, &why, err);
    free(s->logits);
    free(s->choices);
    free(s->mask);
    if (is_done)
        *end = why;
    return is_done;
}

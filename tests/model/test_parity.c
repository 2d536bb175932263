/*
 * test_parity.c - a tiny model with random weights against what PyTorch computes with it
 * (make_parity.py).
 */
#include <glib.h>
#include <math.h>

#include "core.h"
#include "read.h"
#include "util.h"

#define FLOAT_ERROR_MAX 1e-4f

static vl_weights *expected;

static const float *expect(const char *name, size_t count)
{
    const vl_tensor *t = vl_weights_get(expected, name);
    g_assert_nonnull(t);
    g_assert_cmpint(t->dtype, ==, VL_F32);
    g_assert_cmpuint(t->count, ==, count);
    return (const float *)(const void *)t->data;
}

static size_t expect_count(const char *name)
{
    const vl_tensor *t = vl_weights_get(expected, name);
    g_assert_nonnull(t);
    return t->count;
}

static void assert_close(const char *what, const float *x, size_t count)
{
    const float *want = expect(what, count);
    float error = 0;
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        float off = isfinite(x[i]) ? fabsf(x[i] - want[i]) : INFINITY;
        error = fmaxf(error, off);
        sum += off;
    }
    g_test_message("%s: largest error %g, mean %g", what, (double)error,
                   sum / (double)count);
    g_assert_cmpfloat(error, <=, FLOAT_ERROR_MAX);
}

static vl_model *open_model(vl_compute compute)
{
    vl_error err = { 0 };
    vl_model_opts opts = { .threads = 2, .compute = compute };
    vl_model *model = vl_model_open(TEST_DATA "/parity", &opts, &err);
    g_assert_cmpstr(err.text, ==, "");
    g_assert_nonnull(model);
    return model;
}

static vl_vision *see(vl_model *model)
{
    vl_error err = { 0 };
    const float *pixels = expect("picture", 90 * 100);
    uint8_t data[90 * 100];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)pixels[i];
    vl_image image = { data, 90, 100, 1, 90 };
    vl_vision *vision = vl_vision_new(model, &image, NULL, &err);
    g_assert_cmpstr(err.text, ==, "");
    g_assert_nonnull(vision);
    g_assert_cmpuint(vision->fit.grid.tiles_w, ==, 2);
    g_assert_cmpuint(vision->fit.grid.tiles_h, ==, 2);
    return vision;
}

static void add_text(vl_context *context, const vl_model *model, const char *text)
{
    int32_t ids[64];
    vl_error err = { 0 };
    size_t count = vl_tokenize(model, text, strlen(text), ids, 64);
    g_assert_true(vl_context_add_tokens(context, ids, count, &err));
}

static vl_context *converse(vl_model *model, const vl_vision *vision)
{
    vl_error err = { 0 };
    int32_t bos = vl_token_special(model, VL_TOKEN_BOS);
    int32_t user = vl_token_special(model, VL_TOKEN_USER);
    int32_t assistant = vl_token_special(model, VL_TOKEN_ASSISTANT);
    vl_context *context = vl_context_new(model, NULL, &err);
    g_assert_nonnull(context);
    g_assert_true(vl_context_add_tokens(context, &bos, 1, &err));
    g_assert_true(vl_context_add_tokens(context, &user, 1, &err));
    add_text(context, model, ": ");
    g_assert_true(vl_context_add_vision(context, vision, &err));
    add_text(context, model, "\nhello\n\n");
    g_assert_true(vl_context_add_tokens(context, &assistant, 1, &err));
    add_text(context, model, ":");
    return context;
}

typedef struct answer {
    int32_t ids[64];
    size_t count;
} answer;

static bool keep_token(void *user, const vl_step_info *step)
{
    answer *a = user;
    g_assert_cmpfloat(step->prob, >, 0);
    g_assert_cmpfloat(step->prob, <=, 1);
    a->ids[a->count++] = step->token;
    return true;
}

static void check_answer(vl_context *context)
{
    vl_error err = { 0 };
    vl_end end;
    answer a = { .count = 0 };
    size_t count = expect_count("answer");
    vl_generate_opts opts = { .tokens_max = (uint32_t)count,
                              .on_token = keep_token,
                              .user = &a };
    g_assert_true(vl_generate(context, &opts, &end, &err));
    g_assert_cmpint(end, ==, VL_END_LENGTH);
    g_assert_cmpuint(a.count, ==, count);
    for (size_t i = 0; i < count; i++)
        g_assert_cmpint(a.ids[i], ==, (int32_t)expect("answer", count)[i]);
}

static void test_fp32(void)
{
    vl_model *model = open_model(VL_COMPUTE_FP32);
    vl_vision *vision = see(model);
    const vl_config *c = &model->config;
    size_t rows = 4 * (size_t)c->side * c->side;
    size_t values = (size_t)c->anchors * (c->class_count + 4);
    assert_close("features", vision->features, rows * c->v_width);
    assert_close("tokens", vision->tokens, (size_t)vision->token_count * c->hidden);
    float *head = vl_floats_new(rows * values);
    vl_linear_apply(model->pool, model->text_head,
                    &(vl_linear_args){ .x = vision->features,
                                       .rows = rows,
                                       .x_stride = c->v_width,
                                       .y = head,
                                       .y_stride = values });
    assert_close("text_head", head, rows * values);
    free(head);
    vl_context *context = converse(model, vision);
    assert_close("logits", vl_context_logits(context), c->vocab);
    uint32_t position = vl_context_position(context);
    check_answer(context);
    /* Going back gives the same logits, and the same answer again. */
    vl_context_rewind(context, position);
    assert_close("logits", vl_context_logits(context), c->vocab);
    check_answer(context);
    vl_model_unref(model);
    vl_vision_unref(vision);
    vl_context_free(context);
}

static void test_int8(void)
{
    vl_model *model = open_model(VL_COMPUTE_INT8);
    g_assert_cmpstr(vl_model_get_info(model)->compute, ==, "int8");
    vl_vision *vision = see(model);
    vl_context *context = converse(model, vision);
    check_answer(context);
    vl_context_free(context);
    vl_vision_unref(vision);
    vl_model_unref(model);
}

static void test_characters(void)
{
    vl_error err = { 0 };
    vl_model *model = open_model(VL_COMPUTE_FP32);
    vl_vision *vision = see(model);
    vl_char *chars;
    size_t count, want_count = expect_count("chars") / 6;
    const float *want = expect("chars", want_count * 6);
    g_assert_true(vl_read_characters(vision, &chars, &count, &err));
    g_assert_cmpuint(count, ==, want_count);
    for (size_t i = 0; i < want_count; i++, want += 6) {
        size_t k = 0;
        while (k < count && !(fabsf(chars[k].x - want[0]) < 1e-2f &&
                              fabsf(chars[k].y - want[1]) < 1e-2f &&
                              chars[k].code == (uint32_t)want[2]))
            k++;
        g_assert_cmpuint(k, <, count);
        g_assert_cmpfloat(fabsf(chars[k].height - want[3]), <, 1e-2f);
        g_assert_cmpfloat(fabsf(chars[k].gap - want[4]), <, 1e-3f);
        g_assert_cmpfloat(fabsf(chars[k].prob - want[5]), <, 1e-3f);
    }
    free(chars);
    vl_vision_unref(vision);
    vl_model_unref(model);
}

/* A constraint that forces two tokens, lets one of two be sampled, and ends. */
typedef struct script {
    int step;
    uint32_t accepted;
    bool is_dead;
} script;

static vl_step script_next(void *user, uint32_t *mask, int32_t *forced, size_t forced_max,
                           size_t *forced_count)
{
    script *s = user;
    switch (s->step++) {
    case 0:
        forced[0] = 20;
        forced[1] = 21;
        *forced_count = 2;
        return VL_STEP_FORCED;
    case 1:
        memset(mask, 0, (300 + 31) / 32 * sizeof *mask);
        if (!s->is_dead)
            mask[1] = 3; /* tokens 32 and 33 */
        return VL_STEP_SAMPLE;
    default:
        return VL_STEP_END;
    }
}

static void script_accept(void *user, int32_t token)
{
    ((script *)user)->accepted++;
}

static void test_constraint(void)
{
    static const struct {
        float temperature;
        bool is_dead;
        vl_end end;
        size_t count;
    } cases[] = { { 0, false, VL_END_CONSTRAINT, 3 },
                  { 0.7f, false, VL_END_CONSTRAINT, 3 },
                  { 0, true, VL_END_DEAD, 2 } };
    vl_model *model = open_model(VL_COMPUTE_FP32);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        vl_end end;
        answer a = { .count = 0 };
        script s = { .is_dead = cases[i].is_dead };
        vl_constraint constraint = { .user = &s,
                                     .next = script_next,
                                     .accept = script_accept };
        vl_context *context = vl_context_new(model, NULL, &err);
        add_text(context, model, "hello");
        vl_generate_opts opts = { .temperature = cases[i].temperature,
                                  .top_p = 0.9f,
                                  .constraint = &constraint,
                                  .on_token = keep_token,
                                  .user = &a };
        g_assert_true(vl_generate(context, &opts, &end, &err));
        g_assert_cmpint(end, ==, cases[i].end);
        g_assert_cmpuint(a.count, ==, cases[i].count);
        g_assert_cmpuint(s.accepted, ==, cases[i].count);
        g_assert_cmpint(a.ids[0], ==, 20);
        if (a.count > 2)
            g_assert_true(a.ids[2] == 32 || a.ids[2] == 33);
        vl_context_free(context);
    }
    vl_model_unref(model);
}

/* A constraint that samples two tokens and forces one to six, in turn, and guesses what a
 * first pass answered: rightly, with mistakes, or with runs cut off. */
typedef struct told {
    int32_t ids[200];
    float probs[200];
    bool is_run_end[200]; /* logits were asked for behind it */
    size_t count;
} told;

typedef struct teller {
    const told *was;
    told is;
    uint32_t step, wrong, short_by; /* each wrong-th guess; tokens left off */
    uint32_t guesses;
    int32_t eos;
} teller;

static vl_step teller_next(void *user, uint32_t *mask, int32_t *forced, size_t forced_max,
                           size_t *forced_count)
{
    teller *t = user;
    if (t->step++ % 3 != 2) {
        memset(mask, 0xff, (300 + 31) / 32 * sizeof *mask);
        mask[t->eos / 32] &= ~(1u << (t->eos % 32));
        if (t->is.count > 0)
            t->is.is_run_end[t->is.count - 1] = true;
        return VL_STEP_SAMPLE;
    }
    *forced_count = 1 + t->step / 3 % 6;
    for (size_t i = 0; i < *forced_count; i++)
        forced[i] = 20 + (int32_t)(t->step + i) % 100;
    return VL_STEP_FORCED;
}

static bool teller_keep(void *user, const vl_step_info *step)
{
    teller *t = user;
    t->is.ids[t->is.count] = step->token;
    t->is.probs[t->is.count++] = step->prob;
    return t->is.count < 150;
}

static size_t teller_guess(void *user, int32_t *ids, bool *is_run_end, size_t max)
{
    teller *t = user;
    size_t at = t->is.count, n = 0;
    t->guesses++;
    g_assert_cmpuint(max, >, 0);
    for (; n < max && at + n < t->was->count; n++) {
        ids[n] = t->was->ids[at + n];
        is_run_end[n] = t->was->is_run_end[at + n];
        if (t->wrong > 0 && (at + n) % t->wrong == 0)
            ids[n] = (ids[n] + 1) % 300;
    }
    return n > t->short_by ? n - t->short_by : 0;
}

/* Guesses, right or wrong, change neither tokens nor probabilities, not in the last bit. */
static void test_guess(void)
{
    static const struct {
        uint32_t wrong, short_by;
    } cases[] = { { 0, 0 }, { 0, 3 }, { 2, 0 }, { 5, 0 }, { 7, 1 }, { 19, 0 }, { 1, 0 } };
    for (int kind = 0; kind < 2; kind++) {
        vl_model *model = open_model(kind == 0 ? VL_COMPUTE_FP32 : VL_COMPUTE_INT8);
        teller first = { .eos = vl_token_special(model, VL_TOKEN_EOS) };
        for (size_t i = 0; i <= G_N_ELEMENTS(cases); i++) {
            vl_error err = { 0 };
            vl_end end;
            teller t = { .eos = first.eos, .was = &first.is };
            vl_constraint constraint = { .user = i == 0 ? &first : &t,
                                         .next = teller_next };
            if (i > 0) {
                t.wrong = cases[i - 1].wrong;
                t.short_by = cases[i - 1].short_by;
                constraint.guess = teller_guess;
            }
            vl_context *context = vl_context_new(model, NULL, &err);
            add_text(context, model, "hello");
            vl_generate_opts opts = { .tokens_max = 200,
                                      .constraint = &constraint,
                                      .on_token = teller_keep,
                                      .user = constraint.user };
            g_assert_true(vl_generate(context, &opts, &end, &err));
            g_assert_cmpint(end, ==, VL_END_CANCELLED);
            vl_context_free(context);
            if (i == 0)
                continue;
            g_assert_cmpmem(t.is.ids, sizeof t.is.ids, first.is.ids, sizeof first.is.ids);
            g_assert_cmpmem(t.is.probs, sizeof t.is.probs, first.is.probs,
                            sizeof first.is.probs);
            if (t.wrong == 0) /* a run takes up to 24 rows */
                g_assert_cmpuint(t.guesses, <=, 12);
        }
        vl_model_unref(model);
    }
}

static void test_limits(void)
{
    vl_error err = { 0 };
    vl_end end;
    vl_model *model = open_model(VL_COMPUTE_FP32);
    int32_t ids[601] = { 0 }, bad = 300;
    vl_context_opts over = { .tokens_max = 601 }, full = { .tokens_max = 600 };
    g_assert_null(vl_context_new(model, &over, &err));
    g_assert_cmpint(err.code, ==, VL_LIMIT);
    vl_context *context = vl_context_new(model, &full, &err);
    g_assert_null(vl_context_logits(context));
    g_assert_false(vl_context_add_tokens(context, &bad, 1, &err));
    g_assert_cmpint(err.code, ==, VL_INVALID);
    g_assert_false(vl_context_add_tokens(context, ids, 601, &err));
    g_assert_cmpint(err.code, ==, VL_LIMIT);
    g_assert_cmpuint(vl_context_position(context), ==, 0);
    g_assert_true(vl_context_add_tokens(context, ids, 599, &err));
    /* One position is left: one token, then the length ends it. */
    g_assert_true(vl_generate(context, &(vl_generate_opts){ 0 }, &end, &err));
    g_assert_cmpint(end, ==, VL_END_LENGTH);
    g_assert_cmpuint(vl_context_position(context), ==, 600);
    vl_context_free(context);
    vl_model_unref(model);
}

int main(int argc, char **argv)
{
    vl_error err = { 0 };
    g_test_init(&argc, &argv, NULL);
    expected = vl_weights_open(TEST_DATA "/parity/expect", &err);
    g_assert_cmpstr(err.text, ==, "");
    g_test_add_func("/parity/fp32", test_fp32);
    g_test_add_func("/parity/int8", test_int8);
    g_test_add_func("/parity/characters", test_characters);
    g_test_add_func("/parity/constraint", test_constraint);
    g_test_add_func("/parity/guess", test_guess);
    g_test_add_func("/parity/limits", test_limits);
    int status = g_test_run();
    vl_weights_free(expected);
    return status;
}

/*
 * test_moe.c - which experts a row goes to, and with what weights.
 */
#include <glib.h>
#include <math.h>

#include "core.h"

#define EXPERTS 6

typedef struct route_case {
    const char *what;
    vl_config config;
    float logits[EXPERTS], bias[EXPERTS];
    uint32_t chosen[3];
    float weights[3];
} route_case;

/* Logits are logarithms, so that the softmax is these numbers over their sum. */
#define LOGITS                                                                           \
    {                                                                                    \
        logf(1), logf(6), logf(2), logf(5), logf(4), logf(2)                             \
    }
#define HALF 0 /* sigmoid of it is 0.5 */

static void test_route(void)
{
    const route_case cases[] = {
        { .what = "softmax as it is, the first of equal ones",
          .config = { .experts = 6,
                      .experts_used = 3,
                      .groups = 1,
                      .groups_used = 1,
                      .weight_scale = 1 },
          .logits = { logf(1), logf(6), logf(4), logf(5), logf(4), 0 },
          .chosen = { 1, 3, 2 },
          .weights = { 6.0f / 21, 5.0f / 21, 4.0f / 21 } },
        { .what = "normed and scaled",
          .config = { .experts = 6,
                      .experts_used = 2,
                      .groups = 1,
                      .groups_used = 1,
                      .is_weight_normed = true,
                      .weight_scale = 2 },
          .logits = LOGITS,
          .chosen = { 1, 3 },
          .weights = { 12.0f / 11, 10.0f / 11 } },
        { .what = "one expert keeps its score when normed",
          .config = { .experts = 6,
                      .experts_used = 1,
                      .groups = 1,
                      .groups_used = 1,
                      .is_weight_normed = true,
                      .weight_scale = 1 },
          .logits = LOGITS,
          .chosen = { 1 },
          .weights = { 6.0f / 20 } },
        { .what = "greedy does not look at groups",
          .config = { .experts = 6,
                      .experts_used = 2,
                      .groups = 3,
                      .groups_used = 1,
                      .weight_scale = 1 },
          .logits = LOGITS,
          .chosen = { 1, 3 },
          .weights = { 6.0f / 20, 5.0f / 20 } },
        { .what = "best group by its best expert",
          .config = { .experts = 6,
                      .experts_used = 2,
                      .groups = 3,
                      .groups_used = 1,
                      .topk = VL_TOPK_GROUPS,
                      .weight_scale = 1 },
          .logits = LOGITS,
          .chosen = { 1, 0 },
          .weights = { 6.0f / 20, 1.0f / 20 } },
        { .what = "two groups of three",
          .config = { .experts = 6,
                      .experts_used = 3,
                      .groups = 3,
                      .groups_used = 2,
                      .topk = VL_TOPK_GROUPS,
                      .weight_scale = 1 },
          .logits = LOGITS,
          .chosen = { 1, 3, 2 },
          .weights = { 6.0f / 20, 5.0f / 20, 2.0f / 20 } },
        { .what = "the bias chooses, the score weighs",
          .config = { .experts = 6,
                      .experts_used = 2,
                      .groups = 1,
                      .groups_used = 1,
                      .scoring = VL_SCORING_SIGMOID,
                      .topk = VL_TOPK_BIASED,
                      .is_weight_normed = true,
                      .weight_scale = 2 },
          .logits = { HALF, HALF, HALF, logf(3), HALF, HALF },
          .bias = { 0, 0, .4f, 0, -1, .3f },
          .chosen = { 2, 5 },
          .weights = { 1, 1 } },
        { .what = "bias, unequal scores",
          .config = { .experts = 6,
                      .experts_used = 2,
                      .groups = 1,
                      .groups_used = 1,
                      .scoring = VL_SCORING_SIGMOID,
                      .topk = VL_TOPK_BIASED,
                      .is_weight_normed = true,
                      .weight_scale = 1 },
          .logits = { HALF, HALF, HALF, logf(3), HALF, HALF },
          .bias = { 0, .3f, 0, 0, 0, 0 },
          .chosen = { 1, 3 },
          .weights = { .5f / 1.25f, .75f / 1.25f } },
        /* Groups 0: .5 + .7, 1: .5 + .75, 2: .5 + .7 biased; one by its two best. */
        { .what = "best group by the sum of its two best",
          .config = { .experts = 6,
                      .experts_used = 2,
                      .groups = 2,
                      .groups_used = 1,
                      .scoring = VL_SCORING_SIGMOID,
                      .topk = VL_TOPK_BIASED,
                      .weight_scale = 1 },
          .logits = { HALF, HALF, HALF, logf(3), HALF, HALF },
          .bias = { .2f, .2f, 0, 0, -.1f, -.2f },
          .chosen = { 0, 1 },
          .weights = { .5f, .5f } },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const route_case *c = &cases[i];
        float scores[EXPERTS], weights[3];
        uint32_t chosen[3];
        g_test_message("case: %s", c->what);
        memcpy(scores, c->logits, sizeof scores);
        vl_moe_route(&c->config, c->config.topk == VL_TOPK_BIASED ? c->bias : NULL,
                     scores, chosen, weights);
        for (uint32_t k = 0; k < c->config.experts_used; k++) {
            g_assert_cmpuint(chosen[k], ==, c->chosen[k]);
            g_assert_cmpfloat(fabsf(weights[k] - c->weights[k]), <, 1e-6f);
        }
    }
}

/* Whatever the numbers, the experts exist: their index is used as it is. */
static void test_odd_numbers(void)
{
    static const float odd[] = { NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 0 };
    vl_config config = { .experts = 6, .experts_used = 3, .weight_scale = 1 };
    for (int round = 0; round < 2000; round++) {
        float scores[EXPERTS], bias[EXPERTS], weights[3];
        uint32_t chosen[3];
        for (int e = 0; e < EXPERTS; e++) {
            scores[e] = odd[g_test_rand_int_range(0, G_N_ELEMENTS(odd))];
            bias[e] = odd[g_test_rand_int_range(2, G_N_ELEMENTS(odd))];
        }
        config.scoring = (vl_scoring)g_test_rand_int_range(0, 2);
        config.topk = (vl_topk)g_test_rand_int_range(0, 3);
        config.groups = config.topk == VL_TOPK_GREEDY ? 1 : 3;
        config.groups_used = config.topk == VL_TOPK_GREEDY ? 1 : 2;
        config.is_weight_normed = g_test_rand_bit();
        vl_moe_route(&config, config.topk == VL_TOPK_BIASED ? bias : NULL, scores, chosen,
                     weights);
        for (int k = 0; k < 3; k++)
            g_assert_cmpuint(chosen[k], <, EXPERTS);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/moe/route", test_route);
    g_test_add_func("/moe/odd-numbers", test_odd_numbers);
    return g_test_run();
}

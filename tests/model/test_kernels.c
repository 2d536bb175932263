/*
 * test_kernels.c - every kernel table of this CPU against the scalar one, and the
 * operations of ops.h against plain double loops.
 */
#include "kernels.h"
#include "pool.h"

#include <glib.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Largest |a - b| over the largest |b|: what single rounding errors add up to. */
static double error_of(const float *a, const float *b, size_t n)
{
    double worst = 0, top = 1e-30;
    for (size_t i = 0; i < n; i++) {
        g_assert_true(isfinite(a[i]));
        worst = fmax(worst, fabs((double)a[i] - b[i]));
        top = fmax(top, fabs((double)b[i]));
    }
    return worst / top;
}

static float *random_floats(size_t n, double range)
{
    float *x = g_new(float, n);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)g_test_rand_double_range(-range, range);
    return x;
}

static vl_pool *new_pool(uint32_t threads)
{
    vl_error err = { 0 };
    vl_pool *pool = vl_pool_new(threads, &err);
    g_assert_nonnull(pool);
    g_assert_cmpuint(vl_pool_threads(pool), ==, threads);
    return pool;
}

/* Shapes with tails in rows, inputs and elements. */
static const size_t sizes[] = { 1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 384 };

static void test_int8_exact(void)
{
    for (size_t t = 1; vl_kernels_at(t) != NULL; t++)
        for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
            const vl_kernels *k = vl_kernels_at(t);
            size_t rows = 1 + i, groups = sizes[i], stride = groups * 4 + 3;
            g_test_message("%s: %zu rows, %zu groups", k->name, rows, groups);
            int8_t *a = g_malloc(rows * stride);
            uint8_t *w = g_malloc(groups * 4 * VL_PANEL);
            for (size_t n = 0; n < rows * stride; n++) /* the extremes among them */
                a[n] = n % 5 == 0   ? 127
                       : n % 7 == 0 ? -127
                                    : (int8_t)g_test_rand_int_range(-127, 128);
            for (size_t n = 0; n < groups * 4 * VL_PANEL; n++)
                w[n] = n % 3 == 0 ? 255 : (uint8_t)g_test_rand_int_range(0, 256);
            int32_t *c = g_new0(int32_t, rows * VL_PANEL);
            int32_t *expect = g_new0(int32_t, rows * VL_PANEL);
            vl_kernels_scalar.gemm_s8(a, stride, rows, w, groups, expect);
            k->gemm_s8(a, stride, rows, w, groups, c);
            g_assert_cmpmem(c, rows * VL_PANEL * 4, expect, rows * VL_PANEL * 4);
            g_free(a);
            g_free(w);
            g_free(c);
            g_free(expect);
        }
}

static void test_quantize_exact(void)
{
    for (size_t t = 0; vl_kernels_at(t) != NULL; t++)
        for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
            for (int kind = 0; kind < 4; kind++) {
                const vl_kernels *k = vl_kernels_at(t);
                size_t n = sizes[i], padded = (n + 3) / 4 * 4;
                float *x = random_floats(n, kind == 1 ? 1e-35 : 3.0);
                if (kind == 2)
                    x[n / 2] = NAN;
                if (kind == 3)
                    x[n - 1] = -1e30f;
                int8_t q[400], expect[400];
                int32_t sum = 0, expect_sum = 0;
                memset(q, 99, sizeof q);
                memset(expect, 99, sizeof expect);
                float a = k->quantize(x, n, padded, q, &sum);
                float b = vl_kernels_scalar.quantize(x, n, padded, expect, &expect_sum);
                g_assert_cmpmem(q, sizeof q, expect, sizeof expect);
                g_assert_cmpint(sum, ==, expect_sum);
                g_assert_true(a == b);
                if (kind == 1)
                    g_assert_true(a == 0);
                g_free(x);
            }
}

static void test_gemm_f32(void)
{
    for (size_t t = 1; vl_kernels_at(t) != NULL; t++)
        for (size_t i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
            const vl_kernels *k = vl_kernels_at(t);
            size_t rows = 1 + i, n = sizes[i / 2], stride = n + 5;
            float *a = random_floats(rows * stride, 1),
                  *w = random_floats(n * VL_PANEL, 1);
            float *c = random_floats(rows * VL_PANEL, 1);
            float *expect = g_memdup2(c, rows * VL_PANEL * sizeof *c);
            vl_kernels_scalar.gemm_f32(a, stride, rows, w, n, expect, i % 2);
            k->gemm_f32(a, stride, rows, w, n, c, i % 2);
            g_assert_cmpfloat(error_of(c, expect, rows * VL_PANEL), <, 2e-6);
            g_free(a);
            g_free(w);
            g_free(c);
            g_free(expect);
        }
}

static void test_blas(void)
{
    if (!vl_blas_open()) {
        g_assert_cmpstr(vl_blas_name(), ==, "none");
        g_test_skip("no BLAS on this machine");
        return;
    }
    g_assert_cmpstr(vl_blas_name(), !=, "none");
    float *a = random_floats(40 * 70, 1), *w = random_floats(65 * VL_PANEL, 1);
    float c[40 * VL_PANEL], expect[40 * VL_PANEL];
    vl_blas_gemm(a, 70, 40, w, 65, c);
    vl_kernels_scalar.gemm_f32(a, 70, 40, w, 65, expect, false);
    g_assert_cmpfloat(error_of(c, expect, G_N_ELEMENTS(c)), <, 2e-6);
    g_free(a);
    g_free(w);
}

/* exp and erf are approximated: the error is absolute below 1, relative above. */
static void test_finish(void)
{
    for (size_t t = 0; vl_kernels_at(t) != NULL; t++)
        for (int act = VL_ACT_NONE; act <= VL_ACT_GELU_ERF; act++)
            for (size_t cols = 1; cols <= VL_PANEL; cols++) {
                float tile[3 * VL_PANEL], bias[VL_PANEL], y[3 * 80], old[3 * 80];
                float input[3 * VL_PANEL];
                for (size_t i = 0; i < 3 * VL_PANEL; i++)
                    input[i] = tile[i] = (float)g_test_rand_double_range(-12, 12);
                for (size_t i = 0; i < VL_PANEL; i++)
                    bias[i] = (float)g_test_rand_double_range(-1, 1);
                for (size_t i = 0; i < 3 * 80; i++)
                    old[i] = y[i] = (float)g_test_rand_double_range(-1, 1);
                bool is_added = cols % 2;
                vl_kernels_at(t)->finish(&(vl_finish){ .tile = tile,
                                                       .rows = 3,
                                                       .cols = cols,
                                                       .bias = bias,
                                                       .act = (vl_act)act,
                                                       .is_added = is_added,
                                                       .y = y,
                                                       .y_stride = 80 });
                for (size_t i = 0; i < 3 * 80; i++) {
                    size_t r = i / 80, j = i % 80;
                    if (j >= cols) {
                        g_assert_true(y[i] == old[i]);
                        continue;
                    }
                    double x = input[r * VL_PANEL + j] + bias[j], v = x;
                    if (act == VL_ACT_GELU_TANH)
                        v = 0.5 * x *
                            (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
                    if (act == VL_ACT_GELU_ERF)
                        v = 0.5 * x * (1 + erf(x / sqrt(2.0)));
                    v += is_added ? old[i] : 0;
                    g_assert_cmpfloat(fabs(y[i] - v), <=, 1e-6 * fmax(1, fabs(x)));
                }
            }
}

static void test_rows(void)
{
    for (size_t t = 1; vl_kernels_at(t) != NULL; t++)
        for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
            const vl_kernels *k = vl_kernels_at(t), *s = &vl_kernels_scalar;
            size_t n = sizes[i];
            float *x = random_floats(n, 40), *w = random_floats(n, 1);
            float *b = random_floats(n, 1), *y = g_new0(float, n), *e = g_new0(float, n);
            k->layernorm(x, n, w, b, 1e-5f, y);
            s->layernorm(x, n, w, b, 1e-5f, e);
            g_assert_cmpfloat(error_of(y, e, n), <, 4e-6);
            k->rmsnorm(x, n, w, 1e-5f, y);
            s->rmsnorm(x, n, w, 1e-5f, e);
            g_assert_cmpfloat(error_of(y, e, n), <, 2e-6);
            memcpy(y, x, n * sizeof *x);
            memcpy(e, x, n * sizeof *x);
            k->silu_mul(y, w, n);
            s->silu_mul(e, w, n);
            g_assert_cmpfloat(error_of(y, e, n), <, 1e-6);
            g_assert_true(k->max(x, n) == s->max(x, n));
            g_assert_true(k->max(x, 0) == -INFINITY);
            g_assert_cmpfloat(fabsf(k->dot(x, w, n) - s->dot(x, w, n)), <, 40e-6 * n);
            memcpy(y, x, n * sizeof *x);
            memcpy(e, x, n * sizeof *x);
            float top = s->max(x, n);
            float sum = k->exp_sum(y, n, top), sum_e = s->exp_sum(e, n, top);
            g_assert_cmpfloat(error_of(y, e, n), <, 1e-6);
            g_assert_cmpfloat(fabsf(sum - sum_e), <, 2e-6 * sum_e);
            k->axpy(y, 0.5f, x, n);
            s->axpy(e, 0.5f, x, n);
            g_assert_cmpfloat(error_of(y, e, n), <, 1e-6);
            k->scale(y, 3, y, n);
            s->scale(e, 3, e, n);
            g_assert_cmpfloat(error_of(y, e, n), <, 1e-6);
            g_free(x);
            g_free(w);
            g_free(b);
            g_free(y);
            g_free(e);
        }
}

static const struct {
    uint32_t out, in;
    size_t rows;
    vl_compute compute;
    vl_dtype dtype;
    double error; /* int8: of 8-bit activations and weights */
} linears[] = {
    /* clang-format off */
    { 1, 1, 1, VL_COMPUTE_FP32, VL_F32, 1e-5 },
    { 70, 33, 5, VL_COMPUTE_FP32, VL_F32, 1e-5 },
    { 384, 384, 101, VL_COMPUTE_AUTO, VL_BF16, 1e-5 },
    { 65, 130, 40, VL_COMPUTE_FP32, VL_F16, 1e-5 },
    { 65, 130, 40, VL_COMPUTE_FP32, VL_I8, 1e-5 },
    { 1, 1, 1, VL_COMPUTE_INT8, VL_F32, 0.02 },
    { 70, 33, 5, VL_COMPUTE_INT8, VL_F32, 0.02 },
    { 1536, 384, 200, VL_COMPUTE_INT8, VL_F32, 0.02 },
    { 200, 1538, 1, VL_COMPUTE_AUTO, VL_I8, 0.02 },
    { 2000, 384, 1, VL_COMPUTE_INT8, VL_BF16, 0.02 },
    { 70, 20000, 7, VL_COMPUTE_INT8, VL_I8, 0.02 },
    /* clang-format on */
};

/* Source bytes of `type` and the floats they stand for. */
static void *make_source(vl_dtype type, size_t out, size_t in, const float *scale,
                         float *value)
{
    uint8_t *data = g_malloc(out * in * 4 + 1) + 1; /* no alignment is promised */
    for (size_t i = 0; i < out * in; i++) {
        float v = (float)g_test_rand_double_range(-1, 1);
        uint32_t bits;
        if (type == VL_I8) {
            data[i] = (uint8_t)g_test_rand_int_range(-127, 128);
            v = (float)(int8_t)data[i] * scale[i / in];
        } else if (type == VL_BF16) {
            memcpy(&bits, &v, 4);
            bits &= 0xffff0000u;
            memcpy(&v, &bits, 4);
            memcpy(data + 2 * i, (uint8_t *)&bits + 2, 2);
        } else if (type == VL_F16) {
            int m = g_test_rand_int_range(1, 1024); /* subnormal and normal halves */
            bool is_normal = i % 2;
            uint16_t h =
                (uint16_t)(m | (is_normal ? 14 << 10 : 0) | (i % 3 ? 0x8000 : 0));
            v = (is_normal ? ldexpf(1 + (float)m / 1024, -1) : ldexpf((float)m, -24)) *
                (i % 3 ? -1.0f : 1.0f);
            memcpy(data + 2 * i, &h, 2);
        } else {
            memcpy(data + 4 * i, &v, 4);
        }
        value[i] = v;
    }
    return data - 1;
}

static void test_linear(void)
{
    vl_pool *pool = new_pool(3);
    for (size_t n = 0; n < G_N_ELEMENTS(linears); n++) {
        uint32_t out = linears[n].out, in = linears[n].in;
        size_t rows = linears[n].rows, xs = in + 3, ys = out + 2;
        g_test_message("case %zu", n);
        float *scale = random_floats(out, 0.01), *bias = random_floats(out, 1);
        float *value = g_new(float, (size_t)out *in), *x = random_floats(rows * xs, 1);
        float *y = random_floats(rows * ys, 1), *expect = g_memdup2(y, rows * ys * 4);
        uint8_t *data = make_source(linears[n].dtype, out, in, scale, value);
        vl_error err = { 0 };
        vl_linear *l = vl_linear_new(&(vl_linear_source){ .data = data + 1,
                                                          .dtype = linears[n].dtype,
                                                          .scale = scale,
                                                          .bias = n % 2 ? bias : NULL,
                                                          .out = out,
                                                          .in = in },
                                     linears[n].compute, &err);
        g_assert_nonnull(l);
        g_assert_cmpuint(vl_linear_out(l), ==, out);
        g_assert_cmpuint(vl_linear_in(l), ==, in);
        g_assert_cmpuint(vl_linear_bytes(l), >=, (size_t)out * in);
        for (size_t r = 0; r < rows; r++)
            for (size_t o = 0; o < out; o++) {
                double v = n % 2 ? bias[o] : 0;
                for (size_t i = 0; i < in; i++)
                    v += (double)x[r * xs + i] * value[o * in + i];
                expect[r * ys + o] = (float)(v + (n % 3 ? expect[r * ys + o] : 0));
            }
        vl_linear_apply(pool, l,
                        &(vl_linear_args){ .x = x,
                                           .rows = rows,
                                           .x_stride = xs,
                                           .y = y,
                                           .y_stride = ys,
                                           .is_added = n % 3 });
        g_assert_cmpfloat(error_of(y, expect, rows * ys), <, linears[n].error);
        vl_linear_free(l);
        g_free(scale);
        g_free(bias);
        g_free(value);
        g_free(x);
        g_free(y);
        g_free(expect);
        g_free(data);
    }
    vl_pool_free(pool);
}

/* Together is the same as one by one, to the last bit, packed by a pool or alone. */
static void test_linear_all(void)
{
    enum { JOBS = 150, IN = 130, OUT = 200, ROWS = 40 };
    static const vl_compute computes[] = { VL_COMPUTE_FP32, VL_COMPUTE_INT8 };
    vl_pool *pool = new_pool(3);
    float *w = random_floats(IN * OUT, 1), *x = random_floats(ROWS * IN, 1);
    float *together = random_floats(JOBS * ROWS * OUT, 1);
    float *alone = g_memdup2(together, sizeof(float) * JOBS * ROWS * OUT);
    for (size_t c = 0; c < G_N_ELEMENTS(computes); c++) {
        vl_linear_job jobs[JOBS];
        vl_linear *by_pool[4], *by_one[4];
        vl_error err = { 0 };
        for (size_t i = 0; i < 4; i++) {
            vl_linear_source source = { .data = w,
                                        .out = (uint32_t)(OUT - 50 * i),
                                        .in = IN };
            by_one[i] = vl_linear_new(&source, computes[c], &err);
            source.pool = pool;
            by_pool[i] = vl_linear_new(&source, computes[c], &err);
            g_assert_nonnull(by_one[i]);
            g_assert_nonnull(by_pool[i]);
        }
        for (size_t i = 0; i < JOBS; i++) {
            jobs[i] = (vl_linear_job){ by_pool[i % 4],
                                       { .x = x,
                                         .rows = i * 7 % ROWS,
                                         .x_stride = IN,
                                         .y = together + i * ROWS * OUT,
                                         .y_stride = OUT,
                                         .is_added = i % 3 == 0 } };
            vl_linear_args one = jobs[i].args;
            one.y = alone + i * ROWS * OUT;
            vl_linear_apply(pool, by_one[i % 4], &one);
        }
        vl_linear_apply_all(pool, jobs, JOBS);
        g_assert_cmpmem(together, sizeof(float) * JOBS * ROWS * OUT, alone,
                        sizeof(float) * JOBS * ROWS * OUT);
        for (size_t i = 0; i < 4; i++) {
            vl_linear_free(by_pool[i]);
            vl_linear_free(by_one[i]);
        }
    }
    vl_linear_apply_all(pool, NULL, 0);
    g_free(w);
    g_free(x);
    g_free(together);
    g_free(alone);
    vl_pool_free(pool);
}

static void test_linear_limits(void)
{
    static const struct {
        uint32_t out, in;
        float value;
        vl_code expect;
    } cases[] = {
        /* clang-format off */
        { 1, VL_LINEAR_IN_MAX, 1, VL_OK },
        { 1, VL_LINEAR_IN_MAX + 1, 1, VL_LIMIT },
        { VL_LINEAR_OUT_MAX, 1, 1, VL_OK },
        { VL_LINEAR_OUT_MAX + 1, 1, 1, VL_LIMIT },
        { 0, 1, 1, VL_LIMIT },
        { 1, 0, 1, VL_LIMIT },
        { 1, 4, INFINITY, VL_FORMAT },
        { 1, 4, NAN, VL_FORMAT },
        /* clang-format on */
    };
    float *data = g_new(float, VL_LINEAR_OUT_MAX);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        for (size_t n = 0; n < VL_LINEAR_OUT_MAX; n++)
            data[n] = cases[i].value;
        vl_error err = { 0 };
        vl_linear *l = vl_linear_new(
            &(vl_linear_source){ .data = data, .out = cases[i].out, .in = cases[i].in },
            VL_COMPUTE_INT8, &err);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        g_assert_true((l != NULL) == (cases[i].expect == VL_OK));
        if (l != NULL && cases[i].in == VL_LINEAR_IN_MAX) {
            /* The largest sums that 32 bits hold. */
            vl_pool *pool = new_pool(1);
            float y = 0;
            vl_linear_apply(pool, l,
                            &(vl_linear_args){ .x = data,
                                               .rows = 1,
                                               .x_stride = VL_LINEAR_IN_MAX,
                                               .y = &y,
                                               .y_stride = 1 });
            g_assert_cmpfloat(fabsf(y - VL_LINEAR_IN_MAX), <, 1);
            vl_pool_free(pool);
        }
        vl_linear_free(l);
    }
    g_free(data);
}

static const struct {
    uint32_t batches, heads, dim, rows_q, rows_k;
    bool is_causal;
} attentions[] = {
    { 1, 1, 1, 1, 1, false },      { 2, 3, 64, 200, 200, false },
    { 1, 2, 64, 70, 65, false },   { 1, 2, 40, 17, 130, true },
    { 1, 1, 128, 193, 193, true }, { 1, 4, 64, 1, 333, true },
    { 2, 2, 36, 3, 70, true },     { 1, 1, 256, 5, 64, false },
};

static void naive_attention(const vl_attention_args *a, float *out)
{
    double *p = g_new(double, a->rows_k);
    for (size_t b = 0; b < a->batches; b++)
        for (size_t h = 0; h < a->heads; h++)
            for (size_t r = 0; r < a->rows_q; r++) {
                size_t n = a->is_causal ? a->rows_k - a->rows_q + r + 1 : a->rows_k;
                const float *q = a->q + b * a->batch_q + r * a->q_stride + h * a->dim;
                double sum = 0, top = -INFINITY;
                for (size_t i = 0; i < n; i++) {
                    const float *k = a->k + b * a->batch_k + i * a->k_stride + h * a->dim;
                    p[i] = 0;
                    for (size_t d = 0; d < a->dim; d++)
                        p[i] += (double)q[d] * k[d] * a->scale;
                    top = fmax(top, p[i]);
                }
                for (size_t i = 0; i < n; i++)
                    sum += p[i] = exp(p[i] - top);
                for (size_t d = 0; d < a->dim; d++) {
                    double v = 0;
                    for (size_t i = 0; i < n; i++)
                        v += p[i] *
                             a->v[b * a->batch_v + i * a->v_stride + h * a->dim + d];
                    out[b * a->batch_out + r * a->out_stride + h * a->dim + d] =
                        (float)(v / sum);
                }
            }
    g_free(p);
}

static void test_attention(void)
{
    vl_pool *pool = new_pool(2);
    for (size_t i = 0; i < G_N_ELEMENTS(attentions); i++)
        for (int range = 1; range <= 20; range += 19) {
            g_test_message("case %zu, range %d", i, range);
            size_t width = (size_t)attentions[i].heads * attentions[i].dim;
            size_t rq = attentions[i].rows_q, rk = attentions[i].rows_k;
            size_t nb = attentions[i].batches, so = width + 1;
            float *q = random_floats(nb * rq * width, range);
            float *kv = random_floats(nb * rk * 2 * width, 1);
            float *out = g_new0(float, nb *rq *so), *expect = g_new0(float, nb *rq *so);
            vl_attention_args a = {
                .q = q,
                .k = kv,
                .v = kv + width,
                .out = out,
                .q_stride = width,
                .k_stride = 2 * width,
                .v_stride = 2 * width,
                .out_stride = so,
                .batches = nb,
                .batch_q = rq * width,
                .batch_k = rk * 2 * width,
                .batch_v = rk * 2 * width,
                .batch_out = rq * so,
                .rows_q = (uint32_t)rq,
                .rows_k = (uint32_t)rk,
                .heads = attentions[i].heads,
                .dim = attentions[i].dim,
                .scale = 1 / sqrtf((float)attentions[i].dim),
                .is_causal = attentions[i].is_causal,
            };
            vl_attention(pool, &a);
            naive_attention(&a, expect);
            g_assert_cmpfloat(error_of(out, expect, nb * rq * so), <, 2e-5);
            g_free(q);
            g_free(kv);
            g_free(out);
            g_free(expect);
        }
    vl_pool_free(pool);
}

/* Keys and values that were packed when they came, in pieces, give the numbers of those that
 * lie in rows, for many query rows and for few: to the last bit where vectors work through
 * whole heads. */
static void test_packed_attention(void)
{
    static const struct {
        uint32_t heads, dim, rows_q, rows_k, piece;
    } cases[] = {
        { 1, 1, 1, 1, 1 },       { 6, 64, 1, 333, 50 },   { 6, 64, 3, 128, 3 },
        { 2, 64, 300, 300, 77 }, { 3, 40, 17, 130, 130 }, { 1, 128, 193, 193, 64 },
        { 2, 36, 2, 70, 7 },     { 1, 200, 1, 65, 64 },   { 5, 64, 5, 64, 61 },
        { 2, 6, 3, 67, 1 },
    };
    vl_pool *pool = new_pool(2);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint32_t heads = cases[i].heads, dim = cases[i].dim, rk = cases[i].rows_k;
        size_t width = (size_t)heads * dim, rq = cases[i].rows_q;
        size_t blocks = (rk + VL_KEYS_BLOCK - 1) / VL_KEYS_BLOCK;
        g_test_message("case %zu", i);
        float *q = random_floats(rq * width, 3), *kv = random_floats(rk * 2 * width, 1);
        float *out = g_new0(float, rq *width), *expect = g_new0(float, rq *width);
        size_t key_floats = blocks * vl_attention_key_block(heads, dim);
        size_t value_floats = blocks * vl_attention_value_block(heads, dim);
        float *keys = g_new(float, key_floats), *values = g_new(float, value_floats);
        memset(keys, 0xff, key_floats * sizeof *keys); /* what is not put there is NaN */
        memset(values, 0xff, value_floats * sizeof *values);
        vl_attention_args a = { .q = q,
                                .k = kv,
                                .v = kv + width,
                                .out = expect,
                                .q_stride = width,
                                .k_stride = 2 * width,
                                .v_stride = 2 * width,
                                .out_stride = width,
                                .batches = 1,
                                .rows_q = (uint32_t)rq,
                                .rows_k = rk,
                                .heads = heads,
                                .dim = dim,
                                .scale = 1 / sqrtf((float)dim),
                                .is_causal = true };
        vl_attention(pool, &a);
        vl_attention_args rows = a;
        for (uint32_t at = 0; at < rk; at += cases[i].piece) {
            rows.k = kv + at * 2 * width;
            rows.v = rows.k + width;
            vl_attention_pack(&rows, keys, values, at, MIN(cases[i].piece, rk - at));
        }
        a.k = keys;
        a.v = values;
        a.k_stride = vl_attention_key_block(heads, dim);
        a.v_stride = vl_attention_value_block(heads, dim);
        a.is_packed = true;
        a.out = out;
        vl_attention(pool, &a);
        if (dim % 32 == 0 && vl_kernels_get() != &vl_kernels_scalar)
            g_assert_cmpmem(out, rq * width * sizeof *out, expect,
                            rq * width * sizeof *expect);
        g_assert_cmpfloat(error_of(out, expect, rq * width), <, 2e-6);
        float *all[] = { q, kv, out, expect, keys, values };
        for (size_t n = 0; n < G_N_ELEMENTS(all); n++)
            g_free(all[n]);
    }
    vl_pool_free(pool);
}

/* Latent attention: heads of keys and values side by side, values of another width, and
 * a part of the key that the heads share.  The plain form with that part copied to every
 * head gives what is expected. */
static void test_latent_attention(void)
{
    static const struct {
        uint32_t heads, dim, shared, value, rows_q, rows_k;
    } cases[] = {
        { 3, 40, 24, 72, 70, 200 }, { 2, 128, 64, 128, 193, 193 },
        { 5, 16, 8, 12, 1, 90 },    { 1, 1, 2, 3, 3, 3 },
        { 4, 200, 56, 256, 5, 65 }, { 2, 16, 8, 12, 3, 130 },
    };
    vl_pool *pool = new_pool(2);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        size_t heads = cases[i].heads, dim = cases[i].dim, shared = cases[i].shared;
        size_t value = cases[i].value, rq = cases[i].rows_q, rk = cases[i].rows_k;
        size_t whole = dim + shared, head = dim + value, wide = heads * head;
        size_t plain = whole > value ? whole : value;
        g_test_message("case %zu", i);
        float *q = random_floats(rq * heads * whole, 2),
              *out = g_new(float, rq *heads *value);
        float *kv = random_floats(rk * wide, 1), *ks = random_floats(rk * shared, 1);
        vl_attention(pool, &(vl_attention_args){ .q = q,
                                                 .k = kv,
                                                 .v = kv + dim,
                                                 .out = out,
                                                 .q_stride = heads * whole,
                                                 .k_stride = wide,
                                                 .v_stride = wide,
                                                 .out_stride = heads * value,
                                                 .batches = 1,
                                                 .rows_q = (uint32_t)rq,
                                                 .rows_k = (uint32_t)rk,
                                                 .heads = (uint32_t)heads,
                                                 .dim = (uint32_t)dim,
                                                 .dim_v = (uint32_t)value,
                                                 .dim_shared = (uint32_t)shared,
                                                 .head_stride = head,
                                                 .k_shared = ks,
                                                 .k_shared_stride = shared,
                                                 .scale = 0.2f,
                                                 .is_causal = true });
        /* Zeros behind queries, keys and values bring them to one width. */
        float *pq = g_new0(float, rq *heads *plain),
              *pk = g_new0(float, rk *heads *plain);
        float *pv = g_new0(float, rk *heads *plain), *pe = g_new(float, rq *heads *plain);
        float *expect = g_new(float, rq *heads *value);
        for (size_t h = 0; h < heads; h++) {
            for (size_t r = 0; r < rq; r++)
                memcpy(pq + (r * heads + h) * plain, q + (r * heads + h) * whole,
                       whole * 4);
            for (size_t r = 0; r < rk; r++) {
                float *k = pk + (r * heads + h) * plain;
                memcpy(k, kv + r * wide + h * head, dim * 4);
                memcpy(k + dim, ks + r * shared, shared * 4);
                memcpy(pv + (r * heads + h) * plain, kv + r * wide + h * head + dim,
                       value * 4);
            }
        }
        size_t width = heads * plain;
        naive_attention(&(vl_attention_args){ .q = pq,
                                              .k = pk,
                                              .v = pv,
                                              .q_stride = width,
                                              .k_stride = width,
                                              .v_stride = width,
                                              .out_stride = width,
                                              .batches = 1,
                                              .rows_q = (uint32_t)rq,
                                              .rows_k = (uint32_t)rk,
                                              .heads = (uint32_t)heads,
                                              .dim = (uint32_t)plain,
                                              .scale = 0.2f,
                                              .is_causal = true },
                        pe);
        for (size_t r = 0; r < rq * heads; r++)
            memcpy(expect + r * value, pe + r * plain, value * 4);
        g_assert_cmpfloat(error_of(out, expect, rq * heads * value), <, 2e-5);
        float *all[] = { q, out, kv, ks, pq, pk, pv, pe, expect };
        for (size_t n = 0; n < G_N_ELEMENTS(all); n++)
            g_free(all[n]);
    }
    vl_pool_free(pool);
}

/* Pairs are turned in place: their lengths stay, and only the rotated part changes. */
static void test_rope_pairs(void)
{
    enum { ROWS = 9, HEADS = 3, DIM = 8, HEAD = 20, STRIDE = 70, POS = 5 };
    vl_pool *pool = new_pool(2);
    float *x = random_floats(ROWS * STRIDE, 1), *was = g_memdup2(x, ROWS * STRIDE * 4);
    float table[(POS + ROWS) * DIM];
    for (int p = 0; p < POS + ROWS; p++)
        for (int i = 0; i < DIM / 2; i++) {
            table[p * DIM + i] = cosf((float)(p * (i + 1)));
            table[p * DIM + DIM / 2 + i] = sinf((float)(p * (i + 1)));
        }
    vl_rope_pairs(pool, x + 4, ROWS, STRIDE, HEADS, HEAD, DIM, POS, table);
    for (int r = 0; r < ROWS; r++)
        for (int n = 0; n < STRIDE; n++) {
            int at = n - 4, d = at % HEAD, pair = d / 2;
            bool is_turned = at >= 0 && at < HEADS * HEAD && d < DIM;
            double angle = is_turned ? (POS + r) * (pair + 1) : 0;
            const float *p = was + r * STRIDE + (is_turned ? n - d % 2 : n);
            double want = !is_turned   ? p[0]
                          : d % 2 == 0 ? p[0] * cos(angle) - p[1] * sin(angle)
                                       : p[1] * cos(angle) + p[0] * sin(angle);
            g_assert_cmpfloat(fabs(x[r * STRIDE + n] - want), <, 1e-5);
        }
    g_free(x);
    g_free(was);
    vl_pool_free(pool);
}

static void test_ops(void)
{
    vl_pool *pool = new_pool(2);
    size_t rows = 700, n = 384;
    float *x = random_floats(rows * n, 5), *w = random_floats(n, 1);
    float *b = random_floats(n, 1), *y = g_new(float, rows *n),
          *e = g_new(float, rows *n);
    vl_layernorm(pool, x, rows, n, w, b, 1e-6f, y);
    for (size_t r = 0; r < rows; r++)
        vl_kernels_scalar.layernorm(x + r * n, n, w, b, 1e-6f, e + r * n);
    g_assert_cmpfloat(error_of(y, e, rows * n), <, 4e-6);
    vl_rmsnorm(pool, x, rows, n, w, 1e-6f, y);
    for (size_t r = 0; r < rows; r++)
        vl_kernels_scalar.rmsnorm(x + r * n, n, w, 1e-6f, e + r * n);
    g_assert_cmpfloat(error_of(y, e, rows * n), <, 4e-6);
    vl_silu_mul(pool, y, x, rows * n);
    vl_kernels_scalar.silu_mul(e, x, rows * n);
    g_assert_cmpfloat(error_of(y, e, rows * n), <, 1e-5);

    /* Rotation by position times the frequency 1, dim 4: pairs (0, 2) and (1, 3). */
    float table[3][4] = { { 1, 1, 0, 0 }, { 0, 1, 1, 0 }, { -1, 0, 0, 1 } };
    float v[2 * 5] = { 1, 2, 3, 4, 9, 5, 6, 7, 8, 9 };
    const float turned[] = { -3, 2, 1, 4, 9, -5, -8, -7, 6, 9 };
    vl_rope_half(pool, v, 2, 5, 1, 4, 1, &table[0][0]);
    g_assert_cmpfloat(error_of(v, turned, 10), ==, 0);

    float s[3] = { 1000, 1000 + logf(2), 1000 };
    const float shares[] = { 0.25f, 0.5f, 0.25f };
    vl_softmax_row(s, 3);
    g_assert_cmpfloat(error_of(s, shares, 3), <, 1e-4);
    g_free(x);
    g_free(w);
    g_free(b);
    g_free(y);
    g_free(e);
    vl_pool_free(pool);
}

typedef struct stress {
    vl_pool *pool;
    atomic_uint seen[97];
    atomic_uint slots[4 + VL_POOL_GUESTS_MAX];
} stress;

static void stress_item(void *arg, size_t i, uint32_t slot)
{
    stress *s = arg;
    g_assert_cmpuint(slot, <, 4 + VL_POOL_GUESTS_MAX);
    /* No two items may run in one slot at once. */
    g_assert_cmpuint(atomic_fetch_add(&s->slots[slot], 1), ==, 0);
    atomic_fetch_add(&s->seen[i], 1);
    atomic_fetch_sub(&s->slots[slot], 1);
}

static gpointer stress_thread(gpointer arg)
{
    stress *s = arg;
    for (int n = 0; n < 500; n++)
        vl_pool_run(s->pool, n % 98, stress_item, s);
    return NULL;
}

static void test_pool(void)
{
    stress s = { .pool = new_pool(4) };
    GThread *threads[3];
    for (int i = 0; i < 3; i++)
        threads[i] = g_thread_new("stress", stress_thread, &s);
    for (int i = 0; i < 3; i++)
        g_thread_join(threads[i]);
    for (size_t i = 0; i < 97; i++) {
        unsigned expect = 0; /* calls with more than i items, three threads */
        for (size_t n = 0; n < 500; n++)
            expect += n % 98 > i ? 3 : 0;
        g_assert_cmpuint(atomic_load(&s.seen[i]), ==, expect);
    }
    vl_pool_free(s.pool);
    vl_pool_free(NULL);

    vl_error err = { 0 };
    g_assert_null(vl_pool_new(0, &err));
    g_assert_cmpint(err.code, ==, VL_LIMIT);
    err.code = VL_OK;
    g_assert_null(vl_pool_new(VL_THREADS_MAX + 1, &err));
    g_assert_cmpint(err.code, ==, VL_LIMIT);
    vl_pool_free(new_pool(VL_THREADS_MAX));
}

static void test_error(void)
{
    vl_error err = { 0 };
    char name[400];
    memset(name, 'x', sizeof name);
    name[3] = '\n';
    name[sizeof name - 1] = '\0';
    g_assert_null(vl_fail(&err, VL_IO, "file %s", name));
    g_assert_cmpint(err.code, ==, VL_IO);
    g_assert_cmpuint(strlen(err.text), ==, sizeof err.text - 1);
    g_assert_null(strchr(err.text, '\n'));
}

static void test_bench(void)
{
    vl_bench bench;
    vl_bench_run(5, &bench);
    g_assert_cmpstr(bench.kernels, ==, vl_kernels_name());
    g_assert_cmpstr(bench.blas, ==, vl_blas_name());
    g_assert_cmpfloat(bench.gflops_fp32, >, 0);
    g_assert_cmpfloat(bench.gops_int8, >, 0);
    g_test_message("%s: %.0f GFLOPS fp32, %.0f GOPS int8", bench.kernels,
                   bench.gflops_fp32, bench.gops_int8);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_message("kernels %s", vl_kernels_name());
    g_test_add_func("/kernels/int8-exact", test_int8_exact);
    g_test_add_func("/kernels/quantize-exact", test_quantize_exact);
    g_test_add_func("/kernels/gemm-f32", test_gemm_f32);
    g_test_add_func("/kernels/blas", test_blas);
    g_test_add_func("/kernels/finish", test_finish);
    g_test_add_func("/kernels/rows", test_rows);
    g_test_add_func("/ops/linear", test_linear);
    g_test_add_func("/ops/linear-all", test_linear_all);
    g_test_add_func("/ops/linear-limits", test_linear_limits);
    g_test_add_func("/ops/attention", test_attention);
    g_test_add_func("/ops/packed-attention", test_packed_attention);
    g_test_add_func("/ops/latent-attention", test_latent_attention);
    g_test_add_func("/ops/rope-pairs", test_rope_pairs);
    g_test_add_func("/ops/rows", test_ops);
    g_test_add_func("/pool/stress", test_pool);
    g_test_add_func("/error/one-line", test_error);
    g_test_add_func("/bench/runs", test_bench);
    return g_test_run();
}

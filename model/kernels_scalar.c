/*
 * kernels_scalar.c - the kernels in plain C: what the other tables are tested against.
 */
#include "kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static void gemm_s8(const int8_t *a, size_t a_stride, size_t rows, const uint8_t *panel,
                    size_t groups, int32_t *c)
{
    memset(c, 0, rows * VL_PANEL * sizeof *c);
    for (size_t r = 0; r < rows; r++)
        for (size_t g = 0; g < groups; g++)
            for (size_t j = 0; j < VL_PANEL; j++)
                for (size_t b = 0; b < 4; b++)
                    c[r * VL_PANEL + j] +=
                        a[r * a_stride + 4 * g + b] * panel[(g * VL_PANEL + j) * 4 + b];
}

static void gemm_f32(const float *a, size_t a_stride, size_t rows, const float *panel,
                     size_t k, float *c, bool is_added)
{
    for (size_t r = 0; r < rows; r++) {
        float sum[VL_PANEL] = { 0 };
        for (size_t i = 0; i < k; i++)
            for (size_t j = 0; j < VL_PANEL; j++)
                sum[j] += a[r * a_stride + i] * panel[i * VL_PANEL + j];
        for (size_t j = 0; j < VL_PANEL; j++)
            c[r * VL_PANEL + j] = is_added ? c[r * VL_PANEL + j] + sum[j] : sum[j];
    }
}

static float quantize(const float *x, size_t n, size_t n_padded, int8_t *q, int32_t *sum)
{
    assert(n_padded >= n);
    float top = 0;
    for (size_t i = 0; i < n; i++)
        top = fabsf(x[i]) > top ? fabsf(x[i]) : top;
    /* A row this small is zero; 127 / top would overflow. */
    float inverse = top < 1e-30f ? 0 : 127 / top;
    int32_t total = 0;
    for (size_t i = 0; i < n; i++) {
        float v = x[i] * inverse;
        v = v < 127 ? v : 127; /* in this order NaN becomes 127, as with vminps */
        v = v > -127 ? v : -127;
        q[i] = (int8_t)lrintf(v);
        total += q[i];
    }
    memset(q + n, 0, n_padded - n);
    *sum = total;
    return top < 1e-30f ? 0 : top / 127;
}

static void dequantize(const int32_t *c, size_t rows, const float *row_scale,
                       const int32_t *row_sum, const float *col_scale, float *tile)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < VL_PANEL; j++)
            tile[r * VL_PANEL + j] = (float)(c[r * VL_PANEL + j] - 128 * row_sum[r]) *
                                     (row_scale[r] * col_scale[j]);
}

static float activate(vl_act act, float x)
{
    switch (act) {
    case VL_ACT_NONE:
        return x;
    case VL_ACT_GELU_TANH:
        return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x)));
    case VL_ACT_GELU_ERF:
        return 0.5f * x * (1 + erff(x * 0.7071067812f));
    }
    assert(!"known activation");
    return x;
}

static void finish(const vl_finish *f)
{
    assert(f->cols <= VL_PANEL);
    for (size_t r = 0; r < f->rows; r++)
        for (size_t j = 0; j < f->cols; j++) {
            float v = activate(f->act, f->tile[r * VL_PANEL + j] + f->bias[j]);
            float *y = f->y + r * f->y_stride + j;
            *y = f->is_added ? *y + v : v;
        }
}

static void layernorm(const float *x, size_t n, const float *weight, const float *bias,
                      float eps, float *y)
{
    float sum = 0, square = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    float mean = sum / (float)n;
    for (size_t i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    float inverse = 1 / sqrtf(square / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * inverse * weight[i] + bias[i];
}

static void rmsnorm(const float *x, size_t n, const float *weight, float eps, float *y)
{
    float square = 0;
    for (size_t i = 0; i < n; i++)
        square += x[i] * x[i];
    float inverse = 1 / sqrtf(square / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * inverse * weight[i];
}

static void silu_mul(float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gate[i] = gate[i] / (1 + expf(-gate[i])) * up[i];
}

static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void dot_panel(const float *a, const float *panel, size_t k, float *c)
{
    memset(c, 0, VL_PANEL * sizeof *c);
    for (size_t i = 0; i < k; i++)
        for (size_t n = 0; n < VL_PANEL; n++)
            c[n] += a[i] * panel[i * VL_PANEL + n];
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void scale(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

static float max(const float *x, size_t n)
{
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

static float exp_sum(float *x, size_t n, float top)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - top);
        sum += x[i];
    }
    return sum;
}

const vl_kernels vl_kernels_scalar = {
    .name = "scalar",
    .gemm_s8 = gemm_s8,
    .gemm_f32 = gemm_f32,
    .quantize = quantize,
    .dequantize = dequantize,
    .finish = finish,
    .layernorm = layernorm,
    .rmsnorm = rmsnorm,
    .silu_mul = silu_mul,
    .dot = dot,
    .dot_panel = dot_panel,
    .axpy = axpy,
    .scale = scale,
    .max = max,
    .exp_sum = exp_sum,
};

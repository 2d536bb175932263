/*
 * kernels_vnni.c - kernels for AVX-512 with VNNI.
 *
 * vpdpbusd multiplies four unsigned bytes of each column with four signed bytes of
 * the row and adds the sums to 32-bit lanes without saturation.
 */
#include "kernels.h"

#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

typedef __m512 vf;
#define LANES     16u
#define TILE_VECS 4u

static inline vf v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v_store(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}

static inline vf v_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline vf v_max(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}

static inline vf v_min(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}

static inline vf v_abs(vf a)
{
    return _mm512_abs_ps(a);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}

static inline float v_hsum(vf a)
{
    return _mm512_reduce_add_ps(a);
}

static inline float v_hmax(vf a)
{
    return _mm512_reduce_max_ps(a);
}

/* 2^n for t = n + ROUND_MAGIC. */
static inline vf v_pow2(vf t)
{
    __m512i bits = _mm512_slli_epi32(_mm512_castps_si512(t), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(bits, _mm512_set1_epi32(0x3f800000)));
}

static inline vf v_select_negative(vf x, vf negative, vf other)
{
    __mmask16 mask = _mm512_movepi32_mask(_mm512_castps_si512(x));
    return _mm512_mask_blend_ps(mask, other, negative);
}

static inline vf v_load_int(const int32_t *p, int32_t subtract)
{
    __m512i v = _mm512_sub_epi32(_mm512_loadu_si512(p), _mm512_set1_epi32(subtract));
    return _mm512_cvtepi32_ps(v);
}

/* The low bytes of t, which hold the integer that ROUND_MAGIC rounded to. */
static inline void v_store_s8(int8_t *p, vf t)
{
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_castps_si512(t)));
}

#include "kernels_float.inc"

static inline __attribute__((always_inline)) void
tile_s8(const size_t rows, const int8_t *a, size_t a_stride, const uint8_t *panel,
        size_t groups, int32_t *c)
{
    __m512i acc[TILE_ROWS][TILE_VECS];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < TILE_VECS; v++)
            acc[r][v] = _mm512_setzero_si512();
    for (size_t g = 0; g < groups; g++) {
        __m512i w[TILE_VECS];
        for (size_t v = 0; v < TILE_VECS; v++)
            w[v] = _mm512_loadu_si512(panel + (g * TILE_VECS + v) * 64);
        for (size_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, a + r * a_stride + 4 * g, sizeof four);
            __m512i x = _mm512_set1_epi32(four);
            for (size_t v = 0; v < TILE_VECS; v++)
                acc[r][v] = _mm512_dpbusd_epi32(acc[r][v], w[v], x);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < TILE_VECS; v++)
            _mm512_storeu_si512(c + r * VL_PANEL + v * LANES, acc[r][v]);
}

static void gemm_s8(const int8_t *a, size_t a_stride, size_t rows, const uint8_t *panel,
                    size_t groups, int32_t *c)
{
    size_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        tile_s8(TILE_ROWS, a + r * a_stride, a_stride, panel, groups, c + r * VL_PANEL);
    const int8_t *rest = a + r * a_stride;
    int32_t *out = c + r * VL_PANEL;
    switch (rows - r) {
    case 5:
        tile_s8(5, rest, a_stride, panel, groups, out);
        break;
    case 4:
        tile_s8(4, rest, a_stride, panel, groups, out);
        break;
    case 3:
        tile_s8(3, rest, a_stride, panel, groups, out);
        break;
    case 2:
        tile_s8(2, rest, a_stride, panel, groups, out);
        break;
    case 1:
        tile_s8(1, rest, a_stride, panel, groups, out);
        break;
    default:
        break;
    }
}

const vl_kernels vl_kernels_vnni = {
    .name = "avx512-vnni",
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

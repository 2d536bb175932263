/*
 * kernels_avx2.c - kernels for AVX2 with FMA.
 *
 * vpmaddubsw would saturate at 16 bits (255 * 127 * 2), so bytes are widened first:
 * the even and the odd bytes of a column group are multiplied apart by vpmaddwd.
 */
#include "kernels.h"

#include <assert.h>
#include <immintrin.h>
#include <math.h>
#include <string.h>

typedef __m256 vf;
#define LANES     8u
#define TILE_VECS 2u

static inline vf v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

static inline void v_store(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}

static inline vf v_set1(float x)
{
    return _mm256_set1_ps(x);
}

static inline vf v_max(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}

static inline vf v_min(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}

static inline vf v_abs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

static inline vf v_fma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}

static inline float v_hsum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

static inline float v_hmax(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

/* 2^n for t = n + ROUND_MAGIC. */
static inline vf v_pow2(vf t)
{
    __m256i bits = _mm256_slli_epi32(_mm256_castps_si256(t), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(bits, _mm256_set1_epi32(0x3f800000)));
}

static inline vf v_select_negative(vf x, vf negative, vf other)
{
    return _mm256_blendv_ps(other, negative, x);
}

static inline vf v_load_int(const int32_t *p, int32_t subtract)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)p);
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(v, _mm256_set1_epi32(subtract)));
}

/* The low bytes of t, which hold the integer that ROUND_MAGIC rounded to. */
static inline void v_store_s8(int8_t *p, vf t)
{
    const __m256i low =
        _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0,
                         4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i v = _mm256_shuffle_epi8(_mm256_castps_si256(t), low);
    int32_t a = _mm256_extract_epi32(v, 0), b = _mm256_extract_epi32(v, 4);
    memcpy(p, &a, 4);
    memcpy(p + 4, &b, 4);
}

#include "kernels_float.inc"

#define S8_ROWS 4

static inline __attribute__((always_inline)) void
tile_s8(const size_t rows, const int8_t *a, size_t a_stride, const uint8_t *panel,
        size_t groups, int32_t *c)
{
    const __m256i low = _mm256_set1_epi16(0x00ff);
    __m256i acc[S8_ROWS][2];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2; v++)
            acc[r][v] = _mm256_setzero_si256();
    for (size_t g = 0; g < groups; g++) {
        __m256i even[2], odd[2];
        for (size_t v = 0; v < 2; v++) {
            const uint8_t *p = panel + g * VL_PANEL * 4 + v * 32;
            __m256i w = _mm256_loadu_si256((const __m256i *)p);
            even[v] = _mm256_and_si256(w, low);
            odd[v] = _mm256_srli_epi16(w, 8);
        }
        for (size_t r = 0; r < rows; r++) {
            int32_t four;
            memcpy(&four, a + r * a_stride + 4 * g, sizeof four);
            __m256i x = _mm256_set1_epi32(four);
            __m256i xe = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
            __m256i xo = _mm256_srai_epi16(x, 8);
            for (size_t v = 0; v < 2; v++) {
                __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(even[v], xe),
                                               _mm256_madd_epi16(odd[v], xo));
                acc[r][v] = _mm256_add_epi32(acc[r][v], sum);
            }
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2; v++)
            _mm256_storeu_si256((__m256i *)(c + r * VL_PANEL + v * LANES), acc[r][v]);
}

/* One row, as in decoding, is bound by reading the weights: the panel from front to back
 * in one go, instead of in strips. */
static void row_s8(const int8_t *a, const uint8_t *panel, size_t groups, int32_t *c)
{
    enum { VECS = VL_PANEL / LANES };
    const __m256i low = _mm256_set1_epi16(0x00ff);
    __m256i acc[VECS];
    for (size_t v = 0; v < VECS; v++)
        acc[v] = _mm256_setzero_si256();
    for (size_t g = 0; g < groups; g++, panel += VL_PANEL * 4) {
        int32_t four;
        memcpy(&four, a + 4 * g, sizeof four);
        __m256i x = _mm256_set1_epi32(four);
        __m256i xe = _mm256_srai_epi16(_mm256_slli_epi16(x, 8), 8);
        __m256i xo = _mm256_srai_epi16(x, 8);
        for (size_t v = 0; v < VECS; v++) {
            __m256i w = _mm256_loadu_si256((const __m256i *)(panel + v * 32));
            __m256i even = _mm256_madd_epi16(_mm256_and_si256(w, low), xe);
            __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(w, 8), xo);
            acc[v] = _mm256_add_epi32(acc[v], _mm256_add_epi32(even, odd));
        }
    }
    for (size_t v = 0; v < VECS; v++)
        _mm256_storeu_si256((__m256i *)(c + v * LANES), acc[v]);
}

static void gemm_s8(const int8_t *a, size_t a_stride, size_t rows, const uint8_t *panel,
                    size_t groups, int32_t *c)
{
    if (rows == 1) {
        row_s8(a, panel, groups, c);
        return;
    }
    for (size_t strip = 0; strip < VL_PANEL; strip += 2 * LANES) {
        const uint8_t *w = panel + strip * 4;
        size_t r = 0;
        for (; r + S8_ROWS <= rows; r += S8_ROWS)
            tile_s8(S8_ROWS, a + r * a_stride, a_stride, w, groups,
                    c + r * VL_PANEL + strip);
        for (; r < rows; r++)
            tile_s8(1, a + r * a_stride, a_stride, w, groups, c + r * VL_PANEL + strip);
    }
}

const vl_kernels vl_kernels_avx2 = {
    .name = "avx2",
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

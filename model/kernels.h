/*
 * kernels.h - the table of inner loops of one instruction set.
 *
 * Kernels take pointers and sizes only and run on one thread.  Matrices are cut in
 * panels of VL_PANEL columns, so one tile of a product is always VL_PANEL wide:
 *
 *   int8   panel[in / 4][VL_PANEL][4]   value + 128, as vpdpbusd reads it
 *   float  panel[in][VL_PANEL]
 *
 * kernels_scalar.c is the definition: integer results of the others are equal to its
 * results, float results differ by rounding and by the approximation of exp.
 */
#ifndef VL_KERNELS_H
#define VL_KERNELS_H

#include "ops.h"

#define VL_PANEL 64u

/* y[rows][cols] (+)= act(tile[rows][VL_PANEL] + bias[cols]); the tile is overwritten. */
typedef struct vl_finish {
    float *tile;
    size_t rows, cols; /* cols <= VL_PANEL */
    const float *bias; /* [VL_PANEL] */
    vl_act act;
    bool is_added;
    float *y;
    size_t y_stride;
} vl_finish;

typedef struct vl_kernels {
    const char *name;

    /* c[rows][VL_PANEL] = a[rows][4 * groups] x panel, exact. */
    void (*gemm_s8)(const int8_t *a, size_t a_stride, size_t rows, const uint8_t *panel,
                    size_t groups, int32_t *c);
    /* c[rows][VL_PANEL] (+)= a[rows][k] x panel. */
    void (*gemm_f32)(const float *a, size_t a_stride, size_t rows, const float *panel,
                     size_t k, float *c, bool is_added);
    /* q[0..n) = x / scale, q[n..n_padded) = 0; *sum = sum of q; returns scale. */
    float (*quantize)(const float *x, size_t n, size_t n_padded, int8_t *q, int32_t *sum);
    /* tile = (c - 128 * row_sum) * row_scale * col_scale; the tile may be c. */
    void (*dequantize)(const int32_t *c, size_t rows, const float *row_scale,
                       const int32_t *row_sum, const float *col_scale, float *tile);
    void (*finish)(const vl_finish *f);

    void (*layernorm)(const float *x, size_t n, const float *weight, const float *bias,
                      float eps, float *y);
    void (*rmsnorm)(const float *x, size_t n, const float *weight, float eps, float *y);
    void (*silu_mul)(float *gate, const float *up, size_t n);

    float (*dot)(const float *a, const float *b, size_t n);
    /* c[VL_PANEL] = dot(a[k], column of panel[k][VL_PANEL]), to the last bit where k is a
     * multiple of 32. */
    void (*dot_panel)(const float *a, const float *panel, size_t k, float *c);
    /* y += a * x */
    void (*axpy)(float *y, float a, const float *x, size_t n);
    /* y = a * x; y may be x. */
    void (*scale)(float *y, float a, const float *x, size_t n);
    float (*max)(const float *x, size_t n); /* -INFINITY for n = 0 */
    /* x = exp(x - max); returns the sum. */
    float (*exp_sum)(float *x, size_t n, float max);
} vl_kernels;

extern const vl_kernels vl_kernels_scalar;
extern const vl_kernels vl_kernels_avx2;
extern const vl_kernels vl_kernels_vnni;

/* The table in use: the best one of this CPU, or the one that the environment
 * variable VL_KERNELS names (scalar, avx2, avx512-vnni) when this CPU has it. */
const vl_kernels *vl_kernels_get(void);
/* Table `index` of those that this CPU can run, NULL past the end; 0 is scalar. */
const vl_kernels *vl_kernels_at(size_t index);

/* OpenBLAS, loaded on the first call: false without.  c[rows][VL_PANEL] = a x panel. */
bool vl_blas_open(void);
void vl_blas_gemm(const float *a, size_t a_stride, size_t rows, const float *panel,
                  size_t k, float *c);

#endif

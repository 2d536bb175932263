/*
 * bench.c - machine facts for `docvl doctor`: the two products that a page spends its
 * time in, on one thread, with the kernels that this process would use.
 */
#include "kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BENCH_ROWS = 96, BENCH_IN = 384 };

typedef struct bench_data {
    int8_t a[BENCH_ROWS * BENCH_IN];
    uint8_t w[BENCH_IN * VL_PANEL];
    int32_t c[BENCH_ROWS * VL_PANEL];
    float af[BENCH_ROWS * BENCH_IN];
    float wf[BENCH_IN * VL_PANEL];
    float cf[BENCH_ROWS * VL_PANEL];
} bench_data;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void product_f32(const vl_kernels *kernels, bench_data *d)
{
    if (kernels == &vl_kernels_scalar && vl_blas_open())
        vl_blas_gemm(d->af, BENCH_IN, BENCH_ROWS, d->wf, BENCH_IN, d->cf);
    else
        kernels->gemm_f32(d->af, BENCH_IN, BENCH_ROWS, d->wf, BENCH_IN, d->cf, false);
}

static void product_s8(const vl_kernels *kernels, bench_data *d)
{
    kernels->gemm_s8(d->a, BENCH_IN, BENCH_ROWS, d->w, BENCH_IN / 4, d->c);
}

static double measure(void (*product)(const vl_kernels *, bench_data *), bench_data *d,
                      uint32_t ms)
{
    const vl_kernels *kernels = vl_kernels_get();
    product(kernels, d); /* wakes the clock and the caches */
    double start = now_s(), end = start, limit = start + ms * 1e-3;
    double count = 0;
    do {
        for (int i = 0; i < 4; i++)
            product(kernels, d);
        count += 4;
        end = now_s();
    } while (end < limit);
    return count * 2.0 * BENCH_ROWS * BENCH_IN * VL_PANEL / (end - start) * 1e-9;
}

void vl_bench_run(uint32_t ms, vl_bench *bench)
{
    assert(bench != NULL);
    *bench = (vl_bench){ .kernels = vl_kernels_name(), .blas = vl_blas_name() };
    bench_data *d = aligned_alloc(64, (sizeof *d + 63) / 64 * 64);
    if (d == NULL)
        return; /* zero GFLOPS say that nothing was measured */
    memset(d, 1, sizeof *d);
    for (size_t i = 0; i < BENCH_ROWS * BENCH_IN; i++)
        d->af[i] = (float)(i % 7);
    for (size_t i = 0; i < BENCH_IN * VL_PANEL; i++)
        d->wf[i] = (float)(i % 5);
    bench->gflops_fp32 = measure(product_f32, d, ms);
    bench->gops_int8 = measure(product_s8, d, ms);
    free(d);
}

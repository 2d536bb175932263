/*
 * kernels.c - chooses the kernel table, once per process.
 *
 * __builtin_cpu_supports() also asks the operating system (XGETBV) whether it saves
 * the wide registers, which CPUID alone does not say.
 */
#include "kernels.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const vl_kernels *tables[3] = { &vl_kernels_scalar };
static size_t table_count = 1;
static const vl_kernels *chosen = &vl_kernels_scalar;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find_tables(void)
{
#if VL_HAS_SIMD
    __builtin_cpu_init();
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx2)
        tables[table_count++] = &vl_kernels_avx2;
    if (has_avx2 && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
        tables[table_count++] = &vl_kernels_vnni;
#endif
}

static void choose(void)
{
    find_tables();
    chosen = tables[table_count - 1];
    const char *name = getenv("VL_KERNELS");
    for (size_t i = 0; name != NULL && i < table_count; i++)
        if (strcmp(tables[i]->name, name) == 0)
            chosen = tables[i];
}

const vl_kernels *vl_kernels_get(void)
{
    pthread_once(&once, choose);
    return chosen;
}

const vl_kernels *vl_kernels_at(size_t index)
{
    pthread_once(&once, choose);
    return index < table_count ? tables[index] : NULL;
}

const char *vl_kernels_name(void)
{
    return vl_kernels_get()->name;
}

/*
 * blas.c - OpenBLAS, when the machine has one.
 *
 * Some builds of OpenBLAS do not know newer CPUs and fall back to SSE3 loops, so the
 * core type is chosen here, before dlopen.  Our pool splits the work: one thread.
 * A variable that the user has set wins.  VL_BLAS=none leaves it out.
 */
#include "kernels.h"

#include <assert.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111 }; /* values of cblas.h */

typedef void (*sgemm_fn)(int order, int trans_a, int trans_b, int m, int n, int k,
                         float alpha, const float *a, int lda, const float *b, int ldb,
                         float beta, float *c, int ldc);

static pthread_once_t once = PTHREAD_ONCE_INIT;
static sgemm_fn sgemm;
static char core_name[64] = "none";

static void set_environment(void)
{
    /* The best table of the CPU, whatever VL_KERNELS says. */
    const char *best = "scalar";
    for (size_t i = 0; vl_kernels_at(i) != NULL; i++)
        best = vl_kernels_at(i)->name;
    if (strcmp(best, "avx512-vnni") == 0)
        (void)setenv("OPENBLAS_CORETYPE", "SkylakeX", 0); /* slower without, no worse */
    else if (strcmp(best, "avx2") == 0)
        (void)setenv("OPENBLAS_CORETYPE", "Haswell", 0); /* as above */
    (void)setenv("OPENBLAS_NUM_THREADS", "1", 0);        /* as above */
}

static void load(void)
{
    static const char *const names[] = { "libopenblas.so.0", "libcblas.so.3",
                                         "libblas.so.3" };
    const char *wanted = getenv("VL_BLAS");
    if (wanted != NULL && strcmp(wanted, "none") == 0)
        return;
    set_environment();
    for (size_t i = 0; i < sizeof names / sizeof names[0] && sgemm == NULL; i++) {
        void *library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
        if (library == NULL)
            continue;
        void *symbol = dlsym(library, "cblas_sgemm");
        if (symbol == NULL) {
            dlclose(library);
            continue;
        }
        /* POSIX makes object and function pointers interchangeable for dlsym. */
        memcpy(&sgemm, &symbol, sizeof sgemm);
        char *(*name)(void) = NULL;
        symbol = dlsym(library, "openblas_get_corename");
        memcpy(&name, &symbol, sizeof name);
        const char *text = name != NULL ? name() : "reference";
        size_t bytes = strnlen(text, sizeof core_name - 1);
        memcpy(core_name, text, bytes);
        core_name[bytes] = '\0';
    }
}

bool vl_blas_open(void)
{
    pthread_once(&once, load);
    return sgemm != NULL;
}

void vl_blas_gemm(const float *a, size_t a_stride, size_t rows, const float *panel,
                  size_t k, float *c)
{
    assert(sgemm != NULL);
    assert(a_stride <= INT32_MAX);
    sgemm(ROW_MAJOR, NO_TRANSPOSE, NO_TRANSPOSE, (int)rows, VL_PANEL, (int)k, 1, a,
          (int)a_stride, panel, VL_PANEL, 0, c, VL_PANEL);
}

const char *vl_blas_name(void)
{
    return vl_blas_open() ? core_name : "none";
}

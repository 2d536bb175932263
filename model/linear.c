/*
 * linear.c - weight matrices: packing at load, products over the pool.
 *
 * A task is a block of rows times a run of panels.  It quantises its own rows into
 * the worker's scratch, so tasks share nothing and need no memory of the caller.
 */
#include "kernels.h"
#include "pool.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_BLOCK    96u           /* rows of a task: a multiple of the tiles' six */
#define TASK_PRODUCTS (512u * 1024) /* a smaller task is not worth waking a thread */
#define BLAS_ROWS_MIN 32u           /* below, OpenBLAS spends its time on packing */
#define Q_BYTES       (VL_SCRATCH_BYTES / 2) /* of scratch for quantised rows */
#define BUNDLE_JOBS   64u                    /* products of one run of the pool */

struct vl_linear {
    uint32_t out, in;
    uint32_t in_padded;
    size_t panels;
    size_t bytes;
    bool is_int8;
    uint8_t *q;   /* int8: [panels][in_padded / 4][VL_PANEL][4] */
    float *w;     /* float: [panels][in][VL_PANEL] */
    float *scale; /* int8: [panels * VL_PANEL] */
    float *bias;  /* [panels * VL_PANEL], zeros without */
};

static float half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 31, mantissa = h & 0x3ff;
    if (exponent == 0) {
        float v = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -v : v;
    }
    uint32_t bits =
        sign | (mantissa << 13) | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23);
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* Row `row` of the source as floats; false when a value is not finite. */
static bool read_row(const vl_linear_source *s, size_t row, float *to)
{
    size_t at = row * s->in;
    const uint8_t *data = s->data;
    float sum = 0;
    uint16_t half;
    uint32_t bits;
    switch (s->dtype) {
    case VL_F32:
        memcpy(to, data + at * 4, (size_t)s->in * 4);
        break;
    case VL_F16:
        for (size_t i = 0; i < s->in; i++) {
            memcpy(&half, data + (at + i) * 2, 2);
            to[i] = half_to_float(half);
        }
        break;
    case VL_BF16:
        for (size_t i = 0; i < s->in; i++) {
            memcpy(&half, data + (at + i) * 2, 2);
            bits = (uint32_t)half << 16;
            memcpy(&to[i], &bits, 4);
        }
        break;
    case VL_I8:
        for (size_t i = 0; i < s->in; i++)
            to[i] = (float)(int8_t)data[at + i] * s->scale[row];
        break;
    }
    for (size_t i = 0; i < s->in; i++)
        sum += to[i] * 0; /* NaN once a value is infinite or NaN */
    return sum == 0;
}

static void pack_q_row(vl_linear *l, size_t row, const int8_t *q)
{
    size_t groups = l->in_padded / 4;
    uint8_t *panel = l->q + row / VL_PANEL * groups * VL_PANEL * 4;
    for (size_t i = 0; i < l->in; i++)
        panel[(i / 4 * VL_PANEL + row % VL_PANEL) * 4 + i % 4] = (uint8_t)(q[i] + 128);
}

static void pack_f_row(vl_linear *l, size_t row, const float *w)
{
    float *panel = l->w + row / VL_PANEL * l->in * VL_PANEL;
    for (size_t i = 0; i < l->in; i++)
        panel[i * VL_PANEL + row % VL_PANEL] = w[i];
}

typedef struct pack_job {
    vl_linear *linear;
    const vl_linear_source *source;
    vl_pool *pool;
    atomic_bool is_finite;
} pack_job;

/* What a worker needs for a row. */
typedef struct pack_scratch {
    float f[VL_LINEAR_IN_MAX];
    int8_t q[VL_LINEAR_IN_MAX];
} pack_scratch;

_Static_assert(sizeof(pack_scratch) <= VL_SCRATCH_BYTES, "scratch of a task fits");

static bool pack_row(vl_linear *l, const vl_linear_source *s, size_t row,
                     pack_scratch *scratch)
{
    float bias = s->bias != NULL ? s->bias[row] : 0;
    l->bias[row] = bias;
    if (l->is_int8 && s->dtype == VL_I8) {
        l->scale[row] = s->scale[row];
        pack_q_row(l, row, (const int8_t *)s->data + row * s->in);
        return isfinite(bias) && isfinite(s->scale[row]);
    }
    if (!read_row(s, row, scratch->f) || !isfinite(bias))
        return false;
    if (!l->is_int8) {
        pack_f_row(l, row, scratch->f);
    } else {
        int32_t sum;
        l->scale[row] =
            vl_kernels_get()->quantize(scratch->f, l->in, l->in, scratch->q, &sum);
        pack_q_row(l, row, scratch->q);
    }
    return true;
}

static void pack_panel(pack_job *j, size_t panel, pack_scratch *scratch)
{
    size_t end = (panel + 1) * VL_PANEL;
    end = end < j->linear->out ? end : j->linear->out;
    for (size_t row = panel * VL_PANEL; row < end; row++)
        if (!pack_row(j->linear, j->source, row, scratch))
            atomic_store(&j->is_finite, false);
}

static void pack_task(void *arg, size_t i, uint32_t slot)
{
    pack_job *j = arg;
    pack_panel(j, i, vl_pool_scratch(j->pool, slot));
}

/* False: VL_NOMEM or VL_FORMAT in `err`. */
static bool pack(vl_linear *l, const vl_linear_source *s, vl_error *err)
{
    pack_job job = { .linear = l, .source = s, .pool = s->pool };
    atomic_init(&job.is_finite, true);
    if (s->pool != NULL) {
        vl_pool_run(s->pool, l->panels, pack_task, &job);
    } else {
        pack_scratch *scratch = malloc(sizeof *scratch);
        if (scratch == NULL)
            return vl_fail(err, VL_NOMEM, "no memory for a weight") != NULL;
        for (size_t panel = 0; panel < l->panels; panel++)
            pack_panel(&job, panel, scratch);
        free(scratch);
    }
    return atomic_load(&job.is_finite) ||
           vl_fail(err, VL_FORMAT, "a weight of %u x %u holds a value that is not finite",
                   l->out, l->in) != NULL;
}

static void *take_aligned(vl_linear *l, size_t bytes)
{
    bytes = (bytes + 63) / 64 * 64;
    l->bytes += bytes;
    return aligned_alloc(64, bytes);
}

vl_linear *vl_linear_new(const vl_linear_source *source, vl_compute compute,
                         vl_error *err)
{
    assert(source->data != NULL);
    assert(source->dtype != VL_I8 || source->scale != NULL);
    if (source->in == 0 || source->in > VL_LINEAR_IN_MAX)
        return vl_fail(err, VL_LIMIT, "a weight has %u inputs, allowed are 1 to %u",
                       source->in, VL_LINEAR_IN_MAX);
    if (source->out == 0 || source->out > VL_LINEAR_OUT_MAX)
        return vl_fail(err, VL_LIMIT, "a weight has %u outputs, allowed are 1 to %u",
                       source->out, VL_LINEAR_OUT_MAX);

    vl_linear *l = calloc(1, sizeof *l);
    if (l == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a weight");
    l->out = source->out;
    l->in = source->in;
    l->in_padded = (source->in + 3) / 4 * 4;
    l->panels = ((size_t)source->out + VL_PANEL - 1) / VL_PANEL;
    l->is_int8 = compute == VL_COMPUTE_INT8 ||
                 (compute == VL_COMPUTE_AUTO && source->dtype == VL_I8);
    size_t columns = l->panels * VL_PANEL;
    size_t cells = columns * (l->is_int8 ? l->in_padded : l->in);
    l->bias = take_aligned(l, columns * sizeof *l->bias);
    l->scale = take_aligned(l, columns * sizeof *l->scale);
    if (l->is_int8)
        l->q = take_aligned(l, cells);
    else
        l->w = take_aligned(l, cells * sizeof *l->w);
    if (l->bias == NULL || l->scale == NULL || (l->q == NULL && l->w == NULL)) {
        (void)vl_fail(err, VL_NOMEM, "no memory for a weight of %u x %u", l->out, l->in);
        vl_linear_free(l);
        return NULL;
    }
    memset(l->bias, 0, columns * sizeof *l->bias);
    memset(l->scale, 0, columns * sizeof *l->scale);
    if (l->is_int8)
        memset(l->q, 128, cells);
    else
        memset(l->w, 0, cells * sizeof *l->w);
    if (pack(l, source, err))
        return l;
    vl_linear_free(l);
    return NULL;
}

void vl_linear_free(vl_linear *linear)
{
    if (linear == NULL)
        return;
    free(linear->q);
    free(linear->w);
    free(linear->scale);
    free(linear->bias);
    free(linear);
}

size_t vl_linear_bytes(const vl_linear *linear)
{
    return linear->bytes;
}

uint32_t vl_linear_out(const vl_linear *linear)
{
    return linear->out;
}

uint32_t vl_linear_in(const vl_linear *linear)
{
    return linear->in;
}

typedef struct job {
    const vl_kernels *kernels;
    const vl_linear *linear;
    const vl_linear_args *args;
    bool is_blas;
    vl_pool *pool;
    size_t rows_block, row_blocks;
    size_t panels_run, panel_runs;
} job;

/* The tile of one task: rows_block x VL_PANEL, behind the quantised rows. */
typedef struct scratch {
    int8_t q[Q_BYTES];
    float scale[ROWS_BLOCK];
    int32_t sum[ROWS_BLOCK];
    union {
        float f[ROWS_BLOCK * VL_PANEL];
        int32_t i[ROWS_BLOCK * VL_PANEL];
    } tile;
} scratch;

_Static_assert(sizeof(scratch) <= VL_SCRATCH_BYTES, "scratch of a task fits");
_Static_assert(Q_BYTES / VL_LINEAR_IN_MAX >= 6, "one row of tiles fits");

static void run_panel(const job *j, size_t panel, size_t row0, size_t rows, scratch *s)
{
    const vl_linear *l = j->linear;
    const vl_linear_args *a = j->args;
    size_t column = panel * VL_PANEL;
    if (l->is_int8) {
        j->kernels->gemm_s8(s->q, l->in_padded, rows,
                            l->q + panel * l->in_padded * VL_PANEL, l->in_padded / 4,
                            s->tile.i);
        j->kernels->dequantize(s->tile.i, rows, s->scale, s->sum, l->scale + column,
                               s->tile.f);
    } else {
        const float *x = a->x + row0 * a->x_stride;
        const float *w = l->w + panel * l->in * VL_PANEL;
        if (j->is_blas)
            vl_blas_gemm(x, a->x_stride, rows, w, l->in, s->tile.f);
        else
            j->kernels->gemm_f32(x, a->x_stride, rows, w, l->in, s->tile.f, false);
    }
    size_t cols = l->out - column;
    j->kernels->finish(&(vl_finish){
        .tile = s->tile.f,
        .rows = rows,
        .cols = cols < VL_PANEL ? cols : VL_PANEL,
        .bias = l->bias + column,
        .act = a->act,
        .is_added = a->is_added,
        .y = a->y + row0 * a->y_stride + column,
        .y_stride = a->y_stride,
    });
}

static void run_block(const job *j, size_t i, uint32_t slot)
{
    const vl_linear *l = j->linear;
    scratch *s = vl_pool_scratch(j->pool, slot);
    size_t row0 = i / j->panel_runs * j->rows_block;
    size_t rows = j->args->rows - row0;
    rows = rows < j->rows_block ? rows : j->rows_block;
    if (l->is_int8)
        for (size_t r = 0; r < rows; r++)
            s->scale[r] =
                j->kernels->quantize(j->args->x + (row0 + r) * j->args->x_stride, l->in,
                                     l->in_padded, s->q + r * l->in_padded, &s->sum[r]);
    size_t first = i % j->panel_runs * j->panels_run;
    size_t end = first + j->panels_run < l->panels ? first + j->panels_run : l->panels;
    for (size_t panel = first; panel < end; panel++)
        run_panel(j, panel, row0, rows, s);
}

static void run_task(void *arg, size_t i, uint32_t slot)
{
    run_block(arg, i, slot);
}

/* Row blocks first; with too few of them for the pool, runs of panels as well.  `runs`
 * is how many tasks there should be at least. */
static void plan(job *j, size_t runs)
{
    const vl_linear *l = j->linear;
    size_t rows = j->args->rows;
    size_t fitting = Q_BYTES / l->in_padded / 6 * 6;
    j->rows_block = fitting < ROWS_BLOCK ? fitting : ROWS_BLOCK;
    j->row_blocks = (rows + j->rows_block - 1) / j->rows_block;
    size_t rows_task = rows < j->rows_block ? rows : j->rows_block;
    size_t wanted = (runs + j->row_blocks - 1) / j->row_blocks;
    j->panels_run = (l->panels + wanted - 1) / wanted;
    size_t products = rows_task * l->in * VL_PANEL; /* of one panel */
    size_t least = (TASK_PRODUCTS + products - 1) / products;
    if (j->panels_run < least)
        j->panels_run = least < l->panels ? least : l->panels;
    j->panel_runs = (l->panels + j->panels_run - 1) / j->panels_run;
}

static job job_of(vl_pool *pool, const vl_linear *linear, const vl_linear_args *args)
{
    assert(args->x_stride >= linear->in || args->rows <= 1);
    assert(args->y_stride >= linear->out || args->rows <= 1);
    job j = {
        .kernels = vl_kernels_get(),
        .linear = linear,
        .args = args,
        .pool = pool,
    };
    /* The vector tables are as fast as OpenBLAS on panels; it serves the others. */
    j.is_blas = !linear->is_int8 && args->rows >= BLAS_ROWS_MIN &&
                args->x_stride <= INT32_MAX && j.kernels == &vl_kernels_scalar &&
                vl_blas_open();
    return j;
}

void vl_linear_apply(vl_pool *pool, const vl_linear *linear, const vl_linear_args *args)
{
    if (args->rows == 0)
        return;
    job j = job_of(pool, linear, args);
    size_t threads = vl_pool_threads(pool);
    plan(&j, threads == 1 ? 1 : 4 * threads);
    vl_pool_run(pool, j.row_blocks * j.panel_runs, run_task, &j);
}

typedef struct bundle {
    job jobs[BUNDLE_JOBS];
    size_t first[BUNDLE_JOBS + 1]; /* task of each job */
    size_t count;
} bundle;

static void run_bundle_task(void *arg, size_t i, uint32_t slot)
{
    const bundle *b = arg;
    size_t low = 0, high = b->count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (b->first[middle] <= i)
            low = middle;
        else
            high = middle;
    }
    run_block(&b->jobs[low], i - b->first[low], slot);
}

void vl_linear_apply_all(vl_pool *pool, const vl_linear_job *jobs, size_t count)
{
    size_t threads = vl_pool_threads(pool);
    for (size_t done = 0; done < count;) {
        bundle b = { .count = 0 };
        size_t together = count - done < BUNDLE_JOBS ? count - done : BUNDLE_JOBS;
        for (; done < count && b.count < BUNDLE_JOBS; done++) {
            if (jobs[done].args.rows == 0)
                continue;
            job *j = &b.jobs[b.count++];
            *j = job_of(pool, jobs[done].linear, &jobs[done].args);
            plan(j, threads == 1 ? 1 : (8 * threads + together - 1) / together);
            b.first[b.count] = b.first[b.count - 1] + j->row_blocks * j->panel_runs;
        }
        vl_pool_run(pool, b.first[b.count], run_bundle_task, &b);
    }
}

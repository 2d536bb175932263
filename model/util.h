/*
 * util.h - small helpers of model/: checked sizes, little-endian reads, half floats.
 */
#ifndef VL_UTIL_H
#define VL_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

static inline bool vl_mul(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool vl_add(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* `count` floats on a cache line; NULL when the size overflows or memory is out. */
static inline float *vl_floats_new(size_t count)
{
    size_t bytes;
    if (!vl_mul(count, sizeof(float), &bytes) || !vl_add(bytes, 63, &bytes))
        return NULL;
    return aligned_alloc(64, (bytes & ~(size_t)63) + 64);
}

static inline float vl_half_get(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t exponent = (half >> 10) & 31, mantissa = half & 0x3ff, bits;
    float value;
    if (exponent == 0) {
        value = (float)mantissa * 0x1p-24f;
        return sign != 0 ? -value : value;
    }
    bits = exponent == 31 ? sign | 0x7f800000u | mantissa << 13
                          : sign | (exponent + 112) << 23 | mantissa << 13;
    memcpy(&value, &bits, 4);
    return value;
}

static inline float vl_bfloat_get(uint16_t bfloat)
{
    uint32_t bits = (uint32_t)bfloat << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static inline size_t vl_dtype_bytes(vl_dtype dtype)
{
    return dtype == VL_F32 ? 4 : dtype == VL_I8 ? 1 : 2;
}

/* Element i of packed little-endian numbers at any alignment. */
static inline float vl_number_get(const void *data, vl_dtype dtype, size_t i)
{
    const uint8_t *p = (const uint8_t *)data + i * vl_dtype_bytes(dtype);
    uint16_t half;
    float value;
    if (dtype == VL_F32) {
        memcpy(&value, p, 4);
        return value;
    }
    if (dtype == VL_I8)
        return (float)(int8_t)*p;
    memcpy(&half, p, 2);
    return dtype == VL_F16 ? vl_half_get(half) : vl_bfloat_get(half);
}

#endif

/*
 * sha256.h - SHA-256 (FIPS 180-4), to name a model by its contents.
 */
#ifndef VL_SHA256_H
#define VL_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct vl_sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
    void (*blocks)(uint32_t state[8], const uint8_t *p, size_t count);
} vl_sha256;

void vl_sha256_init(vl_sha256 *sha);
void vl_sha256_add(vl_sha256 *sha, const void *data, size_t bytes);
/* Finish; 64 lower-case hexadecimal digits and a zero. */
void vl_sha256_hex(vl_sha256 *sha, char hex[65]);

/* ---- for sha256.c, sha256_x86.c and tests ---- */

extern const uint32_t vl_sha256_constants[64];
void vl_sha256_blocks_scalar(uint32_t state[8], const uint8_t *p, size_t count);
bool vl_sha256_has_instructions(void);
void vl_sha256_blocks_x86(uint32_t state[8], const uint8_t *p, size_t count);

#endif

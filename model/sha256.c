/*
 * sha256.c - SHA-256 after FIPS 180-4: a model is hashed once per open.  Plain C is the
 * definition; sha256_x86.c takes the blocks where the processor has instructions for it.
 */
#include "sha256.h"

#include <assert.h>
#include <string.h>

const uint32_t vl_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4,
    0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe,
    0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f,
    0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7,
    0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc,
    0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116,
    0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
};

static uint32_t turn(uint32_t x, unsigned bits)
{
    return x >> bits | x << (32 - bits);
}

/* The roles of the eight words move on by one with every round; eight rounds in a row, named
 * in turn, bring each back to its place, and none is moved. */
static inline void add_round(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e,
                             uint32_t f, uint32_t g, uint32_t *h, uint32_t added)
{
    uint32_t one = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
    uint32_t choice = g ^ (e & (f ^ g));
    uint32_t t = *h + one + choice + added;
    uint32_t zero = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
    uint32_t major = (a & b) | (c & (a | b));
    *d += t;
    *h = t + zero + major;
}

static void add_block(uint32_t state[8], const uint8_t *p)
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4],
             f = state[5], g = state[6], h = state[7];
    for (unsigned i = 0; i < 16; i++, p += 4)
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    for (unsigned i = 16; i < 64; i++) {
        uint32_t x = w[i - 15], y = w[i - 2];
        w[i] = w[i - 16] + (turn(x, 7) ^ turn(x, 18) ^ x >> 3) + w[i - 7] +
               (turn(y, 17) ^ turn(y, 19) ^ y >> 10);
    }
    for (unsigned i = 0; i < 64; i += 8) {
        const uint32_t *k = vl_sha256_constants + i;
        add_round(a, b, c, &d, e, f, g, &h, k[0] + w[i]);
        add_round(h, a, b, &c, d, e, f, &g, k[1] + w[i + 1]);
        add_round(g, h, a, &b, c, d, e, &f, k[2] + w[i + 2]);
        add_round(f, g, h, &a, b, c, d, &e, k[3] + w[i + 3]);
        add_round(e, f, g, &h, a, b, c, &d, k[4] + w[i + 4]);
        add_round(d, e, f, &g, h, a, b, &c, k[5] + w[i + 5]);
        add_round(c, d, e, &f, g, h, a, &b, k[6] + w[i + 6]);
        add_round(b, c, d, &e, f, g, h, &a, k[7] + w[i + 7]);
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

void vl_sha256_blocks_scalar(uint32_t state[8], const uint8_t *p, size_t count)
{
    for (; count > 0; count--, p += 64)
        add_block(state, p);
}

void vl_sha256_init(vl_sha256 *sha)
{
    *sha = (vl_sha256){ .state = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 },
                        .blocks = vl_sha256_blocks_scalar };
#if VL_HAS_SIMD
    if (vl_sha256_has_instructions())
        sha->blocks = vl_sha256_blocks_x86;
#endif
}

void vl_sha256_add(vl_sha256 *sha, const void *data, size_t bytes)
{
    const uint8_t *p = data;
    while (bytes > 0) {
        size_t at = sha->bytes % 64, part = 64 - at < bytes ? 64 - at : bytes;
        if (part == 64) {
            part = bytes / 64 * 64;
            sha->blocks(sha->state, p, part / 64);
        } else {
            memcpy(sha->block + at, p, part);
            if (at + part == 64)
                sha->blocks(sha->state, sha->block, 1);
        }
        sha->bytes += part;
        p += part;
        bytes -= part;
    }
}

void vl_sha256_hex(vl_sha256 *sha, char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = sha->bytes * 8;
    uint8_t length[8];
    vl_sha256_add(sha, "\x80", 1);
    while (sha->bytes % 64 != 56)
        vl_sha256_add(sha, "", 1);
    for (unsigned i = 0; i < 8; i++)
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    vl_sha256_add(sha, length, 8);
    assert(sha->bytes % 64 == 0);
    for (unsigned i = 0; i < 64; i++)
        hex[i] = digits[sha->state[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = '\0';
}

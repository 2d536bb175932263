/*
 * sha256_x86.c - the blocks of SHA-256 with the SHA extensions of x86-64: four rounds and
 * four words of the schedule for each step.
 */
#include "sha256.h"

#include <cpuid.h>
#include <immintrin.h>

bool vl_sha256_has_instructions(void)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (b >> 29 & 1) != 0 &&
           __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 19 & 1) != 0; /* SSE4.1 */
}

static __m128i load_words(const uint8_t *p)
{
    const __m128i big_endian =
        _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)p),
                            big_endian);
}

/* w[i % 4] holds words 4 (i - 4) to 4 (i - 4) + 3 before, words 4 i and on behind. */
static __m128i next_words(const __m128i w[4], unsigned i)
{
    __m128i x = _mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]);
    x = _mm_add_epi32(x, _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4));
    return _mm_sha256msg2_epu32(x, w[(i + 3) % 4]);
}

void vl_sha256_blocks_x86(uint32_t s[8], const uint8_t *p, size_t count)
{
    /* The instructions want a, b, e, f and c, d, g, h together, the first one on top. */
    __m128i abef = _mm_set_epi32((int)s[0], (int)s[1], (int)s[4], (int)s[5]);
    __m128i cdgh = _mm_set_epi32((int)s[2], (int)s[3], (int)s[6], (int)s[7]);
    for (; count > 0; count--, p += 64) {
        __m128i w[4], abef_before = abef, cdgh_before = cdgh;
#pragma GCC unroll 16
        for (unsigned i = 0; i < 16; i++) {
            w[i % 4] = i < 4 ? load_words(p + 16 * i) : next_words(w, i);
            __m128i k = _mm_loadu_si128(
                (const __m128i *)(const void *)(vl_sha256_constants + 4 * i));
            k = _mm_add_epi32(k, w[i % 4]);
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, k);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(k, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    s[0] = (uint32_t)_mm_extract_epi32(abef, 3);
    s[1] = (uint32_t)_mm_extract_epi32(abef, 2);
    s[2] = (uint32_t)_mm_extract_epi32(cdgh, 3);
    s[3] = (uint32_t)_mm_extract_epi32(cdgh, 2);
    s[4] = (uint32_t)_mm_extract_epi32(abef, 1);
    s[5] = (uint32_t)_mm_extract_epi32(abef, 0);
    s[6] = (uint32_t)_mm_extract_epi32(cdgh, 1);
    s[7] = (uint32_t)_mm_extract_epi32(cdgh, 0);
}

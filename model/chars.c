/*
 * chars.c - UTF-8 and Unicode classes; the tables are made by unicode_tables.py.
 */
#include "chars.h"

#include <assert.h>
#include <stdbool.h>

#include "unicode_tables.inc"

static bool in_ranges(const uint32_t (*ranges)[2], size_t count, uint32_t code)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > ranges[middle][1])
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= ranges[low][0];
}

#define IN(ranges, code) in_ranges(ranges, sizeof(ranges) / sizeof *(ranges), code)

size_t vl_char_decode(const uint8_t *p, const uint8_t *end, uint32_t *code)
{
    assert(p < end);
    size_t left = (size_t)(end - p);
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    *code = VL_CHAR_NONE;
    if (n == 0 || n > left)
        return 1;
    uint32_t value = n == 1 ? p[0] : p[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 1;
        value = value << 6 | (p[i] & 63u);
    }
    if ((n == 3 && value < 0x800) || (n == 4 && value < 0x10000) || value > 0x10ffff ||
        (value >= 0xd800 && value < 0xe000))
        return 1;
    *code = value;
    return n;
}

size_t vl_char_bytes_before(const uint8_t *start, const uint8_t *p)
{
    uint32_t code;
    assert(p > start);
    /* No sequence takes in another one's first byte, so the place where this one may
     * start is the nearest byte that continues nothing. */
    for (size_t n = 1; n <= 4 && n <= (size_t)(p - start); n++)
        if ((p[-(ptrdiff_t)n] & 0xc0) != 0x80)
            return vl_char_decode(p - n, p, &code) == n ? n : 1;
    return 1;
}

unsigned vl_char_classes(uint32_t code)
{
    /* One class at most but for white space, which is of no letter's category here. */
    if (IN(unicode_letters, code))
        return VL_CHAR_LETTER;
    if (IN(unicode_spaces, code))
        return VL_CHAR_SPACE;
    if (IN(unicode_numbers, code))
        return VL_CHAR_NUMBER;
    if (IN(unicode_punctuation, code))
        return VL_CHAR_PUNCTUATION;
    if (IN(unicode_symbols, code))
        return VL_CHAR_SYMBOL;
    return IN(unicode_marks, code) ? VL_CHAR_MARK : 0;
}

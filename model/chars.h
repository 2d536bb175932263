/*
 * chars.h - characters of UTF-8 text and their Unicode classes.
 */
#ifndef VL_CHARS_H
#define VL_CHARS_H

#include <stddef.h>
#include <stdint.h>

#define VL_CHAR_NONE UINT32_MAX /* a byte that is no UTF-8 stands for itself */

/* General categories by their first letter, and the property White_Space. */
enum {
    VL_CHAR_LETTER = 1,
    VL_CHAR_NUMBER = 2,
    VL_CHAR_SPACE = 4,
    VL_CHAR_PUNCTUATION = 8,
    VL_CHAR_SYMBOL = 16,
    VL_CHAR_MARK = 32,
};

/* The character at p < end; returns its bytes (1 to 4). */
size_t vl_char_decode(const uint8_t *p, const uint8_t *end, uint32_t *code);
/* Bytes of the character that ends at p > start. */
size_t vl_char_bytes_before(const uint8_t *start, const uint8_t *p);
unsigned vl_char_classes(uint32_t code);

#endif

/*
 * spell.h - characters that look alike, told apart by what stands around them.
 */
#ifndef VL_SPELL_H
#define VL_SPELL_H

#include <stdbool.h>

#include "vl.h"

/* Mend the `count` words of a page; a word's characters are chars[members[char_first]] ..
 * A character only becomes one of those that it looks like, or that the head named beside
 * it.  False when memory is out. */
bool vl_spell(vl_char *chars, const uint32_t *members, const vl_word *words,
              size_t count);

#endif

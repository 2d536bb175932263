/*
 * utf8.c - the bytes of a JSON string, one at a time: raw UTF-8, the short escapes, and
 * \u00xx for control characters only, so that every character has few spellings.
 */
#include "grammar.h"

#include <string.h>

enum { PHASE_ESCAPE = 0x100, PHASE_HEX = 0x200 }; /* below: continuation bytes to come */

gboolean dx_char_is_escaped(uint32_t code)
{
    return code >= 1 && code < 0x20 && code != '\b' && code != '\f' && code != '\n' &&
           code != '\r' && code != '\t';
}

uint32_t dx_char_escape(uint8_t byte, char out[6])
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i + 1 < sizeof names; i += 2) {
        if ((uint8_t)names[i] == byte) {
            out[0] = '\\';
            out[1] = names[i + 1];
            return 2;
        }
    }
    if (byte >= 0x20) {
        out[0] = (char)byte;
        return 1;
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[byte >> 4];
    out[5] = hex[byte & 15];
    return 6;
}

static dx_char_step done(dx_char_state *s, uint32_t code, uint32_t *lo, uint32_t *hi)
{
    *s = (dx_char_state){ 0 };
    *lo = *hi = code;
    return DX_CHAR_DONE;
}

/* After n of the four digits of \u: "0", "0", "0" or "1", any. */
static dx_char_step take_hex(dx_char_state *s, uint8_t byte, uint32_t *lo, uint32_t *hi)
{
    uint32_t n = s->phase & 3;
    uint32_t digit = byte >= '0' && byte <= '9'   ? byte - (uint32_t)'0'
                     : byte >= 'a' && byte <= 'f' ? byte - (uint32_t)'a' + 10u
                                                  : 16u;
    if (digit > 15 || (n < 2 && digit != 0) || (n == 2 && digit > 1))
        return DX_CHAR_NO;
    s->code = s->code * 16 + digit;
    if (n == 3) {
        if (!dx_char_is_escaped(s->code))
            return DX_CHAR_NO;
        return done(s, s->code, lo, hi);
    }
    s->phase++;
    *lo = n == 2 ? s->code * 16 : 0;
    *hi = n == 2 ? s->code * 16 + 15 : 0x1f;
    return DX_CHAR_MORE;
}

static dx_char_step take_escape(dx_char_state *s, uint8_t byte, uint32_t *lo,
                                uint32_t *hi)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = byte == 0 ? NULL : strchr(from, byte);
    if (at != NULL)
        return done(s, (uint8_t)to[at - from], lo, hi);
    if (byte != 'u')
        return DX_CHAR_NO;
    s->phase = PHASE_HEX;
    *lo = 0;
    *hi = 0x1f;
    return DX_CHAR_MORE;
}

/* The lead byte says how many follow; kept in phase as remaining | total << 4. */
static dx_char_step take_utf8(dx_char_state *s, uint8_t byte, uint32_t *lo, uint32_t *hi)
{
    uint32_t left = s->phase & 15, total = s->phase >> 4;
    if (s->phase == 0) {
        total = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
        if (byte < 0xc2 || byte > 0xf4)
            return DX_CHAR_NO;
        left = total;
        s->code = byte & (0x3fu >> total);
    } else {
        if ((byte & 0xc0) != 0x80)
            return DX_CHAR_NO;
        s->code = s->code << 6 | (byte & 0x3f);
        left--;
    }
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    *lo = s->code << (6 * left);
    *hi = *lo + (1u << (6 * left)) - 1;
    *lo = MAX(*lo, least[total]);
    *hi = MIN(*hi, 0x10ffffu);
    if (*lo > *hi || (*lo >= 0xd800 && *hi <= 0xdfff))
        return DX_CHAR_NO;
    if (left == 0)
        return done(s, s->code, lo, hi);
    s->phase = left | total << 4;
    return DX_CHAR_MORE;
}

dx_char_step dx_char_take(dx_char_state *s, uint8_t byte, uint32_t *lo, uint32_t *hi)
{
    if (s->phase >= PHASE_HEX)
        return take_hex(s, byte, lo, hi);
    if (s->phase == PHASE_ESCAPE)
        return take_escape(s, byte, lo, hi);
    if (s->phase != 0 || byte >= 0x80)
        return take_utf8(s, byte, lo, hi);
    if (byte == '\\') {
        s->phase = PHASE_ESCAPE;
        *lo = 0;
        *hi = 0x5c;
        return DX_CHAR_MORE;
    }
    if (byte < 0x20 || byte == '"')
        return DX_CHAR_NO;
    return done(s, byte, lo, hi);
}

/*
 * spell.c - characters that look alike, told apart by what stands around them.
 *
 * The text head sees one character at a time: to it 0 and O, 1 and l and I are nearly the
 * same, and it gives the second of them a share of its probability.  A run of letters and
 * digits says more.  Among digits a look-alike letter is a digit, inside a word a
 * look-alike digit is a letter; at the ends of a run, where codes have their letters, the
 * head must have doubted.  A word that the page has elsewhere, surely read, is the same
 * word; an accent that was doubted, on a page without any, is a speck.
 */
#include "spell.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "chars.h"

#define DOUBT_LEAST   0.02f /* probability of the other character: the head doubted */
#define DOUBT_MORE    0.12f /* it doubted much */
#define NEVER         2.0f
#define LETTER_SHARE  0.4f /* of its probability that a letter beside a digit has */
#define ROUND_SHARE   0.5f
#define SURE          0.9f
#define LETTERS_LEAST 4u   /* of a word whose digits are letters without any doubt */
#define TWIN_SHARE    0.3f /* of its probability that the other character has */
#define TWIN_LEAST    5u   /* letters of a word that is looked for elsewhere */
#define TWIN_MOST     32u
#define ACCENT_SHARE  0.5f

/* A word's characters, one after the other. */
typedef struct word {
    vl_char *chars;
    const uint32_t *members;
    size_t count;
} word;

static vl_char *at(const word *w, size_t i)
{
    return &w->chars[w->members[i]];
}

static bool is_digit(uint32_t code)
{
    return code >= '0' && code <= '9';
}

static bool is_letter(uint32_t code)
{
    return (vl_char_classes(code) & VL_CHAR_LETTER) != 0;
}

static bool is_capital(uint32_t code)
{
    return code >= 'A' && code <= 'Z';
}

static bool is_in(const char *list, uint32_t code)
{
    return code != 0 && code < 128 && strchr(list, (int)code) != NULL;
}

static float doubt(const vl_char *c, uint32_t code)
{
    for (unsigned k = 0; k < 2; k++)
        if (c->other[k] == code)
            return c->other_prob[k];
    return 0;
}

/* Become `code`; what it was stays as the other reading. */
static void become(vl_char *c, uint32_t code)
{
    float prob = doubt(c, code);
    unsigned k = c->other[0] == code ? 0 : 1;
    c->other[k] = c->code;
    c->other_prob[k] = c->prob;
    c->code = code;
    c->prob = prob > c->prob ? prob : c->prob;
}

/* ---- digits ---- */

static const struct {
    char digit;
    const char *letters;
} alike[] = { { '0', "OoDQ" }, { '1', "lIi|" }, { '5', "Ss" },
              { '8', "B" },    { '2', "Zz" },   { '6', "Gb" } };

/* The digit that a character may be, 0 for none. */
static uint32_t digit_of(const vl_char *c)
{
    for (size_t i = 0; i < sizeof alike / sizeof *alike; i++)
        if (is_in(alike[i].letters, c->code))
            return (uint32_t)alike[i].digit;
    return 0;
}

/* How little doubt is enough for a letter among digits: codes end with letters, and begin
 * with an I, but hardly with an O. */
static float digit_needs(const vl_char *c, bool is_first, bool is_last)
{
    bool is_end = is_first || is_last;
    if (is_in("Oo", c->code))
        return is_end ? DOUBT_LEAST : 0;
    if (is_in("lI|", c->code))
        return c->code == 'I' && is_first ? NEVER : is_end ? DOUBT_MORE : 0;
    return is_end && c->code != 'D' && c->code != 'Q' ? NEVER : DOUBT_MORE;
}

/* [first, end) of digits and letters that may all be digits: make them so. */
static bool mend_number(const word *w, size_t first, size_t end)
{
    /* "05/O6": a figure beside it in the same word is enough for an end */
    bool is_joined = (first > 1 && is_digit(at(w, first - 2)->code) &&
                      is_in("/.,:-", at(w, first - 1)->code)) ||
                     (end + 1 < w->count && is_digit(at(w, end + 1)->code) &&
                      is_in("/.,:", at(w, end)->code));
    size_t digits = 0;
    for (size_t i = first; i < end; i++)
        digits += is_digit(at(w, i)->code);
    if ((digits == 0 && !is_joined) || digits == end - first)
        return false;
    for (size_t i = first; i < end; i++) {
        const vl_char *c = at(w, i);
        uint32_t digit = digit_of(c);
        bool is_inside = is_joined && is_in("OolI|", c->code);
        float needs = digits == 0 ? DOUBT_MORE
                                  : digit_needs(c, i == first && !is_inside,
                                                i + 1 == end && !is_inside);
        if (!is_digit(c->code) && (digit == 0 || doubt(c, digit) < needs))
            return false;
    }
    for (size_t i = first; i < end; i++)
        if (!is_digit(at(w, i)->code))
            become(at(w, i), digit_of(at(w, i)));
    return true;
}

/* ---- letters ---- */

/* The letter that a digit may be between two letters; 0 for none. */
static uint32_t letter_of(const vl_char *c, bool is_large, bool is_word)
{
    float share = is_in("01", c->code) ? 0 : LETTER_SHARE * c->prob;
    for (unsigned k = 0; k < 2; k++)
        if (is_letter(c->other[k]) && c->other_prob[k] >= DOUBT_LEAST &&
            c->other_prob[k] >= share)
            return c->other[k];
    if (is_word && c->code == '0')
        return is_large ? 'O' : 'o';
    if (is_word && c->code == '1')
        return is_large ? 'I' : 'l';
    return 0;
}

/* Digits between letters of a word. */
static void mend_letters(const word *w, size_t first, size_t end)
{
    size_t letters = 0, digits = 0;
    for (size_t i = first; i < end; i++) {
        letters += is_letter(at(w, i)->code);
        digits += is_digit(at(w, i)->code);
    }
    if (digits != 1 || letters < 3) /* more are a code */
        return;
    for (size_t i = first + 1; i + 1 < end; i++) {
        vl_char *c = at(w, i);
        if (!is_digit(c->code))
            continue;
        bool is_large = is_capital(at(w, i - 1)->code) && is_capital(at(w, i + 1)->code);
        uint32_t letter = letter_of(c, is_large, letters >= LETTERS_LEAST);
        if (letter != 0)
            become(c, letter);
    }
}

/* "TO3": an O beside a digit is as likely a 0. */
static void mend_round(const word *w, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        vl_char *c = at(w, i);
        bool is_beside = (i > first && is_digit(at(w, i - 1)->code)) ||
                         (i + 1 < end && is_digit(at(w, i + 1)->code));
        if (c->code == 'O' && is_beside && doubt(c, '0') >= ROUND_SHARE * c->prob)
            become(c, '0');
    }
}

/* "Nol", "No.i": the number of a house. */
static void mend_house(const word *w, size_t first, size_t end)
{
    bool is_glued = end - first == 3;
    size_t from = is_glued ? first : first - 3;
    if (!is_glued &&
        (end - first != 1 || first < 3 || !is_in(".:", at(w, first - 1)->code)))
        return;
    if (!is_in("Nn", at(w, from)->code) || !is_in("oOrR", at(w, from + 1)->code) ||
        (from > 0 && is_letter(at(w, from - 1)->code)))
        return;
    vl_char *c = at(w, end - 1);
    if (is_in("lIi", c->code) && doubt(c, '1') >= (is_glued ? DOUBT_MORE : DOUBT_LEAST))
        become(c, '1');
}

static void mend_runs(const word *w)
{
    for (size_t first = 0; first < w->count;) {
        size_t end = first;
        while (end < w->count && (is_digit(at(w, end)->code) ||
                                  is_letter(at(w, end)->code) || at(w, end)->code == '|'))
            end++;
        if (end > first) {
            if (!mend_number(w, first, end)) {
                mend_letters(w, first, end);
                mend_round(w, first, end);
                mend_house(w, first, end);
            }
            first = end;
        } else {
            first++;
        }
    }
}

/* ---- words that the page has twice ---- */

typedef struct twin {
    uint64_t hash;
    bool is_sure;
} twin;

/* FNV-1a over the letters of a word, in capitals; 0 when they are too few or it holds
 * something else inside. */
static uint64_t hash_letters(const word *w, size_t instead, uint32_t code, bool *is_sure)
{
    size_t first = 0, end = w->count;
    while (first < end && !is_letter(at(w, first)->code))
        first++;
    while (end > first && !is_letter(at(w, end - 1)->code))
        end--;
    *is_sure = true;
    if (end - first < TWIN_LEAST || end - first > TWIN_MOST)
        return 0;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = first; i < end; i++) {
        const vl_char *c = at(w, i);
        uint32_t one = i == instead ? code : c->code;
        if (!is_letter(one))
            return 0;
        if (c->prob < SURE || c->other_prob[0] > TWIN_SHARE * c->prob)
            *is_sure = false;
        one -= one >= 'a' && one <= 'z' ? 'a' - 'A' : 0;
        hash = (hash ^ one) * 0x100000001b3u;
    }
    return hash;
}

static int compare_twins(const void *a, const void *b)
{
    const twin *x = a, *y = b;
    return (x->hash > y->hash) - (x->hash < y->hash);
}

static bool is_known(const twin *twins, size_t count, uint64_t hash)
{
    twin wanted = { .hash = hash };
    return hash != 0 && bsearch(&wanted, twins, count, sizeof *twins, compare_twins);
}

/* A word with a doubted letter that is elsewhere on the page with the other one. */
static void mend_twin(const word *w, const twin *twins, size_t count)
{
    bool is_sure;
    uint64_t own = hash_letters(w, SIZE_MAX, 0, &is_sure);
    if (own == 0 || is_sure || is_known(twins, count, own))
        return;
    for (size_t i = 0; i < w->count; i++) {
        vl_char *c = at(w, i);
        for (unsigned k = 0; k < 2; k++) {
            if (c->other[k] == 0 || c->other_prob[k] < TWIN_SHARE * c->prob ||
                !is_letter(c->code) || !is_letter(c->other[k]))
                continue;
            bool ignored;
            if (is_known(twins, count, hash_letters(w, i, c->other[k], &ignored))) {
                become(c, c->other[k]);
                return;
            }
        }
    }
}

/* ---- accents ---- */

/* The letter without its accent, U+00C0 .. U+017F; '.' where there is none. */
static const char plain[] =
    "AAAAAA.CEEEEIIII.NOOOOO..UUUUY..aaaaaa.ceeeeiiii.nooooo..uuuuy.y"
    "AaAaAaCcCcCcCcDd..EeEeEeEeEeGgGgGgGgHh..IiIiIiIiI...JjKk.LlLlLl."
    "...NnNnNn...OoOoOo..RrRrRrSsSsSsSsTtTt..UuUuUuUuUuUuWwYyYZzZzZz.";

static uint32_t plain_of(uint32_t code)
{
    if (code < 0xc0 || code >= 0xc0 + sizeof plain - 1 || plain[code - 0xc0] == '.')
        return 0;
    return (uint32_t)plain[code - 0xc0];
}

static void mend_accents(const word *w)
{
    for (size_t i = 0; i < w->count; i++) {
        vl_char *c = at(w, i);
        uint32_t letter = plain_of(c->code);
        if (letter != 0 && doubt(c, letter) >= ACCENT_SHARE * c->prob)
            become(c, letter);
    }
}

/* ---- a page ---- */

bool vl_spell(vl_char *chars, const uint32_t *members, const vl_word *words, size_t count)
{
    twin *twins = malloc((count + 1) * sizeof *twins);
    size_t known = 0, accents = 0;
    if (twins == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        word w = { chars, members + words[i].char_first, words[i].char_count };
        mend_runs(&w);
        twin one = { 0 };
        one.hash = hash_letters(&w, SIZE_MAX, 0, &one.is_sure);
        if (one.hash != 0 && one.is_sure)
            twins[known++] = one;
        for (size_t k = 0; k < w.count; k++)
            accents += plain_of(at(&w, k)->code) != 0 && at(&w, k)->prob >= SURE;
    }
    qsort(twins, known, sizeof *twins, compare_twins);
    for (size_t i = 0; i < count; i++) {
        word w = { chars, members + words[i].char_first, words[i].char_count };
        mend_twin(&w, twins, known);
        if (accents == 0)
            mend_accents(&w);
    }
    free(twins);
    return true;
}

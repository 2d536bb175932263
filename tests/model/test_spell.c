/*
 * test_spell.c - look-alikes in their context.
 *
 * A word is written as the head read it; behind a tilde stands what else the character
 * before it may be, with a tenth of the digit that follows as its probability: "46OOD~02".
 */
#include <glib.h>

#include "spell.h"

#define SURENESS 0.7f

static char *spell(const char *text)
{
    vl_char chars[200] = { 0 };
    uint32_t members[200];
    vl_word words[40] = { 0 };
    size_t count = 0, word_count = 0;
    g_auto(GStrv) parts = g_strsplit(text, " ", -1);
    for (char **part = parts; *part != NULL; part++) {
        vl_word *w = &words[word_count++];
        w->char_first = (uint32_t)count;
        for (const char *c = *part; *c != '\0'; c = g_utf8_next_char(c)) {
            vl_char *one = &chars[count];
            members[count] = (uint32_t)count;
            count++;
            *one = (vl_char){ .code = g_utf8_get_char(c), .prob = 0.99f };
            const char *next = g_utf8_next_char(c);
            if (*next == '~') {
                c = g_utf8_next_char(next);
                one->prob = SURENESS;
                one->other[0] = g_utf8_get_char(c);
                c = g_utf8_next_char(c);
                one->other_prob[0] = 0.1f * (float)g_ascii_digit_value(*c);
            }
        }
        w->char_count = (uint32_t)count - w->char_first;
    }
    g_assert_true(vl_spell(chars, members, words, word_count));
    GString *out = g_string_new(NULL);
    for (size_t i = 0; i < word_count; i++) {
        if (i > 0)
            g_string_append_c(out, ' ');
        for (uint32_t k = 0; k < words[i].char_count; k++)
            g_string_append_unichar(out, chars[words[i].char_first + k].code);
    }
    return g_string_free(out, FALSE);
}

static void expect(const char *text, const char *wanted)
{
    g_autofree char *got = spell(text);
    g_assert_cmpstr(got, ==, wanted);
}

static void test_numbers(void)
{
    expect("53OO0 4O0 1l2", "53000 400 112"); /* inside a number, without a doubt */
    expect("438O 438O~01", "438O 4380");      /* at its end the head must have doubted */
    expect("46OOD~02 46OOD", "46000 46OOD");  /* not a round letter for nothing */
    expect("O1/17 12.O6.2018", "01/17 12.06.2018"); /* joined to figures */
    expect("9S~51 9S~569", "9S 959");               /* a letter stays at an end */
    expect("I~130010", "I0010");                    /* invoice numbers begin with it */
}

static void test_codes(void)
{
    expect("15/4B~83 DE7O 4XO", "15/4B DE7O 4XO");
    expect("TO~043 SO2", "T03 SO2"); /* as likely a zero as an O, beside a digit */
    expect("PJU6~G2A", "PJU6A");
    expect("B2B A4 3D", "B2B A4 3D");
}

static void test_words(void)
{
    expect("C0FFEE Hea1th", "COFFEE Health");
    expect("TOTA1 2nd", "TOTA1 2nd"); /* ends are not known */
    expect("D8~S6COUNT", "DSCOUNT");
    expect("A0B", "A0B"); /* too short for a word */
}

static void test_houses(void)
{
    expect("Nol~14.Jalan Nol", "No1.Jalan Nol");
    expect("No.i~11 NO.I~11, Noi", "No.1 NO.1, Noi");
    expect("casinol~14", "casinol");
}

static void test_twins(void)
{
    expect("Tampol~i4 Tampoi,", "Tampoi Tampoi,");
    expect("Tampol Tampoi", "Tampol Tampoi");                  /* no doubt */
    expect("Tampol~i4 Tampo", "Tampol Tampo");                 /* not there */
    expect("Tampol~i4 TAMPOI Tampol", "Tampol TAMPOI Tampol"); /* both are */
    expect("cat~r4 car", "cat car");                           /* too short */
}

static void test_accents(void)
{
    expect("BÀ~A4IFU", "BAIFU");
    expect("BÀIFU", "BÀIFU");            /* no doubt */
    expect("BÀ~A4IFU für", "BÀIFU für"); /* the page has accents */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/spell/numbers", test_numbers);
    g_test_add_func("/spell/codes", test_codes);
    g_test_add_func("/spell/words", test_words);
    g_test_add_func("/spell/houses", test_houses);
    g_test_add_func("/spell/twins", test_twins);
    g_test_add_func("/spell/accents", test_accents);
    return g_test_run();
}

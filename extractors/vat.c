/*
 * vat.c - VAT identifiers of the European countries: form (V-1) and check digits (V-2).
 *
 * One row a country: the body as a pattern and a function for the check digit.  Pattern
 * letters: 9 digit, A letter, X either; anything else stands for itself.  Numbers whose
 * scheme is not public in full (persons in some countries, letter keys in France) pass
 * their form and are not judged further.
 */
#include "normalize.h"

#include <string.h>

static int digit(const char *s, unsigned i)
{
    return s[i] - '0';
}

static gboolean all_digits(const char *s, gsize n)
{
    for (gsize i = 0; i < n; i++)
        if (!g_ascii_isdigit(s[i]))
            return FALSE;
    return TRUE;
}

static int weighted(const char *s, const char *weights)
{
    int sum = 0; /* weights are letters: 'a' + weight, so that 10 and more fit */
    for (unsigned i = 0; weights[i] != 0; i++)
        sum += digit(s, i) * (weights[i] - 'a');
    return sum;
}

static gboolean luhn(const char *s, unsigned n)
{
    int sum = 0;
    for (unsigned i = 0; i < n; i++) {
        int d = digit(s, n - 1 - i) * (i % 2 + 1);
        sum += d > 9 ? d - 9 : d;
    }
    return sum % 10 == 0;
}

static gboolean mod11_10(const char *s, unsigned n)
{
    int p = 10;
    for (unsigned i = 0; i + 1 < n; i++) {
        int sum = (digit(s, i) + p) % 10;
        p = (sum == 0 ? 10 : sum) * 2 % 11;
    }
    return (p + digit(s, n - 1)) % 10 == 1;
}

static int64_t number(const char *s, unsigned n)
{
    int64_t value = 0;
    for (unsigned i = 0; i < n; i++)
        value = value * 10 + digit(s, i);
    return value;
}

static dx_verdict judged(gboolean passes)
{
    return passes ? DX_VERDICT_PASS : DX_VERDICT_CHECKSUM;
}

static dx_verdict check_at(const char *s)
{
    int sum = 0;
    for (unsigned i = 1; i < 8; i++) {
        int d = digit(s, i) * (i % 2 == 0 ? 2 : 1);
        sum += d / 10 + d % 10;
    }
    return judged((10 - (sum + 4) % 10) % 10 == digit(s, 8));
}

static dx_verdict check_be(const char *s)
{
    if (s[0] > '1')
        return DX_VERDICT_FORM;
    return judged((number(s, 8) + number(s + 8, 2)) % 97 == 0);
}

static dx_verdict check_bg(const char *s)
{
    if (strlen(s) == 10)
        return DX_VERDICT_SKIP;
    int sum = weighted(s, "bcdefghi") % 11;
    if (sum == 10)
        sum = weighted(s, "defghijk") % 11;
    return judged(sum % 10 == digit(s, 8));
}

static dx_verdict check_cy(const char *s)
{
    static const int odd[] = { 1, 0, 5, 7, 9, 13, 15, 17, 19, 21 };
    int sum = 0;
    for (unsigned i = 0; i < 8; i++)
        sum += i % 2 == 0 ? odd[digit(s, i)] : digit(s, i);
    if (s[0] == '1' && s[1] == '2')
        return DX_VERDICT_FORM;
    return judged(s[8] == 'A' + sum % 26);
}

static dx_verdict check_cz(const char *s)
{
    if (strlen(s) == 10)
        return judged(number(s, 9) % 11 % 10 == digit(s, 9));
    if (strlen(s) == 9)
        return DX_VERDICT_SKIP;
    if (s[0] == '9')
        return DX_VERDICT_FORM;
    int c = (11 - weighted(s, "ihgfedc") % 11) % 11;
    return judged((c == 0 ? 1 : c) % 10 == digit(s, 7));
}

static dx_verdict check_de(const char *s)
{
    return s[0] == '0' ? DX_VERDICT_FORM : judged(mod11_10(s, 9));
}

static dx_verdict check_dk(const char *s)
{
    return s[0] == '0' ? DX_VERDICT_FORM : judged(weighted(s, "chgfedcb") % 11 == 0);
}

static dx_verdict check_ee(const char *s)
{
    return judged(weighted(s, "dhbdhbdhb") % 10 == 0);
}

static dx_verdict check_el(const char *s)
{
    int sum = 0;
    for (unsigned i = 0; i < 8; i++)
        sum += digit(s, i) << (8 - i);
    return judged(sum % 11 % 10 == digit(s, 8));
}

static dx_verdict check_es(const char *s)
{
    static const char letters[] = "TRWAGMYFPDXBNJZSQVHLCKE";
    char eight[9] = { 0 };
    memcpy(eight, s, 8);
    if (g_ascii_isdigit(s[0]))
        return judged(s[8] == letters[number(s, 8) % 23]);
    if (s[0] >= 'X' && s[0] <= 'Z') {
        eight[0] = (char)('0' + (s[0] - 'X'));
        return judged(s[8] == letters[number(eight, 8) % 23]);
    }
    if (strchr("KLM", s[0]) != NULL)
        return judged(s[8] == letters[number(s + 1, 7) % 23]);
    if (strchr("ABCDEFGHJNPQRSUVW", s[0]) == NULL)
        return DX_VERDICT_FORM;
    int sum = 0;
    for (unsigned i = 1; i < 8; i++) {
        int d = digit(s, i) * (i % 2 == 1 ? 2 : 1);
        sum += d / 10 + d % 10;
    }
    int key = (10 - sum % 10) % 10;
    return judged(s[8] == '0' + key || s[8] == "JABCDEFGHI"[key]);
}

static dx_verdict check_fi(const char *s)
{
    return judged(weighted(s, "hjkfiecb") % 11 == 0);
}

static dx_verdict check_fr(const char *s)
{
    if (memcmp(s + 2, "000", 3) != 0 && !luhn(s + 2, 9))
        return DX_VERDICT_CHECKSUM;
    if (!all_digits(s, 2))
        return DX_VERDICT_SKIP;
    return judged(number(s, 2) == (12 + 3 * (number(s + 2, 9) % 97)) % 97);
}

static dx_verdict check_hr(const char *s)
{
    return judged(mod11_10(s, 11));
}

static dx_verdict check_hu(const char *s)
{
    return judged(weighted(s, "jhdbjhdb") % 10 == 0);
}

static dx_verdict check_ie(const char *s)
{
    static const char letters[] = "WABCDEFGHIJKLMNOPQRSTUV";
    char seven[8] = { 0 };
    gsize n = strlen(s);
    if (all_digits(s, 7)) {
        memcpy(seven, s, 7);
    } else { /* the form before 2013 */
        seven[0] = '0';
        memcpy(seven + 1, s + 2, 5);
        seven[6] = s[0];
        if (n != 8 || !all_digits(seven, 7))
            return DX_VERDICT_FORM;
    }
    const char *second = n == 9 ? strchr(letters, s[8]) : letters;
    if (second == NULL || !g_ascii_isalpha(s[7]))
        return DX_VERDICT_FORM;
    int sum = weighted(seven, "ihgfedc") + 9 * (int)(second - letters);
    return judged(s[7] == letters[sum % 23]);
}

static dx_verdict check_it(const char *s)
{
    int64_t office = number(s + 7, 3);
    if (!((office >= 1 && office <= 100) || office == 120 || office == 121 ||
          office == 888 || office == 999))
        return DX_VERDICT_FORM;
    return judged(luhn(s, 11));
}

static dx_verdict check_lt(const char *s)
{
    int n = (int)strlen(s), sum = 0;
    if (s[n - 2] != '1')
        return DX_VERDICT_FORM;
    for (int i = 0; i < n - 1; i++)
        sum += (i % 9 + 1) * digit(s, (unsigned)i);
    if (sum % 11 == 10) {
        sum = 0;
        for (int i = 0; i < n - 1; i++)
            sum += ((i + 2) % 9 + 1) * digit(s, (unsigned)i);
    }
    return judged(sum % 11 % 10 == digit(s, (unsigned)n - 1));
}

static dx_verdict check_lu(const char *s)
{
    return judged(number(s, 6) % 89 == number(s + 6, 2));
}

static dx_verdict check_lv(const char *s)
{
    if (s[0] <= '3')
        return DX_VERDICT_SKIP;
    return judged(weighted(s, "jbeidkcfhgb") % 11 == 3);
}

static dx_verdict check_mt(const char *s)
{
    return s[0] == '0' ? DX_VERDICT_FORM : judged(weighted(s, "deghijkb") % 37 == 0);
}

static unsigned mod97(const char *s, unsigned start)
{
    unsigned value = start;
    for (; *s != 0; s++)
        value = g_ascii_isdigit(*s) ? (value * 10 + (unsigned)(*s - '0')) % 97
                                    : (value * 100 + (unsigned)(*s - 'A' + 10)) % 97;
    return value;
}

static dx_verdict check_nl(const char *s)
{
    if (s[10] == '0' && s[11] == '0')
        return DX_VERDICT_FORM;
    int sum = weighted(s, "jihgfedc") - digit(s, 8);
    return judged(((sum % 11) + 11) % 11 == 0 || mod97(s, mod97("NL", 0)) == 1);
}

static dx_verdict check_pl(const char *s)
{
    return judged(weighted(s, "gfhcdefgh") % 11 == digit(s, 9));
}

static dx_verdict check_pt(const char *s)
{
    int r = 11 - weighted(s, "jihgfedc") % 11;
    return s[0] == '0' ? DX_VERDICT_FORM : judged((r > 9 ? 0 : r) == digit(s, 8));
}

static dx_verdict check_ro(const char *s)
{
    gsize n = strlen(s);
    if (n < 2 || n > 10 || s[0] == '0' || !all_digits(s, n))
        return DX_VERDICT_FORM;
    char nine[10] = "000000000";
    memcpy(nine + 9 - (n - 1), s, n - 1);
    return judged(weighted(nine, "hfdcbhfdc") * 10 % 11 % 10 ==
                  digit(s, (unsigned)n - 1));
}

static dx_verdict check_se(const char *s)
{
    return memcmp(s + 10, "01", 2) != 0 ? DX_VERDICT_FORM : judged(luhn(s, 10));
}

static dx_verdict check_si(const char *s)
{
    int r = 11 - weighted(s, "ihgfedc") % 11;
    return s[0] == '0' ? DX_VERDICT_FORM : judged(r != 11 && r % 10 == digit(s, 7));
}

static dx_verdict check_sk(const char *s)
{
    if (s[0] == '0' || strchr("234789", s[2]) == NULL)
        return DX_VERDICT_FORM;
    return judged(number(s, 10) % 11 == 0);
}

static dx_verdict check_gb(const char *s)
{
    if (g_ascii_isalpha(s[0]))
        return DX_VERDICT_SKIP; /* GD and HA: government and health bodies */
    int rest = weighted(s, "ihgfedckb") % 97;
    return judged(rest == 0 || (number(s, 3) >= 100 && (rest == 42 || rest == 55)));
}

static dx_verdict check_ch(const char *s)
{
    int r = 11 - weighted(s + 1, "fedchgfe") % 11;
    return judged((r == 11 ? 0 : r) == digit(s, 9));
}

static dx_verdict check_no(const char *s)
{
    int r = 11 - weighted(s, "dchgfedc") % 11;
    return judged((r == 11 ? 0 : r) == digit(s, 8));
}

static const struct {
    const char *country, *patterns;
    dx_verdict (*check)(const char *body);
} rules[] = {
    { "AT", "U99999999", check_at },
    { "BE", "9999999999", check_be },
    { "BG", "999999999|9999999999", check_bg },
    { "CH", "E999999999|E999999999MWST|E999999999TVA|E999999999IVA", check_ch },
    { "CY", "99999999A", check_cy },
    { "CZ", "99999999|999999999|9999999999", check_cz },
    { "DE", "999999999", check_de },
    { "DK", "99999999", check_dk },
    { "EE", "999999999", check_ee },
    { "EL", "999999999", check_el },
    { "GR", "999999999", check_el },
    { "ES", "X9999999X", check_es },
    { "FI", "99999999", check_fi },
    { "FR", "XX999999999", check_fr },
    { "GB", "999999999|999999999999|GD999|HA999", check_gb },
    { "XI", "999999999|999999999999|GD999|HA999", check_gb },
    { "HR", "99999999999", check_hr },
    { "HU", "99999999", check_hu },
    { "IE", "9999999A|9999999AA|9X99999A|9+99999A|9*99999A", check_ie },
    { "IT", "99999999999", check_it },
    { "LT", "999999999|999999999999", check_lt },
    { "LU", "99999999", check_lu },
    { "LV", "99999999999", check_lv },
    { "MT", "99999999", check_mt },
    { "NL", "999999999B99", check_nl },
    { "NO", "999999999|999999999MVA", check_no },
    { "PL", "9999999999", check_pl },
    { "PT", "999999999", check_pt },
    { "RO", "", check_ro },
    { "SE", "999999999999", check_se },
    { "SI", "99999999", check_si },
    { "SK", "9999999999", check_sk },
};

static gboolean matches(const char *s, const char *pattern, gsize n)
{
    if (strlen(s) != n)
        return FALSE;
    for (gsize i = 0; i < n; i++) {
        char want = pattern[i];
        gboolean literal_letter = g_ascii_isalpha(want) && want != 'A' && want != 'X';
        if (want == '9'   ? !g_ascii_isdigit(s[i])
            : want == 'X' ? !g_ascii_isalnum(s[i])
            : want == 'A' ? !g_ascii_isupper(s[i])
                          : (literal_letter || g_ascii_ispunct(want)) && s[i] != want)
            return FALSE;
    }
    return TRUE;
}

gboolean dx_vat_is_bare(const char *value)
{
    static const char *const forms[] = { "99999999",       "999999999",    "9999999999",
                                         "99999999999",    "999999999999", "999999999B99",
                                         "999999999MVA",   "X9999999X",    "99999999A",
                                         "9999999A",       "9999999AA",    "999999999A",
                                         "MX99999999",     "U99999999",    "T99XX9999A",
                                         "99AAAAA9999A9AX" };
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++) {
        if (matches(value, forms[i], strlen(forms[i])))
            return TRUE;
    }
    return FALSE;
}

gboolean dx_vat_is_listed(const char *value)
{
    for (gsize r = 0; r < G_N_ELEMENTS(rules); r++)
        if (strncmp(value, rules[r].country, 2) == 0)
            return TRUE;
    return FALSE;
}

dx_verdict dx_vat_check(const char *value)
{
    if (strlen(value) < 4 || strlen(value) > 20)
        return DX_VERDICT_FORM;
    for (gsize r = 0; r < G_N_ELEMENTS(rules); r++) {
        if (strncmp(value, rules[r].country, 2) != 0)
            continue;
        const char *body = value + 2;
        if (rules[r].patterns[0] == 0)
            return rules[r].check(body);
        for (const char *p = rules[r].patterns; *p != 0;) {
            gsize n = strcspn(p, "|");
            if (matches(body, p, n))
                return rules[r].check(body);
            p += n + (p[n] == '|');
        }
        return dx_vat_is_bare(value) ? DX_VERDICT_SKIP : DX_VERDICT_FORM;
    }
    if (dx_vat_is_bare(value))
        return DX_VERDICT_SKIP;
    char country[3] = { value[0], value[1], 0 };
    return dx_country_known(country) ? DX_VERDICT_SKIP : DX_VERDICT_FORM;
}

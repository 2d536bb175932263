/*
 * ident.c - identifiers with check digits other than VAT: bank accounts, payment
 * references, trade item numbers; and the clean-up all identifiers share.
 */
#include "normalize.h"

#include <string.h>

static const char iban_lengths[] = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21C"
                                   "R22CY28CZ24DE22DJ27DK18DO28EE20EG29"
                                   "ES24FI18FK18FO18FR27GB22GE22GI23GL18GR27GT28HN28HR21H"
                                   "U28IE22IL23IQ23IS26IT27JO30KW30KZ20"
                                   "LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20MR27M"
                                   "T31MU30NI28NL18NO15OM23PK24PL28PS29"
                                   "PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23S"
                                   "T25SV28TL23TN24TR26UA29VA22VG24XK20"
                                   "YE30";

static unsigned iban_length(const char *value)
{
    for (const char *p = iban_lengths; *p != 0; p += 4)
        if (p[0] == value[0] && p[1] == value[1])
            return (unsigned)(p[2] - '0') * 10 + (unsigned)(p[3] - '0');
    return 0;
}

/* ISO 7064 mod 97 of the digits and letters in a part of a string. */
static unsigned mod97(const char *s, gsize n, unsigned start)
{
    unsigned rest = start;
    for (gsize i = 0; i < n; i++)
        rest = g_ascii_isdigit(s[i]) ? (rest * 10 + (unsigned)(s[i] - '0')) % 97
                                     : (rest * 100 + (unsigned)(s[i] - 'A' + 10)) % 97;
    return rest;
}

static gboolean is_code(const char *s)
{
    for (; *s != 0; s++)
        if (!g_ascii_isdigit(*s) && !g_ascii_isupper(*s))
            return FALSE;
    return TRUE;
}

static gboolean has_head(const char *s) /* two letters, two digits */
{
    return strlen(s) > 4 && g_ascii_isupper(s[0]) && g_ascii_isupper(s[1]) &&
           g_ascii_isdigit(s[2]) && g_ascii_isdigit(s[3]) && is_code(s);
}

static dx_verdict judged(gboolean passes)
{
    return passes ? DX_VERDICT_PASS : DX_VERDICT_CHECKSUM;
}

static dx_verdict check_iban(const char *s)
{
    gsize n = strlen(s);
    if (!has_head(s) || n != iban_length(s))
        return DX_VERDICT_FORM;
    return judged(mod97(s, 4, mod97(s + 4, n - 4, 0)) == 1);
}

static dx_verdict check_bic(const char *s)
{
    gsize n = strlen(s);
    if ((n != 8 && n != 11) || !is_code(s))
        return DX_VERDICT_FORM;
    for (unsigned i = 0; i < 6; i++)
        if (!g_ascii_isupper(s[i]))
            return DX_VERDICT_FORM;
    char country[3] = { s[4], s[5], 0 };
    return dx_country_known(country) ? DX_VERDICT_PASS : DX_VERDICT_FORM;
}

static dx_verdict check_creditor(const char *s)
{
    gsize n = strlen(s);
    if (!has_head(s) || n < 8 || n > 35)
        return DX_VERDICT_FORM;
    return judged(mod97(s, 4, mod97(s + 7, n - 7, 0)) == 1);
}

static dx_verdict check_iso11649(const char *s)
{
    gsize n = strlen(s);
    if (!has_head(s) || s[0] != 'R' || s[1] != 'F' || n > 25)
        return DX_VERDICT_FORM;
    return judged(mod97(s, 4, mod97(s + 4, n - 4, 0)) == 1);
}

static gboolean digits_only(const char *s, gsize least, gsize most)
{
    gsize n = strspn(s, "0123456789");
    return s[n] == 0 && n >= least && n <= most;
}

static dx_verdict check_qr_reference(const char *s)
{
    static const char table[] = "0946827135";
    if (!digits_only(s, 27, 27))
        return DX_VERDICT_FORM;
    unsigned carry = 0;
    for (unsigned i = 0; i < 26; i++)
        carry = (unsigned)(table[(carry + (unsigned)(s[i] - '0')) % 10] - '0');
    return judged((10 - carry) % 10 == (unsigned)(s[26] - '0'));
}

static dx_verdict check_gtin(const char *s)
{
    gsize n = strlen(s);
    if (!digits_only(s, 8, 14) || n == 9 || n == 10 || n == 11)
        return DX_VERDICT_FORM;
    unsigned sum = 0;
    for (gsize i = 0; i < n; i++)
        sum += (unsigned)(s[n - 1 - i] - '0') * (i % 2 == 1 ? 3 : 1);
    return judged(sum % 10 == 0);
}

static dx_verdict check_lei(const char *s)
{
    if (strlen(s) != 20 || !is_code(s))
        return DX_VERDICT_FORM;
    return judged(mod97(s, 20, 0) == 1);
}

dx_verdict dx_identifier_check(dx_kind kind, const char *value)
{
    switch (kind) {
    case DX_KIND_IBAN:
        return check_iban(value);
    case DX_KIND_BIC:
        return check_bic(value);
    case DX_KIND_VAT_ID:
        return dx_vat_check(value);
    case DX_KIND_CREDITOR_ID:
        return check_creditor(value);
    case DX_KIND_ISO11649:
        return check_iso11649(value);
    case DX_KIND_QR_REFERENCE:
        return check_qr_reference(value);
    case DX_KIND_GTIN:
        return check_gtin(value);
    case DX_KIND_GLN:
        return strlen(value) == 13 ? check_gtin(value) : DX_VERDICT_FORM;
    case DX_KIND_LEI:
        return check_lei(value);
    case DX_KIND_CURRENCY:
        return dx_currency_known(value) ? DX_VERDICT_PASS : DX_VERDICT_FORM;
    case DX_KIND_COUNTRY:
        return dx_country_known(value) ? DX_VERDICT_PASS : DX_VERDICT_FORM;
    default:
        return DX_VERDICT_SKIP;
    }
}

/* Letters and digits, upper case; NULL when anything but blanks and marks is between. */
static char *compact(const char *printed, const char *marks)
{
    GString *out = g_string_new(NULL);
    for (const char *p = printed; *p != 0; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (c < 0x80 && (g_ascii_isalnum((char)c) || c == '+' || c == '*'))
            g_string_append_c(out, g_ascii_toupper((char)c));
        else if (!g_unichar_isspace(c) && !(c < 0x80 && strchr(marks, (int)c) != NULL) &&
                 !(c >= 0x2010 && c <= 0x2015) && c != 0xa0) {
            g_string_free(out, TRUE);
            return NULL;
        }
    }
    return g_string_free(out, FALSE);
}

/* "IBAN: DE89 ..." - the label may have been copied with the value. */
static const char *skip_label(const char *printed, const char *const *labels)
{
    for (; *labels != NULL; labels++) {
        gsize n = strlen(*labels);
        if (g_ascii_strncasecmp(printed, *labels, n) == 0 &&
            !g_ascii_isalnum(printed[n])) {
            printed += n;
            while (*printed == ' ' || *printed == ':' || *printed == '.')
                printed++;
        }
    }
    return printed;
}

static char *compact_vat(const char *printed, const dx_context *context)
{
    static const char *const labels[] = { "VAT",   "VAT ID", "USt-IdNr", "USt-ID", "UID",
                                          "ID",    "No",     "Reg",      "TVA",    "BTW",
                                          "P.IVA", "CIF",    "NIF",      "NIP",    "ABN",
                                          "GST",   NULL };
    char *value = compact(skip_label(printed, labels), ".-/:");
    if (value == NULL)
        return NULL;
    gsize n = strlen(value);
    if (n == 0 || n > 20) {
        g_free(value);
        return NULL;
    }
    if (g_str_has_prefix(value, "CHE") && n > 12)
        value[12] = 0; /* the language of the suffix is no part of the number */
    if (g_str_has_prefix(value, "NO") && g_str_has_suffix(value, "MVA"))
        value[n - 3] = 0;
    if (g_str_has_prefix(value, "GR"))
        memcpy(value, "EL", 2);
    /* "995525828MVA", "12345678901" of a known country: the prefix is left out in print. */
    const char *prefix = NULL;
    if (g_ascii_isdigit(value[0]) && g_str_has_suffix(value, "MVA")) {
        prefix = "NO";
        value[n - 3] = 0;
    } else if (context != NULL && context->country[0] != 0 &&
               dx_vat_check(value) != DX_VERDICT_PASS) {
        prefix = strcmp(context->country, "GR") == 0 ? "EL" : context->country;
        g_autofree char *tried = g_strconcat(prefix, value, NULL);
        if (dx_vat_check(tried) != DX_VERDICT_PASS)
            prefix = NULL;
    }
    if (prefix != NULL) {
        char *whole = g_strconcat(prefix, value, NULL);
        g_free(value);
        value = whole;
    }
    return value;
}

static gboolean is_vat_shape(const char *s)
{
    gsize n = strlen(s);
    unsigned digits = 0;
    for (gsize i = 2; i < n; i++)
        digits += g_ascii_isdigit(s[i]) != 0;
    if (dx_vat_is_bare(s))
        return TRUE;
    if (n < 4 || !g_ascii_isupper(s[0]) || !g_ascii_isupper(s[1]) || digits < 2)
        return FALSE;
    if (dx_vat_is_listed(s))
        return digits >= 4 || dx_vat_check(s) != DX_VERDICT_FORM;
    char country[3] = { s[0], s[1], 0 };
    return dx_country_known(country) && digits >= 6;
}

gboolean dx_read_identifier(dx_kind kind, const char *printed, const dx_context *context,
                            char **value)
{
    static const char *const bank[] = { "IBAN",      "BIC",       "SWIFT", "BIC/SWIFT",
                                        "SWIFT/BIC", "SWIFT-BIC", NULL };
    static const char *const none[] = { NULL };
    gboolean is_bank = kind == DX_KIND_IBAN || kind == DX_KIND_BIC;
    g_autofree char *text =
        kind == DX_KIND_VAT_ID
            ? compact_vat(printed, context)
            : compact(skip_label(printed, is_bank ? bank : none), ".-:");
    if (text == NULL || *text == 0)
        return FALSE;
    /* A wrong check digit is still a value (the check says so); a wrong form is not,
     * except for VAT numbers, whose forms change with the law. */
    gboolean fits = kind == DX_KIND_VAT_ID
                        ? is_vat_shape(text)
                        : dx_identifier_check(kind, text) != DX_VERDICT_FORM;
    if (kind == DX_KIND_IBAN && !fits)
        fits = has_head(text) && strlen(text) >= 15 && strlen(text) <= 34;
    if (!fits)
        return FALSE;
    *value = g_steal_pointer(&text);
    return TRUE;
}

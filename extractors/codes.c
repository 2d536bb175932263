/*
 * codes.c - closed lists: currencies with their printed signs, countries with their names,
 * and the folding of case and accents that every comparison of words uses.
 */
#include "normalize.h"

#include <string.h>

/* ISO 4217, three letters each, in order (the search is binary). */
static const char currencies[] =
    "AEDAFNALLAMDANGAOAARSAUDAWGAZNBAMBBDBDTBGNBHDBIFBMDBNDBOBBRLBSDBTNBWPBYNBZDCADCDFCHF"
    "CLPCNYCOPCRCCUPCVECZKDJFDKKDOPDZDEGPERNETBEURFJDFKPGBPGELGHSGIPGMDGNFGTQGYDHKDHNLHTG"
    "HUFIDRILSINRIQDIRRISKJMDJODJPYKESKGSKHRKMFKPWKRWKWDKYDKZTLAKLBPLKRLRDLSLLYDMADMDLMGA"
    "MKDMMKMNTMOPMRUMURMVRMWKMXNMYRMZNNADNGNNIONOKNPRNZDOMRPABPENPGKPHPPKRPLNPYGQARRONRSD"
    "RUBRWFSARSBDSCRSDGSEKSGDSHPSLESOSSRDSSPSTNSVCSYPSZLTHBTJSTMTTNDTOPTRYTTDTWDTZSUAHUGX"
    "USDUYUUZSVEDVESVNDVUVWSTXAFXCDXOFXPFYERZARZMWZWG";

/* ISO 3166-1 alpha-2, in order; with XI and EL kept out (VAT identifiers only). */
static const char countries[] =
    "ADAEAFAGAIALAMAOAQARASATAUAWAXAZBABBBDBEBFBGBHBIBJBLBMBNBOBQBRBSBTBVBWBYBZCACCCDCFCG"
    "CHCICKCLCMCNCOCRCUCVCWCXCYCZDEDJDKDMDODZECEEEGEHERESETFIFJFKFMFOFRGAGBGDGEGFGGGHGIGL"
    "GMGNGPGQGRGSGTGUGWGYHKHMHNHRHTHUIDIEILIMINIOIQIRISITJEJMJOJPKEKGKHKIKMKNKPKRKWKYKZLA"
    "LBLCLILKLRLSLTLULVLYMAMCMDMEMFMGMHMKMLMMMNMOMPMQMRMSMTMUMVMWMXMYMZNANCNENFNGNINLNONP"
    "NRNUNZOMPAPEPFPGPHPKPLPMPNPRPSPTPWPYQARERORSRURWSASBSCSDSESGSHSISJSKSLSMSNSOSRSSSTSV"
    "SXSYSZTCTDTFTGTHTJTKTLTMTNTOTRTTTVTWTZUAUGUMUSUYUZVAVCVEVGVIVNVUWFWSXKYEYTZAZMZW";

static gboolean in_list(const char *list, gsize list_bytes, unsigned width,
                        const char *code)
{
    gsize low = 0, high = list_bytes / width;
    if (code == NULL || strlen(code) != width)
        return FALSE;
    while (low < high) {
        gsize middle = (low + high) / 2;
        int order = memcmp(code, list + middle * width, width);
        if (order == 0)
            return TRUE;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return FALSE;
}

gboolean dx_currency_known(const char *code)
{
    return in_list(currencies, sizeof currencies - 1, 3, code);
}

gboolean dx_country_known(const char *code)
{
    return in_list(countries, sizeof countries - 1, 2, code);
}

unsigned dx_currency_minor(const char *code)
{
    static const char *const none[] = { "BIF", "CLP", "DJF", "GNF", "ISK", "JPY",
                                        "KMF", "KRW", "PYG", "RWF", "UGX", "VND",
                                        "VUV", "XAF", "XOF", "XPF" };
    static const char *const three[] = {
        "BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"
    };
    for (gsize i = 0; i < G_N_ELEMENTS(none); i++)
        if (strcmp(none[i], code) == 0)
            return 0;
    for (gsize i = 0; i < G_N_ELEMENTS(three); i++)
        if (strcmp(three[i], code) == 0)
            return 3;
    return 2;
}

/* Signs and words, longest first where one begins another.  A word is matched without
 * regard to case and must not touch a letter; `by_case` keeps the case (R, Ft, Fr.). */
static const struct {
    const char *print, *code;
    gboolean is_word, by_case;
} signs[] = {
    /* clang-format off */
    { "US$", "USD", 0, 0 },  { "USD$", "USD", 0, 0 }, { "AU$", "AUD", 0, 0 },
    { "A$", "AUD", 0, 1 },   { "CA$", "CAD", 0, 0 },  { "C$", "CAD", 0, 1 },
    { "NZ$", "NZD", 0, 0 },  { "HK$", "HKD", 0, 0 },  { "S$", "SGD", 0, 1 },
    { "R$", "BRL", 0, 1 },   { "NT$", "TWD", 0, 0 },  { "MX$", "MXN", 0, 0 },
    { "€", "EUR", 0, 0 },    { "£", "GBP", 0, 0 },    { "$", "USD", 0, 0 },
    { "¥", "JPY", 0, 0 },    { "￥", "JPY", 0, 0 },   { "₹", "INR", 0, 0 },
    { "₺", "TRY", 0, 0 },    { "₴", "UAH", 0, 0 },    { "₽", "RUB", 0, 0 },
    { "₩", "KRW", 0, 0 },    { "฿", "THB", 0, 0 },    { "₫", "VND", 0, 0 },
    { "₪", "ILS", 0, 0 },    { "₱", "PHP", 0, 0 },    { "円", "JPY", 0, 0 },
    { "元", "CNY", 0, 0 },   { "SFr.", "CHF", 1, 0 }, { "SFr", "CHF", 1, 0 },
    { "Fr.", "CHF", 1, 1 },  { "Frs.", "CHF", 1, 0 }, { "zł", "PLN", 1, 0 },
    { "Kčs", "CZK", 1, 0 },  { "Kč", "CZK", 1, 0 },   { "Ft", "HUF", 1, 1 },
    { "lei", "RON", 1, 0 },  { "лв.", "BGN", 1, 0 },  { "лв", "BGN", 1, 0 },
    { "Rs.", "INR", 1, 0 },  { "Rs", "INR", 1, 1 },   { "RM", "MYR", 1, 1 },
    { "Rp.", "IDR", 1, 0 },  { "Rp", "IDR", 1, 1 },   { "R", "ZAR", 1, 1 },
    { "kr.", "DKK", 1, 0 },  { "kr", "SEK", 1, 0 },   { ":-", "SEK", 0, 0 },
    { "руб.", "RUB", 1, 0 }, { "руб", "RUB", 1, 0 },  { "грн.", "UAH", 1, 0 },
    { "грн", "UAH", 1, 0 },  { "ден", "MKD", 1, 0 },  { "дин", "RSD", 1, 0 },
    { "euros", "EUR", 1, 0 }, { "euro", "EUR", 1, 0 }, { "eura", "EUR", 1, 0 },
    { "ευρώ", "EUR", 1, 0 }, { "eiro", "EUR", 1, 0 }, { "eurot", "EUR", 1, 0 },
    { "pounds", "GBP", 1, 0 }, { "pound sterling", "GBP", 1, 0 },
    { "US dollars", "USD", 1, 0 }, { "US dollar", "USD", 1, 0 },
    { "dollars", "USD", 1, 0 }, { "dollar", "USD", 1, 0 },
    { "Schweizer Franken", "CHF", 1, 0 }, { "Franken", "CHF", 1, 0 },
    { "francs suisses", "CHF", 1, 0 }, { "franchi", "CHF", 1, 0 },
    { "złotych", "PLN", 1, 0 }, { "złoty", "PLN", 1, 0 }, { "kronor", "SEK", 1, 0 },
    { "kroner", "NOK", 1, 0 }, { "kroon", "EEK", 1, 0 }, { "forint", "HUF", 1, 0 },
    { "korun", "CZK", 1, 0 }, { "yen", "JPY", 1, 0 }, { "rupees", "INR", 1, 0 },
    { "RMB", "CNY", 1, 0 },
    /* clang-format on */
};

/* `$`, `kr` and `¥` belong to many countries: the document decides. */
static const char *by_country(const char *print, const char *code,
                              const dx_context *context)
{
    static const struct {
        char first;
        const char *country, *code;
    } local[] = {
        { '$', "AU", "AUD" }, { '$', "CA", "CAD" }, { '$', "NZ", "NZD" },
        { '$', "SG", "SGD" }, { '$', "HK", "HKD" }, { '$', "MX", "MXN" },
        { '$', "CL", "CLP" }, { '$', "AR", "ARS" }, { '$', "CO", "COP" },
        { 'k', "SE", "SEK" }, { 'k', "NO", "NOK" }, { 'k', "DK", "DKK" },
        { 'k', "IS", "ISK" }, { 'k', "FO", "DKK" }, { '\xc2', "CN", "CNY" },
    };
    if (context == NULL || context->country[0] == 0)
        return code;
    if (print[0] == '\xc2' && strcmp(print, "¥") != 0)
        return code;
    if ((print[0] == '$' && print[1] != 0) || (print[0] == 'k' && print[1] != 'r'))
        return code;
    for (gsize i = 0; i < G_N_ELEMENTS(local); i++)
        if (local[i].first == print[0] && strcmp(local[i].country, context->country) == 0)
            return local[i].code;
    return code;
}

static gboolean same_bytes(const char *a, const char *b, gsize bytes, gboolean by_case)
{
    return by_case ? memcmp(a, b, bytes) == 0 : g_ascii_strncasecmp(a, b, bytes) == 0;
}

static gboolean is_letter_at(const char *p)
{
    return g_unichar_isalpha(g_utf8_get_char(p));
}

/* A code borrowed from the list would not end with NUL: hand out constant strings. */
static const char *code_string(const char *letters)
{
    char upper[4] = { g_ascii_toupper(letters[0]), g_ascii_toupper(letters[1]),
                      g_ascii_toupper(letters[2]), 0 };
    return dx_currency_known(upper) ? g_intern_string(upper) : NULL;
}

static gsize match_sign(const char *text, gsize bytes, gboolean at_end,
                        const dx_context *context, const char **code)
{
    gsize best = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(signs); i++) {
        gsize n = strlen(signs[i].print);
        if (n > bytes || n <= best)
            continue;
        const char *at = at_end ? text + bytes - n : text;
        if (!same_bytes(at, signs[i].print, n, signs[i].by_case))
            continue;
        if (signs[i].is_word) {
            if (!at_end && n < bytes && is_letter_at(text + n))
                continue;
            if (at_end && n < bytes && is_letter_at(g_utf8_prev_char(at)))
                continue;
        }
        best = n;
        *code = by_country(signs[i].print, signs[i].code, context);
    }
    return best;
}

gsize dx_currency_prefix(const char *text, gsize bytes, const dx_context *context,
                         const char **code)
{
    if (bytes >= 3 && g_ascii_isalpha(text[0]) && g_ascii_isalpha(text[1]) &&
        g_ascii_isalpha(text[2]) && (bytes == 3 || !is_letter_at(text + 3))) {
        const char *known = code_string(text);
        if (known != NULL) {
            *code = known;
            return 3;
        }
    }
    return match_sign(text, bytes, FALSE, context, code);
}

gsize dx_currency_suffix(const char *text, gsize bytes, const dx_context *context,
                         const char **code)
{
    const char *tail = text + bytes - MIN(bytes, 3);
    if (bytes >= 3 && g_ascii_isalpha(tail[0]) && g_ascii_isalpha(tail[1]) &&
        g_ascii_isalpha(tail[2]) &&
        (bytes == 3 || !is_letter_at(g_utf8_prev_char(tail)))) {
        const char *known = code_string(tail);
        if (known != NULL) {
            *code = known;
            return 3;
        }
    }
    return match_sign(text, bytes, TRUE, context, code);
}

gboolean dx_read_currency(const char *printed, const dx_context *context, char **value)
{
    gsize bytes = strlen(printed);
    const char *code = NULL;
    gsize n = dx_currency_prefix(printed, bytes, context, &code);
    if (n == bytes && n > 0) {
        *value = g_strdup(code);
        return TRUE;
    }
    /* With an amount beside it, or in brackets behind its name: "Euro (EUR)". */
    if (n > 0 && strpbrk(printed + n, "0123456789(") == NULL)
        return FALSE;
    if (n == 0 && bytes > 0 && printed[bytes - 1] == ')')
        bytes--;
    if (n == 0 && (n = dx_currency_suffix(printed, bytes, context, &code)) == 0)
        return FALSE;
    *value = g_strdup(code);
    return TRUE;
}

/* Folded names in the languages of the neighbours. */
static const struct {
    const char *code, *names;
} names[] = {
    /* clang-format off */
    { "AT", "austria|osterreich|autriche|oostenrijk|rakousko|ausztria" },
    { "AU", "australia|australien" },
    { "BE", "belgium|belgien|belgique|belgie|belgio|belgica" },
    { "BG", "bulgaria|bulgarien|bulgarie|българия" },
    { "BR", "brazil|brasil|brasilien" },
    { "CA", "canada|kanada" },
    { "CH", "switzerland|schweiz|suisse|svizzera|zwitserland|suiza" },
    { "CN", "china|chine|cina|p.r. china" },
    { "CY", "cyprus|zypern|κυπρος" },
    { "CZ", "czech republic|czechia|tschechien|ceska republika|cesko|republique tcheque" },
    { "DE", "germany|deutschland|allemagne|germania|duitsland|alemania|alemanha|niemcy|"
            "nemecko|tyskland|saksa|nemcija" },
    { "DK", "denmark|danmark|danemark|danemark|denemarken" },
    { "EE", "estonia|eesti|estland" },
    { "ES", "spain|espana|spanien|espagne|spagna|spanje|espanha" },
    { "FI", "finland|suomi|finnland|finlande" },
    { "FR", "france|frankreich|francia|frankrijk|franca|francja" },
    { "GB", "united kingdom|uk|great britain|england|scotland|wales|grossbritannien|"
            "royaume-uni|vereinigtes konigreich" },
    { "GR", "greece|griechenland|ελλαδα|grece|hellas" },
    { "HR", "croatia|hrvatska|kroatien" },
    { "HU", "hungary|magyarorszag|ungarn|hongrie" },
    { "IE", "ireland|irland|eire|irlande" },
    { "IN", "india|indien|inde" },
    { "IS", "iceland|island" },
    { "IT", "italy|italia|italien|italie" },
    { "JP", "japan|japon|日本" },
    { "LI", "liechtenstein" },
    { "LT", "lithuania|lietuva|litauen" },
    { "LU", "luxembourg|luxemburg|letzebuerg" },
    { "LV", "latvia|latvija|lettland" },
    { "MT", "malta|malte" },
    { "MX", "mexico|mexiko" },
    { "NL", "netherlands|the netherlands|nederland|niederlande|pays-bas|paesi bassi|holland" },
    { "NO", "norway|norge|norwegen|norvege" },
    { "NZ", "new zealand" },
    { "PL", "poland|polska|polen|pologne" },
    { "PT", "portugal|portogallo" },
    { "RO", "romania|rumanien|roumanie" },
    { "RS", "serbia|srbija|serbien" },
    { "SE", "sweden|sverige|schweden|suede" },
    { "SG", "singapore|singapur" },
    { "SI", "slovenia|slovenija|slowenien" },
    { "SK", "slovakia|slovensko|slowakei" },
    { "TR", "turkey|turkiye|turkei" },
    { "UA", "ukraine|україна|украіна" },
    { "US", "united states|united states of america|usa|u.s.a.|vereinigte staaten|etats-unis" },
    /* clang-format on */
};

gboolean dx_read_country(const char *printed, char **value)
{
    if (strlen(printed) == 2) {
        char code[3] = { g_ascii_toupper(printed[0]), g_ascii_toupper(printed[1]), 0 };
        if (strcmp(code, "EL") == 0 || strcmp(code, "UK") == 0) {
            *value = g_strdup(code[0] == 'E' ? "GR" : "GB");
            return TRUE;
        }
        if (!dx_country_known(code))
            return FALSE;
        *value = g_strdup(code);
        return TRUE;
    }
    g_autofree char *folded = dx_fold(printed, strlen(printed));
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_auto(GStrv) each = g_strsplit(names[i].names, "|", -1);
        if (g_strv_contains((const char *const *)each, folded)) {
            *value = g_strdup(names[i].code);
            return TRUE;
        }
    }
    return FALSE;
}

unsigned dx_fold_char(gunichar c, gunichar out[3])
{
    if (c < 0x80) {
        out[0] = g_ascii_tolower((char)c);
        return 1;
    }
    c = g_unichar_tolower(c);
    switch (c) {
    case 0xdf:
        out[0] = 's';
        out[1] = 's';
        return 2;
    case 0xe6:
        out[0] = 'a';
        out[1] = 'e';
        return 2;
    case 0x153:
        out[0] = 'o';
        out[1] = 'e';
        return 2;
    case 0xf8:
        out[0] = 'o';
        return 1;
    case 0x111:
    case 0xf0:
        out[0] = 'd';
        return 1;
    case 0x142:
        out[0] = 'l';
        return 1;
    case 0x131:
        out[0] = 'i';
        return 1;
    case 0xa0:
    case 0x202f:
    case 0x2009:
        out[0] = ' ';
        return 1;
    case 0x2010:
    case 0x2011:
    case 0x2013:
    case 0x2014:
    case 0x2212:
        out[0] = '-';
        return 1;
    case 0x2018:
    case 0x2019:
        out[0] = '\'';
        return 1;
    case 0x3c2:
        out[0] = 0x3c3;
        return 1;
    default:
        break;
    }
    if (g_unichar_ismark(c))
        return 0;
    gunichar base[4];
    gsize n = g_unichar_fully_decompose(c, FALSE, base, G_N_ELEMENTS(base));
    out[0] = n > 0 ? base[0] : c;
    return 1;
}

char *dx_fold(const char *text, gsize bytes)
{
    GString *out = g_string_sized_new(bytes);
    for (const char *p = text; p < text + bytes; p = g_utf8_next_char(p)) {
        gunichar folded[3];
        unsigned n = dx_fold_char(g_utf8_get_char(p), folded);
        for (unsigned i = 0; i < n; i++)
            g_string_append_unichar(out, folded[i]);
    }
    return g_string_free(out, FALSE);
}

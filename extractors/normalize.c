/*
 * normalize.c - the kinds by name, the dispatch to their readers, the loose kinds (text,
 * id, phone, e-mail, url), and what a document teaches about its own print.
 */
#include "normalize.h"

#include <string.h>

static const char *const kind_names[DX_KIND_COUNT] = {
    /* clang-format off */
    [DX_KIND_TEXT] = "text",         [DX_KIND_ID] = "id",
    [DX_KIND_DATE] = "date",         [DX_KIND_TIME] = "time",
    [DX_KIND_AMOUNT] = "amount",     [DX_KIND_QUANTITY] = "quantity",
    [DX_KIND_PERCENT] = "percent",   [DX_KIND_INTEGER] = "integer",
    [DX_KIND_CURRENCY] = "currency", [DX_KIND_COUNTRY] = "country",
    [DX_KIND_LANGUAGE] = "language", [DX_KIND_IBAN] = "iban",
    [DX_KIND_BIC] = "bic",           [DX_KIND_VAT_ID] = "vat_id",
    [DX_KIND_CREDITOR_ID] = "creditor_id", [DX_KIND_ISO11649] = "iso11649",
    [DX_KIND_QR_REFERENCE] = "qr_reference", [DX_KIND_GTIN] = "gtin",
    [DX_KIND_GLN] = "gln",           [DX_KIND_LEI] = "lei",
    [DX_KIND_PHONE] = "phone",       [DX_KIND_EMAIL] = "email",
    [DX_KIND_URL] = "url",
    /* clang-format on */
};

dx_kind dx_kind_from_name(const char *name)
{
    for (int i = 0; name != NULL && i < DX_KIND_COUNT; i++)
        if (strcmp(kind_names[i], name) == 0)
            return (dx_kind)i;
    return DX_KIND_NONE;
}

const char *dx_kind_name(dx_kind kind)
{
    return kind >= 0 && kind < DX_KIND_COUNT ? kind_names[kind] : NULL;
}

/* Blanks trimmed and collapsed; NULL when a control character is inside. */
static char *squeeze(const char *printed)
{
    GString *out = g_string_new(NULL);
    gboolean blank = FALSE;
    for (const char *p = printed; *p != 0; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_isspace(c)) {
            blank = out->len > 0;
            continue;
        }
        if (g_unichar_iscntrl(c) || c == 0xfeff) {
            g_string_free(out, TRUE);
            return NULL;
        }
        if (blank)
            g_string_append_c(out, ' ');
        blank = FALSE;
        g_string_append_unichar(out, c);
    }
    return g_string_free(out, FALSE);
}

static gboolean read_phone(const char *text, char **value)
{
    unsigned digits = 0;
    for (const char *p = text; *p != 0; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        if (c < 0x80 && g_ascii_isdigit((char)c))
            digits++;
        else if (c >= 0x80 ? !(c >= 0x2010 && c <= 0x2015)
                           : strchr("+()/-. ", (int)c) == NULL)
            return FALSE;
    }
    if (digits < 5 || digits > 17)
        return FALSE;
    *value = g_strdup(text);
    return TRUE;
}

static gboolean read_email(const char *text, char **value)
{
    const char *at = strchr(text, '@');
    if (at == NULL || at == text || strchr(at + 1, '@') != NULL ||
        strchr(text, ' ') != NULL)
        return FALSE;
    const char *dot = strrchr(at, '.');
    if (dot == NULL || dot == at + 1 || strlen(dot) < 3)
        return FALSE;
    *value = g_strdup(text);
    return TRUE;
}

static gboolean read_url(const char *text, char **value)
{
    const char *host = strstr(text, "://");
    host = host != NULL ? host + 3 : text;
    const char *dot = strchr(host, '.');
    if (dot == NULL || dot == host || strlen(dot) < 3 || strpbrk(text, " @") != NULL ||
        !g_ascii_isalnum(host[0]))
        return FALSE;
    *value = g_strdup(text);
    return TRUE;
}

static gboolean read_language(const char *text, char **value)
{
    if (strlen(text) != 2 || !g_ascii_isalpha(text[0]) || !g_ascii_isalpha(text[1]))
        return FALSE;
    *value = g_ascii_strdown(text, 2);
    return TRUE;
}

gboolean dx_normalize(dx_kind kind, const char *printed, const dx_context *context,
                      char **value, char **alternative)
{
    g_assert(value != NULL);
    if (alternative != NULL)
        *alternative = NULL;
    if (printed == NULL || strlen(printed) > DX_VALUE_BYTES_MAX ||
        !g_utf8_validate(printed, -1, NULL))
        return FALSE;
    g_autofree char *text = squeeze(printed);
    if (text == NULL || *text == 0)
        return FALSE;
    switch (kind) {
    case DX_KIND_TEXT:
    case DX_KIND_ID:
        *value = g_steal_pointer(&text);
        return TRUE;
    case DX_KIND_DATE:
        return dx_read_date(text, context, value, alternative);
    case DX_KIND_TIME:
        return dx_read_time(text, value);
    case DX_KIND_AMOUNT:
    case DX_KIND_QUANTITY:
    case DX_KIND_PERCENT:
    case DX_KIND_INTEGER:
        return dx_read_number(kind, text, context, value, alternative);
    case DX_KIND_CURRENCY:
        return dx_read_currency(text, context, value);
    case DX_KIND_COUNTRY:
        return dx_read_country(text, value);
    case DX_KIND_LANGUAGE:
        return read_language(text, value);
    case DX_KIND_PHONE:
        return read_phone(text, value);
    case DX_KIND_EMAIL:
        return read_email(text, value);
    case DX_KIND_URL:
        return read_url(text, value);
    case DX_KIND_NONE:
    case DX_KIND_COUNT:
        return FALSE;
    default:
        return dx_read_identifier(kind, text, context, value);
    }
}

/* Votes for a decimal sign: a group of two digits behind it, or both signs in one. */
static void vote_number(const char *s, gsize n, unsigned votes[2])
{
    const char *last = NULL;
    gboolean both = FALSE;
    unsigned separators = 0;
    for (gsize i = 0; i < n; i++) {
        if (s[i] == '.' || s[i] == ',') {
            both |= last != NULL && *last != s[i];
            last = s + i;
            separators++;
        }
    }
    if (last == NULL || (separators > 1 && !both))
        return;
    gsize behind = n - (gsize)(last - s) - 1;
    if (behind == 2 || (both && behind > 0))
        votes[*last == ',' ? 1 : 0]++;
}

static void learn_decimal(dx_context *context, const char *text, gsize bytes)
{
    unsigned votes[2] = { 0, 0 };
    for (gsize i = 0; i < bytes;) {
        if (!g_ascii_isdigit(text[i])) {
            i++;
            continue;
        }
        gsize start = i;
        while (i < bytes &&
               (g_ascii_isdigit(text[i]) || text[i] == '.' || text[i] == ','))
            i++;
        gsize end = i;
        while (end > start && !g_ascii_isdigit(text[end - 1]))
            end--;
        vote_number(text + start, end - start, votes);
    }
    if (votes[0] > 2 * votes[1])
        context->decimal = DX_DECIMAL_POINT;
    else if (votes[1] > 2 * votes[0])
        context->decimal = DX_DECIMAL_COMMA;
}

static void learn_order(dx_context *context, const char *text, gsize bytes)
{
    unsigned day_first = 0, month_first = 0;
    g_autoptr(GRegex) regex = g_regex_new(
        "(?<![\\d/.-])(\\d{1,2})([/-])(\\d{1,2})\\2(\\d{4}|\\d{2})(?![\\d/-])",
        G_REGEX_OPTIMIZE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    g_regex_match_full(regex, text, (gssize)bytes, 0, 0, &match, NULL);
    for (; g_match_info_matches(match); g_match_info_next(match, NULL)) {
        g_autofree char *a = g_match_info_fetch(match, 1);
        g_autofree char *b = g_match_info_fetch(match, 3);
        guint64 first = g_ascii_strtoull(a, NULL, 10),
                second = g_ascii_strtoull(b, NULL, 10);
        day_first += first > 12 && first <= 31 && second <= 12;
        month_first += second > 12 && second <= 31 && first <= 12;
    }
    if (day_first > month_first)
        context->order = DX_ORDER_DAY_MONTH;
    else if (month_first > day_first)
        context->order = DX_ORDER_MONTH_DAY;
}

/* Of the countries whose dates begin with the month only the United States show on most of
 * their papers: dollars with a sales tax, a telephone or an address as they stand there, and
 * none of the taxes of other dollars. */
static void learn_country(dx_context *context, const char *text, gsize bytes)
{
    static const char says[] =
        "(?i)sales tax|\\bUSD\\b|(?<!\\d)\\(\\d{3}\\) ?\\d{3}-\\d{4}(?!\\d)|"
        "\\b(?-i:[A-Z]{2}) \\d{5}(-\\d{4})?(?![\\d-])",
                      denies[] = "\\b(GST|HST|PST|QST|TPS|TVQ|ABN|RUC|RFC|R\\$|"
                                 "[ACHNS]\\$|AUD|CAD|HKD|MXN|NZD|SGD)(?![A-Za-z])";
    g_autoptr(GRegex) yes = g_regex_new(says, 0, 0, NULL);
    g_autoptr(GRegex) no = g_regex_new(denies, 0, 0, NULL);
    if (g_strstr_len(text, (gssize)bytes, "$") != NULL &&
        g_regex_match_full(yes, text, (gssize)bytes, 0, 0, NULL, NULL) &&
        !g_regex_match_full(no, text, (gssize)bytes, 0, 0, NULL, NULL))
        memcpy(context->country, "US", 3);
}

void dx_context_learn(dx_context *context, const char *text, gsize bytes)
{
    if (bytes > DX_TEXT_BYTES_MAX || !g_utf8_validate(text, (gssize)bytes, NULL))
        return;
    if (context->decimal == DX_DECIMAL_UNKNOWN)
        learn_decimal(context, text, bytes);
    if (context->order == DX_ORDER_UNKNOWN)
        learn_order(context, text, bytes);
    if (context->country[0] == '\0')
        learn_country(context, text, bytes);
    if (g_strstr_len(text, (gssize)bytes, "พ.ศ.") != NULL ||
        g_strstr_len(text, (gssize)bytes, "บาท") != NULL)
        context->is_buddhist = TRUE;
}

/*
 * amount.c - numbers as people print them: amounts, quantities, percentages, integers.
 *
 * A printed number is cut down to digits and separators first (signs, brackets, currency,
 * filler stars and tax letters are taken off at both ends), and only then the separators
 * are judged: the last one is the decimal sign unless the digits around it say otherwise.
 */
#include "normalize.h"

#include <stdlib.h>
#include <string.h>

#define MICRO 1000000

gboolean dx_amount_parse(const char *value, int64_t *micro)
{
    if (value == NULL)
        return FALSE;
    gboolean negative = *value == '-';
    const char *p = value + negative;
    int64_t whole = 0, part = 0;
    unsigned digits = 0, decimals = 0;
    for (; g_ascii_isdigit(*p) && digits <= DX_AMOUNT_DIGITS_MAX; p++, digits++)
        whole = whole * 10 + (*p - '0');
    if (digits == 0 || digits > DX_AMOUNT_DIGITS_MAX)
        return FALSE;
    if (*p == '.') {
        for (p++; g_ascii_isdigit(*p) && decimals < DX_AMOUNT_DECIMALS_MAX;
             p++, decimals++)
            part = part * 10 + (*p - '0');
        if (decimals == 0)
            return FALSE;
    }
    if (*p != 0)
        return FALSE;
    for (unsigned i = decimals; i < DX_AMOUNT_DECIMALS_MAX; i++)
        part *= 10;
    int64_t result = whole * MICRO + part;
    *micro = negative ? -result : result;
    return TRUE;
}

char *dx_amount_format(int64_t micro, unsigned decimals)
{
    uint64_t magnitude = micro < 0 ? -(uint64_t)micro : (uint64_t)micro;
    char part[8];
    g_snprintf(part, sizeof part, "%06u", (unsigned)(magnitude % MICRO));
    unsigned needed = DX_AMOUNT_DECIMALS_MAX;
    while (needed > 0 && part[needed - 1] == '0')
        needed--;
    needed = MAX(needed, MIN(decimals, DX_AMOUNT_DECIMALS_MAX));
    part[needed] = 0;
    return g_strdup_printf("%s%" G_GUINT64_FORMAT "%s%s", micro < 0 ? "-" : "",
                           (guint64)(magnitude / MICRO), needed > 0 ? "." : "", part);
}

static gboolean narrow(__int128 value, int64_t *result)
{
    if (value > INT64_MAX || value < -(__int128)INT64_MAX)
        return FALSE;
    *result = (int64_t)value;
    return TRUE;
}

static __int128 divide_half_away(__int128 a, __int128 b)
{
    gboolean negative = (a < 0) != (b < 0);
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    __int128 quotient = (a + b / 2) / b;
    return negative ? -quotient : quotient;
}

gboolean dx_amount_mul(int64_t a, int64_t b, int64_t *result)
{
    return narrow(divide_half_away((__int128)a * b, MICRO), result);
}

gboolean dx_amount_div(int64_t a, int64_t b, int64_t *result)
{
    return b != 0 && narrow(divide_half_away((__int128)a * MICRO, b), result);
}

gboolean dx_amount_add(int64_t a, int64_t b, int64_t *result)
{
    return narrow((__int128)a + b, result);
}

int64_t dx_amount_round(int64_t micro, unsigned decimals)
{
    int64_t step = 1;
    for (unsigned i = decimals; i < DX_AMOUNT_DECIMALS_MAX; i++)
        step *= 10;
    return (int64_t)(divide_half_away(micro, step) * step);
}

/* The many blanks, dashes and apostrophes of print, as one ASCII sign each. */
static char *plain_signs(const char *printed)
{
    GString *out = g_string_new(NULL);
    for (const char *p = printed; *p != 0; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        switch (c) {
        case 0xa0:
        case 0x2007:
        case 0x2009:
        case 0x200a:
        case 0x202f:
        case '\t':
            g_string_append_c(out, ' ');
            break;
        case 0x2010:
        case 0x2011:
        case 0x2012:
        case 0x2013:
        case 0x2014:
        case 0x2212:
            g_string_append_c(out, '-');
            break;
        case 0x2018:
        case 0x2019:
        case 0xb4:
        case 0x60:
        case 0x2032:
            g_string_append_c(out, '\'');
            break;
        default:
            if (c >= 0xff10 && c <= 0xff19)
                c = c - 0xff10 + '0';
            g_string_append_unichar(out, c);
        }
    }
    return g_string_free(out, FALSE);
}

/* What was taken off a printed number. */
typedef struct trimmed {
    gboolean negative, percent, dash_cents;
    const char *currency;
} trimmed;

static gboolean ends_with(const char *text, gsize bytes, const char *tail)
{
    gsize n = strlen(tail);
    return bytes >= n && g_ascii_strncasecmp(text + bytes - n, tail, n) == 0;
}

/* Take one thing off the front; FALSE when there is nothing more. */
static gboolean trim_front(char **start, char **end, trimmed *t,
                           const dx_context *context)
{
    char *s = *start;
    gsize bytes = (gsize)(*end - s);
    if (bytes == 0)
        return FALSE;
    if (*s == ' ' || *s == '*' || *s == '+' || *s == '=') {
        *start = s + 1;
        return TRUE;
    }
    if (*s == '-' && !t->negative) {
        t->negative = TRUE;
        *start = s + 1;
        return TRUE;
    }
    if (*s == '(' && (*end)[-1] == ')' && bytes > 2) {
        t->negative = TRUE;
        *start = s + 1;
        *end -= 1;
        return TRUE;
    }
    gsize n =
        t->currency == NULL ? dx_currency_prefix(s, bytes, context, &t->currency) : 0;
    *start = s + n;
    return n > 0;
}

static gboolean trim_back(char **start, char **end, trimmed *t, const dx_context *context)
{
    gsize bytes = (gsize)(*end - *start);
    char *e = *end;
    if (bytes == 0)
        return FALSE;
    if (e[-1] == ' ' || e[-1] == '*') {
        *end = e - 1;
        return TRUE;
    }
    if (e[-1] == '%' && !t->percent) {
        t->percent = TRUE;
        *end = e - 1;
        return TRUE;
    }
    if (bytes > 2 && ends_with(*start, bytes, "CR") && !g_ascii_isalpha(e[-3])) {
        t->negative = TRUE;
        *end = e - 2;
        return TRUE;
    }
    if (bytes > 2 && ends_with(*start, bytes, "DR") && !g_ascii_isalpha(e[-3])) {
        *end = e - 2;
        return TRUE;
    }
    if (e[-1] == '-') {
        char *q = e;
        while (q > *start && q[-1] == '-')
            q--;
        if (q > *start && (q[-1] == ',' || q[-1] == '.')) {
            t->dash_cents = TRUE;
            *end = q - 1;
            return TRUE;
        }
        if (q == e - 1 && !t->negative) {
            t->negative = TRUE;
            *end = q;
            return TRUE;
        }
        return FALSE;
    }
    gsize n = t->currency == NULL
                  ? dx_currency_suffix(*start, bytes, context, &t->currency)
                  : 0;
    if (n == 0 && bytes > 1 && g_ascii_isupper(e[-1]) &&
        (g_ascii_isdigit(e[-2]) || e[-2] == '*' || e[-2] == ' '))
        n = 1; /* the tax letter of a receipt */
    *end = e - n;
    return n > 0;
}

/* `12€50`: the currency stands where the decimal sign would. */
static void currency_as_sign(char *start, char **end, trimmed *t,
                             const dx_context *context)
{
    char *p = start;
    while (p < *end && (g_ascii_isdigit(*p) || strchr(".,' ", *p) != NULL))
        p++;
    gsize left = (gsize)(*end - p);
    const char *code = NULL;
    gsize n = p > start && left > 2 && t->currency == NULL
                  ? dx_currency_prefix(p, left, context, &code)
                  : 0;
    if (n == 0 || left - n != 2 || !g_ascii_isdigit(p[n]) || !g_ascii_isdigit(p[n + 1]))
        return;
    t->currency = code;
    p[0] = '.';
    p[1] = p[n];
    p[2] = p[n + 1];
    *end = p + 3;
}

typedef struct groups {
    char sign[16]; /* sign[i] stands between group i and i + 1 */
    unsigned size[17];
    unsigned count; /* groups */
} groups;

static gboolean split_groups(const char *start, const char *end, groups *g)
{
    *g = (groups){ .count = 1 };
    if (start == end)
        return FALSE;
    if (*start == '.' || *start == ',') {
        if (end - start < 2)
            return FALSE;
    } else if (!g_ascii_isdigit(*start)) {
        return FALSE;
    }
    for (const char *p = start; p < end; p++) {
        if (g_ascii_isdigit(*p)) {
            if (++g->size[g->count - 1] > 18)
                return FALSE;
        } else if (strchr(".,' ", *p) != NULL && g->count < G_N_ELEMENTS(g->size)) {
            g->sign[g->count - 1] = *p;
            g->count++;
        } else {
            return FALSE;
        }
    }
    for (unsigned i = 1; i < g->count; i++)
        if (g->size[i] == 0)
            return FALSE;
    return TRUE;
}

/* Groups 0..last are one integer: one separator, thousands or Indian lakhs. */
static gboolean is_grouping(const groups *g, unsigned last)
{
    if (last == 0)
        return TRUE;
    if (g->size[0] < 1 || g->size[0] > 3 || g->size[last] != 3)
        return FALSE;
    gboolean three = TRUE, two = g->size[0] <= 2;
    for (unsigned i = 0; i < last; i++) {
        if (g->sign[i] != g->sign[0])
            return FALSE;
        if (i > 0 && g->size[i] != 3)
            three = FALSE;
        if (i > 0 && g->size[i] != 2)
            two = FALSE;
    }
    return three || (two && g->sign[0] == ',');
}

typedef enum reading { READ_BAD, READ_WHOLE, READ_DECIMAL, READ_EITHER } reading;

static reading judge(const groups *g)
{
    if (g->count == 1)
        return READ_WHOLE;
    unsigned last = g->count - 1;
    char sign = g->sign[last - 1];
    gboolean can_group = is_grouping(g, last);
    gboolean can_decimal = (sign == '.' || sign == ',') && g->size[last] <= 18 &&
                           is_grouping(g, last - 1) && (last == 1 || g->sign[0] != sign);
    if (can_group && can_decimal)
        return READ_EITHER;
    return can_group ? READ_WHOLE : can_decimal ? READ_DECIMAL : READ_BAD;
}

/* Digits of the groups as a canonical string; FALSE past the limits. */
static gboolean compose(const char *start, const char *end, const groups *g,
                        gboolean is_decimal, const trimmed *t, int64_t *micro,
                        unsigned *decimals)
{
    g_autoptr(GString) out = g_string_new(t->negative ? "-" : "");
    gsize first = out->len;
    unsigned group = 0;
    *decimals = 0;
    for (const char *p = start; p < end; p++) {
        if (g_ascii_isdigit(*p)) {
            gboolean in_part = is_decimal && group == g->count - 1;
            if (in_part && ++*decimals > DX_AMOUNT_DECIMALS_MAX) {
                if (*p != '0')
                    return FALSE;
                continue;
            }
            if (!in_part && out->len == first + 1 && out->str[first] == '0')
                g_string_truncate(out, first); /* leading zeros do not count */
            g_string_append_c(out, *p);
        } else {
            group++;
            if (is_decimal && group == g->count - 1) {
                if (out->len == first)
                    g_string_append_c(out, '0');
                g_string_append_c(out, '.');
            }
        }
    }
    *decimals = MIN(*decimals, DX_AMOUNT_DECIMALS_MAX);
    return dx_amount_parse(out->str, micro);
}

static char *finish(dx_kind kind, int64_t micro, unsigned decimals, const trimmed *t)
{
    if (kind != DX_KIND_AMOUNT)
        return dx_amount_format(micro, 0);
    unsigned least = t->dash_cents ? 2 : decimals;
    if (decimals == 0 && t->currency != NULL)
        least = dx_currency_minor(t->currency);
    return dx_amount_format(micro, least);
}

/* Quantities stand before or after their unit: keep the number alone. */
static void trim_unit(char **start, char **end)
{
    while (*start < *end && !g_ascii_isdigit(**start) && strchr("-.,(", **start) == NULL)
        (*start)++;
    char *p = *start;
    while (p < *end && (g_ascii_isdigit(*p) || strchr("-.,'()", *p) != NULL ||
                        (*p == ' ' && p + 3 < *end && g_ascii_isdigit(p[1]) &&
                         g_ascii_isdigit(p[2]) && g_ascii_isdigit(p[3]))))
        p++;
    while (p > *start && (p[-1] == '.' || p[-1] == ','))
        p--;
    *end = p;
}

static gboolean prefers_decimal(dx_kind kind, char sign, const dx_context *context)
{
    if (sign != '.' && sign != ',')
        return FALSE;
    if (context != NULL && context->decimal != DX_DECIMAL_UNKNOWN)
        return (context->decimal == DX_DECIMAL_POINT) == (sign == '.');
    return kind == DX_KIND_PERCENT;
}

/* A poor print shows the decimal sign twice or behind a blank: "52..80", "29 .30". */
static void drop_twin(char *text)
{
    for (char *c = text; *c != '\0'; c++) {
        gboolean is_twin = g_ascii_isdigit(*c) &&
                           (c[1] == '.' || c[1] == ',' || c[1] == ' ') &&
                           (c[2] == '.' || c[2] == ',');
        if (!is_twin || !g_ascii_isdigit(c[3]) || !g_ascii_isdigit(c[4]) ||
            g_ascii_isdigit(c[5]))
            continue;
        memmove(c + 1, c + 2, strlen(c + 2) + 1);
        return;
    }
}

gboolean dx_read_number(dx_kind kind, const char *printed, const dx_context *context,
                        char **value, char **alternative)
{
    g_autofree char *text = plain_signs(printed);
    drop_twin(text);
    char *start = text, *end = text + strlen(text);
    trimmed t = { 0 };
    gboolean more = TRUE;
    while (more) {
        more = trim_front(&start, &end, &t, context);
        more |= trim_back(&start, &end, &t, context);
    }
    if (kind == DX_KIND_QUANTITY || kind == DX_KIND_PERCENT)
        trim_unit(&start, &end);
    if (kind == DX_KIND_AMOUNT)
        currency_as_sign(start, &end, &t, context);
    if (t.percent && kind == DX_KIND_AMOUNT)
        return FALSE;

    groups g;
    if (!split_groups(start, end, &g))
        return FALSE;
    reading r = judge(&g);
    if (r == READ_BAD || (t.dash_cents && r == READ_DECIMAL))
        return FALSE;
    if (r == READ_EITHER && g.size[0] == 1 && *start == '0')
        r = READ_DECIMAL; /* 0.125: no group starts with nought */
    if (r == READ_EITHER && t.dash_cents)
        r = READ_WHOLE;
    char sign = g.count > 1 ? g.sign[g.count - 2] : 0;
    gboolean is_decimal =
        r == READ_DECIMAL || (r == READ_EITHER && prefers_decimal(kind, sign, context));
    int64_t micro, other;
    unsigned decimals, other_decimals;
    if (!compose(start, end, &g, is_decimal, &t, &micro, &decimals))
        return FALSE;
    if (kind == DX_KIND_INTEGER && micro % MICRO != 0)
        return FALSE;
    if (kind == DX_KIND_PERCENT && llabs(micro) > 100 * (int64_t)MICRO)
        return FALSE;
    char *second = NULL;
    if (r == READ_EITHER &&
        compose(start, end, &g, !is_decimal, &t, &other, &other_decimals))
        second = finish(kind, other, other_decimals, &t);
    if (kind == DX_KIND_PERCENT && !t.percent && micro >= MICRO / 100 &&
        micro < MICRO / 2 && decimals >= 2 && decimals <= 3) {
        g_free(second);
        second = dx_amount_format(micro, 0);
        micro *= 100; /* a rate column of 0.19 means 19 % */
    }
    *value = finish(kind, micro, decimals, &t);
    if (alternative != NULL)
        *alternative = g_steal_pointer(&second);
    g_free(second);
    return TRUE;
}

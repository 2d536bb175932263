/*
 * number.c - bounds and steps of numbers as scaled integers.
 *
 * A JSON number of the schema becomes value x 10^decimals in 64 bits: a bound that does
 * not fit exactly is rounded inwards, so that nothing outside is ever allowed.
 */
#include "grammar.h"
#include "compile.h"

#include <stdlib.h>
#include <string.h>

enum { NUMBER_DECIMALS = 6, NUMBER_DIGITS = 15 };
#define NUMBER_LIMIT (G_GINT64_CONSTANT(1000000000000000000) - 1)

typedef __int128 wide;

/* The shortest decimal text that reads back as the same double. */
static void shortest(double v, char out[64])
{
    for (int digits = 15; digits <= 17; digits++) {
        char format[8];
        g_snprintf(format, sizeof format, "%%.%de", digits - 1);
        g_ascii_formatd(out, 64, format, v);
        if (g_ascii_strtod(out, NULL) == v)
            return;
    }
}

/* floor(v x 10^decimals), limited; *is_exact tells whether nothing was lost. */
static int64_t scale(const json_t *v, uint32_t decimals, gboolean *is_exact)
{
    char text[64];
    if (json_is_integer(v))
        g_snprintf(text, sizeof text, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else
        shortest(json_real_value(v), text);
    gboolean is_minus = text[0] == '-';
    wide sum = 0;
    long shift = decimals;
    const char *p = text + is_minus;
    gboolean is_fraction = FALSE;
    for (; *p != '\0' && *p != 'e'; p++) {
        if (*p == '.') {
            is_fraction = TRUE;
            continue;
        }
        sum = sum * 10 + (*p - '0');
        shift -= is_fraction;
    }
    if (*p == 'e')
        shift += strtol(p + 1, NULL, 10);
    *is_exact = TRUE;
    for (; shift > 0 && sum != 0 && sum <= (wide)NUMBER_LIMIT; shift--)
        sum *= 10;
    gboolean is_rest = FALSE;
    for (; shift < 0 && sum != 0; shift++) {
        is_rest |= sum % 10 != 0;
        sum /= 10;
    }
    if (is_rest)
        *is_exact = FALSE;
    if (is_minus)
        sum = -sum - is_rest;
    wide top = NUMBER_LIMIT;
    if (sum > top || sum < -top)
        *is_exact = FALSE;
    return (int64_t)(sum > top ? top + 1 : sum < -top ? -top - 1 : sum);
}

/* One bound; is_low tells which side. */
static gboolean bound(dx_compiler *c, const json_t *schema, const char *key,
                      const dx_number_rule *rule, gboolean is_low, int64_t *limit)
{
    const json_t *v = json_object_get(schema, key);
    if (v == NULL)
        return TRUE;
    if (!json_is_number(v))
        return dx_compile_fail(c, key, "must be a number");
    gboolean is_exact, is_strict = key[0] == 'e';
    int64_t s = scale(v, rule->decimals, &is_exact);
    if (is_low)
        s += is_strict || !is_exact; /* floor + 1 is the next one above */
    else if (is_strict && is_exact)
        s -= 1;
    if (is_low ? s > NUMBER_LIMIT : s < -NUMBER_LIMIT)
        return dx_compile_fail(c, key, "is beyond 18 digits");
    s = CLAMP(s, -NUMBER_LIMIT, NUMBER_LIMIT);
    gboolean is_first =
        json_object_get(schema, is_low ? "minimum" : "maximum") == NULL || !is_strict;
    if (is_first || (is_low ? s > *limit : s < *limit))
        *limit = s;
    return TRUE;
}

gboolean dx_compile_number(dx_compiler *c, const json_t *schema, gboolean is_integer)
{
    dx_number_rule rule = { .step = 1, .decimals = is_integer ? 0 : NUMBER_DECIMALS };
    int64_t top = 1;
    for (int i = 0; i < (is_integer ? NUMBER_DIGITS : 18); i++)
        top *= 10;
    rule.lo = -(top - 1);
    rule.hi = top - 1;
    if (!bound(c, schema, "minimum", &rule, TRUE, &rule.lo) ||
        !bound(c, schema, "exclusiveMinimum", &rule, TRUE, &rule.lo) ||
        !bound(c, schema, "maximum", &rule, FALSE, &rule.hi) ||
        !bound(c, schema, "exclusiveMaximum", &rule, FALSE, &rule.hi))
        return FALSE;
    const json_t *step = json_object_get(schema, "multipleOf");
    if (step != NULL) {
        gboolean is_exact = FALSE;
        if (json_is_number(step))
            rule.step = scale(step, rule.decimals, &is_exact);
        if (is_integer && json_is_real(step) && !is_exact)
            return dx_compile_fail(c, "multipleOf", "of an integer must be an integer");
        if (!is_exact || rule.step <= 0)
            return dx_compile_fail(
                c, "multipleOf", "must be above 0 with at most 6 decimals and 12 digits");
    }
    wide last = (wide)rule.hi / rule.step * rule.step;
    if (last > rule.hi)
        last -= rule.step;
    if (rule.lo > rule.hi || last < rule.lo)
        return dx_compile_fail(c, NULL, "no number fits minimum, maximum and multipleOf");
    g_array_append_val(c->grammar->numbers, rule);
    return dx_compile_op(c,
                         (dx_op){ .kind = OP_NUMBER, .x = c->grammar->numbers->len - 1 });
}

/* Does [a, b] hold a multiple of the step, of a magnitude that the rule allows? */
static gboolean holds(const dx_number_rule *rule, gboolean is_minus, wide a, wide b)
{
    wide lo = is_minus ? MAX(1, -(wide)rule->hi) : MAX(0, (wide)rule->lo);
    wide hi = is_minus ? -(wide)rule->lo : (wide)rule->hi;
    a = MAX(a, lo);
    b = MIN(b, hi);
    return a <= b && b / rule->step * rule->step >= a;
}

static wide power(uint32_t n)
{
    wide p = 1;
    while (n-- > 0)
        p *= 10;
    return p;
}

/* Can whole digits `n` be finished, with more digits or decimals? */
static gboolean is_open(const dx_number_rule *rule, gboolean is_minus, int64_t n)
{
    wide unit = power(rule->decimals);
    wide top = is_minus ? -(wide)rule->lo : (wide)rule->hi;
    for (wide a = n * unit, width = unit; a <= top; a *= 10, width *= 10) {
        if (holds(rule, is_minus, a, a + width - 1))
            return TRUE;
        if (n == 0)
            return FALSE;
    }
    return FALSE;
}

gboolean dx_number_is_done(const dx_number_rule *rule, const dx_number_state *s)
{
    if (s->phase == DX_NUMBER_START || s->phase == DX_NUMBER_MINUS ||
        s->phase == DX_NUMBER_POINT)
        return FALSE;
    wide v = (wide)s->digits * power(rule->decimals - s->decimals);
    return holds(rule, s->is_minus, v, v);
}

gboolean dx_number_take(const dx_number_rule *rule, dx_number_state *s, uint8_t byte)
{
    if (byte == '-') {
        if (s->phase != DX_NUMBER_START || !holds(rule, TRUE, 0, (wide)NUMBER_LIMIT))
            return FALSE;
        s->phase = DX_NUMBER_MINUS;
        s->is_minus = TRUE;
        return TRUE;
    }
    wide unit = power(rule->decimals);
    if (byte == '.') {
        wide a = s->digits * unit;
        if ((s->phase != DX_NUMBER_WHOLE && s->phase != DX_NUMBER_ZERO) ||
            rule->decimals == 0 || !holds(rule, s->is_minus, a, a + unit - 1))
            return FALSE;
        s->phase = DX_NUMBER_POINT;
        return TRUE;
    }
    if (byte < '0' || byte > '9' || s->phase == DX_NUMBER_ZERO ||
        s->digits > NUMBER_LIMIT / 10)
        return FALSE;
    int64_t n = s->digits * 10 + (byte - '0');
    if (s->phase == DX_NUMBER_POINT || s->phase == DX_NUMBER_FRACTION) {
        if (s->decimals >= rule->decimals)
            return FALSE;
        wide width = power(rule->decimals - s->decimals - 1);
        if (!holds(rule, s->is_minus, n * width, n * width + width - 1))
            return FALSE;
        s->decimals++;
        s->phase = DX_NUMBER_FRACTION;
    } else {
        if (!is_open(rule, s->is_minus, n))
            return FALSE;
        s->phase = n == 0 ? DX_NUMBER_ZERO : DX_NUMBER_WHOLE;
    }
    s->digits = n;
    return TRUE;
}

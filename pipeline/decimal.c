/*
 * decimal.c - exact decimal numbers as 128-bit integers.
 */
#include "decimal.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

gboolean dp_decimal_parse(const char *text, dp_decimal *value)
{
    assert(text != NULL);
    const char *s = text + (*text == '-' || *text == '+');
    __int128 units = 0;
    guint digits = 0, places = 0;
    while (*s == '0' && g_ascii_isdigit(s[1]))
        s++;
    for (; g_ascii_isdigit(*s); s++, digits++)
        units = units * 10 + (*s - '0');
    if (digits == 0 || digits > DP_DECIMAL_DIGITS_MAX)
        return FALSE;
    if (*s == '.') {
        s++;
        for (; g_ascii_isdigit(*s); s++, places++) {
            if (places == DP_DECIMAL_PLACES_MAX)
                return FALSE;
            units = units * 10 + (*s - '0');
        }
        if (places == 0)
            return FALSE;
    }
    if (*s != '\0')
        return FALSE;
    for (; places < DP_DECIMAL_PLACES_MAX; places++)
        units *= 10;
    value->units = *text == '-' ? -units : units;
    return TRUE;
}

/* "1e+06" is how printf writes a million at 15 digits when it is shorter; %f never is. */
static gboolean parse_real(double real, dp_decimal *value)
{
    char text[64];
    for (int places = 0; places <= DP_DECIMAL_PLACES_MAX; places++) {
        int n = snprintf(text, sizeof text, "%.*f", places, real);
        if (n < 0 || n >= (int)sizeof text)
            return FALSE;
        if (g_ascii_strtod(text, NULL) != real)
            continue;
        guint digits = 0;
        for (const char *c = text; *c != '\0'; c++)
            digits += g_ascii_isdigit(*c) != 0;
        return digits <= 15 && dp_decimal_parse(text, value);
    }
    return FALSE;
}

gboolean dp_decimal_from_json(const json_t *node, dp_decimal *value)
{
    if (json_is_string(node))
        return dp_decimal_parse(json_string_value(node), value);
    if (json_is_integer(node)) {
        g_autofree char *text =
            g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(node));
        return dp_decimal_parse(text, value);
    }
    return json_is_real(node) && parse_real(json_real_value(node), value);
}

int dp_decimal_compare(dp_decimal a, dp_decimal b)
{
    return a.units < b.units ? -1 : a.units > b.units;
}

dp_decimal dp_decimal_add(dp_decimal a, dp_decimal b)
{
    return (dp_decimal){ a.units + b.units };
}

dp_decimal dp_decimal_subtract(dp_decimal a, dp_decimal b)
{
    return (dp_decimal){ a.units - b.units };
}

guint dp_decimal_places(dp_decimal value)
{
    guint places = DP_DECIMAL_PLACES_MAX;
    __int128 units = value.units;
    while (places > 0 && units % 10 == 0) {
        units /= 10;
        places--;
    }
    return places;
}

char *dp_decimal_text(dp_decimal value, guint places)
{
    char digits[48];
    guint count = 0, shown = MAX(places, dp_decimal_places(value));
    assert(shown <= DP_DECIMAL_PLACES_MAX);
    __int128 units = value.units < 0 ? -value.units : value.units;
    for (guint i = shown; i < DP_DECIMAL_PLACES_MAX; i++)
        units /= 10;
    do {
        assert(count < sizeof digits);
        digits[count++] = (char)('0' + (int)(units % 10));
        units /= 10;
    } while (units != 0 || count <= shown);
    GString *text = g_string_new(value.units < 0 ? "-" : "");
    while (count > 0) {
        g_string_append_c(text, digits[--count]);
        if (count == shown && shown > 0)
            g_string_append_c(text, '.');
    }
    return g_string_free(text, FALSE);
}

/*
 * decimal.h - exact decimal numbers, for limits in rules and sums on invoices.
 *
 * A number is a count of 10^-12: 18 digits before the point, 12 behind it.  Nothing is
 * rounded; what does not fit is refused.
 */
#ifndef DP_DECIMAL_H
#define DP_DECIMAL_H

#include <glib.h>
#include <jansson.h>

enum { DP_DECIMAL_DIGITS_MAX = 18, DP_DECIMAL_PLACES_MAX = 12 };

typedef struct dp_decimal {
    __int128 units; /* of 10^-12 */
} dp_decimal;

/* "-1234.50": optional sign, digits, optional point and digits; nothing else. */
gboolean dp_decimal_parse(const char *text, dp_decimal *value);
/* A JSON string, integer or real.  A real is taken as the shortest decimal that stands for
 * it; FALSE when that has more than 15 digits, so cannot be known to be what was written. */
gboolean dp_decimal_from_json(const json_t *node, dp_decimal *value);
int dp_decimal_compare(dp_decimal a, dp_decimal b);
dp_decimal dp_decimal_add(dp_decimal a, dp_decimal b);
dp_decimal dp_decimal_subtract(dp_decimal a, dp_decimal b);
/* Places behind the point that the value needs. */
guint dp_decimal_places(dp_decimal value);
/* With at least `places` places, more when the value needs them.  Caller frees. */
char *dp_decimal_text(dp_decimal value, guint places);

#endif

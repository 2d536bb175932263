/*
 * string.c - strings of a schema: lengths, patterns and formats.
 *
 * With a pattern, a table over (characters written, state of the pattern) says from
 * where the string can still be finished, so that no choice leads into a dead end.
 */
#include "compile.h"

#include <string.h>

#define DAY_PART                                                                         \
    "(?:[12]\\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|"                      \
    "(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|02-(?:0[1-9]|1\\d|2[0-8]))|"                    \
    "(?:[12]\\d(?:0[48]|[2468][048]|[13579][26])|1200|1600|2000|2400|2800)-02-29)"
#define TIME_PART                                                                        \
    "(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(?:\\.\\d{1,6})?"                               \
    "(?:Z|[+-](?:[01]\\d|2[0-3]):[0-5]\\d)"

static const struct {
    const char *name, *pattern;
} formats[] = {
    { "date", "^" DAY_PART "$" },
    { "time", "^" TIME_PART "$" },
    { "date-time", "^" DAY_PART "T" TIME_PART "$" },
    { "uuid", "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$" },
    { "email", "^[A-Za-z0-9_+-]+(?:\\.[A-Za-z0-9_+-]+)*@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-"
               "Za-z0-9])?"
               "\\.)+[A-Za-z]{2,24}$" },
    { "uri",
      "^(?:https?|ftp)://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[1-9]\\d{0,3})?"
      "(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})*)*"
      "(?:\\?(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-F]{2})*)?$" },
};

static gboolean fill_table(dx_compiler *c, dx_string_rule *rule, const char *key)
{
    const dx_regex *re = rule->regex;
    uint64_t size = ((uint64_t)rule->max + 1) * re->state_count;
    if (size > DX_REGEX_TABLE_MAX)
        return dx_compile_fail(c, key,
                               "%u states with maxLength %u are too many (limit %d)",
                               re->state_count, rule->max, DX_REGEX_TABLE_MAX);
    rule->is_open = g_malloc0(size);
    for (uint32_t n = rule->max + 1; n-- > 0;) {
        uint8_t *row = rule->is_open + (size_t)n * re->state_count;
        for (uint32_t s = 0; s < re->state_count; s++) {
            row[s] = n >= rule->min && re->is_accept[s];
            const int32_t *next = re->next + (size_t)s * re->class_count;
            for (uint32_t k = 0; k < re->class_count && n < rule->max && !row[s]; k++) {
                /* U+0000 is never written, so a class of only it leads nowhere. */
                gboolean is_nul = k == 0 && re->class_first[1] == 1;
                row[s] = next[k] >= 0 && !is_nul && row[re->state_count + next[k]];
            }
        }
    }
    if (!rule->is_open[0])
        return dx_compile_fail(c, key,
                               "no string fits it with minLength %u, maxLength %u",
                               rule->min, rule->max);
    return TRUE;
}

static gboolean find_pattern(dx_compiler *c, const json_t *schema, const char **pattern,
                             const char **key)
{
    const json_t *p = json_object_get(schema, "pattern");
    const json_t *f = json_object_get(schema, "format");
    *pattern = *key = NULL;
    if (p != NULL && !json_is_string(p))
        return dx_compile_fail(c, "pattern", "must be a string");
    if (p != NULL) {
        *key = "pattern";
        *pattern = json_string_value(p);
    }
    if (f == NULL)
        return TRUE;
    if (p != NULL)
        return dx_compile_fail(c, "format", "cannot be enforced together with pattern");
    for (gsize i = 0; i < G_N_ELEMENTS(formats) && json_is_string(f); i++) {
        if (strcmp(json_string_value(f), formats[i].name) == 0) {
            *key = "format";
            *pattern = formats[i].pattern;
            return TRUE;
        }
    }
    return dx_compile_fail(c, "format",
                           "is not one of date, time, date-time, uuid, email, uri");
}

gboolean dx_compile_string(dx_compiler *c, const json_t *schema)
{
    dx_string_rule rule = { .max = DX_STRING_MAX };
    const char *pattern, *key;
    if (!dx_compile_count(c, schema, "minLength", DX_STRING_LIMIT, &rule.min))
        return FALSE;
    rule.max = MAX(rule.max, rule.min);
    if (!dx_compile_count(c, schema, "maxLength", DX_STRING_LIMIT, &rule.max) ||
        !find_pattern(c, schema, &pattern, &key))
        return FALSE;
    if (rule.min > rule.max)
        return dx_compile_fail(c, "minLength", "%u is above maxLength %u", rule.min,
                               rule.max);
    if (pattern != NULL) {
        g_autofree char *why = NULL;
        rule.regex = dx_regex_new(pattern, &why);
        if (rule.regex == NULL)
            return dx_compile_fail(c, key, "cannot be enforced: %s", why);
        if (!fill_table(c, &rule, key)) {
            dx_regex_free(rule.regex);
            g_free(rule.is_open);
            return FALSE;
        }
    }
    g_array_append_val(c->grammar->strings, rule);
    dx_op op = { .kind = OP_STRING, .x = c->grammar->strings->len - 1 };
    return dx_compile_text(c, "\"", 1) && dx_compile_op(c, op) &&
           dx_compile_text(c, "\"", 1);
}

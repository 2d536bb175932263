/*
 * fuzz_normalize.c - any text as a printed value of every kind.  What a reader of amounts
 * or dates returns must be canonical: it reads back as itself.
 */
#include "fuzz.h"
#include "normalize.h"

#include <string.h>

static void check_value(dx_kind kind, const char *value)
{
    if (!g_utf8_validate(value, -1, NULL))
        g_error("a value that is not UTF-8");
    int64_t number;
    if (kind == DX_KIND_AMOUNT && !dx_amount_parse(value, &number))
        g_error("an amount that is not canonical");
    if (kind == DX_KIND_DATE && !dx_date_to_days(value, &number))
        g_error("a date that is not canonical");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes == 0 || bytes > 4096 || memchr(data, 0, bytes) != NULL)
        return 0;
    g_autofree char *raw = g_strndup((const char *)data, bytes);
    g_autofree char *text = g_utf8_make_valid(raw, -1);
    dx_context context = { .decimal = DX_DECIMAL_UNKNOWN };
    dx_context_learn(&context, text, strlen(text));
    for (int kind = 0; kind < DX_KIND_COUNT; kind++) {
        g_autofree char *value = NULL, *alternative = NULL;
        if (dx_normalize((dx_kind)kind, text, &context, &value, &alternative)) {
            check_value((dx_kind)kind, value);
            (void)dx_identifier_check((dx_kind)kind, value); /* any verdict */
        }
        g_autoptr(GArray) found =
            dx_find_candidates((dx_kind)kind, text, strlen(text), &context);
        for (guint i = 0; found != NULL && i < found->len; i++) {
            const dx_candidate *c = &g_array_index(found, dx_candidate, i);
            if (c->start >= c->end || c->end > strlen(text))
                g_error("a candidate outside the text");
            if (c->value != NULL)
                check_value((dx_kind)kind, c->value);
        }
    }
    return 0;
}

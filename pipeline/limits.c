/*
 * limits.c - the limits that a user may move: four options and their variables.
 */
#include "app.h"
#include "facts.h"

typedef struct rule {
    const char *option, *variable;
    guint64 max;
    gboolean is_size; /* takes KiB, MiB, GiB */
} rule;

static const rule rules[DP_LIMIT_COUNT] = {
    [DP_LIMIT_PAGES] = { "--max-pages", "DOCVL_MAX_PAGES", 100000, FALSE },
    [DP_LIMIT_BYTES] = { "--max-bytes", "DOCVL_MAX_BYTES", 4ull << 30, TRUE },
    [DP_LIMIT_PIXELS] = { "--max-pixels", "DOCVL_MAX_PIXELS", 1000000000, FALSE },
    [DP_LIMIT_SECONDS] = { "--max-seconds", "DOCVL_MAX_SECONDS", 86400, FALSE },
};

static gboolean read_value(const rule *r, const char *text, guint64 *value)
{
    if (r->is_size && !g_ascii_isdigit(text[strlen(text) - 1])) {
        json_t *node = json_string(text);
        *value = dp_fact_bytes(node, 0);
        json_decref(node);
        return *value >= 1 && *value <= r->max;
    }
    return g_ascii_string_to_unsigned(text, 10, 1, r->max, value, NULL);
}

gboolean dp_limits_read(dp_app *app, GError **error)
{
    guint64 values[DP_LIMIT_COUNT] = { 0 };
    for (gsize i = 0; i < DP_LIMIT_COUNT; i++) {
        const rule *r = &rules[i];
        const char *text = app->limit_texts[i], *name = r->option;
        if (text == NULL) {
            text = g_getenv(r->variable);
            name = r->variable;
        }
        if (text == NULL || (*text == '\0' && name == r->variable))
            continue;
        if (*text == '\0' || !read_value(r, text, &values[i])) {
            g_set_error(error, DX_ERROR, DX_LIMIT, "%s %s: 1 to %" G_GUINT64_FORMAT "%s",
                        name, text, r->max, r->is_size ? " bytes, or as 64MiB" : "");
            return FALSE;
        }
    }
    app->limits.pages_max = (uint32_t)values[DP_LIMIT_PAGES];
    app->limits.bytes_max = values[DP_LIMIT_BYTES];
    app->limits.pixels_max = values[DP_LIMIT_PIXELS];
    app->limits.seconds_max = (uint32_t)values[DP_LIMIT_SECONDS];
    return TRUE;
}

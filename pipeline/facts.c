/*
 * facts.c - one table-driven check for every object of a configuration.
 */
#include "facts.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *suffix;
    double factor;
} seconds[] = { { "ms", 0.001 }, { "s", 1 }, { "m", 60 }, { "h", 3600 }, { "d", 86400 } },
  sizes[] = { { "KiB", 1024.0 },
              { "MiB", 1024.0 * 1024 },
              { "GiB", 1024.0 * 1024 * 1024 } };

/* Digits with at most one point between them, then the rest. */
static gboolean read_number(const char *text, double *number, const char **rest)
{
    const char *c = text;
    while (g_ascii_isdigit(*c))
        c++;
    if (c == text)
        return FALSE;
    if (c[0] == '.' && g_ascii_isdigit(c[1])) {
        c++;
        while (g_ascii_isdigit(*c))
            c++;
    }
    if (c - text > 15)
        return FALSE;
    g_autofree char *digits = g_strndup(text, (gsize)(c - text));
    *number = g_ascii_strtod(digits, NULL);
    *rest = c;
    return TRUE;
}

gboolean dp_duration_parse(const char *text, gint64 *us)
{
    double number;
    const char *rest;
    if (!read_number(text, &number, &rest))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(seconds); i++) {
        if (strcmp(rest, seconds[i].suffix) != 0)
            continue;
        double value = number * seconds[i].factor * 1e6;
        if (value > 1e17)
            return FALSE;
        *us = (gint64)(value + 0.5);
        return TRUE;
    }
    return FALSE;
}

char *dp_duration_format(gint64 us)
{
    if (us % G_USEC_PER_SEC != 0)
        return g_strdup_printf("%" G_GINT64_FORMAT "ms", us / 1000);
    gint64 s = us / G_USEC_PER_SEC;
    return s > 0 && s % 86400 == 0  ? g_strdup_printf("%" G_GINT64_FORMAT "d", s / 86400)
           : s > 0 && s % 3600 == 0 ? g_strdup_printf("%" G_GINT64_FORMAT "h", s / 3600)
           : s > 0 && s % 60 == 0   ? g_strdup_printf("%" G_GINT64_FORMAT "m", s / 60)
                                    : g_strdup_printf("%" G_GINT64_FORMAT "s", s);
}

static gboolean bytes_parse(const char *text, double *bytes)
{
    double number;
    const char *rest;
    if (!read_number(text, &number, &rest))
        return FALSE;
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        if (strcmp(rest, sizes[i].suffix) == 0) {
            *bytes = number * sizes[i].factor;
            return TRUE;
        }
    }
    return FALSE;
}

/* ---- the nearest name ------------------------------------------------------- */

enum { NEAR_BYTES_MAX = 63 };

/* Edits from a to b, a swap of neighbours counted as one. */
static guint distance(const char *a, const char *b)
{
    gsize na = strlen(a), nb = strlen(b);
    if (na > NEAR_BYTES_MAX || nb > NEAR_BYTES_MAX)
        return G_MAXUINT;
    guint rows[3][NEAR_BYTES_MAX + 1];
    for (gsize j = 0; j <= nb; j++)
        rows[0][j] = (guint)j;
    for (gsize i = 1; i <= na; i++) {
        guint *row = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = (guint)i;
        for (gsize j = 1; j <= nb; j++) {
            guint change = last[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = MIN(change, MIN(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], before[j - 2] + 1);
        }
    }
    return rows[na % 3][nb];
}

const char *dp_nearest(const char *wrong, const char *const *words)
{
    g_autofree char *plain = g_ascii_strdown(wrong, -1);
    g_strdelimit(plain, "-", '_');
    const char *best = NULL;
    guint least = (guint)strlen(wrong) / 3 + 1;
    for (; *words != NULL; words++) {
        guint d = distance(plain, *words);
        if (d <= least && (best == NULL || d < least)) {
            least = d;
            best = *words;
        }
    }
    return best;
}

/* ---- check ------------------------------------------------------------------- */

typedef struct checker {
    dp_report report;
    void *user;
    gboolean is_good;
} checker;

static void complain(checker *c, const char *pointer, gboolean at_key, const char *format,
                     ...) G_GNUC_PRINTF(4, 5);
static void complain(checker *c, const char *pointer, gboolean at_key, const char *format,
                     ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    c->is_good = FALSE;
    c->report(c->user, pointer, at_key, text);
}

static char *child(const char *pointer, const char *key)
{
    GString *path = g_string_new(pointer);
    g_string_append_c(path, '/');
    for (; *key != '\0'; key++) {
        if (*key == '~')
            g_string_append(path, "~0");
        else if (*key == '/')
            g_string_append(path, "~1");
        else
            g_string_append_c(path, *key);
    }
    return g_string_free(path, FALSE);
}

static const char *shown(const json_t *node)
{
    switch (json_typeof(node)) {
    case JSON_STRING:
        return json_string_value(node);
    case JSON_OBJECT:
        return "a mapping";
    case JSON_ARRAY:
        return "a list";
    case JSON_NULL:
        return "nothing";
    case JSON_TRUE:
        return "true";
    case JSON_FALSE:
        return "false";
    default:
        return "a number";
    }
}

static void check_number(checker *c, const dp_facts *f, const json_t *node,
                         const char *at)
{
    gboolean is_right =
        f->kind == DP_KIND_INT ? json_is_integer(node) : json_is_number(node);
    if (!is_right) {
        g_autofree char *number =
            json_is_real(node) ? g_strdup_printf("%g", json_real_value(node)) : NULL;
        complain(c, at, FALSE, "\"%s\" where a %s is expected",
                 number != NULL ? number : shown(node),
                 f->kind == DP_KIND_INT ? "whole number" : "number");
        return;
    }
    double value = json_number_value(node);
    if (f->max > f->min && (value < f->min || value > f->max))
        complain(c, at, FALSE, "%g is outside %g to %g", value, f->min, f->max);
}

static void check_duration(checker *c, const dp_facts *f, const json_t *node,
                           const char *at)
{
    gint64 us = 0;
    double number = json_number_value(node);
    if (json_is_string(node) ? !dp_duration_parse(json_string_value(node), &us)
                             : !json_is_number(node) || !(number >= 0 && number < 1e11)) {
        complain(c, at, FALSE, "\"%s\" is no duration (500ms, 30s, 5m, 2h, 1d)",
                 shown(node));
        return;
    }
    double value = json_is_string(node) ? (double)us / 1e6 : number;
    if (f->max > f->min && (value < f->min || value > f->max)) {
        g_autofree char *min = dp_duration_format((gint64)(f->min * 1e6));
        g_autofree char *max = dp_duration_format((gint64)(f->max * 1e6));
        complain(c, at, FALSE, "%g seconds is outside %s to %s", value, min, max);
    }
}

static void check_bytes(checker *c, const dp_facts *f, const json_t *node, const char *at)
{
    double bytes = json_number_value(node);
    if (json_is_string(node) ? !bytes_parse(json_string_value(node), &bytes)
                             : !json_is_integer(node)) {
        complain(c, at, FALSE, "\"%s\" is no size (512MiB, 4GiB, or bytes)", shown(node));
        return;
    }
    if (bytes < f->min || bytes > f->max)
        complain(c, at, FALSE, "%.0f bytes is outside %.0f to %.0f", bytes, f->min,
                 f->max);
}

static void check_word(checker *c, const dp_facts *f, const json_t *node, const char *at)
{
    g_autofree char *all = g_strjoinv(", ", (char **)f->words);
    const char *word = json_string_value(node);
    if (word != NULL && g_strv_contains(f->words, word))
        return;
    const char *near = word != NULL ? dp_nearest(word, f->words) : NULL;
    if (near != NULL)
        complain(c, at, FALSE, "\"%s\" is none of: %s (did you mean \"%s\"?)",
                 shown(node), all, near);
    else
        complain(c, at, FALSE, "\"%s\" is none of: %s", shown(node), all);
}

static gboolean is_bool(const json_t *node, gboolean *value)
{
    const char *word = json_string_value(node);
    if (!json_is_boolean(node) && g_strcmp0(word, "yes") != 0 &&
        g_strcmp0(word, "no") != 0)
        return FALSE;
    *value = json_is_true(node) || g_strcmp0(word, "yes") == 0;
    return TRUE;
}

static void check_scalar(checker *c, const dp_facts *f, const json_t *node,
                         const char *at)
{
    gboolean unused;
    switch (f->kind) {
    case DP_KIND_TEXT:
    case DP_KIND_PATH:
        if (!json_is_string(node))
            complain(c, at, FALSE, "%s where a text is expected%s", shown(node),
                     json_is_number(node) || json_is_boolean(node) ? " (put it in quotes)"
                                                                   : "");
        else if (*json_string_value(node) == '\0')
            complain(c, at, FALSE, "an empty text");
        return;
    case DP_KIND_BOOL:
        if (!is_bool(node, &unused))
            complain(c, at, FALSE, "\"%s\" where yes or no is expected", shown(node));
        return;
    case DP_KIND_INT:
    case DP_KIND_REAL:
        check_number(c, f, node, at);
        return;
    case DP_KIND_DURATION:
        check_duration(c, f, node, at);
        return;
    case DP_KIND_BYTES:
        check_bytes(c, f, node, at);
        return;
    case DP_KIND_WORD:
        check_word(c, f, node, at);
        return;
    default:
        return;
    }
}

static void check_object(checker *c, const dp_facts *facts, const json_t *object,
                         const char *at);

static void check_list(checker *c, const dp_facts *f, const json_t *node, const char *at)
{
    if (!json_is_array(node)) {
        complain(c, at, FALSE, "%s where a list is expected", shown(node));
        return;
    }
    gsize count = json_array_size(node), i;
    if (f->max > f->min && ((double)count < f->min || (double)count > f->max))
        complain(c, at, FALSE, "%zu entries, limits %g to %g", count, f->min, f->max);
    dp_facts each = *f;
    each.kind = f->kind == DP_KIND_TEXTS   ? DP_KIND_TEXT
                : f->kind == DP_KIND_PATHS ? DP_KIND_PATH
                                           : DP_KIND_DURATION;
    each.min = 0;
    each.max = f->kind == DP_KIND_DURATIONS ? 30 * 86400.0 : 0;
    const json_t *item;
    json_array_foreach((json_t *)node, i, item) {
        g_autofree char *here = g_strdup_printf("%s/%zu", at, i);
        if (f->kind == DP_KIND_OBJECTS)
            check_object(c, f->object, item, here);
        else
            check_scalar(c, &each, item, here);
    }
}

static void check_map(checker *c, const dp_facts *f, const json_t *node, const char *at)
{
    if (!json_is_object(node)) {
        complain(c, at, FALSE, "%s where a mapping of names is expected", shown(node));
        return;
    }
    if (json_object_size(node) > f->max)
        complain(c, at, FALSE, "%zu entries, limit %g", json_object_size(node), f->max);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)node, key, value) {
        g_autofree char *here = child(at, key);
        check_object(c, f->object, value, here);
    }
}

static void check_value(checker *c, const dp_facts *f, const json_t *node, const char *at)
{
    switch (f->kind) {
    case DP_KIND_TEXTS:
    case DP_KIND_PATHS:
    case DP_KIND_DURATIONS:
    case DP_KIND_OBJECTS:
        check_list(c, f, node, at);
        return;
    case DP_KIND_OBJECT:
        check_object(c, f->object, node, at);
        return;
    case DP_KIND_MAP:
        check_map(c, f, node, at);
        return;
    default:
        check_scalar(c, f, node, at);
    }
}

static const dp_facts *find(const dp_facts *facts, const char *key)
{
    for (; facts->key != NULL; facts++)
        if (strcmp(facts->key, key) == 0)
            return facts;
    return NULL;
}

static void complain_unknown(checker *c, const dp_facts *facts, const char *key,
                             const char *at)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    for (const dp_facts *f = facts; f->key != NULL; f++)
        g_ptr_array_add(names, (char *)f->key);
    g_ptr_array_add(names, NULL);
    const char *near = dp_nearest(key, (const char *const *)names->pdata);
    if (near != NULL) {
        complain(c, at, TRUE, "unknown key \"%s\" (did you mean \"%s\"?)", key, near);
    } else {
        g_autofree char *all = g_strjoinv(", ", (char **)names->pdata);
        complain(c, at, TRUE, "unknown key \"%s\"; known: %s", key, all);
    }
}

/* The depth is that of the tables, not of the file. */
static void check_object(checker *c, const dp_facts *facts, const json_t *object,
                         const char *at)
{
    if (!json_is_object(object)) {
        complain(c, at, FALSE, "%s where a mapping is expected", shown(object));
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value) {
        g_autofree char *here = child(at, key);
        const dp_facts *f = find(facts, key);
        if (f == NULL)
            complain_unknown(c, facts, key, here);
        else
            check_value(c, f, value, here);
    }
    for (const dp_facts *f = facts; f->key != NULL; f++)
        if (f->is_required && json_object_get(object, f->key) == NULL)
            complain(c, at, FALSE, "\"%s\" is missing", f->key);
}

gboolean dp_facts_check(const dp_facts *facts, const json_t *object, const char *pointer,
                        dp_report report, void *user)
{
    assert(report != NULL);
    checker c = { .report = report, .user = user, .is_good = TRUE };
    check_object(&c, facts, object, pointer);
    return c.is_good;
}

/* ---- list --------------------------------------------------------------------- */

static void list_range(GString *out, const dp_facts *f)
{
    if (f->kind == DP_KIND_WORD) {
        g_autofree char *all = g_strjoinv("|", (char **)f->words);
        g_string_append(out, all);
    } else if (f->kind == DP_KIND_DURATION && f->max > f->min) {
        g_autofree char *min = dp_duration_format((gint64)(f->min * 1e6));
        g_autofree char *max = dp_duration_format((gint64)(f->max * 1e6));
        g_string_append_printf(out, "%s..%s", min, max);
    } else if (f->max > f->min) {
        g_string_append_printf(out, "%.15g..%.15g", f->min, f->max);
    }
}

static void list_into(GString *out, const dp_facts *facts, const char *prefix)
{
    static const char *const names[] = {
        "text",  "path",  "yes/no",    "integer", "number", "duration", "size",  "word",
        "texts", "paths", "durations", "mapping", "list",   "names",    "other",
    };
    for (const dp_facts *f = facts; f->key != NULL; f++) {
        g_string_append_printf(out, "%s%s\t%s\t", prefix, f->key, names[f->kind]);
        list_range(out, f);
        g_string_append_printf(out, "\t%s\t%s\n",
                               f->is_required        ? "required"
                               : f->fallback != NULL ? f->fallback
                                                     : "",
                               f->help);
        if (f->object == NULL)
            continue;
        g_autofree char *below = g_strdup_printf("%s%s%s", prefix, f->key,
                                                 f->kind == DP_KIND_OBJECTS ? "[]."
                                                 : f->kind == DP_KIND_MAP   ? ".*."
                                                                            : ".");
        list_into(out, f->object, below);
    }
}

char *dp_facts_list(const dp_facts *facts)
{
    GString *out = g_string_new(NULL);
    list_into(out, facts, "");
    return g_string_free(out, FALSE);
}

/* ---- values --------------------------------------------------------------------- */

const char *dp_fact_text(const json_t *object, const char *key, const char *fallback)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : fallback;
}

gboolean dp_fact_bool(const json_t *object, const char *key, gboolean fallback)
{
    gboolean value = fallback;
    const json_t *node = json_object_get(object, key);
    return node != NULL && is_bool(node, &value) ? value : fallback;
}

gint64 dp_fact_int(const json_t *object, const char *key, gint64 fallback)
{
    const json_t *node = json_object_get(object, key);
    return json_is_integer(node) ? json_integer_value(node) : fallback;
}

double dp_fact_real(const json_t *object, const char *key, double fallback)
{
    const json_t *node = json_object_get(object, key);
    return json_is_number(node) ? json_number_value(node) : fallback;
}

gint64 dp_fact_duration_us(const json_t *node, gint64 fallback)
{
    gint64 us;
    if (json_is_string(node))
        return dp_duration_parse(json_string_value(node), &us) ? us : fallback;
    return json_is_number(node) ? (gint64)llround(json_number_value(node) * 1e6)
                                : fallback;
}

guint64 dp_fact_bytes(const json_t *node, guint64 fallback)
{
    double bytes;
    if (json_is_string(node))
        return bytes_parse(json_string_value(node), &bytes) ? (guint64)bytes : fallback;
    return json_is_integer(node) ? (guint64)json_integer_value(node) : fallback;
}

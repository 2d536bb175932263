/*
 * template.c - text with placeholders, expanded so that no value can steer a path.
 *
 * A template is a list of parts: literal text and placeholders.  Only the author's slashes
 * (in literals and in date formats) separate; values are cleaned before they are put in,
 * and each part of a path that holds a value is cleaned once more as a whole.
 */
#include "template.h"

#include <assert.h>
#include <string.h>

typedef enum filter_kind {
    FILTER_SLUG,
    FILTER_UPPER,
    FILTER_LOWER,
    FILTER_TRUNC,
    FILTER_DEFAULT
} filter_kind;

typedef struct filter {
    filter_kind kind;
    char *text;
    guint count;
} filter;

typedef struct part {
    char *literal; /* NULL: a placeholder */
    char *path, *date;
    GArray *filters;
} part;

struct dp_template {
    dp_template_kind kind;
    GArray *parts;
};

/* The path that grows: whole parts, and the one being written. */
typedef struct builder {
    dp_template_kind kind;
    GString *done, *open;
    gboolean has_value;
} builder;

/* G_DEFINE_QUARK would keep it in a variable that threads write without a lock. */
GQuark dp_route_error_quark(void)
{
    return g_quark_from_static_string("dp_route_error");
}

static gboolean fail(GError **error, dp_route_code code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static gboolean fail(GError **error, dp_route_code code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    g_set_error_literal(error, DP_ROUTE_ERROR, (int)code, text);
    return FALSE;
}

/* ---- parsing --------------------------------------------------------------- */

static void clear_filter(gpointer data)
{
    g_free(((filter *)data)->text);
}

static void clear_part(gpointer data)
{
    part *p = data;
    g_free(p->literal);
    g_free(p->path);
    g_free(p->date);
    if (p->filters != NULL)
        g_array_unref(p->filters);
}

static gboolean parse_date_format(const char *format, GError **error)
{
    if (*format == '\0')
        return fail(error, DP_ROUTE_CONFIG, "a date format is empty");
    if (g_str_has_prefix(format, "/") || g_str_has_suffix(format, "/") ||
        strstr(format, "//") != NULL || strstr(format, "..") != NULL)
        return fail(error, DP_ROUTE_CONFIG,
                    "the date format \"%s\" makes empty folders or \"..\"", format);
    for (const char *c = format; *c != '\0'; c++)
        if (*c == '%' && (*++c == '\0' || strchr("YymdjVGq%", *c) == NULL))
            return fail(error, DP_ROUTE_CONFIG,
                        "the date format \"%s\" has more than %%Y %%y %%m %%d %%j %%V "
                        "%%G %%q %%%%",
                        format);
    return TRUE;
}

static gboolean parse_filter(const char *text, part *p, GError **error)
{
    static const char *const names[] = { "slug", "upper", "lower", "trunc", "default" };
    const char *colon = strchr(text, ':');
    g_autofree char *name =
        colon != NULL ? g_strndup(text, (gsize)(colon - text)) : g_strdup(text);
    filter f = { 0 };
    gsize k = 0;
    while (k < G_N_ELEMENTS(names) && strcmp(names[k], name) != 0)
        k++;
    if (k == G_N_ELEMENTS(names))
        return fail(
            error, DP_ROUTE_CONFIG,
            "unknown filter \"%s\"; there are slug, upper, lower, trunc:N, default:TEXT",
            name);
    f.kind = (filter_kind)k;
    if ((colon != NULL) != (f.kind >= FILTER_TRUNC))
        return fail(error, DP_ROUTE_CONFIG,
                    colon != NULL ? "the filter \"%s\" takes nothing"
                                  : "the filter \"%s\" needs a \":\"",
                    name);
    if (f.kind == FILTER_TRUNC) {
        char *end;
        guint64 count = g_ascii_strtoull(colon + 1, &end, 10);
        if (!g_ascii_isdigit(colon[1]) || *end != '\0' || count < 1 || count > 255)
            return fail(error, DP_ROUTE_CONFIG, "trunc:%s: 1 to 255", colon + 1);
        f.count = (guint)count;
    } else if (f.kind == FILTER_DEFAULT) {
        if (colon[1] == '\0')
            return fail(error, DP_ROUTE_CONFIG, "default: without a text");
        f.text = g_strdup(colon + 1);
    }
    g_array_append_val(p->filters, f);
    return TRUE;
}

/* What stands between the braces. */
static gboolean parse_placeholder(const char *text, part *p, GError **error)
{
    g_auto(GStrv) pieces = g_strsplit(text, "|", -1);
    p->filters = g_array_new(FALSE, FALSE, sizeof(filter));
    g_array_set_clear_func(p->filters, clear_filter);
    if (pieces[0] == NULL)
        return fail(error, DP_ROUTE_CONFIG, "a placeholder is empty");
    char *colon = strchr(pieces[0], ':');
    if (colon != NULL) {
        *colon = '\0';
        p->date = g_strdup(colon + 1);
        if (!parse_date_format(p->date, error))
            return FALSE;
    }
    p->path = g_strdup(pieces[0]);
    const char *fault = dp_route_path_fault(p->path);
    if (fault != NULL)
        return fail(error, DP_ROUTE_CONFIG, "{%s}: %s", text, fault);
    for (char **piece = pieces + 1; *piece != NULL; piece++)
        if (!parse_filter(*piece, p, error))
            return FALSE;
    return TRUE;
}

static gboolean add_part(dp_template *t, part *p, GError **error)
{
    if (t->parts->len >= DP_TEMPLATE_PARTS_MAX) {
        clear_part(p);
        return fail(error, DP_ROUTE_CONFIG, "a template has more than %d parts",
                    DP_TEMPLATE_PARTS_MAX);
    }
    g_array_append_val(t->parts, *p);
    return TRUE;
}

static gboolean end_literal(dp_template *t, GString *literal, GError **error)
{
    if (literal->len == 0)
        return TRUE;
    part p = { .literal = g_strdup(literal->str) };
    g_string_truncate(literal, 0);
    return add_part(t, &p, error);
}

static gboolean parse_parts(dp_template *t, const char *text, GError **error)
{
    g_autoptr(GString) literal = g_string_new(NULL);
    for (const char *c = text; *c != '\0'; c++) {
        if ((*c == '{' || *c == '}') && c[1] == *c) {
            g_string_append_c(literal, *c++);
        } else if (*c == '}') {
            return fail(error, DP_ROUTE_CONFIG,
                        "a \"}\" has no \"{\" (a brace is \"}}\")");
        } else if (*c == '{') {
            const char *end = strchr(c, '}');
            if (end == NULL)
                return fail(error, DP_ROUTE_CONFIG,
                            "a \"{\" has no \"}\" (a brace is \"{{\")");
            if (!end_literal(t, literal, error))
                return FALSE;
            g_autofree char *inside = g_strndup(c + 1, (gsize)(end - c - 1));
            part p = { 0 };
            if (!parse_placeholder(inside, &p, error)) {
                clear_part(&p);
                return FALSE;
            }
            if (!add_part(t, &p, error))
                return FALSE;
            c = end;
        } else {
            g_string_append_c(literal, *c);
        }
    }
    return end_literal(t, literal, error);
}

static gboolean check_text(const char *text, GError **error)
{
    if (*text == '\0')
        return fail(error, DP_ROUTE_CONFIG, "a template is empty");
    if (strlen(text) > DP_TEMPLATE_BYTES_MAX)
        return fail(error, DP_ROUTE_CONFIG, "a template has more than %d bytes",
                    DP_TEMPLATE_BYTES_MAX);
    if (!g_utf8_validate(text, -1, NULL))
        return fail(error, DP_ROUTE_CONFIG, "a template is not UTF-8");
    for (const char *c = text; *c != '\0'; c++)
        if (g_ascii_iscntrl(*c))
            return fail(error, DP_ROUTE_CONFIG, "a template has a control character");
    return TRUE;
}

/* Every part of the path, with an "x" where a value will be, must be a name. */
static gboolean check_folders(const dp_template *t, const char *text, GError **error)
{
    g_autoptr(GString) shape = g_string_new(NULL);
    for (guint i = 0; i < t->parts->len; i++) {
        const part *p = &g_array_index(t->parts, part, i);
        g_string_append(shape, p->literal != NULL ? p->literal
                               : p->date != NULL  ? p->date
                                                  : "x");
    }
    g_auto(GStrv) pieces = g_strsplit(shape->str + (*shape->str == '/'), "/", -1);
    for (char **piece = pieces; *piece != NULL; piece++)
        if (**piece == '\0' || strcmp(*piece, ".") == 0 || strcmp(*piece, "..") == 0)
            return fail(error, DP_ROUTE_CONFIG,
                        "the path \"%s\" has an empty part, \".\" or \"..\"", text);
    return TRUE;
}

static gboolean has_literal_slash(const dp_template *t)
{
    for (guint i = 0; i < t->parts->len; i++) {
        const part *p = &g_array_index(t->parts, part, i);
        const char *text = p->literal != NULL ? p->literal : p->date;
        if (text != NULL && strchr(text, '/') != NULL)
            return TRUE;
    }
    return FALSE;
}

dp_template *dp_template_new(const char *text, dp_template_kind kind, GError **error)
{
    if (!check_text(text, error))
        return NULL;
    g_autoptr(dp_template) t = g_new0(dp_template, 1);
    t->kind = kind;
    t->parts = g_array_new(FALSE, TRUE, sizeof(part));
    g_array_set_clear_func(t->parts, clear_part);
    gboolean is_folder = kind == DP_TEMPLATE_PATH && g_str_has_suffix(text, "/");
    g_autofree char *whole = g_strconcat(text, is_folder ? "{@file}" : "", NULL);
    if (!parse_parts(t, whole, error))
        return NULL;
    if (kind == DP_TEMPLATE_NAME && has_literal_slash(t)) {
        fail(error, DP_ROUTE_CONFIG, "the name \"%s\" has a slash", text);
        return NULL;
    }
    if (kind != DP_TEMPLATE_LINE && !check_folders(t, text, error))
        return NULL;
    return g_steal_pointer(&t);
}

void dp_template_free(dp_template *t)
{
    if (t == NULL)
        return;
    g_array_unref(t->parts);
    g_free(t);
}

void dp_template_paths(const dp_template *t, const char *pointer, dp_report report,
                       void *user)
{
    for (guint i = 0; i < t->parts->len; i++) {
        const part *p = &g_array_index(t->parts, part, i);
        if (p->literal == NULL)
            report(user, pointer, FALSE, p->path);
    }
}

gboolean dp_template_is_absolute(const dp_template *t)
{
    const part *first = &g_array_index(t->parts, part, 0);
    return first->literal != NULL && *first->literal == '/';
}

/* ---- values ---------------------------------------------------------------- */

static gboolean is_unseen(gunichar c)
{
    GUnicodeType type = g_unichar_type(c);
    return type == G_UNICODE_FORMAT || type == G_UNICODE_SURROGATE ||
           type == G_UNICODE_PRIVATE_USE || type == G_UNICODE_UNASSIGNED;
}

/* Composed, printable, single blanks; for paths also without what separates or quotes. */
static char *clean_value(const char *raw, dp_template_kind kind)
{
    g_autofree char *cut = g_strndup(raw, DP_VALUE_BYTES_MAX);
    g_autofree char *valid = g_utf8_make_valid(cut, -1);
    g_autofree char *composed = g_utf8_normalize(valid, -1, G_NORMALIZE_DEFAULT_COMPOSE);
    if (composed ==
        NULL) /* of valid text: no memory, with which GLib ends everywhere else */
        g_error("no memory for a value of %zu bytes", strlen(valid));
    GString *out = g_string_new(NULL);
    gboolean is_blank = TRUE;
    for (const char *c = composed; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        if (is_unseen(u))
            continue;
        if (g_unichar_isspace(u)) {
            if (!is_blank)
                g_string_append_c(out, ' ');
            is_blank = TRUE;
            continue;
        }
        is_blank = FALSE;
        gboolean is_bad = g_unichar_iscntrl(u) || (kind != DP_TEMPLATE_LINE && u < 128 &&
                                                   strchr("/\\:*?\"<>|", (int)u));
        g_string_append_unichar(out, is_bad ? '_' : u);
    }
    if (is_blank && out->len > 0)
        g_string_truncate(out, out->len - 1);
    return g_string_free(out, FALSE);
}

static char *join_words(const char *text)
{
    GString *out = g_string_new(NULL);
    gboolean is_gap = FALSE;
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        if (!g_unichar_isalnum(u)) {
            is_gap = TRUE;
            continue;
        }
        if (is_gap && out->len > 0)
            g_string_append_c(out, '-');
        is_gap = FALSE;
        g_string_append_unichar(out, g_unichar_tolower(u));
    }
    return g_string_free(out, FALSE);
}

/* A script without ASCII counterparts keeps its own letters. */
static char *slug(const char *text)
{
    g_autofree char *ascii = g_str_to_ascii(text, "C");
    char *words = join_words(ascii);
    if (*words != '\0')
        return words;
    g_free(words);
    return join_words(text);
}

static char *apply_filter(const filter *f, const char *value)
{
    switch (f->kind) {
    case FILTER_SLUG:
        return slug(value);
    case FILTER_UPPER:
        return g_utf8_strup(value, -1);
    case FILTER_LOWER:
        return g_utf8_strdown(value, -1);
    case FILTER_TRUNC:
        return g_utf8_strlen(value, -1) > (glong)f->count
                   ? g_utf8_substring(value, 0, f->count)
                   : g_strdup(value);
    case FILTER_DEFAULT:
        return g_strdup(value);
    }
    g_assert_not_reached();
}

static guint iso_week(const GDate *date, guint *year)
{
    /* The week of a date is the week of its Thursday. */
    GDate thursday = *date;
    int shift = G_DATE_THURSDAY - (int)g_date_get_weekday(date);
    if (shift >= 0)
        g_date_add_days(&thursday, (guint)shift);
    else
        g_date_subtract_days(&thursday, (guint)-shift);
    *year = g_date_get_year(&thursday);
    return (g_date_get_day_of_year(&thursday) - 1) / 7 + 1;
}

static gboolean parse_date(const char *text, GDate *date)
{
    guint v[3] = { 0 };
    static const int widths[] = { 4, 2, 2 };
    const char *s = text;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < widths[i]; k++, s++) {
            if (!g_ascii_isdigit(*s))
                return FALSE;
            v[i] = v[i] * 10 + (guint)(*s - '0');
        }
        if (i < 2 && *s++ != '-')
            return FALSE;
    }
    if (*s != '\0' ||
        !g_date_valid_dmy((GDateDay)v[2], (GDateMonth)v[1], (GDateYear)v[0]))
        return FALSE;
    g_date_clear(date, 1);
    g_date_set_dmy(date, (GDateDay)v[2], (GDateMonth)v[1], (GDateYear)v[0]);
    return TRUE;
}

static char *format_date(const GDate *date, const char *format)
{
    GString *out = g_string_new(NULL);
    guint year = g_date_get_year(date), week_year;
    guint week = iso_week(date, &week_year);
    for (const char *c = format; *c != '\0'; c++) {
        if (*c != '%') {
            g_string_append_c(out, *c);
            continue;
        }
        switch (*++c) {
        case 'Y':
            g_string_append_printf(out, "%04u", year);
            break;
        case 'y':
            g_string_append_printf(out, "%02u", year % 100);
            break;
        case 'm':
            g_string_append_printf(out, "%02u", (guint)g_date_get_month(date));
            break;
        case 'd':
            g_string_append_printf(out, "%02u", (guint)g_date_get_day(date));
            break;
        case 'j':
            g_string_append_printf(out, "%03u", g_date_get_day_of_year(date));
            break;
        case 'V':
            g_string_append_printf(out, "%02u", week);
            break;
        case 'G':
            g_string_append_printf(out, "%04u", week_year);
            break;
        case 'q':
            g_string_append_printf(out, "%u", ((guint)g_date_get_month(date) + 2) / 3);
            break;
        default:
            g_string_append_c(out, '%');
        }
    }
    return g_string_free(out, FALSE);
}

static const filter *find_default(const part *p)
{
    for (guint i = 0; i < p->filters->len; i++) {
        const filter *f = &g_array_index(p->filters, filter, i);
        if (f->kind == FILTER_DEFAULT)
            return f;
    }
    return NULL;
}

/* ---- paths ----------------------------------------------------------------- */

static gboolean is_reserved(const char *name)
{
    static const char *const names[] = { "con",    "prn",     "aux", "nul",
                                         "conin$", "conout$", NULL };
    g_autofree char *stem = g_ascii_strdown(name, (gssize)strcspn(name, "."));
    g_strchomp(stem);
    if (g_strv_contains(names, stem))
        return TRUE;
    return strlen(stem) == 4 && g_ascii_isdigit(stem[3]) &&
           (g_str_has_prefix(stem, "com") || g_str_has_prefix(stem, "lpt"));
}

/* At most `max` bytes, cut between characters, an extension of up to 16 bytes kept. */
static char *cut_name(const char *name, gsize max)
{
    gsize length = strlen(name);
    if (length <= max)
        return g_strdup(name);
    const char *point = strrchr(name, '.');
    const char *extension =
        point != NULL && point != name && strlen(point) <= 16 ? point : "";
    gsize keep = max - strlen(extension);
    while (keep > 0 && ((guchar)name[keep] & 0xC0) == 0x80)
        keep--;
    g_autofree char *stem = g_strndup(name, keep);
    g_strchomp(stem);
    return g_strconcat(stem, extension, NULL);
}

char *dp_name_safe(const char *text)
{
    g_autofree char *clean = clean_value(text, DP_TEMPLATE_NAME);
    if (*clean != '\0' && strchr(".-~ ", *clean) != NULL)
        *clean = '_';
    for (gsize n = strlen(clean); n > 0 && (clean[n - 1] == '.' || clean[n - 1] == ' ');
         n--)
        clean[n - 1] = '\0';
    if (*clean == '\0')
        return g_strdup("_");
    g_autofree char *free_name = g_strconcat(is_reserved(clean) ? "_" : "", clean, NULL);
    return cut_name(free_name, DP_NAME_BYTES_MAX);
}

char *dp_name_numbered(const char *name, guint number)
{
    const char *point = strrchr(name, '.');
    if (point == NULL || point == name || strlen(point) > 16)
        point = name + strlen(name);
    g_autofree char *tail = g_strdup_printf("-%u%s", number, point);
    g_autofree char *stem = g_strndup(name, (gsize)(point - name));
    assert(strlen(tail) < DP_NAME_BYTES_MAX);
    gsize keep = MIN(strlen(stem), DP_NAME_BYTES_MAX - strlen(tail));
    while (keep > 0 && ((guchar)stem[keep] & 0xC0) == 0x80)
        keep--;
    stem[keep] = '\0';
    return g_strconcat(stem, tail, NULL);
}

static void close_component(builder *b)
{
    if (b->has_value && b->kind != DP_TEMPLATE_LINE) {
        g_autofree char *safe = dp_name_safe(b->open->str);
        g_string_append(b->done, safe);
    } else {
        g_string_append_len(b->done, b->open->str, (gssize)b->open->len);
    }
    g_string_truncate(b->open, 0);
    b->has_value = FALSE;
}

/* Text of the author, or of a date format: its slashes separate. */
static void add_literal(builder *b, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '/' && b->kind == DP_TEMPLATE_PATH) {
            close_component(b);
            g_string_append_c(b->done, '/');
        } else {
            g_string_append_c(b->open, *c);
        }
    }
}

static void add_value(builder *b, const char *text)
{
    g_autofree char *clean = clean_value(text, b->kind);
    g_string_append(b->open, clean);
    b->has_value = TRUE;
}

static gboolean expand_part(builder *b, const part *p, const dp_route_facts *facts,
                            const char *missing, GError **error)
{
    if (p->literal != NULL) {
        add_literal(b, p->literal);
        return TRUE;
    }
    g_autofree char *value = dp_route_text(facts, p->path);
    if (value == NULL) {
        const filter *f = find_default(p);
        if (f == NULL && missing == NULL)
            return fail(error, DP_ROUTE_VALUE, "the value {%s} is missing", p->path);
        add_value(b, f != NULL ? f->text : missing);
        return TRUE;
    }
    if (p->date != NULL) {
        GDate date;
        if (!parse_date(value, &date))
            return fail(error, DP_ROUTE_VALUE, "the value {%s} is not a date", p->path);
        g_autofree char *text = format_date(&date, p->date);
        b->has_value = TRUE;
        add_literal(b, text);
        b->has_value = TRUE;
        return TRUE;
    }
    for (guint i = 0; i < p->filters->len; i++) {
        char *next = apply_filter(&g_array_index(p->filters, filter, i), value);
        g_free(value);
        value = next;
    }
    add_value(b, value);
    return TRUE;
}

char *dp_template_expand(const dp_template *t, const dp_route_facts *facts,
                         const char *missing, GError **error)
{
    g_autoptr(GString) done = g_string_new(NULL);
    g_autoptr(GString) open = g_string_new(NULL);
    builder b = { .kind = t->kind, .done = done, .open = open };
    for (guint i = 0; i < t->parts->len; i++)
        if (!expand_part(&b, &g_array_index(t->parts, part, i), facts, missing, error))
            return NULL;
    close_component(&b);
    if (t->kind == DP_TEMPLATE_PATH && done->len > DP_TARGET_BYTES_MAX) {
        fail(error, DP_ROUTE_VALUE, "the target has %zu bytes, limit %d", done->len,
             DP_TARGET_BYTES_MAX);
        return NULL;
    }
    return g_strdup(done->str);
}

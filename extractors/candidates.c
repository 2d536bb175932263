/*
 * candidates.c - where on a page something reads as a kind.
 *
 * A pattern proposes spans, the normaliser decides.  Patterns are generous: a span too
 * many costs a little time, one too few costs the field.
 */
#include "normalize.h"

#include <string.h>

#define NUM       "(?:\\d{1,3}(?:[.,'’  ]\\d{2,3})+(?:[.,]\\d{1,6})?|\\d+(?:[.,]\\d{1,6})?)"
#define NUM_SOLID "(?:\\d{1,3}(?:[.,'’]\\d{2,3})+(?:[.,]\\d{1,6})?|\\d+(?:[.,]\\d{1,6})?)"
/* It counts bytes of what is one sign, and never comes to rest. */
/* clang-format off */
#define CUR                                                                                \
    "(?:€|£|[A-Z]{0,3}\\$|¥|₹|₺|₴|₽|₩|฿|₫|₪|₱|\\b[A-Z]{3}(?!\\p{L})|RMB?|Rp\\.?|SFr\\.?|Fr\\.|Frs\\.|zł|Kč|Ft|"    \
    "kr\\.?|lei|лв\\.?|Rs\\.?|R)"
/* clang-format on */
#define LEFT    "(?<![\\w.,/])"
#define RIGHT   "(?![\\w/]|[.,]\\d)"
#define NO_RATE "(?![\\w/]|[.,]\\d| ?%)"
#define NAME    "[\\p{L}\\p{M}]{3,14}"

static const struct {
    dx_kind kind;
    double weight;
    const char *pattern;
} finders[] = {
    /* clang-format off */
    { DX_KIND_AMOUNT, 1.0, "(?<!\\w)" CUR " ?[-−]?" NUM NO_RATE },
    { DX_KIND_AMOUNT, 1.0, LEFT "[-−]?" NUM "(?:-|,-|,–|\\.–|\\.-)? ?" CUR "(?!\\w)" },
    { DX_KIND_AMOUNT, 0.9, LEFT "[-−(]?" NUM "\\)?(?:-(?!\\d)| CR\\b|,-|\\.-|\\.–)?" NO_RATE },
    { DX_KIND_AMOUNT, 0.9, LEFT "[-−(]?" NUM_SOLID "\\)?" NO_RATE },
    { DX_KIND_AMOUNT, 0.8, "\\*+" NUM_SOLID "(?: ?[A-Z*])?(?!\\w)" },
    { DX_KIND_AMOUNT, 0.8, LEFT "\\d+[.,]\\d{2} ?[A-Z*](?!\\w)" },
    { DX_KIND_AMOUNT, 0.8, LEFT "\\d+€\\d{2}(?!\\d)" },
    /* a separator that a poor print shows twice */
    { DX_KIND_AMOUNT, 0.8, LEFT "[-−]?\\d{1,6}(?:\\.\\.|,,|\\.,|,\\.| [.,])\\d{2}(?!\\w)" },
    { DX_KIND_QUANTITY, 0.6, LEFT "[-−]?" NUM_SOLID RIGHT },
    { DX_KIND_QUANTITY, 0.8, LEFT "[-−]?" NUM_SOLID " ?\\p{L}{1,8}\\.?(?!\\w)" },
    { DX_KIND_INTEGER, 0.6, LEFT "[-−]?" NUM_SOLID RIGHT },
    { DX_KIND_PERCENT, 1.0, LEFT "[-−]?\\d{1,3}(?:[.,]\\d{1,4})? ?%" },
    { DX_KIND_PERCENT, 0.4, LEFT "\\d{1,3}(?:[.,]\\d{1,4})?" RIGHT },
    { DX_KIND_DATE, 1.0, "(?<![\\d./-])\\d{1,4}([./-]) ?\\d{1,2}\\1 ?(?:\\d{4}|\\d{1,2})(?!\\d)" },
    /* a separator that a poor print shows twice */
    { DX_KIND_DATE, 0.7, "(?<![\\d./-])\\d{1,4}([./-])\\1?\\d{1,2}\\1{1,2}(?:\\d{4}|\\d{2})(?!\\d)" },
    { DX_KIND_DATE, 1.0, "(?<![\\d./-])\\d{1,2}(?:\\.|st|nd|rd|th|er|º)?[ /.-]{0,2}(?:of |de |den )?" NAME
      "\\.?,?[ /.-]?(?:de |of |del )?(?:\\d{4}|['’]?\\d{2})(?!\\d)" },
    { DX_KIND_DATE, 1.0, "(?<!\\p{L})" NAME "\\.? ?\\d{1,2}(?:st|nd|rd|th)? ?,? ?\\d{4}(?!\\d)" },
    { DX_KIND_DATE, 1.0, "(?<!\\d)\\d{4}\\.? ?[-/]? ?" NAME "\\.? ?[-/]? ?\\d{1,2}\\.?(?!\\d)" },
    { DX_KIND_DATE, 1.0, "(?:令和|平成|昭和)?(?:\\d{1,4}|元) ?年 ?\\d{1,2} ?月 ?\\d{1,2} ?日" },
    { DX_KIND_DATE, 0.4, "(?<![\\w.-])(?:19|20)\\d{2}[01]\\d[0-3]\\d(?![\\w-])" },
    { DX_KIND_TIME, 1.0, "(?<![\\d:.])\\d{1,2}:\\d{2}(?::\\d{2})?(?: ?[AaPp]\\.?[Mm]\\.?)?(?![\\d:])" },
    { DX_KIND_TIME, 0.7, "(?<![\\d:.,])\\d{1,2}[.hH]\\d{2}(?: ?Uhr)?(?![\\d.,])" },
    { DX_KIND_CURRENCY, 1.0, "\\b[A-Z]{3}\\b" },
    { DX_KIND_CURRENCY, 0.8, "(?<!\\w)(?:[A-Z]{0,3}\\$|[€£¥₹₺₴₽₩฿₫₪₱]|SFr\\.?|Fr\\.|zł|Kč|Ft|kr|лв)" },
    { DX_KIND_CURRENCY, 0.8, "(?i)\\b(?:euros?|franken|pounds?|dollars?|kronor|kroner|forint)\\b" },
    { DX_KIND_COUNTRY, 0.8, "(?<!\\w)\\p{L}[\\p{L}.]{2,}(?:[ -]\\p{L}[\\p{L}.]+){0,3}(?!\\w)" },
    { DX_KIND_COUNTRY, 0.4, "\\b[A-Z]{2}\\b" },
    { DX_KIND_IBAN, 1.0, "(?<![A-Za-z0-9])[A-Z]{2}\\d{2}(?: ?[A-Z0-9]){11,30}(?![A-Za-z0-9])" },
    { DX_KIND_BIC, 1.0, "(?<![A-Za-z0-9])[A-Z]{6}[A-Z0-9]{2}(?: ?[A-Z0-9]{3})?(?![A-Za-z0-9])" },
    { DX_KIND_VAT_ID, 1.0, "(?<![A-Za-z0-9])(?!(?:CIF|NIF|NIP|VAT|GST|TVA|BTW|IVA|UID|ABN|UEN|SST|EIN|UST|TAX|NO|REG|ID)\\b)"
      "(?:[A-Z]{2}|CHE)[ .-]?[A-Z0-9](?:[ .-]?[A-Z0-9]){6,13}(?![A-Za-z0-9])" },
    /* without the letters of the country, as the domestic papers of many print it */
    { DX_KIND_VAT_ID, 0.6, "(?<![A-Za-z0-9.,+/-])\\d{1,12}(?:([ .-])\\d{2,9}(?:\\1\\d{1,9}){0,4})?"
      "(?:B\\d{2}|[A-Z]| ?MVA)?(?![A-Za-z0-9/]|[.,]\\d)" },
    { DX_KIND_VAT_ID, 0.6, "(?<![A-Za-z0-9.,+/-])(?:[A-Z]-?\\d{7}-?[A-Z0-9]|\\d{7,8}-?[A-Z]|[MU][A-Z\\d]-?\\d{7}-?\\d"
      "|\\d{2}[A-Z]{5}\\d{4}[A-Z]\\d[A-Z]{1}[A-Z0-9])(?![A-Za-z0-9/-])" },
    { DX_KIND_CREDITOR_ID, 1.0, "(?<![A-Za-z0-9])[A-Z]{2}\\d{2}(?: ?[A-Z0-9]){4,31}(?![A-Za-z0-9])" },
    { DX_KIND_ISO11649, 1.0, "(?<![A-Za-z0-9])RF\\d{2}(?: ?[A-Z0-9]){1,21}(?![A-Za-z0-9])" },
    { DX_KIND_QR_REFERENCE, 1.0, "(?<!\\d)\\d{2}(?: ?\\d){25}(?!\\d)" },
    { DX_KIND_GTIN, 1.0, "(?<![\\w.,])(?:\\d{8}|\\d{12,14})(?![\\w.,])" },
    { DX_KIND_GLN, 1.0, "(?<![\\w.,])\\d{13}(?![\\w.,])" },
    { DX_KIND_LEI, 1.0, "(?<![A-Za-z0-9])[A-Z0-9]{18}\\d{2}(?![A-Za-z0-9])" },
    { DX_KIND_PHONE, 1.0, "(?<![\\w])(?:\\+|00)\\d[\\d ()/.–-]{5,22}\\d" },
    { DX_KIND_PHONE, 0.6, "(?<![\\w+.,])(?<!\\d[/-])\\(?0\\d[\\d ()/–-]{4,20}\\d(?![\\w.,])" },
    { DX_KIND_PHONE, 0.6, "(?<![\\w+.,])\\(?\\d{3}\\)?[ .-]\\d{3}[ .-]\\d{4}(?![\\w])" },
    { DX_KIND_PHONE, 0.5, "(?<![\\w+.,])\\d{3}([ -])\\d{3}\\1\\d{3}(?![\\w.,]|[ -]\\d)" },
    { DX_KIND_PHONE, 0.5, "(?<![\\w+.,])\\(?\\d{2}\\)?[ -]\\d{3}[ -]\\d{2}[ -]\\d{2}(?![\\w.,]|[ -]\\d)" },
    { DX_KIND_EMAIL, 1.0, "[\\w.+-]{1,64}@[\\w-]+(?:\\.[\\w-]+)+" },
    { DX_KIND_URL, 1.0, "(?i)(?:https?://|www\\.)[\\w./?&=%#~+-]{4,200}" },
    { DX_KIND_URL, 0.5, "(?<![\\w@.-])[a-z0-9-]{2,63}(?:\\.[a-z0-9-]{2,63})*\\.[a-z]{2,6}(?![\\w@.-])" },
    /* One token with a digit; one or two more behind single blanks. */
    { DX_KIND_ID, 1.0, "(?<![\\w/.#-])[\\p{L}#]*[\\w/.#_-]*\\d[\\w/.#_-]*" },
    { DX_KIND_ID, 0.5, "(?<![\\w/.#-])(?=[^\\t\\n]{0,40}\\d)[\\p{L}\\d#][\\w/.#_-]{0,24} [\\w/.#_-]*\\d[\\w/.#_-]*" },
    { DX_KIND_ID, 0.4, "(?<![\\w/.#-])\\d[\\w/.-]{0,14} \\d[\\w/.-]{0,14} \\d[\\w/.-]{0,14}(?: \\d[\\w/.-]{0,14})?" },
    /* clang-format on */
};

static void candidate_clear(gpointer data)
{
    g_free(((dx_candidate *)data)->value);
}

static gint by_start(gconstpointer a, gconstpointer b)
{
    const dx_candidate *x = a, *y = b;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    if (x->end != y->end)
        return x->end > y->end ? -1 : 1;
    return x->weight > y->weight ? -1 : x->weight < y->weight;
}

/* Bare whole numbers are seldom amounts, wrong check digits seldom identifiers. */
static double judge_weight(dx_kind kind, double weight, const char *span,
                           const char *value)
{
    if (kind == DX_KIND_AMOUNT) {
        const char *dot = strchr(value, '.');
        gboolean bare = strpbrk(span, ".,'") == NULL;
        if (bare && weight < 1)
            return 0.3;
        if (dot != NULL && strlen(dot) != 3)
            return weight * 0.6;
    }
    dx_verdict verdict = dx_identifier_check(kind, value);
    if (verdict == DX_VERDICT_CHECKSUM || verdict == DX_VERDICT_FORM)
        return weight * 0.3;
    return weight;
}

/* "SDN BHD" is a company, "TRY OUR" an offer: a code that is also a word is a currency
 * beside a number, or alone in its cell. */
static gboolean is_word_not_code(const char *text, gsize bytes, gsize start, gsize end)
{
    static const char *const codes[] = { "ALL", "TOP", "TRY", "CUP", "GEL", "MOP", "BAM",
                                         "PEN", "PAB", "COP", "MAD", "RON", "BHD", "SOS",
                                         "ANG", "LAK", "NAD", "SLE", "MUR", "ERN", NULL };
    if (end - start != 3)
        return FALSE;
    g_autofree char *code = g_strndup(text + start, 3);
    if (!g_strv_contains(codes, code))
        return FALSE;
    gsize before = start, after = end;
    while (before > 0 && text[before - 1] == ' ')
        before--;
    while (after < bytes && text[after] == ' ')
        after++;
    char left = before > 0 ? text[before - 1] : '\n';
    char right = after < bytes ? text[after] : '\n';
    gboolean is_alone =
        strchr("\t\n([:", left) != NULL && strchr("\t\n)]:", right) != NULL;
    return !g_ascii_isdigit(left) && !g_ascii_isdigit(right) && !is_alone;
}

static void add_span(GArray *out, dx_kind kind, const char *text, gsize bytes,
                     gsize start, gsize end, double weight, const dx_context *context)
{
    if (kind == DX_KIND_ID)
        while (end > start && strchr(".,-/#_", text[end - 1]) != NULL)
            end--;
    if (kind == DX_KIND_PHONE && text[start] == '(' &&
        memchr(text + start, ')', end - start) == NULL)
        start++;
    if (kind == DX_KIND_CURRENCY && is_word_not_code(text, bytes, start, end))
        return;
    if (end <= start || end - start > 200 || out->len >= DX_CANDIDATES_MAX)
        return;
    g_autofree char *span = g_strndup(text + start, end - start);
    char *value = NULL;
    if (!dx_normalize(kind, span, context, &value, NULL))
        return;
    gboolean strict = kind == DX_KIND_GTIN || kind == DX_KIND_GLN ||
                      kind == DX_KIND_LEI || kind == DX_KIND_CREDITOR_ID ||
                      kind == DX_KIND_QR_REFERENCE;
    if (strict && dx_identifier_check(kind, value) != DX_VERDICT_PASS) {
        g_free(value);
        return;
    }
    dx_candidate found = { start, end, judge_weight(kind, weight, span, value), value };
    g_array_append_val(out, found);
}

/* A run of groups may have swallowed the next words ("IBAN ... BIC ..."): cut at blanks
 * until the check digit closes; without that keep the whole. */
static gsize shorten(dx_kind kind, const char *text, gsize start, gsize end,
                     const dx_context *context)
{
    for (gsize cut = end; cut > start + 4; cut--) {
        if (cut != end && text[cut] != ' ')
            continue;
        g_autofree char *span = g_strndup(text + start, cut - start);
        g_autofree char *value = NULL;
        if (dx_normalize(kind, span, context, &value, NULL) &&
            dx_identifier_check(kind, value) == DX_VERDICT_PASS)
            return cut;
    }
    return end;
}

static void find_one(GArray *out, gsize which, const char *text, gsize bytes,
                     const dx_context *context)
{
    dx_kind kind = finders[which].kind;
    gboolean grouped = kind == DX_KIND_IBAN || kind == DX_KIND_VAT_ID ||
                       kind == DX_KIND_ISO11649 || kind == DX_KIND_CREDITOR_ID;
    g_autoptr(GError) error = NULL;
    g_autoptr(GRegex) regex = g_regex_new(finders[which].pattern, 0, 0, &error);
    g_assert_no_error(error); /* the patterns are ours */
    for (gsize at = 0; at < bytes && out->len < DX_CANDIDATES_MAX;) {
        g_autoptr(GMatchInfo) match = NULL;
        int start, end;
        if (!g_regex_match_full(regex, text, (gssize)bytes, (int)at, 0, &match, NULL) ||
            !g_match_info_fetch_pos(match, 0, &start, &end))
            break;
        gsize stop = (gsize)end;
        if (grouped)
            stop = shorten(kind, text, (gsize)start, stop, context);
        add_span(out, kind, text, bytes, (gsize)start, stop, finders[which].weight,
                 context);
        /* Go on behind the first token, so that spans may overlap. */
        gsize next = (gsize)start + 1;
        if (grouped && stop > next)
            next = stop;
        while (!grouped && next < (gsize)end && text[next] != ' ')
            next++;
        while (next < bytes && ((guchar)text[next] & 0xc0) == 0x80)
            next++;
        at = next;
    }
}

gboolean dx_is_rate(const char *behind)
{
    return behind[strspn(behind, " ")] == '%';
}

static gboolean is_covered(const GArray *spans, const dx_candidate *c, double least)
{
    for (guint i = 0; i < spans->len; i++) {
        const dx_candidate *s = &g_array_index(spans, dx_candidate, i);
        if (s->weight >= least && c->start < s->end && c->end > s->start)
            return TRUE;
    }
    return FALSE;
}

/* "0267 251 0180": figures in groups behind a 0 are dialled.  Of tax numbers only the
 * Belgian, of ten figures, begins so. */
static gboolean is_dialled(const char *span, gsize bytes)
{
    guint digits = 0, blanks = 0;
    for (gsize i = 0; i < bytes; i++) {
        digits += g_ascii_isdigit(span[i]) != 0;
        blanks += span[i] == ' ';
    }
    return span[0] == '0' && blanks > 0 && digits + blanks == bytes && digits != 10;
}

/* What is an account, a date, a telephone or a sum of money is no tax number. */
static void drop_covered(GArray *out, const char *text, gsize bytes,
                         const dx_context *context)
{
    static const struct {
        dx_kind kind;
        double least;
    } others[] = { { DX_KIND_IBAN, 0.9 }, { DX_KIND_DATE, 1.0 }, { DX_KIND_PHONE, 1.0 } };
    for (guint i = out->len; i > 0; i--) { /* nor is a piece of one */
        const dx_candidate *c = &g_array_index(out, dx_candidate, i - 1);
        gboolean is_piece = is_dialled(text + c->start, c->end - c->start);
        for (guint k = 0; k < out->len && !is_piece; k++) {
            const dx_candidate *o = &g_array_index(out, dx_candidate, k);
            is_piece = o->start <= c->start && o->end >= c->end &&
                       o->end - o->start > c->end - c->start && o->weight >= c->weight;
        }
        if (is_piece)
            g_array_remove_index(out, i - 1);
    }
    for (gsize k = 0; k < G_N_ELEMENTS(others) && out->len > 0; k++) {
        g_autoptr(GArray) spans =
            dx_find_candidates(others[k].kind, text, bytes, context);
        for (guint i = spans->len; others[k].kind == DX_KIND_PHONE && i > 0; i--)
            if (text[g_array_index(spans, dx_candidate, i - 1).start] != '+')
                g_array_remove_index(spans, i - 1);
        for (guint i = out->len; i > 0; i--)
            if (is_covered(spans, &g_array_index(out, dx_candidate, i - 1),
                           others[k].least))
                g_array_remove_index(out, i - 1);
    }
}

GArray *dx_find_candidates(dx_kind kind, const char *text, gsize bytes,
                           const dx_context *context)
{
    GArray *out = g_array_new(FALSE, FALSE, sizeof(dx_candidate));
    g_array_set_clear_func(out, candidate_clear);
    if (bytes > DX_TEXT_BYTES_MAX || !g_utf8_validate(text, (gssize)bytes, NULL))
        return out;
    for (gsize i = 0; i < G_N_ELEMENTS(finders); i++)
        if (finders[i].kind == kind)
            find_one(out, i, text, bytes, context);
    g_array_sort(out, by_start);
    for (guint i = 1; i < out->len;) {
        const dx_candidate *a = &g_array_index(out, dx_candidate, i - 1);
        const dx_candidate *b = &g_array_index(out, dx_candidate, i);
        if (a->start == b->start && a->end == b->end)
            g_array_remove_index(out, i);
        else
            i++;
    }
    if (kind == DX_KIND_VAT_ID)
        drop_covered(out, text, bytes, context);
    return out;
}

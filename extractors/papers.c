/*
 * papers.c - numbers and dates that no label but the heading or a sentence names.
 */
#include "clue.h"

#include <string.h>

#include "address.h"

static char *folded_line(const dx_layout *l, gsize at, gsize *from, gsize *to)
{
    *from = *to = at;
    while (*from > 0 && l->text[*from - 1] != '\n')
        (*from)--;
    while (*to < l->bytes && l->text[*to] != '\n')
        (*to)++;
    return dx_fold(l->text + *from, *to - *from);
}

static gboolean has_part(const char *folded, const char *const *parts)
{
    for (; *parts != NULL; parts++)
        if (strstr(folded, *parts) != NULL)
            return TRUE;
    return FALSE;
}

static const char *const title_parts[] = { "rechnung",   "invoice",       "faktura",
                                           "factur",     "fattura",       "factuur",
                                           "fatura",     "gutschrift",    "credit note",
                                           "abrechnung", "danovy doklad", NULL };
static const char *const pay_parts[] = { "zahl",     "uberweis", "pay",    "remit",
                                         "fallig",   " due",     "payer",  "pagar",
                                         "pagament", "betal",    "zaplat", "zaplac",
                                         "uhrad",    "platn",    "splat",  "scadenza",
                                         "vencim",   "echeance", NULL };

/* The word or two before a span, folded. */
static char *before_of(const dx_layout *l, gsize start, gsize from)
{
    gsize at = start > from + 24 ? start - 24 : from;
    while (at < start && ((guchar)l->text[at] & 0xc0) == 0x80)
        at++;
    g_autofree char *text = dx_fold(l->text + at, start - at);
    return g_strchomp(g_strdup(text));
}

static gboolean ends_with(const char *text, const char *const *ends)
{
    for (; *ends != NULL; ends++) {
        gsize n = strlen(*ends), have = strlen(text);
        if (have >= n && strcmp(text + have - n, *ends) == 0 &&
            (have == n || !g_ascii_isalpha(text[have - n - 1])))
            return TRUE;
    }
    return FALSE;
}

static void add_numbers(const dx_scene *s, GArray *clues)
{
    static const char *const numbers[] = {
        "no",      "no.",     "nr",       "nr.",     "no:",     "nr:",     "#",
        "c.",      "n.",      "n°",       "nº",      "no.:",    "nr.:",    "c.:",
        "number",  "nummer",  "rechnung", "invoice", "faktura", "facture", "factuur",
        "fattura", "factura", "fatura",   NULL
    };
    const dx_layout *l = s->layout;
    g_autoptr(GArray) found =
        dx_find_candidates(DX_KIND_ID, l->text, l->bytes, s->context);
    for (guint i = 0; i < found->len; i++) {
        const dx_candidate *c = &g_array_index(found, dx_candidate, i);
        gsize from, to;
        g_autofree char *line = folded_line(l, c->start, &from, &to);
        if (!has_part(line, title_parts) || to - from > 120)
            continue;
        g_autofree char *before = before_of(l, c->start, from);
        g_autofree char *whole = dx_fold(l->text + from, c->start - from);
        const char *blank = memchr(l->text + c->start, ' ', c->end - c->start);
        if (blank == NULL && ends_with(before, numbers) && has_part(whole, title_parts))
            dx_clue_span(clues, l, "invoice_number", c->start, c->end, 2.5);
    }
}

/* Does the line hold the paper's number too? */
static gboolean has_number(const GArray *clues, const dx_layout *l, gsize from, gsize to)
{
    g_autofree char *line = g_strndup(l->text + from, to - from);
    for (guint i = 0; i < clues->len; i++) {
        const dx_clue *c = &g_array_index(clues, dx_clue, i);
        if (strcmp(c->ask, "invoice_number") == 0 && strstr(line, c->raw) != NULL)
            return TRUE;
    }
    return FALSE;
}

static void add_dates(const dx_scene *s, GArray *clues)
{
    static const char *const until[] = {
        "bis",      "bis zum",      "until", "by",       "before",    "due on",
        "due",      "on or before", "am",    "zum",      "avant le",  "entro",
        "entro il", "uiterlijk",    "voor",  "antes de", "antes del", "do",
        "do dnia",  "dne",          "le",    "il",       "on",        NULL
    };
    static const char *const period[] = { "zeitraum", "period", "periode", "periodo",
                                          "okres",    "obdob",  NULL };
    const dx_layout *l = s->layout;
    g_autoptr(GArray) found =
        dx_find_candidates(DX_KIND_DATE, l->text, l->bytes, s->context);
    gsize last = 0;
    guint seen = 0;
    for (guint i = 0; i < found->len; i++) {
        const dx_candidate *c = &g_array_index(found, dx_candidate, i);
        if (c->start < last)
            continue;
        last = c->end;
        gsize from, to;
        g_autofree char *line = folded_line(l, c->start, &from, &to);
        g_autofree char *before = before_of(l, c->start, from);
        g_autofree char *after = dx_fold(l->text + c->end, MIN(to, c->end + 24) - c->end);
        gboolean is_paid = has_part(line, pay_parts),
                 is_title = has_part(line, title_parts) && to - from < 120;
        if (is_paid && ends_with(before, until) && !has_part(line, period))
            dx_clue_span(clues, l, "due_date", c->start, c->end, 2.5);
        else if (strstr(after, "fallig") != NULL)
            dx_clue_span(clues, l, "due_date", c->start, c->end, 2.5);
        else if (is_title && !is_paid && !has_part(line, period))
            dx_clue_span(clues, l, "issue_date", c->start, c->end,
                         has_number(clues, l, from, to) ? 3.5 : 2.2);
        else if (seen == 0 && s->is_first_page && !is_paid && !has_part(line, period))
            dx_clue_span(clues, l, "issue_date", c->start, c->end, 1.0);
        seen++;
    }
}

void dx_clues_papers(const dx_scene *s, GArray *clues)
{
    add_numbers(s, clues);
    add_dates(s, clues);
}

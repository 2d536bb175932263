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
        /* the title and its number are one run of words */
        const dx_cell *cell = dx_layout_cell(l, c->start);
        gboolean is_short = c->end - c->start < 4;
        if (is_short || cell == NULL || cell->start == c->start)
            continue;
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

/* What stands nearer to one of these labels is another paper's number or another day. */
static const struct {
    const char *ask;
    dx_kind kind;
    const char *labels[64];
} strangers[] = {
    { "invoice_number",
      DX_KIND_ID,
      { "Related invoice",
        "Ref. invoice no",
        "Reference invoice",
        "Original invoice",
        "Original invoice no",
        "Corrects invoice",
        "Preceding invoice",
        "Invoice ref",
        "Zu Rechnung",
        "Zu Rechnung Nr",
        "Ursprungsrechnung",
        "Originalrechnung",
        "Bezug Rechnung",
        "Rechnungsbezug",
        "Korrektur zu Rechnung",
        "Storno zu Rechnung",
        "Facture d'origine",
        "Facture initiale",
        "Réf. facture",
        "Annule la facture",
        "Factura original",
        "Factura rectificada",
        "Factura de referencia",
        "Fattura di riferimento",
        "Fattura originale",
        "Rif. fattura",
        "Oorspronkelijke factuur",
        "Betreft factuur",
        "Originele factuur",
        "Fatura original",
        "Fatura de referência",
        "Ref. fatura",
        "Do faktury",
        "Faktura korygowana",
        "K faktuře",
        "Původní faktura",
        "Version",
        "Release",
        "Viewer",
        NULL } },
    { "issue_date",
      DX_KIND_DATE,
      { "Order date",
        "Date of order",
        "Print date",
        "Printed on",
        "Ship date",
        "Contract date",
        "Statement date",
        "Training date",
        "Delivery note date",
        "Date of birth",
        "Auftragsdatum",
        "Druckdatum",
        "Lieferscheindatum",
        "Bestelldatum",
        "Vertragsdatum",
        "Versanddatum",
        "Date de commande",
        "Date d'impression",
        "Date du contrat",
        "Date du bon de livraison",
        "Fecha de pedido",
        "Fecha de impresión",
        "Fecha de envío",
        "Data ordine",
        "Data stampa",
        "Data DDT",
        "Orderdatum",
        "Besteldatum",
        "Afdrukdatum",
        "Datum pakbon",
        "Data da encomenda",
        "Data de impressão",
        "Data zamówienia",
        "Datum objednávky",
        "Data wydruku",
        "Data umowy",
        "Data wysyłki",
        "Data WZ",
        "Datum tisku",
        "Datum smlouvy",
        "Datum odeslání",
        "Datum dodacího listu",
        NULL } },
};

static void add_strangers(const dx_scene *s, GArray *clues)
{
    const dx_layout *l = s->layout;
    for (gsize k = 0; k < G_N_ELEMENTS(strangers); k++) {
        g_autoptr(GArray) labels = dx_layout_labels(l, strangers[k].labels);
        g_autoptr(GArray) found =
            labels->len > 0
                ? dx_find_candidates(strangers[k].kind, l->text, l->bytes, s->context)
                : g_array_new(FALSE, FALSE, sizeof(dx_candidate));
        for (guint i = 0; i < found->len; i++) {
            const dx_candidate *c = &g_array_index(found, dx_candidate, i);
            double other = 0, own = dx_mark_score(s, strangers[k].ask, c->start, c->end);
            for (guint n = 0; n < labels->len; n++)
                other = MAX(other, dx_layout_score(l, &g_array_index(labels, dx_label, n),
                                                   c->start, c->end));
            if (other > 0.4 && other >= own - 0.05)
                dx_clue_span(clues, l, strangers[k].ask, c->start, c->end, -3 * other);
        }
    }
}

void dx_clues_papers(const dx_scene *s, GArray *clues)
{
    add_strangers(s, clues);
    add_numbers(s, clues);
    add_dates(s, clues);
}

/*
 * totals.c - which amounts of a page are its sums: the words beside each amount, and the
 * set of amounts that adds up.
 *
 * Every amount gets a leaning to each role from the words of its row (or, without any, of
 * the heading of its column).  Then net, tax and gross are chosen together: the set whose
 * leanings and whose arithmetic are worth most.
 */
#include "table.h"

#include <math.h>
#include <string.h>

#define AMOUNTS_MAX 400u /* of one page */
#define TOP_MAX     16u  /* amounts tried for a role */

/* Worth in logits; one table for invoices and receipts. */
#define SUM_ADDS_UP    3.0  /* net + tax = gross */
#define SUM_NO_TAX     0.7  /* net = gross, tax 0 */
#define SUM_CONTRADICT -2.5 /* net + tax != gross */
#define SUM_RATE       1.0  /* tax / net is a rate that is printed */
#define SUM_LARGEST    1.0  /* no larger amount with words of its own */
#define SUM_LOW        0.8  /* for the whole height of the page */
#define SUM_LABEL      1.5  /* a label of the schema right beside */
#define SUM_ZERO       -2.0 /* a gross of nothing */
#define SUM_CASH       5.0  /* cash - total = change */
#define SUM_CASH_NEAR  2.0  /* but for a cent */
#define SUM_ROUNDED    4.0  /* total before + rounding = total */
#define SUM_PAID       4.0  /* gross - paid = due */
#define SUM_DOUBLED    -1.0 /* a decimal sign read twice */
#define SUM_EXACT      1.5  /* just that was paid */

typedef enum role { NET, TAX, GROSS, DUE, CASH, CHANGE, ROLES } role;

typedef struct item {
    gsize start, end; /* of its page's text */
    char *raw;
    uint32_t page;
    gboolean is_read;
    double seen;
    int64_t micro;
    dx_box box;
    double lean[ROLES];
    gboolean is_named, is_rounding, is_paid;
    guint rounded; /* index + 1 of the sum after rounding */
} item;

struct dx_totals {
    GArray *items; /* of item, in reading order */
    GArray *rates; /* of int64_t: percentages printed, in millionths */
    GArray *clues; /* made once, when first asked for */
};

static void item_clear(gpointer data)
{
    g_free(((item *)data)->raw);
}

dx_totals *dx_totals_new(void)
{
    dx_totals *t = g_new0(dx_totals, 1);
    t->items = g_array_new(FALSE, TRUE, sizeof(item));
    g_array_set_clear_func(t->items, item_clear);
    t->rates = g_array_new(FALSE, TRUE, sizeof(int64_t));
    return t;
}

void dx_totals_free(dx_totals *t)
{
    if (t == NULL)
        return;
    g_array_unref(t->items);
    g_array_unref(t->rates);
    g_clear_pointer(&t->clues, g_array_unref);
    g_free(t);
}

/* ---- words -------------------------------------------------------------------------- */

enum {
    W_SUM = 1,
    W_NET = 2,
    W_TAX = 4,
    W_GROSS = 8,
    W_DUE = 16,
    W_OTHER = 32,
    W_CASH = 64,
    W_CHANGE = 128,
    W_WITHOUT = 256,
    W_WITH = 512,
    W_PAY = 1024,
    W_SUB = 2048,
    W_ROUND = 4096,
    W_PAID = 8192,
    W_RATE = 16384 /* a sum of what has one rate of tax */
};

static const struct {
    const char *
        part; /* folded; a leading blank asks for the start of a word, a closing one for its end */
    int bits;
} words[] = {
    { " total", W_SUM },
    { "totaal", W_SUM },
    { "gesamt", W_SUM },
    { "summe", W_SUM },
    { " sum ", W_SUM },
    { " suma", W_SUM },
    { " razem", W_SUM },
    { " celkem", W_SUM },
    { " totale", W_SUM },
    { " montant", W_SUM },
    { " importe", W_SUM },
    { "betrag", W_SUM },
    { "beitrag", W_SUM },
    { " amount", W_SUM },
    { "bedrag", W_SUM },
    { " kwota", W_SUM },
    { " castka", W_SUM },
    { " valor", W_SUM },
    { " jumlah", W_SUM },
    { " ttl ", W_SUM },
    { " totai", W_SUM },
    { " tota1", W_SUM },
    { " tolal", W_SUM },
    { " net ", W_NET },
    { "netto", W_NET },
    { "nett ", W_NET },
    { " neto", W_NET },
    { "subtotal", W_NET | W_SUB },
    { "sub total", W_NET | W_SUB },
    { "sub-total", W_NET | W_SUB },
    { "subtotaal", W_NET | W_SUB },
    { "zwischensumme", W_NET | W_SUB },
    { "sous-total", W_NET | W_SUB },
    { "sous total", W_NET | W_SUB },
    { "mezisoucet", W_NET | W_SUB },
    { "positionssumme", W_NET | W_SUB },
    { "line total", W_NET | W_SUB },
    { " ht ", W_NET },
    { "hors tax", W_NET },
    { "imponibil", W_NET },
    { " base ", W_NET },
    { "zaklad", W_NET },
    { "iliquido", W_NET },
    { "taxable", W_NET },
    { "warenwert", W_NET },
    { "bemessung", W_NET },
    { "grondslag", W_NET },
    { " excl", W_WITHOUT },
    { " exkl", W_WITHOUT },
    { " exc ", W_WITHOUT },
    { " ex ", W_WITHOUT },
    { " ohne ", W_WITHOUT },
    { " before ", W_WITHOUT },
    { " without ", W_WITHOUT },
    { " zzgl", W_TAX },
    { " sans ", W_WITHOUT },
    { " sin ", W_WITHOUT },
    { " sem ", W_WITHOUT },
    { " senza ", W_WITHOUT },
    { " bez ", W_WITHOUT },
    { " not incl", W_WITHOUT },
    { "exclusi", W_WITHOUT },
    { " tax", W_TAX },
    { " vat", W_TAX },
    { " gst", W_TAX },
    { " hst", W_TAX },
    { " sst", W_TAX },
    { " mwst", W_TAX },
    { "mehrwertst", W_TAX },
    { " ust", W_TAX },
    { "steuer", W_TAX },
    { " tva", W_TAX },
    { " iva ", W_TAX },
    { " btw", W_TAX },
    { " dph", W_TAX },
    { " dan ", W_TAX },
    { " dane ", W_TAX },
    { "podat", W_TAX },
    { " ptu", W_TAX },
    { "impost", W_TAX },
    { "cuota", W_TAX },
    { " service charge", W_OTHER },
    { "gross", W_GROSS },
    { "brutto", W_GROSS },
    { " ttc", W_GROSS },
    { " grand", W_GROSS },
    { "rechnungsbetrag", W_GROSS },
    { "rechnungsbeitrag", W_GROSS },
    { "rechnungssumme", W_GROSS },
    { "rechnungsendbetrag", W_GROSS },
    { "endsumme", W_GROSS },
    { "endbetrag", W_GROSS },
    { "invoice total", W_GROSS },
    { "total invoice", W_GROSS },
    { "total factur", W_GROSS },
    { "factuurbedrag", W_GROSS },
    { "total a payer", W_GROSS },
    { "bill total", W_GROSS },
    { "total for this", W_GROSS },
    { "nett total", W_GROSS },
    { "% suppl", W_OTHER | W_RATE },
    { " incl", W_WITH },
    { " inkl", W_WITH },
    { " inc ", W_WITH },
    { " inc. ", W_WITH },
    { "inclusi", W_WITH },
    { " con iva", W_WITH },
    { " com iva", W_WITH },
    { " s dph", W_WITH },
    { " s dan", W_WITH },
    { " including", W_WITH },
    { " due", W_DUE },
    { "payable", W_DUE },
    { "zahlbetrag", W_DUE },
    { "zu zahlen", W_DUE },
    { "zahlungsbetrag", W_DUE },
    { " offen", W_DUE },
    { "open amount", W_DUE },
    { "a payer", W_DUE },
    { "da pagare", W_DUE },
    { "a pagare", W_DUE },
    { "a pagar", W_DUE },
    { "te betalen", W_DUE },
    { "do zaplaty", W_DUE },
    { "k uhrade", W_DUE },
    { "outstanding", W_DUE },
    { "balance", W_DUE },
    { "restbetrag", W_DUE },
    { "to pay", W_DUE },
    { "reste", W_DUE },
    { "saldo", W_DUE },
    { " paid", W_OTHER | W_PAID },
    { "prepaid", W_OTHER | W_PAID },
    { " deposit", W_OTHER | W_PAID },
    { "anzahlung", W_OTHER | W_PAID },
    { "vorausbezahlt", W_OTHER | W_PAID },
    { "advance", W_OTHER | W_PAID },
    { "acompte", W_OTHER | W_PAID },
    { "anticipo", W_OTHER | W_PAID },
    { "aanbetaling", W_OTHER | W_PAID },
    { " betaald", W_OTHER | W_PAID },
    { " voldaan", W_OTHER | W_PAID },
    { " paye ", W_OTHER | W_PAID },
    { " regle ", W_OTHER | W_PAID },
    { " pagado", W_OTHER | W_PAID },
    { " a cuenta", W_OTHER | W_PAID },
    { " pagato", W_OTHER | W_PAID },
    { " acconto", W_OTHER | W_PAID },
    { " acconti", W_OTHER | W_PAID },
    { " pago ", W_OTHER | W_PAID },
    { "adiantamento", W_OTHER | W_PAID },
    { "bereits gezahlt", W_OTHER | W_PAID },
    { "bereits bezahlt", W_OTHER | W_PAID },
    { " bezahlt", W_OTHER | W_PAID },
    { " payments ", W_OTHER | W_PAID },
    { "zaplacono", W_OTHER | W_PAID },
    { " zaplaceno", W_OTHER | W_PAID },
    { " zaloha", W_OTHER | W_PAID },
    { " zaliczk", W_OTHER | W_PAID },
    { " restant", W_DUE },
    { " solde", W_DUE },
    { "pendiente", W_DUE },
    { "em divida", W_DUE },
    { "falliger betrag", W_DUE },
    { "noch zu zahlen", W_DUE },
    { "verbleibend", W_DUE },
    { "zahllast", W_DUE },
    { "openstaand", W_DUE },
    { "pozostalo", W_DUE },
    { " zbyva", W_DUE },
    { "doplatit", W_DUE },
    { "discount", W_OTHER },
    { "rabatt", W_OTHER },
    { "skonto", W_OTHER },
    { "remise", W_OTHER },
    { "descuento", W_OTHER },
    { "sconto", W_OTHER },
    { "korting", W_OTHER },
    { "sleva", W_OTHER },
    { "rabat", W_OTHER },
    { " disc ", W_OTHER },
    { "shipping", W_OTHER },
    { "versand", W_OTHER },
    { "freight", W_OTHER },
    { " porto", W_OTHER },
    { "rounding", W_OTHER | W_ROUND },
    { "rundung", W_OTHER | W_ROUND },
    { "allowance", W_OTHER },
    { "abschl", W_OTHER },
    { "zuschl", W_OTHER },
    { " rnd", W_OTHER | W_ROUND },
    { "round", W_ROUND },
    { " adj", W_OTHER },
    { "surcharge", W_OTHER },
    { "charge:", W_OTHER },
    { "delivery", W_OTHER },
    { "saving", W_OTHER },
    { "points", W_OTHER },
    { "previous", W_OTHER },
    { " qty", W_OTHER },
    { "quantity", W_OTHER },
    { " item", W_OTHER },
    { "per unit", W_OTHER },
    { "price", W_OTHER },
    { "preis", W_OTHER },
    { " count", W_OTHER },
    { " cash", W_CASH },
    { "accepted", W_CASH },
    { "tender", W_CASH },
    { " visa", W_CASH },
    { "master", W_CASH },
    { " card", W_CASH },
    { "debit", W_CASH },
    { "credit", W_CASH },
    { " bar ", W_CASH },
    { "gegeben", W_CASH },
    { " tunai", W_CASH },
    { " received", W_CASH },
    { "payment", W_CASH },
    { "contant", W_CASH },
    { "espece", W_CASH },
    { "efectivo", W_CASH },
    { "gotowk", W_CASH },
    { "hotov", W_CASH },
    { "bancomat", W_CASH },
    { " pin ", W_CASH },
    { "karte", W_CASH },
    { "girocard", W_CASH },
    { "entregado", W_CASH },
    { "ontvangen", W_CASH },
    { "amex", W_CASH },
    { " change", W_CHANGE },
    { "ruckgeld", W_CHANGE },
    { "zuruck", W_CHANGE },
    { "wechselgeld", W_CHANGE },
    { "rendu", W_CHANGE },
    { " cambio", W_CHANGE },
    { " resto", W_CHANGE },
    { "wisselgeld", W_CHANGE },
    { " terug", W_CHANGE },
    { "troco", W_CHANGE },
    { "reszta", W_CHANGE },
    { "vraceno", W_CHANGE },
    { " baki", W_CHANGE },
    { "nazpet", W_CHANGE },
};

/* Words of sums with one letter misread, for their own bits. */
static int nearly(const char *word)
{
    static const struct {
        const char *word;
        int bits;
    } sums[] = { { "total", W_SUM },
                 { "subtotal", W_NET | W_SUB },
                 { "rounding", W_OTHER | W_ROUND },
                 { "payable", W_DUE },
                 { "balance", W_DUE },
                 { "inclusive", W_WITH },
                 { "exclusive", W_WITHOUT },
                 { "change", W_CHANGE } };
    gsize n = strlen(word);
    for (gsize i = 0; i < G_N_ELEMENTS(sums); i++) {
        guint wrong = 0;
        for (gsize k = 0; k < n && strlen(sums[i].word) == n; k++)
            wrong += word[k] != sums[i].word[k];
        if (strlen(sums[i].word) == n && wrong == 1)
            return sums[i].bits;
    }
    /* "uclusive": two letters run together */
    return n > 6 && g_str_has_suffix(word, "clusive") && word[0] != 'e' ? W_WITH : 0;
}

/* "i.v.a." is "iva"; "p.iva" stays. */
static void join_initials(char *text)
{
    char *to = text, before = '\0', last = '\0'; /* the two signs before this one */
    for (const char *c = text; *c != '\0'; c++) {
        gboolean is_single =
            *c == '.' && g_ascii_isalpha(last) && !g_ascii_isalnum(before);
        gboolean goes_on = before == '.' || (g_ascii_isalpha(c[1]) && c[2] == '.');
        before = last;
        last = *c;
        if (!is_single || !goes_on)
            *to++ = *c;
    }
    *to = '\0';
}

static int bits_of(const char *label)
{
    g_autofree char *folded = dx_fold(label, strlen(label));
    join_initials(folded);
    GString *t = g_string_new(" ");
    for (const char *c = folded; *c != '\0'; c++)
        g_string_append_c(t, strchr(":*|()[]=\t", *c) != NULL ? ' ' : *c);
    g_string_append_c(t, ' ');
    int bits = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (strstr(t->str, words[i].part) != NULL)
            bits |= words[i].bits;
    g_auto(GStrv) parts = g_strsplit(t->str, " ", -1);
    for (char **part = parts; *part != NULL; part++)
        bits |= nearly(*part);
    g_string_free(t, TRUE);
    return bits;
}

/* "excluding tax" is net, "including tax" is gross, neither is a tax. */
static void lean_by_words(item *it, int b, double weight)
{
    gboolean has_tax = (b & W_TAX) != 0;
    if (has_tax && (b & W_WITHOUT))
        b = (b & ~(W_TAX | W_WITHOUT | W_GROSS)) | W_NET;
    else if (has_tax && (b & W_WITH))
        b = (b & ~(W_TAX | W_WITH)) | W_GROSS;
    else if (b & W_WITHOUT)
        b |= W_NET;
    if ((b & W_SUM) && (b & W_GROSS))
        b &= ~W_NET;
    if ((b & W_SUM) && (b & W_ROUND) && !it->is_rounding) /* "total after rounding" */
        b = (b & ~(W_OTHER | W_ROUND)) | W_GROSS;
    double other = (b & W_RATE)    ? -6.0
                   : (b & W_OTHER) ? -3.0
                                   : 0,
           paid = (b & (W_CASH | W_CHANGE)) ? -1.5 : 0;
    double lean[ROLES] = {
        [NET] = ((b & W_NET) ? 2.5 : 0) + ((b & W_SUM) ? 0.3 : 0) -
                ((b & W_GROSS) ? 2 : 0) - ((b & W_DUE) ? 1.5 : 0) -
                ((b & W_TAX) ? 1.5 : 0) + other + paid,
        [TAX] = ((b & W_TAX) ? 2.3 : -0.5) - ((b & W_NET) ? 1.2 : 0) -
                ((b & W_GROSS) ? 2 : 0) + other + paid,
        [GROSS] = ((b & W_GROSS) ? 2.5 : 0) + ((b & W_SUM) ? 1.3 : 0) +
                  ((b & W_DUE) ? 0.9 : 0) - ((b & W_NET) ? 1.8 : 0) -
                  ((b & W_SUB) ? 1.0 : 0) - ((b & W_TAX) ? 1.5 : 0) + other + paid,
        [DUE] = ((b & W_DUE) ? 3.0 : 0) + ((b & W_GROSS) ? 0.4 : 0) -
                ((b & W_NET) ? 2 : 0) - ((b & W_TAX) ? 2 : 0) + other,
        [CASH] = ((b & W_CASH) ? 2.5 : -1) + other,
        [CHANGE] = ((b & W_CHANGE) ? 3 : -1),
    };
    for (guint r = 0; r < ROLES; r++)
        it->lean[r] += weight * lean[r];
}

gboolean dx_names_sum(const char *text)
{
    int bits = bits_of(text);
    return (bits & (W_SUM | W_NET | W_TAX | W_GROSS | W_DUE)) != 0;
}

/* ---- amounts of the page -------------------------------------------------------------- */

static gboolean has_letters(const char *text)
{
    guint count = 0;
    for (; *text != '\0'; text = g_utf8_next_char(text))
        count += g_unichar_isalpha(g_utf8_get_char(text)) != 0;
    return count >= 2;
}

/* "EUR", "RM": stands between a label and its amount. */
static gboolean is_currency(const char *text)
{
    static const char *const marks[] = { "rm", "rp", "dh", "kc", "zl",  "ft",
                                         "kr", "sr", "fr", "rs", "lei", NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    gsize n = strlen(folded);
    while (n > 0 && (g_ascii_ispunct(folded[n - 1]) || folded[n - 1] == ' '))
        folded[--n] = '\0';
    return dx_currency_known(text) || g_strv_contains(marks, folded);
}

/* The words that name an amount: before it in its cell, else the nearest cell to its left
 * that has letters, unless another amount stands between. */
static char *label_left(const dx_layout *l, const item *it, const GArray *all,
                        guint which)
{
    gsize from = it->start;
    while (from > 0 && l->text[from - 1] != '\n')
        from--;
    if (which > 0) { /* behind the amount before it in the row */
        const item *before = &g_array_index(all, item, which - 1);
        if (before->end > from && before->end <= it->start)
            from = before->end;
    }
    g_autofree char *text = g_strndup(l->text + from, it->start - from);
    g_auto(GStrv) cells = g_strsplit(text, "\t", -1);
    for (guint i = g_strv_length(cells); i > 0; i--)
        if (has_letters(cells[i - 1]) && !is_currency(g_strstrip(cells[i - 1])))
            return g_strdup(cells[i - 1]);
    return NULL;
}

/* A row of a scan that is not quite level falls in two: the words to the left that stand
 * half at the same height. */
static char *label_beside(const dx_layout *l, const item *it)
{
    const dx_cell *best = NULL;
    double most = 0.3;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        double shared = MIN(c->box.y1, it->box.y1) - MAX(c->box.y0, it->box.y0),
               em = MIN(c->box.y1 - c->box.y0, it->box.y1 - it->box.y0);
        if (c->box.x1 > it->box.x0 || shared < most * em)
            continue;
        g_autofree char *text = g_strndup(l->text + c->start, c->end - c->start);
        if (!has_letters(text) || is_currency(g_strstrip(text)))
            continue;
        most = shared / em;
        best = c;
    }
    return best != NULL ? g_strndup(l->text + best->start, best->end - best->start)
                        : NULL;
}

static char *label_above(const dx_layout *l, const item *it)
{
    const dx_cell *best = NULL;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        double em = it->box.y1 - it->box.y0, gap = (it->box.y0 - c->box.y1) / em;
        if (c->start >= it->start || gap < -0.5 || gap > 6)
            continue;
        if (MIN(c->box.x1, it->box.x1) <= MAX(c->box.x0, it->box.x0))
            continue;
        g_autofree char *text = g_strndup(l->text + c->start, c->end - c->start);
        if (has_letters(text))
            best = c;
    }
    return best != NULL ? g_strndup(l->text + best->start, best->end - best->start)
                        : NULL;
}

static GArray *find_items(const dx_scene *s, uint32_t page)
{
    const dx_layout *l = s->layout;
    GArray *items = g_array_new(FALSE, TRUE, sizeof(item)); /* texts move to the totals */
    g_autoptr(GArray) found =
        dx_find_candidates(DX_KIND_AMOUNT, l->text, l->bytes, s->context);
    g_autoptr(GArray) dates =
        dx_find_candidates(DX_KIND_DATE, l->text, l->bytes, s->context);
    gsize last = 0;
    for (guint i = 0; i < found->len && items->len < AMOUNTS_MAX; i++) {
        const dx_candidate *c = &g_array_index(found, dx_candidate, i);
        gboolean is_date = FALSE;
        for (guint d = 0; d < dates->len && !is_date; d++)
            is_date = c->start < g_array_index(dates, dx_candidate, d).end &&
                      c->end > g_array_index(dates, dx_candidate, d).start;
        item it = { .start = c->start, .end = c->end };
        if (is_date || c->start < last || dx_is_rate(l->text + c->end) ||
            !dx_amount_parse(c->value, &it.micro))
            continue;
        /* a bare whole number is a sum only where a currency stands beside it */
        g_autofree char *span = g_strndup(l->text + c->start, c->end - c->start);
        if (c->weight < 0.5 && strpbrk(span, ".,") == NULL)
            continue;
        last = c->end;
        g_autoptr(GArray) boxes = dx_layout_span(l, c->start, c->end, &it.box);
        it.page = page;
        it.is_read = s->is_read;
        it.seen = s->words != NULL ? dx_seen(l, s->words, &it.box) : 1;
        it.raw = g_strdelimit(g_steal_pointer(&span), "\t\n", ' ');
        if (boxes->len > 0)
            g_array_append_val(items, it);
        else
            g_free(it.raw);
    }
    return items;
}

/* "52..80": a poor print, its figures are as doubtful */
static gboolean is_doubled(const char *raw)
{
    for (const char *c = raw; *c != '\0'; c++)
        if (strchr(".,", c[0]) != NULL && c[1] != '\0' && strchr(".,", c[1]) != NULL)
            return TRUE;
    return FALSE;
}

static void name_items(const dx_scene *s, GArray *items)
{
    static const char *const asks[ROLES][2] = {
        { "net_total", "subtotal" }, { "tax_total", NULL }, { "gross_total", "total" },
        { "amount_due", NULL },      { "tendered", NULL },  { "change", NULL }
    };
    for (guint i = 0; i < items->len; i++) {
        item *it = &g_array_index(items, item, i);
        g_autofree char *left = label_left(s->layout, it, items, i);
        if (left == NULL && s->is_read)
            left = label_beside(s->layout, it);
        g_autofree char *above = left == NULL ? label_above(s->layout, it) : NULL;
        int bits = left != NULL ? bits_of(left) : above != NULL ? bits_of(above) : 0;
        it->is_rounding = (bits & W_ROUND) != 0 && ABS(it->micro) <= 90000;
        it->is_paid = (bits & W_PAID) != 0 && it->micro != 0;
        it->is_named = bits != 0 && (bits & W_OTHER) == 0;
        /* a long sentence names less than a label */
        double weight = left == NULL ? 0.6 : strlen(left) > 60 ? 0.4 : 1;
        if (bits != 0)
            lean_by_words(it, bits, weight);
        for (guint r = 0; r < ROLES; r++)
            for (guint k = 0; k < 2 && asks[r][k] != NULL; k++)
                it->lean[r] +=
                    SUM_LABEL * dx_mark_score(s, asks[r][k], it->start, it->end);
        it->lean[GROSS] += it->micro == 0 ? SUM_ZERO : 0;
        if (is_doubled(it->raw))
            for (guint r = 0; r < ROLES; r++)
                it->lean[r] += SUM_DOUBLED;
        it->lean[GROSS] += SUM_LOW * (it->box.y0 + it->page - 1);
    }
}

/* ---- the set that adds up ---------------------------------------------------------------- */

typedef struct set {
    const item *net, *tax, *gross;
    double score;
} set;

static gboolean near(int64_t a, int64_t b)
{
    return ABS(a - b) <= 10000; /* one cent */
}

static gboolean is_printed_rate(const GArray *rates, int64_t net, int64_t tax)
{
    for (guint i = 0; i < rates->len; i++) {
        int64_t rate = g_array_index(rates, int64_t, i);
        if (rate > 0 &&
            fabs((double)net * ((double)rate / 1e6) / 100 - (double)tax) < 30000)
            return TRUE;
    }
    return FALSE;
}

/* net + several taxes in a row = gross */
static gboolean is_tax_run(const GArray *items, int64_t rest)
{
    for (guint i = 0; i < items->len; i++) {
        int64_t sum = 0;
        guint count = 0;
        for (guint k = i; k < items->len && k < i + 16 && count < 6; k++) {
            const item *it = &g_array_index(items, item, k);
            if (it->lean[TAX] < 1 || it->micro == 0) {
                if (k == i)
                    break;
                continue;
            }
            sum += it->micro;
            if (++count > 1 && near(sum, rest))
                return TRUE;
        }
    }
    return FALSE;
}

static double worth(const GArray *items, const GArray *rates, const set *c)
{
    double score = c->gross->lean[GROSS];
    int64_t gross = c->gross->micro, net = c->net != NULL ? c->net->micro : 0,
            tax = c->tax != NULL ? c->tax->micro : 0;
    if (c->net != NULL)
        score += c->net->lean[NET];
    if (c->tax != NULL)
        score += c->tax->lean[TAX];
    if (c->net != NULL && c->net == c->gross)
        return -INFINITY;
    if (c->tax != NULL && (c->tax == c->gross || c->tax == c->net))
        return -INFINITY;
    if (c->net != NULL && c->tax != NULL) {
        if (near(net + tax, gross))
            score += tax != 0 ? SUM_ADDS_UP : SUM_NO_TAX;
        else
            score += SUM_CONTRADICT;
        if (tax > 0 && near(net + tax, gross) && is_printed_rate(rates, net, tax))
            score += SUM_RATE;
        if (ABS(tax) * 10 > ABS(net) * 4) /* no country takes that much */
            score -= 6;
    } else if (c->net != NULL && net < gross && is_tax_run(items, gross - net)) {
        score += SUM_ADDS_UP;
    } else if (c->net != NULL) {
        score += net > gross                         ? SUM_CONTRADICT
                 : (double)net < 0.7 * (double)gross ? -1
                                                     : 0;
    } else if (c->tax != NULL) {
        score += ABS(tax) * 10 > ABS(gross) * 3 ? SUM_CONTRADICT : 0;
    }
    return score;
}

static gint by_lean(gconstpointer a, gconstpointer b, gpointer data)
{
    guint r = GPOINTER_TO_UINT(data);
    const item *x = *(const item *const *)a, *y = *(const item *const *)b;
    return x->lean[r] > y->lean[r] ? -1 : x->lean[r] < y->lean[r];
}

static GPtrArray *best_for(GArray *items, guint r)
{
    GPtrArray *list = g_ptr_array_new();
    for (guint i = 0; i < items->len; i++)
        g_ptr_array_add(list, &g_array_index(items, item, i));
    g_ptr_array_sort_with_data(list, by_lean, GUINT_TO_POINTER(r));
    if (list->len > TOP_MAX)
        g_ptr_array_set_size(list, TOP_MAX);
    return list;
}

static set choose(GArray *items, const GArray *rates)
{
    g_autoptr(GPtrArray) gross = best_for(items, GROSS), net = best_for(items, NET),
                         tax = best_for(items, TAX);
    set best = { .score = -INFINITY };
    for (guint g = 0; g < gross->len; g++)
        for (guint n = 0; n <= net->len; n++)
            for (guint t = 0; t <= tax->len; t++) {
                set c = { n < net->len ? g_ptr_array_index(net, n) : NULL,
                          t < tax->len ? g_ptr_array_index(tax, t) : NULL,
                          g_ptr_array_index(gross, g), 0 };
                c.score = worth(items, rates, &c);
                if (c.score > best.score)
                    best = c;
            }
    return best;
}

static void largest_first(GArray *items)
{
    int64_t most = 0;
    for (guint i = 0; i < items->len; i++) {
        const item *it = &g_array_index(items, item, i);
        if (it->is_named && it->lean[GROSS] > 0.5)
            most = MAX(most, it->micro);
    }
    for (guint i = 0; i < items->len; i++)
        if (g_array_index(items, item, i).micro == most)
            g_array_index(items, item, i).lean[GROSS] += SUM_LARGEST;
}

static void add_item(GArray *clues, const char *ask, const item *it, double score)
{
    dx_clue_add(clues, ask, it->raw, NULL, &it->box, score);
    dx_clue *clue = &g_array_index(clues, dx_clue, clues->len - 1);
    clue->page = it->page;
    clue->seen = it->seen;
}

/* The sum after rounding is the one that is paid. */
static void use_rounding(GArray *items)
{
    for (guint r = 0; r < items->len; r++) {
        const item *by = &g_array_index(items, item, r);
        for (guint a = 0; by->is_rounding && by->micro != 0 && a < items->len; a++) {
            const item *from = &g_array_index(items, item, a);
            for (guint b = 0; from->lean[GROSS] > 0.5 && b < items->len; b++) {
                item *to = &g_array_index(items, item, b);
                gboolean is_it = from->micro + by->micro == to->micro ||
                                 (by->micro > 0 && from->micro - by->micro == to->micro);
                if (!is_it || a == r || b == r || b <= a || to->lean[GROSS] <= 0.5)
                    continue;
                to->lean[GROSS] += SUM_ROUNDED;
                g_array_index(items, item, a).rounded = b + 1;
            }
        }
    }
}

/* cash - total = change: on receipts this alone finds the total */
static void use_cash(GArray *items)
{
    for (guint c = 0; c < items->len; c++) {
        const item *cash = &g_array_index(items, item, c);
        for (guint t = 0; cash->lean[CASH] > 1 && t < c; t++) {
            item *total = &g_array_index(items, item, t);
            if (total->micro == cash->micro && total->micro > 0 && total->lean[GROSS] > 0)
                total->lean[GROSS] += SUM_EXACT;
        }
        for (guint h = 0; cash->lean[CASH] > 1 && h < items->len; h++) {
            const item *change = &g_array_index(items, item, h);
            if (h == c || change->lean[CHANGE] <= 1)
                continue;
            gboolean is_exact = FALSE;
            for (guint t = 0; t < items->len; t++) {
                item *total = &g_array_index(items, item, t);
                if (t != c && t != h && total->micro > 0 &&
                    cash->micro - change->micro == total->micro) {
                    total->lean[GROSS] += SUM_CASH;
                    is_exact = TRUE;
                }
            }
            for (guint t = 0; t < items->len && !is_exact; t++) {
                item *total = &g_array_index(items, item, t);
                if (t != c && t != h && total->micro > 0 &&
                    near(cash->micro - change->micro, total->micro))
                    total->lean[GROSS] += SUM_CASH_NEAR;
            }
        }
    }
}

void dx_totals_add(dx_totals *t, const dx_scene *s, uint32_t page)
{
    g_autoptr(GArray) items = find_items(s, page);
    name_items(s, items);
    g_array_append_vals(t->items, items->data, items->len);
    g_autoptr(GArray) rates = dx_find_candidates(DX_KIND_PERCENT, s->layout->text,
                                                 s->layout->bytes, s->context);
    for (guint i = 0; i < rates->len; i++) {
        int64_t rate;
        if (dx_amount_parse(g_array_index(rates, dx_candidate, i).value, &rate))
            g_array_append_val(t->rates, rate);
    }
}

gboolean dx_totals_is_read(const dx_totals *t, uint32_t page)
{
    for (guint i = 0; i < t->items->len; i++)
        if (g_array_index(t->items, item, i).page == page)
            return g_array_index(t->items, item, i).is_read;
    return FALSE;
}

/* gross - what was paid = what is due.  TRUE when such an amount is printed. */
static gboolean use_paid(GArray *items, const item *gross)
{
    gboolean is_any = FALSE;
    for (guint i = 0; i < items->len; i++) {
        const item *paid = &g_array_index(items, item, i);
        for (guint k = 0; paid->is_paid && k < items->len; k++) {
            item *due = &g_array_index(items, item, k);
            gboolean is_due = ABS(gross->micro) - ABS(paid->micro) == ABS(due->micro) &&
                              due != gross && due != paid && k > i &&
                              (due->micro != 0 || due->lean[DUE] > 1);
            if (is_due)
                due->lean[DUE] += SUM_PAID;
            is_any |= is_due;
        }
    }
    return is_any;
}

static void add_clues(GArray *items, const set *best, GArray *clues)
{
    gboolean is_paid = use_paid(items, best->gross);
    gboolean adds_up = best->net != NULL && best->tax != NULL && best->tax->micro != 0 &&
                       near(best->net->micro + best->tax->micro, best->gross->micro);
    double sure = adds_up ? 2.5 : 0;
    static const char *const nets[] = { "net_total", "subtotal" }, *const sums[] = {
        "gross_total", "total"
    };
    for (guint k = 0; k < 2; k++) {
        if (best->net != NULL)
            add_item(clues, nets[k], best->net, 1 + best->net->lean[NET] + sure);
        /* on a receipt the total is what was paid, after rounding */
        const item *sum = best->gross;
        for (guint i = 0; k == 1 && i < items->len; i++) {
            const item *it = &g_array_index(items, item, i);
            if (it->micro == best->gross->micro && it->rounded > 0)
                sum = &g_array_index(items, item, it->rounded - 1);
        }
        add_item(clues, sums[k], sum, 1 + sum->lean[GROSS] + sure);
    }
    if (best->tax != NULL)
        add_item(clues, "tax_total", best->tax, 1 + best->tax->lean[TAX] + sure);
    static const struct {
        role r;
        const char *ask;
    } single[] = { { DUE, "amount_due" }, { CASH, "tendered" }, { CHANGE, "change" } };
    for (gsize k = 0; k < G_N_ELEMENTS(single); k++) {
        g_autoptr(GPtrArray) top = best_for(items, single[k].r);
        const item *it = g_ptr_array_index(top, 0);
        if (it->lean[single[k].r] > 1)
            add_item(clues, single[k].ask, it, it->lean[single[k].r]);
    }
    /* nothing is said to be open or paid: the whole sum is due */
    add_item(clues, "amount_due", best->gross, is_paid ? 0.2 : 2.2);
    g_array_index(clues, dx_clue, clues->len - 1).is_derived = TRUE;
}

GArray *dx_clues_totals(dx_totals *t, uint32_t page)
{
    GArray *clues = dx_clues_new();
    if (t->clues == NULL) {
        t->clues = dx_clues_new();
        largest_first(t->items);
        use_cash(t->items);
        use_rounding(t->items);
        if (t->items->len > 0) {
            set best = choose(t->items, t->rates);
            add_clues(t->items, &best, t->clues);
        }
    }
    for (guint i = 0; i < t->clues->len; i++) {
        const dx_clue *c = &g_array_index(t->clues, dx_clue, i);
        if (c->page != page)
            continue;
        dx_clue_add(clues, c->ask, c->raw, c->value, &c->box, c->score);
        g_array_index(clues, dx_clue, clues->len - 1).seen = c->seen;
        g_array_index(clues, dx_clue, clues->len - 1).is_derived = c->is_derived;
    }
    return clues;
}

/* ---- lines that state a tax ---------------------------------------------------------- */

static void tax_line_clear(gpointer data)
{
    dx_tax_line *t = data;
    g_free(t->rate);
    g_free(t->taxable);
    g_free(t->tax);
}

/* Candidates of a kind inside one line that do not overlap each other: the longest of each
 * place.  `from` holds the ends of the spans taken so far. */
static GArray *spans_of(const char *line, dx_kind kind, const dx_context *context)
{
    g_autoptr(GArray) found = dx_find_candidates(kind, line, strlen(line), context);
    GArray *kept = g_array_new(FALSE, FALSE, sizeof(dx_candidate));
    gsize last = 0;
    for (guint i = 0; i < found->len; i++) {
        dx_candidate c = g_array_index(found, dx_candidate, i);
        g_autofree char *raw = g_strndup(line + c.start, c.end - c.start);
        gboolean is_rate = strchr(raw, '%') != NULL;
        if (c.start < last || is_rate != (kind == DX_KIND_PERCENT) ||
            (kind == DX_KIND_AMOUNT && dx_is_rate(line + c.end)))
            continue;
        last = c.end;
        c.value = NULL;
        g_array_append_val(kept, c);
    }
    return kept;
}

static char *piece(const char *line, const GArray *spans, guint i)
{
    const dx_candidate *c = &g_array_index(spans, dx_candidate, i);
    return g_strndup(line + c->start, c->end - c->start);
}

static gboolean read_micro(const char *raw, dx_kind kind, const dx_context *context,
                           int64_t *micro)
{
    g_autofree char *value = NULL;
    return dx_normalize(kind, raw, context, &value, NULL) &&
           dx_amount_parse(value, micro);
}

static gboolean read_tax_line(const dx_scene *s, const char *line, dx_tax_line *out)
{
    int bits = bits_of(line);
    g_autoptr(GArray) rates = spans_of(line, DX_KIND_PERCENT, s->context);
    g_autoptr(GArray) amounts = spans_of(line, DX_KIND_AMOUNT, s->context);
    if (!(bits & W_TAX) || (bits & (W_GROSS | W_WITH | W_WITHOUT | W_OTHER)) ||
        rates->len != 1 || amounts->len < 1 || amounts->len > 2)
        return FALSE;
    g_autofree char *rate = piece(line, rates, 0);
    g_autofree char *tax = piece(line, amounts, amounts->len - 1);
    g_autofree char *taxable = amounts->len == 2 ? piece(line, amounts, 0) : NULL;
    int64_t r, t, b;
    if (!read_micro(rate, DX_KIND_PERCENT, s->context, &r) ||
        !read_micro(tax, DX_KIND_AMOUNT, s->context, &t))
        return FALSE;
    gboolean holds = taxable == NULL ||
                     (read_micro(taxable, DX_KIND_AMOUNT, s->context, &b) &&
                      fabs((double)b * ((double)r / 1e6) / 100 - (double)t) < 30000);
    if (!holds)
        return FALSE;
    *out = (dx_tax_line){
        g_steal_pointer(&rate), g_steal_pointer(&taxable), g_steal_pointer(&tax), { 0 }
    };
    return TRUE;
}

GArray *dx_tax_lines(const dx_scene *s)
{
    GArray *out = g_array_new(FALSE, TRUE, sizeof(dx_tax_line));
    g_array_set_clear_func(out, tax_line_clear);
    const dx_layout *l = s->layout;
    for (gsize at = 0; at < l->bytes && out->len < DX_TABLE_ROWS_MAX;) {
        const char *newline = memchr(l->text + at, '\n', l->bytes - at);
        gsize end = newline != NULL ? (gsize)(newline - l->text) : l->bytes;
        g_autofree char *line = g_strndup(l->text + at, end - at);
        dx_tax_line one;
        if (strlen(line) < 120 && read_tax_line(s, line, &one)) {
            g_autoptr(GArray) boxes = dx_layout_span(l, at, end, &one.box);
            g_array_append_val(out, one);
        }
        at = end + 1;
    }
    return out;
}

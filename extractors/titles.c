/*
 * titles.c - headings that name the kind of a paper.
 *
 * A title is a cell of its own, or starts one and is followed by a number.  Set larger than
 * the rest, and high on the page, it is worth most.  Of two that match one cell the longer
 * stands: an order confirmation is no order.  German and Dutch titles may end a longer word,
 * as in Mietrechnung.
 */
#include "titles.h"

#include "normalize.h"

#include <string.h>

#define TITLE_WORTH 4.0  /* logits of a large heading on top */
#define LARGE       1.25 /* of the usual size of print */
#define HIGH        0.45 /* part of the page where headings stand */
#define OPENING     1.5  /* logits of a salutation */

typedef struct titles {
    const char *name;
    const char *words; /* folded, with | between */
} titles;

/* Classes that are not in the default list keep their titles from counting for others. */
static const titles table[] = {
    { "invoice",
      "invoice|tax invoice|vat invoice|sales invoice|commercial invoice|rechnung|"
      "schlussrechnung|abschlagsrechnung|facture|factura|fattura|factuur|fatura|faktura|"
      "faktura vat|danovy doklad|faktura - danovy doklad|faktura danovy doklad|bill" },
    { "credit note",
      "credit note|credit memo|adjustment note|gutschrift|rechnungskorrektur|"
      "stornorechnung|avoir|facture d'avoir|note de credit|nota de credito|"
      "factura rectificativa|nota di credito|creditnota|creditfactuur|faktura korygujaca|"
      "korekta faktury|dobropis|opravny danovy doklad" },
    { "receipt",
      "receipt|sales receipt|cash receipt|quittung|kassenbon|kassenbeleg|recu|"
      "ticket de caisse|recibo|factura simplificada|ricevuta|scontrino|"
      "documento commerciale|kassabon|talao|fatura simplificada|paragon fiskalny|paragon|"
      "uctenka|pokladni doklad" },
    { "purchase order",
      "purchase order|supplier order|order|p.o.|bestellung|bestellschein|auftrag|"
      "lieferantenbestellung|bon de commande|commande|pedido|orden de compra|"
      "pedido de compra|ordine|ordine d'acquisto|ordine di "
      "acquisto|inkooporder|bestelling|"
      "encomenda|nota de encomenda|ordem de compra|zamowienie|objednavka" },
    { "order confirmation",
      "order confirmation|sales order|order acknowledgement|auftragsbestatigung|"
      "confirmation de commande|accuse de reception de commande|confirmacion de pedido|"
      "conferma d'ordine|conferma ordine|orderbevestiging|confirmacao de encomenda|"
      "potwierdzenie zamowienia|potvrzeni objednavky" },
    { "delivery note",
      "delivery note|packing slip|packing list|dispatch note|delivery docket|"
      "delivery order|lieferschein|warenbegleitschein|packliste|bon de livraison|"
      "liste de colisage|albaran|albaran de entrega|nota de entrega|"
      "documento di trasporto|d.d.t.|ddt|bolla di consegna|pakbon|leveringsbon|paklijst|"
      "vrachtbrief|guia de remessa|guia de transporte|wydanie zewnetrzne|dowod dostawy|"
      "dodaci list" },
    { "quotation",
      "quotation|quote|estimate|offer|proposal|angebot|kostenvoranschlag|devis|"
      "offre de prix|proposition commerciale|presupuesto|cotizacion|oferta|preventivo|"
      "offerta|offerte|prijsopgave|orcamento|cotacao|proposta|wycena|oferta cenowa|"
      "nabidka|cenova nabidka" },
    { "reminder",
      "payment reminder|reminder|overdue notice|past due notice|final notice|"
      "second reminder|final reminder|mahnung|1. mahnung|2. mahnung|letzte mahnung|"
      "zahlungserinnerung|rappel|rappel de paiement|relance|mise en demeure|"
      "recordatorio de pago|requerimiento de pago|sollecito di pagamento|sollecito|"
      "aanmaning|betalingsherinnering|herinnering|aviso de pagamento|"
      "lembrete de pagamento|wezwanie do zaplaty|ponaglenie|upominka" },
    { "bank statement",
      "bank statement|account statement|statement of account|current account statement|"
      "your account statement|statement|kontoauszug|releve de compte|releve bancaire|"
      "extracto bancario|extracto de cuenta|estratto conto|rekeningafschrift|"
      "bankafschrift|extrato bancario|extrato de conta|wyciag bankowy|wyciag z rachunku|"
      "vypis z uctu" },
    { "payslip",
      "payslip|pay slip|pay advice|pay stub|pay statement|earnings statement|salary slip|"
      "lohnabrechnung|gehaltsabrechnung|entgeltabrechnung|verdienstabrechnung|"
      "bulletin de paie|bulletin de salaire|fiche de paie|nomina|recibo de salarios|"
      "busta paga|cedolino|cedolino paga|loonstrook|salarisstrook|salarisspecificatie|"
      "recibo de vencimento|pasek wynagrodzen|odcinek placowy|vyplatni paska" },
    { "contract",
      "contract|agreement|service agreement|lease agreement|employment contract|"
      "tenancy agreement|vertrag|mietvertrag|arbeitsvertrag|kaufvertrag|"
      "dienstleistungsvertrag|rahmenvertrag|contrat|contrat de travail|"
      "contrat de location|contrato|contrato de trabajo|contratto|overeenkomst|"
      "arbeidsovereenkomst|huurovereenkomst|koopovereenkomst|acordo|umowa|umowa o prace|"
      "umowa najmu|smlouva|kupni smlouva|pracovni smlouva" },
    { "form",
      "form|application form|registration form|claim form|antrag|anmeldung|formular|"
      "anmeldeformular|formulaire|formulaire de demande|demande|formulario|solicitud|"
      "modulo|domanda|formulier|aanvraagformulier|aanvraag|requerimento|formularz|"
      "wniosek|formular zadosti|zadost|tiskopis" },
    { "resume", "curriculum vitae|curriculum|resume|lebenslauf|zyciorys|zivotopis" },
    { "memo", "memo|memorandum|aktennotiz|hausmitteilung|note de service|note interne" },
    { "report",
      "report|annual report|bericht|jahresbericht|rapport|rapport annuel|informe|"
      "relazione|rapporto|verslag|jaarverslag|relatorio|raport|sprawozdanie|"
      "zprava|vyrocni zprava" },
    { "specification",
      "specification|technical specification|data sheet|datasheet|technical data|"
      "datenblatt|technisches datenblatt|technische daten|fiche technique|ficha tecnica|"
      "scheda tecnica|productblad|technische fiche|karta katalogowa|karta techniczna|"
      "technicky list" },
    { "letter", "" },
    { "price list",
      "price list|preisliste|tarif|lista de precios|listino prezzi|prijslijst|"
      "tabela de precos|cennik|cenik" },
    { "timesheet",
      "timesheet|time sheet|stundenzettel|stundennachweis|feuille de temps" },
    { "remittance advice",
      "remittance advice|payment advice|zahlungsavis|avis de paiement|"
      "aviso de pago|avviso di pagamento|betalingsadvies" },
};

/* Last parts of compounds that name the same kind as the part alone; what settles something
 * else (Lohnabrechnung) has its own line above. */
static const titles compounds[] = {
    { "invoice", "rechnung|factuur" },       { "purchase order", "bestellung" },
    { "quotation", "angebot|offerte" },      { "contract", "vertrag|overeenkomst" },
    { "form", "antrag|formular|formulier" }, { "report", "bericht|verslag" },
};

/* Words that open a letter, at the start of a line. */
static const char openings[] =
    "dear|sehr geehrte|sehr geehrter|liebe|lieber|guten tag|madame|monsieur|cher|chere|"
    "estimado|estimada|muy senor|gentile|egregio|spettabile ditta|geachte|beste|prezado|"
    "prezada|exmo|exma|szanowni|szanowny|szanowna|vazeny|vazena|vazeni|to whom it may";

/* TRUE when `text` starts with one of `list`; *length gets the longest. */
static gboolean starts(const char *text, const char *list, gsize *length)
{
    *length = 0;
    for (const char *at = list; *at != '\0';) {
        gsize n = strcspn(at, "|");
        if (n > *length && strncmp(text, at, n) == 0 &&
            !g_unichar_isalnum(g_utf8_get_char(text + n)))
            *length = n;
        at += n + (at[n] == '|');
    }
    return *length > 0;
}

const char *dx_title_class(const char *label)
{
    g_autofree char *folded = dx_fold(label, strlen(label));
    gsize length;
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        if (strcmp(folded, table[i].name) == 0)
            return table[i].name;
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        if (starts(folded, table[i].words, &length) && folded[length] == '\0')
            return table[i].name;
    return strcmp(folded, "order") == 0 ? "purchase order" : NULL;
}

/* The class whose compound the first word of `text` is, or the table's size; *length gets the
 * length of the word. */
static gsize compound_of(const char *text, gsize *length)
{
    gsize word = strcspn(text, " :#.");
    gboolean is_settling = word >= 10 && strncmp(text + word - 10, "abrechnung", 10) == 0;
    for (gsize i = 0; i < G_N_ELEMENTS(compounds) && !is_settling; i++)
        for (const char *at = compounds[i].words; *at != '\0';) {
            gsize n = strcspn(at, "|");
            if (word > n && strncmp(text + word - n, at, n) == 0)
                for (gsize k = 0; k < G_N_ELEMENTS(table); k++)
                    if (strcmp(table[k].name, compounds[i].name) == 0) {
                        *length = word;
                        return k;
                    }
            at += n + (at[n] == '|');
        }
    return G_N_ELEMENTS(table);
}

/* The class that a heading names, or the table's size; *length gets the part that names it. */
static gsize title_of(const char *text, gsize *length)
{
    gsize which = G_N_ELEMENTS(table), n;
    *length = 0;
    for (gsize k = 0; k < G_N_ELEMENTS(table); k++)
        if (starts(text, table[k].words, &n) && n > *length) {
            *length = n;
            which = k;
        }
    return which < G_N_ELEMENTS(table) ? which : compound_of(text, length);
}

static int by_size(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double usual_size(const GArray *words)
{
    g_autoptr(GArray) sizes = g_array_new(FALSE, FALSE, sizeof(double));
    for (guint i = 0; i < words->len; i++)
        if (g_array_index(words, dx_word, i).em > 0)
            g_array_append_val(sizes, g_array_index(words, dx_word, i).em);
    g_array_sort(sizes, by_size);
    return sizes->len > 0 ? g_array_index(sizes, double, sizes->len / 2) : 0;
}

/* What follows a title: nothing, or the number of the paper. */
static double ending(const char *rest)
{
    rest += strspn(rest, " :#.-/");
    if (*rest == '\0')
        return 1;
    gboolean has_digit = FALSE;
    guint words = 1;
    for (const char *c = rest; *c != '\0'; c++) {
        has_digit |= g_ascii_isdigit(*c);
        words += *c == ' ';
    }
    return has_digit && words <= 3 ? 0.7 : 0;
}

static double weight_of(const dx_layout *t, const GArray *words, const dx_cell *cell,
                        double usual)
{
    guint32 word = cell->start < t->bytes ? t->word_at[cell->start] : UINT32_MAX;
    double em = word < t->word_count
                    ? g_array_index(words, dx_word, t->word_source[word]).em
                    : usual;
    double size = usual > 0 ? em / usual : 1;
    double place = (cell->box.y0 + cell->box.y1) / 2 < HIGH ? 1 : 0.35;
    return place * (size >= LARGE ? 1 : size >= 0.95 ? 0.6 : 0.3);
}

void dx_title_scores(const dx_layout *layout, const GArray *words,
                     const char *const *classes, guint count, double *logits)
{
    double best[G_N_ELEMENTS(table)] = { 0 }, opening = 0, usual = usual_size(words);
    for (guint i = 0; i < layout->cells->len; i++) {
        const dx_cell *cell = &g_array_index(layout->cells, dx_cell, i);
        if (cell->end - cell->start > 120)
            continue;
        g_autofree char *text =
            dx_fold(layout->text + cell->start, cell->end - cell->start);
        gsize length, which = title_of(text, &length);
        double worth = which < G_N_ELEMENTS(table) ? ending(text + length) : 0;
        if (worth > 0)
            best[which] = MAX(best[which], worth * weight_of(layout, words, cell, usual));
        if (cell->col == 0 && starts(text, openings, &length) && cell->box.y0 < 0.6)
            opening = OPENING;
    }
    for (guint i = 0; i < count; i++)
        for (gsize k = 0; k < G_N_ELEMENTS(table) && classes[i] != NULL; k++)
            if (strcmp(classes[i], table[k].name) == 0)
                logits[i] +=
                    strcmp(classes[i], "letter") == 0 ? opening : TITLE_WORTH * best[k];
}

/*
 * address.c - place lines by pattern, then the column above them.
 */
#include "address.h"

#include <math.h>
#include <string.h>

#include "normalize.h"

#define LINE_GAP   2.1 /* line heights between two lines of a block */
#define LINE_LONG  64  /* bytes; a longer line is a sentence */
#define LARGE_NAME 1.3 /* line heights of a name above the block */

/* ---- what a line is ------------------------------------------------------------------ */

static gboolean has_word(const char *folded, const char *word)
{
    gsize n = strlen(word);
    for (const char *at = strstr(folded, word); at != NULL; at = strstr(at + 1, word)) {
        gboolean is_start = at == folded || !g_ascii_isalnum(at[-1]);
        if (is_start && !g_ascii_isalnum(at[n]))
            return TRUE;
    }
    return FALSE;
}

static gboolean has_letter(const char *text)
{
    for (; *text != '\0'; text = g_utf8_next_char(text))
        if (g_unichar_isalpha(g_utf8_get_char(text)))
            return TRUE;
    return FALSE;
}

static gboolean has_any(const char *folded, const char *const *words)
{
    for (; *words != NULL; words++)
        if (has_word(folded, *words))
            return TRUE;
    return FALSE;
}

gboolean dx_has_legal_form(const char *text)
{
    static const char *const forms[] = {
        "gmbh",       "ag",          "kg",     "ohg",        "ug",         "gbr",
        "e.k.",       "e.v.",        "a.g.",   "mbh",        "se",         "kgaa",
        "ltd",        "limited",     "llc",    "llp",        "inc",        "plc",
        "corp",       "corporation", "co.",    "company",    "sdn",        "bhd",
        "s/b",        "pte",         "pty",    "sarl",       "s.a.r.l",    "sas",
        "s.a.s",      "sa",          "s.a.",   "eurl",       "srl",        "s.r.l",
        "spa",        "s.p.a",       "snc",    "s.n.c",      "sl",         "s.l.",
        "s.l",        "slu",         "b.v.",   "bv",         "b.v",        "n.v.",
        "nv",         "vof",         "v.o.f.", "lda",        "unipessoal", "sp. z o.o.",
        "z o.o.",     "sp.z o.o.",   "s.c.",   "sp.j.",      "s.r.o.",     "s.r.o",
        "spol.",      "a.s.",        "v.o.s.", "s. r. o.",   "a. s.",      "sp. j.",
        "sp. k.",     "spolka",      "z.s.",   "druzstvo",   "k.s.",       "aps",
        "a/s",        "ab",          "oy",     "enterprise", "trading",    "holdings",
        "restaurant", "restoran",    "mart",   NULL
    };
    g_autofree char *folded = dx_fold(text, strlen(text));
    return has_any(folded, forms);
}

gboolean dx_is_street(const char *text)
{
    static const char *const words[] = {
        "street",    "st.",      "road",      "rd",       "avenue",   "ave",
        "lane",      "drive",    "boulevard", "blvd",     "suite",    "floor",
        "block",     "unit",     "lot",       "po box",   "p.o. box", "p.o box",
        "box",       "postfach", "park",      "no.",      "no",       "weg",
        "platz",     "gasse",    "allee",     "strasse",  "str.",     "rue",
        "autoroute", "route",    "bd",        "quartier", "avenue",   "place",
        "chemin",    "quai",     "calle",     "avda",     "avenida",  "plaza",
        "paseo",     "via",      "viale",     "piazza",   "corso",    "rua",
        "travessa",  "largo",    "ul.",       "ulica",    "al.",      "os.",
        "aleja",     "aleje",    "osiedle",   "pl.",      "plac",     "nam.",
        "tr.",       "trida",    "nabrezi",   "c.p.",     "ulice",    "namesti",
        "jalan",     "jln",      "lorong",    "taman",    "tmn",      "bandar",
        "seksyen",   "batu",     "kampung",   "kg.",      "lebuh",    "persiaran",
        "plaza",     "mall",     "medan",     "pusat",    "kawasan",  "wisma",
        "menara",    "bangunan", "straat",    "laan",     "plein",    "tingkat",
        "bukit",     "level",    NULL
    };
    static const char *const ends[] = { "strasse", "straße", "str.", "weg",  "platz",
                                        "gasse",   "allee",  "ring", "damm", "straat",
                                        "laan",    "plein",  "kade", "hof",  NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    gboolean has_digit = FALSE, has_letter = FALSE;
    for (const char *c = folded; *c != '\0'; c++) {
        has_digit |= g_ascii_isdigit(*c) != 0;
        has_letter |= g_ascii_isalpha(*c) != 0;
    }
    if (has_digit && has_letter)
        return TRUE;
    if (has_any(folded, words))
        return TRUE;
    for (const char *const *end = ends; *end != NULL; end++)
        if (g_str_has_suffix(folded, *end) && strlen(folded) > strlen(*end) + 2)
            return TRUE;
    return FALSE;
}

gboolean dx_is_title(const char *text)
{
    static const char *const titles[] = { "invoice",
                                          "tax invoice",
                                          "simplified tax invoice",
                                          "receipt",
                                          "cash receipt",
                                          "official receipt",
                                          "rechnung",
                                          "gutschrift",
                                          "quittung",
                                          "kassenbon",
                                          "bon",
                                          "lieferschein",
                                          "angebot",
                                          "mahnung",
                                          "facture",
                                          "avoir",
                                          "ticket",
                                          "recu",
                                          "factura",
                                          "factura simplificada",
                                          "recibo",
                                          "fattura",
                                          "scontrino",
                                          "ricevuta",
                                          "documento commerciale",
                                          "factuur",
                                          "kassabon",
                                          "bonnetje",
                                          "fatura",
                                          "talao",
                                          "faktura",
                                          "faktura vat",
                                          "paragon",
                                          "paragon fiskalny",
                                          "uctenka",
                                          "danovy doklad",
                                          "cash bill",
                                          "bill",
                                          "cash sale",
                                          "cash sales",
                                          "purchase order",
                                          "statement",
                                          "credit note",
                                          "debit note",
                                          "pro forma",
                                          "duplicate",
                                          "copy",
                                          "original",
                                          "project statement",
                                          "beitragsrechnung",
                                          NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    gsize n = strlen(folded);
    while (n > 0 && g_ascii_ispunct(folded[n - 1]))
        folded[--n] = '\0';
    for (const char *const *title = titles; *title != NULL; title++)
        if (strcmp(folded, *title) == 0)
            return TRUE;
    return FALSE;
}

gboolean dx_is_fact(const char *text)
{
    static const char *const words[] = {
        "tel",    "tel.",  "telefon",     "telephone", "phone",    "fon",
        "fax",    "mobil", "mobile",      "email",     "e-mail",   "mail",
        "www",    "http",  "https",       "hotline",   "iban",     "bic",
        "swift",  "vat",   "gst",         "ust-id",    "ust-idnr", "hrb",
        "hra",    "reg",   "kvk",         "btw",       "siret",    "siren",
        "tva",    "nif",   "cif",         "p.iva",     "nip",      "dic",
        "ico",    "ic",    "regon",       "krs",       "danove",   "steuernummer",
        "date",   "datum", "amtsgericht", "seite",     "page",     "invoice no",
        "co. no", "roc",   "sst",         NULL
    };
    if (strlen(text) > LINE_LONG || strchr(text, '@') != NULL)
        return TRUE;
    const char *colon = strchr(text, ':');
    if (colon != NULL && colon[1] != '\0' && (colon > text + 3 || !has_letter(colon)))
        return TRUE;
    g_autofree char *folded = dx_fold(text, strlen(text));
    return has_any(folded, words);
}

gboolean dx_is_part(const char *text)
{
    static const char *const words[] = { "c/o",
                                         "chez",
                                         "care of",
                                         "building",
                                         "bldg",
                                         "house",
                                         "tower",
                                         "towers",
                                         "centre",
                                         "center",
                                         "court",
                                         "estate",
                                         "business",
                                         "park",
                                         "floor",
                                         "level",
                                         "suite",
                                         "unit",
                                         "apt",
                                         "apt.",
                                         "flat",
                                         "room",
                                         "p.o.",
                                         "po box",
                                         "pobox",
                                         "gebaude",
                                         "geb.",
                                         "etage",
                                         "stock",
                                         "haus",
                                         "hinterhaus",
                                         "wohnung",
                                         "postfach",
                                         "batiment",
                                         "bat.",
                                         "immeuble",
                                         "residence",
                                         "zi",
                                         "z.i.",
                                         "za",
                                         "zac",
                                         "bp",
                                         "cs",
                                         "boite",
                                         "poligono",
                                         "edificio",
                                         "piso",
                                         "planta",
                                         "nave",
                                         "parque",
                                         "apartado",
                                         "apdo.",
                                         "localidad",
                                         "palazzo",
                                         "scala",
                                         "interno",
                                         "loc.",
                                         "localita",
                                         "fraz.",
                                         "frazione",
                                         "zona",
                                         "casella",
                                         "gebouw",
                                         "verdieping",
                                         "postbus",
                                         "bedrijvenpark",
                                         "andar",
                                         "lote",
                                         "edificio",
                                         "budynek",
                                         "lokal",
                                         "skrytka",
                                         "pietro",
                                         "budova",
                                         "patro",
                                         "areal",
                                         "gewerbepark",
                                         "industriepark",
                                         "technologiepark",
                                         NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    return has_any(folded, words);
}

gboolean dx_could_be_name(const char *text)
{
    return has_letter(text) && !dx_is_title(text) && !dx_is_fact(text) &&
           (dx_read_role(text) == DX_ROLE_NONE || dx_has_legal_form(text)) &&
           !g_str_has_suffix(text, ":");
}

/* ---- headings of parties --------------------------------------------------------------- */

static gboolean begins_with(const char *folded, const char *const *words)
{
    for (; *words != NULL; words++) {
        gsize n = strlen(*words);
        if (strncmp(folded, *words, n) == 0 && !g_ascii_isalpha(folded[n]) &&
            strlen(folded) < n + 14)
            return TRUE;
    }
    return FALSE;
}

dx_role dx_read_role(const char *text)
{
    static const char *const others[] = { "ship",
                                          "deliver",
                                          "lieferadr",
                                          "lieferan",
                                          "warenempf",
                                          "zahlungsempf",
                                          "payee",
                                          "remit",
                                          "livraison",
                                          "livre",
                                          "entrega",
                                          "consegna",
                                          "aflever",
                                          "bezorg",
                                          "dostawy",
                                          "dodaci",
                                          "dodani",
                                          "misto urceni",
                                          "provozovna",
                                          "wysylki",
                                          "odbioru",
                                          "place of",
                                          "bank",
                                          "tax repr",
                                          "steuervertr",
                                          "fiskalvertr",
                                          "representant",
                                          "rappresentant",
                                          "beneficiar",
                                          "begunstig",
                                          "morada de entrega",
                                          NULL };
    static const char *const sellers[] = { "provider",      "service provider",
                                           "prodejce",      "dodavatel",
                                           "seller",        "vendor",
                                           "supplier",      "from",
                                           "verkaufer",     "lieferant",
                                           "absender",      "rechnungssteller",
                                           "vendeur",       "fournisseur",
                                           "emetteur",      "vendedor",
                                           "proveedor",     "emisor",
                                           "fornitore",     "venditore",
                                           "cedente",       "mittente",
                                           "verkoper",      "leverancier",
                                           "fornecedor",    "emitente",
                                           "sprzedawca",    "wystawca",
                                           "prodavajici",   "issued by",
                                           "sold by",       "sender",
                                           "company",       "leistungserbringer",
                                           "anbieter",      "aussteller",
                                           "auftragnehmer", "lieferfirma",
                                           "prestataire",   "afzender",
                                           "dostawca",      "sprzedajacy",
                                           "wykonawca",     "uslugodawca",
                                           "zhotovitel",    "poskytovatel",
                                           "vystavitel",    NULL };
    static const char *const buyers[] = { "purchaser",
                                          "buyer",
                                          "bill to",
                                          "billed to",
                                          "bill-to",
                                          "invoice to",
                                          "sold to",
                                          "customer",
                                          "client",
                                          "to",
                                          "kaufer",
                                          "kunde",
                                          "rechnungsempfanger",
                                          "rechnung an",
                                          "empfanger",
                                          "rechnungsadresse",
                                          "acheteur",
                                          "facture a",
                                          "facturer a",
                                          "destinataire",
                                          "adresse de facturation",
                                          "cliente",
                                          "comprador",
                                          "facturar a",
                                          "destinatario",
                                          "spettabile",
                                          "spett",
                                          "cessionario",
                                          "intestatario",
                                          "koper",
                                          "klant",
                                          "factuur aan",
                                          "factuuradres",
                                          "adquirente",
                                          "nabywca",
                                          "odbiorca",
                                          "klient",
                                          "odberatel",
                                          "kupujici",
                                          "zakaznik",
                                          "billing address",
                                          "bill to address",
                                          "invoice address",
                                          "invoiced to",
                                          "recipient",
                                          "messrs",
                                          "rechnungsanschrift",
                                          "leistungsempfanger",
                                          "auftraggeber",
                                          "besteller",
                                          "debitor",
                                          "facturation",
                                          "adresse facturation",
                                          "facturado a",
                                          "direccion de facturacion",
                                          "datos del cliente",
                                          "acquirente",
                                          "committente",
                                          "fatturare a",
                                          "fatturato a",
                                          "intestato a",
                                          "afnemer",
                                          "opdrachtgever",
                                          "faturar a",
                                          "faturado a",
                                          "exmo",
                                          "exmos",
                                          "exmo.(s",
                                          "attention",
                                          "a l'attention de",
                                          "zu handen",
                                          "ter attentie van",
                                          "platnik",
                                          "kupujacy",
                                          "uslugobiorca",
                                          "objednatel",
                                          "fakturacni adresa",
                                          "zamawiajacy",
                                          "prijemce",
                                          NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    gsize n = strlen(folded);
    while (n > 0 && (folded[n - 1] == ':' || folded[n - 1] == ' '))
        folded[--n] = '\0';
    if (n < 40)
        for (const char *const *word = others; *word != NULL; word++)
            if (strstr(folded, *word) != NULL)
                return DX_ROLE_OTHER;
    if (begins_with(folded, sellers))
        return DX_ROLE_SELLER;
    return begins_with(folded, buyers) ? DX_ROLE_BUYER : DX_ROLE_NONE;
}

/* ---- places ---------------------------------------------------------------------------- */

#define CAPITALS "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define CITY                                                                             \
    "(?<city>\\p{Lu}[\\p{L}.'’/()]*(?:[ -]{1,3}[\\p{L}.'’/()]+){0,4}(?: "            \
    "\\d{1,2}(?!\\d))?)"
#define REST "(?:[ ,]*[,/-] ?(?<rest>\\p{L}[\\p{L}. -]{1,30}))?[.,]?$"

static const char *const places[] = {
    "^(?:(?<cc>[A-Z]{1,3})[ -]{1,3})?(?<pc>\\d{4} ?[A-Z]{2}),? " CITY REST,
    "^(?:(?<cc>[A-Z]{1,3})[ -]{1,3})?(?<pc>\\d{3} "
    "\\d{2}|\\d{2}-\\d{3}|\\d{4}-\\d{3}|\\d{4,6})(?:,? |,? ?[-–] )" CITY REST,
    "^(?<city>\\p{Lu}[\\p{L}.' -]{1,30}?),? (?<region>[A-Z]{2}),? "
    "(?<pc>\\d{5}(?:-\\d{4})?)(?:,? (?<rest>\\p{L}[\\p{L} .]{1,30}))?$",
    /* a misread figure of the British is mended in read_place() */
    "^(?<cc>GB|UK)[ -](?<pc>[A-Z]{1,2}[IO][A-Z]? ?\\d[A-Z]{2}),? " CITY REST,
    "^(?:(?<cc>GB|UK|IE)[ -])?(?<pc>[A-Z]{1,2}\\d[A-Z\\d]? "
    "?\\d[A-Z]{2}|[A-Z]\\d[\\dW] "
    "?[A-Z\\d]{4}),? " CITY REST,
    "^(?:(?<cc>GB|UK|IE)[ -])?(?<city>\\p{Lu}[\\p{L}.' -]{1,30}?),? "
    "(?<pc>[A-Z]{1,2}\\d[A-Z\\d]? \\d[A-Z]{2}|[A-Z]\\d[\\dW] [A-Z\\d]{4})"
    "(?:,? (?<rest>\\p{L}[\\p{L} .]{1,30}))?$",
    /* Australia, Canada, Singapore */
    "^(?<city>\\p{Lu}[\\p{L}.' -]{1,30}?),? (?<region>NSW|VIC|QLD|SA|WA|TAS|NT|ACT),? "
    "(?<pc>\\d{4})(?:,? (?<rest>\\p{L}[\\p{L} .]{1,30}))?$",
    "^(?<city>\\p{Lu}[\\p{L}.' -]{1,30}?),? (?<region>[A-Z]{2}),? "
    "(?<pc>[A-Z]\\d[A-Z] ?\\d[A-Z]\\d)(?:,? (?<rest>\\p{L}[\\p{L} .]{1,30}))?$",
    "^(?<city>Singapore|SINGAPORE),? \\(?(?<pc>\\d{6})\\)?(?<rest>)$",
};

typedef struct place {
    char *postcode, *city, *region;
    char country[3];
} place;

static void place_clear(place *p)
{
    g_clear_pointer(&p->postcode, g_free);
    g_clear_pointer(&p->city, g_free);
    g_clear_pointer(&p->region, g_free);
}

/* "Ireland - LEINSTER", "Deutschland / Germany", "DE" */
static gboolean read_country(const char *text, char country[3])
{
    g_auto(GStrv) parts = g_regex_split_simple(" ?[-/(),] ?", text, 0, 0);
    for (char **part = parts; *part != NULL; part++) {
        g_strstrip(*part);
        g_autofree char *code = NULL;
        if (strlen(*part) < 2 ||
            !dx_normalize(DX_KIND_COUNTRY, *part, NULL, &code, NULL) || strlen(code) != 2)
            continue;
        memcpy(country, code, 3);
        return TRUE;
    }
    return FALSE;
}

static char *named(const GMatchInfo *match, const char *name)
{
    char *text = g_match_info_fetch_named(match, name);
    if (text != NULL && *text == '\0')
        g_clear_pointer(&text, g_free);
    return text;
}

static gboolean is_city(const char *city)
{
    g_autofree char *folded = dx_fold(city, strlen(city));
    int month, other;
    return strlen(city) >= 2 && !dx_month_read(folded, "", &month, &other) &&
           !dx_has_legal_form(city);
}

/* The first part of a British postcode has a figure behind its one or two letters: "SWIB
 * 3BN" is SW1B 3BN. */
static void mend_figure(char *postcode)
{
    gsize n = strcspn(postcode, " "), letters = strspn(postcode, CAPITALS);
    if (n < 2 || n > 4 || letters < n || postcode[n] == '\0')
        return;
    char *c = postcode + 1 + (postcode[1] != 'I' && postcode[1] != 'O');
    if (*c == 'I' || *c == 'O')
        *c = *c == 'I' ? '1' : '0';
}

static gboolean read_place(GRegex *const *regex, const char *text, place *out)
{
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(GMatchInfo) match = NULL;
        if (!g_regex_match(regex[i], text, 0, &match))
            continue;
        *out = (place){ .postcode = named(match, "pc"),
                        .city = named(match, "city"),
                        .region = named(match, "region") };
        if (out->city == NULL || !is_city(out->city)) {
            place_clear(out);
            continue;
        }
        mend_figure(out->postcode);
        g_autofree char *cc = named(match, "cc");
        g_autofree char *rest = named(match, "rest");
        if (cc != NULL)
            read_country(strcmp(cc, "D") == 0 ? "DE" : cc, out->country);
        if (out->country[0] == '\0' && rest != NULL &&
            !read_country(rest, out->country) && out->region == NULL)
            out->region = g_steal_pointer(&rest);
        return TRUE;
    }
    return FALSE;
}

/* ---- columns ------------------------------------------------------------------------------ */

static double cell_height(const dx_cell *cell)
{
    return MAX(cell->box.y1 - cell->box.y0, 1e-6);
}

static gboolean is_same_column(const dx_layout *l, const dx_box *a, const dx_box *b,
                               double em)
{
    double shared = MIN(a->x1, b->x1) - MAX(a->x0, b->x0),
           width = MIN(a->x1 - a->x0, b->x1 - b->x0);
    return fabs(a->x0 - b->x0) * l->aspect < 0.8 * em || shared > 0.5 * width;
}

const dx_cell *dx_cell_above(const dx_layout *l, const dx_cell *cell, double gap)
{
    const dx_cell *best = NULL;
    double best_gap = INFINITY;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        if (c->row >= cell->row)
            break;
        double em = MIN(cell_height(c), cell_height(cell)),
               d = (cell->box.y0 - c->box.y1) / em;
        if (d < -0.6 || d > gap || d >= best_gap ||
            !is_same_column(l, &c->box, &cell->box, em))
            continue;
        best = c;
        best_gap = d;
    }
    return best;
}

static const dx_cell *cell_below(const dx_layout *l, const dx_cell *cell, double gap)
{
    const dx_cell *best = NULL;
    double best_gap = INFINITY;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        if (c->row <= cell->row)
            continue;
        double em = MIN(cell_height(c), cell_height(cell)),
               d = (c->box.y0 - cell->box.y1) / em;
        if (d < -0.6 || d > gap || d >= best_gap ||
            !is_same_column(l, &c->box, &cell->box, em))
            continue;
        best = c;
        best_gap = d;
    }
    return best;
}

static char *cell_text(const dx_layout *l, const dx_cell *cell)
{
    return g_strstrip(g_strndup(l->text + cell->start, cell->end - cell->start));
}

/* ---- blocks --------------------------------------------------------------------------------- */

static void address_clear(gpointer data)
{
    dx_address *a = data;
    g_free(a->name);
    g_free(a->contact);
    g_ptr_array_unref(a->lines);
    g_free(a->postcode);
    g_free(a->city);
    g_free(a->region);
    g_free(a->heading);
    g_free(a->printed);
}

static void grow(dx_box *all, const dx_box *box)
{
    all->x0 = MIN(all->x0, box->x0);
    all->y0 = MIN(all->y0, box->y0);
    all->x1 = MAX(all->x1, box->x1);
    all->y1 = MAX(all->y1, box->y1);
}

static gboolean is_salutation(const char *text)
{
    static const char *const words[] = { "herrn",    "herr",       "frau",     "firma",
                                         "familie",  "fa.",        "mr",       "mrs",
                                         "ms",       "mr.",        "mrs.",     "an",
                                         "m.",       "mme",        "monsieur", "madame",
                                         "spett.le", "spettabile", "spett.",   NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    for (const char *const *word = words; *word != NULL; word++)
        if (strcmp(folded, *word) == 0)
            return TRUE;
    return FALSE;
}

static gboolean is_heading(const char *text)
{
    gboolean is_short_role = dx_read_role(text) != DX_ROLE_NONE &&
                             !dx_has_legal_form(text) &&
                             strpbrk(text, "0123456789") == NULL;
    return g_str_has_suffix(text, ":") || text[0] == '(' || dx_is_title(text) ||
           is_short_role;
}

/* "Number : 42" in two cells */
static gboolean has_colon_behind(const dx_layout *l, const dx_cell *cell)
{
    gsize at = cell->end;
    while (at < l->bytes && (l->text[at] == ' ' || l->text[at] == '\t'))
        at++;
    return at < l->bytes && l->text[at] == ':';
}

static gboolean is_sender(const GArray *found, const dx_cell *cell)
{
    for (guint i = 0; i < found->len; i++) {
        const dx_address *a = &g_array_index(found, dx_address, i);
        if (a->is_inline && cell->start >= a->start && cell->end <= a->end)
            return TRUE;
    }
    return FALSE;
}

/* The lines above the place, nearest first. */
static GPtrArray *lines_above(const dx_layout *l, const dx_cell *place_cell,
                              const GArray *found_so_far, const dx_cell **stopper)
{
    GPtrArray *found = g_ptr_array_new();
    double usual = LINE_GAP;
    const dx_cell *at = place_cell;
    *stopper = NULL;
    while (found->len < DX_ADDRESS_LINES_MAX) {
        const dx_cell *up = dx_cell_above(l, at, usual);
        if (up == NULL)
            break;
        g_autofree char *text = cell_text(l, up);
        double ratio = cell_height(up) / cell_height(place_cell);
        if (is_heading(text) || is_sender(found_so_far, up) || dx_is_fact(text) ||
            has_colon_behind(l, up) || ratio > 2.2 || ratio < 0.5) {
            *stopper = up;
            break;
        }
        double gap = (at->box.y0 - up->box.y1) / MIN(cell_height(at), cell_height(up));
        if (found->len == 0)
            usual = MIN(LINE_GAP, MAX(gap * 1.5 + 0.3, 0.7));
        g_ptr_array_add(found, (gpointer)up);
        at = up;
    }
    return found;
}

/* What gives the block its role: the line that stopped it, headings above facts that
 * stand over the name, or the cell left of the name in its row. */
static char *heading_of(const dx_layout *l, const dx_cell *top, const dx_cell *stopper)
{
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        if (c->row != top->row || c->end > top->start)
            continue;
        const dx_cell *next = i + 1 < l->cells->len ? c + 1 : NULL;
        if (next == top) {
            g_autofree char *left = cell_text(l, c);
            if (strlen(left) < 30 && dx_read_role(left) != DX_ROLE_NONE)
                return g_steal_pointer(&left);
        }
    }
    const dx_cell *at = stopper != NULL ? stopper : dx_cell_above(l, top, 2 * LINE_GAP);
    for (guint n = 0; at != NULL && n < 4; n++) {
        g_autofree char *text = cell_text(l, at);
        if ((!dx_is_fact(text) && !has_colon_behind(l, at)) ||
            g_str_has_suffix(text, ":"))
            return strlen(text) < 60 ? g_steal_pointer(&text) : NULL;
        at = dx_cell_above(l, at, LINE_GAP);
    }
    return NULL;
}

static void add_line(dx_address *a, const dx_layout *l, const dx_cell *cell)
{
    char *text = cell_text(l, cell);
    gsize n = strlen(text);
    while (n > 1 && strchr(", ", text[n - 1]) != NULL)
        text[--n] = '\0';
    g_ptr_array_add(a->lines, text);
    grow(&a->box, &cell->box);
}

/* "Building F", "Unit 3, Mill Road", "c/o ...": a part of an address whatever stands
 * above it, not a name. */
static gboolean is_bare_part(const char *text)
{
    if (!dx_is_part(text) || dx_has_legal_form(text))
        return FALSE;
    const char *last = strrchr(text, ' ');
    return strpbrk(text, "0123456789") != NULL || (last != NULL && strlen(last) == 2) ||
           g_ascii_strncasecmp(text, "c/o ", 4) == 0;
}

/* A name in large type right above the block. */
static void take_large_name(dx_address *a, const dx_layout *l, const dx_cell *cell)
{
    g_autofree char *text = cell != NULL ? cell_text(l, cell) : NULL;
    if (text == NULL || cell_height(cell) < LARGE_NAME * a->em ||
        !dx_could_be_name(text) || is_bare_part(text) ||
        cell->end - cell->start > LINE_LONG)
        return;
    a->name = g_steal_pointer(&text);
    a->name_start = cell->start;
    a->name_end = cell->end;
    a->name_box = cell->box;
}

/* Name lines first: salutation with the name behind it, a legal form on the second line;
 * then a person without house number; the rest is street. */
static void split_block(dx_address *a, const dx_layout *l, const GPtrArray *up)
{
    gint at = (gint)up->len - 1;
    if (at < 0)
        return;
    const dx_cell *first = g_ptr_array_index(up, at);
    g_autofree char *text = cell_text(l, first);
    if (at >= 2 && dx_has_legal_form(text)) { /* a letterhead right above the block */
        const dx_cell *next = g_ptr_array_index(up, at - 1);
        g_autofree char *below = cell_text(l, next);
        if (dx_has_legal_form(below) && !dx_is_street(below) && !dx_is_part(below)) {
            g_free(text);
            text = g_steal_pointer(&below);
            first = next;
            at--;
        }
    }
    gboolean is_bare_street =
        (up->len == 1 && dx_is_street(text) && !dx_has_legal_form(text)) ||
        is_bare_part(text);
    if (!is_bare_street) {
        a->name_start = first->start;
        a->name_end = first->end;
        a->name_box = first->box;
        at--;
        const dx_cell *second = at >= 1 ? g_ptr_array_index(up, at) : NULL;
        g_autofree char *more = second != NULL ? cell_text(l, second) : NULL;
        gboolean joins =
            more != NULL &&
            (is_salutation(text) || (!dx_has_legal_form(text) &&
                                     dx_has_legal_form(more) && !dx_is_street(more)));
        a->name = joins ? g_strdup_printf("%s %s", text, more) : g_steal_pointer(&text);
        if (joins) {
            grow(&a->name_box, &second->box);
            at--;
        }
    }
    for (; at >= 0; at--) {
        const dx_cell *cell = g_ptr_array_index(up, at);
        g_autofree char *line = cell_text(l, cell);
        if (at > 0 && !dx_is_street(line) && !dx_is_part(line) && a->lines->len == 0 &&
            a->name != NULL) {
            if (a->contact == NULL)
                a->contact = g_steal_pointer(&line);
            continue;
        }
        add_line(a, l, cell);
    }
}

static void finish(dx_address *a, const char *place_text, const char *country_line)
{
    GString *printed = g_string_new(NULL);
    for (guint i = 0; i < a->lines->len; i++)
        g_string_append_printf(printed, "%s, ", (char *)g_ptr_array_index(a->lines, i));
    g_string_append(printed, place_text);
    if (country_line != NULL)
        g_string_append_printf(printed, ", %s", country_line);
    a->printed = g_string_free(printed, FALSE);
}

static void take_block(const dx_layout *l, const dx_cell *cell, place *p, GArray *out)
{
    dx_address a = { .lines = g_ptr_array_new_with_free_func(g_free),
                     .postcode = p->postcode,
                     .city = p->city,
                     .region = p->region,
                     .start = cell->start,
                     .end = cell->end,
                     .box = cell->box,
                     .em = cell_height(cell) };
    memcpy(a.country, p->country, sizeof a.country);
    const dx_cell *stopper;
    g_autoptr(GPtrArray) up = lines_above(l, cell, out, &stopper);
    split_block(&a, l, up);
    const dx_cell *top = up->len > 0 ? g_ptr_array_index(up, up->len - 1) : cell;
    if (a.name == NULL)
        take_large_name(&a, l,
                        stopper != NULL ? stopper : dx_cell_above(l, top, LINE_GAP));
    a.heading = heading_of(l, top, stopper);
    g_autofree char *text = cell_text(l, cell);
    g_autofree char *country_line = NULL;
    const dx_cell *down = cell_below(l, cell, LINE_GAP);
    for (guint n = 0; n < 2 && down != NULL && country_line == NULL; n++) {
        g_autofree char *line = cell_text(l, down);
        char country[3] = "";
        if (strlen(line) < 40 && read_country(line, country) &&
            (a.country[0] == '\0' || strcmp(a.country, country) == 0)) {
            memcpy(a.country, country, sizeof country);
            country_line = g_steal_pointer(&line);
            grow(&a.box, &down->box);
        }
        down = cell_below(l, down, LINE_GAP);
    }
    finish(&a, text, country_line);
    g_array_append_val(out, a);
}

/* ---- a sender's line ------------------------------------------------------------------------- */

/* The place among the parts of a row; 0 when there is none. */
static guint find_place(GRegex *const *regex, char **parts, place *p)
{
    for (guint at = 0; parts[at] != NULL; at++) {
        char *tab = strchr(parts[at], '\t');
        if (tab != NULL && at > 0)
            *tab = '\0';
        g_strstrip(parts[at]);
        if (at >= 2 && read_place(regex, parts[at], p))
            return at;
    }
    return 0;
}

/* Parts of one row divided by dots or bars, with the place among them.  A column to the
 * right (behind a tab) does not belong to the last part. */
static gboolean take_sender(const dx_layout *l, GRegex *const *regex, gsize start,
                            gsize end, GArray *out)
{
    static const char *const dividers[] = {
        "[ \\t]*(?:[·•●∙|]|[ \\t][–—-][ \\t]|,[ ])[ \\t]*", "[ \\t]*[·•●∙|][ \\t]*",
        "[ \\t]+[–—-][ \\t]+", ",[ ][ \\t]*"
    };
    g_autofree char *row = g_strndup(l->text + start, end - start);
    g_auto(GStrv) parts = NULL;
    place p = { 0 };
    guint at = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(dividers) && at == 0; i++) {
        g_clear_pointer(&parts, g_strfreev);
        parts = g_regex_split_simple(dividers[i], row, 0, 0);
        at = find_place(regex, parts, &p);
    }
    if (at == 0)
        return FALSE;
    if (dx_is_fact(parts[0]) || dx_is_street(parts[0])) {
        place_clear(&p);
        return FALSE;
    }
    /* "Smith, Inc.": the comma is one of the name */
    gboolean is_split = at > 2 && strlen(parts[1]) < 9 && dx_has_legal_form(parts[1]);
    char *tab = strchr(parts[0], '\t'), *behind = NULL; /* a wide gap divides, too */
    if (tab != NULL && !is_split) {
        *tab = '\0';
        g_strchomp(parts[0]);
        behind = g_strstrip(tab + 1);
    }
    dx_address a = { .lines = g_ptr_array_new_with_free_func(g_free),
                     .name = is_split ? g_strdup_printf("%s, %s", parts[0], parts[1])
                                      : g_strdup(parts[0]),
                     .postcode = p.postcode,
                     .city = p.city,
                     .region = p.region,
                     .start = start,
                     .end = end,
                     .is_inline = TRUE };
    memcpy(a.country, p.country, sizeof a.country);
    if (behind != NULL && *behind != '\0')
        g_ptr_array_add(a.lines, g_strdup(behind));
    for (guint i = is_split ? 2 : 1; i < at; i++)
        g_ptr_array_add(a.lines, g_strdup(parts[i]));
    const char *country = NULL;
    if (parts[at + 1] != NULL) {
        char *gap = strchr(parts[at + 1], '\t'), code[3] = "";
        if (gap != NULL)
            *gap = '\0';
        if (read_country(g_strstrip(parts[at + 1]), code) &&
            (a.country[0] == '\0' || strcmp(a.country, code) == 0)) {
            memcpy(a.country, code, sizeof code);
            country = parts[at + 1];
        }
    }
    a.name_start = start;
    a.name_end = start + strlen(a.name);
    g_autoptr(GArray) boxes = dx_layout_span(l, start, end, &a.box);
    a.em = boxes->len > 0
               ? g_array_index(boxes, dx_box, 0).y1 - g_array_index(boxes, dx_box, 0).y0
               : 0.01;
    a.name_box = a.box;
    const dx_cell *cell = dx_layout_cell(l, start);
    a.heading = cell != NULL ? heading_of(l, cell, NULL) : NULL;
    finish(&a, parts[at], country);
    g_array_append_val(out, a);
    return TRUE;
}

/* A place behind a street in one cell: "12 High Street, London, SW1A 1AA". */
static gboolean take_tail(const dx_layout *l, GRegex *const *regex, const dx_cell *cell,
                          GArray *out)
{
    g_autofree char *text = cell_text(l, cell);
    for (char *comma = strchr(text, ','); comma != NULL; comma = strchr(comma + 1, ',')) {
        const char *tail = comma + 1 + strspn(comma + 1, " ");
        place p = { 0 };
        if (!read_place(regex, tail, &p))
            continue;
        guint before = out->len;
        take_block(l, cell, &p, out);
        dx_address *a = &g_array_index(out, dx_address, before);
        g_ptr_array_add(a->lines, g_strndup(text, (gsize)(comma - text)));
        return TRUE;
    }
    return FALSE;
}

/* An amount stands in the row of a cell: a table's row, no place. */
static gboolean is_in_table(const dx_layout *l, guint which)
{
    const dx_cell *cell = &g_array_index(l->cells, dx_cell, which);
    for (guint i = which + 1; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        if (c->row != cell->row)
            return FALSE;
        g_autofree char *text = cell_text(l, c);
        if (g_regex_match_simple("^\\D{0,4}\\d[\\d.,' ]*[.,]\\d\\d\\D{0,4}$", text, 0, 0))
            return TRUE;
    }
    return FALSE;
}

GArray *dx_find_addresses(const dx_layout *l)
{
    GArray *out = g_array_new(FALSE, TRUE, sizeof(dx_address));
    g_array_set_clear_func(out, address_clear);
    GRegex *regex[G_N_ELEMENTS(places)];
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        regex[i] = g_regex_new(places[i], 0, 0, NULL);
        g_assert(regex[i] != NULL); /* the patterns are ours */
    }
    guint row_taken = G_MAXUINT;
    for (guint i = 0; i < l->cells->len && out->len < DX_ADDRESS_MAX; i++) {
        const dx_cell *cell = &g_array_index(l->cells, dx_cell, i);
        if (cell->row == row_taken)
            continue;
        gboolean is_first = i == 0 || (cell - 1)->row != cell->row;
        const char *line_end =
            memchr(l->text + cell->start, '\n', l->bytes - cell->start);
        gsize end = line_end != NULL ? (gsize)(line_end - l->text) : l->bytes;
        if (is_first && take_sender(l, regex, cell->start, end, out)) {
            row_taken = cell->row;
            continue;
        }
        if (!is_first && take_sender(l, regex, cell->start, cell->end, out))
            continue;
        if (cell->end - cell->start > 120 || is_in_table(l, i))
            continue;
        g_autofree char *text = cell_text(l, cell);
        place p = { 0 };
        if (read_place(regex, text, &p))
            take_block(l, cell, &p, out);
        else
            take_tail(l, regex, cell, out);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(places); i++)
        g_regex_unref(regex[i]);
    return out;
}

char *dx_address_format(const dx_address *a, const char *country)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < a->lines->len; i++)
        g_string_append_printf(out, "%s, ", (char *)g_ptr_array_index(a->lines, i));
    g_string_append_printf(out, "%s, %s", a->postcode, a->city);
    if (a->region != NULL)
        g_string_append_printf(out, ", %s", a->region);
    if (country != NULL && *country != '\0')
        g_string_append_printf(out, ", %s", country);
    return g_string_free(out, FALSE);
}

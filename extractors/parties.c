/*
 * parties.c - who sends a paper and who gets it: blocks of address, told apart by what
 * stands around them.
 */
#include "clue.h"

#include <math.h>
#include <string.h>

#include "address.h"

/* What speaks for a block being the seller's (positive) or the buyer's (negative). */
#define ROLE_HEADING 5.0 /* "Seller:", "Bill to:" above or beside it */
#define ROLE_SENDER  4.0 /* a sender's line */
#define ROLE_SAME    3.0 /* the name of the sender's line again */
#define ROLE_BELOW   3.0 /* right under a sender's line: the window */
#define ROLE_FACTS   1.5 /* telephone, tax number, bank in its column below */
#define ROLE_OWN     1.0 /* more, for its bank, register or owner */
#define ROLE_FOOTER  2.0
#define ROLE_TOP     0.7
#define ROLE_WINDOW  1.0 /* left, in the upper third */
#define ROLE_REST    1.5 /* the other party is known */
#define ROLE_BASE    1.2 /* any block */
#define ROLE_PAIR    1.5 /* of the best pair */
#define ROLE_FORM    0.4 /* a company / a person */
#define ROLE_SHIP    2.5 /* the goods go to this name too */
#define TAX_NUMBER   -2.0
#define NAME_FOOT    1.4 /* a company in the foot of the page */
#define NAME_HOLDER  1.2 /* the account is held by it */

/* What only who writes the paper says of itself: its bank, its register, who runs it. */
static gboolean is_own_fact(const char *text)
{
    static const char *const words[] = { "iban",
                                         "bic",
                                         "swift",
                                         "bank",
                                         "banque",
                                         "banca",
                                         "banco",
                                         "konto",
                                         "kto",
                                         "account no",
                                         "company no",
                                         "company reg",
                                         "reg. no",
                                         "registered",
                                         "hrb",
                                         "amtsgericht",
                                         "registro mercantil",
                                         "kvk",
                                         "rcs",
                                         "capital social",
                                         "owner",
                                         "director",
                                         "inhaber",
                                         "geschaftsfuhrer",
                                         "gerant",
                                         "titolare",
                                         "administrador",
                                         "eigenaar",
                                         "directeur",
                                         "gerente",
                                         NULL };
    g_autofree char *folded = dx_fold(text, strlen(text));
    for (const char *const *word = words; *word != NULL; word++) {
        const char *at = strstr(folded, *word);
        gsize n = strlen(*word);
        if (at != NULL && (at == folded || !g_ascii_isalnum(at[-1])) &&
            !g_ascii_isalpha(at[n]))
            return TRUE;
    }
    return FALSE;
}

/* Facts (telephone, tax number, ...) in the block's column, within a few lines below; for
 * what only a sender says also right above.  What they are worth. */
static double worth_of_facts(const dx_layout *l, const dx_address *a)
{
    double worth = 0, top = a->name != NULL ? a->name_box.y0 : a->box.y0;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        double gap = (c->box.y0 - a->box.y1) / a->em, above = (top - c->box.y1) / a->em;
        gboolean is_below = gap >= -0.5 && gap <= 4.5,
                 is_above = above >= -0.5 && above <= 2;
        if ((!is_below && !is_above) || c->end - c->start > 60)
            continue;
        if (fabs(c->box.x0 - a->box.x0) * l->aspect > a->em &&
            fabs(c->box.x1 - a->box.x1) * l->aspect > a->em)
            continue;
        g_autofree char *text = g_strndup(l->text + c->start, c->end - c->start);
        if (is_own_fact(text))
            return ROLE_FACTS + ROLE_OWN;
        if (is_below && dx_is_fact(text))
            worth = ROLE_FACTS;
    }
    return worth;
}

static gboolean is_same_name(const dx_address *a, const dx_address *b)
{
    if (a->name == NULL || b->name == NULL)
        return FALSE;
    g_autofree char *p = dx_fold(a->name, strlen(a->name)),
                    *q = dx_fold(b->name, strlen(b->name));
    return strcmp(p, q) == 0;
}

static gboolean is_below(const dx_layout *l, const dx_address *upper,
                         const dx_address *lower)
{
    double gap = lower->name_box.y0 - upper->box.y1;
    return gap > 0 && gap < 9 * upper->em &&
           (lower->name_box.x0 - upper->box.x0) * l->aspect < 2 * upper->em &&
           (lower->name_box.x0 - upper->box.x0) * l->aspect > -2 * upper->em;
}

/* "Ship to", "Lieferadresse": where the buyer's goods go. */
static gboolean names_delivery(const char *heading)
{
    static const char *const words[] = {
        "ship to",   "shipping", "deliver", "lieferadr", "lieferansch", "warenempf",
        "livraison", "livre",    "entrega", "enviar",    "consegna",    "destinazione",
        "aflever",   "bezorg",   "dostawy", "dodaci",    "dodani",      NULL
    };
    g_autofree char *folded = dx_fold(heading, strlen(heading));
    for (const char *const *word = words; *word != NULL; word++)
        if (strstr(folded, *word) != NULL)
            return TRUE;
    return FALSE;
}

/* The paper is an order: who sends it buys. */
static gboolean is_order(const dx_layout *l)
{
    static const char *const titles[] = { "purchase order",
                                          "order",
                                          "bestellung",
                                          "einkaufsbestellung",
                                          "bon de commande",
                                          "commande",
                                          "pedido",
                                          "orden de compra",
                                          "pedido de compra",
                                          "ordine",
                                          "ordine d'acquisto",
                                          "ordine di acquisto",
                                          "bestelling",
                                          "inkooporder",
                                          "bestelbon",
                                          "encomenda",
                                          "nota de encomenda",
                                          "ordem de compra",
                                          "zamowienie",
                                          "objednavka",
                                          NULL };
    /* on an invoice the same words are labels */
    static const char *const invoices[] = { "invoice", "rechnung", "factur", "fattur",
                                            "faktur",  "fatura",   "credit", "gutschrift",
                                            "avoir",   NULL };
    g_autofree char *whole = dx_fold(l->text, l->bytes);
    for (const char *const *word = invoices; *word != NULL; word++)
        if (strstr(whole, *word) != NULL)
            return FALSE;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        if (c->box.y0 > 0.5 || c->end - c->start > 30)
            continue;
        g_autofree char *text = dx_fold(l->text + c->start, c->end - c->start);
        for (const char *const *title = titles; *title != NULL; title++)
            if (strcmp(g_strstrip(text), *title) == 0)
                return TRUE;
    }
    return FALSE;
}

static double lean_of(const dx_scene *s, const GArray *all, guint which,
                      gboolean is_turned, dx_role *fixed)
{
    const dx_address *a = &g_array_index(all, dx_address, which);
    double lean = 0, stated = 0;
    *fixed = a->heading != NULL ? dx_read_role(a->heading) : DX_ROLE_NONE;
    if (*fixed == DX_ROLE_SELLER)
        stated += ROLE_HEADING;
    else if (*fixed == DX_ROLE_BUYER)
        stated -= ROLE_HEADING;
    if (a->is_inline && *fixed == DX_ROLE_NONE)
        lean += ROLE_SENDER;
    for (guint i = 0; i < all->len; i++) {
        const dx_address *b = &g_array_index(all, dx_address, i);
        if (i != which && b->heading != NULL && is_same_name(a, b) &&
            *fixed == DX_ROLE_NONE && names_delivery(b->heading))
            stated -= ROLE_SHIP;
        if (i == which || !b->is_inline || a->is_inline)
            continue;
        if (is_same_name(a, b))
            lean += ROLE_SAME;
        else if (is_below(s->layout, b, a))
            lean -= ROLE_BELOW;
    }
    lean += worth_of_facts(s->layout, a);
    if (a->box.y0 > 0.82)
        lean += ROLE_FOOTER;
    if (a->box.y0 < 0.12)
        lean += ROLE_TOP;
    if (a->box.x0 < 0.4 && a->box.y0 > 0.1 && a->box.y0 < 0.36)
        lean -= ROLE_WINDOW;
    if (a->name != NULL)
        lean += dx_has_legal_form(a->name) ? ROLE_FORM : -ROLE_FORM;
    return stated + (is_turned ? -lean : lean);
}

/* The country of a paper, from what states it surest: tax number, bank account, telephone,
 * then the language of its words with the length of the postcode. */
static void guess_country(const dx_scene *s, char country[3])
{
    static const dx_kind kinds[] = { DX_KIND_VAT_ID, DX_KIND_IBAN };
    const dx_layout *l = s->layout;
    for (gsize k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autoptr(GArray) found =
            dx_find_candidates(kinds[k], l->text, l->bytes, s->context);
        for (guint i = 0; i < found->len; i++) {
            const char *value = g_array_index(found, dx_candidate, i).value;
            char code[3] = { value[0], value[0] != '\0' ? value[1] : '\0', '\0' };
            dx_verdict verdict = dx_identifier_check(kinds[k], value);
            if (g_ascii_isalpha(code[0]) && dx_country_known(code) &&
                (verdict == DX_VERDICT_PASS || kinds[k] == DX_KIND_IBAN)) {
                memcpy(country, code, 3);
                return;
            }
        }
    }
    static const struct {
        const char *part, *country;
    } words[] = { { "+49 ", "DE" },    { "+43 ", "AT" },      { "+41 ", "CH" },
                  { "+44 ", "GB" },    { "+33 ", "FR" },      { "+31 ", "NL" },
                  { "+34 ", "ES" },    { "+39 ", "IT" },      { "+48 ", "PL" },
                  { "+420 ", "CZ" },   { "+351 ", "PT" },     { "rechnung", "DE" },
                  { "factuur", "NL" }, { "facture", "FR" },   { "fattura", "IT" },
                  { "danovy", "CZ" },  { "sprzedawca", "PL" } };
    g_autofree char *folded = dx_fold(l->text, l->bytes);
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (strstr(folded, words[i].part) != NULL) {
            memcpy(country, words[i].country, 3);
            return;
        }
}

static const char *country_of(const dx_address *a, const char *guess)
{
    static const struct {
        const char *country;
        guint digits;
    } forms[] = { { "DE", 5 }, { "AT", 4 }, { "CH", 4 },
                  { "FR", 5 }, { "IT", 5 }, { "ES", 5 } };
    if (a->country[0] != '\0')
        return a->country;
    guint digits = 0;
    for (const char *c = a->postcode; *c != '\0'; c++)
        digits += g_ascii_isdigit(*c) != 0;
    for (gsize i = 0; i < G_N_ELEMENTS(forms); i++)
        if (strcmp(forms[i].country, guess) == 0 &&
            (digits != forms[i].digits && digits != 6))
            return "";
    return guess;
}

static json_t *parts_of(const dx_address *a, const char *country)
{
    static const char *const names[] = { "line1", "line2", "line3" };
    json_t *parts = json_pack("{s:s, s:s}", "postcode", a->postcode, "city", a->city);
    for (guint i = 0; i < a->lines->len && i < G_N_ELEMENTS(names); i++)
        json_object_set_new(parts, names[i], json_string(g_ptr_array_index(a->lines, i)));
    if (a->region != NULL)
        json_object_set_new(parts, "subdivision", json_string(a->region));
    if (*country != '\0')
        json_object_set_new(parts, "country", json_string(country));
    json_object_set_new(parts, "is_country_printed", json_boolean(a->country[0] != '\0'));
    return parts;
}

static void add_party(const dx_scene *s, GArray *clues, const dx_address *a,
                      const char *party, const char *guess, double score)
{
    gboolean is_seller = strcmp(party, "seller") == 0;
    if (a->name != NULL)
        dx_clue_add(clues, is_seller ? "seller_name" : "buyer_name", a->name, a->name,
                    &a->name_box, score);
    g_autofree char *whole = dx_address_format(a, country_of(a, guess));
    if (a->lines->len > 0) {
        dx_clue_add(clues, is_seller ? "seller_address" : "buyer_address", a->printed,
                    whole, &a->box, score);
        dx_clue_parts(clues, parts_of(a, country_of(a, guess)));
    }
}

/* Is one of `words` in the label before a number? */
static gboolean has_before(const dx_layout *l, gsize at, const char *const *words)
{
    const dx_cell *cell = dx_layout_cell(l, at);
    gsize from = cell != NULL ? cell->start : at;
    if (cell != NULL && from == at && cell->col > 0)
        from = (cell - 1)->start;
    g_autofree char *before = dx_fold(l->text + from, at - from);
    g_auto(GStrv) parts = g_strsplit_set(before, " :\t/-", -1);
    for (char **part = parts; *part != NULL; part++)
        if (g_strv_contains(words, *part))
            return TRUE;
    return FALSE;
}

/* The label before a number says whose it is: "Ihre USt-IdNr", "VAT ID customer". */
static gboolean names_customer(const dx_layout *l, gsize at)
{
    static const char *const words[] = {
        "your",       "customer",    "client",      "buyer",
        "purchaser",  "recipient",   "ihre",        "kunde",
        "kunden",     "kaufer",      "empfangers",  "leistungsempfangers",
        "votre",      "vos",         "acheteur",    "destinataire",
        "su",         "cliente",     "comprador",   "vs.",
        "vostra",     "acquirente",  "cessionario", "uw",
        "klant",      "koper",       "afnemer",     "adquirente",
        "nabywcy",    "odberatele",  "klienta",     "zakaznika",
        "kupujacego", "objednatele", NULL
    };
    return has_before(l, at, words);
}

/* "Tax ID" may be any of a firm's numbers. */
static gboolean names_any_tax(const dx_layout *l, gsize at)
{
    static const char *const words[] = { "tax", "ein", NULL };
    return has_before(l, at, words);
}

/* A tax number belongs to the block it stands under, or to the party its label names. */
static void add_tax_numbers(const dx_scene *s, GArray *clues, const GArray *all,
                            const double *lean, guint sellers, guint buyers)
{
    const dx_layout *l = s->layout;
    g_autoptr(GArray) found =
        dx_find_candidates(DX_KIND_VAT_ID, l->text, l->bytes, s->context);
    for (guint i = 0; i < found->len; i++) {
        const dx_candidate *c = &g_array_index(found, dx_candidate, i);
        dx_box box;
        dx_layout_box(l, c->start, c->end, &box);
        double seller = 0, nearest = 12;
        for (guint k = 0; k < all->len; k++) {
            const dx_address *a = &g_array_index(all, dx_address, k);
            double gap = (box.y0 - a->box.y1) / a->em;
            gboolean is_beside = box.x0 < a->box.x1 + 0.1 && box.x1 > a->box.x0;
            if (a->is_inline || !is_beside || gap < -1 || gap > nearest)
                continue;
            nearest = gap;
            seller = k == sellers ? 2 : k == buyers ? -2.5 : CLAMP(lean[k], -2, 2);
        }
        if (box.y0 > 0.8)
            seller = 1.5;
        double own = dx_mark_score(s, "seller_vat_id", c->start, c->end);
        double other = dx_mark_score(s, "buyer_vat_id", c->start, c->end);
        gboolean is_yours = names_customer(l, c->start);
        double tax = dx_mark_score(s, "seller_tax_number", c->start, c->end);
        /* "Steuernummer" is no VAT number */
        if (tax > 0.5 && tax > own && tax > other && !names_any_tax(l, c->start)) {
            dx_clue_span(clues, l, "seller_vat_id", c->start, c->end, TAX_NUMBER);
            dx_clue_span(clues, l, "buyer_vat_id", c->start, c->end, TAX_NUMBER);
        }
        if (own < 0.3 && other < 0.3)
            continue;
        if (own < 0.3 || is_yours) { /* "Customer VAT ID" is the buyer's alone */
            dx_clue_span(clues, l, "buyer_vat_id", c->start, c->end, 2.5);
            dx_clue_span(clues, l, "seller_vat_id", c->start, c->end, -3);
            continue;
        }
        dx_clue_span(clues, l, "seller_vat_id", c->start, c->end,
                     seller < -2 ? -3 : c->weight + seller);
        dx_clue_span(clues, l, "buyer_vat_id", c->start, c->end,
                     seller < -1 ? 2.5 : c->weight - seller - 3.5);
    }
}

/* A company's name may take two lines of one print. */
static void add_joined(const dx_scene *s, GArray *clues, const char *ask,
                       const dx_cell *c, const char *text, double score)
{
    const dx_layout *l = s->layout;
    const dx_cell *up = dx_cell_above(l, c, 0.8);
    double ratio = up != NULL ? (up->box.y1 - up->box.y0) / (c->box.y1 - c->box.y0) : 0;
    if (up == NULL || ratio < 0.87 || ratio > 1.15 || fabs(up->box.x0 - c->box.x0) > 0.02)
        return;
    g_autofree char *first =
        g_strstrip(g_strndup(l->text + up->start, up->end - up->start));
    if (dx_has_legal_form(first) || dx_is_fact(first) || dx_is_title(first) ||
        dx_is_street(first) || dx_read_role(first) != DX_ROLE_NONE)
        return;
    g_autofree char *both = g_strdup_printf("%s %s", first, text);
    dx_box box = up->box;
    box.x1 = MAX(box.x1, c->box.x1);
    box.y1 = c->box.y1;
    dx_clue_add(clues, ask, both, both, &box, score);
}

/* A paper without a seller's block: the first line with the form of a company, else the
 * first line that is no title. */
static void add_letterhead(const dx_scene *s, GArray *clues, const char *ask,
                           const char *other)
{
    const dx_layout *l = s->layout;
    guint seen = 0;
    for (guint i = 0; i < l->cells->len && seen < 12; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        g_autofree char *text =
            g_strstrip(g_strndup(l->text + c->start, c->end - c->start));
        if (c->box.y0 > 0.35 || g_strcmp0(text, other) == 0 || strlen(text) < 3 ||
            dx_is_fact(text) || dx_is_title(text) || dx_read_role(text) != DX_ROLE_NONE)
            continue;
        if (dx_has_legal_form(text)) {
            double score = seen < 3 && c->box.y0 < 0.2 ? 3.2 : 1.2;
            dx_clue_span(clues, l, ask, c->start, c->end, score);
            add_joined(s, clues, ask, c, text, score + 0.3);
        } else if (seen == 0) {
            dx_clue_span(clues, l, ask, c->start, c->end, 0.6);
        }
        seen++;
    }
}

/* Does a cell name the holder of an account?  Gives the name. */
static char *read_holder(const char *text)
{
    static const char *const words[] = {
        "account holder", "account name",   "payable to",
        "beneficiary",    "kontoinhaber",   "begunstigter",
        "titulaire",      "beneficiaire",   "titular",
        "beneficiario",   "intestatario",   "intestato a",
        "t.n.v.",         "rekeninghouder", "begunstigde",
        "odbiorca",       "majitel uctu",   NULL
    };
    g_autofree char *folded = dx_fold(text, strlen(text));
    for (const char *const *word = words; *word != NULL; word++) {
        if (!g_str_has_prefix(folded, *word))
            continue;
        const char *colon = strchr(text, ':');
        char *name = g_strdup(colon != NULL ? colon + 1 : text + strlen(*word));
        g_strstrip(name);
        if (*name != '\0' && dx_could_be_name(name))
            return name;
        g_free(name);
    }
    return NULL;
}

/* The foot of a page, and the account's holder, name the seller where no block does. */
static void add_foot(const dx_scene *s, GArray *clues, const char *ask, const char *other)
{
    const dx_layout *l = s->layout;
    for (guint i = 0; i < l->cells->len; i++) {
        const dx_cell *c = &g_array_index(l->cells, dx_cell, i);
        if (c->end - c->start > 60)
            continue;
        g_autofree char *text =
            g_strstrip(g_strndup(l->text + c->start, c->end - c->start));
        g_autofree char *holder = read_holder(text);
        gboolean is_foot = holder == NULL && c->box.y0 > 0.8 && dx_has_legal_form(text) &&
                           dx_could_be_name(text);
        const char *name = holder != NULL ? holder : text;
        if ((holder != NULL || is_foot) && g_strcmp0(other, name) != 0)
            dx_clue_add(clues, ask, name, name, &c->box,
                        is_foot ? NAME_FOOT : NAME_HOLDER);
    }
}

/* Is some block with another name surely the seller's (side 1) or the buyer's (-1)? */
static gboolean is_other_side(const GArray *all, const double *lean, guint which,
                              double side)
{
    for (guint i = 0; i < all->len; i++)
        if (i != which && lean[i] * side > 2.5 && lean[which] * side < 1 &&
            !is_same_name(&g_array_index(all, dx_address, i),
                          &g_array_index(all, dx_address, which)))
            return TRUE;
    return FALSE;
}

/* The two blocks that together are likeliest seller and buyer; one block is at most one
 * of them. */
static void choose_pair(const GArray *all, const dx_role *fixed, const double *seller,
                        const double *buyer, guint *sellers, guint *buyers)
{
    double best = -INFINITY;
    for (guint i = 0; i < all->len; i++)
        for (guint k = 0; k < all->len; k++) {
            double worth = seller[i] + buyer[k] - 0.02 * (i + k);
            if (i == k || fixed[i] == DX_ROLE_OTHER || fixed[k] == DX_ROLE_OTHER ||
                worth <= best ||
                is_same_name(&g_array_index(all, dx_address, i),
                             &g_array_index(all, dx_address, k)))
                continue;
            best = worth;
            *sellers = i;
            *buyers = k;
        }
}

void dx_clues_parties(const dx_scene *s, GArray *clues)
{
    g_autoptr(GArray) all = dx_find_addresses(s->layout);
    g_autofree double *lean = g_new0(double, all->len + 1);
    g_autofree dx_role *fixed = g_new0(dx_role, all->len + 1);
    char guess[3] = "";
    guess_country(s, guess);
    gboolean has_seller = FALSE, has_buyer = FALSE, is_turned = is_order(s->layout);
    for (guint i = 0; i < all->len; i++) {
        lean[i] = lean_of(s, all, i, is_turned, &fixed[i]);
        has_seller |= fixed[i] == DX_ROLE_SELLER;
        has_buyer |= fixed[i] == DX_ROLE_BUYER;
    }
    double page = s->is_first_page ? 0 : -1.5;
    g_autofree double *seller = g_new0(double, all->len + 1),
                      *buyer = g_new0(double, all->len + 1);
    for (guint i = 0; i < all->len; i++) {
        /* where one party is named by a heading, the other is not guessed against it */
        seller[i] = lean[i] - (has_seller && fixed[i] != DX_ROLE_SELLER ? 2 : 0);
        buyer[i] = -lean[i] - (has_buyer && fixed[i] != DX_ROLE_BUYER ? 2 : 0);
        if (g_array_index(all, dx_address, i).is_inline && fixed[i] == DX_ROLE_NONE)
            (is_turned ? seller : buyer)[i] -= 4;
        seller[i] += is_other_side(all, lean, i, -1) ? ROLE_REST : 0;
        buyer[i] += is_other_side(all, lean, i, 1) ? ROLE_REST : 0;
    }
    guint sellers = all->len, buyers = all->len;
    choose_pair(all, fixed, seller, buyer, &sellers, &buyers);
    for (guint i = 0; i < all->len; i++) {
        const dx_address *a = &g_array_index(all, dx_address, i);
        if (fixed[i] == DX_ROLE_OTHER)
            continue;
        double first = ROLE_BASE + page - 0.02 * i;
        add_party(s, clues, a, "seller", guess,
                  first + 0.8 * seller[i] + (i == sellers ? ROLE_PAIR : 0));
        add_party(s, clues, a, "buyer", guess,
                  first + 0.8 * buyer[i] + (i == buyers ? ROLE_PAIR : 0));
    }
    add_tax_numbers(s, clues, all, lean, sellers, buyers);
    guint others = is_turned ? sellers : buyers;
    const char *ask = is_turned ? "buyer_name" : "seller_name", *other = NULL;
    if (others < all->len)
        other = g_array_index(all, dx_address, others).name;
    /* who is surely the other party is not the one whose paper it is */
    gboolean is_sure = other != NULL && (is_turned ? lean[others] : -lean[others]) > 1;
    if (s->is_first_page)
        add_letterhead(s, clues, ask, is_sure ? other : NULL);
    add_foot(s, clues, ask, other);
}

/*
 * einvoice.c - reads e-invoices in two steps: the XML to a light tree of local names, and
 * the paths of each syntax to the fields of the schema.
 *
 * Namespaces are not compared: prefixes and versions vary between issuers, local names
 * do not, and the root element tells the syntax.
 */
#include "einvoice.h"

#include <string.h>

#include "normalize.h"

typedef struct element {
    char *name; /* without prefix */
    GString *text;
    char *scheme, *unit, *format, *currency, *label; /* the attributes we read */
    struct element *parent, *first, *last, *next;
} element;

typedef struct builder {
    element *root, *at;
    unsigned depth, count;
    const char *file;
} builder;

/* Iterative: the tree is as deep as the file says. */
static void element_free(element *e)
{
    while (e != NULL) {
        if (e->first != NULL) {
            element *child = e->first;
            e->first = child->next;
            child->parent = e;
            e = child;
            continue;
        }
        element *up = e->parent;
        g_free(e->name);
        g_string_free(e->text, TRUE);
        g_free(e->scheme);
        g_free(e->unit);
        g_free(e->format);
        g_free(e->currency);
        g_free(e->label);
        g_free(e);
        e = up;
    }
}

static const char *local_name(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon != NULL ? colon + 1 : name;
}

static void on_start(GMarkupParseContext *context, const char *name, const char **keys,
                     const char **values, gpointer data, GError **error)
{
    builder *b = data;
    if (++b->depth > DX_XML_DEPTH_MAX) {
        g_set_error(error, DX_ERROR, DX_LIMIT,
                    "%s: elements nested deeper than the limit of %u", b->file,
                    DX_XML_DEPTH_MAX);
        return;
    }
    if (++b->count > DX_XML_ELEMENTS_MAX) {
        g_set_error(error, DX_ERROR, DX_LIMIT, "%s: more elements than the limit of %u",
                    b->file, DX_XML_ELEMENTS_MAX);
        return;
    }
    if (b->at == NULL && b->root != NULL) { /* GMarkup takes fragments */
        g_set_error(error, DX_ERROR, DX_SOURCE, "%s: more than one root element",
                    b->file);
        return;
    }
    element *e = g_new0(element, 1);
    e->name = g_strdup(local_name(name));
    e->text = g_string_new(NULL);
    for (gsize i = 0; keys[i] != NULL; i++) {
        const char *key = local_name(keys[i]);
        char **slot = strcmp(key, "schemeID") == 0     ? &e->scheme
                      : strcmp(key, "unitCode") == 0   ? &e->unit
                      : strcmp(key, "format") == 0     ? &e->format
                      : strcmp(key, "currencyID") == 0 ? &e->currency
                      : strcmp(key, "name") == 0       ? &e->label
                                                       : NULL;
        if (slot != NULL && *slot == NULL)
            *slot = g_strdup(values[i]);
    }
    e->parent = b->at;
    if (b->at == NULL)
        b->root = e;
    else if (b->at->last == NULL)
        b->at->first = e;
    else
        b->at->last->next = e;
    if (b->at != NULL)
        b->at->last = e;
    b->at = e;
}

static void on_end(GMarkupParseContext *context, const char *name, gpointer data,
                   GError **error)
{
    builder *b = data;
    b->at = b->at->parent;
    b->depth--;
}

static void on_text(GMarkupParseContext *context, const char *text, gsize bytes,
                    gpointer data, GError **error)
{
    builder *b = data;
    if (b->at != NULL && b->at->text->len + bytes <= DX_XML_VALUE_MAX)
        g_string_append_len(b->at->text, text, (gssize)bytes);
}

/* UTF-8 without a byte order mark, or NULL. */
static char *to_utf8(const char *bytes, gsize count, gsize *out_count)
{
    const guchar *u = (const guchar *)bytes;
    if (count >= 3 && u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf) {
        bytes += 3;
        count -= 3;
    } else if (count >= 2 &&
               ((u[0] == 0xff && u[1] == 0xfe) || (u[0] == 0xfe && u[1] == 0xff))) {
        return g_convert(bytes + 2, (gssize)(count - 2), "UTF-8",
                         u[0] == 0xff ? "UTF-16LE" : "UTF-16BE", NULL, out_count, NULL);
    }
    if (g_utf8_validate(bytes, (gssize)count, NULL)) {
        *out_count = count;
        return g_memdup2(bytes, count);
    }
    /* Old invoices: the declaration names a Latin character set. */
    g_autofree char *head = g_ascii_strdown(bytes, (gssize)MIN(count, 200));
    if (strstr(head, "iso-8859-1") == NULL && strstr(head, "windows-1252") == NULL)
        return NULL;
    return g_convert(bytes, (gssize)count, "UTF-8", "WINDOWS-1252", NULL, out_count,
                     NULL);
}

static element *parse_xml(const char *file, const char *text, gsize bytes, GError **error)
{
    static const GMarkupParser callbacks = { .start_element = on_start,
                                             .end_element = on_end,
                                             .text = on_text };
    builder b = { .file = file };
    g_autoptr(GError) local = NULL;
    g_autoptr(GMarkupParseContext) context =
        g_markup_parse_context_new(&callbacks, G_MARKUP_TREAT_CDATA_AS_TEXT, &b, NULL);
    if (g_markup_parse_context_parse(context, text, (gssize)bytes, &local) &&
        g_markup_parse_context_end_parse(context, &local))
        return b.root;
    if (b.root != NULL)
        element_free(b.root);
    if (local->domain == DX_ERROR) {
        g_propagate_error(error, g_steal_pointer(&local));
    } else { /* the parser quotes the document: give the place only */
        int line, column;
        g_markup_parse_context_get_position(context, &line, &column);
        g_set_error(error, DX_ERROR, DX_SOURCE, "%s: broken XML at line %d, column %d",
                    file, line, column);
    }
    return NULL;
}

/* ---- paths ---------------------------------------------------------------------- */

/* `one` is a step of a path: names with '|' between. */
static gboolean step_matches(const char *name, const char *one, gsize bytes)
{
    gsize n = strlen(name);
    for (const char *p = one; p < one + bytes;) {
        gsize word = strcspn(p, "|/");
        if (word == n && memcmp(p, name, n) == 0)
            return TRUE;
        p += word + 1;
    }
    return FALSE;
}

/* The first element at "A|B/C"; the first of every step that leads to an end. */
static const element *find(const element *from, const char *path)
{
    if (from == NULL || *path == 0)
        return from;
    gsize n = strcspn(path, "/");
    const char *rest = path + n + (path[n] == '/');
    for (const element *e = from->first; e != NULL; e = e->next) {
        if (!step_matches(e->name, path, n))
            continue;
        const element *found = find(e, rest);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static const element *next_same(const element *e)
{
    const char *name = e->name;
    for (e = e->next; e != NULL && strcmp(e->name, name) != 0;)
        e = e->next;
    return e;
}

static char *text_of(const element *e)
{
    if (e == NULL)
        return NULL;
    char *text = NULL;
    if (!dx_normalize(DX_KIND_TEXT, e->text->str, NULL, &text, NULL)) {
        /* Long notes: keep what fits the field. */
        if (e->text->len <= DX_VALUE_BYTES_MAX)
            return NULL;
        text = g_utf8_make_valid(e->text->str, (gssize)DX_VALUE_BYTES_MAX);
        g_strstrip(text);
    }
    return text;
}

static gboolean equals(const element *e, const char *path, const char *want)
{
    g_autofree char *text = text_of(find(e, path));
    return g_strcmp0(text, want) == 0;
}

/* Make the objects of a dotted name and set its leaf, unless it is set. */
static void put(json_t *object, const char *name, json_t *value)
{
    json_t *at = object;
    for (const char *dot; (dot = strchr(name, '.')) != NULL; name = dot + 1) {
        g_autofree char *part = g_strndup(name, (gsize)(dot - name));
        if (json_object_get(at, part) == NULL)
            json_object_set_new(at, part, json_object());
        at = json_object_get(at, part);
    }
    if (json_object_get(at, name) == NULL)
        json_object_set_new(at, name, value);
    else
        json_decref(value);
}

/* XML numbers are xs:decimal: a point, no grouping, signs and any number of decimals. */
static char *decimal(const char *text)
{
    const char *p = text + (*text == '+');
    g_autofree char *fixed = *p == '.' ? g_strconcat("0", p, NULL) : g_strdup(p);
    char *dot = strchr(fixed, '.');
    if (dot != NULL && strlen(dot) > 1 + DX_AMOUNT_DECIMALS_MAX) {
        if (strspn(dot + 1, "0123456789") != strlen(dot + 1))
            return NULL;
        dot[1 + DX_AMOUNT_DECIMALS_MAX] = 0;
    } else if (dot != NULL && dot[1] == 0) {
        *dot = 0;
    }
    int64_t micro;
    if (!dx_amount_parse(fixed, &micro))
        return NULL;
    dot = strchr(fixed, '.');
    return dx_amount_format(micro, dot != NULL ? (unsigned)strlen(dot + 1) : 0);
}

static void put_kind(json_t *object, const char *name, dx_kind kind, const element *e)
{
    g_autofree char *text = text_of(e);
    if (text == NULL)
        return;
    g_autofree char *value = NULL;
    if (kind == DX_KIND_AMOUNT || kind == DX_KIND_PERCENT || kind == DX_KIND_QUANTITY) {
        value = decimal(text);
        int64_t micro;
        if (value != NULL && kind != DX_KIND_AMOUNT && dx_amount_parse(value, &micro)) {
            g_free(value);
            value = dx_amount_format(micro, 0);
        }
    } else if (kind == DX_KIND_DATE && e->format != NULL &&
               strcmp(e->format, "102") != 0) {
        return; /* 610 and 616 are months and weeks, no dates */
    } else if (!dx_normalize(kind, text, NULL, &value, NULL)) {
        return;
    }
    if (value != NULL)
        put(object, name, json_string(value));
}

typedef struct mapping {
    const char *name;
    dx_kind kind;
    const char *path;
} mapping;

static void put_all(json_t *object, const mapping *map, gsize count, const element *from)
{
    for (gsize i = 0; i < count; i++)
        put_kind(object, map[i].name, map[i].kind, find(from, map[i].path));
}

/* The address in one line, in the form of those that are read off a page. */
static void put_raw_address(json_t *party)
{
    static const char *const parts[] = { "line1",    "line2", "line3",
                                         "postcode", "city",  "country" };
    json_t *address = json_object_get(party, "address");
    if (address == NULL)
        return;
    g_autoptr(GString) raw = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(parts); i++) {
        const char *part = json_string_value(json_object_get(address, parts[i]));
        if (part != NULL)
            g_string_append_printf(raw, "%s%s", raw->len > 0 ? ", " : "", part);
    }
    if (raw->len > 0)
        put(address, "raw", json_string(raw->str));
}

static void append(json_t *object, const char *name, json_t *entry)
{
    if (json_object_size(entry) == 0) {
        json_decref(entry);
        return;
    }
    json_t *at = object;
    const char *dot = strchr(name, '.');
    g_autofree char *first = dot != NULL ? g_strndup(name, (gsize)(dot - name)) : NULL;
    if (first != NULL) {
        if (json_object_get(at, first) == NULL)
            json_object_set_new(at, first, json_object());
        at = json_object_get(at, first);
        name = dot + 1;
    }
    if (json_object_get(at, name) == NULL)
        json_object_set_new(at, name, json_array());
    json_array_append_new(json_object_get(at, name), entry);
}

static const char *document_type(const char *code)
{
    static const struct {
        const char *code, *type;
    } types[] = { { "381", "credit_note" }, { "383", "debit_note" },
                  { "384", "corrected" },   { "386", "prepayment" },
                  { "389", "self_billed" }, { "326", "partial" },
                  { "325", "proforma" },    { "396", "credit_note" },
                  { "261", "credit_note" } };
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i].code, code) == 0)
            return types[i].type;
    return "invoice";
}

static void put_type(json_t *out, const element *code, const char *otherwise)
{
    g_autofree char *text = text_of(code);
    if (text != NULL && strlen(text) <= 4)
        put(out, "type_code", json_string(text));
    put(out, "document_type",
        json_string(text == NULL || otherwise != NULL
                        ? otherwise != NULL ? otherwise : "invoice"
                        : document_type(text)));
}

/* ---- CII ------------------------------------------------------------------------- */

#define ADDRESS "PostalTradeAddress/"

static void cii_party(json_t *out, const char *name, const element *from)
{
    static const mapping map[] = {
        /* clang-format off */
        { "name", DX_KIND_TEXT, "Name" },
        { "trading_name", DX_KIND_TEXT, "SpecifiedLegalOrganization/TradingBusinessName" },
        { "registration_number", DX_KIND_ID, "SpecifiedLegalOrganization/ID" },
        { "address.line1", DX_KIND_TEXT, ADDRESS "LineOne" },
        { "address.line2", DX_KIND_TEXT, ADDRESS "LineTwo" },
        { "address.line3", DX_KIND_TEXT, ADDRESS "LineThree" },
        { "address.postcode", DX_KIND_ID, ADDRESS "PostcodeCode" },
        { "address.city", DX_KIND_TEXT, ADDRESS "CityName" },
        { "address.subdivision", DX_KIND_TEXT, ADDRESS "CountrySubDivisionName" },
        { "address.country", DX_KIND_COUNTRY, ADDRESS "CountryID" },
        { "contact.name", DX_KIND_TEXT, "DefinedTradeContact/PersonName" },
        { "contact.phone", DX_KIND_PHONE,
          "DefinedTradeContact/TelephoneUniversalCommunication/CompleteNumber" },
        { "contact.email", DX_KIND_EMAIL,
          "DefinedTradeContact/EmailURIUniversalCommunication/URIID|CompleteNumber" },
        /* clang-format on */
    };
    if (from == NULL)
        return;
    json_t *party = json_object();
    put_all(party, map, G_N_ELEMENTS(map), from);
    const element *tax = find(from, "SpecifiedTaxRegistration");
    for (; tax != NULL; tax = next_same(tax)) {
        const element *id = find(tax, "ID");
        if (id == NULL || id->scheme == NULL)
            continue;
        if (strcmp(id->scheme, "VA") == 0)
            put_kind(party, "vat_id", DX_KIND_VAT_ID, id);
        else if (strcmp(id->scheme, "FC") == 0)
            put_kind(party, "tax_number", DX_KIND_ID, id);
    }
    put_raw_address(party);
    if (json_object_size(party) > 0)
        put(out, name, party);
    else
        json_decref(party);
}

static void cii_line(json_t *out, const element *from)
{
#define LINE_AGR "SpecifiedLineTradeAgreement|SpecifiedSupplyChainTradeAgreement/"
#define LINE_DEL "SpecifiedLineTradeDelivery|SpecifiedSupplyChainTradeDelivery/"
#define LINE_SET "SpecifiedLineTradeSettlement|SpecifiedSupplyChainTradeSettlement/"
    static const mapping map[] = {
        /* clang-format off */
        { "line_id", DX_KIND_ID, "AssociatedDocumentLineDocument/LineID" },
        { "name", DX_KIND_TEXT, "SpecifiedTradeProduct/Name" },
        { "description", DX_KIND_TEXT, "SpecifiedTradeProduct/Description" },
        { "seller_item_id", DX_KIND_ID, "SpecifiedTradeProduct/SellerAssignedID" },
        { "buyer_item_id", DX_KIND_ID, "SpecifiedTradeProduct/BuyerAssignedID" },
        { "standard_item_id", DX_KIND_ID, "SpecifiedTradeProduct/GlobalID" },
        { "quantity", DX_KIND_QUANTITY, LINE_DEL "BilledQuantity" },
        { "unit_price", DX_KIND_AMOUNT, LINE_AGR "NetPriceProductTradePrice/ChargeAmount" },
        { "price_base_quantity", DX_KIND_QUANTITY, LINE_AGR "NetPriceProductTradePrice/BasisQuantity" },
        { "gross_price", DX_KIND_AMOUNT, LINE_AGR "GrossPriceProductTradePrice/ChargeAmount" },
        { "tax_rate", DX_KIND_PERCENT,
          LINE_SET "ApplicableTradeTax/RateApplicablePercent|ApplicablePercent" },
        { "tax_category", DX_KIND_ID, LINE_SET "ApplicableTradeTax/CategoryCode" },
        { "net_amount", DX_KIND_AMOUNT,
          LINE_SET "SpecifiedTradeSettlementLineMonetarySummation|"
                "SpecifiedTradeSettlementMonetarySummation/LineTotalAmount" },
        /* clang-format on */
    };
    json_t *line = json_object();
    put_all(line, map, G_N_ELEMENTS(map), from);
    const element *quantity = find(from, LINE_DEL "BilledQuantity");
    if (quantity != NULL && quantity->unit != NULL)
        put(line, "unit_code", json_string(quantity->unit));
    append(out, "lines", line);
}

static void cii_taxes(json_t *out, const element *settlement)
{
    static const mapping map[] = {
        /* clang-format off */
        { "category", DX_KIND_ID, "CategoryCode" },
        { "rate", DX_KIND_PERCENT, "RateApplicablePercent|ApplicablePercent" },
        { "taxable_amount", DX_KIND_AMOUNT, "BasisAmount" },
        { "tax_amount", DX_KIND_AMOUNT, "CalculatedAmount" },
        { "exemption_reason", DX_KIND_TEXT, "ExemptionReason" },
        { "exemption_code", DX_KIND_ID, "ExemptionReasonCode" },
        /* clang-format on */
    };
    const element *tax = find(settlement, "ApplicableTradeTax");
    for (; tax != NULL; tax = next_same(tax)) {
        json_t *entry = json_object();
        put_all(entry, map, G_N_ELEMENTS(map), tax);
        append(out, "taxes", entry);
    }
}

static void cii_payment(json_t *out, const element *settlement)
{
    static const mapping account_map[] = {
        { "iban", DX_KIND_IBAN, "PayeePartyCreditorFinancialAccount/IBANID" },
        { "account_number", DX_KIND_ID,
          "PayeePartyCreditorFinancialAccount/ProprietaryID" },
        { "account_name", DX_KIND_TEXT,
          "PayeePartyCreditorFinancialAccount/AccountName" },
        { "bic", DX_KIND_BIC, "PayeeSpecifiedCreditorFinancialInstitution/BICID" },
        { "bank_name", DX_KIND_TEXT, "PayeeSpecifiedCreditorFinancialInstitution/Name" },
    };
    const element *means = find(settlement, "SpecifiedTradeSettlementPaymentMeans");
    put_kind(out, "payment.means_code", DX_KIND_ID, find(means, "TypeCode"));
    put_kind(out, "payment.debited_iban", DX_KIND_IBAN,
             find(means, "PayerPartyDebtorFinancialAccount/IBANID"));
    for (; means != NULL; means = next_same(means)) {
        json_t *account = json_object();
        put_all(account, account_map, G_N_ELEMENTS(account_map), means);
        append(out, "payment.accounts", account);
    }
}

static void cii_charges(json_t *out, const element *settlement)
{
    static const mapping map[] = {
        { "amount", DX_KIND_AMOUNT, "ActualAmount" },
        { "base_amount", DX_KIND_AMOUNT, "BasisAmount" },
        { "percent", DX_KIND_PERCENT, "CalculationPercent" },
        { "reason", DX_KIND_TEXT, "Reason" },
        { "tax_category", DX_KIND_ID, "CategoryTradeTax/CategoryCode" },
        { "tax_rate", DX_KIND_PERCENT,
          "CategoryTradeTax/RateApplicablePercent|ApplicablePercent" },
    };
    const element *e = find(settlement, "SpecifiedTradeAllowanceCharge");
    for (; e != NULL; e = next_same(e)) {
        json_t *entry = json_object();
        put_all(entry, map, G_N_ELEMENTS(map), e);
        append(out,
               equals(e, "ChargeIndicator/Indicator", "true") ? "charges" : "allowances",
               entry);
    }
}

#define AGR "ApplicableHeaderTradeAgreement|ApplicableSupplyChainTradeAgreement/"
#define DEL "ApplicableHeaderTradeDelivery|ApplicableSupplyChainTradeDelivery/"
#define SET "ApplicableHeaderTradeSettlement|ApplicableSupplyChainTradeSettlement/"
#define SUM                                                                              \
    SET "SpecifiedTradeSettlementHeaderMonetarySummation|"                               \
        "SpecifiedTradeSettlementMonetarySummation/"
#define DATE "/DateTimeString|DateString"

static const mapping cii_header[] = {
    /* clang-format off */
    { "buyer_reference", DX_KIND_ID, AGR "BuyerReference" },
    { "purchase_order_number", DX_KIND_ID, AGR "BuyerOrderReferencedDocument/IssuerAssignedID|ID" },
    { "sales_order_number", DX_KIND_ID, AGR "SellerOrderReferencedDocument/IssuerAssignedID|ID" },
    { "contract_number", DX_KIND_ID, AGR "ContractReferencedDocument/IssuerAssignedID|ID" },
    { "project_number", DX_KIND_ID, AGR "SpecifiedProcuringProject/ID" },
    { "customer_number", DX_KIND_ID, AGR "BuyerTradeParty/ID" },
    { "delivery_date", DX_KIND_DATE,
      DEL "ActualDeliverySupplyChainEvent/OccurrenceDateTime" DATE },
    { "delivery_note_number", DX_KIND_ID,
      DEL "DespatchAdviceReferencedDocument|DeliveryNoteReferencedDocument/IssuerAssignedID|ID" },
    { "currency", DX_KIND_CURRENCY, SET "InvoiceCurrencyCode" },
    { "tax_currency", DX_KIND_CURRENCY, SET "TaxCurrencyCode" },
    { "due_date", DX_KIND_DATE, SET "SpecifiedTradePaymentTerms/DueDateDateTime" DATE },
    { "period_start", DX_KIND_DATE, SET "BillingSpecifiedPeriod/StartDateTime" DATE },
    { "period_end", DX_KIND_DATE, SET "BillingSpecifiedPeriod/EndDateTime" DATE },
    { "payment.terms", DX_KIND_TEXT, SET "SpecifiedTradePaymentTerms/Description" },
    { "payment.reference", DX_KIND_ID, SET "PaymentReference" },
    { "payment.creditor_id", DX_KIND_CREDITOR_ID, SET "CreditorReferenceID" },
    { "payment.mandate_reference", DX_KIND_ID, SET "SpecifiedTradePaymentTerms/DirectDebitMandateID" },
    { "totals.line_total", DX_KIND_AMOUNT, SUM "LineTotalAmount" },
    { "totals.allowance_total", DX_KIND_AMOUNT, SUM "AllowanceTotalAmount" },
    { "totals.charge_total", DX_KIND_AMOUNT, SUM "ChargeTotalAmount" },
    { "totals.net_total", DX_KIND_AMOUNT, SUM "TaxBasisTotalAmount" },
    { "totals.gross_total", DX_KIND_AMOUNT, SUM "GrandTotalAmount" },
    { "totals.paid", DX_KIND_AMOUNT, SUM "TotalPrepaidAmount" },
    { "totals.rounding", DX_KIND_AMOUNT, SUM "RoundingAmount" },
    { "totals.amount_due", DX_KIND_AMOUNT, SUM "DuePayableAmount" },
    /* clang-format on */
};

static void read_cii(json_t *out, const element *root)
{
    const element *document = find(root, "ExchangedDocument|HeaderExchangedDocument");
    const element *trade =
        find(root, "SupplyChainTradeTransaction|SpecifiedSupplyChainTradeTransaction");
    put_type(out, find(document, "TypeCode"), NULL);
    put_kind(out, "invoice_number", DX_KIND_ID, find(document, "ID"));
    put_kind(out, "issue_date", DX_KIND_DATE, find(document, "IssueDateTime" DATE));
    cii_party(out, "seller", find(trade, AGR "SellerTradeParty"));
    cii_party(out, "buyer", find(trade, AGR "BuyerTradeParty"));
    cii_party(out, "ship_to", find(trade, DEL "ShipToTradeParty"));
    cii_party(out, "payee", find(trade, SET "PayeeTradeParty"));
    put_all(out, cii_header, G_N_ELEMENTS(cii_header), trade);
    const element *settlement = find(
        trade, "ApplicableHeaderTradeSettlement|ApplicableSupplyChainTradeSettlement");
    /* Twice when the VAT is also stated in another currency. */
    const char *currency = json_string_value(json_object_get(out, "currency"));
    for (const element *tax = find(trade, SUM "TaxTotalAmount"); tax != NULL;
         tax = next_same(tax)) {
        gboolean other = tax->currency != NULL && currency != NULL &&
                         strcmp(tax->currency, currency) != 0;
        put_kind(out, other ? "totals.tax_total_tax_currency" : "totals.tax_total",
                 DX_KIND_AMOUNT, tax);
    }
    cii_taxes(out, settlement);
    cii_charges(out, settlement);
    cii_payment(out, settlement);
    const element *line = find(trade, "IncludedSupplyChainTradeLineItem");
    for (; line != NULL; line = next_same(line))
        cii_line(out, line);
}

/* ---- UBL -------------------------------------------------------------------------- */

static void ubl_party(json_t *out, const char *name, const element *from)
{
    static const mapping map[] = {
        /* clang-format off */
        { "name", DX_KIND_TEXT, "PartyLegalEntity/RegistrationName" },
        { "name", DX_KIND_TEXT, "PartyName/Name" },
        { "trading_name", DX_KIND_TEXT, "PartyName/Name" },
        { "registration_number", DX_KIND_ID, "PartyLegalEntity/CompanyID" },
        { "address.line1", DX_KIND_TEXT, "PostalAddress/StreetName" },
        { "address.line2", DX_KIND_TEXT, "PostalAddress/AdditionalStreetName" },
        { "address.line3", DX_KIND_TEXT, "PostalAddress/AddressLine/Line" },
        { "address.postcode", DX_KIND_ID, "PostalAddress/PostalZone" },
        { "address.city", DX_KIND_TEXT, "PostalAddress/CityName" },
        { "address.subdivision", DX_KIND_TEXT, "PostalAddress/CountrySubentity" },
        { "address.country", DX_KIND_COUNTRY, "PostalAddress/Country/IdentificationCode" },
        { "contact.name", DX_KIND_TEXT, "Contact/Name" },
        { "contact.phone", DX_KIND_PHONE, "Contact/Telephone" },
        { "contact.email", DX_KIND_EMAIL, "Contact/ElectronicMail" },
        /* clang-format on */
    };
    if (from == NULL)
        return;
    json_t *party = json_object();
    put_all(party, map, G_N_ELEMENTS(map), from);
    const element *tax = find(from, "PartyTaxScheme");
    for (; tax != NULL; tax = next_same(tax)) {
        gboolean vat = equals(tax, "TaxScheme/ID", "VAT");
        put_kind(party, vat ? "vat_id" : "tax_number", vat ? DX_KIND_VAT_ID : DX_KIND_ID,
                 find(tax, "CompanyID"));
    }
    put_raw_address(party);
    if (json_object_size(party) > 0)
        put(out, name, party);
    else
        json_decref(party);
}

static void ubl_line(json_t *out, const element *from)
{
    static const mapping map[] = {
        /* clang-format off */
        { "line_id", DX_KIND_ID, "ID" },
        { "name", DX_KIND_TEXT, "Item/Name" },
        { "description", DX_KIND_TEXT, "Item/Description" },
        { "seller_item_id", DX_KIND_ID, "Item/SellersItemIdentification/ID" },
        { "buyer_item_id", DX_KIND_ID, "Item/BuyersItemIdentification/ID" },
        { "standard_item_id", DX_KIND_ID, "Item/StandardItemIdentification/ID" },
        { "quantity", DX_KIND_QUANTITY, "InvoicedQuantity|CreditedQuantity" },
        { "unit_price", DX_KIND_AMOUNT, "Price/PriceAmount" },
        { "price_base_quantity", DX_KIND_QUANTITY, "Price/BaseQuantity" },
        { "tax_rate", DX_KIND_PERCENT, "Item/ClassifiedTaxCategory/Percent" },
        { "tax_category", DX_KIND_ID, "Item/ClassifiedTaxCategory/ID" },
        { "net_amount", DX_KIND_AMOUNT, "LineExtensionAmount" },
        { "note", DX_KIND_TEXT, "Note" },
        /* clang-format on */
    };
    json_t *line = json_object();
    put_all(line, map, G_N_ELEMENTS(map), from);
    const element *quantity = find(from, "InvoicedQuantity|CreditedQuantity");
    if (quantity != NULL && quantity->unit != NULL)
        put(line, "unit_code", json_string(quantity->unit));
    append(out, "lines", line);
}

static void ubl_taxes(json_t *out, const element *root)
{
    static const mapping map[] = {
        /* clang-format off */
        { "category", DX_KIND_ID, "TaxCategory/ID" },
        { "rate", DX_KIND_PERCENT, "TaxCategory/Percent" },
        { "taxable_amount", DX_KIND_AMOUNT, "TaxableAmount" },
        { "tax_amount", DX_KIND_AMOUNT, "TaxAmount" },
        { "exemption_reason", DX_KIND_TEXT, "TaxCategory/TaxExemptionReason" },
        { "exemption_code", DX_KIND_ID, "TaxCategory/TaxExemptionReasonCode" },
        /* clang-format on */
    };
    const char *currency = json_string_value(json_object_get(out, "currency"));
    for (const element *total = find(root, "TaxTotal"); total != NULL;
         total = next_same(total)) {
        const element *amount = find(total, "TaxAmount");
        gboolean other = amount != NULL && amount->currency != NULL && currency != NULL &&
                         strcmp(amount->currency, currency) != 0;
        put_kind(out, other ? "totals.tax_total_tax_currency" : "totals.tax_total",
                 DX_KIND_AMOUNT, amount);
        const element *sub = other ? NULL : find(total, "TaxSubtotal");
        for (; sub != NULL; sub = next_same(sub)) {
            json_t *entry = json_object();
            put_all(entry, map, G_N_ELEMENTS(map), sub);
            append(out, "taxes", entry);
        }
    }
}

static void ubl_charges(json_t *out, const element *root)
{
    static const mapping map[] = {
        /* clang-format off */
        { "amount", DX_KIND_AMOUNT, "Amount" },
        { "base_amount", DX_KIND_AMOUNT, "BaseAmount" },
        { "percent", DX_KIND_PERCENT, "MultiplierFactorNumeric" },
        { "reason", DX_KIND_TEXT, "AllowanceChargeReason" },
        { "tax_category", DX_KIND_ID, "TaxCategory/ID" },
        { "tax_rate", DX_KIND_PERCENT, "TaxCategory/Percent" },
        /* clang-format on */
    };
    for (const element *e = find(root, "AllowanceCharge"); e != NULL; e = next_same(e)) {
        json_t *entry = json_object();
        put_all(entry, map, G_N_ELEMENTS(map), e);
        append(out, equals(e, "ChargeIndicator", "true") ? "charges" : "allowances",
               entry);
    }
}

static void ubl_payment(json_t *out, const element *root)
{
    const element *means = find(root, "PaymentMeans");
    put_kind(out, "payment.means_code", DX_KIND_ID, find(means, "PaymentMeansCode"));
    put_kind(out, "payment.mandate_reference", DX_KIND_ID,
             find(means, "PaymentMandate/ID"));
    put_kind(out, "payment.debited_iban", DX_KIND_IBAN,
             find(means, "PaymentMandate/PayerFinancialAccount/ID"));
    for (; means != NULL; means = next_same(means)) {
        const element *id = find(means, "PayeeFinancialAccount/ID");
        json_t *account = json_object();
        put_kind(account, "iban", DX_KIND_IBAN, id);
        if (json_object_size(account) == 0)
            put_kind(account, "account_number", DX_KIND_ID, id);
        put_kind(account, "account_name", DX_KIND_TEXT,
                 find(means, "PayeeFinancialAccount/Name"));
        put_kind(account, "bic", DX_KIND_BIC,
                 find(means, "PayeeFinancialAccount/FinancialInstitutionBranch/ID"));
        append(out, "payment.accounts", account);
    }
}

static void read_ubl(json_t *out, const element *root)
{
    static const mapping map[] = {
        /* clang-format off */
        { "invoice_number", DX_KIND_ID, "ID" },
        { "issue_date", DX_KIND_DATE, "IssueDate" },
        { "due_date", DX_KIND_DATE, "DueDate" },
        { "due_date", DX_KIND_DATE, "PaymentMeans/PaymentDueDate" },
        { "tax_point_date", DX_KIND_DATE, "TaxPointDate" },
        { "delivery_date", DX_KIND_DATE, "Delivery/ActualDeliveryDate" },
        { "period_start", DX_KIND_DATE, "InvoicePeriod/StartDate" },
        { "period_end", DX_KIND_DATE, "InvoicePeriod/EndDate" },
        { "currency", DX_KIND_CURRENCY, "DocumentCurrencyCode" },
        { "tax_currency", DX_KIND_CURRENCY, "TaxCurrencyCode" },
        { "buyer_reference", DX_KIND_ID, "BuyerReference" },
        { "purchase_order_number", DX_KIND_ID, "OrderReference/ID" },
        { "sales_order_number", DX_KIND_ID, "OrderReference/SalesOrderID" },
        { "contract_number", DX_KIND_ID, "ContractDocumentReference/ID" },
        { "project_number", DX_KIND_ID, "ProjectReference/ID" },
        { "delivery_note_number", DX_KIND_ID, "DespatchDocumentReference/ID" },
        { "customer_number", DX_KIND_ID, "AccountingCustomerParty/Party/PartyIdentification/ID" },
        { "payment.terms", DX_KIND_TEXT, "PaymentTerms/Note" },
        { "payment.reference", DX_KIND_ID, "PaymentMeans/PaymentID" },
        { "totals.line_total", DX_KIND_AMOUNT, "LegalMonetaryTotal/LineExtensionAmount" },
        { "totals.net_total", DX_KIND_AMOUNT, "LegalMonetaryTotal/TaxExclusiveAmount" },
        { "totals.gross_total", DX_KIND_AMOUNT, "LegalMonetaryTotal/TaxInclusiveAmount" },
        { "totals.allowance_total", DX_KIND_AMOUNT, "LegalMonetaryTotal/AllowanceTotalAmount" },
        { "totals.charge_total", DX_KIND_AMOUNT, "LegalMonetaryTotal/ChargeTotalAmount" },
        { "totals.paid", DX_KIND_AMOUNT, "LegalMonetaryTotal/PrepaidAmount" },
        { "totals.rounding", DX_KIND_AMOUNT, "LegalMonetaryTotal/PayableRoundingAmount" },
        { "totals.amount_due", DX_KIND_AMOUNT, "LegalMonetaryTotal/PayableAmount" },
        /* clang-format on */
    };
    gboolean is_credit = strcmp(root->name, "CreditNote") == 0;
    put_type(out, find(root, "InvoiceTypeCode|CreditNoteTypeCode"),
             is_credit ? "credit_note" : NULL);
    put_all(out, map, G_N_ELEMENTS(map), root);
    ubl_party(out, "seller", find(root, "AccountingSupplierParty/Party"));
    ubl_party(out, "buyer", find(root, "AccountingCustomerParty/Party"));
    ubl_party(out, "payee", find(root, "PayeeParty"));
    ubl_taxes(out, root);
    ubl_charges(out, root);
    ubl_payment(out, root);
    const element *line = find(root, "InvoiceLine|CreditNoteLine");
    for (; line != NULL; line = next_same(line))
        ubl_line(out, line);
}

/* ---- entry -------------------------------------------------------------------------- */

gboolean dx_einvoice_sniff(const char *name, GBytes *content)
{
    g_autofree char *lower = name != NULL ? g_ascii_strdown(name, -1) : g_strdup("");
    if (g_str_has_suffix(lower, ".xml"))
        return TRUE;
    gsize bytes;
    const char *text = g_bytes_get_data(content, &bytes);
    return g_strstr_len(text, (gssize)MIN(bytes, 64), "<?xml") != NULL;
}

json_t *dx_einvoice_read(const char *name, GBytes *content, const char **format,
                         GError **error)
{
    gsize bytes;
    const char *data = g_bytes_get_data(content, &bytes);
    const char *file = name != NULL ? name : "attachment";
    if (bytes > DX_XML_BYTES_MAX) {
        g_set_error(error, DX_ERROR, DX_LIMIT, "%s: %" G_GSIZE_FORMAT " bytes, limit %u",
                    file, bytes, DX_XML_BYTES_MAX);
        return NULL;
    }
    gsize text_bytes = 0;
    g_autofree char *text = bytes > 0 ? to_utf8(data, bytes, &text_bytes) : NULL;
    if (text == NULL || memchr(text, 0, text_bytes) != NULL) {
        g_set_error(error, DX_ERROR, DX_SOURCE, "%s: not XML text", file);
        return NULL;
    }
    element *root = parse_xml(file, text, text_bytes, error);
    if (root == NULL)
        return NULL;
    json_t *out = json_object();
    const char *kind = NULL;
    if (strcmp(root->name, "CrossIndustryInvoice") == 0)
        kind = "cii";
    else if (strcmp(root->name, "CrossIndustryDocument") == 0)
        kind = "zugferd1";
    else if (strcmp(root->name, "Invoice") == 0 || strcmp(root->name, "CreditNote") == 0)
        kind = "ubl";
    if (kind != NULL && strcmp(kind, "ubl") == 0)
        read_ubl(out, root);
    else if (kind != NULL)
        read_cii(out, root);
    element_free(root);
    if (kind == NULL || json_object_get(out, "invoice_number") == NULL) {
        json_decref(out);
        g_set_error(error, DX_ERROR, DX_SOURCE, "%s: not an invoice in CII or UBL", file);
        return NULL;
    }
    if (format != NULL)
        *format = kind;
    return out;
}

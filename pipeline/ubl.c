/*
 * ubl.c - EN 16931 rules over an invoice's values, then the XML in the order of UBL 2.1.
 *
 * Terms, paths, order of elements and rules are those of EN 16931-1 and of the UBL binding
 * as OpenPEPPOL's BIS Billing 3 and CEN's validation artefacts document them.
 */
#include "ubl.h"

#include "decimal.h"
#include "ubl_codes.h"

#include <string.h>

enum { LINES_MAX = 5000, RATES_MAX = 32 };

typedef struct amount {
    gboolean is_set;
    dp_decimal value;
} amount;

typedef struct tax_group {
    dp_decimal rate;
    char *category; /* NULL: not known */
    amount taxable, tax;
} tax_group;

typedef struct writer {
    const dp_route_facts *facts;
    json_t *broken;
    GString *xml;
    char *currency, *type_code;
    gboolean is_credit;
    guint line_count;
    amount lines, allowances, charges, net, tax, gross, paid, rounding, due;
    GArray *taxes; /* of tax_group */
} writer;

static void breaks(writer *w, const char *id, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
static void breaks(writer *w, const char *id, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    json_array_append_new(w->broken, json_pack("{s:s, s:s}", "id", id, "text", text));
}

/* ---- values --------------------------------------------------------------------- */

static char *get(const writer *w, const char *format, ...) G_GNUC_PRINTF(2, 3);
static char *get(const writer *w, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *path = g_strdup_vprintf(format, list);
    va_end(list);
    return dp_route_text(w->facts, path);
}

static amount get_amount(const writer *w, const char *path)
{
    g_autofree char *text = dp_route_text(w->facts, path);
    amount a = { 0 };
    a.is_set = text != NULL && dp_decimal_parse(text, &a.value);
    return a;
}

static amount line_amount(const writer *w, guint line, const char *name)
{
    g_autofree char *path = g_strdup_printf("lines.%u.%s", line, name);
    return get_amount(w, path);
}

static gboolean is_equal(amount a, dp_decimal b)
{
    return a.is_set && dp_decimal_compare(a.value, b) == 0;
}

/* taxable * rate / 100, rounded half away from zero to cents. */
static dp_decimal tax_of(dp_decimal taxable, dp_decimal rate)
{
    const __int128 micro = 1000000;
    /* 10^-6 each, so that the product of 12 and 3 digits before the point fits */
    __int128 product = (taxable.units / micro) * (rate.units / micro); /* 10^-12 */
    __int128 cent = micro * micro; /* of product / 100: one hundredth is 10^12 */
    __int128 half = product < 0 ? -cent / 2 : cent / 2;
    __int128 cents = (product + half) / cent;
    return (dp_decimal){ cents * (micro * micro / 100) };
}

static char *country_of(const writer *w, const char *party)
{
    char *country = get(w, "%s.address.country", party);
    if (country != NULL)
        return country;
    g_autofree char *vat = get(w, "%s.vat_id", party);
    if (vat == NULL || !g_ascii_isupper(vat[0]) || !g_ascii_isupper(vat[1]))
        return NULL;
    return g_strdup(g_str_has_prefix(vat, "EL")   ? "GR"
                    : g_str_has_prefix(vat, "XI") ? "GB"
                                                  : (char[]){ vat[0], vat[1], '\0' });
}

/* Printed units to UN/ECE Recommendation 20. */
static const char *unit_code(const char *unit)
{
    static const char *const table[][2] = {
        { "pc", "H87" },      { "pcs", "H87" },     { "piece", "H87" },
        { "pieces", "H87" },  { "stk", "H87" },     { "stück", "H87" },
        { "st", "H87" },      { "ea", "EA" },       { "each", "EA" },
        { "u", "C62" },       { "un", "C62" },      { "unit", "C62" },
        { "units", "C62" },   { "pz", "H87" },      { "szt", "H87" },
        { "ks", "H87" },      { "db", "H87" },      { "set", "SET" },
        { "pair", "PR" },     { "paar", "PR" },     { "dz", "DZN" },
        { "kg", "KGM" },      { "g", "GRM" },       { "t", "TNE" },
        { "lb", "LBR" },      { "oz", "ONZ" },      { "l", "LTR" },
        { "ml", "MLT" },      { "m³", "MTQ" },      { "hl", "HLT" },
        { "m", "MTR" },       { "cm", "CMT" },      { "mm", "MMT" },
        { "km", "KMT" },      { "m²", "MTK" },      { "qm", "MTK" },
        { "h", "HUR" },       { "hr", "HUR" },      { "hrs", "HUR" },
        { "std", "HUR" },     { "hour", "HUR" },    { "hours", "HUR" },
        { "min", "MIN" },     { "day", "DAY" },     { "days", "DAY" },
        { "tag", "DAY" },     { "tage", "DAY" },    { "week", "WEE" },
        { "month", "MON" },   { "monat", "MON" },   { "year", "ANN" },
        { "kwh", "KWH" },     { "mwh", "MWH" },     { "kw", "KWT" },
        { "pauschal", "LS" }, { "psch", "LS" },     { "flat", "LS" },
        { "forfait", "LS" },  { "%", "P1" },        { "box", "XBX" },
        { "carton", "XCT" },  { "package", "XPK" }, { "pkg", "XPK" },
        { "pallet", "XPX" },  { "roll", "XRO" },    { "rll", "XRO" },
    };
    g_autofree char *word = g_utf8_strdown(unit, -1);
    gsize n = strlen(word);
    if (n > 1 && word[n - 1] == '.')
        word[n - 1] = '\0';
    for (gsize i = 0; i < G_N_ELEMENTS(table); i++)
        if (strcmp(table[i][0], word) == 0)
            return table[i][1];
    return NULL;
}

static char *line_unit(const writer *w, guint line)
{
    char *code = get(w, "lines.%u.unit_code", line);
    if (code != NULL)
        return code;
    g_autofree char *unit = get(w, "lines.%u.unit", line);
    return unit != NULL ? g_strdup(unit_code(unit)) : NULL;
}

static char *line_category(const writer *w, guint line)
{
    char *category = get(w, "lines.%u.tax_category", line);
    amount rate = line_amount(w, line, "tax_rate");
    if (category == NULL && rate.is_set && rate.value.units > 0)
        category = g_strdup("S");
    return category;
}

/* What is known of the categories that are written; the others need data that no result has:
 * the place of delivery (K), no VAT identifiers at all (O), the taxes of islands (L, M). */
static const struct category {
    const char *code, *rules; /* the rules are BR-S-01 … */
    gboolean is_taxed;        /* its rate is above zero, else it is zero */
    const char *exemption;    /* VATEX code of why not */
    gboolean needs_exemption; /* a reason has to be in the result */
    gboolean needs_vat_of_the_buyer;
} categories[] = {
    { "S", "S", TRUE, NULL, FALSE, FALSE },
    { "Z", "Z", FALSE, NULL, FALSE, FALSE },
    { "E", "E", FALSE, NULL, TRUE, FALSE },
    { "AE", "AE", FALSE, "VATEX-EU-AE", FALSE, TRUE },
    { "G", "G", FALSE, "VATEX-EU-G", FALSE, FALSE },
};

static const struct category *find_category(const char *code)
{
    for (gsize i = 0; code != NULL && i < G_N_ELEMENTS(categories); i++)
        if (strcmp(categories[i].code, code) == 0)
            return &categories[i];
    return NULL;
}

/* ---- rules ---------------------------------------------------------------------------- */

static void need(writer *w, const char *path, const char *id, const char *what)
{
    g_autofree char *value = dp_route_text(w->facts, path);
    if (value == NULL)
        breaks(w, id, "%s is missing", what);
}

static gboolean is_iso_date(const char *text)
{
    gboolean is_good =
        text != NULL && strlen(text) == 10 && text[4] == '-' && text[7] == '-';
    for (guint i = 0; is_good && i < 10; i++)
        is_good = i == 4 || i == 7 || g_ascii_isdigit(text[i]);
    GDateYear year = (GDateYear)(is_good ? g_ascii_strtoull(text, NULL, 10) : 0);
    return is_good &&
           g_date_valid_dmy((GDateDay)g_ascii_strtoull(text + 8, NULL, 10),
                            (GDateMonth)g_ascii_strtoull(text + 5, NULL, 10), year);
}

static char *find_type_code(const writer *w)
{
    static const char *const table[][2] = {
        { "invoice", "380" },   { "credit_note", "381" }, { "debit_note", "383" },
        { "corrected", "384" }, { "prepayment", "386" },  { "self_billed", "389" },
        { "partial", "326" },   { "final", "380" },
    };
    char *code = get(w, "type_code");
    g_autofree char *type = get(w, "document_type");
    for (gsize i = 0; code == NULL && type != NULL && i < G_N_ELEMENTS(table); i++)
        if (strcmp(table[i][0], type) == 0)
            code = g_strdup(table[i][1]);
    return code;
}

/* Greece has EL in them. */
static gboolean has_country_prefix(const char *vat)
{
    if (strlen(vat) < 3)
        return FALSE;
    char prefix[3] = { vat[0], vat[1], '\0' };
    return strcmp(prefix, "EL") == 0 || dp_ubl_is_country(prefix);
}

/* Who is liable must be known by a number (rules 02 of each category). */
static void check_liable(writer *w, const char *vat, const char *tax)
{
    g_autofree char *buyer = get(w, "buyer.vat_id");
    g_autofree char *number = get(w, "buyer.registration_number");
    for (guint i = 0; i < w->taxes->len; i++) {
        const struct category *c =
            find_category(g_array_index(w->taxes, tax_group, i).category);
        if (c == NULL)
            continue;
        g_autofree char *id = g_strdup_printf("BR-%s-02", c->rules);
        gboolean is_export = strcmp(c->code, "G") == 0;
        if (vat == NULL && (tax == NULL || is_export))
            breaks(w, id, "category %s needs the seller's VAT %s", c->code,
                   is_export ? "identifier" : "or tax number");
        if (c->needs_vat_of_the_buyer && buyer == NULL && number == NULL)
            breaks(w, id, "category %s needs the buyer's VAT or registration number",
                   c->code);
    }
}

static void check_parties(writer *w)
{
    static const char *const ids[2][3] = { { "seller", "BR-06", "BR-09" },
                                           { "buyer", "BR-07", "BR-11" } };
    for (gsize i = 0; i < 2; i++) {
        g_autofree char *name = get(w, "%s.name", ids[i][0]);
        g_autofree char *country = country_of(w, ids[i][0]);
        g_autofree char *vat = get(w, "%s.vat_id", ids[i][0]);
        if (name == NULL)
            breaks(w, ids[i][1], "%s name is missing", ids[i][0]);
        if (country == NULL)
            breaks(w, ids[i][2], "%s country is not known", ids[i][0]);
        else if (!dp_ubl_is_country(country))
            breaks(w, "BR-CL-14", "%s country %s is no code of ISO 3166-1", ids[i][0],
                   country);
        if (vat != NULL && !has_country_prefix(vat))
            breaks(w, "BR-CO-09", "%s VAT identifier has no country prefix", ids[i][0]);
    }
    g_autofree char *vat = get(w, "seller.vat_id");
    g_autofree char *number = get(w, "seller.registration_number");
    g_autofree char *tax = get(w, "seller.tax_number");
    if (vat == NULL && number == NULL)
        breaks(w, "BR-CO-26",
               "the seller has neither VAT identifier nor registration number");
    check_liable(w, vat, tax);
}

/* A category and its rate fit each other.  `rule` is the number of its rule. */
static void check_category(writer *w, const char *code, amount rate, const char *rule,
                           const char *what, guint index)
{
    const struct category *c = find_category(code);
    if (c == NULL) {
        breaks(w, "BR-CL-17", "%s %u: VAT category %s is not written", what, index + 1,
               code);
        return;
    }
    g_autofree char *id = g_strdup_printf("BR-%s-%s", c->rules, rule);
    if (!rate.is_set)
        breaks(w, id, "%s %u: the VAT rate is missing", what, index + 1);
    else if ((rate.value.units > 0) != c->is_taxed || rate.value.units < 0)
        breaks(w, id, "%s %u: the VAT rate of category %s is %s", what, index + 1,
               c->code, c->is_taxed ? "above zero" : "zero");
}

static void check_decimals(writer *w, amount a, const char *id, const char *what)
{
    if (a.is_set && dp_decimal_places(a.value) > 2)
        breaks(w, id, "%s has more than two decimals", what);
}

static void check_lines(writer *w)
{
    if (w->line_count == 0)
        breaks(w, "BR-16", "there is no line");
    for (guint i = 0; i < w->line_count; i++) {
        g_autofree char *unit = line_unit(w, i);
        g_autofree char *category = line_category(w, i);
        g_autofree char *name = get(w, "lines.%u.name", i);
        amount price = line_amount(w, i, "unit_price");
        if (!line_amount(w, i, "quantity").is_set)
            breaks(w, "BR-22", "line %u: the quantity is missing", i + 1);
        if (unit == NULL)
            breaks(w, "BR-23", "line %u: the unit has no code", i + 1);
        if (!line_amount(w, i, "net_amount").is_set)
            breaks(w, "BR-24", "line %u: the net amount is missing", i + 1);
        if (name == NULL)
            breaks(w, "BR-25", "line %u: the name is missing", i + 1);
        if (!price.is_set)
            breaks(w, "BR-26", "line %u: the net price is missing", i + 1);
        else if (price.value.units < 0)
            breaks(w, "BR-27", "line %u: the net price is negative", i + 1);
        if (category == NULL)
            breaks(w, "BR-CO-04", "line %u: the VAT category is not known", i + 1);
        else
            check_category(w, category, line_amount(w, i, "tax_rate"), "05", "line", i);
        if (unit != NULL && !dp_ubl_is_unit(unit))
            breaks(w, "BR-CL-23", "line %u: %s is no unit of UN/ECE", i + 1, unit);
        check_decimals(w, line_amount(w, i, "net_amount"), "BR-DEC-23",
                       "a line's net amount");
    }
}

static void check_totals(writer *w)
{
    dp_decimal zero = { 0 };
    if (!w->net.is_set)
        breaks(w, "BR-13", "the total without VAT is missing");
    if (!w->gross.is_set)
        breaks(w, "BR-14", "the total with VAT is missing");
    if (!w->due.is_set)
        breaks(w, "BR-15", "the amount due is missing");
    dp_decimal allowances = w->allowances.is_set ? w->allowances.value : zero;
    dp_decimal charges = w->charges.is_set ? w->charges.value : zero;
    dp_decimal paid = w->paid.is_set ? w->paid.value : zero;
    dp_decimal rounding = w->rounding.is_set ? w->rounding.value : zero;
    if (w->net.is_set && w->lines.is_set &&
        !is_equal(w->net, dp_decimal_add(dp_decimal_subtract(w->lines.value, allowances),
                                         charges)))
        breaks(w, "BR-CO-13", "total without VAT is not lines - allowances + charges");
    if (w->net.is_set && w->gross.is_set && w->tax.is_set &&
        !is_equal(w->gross, dp_decimal_add(w->net.value, w->tax.value)))
        breaks(w, "BR-CO-15", "total with VAT is not total without VAT + VAT");
    if (w->gross.is_set && w->due.is_set &&
        !is_equal(w->due,
                  dp_decimal_add(dp_decimal_subtract(w->gross.value, paid), rounding)))
        breaks(w, "BR-CO-16", "amount due is not total - paid + rounding");
    g_autofree char *date = get(w, "due_date");
    g_autofree char *terms = get(w, "payment.terms");
    if (w->due.is_set && w->due.value.units > 0 && date == NULL && terms == NULL)
        breaks(w, "BR-CO-25", "amount due needs a due date or payment terms");
    check_decimals(w, w->paid, "BR-DEC-16", "the amount paid");
    check_decimals(w, w->rounding, "BR-DEC-17", "the rounding");
    check_decimals(w, w->net, "BR-DEC-12", "total without VAT");
    check_decimals(w, w->tax, "BR-DEC-13", "VAT total");
    check_decimals(w, w->gross, "BR-DEC-14", "total with VAT");
    check_decimals(w, w->due, "BR-DEC-18", "amount due");
}

static gboolean is_in_group(const writer *w, guint line, const tax_group *t)
{
    g_autofree char *category = line_category(w, line);
    amount rate = line_amount(w, line, "tax_rate");
    return rate.is_set && dp_decimal_compare(rate.value, t->rate) == 0 &&
           g_strcmp0(category, t->category) == 0;
}

static void check_group(writer *w, guint index)
{
    const tax_group *t = &g_array_index(w->taxes, tax_group, index);
    if (t->category == NULL)
        return;
    check_category(w, t->category, (amount){ TRUE, t->rate }, "09", "VAT breakdown",
                   index);
    check_decimals(w, t->taxable, "BR-DEC-19", "a taxable amount");
    check_decimals(w, t->tax, "BR-DEC-20", "a VAT amount");
    const struct category *c = find_category(t->category);
    g_autofree char *reason = get(w, "taxes.%u.exemption_reason", index);
    if (c != NULL && c->needs_exemption && reason == NULL)
        breaks(w, "BR-E-10", "VAT breakdown %u: the reason of the exemption is missing",
               index + 1);
    for (guint i = 0; i < index; i++) {
        const tax_group *other = &g_array_index(w->taxes, tax_group, i);
        if (dp_decimal_compare(other->rate, t->rate) == 0 &&
            g_strcmp0(other->category, t->category) == 0)
            breaks(w, "BG-23",
                   "VAT breakdown %u: its category and rate stand there twice",
                   index + 1);
    }
    /* Lines of a rate make its base: allowances and charges are not written. */
    dp_decimal base = { 0 };
    for (guint k = 0; k < w->line_count; k++) {
        amount net = line_amount(w, k, "net_amount");
        if (net.is_set && is_in_group(w, k, t))
            base = dp_decimal_add(base, net.value);
    }
    g_autofree char *id = g_strdup_printf("BR-%s-08", c != NULL ? c->rules : "S");
    if (t->taxable.is_set && !is_equal(t->taxable, base))
        breaks(w, id, "VAT breakdown %u: the base is not the sum of its lines",
               index + 1);
}

/* Each line's category and rate are in the breakdown. */
static void check_lines_in_groups(writer *w)
{
    for (guint k = 0; k < w->line_count; k++) {
        g_autofree char *category = line_category(w, k);
        const struct category *c = find_category(category);
        gboolean is_there = c == NULL;
        for (guint i = 0; !is_there && i < w->taxes->len; i++)
            is_there = is_in_group(w, k, &g_array_index(w->taxes, tax_group, i));
        g_autofree char *id = g_strdup_printf("BR-%s-01", c != NULL ? c->rules : "S");
        if (!is_there)
            breaks(w, id, "line %u: its VAT category and rate are not in the breakdown",
                   k + 1);
    }
}

static void check_taxes(writer *w)
{
    dp_decimal sum = { 0 };
    if (w->taxes->len == 0)
        breaks(w, "BR-CO-18", "there is no VAT breakdown");
    for (guint i = 0; i < w->taxes->len; i++) {
        const tax_group *t = &g_array_index(w->taxes, tax_group, i);
        if (!t->taxable.is_set)
            breaks(w, "BR-45", "VAT breakdown %u: the taxable amount is missing", i + 1);
        if (!t->tax.is_set)
            breaks(w, "BR-46", "VAT breakdown %u: the VAT amount is missing", i + 1);
        if (t->category == NULL)
            breaks(w, "BR-47", "VAT breakdown %u: the category is not known", i + 1);
        if (t->taxable.is_set && t->tax.is_set &&
            !is_equal(t->tax, tax_of(t->taxable.value, t->rate)))
            breaks(w, "BR-CO-17", "VAT breakdown %u: VAT is not base x rate", i + 1);
        if (t->tax.is_set)
            sum = dp_decimal_add(sum, t->tax.value);
    }
    if (!w->tax.is_set || !is_equal(w->tax, sum))
        breaks(w, "BR-CO-14", "the VAT total is not the sum of the breakdown");
    for (guint i = 0; i < w->taxes->len; i++)
        check_group(w, i);
    check_lines_in_groups(w);
}

static void check_header(writer *w)
{
    need(w, "invoice_number", "BR-02", "the invoice number");
    g_autofree char *date = get(w, "issue_date");
    g_autofree char *due = get(w, "due_date");
    if (!is_iso_date(date))
        breaks(w, "BR-03", "the issue date is missing");
    if (due != NULL && !is_iso_date(due))
        breaks(w, "BR-CO-25", "the due date is no date");
    if (w->type_code == NULL)
        breaks(w, "BR-04", "the type of the invoice is not known");
    else if (!w->is_credit && !dp_ubl_is_invoice_type(w->type_code))
        breaks(w, "BR-CL-01", "%s is no type of an invoice", w->type_code);
    if (w->currency == NULL)
        breaks(w, "BR-05", "the currency is missing");
    else if (!dp_ubl_is_currency(w->currency))
        breaks(w, "BR-CL-04", "%s is no currency of ISO 4217", w->currency);
    amount allowance = get_amount(w, "allowances.0.amount");
    amount charge = get_amount(w, "charges.0.amount");
    /* Written without their reasons and categories they would break BR-31 to BR-38. */
    if (w->allowances.is_set || w->charges.is_set || allowance.is_set || charge.is_set)
        breaks(w, "BR-31", "allowances and charges of the document are not written");
}

/* ---- reading the result -------------------------------------------------------------- */

static void clear_tax(gpointer data)
{
    g_free(((tax_group *)data)->category);
}

static char *category_of_rate(const writer *w, guint index, amount rate)
{
    char *category = get(w, "taxes.%u.category", index);
    if (category == NULL && rate.is_set && rate.value.units > 0)
        category = g_strdup("S");
    return category;
}

static void read_taxes(writer *w, guint count)
{
    for (guint i = 0; i < MIN(count, (guint)RATES_MAX); i++) {
        g_autofree char *prefix = g_strdup_printf("taxes.%u.", i);
        g_autofree char *rate_path = g_strconcat(prefix, "rate", NULL);
        g_autofree char *base_path = g_strconcat(prefix, "taxable_amount", NULL);
        g_autofree char *tax_path = g_strconcat(prefix, "tax_amount", NULL);
        amount rate = get_amount(w, rate_path);
        tax_group t = { .rate = rate.value,
                        .category = category_of_rate(w, i, rate),
                        .taxable = get_amount(w, base_path),
                        .tax = get_amount(w, tax_path) };
        if (!rate.is_set)
            breaks(w, "BR-48", "VAT breakdown %u: the rate is missing", i + 1);
        g_array_append_val(w->taxes, t);
    }
}

/* No breakdown is printed: the lines' rates make one, which the totals must confirm. */
static void derive_taxes(writer *w)
{
    for (guint i = 0; i < w->line_count; i++) {
        amount rate = line_amount(w, i, "tax_rate"),
               net = line_amount(w, i, "net_amount");
        if (!rate.is_set || !net.is_set || w->taxes->len >= RATES_MAX)
            return;
        guint k = 0;
        while (k < w->taxes->len &&
               !is_in_group(w, i, &g_array_index(w->taxes, tax_group, k)))
            k++;
        if (k == w->taxes->len) {
            tax_group t = { .rate = rate.value,
                            .category = line_category(w, i),
                            .taxable.is_set = TRUE };
            g_array_append_val(w->taxes, t);
        }
        tax_group *t = &g_array_index(w->taxes, tax_group, k);
        t->taxable.value = dp_decimal_add(t->taxable.value, net.value);
    }
    for (guint k = 0; k < w->taxes->len; k++) {
        tax_group *t = &g_array_index(w->taxes, tax_group, k);
        t->tax = (amount){ TRUE, tax_of(t->taxable.value, t->rate) };
    }
}

static void read_totals(writer *w)
{
    w->net = get_amount(w, "totals.net_total");
    w->tax = get_amount(w, "totals.tax_total");
    w->gross = get_amount(w, "totals.gross_total");
    w->allowances = get_amount(w, "totals.allowance_total");
    w->charges = get_amount(w, "totals.charge_total");
    w->paid = get_amount(w, "totals.paid");
    w->rounding = get_amount(w, "totals.rounding");
    w->due = get_amount(w, "totals.amount_due");
    if (!w->due.is_set && w->gross.is_set) {
        w->due = w->gross;
        if (w->paid.is_set)
            w->due.value = dp_decimal_subtract(w->due.value, w->paid.value);
        if (w->rounding.is_set)
            w->due.value = dp_decimal_add(w->due.value, w->rounding.value);
    }
    if (!w->tax.is_set && w->net.is_set && w->gross.is_set)
        w->tax = (amount){ TRUE, dp_decimal_subtract(w->gross.value, w->net.value) };
    w->lines.is_set = w->line_count > 0;
    for (guint i = 0; i < w->line_count; i++) {
        amount net = line_amount(w, i, "net_amount");
        w->lines.is_set &= net.is_set;
        if (net.is_set)
            w->lines.value = dp_decimal_add(w->lines.value, net.value);
    }
}

static void read_result(writer *w)
{
    const json_t *fields = json_object_get(w->facts->result, "fields");
    w->line_count = (guint)MIN(json_array_size(json_object_get(fields, "lines")),
                               (gsize)LINES_MAX + 1);
    if (w->line_count > LINES_MAX) {
        breaks(w, "BR-16", "more than %d lines", LINES_MAX);
        w->line_count = 0;
    }
    w->type_code = find_type_code(w);
    w->is_credit =
        w->type_code != NULL && dp_ubl_is_credit_type(w->type_code) &&
        (strcmp(w->type_code, "381") == 0 || !dp_ubl_is_invoice_type(w->type_code));
    w->currency = get(w, "currency");
    read_totals(w);
    guint count =
        (guint)MIN(json_array_size(json_object_get(fields, "taxes")), (gsize)RATES_MAX);
    read_taxes(w, count);
    if (count == 0)
        derive_taxes(w);
}

/* ---- XML --------------------------------------------------------------------------------- */

static void append_escaped(GString *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar u = g_utf8_get_char(c);
        if (u == '&')
            g_string_append(out, "&amp;");
        else if (u == '<')
            g_string_append(out, "&lt;");
        else if (u == '>')
            g_string_append(out, "&gt;");
        else if (u == '"')
            g_string_append(out, "&quot;");
        else if (u < 32 && u != '\t' && u != '\n')
            g_string_append_c(out, ' '); /* XML 1.0 has no such characters */
        else if (u != 0xFFFE && u != 0xFFFF)
            g_string_append_unichar(out, u);
    }
}

static void open_tag(writer *w, const char *name)
{
    g_string_append_printf(w->xml, "<cac:%s>", name);
}

static void close_tag(writer *w, const char *name)
{
    g_string_append_printf(w->xml, "</cac:%s>\n", name);
}

/* No empty elements: a missing value is left out. */
static void put(writer *w, const char *name, const char *value)
{
    if (value == NULL)
        return;
    g_string_append_printf(w->xml, "<cbc:%s>", name);
    append_escaped(w->xml, value);
    g_string_append_printf(w->xml, "</cbc:%s>\n", name);
}

static void put_field(writer *w, const char *name, const char *path)
{
    g_autofree char *value = dp_route_text(w->facts, path);
    put(w, name, value);
}

static void put_amount(writer *w, const char *name, amount a)
{
    if (!a.is_set)
        return;
    g_autofree char *text = dp_decimal_text(a.value, 2);
    g_string_append_printf(w->xml, "<cbc:%s currencyID=\"", name);
    append_escaped(w->xml, w->currency);
    g_string_append_printf(w->xml, "\">%s</cbc:%s>\n", text, name);
}

static void put_reference(writer *w, const char *tag, const char *path)
{
    g_autofree char *value = dp_route_text(w->facts, path);
    if (value == NULL)
        return;
    open_tag(w, tag);
    put(w, "ID", value);
    close_tag(w, tag);
}

static void put_address(writer *w, const char *party)
{
    g_autofree char *line1 = get(w, "%s.address.line1", party);
    g_autofree char *line2 = get(w, "%s.address.line2", party);
    g_autofree char *city = get(w, "%s.address.city", party);
    g_autofree char *postcode = get(w, "%s.address.postcode", party);
    g_autofree char *raw = get(w, "%s.address.raw", party);
    g_autofree char *country = country_of(w, party);
    open_tag(w, "PostalAddress");
    put(w, "StreetName", line1);
    put(w, "AdditionalStreetName", line2);
    put(w, "CityName", city);
    put(w, "PostalZone", postcode);
    if (line1 == NULL && city == NULL &&
        raw != NULL) { /* the printed block as it stands */
        open_tag(w, "AddressLine");
        put(w, "Line", raw);
        close_tag(w, "AddressLine");
    }
    open_tag(w, "Country");
    put(w, "IdentificationCode", country);
    close_tag(w, "Country");
    close_tag(w, "PostalAddress");
}

static void put_tax_scheme(writer *w, const char *number, const char *scheme)
{
    if (number == NULL)
        return;
    open_tag(w, "PartyTaxScheme");
    put(w, "CompanyID", number);
    open_tag(w, "TaxScheme");
    put(w, "ID", scheme);
    close_tag(w, "TaxScheme");
    close_tag(w, "PartyTaxScheme");
}

static void put_party(writer *w, const char *tag, const char *party, gboolean is_seller)
{
    g_autofree char *name = get(w, "%s.name", party);
    g_autofree char *vat = get(w, "%s.vat_id", party);
    g_autofree char *tax = is_seller ? get(w, "seller.tax_number") : NULL;
    g_autofree char *number = get(w, "%s.registration_number", party);
    open_tag(w, tag);
    open_tag(w, "Party");
    if (!is_seller)
        put_reference(w, "PartyIdentification", "customer_number");
    put_address(w, party);
    put_tax_scheme(w, vat, "VAT");
    put_tax_scheme(w, tax, "TAX");
    open_tag(w, "PartyLegalEntity");
    put(w, "RegistrationName", name);
    put(w, "CompanyID", number);
    close_tag(w, "PartyLegalEntity");
    close_tag(w, "Party");
    close_tag(w, tag);
}

static void put_payment(writer *w)
{
    g_autofree char *iban = get(w, "payment.accounts.0.iban");
    g_autofree char *bic = get(w, "payment.accounts.0.bic");
    g_autofree char *due = w->is_credit ? get(w, "due_date") : NULL;
    if (iban != NULL) {
        open_tag(w, "PaymentMeans");
        put(w, "PaymentMeansCode", strcmp(w->currency, "EUR") == 0 ? "58" : "30");
        put(w, "PaymentDueDate", due);
        put_field(w, "PaymentID", "payment.reference");
        open_tag(w, "PayeeFinancialAccount");
        put(w, "ID", iban);
        if (bic != NULL) {
            open_tag(w, "FinancialInstitutionBranch");
            put(w, "ID", bic);
            close_tag(w, "FinancialInstitutionBranch");
        }
        close_tag(w, "PayeeFinancialAccount");
        close_tag(w, "PaymentMeans");
    }
    g_autofree char *terms = get(w, "payment.terms");
    if (terms != NULL) {
        open_tag(w, "PaymentTerms");
        put(w, "Note", terms);
        close_tag(w, "PaymentTerms");
    }
}

/* `reason_code` and `reason` say why there is no tax; both may be NULL. */
static void put_category(writer *w, const char *tag, const char *category,
                         dp_decimal rate, const char *reason_code, const char *reason)
{
    g_autofree char *percent = dp_decimal_text(rate, 0);
    open_tag(w, tag);
    put(w, "ID", category);
    put(w, "Percent", percent);
    put(w, "TaxExemptionReasonCode", reason_code);
    put(w, "TaxExemptionReason", reason);
    open_tag(w, "TaxScheme");
    put(w, "ID", "VAT");
    close_tag(w, "TaxScheme");
    close_tag(w, tag);
}

static void put_totals(writer *w)
{
    open_tag(w, "TaxTotal");
    put_amount(w, "TaxAmount", w->tax);
    for (guint i = 0; i < w->taxes->len; i++) {
        const tax_group *t = &g_array_index(w->taxes, tax_group, i);
        open_tag(w, "TaxSubtotal");
        put_amount(w, "TaxableAmount", t->taxable);
        put_amount(w, "TaxAmount", t->tax);
        g_autofree char *reason = get(w, "taxes.%u.exemption_reason", i);
        put_category(w, "TaxCategory", t->category, t->rate,
                     find_category(t->category)->exemption, reason);
        close_tag(w, "TaxSubtotal");
    }
    close_tag(w, "TaxTotal");
    open_tag(w, "LegalMonetaryTotal");
    put_amount(w, "LineExtensionAmount", w->lines);
    put_amount(w, "TaxExclusiveAmount", w->net);
    put_amount(w, "TaxInclusiveAmount", w->gross);
    put_amount(w, "PrepaidAmount", w->paid);
    put_amount(w, "PayableRoundingAmount", w->rounding);
    put_amount(w, "PayableAmount", w->due);
    close_tag(w, "LegalMonetaryTotal");
}

static void put_line(writer *w, guint index)
{
    const char *tag = w->is_credit ? "CreditNoteLine" : "InvoiceLine";
    const char *quantity_tag = w->is_credit ? "CreditedQuantity" : "InvoicedQuantity";
    g_autofree char *id = get(w, "lines.%u.line_id", index);
    g_autofree char *number = g_strdup_printf("%u", index + 1);
    g_autofree char *unit = line_unit(w, index);
    g_autofree char *quantity =
        dp_decimal_text(line_amount(w, index, "quantity").value, 0);
    g_autofree char *name = get(w, "lines.%u.name", index);
    g_autofree char *description = get(w, "lines.%u.description", index);
    g_autofree char *item = get(w, "lines.%u.seller_item_id", index);
    g_autofree char *category = line_category(w, index);
    open_tag(w, tag);
    put(w, "ID", id != NULL ? id : number);
    g_string_append_printf(w->xml, "<cbc:%s unitCode=\"", quantity_tag);
    append_escaped(w->xml, unit);
    g_string_append_printf(w->xml, "\">%s</cbc:%s>\n", quantity, quantity_tag);
    put_amount(w, "LineExtensionAmount", line_amount(w, index, "net_amount"));
    open_tag(w, "Item");
    put(w, "Description", description);
    put(w, "Name", name);
    if (item != NULL) {
        open_tag(w, "SellersItemIdentification");
        put(w, "ID", item);
        close_tag(w, "SellersItemIdentification");
    }
    put_category(w, "ClassifiedTaxCategory", category,
                 line_amount(w, index, "tax_rate").value, NULL, NULL);
    close_tag(w, "Item");
    open_tag(w, "Price");
    put_amount(w, "PriceAmount", line_amount(w, index, "unit_price"));
    close_tag(w, "Price");
    close_tag(w, tag);
}

static void put_document(writer *w)
{
    const char *root = w->is_credit ? "CreditNote" : "Invoice";
    g_string_append_printf(
        w->xml,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<%s xmlns=\"urn:oasis:names:specification:ubl:schema:xsd:%s-2\"\n"
        " xmlns:cac=\"urn:oasis:names:specification:ubl:schema:xsd:"
        "CommonAggregateComponents-2\"\n"
        " xmlns:cbc=\"urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-"
        "2\">\n",
        root, root);
    put(w, "CustomizationID", "urn:cen.eu:en16931:2017");
    put_field(w, "ID", "invoice_number");
    put_field(w, "IssueDate", "issue_date");
    if (!w->is_credit)
        put_field(w, "DueDate", "due_date");
    put(w, w->is_credit ? "CreditNoteTypeCode" : "InvoiceTypeCode", w->type_code);
    put(w, "DocumentCurrencyCode", w->currency);
    put_field(w, "BuyerReference", "buyer_reference");
    put_reference(w, "OrderReference", "purchase_order_number");
    put_reference(w, "DespatchDocumentReference", "delivery_note_number");
    put_reference(w, "ContractDocumentReference", "contract_number");
    put_party(w, "AccountingSupplierParty", "seller", TRUE);
    put_party(w, "AccountingCustomerParty", "buyer", FALSE);
    g_autofree char *delivery = get(w, "delivery_date");
    if (is_iso_date(delivery)) {
        open_tag(w, "Delivery");
        put(w, "ActualDeliveryDate", delivery);
        close_tag(w, "Delivery");
    }
    put_payment(w);
    put_totals(w);
    for (guint i = 0; i < w->line_count; i++)
        put_line(w, i);
    g_string_append_printf(w->xml, "</%s>\n", root);
}

char *dp_ubl_write(const dp_route_facts *facts, json_t **broken)
{
    writer w = { .facts = facts,
                 .broken = json_array(),
                 .taxes = g_array_new(FALSE, TRUE, sizeof(tax_group)) };
    g_array_set_clear_func(w.taxes, clear_tax);
    read_result(&w);
    check_header(&w);
    check_parties(&w);
    check_lines(&w);
    check_totals(&w);
    check_taxes(&w);
    char *text = NULL;
    if (json_array_size(w.broken) == 0) {
        w.xml = g_string_new(NULL);
        put_document(&w);
        text = g_string_free(w.xml, FALSE);
    }
    g_array_unref(w.taxes);
    g_free(w.type_code);
    g_free(w.currency);
    if (text != NULL)
        json_decref(w.broken);
    else
        *broken = w.broken;
    return text;
}

/*
 * test_einvoice.c - small e-invoices of each syntax, written here, and hostile XML.
 */
#include "einvoice.h"

#include <string.h>

#include "checks.h"

#define PARTY(n, city)                                                                   \
    "<r:Name>" n "</r:Name><r:PostalTradeAddress><r:PostcodeCode>10115</r:PostcodeCode>" \
    "<r:LineOne>Weg 1</r:LineOne><r:CityName>" city                                      \
    "</r:CityName><r:CountryID>DE</r:CountryID>"                                         \
    "</r:PostalTradeAddress>"

static const char cii[] =
    "\xef\xbb\xbf<?xml version='1.0' encoding='UTF-8'?><rsm:CrossIndustryInvoice "
    "xmlns:rsm='a' "
    "xmlns:r='b'><rsm:ExchangedDocument><r:ID>RE-7</r:ID><r:TypeCode>380</r:TypeCode>"
    "<r:IssueDateTime><u:DateTimeString "
    "format='102'>20240531</u:DateTimeString></r:IssueDateTime>"
    "</"
    "rsm:ExchangedDocument><rsm:SupplyChainTradeTransaction><r:"
    "IncludedSupplyChainTradeLineItem>"
    "<r:AssociatedDocumentLineDocument><r:LineID>1</r:LineID></"
    "r:AssociatedDocumentLineDocument>"
    "<r:SpecifiedTradeProduct><r:Name>Rad &amp; Achse</r:Name></r:SpecifiedTradeProduct>"
    "<r:SpecifiedLineTradeAgreement><r:GrossPriceProductTradePrice><r:ChargeAmount>12.00"
    "</r:ChargeAmount></r:GrossPriceProductTradePrice><r:NetPriceProductTradePrice>"
    "<r:ChargeAmount>10.5000</r:ChargeAmount></r:NetPriceProductTradePrice>"
    "</r:SpecifiedLineTradeAgreement><r:SpecifiedLineTradeDelivery><r:BilledQuantity "
    "unitCode='H87'>"
    "2.0000</r:BilledQuantity></"
    "r:SpecifiedLineTradeDelivery><r:SpecifiedLineTradeSettlement>"
    "<r:ApplicableTradeTax><r:CategoryCode>S</"
    "r:CategoryCode><r:RateApplicablePercent>19.00"
    "</r:RateApplicablePercent></r:ApplicableTradeTax>"
    "<r:SpecifiedTradeSettlementLineMonetarySummation><r:LineTotalAmount>21.00</"
    "r:LineTotalAmount>"
    "</r:SpecifiedTradeSettlementLineMonetarySummation></r:SpecifiedLineTradeSettlement>"
    "</"
    "r:IncludedSupplyChainTradeLineItem><r:ApplicableHeaderTradeAgreement><r:"
    "SellerTradeParty>" PARTY(
        "A GmbH",
        "Berlin") "<r:SpecifiedTaxRegistration><r:ID "
                  "schemeID='FC'>12/345</r:ID></r:SpecifiedTaxRegistration>"
                  "<r:SpecifiedTaxRegistration><r:ID "
                  "schemeID='VA'>DE136695976</r:ID></r:SpecifiedTaxRegistration>"
                  "</r:SellerTradeParty><r:BuyerTradeParty><r:ID>K-9</r:ID>" PARTY(
                      "B AG",
                      "Bonn") "</"
                              "r:BuyerTradeParty><r:BuyerOrderReferencedDocument><r:"
                              "IssuerAssignedID>PO 4711"
                              "</r:IssuerAssignedID></r:BuyerOrderReferencedDocument></"
                              "r:ApplicableHeaderTradeAgreement>"
                              "<r:ApplicableHeaderTradeDelivery><r:"
                              "ActualDeliverySupplyChainEvent><r:OccurrenceDateTime>"
                              "<u:DateTimeString "
                              "format='102'>20240530</u:DateTimeString></"
                              "r:OccurrenceDateTime>"
                              "</r:ActualDeliverySupplyChainEvent></"
                              "r:ApplicableHeaderTradeDelivery>"
                              "<r:ApplicableHeaderTradeSettlement><r:PaymentReference>"
                              "RF18539007547034</r:PaymentReference>"
                              "<r:InvoiceCurrencyCode>EUR</"
                              "r:InvoiceCurrencyCode><r:"
                              "SpecifiedTradeSettlementPaymentMeans>"
                              "<r:TypeCode>58</"
                              "r:TypeCode><r:PayeePartyCreditorFinancialAccount><r:"
                              "IBANID>"
                              "DE89370400440532013000</r:IBANID></"
                              "r:PayeePartyCreditorFinancialAccount>"
                              "<r:PayeeSpecifiedCreditorFinancialInstitution><r:BICID>"
                              "COBADEFFXXX</r:BICID>"
                              "</r:PayeeSpecifiedCreditorFinancialInstitution></"
                              "r:SpecifiedTradeSettlementPaymentMeans>"
                              "<r:ApplicableTradeTax><r:CalculatedAmount>3.99</"
                              "r:CalculatedAmount><r:BasisAmount>21.00"
                              "</r:BasisAmount><r:CategoryCode>S</"
                              "r:CategoryCode><r:RateApplicablePercent>19"
                              "</r:RateApplicablePercent></"
                              "r:ApplicableTradeTax><r:SpecifiedTradePaymentTerms><r:"
                              "Description>"
                              "14 "
                              "Tage</r:Description><r:DueDateDateTime><u:DateTimeString "
                              "format='102'>20240614"
                              "</u:DateTimeString></r:DueDateDateTime></"
                              "r:SpecifiedTradePaymentTerms>"
                              "<r:SpecifiedTradeSettlementHeaderMonetarySummation><r:"
                              "LineTotalAmount>21.00</r:LineTotalAmount>"
                              "<r:TaxBasisTotalAmount>21.00</"
                              "r:TaxBasisTotalAmount><r:TaxTotalAmount "
                              "currencyID='SEK'>40.00"
                              "</r:TaxTotalAmount><r:TaxTotalAmount "
                              "currencyID='EUR'>3.99</r:TaxTotalAmount>"
                              "<r:GrandTotalAmount>24.99</"
                              "r:GrandTotalAmount><r:TotalPrepaidAmount>0</"
                              "r:TotalPrepaidAmount>"
                              "<r:DuePayableAmount>24.99</r:DuePayableAmount></"
                              "r:SpecifiedTradeSettlementHeaderMonetarySummation>"
                              "</r:ApplicableHeaderTradeSettlement></"
                              "rsm:SupplyChainTradeTransaction>"
                              "</rsm:CrossIndustryInvoice>";

static const char zugferd1[] =
    "<CrossIndustryDocument><HeaderExchangedDocument><ID>Z-1</ID><TypeCode>380</TypeCode>"
    "<IssueDateTime><DateTimeString "
    "format='102'>20140305</DateTimeString></IssueDateTime>"
    "</HeaderExchangedDocument><SpecifiedSupplyChainTradeTransaction>"
    "<ApplicableSupplyChainTradeAgreement><SellerTradeParty><Name>S</Name></"
    "SellerTradeParty>"
    "</ApplicableSupplyChainTradeAgreement><ApplicableSupplyChainTradeSettlement>"
    "<InvoiceCurrencyCode>EUR</"
    "InvoiceCurrencyCode><ApplicableTradeTax><ApplicablePercent>7.00"
    "</ApplicablePercent></ApplicableTradeTax><SpecifiedTradeSettlementMonetarySummation>"
    "<TaxTotalAmount currencyID='EUR'>0.70</TaxTotalAmount>"
    "<GrandTotalAmount currencyID='EUR'>10.70</GrandTotalAmount>"
    "</SpecifiedTradeSettlementMonetarySummation></ApplicableSupplyChainTradeSettlement>"
    "<IncludedSupplyChainTradeLineItem><SpecifiedSupplyChainTradeAgreement>"
    "<NetPriceProductTradePrice><ChargeAmount currencyID='EUR'>5</ChargeAmount>"
    "</NetPriceProductTradePrice></SpecifiedSupplyChainTradeAgreement>"
    "<SpecifiedSupplyChainTradeDelivery><BilledQuantity unitCode='C62'>2</BilledQuantity>"
    "</SpecifiedSupplyChainTradeDelivery><SpecifiedSupplyChainTradeSettlement>"
    "<SpecifiedTradeSettlementMonetarySummation><LineTotalAmount>10.00</LineTotalAmount>"
    "</SpecifiedTradeSettlementMonetarySummation></SpecifiedSupplyChainTradeSettlement>"
    "</IncludedSupplyChainTradeLineItem></SpecifiedSupplyChainTradeTransaction>"
    "</CrossIndustryDocument>";

static const char ubl[] =
    "<CreditNote "
    "xmlns:cbc='x'><cbc:ID>CN-1</cbc:ID><cbc:IssueDate>2024-05-31</cbc:IssueDate>"
    "<cbc:DocumentCurrencyCode>EUR</cbc:DocumentCurrencyCode>"
    "<cac:AccountingSupplierParty><cac:Party><cac:PartyName><cbc:Name>Trade</cbc:Name>"
    "</cac:PartyName><cac:PostalAddress><cbc:StreetName>Rue 2</cbc:StreetName>"
    "<cbc:CityName>Paris</cbc:CityName></"
    "cac:PostalAddress><cac:PartyTaxScheme><cbc:CompanyID>"
    "FR40303265045</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
    "</cac:PartyTaxScheme><cac:PartyLegalEntity><cbc:RegistrationName>Legal SA"
    "</cbc:RegistrationName></cac:PartyLegalEntity></cac:Party></"
    "cac:AccountingSupplierParty>"
    "<cac:PaymentMeans><cbc:PaymentMeansCode>30</"
    "cbc:PaymentMeansCode><cbc:PaymentDueDate>2024-06-14"
    "</"
    "cbc:PaymentDueDate><cac:PayeeFinancialAccount><cbc:ID>FR1420041010050500013M02606</"
    "cbc:ID>"
    "</cac:PayeeFinancialAccount></"
    "cac:PaymentMeans><cac:AllowanceCharge><cbc:ChargeIndicator>true"
    "</cbc:ChargeIndicator><cbc:Amount>5.00</cbc:Amount></"
    "cac:AllowanceCharge><cac:TaxTotal>"
    "<cbc:TaxAmount "
    "currencyID='EUR'>1.00</cbc:TaxAmount><cac:TaxSubtotal><cbc:TaxableAmount>5.00"
    "</cbc:TaxableAmount><cbc:TaxAmount>1.00</cbc:TaxAmount><cac:TaxCategory><cbc:ID>S</"
    "cbc:ID>"
    "<cbc:Percent>20</cbc:Percent></cac:TaxCategory></cac:TaxSubtotal></cac:TaxTotal>"
    "<cac:LegalMonetaryTotal><cbc:TaxInclusiveAmount>6.00</cbc:TaxInclusiveAmount>"
    "</cac:LegalMonetaryTotal><cac:CreditNoteLine><cbc:ID>1</cbc:ID>"
    "<cbc:CreditedQuantity "
    "unitCode='HUR'>1</cbc:CreditedQuantity><cac:Item><cbc:Name>T</cbc:Name>"
    "</cac:Item></cac:CreditNoteLine></CreditNote>";

static json_t *read_text(const char *text, const char **format, GError **error)
{
    g_autoptr(GBytes) bytes = g_bytes_new(text, strlen(text));
    return dx_einvoice_read("x.xml", bytes, format, error);
}

/* "lines/0/name": lists by index. */
static const char *at(const json_t *values, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    for (char **p = parts; *p != NULL; p++)
        values = g_ascii_isdigit(**p)
                     ? json_array_get(values, (size_t)g_ascii_strtoull(*p, NULL, 10))
                     : json_object_get(values, *p);
    return json_string_value(values);
}

static void test_fields(void)
{
    static const struct {
        const char *xml, *format, *path, *value;
    } cases[] = {
        /* clang-format off */
        { cii, "cii", "invoice_number", "RE-7" },
        { cii, "cii", "document_type", "invoice" },
        { cii, "cii", "issue_date", "2024-05-31" },
        { cii, "cii", "due_date", "2024-06-14" },
        { cii, "cii", "delivery_date", "2024-05-30" },
        { cii, "cii", "purchase_order_number", "PO 4711" },
        { cii, "cii", "customer_number", "K-9" },
        { cii, "cii", "seller/name", "A GmbH" },
        { cii, "cii", "seller/vat_id", "DE136695976" },
        { cii, "cii", "seller/tax_number", "12/345" },
        { cii, "cii", "seller/address/raw", "Weg 1, 10115, Berlin, DE" },
        { cii, "cii", "seller/address/country", "DE" },
        { cii, "cii", "buyer/address/city", "Bonn" },
        { cii, "cii", "currency", "EUR" },
        { cii, "cii", "totals/gross_total", "24.99" },
        { cii, "cii", "totals/tax_total", "3.99" },
        { cii, "cii", "totals/tax_total_tax_currency", "40.00" },
        { cii, "cii", "totals/paid", "0" },
        { cii, "cii", "payment/terms", "14 Tage" },
        { cii, "cii", "payment/reference", "RF18539007547034" },
        { cii, "cii", "payment/accounts/0/iban", "DE89370400440532013000" },
        { cii, "cii", "payment/accounts/0/bic", "COBADEFFXXX" },
        { cii, "cii", "taxes/0/rate", "19" },
        { cii, "cii", "taxes/0/taxable_amount", "21.00" },
        { cii, "cii", "lines/0/name", "Rad & Achse" },
        { cii, "cii", "lines/0/quantity", "2" },
        { cii, "cii", "lines/0/unit_code", "H87" },
        { cii, "cii", "lines/0/unit_price", "10.5000" },
        { cii, "cii", "lines/0/tax_rate", "19" },
        { cii, "cii", "lines/0/net_amount", "21.00" },
        { zugferd1, "zugferd1", "issue_date", "2014-03-05" },
        { zugferd1, "zugferd1", "totals/gross_total", "10.70" },
        { zugferd1, "zugferd1", "taxes/0/rate", "7" },
        { zugferd1, "zugferd1", "lines/0/net_amount", "10.00" },
        { zugferd1, "zugferd1", "lines/0/unit_price", "5" },
        { zugferd1, "zugferd1", "due_date", NULL },
        { ubl, "ubl", "document_type", "credit_note" },
        { ubl, "ubl", "due_date", "2024-06-14" },
        { ubl, "ubl", "seller/name", "Legal SA" },
        { ubl, "ubl", "seller/trading_name", "Trade" },
        { ubl, "ubl", "seller/vat_id", "FR40303265045" },
        { ubl, "ubl", "payment/accounts/0/iban", "FR1420041010050500013M02606" },
        { ubl, "ubl", "charges/0/amount", "5.00" },
        { ubl, "ubl", "totals/tax_total", "1.00" },
        { ubl, "ubl", "taxes/0/rate", "20" },
        { ubl, "ubl", "lines/0/unit_code", "HUR" },
        { ubl, "ubl", "buyer/name", NULL },
        /* clang-format on */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s %s", cases[i].format, cases[i].path);
        g_autoptr(GError) error = NULL;
        const char *format = NULL;
        json_t *values = read_text(cases[i].xml, &format, &error);
        g_assert_no_error(error);
        g_assert_cmpstr(format, ==, cases[i].format);
        g_assert_cmpstr(at(values, cases[i].path), ==, cases[i].value);
        json_decref(values);
    }
}

static void test_broken(void)
{
    static const struct {
        const char *xml;
        dx_code code;
        const char *text;
    } cases[] = {
        /* clang-format off */
        { "", DX_SOURCE, "x.xml: not XML text" },
        { "hello", DX_SOURCE, "x.xml: broken XML at line 1, column" },
        { "<a><b></a>", DX_SOURCE, "x.xml: broken XML at line 1, column" },
        { "<html/>", DX_SOURCE, "x.xml: not an invoice in CII or UBL" },
        { "<Invoice/>", DX_SOURCE, "x.xml: not an invoice in CII or UBL" },
        { "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><Invoice><ID>&e;</ID></Invoice>",
          DX_SOURCE, "x.xml: broken XML at line 1, column" },
        { "\xff\xff\xff", DX_SOURCE, "x.xml: not XML text" },
        /* clang-format on */
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].text);
        g_autoptr(GError) error = NULL;
        g_assert_null(read_text(cases[i].xml, NULL, &error));
        g_assert_error(error, DX_ERROR, (int)cases[i].code);
        g_assert_true(g_str_has_prefix(error->message, cases[i].text));
    }
    /* Every prefix of a good invoice is an error, never a crash. */
    for (gsize n = 0; n + 1 < sizeof zugferd1 - 1; n += 7) {
        g_autofree char *cut = g_strndup(zugferd1, n);
        g_autoptr(GError) error = NULL;
        g_assert_null(read_text(cut, NULL, &error));
        g_assert_nonnull(error);
    }
}

static void test_encodings(void)
{
    g_autoptr(GError) error = NULL;
    json_t *latin =
        read_text("<?xml version='1.0' encoding='ISO-8859-1'?><Invoice><ID>1</ID>"
                  "<BuyerReference>M\xfcller</BuyerReference></Invoice>",
                  NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(at(latin, "buyer_reference"), ==, "Müller");
    json_decref(latin);
    const char *text = "\xef\xbb\xbf<Invoice><ID>1</ID></Invoice>";
    gsize bytes;
    g_autofree char *wide = g_convert(text, -1, "UTF-16LE", "UTF-8", NULL, &bytes, NULL);
    g_autoptr(GBytes) content = g_bytes_new(wide, bytes);
    json_t *values = dx_einvoice_read("w.xml", content, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(at(values, "invoice_number"), ==, "1");
    json_decref(values);
}

static void test_limits(void)
{
    for (unsigned extra = 0; extra < 2; extra++) { /* Invoice itself is level 1 */
        g_autoptr(GString) xml = g_string_new("<Invoice><ID>1</ID>");
        for (unsigned i = 1; i < DX_XML_DEPTH_MAX + extra; i++)
            g_string_append(xml, "<a>");
        for (unsigned i = 1; i < DX_XML_DEPTH_MAX + extra; i++)
            g_string_append(xml, "</a>");
        g_string_append(xml, "</Invoice>");
        g_autoptr(GError) error = NULL;
        json_t *values = read_text(xml->str, NULL, &error);
        if (extra == 0)
            g_assert_no_error(error);
        else
            g_assert_error(error, DX_ERROR, DX_LIMIT);
        json_decref(values);
    }
    for (unsigned extra = 0; extra < 2; extra++) {
        g_autoptr(GString) xml = g_string_new("<Invoice><ID>1</ID>");
        for (unsigned i = 2; i < DX_XML_ELEMENTS_MAX + extra; i++)
            g_string_append(xml, "<a/>");
        g_string_append(xml, "</Invoice>");
        g_autoptr(GError) error = NULL;
        json_t *values = read_text(xml->str, NULL, &error);
        g_assert_cmpint(values != NULL, ==, (extra == 0));
        if (extra > 0)
            g_assert_error(error, DX_ERROR, DX_LIMIT);
        json_decref(values);
    }
    for (unsigned extra = 0; extra < 2; extra++) {
        gsize bytes = DX_XML_BYTES_MAX + extra;
        char *data = g_strnfill(bytes, ' ');
        g_autoptr(GBytes) content = g_bytes_new_take(data, bytes);
        g_autoptr(GError) error = NULL;
        g_assert_null(dx_einvoice_read("big.xml", content, NULL, &error));
        int code = extra > 0 ? (int)DX_LIMIT : (int)DX_SOURCE;
        g_assert_error(error, DX_ERROR, code);
    }
}

/* What an invoice says of itself must close its own sums. */
static void test_with_checks(void)
{
    json_error_t json_error;
    json_t *schema =
        json_loads("{\"x-checks\":[{\"id\":\"A-6\",\"expr\":\"totals.gross_total == "
                   "totals.net_total + "
                   "totals.tax_total\"},{\"id\":\"A-1\",\"expr\":\"totals.line_total == "
                   "sum(lines[].net_amount)\"}]}",
                   0, &json_error);
    json_t *values = read_text(cii, NULL, NULL);
    json_t *results = dx_checks_run(schema, values, NULL, NULL);
    for (size_t i = 0; i < 2; i++)
        g_assert_cmpstr(
            json_string_value(json_object_get(json_array_get(results, i), "result")), ==,
            "pass");
    json_decref(results);
    json_decref(values);
    json_decref(schema);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions();
    g_test_add_func("/einvoice/fields", test_fields);
    g_test_add_func("/einvoice/broken", test_broken);
    g_test_add_func("/einvoice/encodings", test_encodings);
    g_test_add_func("/einvoice/limits", test_limits);
    g_test_add_func("/einvoice/with-checks", test_with_checks);
    return g_test_run();
}

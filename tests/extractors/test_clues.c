/*
 * test_clues.c - what the form of a page says: addresses, parties, sums, headings, shops.
 */
#include "address.h"
#include "table.h"

#include "page.h"

static void test_places(void)
{
    static const struct {
        const char *what, *page, *street, *postcode, *city, *country;
    } cases[] = {
        { "german", "Bolte GmbH\nAm Hang 7\n37073 Göttingen", "Am Hang 7", "37073",
          "Göttingen", "" },
        { "with country code", "Bolte GmbH\nAm Hang 7\nDE 37073 Göttingen", "Am Hang 7",
          "37073", "Göttingen", "DE" },
        { "country below", "Bolte GmbH\nAm Hang 7\n37073 Göttingen\nDeutschland",
          "Am Hang 7", "37073", "Göttingen", "DE" },
        { "dutch", "Vos B.V.\nKade 3\n1017 AB Amsterdam", "Kade 3", "1017 AB",
          "Amsterdam", "" },
        { "british", "Hill Ltd.\n4 Mill Lane\nLS1 4DY Leeds", "4 Mill Lane", "LS1 4DY",
          "Leeds", "" },
        { "british, a figure misread", "Hill Ltd.\n4 Mill Lane\nGB SWIB 3BN London",
          "4 Mill Lane", "SW1B 3BN", "London", "GB" },
        { "american", "Hill Inc.\n4 Mill Lane\nDayton, OH 45402", "4 Mill Lane", "45402",
          "Dayton", "" },
        { "polish", "Lipa sp. z o.o.\nul. Polna 9\n30-059 Kraków", "ul. Polna 9",
          "30-059", "Kraków", "" },
        { "czech", "Javor s.r.o.\nLipová 2\n602 00 Brno", "Lipová 2", "602 00", "Brno",
          "" },
        { "a town's district", "Javor s.r.o.\nLipová 2\n150 00 Praha 5", "Lipová 2",
          "150 00", "Praha 5", "" },
        { "malaysian", "BUNGA SDN BHD\nNO 4, JALAN MAWAR\n43300 SERDANG, SELANGOR",
          "NO 4, JALAN MAWAR", "43300", "SERDANG", "" },
        { "a sender's line", "Bolte GmbH · Am Hang 7 · 37073 Göttingen", "Am Hang 7",
          "37073", "Göttingen", "" },
        { "commas, and a dash before the place",
          "Roble SL, Calle Pino 4, 71214 - Cádiz, España", "Calle Pino 4", "71214",
          "Cádiz", "ES" },
        { "australian", "Gum Pty Ltd\n4 Mill St\nHobart TAS 2821", "4 Mill St", "2821",
          "Hobart", "" },
        { "canadian", "Maple Inc.\n4 Mill St\nOttawa ON K1A 0B1", "4 Mill St", "K1A 0B1",
          "Ottawa", "" },
        { "irish", "Fern Ltd\n4 Mill Quay\nWaterford X91 E185", "4 Mill Quay", "X91 E185",
          "Waterford", "" },
        { "a letterhead right above",
          "Bolte GmbH\nEiche Holz AG\nAm Hang 7\n37073 Göttingen", "Am Hang 7", "37073",
          "Göttingen", "" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        g_autoptr(GArray) found = dx_find_addresses(l);
        g_assert_cmpuint(found->len, ==, 1);
        const dx_address *a = &g_array_index(found, dx_address, 0);
        g_assert_nonnull(a->name);
        g_assert_cmpuint(a->lines->len, ==, 1);
        g_assert_cmpstr(g_ptr_array_index(a->lines, 0), ==, cases[i].street);
        g_assert_cmpstr(a->postcode, ==, cases[i].postcode);
        g_assert_cmpstr(a->city, ==, cases[i].city);
        g_assert_cmpstr(a->country, ==, cases[i].country);
    }
}

/* What stands above the street and below the place belongs to an address as printed. */
static void test_printed(void)
{
    static const struct {
        const char *page, *name, *printed;
    } cases[] = {
        { "Bolte GmbH\nc/o Ann Moor\nAm Hang 7\n37073 Göttingen", "Bolte GmbH",
          "c/o Ann Moor, Am Hang 7, 37073 Göttingen" },
        { "Hill Ltd\nMarley Centre\n4 Mill Lane\nLS1 4DY Leeds", "Hill Ltd",
          "Marley Centre, 4 Mill Lane, LS1 4DY Leeds" },
        { "Bolte GmbH\nEva Lind\nAm Hang 7\n37073 Göttingen", "Bolte GmbH",
          "Am Hang 7, 37073 Göttingen" },
        { "Bolte GmbH\nAm Hang 7\nD-37073 Göttingen\nDeutschland", "Bolte GmbH",
          "Am Hang 7, D-37073 Göttingen, Deutschland" },
        { "Bolte GmbH · Am Hang 7 · 37073 Göttingen · Deutschland", "Bolte GmbH",
          "Am Hang 7, 37073 Göttingen, Deutschland" },
        { "ID: 4068431664\nBolte GmbH\nAm Hang 7\n37073 Göttingen", "Bolte GmbH",
          "Am Hang 7, 37073 Göttingen" },
        { "Hill, Inc. · 4 Mill Lane · Dayton, OH 45402", "Hill, Inc.",
          "4 Mill Lane, Dayton, OH 45402" },
        { "Acero S.r.l.    Loc. Pino, 91, 90793 Torino", "Acero S.r.l.",
          "Loc. Pino, 91, 90793 Torino" },
        { "Building F\nAm Hang 7\n37073 Göttingen", NULL,
          "Building F, Am Hang 7, 37073 Göttingen" },
        { "Hill House, 3 Mill Lane\nLS1 4DY Leeds", NULL,
          "Hill House, 3 Mill Lane, LS1 4DY Leeds" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("page: %s", cases[i].page);
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        g_autoptr(GArray) found = dx_find_addresses(l);
        g_assert_cmpuint(found->len, ==, 1);
        g_assert_cmpstr(g_array_index(found, dx_address, 0).name, ==, cases[i].name);
        g_assert_cmpstr(g_array_index(found, dx_address, 0).printed, ==,
                        cases[i].printed);
    }
}

/* A name in large type over the block is its name, a slogan in small type is not. */
static void test_large_names(void)
{
    for (guint large = 0; large < 2; large++) {
        g_autoptr(GArray) words =
            page_words("\nBolte\n\nBuilding F\nAm Hang 7\n37073 Göttingen");
        dx_word *name = &g_array_index(words, dx_word, 0);
        name->y0 -= large * 16 / PAGE_HEIGHT;
        name->em = (10 + 16 * large) / PAGE_HEIGHT;
        g_autoptr(dx_layout) l = dx_layout_new(words, PAGE_WIDTH, PAGE_HEIGHT, 0, NULL);
        g_autoptr(GArray) found = dx_find_addresses(l);
        g_assert_cmpuint(found->len, ==, 1);
        const dx_address *a = &g_array_index(found, dx_address, 0);
        g_assert_cmpstr(a->name, ==, large != 0 ? "Bolte" : NULL);
        g_assert_cmpstr(a->printed, ==, "Building F, Am Hang 7, 37073 Göttingen");
    }
}

static void test_no_places(void)
{
    static const char *const pages[] = {
        "2024 September", "1000 Schrauben GmbH",           "Seite 1 von 2",
        "12 Stück 4,00",  "Nagel\n91095 Kaffee     10,50", "Nagel\nCOIL 3MM Stahl"
    };
    for (gsize i = 0; i < G_N_ELEMENTS(pages); i++) {
        g_test_message("page: %s", pages[i]);
        g_autoptr(dx_layout) l = page_layout(pages[i]);
        g_autoptr(GArray) found = dx_find_addresses(l);
        g_assert_cmpuint(found->len, ==, 0);
    }
}

/* The best clue that speaks for a value of a field, or NULL. */
static const char *best_of(const GArray *clues, const char *ask)
{
    const dx_clue *best = NULL;
    for (guint i = 0; i < clues->len; i++) {
        const dx_clue *c = &g_array_index(clues, dx_clue, i);
        if (strcmp(c->ask, ask) == 0 && c->score > 0 &&
            (best == NULL || c->score > best->score))
            best = c;
    }
    return best == NULL ? NULL : best->value != NULL ? best->value : best->raw;
}

static const char *const no_asks[] = { NULL };

static GArray *clues_of(const dx_layout *l, void (*find)(const dx_scene *, GArray *))
{
    dx_context context = { 0 };
    dx_context_learn(&context, l->text, l->bytes);
    g_autoptr(GPtrArray) none = g_ptr_array_new();
    dx_places places = { no_asks, none };
    dx_scene scene = { l, &context, &places, TRUE, FALSE, NULL };
    GArray *clues = dx_clues_new();
    find(&scene, clues);
    return clues;
}

static void test_parties(void)
{
    static const struct {
        const char *what, *page, *seller, *buyer, *address;
    } cases[] = {
        { "headings",
          "Supplier:              Bill to:\nHill Ltd.              Ann Moor\n4 Mill Lane "
          "           9 Low Road\nLS1 4DY Leeds          YO1 7HH York",
          "Hill Ltd.", "Ann Moor", "9 Low Road, YO1 7HH, York" },
        { "headings the other way round",
          "Customer:              Seller:\nHill Ltd.              Ann Moor\n4 Mill Lane  "
          "          9 Low Road\nLS1 4DY Leeds          YO1 7HH York",
          "Ann Moor", "Hill Ltd.", "4 Mill Lane, LS1 4DY, Leeds" },
        { "a sender's line above the window",
          "\n\n\n\nBolte GmbH · Am Hang 7 · 37073 Göttingen\n\nEva Lind\nWeg 3\n24937 "
          "Flensburg\n\nRechnung",
          "Bolte GmbH", "Eva Lind", "Weg 3, 24937, Flensburg, DE" },
        { "salutation",
          "Bolte GmbH · Am Hang 7 · 37073 Göttingen\n\nHerrn\nUwe Lind\nWeg 3\n24937 "
          "Flensburg\n\nRechnung",
          "Bolte GmbH", "Herrn Uwe Lind", "Weg 3, 24937, Flensburg, DE" },
        { "the goods go to the buyer",
          "Hill Ltd.              Deliver to:\n4 Mill Lane            Hill Ltd.\n"
          "LS1 4DY Leeds          4 Mill Lane\n                       LS1 4DY Leeds\n\n"
          "Moor Ltd.\n9 Low Road\nYO1 7HH York",
          "Moor Ltd.", "Hill Ltd.", "4 Mill Lane, LS1 4DY, Leeds" },
        { "who orders buys",
          "Bolte GmbH · Am Hang 7 · 37073 Göttingen\n\nEva Lind\nWeg 3\n24937 "
          "Flensburg\n\nBestellung",
          "Eva Lind", "Bolte GmbH", "Am Hang 7, 37073, Göttingen" },
        { "an order's number on an invoice",
          "Bolte GmbH · Am Hang 7 · 37073 Göttingen\n\nEva Lind\nWeg 3\n24937 "
          "Flensburg\n\nBestellung\nRechnung",
          "Bolte GmbH", "Eva Lind", "Weg 3, 24937, Flensburg, DE" },
        { "side by side, with the bank of one",
          "Hill & Co              Ann Moor\n4 Mill Lane            9 Low Road\n"
          "LS1 4DY Leeds          YO1 7HH York\nSWIFT IHJUGB2Y         VAT 426 1054 03",
          "Hill & Co", "Ann Moor", "9 Low Road, YO1 7HH, York" },
        { "side by side, with the bank of the other",
          "Hill & Co              Ann Moor\n4 Mill Lane            9 Low Road\n"
          "LS1 4DY Leeds          YO1 7HH York\nVAT 426 1054 03        SWIFT IHJUGB2Y",
          "Ann Moor", "Hill & Co", "4 Mill Lane, LS1 4DY, Leeds" },
        { "a heading over a sender's line",
          "Seller:\nBolte GmbH\nAm Hang 7\n37073 Göttingen\n\nRechnungsanschrift:\nEva "
          "Lind, Weg 3, 24937 Flensburg",
          "Bolte GmbH", "Eva Lind", "Weg 3, 24937, Flensburg, DE" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        g_autoptr(GArray) clues = clues_of(l, dx_clues_parties);
        g_assert_cmpstr(best_of(clues, "seller_name"), ==, cases[i].seller);
        g_assert_cmpstr(best_of(clues, "buyer_name"), ==, cases[i].buyer);
        g_assert_cmpstr(best_of(clues, "buyer_address"), ==, cases[i].address);
    }
}

static void test_totals(void)
{
    static const struct {
        const char *what, *page, *ask, *raw;
    } cases[] = {
        { "net by the sum",
          "Total A   50,00\nVersicherungsteuer 19 %   9,50\nBeitrag   59,50", "net_total",
          "50,00" },
        { "gross by the sum",
          "Total A   50,00\nVersicherungsteuer 19 %   9,50\nBeitrag   59,50",
          "gross_total", "59,50" },
        { "without tax is net",
          "Total without VAT   100.00\nVAT 20 %   20.00\nTotal   120.00", "net_total",
          "100.00" },
        { "paid is no sum",
          "Net total   100.00\nVAT 20 %   20.00\nGross total   120.00\nPrepaid   "
          "70.00\nAmount due   50.00",
          "amount_due", "50.00" },
        { "what is left is due",
          "Total   120.00\nLess voucher   0.00\nAmount paid   -70.00\nRest   50.00",
          "amount_due", "50.00" },
        { "all is paid", "Total   120.00\nPrepaid   120.00\nOutstanding   0.00",
          "amount_due", "0.00" },
        { "several taxes",
          "Netto   90.00\nVersand   10.00\nNetto   100.00\nVAT 20 %   10.00\nVAT 5 %   "
          "2.50\nTotal   112.50",
          "net_total", "100.00" },
        { "cash less change",
          "TOTAL   18.84\nTOTAL   18.80\nCASH   50.00\nCHANGE   31.20", "total",
          "18.80" },
        { "after rounding", "Total   31.47\nRounding   -0.02\nTotal   31.45", "total",
          "31.45" },
        { "a doubled point", "TOTAL   52..80", "total", "52..80" },
        { "after rounding, where the sum before adds up",
          "Total (excl GST)   60.50\nGST   3.63\nTotal (incl GST)   64.13\nRounding   "
          "0.02\nTOTAL   64.15",
          "total", "64.15" },
        { "the amount after rounding by name",
          "Total incl. GST   48.93\nRounding adj   0.02\nTotal after rounding   48.95",
          "total", "48.95" },
        { "paid by card to the cent",
          "Coffee   24.00\nTea   32.00\nFacture   56.00\nMastercard   56.00", "total",
          "56.00" },
        { "cash and change are no net and tax",
          "TOTAL INCL. GST@6%   68.10\nCASH   100.10\nCHANGE   32.00", "total", "68.10" },
        { "a currency between", "Total   RM   64.15\nItems   RM   70.15", "total",
          "64.15" },
        { "a sum of one rate is not the sum of all",
          "Total 6% supplies (excl. GST):   30.28\nGST:   1.82\nTotal 6% supplies (Inc. "
          "GST):   32.10\nTotal 0% supplies:   27.44\nTotal Paydble:   59.54",
          "total", "59.54" },
        { "rounding down, and the tax table below",
          "Total Sales (Excluding GST)   80.91\nTotal GST   0.00\nRounding   "
          "-0.01\nTotal "
          "Sales (uclusive of GST)   80.90\nCASH   100.00\nChange   19.10\nTotal   80.91 "
          "  "
          "0.00",
          "total", "80.90" },
        { "a date is no amount", "Total 21.11.2018\nTotal   8.00", "total", "8.00" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        dx_context context = { 0 };
        dx_context_learn(&context, l->text, l->bytes);
        g_autoptr(GPtrArray) none = g_ptr_array_new();
        dx_places places = { no_asks, none };
        dx_scene scene = { l, &context, &places, TRUE, FALSE, NULL };
        g_autoptr(dx_totals) totals = dx_totals_new();
        dx_totals_add(totals, &scene, 1);
        g_autoptr(GArray) clues = dx_clues_totals(totals, 1);
        g_assert_cmpstr(best_of(clues, cases[i].ask), ==, cases[i].raw);
        g_autoptr(GArray) other = dx_clues_totals(totals, 2);
        g_assert_cmpuint(other->len, ==, 0);
    }
}

/* Tax numbers go to the party whose block or label they stand by. */
static void test_tax_numbers(void)
{
    static const char page[] =
        "Bolte GmbH\nAm Hang 7\n37073 Göttingen\nUSt-IdNr DE136695976\n\n\n\n\n\n\n\n\n"
        "Rechnung an\nEva Lind KG\nWeg 3\n24937 "
        "Flensburg\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"
        "Ihre USt-IdNr    DE129273398\nIBAN DE89 3704 0044 0532 0130 00";
    g_autoptr(dx_layout) l = page_layout(page);
    static const char *const names[] = { "USt-IdNr", NULL };
    static const char *const asks[] = { "seller_vat_id", "buyer_vat_id", NULL };
    g_autoptr(GArray) labels = dx_layout_labels(l, names);
    g_autoptr(GPtrArray) both = g_ptr_array_new();
    g_ptr_array_add(both, labels);
    g_ptr_array_add(both, labels);
    dx_context context = { 0 };
    dx_places places = { asks, both };
    dx_scene scene = { l, &context, &places, TRUE, FALSE, NULL };
    g_autoptr(GArray) clues = dx_clues_new();
    dx_clues_parties(&scene, clues);
    g_assert_cmpstr(best_of(clues, "seller_vat_id"), ==, "DE136695976");
    g_assert_cmpstr(best_of(clues, "buyer_vat_id"), ==, "DE129273398");
}

/* What stands behind the label of another tax number is no VAT number. */
static void test_other_numbers(void)
{
    static const struct {
        const char *page;
        gboolean is_against;
    } cases[] = {
        { "Bolte GmbH\nAm Hang 7\n37073 Göttingen\nSteuernummer 48 827 20523", TRUE },
        { "Hill Inc.\n4 Mill Lane\nDayton, OH 45402\nTax ID 90-1841999", FALSE }
    };
    static const char *const names[] = { "Steuernummer", "Tax ID", NULL };
    static const char *const asks[] = { "seller_tax_number", NULL };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        g_autoptr(GArray) labels = dx_layout_labels(l, names);
        g_autoptr(GPtrArray) one = g_ptr_array_new();
        g_ptr_array_add(one, labels);
        dx_context context = { 0 };
        dx_places places = { asks, one };
        dx_scene scene = { l, &context, &places, TRUE, FALSE, NULL };
        g_autoptr(GArray) clues = dx_clues_new();
        dx_clues_parties(&scene, clues);
        gboolean is_against = FALSE;
        for (guint k = 0; k < clues->len; k++) {
            const dx_clue *c = &g_array_index(clues, dx_clue, k);
            is_against |= strcmp(c->ask, "seller_vat_id") == 0 && c->score < 0;
        }
        g_assert_cmpint(is_against, ==, cases[i].is_against);
    }
}

static void test_papers(void)
{
    static const struct {
        const char *what, *page, *ask, *raw;
    } cases[] = {
        { "number in the heading", "HANDELSRECHNUNG (380) Nr. TX-4711 vom 30.10.2019",
          "invoice_number", "TX-4711" },
        { "day in the heading",
          "Stand 01.07.2020\nHANDELSRECHNUNG (380) Nr. TX-4711 vom 30.10.2019",
          "issue_date", "30.10.2019" },
        { "the day of another thing",
          "FAKTURA č. 2021-65 ze dne 16.12.2022\nDatum odeslání: 29.10.2022",
          "issue_date", "16.12.2022" },
        { "pay until", "Rechnung 7\nBitte überweisen Sie bis zum 30.05.2017.", "due_date",
          "30.05.2017" },
        { "a period is not due",
          "Invoice no. 7\nto be paid for the period until 30.05.2017", "due_date", NULL },
        { "a version is no number", "Viewer of the e-invoice 1.7", "invoice_number",
          NULL },
        { "a sentence beside a number", "Please pay within 21 days of invoice      5737",
          "invoice_number", NULL },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        g_autoptr(GArray) clues = clues_of(l, dx_clues_papers);
        g_assert_cmpstr(best_of(clues, cases[i].ask), ==, cases[i].raw);
    }
    /* the number of the paper that is corrected is not this one's */
    g_autoptr(dx_layout) l = page_layout("Credit note   G-12\nRelated invoice   R-4711");
    g_autoptr(GArray) clues = clues_of(l, dx_clues_papers);
    gboolean is_found = FALSE;
    for (guint i = 0; i < clues->len; i++) {
        const dx_clue *c = &g_array_index(clues, dx_clue, i);
        g_assert_true(strcmp(c->raw, "R-4711") != 0 || c->score < 0);
        is_found |= strcmp(c->raw, "R-4711") == 0;
    }
    g_assert_true(is_found);
}

static void test_shop(void)
{
    static const struct {
        const char *what, *page, *ask, *value;
    } cases[] = {
        { "the form of a company",
          "* * *\nBUNGA CAFE\nMAWAR SDN BHD (123456-X)\nNO 4, JALAN MAWAR\n43300 "
          "SERDANG, SELANGOR\nTel: 03-1234567\nTAX INVOICE",
          "merchant_name", "MAWAR SDN BHD" },
        { "address to the state",
          "BUNGA SDN BHD\nNO 4, JALAN MAWAR,\n4330O SERDANG,\nSELANGOR.\nTel: 03-1234567",
          "merchant_address", "NO 4, JALAN MAWAR, 43300 SERDANG, SELANGOR." },
        { "a greeting is no name", "Welcome\nBUNGA CAFE\nNO 4, JALAN MAWAR\nTel: 1",
          "merchant_name", "BUNGA CAFE" },
        { "a stamp above the print", "3/80300\nBUNGA CAFE\nNO 4, JALAN MAWAR\nTel: 1",
          "merchant_name", "BUNGA CAFE" },
        { "a name of two lines", "BUNGA BOOKS\nSDN BHD\nNO 4, JALAN MAWAR\nTel: 1",
          "merchant_name", "BUNGA BOOKS SDN BHD" },
        { "a name that goes on",
          "BUNGA HARDWARE &\nELECTRICAL\nNO 4, JALAN MAWAR\nTel: 1", "merchant_name",
          "BUNGA HARDWARE & ELECTRICAL" },
        { "a form with a letter lost",
          "BUNGA CAFE\nMAWAR SNBHD (383322-D)\nNO 4, JALAN MAWAR\nTel: 1",
          "merchant_name", "MAWAR SNBHD" },
        { "a company before a restaurant",
          "MELUR RESTAURANT\nMAWAR SDN BHD\nNO 4, JALAN MAWAR\nTel: 1", "merchant_name",
          "MAWAR SDN BHD" },
        { "a number before the name", "#0002 MAWAR SDN BHD\nNO 4, JALAN MAWAR\nTel: 1",
          "merchant_name", "MAWAR SDN BHD" },
        { "address behind a fact",
          "MAWAR SDN BHD\nBantong-2\nGST Reg No 000184401920\nJalan Tras 1\n28700 "
          "Bentong\nTel: 1",
          "merchant_address", "Jalan Tras 1, 28700 Bentong" },
        { "a plot's number is no postcode",
          "MAWAR SDN BHD\nLOT 34817 JALAN BATU\nTAMAN KOK\n51200 KUALA LUMPUR\nTel: 1",
          "merchant_address", "LOT 34817 JALAN BATU, TAMAN KOK, 51200 KUALA LUMPUR" },
        { "a colon in an address",
          "MAWAR SDN BHD\nPARADIGM PLAZA\nLOT NO.: 4F-27\nTel: 1", "merchant_address",
          "PARADIGM PLAZA, LOT NO.: 4F-27" },
        { "a label before an address",
          "MAWAR BHD\nADD: LOT 11995, JALAN KAPAR\n41400 KLANG\nDATE: 15/12/2016",
          "merchant_address", "LOT 11995, JALAN KAPAR, 41400 KLANG" },
        { "goods are no address, whatever company a smudge names",
          "RELAIS TOTAL OULMES\nAUTOROUTE RABAT MEKNES\n1500O KHEMISSET\nTel: 05.22\n"
          "CAFE CREME 12.00 2 24.00\nCAFE NOIR 10.00 2 20.00",
          "merchant_address", "AUTOROUTE RABAT MEKNES, 15000 KHEMISSET" },
        { "a branch before the plot",
          "MAWAR SDN BHD\nBUNGA One Phase 2\nLot S319, 2nd Floor\n47800 P.JAYA\nTel: 1",
          "merchant_address", "Lot S319, 2nd Floor, 47800 P.JAYA" },
        { "a register number is no postcode",
          "BUNGA SDN BHD\nBOTANY SHOP (95874)\nUNIT L1-044, JALAN MAWAR\n93350 KUCHING\n"
          "Tel: 1",
          "merchant_address", "UNIT L1-044, JALAN MAWAR, 93350 KUCHING" },
        { "the first line",
          "Bäckerei Lind\nWeg 3\n24937 Flensburg\nTel: 0461 1234\nKassenbon",
          "merchant_name", "Bäckerei Lind" },
        { "the only time", "Lipa\nSUMA    4,50\nKasa 2    17:26", "time", "17:26" },
        { "hours of business", "Lipa\n08:00 - 20:00\nSUMA    4,50", "time", NULL },
        { "a currency in a heading", "Lipa\nPrezzo (€)\nPane    4,50", "currency", "€" },
        { "two currencies", "Lipa\nEUR 4,50\nPLN 19,30", "currency", NULL },
        { "paid in cash", "Bäckerei Lind\nSumme    4,50\nBAR    10,00\nRückgeld    5,50",
          "payment_method", "BAR" },
        { "paid by card, the sum close to it",
          "Lipa\nRAZEM    4,50\nKarta płatnicza: 4,50 PLN", "payment_method",
          "Karta płatnicza" },
        { "a bar and a card for sale", "Bar Italia\nCard holder    12.00\nTotal    12.00",
          "payment_method", NULL },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        g_autoptr(dx_layout) l = page_layout(cases[i].page);
        g_autoptr(GArray) clues = clues_of(l, dx_clues_shop);
        g_assert_cmpstr(best_of(clues, cases[i].ask), ==, cases[i].value);
    }
}

static void test_tax_lines(void)
{
    static const struct {
        const char *line, *rate, *taxable, *tax;
    } cases[] = {
        { "VAT 20 % on 553.50   110.70", "20 %", "553.50", "110.70" },
        { "zzgl. 19 % MwSt.   160.55", "19 %", NULL, "160.55" },
        { "VAT 20 % on 553.50   111.70", NULL, NULL, NULL }, /* the rate does not hold */
        { "I.V.A. 23 %   98.19", "23 %", NULL, "98.19" },
        { "Discount 10 %   12.00", NULL, NULL, NULL },
        { "Total incl. VAT 20 %   664.20", NULL, NULL, NULL },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("line: %s", cases[i].line);
        g_autoptr(dx_layout) l = page_layout(cases[i].line);
        dx_context context = { 0 };
        dx_context_learn(&context, l->text, l->bytes);
        g_autoptr(GPtrArray) none = g_ptr_array_new();
        dx_places places = { no_asks, none };
        dx_scene scene = { l, &context, &places, TRUE, FALSE, NULL };
        g_autoptr(GArray) found = dx_tax_lines(&scene);
        g_assert_cmpuint(found->len, ==, cases[i].rate != NULL ? 1 : 0);
        if (found->len == 0)
            continue;
        const dx_tax_line *t = &g_array_index(found, dx_tax_line, 0);
        g_assert_cmpstr(t->rate, ==, cases[i].rate);
        g_assert_cmpstr(t->taxable, ==, cases[i].taxable);
        g_assert_cmpstr(t->tax, ==, cases[i].tax);
    }
}

static void test_lines(void)
{
    g_assert_true(dx_is_street("Am Hang 7"));
    g_assert_true(dx_is_street("Lange Straße"));
    g_assert_false(dx_is_street("Ann Moor"));
    g_assert_true(dx_is_street("pl. Wolności 7"));
    g_assert_true(dx_is_street("nám. Svobody 4"));
    g_assert_true(dx_has_legal_form("Bolte GmbH & Co. KG"));
    g_assert_true(dx_has_legal_form("Javor s. r. o."));
    g_assert_true(dx_has_legal_form("Lipa Sp. k."));
    g_assert_false(dx_has_legal_form("Sagamore"));
    g_assert_true(dx_is_fact("Tel: 030 1234"));
    g_assert_false(dx_is_fact("Ann Moor"));
    g_assert_true(dx_is_title("RECHNUNG"));
    g_assert_cmpint(dx_read_role("Bill to:"), ==, DX_ROLE_BUYER);
    g_assert_cmpint(dx_read_role("Verkäufer"), ==, DX_ROLE_SELLER);
    g_assert_cmpint(dx_read_role("Zhotovitel:"), ==, DX_ROLE_SELLER);
    g_assert_cmpint(dx_read_role("Kupujący"), ==, DX_ROLE_BUYER);
    g_assert_cmpint(dx_read_role("Místo určení:"), ==, DX_ROLE_OTHER);
    g_assert_cmpint(dx_read_role("Ship to"), ==, DX_ROLE_OTHER);
    g_assert_cmpint(dx_read_role("Towels Ltd"), ==, DX_ROLE_NONE);
    g_assert_cmpint(dx_read_role("Tax representative:"), ==, DX_ROLE_OTHER);
    g_assert_true(dx_is_fact("GLN: 4012345000009"));
    g_assert_true(dx_could_be_name("Ann Moor"));
    g_assert_false(dx_could_be_name("Nr: 04007"));
    g_assert_false(dx_could_be_name("Bill to"));
    g_assert_false(dx_could_be_name("- 12 -"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/clues/places", test_places);
    g_test_add_func("/clues/printed", test_printed);
    g_test_add_func("/clues/large_names", test_large_names);
    g_test_add_func("/clues/no_places", test_no_places);
    g_test_add_func("/clues/parties", test_parties);
    g_test_add_func("/clues/totals", test_totals);
    g_test_add_func("/clues/tax_numbers", test_tax_numbers);
    g_test_add_func("/clues/other_numbers", test_other_numbers);
    g_test_add_func("/clues/papers", test_papers);
    g_test_add_func("/clues/shop", test_shop);
    g_test_add_func("/clues/tax_lines", test_tax_lines);
    g_test_add_func("/clues/lines", test_lines);
    return g_test_run();
}

/*
 * test_extract.c - whole documents made by hand, through the shipped model.
 *
 * The pages come with a text layer, so that only the decoder runs.
 */
#include "dx.h"

#include "page.h"

typedef struct paper {
    const char *const *pages;
    gboolean is_broken; /* page() fails */
} paper;

static vl_model *model;
static dx_engine *engine;
static const char *schemas[2];

static gboolean give_page(void *user, uint32_t index, dx_page_facts *facts,
                          GError **error)
{
    const paper *p = user;
    *facts = (dx_page_facts){ .width_pt = PAGE_WIDTH,
                              .height_pt = PAGE_HEIGHT,
                              .has_text = TRUE };
    if (p->is_broken)
        g_set_error(error, DX_ERROR, DX_SOURCE, "page %u: torn", index + 1);
    return !p->is_broken;
}

static GArray *give_words(void *user, uint32_t index, GError **error)
{
    (void)error;
    return page_words(((const paper *)user)->pages[index]);
}

static json_t *extract(paper *p, uint32_t count, const char *name,
                       const dx_options *options, GError **error)
{
    g_autoptr(dx_schema) schema = dx_schema_load(name, schemas, NULL);
    g_assert_nonnull(schema);
    dx_source source = {
        .user = p, .page_count = count, .page = give_page, .words = give_words
    };
    return dx_extract(engine, &source, schema, options, error);
}

static const char *value(const json_t *fields, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    const json_t *at = fields;
    for (char **part = parts; *part != NULL; part++)
        at = json_is_array(at)
                 ? json_array_get(at, (gsize)g_ascii_strtoull(*part, NULL, 10))
                 : json_object_get(at, *part);
    return json_string_value(json_object_get(at, "value"));
}

static const char *const invoice[] = {
    "Bolte GmbH · Am Hang 7 · 37073 Göttingen\n\nEva Lind\nWeg 3\n24937 Flensburg\n\n"
    "Rechnung Nr. RE-204\nRechnungsdatum: 03.02.2026\nFällig am: 17.02.2026\n\n"
    "Beschreibung        Menge    Einzelpreis    Betrag\nSchrauben               2       "
    "  40,00      80,00\n\n"
    "Weitere Positionen auf Seite 2",
    "Beschreibung        Menge    Einzelpreis    Betrag\nMuttern                10       "
    "   2,00      20,00\n\n"
    "Nettobetrag   100,00\nMwSt 19 %   19,00\nGesamtbetrag   119,00 EUR\n\nUSt-IdNr.: "
    "DE136695976",
    NULL
};

/* Two pages: the sums stand on the second, the rows on both. */
static void test_invoice(void)
{
    static const char *const expected[][2] = {
        { "invoice_number", "RE-204" },
        { "issue_date", "2026-02-03" },
        { "due_date", "2026-02-17" },
        { "seller.name", "Bolte GmbH" },
        { "seller.address.city", "Göttingen" },
        { "buyer.name", "Eva Lind" },
        { "buyer.address.raw", "Weg 3, 24937, Flensburg, DE" },
        { "buyer.address.postcode", "24937" },
        { "totals.net_total", "100.00" },
        { "totals.tax_total", "19.00" },
        { "totals.gross_total", "119.00" },
        { "lines.0.name", "Schrauben" },
        { "lines.1.name", "Muttern" },
        { "lines.1.quantity", "10" },
        { "lines.1.net_amount", "20.00" },
    };
    g_autoptr(GError) error = NULL;
    paper p = { invoice, FALSE };
    dx_options options = { 0 };
    json_t *result = extract(&p, 2, "invoice", &options, &error);
    g_assert_no_error(error);
    const json_t *fields = json_object_get(result, "fields");
    for (gsize i = 0; i < G_N_ELEMENTS(expected); i++) {
        g_test_message("field: %s", expected[i][0]);
        g_assert_cmpstr(value(fields, expected[i][0]), ==, expected[i][1]);
    }
    g_assert_cmpuint(json_array_size(json_object_get(fields, "lines")), ==, 2);
    const json_t *gross =
        json_object_get(json_object_get(fields, "totals"), "gross_total");
    g_assert_cmpint(json_integer_value(json_object_get(gross, "page")), ==, 2);
    g_assert_cmpstr(json_string_value(json_object_get(gross, "source")), ==, "text");
    json_decref(result);
}

/* Polish and Czech: labels, dates in words and with blanks, amounts and currencies. */
static void test_polish_and_czech(void)
{
    static const struct {
        const char *page, *expected[14][2];
    } papers[] = {
        { "FAKTURA VAT\n\n"
          "Nr dokumentu:          FV/117/2026\nWystawiono dnia:       12 marca 2026 r.\n"
          "Data dostawy/wykonania usługi:   9 marca 2026\n"
          "Płatne do:             26 marca 2026\nZamówienie nr:         ZK-4410\n\n"
          "Sprzedający:\nLipa sp. z o.o.\nul. Polna 9\n30-059 Kraków\nNIP "
          "5260250995\n\n\n\n"
          "Zamawiający:\nJodła S.A.\nal. Wiśniowa 4\n50-126 Wrocław\n\n\n\n"
          "Nazwa towaru lub usługi     Ilość    Cena jedn. netto    Wart. netto\n"
          "Stół dębowy                     2              500,00       1 000,00\n\n"
          "Ogółem netto   1 000,00 zł\nSuma VAT         230,00 zł\n"
          "Suma brutto    1 230,00 zł\n",
          { { "invoice_number", "FV/117/2026" },
            { "issue_date", "2026-03-12" },
            { "delivery_date", "2026-03-09" },
            { "due_date", "2026-03-26" },
            { "purchase_order_number", "ZK-4410" },
            { "seller.name", "Lipa sp. z o.o." },
            { "seller.vat_id", "5260250995" },
            { "buyer.name", "Jodła S.A." },
            { "buyer.address.city", "Wrocław" },
            { "currency", "PLN" },
            { "totals.net_total", "1000.00" },
            { "totals.tax_total", "230.00" },
            { "totals.gross_total", "1230.00" },
            { "lines.0.net_amount", "1000.00" } } },
        { "FAKTURA - DAŇOVÝ DOKLAD\n\n"
          "Číslo daňového dokladu:   260117\nVystaveno:                12. 3. 2026\n"
          "Datum uskut. plnění:      9. 3. 2026\nDen splatnosti:           26. března "
          "2026\n"
          "Vaše objednávka:          OB-4410\n\n"
          "Zhotovitel:\nJavor s.r.o.\nLipová 2\n602 00 Brno\nDIČ CZ00006947\n\n\n\n"
          "Objednatel:\nBuk a.s.\nMasarykova 4\n150 00 Praha 5\n\n\n\n"
          "Označení dodávky     Množství    Cena za MJ    Celkem bez DPH\n"
          "Dubový stůl                 2       5 000,00         10 000,00\n\n"
          "Součet bez DPH   10 000,00 Kč\nCelkem DPH         2 100,00 Kč\n"
          "Celkem vč. DPH   12 100,00 Kč\n",
          { { "invoice_number", "260117" },
            { "issue_date", "2026-03-12" },
            { "delivery_date", "2026-03-09" },
            { "due_date", "2026-03-26" },
            { "purchase_order_number", "OB-4410" },
            { "seller.name", "Javor s.r.o." },
            { "seller.vat_id", "CZ00006947" },
            { "buyer.name", "Buk a.s." },
            { "buyer.address.city", "Praha 5" },
            { "currency", "CZK" },
            { "totals.net_total", "10000.00" },
            { "totals.tax_total", "2100.00" },
            { "totals.gross_total", "12100.00" },
            { "lines.0.net_amount", "10000.00" } } },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(papers); i++) {
        g_autoptr(GError) error = NULL;
        const char *pages[] = { papers[i].page, NULL };
        paper p = { pages, FALSE };
        dx_options options = { 0 };
        json_t *result = extract(&p, 1, "invoice", &options, &error);
        g_assert_no_error(error);
        const json_t *fields = json_object_get(result, "fields");
        for (gsize k = 0; k < G_N_ELEMENTS(papers[i].expected); k++) {
            g_test_message("paper %zu, field: %s", i, papers[i].expected[k][0]);
            g_assert_cmpstr(value(fields, papers[i].expected[k][0]), ==,
                            papers[i].expected[k][1]);
        }
        json_decref(result);
    }
}

/* Values are pieces of the page or absent, whatever the page says. */
static void test_nothing(void)
{
    static const char *const empty[] = { "", NULL };
    g_autoptr(GError) error = NULL;
    paper p = { empty, FALSE };
    dx_options options = { .text = DX_TEXT_ALWAYS };
    json_t *result = extract(&p, 1, "invoice", &options, &error);
    g_assert_no_error(error);
    g_assert_null(value(json_object_get(result, "fields"), "totals.gross_total"));
    g_assert_cmpstr(json_string_value(json_object_get(result, "status")), ==, "review");
    json_decref(result);
}

/* Without the copy mask values are written freely; a page that says little shows it. */
static void test_free(void)
{
    static const char *const pages[] = { "Invoice no. A-17\n\nTotal 12.00 EUR", NULL };
    for (int is_free = 0; is_free < 2; is_free++) {
        g_autoptr(GError) error = NULL;
        paper p = { pages, FALSE };
        dx_options options = { .text = DX_TEXT_ALWAYS, .is_free = is_free != 0 };
        json_t *result = extract(&p, 1, "invoice", &options, &error);
        g_assert_no_error(error);
        const json_t *fields = json_object_get(result, "fields");
        g_assert_cmpstr(value(fields, "invoice_number"), ==, "A-17");
        const json_t *box =
            json_object_get(json_object_get(fields, "invoice_number"), "bbox");
        g_assert_cmpuint(json_array_size(box), ==, 4);
        json_decref(result);
    }
}

static void test_failures(void)
{
    g_autoptr(GError) error = NULL;
    paper p = { invoice, TRUE };
    dx_options options = { 0 };
    g_assert_null(extract(&p, 1, "invoice", &options, &error));
    g_assert_error(error, DX_ERROR, DX_SOURCE);
    g_clear_error(&error);
    p.is_broken = FALSE;
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_cancellable_cancel(cancellable);
    options.cancellable = cancellable;
    g_assert_null(extract(&p, 1, "invoice", &options, &error));
    g_assert_error(error, DX_ERROR, DX_CANCELLED);
}

/* More pages than the limit: the result says that it is cut and wants a look. */
static void test_pages(void)
{
    for (uint32_t limit = 1; limit <= 2; limit++) {
        g_autoptr(GError) error = NULL;
        paper p = { invoice, FALSE };
        dx_options options = { .pages_max = limit };
        json_t *result = extract(&p, 2, "receipt", &options, &error);
        g_assert_no_error(error);
        g_assert_cmpint(json_is_true(json_object_get(result, "truncated")), ==,
                        limit < 2);
        json_decref(result);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    vl_error err = { 0 };
    vl_model_opts opts = { .threads = 2 };
    schemas[0] = g_getenv("DOCVL_TEST_SCHEMAS");
    model = vl_model_open(g_getenv("DOCVL_TEST_MODEL"), &opts, &err);
    if (model == NULL)
        g_error("%s", err.text);
    engine = dx_engine_new(model, NULL);
    g_test_add_func("/extract/invoice", test_invoice);
    g_test_add_func("/extract/polish-and-czech", test_polish_and_czech);
    g_test_add_func("/extract/nothing", test_nothing);
    g_test_add_func("/extract/free", test_free);
    g_test_add_func("/extract/failures", test_failures);
    g_test_add_func("/extract/pages", test_pages);
    int status = g_test_run();
    dx_engine_free(engine);
    vl_model_unref(model);
    return status;
}

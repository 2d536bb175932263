/*
 * test_titles.c - what a paper calls itself.
 */
#include "titles.h"

#include "page.h"

static const char *const classes[] = { "invoice",
                                       "credit note",
                                       "receipt",
                                       "purchase order",
                                       "delivery note",
                                       "quotation",
                                       "reminder",
                                       "bank statement",
                                       "payslip",
                                       "contract",
                                       "letter",
                                       "form",
                                       NULL };

/* The class that the headings of `page` speak for most; NULL when none is above 0. */
static const char *spoken_for(const char *page, double *worth)
{
    double logits[G_N_ELEMENTS(classes)] = { 0 };
    guint best = 0, count = g_strv_length((char **)classes);
    g_autoptr(GArray) words = page_words(page);
    g_autoptr(dx_layout) layout = page_layout(page);
    dx_title_scores(layout, words, classes, count, logits);
    for (guint i = 0; i < count; i++)
        best = logits[i] > logits[best] ? i : best;
    *worth = logits[best];
    return *worth > 0 ? classes[best] : NULL;
}

static void test_headings(void)
{
    static const struct {
        const char *page, *class;
    } cases[] = {
        { "Rechnung", "invoice" },
        { "RECHNUNG Nr. 2041", "invoice" },
        { "Mietrechnung Nr. 12", "invoice" },
        { "FACTUUR.", "invoice" },
        { "Danov\u00fd doklad", "invoice" },
        { "Stornorechnung", "credit note" },
        { "Facture d'avoir n 12", "credit note" },
        { "Gehaltsabrechnung", "payslip" },
        { "Bankabrechnung", NULL },
        { "Order", "purchase order" },
        { "Purchase Order # 4711", "purchase order" },
        { "Zam\u00f3wienie", "purchase order" },
        { "Bon de livraison", "delivery note" },
        { "Kostenvoranschlag", "quotation" },
        { "Wezwanie do zap\u0142aty", "reminder" },
        { "Estratto conto", "bank statement" },
        { "Huurovereenkomst", "contract" },
        { "Sehr geehrte Frau Lang,", "letter" },
        { "Aufnahmeantrag", "form" },
        /* Other papers' titles count for none of these. */
        { "Order confirmation", NULL },
        /* Within a sentence a word names no paper. */
        { "Invoice the sum of all hours to the head office", NULL },
        { "Orderly rooms", NULL },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        double worth;
        g_test_message("case: %zu", i);
        g_assert_cmpstr(spoken_for(cases[i].page, &worth), ==, cases[i].class);
    }
}

/* A title high on the page is worth more than one far down; both more than none. */
static void test_places(void)
{
    g_autofree char *low = g_strconcat(
        "Hill Ltd.\n", "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
        "\n\n\n\n\n\n\n\n\n\nInvoice", NULL);
    double high_worth, low_worth;
    g_assert_cmpstr(spoken_for("Invoice\nHill Ltd.", &high_worth), ==, "invoice");
    g_assert_cmpstr(spoken_for(low, &low_worth), ==, "invoice");
    g_assert_cmpfloat(high_worth, >, low_worth);
}

/* Labels of a user, in any language, mean the same classes. */
static void test_labels(void)
{
    g_assert_cmpstr(dx_title_class("Invoice"), ==, "invoice");
    g_assert_cmpstr(dx_title_class("Lieferschein"), ==, "delivery note");
    g_assert_cmpstr(dx_title_class("order"), ==, "purchase order");
    g_assert_cmpstr(dx_title_class("Mahnung"), ==, "reminder");
    g_assert_null(dx_title_class("holiday snap"));
    g_assert_null(dx_title_class("invoices of last year"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/titles/headings", test_headings);
    g_test_add_func("/titles/places", test_places);
    g_test_add_func("/titles/labels", test_labels);
    return g_test_run();
}

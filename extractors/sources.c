/*
 * sources.c - values from better sources than the page: e-invoices, other values.
 */
#include "extract.h"

#include "checks.h"
#include "einvoice.h"

#include <string.h>

#define UNTITLED 0.85 /* papers without a title that are plain invoices */

static json_t *xml_leaf(const json_t *value)
{
    return json_pack("{s:O, s:O, s:s, s:f, s:n, s:n}", "value", value, "raw", value,
                     "source", "xml", "confidence", 1.0, "page", "bbox");
}

static json_t *wrap(const json_t *node)
{
    if (json_is_object(node)) {
        json_t *out = json_object();
        const char *key;
        json_t *child;
        json_object_foreach((json_t *)node, key, child)
            json_object_set_new(out, key, wrap(child));
        return out;
    }
    if (json_is_array(node)) {
        json_t *out = json_array();
        gsize i;
        json_t *child;
        json_array_foreach((json_t *)node, i, child)
            json_array_append_new(out, wrap(child));
        return out;
    }
    return xml_leaf(node);
}

/* An e-invoice inside the PDF: nothing is read off the page then. */
gboolean dx_take_xml(dx_work *w)
{
    for (uint32_t i = 0; i < w->source->attachment_count; i++) {
        g_autofree char *name = NULL;
        g_autoptr(GBytes) content =
            w->source->attachment(w->source->user, i, &name, NULL);
        if (content == NULL || !dx_einvoice_sniff(name, content))
            continue;
        json_t *values = dx_einvoice_read(name, content, NULL, NULL);
        if (values == NULL)
            continue; /* an XML that is no invoice: the page is read as usual */
        json_t *wrapped = wrap(values);
        json_object_update_recursive(w->fields, wrapped);
        json_decref(wrapped);
        json_decref(values);
        return TRUE;
    }
    return FALSE;
}

/* The currency that amounts are printed with, when it is not named elsewhere. */
void dx_derive_currency(dx_work *w)
{
    static const char *const amounts[] = { "totals.gross_total", "totals.amount_due",
                                           "totals.net_total", "total", "subtotal" };
    json_t *have = dx_field_get(w->fields, "currency");
    if (have == NULL || !dx_is_null(have))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(amounts); i++) {
        const json_t *amount = dx_values_get(w->fields, amounts[i]) != NULL
                                   ? dx_field_get(w->fields, amounts[i])
                                   : NULL;
        const char *raw = json_string_value(json_object_get(amount, "raw"));
        const char *code = NULL;
        if (raw == NULL ||
            (dx_currency_prefix(raw, strlen(raw), &w->learnt, &code) == 0 &&
             dx_currency_suffix(raw, strlen(raw), &w->learnt, &code) == 0))
            continue;
        json_t *value = json_deep_copy(amount);
        json_object_set_new(value, "value", json_string(code));
        json_object_set_new(value, "source", json_string("derived"));
        dx_field_put(w->fields, "currency", value);
        return;
    }
}

/* A paper with an invoice number whose title says nothing else is an invoice. */
void dx_derive_type(dx_work *w)
{
    json_t *number = dx_field_get(w->fields, "invoice_number");
    const json_t *type = json_object_get(w->fields, "document_type");
    if (type == NULL || !dx_is_null(type) || number == NULL || dx_is_null(number))
        return;
    json_t *value = json_deep_copy(number);
    json_object_set_new(value, "value", json_string("invoice"));
    json_object_set_new(value, "raw", json_null());
    json_object_set_new(value, "source", json_string("derived"));
    json_object_set_new(value, "confidence", json_real(UNTITLED));
    json_object_set_new(w->fields, "document_type", value);
}

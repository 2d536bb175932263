/*
 * convert.c - other shapes of a result: plain values, and the minimal view as CSV.
 */
#include "app.h"

#include <string.h>

static gboolean is_leaf(const json_t *node)
{
    return json_is_object(node) && json_object_get(node, "value") != NULL &&
           json_object_get(node, "source") != NULL;
}

json_t *dp_plain(const json_t *node)
{
    if (is_leaf(node))
        return json_deep_copy(json_object_get(node, "value"));
    if (json_is_object(node)) {
        json_t *out = json_object();
        const char *key;
        json_t *child;
        json_object_foreach((json_t *)node, key, child)
            json_object_set_new(out, key, dp_plain(child));
        return out;
    }
    if (json_is_array(node)) {
        json_t *out = json_array();
        gsize i;
        json_t *child;
        json_array_foreach(node, i, child)
            json_array_append_new(out, dp_plain(child));
        return out;
    }
    return json_deep_copy(node);
}

static const struct {
    const char *name, *paths[3];
} columns[] = {
    { "number", { "invoice_number", "receipt_number", "form_number" } },
    { "date", { "issue_date", "date", NULL } },
    { "due_date", { "due_date", NULL, NULL } },
    { "name", { "seller.name", "merchant.name", "title" } },
    { "vat_id", { "seller.vat_id", "merchant.tax_number", NULL } },
    { "net_total", { "totals.net_total", "subtotal", NULL } },
    { "tax_total", { "totals.tax_total", "tax_total", NULL } },
    { "gross_total", { "totals.gross_total", "total", NULL } },
    { "currency", { "currency", NULL, NULL } },
    { "iban", { "payment.accounts.0.iban", NULL, NULL } },
};

static const json_t *at(const json_t *node, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    for (char **part = parts; *part != NULL && node != NULL; part++)
        node = json_is_array(node)
                   ? json_array_get(node, (gsize)g_ascii_strtoull(*part, NULL, 10))
                   : json_object_get(node, *part);
    return node;
}

/* RFC 4180; a leading sign that a spreadsheet would run as a formula gets a quote. */
void dp_csv_cell(GString *line, const char *text)
{
    if (line->len > 0)
        g_string_append_c(line, ',');
    /* Spreadsheets take these for formulas; a negative amount is none. */
    gboolean is_formula =
        *text != '\0' &&
        (strchr("=+@\t\r", *text) != NULL ||
         (*text == '-' && strspn(text, "-0123456789.,") != strlen(text)));
    if (!is_formula && strpbrk(text, ",\"\r\n") == NULL) {
        g_string_append(line, text);
        return;
    }
    g_string_append_c(line, '"');
    if (is_formula)
        g_string_append_c(line, '\'');
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"')
            g_string_append_c(line, '"');
        g_string_append_c(line, *c);
    }
    g_string_append_c(line, '"');
}

char *dp_csv_header(void)
{
    GString *line = g_string_new("file,schema");
    for (gsize i = 0; i < G_N_ELEMENTS(columns); i++)
        dp_csv_cell(line, columns[i].name);
    g_string_append(line, ",status,confidence_min,failed_checks");
    return g_string_free(line, FALSE);
}

static double least_confidence(const json_t *node)
{
    double least = 1;
    if (is_leaf(node)) {
        const json_t *c = json_object_get(node, "confidence");
        return json_is_number(c) && !json_is_null(json_object_get(node, "value"))
                   ? json_number_value(c)
                   : 1;
    }
    const char *key;
    json_t *child;
    gsize i;
    json_object_foreach((json_t *)node, key, child)
        least = MIN(least, least_confidence(child));
    json_array_foreach(node, i, child)
        least = MIN(least, least_confidence(child));
    return least;
}

char *dp_csv_line(const json_t *result)
{
    const json_t *fields = json_object_get(result, "fields");
    GString *line = g_string_new(NULL);
    const char *file = json_string_value(json_object_get(result, "file"));
    g_string_append(line, "");
    dp_csv_cell(line, file != NULL ? file : "");
    const char *schema = json_string_value(json_object_get(result, "schema"));
    g_autoptr(GString) cell = g_string_new(NULL); /* the name before it may be empty */
    dp_csv_cell(cell, schema != NULL ? schema : "");
    g_string_append_printf(line, ",%s", cell->str);
    for (gsize i = 0; i < G_N_ELEMENTS(columns); i++) {
        const char *text = NULL;
        for (gsize k = 0; k < 3 && columns[i].paths[k] != NULL && text == NULL; k++) {
            const json_t *node = at(fields, columns[i].paths[k]);
            text = json_string_value(json_object_get(node, "value"));
            if (text == NULL)
                text = json_string_value(node);
        }
        dp_csv_cell(line, text != NULL ? text : "");
    }
    const char *status = json_string_value(json_object_get(result, "status"));
    g_string_append_printf(line, ",%s,%.3f,", status != NULL ? status : "",
                           least_confidence(fields));
    g_autoptr(GString) failed = g_string_new(NULL);
    gsize i;
    json_t *check;
    json_array_foreach(json_object_get(result, "checks"), i, check)
        if (g_strcmp0(json_string_value(json_object_get(check, "result")), "fail") == 0)
            g_string_append_printf(failed, "%s%s", failed->len > 0 ? " " : "",
                                   json_string_value(json_object_get(check, "id")));
    g_string_append(line, failed->str);
    return g_string_free(line, FALSE);
}

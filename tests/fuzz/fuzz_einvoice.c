/*
 * fuzz_einvoice.c - any bytes as the XML inside a PDF.
 */
#include "einvoice.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(GBytes) content = g_bytes_new(data, bytes);
    g_autoptr(GError) error = NULL;
    const char *format = NULL;
    if (!dx_einvoice_sniff("factur-x.xml", content))
        return 0;
    json_t *fields = dx_einvoice_read("factur-x.xml", content, &format, &error);
    if ((fields == NULL) == (error == NULL) || (fields != NULL && format == NULL))
        g_error("neither an invoice nor an error, or both");
    json_decref(fields);
    return 0;
}

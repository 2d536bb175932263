/* sniff.c - the kind of a file by its first bytes, never by its name. */
#include "render_format.h"

#include <string.h>

#define PDF_WINDOW 1024u /* ISO 32000 readers accept junk before the header */

static gboolean starts_with(const uint8_t *data, size_t bytes, const char *magic,
                            size_t n)
{
    return bytes >= n && memcmp(data, magic, n) == 0;
}

static gboolean is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* A PDF whose header line is lost still begins with an object: "1 0 obj". */
static gboolean has_object(const uint8_t *data, size_t bytes)
{
    const uint8_t *at = memmem(data, bytes, " obj", 4);
    size_t i = at == NULL ? 0 : (size_t)(at - data);
    if (i < 3 || !is_digit(data[i - 1]))
        return FALSE;
    while (i > 0 && is_digit(data[i - 1]))
        i--;
    return i >= 2 && data[i - 1] == ' ' && is_digit(data[i - 2]);
}

gboolean dp_sniff(const uint8_t *data, size_t bytes, dp_file_kind *kind)
{
    static const struct {
        const char *magic;
        size_t n;
        dp_file_kind kind;
    } magics[] = {
        { "\x89PNG\r\n\x1a\n", 8, DP_FILE_PNG },
        { "\xff\xd8\xff", 3, DP_FILE_JPEG },
        { "II*\0", 4, DP_FILE_TIFF },
        { "MM\0*", 4, DP_FILE_TIFF },
        { "II+\0", 4, DP_FILE_TIFF },
        { "MM\0+", 4, DP_FILE_TIFF },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(magics); i++) {
        if (starts_with(data, bytes, magics[i].magic, magics[i].n)) {
            *kind = magics[i].kind;
            return TRUE;
        }
    }
    size_t window = MIN(bytes, PDF_WINDOW);
    if (data != NULL && window > 0 && /* gcc sees a NULL that has no bytes */
        (memmem(data, window, "%PDF-", 5) != NULL || has_object(data, window))) {
        *kind = DP_FILE_PDF;
        return TRUE;
    }
    return FALSE;
}

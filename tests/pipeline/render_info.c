/*
 * render_info.c - one line per file: kind, pages, size of the first page, words, error.
 *
 * For measuring over a folder; every page is asked for and drawn small.
 */
#include "render.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char *const codes[] = { "ok",      "unreadable", "encrypted", "limit",
                                     "crashed", "temporary",  "internal" };

static gboolean look(dp_document *document, uint32_t *words, uint32_t *damaged,
                     GError **error)
{
    const dp_document_info *info = dp_document_get_info(document);
    for (uint32_t i = 0; i < info->page_count; i++) {
        dp_page_info page;
        if (!dp_document_page_info(document, i, &page, error))
            return FALSE;
        double scale = 800.0 / MAX(page.width_pt, page.height_pt);
        g_autoptr(dp_pixels) pixels =
            dp_document_render(document, i, (uint32_t)MAX(1, page.width_pt * scale),
                               (uint32_t)MAX(1, page.height_pt * scale), 1, error);
        if (pixels == NULL)
            return FALSE;
        *damaged += pixels->is_damaged ? 1 : 0;
        g_autoptr(GArray) text = dp_document_text(document, i, error);
        if (text == NULL)
            return FALSE;
        *words += text->len;
    }
    g_autoptr(GArray) fields = dp_document_fields(document, error);
    return fields != NULL;
}

static void report(const char *path)
{
    g_autoptr(GError) error = NULL;
    gint64 start = g_get_monotonic_time();
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_autoptr(dp_document) document = dp_document_open(fd, path, NULL, &error);
    dp_page_info page = { 0 };
    uint32_t words = 0, damaged = 0, pages = 0, fields = 0, files = 0;
    const char *mime = "-";
    if (document != NULL) {
        const dp_document_info *info = dp_document_get_info(document);
        mime = info->mime;
        pages = info->page_count;
        fields = info->field_count;
        files = info->attachment_count;
        (void)look(document, &words, &damaged, &error);
        (void)dp_document_page_info(document, 0, &page, NULL); /* zeros when it fails */
    }
    printf("%s\t%s\t%u\t%.0fx%.0f\t%ux%u\t%.0f\t%u\t%s\t%u\t%u\t%u\t%d\t%s\t%s\n", path,
           mime, pages, page.width_pt, page.height_pt, page.width_px, page.height_px,
           page.scan_dpi, words, page.is_text_hidden ? "hidden" : "-", fields, files,
           damaged, (int)((g_get_monotonic_time() - start) / 1000),
           codes[error == NULL ? 0 : error->code], error == NULL ? "" : error->message);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        report(argv[i]);
    return 0;
}

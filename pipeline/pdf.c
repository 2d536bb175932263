/*
 * pdf.c - PDF through poppler-glib: pixels, words with boxes, embedded files, form fields.
 */
#include "pages.h"

#include <cairo.h>
#include <math.h>
#include <poppler.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(PopplerPage, g_object_unref)

static gboolean pdf_page(dp_pages *pages, uint32_t index, dp_render_reply *r, GError **error)
{
    g_autoptr(PopplerPage) page = poppler_document_get_page(pages->state, (int)index);
    if (page == NULL)
        return dp_bad(error, DP_RENDER_UNREADABLE, "the page cannot be read");
    poppler_page_get_size(page, &r->width_pt, &r->height_pt);
    g_autofree char *text = poppler_page_get_text(page);
    for (const char *c = text; c != NULL && *c != '\0' && !r->has_text; c++)
        r->has_text = !g_ascii_isspace(*c);
    if (!(r->width_pt >= 1 && r->height_pt >= 1 && r->width_pt < 1e6 && r->height_pt < 1e6))
        return dp_bad(error, DP_RENDER_UNREADABLE, "a page of %g x %g points", r->width_pt, r->height_pt);
    return TRUE;
}

static gboolean pdf_render(dp_pages *pages, const dp_render_request *q, dp_raster *out, GError **error)
{
    dp_render_reply facts = { 0 };
    if (!pdf_page(pages, q->page, &facts, error))
        return FALSE;
    double width = q->width > 0 ? q->width : ceil(facts.width_pt * 200 / 72);
    double height = q->height > 0 ? q->height : ceil(facts.height_pt * 200 / 72);
    if (!dp_size_check((uint64_t)width, (uint64_t)height, q, error))
        return FALSE;
    g_autoptr(PopplerPage) page = poppler_document_get_page(pages->state, (int)q->page);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    if (cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(surface);
        return dp_bad(error, DP_RENDER_LIMIT, "no memory for %.0f x %.0f pixels", width, height);
    }
    cairo_t *cr = cairo_create(surface);
    cairo_set_source_rgb(cr, 1, 1, 1);
    cairo_paint(cr);
    cairo_scale(cr, width / facts.width_pt, height / facts.height_pt);
    poppler_page_render(page, cr);
    cairo_destroy(cr);
    cairo_surface_flush(surface);
    const uint8_t *from = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    *out = (dp_raster){ g_malloc((gsize)width * (gsize)height * q->channels), (uint32_t)width,
                        (uint32_t)height, q->channels };
    uint8_t *to = out->data;
    for (uint32_t y = 0; y < out->height; y++)
        for (uint32_t x = 0; x < out->width; x++) {
            uint32_t p;
            memcpy(&p, from + (gsize)y * (gsize)stride + 4 * (gsize)x, 4);
            uint32_t r = p >> 16 & 255, g = p >> 8 & 255, b = p & 255;
            if (q->channels == 1) {
                *to++ = (uint8_t)((r * 19595 + g * 38470 + b * 7471 + 32768) >> 16);
            } else {
                *to++ = (uint8_t)r;
                *to++ = (uint8_t)g;
                *to++ = (uint8_t)b;
            }
        }
    cairo_surface_destroy(surface);
    return TRUE;
}

static void append_number(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    g_ascii_formatd(text, sizeof text, "%.6f", value);
    g_string_append(out, text);
    g_string_append_c(out, ' ');
}

typedef struct span {
    double x0, y0, x1, y1;
    GString *text;
} span;

static void flush_word(GString *out, span *word, double width, double height, uint32_t *count)
{
    if (word->text->len > 0 && word->x1 >= word->x0 && word->y1 >= word->y0) {
        append_number(out, word->x0 / width);
        append_number(out, word->y0 / height);
        append_number(out, word->x1 / width);
        append_number(out, word->y1 / height);
        append_number(out, (word->y1 - word->y0) / height);
        out->str[out->len - 1] = '\t';
        g_string_append_len(out, word->text->str, (gssize)word->text->len);
        g_string_append_c(out, '\n');
        (*count)++;
    }
    g_string_truncate(word->text, 0);
}

static GString *pdf_text(dp_pages *pages, uint32_t index, uint32_t words_max, GError **error)
{
    dp_render_reply facts = { 0 };
    if (!pdf_page(pages, index, &facts, error))
        return NULL;
    g_autoptr(PopplerPage) page = poppler_document_get_page(pages->state, (int)index);
    GString *out = g_string_new(NULL);
    g_autofree char *text = poppler_page_get_text(page);
    PopplerRectangle *boxes = NULL;
    guint box_count = 0, i = 0;
    uint32_t count = 0;
    if (text == NULL || !poppler_page_get_text_layout(page, &boxes, &box_count))
        return out;
    span word = { .text = g_string_new(NULL) };
    for (const char *c = text; *c != '\0' && i < box_count; c = g_utf8_next_char(c), i++) {
        gunichar u = g_utf8_get_char(c);
        const PopplerRectangle *b = &boxes[i];
        if (g_unichar_isspace(u) || g_unichar_iscntrl(u) || u == 0xfffd) {
            flush_word(out, &word, facts.width_pt, facts.height_pt, &count);
            continue;
        }
        /* Poppler writes neighbouring blocks without a blank: look at the places too. */
        double high = MAX(word.y1 - word.y0, b->y2 - b->y1);
        gboolean is_apart = b->x1 > word.x1 + 0.22 * high || b->x2 < word.x0 - 0.22 * high ||
                            fabs(b->y1 + b->y2 - word.y0 - word.y1) > high;
        if (word.text->len > 0 && is_apart)
            flush_word(out, &word, facts.width_pt, facts.height_pt, &count);
        if (word.text->len == 0)
            word = (span){ b->x1, b->y1, b->x2, b->y2, word.text };
        word.x0 = MIN(word.x0, b->x1);
        word.y0 = MIN(word.y0, b->y1);
        word.x1 = MAX(word.x1, b->x2);
        word.y1 = MAX(word.y1, b->y2);
        g_string_append_unichar(word.text, u);
        if (count >= words_max) {
            g_string_free(out, TRUE);
            out = NULL;
            dp_bad(error, DP_RENDER_LIMIT, "over %u words", words_max);
            break;
        }
    }
    if (out != NULL)
        flush_word(out, &word, facts.width_pt, facts.height_pt, &count);
    g_string_free(word.text, TRUE);
    g_free(boxes);
    return out;
}

typedef struct collector {
    GByteArray *bytes;
    gsize limit;
} collector;

static gboolean collect(const gchar *data, gsize count, gpointer user, GError **error)
{
    collector *c = user;
    if (c->bytes->len + count > c->limit)
        return dp_bad(error, DP_RENDER_LIMIT, "an attachment over %zu bytes", c->limit);
    g_byte_array_append(c->bytes, (const guint8 *)data, (guint)count);
    return TRUE;
}

static GBytes *pdf_attachment(dp_pages *pages, const dp_render_request *q, char **name, GError **error)
{
    GList *list = poppler_document_get_attachments(pages->state);
    PopplerAttachment *a = g_list_nth_data(list, q->index);
    collector c = { g_byte_array_new(), q->attachment_max };
    gboolean is_ok = a != NULL && poppler_attachment_save_to_callback(a, collect, &c, error);
    if (is_ok && a->name != NULL) {
        g_autofree char *base = g_path_get_basename(a->name);
        *name = g_utf8_make_valid(base, -1);
    }
    g_list_free_full(list, g_object_unref);
    if (is_ok)
        return g_byte_array_free_to_bytes(c.bytes);
    g_byte_array_free(c.bytes, TRUE);
    return NULL;
}

static char *one_line(const char *text)
{
    char *line = g_utf8_make_valid(text != NULL ? text : "", -1);
    return g_strdelimit(line, "\t\r\n", ' ');
}

static void append_field(GString *out, PopplerFormField *f, const PopplerRectangle *box,
                         int page_index, double width, double height)
{
    PopplerFormFieldType type = poppler_form_field_get_field_type(f);
    g_autofree char *name_raw = poppler_form_field_get_name(f);
    g_autofree char *value_raw = NULL;
    const char *kind = "t";
    if (type == POPPLER_FORM_FIELD_TEXT)
        value_raw = poppler_form_field_text_get_text(f);
    else if (type == POPPLER_FORM_FIELD_CHOICE && !poppler_form_field_choice_get_n_items(f))
        return;
    else if (type == POPPLER_FORM_FIELD_CHOICE)
        value_raw = poppler_form_field_choice_get_text(f);
    else if (type == POPPLER_FORM_FIELD_BUTTON &&
             poppler_form_field_button_get_button_type(f) != POPPLER_FORM_BUTTON_PUSH) {
        kind = "c";
        value_raw = g_strdup(poppler_form_field_button_get_state(f) ? "checked" : "unchecked");
    }
    if (value_raw == NULL || *value_raw == '\0' || name_raw == NULL)
        return;
    g_autofree char *name = one_line(name_raw);
    g_autofree char *value = one_line(value_raw);
    append_number(out, MIN(box->x1, box->x2) / width);
    append_number(out, 1 - MAX(box->y1, box->y2) / height);
    append_number(out, MAX(box->x1, box->x2) / width);
    append_number(out, 1 - MIN(box->y1, box->y2) / height);
    g_string_append_printf(out, "%d\t%s\t%s\t%s\n", page_index, kind, name, value);
}

static GString *pdf_fields(dp_pages *pages, GError **error)
{
    GString *out = g_string_new(NULL);
    for (uint32_t i = 0; i < pages->count; i++) {
        g_autoptr(PopplerPage) page = poppler_document_get_page(pages->state, (int)i);
        if (page == NULL)
            continue;
        double width, height;
        poppler_page_get_size(page, &width, &height);
        GList *list = poppler_page_get_form_field_mapping(page);
        for (GList *at = list; at != NULL && width > 0 && height > 0; at = at->next) {
            PopplerFormFieldMapping *m = at->data;
            append_field(out, m->field, &m->area, (int)i, width, height);
        }
        poppler_page_free_form_field_mapping(list);
    }
    return out;
}

static gboolean has_form(PopplerDocument *document, uint32_t count)
{
    for (uint32_t i = 0; i < MIN(count, 20); i++) {
        g_autoptr(PopplerPage) page = poppler_document_get_page(document, (int)i);
        GList *list = page != NULL ? poppler_page_get_form_field_mapping(page) : NULL;
        gboolean has = list != NULL;
        poppler_page_free_form_field_mapping(list);
        if (has)
            return TRUE;
    }
    return FALSE;
}

gboolean dp_pdf_open(dp_pages *pages, const dp_render_request *q, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GBytes) bytes = g_bytes_new_static(pages->bytes, pages->length);
    PopplerDocument *document = poppler_document_new_from_bytes(bytes, NULL, &why);
    if (document == NULL && g_error_matches(why, POPPLER_ERROR, POPPLER_ERROR_ENCRYPTED)) {
        pages->is_encrypted = TRUE;
        g_clear_error(&why);
        document = poppler_document_new_from_bytes(bytes, q->password, &why);
        if (document == NULL)
            return dp_bad(error, DP_RENDER_ENCRYPTED, "encrypted, and no password given opens it");
    }
    if (document == NULL)
        return dp_bad(error, DP_RENDER_UNREADABLE, "damaged PDF (%s)", why != NULL ? why->message : "");
    int count = poppler_document_get_n_pages(document);
    pages->state = document;
    pages->count = count > 0 ? (uint32_t)count : 0;
    if (pages->count > 0 && pages->count <= q->pages_max) {
        GList *list = poppler_document_has_attachments(document)
                          ? poppler_document_get_attachments(document) : NULL;
        pages->attachment_count = MIN(g_list_length(list), 1000);
        g_list_free_full(list, g_object_unref);
        pages->field_count = has_form(document, pages->count);
    }
    pages->page = pdf_page;
    pages->render = pdf_render;
    pages->text = pdf_text;
    pages->attachment = pdf_attachment;
    pages->fields = pdf_fields;
    return TRUE;
}

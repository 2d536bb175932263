/*
 * pdf_text.c - what a PDF says in characters: its words, filled fields and files.
 *
 * Results are records in the wire format, built here once and copied to the reply.
 */
#include "pdf.h"
#include "render_proto.h"

#include <math.h>
#include <string.h>

/* A box in fractions of the page, origin top left. */
typedef struct box {
    double x0, y0, x1, y1;
} box;

static double fraction(double value, double whole)
{
    double f = value / whole;
    return isfinite(f) ? CLAMP(f, 0.0, 1.0) : 0.0;
}

static box box_of(const PopplerRectangle *r, double width, double height)
{
    return (box){ fraction(MIN(r->x1, r->x2), width), fraction(MIN(r->y1, r->y2), height),
                  fraction(MAX(r->x1, r->x2), width),
                  fraction(MAX(r->y1, r->y2), height) };
}

static box box_union(box a, box b)
{
    return (box){ MIN(a.x0, b.x0), MIN(a.y0, b.y0), MAX(a.x1, b.x1), MAX(a.y1, b.y1) };
}

static void put_box(uint8_t *at, box b)
{
    dp_put_double(at, b.x0);
    dp_put_double(at + 8, b.y0);
    dp_put_double(at + 16, b.x1);
    dp_put_double(at + 24, b.y1);
}

static gboolean check_records(const GByteArray *records, uint32_t page_index,
                              GError **error)
{
    if (records->len <= DP_RECORDS_BYTES_MAX)
        return TRUE;
    g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                "page %u: more than %u bytes of text", page_index + 1,
                DP_RECORDS_BYTES_MAX);
    return FALSE;
}

static void add_word(GByteArray *records, const GString *word, box b, double font_size)
{
    uint8_t head[DP_WORD_RECORD_BYTES];
    dp_put32(head, (uint32_t)word->len);
    put_box(head + 4, b);
    dp_put_double(head + 36, font_size);
    g_byte_array_append(records, head, sizeof head);
    g_byte_array_append(records, (const uint8_t *)word->str, (guint)word->len);
}

/* Walks the runs of equal font size next to the characters. */
typedef struct sizes {
    GList *list, *at;
    double page_height;
} sizes;

static double size_at(sizes *s, int index)
{
    while (s->at != NULL && ((PopplerTextAttributes *)s->at->data)->end_index < index)
        s->at = s->at->next;
    if (s->at == NULL)
        return 0;
    double size = ((PopplerTextAttributes *)s->at->data)->font_size / s->page_height;
    return isfinite(size) && size > 0 ? MIN(size, 1.0) : 0;
}

typedef struct words {
    GByteArray *records;
    GString *word;
    box at;
    double font_size;
    uint32_t count;
} words;

static void end_word(words *w)
{
    if (w->word->len == 0)
        return;
    add_word(w->records, w->word, w->at, w->font_size);
    g_string_truncate(w->word, 0);
    w->count++;
}

/* Does `b` stand too far from the word `a` to belong to it?  Places decide where the
 * text has no blank; a fifth of the print's size is no gap inside a word.  Words may run
 * in any direction. */
static gboolean is_apart(box a, box b, double width, double height)
{
    double size = MAX((b.x1 - b.x0) * width, (b.y1 - b.y0) * height);
    double gap_x = MAX(b.x0 - a.x1, a.x0 - b.x1) * width;
    double gap_y = MAX(b.y0 - a.y1, a.y0 - b.y1) * height;
    return MAX(gap_x, gap_y) > 0.22 * size;
}

static void split_words(const char *text, const PopplerRectangle *boxes,
                        uint32_t box_count, double width, double height, sizes *s,
                        uint32_t words_max, words *w)
{
    uint32_t i = 0;
    for (const char *p = text; *p != '\0' && i < box_count;
         p = g_utf8_next_char(p), i++) {
        gunichar c = g_utf8_get_char(p);
        if (g_unichar_isspace(c) || g_unichar_iscntrl(c)) {
            end_word(w);
            continue;
        }
        if (w->word->len + 8 > DP_WORD_BYTES_MAX)
            end_word(w);
        if (w->count > words_max || w->records->len > DP_RECORDS_BYTES_MAX)
            return;
        box b = box_of(&boxes[i], width, height);
        /* Poppler writes neighbouring blocks without a blank between them. */
        if (w->word->len > 0 && is_apart(w->at, b, width, height))
            end_word(w);
        gboolean is_first = w->word->len == 0;
        w->at = is_first ? b : box_union(w->at, b);
        if (is_first)
            w->font_size = size_at(s, (int)i);
        g_string_append_unichar(w->word, c);
    }
    end_word(w);
}

GByteArray *dp_pdf_text(dp_pdf *pdf, uint32_t page_index, uint32_t *count, GError **error)
{
    g_autoptr(PopplerPage) page = dp_pdf_page(pdf, page_index, error);
    if (page == NULL)
        return NULL;
    double width, height;
    poppler_page_get_size(page, &width, &height);
    g_autofree char *text = poppler_page_get_text(page);
    g_autofree char *valid = g_utf8_make_valid(text == NULL ? "" : text, -1);
    g_autofree PopplerRectangle *boxes = NULL;
    guint box_count = 0;
    (void)poppler_page_get_text_layout(page, &boxes, &box_count); /* none: no words */
    sizes s = { .list = poppler_page_get_text_attributes(page), .page_height = height };
    s.at = s.list;
    words w = { .records = g_byte_array_new(), .word = g_string_new(NULL) };
    uint32_t words_max = pdf->source->limits.words_max;
    split_words(valid, boxes, box_count, width, height, &s, words_max, &w);
    poppler_page_free_text_attributes(s.list);
    g_string_free(w.word, TRUE);
    *count = w.count;
    gboolean is_good = check_records(w.records, page_index, error);
    if (is_good && w.count > words_max) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "page %u: more than %u words, "
                    "the limit",
                    page_index + 1, words_max);
        is_good = FALSE;
    }
    if (!is_good)
        g_clear_pointer(&w.records, g_byte_array_unref);
    return w.records;
}

/* Valid UTF-8 without control characters (line ends of a value become blanks). */
static char *clean(const char *text, size_t bytes_max)
{
    g_autofree char *valid = g_utf8_make_valid(text == NULL ? "" : text, -1);
    GString *out = g_string_new(NULL);
    for (const char *p = valid; *p != '\0' && out->len + 6 < bytes_max;
         p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        g_string_append_unichar(out, g_unichar_iscntrl(c) ? ' ' : c);
    }
    return g_strstrip(g_string_free(out, FALSE));
}

/* The value of a filled field, or NULL. */
static char *field_value(PopplerFormField *field, gboolean *is_choice)
{
    *is_choice = FALSE;
    switch (poppler_form_field_get_field_type(field)) {
    case POPPLER_FORM_FIELD_BUTTON:
        if (poppler_form_field_button_get_button_type(field) == POPPLER_FORM_BUTTON_PUSH)
            return NULL;
        *is_choice = TRUE;
        return g_strdup(poppler_form_field_button_get_state(field) ? "checked"
                                                                   : "unchecked");
    case POPPLER_FORM_FIELD_TEXT:
        return poppler_form_field_text_is_password(field)
                   ? NULL
                   : poppler_form_field_text_get_text(field);
    case POPPLER_FORM_FIELD_CHOICE: {
        if (poppler_form_field_choice_get_choice_type(field) ==
                POPPLER_FORM_CHOICE_COMBO &&
            poppler_form_field_choice_is_editable(field)) {
            char *typed = poppler_form_field_choice_get_text(field);
            if (typed != NULL)
                return typed;
        }
        int n = poppler_form_field_choice_get_n_items(field);
        for (int i = 0; i < n; i++) {
            if (poppler_form_field_choice_is_item_selected(field, i))
                return poppler_form_field_choice_get_item(field, i);
        }
        return NULL;
    }
    default:
        return NULL;
    }
}

/* A field that takes something written; one that is empty is told too. */
static gboolean is_entry(PopplerFormField *field)
{
    PopplerFormFieldType type = poppler_form_field_get_field_type(field);
    return type == POPPLER_FORM_FIELD_CHOICE ||
           (type == POPPLER_FORM_FIELD_TEXT &&
            !poppler_form_field_text_is_password(field));
}

/* A rectangle of the unrotated crop box on the page turned by quarters clockwise,
 * origin top left.  width and height are those after the turn. */
static PopplerRectangle turn(PopplerRectangle r, int quarters, double width,
                             double height)
{
    PopplerRectangle t;
    switch (quarters) {
    case 1:
        t = (PopplerRectangle){ r.y1, r.x1, r.y2, r.x2 };
        break;
    case 2:
        t = (PopplerRectangle){ width - r.x2, r.y1, width - r.x1, r.y2 };
        break;
    case 3:
        t = (PopplerRectangle){ width - r.y2, height - r.x2, width - r.y1,
                                height - r.x1 };
        break;
    default:
        t = (PopplerRectangle){ r.x1, height - r.y2, r.x2, height - r.y1 };
    }
    return t;
}

static gboolean is_near(const PopplerRectangle *a, const PopplerRectangle *b)
{
    return fabs(MIN(a->x1, a->x2) - MIN(b->x1, b->x2)) < 0.5 &&
           fabs(MIN(a->y1, a->y2) - MIN(b->y1, b->y2)) < 0.5;
}

/* Poppler gives annotations turned and fields not, and does not name the turn: it is
 * the one that lays most fields on an annotation. */
static int find_turn(PopplerPage *page, GList *fields, double width, double height)
{
    GList *annots = poppler_page_get_annot_mapping(page);
    int best = 0;
    uint32_t best_hits = 0;
    for (int q = 0; q < 4; q++) {
        uint32_t hits = 0, tried = 0;
        for (GList *f = fields; f != NULL && tried < 16; f = f->next, tried++) {
            PopplerRectangle r =
                turn(((PopplerFormFieldMapping *)f->data)->area, q, width, height);
            uint32_t looked = 0;
            for (GList *a = annots; a != NULL && looked < 1000; a = a->next, looked++) {
                PopplerRectangle at = ((PopplerAnnotMapping *)a->data)->area;
                at = turn(at, 0, width, height);
                if (is_near(&r, &at)) {
                    hits++;
                    break;
                }
            }
        }
        if (hits > best_hits) {
            best = q;
            best_hits = hits;
        }
    }
    poppler_page_free_annot_mapping(annots);
    return best;
}

static gboolean add_field(PopplerFormFieldMapping *m, int quarters, double width,
                          double height, uint32_t page_index, GByteArray *records)
{
    gboolean is_choice;
    g_autofree char *raw = field_value(m->field, &is_choice);
    g_autofree char *value = clean(raw, DP_WORD_BYTES_MAX);
    if (*value == '\0' && !is_entry(m->field))
        return FALSE;
    g_autofree char *raw_hint = poppler_form_field_get_alternate_ui_name(m->field);
    g_autofree char *hint = clean(raw_hint, DP_NAME_BYTES_MAX);
    g_autofree char *raw_name = poppler_form_field_get_name(m->field);
    g_autofree char *name = clean(raw_name, DP_NAME_BYTES_MAX);
    PopplerRectangle r = turn(m->area, quarters, width, height);
    uint8_t head[DP_FIELD_RECORD_BYTES];
    dp_put32(head, (uint32_t)strlen(name));
    dp_put32(head + 4, (uint32_t)strlen(value));
    dp_put32(head + 8, is_choice ? 1 : 0);
    dp_put32(head + 12, page_index);
    dp_put32(head + 16, (uint32_t)strlen(hint));
    put_box(head + 20, box_of(&r, width, height));
    g_byte_array_append(records, head, sizeof head);
    g_byte_array_append(records, (const uint8_t *)name, (guint)strlen(name));
    g_byte_array_append(records, (const uint8_t *)value, (guint)strlen(value));
    g_byte_array_append(records, (const uint8_t *)hint, (guint)strlen(hint));
    return TRUE;
}

static gboolean add_page_fields(dp_pdf *pdf, uint32_t page_index, GByteArray *records,
                                uint32_t *count, GError **error)
{
    g_autoptr(PopplerPage) page = dp_pdf_page(pdf, page_index, NULL);
    if (page == NULL)
        return TRUE; /* a damaged page reports itself when it is asked for */
    double width, height;
    poppler_page_get_size(page, &width, &height);
    /* Poppler lists them last to first. */
    GList *list = g_list_reverse(poppler_page_get_form_field_mapping(page));
    int quarters = list == NULL ? 0 : find_turn(page, list, width, height);
    for (GList *at = list; at != NULL && *count <= DP_FIELDS_MAX; at = at->next)
        *count += add_field(at->data, quarters, width, height, page_index, records);
    poppler_page_free_form_field_mapping(list);
    if (*count > DP_FIELDS_MAX) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "page %u: more than %u form fields, the limit", page_index + 1,
                    DP_FIELDS_MAX);
        return FALSE;
    }
    return check_records(records, page_index, error);
}

GByteArray *dp_pdf_fields(dp_pdf *pdf, uint32_t *count, GError **error)
{
    g_autoptr(GByteArray) records = g_byte_array_new();
    *count = 0;
    /* Without a form there are no pages to walk. */
    if (memmem(pdf->source->data, pdf->source->bytes, "/AcroForm", 9) == NULL &&
        memmem(pdf->source->data, pdf->source->bytes, "/ObjStm", 7) == NULL)
        return g_steal_pointer(&records);
    for (uint32_t i = 0; i < pdf->page_count; i++) {
        if (!add_page_fields(pdf, i, records, count, error))
            return NULL;
    }
    return g_steal_pointer(&records);
}

typedef struct sink {
    GByteArray *bytes;
    uint64_t bytes_max; /* of the whole array */
    gboolean is_over;
} sink;

static gboolean save(const char *data, gsize n, gpointer user, GError **error)
{
    sink *s = user;
    if (n > s->bytes_max - s->bytes->len) {
        s->is_over = TRUE;
        g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_LIMIT, "too large");
        return FALSE;
    }
    g_byte_array_append(s->bytes, (const uint8_t *)data, (guint)n);
    return TRUE;
}

static char *attachment_name(PopplerAttachment *attachment, uint32_t index)
{
    g_autofree char *name =
        clean(poppler_attachment_get_name(attachment), DP_NAME_BYTES_MAX);
    const char *base = name;
    for (const char *p = name; *p != '\0'; p++) {
        if (*p == '/' || *p == '\\')
            base = p + 1;
    }
    if (*base == '\0' || g_str_equal(base, ".") || g_str_equal(base, ".."))
        return g_strdup_printf("attachment-%u", index + 1);
    return g_strdup(base);
}

GByteArray *dp_pdf_attachment(dp_pdf *pdf, uint32_t index, uint32_t *name_bytes,
                              GError **error)
{
    PopplerAttachment *attachment = g_list_nth_data(pdf->attachments, index);
    g_assert(attachment != NULL);
    g_autofree char *name = attachment_name(attachment, index);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_byte_array_append(bytes, (const uint8_t *)name, (guint)strlen(name));
    *name_bytes = bytes->len;
    uint64_t limit = pdf->source->limits.attachment_max;
    sink s = { bytes, limit + bytes->len, FALSE };
    if (poppler_attachment_save_to_callback(attachment, save, &s, NULL))
        return g_steal_pointer(&bytes);
    if (s.is_over)
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                    "attachment %u: more than %" G_GUINT64_FORMAT " bytes, the limit",
                    index + 1, limit);
    else
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                    "attachment %u: damaged", index + 1);
    return NULL;
}

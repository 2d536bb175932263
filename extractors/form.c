/*
 * form.c - the fields and tick boxes of a form as rows of its lists.
 *
 * A PDF that can be filled in says itself what its fields hold: nothing is asked then.
 * What the page adds is the printed caption of each field.  Tick boxes of other pages are
 * looked for in the text and on the picture.
 */
#include "extract.h"
#include "form.h"

#include <string.h>

#define DRAWN_DPI    200.0 /* of a PDF page that is looked at for tick boxes */
#define CAPTION_LONG 80    /* letters */
#define SURE_TICK    0.95
#define DOUBT_TICK   0.5
#define SAID         0.99 /* the file itself says it */

static gboolean is_list(const dx_list_leaf *l, const char *value)
{
    gboolean has_label = FALSE, has_value = FALSE;
    for (guint i = 0; i < l->leaves->len; i++) {
        const char *ask = g_array_index(l->leaves, dx_leaf, i).ask;
        has_label |= strcmp(ask, "label") == 0;
        has_value |= strcmp(ask, value) == 0;
    }
    return has_label && has_value;
}

static const dx_list_leaf *list_of(const dx_work *w, const char *value)
{
    for (guint i = 0; i < w->lists->len; i++)
        if (is_list(g_ptr_array_index(w->lists, i), value))
            return g_ptr_array_index(w->lists, i);
    return NULL;
}

void dx_form_open(dx_work *w)
{
    if (w->source->fields != NULL && list_of(w, "value") != NULL &&
        w->options->text != DX_TEXT_NEVER)
        w->form = w->source->fields(w->source->user, NULL);
}

/* Something on this page was filled in. */
static gboolean is_filled(const dx_work *w, uint32_t number)
{
    for (guint i = 0; w->form != NULL && i < w->form->len; i++) {
        const dx_form_field *f = &g_array_index(w->form, dx_form_field, i);
        if (f->page_index + 1 == number && *f->value != '\0' &&
            strcmp(f->value, "unchecked") != 0)
            return TRUE;
    }
    return FALSE;
}

gboolean dx_form_takes(const dx_work *w, const dx_list_leaf *list, const dx_page *p)
{
    return is_list(list, "state") || (is_list(list, "value") && is_filled(w, p->number));
}

/* ---- rows ------------------------------------------------------------------------ */

static json_t *leaf_of(const char *value, const char *raw, const char *source,
                       double confidence, uint32_t page, const dx_box *b)
{
    return json_pack("{s:s, s:s?, s:s, s:f, s:i, s:[f, f, f, f]}", "value", value, "raw",
                     raw, "source", source, "confidence", confidence, "page", (int)page,
                     "bbox", b->x0, b->y0, b->x1, b->y1);
}

/* A row with all the list's members; what is not given is null. */
static void add_row(dx_work *w, const dx_list_leaf *list, json_t *given)
{
    json_t *row = json_object();
    for (guint i = 0; i < list->leaves->len; i++) {
        const dx_leaf *l = &g_array_index(list->leaves, dx_leaf, i);
        json_t *leaf = json_object_get(given, l->ask);
        dx_field_put(row, l->path, leaf != NULL ? json_incref(leaf) : dx_null_leaf());
    }
    json_t *name = json_object_get(given, "name"); /* x-derived, so no leaf of the list */
    if (name != NULL)
        json_object_set(row, "name", name);
    json_decref(given);
    json_array_append_new(dx_field_get(w->fields, list->path), row);
}

/* The last part of a name: "topmostSubform[0].Page1[0].f1_2[0]" is "f1_2". */
static char *short_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    char *text = g_strdup(dot != NULL ? dot + 1 : name);
    char *bracket = strchr(text, '[');
    if (bracket != NULL && bracket > text)
        *bracket = '\0';
    return text;
}

static GArray *prints_of(const dx_work *w, const dx_page *p)
{
    GArray *prints = g_array_new(FALSE, FALSE, sizeof(dx_print));
    for (guint i = 0; i < p->words->len; i++) {
        const dx_word *word = &g_array_index(p->words, dx_word, i);
        dx_box box = { word->x0, word->y0, word->x1, word->y1 };
        dx_print print = { .text = word->text, .box = dx_page_box(p, &box) };
        double x = (print.box.x0 + print.box.x1) / 2,
               y = (print.box.y0 + print.box.y1) / 2;
        for (guint k = 0; w->form != NULL && k < w->form->len; k++) {
            const dx_form_field *f = &g_array_index(w->form, dx_form_field, k);
            if (f->page_index + 1 == p->number && x > f->x0 && x < f->x1 && y > f->y0 &&
                y < f->y1 && (f->is_choice || strstr(f->value, word->text) != NULL))
                print.is_entry = TRUE;
        }
        if (*word->text != '\0')
            g_array_append_val(prints, print);
    }
    return prints;
}

static void add_field(dx_work *w, const dx_list_leaf *list, const dx_form_field *f,
                      const char *caption)
{
    dx_box box = { f->x0, f->y0, f->x1, f->y1 };
    uint32_t page = f->page_index + 1;
    g_autofree char *name = short_name(f->name);
    gboolean is_long = caption != NULL && strlen(caption) > CAPTION_LONG;
    if (*f->hint != '\0' && is_long && strlen(f->hint) < strlen(caption))
        caption = NULL; /* a sentence that stands there by chance */
    const char *label = caption != NULL ? caption : *f->hint != '\0' ? f->hint : name;
    json_t *row = json_object();
    json_object_set_new(
        row, "label",
        leaf_of(label, caption, "text", caption != NULL ? SURE_TICK : SAID, page, &box));
    json_object_set_new(row, "name", leaf_of(f->name, NULL, "text", SAID, page, &box));
    if (*f->value != '\0')
        json_object_set_new(row, f->is_choice ? "state" : "value",
                            leaf_of(f->value, f->value, "text", SAID, page, &box));
    add_row(w, list, row);
}

static void add_tick(dx_work *w, const dx_list_leaf *list, const dx_page *p,
                     const dx_tick *tick, const char *caption)
{
    static const char *const states[] = { "unchecked", "checked", "unclear" };
    json_t *row = json_object();
    const char *source = p->is_read ? "vlm" : "text";
    json_object_set_new(
        row, "label",
        leaf_of(caption, caption, source, SURE_TICK, p->number, &tick->box));
    json_object_set_new(row, "state",
                        leaf_of(states[tick->state], NULL, source,
                                tick->state == DX_TICK_UNCLEAR ? DOUBT_TICK : SURE_TICK,
                                p->number, &tick->box));
    add_row(w, list, row);
}

/* ---- pages ----------------------------------------------------------------------- */

static int by_height(gconstpointer a, gconstpointer b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double letter_height(const GArray *prints)
{
    g_autoptr(GArray) heights = g_array_new(FALSE, FALSE, sizeof(double));
    for (guint i = 0; i < prints->len; i++) {
        const dx_box *b = &g_array_index(prints, dx_print, i).box;
        double h = (b->y1 - b->y0) * 0.8;
        g_array_append_val(heights, h);
    }
    g_array_sort(heights, by_height);
    return heights->len > 0 ? g_array_index(heights, double, heights->len / 2) : 0.01;
}

/* Tick boxes off the picture; none when it lies on its side. */
static GArray *look(dx_work *w, const dx_page *p, double width_pt, double height_pt,
                    const GArray *prints, GError **error)
{
    const dx_source *s = w->source;
    uint32_t width, height, index = p->number - 1;
    vl_image image;
    if (p->text != NULL && vl_text_upright(p->text).quarters != 0)
        return g_array_new(FALSE, FALSE, sizeof(dx_tick));
    if (!s->picture_size(s->user, index, &width, &height, error))
        return NULL;
    gboolean is_drawn = width == 0;
    if (!s->picture(s->user, index, is_drawn ? (uint32_t)(width_pt * DRAWN_DPI / 72) : 0,
                    is_drawn ? (uint32_t)(height_pt * DRAWN_DPI / 72) : 0, &image, error))
        return NULL;
    return dx_ticks_drawn(&image, letter_height(prints));
}

/* A frame inside a word is one of its letters; only the reader takes a box at the start of
 * a caption for a letter of it. */
static void drop_letters(GArray *ticks, const GArray *prints, gboolean is_read)
{
    for (guint i = ticks->len; i-- > 0;) {
        const dx_box *b = &g_array_index(ticks, dx_tick, i).box;
        double x = (b->x0 + b->x1) / 2, y = (b->y0 + b->y1) / 2, wide = b->x1 - b->x0;
        gboolean is_letter = FALSE;
        for (guint k = 0; k < prints->len && !is_letter; k++) {
            const dx_box *o = &g_array_index(prints, dx_print, k).box;
            is_letter = x > o->x0 && x < o->x1 && y > o->y0 && y < o->y1 &&
                        o->x1 - o->x0 > 1.6 * wide && (!is_read || x > o->x0 + wide);
        }
        if (is_letter)
            g_array_remove_index(ticks, i);
    }
}

static gboolean add_ticks(dx_work *w, const dx_page *p, const dx_list_leaf *list,
                          GArray *prints, GError **error)
{
    double width, height;
    gboolean has_text;
    if (!w->source->page(w->source->user, p->number - 1, &width, &height, &has_text,
                         error))
        return FALSE;
    g_autoptr(GArray) ticks = dx_ticks_set(prints);
    if (ticks->len == 0 && w->options->text != DX_TEXT_ALWAYS) {
        g_clear_pointer(&ticks, g_array_unref);
        ticks = look(w, p, width, height, prints, error);
        if (ticks == NULL)
            return FALSE;
    }
    g_autoptr(GArray) boxes = g_array_new(FALSE, FALSE, sizeof(dx_box));
    drop_letters(ticks, prints, p->is_read);
    for (guint i = 0; i < ticks->len; i++)
        g_array_append_val(boxes, g_array_index(ticks, dx_tick, i).box);
    for (guint i = 0; i < prints->len; i++) { /* a cross read as a letter is no caption */
        dx_print *print = &g_array_index(prints, dx_print, i);
        double x = (print->box.x0 + print->box.x1) / 2,
               y = (print->box.y0 + print->box.y1) / 2;
        for (guint k = 0; k < boxes->len; k++) {
            const dx_box *b = &g_array_index(boxes, dx_box, k);
            print->is_entry |= x > b->x0 && x < b->x1 && y > b->y0 && y < b->y1;
        }
    }
    for (guint i = 0; i < ticks->len; i++) {
        const dx_tick *tick = &g_array_index(ticks, dx_tick, i);
        dx_spot spot = { tick->box, TRUE, boxes, width / MAX(height, 1) };
        g_autofree char *caption = dx_caption(prints, &spot);
        if (caption != NULL) /* a frame that nothing names is decoration */
            add_tick(w, list, p, tick, caption);
    }
    return TRUE;
}

gboolean dx_form_page(dx_work *w, const dx_page *p, GError **error)
{
    const dx_list_leaf *values = list_of(w, "value"), *states = list_of(w, "state");
    if (values == NULL && states == NULL)
        return TRUE;
    g_autoptr(GArray) prints = prints_of(w, p);
    g_autoptr(GArray) boxes = g_array_new(FALSE, FALSE, sizeof(dx_box));
    for (guint i = 0; w->form != NULL && i < w->form->len; i++) {
        const dx_form_field *f = &g_array_index(w->form, dx_form_field, i);
        dx_box box = { f->x0, f->y0, f->x1, f->y1 };
        if (f->page_index + 1 == p->number)
            g_array_append_val(boxes, box);
    }
    double width = 1, height = 1;
    gboolean has_text, has_choice = FALSE;
    if (!w->source->page(w->source->user, p->number - 1, &width, &height, &has_text,
                         error))
        return FALSE;
    for (guint i = 0; w->form != NULL && i < w->form->len; i++) {
        const dx_form_field *f = &g_array_index(w->form, dx_form_field, i);
        const dx_list_leaf *list = f->is_choice && states != NULL ? states : values;
        if (f->page_index + 1 != p->number || list == NULL)
            continue;
        has_choice |= f->is_choice;
        dx_spot spot = {
            { f->x0, f->y0, f->x1, f->y1 }, f->is_choice, boxes, width / MAX(height, 1)
        };
        g_autofree char *caption = dx_caption(prints, &spot);
        add_field(w, list, f, caption);
    }
    return states == NULL || has_choice || add_ticks(w, p, states, prints, error);
}

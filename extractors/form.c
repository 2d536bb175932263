/*
 * form.c - the fields and tick boxes of a form as rows of its lists.
 *
 * A PDF that can be filled in says itself what its fields hold: nothing is asked then.
 * What the page adds is the printed caption of each field.  On other pages captions and
 * entries are told apart by their places and the ruled lines (entries.c), and tick boxes
 * are looked for in the text and on the picture.
 */
#include "extract.h"
#include "form.h"

#include <math.h>
#include <string.h>

#define CAPTION_LONG 80 /* letters */
#define SURE_TICK    0.95
#define DOUBT_TICK   0.5
#define SAID         0.99   /* the file itself says it */
#define ENTRIES_MIN  2u     /* fewer are chance: the model is asked */
#define WALL         3.0    /* ems of the least upright line between boxes */
#define EXPECTED     (-0.4) /* logits of an entry that is just worth naming */

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
    return is_list(list, "state") ||
           (is_list(list, "value") &&
            (is_filled(w, p->number) || w->entries_page == p->number));
}

/* ---- rows ------------------------------------------------------------------------ */

static json_t *leaf_of(const char *value, const char *raw, const char *source,
                       double confidence, uint32_t page, const dx_box *b)
{
    return json_pack("{s:s, s:s?, s:s, s:f, s:i, s:[f, f, f, f]}", "value", value, "raw",
                     raw, "source", source, "confidence", confidence, "page", (int)page,
                     "bbox", b->x0, b->y0, b->x1, b->y1);
}

/* "Date of birth (MM-DD)" is "date_of_birth_mm_dd". */
static char *slug_of(const char *label)
{
    GString *slug = g_string_new(NULL);
    for (const char *c = label; *c != '\0'; c = g_utf8_next_char(c)) {
        gunichar u = g_unichar_tolower(g_utf8_get_char(c));
        if (g_unichar_isalnum(u))
            g_string_append_unichar(slug, u);
        else if (slug->len > 0 && slug->str[slug->len - 1] != '_')
            g_string_append_c(slug, '_');
    }
    if (slug->len > 0 && slug->str[slug->len - 1] == '_')
        g_string_truncate(slug, slug->len - 1);
    return g_string_free(slug, FALSE);
}

/* The second of a name in a list has "_2". */
static char *key_of(dx_work *w, const dx_list_leaf *list, const char *label)
{
    g_autofree char *slug = slug_of(label);
    if (w->form_keys == NULL)
        w->form_keys = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *name = g_strdup_printf("%s/%s", list->path, slug);
    for (;;) { /* a number is tried once only, so this ends soon */
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(w->form_keys, name)) + 1;
        g_hash_table_insert(w->form_keys, g_strdup(name), GUINT_TO_POINTER(n));
        if (n == 1)
            return g_steal_pointer(&slug);
        char *key = g_strdup_printf("%s_%u", slug, n);
        g_autofree char *other = g_strdup_printf("%s/%s", list->path, key);
        if (!g_hash_table_contains(w->form_keys, other)) {
            g_hash_table_insert(w->form_keys, g_steal_pointer(&other),
                                GUINT_TO_POINTER(1));
            return key;
        }
        g_free(key);
    }
}

/* A row with all the list's members; what is not given is null. */
static void add_row(dx_work *w, const dx_list_leaf *list, json_t *given)
{
    json_t *row = json_object(), *rows = dx_field_get(w->fields, list->path);
    for (guint i = 0; i < list->leaves->len; i++) {
        const dx_leaf *l = &g_array_index(list->leaves, dx_leaf, i);
        json_t *leaf = json_object_get(given, l->ask);
        dx_field_put(row, l->path, leaf != NULL ? json_incref(leaf) : dx_null_leaf());
    }
    json_t *label = json_object_get(given, "label"), *key = json_copy(label);
    g_autofree char *text =
        key_of(w, list, json_string_value(json_object_get(label, "value")));
    json_object_set_new(key, "value", json_string(text));
    json_object_set_new(key, "raw", json_null());
    json_object_set_new(key, "source", json_string("derived"));
    json_object_set_new(row, "key", key);
    json_t *name = json_object_get(given, "name"); /* x-derived, so no leaf of the list */
    if (name != NULL)
        json_object_set(row, "name", name);
    json_decref(given);
    json_array_append_new(rows, row);
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

/* Words on the page that the file shows, or on the upright one. */
static GArray *prints_of(const dx_work *w, const dx_page *p, gboolean is_upright)
{
    GArray *prints = g_array_new(FALSE, FALSE, sizeof(dx_print));
    for (guint i = 0; i < p->words->len; i++) {
        const dx_word *word = &g_array_index(p->words, dx_word, i);
        dx_box box = { word->x0, word->y0, word->x1, word->y1 };
        dx_print print = { .text = word->text,
                           .box = is_upright ? box : dx_page_box(p, &box),
                           .em = word->em,
                           .prob = word->prob };
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
                      const char *caption, const dx_box *place)
{
    dx_box box = { f->x0, f->y0, f->x1, f->y1 };
    uint32_t page = f->page_index + 1;
    g_autofree char *name = short_name(f->name);
    gboolean is_long = caption != NULL && strlen(caption) > CAPTION_LONG;
    if (*f->hint != '\0' && is_long && strlen(f->hint) < strlen(caption))
        caption = NULL; /* a sentence that stands there by chance */
    const char *label = caption != NULL ? caption : *f->hint != '\0' ? f->hint : name;
    json_t *row = json_object();
    json_object_set_new(row, "label",
                        leaf_of(label, caption, "text",
                                caption != NULL ? SURE_TICK : SAID, page,
                                caption != NULL ? place : &box));
    json_object_set_new(row, "name", leaf_of(f->name, NULL, "text", SAID, page, &box));
    if (*f->value != '\0')
        json_object_set_new(row, f->is_choice ? "state" : "value",
                            leaf_of(f->value, f->value, "text", SAID, page, &box));
    add_row(w, list, row);
}

static void add_tick(dx_work *w, const dx_list_leaf *list, const dx_page *p,
                     const dx_tick *tick, const char *caption, const dx_box *place)
{
    static const char *const states[] = { "unchecked", "checked", "unclear" };
    json_t *row = json_object();
    const char *source = p->is_read ? "vlm" : "text";
    dx_box box = dx_page_box(p, &tick->box), label_box = dx_page_box(p, place);
    json_object_set_new(
        row, "label",
        leaf_of(caption, caption, source, SURE_TICK, p->number, &label_box));
    json_object_set_new(row, "state",
                        leaf_of(states[tick->state], NULL, source,
                                tick->state == DX_TICK_UNCLEAR ? DOUBT_TICK : SURE_TICK,
                                p->number, &box));
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

/* A page that boxes and lines are looked for on. */
typedef struct sheet {
    const dx_page *page;
    double aspect;  /* width / height */
    GArray *prints; /* on the upright page */
    dx_ink *ink;    /* NULL when the text layer alone is wanted */
} sheet;

static void sheet_clear(sheet *s)
{
    g_clear_pointer(&s->prints, g_array_unref);
    g_clear_pointer(&s->ink, dx_ink_free);
}

static gboolean sheet_open(dx_work *w, const dx_page *p, sheet *out, GError **error)
{
    const dx_source *s = w->source;
    dx_page_facts facts = { 0 };
    vl_image image;
    if (!s->page(s->user, p->number - 1, &facts, error))
        return FALSE;
    *out = (sheet){ .page = p, .aspect = facts.width_pt / MAX(facts.height_pt, 1) };
    if (w->options->text != DX_TEXT_ALWAYS) {
        if (!s->picture(s->user, p->number - 1, 0, 0, &image, error))
            return FALSE;
        out->ink = dx_ink_new(&image, p->text);
        out->aspect = (double)out->ink->width / out->ink->height;
    }
    out->prints = prints_of(w, p, TRUE);
    return TRUE;
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

/* Upright lines part captions as other boxes do. */
static void add_walls(const sheet *s, GArray *boxes)
{
    double em = letter_height(s->prints) * 1.4;
    if (s->ink == NULL)
        return;
    double w = s->ink->width, h = s->ink->height;
    g_autoptr(GArray) walls = dx_ink_rules(s->ink, TRUE, WALL * em * h, 0.3 * em * h);
    for (guint i = 0; i < walls->len; i++) {
        const dx_rule *r = &g_array_index(walls, dx_rule, i);
        dx_box box = { (r->at - 1) / w, r->from / h, (r->at + 1) / w, r->to / h };
        g_array_append_val(boxes, box);
    }
}

static void add_ticks(dx_work *w, const dx_list_leaf *list, sheet *s)
{
    g_autoptr(GArray) ticks = dx_ticks_set(s->prints);
    if (ticks->len == 0 && s->ink != NULL) {
        g_clear_pointer(&ticks, g_array_unref);
        ticks = dx_ticks_drawn(s->ink, letter_height(s->prints) * s->ink->height);
    }
    g_autoptr(GArray) boxes = g_array_new(FALSE, FALSE, sizeof(dx_box));
    drop_letters(ticks, s->prints, s->page->is_read);
    for (guint i = 0; i < ticks->len; i++)
        g_array_append_val(boxes, g_array_index(ticks, dx_tick, i).box);
    add_walls(s, boxes);
    for (guint i = 0; i < s->prints->len;
         i++) { /* a cross read as a letter is no caption */
        dx_print *print = &g_array_index(s->prints, dx_print, i);
        double x = (print->box.x0 + print->box.x1) / 2,
               y = (print->box.y0 + print->box.y1) / 2;
        for (guint k = 0; k < boxes->len; k++) {
            const dx_box *b = &g_array_index(boxes, dx_box, k);
            print->is_entry |= x > b->x0 && x < b->x1 && y > b->y0 && y < b->y1;
        }
    }
    for (guint i = 0; i < ticks->len; i++) {
        const dx_tick *tick = &g_array_index(ticks, dx_tick, i);
        dx_spot spot = { tick->box, TRUE, boxes, s->aspect };
        dx_box place;
        g_autofree char *caption = dx_caption(s->prints, &spot, &place);
        if (caption != NULL) /* a frame that nothing names is decoration */
            add_tick(w, list, s->page, tick, caption, &place);
    }
}

static void add_entries(dx_work *w, const dx_list_leaf *list, const sheet *s)
{
    const dx_page *p = s->page;
    g_autoptr(GArray) entries = dx_entries(s->prints, s->ink, s->aspect);
    if (entries->len < ENTRIES_MIN)
        return;
    w->entries_page = p->number;
    for (guint i = 0; i < entries->len; i++) {
        const dx_entry *e = &g_array_index(entries, dx_entry, i);
        dx_box label_box = dx_page_box(p, &e->label_box),
               value_box = dx_page_box(p, &e->value_box);
        double belongs = 1 / (1 + exp(-(EXPECTED + 0.6 * e->worth)));
        const char *source = p->is_read ? "vlm" : "text";
        json_t *row = json_object();
        json_object_set_new(row, "label",
                            leaf_of(e->label, e->label, source,
                                    CLAMP(belongs, 0.05, SURE_TICK), p->number,
                                    &label_box));
        json_object_set_new(row, "value",
                            leaf_of(e->value, e->value, source,
                                    CLAMP(belongs * e->prob, 0.05, SURE_TICK), p->number,
                                    &value_box));
        add_row(w, list, row);
    }
}

/* The fields of this page that the file itself has; TRUE in *has_choice when some are boxes
 * to tick. */
static gboolean add_own(dx_work *w, const dx_page *p, const dx_list_leaf *values,
                        const dx_list_leaf *states, gboolean *has_choice, GError **error)
{
    g_autoptr(GArray) prints = prints_of(w, p, FALSE);
    g_autoptr(GArray) boxes = g_array_new(FALSE, FALSE, sizeof(dx_box));
    for (guint i = 0; w->form != NULL && i < w->form->len; i++) {
        const dx_form_field *f = &g_array_index(w->form, dx_form_field, i);
        dx_box box = { f->x0, f->y0, f->x1, f->y1 };
        if (f->page_index + 1 == p->number)
            g_array_append_val(boxes, box);
    }
    dx_page_facts facts = { 0 };
    if (!w->source->page(w->source->user, p->number - 1, &facts, error))
        return FALSE;
    double aspect = facts.width_pt / MAX(facts.height_pt, 1);
    for (guint i = 0; w->form != NULL && i < w->form->len; i++) {
        const dx_form_field *f = &g_array_index(w->form, dx_form_field, i);
        const dx_list_leaf *list = f->is_choice && states != NULL ? states : values;
        if (f->page_index + 1 != p->number || list == NULL)
            continue;
        *has_choice |= f->is_choice;
        dx_spot spot = { { f->x0, f->y0, f->x1, f->y1 }, f->is_choice, boxes, aspect };
        dx_box place;
        g_autofree char *caption = dx_caption(prints, &spot, &place);
        add_field(w, list, f, caption, &place);
    }
    return TRUE;
}

gboolean dx_form_page(dx_work *w, const dx_page *p, GError **error)
{
    const dx_list_leaf *values = list_of(w, "value"), *states = list_of(w, "state");
    if (values == NULL && states == NULL)
        return TRUE;
    gboolean has_choice = FALSE;
    if (!add_own(w, p, values, states, &has_choice, error))
        return FALSE;
    gboolean is_read = values != NULL && !is_filled(w, p->number);
    if ((states == NULL || has_choice) && !is_read)
        return TRUE;
    sheet s;
    if (!sheet_open(w, p, &s, error))
        return FALSE;
    if (states != NULL && !has_choice)
        add_ticks(w, states, &s);
    if (is_read)
        add_entries(w, values, &s);
    sheet_clear(&s);
    return TRUE;
}

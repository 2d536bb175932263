/*
 * extract.c - from pages and a schema to the envelope: read, ask, normalise, locate, check.
 */
#include "extract.h"

#include "checks.h"

#include <string.h>

#define CELL_GAP 1.0 /* ems between two cells of a row */

/* ---- engine ------------------------------------------------------------------------- */

dx_engine *dx_engine_new(vl_model *model, GError **error)
{
    if (vl_token_special(model, VL_TOKEN_ASSISTANT) < 0 ||
        vl_token_special(model, VL_TOKEN_USER) < 0) {
        g_set_error(error, DX_ERROR, DX_MODEL, "the tokenizer lacks the chat tokens");
        return NULL;
    }
    dx_engine *engine = g_new0(dx_engine, 1);
    engine->model = vl_model_ref(model);
    engine->vocab = dx_vocab_from_model(model);
    return engine;
}

void dx_engine_free(dx_engine *engine)
{
    if (engine == NULL)
        return;
    dx_vocab_unref(engine->vocab);
    vl_model_unref(engine->model);
    g_free(engine);
}

static gboolean is_stopped(const dx_options *options, GError **error)
{
    if (!g_cancellable_is_cancelled(options->cancellable))
        return FALSE;
    g_set_error(error, DX_ERROR, DX_CANCELLED, "cancelled");
    return TRUE;
}

void dx_tell(const dx_options *options, const char *stage, uint32_t number,
             uint32_t count)
{
    if (options->progress != NULL)
        options->progress(options->user, stage, number, count);
}

/* ---- pages -------------------------------------------------------------------------- */

static void clear_word(gpointer data)
{
    g_free(((dx_word *)data)->text);
}

void dx_page_free(dx_page *p)
{
    if (p == NULL)
        return;
    g_clear_pointer(&p->words, g_array_unref);
    dx_layout_free(p->layout);
    vl_text_free(p->text);
    vl_vision_unref(p->vision);
    g_free(p);
}

/* A text layer is used when it looks like text: enough words, most of them of letters and
 * digits.  A broken encoding gives rows of signs. */
static gboolean is_sound(const GArray *words)
{
    guint good = 0;
    for (guint i = 0; i < words->len; i++) {
        const char *text = g_array_index(words, dx_word, i).text;
        gboolean is_good = FALSE;
        for (const char *c = text; *c != '\0' && !is_good; c = g_utf8_next_char(c))
            is_good = g_unichar_isalnum(g_utf8_get_char(c));
        good += is_good;
    }
    return words->len >= 5 && good * 2 > words->len;
}

/* Lines and leaders come out of the text head as runs of dashes. */
static gboolean is_rule(const char *text)
{
    gsize length = strlen(text);
    return strspn(text, "_=~.-*") == length &&
           (length > 1 || strchr("_=~.", *text) != NULL);
}

/* What the text head read, as fractions of the upright page. */
static void take_words(dx_page *p)
{
    size_t count;
    const vl_word *words = vl_text_words(p->text, &count);
    vl_upright u = vl_text_upright(p->text);
    for (size_t i = 0; i < count; i++) {
        if (is_rule(words[i].text))
            continue;
        dx_word word = { .text = g_strdup(words[i].text),
                         .x0 = CLAMP(words[i].x0 / (double)u.width, 0, 1),
                         .y0 = CLAMP(words[i].y0 / (double)u.height, 0, 1),
                         .x1 = CLAMP(words[i].x1 / (double)u.width, 0, 1),
                         .y1 = CLAMP(words[i].y1 / (double)u.height, 0, 1),
                         .em = words[i].height / 0.7 / u.height,
                         .prob = words[i].prob,
                         .line = words[i].line };
        g_array_append_val(p->words, word);
    }
}

dx_box dx_page_box(const dx_page *p, const dx_box *box)
{
    if (p->text == NULL)
        return *box;
    vl_upright u = vl_text_upright(p->text);
    double w = u.picture_width, h = u.picture_height;
    float b[4] = { (float)(box->x0 * u.width), (float)(box->y0 * u.height),
                   (float)(box->x1 * u.width), (float)(box->y1 * u.height) };
    vl_text_to_picture(p->text, b);
    return (dx_box){ CLAMP(b[0] / w, 0, 1), CLAMP(b[1] / h, 0, 1), CLAMP(b[2] / w, 0, 1),
                     CLAMP(b[3] / h, 0, 1) };
}

/* Add the time since the last lap to a stage. */
static void lap(gint64 *stage, gint64 *since)
{
    gint64 now = g_get_monotonic_time();
    *stage += now - *since;
    *since = now;
}

/* Drawing a page for the reader. */
typedef struct drawing {
    dx_work *work;
    uint32_t index;
    gint64 us;
    GError *error;
} drawing;

static bool draw(void *user, uint32_t width, uint32_t height, vl_image *image)
{
    drawing *d = user;
    const dx_source *s = d->work->source;
    gint64 since = g_get_monotonic_time();
    gboolean is_done = s->picture(s->user, d->index, width, height, image, &d->error);
    lap(&d->us, &since);
    return is_done;
}

static gboolean see_page(dx_work *w, dx_page *p, gboolean is_drawn, GError **error)
{
    drawing d = { .work = w, .index = p->number - 1 };
    vl_page_opts opts = { .draw = is_drawn ? draw : NULL, .user = &d };
    vl_error err = { 0 };
    vl_image image;
    gint64 since = g_get_monotonic_time();
    if (draw(&d, 0, 0, &image))
        p->text = vl_page_read(w->engine->model, &image, &opts, &err);
    /* for the decoder the whole page, which the reader may have drawn over */
    gboolean is_whole = p->text != NULL && w->options->is_vision_used &&
                        (!is_drawn || draw(&d, 0, 0, &image));
    if (is_whole)
        p->vision = vl_vision_new(w->engine->model, &image, NULL, &err);
    lap(&w->us_vision, &since);
    w->us_vision -= d.us;
    w->us_picture += d.us;
    if (d.error != NULL) {
        g_propagate_error(error, d.error);
        return FALSE;
    }
    if (p->text == NULL || (w->options->is_vision_used && p->vision == NULL)) {
        g_set_error(error, DX_ERROR, DX_MODEL, "page %u: %s", p->number, err.text);
        return FALSE;
    }
    take_words(p);
    p->is_read = TRUE;
    return TRUE;
}

dx_page *dx_page_open(dx_work *w, uint32_t index, GError **error)
{
    const dx_source *s = w->source;
    dx_page_facts facts = { 0 };
    gint64 start = g_get_monotonic_time();
    if (!s->page(s->user, index, &facts, error))
        return NULL;
    g_autoptr(dx_page) p = g_new0(dx_page, 1);
    p->number = index + 1;
    if (facts.has_text && w->options->text != DX_TEXT_NEVER) {
        p->words = s->words(s->user, index, error);
        if (p->words == NULL)
            return NULL;
        if (w->options->text == DX_TEXT_AUTO && !is_sound(p->words))
            g_clear_pointer(&p->words, g_array_unref);
    }
    if (p->words == NULL) {
        p->words = g_array_new(FALSE, TRUE, sizeof(dx_word));
        g_array_set_clear_func(p->words, clear_word);
        if (w->options->text == DX_TEXT_ALWAYS) {
            /* the user wants the text layer and nothing else: an empty one stays empty */
        } else if (!see_page(w, p, facts.is_drawn, error))
            return NULL;
    }
    double width = facts.width_pt, height = facts.height_pt;
    if (p->text != NULL) { /* what counts is the shape of the page that was read */
        width = vl_text_upright(p->text).width;
        height = vl_text_upright(p->text).height;
    }
    p->layout = dx_layout_new(p->words, width, height, index, error);
    if (p->layout == NULL)
        return NULL;
    w->us_read += g_get_monotonic_time() - start;
    w->pages_read++;
    return g_steal_pointer(&p);
}

/* ---- the whole document ------------------------------------------------------------------------- */

static gboolean ask_pages(dx_work *w, GError **error)
{
    uint32_t most = w->options->pages_max > 0 ? w->options->pages_max : 20;
    uint32_t count = MIN(w->source->page_count, most);
    w->is_truncated |= w->source->page_count > most;
    for (uint32_t i = 0; i < count; i++) {
        if (is_stopped(w->options, error))
            return FALSE;
        dx_tell(w->options, "reading", i + 1, count);
        g_autoptr(dx_page) p = dx_page_open(w, i, error);
        if (p == NULL)
            return FALSE;
        if (!dx_form_page(w, p, error))
            return FALSE;
        if (p->layout->word_count == 0)
            continue;
        dx_context_learn(&w->learnt, p->layout->text, p->layout->bytes);
        g_autoptr(dx_session) session = dx_session_new(
            w->engine->model, w->options->is_vision_used ? p->vision : NULL, error);
        dx_tell(w->options, "extracting", i + 1, count);
        if (session == NULL || !dx_ask_fields(w, session, p, error))
            return FALSE;
        for (guint k = 0; k < w->lists->len; k++)
            if (!dx_form_takes(w, g_ptr_array_index(w->lists, k), p) &&
                !dx_ask_list(w, session, p, g_ptr_array_index(w->lists, k), error))
                return FALSE;
    }
    dx_decide_fields(w);
    return TRUE;
}

static void fill_missing(dx_work *w)
{
    for (guint i = 0; i < w->leaves->len + w->derived->len; i++) {
        const dx_leaf *l = i < w->leaves->len
                               ? &g_array_index(w->leaves, dx_leaf, i)
                               : &g_array_index(w->derived, dx_leaf, i - w->leaves->len);
        if (dx_field_get(w->fields, l->path) == NULL)
            dx_field_put(w->fields, l->path, dx_null_leaf());
    }
}

static json_t *envelope(dx_work *w, const dx_schema *schema, GError **error)
{
    dx_tell(w->options, "checking", w->source->page_count, w->source->page_count);
    dx_derive_currency(w);
    dx_derive_type(w);
    dx_check_opts opts = { .is_read_by_model = TRUE };
    json_t *checks = dx_checks_run(w->schema, w->fields, &opts, error);
    if (checks == NULL)
        return NULL;
    json_t *mended = dx_mend(w, checks);
    if (mended != NULL) {
        json_decref(checks);
        checks = dx_checks_run(w->schema, w->fields, &opts, NULL);
    }
    dx_weigh_fields(w, checks);
    const char *status = dx_needs_review(w, checks) || w->is_truncated ? "review" : "ok";
    json_t *out = json_pack(
        "{s:s, s:s, s:O, s:o, s:s, s:b, s:{s:i, s:I, s:I, s:I, s:I, s:I}}", "schema",
        dx_schema_name(schema), "schema_version", dx_schema_version(schema), "fields",
        w->fields, "checks", checks, "status", status, "truncated", (int)w->is_truncated,
        "timing", "pages", (int)w->source->page_count, "read_ms",
        (json_int_t)(w->us_read / 1000), "picture_ms", (json_int_t)(w->us_picture / 1000),
        "vision_ms", (json_int_t)(w->us_vision / 1000), "answer_ms",
        (json_int_t)(w->us_answer / 1000), "total_ms",
        (json_int_t)((g_get_monotonic_time() - w->us_open) / 1000));
    if (mended != NULL)
        json_object_set_new(out, "mended", mended);
    return out;
}

json_t *dx_extract(dx_engine *engine, const dx_source *source, const dx_schema *schema,
                   const dx_options *options, GError **error)
{
    dx_work w = { .engine = engine,
                  .source = source,
                  .options = options,
                  .leaves = dx_leaves_new(),
                  .derived = dx_leaves_new(),
                  .schema = dx_schema_json(schema),
                  .lists = g_ptr_array_new_with_free_func(dx_list_free),
                  .fields = json_object(),
                  .heard = g_ptr_array_new_with_free_func((GDestroyNotify)g_array_unref),
                  .grounds = g_array_new(FALSE, TRUE, sizeof(dx_grounds)),
                  .totals = dx_totals_new(),
                  .us_open = g_get_monotonic_time() };
    dx_collect(&w, w.schema, "", w.leaves, FALSE);
    for (guint i = 0; i < w.lists->len; i++)
        dx_field_put(w.fields, ((dx_list_leaf *)g_ptr_array_index(w.lists, i))->path,
                     json_array());
    gboolean is_invoice = strcmp(dx_schema_name(schema), "invoice") == 0;
    gboolean has_xml = is_invoice && options->text != DX_TEXT_NEVER && dx_take_xml(&w);
    for (guint i = 0; i < w.leaves->len; i++)
        g_ptr_array_add(w.heard, dx_options_new());
    dx_form_open(&w);
    gboolean is_ok = has_xml || ask_pages(&w, error);
    json_t *result = NULL;
    if (is_ok) {
        fill_missing(&w);
        result = envelope(&w, schema, error);
    }
    json_decref(w.fields);
    g_array_unref(w.leaves);
    g_array_unref(w.derived);
    g_ptr_array_unref(w.heard);
    g_array_unref(w.grounds);
    g_clear_pointer(&w.form, g_array_unref);
    g_clear_pointer(&w.form_keys, g_hash_table_unref);
    dx_totals_free(w.totals);
    g_ptr_array_unref(w.lists);
    return result;
}

/* ---- text ------------------------------------------------------------------------ */

/* One word of a page for the result of dx_read(). */
static json_t *show_word(const dx_page *p, const dx_word *word, const dx_box *box)
{
    dx_box b = dx_page_box(p, box);
    return json_pack("{s:s, s:[f, f, f, f], s:f}", "text", word->text, "bbox", b.x0, b.y0,
                     b.x1, b.y1, "confidence", word->prob);
}

/* A page that was read, in its reading order: columns one after the other. */
static char *show_read(const dx_page *p, json_t *words)
{
    GString *text = g_string_new(NULL);
    double aspect = p->layout->aspect;
    for (guint i = 0; i < p->words->len; i++) {
        const dx_word *word = &g_array_index(p->words, dx_word, i);
        const dx_word *last = i > 0 ? word - 1 : NULL;
        if (last != NULL && last->line != word->line)
            g_string_append_c(text, '\n');
        else if (last != NULL)
            g_string_append_c(
                text, (word->x0 - last->x1) * aspect > CELL_GAP * word->em ? '\t' : ' ');
        g_string_append(text, word->text);
        dx_box box = { word->x0, word->y0, word->x1, word->y1 };
        json_array_append_new(words, show_word(p, word, &box));
    }
    return g_string_free(text, FALSE);
}

json_t *dx_read(dx_engine *engine, const dx_source *source, const dx_options *options,
                GError **error)
{
    dx_work w = { .engine = engine, .source = source, .options = options };
    json_t *pages = json_array();
    for (uint32_t i = 0; i < source->page_count; i++) {
        dx_tell(options, "reading", i + 1, source->page_count);
        g_autoptr(dx_page) p =
            is_stopped(options, error) ? NULL : dx_page_open(&w, i, error);
        if (p == NULL) {
            json_decref(pages);
            return NULL;
        }
        json_t *words = json_array();
        g_autofree char *read = p->is_read ? show_read(p, words) : NULL;
        for (guint k = 0; read == NULL && k < p->layout->word_count; k++)
            json_array_append_new(
                words,
                show_word(p, &g_array_index(p->words, dx_word, p->layout->word_source[k]),
                          &p->layout->boxes[k]));
        json_array_append_new(
            pages, json_pack("{s:i, s:s, s:s, s:o}", "page", (int)i + 1, "source",
                             p->is_read ? "vlm" : "text", "text",
                             read != NULL ? read : p->layout->text, "words", words));
    }
    return json_pack("{s:o}", "pages", pages);
}

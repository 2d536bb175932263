/*
 * extract.c - from pages and a schema to the envelope: read, ask, normalise, locate, check.
 */
#include "dx.h"

#include "answer.h"
#include "checks.h"
#include "einvoice.h"
#include "layout.h"
#include "normalize.h"
#include "prompt.h"

#include <math.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_session, dx_session_free)

#define LABEL_BIAS   2.0  /* logits that a perfect place beside a label is worth */
#define WORDS_MAX    14   /* of one free value */
#define LINES_MAX    5    /* of one address */
#define ROWS_MAX     40   /* of one list on one page */
#define FREE_MAX     6000 /* free candidates of one page */

struct dx_engine {
    vl_model *model;
    dx_vocab *vocab;
};

typedef struct page {
    uint32_t number;
    gboolean is_read; /* words from the text head */
    GArray *words;    /* of dx_word */
    dx_layout *layout;
    vl_vision *vision;
} page;

typedef struct leaf {
    char *path;      /* dotted; inside a list: from the row */
    const char *ask;
    dx_kind kind;
    const json_t *node;
    gboolean is_required;
} leaf;

typedef struct list_leaf {
    char *path;
    GArray *leaves; /* of leaf */
} list_leaf;

typedef struct work {
    dx_engine *engine;
    const dx_source *source;
    const dx_options *options;
    const json_t *schema;
    GArray *leaves;   /* of leaf */
    GPtrArray *lists; /* of list_leaf */
    json_t *fields;
    dx_context learnt;
    gboolean is_truncated;
    gint64 us_read, us_answer, us_open;
    uint32_t pages_read;
} work;

/* ---- engine ------------------------------------------------------------------------- */

dx_engine *dx_engine_new(vl_model *model, GError **error)
{
    if (vl_token_special(model, VL_TOKEN_ASSISTANT) < 0 || vl_token_special(model, VL_TOKEN_USER) < 0) {
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

static void tell(const dx_options *options, const char *stage, uint32_t number, uint32_t count)
{
    if (options->progress != NULL)
        options->progress(options->user, stage, number, count);
}

/* ---- pages -------------------------------------------------------------------------- */

static void clear_word(gpointer data)
{
    g_free(((dx_word *)data)->text);
}

static void page_free(page *p)
{
    if (p == NULL)
        return;
    g_clear_pointer(&p->words, g_array_unref);
    dx_layout_free(p->layout);
    vl_vision_unref(p->vision);
    g_free(p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(page, page_free)

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
    return strspn(text, "_=~.-*") == length && (length > 1 || strchr("_=~.", *text) != NULL);
}

static gboolean see_page(work *w, page *p, double width_pt, double height_pt, GError **error)
{
    const dx_source *s = w->source;
    uint32_t width, height, index = p->number - 1;
    if (!s->picture_size(s->user, index, &width, &height, error))
        return FALSE;
    gboolean is_drawn = width == 0; /* a PDF page is drawn at the size that the tiles want */
    if (is_drawn) {
        width = (uint32_t)CLAMP(width_pt * 200 / 72, 16, 20000);
        height = (uint32_t)CLAMP(height_pt * 200 / 72, 16, 20000);
    }
    vl_error err = { 0 };
    vl_fit fit;
    vl_image image;
    if (vl_fit_choose(w->engine->model, width, height, &fit, &err)) {
        if (!s->picture(s->user, index, is_drawn ? fit.width : 0, is_drawn ? fit.height : 0, &image, error))
            return FALSE;
        vl_vision_opts opts = { .fit = &fit, .is_text_only = !w->options->is_vision_used };
        p->vision = vl_vision_new(w->engine->model, &image, &opts, &err);
    }
    vl_text *text = p->vision != NULL ? vl_text_read(p->vision, &err) : NULL;
    if (text == NULL) {
        g_set_error(error, DX_ERROR, DX_MODEL, "page %u: %s", p->number, err.text);
        return FALSE;
    }
    size_t count;
    const vl_word *words = vl_text_words(text, &count);
    for (size_t i = 0; i < count; i++) {
        if (is_rule(words[i].text))
            continue;
        dx_word word = { .text = g_strdup(words[i].text),
                         .x0 = CLAMP(words[i].x0 / (double)image.width, 0, 1),
                         .y0 = CLAMP(words[i].y0 / (double)image.height, 0, 1),
                         .x1 = CLAMP(words[i].x1 / (double)image.width, 0, 1),
                         .y1 = CLAMP(words[i].y1 / (double)image.height, 0, 1),
                         .em = words[i].height / 0.7 / image.height, .prob = words[i].prob };
        g_array_append_val(p->words, word);
    }
    vl_text_free(text);
    p->is_read = TRUE;
    return TRUE;
}

static page *page_open(work *w, uint32_t index, GError **error)
{
    const dx_source *s = w->source;
    double width, height;
    gboolean has_text;
    gint64 start = g_get_monotonic_time();
    if (!s->page(s->user, index, &width, &height, &has_text, error))
        return NULL;
    g_autoptr(page) p = g_new0(page, 1);
    p->number = index + 1;
    if (has_text && w->options->text != DX_TEXT_NEVER) {
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
        } else if (!see_page(w, p, width, height, error))
            return NULL;
    }
    p->layout = dx_layout_new(p->words, width, height, index, error);
    if (p->layout == NULL)
        return NULL;
    w->us_read += g_get_monotonic_time() - start;
    w->pages_read++;
    return g_steal_pointer(&p);
}

/* ---- what the schema asks ------------------------------------------------------------- */

static void clear_leaf(gpointer data)
{
    g_free(((leaf *)data)->path);
}

static void list_free(gpointer data)
{
    list_leaf *l = data;
    g_free(l->path);
    g_array_unref(l->leaves);
    g_free(l);
}

static GArray *leaves_new(void)
{
    GArray *leaves = g_array_new(FALSE, TRUE, sizeof(leaf));
    g_array_set_clear_func(leaves, clear_leaf);
    return leaves;
}

static gboolean is_listed(const json_t *required, const char *key)
{
    gsize i;
    json_t *name;
    json_array_foreach((json_t *)required, i, name)
        if (strcmp(json_string_value(name), key) == 0)
            return TRUE;
    return FALSE;
}

static gboolean has_type(const json_t *node, const char *type)
{
    const json_t *t = json_object_get(node, "type");
    return json_is_string(t) ? strcmp(json_string_value(t), type) == 0 : is_listed(t, type);
}

/* Walk the properties; `depth` is bounded by the schema reader's own limit. */
static void collect(work *w, const json_t *node, const char *prefix, GArray *leaves, gboolean is_row)
{
    const json_t *properties = json_object_get(node, "properties");
    const json_t *required = json_object_get(node, "required");
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)properties, key, child) {
        g_autofree char *path = *prefix != '\0' ? g_strdup_printf("%s.%s", prefix, key) : g_strdup(key);
        if (has_type(child, "object")) {
            collect(w, child, path, leaves, is_row);
        } else if (has_type(child, "array")) {
            const json_t *items = json_object_get(child, "items");
            if (is_row || !has_type(items, "object"))
                continue;
            if (json_integer_value(json_object_get(child, "maxItems")) == 1) {
                /* a list of at most one row is asked with the single fields */
                g_autofree char *row = g_strconcat(path, ".0", NULL);
                collect(w, items, row, leaves, TRUE);
                continue;
            }
            list_leaf *l = g_new0(list_leaf, 1);
            l->path = g_strdup(path);
            l->leaves = leaves_new();
            collect(w, items, "", l->leaves, TRUE);
            g_ptr_array_add(w->lists, l);
        } else {
            const char *ask = json_string_value(json_object_get(child, "x-ask"));
            const char *kind = json_string_value(json_object_get(child, "x-kind"));
            leaf l = { .path = g_strdup(path), .node = child, .kind = DX_KIND_TEXT,
                       .is_required = is_listed(required, key) };
            dx_kind known = kind != NULL ? dx_kind_from_name(kind) : DX_KIND_NONE;
            if (known != DX_KIND_NONE)
                l.kind = known;
            else if (kind != NULL && strstr(kind, "tax_number") != NULL)
                l.kind = DX_KIND_ID;
            l.ask = ask != NULL ? ask : key;
            g_array_append_val(leaves, l);
        }
    }
}

static json_t *branch(json_t *root, const char *path, char **last)
{
    g_auto(GStrv) parts = g_strsplit(path, ".", -1);
    json_t *at = root;
    guint n = g_strv_length(parts);
    for (guint i = 0; i + 1 < n; i++) {
        gboolean is_row = strcmp(parts[i + 1], "0") == 0;
        json_t *next = json_is_array(at) ? json_array_get(at, 0) : json_object_get(at, parts[i]);
        if (next == NULL && json_is_array(at)) {
            next = json_object();
            json_array_append_new(at, next);
        } else if (next == NULL) {
            next = is_row ? json_array() : json_object();
            json_object_set_new(at, parts[i], next);
        }
        at = next;
    }
    *last = g_strdup(parts[n - 1]);
    return at;
}

static void put(json_t *root, const char *path, json_t *value)
{
    g_autofree char *last = NULL;
    json_t *parent = branch(root, path, &last);
    json_object_set_new(parent, last, value);
}

static json_t *get(json_t *root, const char *path)
{
    g_autofree char *last = NULL;
    json_t *parent = branch(root, path, &last);
    return json_object_get(parent, last);
}

/* ---- candidates ------------------------------------------------------------------------ */

static gboolean has_digit(const char *text)
{
    for (; *text != '\0'; text++)
        if (g_ascii_isdigit(*text))
            return TRUE;
    return FALSE;
}

static GArray *labels_of(const page *p, const leaf *l)
{
    const json_t *names = json_object_get(l->node, "x-labels");
    g_autoptr(GPtrArray) list = g_ptr_array_new();
    gsize i;
    json_t *name;
    json_array_foreach((json_t *)names, i, name)
        if (json_is_string(name))
            g_ptr_array_add(list, (char *)json_string_value(name));
    g_ptr_array_add(list, NULL);
    return dx_layout_labels(p->layout, (const char *const *)list->pdata);
}

static double weight_of(const page *p, const GArray *labels, gsize start, gsize end)
{
    double best = 0;
    for (guint i = 0; i < labels->len && i < 60; i++)
        best = MAX(best, dx_layout_score(p->layout, &g_array_index(labels, dx_label, i), start, end));
    return best;
}

static char *slice(const page *p, gsize start, gsize end)
{
    char *text = g_strndup(p->layout->text + start, end - start);
    return g_strdelimit(text, "\t\n", ' ');
}

static void add_typed(dx_choices *out, const work *w, const page *p, const leaf *l, const GArray *labels)
{
    g_autoptr(GArray) found = dx_find_candidates(l->kind, p->layout->text, p->layout->bytes, &w->learnt);
    for (guint i = 0; i < found->len; i++) {
        const dx_candidate *c = &g_array_index(found, dx_candidate, i);
        g_autofree char *text = slice(p, c->start, c->end);
        dx_choices_add(out, text, c->start, c->end, weight_of(p, labels, c->start, c->end));
    }
    if (l->kind != DX_KIND_AMOUNT && l->kind != DX_KIND_QUANTITY)
        return;
    /* numbers that print runs together: 2*12.50, 3x4.00 */
    const char *t = p->layout->text;
    for (gsize i = 0; i < p->layout->bytes;) {
        gsize n = strspn(t + i, "0123456789.,");
        if (n > 0 && n < 16 && g_ascii_isdigit(t[i])) {
            gsize m = n;
            while (m > 1 && !g_ascii_isdigit(t[i + m - 1]))
                m--;
            g_autofree char *text = slice(p, i, i + m);
            g_autofree char *value = NULL;
            if (dx_normalize(l->kind, text, &w->learnt, &value, NULL))
                dx_choices_add(out, text, i, i + m, weight_of(p, labels, i, i + m));
        }
        i += MAX(n, 1);
    }
}

/* Runs of words inside one cell. */
static void add_free(dx_choices *out, const page *p, const leaf *l, const GArray *labels)
{
    const dx_layout *t = p->layout;
    guint most = l->kind == DX_KIND_ID ? 4 : WORDS_MAX;
    for (guint a = 0; a < t->word_count; a++) {
        const dx_cell *cell = dx_layout_cell(t, t->word_start[a]);
        for (guint b = a; b < t->word_count && b < a + most && cell != NULL && t->word_end[b] <= cell->end; b++) {
            if (dx_choices_count(out) >= FREE_MAX)
                return;
            g_autofree char *text = slice(p, t->word_start[a], t->word_end[b]);
            if (strlen(text) > 200 || (l->kind == DX_KIND_ID && !has_digit(text)))
                continue;
            g_autofree char *trimmed = g_strdup(text);
            gsize n = strlen(trimmed);
            while (n > 1 && strchr(",;:", trimmed[n - 1]) != NULL)
                trimmed[--n] = '\0';
            double weight = weight_of(p, labels, t->word_start[a], t->word_end[b]);
            /* a whole cell (or all behind a label in it) is likelier than a part */
            if (t->word_end[b] != cell->end)
                weight *= 0.6;
            dx_choices_add(out, trimmed, t->word_start[a], t->word_end[b], weight);
            char *bracket = strrchr(trimmed, '('); /* a number set close behind a name */
            if (bracket != NULL && bracket > trimmed + 1 && bracket[-1] != ' ') {
                gsize length = (gsize)(bracket - trimmed);
                while (length > 1 && (trimmed[length - 1] == '(' || trimmed[length - 1] == ' '))
                    length--;
                trimmed[length] = '\0';
                dx_choices_add(out, trimmed, t->word_start[a], t->word_start[a] + length, weight * 0.9);
            }
        }
    }
}

/* Blocks of lines: from a word to the end of its cell, then cell by cell downwards. */
static void add_blocks(dx_choices *out, const page *p, const GArray *labels)
{
    const dx_layout *t = p->layout;
    g_autoptr(GArray) jumps = dx_layout_jumps(t);
    for (guint a = 0; a < t->word_count; a++) {
        const dx_cell *cell = dx_layout_cell(t, t->word_start[a]);
        if (cell == NULL || (t->word_start[a] != cell->start && a > 0 &&
                             strchr(":·|", t->text[t->word_end[a - 1] - 1]) == NULL))
            continue;
        g_autoptr(GString) text = g_string_new(NULL);
        gsize start = t->word_start[a], end = cell->end;
        double weight = weight_of(p, labels, start, end);
        for (guint n = 0; n < LINES_MAX && cell != NULL && dx_choices_count(out) < FREE_MAX; n++) {
            g_autofree char *line = slice(p, n == 0 ? start : cell->start, cell->end);
            gsize length = strlen(line);
            while (length > 1 && strchr(", ", line[length - 1]) != NULL)
                line[--length] = '\0';
            g_string_append_printf(text, "%s%s", n > 0 ? ", " : "", line);
            end = n == 0 ? cell->end : end;
            if (text->len < 240)
                dx_choices_add(out, text->str, start, end, weight * 0.5);
            gsize to = G_MAXSIZE;
            for (guint j = 0; j < jumps->len; j++)
                if (g_array_index(jumps, dx_jump, j).from == cell->end)
                    to = g_array_index(jumps, dx_jump, j).to;
            cell = to != G_MAXSIZE ? dx_layout_cell(t, to) : NULL;
        }
    }
}

static dx_choices *choices_of(const work *w, const page *p, const leaf *l)
{
    dx_choices *out = dx_choices_new();
    g_autoptr(GArray) labels = labels_of(p, l);
    gboolean is_free = l->kind == DX_KIND_TEXT || l->kind == DX_KIND_ID || l->kind == DX_KIND_NONE;
    if (!is_free)
        add_typed(out, w, p, l, labels);
    else
        add_free(out, p, l, labels);
    if (g_str_has_suffix(l->ask, "address"))
        add_blocks(out, p, labels);
    dx_choices_seal(out);
    return out;
}

/* ---- values ------------------------------------------------------------------------------ */

static json_t *null_leaf(void)
{
    return json_pack("{s:n, s:n, s:n, s:n, s:n, s:n}", "value", "raw", "source", "confidence", "page", "bbox");
}

/* Titles of papers as enum values. */
static const char *title_of(const char *folded)
{
    static const struct {
        const char *part, *value;
    } titles[] = {
        { "proforma", "proforma" }, { "pro forma", "proforma" }, { "credit", "credit_note" },
        { "gutschrift", "credit_note" }, { "avoir", "credit_note" }, { "nota de credito", "credit_note" },
        { "nota di credito", "credit_note" }, { "dobropis", "credit_note" }, { "korekt", "credit_note" },
        { "debit", "debit_note" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(titles); i++)
        if (strstr(folded, titles[i].part) != NULL)
            return titles[i].value;
    return "invoice";
}

static gboolean normalised(const work *w, const leaf *l, const char *raw, char **value)
{
    const json_t *choices = json_object_get(l->node, "enum");
    if (strcmp(l->path, "document_type") == 0 && choices != NULL) {
        g_autofree char *folded = dx_fold(raw, strlen(raw));
        *value = g_strdup(title_of(folded));
        return TRUE;
    }
    if (dx_normalize(l->kind, raw, &w->learnt, value, NULL))
        return TRUE;
    return FALSE;
}

static json_t *make_leaf(const work *w, const page *p, const leaf *l, const dx_choices *choices,
                         const char *text, double prob)
{
    gsize start = 0, end = 0;
    double weight = 0;
    g_autofree char *value = NULL;
    if (text == NULL || !dx_choices_find(choices, text, &start, &end, &weight))
        return null_leaf();
    gboolean is_read = normalised(w, l, text, &value);
    dx_box box = { 0 };
    g_autoptr(GArray) boxes = dx_layout_span(p->layout, start, end, &box);
    double seen = 1;
    for (guint i = 0; p->is_read && i < boxes->len; i++)
        seen = MIN(seen, 0.95);
    /* token probability, place beside a label, and whether it reads as its kind */
    double confidence = CLAMP((0.55 * sqrt(prob) + 0.45 * weight) * seen, 0.01, 0.99);
    if (l->kind == DX_KIND_TEXT)
        confidence = CLAMP(sqrt(prob) * seen, 0.01, 0.99);
    if (!is_read)
        confidence *= 0.3;
    json_t *leaf_json = json_pack("{s:s, s:s, s:s, s:f, s:i, s:[f, f, f, f]}", "value",
                                  is_read ? value : text, "raw", text, "source",
                                  p->is_read ? "vlm" : "text", "confidence", confidence, "page",
                                  (int)p->number, "bbox", box.x0, box.y0, box.x1, box.y1);
    return leaf_json != NULL ? leaf_json : null_leaf();
}

static gboolean is_null(const json_t *leaf_json)
{
    return leaf_json == NULL || json_is_null(json_object_get(leaf_json, "value"));
}

/* A value that the model left out, though one stands right beside its label. */
static const char *by_label(const leaf *l, const dx_choices *choices, double *weight)
{
    const char *best = NULL;
    *weight = 0.85;
    gboolean is_free = l->kind == DX_KIND_TEXT || l->kind == DX_KIND_NONE ||
                       l->kind == DX_KIND_AMOUNT || l->kind == DX_KIND_ID;
    for (guint i = 0; !is_free && i < dx_choices_count(choices); i++) {
        double at;
        const char *text = dx_choices_text(choices, i, &at);
        if (at > *weight || (best != NULL && at == *weight && strlen(text) > strlen(best))) {
            best = text;
            *weight = at;
        }
    }
    return best;
}

/* ---- questions ------------------------------------------------------------------------------ */

static char *question_of(const GArray *leaves, const char *list)
{
    GString *q = g_string_new("Extract JSON: ");
    if (list != NULL)
        g_string_append_printf(q, "%s[", list);
    for (guint i = 0; i < leaves->len; i++)
        g_string_append_printf(q, "%s%s", i > 0 ? ", " : "", g_array_index(leaves, leaf, i).ask);
    if (list != NULL)
        g_string_append_c(q, ']');
    return g_string_free(q, FALSE);
}

/* DOCVL_LABEL_BIAS is for comparing settings in tests. */
static double label_bias(void)
{
    const char *text = g_getenv("DOCVL_LABEL_BIAS");
    return text != NULL ? g_ascii_strtod(text, NULL) : LABEL_BIAS;
}

typedef struct asked {
    GPtrArray *choices; /* of dx_choices, one a leaf */
    GArray *values;     /* of dx_answer_value */
} asked;

static void asked_clear(asked *a)
{
    g_clear_pointer(&a->choices, g_ptr_array_unref);
    g_clear_pointer(&a->values, g_array_unref);
}

static gboolean ask(work *w, dx_session *session, const page *p, const GArray *leaves,
                    const char *list, asked *a, GError **error)
{
    gint64 start = g_get_monotonic_time();
    g_autofree char *question = question_of(leaves, list);
    g_autofree dx_slot *slots = g_new0(dx_slot, leaves->len);
    a->choices = g_ptr_array_new_with_free_func((GDestroyNotify)dx_choices_free);
    for (guint i = 0; i < leaves->len; i++) {
        const leaf *l = &g_array_index(leaves, leaf, i);
        g_ptr_array_add(a->choices, choices_of(w, p, l));
        slots[i] = (dx_slot){ .key = l->ask, .choices = g_ptr_array_index(a->choices, i) };
    }
    dx_form form = { .slots = slots, .slot_count = leaves->len, .list = list, .rows_max = ROWS_MAX };
    gboolean is_truncated = FALSE;
    uint32_t most = w->options->tokens_max > 0 ? w->options->tokens_max : 1024;
    gboolean is_ok = dx_session_ask(session, p->layout->text, question, error) &&
                     dx_answer_run(w->engine->model, w->engine->vocab, dx_session_context(session),
                                   &form, most, list == NULL ? label_bias() : 0,
                                   w->options->cancellable, &a->values, &is_truncated, error);
    w->is_truncated |= is_ok && is_truncated;
    w->us_answer += g_get_monotonic_time() - start;
    return is_ok;
}

static void keep_better(work *w, const leaf *l, json_t *found)
{
    json_t *have = get(w->fields, l->path);
    double old = have != NULL ? json_number_value(json_object_get(have, "confidence")) : 0;
    double new = json_number_value(json_object_get(found, "confidence"));
    if (have == NULL || (is_null(have) && !is_null(found)) || (!is_null(found) && new > old + 0.15))
        put(w->fields, l->path, found);
    else
        json_decref(found);
}

static gboolean ask_fields(work *w, dx_session *session, const page *p, GError **error)
{
    asked a = { 0 };
    if (w->leaves->len == 0)
        return TRUE;
    gboolean is_ok = ask(w, session, p, w->leaves, NULL, &a, error);
    for (guint i = 0; is_ok && i < w->leaves->len; i++) {
        const leaf *l = &g_array_index(w->leaves, leaf, i);
        const dx_choices *choices = g_ptr_array_index(a.choices, i);
        const char *text = NULL;
        double prob = 0;
        if (i < a.values->len) {
            const dx_answer_value *v = &g_array_index(a.values, dx_answer_value, i);
            text = v->text;
            prob = v->prob;
        }
        if (text == NULL) {
            double weight;
            text = by_label(l, choices, &weight);
            prob = 0.1;
        }
        keep_better(w, l, make_leaf(w, p, l, choices, text, prob));
    }
    asked_clear(&a);
    return is_ok;
}

static const char *list_name(const char *path)
{
    const char *dot = strrchr(path, '.');
    return dot != NULL ? dot + 1 : path;
}

static gboolean ask_list(work *w, dx_session *session, const page *p, const list_leaf *list, GError **error)
{
    asked a = { 0 };
    json_t *rows = get(w->fields, list->path);
    gboolean is_ok = ask(w, session, p, list->leaves, list_name(list->path), &a, error);
    guint columns = list->leaves->len;
    for (guint r = 0; is_ok && columns > 0 && r < a.values->len / columns; r++) {
        json_t *row = json_object();
        gboolean is_any = FALSE;
        for (guint i = 0; i < columns; i++) {
            const leaf *l = &g_array_index(list->leaves, leaf, i);
            const dx_answer_value *v = &g_array_index(a.values, dx_answer_value, r * columns + i);
            json_t *value = make_leaf(w, p, l, g_ptr_array_index(a.choices, i), v->text, v->prob);
            is_any |= !is_null(value);
            put(row, l->path, value);
        }
        if (is_any)
            json_array_append_new(rows, row);
        else
            json_decref(row);
    }
    asked_clear(&a);
    return is_ok;
}

/* ---- better sources than the page -------------------------------------------------------------- */

static json_t *xml_leaf(const json_t *value)
{
    return json_pack("{s:O, s:O, s:s, s:f, s:n, s:n}", "value", value, "raw", value, "source", "xml",
                     "confidence", 1.0, "page", "bbox");
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
static gboolean take_xml(work *w)
{
    for (uint32_t i = 0; i < w->source->attachment_count; i++) {
        g_autofree char *name = NULL;
        g_autoptr(GBytes) content = w->source->attachment(w->source->user, i, &name, NULL);
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

static void take_form(work *w)
{
    json_t *fields = json_object_get(w->fields, "fields"), *boxes = json_object_get(w->fields, "checkboxes");
    if (w->source->fields == NULL || fields == NULL)
        return;
    g_autoptr(GArray) found = w->source->fields(w->source->user, NULL);
    for (guint i = 0; found != NULL && i < found->len; i++) {
        const dx_form_field *f = &g_array_index(found, dx_form_field, i);
        json_t *label = json_pack("{s:s, s:s, s:s, s:f, s:i, s:n}", "value", f->name, "raw", f->name,
                                  "source", "text", "confidence", 1.0, "page", (int)f->page_index + 1, "bbox");
        json_t *value = json_pack("{s:s, s:s, s:s, s:f, s:i, s:[f, f, f, f]}", "value", f->value, "raw",
                                  f->value, "source", "text", "confidence", 1.0, "page",
                                  (int)f->page_index + 1, "bbox", f->x0, f->y0, f->x1, f->y1);
        json_t *row = json_pack("{s:o, s:o}", "label", label, f->is_choice ? "state" : "value", value);
        json_array_append_new(f->is_choice && boxes != NULL ? boxes : fields, row);
    }
}

/* The currency that amounts are printed with, when it is not named elsewhere. */
static void derive_currency(work *w)
{
    static const char *const amounts[] = { "totals.gross_total", "totals.amount_due", "totals.net_total", "total", "subtotal" };
    json_t *have = get(w->fields, "currency");
    if (have == NULL || !is_null(have))
        return;
    for (gsize i = 0; i < G_N_ELEMENTS(amounts); i++) {
        const json_t *amount = dx_values_get(w->fields, amounts[i]) != NULL ? get(w->fields, amounts[i]) : NULL;
        const char *raw = json_string_value(json_object_get(amount, "raw"));
        const char *code = NULL;
        if (raw == NULL || (dx_currency_prefix(raw, strlen(raw), &w->learnt, &code) == 0 &&
                            dx_currency_suffix(raw, strlen(raw), &w->learnt, &code) == 0))
            continue;
        json_t *value = json_deep_copy(amount);
        json_object_set_new(value, "value", json_string(code));
        json_object_set_new(value, "source", json_string("derived"));
        put(w->fields, "currency", value);
        return;
    }
}

/* ---- the whole document ------------------------------------------------------------------------- */

static gboolean needs_review(const work *w, const json_t *checks)
{
    double limit = w->options->review_below > 0 ? w->options->review_below : 0.5;
    gsize i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check)
        if (g_strcmp0(json_string_value(json_object_get(check, "result")), "fail") == 0 &&
            g_strcmp0(json_string_value(json_object_get(check, "severity")), "error") == 0)
            return TRUE;
    for (guint k = 0; k < w->leaves->len; k++) {
        const leaf *l = &g_array_index(w->leaves, leaf, k);
        const json_t *value = get(w->fields, l->path);
        if (is_null(value) ? l->is_required
                           : json_number_value(json_object_get(value, "confidence")) < limit)
            return TRUE;
    }
    return FALSE;
}

static gboolean ask_pages(work *w, GError **error)
{
    uint32_t most = w->options->pages_max > 0 ? w->options->pages_max : 20;
    uint32_t count = MIN(w->source->page_count, most);
    w->is_truncated |= w->source->page_count > most;
    for (uint32_t i = 0; i < count; i++) {
        if (is_stopped(w->options, error))
            return FALSE;
        tell(w->options, "reading", i + 1, count);
        g_autoptr(page) p = page_open(w, i, error);
        if (p == NULL)
            return FALSE;
        if (p->layout->word_count == 0)
            continue;
        dx_context_learn(&w->learnt, p->layout->text, p->layout->bytes);
        g_autoptr(dx_session) session =
            dx_session_new(w->engine->model, w->options->is_vision_used ? p->vision : NULL, error);
        tell(w->options, "extracting", i + 1, count);
        if (session == NULL || !ask_fields(w, session, p, error))
            return FALSE;
        for (guint k = 0; k < w->lists->len; k++)
            if (!ask_list(w, session, p, g_ptr_array_index(w->lists, k), error))
                return FALSE;
    }
    return TRUE;
}

static void fill_missing(work *w)
{
    for (guint i = 0; i < w->leaves->len; i++) {
        const leaf *l = &g_array_index(w->leaves, leaf, i);
        if (get(w->fields, l->path) == NULL)
            put(w->fields, l->path, null_leaf());
    }
}

static json_t *envelope(work *w, const dx_schema *schema, GError **error)
{
    derive_currency(w);
    dx_check_opts opts = { .is_read_by_model = TRUE };
    json_t *checks = dx_checks_run(w->schema, w->fields, &opts, error);
    if (checks == NULL)
        return NULL;
    const char *status = needs_review(w, checks) || w->is_truncated ? "review" : "ok";
    return json_pack("{s:s, s:s, s:O, s:o, s:s, s:b, s:{s:i, s:I, s:I, s:I}}", "schema",
                     dx_schema_name(schema), "schema_version", dx_schema_version(schema), "fields",
                     w->fields, "checks", checks, "status", status, "truncated", (int)w->is_truncated,
                     "timing", "pages", (int)w->source->page_count, "read_ms",
                     (json_int_t)(w->us_read / 1000), "answer_ms", (json_int_t)(w->us_answer / 1000),
                     "total_ms", (json_int_t)((g_get_monotonic_time() - w->us_open) / 1000));
}

json_t *dx_extract(dx_engine *engine, const dx_source *source, const dx_schema *schema,
                   const dx_options *options, GError **error)
{
    work w = { .engine = engine, .source = source, .options = options, .leaves = leaves_new(),
               .schema = dx_schema_json(schema), .lists = g_ptr_array_new_with_free_func(list_free),
               .fields = json_object(), .us_open = g_get_monotonic_time() };
    collect(&w, w.schema, "", w.leaves, FALSE);
    for (guint i = 0; i < w.lists->len; i++)
        put(w.fields, ((list_leaf *)g_ptr_array_index(w.lists, i))->path, json_array());
    gboolean is_invoice = strcmp(dx_schema_name(schema), "invoice") == 0;
    gboolean has_xml = is_invoice && options->text != DX_TEXT_NEVER && take_xml(&w);
    gboolean is_ok = has_xml || ask_pages(&w, error);
    json_t *result = NULL;
    if (is_ok) {
        fill_missing(&w);
        take_form(&w);
        result = envelope(&w, schema, error);
    }
    json_decref(w.fields);
    g_array_unref(w.leaves);
    g_ptr_array_unref(w.lists);
    return result;
}

/* ---- classes and text ------------------------------------------------------------------------------ */

static const char *const default_labels[] = {
    "invoice", "credit note", "receipt", "purchase order", "delivery note", "quotation", "reminder",
    "bank statement", "payslip", "contract", "letter", "email", "memo", "form", "resume", "report",
    "news article", "specification", "advertisement", NULL
};

static json_t *ranked(const char *const *labels, const double *logprob, guint count)
{
    double top = logprob[0], sum = 0;
    guint best = 0;
    for (guint i = 1; i < count; i++)
        if (logprob[i] > top) {
            top = logprob[i];
            best = i;
        }
    for (guint i = 0; i < count; i++)
        sum += exp(logprob[i] - top);
    json_t *others = json_array();
    g_autofree gboolean *is_used = g_new0(gboolean, count);
    is_used[best] = TRUE;
    for (guint n = 0; n < 4 && n + 1 < count; n++) {
        guint next = G_MAXUINT;
        for (guint i = 0; i < count; i++)
            if (!is_used[i] && (next == G_MAXUINT || logprob[i] > logprob[next]))
                next = i;
        is_used[next] = TRUE;
        json_array_append_new(others, json_pack("{s:s, s:f}", "label", labels[next], "confidence",
                                                exp(logprob[next] - top) / sum));
    }
    return json_pack("{s:s, s:f, s:o}", "label", labels[best], "confidence", 1 / sum, "alternatives", others);
}

json_t *dx_classify(dx_engine *engine, const dx_source *source, const dx_options *options, GError **error)
{
    work w = { .engine = engine, .source = source, .options = options };
    tell(options, "classifying", 1, source->page_count);
    g_autoptr(page) p = page_open(&w, 0, error);
    g_autoptr(dx_session) session =
        p != NULL ? dx_session_new(engine->model, options->is_vision_used ? p->vision : NULL, error) : NULL;
    if (session == NULL)
        return NULL;
    const char *const *labels = options->labels != NULL ? options->labels : default_labels;
    guint count = g_strv_length((char **)labels);
    g_autofree char *names = g_strjoinv(", ", (char **)labels);
    g_autofree char *question = g_strconcat("Classify: ", names, NULL);
    g_autofree double *logprob = g_new0(double, count);
    if (!dx_session_ask(session, p->layout->text, question, error) ||
        !dx_answer_score(engine->model, dx_session_context(session), labels, count, logprob, error))
        return NULL;
    return ranked(labels, logprob, count);
}

json_t *dx_read(dx_engine *engine, const dx_source *source, const dx_options *options, GError **error)
{
    work w = { .engine = engine, .source = source, .options = options };
    json_t *pages = json_array();
    for (uint32_t i = 0; i < source->page_count; i++) {
        tell(options, "reading", i + 1, source->page_count);
        g_autoptr(page) p = is_stopped(options, error) ? NULL : page_open(&w, i, error);
        if (p == NULL) {
            json_decref(pages);
            return NULL;
        }
        json_t *words = json_array();
        for (guint k = 0; k < p->layout->word_count; k++) {
            const dx_box *b = &p->layout->boxes[k];
            const dx_word *word = &g_array_index(p->words, dx_word, p->layout->word_source[k]);
            json_array_append_new(words, json_pack("{s:s, s:[f, f, f, f], s:f}", "text", word->text, "bbox",
                                                   b->x0, b->y0, b->x1, b->y1, "confidence", word->prob));
        }
        json_array_append_new(pages, json_pack("{s:i, s:s, s:s, s:o}", "page", (int)i + 1, "source",
                                               p->is_read ? "vlm" : "text", "text", p->layout->text,
                                               "words", words));
    }
    return json_pack("{s:o}", "pages", pages);
}

/*
 * decide.c - one value for a leaf, out of three witnesses: the printed labels, the clues of
 * the page's form, and the model's answer.
 *
 * All that speaks for the same value is added up, in logits.  The best value stands when
 * it is worth more than nothing at all; its distance to that and to the next value gives
 * the confidence.
 */
#include "extract.h"

#include <math.h>
#include <string.h>

/* The weights of the witnesses. */
#define WORTH_LABEL  3.0  /* a value right behind its label; falls with the distance */
#define WORTH_ANSWER 1.4  /* the model's answer at token probability 1 */
#define WORTH_CHOSEN 0.3  /* the model's answer whatever its probability */
#define WORTH_FORM   0.7  /* reads as its kind, with a right check digit */
#define WORTH_BARE   -0.5 /* an amount without cents */
#define WORTH_LEAST  0.9  /* what a value must be worth to stand */
#define LABEL_LEAST  0.2  /* weaker places are not looked at */
#define ALONE_LEAST  0.3  /* confidence below which the model alone is not believed */

typedef struct option {
    char *raw, *value;
    dx_box box;
    double label, clue, answer, form;
    json_t *parts;
    uint32_t page;
    gboolean is_read; /* off the picture */
    double seen;      /* how surely its print was read; 1 for a text layer */
    gboolean reads;
    gboolean is_stated;  /* a clue says that this print means this field */
    gboolean is_checked; /* its check digits are right */
} option;

static void option_clear(gpointer data)
{
    g_free(((option *)data)->raw);
    g_free(((option *)data)->value);
    json_decref(((option *)data)->parts);
}

GArray *dx_options_new(void)
{
    GArray *options = g_array_new(FALSE, TRUE, sizeof(option));
    g_array_set_clear_func(options, option_clear);
    return options;
}

/* Titles of papers as enum values. */
static const char *title_of(const char *folded)
{
    static const struct {
        const char *part, *value;
    } titles[] = {
        { "proforma", "proforma" },           { "pro forma", "proforma" },
        { "credit", "credit_note" },          { "gutschrift", "credit_note" },
        { "avoir", "credit_note" },           { "nota de credito", "credit_note" },
        { "nota di credito", "credit_note" }, { "dobropis", "credit_note" },
        { "korekt", "credit_note" },          { "debit", "debit_note" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(titles); i++)
        if (strstr(folded, titles[i].part) != NULL)
            return titles[i].value;
    return "invoice";
}

gboolean dx_leaf_value(const dx_work *w, const dx_leaf *l, const char *raw, char **value)
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

json_t *dx_leaf_new(uint32_t page, gboolean is_read, const char *value, const char *raw,
                    const dx_box *box, double confidence)
{
    json_t *leaf =
        json_pack("{s:s, s:s, s:s, s:f, s:i, s:[f, f, f, f]}", "value", value, "raw", raw,
                  "source", is_read ? "vlm" : "text", "confidence", confidence, "page",
                  (int)page, "bbox", box->x0, box->y0, box->x1, box->y1);
    if (leaf != NULL && box->x1 <= box->x0) /* said, but not found on the page */
        json_object_set_new(leaf, "bbox", json_null());
    return leaf != NULL ? leaf : dx_null_leaf();
}

/* Values of free text are the same when their letters and digits are. */
static gboolean is_same(const dx_leaf *l, const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return TRUE;
    if (l->kind != DX_KIND_TEXT && l->kind != DX_KIND_NONE)
        return FALSE;
    const char *p = a, *q = b;
    for (;;) {
        while (*p != '\0' && !g_unichar_isalnum(g_utf8_get_char(p)))
            p = g_utf8_next_char(p);
        while (*q != '\0' && !g_unichar_isalnum(g_utf8_get_char(q)))
            q = g_utf8_next_char(q);
        if (*p == '\0' || *q == '\0')
            return *p == *q;
        if (g_unichar_tolower(g_utf8_get_char(p)) !=
            g_unichar_tolower(g_utf8_get_char(q)))
            return FALSE;
        p = g_utf8_next_char(p);
        q = g_utf8_next_char(q);
    }
}

/* Two digits behind the last separator; without any, a number is seldom a sum. */
static gboolean has_cents(const char *raw)
{
    const char *last = NULL;
    for (const char *c = raw; *c != '\0'; c++)
        if ((*c == '.' || *c == ',') && g_ascii_isdigit(c[1]))
            last = c;
    return last != NULL && g_ascii_isdigit(last[2]) && !g_ascii_isdigit(last[3]);
}

/* The option with the value of `raw`, made when it is new. */
static option *option_for(GArray *options, const dx_work *w, const dx_leaf *l,
                          const char *raw, const char *value, const dx_box *box,
                          const dx_page *p)
{
    g_autofree char *read = NULL;
    gboolean reads = value != NULL || dx_leaf_value(w, l, raw, &read);
    const char *text = value != NULL ? value : reads ? read : raw;
    for (guint i = 0; i < options->len; i++)
        if (is_same(l, g_array_index(options, option, i).value, text))
            return &g_array_index(options, option, i);
    option o = { .raw = g_strdup(raw),
                 .value = g_strdup(text),
                 .box = dx_page_box(p, box),
                 .reads = reads,
                 .page = p->number,
                 .is_read = p->is_read };
    o.is_checked = reads && dx_identifier_check(l->kind, text) == DX_VERDICT_PASS;
    if (o.is_checked)
        o.form = WORTH_FORM;
    if (reads && l->kind == DX_KIND_AMOUNT)
        o.form = has_cents(raw) ? WORTH_FORM : WORTH_BARE;
    o.seen = p->is_read && p->layout != NULL ? dx_seen(p->layout, p->words, box) : 1;
    g_array_append_val(options, o);
    return &g_array_index(options, option, options->len - 1);
}

static void hear_labels(GArray *options, const dx_work *w, const dx_page *p,
                        const dx_leaf *l, const dx_choices *choices)
{
    for (guint i = 0; i < dx_choices_count(choices); i++) {
        double weight;
        gsize start, end;
        const char *text = dx_choices_text(choices, i, &weight);
        if (weight < LABEL_LEAST ||
            !dx_choices_find(choices, text, &start, &end, &weight) || end == 0)
            continue;
        dx_box box;
        dx_layout_box(p->layout, start, end, &box);
        option *o = option_for(options, w, l, text, NULL, &box, p);
        o->label = MAX(o->label, WORTH_LABEL * weight);
    }
}

void dx_hear_clues(GArray *options, const dx_work *w, const dx_page *p, const dx_leaf *l,
                   const GArray *clues)
{
    for (guint i = 0; clues != NULL && i < clues->len; i++) {
        const dx_clue *c = &g_array_index(clues, dx_clue, i);
        if (strcmp(c->ask, l->ask) != 0)
            continue;
        option *o = option_for(options, w, l, c->raw, c->value, &c->box, p);
        if (c->seen > 0 && o->clue == 0 && o->label == 0 && o->answer == 0)
            o->seen = c->seen;
        o->clue = o->clue == 0 ? c->score : MAX(o->clue, c->score);
        o->is_stated |= !c->is_derived;
        if (o->parts == NULL)
            o->parts = json_incref(c->parts);
    }
}

gboolean dx_answer_place(const dx_work *w, const dx_page *p, const dx_choices *choices,
                         const char *answer, dx_box *box)
{
    gsize start, end;
    double weight;
    *box = (dx_box){ 0 };
    if (!dx_choices_find(choices, answer, &start, &end, &weight)) {
        const char *text = p->layout->text, *at = strstr(text, answer);
        if (!w->options->is_free)
            return FALSE;
        if (at == NULL)
            return TRUE;
        start = (gsize)(at - text);
        end = start + strlen(answer);
    }
    dx_layout_box(p->layout, start, end, box);
    return TRUE;
}

static void hear_answer(GArray *options, const dx_work *w, const dx_page *p,
                        const dx_leaf *l, const dx_verdicts *v)
{
    dx_box box;
    if (v->answer == NULL || !dx_answer_place(w, p, v->choices, v->answer, &box))
        return;
    option *o = NULL;
    for (guint i = 0; i < options->len && o == NULL;
         i++) /* a clue's print, answered as it stands */
        if (strcmp(g_array_index(options, option, i).raw, v->answer) == 0)
            o = &g_array_index(options, option, i);
    if (o == NULL)
        o = option_for(options, w, l, v->answer, NULL, &box, p);
    o->answer = MAX(o->answer, WORTH_CHOSEN + WORTH_ANSWER * sqrt(v->prob));
}

static double worth_of(const option *o)
{
    return o->label + o->clue + o->answer +
           (o->label + o->clue + o->answer > 0 ? o->form : 0) - (o->reads ? 0 : 2);
}

void dx_hear(GArray *options, const dx_work *w, const dx_page *p, const dx_leaf *l,
             const dx_verdicts *v)
{
    hear_labels(options, w, p, l, v->choices);
    dx_hear_clues(options, w, p, l, v->clues);
    hear_answer(options, w, p, l, v);
}

static gint by_worth(gconstpointer a, gconstpointer b)
{
    double x = worth_of(a), y = worth_of(b);
    return x > y ? -1 : x < y;
}

/* What the confidence of option `index` is made from. */
static dx_grounds grounds_of(const GArray *options, guint index)
{
    const option *o = &g_array_index(options, option, index);
    double rival = 0, next = 0;
    for (guint i = 0; i < options->len; i++) {
        const option *other = &g_array_index(options, option, i);
        if (i == index)
            continue;
        rival = MAX(rival, other->answer);
        if (other->label + other->clue > 0)
            next = MAX(next, worth_of(other) - other->answer);
    }
    double worth = worth_of(o);
    return (dx_grounds){ .worth = worth,
                         .lead = worth - o->answer - next,
                         .seen = o->seen,
                         .label = o->label,
                         .clue = o->clue,
                         .answer = o->answer,
                         .rival = rival,
                         .is_checked = o->is_checked,
                         .is_read = o->is_read,
                         .is_stated = o->is_stated };
}

json_t *dx_option_leaf(GArray *options, const dx_leaf *l, guint index,
                       dx_grounds *grounds, json_t **parts)
{
    *parts = NULL;
    *grounds = (dx_grounds){ 0 };
    if (index == 0)
        g_array_sort(options, by_worth);
    const option *o =
        index < options->len ? &g_array_index(options, option, index) : NULL;
    if (o == NULL || worth_of(o) < WORTH_LEAST)
        return NULL;
    *grounds = grounds_of(options, index);
    if (o->parts != NULL)
        *parts = json_incref(o->parts);
    json_t *leaf = dx_leaf_new(o->page, o->is_read, o->value, o->raw, &o->box,
                               dx_trust(grounds, l->kind, l->ask, 0));
    if (o->label == 0 && o->answer == 0 && !o->is_stated)
        json_object_set_new(leaf, "source", json_string("derived"));
    return leaf;
}

json_t *dx_unanswered_leaf(GArray *options, const dx_leaf *l, dx_grounds *grounds)
{
    json_t *parts;
    for (guint i = 0; i < options->len; i++)
        g_array_index(options, option, i).answer = 0;
    json_t *leaf = dx_option_leaf(options, l, 0, grounds, &parts);
    json_decref(parts);
    return leaf;
}

json_t *dx_decide(GArray *options, const dx_leaf *l, dx_grounds *grounds, json_t **parts)
{
    json_t *leaf = dx_option_leaf(options, l, 0, grounds, parts);
    if (leaf == NULL)
        return dx_null_leaf();
    gboolean is_alone = grounds->label == 0 && grounds->clue == 0;
    if (!is_alone || l->is_required ||
        dx_trust(grounds, l->kind, l->ask, 0) >= ALONE_LEAST)
        return leaf;
    json_decref(leaf);
    g_clear_pointer(parts, json_decref);
    *grounds = (dx_grounds){ 0 };
    return dx_null_leaf();
}

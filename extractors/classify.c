/*
 * classify.c - the class of a document: every label scored as an answer, and by the titles
 *              that the paper gives itself.
 */
#include "extract.h"
#include "titles.h"

#include <math.h>
#include <string.h>

#define DECODER_PART 0.6 /* of the decoder's logits that count; fitted for confidence */
#define HAS_FIELDS   3.0 /* logits of a PDF that can be filled in, for a form */
#define FIELDS_LEAST 3u
#define UNTITLED     1.0 /* logits of "other" where the paper names no listed kind */
#define UNASKED                                                                          \
    (-3.0) /* the same of the default labels, whose "other" is for prose alone */
#define PROSE        0.7 /* the same where it is running text besides */
#define PROSE_WORDS  100u
#define PROSE_RUN    6u   /* words of a line that is a line of text */
#define PROSE_LINES  0.6  /* part of the words that stand in such lines, at least */
#define PROSE_DIGITS 0.02 /* part of the words that have digits, at most */

static const char *const default_labels[] = {
    "invoice",   "credit note",  "receipt",        "purchase order", "delivery note",
    "quotation", "reminder",     "bank statement", "payslip",        "contract",
    "letter",    "email",        "memo",           "form",           "resume",
    "report",    "news article", "specification",  "advertisement",  "other",
    NULL
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
        json_array_append_new(others,
                              json_pack("{s:s, s:f}", "label", labels[next], "confidence",
                                        exp(logprob[next] - top) / sum));
    }
    return json_pack("{s:s, s:f, s:o}", "label", labels[best], "confidence", 1 / sum,
                     "alternatives", others);
}

static gboolean is_other(const char *label)
{
    static const char *const names[] = { "other", "unknown", "none",  "sonstiges",
                                         "autre", "otro",    "altro", "overig",
                                         "outro", "inne" };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (g_ascii_strcasecmp(label, names[i]) == 0)
            return TRUE;
    return FALSE;
}

/* Words of a cell, and those of them with a digit. */
static guint words_of(const dx_layout *t, const dx_cell *cell, guint *digits)
{
    guint count = 0;
    gboolean is_word = FALSE, has_digit = FALSE;
    for (gsize i = cell->start; i <= cell->end && i <= t->bytes; i++) {
        char c = i < cell->end ? t->text[i] : ' ';
        if (c != ' ') {
            is_word = TRUE;
            has_digit |= g_ascii_isdigit(c);
        } else if (is_word) {
            count++;
            *digits += has_digit;
            is_word = has_digit = FALSE;
        }
    }
    return count;
}

/* Running text without the numbers that papers of a business carry. */
static gboolean is_prose(const dx_layout *t)
{
    guint count = 0, running = 0, digits = 0;
    for (guint i = 0; i < t->cells->len; i++) {
        guint n = words_of(t, &g_array_index(t->cells, dx_cell, i), &digits);
        count += n;
        running += n >= PROSE_RUN ? n : 0;
    }
    return count >= PROSE_WORDS && running >= PROSE_LINES * count &&
           digits <= PROSE_DIGITS * count;
}

/* "other" has what the labels but the best have together, so that it wins when none has half;
 * more where no heading speaks for any of them, and where the page is running text. */
static void weigh_other(const char *const *labels, double *logit, guint count,
                        double untitled)
{
    double top = -G_MAXDOUBLE, sum = 0;
    for (guint i = 0; i < count; i++)
        top = is_other(labels[i]) ? top : MAX(top, logit[i]);
    for (guint i = 0; i < count; i++)
        sum += is_other(labels[i]) ? 0 : exp(logit[i] - top);
    for (guint i = 0; i < count; i++)
        if (is_other(labels[i]))
            logit[i] = top + log(sum - 1 + exp(MIN(logit[i] - top, 0))) + untitled;
}

/* What the decoder says, what the paper calls itself, and whether it can be filled in. */
static void weigh(const dx_work *w, const dx_page *p, const char *const *labels,
                  double *logit, guint count)
{
    g_autofree const char **classes = g_new0(const char *, count);
    g_autoptr(GArray) fields =
        w->source->fields != NULL ? w->source->fields(w->source->user, NULL) : NULL;
    for (guint i = 0; i < count; i++) {
        classes[i] = dx_title_class(labels[i]);
        logit[i] *= DECODER_PART;
        if (g_strcmp0(classes[i], "form") == 0 && fields != NULL &&
            fields->len >= FIELDS_LEAST)
            logit[i] += HAS_FIELDS;
    }
    g_autofree double *titles = g_new0(double, count);
    gboolean is_titled = FALSE;
    dx_title_scores(p->layout, p->words, classes, count, titles);
    for (guint i = 0; i < count; i++) {
        logit[i] += titles[i];
        is_titled |= titles[i] > 0;
    }
    double untitled = w->options->labels == NULL ? UNASKED : is_titled ? 0 : UNTITLED;
    if (!is_titled && is_prose(p->layout))
        untitled = UNTITLED + PROSE;
    weigh_other(labels, logit, count, untitled);
}

json_t *dx_classify(dx_engine *engine, const dx_source *source, const dx_options *options,
                    GError **error)
{
    dx_work w = { .engine = engine, .source = source, .options = options };
    dx_tell(options, "classifying", 1, source->page_count);
    g_autoptr(dx_page) p = dx_page_open(&w, 0, error);
    g_autoptr(dx_session) session =
        p != NULL ? dx_session_new(engine->model,
                                   options->is_vision_used ? p->vision : NULL, error)
                  : NULL;
    if (session == NULL)
        return NULL;
    const char *const *labels =
        options->labels != NULL ? options->labels : default_labels;
    guint count = g_strv_length((char **)labels);
    g_autofree char *names = g_strjoinv(", ", (char **)labels);
    if (options->labels == NULL) /* what fits none is no answer to the question */
        *strrchr(names, ',') = '\0';
    g_autofree char *question = g_strconcat("Classify: ", names, NULL);
    g_autofree double *logprob = g_new0(double, count);
    if (!dx_session_ask(session, p->layout->text, question, error) ||
        !dx_answer_score(engine->model, dx_session_context(session), labels, count,
                         logprob, error))
        return NULL;
    weigh(&w, p, labels, logprob, count);
    return ranked(labels, logprob, count);
}

/*
 * classify.c - the class of a document: every label scored as an answer.
 */
#include "extract.h"

#include <math.h>
#include <string.h>

static const char *const default_labels[] = {
    "invoice",   "credit note",  "receipt",        "purchase order", "delivery note",
    "quotation", "reminder",     "bank statement", "payslip",        "contract",
    "letter",    "email",        "memo",           "form",           "resume",
    "report",    "news article", "specification",  "advertisement",  NULL
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
    g_autofree char *question = g_strconcat("Classify: ", names, NULL);
    g_autofree double *logprob = g_new0(double, count);
    if (!dx_session_ask(session, p->layout->text, question, error) ||
        !dx_answer_score(engine->model, dx_session_context(session), labels, count,
                         logprob, error))
        return NULL;
    return ranked(labels, logprob, count);
}

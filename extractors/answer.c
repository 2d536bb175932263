/*
 * answer.c - candidates as a sorted list, the answer as a small state machine over it.
 *
 * The candidates that fit what has been written so far are always one range of the sorted
 * list, so a state is two indices and a depth, whatever the page holds.
 */
#include "answer.h"
#include "prompt.h"

#include <math.h>
#include <string.h>

#define FREE_BYTES_MAX 200u /* of a value that is written freely */

typedef struct choice {
    char *json; /* escaped, with the closing quote */
    char *text;
    gsize start, end;
    double weight;
} choice;

struct dx_choices {
    GArray *all; /* of choice */
};

static void clear_choice(gpointer data)
{
    g_free(((choice *)data)->json);
    g_free(((choice *)data)->text);
}

dx_choices *dx_choices_new(void)
{
    dx_choices *choices = g_new0(dx_choices, 1);
    choices->all = g_array_new(FALSE, TRUE, sizeof(choice));
    g_array_set_clear_func(choices->all, clear_choice);
    return choices;
}

void dx_choices_free(dx_choices *choices)
{
    if (choices == NULL)
        return;
    g_array_unref(choices->all);
    g_free(choices);
}

static char *escape(const char *text)
{
    GString *out = g_string_new(NULL);
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            g_string_append_c(out, '\\');
        if ((guchar)*c < 0x20)
            g_string_append_c(out, ' ');
        else
            g_string_append_c(out, *c);
    }
    g_string_append_c(out, '"');
    return g_string_free(out, FALSE);
}

void dx_choices_add(dx_choices *choices, const char *text, gsize start, gsize end,
                    double weight)
{
    if (*text == '\0')
        return;
    choice c = { .json = escape(text),
                 .text = g_strdup(text),
                 .start = start,
                 .end = end,
                 .weight = weight };
    g_array_append_val(choices->all, c);
}

static int by_json(gconstpointer a, gconstpointer b)
{
    const choice *p = a, *q = b;
    int order = strcmp(p->json, q->json);
    return order != 0              ? order
           : p->weight > q->weight ? -1
           : p->weight < q->weight ? 1
                                   : 0;
}

void dx_choices_seal(dx_choices *choices)
{
    g_array_sort(choices->all, by_json);
    guint kept = 0; /* of equal texts the best place stays */
    for (guint i = 0; i < choices->all->len; i++) {
        choice *c = &g_array_index(choices->all, choice, i);
        if (kept > 0 &&
            strcmp(g_array_index(choices->all, choice, kept - 1).json, c->json) == 0)
            continue;
        if (kept != i) {
            choice *to = &g_array_index(choices->all, choice, kept);
            choice swap = *to;
            *to = *c;
            *c = swap;
        }
        kept++;
    }
    g_array_set_size(choices->all, kept);
}

guint dx_choices_count(const dx_choices *choices)
{
    return choices->all->len;
}

gboolean dx_choices_find(const dx_choices *choices, const char *text, gsize *start,
                         gsize *end, double *weight)
{
    for (guint i = 0; i < choices->all->len; i++) {
        const choice *c = &g_array_index(choices->all, choice, i);
        if (strcmp(c->text, text) != 0)
            continue;
        *start = c->start;
        *end = c->end;
        *weight = c->weight;
        return TRUE;
    }
    return FALSE;
}

const char *dx_choices_text(const dx_choices *choices, guint i, double *weight)
{
    const choice *c = &g_array_index(choices->all, choice, i);
    *weight = c->weight;
    return c->text;
}

/* ---- the machine ----------------------------------------------------------------
 *
 * Only key names are forced.  The punctuation between them belongs to the sampled part,
 * because the tokenizer joins it (`":"`, `","`): cutting there would show the model token
 * sequences that it has never seen, and bias it towards null. */

typedef enum phase { PHASE_FORCED, PHASE_VALUE, PHASE_LIST, PHASE_END } phase;

typedef struct machine {
    const vl_model *model;
    const dx_form *form;
    phase now;
    GString *forced; /* text to write next */
    guint slot, row;
    GString *typed;      /* of the sampled part */
    const char *ends[3]; /* what may follow the value, NULL-terminated */
    double bias;
    double logprob;      /* of the value so far */
    GArray *values;      /* of dx_answer_value */
    float *raise;        /* [vocab] bias of the allowed tokens */
    int32_t *by_byte;    /* [vocab] tokens in the order of their first bytes */
    uint32_t first[257]; /* of each byte in by_byte; [256] is their count */
    uint32_t vocab;
    gboolean is_sampled; /* the last step went through the sampler */
    GCancellable *cancellable;
} machine;

static const dx_slot *slot_of(const machine *m)
{
    return &m->form->slots[m->slot];
}

static void force_text(machine *m, const char *text)
{
    g_string_assign(m->forced, text);
    m->now = PHASE_FORCED;
}

static void start_value(machine *m)
{
    gboolean is_last = m->slot + 1 == m->form->slot_count;
    gboolean is_list = m->form->list != NULL;
    m->ends[0] = !is_last ? ",\"" : is_list ? "}]}" : "}";
    m->ends[1] = is_last && is_list && m->row + 1 < m->form->rows_max ? "},{\"" : NULL;
    m->ends[2] = NULL;
    g_string_truncate(m->typed, 0);
    m->logprob = 0;
    m->now = PHASE_VALUE;
}

static gboolean is_prefix(const char *head, gsize n, const char *whole)
{
    return n <= strlen(whole) && memcmp(head, whole, n) == 0;
}

static gboolean is_end_prefix(const machine *m, const char *head, gsize n)
{
    for (guint k = 0; m->ends[k] != NULL; k++)
        if (is_prefix(head, n, m->ends[k]))
            return TRUE;
    return FALSE;
}

/* First candidate not below `want` in its first n bytes (or above, with `is_above`). */
static guint bound(const GArray *all, const char *want, gsize n, gboolean is_above)
{
    guint low = 0, high = all->len;
    while (low < high) {
        guint mid = (low + high) / 2;
        int order = strncmp(g_array_index(all, choice, mid).json, want, n);
        if (order < 0 || (is_above && order == 0))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* The length of the JSON string at `text` with its closing quote, 0 when it is open. */
static gsize closed_length(const char *text, gsize n)
{
    for (gsize i = 0; i < n; i++) {
        if (text[i] == '\\')
            i++;
        else if (text[i] == '"')
            return i + 1;
    }
    return 0;
}

/* Does this stand in a JSON string that is short and not empty? */
static gboolean is_short_text(const char *text, gsize n, gboolean is_whole)
{
    const char *end;
    if (n > FREE_BYTES_MAX || (is_whole && n == 0))
        return FALSE;
    for (gsize i = 0; i < n; i++) {
        if ((guchar)text[i] < 0x20)
            return FALSE;
        if (text[i] == '\\' && ++i < n && memchr("\"\\/nt", text[i], 5) == NULL)
            return FALSE;
    }
    return g_utf8_validate_len(text, n, &end) ||
           (!is_whole && g_utf8_get_char_validated(end, text + n - end) == (gunichar)-2);
}

/* Does `head` begin an answer to the slot?  Gives the candidates that fit; for null the
 * range is empty. */
static gboolean fits(const machine *m, const char *head, gsize n, guint *lo, guint *hi)
{
    static const char null_text[] = "\":null", open_text[] = "\":\"";
    const gsize null_bytes = sizeof null_text - 1, open_bytes = sizeof open_text - 1;
    *lo = *hi = 0;
    if (!slot_of(m)->is_required && n > 2 &&
        is_prefix(head, MIN(n, null_bytes), null_text))
        return n <= null_bytes || is_end_prefix(m, head + null_bytes, n - null_bytes);
    if (!is_prefix(head, MIN(n, open_bytes), open_text))
        return is_prefix(head, n, null_text) && !slot_of(m)->is_required;
    const char *want = head + MIN(n, open_bytes);
    gsize length = n - MIN(n, open_bytes), closed = closed_length(want, length);
    gsize used = closed > 0 ? closed : length;
    if (slot_of(m)->choices == NULL)
        return is_short_text(want, closed > 0 ? closed - 1 : length, closed > 0) &&
               (closed == 0 || is_end_prefix(m, want + closed, length - closed));
    const GArray *all = slot_of(m)->choices->all;
    *lo = bound(all, want, used, FALSE);
    *hi = bound(all, want, used, TRUE);
    if (*hi == *lo)
        return n <= 2 && !slot_of(m)->is_required;
    return closed == 0 || is_end_prefix(m, want + closed, length - closed);
}

static double best_weight(const machine *m, guint lo, guint hi)
{
    double best = 0;
    for (guint i = lo; i < hi && best < 1; i++)
        best = MAX(best, g_array_index(slot_of(m)->choices->all, choice, i).weight);
    return best;
}

/* `typed` with the bytes of a token; NULL when that is longer than any answer. */
static const char *joined(const machine *m, const char *bytes, gsize length, char *room,
                          gsize size)
{
    if (m->typed->len + length >= size)
        return NULL;
    memcpy(room, m->typed->str, m->typed->len);
    memcpy(room + m->typed->len, bytes, length);
    room[m->typed->len + length] = '\0';
    return room;
}

static gboolean allow(machine *m, const char *head, gsize n, float *raise)
{
    *raise = 0;
    if (m->now == PHASE_LIST)
        return is_prefix(head, n, "\":[{\"") || is_prefix(head, n, "\":[]}");
    guint lo, hi;
    if (!fits(m, head, n, &lo, &hi))
        return FALSE;
    if (n > 2 && hi > lo)
        *raise = (float)(m->bias * best_weight(m, lo, hi));
    return TRUE;
}

/* Tokens that have bytes, by their first one. */
static void sort_tokens(machine *m)
{
    uint32_t count[256] = { 0 };
    size_t length;
    for (uint32_t id = 0; id < m->vocab; id++) {
        const char *bytes = vl_token_bytes(m->model, (int32_t)id, &length);
        if (length > 0)
            count[(guchar)*bytes]++;
    }
    for (guint k = 0; k < 256; k++)
        m->first[k + 1] = m->first[k] + count[k];
    for (uint32_t id = m->vocab; id-- > 0;) {
        const char *bytes = vl_token_bytes(m->model, (int32_t)id, &length);
        if (length > 0) {
            guint k = (guchar)*bytes;
            m->by_byte[m->first[k] + --count[k]] = (int32_t)id;
        }
    }
}

static gboolean allow_bytes(machine *m, const char *bytes, gsize length, float *raise)
{
    char room[600];
    const char *head = joined(m, bytes, length, room, sizeof room);
    return head != NULL && allow(m, head, m->typed->len + length, raise);
}

static vl_step allow_tokens(machine *m, uint32_t *mask)
{
    memset(mask, 0, (m->vocab + 31) / 32 * sizeof *mask);
    memset(m->raise, 0, m->vocab * sizeof *m->raise);
    gboolean is_any = FALSE;
    for (guint k = 0; k < 256; k++) {
        char byte = (char)k;
        float unused;
        /* What begins with a byte that cannot follow cannot follow. */
        if (m->first[k] == m->first[k + 1] || !allow_bytes(m, &byte, 1, &unused))
            continue;
        for (uint32_t i = m->first[k]; i < m->first[k + 1]; i++) {
            int32_t id = m->by_byte[i];
            size_t length;
            const char *bytes = vl_token_bytes(m->model, id, &length);
            if (!allow_bytes(m, bytes, length, &m->raise[id]))
                continue;
            mask[id / 32] |= 1u << (id % 32);
            is_any = TRUE;
        }
    }
    return is_any ? VL_STEP_SAMPLE : VL_STEP_FAIL;
}

static vl_step on_next(void *user, uint32_t *mask, int32_t *forced, size_t forced_max,
                       size_t *forced_count)
{
    machine *m = user;
    m->is_sampled = FALSE;
    if (g_cancellable_is_cancelled(m->cancellable))
        return VL_STEP_FAIL;
    if (m->now == PHASE_END)
        return VL_STEP_END;
    if (m->now != PHASE_FORCED) {
        m->is_sampled = TRUE;
        return allow_tokens(m, mask);
    }
    *forced_count =
        dx_tokenize(m->model, m->forced->str, m->forced->len, forced, forced_max);
    if (*forced_count > forced_max)
        return VL_STEP_FAIL;
    gboolean is_list = m->form->list != NULL && m->values->len == 0 && m->typed->len == 0;
    if (is_list)
        m->now = PHASE_LIST;
    else
        start_value(m);
    return VL_STEP_FORCED;
}

/* The last three rows say the same: the list has run away. */
static gboolean is_running_on(const machine *m)
{
    guint n = m->form->slot_count;
    if (m->row < 3)
        return FALSE;
    for (guint k = m->values->len - n; k < m->values->len; k++)
        for (guint back = 1; back <= 2; back++)
            if (g_strcmp0(g_array_index(m->values, dx_answer_value, k).text,
                          g_array_index(m->values, dx_answer_value, k - back * n).text) !=
                0)
                return FALSE;
    return TRUE;
}

static void end_value(machine *m, char *text, gboolean is_row_next)
{
    dx_answer_value value = { .text = text, .prob = exp(m->logprob) };
    g_array_append_val(m->values, value);
    if (++m->slot < m->form->slot_count) {
        force_text(m, slot_of(m)->key);
        return;
    }
    m->slot = 0;
    m->row++;
    if (is_row_next && !is_running_on(m))
        force_text(m, slot_of(m)->key);
    else
        m->now = PHASE_END;
}

/* Has the value been written to its end? */
static void look_for_end(machine *m)
{
    const char *head = m->typed->str;
    gsize n = m->typed->len;
    gboolean is_null = n >= 6 && memcmp(head, "\":null", 6) == 0;
    gsize closed = is_null ? 6 : n > 3 ? closed_length(head + 3, n - 3) : 0;
    if (closed == 0)
        return;
    gsize used = is_null ? 6 : 3 + closed;
    for (guint k = 0; m->ends[k] != NULL; k++) {
        if (strcmp(head + used, m->ends[k]) != 0)
            continue;
        char *text = NULL;
        guint lo, hi;
        if (!is_null && slot_of(m)->choices == NULL) {
            json_t *string = json_loadb(head + 2, used - 2, JSON_DECODE_ANY, NULL);
            text = g_strdup(json_string_value(string));
            json_decref(string);
        } else if (!is_null && fits(m, head, used, &lo, &hi) && hi > lo)
            text = g_strdup(g_array_index(slot_of(m)->choices->all, choice, lo).text);
        end_value(m, text, k == 1);
        return;
    }
}

static void on_accept(void *user, int32_t token)
{
    machine *m = user;
    if (!m->is_sampled)
        return;
    size_t length;
    const char *bytes = vl_token_bytes(m->model, token, &length);
    g_string_append_len(m->typed, bytes, (gssize)length);
}

static bool on_token(void *user, const vl_step_info *step)
{
    machine *m = user;
    if (step->is_forced)
        return true;
    if (m->now == PHASE_LIST) {
        if (strcmp(m->typed->str, "\":[]}") == 0)
            m->now = PHASE_END;
        else if (strcmp(m->typed->str, "\":[{\"") == 0)
            force_text(m, slot_of(m)->key);
        return true;
    }
    m->logprob += log(MAX(step->prob, 1e-9f));
    look_for_end(m);
    return true;
}

static void on_bias(void *user, float *logits)
{
    machine *m = user;
    for (uint32_t i = 0; i < m->vocab; i++)
        logits[i] += m->raise[i];
}

/* ---- what is likely to follow ----------------------------------------------------
 *
 * The best placed candidate that fits, or null.  Most answers are what the labels say, and
 * once the decoder has begun a candidate it writes it to its end.  A wrong guess costs a
 * little time and changes nothing. */

#define GUESS_WEIGHT 0.3 /* below, null is likelier where nothing has been written yet */

typedef struct guess {
    int32_t *ids;
    bool *is_run_end;
    gsize count, max;
} guess;

/* The best of the candidates [lo, hi), of equals the longest: it begins like the others. */
static const choice *likeliest(const dx_choices *choices, guint lo, guint hi)
{
    const choice *best = NULL;
    for (guint i = lo; i < hi; i++) {
        const choice *c = &g_array_index(choices->all, choice, i);
        if (best == NULL || c->weight > best->weight ||
            (c->weight == best->weight && strlen(c->json) > strlen(best->json)))
            best = c;
    }
    return best;
}

/* The whole of slot `slot` that begins with `typed`; FALSE when nothing is to be said. */
static gboolean guess_value(const machine *m, guint slot, const char *typed, gsize n,
                            GString *out)
{
    const dx_slot *s = &m->form->slots[slot];
    gboolean is_null = n > 2 && typed[2] == 'n';
    g_string_assign(out, "\":null");
    if (s->choices == NULL || is_null)
        return is_null;
    guint lo = 0, hi = s->choices->all->len;
    if (n > 3) {
        lo = bound(s->choices->all, typed + 3, n - 3, FALSE);
        hi = bound(s->choices->all, typed + 3, n - 3, TRUE);
    }
    const choice *best = likeliest(s->choices, lo, hi);
    if (best == NULL || (n <= 2 && best->weight < GUESS_WEIGHT))
        return n <= 2;
    g_string_printf(out, "\":\"%s", best->json);
    return TRUE;
}

static gboolean add_guess(const machine *m, guess *g, const char *text, gsize bytes,
                          gboolean is_forced)
{
    gsize room = g->max - g->count;
    int32_t ids[FREE_BYTES_MAX + 64];
    gsize n = dx_tokenize(m->model, text, bytes, ids, G_N_ELEMENTS(ids));
    gboolean is_whole = n <= MIN(room, G_N_ELEMENTS(ids));
    n = MIN(n, MIN(room, G_N_ELEMENTS(ids)));
    for (gsize i = 0; i < n; i++, g->count++) {
        g->ids[g->count] = ids[i];
        g->is_run_end[g->count] = !is_forced || (is_whole && i + 1 == n);
    }
    return is_whole;
}

/* The value at hand with what closes it, the next key, the next value ... */
static size_t on_guess(void *user, int32_t *ids, bool *is_run_end, size_t max)
{
    const machine *m = user;
    guess g = { ids, is_run_end, 0, max };
    const dx_form *form = m->form;
    g_autoptr(GString) text = g_string_new(NULL);
    gsize typed = m->typed->len;
    if (m->now != PHASE_VALUE)
        return 0;
    for (guint slot = m->slot; slot < form->slot_count; slot++, typed = 0) {
        gboolean is_last = slot + 1 == form->slot_count;
        if (!guess_value(m, slot, m->typed->str, typed, text) || typed > text->len ||
            memcmp(text->str, m->typed->str, typed) != 0)
            break;
        if (!is_last)
            g_string_append(text, ",\"");
        if (!add_guess(m, &g, text->str + typed, text->len - typed, FALSE) || is_last ||
            g.count == 0)
            break;
        g.is_run_end[g.count - 1] = false; /* the key comes before the next logits */
        const char *key = form->slots[slot + 1].key;
        if (!add_guess(m, &g, key, strlen(key), TRUE))
            break;
    }
    return g.count;
}

static void clear_value(gpointer data)
{
    g_free(((dx_answer_value *)data)->text);
}

gboolean dx_answer_run(const vl_model *model, dx_vocab *vocab, vl_context *context,
                       const dx_form *form, uint32_t tokens_max, double bias,
                       GCancellable *cancellable, GArray **values, gboolean *is_truncated,
                       GError **error)
{
    uint32_t size = vl_model_get_info(model)->vocab;
    machine m = { .model = model,
                  .form = form,
                  .forced = g_string_new(NULL),
                  .typed = g_string_new(NULL),
                  .bias = bias,
                  .vocab = size,
                  .raise = g_new0(float, size),
                  .by_byte = g_new(int32_t, size),
                  .cancellable = cancellable,
                  .values = g_array_new(FALSE, TRUE, sizeof(dx_answer_value)) };
    g_array_set_clear_func(m.values, clear_value);
    sort_tokens(&m);
    g_autofree char *opening =
        g_strconcat("{\"", form->list != NULL ? form->list : form->slots[0].key, NULL);
    force_text(&m, opening);
    vl_constraint constraint = { .user = &m,
                                 .next = on_next,
                                 .accept = on_accept,
                                 .bias = on_bias,
                                 .guess = on_guess };
    vl_generate_opts opts = { .tokens_max = tokens_max,
                              .constraint = &constraint,
                              .on_token = on_token,
                              .user = &m };
    vl_end end = VL_END_EOS;
    vl_error err = { 0 };
    gboolean is_ok = vl_generate(context, &opts, &end, &err);
    g_string_free(m.forced, TRUE);
    g_string_free(m.typed, TRUE);
    g_free(m.raise);
    g_free(m.by_byte);
    if (!is_ok || g_cancellable_is_cancelled(cancellable)) {
        g_array_unref(m.values);
        g_set_error(error, DX_ERROR, is_ok ? DX_CANCELLED : DX_MODEL, "%s",
                    is_ok ? "cancelled" : err.text);
        return FALSE;
    }
    *is_truncated = end == VL_END_LENGTH || end == VL_END_DEAD;
    if (form->list != NULL) /* a row that was cut is not a row */
        g_array_set_size(m.values, m.values->len / form->slot_count * form->slot_count);
    *values = m.values;
    return TRUE;
}

gboolean dx_answer_score(const vl_model *model, vl_context *context,
                         const char *const *texts, guint count, double *logprob,
                         GError **error)
{
    uint32_t vocab = vl_model_get_info(model)->vocab,
             start = vl_context_position(context);
    g_autofree float *first =
        g_memdup2(vl_context_logits(context), vocab * sizeof(float));
    for (guint i = 0; i < count; i++) {
        int32_t ids[64];
        size_t n = dx_tokenize(model, texts[i], strlen(texts[i]), ids, 63);
        n = MIN(n, 63);
        ids[n++] = vl_token_special(model, VL_TOKEN_EOS);
        const float *logits = first;
        logprob[i] = 0;
        for (size_t k = 0; k < n; k++) {
            double top = logits[0], sum = 0;
            for (uint32_t t = 1; t < vocab; t++)
                top = MAX(top, logits[t]);
            for (uint32_t t = 0; t < vocab; t++)
                sum += exp(logits[t] - top);
            logprob[i] += logits[ids[k]] - top - log(sum);
            vl_error err = { 0 };
            if (k + 1 < n && !vl_context_add_tokens(context, &ids[k], 1, &err)) {
                g_set_error(error, DX_ERROR, DX_MODEL, "%s", err.text);
                return FALSE;
            }
            logits = vl_context_logits(context);
        }
        vl_context_rewind(context, start);
    }
    return TRUE;
}

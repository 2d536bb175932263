/*
 * test_answer.c - what the answer's machine allows and guesses, looked at from behind its
 * header: it is walked through answers without a decoder.
 */
#include "../../extractors/answer.c"

static vl_model *model;

static dx_choices *choices_of(const char *const *texts)
{
    dx_choices *choices = dx_choices_new();
    for (guint i = 0; texts[i] != NULL; i++)
        dx_choices_add(choices, texts[i], i, i + 1, (i % 4) / 4.0);
    dx_choices_seal(choices);
    return choices;
}

typedef struct trial {
    dx_choices *dates, *names, *none;
    dx_slot slots[5];
    dx_form form;
    machine m;
} trial;

static trial *trial_new(const char *list)
{
    static const char *const dates[] = { "1.2.2024", "1.2.2025", "11.2.2024", NULL };
    static const char *const names[] = { "Bolt & Nut",  "Bolt & Nut Ltd", "Bolt",
                                         "\"Q\" \\ Co", "Märkte GmbH",    "Ölmühle",
                                         "Nut",         "null",           NULL };
    static const char *const none[] = { NULL };
    trial *t = g_new0(trial, 1);
    t->dates = choices_of(dates);
    t->names = choices_of(names);
    t->none = choices_of(none);
    t->slots[0] = (dx_slot){ "issue_date", t->dates, FALSE };
    t->slots[1] = (dx_slot){ "seller_name", t->names, TRUE };
    t->slots[2] = (dx_slot){ "iban", t->none, FALSE };
    t->slots[3] = (dx_slot){ "note", NULL, FALSE };
    t->slots[4] = (dx_slot){ "buyer_name", t->names, FALSE };
    t->form = (dx_form){ t->slots, G_N_ELEMENTS(t->slots), list, 3 };
    t->m = (machine){ .model = model,
                      .form = &t->form,
                      .forced = g_string_new(list != NULL ? list : "issue_date"),
                      .typed = g_string_new(NULL),
                      .bias = 2,
                      .vocab = vl_model_get_info(model)->vocab,
                      .values = g_array_new(FALSE, TRUE, sizeof(dx_answer_value)) };
    g_array_set_clear_func(t->m.values, clear_value);
    t->m.raise = g_new0(float, t->m.vocab);
    t->m.by_byte = g_new0(int32_t, t->m.vocab);
    sort_tokens(&t->m);
    return t;
}

static void trial_free(trial *t)
{
    dx_choices_free(t->dates);
    dx_choices_free(t->names);
    dx_choices_free(t->none);
    g_string_free(t->m.forced, TRUE);
    g_string_free(t->m.typed, TRUE);
    g_array_unref(t->m.values);
    g_free(t->m.raise);
    g_free(t->m.by_byte);
    g_free(t);
}

/* The mask says of every token what allow() says. */
static void check_mask(machine *m, const uint32_t *mask, GArray *allowed)
{
    g_array_set_size(allowed, 0);
    for (uint32_t id = 0; id < m->vocab; id++) {
        size_t length;
        float raise = 0;
        const char *bytes = vl_token_bytes(model, (int32_t)id, &length);
        gboolean is_allowed = length > 0 && allow_bytes(m, bytes, length, &raise);
        g_assert_cmpint(mask[id / 32] >> (id % 32) & 1, ==, is_allowed);
        g_assert_cmpfloat(m->raise[id], ==, is_allowed ? raise : 0);
        if (is_allowed)
            g_array_append_val(allowed, id);
    }
}

/* Walk to the end with tokens drawn at random, or with those that were guessed.  A guess is
 * a way that the machine can go, and ends its runs where the machine samples. */
static void walk(const char *list, gboolean is_guessed, guint *guessed)
{
    trial *t = trial_new(list);
    machine *m = &t->m;
    g_autofree uint32_t *mask = g_new0(uint32_t, m->vocab / 32 + 1);
    g_autoptr(GArray) allowed = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    int32_t ids[24], forced[256];
    bool is_run_end[24];
    size_t count = 0, at = 0, n;
    for (guint step = 0; m->now != PHASE_END; step++) {
        g_assert_cmpuint(step, <, 3000);
        vl_step what = on_next(m, mask, forced, G_N_ELEMENTS(forced), &n);
        if (what == VL_STEP_FORCED) {
            for (size_t i = 0; i < n; i++) {
                if (at < count) {
                    g_assert_cmpint(ids[at], ==, forced[i]);
                    g_assert_cmpint(is_run_end[at++], ==, i + 1 == n);
                }
                on_accept(m, forced[i]);
                on_token(m, &(vl_step_info){ forced[i], true, 1, 1 });
            }
            continue;
        }
        check_mask(m, mask, allowed);
        g_assert_cmpint(what, ==, allowed->len > 0 ? VL_STEP_SAMPLE : VL_STEP_FAIL);
        if (what == VL_STEP_FAIL) { /* only free text has dead ends: half a character */
            g_assert_null(slot_of(m)->choices);
            break;
        }
        if (at > 0)
            g_assert_true(is_run_end[at - 1]);
        if (at == count) {
            at = 0;
            count = on_guess(m, ids, is_run_end, G_N_ELEMENTS(ids));
            while (count > 0 && !is_run_end[count - 1])
                count--;
        }
        guint pick = (guint)g_test_rand_int_range(0, (gint32)allowed->len);
        int32_t token = (int32_t)g_array_index(allowed, uint32_t, pick);
        if (is_guessed && at < count) {
            token = ids[at++];
            g_assert_true(mask[token / 32] >> (token % 32) & 1);
            (*guessed)++;
        } else {
            at = count = 0;
        }
        on_accept(m, token);
        on_token(m, &(vl_step_info){ token, false, 0.5f, 0.5f });
    }
    trial_free(t);
}

static void test_mask(void)
{
    guint none = 0;
    for (int i = 0; i < 10; i++)
        walk(i % 2 == 0 ? NULL : "lines", FALSE, &none);
}

static void test_guess(void)
{
    guint guessed = 0;
    for (int i = 0; i < 10; i++)
        walk(i % 2 == 0 ? NULL : "lines", TRUE, &guessed);
    g_assert_cmpuint(guessed, >, 100);
}

int main(int argc, char **argv)
{
    vl_error err = { 0 };
    g_test_init(&argc, &argv, NULL);
    model = vl_model_open(g_getenv("DOCVL_TEST_MODEL"), NULL, &err);
    g_assert_cmpstr(err.text, ==, "");
    g_test_add_func("/answer/mask", test_mask);
    g_test_add_func("/answer/guess", test_guess);
    int status = g_test_run();
    vl_model_unref(model);
    return status;
}

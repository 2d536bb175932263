/*
 * mend.c - a second look after a failed check: the next values of the fields it reads.
 *
 * The choice of every value was made alone (decide.c).  Where a check says that the values
 * cannot all be right, the runners-up of its fields are tried together.  The combination
 * that gives up the least worth and lets the checks pass is taken, when it is near enough;
 * else nothing changes.  Two things are left out instead: a date that only the decoder
 * named, where it contradicts another, and rows that come out neither in themselves nor
 * with a sum that is proved.  Every change is told in the result.
 */
#include "extract.h"

#include "checks.h"

#include <string.h>

#define FIELDS_MAX  4u  /* of the failed checks */
#define OPTIONS_MAX 4u  /* of one field */
#define GIVEN_UP    1.2 /* logits that the whole combination may be worth less */

typedef struct field {
    guint index; /* of the leaf */
    guint count; /* of options */
    json_t *leaves[OPTIONS_MAX];
    json_t *parts[OPTIONS_MAX];
    dx_grounds grounds[OPTIONS_MAX];
} field;

typedef struct mending {
    dx_work *w;
    field fields[FIELDS_MAX];
    guint field_count;
    guint best[FIELDS_MAX];
    double given_up; /* by the best; GIVEN_UP at first */
    gboolean is_found;
} mending;

static void clear_field(field *f)
{
    for (guint i = 0; i < f->count; i++) {
        json_decref(f->leaves[i]);
        json_decref(f->parts[i]);
    }
}

static gboolean is_failed(const json_t *check)
{
    return g_strcmp0(json_string_value(json_object_get(check, "result")), "fail") == 0;
}

static gboolean is_error(const json_t *check)
{
    return g_strcmp0(json_string_value(json_object_get(check, "severity")), "error") == 0;
}

/* Sums of single amounts, and account numbers.  Dates and names are left alone: what they
 * say about each other is true on most papers only, and mending spoilt more than it mended.
 * So are sums over rows, which may lack one. */
static gboolean is_mendable(const json_t *check)
{
    if (!is_failed(check))
        return FALSE;
    int64_t amount;
    const char *lhs = json_string_value(json_object_get(check, "lhs"));
    const char *rhs = json_string_value(json_object_get(check, "rhs"));
    gboolean is_sum = lhs != NULL && rhs != NULL && dx_amount_parse(lhs, &amount) &&
                      dx_amount_parse(rhs, &amount);
    gsize i;
    json_t *name;
    json_array_foreach(json_object_get(check, "fields"), i, name) {
        const char *path = json_string_value(name);
        if (strstr(path, "[]") != NULL)
            return FALSE;
        if (g_str_has_suffix(path, ".iban") && is_error(check))
            return TRUE;
    }
    return is_sum;
}

static double failures(const json_t *checks)
{
    double count = 0;
    gsize i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check)
        count += !is_failed(check) ? 0 : is_mendable(check) ? 1 : 0.01;
    return count;
}

static gboolean is_read_by_failed(const json_t *checks, const char *path)
{
    gsize i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check)
        if (is_mendable(check) && dx_check_reads(check, path))
            return TRUE;
    return FALSE;
}

static void collect(mending *m, const json_t *checks)
{
    dx_work *w = m->w;
    for (guint i = 0; i < w->leaves->len && i < w->grounds->len; i++) {
        const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
        const dx_grounds *chosen = &g_array_index(w->grounds, dx_grounds, i);
        if (m->field_count == FIELDS_MAX || chosen->worth <= 0 ||
            !is_read_by_failed(checks, l->path))
            continue;
        field *f = &m->fields[m->field_count++];
        f->index = i;
        for (guint k = 0; k < OPTIONS_MAX; k++) {
            json_t *leaf = dx_option_leaf(g_ptr_array_index(w->heard, i), l, k,
                                          &f->grounds[k], &f->parts[k]);
            if (leaf == NULL)
                break;
            f->leaves[f->count++] = leaf;
        }
    }
}

static void put(mending *m, const guint *choice)
{
    for (guint i = 0; i < m->field_count; i++) {
        const field *f = &m->fields[i];
        const dx_leaf *l = &g_array_index(m->w->leaves, dx_leaf, f->index);
        dx_field_put(m->w->fields, l->path, json_incref(f->leaves[choice[i]]));
    }
}

/* Every combination, the nearest first in effect: one that gives up more than the best
 * so far is not looked at. */
static void try_all(mending *m, double now)
{
    guint choice[FIELDS_MAX] = { 0 };
    dx_check_opts opts = { .is_read_by_model = TRUE };
    for (;;) {
        guint at = 0; /* count up */
        while (at < m->field_count && ++choice[at] >= m->fields[at].count)
            choice[at++] = 0;
        if (at == m->field_count)
            return;
        double given_up = 0;
        for (guint i = 0; i < m->field_count; i++)
            given_up +=
                m->fields[i].grounds[0].worth - m->fields[i].grounds[choice[i]].worth;
        if (given_up >= m->given_up)
            continue;
        put(m, choice);
        json_t *checks = dx_checks_run(m->w->schema, m->w->fields, &opts, NULL);
        if (checks != NULL && failures(checks) <= now - 1) {
            m->given_up = given_up;
            m->is_found = TRUE;
            memcpy(m->best, choice, sizeof choice);
        }
        json_decref(checks);
    }
}

/* What was changed: {field, from, to} of every field. */
static json_t *take(mending *m)
{
    json_t *told = json_array();
    for (guint i = 0; i < m->field_count; i++) {
        const field *f = &m->fields[i];
        guint k = m->best[i];
        if (k == 0)
            continue;
        const dx_leaf *l = &g_array_index(m->w->leaves, dx_leaf, f->index);
        g_array_index(m->w->grounds, dx_grounds, f->index) = f->grounds[k];
        dx_put_parts(m->w, l, f->leaves[k], f->parts[k]);
        json_array_append_new(told,
                              json_pack("{s:s, s:O, s:O}", "field", l->path, "from",
                                        json_object_get(f->leaves[0], "value"), "to",
                                        json_object_get(f->leaves[k], "value")));
    }
    return told;
}

/* ---- what only the failed check spoke of ------------------------------------------------ */

/* Two values of one document that are no sum: dates, names. */
static gboolean is_comparison(const json_t *check)
{
    int64_t amount;
    const char *lhs = json_string_value(json_object_get(check, "lhs"));
    const char *rhs = json_string_value(json_object_get(check, "rhs"));
    return lhs != NULL && rhs != NULL && !dx_amount_parse(lhs, &amount);
}

/* A value that may be missing, that no label and no place on the page speaks for, and that
 * a comparison with a better one speaks against: the decoder named some date. */
static void drop_guesses(dx_work *w, const json_t *checks, json_t *told)
{
    for (guint i = 0; i < w->leaves->len && i < w->grounds->len; i++) {
        const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
        dx_grounds *g = &g_array_index(w->grounds, dx_grounds, i);
        gboolean is_guess = g->worth > 0 && g->label == 0 && g->clue == 0;
        gboolean is_doubted = FALSE;
        gsize k;
        json_t *check;
        json_array_foreach((json_t *)checks, k, check)
            is_doubted |= is_failed(check) && is_error(check) && is_comparison(check) &&
                          dx_check_reads(check, l->path);
        if (!is_guess || !is_doubted || l->is_required)
            continue;
        const json_t *leaf = dx_field_get(w->fields, l->path);
        json_array_append_new(told, json_pack("{s:s, s:O, s:n}", "field", l->path, "from",
                                              json_object_get(leaf, "value"), "to"));
        *g = (dx_grounds){ 0 };
        json_t *none = dx_null_leaf();
        dx_put_parts(w, l, none, NULL);
        dx_field_put(w->fields, l->path, none);
    }
}

static gboolean is_of_list(const char *path, const char *list)
{
    gsize n = strlen(list);
    return strncmp(path, list, n) == 0 && path[n] == '[';
}

/* How a failed check reads the rows of `list`: not at all, alone, or against single values
 * that another check proves. */
typedef enum row_check { ROWS_UNREAD, ROWS_ALONE, ROWS_AGAINST_PROVED } row_check;

static row_check reads_rows(const json_t *checks, const json_t *check, const char *list)
{
    gboolean is_read = FALSE, is_alone = TRUE, is_proved = TRUE;
    gsize i;
    json_t *name;
    json_array_foreach(json_object_get(check, "fields"), i, name) {
        const char *path = json_string_value(name);
        gboolean is_row = is_of_list(path, list);
        is_read |= is_row;
        is_alone &= is_row;
        is_proved &= is_row || (dx_check_marks(checks, path) & DX_CHECK_PROVED) != 0;
    }
    return !is_read    ? ROWS_UNREAD
           : is_alone  ? ROWS_ALONE
           : is_proved ? ROWS_AGAINST_PROVED
                       : ROWS_UNREAD;
}

/* Rows that do not come out in themselves, nor add up to a sum that does come out with the
 * others of its kind: some other table was taken for the one asked for. */
static void drop_rows(dx_work *w, const json_t *checks, json_t *told)
{
    for (guint i = 0; i < w->lists->len; i++) {
        const dx_list_leaf *list = g_ptr_array_index(w->lists, i);
        gboolean is_wrong[] = { FALSE, FALSE, FALSE };
        gsize k;
        json_t *check;
        json_array_foreach((json_t *)checks, k, check)
            if (is_failed(check) && is_error(check))
                is_wrong[reads_rows(checks, check, list->path)] = TRUE;
        json_t *rows = dx_field_get(w->fields, list->path);
        if (!is_wrong[ROWS_ALONE] || !is_wrong[ROWS_AGAINST_PROVED] ||
            json_array_size(rows) == 0)
            continue;
        json_array_append_new(told,
                              json_pack("{s:s, s:I, s:i}", "field", list->path, "from",
                                        (json_int_t)json_array_size(rows), "to", 0));
        json_array_clear(rows);
    }
}

json_t *dx_mend(dx_work *w, const json_t *checks)
{
    mending m = { .w = w, .given_up = GIVEN_UP };
    collect(&m, checks);
    json_t *told = NULL;
    if (m.field_count > 0) {
        guint first[FIELDS_MAX] = { 0 };
        try_all(&m, failures(checks));
        put(&m, m.is_found ? m.best : first);
        if (m.is_found)
            told = take(&m);
    }
    for (guint i = 0; i < m.field_count; i++)
        clear_field(&m.fields[i]);
    if (told == NULL)
        told = json_array();
    drop_guesses(w, checks, told);
    drop_rows(w, checks, told);
    if (json_array_size(told) == 0)
        g_clear_pointer(&told, json_decref);
    return told;
}

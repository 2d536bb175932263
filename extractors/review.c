/*
 * review.c - what the checks say about the values: their confidence, and whether somebody
 * should look at the document.
 *
 * A document needs review when a check of severity error failed, when a required value is
 * missing, or when a value that matters is not sure enough.  Values matter that are
 * required, that a check of severity error reads, or that have an x-review-below of their
 * own.  The other values tell their confidence and nothing more.
 */
#include "extract.h"

#include <string.h>

#define BELOW_DEFAULT 0.5 /* for a schema that says nothing */

/* "checks": {id: result} of those that read the field, beside its value. */
static void note_checks(json_t *leaf, const json_t *checks, const char *path)
{
    gsize i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check) {
        if (!dx_check_reads(check, path))
            continue;
        json_t *noted = json_object_get(leaf, "checks");
        if (noted == NULL) {
            noted = json_object();
            json_object_set_new(leaf, "checks", noted);
        }
        json_object_set(noted, json_string_value(json_object_get(check, "id")),
                        json_object_get(check, "result"));
    }
}

/* DOCVL_GROUNDS shows what a confidence was made from, for tests/bench/trust.py: "grounds",
 * and under "unanswered" the value that would stand without the decoder, with its own. */
static void show_grounds(dx_work *w, json_t *leaf, guint i, unsigned marks)
{
    const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
    json_object_set_new(leaf, "grounds",
                        dx_trust_table(&g_array_index(w->grounds, dx_grounds, i), l->kind,
                                       l->ask, marks));
    dx_grounds g;
    json_t *other = dx_unanswered_leaf(g_ptr_array_index(w->heard, i), l, &g);
    if (other == NULL)
        return;
    gboolean is_same =
        json_equal(json_object_get(other, "value"), json_object_get(leaf, "value"));
    json_object_set_new(
        leaf, "unanswered",
        json_pack("{s:O, s:O, s:o}", "value", json_object_get(other, "value"), "raw",
                  json_object_get(other, "raw"), "grounds",
                  dx_trust_table(&g, l->kind, l->ask, is_same ? marks : 0)));
    json_decref(other);
}

static void weigh_field(dx_work *w, const json_t *checks, guint i, gboolean is_shown)
{
    const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, i);
    const dx_grounds *g = &g_array_index(w->grounds, dx_grounds, i);
    json_t *leaf = dx_field_get(w->fields, l->path);
    if (dx_is_null(leaf) || g->worth <= 0)
        return;
    unsigned marks = dx_check_marks(checks, l->path);
    double confidence = dx_trust(g, l->kind, l->ask, marks);
    json_object_set_new(leaf, "confidence", json_real(confidence));
    note_checks(leaf, checks, l->path);
    if (is_shown)
        show_grounds(w, leaf, i, marks);
    const char *dot = strrchr(l->path, '.');
    gboolean is_address = dot != NULL && strcmp(dot, ".raw") == 0;
    for (guint k = 0; is_address && k < w->derived->len; k++) {
        const char *path = g_array_index(w->derived, dx_leaf, k).path;
        gsize stem = (gsize)(dot - l->path) + 1;
        json_t *part =
            strncmp(path, l->path, stem) == 0 && strchr(path + stem, '.') == NULL
                ? dx_field_get(w->fields, path)
                : NULL;
        if (!dx_is_null(part))
            json_object_set_new(part, "confidence", json_real(confidence));
    }
}

void dx_weigh_fields(dx_work *w, const json_t *checks)
{
    gboolean is_shown = g_getenv("DOCVL_GROUNDS") != NULL;
    for (guint i = 0; i < w->grounds->len; i++)
        weigh_field(w, checks, i, is_shown);
}

/* TRUE when a check that can send the document to review reads the field. */
static gboolean is_checked(const json_t *checks, const char *path)
{
    gsize i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check)
        if (g_strcmp0(json_string_value(json_object_get(check, "severity")), "error") ==
                0 &&
            g_strcmp0(json_string_value(json_object_get(check, "result")), "skip") != 0 &&
            dx_check_reads(check, path))
            return TRUE;
    return FALSE;
}

/* Confidence below which this value sends the document to review; 0: never. */
static double limit_of(const dx_work *w, const json_t *checks, const dx_leaf *l)
{
    const json_t *own = json_object_get(l->node, "x-review-below");
    const json_t *all = json_object_get(w->schema, "x-review-below");
    if (own == NULL && !l->is_required && !is_checked(checks, l->path))
        return 0;
    if (w->options->review_below > 0)
        return w->options->review_below;
    return own != NULL   ? json_number_value(own)
           : all != NULL ? json_number_value(all)
                         : BELOW_DEFAULT;
}

static gboolean has_error(const json_t *checks)
{
    gsize i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check)
        if (g_strcmp0(json_string_value(json_object_get(check, "result")), "fail") == 0 &&
            g_strcmp0(json_string_value(json_object_get(check, "severity")), "error") ==
                0)
            return TRUE;
    return FALSE;
}

gboolean dx_needs_review(const dx_work *w, const json_t *checks)
{
    if (has_error(checks))
        return TRUE;
    for (guint k = 0; k < w->leaves->len; k++) {
        const dx_leaf *l = &g_array_index(w->leaves, dx_leaf, k);
        const json_t *value = dx_field_get(w->fields, l->path);
        if (dx_is_null(value) ? l->is_required
                              : json_number_value(json_object_get(value, "confidence")) <
                                    limit_of(w, checks, l))
            return TRUE;
    }
    return FALSE;
}

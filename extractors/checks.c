/*
 * checks.c - runs the checks of a schema over the values of a document.
 *
 * Three sources of checks: the expressions in x-checks, the kinds of the leaves (check
 * digits, calendar), and a few rules on well-known field names.  A rule that the schema
 * states itself under the same id is not run twice.
 */
#include "checks.h"

#include <string.h>

#include "normalize.h"

#define DAY_SECONDS    (24 * 60 * 60)
#define WALK_DEPTH_MAX 16

typedef struct run {
    const json_t *schema, *values;
    json_t *results;
    int64_t today;
    gboolean is_read;  /* some of the values */
    gboolean by_model; /* the one looked at */
} run;

static json_t *operand_json(dx_operand o)
{
    g_autofree char *text = NULL;
    switch (o.type) {
    case DX_NUMBER:
        text = dx_amount_format(o.number, 0);
        break;
    case DX_DATE:
        text = dx_date_from_days(o.number);
        break;
    case DX_STRING:
        return json_string(o.string);
    case DX_NULL:
        break;
    }
    return text != NULL ? json_string(text) : json_null();
}

static void add_result(run *r, const char *id, const char *result, json_t *lhs,
                       json_t *rhs, const char *tolerance, json_t *fields,
                       const char *severity)
{
    json_array_append_new(r->results,
                          json_pack("{s:s, s:s, s:o, s:o, s:s?, s:o, s:s}", "id", id,
                                    "result", result, "lhs", lhs, "rhs", rhs, "tolerance",
                                    tolerance, "fields", fields, "severity", severity));
}

/* ---- x-checks --------------------------------------------------------------------- */

typedef struct check {
    const char *id, *severity;
    dx_expr *expr, *tolerance;
} check;

static void check_clear(check *c)
{
    dx_expr_free(c->expr);
    dx_expr_free(c->tolerance);
}

static gboolean check_error(GError **error, const char *id, const char *what)
{
    g_set_error(error, DX_ERROR, DX_SCHEMA, "check %s: %s", id, what);
    return FALSE;
}

static gboolean check_parse(const json_t *entry, gsize index, check *out, GError **error)
{
    *out = (check){ 0 };
    g_autofree char *place = g_strdup_printf("/x-checks/%" G_GSIZE_FORMAT, index);
    out->id = json_string_value(json_object_get(entry, "id"));
    const char *text = json_string_value(json_object_get(entry, "expr"));
    const json_t *severity = json_object_get(entry, "severity");
    const json_t *tolerance = json_object_get(entry, "tolerance");
    if (out->id == NULL)
        return check_error(error, place, "it has no id");
    if (text == NULL)
        return check_error(error, out->id, "it has no expr");
    out->severity = severity != NULL ? json_string_value(severity) : "error";
    if (out->severity == NULL ||
        (strcmp(out->severity, "error") != 0 && strcmp(out->severity, "warn") != 0))
        return check_error(error, out->id, "severity is error or warn");
    if (tolerance != NULL && !json_is_string(tolerance))
        return check_error(error, out->id, "tolerance is a string");
    out->expr = dx_expr_parse(out->id, text, error);
    if (out->expr != NULL && tolerance != NULL)
        out->tolerance = dx_expr_parse(out->id, json_string_value(tolerance), error);
    if (out->expr == NULL || (tolerance != NULL && out->tolerance == NULL)) {
        check_clear(out);
        return FALSE;
    }
    const char *list = dx_expr_list(out->expr);
    const char *other = out->tolerance != NULL ? dx_expr_list(out->tolerance) : NULL;
    if (other != NULL && g_strcmp0(list, other) != 0) {
        gboolean failed =
            check_error(error, out->id, "the tolerance runs over another list");
        check_clear(out);
        return failed;
    }
    return TRUE;
}

static const json_t *checks_of(const json_t *schema, GError **error, gboolean *ok)
{
    const json_t *list = json_object_get(schema, "x-checks");
    *ok = list == NULL || json_is_array(list);
    if (!*ok)
        g_set_error(error, DX_ERROR, DX_SCHEMA, "/x-checks: not an array");
    else if (json_array_size(list) > DX_CHECK_LIST_MAX) {
        *ok = FALSE;
        g_set_error(error, DX_ERROR, DX_SCHEMA,
                    "/x-checks: %" G_GSIZE_FORMAT " checks, limit %u",
                    json_array_size(list), DX_CHECK_LIST_MAX);
    }
    return list;
}

gboolean dx_checks_validate(const json_t *schema, GError **error)
{
    gboolean ok;
    const json_t *list = checks_of(schema, error, &ok);
    for (gsize i = 0; ok && i < json_array_size(list); i++) {
        check c;
        ok = check_parse(json_array_get(list, i), i, &c, error);
        if (ok)
            check_clear(&c);
    }
    return ok;
}

/* One evaluation; the result goes to the list unless it is one of many and known good.
 * Returns 1 pass, 0 fail, -1 skip. */
static int run_row(run *r, const check *c, gssize row)
{
    int64_t tolerance = 0;
    if (c->tolerance != NULL) {
        dx_operand t = dx_expr_value(c->tolerance, r->values, row, r->today);
        tolerance = t.type == DX_NUMBER && t.number > 0 ? t.number : 0;
    }
    dx_outcome o = dx_expr_compare(c->expr, r->values, row, r->today, tolerance);
    int verdict = !o.is_known ? -1 : o.holds;
    if (row >= 0 && verdict != 0)
        return verdict;
    g_autofree char *text = dx_amount_format(tolerance, 0);
    add_result(r, c->id,
               verdict < 0 ? "skip"
               : verdict   ? "pass"
                           : "fail",
               operand_json(o.lhs), operand_json(o.rhs), text,
               dx_expr_fields(c->expr, row), c->severity);
    return verdict;
}

/* A check over a list: one result for each row that fails; when none does, one for all. */
static void run_check(run *r, const check *c)
{
    const char *list_path = dx_expr_list(c->expr);
    if (list_path == NULL) {
        run_row(r, c, -1);
        return;
    }
    const json_t *list = dx_values_get(r->values, list_path);
    gsize rows = json_is_array(list) ? MIN(json_array_size(list), DX_CHECK_ROWS_MAX) : 0;
    gsize passed = 0, failed = 0;
    for (gsize i = 0; i < rows; i++) {
        int verdict = run_row(r, c, (gssize)i);
        passed += verdict == 1;
        failed += verdict == 0;
    }
    if (failed == 0)
        add_result(r, c->id, passed > 0 ? "pass" : "skip", json_null(), json_null(), NULL,
                   dx_expr_fields(c->expr, -1), c->severity);
}

/* ---- checks by kind ---------------------------------------------------------------- */

static gboolean stated(const run *r, const char *id)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(r->schema, "x-checks"), i, entry)
        if (g_strcmp0(json_string_value(json_object_get(entry, "id")), id) == 0)
            return TRUE;
    return FALSE;
}

static json_t *one_field(const char *path)
{
    return json_pack("[s]", path);
}

static void identifier_result(run *r, const char *id, gboolean passes,
                              const char *severity, const char *path, const char *value)
{
    if (!stated(r, id))
        add_result(r, id, passes ? "pass" : "fail", json_string(value), json_null(), NULL,
                   one_field(path), severity);
}

static void check_identifier(run *r, dx_kind kind, const char *path, const char *value)
{
    static const char *const ids[DX_KIND_COUNT] = {
        [DX_KIND_IBAN] = "B-1",         [DX_KIND_BIC] = "B-2",
        [DX_KIND_CREDITOR_ID] = "B-4",  [DX_KIND_ISO11649] = "R-1",
        [DX_KIND_QR_REFERENCE] = "R-2", [DX_KIND_GTIN] = "I-2",
        [DX_KIND_GLN] = "I-3",          [DX_KIND_LEI] = "I-4",
    };
    const char *doubt = r->by_model ? "error" : "warn";
    if (kind == DX_KIND_VAT_ID) {
        dx_verdict v = dx_vat_check(value);
        identifier_result(r, "V-1", v != DX_VERDICT_FORM, doubt, path, value);
        if (v == DX_VERDICT_PASS || v == DX_VERDICT_CHECKSUM)
            identifier_result(r, "V-2", v == DX_VERDICT_PASS, doubt, path, value);
        return;
    }
    if (ids[kind] == NULL)
        return;
    gboolean passes = dx_identifier_check(kind, value) == DX_VERDICT_PASS;
    /* A wrong account number moves money: never only a warning. */
    gboolean money = kind == DX_KIND_IBAN || kind == DX_KIND_CREDITOR_ID;
    identifier_result(r, ids[kind], passes, money ? "error" : doubt, path, value);
}

static void check_reference(run *r, const char *path, const char *value)
{
    g_autofree char *code = NULL;
    if (g_str_has_prefix(value, "RF") &&
        dx_normalize(DX_KIND_ISO11649, value, NULL, &code, NULL))
        check_identifier(r, DX_KIND_ISO11649, path, code);
    else if (dx_normalize(DX_KIND_QR_REFERENCE, value, NULL, &code, NULL))
        check_identifier(r, DX_KIND_QR_REFERENCE, path, code);
}

static void check_date(run *r, const char *path, const char *value)
{
    int64_t days, first;
    gboolean valid = dx_date_to_days(value, &days);
    g_assert(dx_date_to_days(DX_CHECK_DATE_FIRST, &first));
    gboolean sane = valid && days >= first && days <= r->today + DX_CHECK_AHEAD_DAYS;
    identifier_result(r, "D-1", sane, valid ? "warn" : "error", path, value);
}

/* B-2, second half: the countries of an account and its bank agree. */
static void check_account(run *r, const json_t *entry, const char *path)
{
    const char *iban = json_string_value(dx_values_get(entry, "iban"));
    const char *bic = json_string_value(dx_values_get(entry, "bic"));
    if (iban == NULL || bic == NULL || strlen(iban) < 2 || strlen(bic) < 8)
        return;
    gboolean same = strncmp(iban, bic + 4, 2) == 0;
    static const char *const pairs[] = { "GBIM", "GBJE", "GBGG", "FRMC", "ITSM", "CHLI" };
    for (gsize i = 0; i < G_N_ELEMENTS(pairs); i++) {
        same |= strncmp(iban, pairs[i], 2) == 0 && strncmp(bic + 4, pairs[i] + 2, 2) == 0;
        same |= strncmp(iban, pairs[i] + 2, 2) == 0 && strncmp(bic + 4, pairs[i], 2) == 0;
    }
    g_autofree char *a = g_strconcat(path, ".iban", NULL);
    g_autofree char *b = g_strconcat(path, ".bic", NULL);
    char country[3] = { bic[4], bic[5], 0 };
    if (!stated(r, "B-2"))
        add_result(r, "B-2", same ? "pass" : "fail", json_stringn(iban, 2),
                   json_string(country), NULL, json_pack("[s, s]", a, b), "warn");
}

static void add_missing(run *r, const char *path)
{
    if (!stated(r, "Q"))
        add_result(r, "Q", "fail", json_null(), json_null(), NULL, one_field(path),
                   "error");
}

/* Step the schema and the values side by side; both are trees, the depth is bounded. */
static void walk(run *r, const json_t *schema, const json_t *value, const char *path,
                 unsigned depth)
{
    if (depth > WALK_DEPTH_MAX || !json_is_object(schema))
        return;
    const char *source = json_string_value(json_object_get(value, "source"));
    value = dx_values_get(value, "");
    const char *reference = json_string_value(json_object_get(schema, "$ref"));
    if (reference != NULL && g_str_has_prefix(reference, "#/$defs/")) {
        const json_t *defs = json_object_get(r->schema, "$defs");
        walk(r, json_object_get(defs, reference + strlen("#/$defs/")), value, path,
             depth + 1);
        return;
    }
    const json_t *items = json_object_get(schema, "items");
    if (items != NULL && json_is_array(value)) {
        size_t i;
        json_t *entry;
        json_array_foreach(value, i, entry) {
            g_autofree char *at = g_strdup_printf("%s[%zu]", path, i);
            walk(r, items, entry, at, depth + 1);
        }
        return;
    }
    const char *name;
    json_t *property;
    json_object_foreach((json_t *)json_object_get(schema, "properties"), name, property) {
        g_autofree char *at = *path ? g_strconcat(path, ".", name, NULL) : g_strdup(name);
        walk(r, property, json_object_get(value, name), at, depth + 1);
    }
    if (json_is_object(value)) {
        size_t i;
        json_t *required;
        json_array_foreach(json_object_get(schema, "x-required"), i, required) {
            const char *field = json_string_value(required);
            g_autofree char *at =
                g_strdup_printf("%s%s%s", path, *path ? "." : "", field);
            if (field != NULL && dx_values_get(value, field) == NULL)
                add_missing(r, at);
        }
        check_account(r, value, path);
    }
    dx_kind kind =
        dx_kind_from_name(json_string_value(json_object_get(schema, "x-kind")));
    const char *text = json_string_value(value);
    if (kind == DX_KIND_NONE || text == NULL)
        return;
    r->by_model = r->is_read && (source == NULL || strcmp(source, "vlm") == 0);
    if (kind == DX_KIND_DATE)
        check_date(r, path, text);
    else if (g_str_has_suffix(path, "payment.reference"))
        check_reference(r, path, text);
    else
        check_identifier(r, kind, path, text);
}

/* ---- rules on well-known names -------------------------------------------------------- */

static const struct {
    const char *id, *expr, *severity;
} known[] = {
    { "D-2", "issue_date <= today + 1", "warn" },
    { "D-3", "due_date >= issue_date", "error" },
    { "D-4", "period_end >= period_start", "error" },
    { "D-5", "due_date == issue_date + payment.net_days", "warn" },
};

/* JSON Schema `required` names what the object must have; a null there is a gap.  The
 * top level only: in lists an entry without a value is common print. */
static void check_required(run *r)
{
    size_t i;
    json_t *entry;
    gsize missing = 0;
    const json_t *required = json_object_get(r->schema, "required");
    json_array_foreach((json_t *)required, i, entry) {
        const char *field = json_string_value(entry);
        if (field != NULL && dx_values_get(r->values, field) == NULL) {
            add_missing(r, field);
            missing++;
        }
    }
    if (missing == 0 && json_array_size(required) > 0 && !stated(r, "Q"))
        add_result(r, "Q", "pass", json_null(), json_null(), NULL,
                   json_deep_copy(required), "error");
}

json_t *dx_checks_run(const json_t *schema, const json_t *values,
                      const dx_check_opts *opts, GError **error)
{
    gboolean ok;
    const json_t *list = checks_of(schema, error, &ok);
    if (!ok)
        return NULL;
    json_t *results = json_array();
    run r = { schema, values, results, g_get_real_time() / G_USEC_PER_SEC / DAY_SECONDS,
              .is_read = opts != NULL && opts->is_read_by_model };
    if (opts != NULL && opts->today != NULL && !dx_date_to_days(opts->today, &r.today))
        g_assert_not_reached(); /* the caller's promise, not input */
    for (gsize i = 0; i < json_array_size(list); i++) {
        check c;
        if (!check_parse(json_array_get(list, i), i, &c, error)) {
            json_decref(results);
            return NULL;
        }
        run_check(&r, &c);
        check_clear(&c);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(known); i++) {
        if (stated(&r, known[i].id))
            continue;
        check c = { known[i].id, known[i].severity,
                    dx_expr_parse(known[i].id, known[i].expr, NULL), NULL };
        dx_outcome o = dx_expr_compare(c.expr, values, -1, r.today, 0);
        if (o.is_known) /* other kinds of documents do not have these fields */
            run_check(&r, &c);
        check_clear(&c);
    }
    check_required(&r);
    walk(&r, schema, values, "", 0);
    return results;
}

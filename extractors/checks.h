/*
 * checks.h - whether the values of a document agree with each other and with the rules.
 *
 * The schema's x-checks are expressions over the values:
 *
 *   totals.gross_total == totals.net_total + totals.tax_total
 *   totals.line_total == sum(lines[kind != subtotal|transfer|text].net_amount)
 *   lines[].net_amount == lines[].quantity * lines[].unit_price     (once per line)
 *   due_date >= issue_date          issue_date <= today + 1
 *
 * Operators by strength: ?? (left unless null), * /, + -, comparisons.  Functions: sum(),
 * count(), abs(), min(), max(), round(x, decimals), decimals(x), if(c, a, b); and, alone in
 * their expression, valid_KIND(path) for any kind with a rule (valid_iban, valid_date, ...)
 * and required(path, path, ...), which fails when one of them is null.  `today` is a date;
 * date - date is a number of days.  An operand that is null makes the result `skip`.
 * sum() is null when one of its values is, and over a list without rows: what is not
 * printed is not zero.  `path ?? 0` is for optional fields.
 * The tolerance is an expression too.  Outside sum() and count() all lists of one
 * expression must be the same list: the check runs once for each of its entries.
 *
 * Numbers are int64 millionths, products and quotients are formed in 128 bits.
 */
#ifndef DX_CHECKS_H
#define DX_CHECKS_H

#include "dx.h"

#define DX_CHECK_BYTES_MAX 4096u /* one expression */
#define DX_CHECK_DEPTH_MAX 32u   /* nested brackets */
#define DX_CHECK_NODES_MAX 512u  /* parts of one expression */
#define DX_CHECK_ROWS_MAX  100000u
#define DX_CHECK_LIST_MAX  256u /* x-checks of one schema */

/* D-1: dates outside are doubted. */
#define DX_CHECK_DATE_FIRST "1990-01-01"
#define DX_CHECK_AHEAD_DAYS 731 /* from today; two years */

typedef struct dx_check_opts {
    const char *today; /* YYYY-MM-DD; NULL means the clock (UTC) */
    /* A wrong check digit is an error in a value that was read off a picture (source vlm, or
     * none told), else a warning: papers with invented tax numbers are common. */
    gboolean is_read_by_model;
} dx_check_opts;

/* Parse every x-check of a schema.  DX_SCHEMA, the text begins with the check's id. */
gboolean dx_checks_validate(const json_t *schema, GError **error);

/* Run all checks: x-checks, the identifiers (V-1, V-2, B-1, B-2, B-4, R-1, R-2, I-2, ...) and
 * dates (D-1) by x-kind, D-2 to D-5 for documents that have these fields, and Q for
 * missing required fields.  `values` are plain values or envelope leaves.  Returns an
 * array of {id, result, lhs, rhs, tolerance, fields, severity}; the caller owns it.
 * NULL and DX_SCHEMA when an expression is wrong. */
json_t *dx_checks_run(const json_t *schema, const json_t *values,
                      const dx_check_opts *opts, GError **error);

/* ---- shared between check_expr.c and checks.c -------------------------------- */

typedef struct dx_expr dx_expr;

typedef enum dx_operand_type { DX_NULL, DX_NUMBER, DX_DATE, DX_STRING } dx_operand_type;

typedef struct dx_operand {
    dx_operand_type type;
    int64_t number;     /* millionths; days of a date */
    const char *string; /* borrowed from the values */
} dx_operand;

typedef struct dx_outcome {
    gboolean is_known; /* FALSE: some operand is null, or the arithmetic overflowed */
    gboolean holds;
    dx_operand lhs, rhs;
} dx_outcome;

/* `id` names the check in errors. */
dx_expr *dx_expr_parse(const char *id, const char *text, GError **error);
void dx_expr_free(dx_expr *expr);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_expr, dx_expr_free)
/* The list the expression runs over, or NULL; borrowed. */
const char *dx_expr_list(const dx_expr *expr);
/* Paths of the fields it reads; `row` fills in the list index. Caller owns (string array). */
json_t *dx_expr_fields(const dx_expr *expr, gssize row);
/* Row -1 for an expression without a list. */
dx_outcome dx_expr_compare(const dx_expr *expr, const json_t *values, gssize row,
                           int64_t today, int64_t tolerance);
dx_operand dx_expr_value(const dx_expr *expr, const json_t *values, gssize row,
                         int64_t today);
/* The value at a plain path (a.b.c), through envelope leaves; NULL when absent or null. */
const json_t *dx_values_get(const json_t *values, const char *path);

#endif

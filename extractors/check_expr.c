/*
 * check_expr.c - the expressions of checks: parser and evaluator.
 *
 * Recursive descent with a counted depth into an array of nodes; evaluation walks the
 * nodes, whose depth the parser has bounded.
 */
#include "checks.h"

#include <string.h>

#include "normalize.h"

#define MICRO 1000000

typedef enum op {
    OP_NUMBER,
    OP_STRING,
    OP_TODAY,
    OP_PATH,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_ELSE,
    OP_EQ,
    OP_NE,
    OP_LE,
    OP_GE,
    OP_LT,
    OP_GT,
    OP_SUM,
    OP_COUNT,
    OP_ABS,
    OP_MIN,
    OP_MAX,
    OP_ROUND,
    OP_DECIMALS,
    OP_IF,
    OP_VALID,    /* number: the kind; arg[0] the value */
    OP_REQUIRED, /* arg[0] one value, arg[1] the rest or -1 */
} op;

typedef struct node {
    op what;
    int arg[3]; /* node indices */
    int64_t number;
    char *path;                       /* OP_PATH: before the list; OP_STRING: the text */
    char *rest;                       /* OP_PATH: behind [], NULL without a list */
    char *filter_key, *filter_values; /* "kind", "|subtotal|transfer|" */
    gboolean filter_not;
    gboolean in_sum;
} node;

struct dx_expr {
    GArray *nodes; /* of node */
    int root;
    char *list; /* borrowed from a node */
};

typedef struct parser {
    const char *id, *text, *at;
    dx_expr *expr;
    unsigned depth;
    gboolean in_sum;
    GError **error;
} parser;

static void node_clear(gpointer data)
{
    node *n = data;
    g_free(n->path);
    g_free(n->rest);
    g_free(n->filter_key);
    g_free(n->filter_values);
}

static int fail(parser *p, const char *what)
{
    if (p->error != NULL && *p->error == NULL)
        g_set_error(p->error, DX_ERROR, DX_SCHEMA, "check %s: %s at character %d", p->id,
                    what, (int)(p->at - p->text) + 1);
    return -1;
}

static int add_node(parser *p, node n)
{
    n.in_sum = p->in_sum;
    if (p->expr->nodes->len >= DX_CHECK_NODES_MAX) {
        node_clear(&n);
        return fail(p, "more parts than the limit of " G_STRINGIFY(DX_CHECK_NODES_MAX));
    }
    g_array_append_val(p->expr->nodes, n);
    return (int)p->expr->nodes->len - 1;
}

static void skip_blanks(parser *p)
{
    while (g_ascii_isspace(*p->at))
        p->at++;
}

static gboolean take(parser *p, const char *sign)
{
    skip_blanks(p);
    gsize n = strlen(sign);
    if (strncmp(p->at, sign, n) != 0)
        return FALSE;
    p->at += n;
    return TRUE;
}

static char *take_name(parser *p)
{
    const char *start = p->at;
    if (!g_ascii_isalpha(*start) && *start != '_')
        return NULL;
    while (g_ascii_isalnum(*p->at) || *p->at == '_')
        p->at++;
    return g_strndup(start, (gsize)(p->at - start));
}

static int parse_compare(parser *p);

/* valid_iban(path), valid_date(path): any kind with a rule. */
static int parse_valid(parser *p, const char *kind_name)
{
    node n = { .what = OP_VALID, .number = dx_kind_from_name(kind_name) };
    if (n.number == DX_KIND_NONE)
        return fail(p, "unknown function");
    n.arg[0] = parse_compare(p);
    if (n.arg[0] < 0)
        return -1;
    return take(p, ")") ? add_node(p, n) : fail(p, "')' is missing");
}

/* required(a, b.c, ...): a chain from the last to the first. */
static int parse_required(parser *p)
{
    int rest = -1;
    do {
        int one = parse_compare(p);
        if (one < 0)
            return -1;
        rest = add_node(p, (node){ .what = OP_REQUIRED, .arg = { one, rest } });
        if (rest < 0)
            return -1;
    } while (take(p, ","));
    return take(p, ")") ? rest : fail(p, "')' is missing");
}

static int parse_call(parser *p, const char *name)
{
    static const struct {
        const char *name;
        op what;
        int least, most;
    } calls[] = {
        { "sum", OP_SUM, 1, 1 },           { "count", OP_COUNT, 1, 1 },
        { "abs", OP_ABS, 1, 1 },           { "min", OP_MIN, 2, 2 },
        { "max", OP_MAX, 2, 2 },           { "round", OP_ROUND, 2, 2 },
        { "decimals", OP_DECIMALS, 1, 1 }, { "if", OP_IF, 3, 3 },
    };
    if (g_str_has_prefix(name, "valid_"))
        return parse_valid(p, name + strlen("valid_"));
    if (strcmp(name, "required") == 0)
        return parse_required(p);
    for (gsize i = 0; i < G_N_ELEMENTS(calls); i++) {
        if (strcmp(calls[i].name, name) != 0)
            continue;
        node n = { .what = calls[i].what, .arg = { -1, -1, -1 } };
        gboolean is_sum = n.what == OP_SUM || n.what == OP_COUNT;
        if (is_sum && p->in_sum)
            return fail(p, "a sum inside a sum");
        p->in_sum |= is_sum;
        int count = 0;
        do {
            if (count == calls[i].most)
                return fail(p, "too many arguments");
            n.arg[count] = parse_compare(p);
            if (n.arg[count++] < 0)
                return -1;
        } while (take(p, ","));
        if (is_sum)
            p->in_sum = FALSE;
        if (count < calls[i].least)
            return fail(p, "too few arguments");
        if (!take(p, ")"))
            return fail(p, "')' is missing");
        return add_node(p, n);
    }
    return fail(p, "unknown function");
}

/* [], [kind == item], [kind != subtotal|transfer] */
static gboolean parse_filter(parser *p, node *n)
{
    if (take(p, "]"))
        return TRUE;
    skip_blanks(p);
    n->filter_key = take_name(p);
    if (n->filter_key == NULL)
        return FALSE;
    if (take(p, "!="))
        n->filter_not = TRUE;
    else if (!take(p, "=="))
        return FALSE;
    GString *list = g_string_new("|");
    gboolean ok = TRUE;
    do {
        skip_blanks(p);
        g_autofree char *word = take_name(p);
        ok = word != NULL;
        g_string_append_printf(list, "%s|", ok ? word : "");
    } while (ok && take(p, "|"));
    n->filter_values = g_string_free(list, FALSE);
    return ok && take(p, "]");
}

static int parse_path(parser *p, char *first)
{
    node n = { .what = OP_PATH };
    g_autoptr(GString) path = g_string_new(first);
    g_free(first);
    for (;;) {
        if (*p->at == '[') {
            p->at++;
            if (n.path != NULL) {
                node_clear(&n);
                return fail(p, "a list inside a list");
            }
            n.path = g_strdup(path->str);
            g_string_truncate(path, 0);
            if (!parse_filter(p, &n)) {
                node_clear(&n);
                return fail(p, "a filter is [name == word] or [name != word|word]");
            }
            if (n.filter_key != NULL && !p->in_sum) {
                node_clear(&n);
                return fail(p, "a filter outside sum() or count()");
            }
        }
        if (*p->at != '.')
            break;
        p->at++;
        g_autofree char *name = take_name(p);
        if (name == NULL) {
            node_clear(&n);
            return fail(p, "a name is missing");
        }
        if (path->len > 0)
            g_string_append_c(path, '.');
        g_string_append(path, name);
    }
    if (n.path == NULL)
        n.path = g_strdup(path->str);
    else
        n.rest = g_strdup(path->str);
    gboolean is_row = n.rest != NULL && !p->in_sum;
    if (is_row && p->expr->list != NULL && strcmp(p->expr->list, n.path) != 0) {
        node_clear(&n);
        return fail(p, "two different lists outside sum()");
    }
    int at = add_node(p, n);
    if (at >= 0 && is_row && p->expr->list == NULL)
        p->expr->list = g_array_index(p->expr->nodes, node, at).path;
    return at;
}

static int parse_number(parser *p)
{
    const char *start = p->at;
    while (g_ascii_isdigit(*p->at) || *p->at == '.')
        p->at++;
    g_autofree char *text = g_strndup(start, (gsize)(p->at - start));
    node n = { .what = OP_NUMBER };
    if (!dx_amount_parse(text, &n.number))
        return fail(p, "not a number");
    return add_node(p, n);
}

static int parse_value(parser *p)
{
    skip_blanks(p);
    if (*p->at == '(') {
        p->at++;
        int inner = parse_compare(p);
        if (inner >= 0 && !take(p, ")"))
            return fail(p, "')' is missing");
        return inner;
    }
    if (*p->at == '-') {
        p->at++;
        int zero = add_node(p, (node){ .what = OP_NUMBER });
        if (++p->depth > DX_CHECK_DEPTH_MAX)
            return fail(p, "deeper than the limit of " G_STRINGIFY(DX_CHECK_DEPTH_MAX));
        int inner = parse_value(p);
        p->depth--;
        if (zero < 0 || inner < 0)
            return -1;
        return add_node(p, (node){ .what = OP_SUB, .arg = { zero, inner } });
    }
    if (*p->at == '\'') {
        const char *close = strchr(p->at + 1, '\'');
        if (close == NULL)
            return fail(p, "the closing ' is missing");
        node n = { .what = OP_STRING,
                   .path = g_strndup(p->at + 1, (gsize)(close - p->at - 1)) };
        p->at = close + 1;
        return add_node(p, n);
    }
    if (g_ascii_isdigit(*p->at))
        return parse_number(p);
    char *name = take_name(p);
    if (name == NULL)
        return fail(p, *p->at == 0 ? "a value is missing" : "unexpected character");
    if (*p->at == '(') {
        p->at++;
        int call = parse_call(p, name);
        g_free(name);
        return call;
    }
    if (strcmp(name, "today") == 0) {
        g_free(name);
        return add_node(p, (node){ .what = OP_TODAY });
    }
    return parse_path(p, name);
}

typedef struct level {
    const char *sign;
    op what;
} level;

/* Left-associative operators of one strength; the next stronger level is `below`.  A long
 * chain makes a deep tree, so every step counts towards the depth of evaluation, which
 * DX_CHECK_NODES_MAX bounds. */
static int parse_chain(parser *p, const level *ops, gsize count, int (*below)(parser *))
{
    int left = below(p);
    while (left >= 0) {
        gsize i = 0;
        while (i < count && !take(p, ops[i].sign))
            i++;
        if (i == count)
            break;
        int right = below(p);
        if (right < 0)
            return -1;
        left = add_node(p, (node){ .what = ops[i].what, .arg = { left, right } });
    }
    return left;
}

static int parse_else(parser *p)
{
    static const level ops[] = { { "??", OP_ELSE } };
    return parse_chain(p, ops, G_N_ELEMENTS(ops), parse_value);
}

static int parse_product(parser *p)
{
    static const level ops[] = { { "*", OP_MUL }, { "/", OP_DIV } };
    return parse_chain(p, ops, G_N_ELEMENTS(ops), parse_else);
}

static int parse_sum(parser *p)
{
    static const level ops[] = { { "+", OP_ADD }, { "-", OP_SUB } };
    return parse_chain(p, ops, G_N_ELEMENTS(ops), parse_product);
}

static int parse_compare(parser *p)
{
    static const level ops[] = { { "==", OP_EQ }, { "!=", OP_NE }, { "<=", OP_LE },
                                 { ">=", OP_GE }, { "<", OP_LT },  { ">", OP_GT } };
    if (++p->depth > DX_CHECK_DEPTH_MAX)
        return fail(p, "deeper than the limit of " G_STRINGIFY(DX_CHECK_DEPTH_MAX));
    int left = parse_sum(p);
    for (gsize i = 0; left >= 0 && i < G_N_ELEMENTS(ops); i++) {
        if (!take(p, ops[i].sign))
            continue;
        int right = parse_sum(p);
        left = right < 0
                   ? -1
                   : add_node(p, (node){ .what = ops[i].what, .arg = { left, right } });
        break;
    }
    p->depth--;
    return left;
}

dx_expr *dx_expr_parse(const char *id, const char *text, GError **error)
{
    g_autoptr(GError) local = NULL;
    g_autoptr(dx_expr) expr = g_new0(dx_expr, 1);
    expr->nodes = g_array_new(FALSE, FALSE, sizeof(node));
    g_array_set_clear_func(expr->nodes, node_clear);
    parser p = { id, text, text, expr, 0, FALSE, &local };
    if (strlen(text) > DX_CHECK_BYTES_MAX) {
        fail(&p, "longer than the limit of " G_STRINGIFY(DX_CHECK_BYTES_MAX) " bytes");
    } else {
        expr->root = parse_compare(&p);
        skip_blanks(&p);
        if (expr->root >= 0 && *p.at != 0)
            fail(&p, "unexpected character");
    }
    if (local != NULL) {
        g_propagate_error(error, g_steal_pointer(&local));
        return NULL;
    }
    return g_steal_pointer(&expr);
}

void dx_expr_free(dx_expr *expr)
{
    if (expr == NULL)
        return;
    g_array_unref(expr->nodes);
    g_free(expr);
}

const char *dx_expr_list(const dx_expr *expr)
{
    return expr->list;
}

json_t *dx_expr_fields(const dx_expr *expr, gssize row)
{
    json_t *fields = json_array();
    for (guint i = 0; i < expr->nodes->len; i++) {
        const node *n = &g_array_index(expr->nodes, node, i);
        if (n->what != OP_PATH)
            continue;
        g_autofree char *name =
            n->rest == NULL ? g_strdup(n->path)
            : n->in_sum || row < 0
                ? g_strdup_printf("%s[]%s%s", n->path, *n->rest ? "." : "", n->rest)
                : g_strdup_printf("%s[%" G_GSSIZE_FORMAT "]%s%s", n->path, row,
                                  *n->rest ? "." : "", n->rest);
        gboolean seen = FALSE;
        for (gsize k = 0; k < json_array_size(fields); k++)
            seen |= strcmp(json_string_value(json_array_get(fields, k)), name) == 0;
        if (!seen)
            json_array_append_new(fields, json_string(name));
    }
    return fields;
}

/* ---- evaluation ---------------------------------------------------------------- */

static const json_t *unwrap(const json_t *value)
{
    if (json_is_object(value) && json_object_get(value, "value") != NULL)
        value = json_object_get(value, "value");
    return json_is_null(value) ? NULL : value;
}

const json_t *dx_values_get(const json_t *values, const char *path)
{
    const json_t *at = values;
    while (*path != 0 && at != NULL) {
        char name[128];
        gsize n = strcspn(path, ".");
        if (n >= sizeof name)
            return NULL;
        memcpy(name, path, n);
        name[n] = 0;
        at = json_object_get(at, name);
        path += n + (path[n] == '.');
    }
    return unwrap(at);
}

static dx_operand operand_of(const json_t *value)
{
    dx_operand out = { 0 };
    if (json_is_integer(value)) {
        json_int_t n = json_integer_value(value);
        gboolean fits = n < 1000000000000 && n > -1000000000000;
        return fits ? (dx_operand){ DX_NUMBER, n * MICRO, NULL } : out;
    }
    if (json_is_real(value)) {
        char text[64];
        g_ascii_formatd(text, sizeof text, "%.6f", json_real_value(value));
        out.type = dx_amount_parse(text, &out.number) ? DX_NUMBER : DX_NULL;
        return out;
    }
    if (!json_is_string(value))
        return out;
    out.string = json_string_value(value);
    if (dx_amount_parse(out.string, &out.number))
        out.type = DX_NUMBER;
    else if (dx_date_to_days(out.string, &out.number))
        out.type = DX_DATE;
    else
        out.type = DX_STRING;
    return out;
}

typedef struct scope {
    const dx_expr *expr;
    const json_t *values;
    gssize row;     /* of the list of the whole check */
    gssize sum_row; /* inside sum() */
    int64_t today;
} scope;

static dx_operand eval(const scope *s, int index);

static const json_t *list_of(const json_t *values, const node *n)
{
    const json_t *list = dx_values_get(values, n->path);
    return json_is_array(list) ? list : NULL;
}

static gboolean passes_filter(const node *n, const json_t *entry)
{
    if (n->filter_key == NULL)
        return TRUE;
    const json_t *value = dx_values_get(entry, n->filter_key);
    g_autofree char *word =
        g_strdup_printf("|%s|", json_is_string(value) ? json_string_value(value) : "");
    gboolean listed = json_is_string(value) && strstr(n->filter_values, word) != NULL;
    return listed != n->filter_not;
}

/* The list a sum runs over: that of the first path with brackets inside it. */
static const node *sum_list(const scope *s, int index)
{
    const node *n = &g_array_index(s->expr->nodes, node, index);
    if (n->what == OP_PATH)
        return n->rest != NULL ? n : NULL;
    int args = n->what == OP_NUMBER || n->what == OP_TODAY || n->what == OP_STRING  ? 0
               : n->what == OP_IF                                                   ? 3
               : n->what == OP_ABS || n->what == OP_DECIMALS || n->what == OP_VALID ? 1
                                                                                    : 2;
    for (int i = 0; i < args && n->arg[i] >= 0; i++) {
        const node *found = sum_list(s, n->arg[i]);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static dx_operand eval_sum(const scope *s, const node *n)
{
    const node *path = sum_list(s, n->arg[0]);
    const json_t *list = path != NULL ? list_of(s->values, path) : NULL;
    dx_operand out = { .type = DX_NUMBER };
    if (list == NULL || json_array_size(list) > DX_CHECK_ROWS_MAX)
        return (dx_operand){ 0 };
    /* A paper that prints no rows says nothing of their sum: it is not zero. */
    if (n->what == OP_SUM && json_array_size(list) == 0)
        return (dx_operand){ 0 };
    for (gsize i = 0; i < json_array_size(list); i++) {
        if (!passes_filter(path, json_array_get(list, i)))
            continue;
        scope inner = *s;
        inner.sum_row = (gssize)i;
        if (n->what == OP_COUNT) {
            out.number += MICRO;
            continue;
        }
        dx_operand one = eval(&inner, n->arg[0]);
        if (one.type != DX_NUMBER || !dx_amount_add(out.number, one.number, &out.number))
            return (dx_operand){ 0 };
    }
    return out;
}

static dx_operand eval_path(const scope *s, const node *n)
{
    if (n->rest == NULL)
        return operand_of(dx_values_get(s->values, n->path));
    gssize row = n->in_sum ? s->sum_row : s->row;
    const json_t *list = list_of(s->values, n);
    if (list == NULL || row < 0)
        return (dx_operand){ 0 };
    return operand_of(dx_values_get(json_array_get(list, (gsize)row), n->rest));
}

static dx_operand eval_arithmetic(op what, dx_operand a, dx_operand b)
{
    dx_operand out = { .type = DX_NUMBER };
    gboolean ok = FALSE;
    if (a.type == DX_DATE && b.type == DX_NUMBER && (what == OP_ADD || what == OP_SUB)) {
        out.type = DX_DATE;
        out.number = a.number + (what == OP_ADD ? 1 : -1) * (b.number / MICRO);
        return out;
    }
    if (a.type == DX_DATE && b.type == DX_DATE && what == OP_SUB) {
        out.number = (a.number - b.number) * MICRO;
        return out;
    }
    if (a.type != DX_NUMBER || b.type != DX_NUMBER)
        return (dx_operand){ 0 };
    switch (what) {
    case OP_ADD:
        ok = dx_amount_add(a.number, b.number, &out.number);
        break;
    case OP_SUB:
        ok = dx_amount_add(a.number, -b.number, &out.number);
        break;
    case OP_MUL:
        ok = dx_amount_mul(a.number, b.number, &out.number);
        break;
    case OP_DIV:
        ok = dx_amount_div(a.number, b.number, &out.number);
        break;
    case OP_MIN:
        ok = TRUE;
        out.number = MIN(a.number, b.number);
        break;
    case OP_MAX:
        ok = TRUE;
        out.number = MAX(a.number, b.number);
        break;
    case OP_ROUND: {
        int64_t places = b.number / MICRO;
        ok = places >= 0 && places <= 6;
        out.number = ok ? dx_amount_round(a.number, (unsigned)places) : 0;
        break;
    }
    default:
        break;
    }
    return ok ? out : (dx_operand){ 0 };
}

/* -1, 0, 1, or 2 when the two cannot be compared. */
static int order_of(dx_operand a, dx_operand b, int64_t tolerance)
{
    if (a.type == DX_NULL || b.type == DX_NULL)
        return 2;
    if (a.type == DX_STRING && b.type == DX_STRING) {
        g_autofree char *x = dx_fold(a.string, strlen(a.string));
        g_autofree char *y = dx_fold(b.string, strlen(b.string));
        int order = strcmp(x, y);
        return order < 0 ? -1 : order > 0;
    }
    if (a.type != b.type)
        return a.string != NULL && b.string != NULL ? 1 : 2;
    __int128 difference = (__int128)a.number - b.number;
    if (difference <= tolerance && -difference <= tolerance)
        return 0;
    return difference < 0 ? -1 : 1;
}

static gboolean holds(op what, int order)
{
    switch (what) {
    case OP_EQ:
        return order == 0;
    case OP_NE:
        return order != 0;
    case OP_LE:
        return order <= 0;
    case OP_GE:
        return order >= 0;
    case OP_LT:
        return order < 0;
    default:
        return order > 0;
    }
}

static dx_operand truth(gboolean holds_true)
{
    return (dx_operand){ DX_NUMBER, holds_true ? MICRO : 0, NULL };
}

/* Null for a value that is absent or that no rule is known for. */
static dx_operand eval_valid(const scope *s, const node *n)
{
    dx_operand a = eval(s, n->arg[0]);
    if (a.type == DX_NULL || a.string == NULL)
        return (dx_operand){ 0 };
    if (n->number == DX_KIND_DATE) {
        int64_t first;
        g_assert(dx_date_to_days(DX_CHECK_DATE_FIRST, &first));
        return truth(a.type == DX_DATE && a.number >= first &&
                     a.number <= s->today + DX_CHECK_AHEAD_DAYS);
    }
    dx_verdict verdict = dx_identifier_check((dx_kind)n->number, a.string);
    return verdict == DX_VERDICT_SKIP ? (dx_operand){ 0 }
                                      : truth(verdict == DX_VERDICT_PASS);
}

static dx_operand eval_required(const scope *s, const node *n)
{
    for (;;) {
        if (eval(s, n->arg[0]).type == DX_NULL)
            return truth(FALSE);
        if (n->arg[1] < 0)
            return truth(TRUE);
        n = &g_array_index(s->expr->nodes, node, n->arg[1]);
    }
}

static dx_operand eval(const scope *s, int index)
{
    const node *n = &g_array_index(s->expr->nodes, node, index);
    switch (n->what) {
    case OP_NUMBER:
        return (dx_operand){ DX_NUMBER, n->number, NULL };
    case OP_STRING:
        return (dx_operand){ DX_STRING, 0, n->path };
    case OP_TODAY:
        return (dx_operand){ DX_DATE, s->today, NULL };
    case OP_PATH:
        return eval_path(s, n);
    case OP_SUM:
    case OP_COUNT:
        return eval_sum(s, n);
    case OP_VALID:
        return eval_valid(s, n);
    case OP_REQUIRED:
        return eval_required(s, n);
    default:
        break;
    }
    dx_operand a = eval(s, n->arg[0]);
    if (n->what == OP_ELSE)
        return a.type != DX_NULL ? a : eval(s, n->arg[1]);
    if (n->what == OP_IF)
        return a.type != DX_NUMBER ? (dx_operand){ 0 }
                                   : eval(s, n->arg[a.number != 0 ? 1 : 2]);
    if (n->what == OP_ABS) {
        a.number = a.number < 0 ? -a.number : a.number;
        return a.type == DX_NUMBER ? a : (dx_operand){ 0 };
    }
    if (n->what == OP_DECIMALS) {
        unsigned places = 0;
        while (a.type == DX_NUMBER && dx_amount_round(a.number, places) != a.number)
            places++;
        return a.type == DX_NUMBER
                   ? (dx_operand){ DX_NUMBER, places * (int64_t)MICRO, NULL }
                   : (dx_operand){ 0 };
    }
    dx_operand b = eval(s, n->arg[1]);
    if (n->what >= OP_EQ && n->what <= OP_GT) {
        int order = order_of(a, b, 0);
        return order == 2
                   ? (dx_operand){ 0 }
                   : (dx_operand){ DX_NUMBER, holds(n->what, order) ? MICRO : 0, NULL };
    }
    return eval_arithmetic(n->what, a, b);
}

dx_operand dx_expr_value(const dx_expr *expr, const json_t *values, gssize row,
                         int64_t today)
{
    scope s = { expr, values, row, -1, today };
    return eval(&s, expr->root);
}

dx_outcome dx_expr_compare(const dx_expr *expr, const json_t *values, gssize row,
                           int64_t today, int64_t tolerance)
{
    const node *n = &g_array_index(expr->nodes, node, expr->root);
    scope s = { expr, values, row, -1, today };
    dx_outcome out = { 0 };
    if (n->what < OP_EQ || n->what > OP_GT) { /* a bare value: not null, not zero */
        out.lhs = eval(&s, expr->root);
        out.is_known = out.lhs.type == DX_NUMBER;
        out.holds = out.lhs.number != 0;
        if (n->what == OP_VALID) /* the report shows the value, not the verdict */
            out.lhs = eval(&s, n->arg[0]);
        else if (n->what == OP_REQUIRED)
            out.lhs = (dx_operand){ 0 };
        return out;
    }
    out.lhs = eval(&s, n->arg[0]);
    out.rhs = eval(&s, n->arg[1]);
    /* A tolerance widens what passes; for != and the strict signs it has no meaning. */
    gboolean strict = n->what == OP_NE || n->what == OP_LT || n->what == OP_GT;
    gboolean numbers = out.lhs.type == DX_NUMBER && out.rhs.type == DX_NUMBER;
    int order = order_of(out.lhs, out.rhs, strict || !numbers ? 0 : tolerance);
    out.is_known = order != 2;
    out.holds = order != 2 && holds(n->what, order);
    return out;
}

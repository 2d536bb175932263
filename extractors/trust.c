/*
 * trust.c - the probability that a value is right: that it is the right one of those on the
 * page, a logistic function of the traits, times that its print was read right, a power of
 * what the reader says itself.  What a sum or check digits prove was read right: misread
 * figures do not come out.
 */
#include "trust.h"

#include <math.h>
#include <string.h>

/* What the function sees.  The order is that of trust.inc. */
typedef enum trait {
    TRAIT_ONE,     /* 1 */
    TRAIT_LEAD,    /* between LEAD_LEAST and LEAD_MOST */
    TRAIT_LABEL,   /* worth of the label */
    TRAIT_ANSWER,  /* worth of the decoder's answer */
    TRAIT_RIVAL,   /* worth of its answer, when that is another value */
    TRAIT_ALONE,   /* the decoder's answer is all there is */
    TRAIT_DERIVED, /* no print says it */
    TRAIT_UNSEEN,  /* -log of how surely its print was read, up to UNSEEN_MAX: a factor */
    TRAIT_PROVED,
    TRAIT_FAILED,
    TRAIT_CHECKED, /* its check digits are right */
    TRAIT_AMOUNT,  /* kinds; currencies, countries and kinds of paper: none of them */
    TRAIT_DATE,
    TRAIT_NUMBER, /* of a paper, a customer, an order */
    TRAIT_CODE,   /* IBAN, tax number, telephone */
    TRAIT_TEXT,
    TRAIT_ADDRESS,
    TRAIT_COUNT
} trait;

static const char *const names[TRAIT_COUNT] = {
    "one",     "lead",   "label",  "answer", "rival",   "alone",
    "derived", "unseen", "proved", "failed", "checked", "amount",
    "date",    "number", "code",   "text",   "address",
};

static const double weights[2][TRAIT_COUNT] = {
/* of a text layer, off the picture */
#include "trust.inc"
};

#define LEAD_LEAST -2.0
#define LEAD_MOST  6.0
#define UNSEEN_MAX 3.0

static trait kind_trait(dx_kind kind, const char *ask)
{
    switch (kind) {
    case DX_KIND_AMOUNT:
    case DX_KIND_QUANTITY:
    case DX_KIND_PERCENT:
    case DX_KIND_INTEGER:
        return TRAIT_AMOUNT;
    case DX_KIND_DATE:
    case DX_KIND_TIME:
        return TRAIT_DATE;
    case DX_KIND_IBAN:
    case DX_KIND_BIC:
    case DX_KIND_VAT_ID:
    case DX_KIND_CREDITOR_ID:
    case DX_KIND_ISO11649:
    case DX_KIND_QR_REFERENCE:
    case DX_KIND_GTIN:
    case DX_KIND_GLN:
    case DX_KIND_LEI:
    case DX_KIND_PHONE:
    case DX_KIND_EMAIL:
    case DX_KIND_URL:
        return TRAIT_CODE;
    case DX_KIND_CURRENCY:
    case DX_KIND_COUNTRY:
    case DX_KIND_LANGUAGE:
        return TRAIT_ONE;
    case DX_KIND_ID:
        return g_str_has_suffix(ask, "tax_number") ? TRAIT_CODE : TRAIT_NUMBER;
    default:
        return strcmp(ask, "document_type") == 0  ? TRAIT_ONE
               : g_str_has_suffix(ask, "address") ? TRAIT_ADDRESS
                                                  : TRAIT_TEXT;
    }
}

static void traits_of(const dx_grounds *g, dx_kind kind, const char *ask, unsigned marks,
                      double x[TRAIT_COUNT])
{
    gboolean is_proved = (marks & DX_CHECK_PROVED) != 0;
    memset(x, 0, TRAIT_COUNT * sizeof(*x));
    x[TRAIT_LEAD] = CLAMP(g->lead, LEAD_LEAST, LEAD_MOST);
    x[TRAIT_LABEL] = g->label;
    x[TRAIT_ANSWER] = g->answer;
    x[TRAIT_RIVAL] = g->rival;
    x[TRAIT_ALONE] = g->label == 0 && g->clue == 0;
    x[TRAIT_DERIVED] = !g->is_stated && g->label == 0 && g->answer == 0;
    if (g->seen < 1 && !is_proved && !g->is_checked)
        x[TRAIT_UNSEEN] = MIN(-log(MAX(g->seen, 1e-9)), UNSEEN_MAX);
    x[TRAIT_PROVED] = is_proved;
    x[TRAIT_FAILED] = (marks & DX_CHECK_FAILED) != 0;
    x[TRAIT_CHECKED] = g->is_checked;
    x[kind_trait(kind, ask)] = 1;
    x[TRAIT_ONE] = 1;
}

double dx_trust(const dx_grounds *grounds, dx_kind kind, const char *ask, unsigned marks)
{
    double x[TRAIT_COUNT], sum = 0;
    const double *w = weights[grounds->is_read != FALSE];
    traits_of(grounds, kind, ask, marks, x);
    for (int i = 0; i < TRAIT_COUNT; i++)
        sum += i != TRAIT_UNSEEN ? w[i] * x[i] : 0;
    double seen = exp(-w[TRAIT_UNSEEN] * x[TRAIT_UNSEEN]);
    return CLAMP(seen / (1 + exp(-sum)), 0.01, 0.99);
}

json_t *dx_trust_table(const dx_grounds *grounds, dx_kind kind, const char *ask,
                       unsigned marks)
{
    double x[TRAIT_COUNT];
    json_t *table = json_object();
    traits_of(grounds, kind, ask, marks, x);
    for (int i = 0; i < TRAIT_COUNT; i++)
        json_object_set_new(table, names[i], json_real(x[i]));
    json_object_set_new(table, "read", json_integer(grounds->is_read != FALSE));
    return table;
}

/* Two amounts that are the same: the sum of some printed values is another one.  A check
 * that only looks at a value's form proves nothing. */
static gboolean is_proof(const json_t *check)
{
    int64_t lhs, rhs;
    const char *a = json_string_value(json_object_get(check, "lhs"));
    const char *b = json_string_value(json_object_get(check, "rhs"));
    return a != NULL && b != NULL && dx_amount_parse(a, &lhs) &&
           dx_amount_parse(b, &rhs) && lhs != 0 && rhs != 0;
}

/* A check that compares nothing asks whether values are there: that one is missing says
 * nothing about the others. */
static gboolean asks_presence(const json_t *check)
{
    return !json_is_string(json_object_get(check, "lhs")) &&
           !json_is_string(json_object_get(check, "rhs"));
}

/* A sum over rows, which may lack one: that it does not come out says little of the values
 * beside it. */
static gboolean sums_rows(const json_t *check)
{
    gsize i;
    json_t *field;
    json_array_foreach(json_object_get(check, "fields"), i, field)
        if (json_is_string(field) && strstr(json_string_value(field), "[]") != NULL)
            return TRUE;
    return FALSE;
}

/* Checks write a row as accounts[0].iban, leaves as accounts.0.iban. */
static gboolean is_same_path(const char *field, const char *path)
{
    for (; *field != '\0' && *path != '\0'; field++, path++) {
        if (*field == ']')
            field++;
        if (*field != *path && !(*field == '[' && *path == '.'))
            return FALSE;
    }
    return *field == *path;
}

gboolean dx_check_reads(const json_t *check, const char *path)
{
    gsize i;
    json_t *field;
    json_array_foreach(json_object_get(check, "fields"), i, field)
        if (json_is_string(field) && is_same_path(json_string_value(field), path))
            return TRUE;
    return FALSE;
}

unsigned dx_check_marks(const json_t *checks, const char *path)
{
    unsigned marks = 0;
    gsize i;
    json_t *check;
    json_array_foreach((json_t *)checks, i, check) {
        if (!dx_check_reads(check, path))
            continue;
        const char *result = json_string_value(json_object_get(check, "result"));
        const char *severity = json_string_value(json_object_get(check, "severity"));
        if (g_strcmp0(result, "fail") == 0 && g_strcmp0(severity, "error") == 0 &&
            !asks_presence(check) && !sums_rows(check))
            marks |= DX_CHECK_FAILED;
        else if (g_strcmp0(result, "pass") == 0 && is_proof(check))
            marks |= DX_CHECK_PROVED;
    }
    return marks;
}

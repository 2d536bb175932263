/*
 * normalize.h - from characters as printed to canonical values, without any model.
 *
 *   dx_kind        what a leaf is (x-kind of a schema)
 *   dx_context     what one document has taught: its decimal sign, its order of day and
 *                  month, its country and language.  Plain data; zero is "nothing known"
 *   dx_normalize   printed text to canonical value (the lexical rules of a schema)
 *   dx_find_candidates   every place of a page text that reads as a kind
 *
 * All functions are pure and may be called from any thread.  Text is UTF-8.  A text that
 * does not read as its kind is no error: the functions say FALSE and leave the results
 * alone.
 */
#ifndef DX_NORMALIZE_H
#define DX_NORMALIZE_H

#include <glib.h>
#include <stdint.h>

/* Limits.  A longer text is not a value; a longer page gives no candidates. */
#define DX_VALUE_BYTES_MAX     1024u
#define DX_TEXT_BYTES_MAX      (4u << 20)
#define DX_CANDIDATES_MAX      20000u
#define DX_AMOUNT_DIGITS_MAX   12u /* before the decimal sign */
#define DX_AMOUNT_DECIMALS_MAX 6u
#define DX_YEAR_MIN            1970
#define DX_YEAR_MAX            2100

typedef enum dx_kind {
    DX_KIND_NONE = -1,
    DX_KIND_TEXT,
    DX_KIND_ID,
    DX_KIND_DATE,
    DX_KIND_TIME,
    DX_KIND_AMOUNT,
    DX_KIND_QUANTITY,
    DX_KIND_PERCENT,
    DX_KIND_INTEGER,
    DX_KIND_CURRENCY,
    DX_KIND_COUNTRY,
    DX_KIND_LANGUAGE,
    DX_KIND_IBAN,
    DX_KIND_BIC,
    DX_KIND_VAT_ID,
    DX_KIND_CREDITOR_ID,
    DX_KIND_ISO11649,
    DX_KIND_QR_REFERENCE,
    DX_KIND_GTIN,
    DX_KIND_GLN,
    DX_KIND_LEI,
    DX_KIND_PHONE,
    DX_KIND_EMAIL,
    DX_KIND_URL,
    DX_KIND_COUNT
} dx_kind;

/* DX_KIND_NONE for a name that is no kind. */
dx_kind dx_kind_from_name(const char *name);
const char *dx_kind_name(dx_kind kind);

typedef enum dx_decimal {
    DX_DECIMAL_UNKNOWN,
    DX_DECIMAL_POINT,
    DX_DECIMAL_COMMA
} dx_decimal;

typedef enum dx_date_order {
    DX_ORDER_UNKNOWN,
    DX_ORDER_DAY_MONTH,
    DX_ORDER_MONTH_DAY
} dx_date_order;

typedef struct dx_context {
    dx_decimal decimal;   /* decides `1.234` */
    dx_date_order order;  /* decides 03/04/2024; one order per document */
    gboolean is_buddhist; /* years may be Buddhist (Thai cues were seen) */
    char country[3];      /* ISO 3166 of the issuer, "" when not known */
    char language[3];     /* ISO 639-1, "" when not known */
} dx_context;

/* Learn decimal sign, date order, the United States and Thai cues from the text of a
 * document.  Facts that
 * `context` holds already stay; call it once per page, then freeze the context. */
void dx_context_learn(dx_context *context, const char *text, gsize bytes);

/* Read `printed` as `kind`.  On TRUE the caller owns *value.  `alternative` (may be NULL)
 * receives the second reading of an ambiguous text, or NULL.  `context` may be NULL. */
gboolean dx_normalize(dx_kind kind, const char *printed, const dx_context *context,
                      char **value, char **alternative);

/* ---- amounts: int64 in millionths ------------------------------------------ */

/* Canonical form only: -?[0-9]{1,12}(\.[0-9]{1,6})? */
gboolean dx_amount_parse(const char *value, int64_t *micro);
/* With at least `decimals` decimals, more when the value needs them.  Caller owns. */
char *dx_amount_format(int64_t micro, unsigned decimals);
/* Exact in 128 bits, then rounded half away from zero; FALSE on overflow or a / 0. */
gboolean dx_amount_mul(int64_t a, int64_t b, int64_t *result);
gboolean dx_amount_div(int64_t a, int64_t b, int64_t *result);
gboolean dx_amount_add(int64_t a, int64_t b, int64_t *result);
int64_t dx_amount_round(int64_t micro, unsigned decimals);

/* ---- dates ------------------------------------------------------------------ */

/* Days since 1970-01-01 of a canonical date; FALSE for anything else. */
gboolean dx_date_to_days(const char *value, int64_t *days);
char *dx_date_from_days(int64_t days);

/* ---- identifiers ------------------------------------------------------------ */

typedef enum dx_verdict {
    DX_VERDICT_SKIP, /* nothing is known about this form (a country without a rule) */
    DX_VERDICT_PASS,
    DX_VERDICT_FORM,     /* wrong length or characters */
    DX_VERDICT_CHECKSUM, /* right form, wrong check digit */
} dx_verdict;

/* Test a normalised identifier (iban, bic, vat_id, creditor_id, iso11649, qr_reference,
 * gtin, gln, lei, currency, country); DX_VERDICT_SKIP for other kinds. */
dx_verdict dx_identifier_check(dx_kind kind, const char *value);
/* The same for a VAT identifier, see vat.c.  `value` is normalised, with its prefix. */
dx_verdict dx_vat_check(const char *value);
/* A national form without the letters of the country: "092387160", "B07788585". */
gboolean dx_vat_is_bare(const char *value);
/* It begins with the letters of a country whose forms are known. */
gboolean dx_vat_is_listed(const char *value);

/* ---- code tables -------------------------------------------------------------- */

gboolean dx_currency_known(const char *code);
unsigned dx_currency_minor(const char *code);
/* The currency written at the start (end) of a text of `bytes` bytes: how many bytes it
 * takes, 0 for none.  The code is borrowed from a constant table. */
gsize dx_currency_prefix(const char *text, gsize bytes, const dx_context *context,
                         const char **code);
gsize dx_currency_suffix(const char *text, gsize bytes, const dx_context *context,
                         const char **code);
gboolean dx_country_known(const char *code);

/* Lower case, no accents, Latin ligatures written out.  Caller owns. */
char *dx_fold(const char *text, gsize bytes);
/* One character of the same: up to 3 characters are written, their count returned. */
unsigned dx_fold_char(gunichar c, gunichar out[3]);

/* ---- candidates --------------------------------------------------------------- */

typedef struct dx_candidate {
    gsize start, end; /* bytes [start, end) of the text */
    double weight;    /* 0..1: how typical the print is for the kind, before any label */
    char *value;      /* normalised; owned by the array */
} dx_candidate;

/* All spans of `text` (lines end with \n, cells with \t; no span crosses either, except
 * that a written date may not) that read as `kind`, in order of start; longer first.
 * Spans may overlap.  The array owns its values.  Empty for text that is not UTF-8 or
 * longer than DX_TEXT_BYTES_MAX; at most DX_CANDIDATES_MAX. */
GArray *dx_find_candidates(dx_kind kind, const char *text, gsize bytes,
                           const dx_context *context);
/* Does a per cent sign follow the number that ends before `behind`?  Then it is no amount. */
gboolean dx_is_rate(const char *behind);

/* ---- shared between the sources of the normaliser ------------------------------ */

gboolean dx_read_number(dx_kind kind, const char *printed, const dx_context *context,
                        char **value, char **alternative);
gboolean dx_read_date(const char *printed, const dx_context *context, char **value,
                      char **alternative);
gboolean dx_read_time(const char *printed, char **value);
gboolean dx_read_currency(const char *printed, const dx_context *context, char **value);
gboolean dx_read_country(const char *printed, char **value);
gboolean dx_read_identifier(dx_kind kind, const char *printed, const dx_context *context,
                            char **value);
/* True for a folded word that starts or is a month name; month 1..12. */
gboolean dx_month_read(const char *folded, const char *language, int *month, int *other);

#endif

/*
 * trust.h - how likely a value is right, from what it was chosen by.
 *
 *   dx_grounds  what decide.c knew about the value that it chose; plain data
 *   dx_trust    its probability, from the grounds, from how the document's checks went that
 *               read the field, and from the kind of value
 *
 * The weights (trust.inc) are fitted by tests/bench/trust.py on papers that
 * model/training/trials.py draws, as PDF with a text layer and as scans, and on nothing
 * else.  A confidence of 0.9 is to be right nine times in ten.
 */
#ifndef DX_TRUST_H
#define DX_TRUST_H

#include "normalize.h"

#include <jansson.h>

typedef struct dx_grounds {
    double worth; /* all that spoke for the value, in logits; 0: nothing did */
    double lead;  /* ahead of every other value when the decoder is not heard */
    double seen;  /* how surely its print was read; 1 for a text layer */
    double label, clue, answer;
    double rival;        /* the decoder's answer, for another value */
    gboolean is_checked; /* has check digits, and they are right */
    gboolean is_read;    /* off the picture */
    gboolean is_stated;  /* some print says it, it does not only follow */
} dx_grounds;

typedef enum dx_check_mark { /* bits: what checks that read the field said */
                             DX_CHECK_PROVED = 1, /* arithmetic came out */
                             DX_CHECK_FAILED = 2, /* one of severity error */
} dx_check_mark;

/* What `checks` (of dx_checks_run) say about the field at `path`: dx_check_mark bits. */
unsigned dx_check_marks(const json_t *checks, const char *path);
/* TRUE when `check` (one of these) reads the field at `path`. */
gboolean dx_check_reads(const json_t *check, const char *path);
/* 0.01 to 0.99. */
double dx_trust(const dx_grounds *grounds, dx_kind kind, const char *ask, unsigned marks);
/* The same as a table for the fit: {"lead": 3.2, "unseen": 0.1, ...}; the caller owns it. */
json_t *dx_trust_table(const dx_grounds *grounds, dx_kind kind, const char *ask,
                       unsigned marks);

#endif

/*
 * route_when.h - the conditions of a rule: what a document must be like.
 *
 * A `when` is a mapping; all of its keys must hold.  all, any and not nest.  A value that
 * is missing fulfils nothing but `present: no`.  Numbers are compared as exact decimals.
 */
#ifndef DP_ROUTE_WHEN_H
#define DP_ROUTE_WHEN_H

#include "facts.h"
#include "route_facts.h"

enum {
    DP_WHEN_DEPTH_MAX = 8,        /* all, any and not inside each other */
    DP_WHEN_WORDS_MAX = 1000,     /* of one list */
    DP_REGEX_BYTES_MAX = 1024,    /* of one expression */
    DP_REGEX_MATCH_MAX = 100000,  /* PCRE2's match limit; above it does not match */
    DP_REGEX_DEPTH_MAX = 1000,    /* PCRE2's depth limit */
    DP_REGEX_HEAP_KIB_MAX = 1024, /* PCRE2's heap limit */
};

typedef struct dp_when dp_when; /* immutable; shared between threads */

/* NULL after every mistake was reported; `pointer` is where the mapping stands, `base` the
 * absolute folder that relative ones start from. */
dp_when *dp_when_new(const json_t *when, const char *base, const char *pointer,
                     dp_report report, void *user);
void dp_when_free(dp_when *when);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_when, dp_when_free)

/* With a `trace` (a JSON array) every condition is looked at and written there:
 * {"condition", "holds", "found"} or {"condition", "holds", "parts"}. */
gboolean dp_when_holds(const dp_when *when, const dp_route_facts *facts, json_t *trace);

/* `*` any text, `?` one character, `[a-z]` `[!a-z]` one of them; no meaning for a slash.
 * Linear in the text for each star. */
gboolean dp_glob_matches(const char *glob, const char *text);

#endif

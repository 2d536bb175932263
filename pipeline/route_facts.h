/*
 * route_facts.h - what rules, templates and actions know about one document.
 *
 * A path names values: "totals.gross_total", "lines.0.name", "lines[].tax_rate" (every
 * element), or a fact about the document that is no field: "@file", "@schema", …
 * All pointers are borrowed from the caller.
 */
#ifndef DP_ROUTE_FACTS_H
#define DP_ROUTE_FACTS_H

#include <glib.h>
#include <jansson.h>

enum { DP_PATH_BYTES_MAX = 256, DP_PATH_DEPTH_MAX = 16, DP_PATH_VALUES_MAX = 10000 };

typedef struct dp_route_facts {
    const json_t *result; /* the document envelope; fields as envelopes or plain values */
    const char *path;     /* where the document is now; NULL when only the result is */
    const char *result_path; /* where the result stands; may be NULL */
    const char *name;        /* the document's name when it came in */
    const char *folder;      /* the folder it came in through; may be NULL */
    const char *profile;     /* may be NULL */
    const char *job;         /* identity of the work: part of every idempotency key */
    gint64 received;         /* seconds since 1970; 0 when unknown */
    const char *rule;        /* the rule that matched; NULL while rules are looked at */
} dp_route_facts;

/* NULL when `path` can name something, else what is wrong with it. */
const char *dp_route_path_fault(const char *path);
/* The values at `path`: array of json_t (references), without nulls.  Empty when there is
 * none.  Leaves are as they stand in the result: plain, or {"value": …}. */
GPtrArray *dp_route_find(const dp_route_facts *facts, const char *path);
/* The value of a leaf: what is behind "value" of an envelope, else the node itself. */
const json_t *dp_leaf_value(const json_t *leaf);
/* Its text; NULL for null, objects and arrays.  Caller frees. */
char *dp_leaf_text(const json_t *leaf);
/* Text of the first value at `path`; NULL when missing or empty.  Caller frees. */
char *dp_route_text(const dp_route_facts *facts, const char *path);
/* The lowest confidence of the values in the tree; 1 when none has any. */
double dp_confidence_least(const json_t *node);
gboolean dp_is_leaf(const json_t *node);

#endif

/*
 * route.h - `routes:` of a configuration: which documents go where.
 *
 * Rules are looked at in order, the first that matches is taken.  A document that needs
 * review goes by `review` when there is one, before any rule; one that failed only by
 * `failed`; one that no rule matches by `otherwise`.  docvl.yaml(5) describes it all.
 */
#ifndef DP_ROUTE_H
#define DP_ROUTE_H

#include "actions.h"
#include "route_when.h"

enum { DP_RULES_MAX = 200, DP_RULE_ACTIONS_MAX = 32, DP_ROUTE_TESTS_MAX = 500 };

typedef struct dp_routes dp_routes; /* immutable; shared between threads */
typedef struct dp_rule dp_rule;     /* borrowed from its routes */

/* Compile; relative paths start from `base`, an absolute folder.  NULL after every mistake
 * was reported, with pointers from the mapping `routes` on ("/rules/0/when/status"). */
dp_routes *dp_routes_new(const json_t *routes, const char *base, dp_report report,
                         void *user);
void dp_routes_free(dp_routes *routes);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_routes, dp_routes_free)
/* Where relative targets start: an absolute path.  Borrowed. */
const char *dp_routes_root(const dp_routes *routes);
/* Only the check. */
gboolean dp_routes_check(const json_t *routes, dp_report report, void *user);

/* The rule for a document, or NULL.  With a `trace` (a JSON array) all are looked at, and
 * each is written there: {"rule", "matched", "taken", "conditions"}. */
const dp_rule *dp_routes_match(const dp_routes *routes, const dp_route_facts *facts,
                               json_t *trace);
const char *dp_rule_name(const dp_rule *rule);
/* Its actions with the document's values: an array for dp_action_do(), may be empty. */
json_t *dp_routes_plan(const dp_routes *routes, const dp_rule *rule,
                       const dp_route_facts *facts, GError **error);
/* Where a planned action goes: a path, a URL; NULL for a command.  Borrowed. */
const char *dp_action_target(const json_t *planned);

/* The examples under `tests`: array of {"name", "passed", "text"}.  Caller owns. */
json_t *dp_routes_test(const dp_routes *routes);

#endif

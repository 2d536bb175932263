/*
 * routing.h - routes and journal together: the actions of one document, each once.
 */
#ifndef DP_ROUTING_H
#define DP_ROUTING_H

#include "job.h"
#include "route.h"

typedef struct dp_router {
    dp_queue *queue;
    const dp_routes *routes;   /* NULL: nothing is to be done */
    GCancellable *cancellable; /* ends commands and webhooks; may be NULL */
} dp_router;

/* What is known of a document of the journal, for rules and templates.  Strings live as
 * long as `doc`, but for name and folder, which `facts` owns: dp_doc_facts_clear(). */
typedef struct dp_doc_facts {
    dp_route_facts facts;
    char *name, *folder;
} dp_doc_facts;
void dp_doc_facts_init(dp_doc_facts *f, const dp_doc *doc, const json_t *result);
void dp_doc_facts_clear(dp_doc_facts *f);

/* The hook on_published (job.h) for a document that this process holds: match, plan once,
 * do what is not done.  A document whose path is its target has no file but its result.
 * When an action moves the document its path in the journal follows.  *lasting (may be NULL)
 * becomes DP_LASTING_NOTED when all of its actions make files, and there is one.  Any thread;
 * blocks as long as the actions do. */
gboolean dp_route_document(const dp_router *router, const dp_doc *doc,
                           const json_t *result, dp_routing *routing, dp_lasting *lasting,
                           GError **error);

/* The hook on_given_up (job.h) for a document that this process holds: `failed` of the
 * routes, planned and done in the same way.  Templates and receivers see a result with the
 * status failed, the reason, and no fields. */
gboolean dp_route_failed(const dp_router *router, const dp_doc *doc, dp_routing *routing,
                         GError **error);
/* The same, and what is not done is told as an error. */
gboolean dp_route_given_up(const dp_app *app, const dp_router *router, const dp_doc *doc,
                           dp_routing *routing, GError **error);

#endif

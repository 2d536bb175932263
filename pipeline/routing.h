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
 * When an action moves the document its path in the journal follows.  Any thread; blocks as
 * long as the actions do. */
gboolean dp_route_document(const dp_router *router, const dp_doc *doc,
                           const json_t *result, dp_routing *routing, GError **error);

/* For the hook on_failed: `failed` of the routes for a document that was given up without a
 * result (quarantined); nothing for any other.  In order up to the first action that cannot
 * be done, which is the error.  The document is nobody's by now, so these actions have no
 * rows in the journal and are not tried again; one that was cut off, or done before the
 * document was released and given up once more, recognises what it has left behind.  When
 * an action moves the document its path in the journal follows. */
gboolean dp_route_failed(const dp_router *router, const dp_doc *doc, GError **error);

#endif

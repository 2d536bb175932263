/*
 * routing.c - the actions of one document, planned once and done in order.
 *
 * The plan goes to the journal before anything is touched, each action with its key and all
 * its values; what is done later is done from there.  An action is "started" in the journal
 * with the name it has chosen before it touches anything, and "done" after.  One that was
 * started and not done is tried again: the actions recognise what they have left behind.
 */
#include "routing.h"

#include "names.h"

#include <assert.h>
#include <string.h>

void dp_doc_facts_init(dp_doc_facts *f, const dp_doc *doc, const json_t *result)
{
    *f = (dp_doc_facts){
        .name = g_path_get_basename(doc->origin),
        .folder = g_path_get_dirname(doc->origin),
    };
    gboolean has_result = doc->target != NULL && *doc->target != '\0';
    gboolean is_result_only = has_result && strcmp(doc->path, doc->target) == 0;
    const char *named = json_string_value(json_object_get(result, "file"));
    if (is_result_only && named != NULL) { /* of the document that is not here */
        g_free(f->name);
        f->name = g_path_get_basename(named);
    }
    f->facts = (dp_route_facts){
        .result = result,
        .path = is_result_only ? NULL : doc->path,
        .result_path = has_result ? doc->target : NULL,
        .name = f->name,
        .folder = f->folder,
        .profile = doc->profile != NULL && *doc->profile != '\0' ? doc->profile : NULL,
        .received = doc->added_at / 1000,
    };
}

void dp_doc_facts_clear(dp_doc_facts *f)
{
    g_free(f->name);
    g_free(f->folder);
    *f = (dp_doc_facts){ 0 };
}

/* ---- planning ------------------------------------------------------------------- */

/* The columns of the journal for each planned action. */
static GPtrArray *plan_rows(const dp_doc *doc, const json_t *plan, GError **error)
{
    g_autoptr(GPtrArray) rows =
        g_ptr_array_new_with_free_func((GDestroyNotify)dp_action_free);
    gsize i;
    json_t *planned;
    json_array_foreach(plan, i, planned) {
        char *dump = json_dumps(planned, JSON_COMPACT);
        dp_action *row = g_new0(dp_action, 1);
        row->index = (guint)i;
        row->kind = g_strdup(json_string_value(json_object_get(planned, "kind")));
        row->key = dp_action_key(doc->sha256, doc->recipe, (guint)i, planned);
        row->detail = g_strdup(dump);
        free(dump);
        g_ptr_array_add(rows, row);
        if (strlen(row->detail) > DP_ACTION_DETAIL_MAX) {
            g_set_error(error, DP_ROUTE_ERROR, DP_ROUTE_VALUE,
                        "action %zu (%s) needs %zu bytes in the journal, limit %d", i,
                        row->kind, strlen(row->detail), DP_ACTION_DETAIL_MAX);
            return NULL;
        }
    }
    return g_steal_pointer(&rows);
}

/* The actions of the journal; planned now when there are none yet. */
static GPtrArray *ready_actions(const dp_router *router, const dp_doc *doc,
                                const dp_route_facts *facts, GError **error)
{
    GPtrArray *actions = dp_queue_actions(router->queue, doc->id, error);
    if (actions == NULL || actions->len > 0)
        return actions;
    const dp_rule *rule =
        router->routes != NULL ? dp_routes_match(router->routes, facts, NULL) : NULL;
    if (rule == NULL)
        return actions;
    g_ptr_array_unref(actions);
    json_t *plan = dp_routes_plan(router->routes, rule, facts, error);
    if (plan == NULL)
        return NULL;
    g_autoptr(GPtrArray) rows = plan_rows(doc, plan, error);
    json_decref(plan);
    if (rows == NULL)
        return NULL;
    if (rows->len > 0 && !dp_queue_actions_plan(router->queue, doc->id, rows, error))
        return NULL;
    return dp_queue_actions(router->queue, doc->id, error);
}

/* ---- doing ------------------------------------------------------------------------ */

typedef struct memory {
    dp_queue *queue;
    gint64 action;
    gboolean is_lost; /* the journal could not be written: not the action's fault */
} memory;

static gboolean remember(void *user, const json_t *planned, GError **error)
{
    memory *m = user;
    char *dump = json_dumps(planned, JSON_COMPACT);
    gboolean is_ok = dp_queue_action_start(m->queue, m->action, dump, error);
    m->is_lost = !is_ok;
    free(dump);
    return is_ok;
}

/* Done: the journal follows, with the place of a document that lies elsewhere now. */
static gboolean note_done(const dp_router *router, const dp_doc *doc,
                          const dp_action *action, const dp_action_run *run,
                          GError **error)
{
    gboolean is_moved = g_strcmp0(run->moved_to, doc->path) != 0;
    return dp_queue_action_done(router->queue, action->id,
                                is_moved ? run->moved_to : NULL, error);
}

static gboolean note_failed(const dp_router *router, const dp_action *action,
                            const GError *why, dp_routing *routing, GError **error)
{
    dp_failure failure = {
        .code = "action",
        .reason = why->message,
        .is_temporary = g_error_matches(why, DP_ROUTE_ERROR, DP_ROUTE_TEMPORARY),
        .is_final = g_error_matches(why, DP_ROUTE_ERROR, DP_ROUTE_VALUE) ||
                    g_error_matches(why, DP_ROUTE_ERROR, DP_ROUTE_CONFIG),
    };
    if (!dp_queue_action_fail(router->queue, action->id, &failure, error))
        return FALSE;
    g_autoptr(GPtrArray) actions =
        dp_queue_actions(router->queue, action->document, error);
    if (actions == NULL)
        return FALSE;
    *routing = DP_ROUTING_LATER;
    for (guint i = 0; i < actions->len; i++)
        if (((dp_action *)actions->pdata[i])->state == DP_ACTION_FAILED)
            *routing = DP_ROUTING_QUARANTINED;
    return TRUE;
}

/* One action; *routing stays DONE when it is done. */
static gboolean do_one(const dp_router *router, const dp_doc *doc,
                       const dp_action *action, dp_route_facts *facts, char **path,
                       dp_routing *routing, GError **error)
{
    json_t *planned = json_loads(action->detail, 0, NULL);
    if (planned == NULL) {
        g_set_error(error, DP_ROUTE_ERROR, DP_ROUTE_VALUE,
                    "action %u of the journal cannot be read", action->index);
        return FALSE;
    }
    memory m = { .queue = router->queue, .action = action->id };
    /* One that was released and is given up once more has a new plan of the same actions:
     * what they left behind the first time is recognised. */
    gboolean was_tried = action->state == DP_ACTION_STARTED || action->attempts > 0 ||
                         doc->is_giving_up ||
                         json_object_get(planned, "chosen") != NULL ||
                         json_object_get(planned, "offset") != NULL;
    dp_action_run run = { .planned = planned,
                          .key = action->key,
                          .sha256 = doc->sha256,
                          .facts = facts,
                          .was_started = was_tried,
                          .cancellable = router->cancellable,
                          .remember = remember,
                          .user = &m };
    facts->rule = json_string_value(json_object_get(planned, "rule"));
    g_autoptr(GError) why = NULL;
    gboolean is_ok = action->state == DP_ACTION_STARTED || !was_tried ||
                     dp_queue_action_start(router->queue, action->id, NULL, error);
    if (is_ok) {
        gboolean is_done = dp_action_do(&run, &why);
        if (is_done)
            is_ok = note_done(router, doc, action, &run, error);
        else if (m.is_lost)
            g_propagate_error(error, g_steal_pointer(&why));
        else
            is_ok = note_failed(router, action, why, routing, error);
        is_ok &= !m.is_lost;
    }
    if (is_ok && run.moved_to != NULL) {
        g_free(*path);
        facts->path = *path = g_steal_pointer(&run.moved_to);
    }
    g_free(run.moved_to);
    facts->rule = NULL;
    json_decref(planned);
    return is_ok;
}

/* In order, up to the first that is not done now. */
static gboolean do_all(const dp_router *router, const dp_doc *doc, dp_route_facts *facts,
                       dp_routing *routing, GError **error)
{
    *routing = DP_ROUTING_DONE;
    g_autofree char *path = NULL;
    g_autoptr(GPtrArray) actions = ready_actions(router, doc, facts, error);
    gboolean is_ok = actions != NULL;
    for (guint i = 0; is_ok && i < actions->len && *routing == DP_ROUTING_DONE; i++) {
        const dp_action *action = actions->pdata[i];
        if (action->state == DP_ACTION_FAILED)
            *routing = DP_ROUTING_QUARANTINED;
        else if (action->state != DP_ACTION_DONE)
            is_ok = do_one(router, doc, action, facts, &path, routing, error);
    }
    return is_ok;
}

gboolean dp_route_document(const dp_router *router, const dp_doc *doc,
                           const json_t *result, dp_routing *routing, GError **error)
{
    assert(router->queue != NULL);
    dp_doc_facts f;
    dp_doc_facts_init(&f, doc, result);
    gboolean is_ok = do_all(router, doc, &f.facts, routing, error);
    dp_doc_facts_clear(&f);
    return is_ok;
}

/* ---- given up --------------------------------------------------------------------- */

/* What rules, templates and receivers see of a document without a result. */
static json_t *given_up_result(const dp_doc *doc)
{
    g_autofree char *base = g_path_get_basename(doc->origin);
    g_autofree char *name = g_utf8_make_valid(base, -1);
    g_autofree char *reason = g_utf8_make_valid(dp_doc_reason(doc), -1);
    return json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "file", name, "doc_id", doc->sha256,
                     "status", "failed", "error", "code", doc->code, "message", reason);
}

gboolean dp_route_failed(const dp_router *router, const dp_doc *doc, dp_routing *routing,
                         GError **error)
{
    assert(doc->is_giving_up);
    json_t *result = given_up_result(doc);
    dp_doc_facts f;
    dp_doc_facts_init(&f, doc, result);
    if (dp_path_is_gone(doc->path))
        f.facts.path = NULL; /* it was taken away: that is why */
    if (doc->target == NULL || dp_path_is_gone(doc->target))
        f.facts.result_path = NULL;
    gboolean is_ok = do_all(router, doc, &f.facts, routing, error);
    dp_doc_facts_clear(&f);
    json_decref(result);
    return is_ok;
}

gboolean dp_route_given_up(const dp_app *app, const dp_router *router, const dp_doc *doc,
                           dp_routing *routing, GError **error)
{
    g_autoptr(GError) inner = NULL;
    gboolean is_ok = dp_route_failed(router, doc, routing, &inner);
    g_autoptr(GPtrArray) actions = is_ok && *routing != DP_ROUTING_DONE
                                       ? dp_queue_actions(router->queue, doc->id, NULL)
                                       : NULL;
    const char *why = is_ok ? NULL : inner->message;
    for (guint i = 0; actions != NULL && why == NULL && i < actions->len; i++) {
        const dp_action *action = actions->pdata[i];
        if (action->state != DP_ACTION_DONE)
            why = action->reason;
    }
    if (!is_ok || *routing != DP_ROUTING_DONE)
        dp_message(app, "error", "%s: routes, failed: %s%s", doc->origin,
                   why != NULL ? why : "not done",
                   *routing == DP_ROUTING_LATER ? "; tried again later" : "");
    if (!is_ok)
        g_propagate_error(error, g_steal_pointer(&inner));
    return is_ok;
}

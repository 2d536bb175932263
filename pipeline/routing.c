/*
 * routing.c - the actions of one document, planned once and done in order.
 *
 * The plan is synced to the journal before anything is touched, each action with its key and
 * all its values; what is done later is done from there.  An action is "started" in the
 * journal with the name it has chosen before it touches anything, and "done" after.  A plan
 * that is found in the journal may have been begun, whatever the journal says of its actions:
 * what is not done is tried again, and the actions recognise what they have left behind.
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
        dp_action *row = g_new0(dp_action, 1);
        row->index = (guint)i;
        row->kind = g_strdup(json_string_value(json_object_get(planned, "kind")));
        row->key = dp_action_key(doc->sha256, doc->recipe, (guint)i, planned);
        /* One that is given up once more is to find what it left the first time. */
        if (!doc->is_giving_up)
            dp_action_note_target(planned);
        char *dump = json_dumps(planned, JSON_COMPACT);
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
                                const dp_route_facts *facts, gboolean *is_new,
                                GError **error)
{
    GPtrArray *actions = dp_queue_actions(router->queue, doc->id, error);
    *is_new = actions != NULL && actions->len == 0;
    if (!*is_new)
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

static gboolean remember(void *user, const json_t *planned, dp_lasting how,
                         GError **error)
{
    memory *m = user;
    char *dump = json_dumps(planned, JSON_COMPACT);
    gboolean is_ok = dp_queue_action_start(m->queue, m->action, dump, how, error);
    m->is_lost = !is_ok;
    free(dump);
    return is_ok;
}

/* What one pass over the actions of a document has done. */
typedef struct pass {
    const dp_router *router;
    const dp_doc *doc;
    dp_route_facts *facts;
    gboolean is_new;    /* planned in this pass: nothing was begun before */
    GPtrArray *folders; /* to be synced */
    GPtrArray *waiting; /* of dp_action, borrowed: done but for that */
    char *path;         /* where an action has put the document */
    dp_routing routing;
} pass;

static gboolean note_failed(pass *p, const dp_action *action, const GError *why,
                            GError **error)
{
    dp_queue *queue = p->router->queue;
    dp_failure failure = {
        .code = "action",
        .reason = why->message,
        .is_temporary = g_error_matches(why, DP_ROUTE_ERROR, DP_ROUTE_TEMPORARY),
        .is_final = g_error_matches(why, DP_ROUTE_ERROR, DP_ROUTE_VALUE) ||
                    g_error_matches(why, DP_ROUTE_ERROR, DP_ROUTE_CONFIG),
    };
    if (!dp_queue_action_fail(queue, action->id, &failure, error))
        return FALSE;
    g_autoptr(GPtrArray) actions = dp_queue_actions(queue, action->document, error);
    if (actions == NULL)
        return FALSE;
    p->routing = DP_ROUTING_LATER;
    for (guint i = 0; i < actions->len; i++)
        if (((dp_action *)actions->pdata[i])->state == DP_ACTION_FAILED)
            p->routing = DP_ROUTING_QUARANTINED;
    return TRUE;
}

/* Sync the folders of the files that were made, each once, and note those actions as done. */
static gboolean settle(pass *p, GError **error)
{
    g_autoptr(GError) why = NULL;
    gboolean is_ok = TRUE;
    for (guint i = 0; why == NULL && i < p->folders->len; i++)
        (void)dp_action_sync_dir(p->folders->pdata[i], &why);
    if (why != NULL) /* the others stay started, and will find what they have made */
        is_ok = note_failed(p, p->waiting->pdata[0], why, error);
    for (guint i = 0; why == NULL && is_ok && i < p->waiting->len; i++) {
        const dp_action *action = p->waiting->pdata[i];
        is_ok = dp_queue_action_done(p->router->queue, action->id, NULL, error);
    }
    g_ptr_array_set_size(p->folders, 0);
    g_ptr_array_set_size(p->waiting, 0);
    return is_ok;
}

/* Done: the journal follows, with the place of a document that lies elsewhere now. */
static gboolean note_done(pass *p, dp_action *action, const dp_action_run *run,
                          GError **error)
{
    if (run->is_unsynced) {
        g_ptr_array_add(p->waiting, action);
        return TRUE;
    }
    gboolean is_moved = g_strcmp0(run->moved_to, p->doc->path) != 0;
    return dp_queue_action_done(p->router->queue, action->id,
                                is_moved ? run->moved_to : NULL, error);
}

/* One action; p->routing stays DONE when it is done. */
static gboolean do_one(pass *p, dp_action *action, GError **error)
{
    dp_queue *queue = p->router->queue;
    json_t *planned = json_loads(action->detail, 0, NULL);
    if (planned == NULL) {
        g_set_error(error, DP_ROUTE_ERROR, DP_ROUTE_VALUE,
                    "action %u of the journal cannot be read", action->index);
        return FALSE;
    }
    memory m = { .queue = queue, .action = action->id };
    /* One that was released and is given up once more has a new plan of the same actions:
     * what they left behind the first time is recognised. */
    gboolean was_tried = !p->is_new || p->doc->is_giving_up;
    dp_action_run run = { .planned = planned,
                          .key = action->key,
                          .sha256 = p->doc->sha256,
                          .facts = p->facts,
                          .was_started = was_tried,
                          .cancellable = p->router->cancellable,
                          .remember = remember,
                          .user = &m,
                          .folders = p->folders };
    p->facts->rule = json_string_value(json_object_get(planned, "rule"));
    g_autoptr(GError) why = NULL;
    gboolean is_ok =
        action->state == DP_ACTION_STARTED || !was_tried ||
        dp_queue_action_start(queue, action->id, NULL, DP_LASTING_NOTED, error);
    if (is_ok) {
        gboolean is_done = dp_action_do(&run, &why);
        if (is_done)
            is_ok = note_done(p, action, &run, error);
        else if (m.is_lost)
            g_propagate_error(error, g_steal_pointer(&why));
        else
            is_ok = note_failed(p, action, why, error);
        is_ok &= !m.is_lost;
    }
    if (is_ok && run.moved_to != NULL) {
        g_free(p->path);
        p->facts->path = p->path = g_steal_pointer(&run.moved_to);
    }
    g_free(run.moved_to);
    p->facts->rule = NULL;
    json_decref(planned);
    return is_ok;
}

/* In order, up to the first that is not done now. */
static gboolean do_each(pass *p, GPtrArray *actions, GError **error)
{
    gboolean is_ok = TRUE;
    for (guint i = 0; is_ok && i < actions->len && p->routing == DP_ROUTING_DONE; i++) {
        dp_action *action = actions->pdata[i];
        if (action->state == DP_ACTION_FAILED) {
            p->routing = DP_ROUTING_QUARANTINED;
        } else if (action->state != DP_ACTION_DONE) {
            /* What others see, or what takes the document away, wants the files to last. */
            if (!dp_action_is_file(action->kind))
                is_ok = settle(p, error);
            if (is_ok && p->routing == DP_ROUTING_DONE)
                is_ok = do_one(p, action, error);
        }
    }
    return is_ok;
}

/* Would each of them, done again from its plan, find what it has made?  Without actions
 * nothing has synced the publication either. */
static gboolean are_files(const GPtrArray *actions)
{
    for (guint i = 0; i < actions->len; i++)
        if (!dp_action_is_file(((dp_action *)actions->pdata[i])->kind))
            return FALSE;
    return actions->len > 0;
}

static gboolean do_all(const dp_router *router, const dp_doc *doc, dp_route_facts *facts,
                       dp_routing *routing, dp_lasting *lasting, GError **error)
{
    pass p = { .router = router,
               .doc = doc,
               .facts = facts,
               .folders = g_ptr_array_new_with_free_func(g_free),
               .waiting = g_ptr_array_new(),
               .routing = DP_ROUTING_DONE };
    g_autoptr(GPtrArray) actions = ready_actions(router, doc, facts, &p.is_new, error);
    gboolean is_ok = actions != NULL && do_each(&p, actions, error);
    /* Also in front of one that failed: what was done needs no second look. */
    is_ok = is_ok && settle(&p, error);
    *routing = p.routing;
    if (lasting != NULL && is_ok && are_files(actions))
        *lasting = DP_LASTING_NOTED;
    g_ptr_array_unref(p.folders);
    g_ptr_array_unref(p.waiting);
    g_free(p.path);
    return is_ok;
}

gboolean dp_route_document(const dp_router *router, const dp_doc *doc,
                           const json_t *result, dp_routing *routing, dp_lasting *lasting,
                           GError **error)
{
    assert(router->queue != NULL);
    dp_doc_facts f;
    dp_doc_facts_init(&f, doc, result);
    gboolean is_ok = do_all(router, doc, &f.facts, routing, lasting, error);
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
    gboolean is_ok = do_all(router, doc, &f.facts, routing, NULL, error);
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

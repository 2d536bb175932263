/*
 * actions.c - the table of actions: what each may be told, how it is planned, who does it.
 */
#include "actions.h"

#include "action_parts.h"
#include "app.h"
#include "ubl.h"

#include <assert.h>
#include <string.h>

/* ---- what a configuration may say ------------------------------------------------- */

#define REQUIRED .is_required = TRUE
static const char *const link_words[] = { "hard", "symbolic", NULL };
static const char *const write_words[] = { "json", "csv", "ubl", NULL };
static const char *const append_words[] = { "csv", "jsonl", NULL };
static const char *const value_words[] = { "full", "plain", NULL };
static const char *const attach_words[] = { "document", "result", "both", "none", NULL };

static const dp_facts place_facts[] = {
    { .key = "to", .kind = DP_KIND_TEXT, REQUIRED, .help = "template of the target" },
    { NULL },
};
static const dp_facts link_facts[] = {
    { .key = "to", .kind = DP_KIND_TEXT, REQUIRED, .help = "template of the link" },
    { .key = "as",
      .kind = DP_KIND_WORD,
      .words = link_words,
      .fallback = "hard",
      .help = "kind of link" },
    { NULL },
};
static const dp_facts write_facts[] = {
    { .key = "to", .kind = DP_KIND_TEXT, REQUIRED, .help = "template of the file" },
    { .key = "format",
      .kind = DP_KIND_WORD,
      .words = write_words,
      .fallback = "json",
      .help = "what is written" },
    { .key = "values",
      .kind = DP_KIND_WORD,
      .words = value_words,
      .fallback = "full",
      .help = "json: with or without their envelopes" },
    { NULL },
};
static const dp_facts append_facts[] = {
    { .key = "to", .kind = DP_KIND_TEXT, REQUIRED, .help = "template of the file" },
    { .key = "format",
      .kind = DP_KIND_WORD,
      .words = append_words,
      .fallback = "csv",
      .help = "a table or JSON Lines" },
    { .key = "columns",
      .kind = DP_KIND_TEXTS,
      .min = 1,
      .max = DP_COLUMNS_MAX,
      .help = "paths of the values; without them the usual ones" },
    { NULL },
};
static const dp_facts run_facts[] = {
    { .key = "command",
      .kind = DP_KIND_TEXTS,
      REQUIRED,
      .min = 1,
      .max = DP_COMMAND_WORDS_MAX,
      .help = "program and arguments; no shell" },
    { .key = "timeout",
      .kind = DP_KIND_DURATION,
      .min = 1,
      .max = DP_COMMAND_SECONDS_MAX,
      .fallback = "60s",
      .help = "then the program and all it started are killed" },
    { .key = "output_max",
      .kind = DP_KIND_BYTES,
      .min = 1,
      .max = DP_OUTPUT_BYTES_MAX,
      .fallback = "64KiB",
      .help = "of its output kept for messages" },
    { NULL },
};
static const dp_facts webhook_facts[] = {
    { .key = "url", .kind = DP_KIND_TEXT, REQUIRED, .help = "http or https" },
    { .key = "secret_file",
      .kind = DP_KIND_PATH,
      .help = "file with the secret to sign with" },
    { .key = "secret_env", .kind = DP_KIND_TEXT, .help = "variable with the secret" },
    { .key = "headers", .kind = DP_KIND_OTHER, .help = "more headers of the request" },
    { .key = "timeout",
      .kind = DP_KIND_DURATION,
      .min = 1,
      .max = DP_HOOK_SECONDS_MAX,
      .fallback = "30s",
      .help = "of the whole exchange" },
    { .key = "ca_file",
      .kind = DP_KIND_PATH,
      .help = "certificates to trust instead of the system's" },
    { .key = "values",
      .kind = DP_KIND_WORD,
      .words = value_words,
      .fallback = "full",
      .help = "with or without their envelopes" },
    { NULL },
};
static const dp_facts mail_facts[] = {
    { .key = "maildir",
      .kind = DP_KIND_PATH,
      REQUIRED,
      .help = "folder with tmp, new, cur" },
    { .key = "from", .kind = DP_KIND_TEXT, REQUIRED, .help = "address" },
    { .key = "to", .kind = DP_KIND_TEXT, REQUIRED, .help = "address" },
    { .key = "subject",
      .kind = DP_KIND_TEXT,
      REQUIRED,
      .help = "template of the subject" },
    { .key = "attach",
      .kind = DP_KIND_WORD,
      .words = attach_words,
      .fallback = "document",
      .help = "what comes with it" },
    { NULL },
};
static const dp_facts priority_facts[] = {
    { .key = "priority",
      .kind = DP_KIND_INT,
      REQUIRED,
      .min = -1000,
      .max = 1000,
      .help = "of the actions behind it" },
    { NULL },
};

static gboolean do_priority(dp_action_run *run, GError **error)
{
    return TRUE; /* planned into the others */
}

static const struct {
    const char *name;
    const dp_facts *facts;
    const char *brief; /* the key that a value without a mapping stands for */
    gboolean (*run)(dp_action_run *run, GError **error);
} kinds[] = {
    { "move", place_facts, "to", dp_do_move },
    { "copy", place_facts, "to", dp_do_copy },
    { "link", link_facts, "to", dp_do_link },
    { "rename", place_facts, "to", dp_do_rename },
    { "write", write_facts, "to", dp_do_write },
    { "append", append_facts, "to", dp_do_append },
    { "run", run_facts, "command", dp_do_command },
    { "webhook", webhook_facts, "url", dp_do_webhook },
    { "mail", mail_facts, NULL, dp_do_mail },
    { "priority", priority_facts, "priority", do_priority },
};

static gsize find_kind(const char *name)
{
    gsize k = 0;
    while (k < G_N_ELEMENTS(kinds) && strcmp(kinds[k].name, name) != 0)
        k++;
    return k;
}

/* ---- checking ---------------------------------------------------------------------- */

typedef struct checker {
    dp_report report;
    void *user;
    gboolean is_good;
} checker;

static void complain(checker *c, const char *at, const char *key, const char *text)
{
    g_autofree char *here =
        key != NULL ? g_strdup_printf("%s/%s", at, key) : g_strdup(at);
    c->is_good = FALSE;
    c->report(c->user, here, FALSE, text);
}

static void note_report(void *user, const char *pointer, gboolean at_key,
                        const char *text)
{
    checker *c = user;
    c->is_good = FALSE;
    c->report(c->user, pointer, at_key, text);
}

static void check_template(checker *c, const json_t *action, const char *key,
                           dp_template_kind kind, const char *at)
{
    const char *text = json_string_value(json_object_get(action, key));
    if (text == NULL)
        return; /* the table has said so */
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_template) t = dp_template_new(text, kind, &error);
    if (t == NULL)
        complain(c, at, key, error->message);
}

static gboolean is_line(const char *text, gsize max)
{
    if (strlen(text) > max || *text == '\0')
        return FALSE;
    for (; *text != '\0'; text++)
        if (*text < 32 || *text >= 127)
            return FALSE;
    return TRUE;
}

static gboolean is_header_name(const char *name)
{
    static const char *const ours[] = {
        "content-type", "content-length", "idempotency-key",   "docvl-signature",
        "host",         "expect",         "transfer-encoding", NULL
    };
    g_autofree char *lower = g_ascii_strdown(name, -1);
    if (*name == '\0' || strlen(name) > 100 || g_strv_contains(ours, lower))
        return FALSE;
    for (; *name != '\0'; name++)
        if (!g_ascii_isalnum(*name) && *name != '-')
            return FALSE;
    return TRUE;
}

static void check_webhook(checker *c, const json_t *action, const char *at)
{
    const char *url = json_string_value(json_object_get(action, "url"));
    g_autoptr(GUri) uri = url != NULL && is_line(url, 2000)
                              ? g_uri_parse(url, G_URI_FLAGS_NONE, NULL)
                              : NULL;
    const char *scheme = uri != NULL ? g_uri_get_scheme(uri) : NULL;
    if (url != NULL &&
        (scheme == NULL || g_uri_get_host(uri) == NULL || *g_uri_get_host(uri) == '\0' ||
         (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)))
        complain(c, at, "url", "an http or https URL is expected");
    else if (uri != NULL && g_uri_get_userinfo(uri) != NULL)
        complain(c, at, "url",
                 "a password in a URL ends up in logs; use a header or the signature");
    if (json_object_get(action, "secret_file") != NULL &&
        json_object_get(action, "secret_env") != NULL)
        complain(c, at, "secret_env", "secret_file and secret_env exclude each other");
    const json_t *headers = json_object_get(action, "headers");
    if (headers != NULL &&
        (!json_is_object(headers) || json_object_size(headers) > DP_HOOK_HEADERS_MAX))
        complain(c, at, "headers", "a mapping of at most 16 headers is expected");
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)headers, name, value)
        if (!is_header_name(name) || !json_is_string(value) ||
            !is_line(json_string_value(value), 1000))
            complain(c, at, "headers",
                     "a header is a name that docvl does not set itself and "
                     "one line of ASCII text");
}

static void check_mail(checker *c, const json_t *action, const char *at)
{
    static const char *const keys[] = { "from", "to" };
    for (gsize i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *text = json_string_value(json_object_get(action, keys[i]));
        if (text != NULL && (!is_line(text, 500) || strchr(text, '@') == NULL))
            complain(c, at, keys[i], "an address in ASCII is expected");
    }
    check_template(c, action, "subject", DP_TEMPLATE_LINE, at);
}

static void check_columns(checker *c, const json_t *action, const char *at)
{
    gsize i;
    json_t *column;
    json_array_foreach(json_object_get(action, "columns"), i, column) {
        const char *path = json_string_value(column);
        const char *fault = path != NULL ? dp_route_path_fault(path) : NULL;
        if (fault != NULL) {
            g_autofree char *key = g_strdup_printf("columns/%zu", i);
            complain(c, at, key, fault);
        }
    }
}

/* The member that is a template; those that take none have no member of this name. */
static const char *template_of(const char *kind, dp_template_kind *is)
{
    gboolean is_mail = strcmp(kind, "mail") == 0;
    *is = is_mail                       ? DP_TEMPLATE_LINE
          : strcmp(kind, "rename") == 0 ? DP_TEMPLATE_NAME
                                        : DP_TEMPLATE_PATH;
    return is_mail ? "subject" : "to";
}

static void check_rest(checker *c, const char *kind, const json_t *action, const char *at)
{
    dp_template_kind is;
    const char *member = template_of(kind, &is);
    if (strcmp(kind, "webhook") == 0)
        check_webhook(c, action, at);
    else if (strcmp(kind, "mail") == 0)
        check_mail(c, action, at);
    check_template(c, action, member, is, at);
    if (strcmp(kind, "append") == 0)
        check_columns(c, action, at);
}

void dp_action_paths(const json_t *action, const char *pointer, dp_report report,
                     void *user)
{
    const char *kind = json_object_iter_key(json_object_iter((json_t *)action));
    const json_t *value = json_object_get(action, kind);
    dp_template_kind is;
    const char *member = template_of(kind, &is);
    g_autofree char *at = g_strdup_printf("%s/%s", pointer, kind);
    g_autofree char *below = g_strdup_printf("%s/%s", at, member);
    gboolean is_brief =
        json_is_string(value) && g_strcmp0(kinds[find_kind(kind)].brief, member) == 0;
    const char *text =
        json_string_value(is_brief ? value : json_object_get(value, member));
    g_autoptr(dp_template) t = text != NULL ? dp_template_new(text, is, NULL) : NULL;
    if (t != NULL)
        dp_template_paths(t, is_brief ? at : below, report, user);
    gsize i;
    json_t *column;
    json_array_foreach(json_object_get(value, "columns"), i, column) {
        g_autofree char *here = g_strdup_printf("%s/columns/%zu", at, i);
        report(user, here, FALSE, json_string_value(column));
    }
}

json_t *dp_action_check(const json_t *action, const char *pointer, dp_report report,
                        void *user)
{
    assert(report != NULL);
    checker c = { report, user, TRUE };
    const char *name = json_object_iter_key(json_object_iter((json_t *)action));
    if (name == NULL || json_object_size(action) != 1) {
        complain(&c, pointer, NULL, "a mapping of one action is expected");
        return NULL;
    }
    g_autofree char *at = g_strdup_printf("%s/%s", pointer, name);
    gsize k = find_kind(name);
    if (k == G_N_ELEMENTS(kinds)) {
        const char *names[G_N_ELEMENTS(kinds) + 1] = { NULL };
        for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
            names[i] = kinds[i].name;
        const char *near = dp_nearest(name, names);
        g_autofree char *all = g_strjoinv(", ", (char **)names);
        g_autofree char *text =
            near != NULL ? g_strdup_printf("unknown action \"%s\" (did you mean \"%s\"?)",
                                           name, near)
                         : g_strdup_printf("unknown action \"%s\"; known: %s", name, all);
        report(user, at, TRUE, text);
        return NULL;
    }
    json_t *value = json_object_get(action, name);
    json_t *whole = json_is_object(value) || kinds[k].brief == NULL
                        ? json_deep_copy(value)
                        : json_pack("{s:O}", kinds[k].brief, value);
    dp_facts_check(kinds[k].facts, whole, at, note_report, &c);
    if (c.is_good)
        check_rest(&c, name, whole, at);
    if (!c.is_good) {
        json_decref(whole);
        return NULL;
    }
    json_object_set_new(whole, "kind", json_string(name));
    return whole;
}

/* ---- planning ----------------------------------------------------------------------- */

static void set_text(json_t *planned, const char *key, const char *text)
{
    json_object_set_new(planned, key, json_string(text));
}

static void resolve(json_t *planned, const char *key, const char *base)
{
    const char *path = json_string_value(json_object_get(planned, key));
    if (path == NULL || g_path_is_absolute(path))
        return;
    g_autofree char *whole = g_build_filename(base, path, NULL);
    set_text(planned, key, whole);
}

static gboolean expand(json_t *planned, const char *key, dp_template_kind kind,
                       const dp_route_facts *facts, const dp_action_places *places,
                       GError **error)
{
    const char *text = json_string_value(json_object_get(planned, key));
    g_autoptr(dp_template) t = dp_template_new(text, kind, error);
    if (t == NULL)
        return FALSE;
    g_autofree char *whole = dp_template_expand(t, facts, places->missing, error);
    if (whole == NULL)
        return FALSE;
    set_text(planned, key, whole);
    if (kind == DP_TEMPLATE_PATH)
        resolve(planned, key, places->root);
    return TRUE;
}

static void set_default(json_t *planned, const char *key, const char *word)
{
    if (json_object_get(planned, key) == NULL)
        set_text(planned, key, word);
}

static void plan_command(json_t *planned, const dp_action_places *places)
{
    json_t *words = json_object_get(planned, "command");
    const char *program = json_string_value(json_array_get(words, 0));
    if (strchr(program, '/') != NULL && !g_path_is_absolute(program)) {
        g_autofree char *whole = g_build_filename(places->base, program, NULL);
        json_array_set_new(words, 0, json_string(whole));
    }
    gint64 us =
        dp_fact_duration_us(json_object_get(planned, "timeout"), 60 * G_USEC_PER_SEC);
    json_object_set_new(
        planned, "timeout",
        json_integer((json_int_t)((us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC)));
    guint64 output =
        dp_fact_bytes(json_object_get(planned, "output_max"), DP_OUTPUT_BYTES_DEFAULT);
    json_object_set_new(planned, "output_max", json_integer((json_int_t)output));
    set_text(planned, "folder", places->base);
}

static gboolean plan_mail(json_t *planned, const dp_route_facts *facts,
                          const dp_action_places *places, GError **error)
{
    if (!expand(planned, "subject", DP_TEMPLATE_LINE, facts, places, error))
        return FALSE;
    resolve(planned, "maildir", places->base);
    set_default(planned, "attach", "document");
    json_object_set_new(planned, "date",
                        json_integer((json_int_t)(g_get_real_time() / G_USEC_PER_SEC)));
    return TRUE;
}

static gboolean plan_kind(const char *kind, json_t *planned, const dp_route_facts *facts,
                          const dp_action_places *places, GError **error)
{
    if (strcmp(kind, "priority") == 0)
        return TRUE;
    if (strcmp(kind, "run") == 0) {
        plan_command(planned, places);
        return TRUE;
    }
    if (strcmp(kind, "webhook") == 0) {
        resolve(planned, "secret_file", places->base);
        resolve(planned, "ca_file", places->base);
        gint64 us =
            dp_fact_duration_us(json_object_get(planned, "timeout"), 30 * G_USEC_PER_SEC);
        json_object_set_new(
            planned, "timeout",
            json_integer((json_int_t)((us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC)));
        return TRUE;
    }
    if (strcmp(kind, "mail") == 0)
        return plan_mail(planned, facts, places, error);
    if (strcmp(kind, "append") == 0)
        set_default(planned, "format", "csv");
    return expand(planned, "to",
                  strcmp(kind, "rename") == 0 ? DP_TEMPLATE_NAME : DP_TEMPLATE_PATH,
                  facts, places, error);
}

json_t *dp_action_plan(const json_t *action, const dp_route_facts *facts,
                       const dp_action_places *places, GError **error)
{
    json_t *planned = json_deep_copy(action);
    const char *kind = json_string_value(json_object_get(action, "kind"));
    assert(kind != NULL);
    if (facts->rule != NULL)
        set_text(planned, "rule", facts->rule);
    if (plan_kind(kind, planned, facts, places, error))
        return planned;
    g_prefix_error(error, "%s: ", kind);
    json_decref(planned);
    return NULL;
}

char *dp_action_describe(const json_t *planned)
{
    const char *kind = json_string_value(json_object_get(planned, "kind"));
    static const char *const targets[] = { "chosen", "to", "url", "maildir" };
    const json_t *words = json_object_get(planned, "command");
    if (words != NULL) {
        char *dump = json_dumps(words, JSON_COMPACT);
        char *text = g_strdup_printf("%s %s", kind, dump);
        free(dump);
        return text;
    }
    if (strcmp(kind, "priority") == 0)
        return g_strdup_printf("priority %" JSON_INTEGER_FORMAT,
                               json_integer_value(json_object_get(planned, "priority")));
    if (strcmp(kind, "mail") == 0)
        return g_strdup_printf("mail to %s in %s",
                               json_string_value(json_object_get(planned, "to")),
                               json_string_value(json_object_get(planned, "maildir")));
    for (gsize i = 0; i < G_N_ELEMENTS(targets); i++) {
        const char *target = json_string_value(json_object_get(planned, targets[i]));
        if (target != NULL)
            return g_strdup_printf("%s to %s", kind, target);
    }
    return g_strdup(kind);
}

char *dp_action_key(const char *sha256, const char *recipe, guint index,
                    const json_t *planned)
{
    /* The time of a mail's planning and a choice made on the way are no part of it. */
    json_t *copy = json_copy((json_t *)planned);
    json_object_del(copy, "date");
    json_object_del(copy, "chosen");
    json_object_del(copy, "offset");
    char *dump = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS);
    g_autofree char *text =
        g_strdup_printf("docvl-1\n%s\n%s\n%u\n%s", sha256, recipe, index, dump);
    free(dump);
    json_decref(copy);
    return g_compute_checksum_for_string(G_CHECKSUM_SHA256, text, -1);
}

/* ---- doing --------------------------------------------------------------------------- */

static json_t *shown_result(const dp_action_run *run)
{
    const json_t *result = run->facts->result;
    if (g_strcmp0(json_string_value(json_object_get(run->planned, "values")), "plain") !=
        0)
        return json_incref((json_t *)result);
    json_t *shown = json_copy((json_t *)result);
    json_t *fields = json_object_get(result, "fields");
    if (fields != NULL)
        json_object_set_new(shown, "fields", dp_plain(fields));
    return shown;
}

static void set_valid(json_t *object, const char *key, const char *text)
{
    g_autofree char *valid = text != NULL ? g_utf8_make_valid(text, -1) : NULL;
    json_object_set_new(object, key, valid != NULL ? json_string(valid) : json_null());
}

char *dp_action_payload(const dp_action_run *run, gsize *length)
{
    json_t *rule = json_object_get(run->planned, "rule");
    json_t *body = json_pack("{s:s, s:s}", "event", "document.routed", "key", run->key);
    json_object_set(body, "rule", rule != NULL ? rule : json_null());
    set_valid(body, "file", run->facts->name);
    set_valid(body, "path", run->facts->path);
    set_valid(body, "result_path", run->facts->result_path);
    json_object_set_new(
        body, "priority",
        json_integer(json_integer_value(json_object_get(run->planned, "priority"))));
    json_object_set_new(body, "result", shown_result(run));
    char *dump = json_dumps(body, JSON_COMPACT | JSON_REAL_PRECISION(6));
    char *text = g_strconcat(dump, "\n", NULL);
    free(dump);
    json_decref(body);
    *length = strlen(text);
    return text;
}

/* A file that would break EN 16931 is not written; what it breaks is. */
static gboolean write_ubl(dp_action_run *run, const char *to, GError **error)
{
    json_t *broken = NULL;
    g_autofree char *xml = dp_ubl_write(run->facts, &broken);
    if (xml != NULL)
        return dp_action_place_bytes(run, to, xml, strlen(xml), error);
    json_t *report = json_pack("{s:o, s:O}", "broken_rules", broken, "result",
                               (json_t *)run->facts->result);
    char *dump = json_dumps(report, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    g_autofree char *text = g_strconcat(dump, "\n", NULL);
    g_autofree char *path = g_strconcat(to, ".rules.json", NULL);
    free(dump);
    json_decref(report);
    return dp_action_place_bytes(run, path, text, strlen(text), error);
}

gboolean dp_do_write(dp_action_run *run, GError **error)
{
    const char *to = json_string_value(json_object_get(run->planned, "to"));
    const char *format = json_string_value(json_object_get(run->planned, "format"));
    g_autofree char *text = NULL;
    if (g_strcmp0(format, "ubl") == 0)
        return write_ubl(run, to, error);
    if (g_strcmp0(format, "csv") == 0) {
        g_autofree char *header = dp_csv_header();
        g_autofree char *line = dp_csv_line(run->facts->result);
        text = g_strconcat(header, "\n", line, "\n", NULL);
    } else {
        json_t *shown = shown_result(run);
        char *dump = json_dumps(shown, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        text = g_strconcat(dump, "\n", NULL);
        free(dump);
        json_decref(shown);
    }
    return dp_action_place_bytes(run, to, text, strlen(text), error);
}

void dp_action_note_target(json_t *planned)
{
    if (strcmp(json_string_value(json_object_get(planned, "kind")), "append") == 0)
        dp_append_note_offset(planned);
}

gboolean dp_action_is_file(const char *kind)
{
    static const char *const files[] = { "copy", "link", "write", "append", NULL };
    return g_strv_contains(files, kind);
}

gboolean dp_action_do(dp_action_run *run, GError **error)
{
    assert(run->remember != NULL);
    assert(run->key != NULL);
    const char *kind = json_string_value(json_object_get(run->planned, "kind"));
    gsize k = kind != NULL ? find_kind(kind) : G_N_ELEMENTS(kinds);
    if (k == G_N_ELEMENTS(kinds))
        return dp_action_fail(error, DP_ROUTE_VALUE,
                              "the journal holds an action \"%s\" that "
                              "this docvl does not know",
                              kind != NULL ? kind : "");
    if (kinds[k].run(run, error))
        return TRUE;
    g_prefix_error(error, "%s: ", kind);
    return FALSE;
}

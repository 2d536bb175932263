/*
 * action_webhook.c - one POST of JSON to a URL, signed.
 *
 *   Docvl-Signature: t=<seconds since 1970>,v1=<HMAC-SHA256 of "<t>.<body>", hexadecimal>
 *   Idempotency-Key: the same in every try of the same action
 *
 * TLS is verified, redirects are not followed, only http and https are spoken.  A 2xx is
 * done; 408, 425, 429, 5xx and no answer at all are "later"; the rest is no, for good.
 */
#include "action_parts.h"

#include <curl/curl.h>
#include <string.h>

enum { CONNECT_SECONDS = 15 };

typedef struct exchange {
    GCancellable *cancellable;
    gsize seen;
} exchange;

/* The secret stands in a file (its last newline is not part of it) or in a variable. */
static char *read_secret(const json_t *planned, GError **error)
{
    const char *file = json_string_value(json_object_get(planned, "secret_file"));
    const char *variable = json_string_value(json_object_get(planned, "secret_env"));
    char *secret = NULL;
    if (file != NULL) {
        g_autoptr(GError) why = NULL;
        gsize length;
        if (!g_file_get_contents(file, &secret, &length, &why)) {
            dp_action_fail(error, DP_ROUTE_REFUSED, "the secret: %s", why->message);
            return NULL;
        }
        if (length > DP_SECRET_BYTES_MAX || strlen(secret) != length)
            secret[0] = '\0';
        g_strchomp(secret);
    } else {
        secret = g_strdup(g_getenv(variable));
    }
    if (secret == NULL || *secret == '\0') {
        g_free(secret);
        dp_action_fail(error, DP_ROUTE_REFUSED,
                       "the secret in %s is empty or longer than %d",
                       file != NULL ? file : variable, DP_SECRET_BYTES_MAX);
        return NULL;
    }
    return secret;
}

static char *signature(const char *secret, const char *body, gsize length)
{
    gint64 now = g_get_real_time() / G_USEC_PER_SEC;
    g_autofree char *time = g_strdup_printf("%" G_GINT64_FORMAT ".", now);
    GHmac *hmac = g_hmac_new(G_CHECKSUM_SHA256, (const guchar *)secret, strlen(secret));
    g_hmac_update(hmac, (const guchar *)time, (gssize)strlen(time));
    g_hmac_update(hmac, (const guchar *)body, (gssize)length);
    char *text = g_strdup_printf("Docvl-Signature: t=%" G_GINT64_FORMAT ",v1=%s", now,
                                 g_hmac_get_string(hmac));
    g_hmac_unref(hmac);
    return text;
}

static gsize take_answer(char *bytes, gsize size, gsize count, void *user)
{
    exchange *e = user;
    e->seen += size * count;
    return e->seen > DP_HOOK_ANSWER_MAX ? 0 : size * count; /* 0 ends the transfer */
}

static int look_up(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    return g_cancellable_is_cancelled(((exchange *)user)->cancellable);
}

static void add_header(struct curl_slist **list, const char *text)
{
    struct curl_slist *longer = curl_slist_append(*list, text);
    if (longer == NULL)
        g_error("no memory"); /* as g_malloc does */
    *list = longer;
}

static gboolean make_headers(const dp_action_run *run, const char *body, gsize length,
                             struct curl_slist **list, GError **error)
{
    const json_t *planned = run->planned;
    g_autofree char *key = g_strconcat("Idempotency-Key: ", run->key, NULL);
    add_header(list, "Content-Type: application/json");
    add_header(list, "Expect:"); /* no waiting for a 100 */
    add_header(list, key);
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(planned, "headers"), name, value) {
        g_autofree char *line = g_strdup_printf("%s: %s", name, json_string_value(value));
        add_header(list, line);
    }
    if (json_object_get(planned, "secret_file") == NULL &&
        json_object_get(planned, "secret_env") == NULL)
        return TRUE;
    g_autofree char *secret = read_secret(planned, error);
    if (secret == NULL)
        return FALSE;
    g_autofree char *sign = signature(secret, body, length);
    memset(secret, 0, strlen(secret));
    add_header(list, sign);
    return TRUE;
}

static void set_options(CURL *curl, const dp_action_run *run, exchange *e)
{
    const json_t *planned = run->planned;
    const char *authorities = json_string_value(json_object_get(planned, "ca_file"));
    curl_easy_setopt(curl, CURLOPT_URL,
                     json_string_value(json_object_get(planned, "url")));
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (authorities != NULL)
        curl_easy_setopt(curl, CURLOPT_CAINFO, authorities);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "docvl/" DOCVL_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT,
                     (long)json_integer_value(json_object_get(planned, "timeout")));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, e);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_up);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, e);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
}

static gboolean judge(CURLcode code, long status, const exchange *e, const char *url,
                      const char *why, GError **error)
{
    if (code == CURLE_WRITE_ERROR && e->seen > DP_HOOK_ANSWER_MAX)
        code = CURLE_OK; /* its status is known; a long answer is not read */
    if (code == CURLE_ABORTED_BY_CALLBACK)
        return dp_action_fail(error, DP_ROUTE_TEMPORARY, "%s: stopped with docvl", url);
    if (code != CURLE_OK)
        return dp_action_fail(error, DP_ROUTE_REFUSED, "%s: %s", url,
                              *why != '\0' ? why : curl_easy_strerror(code));
    if (status >= 200 && status < 300)
        return TRUE;
    gboolean is_later = status == 408 || status == 425 || status == 429 || status >= 500;
    return dp_action_fail(error, is_later ? DP_ROUTE_REFUSED : DP_ROUTE_VALUE,
                          "%s: HTTP status %ld", url, status);
}

static gboolean post(dp_action_run *run, CURL *curl, struct curl_slist *headers,
                     const char *body, gsize length, GError **error)
{
    char why[CURL_ERROR_SIZE] = "";
    exchange e = { .cancellable = run->cancellable };
    set_options(curl, run, &e);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)length);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    return judge(code, status, &e,
                 json_string_value(json_object_get(run->planned, "url")), why, error);
}

gboolean dp_do_webhook(dp_action_run *run, GError **error)
{
    static gsize is_ready;
    if (g_once_init_enter(&is_ready))
        g_once_init_leave(&is_ready, curl_global_init(CURL_GLOBAL_DEFAULT) == 0 ? 1 : 2);
    if (is_ready != 1)
        return dp_action_fail(error, DP_ROUTE_TEMPORARY, "libcurl cannot start");
    gsize length;
    g_autofree char *body = dp_action_payload(run, &length);
    if (length > DP_HOOK_BODY_MAX)
        return dp_action_fail(error, DP_ROUTE_VALUE, "a body of %zu bytes, limit %d",
                              length, DP_HOOK_BODY_MAX);
    struct curl_slist *headers = NULL;
    CURL *curl = curl_easy_init();
    gboolean is_ok =
        curl != NULL || dp_action_fail(error, DP_ROUTE_TEMPORARY, "no memory");
    is_ok = is_ok && make_headers(run, body, length, &headers, error) &&
            run->remember(run->user, run->planned, DP_LASTING_SYNCED, error) &&
            post(run, curl, headers, body, length, error);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return is_ok;
}

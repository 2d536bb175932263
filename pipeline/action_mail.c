/*
 * action_mail.c - a message with the document, dropped into a maildir.
 *
 * RFC 5322 and MIME, written to tmp/, synced, and linked into new/ under a name made from
 * the key: when that name is in new/ or cur/ already, the message was delivered.
 */
#include "action_parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORD_BYTES = 45, BASE64_LINE = 76 };

/* RFC 2047: encoded words of at most 75 characters, cut between characters. */
static void append_header(GString *out, const char *name, const char *value)
{
    gboolean is_plain = TRUE;
    for (const char *c = value; *c != '\0'; c++)
        is_plain &= *c >= 32 && *c < 127;
    if (is_plain && strlen(name) + strlen(value) + 2 <= 78 &&
        strstr(value, "=?") == NULL) {
        g_string_append_printf(out, "%s: %s\r\n", name, value);
        return;
    }
    g_string_append_printf(out, "%s:", name);
    for (const char *c = value; *c != '\0';) {
        gsize n = 0;
        while (c[n] != '\0' && n + strlen("1234") <= WORD_BYTES)
            n = (gsize)(g_utf8_next_char(c + n) - c);
        g_autofree char *word = g_base64_encode((const guchar *)c, n);
        g_string_append_printf(out, "%s =?UTF-8?B?%s?=", c == value ? "" : "\r\n", word);
        c += n;
    }
    g_string_append(out, "\r\n");
}

static void append_base64(GString *out, const guchar *bytes, gsize length)
{
    g_autofree char *text = g_base64_encode(bytes, length);
    gsize total = strlen(text);
    for (gsize i = 0; i < total; i += BASE64_LINE) {
        g_string_append_len(out, text + i, (gssize)MIN((gsize)BASE64_LINE, total - i));
        g_string_append(out, "\r\n");
    }
}

/* A plain file name as it is; any other in UTF-8 with each odd byte as %XX (RFC 2231). */
static void append_disposition(GString *out, const char *name)
{
    gboolean is_plain = strlen(name) <= 60;
    for (const char *c = name; *c != '\0'; c++)
        is_plain &= g_ascii_isprint(*c) && *c != '"' && *c != '\\';
    g_autofree char *escaped = g_uri_escape_string(name, NULL, FALSE);
    if (is_plain)
        g_string_append_printf(
            out, "Content-Disposition: attachment;\r\n filename=\"%s\"\r\n", name);
    else
        g_string_append_printf(
            out, "Content-Disposition: attachment;\r\n filename*=UTF-8''%s\r\n", escaped);
}

static void append_part(GString *out, const char *boundary, const char *type,
                        const char *name, const guchar *bytes, gsize length)
{
    g_string_append_printf(out,
                           "--%s\r\nContent-Type: %s\r\n"
                           "Content-Transfer-Encoding: base64\r\n",
                           boundary, type);
    if (name != NULL)
        append_disposition(out, name);
    g_string_append(out, "\r\n");
    append_base64(out, bytes, length);
}

static const char *media_type(GBytes *document)
{
    gsize length;
    const char *b = g_bytes_get_data(document, &length);
    if (length >= 8 && memcmp(b, "%PDF-", 5) == 0)
        return "application/pdf";
    if (length >= 8 && memcmp(b, "\x89PNG", 4) == 0)
        return "image/png";
    if (length >= 8 && memcmp(b, "\xff\xd8\xff", 3) == 0)
        return "image/jpeg";
    if (length >= 8 && (memcmp(b, "II*", 4) == 0 || memcmp(b, "MM\0*", 4) == 0))
        return "image/tiff";
    return "application/octet-stream";
}

static void append_values(GString *text, const json_t *node, const char *path)
{
    g_autofree char *value = dp_leaf_text(node);
    if (value != NULL) {
        g_string_append_printf(text, "%s: %s\r\n", path, value);
        return;
    }
    if (dp_is_leaf(node))
        return;
    const char *key;
    json_t *child;
    gsize i;
    json_object_foreach((json_t *)node, key, child) {
        g_autofree char *below =
            g_strdup_printf("%s%s%s", path, *path != '\0' ? "." : "", key);
        append_values(text, child, below);
    }
    json_array_foreach(node, i, child) {
        g_autofree char *below = g_strdup_printf("%s.%zu", path, i);
        append_values(text, child, below);
    }
}

static char *body_text(const dp_action_run *run)
{
    static const char *const facts[] = { "@file", "@schema", "@class", "@status" };
    GString *text = g_string_new(NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(facts); i++) {
        g_autofree char *value = dp_route_text(run->facts, facts[i]);
        if (value != NULL)
            g_string_append_printf(text, "%s: %s\r\n", facts[i] + 1, value);
    }
    g_string_append(text, "\r\n");
    append_values(text, json_object_get(run->facts->result, "fields"), "");
    return g_string_free(text, FALSE);
}

static void append_head(GString *out, const dp_action_run *run, const char *boundary)
{
    const json_t *planned = run->planned;
    /* The time of planning, so that every try writes the same bytes. */
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(
        json_integer_value(json_object_get(planned, "date")));
    static const char *const days[] = { "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun" };
    static const char *const months[] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    g_autofree char *rest = g_date_time_format(time, "%Y %H:%M:%S +0000");
    append_header(out, "From", json_string_value(json_object_get(planned, "from")));
    append_header(out, "To", json_string_value(json_object_get(planned, "to")));
    append_header(out, "Subject", json_string_value(json_object_get(planned, "subject")));
    g_string_append_printf(
        out, "Date: %s, %02d %s %s\r\nMessage-ID: <%.40s@docvl.invalid>\r\n",
        days[g_date_time_get_day_of_week(time) - 1], g_date_time_get_day_of_month(time),
        months[g_date_time_get_month(time) - 1], rest, run->key);
    json_int_t priority = json_integer_value(json_object_get(planned, "priority"));
    if (priority != 0)
        g_string_append_printf(out, "X-Priority: %d\r\n", priority > 0 ? 1 : 5);
    g_string_append_printf(out,
                           "X-Docvl-Key: %.64s\r\nAuto-Submitted: auto-generated\r\n"
                           "MIME-Version: 1.0\r\n"
                           "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n",
                           run->key, boundary);
}

static GString *make_message(dp_action_run *run, GError **error)
{
    const char *attach = json_string_value(json_object_get(run->planned, "attach"));
    gboolean is_both = strcmp(attach, "both") == 0;
    g_autoptr(GBytes) document = NULL;
    if (is_both || strcmp(attach, "document") == 0) {
        document = dp_action_document(run, DP_MAIL_BYTES_MAX, error);
        if (document == NULL)
            return NULL;
    }
    GString *out = g_string_new(NULL);
    /* The key is hexadecimal digits behind "=_": base64 holds neither of these two. */
    g_autofree char *boundary = g_strdup_printf("=_%.30s", run->key);
    append_head(out, run, boundary);
    g_autofree char *text = body_text(run);
    append_part(out, boundary, "text/plain; charset=utf-8", NULL, (guchar *)text,
                strlen(text));
    g_autofree char *file = dp_route_text(run->facts, "@file");
    const char *name = file != NULL ? file : "document";
    if (document != NULL) {
        gsize length;
        const guchar *bytes = g_bytes_get_data(document, &length);
        append_part(out, boundary, media_type(document), name, bytes, length);
    }
    if (is_both || strcmp(attach, "result") == 0) {
        g_autofree char *json_name = g_strconcat(name, ".json", NULL);
        char *dump =
            json_dumps(run->facts->result, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
        append_part(out, boundary, "application/json", json_name, (guchar *)dump,
                    strlen(dump));
        free(dump);
    }
    g_string_append_printf(out, "--%s--\r\n", boundary);
    return out;
}

/* "NAME" or "NAME:2,S" in new/ or cur/. */
static gboolean is_delivered(const char *maildir, const char *name)
{
    static const char *const folders[] = { "new", "cur" };
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *path = g_build_filename(maildir, folders[i], NULL);
        g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
        const char *entry;
        while (dir != NULL && (entry = g_dir_read_name(dir)) != NULL)
            if (g_str_has_prefix(entry, name) &&
                (entry[strlen(name)] == '\0' || entry[strlen(name)] == ':'))
                return TRUE;
    }
    return FALSE;
}

static gboolean deliver(const char *maildir, const char *name, const GString *message,
                        GError **error)
{
    g_autofree char *part = g_build_filename(maildir, "tmp", name, NULL);
    g_autofree char *final = g_build_filename(maildir, "new", name, NULL);
    g_autofree char *new_dir = g_build_filename(maildir, "new", NULL);
    int fd = open(part, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return dp_action_errno(error, "creating", part);
    gboolean is_ok =
        dp_action_write_all(fd, message->str, message->len) && fsync(fd) == 0;
    int saved = errno;
    if (close(fd) != 0 && is_ok) {
        is_ok = FALSE;
        saved = errno;
    }
    if (is_ok && rename(part, final) != 0) {
        is_ok = FALSE;
        saved = errno;
    }
    errno = saved;
    if (!is_ok) {
        (void)dp_action_errno(error, "writing", part);
        (void)unlink(part); /* the first error is the one to tell */
        return FALSE;
    }
    return dp_action_sync_dir(new_dir, error);
}

gboolean dp_do_mail(dp_action_run *run, GError **error)
{
    const char *maildir = json_string_value(json_object_get(run->planned, "maildir"));
    static const char *const folders[] = { "tmp", "new", "cur" };
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++) {
        g_autofree char *inside = g_build_filename(maildir, folders[i], "x", NULL);
        if (!dp_action_make_dirs(inside, error))
            return FALSE;
    }
    g_autofree char *name = g_strdup_printf(
        "%" JSON_INTEGER_FORMAT ".%.32s.docvl",
        json_integer_value(json_object_get(run->planned, "date")), run->key);
    if (run->was_started && is_delivered(maildir, name))
        return TRUE;
    g_autoptr(GString) message = make_message(run, error);
    if (message == NULL ||
        !run->remember(run->user, run->planned, DP_LASTING_SYNCED, error))
        return FALSE;
    return deliver(maildir, name, message, error);
}

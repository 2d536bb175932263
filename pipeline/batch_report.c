/*
 * batch_report.c - what became of every input of a batch: summary, report, one file of all
 * results.
 */
#include "batch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SLOWEST     5
#define WAITING_MAX 20 /* named in the summary */

static const char *const fates[DP_FATE_COUNT] = { "ok",   "review", "failed", "waits",
                                                  "done", "twin",   "left" };

static void row_free(gpointer data)
{
    dp_row *row = data;
    g_free(row->path);
    g_free(row->target);
    g_free(row->code);
    g_free(row->reason);
    g_free(row->twin_of);
    g_free(row);
}

dp_tale *dp_tale_new(void)
{
    dp_tale *tale = g_new0(dp_tale, 1);
    tale->rows = g_ptr_array_new_with_free_func(row_free);
    tale->skipped_names = g_ptr_array_new_with_free_func(g_free);
    tale->reasons = json_object();
    tale->started_us = g_get_real_time();
    tale->ended = "drained";
    return tale;
}

void dp_tale_free(dp_tale *tale)
{
    if (tale == NULL)
        return;
    g_ptr_array_unref(tale->rows);
    g_ptr_array_unref(tale->skipped_names);
    json_decref(tale->reasons);
    g_free(tale);
}

dp_row *dp_tale_add(dp_tale *tale, const char *path, const char *target)
{
    dp_row *row = g_new0(dp_row, 1);
    row->path = g_strdup(path);
    row->target = g_strdup(target);
    row->fate = DP_FATE_LEFT;
    g_ptr_array_add(tale->rows, row);
    return row;
}

void dp_row_fail(dp_row *row, dp_fate fate, const char *code, const char *reason)
{
    row->fate = fate;
    g_free(row->code);
    g_free(row->reason);
    row->code = g_strdup(code);
    row->reason = g_utf8_make_valid(reason, -1);
}

void dp_tale_close(dp_tale *tale)
{
    tale->finished_us = g_get_real_time();
    for (guint i = 0; i < tale->rows->len; i++) {
        const dp_row *row = g_ptr_array_index(tale->rows, i);
        tale->fates[row->fate]++;
        if (row->fate == DP_FATE_OK || row->fate == DP_FATE_REVIEW)
            tale->pages += row->pages;
        if (row->code == NULL)
            continue;
        json_int_t n = json_integer_value(json_object_get(tale->reasons, row->code));
        json_object_set_new(tale->reasons, row->code, json_integer(n + 1));
    }
}

/* ---- summary ----------------------------------------------------------------------------- */

static int by_work(gconstpointer a, gconstpointer b)
{
    const dp_row *p = *(dp_row *const *)a, *q = *(dp_row *const *)b;
    return p->work_ms < q->work_ms ? 1 : p->work_ms > q->work_ms ? -1 : 0;
}

/* The rows that took longest, at most SLOWEST; borrowed. */
static GPtrArray *slowest_of(const dp_tale *tale)
{
    GPtrArray *rows = g_ptr_array_new();
    for (guint i = 0; i < tale->rows->len; i++) {
        dp_row *row = g_ptr_array_index(tale->rows, i);
        if (row->work_ms > 0 && (row->fate == DP_FATE_OK || row->fate == DP_FATE_REVIEW))
            g_ptr_array_add(rows, row);
    }
    g_ptr_array_sort(rows, by_work);
    if (rows->len > SLOWEST)
        g_ptr_array_set_size(rows, SLOWEST);
    return rows;
}

static double seconds_of(const dp_tale *tale)
{
    return MAX((double)(tale->finished_us - tale->started_us) / 1e6, 1e-6);
}

static void append_count(GString *out, guint64 count, const char *what)
{
    if (count > 0)
        g_string_append_printf(out, "%s%" G_GUINT64_FORMAT " %s",
                               out->len > 0 ? ", " : "", count, what);
}

static void append_counts(GString *out, const dp_tale *tale)
{
    static const char *const words[DP_FATE_COUNT] = {
        "ok",          "to review",
        "failed",      "failed before",
        "done before", "twins of other files",
        "not reached"
    };
    g_autoptr(GString) line = g_string_new(NULL);
    for (guint i = 0; i < DP_FATE_COUNT; i++)
        append_count(line, tale->fates[i], words[i]);
    append_count(line, tale->skipped[DP_SKIP_NAME], "with other names skipped");
    append_count(line, tale->skipped[DP_SKIP_FOLDER], "folders not entered");
    append_count(line, tale->skipped[DP_SKIP_LINK], "links and special files skipped");
    append_count(line, tale->skipped[DP_SKIP_SINCE], "older");
    append_count(line, tale->skipped[DP_SKIP_SHARD], "of other shards");
    g_string_append_printf(out, "%u document%s: %s\n", tale->rows->len,
                           tale->rows->len == 1 ? "" : "s",
                           line->len > 0 ? line->str : "nothing to do");
}

/* Nobody remembers which they were: a mail from cron has to say so each time. */
static void append_waiting(GString *out, const dp_tale *tale)
{
    guint count = 0;
    for (guint i = 0; i < tale->rows->len; i++) {
        const dp_row *row = g_ptr_array_index(tale->rows, i);
        if (row->fate != DP_FATE_WAITS || ++count > WAITING_MAX)
            continue;
        g_autofree char *path = g_strdelimit(g_strdup(row->path), "\n", '?');
        gboolean is_said = strstr(row->reason, path) != NULL;
        g_string_append_printf(out, "failed before: %s%s%s\n", is_said ? "" : path,
                               is_said ? "" : ": ", row->reason);
    }
    if (count > WAITING_MAX)
        g_string_append_printf(out, "failed before: %u more\n", count - WAITING_MAX);
}

char *dp_tale_summary(const dp_tale *tale)
{
    GString *out = g_string_new(NULL);
    append_counts(out, tale);
    double seconds = seconds_of(tale);
    g_string_append_printf(out, "%" G_GUINT64_FORMAT " page%s in %.1f s, %.2f pages/s\n",
                           tale->pages, tale->pages == 1 ? "" : "s", seconds,
                           (double)tale->pages / seconds);
    const char *code;
    json_t *count;
    json_object_foreach(tale->reasons, code, count)
        g_string_append_printf(out, "failed, %s: %" JSON_INTEGER_FORMAT "\n", code,
                               json_integer_value(count));
    append_waiting(out, tale);
    g_autoptr(GPtrArray) slowest = slowest_of(tale);
    for (guint i = 0; i < MIN(slowest->len, 3) && tale->rows->len > 3; i++) {
        const dp_row *row = g_ptr_array_index(slowest, i);
        g_autofree char *path = g_strdelimit(g_strdup(row->path), "\n", '?');
        g_string_append_printf(out, "slowest: %.1f s, %u page%s, %s\n",
                               (double)row->work_ms / 1000, row->pages,
                               row->pages == 1 ? "" : "s", path);
    }
    return g_string_free(out, FALSE);
}

/* ---- report --------------------------------------------------------------------------------- */

static void set_text(json_t *object, const char *key, const char *text)
{
    if (text == NULL)
        return;
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    json_object_set_new(object, key, json_string(valid));
}

static json_t *row_json(const dp_row *row)
{
    json_t *node = json_object();
    set_text(node, "file", row->path);
    json_object_set_new(node, "fate", json_string(fates[row->fate]));
    set_text(node, "result", row->target);
    set_text(node, "code", row->code);
    set_text(node, "reason", row->reason);
    set_text(node, "twin_of", row->twin_of);
    if (row->pages > 0)
        json_object_set_new(node, "pages", json_integer(row->pages));
    if (row->work_ms > 0)
        json_object_set_new(node, "work_ms", json_integer(row->work_ms));
    return node;
}

static json_t *time_json(gint64 us)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(us / G_USEC_PER_SEC);
    g_autofree char *text = g_date_time_format(time, "%Y-%m-%dT%H:%M:%SZ");
    return json_string(text);
}

json_t *dp_tale_json(const dp_tale *tale)
{
    json_t *counts = json_object(), *documents = json_array(), *slowest = json_array(),
           *names = json_array();
    for (guint i = 0; i < DP_FATE_COUNT; i++)
        json_object_set_new(counts, fates[i], json_integer((json_int_t)tale->fates[i]));
    for (guint i = 0; i < tale->rows->len; i++)
        json_array_append_new(documents, row_json(g_ptr_array_index(tale->rows, i)));
    g_autoptr(GPtrArray) slow = slowest_of(tale);
    for (guint i = 0; i < slow->len; i++)
        json_array_append_new(slowest, row_json(g_ptr_array_index(slow, i)));
    for (guint i = 0; i < tale->skipped_names->len; i++) {
        g_autofree char *valid =
            g_utf8_make_valid(g_ptr_array_index(tale->skipped_names, i), -1);
        json_array_append_new(names, json_string(valid));
    }
    double seconds = seconds_of(tale);
    return json_pack("{s:o, s:o, s:s, s:f, s:i, s:o, s:I, s:f, s:O, s:{s:I, s:I, s:I, "
                     "s:I, s:I}, s:o, s:o, "
                     "s:o}",
                     "started", time_json(tale->started_us), "finished",
                     time_json(tale->finished_us), "ended", tale->ended, "seconds",
                     seconds, "inputs", (int)tale->rows->len, "counts", counts, "pages",
                     (json_int_t)tale->pages, "pages_per_second",
                     (double)tale->pages / seconds, "reasons", tale->reasons, "skipped",
                     "name", (json_int_t)tale->skipped[DP_SKIP_NAME], "folder",
                     (json_int_t)tale->skipped[DP_SKIP_FOLDER], "special",
                     (json_int_t)tale->skipped[DP_SKIP_LINK], "older",
                     (json_int_t)tale->skipped[DP_SKIP_SINCE], "shard",
                     (json_int_t)tale->skipped[DP_SKIP_SHARD], "skipped_names", names,
                     "slowest", slowest, "documents", documents);
}

/* ---- all results in one file ------------------------------------------------------------------- */

typedef struct collection {
    const dp_tale *tale;
    const char *format;
} collection;

static gboolean write_row(int fd, const dp_row *row, const char *format)
{
    /* What lies under the name of one that was not reached is of an earlier content. */
    if (row->target == NULL || row->fate == DP_FATE_LEFT)
        return TRUE;
    json_t *result = json_load_file(row->target, JSON_REJECT_DUPLICATES, NULL);
    if (result == NULL) /* not reached, or routed away: the report tells */
        return TRUE;
    g_autofree char *text = dp_result_text(result, format, FALSE);
    json_decref(result);
    if (text == NULL)
        errno = ENOMEM;
    return text != NULL && dp_write_all(fd, text, strlen(text));
}

static gboolean write_rows(void *user, int fd)
{
    const collection *c = user;
    if (strcmp(c->format, "csv") == 0) {
        g_autofree char *header = dp_csv_header();
        if (!dp_write_all(fd, header, strlen(header)) || !dp_write_all(fd, "\n", 1))
            return FALSE;
    }
    for (guint i = 0; i < c->tale->rows->len; i++)
        if (!write_row(fd, g_ptr_array_index(c->tale->rows, i), c->format))
            return FALSE;
    return TRUE;
}

gboolean dp_tale_collect(const dp_tale *tale, const char *path, const char *format,
                         GError **error)
{
    collection c = { tale, format };
    return dp_publish_by(path, write_rows, &c, error);
}

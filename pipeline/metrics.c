/*
 * metrics.c - the state of the journal and of this process as a Prometheus text file.
 */
#include "runner.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Resident pages: the second number of statm. */
static guint64 resident_of(const char *path)
{
    unsigned long long whole = 0, resident = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    int got = fscanf(file, "%llu %llu", &whole, &resident);
    fclose(file);
    return got == 2 ? resident * (guint64)sysconf(_SC_PAGESIZE) : 0;
}

static guint64 resident_of_children(const char *task)
{
    char path[128];
    snprintf(path, sizeof path, "/proc/self/task/%.20s/children", task);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, NULL))
        return 0;
    guint64 sum = 0;
    g_auto(GStrv) pids = g_strsplit(g_strstrip(text), " ", -1);
    for (char **pid = pids; *pid != NULL; pid++) {
        if (**pid == '\0')
            continue;
        snprintf(path, sizeof path, "/proc/%.20s/statm", *pid);
        sum += resident_of(path);
    }
    return sum;
}

void dp_memory_now(guint64 *own, guint64 *all)
{
    *own = *all = resident_of("/proc/self/statm");
    g_autoptr(GDir) tasks = g_dir_open("/proc/self/task", 0, NULL);
    const char *task;
    while (tasks != NULL && (task = g_dir_read_name(tasks)) != NULL)
        *all += resident_of_children(task);
}

static void metric(GString *out, const char *name, const char *type, const char *help)
{
    g_string_append_printf(out, "# HELP docvl_%s %s\n# TYPE docvl_%s %s\n", name, help,
                           name, type);
}

static void simple(GString *out, const char *name, const char *type, const char *help,
                   double value)
{
    char number[G_ASCII_DTOSTR_BUF_SIZE];
    metric(out, name, type, help);
    g_string_append_printf(out, "docvl_%s %s\n", name,
                           g_ascii_formatd(number, sizeof number, "%.15g", value));
}

static void whole(GString *out, const char *name, const char *type, const char *help,
                  guint64 value)
{
    metric(out, name, type, help);
    g_string_append_printf(out, "docvl_%s %" G_GUINT64_FORMAT "\n", name, value);
}

static void journal_metrics(GString *out, const dp_counts *counts, const json_t *reasons)
{
    metric(out, "documents", "gauge", "Documents in the journal by state.");
    for (guint i = DP_STATE_SETTLED; i < DP_STATE_COUNT; i++)
        g_string_append_printf(out,
                               "docvl_documents{state=\"%s\"} %" G_GUINT64_FORMAT "\n",
                               dp_state_name((dp_state)i), counts->documents[i]);
    metric(out, "failures", "gauge",
           "Documents that failed or are quarantined, by reason.");
    const char *code;
    json_t *count;
    json_object_foreach((json_t *)reasons, code, count)
        g_string_append_printf(out,
                               "docvl_failures{reason=\"%s\"} %" JSON_INTEGER_FORMAT "\n",
                               code, json_integer_value(count));
    whole(out, "actions_open", "gauge", "Actions of routing that are not done.",
          counts->actions_open);
    gint64 age = counts->oldest_at > 0 ? g_get_real_time() / 1000 - counts->oldest_at : 0;
    simple(out, "queue_age_seconds", "gauge", "Age of the oldest document that waits.",
           (double)MAX(age, 0) / 1000);
}

static void runner_metrics(GString *out, const dp_runner_counts *c)
{
    double seconds = (double)(g_get_monotonic_time() - c->started_us) / 1e6;
    whole(out, "pages_total", "counter", "Pages published by this process.", c->pages);
    whole(out, "bytes_total", "counter", "Bytes of the documents published.", c->bytes);
    metric(out, "results_total", "counter", "Results of this process by status.");
    g_string_append_printf(
        out,
        "docvl_results_total{status=\"ok\"} %" G_GUINT64_FORMAT "\n"
        "docvl_results_total{status=\"review\"} %" G_GUINT64_FORMAT "\n"
        "docvl_results_total{status=\"failed\"} %" G_GUINT64_FORMAT "\n",
        c->done, c->review, c->failed);
    whole(out, "stalls_total", "counter", "Temporary errors (full disk, no memory).",
          c->stalled);
    simple(out, "pages_per_second", "gauge",
           "Pages published, over the time of this run.",
           seconds > 0 ? (double)c->pages / seconds : 0);
    whole(out, "in_work", "gauge", "Documents that are worked on now.", c->in_work);
    simple(out, "journal_seconds_total", "counter",
           "Time spent on publication and the journal.", (double)c->journal_us / 1e6);
}

gboolean dp_metrics_write(const char *path, dp_queue *queue, const char *lane,
                          dp_runner *runner, GError **error)
{
    dp_counts counts;
    if (!dp_queue_counts(queue, lane, &counts, error))
        return FALSE;
    json_t *reasons = dp_queue_reasons(queue, lane, error);
    if (reasons == NULL)
        return FALSE;
    g_autoptr(GString) out = g_string_new(NULL);
    journal_metrics(out, &counts, reasons);
    json_decref(reasons);
    if (runner != NULL) {
        dp_runner_counts now;
        dp_runner_get_counts(runner, &now);
        runner_metrics(out, &now);
    }
    guint64 own, all;
    dp_memory_now(&own, &all);
    whole(out, "resident_bytes", "gauge", "Memory of this process.", own);
    whole(out, "resident_all_bytes", "gauge", "Memory of this process and its readers.",
          all);
    simple(out, "written_seconds", "gauge", "When this file was written, Unix time.",
           (double)(g_get_real_time() / 1000000));
    return dp_publish(path, out->str, out->len, error);
}

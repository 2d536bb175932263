/*
 * options.c - flags from the environment, locks, sizes and times of the command line.
 */
#include "options.h"

#include "facts.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- environment ----------------------------------------------------------------------- */

static char *variable_of(const char *prefix, const char *name)
{
    g_autofree char *upper = g_ascii_strup(name, -1);
    return g_strdup_printf("%s_%s", prefix, g_strdelimit(upper, "-", '_'));
}

static gboolean is_list(const GOptionEntry *entry)
{
    return entry->arg == G_OPTION_ARG_STRING_ARRAY ||
           entry->arg == G_OPTION_ARG_FILENAME_ARRAY;
}

/* A switch: *is_on; FALSE when the text is neither. */
static gboolean read_switch(const char *text, gboolean *is_on)
{
    static const char *const words[] = { "1", "yes", "true", "0", "no", "false" };
    for (guint i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_ascii_strcasecmp(words[i], text) == 0) {
            *is_on = i < 3;
            return TRUE;
        }
    }
    return FALSE;
}

/* The variable as arguments of a command line. */
static gboolean append_arguments(GPtrArray *argv, const GOptionEntry *entry,
                                 const char *variable, const char *value, GError **error)
{
    if (entry->arg == G_OPTION_ARG_NONE) {
        gboolean is_on = FALSE;
        if (!read_switch(value, &is_on)) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                        "%s=%s: 1, yes, true or 0, no, false", variable, value);
            return FALSE;
        }
        if (is_on)
            g_ptr_array_add(argv, g_strdup_printf("--%s", entry->long_name));
        return TRUE;
    }
    const char *separator = strchr(value, '\n') != NULL ? "\n" : ":";
    g_auto(GStrv) parts = g_strsplit(value, is_list(entry) ? separator : "\n", -1);
    for (char **part = parts; *part != NULL; part++)
        if (**part != '\0')
            g_ptr_array_add(argv, g_strdup_printf("--%s=%s", entry->long_name, *part));
    return TRUE;
}

static gboolean take_variable(const GOptionEntry *entries, const GOptionEntry *entry,
                              const char *variable, const char *value, GError **error)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(argv, g_strdup("environment"));
    if (!append_arguments(argv, entry, variable, value, error))
        return FALSE;
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_option_context_add_main_entries(context, entries, NULL);
    g_option_context_set_help_enabled(context, FALSE);
    /* The parser takes pointers out of the vector, so it gets one of its own. */
    g_autofree char **work = g_memdup2(argv->pdata, argv->len * sizeof *work);
    int count = (int)argv->len;
    if (g_option_context_parse(context, &count, &work, error))
        return TRUE;
    g_prefix_error(error, "%s in the environment: ", variable);
    return FALSE;
}

gboolean dp_options_from_env(const char *prefix, const GOptionEntry *entries,
                             GError **error)
{
    for (const GOptionEntry *entry = entries; entry->long_name != NULL; entry++) {
        g_autofree char *variable = variable_of(prefix, entry->long_name);
        const char *value = g_getenv(variable);
        if (value != NULL && *value != '\0' &&
            !take_variable(entries, entry, variable, value, error))
            return FALSE;
    }
    return TRUE;
}

void dp_options_name_variable(const char *prefix, GError **error)
{
    const char *message = (*error)->message;
    if (!g_str_has_prefix(message, "--"))
        return;
    g_autofree char *name =
        g_strndup(message + 2, strspn(message + 2, "abcdefghijklmnopqrstuvwxyz-0"));
    g_autofree char *variable = variable_of(prefix, name);
    const char *value = g_getenv(variable);
    g_autofree char *start = g_strdup_printf("--%s %s", name, value != NULL ? value : "");
    if (value != NULL && *value != '\0' && g_str_has_prefix(message, start))
        g_prefix_error(error, "%s in the environment: ", variable);
}

void dp_options_exclude(gboolean *is_on, gboolean was_on, char **text,
                        const char *old_text)
{
    if (!*is_on || *text == NULL)
        return;
    if (was_on && *text != old_text)
        *is_on = FALSE;
    else if (!was_on && *text == old_text)
        *text = NULL; /* the parser has no more use for it either */
}

/* ---- numbers ------------------------------------------------------------------------------ */

gboolean dp_option_seconds(const char *option, const char *text, guint *seconds,
                           GError **error)
{
    gint64 us = -1;
    g_autofree char *unit =
        g_ascii_isdigit(*text) && strspn(text, "0123456789") == strlen(text)
            ? g_strconcat(text, "s", NULL)
            : g_strdup(text);
    if (dp_duration_parse(unit, &us) && us / G_USEC_PER_SEC <= G_MAXINT) {
        *seconds = (guint)((us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC);
        return TRUE;
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%s %s: a time such as 90s, 15m or 6h", option, text);
    return FALSE;
}

gboolean dp_option_bytes(const char *option, const char *text, guint64 *bytes,
                         GError **error)
{
    gboolean is_bare = strspn(text, "0123456789") == strlen(text) && strlen(text) < 18;
    json_t *node =
        is_bare ? json_integer(g_ascii_strtoll(text, NULL, 10)) : json_string(text);
    *bytes = dp_fact_bytes(node, G_MAXUINT64);
    json_decref(node);
    if (*bytes != G_MAXUINT64 && *text != '\0')
        return TRUE;
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "%s %s: a size such as 512MiB or 4GiB", option, text);
    return FALSE;
}

/* ---- locks ---------------------------------------------------------------------------------- */

struct dp_lock {
    int fd;
};

/* The file that the name stands for may be another by now: a lock on a deleted one keeps
 * nobody out. */
static gboolean is_same_file(int fd, const char *path)
{
    struct stat mine, named;
    return fstat(fd, &mine) == 0 && stat(path, &named) == 0 &&
           mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

static char *holder_of(int fd)
{
    char text[32] = "";
    gssize n = pread(fd, text, sizeof text - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    g_strstrip(text);
    return *text != '\0' && strspn(text, "0123456789") == strlen(text)
               ? g_strdup_printf("process %s", text)
               : g_strdup("another process");
}

static int try_lock(const char *path)
{
    int fd = dp_open_file(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_same_file(fd, path))
        return fd;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = fd >= 0 && saved != EWOULDBLOCK ? EAGAIN : saved;
    return -1;
}

dp_lock *dp_lock_take(const char *path, guint wait_s, GCancellable *cancellable,
                      GError **error)
{
    gint64 until = g_get_monotonic_time() + (gint64)wait_s * G_USEC_PER_SEC;
    int fd;
    while ((fd = try_lock(path)) < 0) {
        if (errno != EWOULDBLOCK) {
            dp_fail_errno(error, "locking", path);
            return NULL;
        }
        if (g_get_monotonic_time() >= until || g_cancellable_is_cancelled(cancellable)) {
            int look = dp_open_file(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
            g_autofree char *holder = holder_of(look);
            if (look >= 0)
                close(look);
            g_set_error(error, DP_IO_ERROR, EBUSY, "%s holds the lock %s", holder, path);
            return NULL;
        }
        g_usleep(50000);
    }
    g_autofree char *number = g_strdup_printf("%ld\n", (long)getpid());
    /* For people only; the lock holds without it. */
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, number, strlen(number), 0);
    dp_lock *lock = g_new0(dp_lock, 1);
    lock->fd = fd;
    return lock;
}

void dp_lock_free(dp_lock *lock)
{
    if (lock == NULL)
        return;
    close(lock->fd);
    g_free(lock);
}

/* ---- files ------------------------------------------------------------------------------------ */

char **dp_passwords_read(const char *path, GError **error)
{
    g_autofree char *text = NULL;
    if (!g_file_get_contents(path, &text, NULL, error))
        return NULL;
    g_auto(GStrv) lines = g_strsplit(text, "\n", 1001);
    GPtrArray *passwords = g_ptr_array_new();
    for (char **line = lines; *line != NULL; line++) {
        g_strchomp(*line);
        if (**line != '\0')
            g_ptr_array_add(passwords, g_strdup(*line));
    }
    g_ptr_array_add(passwords, NULL);
    return (char **)g_ptr_array_free(passwords, FALSE);
}

char *dp_journal_default(void)
{
    const char *env = g_getenv("DOCVL_JOURNAL");
    if (env != NULL && *env != '\0')
        return g_strdup(env);
    const char *state = g_getenv("STATE_DIRECTORY");
    if (state != NULL && *state != '\0') {
        g_auto(GStrv) parts = g_strsplit(state, ":", 2);
        return g_build_filename(parts[0], "journal.db", NULL);
    }
    return g_build_filename(g_get_user_state_dir(), "docvl", "journal.db", NULL);
}

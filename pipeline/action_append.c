/*
 * action_append.c - one record at the end of a CSV or JSON Lines file, once.
 *
 * Every record begins with its key, so that a look at the file tells whether it is there.
 * Under flock(2): a tail without a newline that begins like one of our records is what a
 * writer that died has left, and is cut off (its own action is not journaled as done, it
 * will come again); then the file's length is noted, the record written in one piece
 * and synced.  A later try looks for its key from the noted length on, or, when a power cut
 * took that note, from the length that the plan has: the one before anything was touched.
 */
#include "action_parts.h"

#include "app.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_DIGITS = 16 };
static const char json_start[] = "{\"docvl_key\":\"";
static const char csv_start[] = "docvl_key,";

typedef struct sheet {
    int fd;
    const char *path;
    gboolean is_csv;
    guint64 size;
} sheet;

/* ---- records ---------------------------------------------------------------------- */

static char *csv_record(const dp_action_run *run, const json_t *columns,
                        gboolean is_header)
{
    GString *line = g_string_new(NULL);
    if (is_header)
        g_string_append(line, "docvl_key");
    else
        g_string_append_len(line, run->key, KEY_DIGITS);
    if (columns == NULL) {
        g_autofree char *rest =
            is_header ? dp_csv_header() : dp_csv_line(run->facts->result);
        g_string_append_printf(line, ",%s", rest);
    }
    gsize i;
    json_t *column;
    json_array_foreach(columns, i, column) {
        const char *path = json_string_value(column);
        g_autofree char *value =
            is_header ? g_strdup(path) : dp_route_text(run->facts, path);
        dp_csv_cell(line, value != NULL ? value : "");
    }
    /* One line for each record: half of one is recognised by its last line. */
    g_strdelimit(line->str, "\r\n", ' ');
    g_string_append_c(line, '\n');
    return g_string_free(line, FALSE);
}

static char *json_record(const dp_action_run *run, const json_t *columns)
{
    g_autofree char *key = g_strndup(run->key, KEY_DIGITS);
    const json_t *result = run->facts->result;
    json_t *line = json_pack("{s:s}", "docvl_key", key);
    static const char *const members[] = { "file", "doc_id", "schema", "status" };
    for (gsize i = 0; columns == NULL && i < G_N_ELEMENTS(members); i++) {
        json_t *member = json_object_get(result, members[i]);
        json_object_set(line, members[i], member != NULL ? member : json_null());
    }
    if (columns == NULL)
        json_object_set_new(line, "fields", dp_plain(json_object_get(result, "fields")));
    gsize i;
    json_t *column;
    json_array_foreach(columns, i, column) {
        const char *path = json_string_value(column);
        g_autofree char *value = dp_route_text(run->facts, path);
        json_object_set_new(line, path, value != NULL ? json_string(value) : json_null());
    }
    char *dump = json_dumps(line, JSON_COMPACT | JSON_REAL_PRECISION(6));
    char *text = g_strconcat(dump, "\n", NULL);
    free(dump);
    json_decref(line);
    return text;
}

/* ---- the file ---------------------------------------------------------------------- */

/* Does this unfinished line begin as one of ours does, as far as it goes? */
static gboolean is_ours(const sheet *s, const char *tail, gsize length)
{
    const char *start = s->is_csv ? csv_start : json_start;
    if (memcmp(tail, start, MIN(length, strlen(start))) == 0)
        return TRUE;
    if (!s->is_csv)
        return FALSE;
    for (gsize i = 0; i < MIN(length, (gsize)KEY_DIGITS); i++)
        if (!g_ascii_isxdigit(tail[i]) || g_ascii_isupper(tail[i]))
            return FALSE;
    return length <= KEY_DIGITS || tail[KEY_DIGITS] == ',';
}

/* Bytes from `offset` to the end, mapped; NULL when there are none. */
static const char *map_from(const sheet *s, guint64 offset, gsize *skip, gsize *length)
{
    guint64 page = (guint64)sysconf(_SC_PAGESIZE);
    guint64 start = offset / page * page;
    *skip = (gsize)(offset - start);
    *length = (gsize)(s->size - start);
    void *map = mmap(NULL, *length, PROT_READ, MAP_PRIVATE, s->fd, (off_t)start);
    return map == MAP_FAILED ? NULL : map;
}

/* Is a whole line with our key there, at or behind `offset`? */
static gboolean find_record(const sheet *s, const char *key, guint64 offset,
                            gboolean *is_there, GError **error)
{
    *is_there = FALSE;
    if (offset > s->size)
        offset = 0; /* the file was cut or replaced since */
    if (offset == s->size)
        return TRUE;
    gsize skip, length;
    const char *map = map_from(s, offset, &skip, &length);
    if (map == NULL)
        return dp_action_errno(error, "reading", s->path);
    g_autofree char *start = s->is_csv
                                 ? g_strndup(key, KEY_DIGITS)
                                 : g_strdup_printf("%s%.*s", json_start, KEY_DIGITS, key);
    const char *end = map + length;
    for (const char *line = map + skip; line < end && !*is_there;) {
        const char *stop = memchr(line, '\n', (gsize)(end - line));
        if (stop == NULL)
            break;
        *is_there = (gsize)(stop - line) > strlen(start) &&
                    memcmp(line, start, strlen(start)) == 0;
        line = stop + 1;
    }
    munmap((void *)(guintptr)map, length);
    return TRUE;
}

/* Where the last line begins when it has no newline; else the size. */
static gboolean find_tail(const sheet *s, guint64 *tail, gboolean *is_torn,
                          GError **error)
{
    *tail = s->size;
    *is_torn = FALSE;
    if (s->size == 0)
        return TRUE;
    guint64 from = s->size > DP_APPEND_LINE_MAX ? s->size - DP_APPEND_LINE_MAX : 0;
    gsize skip, length;
    const char *map = map_from(s, from, &skip, &length);
    if (map == NULL)
        return dp_action_errno(error, "reading", s->path);
    const char *end = map + length, *line = end;
    while (line > map + skip && line[-1] != '\n')
        line--;
    if (line < end) {
        gboolean is_whole = line > map + skip || from == 0; /* its start was seen */
        *is_torn = is_whole && is_ours(s, line, (gsize)(end - line));
        *tail = s->size - (guint64)(end - line);
    }
    munmap((void *)(guintptr)map, length);
    return TRUE;
}

/* A new file's name must last as well. */
static gboolean sync_name(const sheet *s, GError **error)
{
    g_autofree char *dir = g_path_get_dirname(s->path);
    return dp_action_sync_dir(dir, error);
}

static gboolean append_record(dp_action_run *run, sheet *s, GError **error)
{
    const json_t *columns = json_object_get(run->planned, "columns");
    guint64 tail;
    gboolean is_torn;
    if (!find_tail(s, &tail, &is_torn, error))
        return FALSE;
    if (is_torn) {
        if (ftruncate(s->fd, (off_t)tail) != 0)
            return dp_action_errno(error, "repairing", s->path);
        s->size = tail;
    }
    g_autofree char *header =
        s->is_csv && s->size == 0 ? csv_record(run, columns, TRUE) : NULL;
    g_autofree char *line =
        s->is_csv ? csv_record(run, columns, FALSE) : json_record(run, columns);
    if (strlen(line) > DP_APPEND_LINE_MAX)
        return dp_action_fail(error, DP_ROUTE_VALUE,
                              "%s: a record of %zu bytes, limit %d", s->path,
                              strlen(line), DP_APPEND_LINE_MAX);
    /* Somebody's own last line without a newline gets one. */
    const char *gap = tail < s->size ? "\n" : "";
    g_autofree char *text = g_strconcat(gap, header != NULL ? header : "", line, NULL);
    /* Without a length in the plan the next look must find this one. */
    dp_lasting how = json_object_get(run->planned, "offset") != NULL ? DP_LASTING_NOTED
                                                                     : DP_LASTING_SYNCED;
    json_object_set_new(run->planned, "offset", json_integer((json_int_t)s->size));
    if (!run->remember(run->user, run->planned, how, error))
        return FALSE;
    if (!dp_action_write_all(s->fd, text, strlen(text)) || fdatasync(s->fd) != 0) {
        int saved = errno;
        (void)ftruncate(s->fd, (off_t)s->size); /* else the next writer repairs it */
        errno = saved;
        return dp_action_errno(error, "writing", s->path);
    }
    return s->size > 0 || sync_name(s, error);
}

static gboolean append_locked(dp_action_run *run, sheet *s, GError **error)
{
    if (flock(s->fd, LOCK_EX) != 0)
        return dp_action_errno(error, "locking", s->path);
    struct stat st;
    if (fstat(s->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return dp_action_errno(error, "appending to", s->path);
    }
    s->size = (guint64)st.st_size;
    if (run->was_started) {
        gboolean is_there;
        json_int_t offset = json_integer_value(json_object_get(run->planned, "offset"));
        if (!find_record(s, run->key, (guint64)MAX(offset, 0), &is_there, error))
            return FALSE;
        if (is_there) /* written, and cut off before the journal heard of it */
            return (fdatasync(s->fd) == 0 ||
                    dp_action_errno(error, "syncing", s->path)) &&
                   sync_name(s, error);
    }
    return append_record(run, s, error);
}

/* The start of what a later try has to search: behind the last whole line that is there now.
 * Under the lock, so that nobody cuts off what is counted here.  A file that cannot be read is
 * the action's to complain about: without an offset it journals its own. */
void dp_append_note_offset(json_t *planned)
{
    sheet s = { .path = json_string_value(json_object_get(planned, "to")) };
    s.fd = open(s.path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    gboolean is_known = s.fd < 0 && errno == ENOENT;
    guint64 tail = 0;
    struct stat st;
    if (s.fd >= 0 && flock(s.fd, LOCK_EX) == 0 && fstat(s.fd, &st) == 0 &&
        S_ISREG(st.st_mode)) {
        gboolean is_torn;
        s.size = (guint64)st.st_size;
        is_known = find_tail(&s, &tail, &is_torn, NULL);
    }
    if (s.fd >= 0)
        close(s.fd);
    if (is_known)
        json_object_set_new(planned, "offset", json_integer((json_int_t)tail));
}

gboolean dp_do_append(dp_action_run *run, GError **error)
{
    sheet s = { .path = json_string_value(json_object_get(run->planned, "to")) };
    s.is_csv =
        g_strcmp0(json_string_value(json_object_get(run->planned, "format")), "csv") == 0;
    if (!dp_action_make_dirs(s.path, error))
        return FALSE;
    s.fd = open(s.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
                0644);
    if (s.fd < 0)
        return dp_action_errno(error, "opening", s.path);
    gboolean is_ok = append_locked(run, &s, error);
    close(s.fd); /* the lock goes with it */
    return is_ok;
}

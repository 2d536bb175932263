/*
 * copy.c - the text that copied strings are taken from: which pieces may be taken, and
 * over which gaps a piece may go on.
 */
#include "grammar.h"

#include <string.h>

enum { COPY_TEXT_MAX = 16 << 20 };

static void set_free(gpointer data)
{
    dx_copy_set *set = data;
    g_free(set->name);
    g_free(set->starts);
    g_free(set->stops);
    g_free(set->is_end);
    g_free(set);
}

static void jump_clear(gpointer data)
{
    g_string_free(((dx_copy_jump *)data)->separator, TRUE);
}

dx_copy_source *dx_copy_source_new(const char *text, gsize bytes)
{
    if (bytes > COPY_TEXT_MAX || !g_utf8_validate_len(text, bytes, NULL))
        return NULL;
    dx_copy_source *source = g_new0(dx_copy_source, 1);
    source->text = g_strndup(text, bytes);
    source->bytes = (uint32_t)bytes;
    source->sets = g_ptr_array_new_with_free_func(set_free);
    source->jumps = g_array_new(FALSE, FALSE, sizeof(dx_copy_jump));
    g_array_set_clear_func(source->jumps, jump_clear);
    source->is_from = g_new0(uint8_t, bytes + 1);
    return source;
}

void dx_copy_source_free(dx_copy_source *source)
{
    if (source == NULL)
        return;
    g_free(source->text);
    g_ptr_array_unref(source->sets);
    g_array_unref(source->jumps);
    g_free(source->is_from);
    g_free(source);
}

static gboolean is_between(const dx_copy_source *source, uint32_t offset)
{
    return offset <= source->bytes &&
           (offset == source->bytes || ((uint8_t)source->text[offset] & 0xc0) != 0x80);
}

gboolean dx_copy_source_add_spans(dx_copy_source *source, const char *name,
                                  const dx_copy_span *spans, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (spans[i].start >= spans[i].end || !is_between(source, spans[i].start) ||
            !is_between(source, spans[i].end))
            return FALSE;
    }
    dx_copy_set *set = g_new0(dx_copy_set, 1);
    set->name = g_strdup(name);
    set->count = count;
    set->starts = g_new(uint32_t, count + 1);
    set->stops = g_new(uint32_t, count + 1);
    for (size_t i = 0; i < count; i++) {
        set->starts[i] = spans[i].start;
        set->stops[i] = spans[i].end;
    }
    g_ptr_array_add(source->sets, set);
    return TRUE;
}

gboolean dx_copy_source_add_free(dx_copy_source *source, const char *name,
                                 const uint32_t *starts, size_t start_count,
                                 const uint32_t *ends, size_t end_count,
                                 uint32_t max_bytes)
{
    for (size_t i = 0; i < start_count; i++) {
        if (!is_between(source, starts[i]))
            return FALSE;
    }
    for (size_t i = 0; i < end_count; i++) {
        if (!is_between(source, ends[i]))
            return FALSE;
    }
    dx_copy_set *set = g_new0(dx_copy_set, 1);
    set->name = g_strdup(name);
    set->is_free = TRUE;
    set->bytes_max = max_bytes;
    set->starts = g_memdup2(starts, start_count * sizeof *starts);
    set->count = start_count;
    set->is_end = g_new0(uint8_t, source->bytes + 1);
    for (size_t i = 0; i < end_count; i++)
        set->is_end[ends[i]] = 1;
    g_ptr_array_add(source->sets, set);
    return TRUE;
}

gboolean dx_copy_source_add_jump(dx_copy_source *source, uint32_t from, uint32_t to,
                                 const char *separator)
{
    if (from >= to || !is_between(source, from) || !is_between(source, to) ||
        !g_utf8_validate(separator, -1, NULL))
        return FALSE;
    dx_copy_jump jump = { from, to, (uint32_t)strlen(separator), g_string_new(NULL) };
    for (const char *p = separator; *p != '\0'; p++) {
        char out[6];
        g_string_append_len(jump.separator, out, dx_char_escape((uint8_t)*p, out));
    }
    guint at = source->jumps->len;
    while (at > 0 && g_array_index(source->jumps, dx_copy_jump, at - 1).from > from)
        at--;
    g_array_insert_val(source->jumps, at, jump);
    source->is_from[from] = 1;
    return TRUE;
}

uint32_t *dx_copy_distances(const dx_copy_source *source, const dx_copy_set *set)
{
    uint32_t *far = g_new(uint32_t, source->bytes + 1);
    guint jump = source->jumps->len;
    /* Text and jumps lead forwards only, so one pass from the back is enough. */
    for (uint32_t i = source->bytes + 1; i-- > 0;) {
        uint32_t best = set->is_end[i] ? 0 : UINT32_MAX;
        if (i < source->bytes && far[i + 1] != UINT32_MAX)
            best = MIN(best, far[i + 1] + 1);
        while (jump > 0 &&
               g_array_index(source->jumps, dx_copy_jump, jump - 1).from == i) {
            const dx_copy_jump *j = &g_array_index(source->jumps, dx_copy_jump, --jump);
            if (far[j->to] != UINT32_MAX)
                best = MIN(best, far[j->to] + j->raw_bytes);
        }
        far[i] = best;
    }
    return far;
}

/*
 * prompt.c - prompts in the form that the embedded model was trained on (VL2 template).
 */
#include "prompt.h"

#include <string.h>

struct dx_session {
    const vl_model *model;
    vl_context *context;
    GArray *ids;   /* of int32_t, in the context behind the base */
    uint32_t base; /* positions before: special tokens and picture */
    gboolean has_picture;
};

size_t dx_tokenize(const vl_model *model, const char *text, size_t bytes, int32_t *ids,
                   size_t ids_max)
{
    size_t count = vl_tokenize(model, text, bytes, ids, ids_max);
    if (count == SIZE_MAX)
        g_error("no memory for the tokens of %zu bytes", bytes);
    return count;
}

static void add_text(const vl_model *model, GArray *ids, const char *text)
{
    gsize bytes = strlen(text);
    size_t n = dx_tokenize(model, text, bytes, NULL, 0);
    guint at = ids->len;
    g_array_set_size(ids, at + (guint)n);
    if (n > 0)
        dx_tokenize(model, text, bytes, &g_array_index(ids, int32_t, at), n);
}

static void add_special(const vl_model *model, GArray *ids, vl_special which)
{
    int32_t id = vl_token_special(model, which);
    g_array_append_val(ids, id);
}

static gboolean feed(dx_session *s, const int32_t *ids, gsize count, GError **error)
{
    vl_error err = { 0 };
    if (vl_context_add_tokens(s->context, ids, count, &err))
        return TRUE;
    g_set_error(error, DX_ERROR, err.code == VL_LIMIT ? DX_LIMIT : DX_MODEL, "%s",
                err.text);
    return FALSE;
}

dx_session *dx_session_new(vl_model *model, const vl_vision *vision, GError **error)
{
    vl_error err = { 0 };
    dx_session *s = g_new0(dx_session, 1);
    s->model = model;
    s->ids = g_array_new(FALSE, FALSE, sizeof(int32_t));
    s->has_picture = vision != NULL;
    s->context = vl_context_new(model, NULL, &err);
    g_autoptr(GArray) head = g_array_new(FALSE, FALSE, sizeof(int32_t));
    add_special(model, head, VL_TOKEN_BOS);
    add_special(model, head, VL_TOKEN_USER);
    add_text(model, head, ": ");
    gboolean is_ok =
        s->context != NULL && feed(s, (int32_t *)(void *)head->data, head->len, error);
    if (is_ok && vision != NULL)
        is_ok = vl_context_add_vision(s->context, vision, &err);
    if (!is_ok) {
        if (error != NULL && *error == NULL)
            g_set_error(error, DX_ERROR, DX_MODEL, "%s", err.text);
        dx_session_free(s);
        return NULL;
    }
    s->base = vl_context_position(s->context);
    return s;
}

void dx_session_free(dx_session *s)
{
    if (s == NULL)
        return;
    vl_context_free(s->context);
    g_array_unref(s->ids);
    g_free(s);
}

vl_context *dx_session_context(dx_session *s)
{
    return s->context;
}

/* A long text loses its middle: what identifies a document stands at the top, what it
 * sums up to at the bottom. */
static char *shortened(const vl_model *model, const char *text)
{
    if (dx_tokenize(model, text, strlen(text), NULL, 0) <= DX_TEXT_TOKENS_MAX)
        return g_strdup(text);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    guint count = g_strv_length(lines), head = 0, tail = count;
    size_t used = 0;
    for (; head < count && used < DX_TEXT_TOKENS_MAX * 3 / 5; head++)
        used += dx_tokenize(model, lines[head], strlen(lines[head]), NULL, 0) + 1;
    for (; tail > head && used < DX_TEXT_TOKENS_MAX; tail--)
        used += dx_tokenize(model, lines[tail - 1], strlen(lines[tail - 1]), NULL, 0) + 1;
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < count; i++)
        if (i < head || i >= tail)
            g_string_append_printf(out, "%s%s", out->len > 0 ? "\n" : "", lines[i]);
    return g_string_free(out, FALSE);
}

gboolean dx_session_ask(dx_session *s, const char *page_text, const char *question,
                        GError **error)
{
    g_autoptr(GArray) ids = g_array_new(FALSE, FALSE, sizeof(int32_t));
    g_autofree char *text =
        page_text != NULL && *page_text != '\0' ? shortened(s->model, page_text) : NULL;
    g_autofree char *whole =
        text != NULL ? g_strdup_printf("\nPage text:\n%s\n\n%s", text, question)
                     : g_strdup_printf("\n%s", question);
    add_text(s->model, ids, whole);
    add_text(s->model, ids, "\n\n");
    add_special(s->model, ids, VL_TOKEN_ASSISTANT);
    add_text(s->model, ids, ":");
    guint same = 0;
    while (same < ids->len && same < s->ids->len &&
           g_array_index(ids, int32_t, same) == g_array_index(s->ids, int32_t, same))
        same++;
    same = MIN(same, ids->len - 1); /* the last token gives the logits */
    vl_context_rewind(s->context, s->base + same);
    g_array_set_size(s->ids, 0);
    g_array_append_vals(s->ids, ids->data, ids->len);
    return feed(s, &g_array_index(ids, int32_t, same), ids->len - same, error);
}

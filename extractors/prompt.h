/*
 * prompt.h - the conversation about one page: its text once, then one question after the
 * other, each from the same prefix.
 */
#ifndef DX_PROMPT_H
#define DX_PROMPT_H

#include "dx.h"

#define DX_TEXT_TOKENS_MAX 1700 /* of page text in a prompt; longer: head and tail */

typedef struct dx_session dx_session;

/* `vision` may be NULL: then the decoder sees the text alone. */
dx_session *dx_session_new(vl_model *model, const vl_vision *vision, GError **error);
void dx_session_free(dx_session *session);
vl_context *dx_session_context(dx_session *session);
/* Bring the context to the point where the answer to `question` begins. */
gboolean dx_session_ask(dx_session *session, const char *page_text, const char *question,
                        GError **error);

/* vl_tokenize(), but without memory it ends the process, as GLib does: fewer tokens would be
 * another question, and the answer would not show it. */
size_t dx_tokenize(const vl_model *model, const char *text, size_t bytes, int32_t *ids,
                   size_t ids_max);

#endif

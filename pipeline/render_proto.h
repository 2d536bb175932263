/*
 * render_proto.h - what docvl and docvl-render say to each other over a socket pair.
 *
 * One request, one reply, both of fixed size; bulk data (pixels, words, attachments)
 * comes as a sealed memfd beside the reply.  Both ends are of one build on one machine,
 * so plain structures in native order do; the client still checks every number.
 */
#ifndef DP_RENDER_PROTO_H
#define DP_RENDER_PROTO_H

#include <stdint.h>

#define DP_RENDER_FD 3 /* the socket in the worker */
#define DP_FILE_FD   4 /* the document in the worker */

typedef enum dp_render_op {
    DP_OP_OPEN = 1, DP_OP_PAGE, DP_OP_RENDER, DP_OP_TEXT, DP_OP_ATTACHMENT, DP_OP_FIELDS
} dp_render_op;

typedef struct dp_render_request {
    uint32_t op, page, width, height, channels, index;
    uint64_t pixels_max, attachment_max;
    uint32_t side_max, pages_max, words_max, reserved;
    char password[128]; /* OPEN: tried beside the empty one */
} dp_render_request;

typedef struct dp_render_reply {
    uint32_t code; /* 0 or a dp_render_code */
    uint32_t kind, page_count, attachment_count, field_count, is_encrypted;
    uint32_t width, height, channels, row_bytes, has_text, is_hidden;
    uint64_t bytes; /* of the memfd beside the reply; 0: none */
    double width_pt, height_pt, dpi;
    char text[256]; /* an error's text, or the name of an attachment */
} dp_render_reply;

#endif

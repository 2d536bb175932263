/*
 * render_proto.h - the messages between the render client and docvl-render.
 *
 * One SOCK_SEQPACKET pair per document.  A request is a fixed header, for
 * DP_OP_OPEN followed by a payload and accompanied by the document's descriptor; a
 * reply is a fixed header, accompanied by a sealed memfd when data_bytes is not 0.
 * All numbers are little-endian at fixed offsets, so that no compiler's padding is
 * part of the format; doubles travel as the bits of an IEEE 754 binary64.
 */
#ifndef DP_RENDER_PROTO_H
#define DP_RENDER_PROTO_H

#include "render.h"

#include <string.h>

#define DP_PROTO_FD            3 /* the worker's end of the socket */
#define DP_PROTO_REQUEST_MAGIC 0x51525044u
#define DP_PROTO_REPLY_MAGIC   0x50525044u
#define DP_PROTO_PAYLOAD_MAX   32768u
#define DP_PROTO_MESSAGE_BYTES 200u
#define DP_PROTO_VALUES        8u
#define DP_PROTO_LIMITS        8u

#define DP_PASSWORDS_MAX     64u         /* per document */
#define DP_FIELDS_MAX        20000u      /* form fields per document */
#define DP_ATTACHMENTS_MAX   1000u       /* embedded files per document */
#define DP_NAME_BYTES_MAX    1024u       /* of an attachment or field name */
#define DP_RECORDS_BYTES_MAX (64u << 20) /* text of one page, fields of a document */
#define DP_WORD_BYTES_MAX    65536u
#define DP_REPLY_DAMAGED     1u /* flag: part of the picture could not be decoded */

typedef enum dp_op {
    DP_OP_OPEN = 1,   /* v: kind, pages, attachments, fields, is_encrypted */
    DP_OP_PAGE_INFO,  /* v: width_pt, height_pt, width_px, height_px, dpi, text bits */
    DP_OP_RENDER,     /* v: width, height, channels, row_bytes; data: pixels */
    DP_OP_TEXT,       /* v: count; data: records */
    DP_OP_ATTACHMENT, /* v: name_bytes; data: name, content */
    DP_OP_FIELDS,     /* v: count; data: records */
} dp_op;

/* Offsets of a request. */
enum {
    DP_REQ_MAGIC = 0,
    DP_REQ_OP = 4,
    DP_REQ_INDEX = 8, /* page or attachment */
    DP_REQ_WIDTH = 12,
    DP_REQ_HEIGHT = 16,
    DP_REQ_CHANNELS = 20,
    DP_REQ_PAYLOAD = 24, /* bytes after the header */
    DP_REQ_BYTES = 32,
};

/* Offsets of a reply. */
enum {
    DP_REP_MAGIC = 0,
    DP_REP_OP = 4,
    DP_REP_CODE = 8, /* 0 or a dp_render_code */
    DP_REP_FLAGS = 12,
    DP_REP_DATA = 16, /* uint64: size of the memfd */
    DP_REP_VALUES = 24,
    DP_REP_MESSAGE = 24 + 8 * DP_PROTO_VALUES,
    DP_REP_BYTES = DP_REP_MESSAGE + DP_PROTO_MESSAGE_BYTES,
};
_Static_assert(DP_REP_BYTES == 288, "the reply header is part of the protocol");

/* Record of a word: text_bytes, four box values, font size, text. */
#define DP_WORD_RECORD_BYTES (4u + 5u * 8u)
/* Record of a field: name_bytes, value_bytes, is_choice, page, hint_bytes, four box values;
 * then name, value, hint. */
#define DP_FIELD_RECORD_BYTES (5u * 4u + 4u * 8u)

static inline void dp_put32(uint8_t *at, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

static inline uint32_t dp_get32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return GUINT32_FROM_LE(value);
}

static inline void dp_put64(uint8_t *at, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(at, &value, sizeof value);
}

static inline uint64_t dp_get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return GUINT64_FROM_LE(value);
}

static inline void dp_put_double(uint8_t *at, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    dp_put64(at, bits);
}

static inline double dp_get_double(const uint8_t *at)
{
    uint64_t bits = dp_get64(at);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif

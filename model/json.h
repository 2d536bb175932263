/*
 * json.h - strict JSON reader for the files of a checkpoint (RFC 8259).
 *
 * The whole text becomes a tree in memory; nodes and strings are borrowed from the
 * document.  Duplicate keys, invalid UTF-8, unpaired surrogates and anything behind
 * the value are errors.
 */
#ifndef VL_JSON_H
#define VL_JSON_H

#include "vl.h"

#define VL_JSON_DEPTH_MAX 32
#define VL_JSON_BYTES_MAX (64u << 20)

typedef enum vl_json_type {
    VL_JSON_NULL,
    VL_JSON_BOOL,
    VL_JSON_NUMBER,
    VL_JSON_STRING,
    VL_JSON_ARRAY,
    VL_JSON_OBJECT
} vl_json_type;

typedef struct vl_json {
    vl_json_type type;
    uint32_t count;   /* children of an array or object */
    double number;    /* also 0 or 1 of a boolean */
    const char *text; /* of a string: UTF-8, zero behind the last byte */
    size_t text_bytes;
    const char *key; /* in an object, else NULL */
    size_t key_bytes;
    struct vl_json *child, *next;
} vl_json;

typedef struct vl_json_doc vl_json_doc;

/* `what` names the text in messages.  NULL and `err` on failure. */
vl_json_doc *vl_json_parse(const char *text, size_t bytes, const char *what,
                           vl_error *err);
void vl_json_free(vl_json_doc *doc);
const vl_json *vl_json_root(const vl_json_doc *doc);

/* Member of an object; NULL when absent, or when `object` is NULL or none. */
const vl_json *vl_json_get(const vl_json *object, const char *key);
/* Is it a string with exactly this text? */
bool vl_json_is(const vl_json *value, const char *text);
/* An integer in [0, max]; false for everything else. */
bool vl_json_uint(const vl_json *value, uint64_t max, uint64_t *out);

#endif

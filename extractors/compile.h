/* compile.h - shared by the files of the compiler: grammar.c, string.c, number.c. */
#ifndef DX_COMPILE_H
#define DX_COMPILE_H

#include "grammar.h"

typedef struct dx_compiler {
    dx_grammar *grammar;
    const json_t *root;
    GString *at;     /* JSON Pointer into the schema */
    GString *path;   /* JSON Pointer into the answer, see dx_copy_rule */
    GPtrArray *refs; /* $ref being written out */
    uint32_t depth, lists, objects;
    GError **error;
} dx_compiler;

/* Set DX_SCHEMA "POINTER/KEY: TEXT"; key may be NULL.  Always FALSE. */
gboolean dx_compile_fail(dx_compiler *c, const char *key, const char *format, ...)
    G_GNUC_PRINTF(3, 4);
gboolean dx_compile_op(dx_compiler *c, dx_op op);
gboolean dx_compile_text(dx_compiler *c, const char *text, gsize bytes);
/* A count keyword: FALSE and an error unless it is absent or 0..limit. */
gboolean dx_compile_count(dx_compiler *c, const json_t *schema, const char *key,
                          uint32_t limit, uint32_t *value);
gboolean dx_compile_string(dx_compiler *c, const json_t *schema);
gboolean dx_compile_number(dx_compiler *c, const json_t *schema, gboolean is_integer);

enum {
    DX_NUMBER_START,
    DX_NUMBER_MINUS,
    DX_NUMBER_ZERO,
    DX_NUMBER_WHOLE,
    DX_NUMBER_POINT,
    DX_NUMBER_FRACTION
};

typedef struct dx_number_state {
    uint32_t phase, is_minus, decimals;
    int64_t digits; /* without the point */
} dx_number_state;

gboolean dx_number_take(const dx_number_rule *rule, dx_number_state *state, uint8_t byte);
gboolean dx_number_is_done(const dx_number_rule *rule, const dx_number_state *state);

#endif

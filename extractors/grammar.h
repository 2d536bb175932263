/*
 * grammar.h - inside of the constrained decoder: what compiler, vocabulary, copy source
 * and matcher know of each other.  Not included outside extractors/.
 *
 * A grammar is a program for a nondeterministic machine over bytes.  A state is a place
 * in the program with counters, so a list of up to 256 rows costs one counter, not 256
 * copies of the row.
 */
#ifndef DX_GRAMMAR_H
#define DX_GRAMMAR_H

#include "dx.h"

/* Limits; every one is tested just below and just above. */
enum {
    DX_GRAMMAR_DEPTH_MAX = 32,       /* nested schemas */
    DX_GRAMMAR_LISTS_MAX = 8,        /* lists inside lists */
    DX_GRAMMAR_OPS_MAX = 1 << 16,    /* instructions, $ref written out */
    DX_GRAMMAR_TEXT_MAX = 1 << 20,   /* bytes of keys and constants, $ref written out */
    DX_STRING_MAX = 512,             /* default maxLength */
    DX_STRING_LIMIT = 65535,         /* largest maxLength */
    DX_ITEMS_MAX = 256,              /* default maxItems */
    DX_ITEMS_LIMIT = 65535,          /* largest maxItems */
    DX_REGEX_DEPTH_MAX = 32,         /* groups inside groups */
    DX_REGEX_NODES_MAX = 4096,       /* NFA nodes, counted repeats written out */
    DX_REGEX_STATES_MAX = 1024,      /* DFA states */
    DX_REGEX_REPEAT_MAX = 1000,      /* largest number in {m,n} */
    DX_REGEX_TABLE_MAX = 4 << 20,    /* states x (maxLength + 1) */
    DX_TOKEN_BYTES_MAX = 256,        /* a longer token is never allowed */
    DX_MATCHER_STATES_MAX = 1 << 17, /* states alive at once, all trie levels together */
    DX_FORCED_BYTES_MAX = 4096,      /* forced text in one step */
};

/* What a local pointer ("#/$defs/party") names in a schema; NULL when there is no such.
 * Borrowed. */
const json_t *dx_schema_resolve(const json_t *root, const char *ref);

typedef enum dx_op_kind {
    OP_LIT,    /* bytes pool[x .. x+y) */
    OP_FORK,   /* go to x or to y */
    OP_JUMP,   /* go to x */
    OP_OBJECT, /* no member of object `depth` written yet */
    OP_COMMA,  /* "," unless it is the first member of object `depth` */
    OP_LIST,   /* count[depth] = 0 */
    OP_ITEM,   /* count[depth]++ */
    OP_CHOICE, /* to x when count[depth] < max, to y when count[depth] >= min */
    OP_STRING, /* inside of a string, strings[x] */
    OP_NUMBER, /* numbers[x] */
    OP_COPY,   /* inside of a copied string, copies[x] */
    OP_END,
} dx_op_kind;

typedef struct dx_op {
    uint8_t kind, depth;
    uint32_t x, y, min, max;
} dx_op;

/* ---- regex.c ---------------------------------------------------------------- */

/* A deterministic machine over Unicode characters. */
typedef struct dx_regex {
    uint32_t state_count, class_count;
    uint32_t *class_first; /* [class_count] first character, ascending */
    int32_t *next;         /* [state_count][class_count], -1: no match possible */
    uint8_t *is_accept;    /* [state_count] */
    uint16_t ascii[128];   /* class of an ASCII character */
} dx_regex;

/* NULL and one line in *why (caller frees) when the pattern is wrong or not supported. */
dx_regex *dx_regex_new(const char *pattern, char **why);
void dx_regex_free(dx_regex *regex);
uint32_t dx_regex_class(const dx_regex *regex, uint32_t code);

/* ---- grammar.c -------------------------------------------------------------- */

typedef struct dx_string_rule {
    uint32_t min, max; /* characters */
    dx_regex *regex;   /* may be NULL */
    uint8_t *is_open;  /* [max + 1][state_count]: after so many characters in this state
                          the string can still be finished */
} dx_string_rule;

/* Scaled by 10^decimals; magnitudes below 10^18. */
typedef struct dx_number_rule {
    int64_t lo, hi, step;
    uint32_t decimals;
} dx_number_rule;

typedef struct dx_copy_rule {
    char *name; /* NULL for "x-copy": true */
    char *path; /* JSON Pointer; "~2" and a digit stand for the index of that list */
} dx_copy_rule;

struct dx_grammar {
    gint refs;
    GArray *ops; /* dx_op */
    GByteArray *pool;
    GArray *strings, *numbers, *copies;
};

/* ---- vocab.c ---------------------------------------------------------------- */

typedef struct dx_trie_node {
    uint32_t child_first;
    uint16_t child_count;
    uint8_t byte;
    uint8_t has_quote; /* a token of this subtree has a '"' in it */
    int32_t token;     /* first token that ends here, or -1 */
} dx_trie_node;

struct dx_vocab {
    gint refs;
    size_t count;
    int32_t eos;
    uint32_t token_bytes_max;
    dx_trie_node *nodes; /* children of a node are adjacent, in byte order */
    uint32_t node_count;
    int32_t *same;       /* [count] next token with the same bytes, or -1 */
    uint8_t *bytes;      /* all tokens */
    uint32_t *first;     /* [count + 1] where token i starts in `bytes` */
    uint32_t *in_string; /* mask: tokens that may stand inside any long string */
    /* The tokenization that the model has learnt; NULL: greedy longest match. */
    size_t (*tokenize)(const void *user, const char *text, size_t bytes, int32_t *ids,
                       size_t ids_max);
    void *user;
    void (*user_free)(void *user);
};

/* Cut text into tokens; returns their number, *used bytes of the text are covered. */
size_t dx_vocab_cut(const dx_vocab *vocab, const char *text, size_t bytes, int32_t *ids,
                    size_t ids_max, size_t *used);

/* ---- utf8.c: bytes of a JSON string, one at a time ------------------------------ */

/* Where in a character we are; all zero between characters. */
typedef struct dx_char_state {
    uint32_t phase;
    uint32_t code;
} dx_char_state;

typedef enum dx_char_step { DX_CHAR_NO, DX_CHAR_MORE, DX_CHAR_DONE } dx_char_step;

/* Take one byte.  MORE: [*lo, *hi] are the characters that can still come (of an escape
 * all, then only those for which dx_char_is_escaped()).  DONE: the character is *lo. */
dx_char_step dx_char_take(dx_char_state *state, uint8_t byte, uint32_t *lo, uint32_t *hi);
gboolean dx_char_is_escaped(uint32_t code);
/* The JSON spelling of a byte inside a string; returns its length (1, 2 or 6). */
uint32_t dx_char_escape(uint8_t byte, char out[6]);

/* ---- copy.c ----------------------------------------------------------------- */

typedef struct dx_copy_set {
    char *name; /* NULL for the unnamed */
    gboolean is_free;
    uint32_t *starts; /* free: ascending; spans: starts[i] .. stops[i] */
    uint32_t *stops;
    size_t count;
    uint8_t *is_end; /* free: [text bytes + 1] */
    uint32_t bytes_max;
} dx_copy_set;

typedef struct dx_copy_jump {
    uint32_t from, to;
    uint32_t raw_bytes;
    GString *separator; /* as it stands in a JSON string */
} dx_copy_jump;

struct dx_copy_source {
    char *text;
    uint32_t bytes;
    GPtrArray *sets;  /* dx_copy_set */
    GArray *jumps;    /* dx_copy_jump, by `from` */
    uint8_t *is_from; /* [bytes + 1] a jump starts here */
};

/* Bytes to the next allowed end from each offset, jumps counted; UINT32_MAX: none. */
uint32_t *dx_copy_distances(const dx_copy_source *source, const dx_copy_set *set);

#endif

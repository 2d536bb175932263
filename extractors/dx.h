/*
 * dx.h - public interface of the extractors: a schema and pages in, checked JSON out.
 *
 *   dx_schema   a document type: JSON Schema (2020-12 subset) with x- keywords;
 *               immutable, counted, shared between threads
 *   dx_source   where pages come from: a table of functions the caller fills
 *   dx_engine   a vl_model with its caches; immutable, shared between threads
 *
 * Results are jansson trees in the envelope of the field reference (sections 1.3 and
 * 1.4): every leaf {value, raw, source, confidence, page, bbox, checks}.
 */
#ifndef DX_H
#define DX_H

#include <gio/gio.h>
#include <jansson.h>
#include <stdint.h>

#include "vl.h"

#define DX_ERROR (dx_error_quark())
GQuark dx_error_quark(void);

typedef enum dx_code {
    DX_SCHEMA = 1, /* the schema is wrong or uses what we cannot enforce; the text starts
                        with the JSON Pointer of the keyword */
    DX_MODEL,      /* the model failed (the text is the core's) */
    DX_SOURCE,     /* a page could not be had */
    DX_LIMIT,
    DX_CANCELLED,
    DX_NOTFOUND, /* no schema of this name */
} dx_code;

/* ---- schemas -------------------------------------------------------------- */

typedef struct dx_schema dx_schema;

/* Load a schema by name (searched as NAME.yaml in `dirs`, a NULL-terminated list) or by
 * path (when it has a slash or ends in .yaml, .yml or .json).  Accepts a JSON Schema or
 * the short form by example (section 1.5 of the field reference). */
dx_schema *dx_schema_load(const char *name_or_path, const char *const *dirs,
                          GError **error);
dx_schema *dx_schema_parse(const char *text, gsize bytes, const char *name,
                           GError **error);
dx_schema *dx_schema_ref(dx_schema *schema);
void dx_schema_unref(dx_schema *schema);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_schema, dx_schema_unref)

const char *dx_schema_name(const dx_schema *schema);
const char *dx_schema_version(const dx_schema *schema);
const char *dx_schema_sha256(const dx_schema *schema);
/* The whole schema as JSON Schema; borrowed. */
const json_t *dx_schema_json(const dx_schema *schema);
/* Every path that a result of this schema can have, "seller.name" and "lines[].net_amount":
 * set of owned strings, with those of objects and lists themselves ("lines" and "lines[]").
 * Caller unrefs. */
GHashTable *dx_schema_paths(const dx_schema *schema);
/* Names and titles of the schemas in `dirs`: array of {name, version, title, path}. */
json_t *dx_schema_list(const char *const *dirs, GError **error);

/* YAML 1.2 core schema as a jansson tree; also for configuration files.  Refuses what
 * local files do not need: aliases, anchors, tags, several documents, duplicate keys,
 * depth above 32, more than 1 MiB.  `name` goes into the message with line and column. */
json_t *dx_yaml_parse(const char *text, gsize bytes, const char *name, GError **error);

/* Where the nodes of a YAML file stand, for messages about what a value means. */
typedef struct dx_marks dx_marks;
typedef struct dx_mark {
    guint line, column;         /* of the value, from 1 */
    guint key_line, key_column; /* of its key; of the value where there is none */
} dx_mark;

/* As dx_yaml_parse(); *marks is for the caller to free, and set on success only. */
json_t *dx_yaml_parse_marks(const char *text, gsize bytes, const char *name,
                            dx_marks **marks, GError **error);
/* `pointer` is a JSON Pointer, "" the root.  FALSE, output untouched, for no such node. */
gboolean dx_marks_find(const dx_marks *marks, const char *pointer, dx_mark *mark);
void dx_marks_free(dx_marks *marks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_marks, dx_marks_free)

/* ---- constrained decoding (grammar.c) -------------------------------------- */

typedef struct dx_vocab dx_vocab; /* byte trie over a token table; immutable, counted */
typedef struct dx_grammar dx_grammar; /* a compiled JSON Schema; immutable, counted */
typedef struct dx_matcher dx_matcher; /* a position in a grammar; one thread */

/* Token i is the bytes tokens[i], lengths[i]; length 0 means never allowed. */
dx_vocab *dx_vocab_new(const char *const *tokens, const size_t *lengths, size_t count,
                       int32_t eos);
dx_vocab *dx_vocab_from_model(const vl_model *model);
dx_vocab *dx_vocab_ref(dx_vocab *vocab);
void dx_vocab_unref(dx_vocab *vocab);

/* Compile a JSON Schema into compact JSON.  DX_SCHEMA with the JSON Pointer of a keyword
 * that cannot be enforced. */
dx_grammar *dx_grammar_compile(const json_t *schema, GError **error);
dx_grammar *dx_grammar_ref(dx_grammar *grammar);
void dx_grammar_unref(dx_grammar *grammar);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_vocab, dx_vocab_unref)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_grammar, dx_grammar_unref)

/* Text that copied strings are taken from.  A string leaf with "x-copy": NAME in the
 * compiled schema is null or a piece of this text that was registered under NAME; with
 * "x-copy": true one that was registered without a name (NULL).  Such a leaf always
 * accepts null; with nothing registered it accepts only null.  The text is written as it
 * stands, with JSON escapes.
 *
 * Fill it from one thread, then share it: matchers only read it, and it must live longer
 * than they do.  Offsets are bytes and must lie between characters of the text, else a
 * function adds nothing and returns FALSE. */
typedef struct dx_copy_source dx_copy_source;

typedef struct dx_copy_span {
    uint32_t start, end; /* bytes [start, end) */
} dx_copy_span;

/* NULL when the text is not UTF-8 or longer than 16 MiB. */
dx_copy_source *dx_copy_source_new(const char *text, gsize bytes);
/* Candidates: exactly these pieces.  May be called again to add more. */
gboolean dx_copy_source_add_spans(dx_copy_source *source, const char *name,
                                  const dx_copy_span *spans, size_t count);
/* Any piece from one of `starts` to one of `ends`, of at most max_bytes bytes, joined
 * over jumps. */
gboolean dx_copy_source_add_free(dx_copy_source *source, const char *name,
                                 const uint32_t *starts, size_t start_count,
                                 const uint32_t *ends, size_t end_count,
                                 uint32_t max_bytes);
/* A free piece that has come to `from` may go on at `to` (later in the text); the answer
 * gets the separator instead of what lies between: the end of one line and the start of
 * the next, " " or ", ". */
gboolean dx_copy_source_add_jump(dx_copy_source *source, uint32_t from, uint32_t to,
                                 const char *separator);
void dx_copy_source_free(dx_copy_source *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_copy_source, dx_copy_source_free)

/* Holds references on grammar and vocabulary; `copy` is borrowed, may be NULL. */
dx_matcher *dx_matcher_new(const dx_grammar *grammar, const dx_vocab *vocab,
                           const dx_copy_source *copy);
void dx_matcher_free(dx_matcher *matcher);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_matcher, dx_matcher_free)
/* What may come next: the semantics of vl_constraint.next. */
vl_step dx_matcher_next(dx_matcher *matcher, uint32_t *mask, int32_t *forced,
                        size_t forced_max, size_t *forced_count);
gboolean dx_matcher_accept(dx_matcher *matcher, int32_t token);
/* The bytes accepted so far. */
const char *dx_matcher_text(const dx_matcher *matcher, gsize *bytes);
/* Where the copied strings of the answer so far came from, in order of the answer: the
 * JSON Pointer of the string (caller frees) and its pieces (GArray of dx_copy_span, caller
 * unrefs).  FALSE, outputs untouched, when there are not so many.  When the same
 * characters stand in several places, the place that comes first in the text. */
gboolean dx_matcher_copied(const dx_matcher *matcher, size_t index, char **pointer,
                           GArray **spans);

/* ---- pages ---------------------------------------------------------------- */

/* A word on a page, from the text layer or the text head.  Box in fractions of the
 * page, origin top left.  `em` is the size of the print as a fraction of page height. */
typedef struct dx_word {
    char *text;
    double x0, y0, x1, y1;
    double em;
    double prob;   /* 1 for a text layer */
    uint32_t line; /* of print, in reading order; 0 for a text layer */
} dx_word;

typedef enum dx_text_use { DX_TEXT_AUTO, DX_TEXT_ALWAYS, DX_TEXT_NEVER } dx_text_use;

typedef struct dx_page_facts {
    double width_pt, height_pt;
    gboolean has_text; /* words() is worth calling */
    gboolean is_drawn; /* letters and lines, not the pixels of a scanner */
} dx_page_facts;

typedef struct dx_source {
    void *user;
    uint32_t page_count;
    gboolean (*page)(void *user, uint32_t page_index, dx_page_facts *facts,
                     GError **error);
    /* Words of the text layer: GArray of dx_word, owned by the caller. */
    GArray *(*words)(void *user, uint32_t page_index, GError **error);
    /* The picture of the page, grey: 0 x 0 gives it in its own pixels, or drawn finely
     * enough for small print; a drawn page comes in any other size too.  The image stays
     * valid until the next call or until the source is closed. */
    gboolean (*picture)(void *user, uint32_t page_index, uint32_t width, uint32_t height,
                        vl_image *image, GError **error);
    /* Embedded files and form fields of the document; may be NULL. */
    uint32_t attachment_count;
    GBytes *(*attachment)(void *user, uint32_t index, char **name, GError **error);
    GArray *(*fields)(void *user, GError **error); /* of dx_form_field */
} dx_source;

typedef struct dx_form_field {
    char *name, *value; /* value: "" when empty; of a choice "checked" or "unchecked" */
    char *hint;         /* "" when there is none */
    gboolean is_choice; /* check box or radio button */
    uint32_t page_index;
    double x0, y0, x1, y1;
} dx_form_field;

/* ---- the work ------------------------------------------------------------- */

/* A model with its token trie; immutable, shared between threads. */
typedef struct dx_engine dx_engine;
dx_engine *dx_engine_new(vl_model *model, GError **error);
void dx_engine_free(dx_engine *engine);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dx_engine, dx_engine_free)

/* Zero means the default everywhere. */
typedef struct dx_options {
    dx_text_use text;        /* the PDF's text layer: auto, always, never */
    gboolean is_vision_used; /* show the decoder the picture too, not only its text */
    gboolean is_free;        /* no copy mask: values need not stand in the page's text */
    uint32_t tokens_max;     /* answer tokens of one question, default 1,024 */
    uint32_t pages_max;      /* pages looked at for fields, default 20 */
    double review_below;     /* confidence below which a value needs review, default: the
                                schema's x-review-below */
    const char *const *labels; /* classes, NULL-terminated; NULL: the default list */
    /* Called between steps; may be NULL. */
    void (*progress)(void *user, const char *stage, uint32_t page, uint32_t pages);
    void *user;
    GCancellable *cancellable;
} dx_options;

/* Extract the fields of `schema`.  The result is the document envelope (section 1.4) but
 * for the members that only the caller knows (doc_id, file).  The caller owns it. */
json_t *dx_extract(dx_engine *engine, const dx_source *source, const dx_schema *schema,
                   const dx_options *options, GError **error);

/* {"label", "confidence", "alternatives": [{label, confidence}]} over options->labels. */
json_t *dx_classify(dx_engine *engine, const dx_source *source, const dx_options *options,
                    GError **error);

/* {"pages": [{"page", "source", "text", "words": [{text, bbox, confidence}]}]} */
json_t *dx_read(dx_engine *engine, const dx_source *source, const dx_options *options,
                GError **error);

#endif

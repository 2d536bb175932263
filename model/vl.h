/*
 * vl.h - public interface of the embedded vision-language core.
 *
 *   vl_model    loaded weights and tokenizer; immutable, shared between threads
 *   vl_vision   one picture as the vision tower sees it; immutable, counted
 *   vl_text     what the text head reads in a vl_vision or on a page: words with boxes
 *   vl_context  one conversation with its KV cache; one thread at a time
 *
 * The core opens a DeepSeek-VL2-type checkpoint folder (config.json,
 * tokenizer.json, *.safetensors); the embedded model is one with small numbers.
 * It knows pixels, tokens and weights, nothing of PDFs, schemas or jobs.
 *
 * Contexts and visions hold a reference on their model: release in any order.
 * Every function that can fail takes a `vl_error *` (never NULL) and leaves its
 * outputs untouched on failure.
 */
#ifndef VL_H
#define VL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vl_code {
    VL_OK = 0,
    VL_INVALID,     /* an argument makes no sense for this model */
    VL_IO,          /* a file is missing or cannot be read */
    VL_FORMAT,      /* a file is damaged or is not what it should be */
    VL_UNSUPPORTED, /* well-formed, but of a kind this core does not run */
    VL_LIMIT,       /* larger than a documented limit */
    VL_NOMEM,       /* no memory, thread or descriptor to be had now */
    VL_CANCELLED,   /* a callback asked to stop */
} vl_code;

typedef struct vl_error {
    vl_code code;
    char text[256]; /* one line, no newline, names the object and the limit */
} vl_error;

typedef struct vl_model vl_model;
typedef struct vl_vision vl_vision;
typedef struct vl_text vl_text;
typedef struct vl_context vl_context;

/* ---- model ---------------------------------------------------------------- */

typedef enum vl_compute {
    VL_COMPUTE_AUTO = 0, /* int8 where the weights have 8 or 16 bits, else fp32 */
    VL_COMPUTE_FP32,     /* reference path, through OpenBLAS when it is there */
    VL_COMPUTE_INT8,     /* weights quantised row-wise at load when they are not int8 */
} vl_compute;

typedef struct vl_model_opts {
    uint32_t threads; /* 0 means one per CPU that this process may use */
    vl_compute compute;
} vl_model_opts;

/* Open the checkpoint folder `dir`.  Weights are mapped, checked (shapes, types,
 * ranges, sizes) and packed for this CPU.  NULL and `err` on failure. */
vl_model *vl_model_open(const char *dir, const vl_model_opts *opts, vl_error *err);
vl_model *vl_model_ref(vl_model *model);
void vl_model_unref(vl_model *model);

typedef struct vl_grid {
    uint32_t tiles_w, tiles_h;   /* local tiles */
    uint32_t canvas_w, canvas_h; /* pixels that the local tiles cover together */
} vl_grid;

typedef struct vl_model_info {
    const char *name;   /* config "model_name", or the folder's name */
    const char *family; /* "deepseek-vl2" */
    char sha256[65];    /* over config.json, tokenizer.json and all weights */
    uint64_t parameters;
    uint64_t parameters_token;  /* of the decoder that one token reads */
    uint64_t weight_bytes;      /* resident, as packed */
    uint32_t cache_token_bytes; /* of a conversation, for each position */
    uint32_t vocab, hidden, layers, context_max;
    uint32_t experts, experts_used; /* of an expert layer; 0 without */
    const char *attention;          /* "mha", or "mla": keys and values compressed */
    uint32_t tile, patch, tile_overlap;
    bool has_text_head;
    const char *kernels;  /* "scalar", "avx2", "avx512-vnni" */
    const char *blas;     /* core name of the loaded OpenBLAS, or "none" */
    const char *compute;  /* "fp32" or "int8" */
    const vl_grid *grids; /* the config's candidate grids, in its order */
    size_t grid_count;
} vl_model_info;

/* Borrowed, valid while the model is. */
const vl_model_info *vl_model_get_info(const vl_model *model);

/* ---- tokens --------------------------------------------------------------- */

typedef enum vl_special {
    VL_TOKEN_BOS,
    VL_TOKEN_EOS,
    VL_TOKEN_PAD,
    VL_TOKEN_IMAGE,
    VL_TOKEN_USER,
    VL_TOKEN_ASSISTANT,
    VL_TOKEN_REF,
    VL_TOKEN_REF_END,
    VL_TOKEN_DET,
    VL_TOKEN_DET_END,
    VL_TOKEN_SPECIAL_COUNT
} vl_special;

/* -1 when the tokenizer lacks it. */
int32_t vl_token_special(const vl_model *model, vl_special which);

/* Tokenise UTF-8 text (invalid bytes are kept as bytes; special tokens in the
 * text are NOT recognised, so page text cannot forge them).  Writes at most
 * `ids_max` ids and returns the number the text has; ids may be NULL to count.
 * SIZE_MAX: no memory. */
size_t vl_tokenize(const vl_model *model, const char *text, size_t text_bytes,
                   int32_t *ids, size_t ids_max);

/* The bytes that a token stands for; *bytes 0 for special tokens.  Borrowed. */
const char *vl_token_bytes(const vl_model *model, int32_t id, size_t *bytes);

/* ---- pictures ------------------------------------------------------------- */

/* 8-bit picture, row 0 on top; channels 1 (grey) or 3 (RGB). */
typedef struct vl_image {
    const uint8_t *data;
    uint32_t width, height, channels;
    size_t row_bytes;
} vl_image;

/* The grid that the model's own rule (VL2 section 2.1) takes for a picture of this
 * size, and where the picture lies on the canvas (fitted, centred). */
typedef struct vl_fit {
    vl_grid grid;
    uint32_t width, height; /* of the fitted picture, pixels */
    uint32_t x, y;          /* its corner on the canvas */
} vl_fit;

bool vl_fit_choose(const vl_model *model, uint32_t width, uint32_t height, vl_fit *fit,
                   vl_error *err);
/* The same for a grid of the caller's choice (index into info->grids). */
bool vl_fit_grid(const vl_model *model, size_t grid_index, uint32_t width,
                 uint32_t height, vl_fit *fit, vl_error *err);

/* Return false to stop; called between pieces of work, from the calling thread. */
typedef bool (*vl_progress)(void *user, const char *stage, uint32_t done, uint32_t total);

typedef struct vl_vision_opts {
    const vl_fit *fit;    /* NULL: vl_fit_choose() */
    bool is_text_only;    /* skip the global view: for reading, not for the decoder */
    vl_progress progress; /* may be NULL */
    void *user;
} vl_vision_opts;

/* Run the vision tower.  The picture is not kept. */
vl_vision *vl_vision_new(vl_model *model, const vl_image *image,
                         const vl_vision_opts *opts, vl_error *err);
vl_vision *vl_vision_ref(vl_vision *vision);
void vl_vision_unref(vl_vision *vision);

/* Tokens that the picture takes in the decoder (VL2 section 2.3). */
uint32_t vl_vision_tokens(const vl_vision *vision);

/* ---- text head ------------------------------------------------------------ */

typedef struct vl_char {
    uint32_t code; /* Unicode scalar value */
    float x, y;    /* middle, pixels of the upright page */
    float height;  /* of a capital letter, the same pixels */
    float prob;    /* 0..1 */
    float gap;     /* probability that a blank follows */
    /* what else it may be, the likelier first; 0 for nothing */
    uint32_t other[2];
    float other_prob[2];
} vl_char;

typedef struct vl_word {
    const char *text;     /* UTF-8, without blanks */
    float x0, y0, x1, y1; /* pixels of the upright page */
    float height;         /* of a capital letter */
    float prob;           /* mean over the characters */
    float prob_min;
    uint32_t char_first, char_count; /* into vl_text_chars() */
    uint32_t line;                   /* index of its line of print, in reading order */
} vl_word;

/* Read what a vision has seen.  VL_UNSUPPORTED when the model has no text head. */
vl_text *vl_text_read(const vl_vision *vision, vl_error *err);

/* Draw the page anew, all of it, exactly width x height pixels.  *image stays the caller's
 * and valid until the next call.  Return false to give up reading (VL_CANCELLED). */
typedef bool (*vl_page_draw)(void *user, uint32_t width, uint32_t height,
                             vl_image *image);

typedef struct vl_page_opts {
    uint32_t tiles_max;   /* most tiles of one pass; 0 means 12, at most 64 */
    vl_progress progress; /* may be NULL */
    vl_page_draw draw;    /* NULL: the picture is all that there is */
    void *user;           /* for both */
} vl_page_opts;

/* Read the picture of a page of any size, for its text alone: finds where the print lies,
 * which of four ways it is turned and how it is skewed (up to 8 degrees), and takes the
 * grid of tiles that its height wants.  A page that can be drawn at any size (opts->draw)
 * is drawn once more at just the size of the tiles, never larger than the picture, unless
 * it is skewed; the picture then only serves to measure, and may end with the first call
 * of draw().  VL_UNSUPPORTED when the model has no text head. */
vl_text *vl_page_read(vl_model *model, const vl_image *image, const vl_page_opts *opts,
                      vl_error *err);

/* The upright page: the words' places are on it.  It is the picture itself unless
 * vl_page_read() had to turn it. */
typedef struct vl_upright {
    uint32_t width, height;                 /* pixels */
    uint32_t picture_width, picture_height; /* of the picture as it was given */
    uint32_t quarters; /* clockwise quarter turns that made it upright, 0 .. 3 */
    float degrees;     /* angle of the lines after that, clockwise, taken out */
} vl_upright;
vl_upright vl_text_upright(const vl_text *text);

/* A box of the upright page (x0, y0, x1, y1) to the box around it on the picture. */
void vl_text_to_picture(const vl_text *text, float box[4]);

void vl_text_free(vl_text *text);
const vl_word *vl_text_words(const vl_text *text, size_t *count);
const vl_char *vl_text_chars(const vl_text *text, size_t *count);

/* ---- conversation --------------------------------------------------------- */

typedef struct vl_context_opts {
    uint32_t tokens_max; /* 0 means the model's trained maximum */
} vl_context_opts;

vl_context *vl_context_new(vl_model *model, const vl_context_opts *opts, vl_error *err);
void vl_context_free(vl_context *context);

/* Append to the conversation.  VL_LIMIT when it would not fit. */
bool vl_context_add_tokens(vl_context *context, const int32_t *ids, size_t count,
                           vl_error *err);
bool vl_context_add_vision(vl_context *context, const vl_vision *vision, vl_error *err);

/* Positions filled so far, and going back to an earlier one: several questions
 * about the same page share its prefix. */
uint32_t vl_context_position(const vl_context *context);
void vl_context_rewind(vl_context *context, uint32_t position);

/* Logits [vocab] after the last position; NULL in an empty context.  Borrowed,
 * valid until the context changes. */
const float *vl_context_logits(vl_context *context);

/* A constraint steers generation: before each step it either forces tokens (they are
 * appended without running the sampler) or gives the set of allowed ones. */
typedef enum vl_step {
    VL_STEP_SAMPLE,
    VL_STEP_FORCED,
    VL_STEP_END,
    VL_STEP_FAIL
} vl_step;

typedef struct vl_constraint {
    void *user;
    /* SAMPLE: fill `mask` (bit i of word i/32 set: token i allowed; vocab bits).
     * FORCED: fill forced[0..*forced_count) (at most forced_max).
     * END: the answer is complete.  FAIL: no continuation exists. */
    vl_step (*next)(void *user, uint32_t *mask, int32_t *forced, size_t forced_max,
                    size_t *forced_count);
    /* A token was appended (sampled or forced). */
    void (*accept)(void *user, int32_t token);
    /* Optional: add to the logits of allowed tokens before sampling; may be NULL. */
    void (*bias)(void *user, float *logits);
    /* Optional: before a token is sampled, what is likely to follow: up to `max` tokens into
     * ids, and into is_run_end whether logits will be asked for behind each (so it is sampled,
     * or the last of forced ones).  Returns their count.  They run through the decoder
     * together; the answer and its probabilities are the same without. */
    size_t (*guess)(void *user, int32_t *ids, bool *is_run_end, size_t max);
} vl_constraint;

typedef struct vl_step_info {
    int32_t token;
    bool is_forced;
    float prob;      /* of the token among the allowed ones; 1 when forced */
    float prob_free; /* of the token without the constraint; 1 when forced */
} vl_step_info;

typedef enum vl_end {
    VL_END_EOS,
    VL_END_CONSTRAINT,
    VL_END_LENGTH,
    VL_END_DEAD,
    VL_END_CANCELLED
} vl_end;

typedef struct vl_generate_opts {
    uint32_t tokens_max; /* 0 means 512 */
    float temperature;   /* 0 means greedy */
    float top_p;         /* 0 means 1 */
    uint64_t seed;
    const vl_constraint *constraint; /* may be NULL */
    /* Called after each token; false stops with VL_END_CANCELLED.  May be NULL. */
    bool (*on_token)(void *user, const vl_step_info *step);
    void *user;
} vl_generate_opts;

/* Continue the conversation.  *end says why it stopped.  Tokens go to on_token and
 * into the context; a length limit is an end, not an error. */
bool vl_generate(vl_context *context, const vl_generate_opts *opts, vl_end *end,
                 vl_error *err);

/* Machine facts for `docvl doctor`: runs each product for about `ms` milliseconds. */
typedef struct vl_bench {
    double gflops_fp32; /* one thread, sgemm */
    double gops_int8;   /* one thread, int8 product of the chosen kernels */
    const char *kernels;
    const char *blas;
} vl_bench;
void vl_bench_run(uint32_t ms, vl_bench *bench);

#ifdef __cplusplus
}
#endif
#endif

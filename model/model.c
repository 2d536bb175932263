/*
 * model.c - opening and closing a checkpoint, and what is known about it.
 */
#include "core.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include "util.h"

#define CONFIG_BYTES_MAX (1u << 20)

static uint32_t cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        return (uint32_t)CPU_COUNT(&set);
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}

static bool read_texts(vl_model *m, const char *dir, vl_sha256 *sha, vl_error *err)
{
    size_t config_bytes, tokens_bytes;
    char *tokens_text = NULL;
    vl_json_doc *config = NULL, *tokens = NULL;
    bool is_read = false;
    char *config_text =
        vl_file_read(dir, "config.json", CONFIG_BYTES_MAX, &config_bytes, err);
    if (config_text == NULL)
        goto out;
    config = vl_json_parse(config_text, config_bytes, "config.json", err);
    if (config == NULL || !vl_config_read(&m->config, vl_json_root(config), dir, err))
        goto out;
    tokens_text =
        vl_file_read(dir, "tokenizer.json", VL_TOKENIZER_BYTES_MAX, &tokens_bytes, err);
    if (tokens_text == NULL)
        goto out;
    tokens = vl_json_parse(tokens_text, tokens_bytes, "tokenizer.json", err);
    if (tokens == NULL)
        goto out;
    m->tokenizer = vl_tokenizer_new(vl_json_root(tokens), m->config.vocab, err);
    vl_sha256_add(sha, config_text, config_bytes);
    vl_sha256_add(sha, tokens_text, tokens_bytes);
    is_read = m->tokenizer != NULL;
out:
    vl_json_free(config);
    vl_json_free(tokens);
    free(config_text);
    free(tokens_text);
    return is_read;
}

/* Hashes the weights while they are packed: each takes a core for a while. */
typedef struct hashing {
    const vl_weights *weights;
    vl_sha256 *sha;
    pthread_t thread;
    bool is_apart; /* else there was no thread to be had, and it is done at the end */
} hashing;

static void *hash_weights(void *data)
{
    const hashing *h = data;
    vl_weights_hash(h->weights, h->sha);
    return NULL;
}

static void start_hash(hashing *h)
{
    h->is_apart = pthread_create(&h->thread, NULL, hash_weights, h) == 0;
}

static void end_hash(hashing *h)
{
    if (h->is_apart)
        pthread_join(h->thread, NULL);
    else
        hash_weights(h);
}

static void fill_info(vl_model *m, vl_sha256 *sha)
{
    const vl_config *c = &m->config;
    vl_model_info *info = &m->info;
    vl_sha256_hex(sha, info->sha256);
    info->name = c->name;
    info->family = "deepseek-vl2";
    info->vocab = c->vocab;
    info->hidden = c->hidden;
    info->layers = c->layers;
    info->context_max = c->context_max;
    info->experts = c->experts;
    info->experts_used = c->experts_used;
    info->attention = c->is_latent ? "mla" : "mha";
    info->cache_token_bytes = vl_kvcache_token_bytes(c);
    info->tile = c->tile;
    info->patch = c->patch;
    info->tile_overlap = c->tile_overlap;
    info->has_text_head = m->text_head != NULL;
    info->kernels = vl_kernels_name();
    info->blas = vl_blas_name();
    info->compute = m->compute == VL_COMPUTE_INT8 ? "int8" : "fp32";
    info->grids = c->grids;
    info->grid_count = c->grid_count;
}

static bool open_all(vl_model *m, const char *dir, const vl_model_opts *opts,
                     vl_error *err)
{
    vl_sha256 sha;
    vl_sha256_init(&sha);
    if (!read_texts(m, dir, &sha, err))
        return false;
    m->weights = vl_weights_open(dir, err);
    if (m->weights == NULL)
        return false;
    m->pool = vl_pool_new(opts->threads != 0 ? opts->threads : cpu_count(), err);
    if (m->pool == NULL)
        return false;
    const vl_tensor *first = vl_weights_get(m->weights, "vision.patch_embed.proj.weight");
    m->compute = opts->compute;
    if (m->compute == VL_COMPUTE_AUTO)
        m->compute =
            first != NULL && first->dtype != VL_F32 ? VL_COMPUTE_INT8 : VL_COMPUTE_FP32;
    hashing h = { .weights = m->weights, .sha = &sha };
    start_hash(&h);
    bool is_built = vl_build(m, err);
    end_hash(&h);
    if (is_built)
        fill_info(m, &sha);
    return is_built;
}

vl_model *vl_model_open(const char *dir, const vl_model_opts *opts, vl_error *err)
{
    static const vl_model_opts defaults = { 0 };
    vl_model *m = calloc(1, sizeof *m);
    if (m == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for a model");
    atomic_init(&m->refs, 1);
    if (!open_all(m, dir, opts != NULL ? opts : &defaults, err)) {
        vl_model_unref(m);
        return NULL;
    }
    return m;
}

vl_model *vl_model_ref(vl_model *m)
{
    atomic_fetch_add(&m->refs, 1);
    return m;
}

void vl_model_unref(vl_model *m)
{
    if (m == NULL || atomic_fetch_sub(&m->refs, 1) != 1)
        return;
    vl_build_clear(m);
    vl_tokenizer_free(m->tokenizer);
    vl_weights_free(m->weights);
    vl_pool_free(m->pool);
    free(m->config.chars);
    free(m);
}

const vl_model_info *vl_model_get_info(const vl_model *m)
{
    return &m->info;
}

int32_t vl_token_special(const vl_model *m, vl_special which)
{
    return vl_tokenizer_special(m->tokenizer, which);
}

size_t vl_tokenize(const vl_model *m, const char *text, size_t text_bytes, int32_t *ids,
                   size_t ids_max)
{
    return vl_tokenizer_encode(m->tokenizer, text, text_bytes, ids, ids_max);
}

const char *vl_token_bytes(const vl_model *m, int32_t id, size_t *bytes)
{
    return vl_tokenizer_bytes(m->tokenizer, id, bytes);
}

bool vl_fit_choose(const vl_model *m, uint32_t width, uint32_t height, vl_fit *fit,
                   vl_error *err)
{
    return vl_fit_choose_config(&m->config, width, height, fit, err);
}

bool vl_fit_grid(const vl_model *m, size_t grid_index, uint32_t width, uint32_t height,
                 vl_fit *fit, vl_error *err)
{
    return vl_fit_grid_config(&m->config, grid_index, width, height, fit, err);
}

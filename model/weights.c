/*
 * weights.c - safetensors reader.
 *
 * A file is an eight byte length, a JSON header and one block of numbers.  Everything
 * in the header is hostile until compared: offsets lie in the block, their length
 * follows from type and shape, and together the tensors cover the block exactly once.
 * A mapped file that another process truncates later raises SIGBUS: checkpoints are
 * installed by renaming, never rewritten in place.
 */
#include "weights.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "json.h"
#include "util.h"

#define INDEX_NAME      "model.safetensors.index.json"
#define INDEX_BYTES_MAX (16u << 20)
#define HASH_BYTES      ((size_t)16 << 20)

typedef struct shard {
    uint8_t *data;
    size_t bytes;
    vl_json_doc *header;
} shard;

struct vl_weights {
    shard *shards;
    size_t shard_count;
    vl_tensor *tensors; /* sorted by name */
    size_t tensor_count;
};

/* The whole pages in a stretch of a mapping go back to the page cache. */
static void release(const uint8_t *data, size_t bytes)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)data + bytes) / page * page;
    if (first < end)
        (void)madvise((void *)first, end - first, MADV_DONTNEED); /* only a hint */
}

/* What the system has run out of may be there again in a moment. */
static vl_code code_of(int failed)
{
    return failed == ENOMEM || failed == EMFILE || failed == ENFILE || failed == EAGAIN
               ? VL_NOMEM
               : VL_IO;
}

static int file_open(const char *dir, const char *name, struct stat *st, vl_error *err)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path) {
        (void)vl_fail(err, VL_LIMIT, "%.80s: path longer than %zu bytes", name,
                      sizeof path);
        return -1;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, st) != 0) {
        (void)vl_fail(err, code_of(errno), "%.160s: %s", path, strerror(errno));
    } else if (!S_ISREG(st->st_mode)) {
        (void)vl_fail(err, VL_IO, "%.160s: not a file", path);
    } else {
        return fd;
    }
    if (fd >= 0)
        (void)close(fd); /* nothing was written */
    return -1;
}

char *vl_file_read(const char *dir, const char *name, size_t bytes_max, size_t *bytes,
                   vl_error *err)
{
    struct stat st;
    int fd = file_open(dir, name, &st, err);
    if (fd < 0)
        return NULL;
    char *text = NULL;
    size_t size = (size_t)st.st_size, done = 0;
    if ((uint64_t)st.st_size > bytes_max) {
        (void)vl_fail(err, VL_LIMIT, "%.80s: %zu bytes, limit %zu", name, size,
                      bytes_max);
        goto out;
    }
    text = malloc(size + 1);
    if (text == NULL) {
        (void)vl_fail(err, VL_NOMEM, "%.80s: no memory for %zu bytes", name, size);
        goto out;
    }
    while (done < size) {
        ssize_t n = read(fd, text + done, size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            (void)vl_fail(err, n < 0 ? code_of(errno) : VL_IO, "%.80s: %s", name,
                          n < 0 ? strerror(errno) : "became shorter while it was read");
            free(text);
            text = NULL;
            goto out;
        }
        done += (size_t)n;
    }
    text[size] = '\0';
    *bytes = size;
out:
    (void)close(fd); /* nothing was written */
    return text;
}

static bool tensor_dtype(const vl_json *value, vl_dtype *dtype)
{
    static const struct {
        const char *name;
        vl_dtype dtype;
    } types[] = {
        { "F32", VL_F32 }, { "F16", VL_F16 }, { "BF16", VL_BF16 }, { "I8", VL_I8 }
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (vl_json_is(value, types[i].name)) {
            *dtype = types[i].dtype;
            return true;
        }
    return false;
}

static bool tensor_read(const vl_json *entry, const uint8_t *block, size_t block_bytes,
                        const char *file, vl_tensor *tensor, vl_error *err)
{
    const vl_json *shape = vl_json_get(entry, "shape");
    const vl_json *offsets = vl_json_get(entry, "data_offsets");
    uint64_t range[2], count = 1;
    if (!tensor_dtype(vl_json_get(entry, "dtype"), &tensor->dtype))
        return vl_fail(err, VL_UNSUPPORTED,
                       "%.60s: tensor %.80s has a type other than F32, F16, BF16 and I8",
                       file, entry->key) != NULL;
    if (shape == NULL || shape->type != VL_JSON_ARRAY ||
        shape->count > VL_WEIGHTS_NDIM_MAX || offsets == NULL ||
        offsets->type != VL_JSON_ARRAY || offsets->count != 2 ||
        !vl_json_uint(offsets->child, block_bytes, &range[0]) ||
        !vl_json_uint(offsets->child->next, block_bytes, &range[1]) ||
        range[0] > range[1])
        return vl_fail(err, VL_FORMAT, "%.60s: tensor %.80s: bad shape or offsets", file,
                       entry->key) != NULL;
    for (const vl_json *side = shape->child; side != NULL; side = side->next) {
        uint64_t n;
        if (!vl_json_uint(side, UINT32_MAX, &n) || n == 0 ||
            __builtin_mul_overflow(count, n, &count))
            return vl_fail(err, VL_FORMAT, "%.60s: tensor %.80s: bad shape", file,
                           entry->key) != NULL;
        tensor->shape[tensor->ndim++] = n;
    }
    if (count > block_bytes ||
        count * vl_dtype_bytes(tensor->dtype) != range[1] - range[0])
        return vl_fail(err, VL_FORMAT,
                       "%.60s: tensor %.80s: size does not follow its shape", file,
                       entry->key) != NULL;
    tensor->name = entry->key;
    tensor->data = block + range[0];
    tensor->bytes = range[1] - range[0];
    tensor->count = count;
    return true;
}

static int compare_places(const void *a, const void *b)
{
    const vl_tensor *x = a, *y = b;
    return (x->data > y->data) - (x->data < y->data);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const vl_tensor *)a)->name, ((const vl_tensor *)b)->name);
}

/* The tensors of one mapped file behind those already there. */
static bool shard_read(vl_weights *w, shard *s, const char *file, vl_error *err)
{
    uint64_t header_bytes = 0;
    if (s->bytes < 8)
        return vl_fail(err, VL_FORMAT, "%.80s: too short", file) != NULL;
    for (unsigned i = 0; i < 8; i++)
        header_bytes |= (uint64_t)s->data[i] << (8 * i);
    if (header_bytes > VL_WEIGHTS_HEADER_BYTES_MAX)
        return vl_fail(err, VL_LIMIT, "%.80s: header of %llu bytes, limit %u", file,
                       (unsigned long long)header_bytes,
                       VL_WEIGHTS_HEADER_BYTES_MAX) != NULL;
    if (header_bytes > s->bytes - 8)
        return vl_fail(err, VL_FORMAT, "%.80s: truncated header", file) != NULL;
    s->header = vl_json_parse((const char *)s->data + 8, header_bytes, file, err);
    if (s->header == NULL)
        return false;
    const vl_json *root = vl_json_root(s->header);
    if (root->type != VL_JSON_OBJECT)
        return vl_fail(err, VL_FORMAT, "%.80s: header is no object", file) != NULL;
    if (root->count + w->tensor_count > VL_WEIGHTS_TENSORS_MAX)
        return vl_fail(err, VL_LIMIT, "%.80s: more than %d tensors", file,
                       VL_WEIGHTS_TENSORS_MAX) != NULL;
    vl_tensor *grown =
        realloc(w->tensors, (w->tensor_count + root->count + 1) * sizeof *grown);
    if (grown == NULL)
        return vl_fail(err, VL_NOMEM, "%.80s: no memory for its header", file) != NULL;
    w->tensors = grown;

    const uint8_t *block = s->data + 8 + header_bytes;
    size_t block_bytes = s->bytes - 8 - header_bytes, n = 0;
    vl_tensor *first = grown + w->tensor_count;
    for (const vl_json *entry = root->child; entry != NULL; entry = entry->next) {
        if (strcmp(entry->key, "__metadata__") == 0)
            continue;
        if (strlen(entry->key) != entry->key_bytes)
            return vl_fail(err, VL_FORMAT, "%.80s: zero byte in a name", file) != NULL;
        first[n] = (vl_tensor){ 0 };
        if (!tensor_read(entry, block, block_bytes, file, &first[n], err))
            return false;
        n++;
    }
    qsort(first, n, sizeof *first, compare_places);
    const uint8_t *at = block;
    for (size_t i = 0; i < n; at += first[i++].bytes)
        if (first[i].data != at)
            return vl_fail(err, VL_FORMAT,
                           "%.60s: tensor %.80s overlaps or leaves a hole", file,
                           first[i].name) != NULL;
    if (at != block + block_bytes)
        return vl_fail(err, VL_FORMAT, "%.80s: %zu bytes behind the last tensor", file,
                       (size_t)(block + block_bytes - at)) != NULL;
    w->tensor_count += n;
    return true;
}

static bool shard_add(vl_weights *w, const char *dir, const char *file, vl_error *err)
{
    struct stat st;
    int fd = file_open(dir, file, &st, err);
    if (fd < 0)
        return false;
    shard *s = &w->shards[w->shard_count];
    void *data = st.st_size > 0
                     ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)
                     : NULL;
    int mapped_errno = errno;
    (void)close(fd); /* the mapping stays */
    if (data == MAP_FAILED)
        return vl_fail(err, code_of(mapped_errno), "%.80s: %s", file,
                       strerror(mapped_errno)) != NULL;
    *s = (shard){ .data = data, .bytes = (size_t)st.st_size };
    w->shard_count++;
    return shard_read(w, s, file, err);
}

static bool shard_name_is_plain(const vl_json *value)
{
    static const char tail[] = ".safetensors";
    return value->type == VL_JSON_STRING && value->text_bytes == strlen(value->text) &&
           value->text_bytes > sizeof tail - 1 && value->text_bytes < 200 &&
           value->text[0] != '.' && strchr(value->text, '/') == NULL &&
           strcmp(value->text + value->text_bytes - (sizeof tail - 1), tail) == 0;
}

static bool index_read(vl_weights *w, const char *dir, const vl_json *root, vl_error *err)
{
    const vl_json *map = vl_json_get(root, "weight_map");
    const char *names[VL_WEIGHTS_SHARDS_MAX];
    size_t count = 0;
    if (map == NULL || map->type != VL_JSON_OBJECT)
        return vl_fail(err, VL_FORMAT, INDEX_NAME ": no weight_map") != NULL;
    for (const vl_json *entry = map->child; entry != NULL; entry = entry->next) {
        size_t i = 0;
        if (!shard_name_is_plain(entry))
            return vl_fail(err, VL_FORMAT, INDEX_NAME ": bad file name for %.80s",
                           entry->key) != NULL;
        while (i < count && strcmp(names[i], entry->text) != 0)
            i++;
        if (i < count)
            continue;
        if (count == VL_WEIGHTS_SHARDS_MAX)
            return vl_fail(err, VL_LIMIT, INDEX_NAME ": more than %d files",
                           VL_WEIGHTS_SHARDS_MAX) != NULL;
        names[count++] = entry->text;
    }
    for (size_t i = 0; i < count; i++)
        if (!shard_add(w, dir, names[i], err))
            return false;
    return true;
}

/* By name; a name in two files, or none at all, is an error. */
static bool tensors_sort(vl_weights *w, vl_error *err)
{
    if (w->tensor_count == 0)
        return vl_fail(err, VL_FORMAT, "the weights hold no tensor") != NULL;
    qsort(w->tensors, w->tensor_count, sizeof *w->tensors, compare_names);
    for (size_t i = 1; i < w->tensor_count; i++)
        if (compare_names(&w->tensors[i - 1], &w->tensors[i]) == 0)
            return vl_fail(err, VL_FORMAT, "tensor %.80s is in two files",
                           w->tensors[i].name) != NULL;
    return true;
}

/* Every tensor that the index promises must be in its files. */
static bool index_check(const vl_weights *w, const vl_json *root, vl_error *err)
{
    const vl_json *map = vl_json_get(root, "weight_map");
    for (const vl_json *entry = map->child; entry != NULL; entry = entry->next)
        if (vl_weights_get(w, entry->key) == NULL)
            return vl_fail(err, VL_FORMAT, INDEX_NAME ": %.80s is not in %.80s",
                           entry->key, entry->text) != NULL;
    return true;
}

static bool open_all(vl_weights *w, const char *dir, vl_error *err)
{
    vl_error index_err = { 0 };
    size_t bytes;
    char *text = vl_file_read(dir, INDEX_NAME, INDEX_BYTES_MAX, &bytes, &index_err);
    if (text == NULL && index_err.code != VL_IO) {
        *err = index_err;
        return false;
    }
    if (text == NULL)
        return shard_add(w, dir, "model.safetensors", err) && tensors_sort(w, err);
    vl_json_doc *doc = vl_json_parse(text, bytes, INDEX_NAME, err);
    bool is_read = doc != NULL && index_read(w, dir, vl_json_root(doc), err) &&
                   tensors_sort(w, err) && index_check(w, vl_json_root(doc), err);
    vl_json_free(doc);
    free(text);
    return is_read;
}

vl_weights *vl_weights_open(const char *dir, vl_error *err)
{
    vl_weights *w = calloc(1, sizeof *w);
    if (w != NULL)
        w->shards = calloc(VL_WEIGHTS_SHARDS_MAX, sizeof *w->shards);
    if (w == NULL || w->shards == NULL) {
        vl_weights_free(w);
        return vl_fail(err, VL_NOMEM, "no memory to open the weights");
    }
    if (!open_all(w, dir, err)) {
        vl_weights_free(w);
        return NULL;
    }
    return w;
}

void vl_weights_free(vl_weights *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; i < w->shard_count; i++) {
        vl_json_free(w->shards[i].header);
        if (w->shards[i].data != NULL)
            (void)munmap(w->shards[i].data, w->shards[i].bytes); /* our own mapping */
    }
    free(w->shards);
    free(w->tensors);
    free(w);
}

const vl_tensor *vl_weights_get(const vl_weights *w, const char *name)
{
    vl_tensor key = { .name = name };
    return bsearch(&key, w->tensors, w->tensor_count, sizeof key, compare_names);
}

size_t vl_weights_count(const vl_weights *w)
{
    return w->tensor_count;
}

void vl_weights_hash(const vl_weights *w, vl_sha256 *sha)
{
    for (size_t i = 0; i < w->shard_count; i++)
        for (size_t at = 0; at < w->shards[i].bytes; at += HASH_BYTES) {
            size_t left = w->shards[i].bytes - at;
            size_t part = left < HASH_BYTES ? left : HASH_BYTES;
            vl_sha256_add(sha, w->shards[i].data + at, part);
            release(w->shards[i].data + at, part);
        }
}

void vl_weights_release(const vl_weights *w, const vl_tensor *tensor)
{
    assert(w->tensor_count > 0);
    release(tensor->data, tensor->bytes);
}

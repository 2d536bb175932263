/*
 * tokenizer.c - byte-level BPE.
 *
 * Text is cut into words (by the patterns of split.c, or single digits and then the
 * GPT-2 pattern, which is written out here), and in each word the pair of lowest rank is
 * merged until none is left.  A heap of the pairs keeps a word of n bytes at n log n:
 * page text can hold a "word" of megabytes.  Added tokens are only names for ids here
 * and are never looked for in text.
 */
#include "tokenizer.h"

#include <assert.h>

#include "chars.h"
#include "split.h"
#include "util.h"

/* A longer word is cut: a bound on scratch memory, far above any print. */
#define WORD_BYTES_MAX (1u << 22)
#define NONE           UINT32_MAX

typedef struct token {
    uint32_t at, bytes; /* in `store` */
    bool is_special;
} token;

typedef struct merge {
    uint32_t left, right, rank, id; /* left NONE: free */
} merge;

struct vl_tokenizer {
    vl_split *split; /* NULL: digits and the GPT-2 pattern */
    token *tokens;   /* [token_count], index is the id */
    uint32_t token_count;
    char *store;
    size_t store_used;
    uint32_t byte_ids[256];
    uint32_t *names; /* hash of the ids by bytes, NONE free */
    size_t name_mask;
    merge *merges; /* hash by pair */
    size_t merge_mask;
    int32_t special[VL_TOKEN_SPECIAL_COUNT];
};

static const char *const special_names[VL_TOKEN_SPECIAL_COUNT] = {
    [VL_TOKEN_BOS] = "<｜begin▁of▁sentence｜>",
    [VL_TOKEN_EOS] = "<｜end▁of▁sentence｜>",
    [VL_TOKEN_PAD] = "<｜▁pad▁｜>",
    [VL_TOKEN_IMAGE] = "<image>",
    [VL_TOKEN_USER] = "<|User|>",
    [VL_TOKEN_ASSISTANT] = "<|Assistant|>",
    [VL_TOKEN_REF] = "<|ref|>",
    [VL_TOKEN_REF_END] = "<|/ref|>",
    [VL_TOKEN_DET] = "<|det|>",
    [VL_TOKEN_DET_END] = "<|/det|>",
};

/* ---- characters ---- */

typedef enum kind { KIND_OTHER, KIND_LETTER, KIND_NUMBER, KIND_SPACE, KIND_END } kind;

/* The character at p; a byte that is no UTF-8 stands for itself and is KIND_OTHER. */
static kind char_read(const uint8_t *p, const uint8_t *end, uint32_t *code, size_t *bytes)
{
    if (p >= end) {
        *bytes = 0;
        return KIND_END;
    }
    *bytes = vl_char_decode(p, end, code);
    switch (*code == VL_CHAR_NONE ? 0 : vl_char_classes(*code)) {
    case VL_CHAR_LETTER:
        return KIND_LETTER;
    case VL_CHAR_NUMBER:
        return KIND_NUMBER;
    case VL_CHAR_SPACE:
        return KIND_SPACE;
    default:
        return KIND_OTHER;
    }
}

/* ---- words ---- */

/* End of the run of characters of one kind. */
static const uint8_t *run_end(const uint8_t *p, const uint8_t *end, kind of)
{
    uint32_t code;
    size_t bytes;
    while (char_read(p, end, &code, &bytes) == of)
        p += bytes;
    return p;
}

static size_t contraction_bytes(const uint8_t *p, const uint8_t *end)
{
    static const char *const tails[] = { "s", "t", "re", "ve", "m", "ll", "d" };
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        size_t n = strlen(tails[i]);
        if ((size_t)(end - p) > n && memcmp(p + 1, tails[i], n) == 0)
            return n + 1;
    }
    return 0;
}

/* The word that starts at p (p < end): a number character alone, else GPT-2's pattern
 * 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * on the stretch between number characters: a blank before one stays by itself. */
static const uint8_t *word_end(const uint8_t *p, const uint8_t *end)
{
    uint32_t code, next_code;
    size_t bytes, next_bytes;
    kind first = char_read(p, end, &code, &bytes);
    if (first == KIND_NUMBER)
        return p + bytes;
    if (code == '\'' && contraction_bytes(p, end) > 0)
        return p + contraction_bytes(p, end);
    if (first != KIND_SPACE)
        return run_end(p, end, first);
    kind next = char_read(p + bytes, end, &next_code, &next_bytes);
    if (code == ' ' && (next == KIND_LETTER || next == KIND_OTHER))
        return run_end(p + bytes, end, next);
    const uint8_t *blanks_end = run_end(p, end, KIND_SPACE);
    next = char_read(blanks_end, end, &next_code, &next_bytes);
    if (next == KIND_END || next == KIND_NUMBER)
        return blanks_end;
    /* The last blank of several goes with what follows. */
    const uint8_t *last = blanks_end - 1;
    while (last > p && (*last & 0xc0) == 0x80)
        last--;
    return last > p ? last : blanks_end;
}

/* ---- hashes ---- */

static size_t hash_bytes(const char *text, size_t bytes)
{
    uint64_t hash = 1469598103934665603u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (uint8_t)text[i]) * 1099511628211u;
    return (size_t)(hash ^ hash >> 29);
}

static size_t hash_pair(uint32_t left, uint32_t right)
{
    uint64_t hash = ((uint64_t)left << 32 | right) * 0x9e3779b97f4a7c15u;
    return (size_t)(hash ^ hash >> 31);
}

/* Slot of a name: the id's, or the free one where it belongs. */
static uint32_t *name_slot(const vl_tokenizer *t, const char *text, size_t bytes)
{
    for (size_t i = hash_bytes(text, bytes) & t->name_mask;; i = (i + 1) & t->name_mask) {
        uint32_t id = t->names[i];
        if (id == NONE || (t->tokens[id].bytes == bytes &&
                           memcmp(t->store + t->tokens[id].at, text, bytes) == 0))
            return &t->names[i];
    }
}

static merge *merge_slot(const vl_tokenizer *t, uint32_t left, uint32_t right)
{
    for (size_t i = hash_pair(left, right) & t->merge_mask;;
         i = (i + 1) & t->merge_mask) {
        merge *m = &t->merges[i];
        if (m->left == NONE || (m->left == left && m->right == right))
            return m;
    }
}

static size_t table_size(size_t count)
{
    size_t size = 64;
    while (size < 2 * count)
        size *= 2;
    return size;
}

/* ---- loading ---- */

#define VISIBLE_MAX 324 /* 256 bytes, 68 of them moved behind them */

/* Byte of each visible character that stands for one in byte-level files, or -1. */
static void visible_fill(int16_t bytes[VISIBLE_MAX])
{
    int16_t shifted = 256;
    for (int16_t i = 0; i < VISIBLE_MAX; i++)
        bytes[i] = -1;
    for (int16_t byte = 0; byte < 256; byte++) {
        bool is_visible = (byte >= 0x21 && byte <= 0x7e) ||
                          (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        bytes[is_visible ? byte : shifted++] = byte;
    }
    assert(shifted == VISIBLE_MAX);
}

/* The bytes that a vocabulary entry stands for; false when it is no byte-level text. */
static bool visible_decode(const int16_t visible[VISIBLE_MAX], const char *text,
                           size_t bytes, char *out, size_t *out_bytes)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + bytes;
    size_t n = 0;
    while (p < end) {
        uint32_t code;
        p += vl_char_decode(p, end, &code);
        if (code >= VISIBLE_MAX || visible[code] < 0 || n == VL_TOKEN_BYTES_MAX)
            return false;
        out[n++] = (char)visible[code];
    }
    *out_bytes = n;
    return n > 0;
}

/* Nothing, or a list of nothing. */
static bool changes_nothing(const vl_json *normalizer)
{
    if (normalizer == NULL || normalizer->type == VL_JSON_NULL)
        return true;
    const vl_json *list = vl_json_get(normalizer, "normalizers");
    return vl_json_is(vl_json_get(normalizer, "type"), "Sequence") && list != NULL &&
           list->type == VL_JSON_ARRAY && list->count == 0;
}

/* Digits (individual) before ByteLevel with its own pattern: word_end(). */
static bool is_plain(const vl_json *list)
{
    const vl_json *digits = list->child;
    const vl_json *level = digits != NULL ? digits->next : NULL;
    const vl_json *single = vl_json_get(digits, "individual_digits");
    const vl_json *prefix = vl_json_get(level, "add_prefix_space");
    const vl_json *regex = vl_json_get(level, "use_regex");
    return level != NULL && level->next == NULL &&
           vl_json_is(vl_json_get(digits, "type"), "Digits") &&
           vl_json_is(vl_json_get(level, "type"), "ByteLevel") && single != NULL &&
           single->number == 1 && prefix != NULL && prefix->number == 0 &&
           (regex == NULL || regex->number == 1);
}

static bool read_pre_tokenizer(vl_tokenizer *t, const vl_json *root, vl_error *err)
{
    const vl_json *pre = vl_json_get(root, "pre_tokenizer");
    const vl_json *list = vl_json_get(pre, "pretokenizers");
    if (!changes_nothing(vl_json_get(root, "normalizer")))
        return vl_fail(err, VL_UNSUPPORTED, "tokenizer.json: a normalizer") != NULL;
    if (!vl_json_is(vl_json_get(pre, "type"), "Sequence") || list == NULL ||
        list->type != VL_JSON_ARRAY)
        return vl_fail(err, VL_UNSUPPORTED,
                       "tokenizer.json: the pre-tokenizer is no Sequence") != NULL;
    if (is_plain(list))
        return true;
    t->split = vl_split_new(list, err);
    return t->split != NULL;
}

static bool token_set(vl_tokenizer *t, uint64_t id, const char *text, size_t bytes,
                      bool is_special)
{
    if (t->tokens[id].bytes != 0 || t->tokens[id].is_special)
        return false;
    t->tokens[id] = (token){ (uint32_t)t->store_used, (uint32_t)bytes, is_special };
    memcpy(t->store + t->store_used, text, bytes);
    t->store_used += bytes;
    return true;
}

/* Added tokens first: an id that is also in the vocabulary keeps its role here. */
static bool read_added(vl_tokenizer *t, const vl_json *added, vl_error *err)
{
    if (added == NULL)
        return true;
    if (added->type != VL_JSON_ARRAY)
        return vl_fail(err, VL_FORMAT, "tokenizer.json: added_tokens is no list") != NULL;
    for (const vl_json *entry = added->child; entry != NULL; entry = entry->next) {
        const vl_json *content = vl_json_get(entry, "content");
        const vl_json *special = vl_json_get(entry, "special");
        uint64_t id;
        if (!vl_json_uint(vl_json_get(entry, "id"), t->token_count - 1, &id) ||
            content == NULL || content->type != VL_JSON_STRING ||
            content->text_bytes == 0 || content->text_bytes > VL_TOKEN_BYTES_MAX)
            return vl_fail(err, VL_FORMAT, "tokenizer.json: bad added token") != NULL;
        bool is_special = special != NULL && special->number == 1;
        if (!token_set(t, id, content->text, content->text_bytes, is_special))
            return vl_fail(err, VL_FORMAT, "tokenizer.json: id %llu is used twice",
                           (unsigned long long)id) != NULL;
        for (size_t i = 0; i < VL_TOKEN_SPECIAL_COUNT; i++)
            if (vl_json_is(content, special_names[i]))
                t->special[i] = (int32_t)id;
    }
    return true;
}

/* C0, C1 and F5 to FF are in no UTF-8, and the published vocabularies lack them. */
static bool is_never_text(unsigned byte)
{
    return byte == 0xc0 || byte == 0xc1 || byte >= 0xf5;
}

static bool read_vocab(vl_tokenizer *t, const int16_t visible[VISIBLE_MAX],
                       const vl_json *vocab, vl_error *err)
{
    char bytes[VL_TOKEN_BYTES_MAX];
    size_t count;
    for (const vl_json *entry = vocab->child; entry != NULL; entry = entry->next) {
        uint64_t id;
        if (!vl_json_uint(entry, t->token_count - 1, &id))
            return vl_fail(err, VL_FORMAT,
                           "tokenizer.json: bad id of \"%.40s\", limit %u", entry->key,
                           t->token_count - 1) != NULL;
        const token *old = &t->tokens[id];
        if (old->bytes == entry->key_bytes &&
            memcmp(t->store + old->at, entry->key, entry->key_bytes) == 0)
            continue; /* an added token that the vocabulary lists as well */
        if (!visible_decode(visible, entry->key, entry->key_bytes, bytes, &count))
            return vl_fail(err, VL_FORMAT,
                           "tokenizer.json: \"%.40s\" is no byte-level text",
                           entry->key) != NULL;
        if (!token_set(t, id, bytes, count, false))
            return vl_fail(err, VL_FORMAT, "tokenizer.json: id %llu is used twice",
                           (unsigned long long)id) != NULL;
        uint32_t *slot = name_slot(t, bytes, count);
        assert(*slot == NONE); /* keys differ, so their bytes do */
        *slot = (uint32_t)id;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        t->byte_ids[byte] = *name_slot(t, &c, 1);
        if (t->byte_ids[byte] == NONE && is_never_text(byte))
            t->byte_ids[byte] = t->byte_ids['?'];
        if (t->byte_ids[byte] == NONE)
            return vl_fail(err, VL_FORMAT, "tokenizer.json: no token for byte %u",
                           byte) != NULL;
    }
    return true;
}

/* The two halves of a merge, written as "a b" or as ["a", "b"]. */
static bool merge_halves(const vl_json *entry, const char *half[2], size_t bytes[2])
{
    if (entry->type == VL_JSON_STRING) {
        const char *gap = memchr(entry->text, ' ', entry->text_bytes);
        if (gap == NULL)
            return false;
        half[0] = entry->text;
        bytes[0] = (size_t)(gap - entry->text);
        half[1] = gap + 1;
        bytes[1] = entry->text_bytes - bytes[0] - 1;
        return true;
    }
    if (entry->type != VL_JSON_ARRAY || entry->count != 2)
        return false;
    const vl_json *part = entry->child;
    for (size_t i = 0; i < 2; i++, part = part->next) {
        if (part->type != VL_JSON_STRING)
            return false;
        half[i] = part->text;
        bytes[i] = part->text_bytes;
    }
    return true;
}

static bool read_merges(vl_tokenizer *t, const int16_t visible[VISIBLE_MAX],
                        const vl_json *merges, vl_error *err)
{
    char joined[2 * VL_TOKEN_BYTES_MAX];
    uint32_t rank = 0;
    for (const vl_json *entry = merges->child; entry != NULL;
         entry = entry->next, rank++) {
        const char *half[2];
        size_t bytes[2], used = 0;
        uint32_t id[2] = { NONE, NONE };
        bool is_good = merge_halves(entry, half, bytes);
        for (size_t i = 0; is_good && i < 2; i++) {
            size_t n;
            is_good = visible_decode(visible, half[i], bytes[i], joined + used, &n);
            if (is_good) {
                id[i] = *name_slot(t, joined + used, n);
                used += n;
            }
        }
        uint32_t whole = is_good ? *name_slot(t, joined, used) : NONE;
        if (id[0] == NONE || id[1] == NONE || whole == NONE)
            return vl_fail(err, VL_FORMAT,
                           "tokenizer.json: merge %u is not made of vocabulary entries",
                           rank) != NULL;
        merge *slot = merge_slot(t, id[0], id[1]);
        if (slot->left == NONE)
            *slot = (merge){ id[0], id[1], rank, whole };
    }
    return true;
}

static bool read_all(vl_tokenizer *t, const vl_json *root, vl_error *err)
{
    const vl_json *model = vl_json_get(root, "model");
    const vl_json *vocab = vl_json_get(model, "vocab");
    const vl_json *merges = vl_json_get(model, "merges");
    const vl_json *added = vl_json_get(root, "added_tokens");
    if (!read_pre_tokenizer(t, root, err))
        return false;
    if (!vl_json_is(vl_json_get(model, "type"), "BPE"))
        return vl_fail(err, VL_UNSUPPORTED, "tokenizer.json: only BPE models") != NULL;
    if (vocab == NULL || vocab->type != VL_JSON_OBJECT || merges == NULL ||
        merges->type != VL_JSON_ARRAY)
        return vl_fail(err, VL_FORMAT, "tokenizer.json: no vocab or no merges") != NULL;
    if (vocab->count > t->token_count || merges->count > VL_TOKENS_MAX)
        return vl_fail(err, VL_FORMAT, "tokenizer.json: %u tokens for a model of %u",
                       vocab->count, t->token_count) != NULL;
    size_t names = table_size(vocab->count), pairs = table_size(merges->count), bytes = 1;
    for (const vl_json *entry = vocab->child; entry != NULL; entry = entry->next)
        bytes += entry->key_bytes;
    for (const vl_json *e = added != NULL ? added->child : NULL; e != NULL; e = e->next) {
        const vl_json *content = vl_json_get(e, "content");
        bytes += content != NULL ? content->text_bytes : 0;
    }
    t->tokens = calloc(t->token_count, sizeof *t->tokens);
    t->store = malloc(bytes);
    t->names = malloc(names * sizeof *t->names);
    t->merges = malloc(pairs * sizeof *t->merges);
    if (t->tokens == NULL || t->store == NULL || t->names == NULL || t->merges == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for the tokenizer") != NULL;
    memset(t->names, 0xff, names * sizeof *t->names);
    memset(t->merges, 0xff, pairs * sizeof *t->merges);
    t->name_mask = names - 1;
    t->merge_mask = pairs - 1;
    for (size_t i = 0; i < VL_TOKEN_SPECIAL_COUNT; i++)
        t->special[i] = -1;
    int16_t visible[VISIBLE_MAX];
    visible_fill(visible);
    return read_added(t, added, err) && read_vocab(t, visible, vocab, err) &&
           read_merges(t, visible, merges, err);
}

vl_tokenizer *vl_tokenizer_new(const vl_json *root, uint32_t vocab, vl_error *err)
{
    assert(vocab > 0);
    assert(vocab <= VL_TOKENS_MAX);
    vl_tokenizer *t = calloc(1, sizeof *t);
    if (t == NULL)
        return vl_fail(err, VL_NOMEM, "no memory for the tokenizer");
    t->token_count = vocab;
    if (!read_all(t, root, err)) {
        vl_tokenizer_free(t);
        return NULL;
    }
    return t;
}

void vl_tokenizer_free(vl_tokenizer *t)
{
    if (t == NULL)
        return;
    vl_split_free(t->split);
    free(t->tokens);
    free(t->store);
    free(t->names);
    free(t->merges);
    free(t);
}

int32_t vl_tokenizer_special(const vl_tokenizer *t, vl_special which)
{
    assert(which < VL_TOKEN_SPECIAL_COUNT);
    return t->special[which];
}

const char *vl_tokenizer_bytes(const vl_tokenizer *t, int32_t id, size_t *bytes)
{
    *bytes = 0;
    if (id < 0 || (uint32_t)id >= t->token_count || t->tokens[id].is_special)
        return "";
    *bytes = t->tokens[id].bytes;
    return t->store + t->tokens[id].at;
}

/* ---- merging ---- */

typedef struct symbol {
    uint32_t id, previous, next; /* NONE: no neighbour; id NONE: merged away */
} symbol;

typedef struct candidate {
    uint32_t rank, at, left, right; /* the ids that it was made for */
} candidate;

/* Symbols and heap of one word, grown as needed and kept between words. */
typedef struct scratch {
    symbol *symbols;
    candidate *heap;
    size_t room, heap_used;
    bool is_short; /* of memory */
} scratch;

typedef struct output {
    int32_t *ids;
    size_t max, count;
} output;

static void put(output *out, uint32_t id)
{
    if (out->count < out->max)
        out->ids[out->count] = (int32_t)id;
    out->count++;
}

static bool is_before(const candidate *a, const candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(const vl_tokenizer *t, scratch *s, uint32_t at)
{
    uint32_t next = s->symbols[at].next;
    if (next == NONE)
        return;
    const merge *m = merge_slot(t, s->symbols[at].id, s->symbols[next].id);
    if (m->left == NONE)
        return;
    candidate added = { m->rank, at, m->left, m->right };
    size_t i = s->heap_used++;
    while (i > 0 && is_before(&added, &s->heap[(i - 1) / 2])) {
        s->heap[i] = s->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->heap[i] = added;
}

static candidate heap_pop(scratch *s)
{
    candidate top = s->heap[0], last = s->heap[--s->heap_used];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= s->heap_used)
            break;
        if (child + 1 < s->heap_used && is_before(&s->heap[child + 1], &s->heap[child]))
            child++;
        if (!is_before(&s->heap[child], &last))
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = last;
    return top;
}

static bool scratch_grow(scratch *s, size_t bytes)
{
    if (bytes <= s->room)
        return true;
    size_t room = bytes < 64 ? 64 : 2 * bytes;
    symbol *symbols = realloc(s->symbols, room * sizeof *symbols);
    if (symbols != NULL)
        s->symbols = symbols;
    /* One candidate per pair at the start, at most two more per merge. */
    candidate *heap = realloc(s->heap, 3 * room * sizeof *heap);
    if (heap != NULL)
        s->heap = heap;
    if (symbols == NULL || heap == NULL)
        return false;
    s->room = room;
    return true;
}

static void encode_word(const vl_tokenizer *t, scratch *s, const uint8_t *p, size_t bytes,
                        output *out)
{
    if (!scratch_grow(s, bytes)) {
        /* Single bytes would be a valid way to write any word, and get another answer. */
        s->is_short = true;
        return;
    }
    uint32_t count = (uint32_t)bytes;
    for (uint32_t i = 0; i < count; i++)
        s->symbols[i] = (symbol){ t->byte_ids[p[i]], i > 0 ? i - 1 : NONE,
                                  i + 1 < count ? i + 1 : NONE };
    s->heap_used = 0;
    for (uint32_t i = 0; i < count; i++)
        heap_push(t, s, i);
    while (s->heap_used > 0) {
        candidate top = heap_pop(s);
        symbol *left = &s->symbols[top.at];
        if (left->id != top.left || left->next == NONE ||
            s->symbols[left->next].id != top.right)
            continue; /* an earlier merge took one of the two */
        symbol *right = &s->symbols[left->next];
        left->id = merge_slot(t, top.left, top.right)->id;
        right->id = NONE;
        left->next = right->next;
        if (left->next != NONE)
            s->symbols[left->next].previous = top.at;
        if (left->previous != NONE)
            heap_push(t, s, left->previous);
        heap_push(t, s, top.at);
        assert(s->heap_used <= 3 * s->room);
    }
    for (uint32_t i = 0; i != NONE; i = s->symbols[i].next)
        put(out, s->symbols[i].id);
}

typedef struct encoder {
    const vl_tokenizer *tokenizer;
    scratch scratch;
    output out;
} encoder;

static void add_word(void *user, const uint8_t *p, size_t bytes)
{
    encoder *e = user;
    while (bytes > 0) {
        size_t part = bytes < WORD_BYTES_MAX ? bytes : WORD_BYTES_MAX;
        encode_word(e->tokenizer, &e->scratch, p, part, &e->out);
        p += part;
        bytes -= part;
    }
}

size_t vl_tokenizer_encode(const vl_tokenizer *t, const char *text, size_t bytes,
                           int32_t *ids, size_t ids_max)
{
    assert(text != NULL || bytes == 0);
    encoder e = { .tokenizer = t, .out = { ids, ids != NULL ? ids_max : 0, 0 } };
    const uint8_t *p = (const uint8_t *)text, *end = p + bytes;
    if (t->split != NULL) {
        vl_split_run(t->split, p, bytes, add_word, &e);
    } else {
        while (p < end) {
            const uint8_t *stop = word_end(p, end);
            assert(stop > p);
            add_word(&e, p, (size_t)(stop - p));
            p = stop;
        }
    }
    free(e.scratch.symbols);
    free(e.scratch.heap);
    return e.scratch.is_short ? SIZE_MAX : e.out.count;
}

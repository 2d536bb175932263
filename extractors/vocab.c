/*
 * vocab.c - the tokens of a model as a trie of their bytes, so that the matcher tries
 * each beginning once for all tokens that share it.
 */
#include "grammar.h"

#include <assert.h>
#include <string.h>

typedef struct span {
    uint32_t lo, hi, depth; /* of the sorted tokens; depth: bytes already in the path */
} span;

static int token_order(gconstpointer a, gconstpointer b, gpointer user)
{
    const dx_vocab *v = user;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    uint32_t nx = v->first[x + 1] - v->first[x], ny = v->first[y + 1] - v->first[y];
    int c = memcmp(v->bytes + v->first[x], v->bytes + v->first[y], MIN(nx, ny));
    return c != 0 ? c : nx != ny ? (nx < ny ? -1 : 1) : (x < y ? -1 : x > y);
}

static uint32_t token_bytes(const dx_vocab *v, uint32_t token)
{
    return v->first[token + 1] - v->first[token];
}

/* Breadth first, so that the children of a node lie next to each other. */
static void build_trie(dx_vocab *v, const uint32_t *sorted, uint32_t n)
{
    g_autoptr(GArray) nodes = g_array_new(FALSE, FALSE, sizeof(dx_trie_node));
    g_autoptr(GArray) spans = g_array_new(FALSE, FALSE, sizeof(span));
    dx_trie_node root = { .token = -1 };
    span all = { 0, n, 0 };
    g_array_append_val(nodes, root);
    g_array_append_val(spans, all);
    for (guint i = 0; i < nodes->len; i++) {
        span s = g_array_index(spans, span, i);
        int32_t token = -1;
        while (s.lo < s.hi && token_bytes(v, sorted[s.lo]) == s.depth) {
            v->same[sorted[s.lo]] = token;
            token = (int32_t)sorted[s.lo++];
        }
        g_array_index(nodes, dx_trie_node, i).token = token;
        g_array_index(nodes, dx_trie_node, i).child_first = nodes->len;
        uint16_t count = 0;
        while (s.lo < s.hi) {
            uint8_t byte = v->bytes[v->first[sorted[s.lo]] + s.depth];
            span sub = { s.lo, s.lo, s.depth + 1 };
            while (sub.hi < s.hi && v->bytes[v->first[sorted[sub.hi]] + s.depth] == byte)
                sub.hi++;
            dx_trie_node child = { .byte = byte, .token = -1 };
            for (uint32_t k = sub.lo; k < sub.hi && !child.has_quote; k++)
                child.has_quote = memchr(v->bytes + v->first[sorted[k]], '"',
                                         token_bytes(v, sorted[k])) != NULL;
            g_array_append_val(nodes, child);
            g_array_append_val(spans, sub);
            s.lo = sub.hi;
            count++;
        }
        g_array_index(nodes, dx_trie_node, i).child_count = count;
    }
    v->node_count = nodes->len;
    v->nodes = g_memdup2(nodes->data, nodes->len * sizeof(dx_trie_node));
}

static gboolean fits_in_string(const dx_vocab *v, uint32_t token)
{
    dx_char_state state = { 0 };
    uint32_t lo, hi;
    for (uint32_t i = v->first[token]; i < v->first[token + 1]; i++) {
        if (dx_char_take(&state, v->bytes[i], &lo, &hi) == DX_CHAR_NO)
            return FALSE;
    }
    return TRUE;
}

dx_vocab *dx_vocab_new(const char *const *tokens, const size_t *lengths, size_t count,
                       int32_t eos)
{
    assert(count > 0 && count < INT32_MAX);
    assert(eos < 0 || (size_t)eos < count);
    dx_vocab *v = g_new0(dx_vocab, 1);
    v->refs = 1;
    v->count = count;
    v->eos = eos;
    v->first = g_new0(uint32_t, count + 1);
    v->same = g_new(int32_t, count);
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autofree uint32_t *sorted = g_new(uint32_t, count);
    uint32_t n = 0;
    for (size_t i = 0; i < count; i++) {
        v->same[i] = -1;
        v->first[i] = bytes->len;
        if (lengths[i] > 0 && lengths[i] <= DX_TOKEN_BYTES_MAX && (int32_t)i != eos) {
            g_byte_array_append(bytes, (const guint8 *)tokens[i], (guint)lengths[i]);
            v->token_bytes_max = MAX(v->token_bytes_max, (uint32_t)lengths[i]);
            sorted[n++] = (uint32_t)i;
        }
    }
    v->first[count] = bytes->len;
    v->bytes = g_memdup2(bytes->data, bytes->len);
    g_qsort_with_data(sorted, (gint)n, sizeof *sorted, token_order, v);
    build_trie(v, sorted, n);
    v->in_string = g_new0(uint32_t, (count + 31) / 32);
    for (uint32_t i = 0; i < n; i++) {
        if (fits_in_string(v, sorted[i]))
            v->in_string[sorted[i] / 32] |= 1u << (sorted[i] % 32);
    }
    return v;
}

dx_vocab *dx_vocab_ref(dx_vocab *vocab)
{
    g_atomic_int_inc(&vocab->refs);
    return vocab;
}

void dx_vocab_unref(dx_vocab *vocab)
{
    if (vocab == NULL || !g_atomic_int_dec_and_test(&vocab->refs))
        return;
    if (vocab->user_free != NULL)
        vocab->user_free(vocab->user);
    g_free(vocab->nodes);
    g_free(vocab->same);
    g_free(vocab->bytes);
    g_free(vocab->first);
    g_free(vocab->in_string);
    g_free(vocab);
}

static const dx_trie_node *child_of(const dx_vocab *v, const dx_trie_node *node,
                                    uint8_t byte)
{
    uint32_t lo = node->child_first, hi = lo + node->child_count;
    while (lo < hi) {
        uint32_t mid = (lo + hi) / 2;
        if (v->nodes[mid].byte == byte)
            return &v->nodes[mid];
        if (v->nodes[mid].byte < byte)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

/* The model's own tokens, when together they are exactly the text. */
static size_t cut_as_model(const dx_vocab *v, const char *text, size_t bytes,
                           int32_t *ids, size_t ids_max, size_t *used)
{
    g_autofree int32_t *all = g_new(int32_t, bytes + 1);
    size_t n = v->tokenize(v->user, text, bytes, all, bytes + 1), at = 0;
    if (n > bytes)
        return 0;
    size_t taken = 0, covered = 0;
    for (size_t i = 0; i < n; i++) {
        if (all[i] < 0 || (size_t)all[i] >= v->count)
            return 0;
        size_t len = token_bytes(v, (uint32_t)all[i]);
        if (len == 0 || len > bytes - at ||
            memcmp(v->bytes + v->first[all[i]], text + at, len) != 0)
            return 0;
        at += len;
        if (i < ids_max) {
            ids[taken++] = all[i];
            covered = at;
        }
    }
    *used = covered;
    return at == bytes ? taken : 0;
}

size_t dx_vocab_cut(const dx_vocab *v, const char *text, size_t bytes, int32_t *ids,
                    size_t ids_max, size_t *used)
{
    size_t n = 0, at = 0;
    if (v->tokenize != NULL) {
        n = cut_as_model(v, text, bytes, ids, ids_max, used);
        if (n > 0)
            return n;
    }
    while (at < bytes && n < ids_max) {
        const dx_trie_node *node = v->nodes;
        size_t best = 0;
        int32_t token = -1;
        for (size_t i = at; i < bytes; i++) {
            node = child_of(v, node, (uint8_t)text[i]);
            if (node == NULL)
                break;
            if (node->token >= 0) {
                token = node->token;
                best = i + 1 - at;
            }
        }
        if (best == 0)
            break;
        ids[n++] = token;
        at += best;
    }
    *used = at;
    return n;
}

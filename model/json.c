/*
 * json.c - strict JSON reader.
 *
 * One loop with an explicit stack of open containers, so depth costs no C stack.
 * Decoded strings are never longer than their source, so one buffer of the source's
 * size holds all of them.
 */
#include "json.h"

#include <assert.h>
#include <math.h>

#include "util.h"

#define NODES_PER_BLOCK 1024

typedef struct node_block {
    struct node_block *next;
    vl_json nodes[NODES_PER_BLOCK];
} node_block;

struct vl_json_doc {
    node_block *blocks;
    size_t used; /* nodes of the first block */
    char *text;
    size_t text_used;
    vl_json *root;
};

typedef struct reader {
    const char *start, *at, *end, *what;
    vl_json_doc *doc;
    vl_error *err;
} reader;

static void *fail(reader *r, const char *text)
{
    return vl_fail(r->err, VL_FORMAT, "%s: %s at byte %zu", r->what, text,
                   (size_t)(r->at - r->start));
}

static vl_json *node_new(reader *r)
{
    vl_json_doc *doc = r->doc;
    if (doc->blocks == NULL || doc->used == NODES_PER_BLOCK) {
        node_block *block = malloc(sizeof *block);
        if (block == NULL)
            return vl_fail(r->err, VL_NOMEM, "%s: no memory to read it", r->what);
        block->next = doc->blocks;
        doc->blocks = block;
        doc->used = 0;
    }
    vl_json *node = &doc->blocks->nodes[doc->used++];
    *node = (vl_json){ 0 };
    return node;
}

static void skip_blanks(reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

static bool take(reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool read_hex4(reader *r, uint32_t *out)
{
    uint32_t value = 0;
    if (r->end - r->at < 4)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        char c = r->at[i];
        uint32_t digit = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                         : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                                : 16;
        if (digit == 16)
            return false;
        value = value << 4 | digit;
    }
    r->at += 4;
    *out = value;
    return true;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
        return out;
    }
    if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *out++ = (char)(0xe0 | code >> 12);
        } else {
            *out++ = (char)(0xf0 | code >> 18);
            *out++ = (char)(0x80 | (code >> 12 & 63));
        }
        *out++ = (char)(0x80 | (code >> 6 & 63));
    }
    *out++ = (char)(0x80 | (code & 63));
    return out;
}

/* Bytes of the well-formed sequence at p, 0 when it is malformed (RFC 3629). */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    size_t n = p[0] < 0x80   ? 1
               : p[0] < 0xc2 ? 0
               : p[0] < 0xe0 ? 2
               : p[0] < 0xf0 ? 3
               : p[0] < 0xf5 ? 4
                             : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

static char *read_escape(reader *r, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end)
        return fail(r, "string without end");
    char c = *r->at++;
    const char *hit = c != '\0' ? strchr(from, c) : NULL;
    if (hit != NULL) {
        *out++ = to[hit - from];
        return out;
    }
    uint32_t code, low;
    if (c != 'u' || !read_hex4(r, &code))
        return fail(r, "bad escape");
    if (code >= 0xd800 && code < 0xdc00) {
        if (!take(r, '\\') || !take(r, 'u') || !read_hex4(r, &low) || low < 0xdc00 ||
            low > 0xdfff)
            return fail(r, "unpaired surrogate");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        return fail(r, "unpaired surrogate");
    }
    return put_utf8(out, code);
}

static const char *read_string(reader *r, size_t *bytes)
{
    char *start = r->doc->text + r->doc->text_used, *out = start;
    if (!take(r, '"'))
        return fail(r, "string expected");
    for (;;) {
        if (r->at == r->end)
            return fail(r, "string without end");
        uint8_t c = (uint8_t)*r->at;
        if (c == '"')
            break;
        if (c < 0x20)
            return fail(r, "control character in a string");
        if (c == '\\') {
            r->at++;
            out = read_escape(r, out);
            if (out == NULL)
                return NULL;
            continue;
        }
        size_t n = utf8_length((const uint8_t *)r->at, (size_t)(r->end - r->at));
        if (n == 0)
            return fail(r, "invalid UTF-8");
        memcpy(out, r->at, n);
        out += n;
        r->at += n;
    }
    r->at++;
    *out = '\0';
    *bytes = (size_t)(out - start);
    r->doc->text_used += *bytes + 1;
    return start;
}

static bool read_digits(reader *r, double *value, int *scale)
{
    const char *start = r->at;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        *value = *value * 10 + (*r->at - '0');
        *scale += 1;
    }
    return r->at > start;
}

static bool read_number(reader *r, vl_json *node)
{
    bool is_negative = take(r, '-');
    const char *start = r->at;
    double value = 0, exponent = 0;
    int whole = 0, fraction = 0, unused = 0;
    if (!read_digits(r, &value, &whole) || (whole > 1 && *start == '0'))
        return fail(r, "bad number") != NULL;
    if (take(r, '.') && !read_digits(r, &value, &fraction))
        return fail(r, "bad number") != NULL;
    if (take(r, 'e') || take(r, 'E')) {
        bool is_down = take(r, '-');
        if (!is_down)
            (void)take(r, '+'); /* an optional sign */
        if (!read_digits(r, &exponent, &unused))
            return fail(r, "bad number") != NULL;
        exponent = is_down ? -exponent : exponent;
    }
    exponent -= fraction;
    /* Dividing by an exact power of ten rounds once; multiplying by 1e-6 twice. */
    value = exponent < 0 ? value / pow(10, -exponent) : value * pow(10, exponent);
    if (!isfinite(value))
        return fail(r, "number out of range") != NULL;
    node->type = VL_JSON_NUMBER;
    node->number = is_negative ? -value : value;
    return true;
}

static bool read_word(reader *r, vl_json *node)
{
    static const struct {
        const char *word;
        vl_json_type type;
        double number;
    } words[] = { { "null", VL_JSON_NULL, 0 },
                  { "true", VL_JSON_BOOL, 1 },
                  { "false", VL_JSON_BOOL, 0 } };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = strlen(words[i].word);
        if ((size_t)(r->end - r->at) >= n && memcmp(r->at, words[i].word, n) == 0) {
            r->at += n;
            node->type = words[i].type;
            node->number = words[i].number;
            return true;
        }
    }
    return fail(r, "value expected") != NULL;
}

static int compare_keys(const void *a, const void *b)
{
    const vl_json *x = *(const vl_json *const *)a, *y = *(const vl_json *const *)b;
    size_t n = x->key_bytes < y->key_bytes ? x->key_bytes : y->key_bytes;
    int order = memcmp(x->key, y->key, n);
    return order != 0 ? order
                      : (x->key_bytes > y->key_bytes) - (x->key_bytes < y->key_bytes);
}

static bool check_keys(reader *r, const vl_json *object)
{
    if (object->count < 2)
        return true;
    const vl_json **sorted = malloc(object->count * sizeof *sorted);
    if (sorted == NULL)
        return vl_fail(r->err, VL_NOMEM, "%s: no memory to read it", r->what) != NULL;
    size_t n = 0;
    for (const vl_json *node = object->child; node != NULL; node = node->next)
        sorted[n++] = node;
    qsort(sorted, n, sizeof *sorted, compare_keys);
    bool is_unique = true;
    for (size_t i = 1; i < n; i++)
        is_unique = is_unique && compare_keys(&sorted[i - 1], &sorted[i]) != 0;
    free(sorted);
    return is_unique || fail(r, "duplicate key in an object") != NULL;
}

/* A scalar, or an opened container (then *is_open). */
static bool read_value(reader *r, vl_json *node, bool *is_open)
{
    *is_open = false;
    char c = r->at < r->end ? *r->at : '\0';
    if (c == '{' || c == '[') {
        r->at++;
        node->type = c == '{' ? VL_JSON_OBJECT : VL_JSON_ARRAY;
        *is_open = true;
        return true;
    }
    if (c == '"') {
        node->type = VL_JSON_STRING;
        node->text = read_string(r, &node->text_bytes);
        return node->text != NULL;
    }
    return c == '-' || (c >= '0' && c <= '9') ? read_number(r, node) : read_word(r, node);
}

/* The key of the next member; the value follows. */
static bool read_key(reader *r, vl_json *node)
{
    node->key = read_string(r, &node->key_bytes);
    if (node->key == NULL)
        return false;
    skip_blanks(r);
    if (!take(r, ':'))
        return fail(r, "':' expected") != NULL;
    skip_blanks(r);
    return true;
}

static bool read_tree(reader *r)
{
    struct {
        vl_json *node, **tail;
    } stack[VL_JSON_DEPTH_MAX];
    size_t depth = 0;
    bool is_open;
    r->doc->root = node_new(r);
    skip_blanks(r);
    if (r->doc->root == NULL || !read_value(r, r->doc->root, &is_open))
        return false;
    if (is_open) {
        stack[0].node = r->doc->root;
        stack[0].tail = &r->doc->root->child;
        depth = 1;
    }
    while (depth > 0) {
        vl_json *parent = stack[depth - 1].node;
        bool is_object = parent->type == VL_JSON_OBJECT;
        skip_blanks(r);
        if (take(r, is_object ? '}' : ']')) {
            if (is_object && !check_keys(r, parent))
                return false;
            depth--;
            continue;
        }
        if (parent->count > 0 && !take(r, ','))
            return fail(r, "',' or the end of a container expected") != NULL;
        skip_blanks(r);
        vl_json *node = node_new(r);
        if (node == NULL || (is_object && !read_key(r, node)) ||
            !read_value(r, node, &is_open))
            return false;
        *stack[depth - 1].tail = node;
        stack[depth - 1].tail = &node->next;
        parent->count++;
        if (is_open) {
            if (depth == VL_JSON_DEPTH_MAX)
                return vl_fail(r->err, VL_LIMIT, "%s: nested deeper than %d", r->what,
                               VL_JSON_DEPTH_MAX) != NULL;
            stack[depth].node = node;
            stack[depth].tail = &node->child;
            depth++;
        }
    }
    skip_blanks(r);
    return r->at == r->end || fail(r, "text behind the value") != NULL;
}

vl_json_doc *vl_json_parse(const char *text, size_t bytes, const char *what,
                           vl_error *err)
{
    assert(what != NULL);
    if (bytes > VL_JSON_BYTES_MAX)
        return vl_fail(err, VL_LIMIT, "%s: %zu bytes of JSON, limit %u", what, bytes,
                       VL_JSON_BYTES_MAX);
    vl_json_doc *doc = calloc(1, sizeof *doc);
    if (doc != NULL)
        doc->text = malloc(bytes + 1);
    if (doc == NULL || doc->text == NULL) {
        vl_json_free(doc);
        return vl_fail(err, VL_NOMEM, "%s: no memory to read it", what);
    }
    reader r = { text, text, text + bytes, what, doc, err };
    if (!read_tree(&r)) {
        vl_json_free(doc);
        return NULL;
    }
    assert(doc->text_used <= bytes + 1);
    return doc;
}

void vl_json_free(vl_json_doc *doc)
{
    if (doc == NULL)
        return;
    for (node_block *next, *block = doc->blocks; block != NULL; block = next) {
        next = block->next;
        free(block);
    }
    free(doc->text);
    free(doc);
}

const vl_json *vl_json_root(const vl_json_doc *doc)
{
    return doc->root;
}

const vl_json *vl_json_get(const vl_json *object, const char *key)
{
    if (object == NULL || object->type != VL_JSON_OBJECT)
        return NULL;
    size_t bytes = strlen(key);
    for (const vl_json *node = object->child; node != NULL; node = node->next)
        if (node->key_bytes == bytes && memcmp(node->key, key, bytes) == 0)
            return node;
    return NULL;
}

bool vl_json_is(const vl_json *value, const char *text)
{
    return value != NULL && value->type == VL_JSON_STRING &&
           value->text_bytes == strlen(text) &&
           memcmp(value->text, text, value->text_bytes) == 0;
}

bool vl_json_uint(const vl_json *value, uint64_t max, uint64_t *out)
{
    if (value == NULL || value->type != VL_JSON_NUMBER)
        return false;
    double number = value->number;
    if (!(number >= 0) || number > 9007199254740992.0 || number != floor(number))
        return false;
    if ((uint64_t)number > max)
        return false;
    *out = (uint64_t)number;
    return true;
}

/*
 * regex.c - the patterns of a schema as a deterministic machine over characters.
 *
 * A pattern is parsed into a tree, written out as Thompson NFA and made deterministic
 * over classes of characters that no part of the pattern tells apart.  Searching is part
 * of the machine: an unanchored pattern gets "anything" before and after it.
 *
 * JSON Schema means ECMA-262, Python checks with its own rules: where the two differ
 * (which digits \d has, which line ends . skips) the machine takes what both accept.
 */
#include "grammar.h"

#include <string.h>

enum { CODE_MAX = 0x10ffff };

typedef struct range {
    uint32_t lo, hi;
} range;

typedef enum node_kind {
    N_EMPTY,
    N_CLASS,
    N_CAT,
    N_ALT,
    N_REPEAT,
    N_BEGIN,
    N_FINISH
} node_kind;

typedef struct node {
    node_kind kind;
    uint32_t min, max; /* repeat; max UINT32_MAX: no limit */
    GArray *ranges;    /* class */
    GPtrArray *parts;  /* cat, alt, repeat (one) */
} node;

typedef struct edge_node {
    node_kind kind;       /* N_EMPTY, N_CLASS, N_BEGIN or N_FINISH */
    const GArray *ranges; /* borrowed from the tree */
    int32_t to[2];        /* -1: none */
} edge_node;

typedef struct parser {
    const char *p;
    uint32_t depth;
    char **why;
    GArray *nfa; /* edge_node */
} parser;

static gpointer refuse(parser *ps, const char *text)
{
    if (*ps->why == NULL)
        *ps->why = g_strdup(text);
    return NULL;
}

static void node_free(gpointer data)
{
    node *n = data;
    if (n == NULL)
        return;
    if (n->ranges != NULL)
        g_array_unref(n->ranges);
    if (n->parts != NULL)
        g_ptr_array_unref(n->parts);
    g_free(n);
}

static node *node_new(node_kind kind)
{
    node *n = g_new0(node, 1);
    n->kind = kind;
    if (kind == N_CLASS)
        n->ranges = g_array_new(FALSE, FALSE, sizeof(range));
    if (kind == N_CAT || kind == N_ALT || kind == N_REPEAT)
        n->parts = g_ptr_array_new_with_free_func(node_free);
    return n;
}

static void add_range(GArray *ranges, uint32_t lo, uint32_t hi)
{
    range r = { lo, hi };
    g_array_append_val(ranges, r);
}

static int range_order(gconstpointer a, gconstpointer b)
{
    const range *x = a, *y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

static void invert(GArray *ranges, uint32_t code_max)
{
    g_array_sort(ranges, range_order);
    g_autoptr(GArray) out = g_array_new(FALSE, FALSE, sizeof(range));
    uint32_t from = 0;
    for (guint i = 0; i < ranges->len; i++) {
        range r = g_array_index(ranges, range, i);
        if (r.lo > from && from <= code_max)
            add_range(out, from, MIN(r.lo - 1, code_max));
        from = MAX(from, r.hi + 1);
    }
    if (from <= code_max)
        add_range(out, from, code_max);
    g_array_set_size(ranges, 0);
    g_array_append_vals(ranges, out->data, out->len);
}

/* \d \w \s and their opposites; FALSE when it is none of them.  ASCII only. */
static gboolean add_shorthand(GArray *ranges, char c)
{
    g_autoptr(GArray) set = g_array_new(FALSE, FALSE, sizeof(range));
    switch (g_ascii_tolower(c)) {
    case 'w':
        add_range(set, 'a', 'z');
        add_range(set, 'A', 'Z');
        add_range(set, '_', '_');
        add_range(set, '0', '9');
        break;
    case 'd':
        add_range(set, '0', '9');
        break;
    case 's':
        add_range(set, '\t', '\r');
        add_range(set, ' ', ' ');
        break;
    default:
        return FALSE;
    }
    if (g_ascii_isupper(c)) {
        /* Python counts 0x1c-0x1f as blanks, ECMA does not. */
        if (c == 'S')
            add_range(set, 0x1c, 0x1f);
        invert(set, 0x7f);
    }
    g_array_append_vals(ranges, set->data, set->len);
    return TRUE;
}

/* One character behind a backslash; UINT32_MAX when it is not a single character. */
static uint32_t escaped(parser *ps)
{
    static const char from[] = "tnrfv", to[] = "\t\n\r\f\v";
    char c = *ps->p++;
    const char *at = c == '\0' ? NULL : strchr(from, c);
    if (at != NULL)
        return (uint8_t)to[at - from];
    if (c == 'x' || c == 'u') {
        uint32_t code = 0;
        for (int i = c == 'x' ? 2 : 4; i > 0; i--) {
            if (!g_ascii_isxdigit(*ps->p))
                return UINT32_MAX;
            code = code * 16 + (uint32_t)g_ascii_xdigit_value(*ps->p++);
        }
        return code;
    }
    if (c == '\0' || g_ascii_isalnum(c) || (uint8_t)c >= 0x80)
        return UINT32_MAX;
    return (uint8_t)c;
}

static uint32_t plain(parser *ps)
{
    uint32_t code = g_utf8_get_char(ps->p);
    ps->p = g_utf8_next_char(ps->p);
    return code;
}

static uint32_t class_char(parser *ps)
{
    if (*ps->p != '\\')
        return plain(ps);
    ps->p++;
    if (*ps->p == 'b') {
        ps->p++;
        return '\b';
    }
    return escaped(ps);
}

static node *parse_class(parser *ps)
{
    node *n = node_new(N_CLASS);
    gboolean is_negated = *ps->p == '^', is_ascii = FALSE;
    ps->p += is_negated;
    while (*ps->p != ']') {
        if (*ps->p == '\0') {
            node_free(n);
            return refuse(ps, "[ without ]");
        }
        if (*ps->p == '\\' && add_shorthand(n->ranges, ps->p[1])) {
            ps->p += 2;
            is_ascii = TRUE;
            continue;
        }
        uint32_t lo = class_char(ps), hi = lo;
        if (lo != UINT32_MAX && *ps->p == '-' && ps->p[1] != ']' && ps->p[1] != '\0') {
            ps->p++;
            hi = class_char(ps);
        }
        if (lo == UINT32_MAX || hi == UINT32_MAX || hi < lo) {
            node_free(n);
            return refuse(ps, "a range in [] is wrong or not supported");
        }
        add_range(n->ranges, lo, hi);
    }
    ps->p++;
    if (is_negated)
        invert(n->ranges, is_ascii ? 0x7f : CODE_MAX);
    if (n->ranges->len == 0) {
        node_free(n);
        return refuse(ps, "an empty [] matches nothing");
    }
    return n;
}

static node *parse_alternatives(parser *ps);

static node *parse_group(parser *ps)
{
    if (*ps->p == '?') {
        if (ps->p[1] != ':')
            return refuse(ps, "(? is supported as (?: only");
        ps->p += 2;
    }
    if (ps->depth >= DX_REGEX_DEPTH_MAX)
        return refuse(ps, "groups are nested too deeply (limit 32)");
    ps->depth++;
    node *n = parse_alternatives(ps);
    ps->depth--;
    if (n != NULL && *ps->p != ')') {
        node_free(n);
        return refuse(ps, "( without )");
    }
    ps->p += n != NULL;
    return n;
}

static node *parse_atom(parser *ps)
{
    char c = *ps->p;
    if (strchr("*+?{", c) != NULL)
        return refuse(ps, "nothing to repeat");
    if (c == '(' || c == '[') {
        ps->p++;
        return c == '(' ? parse_group(ps) : parse_class(ps);
    }
    if (c == '^' || c == '$') {
        ps->p++;
        return node_new(c == '^' ? N_BEGIN : N_FINISH);
    }
    node *n = node_new(N_CLASS);
    if (c == '.') {
        ps->p++;
        static const uint32_t ends[] = { '\n', '\r', 0x2028, 0x2029 };
        for (gsize i = 0; i < G_N_ELEMENTS(ends); i++)
            add_range(n->ranges, ends[i], ends[i]);
        invert(n->ranges, CODE_MAX);
        return n;
    }
    if (c == '\\' && add_shorthand(n->ranges, ps->p[1])) {
        ps->p += 2;
        return n;
    }
    ps->p += c == '\\';
    uint32_t code = c == '\\' ? escaped(ps) : plain(ps);
    if (code == UINT32_MAX) {
        node_free(n);
        return refuse(ps, "an escape behind \\ is not supported");
    }
    add_range(n->ranges, code, code);
    return n;
}

static gboolean parse_count(parser *ps, uint32_t *count)
{
    uint32_t v = 0;
    if (!g_ascii_isdigit(*ps->p))
        return FALSE;
    while (g_ascii_isdigit(*ps->p)) {
        v = v * 10 + (uint32_t)(*ps->p++ - '0');
        if (v > DX_REGEX_REPEAT_MAX)
            return FALSE;
    }
    *count = v;
    return TRUE;
}

/* FALSE when there is no repeat or it is wrong (then *why is set). */
static gboolean parse_repeat(parser *ps, uint32_t *min, uint32_t *max)
{
    char c = *ps->p;
    if (c == '\0' || strchr("*+?{", c) == NULL)
        return FALSE;
    ps->p++;
    *min = c == '+';
    *max = c == '?' ? 1 : UINT32_MAX;
    if (c == '{') {
        gboolean is_good = parse_count(ps, min);
        *max = *min;
        if (is_good && *ps->p == ',') {
            ps->p++;
            *max = UINT32_MAX;
            is_good = *ps->p == '}' || parse_count(ps, max);
        }
        if (!is_good || *ps->p != '}' || *max < *min) {
            refuse(ps, "a repeat {m,n} is wrong (numbers up to 1000)");
            return FALSE;
        }
        ps->p++;
    }
    if (*ps->p == '?')
        ps->p++; /* lazy: the same language */
    return TRUE;
}

static node *parse_sequence(parser *ps)
{
    node *cat = node_new(N_CAT);
    while (*ps->p != '\0' && *ps->p != '|' && *ps->p != ')') {
        node *atom = parse_atom(ps);
        if (atom == NULL) {
            node_free(cat);
            return NULL;
        }
        uint32_t min, max;
        if (parse_repeat(ps, &min, &max)) {
            node *rep = node_new(N_REPEAT);
            rep->min = min;
            rep->max = max;
            g_ptr_array_add(rep->parts, atom);
            atom = rep;
        }
        g_ptr_array_add(cat->parts, atom);
        if (*ps->why != NULL) {
            node_free(cat);
            return NULL;
        }
    }
    return cat;
}

static node *parse_alternatives(parser *ps)
{
    node *alt = node_new(N_ALT);
    for (;;) {
        node *one = parse_sequence(ps);
        if (one == NULL) {
            node_free(alt);
            return NULL;
        }
        g_ptr_array_add(alt->parts, one);
        if (*ps->p != '|')
            return alt;
        ps->p++;
    }
}

/* ---- NFA ---------------------------------------------------------------------- */

static int32_t nfa_add(parser *ps, node_kind kind, const GArray *ranges, int32_t to)
{
    if (ps->nfa->len >= DX_REGEX_NODES_MAX) {
        refuse(ps, "the pattern is too large (limit 4096 nodes)");
        return 0;
    }
    edge_node e = { kind, ranges, { to, -1 } };
    g_array_append_val(ps->nfa, e);
    return (int32_t)ps->nfa->len - 1;
}

#define NFA(ps, i) (&g_array_index((ps)->nfa, edge_node, (guint)(i)))

/* Write the tree backwards: returns the entry of a part that goes on to `to`. */
static int32_t nfa_emit(parser *ps, const node *n, int32_t to)
{
    if (*ps->why != NULL)
        return 0;
    if (n->kind == N_CLASS || n->kind == N_BEGIN || n->kind == N_FINISH)
        return nfa_add(ps, n->kind, n->ranges, to);
    if (n->kind == N_CAT) {
        for (guint i = n->parts->len; i > 0; i--)
            to = nfa_emit(ps, n->parts->pdata[i - 1], to);
        return to;
    }
    if (n->kind == N_ALT) {
        int32_t all = -1;
        for (guint i = n->parts->len; i > 0; i--) {
            int32_t entry = nfa_emit(ps, n->parts->pdata[i - 1], to);
            int32_t fork = nfa_add(ps, N_EMPTY, NULL, entry);
            NFA(ps, fork)->to[1] = all;
            all = fork;
        }
        return all;
    }
    const node *part = n->parts->pdata[0];
    if (n->max == UINT32_MAX) {
        int32_t loop = nfa_add(ps, N_EMPTY, NULL, -1);
        int32_t entry = nfa_emit(ps, part, loop);
        NFA(ps, loop)->to[0] = entry;
        NFA(ps, loop)->to[1] = to;
        to = loop;
    } else {
        int32_t out = to;
        for (uint32_t i = n->min; i < n->max && *ps->why == NULL; i++) {
            int32_t fork = nfa_add(ps, N_EMPTY, NULL, nfa_emit(ps, part, to));
            NFA(ps, fork)->to[1] = out;
            to = fork;
        }
    }
    for (uint32_t i = 0; i < n->min && *ps->why == NULL; i++)
        to = nfa_emit(ps, part, to);
    return to;
}

/* ---- DFA ---------------------------------------------------------------------- */

typedef struct builder {
    parser *ps;
    dx_regex *out;
    guint words;       /* of a set of NFA nodes */
    GPtrArray *sets;   /* uint64_t[words] of each DFA state */
    GHashTable *known; /* GBytes -> state + 1 */
    GArray *next;      /* int32_t */
    int32_t *stack;
    int32_t accept;
} builder;

/* Everything reachable without a character. */
static void close_set(builder *b, uint64_t *set, gboolean at_begin, gboolean at_finish)
{
    guint n = 0;
    for (guint i = 0; i < b->ps->nfa->len; i++) {
        if (set[i / 64] >> (i % 64) & 1)
            b->stack[n++] = (int32_t)i;
    }
    while (n > 0) {
        const edge_node *e = NFA(b->ps, b->stack[--n]);
        if (e->kind == N_CLASS || (e->kind == N_BEGIN && !at_begin) ||
            (e->kind == N_FINISH && !at_finish))
            continue;
        for (int k = 0; k < 2; k++) {
            int32_t t = e->to[k];
            if (t < 0 || (set[t / 64] >> (t % 64) & 1))
                continue;
            set[t / 64] |= (uint64_t)1 << (t % 64);
            b->stack[n++] = t;
        }
    }
}

static int32_t intern(builder *b, const uint64_t *set)
{
    GBytes *key = g_bytes_new(set, b->words * sizeof *set);
    guint found = GPOINTER_TO_UINT(g_hash_table_lookup(b->known, key));
    if (found != 0) {
        g_bytes_unref(key);
        return (int32_t)found - 1;
    }
    g_ptr_array_add(b->sets, g_memdup2(set, b->words * sizeof *set));
    g_hash_table_insert(b->known, key, GUINT_TO_POINTER(b->sets->len));
    return (int32_t)b->sets->len - 1;
}

static gboolean in_ranges(const GArray *ranges, uint32_t code)
{
    for (guint i = 0; i < ranges->len; i++) {
        const range *r = &g_array_index(ranges, range, i);
        if (code >= r->lo && code <= r->hi)
            return TRUE;
    }
    return FALSE;
}

static int code_order(gconstpointer a, gconstpointer b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Characters between two neighbours of this list are all alike. */
static void find_classes(builder *b)
{
    g_autoptr(GArray) firsts = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    const uint32_t fixed[] = { 0, 0xd800, 0xe000 };
    g_array_append_vals(firsts, fixed, 3);
    for (guint i = 0; i < b->ps->nfa->len; i++) {
        const GArray *ranges = NFA(b->ps, i)->ranges;
        for (guint k = 0; ranges != NULL && k < ranges->len; k++) {
            const range *r = &g_array_index(ranges, range, k);
            uint32_t after = r->hi + 1;
            g_array_append_val(firsts, r->lo);
            if (after <= CODE_MAX)
                g_array_append_val(firsts, after);
        }
    }
    g_array_sort(firsts, code_order);
    uint32_t n = 0;
    b->out->class_first = g_new(uint32_t, firsts->len);
    for (guint i = 0; i < firsts->len; i++) {
        uint32_t v = g_array_index(firsts, uint32_t, i);
        if (n == 0 || b->out->class_first[n - 1] != v)
            b->out->class_first[n++] = v;
    }
    b->out->class_count = n;
    for (uint32_t c = 0; c < 128; c++) {
        uint32_t k = 0;
        while (k + 1 < n && b->out->class_first[k + 1] <= c)
            k++;
        b->out->ascii[c] = (uint16_t)k;
    }
}

static gboolean determinize(builder *b, int32_t start)
{
    g_autofree uint64_t *set = g_new0(uint64_t, b->words);
    set[start / 64] |= (uint64_t)1 << (start % 64);
    close_set(b, set, TRUE, FALSE);
    intern(b, set);
    for (guint s = 0; s < b->sets->len; s++) {
        if (b->sets->len > DX_REGEX_STATES_MAX) {
            refuse(b->ps, "the pattern needs too many states (limit 1024)");
            return FALSE;
        }
        for (uint32_t c = 0; c < b->out->class_count; c++) {
            uint32_t code = b->out->class_first[c];
            const uint64_t *from = b->sets->pdata[s];
            gboolean is_any = FALSE;
            memset(set, 0, b->words * sizeof *set);
            for (guint i = 0; i < b->ps->nfa->len && (code < 0xd800 || code > 0xdfff);
                 i++) {
                const edge_node *e = NFA(b->ps, i);
                if (!(from[i / 64] >> (i % 64) & 1) || e->kind != N_CLASS ||
                    !in_ranges(e->ranges, code))
                    continue;
                set[e->to[0] / 64] |= (uint64_t)1 << (e->to[0] % 64);
                is_any = TRUE;
            }
            int32_t to = -1;
            if (is_any) {
                close_set(b, set, FALSE, FALSE);
                to = intern(b, set);
            }
            g_array_append_val(b->next, to);
        }
    }
    /* The empty string is begin and finish at once; see the first state. */
    b->out->is_accept = g_new0(uint8_t, b->sets->len);
    for (guint s = 0; s < b->sets->len; s++) {
        memcpy(set, b->sets->pdata[s], b->words * sizeof *set);
        close_set(b, set, s == 0, TRUE);
        b->out->is_accept[s] = set[b->accept / 64] >> (b->accept % 64) & 1;
    }
    b->out->state_count = b->sets->len;
    return TRUE;
}

static gboolean build(parser *ps, const node *tree, dx_regex *out)
{
    static const range everything = { 0, CODE_MAX };
    g_autoptr(GArray) any = g_array_new(FALSE, FALSE, sizeof(range));
    g_array_append_val(any, everything);
    int32_t accept = nfa_add(ps, N_EMPTY, NULL, -1);
    int32_t after = nfa_add(ps, N_CLASS, any, accept);
    NFA(ps, accept)->to[0] = after;
    int32_t body = nfa_emit(ps, tree, accept);
    /* Search: the body begins here or after any characters. */
    int32_t skip = nfa_add(ps, N_EMPTY, NULL, body);
    int32_t eat = nfa_add(ps, N_CLASS, any, skip);
    if (*ps->why != NULL)
        return FALSE;
    NFA(ps, skip)->to[1] = eat;
    builder b = {
        .ps = ps, .out = out, .words = (ps->nfa->len + 63) / 64, .accept = accept
    };
    b.sets = g_ptr_array_new_with_free_func(g_free);
    b.known = g_hash_table_new_full(g_bytes_hash, g_bytes_equal,
                                    (GDestroyNotify)g_bytes_unref, NULL);
    b.next = g_array_new(FALSE, FALSE, sizeof(int32_t));
    b.stack = g_new(int32_t, ps->nfa->len + 1);
    find_classes(&b);
    gboolean is_good = determinize(&b, skip);
    g_free(b.stack);
    g_hash_table_unref(b.known);
    g_ptr_array_unref(b.sets);
    out->next = (int32_t *)(void *)g_array_free(b.next, FALSE);
    return is_good;
}

dx_regex *dx_regex_new(const char *pattern, char **why)
{
    *why = NULL;
    parser ps = { .p = pattern, .why = why };
    node *tree = parse_alternatives(&ps);
    if (tree != NULL && *ps.p == ')')
        refuse(&ps, ") without (");
    dx_regex *out = NULL;
    if (tree != NULL && *why == NULL) {
        out = g_new0(dx_regex, 1);
        ps.nfa = g_array_new(FALSE, FALSE, sizeof(edge_node));
        if (!build(&ps, tree, out)) {
            dx_regex_free(out);
            out = NULL;
        }
        g_array_unref(ps.nfa);
    }
    node_free(tree);
    return out;
}

void dx_regex_free(dx_regex *regex)
{
    if (regex == NULL)
        return;
    g_free(regex->class_first);
    g_free(regex->next);
    g_free(regex->is_accept);
    g_free(regex);
}

uint32_t dx_regex_class(const dx_regex *regex, uint32_t code)
{
    if (code < 128)
        return regex->ascii[code];
    uint32_t lo = 0, hi = regex->class_count;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        if (regex->class_first[mid] <= code)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

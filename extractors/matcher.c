/*
 * matcher.c - a position in a grammar: which bytes, and so which tokens, may come next.
 *
 * The position is a set of states, because a list may end or go on and a copied string
 * may come from several places.  The mask is found by walking the trie of the vocabulary
 * with the set; tokens that any long string may hold are taken from a ready mask.
 */
#include "compile.h"

#include <assert.h>
#include <string.h>

enum { NEXT_MANY = 256, NEXT_END = 257 }; /* else the only byte that may come */
enum { COPY_ESCAPE = 1u << 28, COPY_SEPARATOR = 2u << 28, COPY_INDEX = (1u << 28) - 1 };

typedef struct state {
    uint32_t pc;
    uint32_t
        a; /* LIT: offset; STRING: characters; NUMBER: phase; COPY: offset in the text */
    uint32_t
        b; /* STRING: state of the pattern; NUMBER: sign; COPY: bytes so far, or stop */
    uint32_t c; /* STRING: byte phase; NUMBER: decimals; COPY: phase and index */
    int64_t d;  /* STRING: partial character; NUMBER: digits; COPY: set | jump << 32 */
    uint32_t seen;
    uint16_t count[DX_GRAMMAR_LISTS_MAX];
    /* From here on: not part of the identity. */
    uint32_t past;   /* index into pieces + 1, 0: none */
    uint32_t start;  /* COPY: of the piece */
    uint16_t next;   /* byte, NEXT_MANY or NEXT_END */
    uint8_t is_long; /* STRING: longer than any token can fill; see dx_vocab.in_string */
} state;

#define IDENTITY offsetof(state, past)

/* A piece of a copied string; a chain that ends in the answer's first. */
typedef struct piece {
    uint32_t past, pc, start, end;
    gboolean is_last; /* of its string */
    uint16_t count[DX_GRAMMAR_LISTS_MAX];
} piece;

struct dx_matcher {
    dx_grammar *grammar;
    dx_vocab *vocab;
    const dx_copy_source *copy;
    uint32_t **distances; /* [sets], NULL for spans */
    GArray *states;       /* state; the current set comes first */
    guint alive;          /* of them the current set */
    GArray *pieces;
    GString *text;
    gboolean is_tracking, is_over, is_overflow;
    uint32_t slots[512], mark; /* hash of a growing set */
    guint set_from;
};

static state *state_at(const dx_matcher *m, guint i)
{
    return &g_array_index(m->states, state, i);
}

static const dx_op *op_of(const dx_matcher *m, uint32_t pc)
{
    return &g_array_index(m->grammar->ops, dx_op, pc);
}

/* ---- copied strings --------------------------------------------------------------- */

static uint32_t add_piece(dx_matcher *m, const state *s, uint32_t end, gboolean is_last)
{
    if (!m->is_tracking)
        return 0;
    piece p = { s->past, s->pc, s->start, end, is_last, { 0 } };
    memcpy(p.count, s->count, sizeof p.count);
    g_array_append_val(m->pieces, p);
    return m->pieces->len;
}

static const dx_copy_jump *jump_of(const dx_matcher *m, const state *s)
{
    return &g_array_index(m->copy->jumps, dx_copy_jump, (guint)(s->d >> 32));
}

static uint16_t copy_next(const dx_matcher *m, const state *s)
{
    uint32_t k = s->c & COPY_INDEX;
    if (s->c & COPY_SEPARATOR)
        return (uint8_t)jump_of(m, s)->separator->str[k];
    char out[6];
    (void)dx_char_escape((uint8_t)m->copy->text[s->a], out); /* k is inside it */
    return (uint8_t)out[k];
}

static void push(dx_matcher *m, state s);

/* Where a copied string can go from here: end, jump, or take the next character. */
static void follow_copy(dx_matcher *m, state s)
{
    const dx_copy_set *set = m->copy->sets->pdata[(uint32_t)s.d];
    const uint32_t *far = m->distances[(uint32_t)s.d];
    uint32_t offset = s.a;
    gboolean is_end =
        set->is_free ? set->is_end[offset] && offset > s.start : offset == s.b;
    if (is_end) {
        state out = { .pc = s.pc + 1, .seen = s.seen };
        memcpy(out.count, s.count, sizeof s.count);
        out.past = add_piece(m, &s, offset, TRUE);
        push(m, out);
    }
    if (!set->is_free) {
        if (offset < s.b)
            push(m, s);
        return;
    }
    GArray *jumps = m->copy->jumps;
    if (m->copy->is_from[offset] && offset > s.start) {
        guint lo = 0, hi = jumps->len;
        while (lo < hi) {
            guint mid = (lo + hi) / 2;
            if (g_array_index(jumps, dx_copy_jump, mid).from < offset)
                lo = mid + 1;
            else
                hi = mid;
        }
        for (; lo < jumps->len && g_array_index(jumps, dx_copy_jump, lo).from == offset;
             lo++) {
            const dx_copy_jump *j = &g_array_index(jumps, dx_copy_jump, lo);
            uint64_t need = (uint64_t)s.b + j->raw_bytes + far[j->to];
            if (need > set->bytes_max)
                continue;
            state out = s;
            out.past = add_piece(m, &s, offset, FALSE);
            out.d = (uint32_t)s.d | (int64_t)lo << 32;
            out.c = COPY_SEPARATOR;
            if (j->raw_bytes == 0) {
                out.a = out.start = j->to;
                out.d = (uint32_t)s.d;
                out.c = 0;
                if (j->to >= m->copy->bytes)
                    continue;
            }
            push(m, out);
        }
    }
    if (offset < m->copy->bytes && far[offset + 1] != UINT32_MAX &&
        (uint64_t)s.b + 1 + far[offset + 1] <= set->bytes_max)
        push(m, s);
}

/* All places where a string of this rule can begin. */
static void begin_copy(dx_matcher *m, state s)
{
    const dx_copy_rule *rule =
        &g_array_index(m->grammar->copies, dx_copy_rule, op_of(m, s.pc)->x);
    for (guint k = 0; m->copy != NULL && k < m->copy->sets->len; k++) {
        const dx_copy_set *set = m->copy->sets->pdata[k];
        if (g_strcmp0(set->name, rule->name) != 0)
            continue;
        for (size_t i = 0; i < set->count; i++) {
            uint32_t at = set->starts[i];
            s.a = s.start = at;
            s.b = set->is_free ? 0 : set->stops[i];
            s.d = k;
            /* One byte must be taken, so it is the way from the next offset that counts. */
            if (set->is_free &&
                (at >= m->copy->bytes || m->distances[k][at + 1] == UINT32_MAX ||
                 (uint64_t)m->distances[k][at + 1] + 1 > set->bytes_max))
                continue;
            push(m, s);
        }
    }
}

static gboolean is_copy_possible(const dx_matcher *m, uint32_t pc)
{
    const dx_copy_rule *rule =
        &g_array_index(m->grammar->copies, dx_copy_rule, op_of(m, pc)->x);
    for (guint k = 0; m->copy != NULL && k < m->copy->sets->len; k++) {
        const dx_copy_set *set = m->copy->sets->pdata[k];
        if (g_strcmp0(set->name, rule->name) != 0)
            continue;
        for (size_t i = 0; i < set->count; i++) {
            uint32_t at = set->starts[i];
            if (!set->is_free ||
                (at < m->copy->bytes && m->distances[k][at + 1] != UINT32_MAX &&
                 (uint64_t)m->distances[k][at + 1] + 1 <= set->bytes_max))
                return TRUE;
        }
    }
    return FALSE;
}

static gboolean step_copy(dx_matcher *m, state *s)
{
    const dx_copy_set *set = m->copy->sets->pdata[(uint32_t)s->d];
    uint32_t k = (s->c & COPY_INDEX) + 1;
    if (s->c & COPY_SEPARATOR) {
        const dx_copy_jump *j = jump_of(m, s);
        s->c = COPY_SEPARATOR | k;
        if (k < j->separator->len)
            return FALSE;
        s->a = s->start = j->to;
        s->b += j->raw_bytes;
        s->d = (uint32_t)s->d;
        s->c = 0;
        return TRUE;
    }
    char out[6];
    if (k < dx_char_escape((uint8_t)m->copy->text[s->a], out)) {
        s->c = COPY_ESCAPE | k;
        return FALSE;
    }
    s->c = 0;
    s->a++;
    if (set->is_free)
        s->b++;
    return TRUE;
}

/* ---- sets of states --------------------------------------------------------------- */

static void begin_set(dx_matcher *m)
{
    m->set_from = m->states->len;
    m->mark = 0;
}

static guint hash_state(const state *s)
{
    uint64_t h = 0x9e3779b97f4a7c15u, w;
    for (size_t i = 0; i + 8 <= IDENTITY; i += 8) {
        memcpy(&w, (const char *)s + i, 8);
        h = (h ^ w) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    return (guint)h;
}

/* Small sets are searched; large ones through a cache that may forget, which costs a
 * doubled state and nothing else. */
static gboolean is_known(dx_matcher *m, const state *s)
{
    guint n = m->states->len - m->set_from;
    if (n <= 8) {
        for (guint i = m->set_from; i < m->states->len; i++) {
            if (memcmp(state_at(m, i), s, IDENTITY) == 0)
                return TRUE;
        }
        return FALSE;
    }
    if (m->mark == 0) {
        memset(m->slots, 0, sizeof m->slots);
        m->mark = 1;
        for (guint i = m->set_from; i < m->states->len; i++)
            m->slots[hash_state(state_at(m, i)) % G_N_ELEMENTS(m->slots)] = i + 1;
    }
    uint32_t *slot = &m->slots[hash_state(s) % G_N_ELEMENTS(m->slots)];
    if (*slot > m->set_from && *slot <= m->states->len &&
        memcmp(state_at(m, *slot - 1), s, IDENTITY) == 0)
        return TRUE;
    *slot = m->states->len + 1;
    return FALSE;
}

static void push(dx_matcher *m, state s)
{
    const dx_op *op = op_of(m, s.pc);
    const dx_string_rule *rule;
    s.is_long = FALSE;
    s.next = NEXT_MANY;
    switch (op->kind) {
    case OP_LIT:
        s.next = m->grammar->pool->data[op->x + s.a];
        break;
    case OP_COMMA:
        s.next = ',';
        break;
    case OP_END:
        s.next = NEXT_END;
        break;
    case OP_COPY:
        s.next = copy_next(m, &s);
        break;
    case OP_STRING:
        rule = &g_array_index(m->grammar->strings, dx_string_rule, op->x);
        s.is_long = rule->regex == NULL && s.c == 0 &&
                    rule->max - s.a >= m->vocab->token_bytes_max;
        break;
    default:
        break;
    }
    if (is_known(m, &s))
        return;
    if (m->states->len >= DX_MATCHER_STATES_MAX) {
        m->is_overflow = TRUE;
        return;
    }
    g_array_append_val(m->states, s);
}

static void clear_registers(state *s)
{
    s->a = s->b = s->c = s->start = 0;
    s->d = 0;
}

static gboolean is_string_done(const dx_matcher *m, const state *s)
{
    const dx_string_rule *rule =
        &g_array_index(m->grammar->strings, dx_string_rule, op_of(m, s->pc)->x);
    return s->c == 0 && s->a >= rule->min &&
           (rule->regex == NULL || rule->regex->is_accept[s->b]);
}

static dx_number_state number_of(const state *s)
{
    return (dx_number_state){ s->a, s->b, s->c, s->d };
}

/* Run instructions that take no byte, until every way needs one. */
static void follow(dx_matcher *m, state first)
{
    state pending[2 * DX_GRAMMAR_DEPTH_MAX];
    guint n = 1;
    pending[0] = first;
    while (n > 0) {
        state s = pending[--n], other;
        const dx_op *op = op_of(m, s.pc);
        gboolean is_stopping = FALSE;
        if (op->kind == OP_FORK) {
            /* The long chains of forks (optional members) grow in y: x is put on the
             * stack last and done first, so the stack stays as deep as the nesting. */
            other = s;
            other.pc = op->y;
            s.pc = op->x;
            assert(n + 2 <= G_N_ELEMENTS(pending));
            pending[n++] = other;
            pending[n++] = s;
            continue;
        }
        switch (op->kind) {
        case OP_JUMP:
            s.pc = op->x;
            break;
        case OP_OBJECT:
            s.seen &= ~(1u << op->depth);
            s.pc++;
            break;
        case OP_LIST:
            s.count[op->depth] = 0;
            s.pc++;
            break;
        case OP_ITEM:
            s.count[op->depth]++;
            s.pc++;
            break;
        case OP_COMMA:
            is_stopping = s.seen >> op->depth & 1;
            s.seen |= 1u << op->depth;
            s.pc += !is_stopping;
            break;
        case OP_CHOICE:
            other = s;
            other.pc = op->y;
            if (s.count[op->depth] >= op->min) {
                assert(n < G_N_ELEMENTS(pending));
                pending[n++] = other;
            }
            is_stopping = s.count[op->depth] >= op->max;
            s.pc = op->x;
            if (is_stopping)
                continue;
            break;
        case OP_STRING:
        case OP_NUMBER:
            is_stopping = TRUE;
            break;
        case OP_COPY:
            begin_copy(m, s);
            continue;
        default:
            is_stopping = TRUE;
            break;
        }
        if (!is_stopping) {
            pending[n++] = s;
            continue;
        }
        /* A string may have a last quote that no copy source can lead to. */
        if (op->kind == OP_LIT && s.a == 0 && op_of(m, s.pc + 1)->kind == OP_COPY &&
            !is_copy_possible(m, s.pc + 1))
            continue;
        push(m, s);
        if (op->kind == OP_STRING && is_string_done(m, &s)) {
            clear_registers(&s);
            s.pc++;
            push(m, s);
        }
    }
}

/* ---- one byte --------------------------------------------------------------------- */

static gboolean passes(const dx_string_rule *rule, const state *s, uint32_t code)
{
    if (code == 0 || s->a >= rule->max)
        return FALSE;
    if (rule->regex == NULL)
        return TRUE;
    const dx_regex *re = rule->regex;
    int32_t to = re->next[(size_t)s->b * re->class_count + dx_regex_class(re, code)];
    return to >= 0 && rule->is_open[(size_t)(s->a + 1) * re->state_count + to];
}

/* Is one of the characters that can still come allowed here? */
static gboolean passes_some(const dx_string_rule *rule, const state *s, uint32_t lo,
                            uint32_t hi)
{
    if (rule->regex == NULL)
        return s->a < rule->max;
    if (hi < 0x80) {
        for (uint32_t code = lo; code <= hi; code++) {
            gboolean is_spelled = dx_char_is_escaped(code) || code == '"' ||
                                  code == '\\' || code == '/' ||
                                  (code >= '\b' && code <= '\r' && code != '\v');
            /* Behind "\u" only the characters without a short escape can come. */
            if ((hi < 0x20 ? dx_char_is_escaped(code) : is_spelled) &&
                passes(rule, s, code))
                return TRUE;
        }
        return FALSE;
    }
    const dx_regex *re = rule->regex;
    for (uint32_t k = dx_regex_class(re, lo); k < re->class_count; k++) {
        uint32_t first = MAX(re->class_first[k], lo);
        if (first > hi)
            break;
        if (passes(rule, s, first))
            return TRUE;
    }
    return FALSE;
}

static void step_string(dx_matcher *m, state s, uint8_t byte)
{
    const dx_string_rule *rule =
        &g_array_index(m->grammar->strings, dx_string_rule, op_of(m, s.pc)->x);
    dx_char_state at = { s.c, (uint32_t)s.d };
    uint32_t lo, hi;
    dx_char_step kind = dx_char_take(&at, byte, &lo, &hi);
    if (kind == DX_CHAR_NO)
        return;
    if (kind == DX_CHAR_MORE) {
        if (!passes_some(rule, &s, lo, hi))
            return;
        s.c = at.phase;
        s.d = at.code;
        push(m, s);
        return;
    }
    if (!passes(rule, &s, lo))
        return;
    if (rule->regex != NULL)
        s.b = (uint32_t)rule->regex->next[(size_t)s.b * rule->regex->class_count +
                                          dx_regex_class(rule->regex, lo)];
    s.a++;
    s.c = 0;
    s.d = 0;
    push(m, s);
    if (is_string_done(m, &s)) {
        clear_registers(&s);
        s.pc++;
        push(m, s);
    }
}

static void step_number(dx_matcher *m, state s, uint8_t byte)
{
    const dx_number_rule *rule =
        &g_array_index(m->grammar->numbers, dx_number_rule, op_of(m, s.pc)->x);
    dx_number_state n = number_of(&s);
    if (!dx_number_take(rule, &n, byte))
        return;
    s.a = n.phase;
    s.b = n.is_minus;
    s.c = n.decimals;
    s.d = n.digits;
    push(m, s);
    if (dx_number_is_done(rule, &n)) {
        clear_registers(&s);
        s.pc++;
        follow(m, s);
    }
}

/* Add to the growing set what state i becomes with this byte. */
static void step(dx_matcher *m, guint i, uint8_t byte)
{
    state s = *state_at(m, i);
    const dx_op *op = op_of(m, s.pc);
    switch (op->kind) {
    case OP_STRING:
        step_string(m, s, byte);
        return;
    case OP_NUMBER:
        step_number(m, s, byte);
        return;
    case OP_COPY:
        if (step_copy(m, &s))
            follow_copy(m, s);
        else
            push(m, s);
        return;
    case OP_LIT:
        if (++s.a < op->y) {
            push(m, s);
            return;
        }
        break;
    default:
        break;
    }
    clear_registers(&s);
    s.pc++;
    follow(m, s);
}

/* ---- public ----------------------------------------------------------------------- */

dx_matcher *dx_matcher_new(const dx_grammar *grammar, const dx_vocab *vocab,
                           const dx_copy_source *copy)
{
    dx_matcher *m = g_new0(dx_matcher, 1);
    /* Both are immutable but for their counts. */
    m->grammar = dx_grammar_ref((dx_grammar *)grammar);
    m->vocab = dx_vocab_ref((dx_vocab *)vocab);
    m->copy = copy;
    m->states = g_array_new(FALSE, FALSE, sizeof(state));
    m->pieces = g_array_new(FALSE, FALSE, sizeof(piece));
    m->text = g_string_new(NULL);
    if (copy != NULL) {
        m->distances = g_new0(uint32_t *, copy->sets->len + 1);
        for (guint i = 0; i < copy->sets->len; i++) {
            const dx_copy_set *set = copy->sets->pdata[i];
            if (set->is_free)
                m->distances[i] = dx_copy_distances(copy, set);
        }
    }
    m->is_tracking = TRUE;
    begin_set(m);
    state first;
    memset(&first, 0, sizeof first);
    follow(m, first);
    m->alive = m->states->len;
    return m;
}

void dx_matcher_free(dx_matcher *m)
{
    if (m == NULL)
        return;
    for (guint i = 0; m->distances != NULL && i < m->copy->sets->len; i++)
        g_free(m->distances[i]);
    g_free(m->distances);
    dx_grammar_unref(m->grammar);
    dx_vocab_unref(m->vocab);
    g_array_unref(m->states);
    g_array_unref(m->pieces);
    g_string_free(m->text, TRUE);
    g_free(m);
}

/* Step states [from, to) into a new set behind them; returns where it starts. */
static guint step_all(dx_matcher *m, guint from, guint to, uint8_t byte, gboolean is_sure)
{
    begin_set(m);
    guint set = m->set_from;
    for (guint i = from; i < to; i++) {
        const state *s = state_at(m, i);
        if (s->next == byte || (s->next == NEXT_MANY && !(is_sure && s->is_long)))
            step(m, i, byte);
    }
    return set;
}

/* Set the bits of all tokens below a node.  The depth is that of the trie, which
 * DX_TOKEN_BYTES_MAX bounds. */
static void walk(dx_matcher *m, const dx_trie_node *node, guint from, guint to,
                 uint32_t *mask)
{
    for (uint32_t k = 0; k < node->child_count && !m->is_overflow; k++) {
        const dx_trie_node *child = &m->vocab->nodes[node->child_first + k];
        guint set = step_all(m, from, to, child->byte, !child->has_quote);
        if (m->states->len > set) {
            for (int32_t t = child->token; t >= 0; t = m->vocab->same[t])
                mask[t / 32] |= 1u << (t % 32);
            if (child->child_count > 0)
                walk(m, child, set, m->states->len, mask);
        }
        g_array_set_size(m->states, set);
    }
}

/* The only byte that can come after states [from, to), or -1. */
static int only_byte(dx_matcher *m, guint from, guint to)
{
    int only = -1;
    gboolean is_many = FALSE;
    for (guint i = from; i < to; i++) {
        const state *s = state_at(m, i);
        if (s->next == NEXT_END || s->is_long)
            return -1;
        if (s->next == NEXT_MANY)
            is_many = TRUE;
        else if (only >= 0 && only != s->next)
            return -1;
        else
            only = s->next;
    }
    for (int byte = 0; byte < 256 && is_many; byte++) {
        if (byte == only)
            continue;
        guint set = step_all(m, from, to, (uint8_t)byte, FALSE);
        gboolean is_possible = m->states->len > set;
        g_array_set_size(m->states, set);
        if (is_possible && only >= 0)
            return -1;
        if (is_possible)
            only = byte;
    }
    return only;
}

/* Text that must come now, as far as it goes. */
static void forced_text(dx_matcher *m, GString *text)
{
    guint from = 0, to = m->alive;
    while (text->len < DX_FORCED_BYTES_MAX) {
        int byte = only_byte(m, from, to);
        if (byte < 0)
            break;
        g_string_append_c(text, (char)byte);
        from = step_all(m, from, to, (uint8_t)byte, FALSE);
        to = m->states->len;
    }
    g_array_set_size(m->states, m->alive);
}

vl_step dx_matcher_next(dx_matcher *m, uint32_t *mask, int32_t *forced, size_t forced_max,
                        size_t *forced_count)
{
    *forced_count = 0;
    if (m->is_over)
        return VL_STEP_END;
    if (m->alive == 0 || m->is_overflow)
        return VL_STEP_FAIL;
    gboolean may_end = FALSE, must_end = TRUE;
    for (guint i = 0; i < m->alive; i++) {
        may_end |= state_at(m, i)->next == NEXT_END;
        must_end &= state_at(m, i)->next == NEXT_END;
    }
    if (must_end)
        return VL_STEP_END;
    m->is_tracking = FALSE;
    if (forced_max > 0 && !may_end) {
        g_autoptr(GString) text = g_string_new(NULL);
        size_t used;
        forced_text(m, text);
        if (text->len > 0)
            *forced_count =
                dx_vocab_cut(m->vocab, text->str, text->len, forced, forced_max, &used);
        if (*forced_count > 0)
            return VL_STEP_FORCED;
    }
    size_t words = (m->vocab->count + 31) / 32;
    memset(mask, 0, words * sizeof *mask);
    for (guint i = 0; i < m->alive; i++) {
        if (state_at(m, i)->is_long) {
            memcpy(mask, m->vocab->in_string, words * sizeof *mask);
            break;
        }
    }
    walk(m, m->vocab->nodes, 0, m->alive, mask);
    if (may_end && m->vocab->eos >= 0)
        mask[m->vocab->eos / 32] |= 1u << (m->vocab->eos % 32);
    for (size_t i = 0; i < words && !m->is_overflow; i++) {
        if (mask[i] != 0)
            return VL_STEP_SAMPLE;
    }
    /* A vocabulary without a token for anything but the end of the answer. */
    return may_end && !m->is_overflow ? VL_STEP_END : VL_STEP_FAIL;
}

gboolean dx_matcher_accept(dx_matcher *m, int32_t token)
{
    const dx_vocab *v = m->vocab;
    if (m->is_over || token < 0 || (size_t)token >= v->count)
        return FALSE;
    if (token == v->eos) {
        for (guint i = 0; i < m->alive && !m->is_over; i++)
            m->is_over = state_at(m, i)->next == NEXT_END;
        return m->is_over;
    }
    uint32_t first = v->first[token], bytes = v->first[token + 1] - first;
    if (bytes == 0)
        return FALSE;
    guint from = 0, to = m->alive, pieces = m->pieces->len;
    m->is_tracking = TRUE;
    for (uint32_t i = 0; i < bytes && to > from; i++) {
        from = step_all(m, from, to, v->bytes[first + i], FALSE);
        to = m->states->len;
    }
    if (to == from || m->is_overflow) {
        g_array_set_size(m->states, m->alive);
        g_array_set_size(m->pieces, pieces);
        return FALSE;
    }
    g_array_remove_range(m->states, 0, from);
    m->alive = to - from;
    g_string_append_len(m->text, (const char *)v->bytes + first, bytes);
    return TRUE;
}

const char *dx_matcher_text(const dx_matcher *m, gsize *bytes)
{
    if (bytes != NULL)
        *bytes = m->text->len;
    return m->text->str;
}

static char *pointer_of(const dx_matcher *m, const piece *p)
{
    const dx_copy_rule *rule =
        &g_array_index(m->grammar->copies, dx_copy_rule, op_of(m, p->pc)->x);
    GString *out = g_string_new(NULL);
    for (const char *s = rule->path; *s != '\0'; s++) {
        if (s[0] == '~' && s[1] == '2') {
            g_string_append_printf(out, "%u", p->count[s[2] - '0']);
            s += 2;
        } else {
            g_string_append_c(out, *s);
        }
    }
    return g_string_free(out, FALSE);
}

gboolean dx_matcher_copied(const dx_matcher *m, size_t index, char **pointer,
                           GArray **spans)
{
    g_autoptr(GArray) chain = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    uint32_t past = m->alive > 0 ? state_at(m, 0)->past : 0;
    for (; past != 0; past = g_array_index(m->pieces, piece, past - 1).past)
        g_array_append_val(chain, past);
    GArray *out = NULL;
    for (guint i = chain->len; i-- > 0;) {
        const piece *p =
            &g_array_index(m->pieces, piece, g_array_index(chain, uint32_t, i) - 1);
        if (index == 0) {
            if (out == NULL)
                out = g_array_new(FALSE, FALSE, sizeof(dx_copy_span));
            dx_copy_span span = { p->start, p->end };
            g_array_append_val(out, span);
            if (p->is_last) {
                *pointer = pointer_of(m, p);
                *spans = out;
                return TRUE;
            }
        } else if (p->is_last) {
            index--;
        }
    }
    if (out != NULL)
        g_array_unref(out);
    return FALSE;
}

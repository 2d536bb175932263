/*
 * split.c - compiles and runs the patterns of split.h.
 *
 * A sequence is matched greedily with steps back.  The work stays near linear: only one
 * repetition of a sequence may have something behind it, and a sequence that starts with
 * an unbounded run of a class and fails at the run's start fails at every later place in
 * that run too: its ends were all tried already.
 */
#include "split.h"

#include <assert.h>

#include "chars.h"
#include "util.h"

#define REPEAT_MAX 1000u
#define UNBOUNDED  UINT32_MAX

/* A set of characters: ranges and Unicode classes, perhaps all others instead. */
typedef struct set {
    size_t first, count; /* in `ranges` */
    unsigned classes;
    unsigned others; /* classes of which everything else is in it: \S, \P{..} */
    bool is_negated;
} set;

typedef struct item {
    set set;
    uint32_t least, most;
} item;

typedef enum tail { TAIL_NONE, TAIL_END, TAIL_NOT } tail;

typedef struct sequence {
    item items[VL_SPLIT_ITEMS_MAX];
    size_t count;
    tail tail;
    set refused; /* TAIL_NOT */
} sequence;

typedef struct stage {
    sequence alts[VL_SPLIT_ALTS_MAX];
    size_t count;
} stage;

struct vl_split {
    stage stages[VL_SPLIT_STAGES_MAX];
    size_t count;
    uint32_t (*ranges)[2];
    size_t range_count;
};

/* ---- compiling ---- */

typedef struct reader {
    vl_split *split;
    const uint8_t *at, *end, *start;
    vl_error *err;
} reader;

static bool refuse(const reader *r, const char *what)
{
    return vl_fail(r->err, VL_UNSUPPORTED,
                   "tokenizer.json: pattern with %s at byte %zu of it", what,
                   (size_t)(r->at - r->start)) != NULL;
}

static bool next_is(const reader *r, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(r->end - r->at) >= n && memcmp(r->at, text, n) == 0;
}

static bool skip(reader *r, const char *text)
{
    if (!next_is(r, text))
        return false;
    r->at += strlen(text);
    return true;
}

static bool add_range(reader *r, set *s, uint32_t first, uint32_t last)
{
    if (first > last)
        return refuse(r, "a range that runs backwards");
    if (r->split->range_count == VL_SPLIT_RANGES_MAX)
        return vl_fail(r->err, VL_LIMIT,
                       "tokenizer.json: patterns of more than %d ranges",
                       VL_SPLIT_RANGES_MAX) != NULL;
    r->split->ranges[r->split->range_count][0] = first;
    r->split->ranges[r->split->range_count++][1] = last;
    s->count++;
    return true;
}

/* Behind a backslash: a class (added to the set, *code VL_CHAR_NONE) or a character. */
static bool read_escape(reader *r, set *s, uint32_t *code)
{
    static const struct {
        const char *text;
        unsigned classes, others;
    } classes[] = {
        { "s", VL_CHAR_SPACE, 0 },          { "S", 0, VL_CHAR_SPACE },
        { "p{L}", VL_CHAR_LETTER, 0 },      { "p{N}", VL_CHAR_NUMBER, 0 },
        { "p{P}", VL_CHAR_PUNCTUATION, 0 }, { "p{S}", VL_CHAR_SYMBOL, 0 },
        { "p{M}", VL_CHAR_MARK, 0 },
    };
    *code = VL_CHAR_NONE;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (skip(r, classes[i].text)) {
            s->classes |= classes[i].classes;
            s->others |= classes[i].others;
            return true;
        }
    if (r->at == r->end)
        return refuse(r, "nothing behind a backslash");
    uint8_t c = *r->at;
    if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
        (c >= 'a' && c <= 'z' && c != 'r' && c != 'n' && c != 't') || c >= 0x80)
        return refuse(r, "an escape that this core does not know");
    r->at++;
    *code = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c;
    return true;
}

/* One character or class; *code VL_CHAR_NONE for a class, which is in the set then. */
static bool read_member(reader *r, set *s, uint32_t *code)
{
    if (skip(r, "\\"))
        return read_escape(r, s, code);
    r->at += vl_char_decode(r->at, r->end, code);
    return *code != VL_CHAR_NONE || refuse(r, "a byte that is no UTF-8");
}

static bool read_brackets(reader *r, set *s)
{
    s->is_negated = skip(r, "^");
    while (!skip(r, "]")) {
        uint32_t first, last;
        if (r->at == r->end)
            return refuse(r, "an open class");
        if (next_is(r, "[") || next_is(r, "&&"))
            return refuse(r, "a class within a class");
        if (!read_member(r, s, &first))
            return false;
        if (first == VL_CHAR_NONE)
            continue;
        last = first;
        if (next_is(r, "-") && !next_is(r, "-]")) {
            r->at++;
            if (r->at == r->end)
                return refuse(r, "an open range");
            if (!read_member(r, s, &last) || last == VL_CHAR_NONE)
                return refuse(r, "a range that ends in a class");
        }
        if (!add_range(r, s, first, last))
            return false;
    }
    return s->count > 0 || s->classes != 0 || s->others != 0 ||
           refuse(r, "an empty class");
}

static bool read_set(reader *r, set *s)
{
    uint32_t code;
    *s = (set){ .first = r->split->range_count };
    if (skip(r, "["))
        return read_brackets(r, s);
    if (r->at == r->end || strchr(".^*+?{}()|$", *r->at) != NULL)
        return refuse(r, "something that this core does not know");
    if (!read_member(r, s, &code))
        return false;
    return code == VL_CHAR_NONE || add_range(r, s, code, code);
}

static bool read_number(reader *r, uint32_t *number)
{
    const uint8_t *start = r->at;
    *number = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9' && *number <= REPEAT_MAX;
         r->at++)
        *number = 10 * *number + (*r->at - (uint32_t)'0');
    return r->at > start && *number <= REPEAT_MAX;
}

static bool read_repeat(reader *r, item *i)
{
    i->least = i->most = 1;
    if (skip(r, "?")) {
        i->least = 0;
    } else if (skip(r, "*")) {
        i->least = 0;
        i->most = UNBOUNDED;
    } else if (skip(r, "+")) {
        i->most = UNBOUNDED;
    } else if (skip(r, "{")) {
        if (!read_number(r, &i->least))
            return refuse(r, "a repetition that is no number of use");
        i->most = i->least;
        if (skip(r, ",") && !read_number(r, &i->most))
            return refuse(r, "a repetition that is no number of use");
        if (!skip(r, "}") || i->most < i->least || i->most == 0)
            return refuse(r, "a repetition that is no number of use");
    }
    /* Lazy and possessive forms. */
    return !(next_is(r, "?") || next_is(r, "+") || next_is(r, "*")) ||
           refuse(r, "a repetition of a repetition");
}

static bool read_sequence(reader *r, sequence *s)
{
    uint64_t least = 0;
    *s = (sequence){ .count = 0 };
    while (r->at < r->end && !next_is(r, "|")) {
        if (s->tail != TAIL_NONE)
            return refuse(r, "something behind a condition");
        if (skip(r, "$")) {
            s->tail = TAIL_END;
        } else if (skip(r, "(?!")) {
            s->tail = TAIL_NOT;
            if (!read_set(r, &s->refused) || !skip(r, ")"))
                return refuse(r, "a look ahead of more than one character");
        } else {
            if (s->count == VL_SPLIT_ITEMS_MAX)
                return refuse(r, "a sequence too long");
            item *i = &s->items[s->count++];
            if (!read_set(r, &i->set) || !read_repeat(r, i))
                return false;
            least += i->least;
        }
    }
    /* Each of these may step back: two of them nested cost the square of the text. */
    size_t repeats = 0;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i].most > 1 && (i + 1 < s->count || s->tail != TAIL_NONE))
            repeats++;
    if (repeats > 1)
        return refuse(r, "two repetitions that something follows");
    return least > 0 || refuse(r, "a sequence that may be empty");
}

static bool read_pattern(vl_split *split, const char *text, size_t bytes, vl_error *err)
{
    const uint8_t *start = (const uint8_t *)text;
    reader r = { split, start, start + bytes, start, err };
    if (split->count == VL_SPLIT_STAGES_MAX)
        return vl_fail(err, VL_LIMIT, "tokenizer.json: more than %d pre-tokenizers",
                       VL_SPLIT_STAGES_MAX) != NULL;
    stage *s = &split->stages[split->count++];
    do {
        if (s->count == VL_SPLIT_ALTS_MAX)
            return refuse(&r, "too many alternatives");
        if (!read_sequence(&r, &s->alts[s->count++]))
            return false;
    } while (skip(&r, "|"));
    return true;
}

static bool is_false(const vl_json *value)
{
    return value != NULL && value->type == VL_JSON_BOOL && value->number == 0;
}

static bool read_stage(vl_split *split, const vl_json *entry, vl_error *err)
{
    const vl_json *type = vl_json_get(entry, "type");
    if (vl_json_is(type, "Split")) {
        const vl_json *regex = vl_json_get(vl_json_get(entry, "pattern"), "Regex");
        const vl_json *invert = vl_json_get(entry, "invert");
        if (regex == NULL || regex->type != VL_JSON_STRING ||
            !vl_json_is(vl_json_get(entry, "behavior"), "Isolated") ||
            (invert != NULL && !is_false(invert)))
            return vl_fail(err, VL_UNSUPPORTED,
                           "tokenizer.json: Split only by Regex and Isolated") != NULL;
        return read_pattern(split, regex->text, regex->text_bytes, err);
    }
    if (vl_json_is(type, "Digits")) {
        bool is_single = !is_false(vl_json_get(entry, "individual_digits"));
        const char *pattern = is_single ? "\\p{N}" : "\\p{N}+";
        return read_pattern(split, pattern, strlen(pattern), err);
    }
    if (vl_json_is(type, "ByteLevel") && entry->next == NULL &&
        is_false(vl_json_get(entry, "add_prefix_space")) &&
        is_false(vl_json_get(entry, "use_regex")))
        return true;
    return vl_fail(err, VL_UNSUPPORTED,
                   "tokenizer.json: only Split and Digits before ByteLevel "
                   "(no pattern, no prefix space)") != NULL;
}

vl_split *vl_split_new(const vl_json *stages, vl_error *err)
{
    vl_split *split = calloc(1, sizeof *split);
    if (split != NULL)
        split->ranges = calloc(VL_SPLIT_RANGES_MAX, sizeof *split->ranges);
    if (split == NULL || split->ranges == NULL) {
        vl_split_free(split);
        return vl_fail(err, VL_NOMEM, "no memory for the tokenizer");
    }
    const vl_json *last = NULL;
    for (const vl_json *entry = stages->child; entry != NULL; entry = entry->next) {
        if (!read_stage(split, entry, err)) {
            vl_split_free(split);
            return NULL;
        }
        last = entry;
    }
    if (!vl_json_is(vl_json_get(last, "type"), "ByteLevel")) {
        vl_split_free(split);
        return vl_fail(err, VL_UNSUPPORTED,
                       "tokenizer.json: the last pre-tokenizer is no ByteLevel");
    }
    return split;
}

void vl_split_free(vl_split *split)
{
    if (split == NULL)
        return;
    free(split->ranges);
    free(split);
}

/* ---- running ---- */

static bool set_has(const vl_split *split, const set *s, uint32_t code)
{
    bool is_in = false;
    for (size_t i = s->first; !is_in && i < s->first + s->count; i++)
        is_in = code >= split->ranges[i][0] && code <= split->ranges[i][1];
    if (!is_in && (s->classes | s->others) != 0) {
        unsigned classes = code == VL_CHAR_NONE ? 0 : vl_char_classes(code);
        is_in =
            (classes & s->classes) != 0 || (s->others != 0 && (classes & s->others) == 0);
    }
    return is_in != s->is_negated;
}

/* Bytes of the character at p when it is in the set, 0 otherwise and at the end. */
static size_t take(const vl_split *split, const set *s, const uint8_t *p,
                   const uint8_t *end)
{
    uint32_t code;
    if (p == end)
        return 0;
    size_t bytes = vl_char_decode(p, end, &code);
    return set_has(split, s, code) ? bytes : 0;
}

static bool tail_holds(const vl_split *split, const sequence *s, const uint8_t *p,
                       const uint8_t *end)
{
    if (s->tail == TAIL_END)
        return p == end;
    return s->tail == TAIL_NONE || take(split, &s->refused, p, end) == 0;
}

/* End of a match of the items from `index` on, or NULL.  Depth: VL_SPLIT_ITEMS_MAX. */
static const uint8_t *match_items(const vl_split *split, const sequence *s, size_t index,
                                  const uint8_t *p, const uint8_t *end)
{
    if (index == s->count)
        return tail_holds(split, s, p, end) ? p : NULL;
    const item *i = &s->items[index];
    const uint8_t *q = p;
    uint32_t n = 0;
    for (size_t bytes; n < i->most && (bytes = take(split, &i->set, q, end)) > 0; n++)
        q += bytes;
    for (;; n--) {
        if (n < i->least)
            return NULL;
        const uint8_t *stop = match_items(split, s, index + 1, q, end);
        if (stop != NULL)
            return stop;
        if (n == 0)
            return NULL;
        q -= vl_char_bytes_before(p, q);
    }
}

/* End of the run of the first item's set, where the sequence starts with one. */
static const uint8_t *run_end(const vl_split *split, const sequence *s, const uint8_t *p,
                              const uint8_t *end)
{
    const item *i = &s->items[0];
    if (i->most != UNBOUNDED || i->least > 1)
        return p;
    for (size_t bytes; (bytes = take(split, &i->set, p, end)) > 0;)
        p += bytes;
    return p;
}

typedef struct walk {
    const vl_split *split;
    void (*piece)(void *user, const uint8_t *p, size_t bytes);
    void *user;
} walk;

/* Depth: VL_SPLIT_STAGES_MAX. */
static void run_stage(const walk *w, size_t index, const uint8_t *p, const uint8_t *end)
{
    if (p == end)
        return;
    if (index == w->split->count) {
        w->piece(w->user, p, (size_t)(end - p));
        return;
    }
    const stage *s = &w->split->stages[index];
    const uint8_t *failed_until[VL_SPLIT_ALTS_MAX] = { NULL };
    const uint8_t *gap = p;
    while (p < end) {
        const uint8_t *stop = NULL;
        for (size_t i = 0; stop == NULL && i < s->count; i++) {
            if (failed_until[i] != NULL && p < failed_until[i])
                continue;
            stop = match_items(w->split, &s->alts[i], 0, p, end);
            if (stop == NULL)
                failed_until[i] = run_end(w->split, &s->alts[i], p, end);
        }
        if (stop == NULL) {
            uint32_t code;
            p += vl_char_decode(p, end, &code);
            continue;
        }
        assert(stop > p);
        run_stage(w, index + 1, gap, p);
        run_stage(w, index + 1, p, stop);
        gap = p = stop;
    }
    run_stage(w, index + 1, gap, end);
}

void vl_split_run(const vl_split *split, const uint8_t *text, size_t bytes,
                  void (*piece)(void *user, const uint8_t *p, size_t bytes), void *user)
{
    walk w = { split, piece, user };
    run_stage(&w, 0, text, text + bytes);
}

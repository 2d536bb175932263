/*
 * group.c - characters to words, words to lines of print.
 *
 * Everything is a chain of "the nearest one to the right at this height", made mutual, so
 * a page may be skewed or hold columns without any cut being looked for.  A chain of
 * characters is parted into words where the head's gap flag and the distance together
 * say so: log-odds of the flag + 9 * (excess distance / height - 0.2) > 0, the excess
 * counting against what the widths of the two letters let expect.
 */
#include "read.h"

#include <assert.h>
#include <math.h>

#include "deskew.h"
#include "order.h"
#include "spell.h"
#include "util.h"

#define NONE         UINT32_MAX
#define PIECE_GAP    1.3f  /* heights between two words of one piece of a line */
#define GUTTER_GAP   0.7f  /* heights of white that a narrow gutter has at least */
#define GUTTER_EDGE  0.4f  /* heights by which the lines behind it start apart */
#define GUTTER_SPAN  16.0f /* heights above and below that are looked at */
#define GUTTER_LINES 6u    /* that have it in common */
#define GUTTER_CROSS 4u    /* a word across for so many lines, no more */
#define GUTTER_WORK  100000000u
#define HEIGHT_LEAST 4.0f
#define HEIGHT_MOST  80.0f

struct vl_text {
    vl_char *chars; /* in the order of the words */
    vl_word *words;
    size_t char_count, word_count;
    char *store;
    vl_upright upright;
};

/* Something that is linked to its right neighbour: a character, a word or a piece. */
typedef struct item {
    float x0, x1, y, y_right, height;
} item;

/* A list of chains: members of chain i are order[start[i] .. start[i + 1]). */
typedef struct chains {
    uint32_t *order, *start;
    size_t count;
} chains;

static void chains_clear(chains *c)
{
    free(c->order);
    free(c->start);
    *c = (chains){ 0 };
}

typedef struct sort_key {
    float key;
    uint32_t index;
} sort_key;

static int compare_sort_keys(const void *a, const void *b)
{
    const sort_key *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static float median(float *values, size_t count)
{
    assert(count > 0);
    for (size_t i = 1; i < count; i++) {
        float v = values[i];
        size_t k = i;
        for (; k > 0 && values[k - 1] > v; k--)
            values[k] = values[k - 1];
        values[k] = v;
    }
    return count % 2 != 0 ? values[count / 2]
                          : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- links ---- */

typedef struct link_rule {
    float reach;     /* to the right, in heights; infinite for whole lines */
    float tolerance; /* up and down, in heights */
    float back;      /* how far it may start before this one ends, in heights */
} link_rule;

/* next[i]: the best right neighbour of item i that has no better left one. */
static void link_items(const item *items, size_t n, const link_rule *rule,
                       const sort_key *by_x, uint32_t *next, float *cost, uint32_t *owner)
{
    for (size_t i = 0; i < n; i++) {
        const item *a = &items[i];
        float from = a->x1 - rule->back * a->height, to = a->x1 + rule->reach * a->height;
        size_t low = 0, high = n;
        next[i] = NONE;
        owner[i] = NONE;
        cost[i] = INFINITY;
        while (low < high) {
            size_t middle = (low + high) / 2;
            if (by_x[middle].key < from)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < n && by_x[low].key <= to; low++) {
            uint32_t j = by_x[low].index;
            const item *b = &items[j];
            float dy = fabsf(b->y - a->y_right), dx = fabsf(b->x0 - a->x1);
            if (dx >= cost[i] && b->x0 > a->x1)
                break; /* sorted: every later one is farther */
            if (j == i || !(dy < rule->tolerance * fminf(b->height, a->height)))
                continue;
            if (dx + 1.5f * dy < cost[i]) {
                cost[i] = dx + 1.5f * dy;
                next[i] = j;
            }
        }
    }
    for (uint32_t i = 0; i < n; i++)
        if (next[i] != NONE && (owner[next[i]] == NONE || cost[i] < cost[owner[next[i]]]))
            owner[next[i]] = i;
    for (uint32_t i = 0; i < n; i++)
        if (next[i] != NONE && owner[next[i]] != i)
            next[i] = NONE;
}

static bool chain_items(const item *items, size_t n, const link_rule *rule, chains *out)
{
    sort_key *by_x = malloc((n + 1) * sizeof *by_x);
    uint32_t *next = malloc((n + 1) * sizeof *next),
             *owner = malloc((n + 1) * sizeof *owner);
    float *cost = vl_floats_new(n + 1);
    bool *is_used = calloc(n + 1, sizeof *is_used);
    *out = (chains){ malloc((n + 1) * sizeof *out->order),
                     malloc((n + 1) * sizeof *out->start), 0 };
    bool is_done = by_x != NULL && next != NULL && owner != NULL && cost != NULL &&
                   is_used != NULL && out->order != NULL && out->start != NULL;
    if (is_done) {
        for (uint32_t i = 0; i < n; i++)
            by_x[i] = (sort_key){ items[i].x0, i };
        qsort(by_x, n, sizeof *by_x, compare_sort_keys);
        link_items(items, n, rule, by_x, next, cost, owner);
        uint32_t used = 0;
        /* First from those without a left neighbour; a ring, if any, from anywhere. */
        for (unsigned pass = 0; pass < 2; pass++)
            for (uint32_t i = 0; i < n; i++) {
                bool has_left = owner[i] != NONE && next[owner[i]] == i;
                if (is_used[i] || (pass == 0 && has_left))
                    continue;
                out->start[out->count++] = used;
                for (uint32_t k = i; k != NONE && !is_used[k]; k = next[k]) {
                    is_used[k] = true;
                    out->order[used++] = k;
                }
            }
        out->start[out->count] = used;
        assert(used == n);
    } else {
        chains_clear(out);
    }
    free(by_x);
    free(next);
    free(owner);
    free(cost);
    free(is_used);
    return is_done;
}

/* ---- characters ---- */

typedef struct grouping {
    vl_char *chars;
    size_t n;
    item *items;  /* of the characters, then of the words */
    float *spare; /* [n + 1] */
    float *spare2;
    vl_word *words;
    item *word_items;
    uint32_t *members; /* characters in the order of the words */
    size_t word_count, member_count;
    float slope;
} grouping;

static int compare_heights(const void *a, const void *b)
{
    const vl_char *x = a, *y = b;
    if (x->y != y->y)
        return x->y < y->y ? -1 : 1;
    return (x->x > y->x) - (x->x < y->x);
}

/* One of two characters that two tiles both claim. */
static void drop_doubles(grouping *g)
{
    size_t kept = 0;
    qsort(g->chars, g->n, sizeof *g->chars, compare_heights);
    for (size_t i = 0; i < g->n; i++) {
        vl_char *a = &g->chars[i];
        float high = fminf(fmaxf(5, a->height), HEIGHT_MOST);
        for (size_t j = i + 1; a->code != 0 && j < g->n; j++) {
            vl_char *b = &g->chars[j];
            if (!(b->y - a->y < 0.4f * high))
                break;
            float reach =
                (a->code == b->code ? 0.22f : 0.12f) * fminf(high, fmaxf(5, b->height));
            if (b->code == 0 || !(fabsf(b->x - a->x) < reach))
                continue;
            if (a->prob < b->prob)
                a->code = 0;
            else
                b->code = 0;
        }
    }
    for (size_t i = 0; i < g->n; i++)
        if (g->chars[i].code != 0)
            g->chars[kept++] = g->chars[i];
    g->n = kept;
}

static void place_items(grouping *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const vl_char *c = &g->chars[i];
        float y = c->y - g->slope * c->x;
        g->items[i] = (item){ c->x, c->x, y, y,
                              fminf(fmaxf(c->height, HEIGHT_LEAST), HEIGHT_MOST) };
    }
}

/* The page's skew: the weighted median slope of its long chains. */
static bool find_slope(grouping *g)
{
    static const link_rule rule = { 1.9f, 0.5f, -0.1f };
    chains c = { 0 };
    if (!chain_items(g->items, g->n, &rule, &c))
        return false;
    sort_key *slopes = malloc((c.count + 1) * sizeof *slopes);
    size_t count = 0;
    double total = 0, half = 0;
    for (uint32_t i = 0; slopes != NULL && i < c.count; i++) {
        uint32_t first = c.start[i], last = c.start[i + 1];
        double mx = 0, my = 0, xx = 0, xy = 0, members = last - first;
        if (members < 8)
            continue;
        for (uint32_t k = first; k < last; k++) {
            mx += g->chars[c.order[k]].x / members;
            my += g->chars[c.order[k]].y / members;
        }
        for (uint32_t k = first; k < last; k++) {
            double dx = g->chars[c.order[k]].x - mx;
            xx += dx * dx;
            xy += dx * (g->chars[c.order[k]].y - my);
        }
        if (xx <= 0)
            continue;
        double span = g->chars[c.order[last - 1]].x - g->chars[c.order[first]].x;
        g->spare[i] = (float)pow(fabs(span), 1.5);
        total += g->spare[i];
        slopes[count++] = (sort_key){ (float)(xy / xx), i };
    }
    bool is_done = slopes != NULL;
    if (is_done && count > 0) {
        qsort(slopes, count, sizeof *slopes, compare_sort_keys);
        size_t k = 0;
        while (k + 1 < count && (half += g->spare[slopes[k].index]) < total / 2)
            k++;
        g->slope = slopes[k].key;
    }
    free(slopes);
    chains_clear(&c);
    return is_done;
}

/* ---- words ---- */

/* Width of a letter against an average one. */
float vl_relative_width(uint32_t code)
{
    static const struct {
        const char *letters;
        float width;
    } widths[] = { { "iljI.,:;'|!()[]`", 0.48f },
                   { "tfr\"-1/\\*", 0.66f },
                   { "mwMW@%", 1.32f },
                   { "ABCDGHKNOQRUVXY&", 1.12f } };
    if (code == 0x2019 || code == 0x2018 || code == 0x2022 || code == 0xb7)
        return 0.48f;
    if (code == 0xb0)
        return 0.66f;
    if (code == 0x2014 || code == 0x2122 || code == 0x2116)
        return 1.32f;
    for (size_t i = 0; code < 128 && code != 0 && i < sizeof widths / sizeof *widths; i++)
        if (strchr(widths[i].letters, (int)code) != NULL)
            return widths[i].width;
    return 1;
}

/* Expected distances in a chain, into g->spare2: proportional to the widths, or one for
 * all where that explains the chain better (typewriter faces). */
static void expect_distances(grouping *g, const uint32_t *chain, uint32_t n, float height)
{
    float *sorted = g->spare, *expected = g->spare2;
    uint32_t tight = 0;
    float unit = 0.72f * height, mono = 0.8f * height;
#define DISTANCE(k) (g->chars[chain[(k) + 1]].x - g->chars[chain[k]].x)
    for (uint32_t k = 0; k + 1 < n; k++) {
        expected[k] = (vl_relative_width(g->chars[chain[k]].code) +
                       vl_relative_width(g->chars[chain[k + 1]].code)) /
                      2;
        if (DISTANCE(k) < 1.25f * height)
            sorted[tight++] = DISTANCE(k) / expected[k];
    }
    if (tight > 2) {
        unit = median(sorted, tight);
        tight = 0;
        for (uint32_t k = 0; k + 1 < n; k++)
            if (DISTANCE(k) < 1.25f * height)
                sorted[tight++] = DISTANCE(k);
        mono = median(sorted, tight);
    }
    float error_mono = 1, error_unit = 0;
    if (tight > 5) {
        tight = 0;
        for (uint32_t k = 0; k + 1 < n; k++)
            if (DISTANCE(k) < 1.25f * height)
                sorted[tight++] = fabsf(DISTANCE(k) - mono);
        error_mono = median(sorted, tight);
        tight = 0;
        for (uint32_t k = 0; k + 1 < n; k++)
            if (DISTANCE(k) < 1.25f * height)
                sorted[tight++] = fabsf(DISTANCE(k) - unit * expected[k]);
        error_unit = median(sorted, tight);
    }
    bool is_mono = error_mono < 0.6f * error_unit;
    for (uint32_t k = 0; k + 1 < n; k++)
        expected[k] = is_mono ? mono : unit * expected[k];
}

static bool is_word_end(const grouping *g, uint32_t a, uint32_t b, float expected,
                        float height)
{
    float distance = g->chars[b].x - g->chars[a].x, far = (distance - expected) / height;
    float p = fminf(fmaxf(g->chars[a].gap, 1e-4f), 1 - 1e-4f);
    float score = logf(p / (1 - p)) + 9 * (far - 0.2f);
    float ha = g->items[a].height, hb = g->items[b].height;
    bool is_wide = distance > ha + hb || fabsf(ha - hb) > 0.45f * fmaxf(ha, hb);
    return (score > 0 && far > -0.12f) || is_wide;
}

static bool is_thin(uint32_t code)
{
    return code < 128 && code != 0 && strchr("iIl1.,:;'!|()[]jtf", (int)code) != NULL;
}

/* The word of members[first ..] that has just been completed. */
static void close_word(grouping *g, size_t first)
{
    size_t n = g->member_count - first;
    const uint32_t *m = g->members + first;
    vl_word *w = &g->words[g->word_count];
    item *it = &g->word_items[g->word_count++];
    assert(n > 0);
    *w = (vl_word){ .char_first = (uint32_t)first,
                    .char_count = (uint32_t)n,
                    .prob_min = 1 };
    for (size_t i = 0; i < n; i++) {
        w->prob += g->chars[m[i]].prob / (float)n;
        w->prob_min = fminf(w->prob_min, g->chars[m[i]].prob);
        g->spare[i] = g->items[m[i]].height;
    }
    it->height = w->height = median(g->spare, n);
    for (size_t i = 0; i < n; i++)
        g->spare[i] = g->items[m[i]].y;
    it->y = g->items[m[0]].y;
    it->y_right = g->items[m[n - 1]].y;
    float middle = median(g->spare, n), advance = 0.62f * w->height;
    for (size_t i = 0; i + 1 < n; i++)
        g->spare[i] = g->chars[m[i + 1]].x - g->chars[m[i]].x;
    if (n > 1)
        advance = median(g->spare, n - 1);
    advance = fminf(fmaxf(advance, 0.3f * w->height), 1.6f * w->height);
    float thin = fminf(advance, 0.42f * w->height);
    it->x0 = g->chars[m[0]].x - 0.5f * (is_thin(g->chars[m[0]].code) ? thin : advance);
    it->x1 =
        g->chars[m[n - 1]].x + 0.5f * (is_thin(g->chars[m[n - 1]].code) ? thin : advance);
    w->x0 = it->x0;
    w->x1 = it->x1;
    w->y0 = middle - 0.75f * w->height + g->slope * it->x0;
    w->y1 = middle + 0.8f * w->height + g->slope * it->x1;
    if (w->y1 < w->y0 + w->height)
        w->y1 = w->y0 + w->height;
}

static bool find_words(grouping *g)
{
    static const link_rule rule = { 2.2f, 0.42f, -0.1f };
    chains c = { 0 };
    if (!chain_items(g->items, g->n, &rule, &c))
        return false;
    for (size_t i = 0; i < c.count; i++) {
        const uint32_t *chain = c.order + c.start[i];
        uint32_t n = c.start[i + 1] - c.start[i];
        float height = 0;
        for (uint32_t k = 0; k < n; k++)
            height += g->items[chain[k]].height / (float)n;
        expect_distances(g, chain, n, height);
        /* spare is used again by close_word(), spare2 is not. */
        size_t first = g->member_count;
        for (uint32_t k = 0; k < n; k++) {
            g->members[g->member_count++] = chain[k];
            if (k + 1 == n ||
                is_word_end(g, chain[k], chain[k + 1], g->spare2[k], height)) {
                close_word(g, first);
                first = g->member_count;
            }
        }
    }
    chains_clear(&c);
    return true;
}

/* ---- gutters ---- */

/* White between two neighbouring words of a chain. */
typedef struct gap {
    float x1, y, height; /* where it ends */
    uint32_t at;         /* place of the word before it in the chains' order */
} gap;

/* Is a gap a part of a gutter: do the lines around it start behind it at one edge, with
 * white before, and hardly a word across? */
static bool is_gutter(const grouping *g, const gap *here)
{
    float height = here->height, span = GUTTER_SPAN * height;
    float white = here->x1 - 0.8f * GUTTER_GAP * height;
    size_t lines = 0, across = 0;
    for (size_t i = 0; i < g->word_count; i++) {
        const item *w = &g->word_items[i];
        if (fabsf(w->y - here->y) > span)
            continue;
        if (fabsf(w->x0 - here->x1) < GUTTER_EDGE * height)
            lines++;
        else
            across += w->x0 < here->x1 && w->x1 > white;
    }
    return lines >= GUTTER_LINES && GUTTER_CROSS * across <= lines;
}

/* is_cut[k]: the chain of words is to be cut behind order[k].  Columns that stand so close
 * that their words chain are told by what many lines have in common. */
static bool find_gutters(const grouping *g, const chains *c, bool *is_cut)
{
    gap *gaps = malloc((g->word_count + 1) * sizeof *gaps);
    size_t count = 0;
    if (gaps == NULL)
        return false;
    for (size_t i = 0; i < c->count; i++)
        for (uint32_t k = c->start[i]; k + 1 < c->start[i + 1]; k++) {
            const item *a = &g->word_items[c->order[k]],
                       *b = &g->word_items[c->order[k + 1]];
            float height = fminf(a->height, b->height);
            if (b->x0 - a->x1 >= GUTTER_GAP * height)
                gaps[count++] = (gap){ b->x0, (a->y_right + b->y) / 2, height, k };
        }
    if (count * g->word_count <= GUTTER_WORK)
        for (size_t i = 0; i < count; i++)
            is_cut[gaps[i].at] = is_gutter(g, &gaps[i]);
    free(gaps);
    return true;
}

/* ---- lines ---- */

/* One piece: order[first .. end). */
static vl_piece make_piece(const grouping *g, const uint32_t *order, uint32_t first,
                           uint32_t end)
{
    vl_piece p = { INFINITY, -INFINITY, 0, INFINITY };
    for (uint32_t k = first; k < end; k++) {
        const item *it = &g->word_items[order[k]];
        p.x0 = fminf(p.x0, it->x0);
        p.x1 = fmaxf(p.x1, it->x1);
        p.y += (it->y + it->y_right) / 2 / (float)(end - first);
        p.height = fminf(p.height, it->height);
    }
    return p;
}

/* Parts of one chain that did not come into different columns are one line still. */
static void mend_cuts(const chains *c, const uint32_t *piece, const uint32_t *areas,
                      uint32_t *lines)
{
    for (size_t i = 0; i < c->count; i++)
        for (uint32_t k = c->start[i]; k + 1 < c->start[i + 1]; k++)
            if (areas[piece[k]] == areas[piece[k + 1]])
                lines[piece[k + 1]] = lines[piece[k]];
}

/* Pieces: words whose gaps are those between words; then their order. */
static bool find_lines(grouping *g)
{
    static const link_rule rule = { PIECE_GAP, 0.5f, 0.4f };
    chains c = { 0 };
    size_t room = g->word_count + 1;
    if (!chain_items(g->word_items, g->word_count, &rule, &c))
        return false;
    vl_piece *pieces = malloc(room * sizeof *pieces);
    uint32_t *piece =
        malloc(room * sizeof *piece); /* of the words in the chains' order */
    uint32_t *lines = malloc(room * sizeof *lines), count = 0;
    uint32_t *areas = malloc(room * sizeof *areas);
    bool *is_cut = calloc(room, sizeof *is_cut);
    bool is_done = pieces != NULL && piece != NULL && lines != NULL && areas != NULL &&
                   is_cut != NULL && find_gutters(g, &c, is_cut);
    for (size_t i = 0; is_done && i < c.count; i++)
        for (uint32_t k = c.start[i], first = k; k < c.start[i + 1]; k++) {
            piece[k] = count;
            if (k + 1 < c.start[i + 1] && !is_cut[k])
                continue;
            pieces[count++] = make_piece(g, c.order, first, k + 1);
            first = k + 1;
        }
    is_done = is_done && vl_order_pieces(pieces, count, lines, areas);
    if (is_done)
        mend_cuts(&c, piece, areas, lines);
    for (size_t k = 0; is_done && k < g->word_count; k++)
        g->words[c.order[k]].line = lines[piece[k]];
    free(pieces);
    free(piece);
    free(lines);
    free(areas);
    free(is_cut);
    chains_clear(&c);
    return is_done;
}

static int compare_words(const void *a, const void *b)
{
    const vl_word *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->x0 != y->x0)
        return x->x0 < y->x0 ? -1 : 1;
    return (x->char_first > y->char_first) - (x->char_first < y->char_first);
}

/* ---- the result ---- */

static size_t put_utf8(char *out, uint32_t code)
{
    uint8_t *p = (uint8_t *)out;
    if (code < 0x80) {
        p[0] = (uint8_t)code;
        return 1;
    }
    unsigned n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (unsigned i = n; i-- > 1; code >>= 6)
        p[i] = (uint8_t)(0x80 | (code & 63));
    p[0] = (uint8_t)(lead[n] | code);
    return n;
}

static float clamp(float value, float most)
{
    return fminf(fmaxf(value, 0), most);
}

static void scale_word(vl_word *w, const vl_page_place *p)
{
    w->x0 = clamp((w->x0 - p->x) * p->scale_x, p->width);
    w->x1 = clamp((w->x1 - p->x) * p->scale_x, p->width);
    w->y0 = clamp((w->y0 - p->y) * p->scale_y, p->height);
    w->y1 = clamp((w->y1 - p->y) * p->scale_y, p->height);
    w->height *= p->scale_y;
}

static void finish(grouping *g, vl_text *text, const vl_page_place *p)
{
    char *out = text->store;
    qsort(g->words, g->word_count, sizeof *g->words, compare_words);
    for (size_t i = 0; i < g->word_count; i++) {
        vl_word *w = &g->words[i];
        uint32_t first = w->char_first;
        w->char_first = (uint32_t)text->char_count;
        w->text = out;
        for (uint32_t k = 0; k < w->char_count; k++) {
            vl_char c = g->chars[g->members[first + k]];
            out += put_utf8(out, c.code);
            c.x = clamp((c.x - p->x) * p->scale_x, p->width);
            c.y = clamp((c.y - p->y) * p->scale_y, p->height);
            c.height *= p->scale_y;
            text->chars[text->char_count++] = c;
        }
        *out++ = '\0';
        scale_word(w, p);
    }
    text->words = g->words;
    text->word_count = g->word_count;
    g->words = NULL;
}

static bool grouping_init(grouping *g, const vl_char *chars, size_t count)
{
    g->n = count;
    g->chars = malloc((count + 1) * sizeof *g->chars);
    g->items = malloc((count + 1) * sizeof *g->items);
    g->spare = vl_floats_new(count + 1);
    g->spare2 = vl_floats_new(count + 1);
    g->words = malloc((count + 1) * sizeof *g->words);
    g->word_items = malloc((count + 1) * sizeof *g->word_items);
    g->members = malloc((count + 1) * sizeof *g->members);
    if (g->chars == NULL || g->items == NULL || g->spare == NULL || g->spare2 == NULL ||
        g->words == NULL || g->word_items == NULL || g->members == NULL)
        return false;
    if (count > 0)
        memcpy(g->chars, chars, count * sizeof *chars);
    return true;
}

static void grouping_clear(grouping *g)
{
    free(g->chars);
    free(g->items);
    free(g->spare);
    free(g->spare2);
    free(g->words);
    free(g->word_items);
    free(g->members);
}

static bool group_all(grouping *g)
{
    drop_doubles(g);
    for (unsigned pass = 0; pass < 2; pass++) {
        place_items(g);
        if (!find_slope(g))
            return false;
    }
    if (fabsf(g->slope) < 5e-4f)
        g->slope = 0;
    place_items(g);
    return find_words(g) && vl_spell(g->chars, g->members, g->words, g->word_count) &&
           find_lines(g);
}

vl_text *vl_text_group(const vl_char *chars, size_t count, const vl_page_place *place,
                       vl_error *err)
{
    assert(count < NONE);
    grouping g = { 0 };
    vl_text *text = calloc(1, sizeof *text);
    if (text != NULL) {
        text->chars = malloc((count + 1) * sizeof *text->chars);
        text->store = malloc(count * 5 + 1);
    }
    if (text == NULL || text->chars == NULL || text->store == NULL ||
        !grouping_init(&g, chars, count) || !group_all(&g)) {
        grouping_clear(&g);
        vl_text_free(text);
        return vl_fail(err, VL_NOMEM, "no memory for the words of a picture");
    }
    finish(&g, text, place);
    text->upright = place->upright;
    grouping_clear(&g);
    return text;
}

void vl_text_free(vl_text *text)
{
    if (text == NULL)
        return;
    free(text->chars);
    free(text->words);
    free(text->store);
    free(text);
}

const vl_word *vl_text_words(const vl_text *text, size_t *count)
{
    *count = text->word_count;
    return text->words;
}

const vl_char *vl_text_chars(const vl_text *text, size_t *count)
{
    *count = text->char_count;
    return text->chars;
}

vl_upright vl_text_upright(const vl_text *text)
{
    return text->upright;
}

void vl_text_to_picture(const vl_text *text, float box[4])
{
    const vl_upright *u = &text->upright;
    vl_box all = { INFINITY, INFINITY, -INFINITY, -INFINITY };
    for (unsigned corner = 0; corner < 4; corner++) {
        double x = box[corner % 2 * 2], y = box[corner / 2 * 2 + 1];
        vl_upright_point(u, &x, &y);
        all.x0 = fmin(all.x0, x);
        all.y0 = fmin(all.y0, y);
        all.x1 = fmax(all.x1, x);
        all.y1 = fmax(all.y1, y);
    }
    box[0] = clamp((float)all.x0, (float)u->picture_width);
    box[1] = clamp((float)all.y0, (float)u->picture_height);
    box[2] = clamp((float)all.x1, (float)u->picture_width);
    box[3] = clamp((float)all.y1, (float)u->picture_height);
}

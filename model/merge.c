/*
 * merge.c - from what single anchors say to characters.
 *
 * Every anchor names the nearest character within reach, so two or three neighbours name
 * the same one, and those just out of reach say anything.  Anchors that agree on the
 * height form a track, which is a line of print or a part of one; along a track the
 * likeliest row of characters is found by dynamic programming.  An anchor is explained by
 * the nearest character alone, as in the labels it was trained with: a character between
 * two anchors costs nothing, one that no anchor has for its own costs much.  Print has a
 * pitch: two characters nearer than their faces can be are one.  Condensed faces are told
 * by a first search, and searched again with their own pitch.
 *
 * model/training/reading.py is the definition of all this but for rows that mix two lines,
 * which labels do not show.
 */
#include "merge.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "read.h"
#include "util.h"

#define SEEN_LEAST    0.3f /* probability of any character in a report that counts */
#define LINE_SHARE    0.4f /* of the height: one track */
#define LINE_LEAST    3.0f /* pixels */
#define SQUEEZE       2.0f /* heights between the lines above and below */
#define TRACK_GAP     6    /* anchors without a report end a track */
#define TRACK_FOLLOW  0.3f
#define OTHER_ROW     0.4f  /* weight of a report about print outside its own patch */
#define COST_CHAR     0.5f  /* of one more character, in log-odds */
#define FLOOR         0.02f /* likelihood of a slip */
#define PITCH_LEAST   0.65f /* of the expected distance */
#define PITCH_COST    10.0f
#define PITCH_NARROW  0.85f /* a track with less is searched again, with its own pitch */
#define PITCH_FLOOR   0.5f
#define PITCH_KNOWN   8     /* neighbours that tell it */
#define PITCH_WORD    1.5f  /* wider is a gap between words */
#define PITCH_PART    0.3f  /* of the neighbours are nearer than it */
#define SHARED_LEAST  0.04f /* probability of each of two classes that share an anchor */
#define SHARED_NEAR   0.75f /* anchors: those that a character has for its own */
#define SHARED_NAMED  0.6f
#define STATE_ANCHORS 2 /* to either side of its own */
#define STATES_MOST   6 /* of one anchor */
#define KINDS_MOST    (4 * VL_REPORT_TOP)
#define TIE           1e-4f /* costs no farther apart are equal: the character to the right stays */
#define NEAR          7 /* anchors: characters farther apart share none */
#define PROB_LEAST    0.25f
#define MIX_WINDOW    12    /* anchors to either side whose heights are compared */
#define MIX_NAMED     0.4f  /* probability with which the other row names it */
#define MIX_NEAR      0.7f  /* anchors between the two places */
#define MIX_SPREAD    0.05f /* of the height: more in a row that mixes two lines */
#define MIX_RATIO     1.4f  /* times as wide as in the row that owns the character */
#define FOREIGN       0.5f  /* likelihood of what belongs to another line */

#define NONE UINT32_MAX

/* One anchor of a track, its reports about that line joined. */
typedef struct cell {
    vl_report said;
    float foreign; /* probability that goes to characters of the line above or below */
    bool is_seen;
} cell;

typedef struct state {
    float x;
    uint32_t kind, column, before; /* columns from the track's first; state or NONE */
    float cost[2 * STATE_ANCHORS + 1];
    float best;
    bool is_after_gap;
} state;

typedef struct track {
    float y, height;
    float pitch;               /* against what is common */
    uint32_t first, last;      /* columns of its reports */
    uint32_t head, tail, next; /* reports in order of columns; next open track */
} track;

typedef struct merging {
    const vl_anchors *anchors;
    float *spread;    /* [rows * columns] of the heights named around an anchor */
    uint8_t *foreign; /* [rows * columns] bit k: class k is of the line above or below */
    uint32_t *links;  /* [rows * columns] next report of the same track */
    track *tracks;
    size_t track_count, track_room;
    cell *cells;    /* [columns + 1] of one track */
    float *none;    /* [columns + 1] cost of silence, summed from the left */
    float *closed;  /* [columns + 1] best cost of the anchors up to this one */
    uint32_t *from; /* the last state in closed[] */
    state *states;  /* [columns * STATES_MOST] */
    float *shares;  /* [columns * STATES_MOST] distances of neighbours */
    vl_mark *marks;
    size_t mark_count, mark_room;
} merging;

static bool is_report(const vl_report *r)
{
    return 1 - r->none > SEEN_LEAST && isfinite(r->x) && isfinite(r->y) &&
           isfinite(r->height) && isfinite(r->gap);
}

/* ---- rows that mix two lines ---- */

/* Deviation of the heights that a row names within MIX_WINDOW anchors. */
static void measure_spread(merging *m, uint32_t row)
{
    const vl_anchors *a = m->anchors;
    const vl_report *r = &a->reports[(size_t)row * a->columns];
    float middle = a->high * ((float)row + 0.5f);
    double count = 0, sum = 0, squares = 0;
    for (uint32_t column = 0; column < a->columns + MIX_WINDOW; column++) {
        for (uint32_t side = 0; side < 2; side++) {
            uint32_t at = column - side * (2 * MIX_WINDOW + 1);
            if (at >= a->columns || !is_report(&r[at])) /* also below 0 */
                continue;
            double sign = side == 0 ? 1 : -1, y = r[at].y - middle;
            count += sign;
            sum += sign * y;
            squares += sign * y * y;
        }
        if (column < MIX_WINDOW)
            continue;
        double mean = count > 0 ? sum / count : 0;
        double variance = count > 0 ? squares / count - mean * mean : 0;
        m->spread[(size_t)row * a->columns + column - MIX_WINDOW] =
            (float)sqrt(fmax(variance, 0));
    }
}

static float kind_prob(const vl_report *r, uint32_t kind)
{
    for (uint32_t k = 0; k < VL_REPORT_TOP; k++)
        if (r->kind[k] == kind)
            return r->prob[k];
    return 0;
}

/* Does the row `other` (a neighbour) name the class at the same place, at another height
 * and with less doubt about heights? */
static bool is_of_row(const merging *m, uint32_t row, uint32_t column, uint32_t kind,
                      uint32_t other)
{
    const vl_anchors *a = m->anchors;
    size_t at = (size_t)row * a->columns + column;
    const vl_report *r = &a->reports[at];
    if (other >= a->rows) /* also above the first */
        return false;
    for (uint32_t c = column > 0 ? column - 1 : 0; c <= column + 1 && c < a->columns;
         c++) {
        size_t there = (size_t)other * a->columns + c;
        const vl_report *q = &a->reports[there];
        if (is_report(q) && kind_prob(q, kind) >= MIX_NAMED &&
            fabsf(q->x - r->x) < MIX_NEAR * a->wide &&
            fabsf(q->y - r->y) > LINE_SHARE * fminf(q->height, r->height) &&
            m->spread[at] > MIX_RATIO * m->spread[there])
            return true;
    }
    return false;
}

/* Where lines stand closer than one and a half patches, some rows of patches are reached by
 * two lines, and their anchors name letters of either in turn, at heights between them.
 * What the row above or below names as well, and without such doubt, belongs there. */
static void part_rows(merging *m)
{
    const vl_anchors *a = m->anchors;
    for (uint32_t row = 0; row < a->rows; row++)
        measure_spread(m, row);
    for (uint32_t row = 0; row < a->rows; row++)
        for (uint32_t column = 0; column < a->columns; column++) {
            size_t at = (size_t)row * a->columns + column;
            const vl_report *r = &a->reports[at];
            m->foreign[at] = 0;
            if (!is_report(r) || m->spread[at] < MIX_SPREAD * r->height)
                continue;
            for (uint32_t k = 0; k < VL_REPORT_TOP && r->kind[k] != 0; k++)
                if (is_of_row(m, row, column, r->kind[k], row - 1) ||
                    is_of_row(m, row, column, r->kind[k], row + 1))
                    m->foreign[at] |= (uint8_t)(1u << k);
        }
}

/* Probability of the classes that belong to the report's own line. */
static float own_prob(const merging *m, size_t at)
{
    const vl_report *r = &m->anchors->reports[at];
    float own = 1 - r->none;
    for (uint32_t k = 0; k < VL_REPORT_TOP; k++)
        if ((m->foreign[at] >> k & 1) != 0)
            own -= r->prob[k];
    return own;
}

/* ---- tracks ---- */

/* The surest report of a row at a column or beside it. */
static const vl_report *neighbour(const vl_anchors *a, uint32_t row, uint32_t column)
{
    const vl_report *best = NULL;
    if (row >= a->rows) /* also above the first */
        return NULL;
    for (uint32_t c = column > 0 ? column - 1 : 0; c <= column + 1 && c < a->columns;
         c++) {
        const vl_report *r = &a->reports[row * a->columns + c];
        if (is_report(r) && (best == NULL || r->none < best->none))
            best = r;
    }
    return best;
}

/* A patch between two lines sees a part of either and mixes them: a report between two
 * others that leave no room for a line is none. */
static bool is_squeezed(const vl_anchors *a, uint32_t row, uint32_t column)
{
    const vl_report *r = &a->reports[row * a->columns + column];
    const vl_report *up = neighbour(a, row - 1, column),
                    *down = neighbour(a, row + 1, column);
    if (up == NULL || down == NULL)
        return false;
    float height = fminf(up->height, down->height), top = a->high * (float)row;
    if (!(up->y < top && down->y >= top + a->high &&
          r->none >= fmaxf(up->none, down->none)))
        return false;
    return down->y - up->y < SQUEEZE * height && r->y - up->y > LINE_SHARE * height &&
           down->y - r->y > LINE_SHARE * height;
}

static float line_reach(float height)
{
    return fmaxf(LINE_LEAST, LINE_SHARE * height);
}

static bool track_start(merging *m, uint32_t column, uint32_t report, uint32_t *open)
{
    const vl_report *r = &m->anchors->reports[report];
    if (m->track_count == m->track_room) {
        size_t room = m->track_room != 0 ? 2 * m->track_room : 256;
        track *grown = realloc(m->tracks, room * sizeof *grown);
        if (grown == NULL)
            return false;
        m->tracks = grown;
        m->track_room = room;
    }
    m->tracks[m->track_count] = (track){ .y = r->y,
                                         .height = r->height,
                                         .pitch = 1,
                                         .first = column,
                                         .last = column,
                                         .head = report,
                                         .tail = report,
                                         .next = *open };
    *open = (uint32_t)m->track_count++;
    return true;
}

static bool track_column(merging *m, uint32_t column, uint32_t *open)
{
    const vl_anchors *a = m->anchors;
    for (uint32_t *p = open; *p != NONE;) {
        track *t = &m->tracks[*p];
        if (column - t->last > TRACK_GAP)
            *p = t->next;
        else
            p = &t->next;
    }
    for (uint32_t row = 0; row < a->rows; row++) {
        uint32_t i = row * a->columns + column, best = NONE;
        const vl_report *r = &a->reports[i];
        if (!is_report(r) || is_squeezed(a, row, column))
            continue;
        bool is_own = own_prob(m, i) >= SEEN_LEAST;
        float least = INFINITY;
        for (uint32_t k = *open; k != NONE; k = m->tracks[k].next) {
            float dy = fabsf(m->tracks[k].y - r->y);
            if (dy < least && dy < line_reach(fminf(r->height, m->tracks[k].height))) {
                least = dy;
                best = k;
            }
        }
        m->links[i] = NONE;
        if (best == NONE) {
            if (is_own && !track_start(m, column, i, open))
                return false;
            continue;
        }
        track *t = &m->tracks[best];
        if (is_own) {
            t->y += TRACK_FOLLOW * (r->y - t->y);
            t->height += TRACK_FOLLOW * (r->height - t->height);
        }
        m->links[t->tail] = i;
        t->tail = i;
        t->last = column;
    }
    return true;
}

static bool find_tracks(merging *m)
{
    uint32_t open = NONE;
    for (uint32_t column = 0; column < m->anchors->columns; column++)
        if (!track_column(m, column, &open))
            return false;
    return true;
}

/* ---- the anchors of one track ---- */

/* Classes that several reports name, with their joined probabilities. */
typedef struct kinds {
    float prob[KINDS_MOST];
    uint32_t kind[KINDS_MOST];
    uint32_t count;
} kinds;

static void kinds_add(kinds *list, uint32_t kind, float prob)
{
    uint32_t k = 0;
    while (k < list->count && list->kind[k] != kind)
        k++;
    if (k == KINDS_MOST)
        return;
    if (k == list->count) {
        list->kind[list->count++] = kind;
        list->prob[k] = 0;
    }
    list->prob[k] += prob;
}

/* The same, but what is named twice counts once, as the surer. */
static void kinds_most(kinds *list, uint32_t kind, float prob)
{
    uint32_t count = list->count;
    kinds_add(list, kind, 0);
    for (uint32_t k = 0; k < list->count; k++)
        if (list->kind[k] == kind)
            list->prob[k] = fmaxf(count < list->count ? 0 : list->prob[k], prob);
}

/* The likeliest of the list, the first of equal ones. */
static void kinds_take(kinds *list, vl_report *out)
{
    for (uint32_t i = 0; i < VL_REPORT_TOP && i < list->count; i++) {
        uint32_t best = 0;
        for (uint32_t k = 1; k < list->count; k++)
            if (list->prob[k] > list->prob[best])
                best = k;
        out->kind[i] = list->kind[best];
        out->prob[i] = list->prob[best];
        list->prob[best] = -1;
    }
}

static float row_weight(const vl_anchors *a, uint32_t report)
{
    float middle = a->high * ((float)(report / a->columns) + 0.5f);
    return fabsf(a->reports[report].y - middle) <= 0.5f * a->high ? 1 : OTHER_ROW;
}

/* Join the reports `from` .. of one column (they are neighbours in the list). */
static uint32_t join_reports(const merging *m, uint32_t from, cell *out)
{
    const vl_anchors *a = m->anchors;
    uint32_t column = from % a->columns, i = from;
    float total = 0, share = 0;
    kinds all = { .count = 0 };
    *out = (cell){ .is_seen = true };
    for (; i != NONE && i % a->columns == column; i = m->links[i])
        total += row_weight(a, i);
    for (i = from; i != NONE && i % a->columns == column; i = m->links[i]) {
        const vl_report *r = &a->reports[i];
        float w = row_weight(a, i) / total, sure = w * (1 - r->none);
        for (uint32_t k = 0; k < VL_REPORT_TOP && r->kind[k] != 0; k++) {
            kinds_add(&all, r->kind[k], w * r->prob[k]);
            if ((m->foreign[i] >> k & 1) != 0)
                out->foreign += w * r->prob[k];
        }
        out->said.none += w * r->none;
        out->said.x += sure * r->x;
        out->said.y += sure * r->y;
        out->said.height += sure * r->height;
        out->said.gap += sure * r->gap;
        share += sure;
    }
    kinds_take(&all, &out->said);
    out->said.x /= share;
    out->said.y /= share;
    out->said.height /= share;
    out->said.gap /= share;
    return i;
}

/* The cells of the columns first .. last of a track; between reports the silence of the
 * patches at its height. */
static void fill_cells(merging *m, const track *t)
{
    const vl_anchors *a = m->anchors;
    uint32_t i = t->head;
    float y = a->reports[i].y;
    for (uint32_t column = t->first; column <= t->last; column++) {
        cell *c = &m->cells[column - t->first];
        if (i != NONE && i % a->columns == column) {
            i = join_reports(m, i, c);
            y = c->said.y;
        } else {
            float row = fminf(fmaxf(y / a->high, 0), (float)a->rows - 1);
            const vl_report *r = &a->reports[(uint32_t)row * a->columns + column];
            *c = (cell){ .said = { .none = r->none } };
            if (is_report(r))
                c->foreign = 1 - r->none; /* it is taken by the next line */
            else
                c->said.none = fmaxf(c->said.none, 1 - SEEN_LEAST);
        }
    }
}

/* ---- the likeliest row of characters ---- */

/* How likely is what a cell says when the nearest character is `kind` at a distance: it
 * names it, is silent, or says anything (labels between one and one and a half anchors
 * are not judged in training). */
static float explain(const cell *c, uint32_t kind, float x, float distance)
{
    static const struct {
        float to, named, silent, anything;
    } zones[] = { { 0.75f, 1, 0.02f, 0.01f },   { 1, 0.9f, 0.2f, 0.02f },
                  { 1.25f, 0.6f, 0.5f, 0.25f }, { 1.5f, 0.4f, 0.8f, 0.25f },
                  { 1.75f, 0.1f, 1, 0.1f },     { INFINITY, 0, 1, 0 } };
    uint32_t z = 0;
    while (distance >= zones[z].to)
        z++;
    float likely =
        zones[z].silent * c->said.none + zones[z].anything + FOREIGN * c->foreign + FLOOR;
    if (c->is_seen && zones[z].named > 0) {
        float off = c->said.x - x, slack = z < 2 ? 1 : 2.2f;
        likely += zones[z].named * kind_prob(&c->said, kind) *
                  expf(-off * off / (2 * slack * slack));
    }
    return -logf(likely);
}

static void add_state(merging *m, const track *t, uint32_t columns, uint32_t *count,
                      uint32_t limit, float x, uint32_t kind)
{
    float wide = m->anchors->wide, at = floorf(x / wide) - (float)t->first;
    if (kind == 0 || *count >= limit || !(at >= 0 && at < (float)columns))
        return;
    state *s = &m->states[*count];
    *s = (state){ .x = x, .kind = kind, .column = (uint32_t)at, .before = NONE };
    for (uint32_t k = 0; k < 2 * STATE_ANCHORS + 1; k++) {
        uint32_t column = s->column + k - STATE_ANCHORS;
        if (column >= columns) /* also below 0 */
            continue;
        float middle = wide * ((float)(t->first + column) + 0.5f);
        s->cost[k] = explain(&m->cells[column], kind, x, fabsf(middle - x) / wide);
    }
    ++*count;
}

/* Candidates for characters: at the place every anchor names, and between two that name
 * nearly the same one. */
static uint32_t make_states(merging *m, const track *t, uint32_t columns)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < columns; i++) {
        const cell *c = &m->cells[i], *next = c + 1;
        uint32_t limit = (i + 1) * STATES_MOST;
        if (!c->is_seen)
            continue;
        add_state(m, t, columns, &count, limit, c->said.x, c->said.kind[0]);
        if (c->said.prob[1] > 0.1f)
            add_state(m, t, columns, &count, limit, c->said.x, c->said.kind[1]);
        if (i + 1 == columns || !next->is_seen ||
            fabsf(next->said.x - c->said.x) > 0.9f * m->anchors->wide)
            continue;
        float middle = (c->said.x + next->said.x) / 2;
        add_state(m, t, columns, &count, limit, middle, c->said.kind[0]);
        if (next->said.kind[0] != c->said.kind[0])
            add_state(m, t, columns, &count, limit, middle, next->said.kind[0]);
    }
    return count;
}

static float anchor_cost(const merging *m, const state *s, uint32_t column)
{
    uint32_t k = column + STATE_ANCHORS - s->column;
    return k < 2 * STATE_ANCHORS + 1 ? s->cost[k] : m->none[column + 1] - m->none[column];
}

static int compare_states(const void *a, const void *b)
{
    const state *x = a, *y = b;
    if (x->x != y->x)
        return x->x < y->x ? -1 : 1;
    return (x->kind > y->kind) - (x->kind < y->kind);
}

/* An anchor about as far from one character as from the next halves its answer between
 * the two, and names a place between theirs.  Cost of a column that is nearest to `near`
 * and has `far` on its other side. */
static float shared_cost(const merging *m, uint32_t column, float middle,
                         const state *near, const state *far)
{
    const cell *c = &m->cells[column];
    float cost = anchor_cost(m, near, column);
    if (!c->is_seen || near->kind == far->kind ||
        fabsf(middle - near->x) < SHARED_NEAR * m->anchors->wide)
        return cost;
    float named = kind_prob(&c->said, near->kind), other = kind_prob(&c->said, far->kind);
    float left = fminf(near->x, far->x), right = fmaxf(near->x, far->x);
    if (fminf(named, other) < SHARED_LEAST || c->said.x < left - 1 ||
        c->said.x > right + 1)
        return cost;
    return fminf(cost, -logf(SHARED_NAMED * (named + other) + FLOOR));
}

/* Cost of the anchors whose middles lie behind `a` and not behind `b`. */
static float between(const merging *m, const track *t, const state *a, const state *b)
{
    float cost = 0, wide = m->anchors->wide;
    for (uint32_t column = a->column; column <= b->column; column++) {
        float middle = wide * ((float)(t->first + column) + 0.5f);
        if (middle <= a->x || middle > b->x)
            continue;
        bool is_left = middle - a->x <= b->x - middle;
        cost += shared_cost(m, column, middle, is_left ? a : b, is_left ? b : a);
    }
    return cost;
}

/* Distance of two neighbours against what their widths let expect. */
static float pitch_share(const merging *m, const track *t, const state *a, const state *b)
{
    const uint32_t *codes = m->anchors->codes;
    float height =
        (m->cells[a->column].said.height + m->cells[b->column].said.height) / 2;
    if (!(height > 4))
        height = fmaxf(t->height, 4);
    float expected =
        0.36f * height *
        (vl_relative_width(codes[a->kind - 1]) + vl_relative_width(codes[b->kind - 1]));
    return (b->x - a->x) / expected;
}

static float pitch_cost(const merging *m, const track *t, const state *a, const state *b)
{
    float share = pitch_share(m, t, a, b) / t->pitch;
    return share < PITCH_LEAST ? PITCH_COST * (PITCH_LEAST - share) : 0;
}

/* Left of a state without a neighbour there, right of one, in columns [from, to). */
static float side_cost(const merging *m, const track *t, const state *s, uint32_t from,
                       uint32_t to, bool is_left)
{
    float cost = 0, wide = m->anchors->wide;
    for (uint32_t column = from; column < to; column++) {
        float middle = wide * ((float)(t->first + column) + 0.5f);
        if ((middle <= s->x) == is_left)
            cost += anchor_cost(m, s, column);
    }
    return cost;
}

/* closed[c]: the least cost of the columns below c, nothing to the right reaching in. */
static void close_column(merging *m, const track *t, uint32_t column, uint32_t seen)
{
    m->closed[column] =
        column > 0 ? m->closed[column - 1] + m->none[column] - m->none[column - 1] : 0;
    m->from[column] = column > 0 ? m->from[column - 1] : NONE;
    for (uint32_t i = seen; i-- > 0;) {
        const state *s = &m->states[i];
        if (s->column + STATE_ANCHORS + 1 < column)
            break;
        if (s->column + STATE_ANCHORS + 1 != column)
            continue;
        float cost = s->best + side_cost(m, t, s, s->column, column, false);
        if (cost < m->closed[column] - TIE) {
            m->closed[column] = cost;
            m->from[column] = i;
        }
    }
}

static void search_state(merging *m, const track *t, uint32_t index)
{
    state *s = &m->states[index];
    uint32_t open = s->column > STATE_ANCHORS ? s->column - STATE_ANCHORS : 0;
    s->best = m->closed[open] + side_cost(m, t, s, open, s->column + 1, true) + COST_CHAR;
    s->before = m->from[open];
    for (uint32_t i = index; i-- > 0;) {
        const state *p = &m->states[i];
        if (p->column + NEAR < s->column)
            break;
        if (p->x >= s->x)
            continue;
        float cost = p->best + between(m, t, p, s) + pitch_cost(m, t, p, s) + COST_CHAR;
        if (cost < s->best - TIE) {
            s->best = cost;
            s->before = i;
        }
    }
}

/* Indices of the chosen states, from the right; they chain through `before`. */
static uint32_t search(merging *m, const track *t, uint32_t columns)
{
    uint32_t count = make_states(m, t, columns), at = 0;
    m->none[0] = 0;
    for (uint32_t i = 0; i < columns; i++)
        m->none[i + 1] = m->none[i] - logf(m->cells[i].said.none +
                                           FOREIGN * m->cells[i].foreign + FLOOR);
    qsort(m->states, count, sizeof *m->states, compare_states);
    for (uint32_t column = 0; column < columns; column++) {
        close_column(m, t, column, at);
        for (; at < count && m->states[at].column == column; at++)
            search_state(m, t, at);
    }
    float best = m->closed[columns - 1] + m->none[columns] - m->none[columns - 1];
    uint32_t last = m->from[columns - 1];
    for (uint32_t i = count; i-- > 0;) {
        const state *s = &m->states[i];
        if (s->column + STATE_ANCHORS + 1 < columns)
            break;
        float cost = s->best + side_cost(m, t, s, s->column, columns, false);
        if (cost < best - TIE) {
            best = cost;
            last = i;
        }
    }
    return last;
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The pitch of the characters found: print is condensed or spaced, and where it is
 * condensed its letters are no doubles.  Letters left out spread the others, so not half
 * of the distances but fewer lie below it.  1 when unknown. */
static float measure_pitch(const merging *m, const track *t, uint32_t last)
{
    uint32_t count = 0;
    for (uint32_t i = last; i != NONE && m->states[i].before != NONE;
         i = m->states[i].before) {
        float share = pitch_share(m, t, &m->states[m->states[i].before], &m->states[i]);
        if (share < PITCH_WORD)
            m->shares[count++] = share;
    }
    if (count < PITCH_KNOWN)
        return 1;
    qsort(m->shares, count, sizeof *m->shares, compare_floats);
    return m->shares[(uint32_t)(PITCH_PART * (float)count)];
}

/* ---- the result ---- */

/* A character is what the anchors nearest to it say about its class. */
static void weigh(const merging *m, const track *t, const state *s, const state *left,
                  const state *right, uint32_t columns, vl_mark *mark)
{
    float total = 0, wide = m->anchors->wide, best = 0;
    vl_report sum = { .none = 0 };
    kinds others = { .count = 0 };
    uint32_t first = s->column > 1 ? s->column - 1 : 0;
    for (uint32_t column = first; column <= s->column + 1 && column < columns; column++) {
        const cell *c = &m->cells[column];
        float middle = wide * ((float)(t->first + column) + 0.5f);
        float distance = fabsf(middle - s->x);
        if (!c->is_seen || distance > wide ||
            (left != NULL && middle - left->x < distance) ||
            (right != NULL && right->x - middle < distance) ||
            kind_prob(&c->said, s->kind) < 0.05f)
            continue;
        for (uint32_t k = 0; k < VL_REPORT_TOP && c->said.kind[k] != 0; k++)
            if (c->said.kind[k] != s->kind)
                kinds_most(&others, c->said.kind[k], c->said.prob[k]);
        float w = kind_prob(&c->said, s->kind);
        sum.x += w * c->said.x;
        sum.y += w * c->said.y;
        sum.height += w * c->said.height;
        sum.gap += w * c->said.gap;
        total += w;
        best = fmaxf(best, w);
    }
    mark->kind = s->kind;
    if (total > 0)
        *mark = (vl_mark){ .kind = s->kind,
                           .x = s->x,
                           .y = sum.y / total,
                           .height = sum.height / total,
                           .gap = sum.gap / total,
                           .prob = best };
    else
        mark->prob = 0;
    vl_report beside = { .none = 0 };
    kinds_take(&others, &beside);
    for (uint32_t k = 0; k < 2; k++) {
        mark->other[k] = beside.kind[k];
        mark->other_prob[k] = beside.prob[k];
    }
}

static bool put_marks(merging *m, const track *t, uint32_t last, uint32_t columns)
{
    uint32_t right = NONE;
    for (uint32_t i = last; i != NONE; right = i, i = m->states[i].before) {
        const state *s = &m->states[i];
        if (m->mark_count == m->mark_room) {
            size_t room = m->mark_room != 0 ? 2 * m->mark_room : 1024;
            vl_mark *grown = realloc(m->marks, room * sizeof *grown);
            if (grown == NULL)
                return false;
            m->marks = grown;
            m->mark_room = room;
        }
        vl_mark *mark = &m->marks[m->mark_count];
        weigh(m, t, s, s->before != NONE ? &m->states[s->before] : NULL,
              right != NONE ? &m->states[right] : NULL, columns, mark);
        if (mark->prob >= PROB_LEAST)
            m->mark_count++;
    }
    return true;
}

static bool merging_init(merging *m)
{
    size_t columns = m->anchors->columns, all = columns * m->anchors->rows;
    m->spread = vl_floats_new(all + 1);
    m->foreign = malloc(all + 1);
    m->links = malloc((all + 1) * sizeof *m->links);
    m->cells = malloc((columns + 1) * sizeof *m->cells);
    m->none = vl_floats_new(columns + 1);
    m->closed = vl_floats_new(columns + 1);
    m->from = malloc((columns + 1) * sizeof *m->from);
    m->states = malloc((columns * STATES_MOST + 1) * sizeof *m->states);
    m->shares = vl_floats_new(columns * STATES_MOST + 1);
    return m->spread != NULL && m->foreign != NULL && m->links != NULL &&
           m->cells != NULL && m->none != NULL && m->closed != NULL && m->from != NULL &&
           m->states != NULL && m->shares != NULL;
}

static void merging_clear(merging *m)
{
    free(m->spread);
    free(m->foreign);
    free(m->links);
    free(m->tracks);
    free(m->cells);
    free(m->none);
    free(m->closed);
    free(m->from);
    free(m->states);
    free(m->shares);
    free(m->marks);
}

bool vl_anchors_merge(const vl_anchors *anchors, vl_mark **marks, size_t *count)
{
    merging m = { .anchors = anchors };
    bool is_done = merging_init(&m);
    if (is_done)
        part_rows(&m);
    is_done = is_done && find_tracks(&m);
    for (size_t i = 0; is_done && i < m.track_count; i++) {
        track *t = &m.tracks[i];
        uint32_t columns = t->last - t->first + 1;
        fill_cells(&m, t);
        uint32_t last = search(&m, t, columns);
        float pitch = measure_pitch(&m, t, last);
        if (pitch < PITCH_NARROW) {
            t->pitch = fmaxf(pitch, PITCH_FLOOR);
            last = search(&m, t, columns);
        }
        is_done = put_marks(&m, t, last, columns);
    }
    if (is_done) {
        *marks = m.marks;
        *count = m.mark_count;
        m.marks = NULL;
    }
    merging_clear(&m);
    return is_done;
}

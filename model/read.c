/*
 * read.c - from the text head to characters.
 *
 * Every anchor (a quarter of a patch in the embedded model) names the nearest character
 * whose middle lies within its reach, so neighbours name the same one: the surest comes
 * first and the others within reach vote for it.  Every tile answers for its own core;
 * half of each overlap belongs to either neighbour.
 */
#include "read.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "core.h"
#include "util.h"

#define CANDIDATE_LEAST 0.3f /* probability of any character at all */
#define ACCEPT_MASS     0.5f /* votes that make a character */
#define CELL            8    /* pixels of the canvas */
#define REACH_X         2.2f

typedef struct candidate {
    float x, y, prob, height, gap; /* canvas pixels; gap as log-odds */
    uint32_t class_index;
    bool is_narrow; /* two of them may stand close: ll, 11, .. */
} candidate;

typedef struct candidates {
    candidate *items;
    size_t count, room;
} candidates;

static bool candidates_add(candidates *list, const candidate *item)
{
    if (list->count == list->room) {
        size_t room = list->room != 0 ? 2 * list->room : 4096;
        candidate *grown = realloc(list->items, room * sizeof *grown);
        if (grown == NULL)
            return false;
        list->items = grown;
        list->room = room;
    }
    list->items[list->count++] = *item;
    return true;
}

/* Best class and its probability; false when a blank is likely enough. */
static bool classify(float *logits, uint32_t classes, candidate *out)
{
    uint32_t best = 1;
    vl_softmax_row(logits, classes);
    if (!(1 - logits[0] > CANDIDATE_LEAST))
        return false;
    for (uint32_t k = 2; k < classes; k++)
        if (logits[k] > logits[best])
            best = k;
    out->class_index = best;
    out->prob = logits[best];
    return true;
}

static bool is_narrow_code(uint32_t code)
{
    return code < 128 && code != 0 && strchr("iIl1jft|!.,:;'()[]", (int)code) != NULL;
}

static bool tile_candidates(const vl_vision *v, uint32_t tile, float *logits,
                            candidates *list)
{
    const vl_config *c = &v->model->config;
    uint32_t tj = tile % v->fit.grid.tiles_w, ti = tile / v->fit.grid.tiles_w;
    uint32_t stride = c->tile - c->tile_overlap, values = c->class_count + 4;
    float edge = (float)c->tile_overlap / 2, far = (float)c->tile - edge;
    float all = (float)c->tile, wide = (float)c->patch / (float)c->anchors;
    float patch = (float)c->patch;
    float left = tj > 0 ? edge : 0, right = tj + 1 < v->fit.grid.tiles_w ? far : all;
    float top = ti > 0 ? edge : 0, bottom = ti + 1 < v->fit.grid.tiles_h ? far : all;
    for (uint32_t i = 0; i < c->side * c->side; i++)
        for (uint32_t a = 0; a < c->anchors; a++, logits += values) {
            candidate item;
            const float *place = logits + c->class_count;
            if (!classify(logits, c->class_count, &item))
                continue;
            uint32_t column = i % c->side * c->anchors + a;
            item.x = wide * (float)column + wide / 2 + wide * place[0];
            item.y = patch * (float)(i / c->side) + patch / 2 + patch * place[1];
            item.height = 2 * patch * place[2];
            item.gap = place[3];
            item.is_narrow = is_narrow_code(c->chars[item.class_index - 1]);
            /* Written so that a number that is none fails as well. */
            if (!(item.x >= left && item.x < right && item.y >= top && item.y < bottom &&
                  isfinite(item.height) && isfinite(item.gap)))
                continue;
            item.x += (float)(stride * tj);
            item.y += (float)(stride * ti);
            if (!candidates_add(list, &item))
                return false;
        }
    return true;
}

static int compare_candidates(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    if (x->prob != y->prob)
        return x->prob > y->prob ? -1 : 1;
    if (x->y != y->y)
        return x->y < y->y ? -1 : 1;
    return (x->x > y->x) - (x->x < y->x);
}

/* Characters by cell of the canvas: heads [rows][columns], links by character. */
typedef struct cells {
    uint32_t *heads, *links;
    uint32_t columns, rows;
} cells;

/* Anchors err in place by a part of the character, so how near two answers must be to mean
 * one character grows with the print.  Equal answers may lie further apart than different
 * ones, but for narrow characters: `ll` is two. */
static float reach(const candidate *a, const candidate *b)
{
    float height = fmaxf(a->height, b->height);
    bool is_equal = a->class_index == b->class_index;
    float share = !is_equal ? 0.22f : a->is_narrow ? 0.2f : 0.36f;
    return fminf(fmaxf(REACH_X, share * height), CELL);
}

static uint32_t nearest(const cells *grid, const candidate *chars, const candidate *item)
{
    uint32_t found = UINT32_MAX;
    float best = 1, high = fmaxf(5, 0.35f * item->height);
    int32_t cx = (int32_t)item->x / CELL, cy = (int32_t)item->y / CELL;
    for (int32_t x = cx - 1; x <= cx + 1; x++)
        for (int32_t y = cy - 1; y <= cy + 1; y++) {
            if (x < 0 || y < 0 || (uint32_t)x >= grid->columns ||
                (uint32_t)y >= grid->rows)
                continue;
            uint32_t k = grid->heads[(size_t)y * grid->columns + (uint32_t)x];
            for (; k != UINT32_MAX; k = grid->links[k]) {
                float dx = fabsf(chars[k].x - item->x), dy = fabsf(chars[k].y - item->y);
                float share = dx / reach(&chars[k], item);
                if (dy < high && share < best) {
                    best = share;
                    found = k;
                }
            }
        }
    return found;
}

/* Merges in place: the accepted characters are items[0 .. count). */
static bool vote(candidates *list, uint32_t canvas_w, uint32_t canvas_h)
{
    cells grid = { .columns = canvas_w / CELL + 1, .rows = canvas_h / CELL + 1 };
    size_t heads_bytes = (size_t)grid.columns * grid.rows * sizeof *grid.heads, n = 0,
           kept = 0;
    grid.heads = malloc(heads_bytes);
    grid.links = malloc((list->count + 1) * sizeof *grid.links);
    float *mass = vl_floats_new(list->count + 1);
    bool is_done = grid.heads != NULL && grid.links != NULL && mass != NULL;
    if (is_done) {
        memset(grid.heads, 0xff, heads_bytes);
        qsort(list->items, list->count, sizeof *list->items, compare_candidates);
        for (size_t i = 0; i < list->count; i++) {
            candidate item = list->items[i];
            uint32_t hit = nearest(&grid, list->items, &item);
            if (hit != UINT32_MAX) {
                if (list->items[hit].class_index == item.class_index)
                    mass[hit] += item.prob;
                continue;
            }
            uint32_t *head =
                &grid.heads[(size_t)((uint32_t)item.y / CELL) * grid.columns +
                            (uint32_t)item.x / CELL];
            list->items[n] = item; /* n <= i: only read items are overwritten */
            mass[n] = item.prob;
            grid.links[n] = *head;
            *head = (uint32_t)n++;
        }
        for (size_t i = 0; i < n; i++)
            if (mass[i] >= ACCEPT_MASS)
                list->items[kept++] = list->items[i];
        list->count = kept;
    }
    free(grid.heads);
    free(grid.links);
    free(mass);
    return is_done;
}

static bool find_characters(const vl_vision *v, candidates *list)
{
    const vl_config *c = &v->model->config;
    size_t patches = (size_t)c->side * c->side;
    size_t values = (size_t)c->anchors * (c->class_count + 4);
    uint32_t tiles = v->fit.grid.tiles_w * v->fit.grid.tiles_h;
    float *logits = vl_floats_new(patches * values);
    bool is_done = logits != NULL;
    for (uint32_t tile = 0; is_done && tile < tiles; tile++) {
        vl_linear_apply(v->model->pool, v->model->text_head,
                        &(vl_linear_args){ .x = v->features + tile * patches * c->v_width,
                                           .rows = patches,
                                           .x_stride = c->v_width,
                                           .y = logits,
                                           .y_stride = values });
        is_done = tile_candidates(v, tile, logits, list);
    }
    free(logits);
    return is_done && vote(list, v->fit.grid.canvas_w, v->fit.grid.canvas_h);
}

bool vl_read_characters(const vl_vision *v, vl_char **out, size_t *count, vl_error *err)
{
    const vl_config *c = &v->model->config;
    candidates list = { 0 };
    vl_char *chars = NULL;
    if (find_characters(v, &list))
        chars = malloc((list.count + 1) * sizeof *chars);
    for (size_t i = 0; chars != NULL && i < list.count; i++) {
        const candidate *item = &list.items[i];
        chars[i] = (vl_char){ .code = c->chars[item->class_index - 1],
                              .x = item->x,
                              .y = item->y,
                              .height = item->height,
                              .prob = fminf(item->prob, 1),
                              .gap = 1 / (1 + expf(-item->gap)) };
    }
    free(list.items);
    if (chars == NULL)
        return vl_fail(err, VL_NOMEM, "no memory to read a picture") != NULL;
    *out = chars;
    *count = list.count;
    return true;
}

vl_text *vl_text_read(const vl_vision *v, vl_error *err)
{
    vl_char *chars;
    size_t count;
    if (v->features == NULL)
        return vl_fail(err, VL_UNSUPPORTED, "model %s has no text head",
                       v->model->config.name);
    if (!vl_read_characters(v, &chars, &count, err))
        return NULL;
    vl_page_place place = { .x = (float)v->fit.x,
                            .y = (float)v->fit.y,
                            .scale_x = (float)v->width / (float)v->fit.width,
                            .scale_y = (float)v->height / (float)v->fit.height,
                            .width = (float)v->width,
                            .height = (float)v->height };
    vl_text *text = vl_text_group(chars, count, &place, err);
    free(chars);
    return text;
}

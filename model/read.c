/*
 * read.c - from the text head to a text.
 *
 * Every place of the canvas is answered for by one tile, the one that sees it farthest from
 * its own edge: where tiles overlap their anchors lie on each other.  What the anchors say
 * becomes characters in merge.c and words in group.c.
 */
#include "read.h"

#include <assert.h>
#include <math.h>

#include "core.h"
#include "util.h"

#define SILENT 12.0f /* log-odds of a blank that need no softmax */

/* One tile's answers, spread over the pool by rows of patches. */
typedef struct tile_work {
    const vl_config *config;
    const vl_grid *grid;
    vl_anchors *anchors;
    float *logits;        /* [side * side][anchors][class_count + 4] */
    uint32_t column, row; /* of the tile, in tiles */
} tile_work;

/* The first and last + 1 of `side` units that a tile answers for: half of each overlap
 * belongs to either neighbour. */
static void own_range(uint32_t index, uint32_t count, uint32_t side, uint32_t overlap,
                      uint32_t *first, uint32_t *end)
{
    *first = index > 0 ? overlap / 2 : 0;
    *end = index + 1 < count ? side - (overlap - overlap / 2) : side;
}

static void take_kinds(float *logits, uint32_t classes, vl_report *out)
{
    uint32_t best[VL_REPORT_TOP] = { 0 };
    for (uint32_t k = 1; k < classes; k++) {
        uint32_t at = VL_REPORT_TOP;
        while (at > 0 && (best[at - 1] == 0 || logits[k] > logits[best[at - 1]]))
            at--;
        for (uint32_t i = VL_REPORT_TOP; i-- > at + 1;)
            best[i] = best[i - 1];
        if (at < VL_REPORT_TOP)
            best[at] = k;
    }
    *out = (vl_report){ .none = 1 };
    if (!(logits[0] - logits[best[0]] < SILENT))
        return;
    vl_softmax_row(logits, classes);
    out->none = logits[0];
    for (uint32_t i = 0; i < VL_REPORT_TOP; i++) {
        out->kind[i] = best[i];
        out->prob[i] = logits[best[i]];
    }
}

static void read_row(void *arg, size_t row, uint32_t slot)
{
    const tile_work *t = arg;
    const vl_config *c = t->config;
    const vl_grid *grid = t->grid;
    uint32_t values = c->class_count + 4, overlap = c->tile_overlap / c->patch;
    uint32_t first, end, stride = c->side - overlap;
    float patch = (float)c->patch, wide = patch / (float)c->anchors;
    (void)slot;
    own_range(t->row, grid->tiles_h, c->side, overlap, &first, &end);
    if (row < first || row >= end)
        return;
    uint32_t y = t->row * stride + (uint32_t)row;
    own_range(t->column, grid->tiles_w, c->side, overlap, &first, &end);
    for (uint32_t i = first * c->anchors; i < end * c->anchors; i++) {
        float *logits = t->logits + (row * c->side * c->anchors + i) * values;
        const float *place = logits + c->class_count;
        uint32_t x = t->column * stride * c->anchors + i;
        vl_report *out = &t->anchors->reports[(size_t)y * t->anchors->columns + x];
        take_kinds(logits, c->class_count, out);
        out->x = wide * ((float)x + 0.5f + place[0]);
        out->y = patch * ((float)y + 0.5f + place[1]);
        out->height = 2 * patch * place[2];
        out->gap = place[3];
    }
}

bool vl_anchors_init(vl_anchors *anchors, const vl_config *c, const vl_grid *grid,
                     vl_error *err)
{
    *anchors = (vl_anchors){ .columns = grid->canvas_w / c->patch * c->anchors,
                             .rows = grid->canvas_h / c->patch,
                             .wide = (float)c->patch / (float)c->anchors,
                             .high = (float)c->patch,
                             .codes = c->chars };
    size_t room = (size_t)anchors->columns * anchors->rows;
    anchors->reports = calloc(room, sizeof *anchors->reports);
    if (anchors->reports == NULL)
        return vl_fail(err, VL_NOMEM, "no memory to read a picture") != NULL;
    for (size_t i = 0; i < room; i++)
        anchors->reports[i].none = 1;
    return true;
}

bool vl_anchors_add(vl_anchors *anchors, vl_model *m, const vl_grid *grid, uint32_t tile,
                    const float *features, vl_error *err)
{
    const vl_config *c = &m->config;
    size_t patches = (size_t)c->side * c->side;
    size_t values = (size_t)c->anchors * (c->class_count + 4);
    tile_work work = { .config = c,
                       .grid = grid,
                       .anchors = anchors,
                       .logits = vl_floats_new(patches * values),
                       .column = tile % grid->tiles_w,
                       .row = tile / grid->tiles_w };
    if (work.logits == NULL)
        return vl_fail(err, VL_NOMEM, "no memory to read a picture") != NULL;
    vl_linear_apply(m->pool, m->text_head,
                    &(vl_linear_args){ .x = features,
                                       .rows = patches,
                                       .x_stride = c->v_width,
                                       .y = work.logits,
                                       .y_stride = values });
    vl_pool_run(m->pool, c->side, read_row, &work);
    free(work.logits);
    return true;
}

bool vl_anchors_chars(const vl_anchors *anchors, vl_char **out, size_t *count,
                      vl_error *err)
{
    size_t n = 0;
    vl_mark *marks = NULL;
    vl_char *chars = NULL;
    if (vl_anchors_merge(anchors, &marks, &n))
        chars = malloc((n + 1) * sizeof *chars);
    for (size_t i = 0; chars != NULL && i < n; i++) {
        chars[i] = (vl_char){ .code = anchors->codes[marks[i].kind - 1],
                              .x = marks[i].x,
                              .y = marks[i].y,
                              .height = marks[i].height,
                              .prob = fminf(marks[i].prob, 1),
                              .gap = 1 / (1 + expf(-marks[i].gap)) };
        for (uint32_t k = 0; k < 2 && marks[i].other[k] != 0; k++) {
            chars[i].other[k] = anchors->codes[marks[i].other[k] - 1];
            chars[i].other_prob[k] = fminf(marks[i].other_prob[k], 1);
        }
    }
    free(marks);
    if (chars == NULL)
        return vl_fail(err, VL_NOMEM, "no memory to read a picture") != NULL;
    *out = chars;
    *count = n;
    return true;
}

bool vl_read_characters(const vl_vision *v, vl_char **out, size_t *count, vl_error *err)
{
    const vl_config *c = &v->model->config;
    const vl_grid *grid = &v->fit.grid;
    vl_anchors anchors;
    if (!vl_anchors_init(&anchors, c, grid, err))
        return false;
    bool is_done = true;
    size_t tile_floats = (size_t)c->side * c->side * c->v_width;
    for (uint32_t i = 0; is_done && i < grid->tiles_w * grid->tiles_h; i++)
        is_done = vl_anchors_add(&anchors, v->model, grid, i,
                                 v->features + i * tile_floats, err);
    is_done = is_done && vl_anchors_chars(&anchors, out, count, err);
    free(anchors.reports);
    return is_done;
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
                            .height = (float)v->height,
                            .upright = { .width = v->width,
                                         .height = v->height,
                                         .picture_width = v->width,
                                         .picture_height = v->height } };
    vl_text *text = vl_text_group(chars, count, &place, err);
    free(chars);
    return text;
}

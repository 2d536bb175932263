/*
 * page.c - reads the picture of a page: finds the print, makes it upright, chooses how
 * finely to look.
 *
 * What print wants is size: capitals of about 14 pixels read best, of 10 half as well.  So
 * the content is cut out, its letters are measured on the ink, and the smallest grid of
 * tiles is taken that makes them large enough.  Tiles without ink are not looked at.  The
 * tower itself tells top from bottom: print that is upside down makes it doubt.
 */
#include "read.h"

#include <assert.h>
#include <math.h>

#include "deskew.h"
#include "util.h"

#define TILES_DEFAULT  12u
#define TILES_LIMIT    64u
#define BATCH          4u
#define SKEW_LEAST     0.4  /* degrees; less is left to the lines */
#define REDUCED_HEIGHT 26.0 /* letters this high lose nothing when reduced before */
#define FILL_HEIGHT    18.0 /* letters are not made larger than this to fill a grid */
#define SOURCE_SCALE   1.0  /* nor than they are, .. */
#define ENLARGE_HEIGHT 14.0 /* .. but for small print, up to this */
#define ENLARGE_MOST   2.0
#define DOUBT          0.86f /* mean probability that has other turns looked at */
#define BETTER         1.15f /* times as good that another turn must be */
#define SURE           0.93f /* mean probability that needs no closer look */
#define CLOSER         1.5   /* times as large */
#define CLOSER_LEAST   1.15  /* that a closer look must be possible */
#define CLOSER_CHARS   20u
#define TILE_INK       24u /* inked pixels without which a tile is blank */

typedef struct reading {
    vl_model *model;
    const vl_page_opts *opts;
    vl_plane base;     /* grey, as it was given, perhaps reduced */
    vl_plane page;     /* that made upright */
    vl_ink ink;        /* of `page` */
    double degrees[2]; /* skew of `base`, as it is and turned by a quarter */
    float upended;     /* as in vl_ink, of `base` */
    vl_upright upright;
    double scale;  /* pixels of the upright page in one of `page` */
    double height; /* of letters, pixels of `page`; 0 when unknown */
    double closer; /* how many times larger than usual to look */
    uint32_t tiles_max;
} reading;

/* ---- preparation ---- */

/* Make `page` from `base`: turned by quarters, then levelled. */
static bool turn(reading *r, uint32_t quarters, vl_error *err)
{
    vl_plane turned, level;
    double degrees = r->degrees[quarters % 2];
    vl_upright *u = &r->upright;
    if (!vl_plane_turn(&r->base, quarters, &turned, err))
        return false;
    u->quarters = quarters;
    u->degrees = fabs(degrees) < SKEW_LEAST ? 0 : (float)degrees;
    u->width = quarters % 2 != 0 ? u->picture_height : u->picture_width;
    u->height = quarters % 2 != 0 ? u->picture_width : u->picture_height;
    if (u->degrees != 0) {
        bool is_done = vl_plane_level(&turned, degrees, &level, err);
        vl_plane_clear(&turned);
        if (!is_done)
            return false;
        turned = level;
        u->width = (uint32_t)lrint(turned.width * r->scale);
        u->height = (uint32_t)lrint(turned.height * r->scale);
    }
    vl_plane_clear(&r->page);
    vl_ink_clear(&r->ink);
    r->page = turned;
    if (!vl_ink_find(&r->page, &r->ink, err))
        return false;
    r->height = (double)r->ink.letter * r->ink.step;
    return true;
}

/* The picture as a grey page whose letters are of a size that can be worked with. */
static bool prepare(reading *r, const vl_image *image, vl_error *err)
{
    vl_plane reduced;
    if (!vl_plane_from_image(image, 1, &r->base, err) ||
        !vl_ink_find(&r->base, &r->ink, err) ||
        !vl_ink_skew(&r->ink, false, &r->degrees[0], err) ||
        !vl_ink_skew(&r->ink, true, &r->degrees[1], err))
        return false;
    r->upended = r->ink.upended;
    r->height = (double)r->ink.letter * r->ink.step;
    r->upright.picture_width = image->width;
    r->upright.picture_height = image->height;
    uint32_t step = r->height > 0 ? (uint32_t)(r->height / REDUCED_HEIGHT) : 1;
    r->scale = step > 1 ? step : 1;
    if (step > 1) {
        if (!vl_plane_reduce(&r->base, step, &reduced, err))
            return false;
        vl_plane_clear(&r->base);
        r->base = reduced;
    }
    return turn(r, 0, err);
}

/* ---- grids ---- */

static uint32_t tiles_for(const vl_config *c, double pixels)
{
    double stride = c->tile - c->tile_overlap;
    double tiles = ceil((pixels - 0.5 - c->tile_overlap) / stride);
    return tiles < 1 ? 1 : tiles > 1000 ? 1000 : (uint32_t)tiles;
}

static uint32_t side_of(const vl_config *c, uint32_t tiles)
{
    return c->tile_overlap + tiles * (c->tile - c->tile_overlap);
}

/* The scale that fills a grid with a box, but not over `most`. */
static double fill(const vl_config *c, uint32_t w, uint32_t h, const vl_box *box,
                   double most)
{
    double scale =
        fmin(side_of(c, w) / (box->x1 - box->x0), side_of(c, h) / (box->y1 - box->y0));
    return fmin(scale, most);
}

/* Heights of letters that are asked for in turn, and tiles that each may cost. */
static const struct {
    double height;
    uint32_t tiles;
} wishes[] = { { 14, 4 }, { 11.5, 8 }, { 11.5, 16 }, { 9, 64 } };

/* The fewest tiles that show the box at `scale`, when no more than `most`. */
static bool grid_at(const vl_config *c, const vl_box *box, double scale, uint32_t most,
                    vl_grid *grid)
{
    uint32_t w = tiles_for(c, scale * (box->x1 - box->x0));
    uint32_t h = tiles_for(c, scale * (box->y1 - box->y0));
    if (w * h > most)
        return false;
    *grid = (vl_grid){ w, h, side_of(c, w), side_of(c, h) };
    return true;
}

static vl_fit choose(const reading *r, const vl_box *box)
{
    const vl_config *c = &r->model->config;
    vl_fit fit = { .grid = { 0 } };
    double height = r->height, most = SOURCE_SCALE;
    if (height > 0)
        most = fmin(fmax(most, ENLARGE_HEIGHT / height), ENLARGE_MOST);
    for (unsigned i = 0;
         height > 0 && fit.grid.tiles_w == 0 && i < sizeof wishes / sizeof *wishes; i++) {
        uint32_t tiles = wishes[i].tiles < r->tiles_max ? wishes[i].tiles : r->tiles_max;
        (void)grid_at(c, box, fmin(r->closer * wishes[i].height / height, most), tiles,
                      &fit.grid);
    }
    /* Nothing known, or never enough: the finest grid that is allowed. */
    for (double scale = most; fit.grid.tiles_w == 0; scale *= 0.97)
        (void)grid_at(c, box, scale, height > 0 ? r->tiles_max : 6, &fit.grid);
    double limit =
        height > 0 ? fmin(most, fmax(r->closer * FILL_HEIGHT / height, 0.1)) : most;
    double scale = fill(c, fit.grid.tiles_w, fit.grid.tiles_h, box, limit);
    fit.width =
        (uint32_t)fmin(fmax(1, rint(scale * (box->x1 - box->x0))), fit.grid.canvas_w);
    fit.height =
        (uint32_t)fmin(fmax(1, rint(scale * (box->y1 - box->y0))), fit.grid.canvas_h);
    fit.x = (fit.grid.canvas_w - fit.width) / 2;
    fit.y = (fit.grid.canvas_h - fit.height) / 2;
    return fit;
}

/* ---- tiles ---- */

/* Ink in a rectangle of the canvas. */
static uint32_t ink_under(const reading *r, const vl_box *box, const vl_fit *fit,
                          uint32_t x, uint32_t y, uint32_t side)
{
    double unit = (double)fit->width / (box->x1 - box->x0) * r->ink.step;
    double left = box->x0 / r->ink.step, top = box->y0 / r->ink.step;
    int64_t x0 = (int64_t)floor(((double)x - fit->x) / unit + left);
    int64_t x1 = (int64_t)ceil(((double)x + side - fit->x) / unit + left);
    int64_t y0 = (int64_t)floor(((double)y - fit->y) / unit + top);
    int64_t y1 = (int64_t)ceil(((double)y + side - fit->y) / unit + top);
    uint32_t count = 0;
    for (int64_t v = y0 < 0 ? 0 : y0; v < y1 && v < r->ink.height; v++)
        for (int64_t u = x0 < 0 ? 0 : x0; u < x1 && u < r->ink.width; u++)
            count += r->ink.bits[v * r->ink.width + u] != 0;
    return count;
}

/* The tiles worth a look: all with ink, or the one with the most of it. */
static uint32_t pick_tiles(const reading *r, const vl_box *box, const vl_fit *fit,
                           bool is_densest_only, uint32_t *tiles)
{
    const vl_config *c = &r->model->config;
    uint32_t count = 0, most = 0, densest = 0, stride = c->tile - c->tile_overlap;
    for (uint32_t i = 0; i < fit->grid.tiles_w * fit->grid.tiles_h; i++) {
        uint32_t ink = ink_under(r, box, fit, i % fit->grid.tiles_w * stride,
                                 i / fit->grid.tiles_w * stride, c->tile);
        if (ink >= TILE_INK)
            tiles[count++] = i;
        if (ink > most) {
            most = ink;
            densest = i;
        }
    }
    if (is_densest_only && count > 0) {
        tiles[0] = densest;
        return 1;
    }
    return count;
}

static bool look(reading *r, const vl_plane *canvas, const vl_fit *fit,
                 const uint32_t *tiles, uint32_t count, vl_anchors *anchors,
                 vl_error *err)
{
    const vl_config *c = &r->model->config;
    size_t patches = (size_t)c->side * c->side;
    size_t floats = patches * c->patch * c->patch * c->in_chans;
    uint32_t batch = count < BATCH ? count : BATCH, stride = c->tile - c->tile_overlap;
    static const vl_vision_opts silent = { 0 };
    float *pixels = vl_floats_new(floats * batch + 1);
    float *features = vl_floats_new(patches * c->v_width * batch + 1);
    bool is_done = pixels != NULL && features != NULL;
    if (!is_done)
        (void)vl_fail(err, VL_NOMEM, "no memory for %u tiles", batch);
    for (uint32_t i = 0; is_done && i < count; i += batch) {
        uint32_t n = count - i < batch ? count - i : batch;
        if (r->opts->progress != NULL &&
            !r->opts->progress(r->opts->user, "vision", i, count))
            is_done = vl_fail(err, VL_CANCELLED, "cancelled") != NULL;
        for (uint32_t k = 0; is_done && k < n; k++)
            vl_plane_patches(canvas, tiles[i + k] % fit->grid.tiles_w * stride,
                             tiles[i + k] / fit->grid.tiles_w * stride, c,
                             pixels + k * floats);
        is_done = is_done && vl_vit_run(r->model, pixels, n, features, &silent, err);
        for (uint32_t k = 0; is_done && k < n; k++)
            is_done = vl_anchors_add(anchors, r->model, &fit->grid, tiles[i + k],
                                     features + k * patches * c->v_width, err);
    }
    free(pixels);
    free(features);
    return is_done;
}

/* What the box shows, drawn anew at the size of the tiles. */
static bool draw_cut(const reading *r, const vl_box *box, const vl_fit *fit,
                     vl_plane *cut, vl_error *err)
{
    double sx = fit->width / (box->x1 - box->x0), sy = fit->height / (box->y1 - box->y0);
    uint32_t width = (uint32_t)fmax(rint(sx * r->page.width), fit->width);
    uint32_t height = (uint32_t)fmax(rint(sy * r->page.height), fit->height);
    bool is_on_end = r->upright.quarters % 2 != 0;
    vl_image image;
    vl_plane drawn, turned;
    if (!r->opts->draw(r->opts->user, is_on_end ? height : width,
                       is_on_end ? width : height, &image))
        return vl_fail(err, VL_CANCELLED, "the page was not drawn") != NULL;
    if (!vl_plane_from_image(&image, 1, &drawn, err))
        return false;
    bool is_done = vl_plane_turn(&drawn, r->upright.quarters, &turned, err);
    vl_plane_clear(&drawn);
    if (!is_done)
        return false;
    double x = fmin(rint(sx * box->x0), width - fit->width);
    double y = fmin(rint(sy * box->y0), height - fit->height);
    vl_box place = { x, y, x + fit->width, y + fit->height };
    is_done = vl_plane_crop(&turned, &place, cut, err);
    vl_plane_clear(&turned);
    return is_done;
}

/* Models of three channels see the grey page three times. */
static bool make_canvas(const reading *r, const vl_box *box, const vl_fit *fit,
                        bool is_drawn, vl_plane *canvas, vl_error *err)
{
    vl_plane cut, wide = { 0 };
    if (!(is_drawn ? draw_cut(r, box, fit, &cut, err)
                   : vl_plane_crop(&r->page, box, &cut, err)))
        return false;
    vl_image image = { cut.data, cut.width, cut.height, 1, cut.width };
    bool is_done = r->model->config.in_chans == 1 ||
                   vl_plane_from_image(&image, r->model->config.in_chans, &wide, err);
    is_done = is_done && vl_plane_pad(wide.data != NULL ? &wide : &cut, fit, canvas, err);
    vl_plane_clear(&cut);
    vl_plane_clear(&wide);
    return is_done;
}

typedef struct pass {
    vl_box box;
    vl_fit fit;
    vl_char *chars;
    size_t count;
} pass;

static bool read_pass(reading *r, bool is_densest_only, pass *out, vl_error *err)
{
    uint32_t tiles[TILES_LIMIT], count;
    vl_plane canvas;
    vl_anchors anchors;
    out->box = vl_ink_box(&r->ink, &r->page);
    out->fit = choose(r, &out->box);
    assert(out->fit.grid.tiles_w * out->fit.grid.tiles_h <= TILES_LIMIT);
    count = pick_tiles(r, &out->box, &out->fit, is_densest_only, tiles);
    /* Never larger than the picture: what limits that limits this. */
    bool is_drawn = r->opts->draw != NULL && r->upright.degrees == 0 &&
                    !is_densest_only && out->fit.width <= out->box.x1 - out->box.x0;
    if (!make_canvas(r, &out->box, &out->fit, is_drawn, &canvas, err))
        return false;
    bool is_done = vl_anchors_init(&anchors, &r->model->config, &out->fit.grid, err);
    if (is_done) {
        is_done = look(r, &canvas, &out->fit, tiles, count, &anchors, err) &&
                  vl_anchors_chars(&anchors, &out->chars, &out->count, err);
        free(anchors.reports);
    }
    vl_plane_clear(&canvas);
    return is_done;
}

/* ---- top and bottom ---- */

static float mean_prob(const pass *p)
{
    float sum = 0;
    for (size_t i = 0; i < p->count; i++)
        sum += p->chars[i].prob;
    return p->count > 0 ? sum / (float)p->count : 0;
}

/* How much of a tile is read, and how surely: doubtful characters count against it. */
static float quality(const pass *p)
{
    float sum = 0;
    for (size_t i = 0; i < p->count; i++)
        sum += fmaxf(p->chars[i].prob - 0.6f, 0);
    return sum;
}

/* The best of some turns (bit q: by q quarters, and none) for the densest tile. */
static bool try_turns(reading *r, uint32_t turns, uint32_t *best, vl_error *err)
{
    float most = 0;
    bool is_done = true;
    *best = 0;
    for (uint32_t q = 0; is_done && q < 4; q++) {
        pass p = { .count = 0 };
        if (q > 0 && (turns >> q & 1) == 0)
            continue;
        is_done = turn(r, q, err) && read_pass(r, true, &p, err);
        float found = is_done ? quality(&p) : 0;
        if (found > (q == 0 ? 0 : *best == 0 ? BETTER : 1) * most) {
            most = found;
            *best = q;
        }
        free(p.chars);
    }
    return is_done && turn(r, *best, err);
}

/* Level print is read at once, and turned only when that was doubtful.  Letters
 * that stand above each other may be print that stands on end. */
static bool read_upright(reading *r, pass *out, vl_error *err)
{
    uint32_t best = 0;
    if (r->upended > 0.5f && !try_turns(r, 1 << 1 | 1 << 3, &best, err))
        return false;
    if (!read_pass(r, false, out, err))
        return false;
    if (best != 0 || out->count == 0 || mean_prob(out) >= DOUBT)
        return true;
    if (!try_turns(r, 1 << 2, &best, err))
        return false;
    if (best == 0)
        return true;
    free(out->chars);
    *out = (pass){ .count = 0 };
    return read_pass(r, false, out, err);
}

/* Print that was read with doubt is looked at once more, closer: faint and broken letters
 * want it.  Never more than the page itself shows. */
static bool look_closer(reading *r, pass *out, vl_error *err)
{
    pass second = { .count = 0 };
    if (out->count < CLOSER_CHARS || mean_prob(out) >= SURE || r->height <= 0)
        return true;
    r->closer = CLOSER;
    vl_fit fit = choose(r, &out->box);
    if (fit.width < CLOSER_LEAST * out->fit.width)
        return true;
    if (!read_pass(r, false, &second, err))
        return false;
    if (mean_prob(&second) > mean_prob(out) && 4 * second.count > 3 * out->count) {
        free(out->chars);
        *out = second;
    } else {
        free(second.chars);
    }
    return true;
}

static vl_text *make_text(const reading *r, const pass *p, vl_error *err)
{
    const vl_fit *f = &p->fit;
    double sx = (p->box.x1 - p->box.x0) / f->width,
           sy = (p->box.y1 - p->box.y0) / f->height;
    vl_page_place place = { .x = (float)(f->x - p->box.x0 / sx),
                            .y = (float)(f->y - p->box.y0 / sy),
                            .scale_x = (float)(sx * r->scale),
                            .scale_y = (float)(sy * r->scale),
                            .width = (float)r->upright.width,
                            .height = (float)r->upright.height,
                            .upright = r->upright };
    return vl_text_group(p->chars, p->count, &place, err);
}

vl_text *vl_page_read(vl_model *model, const vl_image *image, const vl_page_opts *opts,
                      vl_error *err)
{
    static const vl_page_opts defaults = { 0 };
    reading r = { .model = model, .opts = opts != NULL ? opts : &defaults };
    pass p = { .count = 0 };
    vl_text *text = NULL;
    if (model->text_head == NULL)
        return vl_fail(err, VL_UNSUPPORTED, "model %s has no text head",
                       model->config.name);
    r.tiles_max = r.opts->tiles_max != 0 ? r.opts->tiles_max : TILES_DEFAULT;
    if (r.tiles_max > TILES_LIMIT)
        return vl_fail(err, VL_LIMIT, "%u tiles of one page, limit %u", r.tiles_max,
                       TILES_LIMIT);
    r.closer = 1;
    if (prepare(&r, image, err) && read_upright(&r, &p, err) && look_closer(&r, &p, err))
        text = make_text(&r, &p, err);
    free(p.chars);
    vl_plane_clear(&r.base);
    vl_plane_clear(&r.page);
    vl_ink_clear(&r.ink);
    return text;
}

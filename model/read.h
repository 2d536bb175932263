/*
 * read.h - from single characters to words and lines of print.
 */
#ifndef VL_READ_H
#define VL_READ_H

#include "core.h"
#include "merge.h"

/* The characters that the text head names, in canvas pixels, the surest first.  The
 * caller frees them. */
bool vl_read_characters(const vl_vision *vision, vl_char **chars, size_t *count,
                        vl_error *err);

/* The anchors of a grid's canvas, silent at first (the caller frees `reports`), what the
 * head says about one tile [side * side][v_width], and the characters of them all. */
bool vl_anchors_init(vl_anchors *anchors, const vl_config *config, const vl_grid *grid,
                     vl_error *err);
bool vl_anchors_add(vl_anchors *anchors, vl_model *model, const vl_grid *grid,
                    uint32_t tile, const float *features, vl_error *err);
bool vl_anchors_chars(const vl_anchors *anchors, vl_char **chars, size_t *count,
                      vl_error *err);

/* How the canvas that the characters were found on maps to the picture:
 * picture = (canvas - corner) * scale, clamped to its size. */
typedef struct vl_page_place {
    float x, y, scale_x, scale_y, width, height;
    vl_upright upright; /* how the picture itself was turned before */
} vl_page_place;

/* Characters with places in canvas pixels, in any order, to a text in picture pixels.
 * Duplicates that two tiles claim are dropped. */
vl_text *vl_text_group(const vl_char *chars, size_t count, const vl_page_place *place,
                       vl_error *err);

/* Width of a letter against an average one. */
float vl_relative_width(uint32_t code);

#endif

/*
 * deskew.h - what can be told of a page before it is read: where its print lies, how it is
 * turned, how high its letters are; and turning pictures.
 */
#ifndef VL_DESKEW_H
#define VL_DESKEW_H

#include "core.h"

/* Ink of a page on a reduced picture. */
enum vl_ink_kind {
    VL_INK_LETTER = 1, /* of the size of a letter or a word */
    VL_INK_OTHER = 2,  /* rules, frames, pictures */
};
typedef struct vl_ink {
    uint8_t *bits; /* [height][width], 0 without ink, else enum vl_ink_kind */
    uint32_t width, height;
    uint32_t step;   /* pixels of the page, a side, in one of these */
    uint32_t letter; /* usual height of the letters as they stand; 0 with few */
    float upended;   /* share of the letters whose nearest is above or below them */
} vl_ink;

typedef struct vl_box {
    double x0, y0, x1, y1;
} vl_box;

/* What is darker than its surroundings; specks are left out, and what is large and touches
 * the picture's edge.  The grey page is reduced to at most VL_INK_SIDE_MAX a side. */
bool vl_ink_find(const vl_plane *grey, vl_ink *ink, vl_error *err);
void vl_ink_clear(vl_ink *ink);

/* The angle of the lines of print in degrees, clockwise (y grows downwards), at most
 * VL_SKEW_MAX either way: of the picture as it is, or turned clockwise by a quarter.  0 with
 * too little print to tell. */
bool vl_ink_skew(const vl_ink *ink, bool is_turned, double *degrees, vl_error *err);

/* The box of the ink in pixels of the page, with a margin; the whole page without any. */
vl_box vl_ink_box(const vl_ink *ink, const vl_plane *grey);

/* Clockwise by quarter turns (0 .. 3). */
bool vl_plane_turn(const vl_plane *from, uint32_t quarters, vl_plane *to, vl_error *err);
/* Turn by -degrees about the middle, so that lines at that angle become level; large
 * enough for all of it, uncovered corners take the edge's pixels. */
bool vl_plane_level(const vl_plane *from, double degrees, vl_plane *to, vl_error *err);
/* Every pixel the mean of step x step ones; a rest at the right and below is left out. */
bool vl_plane_reduce(const vl_plane *from, uint32_t step, vl_plane *to, vl_error *err);
bool vl_plane_crop(const vl_plane *from, const vl_box *box, vl_plane *to, vl_error *err);

/* From a point of the upright page to the picture. */
void vl_upright_point(const vl_upright *upright, double *x, double *y);

#define VL_INK_SIDE_MAX 1600u
#define VL_SKEW_MAX     8.0

#endif

/*
 * merge.h - from what single anchors say to characters.
 */
#ifndef VL_MERGE_H
#define VL_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VL_REPORT_TOP 3

/* What one anchor says. */
typedef struct vl_report {
    float none;                   /* probability that it sees no character */
    float prob[VL_REPORT_TOP];    /* of its likeliest classes, falling */
    uint32_t kind[VL_REPORT_TOP]; /* class 1 .. class_count - 1 */
    float x, y, height, gap;      /* canvas pixels; gap as log-odds */
} vl_report;

/* The anchors of a canvas: every place is answered for by one tile. */
typedef struct vl_anchors {
    vl_report *reports;     /* [rows][columns] */
    uint32_t columns, rows; /* anchors are `wide` pixels wide and `high` high */
    float wide, high;
    const uint32_t *codes; /* [class_count - 1], of class 1, 2, .. */
} vl_anchors;

/* A character on the canvas. */
typedef struct vl_mark {
    uint32_t kind;
    float x, y, height, gap, prob; /* as in vl_report */
    uint32_t other[2]; /* classes that the same anchors name beside it, or 0 */
    float other_prob[2];
} vl_mark;

/* The characters, from left to right within a line of print; the caller frees them.
 * False when memory is out. */
bool vl_anchors_merge(const vl_anchors *anchors, vl_mark **marks, size_t *count);

#endif

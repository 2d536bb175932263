/*
 * order.h - pieces of lines in reading order.
 */
#ifndef VL_ORDER_H
#define VL_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Words that follow each other without a gap like that between columns. */
typedef struct vl_piece {
    float x0, x1, y, height; /* y of its middle; of a level page */
} vl_piece;

/* lines[i]: the line that piece i belongs to, numbered as one reads: columns of running
 * text one after the other, all else in rows.  areas[i]: the column or part of the page
 * whose rows it was put into.  False when memory is out. */
bool vl_order_pieces(const vl_piece *pieces, size_t count, uint32_t *lines,
                     uint32_t *areas);

#endif

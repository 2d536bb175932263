/*
 * shop.c - the head of a receipt: the shop's name and address.
 */
#include "clue.h"

#include "address.h"

void dx_clues_shop(const dx_scene *s, GArray *clues)
{
    (void)s;
    (void)clues;
}

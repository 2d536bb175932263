/*
 * address.h - blocks of name, street and place on a page, found by their form alone.
 *
 * A place line (postcode with city, in the forms of Europe, the United States and Asia) is
 * the anchor; the lines above it that stand in the same column are street and name.  A
 * sender's line ("Name · Street · Place") is the same thing in one row.
 */
#ifndef DX_ADDRESS_H
#define DX_ADDRESS_H

#include "layout.h"

#define DX_ADDRESS_LINES_MAX 7u  /* above the place */
#define DX_ADDRESS_MAX       64u /* blocks of one page */

typedef struct dx_address {
    char *name;       /* NULL when the block has none */
    char *contact;    /* a person between name and street, or NULL */
    GPtrArray *lines; /* street and what belongs to it, as printed (char *) */
    char *postcode, *city, *region;
    char country[3];            /* ISO code when it is printed, else "" */
    char *heading;              /* what stands above or left of the block, or NULL */
    char *printed;              /* street to country as printed, lines joined by ", " */
    gsize start, end;           /* of the place line */
    gsize name_start, name_end; /* of the first line of the name */
    dx_box box, name_box;
    double em;          /* height of a line */
    gboolean is_inline; /* a sender's line */
} dx_address;

/* GArray of dx_address in reading order; the caller owns it. */
GArray *dx_find_addresses(const dx_layout *layout);
/* Lines, postcode, city, country as one line of text; `country` may be NULL. */
char *dx_address_format(const dx_address *address, const char *country);

/* A line that reads like a street: a house number, or a word for street or building. */
gboolean dx_is_street(const char *text);
/* A name with the legal form of a company (GmbH, Ltd, Sdn Bhd, s.r.o., ...). */
gboolean dx_has_legal_form(const char *text);
/* A line that states a fact ("Tel: ...", an address in the net, a register number) or
 * is a sentence: neither name nor street. */
gboolean dx_is_fact(const char *text);
/* A line of an address above the street: "c/o ...", a building, a floor, a box. */
gboolean dx_is_part(const char *text);
/* Neither title, nor fact, nor heading of a party. */
gboolean dx_could_be_name(const char *text);
/* The title of a paper: invoice, receipt, ... alone in its line. */
gboolean dx_is_title(const char *text);
/* Which party a heading names ("Bill to:", "Verkäufer"). */
typedef enum dx_role {
    DX_ROLE_NONE,
    DX_ROLE_SELLER,
    DX_ROLE_BUYER,
    DX_ROLE_OTHER
} dx_role;
dx_role dx_read_role(const char *text);
/* The cell above in the same column, or NULL; at most `gap` line heights away. */
const dx_cell *dx_cell_above(const dx_layout *layout, const dx_cell *cell, double gap);

#endif

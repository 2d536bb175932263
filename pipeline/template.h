/*
 * template.h - names and lines made of a document's values.
 *
 *   {seller.name|slug}/{issue_date:%Y/%m}/{invoice_number}.pdf
 *
 * A placeholder is a path (route_facts.h), then for dates ":" and a format, then filters:
 *
 *   slug          lower case, ASCII where that can be had, words joined by "-"
 *   upper, lower
 *   trunc:N       at most N characters, 1 to 255
 *   default:TEXT  stands for a missing value
 *
 * "{{" and "}}" are braces.  A date format knows %Y %y %m %d %j %V %G %q and %%; a value
 * that is no date (YYYY-MM-DD) is an error there.
 *
 * What a value can do to a path: nothing.  A slash in it is "_", as are control
 * characters, \ : * ? " < > and |; marks that draw nothing are dropped; blanks are single.
 * A part of a path that holds a value never begins with a point, a dash, a tilde or a
 * blank, never ends with a point or a blank, is no name that Windows reserves, is not
 * empty and has at most 255 bytes (the extension is kept).  Other letters stay as they
 * are, in composed form.
 */
#ifndef DP_TEMPLATE_H
#define DP_TEMPLATE_H

#include "facts.h"
#include "route_facts.h"

#define DP_ROUTE_ERROR (dp_route_error_quark())
GQuark dp_route_error_quark(void);
typedef enum dp_route_code {
    DP_ROUTE_CONFIG = 1, /* a rule, template or action is wrong */
    DP_ROUTE_VALUE,      /* a value is missing or does not fit; trying again is no help */
    DP_ROUTE_TEMPORARY,  /* try again later */
    DP_ROUTE_REFUSED,    /* the target said no, for good */
} dp_route_code;

enum {
    DP_TEMPLATE_BYTES_MAX = 1024,
    DP_TEMPLATE_PARTS_MAX = 64,
    DP_NAME_BYTES_MAX = 255,
    DP_TARGET_BYTES_MAX = 4000,
    DP_VALUE_BYTES_MAX = 4096, /* of one value; the rest is cut */
};

typedef enum dp_template_kind {
    DP_TEMPLATE_PATH, /* may be absolute; ending in a slash it is followed by {@file} */
    DP_TEMPLATE_NAME, /* no slash */
    DP_TEMPLATE_LINE, /* one line of text, values without control characters */
} dp_template_kind;

typedef struct dp_template dp_template; /* immutable; shared between threads */

dp_template *dp_template_new(const char *text, dp_template_kind kind, GError **error);
void dp_template_free(dp_template *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_template, dp_template_free)
/* The text with its values.  `missing` stands for a missing value; NULL makes that an
 * error of DP_ROUTE_VALUE that names the path. */
char *dp_template_expand(const dp_template *t, const dp_route_facts *facts,
                         const char *missing, GError **error);
/* `report` gets each path of the template, in order; `pointer` and at_key (FALSE) go with it. */
void dp_template_paths(const dp_template *t, const char *pointer, dp_report report,
                       void *user);
gboolean dp_template_is_absolute(const dp_template *t);

/* "scan.pdf" to "scan-2.pdf", within DP_NAME_BYTES_MAX.  Caller frees. */
char *dp_name_numbered(const char *name, guint number);
/* One part of a path as above.  Caller frees. */
char *dp_name_safe(const char *text);

#endif

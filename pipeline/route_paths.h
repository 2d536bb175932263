/*
 * route_paths.h - which fields of documents `routes:` speak of, and whether there are such.
 *
 * A misspelt field fulfils no condition and fills no template, so nothing ever goes wrong
 * with it: it has to be found where the configuration is read.
 */
#ifndef DP_ROUTE_PATHS_H
#define DP_ROUTE_PATHS_H

#include "facts.h"

/* `report` is called for each path to a field in `routes` that dp_routes_check() has
 * accepted: its JSON Pointer from the mapping `routes` on, at_key, and the path as `text`.
 * Facts (@file …) are left out. */
void dp_route_paths(const json_t *routes, dp_report report, void *user);

/* Is `path` one of `known`, the paths of schemas (dx_schema_paths)?  An element of a list is
 * named by its number or by "[]". */
gboolean dp_route_path_is_known(const char *path, GHashTable *known);

#endif

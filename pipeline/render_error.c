/* render_error.c - the error domain that client and worker share. */
#include "render.h"

G_DEFINE_QUARK(dp_render_error, dp_render_error)

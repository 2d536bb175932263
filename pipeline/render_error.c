/* render_error.c - the error domain that client and worker share. */
#include "render.h"

G_DEFINE_QUARK(dp - render - error - quark, dp_render_error)

/* render_error.c - the error domain that client and worker share. */
#include "render.h"

/* G_DEFINE_QUARK would keep it in a variable that threads write without a lock. */
GQuark dp_render_error_quark(void)
{
    return g_quark_from_static_string("dp_render_error");
}

/*
 * error.c - the one place that writes a vl_error, so every message has one form.
 */
#include "ops.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

void *vl_fail(vl_error *err, vl_code code, const char *format, ...)
{
    assert(err != NULL);
    assert(code != VL_OK);

    va_list args;
    va_start(args, format);
    (void)vsnprintf(err->text, sizeof err->text, format, args); /* cut is fine */
    va_end(args);
    /* Names in a message come from files; the promise is one line. */
    for (char *p = err->text; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    err->code = code;
    return NULL;
}

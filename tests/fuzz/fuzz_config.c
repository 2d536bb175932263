/*
 * fuzz_config.c - any bytes as a configuration: a checked struct, or an error whose every
 * line has a place.
 */
#include "config.h"

#include "fuzz.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_config) config =
        dp_config_parse((const char *)data, bytes, "/fuzz/c.yaml", &error);
    if ((config == NULL) == (error == NULL))
        g_error("neither a configuration nor an error, or both");
    if (config == NULL) {
        g_auto(GStrv) lines = g_strsplit(error->message, "\n/", -1);
        for (char **line = lines; *line != NULL; line++)
            if (strstr(*line, "fuzz/c.yaml:") == NULL)
                g_error("a mistake without its place: %s", *line);
        return 0;
    }
    json_t *shown = dp_config_json(config);
    if (!json_is_object(shown) || json_object_get(shown, "defaults") == NULL)
        g_error("a configuration that cannot be shown");
    for (guint i = 0; i < config->folders->len; i++) {
        const dp_folder_config *f = g_ptr_array_index(config->folders, i);
        if (f->path[0] != '/' || f->out[0] != '/' || f->failed[0] != '/' ||
            f->done[0] != '/')
            g_error("a path that is not absolute");
        if (!dp_folder_config_equal(f, f))
            g_error("a folder that differs from itself");
    }
    json_decref(shown);
    return 0;
}

/*
 * test_image.c - resizing against Pillow, and the published table of grids.
 */
#include <glib.h>
#include <stdio.h>

#include "core.h"

static void published_config(vl_config *c)
{
    static const uint8_t grids[][2] = {
        { 1, 1 }, { 1, 2 }, { 2, 1 }, { 1, 3 }, { 3, 1 }, { 1, 4 }, { 4, 1 }, { 2, 2 },
        { 1, 5 }, { 5, 1 }, { 1, 6 }, { 6, 1 }, { 2, 3 }, { 3, 2 }, { 1, 7 }, { 7, 1 },
        { 1, 8 }, { 8, 1 }, { 2, 4 }, { 4, 2 }, { 1, 9 }, { 9, 1 }, { 3, 3 },
    };
    *c = (vl_config){ .tile = 384, .patch = 14, .side = 27, .down = 2, .merged = 14 };
    for (size_t i = 0; i < G_N_ELEMENTS(grids); i++)
        c->grids[c->grid_count++] =
            (vl_grid){ grids[i][0], grids[i][1], grids[i][0] * 384u, grids[i][1] * 384u };
    g_assert_cmpuint(c->grid_count, ==, 23);
}

static void test_grids(void)
{
    static const struct {
        uint32_t w, h, tiles_w, tiles_h, tokens;
        uint32_t gw, gh, gx, gy, lw, lh, lx, ly;
    } rows[] = {
        { 1, 1, 1, 1, 421, 384, 384, 0, 0, 384, 384, 0, 0 },
        { 384, 384, 1, 1, 421, 384, 384, 0, 0, 384, 384, 0, 0 },
        { 385, 384, 2, 1, 617, 384, 383, 0, 0, 385, 384, 192, 0 },
        { 640, 480, 2, 2, 1023, 384, 288, 0, 48, 768, 576, 0, 96 },
        { 480, 640, 2, 2, 1023, 288, 384, 48, 0, 576, 768, 96, 0 },
        { 500, 500, 2, 2, 1023, 384, 384, 0, 0, 768, 768, 0, 0 },
        { 769, 769, 3, 3, 2017, 384, 384, 0, 0, 1152, 1152, 0, 0 },
        { 1024, 768, 3, 2, 1415, 384, 288, 0, 48, 1024, 768, 64, 0 },
        { 768, 1024, 2, 3, 1429, 288, 384, 48, 0, 768, 1024, 0, 64 },
        { 595, 842, 2, 3, 1429, 271, 384, 56, 0, 768, 1087, 0, 32 },
        { 1240, 1754, 3, 3, 2017, 271, 384, 56, 0, 814, 1152, 169, 0 },
        { 1654, 2339, 3, 3, 2017, 272, 384, 56, 0, 815, 1152, 168, 0 },
        { 1920, 1080, 4, 2, 1807, 384, 216, 0, 84, 1365, 768, 86, 0 },
        { 1080, 1920, 2, 4, 1835, 216, 384, 84, 0, 768, 1365, 0, 86 },
        { 2000, 1000, 4, 2, 1807, 384, 192, 0, 96, 1536, 768, 0, 0 },
        { 3000, 400, 8, 1, 1793, 384, 51, 0, 166, 2880, 384, 96, 0 },
        { 400, 3000, 1, 8, 1891, 51, 384, 166, 0, 384, 2880, 0, 96 },
        { 4000, 300, 9, 1, 1989, 384, 29, 0, 178, 3456, 259, 0, 62 },
    };
    vl_config c;
    published_config(&c);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        vl_error err = { 0 };
        vl_fit fit, whole = { 0 };
        g_test_message("case: %u x %u", rows[i].w, rows[i].h);
        g_assert_true(vl_fit_choose_config(&c, rows[i].w, rows[i].h, &fit, &err));
        g_assert_cmpuint(fit.grid.tiles_w, ==, rows[i].tiles_w);
        g_assert_cmpuint(fit.grid.tiles_h, ==, rows[i].tiles_h);
        g_assert_cmpuint(vl_projector_count(&c, &fit.grid), ==, rows[i].tokens);
        g_assert_cmpuint(fit.width, ==, rows[i].lw);
        g_assert_cmpuint(fit.height, ==, rows[i].lh);
        g_assert_cmpuint(fit.x, ==, rows[i].lx);
        g_assert_cmpuint(fit.y, ==, rows[i].ly);
        vl_fit_into(rows[i].w, rows[i].h, 384, 384, &whole);
        g_assert_cmpuint(whole.width, ==, rows[i].gw);
        g_assert_cmpuint(whole.height, ==, rows[i].gh);
        g_assert_cmpuint(whole.x, ==, rows[i].gx);
        g_assert_cmpuint(whole.y, ==, rows[i].gy);
    }
}

static void test_sizes(void)
{
    static const struct {
        uint32_t w, h;
        vl_code expect;
    } cases[] = {
        { 0, 10, VL_INVALID },
        { 10, 0, VL_INVALID },
        { VL_IMAGE_SIDE_MAX, 1, VL_OK },
        { VL_IMAGE_SIDE_MAX + 1, 1, VL_LIMIT },
        { 1, VL_IMAGE_SIDE_MAX + 1, VL_LIMIT },
        { 30000, 10000, VL_OK },
        { 30001, 10000, VL_LIMIT },
    };
    vl_config c;
    published_config(&c);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        vl_fit fit;
        g_assert_true(vl_fit_choose_config(&c, cases[i].w, cases[i].h, &fit, &err) ==
                      (cases[i].expect == VL_OK));
        g_assert_cmpint(err.code, ==, cases[i].expect);
    }
}

static uint8_t *bytes_of(const vl_tensor *t)
{
    uint8_t *bytes = g_malloc(t->count);
    for (size_t i = 0; i < t->count; i++) {
        float value;
        memcpy(&value, t->data + i * sizeof value, sizeof value);
        bytes[i] = (uint8_t)value;
    }
    return bytes;
}

static void test_resize(void)
{
    static const uint32_t sizes[][2] = { { 29, 80 }, { 64, 37 }, { 10, 12 }, { 100, 9 },
                                         { 28, 36 }, { 3, 90 },  { 1, 1 } };
    vl_error err = { 0 };
    vl_weights *data = vl_weights_open(TEST_DATA "/image", &err);
    g_assert_nonnull(data);
    const vl_tensor *source = vl_weights_get(data, "source");
    vl_plane from = { bytes_of(source), (uint32_t)source->shape[1],
                      (uint32_t)source->shape[0], 1 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        char name[32];
        vl_plane to = { 0 };
        (void)snprintf(name, sizeof name, "%ux%u", sizes[i][0], sizes[i][1]); /* fits */
        g_test_message("case: %s", name);
        const vl_tensor *want = vl_weights_get(data, name);
        g_assert_nonnull(want);
        g_assert_true(vl_plane_resize(&from, sizes[i][0], sizes[i][1], &to, &err));
        uint8_t *bytes = bytes_of(want);
        g_assert_cmpmem(to.data, (size_t)to.width * to.height, bytes, want->count);
        g_free(bytes);
        vl_plane_clear(&to);
    }
    g_free(from.data);
    vl_weights_free(data);
}

static void test_colours(void)
{
    static const uint8_t rgb[] = { 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255 };
    static const uint8_t grey[] = { 76, 150, 29, 255 };
    vl_error err = { 0 };
    vl_plane plane = { 0 };
    vl_image image = { rgb, 4, 1, 3, 12 };
    g_assert_true(vl_plane_from_image(&image, 1, &plane, &err));
    g_assert_cmpmem(plane.data, 4, grey, 4);
    vl_plane_clear(&plane);
    image.row_bytes = 11;
    g_assert_false(vl_plane_from_image(&image, 1, &plane, &err));
    g_assert_cmpint(err.code, ==, VL_INVALID);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/image/grids", test_grids);
    g_test_add_func("/image/sizes", test_sizes);
    g_test_add_func("/image/resize", test_resize);
    g_test_add_func("/image/colours", test_colours);
    return g_test_run();
}

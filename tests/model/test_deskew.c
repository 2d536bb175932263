/*
 * test_deskew.c - print made of bars, at known angles and places.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "deskew.h"

#define W 900u
#define H 1200u

/* Is there ink at a point of the level page: lines of words of letters, 12 pixels high. */
static gboolean is_ink(double x, double y)
{
    if (x < 150 || x > 700 || y < 200 || y > 900)
        return FALSE;
    double line = fmod(y - 200, 30), letter = fmod(x - 150, 9);
    int index = (int)((x - 150) / 9), row = (int)((y - 200) / 30);
    return line < 12 && letter < 6 && (index + 3 * row) % 7 != 0;
}

/* The page seen at an angle about its middle: its lines fall to the right. */
static void draw(uint8_t *pixels, double degrees)
{
    double c = cos(degrees * M_PI / 180), s = sin(degrees * M_PI / 180);
    for (uint32_t y = 0; y < H; y++)
        for (uint32_t x = 0; x < W; x++) {
            double dx = x - W / 2.0, dy = y - H / 2.0;
            pixels[y * W + x] =
                is_ink(c * dx + s * dy + W / 2.0, -s * dx + c * dy + H / 2.0) ? 30 : 240;
        }
}

static void test_angle(void)
{
    static const double angles[] = { 0, 0.5, -0.5, 2.5, -2.5, 5, -5 };
    vl_error err = { 0 };
    uint8_t *pixels = g_malloc(W * H);
    vl_plane page = { pixels, W, H, 1 };
    for (size_t i = 0; i < G_N_ELEMENTS(angles); i++) {
        vl_ink ink, level_ink, turned_ink;
        vl_plane level, turned;
        double found;
        g_test_message("case: %g degrees", angles[i]);
        draw(pixels, angles[i]);
        g_assert_true(vl_ink_find(&page, &ink, &err));
        g_assert_true(vl_ink_skew(&ink, false, &found, &err));
        g_assert_cmpfloat(fabs(found - angles[i]), <, 0.12);
        g_assert_cmpfloat(ink.upended, <, 0.2f);
        g_assert_cmpuint(ink.letter, >=, 11);
        g_assert_cmpuint(ink.letter, <=, 14);
        g_assert_true(vl_plane_level(&page, angles[i], &level, &err));
        g_assert_true(vl_ink_find(&level, &level_ink, &err));
        g_assert_true(vl_ink_skew(&level_ink, false, &found, &err));
        g_assert_cmpfloat(fabs(found), <, 0.12);
        g_assert_true(vl_plane_turn(&page, 3, &turned, &err));
        g_assert_true(vl_ink_find(&turned, &turned_ink, &err));
        g_assert_true(vl_ink_skew(&turned_ink, true, &found, &err));
        g_assert_cmpfloat(fabs(found - angles[i]), <, 0.12);
        g_assert_cmpfloat(turned_ink.upended, >, 0.8f);
        vl_ink_clear(&ink);
        vl_ink_clear(&level_ink);
        vl_ink_clear(&turned_ink);
        vl_plane_clear(&level);
        vl_plane_clear(&turned);
    }
    g_free(pixels);
}

/* The content's box: specks, and the dark edge of a scan, are no content. */
static void test_box(void)
{
    vl_error err = { 0 };
    vl_ink ink;
    uint8_t *pixels = g_malloc(W * H);
    vl_plane page = { pixels, W, H, 1 };
    draw(pixels, 0);
    pixels[50 * W + 50] = pixels[1100 * W + 850] = 0;
    for (uint32_t y = 0; y < H; y++)
        memset(pixels + y * W, 20, 6);
    g_assert_true(vl_ink_find(&page, &ink, &err));
    vl_box box = vl_ink_box(&ink, &page);
    g_assert_cmpfloat(fabs(box.x0 - 135), <, 12);
    g_assert_cmpfloat(fabs(box.x1 - 715), <, 12);
    g_assert_cmpfloat(fabs(box.y0 - 185), <, 12);
    g_assert_cmpfloat(fabs(box.y1 - 917), <, 12);
    vl_ink_clear(&ink);
    memset(pixels, 240, W * H);
    g_assert_true(vl_ink_find(&page, &ink, &err));
    box = vl_ink_box(&ink, &page);
    g_assert_cmpfloat(box.x0, ==, 0);
    g_assert_cmpfloat(box.y1, ==, H);
    g_assert_cmpuint(ink.letter, ==, 0);
    vl_ink_clear(&ink);
    g_free(pixels);
}

/* A dark spot, turned and levelled, is found again where the way back points. */
static void test_points(void)
{
    vl_error err = { 0 };
    uint8_t *pixels = g_malloc(W * H);
    vl_plane page = { pixels, W, H, 1 };
    memset(pixels, 255, W * H);
    for (uint32_t y = 300; y < 304; y++)
        memset(pixels + y * W + 200, 0, 4);
    for (uint32_t quarters = 0; quarters < 4; quarters++)
        for (int degrees = -4; degrees <= 4; degrees += 4) {
            vl_plane turned, level;
            double x = 0, y = 0, ink = 0;
            g_assert_true(vl_plane_turn(&page, quarters, &turned, &err));
            g_assert_true(vl_plane_level(&turned, degrees, &level, &err));
            for (uint32_t i = 0; i < level.width * level.height; i++) {
                double dark = 255 - level.data[i];
                x += dark * (i % level.width + 0.5);
                y += dark * (i / level.width + 0.5);
                ink += dark;
            }
            x /= ink;
            y /= ink;
            vl_upright upright = { level.width, level.height, W,
                                   H,           quarters,     (float)degrees };
            vl_upright_point(&upright, &x, &y);
            g_assert_cmpfloat(fabs(x - 202), <, 0.7);
            g_assert_cmpfloat(fabs(y - 302), <, 0.7);
            vl_plane_clear(&turned);
            vl_plane_clear(&level);
        }
    g_free(pixels);
}

static void test_reduce(void)
{
    static uint8_t pixels[] = { 0, 10, 20, 30, 99, 40, 50, 60, 70, 99, 9, 9, 9, 9, 9 };
    vl_error err = { 0 };
    vl_plane page = { pixels, 5, 3, 1 }, small;
    g_assert_true(vl_plane_reduce(&page, 2, &small, &err));
    g_assert_cmpuint(small.width, ==, 2);
    g_assert_cmpuint(small.height, ==, 1);
    g_assert_cmpuint(small.data[0], ==, 25);
    g_assert_cmpuint(small.data[1], ==, 45);
    vl_plane_clear(&small);
    g_assert_true(vl_plane_reduce(&page, 9, &small, &err));
    g_assert_cmpuint(small.width * small.height, ==, 1);
    vl_plane_clear(&small);
}

/* Sizes that leave nothing to measure. */
static void test_tiny(void)
{
    static const struct {
        uint32_t w, h;
    } sizes[] = { { 1, 1 }, { 1, 4000 }, { 4000, 1 }, { 3, 3 }, { 1601, 2 } };
    vl_error err = { 0 };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++)
        for (int shade = 0; shade < 256; shade += 255) {
            uint8_t *pixels = g_malloc(sizes[i].w * sizes[i].h);
            vl_plane page = { pixels, sizes[i].w, sizes[i].h, 1 }, level;
            vl_ink ink;
            double degrees;
            memset(pixels, shade, sizes[i].w * sizes[i].h);
            g_assert_true(vl_ink_find(&page, &ink, &err));
            g_assert_true(vl_ink_skew(&ink, true, &degrees, &err));
            g_assert_cmpfloat(degrees, ==, 0);
            g_assert_true(vl_plane_level(&page, 5, &level, &err));
            vl_plane_clear(&level);
            vl_ink_clear(&ink);
            g_free(pixels);
        }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deskew/angle", test_angle);
    g_test_add_func("/deskew/box", test_box);
    g_test_add_func("/deskew/points", test_points);
    g_test_add_func("/deskew/reduce", test_reduce);
    g_test_add_func("/deskew/tiny", test_tiny);
    return g_test_run();
}

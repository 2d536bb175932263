/*
 * test_page.c - the limits and the frame of vl_page_read(), on the tiny model of
 * tests/data/parity.  That turned print is read is tests/test_turned.py.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "vl.h"

static vl_model *model;

static vl_image picture(uint8_t *pixels, uint32_t width, uint32_t height)
{
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            pixels[y * width + x] = y % 20 < 9 && x % 7 < 4 && x > 20 ? 30 : 240;
    return (vl_image){ pixels, width, height, 1, width };
}

static void test_limit(void)
{
    static const struct {
        uint32_t tiles_max;
        vl_code expect;
    } cases[] = { { 0, VL_OK }, { 1, VL_OK }, { 64, VL_OK }, { 65, VL_LIMIT } };
    uint8_t *pixels = g_malloc(300 * 400);
    vl_image image = picture(pixels, 300, 400);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        vl_error err = { 0 };
        vl_page_opts opts = { .tiles_max = cases[i].tiles_max };
        vl_text *text = vl_page_read(model, &image, &opts, &err);
        g_assert_cmpint(err.code, ==, cases[i].expect);
        g_assert_true((text != NULL) == (cases[i].expect == VL_OK));
        if (text == NULL)
            g_assert_cmpstr(err.text, ==, "65 tiles of one page, limit 64");
        vl_text_free(text);
    }
    g_free(pixels);
}

static void test_sizes(void)
{
    static const struct {
        uint32_t width, height;
    } sizes[] = { { 1, 1 }, { 2, 3000 }, { 3000, 2 }, { 64, 64 }, { 1000, 40 } };
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        vl_error err = { 0 };
        uint8_t *pixels = g_malloc(sizes[i].width * sizes[i].height);
        vl_image image = picture(pixels, sizes[i].width, sizes[i].height);
        vl_text *text = vl_page_read(model, &image, NULL, &err);
        g_assert_nonnull(text);
        vl_upright u = vl_text_upright(text);
        g_assert_cmpuint(u.picture_width, ==, sizes[i].width);
        g_assert_cmpuint(u.picture_height, ==, sizes[i].height);
        size_t count;
        const vl_word *words = vl_text_words(text, &count);
        for (size_t k = 0; k < count; k++) {
            float box[4] = { words[k].x0, words[k].y0, words[k].x1, words[k].y1 };
            vl_text_to_picture(text, box);
            g_assert_cmpfloat(box[0], >=, 0);
            g_assert_cmpfloat(box[0], <=, box[2]);
            g_assert_cmpfloat(box[1], <=, box[3]);
            g_assert_cmpfloat(box[3], <=, (float)sizes[i].height);
        }
        vl_text_free(text);
        g_free(pixels);
    }
}

static void test_blank(void)
{
    vl_error err = { 0 };
    size_t count;
    uint8_t *pixels = g_malloc(300 * 400);
    memset(pixels, 250, 300 * 400);
    vl_image image = { pixels, 300, 400, 1, 300 };
    vl_text *text = vl_page_read(model, &image, NULL, &err);
    g_assert_nonnull(text);
    (void)vl_text_words(text, &count);
    g_assert_cmpuint(count, ==, 0);
    vl_text_free(text);
    g_free(pixels);
}

static bool refuse(void *user, const char *stage, uint32_t done, uint32_t total)
{
    g_assert_cmpstr(stage, ==, "vision");
    g_assert_cmpuint(done, <, total);
    ++*(int *)user;
    return false;
}

static void test_cancel(void)
{
    vl_error err = { 0 };
    int calls = 0;
    uint8_t *pixels = g_malloc(300 * 400);
    vl_image image = picture(pixels, 300, 400);
    vl_page_opts opts = { .progress = refuse, .user = &calls };
    g_assert_null(vl_page_read(model, &image, &opts, &err));
    g_assert_cmpint(err.code, ==, VL_CANCELLED);
    g_assert_cmpint(calls, ==, 1);
    g_free(pixels);
}

typedef struct drawing {
    uint8_t *pixels;
    int calls;
    bool is_refused;
} drawing;

static bool draw(void *user, uint32_t width, uint32_t height, vl_image *image)
{
    drawing *d = user;
    d->calls++;
    g_assert_cmpfloat(fabs(width / 300.0 - height / 400.0), <, 0.02);
    g_free(d->pixels);
    d->pixels = g_malloc(width * height);
    *image = picture(d->pixels, width, height);
    return !d->is_refused;
}

static void test_draw(void)
{
    uint8_t *pixels = g_malloc(300 * 400);
    vl_image image = picture(pixels, 300, 400);
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        vl_error err = { 0 };
        drawing d = { .is_refused = is_refused != 0 };
        vl_page_opts opts = { .draw = draw, .user = &d };
        vl_text *text = vl_page_read(model, &image, &opts, &err);
        g_assert_cmpint(err.code, ==, is_refused != 0 ? VL_CANCELLED : VL_OK);
        g_assert_true((text == NULL) == (is_refused != 0));
        g_assert_cmpint(d.calls, >=, 1);
        vl_text_free(text);
        g_free(d.pixels);
    }
    g_free(pixels);
}

int main(int argc, char **argv)
{
    vl_error err = { 0 };
    vl_model_opts opts = { .threads = 1 };
    g_test_init(&argc, &argv, NULL);
    model = vl_model_open(TEST_DATA "/parity", &opts, &err);
    g_assert_nonnull(model);
    g_test_add_func("/page/limit", test_limit);
    g_test_add_func("/page/sizes", test_sizes);
    g_test_add_func("/page/blank", test_blank);
    g_test_add_func("/page/cancel", test_cancel);
    g_test_add_func("/page/draw", test_draw);
    int status = g_test_run();
    vl_model_unref(model);
    return status;
}

/* test_render.c - the document reader, on inputs drawn here. */
#include "render.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <tiffio.h>
#include <turbojpeg.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

#define W 40
#define H 24

static char *folder;

static char *path_of(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

static int memory_file(const void *data, gsize n)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(write(fd, data, n), ==, (gssize)n);
    return fd;
}

static dp_document *open_bytes(const void *data, gsize n, const dp_render_opts *opts,
                               GError **error)
{
    int fd = memory_file(data, n);
    dp_document *d = dp_document_open(fd, "test", opts, error);
    close(fd);
    return d;
}

static dp_document *open_file(const char *path, const dp_render_opts *opts,
                              GError **error)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    dp_document *d = dp_document_open(fd, "test", opts, error);
    close(fd);
    return d;
}

/* ---- PDF ---- */

static const char pdf_head[] =
    "%PDF-1.5\n1 0 obj<</Type/Catalog/Pages 2 0 R/AcroForm<</Fields[6 0 R 7 0 R]>>"
    "/Names<</EmbeddedFiles<</Names[(a) 8 0 R]>>>>>>endobj\n"
    "6 0 obj<</Type/Annot/Subtype/Widget/FT/Tx/T(city)/V(Bern)/Rect[10 20 60 40]/P 3 0 "
    "R>>"
    "endobj\n"
    "7 0 obj<</Type/Annot/Subtype/Widget/FT/Btn/T(paid)/V/Yes/AS/Yes/Rect[70 20 80 30]"
    "/AP<</N<</Yes 10 0 R/Off 10 0 R>>>>/P 3 0 R>>endobj\n"
    "8 0 obj<</Type/Filespec/F(x/data.xml)/EF<</F 9 0 R>>>>endobj\n"
    "9 0 obj<</Type/EmbeddedFile/Length 6>>stream\n<a/>\r\n\nendstream endobj\n"
    "10 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 0>>stream\n\nendstream "
    "endobj\n"
    "5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n";

/* One section per object, in the order of the file. */
static void add_xref(GString *s)
{
    g_autoptr(GString) table = g_string_new("xref\n0 1\n0000000000 65535 f \n");
    for (const char *at = s->str; (at = strstr(at, " 0 obj")) != NULL; at++) {
        const char *number = at;
        while (g_ascii_isdigit(number[-1]))
            number--;
        g_string_append_printf(table, "%d 1\n%010zu 00000 n \n",
                               (int)g_ascii_strtoll(number, NULL, 10),
                               (gsize)(number - s->str));
    }
    gsize start = s->len;
    g_string_append_printf(s,
                           "%strailer<</Root 1 0 R/Size 300>>\nstartxref\n%zu\n%%%%EOF\n",
                           table->str, start);
}

static char *make_pdf(const char *content, const char *page_extra, guint pages)
{
    GString *s = g_string_new(pdf_head);
    g_string_append(s, "2 0 obj<</Type/Pages/Kids[");
    for (guint i = 0; i < pages; i++)
        g_string_append_printf(s, "%u 0 R ", i == 0 ? 3 : 100 + i);
    g_string_append_printf(s, "]/Count %u>>endobj\n", pages);
    for (guint i = 0; i < pages; i++)
        g_string_append_printf(
            s,
            "%u 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]"
            "/Contents 4 0 R/Resources<</Font<</A 5 0 R>>>>%s%s>>endobj\n",
            i == 0 ? 3 : 100 + i, i == 0 ? "/Annots[6 0 R 7 0 R]" : "", page_extra);
    g_string_append_printf(s, "4 0 obj<</Length %zu>>stream\n%s\nendstream endobj\n",
                           strlen(content), content);
    add_xref(s);
    return g_string_free(s, FALSE);
}

static const uint8_t *pixel(const dp_pixels *p, double x, double y)
{
    return p->data + (size_t)(y * p->height) * p->row_bytes +
           (size_t)(x * p->width) * p->channels;
}

static void test_pdf_page(void)
{
    /* A red square in the lower left quarter of the page, a word in the upper right. */
    static const char content[] = "1 0 0 rg 0 0 50 50 re f 0 g BT /A 10 Tf 120 80 Td "
                                  "(Total due) Tj ET";
    static const struct {
        const char *extra;
        double width, height, red_x, red_y, word_x, word_y;
    } cases[] = {
        { "", 200, 100, 0.1, 0.9, 0.60, 0.15 },
        { "/Rotate 90", 100, 200, 0.1, 0.1, 0.85, 0.60 },
        { "/Rotate 180", 200, 100, 0.9, 0.1, 0.40, 0.85 },
        { "/Rotate 270", 100, 200, 0.9, 0.9, 0.15, 0.40 },
        { "/CropBox[0 0 160 100]", 160, 100, 0.1, 0.9, 0.75, 0.15 },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].extra);
        g_autoptr(GError) error = NULL;
        g_autofree char *pdf = make_pdf(content, cases[i].extra, 1);
        g_autoptr(dp_document) d = open_bytes(pdf, strlen(pdf), NULL, &error);
        g_assert_no_error(error);
        dp_page_info info;
        g_assert_true(dp_document_page_info(d, 0, &info, &error));
        g_assert_cmpfloat_with_epsilon(info.width_pt, cases[i].width, 1e-6);
        g_assert_cmpfloat_with_epsilon(info.height_pt, cases[i].height, 1e-6);
        g_assert_true(info.has_text);
        g_assert_false(info.is_text_hidden);
        for (uint32_t channels = 1; channels <= 3; channels += 2) {
            g_autoptr(dp_pixels) p = dp_document_render(d, 0, 301, 203, channels, &error);
            g_assert_no_error(error);
            g_assert_cmpuint(p->width, ==, 301);
            g_assert_cmpuint(p->height, ==, 203);
            const uint8_t *red = pixel(p, cases[i].red_x, cases[i].red_y);
            g_assert_cmpuint(red[0], ==, channels == 1 ? 77 : 255);
            g_assert_cmpuint(red[channels - 1], ==, channels == 1 ? 77 : 0);
            g_assert_cmpuint(pixel(p, 0.5, 0.5)[0], ==, 255);
        }
        g_autoptr(GArray) words = dp_document_text(d, 0, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(words->len, ==, 2);
        const dp_render_word *w = &g_array_index(words, dp_render_word, 0);
        g_assert_cmpstr(w->text, ==, "Total");
        g_assert_cmpstr(g_array_index(words, dp_render_word, 1).text, ==, "due");
        /* The end of the word where it begins lies at the given point. */
        g_assert_cmpfloat(
            MIN(fabs(w->x0 - cases[i].word_x), fabs(w->x1 - cases[i].word_x)), <, 0.06);
        g_assert_cmpfloat(
            MIN(fabs(w->y0 - cases[i].word_y), fabs(w->y1 - cases[i].word_y)), <, 0.1);
        g_assert_cmpfloat_with_epsilon(w->font_size, 10 / cases[i].height, 0.01);
        g_autoptr(GArray) fields = dp_document_fields(d, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(fields->len, ==, 2);
        const dp_render_field *f = &g_array_index(fields, dp_render_field, 0);
        g_assert_cmpstr(f->name, ==, "city");
        g_assert_cmpstr(f->value, ==, "Bern");
        if (i == 0) {
            g_assert_cmpfloat_with_epsilon(f->x0, 0.05, 1e-6);
            g_assert_cmpfloat_with_epsilon(f->y1, 0.8, 1e-6);
        } else if (i == 1) { /* turned clockwise, the bottom is on the left */
            g_assert_cmpfloat_with_epsilon(f->x0, 0.2, 1e-6);
            g_assert_cmpfloat_with_epsilon(f->y0, 0.05, 1e-6);
        }
        g_assert_cmpstr(g_array_index(fields, dp_render_field, 1).value, ==, "checked");
    }
}

static void test_hidden(void)
{
    g_autofree char *pdf = make_pdf("BT 3 Tr /A 10 Tf 9 9 Td (unseen) Tj ET", "", 1);
    g_autoptr(dp_document) d = open_bytes(pdf, strlen(pdf), NULL, NULL);
    dp_page_info info;
    g_assert_nonnull(d);
    g_assert_true(dp_document_page_info(d, 0, &info, NULL));
    g_assert_true(info.has_text);
    g_assert_true(info.is_text_hidden);
}

static void test_attachment(void)
{
    g_autofree char *pdf = make_pdf("", "", 1);
    for (guint limit = 5; limit <= 6; limit++) {
        g_autoptr(GError) error = NULL;
        dp_render_opts opts = { .limits = { .attachment_max = limit } };
        g_autoptr(dp_document) d = open_bytes(pdf, strlen(pdf), &opts, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(dp_document_get_info(d)->attachment_count, ==, 1);
        g_autofree char *name = NULL;
        g_autoptr(GBytes) bytes = dp_document_attachment(d, 0, &name, &error);
        if (limit == 5) {
            g_assert_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT);
            continue;
        }
        g_assert_no_error(error);
        g_assert_cmpstr(name, ==, "data.xml");
        g_assert_cmpmem(g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes),
                        "<a/>\r\n", 6);
    }
}

/* ---- pictures: left half red (or black), right half white, one dark corner ---- */

typedef struct tiff_case {
    const char *what;
    uint16_t compression, photometric, bits, samples, orientation;
    gboolean is_tiled, is_split;
    uint8_t left[3], right[3];
} tiff_case;

#define DARK                                                                             \
    {                                                                                    \
        0, 0, 0                                                                          \
    }
#define LIGHT                                                                            \
    {                                                                                    \
        255, 255, 255                                                                    \
    }
#define RED                                                                              \
    {                                                                                    \
        255, 0, 0                                                                        \
    }

static const tiff_case tiff_cases[] = {
    { "g3", COMPRESSION_CCITTFAX3, PHOTOMETRIC_MINISWHITE, 1, 1, 1, 0, 0, DARK, LIGHT },
    { "g4", COMPRESSION_CCITTFAX4, PHOTOMETRIC_MINISWHITE, 1, 1, 1, 0, 0, DARK, LIGHT },
    { "g4 black", COMPRESSION_CCITTFAX4, PHOTOMETRIC_MINISBLACK, 1, 1, 1, 0, 0, DARK,
      LIGHT },
    { "lzw 2", COMPRESSION_LZW, PHOTOMETRIC_MINISBLACK, 2, 1, 1, 0, 0, DARK, LIGHT },
    { "packbits 4", COMPRESSION_PACKBITS, PHOTOMETRIC_MINISBLACK, 4, 1, 1, 0, 0, DARK,
      LIGHT },
    { "deflate 8", COMPRESSION_ADOBE_DEFLATE, PHOTOMETRIC_MINISBLACK, 8, 1, 1, 0, 0, DARK,
      LIGHT },
    { "grey 16", COMPRESSION_NONE, PHOTOMETRIC_MINISBLACK, 16, 1, 1, 0, 0, DARK, LIGHT },
    { "palette 4", COMPRESSION_NONE, PHOTOMETRIC_PALETTE, 4, 1, 1, 0, 0, RED, LIGHT },
    { "palette 8", COMPRESSION_LZW, PHOTOMETRIC_PALETTE, 8, 1, 1, 0, 0, RED, LIGHT },
    { "rgb", COMPRESSION_NONE, PHOTOMETRIC_RGB, 8, 3, 1, 0, 0, RED, LIGHT },
    { "rgb planes", COMPRESSION_LZW, PHOTOMETRIC_RGB, 8, 3, 1, 0, 1, RED, LIGHT },
    { "rgb 16", COMPRESSION_NONE, PHOTOMETRIC_RGB, 16, 3, 1, 0, 0, RED, LIGHT },
    { "rgb tiles", COMPRESSION_ADOBE_DEFLATE, PHOTOMETRIC_RGB, 8, 3, 1, 1, 0, RED,
      LIGHT },
    { "cmyk", COMPRESSION_NONE, PHOTOMETRIC_SEPARATED, 8, 4, 1, 0, 0, RED, LIGHT },
    { "jpeg", COMPRESSION_JPEG, PHOTOMETRIC_RGB, 8, 3, 1, 0, 0, RED, LIGHT },
    { "jpeg ycbcr", COMPRESSION_JPEG, PHOTOMETRIC_YCBCR, 8, 3, 1, 0, 0, RED, LIGHT },
    { "mirrored", COMPRESSION_NONE, PHOTOMETRIC_RGB, 8, 3, 2, 0, 0, LIGHT, RED },
    { "upside down", COMPRESSION_NONE, PHOTOMETRIC_RGB, 8, 3, 3, 0, 0, LIGHT, RED },
};

static uint32_t sample(const tiff_case *t, uint32_t x, uint32_t k)
{
    uint32_t top = (1u << t->bits) - 1;
    gboolean is_left = x < W / 2;
    switch (t->photometric) {
    case PHOTOMETRIC_MINISWHITE:
        return is_left ? top : 0;
    case PHOTOMETRIC_PALETTE:
        return is_left ? 1 : 2;
    case PHOTOMETRIC_SEPARATED:
        return is_left && (k == 1 || k == 2) ? top : 0;
    default:
        return is_left && (t->samples == 1 || k > 0) ? 0 : top;
    }
}

static void fill_row(const tiff_case *t, uint8_t *out, uint32_t width, uint32_t first,
                     uint32_t count)
{
    uint32_t bit = 0;
    memset(out, 0, 4 * 1024);
    for (uint32_t x = 0; x < width; x++) {
        for (uint32_t k = first; k < first + count; k++, bit += t->bits) {
            uint32_t v = sample(t, x, k);
            if (t->bits == 16)
                ((uint16_t *)(void *)out)[bit / 16] = (uint16_t)v;
            else
                out[bit / 8] |= (uint8_t)(v << (8 - t->bits - bit % 8));
        }
    }
}

static void write_tiff_page(TIFF *tif, const tiff_case *t)
{
    uint8_t row[4 * 1024];
    uint16_t map[3][256] = { { 0, 65535, 65535 }, { 0, 0, 65535 }, { 0, 0, 65535 } };
    TIFFSetField(tif, TIFFTAG_IMAGEWIDTH, W);
    TIFFSetField(tif, TIFFTAG_IMAGELENGTH, H);
    TIFFSetField(tif, TIFFTAG_BITSPERSAMPLE, t->bits);
    TIFFSetField(tif, TIFFTAG_SAMPLESPERPIXEL, t->samples);
    TIFFSetField(tif, TIFFTAG_COMPRESSION, t->compression);
    TIFFSetField(tif, TIFFTAG_PHOTOMETRIC, t->photometric);
    TIFFSetField(tif, TIFFTAG_ORIENTATION, t->orientation);
    TIFFSetField(tif, TIFFTAG_PLANARCONFIG,
                 t->is_split ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
    TIFFSetField(tif, TIFFTAG_XRESOLUTION, 144.0);
    TIFFSetField(tif, TIFFTAG_YRESOLUTION, 1e6); /* absurd: read as 72 */
    TIFFSetField(tif, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
    if (t->photometric == PHOTOMETRIC_PALETTE)
        TIFFSetField(tif, TIFFTAG_COLORMAP, map[0], map[1], map[2]);
    if (t->photometric == PHOTOMETRIC_YCBCR)
        TIFFSetField(tif, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    if (t->is_tiled) {
        uint8_t tile[16 * 16 * 3];
        TIFFSetField(tif, TIFFTAG_TILEWIDTH, 16);
        TIFFSetField(tif, TIFFTAG_TILELENGTH, 16);
        fill_row(t, row, 48, 0, 3);
        for (uint32_t y = 0; y < H; y += 16) {
            for (uint32_t x = 0; x < W; x += 16) {
                for (int i = 0; i < 16; i++)
                    memcpy(tile + i * 48, row + x * 3, 48);
                g_assert_cmpint(TIFFWriteTile(tif, tile, x, y, 0, 0), >, 0);
            }
        }
    } else {
        TIFFSetField(tif, TIFFTAG_ROWSPERSTRIP, 16);
        for (uint16_t k = 0; k < (t->is_split ? t->samples : 1); k++) {
            for (uint32_t y = 0; y < H; y++) {
                fill_row(t, row, W, t->is_split ? k : 0, t->is_split ? 1 : t->samples);
                g_assert_cmpint(TIFFWriteScanline(tif, row, y, k), ==, 1);
            }
        }
    }
    g_assert_cmpint(TIFFWriteDirectory(tif), ==, 1);
}

static char *make_tiff(const tiff_case *t, guint pages)
{
    char *path = path_of("page.tif");
    TIFF *tif = TIFFOpen(path, "w");
    for (guint i = 0; i < pages; i++)
        write_tiff_page(tif, t);
    TIFFClose(tif);
    return path;
}

static void check_picture(dp_document *d, const uint8_t left[3], const uint8_t right[3])
{
    static const struct {
        uint32_t width, height;
    } sizes[] = { { 0, 0 }, { W / 2, H / 3 } };
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(dp_pixels) p =
            dp_document_render(d, 0, sizes[i].width, sizes[i].height, 3, &error);
        g_assert_no_error(error);
        g_assert_false(p->is_damaged);
        for (int k = 0; k < 3; k++) {
            g_assert_cmpint(ABS(pixel(p, 0.1, 0.5)[k] - left[k]), <=, 6);
            g_assert_cmpint(ABS(pixel(p, 0.9, 0.5)[k] - right[k]), <=, 6);
        }
    }
}

static void test_tiff(void)
{
    for (gsize i = 0; i < G_N_ELEMENTS(tiff_cases); i++) {
        const tiff_case *t = &tiff_cases[i];
        g_test_message("case: %s", t->what);
        g_autoptr(GError) error = NULL;
        g_autofree char *path = make_tiff(t, 1);
        g_autoptr(dp_document) d = open_file(path, NULL, &error);
        g_assert_no_error(error);
        dp_page_info info;
        g_assert_true(dp_document_page_info(d, 0, &info, &error));
        g_assert_cmpuint(info.width_px, ==, W);
        g_assert_cmpfloat_with_epsilon(info.width_pt, W / 2.0, 1e-3);
        g_assert_cmpfloat_with_epsilon(info.height_pt, H, 1e-3);
        check_picture(d, t->left, t->right);
    }
}

static void test_tiff_turned(void)
{
    tiff_case t = tiff_cases[9];
    g_assert_cmpstr(t.what, ==, "rgb");
    for (uint16_t o = 5; o <= 8; o++) {
        t.orientation = o;
        g_autofree char *path = make_tiff(&t, 1);
        g_autoptr(dp_document) d = open_file(path, NULL, NULL);
        g_autoptr(dp_pixels) p = dp_document_render(d, 0, 0, 0, 3, NULL);
        g_assert_cmpuint(p->width, ==, H);
        g_assert_cmpuint(p->height, ==, W);
        /* The stored left side is the visual top for 5 and 6, the bottom for 7 and 8. */
        g_assert_cmpuint(pixel(p, 0.5, o <= 6 ? 0.1 : 0.9)[1], ==, 0);
        g_assert_cmpuint(pixel(p, 0.5, o <= 6 ? 0.9 : 0.1)[1], ==, 255);
    }
}

static GByteArray *png_bytes;

static void png_out(png_structp png, png_bytep data, png_size_t n)
{
    g_byte_array_append(png_bytes, data, (guint)n);
}

static GByteArray *make_png(int type, int bits, int interlace, guint width, guint height)
{
    g_autofree uint8_t *row = g_malloc0((gsize)width * 8 + 8);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    static const png_color palette[2] = { { 255, 0, 0 }, { 255, 255, 255 } };
    static const guint counts[] = { 1, 0, 3, 1, 2, 0, 4 };
    png_bytes = g_byte_array_new();
    png_set_write_fn(png, NULL, png_out, NULL);
    png_set_IHDR(png, info, width, height, bits, type, interlace, 0, 0);
    if (type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 2);
    png_write_info(png, info);
    guint n = counts[type];
    guint bit = 0;
    for (guint x = 0; x < width; x++) {
        for (guint k = 0; k < n; k++, bit += (guint)bits) {
            gboolean is_alpha = (type & PNG_COLOR_MASK_ALPHA) != 0 && k == n - 1;
            gboolean is_left = x < width / 2;
            /* Transparent on the right: the dark ink there must not show. */
            guint v =
                is_alpha ? is_left
                : type == PNG_COLOR_TYPE_RGB || type == PNG_COLOR_TYPE_RGBA
                    ? (is_left && k == 0) || (!is_left && !(type & PNG_COLOR_MASK_ALPHA))
                : type == PNG_COLOR_TYPE_GRAY_ALPHA ? 0
                                                    : !is_left;
            if (type == PNG_COLOR_TYPE_PALETTE)
                row[bit / 8] |= (uint8_t)(v << (8 - bits - (int)bit % 8));
            else if (bits == 16)
                row[bit / 8] = row[bit / 8 + 1] = v ? 255 : 0;
            else
                row[bit / 8] |=
                    (uint8_t)((v ? (1u << bits) - 1 : 0) << (8 - bits - (int)bit % 8));
        }
    }
    int passes = png_set_interlace_handling(png);
    for (int p = 0; p < passes; p++) {
        for (guint y = 0; y < height; y++)
            png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return png_bytes;
}

static void test_png(void)
{
    static const struct {
        int type, bits;
        uint8_t left[3];
    } cases[] = {
        { PNG_COLOR_TYPE_GRAY, 1, DARK },        { PNG_COLOR_TYPE_GRAY, 2, DARK },
        { PNG_COLOR_TYPE_GRAY, 4, DARK },        { PNG_COLOR_TYPE_GRAY, 8, DARK },
        { PNG_COLOR_TYPE_GRAY, 16, DARK },       { PNG_COLOR_TYPE_RGB, 8, RED },
        { PNG_COLOR_TYPE_RGB, 16, RED },         { PNG_COLOR_TYPE_PALETTE, 1, RED },
        { PNG_COLOR_TYPE_PALETTE, 8, RED },      { PNG_COLOR_TYPE_GRAY_ALPHA, 8, DARK },
        { PNG_COLOR_TYPE_GRAY_ALPHA, 16, DARK }, { PNG_COLOR_TYPE_RGBA, 8, RED },
        { PNG_COLOR_TYPE_RGBA, 16, RED },
    };
    static const uint8_t white[3] = LIGHT;
    for (gsize i = 0; i < 2 * G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        gsize c = i / 2;
        g_test_message("case: type %d, %d bit", cases[c].type, cases[c].bits);
        g_autoptr(GByteArray) png = make_png(cases[c].type, cases[c].bits, i % 2, W, H);
        g_autoptr(dp_document) d = open_bytes(png->data, png->len, NULL, &error);
        g_assert_no_error(error);
        check_picture(d, cases[c].left, white);
    }
}

static void test_jpeg(void)
{
    static uint8_t rgb[240 * 400 * 4];
    for (gsize i = 0; i < sizeof rgb / 3; i++)
        memcpy(rgb + 3 * i, i % 400 < 200 ? "\xff\0\0" : "\xff\xff\xff", 3);
    tjhandle tj = tjInitCompress();
    unsigned char *out = NULL;
    unsigned long n = 0;
    g_assert_cmpint(
        tjCompress2(tj, rgb, 400, 0, 240, TJPF_RGB, &out, &n, TJSAMP_444, 95, 0), ==, 0);
    static const uint8_t red[3] = RED, white[3] = LIGHT;
    g_autoptr(GError) error = NULL;
    g_autoptr(dp_document) d = open_bytes(out, n, NULL, &error);
    g_assert_no_error(error);
    check_picture(d, red, white);
    /* EXIF says: turn a quarter clockwise. */
    static const char exif[] = "\xff\xd8\xff\xe1\0\x22"
                               "Exif\0\0MM\0*\0\0\0\x08\0\x01"
                               "\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    g_autoptr(GByteArray) turned = g_byte_array_new();
    g_byte_array_append(turned, (const uint8_t *)exif, 38);
    g_byte_array_append(turned, out + 2, (guint)n - 2);
    g_autoptr(dp_document) t = open_bytes(turned->data, turned->len, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(dp_pixels) p = dp_document_render(t, 0, 0, 0, 3, &error);
    g_assert_cmpuint(p->height, ==, 400);
    g_assert_cmpuint(pixel(p, 0.5, 0.1)[2], <, 10);
    /* Half a file keeps its upper half and says so; a header alone is refused. */
    g_autoptr(dp_document) half = open_bytes(out, n * 2 / 3, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(dp_pixels) q = dp_document_render(half, 0, 0, 0, 3, &error);
    g_assert_no_error(error);
    g_assert_true(q->is_damaged);
    g_assert_cmpuint(pixel(q, 0.1, 0.05)[0], >, 245);
    g_assert_null(open_bytes(out, 40, NULL, &error));
    g_assert_error(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE);
    /* CMYK without the Adobe marker is stored plainly; TurboJPEG writes it inverted
     * with the marker, as Photoshop does. */
    unsigned char *ink = NULL;
    unsigned long ink_bytes = 0;
    static uint8_t cmyk[240 * 400 * 4];
    for (gsize i = 0; i < sizeof cmyk / 4; i++)
        memcpy(cmyk + 4 * i, i % 400 < 200 ? "\xff\0\0\xff" : "\xff\xff\xff\xff", 4);
    g_assert_cmpint(tjCompress2(tj, cmyk, 400, 0, 240, TJPF_CMYK, &ink, &ink_bytes,
                                TJSAMP_444, 95, 0),
                    ==, 0);
    g_autoptr(dp_document) e = open_bytes(ink, ink_bytes, NULL, NULL);
    g_assert_nonnull(e);
    check_picture(e, red, white);
    tjFree(ink);
    tjFree(out);
    tjDestroy(tj);
}

/* ---- limits: each at its value, then one below what the document needs ---- */

static int open_code(const void *data, gsize n, const dp_render_limits *limits)
{
    g_autoptr(GError) error = NULL;
    dp_render_opts opts = { .limits = *limits };
    g_autoptr(dp_document) d = open_bytes(data, n, &opts, &error);
    g_autoptr(GArray) words = d == NULL ? NULL : dp_document_text(d, 0, &error);
    gboolean is_pdf = d != NULL && dp_document_get_info(d)->kind == DP_FILE_PDF;
    g_autoptr(dp_pixels) p =
        words == NULL
            ? NULL
            : dp_document_render(d, 0, is_pdf ? 64 : 0, is_pdf ? 32 : 0, 1, &error);
    if (p != NULL)
        return 0;
    g_assert_cmpuint(error->domain, ==, DP_RENDER_ERROR);
    g_test_message("%s", error->message);
    return error->code;
}

static void test_limits(void)
{
    g_autofree char *pdf = make_pdf("BT /A 9 Tf 9 9 Td (one two six) Tj ET", "", 3);
    g_autoptr(GByteArray) png = make_png(0, 8, 0, W, H);
    g_autofree char *path = make_tiff(&tiff_cases[0], 3);
    g_autofree char *tiff = NULL;
    gsize tiff_bytes, n = strlen(pdf);
    g_assert_true(g_file_get_contents(path, &tiff, &tiff_bytes, NULL));
    const struct {
        const char *what;
        const void *data;
        gsize bytes;
        dp_render_limits limits;
        int expect;
    } cases[] = {
        { "pdf pages", pdf, n, { .pages_max = 3 }, 0 },
        { "pdf pages", pdf, n, { .pages_max = 2 }, DP_RENDER_LIMIT },
        { "tiff pages", tiff, tiff_bytes, { .pages_max = 3 }, 0 },
        { "tiff pages", tiff, tiff_bytes, { .pages_max = 2 }, DP_RENDER_LIMIT },
        { "bytes", png->data, png->len, { .bytes_max = png->len }, 0 },
        { "bytes", png->data, png->len, { .bytes_max = png->len - 1 }, DP_RENDER_LIMIT },
        { "pixels", png->data, png->len, { .pixels_max = W * H }, 0 },
        { "pixels", png->data, png->len, { .pixels_max = W * H - 1 }, DP_RENDER_LIMIT },
        { "pdf pixels", pdf, n, { .pixels_max = 64 * 32 }, 0 },
        { "pdf pixels", pdf, n, { .pixels_max = 64 * 32 - 1 }, DP_RENDER_LIMIT },
        { "side", png->data, png->len, { .side_max = W }, 0 },
        { "side", png->data, png->len, { .side_max = W - 1 }, DP_RENDER_LIMIT },
        { "tiff side", tiff, tiff_bytes, { .side_max = W - 1 }, DP_RENDER_LIMIT },
        { "pdf side", pdf, n, { .side_max = 64 }, 0 },
        { "pdf side", pdf, n, { .side_max = 63 }, DP_RENDER_LIMIT },
        { "words", pdf, n, { .words_max = 3 }, 0 },
        { "words", pdf, n, { .words_max = 2 }, DP_RENDER_LIMIT },
        { "garbage", "hello", 5, { 0 }, DP_RENDER_UNREADABLE },
        { "empty", "", 0, { 0 }, DP_RENDER_UNREADABLE },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s, %zu", cases[i].what, i);
        g_assert_cmpint(open_code(cases[i].data, cases[i].bytes, &cases[i].limits), ==,
                        cases[i].expect);
    }
}

static void test_memory(void)
{
#if HAS_SANITIZER
    g_test_skip("no address space limit under a sanitizer");
#else
    g_autoptr(GByteArray) png = make_png(0, 1, 0, 20000, 10000);
    dp_render_limits low = { .memory_max = 384u << 20 },
                     high = { .memory_max = 1u << 30 };
    g_assert_cmpint(open_code(png->data, png->len, &low), ==, DP_RENDER_LIMIT);
    g_assert_cmpint(open_code(png->data, png->len, &high), ==, 0);
#endif
}

static void test_pipe(void)
{
    g_autoptr(GByteArray) png = make_png(0, 8, 0, W, H);
    g_autofree char *sum =
        g_compute_checksum_for_data(G_CHECKSUM_SHA256, png->data, png->len);
    for (int below = 0; below < 2; below++) {
        g_autoptr(GError) error = NULL;
        int ends[2];
        g_assert_cmpint(pipe2(ends, O_CLOEXEC), ==, 0);
        g_assert_cmpint(write(ends[1], png->data, png->len), ==, png->len);
        close(ends[1]);
        dp_render_opts opts = { .limits = { .bytes_max = png->len - (guint)below } };
        g_autoptr(dp_document) d = dp_document_open(ends[0], "pipe", &opts, &error);
        close(ends[0]);
        if (below) {
            g_assert_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT);
        } else {
            g_assert_no_error(error);
            g_assert_cmpstr(dp_document_get_info(d)->sha256, ==, sum);
            g_assert_cmpuint(dp_document_get_info(d)->bytes, ==, png->len);
        }
    }
}

/* ---- workers that misbehave: scripts with the socket as descriptor 3 ---- */

static void test_bad_worker(void)
{
    g_autofree char *real = g_strdup(g_getenv("DOCVL_RENDER"));
    g_autofree char *slow = g_strdup_printf("sleep 0.3; exec %s", real);
    const struct {
        const char *what, *script;
        int expect;
    } cases[] = {
        { "slow, just in time", slow, 0 },
        { "hangs", "exec sleep 30", DP_RENDER_LIMIT },
        { "ends", "exit 3", DP_RENDER_CRASHED },
        { "wants a library that is not there", "exit 127", DP_RENDER_NOSTART },
        { "dies", "kill -SEGV $$", DP_RENDER_CRASHED },
        { "writes garbage", "printf garbage >&3; sleep 1", DP_RENDER_INTERNAL },
        { "writes a long header", "head -c 600 /dev/zero >&3; sleep 1",
          DP_RENDER_INTERNAL },
        { "writes zeros", "head -c 288 /dev/zero >&3; sleep 1", DP_RENDER_INTERNAL },
    };
    g_autoptr(GByteArray) png = make_png(0, 8, 0, W, H);
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_test_message("case: %s", cases[i].what);
        g_autoptr(GError) error = NULL;
        g_autofree char *path = path_of("worker.sh");
        g_autofree char *text = g_strdup_printf("#!/bin/sh\n%s\n", cases[i].script);
        g_assert_true(g_file_set_contents_full(path, text, -1, 0, 0700, NULL));
        dp_render_opts opts = { .limits = { .seconds_max = 1 }, .worker = path };
        gint64 start = g_get_monotonic_time();
        g_autoptr(dp_document) d = open_bytes(png->data, png->len, &opts, &error);
        g_assert_true((d != NULL) == (cases[i].expect == 0));
        g_assert_cmpint(g_get_monotonic_time() - start, <, 5 * G_USEC_PER_SEC);
        if (cases[i].expect == 0)
            g_assert_no_error(error);
        else
            g_assert_error(error, DP_RENDER_ERROR, cases[i].expect);
    }
    g_autoptr(GError) error = NULL;
    dp_render_opts opts = { .worker = "/nonexistent/docvl-render" };
    g_assert_null(open_bytes(png->data, png->len, &opts, &error));
    g_assert_error(error, DP_RENDER_ERROR, DP_RENDER_NOSTART);
}

/* Flipped bytes give a result or an error, never a broken reply. */
static void test_mutations(void)
{
    g_autofree char *pdf = make_pdf("BT /A 9 Tf 9 9 Td (a b c) Tj ET", "", 1);
    g_autoptr(GByteArray) png = make_png(2, 8, 1, W, H);
    g_autofree char *path = make_tiff(&tiff_cases[8], 2);
    g_autofree char *tiff = NULL;
    gsize tiff_bytes;
    g_assert_true(g_file_get_contents(path, &tiff, &tiff_bytes, NULL));
    for (int i = 0; i < 60; i++) {
        const void *data = i % 3 == 0   ? (const void *)pdf
                           : i % 3 == 1 ? png->data
                                        : (void *)tiff;
        gsize n = i % 3 == 0 ? strlen(pdf) : i % 3 == 1 ? png->len : tiff_bytes;
        g_autofree uint8_t *copy = g_memdup2(data, n);
        for (int k = 0; k < 4; k++)
            copy[g_test_rand_int_range(0, (gint32)n)] =
                (uint8_t)g_test_rand_int_range(0, 256);
        int code = open_code(copy, n, &(dp_render_limits){ .seconds_max = 10 });
        /* Poppler 22.12 follows a null pointer in poppler_document_get_attachments() when
         * an embedded file lacks its stream: there the worker may die, we may not. */
        if (i % 3 != 0)
            g_assert_cmpint(code, !=, DP_RENDER_CRASHED);
        g_assert_cmpint(code, !=, DP_RENDER_INTERNAL);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    folder = g_dir_make_tmp("test-render-XXXXXX", NULL);
    g_assert_nonnull(folder);
    g_test_add_func("/render/pdf-page", test_pdf_page);
    g_test_add_func("/render/pdf-hidden", test_hidden);
    g_test_add_func("/render/pdf-attachment", test_attachment);
    g_test_add_func("/render/tiff", test_tiff);
    g_test_add_func("/render/tiff-turned", test_tiff_turned);
    g_test_add_func("/render/png", test_png);
    g_test_add_func("/render/jpeg", test_jpeg);
    g_test_add_func("/render/limits", test_limits);
    g_test_add_func("/render/memory", test_memory);
    g_test_add_func("/render/pipe", test_pipe);
    g_test_add_func("/render/bad-worker", test_bad_worker);
    g_test_add_func("/render/mutations", test_mutations);
    int rc = g_test_run();
    static const char *const names[] = { "page.tif", "worker.sh" };
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = path_of(names[i]);
        (void)g_unlink(path); /* not every selection of tests made it */
    }
    (void)g_rmdir(folder);
    return rc;
}

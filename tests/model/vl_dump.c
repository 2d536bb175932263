/*
 * vl_dump.c - developer program: runs a checkpoint on a PNM picture and prints what each
 * stage holds, to compare with another implementation.
 *
 *   vl_dump MODEL PICTURE.pnm [-p PROMPT] [-n TOKENS] [-o FOLDER] [-c fp32|int8] [-t N]
 *
 * With -o every stage is also written as raw little-endian floats.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

typedef struct settings {
    const char *model, *picture, *prompt, *folder;
    uint32_t tokens, threads;
    vl_compute compute;
} settings;

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Of all threads together: what the work costs where other programs run as well. */
static double cpu_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); /* cannot fail for this clock */
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool stage(const settings *s, const char *name, const float *x, size_t count)
{
    double sum = 0, squares = 0, least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
        least = fmin(least, x[i]);
        most = fmax(most, x[i]);
    }
    double mean = sum / (double)count;
    printf("%-10s %9zu values  mean %+.6f  deviation %.6f  least %+.5f  most %+.5f\n",
           name, count, mean, sqrt(squares / (double)count - mean * mean), least, most);
    if (s->folder == NULL)
        return true;
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s.f32", s->folder, name);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "wbe") : NULL;
    bool is_written = f != NULL && fwrite(x, sizeof *x, count, f) == count;
    if (f == NULL || fclose(f) != 0 || !is_written) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    return true;
}

static bool picture_read(const char *path, vl_image *image)
{
    FILE *f = fopen(path, "rbe");
    char kind = 0;
    unsigned most = 0;
    *image = (vl_image){ 0 };
    bool is_read =
        f != NULL &&
        fscanf(f, "P%c %u %u %u", &kind, &image->width, &image->height, &most) == 4 &&
        (kind == '5' || kind == '6') && most == 255 && fgetc(f) != EOF &&
        image->width > 0 && image->height > 0 && image->width < 65536 &&
        image->height < 65536;
    image->channels = kind == '6' ? 3 : 1;
    image->row_bytes = (size_t)image->width * image->channels;
    size_t bytes = image->row_bytes * image->height;
    uint8_t *data = is_read ? malloc(bytes) : NULL;
    is_read = data != NULL && fread(data, 1, bytes, f) == bytes;
    if (f != NULL)
        (void)fclose(f); /* only read */
    if (!is_read)
        free(data);
    else
        image->data = data;
    return is_read;
}

typedef struct answer {
    const vl_model *model;
    float ids[4096];
    size_t count;
} answer;

static bool print_token(void *user, const vl_step_info *step)
{
    answer *a = user;
    size_t bytes;
    const char *text = vl_token_bytes(a->model, step->token, &bytes);
    fwrite(text, 1, bytes, stdout);
    if (a->count < sizeof a->ids / sizeof *a->ids)
        a->ids[a->count++] = (float)step->token;
    return true;
}

static bool add_text(vl_context *context, const vl_model *model, const char *text,
                     vl_error *err)
{
    int32_t ids[4096];
    size_t count = vl_tokenize(model, text, strlen(text), ids, 4096);
    return vl_context_add_tokens(context, ids, count < 4096 ? count : 4096, err);
}

static bool add_special(vl_context *context, const vl_model *model, vl_special which,
                        vl_error *err)
{
    int32_t id = vl_token_special(model, which);
    return vl_context_add_tokens(context, &id, 1, err);
}

static bool converse(const settings *s, vl_model *model, const vl_vision *vision,
                     vl_error *err)
{
    vl_context *context = vl_context_new(model, NULL, err);
    vl_end end;
    double start = now_s(), cpu = cpu_s();
    bool is_done = context != NULL && add_special(context, model, VL_TOKEN_BOS, err) &&
                   add_special(context, model, VL_TOKEN_USER, err) &&
                   add_text(context, model, ": ", err) &&
                   vl_context_add_vision(context, vision, err) &&
                   add_text(context, model, "\n", err) &&
                   add_text(context, model, s->prompt, err) &&
                   add_text(context, model, "\n\n", err) &&
                   add_special(context, model, VL_TOKEN_ASSISTANT, err) &&
                   add_text(context, model, ":", err);
    if (is_done) {
        const float *logits = vl_context_logits(context);
        printf("prefill    %u positions in %.2f s, %.2f s of CPU\n",
               vl_context_position(context), now_s() - start, cpu_s() - cpu);
        is_done = stage(s, "logits", logits, vl_model_get_info(model)->vocab);
    }
    uint32_t first = is_done ? vl_context_position(context) : 0;
    start = now_s();
    cpu = cpu_s();
    answer a = { .model = model };
    vl_generate_opts opts = { .tokens_max = s->tokens,
                              .on_token = print_token,
                              .user = &a };
    is_done = is_done && vl_generate(context, &opts, &end, err);
    if (is_done) {
        printf("\nanswer     %u tokens in %.2f s, %.2f s of CPU, end %d\n",
               vl_context_position(context) - first, now_s() - start, cpu_s() - cpu,
               (int)end);
        is_done =
            stage(s, "answer", a.ids, a.count) &&
            stage(s, "last", vl_context_logits(context), vl_model_get_info(model)->vocab);
    }
    vl_context_free(context);
    return is_done;
}

static void print_words(const vl_vision *vision, vl_error *err)
{
    vl_text *text = vl_text_read(vision, err);
    size_t count;
    if (text == NULL)
        return;
    const vl_word *words = vl_text_words(text, &count);
    for (size_t i = 0; i < count; i++)
        printf("%s%s",
               i == 0                               ? ""
               : words[i].line != words[i - 1].line ? "\n"
                                                    : " ",
               words[i].text);
    printf("\n%zu words\n", count);
    vl_text_free(text);
}

static bool run(const settings *s, vl_model *model, const vl_image *image, vl_error *err)
{
    const vl_model_info *info = vl_model_get_info(model);
    const vl_config *c = &model->config;
    printf("model      %s %.16s, %.1f M parameters, %.1f MB, %s, %s, blas %s\n",
           info->name, info->sha256, (double)info->parameters * 1e-6,
           (double)info->weight_bytes * 1e-6, info->compute, info->kernels, info->blas);
    double start = now_s(), cpu = cpu_s();
    printf("opened     in %.2f s of CPU\n", cpu);
    vl_vision_opts opts = { 0 };
    vl_vision *vision = vl_vision_new(model, image, &opts, err);
    if (vision == NULL)
        return false;
    printf("vision     %u x %u tiles, picture %u x %u at %u, %u, %.2f s, %.2f s of CPU\n",
           vision->fit.grid.tiles_w, vision->fit.grid.tiles_h, vision->fit.width,
           vision->fit.height, vision->fit.x, vision->fit.y, now_s() - start,
           cpu_s() - cpu);
    bool is_done =
        stage(s, "tokens", vision->tokens, (size_t)vision->token_count * c->hidden);
    if (is_done && vision->features != NULL) {
        is_done = stage(s, "features", vision->features,
                        (size_t)vision->fit.grid.tiles_w * vision->fit.grid.tiles_h *
                            c->side * c->side * c->v_width);
        print_words(vision, err);
    }
    is_done = is_done && converse(s, model, vision, err);
    vl_vision_unref(vision);
    return is_done;
}

int main(int argc, char **argv)
{
    settings s = { .prompt = "Read the text.", .tokens = 200, .threads = 2 };
    for (int option; (option = getopt(argc, argv, "p:n:o:c:t:")) != -1;) {
        if (option == 'p')
            s.prompt = optarg;
        else if (option == 'n')
            s.tokens = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 't')
            s.threads = (uint32_t)strtoul(optarg, NULL, 10);
        else if (option == 'o')
            s.folder = optarg;
        else if (option == 'c')
            s.compute = strcmp(optarg, "int8") == 0 ? VL_COMPUTE_INT8 : VL_COMPUTE_FP32;
        else
            return 2;
    }
    if (argc - optind != 2) {
        fprintf(stderr, "usage: vl_dump [options] MODEL PICTURE.pnm\n");
        return 2;
    }
    vl_error err = { 0 };
    vl_image image;
    vl_model_opts opts = { .threads = s.threads, .compute = s.compute };
    vl_model *model = vl_model_open(argv[optind], &opts, &err);
    bool is_done = model != NULL && picture_read(argv[optind + 1], &image);
    if (is_done) {
        is_done = run(&s, model, &image, &err);
        free((void *)image.data);
    } else if (model != NULL) {
        fprintf(stderr, "%s: no readable PGM or PPM\n", argv[optind + 1]);
    }
    vl_model_unref(model);
    if (err.code != VL_OK)
        fprintf(stderr, "%s\n", err.text);
    return is_done ? 0 : 1;
}

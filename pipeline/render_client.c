/*
 * render_client.c - starts docvl-render for a document and talks to it.
 */
#include "render.h"
#include "render_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef DOCVL_LIBEXECDIR
#error "the build sets DOCVL_LIBEXECDIR"
#endif

G_DEFINE_QUARK(dp-render-error-quark, dp_render_error)

struct dp_document {
    char *name;
    dp_render_limits limits;
    dp_document_info info;
    int socket;
    pid_t pid;
};

static const char *const mime_types[] = { "application/pdf", "image/tiff", "image/png",
                                          "image/jpeg" };

static gpointer fail(GError **error, dp_render_code code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

static gpointer fail(GError **error, dp_render_code code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    g_set_error_literal(error, DP_RENDER_ERROR, code, text);
    return NULL;
}

static char *worker_path(const dp_render_opts *opts)
{
    const char *env = g_getenv("DOCVL_RENDER");
    if (opts != NULL && opts->worker != NULL)
        return g_strdup(opts->worker);
    if (env != NULL && *env != '\0')
        return g_strdup(env);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *dir = self != NULL ? g_path_get_dirname(self) : g_strdup(".");
    char *beside = g_build_filename(dir, "docvl-render", NULL);
    if (g_file_test(beside, G_FILE_TEST_IS_EXECUTABLE))
        return beside;
    g_free(beside);
    return g_build_filename(DOCVL_LIBEXECDIR, "docvl-render", NULL);
}

static dp_render_limits with_defaults(const dp_render_opts *opts)
{
    dp_render_limits l = opts != NULL ? opts->limits : (dp_render_limits){ 0 };
    l.pages_max = l.pages_max > 0 ? l.pages_max : 500;
    l.bytes_max = l.bytes_max > 0 ? l.bytes_max : 256u << 20;
    l.pixels_max = l.pixels_max > 0 ? l.pixels_max : 200000000;
    l.side_max = l.side_max > 0 ? l.side_max : 65500;
    l.seconds_max = l.seconds_max > 0 ? l.seconds_max : 60;
    l.memory_max = l.memory_max > 0 ? l.memory_max : 2ull << 30;
    l.words_max = l.words_max > 0 ? l.words_max : 100000;
    l.attachment_max = l.attachment_max > 0 ? l.attachment_max : 16u << 20;
    return l;
}

/* The whole input in a memfd of our own: what is hashed is what is decoded, even when the
 * file changes meanwhile. */
static int spool(dp_document *d, int fd, GError **error)
{
    int memory = memfd_create("document", MFD_CLOEXEC);
    if (memory < 0) {
        fail(error, DP_RENDER_TEMPORARY, "%s: no memory file: %s", d->name, g_strerror(errno));
        return -1;
    }
    (void)lseek(fd, 0, SEEK_SET); /* a pipe cannot, and need not */
    g_autofree char *buffer = g_malloc(1 << 16);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    for (;;) {
        gssize n = read(fd, buffer, 1 << 16);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;
        if (n > 0)
            d->info.bytes += (uint64_t)n;
        gboolean is_large = d->info.bytes > d->limits.bytes_max;
        if (n < 0 || is_large || write(memory, buffer, (gsize)n) != n) {
            if (is_large)
                fail(error, DP_RENDER_LIMIT, "%s: larger than %" G_GUINT64_FORMAT " bytes",
                     d->name, d->limits.bytes_max);
            else
                fail(error, n < 0 ? DP_RENDER_UNREADABLE : DP_RENDER_TEMPORARY, "%s: %s", d->name,
                     g_strerror(errno));
            close(memory);
            return -1;
        }
        g_checksum_update(sum, (guchar *)buffer, n);
    }
    g_strlcpy(d->info.sha256, g_checksum_get_string(sum), sizeof d->info.sha256);
    return memory;
}

static void in_child(const char *path, int socket, int document, const dp_render_limits *l)
{
    /* both to high numbers first, so that neither overwrites the other */
    int a = fcntl(socket, F_DUPFD, 10), b = fcntl(document, F_DUPFD, 10);
    if (a < 0 || b < 0 || dup2(a, DP_RENDER_FD) < 0 || dup2(b, DP_FILE_FD) < 0)
        _exit(127);
    struct rlimit memory = { l->memory_max, l->memory_max }, none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none); /* the others are what protects us */
#ifndef DP_SANITIZED /* AddressSanitizer maps terabytes */
    if (setrlimit(RLIMIT_AS, &memory) != 0)
        _exit(127);
#else
    (void)memory;
#endif
    char *argv[] = { (char *)"docvl-render", NULL };
    char *env[] = { (char *)"LC_ALL=C.UTF-8", (char *)"PATH=/usr/bin:/bin", (char *)"HOME=/",
                    (char *)"G_SLICE=always-malloc", NULL };
    sigset_t empty;
    sigemptyset(&empty);
    sigprocmask(SIG_SETMASK, &empty, NULL);
    execve(path, argv, env);
    _exit(126);
}

static gboolean start(dp_document *d, const char *path, int document, GError **error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        fail(error, DP_RENDER_TEMPORARY, "%s: no socket: %s", d->name, g_strerror(errno));
        return FALSE;
    }
    if (!g_file_test(path, G_FILE_TEST_IS_EXECUTABLE)) {
        fail(error, DP_RENDER_INTERNAL, "docvl-render is not at %s (DOCVL_RENDER names it)", path);
        close(pair[0]);
        close(pair[1]);
        return FALSE;
    }
    d->pid = fork();
    if (d->pid == 0)
        in_child(path, pair[1], document, &d->limits);
    close(pair[1]);
    if (d->pid < 0) {
        fail(error, DP_RENDER_TEMPORARY, "%s: no process: %s", d->name, g_strerror(errno));
        close(pair[0]);
        return FALSE;
    }
    d->socket = pair[0];
    return TRUE;
}

static void stop(dp_document *d)
{
    if (d->pid > 0) {
        (void)kill(d->pid, SIGKILL); /* it may be gone already */
        while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    d->pid = 0;
    if (d->socket >= 0)
        close(d->socket);
    d->socket = -1;
}

/* Wait for the reply; the descriptor beside it goes to *fd (-1: none). */
static gboolean receive(dp_document *d, const char *where, dp_render_reply *reply, int *fd,
                        GError **error)
{
    gint64 end = g_get_monotonic_time() + (gint64)d->limits.seconds_max * G_USEC_PER_SEC;
    struct pollfd p = { .fd = d->socket, .events = POLLIN };
    int ready = 0;
    do {
        gint64 left = (end - g_get_monotonic_time()) / 1000;
        ready = left > 0 ? poll(&p, 1, (int)left) : 0;
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) {
        stop(d);
        fail(error, DP_RENDER_LIMIT, "%s%s: not done after %u seconds", d->name, where,
             d->limits.seconds_max);
        return FALSE;
    }
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec part = { reply, sizeof *reply };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control,
                              .msg_controllen = sizeof control };
    gssize n = recvmsg(d->socket, &message, MSG_CMSG_CLOEXEC);
    *fd = -1;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(fd, CMSG_DATA(c), sizeof *fd);
    if (n != (gssize)sizeof *reply) {
        stop(d);
        fail(error, DP_RENDER_CRASHED, "%s%s: the decoder ended (damaged input, or over %"
             G_GUINT64_FORMAT " bytes of memory)", d->name, where, d->limits.memory_max);
        return FALSE;
    }
    return TRUE;
}

static gboolean ask(dp_document *d, dp_render_request *request, dp_render_reply *reply, int *fd,
                    GError **error)
{
    g_autofree char *where = request->op == DP_OP_PAGE || request->op == DP_OP_RENDER ||
                                     request->op == DP_OP_TEXT
                                 ? g_strdup_printf(": page %u", request->page + 1) : g_strdup("");
    if (d->socket < 0) {
        fail(error, DP_RENDER_CRASHED, "%s%s: the decoder has ended", d->name, where);
        return FALSE;
    }
    request->pixels_max = d->limits.pixels_max;
    request->side_max = d->limits.side_max;
    request->pages_max = d->limits.pages_max;
    request->words_max = d->limits.words_max;
    request->attachment_max = d->limits.attachment_max;
    /* A dead worker shows in the reply; a signal must not kill us here. */
    (void)send(d->socket, request, sizeof *request, MSG_NOSIGNAL);
    if (!receive(d, where, reply, fd, error))
        return FALSE;
    reply->text[sizeof reply->text - 1] = '\0';
    if (reply->code == 0)
        return TRUE;
    g_autofree char *text = g_utf8_make_valid(reply->text, -1);
    int code = reply->code <= DP_RENDER_INTERNAL ? (int)reply->code : DP_RENDER_INTERNAL;
    g_set_error(error, DP_RENDER_ERROR, code, "%s%s: %s", d->name, where, text);
    if (*fd >= 0)
        close(*fd);
    return FALSE;
}

static gboolean open_reply(dp_document *d, const dp_render_reply *reply, GError **error)
{
    if (reply->kind > DP_FILE_JPEG || reply->page_count == 0 ||
        reply->page_count > d->limits.pages_max || reply->attachment_count > 1000) {
        fail(error, DP_RENDER_INTERNAL, "%s: a reply that makes no sense", d->name);
        return FALSE;
    }
    d->info.kind = (dp_file_kind)reply->kind;
    d->info.mime = mime_types[reply->kind];
    d->info.page_count = reply->page_count;
    d->info.attachment_count = reply->attachment_count;
    d->info.field_count = reply->field_count;
    d->info.is_encrypted = reply->is_encrypted != 0;
    return TRUE;
}

dp_document *dp_document_open(int fd, const char *name, const dp_render_opts *opts,
                              GError **error)
{
    g_autoptr(dp_document) d = g_new0(dp_document, 1);
    d->name = g_strdup(name);
    d->limits = with_defaults(opts);
    d->socket = -1;
    int document = spool(d, fd, error);
    if (document < 0)
        return NULL;
    g_autofree char *path = worker_path(opts);
    gboolean is_started = start(d, path, document, error);
    close(document);
    if (!is_started)
        return NULL;
    const char *const none[] = { "", NULL };
    const char *const *passwords = opts != NULL && opts->passwords != NULL ? opts->passwords : none;
    for (gsize i = 0; passwords[i] != NULL; i++) {
        dp_render_request request = { .op = DP_OP_OPEN };
        g_strlcpy(request.password, passwords[i], sizeof request.password);
        dp_render_reply reply;
        int memory;
        g_clear_error(error);
        if (ask(d, &request, &reply, &memory, error))
            return open_reply(d, &reply, error) ? g_steal_pointer(&d) : NULL;
        if (error == NULL || !g_error_matches(*error, DP_RENDER_ERROR, DP_RENDER_ENCRYPTED))
            return NULL;
    }
    return NULL;
}

void dp_document_free(dp_document *d)
{
    if (d == NULL)
        return;
    stop(d);
    g_free(d->name);
    g_free(d);
}

const dp_document_info *dp_document_get_info(const dp_document *d)
{
    return &d->info;
}

static gboolean check_page(dp_document *d, uint32_t page, GError **error)
{
    if (page < d->info.page_count)
        return TRUE;
    fail(error, DP_RENDER_INTERNAL, "%s: page %u of %u", d->name, page + 1, d->info.page_count);
    return FALSE;
}

gboolean dp_document_page_info(dp_document *d, uint32_t page, dp_page_info *info, GError **error)
{
    dp_render_request request = { .op = DP_OP_PAGE, .page = page };
    dp_render_reply r;
    int fd;
    if (!check_page(d, page, error) || !ask(d, &request, &r, &fd, error))
        return FALSE;
    if (fd >= 0)
        close(fd);
    if (!(r.width_pt > 0 && r.height_pt > 0 && r.width_pt < 1e7 && r.height_pt < 1e7) ||
        r.width > d->limits.side_max || r.height > d->limits.side_max || !isfinite(r.dpi)) {
        fail(error, DP_RENDER_UNREADABLE, "%s: page %u: no usable size", d->name, page + 1);
        return FALSE;
    }
    *info = (dp_page_info){ .width_pt = r.width_pt, .height_pt = r.height_pt, .width_px = r.width,
                            .height_px = r.height, .scan_dpi = r.dpi, .has_text = r.has_text != 0,
                            .is_text_hidden = r.is_hidden != 0 };
    return TRUE;
}

/* Map what came beside a reply; the seals keep it from shrinking under us. */
static void *map_reply(dp_document *d, int fd, uint64_t bytes, GError **error)
{
    struct stat st;
    int seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;
    const int wanted = F_SEAL_SHRINK | F_SEAL_WRITE;
    void *map = MAP_FAILED;
    if (fd >= 0 && seals >= 0 && (seals & wanted) == wanted && fstat(fd, &st) == 0 &&
        st.st_size >= 0 && (uint64_t)st.st_size >= bytes && bytes > 0)
        map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return map != MAP_FAILED ? map
                             : fail(error, DP_RENDER_INTERNAL, "%s: a reply without its data", d->name);
}

dp_pixels *dp_document_render(dp_document *d, uint32_t page, uint32_t width, uint32_t height,
                              uint32_t channels, GError **error)
{
    g_assert(channels == 1 || channels == 3);
    dp_render_request request = { .op = DP_OP_RENDER, .page = page, .width = width,
                                  .height = height, .channels = channels };
    dp_render_reply r;
    int fd;
    if (!check_page(d, page, error) || !ask(d, &request, &r, &fd, error))
        return NULL;
    uint64_t need = (uint64_t)r.row_bytes * r.height;
    gboolean is_sound = r.width > 0 && r.height > 0 && r.width <= d->limits.side_max &&
                        r.height <= d->limits.side_max && r.channels == channels &&
                        r.row_bytes >= (uint64_t)r.width * channels &&
                        (uint64_t)r.width * r.height <= d->limits.pixels_max && r.bytes >= need;
    if (!is_sound || (width > 0 && (r.width != width || r.height != height))) {
        if (fd >= 0)
            close(fd);
        return fail(error, DP_RENDER_INTERNAL, "%s: page %u: a picture of the wrong size", d->name,
                    page + 1);
    }
    void *map = map_reply(d, fd, r.bytes, error);
    if (map == NULL)
        return NULL;
    dp_pixels *pixels = g_new0(dp_pixels, 1);
    *pixels = (dp_pixels){ .data = map, .width = r.width, .height = r.height,
                           .channels = r.channels, .row_bytes = r.row_bytes, .map_bytes = r.bytes };
    return pixels;
}

void dp_pixels_free(dp_pixels *pixels)
{
    if (pixels == NULL)
        return;
    munmap((void *)pixels->data, pixels->map_bytes);
    g_free(pixels);
}

/* ---- lines of words and fields ------------------------------------------------------ */

static GBytes *ask_bytes(dp_document *d, dp_render_request *request, char **name, GError **error)
{
    dp_render_reply r;
    int fd;
    if (!ask(d, request, &r, &fd, error))
        return NULL;
    if (name != NULL)
        *name = g_utf8_make_valid(r.text, -1);
    if (r.bytes == 0) {
        if (fd >= 0)
            close(fd);
        return g_bytes_new(NULL, 0);
    }
    uint64_t most = 64u << 20;
    void *map = r.bytes <= most ? map_reply(d, fd, r.bytes, error)
                                : fail(error, DP_RENDER_LIMIT, "%s: over 64 MiB of text", d->name);
    if (map == NULL)
        return NULL;
    GBytes *bytes = g_bytes_new(map, r.bytes);
    munmap(map, r.bytes);
    return bytes;
}

/* x0 y0 x1 y1 extra TAB rest: numbers must be finite and in order. */
static gboolean parse_line(const char *line, double box[5], const char **rest)
{
    char *at = (char *)line;
    for (int i = 0; i < 5; i++) {
        box[i] = g_ascii_strtod(at, &at);
        if (!isfinite(box[i]))
            return FALSE;
    }
    if (*at != '\t' || box[2] < box[0] || box[3] < box[1])
        return FALSE;
    *rest = at + 1;
    return TRUE;
}

static void clear_word(gpointer data)
{
    g_free(((dp_render_word *)data)->text);
}

GArray *dp_document_text(dp_document *d, uint32_t page, GError **error)
{
    dp_render_request request = { .op = DP_OP_TEXT, .page = page };
    if (!check_page(d, page, error))
        return NULL;
    g_autoptr(GBytes) bytes = ask_bytes(d, &request, NULL, error);
    if (bytes == NULL)
        return NULL;
    GArray *words = g_array_new(FALSE, TRUE, sizeof(dp_render_word));
    g_array_set_clear_func(words, clear_word);
    gsize length;
    const char *data = g_bytes_get_data(bytes, &length);
    g_autofree char *text = g_utf8_make_valid(data != NULL ? data : "", (gssize)length);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        double b[5];
        const char *rest;
        if (!parse_line(*line, b, &rest) || *rest == '\0' || words->len >= d->limits.words_max)
            continue;
        dp_render_word w = { .text = g_strdup(rest), .x0 = CLAMP(b[0], 0, 1), .y0 = CLAMP(b[1], 0, 1),
                             .x1 = CLAMP(b[2], 0, 1), .y1 = CLAMP(b[3], 0, 1),
                             .font_size = CLAMP(b[4], 0, 1) };
        g_array_append_val(words, w);
    }
    return words;
}

GBytes *dp_document_attachment(dp_document *d, uint32_t index, char **name, GError **error)
{
    dp_render_request request = { .op = DP_OP_ATTACHMENT, .index = index };
    return ask_bytes(d, &request, name, error);
}

static void clear_field(gpointer data)
{
    g_free(((dp_render_field *)data)->name);
    g_free(((dp_render_field *)data)->value);
}

GArray *dp_document_fields(dp_document *d, GError **error)
{
    dp_render_request request = { .op = DP_OP_FIELDS };
    g_autoptr(GBytes) bytes = ask_bytes(d, &request, NULL, error);
    if (bytes == NULL)
        return NULL;
    GArray *fields = g_array_new(FALSE, TRUE, sizeof(dp_render_field));
    g_array_set_clear_func(fields, clear_field);
    gsize length;
    const char *data = g_bytes_get_data(bytes, &length);
    g_autofree char *text = g_utf8_make_valid(data != NULL ? data : "", (gssize)length);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line != NULL; line++) {
        double b[5];
        const char *rest;
        if (!parse_line(*line, b, &rest))
            continue;
        g_auto(GStrv) parts = g_strsplit(rest, "\t", 3); /* kind, name, value */
        if (g_strv_length(parts) != 3 || b[4] < 0 || b[4] >= d->info.page_count)
            continue;
        dp_render_field f = { .name = g_strdup(parts[1]), .value = g_strdup(parts[2]),
                              .is_choice = parts[0][0] == 'c', .page_index = (uint32_t)b[4],
                              .x0 = CLAMP(b[0], 0, 1), .y0 = CLAMP(b[1], 0, 1),
                              .x1 = CLAMP(b[2], 0, 1), .y1 = CLAMP(b[3], 0, 1) };
        g_array_append_val(fields, f);
    }
    return fields;
}

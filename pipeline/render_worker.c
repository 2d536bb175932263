/*
 * render_worker.c - the program docvl-render: one document, behind a sandbox.
 *
 * It reads one DP_OP_OPEN, closes the sandbox around itself and only then looks at the
 * first byte of the document.  It has no state between requests but the open document,
 * and ends when the client closes the socket.
 */
#include "render_format.h"
#include "render_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <poppler.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <tiffio.h>
#include <unistd.h>

#define ORPHAN_SECONDS 5u /* after the client's own time limit */

typedef struct request {
    uint8_t bytes[DP_REQ_BYTES + DP_PROTO_PAYLOAD_MAX];
    size_t payload_bytes;
    int fd; /* -1 without */
} request;

typedef struct reply {
    uint8_t bytes[DP_REP_BYTES];
    int fd; /* -1 without; owned */
} reply;

typedef struct worker {
    dp_source source;
    dp_file_kind kind;
    dp_pdf *pdf;
    dp_tiff *tiff;
    uint32_t page_count;
} worker;

/* A memfd that is written through its mapping and then sealed. */
typedef struct blob {
    int fd;
    uint8_t *data;
    size_t bytes;
} blob;

static void put_value(reply *r, uint32_t index, uint64_t value)
{
    g_assert(index < DP_PROTO_VALUES);
    dp_put64(r->bytes + DP_REP_VALUES + 8 * index, value);
}

static void put_double_value(reply *r, uint32_t index, double value)
{
    g_assert(index < DP_PROTO_VALUES);
    dp_put_double(r->bytes + DP_REP_VALUES + 8 * index, value);
}

static gboolean fail_memory(GError **error, const char *what)
{
    g_set_error(error, DP_RENDER_ERROR, DP_RENDER_LIMIT, "%s: %s", what,
                g_strerror(errno));
    return FALSE;
}

static gboolean blob_open(blob *b, size_t bytes, GError **error)
{
    g_assert(bytes > 0);
    *b = (blob){ .bytes = bytes };
    b->fd = memfd_create("docvl-reply", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (b->fd < 0)
        return fail_memory(error, "no memory for the reply");
    void *map = MAP_FAILED;
    if (ftruncate(b->fd, (off_t)bytes) == 0)
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
    if (map != MAP_FAILED) {
        b->data = map;
        return TRUE;
    }
    (void)fail_memory(error, "no memory for the reply");
    (void)close(b->fd);
    return FALSE;
}

static void blob_drop(blob *b)
{
    (void)munmap(b->data, b->bytes);
    (void)close(b->fd);
}

/* Seal the blob and hand it to the reply. */
static gboolean blob_finish(blob *b, reply *r, GError **error)
{
    (void)munmap(b->data, b->bytes); /* a writable mapping would forbid the seal */
    if (fcntl(b->fd, F_ADD_SEALS,
              F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
        (void)close(b->fd);
        return fail_memory(error, "sealing the reply");
    }
    r->fd = b->fd;
    dp_put64(r->bytes + DP_REP_DATA, b->bytes);
    return TRUE;
}

static gboolean reply_bytes(const GByteArray *bytes, reply *r, GError **error)
{
    blob b;
    if (bytes->len == 0)
        return TRUE;
    if (!blob_open(&b, bytes->len, error))
        return FALSE;
    memcpy(b.data, bytes->data, bytes->len);
    return blob_finish(&b, r, error);
}

/* The client is trusted, so a broken request is a bug of ours: end at once. */
static gboolean receive(request *q)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec io = { q->bytes, sizeof q->bytes };
    struct msghdr message = { .msg_iov = &io,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control };
    ssize_t n;
    do
        n = recvmsg(DP_PROTO_FD, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    q->fd = -1;
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (c != NULL && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&q->fd, CMSG_DATA(c), sizeof(int));
    if (n < DP_REQ_BYTES || dp_get32(q->bytes + DP_REQ_MAGIC) != DP_PROTO_REQUEST_MAGIC)
        return FALSE;
    q->payload_bytes = dp_get32(q->bytes + DP_REQ_PAYLOAD);
    return q->payload_bytes == (size_t)n - DP_REQ_BYTES;
}

static gboolean send_reply(reply *r)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec io = { r->bytes, sizeof r->bytes };
    struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
    if (r->fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &r->fd, sizeof(int));
    }
    ssize_t n;
    do
        n = sendmsg(DP_PROTO_FD, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (r->fd >= 0)
        (void)close(r->fd);
    r->fd = -1;
    return n == (ssize_t)sizeof r->bytes;
}

static gboolean read_open(worker *w, const request *q)
{
    const uint8_t *at = q->bytes + DP_REQ_BYTES;
    if (q->payload_bytes < 8 * DP_PROTO_LIMITS + 4 || q->fd < 0)
        return FALSE;
    w->source.limits = (dp_render_limits){
        .pages_max = (uint32_t)dp_get64(at),
        .bytes_max = dp_get64(at + 8),
        .pixels_max = dp_get64(at + 16),
        .side_max = (uint32_t)dp_get64(at + 24),
        .seconds_max = (uint32_t)dp_get64(at + 32),
        .memory_max = dp_get64(at + 40),
        .words_max = (uint32_t)dp_get64(at + 48),
        .attachment_max = dp_get64(at + 56),
    };
    uint32_t count = dp_get32(at + 64);
    const char *text = (const char *)at + 68, *end = (const char *)at + q->payload_bytes;
    if (count > DP_PASSWORDS_MAX)
        return FALSE;
    w->source.passwords = g_new0(char *, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        size_t n = strnlen(text, (size_t)(end - text));
        if (text + n >= end)
            return FALSE;
        w->source.passwords[i] = g_strndup(text, n);
        text += n + 1;
    }
    return TRUE;
}

static gboolean map_document(worker *w, int fd, GError **error)
{
    struct stat st;
    void *map = MAP_FAILED;
    if (fstat(fd, &st) == 0 && st.st_size > 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    (void)close(fd);
    if (map == MAP_FAILED) {
        g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_LIMIT,
                            "no memory to map the file");
        return FALSE;
    }
    w->source.data = map;
    w->source.bytes = (size_t)st.st_size;
    return TRUE;
}

static gboolean do_open(worker *w, int fd, reply *r, GError **error)
{
    if (!map_document(w, fd, error))
        return FALSE;
    if (!dp_sniff(w->source.data, w->source.bytes, &w->kind)) {
        g_set_error_literal(error, DP_RENDER_ERROR, DP_RENDER_UNREADABLE,
                            "neither PDF, TIFF, PNG nor JPEG");
        return FALSE;
    }
    dp_image_head head;
    uint32_t fields = 0;
    gboolean is_good = TRUE;
    w->page_count = 1;
    if (w->kind == DP_FILE_PDF) {
        w->pdf = dp_pdf_open(&w->source, error);
        g_autoptr(GByteArray) records =
            w->pdf == NULL ? NULL : dp_pdf_fields(w->pdf, &fields, error);
        is_good = records != NULL;
        w->page_count = is_good ? dp_pdf_page_count(w->pdf) : 0;
    } else if (w->kind == DP_FILE_TIFF) {
        w->tiff = dp_tiff_open(&w->source, error);
        is_good = w->tiff != NULL;
        w->page_count = is_good ? dp_tiff_page_count(w->tiff) : 0;
    } else if (w->kind == DP_FILE_PNG) {
        is_good = dp_png_head(&w->source, &head, error);
    } else {
        is_good = dp_jpeg_head(&w->source, &head, error);
    }
    put_value(r, 0, w->kind);
    put_value(r, 1, w->page_count);
    put_value(r, 2, w->pdf == NULL ? 0 : dp_pdf_attachment_count(w->pdf));
    put_value(r, 3, fields);
    put_value(r, 4, w->pdf != NULL && dp_pdf_is_encrypted(w->pdf));
    return is_good;
}

static gboolean image_head(worker *w, uint32_t page, dp_image_head *head, GError **error)
{
    switch (w->kind) {
    case DP_FILE_TIFF:
        return dp_tiff_head(w->tiff, page, head, error);
    case DP_FILE_PNG:
        return dp_png_head(&w->source, head, error);
    default:
        return dp_jpeg_head(&w->source, head, error);
    }
}

static dp_image *image_decode(worker *w, uint32_t page, GError **error)
{
    switch (w->kind) {
    case DP_FILE_TIFF:
        return dp_tiff_decode(w->tiff, page, error);
    case DP_FILE_PNG:
        return dp_png_decode(&w->source, error);
    default:
        return dp_jpeg_decode(&w->source, error);
    }
}

static gboolean do_page_info(worker *w, uint32_t page, reply *r, GError **error)
{
    dp_page_info info;
    if (w->pdf != NULL) {
        if (!dp_pdf_page_info(w->pdf, page, &info, error))
            return FALSE;
    } else {
        dp_image_head head;
        if (!image_head(w, page, &head, error))
            return FALSE;
        dp_image_head_page_info(&head, &info);
    }
    put_double_value(r, 0, info.width_pt);
    put_double_value(r, 1, info.height_pt);
    put_value(r, 2, info.width_px);
    put_value(r, 3, info.height_px);
    put_double_value(r, 4, info.scan_dpi);
    put_value(r, 5, (info.has_text ? 1u : 0u) | (info.is_text_hidden ? 2u : 0u));
    return TRUE;
}

static gboolean do_render(worker *w, const request *q, uint32_t page, reply *r,
                          GError **error)
{
    uint32_t width = dp_get32(q->bytes + DP_REQ_WIDTH);
    uint32_t height = dp_get32(q->bytes + DP_REQ_HEIGHT);
    uint32_t channels = dp_get32(q->bytes + DP_REQ_CHANNELS);
    g_autoptr(dp_image) image = NULL;
    if (w->pdf == NULL) {
        image = image_decode(w, page, error);
        if (image == NULL)
            return FALSE;
        width = width == 0 ? image->width : width;
        height = height == 0 ? image->height : height;
    }
    if (!dp_image_check(&w->source, page, width, height, error))
        return FALSE;
    blob b;
    size_t row_bytes = (size_t)width * channels;
    if (!blob_open(&b, row_bytes * height, error))
        return FALSE;
    gboolean is_good =
        w->pdf != NULL
            ? dp_pdf_render(w->pdf, page, b.data, width, height, channels, error)
            : dp_image_write(image, b.data, width, height, channels, error);
    if (!is_good) {
        blob_drop(&b);
        return FALSE;
    }
    put_value(r, 0, width);
    put_value(r, 1, height);
    put_value(r, 2, channels);
    put_value(r, 3, row_bytes);
    if (image != NULL && image->is_damaged)
        dp_put32(r->bytes + DP_REP_FLAGS, DP_REPLY_DAMAGED);
    return blob_finish(&b, r, error);
}

static gboolean do_records(worker *w, uint32_t op, uint32_t index, reply *r,
                           GError **error)
{
    if (w->pdf == NULL)
        return TRUE; /* pictures have no words, fields or files */
    uint32_t value = 0;
    g_autoptr(GByteArray) bytes =
        op == DP_OP_TEXT     ? dp_pdf_text(w->pdf, index, &value, error)
        : op == DP_OP_FIELDS ? dp_pdf_fields(w->pdf, &value, error)
                             : dp_pdf_attachment(w->pdf, index, &value, error);
    put_value(r, 0, value);
    return bytes != NULL && reply_bytes(bytes, r, error);
}

/* Run one request after the first; FALSE with an error, or a filled reply. */
static gboolean dispatch(worker *w, const request *q, reply *r, GError **error)
{
    uint32_t op = dp_get32(q->bytes + DP_REQ_OP),
             index = dp_get32(q->bytes + DP_REQ_INDEX);
    uint32_t count = op == DP_OP_ATTACHMENT
                         ? (w->pdf == NULL ? 0 : dp_pdf_attachment_count(w->pdf))
                         : w->page_count;
    if (op != DP_OP_FIELDS && index >= count) {
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_INTERNAL,
                    "no such page or file: %u", index + 1);
        return FALSE;
    }
    switch (op) {
    case DP_OP_PAGE_INFO:
        return do_page_info(w, index, r, error);
    case DP_OP_RENDER:
        return do_render(w, q, index, r, error);
    case DP_OP_TEXT:
    case DP_OP_ATTACHMENT:
    case DP_OP_FIELDS:
        return do_records(w, op, index, r, error);
    default:
        g_set_error(error, DP_RENDER_ERROR, DP_RENDER_INTERNAL, "no such request: %u",
                    op);
        return FALSE;
    }
}

static void reply_start(reply *r, uint32_t op)
{
    *r = (reply){ .fd = -1 };
    dp_put32(r->bytes + DP_REP_MAGIC, DP_PROTO_REPLY_MAGIC);
    dp_put32(r->bytes + DP_REP_OP, op);
}

static void reply_fail(reply *r, uint32_t op, const GError *error)
{
    reply_start(r, op);
    g_assert(error != NULL);
    dp_put32(r->bytes + DP_REP_CODE, error->domain == DP_RENDER_ERROR
                                         ? (uint32_t)error->code
                                         : DP_RENDER_UNREADABLE);
    g_strlcpy((char *)r->bytes + DP_REP_MESSAGE, error->message, DP_PROTO_MESSAGE_BYTES);
}

/* For `docvl doctor`: the sandbox, entered for real, and the decoders behind it. */
static int print_facts(void)
{
    const dp_render_limits limits = {
        .pixels_max = DP_PIXELS_MAX,
        .attachment_max = DP_ATTACHMENT_MAX,
        .seconds_max = DP_SECONDS_MAX,
        .memory_max = DP_MEMORY_MAX,
    };
    g_autofree char *facts = dp_render_sandbox_facts();
    g_autoptr(GError) error = NULL;
    gboolean is_closed = dp_render_sandbox(&limits, &error);
    const char *tiff = TIFFGetVersion(); /* "LIBTIFF, Version 4.5.0\nCopyright …" */
    tiff += strcspn(tiff, "0123456789");
    printf("sandbox    %s\n", is_closed ? facts : error->message);
    printf("decoders   Poppler %s, libtiff %.*s, libpng %s, libjpeg-turbo %s\n",
           poppler_get_version(), (int)strcspn(tiff, "\n"), tiff,
           png_get_libpng_ver(NULL), DP_TURBOJPEG_VERSION);
    return is_closed && fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        _exit(print_facts());
    static worker w;
    static request q; /* too large for the stack */
    reply r;
    (void)close_range(DP_PROTO_FD + 1, ~0u, 0);
    if (!receive(&q) || dp_get32(q.bytes + DP_REQ_OP) != DP_OP_OPEN || !read_open(&w, &q))
        return EXIT_FAILURE;
    (void)alarm(w.source.limits.seconds_max + ORPHAN_SECONDS);
    dp_pdf_preload();
    reply_start(&r, DP_OP_OPEN);
    g_autoptr(GError) error = NULL;
    gboolean is_open =
        dp_render_sandbox(&w.source.limits, &error) && do_open(&w, q.fd, &r, &error);
    if (!is_open)
        reply_fail(&r, DP_OP_OPEN, error);
    /* The socket closes when the client has enough; _exit, because nothing of what the
     * document left in memory should run again. */
    if (!send_reply(&r) || !is_open)
        _exit(is_open ? EXIT_FAILURE : EXIT_SUCCESS);
    (void)alarm(0);
    while (receive(&q)) {
        uint32_t op = dp_get32(q.bytes + DP_REQ_OP);
        g_clear_error(&error);
        (void)alarm(w.source.limits.seconds_max + ORPHAN_SECONDS);
        reply_start(&r, op);
        if (!dispatch(&w, &q, &r, &error))
            reply_fail(&r, op, error);
        if (!send_reply(&r))
            break;
        (void)alarm(0);
    }
    _exit(EXIT_SUCCESS);
}

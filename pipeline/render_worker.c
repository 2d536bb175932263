/*
 * render_worker.c - docvl-render: one document, no network, no writes, no other program.
 *
 * The document is on descriptor 4, requests come on 3.  Before the first byte of the
 * document is looked at, a seccomp filter forbids sockets, new programs and opening
 * anything for writing; memory is limited by the parent.
 */
#include "pages.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

gboolean dp_bad(GError **error, dp_render_code code, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    if (error != NULL && *error == NULL)
        *error = g_error_new_literal(g_quark_from_static_string("dp-pages"), code, text);
    return FALSE;
}

gboolean dp_size_check(uint64_t width, uint64_t height, const dp_render_request *limits,
                       GError **error)
{
    if (width == 0 || height == 0)
        return dp_bad(error, DP_RENDER_UNREADABLE, "an empty picture");
    if (width > limits->side_max || height > limits->side_max)
        return dp_bad(error, DP_RENDER_LIMIT,
                      "%" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT " pixels, limit %u a side",
                      width, height, limits->side_max);
    if (width * height > limits->pixels_max)
        return dp_bad(error, DP_RENDER_LIMIT,
                      "%" G_GUINT64_FORMAT " x %" G_GUINT64_FORMAT " pixels, limit %" G_GUINT64_FORMAT,
                      width, height, limits->pixels_max);
    return TRUE;
}

static gboolean sandbox(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0) != 0)
        return FALSE;
#ifndef DP_SANITIZED
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (filter == NULL)
        return FALSE;
    static const int killed[] = {
        SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev), SCMP_SYS(bpf), SCMP_SYS(mount), SCMP_SYS(umount2),
        SCMP_SYS(pivot_root), SCMP_SYS(chroot), SCMP_SYS(setns), SCMP_SYS(unshare),
        SCMP_SYS(kexec_load), SCMP_SYS(init_module), SCMP_SYS(finit_module),
        SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(keyctl), SCMP_SYS(add_key),
    };
    static const int refused[] = {
        SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept),
        SCMP_SYS(accept4), SCMP_SYS(socketpair), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
        SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(mkdir),
        SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(symlink),
        SCMP_SYS(symlinkat), SCMP_SYS(chmod), SCMP_SYS(fchmodat), SCMP_SYS(chown),
        SCMP_SYS(fchownat), SCMP_SYS(truncate), SCMP_SYS(creat), SCMP_SYS(mknod),
        SCMP_SYS(mknodat), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(fork), SCMP_SYS(vfork),
        SCMP_SYS(io_uring_setup), SCMP_SYS(openat2), SCMP_SYS(setxattr), SCMP_SYS(utimensat),
    };
    gboolean is_ok = TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS(killed); i++)
        is_ok &= seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, killed[i], 0) == 0;
    for (gsize i = 0; i < G_N_ELEMENTS(refused); i++)
        is_ok &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0) == 0;
    /* reading fonts and tables stays possible, writing does not */
    for (int mode = O_WRONLY; mode <= O_RDWR; mode++) {
        is_ok &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EROFS), SCMP_SYS(openat), 1,
                                  SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE, (scmp_datum_t)mode)) == 0;
        is_ok &= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EROFS), SCMP_SYS(open), 1,
                                  SCMP_A1(SCMP_CMP_MASKED_EQ, O_ACCMODE, (scmp_datum_t)mode)) == 0;
    }
    is_ok = is_ok && seccomp_load(filter) == 0;
    seccomp_release(filter);
    return is_ok;
#else
    return TRUE;
#endif
}

/* What the file is, by its first bytes; a PDF header may come late (as readers accept). */
static gboolean identify(const uint8_t *b, gsize n, dp_file_kind *kind)
{
    if (n >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0)
        *kind = DP_FILE_PNG;
    else if (n >= 3 && memcmp(b, "\xff\xd8\xff", 3) == 0)
        *kind = DP_FILE_JPEG;
    else if (n >= 4 && (memcmp(b, "II*\0", 4) == 0 || memcmp(b, "MM\0*", 4) == 0 ||
                        memcmp(b, "II+\0", 4) == 0 || memcmp(b, "MM\0+", 4) == 0))
        *kind = DP_FILE_TIFF;
    else if (g_strstr_len((const char *)b, (gssize)MIN(n, 1024), "%PDF-") != NULL ||
             memmem(b, MIN(n, 1024), "%PDF-", 5) != NULL)
        *kind = DP_FILE_PDF;
    else
        return FALSE;
    return TRUE;
}

static gboolean open_document(dp_pages *pages, const dp_render_request *request, GError **error)
{
    static gboolean (*const openers[])(dp_pages *, const dp_render_request *, GError **) = {
        dp_pdf_open, dp_tiff_open, dp_png_open, dp_jpeg_open
    };
    struct stat st;
    if (pages->bytes == NULL) {
        if (fstat(DP_FILE_FD, &st) != 0 || st.st_size <= 0)
            return dp_bad(error, DP_RENDER_UNREADABLE, "the file is empty");
        pages->length = (gsize)st.st_size;
        void *map = mmap(NULL, pages->length, PROT_READ, MAP_PRIVATE, DP_FILE_FD, 0);
        if (map == MAP_FAILED)
            return dp_bad(error, DP_RENDER_LIMIT, "the file does not fit into the memory limit");
        pages->bytes = map;
    }
    if (!identify(pages->bytes, pages->length, &pages->kind))
        return dp_bad(error, DP_RENDER_UNREADABLE, "not a PDF, TIFF, PNG or JPEG");
    if (!openers[pages->kind](pages, request, error))
        return FALSE;
    if (pages->count == 0)
        return dp_bad(error, DP_RENDER_UNREADABLE, "no pages");
    if (pages->count > request->pages_max)
        return dp_bad(error, DP_RENDER_LIMIT, "%u pages, limit %u", pages->count, request->pages_max);
    return TRUE;
}

static int sealed(const void *data, gsize bytes)
{
    int fd = memfd_create("reply", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    const char *at = data;
    gsize left = bytes;
    while (fd >= 0 && left > 0) {
        gssize n = write(fd, at, left);
        if (n <= 0) {
            close(fd);
            return -1;
        }
        at += n;
        left -= (gsize)n;
    }
    if (fd >= 0)
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    return fd;
}

static void send_reply(dp_render_reply *reply, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = { 0 };
    struct iovec part = { reply, sizeof *reply };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    (void)sendmsg(DP_RENDER_FD, &message, MSG_NOSIGNAL); /* the parent is gone: so are we */
    if (fd >= 0)
        close(fd);
}

static int render_page(dp_pages *pages, const dp_render_request *q, dp_render_reply *r, GError **error)
{
    dp_raster raster = { 0 };
    if (!pages->render(pages, q, &raster, error))
        return -1;
    r->width = raster.width;
    r->height = raster.height;
    r->channels = raster.channels;
    r->row_bytes = raster.width * raster.channels;
    r->bytes = (uint64_t)r->row_bytes * raster.height;
    int fd = sealed(raster.data, r->bytes);
    g_free(raster.data);
    if (fd < 0)
        dp_bad(error, DP_RENDER_TEMPORARY, "no memory for the picture");
    return fd;
}

static int text_reply(GString *text, dp_render_reply *r, GError **error)
{
    if (text == NULL)
        return -1;
    r->bytes = text->len;
    int fd = text->len > 0 ? sealed(text->str, text->len) : -1;
    g_string_free(text, TRUE);
    return fd;
}

static int attachment_reply(dp_pages *pages, const dp_render_request *q, dp_render_reply *r,
                            GError **error)
{
    g_autofree char *name = NULL;
    g_autoptr(GBytes) bytes = pages->attachment != NULL && q->index < pages->attachment_count
                                  ? pages->attachment(pages, q, &name, error) : NULL;
    if (bytes == NULL) {
        dp_bad(error, DP_RENDER_UNREADABLE, "attachment %u cannot be read", q->index + 1);
        return -1;
    }
    g_strlcpy(r->text, name != NULL ? name : "", sizeof r->text);
    r->bytes = g_bytes_get_size(bytes);
    return r->bytes > 0 ? sealed(g_bytes_get_data(bytes, NULL), r->bytes) : -1;
}

static int answer(dp_pages *pages, const dp_render_request *q, dp_render_reply *r, GError **error)
{
    gboolean is_open = pages->count > 0;
    if (q->op != DP_OP_OPEN && (!is_open || q->page >= pages->count)) {
        dp_bad(error, DP_RENDER_INTERNAL, "a request out of order");
        return -1;
    }
    switch ((dp_render_op)q->op) {
    case DP_OP_OPEN:
        if (open_document(pages, q, error)) {
            r->kind = pages->kind;
            r->page_count = pages->count;
            r->attachment_count = pages->attachment_count;
            r->field_count = pages->field_count;
            r->is_encrypted = (uint32_t)pages->is_encrypted;
        }
        return -1;
    case DP_OP_PAGE:
        (void)pages->page(pages, q->page, r, error); /* error tells */
        return -1;
    case DP_OP_RENDER:
        return render_page(pages, q, r, error);
    case DP_OP_TEXT:
        return pages->text != NULL ? text_reply(pages->text(pages, q->page, q->words_max, error), r, error) : -1;
    case DP_OP_ATTACHMENT:
        return attachment_reply(pages, q, r, error);
    case DP_OP_FIELDS:
        return pages->fields != NULL ? text_reply(pages->fields(pages, error), r, error) : -1;
    }
    dp_bad(error, DP_RENDER_INTERNAL, "an unknown request");
    return -1;
}

int main(void)
{
    if (!sandbox())
        return 1;
    dp_pages pages = { 0 };
    dp_render_request request;
    for (;;) {
        gssize n = recv(DP_RENDER_FD, &request, sizeof request, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n != (gssize)sizeof request)
            return n == 0 ? 0 : 1;
        request.password[sizeof request.password - 1] = '\0';
        dp_render_reply reply = { 0 };
        g_autoptr(GError) error = NULL;
        int fd = answer(&pages, &request, &reply, &error);
        if (error != NULL) {
            reply.code = (uint32_t)error->code;
            g_strlcpy(reply.text, error->message, sizeof reply.text);
        }
        send_reply(&reply, fd);
    }
}

/*
 * render_client.c - the side of docvl-render that lives in our own processes.
 *
 * The worker reads files from strangers, so after the first byte of a document it may
 * be a stranger itself: every number of a reply is compared with what was asked, every
 * memfd must be sealed and of the announced size before it is mapped, and the first
 * violation ends the worker.
 */
#include "render_proto.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASH_BYTES (256u << 10)
#define CANCEL_MS  100 /* how often a wait looks whether it is still wanted */
#define NO_PROGRAM 127 /* what a shell and the loader of libraries say of a program */
#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

struct dp_document {
    char *name;
    dp_render_limits limits;
    dp_document_info info;
    GCancellable *cancellable; /* a reference, or NULL */
    int socket;
    pid_t pid; /* 0 when it is gone */
};

typedef struct answer {
    uint8_t bytes[DP_REP_BYTES];
    uint8_t *data; /* mapped, or NULL */
    size_t data_bytes;
} answer;

static const char *const mimes[] = { "application/pdf", "image/tiff", "image/png",
                                     "image/jpeg" };
_Static_assert(G_N_ELEMENTS(mimes) == DP_FILE_JPEG + 1, "one type per kind");

static gboolean G_GNUC_PRINTF(4, 5) fail(const dp_document *d, dp_render_code code,
                                         GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, DP_RENDER_ERROR, code, "%s: %s", d->name, text);
    return FALSE;
}

static int64_t now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* Names go into one-line messages. */
static char *printable(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);
    for (const char *p = valid; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        g_string_append_unichar(out, g_unichar_iscntrl(c) ? '?' : c);
    }
    return g_string_free(out, FALSE);
}

static void set_defaults(dp_render_limits *l)
{
    l->pages_max = l->pages_max == 0 ? DP_PAGES_MAX : l->pages_max;
    l->bytes_max = l->bytes_max == 0 ? DP_BYTES_MAX : l->bytes_max;
    l->pixels_max = l->pixels_max == 0 ? DP_PIXELS_MAX : l->pixels_max;
    l->side_max = l->side_max == 0 ? DP_SIDE_MAX : l->side_max;
    l->seconds_max = l->seconds_max == 0 ? DP_SECONDS_MAX : l->seconds_max;
    l->memory_max = l->memory_max == 0 ? DP_MEMORY_MAX : l->memory_max;
    l->words_max = l->words_max == 0 ? DP_WORDS_MAX : l->words_max;
    l->attachment_max = l->attachment_max == 0 ? DP_ATTACHMENT_MAX : l->attachment_max;
    /* Counts of bytes must not overflow when they are multiplied or added to. */
    l->pixels_max = MIN(l->pixels_max, UINT64_MAX >> 8);
    l->attachment_max = MIN(l->attachment_max, 1ull << 30);
    l->side_max = MIN(l->side_max, 1u << 30);
    l->seconds_max = MIN(l->seconds_max, 86400u);
}

/* ---- the file: spooled when it cannot seek, hashed, reopened for reading only ---- */

static gboolean write_all(int fd, const uint8_t *data, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, data, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return FALSE;
        data += done;
        n -= (size_t)done;
    }
    return TRUE;
}

static gboolean fail_bytes(const dp_document *d, GError **error)
{
    return fail(d, DP_RENDER_LIMIT, error,
                "more than %" G_GUINT64_FORMAT " bytes, the limit", d->limits.bytes_max);
}

/* Wait for input until the deadline, or until the document's cancellable says stop: a signal
 * may reach another thread, so it does not end the call by itself. */
static gboolean wait_input(const dp_document *d, int fd, int64_t deadline, GError **error)
{
    for (;;) {
        if (g_cancellable_set_error_if_cancelled(d->cancellable, error))
            return FALSE;
        int64_t left = deadline - now_ms();
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int rc = left <= 0 ? 0 : poll(&p, 1, (int)MIN(left, CANCEL_MS));
        if (rc > 0)
            return TRUE;
        if ((rc < 0 && errno == EINTR) || (rc == 0 && left > CANCEL_MS))
            continue;
        if (rc < 0)
            return fail(d, DP_RENDER_TEMPORARY, error, "waiting: %s", g_strerror(errno));
        return fail(d, DP_RENDER_LIMIT, error, "no answer in %u s, the limit",
                    d->limits.seconds_max);
    }
}

static gboolean spool(dp_document *d, int fd, int to, GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(HASH_BYTES);
    int64_t deadline = now_ms() + (int64_t)d->limits.seconds_max * 1000;
    uint64_t total = 0;
    for (;;) {
        if (!wait_input(d, fd, deadline, error))
            return FALSE;
        ssize_t n = read(fd, buffer, HASH_BYTES);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return fail(d, DP_RENDER_UNREADABLE, error, "reading: %s", g_strerror(errno));
        if (n == 0)
            return TRUE;
        total += (uint64_t)n;
        if (total > d->limits.bytes_max)
            return fail_bytes(d, error);
        if (!write_all(to, buffer, (size_t)n))
            return fail(d, DP_RENDER_TEMPORARY, error, "spooling: %s", g_strerror(errno));
    }
}

static gboolean hash(dp_document *d, int fd, GError **error)
{
    g_autofree uint8_t *buffer = g_malloc(HASH_BYTES);
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint64_t at = 0;
    for (;;) {
        ssize_t n = pread(fd, buffer, HASH_BYTES, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail(d, DP_RENDER_UNREADABLE, error, "reading: %s", g_strerror(errno));
        if (n == 0)
            break;
        g_checksum_update(sum, buffer, n);
        at += (uint64_t)n;
        if (at > d->limits.bytes_max)
            return fail_bytes(d, error);
    }
    if (at == 0)
        return fail(d, DP_RENDER_UNREADABLE, error, "the file is empty");
    d->info.bytes = at;
    g_strlcpy(d->info.sha256, g_checksum_get_string(sum), sizeof d->info.sha256);
    return TRUE;
}

static int reopen(int fd)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* always fits */
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
}

/* A read-only descriptor of the content, ready to be given away, or -1: the worker must
 * not hold one that could write to the caller's file. */
static int take_content(dp_document *d, int fd, GError **error)
{
    struct stat st;
    if (fstat(fd, &st) != 0) {
        (void)fail(d, DP_RENDER_UNREADABLE, error, "reading: %s", g_strerror(errno));
        return -1;
    }
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > d->limits.bytes_max) {
        (void)fail_bytes(d, error);
        return -1;
    }
    int flags = fcntl(fd, F_GETFL);
    int content = -1;
    if (S_ISREG(st.st_mode)) {
        content = reopen(fd);
        if (content < 0 && flags >= 0 && (flags & O_ACCMODE) == O_RDONLY)
            content = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    }
    if (content < 0) {
        int memory = memfd_create("docvl-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (memory < 0 || (S_ISREG(st.st_mode) && lseek(fd, 0, SEEK_SET) != 0)) {
            (void)fail(d, DP_RENDER_TEMPORARY, error, "spooling: %s", g_strerror(errno));
        } else if (spool(d, fd, memory, error)) {
            content = reopen(memory);
            if (content < 0)
                (void)fail(d, DP_RENDER_TEMPORARY, error, "spooling: %s",
                           g_strerror(errno));
        }
        if (memory >= 0)
            (void)close(memory);
    }
    if (content >= 0 && !hash(d, content, error)) {
        (void)close(content);
        content = -1;
    }
    return content;
}

/* ---- the process ---- */

char *dp_render_path(const char *worker)
{
    const char *path = worker != NULL ? worker : g_getenv("DOCVL_RENDER");
    if (path != NULL && *path != '\0')
        return g_strdup(path);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    if (self != NULL) {
        g_autofree char *folder = g_path_get_dirname(self);
        char *places[] = { g_build_filename(folder, "docvl-render", NULL),
                           g_build_filename(folder, "..", "libexec", "docvl",
                                            "docvl-render", NULL) };
        char *found = NULL;
        for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
            if (found == NULL && access(places[i], X_OK) == 0)
                found = g_canonicalize_filename(places[i], NULL);
            g_free(places[i]);
        }
        if (found != NULL)
            return found;
    }
    return g_strdup(DP_LIBEXECDIR "/docvl-render");
}

/* Only what fonts, locale and debugging need: no secrets of ours reach the worker. */
static char **worker_environment(void)
{
    static const char *const names[] = {
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "HOME",
        "FONTCONFIG_FILE",
        "FONTCONFIG_PATH",
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "XDG_DATA_HOME",
        "LD_LIBRARY_PATH",
        "ASAN_OPTIONS",
        "UBSAN_OPTIONS",
    };
    char **env = NULL;
    env = g_new0(char *, 1);
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        const char *value = g_getenv(names[i]);
        if (value != NULL)
            env = g_environ_setenv(env, names[i], value, TRUE);
    }
    return env;
}

static int spawn(const char *path, int socket, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none, all;
    if (posix_spawn_file_actions_init(&actions) != 0)
        return ENOMEM;
    if (posix_spawnattr_init(&attributes) != 0) {
        (void)posix_spawn_file_actions_destroy(&actions);
        return ENOMEM;
    }
    (void)sigemptyset(&none);
    (void)sigfillset(&all);
    int rc = posix_spawn_file_actions_adddup2(&actions, socket, DP_PROTO_FD);
    for (int fd = 0; fd < 3 && rc == 0; fd++) {
        if (fd == 2 && g_getenv("DOCVL_RENDER_STDERR") != NULL)
            break; /* for debugging: decoders quote the document there */
        rc = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    }
    rc = rc != 0 ? rc
                 : posix_spawn_file_actions_addclosefrom_np(&actions, DP_PROTO_FD + 1);
    rc = rc != 0 ? rc : posix_spawnattr_setsigmask(&attributes, &none);
    rc = rc != 0 ? rc : posix_spawnattr_setsigdefault(&attributes, &all);
    rc = rc != 0 ? rc
                 : posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK |
                                                             POSIX_SPAWN_SETSIGDEF);
    if (rc == 0) {
        char *argv[] = { (char *)path, NULL };
        g_auto(GStrv) env = worker_environment();
        rc = posix_spawn(pid, path, &actions, &attributes, argv, env);
    }
    (void)posix_spawnattr_destroy(&attributes);
    (void)posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static gboolean start(dp_document *d, const dp_render_opts *opts, GError **error)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return fail(d, DP_RENDER_TEMPORARY, error, "no socket: %s", g_strerror(errno));
    /* The actions open 0 to 2 after the dup: the worker's end must lie above them, even
     * in a process that closed its standard descriptors. */
    int theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, DP_PROTO_FD);
    (void)close(pair[1]);
    d->socket = pair[0];
    if (theirs < 0)
        return fail(d, DP_RENDER_TEMPORARY, error, "no socket: %s", g_strerror(errno));
    g_autofree char *path = dp_render_path(opts == NULL ? NULL : opts->worker);
    int rc = spawn(path, theirs, &d->pid);
    (void)close(theirs);
    if (rc == 0)
        return TRUE;
    d->pid = 0;
    gboolean is_passing = rc == EAGAIN || rc == ENOMEM || rc == EMFILE || rc == ENFILE;
    return fail(d, is_passing ? DP_RENDER_TEMPORARY : DP_RENDER_NOSTART, error,
                "cannot start %s: %s", path, g_strerror(rc));
}

/* End the worker; returns its wait status, or -1 when somebody else collected it. */
static int stop(dp_document *d, gboolean is_forced)
{
    int status = -1;
    if (d->socket >= 0)
        (void)close(d->socket);
    d->socket = -1;
    if (d->pid > 0) {
        if (is_forced)
            (void)kill(d->pid, SIGKILL);
        while (waitpid(d->pid, &status, 0) < 0) {
            if (errno != EINTR) {
                status = -1;
                break;
            }
        }
    }
    d->pid = 0;
    return status;
}

static gboolean fail_reply(dp_document *d, GError **error, const char *what)
{
    (void)stop(d, TRUE);
    return fail(d, DP_RENDER_INTERNAL, error, "broken reply of docvl-render: %s", what);
}

static gboolean fail_death(dp_document *d, GError **error)
{
    /* It closed the socket; whether or not it also ended, it is of no use any more.
     * A process that is ending keeps its own status, so wait a moment before killing. */
    int status = -1;
    for (int i = 0; i < 50 && d->pid > 0; i++) {
        pid_t rc = waitpid(d->pid, &status, WNOHANG);
        if (rc == d->pid || (rc < 0 && errno != EINTR))
            d->pid = 0;
        else
            g_usleep(2000);
    }
    if (d->pid > 0)
        status = stop(d, TRUE);
    else
        (void)stop(d, FALSE);
    if (status != -1 && WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        if (number == SIGXCPU || number == SIGALRM)
            return fail(d, DP_RENDER_LIMIT, error, "docvl-render used up its time");
        if (number == SIGXFSZ)
            return fail(d, DP_RENDER_LIMIT, error, "the reply is over its size limit");
        return fail(d, DP_RENDER_CRASHED, error, "docvl-render died of signal %d",
                    number);
    }
    if (status != -1 && WEXITSTATUS(status) == NO_PROGRAM)
        return fail(d, DP_RENDER_NOSTART, error, "docvl-render does not start: status %d",
                    NO_PROGRAM);
    return fail(d, DP_RENDER_CRASHED, error, "docvl-render ended with status %d",
                status == -1 ? -1 : WEXITSTATUS(status));
}

/* ---- one request ---- */

static gboolean send_request(dp_document *d, const uint8_t *bytes, size_t n, int fd,
                             GError **error)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec io = { (void *)bytes, n };
    struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };
    if (fd >= 0) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(int));
    }
    ssize_t done;
    do /* never blocks: a worker that does not read has at most one request waiting */
        done = sendmsg(d->socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (done < 0 && errno == EINTR);
    if (done == (ssize_t)n)
        return TRUE;
    return fail_death(d, error);
}

/* Receive one message and at most one descriptor; surplus ones are closed. */
static ssize_t receive(int socket, uint8_t *bytes, int *fd, gboolean *is_odd)
{
    union {
        char bytes[CMSG_SPACE(8 * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec io = { bytes, DP_REP_BYTES };
    struct msghdr message = { .msg_iov = &io,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control };
    ssize_t n;
    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    *fd = -1;
    *is_odd = FALSE;
    if (n < 0)
        return n;
    *is_odd = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL;
         c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int got;
            memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof got);
            if (*fd < 0) {
                *fd = got;
            } else {
                (void)close(got);
                *is_odd = TRUE;
            }
        }
    }
    return n;
}

/* Map the reply's memfd; it must be unable to change or shrink under us. */
static const char *map_data(answer *a, int fd, uint64_t bytes_max)
{
    uint64_t bytes = dp_get64(a->bytes + DP_REP_DATA);
    struct stat st;
    if (fd < 0)
        return bytes == 0 ? NULL : "no data";
    if (bytes == 0 || bytes > bytes_max || bytes > SIZE_MAX / 2)
        return "data size";
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS)
        return "data not sealed";
    if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size != bytes)
        return "data shorter than announced";
    void *map = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return "data cannot be mapped";
    a->data = map;
    a->data_bytes = (size_t)bytes;
    return NULL;
}

static void answer_clear(answer *a)
{
    if (a->data != NULL)
        (void)munmap(a->data, a->data_bytes);
    a->data = NULL;
}

static uint64_t value(const answer *a, uint32_t index)
{
    return dp_get64(a->bytes + DP_REP_VALUES + 8 * index);
}

/* An error of the worker: its text is shown, so it must be plain. */
static gboolean fail_worker(dp_document *d, const answer *a, GError **error)
{
    char text[DP_PROTO_MESSAGE_BYTES + 1];
    uint32_t code = dp_get32(a->bytes + DP_REP_CODE);
    memcpy(text, a->bytes + DP_REP_MESSAGE, DP_PROTO_MESSAGE_BYTES);
    text[DP_PROTO_MESSAGE_BYTES] = '\0';
    for (char *p = text; *p != '\0'; p++) {
        if (!g_ascii_isprint(*p))
            *p = '?';
    }
    if (code > DP_RENDER_INTERNAL || *text == '\0')
        return fail_reply(d, error, "error code");
    return fail(d, (dp_render_code)code, error, "%s", text);
}

static gboolean transact(dp_document *d, const uint8_t *request, size_t n, int fd,
                         uint64_t data_max, answer *a, GError **error)
{
    *a = (answer){ .data = NULL };
    if (d->pid == 0)
        return fail(d, DP_RENDER_CRASHED, error, "docvl-render is gone");
    int64_t deadline = now_ms() + (int64_t)d->limits.seconds_max * 1000;
    if (!send_request(d, request, n, fd, error))
        return FALSE;
    if (!wait_input(d, d->socket, deadline, error)) {
        (void)stop(d, TRUE);
        return FALSE;
    }
    int data = -1;
    gboolean is_odd;
    ssize_t got = receive(d->socket, a->bytes, &data, &is_odd);
    const char *problem = NULL;
    if (got > 0) {
        if (is_odd || got != DP_REP_BYTES ||
            dp_get32(a->bytes + DP_REP_MAGIC) != DP_PROTO_REPLY_MAGIC ||
            dp_get32(a->bytes + DP_REP_OP) != dp_get32(request + DP_REQ_OP))
            problem = "header";
        else if (dp_get32(a->bytes + DP_REP_CODE) == 0)
            problem = map_data(a, data, data_max);
    }
    if (data >= 0)
        (void)close(data);
    if (got <= 0)
        return fail_death(d, error);
    if (problem != NULL)
        return fail_reply(d, error, problem);
    if (dp_get32(a->bytes + DP_REP_CODE) != 0)
        return fail_worker(d, a, error);
    return TRUE;
}

static gboolean ask(dp_document *d, dp_op op, uint32_t index, uint64_t data_max,
                    answer *a, GError **error)
{
    uint8_t request[DP_REQ_BYTES] = { 0 };
    dp_put32(request + DP_REQ_MAGIC, DP_PROTO_REQUEST_MAGIC);
    dp_put32(request + DP_REQ_OP, op);
    dp_put32(request + DP_REQ_INDEX, index);
    return transact(d, request, sizeof request, -1, data_max, a, error);
}

static gboolean check_page(const dp_document *d, uint32_t page_index, GError **error)
{
    if (page_index < d->info.page_count)
        return TRUE;
    return fail(d, DP_RENDER_UNREADABLE, error, "page %u: the document has %u pages",
                page_index + 1, d->info.page_count);
}

/* ---- opening ---- */

static GByteArray *open_request(const dp_document *d, const dp_render_opts *opts,
                                GError **error)
{
    const dp_render_limits *l = &d->limits;
    const uint64_t limits[DP_PROTO_LIMITS] = {
        l->pages_max,   l->bytes_max,  l->pixels_max, l->side_max,
        l->seconds_max, l->memory_max, l->words_max,  l->attachment_max,
    };
    g_autoptr(GByteArray) request = g_byte_array_new();
    g_byte_array_set_size(request, DP_REQ_BYTES + 8 * DP_PROTO_LIMITS + 4);
    memset(request->data, 0, request->len);
    for (uint32_t i = 0; i < DP_PROTO_LIMITS; i++)
        dp_put64(request->data + DP_REQ_BYTES + 8 * i, limits[i]);
    uint32_t count = 0;
    for (const char *const *p = opts == NULL ? NULL : opts->passwords;
         p != NULL && *p != NULL; p++, count++) {
        size_t n = strlen(*p) + 1;
        if (count >= DP_PASSWORDS_MAX ||
            n > DP_PROTO_PAYLOAD_MAX - (request->len - DP_REQ_BYTES)) {
            (void)fail(d, DP_RENDER_LIMIT, error,
                       "more than %u passwords or %u bytes of them", DP_PASSWORDS_MAX,
                       DP_PROTO_PAYLOAD_MAX);
            return NULL;
        }
        g_byte_array_append(request, (const uint8_t *)*p, (guint)n);
    }
    dp_put32(request->data + DP_REQ_BYTES + 8 * DP_PROTO_LIMITS, count);
    dp_put32(request->data + DP_REQ_MAGIC, DP_PROTO_REQUEST_MAGIC);
    dp_put32(request->data + DP_REQ_OP, DP_OP_OPEN);
    dp_put32(request->data + DP_REQ_PAYLOAD, request->len - DP_REQ_BYTES);
    return g_steal_pointer(&request);
}

static gboolean open_document(dp_document *d, int content, const dp_render_opts *opts,
                              GError **error)
{
    answer a;
    g_autoptr(GByteArray) request = open_request(d, opts, error);
    if (request == NULL || !start(d, opts, error) ||
        !transact(d, request->data, request->len, content, 0, &a, error))
        return FALSE;
    uint64_t pages = value(&a, 1);
    if (value(&a, 0) > DP_FILE_JPEG || pages < 1 || pages > d->limits.pages_max ||
        value(&a, 2) > DP_ATTACHMENTS_MAX || value(&a, 3) > DP_FIELDS_MAX ||
        value(&a, 4) > 1)
        return fail_reply(d, error, "document facts");
    d->info.kind = (dp_file_kind)value(&a, 0);
    d->info.mime = mimes[d->info.kind];
    d->info.page_count = (uint32_t)pages;
    d->info.attachment_count = (uint32_t)value(&a, 2);
    d->info.field_count = (uint32_t)value(&a, 3);
    d->info.is_encrypted = value(&a, 4) == 1;
    return TRUE;
}

dp_document *dp_document_open(int fd, const char *name, const dp_render_opts *opts,
                              GError **error)
{
    g_assert(name != NULL);
    dp_document *d = g_new0(dp_document, 1);
    d->socket = -1;
    d->name = printable(name);
    if (opts != NULL)
        d->limits = opts->limits;
    if (opts != NULL && opts->cancellable != NULL)
        d->cancellable = g_object_ref(opts->cancellable);
    set_defaults(&d->limits);
    int content = take_content(d, fd, error);
    gboolean is_open = content >= 0 && open_document(d, content, opts, error);
    if (content >= 0)
        (void)close(content);
    if (!is_open)
        g_clear_pointer(&d, dp_document_free);
    return d;
}

void dp_document_free(dp_document *d)
{
    if (d == NULL)
        return;
    (void)stop(d, TRUE);
    g_clear_object(&d->cancellable);
    g_free(d->name);
    g_free(d);
}

const dp_document_info *dp_document_get_info(const dp_document *d)
{
    return &d->info;
}

gboolean dp_document_page_info(dp_document *d, uint32_t page_index, dp_page_info *info,
                               GError **error)
{
    answer a;
    if (!check_page(d, page_index, error) ||
        !ask(d, DP_OP_PAGE_INFO, page_index, 0, &a, error))
        return FALSE;
    const uint8_t *v = a.bytes + DP_REP_VALUES;
    double width = dp_get_double(v), height = dp_get_double(v + 8),
           dpi = dp_get_double(v + 32);
    if (!isfinite(width) || !isfinite(height) || !isfinite(dpi) || width <= 0 ||
        height <= 0 || dpi < 0 || value(&a, 2) > d->limits.side_max ||
        value(&a, 3) > d->limits.side_max ||
        value(&a, 2) * value(&a, 3) > d->limits.pixels_max || value(&a, 5) > 3)
        return fail_reply(d, error, "page facts");
    *info = (dp_page_info){
        .width_pt = width,
        .height_pt = height,
        .width_px = (uint32_t)value(&a, 2),
        .height_px = (uint32_t)value(&a, 3),
        .scan_dpi = dpi,
        .has_text = (value(&a, 5) & 1) != 0,
        .is_text_hidden = (value(&a, 5) & 2) != 0,
    };
    return TRUE;
}

/* ---- pixels ---- */

static gboolean check_size(const dp_document *d, uint32_t page_index, uint32_t width,
                           uint32_t height, GError **error)
{
    uint32_t side = MAX(width, height);
    if ((width == 0) != (height == 0) || (width == 0 && d->info.kind == DP_FILE_PDF))
        return fail(d, DP_RENDER_LIMIT, error, "page %u: cannot render %u x %u px",
                    page_index + 1, width, height);
    if (side > d->limits.side_max)
        return fail(d, DP_RENDER_LIMIT, error, "page %u: %u px on one side, limit %u",
                    page_index + 1, side, d->limits.side_max);
    if ((uint64_t)width * height > d->limits.pixels_max)
        return fail(d, DP_RENDER_LIMIT, error,
                    "page %u: %u x %u px, limit %" G_GUINT64_FORMAT " px", page_index + 1,
                    width, height, d->limits.pixels_max);
    return TRUE;
}

dp_pixels *dp_document_render(dp_document *d, uint32_t page_index, uint32_t width,
                              uint32_t height, uint32_t channels, GError **error)
{
    g_assert(channels == 1 || channels == 3);
    answer a;
    if (!check_page(d, page_index, error) ||
        !check_size(d, page_index, width, height, error))
        return NULL;
    uint8_t request[DP_REQ_BYTES] = { 0 };
    dp_put32(request + DP_REQ_MAGIC, DP_PROTO_REQUEST_MAGIC);
    dp_put32(request + DP_REQ_OP, DP_OP_RENDER);
    dp_put32(request + DP_REQ_INDEX, page_index);
    dp_put32(request + DP_REQ_WIDTH, width);
    dp_put32(request + DP_REQ_HEIGHT, height);
    dp_put32(request + DP_REQ_CHANNELS, channels);
    uint64_t data_max = d->limits.pixels_max * channels;
    if (!transact(d, request, sizeof request, -1, data_max, &a, error))
        return NULL;
    uint64_t w = value(&a, 0), h = value(&a, 1);
    gboolean is_asked = width == 0 || (w == width && h == height);
    if (!is_asked || w == 0 || h == 0 || w > d->limits.side_max ||
        h > d->limits.side_max || value(&a, 2) != channels ||
        value(&a, 3) != w * channels || a.data_bytes != w * h * channels) {
        answer_clear(&a);
        (void)fail_reply(d, error, "picture size");
        return NULL;
    }
    dp_pixels *pixels = g_new0(dp_pixels, 1);
    *pixels = (dp_pixels){ .data = a.data,
                           .width = (uint32_t)w,
                           .height = (uint32_t)h,
                           .channels = channels,
                           .row_bytes = (size_t)w * channels,
                           .map_bytes = a.data_bytes };
    pixels->is_damaged = (dp_get32(a.bytes + DP_REP_FLAGS) & DP_REPLY_DAMAGED) != 0;
    return pixels;
}

void dp_pixels_free(dp_pixels *pixels)
{
    if (pixels == NULL)
        return;
    (void)munmap((void *)pixels->data, pixels->map_bytes);
    g_free(pixels);
}

/* ---- records ---- */

/* Reads records that an attacker may have written. */
typedef struct cursor {
    const uint8_t *at;
    size_t left;
} cursor;

static const uint8_t *take(cursor *c, size_t n)
{
    if (n > c->left)
        return NULL;
    const uint8_t *at = c->at;
    c->at += n;
    c->left -= n;
    return at;
}

/* A copy of clean text: valid UTF-8, no control characters; NULL otherwise. */
static char *take_text(cursor *c, uint32_t n, uint32_t bytes_max)
{
    const char *text = n > bytes_max ? NULL : (const char *)take(c, n);
    if (text == NULL || !g_utf8_validate_len(text, n, NULL))
        return NULL;
    for (const char *p = text; p < text + n; p = g_utf8_next_char(p)) {
        if (g_unichar_iscntrl(g_utf8_get_char(p)))
            return NULL;
    }
    return g_strndup(text, n);
}

static gboolean read_box(const uint8_t *at, double box[4])
{
    for (int i = 0; i < 4; i++) {
        box[i] = dp_get_double(at + 8 * i);
        if (!(box[i] >= 0 && box[i] <= 1))
            return FALSE;
    }
    return box[0] <= box[2] && box[1] <= box[3];
}

static gboolean read_word(cursor *c, dp_render_word *word)
{
    const uint8_t *head = take(c, DP_WORD_RECORD_BYTES);
    double box[4];
    if (head == NULL || !read_box(head + 4, box))
        return FALSE;
    double font_size = dp_get_double(head + 36);
    uint32_t n = dp_get32(head);
    if (!(font_size >= 0 && font_size <= 1) || n == 0)
        return FALSE;
    *word = (dp_render_word){
        .x0 = box[0], .y0 = box[1], .x1 = box[2], .y1 = box[3], .font_size = font_size
    };
    word->text = take_text(c, n, DP_WORD_BYTES_MAX);
    return word->text != NULL;
}

static void clear_field(gpointer field)
{
    g_free(((dp_render_field *)field)->name);
    g_free(((dp_render_field *)field)->value);
    g_free(((dp_render_field *)field)->hint);
}

static gboolean read_field(cursor *c, uint32_t pages, dp_render_field *field)
{
    const uint8_t *head = take(c, DP_FIELD_RECORD_BYTES);
    double box[4];
    if (head == NULL || !read_box(head + 20, box) || dp_get32(head + 8) > 1 ||
        dp_get32(head + 12) >= pages)
        return FALSE;
    *field = (dp_render_field){ .is_choice = dp_get32(head + 8) == 1,
                                .page_index = dp_get32(head + 12),
                                .x0 = box[0],
                                .y0 = box[1],
                                .x1 = box[2],
                                .y1 = box[3] };
    field->name = take_text(c, dp_get32(head), DP_NAME_BYTES_MAX);
    field->value = take_text(c, dp_get32(head + 4), DP_WORD_BYTES_MAX);
    field->hint = take_text(c, dp_get32(head + 16), DP_NAME_BYTES_MAX);
    if (field->name != NULL && field->value != NULL && field->hint != NULL)
        return TRUE;
    clear_field(field);
    return FALSE;
}

static void clear_word(gpointer word)
{
    g_free(((dp_render_word *)word)->text);
}

GArray *dp_document_text(dp_document *d, uint32_t page_index, GError **error)
{
    answer a;
    if (!check_page(d, page_index, error) ||
        !ask(d, DP_OP_TEXT, page_index, DP_RECORDS_BYTES_MAX, &a, error))
        return NULL;
    g_autoptr(GArray) words = g_array_new(FALSE, FALSE, sizeof(dp_render_word));
    g_array_set_clear_func(words, clear_word);
    cursor c = { a.data, a.data_bytes };
    uint64_t count = value(&a, 0);
    dp_render_word word;
    while (count <= d->limits.words_max && words->len < count && read_word(&c, &word))
        g_array_append_val(words, word);
    answer_clear(&a);
    if (words->len == count && c.left == 0)
        return g_steal_pointer(&words);
    (void)fail_reply(d, error, "words");
    return NULL;
}

GBytes *dp_document_attachment(dp_document *d, uint32_t index, char **name,
                               GError **error)
{
    answer a;
    if (index >= d->info.attachment_count) {
        (void)fail(d, DP_RENDER_UNREADABLE, error, "attachment %u: the document has %u",
                   index + 1, d->info.attachment_count);
        return NULL;
    }
    uint64_t data_max = d->limits.attachment_max + DP_NAME_BYTES_MAX;
    if (!ask(d, DP_OP_ATTACHMENT, index, data_max, &a, error))
        return NULL;
    cursor c = { a.data, a.data_bytes };
    uint32_t name_bytes = (uint32_t)MIN(value(&a, 0), UINT32_MAX);
    g_autofree char *text =
        name_bytes == 0 ? NULL : take_text(&c, name_bytes, DP_NAME_BYTES_MAX);
    GBytes *bytes = NULL;
    if (text != NULL && strpbrk(text, "/\\") == NULL && !g_str_equal(text, ".") &&
        !g_str_equal(text, "..") && c.left <= d->limits.attachment_max)
        bytes = g_bytes_new(c.at, c.left);
    answer_clear(&a);
    if (bytes == NULL)
        (void)fail_reply(d, error, "attachment");
    else if (name != NULL)
        *name = g_steal_pointer(&text);
    return bytes;
}

GArray *dp_document_fields(dp_document *d, GError **error)
{
    answer a;
    if (!ask(d, DP_OP_FIELDS, 0, DP_RECORDS_BYTES_MAX, &a, error))
        return NULL;
    g_autoptr(GArray) fields = g_array_new(FALSE, FALSE, sizeof(dp_render_field));
    g_array_set_clear_func(fields, clear_field);
    cursor c = { a.data, a.data_bytes };
    uint64_t count = value(&a, 0);
    dp_render_field field;
    while (count <= DP_FIELDS_MAX && fields->len < count &&
           read_field(&c, d->info.page_count, &field))
        g_array_append_val(fields, field);
    answer_clear(&a);
    if (fields->len == count && c.left == 0)
        return g_steal_pointer(&fields);
    (void)fail_reply(d, error, "fields");
    return NULL;
}

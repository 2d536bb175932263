/*
 * shim.c - makes the n-th call of a program go wrong; preloaded into docvl by the tests.
 *
 * Counts the calls that touch files (open, look at, read, write, sync, rename, map, send, start a program …) or the
 * allocations of the libraries that say what happens without memory, and at number n
 *
 *   kill:N        ends the process with SIGKILL before the call
 *   half:N        writes half of what was to be written, then SIGKILL
 *   after:N       does the call, then SIGKILL
 *   E:N           fails the call with errno E (a number), without doing it
 *   E@NAME:N      the same for the N-th call whose name begins with NAME
 *   E#STACK       the same for the first call that comes by the way STACK: a hash of the
 *                 functions that are being called, as the trace shows it
 *   nomem:N       returns NULL from the N-th malloc, calloc or realloc that SQLite, jansson
 *                 or the program itself asks for (not GLib: it aborts by choice)
 *   nomem-glib:N  the same for GLib's: the abort must be as safe as a kill
 *   nomem#STACK   the first allocation of any of these that comes by this way
 *
 * as DOCVL_FAULT says.  DOCVL_FAULT_COUNT names a file that gets the number of calls at the
 * end ("files allocations glib-allocations"), DOCVL_FAULT_TRACE one that gets a line for each
 * call that touches files: number, name, path or descriptor, stack.  DOCVL_FAULT_STACKS names
 * a file that gets a line for each way that an allocation comes: kind, stack.
 * DOCVL_FAULT_SYNCED names a folder that gets a copy of each file of a journal whenever it is
 * synced: what a power cut would leave of it.  Only the process whose name is
 * DOCVL_FAULT_PROGRAM (default docvl) is touched, so its readers run undisturbed.
 */
/* Both names of each call are taken over, so neither may be renamed to the other. */
#undef _FILE_OFFSET_BITS
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef enum mode { NONE, KILL, HALF, AFTER, ERRNO, NOMEM, NOMEM_GLIB } mode;

enum { FRAMES_MAX = 96, MODULES_MAX = 128, STACKS_MAX = 1 << 16 };

typedef struct range {
    uintptr_t start, end;
} range;

typedef struct module {
    range range;
    uint64_t name; /* hashed */
} module;

static mode what;
static long at;
static int code;
static char only[32]; /* the beginning of the names that count; "": all */
static int is_on;     /* this is the program to be disturbed */
static atomic_long files, named, allocations, glib_allocations;
static int trace_fd = -1;
static range plain[8], glib[4];
static int plain_count, glib_count;
static module modules[MODULES_MAX];
static int module_count;
static uint64_t way; /* of the call that goes wrong; 0: by number */
static bool is_by_way;
static int stacks_fd = -1;
static const char *synced_dir;
static _Atomic uint64_t seen[STACKS_MAX];

/* ---- ways ------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
    for (const unsigned char *byte = bytes; length > 0; length--)
        hash = (hash ^ *byte++) * 0x100000001b3u;
    return hash;
}

/* The functions that are being called, wherever they were loaded. */
static uint64_t way_here(void)
{
    void *frames[FRAMES_MAX];
    int count = backtrace(frames, FRAMES_MAX);
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < count; i++) {
        uintptr_t frame = (uintptr_t)frames[i];
        for (int k = 0; k < module_count; k++) {
            const module *m = &modules[k];
            if (frame < m->range.start || frame >= m->range.end)
                continue;
            uint64_t place = frame - m->range.start;
            hash = mix(hash, &m->name, sizeof m->name);
            hash = mix(hash, &place, sizeof place);
            break;
        }
    }
    return hash != 0 ? hash : 1;
}

/* Is it seen for the first time? */
static bool is_new_way(uint64_t hash)
{
    for (unsigned i = 0; i < STACKS_MAX; i++) {
        _Atomic uint64_t *slot = &seen[(hash + i) % STACKS_MAX];
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(slot, &there, hash))
            return true;
        if (there == hash)
            return false;
    }
    return false;
}

/* ---- start and end -------------------------------------------------------------------- */

static void note_module(const struct dl_phdr_info *info, const char *base)
{
    module m = { .name = mix(0xcbf29ce484222325u, base, strlen(base)),
                 .range = { UINTPTR_MAX, 0 } };
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        uintptr_t start = info->dlpi_addr + h->p_vaddr;
        if (h->p_type != PT_LOAD)
            continue;
        if (start < m.range.start)
            m.range.start = start;
        if (start + h->p_memsz > m.range.end)
            m.range.end = start + h->p_memsz;
    }
    if (module_count < MODULES_MAX)
        modules[module_count++] = m;
}

static int note_range(struct dl_phdr_info *info, size_t size, void *data)
{
    const char *base = strrchr(info->dlpi_name, '/');
    base = base != NULL ? base + 1 : info->dlpi_name;
    note_module(info, base);
    int is_plain = *base == '\0' || strncmp(base, "libsqlite3", 10) == 0 ||
                   strncmp(base, "libjansson", 10) == 0;
    int is_glib = strncmp(base, "libglib", 7) == 0 || strncmp(base, "libgio", 6) == 0;
    if (!is_plain && !is_glib)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type != PT_LOAD || (h->p_flags & PF_X) == 0)
            continue;
        range r = { info->dlpi_addr + h->p_vaddr,
                    info->dlpi_addr + h->p_vaddr + h->p_memsz };
        if (is_plain && plain_count < 8)
            plain[plain_count++] = r;
        else if (is_glib && glib_count < 4)
            glib[glib_count++] = r;
    }
    return 0;
}

static void read_order(const char *text)
{
    static const struct {
        const char *name;
        mode mode;
    } names[] = { { "kill", KILL },
                  { "half", HALF },
                  { "after", AFTER },
                  { "nomem", NOMEM },
                  { "nomem-glib", NOMEM_GLIB } };
    const char *colon = strpbrk(text, ":#");
    if (colon == NULL)
        return;
    is_by_way = *colon == '#';
    if (is_by_way)
        way = strtoull(colon + 1, NULL, 16);
    else
        at = strtol(colon + 1, NULL, 10);
    what = ERRNO;
    code = (int)strtol(text, NULL, 10);
    const char *sign = strchr(text, '@');
    if (sign != NULL && colon - sign <= (long)sizeof only)
        memcpy(only, sign + 1, (size_t)(colon - sign - 1));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strlen(names[i].name) == (size_t)(colon - text) &&
            strncmp(names[i].name, text, (size_t)(colon - text)) == 0)
            what = names[i].mode;
}

__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("DOCVL_FAULT_PROGRAM");
    if (strcmp(program_invocation_short_name, name != NULL ? name : "docvl") != 0)
        return;
    dl_iterate_phdr(note_range, NULL);
    const char *order = getenv("DOCVL_FAULT"), *trace = getenv("DOCVL_FAULT_TRACE");
    if (order != NULL)
        read_order(order);
    if (trace != NULL)
        trace_fd = (int)syscall(SYS_openat, AT_FDCWD, trace,
                                O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
    const char *stacks = getenv("DOCVL_FAULT_STACKS");
    if (stacks != NULL)
        stacks_fd = (int)syscall(SYS_openat, AT_FDCWD, stacks,
                                 O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
    synced_dir = getenv("DOCVL_FAULT_SYNCED");
    (void)way_here(); /* its own first allocations */
    is_on = 1;
}

__attribute__((destructor)) static void finish(void)
{
    const char *path = is_on ? getenv("DOCVL_FAULT_COUNT") : NULL;
    is_on = 0;
    if (path == NULL)
        return;
    FILE *out = fopen(path, "we");
    if (out == NULL)
        return;
    fprintf(out, "%ld %ld %ld\n", atomic_load(&files), atomic_load(&allocations),
            atomic_load(&glib_allocations));
    fclose(out);
}

static void die(void)
{
    /* Not raise(): the whole process, at once, whatever it blocks. */
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

/* One line by one system call of our own: whole whatever other threads write. */
static void note_call(long n, const char *name, const char *path, int fd, uint64_t here)
{
    char line[512], number[16];
    snprintf(number, sizeof number, "%d", fd);
    int length = snprintf(line, sizeof line, "%ld %s %.400s %016lx\n", n, name,
                          path != NULL ? path : number, (unsigned long)here);
    if (syscall(SYS_write, trace_fd, line, (size_t)length) < 0)
        trace_fd = -1;
}

/* Is it this call's turn?  Dies, or returns the errno to fail with, or 0. */
static int turn(const char *name, const char *path, int fd, int *is_after, int *is_half)
{
    *is_after = *is_half = 0;
    if (!is_on)
        return 0;
    long n = atomic_fetch_add(&files, 1) + 1;
    uint64_t here = trace_fd >= 0 || is_by_way ? way_here() : 0;
    if (trace_fd >= 0)
        note_call(n, name, path, fd, here);
    if (is_by_way)
        return what == ERRNO && here == way && is_new_way(here) ? code : 0;
    if (*only != '\0' && strncmp(name, only, strlen(only)) == 0)
        n = atomic_fetch_add(&named, 1) + 1;
    else if (*only != '\0')
        return 0;
    if (n != at || what == NONE || what == NOMEM || what == NOMEM_GLIB)
        return 0;
    if (what == KILL)
        die();
    *is_after = what == AFTER;
    *is_half = what == HALF;
    return what == ERRNO ? code : 0;
}

#define REAL(name)                                                                       \
    static __typeof__(name) *real_##name;                                                \
    if (real_##name == NULL)                                                             \
    real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name)

#define TURN(name, path, fd, failed)                                                     \
    int is_after, is_half;                                                               \
    int error = turn(name, path, fd, &is_after, &is_half);                               \
    if (error != 0) {                                                                    \
        errno = error;                                                                   \
        return failed;                                                                   \
    }                                                                                    \
    if (is_half)                                                                         \
        die();

#define DONE(value)                                                                      \
    do {                                                                                 \
        __typeof__(value) result_ = (value);                                             \
        if (is_after)                                                                    \
            die();                                                                       \
        return result_;                                                                  \
    } while (0)

/* ---- files ------------------------------------------------------------------------------ */

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...)                                           \
    {                                                                                    \
        REAL(name);                                                                      \
        TURN(#name, path, -1, -1)                                                        \
        va_list list;                                                                    \
        va_start(list, flags);                                                           \
        mode_t bits = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;   \
        va_end(list);                                                                    \
        DONE(real_##name(path, flags, bits));                                            \
    }
OPEN(open)
OPEN(open64)

#define WRITE(name, offset)                                                              \
    ssize_t name(int fd, const void *data, size_t count, offset where)                   \
    {                                                                                    \
        REAL(name);                                                                      \
        int is_after, is_half;                                                           \
        int error = turn(#name, NULL, fd, &is_after, &is_half);                          \
        if (error != 0) {                                                                \
            errno = error;                                                               \
            return -1;                                                                   \
        }                                                                                \
        ssize_t n = real_##name(fd, data, is_half ? count / 2 : count, where);           \
        if (is_after || is_half)                                                         \
            die();                                                                       \
        return n;                                                                        \
    }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

ssize_t write(int fd, const void *data, size_t count)
{
    REAL(write);
    int is_after, is_half;
    int error = turn("write", NULL, fd, &is_after, &is_half);
    if (error != 0) {
        errno = error;
        return -1;
    }
    ssize_t n = real_write(fd, data, is_half ? count / 2 : count);
    if (is_after || is_half)
        die();
    return n;
}

ssize_t read(int fd, void *data, size_t count)
{
    REAL(read);
    TURN("read", NULL, fd, -1)
    DONE(real_read(fd, data, count));
}

ssize_t pread(int fd, void *data, size_t count, off_t where)
{
    REAL(pread);
    TURN("pread", NULL, fd, -1)
    DONE(real_pread(fd, data, count, where));
}

ssize_t pread64(int fd, void *data, size_t count, off64_t where)
{
    REAL(pread64);
    TURN("pread64", NULL, fd, -1)
    DONE(real_pread64(fd, data, count, where));
}

/* By system calls of our own, which are not counted.  The caller of a sync holds the journal's
 * lock: nobody writes meanwhile. */
static int keep_synced(int fd, int result)
{
    char link[64], path[4096], copy[8192], part[8200], buffer[65536];
    if (synced_dir == NULL || !is_on || result != 0)
        return result;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    const char *base = strrchr(path, '/');
    if (base == NULL || strstr(base, ".db") == NULL)
        return result;
    snprintf(copy, sizeof copy, "%s%s", synced_dir, base);
    snprintf(part, sizeof part, "%s.part",
             copy); /* another thread's end may come meanwhile */
    int to = (int)syscall(SYS_openat, AT_FDCWD, part, O_CREAT | O_TRUNC | O_WRONLY, 0644);
    long n;
    for (off_t at_byte = 0;
         (n = syscall(SYS_pread64, fd, buffer, sizeof buffer, at_byte)) > 0; at_byte += n)
        if (syscall(SYS_write, to, buffer, (size_t)n) != n)
            break;
    syscall(SYS_close, to);
    if (n == 0)
        syscall(SYS_renameat2, AT_FDCWD, part, AT_FDCWD, copy, 0);
    return result;
}

int fsync(int fd)
{
    REAL(fsync);
    TURN("fsync", NULL, fd, -1)
    DONE(keep_synced(fd, real_fsync(fd)));
}

int fdatasync(int fd)
{
    REAL(fdatasync);
    TURN("fdatasync", NULL, fd, -1)
    DONE(keep_synced(fd, real_fdatasync(fd)));
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    TURN("rename", to, -1, -1)
    DONE(real_rename(from, to));
}

int link(const char *from, const char *to)
{
    REAL(link);
    TURN("link", to, -1, -1)
    DONE(real_link(from, to));
}

int unlink(const char *path)
{
    REAL(unlink);
    TURN("unlink", path, -1, -1)
    DONE(real_unlink(path));
}

int mkdir(const char *path, mode_t bits)
{
    REAL(mkdir);
    TURN("mkdir", path, -1, -1)
    DONE(real_mkdir(path, bits));
}

int ftruncate(int fd, off_t length)
{
    REAL(ftruncate);
    TURN("ftruncate", NULL, fd, -1)
    DONE(real_ftruncate(fd, length));
}

int ftruncate64(int fd, off64_t length)
{
    REAL(ftruncate64);
    TURN("ftruncate64", NULL, fd, -1)
    DONE(real_ftruncate64(fd, length));
}

void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
    REAL(mmap);
    TURN("mmap", NULL, fd, MAP_FAILED)
    DONE(real_mmap(address, length, prot, flags, fd, offset));
}

void *mmap64(void *address, size_t length, int prot, int flags, int fd, off64_t offset)
{
    REAL(mmap64);
    TURN("mmap64", NULL, fd, MAP_FAILED)
    DONE(real_mmap64(address, length, prot, flags, fd, offset));
}

/* By folder descriptor, streams, folders, locks, memory files, pipes, processes. */
#define OPENAT(name)                                                                     \
    int name(int folder, const char *path, int flags, ...)                               \
    {                                                                                    \
        REAL(name);                                                                      \
        TURN(#name, path, -1, -1)                                                        \
        va_list list;                                                                    \
        va_start(list, flags);                                                           \
        mode_t bits = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;   \
        va_end(list);                                                                    \
        DONE(real_##name(folder, path, flags, bits));                                    \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                                      \
    FILE *name(const char *path, const char *how)                                        \
    {                                                                                    \
        REAL(name);                                                                      \
        TURN(#name, path, -1, NULL)                                                      \
        DONE(real_##name(path, how));                                                    \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define CALL(type, name, failed, path, fd, parameters, arguments)                        \
    type name parameters                                                                 \
    {                                                                                    \
        REAL(name);                                                                      \
        TURN(#name, path, fd, failed)                                                    \
        DONE(real_##name arguments);                                                     \
    }
CALL(DIR *, opendir, NULL, path, -1, (const char *path), (path))
CALL(int, stat, -1, path, -1, (const char *path, struct stat *st), (path, st))
CALL(int, stat64, -1, path, -1, (const char *path, struct stat64 *st), (path, st))
CALL(int, lstat, -1, path, -1, (const char *path, struct stat *st), (path, st))
CALL(int, lstat64, -1, path, -1, (const char *path, struct stat64 *st), (path, st))
CALL(int, fstat, -1, NULL, fd, (int fd, struct stat *st), (fd, st))
CALL(int, fstat64, -1, NULL, fd, (int fd, struct stat64 *st), (fd, st))
CALL(int, access, -1, path, -1, (const char *path, int how), (path, how))
CALL(int, flock, -1, NULL, fd, (int fd, int how), (fd, how))
CALL(int, renameat2, -1, to, -1,
     (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
     (from_dir, from, to_dir, to, flags))
CALL(int, memfd_create, -1, name, -1, (const char *name, unsigned flags), (name, flags))
CALL(int, socketpair, -1, NULL, domain, (int domain, int type, int protocol, int fds[2]),
     (domain, type, protocol, fds))
CALL(int, pipe2, -1, NULL, -1, (int fds[2], int flags), (fds, flags))
CALL(ssize_t, sendmsg, -1, NULL, fd, (int fd, const struct msghdr *message, int flags),
     (fd, message, flags))
CALL(ssize_t, recvmsg, -1, NULL, fd, (int fd, struct msghdr *message, int flags),
     (fd, message, flags))
/* gives its error back instead of errno */
CALL(int, posix_spawn, error, path, -1,
     (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
      const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]),
     (pid, path, actions, attributes, argv, envp))

/* ---- memory ------------------------------------------------------------------------------- */

extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);

static int lies_in(const range *ranges, int count, uintptr_t address)
{
    for (int i = 0; i < count; i++)
        if (address >= ranges[i].start && address < ranges[i].end)
            return 1;
    return 0;
}

/* Does this allocation fail? */
static int is_refused(void *caller)
{
    if (!is_on)
        return 0;
    uintptr_t from = (uintptr_t)caller;
    if (is_by_way || stacks_fd >= 0) {
        bool is_glib = lies_in(glib, glib_count, from);
        if (!is_glib && !lies_in(plain, plain_count, from))
            return 0;
        atomic_fetch_add(is_glib ? &glib_allocations : &allocations, 1);
        static _Thread_local bool is_inside; /* should the unwinder allocate */
        if (is_inside)
            return 0;
        is_inside = true;
        uint64_t here = way_here();
        is_inside = false;
        if (stacks_fd >= 0 && is_new_way(here)) {
            char line[64];
            int length = snprintf(line, sizeof line, "%s %016lx\n",
                                  is_glib ? "glib" : "plain", (unsigned long)here);
            if (syscall(SYS_write, stacks_fd, line, (size_t)length) < 0)
                stacks_fd = -1;
        }
        return is_by_way && what == NOMEM && here == way && is_new_way(here);
    }
    if (lies_in(plain, plain_count, from))
        return atomic_fetch_add(&allocations, 1) + 1 == at && what == NOMEM;
    if (lies_in(glib, glib_count, from))
        return atomic_fetch_add(&glib_allocations, 1) + 1 == at && what == NOMEM_GLIB;
    return 0;
}

#define REFUSE                                                                           \
    if (is_refused(__builtin_return_address(0))) {                                       \
        errno = ENOMEM;                                                                  \
        return NULL;                                                                     \
    }

void *malloc(size_t bytes)
{
    REFUSE
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    REFUSE
    return __libc_calloc(count, bytes);
}

void *realloc(void *memory, size_t bytes)
{
    REFUSE
    return __libc_realloc(memory, bytes);
}

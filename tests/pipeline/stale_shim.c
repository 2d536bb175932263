/*
 * stale_shim.c - looks of a program under test at files (LD_PRELOAD) answered from memory for
 * $STALE_MS milliseconds, as network file systems do.  What is asked with AT_STATX_FORCE_SYNC
 * comes from the file.  What opens or resolves a path that begins with $HANG_PATH never
 * returns, as with a share whose server is dead.
 */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { KNOWN_MAX = 64 };

static struct {
    char name[64];
    struct stat st;
    long long until_ms;
} known[KNOWN_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int fstatat(int dir, const char *restrict name, struct stat *restrict st, int flags)
{
    const char *ms = getenv("STALE_MS");
    if (ms == NULL || strchr(name, '/') != NULL || strlen(name) >= sizeof known[0].name)
        return (int)syscall(SYS_newfstatat, dir, name, st, flags);
    int slot = 0, code = 0;
    pthread_mutex_lock(&lock);
    while (slot < KNOWN_MAX - 1 && known[slot].name[0] != '\0' &&
           strcmp(known[slot].name, name) != 0)
        slot++;
    if (strcmp(known[slot].name, name) != 0 || now_ms() >= known[slot].until_ms) {
        code = (int)syscall(SYS_newfstatat, dir, name, &known[slot].st, flags);
        memcpy(known[slot].name, name, strlen(name) + 1); /* its length was looked at */
        known[slot].until_ms = code == 0 ? now_ms() + strtol(ms, NULL, 10) : 0;
    }
    if (code == 0)
        *st = known[slot].st;
    pthread_mutex_unlock(&lock);
    return code;
}

int fstatat64(int dir, const char *restrict name, struct stat64 *restrict st, int flags)
{
    _Static_assert(sizeof(struct stat) == sizeof(struct stat64), "one layout");
    return fstatat(dir, name, (struct stat *)st, flags);
}

static void hang_at(const char *path)
{
    const char *from = getenv("HANG_PATH");
    while (from != NULL && strncmp(path, from, strlen(from)) == 0)
        pause();
}

char *realpath(const char *restrict path, char *restrict resolved)
{
    hang_at(path);
    char *(*next)(const char *, char *) =
        (char *(*)(const char *, char *))dlsym(RTLD_NEXT, "realpath");
    return next(path, resolved);
}

/* The loader knows it by both names. */
int open_or_hang(const char *path, int flags, ...) __asm__("open");
int open64_or_hang(const char *path, int flags, ...) __asm__("open64");

int open_or_hang(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(list, int) : 0;
    va_end(list);
    hang_at(path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64_or_hang(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    int mode = (flags & O_CREAT) != 0 ? va_arg(list, int) : 0;
    va_end(list);
    hang_at(path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

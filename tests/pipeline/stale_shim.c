/*
 * stale_shim.c - looks of a program under test at files (LD_PRELOAD) answered from memory for
 * $STALE_MS milliseconds, as network file systems do.  What is asked with AT_STATX_FORCE_SYNC
 * comes from the file.
 */
#undef _FILE_OFFSET_BITS
#include <fcntl.h>
#include <pthread.h>
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

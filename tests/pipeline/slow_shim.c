/*
 * slow_shim.c - a move that takes its time (LD_PRELOAD): renames to a path that holds the text
 * $SLOW_RENAME_TO wait for $SLOW_RENAME_MS before they are done.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    const char *slow = getenv("SLOW_RENAME_TO"), *ms = getenv("SLOW_RENAME_MS");
    if (slow != NULL && ms != NULL && strstr(to, slow) != NULL) {
        long wait = strtol(ms, NULL, 10);
        struct timespec t = { wait / 1000, wait % 1000 * 1000000 };
        nanosleep(&t, NULL);
    }
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

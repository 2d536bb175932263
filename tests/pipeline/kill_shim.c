/*
 * kill_shim.c - LD_PRELOAD: dies by SIGKILL just before the n-th call that changes
 * something outside the process (DOCVL_KILL_AT=n), so that a test can step through all of
 * them.  With DOCVL_KILL_TORN set, an n-th call that writes to a file writes half of it first.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long calls;

/* Is this the call to die at? */
static int is_now(void)
{
    const char *at = getenv("DOCVL_KILL_AT");
    return at != NULL && atomic_fetch_add(&calls, 1) + 1 == strtol(at, NULL, 10);
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

static void step(void)
{
    if (is_now())
        die();
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Stdout and stderr are not what is tested, and dying there tells nothing. */
ssize_t write(int fd, const void *bytes, size_t count)
{
    if (fd > 2 && is_now()) {
        if (getenv("DOCVL_KILL_TORN") != NULL)
            (void)!NEXT(write)(fd, bytes, count / 2);
        die();
    }
    return NEXT(write)(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    if (is_now()) {
        if (getenv("DOCVL_KILL_TORN") != NULL)
            (void)!NEXT(pwrite64)(fd, bytes, count / 2, offset);
        die();
    }
    return NEXT(pwrite64)(fd, bytes, count, offset);
}

int fsync(int fd)
{
    step();
    return NEXT(fsync)(fd);
}

int fdatasync(int fd)
{
    step();
    return NEXT(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t size)
{
    step();
    return NEXT(ftruncate64)(fd, size);
}

int ftruncate(int fd, off_t size)
{
    step();
    return NEXT(ftruncate)(fd, size);
}

int rename(const char *from, const char *to)
{
    step();
    return NEXT(rename)(from, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    step();
    return NEXT(renameat2)(from_dir, from, to_dir, to, flags);
}

int link(const char *from, const char *to)
{
    step();
    return NEXT(link)(from, to);
}

int symlink(const char *target, const char *path)
{
    step();
    return NEXT(symlink)(target, path);
}

int unlink(const char *path)
{
    step();
    return NEXT(unlink)(path);
}

int mkdir(const char *path, mode_t mode)
{
    step();
    return NEXT(mkdir)(path, mode);
}

int flock(int fd, int how)
{
    step();
    return NEXT(flock)(fd, how);
}

ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
    step();
    return NEXT(send)(fd, bytes, count, flags);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                 const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
    step();
    return NEXT(posix_spawnp)(pid, file, actions, attr, argv, env);
}

#define OPEN(name)                                                                       \
    int name(const char *path, int flags, ...);                                          \
    int name(const char *path, int flags, ...)                                           \
    {                                                                                    \
        va_list list;                                                                    \
        va_start(list, flags);                                                           \
        mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;                        \
        va_end(list);                                                                    \
        if (flags & O_CREAT)                                                             \
            step();                                                                      \
        return NEXT(name)(path, flags, mode);                                            \
    }
OPEN(open)
OPEN(open64)

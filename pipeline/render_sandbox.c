/*
 * render_sandbox.c - docvl-render gives up everything that decoding does not need.
 *
 * Three layers, each enough against a different mistake: resource limits, Landlock
 * (files of fonts and character maps may be read, nothing else), seccomp (an
 * allow-list of calls; anything else ends the process).
 */
#include "render_format.h"

#include <errno.h>
#include <fcntl.h>
#include <fontconfig/fontconfig.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||               \
    __has_feature(memory_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif
#ifndef HAS_SANITIZER
#define HAS_SANITIZER 0
#endif

#define FILES_MAX  128u /* descriptors: socket, document, reply, fonts */
#define CPU_FACTOR 60u  /* CPU seconds of a document, in request time limits */
#define FILE_SLACK (1u << 20)

static gboolean fail_errno(GError **error, const char *what)
{
    g_set_error(error, DP_RENDER_ERROR, DP_RENDER_TEMPORARY, "sandbox: %s: %s", what,
                g_strerror(errno));
    return FALSE;
}

static gboolean lower(int resource, uint64_t value)
{
    struct rlimit now;
    if (getrlimit((__rlimit_resource_t)resource, &now) != 0)
        return FALSE;
    rlim_t limit = MIN((rlim_t)value, now.rlim_max);
    return setrlimit((__rlimit_resource_t)resource, &(struct rlimit){ limit, limit }) ==
           0;
}

static gboolean limit_resources(const dp_render_limits *limits, GError **error)
{
    /* The reply's memfd counts as a file. */
    uint64_t file_bytes = MAX(limits->pixels_max * 3, limits->attachment_max);
    file_bytes = MAX(file_bytes, 64u << 20) + FILE_SLACK;
    if (!lower(RLIMIT_CORE, 0) || !lower(RLIMIT_FSIZE, file_bytes) ||
        !lower(RLIMIT_NOFILE, FILES_MAX) ||
        !lower(RLIMIT_CPU, (uint64_t)limits->seconds_max * CPU_FACTOR))
        return fail_errno(error, "setting resource limits");
    /* AddressSanitizer reserves terabytes of address space. */
    if (!HAS_SANITIZER && !lower(RLIMIT_AS, limits->memory_max))
        return fail_errno(error, "setting the memory limit");
    return TRUE;
}

/* A missing folder is none to read from. */
static void allow_folder(int ruleset, const char *path)
{
    int fd = open(path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        return;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        .parent_fd = fd,
    };
    if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) !=
        0) {
        /* A single file takes no folder right. */
        rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
        (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule,
                      0);
    }
    (void)close(fd);
}

static void allow_list(int ruleset, FcStrList *list)
{
    FcChar8 *path;
    while (list != NULL && (path = FcStrListNext(list)) != NULL)
        allow_folder(ruleset, (const char *)path);
    if (list != NULL)
        FcStrListDone(list);
}

static int landlock_version(void)
{
    return (int)syscall(SYS_landlock_create_ruleset, NULL, 0,
                        LANDLOCK_CREATE_RULESET_VERSION);
}

static gboolean restrict_files(GError **error)
{
    int abi = landlock_version();
    if (abi < 1)
        return TRUE; /* a kernel without Landlock: seccomp still refuses writes */
    struct landlock_ruleset_attr attr = {
        .handled_access_fs = (1u << 13) - 1, /* all rights of the first version */
    };
    if (abi >= 2)
        attr.handled_access_fs |= 1u << 13; /* refer */
    if (abi >= 3)
        attr.handled_access_fs |= 1u << 14; /* truncate */
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (ruleset < 0)
        return fail_errno(error, "creating a Landlock ruleset");
    allow_list(ruleset, FcConfigGetFontDirs(NULL));
    allow_list(ruleset, FcConfigGetCacheDirs(NULL));
    allow_list(ruleset, FcConfigGetConfigFiles(NULL));
    static const char *const folders[] = { "/usr/share/fonts", "/usr/share/poppler",
                                           "/etc/fonts", "/usr/share/fontconfig" };
    for (gsize i = 0; i < G_N_ELEMENTS(folders); i++)
        allow_folder(ruleset, folders[i]);
    gboolean is_good = syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    if (!is_good)
        (void)fail_errno(error, "entering Landlock");
    (void)close(ruleset);
    return is_good;
}

/* Calls without an argument worth a look. */
static const int allowed[] = {
    SCMP_SYS(read),           SCMP_SYS(pread64),      SCMP_SYS(write),
    SCMP_SYS(lseek),          SCMP_SYS(close),        SCMP_SYS(fstat),
    SCMP_SYS(stat),           SCMP_SYS(lstat),        SCMP_SYS(newfstatat),
    SCMP_SYS(statx),          SCMP_SYS(fstatfs),      SCMP_SYS(statfs),
    SCMP_SYS(access),         SCMP_SYS(faccessat),    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),       SCMP_SYS(readlinkat),   SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),     SCMP_SYS(fadvise64),    SCMP_SYS(fcntl),
    SCMP_SYS(ftruncate),      SCMP_SYS(memfd_create), SCMP_SYS(munmap),
    SCMP_SYS(mremap),         SCMP_SYS(brk),          SCMP_SYS(madvise),
    SCMP_SYS(futex),          SCMP_SYS(getrandom),    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),   SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(times),          SCMP_SYS(getrusage),    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),      SCMP_SYS(sched_yield),  SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sysinfo),        SCMP_SYS(uname),        SCMP_SYS(getpid),
    SCMP_SYS(gettid),         SCMP_SYS(getuid),       SCMP_SYS(geteuid),
    SCMP_SYS(getgid),         SCMP_SYS(getegid),      SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(alarm),
    SCMP_SYS(setitimer),      SCMP_SYS(sendmsg),      SCMP_SYS(recvmsg),
    SCMP_SYS(poll),           SCMP_SYS(ppoll),        SCMP_SYS(restart_syscall),
    SCMP_SYS(rseq),           SCMP_SYS(exit),         SCMP_SYS(exit_group),
};

/* Writing and executing are refused with an error instead of death: fontconfig tries
 * to renew its caches and glibc to load converters, and both go on without. */
static int add_conditions(scmp_filter_ctx filter)
{
    static const unsigned open_bits[] = { O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND };
    scmp_datum_t writing = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND;
    int rc = 0;
    rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, writing, 0));
    for (gsize i = 0; i < G_N_ELEMENTS(open_bits); i++)
        rc |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, open_bits[i], open_bits[i]));
    static const int mappings[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
    for (gsize i = 0; i < G_N_ELEMENTS(mappings); i++) {
        rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, mappings[i], 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
        rc |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), mappings[i], 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, PROT_EXEC));
    }
    static const int writers[] = {
        SCMP_SYS(mkdir),  SCMP_SYS(mkdirat), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
        SCMP_SYS(rename), SCMP_SYS(link),    SCMP_SYS(chmod),  SCMP_SYS(utimensat),
    };
    for (gsize i = 0; i < G_N_ELEMENTS(writers); i++)
        rc |= seccomp_rule_add(filter, SCMP_ACT_ERRNO(EACCES), writers[i], 0);
    /* Reading a limit, not setting one; naming memory; ending ourselves. */
    rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
                           SCMP_A2(SCMP_CMP_EQ, 0, 0));
    rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                           SCMP_A0(SCMP_CMP_EQ, PR_SET_VMA, 0));
    rc |= seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                           SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    return rc;
}

static gboolean filter_calls(GError **error)
{
    if (HAS_SANITIZER)
        return TRUE; /* its runtime needs calls that decoding does not */
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int rc = filter == NULL ? -ENOMEM : 0;
    for (gsize i = 0; rc == 0 && i < G_N_ELEMENTS(allowed); i++)
        rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0);
    if (rc == 0)
        rc = add_conditions(filter);
    if (rc == 0)
        rc = seccomp_load(filter);
    if (filter != NULL)
        seccomp_release(filter);
    if (rc == 0)
        return TRUE;
    errno = -rc;
    return fail_errno(error, "installing the system call filter");
}

gboolean dp_render_sandbox(const dp_render_limits *limits, GError **error)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail_errno(error, "giving up new privileges");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return fail_errno(error, "refusing core dumps");
    return limit_resources(limits, error) && restrict_files(error) && filter_calls(error);
}

char *dp_render_sandbox_facts(void)
{
    int abi = landlock_version();
    g_autofree char *files = abi < 1 ? g_strdup("no Landlock in this kernel")
                                     : g_strdup_printf("Landlock %d", abi);
    return g_strdup_printf(
        "%s, %s, resource limits",
        HAS_SANITIZER ? "no seccomp in a build with sanitizers" : "seccomp", files);
}

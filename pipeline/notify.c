/*
 * notify.c - sd_notify(3), written by us: the protocol is one datagram.
 */
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static gboolean address_of(const char *name, struct sockaddr_un *address,
                           socklen_t *length)
{
    gsize bytes = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || bytes < 2 ||
        bytes >= sizeof address->sun_path)
        return FALSE;
    *address = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(address->sun_path, name, bytes);
    if (name[0] == '@') /* the abstract name space */
        address->sun_path[0] = '\0';
    *length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    return TRUE;
}

gboolean dp_notify(const char *format, ...)
{
    const char *name = g_getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t length;
    if (name == NULL || !address_of(name, &address, &length))
        return FALSE;
    va_list list;
    va_start(list, format);
    g_autofree char *text = g_strdup_vprintf(format, list);
    va_end(list);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return FALSE;
    ssize_t sent;
    do {
        sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address,
                      length);
    } while (sent < 0 && errno == EINTR);
    close(fd);
    return sent == (ssize_t)strlen(text);
}

gint64 dp_notify_watchdog_us(void)
{
    const char *period = g_getenv("WATCHDOG_USEC"), *pid = g_getenv("WATCHDOG_PID");
    if (period == NULL || g_getenv("NOTIFY_SOCKET") == NULL)
        return 0;
    if (pid != NULL && g_ascii_strtoll(pid, NULL, 10) != (gint64)getpid())
        return 0;
    gint64 us = g_ascii_strtoll(period, NULL, 10);
    return us > 0 ? us : 0;
}

gboolean dp_stderr_is_journal(void)
{
    const char *stream = g_getenv("JOURNAL_STREAM");
    struct stat st;
    if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
        return FALSE;
    g_autofree char *own =
        g_strdup_printf("%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(own, stream) == 0;
}

/*
 * notify.h - the service manager: readiness, status, watchdog; and the system journal.
 *
 * sd_notify(3)'s protocol: datagrams of VARIABLE=value lines to $NOTIFY_SOCKET.  Without
 * the variable every call does nothing.  Any thread.
 */
#ifndef DP_NOTIFY_H
#define DP_NOTIFY_H

#include <glib.h>

/* "READY=1\nSTATUS=…".  FALSE when there is nobody or the datagram could not be sent. */
gboolean dp_notify(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* The watchdog's period in microseconds; 0 when this process has none. */
gint64 dp_notify_watchdog_us(void);

/* Does standard error go to the system journal (which reads "<3>" in front of a line)? */
gboolean dp_stderr_is_journal(void);

#endif

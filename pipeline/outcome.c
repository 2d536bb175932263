/*
 * outcome.c - what an error stands for: its exit code, its stable name, whether the same
 * thing may work in a moment.
 */
#include "job.h"
#include "template.h"

#include <errno.h>

/* G_DEFINE_QUARK would keep it in a variable that threads write without a lock. */
GQuark dp_io_error_quark(void)
{
    return g_quark_from_static_string("dp_io_error");
}

gboolean dp_fail_errno(GError **error, const char *what, const char *path)
{
    int saved = errno;
    g_set_error(error, DP_IO_ERROR, saved, "%s %s: %s", what, path, g_strerror(saved));
    return FALSE;
}

gboolean dp_errno_is_temporary(int code)
{
    switch (code) {
    case EBUSY:
    case ENOSPC:
    case EDQUOT:
    case ETXTBSY:
    case ESTALE:
    case EROFS:    /* remounted after an error of the disk */
    case ENOTCONN: /* the server of a mounted file system is away */
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case EINTR:
        return TRUE;
    default:
        return FALSE;
    }
}

gboolean dp_error_is_temporary(const GError *error)
{
    if (error->domain == DP_IO_ERROR)
        return dp_errno_is_temporary(error->code);
    if (error->domain == G_IO_ERROR)
        return error->code == G_IO_ERROR_TOO_MANY_OPEN_FILES ||
               error->code == G_IO_ERROR_NO_SPACE || error->code == G_IO_ERROR_BUSY ||
               error->code == G_IO_ERROR_WOULD_BLOCK;
    if (error->domain == DP_RENDER_ERROR)
        return error->code == DP_RENDER_TEMPORARY;
    if (error->domain == DP_QUEUE_ERROR)
        return error->code == DP_QUEUE_BUSY || error->code == DP_QUEUE_FULL ||
               error->code == DP_QUEUE_IO;
    return g_error_matches(error, DP_ROUTE_ERROR, DP_ROUTE_TEMPORARY);
}

dp_exit dp_exit_of(const GError *error)
{
    if (dp_error_is_temporary(error))
        return DP_EXIT_TEMPORARY;
    if (error->domain == DP_RENDER_ERROR)
        return error->code == DP_RENDER_ENCRYPTED ? DP_EXIT_ENCRYPTED
               : error->code == DP_RENDER_INTERNAL || error->code == DP_RENDER_NOSTART
                   ? DP_EXIT_USAGE
                   : DP_EXIT_UNREADABLE;
    if (error->domain == DX_ERROR)
        return error->code == DX_SCHEMA || error->code == DX_NOTFOUND ? DP_EXIT_CONFIG
               : error->code == DX_MODEL                              ? DP_EXIT_MODEL
                                         : DP_EXIT_SOME_FAILED;
    return DP_EXIT_USAGE;
}

static const char *name_at(const char *const *names, gsize count, int code)
{
    return code > 0 && code < (int)count ? names[code] : names[0];
}

const char *dp_error_name(const GError *error)
{
    static const char *const render[] = {
        "unknown", "unreadable", "encrypted", "limit",
        "crashed", "temporary",  "internal",  "decoder"
    };
    static const char *const dx[] = { "unknown", "schema",    "model",           "source",
                                      "limit",   "cancelled", "schema_not_found" };
    static const char *const queue[] = { "unknown", "journal_busy",    "disk_full",
                                         "journal", "journal_damaged", "journal_version",
                                         "lost",    "not_found",       "state",
                                         "limit" };
    static const char *const job[] = { "unknown", "changed", "no_recipe" };
    if (error->domain == DP_RENDER_ERROR)
        return name_at(render, G_N_ELEMENTS(render), error->code);
    if (error->domain == DX_ERROR)
        return name_at(dx, G_N_ELEMENTS(dx), error->code);
    if (error->domain == DP_QUEUE_ERROR)
        return name_at(queue, G_N_ELEMENTS(queue), error->code);
    if (error->domain == DP_ROUTE_ERROR)
        return "routing";
    if (error->domain == DP_JOB_ERROR)
        return name_at(job, G_N_ELEMENTS(job), error->code);
    if (error->domain == DP_IO_ERROR)
        return error->code == ENOSPC || error->code == EDQUOT  ? "disk_full"
               : error->code == ENOENT                         ? "missing"
               : error->code == EACCES || error->code == EPERM ? "denied"
                                                               : "io";
    return "internal";
}

void dp_tally_fail(dp_tally *tally, dp_exit code)
{
    gboolean is_same = tally->failed == 0 || tally->only == code;
    tally->failed++;
    tally->only = is_same ? code : DP_EXIT_SOME_FAILED;
}

dp_exit dp_tally_exit(const dp_tally *tally, const dp_app *app)
{
    if (tally->failed > 0)
        return tally->ok + tally->review == 0 && tally->failed == 1 ? tally->only
               : tally->ok + tally->review == 0 && tally->only == DP_EXIT_UNREADABLE
                   ? DP_EXIT_UNREADABLE
                   : DP_EXIT_SOME_FAILED;
    return tally->review > 0 ? DP_EXIT_REVIEW : DP_EXIT_OK;
}

/*
 * fuzz_render_reply.c - any bytes as the reply of a docvl-render that was taken over.
 *
 * The client is included, not linked, to give a document a socket of ours instead of a
 * process.  Byte 0 chooses the request, bytes 1 to 8 damage the header of the reply so
 * that most inputs get behind it; the rest is its values and the content of its memfd.
 */
#define DP_LIBEXECDIR "/nonexistent"
#include "../../pipeline/render_client.c"

#include "fuzz.h"

#define HEAD   9u
#define VALUES (8u * DP_PROTO_VALUES)
#define NOBODY INT32_MAX /* no process has this number: stopping it does nothing */

static int memory_of(const uint8_t *data, size_t bytes, gboolean is_sealed)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || !write_all(fd, data, bytes))
        g_error("no memory file");
    if (is_sealed && fcntl(fd, F_ADD_SEALS, SEALS) != 0)
        g_error("no seals");
    return fd;
}

static void put_reply(int socket, dp_op op, const uint8_t *data, size_t bytes)
{
    uint8_t reply[DP_REP_BYTES] = { 0 };
    const uint8_t *values = data + HEAD, *content = values + VALUES;
    size_t left = bytes - HEAD - VALUES;
    dp_put32(reply + DP_REP_MAGIC, DP_PROTO_REPLY_MAGIC ^ data[1]);
    dp_put32(reply + DP_REP_OP, (uint32_t)op ^ data[2]);
    dp_put32(reply + DP_REP_CODE, data[3]);
    dp_put32(reply + DP_REP_FLAGS, data[4]);
    dp_put64(reply + DP_REP_DATA, left + (uint64_t)(int8_t)data[5]);
    memcpy(reply + DP_REP_VALUES, values, VALUES);
    memcpy(reply + DP_REP_MESSAGE, content, MIN(left, DP_PROTO_MESSAGE_BYTES));
    int fd = left > 0 && data[7] == 0 ? memory_of(content, left, data[6] == 0) : -1;
    dp_document sender = { .name = (char *)"fuzz", .socket = socket };
    size_t n = data[8] == 0 ? sizeof reply : data[8];
    if (!send_request(&sender, reply, n, fd, NULL))
        g_error("the reply cannot be sent");
    if (fd >= 0)
        (void)close(fd);
}

static gboolean ask_for(dp_document *d, dp_op op, const uint8_t *data, GError **error)
{
    dp_page_info info;
    g_autoptr(GArray) records = NULL;
    g_autofree char *name = NULL;
    g_autoptr(GBytes) content = NULL;
    g_autoptr(dp_pixels) pixels = NULL;
    switch (op) {
    case DP_OP_PAGE_INFO:
        return dp_document_page_info(d, 0, &info, error);
    case DP_OP_RENDER:
        pixels = dp_document_render(d, 0, data[HEAD], data[HEAD + 8], 1, error);
        if (pixels != NULL) { /* the last pixel is inside the map */
            volatile uint8_t last =
                pixels->data[(pixels->height - 1) * pixels->row_bytes +
                             pixels->width * pixels->channels - 1];
            (void)last;
        }
        return pixels != NULL;
    case DP_OP_TEXT:
        records = dp_document_text(d, 0, error);
        for (guint i = 0; records != NULL && i < records->len; i++) {
            const dp_render_word *word = &g_array_index(records, dp_render_word, i);
            if (!g_utf8_validate(word->text, -1, NULL))
                g_error("a word that is not UTF-8");
        }
        return records != NULL;
    case DP_OP_ATTACHMENT:
        content = dp_document_attachment(d, 0, &name, error);
        if (content != NULL && !g_utf8_validate(name, -1, NULL))
            g_error("a name that is not UTF-8");
        return content != NULL;
    default:
        records = dp_document_fields(d, error);
        return records != NULL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    if (bytes < HEAD + VALUES)
        return 0;
    dp_op op = (dp_op)(DP_OP_PAGE_INFO + data[0] % 5);
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return -1;
    dp_document *d = g_new0(dp_document, 1);
    set_defaults(&d->limits);
    d->limits.pixels_max = 1u << 20;
    d->name = g_strdup("fuzz");
    d->socket = pair[0];
    d->pid = NOBODY;
    d->info.page_count = 3;
    d->info.attachment_count = d->info.field_count = 1;
    d->info.kind = (data[0] & 0x80) != 0 ? DP_FILE_TIFF : DP_FILE_PDF;
    put_reply(pair[1], op, data, bytes);
    g_autoptr(GError) error = NULL;
    gboolean is_good = ask_for(d, op, data, &error);
    if (is_good == (error != NULL) ||
        (error != NULL && strpbrk(error->message, "\n\r\x1b")))
        g_error("neither an answer nor a plain error, or both");
    (void)close(pair[1]);
    dp_document_free(d);
    return 0;
}

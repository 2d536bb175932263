/*
 * render.h - documents as pages, through the sandboxed docvl-render process.
 *
 * One dp_document is one docvl-render process: it identifies the file by content,
 * decodes pages on request and dies with the document.  Everything that comes back
 * is checked here as if an attacker had written it.  A document is used by one
 * thread at a time.
 *
 * Errors are in DP_RENDER_ERROR; their texts name the document, the page and the
 * limit, and never hold document contents.
 */
#ifndef DP_RENDER_H
#define DP_RENDER_H

#include <gio/gio.h>
#include <stdint.h>

#define DP_RENDER_ERROR (dp_render_error_quark())
GQuark dp_render_error_quark(void);

typedef enum dp_render_code {
    DP_RENDER_UNREADABLE = 1, /* damaged, truncated, or no format that we read */
    DP_RENDER_ENCRYPTED,      /* needs a password; none of those given opens it */
    DP_RENDER_LIMIT,          /* pages, pixels, bytes or seconds over the limit */
    DP_RENDER_CRASHED,        /* the worker died */
    DP_RENDER_TEMPORARY,      /* no process, memory or descriptor: try again later */
    DP_RENDER_INTERNAL,       /* a broken reply; cannot happen with our own worker */
    DP_RENDER_NOSTART,        /* the worker is missing, or a library of its */
} dp_render_code;

typedef enum dp_file_kind {
    DP_FILE_PDF,
    DP_FILE_TIFF,
    DP_FILE_PNG,
    DP_FILE_JPEG
} dp_file_kind;

/* Defaults of the limits below. */
#define DP_PAGES_MAX      500u
#define DP_BYTES_MAX      (256u << 20)
#define DP_PIXELS_MAX     200000000u
#define DP_SIDE_MAX       65500u
#define DP_SECONDS_MAX    60u
#define DP_MEMORY_MAX     (2ull << 30)
#define DP_WORDS_MAX      100000u
#define DP_ATTACHMENT_MAX (16u << 20)

/* Zero means the default.  Above a limit is an error, not a cut. */
typedef struct dp_render_limits {
    uint32_t pages_max;
    uint64_t bytes_max;      /* of the file */
    uint64_t pixels_max;     /* decoded pixels of one page */
    uint32_t side_max;       /* pixels of one side */
    uint32_t seconds_max;    /* wall clock per request */
    uint64_t memory_max;     /* address space of the worker, bytes */
    uint32_t words_max;      /* of one page's text layer */
    uint64_t attachment_max; /* bytes of one attachment */
} dp_render_limits;

typedef struct dp_render_opts {
    dp_render_limits limits;
    const char *const
        *passwords;            /* NULL-terminated, tried in order after the empty one */
    const char *worker;        /* path of docvl-render; NULL: the installed one */
    GCancellable *cancellable; /* ends every wait with G_IO_ERROR_CANCELLED; NULL: none */
} dp_render_opts;

/* The program that would be started: `worker` if not NULL, $DOCVL_RENDER, beside our own
 * program or in the libexec folder of its prefix, the installed one.  Caller frees. */
char *dp_render_path(const char *worker);

typedef struct dp_document dp_document;

/* Open the document behind `fd` (a regular file, a pipe or a memfd; not closed, read
 * from its start where it can seek).  `name` is used in messages only. */
dp_document *dp_document_open(int fd, const char *name, const dp_render_opts *opts,
                              GError **error);
void dp_document_free(dp_document *document);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_document, dp_document_free)

typedef struct dp_document_info {
    dp_file_kind kind;
    const char *mime;
    uint32_t page_count;
    uint32_t attachment_count;
    uint32_t field_count;  /* AcroForm fields */
    gboolean is_encrypted; /* a password or the empty one opened it */
    uint64_t bytes;
    char sha256[65]; /* of the file's bytes, lower-case hex */
} dp_document_info;
const dp_document_info *dp_document_get_info(const dp_document *document);

typedef struct dp_page_info {
    double width_pt,
        height_pt; /* crop box, after rotation; images: from their resolution,
                                   72 per inch where it is missing or absurd */
    uint32_t width_px, height_px; /* images: native size after orientation; PDF: 0 */
    double scan_dpi;         /* PDF page that is one picture: its resolution; else 0 */
    gboolean has_text;       /* PDF: a text layer with at least one visible word */
    gboolean is_text_hidden; /* its words are drawn invisibly (an OCR layer) */
} dp_page_info;
gboolean dp_document_page_info(dp_document *document, uint32_t page_index,
                               dp_page_info *info, GError **error);

/* An 8-bit picture of one page; memory is a sealed, mapped memfd. */
typedef struct dp_pixels {
    const uint8_t *data;
    uint32_t width, height, channels; /* 1 grey or 3 RGB */
    size_t row_bytes;
    gsize map_bytes;
    gboolean
        is_damaged; /* a picture of which a part could not be decoded (white or grey) */
} dp_pixels;

/* Render a page.  PDF: exactly width x height pixels (the caller keeps the aspect);
 * images: 0 x 0 gives the native size, otherwise scaled down by an area filter in the
 * worker.  `channels` 1 or 3.  Release with dp_pixels_free(). */
dp_pixels *dp_document_render(dp_document *document, uint32_t page_index, uint32_t width,
                              uint32_t height, uint32_t channels, GError **error);
void dp_pixels_free(dp_pixels *pixels);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(dp_pixels, dp_pixels_free)

/* A word of the text layer.  Box in fractions of the page, origin top left, after
 * rotation; text is valid UTF-8 without control characters. */
typedef struct dp_render_word {
    char *text;
    double x0, y0, x1, y1;
    double font_size; /* as a fraction of the page height; 0 when unknown */
} dp_render_word;

/* Words in the order of the file.  GArray of dp_render_word (frees its texts). */
GArray *dp_document_text(dp_document *document, uint32_t page_index, GError **error);

/* An embedded file of a PDF (Factur-X, ZUGFeRD …).  *name is valid UTF-8 without path. */
GBytes *dp_document_attachment(dp_document *document, uint32_t index, char **name,
                               GError **error);

/* A form field of a PDF: an entry, filled or empty, a check box or a radio button. */
typedef struct dp_render_field {
    char *name, *value; /* check boxes and radio buttons: "checked" or "unchecked" */
    char *hint;         /* what it shows under the pointer; often empty */
    gboolean is_choice; /* check box or radio button */
    uint32_t page_index;
    double x0, y0, x1, y1; /* fractions of the page */
} dp_render_field;
GArray *dp_document_fields(dp_document *document, GError **error);

#endif

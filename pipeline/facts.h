/*
 * facts.h - what a configuration may hold: tables of keys, and the check against them.
 *
 * A table (dp_facts) names the keys of one kind of object with their kinds, limits,
 * defaults and one line of help.  schemas/config.schema.json says the same in JSON
 * Schema; tests/test_config.py compares the two.
 */
#ifndef DP_FACTS_H
#define DP_FACTS_H

#include "dx.h"

typedef enum dp_kind {
    DP_KIND_TEXT, /* not empty */
    DP_KIND_PATH, /* as text; relative to the folder of the configuration */
    DP_KIND_BOOL, /* true, false, yes, no */
    DP_KIND_INT,
    DP_KIND_REAL,
    DP_KIND_DURATION, /* "30s", "5m", or a number of seconds; limits in seconds */
    DP_KIND_BYTES,    /* "512MiB", or a number of bytes */
    DP_KIND_WORD,     /* one of `words` */
    DP_KIND_TEXTS,    /* list of texts */
    DP_KIND_PATHS,
    DP_KIND_DURATIONS,
    DP_KIND_OBJECT,  /* described by `object` */
    DP_KIND_OBJECTS, /* list of them */
    DP_KIND_MAP,     /* name to object */
    DP_KIND_OTHER,   /* checked elsewhere */
} dp_kind;

typedef struct dp_facts dp_facts;
struct dp_facts {
    const char *key; /* NULL ends the table */
    dp_kind kind;
    double min, max; /* of numbers; of lists and maps the count; both 0: no limit */
    const char *const *words; /* of DP_KIND_WORD */
    const dp_facts *object;   /* of the kinds with objects */
    gboolean is_required;
    const char *fallback; /* the default as a reader would write it, or NULL */
    const char *help;
};

/* Called for each mistake.  `pointer` is a JSON Pointer from the root; at_key says that the
 * key is wrong, not its value. */
typedef void (*dp_report)(void *user, const char *pointer, gboolean at_key,
                          const char *text);

/* Check an object; every mistake is reported.  FALSE when there was one. */
gboolean dp_facts_check(const dp_facts *facts, const json_t *object, const char *pointer,
                        dp_report report, void *user);
/* One line a key: pointer, kind, range, default, help; separated by tabs.  Caller frees. */
char *dp_facts_list(const dp_facts *facts);

/* Values as the kinds read them; `node` may be NULL, `fallback` is returned then. */
const char *dp_fact_text(const json_t *object, const char *key, const char *fallback);
gboolean dp_fact_bool(const json_t *object, const char *key, gboolean fallback);
gint64 dp_fact_int(const json_t *object, const char *key, gint64 fallback);
double dp_fact_real(const json_t *object, const char *key, double fallback);
gint64 dp_fact_duration_us(const json_t *node, gint64 fallback);
guint64 dp_fact_bytes(const json_t *node, guint64 fallback);
gboolean dp_duration_parse(const char *text, gint64 *us);
/* 90000000 to "90s", for messages and `config show`.  Caller frees. */
char *dp_duration_format(gint64 us);

/* The word that `wrong` was most likely meant to be, or NULL when none is near. */
const char *dp_nearest(const char *wrong, const char *const *words);

#endif

/* JSON: a streaming writer over hf_buf and a small bounded reader into a tree.
 *
 * The library behind it (jansson) is not visible here. The tree, struct codec_value, is shared
 * with codec/yaml.h. Threads: any; pure but for buffer and arena.
 */
#ifndef HF_CODEC_JSON_H
#define HF_CODEC_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

#define CODEC_MAX_DEPTH 32
#define CODEC_MAX_TEXT_BYTES ((size_t)16 << 20)

/* ---- Writer -------------------------------------------------------------------------------
 *
 *   struct codec_json json = codec_json_open(&buf, 2);
 *   codec_json_begin_object(&json);
 *   codec_json_key(&json, "name");
 *   codec_json_text(&json, "orders");
 *   codec_json_end(&json);
 *   HF_TRY(codec_json_close(&json, arena, "the answer"));
 *
 * Misuse (a value without its key, too many ends, depth beyond 32) is a bug and aborts. Text that
 * is no UTF-8 is written with U+FFFD in place of each bad byte. */
struct codec_json {
    struct hf_buf *buf;
    int indent; /* spaces per level; 0: one line */
    size_t depth;
    uint32_t objects; /* bit per level: it is an object */
    uint32_t filled;  /* bit per level: it has an item */
    bool has_key;     /* a key waits for its value */
    bool is_done;     /* the top value is written */
};

/* Appends to buf; its ceiling is the limit. */
struct codec_json codec_json_open(struct hf_buf *buf, int indent);
void codec_json_begin_object(struct codec_json *json);
void codec_json_begin_array(struct codec_json *json);
void codec_json_end(struct codec_json *json); /* of the innermost object or array */
void codec_json_key(struct codec_json *json, const char *key);
void codec_json_text(struct codec_json *json, const char *text); /* NULL is written as null */
void codec_json_str(struct codec_json *json, struct hf_str text);
void codec_json_int(struct codec_json *json, int64_t value);
void codec_json_uint(struct codec_json *json, uint64_t value);
/* Shortest form that reads back as the same double; null when not finite. */
void codec_json_double(struct codec_json *json, double value);
void codec_json_bool(struct codec_json *json, bool value);
void codec_json_null(struct codec_json *json);
/* Ready JSON text as one value, not checked. */
void codec_json_raw(struct codec_json *json, struct hf_str text);

/* key and value in one. */
void codec_json_put_text(struct codec_json *json, const char *key, const char *text);
void codec_json_put_int(struct codec_json *json, const char *key, int64_t value);
void codec_json_put_bool(struct codec_json *json, const char *key, bool value);

/* Everything was ended (else a bug) and fitted (else RESOURCE_EXHAUSTED). */
struct hf_status codec_json_close(const struct codec_json *json, struct hf_arena *arena,
                                  const char *what) HF_MUST_USE;

/* ---- Tree --------------------------------------------------------------------------------- */

enum codec_kind {
    CODEC_NULL,
    CODEC_BOOL,
    CODEC_INT,    /* fits int64_t */
    CODEC_DOUBLE, /* other numbers */
    CODEC_TEXT,
    CODEC_ARRAY,
    CODEC_OBJECT,
};

struct codec_value {
    enum codec_kind kind;
    bool boolean;
    int64_t number;
    double real;
    const char *text; /* TEXT: NUL-terminated UTF-8 without NUL inside; from YAML every scalar
                         has its text as written; else NULL */
    const struct codec_value *items;    /* ARRAY */
    const struct codec_member *members; /* OBJECT, in the order of the text, keys unique */
    size_t len;                         /* of items or members */
    int line;                           /* YAML: line of the text, from 1; JSON: 0 */
};

struct codec_member {
    const char *key;
    struct codec_value value;
};

/* Parse one JSON text (RFC 8259) of at most CODEC_MAX_TEXT_BYTES; the tree lives in arena, whose
 * limit bounds it.
 * Errors   INVALID_ARGUMENT "what: line 3: …": syntax, depth beyond 32, a key twice, a NUL, an
 *          integer beyond int64_t; RESOURCE_EXHAUSTED too large for the arena */
struct hf_status codec_json_parse(struct hf_arena *arena, struct hf_str text, const char *what,
                                  const struct codec_value **ret_value) HF_MUST_USE;

/* Member of an object; NULL when value is NULL, no object, or has no such key. */
const struct codec_value *codec_value_get(const struct codec_value *value, const char *key);
/* Text of a member; NULL when absent or of another kind. */
const char *codec_value_text(const struct codec_value *value, const char *key);
/* Integer of a member; fallback when absent or of another kind. */
int64_t codec_value_int(const struct codec_value *value, const char *key, int64_t fallback);
bool codec_value_bool(const struct codec_value *value, const char *key, bool fallback);

/* Write a tree. */
void codec_json_value(struct codec_json *json, const struct codec_value *value);

/* "null", "text", "array" …, for messages. */
const char *codec_kind_name(enum codec_kind kind);

#endif

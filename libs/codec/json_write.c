/* The streaming JSON writer. State is three words: depth and two bits per level. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "codec/json.h"

struct codec_json codec_json_open(struct hf_buf *buf, int indent)
{
    return (struct codec_json){.buf = buf, .indent = indent};
}

static uint32_t level_bit(const struct codec_json *json)
{
    return UINT32_C(1) << (json->depth - 1);
}

static bool is_in_object(const struct codec_json *json)
{
    return json->depth > 0 && (json->objects & level_bit(json)) != 0;
}

static void new_line(struct codec_json *json)
{
    if (json->indent > 0) {
        hf_buf_printf(json->buf, "\n%*s", json->indent * (int)json->depth, "");
    }
}

/* What stands before a key or an array's item. */
static void separate(struct codec_json *json)
{
    if (json->depth == 0) {
        HF_CHECK(!json->is_done);
        return;
    }
    if ((json->filled & level_bit(json)) != 0) {
        hf_buf_text_append(json->buf, ",");
    }
    json->filled |= level_bit(json);
    new_line(json);
}

static void before_value(struct codec_json *json)
{
    HF_CHECK(is_in_object(json) == json->has_key);
    if (!json->has_key) {
        separate(json);
    }
    json->has_key = false;
}

static void after_value(struct codec_json *json)
{
    json->is_done = json->depth == 0;
}

static void scalar(struct codec_json *json, const char *text)
{
    before_value(json);
    hf_buf_text_append(json->buf, text);
    after_value(json);
}

static void begin(struct codec_json *json, bool is_object)
{
    before_value(json);
    HF_CHECK(json->depth < CODEC_MAX_DEPTH);
    hf_buf_text_append(json->buf, is_object ? "{" : "[");
    json->depth++;
    json->filled &= ~level_bit(json);
    json->objects &= ~level_bit(json);
    json->objects |= is_object ? level_bit(json) : 0;
}

void codec_json_begin_object(struct codec_json *json)
{
    begin(json, true);
}

void codec_json_begin_array(struct codec_json *json)
{
    begin(json, false);
}

void codec_json_end(struct codec_json *json)
{
    HF_CHECK(json->depth > 0 && !json->has_key);
    bool is_object = is_in_object(json);
    bool is_filled = (json->filled & level_bit(json)) != 0;
    json->depth--;
    if (is_filled) {
        new_line(json);
    }
    hf_buf_text_append(json->buf, is_object ? "}" : "]");
    after_value(json);
}

static void quoted(struct codec_json *json, struct hf_str text)
{
    char step[HF_JSON_STEP];

    hf_buf_text_append(json->buf, "\"");
    while (text.len > 0 && !json->buf->is_full) {
        size_t used = hf_json_step(text.ptr, text.len, step);
        hf_buf_text_append(json->buf, step);
        text.ptr += used;
        text.len -= used;
    }
    hf_buf_text_append(json->buf, "\"");
}

void codec_json_key(struct codec_json *json, const char *key)
{
    HF_CHECK(is_in_object(json) && !json->has_key);
    separate(json);
    quoted(json, hf_str_of(key));
    hf_buf_text_append(json->buf, json->indent > 0 ? ": " : ":");
    json->has_key = true;
}

void codec_json_str(struct codec_json *json, struct hf_str text)
{
    before_value(json);
    quoted(json, text);
    after_value(json);
}

void codec_json_text(struct codec_json *json, const char *text)
{
    if (text == NULL) {
        codec_json_null(json);
    } else {
        codec_json_str(json, hf_str_of(text));
    }
}

void codec_json_int(struct codec_json *json, int64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRId64, value);
    scalar(json, text);
}

void codec_json_uint(struct codec_json *json, uint64_t value)
{
    char text[24];

    (void)snprintf(text, sizeof(text), "%" PRIu64, value);
    scalar(json, text);
}

void codec_json_double(struct codec_json *json, double value)
{
    char text[40] = "";

    if (!isfinite(value)) {
        codec_json_null(json);
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value) {
            break;
        }
    }
    /* 100.0 must not be read back as the integer 100. */
    size_t len = strlen(text);
    if (strspn(text, "-0123456789") == len) {
        memcpy(text + len, ".0", 3);
    }
    scalar(json, text);
}

void codec_json_bool(struct codec_json *json, bool value)
{
    scalar(json, value ? "true" : "false");
}

void codec_json_null(struct codec_json *json)
{
    scalar(json, "null");
}

void codec_json_raw(struct codec_json *json, struct hf_str text)
{
    before_value(json);
    hf_buf_append(json->buf, text.ptr, text.len);
    after_value(json);
}

void codec_json_put_text(struct codec_json *json, const char *key, const char *text)
{
    codec_json_key(json, key);
    codec_json_text(json, text);
}

void codec_json_put_int(struct codec_json *json, const char *key, int64_t value)
{
    codec_json_key(json, key);
    codec_json_int(json, value);
}

void codec_json_put_bool(struct codec_json *json, const char *key, bool value)
{
    codec_json_key(json, key);
    codec_json_bool(json, value);
}

struct hf_status codec_json_close(const struct codec_json *json, struct hf_arena *arena,
                                  const char *what)
{
    HF_CHECK(json->is_done && json->depth == 0);
    return hf_buf_status(json->buf, arena, what);
}

/* A value that has no parts. */
static void write_leaf(struct codec_json *json, const struct codec_value *value)
{
    switch (value->kind) {
    case CODEC_NULL:
        codec_json_null(json);
        break;
    case CODEC_BOOL:
        codec_json_bool(json, value->boolean);
        break;
    case CODEC_INT:
        codec_json_int(json, value->number);
        break;
    case CODEC_DOUBLE:
        codec_json_double(json, value->real);
        break;
    case CODEC_TEXT:
        codec_json_text(json, value->text);
        break;
    case CODEC_ARRAY:
    case CODEC_OBJECT:
        begin(json, value->kind == CODEC_OBJECT);
        break;
    }
}

struct place {
    const struct codec_value *value;
    size_t next;
};

/* The next part of the innermost open value, its key written; NULL when that value is over. */
static const struct codec_value *next_part(struct codec_json *json, struct place *place)
{
    const struct codec_value *value = place->value;

    if (place->next == value->len) {
        return NULL;
    }
    size_t index = place->next++;
    if (value->kind == CODEC_ARRAY) {
        return &value->items[index];
    }
    codec_json_key(json, value->members[index].key);
    return &value->members[index].value;
}

void codec_json_value(struct codec_json *json, const struct codec_value *value)
{
    struct place open[CODEC_MAX_DEPTH];
    size_t depth = 0;

    for (const struct codec_value *part = value; part != NULL || depth > 0;) {
        if (part == NULL) {
            codec_json_end(json);
            depth--;
        } else {
            write_leaf(json, part);
            if (part->kind == CODEC_ARRAY || part->kind == CODEC_OBJECT) {
                open[depth++] = (struct place){part, 0};
            }
        }
        part = depth == 0 ? NULL : next_part(json, &open[depth - 1]);
    }
}

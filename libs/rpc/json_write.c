/* Messages to JSON. It walks the message with a stack of its own, so that depth is bounded and
 * nothing recurses. Members keep the order of their field numbers. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "rpc/field.h"
#include "rpc/json.h"
#include "rpc/message.h"

#define MAX_JSON_BYTES (64 * 1024 * 1024)
#define MIN_SECONDS INT64_C(-62135596800) /* 0001-01-01 */
#define MAX_SECONDS INT64_C(253402300799) /* 9999-12-31 */
#define MAX_DURATION_SECONDS INT64_C(315576000000)

struct level {
    const ProtobufCMessage *message;
    unsigned field; /* next to write */
    size_t item;    /* next element of that field, when its list is open */
    bool has_members;
};

struct writer {
    struct hf_buf buf;
    struct hf_arena *arena;
    const struct rpc_json_options *options;
    struct level levels[RPC_MAX_DEPTH + 1];
    size_t depth;   /* open messages */
    size_t indents; /* open braces and brackets */
    const char *error;
};

static void put(struct writer *w, const char *text)
{
    hf_buf_text_append(&w->buf, text);
}

static void new_line(struct writer *w)
{
    if (w->options->indent > 0) {
        hf_buf_printf(&w->buf, "\n%*s", (int)w->indents * w->options->indent, "");
    }
}

static void put_text(struct writer *w, const char *text)
{
    size_t left = strlen(text);
    put(w, "\"");
    while (left > 0) {
        char step[HF_JSON_STEP];
        size_t used = hf_json_step(text, left, step);
        put(w, step);
        text += used;
        left -= used;
    }
    put(w, "\"");
}

static void put_base64(struct writer *w, const ProtobufCBinaryData *bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    put(w, "\"");
    for (size_t i = 0; i < bytes->len; i += 3) {
        size_t left = bytes->len - i;
        uint32_t group = (uint32_t)bytes->data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes->data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes->data[i + 2] : 0;
        const char text[] = {digits[group >> 18], digits[group >> 12 & 63],
                             left > 1 ? digits[group >> 6 & 63] : '=',
                             left > 2 ? digits[group & 63] : '=', '\0'};
        put(w, text);
    }
    put(w, "\"");
}

/* The shortest text that reads back as the same number. */
static void put_real(struct writer *w, double value, int least_digits, bool is_float)
{
    char text[64] = "";
    if (isnan(value) || isinf(value)) {
        put(w, isnan(value) ? "\"NaN\"" : value > 0 ? "\"Infinity\"" : "\"-Infinity\"");
        return;
    }
    for (int digits = least_digits; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        bool is_same = is_float ? fabsf(strtof(text, NULL) - (float)value) <= 0.0F
                                : fabs(strtod(text, NULL) - value) <= 0.0;
        if (is_same) {
            break;
        }
    }
    put(w, text);
}

/* Fraction of 3, 6 or 9 digits, none for 0. */
static void put_fraction(struct writer *w, int32_t nanos)
{
    if (nanos == 0) {
        return;
    }
    if (nanos % 1000000 == 0) {
        hf_buf_printf(&w->buf, ".%03" PRId32, nanos / 1000000);
    } else if (nanos % 1000 == 0) {
        hf_buf_printf(&w->buf, ".%06" PRId32, nanos / 1000);
    } else {
        hf_buf_printf(&w->buf, ".%09" PRId32, nanos);
    }
}

static void put_timestamp(struct writer *w, const Google__Protobuf__Timestamp *time)
{
    struct tm tm;
    time_t seconds = (time_t)time->seconds;
    if (time->seconds < MIN_SECONDS || time->seconds > MAX_SECONDS || time->nanos < 0 ||
        time->nanos > 999999999 || gmtime_r(&seconds, &tm) == NULL) {
        w->error = "a Timestamp is out of range";
        return;
    }
    hf_buf_printf(&w->buf, "\"%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
                  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    put_fraction(w, time->nanos);
    put(w, "Z\"");
}

static void put_duration(struct writer *w, const Google__Protobuf__Duration *duration)
{
    bool is_negative = duration->seconds < 0 || duration->nanos < 0;
    int64_t seconds = is_negative ? -duration->seconds : duration->seconds;
    int32_t nanos = is_negative ? -duration->nanos : duration->nanos;
    if (duration->seconds < -MAX_DURATION_SECONDS || duration->seconds > MAX_DURATION_SECONDS ||
        seconds < 0 || nanos < 0 || nanos > 999999999) {
        w->error = "a Duration is out of range";
        return;
    }
    hf_buf_printf(&w->buf, "\"%s%" PRId64, is_negative ? "-" : "", seconds);
    put_fraction(w, nanos);
    put(w, "s\"");
}

static void put_field_mask(struct writer *w, const Google__Protobuf__FieldMask *mask)
{
    put(w, "\"");
    for (size_t i = 0; i < mask->n_paths; i++) {
        put(w, i == 0 ? "" : ",");
        put(w, rpc_json_name(w->arena, mask->paths[i]));
    }
    put(w, "\"");
}

static void put_enum(struct writer *w, const ProtobufCEnumDescriptor *type, int32_t number)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(type, number);
    if (value != NULL) {
        put_text(w, value->name);
    } else {
        hf_buf_printf(&w->buf, "%" PRId32, number);
    }
}

/* Any value but a message. */
static void put_scalar(struct writer *w, const ProtobufCFieldDescriptor *field, const uint8_t *at)
{
    union {
        int32_t i32;
        uint32_t u32;
        int64_t i64;
        uint64_t u64;
        float real32;
        double real64;
        const char *text;
        ProtobufCBinaryData bytes;
    } value = {0};
    memcpy(&value, at, rpc_field_size(field->type));
    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        hf_buf_printf(&w->buf, "%" PRId32, value.i32);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        hf_buf_printf(&w->buf, "%" PRIu32, value.u32);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        hf_buf_printf(&w->buf, "\"%" PRId64 "\"", value.i64);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        hf_buf_printf(&w->buf, "\"%" PRIu64 "\"", value.u64);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        put_real(w, (double)value.real32, 6, true);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        put_real(w, value.real64, 15, false);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        put(w, value.i32 != 0 ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        put_enum(w, field->descriptor, value.i32);
        break;
    case PROTOBUF_C_TYPE_STRING:
        put_text(w, value.text == NULL ? "" : value.text);
        break;
    case PROTOBUF_C_TYPE_BYTES:
        put_base64(w, &value.bytes);
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
}

/* A message as one text, or opened as a new level. */
static void put_message(struct writer *w, const void *message)
{
    const ProtobufCMessage *base = message;
    if (message == NULL) {
        put(w, "{}");
        return;
    }
    switch (rpc_json_form_of(base->descriptor)) {
    case RPC_JSON_TIMESTAMP:
        put_timestamp(w, message);
        break;
    case RPC_JSON_DURATION:
        put_duration(w, message);
        break;
    case RPC_JSON_FIELD_MASK:
        put_field_mask(w, message);
        break;
    case RPC_JSON_OBJECT:
        if (w->depth == HF_LEN(w->levels)) {
            w->error = "the message is nested too deep";
            return;
        }
        put(w, "{");
        w->indents++;
        w->levels[w->depth++] = (struct level){.message = base};
        break;
    }
}

static void put_value(struct writer *w, const ProtobufCFieldDescriptor *field, const uint8_t *at)
{
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const void *message = NULL;
        memcpy(&message, at, sizeof(message));
        put_message(w, message);
    } else {
        put_scalar(w, field, at);
    }
}

static bool is_zero(const ProtobufCFieldDescriptor *field, const uint8_t *at)
{
    static const uint8_t zeros[sizeof(ProtobufCBinaryData)];
    const char *text = NULL;
    size_t len = 0;
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        memcpy(&text, at, sizeof(text));
        return hf_text_empty(text);
    }
    if (field->type == PROTOBUF_C_TYPE_BYTES) {
        memcpy(&len, at + offsetof(ProtobufCBinaryData, len), sizeof(len));
        return len == 0;
    }
    return memcmp(at, zeros, rpc_field_size(field->type)) == 0;
}

static bool is_shown(const struct writer *w, const ProtobufCMessage *message,
                     const ProtobufCFieldDescriptor *field)
{
    const uint8_t *at = rpc_field_at(message, field->offset);
    uint32_t quantifier = 0;
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        memcpy(&quantifier, rpc_field_at(message, field->quantifier_offset), sizeof(quantifier));
        return quantifier == field->id;
    }
    if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
        return !is_zero(field, at);
    }
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING) {
        memcpy(&quantifier, rpc_field_at(message, field->quantifier_offset), sizeof(quantifier));
        return quantifier != 0;
    }
    return w->options->emit_defaults || !is_zero(field, at);
}

static void put_separator(struct writer *w, bool is_first)
{
    put(w, is_first ? "" : w->options->indent > 0 ? "," : ", ");
    new_line(w);
}

static void put_name(struct writer *w, struct level *level, const ProtobufCFieldDescriptor *field)
{
    put_separator(w, !level->has_members);
    level->has_members = true;
    hf_buf_printf(&w->buf, "\"%s\": ", rpc_json_name(w->arena, field->name));
}

static void put_close(struct writer *w, const char *bracket, bool is_empty)
{
    w->indents--;
    if (!is_empty) {
        new_line(w);
    }
    put(w, bracket);
}

/* Key of a map entry; numbers and booleans become text. */
static void put_map_key(struct writer *w, const ProtobufCMessage *entry)
{
    const ProtobufCFieldDescriptor *key = &entry->descriptor->fields[0];
    bool is_quoted = key->type == PROTOBUF_C_TYPE_STRING || rpc_field_size(key->type) == 8;
    put(w, is_quoted ? "" : "\"");
    put_scalar(w, key, rpc_field_at(entry, key->offset));
    put(w, is_quoted ? ": " : "\": ");
}

/* One step of a list or map: open it, write one element, or close it. */
static void step_repeated(struct writer *w, struct level *level,
                          const ProtobufCFieldDescriptor *field)
{
    bool is_map = rpc_field_is_map(field);
    size_t count = 0;
    const uint8_t *items = NULL;
    memcpy(&count, rpc_field_at(level->message, field->quantifier_offset), sizeof(count));
    memcpy(&items, rpc_field_at(level->message, field->offset), sizeof(items));
    if (level->item == 0 && (count > 0 || w->options->emit_defaults)) {
        put_name(w, level, field);
        put(w, is_map ? "{" : "[");
        w->indents++;
    }
    if (level->item == count) {
        if (count > 0 || w->options->emit_defaults) {
            put_close(w, is_map ? "}" : "]", count == 0);
        }
        level->field++;
        level->item = 0;
        return;
    }
    const uint8_t *at = items + level->item * rpc_field_size(field->type);
    put_separator(w, level->item == 0);
    level->item++;
    if (is_map) {
        const ProtobufCMessage *entry = NULL;
        memcpy(&entry, at, sizeof(entry));
        const ProtobufCFieldDescriptor *value = &entry->descriptor->fields[1];
        put_map_key(w, entry);
        put_value(w, value, rpc_field_at(entry, value->offset));
    } else {
        put_value(w, field, at);
    }
}

static void step(struct writer *w)
{
    struct level *level = &w->levels[w->depth - 1];
    const ProtobufCMessageDescriptor *type = level->message->descriptor;
    if (level->field == type->n_fields) {
        put_close(w, "}", !level->has_members);
        w->depth--;
        return;
    }
    const ProtobufCFieldDescriptor *field = &type->fields[level->field];
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        step_repeated(w, level, field);
        return;
    }
    level->field++;
    if (is_shown(w, level->message, field)) {
        put_name(w, level, field);
        put_value(w, field, rpc_field_at(level->message, field->offset));
    }
}

struct hf_status rpc_message_to_json(struct hf_arena *arena, const ProtobufCMessage *message,
                                     const struct rpc_json_options *options, const char **ret_text)
{
    struct writer *w = HF_NEW(arena, struct writer);
    HF_CLEANUP(hf_arena_free) struct hf_arena *names = hf_arena_new(MAX_JSON_BYTES);
    w->arena = names;
    w->options = options;
    hf_buf_init(&w->buf, MAX_JSON_BYTES);
    put_message(w, message);
    while (w->depth > 0 && w->error == NULL && !w->buf.is_full) {
        hf_arena_reset(names);
        step(w);
    }
    struct hf_status status = hf_buf_status(&w->buf, arena, "JSON");
    if (w->error != NULL) {
        status = hf_fail(arena, HF_INVALID_ARGUMENT, "%s: %s", message->descriptor->name, w->error);
    }
    if (hf_is_ok(status)) {
        char *text = hf_try_alloc(arena, w->buf.len + 1);
        if (text == NULL) {
            status =
                (struct hf_status){HF_RESOURCE_EXHAUSTED, "the JSON needs too much memory", NULL};
        } else {
            memcpy(text, hf_buf_text(&w->buf), w->buf.len + 1);
            *ret_text = text;
        }
    }
    hf_buf_done(&w->buf);
    return status;
}

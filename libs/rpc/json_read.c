/* JSON to messages, by descriptor, with a stack of its own for what is open: objects, lists and
 * maps. The names on the stack are the path that errors tell. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/protobuf/field_mask.pb-c.h"
#include "google/protobuf/timestamp.pb-c.h"
#include "rpc/field.h"
#include "rpc/json.h"
#include "rpc/json_text.h"
#include "rpc/message.h"

#define MAX_LEVELS 64 /* braces and brackets */

/* What is open: an object (field NULL), or the list or map that is field of message. */
struct level {
    ProtobufCMessage *message;
    const ProtobufCFieldDescriptor *field;
    const char *member; /* of an object: what is being read, for errors */
    char closing;
    bool has_items;
};

struct reader {
    struct rpc_json_text text;
    struct hf_arena *arena;
    struct level levels[MAX_LEVELS];
    size_t depth;
};

static struct hf_status fail(struct reader *r, const char *expected)
{
    char *path = hf_strdup(r->arena, "");
    for (size_t i = 0; i < r->depth; i++) {
        const char *member = r->levels[i].member;
        if (member != NULL) {
            path = hf_printf(r->arena, "%s%s%.80s", path, i == 0 ? "" : ".", member);
        }
    }
    return hf_fail(r->arena, HF_INVALID_ARGUMENT, "%s: expected %s at byte %zu",
                   path[0] == '\0' ? "JSON" : path, expected, r->text.pos);
}

/* Go into an object, list or map. */
static struct hf_status push(struct reader *r, ProtobufCMessage *message,
                             const ProtobufCFieldDescriptor *field)
{
    bool is_list = field != NULL && !rpc_field_is_map(field);
    if (!rpc_json_take(&r->text, is_list ? '[' : '{')) {
        return fail(r, is_list ? "a list" : "an object");
    }
    if (r->depth == MAX_LEVELS) {
        return fail(r, "less nesting");
    }
    r->levels[r->depth++] =
        (struct level){.message = message, .field = field, .closing = is_list ? ']' : '}'};
    return hf_success();
}

static const ProtobufCFieldDescriptor *
find_field(struct reader *r, const ProtobufCMessageDescriptor *type, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(type, name);
    return field != NULL ? field
                         : protobuf_c_message_descriptor_get_field_by_name(
                               type, rpc_json_snake(r->arena, hf_str_of(name)));
}

/* A number, bare or as text. */
static struct hf_status read_number(struct reader *r, const char **ret_text)
{
    struct hf_str token;
    if (rpc_json_peek(&r->text) == '"') {
        return rpc_json_string(&r->text, r->arena, ret_text) ? hf_success() : fail(r, "a number");
    }
    if (!rpc_json_token(&r->text, &token)) {
        return fail(r, "a number");
    }
    *ret_text = hf_strndup(r->arena, token.ptr, token.len);
    return hf_success();
}

static struct hf_status read_integer(struct reader *r, const ProtobufCFieldDescriptor *field,
                                     uint8_t *place)
{
    const char *text = "";
    int64_t number = 0;
    uint64_t natural = 0;
    bool is_signed =
        field->type != PROTOBUF_C_TYPE_UINT32 && field->type != PROTOBUF_C_TYPE_FIXED32 &&
        field->type != PROTOBUF_C_TYPE_UINT64 && field->type != PROTOBUF_C_TYPE_FIXED64;
    bool is_small = rpc_field_size(field->type) == 4;
    HF_TRY(read_number(r, &text));
    if (is_signed ? !hf_parse_i64(text, &number) : !hf_parse_u64(text, &natural)) {
        return fail(r, "an integer");
    }
    if (is_small && (number < INT32_MIN || number > INT32_MAX || natural > UINT32_MAX)) {
        return fail(r, "a 32-bit integer");
    }
    natural = is_signed ? (uint64_t)number : natural;
    uint32_t low = (uint32_t)natural;
    memcpy(place, is_small ? (const void *)&low : (const void *)&natural,
           rpc_field_size(field->type));
    return hf_success();
}

static struct hf_status read_real(struct reader *r, const ProtobufCFieldDescriptor *field,
                                  uint8_t *place)
{
    const char *text = "";
    char *end = NULL;
    HF_TRY(read_number(r, &text));
    double number = strtod(text, &end);
    if (text[0] == '\0' || *end != '\0' || isspace((unsigned char)text[0])) {
        return fail(r, "a number");
    }
    float single = (float)number;
    if (field->type == PROTOBUF_C_TYPE_FLOAT) {
        memcpy(place, &single, sizeof(single));
    } else {
        memcpy(place, &number, sizeof(number));
    }
    return hf_success();
}

static struct hf_status read_bool(struct reader *r, uint8_t *place)
{
    struct hf_str token;
    bool is_token = rpc_json_token(&r->text, &token);
    bool is_true = is_token && hf_str_equal(token, HF_STR("true"));
    if (!is_true && !(is_token && hf_str_equal(token, HF_STR("false")))) {
        return fail(r, "true or false");
    }
    protobuf_c_boolean value = is_true ? 1 : 0;
    memcpy(place, &value, sizeof(value));
    return hf_success();
}

static struct hf_status read_enum(struct reader *r, const ProtobufCFieldDescriptor *field,
                                  uint8_t *place)
{
    const char *text = "";
    bool is_name = rpc_json_peek(&r->text) == '"';
    HF_TRY(read_number(r, &text));
    const ProtobufCEnumValue *value =
        is_name ? protobuf_c_enum_descriptor_get_value_by_name(field->descriptor, text) : NULL;
    int64_t number = 0;
    if (value != NULL) {
        number = value->value;
    } else if (!hf_parse_i64(text, &number) || number < INT32_MIN || number > INT32_MAX) {
        const ProtobufCEnumDescriptor *type = field->descriptor;
        return fail(r, hf_printf(r->arena, "a value of %s", type->short_name));
    }
    int32_t small = (int32_t)number;
    memcpy(place, &small, sizeof(small));
    return hf_success();
}

static struct hf_status read_text(struct reader *r, const char **ret_text)
{
    return rpc_json_string(&r->text, r->arena, ret_text)
               ? hf_success()
               : fail(r, "text in quotes, UTF-8 without NUL");
}

static struct hf_status read_bytes(struct reader *r, uint8_t *place)
{
    const char *text = "";
    ProtobufCBinaryData bytes = {0, NULL};
    HF_TRY(read_text(r, &text));
    if (!rpc_json_base64(r->arena, text, &bytes)) {
        return fail(r, "base64");
    }
    memcpy(place, &bytes, sizeof(bytes));
    return hf_success();
}

static struct hf_status read_timestamp(struct reader *r, Google__Protobuf__Timestamp *time)
{
    const char *text = "";
    int64_t us = 0;
    HF_TRY(read_text(r, &text));
    if (!hf_is_ok(hf_time_parse(r->arena, text, &us))) {
        return fail(r, "an RFC 3339 time");
    }
    int64_t seconds = us / HF_US_PER_S - (us % HF_US_PER_S < 0 ? 1 : 0);
    time->seconds = seconds;
    time->nanos = (int32_t)(us - seconds * HF_US_PER_S) * 1000;
    return hf_success();
}

static struct hf_status read_duration(struct reader *r, Google__Protobuf__Duration *duration)
{
    const char *text = "";
    HF_TRY(read_text(r, &text));
    if (!rpc_json_duration(text, &duration->seconds, &duration->nanos)) {
        return fail(r, "a duration as \"1.5s\"");
    }
    return hf_success();
}

static struct hf_status read_field_mask(struct reader *r, Google__Protobuf__FieldMask *mask)
{
    const char *text = "";
    HF_TRY(read_text(r, &text));
    mask->paths = HF_NEW_N(r->arena, char *, strlen(text) + 1);
    while (text[0] != '\0') {
        size_t len = strcspn(text, ",");
        mask->paths[mask->n_paths++] = rpc_json_snake(r->arena, (struct hf_str){text, len});
        text += len + (text[len] == ',' ? 1 : 0);
    }
    return hf_success();
}

static struct hf_status read_message(struct reader *r, const ProtobufCMessageDescriptor *type,
                                     uint8_t *place)
{
    void *message = rpc_message_new(r->arena, type);
    memcpy(place, &message, sizeof(message));
    switch (rpc_json_form_of(type)) {
    case RPC_JSON_TIMESTAMP:
        return read_timestamp(r, message);
    case RPC_JSON_DURATION:
        return read_duration(r, message);
    case RPC_JSON_FIELD_MASK:
        return read_field_mask(r, message);
    case RPC_JSON_OBJECT:
        break;
    }
    return push(r, message, NULL);
}

static struct hf_status read_value(struct reader *r, const ProtobufCFieldDescriptor *field,
                                   uint8_t *place)
{
    const char *text = "";
    switch (field->type) {
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(r, field->descriptor, place);
    case PROTOBUF_C_TYPE_STRING:
        HF_TRY(read_text(r, &text));
        memcpy(place, &text, sizeof(text));
        return hf_success();
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, place);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(r, place);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, field, place);
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_real(r, field, place);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        break;
    }
    return read_integer(r, field, place);
}

static struct hf_status add_place(struct reader *r, ProtobufCMessage *message,
                                  const ProtobufCFieldDescriptor *field, uint8_t **ret_place)
{
    if (!rpc_field_add(r->arena, message, field, ret_place)) {
        return (struct hf_status){HF_RESOURCE_EXHAUSTED, "the JSON needs too much memory", NULL};
    }
    memset(*ret_place, 0, rpc_field_size(field->type));
    return hf_success();
}

static struct hf_status read_element(struct reader *r, const struct level *level)
{
    uint8_t *place = NULL;
    HF_TRY(add_place(r, level->message, level->field, &place));
    return read_value(r, level->field, place);
}

/* One member of a map: key and value become an entry message. */
static struct hf_status read_entry(struct reader *r, const struct level *level)
{
    uint8_t *place = NULL;
    const ProtobufCMessageDescriptor *type = level->field->descriptor;
    ProtobufCMessage *entry = rpc_message_new(r->arena, type);
    const ProtobufCFieldDescriptor *key = &type->fields[0];
    const ProtobufCFieldDescriptor *value = &type->fields[1];
    HF_TRY(add_place(r, level->message, level->field, &place));
    memcpy(place, &entry, sizeof(entry));
    if (rpc_json_peek(&r->text) != '"' || key->type == PROTOBUF_C_TYPE_BOOL) {
        return fail(r, "a name in quotes");
    }
    HF_TRY(read_value(r, key, rpc_field_place(entry, key->offset)));
    if (!rpc_json_take(&r->text, ':')) {
        return fail(r, "':'");
    }
    return read_value(r, value, rpc_field_place(entry, value->offset));
}

static struct hf_status read_member(struct reader *r, struct level *level)
{
    ProtobufCMessage *message = level->message;
    level->member = NULL;
    if (!rpc_json_string(&r->text, r->arena, &level->member) || !rpc_json_take(&r->text, ':')) {
        return fail(r, "a name in quotes and ':'");
    }
    const ProtobufCFieldDescriptor *field = find_field(r, message->descriptor, level->member);
    if (field == NULL) {
        return fail(r, hf_printf(r->arena, "a field of %s", message->descriptor->short_name));
    }
    if (rpc_json_null(&r->text)) {
        return hf_success();
    }
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        return push(r, message, field);
    }
    rpc_field_mark(message, field);
    return read_value(r, field, rpc_field_place(message, field->offset));
}

/* Read one item of what is open on top, or close it. */
static struct hf_status step(struct reader *r)
{
    struct level *level = &r->levels[r->depth - 1];
    if (rpc_json_take(&r->text, level->closing)) {
        r->depth--;
        return hf_success();
    }
    if (level->has_items && !rpc_json_take(&r->text, ',')) {
        return fail(r, level->closing == ']' ? "',' or ']'" : "',' or '}'");
    }
    level->has_items = true;
    if (level->field == NULL) {
        return read_member(r, level);
    }
    return rpc_field_is_map(level->field) ? read_entry(r, level) : read_element(r, level);
}

struct hf_status rpc_message_from_json(struct hf_arena *arena,
                                       const ProtobufCMessageDescriptor *type, struct hf_str text,
                                       void **ret_message)
{
    struct reader *r = HF_NEW(arena, struct reader);
    void *message = NULL;
    uint8_t place[sizeof(message)];
    r->text.all = text;
    r->arena = arena;
    HF_TRY(read_message(r, type, place));
    while (r->depth > 0) {
        HF_TRY(step(r));
    }
    if (rpc_json_peek(&r->text) != '\0' || r->text.pos != text.len) {
        return fail(r, "the end");
    }
    memcpy(&message, place, sizeof(message));
    *ret_message = message;
    return hf_success();
}

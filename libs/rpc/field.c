/* Fields of messages by descriptor: names in JSON, shapes, places in memory. */
#include "rpc/field.h"

#include <string.h>

#include "base/check.h"

enum rpc_json_form rpc_json_form_of(const ProtobufCMessageDescriptor *type)
{
    static const struct {
        const char *name;
        enum rpc_json_form form;
    } forms[] = {
        {"google.protobuf.Timestamp", RPC_JSON_TIMESTAMP},
        {"google.protobuf.Duration", RPC_JSON_DURATION},
        {"google.protobuf.FieldMask", RPC_JSON_FIELD_MASK},
    };
    for (size_t i = 0; i < HF_LEN(forms); i++) {
        if (strcmp(type->name, forms[i].name) == 0) {
            return forms[i].form;
        }
    }
    return RPC_JSON_OBJECT;
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

char *rpc_json_name(struct hf_arena *arena, const char *proto_name)
{
    char *name = hf_alloc(arena, strlen(proto_name) + 1);
    size_t len = 0;
    bool is_next_upper = false;
    for (const char *at = proto_name; *at != '\0'; at++) {
        if (*at == '_') {
            is_next_upper = true;
            continue;
        }
        name[len++] = is_next_upper && is_lower(*at) ? (char)(*at - 'a' + 'A') : *at;
        is_next_upper = false;
    }
    return name;
}

char *rpc_json_snake(struct hf_arena *arena, struct hf_str name)
{
    char *snake = hf_alloc(arena, 2 * name.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < name.len; i++) {
        if (is_upper(name.ptr[i])) {
            snake[len++] = '_';
            snake[len++] = (char)(name.ptr[i] - 'A' + 'a');
        } else {
            snake[len++] = name.ptr[i];
        }
    }
    return snake;
}

/* Is type the name of the entry of map field: FooBarEntry for foo_bar? */
static bool is_entry_name(const char *type, const char *field)
{
    bool is_next_upper = true;
    for (; *field != '\0'; field++) {
        if (*field == '_') {
            is_next_upper = true;
            continue;
        }
        char wanted = is_next_upper && is_lower(*field) ? (char)(*field - 'a' + 'A') : *field;
        if (*type++ != wanted) {
            return false;
        }
        is_next_upper = false;
    }
    return strcmp(type, "Entry") == 0;
}

bool rpc_field_is_map(const ProtobufCFieldDescriptor *field)
{
    if (field->label != PROTOBUF_C_LABEL_REPEATED || field->type != PROTOBUF_C_TYPE_MESSAGE) {
        return false;
    }
    const ProtobufCMessageDescriptor *type = field->descriptor;
    return type->n_fields == 2 && type->fields[0].id == 1 && type->fields[1].id == 2 &&
           strcmp(type->fields[0].name, "key") == 0 && strcmp(type->fields[1].name, "value") == 0 &&
           is_entry_name(type->short_name, field->name);
}

size_t rpc_field_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return sizeof(void *);
}

const uint8_t *rpc_field_at(const ProtobufCMessage *message, size_t offset)
{
    const void *base = message;
    return (const uint8_t *)base + offset;
}

uint8_t *rpc_field_place(ProtobufCMessage *message, size_t offset)
{
    void *base = message;
    return (uint8_t *)base + offset;
}

bool rpc_field_add(struct hf_arena *arena, ProtobufCMessage *message,
                   const ProtobufCFieldDescriptor *field, uint8_t **ret_place)
{
    size_t size = rpc_field_size(field->type);
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        *ret_place = rpc_field_place(message, field->offset);
        return true;
    }
    size_t count = 0;
    uint8_t *items = NULL;
    memcpy(&count, rpc_field_place(message, field->quantifier_offset), sizeof(count));
    memcpy(&items, rpc_field_place(message, field->offset), sizeof(items));
    if (count == 0 || (count >= 4 && (count & (count - 1)) == 0)) {
        uint8_t *grown = hf_try_alloc(arena, (count == 0 ? 4 : count * 2) * size);
        if (grown == NULL) {
            return false;
        }
        if (count > 0) {
            memcpy(grown, items, count * size);
        }
        items = grown;
        memcpy(rpc_field_place(message, field->offset), &items, sizeof(items));
    }
    *ret_place = items + count * size;
    count++;
    memcpy(rpc_field_place(message, field->quantifier_offset), &count, sizeof(count));
    return true;
}

void rpc_field_mark(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field)
{
    uint8_t *quantifier = rpc_field_place(message, field->quantifier_offset);
    if ((field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0) {
        uint32_t current = 0;
        memcpy(&current, quantifier, sizeof(current));
        if (current != field->id) {
            memset(rpc_field_place(message, field->offset), 0, rpc_field_size(field->type));
            memcpy(quantifier, &field->id, sizeof(field->id));
        }
    } else if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->type != PROTOBUF_C_TYPE_STRING &&
               field->type != PROTOBUF_C_TYPE_MESSAGE) {
        protobuf_c_boolean has = 1;
        memcpy(quantifier, &has, sizeof(has));
    }
}

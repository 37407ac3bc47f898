/* The hardened decoder. It keeps a stack of open messages of its own instead of recursing, because
 * a message's bytes lie inside its parent's: reading goes straight on and a frame is popped when
 * its end is reached. A message that occurs twice is merged, as the protobuf language asks.
 * Unknown fields are checked for form and dropped. */
#include <stdio.h>
#include <string.h>

#include "rpc/field.h"
#include "rpc/message.h"
#include "rpc/wire.h"

#define ERROR_ROOM 256

struct frame {
    ProtobufCMessage *message;
    const uint8_t *end;
};

struct decoder {
    struct hf_arena *arena;
    const uint8_t *pos;
    struct frame frames[RPC_MAX_DEPTH];
    size_t depth;
};

enum verdict { FINE, MALFORMED, WRONG_TYPE, NOT_TEXT, TOO_DEEP, NO_MEMORY };

static enum rpc_wire_type wire_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return RPC_WIRE_32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return RPC_WIRE_64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return RPC_WIRE_LEN;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
        break;
    }
    return RPC_WIRE_VARINT;
}

static uint64_t unzigzag(uint64_t value)
{
    return value >> 1 ^ (0 - (value & 1));
}

static enum verdict put_number(struct decoder *d, ProtobufCMessage *message,
                               const ProtobufCFieldDescriptor *field, uint64_t value)
{
    uint8_t *place = NULL;
    if (!rpc_field_add(d->arena, message, field, &place)) {
        return NO_MEMORY;
    }
    if (field->type == PROTOBUF_C_TYPE_SINT32 || field->type == PROTOBUF_C_TYPE_SINT64) {
        value = unzigzag(field->type == PROTOBUF_C_TYPE_SINT32 ? (uint32_t)value : value);
    } else if (field->type == PROTOBUF_C_TYPE_BOOL) {
        value = value != 0;
    }
    if (rpc_field_size(field->type) == 8) {
        memcpy(place, &value, sizeof(value));
    } else {
        uint32_t low = (uint32_t)value;
        memcpy(place, &low, sizeof(low));
    }
    return FINE;
}

/* One number of a packed list. */
static bool next_packed(struct rpc_wire *wire, enum rpc_wire_type type, uint64_t *ret_value)
{
    size_t width = type == RPC_WIRE_64 ? 8 : 4;
    uint64_t value = 0;
    if (type == RPC_WIRE_VARINT) {
        return rpc_wire_varint(wire, ret_value);
    }
    if ((size_t)(wire->end - wire->pos) < width) {
        return false;
    }
    for (size_t i = 0; i < width; i++) {
        value |= (uint64_t)wire->pos[i] << (8 * i);
    }
    wire->pos += width;
    *ret_value = value;
    return true;
}

static enum verdict put_packed(struct decoder *d, ProtobufCMessage *message,
                               const ProtobufCFieldDescriptor *field, struct hf_bytes content)
{
    struct rpc_wire wire = rpc_wire_of(content);
    while (wire.pos < wire.end) {
        uint64_t value = 0;
        if (!next_packed(&wire, wire_type(field->type), &value)) {
            return MALFORMED;
        }
        enum verdict verdict = put_number(d, message, field, value);
        if (verdict != FINE) {
            return verdict;
        }
    }
    return FINE;
}

static enum verdict put_text(struct decoder *d, ProtobufCMessage *message,
                             const ProtobufCFieldDescriptor *field, struct hf_bytes content)
{
    uint8_t *place = NULL;
    if (!rpc_text_is_valid(content)) {
        return NOT_TEXT;
    }
    char *text = hf_try_alloc(d->arena, content.len + 1);
    if (text == NULL) {
        return NO_MEMORY;
    }
    if (content.len > 0) {
        memcpy(text, content.ptr, content.len);
    }
    text[content.len] = '\0';
    if (!rpc_field_add(d->arena, message, field, &place)) {
        return NO_MEMORY;
    }
    memcpy(place, &text, sizeof(text));
    return FINE;
}

static enum verdict put_bytes(struct decoder *d, ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor *field, struct hf_bytes content)
{
    uint8_t *place = NULL;
    if (!rpc_field_add(d->arena, message, field, &place)) {
        return NO_MEMORY;
    }
    /* Copied by parts, because content is const and ProtobufCBinaryData is not. */
    memset(place, 0, sizeof(ProtobufCBinaryData));
    memcpy(place + offsetof(ProtobufCBinaryData, len), &content.len, sizeof(content.len));
    if (content.len > 0) {
        memcpy(place + offsetof(ProtobufCBinaryData, data), &content.ptr, sizeof(content.ptr));
    }
    return FINE;
}

/* Go down into a sub-message: a new one, or the one that is there already (merge). */
static enum verdict open_message(struct decoder *d, ProtobufCMessage *message,
                                 const ProtobufCFieldDescriptor *field, struct hf_bytes content)
{
    const ProtobufCMessageDescriptor *type = field->descriptor;
    ProtobufCMessage *child = NULL;
    uint8_t *place = NULL;
    if (d->depth == RPC_MAX_DEPTH) {
        return TOO_DEEP;
    }
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        memcpy(&child, rpc_field_place(message, field->offset), sizeof(child));
    }
    if (child == NULL) {
        child = hf_try_alloc(d->arena, type->sizeof_message);
        if (child == NULL) {
            return NO_MEMORY;
        }
        type->message_init(child);
        if (!rpc_field_add(d->arena, message, field, &place)) {
            return NO_MEMORY;
        }
        memcpy(place, &child, sizeof(child));
    }
    d->frames[d->depth++] = (struct frame){child, content.ptr + content.len};
    d->pos = content.ptr;
    return FINE;
}

static enum verdict put_field(struct decoder *d, ProtobufCMessage *message,
                              const ProtobufCFieldDescriptor *field,
                              const struct rpc_wire_field *wire)
{
    bool is_number = wire_type(field->type) != RPC_WIRE_LEN;
    bool is_packed =
        is_number && wire->type == RPC_WIRE_LEN && field->label == PROTOBUF_C_LABEL_REPEATED;
    if (wire->type != wire_type(field->type) && !is_packed) {
        return WRONG_TYPE;
    }
    if (field->label != PROTOBUF_C_LABEL_REPEATED) {
        rpc_field_mark(message, field);
    }
    if (is_packed) {
        return put_packed(d, message, field, wire->content);
    }
    if (is_number) {
        return put_number(d, message, field, wire->number);
    }
    if (field->type == PROTOBUF_C_TYPE_STRING) {
        return put_text(d, message, field, wire->content);
    }
    return field->type == PROTOBUF_C_TYPE_BYTES ? put_bytes(d, message, field, wire->content)
                                                : open_message(d, message, field, wire->content);
}

/* The text of a failure goes into room that was set aside before decoding, because a hostile
 * message may have left none in the arena. */
static struct hf_status judge(char *room, enum verdict verdict,
                              const ProtobufCMessageDescriptor *type, const char *field)
{
    static const char *const texts[] = {
        [FINE] = "",
        [MALFORMED] = "malformed bytes",
        [WRONG_TYPE] = "has a wrong wire type",
        [NOT_TEXT] = "must be UTF-8 text without NUL",
        [TOO_DEEP] = "is nested too deep",
    };
    static const struct hf_error_info info = {.reason = "INVALID_MESSAGE"};

    if (verdict == NO_MEMORY) {
        return (struct hf_status){HF_RESOURCE_EXHAUSTED, "message needs too much memory", NULL};
    }
    (void)snprintf(room, ERROR_ROOM, verdict == MALFORMED ? "message %s%s: %s" : "%s.%s %s",
                   type->name, field, texts[verdict]);
    return (struct hf_status){HF_INVALID_ARGUMENT, room, &info};
}

struct hf_status rpc_decode(struct hf_arena *arena, const ProtobufCMessageDescriptor *type,
                            struct hf_bytes bytes, void **ret_message)
{
    struct rpc_wire whole = rpc_wire_of(bytes);
    char *room = hf_try_alloc(arena, ERROR_ROOM);
    ProtobufCMessage *root = hf_try_alloc(arena, type->sizeof_message);
    if (root == NULL || room == NULL) {
        return judge(NULL, NO_MEMORY, type, "");
    }
    type->message_init(root);
    struct decoder d = {.arena = arena, .pos = whole.pos, .depth = 1};
    d.frames[0] = (struct frame){root, whole.end};
    while (d.depth > 0) {
        struct frame *top = &d.frames[d.depth - 1];
        struct rpc_wire wire = {d.pos, top->end};
        struct rpc_wire_field value;
        if (d.pos == top->end) {
            d.depth--;
            continue;
        }
        if (!rpc_wire_next(&wire, &value)) {
            return judge(room, MALFORMED, top->message->descriptor, "");
        }
        d.pos = wire.pos;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(top->message->descriptor, value.id);
        if (field != NULL) {
            enum verdict verdict = put_field(&d, top->message, field, &value);
            if (verdict != FINE) {
                return judge(room, verdict, top->message->descriptor, field->name);
            }
        }
    }
    *ret_message = root;
    return hf_success();
}

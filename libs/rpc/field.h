/* What decoding and JSON share: fields of messages by descriptor. Inside libs/rpc only. */
#ifndef RPC_FIELD_H
#define RPC_FIELD_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* Messages that JSON writes as one text. */
enum rpc_json_form { RPC_JSON_OBJECT, RPC_JSON_TIMESTAMP, RPC_JSON_DURATION, RPC_JSON_FIELD_MASK };

enum rpc_json_form rpc_json_form_of(const ProtobufCMessageDescriptor *type);
/* lowerCamelCase of a proto field name, as protoc derives json_name. */
char *rpc_json_name(struct hf_arena *arena, const char *proto_name);
/* snake_case of a lowerCamelCase name. */
char *rpc_json_snake(struct hf_arena *arena, struct hf_str name);
/* A map is a repeated message that protoc made up: FooBarEntry {key = 1, value = 2} of foo_bar.
 * The descriptor does not say so, but the name is reserved for it. */
bool rpc_field_is_map(const ProtobufCFieldDescriptor *field);
/* Bytes of one value in memory. */
size_t rpc_field_size(ProtobufCType type);
/* Address of a member of a message. */
const uint8_t *rpc_field_at(const ProtobufCMessage *message, size_t offset);
uint8_t *rpc_field_place(ProtobufCMessage *message, size_t offset);
/* Where a value goes: the member itself, or one more element of its list, counted at once. The
 * list's capacity is implied: 4, then doubled whenever its length is a power of two; so only lists
 * made here may grow. False when the arena is full. */
bool rpc_field_add(struct hf_arena *arena, ProtobufCMessage *message,
                   const ProtobufCFieldDescriptor *field, uint8_t **ret_place);
/* Say that a single field is there: has_ flag of an optional, case of a oneof, whose other member
 * is forgotten. */
void rpc_field_mark(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field);

#endif

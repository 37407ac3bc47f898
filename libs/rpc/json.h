/* The proto3 JSON form of messages, both ways, from protobuf-c descriptors.
 *
 * Names are lowerCamelCase, enums are names, 64-bit integers text, bytes base64, Timestamp RFC
 * 3339, Duration "1.5s", FieldMask "a,b", maps objects. Any and wrappers are not in our contract.
 *
 * Threads: any; pure but for the arena.
 */
#ifndef RPC_JSON_H
#define RPC_JSON_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"

struct rpc_json_options {
    int indent;         /* spaces per level; 0: one line */
    bool emit_defaults; /* also scalars that are zero, empty lists and empty text, so that scripts
                           can rely on every field; unset messages and oneofs stay out */
};

/* Text in the arena, without a final newline.
 * Errors   RESOURCE_EXHAUSTED more than 64 MiB; INVALID_ARGUMENT a Timestamp or Duration out of
 *          range */
struct hf_status rpc_message_to_json(struct hf_arena *arena, const ProtobufCMessage *message,
                                     const struct rpc_json_options *options,
                                     const char **ret_text) HF_MUST_USE;

/* Parse JSON into a new message of type. Both lowerCamelCase and proto names are accepted, unknown
 * names are refused, null means unset. INVALID_ARGUMENT names the path ("cluster.dsn") and what
 * was expected; depth at most RPC_MAX_DEPTH. */
struct hf_status rpc_message_from_json(struct hf_arena *arena,
                                       const ProtobufCMessageDescriptor *type, struct hf_str text,
                                       void **ret_message) HF_MUST_USE;

#endif

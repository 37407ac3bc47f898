/* Messages in arenas: hardened decoding, encoding, construction.
 *
 * protobuf-c alone has no recursion limit, no UTF-8 check, cuts strings at NUL and allocates what
 * a hostile length says. Foreign bytes go through rpc_decode only.
 *
 * Threads: any; pure but for the arena.
 */
#ifndef RPC_MESSAGE_H
#define RPC_MESSAGE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "base/str.h"

#define RPC_MAX_DEPTH 32

/* The arena as protobuf-c allocator; free does nothing. Valid as long as the arena. */
ProtobufCAllocator rpc_allocator(struct hf_arena *arena);

/* An empty message of the type, in the arena. */
void *rpc_message_new(struct hf_arena *arena, const ProtobufCMessageDescriptor *type);

/* One pass, at most RPC_MAX_DEPTH levels, memory at most what the arena still has.
 *
 * bytes        fields of type bytes point into it: must live as long as the message
 * ret_message  set on success, a message of type (assign it to the typed pointer)
 * Errors   INVALID_ARGUMENT names the field: malformed, too deep, not UTF-8, NUL in text;
 *          RESOURCE_EXHAUSTED the arena's limit
 */
struct hf_status rpc_decode(struct hf_arena *arena, const ProtobufCMessageDescriptor *type,
                            struct hf_bytes bytes, void **ret_message) HF_MUST_USE;

/* Serialized form, in the arena. message: any generated message (pass &typed->base). */
struct hf_bytes rpc_encode(struct hf_arena *arena, const ProtobufCMessage *message);

/* Deep copy into another arena. Errors   as rpc_decode. */
struct hf_status rpc_message_copy(struct hf_arena *arena, const ProtobufCMessage *message,
                                  void **ret_copy) HF_MUST_USE;

#endif

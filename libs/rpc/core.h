/* gRPC core, inside libs/rpc only: start and end, time, text and messages. */
#ifndef RPC_CORE_H
#define RPC_CORE_H

#include <grpc/byte_buffer.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/status.h"
#include "base/str.h"
#include "rpc/message.h"

/* One init per owner of a queue, server or channel, before it is made; one done after. */
void rpc_core_init(void);
void rpc_core_done(void);

/* hf_mono_us() scale to and from core's; 0 is "never" on our side. */
gpr_timespec rpc_core_time(int64_t mono_us);
int64_t rpc_core_mono_us(gpr_timespec time);

/* Owned by the caller (grpc_byte_buffer_destroy). */
grpc_byte_buffer *rpc_core_pack(const ProtobufCMessage *message);
/* Copy a received message into arena.
 * Errors   UNIMPLEMENTED compressed; RESOURCE_EXHAUSTED the limit of arena;
 *          INVALID_ARGUMENT no message */
struct hf_status rpc_core_bytes(struct hf_arena *arena, grpc_byte_buffer *buffer,
                                struct hf_bytes *ret_bytes) HF_MUST_USE;

char *rpc_core_text(struct hf_arena *arena, grpc_slice slice);
/* Value of a metadata key, NULL when absent. */
const grpc_slice *rpc_core_header(const grpc_metadata_array *metadata, const char *key);
bool rpc_core_slice_equals(grpc_slice slice, const char *text);

HF_DEFINE_CLEANUP(grpc_byte_buffer *, grpc_byte_buffer_destroy)

#endif

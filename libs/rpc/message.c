/* Construction and encoding of messages; decoding is in decode.c. */
#include "rpc/message.h"

#include "base/check.h"

static void *arena_alloc(void *data, size_t size)
{
    return hf_try_alloc(data, size);
}

static void arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

ProtobufCAllocator rpc_allocator(struct hf_arena *arena)
{
    return (ProtobufCAllocator){arena_alloc, arena_free, arena};
}

void *rpc_message_new(struct hf_arena *arena, const ProtobufCMessageDescriptor *type)
{
    void *message = hf_alloc(arena, type->sizeof_message);
    type->message_init(message);
    return message;
}

struct hf_bytes rpc_encode(struct hf_arena *arena, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = hf_alloc(arena, len + 1);
    HF_CHECK(protobuf_c_message_pack(message, bytes) == len);
    return (struct hf_bytes){bytes, len};
}

struct hf_status rpc_message_copy(struct hf_arena *arena, const ProtobufCMessage *message,
                                  void **ret_copy)
{
    return rpc_decode(arena, message->descriptor, rpc_encode(arena, message), ret_copy);
}

/* Bytes of any kind become a message or are refused; what became a message is stable: encoded,
 * decoded and encoded again it is the same, and its JSON reads back to the same JSON.
 *
 * The first byte chooses: the type, and whether the rest is protobuf or JSON. */
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "google/rpc/error_info.pb-c.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "rpc/json.h"
#include "rpc/message.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 32 << 20, INPUT_BYTES = 16384, JSON_BIT = 128 };

static void check_bytes(struct hf_arena *arena, const ProtobufCMessageDescriptor *type,
                        struct hf_bytes bytes)
{
    const struct rpc_json_options options = {.emit_defaults = true};
    const char *json = NULL;
    void *message = NULL;
    void *again = NULL;
    struct hf_status status = rpc_decode(arena, type, bytes, &message);

    if (!hf_is_ok(status)) {
        HF_CHECK(status.code == HF_INVALID_ARGUMENT || status.code == HF_RESOURCE_EXHAUSTED);
        return;
    }
    struct hf_bytes once = rpc_encode(arena, message);
    HF_CHECK(hf_is_ok(rpc_decode(arena, type, once, &again)));
    struct hf_bytes twice = rpc_encode(arena, again);
    HF_CHECK(once.len == twice.len && memcmp(once.ptr, twice.ptr, once.len) == 0);
    status = rpc_message_to_json(arena, message, &options, &json);
    HF_CHECK(hf_is_ok(status) || status.code == HF_INVALID_ARGUMENT);
}

static void check_json(struct hf_arena *arena, const ProtobufCMessageDescriptor *type,
                       struct hf_str text)
{
    const struct rpc_json_options options = {.indent = 1};
    const char *once = NULL;
    const char *twice = NULL;
    void *message = NULL;
    void *again = NULL;
    struct hf_status status = rpc_message_from_json(arena, type, text, &message);

    if (!hf_is_ok(status)) {
        HF_CHECK(status.code == HF_INVALID_ARGUMENT && status.message != NULL);
        return;
    }
    if (hf_is_ok(rpc_message_to_json(arena, message, &options, &once))) {
        HF_CHECK(hf_is_ok(rpc_message_from_json(arena, type, hf_str_of(once), &again)));
        HF_CHECK(hf_is_ok(rpc_message_to_json(arena, again, &options, &twice)));
        HF_CHECK(strcmp(once, twice) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const types[] = {
        &pb_backup__create_cluster_request__descriptor,
        &pb_backup__read_vault_object_response__descriptor,
        &pb_jobs__list_jobs_response__descriptor,
        &google__rpc__error_info__descriptor,
        &google__protobuf__file_descriptor_proto__descriptor,
    };
    if (size == 0 || size > INPUT_BYTES) {
        return 0;
    }
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    const ProtobufCMessageDescriptor *type = types[(data[0] & 127U) % HF_LEN(types)];
    const void *rest = data + 1;

    if ((data[0] & JSON_BIT) != 0) {
        check_json(arena, type, (struct hf_str){rest, size - 1});
    } else {
        check_bytes(arena, type, (struct hf_bytes){rest, size - 1});
    }
    return 0;
}

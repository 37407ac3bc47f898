/* google.rpc.Status with ErrorInfo and RetryInfo. */
#include "rpc/details.h"

#include <string.h>

#include "google/protobuf/duration.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/error_info.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/message.h"

#define TYPE_PREFIX "type.googleapis.com/"
#define ERROR_INFO_URL TYPE_PREFIX "google.rpc.ErrorInfo"
#define RETRY_INFO_URL TYPE_PREFIX "google.rpc.RetryInfo"
#define MAX_DETAILS_BYTES 4096
#define MAX_TEXT_BYTES 1000
#define MAX_VALUE_BYTES 256
#define MAX_RETRY_MS 86400000

/* At most max bytes of text, cut between characters; NULL when it is not UTF-8. Texts may repeat
 * what a client sent, however long that is. */
static char *cut(struct hf_arena *arena, const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    for (size_t tries = 0; tries < 4; tries++) {
        if (hf_is_utf8(text, len)) {
            return hf_strndup(arena, text, len);
        }
        len -= len > 0 ? 1 : 0;
    }
    return NULL;
}

static char *value_of(struct hf_arena *arena, const char *text)
{
    char *value = cut(arena, text, MAX_VALUE_BYTES);
    return value == NULL ? hf_strdup(arena, "") : value;
}

static struct hf_bytes encode_error_info(struct hf_arena *arena, const struct hf_error_info *info)
{
    Google__Rpc__ErrorInfo *message = rpc_message_new(arena, &google__rpc__error_info__descriptor);
    message->reason = hf_strdup(arena, info->reason);
    message->domain = hf_strdup(arena, RPC_ERROR_DOMAIN);
    message->n_metadata = info->metadata_len;
    message->metadata =
        HF_NEW_N(arena, Google__Rpc__ErrorInfo__MetadataEntry *, info->metadata_len);
    for (size_t i = 0; i < info->metadata_len; i++) {
        message->metadata[i] =
            rpc_message_new(arena, &google__rpc__error_info__metadata_entry__descriptor);
        message->metadata[i]->key = hf_strdup(arena, info->metadata[i].key);
        message->metadata[i]->value = value_of(arena, info->metadata[i].value);
    }
    return rpc_encode(arena, &message->base);
}

static Google__Protobuf__Any *new_any(struct hf_arena *arena, const char *url,
                                      struct hf_bytes value)
{
    Google__Protobuf__Any *any = rpc_message_new(arena, &google__protobuf__any__descriptor);
    any->type_url = hf_strdup(arena, url);
    any->value.data = hf_dup(arena, value.ptr, value.len);
    any->value.len = value.len;
    return any;
}

static struct hf_bytes encode_retry_info(struct hf_arena *arena, int retry_after_ms)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    delay.seconds = retry_after_ms / 1000;
    delay.nanos = retry_after_ms % 1000 * 1000000;
    retry.retry_delay = &delay;
    return rpc_encode(arena, &retry.base);
}

const char *rpc_details_text(struct hf_arena *arena, struct hf_status status)
{
    if (hf_text_empty(status.message)) {
        return hf_code_name(status.code);
    }
    const char *text = cut(arena, status.message, MAX_TEXT_BYTES);
    return text == NULL ? hf_code_name(status.code) : text;
}

struct hf_bytes rpc_details_encode(struct hf_arena *arena, struct hf_status status)
{
    Google__Protobuf__Any *details[2];
    Google__Rpc__Status message = GOOGLE__RPC__STATUS__INIT;
    struct hf_bytes none = {NULL, 0};
    if (status.info == NULL) {
        return none;
    }
    if (!hf_text_empty(status.info->reason)) {
        details[message.n_details++] =
            new_any(arena, ERROR_INFO_URL, encode_error_info(arena, status.info));
    }
    if (status.info->retry_after_ms > 0) {
        details[message.n_details++] =
            new_any(arena, RETRY_INFO_URL, encode_retry_info(arena, status.info->retry_after_ms));
    }
    message.code = (int32_t)status.code;
    message.message = hf_strdup(arena, rpc_details_text(arena, status));
    message.details = details;
    struct hf_bytes bytes = rpc_encode(arena, &message.base);
    return message.n_details == 0 || bytes.len > MAX_DETAILS_BYTES ? none : bytes;
}

static void decode_error_info(struct hf_arena *arena, struct hf_bytes bytes,
                              struct hf_error_info *info)
{
    void *message = NULL;
    struct hf_status status =
        rpc_decode(arena, &google__rpc__error_info__descriptor, bytes, &message);
    const Google__Rpc__ErrorInfo *error = message;
    if (!hf_is_ok(status)) {
        return;
    }
    struct hf_pair *pairs = HF_NEW_N(arena, struct hf_pair, error->n_metadata);
    for (size_t i = 0; i < error->n_metadata; i++) {
        pairs[i] = (struct hf_pair){error->metadata[i]->key, error->metadata[i]->value};
    }
    info->reason = error->reason;
    info->metadata = pairs;
    info->metadata_len = error->n_metadata;
}

static void decode_retry_info(struct hf_arena *arena, struct hf_bytes bytes,
                              struct hf_error_info *info)
{
    void *message = NULL;
    struct hf_status status =
        rpc_decode(arena, &google__rpc__retry_info__descriptor, bytes, &message);
    const Google__Rpc__RetryInfo *retry = message;
    if (hf_is_ok(status) && retry->retry_delay != NULL && retry->retry_delay->seconds >= 0 &&
        retry->retry_delay->seconds < MAX_RETRY_MS / 1000) {
        info->retry_after_ms =
            (int)(retry->retry_delay->seconds * 1000 + retry->retry_delay->nanos / 1000000);
    }
}

struct hf_status rpc_details_decode(struct hf_arena *arena, struct hf_status status,
                                    struct hf_bytes bytes)
{
    void *message = NULL;
    struct hf_status read = rpc_decode(arena, &google__rpc__status__descriptor, bytes, &message);
    const Google__Rpc__Status *details = message;
    if (!hf_is_ok(read)) {
        return status;
    }
    struct hf_error_info *info = HF_NEW(arena, struct hf_error_info);
    info->reason = "";
    for (size_t i = 0; i < details->n_details; i++) {
        const Google__Protobuf__Any *any = details->details[i];
        struct hf_bytes value = {any->value.data, any->value.len};
        if (hf_text_equal(any->type_url, ERROR_INFO_URL)) {
            decode_error_info(arena, value, info);
        } else if (hf_text_equal(any->type_url, RETRY_INFO_URL)) {
            decode_retry_info(arena, value, info);
        }
    }
    status.info = info;
    return status;
}

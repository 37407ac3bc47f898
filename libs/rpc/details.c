/* google.rpc.Status with ErrorInfo and RetryInfo. */
#include "rpc/details.h"

#include <string.h>

#include "base/check.h"
#include "google/protobuf/duration.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/error_info.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "rpc/message.h"

#define TYPE_PREFIX "type.googleapis.com/"
#define ERROR_INFO_URL TYPE_PREFIX "google.rpc.ErrorInfo"
#define RETRY_INFO_URL TYPE_PREFIX "google.rpc.RetryInfo"
/* A client's headers end at 8 KiB: the text percent-encoded and the details in base 64 stay below
 * that together. */
#define MAX_DETAILS_BYTES 3600
#define MAX_TEXT_BYTES 1000
#define MAX_TEXT_ENCODED_BYTES 2400
#define MAX_REASON_BYTES 63 /* google.rpc.ErrorInfo */
#define MAX_KEY_BYTES 64
#define MAX_RETRY_MS 86400000

/* How much of the metadata is told. */
struct allowance {
    size_t value_bytes;
    size_t pairs;
};

/* Tried in this order until the details fit; the reason is always told. */
static const struct allowance allowances[] = {{256, 32}, {128, 32}, {64, 32},
                                              {32, 32},  {32, 8},   {0, 0}};

static char *show(struct hf_arena *arena, const char *text, size_t max)
{
    return hf_text_show(arena, text, strlen(text), max);
}

static struct hf_bytes encode_error_info(struct hf_arena *arena, const struct hf_error_info *info,
                                         const struct allowance *allowance)
{
    Google__Rpc__ErrorInfo *message = rpc_message_new(arena, &google__rpc__error_info__descriptor);
    size_t len = info->metadata_len < allowance->pairs ? info->metadata_len : allowance->pairs;
    message->reason = show(arena, info->reason, MAX_REASON_BYTES);
    message->domain = hf_strdup(arena, RPC_ERROR_DOMAIN);
    message->n_metadata = len;
    message->metadata = HF_NEW_N(arena, Google__Rpc__ErrorInfo__MetadataEntry *, len);
    for (size_t i = 0; i < len; i++) {
        const struct hf_pair *pair = &info->metadata[i];
        message->metadata[i] =
            rpc_message_new(arena, &google__rpc__error_info__metadata_entry__descriptor);
        message->metadata[i]->key = show(arena, pair->key, MAX_KEY_BYTES);
        message->metadata[i]->value =
            show(arena, pair->value == NULL ? "" : pair->value, allowance->value_bytes);
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

/* Bytes of text as the grpc-message header writes them. */
static size_t encoded_len(const char *text)
{
    size_t len = 0;
    for (const char *at = text; *at != '\0'; at++) {
        len += *at < ' ' || *at > '~' || *at == '%' ? 3 : 1;
    }
    return len;
}

const char *rpc_details_text(struct hf_arena *arena, struct hf_status status)
{
    if (hf_text_empty(status.message)) {
        return hf_code_name(status.code);
    }
    const char *text = show(arena, status.message, MAX_TEXT_BYTES);
    return encoded_len(text) <= MAX_TEXT_ENCODED_BYTES
               ? text
               : show(arena, status.message, MAX_TEXT_ENCODED_BYTES / 3);
}

static struct hf_bytes encode(struct hf_arena *arena, struct hf_status status,
                              const struct allowance *allowance)
{
    Google__Protobuf__Any *details[2];
    Google__Rpc__Status message = GOOGLE__RPC__STATUS__INIT;
    if (!hf_text_empty(status.info->reason)) {
        details[message.n_details++] =
            new_any(arena, ERROR_INFO_URL, encode_error_info(arena, status.info, allowance));
    }
    if (status.info->retry_after_ms > 0) {
        details[message.n_details++] =
            new_any(arena, RETRY_INFO_URL, encode_retry_info(arena, status.info->retry_after_ms));
    }
    message.code = (int32_t)status.code;
    message.message = hf_strdup(arena, rpc_details_text(arena, status));
    message.details = details;
    struct hf_bytes none = {NULL, 0};
    return message.n_details == 0 ? none : rpc_encode(arena, &message.base);
}

struct hf_bytes rpc_details_encode(struct hf_arena *arena, struct hf_status status)
{
    struct hf_bytes bytes = {NULL, 0};
    for (size_t i = 0; status.info != NULL && i < HF_LEN(allowances); i++) {
        bytes = encode(arena, status, &allowances[i]);
        if (bytes.len <= MAX_DETAILS_BYTES) {
            break;
        }
    }
    return bytes;
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
        int64_t ms = retry->retry_delay->seconds * 1000 + retry->retry_delay->nanos / 1000000;
        info->retry_after_ms = ms > 0 ? (int)ms : 0;
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

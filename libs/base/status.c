/* Making, prefixing and copying failures.
 *
 * Surprise: a message that no longer fits its arena becomes a static text instead of an abort,
 * because the commonest reason to fail is that very limit. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"

#define MAX_METADATA 32

static const char no_room[] = "failed, and the message does not fit the call's memory limit";

static const char *const code_names[] = {
    [HF_OK] = "OK",
    [HF_CANCELLED] = "CANCELLED",
    [HF_UNKNOWN] = "UNKNOWN",
    [HF_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [HF_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [HF_NOT_FOUND] = "NOT_FOUND",
    [HF_ALREADY_EXISTS] = "ALREADY_EXISTS",
    [HF_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [HF_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [HF_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [HF_ABORTED] = "ABORTED",
    [HF_OUT_OF_RANGE] = "OUT_OF_RANGE",
    [HF_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [HF_INTERNAL] = "INTERNAL",
    [HF_UNAVAILABLE] = "UNAVAILABLE",
    [HF_DATA_LOSS] = "DATA_LOSS",
    [HF_UNAUTHENTICATED] = "UNAUTHENTICATED",
};

static const struct {
    int error;
    enum hf_code code;
} errno_codes[] = {
    {ENOENT, HF_NOT_FOUND},          {ENOTDIR, HF_NOT_FOUND},
    {EEXIST, HF_ALREADY_EXISTS},     {EACCES, HF_PERMISSION_DENIED},
    {EPERM, HF_PERMISSION_DENIED},   {EROFS, HF_PERMISSION_DENIED},
    {ENOSPC, HF_RESOURCE_EXHAUSTED}, {EDQUOT, HF_RESOURCE_EXHAUSTED},
    {EMFILE, HF_RESOURCE_EXHAUSTED}, {ENFILE, HF_RESOURCE_EXHAUSTED},
    {EFBIG, HF_RESOURCE_EXHAUSTED},  {ECONNREFUSED, HF_UNAVAILABLE},
    {ECONNRESET, HF_UNAVAILABLE},    {ECONNABORTED, HF_UNAVAILABLE},
    {EPIPE, HF_UNAVAILABLE},         {ETIMEDOUT, HF_UNAVAILABLE},
    {EHOSTUNREACH, HF_UNAVAILABLE},  {ENETUNREACH, HF_UNAVAILABLE},
    {ENETDOWN, HF_UNAVAILABLE},      {EHOSTDOWN, HF_UNAVAILABLE},
    {ENOTCONN, HF_UNAVAILABLE},      {EADDRNOTAVAIL, HF_UNAVAILABLE},
    {EADDRINUSE, HF_ALREADY_EXISTS},
};

const char *hf_code_name(enum hf_code code)
{
    size_t index = (size_t)code;

    return index < HF_LEN(code_names) ? code_names[index] : "UNKNOWN";
}

/* prefix + suffix, or NULL when arena has no room. suffix may be empty. */
static char *try_format(struct hf_arena *arena, const char *suffix, const char *format,
                        va_list args) __attribute__((format(printf, 3, 0)));

static char *try_format(struct hf_arena *arena, const char *suffix, const char *format,
                        va_list args)
{
    va_list again;

    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, again);
    va_end(again);
    HF_CHECK(len >= 0);
    size_t suffix_size = strlen(suffix) + 1;
    char *text = hf_try_alloc(arena, (size_t)len + suffix_size);
    if (text != NULL) {
        HF_CHECK(vsnprintf(text, (size_t)len + 1, format, args) == len);
        memcpy(text + len, suffix, suffix_size);
    }
    return text;
}

static const char *try_copy(struct hf_arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = hf_try_alloc(arena, size);

    return copy == NULL ? no_room : memcpy(copy, text, size);
}

/* A copy of info with metadata_len pairs; NULL when arena has no room for it. */
static const struct hf_error_info *try_info(struct hf_arena *arena,
                                            const struct hf_error_info *info)
{
    struct hf_error_info *copy = hf_try_alloc(arena, sizeof(*copy));
    struct hf_pair *pairs = hf_try_alloc(arena, info->metadata_len * sizeof(*pairs));

    if (copy == NULL || pairs == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < info->metadata_len; i++) {
        pairs[i].key = try_copy(arena, info->metadata[i].key);
        pairs[i].value = try_copy(arena, info->metadata[i].value);
    }
    *copy = *info;
    copy->reason = info->reason == NULL ? NULL : try_copy(arena, info->reason);
    copy->metadata = pairs;
    return copy;
}

struct hf_status hf_fail(struct hf_arena *arena, enum hf_code code, const char *format, ...)
{
    va_list args;

    HF_CHECK(code != HF_OK);
    va_start(args, format);
    char *text = try_format(arena, "", format, args);
    va_end(args);
    return (struct hf_status){.code = code, .message = text == NULL ? no_room : text};
}

struct hf_status hf_fail_info(struct hf_arena *arena, enum hf_code code, const char *reason,
                              const char *const metadata[], const char *format, ...)
{
    struct hf_pair pairs[MAX_METADATA];
    struct hf_error_info info = {.reason = reason, .metadata = pairs};
    va_list args;

    HF_CHECK(code != HF_OK && reason != NULL);
    for (size_t i = 0; metadata != NULL && metadata[i] != NULL; i += 2) {
        HF_CHECK(info.metadata_len < MAX_METADATA);
        const char *value = metadata[i + 1] == NULL ? "" : metadata[i + 1];
        pairs[info.metadata_len++] = (struct hf_pair){metadata[i], value};
    }
    va_start(args, format);
    char *text = try_format(arena, "", format, args);
    va_end(args);
    return (struct hf_status){
        .code = code,
        .message = text == NULL ? no_room : text,
        .info = try_info(arena, &info),
    };
}

struct hf_status hf_wrap(struct hf_arena *arena, struct hf_status status, const char *format, ...)
{
    va_list args;

    if (status.code == HF_OK) {
        return status;
    }
    const char *old = status.message == NULL ? hf_code_name(status.code) : status.message;
    va_start(args, format);
    char *prefix = try_format(arena, ": ", format, args);
    va_end(args);
    size_t prefix_len = prefix == NULL ? 0 : strlen(prefix);
    size_t old_size = strlen(old) + 1;
    char *text = prefix == NULL ? NULL : hf_try_alloc(arena, prefix_len + old_size);
    if (text != NULL) {
        memcpy(text, prefix, prefix_len);
        memcpy(text + prefix_len, old, old_size);
        status.message = text;
    }
    return status;
}

struct hf_status hf_fail_errno(struct hf_arena *arena, int error, const char *format, ...)
{
    enum hf_code code = HF_INTERNAL;
    const char *description = strerrordesc_np(error);
    char suffix[128];
    va_list args;

    for (size_t i = 0; i < HF_LEN(errno_codes); i++) {
        if (errno_codes[i].error == error) {
            code = errno_codes[i].code;
        }
    }
    if (description != NULL) {
        (void)snprintf(suffix, sizeof(suffix), ": %s", description);
    } else {
        (void)snprintf(suffix, sizeof(suffix), ": error %d", error);
    }
    va_start(args, format);
    char *text = try_format(arena, suffix, format, args);
    va_end(args);
    return (struct hf_status){.code = code, .message = text == NULL ? no_room : text};
}

struct hf_status hf_status_copy(struct hf_arena *arena, struct hf_status status)
{
    if (status.message != NULL) {
        status.message = try_copy(arena, status.message);
    }
    if (status.info != NULL) {
        status.info = try_info(arena, status.info);
    }
    return status;
}

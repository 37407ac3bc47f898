/* Making, prefixing and copying failures.
 *
 * Surprises: what stands in a message or a value may be foreign, whatever the caller knows of it,
 * so all of it is made fit for a person's eyes here. Statuses may use the arena's spare room behind
 * its limit, because the commonest reason to fail is that very limit; a text that does not even fit
 * there becomes a static one. */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/str.h"

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
    {EADDRINUSE, HF_ALREADY_EXISTS}, {ELOOP, HF_FAILED_PRECONDITION},
};

const char *hf_code_name(enum hf_code code)
{
    size_t index = (size_t)code;

    return index < HF_LEN(code_names) ? code_names[index] : "UNKNOWN";
}

/* head + tail, cut at a character when that is more than HF_MESSAGE_MAX bytes; NULL when arena has
 * no room. */
static char *try_join(struct hf_arena *arena, struct hf_str head, struct hf_str tail)
{
    const struct hf_str mark = HF_STR("\xe2\x80\xa6");
    bool is_cut = head.len > HF_MESSAGE_MAX || tail.len > HF_MESSAGE_MAX - head.len;
    size_t room = HF_MESSAGE_MAX - (is_cut ? mark.len : 0);

    head.len = hf_utf8_cut(head.ptr, head.len, room);
    tail.len = hf_utf8_cut(tail.ptr, tail.len, room - head.len);
    size_t len = head.len + tail.len;
    size_t mark_len = is_cut ? mark.len : 0;
    char *joined = hf_try_alloc_spare(arena, len + mark_len + 1);
    if (joined != NULL) {
        memcpy(joined, head.ptr, head.len);
        memcpy(joined + head.len, tail.ptr, tail.len);
        memcpy(joined + len, mark.ptr, mark_len);
        joined[len + mark_len] = '\0';
    }
    return joined;
}

/* text, made fit for a screen, + suffix, or NULL when arena has no room. Never part of its callers:
 * with their own buffers that would be more than a frame may have. */
static char *try_shown(struct hf_arena *arena, const char *text, const char *suffix)
    __attribute__((noinline));

static char *try_shown(struct hf_arena *arena, const char *text, const char *suffix)
{
    char shown[HF_MESSAGE_MAX + 1];
    size_t len = hf_text_show_in(shown, HF_MESSAGE_MAX, text, strlen(text));

    return try_join(arena, (struct hf_str){shown, len}, hf_str_of(suffix));
}

/* The same of a formatted text. */
static char *try_format(struct hf_arena *arena, const char *suffix, const char *format,
                        va_list args) __attribute__((format(printf, 3, 0)));

static char *try_format(struct hf_arena *arena, const char *suffix, const char *format,
                        va_list args)
{
    char text[HF_MESSAGE_MAX + 8]; /* some bytes more than the most show that it was cut */

    return vsnprintf(text, sizeof(text), format, args) < 0 ? NULL : try_shown(arena, text, suffix);
}

/* A value may be foreign, as a message's parts may. */
static const char *try_value(struct hf_arena *arena, const char *text)
{
    char *copy = try_shown(arena, text, "");

    return copy == NULL ? no_room : copy;
}

static const char *try_copy(struct hf_arena *arena, const char *text)
{
    char *copy = try_join(arena, hf_str_of(text), HF_STR(""));

    return copy == NULL ? no_room : copy;
}

/* A copy of info with metadata_len pairs; NULL when arena has no room for it. */
static const struct hf_error_info *try_info(struct hf_arena *arena,
                                            const struct hf_error_info *info)
{
    struct hf_error_info *copy = hf_try_alloc_spare(arena, sizeof(*copy));
    struct hf_pair *pairs = hf_try_alloc_spare(arena, info->metadata_len * sizeof(*pairs));

    if (copy == NULL || pairs == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < info->metadata_len; i++) {
        pairs[i].key = try_copy(arena, info->metadata[i].key);
        pairs[i].value = try_value(arena, info->metadata[i].value);
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
    struct hf_pair pairs[HF_METADATA_MAX];
    struct hf_error_info info = {.reason = reason, .metadata = pairs};
    va_list args;

    HF_CHECK(code != HF_OK && reason != NULL);
    for (size_t i = 0; metadata != NULL && metadata[i] != NULL && info.metadata_len < HF_LEN(pairs);
         i += 2) {
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
    char *text = prefix == NULL ? NULL : try_join(arena, hf_str_of(prefix), hf_str_of(old));
    if (text != NULL) {
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

struct hf_status hf_arena_check(const struct hf_arena *arena)
{
    static const struct hf_error_info over = {.reason = "MEMORY_LIMIT"};

    if (!hf_arena_is_over(arena)) {
        return hf_success();
    }
    return (struct hf_status){
        .code = HF_RESOURCE_EXHAUSTED,
        .message = "the call or job needs more memory than it may have",
        .info = &over,
    };
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

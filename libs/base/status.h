/* One error type, by value. The code is the gRPC code; the message is for a person. */
#ifndef HF_BASE_STATUS_H
#define HF_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"

/* Equal to grpc_status_code (google/rpc/code.proto). */
enum hf_code {
    HF_OK = 0,
    HF_CANCELLED = 1,
    HF_UNKNOWN = 2,
    HF_INVALID_ARGUMENT = 3,
    HF_DEADLINE_EXCEEDED = 4,
    HF_NOT_FOUND = 5,
    HF_ALREADY_EXISTS = 6,
    HF_PERMISSION_DENIED = 7,
    HF_RESOURCE_EXHAUSTED = 8,
    HF_FAILED_PRECONDITION = 9,
    HF_ABORTED = 10,
    HF_OUT_OF_RANGE = 11,
    HF_UNIMPLEMENTED = 12,
    HF_INTERNAL = 13,
    HF_UNAVAILABLE = 14,
    HF_DATA_LOSS = 15,
    HF_UNAUTHENTICATED = 16,
};

struct hf_pair {
    const char *key;
    const char *value;
};

/* Machine-readable part, becomes google.rpc.ErrorInfo (and RetryInfo). */
struct hf_error_info {
    const char *reason; /* UPPER_SNAKE, stable; from a table of the component */
    const struct hf_pair *metadata;
    size_t metadata_len;
    int retry_after_ms; /* 0: no RetryInfo */
};

struct hf_status {
    enum hf_code code;
    const char *message;              /* caller's arena or static; never freed */
    const struct hf_error_info *info; /* NULL when there is none; same lifetime */
};

#define HF_MUST_USE __attribute__((warn_unused_result))

#define HF_TRY(expr)                                                                               \
    do {                                                                                           \
        struct hf_status hf_try_ = (expr);                                                         \
        if (hf_try_.code != HF_OK) {                                                               \
            return hf_try_;                                                                        \
        }                                                                                          \
    } while (0)

static inline struct hf_status hf_success(void)
{
    return (struct hf_status){.code = HF_OK};
}

static inline bool hf_is_ok(struct hf_status status)
{
    return status.code == HF_OK;
}

/* A failure with a formatted message in arena, cut at HF_MESSAGE_MAX bytes. Lower case, no full
 * stop, names the thing. Message and values become what hf_text_show (str.h) makes of them. */
#define HF_MESSAGE_MAX 4000
struct hf_status hf_fail(struct hf_arena *arena, enum hf_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4))) HF_MUST_USE;

/* The same with a reason; metadata is a NULL-terminated list of key, value, key, value … NULL, of
 * which the first HF_METADATA_MAX pairs are kept, values cut at HF_MESSAGE_MAX bytes. */
#define HF_METADATA_MAX 32
struct hf_status hf_fail_info(struct hf_arena *arena, enum hf_code code, const char *reason,
                              const char *const metadata[], const char *format, ...)
    __attribute__((format(printf, 5, 6))) HF_MUST_USE;

/* Prefix the message ("opening pack 7: …"); code and info stay. OK stays OK. */
struct hf_status hf_wrap(struct hf_arena *arena, struct hf_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4))) HF_MUST_USE;

/* From errno: ENOENT NOT_FOUND, EEXIST ALREADY_EXISTS, EACCES/EPERM PERMISSION_DENIED,
 * ENOSPC/EDQUOT/EMFILE RESOURCE_EXHAUSTED, else UNAVAILABLE for network, INTERNAL for the rest. */
struct hf_status hf_fail_errno(struct hf_arena *arena, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4))) HF_MUST_USE;

/* Copy message and info into another arena (a status that outlives its arena). */
struct hf_status hf_status_copy(struct hf_arena *arena, struct hf_status status);

/* RESOURCE_EXHAUSTED with reason MEMORY_LIMIT (static) when the arena is over, else OK. Every
 * boundary asks it after a success: what was made in such an arena is not given away. */
struct hf_status hf_arena_check(const struct hf_arena *arena) HF_MUST_USE;

/* "NOT_FOUND" …; static. */
const char *hf_code_name(enum hf_code code);

#endif

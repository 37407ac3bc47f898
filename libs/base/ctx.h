/* What a call carries: memory, deadline, cancellation, log fields. A function without a ctx is
 * pure; one with a ctx may block, log or read the clock. */
#ifndef HF_BASE_CTX_H
#define HF_BASE_CTX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct hf_cancel {
    atomic_bool is_set;
};

struct hf_ctx {
    struct hf_arena *arena;
    int64_t deadline_us;            /* hf_mono_us() scale; 0: none */
    const struct hf_cancel *cancel; /* NULL: cannot be cancelled */
    const struct hf_cancel *stop;   /* NULL or the process's drain flag, also cancels */
    const char *trace;              /* NULL or the request/job id that every log line carries */
};

/* CANCELLED, DEADLINE_EXCEEDED or RESOURCE_EXHAUSTED (the arena is over) when the call should end,
 * else OK. Call it in every loop. */
struct hf_status hf_ctx_check(const struct hf_ctx *ctx) HF_MUST_USE;

/* Milliseconds that a poll() may wait: at most max_ms, less when the deadline is near, never
 * above 200 so that cancellation is seen. */
int hf_ctx_poll_ms(const struct hf_ctx *ctx, int max_ms);

/* Wait on one fd for events (POLLIN|POLLOUT) until ready, deadline or cancellation.
 * Errors   CANCELLED, DEADLINE_EXCEEDED; ret_events 0 only when max_ms passed. */
struct hf_status hf_ctx_wait_fd(const struct hf_ctx *ctx, int fd, short events, int max_ms,
                                short *ret_events) HF_MUST_USE;

/* Sleep up to ms; returns early with CANCELLED / DEADLINE_EXCEEDED. */
struct hf_status hf_ctx_sleep(const struct hf_ctx *ctx, int ms) HF_MUST_USE;

#endif

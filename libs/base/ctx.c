/* Deadlines and cancellation. Waits are cut into slices of at most 200 ms, because a flag set by
 * another thread wakes no poll(). */
#include "base/ctx.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>

#include "base/clock.h"

#define SLICE_MS 200

static bool is_set(const struct hf_cancel *cancel)
{
    return cancel != NULL && atomic_load(&cancel->is_set);
}

struct hf_status hf_ctx_check(const struct hf_ctx *ctx)
{
    if (is_set(ctx->cancel)) {
        return (struct hf_status){.code = HF_CANCELLED, .message = "the call was cancelled"};
    }
    if (is_set(ctx->stop)) {
        return (struct hf_status){.code = HF_CANCELLED, .message = "the process is stopping"};
    }
    if (ctx->deadline_us != 0 && hf_mono_us() >= ctx->deadline_us) {
        return (struct hf_status){.code = HF_DEADLINE_EXCEEDED,
                                  .message = "the deadline has passed"};
    }
    return ctx->arena == NULL ? hf_success() : hf_arena_check(ctx->arena);
}

int hf_ctx_poll_ms(const struct hf_ctx *ctx, int max_ms)
{
    int64_t wait_ms = max_ms >= 0 && max_ms < SLICE_MS ? max_ms : SLICE_MS;

    if (ctx->deadline_us != 0) {
        int64_t left_us;
        bool is_past = __builtin_sub_overflow(ctx->deadline_us, hf_mono_us(), &left_us);
        int64_t left_ms = is_past || left_us <= 0 ? 0 : (left_us - 1) / 1000 + 1;
        wait_ms = left_ms < wait_ms ? left_ms : wait_ms;
    }
    return wait_ms < 0 ? 0 : (int)wait_ms;
}

/* Milliseconds until end_us, rounded up; -1 for "for ever". */
static int left_until(int64_t end_us, int max_ms)
{
    if (max_ms < 0) {
        return -1;
    }
    int64_t left_us = end_us - hf_mono_us();
    return left_us <= 0 ? 0 : (int)((left_us + 999) / 1000);
}

struct hf_status hf_ctx_wait_fd(const struct hf_ctx *ctx, int fd, short events, int max_ms,
                                short *ret_events)
{
    int64_t end_us = hf_mono_us() + (int64_t)max_ms * 1000;

    for (;;) {
        HF_TRY(hf_ctx_check(ctx));
        int left_ms = left_until(end_us, max_ms);
        struct pollfd entry = {.fd = fd, .events = events};
        int ready = poll(&entry, 1, hf_ctx_poll_ms(ctx, left_ms));
        if (ready < 0 && errno != EINTR) {
            return hf_fail_errno(ctx->arena, errno, "waiting for a descriptor");
        }
        if (ready > 0 || (ready == 0 && left_until(end_us, max_ms) == 0)) {
            *ret_events = ready > 0 ? entry.revents : 0;
            return hf_success();
        }
    }
}

struct hf_status hf_ctx_sleep(const struct hf_ctx *ctx, int ms)
{
    int64_t end_us = hf_mono_us() + (int64_t)ms * 1000;

    for (;;) {
        HF_TRY(hf_ctx_check(ctx));
        int left_ms = left_until(end_us, ms < 0 ? 0 : ms);
        if (left_ms == 0) {
            return hf_success();
        }
        (void)poll(NULL, 0, hf_ctx_poll_ms(ctx, left_ms));
    }
}

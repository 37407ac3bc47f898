/* Places for calls that talk to a source, and their times. */
#include "backup/api/source_call.h"

#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"

#define RETRY_AFTER_MS 2000

struct source_calls {
    struct hf_lock lock;
    char *tenants[SOURCE_CALLS_MAX]; /* whose call has the place; NULL: free */
};

struct source_calls *source_calls_new(void)
{
    struct source_calls *calls = hf_heap_alloc(sizeof(*calls));

    hf_lock_init(&calls->lock);
    return calls;
}

void source_calls_free(struct source_calls *calls)
{
    if (calls == NULL) {
        return;
    }
    for (size_t i = 0; i < SOURCE_CALLS_MAX; i++) {
        hf_heap_free(calls->tenants[i]);
    }
    hf_lock_done(&calls->lock);
    hf_heap_free(calls);
}

/* SOURCE_CALLS_MAX: there is none for this tenant. The last one is for a tenant that has none: two
 * tenants with slow sources leave a place to the others. */
static size_t free_place(const struct source_calls *calls, const char *tenant_id)
{
    size_t place = SOURCE_CALLS_MAX;
    size_t free = 0;
    size_t mine = 0;

    for (size_t i = 0; i < SOURCE_CALLS_MAX; i++) {
        if (calls->tenants[i] == NULL) {
            place = i;
            free++;
        } else {
            mine += hf_text_equal(calls->tenants[i], tenant_id) ? 1 : 0;
        }
    }
    bool may_have = mine == 0 || (mine < SOURCE_CALLS_TENANT_MAX && free > 1);

    return may_have ? place : SOURCE_CALLS_MAX;
}

static struct hf_status busy(struct hf_ctx *ctx)
{
    static const struct hf_error_info info = {.reason = "SOURCES_BUSY",
                                              .retry_after_ms = RETRY_AFTER_MS};
    struct hf_status status =
        hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED,
                "the service talks to other sources just now (at most %d at once, %d of one "
                "tenant); try again in %d s",
                SOURCE_CALLS_MAX, SOURCE_CALLS_TENANT_MAX, RETRY_AFTER_MS / 1000);

    status.info = &info;
    return status;
}

struct hf_status source_call_begin(struct hf_ctx *ctx, struct source_calls *calls,
                                   const char *tenant_id, struct source_call *ret_call)
{
    hf_lock_take(&calls->lock);
    size_t place = free_place(calls, tenant_id);

    if (place < SOURCE_CALLS_MAX) {
        calls->tenants[place] = hf_heap_strdup(tenant_id);
    }
    hf_lock_release(&calls->lock);
    if (place == SOURCE_CALLS_MAX) {
        return busy(ctx);
    }
    *ret_call = (struct source_call){calls, place};
    return hf_success();
}

void source_call_end(struct source_call *call)
{
    if (call->calls == NULL) {
        return;
    }
    hf_lock_take(&call->calls->lock);
    hf_heap_free(call->calls->tenants[call->place]);
    call->calls->tenants[call->place] = NULL;
    hf_lock_release(&call->calls->lock);
    call->calls = NULL;
}

struct hf_ctx source_call_ctx(const struct hf_ctx *ctx)
{
    struct hf_ctx own = *ctx;
    int64_t until_us = hf_mono_us() + SOURCE_CALL_S * HF_US_PER_S;

    if (own.deadline_us == 0 || own.deadline_us > until_us) {
        own.deadline_us = until_us;
    }
    return own;
}

struct hf_status source_call_status(struct hf_ctx *ctx, struct hf_status status)
{
    if (status.code != HF_DEADLINE_EXCEEDED || !hf_is_ok(hf_ctx_check(ctx))) {
        return status;
    }
    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "SOURCE_TOO_SLOW", NULL,
                        "the source did not answer all questions within %d s", SOURCE_CALL_S);
}

struct hf_ctx source_call_after(const struct hf_ctx *ctx)
{
    struct hf_ctx own = *ctx;

    own.deadline_us = hf_mono_us() + SOURCE_CALL_S * HF_US_PER_S;
    own.cancel = NULL;
    return own;
}

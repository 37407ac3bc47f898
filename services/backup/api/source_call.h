/* Calls that talk to a source: it may be slow or silent on purpose, so they may neither take all
 * threads that answer, nor last as long as their caller likes; and what follows a commit does not
 * end with the caller. Threads: any. */
#ifndef HF_BACKUP_API_SOURCE_CALL_H
#define HF_BACKUP_API_SOURCE_CALL_H

#include "base/cleanup.h"
#include "base/ctx.h"

#define SOURCE_CALLS_MAX 4        /* of the server's 8 handler threads */
#define SOURCE_CALLS_TENANT_MAX 2 /* of one tenant, the last place not being its second */
#define SOURCE_CALL_S 30

struct source_calls;

struct source_calls *source_calls_new(void);
void source_calls_free(struct source_calls *calls); /* accepts NULL */

/* A place among them, given back by source_call_end; zeroed: none. */
struct source_call {
    struct source_calls *calls;
    size_t place;
};
/* Errors   RESOURCE_EXHAUSTED SOURCES_BUSY with a time to retry after */
struct hf_status source_call_begin(struct hf_ctx *ctx, struct source_calls *calls,
                                   const char *tenant_id, struct source_call *ret_call) HF_MUST_USE;
void source_call_end(struct source_call *call);

static inline void source_call_end_cleanup(struct source_call *call)
{
    source_call_end(call);
}

/* The call's ctx, ending after SOURCE_CALL_S at the latest. */
struct hf_ctx source_call_ctx(const struct hf_ctx *ctx);
/* What the caller hears when that time was over: UNAVAILABLE SOURCE_TOO_SLOW; other statuses, and
 * when its own deadline passed, the same. */
struct hf_status source_call_status(struct hf_ctx *ctx, struct hf_status status);
/* For what follows a commit: SOURCE_CALL_S from now whatever the caller wants; ends with the
 * process only. */
struct hf_ctx source_call_after(const struct hf_ctx *ctx);

#endif

/* The first failure of several threads that work on one thing. Inside libs/vault only. */
#ifndef HF_VAULT_FAULT_H
#define HF_VAULT_FAULT_H

#include <stdatomic.h>

#include "base/ctx.h"
#include "base/pool.h"

struct vault_fault {
    struct hf_lock lock; /* guards status and arena */
    struct hf_status status;
    struct hf_arena *arena;
    atomic_bool is_set;
};

void vault_fault_init(struct vault_fault *fault);
void vault_fault_done(struct vault_fault *fault);
/* The first failure stays; OK is ignored. Any thread. */
void vault_fault_set(struct vault_fault *fault, struct hf_status status);
static inline bool vault_fault_is_set(struct vault_fault *fault)
{
    return atomic_load(&fault->is_set);
}
/* The failure (copied to ctx->arena), or the state of ctx. */
struct hf_status vault_fault_check(const struct hf_ctx *ctx, struct vault_fault *fault) HF_MUST_USE;

/* asked, or the number of cores when 0; at most VAULT_THREADS_MAX. */
#define VAULT_THREADS_MAX 64u
unsigned vault_threads(unsigned asked);

#endif

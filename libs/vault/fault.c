/* First failure wins; later ones are usually its consequences. */
#include "vault/fault.h"

#include <unistd.h>

#define ARENA_MAX (1u << 20)

void vault_fault_init(struct vault_fault *fault)
{
    hf_lock_init(&fault->lock);
    fault->arena = hf_arena_new(ARENA_MAX);
    fault->status = hf_success();
    atomic_init(&fault->is_set, false);
}

void vault_fault_done(struct vault_fault *fault)
{
    hf_lock_done(&fault->lock);
    hf_arena_free(fault->arena);
    fault->arena = NULL;
}

void vault_fault_set(struct vault_fault *fault, struct hf_status status)
{
    if (hf_is_ok(status)) {
        return;
    }
    hf_lock_take(&fault->lock);
    if (hf_is_ok(fault->status)) {
        fault->status = hf_status_copy(fault->arena, status);
        atomic_store(&fault->is_set, true);
    }
    hf_lock_release(&fault->lock);
}

struct hf_status vault_fault_check(const struct hf_ctx *ctx, struct vault_fault *fault)
{
    if (!vault_fault_is_set(fault)) {
        return hf_ctx_check(ctx);
    }
    hf_lock_take(&fault->lock);
    struct hf_status status = hf_status_copy(ctx->arena, fault->status);
    hf_lock_release(&fault->lock);
    return status;
}

unsigned vault_threads(unsigned asked)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = asked > 0 ? asked : (unsigned)(cores > 0 ? cores : 1);

    return threads < VAULT_THREADS_MAX ? threads : VAULT_THREADS_MAX;
}

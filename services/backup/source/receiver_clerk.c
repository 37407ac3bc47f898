/* All that may be slow, on a thread of its own: the inventory (its hook writes to a database and to
 * the journal), compaction, the slots on other members. None may hold up an acknowledgement. */
#include <string.h>

#include "backup/source/receiver_internal.h"
#include "base/clock.h"
#include "base/log.h"

#define CLERK_ARENA ((size_t)256 << 20)
#define LOOK_MS 500
#define COMPACT_US (5 * HF_US_PER_S)
#define MEMBERS_US (15 * HF_US_PER_S)

struct clerk {
    struct receiver *receiver;
    struct receiver_status told; /* what the hook knows */
    struct receiver_compaction compaction;
    int64_t tell_us; /* hf_mono_us() when each is due */
    int64_t compact_us;
    int64_t members_us;
};

static bool has_news(const struct receiver_status *now, const struct receiver_status *told)
{
    return now->durable_lsn != 0 && now->timeline != 0 &&
           (now->timeline != told->timeline || now->durable_lsn != told->durable_lsn ||
            now->durable_time_us != told->durable_time_us ||
            strcmp(now->lineage, told->lineage) != 0);
}

static void warn(struct hf_ctx *ctx, const struct clerk *clerk, const char *event,
                 struct hf_status status)
{
    hf_warn(ctx, HF_EVENT(event), HF_TEXT("cluster", clerk->receiver->options.cluster),
            HF_TEXT("error", status.message == NULL ? "" : status.message));
}

static void tell(struct hf_ctx *ctx, struct clerk *clerk, const struct receiver_status *now)
{
    const struct receiver_hooks *hooks = &clerk->receiver->options.hooks;
    const struct vault_wal_info wal = {
        .lineage = now->lineage,
        .timeline = now->timeline,
        .durable_lsn = now->durable_lsn,
        .durable_time_us = now->durable_time_us,
    };
    struct hf_status status;

    if (hooks->on_inventory == NULL || !has_news(now, &clerk->told)) {
        return;
    }
    clerk->tell_us = hf_mono_us() + clerk->receiver->options.inventory_us;
    status = hooks->on_inventory(ctx, hooks->arg, &wal);
    if (status.code == HF_OK) {
        clerk->told = *now;
    } else {
        warn(ctx, clerk, "wal.inventory.failed", status);
    }
}

static void look(struct hf_ctx *ctx, struct clerk *clerk)
{
    struct receiver_status now;
    struct hf_status status;

    receiver_status_get(clerk->receiver, &now);
    if (hf_mono_us() >= clerk->tell_us) {
        tell(ctx, clerk, &now);
    }
    if (hf_mono_us() >= clerk->compact_us) {
        status = receiver_compact(ctx, clerk->receiver, &now, &clerk->compaction);
        clerk->compact_us = hf_mono_us() + COMPACT_US;
        if (status.code != HF_OK && status.code != HF_CANCELLED) {
            clerk->compact_us += 60 * HF_US_PER_S;
            warn(ctx, clerk, "wal.compaction.failed", status);
        }
    }
    if (now.state == RECEIVER_STREAMING && hf_mono_us() >= clerk->members_us) {
        receiver_tend_members(ctx, clerk->receiver, &now);
        clerk->members_us = hf_mono_us() + MEMBERS_US;
    }
}

void receiver_clerk(void *arg)
{
    struct clerk clerk = {.receiver = arg};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(CLERK_ARENA);
    struct hf_ctx ctx = {.arena = arena, .stop = &clerk.receiver->stop};

    while (hf_is_ok(hf_ctx_sleep(&ctx, LOOK_MS))) {
        look(&ctx, &clerk);
        hf_arena_reset(arena);
    }
}

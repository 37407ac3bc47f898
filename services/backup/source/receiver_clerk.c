/* All that may be slow, on a thread of its own: the inventory (its hook writes to a database and to
 * the journal), compaction, the slots on other members, looks at the source's settings. None may
 * hold up an acknowledgement. */
#include <string.h>

#include "backup/source/receiver_internal.h"
#include "base/clock.h"
#include "base/log.h"

#define CLERK_ARENA ((size_t)256 << 20)
#define LOOK_MS 500
#define COMPACT_US (5 * HF_US_PER_S)
#define MEMBERS_US (15 * HF_US_PER_S)
#define CONNECT_MS 3000
#define LOOK_MIN_US (1 * HF_US_PER_S)
#define SOURCE_US (10 * HF_US_PER_S)
#define STORED_US (3600 * HF_US_PER_S)
#define LOST_US (5 * HF_US_PER_S) /* nothing is received until the vault is the old one again */

struct clerk {
    struct receiver *receiver;
    struct receiver_status told; /* what the hook knows */
    struct receiver_compaction compaction;
    int64_t tell_us; /* hf_mono_us() when each is due */
    int64_t vault_us;
    int64_t stored_us;
    int64_t stored_pause_us; /* after a hole at the end, or a failure: it grows */
    int64_t compact_us;
    int64_t members_us;
    int64_t source_us;
    int64_t source_min_us; /* not before, however often the source lets us in */
    uint64_t opens;        /* of the stream, when the stored WAL was looked through */
    uint64_t connects;     /* of the stream, when the source was looked at */
    bool has_failed;       /* the last look did: said once */
    bool is_wire_only;     /* the role may not have an SQL connection: asked anew after a connect */
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

static struct vault_wal_info info_of(const struct receiver_status *now)
{
    return (struct vault_wal_info){
        .lineage = now->lineage,
        .timeline = now->timeline,
        .durable_lsn = now->durable_lsn,
        .durable_time_us = now->durable_time_us,
    };
}

static void tell(struct hf_ctx *ctx, struct clerk *clerk, const struct receiver_status *now)
{
    const struct receiver_hooks *hooks = &clerk->receiver->options.hooks;
    const struct vault_wal_info wal = info_of(now);
    struct hf_status status;

    if (hooks->on_inventory == NULL || !has_news(now, &clerk->told)) {
        return;
    }
    clerk->tell_us = hf_mono_us() + clerk->receiver->options.inventory_us;
    status = hooks->on_inventory(ctx, hooks->arg, &wal);
    receiver_note_vault(clerk->receiver, RECEIVER_INVENTORY, status);
    if (receiver_is_vault_lost(status) && clerk->tell_us > hf_mono_us() + LOST_US) {
        clerk->tell_us = hf_mono_us() + LOST_US;
    }
    if (status.code == HF_OK) {
        clerk->told = *now;
    } else {
        warn(ctx, clerk, "wal.inventory.failed", status);
    }
}

/* What the vault has lost meanwhile, or never had. */
static void look_at_stored(struct hf_ctx *ctx, struct clerk *clerk,
                           const struct receiver_status *now)
{
    const struct receiver_hooks *hooks = &clerk->receiver->options.hooks;
    const struct vault_wal_info wal = info_of(now);
    bool is_at_end = false;

    if (hooks->on_stored == NULL ||
        (now->opens == clerk->opens && (now->opens == 0 || hf_mono_us() < clerk->stored_us))) {
        return;
    }
    struct hf_status status = hooks->on_stored(ctx, hooks->arg, &wal, &is_at_end);
    bool is_settled = hf_is_ok(status) && !is_at_end;

    /* Soon again, for what is missing at the end may come back; but whoever left it missing does
     * not pay for a listing each minute for ever. */
    if (clerk->opens != now->opens || clerk->stored_pause_us == 0) {
        clerk->stored_pause_us = clerk->receiver->options.inventory_us;
    }
    clerk->opens = now->opens;
    clerk->stored_us = hf_mono_us() + (is_settled ? STORED_US : clerk->stored_pause_us);
    clerk->stored_pause_us =
        clerk->stored_pause_us < STORED_US / 2 ? 2 * clerk->stored_pause_us : STORED_US;
    if (!hf_is_ok(status)) {
        warn(ctx, clerk, "wal.holes.failed", status);
    }
}

static struct hf_status look_once(struct hf_ctx *ctx, const struct clerk *clerk,
                                  struct pgwire_source *ret_source)
{
    const struct receiver_options *own = &clerk->receiver->options;
    struct pgwire_source_options options = {
        .dsn = own->dsn,
        .password = own->password,
        .access = &own->access,
        .is_primary_only = true,
        .is_wire_only = clerk->is_wire_only,
        .connect_timeout_ms = CONNECT_MS,
    };
    struct hf_status status = pgwire_source_look(ctx, &options, ret_source);

    if (status.info == NULL || !hf_text_equal(status.info->reason, "WRONG_SERVER_ROLE")) {
        return status;
    }
    options.is_primary_only = false; /* then we stream from a standby, too */
    return pgwire_source_look(ctx, &options, ret_source);
}

/* Would it be said again to the next who asks? */
static bool is_refusal(struct hf_status status)
{
    return status.code == HF_PERMISSION_DENIED || status.code == HF_UNAUTHENTICATED ||
           status.code == HF_FAILED_PRECONDITION || status.code == HF_NOT_FOUND;
}

/* A setting that was changed is known soon; what cannot be asked now stays as it was known. */
static void look_at_source(struct hf_ctx *ctx, struct clerk *clerk,
                           const struct receiver_status *now)
{
    const struct receiver_hooks *hooks = &clerk->receiver->options.hooks;
    struct hf_ctx bounded = *ctx;
    struct pgwire_source source;

    clerk->is_wire_only = clerk->is_wire_only && clerk->connects == now->connects;
    clerk->connects = now->connects;
    clerk->source_us = hf_mono_us() + clerk->receiver->options.look_us;
    clerk->source_min_us = hf_mono_us() + LOOK_MIN_US;
    bounded.deadline_us = hf_mono_us() + SOURCE_US;
    struct hf_status status = look_once(&bounded, clerk, &source);

    if (!hf_is_ok(status) && !clerk->is_wire_only && is_refusal(status)) {
        clerk->is_wire_only = true;
        clerk->source_us = 0; /* at once the other way */
        clerk->source_min_us = 0;
        return;
    }
    if (hf_is_ok(status)) {
        status = hooks->on_look(ctx, hooks->arg, &source);
    }
    if (!hf_is_ok(status) && !clerk->has_failed) {
        warn(ctx, clerk, "wal.look.failed", status);
    }
    clerk->has_failed = !hf_is_ok(status);
}

static void look(struct hf_ctx *ctx, struct clerk *clerk)
{
    struct receiver_status now;
    struct hf_status status;

    receiver_status_get(clerk->receiver, &now);
    if (hf_mono_us() >= clerk->vault_us) {
        receiver_look_at_vault(ctx, clerk->receiver);
        clerk->vault_us = hf_mono_us() + clerk->receiver->options.vault_us;
    }
    look_at_stored(ctx, clerk, &now);
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
    if (clerk->receiver->options.hooks.on_look != NULL && now.state == RECEIVER_STREAMING &&
        hf_mono_us() >= clerk->source_min_us &&
        (now.connects != clerk->connects || hf_mono_us() >= clerk->source_us)) {
        look_at_source(ctx, clerk, &now);
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

/* A slot on every reachable member of a DSN with several hosts, moved up to what is durable.
 *
 * A slot does not travel to a standby: without one of its own, a standby removes WAL that is not
 * yet stored here, and its promotion would leave a gap.
 */
#include <string.h>

#include "backup/source/receiver_internal.h"
#include "base/clock.h"
#include "pgwire/dsn.h"
#include "pgwire/slot.h"
#include "pgwire/source.h"

#define CONNECT_MS 3000
#define MEMBER_US (10 * HF_US_PER_S)

/* Is it a member of the cluster, and not another server at an address that was reused? */
static bool is_member(struct hf_ctx *ctx, const struct receiver *receiver, const char *dsn)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    struct pgwire_options options = {
        .dsn = dsn,
        .password = receiver->options.password,
        .access = &receiver->options.access,
        .mode = PGWIRE_REPLICATION,
        .connect_timeout_ms = CONNECT_MS,
    };
    struct pgwire_identity identity = {0};

    return hf_is_ok(pgwire_open(ctx, &options, &conn)) &&
           hf_is_ok(pgwire_identify(ctx, conn, &identity)) &&
           hf_text_equal(identity.system_identifier, receiver->options.system_identifier);
}

static struct hf_status tend(struct hf_ctx *ctx, const struct receiver *receiver, const char *dsn,
                             uint64_t durable_lsn)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    struct pgwire_options options = {
        .dsn = dsn,
        .password = receiver->options.password,
        .access = &receiver->options.access,
        .mode = PGWIRE_SQL,
        .connect_timeout_ms = CONNECT_MS,
    };
    struct pgwire_slot slot = {0};
    bool is_made = false;

    if (!is_member(ctx, receiver, dsn)) {
        return hf_success();
    }
    HF_TRY(pgwire_open(ctx, &options, &conn));
    HF_TRY(pgwire_slot_make(ctx, conn, receiver->options.slot, &is_made));
    HF_TRY(pgwire_slot_read(ctx, conn, receiver->options.slot, &slot));
    if (slot.is_active) {
        return hf_success(); /* the one that is streamed from: its slot moves by itself */
    }
    return pgwire_slot_advance(ctx, conn, receiver->options.slot, durable_lsn);
}

void receiver_tend_members(struct hf_ctx *ctx, const struct receiver *receiver,
                           const struct receiver_status *now)
{
    struct pgwire_dsn dsn = {0};

    if (now->state != RECEIVER_STREAMING || now->durable_lsn == 0 ||
        !hf_is_ok(pgwire_dsn_parse(ctx->arena, receiver->options.dsn, &dsn)) || dsn.hosts_len < 2) {
        return;
    }
    for (size_t i = 0; i < dsn.hosts_len && hf_is_ok(hf_ctx_check(ctx)); i++) {
        struct hf_ctx member = *ctx;
        char *single = NULL;

        member.deadline_us = hf_mono_us() + MEMBER_US;
        /* A member that is away is tried again at the next round; nothing depends on it now. */
        if (hf_is_ok(pgwire_dsn_single(ctx->arena, receiver->options.dsn, i, &single))) {
            (void)hf_is_ok(tend(&member, receiver, single, now->durable_lsn));
        }
    }
}

/* The receiver's thread: connect, plan, stream, and after any failure again, for ever.
 *
 * Surprise: a primary is preferred even when a standby would answer first. A synchronous commit
 * waits for us on the primary, and a standby cannot pass our acknowledgement on.
 */
#include <string.h>

#include "backup/source/receiver_internal.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "pgwire/dsn.h"
#include "pgwire/slot.h"
#include "pgwire/source.h"

#define SESSION_ARENA ((size_t)256 << 20)
#define BACKOFF_FIRST_MS 200
#define BACKOFF_MAX_MS 10000
#define STANDBY_US (30 * HF_US_PER_S) /* on a standby, when a primary may be elsewhere */
#define LEGS_MAX 64                   /* timelines of one session */
#define LEG_PAUSE_MS 100
#define CLOSE_US (10 * HF_US_PER_S) /* the last flush when the receiver is stopped */

static bool has_reason(struct hf_status status, const char *reason)
{
    return status.info != NULL && hf_text_equal(status.info->reason, reason);
}

static struct hf_status connect_source(struct hf_ctx *ctx, struct receiver_session *session)
{
    const struct receiver *receiver = session->receiver;
    struct pgwire_options options = {
        .dsn = receiver->options.dsn,
        .password = receiver->options.password,
        .access = &receiver->options.access,
        .mode = PGWIRE_REPLICATION,
        .application_name = receiver->application_name,
        .is_primary_only = true,
    };
    struct pgwire_dsn dsn = {0};
    struct hf_status status = pgwire_open(ctx, &options, &session->conn);

    if (!has_reason(status, "WRONG_SERVER_ROLE")) {
        return status;
    }
    HF_TRY(pgwire_dsn_parse(ctx->arena, receiver->options.dsn, &dsn));
    options.is_primary_only = false;
    HF_TRY(pgwire_open(ctx, &options, &session->conn));
    session->is_standby = true;
    session->leave_us = dsn.hosts_len > 1 ? hf_mono_us() + STANDBY_US : 0;
    return hf_success();
}

/* Is it the server that is protected? */
static struct hf_status identify(struct hf_ctx *ctx, struct receiver_session *session)
{
    const struct receiver_options *options = &session->receiver->options;
    struct pgwire_identity identity = {0};

    HF_TRY(pgwire_identify(ctx, session->conn, &identity));
    if (!hf_text_equal(identity.system_identifier, options->system_identifier)) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_SYSTEM", NULL,
                            "%s has system identifier %s, but %s is protected: another cluster "
                            "answers at this DSN",
                            pgwire_peer(session->conn), identity.system_identifier,
                            options->system_identifier);
    }
    if (identity.timeline < session->next_timeline) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE,
                       "%s says that its timeline %u has ended, and is on timeline %u",
                       pgwire_peer(session->conn), (unsigned)session->next_timeline - 1,
                       (unsigned)identity.timeline);
    }
    session->timeline = identity.timeline;
    session->flush_lsn = identity.flush_lsn;
    return hf_success();
}

static struct hf_status check_segment_size(struct hf_ctx *ctx,
                                           const struct receiver_session *session)
{
    uint64_t bytes = 0;

    HF_TRY(pgwire_segment_size(ctx, session->conn, &bytes));
    if (bytes != session->place.segment_bytes) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "SEGMENT_SIZE", NULL,
                            "%s has WAL segments of %llu bytes, the stored ones have %llu",
                            pgwire_peer(session->conn), (unsigned long long)bytes,
                            (unsigned long long)session->place.segment_bytes);
    }
    return hf_success();
}

/* WAL is lost only when the server that we would go on with has lost it: a standby from which we
 * stream until the primary is back may lack what the primary's slot still keeps. */
static void note_removed(const struct receiver_session *session)
{
    struct receiver *receiver = session->receiver;
    const char *peer = pgwire_peer(session->conn);
    size_t len = strnlen(peer, RECEIVER_PEER_MAX - 1);

    receiver->is_gap_due = !session->is_standby || session->leave_us == 0;
    memcpy(receiver->gap_peer, peer, len);
    receiver->gap_peer[len] = '\0';
}

/* A slot that lost its WAL can never be used again: the next session makes a new one. */
static struct hf_status judge_failure(struct hf_ctx *ctx, struct receiver_session *session,
                                      struct hf_status status)
{
    struct receiver *receiver = session->receiver;

    if (vault_wal_is_conflict(status)) {
        HF_TRY(receiver_fork_lineage(ctx, session, status.message));
    } else if (has_reason(status, "WAL_REMOVED")) {
        note_removed(session);
    } else if (has_reason(status, "SLOT_LOST") && pgwire_is_alive(session->conn)) {
        HF_TRY(pgwire_slot_drop(ctx, session->conn, receiver->options.slot));
    }
    return status;
}

/* A server that turns the page again and again is left, and comes back after the pause of any
 * failure. */
static struct hf_status run_legs(struct hf_ctx *ctx, struct receiver_session *session)
{
    for (int legs = 0; legs < LEGS_MAX; legs++) {
        HF_TRY(hf_ctx_sleep(ctx, legs < 2 ? 0 : LEG_PAUSE_MS));
        HF_TRY(identify(ctx, session));
        HF_TRY(receiver_plan(ctx, session));
        HF_TRY(receiver_stream(ctx, session));
    }
    return hf_fail(ctx->arena, HF_UNAVAILABLE, "%s has ended %d timelines in one connection",
                   pgwire_peer(session->conn), LEGS_MAX);
}

static struct hf_status run_session(struct hf_ctx *ctx, struct receiver *receiver)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    struct receiver_session session = {
        .receiver = receiver,
        .place = {receiver->options.prefix, receiver->lineage, receiver->options.segment_bytes},
    };
    struct hf_status status;
    bool is_made = false;

    receiver_look_at_vault(ctx, receiver);
    HF_TRY(receiver_check_vault(ctx, receiver));
    receiver_note_state(receiver, RECEIVER_CONNECTING, NULL);
    status = receiver_open_stored(ctx, receiver);
    (void)status; /* the plan opens again and says it: a slot is made although the vault is away */
    status = connect_source(ctx, &session);
    conn = session.conn;
    HF_TRY(status);
    HF_TRY(check_segment_size(ctx, &session));
    HF_TRY(identify(ctx, &session));
    HF_TRY(pgwire_slot_make(ctx, conn, receiver->options.slot, &is_made));
    status = run_legs(ctx, &session);
    return judge_failure(ctx, &session, status);
}

/* What only a person can mend. It is tried again all the same. */
static bool needs_person(struct hf_status status)
{
    return status.code == HF_PERMISSION_DENIED || status.code == HF_INVALID_ARGUMENT ||
           receiver_is_vault_lost(status) || has_reason(status, "FOREIGN_SYSTEM") ||
           has_reason(status, "OLD_TIMELINE") || has_reason(status, "SEGMENT_SIZE") ||
           has_reason(status, "WAL_LEVEL_MINIMAL") || has_reason(status, "HISTORY_UNSTABLE") ||
           has_reason(status, "SLOT_NAME_TAKEN");
}

/* Full jitter above a floor, so that a hundred receivers do not come back together. */
static int backoff_ms(struct receiver *receiver)
{
    unsigned exponent = receiver->failures < 6 ? receiver->failures : 6;
    int most = BACKOFF_FIRST_MS << exponent;
    uint32_t random = 0;

    receiver->failures++;
    most = most < BACKOFF_MAX_MS ? most : BACKOFF_MAX_MS;
    hf_random(&random, sizeof(random));
    return most / 2 + (int)(random % (uint32_t)(most / 2 + 1));
}

/* Logged when it is news: a source that is away for a day fails ten thousand times alike, also when
 * it lets us in for a moment each time. */
static void note_failure(struct hf_ctx *ctx, struct receiver *receiver, struct hf_status status)
{
    enum receiver_state state = needs_person(status) ? RECEIVER_STALLED : RECEIVER_WAITING;
    const char *message = status.message == NULL ? "" : status.message;
    size_t len = hf_utf8_cut(message, strlen(message), sizeof(receiver->said) - 1);

    receiver_note_state(receiver, state, &status);
    if (strncmp(receiver->said, message, len) != 0 || receiver->said[len] != '\0') {
        memcpy(receiver->said, message, len);
        receiver->said[len] = '\0';
        hf_warn(ctx, HF_EVENT("wal.receiver.failed"), HF_TEXT("cluster", receiver->options.cluster),
                HF_TEXT("code", hf_code_name(status.code)), HF_TEXT("error", message));
    }
}

/* The writer survives a lost connection, but not an error of its own: then what is durable must be
 * read from the vault again. */
static void drop_spent_writer(struct receiver *receiver)
{
    if (receiver->writer != NULL && vault_wal_writer_is_spent(receiver->writer)) {
        vault_wal_writer_free(HF_TAKE(receiver->writer));
    }
}

static void finish(struct receiver *receiver)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(SESSION_ARENA);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = hf_mono_us() + CLOSE_US};

    if (receiver->writer != NULL && !vault_wal_writer_is_spent(receiver->writer)) {
        struct hf_status status = vault_wal_writer_close(&ctx, receiver->writer);

        if (status.code != HF_OK) {
            note_failure(&ctx, receiver, status);
        }
        receiver_note_durable(receiver);
    }
    vault_wal_writer_free(HF_TAKE(receiver->writer));
    receiver_note_state(receiver, RECEIVER_STOPPED, NULL);
}

void receiver_loop(void *arg)
{
    struct receiver *receiver = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(SESSION_ARENA);
    struct hf_ctx ctx = {.arena = arena, .stop = &receiver->stop};

    while (!atomic_load(&receiver->stop.is_set)) {
        struct hf_status status = run_session(&ctx, receiver);

        drop_spent_writer(receiver);
        if (!atomic_load(&receiver->stop.is_set)) {
            note_failure(&ctx, receiver, status);
            hf_arena_reset(arena); /* before the pause: a session over its memory waits as well */
            status = hf_ctx_sleep(&ctx, backoff_ms(receiver));
        }
        hf_arena_reset(arena);
    }
    finish(receiver);
}

/* Where streaming goes on: which timeline, from which LSN, in which lineage.
 *
 * Surprise: WAL that we hold beyond the point where the next timeline branched off is no conflict.
 * An old primary sent it and nobody else got it; it stays, and the new timeline is followed.
 */
#include <inttypes.h>
#include <string.h>

#include "backup/source/receiver_internal.h"
#include "backup/source/way.h"
#include "base/check.h"
#include "base/clock.h"
#include "pgwire/slot.h"
#include "pgwire/source.h"
#include "pgwire/walstream.h"
#include "vault/wal_index.h"

#define HOUR_US (3600 * HF_US_PER_S)

struct hf_status receiver_afford(struct hf_ctx *ctx, struct receiver_budget *budget, unsigned most,
                                 const char *what)
{
    int64_t now_us = hf_mono_us();

    if (budget->used == 0 || now_us - budget->since_us > HOUR_US) {
        *budget = (struct receiver_budget){.since_us = now_us};
    }
    if (budget->used >= most) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "HISTORY_UNSTABLE", NULL,
                            "%s %u times within an hour: no more of it until the hour is over; is "
                            "it one healthy server that answers at this DSN?",
                            what, budget->used);
    }
    return hf_success();
}

static uint64_t segment_start(const struct receiver_session *session, uint64_t lsn)
{
    return lsn - lsn % session->place.segment_bytes;
}

static struct vault_wal_place place_of(const struct receiver *receiver)
{
    return (struct vault_wal_place){receiver->options.prefix, receiver->lineage,
                                    receiver->options.segment_bytes};
}

/* The history file must be in the vault before any WAL of its timeline. */
static struct hf_status store_history(struct hf_ctx *ctx, const struct receiver_session *session,
                                      uint32_t timeline)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    const struct receiver_options *options = &session->receiver->options;

    if (timeline == 1) {
        return hf_success();
    }
    hf_buf_init(&text, VAULT_WAL_HISTORY_MAX);
    HF_TRY(pgwire_timeline_history(ctx, session->conn, timeline, &text));
    return vault_wal_history_put(ctx, options->store, options->keyring, &session->place, timeline,
                                 (struct hf_bytes){text.ptr, text.len});
}

static struct hf_status load_history(struct hf_ctx *ctx, struct receiver_session *session)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    struct hf_str view;

    if (session->history.timeline == session->timeline) {
        return hf_success();
    }
    hf_buf_init(&text, VAULT_WAL_HISTORY_MAX);
    if (session->timeline > 1) {
        HF_TRY(pgwire_timeline_history(ctx, session->conn, session->timeline, &text));
    }
    view.ptr = hf_strndup(ctx->arena, text.len == 0 ? "" : (const char *)text.ptr, text.len);
    view.len = text.len;
    return pgf_history_parse(ctx->arena, session->timeline, view, &session->history);
}

static struct hf_status open_writer(struct hf_ctx *ctx, struct receiver *receiver,
                                    uint32_t timeline, uint64_t start_lsn)
{
    struct vault_wal_writer_options options = {
        .place = place_of(receiver),
        .timeline = timeline,
        .start_lsn = start_lsn,
    };

    HF_CHECK(receiver->writer == NULL);
    HF_TRY(vault_wal_writer_open(ctx, receiver->options.store, receiver->options.keyring, &options,
                                 &receiver->writer));
    receiver->timeline = timeline;
    receiver_note_durable(receiver);
    receiver_note_open(receiver);
    return hf_success();
}

static struct hf_status begin_timeline(struct hf_ctx *ctx, struct receiver_session *session,
                                       uint32_t timeline, uint64_t start_lsn)
{
    HF_TRY(store_history(ctx, session, timeline));
    return open_writer(ctx, session->receiver, timeline, start_lsn);
}

/* The newest timeline to which the stored ones lead. Not any that has WAL: archive_command may have
 * pushed it, and what led nowhere would look like a source that fell behind, for ever. Begins at
 * the one that was streamed last, as far as that is known. */
static struct hf_status newest_led_to(struct hf_ctx *ctx, const struct receiver *receiver,
                                      const struct vault_wal_index *index, uint32_t *ret_timeline)
{
    const struct receiver_options *own = &receiver->options;
    const struct vault_wal_range *at = vault_wal_index_last(index, receiver->timeline);
    struct way way = {.store = own->store, .keyring = own->keyring, .place = place_of(receiver)};

    *ret_timeline = 0;
    for (size_t i = 0; i < index->ranges_len; i++) {
        const uint32_t timeline = index->ranges[i].timeline;

        at = at == NULL ? vault_wal_index_last(index, timeline) : at;
        if (timeline <= at->timeline || (i > 0 && timeline == index->ranges[i - 1].timeline)) {
            continue;
        }
        struct hf_status status = way_load(ctx, &way, timeline);

        if (status.code == HF_NOT_FOUND || status.code == HF_DATA_LOSS) {
            continue;
        }
        HF_TRY(status);
        const struct pgf_history_entry *left = pgf_history_find(&way.history, at->timeline, NULL);

        if (left != NULL && left->switch_lsn <= at->to) {
            at = vault_wal_index_last(index, timeline);
        }
    }
    *ret_timeline = at == NULL ? 0 : at->timeline;
    return hf_success();
}

/* The vault alone says which timeline that is: one that had begun and of which nothing became
 * durable begins again. */
struct hf_status receiver_open_stored(struct hf_ctx *ctx, struct receiver *receiver)
{
    struct vault_wal_place place = place_of(receiver);
    struct vault_wal_index index = {0};

    if (receiver->writer != NULL) {
        return hf_success();
    }
    HF_TRY(vault_wal_index_load(ctx, receiver->options.store, receiver->options.keyring, &place, 0,
                                &index));
    uint32_t timeline = 0;

    HF_TRY(newest_led_to(ctx, receiver, &index, &timeline));
    if (timeline == 0) {
        receiver_note_open(receiver); /* nothing is there: the points may need some */
        return hf_success();
    }
    return open_writer(ctx, receiver, timeline, 0);
}

static struct hf_status close_writer(struct hf_ctx *ctx, struct receiver *receiver)
{
    HF_CLEANUP(vault_wal_writer_free) struct vault_wal_writer *writer = HF_TAKE(receiver->writer);

    return writer == NULL ? hf_success() : vault_wal_writer_close(ctx, writer);
}

/* The oldest LSN that the slot keeps, or the server's end when it does not say. */
static struct hf_status reserved_lsn(struct hf_ctx *ctx, const struct receiver_session *session,
                                     uint64_t *ret_lsn)
{
    struct pgwire_slot slot = {0};
    struct hf_status status =
        pgwire_slot_read(ctx, session->conn, session->receiver->options.slot, &slot);

    /* Servers before 15 do not tell a walsender; our own slot reserves at most what is there. */
    if (status.code != HF_OK && status.code != HF_FAILED_PRECONDITION) {
        return status;
    }
    *ret_lsn =
        status.code == HF_OK && slot.restart_lsn != 0 ? slot.restart_lsn : session->flush_lsn;
    return hf_success();
}

/* Nothing is stored yet: begin at the start of the segment that the slot keeps. */
static struct hf_status begin_lineage(struct hf_ctx *ctx, struct receiver_session *session)
{
    uint64_t lsn = 0;
    uint32_t timeline;

    HF_TRY(reserved_lsn(ctx, session, &lsn));
    HF_TRY(load_history(ctx, session));
    timeline = pgf_history_timeline_at(&session->history, lsn);
    return begin_timeline(ctx, session, timeline, segment_start(session, lsn));
}

static struct hf_status ensure_writer(struct hf_ctx *ctx, struct receiver_session *session)
{
    HF_TRY(receiver_open_stored(ctx, session->receiver));
    return session->receiver->writer == NULL ? begin_lineage(ctx, session) : hf_success();
}

struct hf_status receiver_fork_lineage(struct hf_ctx *ctx, struct receiver_session *session,
                                       const char *why)
{
    struct receiver *receiver = session->receiver;
    struct receiver_fork fork = {
        .lineage = hf_strdup(ctx->arena, receiver->lineage),
        .timeline = session->timeline,
        .start_lsn = segment_start(session, session->flush_lsn),
        .why = why,
    };
    const char *lineage = NULL;

    if (receiver->options.hooks.on_lineage == NULL) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "a new lineage must begin: %s", why);
    }
    HF_TRY(receiver_afford(ctx, &receiver->fork_budget, RECEIVER_FORKS_PER_HOUR,
                           "the source's history became another one"));
    HF_TRY(receiver->options.hooks.on_lineage(ctx, receiver->options.hooks.arg, &fork, &lineage));
    receiver->fork_budget.used++;
    HF_CHECK(strlen(lineage) < RECEIVER_LINEAGE_MAX);
    vault_wal_writer_free(HF_TAKE(receiver->writer));
    receiver->is_gap_due = false;
    receiver_note_lineage(receiver, lineage);
    session->place.lineage = receiver->lineage;
    return begin_timeline(ctx, session, session->timeline, fork.start_lsn);
}

static struct hf_status record_gap(struct hf_ctx *ctx, struct receiver *receiver, uint64_t to)
{
    struct vault_wal_range gap = {
        .timeline = receiver->timeline,
        .from = vault_wal_writer_position(receiver->writer),
        .to = to,
    };

    HF_TRY(receiver_afford(ctx, &receiver->gap_budget, RECEIVER_GAPS_PER_HOUR,
                           "the source had removed WAL before it was stored"));
    if (receiver->options.hooks.on_gap != NULL) {
        HF_TRY(receiver->options.hooks.on_gap(ctx, receiver->options.hooks.arg, receiver->lineage,
                                              &gap));
    }
    receiver->gap_budget.used++;
    HF_TRY(vault_wal_writer_skip(ctx, receiver->writer, to));
    receiver->is_gap_due = false;
    receiver_note_gap(receiver, &gap);
    receiver_note_durable(receiver);
    receiver_note_open(receiver);
    return hf_success();
}

/* The WAL at the position of the server's own timeline is gone: go on at what the slot keeps. */
static struct hf_status cross_gap(struct hf_ctx *ctx, struct receiver_session *session)
{
    uint64_t position = vault_wal_writer_position(session->receiver->writer);
    uint64_t lsn = 0;

    HF_TRY(reserved_lsn(ctx, session, &lsn));
    if (segment_start(session, lsn) <= position) {
        lsn = session->flush_lsn;
    }
    if (segment_start(session, lsn) <= position) {
        session->receiver->is_gap_due = false; /* it may have it again: asked anew */
        return hf_fail(ctx->arena, HF_UNAVAILABLE,
                       "the server has removed the WAL at its own end, %s",
                       vault_wal_lsn_text(ctx->arena, position));
    }
    return record_gap(ctx, session->receiver, segment_start(session, lsn));
}

/* The writer's timeline is an ancestor of the server's: leave it when all of it that counts is
 * durable. ret_is_done: there is WAL of it to stream yet. */
static struct hf_status leave_timeline(struct hf_ctx *ctx, struct receiver_session *session,
                                       bool *ret_is_done)
{
    struct receiver *receiver = session->receiver;
    const struct pgf_history_entry *entry;
    uint32_t next = 0;

    HF_TRY(load_history(ctx, session));
    entry = pgf_history_find(&session->history, receiver->timeline, &next);
    if (entry == NULL) {
        return receiver_fork_lineage(ctx, session,
                                     hf_printf(ctx->arena,
                                               "the source is on timeline %" PRIu32
                                               ", which did not come from "
                                               "the stored timeline %" PRIu32,
                                               session->timeline, receiver->timeline));
    }
    if (vault_wal_writer_position(receiver->writer) < entry->switch_lsn) {
        *ret_is_done = !receiver->is_gap_due;
        return receiver->is_gap_due ? record_gap(ctx, receiver, entry->switch_lsn) : hf_success();
    }
    HF_TRY(receiver_afford(ctx, &receiver->turn_budget, RECEIVER_TURNS_PER_HOUR,
                           "the source went to another timeline"));
    receiver_note_end(receiver, receiver->timeline, entry->switch_lsn);
    HF_TRY(close_writer(ctx, receiver));
    receiver->turn_budget.used++;
    return begin_timeline(ctx, session, next, segment_start(session, entry->switch_lsn));
}

/* The server's end lies below what is durable here: it has lost WAL that it had sent. */
static struct hf_status judge_behind(struct hf_ctx *ctx, struct receiver_session *session)
{
    const char *stored =
        vault_wal_lsn_text(ctx->arena, vault_wal_writer_position(session->receiver->writer));
    const char *has = vault_wal_lsn_text(ctx->arena, session->flush_lsn);

    if (session->is_standby) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE,
                       "the standby %s is at %s, behind the stored %s: waiting for it",
                       pgwire_peer(session->conn), has, stored);
    }
    return receiver_fork_lineage(
        ctx, session,
        hf_printf(ctx->arena, "the source ends at %s, but its WAL is stored through %s", has,
                  stored));
}

/* A timeline of which nothing is stored, because the server only spoke of it, binds nobody. */
static bool is_hollow(const struct receiver *receiver)
{
    return vault_wal_writer_position(receiver->writer) ==
           vault_wal_writer_range_start(receiver->writer);
}

static struct hf_status plan(struct hf_ctx *ctx, struct receiver_session *session)
{
    struct receiver *receiver = session->receiver;
    bool is_done = false;

    /* Another server is asked first; it may have what the last one lacked. */
    receiver->is_gap_due =
        receiver->is_gap_due &&
        strncmp(receiver->gap_peer, pgwire_peer(session->conn), RECEIVER_PEER_MAX - 1) == 0;
    HF_TRY(ensure_writer(ctx, session));
    if (receiver->timeline > session->timeline && is_hollow(receiver)) {
        vault_wal_writer_free(HF_TAKE(receiver->writer));
        HF_TRY(ensure_writer(ctx, session));
    }
    if (receiver->timeline > session->timeline) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "OLD_TIMELINE", NULL,
                            "%s is on timeline %" PRIu32 ", but WAL of a later one is stored: an "
                            "old primary that came back? point the DSN at the right server",
                            pgwire_peer(session->conn), session->timeline);
    }
    while (receiver->timeline < session->timeline && !is_done) {
        HF_TRY(leave_timeline(ctx, session, &is_done));
    }
    if (receiver->timeline < session->timeline) {
        return hf_success();
    }
    if (vault_wal_writer_position(receiver->writer) > session->flush_lsn) {
        return judge_behind(ctx, session);
    }
    return receiver->is_gap_due ? cross_gap(ctx, session) : hf_success();
}

struct hf_status receiver_plan(struct hf_ctx *ctx, struct receiver_session *session)
{
    struct hf_status status = plan(ctx, session);

    return vault_wal_is_conflict(status) ? receiver_fork_lineage(ctx, session, status.message)
                                         : status;
}

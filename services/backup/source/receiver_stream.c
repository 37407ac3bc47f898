/* The stream: messages in, one flush for all that has arrived, an acknowledgement at once.
 *
 * Surprise: the LSN of a message was read on the server before its time was. So a message proves
 * the time of an *earlier* one: all WAL of that time lies below this LSN.
 */
#include <inttypes.h>

#include "backup/source/receiver_internal.h"
#include "base/clock.h"
#include "pgwire/walstream.h"

#define STATUS_US (HF_US_PER_S / 2)     /* an idle source is asked for its time */
#define SILENCE_US (60 * HF_US_PER_S)   /* without a word the connection counts as dead */
#define BATCH_BYTES ((uint64_t)4 << 20) /* at most this much before a flush */
#define PAGE 8192u
#define BATCH_EVENTS 4096
#define STEADY_US (10 * HF_US_PER_S) /* a stream that holds so long ends a row of failures */
#define EMPTY_PER_S 1000             /* messages that bring (nearly) nothing */
#define EMPTY_BYTES 16
#define REPEATED_MAX ((uint64_t)1 << 20) /* of WAL that is stored already, in one stream */
#define AHEAD_US (24 * 3600 * HF_US_PER_S)
#define OVERLAP (2 * PAGE) /* of stored WAL that is asked for again, to compare it */

struct stream {
    struct receiver_session *session;
    struct receiver *receiver;
    uint64_t acked;       /* last flush LSN that was sent */
    uint64_t server_lsn;  /* newest end of WAL heard of */
    int64_t asked_us;     /* hf_mono_us() of the last status that wanted a reply */
    int64_t heard_us;     /* hf_mono_us() of the last message */
    bool is_reply_due;    /* the server wants a status now */
    bool was_data;        /* the last message had WAL */
    int64_t server_us[2]; /* server times of the last message and the one before */
    uint64_t batch_bytes;
    int64_t begin_us;        /* hf_mono_us() */
    int64_t empty_us;        /* when the counting of empty messages began */
    unsigned empty;          /* since then */
    uint64_t repeated_bytes; /* that were stored already */
    bool is_ended;
    uint32_t next_timeline;
    uint64_t switch_lsn;
};

/* A little of what is stored comes again and is compared: another history shows at once. */
static uint64_t start_lsn(const struct stream *stream)
{
    const struct vault_wal_writer *writer = stream->receiver->writer;
    uint64_t position = vault_wal_writer_position(writer);
    uint64_t segment = position - position % stream->session->place.segment_bytes;
    uint64_t low = vault_wal_writer_range_start(writer);

    low = segment > low ? segment : low;
    if (position - low <= OVERLAP) {
        return low;
    }
    return (position - OVERLAP) / PAGE * PAGE > low ? (position - OVERLAP) / PAGE * PAGE : low;
}

/* What a message proves about time (see the top of the file). Standbys prove nothing: the primary
 * may be ahead of them. */
static void note_clock(struct stream *stream, const struct pgwire_wal_event *event)
{
    bool is_data = event->kind == PGWIRE_WAL_DATA;
    /* A keepalive tells how far was sent, and may be written before the server has looked for new
     * WAL; two messages back, it has looked. */
    int64_t proven_us = is_data || !stream->was_data ? stream->server_us[0] : stream->server_us[1];
    bool is_caught_up = is_data || event->server_lsn >= stream->server_lsn;

    if (proven_us != 0 && is_caught_up && !stream->session->is_standby) {
        vault_wal_writer_clock(stream->receiver->writer, event->server_lsn, proven_us);
    }
    stream->server_us[1] = stream->server_us[0];
    /* A clock that is days ahead proves nothing: what it said would count for ever. */
    stream->server_us[0] =
        event->server_time_us > hf_now_us() + AHEAD_US ? 0 : event->server_time_us;
    stream->was_data = is_data;
    if (event->server_lsn > stream->server_lsn) {
        stream->server_lsn = event->server_lsn;
    }
}

/* A peer that keeps us busy with nothing. */
static struct hf_status judge_event(struct hf_ctx *ctx, struct stream *stream,
                                    const struct pgwire_wal_event *event)
{
    uint64_t position = vault_wal_writer_position(stream->receiver->writer);
    int64_t now_us = hf_mono_us();

    if (event->kind == PGWIRE_WAL_DATA && event->lsn < position) {
        stream->repeated_bytes += event->bytes.len;
    }
    if (now_us - stream->empty_us > HF_US_PER_S) {
        stream->empty_us = now_us;
        stream->empty = 0;
    }
    stream->empty += event->bytes.len < EMPTY_BYTES;
    if (stream->empty > EMPTY_PER_S || stream->repeated_bytes > REPEATED_MAX) {
        const char *const metadata[] = {"host", pgwire_peer(stream->session->conn), NULL};

        return hf_fail_info(ctx->arena, HF_RESOURCE_EXHAUSTED, "FLOODED", metadata,
                            "%s floods the stream with messages that bring no WAL",
                            pgwire_peer(stream->session->conn));
    }
    return hf_success();
}

static struct hf_status take_event(struct hf_ctx *ctx, struct stream *stream,
                                   const struct pgwire_wal_event *event)
{
    switch (event->kind) {
    case PGWIRE_WAL_IDLE:
        return hf_success();
    case PGWIRE_WAL_DATA:
        HF_TRY(vault_wal_writer_append(ctx, stream->receiver->writer, event->lsn, event->bytes));
        stream->batch_bytes += event->bytes.len;
        note_clock(stream, event);
        return hf_success();
    case PGWIRE_WAL_KEEPALIVE:
        stream->is_reply_due = stream->is_reply_due || event->is_reply_requested;
        note_clock(stream, event);
        return hf_success();
    case PGWIRE_WAL_END_OF_TIMELINE:
        stream->is_ended = true;
        stream->next_timeline = event->next_timeline;
        stream->switch_lsn = event->switch_lsn;
        return hf_success();
    }
    return hf_success();
}

/* Wait for a message, then take what has arrived besides. */
static struct hf_status drain(struct hf_ctx *ctx, struct stream *stream)
{
    int64_t wait_us = stream->asked_us + STATUS_US - hf_mono_us();
    int timeout_ms = wait_us <= 0 ? 0 : (int)(wait_us / 1000) + 1;
    struct pgwire_wal_event event = {.kind = PGWIRE_WAL_IDLE};
    int events = 0;

    stream->batch_bytes = 0;
    do {
        HF_TRY(pgwire_wal_next(ctx, stream->session->conn, timeout_ms, &event));
        if (event.kind != PGWIRE_WAL_IDLE) {
            HF_TRY(judge_event(ctx, stream, &event));
            stream->heard_us = hf_mono_us();
        }
        HF_TRY(take_event(ctx, stream, &event));
        timeout_ms = 0;
    } while (event.kind != PGWIRE_WAL_IDLE && !stream->is_ended &&
             stream->batch_bytes < BATCH_BYTES && ++events < BATCH_EVENTS);
    receiver_note_heard(stream->receiver, stream->server_lsn, stream->batch_bytes);
    return hf_success();
}

static struct hf_status flush(struct hf_ctx *ctx, struct stream *stream)
{
    struct vault_wal_writer *writer = stream->receiver->writer;
    int64_t begin_us = hf_mono_us();
    uint64_t durable = 0;

    if (vault_wal_writer_is_pending(writer)) {
        HF_TRY(vault_wal_writer_flush(ctx, writer, &durable));
        receiver_note_flush(stream->receiver, hf_mono_us() - begin_us);
    }
    return hf_success();
}

/* Tell the server what is durable: at once when that changed or it asks, else twice a second, and
 * then it is asked for a sign of life, which carries its time. */
static struct hf_status acknowledge(struct hf_ctx *ctx, struct stream *stream)
{
    uint64_t durable = vault_wal_writer_durable(stream->receiver->writer);
    bool is_asking = hf_mono_us() - stream->asked_us >= STATUS_US;
    struct pgwire_wal_positions positions = {
        .write_lsn = durable,
        .flush_lsn = durable,
        .apply_lsn = durable,
        .is_reply_requested = is_asking,
    };

    if (durable == stream->acked && !stream->is_reply_due && !is_asking) {
        return hf_success();
    }
    HF_TRY(pgwire_wal_status(ctx, stream->session->conn, &positions));
    stream->acked = durable;
    stream->is_reply_due = false;
    stream->asked_us = is_asking ? hf_mono_us() : stream->asked_us;
    return hf_success();
}

static struct hf_status check_time(struct hf_ctx *ctx, const struct stream *stream)
{
    int64_t now_us = hf_mono_us();

    if (now_us - stream->begin_us > STEADY_US) {
        stream->receiver->failures = 0;
        stream->receiver->said[0] = '\0';
    }

    if (now_us - stream->heard_us > SILENCE_US) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "%s has been silent for %d s",
                       pgwire_peer(stream->session->conn), (int)(SILENCE_US / HF_US_PER_S));
    }
    if (stream->session->leave_us != 0 && now_us > stream->session->leave_us) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "leaving the standby %s to look for a primary",
                       pgwire_peer(stream->session->conn));
    }
    return hf_success();
}

static struct hf_status run(struct hf_ctx *ctx, struct stream *stream)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)64 << 20);
    struct hf_ctx round = *ctx;
    struct hf_status status = hf_success();

    round.arena = arena;
    while (status.code == HF_OK && !stream->is_ended) {
        hf_arena_reset(arena);
        status = drain(&round, stream);
        if (status.code == HF_OK) {
            status = receiver_check_vault(&round, stream->receiver);
        }
        if (status.code == HF_OK) {
            status = flush(&round, stream);
        }
        /* Also after a flush that failed: the writer may have got a part of it durable. */
        receiver_note_durable(stream->receiver);
        if (status.code == HF_OK && !stream->is_ended) {
            status = acknowledge(&round, stream);
        }
        if (status.code == HF_OK) {
            status = check_time(&round, stream);
        }
    }
    return hf_status_copy(ctx->arena, status);
}

struct hf_status receiver_stream(struct hf_ctx *ctx, struct receiver_session *session)
{
    struct stream stream = {
        .session = session,
        .receiver = session->receiver,
        .asked_us = hf_mono_us() - STATUS_US,
        .heard_us = hf_mono_us(),
        .begin_us = hf_mono_us(),
        .server_lsn = session->flush_lsn,
    };

    vault_wal_writer_clock_forget(session->receiver->writer);
    HF_TRY(pgwire_wal_start(ctx, session->conn, session->receiver->options.slot, start_lsn(&stream),
                            session->receiver->timeline));
    receiver_note_state(session->receiver, RECEIVER_STREAMING, &(struct hf_status){.code = HF_OK});
    HF_TRY(run(ctx, &stream));
    if (stream.next_timeline != 0 && stream.next_timeline <= session->receiver->timeline) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s names timeline %u as the one after %u",
                       pgwire_peer(session->conn), (unsigned)stream.next_timeline,
                       (unsigned)session->receiver->timeline);
    }
    session->next_timeline = stream.next_timeline;
    if (stream.next_timeline == 0) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "%s ended the stream: it shuts down",
                       pgwire_peer(session->conn));
    }
    return hf_success();
}

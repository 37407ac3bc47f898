/* Physical streaming. Surprise: the end of a timeline is a polite dance - the server ends its COPY,
 * we must end ours, and only then come the next timeline and the switch point. */
#include "pgwire/walstream.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "pgformat/wal.h"
#include "pgwire/internal.h"

#define DATA_HEADER 25
#define KEEPALIVE_LEN 18
#define STATUS_LEN 34
#define PATIENCE_MS 1000 /* beyond the caller's time, for a message that has begun */

static uint64_t be64(const uint8_t *p)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = (value << 8) | p[i];
    }
    return value;
}

static void put_be64(char *p, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (char)(value >> (56 - 8 * i));
    }
}

/* Unsigned, so that a hostile time wraps instead of overflowing; 0: no time of any year. */
static int64_t unix_time(const uint8_t *p)
{
    int64_t time_us = (int64_t)(be64(p) + (uint64_t)HF_PG_EPOCH_US);

    return hf_time_in_range(time_us) ? time_us : 0;
}

static bool event_ok(const struct pgwire_wal_event *event)
{
    return event->lsn <= PGWIRE_LSN_MAX && event->server_lsn <= PGWIRE_LSN_MAX;
}

/* Row (next timeline, switch point) of a result. */
static struct hf_status end_decode(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                   const struct pgwire_result *result)
{
    uint64_t timeline, lsn;

    if (result->rows != 1 || result->columns != 2 ||
        !pgwire_cell_u64(ctx->arena, pgwire_cell(result, 0, 0), INT32_MAX, &timeline) ||
        timeline == 0 || !pgwire_cell_lsn(ctx->arena, pgwire_cell(result, 0, 1), &lsn)) {
        conn->is_broken = true;
        return hf_fail_info(ctx->arena, HF_DATA_LOSS, "PROTOCOL_VIOLATION", NULL,
                            "the server ended a timeline without naming the next one");
    }
    conn->stream_next_timeline = (uint32_t)timeline;
    conn->stream_switch_lsn = lsn;
    return hf_success();
}

struct hf_status pgwire_wal_start(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *slot,
                                  uint64_t lsn, uint32_t timeline)
{
    struct pgwire_result result;
    struct hf_status status;
    const char *with_slot =
        slot != NULL ? hf_printf(ctx->arena, "SLOT %s ", pgwire_quote_name(ctx->arena, slot)) : "";

    HF_CHECK(conn->mode == PGWIRE_REPLICATION && !conn->is_streaming);
    conn->has_stream_end = false;
    HF_TRY(pgwire_send(ctx, conn,
                       hf_printf(ctx->arena, "START_REPLICATION %sPHYSICAL %s TIMELINE %u",
                                 with_slot, pgf_lsn(lsn).text, (unsigned)timeline),
                       NULL, 0));
    HF_TRY(pgwire_result_next(ctx, conn, &result));
    if (result.kind == PGWIRE_RES_COPY_BOTH) {
        conn->is_streaming = true;
        return hf_success();
    }
    if (result.kind == PGWIRE_RES_ROWS) {
        HF_TRY(end_decode(ctx, conn, &result));
        conn->has_stream_end = true;
        return pgwire_results_drain(ctx, conn);
    }
    status = pgwire_fail_result(ctx, conn, &result);
    (void)hf_is_ok(pgwire_results_drain(ctx, conn));
    return status;
}

/* The server has ended its COPY: end ours and take what follows. */
static struct hf_status stream_finish(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    struct pgwire_result result;
    struct hf_status status;

    conn->is_streaming = false;
    conn->stream_next_timeline = 0;
    conn->stream_switch_lsn = 0;
    pgwire_copy_end(conn);
    HF_TRY(pgwire_flush(ctx, conn));
    HF_TRY(pgwire_result_next(ctx, conn, &result));
    if (result.kind == PGWIRE_RES_ROWS) {
        HF_TRY(end_decode(ctx, conn, &result));
        return pgwire_results_drain(ctx, conn);
    }
    if (result.kind == PGWIRE_RES_DONE) {
        return pgwire_results_drain(ctx, conn);
    }
    status = pgwire_fail_result(ctx, conn, &result);
    (void)hf_is_ok(pgwire_results_drain(ctx, conn));
    return status;
}

static struct pgwire_wal_event end_event(const struct pgwire_conn *conn)
{
    return (struct pgwire_wal_event){.kind = PGWIRE_WAL_END_OF_TIMELINE,
                                     .next_timeline = conn->stream_next_timeline,
                                     .switch_lsn = conn->stream_switch_lsn};
}

static struct hf_status position_fail(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    conn->is_broken = true;
    return hf_fail_info(ctx->arena, HF_DATA_LOSS, "PROTOCOL_VIOLATION", NULL,
                        "the WAL stream names a position that cannot be");
}

static struct hf_status message_decode(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                       struct hf_bytes message, struct pgwire_wal_event *ret_event)
{
    const uint8_t *p = message.ptr;
    size_t len = message.len;

    if (len > DATA_HEADER && p[0] == 'w') {
        *ret_event = (struct pgwire_wal_event){.kind = PGWIRE_WAL_DATA,
                                               .lsn = be64(p + 1),
                                               .server_lsn = be64(p + 9),
                                               .server_time_us = unix_time(p + 17),
                                               .bytes = {p + DATA_HEADER, len - DATA_HEADER}};
        return event_ok(ret_event) ? hf_success() : position_fail(ctx, conn);
    }
    if (len == KEEPALIVE_LEN && p[0] == 'k') {
        *ret_event = (struct pgwire_wal_event){.kind = PGWIRE_WAL_KEEPALIVE,
                                               .server_lsn = be64(p + 1),
                                               .server_time_us = unix_time(p + 9),
                                               .is_reply_requested = p[17] != 0};
        return event_ok(ret_event) ? hf_success() : position_fail(ctx, conn);
    }
    conn->is_broken = true;
    return hf_fail_info(ctx->arena, HF_DATA_LOSS, "PROTOCOL_VIOLATION", NULL,
                        "the WAL stream holds an unknown message of %zu bytes", len);
}

struct hf_status pgwire_wal_next(struct hf_ctx *ctx, struct pgwire_conn *conn, int timeout_ms,
                                 struct pgwire_wal_event *ret_event)
{
    int64_t until_us = hf_mono_us() + (int64_t)timeout_ms * 1000;
    bool came = true;

    if (conn->has_stream_end) {
        conn->has_stream_end = false;
        *ret_event = end_event(conn);
        return hf_success();
    }
    HF_CHECK(conn->is_streaming);
    for (;;) {
        enum pgwire_copy copy = PGWIRE_COPY_IDLE;
        struct hf_bytes message = {0};

        HF_TRY(pgwire_copy_take(ctx, conn, &message, &copy));
        if (copy == PGWIRE_COPY_DATA) {
            return message_decode(ctx, conn, message, ret_event);
        }
        if (copy == PGWIRE_COPY_END) {
            HF_TRY(stream_finish(ctx, conn));
            *ret_event = end_event(conn);
            return hf_success();
        }
        int64_t left_ms = (until_us - hf_mono_us()) / 1000;

        /* Also while bytes come that make no whole message. */
        if ((!came && left_ms <= 0) || left_ms < -PATIENCE_MS) {
            *ret_event = (struct pgwire_wal_event){.kind = PGWIRE_WAL_IDLE};
            return hf_success();
        }
        HF_TRY(pgwire_wait_input(ctx, conn, left_ms > 0 ? (int)left_ms : 0, &came));
    }
}

struct hf_status pgwire_wal_status(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                   const struct pgwire_wal_positions *positions)
{
    char message[STATUS_LEN] = {'r'};

    HF_CHECK(conn->is_streaming);
    put_be64(message + 1, positions->write_lsn);
    put_be64(message + 9, positions->flush_lsn);
    put_be64(message + 17, positions->apply_lsn);
    put_be64(message + 25, (uint64_t)(hf_now_us() - HF_PG_EPOCH_US));
    message[33] = positions->is_reply_requested ? 1 : 0;
    pgwire_copy_put(conn, message, STATUS_LEN);
    return pgwire_flush(ctx, conn);
}

struct hf_status pgwire_wal_stop(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    if (!conn->is_streaming) {
        return hf_success();
    }
    pgwire_copy_end(conn);
    HF_TRY(pgwire_flush(ctx, conn));
    int64_t until_us = hf_mono_us() + (int64_t)conn->answer_ms * 1000;

    while (hf_mono_us() < until_us) {
        enum pgwire_copy copy = PGWIRE_COPY_IDLE;
        struct hf_bytes message;
        bool came = false;

        HF_TRY(pgwire_copy_take(ctx, conn, &message, &copy));
        if (copy == PGWIRE_COPY_END) {
            conn->is_streaming = false;
            return pgwire_results_drain(ctx, conn);
        }
        if (copy == PGWIRE_COPY_IDLE) {
            HF_TRY(pgwire_wait_input(ctx, conn, 200, &came));
        }
    }
    return pgwire_fail_silent(ctx, conn);
}

struct hf_status pgwire_timeline_history(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                         uint32_t timeline, struct hf_buf *out)
{
    struct pgwire_result result;
    struct hf_status status, rest = hf_success();

    HF_TRY(pgwire_send(ctx, conn, hf_printf(ctx->arena, "TIMELINE_HISTORY %u", (unsigned)timeline),
                       NULL, 0));
    status = pgwire_result_expect(ctx, conn, PGWIRE_RES_ROWS, &result);
    if (hf_is_ok(status) && result.rows == 1 && result.columns == 2) {
        struct hf_str text = pgwire_cell(&result, 0, 1);

        hf_buf_append(out, text.ptr, text.len);
        status = hf_buf_status(out, ctx->arena, "timeline history");
    } else if (hf_is_ok(status) || pgwire_reason_is(status, "WAL_REMOVED")) {
        status = hf_fail_info(ctx->arena, HF_NOT_FOUND, "TIMELINE_UNKNOWN", NULL,
                              "the server has no history of timeline %u", (unsigned)timeline);
    }
    if (pgwire_is_alive(conn)) {
        rest = pgwire_results_drain(ctx, conn);
    }
    return hf_is_ok(status) ? rest : status;
}

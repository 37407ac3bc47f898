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

static uint64_t be64(const char *p)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = (value << 8) | (uint8_t)p[i];
    }
    return value;
}

static void put_be64(char *p, uint64_t value)
{
    for (int i = 0; i < 8; i++) {
        p[i] = (char)(value >> (56 - 8 * i));
    }
}

/* Unsigned, so that a hostile time wraps instead of overflowing. */
static int64_t unix_time(const char *p)
{
    return (int64_t)(be64(p) + (uint64_t)HF_PG_EPOCH_US);
}

static void copy_free(struct pgwire_conn *conn)
{
    if (conn->copy != NULL) {
        PQfreemem(HF_TAKE(conn->copy));
    }
}

/* Row (next timeline, switch point) of a result. */
static struct hf_status end_decode(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                   const PGresult *res)
{
    uint64_t timeline, lsn;

    if (PQntuples(res) != 1 || PQnfields(res) != 2 ||
        !hf_parse_u64(PQgetvalue(res, 0, 0), &timeline) || timeline > UINT32_MAX ||
        !pgf_lsn_parse(PQgetvalue(res, 0, 1), &lsn)) {
        conn->is_broken = true;
        return hf_fail(ctx->arena, HF_DATA_LOSS,
                       "the server ended a timeline without naming the "
                       "next one");
    }
    conn->stream_next_timeline = (uint32_t)timeline;
    conn->stream_switch_lsn = lsn;
    return hf_success();
}

struct hf_status pgwire_wal_start(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *slot,
                                  uint64_t lsn, uint32_t timeline)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;
    struct hf_status status;
    const char *with_slot =
        slot != NULL ? hf_printf(ctx->arena, "SLOT %s ", pgwire_quote_name(ctx->arena, slot)) : "";

    HF_CHECK(conn->mode == PGWIRE_REPLICATION && !conn->is_streaming);
    conn->has_stream_end = false;
    HF_TRY(pgwire_send(ctx, conn,
                       hf_printf(ctx->arena, "START_REPLICATION %sPHYSICAL %s TIMELINE %u",
                                 with_slot, pgf_lsn(lsn).text, (unsigned)timeline),
                       NULL, 0));
    HF_TRY(pgwire_result_next(ctx, conn, &res));
    if (res != NULL && PQresultStatus(res) == PGRES_COPY_BOTH) {
        conn->is_streaming = true;
        return hf_success();
    }
    if (res != NULL && PQresultStatus(res) == PGRES_TUPLES_OK) {
        HF_TRY(end_decode(ctx, conn, res));
        conn->has_stream_end = true;
        return pgwire_results_drain(ctx, conn);
    }
    status = pgwire_fail_result(ctx, conn, res);
    (void)hf_is_ok(pgwire_results_drain(ctx, conn));
    return status;
}

/* The server has ended its COPY: end ours and take what follows. */
static struct hf_status stream_finish(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;
    struct hf_status status;

    conn->is_streaming = false;
    conn->stream_next_timeline = 0;
    conn->stream_switch_lsn = 0;
    HF_TRY(pgwire_result_next(ctx, conn, &res));
    if (res != NULL && PQresultStatus(res) == PGRES_COPY_IN) {
        PQclear(HF_TAKE(res));
        if (PQputCopyEnd(conn->pg, NULL) < 0) {
            return pgwire_fail_result(ctx, conn, NULL);
        }
        HF_TRY(pgwire_flush(ctx, conn));
        HF_TRY(pgwire_result_next(ctx, conn, &res));
    }
    if (res != NULL && PQresultStatus(res) == PGRES_TUPLES_OK) {
        HF_TRY(end_decode(ctx, conn, res));
        return pgwire_results_drain(ctx, conn);
    }
    if (res != NULL && PQresultStatus(res) == PGRES_COMMAND_OK) {
        return pgwire_results_drain(ctx, conn);
    }
    status = pgwire_fail_result(ctx, conn, res);
    (void)hf_is_ok(pgwire_results_drain(ctx, conn));
    return status;
}

static struct pgwire_wal_event end_event(const struct pgwire_conn *conn)
{
    return (struct pgwire_wal_event){.kind = PGWIRE_WAL_END_OF_TIMELINE,
                                     .next_timeline = conn->stream_next_timeline,
                                     .switch_lsn = conn->stream_switch_lsn};
}

static struct hf_status message_decode(struct hf_ctx *ctx, struct pgwire_conn *conn, size_t len,
                                       struct pgwire_wal_event *ret_event)
{
    const char *p = conn->copy;

    if (p[0] == 'w' && len > DATA_HEADER) {
        *ret_event = (struct pgwire_wal_event){
            .kind = PGWIRE_WAL_DATA,
            .lsn = be64(p + 1),
            .server_lsn = be64(p + 9),
            .server_time_us = unix_time(p + 17),
            .bytes = {(const uint8_t *)p + DATA_HEADER, len - DATA_HEADER}};
        return hf_success();
    }
    if (p[0] == 'k' && len == KEEPALIVE_LEN) {
        *ret_event = (struct pgwire_wal_event){.kind = PGWIRE_WAL_KEEPALIVE,
                                               .server_lsn = be64(p + 1),
                                               .server_time_us = unix_time(p + 9),
                                               .is_reply_requested = p[17] != 0};
        return hf_success();
    }
    conn->is_broken = true;
    return hf_fail(ctx->arena, HF_DATA_LOSS, "the WAL stream holds an unknown message of %zu bytes",
                   len);
}

struct hf_status pgwire_wal_next(struct hf_ctx *ctx, struct pgwire_conn *conn, int timeout_ms,
                                 struct pgwire_wal_event *ret_event)
{
    int64_t until_us = hf_mono_us() + (int64_t)timeout_ms * 1000;
    bool came = true;

    copy_free(conn);
    if (conn->has_stream_end) {
        conn->has_stream_end = false;
        *ret_event = end_event(conn);
        return hf_success();
    }
    HF_CHECK(conn->is_streaming);
    for (;;) {
        int len = PQgetCopyData(conn->pg, &conn->copy, 1);
        int64_t left_ms = (until_us - hf_mono_us()) / 1000;

        if (len > 0) {
            return message_decode(ctx, conn, (size_t)len, ret_event);
        }
        if (len == -1) {
            HF_TRY(stream_finish(ctx, conn));
            *ret_event = end_event(conn);
            return hf_success();
        }
        if (len < -1) {
            return pgwire_fail_result(ctx, conn, NULL);
        }
        if (!came && left_ms <= 0) {
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
    for (;;) {
        int sent = PQputCopyData(conn->pg, message, STATUS_LEN);

        if (sent < 0) {
            return pgwire_fail_result(ctx, conn, NULL);
        }
        HF_TRY(pgwire_flush(ctx, conn));
        if (sent == 1) {
            return hf_success();
        }
    }
}

struct hf_status pgwire_wal_stop(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    if (!conn->is_streaming) {
        return hf_success();
    }
    copy_free(conn);
    if (PQputCopyEnd(conn->pg, NULL) < 0) {
        return pgwire_fail_result(ctx, conn, NULL);
    }
    HF_TRY(pgwire_flush(ctx, conn));
    for (;;) {
        int len = PQgetCopyData(conn->pg, &conn->copy, 1);
        bool came;

        copy_free(conn);
        if (len < -1) {
            return pgwire_fail_result(ctx, conn, NULL);
        }
        if (len == -1) {
            conn->is_streaming = false;
            return pgwire_results_drain(ctx, conn);
        }
        if (len == 0) {
            HF_TRY(pgwire_wait_input(ctx, conn, 200, &came));
        }
    }
}

struct hf_status pgwire_timeline_history(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                         uint32_t timeline, struct hf_buf *out)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;
    struct hf_status status, rest = hf_success();

    HF_TRY(pgwire_send(ctx, conn, hf_printf(ctx->arena, "TIMELINE_HISTORY %u", (unsigned)timeline),
                       NULL, 0));
    status = pgwire_result_expect(ctx, conn, PGRES_TUPLES_OK, &res);
    if (hf_is_ok(status) && PQntuples(res) == 1 && PQnfields(res) == 2) {
        hf_buf_append(out, PQgetvalue(res, 0, 1), (size_t)PQgetlength(res, 0, 1));
        HF_TRY(hf_buf_status(out, ctx->arena, "timeline history"));
    } else if (pgwire_reason_is(status, "WAL_REMOVED")) {
        status = hf_fail_info(ctx->arena, HF_NOT_FOUND, "TIMELINE_UNKNOWN", NULL,
                              "the server has no history of timeline %u", (unsigned)timeline);
    }
    if (pgwire_is_alive(conn)) {
        rest = pgwire_results_drain(ctx, conn);
    }
    return hf_is_ok(status) ? rest : status;
}

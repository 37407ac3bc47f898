/* Waiting for libpq. The surprise: when the caller gives up, the statement still runs at the
 * server, so it is cancelled and its results are drained before the connection is used again. */
#include "db/wait.h"

#include <poll.h>

#include "base/clock.h"
#include "db/error.h"

#define SLICE_MS 1000
#define DRAIN_US (2 * HF_US_PER_S)

static struct hf_status wait_socket(struct hf_ctx *ctx, const PGconn *pg, short events)
{
    short ready = 0;
    int fd = PQsocket(pg);

    if (fd < 0) {
        return db_error_lost(ctx->arena, pg);
    }
    return hf_ctx_wait_fd(ctx, fd, events, SLICE_MS, &ready);
}

struct hf_status db_wait_connect(struct hf_ctx *ctx, PGconn *pg)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    if (pg == NULL || PQstatus(pg) == CONNECTION_BAD) {
        return db_error_lost(ctx->arena, pg);
    }
    while (state != PGRES_POLLING_OK) {
        short ready = 0;
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        HF_TRY(hf_ctx_wait_fd(ctx, PQsocket(pg), events, SLICE_MS, &ready));
        if (ready == 0) {
            continue;
        }
        state = PQconnectPoll(pg);
        if (state == PGRES_POLLING_FAILED) {
            return db_error_lost(ctx->arena, pg);
        }
    }
    return hf_success();
}

/* Until a result can be taken without blocking. */
static struct hf_status wait_ready(struct hf_ctx *ctx, PGconn *pg)
{
    for (;;) {
        int unsent = PQflush(pg);
        if (unsent < 0) {
            return db_error_lost(ctx->arena, pg);
        }
        if (unsent == 0 && !PQisBusy(pg)) {
            return hf_success();
        }
        HF_TRY(wait_socket(ctx, pg, (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN)));
        if (PQconsumeInput(pg) == 0) {
            return db_error_lost(ctx->arena, pg);
        }
    }
}

static bool is_error(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY;
}

/* Keep the first error, else the newest result. */
static void keep(PGresult *result, PGresult **kept)
{
    if (*kept != NULL && is_error(*kept)) {
        PQclear(result);
        return;
    }
    PQclear(*kept);
    *kept = result;
}

static struct hf_status collect(struct hf_ctx *ctx, PGconn *pg, PGresult **kept)
{
    for (;;) {
        HF_TRY(wait_ready(ctx, pg));
        PGresult *result = PQgetResult(pg);
        if (result == NULL) {
            return hf_success();
        }
        keep(result, kept);
        if (PQstatus(pg) == CONNECTION_BAD) {
            return db_error_lost(ctx->arena, pg);
        }
    }
}

static void cancel_and_drain(struct db_conn *conn)
{
    HF_CLEANUP(PQclear) PGresult *ignored = NULL;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 * 1024);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = hf_mono_us() + DRAIN_US};
    PGcancel *cancel = PQgetCancel(conn->pg);
    char text[256];

    bool is_sent = cancel != NULL && PQcancel(cancel, text, (int)sizeof(text)) == 1;
    PQfreeCancel(cancel);
    conn->is_broken = !is_sent || !hf_is_ok(collect(&ctx, conn->pg, &ignored));
}

struct hf_status db_wait_result(struct hf_ctx *ctx, struct db_conn *conn, PGresult **ret_result)
{
    HF_CLEANUP(PQclear) PGresult *result = NULL;
    struct hf_status status = collect(ctx, conn->pg, &result);

    if (status.code == HF_CANCELLED || status.code == HF_DEADLINE_EXCEEDED) {
        cancel_and_drain(conn);
        return status;
    }
    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        conn->is_broken = true;
    }
    if (result != NULL && is_error(result)) {
        return db_error_of(ctx->arena, result);
    }
    HF_TRY(status);
    if (result == NULL) {
        conn->is_broken = true;
        return db_error_lost(ctx->arena, conn->pg);
    }
    *ret_result = HF_TAKE(result);
    return hf_success();
}

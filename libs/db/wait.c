/* Waiting for libpq. The surprise: when the caller gives up, the statement still runs at the
 * server, so it is cancelled there, within a time of its own, and the connection is not used again.
 */
#include "db/wait.h"

#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "db/error.h"
#include "db/rows.h"

#define SLICE_MS 1000
#define GIVE_UP_US (2 * HF_US_PER_S)
#define PARAMS_MAX 80

HF_DEFINE_CLEANUP(PGconn *, PQfinish)
HF_DEFINE_CLEANUP(PQconninfoOption *, PQconninfoFree)

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
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK &&
           status != PGRES_SINGLE_TUPLE && status != PGRES_EMPTY_QUERY;
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

/* rows may be NULL: results are kept, not copied. */
static struct hf_status collect(struct hf_ctx *ctx, PGconn *pg, struct db_rows *rows,
                                PGresult **kept)
{
    for (;;) {
        HF_TRY(wait_ready(ctx, pg));
        PGresult *result = PQgetResult(pg);
        if (result == NULL) {
            return hf_success();
        }
        keep(result, kept);
        if (rows != NULL && !is_error(*kept)) {
            HF_TRY(db_rows_add(ctx->arena, rows, *kept));
        }
        if (PQstatus(pg) == CONNECTION_BAD) {
            return db_error_lost(ctx->arena, pg);
        }
    }
}

/* Connection parameters of pg, naming the one server that it is connected to. */
static size_t same_server(const PGconn *pg, const PQconninfoOption *options, const char **keys,
                          const char **values)
{
    size_t len = 0;

    for (const PQconninfoOption *at = options; at->keyword != NULL && len < PARAMS_MAX - 1; at++) {
        bool is_host = strcmp(at->keyword, "host") == 0;
        bool is_port = strcmp(at->keyword, "port") == 0;
        if (at->val != NULL && strcmp(at->keyword, "hostaddr") != 0) {
            keys[len] = at->keyword;
            values[len++] = is_host ? PQhost(pg) : is_port ? PQport(pg) : at->val;
        }
    }
    keys[len] = NULL;
    values[len] = NULL;
    return len;
}

static struct hf_status cancel_by(struct hf_ctx *ctx, PGconn *canceller, int pid)
{
    HF_CLEANUP(PQclear) PGresult *ignored = NULL;

    HF_TRY(db_wait_connect(ctx, canceller));
    const char *sql = hf_printf(ctx->arena, "SELECT pg_catalog.pg_cancel_backend(%d)", pid);
    if (PQsetnonblocking(canceller, 1) != 0 || PQsendQuery(canceller, sql) == 0) {
        return db_error_lost(ctx->arena, canceller);
    }
    return collect(ctx, canceller, NULL, &ignored);
}

/* PQcancel would wait for ever on a server that accepts and then says nothing. */
static struct hf_status cancel_statement(struct hf_ctx *ctx, PGconn *pg)
{
    HF_CLEANUP(PQconninfoFree) PQconninfoOption *options = PQconninfo(pg);
    const char *keys[PARAMS_MAX];
    const char *values[PARAMS_MAX];

    if (options == NULL || same_server(pg, options, keys, values) == 0) {
        return db_error_lost(ctx->arena, pg);
    }
    HF_CLEANUP(PQfinish) PGconn *canceller = PQconnectStartParams(keys, values, 0);
    return cancel_by(ctx, canceller, PQbackendPID(pg));
}

/* The connection is given up even when the statement ended as wished: whether a PREPARE or a COMMIT
 * among what was sent took effect is not known. */
static void give_up(struct db_conn *conn)
{
    HF_CLEANUP(PQclear) PGresult *ignored = NULL;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 * 1024);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = hf_mono_us() + GIVE_UP_US};
    struct hf_status status = cancel_statement(&ctx, conn->pg);

    if (hf_is_ok(status)) {
        status = collect(&ctx, conn->pg, NULL, &ignored);
    }
    (void)status; /* else the server sees within 2 s that its client is gone */
    conn->is_broken = true;
}

static struct hf_status wait_all(struct hf_ctx *ctx, struct db_conn *conn, struct db_rows *rows,
                                 PGresult **ret_result)
{
    HF_CLEANUP(PQclear) PGresult *result = NULL;
    struct hf_status status = collect(ctx, conn->pg, rows, &result);

    if (PQstatus(conn->pg) == CONNECTION_BAD) {
        conn->is_broken = true;
    } else if (!hf_is_ok(status)) { /* the ctx has ended, or the result is too large */
        give_up(conn);
        return status;
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

struct hf_status db_wait_result(struct hf_ctx *ctx, struct db_conn *conn, PGresult **ret_result)
{
    return wait_all(ctx, conn, NULL, ret_result);
}

struct hf_status db_wait_rows(struct hf_ctx *ctx, struct db_conn *conn, struct db_rows *rows)
{
    HF_CLEANUP(PQclear) PGresult *ignored = NULL;

    return wait_all(ctx, conn, rows, &ignored);
}

/* Connections and queries over libpq's asynchronous calls.
 *
 * Surprise: each host of a DSN is tried by itself with a share of the time, because libpq applies
 * connect_timeout only in its blocking calls. A call that is given up half-way (cancelled, out of
 * time) breaks the connection on purpose: its protocol state is unknown. */
#include "pgwire/conn.h"

#include <poll.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "codec/hash.h"
#include "pgwire/dsn.h"
#include "pgwire/internal.h"

#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_TIMEOUT_MS 60000
#define NOTICES_MAX 4096
#define PARAMS_MAX 16

static void notice_keep(void *arg, const PGresult *res)
{
    struct pgwire_conn *conn = arg;
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    if (text != NULL && conn->notices.len < NOTICES_MAX / 2) {
        hf_buf_printf(&conn->notices, "%s%.500s", conn->notices.len > 0 ? "; " : "", text);
    }
}

/* Defaults before the DSN, so that it may overrule them; what must hold, behind it. */
static PGconn *connect_begin(const struct pgwire_options *options, const char *dsn)
{
    const char *keys[PARAMS_MAX] = {"keepalives_idle",  "keepalives_interval", "keepalives_count",
                                    "tcp_user_timeout", "application_name",    "dbname",
                                    "passfile"};
    const char *values[PARAMS_MAX] = {
        "30", "10", "3", "60000", "holdfast", dsn, "/nonexistent/pgpass"};
    size_t n = 7;

    if (options->password != NULL) {
        keys[n] = "password";
        values[n++] = options->password;
    }
    if (options->application_name != NULL) {
        keys[n] = "application_name";
        values[n++] = options->application_name;
    }
    if (options->mode == PGWIRE_REPLICATION) {
        keys[n] = "replication";
        values[n++] = "true";
    } else {
        keys[n] = "client_encoding";
        values[n++] = "UTF8";
        if (options->dbname != NULL) {
            keys[n] = "dbname";
            values[n++] = options->dbname;
        }
    }
    if (options->is_primary_only) {
        keys[n] = "target_session_attrs";
        values[n++] = "primary";
    }
    return PQconnectStartParams(keys, values, 1);
}

static struct hf_status timed_out(struct hf_ctx *ctx, const struct pgwire_conn *conn)
{
    const char *const metadata[] = {"host", conn->peer, NULL};

    return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "HOST_UNREACHABLE", metadata,
                        "no answer from %s in time", conn->peer);
}

struct hf_status pgwire_fail_silent(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    conn->is_broken = true;
    return timed_out(ctx, conn);
}

static struct hf_status connect_drive(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                      int64_t until_us)
{
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;

    while (state != PGRES_POLLING_OK) {
        int64_t left_ms = (until_us - hf_mono_us()) / 1000;
        short events = state == PGRES_POLLING_READING ? POLLIN : POLLOUT;
        short ready = 0;

        if (state == PGRES_POLLING_FAILED || PQstatus(conn->pg) == CONNECTION_BAD) {
            return pgwire_fail_connect(ctx, conn);
        }
        if (left_ms <= 0) {
            return timed_out(ctx, conn);
        }
        HF_TRY(hf_ctx_wait_fd(ctx, PQsocket(conn->pg), events, (int)left_ms, &ready));
        if (ready != 0) {
            state = PQconnectPoll(conn->pg);
        }
    }
    return hf_success();
}

static struct hf_status open_one(struct hf_ctx *ctx, const struct pgwire_options *options,
                                 const char *dsn, const struct pgwire_host *host, int timeout_ms,
                                 struct pgwire_conn **ret_conn)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = hf_heap_alloc(sizeof(*conn));
    int64_t until_us = hf_mono_us() + (int64_t)timeout_ms * 1000;

    hf_buf_init(&conn->notices, NOTICES_MAX);
    conn->mode = options->mode;
    conn->answer_ms =
        options->answer_timeout_ms > 0 ? options->answer_timeout_ms : ANSWER_TIMEOUT_MS;
    conn->password = options->password != NULL ? hf_heap_strdup(options->password) : NULL;
    conn->peer = hf_heap_strdup(hf_printf(
        ctx->arena, "%s:%s", host->host[0] != '\0' ? host->host : "localhost", host->port));
    conn->pg = connect_begin(options, dsn);
    HF_CHECK(conn->pg != NULL);
    (void)PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE);
    (void)PQsetNoticeReceiver(conn->pg, notice_keep, conn);
    HF_TRY(connect_drive(ctx, conn, until_us));
    (void)PQsetErrorVerbosity(conn->pg, PQERRORS_DEFAULT);
    HF_CHECK(PQsetnonblocking(conn->pg, 1) == 0);
    *ret_conn = HF_TAKE(conn);
    return hf_success();
}

/* Whether the next host may do better. */
static bool is_worth_another(struct hf_status status)
{
    return status.code == HF_UNAVAILABLE || pgwire_reason_is(status, "WRONG_SERVER_ROLE") ||
           pgwire_reason_is(status, "NO_CONNECTION_SLOT") ||
           pgwire_reason_is(status, "NO_WALSENDER");
}

struct hf_status pgwire_open(struct hf_ctx *ctx, const struct pgwire_options *options,
                             struct pgwire_conn **ret_conn)
{
    int timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    struct pgwire_options chosen = *options;
    struct hf_status worst = hf_success();
    struct pgwire_dsn dsn;

    HF_TRY(pgwire_dsn_parse(ctx->arena, options->dsn, &dsn));
    if (chosen.dbname == NULL && dsn.dbname[0] == '\0') {
        chosen.dbname = "postgres";
    }
    for (size_t i = 0; i < dsn.hosts_len; i++) {
        struct hf_status status;
        char *single = NULL;

        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(pgwire_dsn_single(ctx->arena, options->dsn, i, &single));
        status = open_one(ctx, &chosen, single, &dsn.hosts[i], timeout_ms / (int)dsn.hosts_len,
                          ret_conn);
        if (hf_is_ok(status) || !is_worth_another(status)) {
            return status;
        }
        if (i == 0 || worst.code == HF_UNAVAILABLE) {
            worst = status; /* an answer says more than silence */
        }
    }
    return worst;
}

void pgwire_close(struct pgwire_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (conn->copy != NULL) {
        PQfreemem(conn->copy);
    }
    PQfinish(conn->pg);
    if (conn->password != NULL) {
        codec_wipe(conn->password, strlen(conn->password));
    }
    hf_heap_free(conn->password);
    hf_heap_free(conn->peer);
    hf_buf_done(&conn->notices);
    hf_heap_free(conn);
}

bool pgwire_is_alive(const struct pgwire_conn *conn)
{
    return !conn->is_broken && PQstatus(conn->pg) == CONNECTION_OK;
}

int pgwire_server_version(const struct pgwire_conn *conn)
{
    return PQserverVersion(conn->pg);
}

const char *pgwire_peer(const struct pgwire_conn *conn)
{
    return conn->peer;
}

const char *pgwire_user(const struct pgwire_conn *conn)
{
    return PQuser(conn->pg);
}

int pgwire_backend_pid(const struct pgwire_conn *conn)
{
    return PQbackendPID(conn->pg);
}

struct hf_status pgwire_flush(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    for (;;) {
        int left = PQflush(conn->pg);
        struct hf_status status;
        short ready = 0;

        if (left == 0) {
            return hf_success();
        }
        if (left < 0) {
            return pgwire_fail_result(ctx, conn, NULL);
        }
        status = hf_ctx_wait_fd(ctx, PQsocket(conn->pg), POLLIN | POLLOUT, 200, &ready);
        if (!hf_is_ok(status)) {
            conn->is_broken = true;
            return status;
        }
        /* A server that waits for us to read before it reads: take its bytes in. */
        if ((ready & POLLIN) != 0 && PQconsumeInput(conn->pg) == 0) {
            return pgwire_fail_result(ctx, conn, NULL);
        }
    }
}

struct hf_status pgwire_wait_input(struct hf_ctx *ctx, struct pgwire_conn *conn, int timeout_ms,
                                   bool *ret_came)
{
    short ready = 0;
    struct hf_status status = hf_ctx_wait_fd(ctx, PQsocket(conn->pg), POLLIN, timeout_ms, &ready);

    if (!hf_is_ok(status)) {
        conn->is_broken = !conn->is_streaming; /* a stream is between messages, nothing is lost */
        return status;
    }
    *ret_came = ready != 0;
    if (ready != 0 && PQconsumeInput(conn->pg) == 0) {
        return pgwire_fail_result(ctx, conn, NULL);
    }
    return hf_success();
}

struct hf_status pgwire_send(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *sql,
                             const char *const *params, size_t params_len)
{
    int sent;

    if (!pgwire_is_alive(conn)) {
        return pgwire_fail_result(ctx, conn, NULL);
    }
    if (conn->mode == PGWIRE_REPLICATION) {
        HF_CHECK(params_len == 0);
        sent = PQsendQuery(conn->pg, sql);
    } else {
        sent = PQsendQueryParams(conn->pg, sql, (int)params_len, NULL, params, NULL, NULL, 0);
    }
    if (sent == 0) {
        return pgwire_fail_result(ctx, conn, NULL);
    }
    return pgwire_flush(ctx, conn);
}

/* A process that hangs keeps its connection alive: only a limit of our own ends the wait. */
struct hf_status pgwire_result_next(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    PGresult **ret_res)
{
    int64_t heard_us = hf_mono_us();

    while (PQisBusy(conn->pg)) {
        bool came;

        HF_TRY(pgwire_wait_input(ctx, conn, 200, &came));
        heard_us = came ? hf_mono_us() : heard_us;
        if (hf_mono_us() - heard_us > (int64_t)conn->answer_ms * 1000) {
            return pgwire_fail_silent(ctx, conn);
        }
    }
    *ret_res = PQgetResult(conn->pg);
    return hf_success();
}

struct hf_status pgwire_result_expect(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                      ExecStatusType state, PGresult **ret_res)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;

    HF_TRY(pgwire_result_next(ctx, conn, &res));
    if (res == NULL || PQresultStatus(res) != state) {
        return pgwire_fail_result(ctx, conn, res);
    }
    *ret_res = HF_TAKE(res);
    return hf_success();
}

struct hf_status pgwire_results_drain(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    struct hf_status outcome = hf_success();

    for (;;) {
        HF_CLEANUP(PQclear) PGresult *res = NULL;
        ExecStatusType state;

        HF_TRY(pgwire_result_next(ctx, conn, &res));
        if (res == NULL) {
            return outcome;
        }
        state = PQresultStatus(res);
        if (state != PGRES_TUPLES_OK && state != PGRES_COMMAND_OK && hf_is_ok(outcome)) {
            outcome = pgwire_fail_result(ctx, conn, res);
            if (state != PGRES_FATAL_ERROR || PQstatus(conn->pg) == CONNECTION_BAD) {
                conn->is_broken = true; /* a COPY that nobody asked for would never end */
                return outcome;
            }
        }
    }
}

static struct hf_status rows_copy(struct hf_ctx *ctx, const PGresult *res,
                                  struct pgwire_rows *ret_rows)
{
    size_t rows = (size_t)PQntuples(res), columns = (size_t)PQnfields(res);
    const char **values;

    if (rows > PGWIRE_ROWS_MAX) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "the server returned more than %d rows",
                       PGWIRE_ROWS_MAX);
    }
    values = HF_NEW_N(ctx->arena, const char *, rows *columns + 1);
    for (size_t i = 0; i < rows * columns; i++) {
        int row = (int)(i / columns), column = (int)(i % columns);

        if (!PQgetisnull(res, row, column)) {
            values[i] = hf_strdup(ctx->arena, PQgetvalue(res, row, column));
        }
    }
    *ret_rows = (struct pgwire_rows){rows, columns, values};
    return hf_success();
}

struct hf_status pgwire_query(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *sql,
                              const char *const *params, size_t params_len,
                              struct pgwire_rows *ret_rows)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;
    struct hf_status status;
    ExecStatusType state;

    HF_TRY(pgwire_send(ctx, conn, sql, params, params_len));
    HF_TRY(pgwire_result_next(ctx, conn, &res));
    state = res != NULL ? PQresultStatus(res) : PGRES_EMPTY_QUERY;
    status = state == PGRES_TUPLES_OK || state == PGRES_COMMAND_OK
                 ? rows_copy(ctx, res, ret_rows)
                 : pgwire_fail_result(ctx, conn, res);
    if (state == PGRES_COPY_BOTH || state == PGRES_COPY_IN || state == PGRES_COPY_OUT) {
        conn->is_broken = true;
        return status;
    }
    if (hf_is_ok(status)) {
        return pgwire_results_drain(ctx, conn);
    }
    (void)hf_is_ok(pgwire_results_drain(ctx, conn));
    return status;
}

static char *quote(struct hf_arena *arena, const char *text, char mark)
{
    char *out = hf_alloc(arena, 2 * strlen(text) + 3);
    size_t len = 0;

    out[len++] = mark;
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == mark) {
            out[len++] = mark;
        }
        out[len++] = *p;
    }
    out[len++] = mark;
    out[len] = '\0';
    return out;
}

char *pgwire_quote_literal(struct hf_arena *arena, const char *text)
{
    return quote(arena, text, '\'');
}

char *pgwire_quote_name(struct hf_arena *arena, const char *text)
{
    return quote(arena, text, '"');
}

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
#define PARAMS_MAX 16
#define GREETING_POLL_MS 10

/* What a server says while it is connected to belongs to no command. */
static void notice_drop(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
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

static struct hf_status flooded(struct hf_ctx *ctx, const struct pgwire_conn *conn)
{
    const char *const metadata[] = {"host", conn->peer, NULL};

    return hf_fail_info(ctx->arena, HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", metadata,
                        "%s sends more than any greeting needs", conn->peer);
}

struct hf_status pgwire_fail_silent(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    conn->is_broken = true;
    return timed_out(ctx, conn);
}

/* Let libpq go on, when what it would read may be read. */
static struct hf_status connect_step(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                     PostgresPollingStatusType *state)
{
    const char *const metadata[] = {"host", conn->peer, NULL};

    switch (*state == PGRES_POLLING_READING ? pgwire_greeting_peek(conn->pg)
                                            : PGWIRE_GREETING_FINE) {
    case PGWIRE_GREETING_MORE:
        return hf_ctx_sleep(ctx, GREETING_POLL_MS);
    case PGWIRE_GREETING_STRANGE:
        return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "HOST_UNREACHABLE", metadata,
                            "%s does not answer as PostgreSQL does", conn->peer);
    case PGWIRE_GREETING_HUGE:
        return flooded(ctx, conn);
    case PGWIRE_GREETING_COSTLY:
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "PASSWORD_COSTLY", metadata,
                            "%s wants the password hashed more often than any honest server "
                            "does; set scram_iterations lower and the password again",
                            conn->peer);
    case PGWIRE_GREETING_FINE:
        *state = PQconnectPoll(conn->pg);
        return hf_success();
    }
    return hf_success();
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
            pgwire_socket_narrow(PQsocket(conn->pg), true);
            HF_TRY(connect_step(ctx, conn, &state));
        }
        if (pgwire_socket_is_flooded(PQsocket(conn->pg))) {
            return flooded(ctx, conn);
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

    hf_buf_init(&conn->notices, PGWIRE_NOTICES_MAX);
    hf_buf_init(&conn->rows, PGWIRE_ROWS_BYTES_MAX);
    conn->mode = options->mode;
    conn->answer_ms =
        options->answer_timeout_ms > 0 ? options->answer_timeout_ms : ANSWER_TIMEOUT_MS;
    conn->password = options->password != NULL ? hf_heap_strdup(options->password) : NULL;
    conn->peer = hf_heap_strdup(hf_printf(
        ctx->arena, "%s:%s", host->host[0] != '\0' ? host->host : "localhost", host->port));
    conn->pg = connect_begin(options, dsn);
    HF_CHECK(conn->pg != NULL);
    (void)PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE);
    (void)PQsetNoticeReceiver(conn->pg, notice_drop, conn);
    HF_TRY(connect_drive(ctx, conn, until_us));
    (void)PQsetErrorVerbosity(conn->pg, PQERRORS_DEFAULT);
    conn->is_idle = true;
    pgwire_socket_narrow(PQsocket(conn->pg), false);
    pgwire_wire_init(&conn->wire, PQsocket(conn->pg), PQsslStruct(conn->pg, "OpenSSL"));
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
    pgwire_wire_done(&conn->wire);
    PQfinish(conn->pg);
    if (conn->password != NULL) {
        codec_wipe(conn->password, strlen(conn->password));
    }
    hf_heap_free(conn->password);
    hf_heap_free(conn->peer);
    hf_buf_done(&conn->notices);
    hf_buf_done(&conn->rows);
    hf_heap_free(conn);
}

bool pgwire_is_alive(const struct pgwire_conn *conn)
{
    return !conn->is_broken && !conn->wire.is_lost && PQstatus(conn->pg) == CONNECTION_OK;
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

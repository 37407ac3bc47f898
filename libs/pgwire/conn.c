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
#include "base/fd.h"
#include "base/str.h"
#include "codec/hash.h"
#include "pgwire/dsn.h"
#include "pgwire/internal.h"

#define CONNECT_TIMEOUT_MS 10000
#define ANSWER_TIMEOUT_MS 60000
#define GREETING_POLL_MS 10
#define DEFAULT_SOCKET_DIR "/var/run/postgresql"

/* What a server says while it is connected to belongs to no command. */
static void notice_drop(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
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
    case PGWIRE_GREETING_METHOD:
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "AUTH_METHOD", metadata,
                            "%s asks for another proof than a password or a certificate; write "
                            "scram-sha-256 into the server's pg_hba.conf",
                            conn->peer);
    case PGWIRE_GREETING_CLEAR:
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "PASSWORD_IN_CLEAR", metadata,
                            "%s wants the password as it is over a connection without TLS; write "
                            "sslmode=require, or scram-sha-256 into the server's pg_hba.conf",
                            conn->peer);
    case PGWIRE_GREETING_FINE:
        *state = PQconnectPoll(conn->pg);
        return pgwire_tls_check(ctx, conn);
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

/* A socket is judged once more by what it was bound to. */
static struct hf_status check_socket(struct hf_ctx *ctx, const struct pgwire_dial *dial,
                                     const struct pgwire_conn *conn)
{
    if (dial->address != NULL || PQstatus(conn->pg) == CONNECTION_BAD) {
        return hf_success();
    }
    return egress_socket_check(ctx, dial->options->access->egress, PQsocket(conn->pg));
}

static struct pgwire_conn *conn_new(struct hf_ctx *ctx, const struct pgwire_dial *dial)
{
    const struct pgwire_options *options = dial->options;
    const char *host = dial->host->host;
    struct pgwire_conn *conn = hf_heap_alloc(sizeof(*conn));

    hf_buf_init(&conn->notices, PGWIRE_NOTICES_MAX);
    hf_buf_init(&conn->rows, PGWIRE_ROWS_BYTES_MAX);
    conn->mode = options->mode;
    conn->answer_ms =
        options->answer_timeout_ms > 0 ? options->answer_timeout_ms : ANSWER_TIMEOUT_MS;
    conn->password = options->password != NULL ? hf_heap_strdup(options->password) : NULL;
    conn->peer = hf_heap_strdup(
        hf_printf(ctx->arena, "%s:%s", host[0] != '\0' ? host : "localhost", dial->host->port));
    if (dial->address == NULL) {
        conn->socket_path =
            hf_heap_strdup(hf_printf(ctx->arena, "/proc/self/fd/%d", dial->socket_dir_fd));
        conn->socket_dir = hf_heap_strdup(host[0] != '\0' ? host : DEFAULT_SOCKET_DIR);
    }
    return conn;
}

static struct hf_status open_one(struct hf_ctx *ctx, const struct pgwire_dial *dial, int timeout_ms,
                                 struct pgwire_conn **ret_conn)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = conn_new(ctx, dial);
    int64_t until_us = hf_mono_us() + (int64_t)timeout_ms * 1000;

    pgwire_tls_note(dial, conn);
    conn->pg = pgwire_dial_begin(ctx, dial);
    (void)PQsetErrorVerbosity(conn->pg, PQERRORS_VERBOSE);
    (void)PQsetNoticeReceiver(conn->pg, notice_drop, conn);
    HF_TRY(check_socket(ctx, dial, conn));
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

/* A host of the DSN as the gate found it. */
struct way {
    const struct pgwire_host *host;
    struct egress_addresses addresses;
    struct hf_status status; /* not OK: cannot be tried now */
};

static bool is_socket(const struct pgwire_host *host)
{
    return host->address[0] == '\0' &&
           (host->host[0] == '\0' || host->host[0] == '/' || host->host[0] == '@');
}

static const char *socket_name(struct hf_arena *arena, const struct pgwire_host *host)
{
    return hf_printf(arena, ".s.PGSQL.%s", host->port);
}

static struct hf_status socket_open(struct hf_ctx *ctx, const struct pgwire_access *access,
                                    const struct pgwire_host *host, int *ret_fd)
{
    return egress_socket_open(ctx, access->egress,
                              host->host[0] != '\0' ? host->host : DEFAULT_SOCKET_DIR,
                              socket_name(ctx->arena, host), access->is_operator, ret_fd);
}

static struct hf_status way_find(struct hf_ctx *ctx, const struct pgwire_access *access,
                                 const struct pgwire_host *host, struct way *way)
{
    HF_CLEANUP(hf_close) int fd = -1;
    uint64_t port = 0;

    if (is_socket(host)) {
        return socket_open(ctx, access, host, &fd);
    }
    HF_CHECK(hf_parse_u64(host->port, &port) && port <= UINT16_MAX);
    const struct egress_want want = {host->address[0] != '\0' ? host->address : host->host,
                                     (uint16_t)port, access->is_operator, access->owner};

    return egress_resolve(ctx, access->egress, &want, &way->addresses);
}

/* All hosts before the first is connected to: one that is refused refuses the DSN, one that the
 * resolver does not know now may be known later. */
static struct hf_status ways_find(struct hf_ctx *ctx, const struct pgwire_options *options,
                                  const struct pgwire_dsn *dsn, struct way **ret_ways)
{
    struct way *ways = HF_NEW_N(ctx->arena, struct way, dsn->hosts_len);

    for (size_t i = 0; i < dsn->hosts_len; i++) {
        ways[i].host = &dsn->hosts[i];
        ways[i].status = way_find(ctx, options->access, &dsn->hosts[i], &ways[i]);
        if (!hf_is_ok(ways[i].status) && ways[i].status.code != HF_UNAVAILABLE) {
            return ways[i].status;
        }
    }
    *ret_ways = ways;
    return hf_success();
}

static size_t tries_of(const struct way *way)
{
    return is_socket(way->host) || !hf_is_ok(way->status) || way->addresses.len == 0
               ? 1
               : way->addresses.len;
}

static struct hf_status try_one(struct hf_ctx *ctx, struct pgwire_dial *dial, const struct way *way,
                                size_t index, int timeout_ms, struct pgwire_conn **ret_conn)
{
    HF_CLEANUP(hf_close) int fd = -1;

    HF_TRY(hf_ctx_check(ctx));
    HF_TRY(way->status);
    dial->host = way->host;
    dial->address = NULL;
    if (is_socket(way->host)) {
        HF_TRY(socket_open(ctx, dial->options->access, way->host, &fd));
        dial->socket_dir_fd = fd;
    } else {
        dial->address = &way->addresses.list[index];
    }
    return open_one(ctx, dial, timeout_ms, ret_conn);
}

static struct hf_status try_all(struct hf_ctx *ctx, struct pgwire_dial *dial,
                                const struct way *ways, int timeout_ms,
                                struct pgwire_conn **ret_conn)
{
    struct hf_status worst = hf_success();
    int64_t until_us = hf_mono_us() + (int64_t)timeout_ms * 1000;
    size_t tries = 0;

    for (size_t i = 0; i < dial->dsn->hosts_len; i++) {
        tries += tries_of(&ways[i]);
    }
    for (size_t i = 0; i < dial->dsn->hosts_len; i++) {
        for (size_t k = 0; k < tries_of(&ways[i]); k++) {
            int64_t left_ms = (until_us - hf_mono_us()) / 1000; /* what the fast ones left over */
            int share_ms = left_ms > 0 ? (int)(left_ms / (int64_t)tries--) : 1;
            struct hf_status status = try_one(ctx, dial, &ways[i], k, share_ms, ret_conn);

            if (hf_is_ok(status) || !is_worth_another(status)) {
                return status;
            }
            if (hf_is_ok(worst) || worst.code == HF_UNAVAILABLE) {
                worst = status; /* an answer says more than silence */
            }
        }
    }
    return worst;
}

/* libpq would look for the authority in the home directory. */
static struct hf_status check_authority(struct hf_ctx *ctx, const struct pgwire_options *options,
                                        const struct pgwire_dsn *dsn)
{
    const char *mode = pgwire_dsn_setting(dsn, "sslmode");

    if (mode == NULL || !hf_has_prefix(mode, "verify-") ||
        !hf_text_empty(options->access->ca_pem) || pgwire_dsn_setting(dsn, "sslrootcert") != NULL) {
        return hf_success();
    }
    return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "CA_MISSING", NULL,
                        "sslmode=%s needs the certificate of the authority that signed the "
                        "server's: upload it with --ca-file",
                        mode);
}

static int timeout_of(const struct pgwire_options *options, const struct pgwire_dsn *dsn)
{
    const char *text = pgwire_dsn_setting(dsn, "connect_timeout");
    int timeout_ms =
        options->connect_timeout_ms > 0 ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS;
    uint64_t seconds = 0;

    if (text != NULL && hf_parse_u64(text, &seconds) && seconds > 0 &&
        seconds < (uint64_t)timeout_ms / 1000) {
        timeout_ms = (int)seconds * 1000;
    }
    return timeout_ms;
}

struct hf_status pgwire_open(struct hf_ctx *ctx, const struct pgwire_options *options,
                             struct pgwire_conn **ret_conn)
{
    HF_CLEANUP(pgwire_files_remove) struct pgwire_files files = {.dir = NULL};
    struct pgwire_options chosen = *options;
    struct way *ways = NULL;
    struct pgwire_dsn dsn;

    HF_CHECK(options->access != NULL && options->access->egress != NULL);
    HF_TRY(pgwire_dsn_parse(ctx->arena, options->dsn, &dsn));
    HF_TRY(check_authority(ctx, options, &dsn));
    HF_TRY(ways_find(ctx, options, &dsn, &ways));
    HF_TRY(pgwire_files_make(ctx, options->access, &files));
    if (chosen.dbname == NULL && dsn.dbname[0] == '\0') {
        chosen.dbname = "postgres";
    }
    struct pgwire_dial dial = {
        .options = &chosen, .dsn = &dsn, .files = &files, .socket_dir_fd = -1};

    return try_all(ctx, &dial, ways, timeout_of(options, &dsn), ret_conn);
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
    hf_heap_free(conn->socket_path);
    hf_heap_free(conn->socket_dir);
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

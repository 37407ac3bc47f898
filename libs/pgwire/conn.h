/* A connection to a source PostgreSQL, never blocking past ctx: connecting, queries
 * and waiting see deadline and cancellation within 200 ms.
 *
 * Passwords travel beside the DSN and appear in no message. Nothing of the home directory counts
 * (~/.pgpass, ~/.postgresql, ~/.pg_service.conf). libpq's environment defaults (PGSSLMODE …) would:
 * a service clears its environment (svc/environment.h).
 *
 * Each host is resolved and judged by the gate (libs/egress) before anything is connected to, and
 * libpq is given one judged address at a time; its reasons of refusal are reasons here, too.
 *
 * libpq connects, authenticates and owns TLS; every byte after that is taken by this folder,
 * because libpq keeps whatever a server sends. A connection holds at most one message (2 MiB) and
 * one result (8 MiB), whatever the server claims; texts of a server come as hf_text_show makes
 * them.
 *
 * Threads: a connection belongs to one thread at a time.
 *
 * Reasons of failure (hf_error_info.reason):
 *   HOST_UNREACHABLE        UNAVAILABLE         no host answers, or the connection broke
 *   CA_MISSING              INVALID_ARGUMENT    sslmode verifies, and no authority was uploaded
 *   TLS_NOT_VERIFIED        UNAVAILABLE         its certificate is not one that is trusted
 *   SERVER_STARTING         UNAVAILABLE         it answers, but starts up or shuts down
 *   AUTHENTICATION_FAILED   PERMISSION_DENIED   wrong or missing password, no line in pg_hba.conf
 *   PEER_REFUSED            PERMISSION_DENIED   the server knows us by our user of the machine, and
 *                                               has no line for it: with the lines that mend it
 *   ROLE_LACKS_REPLICATION  PERMISSION_DENIED   with the ALTER ROLE that mends it
 *   NO_PRIVILEGE            PERMISSION_DENIED   any other lack of a right
 *   NO_WALSENDER            RESOURCE_EXHAUSTED  max_wal_senders are all in use
 *   NO_CONNECTION_SLOT      RESOURCE_EXHAUSTED  max_connections are all in use
 *   NO_FREE_SLOT            RESOURCE_EXHAUSTED  max_replication_slots are all in use
 *   DATABASE_NOT_FOUND      NOT_FOUND
 *   SLOT_NOT_FOUND          NOT_FOUND
 *   SLOT_IN_USE             FAILED_PRECONDITION another receiver streams from it
 *   SLOT_LOST               FAILED_PRECONDITION its WAL is gone: a gap (older servers say
 *                                               WAL_REMOVED at the first event)
 *   WAL_REMOVED             OUT_OF_RANGE        the WAL asked for is gone from the server
 *   WAL_LEVEL_MINIMAL       FAILED_PRECONDITION
 *   WRONG_SERVER_ROLE       FAILED_PRECONDITION no host is the primary that was asked for
 *   PAGE_CHECKSUM_FAILED    DATA_LOSS           the server found damaged pages while reading
 *   ANSWER_TOO_LARGE        RESOURCE_EXHAUSTED  more bytes, rows or notices than an answer may have
 *   PASSWORD_COSTLY         FAILED_PRECONDITION the server wants the password hashed too often
 *   AUTH_METHOD             FAILED_PRECONDITION the server wants Kerberos or the like
 *   PASSWORD_IN_CLEAR       FAILED_PRECONDITION the server wants it as it is, without TLS, and is
 *                                               not on this machine
 *   PROTOCOL_VIOLATION      DATA_LOSS           what comes is not PostgreSQL's protocol
 *   NOT_SUPPORTED           UNIMPLEMENTED       the server does not do that
 *   SERVER_ERROR            INTERNAL            anything else the server says
 */
#ifndef HF_PGWIRE_CONN_H
#define HF_PGWIRE_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ctx.h"

struct pgwire_conn;

enum pgwire_mode {
    PGWIRE_SQL,         /* an ordinary session */
    PGWIRE_REPLICATION, /* a physical walsender: IDENTIFY_SYSTEM, SHOW, BASE_BACKUP … */
};

struct egress;

/* By which way, and with which certificates, sources are reached. */
struct pgwire_access {
    struct egress *egress; /* mandatory */
    bool is_operator;      /* who registered the source: the gate asks */
    const char *owner;     /* whose source it is, so that the gate is fair; NULL: nobody's */
    const char *run_dir;   /* where a private directory for certificates may be made; NULL: none */
    const char *ca_pem;    /* PEM texts; NULL or "": none. A CA makes verify-full the default */
    const char *cert_pem;
    const char *key_pem;
};

struct pgwire_options {
    const char *dsn;      /* conninfo or URI without password, several hosts allowed */
    const char *password; /* NULL: none */
    const struct pgwire_access *access;
    enum pgwire_mode mode;
    const char *application_name; /* NULL: "holdfast" */
    const char *dbname;     /* SQL mode: instead of the DSN's; NULL: the DSN's, else postgres */
    bool is_primary_only;   /* skip hosts in recovery */
    int connect_timeout_ms; /* over all hosts; 0: 10 s. The ctx's deadline counts too */
    int answer_timeout_ms;  /* for each result of a command, however it drips; 0: 60 s. A stream and
                               a base backup have limits of their own */
};

/* A host that the gate refuses refuses the DSN, before anything is connected to.
 * Errors   INVALID_ARGUMENT (dsn.h), reasons above, those of egress.h, CANCELLED, DEADLINE_EXCEEDED
 * of ctx. Running into connect_timeout_ms is HOST_UNREACHABLE. */
struct hf_status pgwire_open(struct hf_ctx *ctx, const struct pgwire_options *options,
                             struct pgwire_conn **ret_conn) HF_MUST_USE;
void pgwire_close(struct pgwire_conn *conn); /* accepts NULL */

HF_DEFINE_CLEANUP(struct pgwire_conn *, pgwire_close)

/* False once the connection is broken: only closing is left. */
bool pgwire_is_alive(const struct pgwire_conn *conn);
int pgwire_server_version(const struct pgwire_conn *conn); /* 150018 */
/* "host:port" of the server connected to; lives with the connection. */
const char *pgwire_peer(const struct pgwire_conn *conn);
const char *pgwire_user(const struct pgwire_conn *conn);
/* Process id of the server's backend. */
int pgwire_backend_pid(const struct pgwire_conn *conn);

#define PGWIRE_ROWS_MAX 10000
/* No server writes so much WAL; beyond it, positions could overflow. */
#define PGWIRE_LSN_MAX (UINT64_C(1) << 62)

/* Rows as clean text (hf_text_show), all in ctx->arena; NULL values are NULL. */
struct pgwire_rows {
    size_t rows;
    size_t columns;
    const char *const *values; /* row by row */
};
static inline const char *pgwire_value(const struct pgwire_rows *rows, size_t row, size_t column)
{
    /* An answer may be smaller than its question. */
    return row < rows->rows && column < rows->columns ? rows->values[row * rows->columns + column]
                                                      : NULL;
}

/* One statement, params text or NULL entries. In replication mode params_len must be 0 and sql is a
 * replication command with at most one result set.
 * Errors   the reasons above; RESOURCE_EXHAUSTED too many rows */
struct hf_status pgwire_query(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *sql,
                              const char *const *params, size_t params_len,
                              struct pgwire_rows *ret_rows) HF_MUST_USE;

/* 'it''s' and "a""b", in arena. */
char *pgwire_quote_literal(struct hf_arena *arena, const char *text);
char *pgwire_quote_name(struct hf_arena *arena, const char *text);

#endif

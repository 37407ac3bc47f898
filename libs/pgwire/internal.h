/* What the files of this folder share; libpq's types end here. */
#ifndef HF_PGWIRE_INTERNAL_H
#define HF_PGWIRE_INTERNAL_H

#include <libpq-fe.h>

#include "base/buf.h"
#include "pgwire/conn.h"

HF_DEFINE_CLEANUP(PGresult *, PQclear)

struct pgwire_conn {
    PGconn *pg;
    enum pgwire_mode mode;
    bool is_broken; /* a call was given up half-way: the protocol state is unknown */
    char *password; /* to keep it out of messages */
    char *peer;
    struct hf_buf notices; /* warnings of the server, the first 4 KiB */
    char *copy;            /* message of the event handed out last, libpq's memory */
    int answer_ms;         /* silence that is borne; see pgwire_options */
    bool is_streaming;
    bool has_stream_end; /* the stream ended before it began */
    uint32_t stream_next_timeline;
    uint64_t stream_switch_lsn;
};

/* The SQLSTATE of a result, "" when there is none. */
const char *pgwire_sqlstate(const PGresult *res);

/* Failure from a SQLSTATE (may be "") and a text of server or libpq; code and reason by the table
 * in errors.c. Passwords are taken out, lines joined. */
struct hf_status pgwire_fail(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                             const char *sqlstate, const char *text) HF_MUST_USE;
/* Failure from a result (its state is an error), or from the connection when res is NULL. */
struct hf_status pgwire_fail_result(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    const PGresult *res) HF_MUST_USE;
/* Failure of connecting: SQLSTATEs are read out of libpq's verbose message. */
struct hf_status pgwire_fail_connect(struct hf_ctx *ctx,
                                     const struct pgwire_conn *conn) HF_MUST_USE;
bool pgwire_reason_is(struct hf_status status, const char *reason);

/* Send a command; the results are then taken with pgwire_result_next. */
struct hf_status pgwire_send(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *sql,
                             const char *const *params, size_t params_len) HF_MUST_USE;
/* Next result; NULL when there is no more. Error results are returned as they are. */
struct hf_status pgwire_result_next(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    PGresult **ret_res) HF_MUST_USE;
/* Next result, which must have this state. */
struct hf_status pgwire_result_expect(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                      ExecStatusType state, PGresult **ret_res) HF_MUST_USE;
/* Take results until there is no more; the first error among them is the outcome. */
struct hf_status pgwire_results_drain(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;
/* Failure of a connection that has been silent for too long; breaks it. */
struct hf_status pgwire_fail_silent(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;
/* Write out what is buffered. */
struct hf_status pgwire_flush(struct hf_ctx *ctx, struct pgwire_conn *conn) HF_MUST_USE;
/* Wait up to timeout_ms for bytes and take them in; ret_came is false when none came. */
struct hf_status pgwire_wait_input(struct hf_ctx *ctx, struct pgwire_conn *conn, int timeout_ms,
                                   bool *ret_came) HF_MUST_USE;

#endif

/* One connection. Settings that safety depends on are fixed at connect, not left to the server's
 * configuration: a commit is synchronous even where the database's default is not. */
#include "db/conn.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "db/error.h"
#include "db/params.h"
#include "db/wait.h"

#define CONNECT_US (5 * HF_US_PER_S)

#define SESSION_OPTIONS                                                                            \
    "-c search_path=%s -c TimeZone=UTC -c DateStyle=ISO -c client_min_messages=warning"            \
    " -c synchronous_commit=on -c idle_in_transaction_session_timeout=60000"                       \
    " -c statement_timeout=%d -c standard_conforming_strings=on"                                   \
    " -c client_connection_check_interval=2000"

static const char sql_server_facts[] =
    "SELECT current_setting('fsync'), current_setting('full_page_writes'), r.rolname,"
    " r.rolsuper, r.rolbypassrls,"
    " EXISTS (SELECT FROM pg_roles o WHERE o.rolname = '" DB_ROLE_OWNER "'"
    " AND pg_has_role(r.oid, o.oid, 'MEMBER'))"
    " FROM pg_roles r WHERE r.rolname = current_user";

void db_conn_close(struct db_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    PQfinish(conn->pg);
    hf_heap_free(conn);
}

struct hf_status db_conn_simple(struct hf_ctx *ctx, struct db_conn *conn, const char *sql,
                                PGresult **ret_result)
{
    if (PQsendQuery(conn->pg, sql) == 0) {
        conn->is_broken = true;
        return db_error_lost(ctx->arena, conn->pg);
    }
    return db_wait_result(ctx, conn, ret_result);
}

/* FNV-1a. */
static uint64_t hash_of(const char *text)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * UINT64_C(0x100000001b3);
    }
    return hash;
}

static size_t statement_index(const struct db_conn *conn, struct db_statement wanted)
{
    size_t i = 0;

    while (i < conn->statements_len &&
           (conn->statements[i].sql != wanted.sql || conn->statements[i].hash != wanted.hash)) {
        i++;
    }
    return i;
}

static struct hf_status prepare(struct hf_ctx *ctx, struct db_conn *conn,
                                struct db_statement statement, const struct db_wire *wire)
{
    HF_CLEANUP(PQclear) PGresult *result = NULL;
    const char *name = hf_printf(ctx->arena, "s%zu", conn->statements_len);

    if (PQsendPrepare(conn->pg, name, statement.sql, wire->len, wire->types) == 0) {
        conn->is_broken = true;
        return db_error_lost(ctx->arena, conn->pg);
    }
    HF_TRY(db_wait_result(ctx, conn, &result));
    conn->statements[conn->statements_len++] = statement;
    return hf_success();
}

struct hf_status db_conn_run(struct hf_ctx *ctx, struct db_conn *conn, const char *sql,
                             const struct db_param *params, size_t params_len, struct db_rows *rows)
{
    struct db_wire wire;
    const struct db_statement statement = {sql, hash_of(sql)};
    size_t index = statement_index(conn, statement);
    int is_sent = 0;

    HF_TRY(db_params_encode(ctx->arena, params, params_len, &wire));
    if (index == conn->statements_len && index < DB_STATEMENTS_MAX) {
        HF_TRY(prepare(ctx, conn, statement, &wire));
    }
    if (index < DB_STATEMENTS_MAX) {
        is_sent = PQsendQueryPrepared(conn->pg, hf_printf(ctx->arena, "s%zu", index), wire.len,
                                      wire.values, wire.lengths, wire.formats, 0);
    } else {
        is_sent = PQsendQueryParams(conn->pg, sql, wire.len, wire.types, wire.values, wire.lengths,
                                    wire.formats, 0);
    }
    if (is_sent == 0 || PQsetSingleRowMode(conn->pg) == 0) {
        conn->is_broken = true;
        return db_error_lost(ctx->arena, conn->pg);
    }
    return db_wait_rows(ctx, conn, rows);
}

static bool is_true(const PGresult *result, int column)
{
    return PQgetvalue(result, 0, column)[0] == 't';
}

/* With a powerful role, row-level policies vanish in silence; without fsync an acknowledged fence
 * can be issued twice. Both are refused on every new connection. */
static struct hf_status check_server(struct hf_ctx *ctx, struct db_conn *conn, enum db_role role)
{
    HF_CLEANUP(PQclear) PGresult *facts = NULL;

    HF_TRY(db_conn_simple(ctx, conn, sql_server_facts, &facts));
    for (int i = 0; i < 2; i++) {
        if (strcmp(PQgetvalue(facts, 0, i), "on") != 0) {
            return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                           "the state database runs with %s off; switch it on",
                           i == 0 ? "fsync" : "full_page_writes");
        }
    }
    if (role < DB_OWNER && (is_true(facts, 3) || is_true(facts, 4) || is_true(facts, 5))) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "role %s is a superuser, bypasses row-level security or may act as "
                       "%s; connect as %s",
                       PQgetvalue(facts, 0, 2), DB_ROLE_OWNER,
                       role == DB_APP ? DB_ROLE_APP : DB_ROLE_DISPATCH);
    }
    return hf_success();
}

static struct hf_status set_up(struct hf_ctx *ctx, struct db_conn *conn, enum db_role role)
{
    HF_CLEANUP(PQclear) PGresult *result = NULL;

    HF_TRY(check_server(ctx, conn, role));
    if (role != DB_OWNER) {
        return hf_success();
    }
    return db_conn_simple(ctx, conn, "SET ROLE " DB_ROLE_OWNER, &result);
}

/* A server that accepts and then says nothing is UNAVAILABLE, whatever time the caller has. */
static struct hf_status connect_in_time(struct hf_ctx *ctx, PGconn *pg)
{
    struct hf_ctx bounded = *ctx;
    int64_t end_us = hf_mono_us() + CONNECT_US;

    if (bounded.deadline_us == 0 || bounded.deadline_us > end_us) {
        bounded.deadline_us = end_us;
    }
    struct hf_status status = db_wait_connect(&bounded, pg);
    if (status.code == HF_DEADLINE_EXCEEDED && hf_is_ok(hf_ctx_check(ctx))) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "state database: no answer in %d s",
                       (int)(CONNECT_US / HF_US_PER_S));
    }
    return status;
}

struct hf_status db_conn_open(struct hf_ctx *ctx, const struct db_options *options,
                              struct db_conn **ret_conn)
{
    HF_CLEANUP(db_conn_close) struct db_conn *conn = hf_heap_alloc(sizeof(*conn));
    const char *session = hf_printf(ctx->arena, SESSION_OPTIONS, options->schema,
                                    options->role >= DB_OWNER ? 0 : 300000);
    const char *const keys[] = {"dbname",           "application_name", "options",
                                "tcp_user_timeout", "keepalives_idle",  NULL};
    const char *const values[] = {
        options->conninfo, options->application_name, session, "10000", "30", NULL};

    conn->pg = PQconnectStartParams(keys, values, 1);
    HF_CHECK(conn->pg != NULL);
    HF_TRY(connect_in_time(ctx, conn->pg));
    if (PQsetnonblocking(conn->pg, 1) != 0) {
        return db_error_lost(ctx->arena, conn->pg);
    }
    HF_TRY(set_up(ctx, conn, options->role));
    *ret_conn = HF_TAKE(conn);
    return hf_success();
}

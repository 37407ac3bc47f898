/* The pool and its transactions. The surprise: BEGIN is the probe. A broken idle connection shows
 * itself there, before anything has run, so db_tx_begin tries the next one and then a fresh one,
 * and callers do not see a restart of the server unless they are in the middle of a transaction. */
#include "db/db.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/pool.h"
#include "db/conn.h"
#include "db/rows.h"

#define DEFAULT_CONNECTIONS 16
#define ABORT_US (2 * HF_US_PER_S)
#define COMMIT_US (15 * HF_US_PER_S)

struct db {
    struct hf_lock pool_lock; /* guards: */
    struct db_conn *idle;
    size_t open_len;
    struct db_options options; /* constant; its texts: */
    char *conninfo;
    char *schema;
    char *application_name;
};

struct db *db_new(const struct db_options *options)
{
    struct db *db = hf_heap_alloc(sizeof(*db));

    hf_lock_init(&db->pool_lock);
    db->conninfo = hf_heap_strdup(options->conninfo);
    db->schema = hf_heap_strdup(options->schema == NULL ? "pg_catalog" : options->schema);
    db->application_name =
        hf_heap_strdup(options->application_name == NULL ? "holdfast" : options->application_name);
    db->options = (struct db_options){
        .conninfo = db->conninfo,
        .role = options->role,
        .schema = db->schema,
        .application_name = db->application_name,
        .max_connections =
            options->max_connections == 0 ? DEFAULT_CONNECTIONS : options->max_connections,
    };
    return db;
}

void db_free(struct db *db)
{
    if (db == NULL) {
        return;
    }
    while (db->idle != NULL) {
        struct db_conn *conn = db->idle;
        db->idle = conn->next;
        db->open_len--;
        db_conn_close(conn);
    }
    HF_CHECK(db->open_len == 0);
    hf_lock_done(&db->pool_lock);
    hf_heap_free(db->conninfo);
    hf_heap_free(db->schema);
    hf_heap_free(db->application_name);
    hf_heap_free(db);
}

/* An idle connection, or NULL with the right to open one. */
static struct hf_status reserve(struct hf_ctx *ctx, struct db *db, struct db_conn **ret_conn)
{
    struct hf_status status = hf_success();

    hf_lock_take(&db->pool_lock);
    while (hf_is_ok(status) && db->idle == NULL && db->open_len >= db->options.max_connections) {
        hf_lock_wait(&db->pool_lock, hf_ctx_poll_ms(ctx, 200));
        status = hf_ctx_check(ctx);
    }
    if (hf_is_ok(status)) {
        *ret_conn = db->idle;
        if (db->idle == NULL) {
            db->open_len++;
        } else {
            db->idle = db->idle->next;
        }
    }
    hf_lock_release(&db->pool_lock);
    return status;
}

static void give_back(struct db *db, struct db_conn *conn)
{
    bool is_reusable = conn != NULL && !conn->is_broken && PQstatus(conn->pg) == CONNECTION_OK &&
                       PQtransactionStatus(conn->pg) == PQTRANS_IDLE;

    if (!is_reusable) {
        db_conn_close(conn);
    }
    hf_lock_take(&db->pool_lock);
    if (is_reusable) {
        conn->next = db->idle;
        db->idle = conn;
    } else {
        db->open_len--;
    }
    hf_lock_wake(&db->pool_lock);
    hf_lock_release(&db->pool_lock);
}

static struct hf_status open_and_begin(struct hf_ctx *ctx, struct db *db, const char *begin,
                                       struct db_conn **conn)
{
    HF_CLEANUP(PQclear) PGresult *result = NULL;

    if (*conn == NULL) {
        HF_TRY(db_conn_open(ctx, &db->options, conn));
    }
    return db_conn_simple(ctx, *conn, begin, &result);
}

static struct hf_status begin_tx(struct hf_ctx *ctx, struct db *db, const char *begin,
                                 struct db_tx **ret_tx)
{
    for (;;) {
        struct db_conn *conn = NULL;
        HF_TRY(reserve(ctx, db, &conn));
        bool is_new = conn == NULL;
        struct hf_status status = open_and_begin(ctx, db, begin, &conn);
        if (hf_is_ok(status)) {
            conn->tx = (struct db_tx){.db = db, .conn = conn};
            *ret_tx = &conn->tx;
            return hf_success();
        }
        bool is_stale = !is_new && (conn->is_broken || status.code == HF_UNAVAILABLE);
        if (conn != NULL) {
            conn->is_broken = true;
        }
        give_back(db, conn);
        if (!is_stale || !hf_is_ok(hf_ctx_check(ctx))) {
            return status;
        }
    }
}

struct hf_status db_tx_begin(struct hf_ctx *ctx, struct db *db, const char *tenant_id,
                             enum db_isolation isolation, struct db_tx **ret_tx)
{
    static const char *const levels[] = {"READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"};
    struct hf_uuid uuid;
    char tenant[HF_UUID_TEXT_LEN + 1];

    HF_CHECK(db->options.role == DB_APP);
    if (tenant_id == NULL || hf_uuid_parse(tenant_id, &uuid) != 0) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "a tenant id must be a UUID");
    }
    hf_uuid_text(&uuid, tenant);
    HF_TRY(begin_tx(ctx, db,
                    hf_printf(ctx->arena,
                              "BEGIN ISOLATION LEVEL %s;"
                              "SELECT set_config('app.tenant', '%s', true)",
                              levels[isolation], tenant),
                    ret_tx));
    memcpy((*ret_tx)->tenant, tenant, sizeof(tenant));
    return hf_success();
}

struct hf_status db_system_begin(struct hf_ctx *ctx, struct db *db, struct db_tx **ret_tx)
{
    HF_CHECK(db->options.role != DB_APP);
    return begin_tx(ctx, db, "BEGIN ISOLATION LEVEL READ COMMITTED", ret_tx);
}

const char *db_tx_tenant(const struct db_tx *tx)
{
    return tx->tenant[0] == '\0' ? NULL : tx->tenant;
}

void db_tx_abort(struct db_tx *tx)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = NULL;
    HF_CLEANUP(PQclear) PGresult *result = NULL;

    if (tx == NULL) {
        return;
    }
    struct db_conn *conn = tx->conn;
    arena = hf_arena_new(64 * 1024);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = hf_mono_us() + ABORT_US};
    if (!conn->is_broken && !hf_is_ok(db_conn_simple(&ctx, conn, "ROLLBACK", &result))) {
        conn->is_broken = true;
    }
    give_back(tx->db, conn);
}

/* A sent COMMIT is not cancelled with its caller: it waits for the answer on its own clock. */
struct hf_status db_tx_commit(struct hf_ctx *ctx, struct db_tx **tx)
{
    HF_CLEANUP(PQclear) PGresult *result = NULL;
    struct db_tx *ended = HF_TAKE(*tx);
    struct db_conn *conn = ended->conn;
    struct hf_ctx own = {.arena = ctx->arena, .deadline_us = hf_mono_us() + COMMIT_US};
    struct hf_status status = hf_ctx_check(ctx);
    const char *const metadata[] = {NULL};

    if (!hf_is_ok(status)) {
        db_tx_abort(ended);
        return status;
    }
    status = db_conn_simple(&own, conn, "COMMIT", &result);
    if (hf_is_ok(status) && strcmp(PQcmdStatus(result), "COMMIT") != 0) {
        status = hf_fail(ctx->arena, HF_ABORTED, "the transaction had failed and was rolled back");
    } else if (conn->is_broken || PQstatus(conn->pg) == CONNECTION_BAD) {
        status = hf_fail_info(ctx->arena, HF_UNKNOWN, "COMMIT_IN_DOUBT", metadata,
                              "the connection was lost during COMMIT");
    }
    give_back(ended->db, conn);
    return status;
}

struct hf_status db_query(struct hf_ctx *ctx, struct db_tx *tx, const char *sql,
                          const struct db_param *params, size_t params_len,
                          const struct db_rows **ret_rows)
{
    struct db_rows *rows = db_rows_new(ctx->arena);

    HF_TRY(db_conn_run(ctx, tx->conn, sql, params, params_len, rows));
    if (ret_rows != NULL) {
        *ret_rows = rows;
    }
    return hf_success();
}

struct hf_status db_exec(struct hf_ctx *ctx, struct db_tx *tx, const char *sql,
                         const struct db_param *params, size_t params_len, int64_t *ret_affected)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql, params, params_len, &rows));
    if (ret_affected != NULL) {
        *ret_affected = db_affected(rows);
    }
    return hf_success();
}

struct hf_status db_script(struct hf_ctx *ctx, struct db_tx *tx, const char *sql)
{
    HF_CLEANUP(PQclear) PGresult *result = NULL;
    return db_conn_simple(ctx, tx->conn, sql, &result);
}

struct hf_status db_check(struct hf_ctx *ctx, struct db *db)
{
    struct db_conn *conn = NULL;

    HF_TRY(reserve(ctx, db, &conn));
    db_conn_close(conn); /* an idle one was checked long ago */
    conn = NULL;
    struct hf_status status = db_conn_open(ctx, &db->options, &conn);
    give_back(db, conn);
    return status;
}

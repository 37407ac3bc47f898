/* PostgreSQL as the store of state: bounded pool, transactions, bound parameters, typed results.
 *
 *   HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
 *   const struct db_rows *rows = NULL;
 *   HF_TRY(db_tx_begin(ctx, db, tenant_id, DB_READ_COMMITTED, &tx));
 *   HF_TRY(db_query(ctx, tx, sql_cluster_get, DB_ARGS(DB_TEXT(name)), &rows));
 *   ...
 *   return db_tx_commit(ctx, &tx);
 *
 * A transaction carries its tenant (app.tenant), which is what row-level security compares with;
 * there is no way to run a statement outside of one. Every wait ends with the ctx: the running
 * statement is cancelled at the server. Reconnection is automatic: db_tx_begin replaces broken
 * connections (nothing has run yet), a statement answers UNAVAILABLE, and a COMMIT whose answer
 * was lost answers UNKNOWN with reason COMMIT_IN_DOUBT.
 *
 * Errors of statements
 *   ABORTED             serialization failure, deadlock (SERIALIZATION), lock not available
 *   ALREADY_EXISTS      unique violation; reason UNIQUE, metadata "constraint"
 *   FAILED_PRECONDITION foreign key violation; reason FOREIGN_KEY, metadata "constraint"
 *   INVALID_ARGUMENT    check or not-null violation, value that does not fit its type
 *   PERMISSION_DENIED   the role or a row-level policy forbids it
 *   RESOURCE_EXHAUSTED  disk full, too many connections, out of memory
 *   UNAVAILABLE         no connection, server starting or stopping
 *   UNKNOWN             COMMIT_IN_DOUBT (db_tx_commit only)
 *   CANCELLED, DEADLINE_EXCEEDED, INTERNAL
 * After any error but those of db_tx_begin the transaction can only be aborted (its cleanup).
 *
 * Threads: a struct db is shared by all; a struct db_tx belongs to one thread at a time.
 */
#ifndef HF_DB_DB_H
#define HF_DB_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ctx.h"
#include "base/status.h"
#include "db/values.h"

/* Names of the database roles that libs/auth/bootstrap.sql creates. */
#define DB_ROLE_OWNER "holdfast_owner"       /* NOLOGIN, owns everything */
#define DB_ROLE_MIGRATE "holdfast_migrate"   /* may SET ROLE holdfast_owner; db_migrate only */
#define DB_ROLE_APP "holdfast_app"           /* requests and workers, under a tenant */
#define DB_ROLE_DISPATCH "holdfast_dispatch" /* relay and reaper: job columns of all tenants */

struct db;
struct db_tx;

enum db_role {
    DB_APP,      /* db_tx_begin only; refused when superuser, BYPASSRLS or able to be the owner */
    DB_DISPATCH, /* db_system_begin only; the same refusals */
    DB_OWNER,    /* db_system_begin, after SET ROLE holdfast_owner; used by db_migrate */
    DB_BOOTSTRAP /* a superuser before the roles exist; db_bootstrap only */
};

enum db_isolation { DB_READ_COMMITTED, DB_REPEATABLE_READ, DB_SERIALIZABLE };

struct db_options {
    const char *conninfo; /* libpq, without secrets in it when it may be logged */
    enum db_role role;
    const char *schema; /* becomes search_path; "backup" */
    const char *application_name;
    size_t max_connections; /* 0: 16; callers above it wait until their deadline */
};

/* Makes the pool; connects lazily, so it cannot fail. Options are copied. */
struct db *db_new(const struct db_options *options);
/* All transactions must have ended. Accepts NULL. */
void db_free(struct db *db);
HF_DEFINE_CLEANUP(struct db *, db_free)

/* Connects once and checks what each new connection is checked for: fsync and full_page_writes
 * on, role not a superuser, not BYPASSRLS, not a member of the owner.
 * Errors   UNAVAILABLE; FAILED_PRECONDITION naming what is wrong.
 */
struct hf_status db_check(struct hf_ctx *ctx, struct db *db) HF_MUST_USE;

/* Begin a transaction of one tenant (DB_APP).
 *
 * tenant_id  text form of the tenant's UUID, as auth_authorize returned it
 * ret_tx     owned by the caller: db_tx_commit or db_tx_abort (use HF_CLEANUP(db_tx_abort))
 * Errors     UNAVAILABLE, INVALID_ARGUMENT (not a UUID), DEADLINE_EXCEEDED, CANCELLED
 */
struct hf_status db_tx_begin(struct hf_ctx *ctx, struct db *db, const char *tenant_id,
                             enum db_isolation isolation, struct db_tx **ret_tx) HF_MUST_USE;

/* Begin a READ COMMITTED transaction without a tenant (DB_DISPATCH or DB_OWNER). */
struct hf_status db_system_begin(struct hf_ctx *ctx, struct db *db,
                                 struct db_tx **ret_tx) HF_MUST_USE;

/* Commits and gives the connection back; *tx becomes NULL in every case.
 * Errors   those of deferred constraints; UNKNOWN COMMIT_IN_DOUBT; ABORTED when the transaction
 *          had already failed. */
struct hf_status db_tx_commit(struct hf_ctx *ctx, struct db_tx **tx) HF_MUST_USE;
/* Rolls back (at most 2 s, then the connection is dropped). Accepts NULL. */
void db_tx_abort(struct db_tx *tx);
HF_DEFINE_CLEANUP(struct db_tx *, db_tx_abort)

/* The tenant of the transaction, NULL in a system one. Lives as long as tx. */
const char *db_tx_tenant(const struct db_tx *tx);

/* Run one statement and copy its rows into ctx->arena (they need no clearing).
 *
 * sql  a constant with static lifetime: it is prepared once per connection and found by its
 *      address (at most 400 different ones per connection; more run unprepared)
 * ret_rows  may be NULL
 * Errors   see top; RESOURCE_EXHAUSTED reason RESULT_TOO_LARGE when the rows exceed the arena
 */
struct hf_status db_query(struct hf_ctx *ctx, struct db_tx *tx, const char *sql,
                          const struct db_param *params, size_t params_len,
                          const struct db_rows **ret_rows) HF_MUST_USE;
/* The same for a statement without result; ret_affected (may be NULL): rows changed. */
struct hf_status db_exec(struct hf_ctx *ctx, struct db_tx *tx, const char *sql,
                         const struct db_param *params, size_t params_len,
                         int64_t *ret_affected) HF_MUST_USE;
/* Several statements separated by ';', without parameters and unprepared: migrations only. */
struct hf_status db_script(struct hf_ctx *ctx, struct db_tx *tx, const char *sql) HF_MUST_USE;

/* True for ALREADY_EXISTS of this constraint: lets a store name what exists. */
bool db_is_unique_violation(struct hf_status status, const char *constraint);

#endif

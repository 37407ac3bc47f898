/* Schema migrations: a static table per schema and component, applied at start.
 *
 * Shipped migrations are never edited, only added to: each is recorded in
 * platform.schema_migrations with the SHA-256 of its text, and an edited one is refused. Each runs
 * in its own transaction as holdfast_owner with search_path = its schema; all under one advisory
 * lock, so that any number of processes may start at once. A database that has newer versions than
 * the program is accepted (N-1 runs beside N).
 *
 * Tables come from migrations/NNNN_name.sql by hf_sql_migrations() of cmake/HfSql.cmake.
 */
#ifndef HF_DB_MIGRATE_H
#define HF_DB_MIGRATE_H

#include <stddef.h>

#include "base/ctx.h"
#include "base/status.h"

struct db_migration {
    int version; /* 1, 2, 3 … without holes */
    const char *name;
    const char *sql;
};

struct db_schema {
    const char *schema;    /* created when absent: "platform", "backup" */
    const char *component; /* whose numbering: "auth", "jobs", "backup" */
    const struct db_migration *migrations;
    size_t migrations_len;
};

/* Bring all schemas up to date, in the order given.
 *
 * conninfo  connects as holdfast_migrate (or a superuser) to database holdfast
 * Errors    UNAVAILABLE; FAILED_PRECONDITION: fsync or full_page_writes is off, an applied
 *           migration was edited (reason MIGRATION_EDITED, metadata "migration"); those of SQL,
 *           wrapped with the migration's name
 * Repeat    safe: what is applied is skipped; a failed one leaves nothing behind.
 */
struct hf_status db_migrate(struct hf_ctx *ctx, const char *conninfo,
                            const struct db_schema *schemas, size_t schemas_len) HF_MUST_USE;

/* Run libs/auth/bootstrap.sql (auth_bootstrap_sql()) or another idempotent script as a superuser
 * outside of the roles above. Used by the supervisor and tests. */
struct hf_status db_bootstrap(struct hf_ctx *ctx, const char *conninfo,
                              const char *sql) HF_MUST_USE;

#endif

/* Migrations, each in its own transaction under one advisory lock that lives as long as the
 * transaction. What has been applied is looked up again under the lock, so that processes that
 * start together take turns and skip each other's work. */
#include "db/migrate.h"

#include <string.h>

#include "base/check.h"
#include "db/conn.h"
#include "db/db.h"
#include "db/queries_sql.h"

static const char sql_ledger[] =
    "CREATE SCHEMA IF NOT EXISTS platform;"
    "CREATE TABLE IF NOT EXISTS platform.schema_migrations ("
    " schema_name text NOT NULL, component text NOT NULL, version int NOT NULL,"
    " name text NOT NULL, checksum text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),"
    " PRIMARY KEY (schema_name, component, version));"
    "GRANT USAGE ON SCHEMA platform TO " DB_ROLE_APP ", " DB_ROLE_DISPATCH;

static bool is_schema_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz_");
    return len > 0 && len < 40 && name[len] == '\0';
}

static struct hf_status lock(struct hf_ctx *ctx, struct db *db, struct db_tx **ret_tx)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_system_begin(ctx, db, &tx));
    HF_TRY(db_query(ctx, tx, sql_db_migrate_lock, DB_NO_ARGS, NULL));
    *ret_tx = HF_TAKE(tx);
    return hf_success();
}

static struct hf_status run(struct hf_ctx *ctx, struct db_tx *tx, const struct db_schema *schema,
                            const struct db_migration *migration)
{
    HF_TRY(db_script(ctx, tx,
                     hf_printf(ctx->arena, "SET LOCAL search_path = %s, pg_temp", schema->schema)));
    HF_TRY(db_script(ctx, tx, migration->sql));
    return db_exec(ctx, tx, sql_db_migration_record,
                   DB_ARGS(DB_TEXT(schema->schema), DB_TEXT(schema->component),
                           DB_INT(migration->version), DB_TEXT(migration->name),
                           DB_TEXT(migration->sql)),
                   NULL);
}

static struct hf_status apply(struct hf_ctx *ctx, struct db *db, const struct db_schema *schema,
                              const struct db_migration *migration)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    HF_TRY(lock(ctx, db, &tx));
    HF_TRY(db_query(ctx, tx, sql_db_migration_applied,
                    DB_ARGS(DB_TEXT(schema->schema), DB_TEXT(schema->component),
                            DB_INT(migration->version), DB_TEXT(migration->sql)),
                    &rows));
    if (db_is_null(rows, 0, 0)) {
        HF_TRY(run(ctx, tx, schema, migration));
    } else if (strcmp(db_text(rows, 0, 0), db_text(rows, 0, 1)) != 0) {
        const char *const metadata[] = {"migration", migration->name, "component",
                                        schema->component, NULL};
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "MIGRATION_EDITED", metadata,
                            "it was applied with another text; shipped migrations are never "
                            "edited");
    }
    return db_tx_commit(ctx, &tx);
}

static struct hf_status migrate_schema(struct hf_ctx *ctx, struct db *db,
                                       const struct db_schema *schema)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_CHECK(is_schema_name(schema->schema));
    HF_TRY(lock(ctx, db, &tx));
    HF_TRY(db_script(ctx, tx,
                     hf_printf(ctx->arena,
                               "CREATE SCHEMA IF NOT EXISTS %s; GRANT USAGE ON SCHEMA %s TO %s, %s",
                               schema->schema, schema->schema, DB_ROLE_APP, DB_ROLE_DISPATCH)));
    HF_TRY(db_tx_commit(ctx, &tx));
    for (size_t i = 0; i < schema->migrations_len; i++) {
        const struct db_migration *migration = &schema->migrations[i];
        HF_CHECK(migration->version == (int)i + 1);
        HF_TRY(hf_wrap(ctx->arena, apply(ctx, db, schema, migration), "migration %s/%s/%04d_%s",
                       schema->schema, schema->component, migration->version, migration->name));
    }
    return hf_success();
}

static struct hf_status migrate_all(struct hf_ctx *ctx, struct db *db,
                                    const struct db_schema *schemas, size_t schemas_len)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(lock(ctx, db, &tx));
    HF_TRY(db_script(ctx, tx, sql_ledger));
    HF_TRY(db_tx_commit(ctx, &tx));
    for (size_t i = 0; i < schemas_len; i++) {
        HF_TRY(migrate_schema(ctx, db, &schemas[i]));
    }
    return hf_success();
}

struct hf_status db_migrate(struct hf_ctx *ctx, const char *conninfo,
                            const struct db_schema *schemas, size_t schemas_len)
{
    struct db_options options = {.conninfo = conninfo,
                                 .role = DB_OWNER,
                                 .application_name = "holdfast_migrate",
                                 .max_connections = 1};
    HF_CLEANUP(db_free) struct db *db = db_new(&options);

    return migrate_all(ctx, db, schemas, schemas_len);
}

struct hf_status db_bootstrap(struct hf_ctx *ctx, const char *conninfo, const char *sql)
{
    HF_CLEANUP(db_conn_close) struct db_conn *conn = NULL;
    HF_CLEANUP(PQclear) PGresult *result = NULL;
    struct db_options options = {.conninfo = conninfo,
                                 .role = DB_BOOTSTRAP,
                                 .schema = "pg_catalog",
                                 .application_name = "holdfast_bootstrap"};

    HF_TRY(db_conn_open(ctx, &options, &conn));
    return db_conn_simple(ctx, conn, sql, &result);
}

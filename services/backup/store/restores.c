/* Restores: rows that the restoring party reports into. */
#include "backup/store/restores.h"

#include "backup/store/reading.h"
#include "backup_queries.h"
#include "base/check.h"
#include "base/str.h"

static const char *const states[] = {"FAILED", "RUNNING", "SUCCEEDED", "CANCELLED", NULL};

#define ROW struct restore_row

static const struct reading_column columns[] = {
    {READING(READING_EXACT, const char *, ROW, id, "id"), .max = STORE_ID_MAX},
    {READING(READING_EXACT, const char *, ROW, cluster, "cluster"), .max = STORE_ID_MAX},
    {READING(READING_EXACT, const char *, ROW, cluster_id, "cluster_id"), .max = STORE_WORD_MAX},
    {READING(READING_WORD, const char *, ROW, state, "state"), .words = states},
    {READING(READING_EXACT, const char *, ROW, job_id, "job_id"), .max = STORE_WORD_MAX},
    {READING(READING_TEXT, const char *, ROW, target, "target"), .max = STORE_TARGET_MAX},
    {READING(READING_EXACT, const char *, ROW, backup_id, "backup_id"), .max = STORE_ID_MAX},
    {READING(READING_TEXT, const char *, ROW, directory, "directory"), .max = STORE_MESSAGE_MAX},
    {READING(READING_LSN, uint64_t, ROW, resolved_lsn, "resolved_lsn")},
    {READING(READING_TIME, int64_t, ROW, resolved_time_us, "resolved_time")},
    {READING(READING_COUNT, uint64_t, ROW, restored_bytes, "restored_bytes")},
    {READING(READING_TEXT, const char *, ROW, error_code, "error_code"), .max = STORE_WORD_MAX},
    {READING(READING_TEXT, const char *, ROW, error_message, "error_message"),
     .max = STORE_MESSAGE_MAX},
    {READING(READING_TEXT, const char *, ROW, error_reason, "error_reason"), .max = STORE_WORD_MAX},
    {READING(READING_TIME, int64_t, ROW, create_time_us, "create_time")},
    {READING(READING_TIME, int64_t, ROW, end_time_us, "end_time")},
};
static const struct reading_table table = {columns, HF_LEN(columns), sizeof(ROW),
                                           offsetof(ROW, damage)};

struct hf_status restores_insert(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct restore_row *row)
{
    return db_exec(ctx, tx, sql_restore_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_UUID(row->job_id),
                           DB_TEXT(store_text(ctx->arena, row->target, STORE_TARGET_MAX)),
                           DB_TEXT(store_text(ctx->arena, row->directory, STORE_MESSAGE_MAX))),
                   NULL);
}

struct hf_status restores_get(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster,
                              const char *id, struct restore_row *ret_row)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_restore_get,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(cluster), DB_TEXT(id)), &rows));
    if (db_len(rows) == 0) {
        const char *const metadata[] = {"cluster", cluster, "restore", id, NULL};

        return hf_fail_info(ctx->arena, HF_NOT_FOUND, "RESTORE_NOT_FOUND", metadata,
                            "cluster %s has no restore %s", cluster, id);
    }
    const struct restore_row *found = reading_rows(ctx->arena, rows, &table);

    *ret_row = found[0];
    return hf_success();
}

struct hf_status restores_list(struct hf_ctx *ctx, struct db_tx *tx,
                               const struct restores_query *query, struct restore_row **ret_rows,
                               size_t *ret_len)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_restore_list,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(query->cluster),
                            DB_TEXT(query->before), DB_INT(query->limit)),
                    &rows));
    *ret_rows = reading_rows(ctx->arena, rows, &table);
    *ret_len = db_len(rows);
    return hf_success();
}

struct hf_status restores_report(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct restore_row *row)
{
    const char *lsn = hf_printf(ctx->arena, "%llu", (unsigned long long)row->resolved_lsn);
    int64_t affected = 0;

    HF_TRY(db_exec(ctx, tx, sql_restore_report,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_TEXT(row->state), DB_TEXT(row->backup_id), DB_TEXT(lsn),
                           DB_INT(row->resolved_time_us), DB_INT(row->restored_bytes),
                           DB_TEXT(store_text(ctx->arena, row->error_code, STORE_WORD_MAX)),
                           DB_TEXT(store_text(ctx->arena, row->error_message, STORE_MESSAGE_MAX)),
                           DB_TEXT(store_text(ctx->arena, row->error_reason, STORE_WORD_MAX))),
                   &affected));
    if (affected == 0) {
        const char *const metadata[] = {"restore", row->id, NULL};

        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "RESTORE_ENDED", metadata,
                            "restore %s has ended", row->id);
    }
    return hf_success();
}

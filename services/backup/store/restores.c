/* Restores: rows that the restoring party reports into. */
#include "backup/store/restores.h"

#include "backup_queries.h"
#include "base/str.h"

static uint64_t number(const struct db_rows *rows, size_t row, size_t column)
{
    uint64_t value = 0;

    return hf_parse_u64(db_text(rows, row, column), &value) ? value : 0;
}

static void load(const struct db_rows *rows, size_t i, struct restore_row *ret_row)
{
    *ret_row = (struct restore_row){
        .id = db_text(rows, i, 0),
        .cluster = db_text(rows, i, 1),
        .cluster_id = db_text(rows, i, 2),
        .state = db_text(rows, i, 3),
        .job_id = db_text(rows, i, 4),
        .target = db_text(rows, i, 5),
        .backup_id = db_text(rows, i, 6),
        .directory = db_text(rows, i, 7),
        .resolved_lsn = number(rows, i, 8),
        .resolved_time_us = db_time(rows, i, 9),
        .restored_bytes = (uint64_t)db_int(rows, i, 10),
        .error_code = db_text(rows, i, 11),
        .error_message = db_text(rows, i, 12),
        .error_reason = db_text(rows, i, 13),
        .create_time_us = db_time(rows, i, 14),
        .end_time_us = db_time(rows, i, 15),
    };
}

struct hf_status restores_insert(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct restore_row *row)
{
    return db_exec(ctx, tx, sql_restore_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_UUID(row->job_id), DB_TEXT(row->target), DB_TEXT(row->directory)),
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
    load(rows, 0, ret_row);
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
    size_t len = db_len(rows);
    struct restore_row *list = HF_NEW_N(ctx->arena, struct restore_row, len + 1);

    for (size_t i = 0; i < len; i++) {
        load(rows, i, &list[i]);
    }
    *ret_rows = list;
    *ret_len = len;
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
                           DB_TEXT(row->error_code), DB_TEXT(row->error_message),
                           DB_TEXT(row->error_reason)),
                   &affected));
    if (affected == 0) {
        const char *const metadata[] = {"restore", row->id, NULL};

        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "RESTORE_ENDED", metadata,
                            "restore %s has ended", row->id);
    }
    return hf_success();
}

/* Restores: rows that the restoring party reports into. */
#include "backup/store/restores.h"

#include "backup/store/reading.h"
#include "backup_queries.h"
#include "base/str.h"

static const char *const states[] = {"FAILED", "RUNNING", "SUCCEEDED", "CANCELLED", NULL};

static void load(struct hf_ctx *ctx, const struct db_rows *rows, size_t i,
                 struct restore_row *ret_row)
{
    struct reading r = {ctx->arena, rows, i, NULL};

    *ret_row = (struct restore_row){
        .id = reading_exact(&r, 0, "id", STORE_ID_MAX),
        .cluster = reading_exact(&r, 1, "cluster", STORE_ID_MAX),
        .cluster_id = reading_exact(&r, 2, "cluster_id", STORE_WORD_MAX),
        .state = reading_word(&r, 3, "state", states),
        .job_id = reading_exact(&r, 4, "job_id", STORE_WORD_MAX),
        .target = reading_text(&r, 5, "target", STORE_TARGET_MAX),
        .backup_id = reading_exact(&r, 6, "backup_id", STORE_ID_MAX),
        .directory = reading_text(&r, 7, "directory", STORE_MESSAGE_MAX),
        .resolved_lsn = reading_lsn(&r, 8, "resolved_lsn"),
        .resolved_time_us = reading_time(&r, 9, "resolved_time"),
        .restored_bytes = reading_count(&r, 10, "restored_bytes"),
        .error_code = reading_text(&r, 11, "error_code", STORE_WORD_MAX),
        .error_message = reading_text(&r, 12, "error_message", STORE_MESSAGE_MAX),
        .error_reason = reading_text(&r, 13, "error_reason", STORE_WORD_MAX),
        .create_time_us = reading_time(&r, 14, "create_time"),
        .end_time_us = reading_time(&r, 15, "end_time"),
    };
    ret_row->damage = r.damage;
}

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
    load(ctx, rows, 0, ret_row);
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
        load(ctx, rows, i, &list[i]);
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

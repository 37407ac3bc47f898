/* The catalogue of backups. One column list serves get and list: load() follows its order. */
#include "backup/store/backups.h"

#include "backup_queries.h"
#include "base/str.h"

static uint64_t number(const struct db_rows *rows, size_t row, size_t column)
{
    uint64_t value = 0;

    return hf_parse_u64(db_text(rows, row, column), &value) ? value : 0;
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static const char *lsn_text(struct hf_ctx *ctx, uint64_t lsn)
{
    return hf_printf(ctx->arena, "%llu", (unsigned long long)lsn);
}

static void load(const struct db_rows *rows, size_t i, struct backup_row *ret_row)
{
    *ret_row = (struct backup_row){
        .id = db_text(rows, i, 0),
        .cluster = db_text(rows, i, 1),
        .cluster_id = db_text(rows, i, 2),
        .state = db_text(rows, i, 3),
        .checkpoint = db_text(rows, i, 4),
        .job_id = or_empty(db_text(rows, i, 5)),
        .lineage = db_text(rows, i, 6),
        .timeline = (uint32_t)db_int(rows, i, 7),
        .start_lsn = number(rows, i, 8),
        .stop_lsn = number(rows, i, 9),
        .create_time_us = db_time(rows, i, 10),
        .start_time_us = db_time(rows, i, 11),
        .end_time_us = db_time(rows, i, 12),
        .source_bytes = (uint64_t)db_int(rows, i, 13),
        .changed_bytes = (uint64_t)db_int(rows, i, 14),
        .stored_bytes = (uint64_t)db_int(rows, i, 15),
        .files = (uint64_t)db_int(rows, i, 16),
        .journal_entry = (uint64_t)db_int(rows, i, 17),
        .server_version = (uint32_t)db_int(rows, i, 18),
        .predecessor = db_text(rows, i, 19),
        .root = db_text(rows, i, 20),
        .error_code = db_text(rows, i, 21),
        .error_message = db_text(rows, i, 22),
        .error_reason = db_text(rows, i, 23),
        .verification = db_text(rows, i, 24),
        .verify_time_us = db_time(rows, i, 25),
        .findings = db_text(rows, i, 26),
        .revision = db_int(rows, i, 27),
    };
}

struct hf_status backups_insert(struct hf_ctx *ctx, struct db_tx *tx, const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_TEXT(row->checkpoint), DB_UUID(row->job_id), DB_TEXT(row->lineage)),
                   NULL);
}

struct hf_status backups_get(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster,
                             const char *id, struct backup_row *ret_row)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_backup_get,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(cluster), DB_TEXT(id)), &rows));
    if (db_len(rows) == 0) {
        const char *const metadata[] = {"cluster", cluster, "backup", id, NULL};

        return hf_fail_info(ctx->arena, HF_NOT_FOUND, "BACKUP_NOT_FOUND", metadata,
                            "cluster %s has no backup %s; list them with `holdfast backup list %s`",
                            cluster, id, cluster);
    }
    load(rows, 0, ret_row);
    return hf_success();
}

struct hf_status backups_list(struct hf_ctx *ctx, struct db_tx *tx,
                              const struct backups_query *query, struct backup_row **ret_rows,
                              size_t *ret_len)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_backup_list,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(query->cluster),
                            DB_TEXT(query->state), DB_TEXT(query->before), DB_INT(query->limit)),
                    &rows));
    size_t len = db_len(rows);
    struct backup_row *list = HF_NEW_N(ctx->arena, struct backup_row, len + 1);

    for (size_t i = 0; i < len; i++) {
        load(rows, i, &list[i]);
    }
    *ret_rows = list;
    *ret_len = len;
    return hf_success();
}

struct hf_status backups_active(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster_id,
                                const char **ret_id, const char **ret_job)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_backup_active,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(cluster_id)), &rows));
    *ret_id = db_len(rows) == 0 ? NULL : db_text(rows, 0, 0);
    *ret_job = db_len(rows) == 0 ? NULL : db_text(rows, 0, 1);
    return hf_success();
}

struct hf_status backups_summary(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster_id,
                                 struct backups_summary *ret_summary)
{
    const struct db_rows *newest = NULL;
    const struct db_rows *verify = NULL;

    HF_TRY(db_query(ctx, tx, sql_backup_newest,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(cluster_id)), &newest));
    HF_TRY(db_query(ctx, tx, sql_backup_last_verify,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(cluster_id)), &verify));
    *ret_summary = (struct backups_summary){
        .newest = db_len(newest) == 0 ? NULL : db_text(newest, 0, 0),
        .newest_time_us = db_len(newest) == 0 ? 0 : db_time(newest, 0, 1),
        .last_verify_us = db_time(verify, 0, 0),
    };
    return hf_success();
}

struct hf_status backups_moments(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct cluster_row *cluster,
                                 struct backup_moment **ret_moments, size_t *ret_len)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(
        ctx, tx, sql_backup_points,
        DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(cluster->id), DB_TEXT(cluster->lineage)),
        &rows));
    size_t len = db_len(rows);
    struct backup_moment *moments = HF_NEW_N(ctx->arena, struct backup_moment, len + 1);

    for (size_t i = 0; i < len; i++) {
        moments[i] = (struct backup_moment){number(rows, i, 0), db_time(rows, i, 1)};
    }
    *ret_moments = moments;
    *ret_len = len;
    return hf_success();
}

struct hf_status backups_set_pending(struct hf_ctx *ctx, struct db_tx *tx,
                                     const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_set_pending,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id)),
                   NULL);
}

struct hf_status backups_set_running(struct hf_ctx *ctx, struct db_tx *tx,
                                     const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_set_running,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id)),
                   NULL);
}

struct hf_status backups_set_ended(struct hf_ctx *ctx, struct db_tx *tx,
                                   const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_set_ended,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_TEXT(row->state), DB_TEXT(row->error_code),
                           DB_TEXT(row->error_message), DB_TEXT(row->error_reason)),
                   NULL);
}

struct hf_status backups_set_succeeded(struct hf_ctx *ctx, struct db_tx *tx,
                                       const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_set_succeeded,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_INT(row->timeline), DB_TEXT(lsn_text(ctx, row->start_lsn)),
                           DB_TEXT(lsn_text(ctx, row->stop_lsn)), DB_INT(row->end_time_us),
                           DB_INT(row->source_bytes), DB_INT(row->changed_bytes),
                           DB_INT(row->stored_bytes), DB_INT(row->files),
                           DB_INT(row->journal_entry), DB_INT(row->server_version),
                           DB_TEXT(row->predecessor), DB_TEXT(row->root)),
                   NULL);
}

struct hf_status backups_upsert(struct hf_ctx *ctx, struct db_tx *tx, const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_upsert_point,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_INT(row->timeline), DB_TEXT(lsn_text(ctx, row->start_lsn)),
                           DB_TEXT(lsn_text(ctx, row->stop_lsn)), DB_INT(row->end_time_us),
                           DB_INT(row->source_bytes), DB_INT(row->changed_bytes),
                           DB_INT(row->stored_bytes), DB_INT(row->files),
                           DB_INT(row->journal_entry), DB_INT(row->server_version),
                           DB_TEXT(row->predecessor), DB_TEXT(row->root), DB_TEXT(row->lineage),
                           DB_INT(row->start_time_us)),
                   NULL);
}

struct hf_status backups_set_verified(struct hf_ctx *ctx, struct db_tx *tx,
                                      const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_set_verified,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id),
                           DB_TEXT(row->verification), DB_TEXT(row->findings)),
                   NULL);
}

struct hf_status backups_delete(struct hf_ctx *ctx, struct db_tx *tx, const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_delete,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id)),
                   NULL);
}

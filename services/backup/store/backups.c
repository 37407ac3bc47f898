/* The catalogue of backups. One column list serves get and list: the table follows it. */
#include "backup/store/backups.h"

#include "backup/store/reading.h"
#include "backup_queries.h"
#include "base/check.h"
#include "base/str.h"

static const char *const states[] = {"FAILED",    "PENDING",   "RUNNING",
                                     "SUCCEEDED", "CANCELLED", NULL};
static const char *const checkpoints[] = {"FAST", "SPREAD", NULL};
static const char *const verdicts[] = {"", "VERIFIED", "DAMAGED", NULL};

static const char *lsn_text(struct hf_ctx *ctx, uint64_t lsn)
{
    return hf_printf(ctx->arena, "%llu", (unsigned long long)lsn);
}

#define ROW struct backup_row

static const struct reading_column columns[] = {
    {READING(READING_EXACT, const char *, ROW, id, "id"), .max = STORE_ID_MAX},
    {READING(READING_EXACT, const char *, ROW, cluster, "cluster"), .max = STORE_ID_MAX},
    {READING(READING_EXACT, const char *, ROW, cluster_id, "cluster_id"), .max = STORE_WORD_MAX},
    {READING(READING_WORD, const char *, ROW, state, "state"), .words = states},
    {READING(READING_WORD, const char *, ROW, checkpoint, "checkpoint"), .words = checkpoints},
    {READING(READING_EXACT, const char *, ROW, job_id, "job_id"), .max = STORE_WORD_MAX},
    {READING(READING_EXACT, const char *, ROW, lineage, "lineage"), .max = STORE_ID_MAX},
    {READING(READING_INT32, uint32_t, ROW, timeline, "timeline")},
    {READING(READING_LSN, uint64_t, ROW, start_lsn, "start_lsn")},
    {READING(READING_LSN, uint64_t, ROW, stop_lsn, "stop_lsn")},
    {READING(READING_TIME, int64_t, ROW, create_time_us, "create_time")},
    {READING(READING_TIME, int64_t, ROW, start_time_us, "start_time")},
    {READING(READING_TIME, int64_t, ROW, end_time_us, "end_time")},
    {READING(READING_COUNT, uint64_t, ROW, source_bytes, "source_bytes")},
    {READING(READING_COUNT, uint64_t, ROW, changed_bytes, "changed_bytes")},
    {READING(READING_COUNT, uint64_t, ROW, stored_bytes, "stored_bytes")},
    {READING(READING_COUNT, uint64_t, ROW, files, "files")},
    {READING(READING_COUNT, uint64_t, ROW, journal_entry, "journal_entry")},
    {READING(READING_INT32, uint32_t, ROW, server_version, "server_version")},
    {READING(READING_EXACT, const char *, ROW, predecessor, "predecessor"), .max = STORE_ID_MAX},
    {READING(READING_EXACT, const char *, ROW, root, "root"), .max = STORE_ROOT_MAX},
    {READING(READING_TEXT, const char *, ROW, error_code, "error_code"), .max = STORE_WORD_MAX},
    {READING(READING_TEXT, const char *, ROW, error_message, "error_message"),
     .max = STORE_MESSAGE_MAX},
    {READING(READING_TEXT, const char *, ROW, error_reason, "error_reason"), .max = STORE_WORD_MAX},
    {READING(READING_WORD, const char *, ROW, verification, "verification"), .words = verdicts},
    {READING(READING_TIME, int64_t, ROW, verify_time_us, "verify_time")},
    {READING(READING_LINES, const char *, ROW, findings, "findings"), .max = STORE_LINES_MAX},
    {READING(READING_INT, int64_t, ROW, revision, "revision")},
};
static const struct reading_table table = {columns, HF_LEN(columns), sizeof(ROW),
                                           offsetof(ROW, damage)};

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
    const struct backup_row *found = reading_rows(ctx->arena, rows, &table);

    *ret_row = found[0];
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
    *ret_rows = reading_rows(ctx->arena, rows, &table);
    *ret_len = db_len(rows);
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
    struct reading first = {ctx->arena, newest, 0, NULL};
    struct reading last = {ctx->arena, verify, 0, NULL};

    *ret_summary = (struct backups_summary){
        .newest = db_len(newest) == 0 ? NULL : db_text(newest, 0, 0),
        .newest_time_us = db_len(newest) == 0 ? 0 : reading_time(&first, 1, "end_time"),
        .last_verify_us = reading_time(&last, 0, "verify_time"),
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
    struct backup_moment *moments = HF_NEW_N(ctx->arena, struct backup_moment, db_len(rows) + 1);
    size_t len = 0;

    HF_TRY(hf_ctx_check(ctx));
    for (size_t i = 0; i < db_len(rows); i++) {
        struct reading r = {ctx->arena, rows, i, NULL};
        const struct backup_moment moment = {reading_lsn(&r, 0, "start_lsn"),
                                             reading_time(&r, 1, "end_time")};

        if (r.damage == NULL && moment.end_time_us != 0) { /* a damaged one opens no window */
            moments[len++] = moment;
        }
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
                           DB_TEXT(row->state),
                           DB_TEXT(store_text(ctx->arena, row->error_code, STORE_WORD_MAX)),
                           DB_TEXT(store_text(ctx->arena, row->error_message, STORE_MESSAGE_MAX)),
                           DB_TEXT(store_text(ctx->arena, row->error_reason, STORE_WORD_MAX))),
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
                           DB_TEXT(row->verification),
                           DB_TEXT(store_lines(ctx->arena, row->findings, STORE_LINES_MAX))),
                   NULL);
}

struct hf_status backups_delete(struct hf_ctx *ctx, struct db_tx *tx, const struct backup_row *row)
{
    return db_exec(ctx, tx, sql_backup_delete,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->cluster_id), DB_TEXT(row->id)),
                   NULL);
}

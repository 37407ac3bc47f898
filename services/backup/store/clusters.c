/* Clusters in PostgreSQL. LSNs travel as text because PostgreSQL has no unsigned 64-bit integer. */
#include "backup/store/clusters.h"

#include <string.h>

#include "backup/store/reading.h"
#include "backup_queries.h"
#include "base/buf.h"
#include "pgformat/wal.h"

#define JOURNAL_HASH_LEN 32
#define COUNTER_MAX (INT64_C(1) << 62) /* what is counted up stays below any overflow */

/* What is used and not only shown: when one of these cannot be, nothing is done with the row. */
static void judge(struct reading *r, const struct cluster_row *row)
{
    uint64_t system = 0;

    if (!pgf_wal_segment_size_ok(row->segment_bytes)) {
        reading_blame(r, "segment_bytes", "no size of WAL segments");
    }
    if (!hf_is_name(row->lineage)) {
        reading_blame(r, "lineage", "no name");
    }
    if (!hf_parse_u64(row->system_identifier, &system)) {
        reading_blame(r, "system_identifier", "no number");
    }
    if (row->journal_hash.len != 0 && row->journal_hash.len != JOURNAL_HASH_LEN) {
        reading_blame(r, "journal_hash", "no digest");
    }
}

static void load(struct hf_ctx *ctx, const struct db_rows *rows, size_t i,
                 struct cluster_row *ret_row)
{
    struct reading r = {ctx->arena, rows, i, NULL};
    struct reading shown = r;

    *ret_row = (struct cluster_row){
        .id = reading_exact(&r, 0, "id", STORE_WORD_MAX),
        .name = reading_exact(&r, 1, "name", STORE_ID_MAX),
        .dsn = reading_spaced(&r, 2, "dsn", STORE_MESSAGE_MAX),
        .password_sealed = reading_bytes(&r, 3, "password_sealed", STORE_SECRET_MAX),
        .system_identifier = reading_exact(&r, 4, "system_identifier", STORE_SYSTEM_MAX),
        .server_version = (uint32_t)reading_int(&shown, 5, "server_version", 0, INT32_MAX),
        .segment_bytes = reading_count(&r, 6, "segment_bytes"),
        .lineage = reading_exact(&r, 7, "lineage", STORE_ID_MAX),
        .slot = reading_exact(&r, 8, "slot", STORE_WORD_MAX - 1),
        .warnings = reading_lines(&shown, 9, "warnings", STORE_LINES_MAX),
        .size_bytes = reading_count(&shown, 10, "size_bytes"),
        .next_pack = (uint64_t)reading_int(&r, 11, "next_pack", 0, COUNTER_MAX),
        .journal_head = (uint64_t)reading_int(&r, 12, "journal_head", 0, COUNTER_MAX),
        .journal_hash = reading_bytes(&r, 13, "journal_hash", STORE_WORD_MAX),
        .create_time_us = reading_time(&shown, 14, "create_time"),
        .revision = reading_int(&shown, 15, "revision", 0, INT64_MAX),
        .is_slot_unbounded = db_bool(rows, i, 16),
        .ca_sealed = reading_bytes(&r, 17, "ca_sealed", STORE_CA_MAX),
        .cert_sealed = reading_bytes(&r, 18, "cert_sealed", STORE_SECRET_MAX),
        .key_sealed = reading_bytes(&r, 19, "key_sealed", STORE_SECRET_MAX),
        .is_operator_made = db_bool(rows, i, 20),
    };
    judge(&r, ret_row);
    ret_row->is_unusable = r.damage != NULL;
    ret_row->damage = r.damage != NULL ? r.damage : shown.damage;
}

struct hf_status clusters_usable(struct hf_arena *arena, const struct cluster_row *row)
{
    if (!row->is_unusable) {
        return hf_success();
    }
    const char *const metadata[] = {"cluster", row->name, "damage", row->damage, NULL};

    return hf_fail_info(arena, HF_DATA_LOSS, "ROW_DAMAGED", metadata,
                        "the stored row of cluster %s is damaged (%s); `holdfast catalog rebuild` "
                        "takes what the vault knows",
                        row->name, row->damage);
}

struct hf_status clusters_insert(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct cluster_row *row)
{
    struct hf_status status = db_exec(
        ctx, tx, sql_cluster_insert,
        DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->id), DB_TEXT(row->name), DB_TEXT(row->dsn),
                DB_BYTES(row->password_sealed.ptr, row->password_sealed.len),
                DB_TEXT(row->system_identifier), DB_INT(row->server_version),
                DB_INT(row->segment_bytes), DB_TEXT(row->lineage), DB_TEXT(row->slot),
                DB_TEXT(store_lines(ctx->arena, row->warnings, STORE_LINES_MAX)),
                DB_INT(row->size_bytes), DB_BOOL(row->is_slot_unbounded),
                DB_BYTES(row->ca_sealed.ptr, row->ca_sealed.len),
                DB_BYTES(row->cert_sealed.ptr, row->cert_sealed.len),
                DB_BYTES(row->key_sealed.ptr, row->key_sealed.len), DB_BOOL(row->is_operator_made)),
        NULL);

    if (db_is_unique_violation(status, "clusters_name")) {
        const char *const metadata[] = {"cluster", row->name, NULL};

        return hf_fail_info(ctx->arena, HF_ALREADY_EXISTS, "CLUSTER_EXISTS", metadata,
                            "a cluster named %s exists already; choose another name or look at it "
                            "with `holdfast cluster describe %s`",
                            row->name, row->name);
    }
    return status;
}

/* "; did you mean orders?" from the tenant's names, or "". */
static const char *near_name(struct hf_ctx *ctx, struct db_tx *tx, const char *name)
{
    struct cluster_row *rows = NULL;
    size_t len = 0;
    const char *best = NULL;
    int best_distance = 4;

    if (!hf_is_ok(clusters_list(ctx, tx, "", 1000, &rows, &len))) {
        return "";
    }
    for (size_t i = 0; i < len; i++) {
        int distance = hf_text_distance(name, rows[i].name);

        if (distance < best_distance) {
            best_distance = distance;
            best = rows[i].name;
        }
    }
    return best == NULL ? "" : hf_printf(ctx->arena, "; did you mean %s?", best);
}

struct hf_status clusters_get(struct hf_ctx *ctx, struct db_tx *tx, const char *name,
                              struct cluster_row *ret_row)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_cluster_by_name, DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(name)),
                    &rows));
    if (db_len(rows) == 0) {
        const char *const metadata[] = {"cluster", name, NULL};

        return hf_fail_info(ctx->arena, HF_NOT_FOUND, "CLUSTER_NOT_FOUND", metadata,
                            "there is no cluster named %s%s", name, near_name(ctx, tx, name));
    }
    load(ctx, rows, 0, ret_row);
    return hf_success();
}

static struct hf_status removed(struct hf_ctx *ctx)
{
    return hf_fail_info(ctx->arena, HF_NOT_FOUND, "CLUSTER_NOT_FOUND", NULL,
                        "the cluster was removed");
}

struct hf_status clusters_lock(struct hf_ctx *ctx, struct db_tx *tx, const char *id)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_cluster_lock, DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id)),
                    &rows));
    return db_len(rows) == 0 ? removed(ctx) : hf_success();
}

struct hf_status clusters_get_id(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                 struct cluster_row *ret_row)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_cluster_by_id, DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id)),
                    &rows));
    if (db_len(rows) == 0) {
        return removed(ctx);
    }
    load(ctx, rows, 0, ret_row);
    return hf_success();
}

struct hf_status clusters_get_dsn(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                  const char **ret_dsn)
{
    const struct db_rows *rows = NULL;

    HF_TRY(
        db_query(ctx, tx, sql_cluster_dsn, DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id)), &rows));
    struct reading r = {ctx->arena, rows, 0, NULL};

    *ret_dsn = db_len(rows) == 0 ? "" : reading_spaced(&r, 0, "dsn", STORE_MESSAGE_MAX);
    return hf_success();
}

struct hf_status clusters_list(struct hf_ctx *ctx, struct db_tx *tx, const char *after,
                               size_t limit, struct cluster_row **ret_rows, size_t *ret_len)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_cluster_list,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(after), DB_INT(limit)), &rows));
    size_t len = db_len(rows);
    struct cluster_row *list = HF_NEW_N(ctx->arena, struct cluster_row, len + 1);

    for (size_t i = 0; i < len; i++) {
        load(ctx, rows, i, &list[i]);
    }
    *ret_rows = list;
    *ret_len = len;
    return hf_success();
}

struct hf_status clusters_delete(struct hf_ctx *ctx, struct db_tx *tx, const char *id)
{
    return db_exec(ctx, tx, sql_cluster_delete, DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id)),
                   NULL);
}

struct hf_status clusters_mend(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *row)
{
    return db_exec(
        ctx, tx, sql_cluster_mend,
        DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->id), DB_TEXT(row->system_identifier),
                DB_INT(row->server_version), DB_INT(row->segment_bytes), DB_TEXT(row->lineage),
                DB_INT(row->journal_head), DB_BYTES(row->journal_hash.ptr, row->journal_hash.len)),
        NULL);
}

struct hf_status clusters_set_pack(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                   uint64_t next_pack)
{
    return db_exec(ctx, tx, sql_cluster_set_pack,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id), DB_INT(next_pack)), NULL);
}

struct hf_status clusters_set_head(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                   uint64_t head, struct hf_bytes hash)
{
    return db_exec(
        ctx, tx, sql_cluster_set_head,
        DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id), DB_INT(head), DB_BYTES(hash.ptr, hash.len)),
        NULL);
}

struct hf_status clusters_follow_vault(struct hf_ctx *ctx, struct db_tx *tx,
                                       const struct cluster_row *row)
{
    return db_exec(ctx, tx, sql_cluster_follow_vault,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->id), DB_INT(row->journal_head),
                           DB_BYTES(row->journal_hash.ptr, row->journal_hash.len),
                           DB_TEXT(row->lineage)),
                   NULL);
}

struct hf_status clusters_set_lineage(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                      const char *lineage, const char *system_identifier)
{
    return db_exec(ctx, tx, sql_cluster_set_lineage,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id), DB_TEXT(lineage),
                           DB_TEXT(system_identifier)),
                   NULL);
}

struct hf_status clusters_set_warnings(struct hf_ctx *ctx, struct db_tx *tx,
                                       const struct cluster_row *row)
{
    return db_exec(ctx, tx, sql_cluster_set_warnings,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->id),
                           DB_TEXT(store_lines(ctx->arena, row->warnings, STORE_LINES_MAX)),
                           DB_BOOL(row->is_slot_unbounded)),
                   NULL);
}

struct hf_status clusters_room_lock(struct hf_ctx *ctx, struct db_tx *tx)
{
    return db_query(ctx, tx, sql_cluster_room_lock, DB_NO_ARGS, NULL);
}

struct hf_status clusters_room_check(struct hf_ctx *ctx, struct db_tx *all, const char *tenant_id,
                                     int64_t total_max)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, all, sql_cluster_count, DB_ARGS(DB_UUID(tenant_id)), &rows));
    if (db_int(rows, 0, 0) >= CLUSTERS_PER_TENANT_MAX) {
        return hf_fail_info(ctx->arena, HF_RESOURCE_EXHAUSTED, "CLUSTER_LIMIT", NULL,
                            "the tenant has %d clusters, which is the most there may be; remove "
                            "one first",
                            CLUSTERS_PER_TENANT_MAX);
    }
    if (db_int(rows, 0, 1) >= total_max) {
        return hf_fail_info(ctx->arena, HF_RESOURCE_EXHAUSTED, "CLUSTER_LIMIT_OF_ALL", NULL,
                            "the tenants of this installation have %lld clusters together, which "
                            "is the most there may be; remove one, or ask the operator to raise "
                            "clusters_max in overrides.yaml",
                            (long long)total_max);
    }
    return hf_success();
}

struct hf_status clusters_is_removed(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                     bool *ret_is_removed)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_cluster_is_removed,
                    DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(id)), &rows));
    *ret_is_removed = db_int(rows, 0, 0) > 0;
    return hf_success();
}

struct hf_status clusters_have_journal(struct hf_ctx *ctx, struct db_tx *tx, bool *ret_has_journal)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_cluster_has_journal, DB_ARGS(DB_UUID(db_tx_tenant(tx))), &rows));
    *ret_has_journal = db_int(rows, 0, 0) > 0;
    return hf_success();
}

struct hf_status clusters_set_connection(struct hf_ctx *ctx, struct db_tx *tx,
                                         const struct cluster_row *row)
{
    int64_t affected = 0;

    HF_TRY(db_exec(ctx, tx, sql_cluster_set_connection,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(row->id), DB_TEXT(row->dsn),
                           DB_BYTES(row->password_sealed.ptr, row->password_sealed.len),
                           DB_INT(row->server_version), DB_TEXT(row->slot), DB_TEXT(row->warnings),
                           DB_INT(row->size_bytes), DB_BOOL(row->is_slot_unbounded),
                           DB_BYTES(row->ca_sealed.ptr, row->ca_sealed.len),
                           DB_BYTES(row->cert_sealed.ptr, row->cert_sealed.len),
                           DB_BYTES(row->key_sealed.ptr, row->key_sealed.len),
                           DB_BOOL(row->is_operator_made), DB_INT(row->revision)),
                   &affected));
    if (affected == 1) {
        return hf_success();
    }
    const char *const metadata[] = {"cluster", row->name, NULL};

    return hf_fail_info(ctx->arena, HF_ABORTED, "CLUSTER_CHANGED", metadata,
                        "cluster %s was changed or removed by somebody else meanwhile; look at "
                        "it with `holdfast cluster describe %s`",
                        row->name, row->name);
}

struct hf_status clusters_refs(struct hf_ctx *ctx, struct db_tx *tx, struct cluster_ref **ret_refs,
                               size_t *ret_len)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(ctx, tx, sql_cluster_ids_all, DB_NO_ARGS, &rows));
    size_t len = db_len(rows);
    struct cluster_ref *refs = HF_NEW_N(ctx->arena, struct cluster_ref, len + 1);

    for (size_t i = 0; i < len; i++) {
        refs[i] = (struct cluster_ref){db_text(rows, i, 0), db_text(rows, i, 1)};
    }
    *ret_refs = refs;
    *ret_len = len;
    return hf_success();
}

struct hf_status gaps_insert(struct hf_ctx *ctx, struct db_tx *tx,
                             const struct cluster_row *cluster, const struct gap_row *gap)
{
    const char *from = hf_printf(ctx->arena, "%llu", (unsigned long long)gap->from_lsn);
    const char *to = hf_printf(ctx->arena, "%llu", (unsigned long long)gap->to_lsn);

    return db_exec(ctx, tx, sql_gap_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(cluster->id),
                           DB_TEXT(cluster->lineage), DB_INT(gap->timeline), DB_TEXT(from),
                           DB_TEXT(to)),
                   NULL);
}

struct hf_status gaps_clear(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *cluster,
                            int64_t before_us)
{
    return db_exec(ctx, tx, sql_gap_clear,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(cluster->id),
                           DB_TEXT(cluster->lineage), DB_INT(before_us)),
                   NULL);
}

struct hf_status gaps_list(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *cluster,
                           struct gap_row **ret_gaps, size_t *ret_len)
{
    const struct db_rows *rows = NULL;

    HF_TRY(db_query(
        ctx, tx, sql_gap_list,
        DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_UUID(cluster->id), DB_TEXT(cluster->lineage)),
        &rows));
    size_t len = db_len(rows);
    struct gap_row *gaps = HF_NEW_N(ctx->arena, struct gap_row, len + 1);

    for (size_t i = 0; i < len; i++) {
        struct reading r = {ctx->arena, rows, i, NULL};

        /* One that cannot be read cuts nothing off: its numbers are 0. */
        gaps[i] = (struct gap_row){(uint32_t)reading_int(&r, 0, "timeline", 0, INT32_MAX),
                                   reading_lsn(&r, 1, "from_lsn"), reading_lsn(&r, 2, "to_lsn")};
    }
    *ret_gaps = gaps;
    *ret_len = len;
    return hf_success();
}

/* Clusters and their gaps in PostgreSQL. Every call runs in the caller's transaction, which carries
 * the tenant. Errors are those of libs/db plus the ones named. */
#ifndef HF_BACKUP_STORE_CLUSTERS_H
#define HF_BACKUP_STORE_CLUSTERS_H

#include <stdbool.h>

#include "backup/store/types.h"
#include "base/ctx.h"
#include "db/db.h"

/* ALREADY_EXISTS reason CLUSTER_EXISTS when the tenant has a cluster of this name. */
struct hf_status clusters_insert(struct hf_ctx *ctx, struct db_tx *tx,
                                 const struct cluster_row *row) HF_MUST_USE;
/* NOT_FOUND reason CLUSTER_NOT_FOUND with near names as "did you mean". */
struct hf_status clusters_get(struct hf_ctx *ctx, struct db_tx *tx, const char *name,
                              struct cluster_row *ret_row) HF_MUST_USE;
/* Until the transaction ends nobody else holds it, so that what is decided over the cluster's
 * backups stays true. NOT_FOUND reason CLUSTER_NOT_FOUND when it was removed. */
struct hf_status clusters_lock(struct hf_ctx *ctx, struct db_tx *tx, const char *id) HF_MUST_USE;
/* The connection string alone, in a schema of any release; "" when it cannot be. */
struct hf_status clusters_get_dsn(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                  const char **ret_dsn) HF_MUST_USE;
struct hf_status clusters_get_id(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                 struct cluster_row *ret_row) HF_MUST_USE;
/* Names greater than after, at most limit. */
struct hf_status clusters_list(struct hf_ctx *ctx, struct db_tx *tx, const char *after,
                               size_t limit, struct cluster_row **ret_rows,
                               size_t *ret_len) HF_MUST_USE;
/* Give a damaged row the vault's facts of row: system, version, segment size, lineage, head. */
struct hf_status clusters_mend(struct hf_ctx *ctx, struct db_tx *tx,
                               const struct cluster_row *row) HF_MUST_USE;
/* May something be done with it?  Errors  DATA_LOSS ROW_DAMAGED */
struct hf_status clusters_usable(struct hf_arena *arena, const struct cluster_row *row) HF_MUST_USE;
struct hf_status clusters_delete(struct hf_ctx *ctx, struct db_tx *tx, const char *id) HF_MUST_USE;
struct hf_status clusters_set_pack(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                   uint64_t next_pack) HF_MUST_USE;
/* Only ever moves forward. */
struct hf_status clusters_set_head(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                   uint64_t head, struct hf_bytes hash) HF_MUST_USE;
/* Head and lineage of row as the vault has them, be they older. */
struct hf_status clusters_follow_vault(struct hf_ctx *ctx, struct db_tx *tx,
                                       const struct cluster_row *row) HF_MUST_USE;
struct hf_status clusters_set_lineage(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                      const char *lineage,
                                      const char *system_identifier) HF_MUST_USE;

/* warnings and is_slot_unbounded of the cluster row->id, which may have been removed. No change of
 * the resource that an etag would be about. */
struct hf_status clusters_set_warnings(struct hf_ctx *ctx, struct db_tx *tx,
                                       const struct cluster_row *row) HF_MUST_USE;

/* Each cluster that has a receiver costs the service threads, a connection and memory. */
#define CLUSTERS_PER_TENANT_MAX 500
/* Nobody else adds one until the transaction ends that is to add one. */
struct hf_status clusters_room_lock(struct hf_ctx *ctx, struct db_tx *tx) HF_MUST_USE;
/* May there be one more, while that lock is held? all is a system transaction of the dispatch role.
 * RESOURCE_EXHAUSTED reason CLUSTER_LIMIT: the tenant has as many as it may; CLUSTER_LIMIT_OF_ALL:
 * all tenants together have total_max. */
struct hf_status clusters_room_check(struct hf_ctx *ctx, struct db_tx *all, const char *tenant_id,
                                     int64_t total_max) HF_MUST_USE;
/* Has any cluster of the tenant, removed or not, begun its journal in the vault? */
struct hf_status clusters_have_journal(struct hf_ctx *ctx, struct db_tx *tx,
                                       bool *ret_has_journal) HF_MUST_USE;
/* Was this cluster removed by somebody (not just unknown)? */
struct hf_status clusters_is_removed(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                     bool *ret_is_removed) HF_MUST_USE;
/* Connection facts of row for the cluster row->id, whose revision row->revision is still the one
 * that was read. ABORTED reason CLUSTER_CHANGED when it is not, or the cluster was removed. */
struct hf_status clusters_set_connection(struct hf_ctx *ctx, struct db_tx *tx,
                                         const struct cluster_row *row) HF_MUST_USE;

struct cluster_ref {
    const char *tenant_id;
    const char *cluster_id;
};
/* Of all tenants, for the start of the receivers: a system transaction of the dispatch role. */
struct hf_status clusters_refs(struct hf_ctx *ctx, struct db_tx *tx, struct cluster_ref **ret_refs,
                               size_t *ret_len) HF_MUST_USE;

struct hf_status gaps_insert(struct hf_ctx *ctx, struct db_tx *tx,
                             const struct cluster_row *cluster,
                             const struct gap_row *gap) HF_MUST_USE;
/* Take those of the lineage off that were found before. */
struct hf_status gaps_clear(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *cluster,
                            int64_t before_us) HF_MUST_USE;
struct hf_status gaps_list(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *cluster,
                           struct gap_row **ret_gaps, size_t *ret_len) HF_MUST_USE;

#endif

/* Handlers, by file. Each is an rpc_unary_fn or a stream's callbacks: rpc/server.h says how they
 * are called; the proto says what they do. */
#ifndef HF_BACKUP_API_HANDLERS_H
#define HF_BACKUP_API_HANDLERS_H

#include "db/db.h"
#include "rpc/server.h"

#define API_UNARY(fn)                                                                              \
    struct hf_status fn(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,                \
                        const void *req, void *resp)

/* cluster_connect.c */
API_UNARY(api_create_cluster);
API_UNARY(api_update_cluster);
/* clusters.c */
API_UNARY(api_get_cluster);
API_UNARY(api_list_clusters);
API_UNARY(api_delete_cluster);
API_UNARY(api_get_wal_status);
/* backups.c */
API_UNARY(api_create_backup);
API_UNARY(api_get_backup);
API_UNARY(api_list_backups);
API_UNARY(api_delete_backup);
API_UNARY(api_verify_backup);
API_UNARY(api_rebuild_catalog);
/* A backup's job goes back to work: the same conditions as for a new one. args are the job's. */
struct hf_status api_readmit_backup(struct hf_ctx *ctx, struct db_tx *tx,
                                    const char *args) HF_MUST_USE;
/* restores.c */
API_UNARY(api_create_restore);
API_UNARY(api_get_restore);
API_UNARY(api_list_restores);
API_UNARY(api_delete_restore);
API_UNARY(api_report_restore);
/* wal_push.c */
API_UNARY(api_push_wal);
/* vault_objects.c */
API_UNARY(api_list_vault_objects);
extern const struct rpc_pull api_read_vault_object;
/* jobs.c */
API_UNARY(api_get_job);
API_UNARY(api_list_jobs);
API_UNARY(api_cancel_job);
API_UNARY(api_retry_job);
extern const struct rpc_events api_watch_job;

#endif

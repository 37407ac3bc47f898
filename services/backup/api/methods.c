/* Every method of the service: name, how it is called, what right it needs, whether a client may
 * repeat it. Mutations are idempotent by request_id. */
#include "backup/api/api.h"
#include "backup/api/handlers.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "holdfast/jobs/v1/jobs.pb-c.h"

#define ROW(method, right, repeat, fn)                                                             \
    {                                                                                              \
        .name = (method), .kind = RPC_UNARY, .permission = (right), .is_idempotent = (repeat),     \
        .unary = (fn)                                                                              \
    }

const struct rpc_method api_backup_methods[] = {
    ROW("CreateCluster", "clusters.create", false, api_create_cluster),
    ROW("GetCluster", "clusters.get", true, api_get_cluster),
    ROW("ListClusters", "clusters.list", true, api_list_clusters),
    ROW("UpdateCluster", "clusters.update", false, api_update_cluster),
    ROW("DeleteCluster", "clusters.delete", false, api_delete_cluster),
    ROW("GetWalStatus", "clusters.get", true, api_get_wal_status),
    ROW("CreateBackup", "backups.create", false, api_create_backup),
    ROW("GetBackup", "backups.get", true, api_get_backup),
    ROW("ListBackups", "backups.list", true, api_list_backups),
    ROW("DeleteBackup", "backups.delete", false, api_delete_backup),
    ROW("VerifyBackup", "backups.verify", false, api_verify_backup),
    ROW("CreateRestore", "restores.create", false, api_create_restore),
    ROW("GetRestore", "restores.get", true, api_get_restore),
    ROW("ListRestores", "restores.list", true, api_list_restores),
    ROW("DeleteRestore", "restores.delete", true, api_delete_restore),
    ROW("ReportRestore", "restores.report", true, api_report_restore),
    ROW("ListVaultObjects", "restores.read", true, api_list_vault_objects),
    {.name = "ReadVaultObject",
     .kind = RPC_PULL,
     .permission = "restores.read",
     .is_idempotent = true,
     .pull = &api_read_vault_object},
    ROW("PushWal", "wal.push", true, api_push_wal),
    ROW("RebuildCatalog", "catalog.rebuild", false, api_rebuild_catalog),
};
const size_t api_backup_methods_len = sizeof(api_backup_methods) / sizeof(api_backup_methods[0]);

const struct rpc_method api_job_methods[] = {
    ROW("GetJob", "jobs.get", true, api_get_job),
    ROW("ListJobs", "jobs.list", true, api_list_jobs),
    {.name = "WatchJob",
     .kind = RPC_EVENTS,
     .permission = "jobs.watch",
     .is_idempotent = true,
     .events = &api_watch_job},
    ROW("CancelJob", "jobs.cancel", true, api_cancel_job),
    ROW("RetryJob", "jobs.retry", false, api_retry_job),
};
const size_t api_job_methods_len = sizeof(api_job_methods) / sizeof(api_job_methods[0]);

struct hf_status api_add_services(struct hf_arena *arena, struct rpc_server *server)
{
    HF_TRY(rpc_server_add(arena, server, &pb_backup__backup_service__descriptor, api_backup_methods,
                          api_backup_methods_len));
    return rpc_server_add(arena, server, &pb_jobs__job_service__descriptor, api_job_methods,
                          api_job_methods_len);
}

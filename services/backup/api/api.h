/* The gRPC surface of the backup service: one row per method, one function per row. */
#ifndef HF_BACKUP_API_API_H
#define HF_BACKUP_API_API_H

#include "backup/app.h"
#include "rpc/server.h"

/* What a handler gets as app: one per handler thread. The grant is that of the call being handled,
 * set by api_authorize before the handler runs. */
struct api_thread {
    struct backup_app *app;
    struct auth_grant grant;
};

/* Hooks of struct rpc_server_config. */
void *api_thread_init(void *app);
void api_thread_done(void *app, void *thread_app);
/* The tenant comes from the request's name or parent; the permission from the method's row. */
struct hf_status api_authorize(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                               const struct rpc_method *method, const void *req) HF_MUST_USE;

/* Register BackupService and JobService. */
struct hf_status api_add_services(struct hf_arena *arena, struct rpc_server *server) HF_MUST_USE;

extern const struct rpc_method api_backup_methods[];
extern const size_t api_backup_methods_len;
extern const struct rpc_method api_job_methods[];
extern const size_t api_job_methods_len;

#endif

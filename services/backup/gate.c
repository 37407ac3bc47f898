/* What is ours: the API, the metrics, the state database, Redis. */
#include "backup/gate.h"

#include "base/check.h"

struct hf_status gate_open(struct hf_ctx *ctx, const struct backup_config *config,
                           struct egress **ret_egress)
{
    const char *const listeners[] = {config->listen, config->metrics_listen, config->redis};
    const char *const databases[] = {config->database, config->database_dispatch,
                                     config->database_migrate};
    const struct svc_gate_options options = {
        .prefix = "sources",
        .allowed = config->sources_allowed,
        .denied = config->sources_denied,
        .local = config->sources_local,
        .socket_dirs = config->sources_socket_dirs,
        .listeners = listeners,
        .listeners_len = HF_LEN(listeners),
        .databases = databases,
        .databases_len = HF_LEN(databases),
    };

    return svc_gate_open(ctx, &options, ret_egress);
}

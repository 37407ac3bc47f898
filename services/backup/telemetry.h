/* Prometheus metrics of the backup service; `curl http://<metrics_listen>/metrics` shows them on
 * the machine, from elsewhere with -H "Authorization: Bearer $(cat keys/metrics.token)". */
#ifndef HF_BACKUP_TELEMETRY_H
#define HF_BACKUP_TELEMETRY_H

#include "backup/app.h"
#include "svc/confine.h"

struct telemetry;

struct telemetry_options {
    const char *address;                    /* "127.0.0.1:17402" */
    const char *token_file;                 /* NULL: address is loopback */
    const struct svc_confinement *confined; /* what holds this process; copied */
};

/* app is borrowed until free. INVALID_ARGUMENT, FAILED_PRECONDITION the address or the file;
 * ALREADY_EXISTS the port. */
struct hf_status telemetry_start(struct hf_ctx *ctx, struct backup_app *app,
                                 const struct telemetry_options *options,
                                 struct telemetry **ret_telemetry) HF_MUST_USE;
void telemetry_free(struct telemetry *telemetry); /* accepts NULL */

/* Count one call: an observe hook of struct rpc_server_config. telemetry may be NULL. */
void telemetry_call(struct telemetry *telemetry, const char *method, enum hf_code code,
                    int64_t duration_us);

#endif

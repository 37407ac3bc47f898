/* The WAL receivers of this process, one per protected cluster. Threads: any. */
#ifndef HF_BACKUP_SOURCE_RECEIVERS_H
#define HF_BACKUP_SOURCE_RECEIVERS_H

#include "backup/app.h"
#include "backup/source/receiver.h"

struct receivers;

struct receivers *receivers_new(struct backup_app *app);
/* Stops all, at most some seconds. Accepts NULL. */
void receivers_free(struct receivers *receivers);

/* Start those of all clusters in the catalogue; what cannot be started is tried again in the
 * background. Once. */
struct hf_status receivers_start_all(struct hf_ctx *ctx, struct receivers *receivers) HF_MUST_USE;
/* Start one; OK when it runs already. */
struct hf_status receivers_start(struct hf_ctx *ctx, struct receivers *receivers,
                                 const char *tenant_id, const char *cluster_id) HF_MUST_USE;
/* In the background, until every cluster of the catalogue has one: for who could not start it and
 * is asked for nothing more. */
void receivers_start_later(struct receivers *receivers);
/* Stop and forget one; OK when there is none. */
void receivers_stop(struct receivers *receivers, const char *cluster_id);

/* False when no receiver of this cluster runs here: then the status says why it did not start, and
 * is left as it is when no start failed. */
bool receivers_status(struct receivers *receivers, const char *cluster_id,
                      struct receiver_status *ret_status);
/* Status of each; fn must not call back. */
void receivers_each(struct receivers *receivers,
                    void (*fn)(const char *tenant_id, const char *cluster,
                               const struct receiver_status *status, void *arg),
                    void *arg);
/* See receiver_wait_lsn; UNAVAILABLE when no receiver of this cluster runs here. */
struct hf_status receivers_wait_lsn(struct hf_ctx *ctx, struct receivers *receivers,
                                    const char *cluster_id, uint32_t timeline,
                                    uint64_t lsn) HF_MUST_USE;

#endif

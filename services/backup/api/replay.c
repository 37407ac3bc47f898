/* Idempotent mutations. The reply is stored as bytes of its own type. */
#include "backup/api/replay.h"

#include <string.h>

#include "jobs/jobs.h"
#include "rpc/message.h"

struct hf_status replay_begin(struct hf_ctx *ctx, struct db_tx *tx, const struct replay *replay,
                              bool *ret_is_done)
{
    const struct hf_bytes *stored = NULL;
    void *message = NULL;

    *ret_is_done = false;
    HF_TRY(jobs_request_begin(ctx, tx, replay->method, replay->request_id,
                              rpc_encode(ctx->arena, replay->req), &stored));
    if (stored == NULL) {
        return hf_success();
    }
    HF_TRY(rpc_decode(ctx->arena, replay->resp->descriptor, *stored, &message));
    memcpy(replay->resp, message, replay->resp->descriptor->sizeof_message);
    *ret_is_done = true;
    return hf_success();
}

struct hf_status replay_look(struct hf_ctx *ctx, struct db *db, const char *tenant_id,
                             const struct replay *replay, bool *ret_is_done)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, db, tenant_id, DB_READ_COMMITTED, &tx));
    return replay_begin(ctx, tx, replay, ret_is_done);
}

struct hf_status replay_save(struct hf_ctx *ctx, struct db_tx *tx, const struct replay *replay)
{
    return jobs_request_save(ctx, tx, replay->method, replay->request_id,
                             rpc_encode(ctx->arena, replay->resp));
}

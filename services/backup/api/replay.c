/* Idempotent mutations. The reply is stored as bytes of its own type. */
#include "backup/api/replay.h"

#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "codec/hash.h"
#include "jobs/jobs.h"
#include "rpc/message.h"

/* Bound to where it is stored, so that equal requests of two rows do not look equal. The encoding
 * holds whatever the request held, so it is wiped. */
static void digest(struct hf_ctx *ctx, const struct db_tx *tx, const struct replay *replay,
                   uint8_t ret_mac[SECRET_MAC_LEN])
{
    size_t len = protobuf_c_message_get_packed_size(replay->req);
    uint8_t *bytes = hf_alloc(ctx->arena, len + 1);
    struct hf_str texts[] = {hf_str_of(db_tx_tenant(tx)), hf_str_of(replay->method),
                             hf_str_of(replay->request_id)};
    struct hf_bytes parts[HF_LEN(texts) + 1] = {{0}};

    for (size_t i = 0; i < HF_LEN(texts); i++) {
        parts[i] = (struct hf_bytes){(const uint8_t *)texts[i].ptr, texts[i].len};
    }
    parts[HF_LEN(texts)] = (struct hf_bytes){bytes, protobuf_c_message_pack(replay->req, bytes)};
    secret_mac(replay->key, "requests", parts, HF_LEN(parts), ret_mac);
    codec_wipe(bytes, len);
}

struct hf_status replay_begin(struct hf_ctx *ctx, struct db_tx *tx, const struct replay *replay,
                              bool *ret_is_done)
{
    const struct hf_bytes *stored = NULL;
    void *message = NULL;
    uint8_t mac[SECRET_MAC_LEN];

    *ret_is_done = false;
    digest(ctx, tx, replay, mac);
    HF_TRY(jobs_request_begin(ctx, tx, replay->method, replay->request_id,
                              (struct hf_bytes){mac, sizeof(mac)}, &stored));
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

/* A mutation that carries a request_id can be repeated for 24 hours: the first reply is returned
 * again. replay_begin and replay_save belong into the mutation's own transaction. */
#ifndef HF_BACKUP_API_REPLAY_H
#define HF_BACKUP_API_REPLAY_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>

#include "auth/secret.h"
#include "base/ctx.h"
#include "db/db.h"

struct replay {
    const struct secret_key *key;
    const char *method;
    const char *request_id; /* "" does nothing */
    const ProtobufCMessage *req;
    ProtobufCMessage *resp;
};

/* ret_is_done: resp holds the reply of the first call, the handler returns it. INVALID_ARGUMENT
 * reason REQUEST_ID_REUSED when the same id came with another request. */
struct hf_status replay_begin(struct hf_ctx *ctx, struct db_tx *tx, const struct replay *replay,
                              bool *ret_is_done) HF_MUST_USE;
/* The same in a transaction of its own that changes nothing: for handlers that talk to the outside
 * before theirs begins. */
struct hf_status replay_look(struct hf_ctx *ctx, struct db *db, const char *tenant_id,
                             const struct replay *replay, bool *ret_is_done) HF_MUST_USE;
struct hf_status replay_save(struct hf_ctx *ctx, struct db_tx *tx,
                             const struct replay *replay) HF_MUST_USE;

#endif

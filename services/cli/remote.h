/* A vault behind the backup service: a read-only object store over ListVaultObjects and
 * ReadVaultObject, and a keyring that knows what came with the objects. Restores read it with the
 * code of the offline reader. Threads: any. */
#ifndef HF_CLI_REMOTE_H
#define HF_CLI_REMOTE_H

#include "objstore/objstore.h"
#include "rpc/client.h"
#include "vault/keyring.h"

struct remote {
    struct objstore *store;
    struct vault_keyring *keyring;
    const char *source_prefix; /* in the arena of the opening ctx */
};

/* cluster: tenants/{t}/clusters/{c}. client is borrowed until remote_close. */
struct hf_status remote_open(struct hf_ctx *ctx, struct rpc_client *client, const char *cluster,
                             struct remote *ret_remote) HF_MUST_USE;
void remote_close(struct remote *remote); /* accepts a zeroed struct */

static inline void remote_close_cleanup(struct remote *remote)
{
    remote_close(remote);
}

#endif

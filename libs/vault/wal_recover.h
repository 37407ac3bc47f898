/* What a writer finds when it opens: finishes slices that a crash left growing and says where the
 * durable WAL of the timeline ends. Private to libs/vault. */
#ifndef HF_VAULT_WAL_RECOVER_H
#define HF_VAULT_WAL_RECOVER_H

#include "vault/wal_slice.h"

struct vault_wal_found {
    bool is_empty;      /* nothing of the timeline is durable */
    uint64_t start_lsn; /* of the newest range */
    uint64_t durable_lsn;
    struct vault_wal_clock clock; /* newest proof; time_us 0: none */
    /* A growing slice that has clock records alone, "": none. The writer removes it once it has
     * written a newer record. */
    char leftover[VAULT_WAL_NAME_MAX];
};

struct hf_status vault_wal_recover(struct hf_ctx *ctx, const struct vault_wal_source *source,
                                   uint32_t timeline,
                                   struct vault_wal_found *ret_found) HF_MUST_USE;

#endif

/* The way of recovery through the timelines of a lineage, by what the vault has or had: its names,
 * its histories and the inventory in its journal. */
#ifndef HF_BACKUP_WAY_H
#define HF_BACKUP_WAY_H

#include "pgformat/history.h"
#include "vault/journal.h"
#include "vault/wal_index.h"

struct way {
    struct objstore *store;
    const struct vault_keyring *keyring;
    struct vault_wal_place place;
    const struct vault_source_state *state;
    struct vault_wal_index index;
    struct pgf_history history; /* of the timeline that it leads to */
};

/* Where the timeline's WAL ends; 0: none is known. Pure. */
uint64_t way_end(const struct way *way, uint32_t timeline);
/* The newest timeline below the bound that is known; 0: none. The numbers between them may be
 * billions. Pure. */
uint32_t way_below(const struct way *way, uint32_t bound);
/* Read the history of the timeline.  Errors  NOT_FOUND; DATA_LOSS */
struct hf_status way_load(struct hf_ctx *ctx, struct way *way, uint32_t timeline) HF_MUST_USE;
/* Does the point lead to the timeline of the history? Pure. */
bool way_has(const struct way *way, const struct vault_point_info *point);

#endif

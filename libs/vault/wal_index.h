/* Inventory of a lineage: which WAL is durable, from names alone for closed slices and by scan for
 * growing ones. It is a snapshot; the store is listed each time. */
#ifndef HF_VAULT_WAL_INDEX_H
#define HF_VAULT_WAL_INDEX_H

#include "vault/wal.h"

/* Ranges beyond this are refused (RESOURCE_EXHAUSTED): each one is a gap behind the last. */
#define VAULT_WAL_RANGES_MAX 65536u
/* Likewise histories: each one is a promotion. */
#define VAULT_WAL_HISTORIES_MAX 65536u

/* [from, to) of a timeline is there without a hole. */
struct vault_wal_range {
    uint32_t timeline;
    uint64_t from;
    uint64_t to;
};

struct vault_wal_index {
    struct vault_wal_range *ranges; /* ordered by timeline, then from; neighbours do not touch */
    size_t ranges_len;
    uint32_t *histories; /* timelines with a history object, ascending */
    size_t histories_len;
    uint64_t objects; /* slices and segments seen */
    uint64_t bytes;   /* their stored size */
};

/* timeline 0: all timelines and histories; else only that timeline. In ctx->arena. An empty
 * lineage is an empty index, not NOT_FOUND. */
struct hf_status vault_wal_index_load(struct hf_ctx *ctx, struct objstore *store,
                                      const struct vault_keyring *keyring,
                                      const struct vault_wal_place *place, uint32_t timeline,
                                      struct vault_wal_index *ret_index) HF_MUST_USE;

/* Range of the timeline that holds lsn (or ends at it, when is_end), or NULL. Pure. */
const struct vault_wal_range *vault_wal_index_find(const struct vault_wal_index *index,
                                                   uint32_t timeline, uint64_t lsn, bool is_end);
/* The highest timeline below the bound that has WAL or a history; 0: none. Pure. */
uint32_t vault_wal_index_below(const struct vault_wal_index *index, uint32_t bound);
/* Newest range of the timeline, or NULL: its to is the last durable LSN. Pure. */
const struct vault_wal_range *vault_wal_index_last(const struct vault_wal_index *index,
                                                   uint32_t timeline);
/* Highest timeline that has WAL, 0: none. Pure. */
uint32_t vault_wal_index_timeline(const struct vault_wal_index *index);
/* What of leg no range of its timeline covers, in order, in arena. Pure. */
size_t vault_wal_index_holes(struct hf_arena *arena, const struct vault_wal_index *index,
                             const struct vault_wal_range *leg, struct vault_wal_range **ret_holes);

#endif

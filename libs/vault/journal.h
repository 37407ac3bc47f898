/* The signed, chained journal of one source: what exists is what its journal says.
 *
 * Objects <prefix>/journal/<n, 12 digits>, exclusive create, n = 1, 2, 3 … Each entry carries the
 * SHA-256 of the previous entry, an Ed25519 signature and a small sealed body. Readers start at
 * the newest checkpoint entry. Format: docs/vault-format.md.
 */
#ifndef HF_VAULT_JOURNAL_H
#define HF_VAULT_JOURNAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/str.h"
#include "objstore/objstore.h"
#include "vault/keyring.h"

enum vault_entry_kind {
    VAULT_ENTRY_SOURCE = 1,     /* first entry: what the source is */
    VAULT_ENTRY_BACKUP = 2,     /* a point exists */
    VAULT_ENTRY_DELETE = 3,     /* a point is gone */
    VAULT_ENTRY_WAL = 4,        /* WAL inventory: durable through lsn at time; gaps */
    VAULT_ENTRY_LINEAGE = 5,    /* a new unbroken history of WAL begins */
    VAULT_ENTRY_CHECKPOINT = 6, /* whole state: readers start here */
};

struct vault_source_info {
    const char *name;              /* cluster name at registration */
    const char *system_identifier; /* decimal */
    uint32_t server_version;       /* 150018 */
    uint64_t wal_segment_bytes;
};

struct vault_lineage_info {
    const char *lineage; /* name in object names: [a-z0-9-]+ */
    const char *system_identifier;
    uint32_t timeline; /* on which it began */
    uint64_t start_lsn;
};

struct vault_point_info {
    const char *id; /* backup id */
    const char *lineage;
    const char *root; /* object name */
    uint8_t root_sha256[VAULT_HASH_LEN];
    uint32_t timeline;
    uint64_t start_lsn;
    uint64_t stop_lsn;
    int64_t start_time_us;
    int64_t stop_time_us; /* server time at stop: the earliest moment it can restore */
    uint64_t source_bytes;
    uint64_t changed_bytes;
    uint64_t stored_bytes;
    uint64_t files;
    uint32_t server_version;
};

struct vault_wal_info {
    const char *lineage;
    uint32_t timeline;
    uint64_t durable_lsn;
    int64_t durable_time_us; /* all WAL that existed at this server time is durable */
};

/* Tagged body of an entry. */
struct vault_entry {
    enum vault_entry_kind kind;
    uint64_t number;
    int64_t time_us;
    const char *attempt_id; /* of the job that wrote it: who won after a doubt */
    uint64_t fence_epoch;   /* of the writer's lease: (state epoch, n); 0 when it had none */
    uint64_t fence;
    union {
        struct vault_source_info source;
        struct vault_lineage_info lineage;
        struct vault_point_info backup;
        const char *deleted_id;
        struct vault_wal_info wal;
    } u;
};

/* Who wrote the newest entries: answers "did I write that?" after a doubt. */
struct vault_attempt {
    const char *id;
    enum vault_entry_kind kind;
    uint64_t number;
    uint64_t subject; /* first bytes of a digest over what the entry is about */
};
#define VAULT_ATTEMPTS_KEPT 128

/* State after all entries: what checkpoints carry and rebuilds read. In the ctx arena: a state
 * lives as long as the arena of the call that read it, and appending adds to that of its own call.
 * Long-lived writers read, append and drop (a read is at most about 65 small objects). */
struct vault_source_state {
    struct vault_source_info source;
    struct vault_lineage_info *lineages;
    size_t lineages_len;
    struct vault_point_info *points; /* live ones, in order of their entries */
    uint64_t *point_entries;         /* entry number of each point */
    size_t points_len;
    struct vault_wal_info *wal; /* newest inventory per (lineage, timeline) */
    size_t wal_len;
    uint64_t head; /* number of the newest entry */
    uint8_t head_hash[VAULT_HASH_LEN];
    uint64_t checkpoint;            /* number of the newest checkpoint; 0: none yet */
    int64_t checkpoint_time_us;     /* its time, or that of entry 1 */
    struct vault_attempt *attempts; /* the last VAULT_ATTEMPTS_KEPT, oldest first */
    size_t attempts_len;
};

/* Read and verify the journal from its newest checkpoint. NOT_FOUND: no entry; DATA_LOSS with the
 * entry's name and reason JOURNAL_CHAIN (not the successor of the entry before), JOURNAL_SIGNATURE
 * (forged: by nobody whose key the slot lists), JOURNAL_HIDDEN (missing, later ones exist),
 * JOURNAL_ROLLBACK or DAMAGED. expect_head 0: no pin; else JOURNAL_ROLLBACK when the journal is
 * shorter than the pin or its entry there has another hash. */
struct hf_status vault_journal_read(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_keyring *keyring, const char *prefix,
                                    uint64_t expect_head, const uint8_t *expect_hash,
                                    struct vault_source_state *ret_state) HF_MUST_USE;

/* Append one entry after the head of state, retrying above others' entries; applies it (and theirs)
 * to state and writes a checkpoint when the last is older than an hour or 64 entries. entry->number
 * is set, entry->time_us too when it is 0. When an entry of the same attempt_id (not NULL or
 * empty), kind and subject is found already there, that is success and nothing is written. A new
 * journal begins with a zeroed state and an entry of kind SOURCE. FAILED_PRECONDITION: no signing
 * key, or not begun with SOURCE; ALREADY_EXISTS: another attempt wrote this source, backup or
 * lineage; NOT_FOUND: deletes no live point; ABORTED: too many others.
 */
struct hf_status vault_journal_append(struct hf_ctx *ctx, struct objstore *store,
                                      const struct vault_keyring *keyring, const char *prefix,
                                      struct vault_source_state *state,
                                      struct vault_entry *entry) HF_MUST_USE;

/* Does this reason of a failure say that what the vault was given cannot be had from it as it is:
 * keys or journal gone, rolled back, replaced, damaged? Then nothing more goes in, and nothing is
 * promised. NULL is no reason. Pure. */
bool vault_is_loss(const char *reason);

/* Still the entry with this number and hash, or one at all when hash is NULL? One small read.
 * Errors   DATA_LOSS JOURNAL_ROLLBACK it is another one, or gone */
struct hf_status vault_journal_check(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                     uint64_t number, const uint8_t *hash) HF_MUST_USE;

/* Newest live point with this id, or NULL. Pure. */
const struct vault_point_info *vault_state_point(const struct vault_source_state *state,
                                                 const char *id);

/* Prefixes "tenants/<realm>/sources/<source>" of all sources of a realm. */
struct hf_status vault_sources_list(struct hf_ctx *ctx, struct objstore *store, const char *realm,
                                    const char ***ret_prefixes, size_t *ret_len) HF_MUST_USE;
/* The id in such a prefix; NULL when it is no UUID: a directory that somebody else put beside the
 * sources. Pure. */
const char *vault_source_id(const char *prefix);

#endif

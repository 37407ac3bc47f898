/* Writing one backup. One thread feeds files and bytes in any order of paths; workers digest,
 * compare with the predecessor, compress, seal; whole packs are put by an uploader.
 *
 *   begin → (file_begin → write* → file_end | entry)* → finish → [journal entry] → commit → free
 *
 * Any failure: abort instead, which removes what the session wrote. All calls but the progress
 * counters belong to the one feeding thread. Memory: about 130 MiB with two threads and 80 bytes
 * per file, whatever the size of the source.
 */
#ifndef HF_VAULT_SESSION_H
#define HF_VAULT_SESSION_H

#include <stdatomic.h>

#include "vault/root.h"

struct vault_session_progress {
    atomic_uint_fast64_t source_bytes;  /* fed */
    atomic_uint_fast64_t changed_bytes; /* of pages that differ from the predecessor */
    atomic_uint_fast64_t stored_bytes;  /* put into the vault */
    atomic_uint_fast64_t files;
};

struct vault_session_options {
    struct vault_place place; /* full keyring; store and keyring are borrowed, prefix is copied */
    const struct vault_root *predecessor; /* NULL: none; borrowed until free */
    const char *backup_id;                /* becomes part of the root's name */
    const char *cache_path;    /* digest cache; its directory exists. One session at a time */
    unsigned level;            /* zstd; 0: 3 */
    unsigned threads;          /* workers; 0: number of cores */
    uint64_t next_pack_number; /* ≥ 1; raised above the predecessor's and existing packs */
    struct vault_session_progress *progress; /* NULL or outlives the session */
};

struct vault_session;

/* Opens (or rebuilds) the predecessor's digests, starts the threads. FAILED_PRECONDITION when the
 * keyring cannot digest. */
struct hf_status vault_session_begin(struct hf_ctx *ctx,
                                     const struct vault_session_options *options,
                                     struct vault_session **ret_session) HF_MUST_USE;

/* Attributes besides kind, size and checksum, which follow from the bytes; attrs->node is FILE.
 * Strings are copied. INVALID_ARGUMENT for a bad path. */
struct hf_status vault_session_file_begin(struct hf_ctx *ctx, struct vault_session *session,
                                          const struct vault_attrs *attrs) HF_MUST_USE;
/* Waits for room. CANCELLED; or what a worker failed with. */
struct hf_status vault_session_write(struct hf_ctx *ctx, struct vault_session *session,
                                     const void *bytes, size_t len) HF_MUST_USE;
struct hf_status vault_session_file_end(struct hf_ctx *ctx,
                                        struct vault_session *session) HF_MUST_USE;
/* A directory or symlink. */
struct hf_status vault_session_entry(struct hf_ctx *ctx, struct vault_session *session,
                                     const struct vault_attrs *attrs) HF_MUST_USE;
/* CRC-32C and size of the file that was ended last (backup manifests want it). */
uint32_t vault_session_last_crc32c(const struct vault_session *session);

struct vault_session_result {
    struct vault_point_info info; /* info of the facts, completed: root, SHA-256, byte counts */
    uint64_t packs;
    uint64_t next_pack_number;
    uint64_t map_bytes; /* stored bytes that are not data packs */
    bool is_cache_rebuilt;
};
struct vault_session_facts {
    const struct vault_point_info *info; /* id is overwritten with backup_id; counts are set */
    const struct hf_pair *facts;
    size_t facts_len;
};
/* Everything durable but the journal entry. Strings of the result are in ctx->arena. */
struct hf_status vault_session_finish(struct hf_ctx *ctx, struct vault_session *session,
                                      const struct vault_session_facts *facts,
                                      struct vault_session_result *ret_result) HF_MUST_USE;
/* After the journal entry: the new digest cache takes the old one's place. Failing to call it is
 * harmless (the next session finds the finished cache, or rebuilds). */
struct hf_status vault_session_commit(struct hf_ctx *ctx,
                                      struct vault_session *session) HF_MUST_USE;
/* Stop the threads, remove every object that the session put, and free it. Also works when ctx is
 * cancelled. Accepts NULL. Never after a journal entry that may exist. */
void vault_session_abort(struct hf_ctx *ctx, struct vault_session *session);
/* Stop the threads and free; objects stay. Accepts NULL. */
void vault_session_free(struct vault_session *session);

static inline void vault_session_free_cleanup(struct vault_session **p)
{
    vault_session_free(*p);
    *p = NULL;
}

#endif

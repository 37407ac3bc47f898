/* Verification of WAL: is every byte of a path through the timelines there and authentic? */
#ifndef HF_VAULT_WAL_CHECK_H
#define HF_VAULT_WAL_CHECK_H

#include <stdatomic.h>

#include "vault/wal_index.h"

/* Findings beyond this are counted, not listed. */
#define VAULT_WAL_FINDINGS_MAX 1000u

struct vault_wal_finding {
    const char *object; /* object name, or the directory of the segment that misses bytes */
    const char *what;   /* "missing 0/3000000 to 0/3002000 of timeline 1" */
    struct vault_wal_range range; /* WAL that is concerned, cut to the path */
};

struct vault_wal_report {
    struct vault_wal_finding *findings; /* ctx->arena */
    size_t findings_len;
    uint64_t findings_total;
    uint64_t bytes_checked; /* plaintext that authenticated */
    uint64_t objects;
};

struct vault_wal_check_options {
    struct objstore *store;
    const struct vault_keyring *keyring;
    struct vault_wal_place place;
    /* Ranges in order of recovery, each [from, to) on its timeline; the caller derives them from
     * the history files. */
    const struct vault_wal_range *path;
    size_t path_len;
    atomic_uint_fast64_t *done_bytes; /* of the path, grows segment by segment; or NULL */
};

/* Read every record of each object that covers a part of the path and find what is missing. A
 * damaged object is a finding even when another object has its bytes. Findings are a result, not an
 * error; errors are those of the store. Memory does not grow with the path.
 */
struct hf_status vault_wal_check(struct hf_ctx *ctx, const struct vault_wal_check_options *options,
                                 struct vault_wal_report *ret_report) HF_MUST_USE;

#endif

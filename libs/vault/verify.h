/* Proving one point: every object it refers to is whole, every page of every file is covered
 * exactly, every digest recomputes. Goes on after a damaged object. */
#ifndef HF_VAULT_VERIFY_H
#define HF_VAULT_VERIFY_H

#include <stdatomic.h>

#include "vault/root.h"

#define VAULT_FINDINGS_MAX 1000u

struct vault_finding {
    const char *object; /* object name, or "file <path>" for a fault of the map */
    const char *what;
    uint64_t offset; /* in the object, when known; else 0 */
};

struct vault_verify_progress {
    atomic_uint_fast64_t bytes_total;
    atomic_uint_fast64_t bytes_done;
    atomic_uint_fast64_t packs_done;
};

struct vault_verify_options {
    struct vault_place place;
    const struct vault_point_info *point;   /* from the journal: root and its SHA-256 */
    unsigned threads;                       /* 0: number of cores */
    struct vault_verify_progress *progress; /* or NULL */
};

struct vault_verify_report {
    struct vault_finding *findings; /* at most VAULT_FINDINGS_MAX; ctx->arena */
    size_t findings_len;
    uint64_t findings_total;
    uint64_t objects;
    uint64_t bytes;
    uint64_t files;
    uint64_t pages;
};

/* OK also with findings: damage is an answer, not a failure. Fails when the store is unreachable,
 * the key is wrong, or on cancellation. With a keyring that cannot digest, page digests and blob
 * ids are not recomputed (tags are still checked). */
struct hf_status vault_verify(struct hf_ctx *ctx, const struct vault_verify_options *options,
                              struct vault_verify_report *ret_report) HF_MUST_USE;

/* Which of these points refer to the object (a pack, a map table, a table of packs, or a root)?
 * Indexes into points, in ctx->arena. A point whose root cannot be read counts as affected. */
struct hf_status vault_points_using(struct hf_ctx *ctx, const struct vault_place *place,
                                    const struct vault_point_info *points, size_t points_len,
                                    const char *object, size_t **ret_indexes,
                                    size_t *ret_len) HF_MUST_USE;

#endif

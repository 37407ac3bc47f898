/* Listing of WAL objects in byte order, page by page, so that memory does not grow with them.
 * Private to libs/vault. */
#ifndef HF_VAULT_WAL_WALK_H
#define HF_VAULT_WAL_WALK_H

#include "vault/wal.h"

struct vault_wal_walk {
    struct objstore *store;
    const struct vault_wal_place *place;
    uint32_t timeline; /* 0: all, histories included */
    uint64_t segno;    /* one segment alone, when is_segment */
    bool is_segment;
    /* One object. text dies with the call; ctx->arena is of the page. NOT_FOUND means that the
     * object vanished: its segment is listed again (a bounded number of times), so fn must bear to
     * see an object twice. */
    struct hf_status (*fn)(struct hf_ctx *ctx, void *arg, const struct vault_wal_name *name,
                           const char *text, uint64_t size_bytes);
    void *arg;
};

/* Names that are no WAL objects are passed over. Errors of the store or of fn. */
struct hf_status vault_wal_walk(struct hf_ctx *ctx, const struct vault_wal_walk *walk) HF_MUST_USE;

/* "<prefix>/wal/<lineage>/<timeline>/<segment>" */
char *vault_wal_segment_dir(struct hf_arena *arena, const struct vault_wal_place *place,
                            uint32_t timeline, uint64_t segno);

#endif

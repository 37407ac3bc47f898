/* Growing a map from one backup to the next: overlays from a bounded builder, and the rewriting
 * of shards whose overlays became too many. */
#ifndef HF_VAULT_MAPSET_H
#define HF_VAULT_MAPSET_H

#include "vault/map.h"

/* One overlay written by a builder: its table, and its bytes in each shard of the old set. */
struct vault_overlay {
    struct vault_table_ref ref;
    uint64_t pages;   /* of its runs */
    uint64_t *shares; /* shards of the old set, at least one; builder's heap */
};

/* Collects entries in any order within max_bytes; when full, sorts them and writes an overlay.
 * old may be an empty set. place and old stay borrowed. One thread at a time. */
struct vault_map_builder;
struct vault_map_builder *vault_map_builder_new(const struct vault_place *place,
                                                const struct vault_map_set *old, size_t max_bytes);
struct hf_status vault_map_builder_add(struct hf_ctx *ctx, struct vault_map_builder *builder,
                                       const struct vault_map_entry *entry) HF_MUST_USE;
/* Write what is left; overlays from old to new, borrowed from the builder. */
struct hf_status vault_map_builder_finish(struct hf_ctx *ctx, struct vault_map_builder *builder,
                                          const struct vault_overlay **ret_overlays,
                                          size_t *ret_len) HF_MUST_USE;
/* Overlays written so far (also after a failure: what abort must remove). */
const struct vault_overlay *vault_map_builder_overlays(const struct vault_map_builder *builder,
                                                       size_t *ret_len);
void vault_map_builder_free(struct vault_map_builder *builder); /* accepts NULL */

struct vault_map_grow {
    const struct vault_place *place;
    const struct vault_map_set *old;
    const struct vault_overlay *overlays;
    size_t overlays_len;
    /* Called for each table object written, before anything refers to it. */
    void (*wrote)(void *arg, const struct vault_table_ref *ref);
    void *arg;
};
/* The new set (in ctx->arena): overlays appended to the shards they touch; a shard whose overlays
 * pass VAULT_OVERLAYS_MAX or are larger than its base is rewritten, and cut in two or more when it
 * became large. ret_used: all packs named by the tables of the new set. */
struct hf_status vault_map_grow(struct hf_ctx *ctx, const struct vault_map_grow *in,
                                struct vault_map_set *ret_set,
                                struct vault_bits *ret_used) HF_MUST_USE;

static inline void vault_map_builder_free_cleanup(struct vault_map_builder **p)
{
    vault_map_builder_free(*p);
    *p = NULL;
}

#endif

/* Table of packs: number → id, length, SHA-256. Objects of kind TABLE with disjoint numbers: a
 * base and at most VAULT_OVERLAYS_MAX overlays, rewritten like shards of the map. In memory it is
 * one sorted array of 64 bytes per pack (35,000 packs per TB). */
#ifndef HF_VAULT_PACKTABLE_H
#define HF_VAULT_PACKTABLE_H

#include "vault/map.h"

struct vault_pack_ref {
    uint64_t number;
    uint64_t size_bytes;
    uint8_t id[VAULT_ID_LEN];
    uint8_t sha256[VAULT_HASH_LEN];
};

/* Sorted by number. On the heap: packtable_done. */
struct vault_packtable {
    struct vault_pack_ref *packs;
    size_t len;
    size_t cap;
};

void vault_packtable_add(struct vault_packtable *table, const struct vault_pack_ref *pack);
void vault_packtable_sort(struct vault_packtable *table);
/* NULL when there is none. */
const struct vault_pack_ref *vault_packtable_find(const struct vault_packtable *table,
                                                  uint64_t number);
void vault_packtable_done(struct vault_packtable *table); /* repeatable */

/* Codec of a blob of refs (pure): decode appends to table. */
void vault_packtable_encode(struct hf_buf *buf, const struct vault_pack_ref *packs, size_t len);
struct hf_status vault_packtable_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                        struct vault_packtable *table) HF_MUST_USE;

/* Append what one object of a root lists. DATA_LOSS names the object. */
struct hf_status vault_packtable_read(struct hf_ctx *ctx, const struct vault_place *place,
                                      const struct vault_table_ref *ref,
                                      struct vault_packtable *table) HF_MUST_USE;
/* Sort what was appended. DATA_LOSS when a number occurs twice; it is sorted then, too. */
struct hf_status vault_packtable_settle(struct hf_arena *arena, const struct vault_place *place,
                                        struct vault_packtable *table) HF_MUST_USE;
/* Read all objects of a root into table. DATA_LOSS also when a number occurs twice. */
struct hf_status vault_packtable_load(struct hf_ctx *ctx, const struct vault_place *place,
                                      const struct vault_table_ref *refs, size_t len,
                                      struct vault_packtable *table) HF_MUST_USE;

struct vault_packtable_grow {
    const struct vault_place *place;
    const struct vault_table_ref *old;
    size_t old_len;
    const struct vault_packtable *fresh; /* packs of this backup, sorted */
    const struct vault_bits *used;       /* a rewritten base keeps these only */
    void (*wrote)(void *arg, const struct vault_table_ref *ref);
    void *arg;
};
/* Refs of the next root, in ctx->arena. */
struct hf_status vault_packtable_grow(struct hf_ctx *ctx, const struct vault_packtable_grow *in,
                                      struct vault_table_ref **ret_refs,
                                      size_t *ret_len) HF_MUST_USE;

static inline void vault_packtable_done_cleanup(struct vault_packtable *table)
{
    vault_packtable_done(table);
}

#endif

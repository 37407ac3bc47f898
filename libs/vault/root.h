/* The root of one backup: facts, tables of the map, tables of packs, packs used. A pack of kind
 * ROOT whose blobs together are one encoded record stream. */
#ifndef HF_VAULT_ROOT_H
#define HF_VAULT_ROOT_H

#include "vault/journal.h"
#include "vault/map.h"

struct vault_root {
    struct vault_point_info info; /* root and root_sha256 are empty inside a root */
    const char *predecessor;      /* backup id, "" for the first */
    /* What a restore needs and the vault does not understand: backup_label, tablespace_map … */
    struct hf_pair *facts;
    size_t facts_len;
    struct vault_map_set map;
    struct vault_table_ref *pack_tables;
    size_t pack_tables_len;
    uint64_t next_pack;   /* number that the next session may take */
    uint64_t used_first;  /* number of the first bit of used: a multiple of 8 */
    struct hf_bytes used; /* bit i of byte k: pack used_first + 8k + i is used */
};

/* Pure; decode copies everything to arena (facts ≤ 4,096, values ≤ 1 MiB, 32 MiB in all). */
void vault_root_encode(struct hf_buf *buf, const struct vault_root *root);
struct hf_status vault_root_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                   struct vault_root *ret_root) HF_MUST_USE;
#define VAULT_ROOT_MAX (32u << 20)

/* Value of a fact or NULL. Pure. */
const char *vault_root_fact(const struct vault_root *root, const char *key);
bool vault_root_uses_pack(const struct vault_root *root, uint64_t number);
/* Set used from bits; the bytes live in arena. */
void vault_root_set_used(struct hf_arena *arena, struct vault_root *root,
                         const struct vault_bits *bits);
/* Add the packs used to bits. */
void vault_root_used_bits(const struct vault_root *root, struct vault_bits *bits);

/* Write root as an object; info.root and root_sha256 of *root are set. */
struct hf_status vault_root_write(struct hf_ctx *ctx, const struct vault_place *place,
                                  struct vault_root *root, uint64_t *ret_size) HF_MUST_USE;

/* Read the object name and check it against sha256 (NULL: not checked). Everything is in
 * ctx->arena; info.root and root_sha256 are set. NOT_FOUND; DATA_LOSS; those of vault_pack_open. */
struct hf_status vault_root_open(struct hf_ctx *ctx, const struct vault_place *place,
                                 const char *name, const uint8_t *sha256,
                                 struct vault_root *ret_root) HF_MUST_USE;

#endif

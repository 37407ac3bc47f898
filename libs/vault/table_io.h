/* What map tables and tables of packs have in common as objects. Inside libs/vault only. */
#ifndef HF_VAULT_TABLE_IO_H
#define HF_VAULT_TABLE_IO_H

#include "vault/map.h"

/* Finish pack and put it under name; id, SHA-256 and size of *ref are set. */
struct hf_status vault_table_put(struct hf_ctx *ctx, const struct vault_place *place,
                                 struct vault_pack_writer *pack, const char *name,
                                 struct vault_table_ref *ref) HF_MUST_USE;

/* Open a table's pack and check that it is the one that ref means. DATA_LOSS when it is missing,
 * of another kind, id or size, or has no blob. */
struct hf_status vault_table_open(struct hf_ctx *ctx, const struct vault_place *place,
                                  enum vault_pack_kind kind, const char *name,
                                  const struct vault_table_ref *ref,
                                  struct vault_pack *ret_pack) HF_MUST_USE;

/* A missing object that something refers to is damage, not an absence. */
struct hf_status vault_missing_is_loss(struct hf_arena *arena, struct hf_status status,
                                       const char *name) HF_MUST_USE;

#endif

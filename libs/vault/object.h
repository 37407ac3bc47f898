/* The key of one sealed object, for a party that may read just that object (a restore through the
 * service). Works for every kind: packs, and journal entries, whose pack begins after their frame.
 */
#ifndef HF_VAULT_OBJECT_H
#define HF_VAULT_OBJECT_H

#include "base/ctx.h"
#include "objstore/objstore.h"
#include "vault/keyring.h"
#include "vault/pack.h"

/* Header of the pack within the first bytes of an object. DATA_LOSS, NEWER_FORMAT. Pure. */
struct hf_status vault_object_header(struct hf_arena *arena, const char *name,
                                     struct hf_bytes first,
                                     struct vault_pack_header *ret_header) HF_MUST_USE;
/* Bytes that vault_object_header wants to see, or the whole object when it is shorter. */
#define VAULT_OBJECT_FIRST 512u

/* Secret of the object's pack; full keyrings only. NOT_FOUND, DATA_LOSS. */
struct hf_status vault_object_secret(struct hf_ctx *ctx, struct objstore *store,
                                     const struct vault_keyring *keyring, const char *name,
                                     uint8_t ret_secret[VAULT_KEY_LEN]) HF_MUST_USE;

#endif

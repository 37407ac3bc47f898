/* Sealing and opening whole journal entries; inside libs/vault only. */
#ifndef HF_VAULT_JOURNAL_ENTRY_H
#define HF_VAULT_JOURNAL_ENTRY_H

#include "vault/journal_codec.h"
#include "vault/pack.h"

/* <prefix>/journal/<number, 12 digits>, in arena. */
const char *vault_entry_name(struct hf_arena *arena, const char *prefix, uint64_t number);

struct vault_entry_seal {
    const struct vault_keyring *keyring; /* full, with signing key */
    const char *prefix;
    const struct vault_entry *entry;
    const struct vault_source_state *state; /* before the entry: head_hash, and the checkpoint */
    const uint8_t *fixed_id;                /* test vectors, else NULL */
    const uint8_t *fixed_salt;
};
/* The bytes of the object. */
struct hf_status vault_entry_seal(struct hf_ctx *ctx, const struct vault_entry_seal *seal,
                                  struct hf_buf *out) HF_MUST_USE;

/* Where an entry comes from and what it turned out to be. */
struct vault_entry_open {
    const struct vault_keyring *keyring;
    const char *prefix;
    uint64_t number;
    uint8_t ret_hash[VAULT_HASH_LEN];     /* of the object */
    uint8_t ret_previous[VAULT_HASH_LEN]; /* what it says of the one before */
    struct vault_entry ret_entry;
    struct vault_source_state ret_state; /* checkpoints: the state they carry, head not set */
};
/* Check frame, signature, sealing and body of the bytes. Not the chain: that needs a neighbour. */
struct hf_status vault_entry_open(struct hf_ctx *ctx, struct hf_bytes bytes,
                                  struct vault_entry_open *open) HF_MUST_USE;
/* The same, reading the object. NOT_FOUND. */
struct hf_status vault_entry_read(struct hf_ctx *ctx, struct objstore *store,
                                  struct vault_entry_open *open) HF_MUST_USE;

/* DATA_LOSS with a reason of the journal (JOURNAL_CHAIN …), naming the entry. */
struct hf_status vault_journal_broken(struct hf_arena *arena, const char *reason, const char *name,
                                      const char *what) HF_MUST_USE;

#endif

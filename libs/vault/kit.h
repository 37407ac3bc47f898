/* What a person has to open a vault with: its key file, or the recovery kit in its place.
 *
 * A kit opens the escrow copy of a key slot. The key-encryption key itself is in no slot: who has
 * the kit alone reads with it, or writes the next slots under a new key (vault_kit_takeover).
 */
#ifndef HF_VAULT_KIT_H
#define HF_VAULT_KIT_H

#include "vault/keyring.h"

struct vault_key {
    bool is_kit;
    uint8_t bytes[VAULT_KEY_LEN]; /* the KEK, or the kit's private key; the caller wipes */
};

/* A file of mode 0600: the 64 digits of a key, or a recovery kit with whatever is written around
 * it, as `holdfast up` writes it.
 * Errors   NOT_FOUND; INVALID_ARGUMENT neither, or mistyped; FAILED_PRECONDITION others may read it
 */
struct hf_status vault_key_load(struct hf_ctx *ctx, const char *path,
                                struct vault_key *ret_key) HF_MUST_USE;
/* Of text that was read from path; the caller wipes it. INVALID_ARGUMENT. */
struct hf_status vault_key_parse(struct hf_ctx *ctx, const char *path, struct hf_buf *buf,
                                 struct vault_key *ret_key) HF_MUST_USE;
/* A realm's newest slot, read-only. Errors: as vault_keyring_open, and NOT_FOUND: the slot has no
 * copy for a kit. */
struct hf_status vault_key_open(struct hf_ctx *ctx, struct objstore *store, const char *realm,
                                const struct vault_key *key,
                                struct vault_keyring **ret_keyring) HF_MUST_USE;
/* The public half of a kit: what slots are escrowed to. Pure. */
void vault_kit_public(const struct vault_key *kit, uint8_t ret_public[VAULT_KEY_LEN]);

/* The key file is lost: write the next slot of each realm that the kit opens as options say, under
 * options->kek. A realm that this key opens is done already: repeatable after a crash.
 *
 * options       of every realm, whatever its realm says. kek NULL: nothing is written, it is only
 *               asked whether the kit opens any
 * ret_unopened  the failure of the first realm that neither opens; OK: there is none. They are left
 *               as they are.
 *
 * Errors   that failure when no realm is opened (a vault without one has none); of the store
 */
struct hf_status vault_kit_takeover(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_key *kit,
                                    const struct vault_realm_options *options,
                                    struct hf_status *ret_unopened) HF_MUST_USE;

#endif

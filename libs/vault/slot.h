/* Key slots: the keys of a realm, sealed under a key-encryption key and once more to an escrow
 * key. Inside libs/vault only. Pure but for the randomness of the escrow envelope.
 * Format: docs/vault-format.md.
 */
#ifndef HF_VAULT_SLOT_H
#define HF_VAULT_SLOT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"
#include "base/str.h"
#include "vault/keyring.h"

#define VAULT_SLOT_VERSIONS_MAX 64
#define VAULT_SLOT_VERIFYING_MAX 32
#define VAULT_SLOT_MAX 16384 /* bytes of a key slot object */

struct vault_secrets {
    uint32_t versions; /* realm keys 1 … versions; new packs use the last */
    uint8_t realm_keys[VAULT_SLOT_VERSIONS_MAX][VAULT_KEY_LEN];
    uint8_t idk[VAULT_KEY_LEN];
    uint8_t writer_private[VAULT_KEY_LEN];
    uint32_t verifying_len;
    uint8_t verifying[VAULT_SLOT_VERIFYING_MAX][VAULT_KEY_LEN];
};

struct vault_slot_place {
    const char *realm;
    uint32_t number;
    const char *name; /* object name, for messages */
};

/* kek VAULT_KEY_LEN; escrow_public NULL: none; escrow_private NULL: a fresh ephemeral key (tests
 * give one). */
struct vault_slot_seal {
    const uint8_t *kek;
    const uint8_t *escrow_public;
    const uint8_t *ephemeral_private;
};
void vault_slot_encode(const struct vault_slot_place *place, const struct vault_slot_seal *seal,
                       const struct vault_secrets *secrets, struct hf_buf *out);
/* DATA_LOSS damaged; FAILED_PRECONDITION WRONG_KEY, NEWER_FORMAT. The caller wipes ret_secrets. */
struct hf_status vault_slot_open(struct hf_arena *arena, const struct vault_slot_place *place,
                                 struct hf_bytes bytes, const uint8_t kek[VAULT_KEY_LEN],
                                 struct vault_secrets *ret_secrets) HF_MUST_USE;
/* NOT_FOUND: not escrowed. */
struct hf_status vault_slot_open_escrow(struct hf_arena *arena,
                                        const struct vault_slot_place *place, struct hf_bytes bytes,
                                        const uint8_t private_key[VAULT_KEY_LEN],
                                        struct vault_secrets *ret_secrets) HF_MUST_USE;

#endif

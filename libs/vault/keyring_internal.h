/* What a keyring holds; for the files of libs/vault that seal and open. Read-only after opening. */
#ifndef HF_VAULT_KEYRING_INTERNAL_H
#define HF_VAULT_KEYRING_INTERNAL_H

#include "codec/hash.h"
#include "vault/keyring.h"
#include "vault/slot.h"

struct vault_keyring {
    bool is_full;
    char *realm; /* heap; NULL when borrowed */
    uint32_t slot_number;
    uint8_t realm_tag[VAULT_ID_LEN];
    struct vault_secrets secrets; /* verifying keys also when borrowed */
    struct codec_hmac idk;        /* full only */
    bool has_signing;
    uint8_t signing_private[VAULT_KEY_LEN];
    uint8_t signing_public[VAULT_KEY_LEN];
    struct vault_secret_source source; /* borrowed only */
};

/* FAILED_PRECONDITION, reason WRONG_KEY. */
struct hf_status vault_wrong_key(struct hf_arena *arena, const char *name,
                                 const char *what) HF_MUST_USE;
/* SHA-256("holdfast/1 realm" ‖ realm), cut. */
void vault_realm_tag(const char *realm, uint8_t ret_tag[VAULT_ID_LEN]);

#endif

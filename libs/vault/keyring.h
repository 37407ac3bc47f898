/* Keys of one realm: what seals and opens its packs, journal entries and digests.
 *
 * A keyring is either *full* (opened from a key slot of the vault with the key-encryption key:
 * can seal, open, sign when the signing key is given) or a *borrowed* one that knows only the
 * secrets of single objects (a restore through the service) or verifying keys.
 * Scheme: docs/vault-format.md. Threads: any after opening.
 */
#ifndef HF_VAULT_KEYRING_H
#define HF_VAULT_KEYRING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ctx.h"
#include "base/str.h"
#include "objstore/objstore.h"

#define VAULT_KEY_LEN 32
#define VAULT_ID_LEN 16
#define VAULT_DIGEST_LEN 16 /* page digest: HMAC-SHA-256(IDK, page) cut to 16 bytes */
#define VAULT_HASH_LEN 32

struct vault_keyring;
struct vault_pack_header;

/* Secret S of a pack (HKDF-Extract output) for a borrowed keyring: the pack's header has been
 * read, the source of secrets is asked for it. NOT_FOUND when this caller has no right to it. */
struct vault_secret_source {
    struct hf_status (*secret)(struct hf_ctx *ctx, void *arg,
                               const struct vault_pack_header *header,
                               uint8_t ret_secret[VAULT_KEY_LEN]);
    void *arg;
};

/* Key-encryption key file: 64 hex digits and a newline, mode 0600. make: exclusive create. */
struct hf_status vault_kek_make(struct hf_ctx *ctx, const char *path) HF_MUST_USE;
struct hf_status vault_kek_load(struct hf_ctx *ctx, const char *path,
                                uint8_t ret_kek[VAULT_KEY_LEN]) HF_MUST_USE;
/* Ed25519 signing key, PEM (PKCS#8), mode 0600. */
struct hf_status vault_signing_key_make(struct hf_ctx *ctx, const char *path) HF_MUST_USE;
/* X25519 escrow pair: private key as text for the printed recovery kit, public key raw. */
struct hf_status vault_escrow_make(struct hf_ctx *ctx, char **ret_private_text,
                                   uint8_t ret_public[VAULT_KEY_LEN]) HF_MUST_USE;
/* The public key from its file, 64 hexadecimal digits. INVALID_ARGUMENT. */
struct hf_status vault_escrow_load(struct hf_ctx *ctx, const char *path,
                                   uint8_t ret_public[VAULT_KEY_LEN]) HF_MUST_USE;

struct vault_realm_options {
    const char *realm;            /* tenant name or id text; prefix is "tenants/<realm>" */
    const uint8_t *kek;           /* VAULT_KEY_LEN */
    const char *signing_key_path; /* NULL: cannot append to journals */
    const uint8_t (*escrow_public)[VAULT_KEY_LEN]; /* NULL: none */
    bool create; /* write the first key slot when the realm has none */
};
/* Open (or make) the realm's newest key slot, for reading the newest sound one: see
 * vault_keyring_keep before anything is written. FAILED_PRECONDITION reason WRONG_KEY with a wrong
 * KEK - never "corrupt"; NOT_FOUND no such realm; FAILED_PRECONDITION reason NEWER_FORMAT, or
 * UNKNOWN_SIGNING_KEY when the slot does not list the signing key (vault_keyring_rotate adds it),
 * or KEYS_MISSING when the realm has stored something and no slot: nothing is made then; DATA_LOSS
 * a damaged slot. */
struct hf_status vault_keyring_open(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_realm_options *options,
                                    struct vault_keyring **ret_keyring) HF_MUST_USE;
/* The same with the private key of the recovery kit instead of the KEK: read-only. NOT_FOUND: no
 * realm, or its newest slot is not escrowed; FAILED_PRECONDITION WRONG_KEY, KEYS_MISSING. */
struct hf_status vault_keyring_open_escrow(struct hf_ctx *ctx, struct objstore *store,
                                           const char *realm,
                                           const uint8_t private_key[VAULT_KEY_LEN],
                                           struct vault_keyring **ret_keyring) HF_MUST_USE;
/* Write the next key slot of an opened realm under options->kek (an old or a new one): the keys of
 * keyring, the public part of options->signing_key_path when it is new, and a new realm key when
 * with_new_key. Open again to use it. Needs a keyring opened from a slot. ABORTED: somebody else
 * wrote that slot. */
struct hf_status vault_keyring_rotate(struct hf_ctx *ctx, struct objstore *store,
                                      const struct vault_keyring *keyring,
                                      const struct vault_realm_options *options,
                                      bool with_new_key) HF_MUST_USE;
/* Before something is sealed that must be read after the next opening: write the slot the keyring
 * was opened from again, under options->kek, when it and all later ones are gone from the vault;
 * nothing is overwritten. Repeatable; needs a keyring opened from a slot.
 * Errors   FAILED_PRECONDITION KEYS_REPLACED (the newest slot lacks a key of this keyring) or
 *          WRONG_KEY; DATA_LOSS a damaged slot */
struct hf_status vault_keyring_keep(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_keyring *keyring,
                                    const struct vault_realm_options *options,
                                    bool *ret_was_gone) HF_MUST_USE;
/* A keyring that opens what source gives secrets for. verifying_keys: count × 32 bytes, copied. */
struct vault_keyring *vault_keyring_borrowed(struct vault_secret_source source,
                                             const uint8_t *verifying_keys, size_t count);
void vault_keyring_free(struct vault_keyring *keyring); /* wipes; accepts NULL */

/* FAILED_PRECONDITION KEYS_MISSING: the realm has stored something, and has no keys now. */
struct hf_status vault_keys_missing(struct hf_arena *arena, const char *realm,
                                    const char *message) HF_MUST_USE;

bool vault_keyring_can_digest(const struct vault_keyring *keyring); /* has IDK */
bool vault_keyring_can_sign(const struct vault_keyring *keyring);
/* count × 32 bytes, borrowed. */
const uint8_t *vault_keyring_verifying_keys(const struct vault_keyring *keyring, size_t *ret_count);

/* Secret of an object for a borrower: the S of the pack with this header. A borrowed keyring asks
 * its source. FAILED_PRECONDITION: WRONG_KEY (another realm), OLD_KEY_SLOT (the pack's key version
 * is newer than this keyring's slot). */
struct hf_status vault_keyring_secret(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                      const struct vault_pack_header *header,
                                      uint8_t ret_secret[VAULT_KEY_LEN]) HF_MUST_USE;

/* Keyed digests (full keyrings only; HF_CHECK otherwise). Pure but for the key. */
void vault_page_digest(const struct vault_keyring *keyring, const void *page, size_t len,
                       uint8_t ret_digest[VAULT_DIGEST_LEN]);
/* Key of a path in maps and caches: HMAC(IDK, "path" ‖ path) cut to 16 bytes. */
void vault_path_key(const struct vault_keyring *keyring, const char *path,
                    uint8_t ret_key[VAULT_ID_LEN]);

static inline void vault_keyring_free_cleanup(struct vault_keyring **keyring)
{
    vault_keyring_free(*keyring);
    *keyring = NULL;
}

#endif

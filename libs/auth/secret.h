/* Sealing of small secrets (a source's password) for a column of the state database:
 * AES-256-GCM under a key derived per secret (HKDF-SHA256, random salt), bound to its place.
 *
 * Form: version byte 1, 16 bytes salt, ciphertext, 16 bytes tag.
 */
#ifndef HF_AUTH_SECRET_H
#define HF_AUTH_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/ctx.h"
#include "base/status.h"
#include "base/str.h"

struct secret_key;

/* Make a key file of 32 random bytes (as 64 hex digits, 0600). ALREADY_EXISTS. */
struct hf_status secret_key_create(struct hf_ctx *ctx, const char *path) HF_MUST_USE;
/* NOT_FOUND; PERMISSION_DENIED when others may read it; INVALID_ARGUMENT malformed. */
struct hf_status secret_key_load(struct hf_ctx *ctx, const char *path,
                                 struct secret_key **ret_key) HF_MUST_USE;
void secret_key_free(struct secret_key *key); /* wipes; accepts NULL */
HF_DEFINE_CLEANUP(struct secret_key *, secret_key_free)

/* place  where it is stored: "tenants/<uuid>/clusters/orders/password"; opening elsewhere fails
 * plain  ≤ 64 KiB */
struct hf_status secret_seal(struct hf_ctx *ctx, const struct secret_key *key, const char *place,
                             struct hf_bytes plain, struct hf_bytes *ret_sealed) HF_MUST_USE;
/* Errors   FAILED_PRECONDITION reason WRONG_KEY (another key, place, or changed bytes) */
struct hf_status secret_open(struct hf_ctx *ctx, const struct secret_key *key, const char *place,
                             struct hf_bytes sealed, struct hf_bytes *ret_plain) HF_MUST_USE;

/* A keyed digest of text that may hold secrets, for comparing it later without keeping it. parts
 * are told apart (their lengths count); place as above. Pure but for the key. */
#define SECRET_MAC_LEN 32
void secret_mac(const struct secret_key *key, const char *place, const struct hf_bytes *parts,
                size_t parts_len, uint8_t ret_mac[SECRET_MAC_LEN]);

#endif

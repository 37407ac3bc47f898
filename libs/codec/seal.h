/* Sealing and signing: AES-256-GCM, AES-256-SIV, Ed25519, X25519. OpenSSL stays in this folder.
 *
 * A failed authentication is a plain false: the caller knows the object's name and what it means.
 * Every other failure inside (no memory, no algorithm) aborts.
 */
#ifndef HF_CODEC_SEAL_H
#define HF_CODEC_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/status.h"
#include "base/str.h"

#define CODEC_KEY_LEN 32
#define CODEC_NONCE_LEN 12
#define CODEC_TAG_LEN 16
#define CODEC_SIV_KEY_LEN 64
#define CODEC_SIGNATURE_LEN 64

/* Reusable AES-256-GCM contexts; one thread at a time. Key and nonce are given anew at each call:
 * the caller answers for never repeating a pair. */
struct codec_gcm;
struct codec_gcm *codec_gcm_new(void);
void codec_gcm_free(struct codec_gcm *gcm); /* accepts NULL */

struct codec_gcm_params {
    const uint8_t *key;   /* CODEC_KEY_LEN */
    const uint8_t *nonce; /* CODEC_NONCE_LEN */
    struct hf_bytes aad;
};
/* ret_sealed gets plain.len + CODEC_TAG_LEN bytes: ciphertext, then tag. plain.len ≤ 1 GiB. */
void codec_gcm_seal(struct codec_gcm *gcm, const struct codec_gcm_params *params,
                    struct hf_bytes plain, uint8_t *ret_sealed);
/* ret_plain gets sealed.len - CODEC_TAG_LEN bytes; may be the same place as sealed. False: shorter
 * than a tag or not authentic; ret_plain is then worthless and must not be looked at. */
bool codec_gcm_open(struct codec_gcm *gcm, const struct codec_gcm_params *params,
                    struct hf_bytes sealed, uint8_t *ret_plain);

/* AES-256-SIV (RFC 5297) with a list of associated data: ret_sealed gets CODEC_TAG_LEN + plain.len
 * bytes: tag, then ciphertext. Deterministic: the same input gives the same bytes. */
void codec_siv_seal(const uint8_t key[CODEC_SIV_KEY_LEN], const struct hf_bytes *aad, size_t count,
                    struct hf_bytes plain, uint8_t *ret_sealed);
bool codec_siv_open(const uint8_t key[CODEC_SIV_KEY_LEN], const struct hf_bytes *aad, size_t count,
                    struct hf_bytes sealed, uint8_t *ret_plain);

/* Ed25519 (RFC 8032), raw 32-byte keys. */
void codec_ed25519_make(uint8_t ret_private[CODEC_KEY_LEN], uint8_t ret_public[CODEC_KEY_LEN]);
void codec_ed25519_public(const uint8_t private_key[CODEC_KEY_LEN],
                          uint8_t ret_public[CODEC_KEY_LEN]);
void codec_ed25519_sign(const uint8_t private_key[CODEC_KEY_LEN], struct hf_bytes bytes,
                        uint8_t ret_signature[CODEC_SIGNATURE_LEN]);
bool codec_ed25519_verify(const uint8_t public_key[CODEC_KEY_LEN], struct hf_bytes bytes,
                          const uint8_t signature[CODEC_SIGNATURE_LEN]);
/* PKCS#8 PEM of a private key ("-----BEGIN PRIVATE KEY-----"); in arena, the caller wipes it. */
char *codec_ed25519_pem(struct hf_arena *arena, const uint8_t private_key[CODEC_KEY_LEN]);
/* False: not the PEM of one Ed25519 private key. */
bool codec_ed25519_from_pem(struct hf_str pem, uint8_t ret_private[CODEC_KEY_LEN]);

/* X25519 (RFC 7748). */
void codec_x25519_make(uint8_t ret_private[CODEC_KEY_LEN], uint8_t ret_public[CODEC_KEY_LEN]);
void codec_x25519_public(const uint8_t private_key[CODEC_KEY_LEN],
                         uint8_t ret_public[CODEC_KEY_LEN]);
/* False: the peer's point is of small order (the result would be all zeros). */
bool codec_x25519(const uint8_t private_key[CODEC_KEY_LEN],
                  const uint8_t peer_public[CODEC_KEY_LEN], uint8_t ret_shared[CODEC_KEY_LEN]);

static inline void codec_gcm_free_cleanup(struct codec_gcm **gcm)
{
    codec_gcm_free(*gcm);
    *gcm = NULL;
}

#endif

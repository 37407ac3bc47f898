/* The bytes of a pack, shared by its writers and readers; inside libs/vault (and its fuzz targets)
 * only. Format: docs/vault-format.md. Everything here is pure.
 */
#ifndef HF_VAULT_PACK_FORMAT_H
#define HF_VAULT_PACK_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"
#include "vault/pack.h"

#define VAULT_FORMAT 1
#define VAULT_RECORD_HEADER_LEN 44
#define VAULT_FOOTER_LEN 24
#define VAULT_TRAILER_HEAD_LEN 8
#define VAULT_TRAILER_ENTRY_LEN 54
#define VAULT_TRAILER_MAX (32u << 20)
#define VAULT_TAG_LEN 16
#define VAULT_AAD_AT 6 /* of a record header: type, codec, plain length, id */

/* What the secret S of a pack expands to. */
struct vault_pack_keys {
    uint8_t enc[VAULT_KEY_LEN];
    uint8_t trailer[VAULT_KEY_LEN];
    uint8_t commitment[32];
};

void vault_pack_keys_derive(const uint8_t secret[VAULT_KEY_LEN], const uint8_t header_hash[32],
                            struct vault_pack_keys *ret_keys);
/* Bytes before the commitment; sets header->hash. */
void vault_pack_header_begin(struct vault_pack_header *header,
                             uint8_t ret_bytes[VAULT_PACK_HEADER_LEN]);
/* Commitment and checksum. */
void vault_pack_header_end(const struct vault_pack_header *header,
                           uint8_t bytes[VAULT_PACK_HEADER_LEN]);

/* Record header of a blob; its bytes 6 … 43 are the AAD of the ciphertext. */
void vault_record_encode(const struct vault_blob_info *blob,
                         uint8_t ret_bytes[VAULT_RECORD_HEADER_LEN]);
/* Fields of a record header, checked against the limits; false when they cannot be. offset and
 * first_page are the caller's. */
bool vault_record_decode(const uint8_t bytes[VAULT_RECORD_HEADER_LEN],
                         struct vault_blob_info *ret_blob);
bool vault_blob_is_sane(const struct vault_blob_info *blob);
/* Key and nonce of blob i. */
void vault_blob_key(const uint8_t key_enc[VAULT_KEY_LEN], const struct vault_blob_info *blob,
                    uint64_t index, uint8_t ret_key[VAULT_KEY_LEN], uint8_t ret_nonce[12]);

/* The trailer while a pack is written. */
struct vault_index {
    uint8_t *entries; /* heap */
    size_t entries_len;
    size_t entries_cap;
    uint8_t *digests; /* heap */
    size_t digests_len;
    size_t digests_cap;
    uint32_t blobs;
    uint32_t pages;
};
/* blob->digests: pages × VAULT_DIGEST_LEN for page blobs, copied. */
void vault_index_add(struct vault_index *index, const struct vault_blob_info *blob);
/* Plaintext length with blobs and pages more. */
size_t vault_index_len(const struct vault_index *index, size_t blobs, size_t pages);
void vault_index_done(struct vault_index *index);
/* Plaintext of the trailer with padding zeros, vault_index_len(…) + padding bytes. */
void vault_trailer_encode(const struct vault_index *index, size_t padding, uint8_t *ret_bytes);
/* What an object of a kind may hold: more than any writer puts there. A few sealed bytes can stand
 * for gigabytes of plaintext, so these bound what reading one object costs, whoever sealed it. */
struct vault_pack_limits {
    uint32_t blobs;
    uint32_t trailer_bytes; /* sealed, with padding */
    uint64_t plain_bytes;   /* of all blobs */
};
struct vault_pack_limits vault_pack_limits(enum vault_pack_kind kind);
/* Parse the plaintext of a trailer whose records end at data_end. plain must live as long as the
 * pack: digests point into it. DATA_LOSS. Fills blobs, blobs_len and pages. */
struct hf_status vault_trailer_decode(struct hf_arena *arena, struct hf_bytes plain,
                                      uint64_t data_end, struct vault_pack *pack) HF_MUST_USE;

void vault_footer_encode(uint32_t trailer_len, uint64_t total, uint8_t ret_bytes[VAULT_FOOTER_LEN]);
/* False: not a footer, or not of an object of this size. */
bool vault_footer_decode(const uint8_t bytes[VAULT_FOOTER_LEN], uint64_t total,
                         uint32_t *ret_trailer_len);
/* Length that hides all but a few leading bits of len (Padmé). */
uint64_t vault_padded_len(uint64_t len);

/* DATA_LOSS, reason DAMAGED: "<name>: <what> at byte <offset>". */
struct hf_status vault_damaged(struct hf_arena *arena, const char *name, uint64_t offset,
                               const char *what) HF_MUST_USE;
/* FAILED_PRECONDITION, reason NEWER_FORMAT. */
struct hf_status vault_newer(struct hf_arena *arena, const char *name, unsigned format) HF_MUST_USE;

void vault_put_be16(uint8_t *at, uint32_t value);
void vault_put_be32(uint8_t *at, uint32_t value);
void vault_put_be64(uint8_t *at, uint64_t value);
uint32_t vault_get_be16(const uint8_t *at);
uint32_t vault_get_be32(const uint8_t *at);
uint64_t vault_get_be64(const uint8_t *at);

#endif

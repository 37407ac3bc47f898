/* Sealing steps that the pack writer and the pack stream share; inside libs/vault only. */
#ifndef HF_VAULT_PACK_SEAL_H
#define HF_VAULT_PACK_SEAL_H

#include "codec/seal.h"
#include "vault/pack.h"
#include "vault/pack_format.h"

/* A fresh header (id and salt random unless options fix them), its bytes and keys. The keyring
 * must be full. */
struct hf_status vault_pack_header_make(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                        const struct vault_pack_options *options,
                                        struct vault_pack_header *ret_header,
                                        struct vault_pack_keys *ret_keys,
                                        uint8_t ret_bytes[VAULT_PACK_HEADER_LEN]) HF_MUST_USE;

/* What the trailer will say of a blob (offset and first_page still 0); checks its sanity. */
struct vault_blob_info vault_blob_info_of(const struct vault_blob_in *blob);

/* Compress plain, compute digests (room for VAULT_BLOB_PAGES of them) and id. ret_blob borrows
 * from codec, plain and digests. plain ≤ VAULT_BLOB_MAX; pages: 1 … 64 whole ones (HF_CHECK). */
void vault_blob_prepare(const struct vault_keyring *keyring, struct vault_codec_ctx *codec,
                        enum vault_blob_type type, struct hf_bytes plain, uint8_t *digests,
                        struct vault_blob_in *ret_blob);

/* Record header, ciphertext and tag: info->sealed_len bytes. */
void vault_record_seal(struct codec_gcm *gcm, const uint8_t key_enc[VAULT_KEY_LEN],
                       const struct vault_blob_info *info, uint64_t index, struct hf_bytes coded,
                       uint8_t *ret_record);

struct vault_tail {
    const struct vault_index *index;
    const uint8_t *key_trailer;
    uint64_t before; /* bytes of header and records */
    size_t padding;
};
/* Length of trailer and footer. */
size_t vault_tail_len(const struct vault_tail *tail);
/* Writes vault_tail_len bytes and returns that. */
size_t vault_tail_seal(struct codec_gcm *gcm, const struct vault_tail *tail, uint8_t *ret_bytes);
/* Zeros that bring a pack to its padded length, 0 when that would pass capacity. */
size_t vault_padding(const struct vault_index *index, uint64_t before, uint64_t capacity);

#endif

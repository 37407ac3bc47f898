/* Steps of opening that reading and scanning share; inside libs/vault only. */
#ifndef HF_VAULT_PACK_OPEN_H
#define HF_VAULT_PACK_OPEN_H

#include "vault/pack.h"
#include "vault/pack_format.h"

/* Where the bytes of a pack come from: a store, or memory when store is NULL. All borrowed. */
struct vault_pack_source {
    struct hf_ctx *ctx;
    struct objstore *store;
    const char *name;
    struct hf_bytes bytes;
    uint64_t size;
};

/* Set the size of an object in a store. */
struct hf_status vault_source_measure(struct vault_pack_source *source) HF_MUST_USE;
struct hf_status vault_source_read(const struct vault_pack_source *source, uint64_t offset,
                                   size_t len, void *ret_bytes) HF_MUST_USE;
/* Read and check the header, derive and prove the keys. Fills all of pack but its blobs. The caller
 * wipes ret_keys on success. */
struct hf_status vault_source_header(const struct vault_pack_source *source,
                                     const struct vault_keyring *keyring, struct vault_pack *pack,
                                     struct vault_pack_keys *ret_keys) HF_MUST_USE;
/* Does the object end with a footer of its own length? False also when it cannot be read, then
 * ret_status tells why. */
bool vault_source_footer(const struct vault_pack_source *source, uint32_t *ret_trailer_len,
                         struct hf_status *ret_status);
/* Header, footer, trailer. */
struct hf_status vault_source_open(const struct vault_pack_source *source,
                                   const struct vault_keyring *keyring,
                                   struct vault_pack *ret_pack) HF_MUST_USE;
/* Authenticate a whole record; ret_coded is in the reader until its next use. */
bool vault_record_open(struct vault_blob_reader *reader, const uint8_t key_enc[VAULT_KEY_LEN],
                       const struct vault_blob_info *blob, uint64_t index, struct hf_bytes sealed,
                       struct hf_bytes *ret_coded);

#endif

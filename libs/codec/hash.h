/* Digests: SHA-256, HMAC-SHA-256 with a prepared key, HKDF-SHA-256, CRC-32C.
 *
 * All states are plain values (copy = assignment) without heap, so that a digest per 8 KiB page
 * costs no allocation and one prepared key serves any number of threads.
 * Threads: any; each state by one thread at a time, a prepared codec_hmac by any number.
 */
#ifndef HF_CODEC_HASH_H
#define HF_CODEC_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define CODEC_SHA256_LEN 32

/* Running SHA-256; opaque. */
struct codec_sha256 {
    uint32_t state[32];
};
void codec_sha256_init(struct codec_sha256 *sha);
void codec_sha256_add(struct codec_sha256 *sha, const void *bytes, size_t len);
/* The state is used up; init it for another run. */
void codec_sha256_end(struct codec_sha256 *sha, uint8_t ret_hash[CODEC_SHA256_LEN]);
void codec_sha256(const void *bytes, size_t len, uint8_t ret_hash[CODEC_SHA256_LEN]);

/* HMAC-SHA-256 key, hashed once: the two inner states. Secret: codec_wipe it. */
struct codec_hmac {
    struct codec_sha256 inner;
    struct codec_sha256 outer;
};
void codec_hmac_key(struct codec_hmac *hmac, const void *key, size_t len);
/* MAC over count views one after the other. */
void codec_hmac(const struct codec_hmac *hmac, const struct hf_bytes *parts, size_t count,
                uint8_t ret_mac[CODEC_SHA256_LEN]);

/* RFC 5869 with SHA-256. */
void codec_hkdf_extract(struct hf_bytes salt, struct hf_bytes secret,
                        uint8_t ret_key[CODEC_SHA256_LEN]);
/* info = count views one after the other; len ≤ 255 × 32 (HF_CHECK). */
void codec_hkdf_expand(const uint8_t key[CODEC_SHA256_LEN], const struct hf_bytes *info,
                       size_t count, void *ret_bytes, size_t len);

/* Equal, in time that does not depend on the contents. */
bool codec_equal(const void *a, const void *b, size_t len);
/* Overwrite in a way the compiler keeps. */
void codec_wipe(void *bytes, size_t len);

/* CRC-32C (Castagnoli) as in RFC 3720 and PostgreSQL's pg_crc32c after FIN: start with 0, feed the
 * result back to go on. Uses SSE 4.2 where the processor has it. */
uint32_t codec_crc32c(uint32_t crc, const void *bytes, size_t len);
/* The same without special instructions. */
uint32_t codec_crc32c_portable(uint32_t crc, const void *bytes, size_t len);
/* CRC of A‖B from the CRCs of A and B and the length of B. */
uint32_t codec_crc32c_combine(uint32_t crc_a, uint32_t crc_b, uint64_t len_b);

#endif

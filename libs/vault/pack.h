/* Packs: the one sealed container of the vault. Data packs, roots, map tables, the body of a
 * journal entry, WAL slices and the local digest cache are all packs that differ in kind.
 *
 *   header | record 0 | record 1 | … | sealed trailer | footer
 *
 * A record is a self-describing header (sealed length, type, codec, plain length, id) and the
 * AES-256-GCM ciphertext of the (zstd) bytes. The trailer lists all records and, for page blobs,
 * the keyed digest of each page. Bytes, keys, labels: docs/vault-format.md.
 * A page is always VAULT_PAGE bytes; page ordinals count through the blobs of a pack.
 */
#ifndef HF_VAULT_PACK_H
#define HF_VAULT_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ctx.h"
#include "base/str.h"
#include "objstore/objstore.h"
#include "vault/keyring.h"

#define VAULT_PAGE 8192u
#define VAULT_BLOB_PAGES 64u             /* pages of one page blob, at most */
#define VAULT_BLOB_MAX (4u << 20)        /* plaintext of any blob */
#define VAULT_PACK_MAX (32u << 20)       /* a data pack is finished before this */
#define VAULT_PACK_HARD_MAX (256u << 20) /* any pack: readers refuse more */
#define VAULT_PACK_PAGES_MAX 65536u      /* pages of one pack: bounds its trailer */
#define VAULT_PACK_BLOBS_MAX 262144u     /* blobs of one pack: likewise */

enum vault_pack_kind {
    VAULT_PACK_DATA = 1,
    VAULT_PACK_ROOT = 2,
    VAULT_PACK_MAP = 3,
    VAULT_PACK_JOURNAL = 4,
    VAULT_PACK_WAL = 5,
    VAULT_PACK_CACHE = 6,
    VAULT_PACK_TABLE = 7, /* table of packs, base or overlay */
};

enum vault_blob_type {
    VAULT_BLOB_PAGES_TYPE = 1, /* n × VAULT_PAGE bytes */
    VAULT_BLOB_BYTES = 2,      /* anything else; meaning given by the pack's kind */
    VAULT_BLOB_WAL = 3,        /* WAL bytes: be64 lsn, then the bytes */
    VAULT_BLOB_CLOCK = 4,      /* be64 lsn, be64 server time (µs, Unix): all WAL below lsn
                                  existed at that time */
};

enum vault_codec { VAULT_CODEC_RAW = 0, VAULT_CODEC_ZSTD = 1 };

struct vault_pack_header {
    enum vault_pack_kind kind;
    uint8_t id[VAULT_ID_LEN];
    uint64_t number; /* rises per source, never reused; 0 for kinds that have none */
    uint32_t key_version;
    uint8_t realm_tag[VAULT_ID_LEN]; /* SHA-256("holdfast/1 realm" ‖ realm), cut */
    uint8_t salt[32];
    uint8_t hash[32]; /* SHA-256 of the header without commitment; input of the key schedule */
    uint8_t commitment[32];
};

/* --- writing into memory (data packs, roots, tables …), many threads ---------------------- */

struct vault_pack_writer;

struct vault_pack_options {
    enum vault_pack_kind kind;
    uint64_t number;
    /* Whole pack with trailer and footer; VAULT_PACK_MAX for data packs, at most
     * VAULT_PACK_HARD_MAX. The memory is mapped now and used as it fills. Streams: their limit. */
    size_t capacity_bytes;
    int level; /* zstd of vault_pack_add and streams; 0: store raw */
    /* NULL, or fixed values for test vectors; a repeated salt is a broken pack. */
    const uint8_t *fixed_id;   /* VAULT_ID_LEN */
    const uint8_t *fixed_salt; /* 32 */
};

struct hf_status vault_pack_writer_new(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                       const struct vault_pack_options *options,
                                       struct vault_pack_writer **ret_writer) HF_MUST_USE;
void vault_pack_writer_free(struct vault_pack_writer *writer); /* accepts NULL; unmaps */
const uint8_t *vault_pack_writer_id(const struct vault_pack_writer *writer);
uint64_t vault_pack_writer_number(const struct vault_pack_writer *writer);

/* Sealing in two steps, so that compression and AES run on many threads without a lock:
 *  1. compress into own scratch (vault_compress), any thread;
 *  2. vault_pack_reserve: gives index, offset and first page ordinal under the writer's lock;
 *     false when it does not fit any more (take the next pack);
 *  3. vault_pack_seal: AES-GCM from scratch straight into the reserved place, any thread.
 * finish may run only after every reservation was sealed. */
struct vault_blob_in {
    enum vault_blob_type type;
    enum vault_codec codec;
    uint32_t plain_len;
    struct hf_bytes coded;      /* what is encrypted: compressed or raw bytes */
    const uint8_t *digests;     /* pages × VAULT_DIGEST_LEN, page blobs only, else NULL */
    uint32_t pages;             /* page blobs only, else 0 */
    uint8_t id[VAULT_HASH_LEN]; /* vault_blob_id */
};
/* Where a blob was put: its place is the caller's until vault_pack_seal. */
struct vault_slot {
    uint32_t index;
    uint32_t first_page;
    size_t offset;
};
bool vault_pack_reserve(struct vault_pack_writer *writer, const struct vault_blob_in *blob,
                        struct vault_slot *ret_slot);
void vault_pack_seal(struct vault_pack_writer *writer, const struct vault_blob_in *blob,
                     struct vault_slot slot);

/* Convenience for one thread: compress (if it helps) + reserve + seal. RESOURCE_EXHAUSTED when the
 * pack is full. */
struct hf_status vault_pack_add(struct hf_ctx *ctx, struct vault_pack_writer *writer,
                                const struct vault_keyring *keyring, enum vault_blob_type type,
                                struct hf_bytes plain) HF_MUST_USE;

/* Blob id: HMAC-SHA-256(IDK, type ‖ page digests, or plaintext for other types). */
void vault_blob_id(const struct vault_keyring *keyring, enum vault_blob_type type,
                   struct hf_bytes plain_or_digests, uint8_t ret_id[VAULT_HASH_LEN]);

/* Reusable zstd contexts of one thread. */
struct vault_codec_ctx;
struct vault_codec_ctx *vault_codec_new(int level);
void vault_codec_free(struct vault_codec_ctx *codec); /* accepts NULL */
/* Compressed bytes in the codec's own buffer (valid until the next call), or plain itself with
 * VAULT_CODEC_RAW when compression does not save 1/32. */
enum vault_codec vault_compress(struct vault_codec_ctx *codec, struct hf_bytes plain,
                                struct hf_bytes *ret_coded);

/* Pad the length when the pack is finished (Padmé, at most 12 %): for the last pack of a session,
 * whose exact size would tell how much changed. Known only at the end, so no option. */
void vault_pack_pad(struct vault_pack_writer *writer);

/* Write trailer and footer; the whole pack is then at ret_bytes (borrowed from the writer) and its
 * SHA-256 in ret_sha256. */
void vault_pack_finish(struct vault_pack_writer *writer, struct hf_bytes *ret_bytes,
                       uint8_t ret_sha256[VAULT_HASH_LEN]);

/* --- reading ------------------------------------------------------------------------------ */

struct vault_blob_info {
    enum vault_blob_type type;
    enum vault_codec codec;
    uint64_t offset;     /* of the record in the object */
    uint32_t sealed_len; /* record header + ciphertext + tag */
    uint32_t plain_len;
    uint32_t first_page;
    uint32_t pages;
    const uint8_t *digests; /* pages × 16, or NULL */
    uint8_t id[VAULT_HASH_LEN];
};

/* An opened pack: header checked, keys derived, trailer authenticated and parsed. */
struct vault_pack {
    struct vault_pack_header header;
    const char *name;
    uint64_t size_bytes;
    struct vault_blob_info *blobs;
    size_t blobs_len;
    uint32_t pages;
    uint8_t key_enc[VAULT_KEY_LEN];
};

/* Everything lives in ctx->arena. Errors: NOT_FOUND; FAILED_PRECONDITION reason WRONG_KEY (the
 * commitment does not match) or NEWER_FORMAT; DATA_LOSS anything that fails authentication or
 * bounds, naming object and offset. */
struct hf_status vault_pack_open(struct hf_ctx *ctx, struct objstore *store,
                                 const struct vault_keyring *keyring, const char *name,
                                 struct vault_pack *ret_pack) HF_MUST_USE;
/* The same over bytes in memory (a whole pack). vault_pack_open also compares the id in the name of
 * a pack, map or table with the header's: DATA_LOSS when packs were swapped. */
struct hf_status vault_pack_open_bytes(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                       const char *name, struct hf_bytes bytes,
                                       struct vault_pack *ret_pack) HF_MUST_USE;

/* Scratch of one reading thread: sealed bytes, decompressor. */
struct vault_blob_reader;
struct vault_blob_reader *vault_blob_reader_new(void);
void vault_blob_reader_free(struct vault_blob_reader *reader); /* accepts NULL */

/* Read, authenticate, decompress blob i. The plaintext is in the reader until its next call.
 * check_digests: also recompute page digests and id (needs a full keyring). DATA_LOSS. */
struct hf_status vault_blob_read(struct hf_ctx *ctx, struct objstore *store,
                                 const struct vault_keyring *keyring, const struct vault_pack *pack,
                                 size_t i, bool check_digests, struct vault_blob_reader *reader,
                                 struct hf_bytes *ret_plain) HF_MUST_USE;
/* The same when the record's sealed bytes are at hand. */
struct hf_status vault_blob_open(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                 const struct vault_pack *pack, size_t i, bool check_digests,
                                 struct hf_bytes sealed, struct vault_blob_reader *reader,
                                 struct hf_bytes *ret_plain) HF_MUST_USE;

/* --- growing packs (WAL slices) ----------------------------------------------------------- */

/* Serialise header and records one by one for an appender; index counts up. The same keys and
 * record format as above; finish gives trailer + footer. One thread. */
struct vault_pack_stream;
struct hf_status vault_pack_stream_new(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                       const struct vault_pack_options *options,
                                       struct hf_buf *header_out,
                                       struct vault_pack_stream **ret_stream) HF_MUST_USE;
/* Append the sealed record to out. RESOURCE_EXHAUSTED: capacity or blob limit reached (finish and
 * begin the next pack). */
struct hf_status vault_pack_stream_add(struct hf_ctx *ctx, struct vault_pack_stream *stream,
                                       enum vault_blob_type type, struct hf_bytes plain,
                                       struct hf_buf *out) HF_MUST_USE;
struct hf_status vault_pack_stream_finish(struct hf_ctx *ctx, struct vault_pack_stream *stream,
                                          struct hf_buf *out) HF_MUST_USE;
uint64_t vault_pack_stream_size(const struct vault_pack_stream *stream); /* bytes so far */
const uint8_t *vault_pack_stream_id(const struct vault_pack_stream *stream);
void vault_pack_stream_free(struct vault_pack_stream *stream); /* accepts NULL */

/* Open a pack that may lack its trailer (a slice cut off by a crash, or still growing): records are
 * walked from the front up to the last whole one that authenticates. ret_is_closed tells whether a
 * valid trailer was there. A record in the middle that fails is DATA_LOSS only when the trailer
 * exists; without trailer the walk ends there. An object shorter than a header (the crash came that
 * early) is an open pack without blobs; its header is zero. Blobs found by walking have no page
 * digests. */
struct hf_status vault_pack_scan(struct hf_ctx *ctx, struct objstore *store,
                                 const struct vault_keyring *keyring, const char *name,
                                 struct vault_pack *ret_pack, bool *ret_is_closed) HF_MUST_USE;

/* Parse the fixed header only (no keys). DATA_LOSS / FAILED_PRECONDITION NEWER_FORMAT. Pure. */
struct hf_status vault_pack_header_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                          struct vault_pack_header *ret_header) HF_MUST_USE;
#define VAULT_PACK_HEADER_LEN 192

static inline void vault_pack_writer_free_cleanup(struct vault_pack_writer **w)
{
    vault_pack_writer_free(*w);
    *w = NULL;
}
static inline void vault_codec_free_cleanup(struct vault_codec_ctx **codec)
{
    vault_codec_free(*codec);
    *codec = NULL;
}
static inline void vault_pack_stream_free_cleanup(struct vault_pack_stream **stream)
{
    vault_pack_stream_free(*stream);
    *stream = NULL;
}
static inline void vault_blob_reader_free_cleanup(struct vault_blob_reader **r)
{
    vault_blob_reader_free(*r);
    *r = NULL;
}

#endif

/* Encoding and decoding of pack headers, records, trailers and footers. The surprise: the header
 * carries an unkeyed checksum next to the keyed commitment, so that random damage (DATA_LOSS) is
 * told from a wrong key (WRONG_KEY) before any key is used. */
#include "vault/pack_format.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "codec/wire.h"

#define HEADER_HASHED 156 /* bytes that the header's hash covers */
#define HEADER_COMMITMENT 156
#define HEADER_CHECKSUM 188

#define SUITE_DIGEST_HMAC_SHA256 1
#define SUITE_SEAL_AES256_GCM 1

static const uint8_t pack_magic[8] = {0x89, 'H', 'F', 'P', 'K', '\r', '\n', 0x1a};
static const uint8_t footer_magic[8] = {0x89, 'H', 'F', 'E', 'N', 'D', '\r', '\n'};

void vault_put_be16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void vault_put_be32(uint8_t *at, uint32_t value)
{
    vault_put_be16(at, value >> 16);
    vault_put_be16(at + 2, value);
}

void vault_put_be64(uint8_t *at, uint64_t value)
{
    vault_put_be32(at, (uint32_t)(value >> 32));
    vault_put_be32(at + 4, (uint32_t)value);
}

uint32_t vault_get_be16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

uint32_t vault_get_be32(const uint8_t *at)
{
    return vault_get_be16(at) << 16 | vault_get_be16(at + 2);
}

uint64_t vault_get_be64(const uint8_t *at)
{
    return (uint64_t)vault_get_be32(at) << 32 | vault_get_be32(at + 4);
}

struct hf_status vault_damaged(struct hf_arena *arena, const char *name, uint64_t offset,
                               const char *what)
{
    const char *at = hf_printf(arena, "%" PRIu64, offset);
    const char *const metadata[] = {"object", hf_strdup(arena, name), "offset", at, NULL};

    return hf_fail_info(arena, HF_DATA_LOSS, "DAMAGED", metadata, "%s: %s at byte %s", name, what,
                        at);
}

struct hf_status vault_newer(struct hf_arena *arena, const char *name, unsigned format)
{
    const char *const metadata[] = {"object", hf_strdup(arena, name), "format",
                                    hf_printf(arena, "%u", format), NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NEWER_FORMAT", metadata,
                        "%s has format %u, this program knows up to %u: use a newer holdfast", name,
                        format, (unsigned)VAULT_FORMAT);
}

void vault_pack_keys_derive(const uint8_t secret[VAULT_KEY_LEN], const uint8_t header_hash[32],
                            struct vault_pack_keys *ret_keys)
{
    static const char label_enc[] = "holdfast/1 pack enc";
    static const char label_trailer[] = "holdfast/1 pack trailer";
    static const char label_commit[] = "holdfast/1 pack commitment";
    struct hf_bytes info[2] = {{NULL, 0}, {header_hash, 32}};

    info[0] = (struct hf_bytes){(const uint8_t *)label_enc, sizeof(label_enc) - 1};
    codec_hkdf_expand(secret, info, 2, ret_keys->enc, sizeof(ret_keys->enc));
    info[0] = (struct hf_bytes){(const uint8_t *)label_trailer, sizeof(label_trailer) - 1};
    codec_hkdf_expand(secret, info, 2, ret_keys->trailer, sizeof(ret_keys->trailer));
    info[0] = (struct hf_bytes){(const uint8_t *)label_commit, sizeof(label_commit) - 1};
    codec_hkdf_expand(secret, info, 2, ret_keys->commitment, sizeof(ret_keys->commitment));
}

void vault_pack_header_begin(struct vault_pack_header *header,
                             uint8_t ret_bytes[VAULT_PACK_HEADER_LEN])
{
    memset(ret_bytes, 0, VAULT_PACK_HEADER_LEN);
    memcpy(ret_bytes, pack_magic, sizeof(pack_magic));
    vault_put_be16(ret_bytes + 8, VAULT_FORMAT);
    ret_bytes[10] = (uint8_t)header->kind;
    ret_bytes[11] = 0; /* envelope: realm key */
    vault_put_be32(ret_bytes + 12, header->key_version);
    memcpy(ret_bytes + 16, header->realm_tag, VAULT_ID_LEN);
    memcpy(ret_bytes + 32, header->id, VAULT_ID_LEN);
    vault_put_be64(ret_bytes + 48, header->number);
    ret_bytes[56] = SUITE_DIGEST_HMAC_SHA256;
    ret_bytes[57] = SUITE_SEAL_AES256_GCM;
    memcpy(ret_bytes + 64, header->salt, sizeof(header->salt));
    /* 96 … 143: writer key id and ephemeral public key of the write-only envelope */
    codec_sha256(ret_bytes, HEADER_HASHED, header->hash);
}

void vault_pack_header_end(const struct vault_pack_header *header,
                           uint8_t bytes[VAULT_PACK_HEADER_LEN])
{
    memcpy(bytes + HEADER_COMMITMENT, header->commitment, sizeof(header->commitment));
    vault_put_be32(bytes + HEADER_CHECKSUM, codec_crc32c(0, bytes, HEADER_CHECKSUM));
}

static bool header_is_plain(const uint8_t *bytes)
{
    static const uint8_t zero[60] = {0};

    return bytes[10] >= VAULT_PACK_DATA && bytes[10] <= VAULT_PACK_TABLE && bytes[11] == 0 &&
           bytes[56] == SUITE_DIGEST_HMAC_SHA256 && bytes[57] == SUITE_SEAL_AES256_GCM &&
           memcmp(bytes + 58, zero, 6) == 0 && memcmp(bytes + 96, zero, 60) == 0;
}

struct hf_status vault_pack_header_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                          struct vault_pack_header *ret_header)
{
    struct vault_pack_header header = {.number = 0};
    const uint8_t *at = bytes.ptr;

    if (bytes.len < VAULT_PACK_HEADER_LEN || memcmp(at, pack_magic, sizeof(pack_magic)) != 0) {
        return vault_damaged(arena, "pack", 0, "not a pack header");
    }
    if (vault_get_be32(at + HEADER_CHECKSUM) != codec_crc32c(0, at, HEADER_CHECKSUM)) {
        return vault_damaged(arena, "pack", HEADER_CHECKSUM, "header checksum does not match");
    }
    if (vault_get_be16(at + 8) > VAULT_FORMAT) {
        return vault_newer(arena, "pack", vault_get_be16(at + 8));
    }
    if (vault_get_be16(at + 8) != VAULT_FORMAT || !header_is_plain(at)) {
        return vault_damaged(arena, "pack", 8, "unknown header field");
    }
    header.kind = (enum vault_pack_kind)at[10];
    header.key_version = vault_get_be32(at + 12);
    memcpy(header.realm_tag, at + 16, VAULT_ID_LEN);
    memcpy(header.id, at + 32, VAULT_ID_LEN);
    header.number = vault_get_be64(at + 48);
    memcpy(header.salt, at + 64, sizeof(header.salt));
    memcpy(header.commitment, at + HEADER_COMMITMENT, sizeof(header.commitment));
    codec_sha256(at, HEADER_HASHED, header.hash);
    *ret_header = header;
    return hf_success();
}

void vault_record_encode(const struct vault_blob_info *blob,
                         uint8_t ret_bytes[VAULT_RECORD_HEADER_LEN])
{
    vault_put_be32(ret_bytes, blob->sealed_len);
    vault_put_be16(ret_bytes + 4, blob->pages);
    ret_bytes[6] = (uint8_t)blob->type;
    ret_bytes[7] = (uint8_t)blob->codec;
    vault_put_be32(ret_bytes + 8, blob->plain_len);
    memcpy(ret_bytes + 12, blob->id, VAULT_HASH_LEN);
}

bool vault_blob_is_sane(const struct vault_blob_info *blob)
{
    uint32_t coded_len;

    if (blob->plain_len > VAULT_BLOB_MAX ||
        blob->sealed_len < VAULT_RECORD_HEADER_LEN + VAULT_TAG_LEN) {
        return false;
    }
    coded_len = blob->sealed_len - VAULT_RECORD_HEADER_LEN - VAULT_TAG_LEN;
    if (blob->codec == VAULT_CODEC_RAW ? coded_len != blob->plain_len
                                       : coded_len >= blob->plain_len) {
        return false;
    }
    if (blob->type == VAULT_BLOB_PAGES_TYPE) {
        return blob->pages >= 1 && blob->pages <= VAULT_BLOB_PAGES &&
               blob->plain_len == blob->pages * VAULT_PAGE;
    }
    return blob->pages == 0;
}

static bool blob_decode_kind(uint8_t type, uint8_t codec, struct vault_blob_info *blob)
{
    blob->type = (enum vault_blob_type)type;
    blob->codec = (enum vault_codec)codec;
    return type >= VAULT_BLOB_PAGES_TYPE && type <= VAULT_BLOB_CLOCK && codec <= VAULT_CODEC_ZSTD;
}

bool vault_record_decode(const uint8_t bytes[VAULT_RECORD_HEADER_LEN],
                         struct vault_blob_info *ret_blob)
{
    struct vault_blob_info blob = {.offset = 0};

    blob.sealed_len = vault_get_be32(bytes);
    blob.pages = vault_get_be16(bytes + 4);
    blob.plain_len = vault_get_be32(bytes + 8);
    memcpy(blob.id, bytes + 12, VAULT_HASH_LEN);
    if (!blob_decode_kind(bytes[6], bytes[7], &blob) || !vault_blob_is_sane(&blob)) {
        return false;
    }
    *ret_blob = blob;
    return true;
}

void vault_blob_key(const uint8_t key_enc[VAULT_KEY_LEN], const struct vault_blob_info *blob,
                    uint64_t index, uint8_t ret_key[VAULT_KEY_LEN], uint8_t ret_nonce[12])
{
    uint8_t info[VAULT_HASH_LEN + 1 + 8];
    struct hf_bytes view = {info, sizeof(info)};

    memcpy(info, blob->id, VAULT_HASH_LEN);
    info[VAULT_HASH_LEN] = (uint8_t)blob->codec;
    vault_put_be64(info + VAULT_HASH_LEN + 1, index);
    codec_hkdf_expand(key_enc, &view, 1, ret_key, VAULT_KEY_LEN);
    vault_put_be32(ret_nonce, 0);
    vault_put_be64(ret_nonce + 4, index);
}

/* Room for len more bytes in a doubling heap array. */
static uint8_t *index_room(uint8_t **bytes, size_t *len, size_t *cap, size_t more)
{
    uint8_t *at;

    if (*len + more > *cap) {
        *cap = *cap * 2 > *len + more ? *cap * 2 : *len + more + 4096;
        *bytes = hf_heap_grow(*bytes, *cap);
    }
    at = *bytes + *len;
    *len += more;
    return at;
}

void vault_index_add(struct vault_index *index, const struct vault_blob_info *blob)
{
    uint8_t *at = index_room(&index->entries, &index->entries_len, &index->entries_cap,
                             VAULT_TRAILER_ENTRY_LEN);
    size_t digests_len = (size_t)blob->pages * VAULT_DIGEST_LEN;

    at[0] = (uint8_t)blob->type;
    at[1] = (uint8_t)blob->codec;
    vault_put_be64(at + 2, blob->offset);
    vault_put_be32(at + 10, blob->sealed_len);
    vault_put_be32(at + 14, blob->plain_len);
    vault_put_be32(at + 18, blob->pages);
    memcpy(at + 22, blob->id, VAULT_HASH_LEN);
    if (digests_len > 0) {
        HF_CHECK(blob->digests != NULL);
        memcpy(index_room(&index->digests, &index->digests_len, &index->digests_cap, digests_len),
               blob->digests, digests_len);
    }
    index->blobs++;
    index->pages += blob->pages;
}

size_t vault_index_len(const struct vault_index *index, size_t blobs, size_t pages)
{
    return VAULT_TRAILER_HEAD_LEN + index->entries_len + blobs * VAULT_TRAILER_ENTRY_LEN +
           index->digests_len + pages * VAULT_DIGEST_LEN;
}

void vault_index_done(struct vault_index *index)
{
    hf_heap_free(index->entries);
    hf_heap_free(index->digests);
    memset(index, 0, sizeof(*index));
}

void vault_trailer_encode(const struct vault_index *index, size_t padding, uint8_t *ret_bytes)
{
    uint8_t *at = ret_bytes;

    vault_put_be32(at, index->blobs);
    vault_put_be32(at + 4, index->pages);
    at += VAULT_TRAILER_HEAD_LEN;
    if (index->entries_len > 0) {
        memcpy(at, index->entries, index->entries_len);
    }
    at += index->entries_len;
    if (index->digests_len > 0) {
        memcpy(at, index->digests, index->digests_len);
    }
    memset(at + index->digests_len, 0, padding);
}

struct vault_pack_limits vault_pack_limits(enum vault_pack_kind kind)
{
    static const struct vault_pack_limits table[] = {
        [VAULT_PACK_DATA] = {VAULT_PACK_PAGES_MAX, 12u << 20,
                             (uint64_t)VAULT_PACK_PAGES_MAX * VAULT_PAGE},
        [VAULT_PACK_ROOT] = {4096, 1u << 20, 32u << 20},
        [VAULT_PACK_MAP] = {4096, 1u << 20, 128u << 20},
        [VAULT_PACK_JOURNAL] = {4096, 1u << 20, 64u << 20},
        [VAULT_PACK_WAL] = {VAULT_PACK_BLOBS_MAX, 16u << 20, 24u << 20},
        [VAULT_PACK_CACHE] = {4096, 1u << 20, 256u << 20},
        [VAULT_PACK_TABLE] = {4096, 1u << 20, 16u << 20},
    };

    return table[kind];
}

static bool trailer_entry(struct codec_wire *wire, struct vault_blob_info *blob)
{
    uint8_t type = codec_wire_get_u8(wire);
    uint8_t codec = codec_wire_get_u8(wire);

    blob->offset = codec_wire_get_be64(wire);
    blob->sealed_len = codec_wire_get_be32(wire);
    blob->plain_len = codec_wire_get_be32(wire);
    blob->pages = codec_wire_get_be32(wire);
    codec_wire_get_raw(wire, blob->id, VAULT_HASH_LEN);
    return blob_decode_kind(type, codec, blob) && vault_blob_is_sane(blob);
}

/* Entries must follow each other without a hole from the header to data_end. */
static void trailer_entries(struct codec_wire *wire, struct vault_pack *pack, uint64_t data_end)
{
    uint64_t offset = VAULT_PACK_HEADER_LEN;
    uint64_t plain_left = vault_pack_limits(pack->header.kind).plain_bytes;
    uint32_t pages = 0;

    for (size_t i = 0; i < pack->blobs_len && wire->fault == NULL; i++) {
        struct vault_blob_info *blob = &pack->blobs[i];

        if (!trailer_entry(wire, blob) || blob->offset != offset ||
            blob->sealed_len > data_end - offset) {
            codec_wire_fault(wire, "impossible blob");
            return;
        }
        if (blob->plain_len > plain_left) {
            codec_wire_fault(wire, "more plaintext than an object of its kind may hold");
            return;
        }
        plain_left -= blob->plain_len;
        blob->first_page = pages;
        offset += blob->sealed_len;
        pages += blob->pages;
    }
    if (offset != data_end || pages != pack->pages) {
        codec_wire_fault(wire, "blobs do not fill the pack");
    }
}

static void trailer_digests(struct codec_wire *wire, struct vault_pack *pack)
{
    for (size_t i = 0; i < pack->blobs_len && wire->fault == NULL; i++) {
        struct vault_blob_info *blob = &pack->blobs[i];
        size_t len = (size_t)blob->pages * VAULT_DIGEST_LEN;

        blob->digests = len > 0 ? codec_wire_get_view(wire, len).ptr : NULL;
    }
    while (wire->fault == NULL && codec_wire_left(wire) > 0) {
        if (codec_wire_get_u8(wire) != 0) {
            codec_wire_fault(wire, "padding is not zero");
        }
    }
}

struct hf_status vault_trailer_decode(struct hf_arena *arena, struct hf_bytes plain,
                                      uint64_t data_end, struct vault_pack *pack)
{
    struct codec_wire wire = codec_wire_open(plain.ptr, plain.len);
    uint32_t blobs = codec_wire_get_be32(&wire);
    uint32_t pages = codec_wire_get_be32(&wire);

    pack->blobs_len = blobs;
    pack->pages = pages;
    if (data_end < VAULT_PACK_HEADER_LEN || blobs > vault_pack_limits(pack->header.kind).blobs ||
        pages > VAULT_PACK_PAGES_MAX || blobs > codec_wire_left(&wire) / VAULT_TRAILER_ENTRY_LEN) {
        codec_wire_fault(&wire, "too many blobs or pages");
        return codec_wire_status(&wire, arena, "pack trailer");
    }
    pack->blobs = hf_try_alloc(arena, (blobs + 1) * sizeof(pack->blobs[0]));
    if (pack->blobs == NULL) {
        return hf_fail(arena, HF_RESOURCE_EXHAUSTED, "no room for a pack of %u blobs", blobs);
    }
    memset(pack->blobs, 0, (blobs + 1) * sizeof(pack->blobs[0]));
    trailer_entries(&wire, pack, data_end);
    trailer_digests(&wire, pack);
    return codec_wire_finish(&wire, arena, "pack trailer");
}

void vault_footer_encode(uint32_t trailer_len, uint64_t total, uint8_t ret_bytes[VAULT_FOOTER_LEN])
{
    vault_put_be32(ret_bytes, trailer_len);
    vault_put_be32(ret_bytes + 4, 0);
    vault_put_be64(ret_bytes + 8, total);
    memcpy(ret_bytes + 16, footer_magic, sizeof(footer_magic));
}

bool vault_footer_decode(const uint8_t bytes[VAULT_FOOTER_LEN], uint64_t total,
                         uint32_t *ret_trailer_len)
{
    uint32_t len = vault_get_be32(bytes);

    if (memcmp(bytes + 16, footer_magic, sizeof(footer_magic)) != 0 ||
        vault_get_be32(bytes + 4) != 0 || vault_get_be64(bytes + 8) != total ||
        len < VAULT_TRAILER_HEAD_LEN + VAULT_TAG_LEN || len > VAULT_TRAILER_MAX + VAULT_TAG_LEN ||
        total < (uint64_t)VAULT_PACK_HEADER_LEN + len + VAULT_FOOTER_LEN) {
        return false;
    }
    *ret_trailer_len = len;
    return true;
}

uint64_t vault_padded_len(uint64_t len)
{
    unsigned exponent;
    unsigned bits = 1;
    uint64_t mask;

    if (len < 2) {
        return len;
    }
    exponent = 63u - (unsigned)__builtin_clzll(len);
    while (exponent >> bits != 0) {
        bits++;
    }
    mask = (UINT64_C(1) << (exponent - bits)) - 1;
    return (len + mask) & ~mask;
}

/* One table of the map as an object: writer and reader. A reader has an arena of its own, as tables
 * are opened and closed by the hundred during one walk over a map. */
#include <string.h>

#include "base/check.h"
#include "codec/wire.h"
#include "vault/map.h"
#include "vault/table_io.h"

#define BLOB_BYTES (128u << 10)
#define INDEX_VERSION 1
#define LEVEL 3

struct vault_map_writer {
    struct vault_place place;
    struct vault_pack_writer *pack;
    struct hf_buf blob;  /* entries not yet sealed */
    struct hf_buf entry; /* scratch */
    struct hf_buf keys;  /* first key of each blob */
    struct vault_bits packs;
    uint64_t entries;
    uint64_t plain_bytes;
    size_t blobs;
};

struct hf_status vault_map_writer_new(struct hf_ctx *ctx, const struct vault_place *place,
                                      struct vault_map_writer **ret_writer)
{
    HF_CLEANUP(vault_map_writer_free)
    struct vault_map_writer *writer = hf_heap_alloc(sizeof(*writer));
    const struct vault_pack_options options = {
        .kind = VAULT_PACK_MAP, .capacity_bytes = VAULT_PACK_MAX, .level = LEVEL};

    writer->place = *place;
    hf_buf_init(&writer->blob, VAULT_BLOB_MAX);
    hf_buf_init(&writer->entry, VAULT_BLOB_MAX);
    hf_buf_init(&writer->keys, VAULT_BLOB_MAX);
    HF_TRY(vault_pack_writer_new(ctx, place->keyring, &options, &writer->pack));
    *ret_writer = HF_TAKE(writer);
    return hf_success();
}

void vault_map_writer_free(struct vault_map_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    vault_pack_writer_free(writer->pack);
    hf_buf_done(&writer->blob);
    hf_buf_done(&writer->entry);
    hf_buf_done(&writer->keys);
    vault_bits_done(&writer->packs);
    hf_heap_free(writer);
}

static struct hf_status flush(struct hf_ctx *ctx, struct vault_map_writer *writer)
{
    if (writer->blob.len == 0) {
        return hf_success();
    }
    HF_TRY(hf_buf_status(&writer->blob, ctx->arena, "map blob"));
    hf_buf_append(&writer->keys, writer->blob.ptr, VAULT_MAP_KEY_LEN);
    writer->blobs++;
    HF_TRY(vault_pack_add(ctx, writer->pack, writer->place.keyring, VAULT_BLOB_BYTES,
                          (struct hf_bytes){writer->blob.ptr, writer->blob.len}));
    hf_buf_clear(&writer->blob);
    return hf_success();
}

struct hf_status vault_map_writer_add_encoded(struct hf_ctx *ctx, struct vault_map_writer *writer,
                                              struct hf_bytes entry)
{
    HF_CHECK(entry.len > VAULT_MAP_KEY_LEN);
    if (writer->blob.len > 0 && writer->blob.len + entry.len > BLOB_BYTES) {
        HF_TRY(flush(ctx, writer));
    }
    hf_buf_append(&writer->blob, entry.ptr, entry.len);
    writer->entries++;
    writer->plain_bytes += entry.len;
    return hf_success();
}

struct hf_status vault_map_writer_add(struct hf_ctx *ctx, struct vault_map_writer *writer,
                                      const struct vault_map_entry *entry)
{
    hf_buf_clear(&writer->entry);
    vault_map_entry_encode(&writer->entry, entry);
    HF_TRY(hf_buf_status(&writer->entry, ctx->arena, "map entry"));
    for (size_t i = 0; i < entry->runs_len; i++) {
        vault_bits_set(&writer->packs, entry->runs[i].pack);
    }
    return vault_map_writer_add_encoded(ctx, writer,
                                        (struct hf_bytes){writer->entry.ptr, writer->entry.len});
}

void vault_map_writer_add_packs(struct vault_map_writer *writer, const struct vault_bits *packs)
{
    vault_bits_merge(&writer->packs, packs);
}

uint64_t vault_map_writer_plain_bytes(const struct vault_map_writer *writer)
{
    return writer->plain_bytes;
}

/* Ranges of set bits: gap after the last range, length. */
static void encode_packs(struct hf_buf *buf, const struct vault_bits *bits)
{
    uint64_t next = 1;
    uint64_t first = 0;

    while (vault_bits_next(bits, next, &first)) {
        uint64_t end = first + 1;
        while (vault_bits_test(bits, end)) {
            end++;
        }
        codec_wire_put_u64(buf, first - next);
        codec_wire_put_u64(buf, end - first);
        next = end;
    }
}

struct hf_status vault_map_writer_finish(struct hf_ctx *ctx, struct vault_map_writer *writer,
                                         struct vault_table_ref *ret_ref)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf index = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf packs = {0};

    HF_TRY(flush(ctx, writer));
    hf_buf_init(&index, VAULT_BLOB_MAX);
    hf_buf_init(&packs, VAULT_BLOB_MAX / 2);
    encode_packs(&packs, &writer->packs);
    codec_wire_put_u8(&index, INDEX_VERSION);
    codec_wire_put_u64(&index, writer->entries);
    codec_wire_put_u64(&index, writer->plain_bytes);
    codec_wire_put_bytes(&index, packs.ptr, packs.len);
    codec_wire_put_u64(&index, writer->blobs);
    codec_wire_put_raw(&index, writer->keys.ptr, writer->keys.len);
    HF_TRY(hf_buf_status(&packs, ctx->arena, "packs of a map table"));
    HF_TRY(hf_buf_status(&index, ctx->arena, "map index"));
    HF_TRY(vault_pack_add(ctx, writer->pack, writer->place.keyring, VAULT_BLOB_BYTES,
                          (struct hf_bytes){index.ptr, index.len}));
    const char *name =
        vault_name_map(ctx->arena, writer->place.prefix, vault_pack_writer_id(writer->pack));
    struct vault_table_ref ref = {.plain_bytes = writer->plain_bytes, .entries = writer->entries};
    HF_TRY(vault_table_put(ctx, &writer->place, writer->pack, name, &ref));
    *ret_ref = ref;
    return hf_success();
}

struct vault_map_reader {
    struct vault_place place;
    struct hf_arena *arena; /* of the opened pack */
    struct vault_pack pack;
    struct vault_map_index index;
    struct vault_blob_reader *blobs;
    struct vault_map_cursor *cursor;
    size_t next_blob;
    uint8_t low[VAULT_ID_LEN];
    uint8_t high[VAULT_ID_LEN];
    bool has_high;
    bool is_done;
};

/* Trailer and blobs of the biggest table, its index: hundreds of readers are open at a time. */
#define READER_ARENA_MAX (8u << 20)

void vault_map_reader_free(struct vault_map_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    vault_blob_reader_free(reader->blobs);
    vault_map_cursor_free(reader->cursor);
    hf_arena_free(reader->arena);
    hf_heap_free(reader);
}

/* Read the index and find the blob to start in: the last whose first key is below low. */
static struct hf_status open_index(struct hf_ctx *ctx, struct vault_map_reader *reader)
{
    struct hf_bytes plain;
    const struct vault_pack *pack = &reader->pack;
    size_t last = pack->blobs_len - 1;

    HF_TRY(vault_blob_read(ctx, reader->place.store, reader->place.keyring, pack, last, false,
                           reader->blobs, &plain));
    plain.ptr = hf_dup(reader->arena, plain.ptr, plain.len);
    HF_TRY(vault_map_index_decode(ctx->arena, plain, &reader->index));
    if (reader->index.blobs != last) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s: its index names %zu blobs, it has %zu",
                       pack->name, reader->index.blobs, last);
    }
    while (reader->next_blob + 1 < last &&
           memcmp(reader->index.first_keys + (reader->next_blob + 1) * VAULT_MAP_KEY_LEN,
                  reader->low, VAULT_ID_LEN) < 0) {
        reader->next_blob++;
    }
    return hf_success();
}

struct hf_status vault_map_reader_new(struct hf_ctx *ctx, const struct vault_place *place,
                                      const struct vault_table_ref *ref, const uint8_t *low,
                                      const uint8_t *high, struct vault_map_reader **ret_reader)
{
    HF_CLEANUP(vault_map_reader_free)
    struct vault_map_reader *reader = hf_heap_alloc(sizeof(*reader));
    struct hf_ctx own = *ctx;

    reader->place = *place;
    reader->arena = hf_arena_new(READER_ARENA_MAX);
    reader->blobs = vault_blob_reader_new();
    reader->cursor = vault_map_cursor_new();
    vault_map_cursor_reset(reader->cursor, (struct hf_bytes){NULL, 0});
    if (low != NULL) {
        memcpy(reader->low, low, VAULT_ID_LEN);
    }
    if (high != NULL) {
        memcpy(reader->high, high, VAULT_ID_LEN);
        reader->has_high = true;
    }
    own.arena = reader->arena;
    const char *name = vault_name_map(own.arena, place->prefix, ref->id);
    struct hf_status status =
        vault_table_open(&own, place, VAULT_PACK_MAP, name, ref, &reader->pack);
    if (hf_is_ok(status)) {
        status = open_index(&own, reader);
    }
    if (!hf_is_ok(status)) {
        return hf_status_copy(ctx->arena, status);
    }
    *ret_reader = HF_TAKE(reader);
    return hf_success();
}

static struct hf_status read_next(struct hf_ctx *ctx, struct vault_map_reader *reader,
                                  const struct vault_map_entry **ret_entry)
{
    struct hf_bytes plain;

    HF_TRY(vault_map_cursor_next(ctx->arena, reader->cursor, ret_entry));
    while (*ret_entry == NULL && reader->next_blob < reader->index.blobs) {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(vault_blob_read(ctx, reader->place.store, reader->place.keyring, &reader->pack,
                               reader->next_blob++, false, reader->blobs, &plain));
        vault_map_cursor_reset(reader->cursor, plain);
        HF_TRY(vault_map_cursor_next(ctx->arena, reader->cursor, ret_entry));
    }
    return hf_success();
}

/* Failures leave the reader's arena and name its table. */
static struct hf_status named(struct hf_ctx *ctx, const struct vault_map_reader *reader,
                              struct hf_status status)
{
    if (hf_is_ok(status)) {
        return status;
    }
    return hf_wrap(ctx->arena, hf_status_copy(ctx->arena, status), "%s",
                   vault_name_map(ctx->arena, reader->place.prefix, reader->pack.header.id));
}

struct hf_status vault_map_reader_next(struct hf_ctx *ctx, struct vault_map_reader *reader,
                                       const struct vault_map_entry **ret_entry)
{
    const struct vault_map_entry *entry = NULL;
    struct hf_ctx own = *ctx;

    own.arena = reader->arena;
    while (!reader->is_done) {
        HF_TRY(named(ctx, reader, read_next(&own, reader, &entry)));
        reader->is_done = entry == NULL ||
                          (reader->has_high && memcmp(entry->key, reader->high, VAULT_ID_LEN) >= 0);
        if (!reader->is_done && memcmp(entry->key, reader->low, VAULT_ID_LEN) >= 0) {
            *ret_entry = entry;
            return hf_success();
        }
    }
    *ret_entry = NULL;
    return hf_success();
}

struct hf_status vault_map_reader_packs(struct hf_ctx *ctx, const struct vault_map_reader *reader,
                                        struct vault_bits *bits)
{
    return vault_map_index_packs(ctx->arena, &reader->index, bits);
}

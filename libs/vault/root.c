/* Roots: one record stream, cut into blobs of a pack of kind ROOT. Decoding is pure and bounded; it
 * is what stands between a foreign byte and everything that a restore does. */
#include "vault/root.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "codec/wire.h"
#include "vault/table_io.h"

#define ROOT_VERSION 1u
#define BLOB_BYTES (256u << 10)
#define FACTS_MAX 4096u
#define KEY_MAX 256u
#define VALUE_MAX (1u << 20)
#define TABLES_MAX (1u << 20)
#define SHARES_MAX (1u << 20) /* each opens a table: bounds what a walk over the map costs */
#define TEXT_MAX 1024u
#define REF_MIN_BYTES (VAULT_ID_LEN + VAULT_HASH_LEN + 3)
#define LEVEL 3
#define ATTEMPTS_MAX 100u

static void put_info(struct hf_buf *buf, const struct vault_point_info *info)
{
    codec_wire_put_text(buf, info->id);
    codec_wire_put_text(buf, info->lineage);
    codec_wire_put_u64(buf, info->timeline);
    codec_wire_put_be64(buf, info->start_lsn);
    codec_wire_put_be64(buf, info->stop_lsn);
    codec_wire_put_i64(buf, info->start_time_us);
    codec_wire_put_i64(buf, info->stop_time_us);
    codec_wire_put_u64(buf, info->source_bytes);
    codec_wire_put_u64(buf, info->changed_bytes);
    codec_wire_put_u64(buf, info->stored_bytes);
    codec_wire_put_u64(buf, info->files);
    codec_wire_put_u64(buf, info->server_version);
}

static void put_refs(struct hf_buf *buf, const struct vault_table_ref *refs, size_t len)
{
    codec_wire_put_u64(buf, len);
    for (size_t i = 0; i < len; i++) {
        codec_wire_put_raw(buf, refs[i].id, VAULT_ID_LEN);
        codec_wire_put_raw(buf, refs[i].sha256, VAULT_HASH_LEN);
        codec_wire_put_u64(buf, refs[i].size_bytes);
        codec_wire_put_u64(buf, refs[i].plain_bytes);
        codec_wire_put_u64(buf, refs[i].entries);
    }
}

static void put_shards(struct hf_buf *buf, const struct vault_map_set *map)
{
    codec_wire_put_u64(buf, map->shards_len);
    for (size_t i = 0; i < map->shards_len; i++) {
        const struct vault_shard *shard = &map->shards[i];
        codec_wire_put_raw(buf, shard->first_key, VAULT_ID_LEN);
        codec_wire_put_u64(buf, shard->shares_len);
        for (size_t k = 0; k < shard->shares_len; k++) {
            codec_wire_put_u64(buf, shard->shares[k].table);
            codec_wire_put_u64(buf, shard->shares[k].bytes);
        }
    }
}

void vault_root_encode(struct hf_buf *buf, const struct vault_root *root)
{
    codec_wire_put_u8(buf, (uint8_t)ROOT_VERSION);
    put_info(buf, &root->info);
    codec_wire_put_text(buf, root->predecessor);
    codec_wire_put_u64(buf, root->facts_len);
    for (size_t i = 0; i < root->facts_len; i++) {
        codec_wire_put_text(buf, root->facts[i].key);
        codec_wire_put_text(buf, root->facts[i].value);
    }
    put_refs(buf, root->map.tables, root->map.tables_len);
    put_shards(buf, &root->map);
    put_refs(buf, root->pack_tables, root->pack_tables_len);
    codec_wire_put_u64(buf, root->next_pack);
    codec_wire_put_u64(buf, root->used_first);
    codec_wire_put_bytes(buf, root->used.ptr, root->used.len);
}

static void get_info(struct codec_wire *wire, struct hf_arena *arena, struct vault_point_info *info)
{
    info->id = codec_wire_get_text(wire, arena, TEXT_MAX);
    info->lineage = codec_wire_get_text(wire, arena, TEXT_MAX);
    info->root = "";
    info->timeline = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
    info->start_lsn = codec_wire_get_be64(wire);
    info->stop_lsn = codec_wire_get_be64(wire);
    info->start_time_us = codec_wire_get_i64(wire);
    info->stop_time_us = codec_wire_get_i64(wire);
    info->source_bytes = codec_wire_get_u64(wire);
    info->changed_bytes = codec_wire_get_u64(wire);
    info->stored_bytes = codec_wire_get_u64(wire);
    info->files = codec_wire_get_u64(wire);
    info->server_version = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
}

/* Zeroed room for count items, or a fault. */
static void *get_room(struct codec_wire *wire, struct hf_arena *arena, size_t count, size_t size)
{
    void *room = hf_try_alloc(arena, (count > 0 ? count : 1) * size);

    if (room == NULL) {
        codec_wire_fault(wire, "larger than a root may be");
        return NULL;
    }
    memset(room, 0, (count > 0 ? count : 1) * size);
    return room;
}

static void get_facts(struct codec_wire *wire, struct hf_arena *arena, struct vault_root *root)
{
    size_t count = codec_wire_get_count(wire, FACTS_MAX, 2);
    struct hf_pair *facts = get_room(wire, arena, count, sizeof(facts[0]));

    for (size_t i = 0; facts != NULL && i < count && wire->fault == NULL; i++) {
        facts[i].key = codec_wire_get_text(wire, arena, KEY_MAX);
        facts[i].value = codec_wire_get_text(wire, arena, VALUE_MAX);
    }
    root->facts = facts;
    root->facts_len = wire->fault == NULL ? count : 0;
}

static int compare_ids(const void *a, const void *b)
{
    return memcmp(a, b, VAULT_ID_LEN);
}

/* An object that is listed twice would be read twice, or a million times. */
static void check_distinct(struct codec_wire *wire, struct hf_arena *arena,
                           const struct vault_table_ref *refs, size_t len)
{
    uint8_t *ids = refs == NULL ? NULL : get_room(wire, arena, len, VAULT_ID_LEN);

    for (size_t i = 0; ids != NULL && i < len; i++) {
        memcpy(ids + i * VAULT_ID_LEN, refs[i].id, VAULT_ID_LEN);
    }
    if (ids != NULL && len > 1) {
        qsort(ids, len, VAULT_ID_LEN, compare_ids);
    }
    for (size_t i = 1; ids != NULL && i < len; i++) {
        if (memcmp(ids + (i - 1) * VAULT_ID_LEN, ids + i * VAULT_ID_LEN, VAULT_ID_LEN) == 0) {
            codec_wire_fault(wire, "a table is listed twice");
        }
    }
}

static struct vault_table_ref *get_refs(struct codec_wire *wire, struct hf_arena *arena,
                                        size_t *ret_len)
{
    size_t count = codec_wire_get_count(wire, TABLES_MAX, REF_MIN_BYTES);
    struct vault_table_ref *refs = get_room(wire, arena, count, sizeof(refs[0]));

    for (size_t i = 0; refs != NULL && i < count && wire->fault == NULL; i++) {
        codec_wire_get_raw(wire, refs[i].id, VAULT_ID_LEN);
        codec_wire_get_raw(wire, refs[i].sha256, VAULT_HASH_LEN);
        refs[i].size_bytes = codec_wire_get_u64(wire);
        refs[i].plain_bytes = codec_wire_get_u64(wire);
        refs[i].entries = codec_wire_get_u64(wire);
    }
    *ret_len = wire->fault == NULL ? count : 0;
    check_distinct(wire, arena, refs, *ret_len);
    return refs;
}

static size_t get_shard(struct codec_wire *wire, struct hf_arena *arena, size_t tables_len,
                        struct vault_shard *shard)
{
    codec_wire_get_raw(wire, shard->first_key, VAULT_ID_LEN);
    size_t count = codec_wire_get_count(wire, VAULT_OVERLAYS_MAX + 1, 2);
    struct vault_share *shares = get_room(wire, arena, count, sizeof(shares[0]));

    for (size_t i = 0; shares != NULL && i < count && wire->fault == NULL; i++) {
        shares[i].table = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
        shares[i].bytes = codec_wire_get_u64(wire);
        if (shares[i].table >= tables_len) {
            codec_wire_fault(wire, "shard of an unknown table");
        }
    }
    shard->shares = shares;
    shard->shares_len = count;
    return count;
}

static void get_shards(struct codec_wire *wire, struct hf_arena *arena, struct vault_map_set *map)
{
    static const uint8_t zero[VAULT_ID_LEN];
    size_t count = codec_wire_get_count(wire, TABLES_MAX, VAULT_ID_LEN + 1);
    struct vault_shard *shards = get_room(wire, arena, count, sizeof(shards[0]));
    size_t shares = 0;

    for (size_t i = 0; shards != NULL && i < count && wire->fault == NULL; i++) {
        shares += get_shard(wire, arena, map->tables_len, &shards[i]);
        int order =
            memcmp(i == 0 ? zero : shards[i - 1].first_key, shards[i].first_key, VAULT_ID_LEN);
        if (i == 0 ? order != 0 : order >= 0) {
            codec_wire_fault(wire, "shards out of order");
        }
        if (shares > SHARES_MAX) {
            codec_wire_fault(wire, "more shares of tables than a map has");
        }
    }
    map->shards = shards;
    map->shards_len = wire->fault == NULL ? count : 0;
}

static void get_used(struct codec_wire *wire, struct hf_arena *arena, struct vault_root *root)
{
    root->used_first = codec_wire_get_max(wire, VAULT_PACK_NUMBER_MAX);
    struct hf_bytes used = codec_wire_get_bytes(wire, VAULT_PACK_NUMBER_MAX / 8 + 1);
    uint8_t *copy = get_room(wire, arena, used.len, 1);

    if (root->used_first % 8 != 0 ||
        root->used_first + (uint64_t)used.len * 8 > VAULT_PACK_NUMBER_MAX + 1) {
        codec_wire_fault(wire, "packs out of bounds");
    }
    if (copy != NULL && wire->fault == NULL && used.len > 0) {
        memcpy(copy, used.ptr, used.len);
    }
    root->used = (struct hf_bytes){copy, wire->fault == NULL ? used.len : 0};
}

struct hf_status vault_root_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                   struct vault_root *ret_root)
{
    struct codec_wire wire = codec_wire_open(bytes.ptr, bytes.len);
    struct vault_root root = {0};
    uint8_t version = codec_wire_get_u8(&wire);

    if (wire.fault == NULL && version > ROOT_VERSION) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NEWER_FORMAT", NULL,
                            "root of format %u, this program reads up to %u", version,
                            ROOT_VERSION);
    }
    if (version != ROOT_VERSION) {
        codec_wire_fault(&wire, "unknown version");
    }
    get_info(&wire, arena, &root.info);
    root.predecessor = codec_wire_get_text(&wire, arena, TEXT_MAX);
    get_facts(&wire, arena, &root);
    root.map.tables = get_refs(&wire, arena, &root.map.tables_len);
    get_shards(&wire, arena, &root.map);
    root.pack_tables = get_refs(&wire, arena, &root.pack_tables_len);
    root.next_pack = codec_wire_get_max(&wire, VAULT_PACK_NUMBER_MAX);
    get_used(&wire, arena, &root);
    HF_TRY(codec_wire_finish(&wire, arena, "root"));
    *ret_root = root;
    return hf_success();
}

const char *vault_root_fact(const struct vault_root *root, const char *key)
{
    for (size_t i = 0; i < root->facts_len; i++) {
        if (strcmp(root->facts[i].key, key) == 0) {
            return root->facts[i].value;
        }
    }
    return NULL;
}

bool vault_root_uses_pack(const struct vault_root *root, uint64_t number)
{
    if (number < root->used_first || (number - root->used_first) / 8 >= root->used.len) {
        return false;
    }
    uint64_t bit = number - root->used_first;
    return (root->used.ptr[bit / 8] >> (bit % 8) & 1) != 0;
}

void vault_root_set_used(struct hf_arena *arena, struct vault_root *root,
                         const struct vault_bits *bits)
{
    uint64_t first = 0;
    uint64_t number = 0;

    root->used_first = 0;
    root->used = (struct hf_bytes){NULL, 0};
    if (!vault_bits_next(bits, 0, &first)) {
        return;
    }
    first -= first % 8;
    size_t len = bits->len * sizeof(bits->words[0]) - (size_t)(first / 8);
    uint8_t *bytes = hf_alloc(arena, len);
    size_t used_len = 0;
    for (uint64_t from = first; vault_bits_next(bits, from, &number); from = number + 1) {
        used_len = (size_t)((number - first) / 8) + 1;
        bytes[used_len - 1] = (uint8_t)(bytes[used_len - 1] | 1u << ((number - first) % 8));
    }
    root->used_first = first;
    root->used = (struct hf_bytes){bytes, used_len};
}

void vault_root_used_bits(const struct vault_root *root, struct vault_bits *bits)
{
    for (size_t i = 0; i < root->used.len * 8; i++) {
        if ((root->used.ptr[i / 8] >> (i % 8) & 1) != 0) {
            vault_bits_set(bits, root->used_first + i);
        }
    }
}

/* Put under roots/<id>, or the next free name: an earlier attempt of the same backup may have died
 * after its root and before its journal entry. */
static struct hf_status put_root(struct hf_ctx *ctx, const struct vault_place *place,
                                 struct vault_root *root, struct hf_bytes bytes)
{
    struct hf_status status = hf_success();

    for (unsigned attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
        root->info.root = vault_name_root(ctx->arena, place->prefix, root->info.id, attempt);
        status = objstore_put(ctx, place->store, root->info.root, bytes);
        if (status.code != HF_ALREADY_EXISTS) {
            return status;
        }
    }
    return status;
}

struct hf_status vault_root_write(struct hf_ctx *ctx, const struct vault_place *place,
                                  struct vault_root *root, uint64_t *ret_size)
{
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *pack = NULL;
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct vault_pack_options options = {.kind = VAULT_PACK_ROOT, .level = LEVEL};
    struct hf_bytes bytes = {NULL, 0};

    hf_buf_init(&buf, VAULT_ROOT_MAX);
    vault_root_encode(&buf, root);
    HF_TRY(hf_buf_status(&buf, ctx->arena, "root"));
    options.capacity_bytes = buf.len + buf.len / 8 + (1u << 20);
    HF_TRY(vault_pack_writer_new(ctx, place->keyring, &options, &pack));
    for (size_t i = 0; i < buf.len; i += BLOB_BYTES) {
        struct hf_bytes part = {buf.ptr + i, buf.len - i < BLOB_BYTES ? buf.len - i : BLOB_BYTES};
        HF_TRY(vault_pack_add(ctx, pack, place->keyring, VAULT_BLOB_BYTES, part));
    }
    vault_pack_finish(pack, &bytes, root->info.root_sha256);
    HF_TRY(put_root(ctx, place, root, bytes));
    *ret_size = bytes.len;
    return hf_success();
}

static struct hf_status read_checked(struct hf_ctx *ctx, const struct vault_place *place,
                                     const char *name, const uint8_t *sha256,
                                     struct hf_bytes *ret_bytes, uint8_t ret_hash[VAULT_HASH_LEN])
{
    uint64_t size = 0;

    HF_TRY(objstore_head(ctx, place->store, name, &size));
    if (size > VAULT_ROOT_MAX + VAULT_ROOT_MAX / 4) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s is larger than a root", name);
    }
    uint8_t *bytes = hf_try_alloc(ctx->arena, (size_t)size + 1);
    if (bytes == NULL) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "%s does not fit into memory", name);
    }
    HF_TRY(objstore_read(ctx, place->store, name, 0, (size_t)size, bytes));
    codec_sha256(bytes, (size_t)size, ret_hash);
    if (sha256 != NULL && !codec_equal(ret_hash, sha256, VAULT_HASH_LEN)) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s is not the object that the journal names",
                       name);
    }
    *ret_bytes = (struct hf_bytes){bytes, (size_t)size};
    return hf_success();
}

static struct hf_status read_plain(struct hf_ctx *ctx, const struct vault_place *place,
                                   const struct vault_pack *pack, struct hf_bytes bytes,
                                   struct hf_buf *buf)
{
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct hf_bytes plain;

    for (size_t i = 0; i < pack->blobs_len; i++) {
        const struct vault_blob_info *blob = &pack->blobs[i];
        HF_CHECK(blob->offset + blob->sealed_len <= bytes.len);
        struct hf_bytes sealed = {bytes.ptr + blob->offset, blob->sealed_len};
        HF_TRY(vault_blob_open(ctx, place->keyring, pack, i, false, sealed, reader, &plain));
        hf_buf_append(buf, plain.ptr, plain.len);
    }
    return hf_buf_status(buf, ctx->arena, pack->name);
}

struct hf_status vault_root_open(struct hf_ctx *ctx, const struct vault_place *place,
                                 const char *name, const uint8_t *sha256,
                                 struct vault_root *ret_root)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct hf_bytes bytes = {NULL, 0};
    struct vault_pack pack;
    struct vault_root root;
    uint8_t hash[VAULT_HASH_LEN];

    HF_TRY(read_checked(ctx, place, name, sha256, &bytes, hash));
    HF_TRY(vault_pack_open_bytes(ctx, place->keyring, name, bytes, &pack));
    if (pack.header.kind != VAULT_PACK_ROOT) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s is not a root", name);
    }
    hf_buf_init(&buf, VAULT_ROOT_MAX);
    HF_TRY(read_plain(ctx, place, &pack, bytes, &buf));
    HF_TRY(hf_wrap(ctx->arena,
                   vault_root_decode(ctx->arena, (struct hf_bytes){buf.ptr, buf.len}, &root), "%s",
                   name));
    root.info.root = hf_strdup(ctx->arena, name);
    memcpy(root.info.root_sha256, hash, VAULT_HASH_LEN);
    *ret_root = root;
    return hf_success();
}

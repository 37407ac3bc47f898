/* Entries and index of map tables as bytes. Runs are coded against their predecessor, so that a
 * file written in one piece takes a few bytes and a changed page about four. */
#include <stddef.h>
#include <string.h>

#include "base/check.h"
#include "codec/wire.h"
#include "vault/map.h"

#define INDEX_VERSION 1
#define RUN_MIN_BYTES 4
#define SEGMENT_LAST (UINT32_MAX / VAULT_SEGMENT_PAGES)

struct vault_map_cursor {
    struct codec_wire wire;
    struct vault_map_entry entry;
    uint8_t last[VAULT_MAP_KEY_LEN];
    struct vault_run *runs; /* heap */
    size_t runs_cap;
    char path[VAULT_PATH_MAX + 1];
    char link[VAULT_PATH_MAX + 1];
};

static bool part_is_sane(const char *part, size_t len)
{
    return len > 0 && !(len == 1 && part[0] == '.') &&
           !(len == 2 && part[0] == '.' && part[1] == '.');
}

bool vault_path_is_sane(const char *path)
{
    size_t start = 0;
    size_t len = strnlen(path, VAULT_PATH_MAX + 1);

    if (len == 0 || len > VAULT_PATH_MAX) {
        return false;
    }
    for (size_t i = 0; i <= len; i++) {
        if (i < len && path[i] != '/') {
            continue;
        }
        if (!part_is_sane(path + start, i - start)) {
            return false;
        }
        start = i + 1;
    }
    return true;
}

static void encode_runs(struct hf_buf *buf, const struct vault_map_entry *entry)
{
    uint32_t page = entry->segment * VAULT_SEGMENT_PAGES;
    uint64_t pack = 0;
    uint64_t ordinal = 0;

    codec_wire_put_u64(buf, entry->runs_len);
    for (size_t i = 0; i < entry->runs_len; i++) {
        const struct vault_run *run = &entry->runs[i];
        HF_CHECK(run->first_page >= page && run->count > 0);
        codec_wire_put_u64(buf, run->first_page - page);
        codec_wire_put_u64(buf, run->count);
        codec_wire_put_i64(buf, (int64_t)run->pack - (int64_t)pack);
        codec_wire_put_i64(buf, (int64_t)run->ordinal - (int64_t)ordinal);
        page = run->first_page + run->count;
        pack = run->pack;
        ordinal = (uint64_t)run->ordinal + run->count;
    }
}

void vault_map_entry_encode(struct hf_buf *buf, const struct vault_map_entry *entry)
{
    enum vault_node node = entry->segment > 0 ? VAULT_NODE_RUNS : entry->attrs.node;

    codec_wire_put_raw(buf, entry->key, VAULT_ID_LEN);
    codec_wire_put_be32(buf, entry->segment);
    codec_wire_put_u8(buf, (uint8_t)node);
    if (node == VAULT_NODE_FILE || node == VAULT_NODE_DIR || node == VAULT_NODE_SYMLINK) {
        codec_wire_put_text(buf, entry->attrs.path);
        codec_wire_put_text(buf, entry->attrs.link);
        codec_wire_put_u64(buf, entry->attrs.mode);
        codec_wire_put_i64(buf, entry->attrs.mtime_us);
        codec_wire_put_u64(buf, entry->attrs.size_bytes);
        codec_wire_put_be32(buf, entry->attrs.crc32c);
    }
    if (node == VAULT_NODE_FILE || node == VAULT_NODE_RUNS) {
        encode_runs(buf, entry);
    }
}

struct vault_map_cursor *vault_map_cursor_new(void)
{
    return hf_heap_alloc(sizeof(struct vault_map_cursor));
}

void vault_map_cursor_free(struct vault_map_cursor *cursor)
{
    if (cursor != NULL) {
        hf_heap_free(cursor->runs);
        hf_heap_free(cursor);
    }
}

void vault_map_cursor_reset(struct vault_map_cursor *cursor, struct hf_bytes bytes)
{
    cursor->wire = codec_wire_open(bytes.ptr, bytes.len);
}

/* Text without NUL inside into a fixed buffer. */
static void decode_text(struct codec_wire *wire, char ret_text[VAULT_PATH_MAX + 1])
{
    struct hf_bytes text = codec_wire_get_bytes(wire, VAULT_PATH_MAX);

    if (text.len > 0 && memchr(text.ptr, 0, text.len) != NULL) {
        codec_wire_fault(wire, "text with a zero byte");
        text.len = 0;
    }
    if (text.len > 0) {
        memcpy(ret_text, text.ptr, text.len);
    }
    ret_text[text.len] = '\0';
}

static void decode_attrs(struct vault_map_cursor *cursor, enum vault_node node)
{
    struct codec_wire *wire = &cursor->wire;
    struct vault_attrs *attrs = &cursor->entry.attrs;

    decode_text(wire, cursor->path);
    decode_text(wire, cursor->link);
    *attrs = (struct vault_attrs){.node = node, .path = cursor->path, .link = cursor->link};
    attrs->mode = (uint32_t)codec_wire_get_max(wire, 07777);
    attrs->mtime_us = codec_wire_get_i64(wire);
    attrs->size_bytes = codec_wire_get_max(wire, node == VAULT_NODE_FILE ? VAULT_FILE_MAX : 0);
    attrs->crc32c = codec_wire_get_be32(wire);
    if (!vault_path_is_sane(cursor->path)) {
        codec_wire_fault(wire, "path that leaves the tree");
    }
    if ((node == VAULT_NODE_SYMLINK) != (cursor->link[0] != '\0')) {
        codec_wire_fault(wire, "link target at the wrong place");
    }
}

/* Next run after page (relative to the segment), pack and ordinal. */
static void decode_run(struct codec_wire *wire, struct vault_run *run, uint64_t *page,
                       uint64_t *pack, uint64_t *ordinal)
{
    uint64_t first = *page + codec_wire_get_max(wire, VAULT_SEGMENT_PAGES - *page);
    uint64_t count = codec_wire_get_max(wire, VAULT_SEGMENT_PAGES - first);
    uint64_t number = *pack + (uint64_t)codec_wire_get_i64(wire);
    uint64_t at = *ordinal + (uint64_t)codec_wire_get_i64(wire);

    if (count == 0 || number == 0 || number > VAULT_PACK_NUMBER_MAX || at > UINT32_MAX - count) {
        codec_wire_fault(wire, "run out of bounds");
        return;
    }
    run->first_page = (uint32_t)first;
    run->count = (uint32_t)count;
    run->pack = number;
    run->ordinal = (uint32_t)at;
    *page = first + count;
    *pack = number;
    *ordinal = at + count;
}

static void decode_runs(struct vault_map_cursor *cursor)
{
    struct codec_wire *wire = &cursor->wire;
    size_t count = codec_wire_get_count(wire, VAULT_SEGMENT_PAGES, RUN_MIN_BYTES);
    uint64_t page = 0;
    uint64_t pack = 0;
    uint64_t ordinal = 0;

    if (count > cursor->runs_cap) {
        cursor->runs_cap = count + count / 2;
        cursor->runs = hf_heap_grow(cursor->runs, cursor->runs_cap * sizeof(cursor->runs[0]));
    }
    for (size_t i = 0; i < count && wire->fault == NULL; i++) {
        decode_run(wire, &cursor->runs[i], &page, &pack, &ordinal);
        cursor->runs[i].first_page += cursor->entry.segment * VAULT_SEGMENT_PAGES;
    }
    cursor->entry.runs = cursor->runs;
    cursor->entry.runs_len = wire->fault == NULL ? count : 0;
}

static void decode_entry(struct vault_map_cursor *cursor)
{
    struct codec_wire *wire = &cursor->wire;
    struct hf_bytes key = codec_wire_get_view(wire, VAULT_MAP_KEY_LEN);
    uint8_t node = codec_wire_get_u8(wire);

    cursor->entry = (struct vault_map_entry){0};
    if (wire->fault != NULL) {
        return;
    }
    if (memcmp(key.ptr, cursor->last, VAULT_MAP_KEY_LEN) < 0) {
        codec_wire_fault(wire, "entries out of order");
        return;
    }
    memcpy(cursor->last, key.ptr, VAULT_MAP_KEY_LEN);
    memcpy(cursor->entry.key, key.ptr, VAULT_ID_LEN);
    struct codec_wire tail = codec_wire_open(key.ptr + VAULT_ID_LEN, 4);
    cursor->entry.segment = codec_wire_get_be32(&tail);
    cursor->entry.attrs.node = (enum vault_node)node;
    if (node > VAULT_NODE_RUNS || cursor->entry.segment > SEGMENT_LAST ||
        (cursor->entry.segment > 0 && node != VAULT_NODE_RUNS)) {
        codec_wire_fault(wire, "unknown entry");
        return;
    }
    if (node == VAULT_NODE_FILE || node == VAULT_NODE_DIR || node == VAULT_NODE_SYMLINK) {
        decode_attrs(cursor, (enum vault_node)node);
    }
    if (node == VAULT_NODE_FILE || node == VAULT_NODE_RUNS) {
        decode_runs(cursor);
    }
}

struct hf_status vault_map_cursor_next(struct hf_arena *arena, struct vault_map_cursor *cursor,
                                       const struct vault_map_entry **ret_entry)
{
    if (cursor->wire.fault == NULL && codec_wire_left(&cursor->wire) == 0) {
        *ret_entry = NULL;
        return hf_success();
    }
    decode_entry(cursor);
    HF_TRY(codec_wire_status(&cursor->wire, arena, "map entry"));
    *ret_entry = &cursor->entry;
    return hf_success();
}

struct hf_status vault_map_index_decode(struct hf_arena *arena, struct hf_bytes bytes,
                                        struct vault_map_index *ret_index)
{
    struct codec_wire wire = codec_wire_open(bytes.ptr, bytes.len);
    struct vault_map_index index = {0};

    if (codec_wire_get_u8(&wire) != INDEX_VERSION) {
        codec_wire_fault(&wire, "unknown version");
    }
    index.entries = codec_wire_get_u64(&wire);
    index.plain_bytes = codec_wire_get_u64(&wire);
    index.packs = codec_wire_get_bytes(&wire, VAULT_BLOB_MAX);
    index.blobs = codec_wire_get_count(&wire, VAULT_BLOB_MAX, VAULT_MAP_KEY_LEN);
    index.first_keys = codec_wire_get_view(&wire, index.blobs * VAULT_MAP_KEY_LEN).ptr;
    HF_TRY(codec_wire_finish(&wire, arena, "map index"));
    for (size_t i = 1; i < index.blobs; i++) {
        const uint8_t *key = index.first_keys + i * VAULT_MAP_KEY_LEN;
        if (memcmp(key - VAULT_MAP_KEY_LEN, key, VAULT_MAP_KEY_LEN) > 0) {
            return hf_fail(arena, HF_DATA_LOSS, "map index: keys out of order");
        }
    }
    *ret_index = index;
    return hf_success();
}

struct hf_status vault_map_index_packs(struct hf_arena *arena, const struct vault_map_index *index,
                                       struct vault_bits *bits)
{
    struct codec_wire wire = codec_wire_open(index->packs.ptr, index->packs.len);
    uint64_t next = 1;

    while (codec_wire_left(&wire) > 0) {
        next += codec_wire_get_max(&wire, VAULT_PACK_NUMBER_MAX - next);
        uint64_t count = codec_wire_get_max(&wire, VAULT_PACK_NUMBER_MAX - next);
        for (uint64_t i = 0; i < count && wire.fault == NULL; i++) {
            vault_bits_set(bits, next + i);
        }
        next += count;
    }
    return codec_wire_finish(&wire, arena, "packs of a map table");
}

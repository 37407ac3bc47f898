/* Encoding and decoding of journal entries. The surprise: a checkpoint is an entry whose body is
 * the whole state; its decoder is the only one that fills a state, all others give one fact. */
#include "vault/journal_codec.h"

#include <string.h>

#include "codec/hash.h"
#include "codec/wire.h"
#include "vault/pack_format.h"

#define BODY_VERSION 1
#define FRAME_CHECKSUM 108 /* unkeyed: tells a flipped format from a newer one */
#define ITEMS_MAX 1000000u /* of a list in a checkpoint; VAULT_ENTRY_MAX bounds them tighter */

static const uint8_t frame_magic[8] = {0x89, 'H', 'F', 'J', 'R', 'N', '\r', '\n'};

struct hf_status vault_frame_decode(struct hf_arena *arena, const char *name, struct hf_bytes bytes,
                                    struct vault_frame *ret_frame)
{
    struct vault_frame frame = {0};
    const uint8_t *at = bytes.ptr;

    if (bytes.len < VAULT_FRAME_LEN + VAULT_SIGNATURE_LEN || bytes.len > VAULT_ENTRY_MAX ||
        memcmp(at, frame_magic, sizeof(frame_magic)) != 0) {
        return vault_damaged(arena, name, 0, "not a journal entry");
    }
    if (vault_get_be32(at + FRAME_CHECKSUM) != codec_crc32c(0, at, FRAME_CHECKSUM)) {
        return vault_damaged(arena, name, FRAME_CHECKSUM, "frame checksum does not match");
    }
    if (vault_get_be16(at + 8) > VAULT_FORMAT) {
        return vault_newer(arena, name, vault_get_be16(at + 8));
    }
    if (vault_get_be16(at + 8) != VAULT_FORMAT || vault_get_be16(at + 10) != 0 ||
        vault_get_be32(at + 12) != bytes.len - VAULT_FRAME_LEN - VAULT_SIGNATURE_LEN ||
        vault_get_be32(at + 104) != 0) {
        return vault_damaged(arena, name, 8, "unknown field or wrong length");
    }
    frame.number = vault_get_be64(at + 16);
    memcpy(frame.previous, at + 24, VAULT_HASH_LEN);
    memcpy(frame.source_tag, at + 56, VAULT_HASH_LEN);
    memcpy(frame.signer, at + 88, VAULT_ID_LEN);
    frame.body =
        (struct hf_bytes){at + VAULT_FRAME_LEN, bytes.len - VAULT_FRAME_LEN - VAULT_SIGNATURE_LEN};
    frame.signed_part = (struct hf_bytes){at, bytes.len - VAULT_SIGNATURE_LEN};
    frame.signature = at + bytes.len - VAULT_SIGNATURE_LEN;
    *ret_frame = frame;
    return hf_success();
}

void vault_frame_encode(const struct vault_frame *frame, struct hf_buf *out)
{
    uint8_t head[VAULT_FRAME_LEN] = {0};

    memcpy(head, frame_magic, sizeof(frame_magic));
    vault_put_be16(head + 8, VAULT_FORMAT);
    vault_put_be32(head + 12, (uint32_t)frame->body.len);
    vault_put_be64(head + 16, frame->number);
    memcpy(head + 24, frame->previous, VAULT_HASH_LEN);
    memcpy(head + 56, frame->source_tag, VAULT_HASH_LEN);
    memcpy(head + 88, frame->signer, VAULT_ID_LEN);
    vault_put_be32(head + FRAME_CHECKSUM, codec_crc32c(0, head, FRAME_CHECKSUM));
    hf_buf_append(out, head, sizeof(head));
    hf_buf_append(out, frame->body.ptr, frame->body.len);
}

/* --- the facts, each once for writing and once for reading --------------------------------- */

static void put_source(struct hf_buf *out, const struct vault_source_info *source)
{
    codec_wire_put_text(out, source->name);
    codec_wire_put_text(out, source->system_identifier);
    codec_wire_put_u64(out, source->server_version);
    codec_wire_put_u64(out, source->wal_segment_bytes);
}

static void get_source(struct codec_wire *wire, struct hf_arena *arena,
                       struct vault_source_info *source)
{
    source->name = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    source->system_identifier = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    source->server_version = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
    source->wal_segment_bytes = codec_wire_get_u64(wire);
}

static void put_lineage(struct hf_buf *out, const struct vault_lineage_info *lineage)
{
    codec_wire_put_text(out, lineage->lineage);
    codec_wire_put_text(out, lineage->system_identifier);
    codec_wire_put_u64(out, lineage->timeline);
    codec_wire_put_u64(out, lineage->start_lsn);
}

static void get_lineage(struct codec_wire *wire, struct hf_arena *arena,
                        struct vault_lineage_info *lineage)
{
    lineage->lineage = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    lineage->system_identifier = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    lineage->timeline = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
    lineage->start_lsn = codec_wire_get_u64(wire);
}

static void put_point(struct hf_buf *out, const struct vault_point_info *point)
{
    codec_wire_put_text(out, point->id);
    codec_wire_put_text(out, point->lineage);
    codec_wire_put_text(out, point->root);
    codec_wire_put_raw(out, point->root_sha256, VAULT_HASH_LEN);
    codec_wire_put_u64(out, point->timeline);
    codec_wire_put_u64(out, point->start_lsn);
    codec_wire_put_u64(out, point->stop_lsn);
    codec_wire_put_i64(out, point->start_time_us);
    codec_wire_put_i64(out, point->stop_time_us);
    codec_wire_put_u64(out, point->source_bytes);
    codec_wire_put_u64(out, point->changed_bytes);
    codec_wire_put_u64(out, point->stored_bytes);
    codec_wire_put_u64(out, point->files);
    codec_wire_put_u64(out, point->server_version);
}

static void get_point(struct codec_wire *wire, struct hf_arena *arena,
                      struct vault_point_info *point)
{
    point->id = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    point->lineage = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    point->root = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    codec_wire_get_raw(wire, point->root_sha256, VAULT_HASH_LEN);
    point->timeline = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
    point->start_lsn = codec_wire_get_u64(wire);
    point->stop_lsn = codec_wire_get_u64(wire);
    point->start_time_us = codec_wire_get_i64(wire);
    point->stop_time_us = codec_wire_get_i64(wire);
    point->source_bytes = codec_wire_get_u64(wire);
    point->changed_bytes = codec_wire_get_u64(wire);
    point->stored_bytes = codec_wire_get_u64(wire);
    point->files = codec_wire_get_u64(wire);
    point->server_version = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
}

static void put_wal(struct hf_buf *out, const struct vault_wal_info *wal)
{
    codec_wire_put_text(out, wal->lineage);
    codec_wire_put_u64(out, wal->timeline);
    codec_wire_put_u64(out, wal->durable_lsn);
    codec_wire_put_i64(out, wal->durable_time_us);
}

static void get_wal(struct codec_wire *wire, struct hf_arena *arena, struct vault_wal_info *wal)
{
    wal->lineage = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    wal->timeline = (uint32_t)codec_wire_get_max(wire, UINT32_MAX);
    wal->durable_lsn = codec_wire_get_u64(wire);
    wal->durable_time_us = codec_wire_get_i64(wire);
}

/* --- checkpoints --------------------------------------------------------------------------- */

static void put_state(struct hf_buf *out, const struct vault_source_state *state)
{
    put_source(out, &state->source);
    codec_wire_put_u64(out, state->lineages_len);
    for (size_t i = 0; i < state->lineages_len; i++) {
        put_lineage(out, &state->lineages[i]);
    }
    codec_wire_put_u64(out, state->points_len);
    for (size_t i = 0; i < state->points_len; i++) {
        codec_wire_put_u64(out, state->point_entries[i]);
        put_point(out, &state->points[i]);
    }
    codec_wire_put_u64(out, state->wal_len);
    for (size_t i = 0; i < state->wal_len; i++) {
        put_wal(out, &state->wal[i]);
    }
    codec_wire_put_u64(out, state->attempts_len);
    for (size_t i = 0; i < state->attempts_len; i++) {
        codec_wire_put_text(out, state->attempts[i].id);
        codec_wire_put_u8(out, (uint8_t)state->attempts[i].kind);
        codec_wire_put_u64(out, state->attempts[i].number);
        codec_wire_put_be64(out, state->attempts[i].subject);
    }
}

/* A zeroed array for a list; a fault and NULL when the arena has no room for it. Its room is a
 * power of two: that is what appending to a state relies on. */
static void *get_list(struct codec_wire *wire, struct hf_arena *arena, size_t item_wire_bytes,
                      size_t item_bytes, size_t *ret_len)
{
    size_t len = codec_wire_get_count(wire, ITEMS_MAX, item_wire_bytes);
    size_t bytes = vault_list_room(len) * item_bytes;
    void *items = hf_try_alloc(arena, bytes);

    if (items == NULL) {
        codec_wire_fault(wire, "no room for a list");
        *ret_len = 0;
        return NULL;
    }
    memset(items, 0, bytes);
    *ret_len = len;
    return items;
}

static void get_attempt(struct codec_wire *wire, struct hf_arena *arena,
                        struct vault_attempt *attempt)
{
    uint8_t kind;

    attempt->id = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
    kind = codec_wire_get_u8(wire);
    attempt->number = codec_wire_get_u64(wire);
    attempt->subject = codec_wire_get_be64(wire);
    if (kind < VAULT_ENTRY_SOURCE || kind > VAULT_ENTRY_CHECKPOINT) {
        codec_wire_fault(wire, "unknown kind of entry");
        return;
    }
    attempt->kind = (enum vault_entry_kind)kind;
}

static void get_state(struct codec_wire *wire, struct hf_arena *arena,
                      struct vault_source_state *state)
{
    get_source(wire, arena, &state->source);
    state->lineages = get_list(wire, arena, 4, sizeof(state->lineages[0]), &state->lineages_len);
    for (size_t i = 0; i < state->lineages_len; i++) {
        get_lineage(wire, arena, &state->lineages[i]);
    }
    state->points = get_list(wire, arena, 45, sizeof(state->points[0]), &state->points_len);
    state->point_entries =
        hf_try_alloc(arena, vault_list_room(state->points_len) * sizeof(state->point_entries[0]));
    if (state->point_entries == NULL) {
        codec_wire_fault(wire, "no room for a list");
        return;
    }
    for (size_t i = 0; i < state->points_len; i++) {
        state->point_entries[i] = codec_wire_get_u64(wire);
        get_point(wire, arena, &state->points[i]);
    }
    state->wal = get_list(wire, arena, 4, sizeof(state->wal[0]), &state->wal_len);
    for (size_t i = 0; i < state->wal_len; i++) {
        get_wal(wire, arena, &state->wal[i]);
    }
    state->attempts = get_list(wire, arena, 11, sizeof(state->attempts[0]), &state->attempts_len);
    for (size_t i = 0; i < state->attempts_len; i++) {
        get_attempt(wire, arena, &state->attempts[i]);
    }
    if (state->attempts_len > VAULT_ATTEMPTS_KEPT) {
        codec_wire_fault(wire, "too many attempts");
    }
}

/* --- bodies -------------------------------------------------------------------------------- */

void vault_body_encode(const struct vault_entry *entry, const struct vault_source_state *state,
                       struct hf_buf *out)
{
    codec_wire_put_u8(out, BODY_VERSION);
    codec_wire_put_u8(out, (uint8_t)entry->kind);
    codec_wire_put_u64(out, entry->number);
    codec_wire_put_i64(out, entry->time_us);
    codec_wire_put_text(out, entry->attempt_id);
    codec_wire_put_u64(out, entry->fence_epoch);
    codec_wire_put_u64(out, entry->fence);
    switch (entry->kind) {
    case VAULT_ENTRY_SOURCE:
        put_source(out, &entry->u.source);
        break;
    case VAULT_ENTRY_BACKUP:
        put_point(out, &entry->u.backup);
        break;
    case VAULT_ENTRY_DELETE:
        codec_wire_put_text(out, entry->u.deleted_id);
        break;
    case VAULT_ENTRY_WAL:
        put_wal(out, &entry->u.wal);
        break;
    case VAULT_ENTRY_LINEAGE:
        put_lineage(out, &entry->u.lineage);
        break;
    case VAULT_ENTRY_CHECKPOINT:
        put_state(out, state);
        break;
    }
}

static void get_fact(struct codec_wire *wire, struct hf_arena *arena, uint8_t kind,
                     struct vault_entry *entry, struct vault_source_state *state)
{
    switch (kind) {
    case VAULT_ENTRY_SOURCE:
        get_source(wire, arena, &entry->u.source);
        break;
    case VAULT_ENTRY_BACKUP:
        get_point(wire, arena, &entry->u.backup);
        break;
    case VAULT_ENTRY_DELETE:
        entry->u.deleted_id = codec_wire_get_text(wire, arena, VAULT_TEXT_MAX);
        break;
    case VAULT_ENTRY_WAL:
        get_wal(wire, arena, &entry->u.wal);
        break;
    case VAULT_ENTRY_LINEAGE:
        get_lineage(wire, arena, &entry->u.lineage);
        break;
    case VAULT_ENTRY_CHECKPOINT:
        get_state(wire, arena, state);
        break;
    default:
        codec_wire_fault(wire, "unknown kind of entry");
        return;
    }
    entry->kind = (enum vault_entry_kind)kind;
}

struct hf_status vault_body_decode(struct hf_arena *arena, const char *name, struct hf_bytes body,
                                   struct vault_entry *ret_entry,
                                   struct vault_source_state *ret_state)
{
    struct codec_wire wire = codec_wire_open(body.ptr, body.len);
    struct vault_source_state state = {.head = 0};
    struct vault_entry entry = {.number = 0};
    uint8_t version = codec_wire_get_u8(&wire);
    uint8_t kind = codec_wire_get_u8(&wire);

    if (wire.fault == NULL && version > BODY_VERSION) {
        return vault_newer(arena, name, version);
    }
    if (version != BODY_VERSION) {
        codec_wire_fault(&wire, "unknown version of a body");
    }
    entry.number = codec_wire_get_u64(&wire);
    entry.time_us = codec_wire_get_i64(&wire);
    entry.attempt_id = codec_wire_get_text(&wire, arena, VAULT_TEXT_MAX);
    entry.fence_epoch = codec_wire_get_u64(&wire);
    entry.fence = codec_wire_get_u64(&wire);
    get_fact(&wire, arena, kind, &entry, &state);
    HF_TRY(codec_wire_finish(&wire, arena, name));
    if (kind == VAULT_ENTRY_CHECKPOINT && ret_state != NULL) {
        *ret_state = state;
    }
    *ret_entry = entry;
    return hf_success();
}

uint64_t vault_entry_subject(const struct vault_entry *entry)
{
    struct hf_buf key = {0};
    uint8_t hash[CODEC_SHA256_LEN];

    hf_buf_init(&key, 16 * VAULT_TEXT_MAX);
    switch (entry->kind) {
    case VAULT_ENTRY_SOURCE:
        codec_wire_put_text(&key, entry->u.source.name);
        break;
    case VAULT_ENTRY_BACKUP:
        codec_wire_put_text(&key, entry->u.backup.id);
        break;
    case VAULT_ENTRY_DELETE:
        codec_wire_put_text(&key, entry->u.deleted_id);
        break;
    case VAULT_ENTRY_WAL:
        put_wal(&key, &entry->u.wal);
        break;
    case VAULT_ENTRY_LINEAGE:
        codec_wire_put_text(&key, entry->u.lineage.lineage);
        break;
    case VAULT_ENTRY_CHECKPOINT:
        codec_wire_put_u64(&key, entry->number);
        break;
    }
    codec_sha256(key.ptr, key.len, hash);
    hf_buf_done(&key);
    return vault_get_be64(hash);
}

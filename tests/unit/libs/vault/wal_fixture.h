/* WAL for tests: bytes that follow from their LSN, so that any range can be judged alone. */
#ifndef TESTS_WAL_FIXTURE_H
#define TESTS_WAL_FIXTURE_H

#include "base/buf.h"
#include "base/clock.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/wal_check.h"
#include "vault/wal_compact.h"
#include "vault/wal_index.h"
#include "vault/wal_reader.h"
#include "vault/wal_writer.h"

#define MIB (UINT64_C(1) << 20)
#define WAL_START (UINT64_C(3) << 30)

static const struct vault_wal_place wal_place = {
    .prefix = FIXTURE_SOURCE, .lineage = "l1", .segment_bytes = MIB};

/* Half random, half zeros: compresses about 2:1. */
static inline uint8_t wal_byte(uint64_t lsn)
{
    uint64_t x = (lsn >> 3) * UINT64_C(0x9e3779b97f4a7c15);

    return (uint8_t)((lsn & 64) != 0 ? 0 : x >> (8 * (lsn & 7)));
}

static inline struct hf_bytes wal_make(struct fixture *f, uint64_t lsn, size_t len)
{
    uint8_t *bytes = hf_alloc(f->ctx.arena, len + 1);

    for (size_t i = 0; i < len; i++) {
        bytes[i] = wal_byte(lsn + i);
    }
    return (struct hf_bytes){bytes, len};
}

static inline struct vault_wal_writer *wal_open(struct fixture *f, uint32_t timeline)
{
    struct vault_wal_writer_options options = {
        .place = wal_place, .timeline = timeline, .start_lsn = WAL_START};
    struct vault_wal_writer *writer = NULL;

    assert_ok(vault_wal_writer_open(&f->ctx, f->store, f->keyring, &options, &writer));
    return writer;
}

/* Append len bytes at the position and flush. */
static inline void wal_grow(struct fixture *f, struct vault_wal_writer *writer, size_t len)
{
    uint64_t lsn = vault_wal_writer_position(writer);
    uint64_t durable = 0;

    assert_ok(vault_wal_writer_append(&f->ctx, writer, lsn, wal_make(f, lsn, len)));
    assert_ok(vault_wal_writer_flush(&f->ctx, writer, &durable));
    assert_int_equal(durable, lsn + len);
}

/* All of [from, to) reads back. */
static inline void wal_expect(struct fixture *f, uint32_t timeline, uint64_t from, uint64_t to)
{
    struct vault_wal_reader *reader = vault_wal_reader_new(f->store, f->keyring, &wal_place);
    size_t len = (size_t)(to - from);
    uint8_t *bytes = hf_heap_alloc(len + 1);

    assert_ok(vault_wal_read(&f->ctx, reader, timeline, from, len, bytes));
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != wal_byte(from + i)) {
            fail_msg("WAL differs at %s", vault_wal_lsn_text(f->ctx.arena, from + i));
        }
    }
    hf_heap_free(bytes);
    vault_wal_reader_free(reader);
}

static inline struct vault_wal_index wal_index(struct fixture *f, uint32_t timeline)
{
    struct vault_wal_index index = {0};

    assert_ok(vault_wal_index_load(&f->ctx, f->store, f->keyring, &wal_place, timeline, &index));
    return index;
}

/* Objects of the lineage, in byte order. */
static inline struct objstore_page wal_objects(struct fixture *f)
{
    struct objstore_page page = {0};

    assert_ok(objstore_list_all(&f->ctx, f->store, FIXTURE_SOURCE "/wal/", 100000, &page));
    return page;
}

/* Name of the one growing slice, or NULL. */
static inline const char *wal_growing(struct fixture *f)
{
    struct objstore_page page = wal_objects(f);
    const char *found = NULL;

    for (size_t i = 0; i < page.len; i++) {
        if (strstr(page.entries[i].name, "-open-") != NULL) {
            assert_null(found);
            found = page.entries[i].name;
        }
    }
    return found;
}

#endif

/* Somebody who can write to the bucket but has no key: floods of names, impossible lengths with
 * right checksums, objects under others' names. Refused within bounds, never believed. */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "codec/hash.h"
#include "tests/unit/libs/vault/wal_fixture.h"
#include "vault/journal_codec.h"
#include "vault/pack_format.h"
#include "vault/slot.h"
#include "vault/wal_slice.h"

/* --- a store with as many empty objects as are wanted ------------------------------------------
 */

struct flood {
    struct objstore store;
    const char *format; /* of a name: one PRIx64 */
    uint64_t count;
};

static struct flood *flood_of(struct objstore *store)
{
    return (struct flood *)(void *)store;
}

static const char *flood_name(struct hf_arena *arena, const struct flood *flood, uint64_t i)
{
    static const char mark[] = "{}";
    const char *at = strstr(flood->format, mark);

    return hf_printf(arena, "%.*s%08" PRIx64 "%s", (int)(at - flood->format), flood->format, i + 1,
                     at + sizeof(mark) - 1);
}

/* NOLINTNEXTLINE(readability-function-size): the signature is objstore_ops.list */
static struct hf_status flood_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                   const char *after, size_t max, struct objstore_page *ret_page)
{
    const struct flood *flood = flood_of(store);
    uint64_t low = 0;
    uint64_t high = flood->count;

    while (after != NULL && low < high) { /* the first name behind after */
        uint64_t mid = low + (high - low) / 2;

        if (strcmp(flood_name(ctx->arena, flood, mid), after) > 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    *ret_page = (struct objstore_page){.entries = HF_NEW_N(ctx->arena, struct objstore_entry, max)};
    for (; low < flood->count && ret_page->len < max; low++) {
        const char *name = flood_name(ctx->arena, flood, low);

        if (hf_has_prefix(name, prefix)) {
            ret_page->entries[ret_page->len++] = (struct objstore_entry){name, 0};
        }
    }
    ret_page->is_complete = low == flood->count;
    return hf_success();
}

static struct hf_status flood_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                   uint64_t *ret_size)
{
    (void)ctx;
    (void)store;
    (void)name;
    *ret_size = 0;
    return hf_success();
}

static const struct objstore_ops flood_ops = {
    .kind = "flood", .head = flood_head, .list = flood_list};

static struct flood flood_make(const char *format, uint64_t count)
{
    return (struct flood){{&flood_ops}, format, count};
}

static void test_hostile__a_flood_of_growing_slices(void **state)
{
    struct fixture *f = *state;
    struct flood flood = flood_make(
        FIXTURE_SOURCE "/wal/l1/00000001/0000000000000c00/00000000c0000000-open-{}", 300000);
    struct vault_wal_reader *reader = vault_wal_reader_new(&flood.store, f->keyring, &wal_place);
    uint8_t byte;

    assert_code(vault_wal_read(&f->ctx, reader, 1, WAL_START, 1, &byte), HF_RESOURCE_EXHAUSTED);
    vault_wal_reader_free(reader);
}

static void test_hostile__a_flood_of_histories(void **state)
{
    struct fixture *f = *state;
    struct flood flood = flood_make(FIXTURE_SOURCE "/wal/l1/history/{}", 200000);
    struct vault_wal_index index;
    struct hf_ctx ctx = f->ctx;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(2 << 20);

    ctx.arena = arena;
    assert_code(vault_wal_index_load(&ctx, &flood.store, f->keyring, &wal_place, 0, &index),
                HF_RESOURCE_EXHAUSTED);
}

static void test_hostile__a_flood_of_sources(void **state)
{
    struct fixture *f = *state;
    struct flood flood = flood_make("tenants/acme/sources/{}/x", 150000);
    const char **prefixes = NULL;
    size_t len = 0;

    assert_code(vault_sources_list(&f->ctx, &flood.store, "acme", &prefixes, &len),
                HF_RESOURCE_EXHAUSTED);
}

/* --- lengths with a right checksum --------------------------------------------------------------
 */

/* Lengths of a key slot that add up to a slot of less than nothing. */
static void test_hostile__slot_lengths(void **state)
{
    static const struct {
        uint32_t sealed;
        uint16_t escrow;
        size_t len;
    } cases[] = {{0, 1, 136},          {1, 1, 138},  {15, 1, 166},         {16, 0, 104},
                 {0xffffffff, 0, 104}, {16, 2, 168}, {0xfffffff0, 1, 136}, {16000, 0, 104}};
    struct fixture *f = *state;
    const struct vault_slot_place place = {"acme", 1, "slot"};
    const uint8_t kit[VAULT_KEY_LEN] = {64};

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf slot = {0};
        const struct vault_secrets secrets = {.versions = 1};
        const struct vault_slot_seal seal = {.kek = f->kek};
        struct vault_secrets opened;
        uint8_t bytes[512] = {0};

        hf_buf_init(&slot, VAULT_SLOT_MAX);
        vault_slot_encode(&place, &seal, &secrets, &slot);
        memcpy(bytes, slot.ptr, cases[i].len);
        vault_put_be16(bytes + 10, cases[i].escrow);
        vault_put_be32(bytes + 48, cases[i].sealed);
        codec_sha256(bytes, cases[i].len - 32, bytes + cases[i].len - 32);
        const struct hf_bytes view = {bytes, cases[i].len};

        assert_code(vault_slot_open(f->ctx.arena, &place, view, f->kek, &opened), HF_DATA_LOSS);
        struct hf_status status = vault_slot_open_escrow(f->ctx.arena, &place, view, kit, &opened);

        assert_false(hf_is_ok(status));
    }
}

/* A footer may claim any trailer; only one that fits the object is read, into bounded memory. */
static void test_hostile__footer_lengths(void **state)
{
    static const uint32_t claims[] = {0, 1, 23, 24, 300, 301, 0x02000010, 0x02000011, 0xffffffff};
    struct fixture *f = *state;
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *writer = NULL;
    const struct vault_pack_options options = {.kind = VAULT_PACK_ROOT, .capacity_bytes = 1 << 16};
    struct hf_bytes bytes = {NULL, 0};
    uint8_t hash[VAULT_HASH_LEN];

    assert_ok(vault_pack_writer_new(&f->ctx, f->keyring, &options, &writer));
    assert_ok(vault_pack_add(&f->ctx, writer, f->keyring, VAULT_BLOB_BYTES,
                             (struct hf_bytes){(const uint8_t *)"some bytes", 10}));
    vault_pack_finish(writer, &bytes, hash);
    for (size_t i = 0; i < HF_LEN(claims); i++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *small = hf_arena_new(1 << 16);
        uint8_t *copy = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);
        struct hf_ctx ctx = f->ctx;
        struct vault_pack pack;

        ctx.arena = small;
        vault_put_be32(copy + bytes.len - VAULT_FOOTER_LEN, claims[i]);
        assert_code(
            vault_pack_open_bytes(&ctx, f->keyring, "p", (struct hf_bytes){copy, bytes.len}, &pack),
            HF_DATA_LOSS);
    }
}

/* Headers of records that no trailer lists are bounded before their bytes are read. */
static void test_hostile__record_lengths(void **state)
{
    static const uint32_t sealed[] = {0, 43, 59, 0xffffffff, (4 << 20) + 61};
    struct vault_blob_info info;
    uint8_t head[VAULT_RECORD_HEADER_LEN] = {0};

    (void)state;
    for (size_t i = 0; i < HF_LEN(sealed); i++) {
        for (unsigned codec = 0; codec < 3; codec++) {
            vault_put_be32(head, sealed[i]);
            head[6] = VAULT_BLOB_WAL;
            head[7] = (uint8_t)codec;
            vault_put_be32(head + 8, sealed[i] - 60);
            assert_false(vault_record_decode(head, &info));
        }
    }
}

/* --- other places -------------------------------------------------------------------------------
 */

static void put_wal(struct fixture *f, const struct vault_wal_place *place, uint32_t timeline)
{
    assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, place, timeline, WAL_START,
                             wal_make(f, WAL_START, 1000)));
}

static struct hf_status read_wal(struct fixture *f, uint32_t timeline)
{
    struct vault_wal_reader *reader = vault_wal_reader_new(f->store, f->keyring, &wal_place);
    uint8_t bytes[1000];
    struct hf_status status =
        vault_wal_read(&f->ctx, reader, timeline, WAL_START, sizeof(bytes), bytes);

    vault_wal_reader_free(reader);
    return status;
}

/* The WAL of the branch that died, at the LSNs of the one that lives; of another lineage; of
 * another source of the realm. */
static void test_hostile__wal_of_another_place(void **state)
{
    static const struct {
        struct vault_wal_place place;
        uint32_t timeline;
        const char *folder;
    } others[] = {
        {{FIXTURE_SOURCE, "l1", MIB}, 1, FIXTURE_SOURCE "/wal/l1/00000001"},
        {{FIXTURE_SOURCE, "l2", MIB}, 2, FIXTURE_SOURCE "/wal/l2/00000002"},
        {{"tenants/acme/sources/b", "l1", MIB}, 2, "tenants/acme/sources/b/wal/l1/00000002"},
    };
    static const char slice[] = "/0000000000000c00/00000000c0000000-00000000c00003e8";
    struct fixture *f = *state;
    const char *ours = FIXTURE_SOURCE "/wal/l1/00000002";

    put_wal(f, &wal_place, 2);
    assert_ok(read_wal(f, 2));
    for (size_t i = 0; i < HF_LEN(others); i++) {
        put_wal(f, &others[i].place, others[i].timeline);
        fixture_replace(
            f, hf_printf(f->ctx.arena, "%s%s", ours, slice),
            fixture_object(f, hf_printf(f->ctx.arena, "%s%s", others[i].folder, slice)));
        assert_code(read_wal(f, 2), HF_DATA_LOSS);
    }
}

static void test_hostile__history_of_another_timeline(void **state)
{
    struct fixture *f = *state;
    const struct hf_bytes text = {(const uint8_t *)"1\t0/3000000\tx\n", 14};
    HF_CLEANUP(hf_buf_done) struct hf_buf read = {0};

    hf_buf_init(&read, 1000);
    assert_ok(vault_wal_history_put(&f->ctx, f->store, f->keyring, &wal_place, 2, text));
    assert_ok(vault_wal_history_put(&f->ctx, f->store, f->keyring, &wal_place, 3, text));
    fixture_replace(f, FIXTURE_SOURCE "/wal/l1/history/00000003",
                    fixture_object(f, FIXTURE_SOURCE "/wal/l1/history/00000002"));
    assert_ok(vault_wal_history_get(&f->ctx, f->store, f->keyring, &wal_place, 2, &read));
    assert_code(vault_wal_history_get(&f->ctx, f->store, f->keyring, &wal_place, 3, &read),
                HF_DATA_LOSS);
}

/* A growing slice renamed to the end of all LSNs must not wrap around. */
static void test_hostile__growing_slice_at_the_last_lsn(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_wal_writer_free) struct vault_wal_writer *writer = wal_open(f, 1);
    const char *far =
        FIXTURE_SOURCE "/wal/l1/00000001/00000fffffffffff/fffffffffffffff0-open-00000001";

    wal_grow(f, writer, 1000);
    assert_ok(objstore_put(&f->ctx, f->store, far, fixture_object(f, wal_growing(f))));
    struct vault_wal_index index = wal_index(f, 1);

    assert_int_equal(index.ranges_len, 1);
    assert_int_equal(index.ranges[0].to, WAL_START + 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_hostile__a_flood_of_growing_slices),
        fixture_test(test_hostile__a_flood_of_histories),
        fixture_test(test_hostile__a_flood_of_sources),
        fixture_test(test_hostile__slot_lengths),
        fixture_test(test_hostile__footer_lengths),
        fixture_test(test_hostile__record_lengths),
        fixture_test(test_hostile__wal_of_another_place),
        fixture_test(test_hostile__history_of_another_timeline),
        fixture_test(test_hostile__growing_slice_at_the_last_lsn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

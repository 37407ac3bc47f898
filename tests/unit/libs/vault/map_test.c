/* Map tables, merging, shards, tables of packs and roots as data structures, against plain models.
 */
#include "base/check.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/mapset.h"
#include "vault/packtable.h"
#include "vault/root.h"

#define FILES 4000u

static struct vault_place place_of(struct fixture *f)
{
    return (struct vault_place){f->store, f->keyring, FIXTURE_SOURCE};
}

static void key_of(uint32_t number, uint8_t ret_key[VAULT_ID_LEN])
{
    memset(ret_key, 0, VAULT_ID_LEN);
    uint32_t mixed = number * UINT32_C(2654435761);
    memcpy(ret_key, &mixed, sizeof(mixed));
    memcpy(ret_key + 4, &number, sizeof(number));
}

static void ignore_written(void *arg, const struct vault_table_ref *ref)
{
    (void)ref;
    ++*(size_t *)arg;
}

static struct hf_status add_file(struct fixture *f, struct vault_map_builder *builder,
                                 uint32_t number, const struct vault_run *runs, size_t runs_len,
                                 uint64_t pages)
{
    struct vault_map_entry entry = {
        .attrs = {.node = VAULT_NODE_FILE,
                  .path = hf_printf(f->ctx.arena, "f/%u", number),
                  .link = "",
                  .mode = 0600,
                  .size_bytes = pages * VAULT_PAGE},
        .runs = runs,
        .runs_len = runs_len,
    };

    key_of(number, entry.key);
    return vault_map_builder_add(&f->ctx, builder, &entry);
}

static void grow(struct fixture *f, const struct vault_map_set *old,
                 struct vault_map_builder *builder, struct vault_map_set *ret_set,
                 struct vault_bits *used)
{
    struct vault_place place = place_of(f);
    size_t written = 0;
    struct vault_map_grow in = {
        .place = &place, .old = old, .wrote = ignore_written, .arg = &written};

    assert_ok(vault_map_builder_finish(&f->ctx, builder, &in.overlays, &in.overlays_len));
    assert_ok(vault_map_grow(&f->ctx, &in, ret_set, used));
}

static size_t count_files(struct fixture *f, const struct vault_map_set *set, uint64_t *ret_pages)
{
    HF_CLEANUP(vault_map_iter_free) struct vault_map_iter *iter = NULL;
    struct vault_place place = place_of(f);
    const struct vault_map_entry *entry = NULL;
    uint8_t last[VAULT_ID_LEN] = {0};
    size_t files = 0;

    *ret_pages = 0;
    assert_ok(vault_map_iter_new(&f->ctx, &place, set, 0, set->shards_len, &iter));
    for (;;) {
        assert_ok(vault_map_iter_next(&f->ctx, iter, &entry));
        if (entry == NULL) {
            return files;
        }
        assert_true(memcmp(last, entry->key, VAULT_ID_LEN) <= 0);
        memcpy(last, entry->key, VAULT_ID_LEN);
        files += entry->segment == 0;
        for (size_t i = 0; i < entry->runs_len; i++) {
            *ret_pages += entry->runs[i].count;
        }
    }
}

/* A first backup with more map than one shard should hold is cut, and later overlays find their
 * shards. Small builder: many overlays at once. */
static void test_mapset__cuts_a_large_map_into_shards(void **state)
{
    struct fixture *f = *state;
    struct vault_place place = place_of(f);
    struct vault_map_set none = {0};
    struct vault_map_set set;
    struct vault_map_set next;
    HF_CLEANUP(vault_bits_done) struct vault_bits used = {0};
    HF_CLEANUP(vault_bits_done) struct vault_bits used_next = {0};
    struct vault_run runs[300];
    uint64_t pages = 0;

    struct vault_map_builder *builder = vault_map_builder_new(&place, &none, 1u << 20);
    for (uint32_t i = 0; i < FILES; i++) {
        for (uint32_t k = 0; k < HF_LEN(runs); k++) {
            runs[k] = (struct vault_run){.pack = 1 + (i * 7 + k * 13) % 900,
                                         .ordinal = (i * 31 + k * 977) % 60000,
                                         .first_page = k * 2,
                                         .count = 2};
        }
        assert_ok(add_file(f, builder, i, runs, HF_LEN(runs), 600));
    }
    grow(f, &none, builder, &set, &used);
    vault_map_builder_free(builder);
    assert_true(set.shards_len >= 2);
    assert_int_equal(vault_bits_count(&used), 900);
    assert_int_equal(count_files(f, &set, &pages), FILES);
    assert_int_equal(pages, FILES * 600u);

    builder = vault_map_builder_new(&place, &set, 1u << 20);
    assert_ok(add_file(f, builder, 5, &(struct vault_run){1000, 0, 0, 600}, 1, 600));
    assert_ok(add_file(f, builder, 6, NULL, 0, 100)); /* cut to 100 pages */
    grow(f, &set, builder, &next, &used_next);
    vault_map_builder_free(builder);
    assert_int_equal(count_files(f, &next, &pages), FILES);
    assert_int_equal(pages, FILES * 600u - 500u);
    assert_true(vault_bits_test(&used_next, 1000));
}

/* Files of several segments: runs in each, shrinking to one, growing back. */
static void test_map__keeps_segments_of_a_large_file(void **state)
{
    struct fixture *f = *state;
    struct vault_place place = place_of(f);
    struct vault_map_set set = {0};
    HF_CLEANUP(vault_bits_done) struct vault_bits used = {0};
    const uint64_t sizes[] = {3 * VAULT_SEGMENT_PAGES + 7, VAULT_SEGMENT_PAGES - 1,
                              2 * VAULT_SEGMENT_PAGES + 9};
    uint64_t pages = 0;
    uint64_t known = 0;

    for (size_t round = 0; round < HF_LEN(sizes); round++) {
        struct vault_map_set next;
        struct vault_map_builder *builder = vault_map_builder_new(&place, &set, 1u << 20);
        assert_ok(add_file(f, builder, 1, NULL, 0, sizes[round]));
        for (uint64_t page = known; page < sizes[round];) { /* new pages only, spilled runs */
            uint64_t room = VAULT_SEGMENT_PAGES - page % VAULT_SEGMENT_PAGES;
            uint64_t part = sizes[round] - page < room ? sizes[round] - page : room;
            const struct vault_run run = {.pack = 1 + round,
                                          .ordinal = (uint32_t)page,
                                          .first_page = (uint32_t)page,
                                          .count = (uint32_t)part};
            struct vault_map_entry entry = {.attrs = {.node = VAULT_NODE_RUNS},
                                            .segment = (uint32_t)(page / VAULT_SEGMENT_PAGES),
                                            .runs = &run,
                                            .runs_len = 1};
            key_of(1, entry.key);
            assert_ok(vault_map_builder_add(&f->ctx, builder, &entry));
            page += part;
        }
        grow(f, &set, builder, &next, &used);
        vault_map_builder_free(builder);
        set = next;
        known = sizes[round];
        assert_int_equal(count_files(f, &set, &pages), 1);
        assert_int_equal(pages, sizes[round]);
    }
}

static void test_map__a_tombstone_hides_what_was_before(void **state)
{
    struct fixture *f = *state;
    struct vault_place place = place_of(f);
    struct vault_map_set set = {0};
    struct vault_map_set next;
    HF_CLEANUP(vault_bits_done) struct vault_bits used = {0};
    struct vault_map_entry gone = {.attrs = {.node = VAULT_NODE_GONE}};
    uint64_t pages = 0;

    struct vault_map_builder *builder = vault_map_builder_new(&place, &set, 1u << 20);
    assert_ok(add_file(f, builder, 1, &(struct vault_run){1, 0, 0, 10}, 1, 10));
    assert_ok(add_file(f, builder, 2, &(struct vault_run){1, 10, 0, 10}, 1, 10));
    grow(f, &set, builder, &next, &used);
    vault_map_builder_free(builder);
    set = next;
    builder = vault_map_builder_new(&place, &set, 1u << 20);
    key_of(1, gone.key);
    assert_ok(vault_map_builder_add(&f->ctx, builder, &gone));
    grow(f, &set, builder, &next, &used);
    vault_map_builder_free(builder);
    assert_int_equal(count_files(f, &next, &pages), 1);
    assert_int_equal(pages, 10);
    set = next;
    builder = vault_map_builder_new(&place, &set, 1u << 20);
    assert_ok(add_file(f, builder, 1, &(struct vault_run){3, 0, 0, 4}, 1, 4));
    grow(f, &set, builder, &next, &used);
    vault_map_builder_free(builder);
    assert_int_equal(count_files(f, &next, &pages), 2);
    assert_int_equal(pages, 14);
}

static void test_packtable__keeps_all_packs_through_rewriting(void **state)
{
    struct fixture *f = *state;
    struct vault_place place = place_of(f);
    struct vault_table_ref *refs = NULL;
    size_t refs_len = 0;
    size_t written = 0;
    HF_CLEANUP(vault_bits_done) struct vault_bits used = {0};
    HF_CLEANUP(vault_packtable_done) struct vault_packtable all = {0};

    for (uint64_t round = 0; round < 70; round++) {
        HF_CLEANUP(vault_packtable_done) struct vault_packtable fresh = {0};
        for (uint64_t i = 0; i < 5; i++) {
            const struct vault_pack_ref pack = {.number = 1 + round * 5 + i, .size_bytes = round};
            vault_packtable_add(&fresh, &pack);
            vault_bits_set(&used, pack.number);
        }
        const struct vault_packtable_grow in = {.place = &place,
                                                .old = refs,
                                                .old_len = refs_len,
                                                .fresh = &fresh,
                                                .used = &used,
                                                .wrote = ignore_written,
                                                .arg = &written};
        assert_ok(vault_packtable_grow(&f->ctx, &in, &refs, &refs_len));
        assert_true(refs_len <= VAULT_OVERLAYS_MAX + 1);
    }
    assert_ok(vault_packtable_load(&f->ctx, &place, refs, refs_len, &all));
    assert_int_equal(all.len, 350);
    assert_non_null(vault_packtable_find(&all, 350));
    assert_null(vault_packtable_find(&all, 351));
    assert_ok(vault_packtable_load(&f->ctx, &place, refs, 0, &all));
    vault_packtable_add(&all, &all.packs[0]); /* twice the same number */
    assert_code(vault_packtable_load(&f->ctx, &place, refs, 0, &all), HF_DATA_LOSS);
}

static void test_root__comes_back_as_it_was(void **state)
{
    struct fixture *f = *state;
    struct vault_place place = place_of(f);
    struct hf_pair facts[] = {{"backup_label", "line one\nline two\n"}, {"empty", ""}};
    struct vault_root root = {.info = {.id = "b1", .lineage = "l", .timeline = 3},
                              .predecessor = "b0",
                              .facts = facts,
                              .facts_len = 2,
                              .next_pack = 77};
    HF_CLEANUP(vault_bits_done) struct vault_bits bits = {0};
    HF_CLEANUP(vault_bits_done) struct vault_bits back = {0};
    struct vault_root read;
    uint64_t size = 0;

    root.info.stop_lsn = UINT64_C(0xABCDEF0123456789);
    root.info.start_time_us = -5;
    for (uint64_t i = 4099; i < 9000; i += 17) {
        vault_bits_set(&bits, i);
    }
    vault_root_set_used(f->ctx.arena, &root, &bits);
    assert_ok(vault_root_write(&f->ctx, &place, &root, &size));
    assert_string_equal(root.info.root, FIXTURE_SOURCE "/roots/b1");
    assert_ok(vault_root_open(&f->ctx, &place, root.info.root, root.info.root_sha256, &read));
    assert_int_equal(read.info.stop_lsn, root.info.stop_lsn);
    assert_int_equal(read.info.start_time_us, -5);
    assert_string_equal(vault_root_fact(&read, "backup_label"), "line one\nline two\n");
    assert_null(vault_root_fact(&read, "none"));
    vault_root_used_bits(&read, &back);
    assert_int_equal(vault_bits_count(&back), vault_bits_count(&bits));
    for (uint64_t i = 4090; i < 9010; i++) {
        assert_int_equal(vault_root_uses_pack(&read, i), vault_bits_test(&bits, i));
    }
    root.info.root_sha256[0] ^= 1;
    assert_code(vault_root_open(&f->ctx, &place, root.info.root, root.info.root_sha256, &read),
                HF_DATA_LOSS);
}

/* Every cut and every flipped byte of an encoding decodes to an error or to something bounded. */
static void test_root__decoding_is_bounded(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    struct vault_share share = {0, 5};
    struct vault_shard shard = {.shares = &share, .shares_len = 1};
    struct vault_table_ref ref = {.size_bytes = 4};
    const struct vault_root root = {.info = {.id = "b", .lineage = "l"},
                                    .predecessor = "",
                                    .map = {&ref, 1, &shard, 1},
                                    .pack_tables = &ref,
                                    .pack_tables_len = 1};
    struct vault_root read;

    hf_buf_init(&buf, 1 << 16);
    vault_root_encode(&buf, &root);
    assert_ok(vault_root_decode(f->ctx.arena, (struct hf_bytes){buf.ptr, buf.len}, &read));
    assert_int_equal(read.map.shards_len, 1);
    for (size_t i = 0; i < buf.len; i++) {
        assert_code(vault_root_decode(f->ctx.arena, (struct hf_bytes){buf.ptr, i}, &read),
                    HF_DATA_LOSS);
        buf.ptr[i] ^= 0xff;
        (void)hf_is_ok(vault_root_decode(f->ctx.arena, (struct hf_bytes){buf.ptr, buf.len}, &read));
        buf.ptr[i] ^= 0xff;
    }
    buf.ptr[0] = 9;
    assert_reason(vault_root_decode(f->ctx.arena, (struct hf_bytes){buf.ptr, buf.len}, &read),
                  HF_FAILED_PRECONDITION, "NEWER_FORMAT");
}

static void test_map__refuses_entries_that_cannot_be(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"../x", "/x", "a//b", "a/./b", ""};
    struct vault_map_cursor *cursor = vault_map_cursor_new();
    const struct vault_map_entry *entry = NULL;

    for (size_t i = 0; i < HF_LEN(bad); i++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
        const struct vault_map_entry in = {
            .attrs = {.node = VAULT_NODE_FILE, .path = bad[i], .link = ""}};
        hf_buf_init(&buf, 1 << 16);
        vault_map_entry_encode(&buf, &in);
        vault_map_cursor_reset(cursor, (struct hf_bytes){buf.ptr, buf.len});
        assert_code(vault_map_cursor_next(f->ctx.arena, cursor, &entry), HF_DATA_LOSS);
    }
    vault_map_cursor_free(cursor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_mapset__cuts_a_large_map_into_shards),
        fixture_test(test_map__keeps_segments_of_a_large_file),
        fixture_test(test_map__a_tombstone_hides_what_was_before),
        fixture_test(test_map__refuses_entries_that_cannot_be),
        fixture_test(test_packtable__keeps_all_packs_through_rewriting),
        fixture_test(test_root__comes_back_as_it_was),
        fixture_test(test_root__decoding_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

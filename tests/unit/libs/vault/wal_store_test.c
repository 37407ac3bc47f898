/* WAL in the vault besides the writer: names, push, history, reading, clocks, compaction, check. */
#include <fcntl.h>

#include "tests/unit/libs/vault/wal_fixture.h"
#include "vault/wal.h"

#define T0 (INT64_C(1700000000) * HF_US_PER_S)

static const uint64_t seg = WAL_START / MIB;

/* --- names -------------------------------------------------------------------------------- */

static void test_wal_names__round_trip(void **state)
{
    struct fixture *f = *state;
    const struct vault_wal_name names[] = {
        {VAULT_WAL_CLOSED, 10, seg, WAL_START, WAL_START + MIB, 0},
        {VAULT_WAL_CLOSED, 1, seg, WAL_START + 1, WAL_START + 2, 0},
        {VAULT_WAL_GROWING, 1, seg, WAL_START + 77, 0, 0xabc},
        {VAULT_WAL_HISTORY, 0xabcdef, 0, 0, 0, 0},
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct vault_wal_name back = {0};
        char *text = vault_wal_name_format(f->ctx.arena, &wal_place, &names[i]);

        assert_true(objstore_is_name(text));
        assert_true(vault_wal_name_parse(&wal_place, text, &back));
        assert_int_equal(back.kind, names[i].kind);
        assert_int_equal(back.timeline, names[i].timeline);
        assert_int_equal(back.segno, names[i].segno);
        assert_int_equal(back.from, names[i].from);
        assert_int_equal(back.to, names[i].to);
        assert_int_equal(back.tag, names[i].tag);
    }
    assert_string_equal(vault_wal_name_format(f->ctx.arena, &wal_place, &names[0]), FIXTURE_SOURCE
                        "/wal/l1/0000000a/0000000000000c00/00000000c0000000-00000000c0100000");
}

static void test_wal_names__refuse_what_contradicts_itself(void **state)
{
    static const char *const bad[] = {
        "l2/00000001/0000000000000c00/00000000c0000000-00000000c0100000",
        "l1/00000001/0000000000000c01/00000000c0000000-00000000c0100000",
        "l1/00000001/0000000000000c00/00000000c0000000-00000000c0100001",
        "l1/00000001/0000000000000c00/00000000c0000000-00000000c0000000",
        "l1/00000000/0000000000000c00/00000000c0000000-00000000c0100000",
        "l1/00000001/0000000000000c00/00000000C0000000-00000000c0100000",
        "l1/00000001/0000000000000c00/00000000c0000000-00000000c0100000x",
        "l1/00000001/0000000000000c00/00000000c0000000-open-1234567",
        "l1/history/0000001",
        "l1/history/00000001/x",
    };
    struct fixture *f = *state;
    struct vault_wal_name name;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *text = hf_printf(f->ctx.arena, FIXTURE_SOURCE "/wal/%s", bad[i]);

        assert_false(vault_wal_name_parse(&wal_place, text, &name));
    }
}

/* --- push --------------------------------------------------------------------------------- */

static struct hf_status push(struct fixture *f, uint64_t lsn, struct hf_bytes bytes)
{
    return vault_wal_push(&f->ctx, f->store, f->keyring, &wal_place, 1, lsn, bytes);
}

static void test_wal_push__same_again_is_success_other_is_conflict(void **state)
{
    struct fixture *f = *state;
    struct hf_bytes segment = wal_make(f, WAL_START, MIB);

    assert_ok(push(f, WAL_START, segment));
    assert_ok(push(f, WAL_START, segment));
    assert_ok(push(f, WAL_START + 5, (struct hf_bytes){segment.ptr + 5, 1000}));
    assert_int_equal(wal_objects(f).len, 1);
    assert_reason(push(f, WAL_START, wal_make(f, WAL_START + 1, MIB)), HF_FAILED_PRECONDITION,
                  VAULT_WAL_CONFLICT);
    assert_int_equal(wal_objects(f).len, 1);
    wal_expect(f, 1, WAL_START, WAL_START + MIB);
}

static void test_wal_push__compares_with_a_growing_slice(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);

    wal_grow(f, writer, 5000);
    assert_reason(push(f, WAL_START, wal_make(f, WAL_START + 64, MIB)), HF_FAILED_PRECONDITION,
                  VAULT_WAL_CONFLICT);
    assert_ok(push(f, WAL_START, wal_make(f, WAL_START, 2 * MIB)));
    vault_wal_writer_free(writer);
    writer = wal_open(f, 1);
    assert_int_equal(vault_wal_writer_position(writer), WAL_START + 2 * MIB);
    vault_wal_writer_free(writer);
}

/* --- history ------------------------------------------------------------------------------ */

static void test_wal_history__is_found_as_soon_as_it_is_there(void **state)
{
    struct fixture *f = *state;
    const char *text = "1\t0/3000000\tno recovery target specified\n";
    struct hf_bytes bytes = {(const uint8_t *)text, strlen(text)};
    struct hf_buf buf;

    hf_buf_init(&buf, 1 << 20);
    assert_code(vault_wal_history_get(&f->ctx, f->store, f->keyring, &wal_place, 2, &buf),
                HF_NOT_FOUND);
    assert_ok(vault_wal_history_put(&f->ctx, f->store, f->keyring, &wal_place, 2, bytes));
    assert_ok(vault_wal_history_put(&f->ctx, f->store, f->keyring, &wal_place, 2, bytes));
    assert_ok(vault_wal_history_get(&f->ctx, f->store, f->keyring, &wal_place, 2, &buf));
    assert_string_equal(hf_buf_text(&buf), text);
    bytes.len--;
    assert_reason(vault_wal_history_put(&f->ctx, f->store, f->keyring, &wal_place, 2, bytes),
                  HF_FAILED_PRECONDITION, VAULT_WAL_CONFLICT);
    assert_int_equal(wal_index(f, 0).histories_len, 1);
    assert_int_equal(wal_index(f, 0).histories[0], 2);
    hf_buf_done(&buf);
}

/* --- reading ------------------------------------------------------------------------------ */

static void test_wal_reader__gives_a_partial_segment_with_zeros_behind(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    struct vault_wal_reader *reader = vault_wal_reader_new(f->store, f->keyring, &wal_place);
    struct hf_buf buf;
    uint64_t end = 0;

    wal_grow(f, writer, MIB + 12345);
    hf_buf_init(&buf, MIB);
    assert_ok(vault_wal_segment_to_buf(&f->ctx, reader, 1, seg + 1, &buf, &end));
    assert_int_equal(end, WAL_START + MIB + 12345);
    assert_int_equal(buf.len, MIB);
    for (size_t i = 0; i < MIB; i++) {
        uint8_t expected = i < 12345 ? wal_byte(WAL_START + MIB + i) : 0;

        if (buf.ptr[i] != expected) {
            fail_msg("byte %zu", i);
        }
    }
    assert_code(vault_wal_segment_to_buf(&f->ctx, reader, 1, seg + 2, &buf, &end), HF_NOT_FOUND);
    hf_buf_done(&buf);
    vault_wal_reader_free(reader);
    vault_wal_writer_free(writer);
}

static void test_wal_reader__says_not_found_only_for_what_is_not_there(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    struct vault_wal_reader *reader = vault_wal_reader_new(f->store, f->keyring, &wal_place);
    uint8_t byte;
    size_t len = 9;

    wal_grow(f, writer, 1000);
    assert_code(vault_wal_read(&f->ctx, reader, 1, WAL_START + 1000, 1, &byte), HF_NOT_FOUND);
    assert_code(vault_wal_read(&f->ctx, reader, 2, WAL_START, 1, &byte), HF_NOT_FOUND);
    assert_ok(vault_wal_read_some(&f->ctx, reader, 1, WAL_START + 1000, 1, &byte, &len));
    assert_int_equal(len, 0);
    /* The reader sees what is written behind its back, in the slice that it has open. */
    assert_ok(vault_wal_read(&f->ctx, reader, 1, WAL_START + 999, 1, &byte));
    wal_grow(f, writer, 10);
    assert_ok(vault_wal_read(&f->ctx, reader, 1, WAL_START + 1009, 1, &byte));
    assert_int_equal(byte, wal_byte(WAL_START + 1009));
    vault_wal_reader_free(reader);
    vault_wal_writer_free(writer);
}

/* Change one byte of an object; returns its name. */
static const char *flip(struct fixture *f, size_t object, size_t from_end)
{
    const char *name = wal_objects(f).entries[object].name;
    struct hf_bytes bytes = fixture_object(f, name);
    uint8_t *copy = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);

    copy[bytes.len - 1 - from_end] ^= 1;
    fixture_replace(f, name, (struct hf_bytes){copy, bytes.len});
    return name;
}

static void test_wal_reader__says_damaged_not_absent(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_reader *reader;
    uint8_t byte;

    assert_ok(push(f, WAL_START, wal_make(f, WAL_START, 600000)));
    reader = vault_wal_reader_new(f->store, f->keyring, &wal_place);
    flip(f, 0, 200000);
    assert_code(vault_wal_read(&f->ctx, reader, 1, WAL_START + 100, 1, &byte), HF_DATA_LOSS);
    /* The push cannot compare with it either: damage is not "other bytes", and not "absent". */
    assert_code(push(f, WAL_START, wal_make(f, WAL_START, 600000)), HF_DATA_LOSS);
    vault_wal_reader_free(reader);
}

/* --- clocks ------------------------------------------------------------------------------- */

/* 40 appends of 100,000 bytes, a clock record two seconds after the other at each. */
static struct vault_wal_writer *grow_with_clock(struct fixture *f)
{
    struct vault_wal_writer *writer = wal_open(f, 1);

    for (int i = 0; i < 40; i++) {
        vault_wal_writer_clock(writer, vault_wal_writer_position(writer) + 100000,
                               T0 + i * 2 * HF_US_PER_S);
        wal_grow(f, writer, 100000);
    }
    return writer;
}

static void expect_clocks(struct fixture *f)
{
    struct vault_wal_reader *reader = vault_wal_reader_new(f->store, f->keyring, &wal_place);
    struct vault_wal_clock clock = {0};

    assert_ok(vault_wal_covered_time(&f->ctx, reader, 1, UINT64_MAX, &clock));
    assert_int_equal(clock.time_us, T0 + 78 * HF_US_PER_S);
    assert_int_equal(clock.lsn, WAL_START + 4000000);
    assert_ok(vault_wal_covered_time(&f->ctx, reader, 1, WAL_START + 2000000, &clock));
    assert_int_equal(clock.time_us, T0 + 38 * HF_US_PER_S);
    for (int i = 0; i < 40; i++) {
        assert_ok(
            vault_wal_lsn_at(&f->ctx, reader, 1, T0 + i * 2 * HF_US_PER_S - HF_US_PER_S, &clock));
        assert_int_equal(clock.lsn, WAL_START + (uint64_t)(i + 1) * 100000);
    }
    assert_code(vault_wal_lsn_at(&f->ctx, reader, 1, T0 + 79 * HF_US_PER_S, &clock), HF_NOT_FOUND);
    assert_code(vault_wal_covered_time(&f->ctx, reader, 2, UINT64_MAX, &clock), HF_NOT_FOUND);
    vault_wal_reader_free(reader);
}

static void test_wal_clock__finds_times_and_lsns(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = grow_with_clock(f);

    expect_clocks(f);
    vault_wal_writer_free(writer);
    expect_clocks(f);
}

/* --- compaction --------------------------------------------------------------------------- */

static enum vault_wal_compacted compact(struct fixture *f, uint64_t segno, int64_t grace_us)
{
    enum vault_wal_compacted result = VAULT_WAL_COMPACT_NOTHING;

    assert_ok(vault_wal_compact_segment(&f->ctx, f->store, f->keyring, &wal_place, 1, segno,
                                        grace_us, &result));
    return result;
}

static uint64_t stored_bytes(struct fixture *f)
{
    struct objstore_page page = wal_objects(f);
    uint64_t sum = 0;

    for (size_t i = 0; i < page.len; i++) {
        sum += page.entries[i].size_bytes;
    }
    return sum;
}

static void test_wal_compact__keeps_wal_and_clocks(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = grow_with_clock(f);

    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(compact(f, seg + i, HF_US_PER_S * 3600), VAULT_WAL_COMPACT_WRITTEN);
        assert_int_equal(compact(f, seg + i, HF_US_PER_S * 3600), VAULT_WAL_COMPACT_WAITING);
    }
    assert_int_equal(compact(f, seg + 3, 0), VAULT_WAL_COMPACT_INCOMPLETE);
    expect_clocks(f);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(compact(f, seg + i, 0), VAULT_WAL_COMPACT_CLEANED);
        assert_int_equal(compact(f, seg + i, 0), VAULT_WAL_COMPACT_NOTHING);
    }
    assert_int_equal(wal_index(f, 1).objects, 4);
    expect_clocks(f);
    wal_expect(f, 1, WAL_START, WAL_START + 4000000);
    vault_wal_writer_free(writer);
}

static void test_wal_compact__shrinks_tiny_records(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    uint64_t before;

    while (vault_wal_writer_position(writer) < WAL_START + MIB) {
        wal_grow(f, writer, 8192);
    }
    before = stored_bytes(f);
    assert_int_equal(compact(f, seg, 0), VAULT_WAL_COMPACT_WRITTEN);
    assert_int_equal(compact(f, seg, 0), VAULT_WAL_COMPACT_CLEANED);
    assert_true(stored_bytes(f) < before);
    wal_expect(f, 1, WAL_START, WAL_START + MIB);
    vault_wal_writer_free(writer);
}

static void test_wal_compact__removes_nothing_beside_a_damaged_whole(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    enum vault_wal_compacted result = VAULT_WAL_COMPACT_NOTHING;
    size_t objects;
    size_t whole = 0;

    while (vault_wal_writer_position(writer) < WAL_START + MIB) {
        wal_grow(f, writer, 8192);
    }
    assert_int_equal(compact(f, seg, 0), VAULT_WAL_COMPACT_WRITTEN);
    objects = wal_objects(f).len;
    assert_int_equal(objects, 3);
    for (size_t i = 0; i < objects; i++) {
        whole =
            strstr(wal_objects(f).entries[i].name, "c0000000-00000000c0100000") != NULL ? i : whole;
    }
    flip(f, whole, 100000);
    assert_code(
        vault_wal_compact_segment(&f->ctx, f->store, f->keyring, &wal_place, 1, seg, 0, &result),
        HF_DATA_LOSS);
    assert_int_equal(wal_objects(f).len, objects);
    wal_expect(f, 1, WAL_START, WAL_START + MIB);
    vault_wal_writer_free(writer);
}

/* --- check -------------------------------------------------------------------------------- */

static struct vault_wal_report check(struct fixture *f, uint64_t from, uint64_t to)
{
    struct vault_wal_range leg = {.timeline = 1, .from = from, .to = to};
    atomic_uint_fast64_t done = 0;
    const struct vault_wal_check_options options = {.store = f->store,
                                                    .keyring = f->keyring,
                                                    .place = wal_place,
                                                    .path = &leg,
                                                    .path_len = 1,
                                                    .done_bytes = &done};
    struct vault_wal_report report = {0};

    assert_ok(vault_wal_check(&f->ctx, &options, &report));
    assert_int_equal(done, to - from);
    return report;
}

static void test_wal_check__is_content_with_what_is_whole(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = grow_with_clock(f);
    struct vault_wal_report report = check(f, WAL_START + 5, WAL_START + 4000000);

    assert_int_equal(report.findings_total, 0);
    assert_int_equal(report.bytes_checked, 4000000);
    vault_wal_writer_free(writer);
}

static void test_wal_check__names_what_is_missing(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_report report;

    assert_ok(push(f, WAL_START, wal_make(f, WAL_START, MIB)));
    assert_ok(push(f, WAL_START + MIB + 100, wal_make(f, WAL_START + MIB + 100, MIB - 100)));
    report = check(f, WAL_START, WAL_START + 2 * MIB);
    assert_int_equal(report.findings_len, 1);
    assert_string_equal(report.findings[0].what, "missing 0/C0100000 to 0/C0100064 of timeline 1");
    assert_string_equal(report.findings[0].object,
                        FIXTURE_SOURCE "/wal/l1/00000001/0000000000000c01");
    assert_int_equal(report.findings[0].range.from, WAL_START + MIB);
    assert_int_equal(report.findings[0].range.to, WAL_START + MIB + 100);
    assert_int_equal(check(f, WAL_START, WAL_START + 2 * MIB + 1).findings_len, 2);
    assert_int_equal(check(f, WAL_START, WAL_START + MIB).findings_len, 0);
}

static void test_wal_check__finds_a_flipped_bit_anywhere(void **state)
{
    static const size_t from_end[] = {0, 30, 70, 5000, 100000};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(from_end) / sizeof(from_end[0]); i++) {
        uint64_t lsn = WAL_START + i * MIB;
        const char *name;
        struct vault_wal_report report;

        assert_ok(push(f, lsn, wal_make(f, lsn, MIB)));
        name = flip(f, i, from_end[i]);
        report = check(f, lsn + 7, lsn + MIB);
        assert_int_equal(report.findings_len, 1);
        assert_string_equal(report.findings[0].object, name);
        assert_int_equal(report.findings[0].range.from, lsn + 7); /* cut to what was asked */
        assert_int_equal(report.findings[0].range.to, lsn + MIB);
    }
}

/* An attacker gives one slice the place of another. */
static void test_wal_check__finds_swapped_slices(void **state)
{
    struct fixture *f = *state;
    struct objstore_page page;
    struct hf_bytes first;
    struct hf_bytes second;

    assert_ok(push(f, WAL_START, wal_make(f, WAL_START, MIB)));
    assert_ok(push(f, WAL_START + MIB, wal_make(f, WAL_START + MIB, MIB)));
    page = wal_objects(f);
    first = fixture_object(f, page.entries[0].name);
    second = fixture_object(f, page.entries[1].name);
    fixture_replace(f, page.entries[0].name, second);
    fixture_replace(f, page.entries[1].name, first);
    assert_int_equal(check(f, WAL_START, WAL_START + 2 * MIB).findings_len, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_wal_names__round_trip),
        fixture_test(test_wal_names__refuse_what_contradicts_itself),
        fixture_test(test_wal_push__same_again_is_success_other_is_conflict),
        fixture_test(test_wal_push__compares_with_a_growing_slice),
        fixture_test(test_wal_history__is_found_as_soon_as_it_is_there),
        fixture_test(test_wal_reader__gives_a_partial_segment_with_zeros_behind),
        fixture_test(test_wal_reader__says_not_found_only_for_what_is_not_there),
        fixture_test(test_wal_reader__says_damaged_not_absent),
        fixture_test(test_wal_clock__finds_times_and_lsns),
        fixture_test(test_wal_compact__keeps_wal_and_clocks),
        fixture_test(test_wal_compact__shrinks_tiny_records),
        fixture_test(test_wal_compact__removes_nothing_beside_a_damaged_whole),
        fixture_test(test_wal_check__is_content_with_what_is_whole),
        fixture_test(test_wal_check__names_what_is_missing),
        fixture_test(test_wal_check__finds_a_flipped_bit_anywhere),
        fixture_test(test_wal_check__finds_swapped_slices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

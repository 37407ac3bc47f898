/* The record walker over WAL made here: page crossings, ends, targets. Real WAL: waldump_test.c. */
#include <stdio.h>
#include <string.h>

#include "tests/unit/libs/pgformat/made_wal.h"
#include "tests/unit/unit.h"

static struct pgf_walk_options options_of(struct made *made)
{
    return (struct pgf_walk_options){.reader = {made_read, made},
                                     .start_lsn = START,
                                     .segment_bytes = SEGMENT,
                                     .system_identifier = SYSTEM,
                                     .is_find_first = true};
}

static struct pgf_wal_summary scan(struct made *made, const struct pgf_target *target)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_walk_options options = options_of(made);
    struct pgf_wal_summary summary = {0};

    assert_int_equal(pgf_wal_scan(arena, &options, target, &summary).code, HF_OK);
    return summary;
}

static void test_walk__follows_records_over_pages_and_segments(void **state)
{
    struct made made = made_new();
    struct pgf_wal_summary summary;
    uint64_t last;
    (void)state;

    for (uint32_t i = 0; i < 300; i++) {
        filler_put(&made, i * 7);
    }
    filler_put(&made, 40000);
    filler_put(&made, 800000);
    last = commit_put(&made, 77, 1000 * HF_US_PER_S);
    summary = scan(&made, NULL);
    assert_int_equal(summary.records, 303);
    assert_int_equal(summary.commits, 1);
    assert_int_equal(summary.first_lsn, START + 40);
    assert_int_equal(summary.last_start, last);
    assert_int_equal(summary.last_end, made.lsn);
    assert_int_equal(summary.last_commit_time_us, 1000 * HF_US_PER_S);
    assert_int_equal(summary.end, PGF_WAL_END_ZEROES);
    hf_heap_free(made.image);
}

static void test_walk__stops_at_every_kind_of_end(void **state)
{
    static const struct {
        int64_t offset; /* of the byte that is changed, from the last record's start */
        enum pgf_wal_end end;
    } cases[] = {{1, PGF_WAL_END_BAD_CRC},
                 {8, PGF_WAL_END_BAD_LINK},
                 {3, PGF_WAL_END_BAD_LENGTH},
                 {20, PGF_WAL_END_BAD_CRC},
                 {30, PGF_WAL_END_BAD_CRC}};
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct made made = made_new();
        struct pgf_wal_summary summary;
        uint64_t last;

        filler_put(&made, 100);
        last = commit_put(&made, 7, HF_US_PER_S);
        filler_put(&made, 100);
        *at(&made, last + (uint64_t)cases[i].offset) ^= 0x80;
        summary = scan(&made, NULL);
        if (cases[i].end == PGF_WAL_END_BAD_CRC && cases[i].offset == 1) {
            /* A wrong length reads other bytes: any of the two is an end. */
            assert_true(summary.end == PGF_WAL_END_BAD_CRC ||
                        summary.end == PGF_WAL_END_BAD_CONTINUATION ||
                        summary.end == PGF_WAL_END_ZEROES);
        } else {
            assert_int_equal(summary.end, cases[i].end);
        }
        assert_int_equal(summary.records, 1);
        assert_int_equal(summary.last_end, last);
        hf_heap_free(made.image);
    }
}

static void test_walk__ends_with_the_bytes_at_hand(void **state)
{
    struct made made = made_new();
    uint64_t first_end;
    (void)state;

    filler_put(&made, 9000);
    first_end = made.lsn;
    filler_put(&made, 20000);
    for (size_t cut = 8; cut < 20000; cut += 777) {
        struct pgf_wal_summary summary;

        made.readable = (size_t)(made.lsn - START) - cut;
        summary = scan(&made, NULL);
        assert_int_equal(summary.records, 1);
        assert_int_equal(summary.end, PGF_WAL_END_OF_BYTES);
        assert_int_equal(summary.last_end, first_end);
    }
    hf_heap_free(made.image);
}

static void test_walk__refuses_pages_of_others(void **state)
{
    static const size_t offsets[] = {0, 8, 12}; /* magic, position, of page 1 */
    (void)state;

    for (size_t i = 0; i < HF_LEN(offsets); i++) {
        struct made made = made_new();
        struct pgf_wal_summary summary;

        for (int k = 0; k < 200; k++) {
            filler_put(&made, 100);
        }
        made.image[PGF_WAL_PAGE + offsets[i]] ^= 0x40;
        summary = scan(&made, NULL);
        assert_int_equal(summary.end, PGF_WAL_END_BAD_PAGE);
        assert_true(summary.last_end <= START + PGF_WAL_PAGE);
        hf_heap_free(made.image);
    }
}

static void test_walk__finds_the_first_record_on_a_later_page(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct made made = made_new();
    struct pgf_walk_options options = options_of(&made);
    struct pgf_wal_summary summary;
    uint64_t second;
    (void)state;

    filler_put(&made, 30000);
    second = commit_put(&made, 5, HF_US_PER_S);
    for (uint64_t page = 1; page < 4; page++) {
        options.start_lsn = START + page * PGF_WAL_PAGE;
        assert_int_equal(pgf_wal_scan(arena, &options, NULL, &summary).code, HF_OK);
        assert_int_equal(summary.records, 1);
        assert_int_equal(summary.first_lsn, second);
    }
    options.is_find_first = false;
    options.start_lsn = second;
    assert_int_equal(pgf_wal_scan(arena, &options, NULL, &summary).code, HF_OK);
    assert_int_equal(summary.first_lsn, second);
    options.stop_lsn = second;
    assert_int_equal(pgf_wal_scan(arena, &options, NULL, &summary).code, HF_OK);
    assert_int_equal(summary.records, 0);
    assert_int_equal(summary.end, PGF_WAL_END_LIMIT);
    hf_heap_free(made.image);
}

static void test_walk__goes_on_over_an_overwritten_record(void **state)
{
    struct made made = made_new();
    struct pgf_wal_summary summary;
    uint64_t broken, page;
    (void)state;

    filler_put(&made, 100);
    broken = made.prev;
    filler_put(&made, 20000); /* begins on page 0; its rest is lost in a crash */
    page = START + PGF_WAL_PAGE;
    memset(at(&made, page), 0, PGF_WAL_PAGE * 3);
    made.lsn = page;
    made.prev = broken;
    page_begin(&made, 0, PGF_WAL_FIRST_IS_OVERWRITE);
    commit_put(&made, 9, HF_US_PER_S);
    summary = scan(&made, NULL);
    assert_int_equal(summary.records, 2);
    assert_int_equal(summary.commits, 1);
    hf_heap_free(made.image);
}

static void test_walk__jumps_to_the_next_segment_after_a_switch(void **state)
{
    struct made made = made_new();
    struct pgf_wal_summary summary;
    (void)state;

    record_put(&made, 0, 0x40, 0, NULL, 0);
    made.lsn = START + SEGMENT;
    commit_put(&made, 9, HF_US_PER_S);
    summary = scan(&made, NULL);
    assert_int_equal(summary.records, 2);
    assert_int_equal(summary.last_start, START + SEGMENT + 40);
    hf_heap_free(made.image);
}

/* Body of a COMMIT PREPARED with every list filled. */
static uint32_t prepared_body(uint8_t *data, uint32_t statistics_bytes, uint32_t xid)
{
    uint32_t pos = 0;

    memset(data, 0, 512);
    pgf_put_le64(data, 5);
    pgf_put_le32(data + 8, 0x11F); /* dbinfo … two-phase, statistics */
    pos = 12 + 8;
    pgf_put_le32(data + pos, 2);
    pos += 4 + 2 * 4;
    pgf_put_le32(data + pos, 1);
    pos += 4 + 12;
    pgf_put_le32(data + pos, 1);
    pos += 4 + statistics_bytes;
    pgf_put_le32(data + pos, 3);
    pos += 4 + 3 * 16;
    pgf_put_le32(data + pos, xid);
    return pos + 4;
}

static void test_walk__finds_the_xid_of_a_prepared_transaction(void **state)
{
    static const struct {
        uint16_t magic;
        uint32_t statistics_bytes;
    } cases[] = {{0xD110, 12}, {0xD116, 12}, {0xD118, 16}};
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct made made = made_new();
        struct pgf_target target = {.kind = PGF_TARGET_XID, .xid = 991};
        uint8_t data[512];
        uint32_t len = prepared_body(data, cases[i].statistics_bytes, 991);
        uint64_t lsn;

        made.magic = cases[i].magic;
        filler_put(&made, 10);
        lsn = record_put(&made, 1, 0x30 | 0x80, 0, data, len);
        assert_true(scan(&made, &target).is_target_reached);
        assert_int_equal(scan(&made, &target).target_lsn, lsn);
        hf_heap_free(made.image);
    }
}

static void test_scan__judges_targets_like_recovery(void **state)
{
    static const char name[72] = "\0\0\0\0\0\0\0\0before_drop";
    struct made made = made_new();
    uint64_t lsns[4];
    (void)state;

    lsns[0] = commit_put(&made, 10, 100);
    lsns[1] = commit_put(&made, 12, 200);
    lsns[2] = record_put(&made, 0, 0x70, 0, (const uint8_t *)name, sizeof(name));
    lsns[3] = commit_put(&made, 11, 300);
    {
        const struct {
            struct pgf_target target;
            uint64_t want; /* 0: not reached */
        } cases[] = {
            {{.kind = PGF_TARGET_NONE}, 0},
            {{.kind = PGF_TARGET_TIME, .time_us = 150}, lsns[1]},
            {{.kind = PGF_TARGET_TIME, .time_us = 200}, lsns[3]},
            {{.kind = PGF_TARGET_TIME, .time_us = 200, .is_exclusive = true}, lsns[1]},
            {{.kind = PGF_TARGET_TIME, .time_us = 300}, 0},
            {{.kind = PGF_TARGET_XID, .xid = 11}, lsns[3]},
            {{.kind = PGF_TARGET_XID, .xid = 13}, 0},
            {{.kind = PGF_TARGET_NAME, .name = "before_drop"}, lsns[2]},
            {{.kind = PGF_TARGET_NAME, .name = "before"}, 0},
            {{.kind = PGF_TARGET_LSN, .lsn = lsns[0] + 1}, lsns[1]},
            {{.kind = PGF_TARGET_LSN, .lsn = lsns[3] + 1}, 0},
        };

        for (size_t i = 0; i < HF_LEN(cases); i++) {
            struct pgf_wal_summary summary = scan(&made, &cases[i].target);

            assert_int_equal(summary.is_target_reached, cases[i].want != 0);
            assert_int_equal(summary.target_lsn, cases[i].want);
        }
    }
    hf_heap_free(made.image);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walk__follows_records_over_pages_and_segments),
        cmocka_unit_test(test_walk__stops_at_every_kind_of_end),
        cmocka_unit_test(test_walk__ends_with_the_bytes_at_hand),
        cmocka_unit_test(test_walk__refuses_pages_of_others),
        cmocka_unit_test(test_walk__finds_the_first_record_on_a_later_page),
        cmocka_unit_test(test_walk__goes_on_over_an_overwritten_record),
        cmocka_unit_test(test_walk__jumps_to_the_next_segment_after_a_switch),
        cmocka_unit_test(test_walk__finds_the_xid_of_a_prepared_transaction),
        cmocka_unit_test(test_scan__judges_targets_like_recovery),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

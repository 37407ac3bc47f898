/* LSNs, segment names, page headers. */
#include <string.h>

#include "base/check.h"
#include "pgformat/le.h"
#include "pgformat/wal.h"
#include "tests/unit/unit.h"

#define MIB (UINT64_C(1) << 20)

static void test_lsn__prints_and_parses(void **state)
{
    static const struct {
        const char *text;
        uint64_t lsn;
    } cases[] = {{"0/0", 0},
                 {"16/B374D848", UINT64_C(0x16B374D848)},
                 {"FFFFFFFF/FFFFFFFF", UINT64_MAX},
                 {"0/3000028", 0x3000028}};
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        uint64_t lsn = 1;

        assert_true(pgf_lsn_parse(cases[i].text, &lsn));
        assert_int_equal(lsn, cases[i].lsn);
        assert_string_equal(pgf_lsn(cases[i].lsn).text, cases[i].text);
    }
}

static void test_lsn__refuses_what_is_none(void **state)
{
    static const char *const cases[] = {"",     "/",   "0/",          "/0",    "0",    "0/0 ",
                                        " 0/0", "g/0", "123456789/0", "0/0/0", "0/-1", "0x1/0"};
    uint64_t lsn = 7;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_false(pgf_lsn_parse(cases[i], &lsn));
    }
    assert_false(pgf_lsn_parse(NULL, &lsn));
    assert_int_equal(lsn, 7);
}

static void test_segno__puts_a_boundary_into_the_next_segment(void **state)
{
    (void)state;

    assert_int_equal(pgf_wal_segno(16 * MIB, 16 * MIB), 1);
    assert_int_equal(pgf_wal_segno_before(16 * MIB, 16 * MIB), 0);
    assert_int_equal(pgf_wal_segno_before(16 * MIB + 1, 16 * MIB), 1);
    assert_int_equal(pgf_wal_segment_start(3, MIB), 3 * MIB);
}

static void test_wal_name__depends_on_the_segment_size(void **state)
{
    static const struct {
        uint64_t lsn;
        uint64_t segment;
        const char *name;
    } cases[] = {
        {UINT64_C(0x16B374D848), 16 * MIB, "0000000300000016000000B3"},
        {UINT64_C(0x16B374D848), MIB, "000000030000001600000B37"},
        {UINT64_C(0x16B374D848), 1024 * MIB, "000000030000001600000002"},
        {UINT64_C(0x1600000000), 64 * MIB, "000000030000001600000000"},
    };
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        uint64_t segno = pgf_wal_segno(cases[i].lsn, cases[i].segment);
        uint64_t parsed;
        uint32_t timeline;

        assert_string_equal(pgf_wal_name(3, segno, cases[i].segment).text, cases[i].name);
        assert_true(pgf_wal_name_parse(cases[i].name, cases[i].segment, &timeline, &parsed));
        assert_int_equal(timeline, 3);
        assert_int_equal(parsed, segno);
    }
}

static void test_wal_name__refuses_foreign_names(void **state)
{
    static const char *const cases[] = {
        "00000001000000000000000",  "0000000100000000000000010",       "0000000100000000000000GG",
        "00000001000000000000000a", "000000000000000000000001",        "000000010000000000000100",
        "00000001.history",         "000000010000000000000001.partial"};
    uint32_t timeline;
    uint64_t segno;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_false(pgf_wal_name_parse(cases[i], 16 * MIB, &timeline, &segno));
    }
    assert_true(pgf_history_name_parse("0000000A.history", &timeline));
    assert_int_equal(timeline, 10);
    assert_false(pgf_history_name_parse("00000000.history", &timeline));
    assert_false(pgf_history_name_parse("0000000A.histors", &timeline));
}

static void page_make(uint8_t page[PGF_WAL_LONG_HEADER], uint16_t magic, uint16_t info,
                      uint64_t lsn)
{
    memset(page, 0, PGF_WAL_LONG_HEADER);
    page[0] = (uint8_t)magic;
    page[1] = (uint8_t)(magic >> 8);
    page[2] = (uint8_t)info;
    pgf_put_le32(page + 4, 2);
    pgf_put_le64(page + 8, lsn);
    pgf_put_le32(page + 16, 99);
    pgf_put_le64(page + 24, 4242);
    pgf_put_le32(page + 32, 16 * MIB);
    pgf_put_le32(page + 36, PGF_WAL_PAGE);
}

static void test_page__knows_five_versions(void **state)
{
    static const struct {
        uint16_t magic;
        int major;
    } cases[] = {{0xD10D, 14}, {0xD110, 15}, {0xD113, 16}, {0xD116, 17}, {0xD118, 18}};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        uint8_t bytes[PGF_WAL_LONG_HEADER];
        struct pgf_wal_page page;

        page_make(bytes, cases[i].magic, PGF_WAL_LONG, 32 * MIB);
        assert_int_equal(pgf_wal_page_decode(arena, bytes, sizeof(bytes), &page).code, HF_OK);
        assert_int_equal(page.server_major, cases[i].major);
        assert_int_equal(page.timeline, 2);
        assert_int_equal(page.lsn, 32 * MIB);
        assert_int_equal(page.remaining_len, 99);
        assert_int_equal(page.system_identifier, 4242);
        assert_int_equal(page.segment_bytes, 16 * MIB);
        assert_int_equal(page.header_len, PGF_WAL_LONG_HEADER);
    }
    assert_int_equal(pgf_wal_magic_major(0xD106), 0);
}

static void test_page__refuses_damage(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    uint8_t good[PGF_WAL_LONG_HEADER];
    static const size_t bad[] = {0, 1, 2, 9, 34, 37};
    struct pgf_wal_page page;
    (void)state;

    page_make(good, 0xD110, PGF_WAL_LONG, 32 * MIB);
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        uint8_t bytes[PGF_WAL_LONG_HEADER];

        memcpy(bytes, good, sizeof(bytes));
        bytes[bad[i]] ^= 0x11;
        assert_int_equal(pgf_wal_page_decode(arena, bytes, sizeof(bytes), &page).code,
                         HF_DATA_LOSS);
    }
    assert_int_equal(pgf_wal_page_decode(arena, good, 39, &page).code, HF_DATA_LOSS);
    assert_int_equal(pgf_wal_page_decode(arena, good, 23, &page).code, HF_DATA_LOSS);
}

static void test_page__is_checked_against_its_place(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    static const struct {
        struct pgf_wal_expect expect;
        enum hf_code code;
    } cases[] = {
        {{32 * MIB, 16 * MIB, 4242, 2}, HF_OK},
        {{32 * MIB, 0, 0, 0}, HF_OK},
        {{48 * MIB, 16 * MIB, 4242, 2}, HF_DATA_LOSS},
        {{32 * MIB, 64 * MIB, 4242, 2}, HF_DATA_LOSS},
        {{32 * MIB, 32 * MIB, 4242, 2}, HF_DATA_LOSS},
        {{32 * MIB, 16 * MIB, 4243, 2}, HF_DATA_LOSS},
        {{32 * MIB, 16 * MIB, 4242, 3}, HF_DATA_LOSS},
    };
    uint8_t bytes[PGF_WAL_LONG_HEADER];
    struct pgf_wal_page page;
    (void)state;

    page_make(bytes, 0xD110, PGF_WAL_LONG, 32 * MIB);
    assert_int_equal(pgf_wal_page_decode(arena, bytes, sizeof(bytes), &page).code, HF_OK);
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_int_equal(pgf_wal_page_check(arena, &page, &cases[i].expect).code, cases[i].code);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lsn__prints_and_parses),
        cmocka_unit_test(test_lsn__refuses_what_is_none),
        cmocka_unit_test(test_segno__puts_a_boundary_into_the_next_segment),
        cmocka_unit_test(test_wal_name__depends_on_the_segment_size),
        cmocka_unit_test(test_wal_name__refuses_foreign_names),
        cmocka_unit_test(test_page__knows_five_versions),
        cmocka_unit_test(test_page__refuses_damage),
        cmocka_unit_test(test_page__is_checked_against_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* backup_label and tablespace_map. */
#include <string.h>

#include "base/check.h"
#include "pgformat/label.h"
#include "tests/unit/unit.h"

static const char good[] = "START WAL LOCATION: 0/2000028 (file 000000030000000000000002)\n"
                           "CHECKPOINT LOCATION: 0/2000060\n"
                           "BACKUP METHOD: streamed\n"
                           "BACKUP FROM: primary\n"
                           "START TIME: 2026-11-24 04:10:00 UTC\n"
                           "LABEL: holdfast orders\n"
                           "START TIMELINE: 3\n";

static void test_label__is_parsed(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_label label;
    (void)state;

    assert_int_equal(pgf_label_parse(arena, hf_str_of(good), &label).code, HF_OK);
    assert_int_equal(label.start_lsn, 0x2000028);
    assert_int_equal(label.checkpoint_lsn, 0x2000060);
    assert_int_equal(label.start_timeline, 3);
    assert_string_equal(label.start_wal_file, "000000030000000000000002");
    assert_string_equal(label.backup_method, "streamed");
    assert_string_equal(label.backup_from, "primary");
    assert_string_equal(label.start_time, "2026-11-24 04:10:00 UTC");
    assert_string_equal(label.label, "holdfast orders");
}

static void test_label__refuses_what_lacks_its_start(void **state)
{
    static const char *const cases[] = {
        "",
        "CHECKPOINT LOCATION: 0/2000060\n",
        "START WAL LOCATION: 0/2000028\nCHECKPOINT LOCATION: 0/2000060\n",
        "START WAL LOCATION: x (file 000000030000000000000002)\nCHECKPOINT LOCATION: 0/2\n",
        "START WAL LOCATION: 0/28 (file 00000003000000000000000)\nCHECKPOINT LOCATION: 0/2\n",
        "START WAL LOCATION: 0/2000028 (file 000000030000000000000002)\n",
        ("START WAL LOCATION: 0/2000028 (file 000000030000000000000002)\n"
         "CHECKPOINT LOCATION: 0/2000060\nSTART TIMELINE: none\n"),
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_label label;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_int_equal(pgf_label_parse(arena, hf_str_of(cases[i]), &label).code, HF_DATA_LOSS);
    }
}

static void test_label__refuses_incremental_backups(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    char *text = hf_printf(arena, "%sINCREMENTAL FROM LSN: 0/1\n", good);
    struct pgf_label label;
    struct hf_status status = pgf_label_parse(arena, hf_str_of(text), &label);
    (void)state;

    assert_int_equal(status.code, HF_DATA_LOSS);
    assert_string_equal(status.info->reason, "INCREMENTAL_BACKUP");
}

static void test_tablespace_map__keeps_odd_paths(void **state)
{
    static const struct pgf_tablespace items[] = {
        {16385, "/srv/fast disk"}, {16386, "/odd\\back"}, {4294967295U, "/new\nline\rreturn"}};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    const struct pgf_tablespace *parsed;
    size_t len;
    (void)state;

    hf_buf_init(&out, 4096);
    pgf_tablespace_map_print(items, HF_LEN(items), &out);
    assert_int_equal(
        pgf_tablespace_map_parse(arena, hf_str_of(hf_buf_text(&out)), &parsed, &len).code, HF_OK);
    assert_int_equal(len, 3);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(parsed[i].oid, items[i].oid);
        assert_string_equal(parsed[i].path, items[i].path);
    }
}

static void test_tablespace_map__refuses_bad_lines(void **state)
{
    static const char *const cases[] = {"16385\n",  "x /a\n",          "0 /a\n",
                                        "16385 \n", "4294967296 /a\n", "5 /a\n5 /b\n"};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    const struct pgf_tablespace *parsed;
    size_t len;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        assert_int_equal(pgf_tablespace_map_parse(arena, hf_str_of(cases[i]), &parsed, &len).code,
                         HF_DATA_LOSS);
    }
    assert_int_equal(pgf_tablespace_map_parse(arena, HF_STR("5 /a"), &parsed, &len).code, HF_OK);
    assert_int_equal(len, 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_label__is_parsed),
        cmocka_unit_test(test_label__refuses_what_lacks_its_start),
        cmocka_unit_test(test_label__refuses_incremental_backups),
        cmocka_unit_test(test_tablespace_map__keeps_odd_paths),
        cmocka_unit_test(test_tablespace_map__refuses_bad_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

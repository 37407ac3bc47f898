/* What the vault says, value by value: a journal written by somebody who has the key. */
#include <string.h>

#include "backup/work/found.h"
#include "tests/unit/unit.h"

static const struct vault_point_info good_point = {
    .id = "b-1",
    .lineage = "l1",
    .root = "tenants/default/sources/x/roots/b-1",
    .timeline = 1,
    .start_lsn = 0x2000028,
    .stop_lsn = 0x2000100,
    .start_time_us = 1700000000000000,
    .stop_time_us = 1700000001000000,
    .source_bytes = 1,
    .changed_bytes = 1,
    .stored_bytes = 1,
    .files = 1,
    .server_version = 150004,
};

#define ARENA(arena) HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536)

static struct hf_status judge_point(struct hf_arena *arena, const struct vault_point_info *point,
                                    uint64_t entry, struct backup_row *ret_row)
{
    struct vault_point_info points[] = {*point};
    uint64_t entries[] = {entry};
    const struct vault_source_state state = {
        .points = points, .point_entries = entries, .points_len = 1, .head = 10};

    return found_point(arena, &state, &points[0], ret_row);
}

static void expect_no_point(struct vault_point_info point, uint64_t entry, const char *what)
{
    ARENA(arena);
    struct backup_row row = {.cluster_id = "as it was"};
    struct hf_status status = judge_point(arena, &point, entry, &row);

    assert_int_equal(status.code, HF_DATA_LOSS);
    assert_non_null(strstr(status.message, what));
    assert_null(row.id);
    assert_string_equal(row.cluster_id, "as it was");
}

#define BAD_POINT(what, field, value)                                                              \
    do {                                                                                           \
        struct vault_point_info bad = good_point;                                                  \
        bad.field = (value);                                                                       \
        expect_no_point(bad, 7, what);                                                             \
    } while (0)

static void test_found__a_point_becomes_a_row(void **state)
{
    ARENA(arena);
    struct backup_row row = {.cluster_id = "as it was"};

    (void)state;
    assert_int_equal(judge_point(arena, &good_point, 7, &row).code, HF_OK);
    assert_string_equal(row.id, "b-1");
    assert_string_equal(row.cluster_id, "as it was");
    assert_int_equal(row.journal_entry, 7);
    assert_int_equal(row.start_lsn, 0x2000028);
    assert_int_equal(row.stop_lsn, 0x2000100);
    assert_int_equal(row.end_time_us, 1700000001000000);
}

static void test_found__no_value_of_a_point_is_taken_unjudged(void **state)
{
    (void)state;
    BAD_POINT("id", id, "../b");
    BAD_POINT("lineage", lineage, "l1\n");
    BAD_POINT("root", root, "roots/\xff");
    BAD_POINT("root", root, "/etc/passwd");
    BAD_POINT("timeline", timeline, 0);
    BAD_POINT("timeline", timeline, UINT32_MAX);
    BAD_POINT("start", start_lsn, 0);
    BAD_POINT("stop", stop_lsn, good_point.start_lsn - 1);
    BAD_POINT("stop", start_lsn, UINT64_MAX);
    BAD_POINT("start time", start_time_us, INT64_MIN);
    BAD_POINT("stop time", stop_time_us, INT64_MAX);
    BAD_POINT("size of its source", source_bytes, UINT64_MAX);
    BAD_POINT("size of its changes", changed_bytes, UINT64_MAX);
    BAD_POINT("size in the vault", stored_bytes, UINT64_C(1) << 63);
    BAD_POINT("number of files", files, UINT64_MAX);
    BAD_POINT("server version", server_version, UINT32_MAX);
    expect_no_point(good_point, 0, "journal entry");
    expect_no_point(good_point, 11, "journal entry");
    expect_no_point(good_point, UINT64_MAX, "journal entry");
}

static const struct vault_source_info good_source = {
    .name = "orders",
    .system_identifier = "7713336593179105113",
    .server_version = 150004,
    .wal_segment_bytes = 16 << 20,
};

static struct hf_status judge_source(struct hf_arena *arena, struct vault_source_info source,
                                     const char *lineage, struct cluster_row *ret_row)
{
    struct vault_lineage_info lineages[] = {{.lineage = lineage}};
    const struct vault_source_state state = {
        .source = source, .lineages = lineages, .lineages_len = lineage != NULL, .head = 10};

    return found_source(arena, &state, ret_row);
}

static void expect_no_source(struct vault_source_info source, const char *lineage, const char *what)
{
    ARENA(arena);
    struct cluster_row row = {.id = "as it was"};
    struct hf_status status = judge_source(arena, source, lineage, &row);

    assert_int_equal(status.code, HF_DATA_LOSS);
    assert_non_null(strstr(status.message, what));
    assert_null(row.name);
}

#define BAD_SOURCE(what, field, value)                                                             \
    do {                                                                                           \
        struct vault_source_info bad = good_source;                                                \
        bad.field = (value);                                                                       \
        expect_no_source(bad, "l1", what);                                                         \
    } while (0)

static void test_found__a_source_becomes_a_row(void **state)
{
    ARENA(arena);
    struct cluster_row row = {.id = "as it was"};

    (void)state;
    assert_int_equal(judge_source(arena, good_source, "l3", &row).code, HF_OK);
    assert_string_equal(row.id, "as it was");
    assert_string_equal(row.name, "orders");
    assert_string_equal(row.lineage, "l3");
    assert_int_equal(row.journal_head, 10);
    assert_int_equal(judge_source(arena, good_source, NULL, &row).code, HF_OK);
    assert_string_equal(row.lineage, "l1");
}

static void test_found__no_value_of_a_source_is_taken_unjudged(void **state)
{
    (void)state;
    BAD_SOURCE("name", name, "orders; DROP");
    BAD_SOURCE("name", name, "");
    BAD_SOURCE("system identifier", system_identifier, "");
    BAD_SOURCE("system identifier", system_identifier, "-1");
    BAD_SOURCE("system identifier", system_identifier, "999999999999999999999999");
    BAD_SOURCE("server version", server_version, UINT32_MAX);
    BAD_SOURCE("segments", wal_segment_bytes, 0);
    BAD_SOURCE("segments", wal_segment_bytes, (16 << 20) + 1);
    BAD_SOURCE("segments", wal_segment_bytes, UINT64_MAX);
    expect_no_source(good_source, "L\x1b", "lineage");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found__a_point_becomes_a_row),
        cmocka_unit_test(test_found__no_value_of_a_point_is_taken_unjudged),
        cmocka_unit_test(test_found__a_source_becomes_a_row),
        cmocka_unit_test(test_found__no_value_of_a_source_is_taken_unjudged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What may start, what may be deleted, how ids look. */
#include <string.h>

#include "backup/domain/admit.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static void test_admit__refuses_a_second_backup_of_a_cluster(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    struct admit_snapshot seen = {.cluster = "orders", .is_connected = true};

    (void)state;
    assert_int_equal(admit_backup(arena, &seen).code, HF_OK);
    seen.active_job = "j1";
    seen.active_backup = "b1";
    struct hf_status status = admit_backup(arena, &seen);

    assert_int_equal(status.code, HF_FAILED_PRECONDITION);
    assert_string_equal(status.info->reason, "BACKUP_ALREADY_RUNNING");
    assert_non_null(strstr(status.message, "holdfast job cancel j1"));
}

static void test_admit__refuses_a_cluster_without_connection(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    const struct admit_snapshot seen = {.cluster = "orders"};

    (void)state;
    assert_string_equal(admit_backup(arena, &seen).info->reason, "NOT_CONNECTED");
}

static void test_admit__keeps_the_newest_point_and_running_backups(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    const struct admit_delete newest = {"b2", "SUCCEEDED", "b2"};
    const struct admit_delete older = {"b1", "SUCCEEDED", "b2"};
    const struct admit_delete running = {"b3", "RUNNING", "b2"};

    (void)state;
    assert_string_equal(admit_backup_delete(arena, &newest).info->reason, "NEWEST_POINT");
    assert_int_equal(admit_backup_delete(arena, &older).code, HF_OK);
    assert_string_equal(admit_backup_delete(arena, &running).info->reason, "BACKUP_NOT_ENDED");
}

static void test_admit__ids_sort_by_time_and_are_names(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    const char *id = admit_backup_id(arena, 'b', INT64_C(1795492081123456), 0xff4f9a1c);

    (void)state;
    assert_true(hf_is_name(id));
    assert_string_equal(id, "b20261124t034801-07ba1c");
    assert_true(strcmp(id, admit_backup_id(arena, 'b', INT64_C(1795492081124456), 0)) < 0);
    assert_true(strcmp(id, admit_backup_id(arena, 'b', INT64_C(1795492082000000), 0)) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admit__refuses_a_second_backup_of_a_cluster),
        cmocka_unit_test(test_admit__refuses_a_cluster_without_connection),
        cmocka_unit_test(test_admit__keeps_the_newest_point_and_running_backups),
        cmocka_unit_test(test_admit__ids_sort_by_time_and_are_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

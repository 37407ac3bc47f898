/* Job arguments survive being stored. */
#include "backup/domain/args.h"
#include "tests/unit/unit.h"

static void test_args__come_back_as_they_were(void **state)
{
    static const struct args cases[] = {{"c1", "b2", false}, {"c1", "", false}, {"", "b2", false},
                                        {"", "", false},     {"", "", true},    {"c1", "b2", true}};
    struct hf_arena *arena = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct args back = args_decode(arena, args_encode(arena, &cases[i]));

        assert_string_equal(back.cluster_id, cases[i].cluster_id);
        assert_string_equal(back.backup_id, cases[i].backup_id);
        assert_int_equal(back.accept_rollback, cases[i].accept_rollback);
    }
}

static void test_args__missing_parts_are_empty(void **state)
{
    struct args back = args_decode(*state, "");

    assert_string_equal(back.cluster_id, "");
    assert_string_equal(back.backup_id, "");
    assert_string_equal(args_decode(*state, "alone").cluster_id, "alone");
    assert_string_equal(args_decode(*state, "alone").backup_id, "");
}

static int set_up(void **state)
{
    *state = hf_arena_new(65536);
    return 0;
}

static int tear_down(void **state)
{
    hf_arena_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_args__come_back_as_they_were, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_args__missing_parts_are_empty, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

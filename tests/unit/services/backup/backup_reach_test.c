/* Who answers for which WAL. */
#include "backup/domain/reach.h"
#include "tests/unit/unit.h"

/* Out of order, one beside the way. */
static const struct reach_point points[] = {
    {true, 300, 350}, {true, 100, 150}, {false, 160, 170}, {true, 200, 250}};

static void test_reach__ends_where_the_next_point_takes_over(void **state)
{
    (void)state;
    assert_int_equal(reach_end(points, 4, 1), 250);
    assert_int_equal(reach_end(points, 4, 3), 350);
}

static void test_reach__of_the_newest_point_has_no_end(void **state)
{
    (void)state;
    assert_true(reach_end(points, 4, 0) == UINT64_MAX);
    assert_true(reach_end(points, 1, 0) == UINT64_MAX);
}

static void test_reach__covers_all_from_the_first_start(void **state)
{
    (void)state;
    for (uint64_t lsn = 0; lsn < 1000; lsn++) {
        size_t who = 0;

        for (size_t i = 0; i < 4; i++) {
            who += reach_is_affected(points, 4, i, lsn, lsn + 1);
        }
        assert_int_equal(who, lsn < 100                 ? 0
                              : lsn >= 200 && lsn < 250 ? 2
                              : lsn >= 300 && lsn < 350 ? 2
                                                        : 1);
    }
}

static void test_reach__a_point_beside_the_way_is_not_affected(void **state)
{
    (void)state;
    assert_false(reach_is_affected(points, 4, 2, 0, 1000));
    assert_int_equal(reach_end(points, 4, 2), 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reach__ends_where_the_next_point_takes_over),
        cmocka_unit_test(test_reach__of_the_newest_point_has_no_end),
        cmocka_unit_test(test_reach__covers_all_from_the_first_start),
        cmocka_unit_test(test_reach__a_point_beside_the_way_is_not_affected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

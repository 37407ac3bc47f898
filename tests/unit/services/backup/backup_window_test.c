/* The recovery window over points and gaps. */
#include "backup/domain/window.h"
#include "tests/unit/unit.h"

static const struct window_point points[] = {{100, 10}, {200, 20}, {300, 30}};

static void test_window__is_closed_without_points(void **state)
{
    (void)state;
    assert_false(window_of(NULL, 0, NULL, 0, 99).is_open);
}

static void test_window__reaches_from_first_point_to_proven_time(void **state)
{
    struct window window = window_of(points, 3, NULL, 0, 99);

    (void)state;
    assert_true(window.is_open);
    assert_int_equal(window.start_us, 10);
    assert_int_equal(window.end_us, 99);
}

static void test_window__ends_at_newest_point_when_no_time_is_proven(void **state)
{
    (void)state;
    assert_int_equal(window_of(points, 3, NULL, 0, 0).end_us, 30);
}

static void test_window__starts_after_the_last_gap(void **state)
{
    const struct window_gap gap = {210, 250};
    struct window window = window_of(points, 3, &gap, 1, 99);

    (void)state;
    assert_true(window.is_open);
    assert_int_equal(window.start_us, 30);
}

static void test_window__needs_the_wal_from_a_points_start_on(void **state)
{
    const struct window_gap before = {150, 200};
    const struct window_gap within = {150, 201};

    (void)state;
    assert_int_equal(window_of(points, 3, &before, 1, 99).start_us, 20);
    assert_int_equal(window_of(points, 3, &within, 1, 99).start_us, 30);
}

static void test_window__is_closed_when_a_gap_follows_all_points(void **state)
{
    const struct window_gap gap = {310, 320};

    (void)state;
    assert_false(window_of(points, 3, &gap, 1, 99).is_open);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window__is_closed_without_points),
        cmocka_unit_test(test_window__reaches_from_first_point_to_proven_time),
        cmocka_unit_test(test_window__ends_at_newest_point_when_no_time_is_proven),
        cmocka_unit_test(test_window__starts_after_the_last_gap),
        cmocka_unit_test(test_window__needs_the_wal_from_a_points_start_on),
        cmocka_unit_test(test_window__is_closed_when_a_gap_follows_all_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

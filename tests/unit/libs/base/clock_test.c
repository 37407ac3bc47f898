/* Time as text, both ways; what is refused says why. */
#include <math.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "tests/unit/unit.h"

#define S HF_US_PER_S

static const struct {
    const char *text;
    int64_t us;
} good[] = {
    {"1970-01-01T00:00:00Z", 0},
    {"2000-01-01 00:00:00+00", HF_PG_EPOCH_US},
    {"2026-11-23 12:00:00+00", INT64_C(1795435200) * S},
    {"2026-11-23T12:00:00z", INT64_C(1795435200) * S},
    {"2026-11-23 17:30:00+05:30", INT64_C(1795435200) * S},
    {"2026-11-23 17:30:00+0530", INT64_C(1795435200) * S},
    {"2026-11-23 04:00:00-08", INT64_C(1795435200) * S},
    {"2026-11-23 12:00 +00", INT64_C(1795435200) * S},
    {"2026-11-23 12:00:00.123456+00", INT64_C(1795435200) * S + 123456},
    {"2026-11-23 12:00:00.5Z", INT64_C(1795435200) * S + 500000},
    {"2026-11-23 12:00:00.123456789Z", INT64_C(1795435200) * S + 123456},
    {"2024-02-29T23:59:60Z", INT64_C(1709251200) * S},
    {"1969-12-31T23:59:59Z", -S},
    {"1883-11-18 12:00:00-07:52:58", INT64_C(-2717640422) * S},
};

static void test_time_parse__takes_rfc3339_and_postgresql(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    (void)state;

    for (size_t i = 0; i < HF_LEN(good); i++) {
        int64_t us = 1;
        struct hf_status status = hf_time_parse(arena, good[i].text, &us);
        if (!hf_is_ok(status) || us != good[i].us) {
            fail_msg("%s: %s, %lld", good[i].text, status.message, (long long)us);
        }
    }
}

static void test_time_parse__refuses_time_without_offset(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    int64_t us = 77;
    struct hf_status status = hf_time_parse(arena, "2026-11-23 12:00:00", &us);
    (void)state;

    assert_int_equal(status.code, HF_INVALID_ARGUMENT);
    assert_non_null(strstr(status.message, "has no offset"));
    assert_non_null(strstr(status.message, "+00"));
    assert_int_equal(us, 77);
}

static void test_time_parse__refuses_what_is_no_time(void **state)
{
    static const char *const bad[] = {
        "",
        "now",
        "2026-11-23",
        "2026-11-23T",
        "2026-13-01T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T12:60:00Z",
        "2026-11-23T12:00:61Z",
        "2026-11-23T12:00:00.Z",
        "2026-11-23T12:00:00Zx",
        "2026-11-23T12:00:00 UTC",
        "2026-11-23T12:00:00+",
        "2026-11-23T12:00:00+5",
        "2026-11-23T12:00:00+16",
        "2026-11-23T12:00:00+05:",
        "0000-01-01T00:00:00Z",
        "26-11-23T12:00:00Z",
        " 2026-11-23T12:00:00Z",
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    (void)state;

    for (size_t i = 0; i < HF_LEN(bad); i++) {
        int64_t us;
        struct hf_status status = hf_time_parse(arena, bad[i], &us);
        if (status.code != HF_INVALID_ARGUMENT) {
            fail_msg("%s was taken", bad[i]);
        }
    }
}

static void test_time_text__comes_back_as_the_same_time(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    int64_t us = -2000000000 * S + 7;
    (void)state;

    for (int i = 0; i < 2000; i++) {
        int64_t back = 0;
        assert_true(hf_is_ok(hf_time_parse(arena, hf_time_text(arena, us), &back)));
        assert_int_equal(back, us);
        us += 86399 * 37 * S + 1234567;
    }
    assert_string_equal(hf_time_text(arena, -1), "1969-12-31T23:59:59.999999Z");
}

static void test_duration_text__has_two_units_at_most(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        {0, "0us"},           {999, "999us"},      {12345, "12ms"},
        {3400000, "3.4s"},    {61 * S, "1m 1s"},   {3720 * S, "1h 2m"},
        {90000 * S, "1d 1h"}, {-3400000, "-3.4s"}, {INT64_MIN, "-106751991d 4h"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    (void)state;

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        assert_string_equal(hf_duration_text(arena, rows[i].us), rows[i].text);
    }
}

static void test_clocks__move_forward(void **state)
{
    int64_t mono = hf_mono_us();
    (void)state;

    assert_true(hf_mono_us() >= mono);
    assert_true(hf_boot_us() > 0);
    assert_true(hf_now_us() > INT64_C(1700000000) * S);
}

/* Any number of a stranger is a time that can be parsed again. */
static void test_time_text__takes_every_number(void **state)
{
    static const struct {
        int64_t us;
        const char *text;
    } rows[] = {
        {INT64_MIN, "0001-01-01T00:00:00.000000Z"},
        {HF_TIME_MIN_US - 1, "0001-01-01T00:00:00.000000Z"},
        {HF_TIME_MIN_US, "0001-01-01T00:00:00.000000Z"},
        {HF_TIME_MAX_US, "9999-12-31T23:59:59.999999Z"},
        {HF_TIME_MAX_US + 1, "9999-12-31T23:59:59.999999Z"},
        {INT64_C(300000000000) * S, "9999-12-31T23:59:59.999999Z"},
        {INT64_MAX, "9999-12-31T23:59:59.999999Z"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    (void)state;

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        int64_t us = 0;
        assert_string_equal(hf_time_text(arena, rows[i].us), rows[i].text);
        assert_true(hf_is_ok(hf_time_parse(arena, rows[i].text, &us)));
        assert_int_equal(us == rows[i].us, hf_time_in_range(rows[i].us));
    }
}

static void test_time_parse__refuses_what_an_offset_moves_out_of_range(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    int64_t us = 0;
    (void)state;

    assert_int_equal(hf_time_parse(arena, "0001-01-01T00:00:00+01", &us).code, HF_INVALID_ARGUMENT);
    assert_int_equal(hf_time_parse(arena, "9999-12-31T23:59:59-01", &us).code, HF_INVALID_ARGUMENT);
    assert_int_equal(hf_time_parse(arena, "9999-12-31T23:59:60Z", &us).code, HF_INVALID_ARGUMENT);
}

static void test_time__numbers_of_strangers_do_not_overflow(void **state)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t us;
    } parts[] = {
        {0, 0, 0},
        {1, 999999999, S + 999999},
        {-1, 500000000, -S + 500000},
        {0, -1000, -1},
        {INT64_MAX, INT32_MAX, HF_TIME_MAX_US},
        {INT64_MIN, INT32_MIN, HF_TIME_MIN_US},
        {INT64_C(300000000000), 0, HF_TIME_MAX_US},
        {253402300799, 999999999, HF_TIME_MAX_US},
    };
    (void)state;

    for (size_t i = 0; i < HF_LEN(parts); i++) {
        assert_int_equal(hf_time_of_parts(parts[i].seconds, parts[i].nanos), parts[i].us);
    }
    assert_int_equal(hf_us_of_seconds(1.5), S + S / 2);
    assert_int_equal(hf_us_of_seconds(-0.25), -S / 4);
    assert_int_equal(hf_us_of_seconds(1e300), HF_TIME_MAX_US);
    assert_int_equal(hf_us_of_seconds(-1e300), HF_TIME_MIN_US);
    assert_int_equal(hf_us_of_seconds((double)INFINITY), HF_TIME_MAX_US);
    assert_int_equal(hf_us_of_seconds((double)-INFINITY), HF_TIME_MIN_US);
    assert_int_equal(hf_us_of_seconds((double)NAN), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_parse__takes_rfc3339_and_postgresql),
        cmocka_unit_test(test_time_parse__refuses_time_without_offset),
        cmocka_unit_test(test_time_parse__refuses_what_is_no_time),
        cmocka_unit_test(test_time_text__comes_back_as_the_same_time),
        cmocka_unit_test(test_duration_text__has_two_units_at_most),
        cmocka_unit_test(test_clocks__move_forward),
        cmocka_unit_test(test_time_text__takes_every_number),
        cmocka_unit_test(test_time_parse__refuses_what_an_offset_moves_out_of_range),
        cmocka_unit_test(test_time__numbers_of_strangers_do_not_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

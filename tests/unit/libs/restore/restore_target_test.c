/* Targets as people type them. */
#include "tests/unit/libs/restore/restore_fixture.h"

static struct hf_arena *arena_of(void **state)
{
    return ((struct fixture *)*state)->ctx.arena;
}

static void test_target__takes_times_with_any_offset(void **state)
{
    static const char *const same[] = {"2026-11-23 12:00:00+00",    "2026-11-23T12:00:00Z",
                                       "2026-11-23 17:30:00+05:30", "2026-11-23 04:00:00-08",
                                       "2026-11-24 03:00:00+15",    "2026-11-23 12:00 +0000",
                                       "2026-11-23 12:00:00.000Z",  "2026-11-23 11:59:60+00",
                                       "2026-11-22 21:00:00-15",    "2026-11-23 12:00:00+00:00"};

    for (size_t i = 0; i < HF_LEN(same); i++) {
        struct restore_target target;

        assert_ok(restore_target_time(arena_of(state), same[i], &target));
        assert_int_equal(target.kind, RESTORE_TIME);
        assert_int_equal(target.time_us, INT64_C(1795435200) * HF_US_PER_S);
        assert_false(target.is_exclusive);
    }
}

static void test_target__refuses_what_is_no_moment(void **state)
{
    static const char *const bad[] = {
        "",
        "2026-11-23 12:00:00", /* whose noon? */
        "yesterday",
        "2026-11-23 12:00:00 UTC",
        "2026-11-23 12:00:00 Europe/Berlin",
        "2026-02-30 12:00:00Z",
        "2026-11-23 25:00:00Z",
        "2026-11-23 12:00:00+99",
        "99999999-11-23 12:00:00Z",
        "2026-11-23 12:00:00.Z",
        "2026-11-23 12:00:00Z; drop",
        "2026-11-23\n12:00:00Z",
        "1795435200",
        "-1",
        "%s%s%s%n",
    };

    for (size_t i = 0; i < HF_LEN(bad); i++) {
        struct restore_target target = {.time_us = 5};

        assert_code(restore_target_time(arena_of(state), bad[i], &target), HF_INVALID_ARGUMENT);
        assert_int_equal(target.time_us, 5); /* outputs are set on success only */
    }
}

static void test_target__survives_a_very_long_text(void **state)
{
    struct restore_target target;
    char *text = hf_alloc(arena_of(state), 100001);

    memset(text, '9', 100000);
    text[100000] = '\0';
    assert_code(restore_target_time(arena_of(state), text, &target), HF_INVALID_ARGUMENT);
    assert_code(restore_target_lsn(arena_of(state), text, &target), HF_INVALID_ARGUMENT);
    assert_code(restore_target_xid(arena_of(state), text, &target), HF_INVALID_ARGUMENT);
}

static void test_target__takes_lsns_and_xids(void **state)
{
    struct restore_target target;

    assert_ok(restore_target_lsn(arena_of(state), "0/16B3748", &target));
    assert_int_equal(target.lsn, 0x16B3748);
    assert_ok(restore_target_lsn(arena_of(state), "FFFFFFFF/ffffffff", &target));
    assert_true(target.lsn == UINT64_MAX);
    assert_ok(restore_target_xid(arena_of(state), "3", &target));
    assert_int_equal(target.xid, 3);
    assert_ok(restore_target_xid(arena_of(state), "18446744073709551615", &target));
}

static void test_target__refuses_other_lsns_and_xids(void **state)
{
    static const char *const lsns[] = {"",     "0/0",   "16B3748",     "/1",
                                       "1/",   "0x1/1", "1/123456789", "g/1",
                                       " 0/1", "0/1 ",  "-1/1",        "0/1/2"};
    static const char *const xids[] = {"",   "0",   "2",  "-5",
                                       "5x", "0x5", " 7", "18446744073709551616"};
    struct restore_target target;

    for (size_t i = 0; i < HF_LEN(lsns); i++) {
        assert_code(restore_target_lsn(arena_of(state), lsns[i], &target), HF_INVALID_ARGUMENT);
    }
    for (size_t i = 0; i < HF_LEN(xids); i++) {
        assert_code(restore_target_xid(arena_of(state), xids[i], &target), HF_INVALID_ARGUMENT);
    }
}

static void test_target__is_told_as_it_was_meant(void **state)
{
    static const struct {
        struct restore_target target;
        const char *text;
    } rows[] = {
        {{.kind = RESTORE_LATEST}, "latest"},
        {{.kind = RESTORE_IMMEDIATE}, "immediate"},
        {{.kind = RESTORE_TIME, .time_us = 0}, "time 1970-01-01T00:00:00.000000Z"},
        {{.kind = RESTORE_LSN, .lsn = 0x100000028}, "lsn 1/28"},
        {{.kind = RESTORE_XID, .xid = 77}, "xid 77"},
        {{.kind = RESTORE_NAME, .name = "before drop"}, "name before drop"},
    };

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        assert_string_equal(restore_target_text(arena_of(state), &rows[i].target), rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_target__takes_times_with_any_offset),
        fixture_test(test_target__refuses_what_is_no_moment),
        fixture_test(test_target__survives_a_very_long_text),
        fixture_test(test_target__takes_lsns_and_xids),
        fixture_test(test_target__refuses_other_lsns_and_xids),
        fixture_test(test_target__is_told_as_it_was_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Etags: of what was seen, of something else, of nothing. */
#include "backup/api/etag.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static enum hf_code check(const char *given, int64_t revision)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    struct hf_ctx ctx = {.arena = arena};
    struct hf_status status = etag_check(&ctx, given, revision, "cluster orders");

    if (!hf_is_ok(status)) {
        assert_string_equal(status.info->reason, "ETAG_MISMATCH");
        assert_string_equal(status.message, "cluster orders has changed since it was read");
    }
    return status.code;
}

static void test_etag__is_of_one_revision(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);

    (void)state;
    assert_int_equal(check(etag_of(arena, 7), 7), HF_OK);
    assert_int_equal(check(etag_of(arena, 6), 7), HF_ABORTED);
    assert_int_equal(check(etag_of(arena, INT64_MAX), INT64_MAX), HF_OK);
    assert_int_equal(check(etag_of(arena, INT64_MAX), INT64_MIN), HF_ABORTED);
}

static void test_etag__that_is_not_given_fits_all(void **state)
{
    (void)state;
    assert_int_equal(check(NULL, 7), HF_OK);
    assert_int_equal(check("", 7), HF_OK);
}

static void test_etag__is_no_number_that_is_written_otherwise(void **state)
{
    (void)state;
    assert_int_equal(check("07", 7), HF_ABORTED);
    assert_int_equal(check(" 7", 7), HF_ABORTED);
    assert_int_equal(check("7\n", 7), HF_ABORTED);
    assert_int_equal(check("*", 7), HF_ABORTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_etag__is_of_one_revision),
        cmocka_unit_test(test_etag__that_is_not_given_fits_all),
        cmocka_unit_test(test_etag__is_no_number_that_is_written_otherwise),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

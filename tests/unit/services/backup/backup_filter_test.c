/* Filters of lists. */
#include "backup/api/filter.h"
#include "tests/unit/unit.h"

static const char *const fields[] = {"kind", "state", NULL};

static void test_filter__parses_terms_joined_by_and(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    struct filter filter;

    (void)state;
    assert_int_equal(filter_parse(arena, "", fields, &filter).code, HF_OK);
    assert_int_equal(filter.len, 0);
    assert_int_equal(
        filter_parse(arena, " kind=\"backup\" AND state = RUNNING ", fields, &filter).code, HF_OK);
    assert_string_equal(filter_value(&filter, "kind"), "backup");
    assert_string_equal(filter_value(&filter, "state"), "RUNNING");
    assert_string_equal(filter_value(&filter, "other"), "");
}

static void test_filter__refuses_everything_else(void **state)
{
    static const char *const bad[] = {
        "kind",         "kind = ",       "kind = \"x",
        "name = \"x\"", "kind != \"x\"", "kind = \"x\" OR state = \"y\"",
        "kind = x AND", "= \"x\""};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(65536);
    struct filter filter;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(filter_parse(arena, bad[i], fields, &filter).code, HF_INVALID_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter__parses_terms_joined_by_and),
        cmocka_unit_test(test_filter__refuses_everything_else),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

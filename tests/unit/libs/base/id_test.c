/* UUIDv7: order, form, parsing. */
#include <string.h>

#include "base/id.h"
#include "tests/unit/unit.h"

static void test_uuid__has_time_version_and_variant(void **state)
{
    struct hf_uuid uuid = hf_uuid_new(INT64_C(1645557742000) * 1000);
    char text[HF_UUID_TEXT_LEN + 1];
    (void)state;

    hf_uuid_text(&uuid, text);
    assert_memory_equal(text, "017f22e2-79b0-7", 15);
    assert_non_null(strchr("89ab", text[19]));
    assert_int_equal(strlen(text), HF_UUID_TEXT_LEN);
}

static void test_uuid__sorts_by_time(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    const char *early = hf_uuid_new_text(arena, 1000000);
    const char *late = hf_uuid_new_text(arena, 2000000);
    (void)state;

    assert_true(strcmp(early, late) < 0);
    assert_string_not_equal(late, hf_uuid_new_text(arena, 2000000));
}

static void test_uuid__parse_takes_its_own_text_only(void **state)
{
    static const char *const bad[] = {
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e2x79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
    };
    struct hf_uuid uuid;
    char text[HF_UUID_TEXT_LEN + 1];
    (void)state;

    assert_int_equal(hf_uuid_parse("017F22E2-79b0-7cc3-98c4-dc0c0c07398f", &uuid), 0);
    hf_uuid_text(&uuid, text);
    assert_string_equal(text, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(hf_uuid_parse(bad[i], &uuid), -1);
    }
    assert_int_equal(hf_uuid_parse(NULL, &uuid), -1);
}

static void test_random__differs(void **state)
{
    uint8_t a[300];
    uint8_t b[300];
    (void)state;

    hf_random(a, sizeof(a));
    hf_random(b, sizeof(b));
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uuid__has_time_version_and_variant),
        cmocka_unit_test(test_uuid__sorts_by_time),
        cmocka_unit_test(test_uuid__parse_takes_its_own_text_only),
        cmocka_unit_test(test_random__differs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

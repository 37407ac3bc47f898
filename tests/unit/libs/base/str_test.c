/* Numbers, hex, names, distances, UTF-8. */
#include <string.h>

#include "base/check.h"
#include "base/str.h"
#include "tests/unit/unit.h"

static void test_parse_u64__is_all_or_nothing(void **state)
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "99999999999999999999999"};
    uint64_t value = 0;
    (void)state;

    assert_true(hf_parse_u64("18446744073709551615", &value));
    assert_true(value == UINT64_MAX);
    assert_true(hf_parse_u64("007", &value));
    assert_int_equal(value, 7);
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        assert_false(hf_parse_u64(bad[i], &value));
    }
    assert_false(hf_parse_u64(NULL, &value));
}

static void test_parse_i64__takes_both_ends(void **state)
{
    int64_t value = 0;
    (void)state;

    assert_true(hf_parse_i64("-9223372036854775808", &value));
    assert_true(value == INT64_MIN);
    assert_true(hf_parse_i64("9223372036854775807", &value));
    assert_true(value == INT64_MAX);
    assert_false(hf_parse_i64("9223372036854775808", &value));
    assert_false(hf_parse_i64("-9223372036854775809", &value));
    assert_false(hf_parse_i64("-", &value));
    assert_false(hf_parse_i64("--1", &value));
    assert_false(hf_parse_i64(NULL, &value));
}

static void test_hex__comes_back(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    uint8_t bytes[4] = {0};
    (void)state;

    assert_string_equal(hf_hex(arena, "\x00\x7f\xff", 3), "007fff");
    assert_true(hf_unhex("00ffA5a5", bytes, 4));
    assert_memory_equal(bytes, "\x00\xff\xa5\xa5", 4);
    assert_false(hf_unhex("00ffA5", bytes, 4));
    assert_false(hf_unhex("00ffA5a5a", bytes, 4));
    assert_false(hf_unhex("00ffA5ag", bytes, 4));
    assert_false(hf_unhex(NULL, bytes, 4));
}

static void test_text_distance__counts_edits_up_to_8(void **state)
{
    (void)state;
    assert_int_equal(hf_text_distance("orders", "orders"), 0);
    assert_int_equal(hf_text_distance("orders", "order"), 1);
    assert_int_equal(hf_text_distance("orders", "ordres"), 2);
    assert_int_equal(hf_text_distance("", "abc"), 3);
    assert_int_equal(hf_text_distance("aaaaaaaaaaaa", "bbbbbbbbbbbb"), 8);
}

static void test_is_name__follows_the_grammar(void **state)
{
    (void)state;
    assert_true(hf_is_name("orders-2"));
    assert_true(hf_is_name("a234567890123456789012345678901234567890"));
    assert_false(hf_is_name("a2345678901234567890123456789012345678901"));
    assert_false(hf_is_name(""));
    assert_false(hf_is_name("2orders"));
    assert_false(hf_is_name("Orders"));
    assert_false(hf_is_name("or/ders"));
    assert_false(hf_is_name(NULL));
}

static void test_text__compares_with_null(void **state)
{
    (void)state;
    assert_true(hf_text_equal(NULL, NULL));
    assert_false(hf_text_equal(NULL, ""));
    assert_true(hf_str_equal(hf_str_of(NULL), HF_STR("")));
    assert_true(hf_has_prefix("holdfast", "hold"));
    assert_false(hf_has_prefix("ho", "hold"));
    assert_true(hf_has_suffix("a.history", ".history"));
    assert_false(hf_has_suffix("history", ".history"));
    assert_true(hf_text_empty(NULL));
}

static void test_size_text__uses_binary_units(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    (void)state;

    assert_string_equal(hf_size_text(arena, 1023), "1023 B");
    assert_string_equal(hf_size_text(arena, 1536), "1.5 KiB");
    assert_string_equal(hf_size_text(arena, UINT64_C(1) << 30), "1.0 GiB");
    assert_string_equal(hf_size_text(arena, UINT64_MAX), "15.9 EiB");
}

static void test_utf8__refuses_ill_formed(void **state)
{
    static const char *const bad[] = {"\x80",     "\xc0\x80", "\xed\xa0\x80",    "\xf4\x90\x80\x80",
                                      "\xe2\x82", "\xff",     "\xf0\x80\x80\x80"};
    (void)state;

    assert_true(hf_is_utf8("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\x8a", 15));
    assert_true(hf_is_utf8("", 0));
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        assert_false(hf_is_utf8(bad[i], strlen(bad[i])));
    }
}

static void test_json_step__escapes(void **state)
{
    static const struct {
        const char *text;
        const char *escaped;
        size_t used;
    } rows[] = {
        {"a", "a", 1},
        {"\"x", "\\\"", 1},
        {"\\", "\\\\", 1},
        {"\n", "\\n", 1},
        {"\x01", "\\u0001", 1},
        {"\x7f", "\\u007f", 1},
        {"\xc3\xbc!", "\xc3\xbc", 2},
        {"\xc3!", "\xef\xbf\xbd", 1},
    };
    char step[HF_JSON_STEP];
    (void)state;

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        assert_int_equal(hf_json_step(rows[i].text, strlen(rows[i].text), step), rows[i].used);
        assert_string_equal(step, rows[i].escaped);
    }
}

#define EURO "\xe2\x82\xac"
#define MARK "\xe2\x80\xa6"
#define WAVE "\xf0\x9f\x8c\x8a"

static void test_utf8_cut__keeps_characters_whole(void **state)
{
    static const struct {
        const char *text;
        size_t max, len;
    } rows[] = {
        {"abc", 5, 3},
        {"abc", 2, 2},
        {"a" EURO, 4, 4},
        {"a" EURO, 3, 1},
        {"a" EURO, 2, 1},
        {"a" EURO, 1, 1},
        {WAVE WAVE, 7, 4},
        {WAVE WAVE, 5, 4},
        {WAVE WAVE, 4, 4},
        {WAVE, 3, 0},
        {EURO, 0, 0},
        {"\x80\x80\x80", 2, 2},
        {"\xe2\x82", 1, 1},
        {"\xe2\x82"
         "a",
         2, 2},
    };
    (void)state;

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        assert_int_equal(hf_utf8_cut(rows[i].text, strlen(rows[i].text), rows[i].max), rows[i].len);
    }
}

static const struct {
    const char *text;
    size_t max;
    const char *shown;
} shows[] = {
    {"orders", 100, "orders"},
    {"gr\xc3\xbc\xc3\x9f " EURO WAVE, 100, "gr\xc3\xbc\xc3\x9f " EURO WAVE},
    {"a\nb\tc", 100, "a\\x0ab\\x09c"},
    {"\x1b[2J\x7f", 100, "\\x1b[2J\\x7f"},
    {"\xc2\x85\xc2\x9b", 100, "\\x85\\x9b"},
    {"\xe2\x80\xae", 100, "\\u{202E}"},
    {"a\xe2\x80\x8b"
     "b\xef\xbb\xbf",
     100, "a\\u{200B}b\\u{FEFF}"},
    {"\xf3\xa0\x81\x81", 100, "\\u{E0041}"},
    {"\xff\xc0\x80", 100, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"\xed\xa0\x80", 100, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    {"caf\xc3", 100, "caf\xef\xbf\xbd"},
    {"c:\\x0a", 100, "c:\\x0a"},
    {"abcdef", 6, "abcdef"},
    {"abcdefg", 6, "abc" MARK},
    {EURO EURO EURO, 8, EURO MARK},
    {EURO EURO EURO, 9, EURO EURO EURO},
    {"abc\x01", 6, "abc" MARK},
    {"abcd", 3, MARK},
    {"abcd", 2, ""},
    {"abcd", 0, ""},
    {"", 0, ""},
};

static void test_text_show__is_safe_for_a_person(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(shows); i++) {
        const char *shown = hf_text_show(arena, shows[i].text, strlen(shows[i].text), shows[i].max);
        assert_string_equal(shown, shows[i].shown);
        assert_string_equal(hf_text_show(arena, shown, strlen(shown), shows[i].max), shown);
    }
    assert_string_equal(hf_text_show(arena, "a\0b", 3, 100), "a\\x00b");
}

/* Any bytes, any ceiling: valid, bounded, nothing that moves the cursor, the same when repeated. */
static void test_text_show__bounds_any_bytes(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    uint32_t seed = 7;
    (void)state;

    for (size_t round = 0; round < 4000; round++) {
        char bytes[48];
        for (size_t i = 0; i < sizeof(bytes); i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = (char)(seed >> 24);
        }
        size_t len = round % (sizeof(bytes) + 1);
        size_t max = round / 7 % 60;
        hf_arena_reset(arena);
        const char *shown = hf_text_show(arena, bytes, len, max);
        size_t shown_len = strlen(shown);
        assert_true(shown_len <= max && hf_is_utf8(shown, shown_len));
        for (size_t i = 0; i < shown_len; i++) {
            assert_true((uint8_t)shown[i] >= 0x20 && shown[i] != 0x7f);
        }
        assert_string_equal(hf_text_show(arena, shown, shown_len, max), shown);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_u64__is_all_or_nothing),
        cmocka_unit_test(test_parse_i64__takes_both_ends),
        cmocka_unit_test(test_hex__comes_back),
        cmocka_unit_test(test_text_distance__counts_edits_up_to_8),
        cmocka_unit_test(test_is_name__follows_the_grammar),
        cmocka_unit_test(test_text__compares_with_null),
        cmocka_unit_test(test_size_text__uses_binary_units),
        cmocka_unit_test(test_utf8__refuses_ill_formed),
        cmocka_unit_test(test_json_step__escapes),
        cmocka_unit_test(test_utf8_cut__keeps_characters_whole),
        cmocka_unit_test(test_text_show__is_safe_for_a_person),
        cmocka_unit_test(test_text_show__bounds_any_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

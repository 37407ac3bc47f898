/* Configuration text: read, filter, append. */
#include <string.h>

#include "base/check.h"
#include "pgformat/conf.h"
#include "tests/unit/unit.h"

static const char text[] = "# head\n"
                           "port = 5432\t# comment\n"
                           "  Archive_Command 'cp %p ''/a b''/%f'  # x\n"
                           "restore_command='old'\n"
                           "#primary_conninfo = 'commented'\n"
                           "port=6000\n"
                           "include_dir 'conf.d'\n"
                           "my.setting = 'a\\tb\\047'\n"
                           "recovery_target_time = '2026-01-01'\n"
                           "last = on";

static void test_conf__reads_the_last_value(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    (void)state;

    assert_string_equal(pgf_conf_get(arena, hf_str_of(text), "port"), "6000");
    assert_string_equal(pgf_conf_get(arena, hf_str_of(text), "archive_command"), "cp %p '/a b'/%f");
    assert_string_equal(pgf_conf_get(arena, hf_str_of(text), "MY.SETTING"), "a\tb'");
    assert_string_equal(pgf_conf_get(arena, hf_str_of(text), "last"), "on");
    assert_null(pgf_conf_get(arena, hf_str_of(text), "primary_conninfo"));
    assert_null(pgf_conf_get(arena, hf_str_of(""), "port"));
}

static void test_conf__filters_what_a_restore_must_not_inherit(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    (void)state;

    hf_buf_init(&out, 4096);
    pgf_conf_filter(hf_str_of(text), pgf_conf_is_unwanted, true, &out);
    assert_string_equal(hf_buf_text(&out), "# head\n"
                                           "port = 5432\t# comment\n"
                                           "# holdfast removed: Archive_Command\n"
                                           "# holdfast removed: restore_command\n"
                                           "#primary_conninfo = 'commented'\n"
                                           "port=6000\n"
                                           "include_dir 'conf.d'\n"
                                           "my.setting = 'a\\tb\\047'\n"
                                           "# holdfast removed: recovery_target_time\n"
                                           "last = on");
}

static void test_conf__knows_unwanted_names(void **state)
{
    static const char *const unwanted[] = {
        "synchronous_standby_names", "ARCHIVE_MODE",        "archive_library", "archive_command",
        "archive_cleanup_command",   "primary_conninfo",    "restore_command", "primary_slot_name",
        "recovery_target_xid",       "recovery_end_command"};
    static const char *const wanted[] = {"archive_timeout", "port", "synchronous_commit", "recover",
                                         "max_wal_senders", ""};
    (void)state;

    for (size_t i = 0; i < HF_LEN(unwanted); i++) {
        assert_true(pgf_conf_is_unwanted(hf_str_of(unwanted[i])));
    }
    for (size_t i = 0; i < HF_LEN(wanted); i++) {
        assert_false(pgf_conf_is_unwanted(hf_str_of(wanted[i])));
    }
}

static void test_conf__appends_quoted_values(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    static const char value[] = "it's a \\ back 'slash'";
    (void)state;

    hf_buf_init(&out, 4096);
    hf_buf_text_append(&out, "last = on");
    assert_true(pgf_conf_append(&out, "restore_command", value));
    assert_false(pgf_conf_append(&out, "x", "two\nlines"));
    assert_string_equal(hf_buf_text(&out),
                        "last = on\nrestore_command = 'it''s a \\\\ back ''slash'''\n");
    assert_string_equal(pgf_conf_get(arena, hf_str_of(hf_buf_text(&out)), "restore_command"),
                        value);
}

static void on_include(void *arg, const char *directive, const char *path)
{
    hf_buf_printf(arg, "%s:%s;", directive, path);
}

static void test_conf__lists_includes(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    (void)state;

    hf_buf_init(&out, 4096);
    assert_int_equal(pgf_conf_includes(arena, HF_STR("include 'a'\ninclude_if_exists b\nx=1\n"),
                                       on_include, &out),
                     2);
    assert_string_equal(hf_buf_text(&out), "include:a;include_if_exists:b;");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf__reads_the_last_value),
        cmocka_unit_test(test_conf__filters_what_a_restore_must_not_inherit),
        cmocka_unit_test(test_conf__knows_unwanted_names),
        cmocka_unit_test(test_conf__appends_quoted_values),
        cmocka_unit_test(test_conf__lists_includes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

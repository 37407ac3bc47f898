/* Buffers stop at their ceiling and say so. */
#include <string.h>

#include "base/buf.h"
#include "tests/unit/unit.h"

static void test_buf__collects_text(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 1 << 20);
    assert_string_equal(hf_buf_text(&buf), "");
    for (int i = 0; i < 1000; i++) {
        hf_buf_printf(&buf, "%d,", i % 10);
    }
    hf_buf_text_append(&buf, "end");
    hf_buf_append(&buf, NULL, 0);
    assert_int_equal(buf.len, 2003);
    assert_string_equal(hf_buf_text(&buf) + 1998, "9,end");
}

static void test_buf__drops_beyond_the_ceiling_and_stays_full(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 4);
    hf_buf_text_append(&buf, "abc");
    hf_buf_text_append(&buf, "de");
    hf_buf_text_append(&buf, "f");
    assert_string_equal(hf_buf_text(&buf), "abc");
    struct hf_status status = hf_buf_status(&buf, arena, "the list");
    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
    assert_string_equal(status.message, "the list is larger than 4 bytes");
    hf_buf_clear(&buf);
    hf_buf_printf(&buf, "%s", "wxyz");
    assert_string_equal(hf_buf_text(&buf), "wxyz");
    assert_true(hf_is_ok(hf_buf_status(&buf, arena, "the list")));
}

static void test_buf__extend_refuses_overflow(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 100);
    assert_non_null(hf_buf_extend(&buf, 100));
    assert_null(hf_buf_extend(&buf, SIZE_MAX));
    hf_buf_done(&buf);
    hf_buf_done(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__collects_text),
        cmocka_unit_test(test_buf__drops_beyond_the_ceiling_and_stays_full),
        cmocka_unit_test(test_buf__extend_refuses_overflow),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

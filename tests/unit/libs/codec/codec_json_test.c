/* JSON: what is written, what is read, what is refused. */
#include <string.h>

#include "base/check.h"
#include "codec/json.h"
#include "tests/unit/unit.h"

static void write_sample(struct codec_json *json)
{
    codec_json_begin_object(json);
    codec_json_put_text(json, "name", "a\"\n\xff");
    codec_json_put_int(json, "n", -5);
    codec_json_put_bool(json, "ok", true);
    codec_json_key(json, "list");
    codec_json_begin_array(json);
    codec_json_null(json);
    codec_json_uint(json, UINT64_MAX);
    codec_json_double(json, 0.1);
    codec_json_double(json, 100.0);
    codec_json_begin_array(json);
    codec_json_end(json);
    codec_json_raw(json, HF_STR("{}"));
    codec_json_end(json);
    codec_json_end(json);
}

static void test_json__writes_one_line(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 4096);
    struct codec_json json = codec_json_open(&buf, 0);
    write_sample(&json);
    assert_true(hf_is_ok(codec_json_close(&json, arena, "sample")));
    assert_string_equal(hf_buf_text(&buf),
                        "{\"name\":\"a\\\"\\n\xef\xbf\xbd\",\"n\":-5,\"ok\":true,\"list\":[null,"
                        "18446744073709551615,0.1,100.0,[],{}]}");
}

static void test_json__writes_indented(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 4096);
    struct codec_json json = codec_json_open(&buf, 2);
    codec_json_begin_object(&json);
    codec_json_key(&json, "a");
    codec_json_begin_array(&json);
    codec_json_int(&json, 1);
    codec_json_int(&json, 2);
    codec_json_end(&json);
    codec_json_end(&json);
    assert_string_equal(hf_buf_text(&buf), "{\n  \"a\": [\n    1,\n    2\n  ]\n}");
}

static void test_json__close_tells_a_full_buffer(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 10);
    struct codec_json json = codec_json_open(&buf, 0);
    write_sample(&json);
    assert_int_equal(codec_json_close(&json, arena, "sample").code, HF_RESOURCE_EXHAUSTED);
}

static void test_json__reads_a_tree(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    const struct codec_value *root = NULL;
    (void)state;

    assert_true(hf_is_ok(
        codec_json_parse(arena, HF_STR("{\"a\":\"x\\u00fc\",\"b\":[1,-2.5,null,{}],\"c\":false}"),
                         "answer", &root)));
    assert_string_equal(codec_value_text(root, "a"), "x\xc3\xbc");
    assert_null(codec_value_text(root, "c"));
    assert_true(codec_value_bool(root, "b", true));
    assert_false(codec_value_bool(root, "c", true));
    const struct codec_value *list = codec_value_get(root, "b");
    assert_int_equal(list->len, 4);
    assert_int_equal(list->items[0].number, 1);
    assert_true(list->items[1].real < -2.4);
    assert_int_equal(list->items[2].kind, CODEC_NULL);
    assert_int_equal(list->items[3].kind, CODEC_OBJECT);
    assert_int_equal(codec_value_int(root, "z", 9), 9);
    assert_null(codec_value_get(NULL, "a"));
}

static void test_json__tree_comes_back(void **state)
{
    static const char text[] =
        "{\"a\":[1,2.5,100.0,\"t\",null,true,[],{}],\"b\":{\"c\":{\"d\":[]}}}";
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const struct codec_value *root = NULL;
    (void)state;

    hf_buf_init(&buf, 4096);
    assert_true(hf_is_ok(codec_json_parse(arena, hf_str_of(text), "text", &root)));
    struct codec_json json = codec_json_open(&buf, 0);
    codec_json_value(&json, root);
    assert_true(hf_is_ok(codec_json_close(&json, arena, "text")));
    assert_string_equal(hf_buf_text(&buf), text);
}

static void test_json__refuses_hostile_text(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[1,]",
        "{\"a\":1,\"a\":2}",
        "\"\\u0000\"",
        "{\"\\u0000\":1}",
        "99999999999999999999",
        "1e999",
        "\"\xff\"",
        "\"\\ud800\"",
        "1 2",
        "nul",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    (void)state;

    for (size_t i = 0; i < HF_LEN(bad); i++) {
        const struct codec_value *root = NULL;
        struct hf_status status = codec_json_parse(arena, hf_str_of(bad[i]), "body", &root);
        if (status.code != HF_INVALID_ARGUMENT || !hf_has_prefix(status.message, "body: ")) {
            fail_msg("%s: %s", bad[i], status.message);
        }
    }
}

static void test_json__bounds_size_depth_and_memory(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const struct codec_value *root = NULL;
    (void)state;

    hf_buf_init(&buf, 64 << 20);
    memset(hf_buf_extend(&buf, 4 << 20), '[', 4 << 20);
    struct hf_str text = {hf_buf_text(&buf), buf.len};
    assert_int_equal(codec_json_parse(arena, text, "body", &root).code, HF_INVALID_ARGUMENT);
    memset(buf.ptr, ',', buf.len);
    assert_int_equal(codec_json_parse(arena, text, "body", &root).code, HF_INVALID_ARGUMENT);
    memset(buf.ptr, ' ', buf.len);
    memcpy(buf.ptr, "\"", 1);
    buf.ptr[buf.len - 1] = '"';
    assert_int_equal(codec_json_parse(arena, text, "body", &root).code, HF_RESOURCE_EXHAUSTED);
    text.len = CODEC_MAX_TEXT_BYTES + 1;
    assert_non_null(hf_buf_extend(&buf, CODEC_MAX_TEXT_BYTES));
    text.ptr = hf_buf_text(&buf);
    assert_int_equal(codec_json_parse(arena, text, "body", &root).code, HF_INVALID_ARGUMENT);
}

static void test_json__takes_the_depth_limit_itself(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const struct codec_value *root = NULL;
    char text[2 * CODEC_MAX_DEPTH + 1];
    (void)state;

    memset(text, '[', CODEC_MAX_DEPTH);
    memset(text + CODEC_MAX_DEPTH, ']', CODEC_MAX_DEPTH);
    text[2 * CODEC_MAX_DEPTH] = '\0';
    hf_buf_init(&buf, 4096);
    assert_true(hf_is_ok(codec_json_parse(arena, hf_str_of(text), "body", &root)));
    struct codec_json json = codec_json_open(&buf, 0);
    codec_json_value(&json, root);
    assert_string_equal(hf_buf_text(&buf), text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json__writes_one_line),
        cmocka_unit_test(test_json__writes_indented),
        cmocka_unit_test(test_json__close_tells_a_full_buffer),
        cmocka_unit_test(test_json__reads_a_tree),
        cmocka_unit_test(test_json__tree_comes_back),
        cmocka_unit_test(test_json__refuses_hostile_text),
        cmocka_unit_test(test_json__bounds_size_depth_and_memory),
        cmocka_unit_test(test_json__takes_the_depth_limit_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

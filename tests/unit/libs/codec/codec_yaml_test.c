/* YAML: the core schema, refusals with their line, and trees that come back. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "codec/yaml.h"
#include "tests/unit/unit.h"

static void test_yaml__reads_the_core_schema(void **state)
{
    static const char text[] = "# settings\n"
                               "name: orders\n"
                               "flag: true\n"
                               "nothing: ~\n"
                               "count: -12\n"
                               "ratio: 1.5\n"
                               "quoted: \"12\"\n"
                               "no: no\n"
                               "hex: 0x10\n"
                               "list: [a, 2]\n"
                               "log:\n"
                               "  level: debug\n";
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    const struct codec_value *root = NULL;
    (void)state;

    assert_true(hf_is_ok(codec_yaml_parse(arena, hf_str_of(text), "f.yaml", &root)));
    assert_string_equal(codec_value_text(root, "name"), "orders");
    assert_true(codec_value_bool(root, "flag", false));
    assert_int_equal(codec_value_get(root, "nothing")->kind, CODEC_NULL);
    assert_int_equal(codec_value_int(root, "count", 0), -12);
    assert_int_equal(codec_value_get(root, "ratio")->kind, CODEC_DOUBLE);
    assert_string_equal(codec_value_get(root, "ratio")->text, "1.5");
    assert_string_equal(codec_value_text(root, "quoted"), "12");
    assert_string_equal(codec_value_text(root, "no"), "no");
    assert_string_equal(codec_value_text(root, "hex"), "0x10");
    assert_int_equal(codec_value_get(root, "list")->items[1].number, 2);
    const struct codec_value *log = codec_value_get(root, "log");
    assert_string_equal(codec_value_text(log, "level"), "debug");
    assert_int_equal(codec_value_get(log, "level")->line, 12);
}

static void test_yaml__empty_text_is_null(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    const struct codec_value *root = NULL;
    (void)state;

    assert_true(hf_is_ok(codec_yaml_parse(arena, HF_STR(""), "f", &root)));
    assert_int_equal(root->kind, CODEC_NULL);
    assert_true(hf_is_ok(codec_yaml_parse(arena, HF_STR("# nothing\n"), "f", &root)));
    assert_int_equal(root->kind, CODEC_NULL);
}

static void test_yaml__refuses_with_the_line(void **state)
{
    static const struct {
        const char *text;
        const char *message;
    } rows[] = {
        {"a: 1\nb: &x 2\n", "f: line 2: anchors"},
        {"a: &x [1]\nb: *x\n", "f: line 1: anchors"},
        {"a: 1\nb: *x\n", "f: line 2: aliases"},
        {"a: !!str 1\n", "f: line 1: anchors and tags"},
        {"a: 1\n---\nb: 2\n", "f: line 2: a second document"},
        {"a: 1\n? [x]\n: 2\n", "f: line 2: a key must be text"},
        {"a:\n  b: 1\n  b: 2\n", "a key stands twice"},
        {"a: \"\\0\"\n", "f: line 1: a text has a zero byte"},
        {"a: 99999999999999999999\n", "f: line 1: a number is out of range"},
        {"a: [1\n", "f: line "},
        {"a: b: c\n", "f: line 1: "},
        {"\xff\xff", "f: line "},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "deeper than 32"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    (void)state;

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        const struct codec_value *root = NULL;
        struct hf_status status = codec_yaml_parse(arena, hf_str_of(rows[i].text), "f", &root);
        if (status.code != HF_INVALID_ARGUMENT || strstr(status.message, rows[i].message) == NULL) {
            fail_msg("%s: %s", rows[i].text, status.message);
        }
    }
}

static void test_yaml__is_bounded_by_the_arena(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(512);
    const struct codec_value *root = NULL;
    (void)state;

    struct hf_status status = codec_yaml_parse(
        arena, HF_STR("[aaaaaaaaaaaa,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]"), "f", &root);
    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
}

/* Is the tree of value, written as YAML and read again, the same (seen as JSON)? */
static void assert_comes_back(struct hf_arena *arena, const struct codec_value *value)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf yaml = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf before = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf after = {0};
    const struct codec_value *back = NULL;

    hf_buf_init(&yaml, 1 << 16);
    hf_buf_init(&before, 1 << 16);
    hf_buf_init(&after, 1 << 16);
    codec_yaml_write(&yaml, value);
    struct hf_str text = {hf_buf_text(&yaml), yaml.len};
    struct hf_status status = codec_yaml_parse(arena, text, "yaml", &back);
    if (!hf_is_ok(status)) {
        fail_msg("%s in\n%s", status.message, text.ptr);
    }
    struct codec_json json = codec_json_open(&before, 0);
    codec_json_value(&json, value);
    json = codec_json_open(&after, 0);
    codec_json_value(&json, back);
    assert_string_equal(hf_buf_text(&after), hf_buf_text(&before));
}

static void test_yaml__trees_come_back(void **state)
{
    static const char *const texts[] = {
        "{\"a\":[1,2.5,100.0,\"t\",null,true,[],{}],\"b\":{\"c\":{\"d\":[{\"e\":1},[2]]}}}",
        "[\"true\",\"null\",\"~\",\"\",\"12\",\"1e5\",\"no\",\" a \",\"a: b\",\"- a\",\"# a\"]",
        "[\"a\\nb\",\"\\n\",\"a \\n b\\n\\n\",\"\\t\",\"\\u0001\",\"\\u007f\",\"---\",\"...\"]",
        "[\"\\u0085\",\"\\u2028\",\"\\ufeff\",\"\\u00a0\",\"\\ud83c\\udf0a\",\"'\",\"\\\"\"]",
        "{\"\":1,\"true\":2,\"a b\":3,\"a\\nb\":4,\"*x\":5,\"&y\":6,\"!z\":7,\"<<\":8,\"?\":9}",
        "\"top\"",
        "-5",
        "[]",
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 18);
    (void)state;

    for (size_t i = 0; i < HF_LEN(texts); i++) {
        const struct codec_value *value = NULL;
        assert_true(hf_is_ok(codec_json_parse(arena, hf_str_of(texts[i]), "json", &value)));
        assert_comes_back(arena, value);
    }
}

static void test_yaml__random_texts_come_back(void **state)
{
    static const char alphabet[] = "a01 \n\t:-#'\"{}[],&*!|>%@`~?.\\\xc3\xbc";
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 18);
    (void)state;

    for (int round = 0; round < 3000; round++) {
        uint8_t random[8];
        char text[8] = "";
        hf_random(random, sizeof(random));
        for (size_t i = 0; i < (size_t)random[7] % sizeof(random); i++) {
            text[i] = alphabet[random[i] % (sizeof(alphabet) - 3)];
        }
        struct codec_member member = {text, {.kind = CODEC_TEXT, .text = text}};
        struct codec_value value = {.kind = CODEC_OBJECT, .members = &member, .len = 1};
        assert_comes_back(arena, &value);
        hf_arena_reset(arena);
    }
}

static void test_yaml__writes_block_style(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    HF_CLEANUP(hf_buf_done) struct hf_buf yaml = {0};
    const struct codec_value *value = NULL;
    (void)state;

    hf_buf_init(&yaml, 4096);
    assert_true(hf_is_ok(codec_json_parse(
        arena, HF_STR("{\"name\":\"orders\",\"size\":\"12\",\"hosts\":[\"a\",\"b\"]}"), "j",
        &value)));
    codec_yaml_write(&yaml, value);
    assert_string_equal(hf_buf_text(&yaml), "name: orders\nsize: \"12\"\nhosts:\n- a\n- b\n");
}

static void test_yaml__survives_random_bytes(void **state)
{
    static const char alphabet[] = "a: -[]{},\n\"'&*!|>?#%0\xff~\\x";
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    (void)state;

    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[40];
        const struct codec_value *root = NULL;
        hf_random(bytes, sizeof(bytes));
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)alphabet[bytes[i] % (sizeof(alphabet) - 1)];
        }
        struct hf_str text = {(const char *)bytes, sizeof(bytes)};
        struct hf_status status = codec_yaml_parse(arena, text, "f", &root);
        assert_true(hf_is_ok(status) ? root != NULL : status.message != NULL);
        hf_arena_reset(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yaml__reads_the_core_schema),
        cmocka_unit_test(test_yaml__empty_text_is_null),
        cmocka_unit_test(test_yaml__refuses_with_the_line),
        cmocka_unit_test(test_yaml__is_bounded_by_the_arena),
        cmocka_unit_test(test_yaml__trees_come_back),
        cmocka_unit_test(test_yaml__random_texts_come_back),
        cmocka_unit_test(test_yaml__writes_block_style),
        cmocka_unit_test(test_yaml__survives_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

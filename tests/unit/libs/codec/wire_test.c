/* The binary record form: values come back; hostile bytes give one fault and zero values. */
#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "codec/wire.h"
#include "tests/unit/unit.h"

static const uint64_t numbers[] = {
    0, 1, 127, 128, 300, 16383, 16384, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX,
};

static void test_wire__values_come_back(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 4096);
    for (size_t i = 0; i < HF_LEN(numbers); i++) {
        codec_wire_put_u64(&buf, numbers[i]);
        codec_wire_put_i64(&buf, (int64_t)(numbers[i] / 2));
        codec_wire_put_i64(&buf, -(int64_t)(numbers[i] / 2) - 1);
        codec_wire_put_be64(&buf, numbers[i]);
        codec_wire_put_be32(&buf, (uint32_t)numbers[i]);
    }
    codec_wire_put_bool(&buf, true);
    codec_wire_put_text(&buf, "orders");
    codec_wire_put_text(&buf, NULL);
    codec_wire_put_bytes(&buf, "\0\1", 2);
    codec_wire_put_raw(&buf, "xyz", 3);

    struct codec_wire wire = codec_wire_open(buf.ptr, buf.len);
    char raw[3];
    for (size_t i = 0; i < HF_LEN(numbers); i++) {
        assert_true(codec_wire_get_u64(&wire) == numbers[i]);
        assert_true(codec_wire_get_i64(&wire) == (int64_t)(numbers[i] / 2));
        assert_true(codec_wire_get_i64(&wire) == -(int64_t)(numbers[i] / 2) - 1);
        assert_true(codec_wire_get_be64(&wire) == numbers[i]);
        assert_true(codec_wire_get_be32(&wire) == (uint32_t)numbers[i]);
    }
    assert_true(codec_wire_get_bool(&wire));
    assert_string_equal(codec_wire_get_text(&wire, arena, 6), "orders");
    assert_string_equal(codec_wire_get_text(&wire, arena, 6), "");
    assert_int_equal(codec_wire_get_bytes(&wire, 2).len, 2);
    codec_wire_get_raw(&wire, raw, 3);
    assert_memory_equal(raw, "xyz", 3);
    assert_true(hf_is_ok(codec_wire_finish(&wire, arena, "record")));
}

static void test_wire__has_known_bytes(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    (void)state;

    hf_buf_init(&buf, 64);
    codec_wire_put_u64(&buf, 300);
    codec_wire_put_i64(&buf, -1);
    codec_wire_put_be32(&buf, 0x01020304);
    codec_wire_put_text(&buf, "hi");
    assert_int_equal(buf.len, 10);
    assert_memory_equal(buf.ptr, "\xac\x02\x01\x01\x02\x03\x04\x02hi", 10);
}

static void test_wire__refuses_bad_varints(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *fault;
    } rows[] = {
        {"\x80", 1, "ends early"},
        {"\x80\x00", 2, "shortest"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, "64 bits"},
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "64 bits"},
        {"", 0, "ends early"},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    (void)state;

    for (size_t i = 0; i < HF_LEN(rows); i++) {
        struct codec_wire wire = codec_wire_open(rows[i].bytes, rows[i].len);
        assert_true(codec_wire_get_u64(&wire) == 0);
        struct hf_status status = codec_wire_status(&wire, arena, "the root");
        assert_int_equal(status.code, HF_DATA_LOSS);
        assert_non_null(strstr(status.message, rows[i].fault));
    }
}

static void test_wire__fault_sticks(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct codec_wire wire = codec_wire_open("\x02\x05\x07", 3);
    uint8_t raw[2] = {9, 9};
    (void)state;

    assert_false(codec_wire_get_bool(&wire));
    assert_int_equal(codec_wire_get_u8(&wire), 0);
    codec_wire_get_raw(&wire, raw, 2);
    assert_int_equal(raw[0] + raw[1], 0);
    assert_int_equal(codec_wire_left(&wire), 0);
    assert_string_equal(codec_wire_get_text(&wire, arena, 10), "");
    codec_wire_fault(&wire, "a later fault");
    struct hf_status status = codec_wire_finish(&wire, arena, "the root");
    assert_non_null(strstr(status.message, "neither 0 nor 1 at byte 1"));
}

static void test_wire__bounds_counts_lengths_and_memory(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(16);
    struct codec_wire wire = codec_wire_open("\x04xxxx", 5);
    (void)state;

    assert_int_equal(codec_wire_get_count(&wire, 3, 1), 0);
    wire = codec_wire_open("\x04xxxx", 5);
    assert_int_equal(codec_wire_get_count(&wire, 100, 2), 0);
    wire = codec_wire_open("\x04xxxx", 5);
    assert_int_equal(codec_wire_get_count(&wire, 4, 1), 4);
    wire = codec_wire_open("\x04xxxx", 5);
    assert_null(codec_wire_get_bytes(&wire, 3).ptr);
    wire = codec_wire_open("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
    assert_null(codec_wire_get_bytes(&wire, SIZE_MAX).ptr);
    wire = codec_wire_open("\x02"
                           "a\0",
                           3);
    assert_string_equal(codec_wire_get_text(&wire, arena, 10), "");
    assert_non_null(wire.fault);
    wire = codec_wire_open("\x14xxxxxxxxxxxxxxxxxxxx", 21);
    assert_string_equal(codec_wire_get_text(&wire, arena, 100), "");
    assert_non_null(strstr(wire.fault, "memory"));
}

static void test_wire__finish_refuses_left_bytes(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct codec_wire wire = codec_wire_open("\x01\x01", 2);
    (void)state;

    assert_true(codec_wire_get_bool(&wire));
    assert_true(hf_is_ok(codec_wire_status(&wire, arena, "root")));
    assert_int_equal(codec_wire_finish(&wire, arena, "root").code, HF_DATA_LOSS);
}

static void test_wire__survives_random_bytes(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    uint8_t bytes[64];
    (void)state;

    for (int round = 0; round < 20000; round++) {
        hf_random(bytes, sizeof(bytes));
        struct codec_wire wire = codec_wire_open(bytes, bytes[0] % sizeof(bytes));
        for (size_t i = 0; i < 8; i++) {
            size_t count = codec_wire_get_count(&wire, 100, 2);
            assert_true(count <= codec_wire_left(&wire));
            (void)codec_wire_get_i64(&wire);
            (void)codec_wire_get_text(&wire, arena, 32);
            (void)codec_wire_get_be32(&wire);
        }
        assert_true(wire.pos <= wire.len);
        hf_arena_reset(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire__values_come_back),
        cmocka_unit_test(test_wire__has_known_bytes),
        cmocka_unit_test(test_wire__refuses_bad_varints),
        cmocka_unit_test(test_wire__fault_sticks),
        cmocka_unit_test(test_wire__bounds_counts_lengths_and_memory),
        cmocka_unit_test(test_wire__finish_refuses_left_bytes),
        cmocka_unit_test(test_wire__survives_random_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

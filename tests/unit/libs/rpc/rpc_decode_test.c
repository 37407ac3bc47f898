#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"
#include "google/protobuf/descriptor.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "holdfast/backup/v1/backup.pb-c.h"
#include "rpc/descriptors.h"
#include "rpc/message.h"
#include "tests/unit/unit.h"

static int setup(void **state)
{
    *state = hf_arena_new(64 * 1024 * 1024);
    return 0;
}

static int teardown(void **state)
{
    hf_arena_free(*state);
    return 0;
}

static struct hf_status decode(struct hf_arena *arena, const ProtobufCMessageDescriptor *type,
                               const void *bytes, size_t len, void **ret_message)
{
    return rpc_decode(arena, type, (struct hf_bytes){bytes, len}, ret_message);
}

static void test_decode__agrees_with_encoder(void **state)
{
    struct hf_arena *arena = *state;
    PbBackup__WalStatus__Gap gap = PB_BACKUP__WAL_STATUS__GAP__INIT;
    PbBackup__WalStatus__Gap *gaps[9];
    PbBackup__WalStatus wal = PB_BACKUP__WAL_STATUS__INIT;
    void *message = NULL;
    gap.timeline = -7;
    for (size_t i = 0; i < HF_LEN(gaps); i++) {
        gaps[i] = &gap;
    }
    wal.name = hf_strdup(arena, "tenants/ü/clusters/☂");
    wal.lag_bytes = INT64_MIN;
    wal.lag_seconds = 1.25;
    wal.slot_is_unbounded = 1;
    wal.receiver_state = PB_BACKUP__WAL_STATUS__RECEIVER_STATE__GAP;
    wal.n_gaps = HF_LEN(gaps);
    wal.gaps = gaps;
    struct hf_bytes bytes = rpc_encode(arena, &wal.base);
    assert_int_equal(rpc_decode(arena, &pb_backup__wal_status__descriptor, bytes, &message).code,
                     HF_OK);
    const PbBackup__WalStatus *back = message;
    assert_string_equal(back->name, wal.name);
    assert_true(back->lag_bytes == INT64_MIN && back->lag_seconds > 1.2);
    assert_int_equal(back->n_gaps, 9);
    assert_int_equal(back->gaps[8]->timeline, -7);
    struct hf_bytes again = rpc_encode(arena, &back->base);
    assert_int_equal(again.len, bytes.len);
    assert_memory_equal(again.ptr, bytes.ptr, bytes.len);
}

/* The whole descriptor set: proto2, repeated, packed, nested, optional; the encoder is protobuf-c's
 * own, so the two check each other. */
static void test_decode__descriptor_set_survives(void **state)
{
    struct hf_arena *arena = *state;
    void *message = NULL;
    void *again = NULL;
    const ProtobufCMessageDescriptor *type = &google__protobuf__file_descriptor_set__descriptor;
    assert_int_equal(rpc_decode(arena, type, rpc_descriptor_set(), &message).code, HF_OK);
    struct hf_bytes once = rpc_encode(arena, message);
    assert_int_equal(rpc_decode(arena, type, once, &again).code, HF_OK);
    struct hf_bytes twice = rpc_encode(arena, again);
    assert_true(once.len == twice.len);
    assert_memory_equal(once.ptr, twice.ptr, once.len);
    const Google__Protobuf__FileDescriptorSet *set = message;
    assert_true(set->n_file > 10);
}

static void test_decode__depth_is_bounded(void **state)
{
    struct hf_arena *arena = *state;
    /* nested_type (3) within nested_type …, built from the inside. */
    uint8_t bytes[512];
    size_t begin = sizeof(bytes);
    void *message = NULL;
    const ProtobufCMessageDescriptor *type = &google__protobuf__descriptor_proto__descriptor;
    for (int depth = 1; depth <= 40; depth++) {
        size_t len = sizeof(bytes) - begin;
        HF_CHECK(len < 128);
        bytes[--begin] = (uint8_t)len;
        bytes[--begin] = 3 << 3 | 2;
        enum hf_code wanted = depth < RPC_MAX_DEPTH ? HF_OK : HF_INVALID_ARGUMENT;
        struct hf_status status =
            decode(arena, type, bytes + begin, sizeof(bytes) - begin, &message);
        assert_int_equal(status.code, wanted);
    }
}

static void test_decode__malformed_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x0a", 1}, /* no length */
        {"\x0a\x05"
         "ab",
         4},                                                  /* length beyond the end */
        {"\x0a\xff\xff\xff\xff\x0f", 6},                      /* length beyond everything */
        {"\x00\x01", 2},                                      /* field 0 */
        {"\x0b", 1},                                          /* group */
        {"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11}, /* varint too long */
        {"\x08\x01", 2},                                      /* name as a number */
        {"\x12\x01\x01", 3},                                  /* state as text */
        {"\x0a\x01\xff", 3},                                  /* not UTF-8 */
        {"\x0a\x03\xed\xa0\x80", 5},                          /* surrogate */
        {"\x0a\x01\x00", 3},                                  /* NUL */
        {"\x9a\x01\x01\x08", 4},                              /* field 19 is unknown */
    };
    struct hf_arena *arena = *state;
    for (size_t i = 0; i < HF_LEN(cases); i++) {
        void *message = NULL;
        struct hf_status status = decode(arena, &pb_backup__wal_status__descriptor, cases[i].bytes,
                                         cases[i].len, &message);
        if (i + 1 < HF_LEN(cases)) {
            assert_int_equal(status.code, HF_INVALID_ARGUMENT);
            assert_non_null(strstr(status.message, "holdfast.backup.v1.WalStatus"));
        } else {
            assert_int_equal(status.code, HF_OK); /* an unknown field's inside is not looked at */
        }
    }
}

static void test_decode__memory_is_bounded(void **state)
{
    (void)state;
    HF_CLEANUP(hf_arena_free) struct hf_arena *big = hf_arena_new(16 * 1024 * 1024);
    size_t len = 1024 * 1024;
    uint8_t *bytes = hf_alloc(big, len);
    for (size_t i = 0; i < len; i += 2) {
        bytes[i] = 12 << 3 | 2; /* WalStatus.gaps, empty: two bytes become forty-eight */
    }
    for (size_t limit = 16; limit < 200000; limit = limit * 3 / 2) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(limit);
        void *message = NULL;
        assert_int_equal(
            decode(arena, &pb_backup__wal_status__descriptor, bytes, len, &message).code,
            HF_RESOURCE_EXHAUSTED);
    }
}

static void test_decode__error_needs_no_memory(void **state)
{
    (void)state;
    /* A message that fills the arena and is then malformed. */
    uint8_t bytes[64] = {0};
    for (size_t i = 0; i < 60; i += 2) {
        bytes[i] = 12 << 3 | 2;
    }
    bytes[60] = 0x0b;
    for (size_t limit = 256; limit < 8192; limit += 16) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(limit);
        void *message = NULL;
        struct hf_status status =
            decode(arena, &pb_backup__wal_status__descriptor, bytes, 61, &message);
        assert_true(status.code == HF_INVALID_ARGUMENT || status.code == HF_RESOURCE_EXHAUSTED);
    }
}

static void test_decode__last_wins_and_messages_merge(void **state)
{
    struct hf_arena *arena = *state;
    /* WalStatus.durable_time (11) twice: seconds in one, nanos in the other; name twice. */
    static const char bytes[] = "\x5a\x02\x08\x05\x0a\x01"
                                "a"
                                "\x5a\x02\x10\x07\x0a\x01"
                                "b";
    void *message = NULL;
    assert_int_equal(
        decode(arena, &pb_backup__wal_status__descriptor, bytes, sizeof(bytes) - 1, &message).code,
        HF_OK);
    const PbBackup__WalStatus *wal = message;
    assert_string_equal(wal->name, "b");
    assert_int_equal(wal->durable_time->seconds, 5);
    assert_int_equal(wal->durable_time->nanos, 7);
}

/* Flipped bytes either decode to something that encodes again, or are refused: never a crash. */
static void test_decode__mutants_do_no_harm(void **state)
{
    struct hf_arena *arena = *state;
    struct hf_bytes file;
    assert_true(rpc_descriptor_file("google/rpc/status.proto", &file));
    uint8_t *copy = hf_dup(arena, file.ptr, file.len);
    size_t refused = 0;
    for (size_t round = 0; round < 3000; round++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *own = hf_arena_new(8 * 1024 * 1024);
        uint32_t random[2];
        void *message = NULL;
        hf_random(random, sizeof(random));
        uint8_t *victim = &copy[random[0] % file.len];
        uint8_t before = *victim;
        *victim = (uint8_t)random[1];
        struct hf_status status = decode(own, &google__protobuf__file_descriptor_proto__descriptor,
                                         copy, file.len, &message);
        if (hf_is_ok(status)) {
            (void)rpc_encode(own, message);
        } else {
            refused++;
        }
        *victim = before;
    }
    assert_true(refused > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_decode__agrees_with_encoder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decode__descriptor_set_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decode__depth_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decode__malformed_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decode__memory_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decode__error_needs_no_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decode__last_wins_and_messages_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decode__mutants_do_no_harm, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* pg_control: a made one per layout, damage, disarming. Real ones are read in waldump_test.c. */
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "pgformat/control.h"
#include "pgformat/le.h"
#include "tests/unit/unit.h"

#define CONTROL_BYTES 512 /* the rest of the file is zeroes */

static void control_make(uint8_t bytes[CONTROL_BYTES], uint32_t version, uint32_t catalog,
                         size_t crc_offset)
{
    memset(bytes, 0, CONTROL_BYTES);
    pgf_put_le64(bytes, UINT64_C(7421234567890123456));
    pgf_put_le32(bytes + 8, version);
    pgf_put_le32(bytes + 12, catalog);
    pgf_put_le32(bytes + 16, PGF_STATE_IN_PRODUCTION);
    pgf_put_le64(bytes + 24, 1795493880);
    pgf_put_le64(bytes + 32, 0x2000060);
    pgf_put_le64(bytes + 40, 0x2000028);
    pgf_put_le32(bytes + 48, 3);
    pgf_put_le32(bytes + 216, 8192);
    pgf_put_le32(bytes + 220, 131072);
    pgf_put_le32(bytes + 224, 8192);
    pgf_put_le32(bytes + 228, 16 << 20);
    pgf_put_le32(bytes + 252, 1);
    pgf_put_le32(bytes + crc_offset, codec_crc32c(0, bytes, crc_offset));
}

static const struct {
    uint32_t version;
    uint32_t catalog;
    size_t crc_offset;
    int major;
} layouts[] = {{1300, 202107181, 288, 14}, {1300, 202209061, 288, 15}, {1300, 202307071, 288, 16},
               {1700, 202406281, 288, 17}, {1800, 202506291, 292, 18}, {1300, 202209999, 288, 0}};

static void test_control__decodes_each_layout(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    uint8_t bytes[CONTROL_BYTES];
    struct pgf_control control;
    (void)state;

    for (size_t i = 0; i < HF_LEN(layouts); i++) {
        control_make(bytes, layouts[i].version, layouts[i].catalog, layouts[i].crc_offset);
        assert_int_equal(pgf_control_decode(arena, bytes, sizeof(bytes), &control).code, HF_OK);
        assert_int_equal(control.server_major, layouts[i].major);
        assert_int_equal(control.system_identifier, UINT64_C(7421234567890123456));
        assert_int_equal(control.state, PGF_STATE_IN_PRODUCTION);
        assert_int_equal(control.checkpoint_lsn, 0x2000060);
        assert_int_equal(control.redo_lsn, 0x2000028);
        assert_int_equal(control.timeline, 3);
        assert_int_equal(control.wal_segment_bytes, 16 << 20);
        assert_int_equal(control.data_checksum_version, 1);
        assert_int_equal(control.time_us, INT64_C(1795493880000000));
    }
    assert_string_equal(pgf_control_state_text(PGF_STATE_SHUT_DOWN), "shut down");
    assert_string_equal(pgf_control_state_text((enum pgf_control_state)77), "unknown");
}

static void test_control__refuses_damage(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    uint8_t bytes[CONTROL_BYTES];
    struct pgf_control control;
    (void)state;

    control_make(bytes, 1300, 202209061, 288);
    for (size_t len = 0; len < 292; len += 13) {
        assert_int_equal(pgf_control_decode(arena, bytes, len, &control).code, HF_DATA_LOSS);
    }
    for (size_t i = 12; i < 288; i += 9) {
        bytes[i] ^= 1;
        assert_int_equal(pgf_control_decode(arena, bytes, sizeof(bytes), &control).code,
                         HF_DATA_LOSS);
        bytes[i] ^= 1;
    }
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(pgf_control_decode(arena, bytes, sizeof(bytes), &control).code, HF_DATA_LOSS);
}

static void test_control__names_unsupported_versions(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    uint8_t bytes[CONTROL_BYTES];
    struct pgf_control control;
    struct hf_status status;
    (void)state;

    control_make(bytes, 1201, 201909212, 288);
    status = pgf_control_decode(arena, bytes, sizeof(bytes), &control);
    assert_int_equal(status.code, HF_FAILED_PRECONDITION);
    assert_string_equal(status.info->reason, "UNSUPPORTED_VERSION");
}

static void test_control__is_disarmed(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    uint8_t bytes[CONTROL_BYTES];
    struct pgf_control control;
    (void)state;

    control_make(bytes, 1800, 202506291, 292);
    assert_int_equal(pgf_control_disarm(arena, bytes, sizeof(bytes)).code, HF_OK);
    assert_int_equal(pgf_control_decode(arena, bytes, sizeof(bytes), &control).code, HF_OK);
    assert_int_equal(control.checkpoint_lsn, 0xDEAD);
    assert_int_equal(control.redo_lsn, 0x2000028);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control__decodes_each_layout),
        cmocka_unit_test(test_control__refuses_damage),
        cmocka_unit_test(test_control__names_unsupported_versions),
        cmocka_unit_test(test_control__is_disarmed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

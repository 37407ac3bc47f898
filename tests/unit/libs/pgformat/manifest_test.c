/* The manifest's text; its checksum; pieces of bounded size.
 * pg_verifybackup itself reads one in the tests of libs/pgwire. */

#include <string.h>

#include "base/buf.h"
#include "codec/hash.h"
#include "pgformat/manifest.h"
#include "tests/unit/unit.h"

static struct hf_status take(void *arg, const void *bytes, size_t len)
{
    assert_true(len > 0 && len <= 65536);
    hf_buf_append(arg, bytes, len);
    return hf_success();
}

static void checksum_verify(const char *text)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    const char *line = strstr(text, "\"Manifest-Checksum\"");
    uint8_t hash[CODEC_SHA256_LEN];

    assert_non_null(line);
    codec_sha256(text, (size_t)(line - text), hash);
    assert_string_equal(line, hf_printf(arena, "\"Manifest-Checksum\": \"%s\"}\n",
                                        hf_hex(arena, hash, sizeof(hash))));
}

static void test_manifest__is_version_1_before_17(void **state)
{
    static const struct pgf_manifest_range ranges[] = {{1, 0x2000028, 0x3000000},
                                                       {2, 0x3000000, 0x3000148}};
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    struct pgf_manifest_options options = {take, &out, 15, 4242};
    HF_CLEANUP(pgf_manifest_free) struct pgf_manifest *manifest = pgf_manifest_new(&options);
    (void)state;

    hf_buf_init(&out, 1 << 20);
    assert_int_equal(pgf_manifest_add(manifest, &(struct pgf_manifest_file){"base/1/\"odd\\\t",
                                                                            8192, 0, 0xA1B2C3D4})
                         .code,
                     HF_OK);
    assert_int_equal(
        pgf_manifest_add(manifest, &(struct pgf_manifest_file){"bad\xff", 0, 1795493880, 0}).code,
        HF_OK);
    assert_int_equal(pgf_manifest_finish(manifest, ranges, 2).code, HF_OK);
    assert_non_null(
        strstr(hf_buf_text(&out),
               "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [\n"
               "{ \"Path\": \"base/1/\\\"odd\\\\\\u0009\", \"Size\": 8192, "
               "\"Last-Modified\": \"1970-01-01 00:00:00 GMT\", "
               "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"d4c3b2a1\" },\n"
               "{ \"Encoded-Path\": \"626164ff\", \"Size\": 0, "
               "\"Last-Modified\": \"2026-11-24 04:18:00 GMT\", "
               "\"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"00000000\" }\n],\n"
               "\"WAL-Ranges\": [\n"
               "{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/3000000\" },\n"
               "{ \"Timeline\": 2, \"Start-LSN\": \"0/3000000\", \"End-LSN\": \"0/3000148\" }\n],\n"
               "\"Manifest-Checksum\": "));
    checksum_verify(hf_buf_text(&out));
}

static void test_manifest__names_the_system_from_17_on(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    struct pgf_manifest_options options = {take, &out, 17, 7421234567890123456};
    HF_CLEANUP(pgf_manifest_free) struct pgf_manifest *manifest = pgf_manifest_new(&options);
    (void)state;

    hf_buf_init(&out, 1 << 20);
    assert_int_equal(pgf_manifest_finish(manifest, NULL, 0).code, HF_OK);
    assert_non_null(strstr(hf_buf_text(&out), "Version\": 2,\n\"System-Identifier\": "
                                              "7421234567890123456,\n\"Files\": ["));
    checksum_verify(hf_buf_text(&out));
}

static void test_manifest__streams_many_files(void **state)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    struct pgf_manifest_options options = {take, &out, 15, 1};
    HF_CLEANUP(pgf_manifest_free) struct pgf_manifest *manifest = pgf_manifest_new(&options);
    struct pgf_manifest_file file = {"base/5/16384", 8192, 0, 1};
    (void)state;

    hf_buf_init(&out, 8 << 20);
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(pgf_manifest_add(manifest, &file).code, HF_OK);
    }
    assert_true(out.len > (2 << 20));
    assert_int_equal(pgf_manifest_finish(manifest, NULL, 0).code, HF_OK);
    checksum_verify(hf_buf_text(&out));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest__is_version_1_before_17),
        cmocka_unit_test(test_manifest__names_the_system_from_17_on),
        cmocka_unit_test(test_manifest__streams_many_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

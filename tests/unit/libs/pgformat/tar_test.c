/* The tar reader: forms of numbers, chunking, refusals. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/check.h"
#include "pgformat/tar.h"
#include "tests/unit/unit.h"

/* What the events said, as text. */
struct seen {
    struct hf_buf text;
    uint64_t data_len;
};

static struct hf_status on_header(void *arg, const struct pgf_tar_member *member)
{
    struct seen *seen = arg;

    hf_buf_printf(&seen->text, "%d %s %s %llu %o %lld;", (int)member->kind, member->path,
                  member->link, (unsigned long long)member->size_bytes, (unsigned)member->mode,
                  (long long)member->mtime_s);
    return hf_success();
}

static struct hf_status on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct seen *seen = arg;

    seen->data_len += len;
    if (seen->data_len <= 16) {
        hf_buf_append(&seen->text, bytes, len);
    }
    return hf_success();
}

static struct hf_status on_end(void *arg)
{
    struct seen *seen = arg;

    hf_buf_text_append(&seen->text, ".");
    return hf_success();
}

/* A header block; size_text is put there as it is (12 bytes at most). */
static void header_make(uint8_t block[PGF_TAR_BLOCK], const char *name, char type,
                        const char *size_text)
{
    unsigned sum = 0;

    memset(block, 0, PGF_TAR_BLOCK);
    memcpy(block, name, strlen(name) < 100 ? strlen(name) : 100);
    memcpy(block + 100, "0000600", 7);
    memcpy(block + 108, "0000001", 7);
    memcpy(block + 116, "0000002", 7);
    memcpy(block + 124, size_text, strlen(size_text));
    memcpy(block + 136, "00000000144", 11);
    memset(block + 148, ' ', 8);
    block[156] = (uint8_t)type;
    memcpy(block + 257, "ustar\00000", 8);
    for (size_t i = 0; i < PGF_TAR_BLOCK; i++) {
        sum += block[i];
    }
    snprintf((char *)block + 148, 8, "%06o", sum);
}

static void checksum_renew(uint8_t block[PGF_TAR_BLOCK])
{
    unsigned sum = 0;

    memset(block + 148, ' ', 8);
    for (size_t i = 0; i < PGF_TAR_BLOCK; i++) {
        sum += block[i];
    }
    snprintf((char *)block + 148, 8, "%06o", sum);
}

static enum hf_code feed(struct seen *seen, const uint8_t *bytes, size_t len, size_t chunk)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct pgf_tar_events events = {on_header, on_data, on_end, seen};
    struct pgf_tar tar;

    hf_buf_init(&seen->text, 1 << 16);
    pgf_tar_init(&tar, &events);
    for (size_t pos = 0; pos < len; pos += chunk) {
        struct hf_status status =
            pgf_tar_feed(&tar, arena, bytes + pos, len - pos < chunk ? len - pos : chunk);

        if (!hf_is_ok(status)) {
            assert_non_null(status.message);
            return status.code;
        }
    }
    return pgf_tar_finish(&tar, arena).code;
}

static void test_tar__gives_the_same_events_for_any_chunk(void **state)
{
    static const size_t chunks[] = {1, 7, 511, 512, 513, 4096};
    uint8_t bytes[PGF_TAR_BLOCK * 6] = {0};
    (void)state;

    header_make(bytes, "global/", '5', "00000000000");
    header_make(bytes + 512, "base/1/16384", '0', "00000000005");
    memcpy(bytes + 1024, "hello", 5);
    header_make(bytes + 1536, "pg_tblspc/9", '2', "00000000000");
    memcpy(bytes + 1536 + 157, "/else/where", 11);
    checksum_renew(bytes + 1536);
    for (size_t i = 0; i < HF_LEN(chunks); i++) {
        struct seen seen = {.data_len = 0};

        assert_int_equal(feed(&seen, bytes, sizeof(bytes), chunks[i]), HF_OK);
        assert_string_equal(hf_buf_text(&seen.text),
                            "1 global  0 600 100;.0 base/1/16384  5 600 100;hello."
                            "2 pg_tblspc/9 /else/where 0 600 100;.");
        hf_buf_done(&seen.text);
    }
}

static void test_tar__reads_base_256_sizes(void **state)
{
    uint8_t bytes[PGF_TAR_BLOCK];
    struct seen seen = {.data_len = 0};
    (void)state;

    header_make(bytes, "core", '0', "");
    bytes[124] = 0x80;
    bytes[131] = 3; /* 3 << 32 */
    checksum_renew(bytes);
    /* The header is good; only the data is missing. */
    assert_int_equal(feed(&seen, bytes, sizeof(bytes), 512), HF_DATA_LOSS);
    assert_string_equal(hf_buf_text(&seen.text), "0 core  12884901888 600 100;");
    hf_buf_done(&seen.text);
}

static void test_tar__refuses_times_beyond_microseconds(void **state)
{
    uint8_t bytes[PGF_TAR_BLOCK];
    (void)state;

    for (uint8_t top = 0; top < 2; top++) {
        struct seen seen = {.data_len = 0};

        header_make(bytes, "file", '0', "0");
        memset(bytes + 136, 0, 12);
        bytes[136] = 0x80;
        bytes[141] = top; /* 1 << 48 s is 8.9 million years, times a million too many */
        checksum_renew(bytes);
        assert_int_equal(feed(&seen, bytes, sizeof(bytes), 512), top == 0 ? HF_OK : HF_DATA_LOSS);
        hf_buf_done(&seen.text);
    }
}

static void test_tar__joins_prefix_and_name(void **state)
{
    uint8_t bytes[PGF_TAR_BLOCK];
    struct seen seen = {.data_len = 0};
    (void)state;

    header_make(bytes, "file", '0', "0");
    memcpy(bytes + 345, "a/long/prefix", 13);
    checksum_renew(bytes);
    assert_int_equal(feed(&seen, bytes, sizeof(bytes), 512), HF_OK);
    assert_string_equal(hf_buf_text(&seen.text), "0 a/long/prefix/file  0 600 100;.");
    hf_buf_done(&seen.text);
}

static void test_tar__refuses_unsafe_members(void **state)
{
    static const struct {
        const char *name;
        char type;
        const char *size;
    } cases[] = {
        {"/etc/passwd", '0', "0"}, {"../up", '0', "0"}, {"a/../b", '0', "0"},
        {"a/..", '0', "0"},        {"a//b", '0', "0"},  {"a/./b", '0', "0"},
        {"..", '5', "0"},          {"", '0', "0"},      {"a\nb", '0', "0"},
        {"hard", '1', "0"},        {"fifo", '6', "0"},  {"dev", '3', "0"},
        {"pax", 'x', "0"},         {"big", '0', "9"},   {"neg", '0', "\xff\xff"},
        {"words", '0', "12 34"},   {".", '5', "0"},
    };
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        uint8_t bytes[PGF_TAR_BLOCK];
        struct seen seen = {.data_len = 0};

        header_make(bytes, cases[i].name, cases[i].type, cases[i].size);
        assert_int_equal(feed(&seen, bytes, sizeof(bytes), 512), HF_DATA_LOSS);
        assert_int_equal(seen.text.len, 0);
        hf_buf_done(&seen.text);
    }
}

static void test_tar__refuses_a_flipped_bit(void **state)
{
    (void)state;

    for (size_t i = 0; i < 100; i++) {
        uint8_t bytes[PGF_TAR_BLOCK];
        struct seen seen = {.data_len = 0};

        header_make(bytes, "file", '0', "0");
        bytes[i * 5] ^= 0x10;
        assert_int_equal(feed(&seen, bytes, sizeof(bytes), 512), HF_DATA_LOSS);
        hf_buf_done(&seen.text);
    }
}

static void test_tar__refuses_a_cut_or_an_extended_archive(void **state)
{
    uint8_t bytes[PGF_TAR_BLOCK * 4] = {0};
    struct seen seen = {.data_len = 0};
    (void)state;

    header_make(bytes, "file", '0', "00000000005");
    for (size_t len = 1; len < 1024; len += 50) {
        assert_int_equal(feed(&seen, bytes, len, 512), HF_DATA_LOSS);
        hf_buf_done(&seen.text);
    }
    assert_int_equal(feed(&seen, bytes, 1024, 512), HF_OK); /* without its end, as 14 sends it */
    hf_buf_done(&seen.text);
    header_make(bytes + 1536, "more", '0', "0");
    assert_int_equal(feed(&seen, bytes, sizeof(bytes), 512), HF_DATA_LOSS);
    hf_buf_done(&seen.text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tar__gives_the_same_events_for_any_chunk),
        cmocka_unit_test(test_tar__reads_base_256_sizes),
        cmocka_unit_test(test_tar__refuses_times_beyond_microseconds),
        cmocka_unit_test(test_tar__joins_prefix_and_name),
        cmocka_unit_test(test_tar__refuses_unsafe_members),
        cmocka_unit_test(test_tar__refuses_a_flipped_bit),
        cmocka_unit_test(test_tar__refuses_a_cut_or_an_extended_archive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* zstd: exact lengths, bounded output, no trust in frames. */
#include <string.h>

#include "codec/zstream.h"
#include "tests/unit/unit.h"

static void test_zstream__gives_back_what_went_in(void **state)
{
    HF_CLEANUP(codec_zstd_free) struct codec_zstd *zstd = codec_zstd_new(3);
    HF_CLEANUP(codec_unzstd_free) struct codec_unzstd *unzstd = codec_unzstd_new();
    static uint8_t plain[100000];
    static uint8_t coded[120000];
    static uint8_t back[100000];

    (void)state;
    for (size_t len = 0; len <= sizeof(plain); len += 9973) {
        size_t n;

        memset(plain, (int)(len % 251), len);
        assert_true(codec_zstd_bound(len) <= sizeof(coded));
        n = codec_zstd_compress(zstd, (struct hf_bytes){plain, len}, coded, sizeof(coded));
        assert_true(n > 0);
        assert_true(codec_unzstd(unzstd, (struct hf_bytes){coded, n}, back, len));
        assert_memory_equal(plain, back, len);
    }
}

static void test_zstream__insists_on_the_length(void **state)
{
    HF_CLEANUP(codec_zstd_free) struct codec_zstd *zstd = codec_zstd_new(3);
    HF_CLEANUP(codec_unzstd_free) struct codec_unzstd *unzstd = codec_unzstd_new();
    const uint8_t plain[1000] = {1};
    uint8_t coded[1200];
    uint8_t back[1001];
    size_t n =
        codec_zstd_compress(zstd, (struct hf_bytes){plain, sizeof(plain)}, coded, sizeof(coded));

    (void)state;
    back[1000] = 77;
    assert_false(codec_unzstd(unzstd, (struct hf_bytes){coded, n}, back, 999));
    assert_false(codec_unzstd(unzstd, (struct hf_bytes){coded, n}, back, 1001));
    assert_false(codec_unzstd(unzstd, (struct hf_bytes){coded, n - 1}, back, 1000));
    assert_true(codec_unzstd(unzstd, (struct hf_bytes){coded, n}, back, 1000));
    assert_int_equal(back[1000], 77);
    assert_int_equal(codec_zstd_compress(zstd, (struct hf_bytes){plain, sizeof(plain)}, coded, 3),
                     0);
}

static void test_zstream__refuses_a_bomb_within_its_buffer(void **state)
{
    HF_CLEANUP(codec_zstd_free) struct codec_zstd *zstd = codec_zstd_new(19);
    HF_CLEANUP(codec_unzstd_free) struct codec_unzstd *unzstd = codec_unzstd_new();
    static const uint8_t zeros[8 << 20];
    static uint8_t coded[1 << 20];
    uint8_t back[100];
    size_t n =
        codec_zstd_compress(zstd, (struct hf_bytes){zeros, sizeof(zeros)}, coded, sizeof(coded));

    (void)state;
    assert_in_range(n, 1, 4096);
    assert_false(codec_unzstd(unzstd, (struct hf_bytes){coded, n}, back, sizeof(back)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zstream__gives_back_what_went_in),
        cmocka_unit_test(test_zstream__insists_on_the_length),
        cmocka_unit_test(test_zstream__refuses_a_bomb_within_its_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

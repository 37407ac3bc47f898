/* Digests against the vectors of their standards. */
#include <string.h>

#include "base/check.h"
#include "codec/hash.h"
#include "tests/unit/unit.h"

static struct hf_bytes text(const char *s)
{
    return (struct hf_bytes){(const uint8_t *)s, strlen(s)};
}

static void assert_hex(const void *bytes, size_t len, const char *hex)
{
    uint8_t wanted[256];

    assert_int_equal(strlen(hex), 2 * len);
    assert_true(hf_unhex(hex, wanted, len));
    assert_memory_equal(bytes, wanted, len);
}

static void test_sha256__gives_the_standard_digests(void **state)
{
    uint8_t hash[CODEC_SHA256_LEN];
    struct codec_sha256 sha;
    char million[1000];

    (void)state;
    codec_sha256("abc", 3, hash);
    assert_hex(hash, sizeof(hash),
               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    codec_sha256("", 0, hash);
    assert_hex(hash, sizeof(hash),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    memset(million, 'a', sizeof(million));
    codec_sha256_init(&sha);
    for (int i = 0; i < 1000; i++) {
        codec_sha256_add(&sha, million, sizeof(million));
    }
    codec_sha256_end(&sha, hash);
    assert_hex(hash, sizeof(hash),
               "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 4231, cases 2 and 6 (key longer than a block). */
static void test_hmac__gives_the_standard_macs(void **state)
{
    struct codec_hmac hmac;
    uint8_t mac[CODEC_SHA256_LEN];
    uint8_t key[131];
    const struct hf_bytes parts[] = {text("what do ya want "), text("for nothing?")};
    const struct hf_bytes large = text("Test Using Larger Than Block-Size Key - Hash Key First");

    (void)state;
    codec_hmac_key(&hmac, "Jefe", 4);
    codec_hmac(&hmac, parts, 2, mac);
    assert_hex(mac, sizeof(mac),
               "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    codec_hmac(&hmac, parts, 2, mac); /* the prepared key is not used up */
    assert_int_equal(mac[0], 0x5b);
    memset(key, 0xaa, sizeof(key));
    codec_hmac_key(&hmac, key, sizeof(key));
    codec_hmac(&hmac, &large, 1, mac);
    assert_hex(mac, sizeof(mac),
               "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

/* RFC 5869, cases 1 and 3. */
static void test_hkdf__gives_the_standard_keys(void **state)
{
    uint8_t ikm[22];
    uint8_t salt[13];
    uint8_t info[10];
    uint8_t prk[CODEC_SHA256_LEN];
    uint8_t okm[42];
    const struct hf_bytes parts[] = {{info, 4}, {info + 4, 6}};

    (void)state;
    memset(ikm, 0x0b, sizeof(ikm));
    for (size_t i = 0; i < sizeof(salt); i++) {
        salt[i] = (uint8_t)i;
    }
    for (size_t i = 0; i < sizeof(info); i++) {
        info[i] = (uint8_t)(0xf0 + i);
    }
    codec_hkdf_extract((struct hf_bytes){salt, sizeof(salt)}, (struct hf_bytes){ikm, sizeof(ikm)},
                       prk);
    codec_hkdf_expand(prk, parts, HF_LEN(parts), okm, sizeof(okm));
    assert_hex(
        okm, sizeof(okm),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
    codec_hkdf_extract((struct hf_bytes){NULL, 0}, (struct hf_bytes){ikm, sizeof(ikm)}, prk);
    codec_hkdf_expand(prk, NULL, 0, okm, sizeof(okm));
    assert_hex(
        okm, sizeof(okm),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
}

static void test_crc32c__gives_the_standard_checksums(void **state)
{
    uint8_t zeros[32] = {0};

    (void)state;
    assert_int_equal(codec_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(codec_crc32c(0, zeros, sizeof(zeros)), 0x8a9136aa);
    assert_int_equal(codec_crc32c(0, NULL, 0), 0);
}

static void test_crc32c__fast_and_portable_agree_and_stream(void **state)
{
    uint8_t bytes[300];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * i + 7 * i);
    }
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        uint32_t whole = codec_crc32c(0, bytes, len);

        assert_int_equal(whole, codec_crc32c_portable(0, bytes, len));
        assert_int_equal(
            whole, codec_crc32c(codec_crc32c(0, bytes, len / 3), bytes + len / 3, len - len / 3));
    }
}

static void test_crc32c__combines(void **state)
{
    static uint8_t bytes[100000];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i >> 3 ^ i);
    }
    for (size_t cut = 0; cut <= sizeof(bytes); cut += 7919) {
        uint32_t a = codec_crc32c(0, bytes, cut);
        uint32_t b = codec_crc32c(0, bytes + cut, sizeof(bytes) - cut);

        assert_int_equal(codec_crc32c_combine(a, b, sizeof(bytes) - cut),
                         codec_crc32c(0, bytes, sizeof(bytes)));
    }
}

static void test_equal__compares_all_bytes(void **state)
{
    (void)state;
    assert_true(codec_equal("abc", "abc", 3));
    assert_false(codec_equal("abc", "abd", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256__gives_the_standard_digests),
        cmocka_unit_test(test_hmac__gives_the_standard_macs),
        cmocka_unit_test(test_hkdf__gives_the_standard_keys),
        cmocka_unit_test(test_crc32c__gives_the_standard_checksums),
        cmocka_unit_test(test_crc32c__fast_and_portable_agree_and_stream),
        cmocka_unit_test(test_crc32c__combines),
        cmocka_unit_test(test_equal__compares_all_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

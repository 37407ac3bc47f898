/* Sealing and signing against published vectors, and what must not open. */
#include <string.h>

#include "codec/seal.h"
#include "tests/unit/unit.h"

static struct hf_bytes unhex(const char *hex, uint8_t *room)
{
    assert_true(hf_unhex(hex, room, strlen(hex) / 2));
    return (struct hf_bytes){room, strlen(hex) / 2};
}

/* McGrew and Viega, test case 16. */
static const char gcm_key[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
static const char gcm_nonce[] = "cafebabefacedbaddecaf888";
static const char gcm_aad[] = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
static const char gcm_plain[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                                "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
static const char gcm_sealed[] = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                                 "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                                 "76fc6ece0f4e1768cddf8853bb2d551b";

static void test_gcm__gives_the_published_bytes(void **state)
{
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    uint8_t room[5][128];
    uint8_t out[128];
    const struct hf_bytes plain = unhex(gcm_plain, room[3]);
    const struct hf_bytes sealed = unhex(gcm_sealed, room[4]);
    struct codec_gcm_params params = {.key = unhex(gcm_key, room[0]).ptr,
                                      .nonce = unhex(gcm_nonce, room[1]).ptr,
                                      .aad = unhex(gcm_aad, room[2])};

    (void)state;
    for (int i = 0; i < 2; i++) { /* contexts are reusable */
        codec_gcm_seal(gcm, &params, plain, out);
        assert_memory_equal(out, sealed.ptr, sealed.len);
        assert_true(codec_gcm_open(gcm, &params, sealed, out));
        assert_memory_equal(out, plain.ptr, plain.len);
    }
}

static void test_gcm__refuses_any_change(void **state)
{
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    uint8_t key[CODEC_KEY_LEN] = {1};
    uint8_t nonce[CODEC_NONCE_LEN] = {2};
    uint8_t sealed[5 + CODEC_TAG_LEN];
    uint8_t out[64];
    const struct codec_gcm_params params = {key, nonce, {(const uint8_t *)"aad", 3}};
    struct codec_gcm_params other = params;

    (void)state;
    codec_gcm_seal(gcm, &params, (struct hf_bytes){(const uint8_t *)"plain", 5}, sealed);
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 4;
        assert_false(codec_gcm_open(gcm, &params, (struct hf_bytes){sealed, sizeof(sealed)}, out));
        sealed[i] ^= 4;
    }
    other.aad.ptr = (const uint8_t *)"aae";
    assert_false(codec_gcm_open(gcm, &other, (struct hf_bytes){sealed, sizeof(sealed)}, out));
    assert_false(codec_gcm_open(gcm, &params, (struct hf_bytes){sealed, 15}, out));
    assert_true(codec_gcm_open(gcm, &params, (struct hf_bytes){sealed, sizeof(sealed)}, out));
}

static void test_gcm__seals_nothing_too(void **state)
{
    HF_CLEANUP(codec_gcm_free) struct codec_gcm *gcm = codec_gcm_new();
    uint8_t key[CODEC_KEY_LEN] = {1};
    uint8_t nonce[CODEC_NONCE_LEN] = {2};
    uint8_t sealed[CODEC_TAG_LEN];
    uint8_t out[1];
    const struct codec_gcm_params params = {key, nonce, {(const uint8_t *)"aad", 3}};

    (void)state;
    codec_gcm_seal(gcm, &params, (struct hf_bytes){NULL, 0}, sealed);
    assert_true(codec_gcm_open(gcm, &params, (struct hf_bytes){sealed, sizeof(sealed)}, out));
    sealed[3] ^= 1;
    assert_false(codec_gcm_open(gcm, &params, (struct hf_bytes){sealed, sizeof(sealed)}, out));
}

/* Key 00 … 3f, data "one", "two", text "fourteen bytes": by another implementation (Python's
 * cryptography, AESSIV). */
static const char siv_sealed[] = "a84ffa8db6cbaab49bc4c635f95361b4e07d730bfbe4ad6ef43e4e812b0e";

static void test_siv__opens_only_with_all_its_data(void **state)
{
    uint8_t key[CODEC_SIV_KEY_LEN];
    uint8_t sealed[CODEC_TAG_LEN + 14];
    uint8_t again[sizeof(sealed)];
    uint8_t out[14];
    const struct hf_bytes plain = {(const uint8_t *)"fourteen bytes", 14};
    const struct hf_bytes aad[] = {{(const uint8_t *)"one", 3}, {(const uint8_t *)"two", 3}};
    const struct hf_bytes swapped[] = {aad[1], aad[0]};

    (void)state;
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)i;
    }
    codec_siv_seal(key, aad, 2, plain, sealed);
    codec_siv_seal(key, aad, 2, plain, again);
    assert_memory_equal(sealed, again, sizeof(sealed));
    assert_true(codec_siv_open(key, aad, 2, (struct hf_bytes){sealed, sizeof(sealed)}, out));
    assert_memory_equal(out, plain.ptr, plain.len);
    assert_false(codec_siv_open(key, swapped, 2, (struct hf_bytes){sealed, sizeof(sealed)}, out));
    assert_false(codec_siv_open(key, aad, 1, (struct hf_bytes){sealed, sizeof(sealed)}, out));
    for (size_t i = 0; i < sizeof(sealed); i++) {
        sealed[i] ^= 0x80;
        assert_false(codec_siv_open(key, aad, 2, (struct hf_bytes){sealed, sizeof(sealed)}, out));
        sealed[i] ^= 0x80;
    }
    assert_memory_equal(sealed, unhex(siv_sealed, again).ptr, sizeof(sealed));
}

/* RFC 8032, 7.1, test 2. */
static void test_ed25519__gives_the_published_signature(void **state)
{
    uint8_t private_key[CODEC_KEY_LEN];
    uint8_t wanted[CODEC_SIGNATURE_LEN];
    uint8_t public_key[CODEC_KEY_LEN];
    uint8_t signature[CODEC_SIGNATURE_LEN];
    const uint8_t message = 0x72;

    (void)state;
    (void)unhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", private_key);
    codec_ed25519_public(private_key, public_key);
    (void)unhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", wanted);
    assert_memory_equal(public_key, wanted, CODEC_KEY_LEN);
    codec_ed25519_sign(private_key, (struct hf_bytes){&message, 1}, signature);
    (void)unhex("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
                wanted);
    assert_memory_equal(signature, wanted, sizeof(wanted));
    assert_true(codec_ed25519_verify(public_key, (struct hf_bytes){&message, 1}, signature));
    signature[10] ^= 1;
    assert_false(codec_ed25519_verify(public_key, (struct hf_bytes){&message, 1}, signature));
}

static void test_ed25519__pem_round_trip(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);
    uint8_t private_key[CODEC_KEY_LEN];
    uint8_t public_key[CODEC_KEY_LEN];
    uint8_t back[CODEC_KEY_LEN];
    const char *pem;

    (void)state;
    codec_ed25519_make(private_key, public_key);
    pem = codec_ed25519_pem(arena, private_key);
    assert_true(hf_has_prefix(pem, "-----BEGIN PRIVATE KEY-----\n"));
    assert_true(codec_ed25519_from_pem(hf_str_of(pem), back));
    assert_memory_equal(back, private_key, sizeof(back));
    assert_false(codec_ed25519_from_pem(hf_str_of("-----BEGIN PRIVATE KEY-----\n"), back));
    assert_false(codec_ed25519_from_pem(hf_str_of(""), back));
}

/* RFC 7748, 5.2. */
static void test_x25519__gives_the_published_secret(void **state)
{
    uint8_t scalar[CODEC_KEY_LEN];
    uint8_t point[CODEC_KEY_LEN];
    uint8_t wanted[CODEC_KEY_LEN];
    uint8_t shared[CODEC_KEY_LEN];
    const uint8_t zero[CODEC_KEY_LEN] = {0};

    (void)state;
    (void)unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", scalar);
    (void)unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", point);
    (void)unhex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552", wanted);
    assert_true(codec_x25519(scalar, point, shared));
    assert_memory_equal(shared, wanted, sizeof(wanted));
    assert_false(codec_x25519(scalar, zero, shared));
}

static void test_x25519__both_sides_agree(void **state)
{
    uint8_t a[CODEC_KEY_LEN];
    uint8_t a_public[CODEC_KEY_LEN];
    uint8_t b[CODEC_KEY_LEN];
    uint8_t b_public[CODEC_KEY_LEN];
    uint8_t ab[CODEC_KEY_LEN];
    uint8_t ba[CODEC_KEY_LEN];

    (void)state;
    codec_x25519_make(a, a_public);
    codec_x25519_make(b, b_public);
    assert_true(codec_x25519(a, b_public, ab));
    assert_true(codec_x25519(b, a_public, ba));
    assert_memory_equal(ab, ba, sizeof(ab));
    codec_x25519_public(a, ba);
    assert_memory_equal(ba, a_public, sizeof(ba));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gcm__gives_the_published_bytes),
        cmocka_unit_test(test_gcm__refuses_any_change),
        cmocka_unit_test(test_gcm__seals_nothing_too),
        cmocka_unit_test(test_siv__opens_only_with_all_its_data),
        cmocka_unit_test(test_ed25519__gives_the_published_signature),
        cmocka_unit_test(test_ed25519__pem_round_trip),
        cmocka_unit_test(test_x25519__gives_the_published_secret),
        cmocka_unit_test(test_x25519__both_sides_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

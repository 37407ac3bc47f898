/* Sealed secrets open with their key, in their place, unchanged, and in no other way. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/secret.h"
#include "base/fd.h"
#include "tests/unit/unit.h"

#define PLACE "tenants/1/clusters/orders/password"

struct fixture {
    struct hf_arena *arena;
    struct hf_ctx ctx;
    char *dir;
    char *path;
    struct secret_key *key;
};

static int setup(void **state)
{
    struct fixture *fix = hf_heap_alloc(sizeof(*fix));
    char root[] = "/tmp/hf-secret-XXXXXX";

    fix->arena = hf_arena_new((size_t)1024 * 1024);
    fix->ctx = (struct hf_ctx){.arena = fix->arena};
    fix->dir = hf_strdup(fix->arena, mkdtemp(root));
    fix->path = hf_path_join(fix->arena, fix->dir, "secret.key");
    assert_true(hf_is_ok(secret_key_create(&fix->ctx, fix->path)));
    assert_true(hf_is_ok(secret_key_load(&fix->ctx, fix->path, &fix->key)));
    *state = fix;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;

    secret_key_free(fix->key);
    (void)hf_is_ok(hf_remove_tree(fix->arena, fix->dir));
    hf_arena_free(fix->arena);
    hf_heap_free(fix);
    return 0;
}

static struct hf_bytes sealed_of(struct fixture *fix, const char *text)
{
    struct hf_bytes sealed;
    const struct hf_bytes plain = {(const uint8_t *)text, strlen(text)};

    assert_true(hf_is_ok(secret_seal(&fix->ctx, fix->key, PLACE, plain, &sealed)));
    return sealed;
}

static void test_secret__opens_in_its_place(void **state)
{
    struct fixture *fix = *state;
    struct hf_bytes sealed = sealed_of(fix, "hunter2");
    struct hf_bytes plain;

    assert_true(hf_is_ok(secret_open(&fix->ctx, fix->key, PLACE, sealed, &plain)));
    assert_int_equal(plain.len, 7);
    assert_memory_equal(plain.ptr, "hunter2", 7);
    assert_null(memmem(sealed.ptr, sealed.len, "hunter2", 7));
}

static void test_secret__two_seals_differ(void **state)
{
    struct fixture *fix = *state;
    struct hf_bytes a = sealed_of(fix, "same");
    struct hf_bytes b = sealed_of(fix, "same");

    assert_int_equal(a.len, b.len);
    assert_memory_not_equal(a.ptr + 17, b.ptr + 17, a.len - 17);
}

static void test_secret__every_flipped_byte_and_cut_is_found(void **state)
{
    struct fixture *fix = *state;
    struct hf_bytes sealed = sealed_of(fix, "hunter2");
    struct hf_bytes plain;

    for (size_t i = 0; i < sealed.len; i++) {
        uint8_t *copy = hf_dup(fix->arena, sealed.ptr, sealed.len);
        copy[i] ^= 1;
        struct hf_status status =
            secret_open(&fix->ctx, fix->key, PLACE, (struct hf_bytes){copy, sealed.len}, &plain);
        assert_int_equal(status.code, HF_FAILED_PRECONDITION);
        status = secret_open(&fix->ctx, fix->key, PLACE, (struct hf_bytes){sealed.ptr, i}, &plain);
        assert_int_equal(status.code, HF_FAILED_PRECONDITION);
    }
}

static void test_secret__another_place_or_key_does_not_open(void **state)
{
    struct fixture *fix = *state;
    struct hf_bytes sealed = sealed_of(fix, "hunter2");
    struct secret_key *other = NULL;
    struct hf_bytes plain;
    char *path = hf_path_join(fix->arena, fix->dir, "other.key");

    struct hf_status status = secret_open(&fix->ctx, fix->key, "tenants/2", sealed, &plain);
    assert_string_equal(status.info->reason, "WRONG_KEY");
    assert_true(hf_is_ok(secret_key_create(&fix->ctx, path)));
    assert_true(hf_is_ok(secret_key_load(&fix->ctx, path, &other)));
    status = secret_open(&fix->ctx, other, PLACE, sealed, &plain);
    secret_key_free(other);
    assert_string_equal(status.info->reason, "WRONG_KEY");
}

static void test_secret_key__file_is_private_and_whole(void **state)
{
    struct fixture *fix = *state;
    struct secret_key *key = NULL;
    char *bad = hf_path_join(fix->arena, fix->dir, "bad.key");

    assert_int_equal(secret_key_create(&fix->ctx, fix->path).code, HF_ALREADY_EXISTS);
    assert_int_equal(chmod(fix->path, 0640), 0);
    assert_int_equal(secret_key_load(&fix->ctx, fix->path, &key).code, HF_PERMISSION_DENIED);
    assert_int_equal(
        secret_key_load(&fix->ctx, hf_path_join(fix->arena, fix->dir, "none"), &key).code,
        HF_NOT_FOUND);
    assert_true(hf_is_ok(hf_create_file(fix->arena, bad, "abc", 3, 0600)));
    assert_int_equal(secret_key_load(&fix->ctx, bad, &key).code, HF_INVALID_ARGUMENT);
}

static void mac_of(const struct secret_key *key, const char *place, const char *a, const char *b,
                   uint8_t ret_mac[SECRET_MAC_LEN])
{
    const struct hf_bytes parts[] = {{(const uint8_t *)a, strlen(a)},
                                     {(const uint8_t *)b, strlen(b)}};

    secret_mac(key, place, parts, 2, ret_mac);
}

/* Equal for equal parts alone: not for another key, place, or cut between the parts. */
static void test_secret__mac_depends_on_all(void **state)
{
    static const struct {
        const char *place, *a, *b;
    } rows[] = {{"p", "ab", "c"}, {"p", "a", "bc"}, {"p", "abc", ""},
                {"p", "", "abc"}, {"q", "ab", "c"}, {"p", "", ""}};
    struct fixture *fix = *state;
    HF_CLEANUP(secret_key_free) struct secret_key *other = NULL;
    const char *path = hf_path_join(fix->arena, fix->dir, "other.key");
    uint8_t macs[7][SECRET_MAC_LEN];
    uint8_t again[SECRET_MAC_LEN];

    assert_true(hf_is_ok(secret_key_create(&fix->ctx, path)));
    assert_true(hf_is_ok(secret_key_load(&fix->ctx, path, &other)));
    for (size_t i = 0; i < 6; i++) {
        mac_of(fix->key, rows[i].place, rows[i].a, rows[i].b, macs[i]);
        mac_of(fix->key, rows[i].place, rows[i].a, rows[i].b, again);
        assert_memory_equal(macs[i], again, SECRET_MAC_LEN);
    }
    mac_of(other, "p", "ab", "c", macs[6]);
    for (size_t i = 0; i < 7; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(macs[i], macs[k], SECRET_MAC_LEN);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_secret__opens_in_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secret__two_seals_differ, setup, teardown),
        cmocka_unit_test_setup_teardown(test_secret__every_flipped_byte_and_cut_is_found, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_secret__another_place_or_key_does_not_open, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_secret_key__file_is_private_and_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_secret__mac_depends_on_all, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

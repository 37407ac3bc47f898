/* Keys: slots open with the right key only, and say what is wrong otherwise. */
#include <sys/stat.h>

#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/keyring_internal.h"

#define SLOT_1 "tenants/acme/keys/000001"

static struct hf_status reopen(struct fixture *f, const struct vault_realm_options *realm)
{
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *keyring = NULL;

    HF_TRY(vault_keyring_open(&f->ctx, f->store, realm, &keyring));
    assert_memory_equal(keyring->secrets.idk, f->keyring->secrets.idk, VAULT_KEY_LEN);
    assert_memory_equal(keyring->secrets.realm_keys[0], f->keyring->secrets.realm_keys[0],
                        VAULT_KEY_LEN);
    return hf_success();
}

static void test_keyring__opens_again_with_the_same_keys(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);
    size_t count = 0;

    assert_ok(reopen(f, &realm));
    assert_true(vault_keyring_can_sign(f->keyring));
    (void)vault_keyring_verifying_keys(f->keyring, &count);
    assert_int_equal(count, 1);
}

static void test_keyring__wrong_kek_is_wrong_key(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);
    uint8_t other[VAULT_KEY_LEN] = {1};

    realm.kek = other;
    assert_reason(reopen(f, &realm), HF_FAILED_PRECONDITION, "WRONG_KEY");
}

static void test_keyring__unknown_realm_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);

    realm.realm = "nobody";
    realm.create = false;
    assert_code(reopen(f, &realm), HF_NOT_FOUND);
    realm.realm = "../acme";
    assert_code(reopen(f, &realm), HF_INVALID_ARGUMENT);
}

static void test_keyring__lost_slots_are_not_begun_anew(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);
    const struct hf_bytes bytes = {(const uint8_t *)"x", 1};
    bool was_gone = true;

    assert_ok(objstore_put(&f->ctx, f->store, "tenants/acme/sources/s/journal/1", bytes));
    assert_ok(vault_keyring_keep(&f->ctx, f->store, f->keyring, &realm, &was_gone));
    assert_false(was_gone);
    assert_ok(objstore_remove(&f->ctx, f->store, SLOT_1));
    assert_true(realm.create);
    assert_reason(reopen(f, &realm), HF_FAILED_PRECONDITION, "KEYS_MISSING");
    assert_ok(vault_keyring_keep(&f->ctx, f->store, f->keyring, &realm, &was_gone));
    assert_true(was_gone);
    assert_ok(reopen(f, &realm));
}

/* Somebody with the same KEK began the realm anew, or brought another vault's slot. */
static void test_keyring__another_slot_in_its_place_is_found(void **state)
{
    struct fixture *f = *state;
    const struct vault_realm_options realm = fixture_realm(f);
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *other = NULL;
    const struct hf_bytes ours = fixture_object(f, SLOT_1);
    struct hf_bytes theirs;
    bool was_gone = true;

    assert_ok(objstore_remove(&f->ctx, f->store, SLOT_1));
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &other));
    theirs = fixture_object(f, SLOT_1);
    assert_reason(vault_keyring_keep(&f->ctx, f->store, f->keyring, &realm, &was_gone),
                  HF_FAILED_PRECONDITION, "KEYS_REPLACED");
    assert_memory_equal(fixture_object(f, SLOT_1).ptr, theirs.ptr, theirs.len);
    assert_ok(objstore_remove(&f->ctx, f->store, SLOT_1));
    assert_ok(objstore_put(&f->ctx, f->store, SLOT_1, ours));
    assert_ok(vault_keyring_rotate(&f->ctx, f->store, f->keyring, &realm, true));
    assert_ok(vault_keyring_keep(&f->ctx, f->store, f->keyring, &realm, &was_gone));
    assert_false(was_gone);
    assert_ok(objstore_put(&f->ctx, f->store, "tenants/acme/keys/000003",
                           (struct hf_bytes){(const uint8_t *)"x", 1}));
    assert_reason(vault_keyring_keep(&f->ctx, f->store, f->keyring, &realm, &was_gone),
                  HF_DATA_LOSS, "DAMAGED");
    assert_ok(objstore_remove(&f->ctx, f->store, "tenants/acme/keys/000003"));
    assert_reason(vault_keyring_keep(&f->ctx, f->store, other, &realm, &was_gone),
                  HF_FAILED_PRECONDITION, "KEYS_REPLACED");
}

static void test_keyring__finds_a_flipped_bit_in_every_byte_of_a_slot(void **state)
{
    struct fixture *f = *state;
    const struct hf_bytes bytes = fixture_object(f, SLOT_1);
    const struct vault_slot_place place = {"acme", 1, SLOT_1};
    uint8_t *copy = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);
    struct vault_secrets secrets;

    assert_ok(vault_slot_open(f->ctx.arena, &place, bytes, f->kek, &secrets));
    for (size_t i = 0; i < bytes.len; i++) {
        copy[i] ^= (uint8_t)(1u << (i % 8));
        assert_code(vault_slot_open(f->ctx.arena, &place, (struct hf_bytes){copy, bytes.len},
                                    f->kek, &secrets),
                    HF_DATA_LOSS);
        copy[i] = bytes.ptr[i];
    }
    for (size_t len = 0; len < bytes.len; len++) {
        assert_code(vault_slot_open(f->ctx.arena, &place, (struct hf_bytes){bytes.ptr, len}, f->kek,
                                    &secrets),
                    HF_DATA_LOSS);
    }
}

static void test_keyring__a_slot_of_another_place_is_refused(void **state)
{
    struct fixture *f = *state;
    const struct hf_bytes bytes = fixture_object(f, SLOT_1);
    struct vault_realm_options realm = fixture_realm(f);

    assert_ok(objstore_put(&f->ctx, f->store, "tenants/acme/keys/000002", bytes));
    assert_code(reopen(f, &realm), HF_DATA_LOSS);
    realm.realm = "globex";
    assert_ok(objstore_put(&f->ctx, f->store, "tenants/globex/keys/000001", bytes));
    assert_code(reopen(f, &realm), HF_DATA_LOSS);
}

static void test_keyring__rotates_key_kek_and_signer(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);
    const char *signer = hf_printf(f->ctx.arena, "%s/second.pem", f->dir);
    uint8_t kek[VAULT_KEY_LEN] = {5};
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *second = NULL;
    size_t count = 0;

    assert_ok(vault_signing_key_make(&f->ctx, signer));
    realm.signing_key_path = signer;
    assert_reason(reopen(f, &realm), HF_FAILED_PRECONDITION, "UNKNOWN_SIGNING_KEY");
    realm.kek = kek;
    assert_ok(vault_keyring_rotate(&f->ctx, f->store, f->keyring, &realm, true));
    assert_code(vault_keyring_rotate(&f->ctx, f->store, f->keyring, &realm, true), HF_ABORTED);
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &second));
    assert_int_equal(second->secrets.versions, 2);
    (void)vault_keyring_verifying_keys(second, &count);
    assert_int_equal(count, 2);
    assert_memory_equal(second->secrets.idk, f->keyring->secrets.idk, VAULT_KEY_LEN);
    realm = fixture_realm(f);
    assert_reason(reopen(f, &realm), HF_FAILED_PRECONDITION, "WRONG_KEY");
}

static void test_keyring__recovery_kit_opens_the_slot(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *made = NULL;
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *opened = NULL;
    uint8_t escrow[VAULT_KEY_LEN];
    uint8_t other[VAULT_KEY_LEN];
    char *kit = NULL;
    char *wrong_kit = NULL;
    char *typo;

    assert_ok(vault_escrow_make(&f->ctx, &kit, escrow));
    assert_ok(vault_escrow_make(&f->ctx, &wrong_kit, other));
    realm.realm = "kept";
    realm.escrow_public = (const uint8_t(*)[VAULT_KEY_LEN]) & escrow;
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &made));
    assert_ok(vault_keyring_open_escrow(&f->ctx, f->store, "kept", kit, &opened));
    assert_memory_equal(&opened->secrets, &made->secrets, sizeof(made->secrets));
    assert_false(vault_keyring_can_sign(opened));
    vault_keyring_free(HF_TAKE(opened));
    assert_reason(vault_keyring_open_escrow(&f->ctx, f->store, "kept", wrong_kit, &opened),
                  HF_FAILED_PRECONDITION, "WRONG_KEY");
    assert_code(vault_keyring_open_escrow(&f->ctx, f->store, "acme", kit, &opened), HF_NOT_FOUND);
    typo = hf_strdup(f->ctx.arena, kit);
    typo[strlen(typo) - 8] = typo[strlen(typo) - 8] == '7' ? '8' : '7';
    assert_code(vault_keyring_open_escrow(&f->ctx, f->store, "kept", typo, &opened),
                HF_INVALID_ARGUMENT);
}

static void test_keyring__recovery_kit_forgives_case_and_spaces(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *made = NULL;
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *opened = NULL;
    uint8_t escrow[VAULT_KEY_LEN];
    char *kit = NULL;
    char *typed;

    assert_ok(vault_escrow_make(&f->ctx, &kit, escrow));
    realm.realm = "kept";
    realm.escrow_public = (const uint8_t(*)[VAULT_KEY_LEN]) & escrow;
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &made));
    typed = hf_printf(f->ctx.arena, " %s\n", kit);
    for (char *c = typed + 16; *c != '\0'; c++) {
        *c = *c == '-' ? ' ' : (char)(*c >= 'A' && *c <= 'F' ? *c + 32 : *c);
    }
    assert_ok(vault_keyring_open_escrow(&f->ctx, f->store, "kept", typed, &opened));
}

static void test_key_files__are_private_and_exclusive(void **state)
{
    struct fixture *f = *state;
    const char *path = hf_printf(f->ctx.arena, "%s/vault.key", f->dir);
    uint8_t kek[VAULT_KEY_LEN];
    struct stat info;

    assert_code(vault_kek_load(&f->ctx, path, kek), HF_NOT_FOUND);
    assert_ok(vault_kek_make(&f->ctx, path));
    assert_code(vault_kek_make(&f->ctx, path), HF_ALREADY_EXISTS);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(info.st_size, 65);
    assert_ok(vault_kek_load(&f->ctx, path, kek));
    assert_int_equal(chmod(path, 0644), 0);
    assert_code(vault_kek_load(&f->ctx, path, kek), HF_FAILED_PRECONDITION);
}

static void test_key_files__bad_contents_are_refused(void **state)
{
    struct fixture *f = *state;
    const char *path = hf_printf(f->ctx.arena, "%s/bad", f->dir);
    static const char *const texts[] = {
        "", "12", "zz23456789012345678901234567890123456789012345678901234567890123\n",
        "00123456789012345678901234567890123456789012345678901234567890123\n"};
    struct vault_realm_options realm = fixture_realm(f);
    uint8_t kek[VAULT_KEY_LEN];

    realm.signing_key_path = path;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_ok(hf_replace_file(f->ctx.arena, path, texts[i], strlen(texts[i]), 0600));
        assert_code(vault_kek_load(&f->ctx, path, kek), HF_INVALID_ARGUMENT);
        assert_code(reopen(f, &realm), HF_INVALID_ARGUMENT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_keyring__opens_again_with_the_same_keys),
        fixture_test(test_keyring__wrong_kek_is_wrong_key),
        fixture_test(test_keyring__unknown_realm_is_not_found),
        fixture_test(test_keyring__lost_slots_are_not_begun_anew),
        fixture_test(test_keyring__another_slot_in_its_place_is_found),
        fixture_test(test_keyring__finds_a_flipped_bit_in_every_byte_of_a_slot),
        fixture_test(test_keyring__a_slot_of_another_place_is_refused),
        fixture_test(test_keyring__rotates_key_kek_and_signer),
        fixture_test(test_keyring__recovery_kit_opens_the_slot),
        fixture_test(test_keyring__recovery_kit_forgives_case_and_spaces),
        fixture_test(test_key_files__are_private_and_exclusive),
        fixture_test(test_key_files__bad_contents_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

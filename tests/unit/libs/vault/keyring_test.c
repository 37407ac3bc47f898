/* Keys: slots open with the right key only, and say what is wrong otherwise. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/check.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/keyring_internal.h"
#include "vault/kit.h"

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

static void test_keyring__finds_its_slots_among_others_files(void **state)
{
    struct fixture *f = *state;
    const struct vault_realm_options realm = fixture_realm(f);

    for (int i = 0; i < 12000; i++) { /* in front of the slots, and behind them */
        const char *path = hf_printf(f->ctx.arena, "%s/vault/tenants/acme/keys/%s%07d", f->dir,
                                     i % 2 == 0 ? "000000-" : "e", i);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        close(fd);
    }
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

/* A store without any key puts rubbish beside the good slot: what is stored is read all the same,
 * nothing is written. */
static void test_keyring__rubbish_beside_a_slot_keeps_nobody_from_reading(void **state)
{
    struct fixture *f = *state;
    struct vault_realm_options realm = fixture_realm(f);
    const struct hf_bytes rubbish = {(const uint8_t *)"x", 1};
    const uint8_t other[VAULT_KEY_LEN] = {1};
    bool was_gone = true;

    for (int i = 2; i < 9; i++) {
        assert_ok(objstore_put(&f->ctx, f->store,
                               hf_printf(f->ctx.arena, "tenants/acme/keys/%06d", i * i * i),
                               rubbish));
    }
    assert_ok(reopen(f, &realm));
    assert_reason(vault_keyring_keep(&f->ctx, f->store, f->keyring, &realm, &was_gone),
                  HF_DATA_LOSS, "DAMAGED");
    realm.kek =
        other; /* the good one is of another key: that is not what is wrong with the newest */
    assert_reason(reopen(f, &realm), HF_DATA_LOSS, "DAMAGED");
    for (int i = 2; i < 9; i++) {
        assert_ok(objstore_remove(&f->ctx, f->store,
                                  hf_printf(f->ctx.arena, "tenants/acme/keys/%06d", i * i * i)));
    }
    assert_reason(reopen(f, &realm), HF_FAILED_PRECONDITION, "WRONG_KEY");
    assert_ok(vault_keyring_rotate(&f->ctx, f->store, f->keyring, &realm, false));
    realm.kek = f->kek; /* the newest is sound and of another key: it is not passed over */
    assert_reason(reopen(f, &realm), HF_FAILED_PRECONDITION, "WRONG_KEY");
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
    assert_ok(objstore_remove(&f->ctx, f->store, SLOT_1)); /* it would be read instead */
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

/* A kit as `up` prints it, and the file it stands in. */
struct printed {
    const char *path;
    char *text;
    uint8_t public_key[VAULT_KEY_LEN];
    struct vault_key key;
};

static void print_kit(struct fixture *f, const char *name, const char *before,
                      struct printed *ret_printed)
{
    *ret_printed = (struct printed){.path = hf_printf(f->ctx.arena, "%s/%s", f->dir, name)};
    assert_ok(vault_escrow_make(&f->ctx, &ret_printed->text, ret_printed->public_key));
    char *all = hf_printf(f->ctx.arena, "%s%s\n", before, ret_printed->text);

    assert_ok(hf_replace_file(f->ctx.arena, ret_printed->path, all, strlen(all), 0600));
    assert_ok(vault_key_load(&f->ctx, ret_printed->path, &ret_printed->key));
    assert_true(ret_printed->key.is_kit);
}

static struct vault_realm_options kept_by(const struct fixture *f, const char *realm,
                                          const struct printed *kit)
{
    struct vault_realm_options options = fixture_realm(f);

    options.realm = realm;
    options.escrow_public = (const uint8_t(*)[VAULT_KEY_LEN]) & kit->public_key;
    return options;
}

static void test_kit__opens_the_slot(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *made = NULL;
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *opened = NULL;
    struct printed kit;
    struct printed other;

    print_kit(f, "kit", "HOLDFAST RECOVERY KIT\n\nescrow private key: ", &kit);
    print_kit(f, "other", "", &other);
    const struct vault_realm_options realm = kept_by(f, "kept", &kit);

    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &made));
    assert_ok(vault_key_open(&f->ctx, f->store, "kept", &kit.key, &opened));
    assert_memory_equal(&opened->secrets, &made->secrets, sizeof(made->secrets));
    assert_false(vault_keyring_can_sign(opened));
    vault_keyring_free(HF_TAKE(opened));
    assert_reason(vault_key_open(&f->ctx, f->store, "kept", &other.key, &opened),
                  HF_FAILED_PRECONDITION, "WRONG_KEY");
    assert_code(vault_key_open(&f->ctx, f->store, "acme", &kit.key, &opened), HF_NOT_FOUND);
}

/* What was typed, sent by mail or written by another system, and what is no kit. */
static void test_kit__is_read_from_what_is_around_it(void **state)
{
    enum { WHOLE, TYPED, CUT, NONE };
    static const struct {
        const char *before;
        int kit;
        const char *behind;
        bool is_kit;
    } texts[] = {
        {"", WHOLE, "", true},
        {"\xef\xbb\xbfTITLE\r\n\r\nescrow private key: ", WHOLE, "\r\n", true},
        {" ", TYPED, "\n", true},
        {"> escrow private key: ", WHOLE, "\n> and a word behind it: face\n", true},
        {"key: ", CUT, "\n", false},
        {"key: ", CUT, " and a word behind it: face\n", false},
        {"", WHOLE, "7\n", false},
        {"", WHOLE, "-0000\n", false},
        {"", WHOLE, "\nHOLDFAST-KIT-1\n", false},
        {"", NONE, "HOLDFAST-KIT-1\n", false},
    };
    struct fixture *f = *state;
    struct printed kit;
    uint8_t kek[VAULT_KEY_LEN];

    print_kit(f, "kit", "", &kit);
    char *typed = hf_strdup(f->ctx.arena, kit.text);
    const char *const forms[] = {kit.text, typed,
                                 hf_strndup(f->ctx.arena, kit.text, strlen(kit.text) - 1), ""};

    for (char *c = typed + strlen("HOLDFAST-KIT-1"); *c != '\0'; c++) {
        *c = *c == '-' ? ' ' : (char)(*c >= 'A' && *c <= 'F' ? *c + 32 : *c);
    }
    for (size_t i = 0; i < HF_LEN(texts); i++) {
        struct vault_key key = {0};
        const char *all = hf_printf(f->ctx.arena, "%s%s%s", texts[i].before, forms[texts[i].kit],
                                    texts[i].behind);

        assert_ok(hf_replace_file(f->ctx.arena, kit.path, all, strlen(all), 0600));
        assert_code(vault_key_load(&f->ctx, kit.path, &key),
                    texts[i].is_kit ? HF_OK : HF_INVALID_ARGUMENT);
        assert_int_equal(key.is_kit, texts[i].is_kit);
        assert_memory_equal(key.bytes, texts[i].is_kit ? kit.key.bytes : key.bytes, VAULT_KEY_LEN);
        assert_code(vault_kek_load(&f->ctx, kit.path, kek),
                    texts[i].is_kit ? HF_FAILED_PRECONDITION : HF_INVALID_ARGUMENT);
    }
    assert_int_equal(chmod(kit.path, 0640), 0);
    assert_code(vault_key_load(&f->ctx, kit.path, &kit.key), HF_FAILED_PRECONDITION);
}

static void test_kit__takes_over_all_it_opens(void **state)
{
    struct fixture *f = *state;
    const uint8_t kek[VAULT_KEY_LEN] = {9};
    struct vault_keyring *keyring = NULL;
    struct hf_status unopened = hf_success();
    struct printed kit;

    print_kit(f, "kit", "", &kit);
    struct vault_realm_options realm = kept_by(f, "first", &kit);

    for (int i = 0; i < 2; i++) {
        realm.realm = i == 0 ? "first" : "second";
        assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &keyring));
        vault_keyring_free(HF_TAKE(keyring));
    }
    realm.kek = kek;
    realm.signing_key_path = NULL;
    for (int i = 0; i < 2; i++) { /* again: nothing more is written */
        assert_ok(vault_kit_takeover(&f->ctx, f->store, &kit.key, &realm, &unopened));
        assert_code(unopened, HF_NOT_FOUND); /* acme's slot has no copy */
    }
    for (int i = 0; i < 2; i++) {
        realm.realm = i == 0 ? "first" : "second";
        assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &keyring));
        assert_int_equal(keyring->slot_number, 2);
        vault_keyring_free(HF_TAKE(keyring));
        assert_ok(vault_key_open(&f->ctx, f->store, realm.realm, &kit.key, &keyring));
        vault_keyring_free(HF_TAKE(keyring));
    }
    realm = fixture_realm(f);
    assert_ok(reopen(f, &realm)); /* acme is as it was */
}

/* Asked without a key, a kit that opens something changes nothing; one of elsewhere says so. */
static void test_kit__that_opens_nothing_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct vault_keyring *keyring = NULL;
    struct hf_status unopened = hf_success();
    struct printed kit;
    struct printed other;

    print_kit(f, "kit", "", &kit);
    print_kit(f, "other", "", &other);
    const struct vault_realm_options realm = kept_by(f, "first", &kit);
    const struct vault_realm_options ask = {0};
    const struct vault_realm_options take = {.kek = other.key.bytes};

    assert_code(vault_kit_takeover(&f->ctx, f->store, &kit.key, &ask, &unopened), HF_NOT_FOUND);
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &keyring));
    vault_keyring_free(HF_TAKE(keyring));
    assert_ok(objstore_remove(&f->ctx, f->store, SLOT_1));
    assert_ok(vault_kit_takeover(&f->ctx, f->store, &kit.key, &ask, &unopened));
    assert_ok(unopened);
    assert_reason(vault_kit_takeover(&f->ctx, f->store, &other.key, &take, &unopened),
                  HF_FAILED_PRECONDITION, "WRONG_KEY");
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &keyring));
    assert_int_equal(keyring->slot_number, 1);
    vault_keyring_free(HF_TAKE(keyring));
    assert_ok(objstore_remove(&f->ctx, f->store, "tenants/first/keys/000001"));
    assert_ok(vault_kit_takeover(&f->ctx, f->store, &other.key, &take, &unopened)); /* of nothing */
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
        fixture_test(test_keyring__finds_its_slots_among_others_files),
        fixture_test(test_keyring__another_slot_in_its_place_is_found),
        fixture_test(test_keyring__rubbish_beside_a_slot_keeps_nobody_from_reading),
        fixture_test(test_keyring__finds_a_flipped_bit_in_every_byte_of_a_slot),
        fixture_test(test_keyring__a_slot_of_another_place_is_refused),
        fixture_test(test_keyring__rotates_key_kek_and_signer),
        fixture_test(test_kit__opens_the_slot),
        fixture_test(test_kit__is_read_from_what_is_around_it),
        fixture_test(test_kit__takes_over_all_it_opens),
        fixture_test(test_kit__that_opens_nothing_changes_nothing),
        fixture_test(test_key_files__are_private_and_exclusive),
        fixture_test(test_key_files__bad_contents_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

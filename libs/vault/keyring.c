/* Opening, making and rotating the keys of a realm. The surprise: a keyring that got no signing
 * key still knows the verifying keys, so that reading a journal needs no private key. */
#include "vault/keyring.h"

#include <string.h>

#include "base/check.h"
#include "base/id.h"
#include "base/secret.h"
#include "codec/seal.h"
#include "vault/keyfile.h"
#include "vault/keyring_internal.h"
#include "vault/pack.h"
#include "vault/pack_format.h"

#define SLOTS_MAX 10000
#define SLOT_LAST "010000"
#define LIST_STEP 1000
#define LIST_PAGES_MAX 100
#define LIST_ARENA ((size_t)8 << 20)
#define SLOT_DIGITS 6
#define SLOT_TRIES 16 /* damaged ones that are passed over */

struct hf_status vault_wrong_key(struct hf_arena *arena, const char *name, const char *what)
{
    const char *const metadata[] = {"object", hf_strdup(arena, name), NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "WRONG_KEY", metadata, "wrong key: %s %s",
                        name, what);
}

struct hf_status vault_keys_missing(struct hf_arena *arena, const char *realm, const char *message)
{
    const char *const metadata[] = {"realm", realm, NULL};

    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "KEYS_MISSING", metadata, "%s", message);
}

void vault_realm_tag(const char *realm, uint8_t ret_tag[VAULT_ID_LEN])
{
    static const char label[] = "holdfast/1 realm";
    struct codec_sha256 sha;
    uint8_t hash[CODEC_SHA256_LEN];

    HF_CHECK(realm != NULL);
    codec_sha256_init(&sha);
    codec_sha256_add(&sha, label, sizeof(label) - 1);
    codec_sha256_add(&sha, realm, strlen(realm));
    codec_sha256_end(&sha, hash);
    memcpy(ret_tag, hash, VAULT_ID_LEN);
}

static struct hf_status realm_check(struct hf_ctx *ctx, const char *realm)
{
    if (!objstore_is_name(realm) || strchr(realm, '/') != NULL) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "'%.100s' is not a realm name",
                       realm != NULL ? realm : "");
    }
    return hf_success();
}

static struct vault_slot_place slot_place(struct hf_ctx *ctx, const char *realm, uint32_t number)
{
    const char *name = hf_printf(ctx->arena, "tenants/%s/keys/%06u", realm, number);

    return (struct vault_slot_place){realm, number, name};
}

/* Number of the slot with this name below the realm's keys; 0: it is none, but a file that somebody
 * else put there. */
static uint32_t slot_number(const char *base)
{
    uint64_t number = 0;

    if (strlen(base) != SLOT_DIGITS || !hf_parse_u64(base, &number) || number > SLOTS_MAX) {
        return 0;
    }
    return (uint32_t)number;
}

/* The slots below a bound among one page of names; true: what comes behind are none any more. */
static bool take_slots(const struct objstore_page *page, size_t prefix_len, uint32_t bound,
                       uint32_t *newest)
{
    for (size_t i = 0; i < page->len; i++) {
        const char *base = page->entries[i].name + prefix_len;
        uint32_t number = slot_number(base);

        *newest = number > *newest && number < bound ? number : *newest;
        if (strcmp(base, SLOT_LAST) > 0) {
            return true;
        }
    }
    return page->is_complete || page->len == 0;
}

/* Number of the newest slot below the bound; 0: there is none. What others put beside them is
 * passed over, in the memory of one page. */
static struct hf_status slot_below(struct hf_ctx *ctx, struct objstore *store, const char *realm,
                                   uint32_t bound, uint32_t *ret_number)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *scratch = hf_arena_new(LIST_ARENA);
    const char *prefix = hf_printf(ctx->arena, "tenants/%s/keys/", realm);
    const char *after = NULL;
    struct hf_ctx own = *ctx;
    bool is_over = false;

    own.arena = scratch;
    uint32_t newest = 0;

    HF_TRY(realm_check(ctx, realm));
    for (size_t pages = 0; !is_over; pages++) {
        struct objstore_page page = {0};
        struct hf_status status = objstore_list(&own, store, prefix, after, LIST_STEP, &page);

        if (!hf_is_ok(status)) {
            return hf_status_copy(ctx->arena, status);
        }
        is_over = take_slots(&page, strlen(prefix), bound, &newest);
        if (!is_over && pages == LIST_PAGES_MAX) {
            return vault_damaged(ctx->arena, prefix, 0, "foreign names without end");
        }
        after = page.len == 0 ? after : hf_strdup(ctx->arena, page.entries[page.len - 1].name);
        hf_arena_reset(scratch);
    }
    *ret_number = newest;
    return hf_success();
}

/* Number of the newest slot; 0: the realm has none. */
static struct hf_status slot_newest(struct hf_ctx *ctx, struct objstore *store, const char *realm,
                                    uint32_t *ret_number)
{
    return slot_below(ctx, store, realm, UINT32_MAX, ret_number);
}

static struct hf_status slot_read(struct hf_ctx *ctx, struct objstore *store,
                                  const struct vault_slot_place *place, struct hf_bytes *ret_bytes)
{
    uint64_t size = 0;
    uint8_t *bytes;

    HF_TRY(objstore_head(ctx, store, place->name, &size));
    if (size == 0 || size > VAULT_SLOT_MAX) {
        return vault_damaged(ctx->arena, place->name, 0, "impossible size of a key slot");
    }
    bytes = hf_alloc(ctx->arena, (size_t)size);
    HF_TRY(objstore_read(ctx, store, place->name, 0, (size_t)size, bytes));
    *ret_bytes = (struct hf_bytes){bytes, (size_t)size};
    return hf_success();
}

static struct vault_keyring *keyring_of(const struct vault_slot_place *place,
                                        const struct vault_secrets *secrets)
{
    struct vault_keyring *keyring = hf_secret_alloc(sizeof(*keyring));

    keyring->is_full = true;
    keyring->realm = hf_heap_strdup(place->realm);
    keyring->slot_number = place->number;
    vault_realm_tag(place->realm, keyring->realm_tag);
    keyring->secrets = *secrets;
    codec_hmac_key(&keyring->idk, secrets->idk, sizeof(secrets->idk));
    return keyring;
}

static bool secrets_verify_with(const struct vault_secrets *secrets, const uint8_t *public_key)
{
    for (uint32_t i = 0; i < secrets->verifying_len; i++) {
        if (memcmp(secrets->verifying[i], public_key, VAULT_KEY_LEN) == 0) {
            return true;
        }
    }
    return false;
}

static struct hf_status keyring_sign_with(struct hf_ctx *ctx, struct vault_keyring *keyring,
                                          const char *path)
{
    HF_TRY(vault_signing_key_load(ctx, path, keyring->signing_private));
    codec_ed25519_public(keyring->signing_private, keyring->signing_public);
    if (!secrets_verify_with(&keyring->secrets, keyring->signing_public)) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "UNKNOWN_SIGNING_KEY", NULL,
                            "the key slot of realm %s does not list the signing key %s",
                            keyring->realm, path);
    }
    keyring->has_signing = true;
    return hf_success();
}

/* Add the public part of the signing key to the verifying keys. */
static struct hf_status secrets_add_signer(struct hf_ctx *ctx, struct vault_secrets *secrets,
                                           const char *path)
{
    uint8_t private_key[VAULT_KEY_LEN];
    uint8_t public_key[VAULT_KEY_LEN];

    HF_TRY(vault_signing_key_load(ctx, path, private_key));
    codec_ed25519_public(private_key, public_key);
    codec_wipe(private_key, sizeof(private_key));
    if (secrets_verify_with(secrets, public_key)) {
        return hf_success();
    }
    if (secrets->verifying_len == VAULT_SLOT_VERIFYING_MAX) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "a key slot lists at most %d signers",
                       VAULT_SLOT_VERIFYING_MAX);
    }
    memcpy(secrets->verifying[secrets->verifying_len++], public_key, sizeof(public_key));
    return hf_success();
}

static struct hf_status slot_write(struct hf_ctx *ctx, struct objstore *store,
                                   const struct vault_realm_options *options, uint32_t number,
                                   const struct vault_secrets *secrets)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    const struct vault_slot_place place = slot_place(ctx, options->realm, number);
    const struct vault_slot_seal seal = {
        .kek = options->kek,
        .escrow_public = options->escrow_public != NULL ? *options->escrow_public : NULL,
    };

    hf_buf_init(&bytes, VAULT_SLOT_MAX);
    vault_slot_encode(&place, &seal, secrets, &bytes);
    HF_TRY(hf_buf_status(&bytes, ctx->arena, "key slot"));
    return objstore_put(ctx, store, place.name, (struct hf_bytes){bytes.ptr, bytes.len});
}

/* First slot of a realm. Somebody else's first slot is as good as ours. */
static struct hf_status slot_make_first(struct hf_ctx *ctx, struct objstore *store,
                                        const struct vault_realm_options *options)
{
    struct vault_secrets secrets = {.versions = 1};
    uint8_t writer_public[VAULT_KEY_LEN];
    struct hf_status status = hf_success();

    hf_random(secrets.realm_keys[0], VAULT_KEY_LEN);
    hf_random(secrets.idk, VAULT_KEY_LEN);
    codec_x25519_make(secrets.writer_private, writer_public);
    if (options->signing_key_path != NULL) {
        status = secrets_add_signer(ctx, &secrets, options->signing_key_path);
    }
    if (hf_is_ok(status)) {
        status = slot_write(ctx, store, options, 1, &secrets);
    }
    codec_wipe(&secrets, sizeof(secrets));
    return status.code == HF_ALREADY_EXISTS ? hf_success() : status;
}

/* A realm whose key slots are gone has lost them, it is not new: other keys under the same name
 * would make all that it stored unreadable for ever. */
static struct hf_status check_begun(struct hf_ctx *ctx, struct objstore *store, const char *realm)
{
    const char *prefix = hf_printf(ctx->arena, "tenants/%s/sources/", realm);
    struct objstore_page page = {0};

    HF_TRY(objstore_list(ctx, store, prefix, NULL, 1, &page));
    if (page.len == 0) {
        return hf_success();
    }
    return vault_keys_missing(
        ctx->arena, realm,
        hf_printf(ctx->arena,
                  "the vault holds data of tenant %s but not its keys; put tenants/%s/keys/ back "
                  "from a copy of the vault",
                  realm, realm));
}

/* One of the two. */
struct slot_key {
    const uint8_t *kek;
    const uint8_t *escrow_private;
};

static struct hf_status slot_open(struct hf_ctx *ctx, struct objstore *store,
                                  const struct vault_slot_place *place, const struct slot_key *key,
                                  struct vault_secrets *ret_secrets)
{
    struct hf_bytes bytes = {0};

    HF_TRY(slot_read(ctx, store, place, &bytes));
    return key->kek != NULL
               ? vault_slot_open(ctx->arena, place, bytes, key->kek, ret_secrets)
               : vault_slot_open_escrow(ctx->arena, place, bytes, key->escrow_private, ret_secrets);
}

/* Of a realm's slots from this number down the newest that is none of the damaged: a store without
 * any key can put rubbish beside the good one. With an older slot all is read that it has keys of;
 * whoever writes asks for the newest (vault_keyring_keep), and is refused. One of another key is
 * not passed over: it may be what a rotation made. Failing, the newest one's damage is told. */
static struct hf_status slot_open_from(struct hf_ctx *ctx, struct objstore *store,
                                       const struct slot_key *key, struct vault_slot_place *place,
                                       struct vault_secrets *ret_secrets)
{
    const struct hf_status newest = slot_open(ctx, store, place, key, ret_secrets);
    struct hf_status status = newest;
    uint32_t number = place->number;

    for (int tries = 0; tries < SLOT_TRIES && status.code == HF_DATA_LOSS; tries++) {
        HF_TRY(slot_below(ctx, store, place->realm, number, &number));
        if (number == 0) {
            return newest;
        }
        const struct vault_slot_place older = slot_place(ctx, place->realm, number);

        status = slot_open(ctx, store, &older, key, ret_secrets);
        if (hf_is_ok(status)) {
            *place = older;
        }
    }
    return hf_is_ok(status) ? status : newest;
}

struct hf_status vault_keyring_open(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_realm_options *options,
                                    struct vault_keyring **ret_keyring)
{
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *keyring = NULL;
    struct vault_slot_place place;
    struct vault_secrets secrets;
    uint32_t number = 0;

    HF_TRY(slot_newest(ctx, store, options->realm, &number));
    if (number == 0) {
        HF_TRY(check_begun(ctx, store, options->realm));
        if (!options->create) {
            return hf_fail(ctx->arena, HF_NOT_FOUND, "the vault has no keys of tenant %s",
                           options->realm);
        }
        HF_TRY(slot_make_first(ctx, store, options));
        number = 1;
    }
    place = slot_place(ctx, options->realm, number);
    HF_TRY(slot_open_from(ctx, store, &(struct slot_key){.kek = options->kek}, &place, &secrets));
    keyring = keyring_of(&place, &secrets);
    codec_wipe(&secrets, sizeof(secrets));
    if (options->signing_key_path != NULL) {
        HF_TRY(keyring_sign_with(ctx, keyring, options->signing_key_path));
    }
    *ret_keyring = HF_TAKE(keyring);
    return hf_success();
}

struct hf_status vault_keyring_open_escrow(struct hf_ctx *ctx, struct objstore *store,
                                           const char *realm,
                                           const uint8_t private_key[VAULT_KEY_LEN],
                                           struct vault_keyring **ret_keyring)
{
    struct vault_slot_place place;
    struct vault_secrets secrets;
    uint32_t number = 0;

    HF_TRY(slot_newest(ctx, store, realm, &number));
    if (number == 0) {
        HF_TRY(check_begun(ctx, store, realm));
        return hf_fail(ctx->arena, HF_NOT_FOUND, "the vault has no keys of tenant %s", realm);
    }
    place = slot_place(ctx, realm, number);
    HF_TRY(slot_open_from(ctx, store, &(struct slot_key){.escrow_private = private_key}, &place,
                          &secrets));
    *ret_keyring = keyring_of(&place, &secrets);
    codec_wipe(&secrets, sizeof(secrets));
    return hf_success();
}

struct hf_status vault_keyring_rotate(struct hf_ctx *ctx, struct objstore *store,
                                      const struct vault_keyring *keyring,
                                      const struct vault_realm_options *options, bool with_new_key)
{
    struct vault_secrets secrets = keyring->secrets;
    struct hf_status status = hf_success();

    HF_CHECK(keyring->is_full && hf_text_equal(keyring->realm, options->realm));
    if (with_new_key && secrets.versions == VAULT_SLOT_VERSIONS_MAX) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "realm %s has had %d keys already",
                       options->realm, VAULT_SLOT_VERSIONS_MAX);
    }
    if (with_new_key) {
        hf_random(secrets.realm_keys[secrets.versions++], VAULT_KEY_LEN);
    }
    if (options->signing_key_path != NULL) {
        status = secrets_add_signer(ctx, &secrets, options->signing_key_path);
    }
    if (hf_is_ok(status)) {
        status = slot_write(ctx, store, options, keyring->slot_number + 1, &secrets);
    }
    codec_wipe(&secrets, sizeof(secrets));
    if (status.code == HF_ALREADY_EXISTS) {
        status = hf_fail(ctx->arena, HF_ABORTED, "another rotation of realm %s came first",
                         options->realm);
    }
    return status;
}

/* Later slots have all keys of the earlier ones. */
static bool secrets_include(const struct vault_secrets *secrets, const struct vault_secrets *older)
{
    return secrets->versions >= older->versions &&
           memcmp(secrets->realm_keys, older->realm_keys, older->versions * VAULT_KEY_LEN) == 0 &&
           memcmp(secrets->idk, older->idk, VAULT_KEY_LEN) == 0;
}

/* Would whoever opens the realm now read what this keyring seals? */
static struct hf_status slot_compare(struct hf_ctx *ctx, struct objstore *store,
                                     const struct vault_keyring *keyring, const uint8_t *kek,
                                     uint32_t number)
{
    const struct vault_slot_place place = slot_place(ctx, keyring->realm, number);
    const char *const metadata[] = {"object", place.name, "realm", keyring->realm, NULL};
    struct vault_secrets secrets;
    struct hf_bytes bytes = {0};

    struct hf_status status = slot_read(ctx, store, &place, &bytes);

    HF_TRY(status.code == HF_NOT_FOUND
               ? vault_damaged(ctx->arena, place.name, 0, "what has its name is no key slot")
               : status);
    HF_TRY(vault_slot_open(ctx->arena, &place, bytes, kek, &secrets));
    bool is_ours = secrets_include(&secrets, &keyring->secrets);

    codec_wipe(&secrets, sizeof(secrets));
    return is_ours ? hf_success()
                   : hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "KEYS_REPLACED", metadata,
                                  "%s holds other keys than those that tenant %s's backups are "
                                  "sealed with; put tenants/%s/keys/ back from a copy of the vault",
                                  place.name, keyring->realm, keyring->realm);
}

struct hf_status vault_keyring_keep(struct hf_ctx *ctx, struct objstore *store,
                                    const struct vault_keyring *keyring,
                                    const struct vault_realm_options *options, bool *ret_was_gone)
{
    const uint32_t number = keyring->slot_number;
    uint32_t newest = 0;

    HF_CHECK(keyring->is_full && hf_text_equal(keyring->realm, options->realm));
    HF_TRY(slot_newest(ctx, store, keyring->realm, &newest));
    bool is_gone = newest < number;

    if (is_gone) {
        struct hf_status status = slot_write(ctx, store, options, number, &keyring->secrets);

        is_gone = status.code != HF_ALREADY_EXISTS; /* else it was only not listed */
        HF_TRY(is_gone ? status : hf_success());
        newest = number;
    }
    HF_TRY(slot_compare(ctx, store, keyring, options->kek, newest));
    *ret_was_gone = is_gone;
    return hf_success();
}

struct vault_keyring *vault_keyring_borrowed(struct vault_secret_source source,
                                             const uint8_t *verifying_keys, size_t count)
{
    struct vault_keyring *keyring = hf_secret_alloc(sizeof(*keyring));

    HF_CHECK(count <= VAULT_SLOT_VERIFYING_MAX);
    keyring->source = source;
    keyring->secrets.verifying_len = (uint32_t)count;
    if (count > 0) {
        memcpy(keyring->secrets.verifying, verifying_keys, count * VAULT_KEY_LEN);
    }
    return keyring;
}

void vault_keyring_free(struct vault_keyring *keyring)
{
    if (keyring != NULL) {
        hf_heap_free(keyring->realm);
        hf_secret_free(keyring);
    }
}

bool vault_keyring_can_digest(const struct vault_keyring *keyring)
{
    return keyring->is_full;
}

bool vault_keyring_can_sign(const struct vault_keyring *keyring)
{
    return keyring->has_signing;
}

const uint8_t *vault_keyring_verifying_keys(const struct vault_keyring *keyring, size_t *ret_count)
{
    *ret_count = keyring->secrets.verifying_len;
    return keyring->secrets.verifying[0];
}

struct hf_status vault_keyring_secret(struct hf_ctx *ctx, const struct vault_keyring *keyring,
                                      const struct vault_pack_header *header,
                                      uint8_t ret_secret[VAULT_KEY_LEN])
{
    if (!keyring->is_full) {
        return keyring->source.secret(ctx, keyring->source.arg, header, ret_secret);
    }
    if (memcmp(header->realm_tag, keyring->realm_tag, VAULT_ID_LEN) != 0) {
        return vault_wrong_key(ctx->arena, "pack", "belongs to another tenant");
    }
    if (header->key_version == 0 || header->key_version > keyring->secrets.versions) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "OLD_KEY_SLOT", NULL,
                            "pack is sealed with key %u of realm %s, key slot %u knows up to %u: "
                            "a newer slot is missing",
                            header->key_version, keyring->realm, keyring->slot_number,
                            keyring->secrets.versions);
    }
    codec_hkdf_extract(
        (struct hf_bytes){header->salt, sizeof(header->salt)},
        (struct hf_bytes){keyring->secrets.realm_keys[header->key_version - 1], VAULT_KEY_LEN},
        ret_secret);
    return hf_success();
}

void vault_page_digest(const struct vault_keyring *keyring, const void *page, size_t len,
                       uint8_t ret_digest[VAULT_DIGEST_LEN])
{
    const struct hf_bytes part = {page, len};
    uint8_t mac[CODEC_SHA256_LEN];

    HF_CHECK(keyring->is_full);
    codec_hmac(&keyring->idk, &part, 1, mac);
    memcpy(ret_digest, mac, VAULT_DIGEST_LEN);
}

void vault_path_key(const struct vault_keyring *keyring, const char *path,
                    uint8_t ret_key[VAULT_ID_LEN])
{
    const struct hf_bytes parts[] = {{(const uint8_t *)"path", 4},
                                     {(const uint8_t *)path, strlen(path)}};
    uint8_t mac[CODEC_SHA256_LEN];

    HF_CHECK(keyring->is_full);
    codec_hmac(&keyring->idk, parts, HF_LEN(parts), mac);
    memcpy(ret_key, mac, VAULT_ID_LEN);
}

void vault_blob_id(const struct vault_keyring *keyring, enum vault_blob_type type,
                   struct hf_bytes plain_or_digests, uint8_t ret_id[VAULT_HASH_LEN])
{
    const uint8_t kind = (uint8_t)type;
    const struct hf_bytes parts[] = {{&kind, 1}, plain_or_digests};

    HF_CHECK(keyring->is_full);
    codec_hmac(&keyring->idk, parts, HF_LEN(parts), ret_id);
}

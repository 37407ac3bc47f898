/* The format's test vectors: objects made from fixed keys and salts have exactly the bytes that a
 * second implementation (vectors/reference.py) made from docs/vault-format.md. */
#include "codec/seal.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/journal_entry.h"
#include "vault/keyring_internal.h"
#include "vault/marker.h"
#include "vault/pack_format.h"

#define PREFIX "tenants/vector/sources/orders"

static void run(uint8_t start, uint8_t *ret_bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        ret_bytes[i] = (uint8_t)(start + i);
    }
}

/* The keys that vectors/reference.py starts from. */
struct vector_keys {
    uint8_t kek[32];
    uint8_t escrow[32];
    uint8_t ephemeral[32];
    uint8_t pack_id[16];
    uint8_t salt[32];
    char realm[8];
    struct vault_keyring keyring;
};

static void keys_make(struct vector_keys *keys)
{
    struct vault_keyring *keyring = &keys->keyring;

    memset(keys, 0, sizeof(*keys));
    memcpy(keys->realm, "vector", 7);
    run(0, keys->kek, 32);
    run(160, keys->escrow, 32);
    run(192, keys->ephemeral, 32);
    run(1, keys->pack_id, 16);
    run(224, keys->salt, 32);
    keyring->is_full = true;
    keyring->realm = keys->realm;
    vault_realm_tag(keys->realm, keyring->realm_tag);
    keyring->secrets.versions = 1;
    run(32, keyring->secrets.realm_keys[0], 32);
    run(64, keyring->secrets.idk, 32);
    run(96, keyring->secrets.writer_private, 32);
    codec_hmac_key(&keyring->idk, keyring->secrets.idk, 32);
    keyring->has_signing = true;
    run(128, keyring->signing_private, 32);
    codec_ed25519_public(keyring->signing_private, keyring->signing_public);
    keyring->secrets.verifying_len = 1;
    memcpy(keyring->secrets.verifying[0], keyring->signing_public, 32);
}

/* Value of a line "name hex" of vectors.txt, as text. */
static const char *vector(struct fixture *f, const char *name)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const char *line;

    hf_buf_init(&buf, 1 << 16);
    assert_ok(hf_read_file(f->ctx.arena, HF_SOURCE_DIR "/tests/unit/libs/vault/vectors/vectors.txt",
                           &buf));
    line = hf_strdup(f->ctx.arena, hf_printf(f->ctx.arena, "\n%s", hf_buf_text(&buf)));
    line = strstr(line, hf_printf(f->ctx.arena, "\n%s ", name));
    assert_non_null(line);
    line += strlen(name) + 2;
    return hf_strndup(f->ctx.arena, line, strcspn(line, "\n"));
}

static void assert_vector(struct fixture *f, const char *name, const void *bytes, size_t len)
{
    assert_string_equal(hf_hex(f->ctx.arena, bytes, len), vector(f, name));
}

static void test_vectors__digests(void **state)
{
    struct fixture *f = *state;
    struct vector_keys keys;
    uint8_t *page = hf_alloc(f->ctx.arena, VAULT_PAGE);
    uint8_t out[VAULT_HASH_LEN];

    keys_make(&keys);
    run(0, page, VAULT_PAGE);
    vault_page_digest(&keys.keyring, page, VAULT_PAGE, out);
    assert_vector(f, "page-digest", out, VAULT_DIGEST_LEN);
    vault_path_key(&keys.keyring, "base/5/16384", out);
    assert_vector(f, "path-key", out, VAULT_ID_LEN);
    vault_blob_id(&keys.keyring, VAULT_BLOB_BYTES,
                  (struct hf_bytes){(const uint8_t *)"hello, vault", 12}, out);
    assert_vector(f, "blob-id", out, sizeof(out));
}

static void test_vectors__pack(void **state)
{
    struct fixture *f = *state;
    struct vector_keys keys;
    const struct vault_pack_options options = {.kind = VAULT_PACK_DATA,
                                               .number = 9,
                                               .capacity_bytes = 1 << 16,
                                               .level = 0,
                                               .fixed_id = keys.pack_id,
                                               .fixed_salt = keys.salt};
    HF_CLEANUP(vault_pack_writer_free) struct vault_pack_writer *writer = NULL;
    uint8_t *pages = hf_alloc(f->ctx.arena, 2 * VAULT_PAGE);
    struct hf_bytes bytes = {NULL, 0};
    uint8_t hash[VAULT_HASH_LEN];

    keys_make(&keys);
    run(0, pages, VAULT_PAGE);
    run(1, pages + VAULT_PAGE, VAULT_PAGE);
    assert_ok(vault_pack_writer_new(&f->ctx, &keys.keyring, &options, &writer));
    assert_ok(vault_pack_add(&f->ctx, writer, &keys.keyring, VAULT_BLOB_PAGES_TYPE,
                             (struct hf_bytes){pages, 2 * VAULT_PAGE}));
    assert_ok(vault_pack_add(&f->ctx, writer, &keys.keyring, VAULT_BLOB_BYTES,
                             (struct hf_bytes){(const uint8_t *)"hello, vault", 12}));
    vault_pack_finish(writer, &bytes, hash);
    assert_vector(f, "pack-header", bytes.ptr, VAULT_PACK_HEADER_LEN);
    assert_vector(f, "pack-sha256", hash, sizeof(hash));
}

/* A stream writes the very bytes of a pack. */
static void test_vectors__stream(void **state)
{
    struct fixture *f = *state;
    struct vector_keys keys;
    const struct vault_pack_options options = {.kind = VAULT_PACK_DATA,
                                               .number = 9,
                                               .capacity_bytes = 1 << 16,
                                               .level = 0,
                                               .fixed_id = keys.pack_id,
                                               .fixed_salt = keys.salt};
    HF_CLEANUP(vault_pack_stream_free) struct vault_pack_stream *stream = NULL;
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    uint8_t *pages = hf_alloc(f->ctx.arena, 2 * VAULT_PAGE);
    uint8_t hash[VAULT_HASH_LEN];

    keys_make(&keys);
    run(0, pages, VAULT_PAGE);
    run(1, pages + VAULT_PAGE, VAULT_PAGE);
    hf_buf_init(&out, 1 << 16);
    assert_ok(vault_pack_stream_new(&f->ctx, &keys.keyring, &options, &out, &stream));
    assert_ok(vault_pack_stream_add(&f->ctx, stream, VAULT_BLOB_PAGES_TYPE,
                                    (struct hf_bytes){pages, 2 * VAULT_PAGE}, &out));
    assert_ok(vault_pack_stream_add(&f->ctx, stream, VAULT_BLOB_BYTES,
                                    (struct hf_bytes){(const uint8_t *)"hello, vault", 12}, &out));
    assert_ok(vault_pack_stream_finish(&f->ctx, stream, &out));
    codec_sha256(out.ptr, out.len, hash);
    assert_vector(f, "pack-sha256", hash, sizeof(hash));
}

static void test_vectors__slot(void **state)
{
    struct fixture *f = *state;
    struct vector_keys keys;
    const struct vault_slot_place place = {"vector", 1, "tenants/vector/keys/000001"};
    uint8_t kit[VAULT_KEY_LEN];
    struct vault_slot_seal seal = {.kek = keys.kek, .ephemeral_private = keys.ephemeral};
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    struct vault_secrets secrets;

    keys_make(&keys);
    hf_buf_init(&out, VAULT_SLOT_MAX);
    vault_slot_encode(&place, &seal, &keys.keyring.secrets, &out);
    assert_vector(f, "slot", out.ptr, out.len);
    hf_buf_clear(&out);
    codec_x25519_public(keys.escrow, kit);
    seal.escrow_public = kit;
    vault_slot_encode(&place, &seal, &keys.keyring.secrets, &out);
    assert_vector(f, "slot-escrow", out.ptr, out.len);
    assert_ok(vault_slot_open_escrow(f->ctx.arena, &place, (struct hf_bytes){out.ptr, out.len},
                                     keys.escrow, &secrets));
}

static void test_vectors__journal_entry(void **state)
{
    struct fixture *f = *state;
    struct vector_keys keys;
    const struct vault_source_state before = {.head = 0};
    const struct vault_entry entry = {
        .kind = VAULT_ENTRY_SOURCE,
        .number = 1,
        .time_us = INT64_C(1700000000000000),
        .attempt_id = "job-1",
        .fence_epoch = 3,
        .fence = 42,
        .u.source = {"orders", "7300000000000000001", 150018, 16777216}};
    const struct vault_entry_seal seal = {&keys.keyring, PREFIX,       &entry,
                                          &before,       keys.pack_id, keys.salt};
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    uint8_t hash[VAULT_HASH_LEN];

    keys_make(&keys);
    hf_buf_init(&out, 1 << 16);
    assert_ok(vault_entry_seal(&f->ctx, &seal, &out));
    codec_sha256(out.ptr, out.len, hash);
    assert_vector(f, "journal-entry-sha256", hash, sizeof(hash));
}

static void test_vectors__marker(void **state)
{
    struct fixture *f = *state;
    const struct vault_marker marker = {1, "018bcfe5-6800-7abc-8def-0123456789ab",
                                        INT64_C(1700000000000000)};
    const char *text = vault_marker_encode(f->ctx.arena, &marker);
    uint8_t hash[VAULT_HASH_LEN];

    codec_sha256(text, strlen(text), hash);
    assert_vector(f, "marker-sha256", hash, sizeof(hash));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_vectors__digests),       fixture_test(test_vectors__pack),
        fixture_test(test_vectors__stream),        fixture_test(test_vectors__slot),
        fixture_test(test_vectors__journal_entry), fixture_test(test_vectors__marker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

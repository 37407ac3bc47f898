/* Packs: what is written is read; whatever is changed in between is found. */
#include "base/check.h"
#include "base/id.h"
#include "base/pool.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/pack_format.h"

#define SMALL_PACK (64u << 10)

static void fill_pages(uint8_t *bytes, size_t pages, unsigned seed)
{
    for (size_t i = 0; i < pages * VAULT_PAGE; i++) {
        bytes[i] = (uint8_t)((i / 16 * 7 + seed) % 251);
    }
}

static struct vault_pack_writer *writer_new(struct fixture *f, size_t capacity, bool is_padded)
{
    const struct vault_pack_options options = {
        .kind = VAULT_PACK_DATA, .number = 9, .capacity_bytes = capacity, .level = 3};
    struct vault_pack_writer *writer = NULL;

    assert_ok(vault_pack_writer_new(&f->ctx, f->keyring, &options, &writer));
    if (is_padded) {
        vault_pack_pad(writer);
    }
    return writer;
}

/* A pack of two blobs: three pages and a text; its bytes in the arena. */
static struct hf_bytes small_pack(struct fixture *f, unsigned seed)
{
    HF_CLEANUP(vault_pack_writer_free)
    struct vault_pack_writer *writer = writer_new(f, SMALL_PACK, false);
    uint8_t *pages = hf_alloc(f->ctx.arena, 3 * VAULT_PAGE);
    struct hf_bytes bytes = {NULL, 0};
    uint8_t hash[VAULT_HASH_LEN];
    const struct hf_bytes text = {(const uint8_t *)"the second blob", 15};

    fill_pages(pages, 3, seed);
    assert_ok(vault_pack_add(&f->ctx, writer, f->keyring, VAULT_BLOB_PAGES_TYPE,
                             (struct hf_bytes){pages, 3 * VAULT_PAGE}));
    assert_ok(vault_pack_add(&f->ctx, writer, f->keyring, VAULT_BLOB_BYTES, text));
    vault_pack_finish(writer, &bytes, hash);
    return (struct hf_bytes){hf_dup(f->ctx.arena, bytes.ptr, bytes.len), bytes.len};
}

/* Open and read everything with digests checked. */
static struct hf_status read_all(struct fixture *f, struct hf_bytes bytes)
{
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct vault_pack pack;
    struct hf_bytes plain;

    HF_TRY(vault_pack_open_bytes(&f->ctx, f->keyring, "p", bytes, &pack));
    for (size_t i = 0; i < pack.blobs_len; i++) {
        const struct hf_bytes sealed = {bytes.ptr + pack.blobs[i].offset, pack.blobs[i].sealed_len};

        HF_TRY(vault_blob_open(&f->ctx, f->keyring, &pack, i, true, sealed, reader, &plain));
    }
    return hf_success();
}

static void test_pack__gives_back_what_was_added(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct hf_bytes bytes = small_pack(f, 1);
    struct vault_pack pack;
    struct hf_bytes plain;
    uint8_t *pages = hf_alloc(f->ctx.arena, 3 * VAULT_PAGE);
    uint8_t digest[VAULT_DIGEST_LEN];

    assert_ok(objstore_put(&f->ctx, f->store, "packs/9", bytes));
    assert_ok(vault_pack_open(&f->ctx, f->store, f->keyring, "packs/9", &pack));
    assert_int_equal(pack.header.kind, VAULT_PACK_DATA);
    assert_int_equal(pack.header.number, 9);
    assert_int_equal(pack.blobs_len, 2);
    assert_int_equal(pack.pages, 3);
    assert_int_equal(pack.blobs[0].codec, VAULT_CODEC_ZSTD);
    assert_ok(vault_blob_read(&f->ctx, f->store, f->keyring, &pack, 0, true, reader, &plain));
    fill_pages(pages, 3, 1);
    assert_int_equal(plain.len, 3 * VAULT_PAGE);
    assert_memory_equal(plain.ptr, pages, plain.len);
    vault_page_digest(f->keyring, pages + VAULT_PAGE, VAULT_PAGE, digest);
    assert_memory_equal(pack.blobs[0].digests + VAULT_DIGEST_LEN, digest, sizeof(digest));
    assert_ok(vault_blob_read(&f->ctx, f->store, f->keyring, &pack, 1, true, reader, &plain));
    assert_int_equal(plain.len, 15);
    assert_memory_equal(plain.ptr, "the second blob", 15);
    assert_int_equal(pack.blobs[1].first_page, 3);
}

static void test_pack__finds_a_flipped_bit_in_every_byte(void **state)
{
    struct fixture *f = *state;
    struct hf_bytes bytes = small_pack(f, 1);
    uint8_t *copy = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);
    struct hf_arena *keep = f->ctx.arena;
    HF_CLEANUP(hf_arena_free) struct hf_arena *scratch = hf_arena_new(1 << 20);

    f->ctx.arena = scratch;
    assert_ok(read_all(f, bytes));
    for (size_t i = 0; i < bytes.len; i++) {
        struct hf_status status;

        copy[i] ^= (uint8_t)(1u << (i % 8));
        status = read_all(f, (struct hf_bytes){copy, bytes.len});
        copy[i] = bytes.ptr[i];
        if (status.code != HF_DATA_LOSS) {
            fail_msg("byte %zu: %s", i, hf_code_name(status.code));
        }
        hf_arena_reset(scratch);
    }
    f->ctx.arena = keep;
}

static void test_pack__finds_every_truncation(void **state)
{
    struct fixture *f = *state;
    struct hf_bytes bytes = small_pack(f, 1);

    for (size_t len = 0; len < bytes.len; len++) {
        assert_code(read_all(f, (struct hf_bytes){bytes.ptr, len}), HF_DATA_LOSS);
    }
}

static void test_pack__longer_than_it_says_is_refused(void **state)
{
    struct fixture *f = *state;
    struct hf_bytes bytes = small_pack(f, 1);
    uint8_t *longer = hf_alloc(f->ctx.arena, bytes.len + 1);

    memcpy(longer, bytes.ptr, bytes.len);
    assert_code(read_all(f, (struct hf_bytes){longer, bytes.len + 1}), HF_DATA_LOSS);
}

static void test_pack__another_key_is_wrong_key_never_damage(void **state)
{
    struct fixture *f = *state;
    struct hf_bytes bytes = small_pack(f, 1);
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *same_name = NULL;
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *other_name = NULL;
    HF_CLEANUP(objstore_free) struct objstore *store = NULL;
    struct vault_realm_options realm = fixture_realm(f);
    struct vault_pack pack;

    assert_ok(
        objstore_local_open(&f->ctx, hf_printf(f->ctx.arena, "%s/other", f->dir), true, &store));
    assert_ok(vault_keyring_open(&f->ctx, store, &realm, &same_name));
    realm.realm = "globex";
    assert_ok(vault_keyring_open(&f->ctx, store, &realm, &other_name));
    assert_reason(vault_pack_open_bytes(&f->ctx, same_name, "p", bytes, &pack),
                  HF_FAILED_PRECONDITION, "WRONG_KEY");
    assert_reason(vault_pack_open_bytes(&f->ctx, other_name, "p", bytes, &pack),
                  HF_FAILED_PRECONDITION, "WRONG_KEY");
}

static void test_pack__newer_format_is_named(void **state)
{
    struct fixture *f = *state;
    struct hf_bytes bytes = small_pack(f, 1);
    uint8_t *newer = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);
    struct vault_pack_header header = {.number = 0};

    newer[9] = 2;
    vault_pack_header_end(&header, newer); /* as a newer program would: a checksum that holds */
    assert_reason(read_all(f, (struct hf_bytes){newer, bytes.len}), HF_FAILED_PRECONDITION,
                  "NEWER_FORMAT");
}

static void test_pack__records_of_another_pack_are_refused(void **state)
{
    struct fixture *f = *state;
    struct hf_bytes a = small_pack(f, 1);
    struct hf_bytes b = small_pack(f, 1);
    uint8_t *mixed = hf_dup(f->ctx.arena, a.ptr, a.len);

    assert_int_equal(a.len, b.len); /* same contents, other salt */
    memcpy(mixed + VAULT_PACK_HEADER_LEN, b.ptr + VAULT_PACK_HEADER_LEN,
           a.len - VAULT_PACK_HEADER_LEN);
    assert_code(read_all(f, (struct hf_bytes){mixed, a.len}), HF_DATA_LOSS);
    memcpy(mixed, a.ptr, a.len);
    memcpy(mixed, b.ptr, VAULT_PACK_HEADER_LEN);
    assert_code(read_all(f, (struct hf_bytes){mixed, a.len}), HF_DATA_LOSS);
}

static void test_pack__swapped_packs_are_refused(void **state)
{
    struct fixture *f = *state;
    const struct hf_bytes packs[] = {small_pack(f, 1), small_pack(f, 1)};
    const char *names[2];
    struct vault_pack pack;

    for (size_t i = 0; i < 2; i++) {
        names[i] = hf_printf(f->ctx.arena, FIXTURE_SOURCE "/packs/000000000009-%s",
                             hf_hex(f->ctx.arena, packs[i].ptr + 32, VAULT_ID_LEN));
        assert_ok(objstore_put(&f->ctx, f->store, names[i], packs[i]));
        assert_ok(vault_pack_open(&f->ctx, f->store, f->keyring, names[i], &pack));
    }
    fixture_replace(f, names[0], packs[1]);
    assert_code(vault_pack_open(&f->ctx, f->store, f->keyring, names[0], &pack), HF_DATA_LOSS);
}

static void test_pack__reordered_blobs_are_refused(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_pack_writer_free)
    struct vault_pack_writer *writer = writer_new(f, SMALL_PACK, false);
    const struct hf_bytes one = {(const uint8_t *)"one", 3};
    const struct hf_bytes two = {(const uint8_t *)"two", 3};
    const size_t len = VAULT_RECORD_HEADER_LEN + 3 + VAULT_TAG_LEN;
    struct hf_bytes bytes = {NULL, 0};
    uint8_t hash[VAULT_HASH_LEN];
    uint8_t *swapped;

    assert_ok(vault_pack_add(&f->ctx, writer, f->keyring, VAULT_BLOB_BYTES, one));
    assert_ok(vault_pack_add(&f->ctx, writer, f->keyring, VAULT_BLOB_BYTES, two));
    vault_pack_finish(writer, &bytes, hash);
    swapped = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);
    memcpy(swapped + VAULT_PACK_HEADER_LEN, bytes.ptr + VAULT_PACK_HEADER_LEN + len, len);
    memcpy(swapped + VAULT_PACK_HEADER_LEN + len, bytes.ptr + VAULT_PACK_HEADER_LEN, len);
    assert_ok(read_all(f, bytes));
    assert_code(read_all(f, (struct hf_bytes){swapped, bytes.len}), HF_DATA_LOSS);
}

static void test_pack__is_full_before_its_capacity(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_pack_writer_free)
    struct vault_pack_writer *writer = writer_new(f, SMALL_PACK, true);
    uint8_t random[1000];
    struct hf_bytes bytes = {NULL, 0};
    uint8_t hash[VAULT_HASH_LEN];
    struct hf_status status;
    size_t added = 0;

    hf_random(random, sizeof(random));
    do {
        status = vault_pack_add(&f->ctx, writer, f->keyring, VAULT_BLOB_BYTES,
                                (struct hf_bytes){random, sizeof(random)});
        added += hf_is_ok(status) ? 1 : 0;
    } while (hf_is_ok(status));
    assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
    assert_in_range(added, 57, 60);
    vault_pack_finish(writer, &bytes, hash);
    assert_in_range(bytes.len, SMALL_PACK - 2048, SMALL_PACK);
    assert_ok(read_all(f, bytes));
}

static void test_pack__padding_hides_small_differences(void **state)
{
    struct fixture *f = *state;
    size_t lengths[2];

    for (size_t i = 0; i < 2; i++) {
        HF_CLEANUP(vault_pack_writer_free)
        struct vault_pack_writer *writer = writer_new(f, SMALL_PACK, true);
        struct hf_bytes bytes = {NULL, 0};
        uint8_t hash[VAULT_HASH_LEN];
        uint8_t *random = hf_alloc(f->ctx.arena, 10007);

        hf_random(random, 10007);
        assert_ok(vault_pack_add(&f->ctx, writer, f->keyring, VAULT_BLOB_BYTES,
                                 (struct hf_bytes){random, 10000 + 7 * i}));
        vault_pack_finish(writer, &bytes, hash);
        assert_ok(read_all(f, bytes));
        lengths[i] = bytes.len;
    }
    assert_int_equal(lengths[0], lengths[1]);
    assert_int_equal(lengths[0], vault_padded_len(lengths[0]));
}

struct shared_writer {
    struct fixture *f;
    struct vault_pack_writer *writer;
    uint8_t *plain; /* 16 pages */
};

static void seal_many(void *arg)
{
    struct shared_writer *shared = arg;
    struct vault_codec_ctx *codec = vault_codec_new(1);
    uint8_t digests[16 * VAULT_DIGEST_LEN];

    for (uint32_t i = 1; i <= 16; i++) {
        struct vault_blob_in blob = {.type = VAULT_BLOB_PAGES_TYPE};
        struct vault_slot slot;

        blob.plain_len = i * VAULT_PAGE;
        blob.codec =
            vault_compress(codec, (struct hf_bytes){shared->plain, blob.plain_len}, &blob.coded);
        for (uint32_t p = 0; p < i; p++) {
            vault_page_digest(shared->f->keyring, shared->plain + (size_t)p * VAULT_PAGE,
                              VAULT_PAGE, digests + (size_t)p * VAULT_DIGEST_LEN);
        }
        blob.digests = digests;
        blob.pages = i;
        vault_blob_id(shared->f->keyring, blob.type,
                      (struct hf_bytes){digests, (size_t)i * VAULT_DIGEST_LEN}, blob.id);
        HF_CHECK(vault_pack_reserve(shared->writer, &blob, &slot));
        vault_pack_seal(shared->writer, &blob, slot);
    }
    vault_codec_free(codec);
}

static void test_pack__is_sealed_by_many_threads(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_pack_writer_free)
    struct vault_pack_writer *writer = writer_new(f, VAULT_PACK_MAX, false);
    struct shared_writer shared = {f, writer, hf_alloc(f->ctx.arena, 16 * VAULT_PAGE)};
    struct hf_thread *threads[4];
    struct hf_bytes bytes = {NULL, 0};
    uint8_t hash[VAULT_HASH_LEN];
    struct vault_pack pack;

    fill_pages(shared.plain, 16, 3);
    for (size_t i = 0; i < HF_LEN(threads); i++) {
        threads[i] = hf_thread_start("sealer", seal_many, &shared);
    }
    for (size_t i = 0; i < HF_LEN(threads); i++) {
        hf_thread_join(threads[i]);
    }
    vault_pack_finish(writer, &bytes, hash);
    assert_ok(vault_pack_open_bytes(&f->ctx, f->keyring, "p", bytes, &pack));
    assert_int_equal(pack.blobs_len, 64);
    assert_int_equal(pack.pages, 4 * 136);
    assert_ok(read_all(f, bytes));
}

static struct hf_status borrowed_secret(struct hf_ctx *ctx, void *arg,
                                        const struct vault_pack_header *header,
                                        uint8_t ret_secret[VAULT_KEY_LEN])
{
    return vault_keyring_secret(ctx, arg, header, ret_secret);
}

static void test_pack__opens_with_a_borrowed_secret(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    const struct vault_secret_source source = {borrowed_secret, f->keyring};
    HF_CLEANUP(vault_keyring_free)
    struct vault_keyring *borrowed = vault_keyring_borrowed(source, NULL, 0);
    struct hf_bytes bytes = small_pack(f, 1);
    struct vault_pack pack;
    struct hf_bytes plain;

    assert_false(vault_keyring_can_digest(borrowed));
    assert_ok(vault_pack_open_bytes(&f->ctx, borrowed, "p", bytes, &pack));
    const struct hf_bytes sealed = {bytes.ptr + pack.blobs[1].offset, pack.blobs[1].sealed_len};

    assert_ok(vault_blob_open(&f->ctx, borrowed, &pack, 1, false, sealed, reader, &plain));
    assert_memory_equal(plain.ptr, "the second blob", 15);
    assert_code(vault_blob_open(&f->ctx, borrowed, &pack, 1, true, sealed, reader, &plain),
                HF_FAILED_PRECONDITION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_pack__gives_back_what_was_added),
        fixture_test(test_pack__finds_a_flipped_bit_in_every_byte),
        fixture_test(test_pack__finds_every_truncation),
        fixture_test(test_pack__longer_than_it_says_is_refused),
        fixture_test(test_pack__another_key_is_wrong_key_never_damage),
        fixture_test(test_pack__newer_format_is_named),
        fixture_test(test_pack__records_of_another_pack_are_refused),
        fixture_test(test_pack__swapped_packs_are_refused),
        fixture_test(test_pack__reordered_blobs_are_refused),
        fixture_test(test_pack__is_full_before_its_capacity),
        fixture_test(test_pack__padding_hides_small_differences),
        fixture_test(test_pack__is_sealed_by_many_threads),
        fixture_test(test_pack__opens_with_a_borrowed_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

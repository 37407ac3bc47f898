/* Every bit of a small instance of every structure, flipped: always an error, never another key,
 * never a newer format. What cannot be told apart is tested for what it then means. */
#include <fcntl.h>

#include "codec/hash.h"
#include "codec/seal.h"
#include "tests/unit/libs/vault/source_fixture.h"
#include "tests/unit/libs/vault/wal_fixture.h"
#include "vault/journal_entry.h"
#include "vault/keyfile.h"
#include "vault/marker.h"
#include "vault/pack_format.h"
#include "vault/packtable.h"
#include "vault/slot.h"
#include "vault/wal_slice.h"

/* --- a store of one object in memory --------------------------------------------------------- */

struct memory {
    struct objstore store;
    const uint8_t *bytes;
    size_t len;
};

static const struct memory *memory_of(struct objstore *store)
{
    return (const struct memory *)(const void *)store;
}

static struct hf_status memory_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t *ret_size)
{
    (void)ctx;
    (void)name;
    *ret_size = memory_of(store)->len;
    return hf_success();
}

/* NOLINTNEXTLINE(readability-function-size): the signature is objstore_ops.read */
static struct hf_status memory_read(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t offset, size_t len, void *ret_bytes)
{
    const struct memory *memory = memory_of(store);

    if (offset > memory->len || len > memory->len - offset) {
        return hf_fail(ctx->arena, HF_OUT_OF_RANGE, "%s ends early", name);
    }
    memcpy(ret_bytes, memory->bytes + offset, len);
    return hf_success();
}

static const struct objstore_ops memory_ops = {
    .kind = "memory", .head = memory_head, .read = memory_read};

/* --- one structure --------------------------------------------------------------------------- */

struct subject {
    struct fixture *f;
    /* Open the bytes and use all of them. */
    struct hf_status (*open)(struct hf_ctx *ctx, const struct subject *subject,
                             struct hf_bytes bytes);
    const char *name;
    const struct vault_root *root; /* tables: what the root says of them */
    enum vault_pack_kind kind;
    bool has_escrow;
};

static struct memory memory_with(struct hf_bytes bytes)
{
    return (struct memory){{&memory_ops}, bytes.ptr, bytes.len};
}

/* Flip each bit of [first, end); the subject must say DATA_LOSS. */
static void assert_flips_are_damage(const struct subject *subject, struct hf_bytes bytes,
                                    size_t first, size_t end)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *scratch = hf_arena_new((size_t)64 << 20);
    uint8_t *copy = hf_dup(subject->f->ctx.arena, bytes.ptr, bytes.len);
    struct hf_ctx ctx = subject->f->ctx;

    ctx.arena = scratch;
    assert_ok(subject->open(&ctx, subject, bytes));
    for (size_t bit = 8 * first; bit < 8 * end; bit++) {
        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        struct hf_status status = subject->open(&ctx, subject, (struct hf_bytes){copy, bytes.len});

        copy[bit / 8] = bytes.ptr[bit / 8];
        if (status.code != HF_DATA_LOSS) {
            fail_msg("%s, byte %zu bit %zu: %s %s", subject->name, bit / 8, bit % 8,
                     hf_code_name(status.code), status.message != NULL ? status.message : "");
        }
        hf_arena_reset(scratch);
    }
}

/* --- marker and keys ------------------------------------------------------------------------- */

static struct hf_status open_marker(struct hf_ctx *ctx, const struct subject *subject,
                                    struct hf_bytes bytes)
{
    struct vault_marker marker;

    (void)subject;
    return vault_marker_decode(
        ctx->arena, (struct hf_str){hf_dup(ctx->arena, bytes.ptr, bytes.len), bytes.len}, &marker);
}

static void test_flips__marker(void **state)
{
    struct fixture *f = *state;
    const struct vault_marker marker = {1, "018bcfe5-6800-7abc-8def-0123456789ab", 17};
    const char *text = vault_marker_encode(f->ctx.arena, &marker);
    const struct subject subject = {.f = f, .open = open_marker, .name = "marker"};

    assert_flips_are_damage(&subject, (struct hf_bytes){(const uint8_t *)text, strlen(text)}, 0,
                            strlen(text));
}

static struct hf_status open_slot(struct hf_ctx *ctx, const struct subject *subject,
                                  struct hf_bytes bytes)
{
    const struct vault_slot_place place = {"acme", 1, subject->name};
    static const uint8_t kit[VAULT_KEY_LEN] = {64, 5};
    struct vault_secrets secrets;

    if (subject->has_escrow) {
        HF_TRY(vault_slot_open_escrow(ctx->arena, &place, bytes, kit, &secrets));
    }
    return vault_slot_open(ctx->arena, &place, bytes, subject->f->kek, &secrets);
}

static void check_slot(struct fixture *f, bool has_escrow)
{
    const struct vault_slot_place place = {"acme", 1, "slot"};
    static const uint8_t kit[VAULT_KEY_LEN] = {64, 5};
    uint8_t kit_public[VAULT_KEY_LEN];
    const struct vault_slot_seal seal = {.kek = f->kek,
                                         .escrow_public = has_escrow ? kit_public : NULL};
    const struct vault_secrets secrets = {.versions = 1, .verifying_len = 1};
    const struct subject subject = {
        .f = f, .open = open_slot, .name = "slot", .has_escrow = has_escrow};
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};

    codec_x25519_public(kit, kit_public);
    hf_buf_init(&out, VAULT_SLOT_MAX);
    vault_slot_encode(&place, &seal, &secrets, &out);
    assert_flips_are_damage(&subject, (struct hf_bytes){out.ptr, out.len}, 0, out.len);
}

static void test_flips__key_slot(void **state)
{
    check_slot(*state, false);
    check_slot(*state, true);
}

/* A key file has no check: a flipped digit is another key, and nothing can tell. */
static void test_flips__key_file_is_another_key_or_no_key(void **state)
{
    struct fixture *f = *state;
    char *path = hf_printf(f->ctx.arena, "%s/kek", f->dir);
    struct vault_realm_options realm = fixture_realm(f);
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 100);
    assert_ok(vault_kek_make(&f->ctx, path));
    assert_ok(hf_read_file(f->ctx.arena, path, &text));
    for (size_t i = 0; i < 64; i++) {
        struct vault_keyring *keyring = NULL;
        uint8_t kek[VAULT_KEY_LEN];

        text.ptr[i] ^= 1;
        assert_ok(hf_replace_file(f->ctx.arena, path, text.ptr, text.len, 0600));
        text.ptr[i] ^= 1;
        realm.kek = kek;
        if (hf_is_ok(vault_kek_load(&f->ctx, path, kek))) {
            assert_reason(vault_keyring_open(&f->ctx, f->store, &realm, &keyring),
                          HF_FAILED_PRECONDITION, "WRONG_KEY");
        } else {
            assert_code(vault_kek_load(&f->ctx, path, kek), HF_INVALID_ARGUMENT);
        }
    }
}

static void test_flips__recovery_kit_is_never_another_kit(void **state)
{
    struct fixture *f = *state;
    uint8_t public_key[VAULT_KEY_LEN];
    uint8_t private_key[VAULT_KEY_LEN];
    char *text = NULL;

    assert_ok(vault_escrow_make(&f->ctx, &text, public_key));
    assert_true(vault_escrow_parse(text, private_key));
    for (size_t bit = 0; bit < 8 * strlen(text); bit++) {
        char was = text[bit / 8];

        if ((was ^ 1 << (bit % 8)) == '\0') {
            continue; /* would end the text */
        }
        text[bit / 8] = (char)(was ^ 1 << (bit % 8));
        bool is_kit = vault_escrow_parse(text, private_key);
        bool is_same = (bit % 8 == 5 && strchr("HOLDFASTKITABCDEF", was) != NULL) || was == '-';

        text[bit / 8] = was;
        assert_true(!is_kit || is_same); /* case and separators carry nothing */
    }
}

/* --- packs ----------------------------------------------------------------------------------- */

static struct hf_status read_blobs(struct hf_ctx *ctx, const struct subject *subject,
                                   const struct vault_pack *pack, struct hf_bytes bytes)
{
    HF_CLEANUP(vault_blob_reader_free) struct vault_blob_reader *reader = vault_blob_reader_new();
    struct hf_bytes plain;

    for (size_t i = 0; i < pack->blobs_len; i++) {
        const struct hf_bytes sealed = {bytes.ptr + pack->blobs[i].offset,
                                        pack->blobs[i].sealed_len};

        HF_TRY(vault_blob_open(ctx, subject->f->keyring, pack, i, true, sealed, reader, &plain));
    }
    return hf_success();
}

static struct hf_status open_pack(struct hf_ctx *ctx, const struct subject *subject,
                                  struct hf_bytes bytes)
{
    struct vault_pack pack;

    HF_TRY(vault_pack_open_bytes(ctx, subject->f->keyring, subject->name, bytes, &pack));
    return read_blobs(ctx, subject, &pack, bytes);
}

/* Objects of a backup of two small files, by the folder they are in. */
static struct hf_bytes object_in(struct source *s, const char *folder, const char **ret_name)
{
    struct objstore_page page = {0};

    assert_ok(objstore_list_all(&s->f->ctx, s->f->store,
                                hf_printf(s->f->ctx.arena, FIXTURE_SOURCE "/%s/", folder), 10,
                                &page));
    assert_int_equal(page.len, 1);
    *ret_name = page.entries[0].name;
    return fixture_object(s->f, page.entries[0].name);
}

static void small_backup(struct source *s, struct fixture *f)
{
    source_init(s, f);
    memset(source_add(s, "a", VAULT_PAGE)->bytes, 7, VAULT_PAGE);
    memset(source_add(s, "b", 100)->bytes, 8, 100);
    source_backup(s);
}

static void test_flips__data_pack(void **state)
{
    struct source s;
    struct subject subject = {.f = *state, .open = open_pack};

    small_backup(&s, *state);
    struct hf_bytes bytes = object_in(&s, "packs", &subject.name);

    assert_flips_are_damage(&subject, bytes, 0, bytes.len);
    source_free(&s);
}

static struct hf_status open_root(struct hf_ctx *ctx, const struct subject *subject,
                                  struct hf_bytes bytes)
{
    struct memory memory = memory_with(bytes);
    const struct vault_place place = {&memory.store, subject->f->keyring, FIXTURE_SOURCE};
    struct vault_root root;

    /* without the hash that the journal has */
    return vault_root_open(ctx, &place, subject->name, NULL, &root);
}

static void test_flips__root(void **state)
{
    struct source s;
    struct subject subject = {.f = *state, .open = open_root};

    small_backup(&s, *state);
    struct hf_bytes bytes = object_in(&s, "roots", &subject.name);

    assert_flips_are_damage(&subject, bytes, 0, bytes.len);
    source_free(&s);
}

static struct hf_status open_map(struct hf_ctx *ctx, const struct subject *subject,
                                 struct hf_bytes bytes)
{
    struct memory memory = memory_with(bytes);
    const struct vault_place place = {&memory.store, subject->f->keyring, FIXTURE_SOURCE};
    HF_CLEANUP(vault_map_reader_free) struct vault_map_reader *reader = NULL;
    const struct vault_map_entry *entry = NULL;

    HF_TRY(vault_map_reader_new(ctx, &place, &subject->root->map.tables[0], NULL, NULL, &reader));
    do {
        HF_TRY(vault_map_reader_next(ctx, reader, &entry));
    } while (entry != NULL);
    return hf_success();
}

static struct hf_status open_table(struct hf_ctx *ctx, const struct subject *subject,
                                   struct hf_bytes bytes)
{
    struct memory memory = memory_with(bytes);
    const struct vault_place place = {&memory.store, subject->f->keyring, FIXTURE_SOURCE};
    HF_CLEANUP(vault_packtable_done) struct vault_packtable table = {0};

    return vault_packtable_load(ctx, &place, subject->root->pack_tables, 1, &table);
}

static void test_flips__map_and_table_of_packs(void **state)
{
    struct source s;
    struct subject map = {.f = *state, .open = open_map, .root = &s.root};
    struct subject table = {.f = *state, .open = open_table, .root = &s.root};

    small_backup(&s, *state);
    struct hf_bytes bytes = object_in(&s, "maps", &map.name);

    assert_flips_are_damage(&map, bytes, 0, bytes.len);
    bytes = object_in(&s, "tables", &table.name);
    assert_flips_are_damage(&table, bytes, 0, bytes.len);
    source_free(&s);
}

/* --- journal --------------------------------------------------------------------------------- */

static struct hf_status open_entry(struct hf_ctx *ctx, const struct subject *subject,
                                   struct hf_bytes bytes)
{
    struct vault_entry_open open = {
        .keyring = subject->f->keyring, .prefix = FIXTURE_SOURCE, .number = 1};

    return vault_entry_open(ctx, bytes, &open);
}

static void test_flips__journal_entry(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state journal = {.head = 0};
    struct vault_entry entry = {.kind = VAULT_ENTRY_SOURCE,
                                .u.source = {"orders", "7300000000000000001", 150018, 16777216}};
    const struct subject subject = {.f = f, .open = open_entry, .name = "entry"};

    assert_ok(
        vault_journal_append(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, &journal, &entry));
    struct hf_bytes bytes = fixture_object(f, vault_entry_name(f->ctx.arena, FIXTURE_SOURCE, 1));

    assert_flips_are_damage(&subject, bytes, 0, bytes.len);
}

/* A newer program's entry, checksum and all, is not called damage. */
static void test_flips__a_newer_entry_is_newer(void **state)
{
    struct fixture *f = *state;
    uint8_t bytes[VAULT_FRAME_LEN + VAULT_SIGNATURE_LEN] = {0x89, 'H',  'F',  'J', 'R',
                                                            'N',  '\r', '\n', 0,   2};
    struct vault_frame frame;

    vault_put_be32(bytes + 108, codec_crc32c(0, bytes, 108));
    assert_reason(
        vault_frame_decode(f->ctx.arena, "e", (struct hf_bytes){bytes, sizeof(bytes)}, &frame),
        HF_FAILED_PRECONDITION, "NEWER_FORMAT");
}

/* --- WAL ------------------------------------------------------------------------------------- */

static struct hf_status open_slice(struct hf_ctx *ctx, const struct subject *subject,
                                   struct hf_bytes bytes)
{
    struct memory memory = memory_with(bytes);
    const struct vault_wal_source source = {&memory.store, subject->f->keyring, &wal_place};
    HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *slice = NULL;

    HF_TRY(vault_wal_slice_open(ctx, &source, subject->name, &slice));
    return vault_wal_slice_verify(ctx, slice);
}

static struct hf_status open_history(struct hf_ctx *ctx, const struct subject *subject,
                                     struct hf_bytes bytes)
{
    struct memory memory = memory_with(bytes);
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 1000);
    return vault_wal_history_get(ctx, &memory.store, subject->f->keyring, &wal_place, 2, &text);
}

/* A growing slice of two records and a clock. */
static struct vault_wal_writer *small_slice(struct fixture *f)
{
    struct vault_wal_writer *writer = wal_open(f, 1);

    wal_grow(f, writer, 100);
    vault_wal_writer_clock(writer, WAL_START + 100, 17);
    wal_grow(f, writer, 200);
    return writer;
}

static void test_flips__closed_slice_and_history(void **state)
{
    struct fixture *f = *state;
    struct subject slice = {.f = f, .open = open_slice};
    const struct subject history = {.f = f, .open = open_history, .name = "history"};
    HF_CLEANUP(vault_wal_writer_free) struct vault_wal_writer *writer = small_slice(f);
    const struct hf_bytes text = {(const uint8_t *)"1\t0/3000000\tx\n", 14};

    assert_ok(vault_wal_writer_close(&f->ctx, writer));
    slice.name = wal_objects(f).entries[0].name;
    struct hf_bytes bytes = fixture_object(f, slice.name);

    assert_flips_are_damage(&slice, bytes, 0, bytes.len);
    assert_ok(vault_wal_history_put(&f->ctx, f->store, f->keyring, &wal_place, 2, text));
    bytes = fixture_object(f, FIXTURE_SOURCE "/wal/l1/history/00000002");
    assert_flips_are_damage(&history, bytes, 0, bytes.len);
}

/* Of a growing slice the header must be whole; a flip behind it ends the records there: less WAL,
 * never other WAL. */
static void test_flips__growing_slice(void **state)
{
    struct fixture *f = *state;
    struct subject slice = {.f = f, .open = open_slice};
    HF_CLEANUP(vault_wal_writer_free) struct vault_wal_writer *writer = small_slice(f);

    assert_non_null(writer); /* it stays open: the slice grows */
    slice.name = wal_growing(f);
    assert_non_null(slice.name);
    struct hf_bytes bytes = fixture_object(f, slice.name);
    uint8_t *copy = hf_dup(f->ctx.arena, bytes.ptr, bytes.len);
    struct memory memory = memory_with((struct hf_bytes){copy, bytes.len});
    const struct vault_wal_source source = {&memory.store, f->keyring, &wal_place};

    assert_flips_are_damage(&slice, bytes, 0, VAULT_PACK_HEADER_LEN);
    for (size_t bit = 8 * VAULT_PACK_HEADER_LEN; bit < 8 * bytes.len; bit++) {
        HF_CLEANUP(vault_wal_slice_free) struct vault_wal_slice *open = NULL;

        copy[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_ok(vault_wal_slice_open(&f->ctx, &source, slice.name, &open));
        assert_in_range(vault_wal_slice_records(open), 0, 3);
        assert_true(vault_wal_slice_to(open) == WAL_START ||
                    vault_wal_slice_to(open) == WAL_START + 100 ||
                    vault_wal_slice_to(open) == WAL_START + 300);
        copy[bit / 8] = bytes.ptr[bit / 8];
    }
}

/* --- the local cache ------------------------------------------------------------------------- */

static struct hf_status open_cache(struct hf_ctx *ctx, const struct subject *subject,
                                   struct hf_bytes bytes)
{
    HF_CLEANUP(vault_digests_free) struct vault_digests *digests = NULL;
    uint8_t page[VAULT_DIGEST_LEN];
    const struct vault_digests_file *files;
    size_t len = 0;
    int fd = open(subject->name, O_WRONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_ok(hf_pwrite_all(ctx->arena, fd, bytes.ptr, bytes.len, 0, subject->name));
    close(fd);
    HF_TRY(vault_digests_open(ctx, subject->f->keyring, subject->name, "b0001", &digests));
    files = vault_digests_files(digests, &len);
    for (size_t i = 0; i < len; i++) {
        HF_TRY(vault_digests_read(ctx, digests, &files[i], 0, 1, page));
    }
    return hf_success();
}

static void test_flips__digest_cache(void **state)
{
    struct source s;
    struct subject subject = {.f = *state, .open = open_cache};
    HF_CLEANUP(hf_buf_done) struct hf_buf file = {0};

    small_backup(&s, *state);
    subject.name = s.cache;
    hf_buf_init(&file, 1 << 20);
    assert_ok(hf_read_file(s.f->ctx.arena, s.cache, &file));
    assert_flips_are_damage(&subject, (struct hf_bytes){file.ptr, file.len}, 0, file.len);
    source_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_flips__marker),
        fixture_test(test_flips__key_slot),
        fixture_test(test_flips__key_file_is_another_key_or_no_key),
        fixture_test(test_flips__recovery_kit_is_never_another_kit),
        fixture_test(test_flips__data_pack),
        fixture_test(test_flips__root),
        fixture_test(test_flips__map_and_table_of_packs),
        fixture_test(test_flips__journal_entry),
        fixture_test(test_flips__a_newer_entry_is_newer),
        fixture_test(test_flips__closed_slice_and_history),
        fixture_test(test_flips__growing_slice),
        fixture_test(test_flips__digest_cache),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A vault's directory into which others wrote: their files are passed over, what they took the
 * place of is named, and nobody waits for a FIFO. */
#include <fcntl.h>
#include <sys/stat.h>

#include "base/check.h"
#include "tests/unit/libs/vault/wal_fixture.h"
#include "vault/journal_codec.h"
#include "vault/keyfile.h"
#include "vault/object.h"
#include "vault/pack_format.h"

static const char *path_of(struct fixture *f, const char *name)
{
    return hf_printf(f->ctx.arena, "%s/vault/%s", f->dir, name);
}

static void make_file(struct fixture *f, const char *name)
{
    int fd = open(path_of(f, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0) {
        fail_msg("cannot make %s", name);
    }
    close(fd);
}

static void append_source(struct fixture *f, const char *prefix, struct vault_source_state *state)
{
    struct vault_entry entry = {
        .kind = VAULT_ENTRY_SOURCE,
        .u.source = {"orders", "7300000000000000001", 150000, MIB},
    };

    assert_ok(vault_journal_append(&f->ctx, f->store, f->keyring, prefix, state, &entry));
}

static void append_lineage(struct fixture *f, struct vault_source_state *state, const char *name,
                           enum hf_code wanted)
{
    struct vault_entry entry = {
        .kind = VAULT_ENTRY_LINEAGE,
        .u.lineage = {name, "7300000000000000001", 1, WAL_START},
    };

    assert_code(vault_journal_append(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, state, &entry),
                wanted);
}

static void test_foreign__files_beside_key_slots_are_passed_over(void **state)
{
    static const char *const names[] = {"tenants/acme/keys/README", "tenants/acme/keys/000001.bak",
                                        "tenants/acme/keys/2", "tenants/acme/keys/999999"};
    struct fixture *f = *state;
    const struct vault_realm_options realm = fixture_realm(f);

    for (size_t i = 0; i < HF_LEN(names); i++) {
        HF_CLEANUP(vault_keyring_free) struct vault_keyring *keyring = NULL;

        make_file(f, names[i]);
        assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &keyring));
    }
}

static void test_foreign__a_fifo_for_a_key_makes_nobody_wait(void **state)
{
    struct fixture *f = *state;
    const struct vault_realm_options realm = fixture_realm(f);
    struct vault_keyring *keyring = NULL;
    const char *path = hf_printf(f->ctx.arena, "%s/fifo", f->dir);
    const char *slot = path_of(f, "tenants/acme/keys/000001");
    uint8_t key[VAULT_KEY_LEN];

    assert_int_equal(mkfifo(path, 0600), 0);
    assert_code(vault_kek_load(&f->ctx, path, key), HF_INVALID_ARGUMENT);
    assert_code(vault_signing_key_load(&f->ctx, path, key), HF_INVALID_ARGUMENT);
    assert_code(vault_kek_load(&f->ctx, f->dir, key), HF_INVALID_ARGUMENT);
    assert_int_equal(unlink(slot), 0);
    assert_int_equal(mkfifo(slot, 0600), 0);
    assert_code(vault_keyring_open(&f->ctx, f->store, &realm, &keyring), HF_NOT_FOUND);
}

static void test_foreign__files_beside_journal_entries_are_passed_over(void **state)
{
    static const char *const names[] = {
        "/journal/000000000001.bak", "/journal/README", "/journal/1",
        "/journal/Thumbs.db",        "/journal/zzz",
    };
    struct fixture *f = *state;
    struct vault_source_state live = {0};
    struct vault_source_state read = {0};

    append_source(f, FIXTURE_SOURCE, &live);
    for (size_t i = 0; i < HF_LEN(names); i++) {
        make_file(f, hf_printf(f->ctx.arena, "%s%s", FIXTURE_SOURCE, names[i]));
    }
    assert_int_equal(mkdir(path_of(f, FIXTURE_SOURCE "/journal/empty"), 0700), 0);
    assert_ok(vault_journal_read(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, 0, NULL, &read));
    assert_int_equal(read.head, 1);
    append_lineage(f, &read, "l2", HF_OK);
    assert_ok(vault_journal_read(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, 0, NULL, &read));
    assert_int_equal(read.head, 2);
}

/* The next entry's name is taken by a directory: reading goes on, writing says what is wrong. */
static void test_foreign__a_directory_where_an_entry_belongs_is_named(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state live = {0};
    struct vault_source_state read = {0};

    append_source(f, FIXTURE_SOURCE, &live);
    assert_int_equal(mkdir(path_of(f, FIXTURE_SOURCE "/journal/000000000002"), 0700), 0);
    assert_ok(vault_journal_read(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, 0, NULL, &read));
    append_lineage(f, &read, "l2", HF_DATA_LOSS);
}

static void test_foreign__files_beside_sources_are_no_sources(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state live = {0};
    const char **prefixes = NULL;
    size_t len = 0;

    append_source(f, FIXTURE_SOURCE, &live);
    make_file(f, "tenants/acme/sources/README");
    make_file(f, "tenants/acme/sources/orders.bak");
    make_file(f, "tenants/acme/sources/zzz");
    assert_int_equal(mkdir(path_of(f, "tenants/acme/sources/empty"), 0700), 0);
    assert_ok(vault_sources_list(&f->ctx, f->store, "acme", &prefixes, &len));
    assert_int_equal(len, 1);
    assert_string_equal(prefixes[0], FIXTURE_SOURCE);
}

/* A name may have a thousand bytes: longer than any of ours. */
static void test_foreign__long_names_beside_wal_are_passed_over(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_wal_writer_free) struct vault_wal_writer *writer = wal_open(f, 1);
    char *name = hf_printf(f->ctx.arena, "%s/wal/l1/00000001/zz", FIXTURE_SOURCE);
    struct vault_wal_index index;

    wal_grow(f, writer, 1000);
    for (int i = 0; i < 4; i++) {
        name = hf_printf(f->ctx.arena, "%s%0200d", name, 0);
        assert_int_equal(mkdir(path_of(f, name), 0700), 0);
        name = hf_printf(f->ctx.arena, "%s/", name);
    }
    make_file(f, hf_printf(f->ctx.arena, "%sx", name));
    assert_ok(vault_wal_index_load(&f->ctx, f->store, f->keyring, &wal_place, 0, &index));
    wal_expect(f, 1, WAL_START, WAL_START + 1000);
}

/* The folder tells what an object is, not a name that somebody chose. */
static void test_foreign__a_tenant_may_be_called_journal(void **state)
{
    struct fixture *f = *state;
    struct vault_pack_header header = {.kind = VAULT_PACK_DATA};
    uint8_t bytes[VAULT_FRAME_LEN + VAULT_PACK_HEADER_LEN] = {0};
    const struct hf_bytes whole = {bytes, sizeof(bytes)};

    vault_pack_header_begin(&header, bytes);
    vault_pack_header_end(&header, bytes);
    assert_ok(
        vault_object_header(f->ctx.arena, "tenants/journal/sources/x/packs/1", whole, &header));
    assert_code(vault_object_header(f->ctx.arena, "tenants/a/sources/x/journal/000000000001", whole,
                                    &header),
                HF_DATA_LOSS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_foreign__files_beside_key_slots_are_passed_over),
        fixture_test(test_foreign__a_fifo_for_a_key_makes_nobody_wait),
        fixture_test(test_foreign__files_beside_journal_entries_are_passed_over),
        fixture_test(test_foreign__a_directory_where_an_entry_belongs_is_named),
        fixture_test(test_foreign__files_beside_sources_are_no_sources),
        fixture_test(test_foreign__long_names_beside_wal_are_passed_over),
        fixture_test(test_foreign__a_tenant_may_be_called_journal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

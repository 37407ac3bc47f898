/* The journal: what was appended is read, and whoever hides, replays, forges or rolls back is
 * named. */
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/journal_entry.h"
#include "vault/keyring_internal.h"
#include "vault/pack_format.h"

static struct vault_entry source_entry(void)
{
    return (struct vault_entry){.kind = VAULT_ENTRY_SOURCE,
                                .attempt_id = "job-0",
                                .u.source = {.name = "orders",
                                             .system_identifier = "7300000000000000001",
                                             .server_version = 150018,
                                             .wal_segment_bytes = 16777216}};
}

static struct vault_entry backup_entry(const char *id, const char *attempt)
{
    return (struct vault_entry){.kind = VAULT_ENTRY_BACKUP,
                                .attempt_id = attempt,
                                .fence_epoch = 1,
                                .fence = 42,
                                .u.backup = {.id = id,
                                             .lineage = "l1",
                                             .root = "tenants/acme/sources/orders/roots/x",
                                             .root_sha256 = {1, 2, 3},
                                             .timeline = 1,
                                             .start_lsn = 100,
                                             .stop_lsn = 200,
                                             .start_time_us = -5,
                                             .stop_time_us = 1700000000000000,
                                             .files = 7,
                                             .server_version = 150018}};
}

static struct vault_entry wal_entry(uint64_t lsn)
{
    return (struct vault_entry){
        .kind = VAULT_ENTRY_WAL,
        .attempt_id = "receiver",
        .u.wal = {.lineage = "l1", .timeline = 1, .durable_lsn = lsn, .durable_time_us = 5}};
}

static struct hf_status append(struct fixture *f, struct vault_source_state *state,
                               struct vault_entry entry)
{
    return vault_journal_append(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, state, &entry);
}

static struct hf_status read_journal(struct fixture *f, struct vault_source_state *ret_state)
{
    return vault_journal_read(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, 0, NULL, ret_state);
}

/* A journal of count entries: source, then WAL inventories. */
static struct vault_source_state journal_of(struct fixture *f, uint64_t count)
{
    struct vault_source_state state = {.head = 0};

    assert_ok(append(f, &state, source_entry()));
    while (state.head < count) {
        assert_ok(append(f, &state, wal_entry(state.head)));
    }
    return state;
}

static const char *entry_name(struct fixture *f, uint64_t number)
{
    return vault_entry_name(f->ctx.arena, FIXTURE_SOURCE, number);
}

static void test_journal__gives_back_the_state(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state mine = {.head = 0};
    struct vault_source_state read;
    struct vault_entry lineage = {.kind = VAULT_ENTRY_LINEAGE,
                                  .u.lineage = {"l1", "7300000000000000001", 1, 64}};
    struct vault_entry gone = {.kind = VAULT_ENTRY_DELETE, .u.deleted_id = "b1"};

    assert_ok(append(f, &mine, source_entry()));
    assert_ok(append(f, &mine, lineage));
    assert_ok(append(f, &mine, backup_entry("b1", "job-1")));
    assert_ok(append(f, &mine, backup_entry("b2", "job-2")));
    assert_ok(append(f, &mine, wal_entry(300)));
    assert_ok(append(f, &mine, wal_entry(400)));
    assert_ok(append(f, &mine, gone));
    assert_ok(read_journal(f, &read));
    assert_int_equal(read.head, 7);
    assert_memory_equal(read.head_hash, mine.head_hash, VAULT_HASH_LEN);
    assert_string_equal(read.source.name, "orders");
    assert_int_equal(read.lineages_len, 1);
    assert_int_equal(read.points_len, 1);
    assert_int_equal(read.point_entries[0], 4);
    assert_int_equal(read.points[0].start_time_us, -5);
    assert_int_equal(read.points[0].root_sha256[2], 3);
    assert_non_null(vault_state_point(&read, "b2"));
    assert_null(vault_state_point(&read, "b1"));
    assert_int_equal(read.wal_len, 1);
    assert_int_equal(read.wal[0].durable_lsn, 400);
}

static void test_journal__is_not_found_before_its_first_entry(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state read = {.head = 0};

    assert_code(read_journal(f, &read), HF_NOT_FOUND);
    assert_code(append(f, &read, wal_entry(1)), HF_FAILED_PRECONDITION);
}

static void test_journal__checkpoints_after_64_entries_and_carries_on(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state mine = {.head = 0};
    struct vault_source_state read;

    assert_ok(append(f, &mine, source_entry()));
    for (int i = 0; i < 150; i++) {
        const char *id = hf_printf(f->ctx.arena, "b%d", i);

        assert_ok(append(f, &mine, backup_entry(id, id)));
    }
    assert_true(mine.checkpoint > 64);
    assert_ok(read_journal(f, &read));
    assert_int_equal(read.head, mine.head);
    assert_int_equal(read.checkpoint, mine.checkpoint);
    assert_int_equal(read.points_len, 150);
    assert_string_equal(read.points[149].id, "b149");
    assert_int_equal(read.point_entries[0], 2);
    assert_int_equal(read.attempts_len, VAULT_ATTEMPTS_KEPT);
    for (int i = 0; i < 70; i++) { /* the read state grows like the written one */
        assert_ok(append(f, &read, backup_entry(hf_printf(f->ctx.arena, "c%d", i), NULL)));
    }
    assert_int_equal(read.points_len, 220);
}

static void test_journal__checkpoints_after_an_hour(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state mine = {.head = 0};
    struct vault_entry first = source_entry();
    struct vault_entry later = wal_entry(1);

    first.time_us = 1000;
    later.time_us = 1000 + INT64_C(3600000000);
    assert_ok(append(f, &mine, first));
    assert_ok(append(f, &mine, later));
    assert_int_equal(mine.checkpoint, 3);
}

static void test_journal__a_second_writer_comes_behind_the_first(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state a = journal_of(f, 3);
    struct vault_source_state b;

    assert_ok(read_journal(f, &b));
    assert_ok(append(f, &a, backup_entry("b1", "job-1")));
    assert_ok(append(f, &b, backup_entry("b2", "job-2")));
    assert_int_equal(b.head, 5);
    assert_int_equal(b.points_len, 2);
}

static void test_journal__an_attempt_is_written_once(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state a = journal_of(f, 3);
    struct vault_source_state stale;
    struct vault_source_state read;
    struct vault_entry again = backup_entry("b1", "job-1");

    assert_ok(read_journal(f, &stale));
    assert_ok(append(f, &a, backup_entry("b1", "job-1")));
    assert_ok(vault_journal_append(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, &stale, &again));
    assert_int_equal(again.number, 4);
    assert_ok(read_journal(f, &read));
    assert_int_equal(read.head, 4);
    assert_code(append(f, &read, backup_entry("b1", "job-9")), HF_ALREADY_EXISTS);
    assert_ok(append(f, &read, wal_entry(9))); /* one attempt, another subject: written */
    assert_int_equal(read.head, 5);
}

static void test_journal__hidden_entries_are_named(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state read;

    (void)journal_of(f, 9);
    for (uint64_t hidden = 1; hidden <= 8; hidden++) {
        struct hf_bytes bytes = fixture_object(f, entry_name(f, hidden));
        struct hf_status status;

        assert_ok(objstore_remove(&f->ctx, f->store, entry_name(f, hidden)));
        status = read_journal(f, &read);
        assert_reason(status, HF_DATA_LOSS, "JOURNAL_HIDDEN");
        assert_non_null(strstr(status.message, entry_name(f, hidden)));
        assert_ok(objstore_put(&f->ctx, f->store, entry_name(f, hidden), bytes));
    }
    assert_ok(read_journal(f, &read));
}

static void test_journal__replayed_entries_are_named(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state other = {.head = 0};
    struct vault_source_state read;
    struct vault_entry entry = source_entry();

    (void)journal_of(f, 5);
    struct hf_bytes fourth = fixture_object(f, entry_name(f, 4));

    fixture_replace(f, entry_name(f, 4), fixture_object(f, entry_name(f, 3)));
    assert_reason(read_journal(f, &read), HF_DATA_LOSS, "JOURNAL_CHAIN");
    fixture_replace(f, entry_name(f, 4), fourth);
    assert_ok(read_journal(f, &read));
    /* the first entry of another source of the realm */
    assert_ok(vault_journal_append(&f->ctx, f->store, f->keyring, "tenants/acme/sources/b", &other,
                                   &entry));
    fixture_replace(f, entry_name(f, 1),
                    fixture_object(f, "tenants/acme/sources/b/journal/000000000001"));
    assert_reason(read_journal(f, &read), HF_DATA_LOSS, "JOURNAL_CHAIN");
}

/* Another true entry at the same place: signed and sealed by us, but of another history. */
static void test_journal__another_history_is_named(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state a = journal_of(f, 3);
    struct vault_source_state read;
    struct vault_source_state fork;

    assert_ok(read_journal(f, &fork));
    assert_ok(append(f, &a, backup_entry("b1", NULL)));
    assert_ok(append(f, &a, backup_entry("b2", NULL)));
    struct hf_bytes fourth = fixture_object(f, entry_name(f, 4));
    struct hf_bytes fifth = fixture_object(f, entry_name(f, 5));

    assert_ok(objstore_remove(&f->ctx, f->store, entry_name(f, 5)));
    assert_ok(objstore_remove(&f->ctx, f->store, entry_name(f, 4)));
    assert_ok(append(f, &fork, backup_entry("b3", NULL)));
    assert_ok(objstore_put(&f->ctx, f->store, entry_name(f, 5), fifth));
    assert_reason(read_journal(f, &read), HF_DATA_LOSS, "JOURNAL_CHAIN");
    fixture_replace(f, entry_name(f, 4), fourth);
    assert_ok(read_journal(f, &read));
}

static void test_journal__rollback_against_a_pin_is_named(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state pinned = journal_of(f, 6);
    struct vault_source_state read;
    const uint8_t other[VAULT_HASH_LEN] = {9};

    assert_ok(vault_journal_read(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, pinned.head,
                                 pinned.head_hash, &read));
    assert_reason(vault_journal_read(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, pinned.head,
                                     other, &read),
                  HF_DATA_LOSS, "JOURNAL_ROLLBACK");
    fixture_replace(f, entry_name(f, 6), (struct hf_bytes){NULL, 0}); /* cut to nothing */
    assert_reason(vault_journal_check(&f->ctx, f->store, FIXTURE_SOURCE, 6, pinned.head_hash),
                  HF_DATA_LOSS, "JOURNAL_ROLLBACK");
    assert_ok(objstore_remove(&f->ctx, f->store, entry_name(f, 6)));
    assert_ok(read_journal(f, &read)); /* without a pin a shorter journal is a whole one */
    assert_int_equal(read.head, 5);
    assert_reason(vault_journal_read(&f->ctx, f->store, f->keyring, FIXTURE_SOURCE, pinned.head,
                                     pinned.head_hash, &read),
                  HF_DATA_LOSS, "JOURNAL_ROLLBACK");
}

/* Somebody with the realm's keys (an old operator) but not the signing key. */
static void test_journal__forged_entry_is_named(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state mine = journal_of(f, 3);
    struct vault_source_state read;
    struct vault_keyring forger = *f->keyring;
    struct vault_entry entry = backup_entry("evil", NULL);
    struct hf_buf out = {0};

    entry.number = 4;
    memset(forger.signing_private, 3, sizeof(forger.signing_private));
    const struct vault_entry_seal seal = {&forger, FIXTURE_SOURCE, &entry, &mine, NULL, NULL};

    hf_buf_init(&out, 1 << 20);
    assert_ok(vault_entry_seal(&f->ctx, &seal, &out));
    assert_ok(
        objstore_put(&f->ctx, f->store, entry_name(f, 4), (struct hf_bytes){out.ptr, out.len}));
    assert_reason(read_journal(f, &read), HF_DATA_LOSS, "JOURNAL_SIGNATURE");
    assert_reason(append(f, &mine, wal_entry(7)), HF_DATA_LOSS, "JOURNAL_SIGNATURE");
    hf_buf_done(&out);
}

static void test_journal__finds_a_flipped_bit_in_every_byte(void **state)
{
    struct fixture *f = *state;
    struct hf_arena *keep = f->ctx.arena;
    struct vault_entry_open open = {.keyring = f->keyring, .prefix = FIXTURE_SOURCE, .number = 2};

    (void)journal_of(f, 2);
    struct hf_bytes bytes = fixture_object(f, entry_name(f, 2));
    uint8_t *copy = hf_dup(keep, bytes.ptr, bytes.len);
    HF_CLEANUP(hf_arena_free) struct hf_arena *scratch = hf_arena_new(1 << 20);

    f->ctx.arena = scratch;
    assert_ok(vault_entry_open(&f->ctx, bytes, &open));
    for (size_t i = 0; i < bytes.len; i++) {
        struct hf_status status;

        copy[i] ^= (uint8_t)(1u << (i % 8));
        status = vault_entry_open(&f->ctx, (struct hf_bytes){copy, bytes.len}, &open);
        copy[i] = bytes.ptr[i];
        if (status.code != HF_DATA_LOSS) {
            fail_msg("byte %zu: %s", i, hf_code_name(status.code));
        }
        hf_arena_reset(scratch);
    }
    f->ctx.arena = keep;
}

static void test_journal__needs_the_signing_key_to_write(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state mine = {.head = 0};
    struct vault_realm_options realm = fixture_realm(f);
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *reader = NULL;
    struct vault_entry entry = source_entry();

    realm.signing_key_path = NULL;
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &reader));
    assert_code(vault_journal_append(&f->ctx, f->store, reader, FIXTURE_SOURCE, &mine, &entry),
                HF_FAILED_PRECONDITION);
    assert_ok(append(f, &mine, source_entry()));
    assert_ok(vault_journal_read(&f->ctx, f->store, reader, FIXTURE_SOURCE, 0, NULL, &mine));
}

static void test_journal__old_key_slot_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct vault_source_state mine = journal_of(f, 2);
    struct vault_source_state read;
    struct vault_realm_options realm = fixture_realm(f);
    HF_CLEANUP(vault_keyring_free) struct vault_keyring *fresh = NULL;
    struct vault_entry entry = wal_entry(5);

    assert_ok(vault_keyring_rotate(&f->ctx, f->store, f->keyring, &realm, true));
    assert_ok(vault_keyring_open(&f->ctx, f->store, &realm, &fresh));
    assert_ok(vault_journal_append(&f->ctx, f->store, fresh, FIXTURE_SOURCE, &mine, &entry));
    assert_ok(vault_journal_read(&f->ctx, f->store, fresh, FIXTURE_SOURCE, 0, NULL, &read));
    assert_reason(read_journal(f, &read), HF_FAILED_PRECONDITION, "OLD_KEY_SLOT");
}

static void test_sources__are_listed_once_each(void **state)
{
    struct fixture *f = *state;
    const struct hf_bytes x = {(const uint8_t *)"x", 1};
    const char *const names[] = {
        "tenants/acme/sources/a/journal/000000000001", "tenants/acme/sources/a/packs/1",
        "tenants/acme/sources/a-b/journal/000000000001", "tenants/acme/sources/b/roots/1",
        "tenants/other/sources/c/roots/1"};
    const char **prefixes = NULL;
    size_t len = 0;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_ok(objstore_put(&f->ctx, f->store, names[i], x));
    }
    assert_ok(vault_sources_list(&f->ctx, f->store, "acme", &prefixes, &len));
    assert_int_equal(len, 3);
    assert_string_equal(prefixes[0], "tenants/acme/sources/a-b");
    assert_string_equal(prefixes[1], "tenants/acme/sources/a");
    assert_string_equal(prefixes[2], "tenants/acme/sources/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_journal__gives_back_the_state),
        fixture_test(test_journal__is_not_found_before_its_first_entry),
        fixture_test(test_journal__checkpoints_after_64_entries_and_carries_on),
        fixture_test(test_journal__checkpoints_after_an_hour),
        fixture_test(test_journal__a_second_writer_comes_behind_the_first),
        fixture_test(test_journal__an_attempt_is_written_once),
        fixture_test(test_journal__hidden_entries_are_named),
        fixture_test(test_journal__replayed_entries_are_named),
        fixture_test(test_journal__another_history_is_named),
        fixture_test(test_journal__rollback_against_a_pin_is_named),
        fixture_test(test_journal__forged_entry_is_named),
        fixture_test(test_journal__finds_a_flipped_bit_in_every_byte),
        fixture_test(test_journal__needs_the_signing_key_to_write),
        fixture_test(test_journal__old_key_slot_is_noticed),
        fixture_test(test_sources__are_listed_once_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

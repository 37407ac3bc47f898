/* A vault with a journal, WAL made in memory and points, for the tests of libs/restore. */
#ifndef TESTS_RESTORE_FIXTURE_H
#define TESTS_RESTORE_FIXTURE_H

#include "restore/internal.h"
#include "tests/unit/libs/pgformat/made_wal.h"
#include "tests/unit/libs/vault/vault_fixture.h"
#include "vault/wal_writer.h"

#define T(seconds) (INT64_C(1700000000000000) + (seconds)*HF_US_PER_S)

static const struct vault_wal_place restore_wal = {FIXTURE_SOURCE, "l1", SEGMENT};

/* What the tests need around a fixture of the vault. */
struct house {
    struct fixture *f;
    struct vault_source_state journal;
    struct made wal;
};

static inline void house_append(struct house *h, struct vault_entry entry)
{
    assert_ok(vault_journal_append(&h->f->ctx, h->f->store, h->f->keyring, FIXTURE_SOURCE,
                                   &h->journal, &entry));
}

static inline void house_init(struct house *h, struct fixture *f)
{
    *h = (struct house){.f = f, .wal = made_new()};
    house_append(h, (struct vault_entry){.kind = VAULT_ENTRY_SOURCE,
                                         .u.source = {"orders", "4242", 150018, SEGMENT}});
    house_append(h, (struct vault_entry){.kind = VAULT_ENTRY_LINEAGE,
                                         .u.lineage = {"l1", "4242", 1, START}});
}

static inline void house_done(struct house *h)
{
    hf_heap_free(h->wal.image);
}

/* A point that nobody will read: a plan looks at its entry alone. */
static inline void house_point(struct house *h, const char *id, uint64_t start_lsn,
                               uint64_t stop_lsn, int64_t stop_time_us)
{
    house_append(h, (struct vault_entry){.kind = VAULT_ENTRY_BACKUP,
                                         .u.backup = {.id = id,
                                                      .lineage = "l1",
                                                      .root = FIXTURE_SOURCE "/roots/x",
                                                      .timeline = 1,
                                                      .start_lsn = start_lsn,
                                                      .stop_lsn = stop_lsn,
                                                      .stop_time_us = stop_time_us,
                                                      .server_version = 150018}});
}

/* Put WAL [from, to) of what was made into the vault. */
static inline void house_push(struct house *h, uint32_t timeline, uint64_t from, uint64_t to)
{
    const struct hf_bytes bytes = {at(&h->wal, from), (size_t)(to - from)};

    assert_ok(vault_wal_push(&h->f->ctx, h->f->store, h->f->keyring, &restore_wal, timeline, from,
                             bytes));
}

/* All WAL that was made, and a proof that at time_us there was no more. */
static inline void house_stream(struct house *h, int64_t time_us)
{
    const struct vault_wal_writer_options options = {
        .place = restore_wal, .timeline = 1, .start_lsn = START};
    HF_CLEANUP(vault_wal_writer_free) struct vault_wal_writer *writer = NULL;
    struct fixture *f = h->f;

    assert_ok(vault_wal_writer_open(&f->ctx, f->store, f->keyring, &options, &writer));
    assert_ok(vault_wal_writer_append(
        &f->ctx, writer, START, (struct hf_bytes){h->wal.image, (size_t)(h->wal.lsn - START)}));
    if (time_us != 0) {
        vault_wal_writer_clock(writer, h->wal.lsn, time_us);
    }
    assert_ok(vault_wal_writer_close(&f->ctx, writer));
}

static inline void house_history(struct house *h, uint32_t timeline, const char *text)
{
    const struct hf_bytes bytes = {(const uint8_t *)text, strlen(text)};

    assert_ok(vault_wal_history_put(&h->f->ctx, h->f->store, h->f->keyring, &restore_wal, timeline,
                                    bytes));
}

/* "1\t0/102040\treason\n" */
static inline const char *history_line(struct house *h, uint32_t timeline, uint64_t lsn)
{
    return hf_printf(h->f->ctx.arena, "%u\t%s\ttest\n", (unsigned)timeline, pgf_lsn(lsn).text);
}

static inline struct restore house_restore(struct house *h, const struct restore_options *options)
{
    return (struct restore){
        .ctx = &h->f->ctx,
        .options = options,
        .place = {h->f->store, h->f->keyring, FIXTURE_SOURCE},
        .state = h->journal,
        .threads = 2,
    };
}

static inline struct hf_status house_plan(struct house *h, const struct restore_options *in,
                                          struct restore_plan *ret_plan)
{
    struct restore_options options = *in;

    options.source_prefix = FIXTURE_SOURCE;
    options.cluster = "orders";
    struct restore restore = house_restore(h, &options);

    return restore_plan_make(&restore, ret_plan);
}

#endif

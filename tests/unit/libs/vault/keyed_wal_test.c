/* Whoever holds the vault's key and lies, against every reader of WAL: see keyed_test.c. */
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "tests/unit/libs/vault/keyed.h"
#include "tests/unit/libs/vault/wal_fixture.h"
#include "vault/pack_format.h"
#include "vault/wal_recover.h"
#include "vault/wal_seal.h"
#include "vault/wal_walk.h"

#define ROUNDS (HF_HAS_ASAN ? 15 : 50)
#define FOREIGN_FILES (HF_HAS_ASAN ? 2000 : 20000)

struct lane {
    struct keyed *k;
    struct vault_wal_place place;
    uint32_t timeline;
};

static struct lane lane_new(struct keyed *k, const char *lineage, uint32_t timeline)
{
    return (struct lane){k, {FIXTURE_SOURCE, lineage, MIB}, timeline};
}

static const char *lane_name(const struct lane *lane, uint64_t from, uint64_t to)
{
    const struct vault_wal_name name = {.kind = VAULT_WAL_CLOSED,
                                        .timeline = lane->timeline,
                                        .segno = from / MIB,
                                        .from = from,
                                        .to = to};

    return vault_wal_name_format(lane->k->f->ctx.arena, &lane->place, &name);
}

/* A slice of one blob, times times, whatever its name says. */
static void lane_put(const struct lane *lane, const char *name, const struct keyed_blob *blob,
                     size_t times)
{
    const struct vault_pack_options options = {
        .kind = VAULT_PACK_WAL,
        .number = vault_wal_place_number(lane->k->f->ctx.arena, &lane->place, lane->timeline)};

    keyed_put_as(lane->k, &options, name, blob, times);
}

/* Everything that reads WAL. */
static void lane_read(const struct lane *lane, uint64_t from, uint64_t to)
{
    struct fixture *f = lane->k->f;
    struct hf_ctx ctx = f->ctx;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)256 << 20);
    HF_CLEANUP(vault_wal_reader_free)
    struct vault_wal_reader *reader = vault_wal_reader_new(f->store, f->keyring, &lane->place);
    const struct vault_wal_source source = {f->store, f->keyring, &lane->place};
    const struct vault_wal_range leg = {lane->timeline, from, to};
    const struct vault_wal_check_options check = {.store = f->store,
                                                  .keyring = f->keyring,
                                                  .place = lane->place,
                                                  .path = &leg,
                                                  .path_len = 1};
    enum vault_wal_compacted compacted;
    struct vault_wal_report report = {0};
    struct vault_wal_index index;
    struct vault_wal_clock clock;
    struct vault_wal_found found;
    uint8_t bytes[4096];
    uint64_t end = 0;
    HF_CLEANUP(hf_buf_done) struct hf_buf segment = {0};

    ctx.arena = arena;
    struct keyed_call call = keyed_begin("WAL index");
    keyed_end(call, vault_wal_index_load(&ctx, f->store, f->keyring, &lane->place, 0, &index));
    call = keyed_begin("WAL read");
    keyed_end(call, vault_wal_read(&ctx, reader, lane->timeline, from, sizeof(bytes), bytes));
    call = keyed_begin("WAL segment");
    hf_buf_init(&segment, 2 * MIB);
    keyed_end(call,
              vault_wal_segment_to_buf(&ctx, reader, lane->timeline, from / MIB, &segment, &end));
    call = keyed_begin("WAL check");
    struct hf_status status = vault_wal_check(&ctx, &check, &report);
    keyed_end(call, status);
    assert_true(!hf_is_ok(status) || report.findings_len <= VAULT_WAL_FINDINGS_MAX);
    call = keyed_begin("WAL covered");
    keyed_end(call, vault_wal_covered_time(&ctx, reader, lane->timeline, UINT64_MAX, &clock));
    call = keyed_begin("WAL time");
    keyed_end(call, vault_wal_lsn_at(&ctx, reader, lane->timeline, 0, &clock));
    call = keyed_begin("WAL compact");
    keyed_end(call, vault_wal_compact_segment(&ctx, f->store, f->keyring, &lane->place,
                                              lane->timeline, from / MIB, 0, &compacted));
    call = keyed_begin("WAL recover");
    keyed_end(call, vault_wal_recover(&ctx, &source, lane->timeline, &found));
}

/* The plaintext of one record: be64 LSN and what follows. */
static struct keyed_blob record_of(struct keyed *k, enum vault_blob_type type, uint64_t lsn,
                                   uint64_t value, size_t len)
{
    uint8_t *bytes = hf_alloc(k->f->ctx.arena, 16 + len);

    vault_put_be64(bytes, lsn);
    vault_put_be64(bytes + 8, value);
    struct keyed_blob blob = keyed_raw((struct hf_bytes){bytes, len});

    blob.type = type;
    return blob;
}

static void test_keyed_wal__slices_that_lie(void **state)
{
    static const uint64_t places[] = {0, 2 * MIB, WAL_START, UINT64_MAX - 4 * MIB + 1,
                                      UINT64_MAX - MIB + 1};
    struct fixture *f = *state;
    struct keyed k;
    uint64_t rounds = keyed_setting("HOLDFAST_HOSTILE_ROUNDS", ROUNDS);

    keyed_init(&k, f);
    for (uint64_t i = 0; i < rounds; i++) {
        struct lane lane = lane_new(&k, hf_printf(f->ctx.arena, "w%" PRIu64, i),
                                    keyed_pick(&k, 2) == 0 ? 1 : UINT32_MAX);
        uint64_t from = places[keyed_pick(&k, HF_LEN(places))] + keyed_pick(&k, 2) * 8192;
        uint64_t lie = keyed_pick(&k, 3) == 0 ? keyed_number(&k) : from;
        enum vault_blob_type type = (enum vault_blob_type)(VAULT_BLOB_BYTES + keyed_pick(&k, 3));
        size_t len = type == VAULT_BLOB_CLOCK ? 16 : 8 + (size_t)keyed_pick(&k, 20000);
        const struct keyed_blob blob = record_of(&k, type, lie, keyed_number(&k), len);
        size_t times = 1 + (size_t)keyed_pick(&k, 4);
        uint64_t told = keyed_pick(&k, 2) == 0 ? (len - 8) * times : 1 + keyed_pick(&k, MIB - 8192);
        uint64_t left = MIB - from % MIB;
        const char *name = lane_name(&lane, from,
                                     from + (told == 0     ? 1
                                             : told < left ? told
                                                           : left - 1));

        if (keyed_pick(&k, 3) == 0) {
            name = hf_printf(f->ctx.arena, "%.*s-open-00000001", (int)(strrchr(name, '-') - name),
                             name);
        }
        lane_put(&lane, name, &blob, times);
        lane_read(&lane, from, keyed_pick(&k, 2) == 0 ? from + MIB / 2 : UINT64_MAX);
    }
    source_free(&k.s);
    keyed_memory();
}

/* Clocks before and after all time, in the slices and in what was made of them. */
static void test_keyed_wal__clocks_of_any_time(void **state)
{
    static const uint64_t times[] = {0, 1, UINT64_C(1) << 63, INT64_MAX, UINT64_MAX};
    struct fixture *f = *state;
    struct keyed k;

    keyed_init(&k, f);
    for (size_t i = 0; i < HF_LEN(times) * HF_LEN(times); i++) {
        struct lane lane = lane_new(&k, hf_printf(f->ctx.arena, "c%zu", i), 1);
        const struct keyed_blob one =
            record_of(&k, VAULT_BLOB_CLOCK, WAL_START, times[i / HF_LEN(times)], 16);
        const struct keyed_blob two =
            record_of(&k, VAULT_BLOB_CLOCK, WAL_START + 1, times[i % HF_LEN(times)], 16);
        const struct keyed_blob when =
            record_of(&k, VAULT_BLOB_BYTES, times[i % HF_LEN(times)], 0, 8);
        const char *open =
            hf_printf(f->ctx.arena, FIXTURE_SOURCE "/wal/c%zu/00000001/%016" PRIx64 "/%016" PRIx64,
                      i, WAL_START / MIB, WAL_START);

        lane_put(&lane, hf_printf(f->ctx.arena, "%s-open-00000001", open), &one, 2);
        lane_put(&lane, hf_printf(f->ctx.arena, "%s-open-00000002", open), &two, 2);
        assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, &lane.place, 1, WAL_START,
                                 wal_make(f, WAL_START, MIB / 2)));
        assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, &lane.place, 1, WAL_START + MIB / 2,
                                 wal_make(f, WAL_START + MIB / 2, MIB / 2)));
        if (i % 2 == 0) { /* the whole segment, compacted at any time */
            lane_put(&lane, lane_name(&lane, WAL_START, WAL_START + MIB), &when, 1);
        }
        lane_read(&lane, WAL_START, WAL_START + MIB);
    }
    source_free(&k.s);
}

/* WAL that is said to reach to the end of all LSNs is missing at once, not segment by segment. */
static void test_keyed_wal__a_path_to_the_last_lsn_is_a_few_holes(void **state)
{
    struct fixture *f = *state;
    static const struct vault_wal_range legs[] = {{1, 0, UINT64_MAX}, {1, WAL_START, UINT64_MAX}};
    const struct vault_wal_check_options options = {.store = f->store,
                                                    .keyring = f->keyring,
                                                    .place = wal_place,
                                                    .path = legs,
                                                    .path_len = HF_LEN(legs)};
    struct vault_wal_report report = {0};
    struct keyed_call call = keyed_begin("WAL check");

    assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, &wal_place, 1, WAL_START,
                             wal_make(f, WAL_START, MIB)));
    assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, &wal_place, 1, WAL_START + 7 * MIB,
                             wal_make(f, WAL_START + 7 * MIB, MIB / 2)));
    keyed_end(call, vault_wal_check(&f->ctx, &options, &report));
    assert_int_equal(report.objects, 4);
    assert_int_equal(report.findings_total, 5 + 2);
    assert_true(report.findings[0].range.from == 0 && report.findings[0].range.to == WAL_START);
    assert_true(report.findings[1].range.from == WAL_START + MIB &&
                report.findings[1].range.to == WAL_START + 7 * MIB);
}

/* Files that are none of ours lie in a vault by the thousand, behind a hole: they are passed in
 * pages, not by a listing for each. */
static void test_keyed_wal__foreign_files_behind_a_hole(void **state)
{
    struct fixture *f = *state;
    static const struct vault_wal_range leg[] = {{1, WAL_START, WAL_START + 3 * MIB}};
    const struct vault_wal_check_options options = {.store = f->store,
                                                    .keyring = f->keyring,
                                                    .place = wal_place,
                                                    .path = leg,
                                                    .path_len = HF_LEN(leg)};
    const char *dir = vault_wal_segment_dir(f->ctx.arena, &wal_place, 1, WAL_START / MIB + 2);
    struct vault_wal_report report = {0};

    assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, &wal_place, 1, WAL_START + 2 * MIB,
                             wal_make(f, WAL_START + 2 * MIB, MIB)));
    for (int i = 0; i < FOREIGN_FILES; i++) { /* they sort before the segment's own object */
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/vault/%s/0000000000z%05d", f->dir, dir, i);
        int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        close(fd);
    }
    struct keyed_call call = keyed_begin("WAL check");
    keyed_end(call, vault_wal_check(&f->ctx, &options, &report));
    assert_int_equal(report.findings_total, 1);
    assert_int_equal(report.objects, 1);
    assert_true(report.findings[0].range.from == WAL_START &&
                report.findings[0].range.to == WAL_START + 2 * MIB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        keyed_test(test_keyed_wal__slices_that_lie),
        keyed_test(test_keyed_wal__clocks_of_any_time),
        keyed_test(test_keyed_wal__a_path_to_the_last_lsn_is_a_few_holes),
        keyed_test(test_keyed_wal__foreign_files_behind_a_hole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

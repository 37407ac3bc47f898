/* WAL writer: what was flushed is never lost, what was not is never shown as something else. */
#include <fcntl.h>

#include "tests/unit/libs/vault/wal_fixture.h"

/* --- crashes ------------------------------------------------------------------------------ */

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

struct run {
    struct fixture *f;
    struct vault_wal_writer *writer;
    uint64_t seed;
    uint64_t flushed;
    uint64_t safe_bytes; /* size of the growing slice at the last flush */
    int64_t time_us;
};

static void run_append(struct run *run)
{
    size_t big = next_random(&run->seed) % 8 == 0 ? 400000 : 3000;
    size_t len = 1 + next_random(&run->seed) % big;
    uint64_t lsn = vault_wal_writer_position(run->writer);

    assert_ok(vault_wal_writer_append(&run->f->ctx, run->writer, lsn, wal_make(run->f, lsn, len)));
}

static void run_flush(struct run *run)
{
    const char *name;

    assert_ok(vault_wal_writer_flush(&run->f->ctx, run->writer, &run->flushed));
    assert_int_equal(run->flushed, vault_wal_writer_position(run->writer));
    name = wal_growing(run->f);
    run->safe_bytes = 0;
    if (name != NULL) {
        assert_ok(objstore_head(&run->f->ctx, run->f->store, name, &run->safe_bytes));
    }
}

/* The machine dies: what was not flushed is cut off anywhere, or is garbage. */
static void run_tear(struct run *run, const char *name)
{
    char *path = hf_printf(run->f->ctx.arena, "%s/vault/%s", run->f->dir, name);
    uint64_t size = 0;
    uint64_t safe = run->safe_bytes;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_ok(objstore_head(&run->f->ctx, run->f->store, name, &size));
    if (vault_wal_writer_durable(run->writer) != run->flushed || safe > size) {
        safe = 0; /* another slice was begun after the last flush: none of it is promised */
    }
    size = safe + next_random(&run->seed) % (size - safe + 1);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    if (next_random(&run->seed) % 2 == 0) {
        uint8_t garbage[300];

        memset(garbage, (int)(next_random(&run->seed) % 256), sizeof(garbage));
        assert_int_equal(pwrite(fd, garbage, sizeof(garbage), (off_t)size), sizeof(garbage));
    }
    close(fd);
}

static void run_crash(struct run *run)
{
    uint64_t position = vault_wal_writer_position(run->writer);
    const char *name = wal_growing(run->f);
    bool is_new_slice = vault_wal_writer_durable(run->writer) > run->flushed;

    if (is_new_slice) {
        run->flushed = vault_wal_writer_durable(run->writer);
        run->safe_bytes = 0;
    }
    if (name != NULL && position > run->flushed) {
        run_tear(run, name);
    }
    vault_wal_writer_free(run->writer);
    run->writer = wal_open(run->f, 1);
    assert_true(vault_wal_writer_durable(run->writer) >= run->flushed);
    assert_true(vault_wal_writer_durable(run->writer) <= position);
    wal_expect(run->f, 1, WAL_START, vault_wal_writer_durable(run->writer));
    run->flushed = vault_wal_writer_durable(run->writer);
}

static void run_clock(struct run *run)
{
    run->time_us += (int64_t)(next_random(&run->seed) % 700000);
    vault_wal_writer_clock(run->writer, vault_wal_writer_position(run->writer), run->time_us);
}

static void run_step(struct run *run)
{
    uint64_t choice = next_random(&run->seed) % 20;

    if (choice < 9) {
        run_append(run);
    } else if (choice < 15) {
        run_flush(run);
    } else if (choice < 19) {
        run_clock(run);
    } else {
        run_crash(run);
    }
}

static void crash_run(void **state, uint64_t seed)
{
    struct run run = {.f = *state, .seed = seed, .time_us = HF_US_PER_S};

    run.writer = wal_open(run.f, 1);
    run.flushed = WAL_START;
    for (int i = 0; i < 400; i++) {
        run_step(&run);
    }
    assert_ok(vault_wal_writer_close(&run.f->ctx, run.writer));
    wal_expect(run.f, 1, WAL_START, vault_wal_writer_durable(run.writer));
    assert_true(vault_wal_writer_durable(run.writer) > WAL_START + 2 * MIB);
    assert_int_equal(wal_index(run.f, 1).ranges_len, 1);
    vault_wal_writer_free(run.writer);
}

static void test_wal_writer__random_crashes_lose_nothing_flushed(void **state)
{
    crash_run(state, 88172645463325252u);
}

static void test_wal_writer__random_crashes_lose_nothing_flushed_again(void **state)
{
    crash_run(state, 6364136223846793005u);
}

/* --- slices ------------------------------------------------------------------------------- */

static void test_wal_writer__is_durable_before_it_says_so(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    uint64_t lsn = vault_wal_writer_position(writer);

    assert_int_equal(lsn, WAL_START);
    assert_ok(vault_wal_writer_append(&f->ctx, writer, lsn, wal_make(f, lsn, 5000)));
    assert_true(vault_wal_writer_is_pending(writer));
    assert_int_equal(vault_wal_writer_durable(writer), WAL_START);
    assert_int_equal(wal_index(f, 1).ranges_len, 0);
    assert_ok(vault_wal_writer_flush(&f->ctx, writer, &lsn));
    assert_int_equal(lsn, WAL_START + 5000);
    assert_false(vault_wal_writer_is_pending(writer));
    wal_expect(f, 1, WAL_START, WAL_START + 5000);
    vault_wal_writer_free(writer);
}

static void test_wal_writer__crosses_segments_and_leaves_names_for_compaction(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    char *whole = hf_printf(f->ctx.arena, "%016llx-%016llx", (unsigned long long)WAL_START,
                            (unsigned long long)(WAL_START + MIB));
    struct objstore_page page;

    while (vault_wal_writer_position(writer) < WAL_START + 2 * MIB + 100) {
        wal_grow(f, writer, 9999);
    }
    page = wal_objects(f);
    for (size_t i = 0; i < page.len; i++) {
        assert_null(strstr(page.entries[i].name, whole));
    }
    assert_true(page.len >= 5);
    wal_expect(f, 1, WAL_START, vault_wal_writer_durable(writer));
    vault_wal_writer_free(writer);
}

static void test_wal_writer__stops_exactly_on_a_boundary(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    struct vault_wal_index index;

    wal_grow(f, writer, MIB);
    assert_null(wal_growing(f));
    index = wal_index(f, 1);
    assert_int_equal(index.ranges_len, 1);
    assert_int_equal(index.ranges[0].to, WAL_START + MIB);
    assert_null(vault_wal_index_find(&index, 1, WAL_START + MIB, false));
    assert_non_null(vault_wal_index_find(&index, 1, WAL_START + MIB, true));
    wal_grow(f, writer, 1);
    assert_int_equal(wal_index(f, 1).ranges_len, 1);
    vault_wal_writer_free(writer);
}

static void test_wal_writer__restarts_behind_what_is_durable_with_a_new_slice(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);

    wal_grow(f, writer, 70000);
    assert_non_null(wal_growing(f));
    vault_wal_writer_free(writer);
    writer = wal_open(f, 1);
    assert_null(wal_growing(f));
    assert_int_equal(vault_wal_writer_position(writer), WAL_START + 70000);
    wal_grow(f, writer, 70000);
    assert_int_equal(wal_index(f, 1).objects, 2);
    wal_expect(f, 1, WAL_START, WAL_START + 140000);
    vault_wal_writer_free(writer);
}

static void test_wal_writer__refuses_a_gap_and_takes_a_skip(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    struct vault_wal_range *holes = NULL;
    struct vault_wal_index index;
    uint64_t far = WAL_START + 3 * MIB;
    const struct vault_wal_range leg = {1, WAL_START - 10, far + 2000};

    wal_grow(f, writer, 1000);
    assert_code(vault_wal_writer_append(&f->ctx, writer, far, wal_make(f, far, 10)),
                HF_OUT_OF_RANGE);
    assert_ok(vault_wal_writer_skip(&f->ctx, writer, far));
    wal_grow(f, writer, 1000);
    assert_int_equal(vault_wal_writer_range_start(writer), far);
    index = wal_index(f, 1);
    assert_int_equal(vault_wal_index_holes(f->ctx.arena, &index, &leg, &holes), 3);
    assert_int_equal(holes[0].from, leg.from);
    assert_int_equal(holes[0].to, WAL_START);
    assert_int_equal(holes[1].from, WAL_START + 1000);
    assert_int_equal(holes[1].to, far);
    assert_int_equal(holes[2].from, far + 1000);
    assert_int_equal(holes[2].to, leg.to);
    assert_int_equal(vault_wal_index_last(&index, 1)->to, far + 1000);
    assert_int_equal(vault_wal_index_timeline(&index), 1);
    vault_wal_writer_free(writer);
}

/* --- conflicts ---------------------------------------------------------------------------- */

static void test_wal_writer__compares_what_comes_again(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    uint64_t back = WAL_START + 60000;
    uint64_t durable = 0;

    wal_grow(f, writer, 100000);
    assert_ok(vault_wal_writer_append(&f->ctx, writer, back, wal_make(f, back, 80000)));
    assert_ok(vault_wal_writer_flush(&f->ctx, writer, &durable));
    assert_int_equal(durable, back + 80000);
    wal_expect(f, 1, WAL_START, durable);
    vault_wal_writer_free(writer);
}

static void test_wal_writer__refuses_another_history(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    struct hf_status status;
    struct hf_bytes other;
    uint64_t lsn = 0;

    wal_grow(f, writer, 100000);
    other = wal_make(f, WAL_START + 7, 1000);
    status = vault_wal_writer_append(&f->ctx, writer, WAL_START, other);
    assert_true(vault_wal_is_conflict(status));
    assert_code(vault_wal_writer_flush(&f->ctx, writer, &lsn), HF_FAILED_PRECONDITION);
    vault_wal_writer_free(writer);
    wal_expect(f, 1, WAL_START, WAL_START + 100000);
}

static void test_wal_writer__closes_over_an_equal_push(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    struct hf_bytes part = wal_make(f, WAL_START, 300000);

    wal_grow(f, writer, 200000);
    assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, &wal_place, 1, WAL_START, part));
    wal_grow(f, writer, 100000);
    assert_ok(vault_wal_writer_close(&f->ctx, writer));
    assert_null(wal_growing(f));
    assert_int_equal(wal_index(f, 1).objects, 1);
    vault_wal_writer_free(writer);
    wal_expect(f, 1, WAL_START, WAL_START + 300000);
}

/* --- clock -------------------------------------------------------------------------------- */

#define T0 (INT64_C(1700000000) * HF_US_PER_S)

static void test_wal_writer__proves_time_only_when_its_wal_is_durable(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);

    vault_wal_writer_clock(writer, WAL_START + 500, T0);
    assert_int_equal(vault_wal_writer_durable_time(writer), 0);
    wal_grow(f, writer, 499);
    assert_int_equal(vault_wal_writer_durable_time(writer), 0);
    wal_grow(f, writer, 1);
    assert_int_equal(vault_wal_writer_durable_time(writer), T0);
    vault_wal_writer_free(writer);
    writer = wal_open(f, 1);
    assert_int_equal(vault_wal_writer_durable_time(writer), T0);
    vault_wal_writer_free(writer);
}

static void test_wal_writer__idle_source_keeps_one_growing_slice(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    uint64_t durable = 0;

    wal_grow(f, writer, MIB);
    for (int i = 0; i < 20; i++) {
        if (i % 5 == 4) {
            vault_wal_writer_free(writer);
            writer = wal_open(f, 1);
        }
        vault_wal_writer_clock(writer, WAL_START + MIB, T0 + i * 2 * HF_US_PER_S);
        assert_true(vault_wal_writer_is_pending(writer));
        assert_ok(vault_wal_writer_flush(&f->ctx, writer, &durable));
        assert_false(vault_wal_writer_is_pending(writer));
        assert_non_null(wal_growing(f));
    }
    assert_int_equal(vault_wal_writer_durable_time(writer), T0 + 38 * HF_US_PER_S);
    vault_wal_writer_free(writer);
}

static void test_wal_writer__writes_clock_records_once_a_second(void **state)
{
    struct fixture *f = *state;
    struct vault_wal_writer *writer = wal_open(f, 1);
    uint64_t before = 0;
    uint64_t after = 0;

    wal_grow(f, writer, 100);
    vault_wal_writer_clock(writer, WAL_START + 100, T0);
    assert_ok(vault_wal_writer_flush(&f->ctx, writer, &before));
    assert_ok(objstore_head(&f->ctx, f->store, wal_growing(f), &before));
    vault_wal_writer_clock(writer, WAL_START + 100, T0 + 300000);
    assert_false(vault_wal_writer_is_pending(writer));
    assert_int_equal(vault_wal_writer_durable_time(writer), T0 + 300000);
    assert_ok(vault_wal_writer_flush(&f->ctx, writer, &after));
    assert_ok(objstore_head(&f->ctx, f->store, wal_growing(f), &after));
    assert_int_equal(before, after);
    vault_wal_writer_free(writer);
}

/* --- faults ------------------------------------------------------------------------------- */

/* A store whose growing objects run out of room, as a full disk does: part of the bytes land. */
struct fault_store {
    struct objstore base;
    struct objstore *inner;
    struct objstore_ops ops;
    size_t room;
    size_t unsynced; /* bytes that no flush has covered */
};

struct objstore_appender {
    struct objstore_appender *inner;
    struct fault_store *store;
};

static struct fault_store *fault_of(struct objstore *store)
{
    return (struct fault_store *)(void *)store;
}

static struct hf_status fault_create(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                     struct objstore_appender **ret_appender)
{
    struct objstore_appender *appender = hf_heap_alloc(sizeof(*appender));

    appender->store = fault_of(store);
    assert_ok(appender->store->inner->ops->append_create(ctx, appender->store->inner, name,
                                                         &appender->inner));
    *ret_appender = appender;
    return hf_success();
}

static struct hf_status fault_append(struct hf_ctx *ctx, struct objstore_appender *appender,
                                     struct hf_bytes bytes, bool is_durable)
{
    struct fault_store *store = appender->store;

    if (bytes.len > store->room) {
        struct hf_bytes part = {bytes.ptr, store->room};

        assert_ok(store->inner->ops->append(ctx, appender->inner, part, false));
        store->room = 0;
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "no space left on device");
    }
    store->room -= bytes.len;
    store->unsynced = is_durable ? 0 : store->unsynced + bytes.len;
    return store->inner->ops->append(ctx, appender->inner, bytes, is_durable);
}

static void fault_leave(struct objstore_appender *appender)
{
    appender->store->inner->ops->append_leave(appender->inner);
    hf_heap_free(appender);
}

static struct hf_status fault_read(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                   uint64_t offset, size_t len, void *ret_bytes)
{
    return objstore_read(ctx, fault_of(store)->inner, name, offset, len, ret_bytes);
}

static struct hf_status fault_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                   uint64_t *ret_size)
{
    return objstore_head(ctx, fault_of(store)->inner, name, ret_size);
}

static struct hf_status fault_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                   const char *after, size_t max, struct objstore_page *ret_page)
{
    return objstore_list(ctx, fault_of(store)->inner, prefix, after, max, ret_page);
}

static struct fault_store fault_over(struct fixture *f, size_t room)
{
    struct fault_store store = {.inner = f->store, .room = room};

    store.ops = *f->store->ops;
    store.ops.append_create = fault_create;
    store.ops.append = fault_append;
    store.ops.append_leave = fault_leave;
    store.ops.read = fault_read;
    store.ops.head = fault_head;
    store.ops.list = fault_list;
    return store;
}

static void test_wal_writer__flush_covers_every_byte(void **state)
{
    struct fixture *f = *state;
    struct fault_store store = fault_over(f, 10 * MIB);
    struct vault_wal_writer_options options = {
        .place = wal_place, .timeline = 1, .start_lsn = WAL_START};
    struct vault_wal_writer *writer = NULL;

    store.base.ops = &store.ops;
    assert_ok(vault_wal_writer_open(&f->ctx, &store.base, f->keyring, &options, &writer));
    for (int i = 0; i < 20; i++) {
        wal_grow(f, writer, i % 5 == 4 ? 30000 : 100);
        assert_int_equal(store.unsynced, 0);
    }
    vault_wal_writer_free(writer);
}

static void test_wal_writer__full_disk_acknowledges_nothing(void **state)
{
    struct fixture *f = *state;
    struct fault_store store = fault_over(f, 20000);
    struct vault_wal_writer_options options = {
        .place = wal_place, .timeline = 1, .start_lsn = WAL_START};
    struct vault_wal_writer *writer = NULL;
    uint64_t durable = 0;

    store.base.ops = &store.ops;
    assert_ok(vault_wal_writer_open(&f->ctx, &store.base, f->keyring, &options, &writer));
    wal_grow(f, writer, 9000);
    assert_ok(vault_wal_writer_append(&f->ctx, writer, WAL_START + 9000,
                                      wal_make(f, WAL_START + 9000, 90000)));
    assert_code(vault_wal_writer_flush(&f->ctx, writer, &durable), HF_RESOURCE_EXHAUSTED);
    assert_int_equal(durable, 0);
    assert_int_equal(vault_wal_writer_durable(writer), WAL_START + 9000);
    assert_code(vault_wal_writer_flush(&f->ctx, writer, &durable), HF_FAILED_PRECONDITION);
    vault_wal_writer_free(writer);
    writer = wal_open(f, 1);
    assert_int_equal(vault_wal_writer_durable(writer), WAL_START + 9000);
    wal_grow(f, writer, 90000);
    wal_expect(f, 1, WAL_START, WAL_START + 99000);
    vault_wal_writer_free(writer);
}

static void test_wal_writer__needs_a_store_that_can_append(void **state)
{
    struct fixture *f = *state;
    struct fault_store store = fault_over(f, 0);
    struct vault_wal_writer_options options = {.place = wal_place, .timeline = 1};
    struct vault_wal_writer *writer = NULL;

    store.ops.can_append = false;
    store.base.ops = &store.ops;
    assert_code(vault_wal_writer_open(&f->ctx, &store.base, f->keyring, &options, &writer),
                HF_FAILED_PRECONDITION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_wal_writer__random_crashes_lose_nothing_flushed),
        fixture_test(test_wal_writer__random_crashes_lose_nothing_flushed_again),
        fixture_test(test_wal_writer__is_durable_before_it_says_so),
        fixture_test(test_wal_writer__crosses_segments_and_leaves_names_for_compaction),
        fixture_test(test_wal_writer__stops_exactly_on_a_boundary),
        fixture_test(test_wal_writer__restarts_behind_what_is_durable_with_a_new_slice),
        fixture_test(test_wal_writer__refuses_a_gap_and_takes_a_skip),
        fixture_test(test_wal_writer__compares_what_comes_again),
        fixture_test(test_wal_writer__refuses_another_history),
        fixture_test(test_wal_writer__closes_over_an_equal_push),
        fixture_test(test_wal_writer__proves_time_only_when_its_wal_is_durable),
        fixture_test(test_wal_writer__idle_source_keeps_one_growing_slice),
        fixture_test(test_wal_writer__writes_clock_records_once_a_second),
        fixture_test(test_wal_writer__flush_covers_every_byte),
        fixture_test(test_wal_writer__full_disk_acknowledges_nothing),
        fixture_test(test_wal_writer__needs_a_store_that_can_append),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which WAL the points miss: every hole on their way, and none beside it. */
#include "backup/source/holes.h"
#include "tests/unit/libs/vault/wal_fixture.h"

static void push(struct fixture *f, uint32_t timeline, uint64_t from, uint64_t to)
{
    assert_ok(vault_wal_push(&f->ctx, f->store, f->keyring, &wal_place, timeline, from,
                             wal_make(f, from, (size_t)(to - from))));
}

static void branch(struct fixture *f, const char *text)
{
    assert_ok(vault_wal_history_put(&f->ctx, f->store, f->keyring, &wal_place, 2,
                                    (struct hf_bytes){(const uint8_t *)text, strlen(text)}));
}

/* A point of timeline 1 from start on, the journal's durable LSNs of timelines 1 and 2 (0: none),
 * and what the receiver has got to on timeline 2. */
struct known {
    uint64_t start;
    uint64_t durable[2];
    uint64_t now;
};

static struct holes find(struct fixture *f, const struct known *known)
{
    struct vault_point_info point = {.id = "b",
                                     .lineage = "l1",
                                     .timeline = 1,
                                     .start_lsn = known->start,
                                     .stop_lsn = known->start + 100};
    struct vault_wal_info wal[] = {{.lineage = "l1", .timeline = 1},
                                   {.lineage = "l1", .timeline = 2}};
    const struct vault_wal_info now = {.lineage = "l1", .timeline = 2, .durable_lsn = known->now};
    struct vault_source_state state = {.points = &point, .points_len = 1, .wal = wal};
    struct way way = {
        .store = f->store, .keyring = f->keyring, .place = wal_place, .state = &state};
    struct holes holes = {0};

    for (size_t i = 0; i < 2 && known->durable[i] > 0; i++) {
        wal[i].durable_lsn = known->durable[i];
        state.wal_len++;
    }
    assert_ok(holes_find(&f->ctx, &way, known->now == 0 ? NULL : &now, &holes));
    return holes;
}

static void expect(const struct holes *holes, const struct gap_row *rows, size_t len)
{
    assert_int_equal(holes->len, len);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(holes->rows[i].timeline, rows[i].timeline);
        assert_int_equal(holes->rows[i].from_lsn, rows[i].from_lsn);
        assert_int_equal(holes->rows[i].to_lsn, rows[i].to_lsn);
    }
}

static void test_holes__are_those_behind_the_start_of_the_oldest_point(void **state)
{
    struct fixture *f = *state;
    const struct gap_row rows[] = {{1, WAL_START + MIB, WAL_START + 2 * MIB},
                                   {1, WAL_START + 3 * MIB, WAL_START + 3 * MIB + 500}};

    push(f, 1, WAL_START - 2 * MIB, WAL_START - MIB);
    push(f, 1, WAL_START, WAL_START + MIB);
    push(f, 1, WAL_START + 2 * MIB, WAL_START + 3 * MIB);
    struct holes holes = find(f, &(struct known){WAL_START + 10, {WAL_START + 3 * MIB}, 0});

    expect(&holes, rows, 1);
    assert_false(holes.is_at_end);
    holes = find(f, &(struct known){WAL_START + 10, {WAL_START + 3 * MIB + 500}, 0});
    expect(&holes, rows, 2);
    assert_true(holes.is_at_end);
}

static void test_holes__are_all_when_nothing_is_listed(void **state)
{
    struct fixture *f = *state;
    const struct gap_row by_journal = {1, WAL_START, WAL_START + MIB};
    const struct gap_row by_point = {1, WAL_START, WAL_START + 100};
    struct holes holes = find(f, &(struct known){WAL_START, {WAL_START + MIB}, 0});

    expect(&holes, &by_journal, 1);
    holes = find(f, &(struct known){WAL_START, {0}, 0});
    expect(&holes, &by_point, 1);
}

static void test_holes__of_a_timeline_behind_its_fork_do_not_count(void **state)
{
    struct fixture *f = *state;
    const struct gap_row skipped = {2, WAL_START + 2 * MIB, WAL_START + 5 * MIB};

    push(f, 1, WAL_START, WAL_START + MIB + 600);
    push(f, 1, WAL_START + 4 * MIB, WAL_START + 5 * MIB);
    branch(f, "1\t0/C0100200\tpromoted\n"); /* WAL_START + MIB + 512 */
    /* Nothing of timeline 2 is there: it leads nowhere, and timeline 1 has a hole. */
    assert_int_equal(find(f, &(struct known){WAL_START, {0}, WAL_START + MIB}).len, 1);
    push(f, 2, WAL_START + MIB, WAL_START + 2 * MIB);
    struct holes holes =
        find(f, &(struct known){WAL_START, {WAL_START + 9 * MIB, WAL_START + 2 * MIB}, 0});

    expect(&holes, NULL, 0);
    holes = find(f, &(struct known){WAL_START, {0}, WAL_START + 5 * MIB});
    expect(&holes, &skipped, 1);
}

static void test_holes__a_history_that_is_gone_is_one(void **state)
{
    struct fixture *f = *state;
    const struct gap_row all = {2, WAL_START, WAL_START + 2 * MIB};

    push(f, 1, WAL_START, WAL_START + MIB);
    push(f, 2, WAL_START + MIB, WAL_START + 2 * MIB);
    struct holes holes = find(f, &(struct known){WAL_START, {0}, 0});

    expect(&holes, &all, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_holes__are_those_behind_the_start_of_the_oldest_point),
        fixture_test(test_holes__are_all_when_nothing_is_listed),
        fixture_test(test_holes__of_a_timeline_behind_its_fork_do_not_count),
        fixture_test(test_holes__a_history_that_is_gone_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

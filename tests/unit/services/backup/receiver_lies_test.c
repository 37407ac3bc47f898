/* Loops that a source can turn: the receiver goes round each a bounded number of times, over all
 * its connections, says why it waits, and streams again when the source is honest. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/source/receiver_internal.h"
#include "base/check.h"
#include "receiver_liar.h"

struct outcome {
    enum lie lie;
    enum receiver_state state; /* at the end, if it is not between two tries */
    const char *error;         /* part of it */
    int seconds;               /* to lie before it is judged */
    int connects_max;
    int starts_max;
    int forks_max;
};

static void judge(const struct outcome *want, struct play *play)
{
    const struct liar *liar = &play->liar;
    struct receiver_status status;

    play_await(play, want->state, want->seconds, &status);
    if (status.state != want->state || strstr(status.error, want->error) == NULL ||
        atomic_load(&liar->connects) > want->connects_max ||
        atomic_load(&liar->starts) > want->starts_max) {
        print_error("lie %d: state %d, %d connects, %d starts, %d forks: %s\n", (int)want->lie,
                    (int)status.state, liar->connects, liar->starts, liar->forks, status.error);
    }
    assert_int_equal(status.state, want->state);
    assert_non_null(strstr(status.error, want->error));
    assert_in_range(atomic_load(&liar->connects), 1, want->connects_max);
    assert_in_range(atomic_load(&liar->starts), 0, want->starts_max);
    assert_in_range(atomic_load(&liar->forks), 0, want->forks_max);
}

/* All lie at the same time, as the receivers are as slow as they are meant to be; who is to be
 * judged sooner stands earlier. */
static void test_receiver__is_not_turned_round_by_a_source(void **state)
{
    static const struct outcome outcomes[] = {
        {LOSES_ITS_END, RECEIVER_STREAMING, "", 0, 5, 2, 0},
        {BOASTS, RECEIVER_STREAMING, "", 0, 5, 2, 0},
        {TIMELINE_ZERO, RECEIVER_WAITING, "makes no sense", 1, 8, 0, 0},
        {LSN_BEYOND, RECEIVER_WAITING, "makes no sense", 1, 8, 0, 0},
        {ENDS_AT_ONCE, RECEIVER_WAITING, "is on timeline 1", 2, 12, 12, 0},
        {ENDS_BACKWARDS, RECEIVER_WAITING, "as the one after", 2, 12, 12, 0},
        {FLOODS, RECEIVER_WAITING, "floods", 2, 12, 12, 0},
        {STARTS_AND_LEAVES, RECEIVER_WAITING, "", 2, 12, 12, 0},
        {COSTS_MEMORY, RECEIVER_WAITING, "memory", 2, 12, 0, 0},
        {GOES_BACK, RECEIVER_STALLED, "another one 6 times", 5, 20, 8, 6},
        {TURNS_PAGES, RECEIVER_STALLED, "another timeline 100 times", 12, 12, 110, 0},
    };
    struct play plays[HF_LEN(outcomes)];

    (void)state;
    for (size_t i = 0; i < HF_LEN(outcomes); i++) {
        play_begin(&plays[i], outcomes[i].lie);
    }
    for (size_t i = 0; i < HF_LEN(outcomes); i++) {
        judge(&outcomes[i], &plays[i]);
        play_end(&plays[i]);
    }
}

/* What is durable would otherwise count as proven for all the years to come. */
static void test_receiver__a_clock_years_ahead_proves_nothing(void **state)
{
    struct receiver_status status = {0};
    struct play play;
    int64_t begin_us = hf_now_us();

    (void)state;
    play_begin(&play, CLOCK_OF_A_DREAM);
    for (int i = 0; i < 1000 && status.durable_time_us == 0; i++) {
        assert_int_equal(usleep(20000), 0);
        receiver_status_get(play.receiver, &status);
    }
    assert_in_range(status.durable_time_us, begin_us, hf_now_us());
    play_end(&play);
}

static void await(struct play *play, enum receiver_state state, struct receiver_status *ret_status)
{
    play_await(play, state, 0, ret_status);
    assert_int_equal(ret_status->state, state);
}

/* Names are asked anew at each connection and judged anew: what an honest answer has opened once is
 * not open to the next one. */
static void test_receiver__a_name_that_moves_is_refused_at_the_reconnect(void **state)
{
    static const struct {
        const char *address;
        const char *reason;
    } rows[] = {
        {"169.254.169.254", "ADDRESS_METADATA"},      {"fe80::1", "ADDRESS_LINK_LOCAL"},
        {"::ffff:169.254.7.7", "ADDRESS_LINK_LOCAL"}, {"10.9.8.7", "ADDRESS_DENIED"},
        {LIAR_OWN_HOST, "ADDRESS_OWN_LISTENER"},
    };
    struct play plays[HF_LEN(rows)];
    int connects[HF_LEN(rows)];
    struct receiver_status status;

    (void)state;
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        play_begin(&plays[i], MOVES);
    }
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        await(&plays[i], RECEIVER_STREAMING, &status);
        connects[i] = atomic_load(&plays[i].liar.connects);
        atomic_store(&plays[i].liar.answer, rows[i].address);
        atomic_store(&plays[i].liar.is_moving, true);
    }
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        await(&plays[i], RECEIVER_STALLED, &status);
        assert_string_equal(status.reason, rows[i].reason);
        assert_non_null(strstr(status.error, "db.test"));
        assert_int_equal(atomic_load(&plays[i].liar.connects), connects[i]);
        atomic_store(&plays[i].liar.is_moving, false);
        atomic_store(&plays[i].liar.answer, NULL);
    }
    for (size_t i = 0; i < HF_LEN(rows); i++) {
        await(&plays[i], RECEIVER_STREAMING, &status);
        play_end(&plays[i]);
    }
}

static struct hf_status on_lineage_away(struct hf_ctx *ctx, void *arg,
                                        const struct receiver_fork *fork, const char **ret_lineage)
{
    (void)arg;
    (void)fork;
    (void)ret_lineage;
    return hf_fail(ctx->arena, HF_UNAVAILABLE, "the database is away");
}

/* An outage of ours is not the source's doing: it does not count against it. */
static void test_receiver__what_could_not_be_begun_costs_nothing(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct hf_ctx ctx = {.arena = arena};
    struct receiver receiver = {.options = {.hooks = {.on_lineage = on_lineage_away}}};
    struct receiver_session session = {
        .receiver = &receiver, .timeline = 1, .place = {.segment_bytes = LIAR_SEGMENT}};

    (void)state;
    for (int i = 0; i < 2 * RECEIVER_FORKS_PER_HOUR; i++) {
        assert_int_equal(receiver_fork_lineage(&ctx, &session, "it went back").code,
                         HF_UNAVAILABLE);
    }
    assert_int_equal(receiver.fork_budget.used, 0);
}

/* In a child of an ordinary user, as the limit binds no other. */
static int start_without_threads(void)
{
    const struct rlimit none = {0, 0};
    const struct receiver_options options = {
        .cluster = "orders",
        .dsn = "host=db.test",
        .slot = "holdfast_orders",
        .system_identifier = "1",
        .prefix = "tenants/acme/sources/s",
        .lineage = "l1",
        .segment_bytes = LIAR_SEGMENT,
    };

    if (setrlimit(RLIMIT_NPROC, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
        return 1;
    }
    return receiver_start(&options) == NULL ? 0 : 2;
}

/* Each cluster costs threads: the one too many must not end those that run. */
static void test_receiver__without_threads_nothing_starts_and_nothing_ends(void **state)
{
    pid_t child = fork();
    int status = -1;

    (void)state;
    if (child == 0) {
        _exit(start_without_threads());
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receiver__is_not_turned_round_by_a_source),
        cmocka_unit_test(test_receiver__a_clock_years_ahead_proves_nothing),
        cmocka_unit_test(test_receiver__a_name_that_moves_is_refused_at_the_reconnect),
        cmocka_unit_test(test_receiver__without_threads_nothing_starts_and_nothing_ends),
        cmocka_unit_test(test_receiver__what_could_not_be_begun_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

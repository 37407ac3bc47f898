/* Deadlines and cancellation end every wait. */
#include <poll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/ctx.h"
#include "base/fd.h"
#include "base/pool.h"
#include "tests/unit/unit.h"

static void test_ctx__check_sees_cancel_stop_and_deadline(void **state)
{
    struct hf_cancel flag = {0};
    struct hf_ctx ctx = {.cancel = &flag};
    (void)state;

    assert_true(hf_is_ok(hf_ctx_check(&ctx)));
    atomic_store(&flag.is_set, true);
    assert_int_equal(hf_ctx_check(&ctx).code, HF_CANCELLED);
    ctx = (struct hf_ctx){.stop = &flag};
    assert_int_equal(hf_ctx_check(&ctx).code, HF_CANCELLED);
    ctx = (struct hf_ctx){.deadline_us = hf_mono_us()};
    assert_int_equal(hf_ctx_check(&ctx).code, HF_DEADLINE_EXCEEDED);
}

static void test_ctx__poll_ms_is_bounded(void **state)
{
    struct hf_ctx ctx = {0};
    (void)state;

    assert_int_equal(hf_ctx_poll_ms(&ctx, 50), 50);
    assert_int_equal(hf_ctx_poll_ms(&ctx, 5000), 200);
    assert_int_equal(hf_ctx_poll_ms(&ctx, -1), 200);
    ctx.deadline_us = hf_mono_us() + 20000;
    assert_in_range(hf_ctx_poll_ms(&ctx, 5000), 1, 20);
    ctx.deadline_us = 1;
    assert_int_equal(hf_ctx_poll_ms(&ctx, 5000), 0);
}

static void test_ctx__sleep_ends_at_the_deadline(void **state)
{
    int64_t start = hf_mono_us();
    struct hf_ctx ctx = {.deadline_us = start + 30000};
    (void)state;

    assert_int_equal(hf_ctx_sleep(&ctx, 60000).code, HF_DEADLINE_EXCEEDED);
    assert_in_range(hf_mono_us() - start, 30000, 5000000);
    ctx.deadline_us = 0;
    assert_true(hf_is_ok(hf_ctx_sleep(&ctx, 5)));
}

static void test_ctx__wait_fd_tells_ready_from_time_out(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct hf_ctx ctx = {.arena = arena};
    int ends[2];
    short events = -1;
    (void)state;

    assert_int_equal(pipe(ends), 0);
    assert_true(hf_is_ok(hf_ctx_wait_fd(&ctx, ends[0], POLLIN, 10, &events)));
    assert_int_equal(events, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_true(hf_is_ok(hf_ctx_wait_fd(&ctx, ends[0], POLLIN, -1, &events)));
    assert_int_equal(events, POLLIN);
    close(ends[0]);
    close(ends[1]);
}

static void cancel_soon(void *arg)
{
    struct hf_cancel *flag = arg;
    struct hf_ctx ctx = {0};
    struct hf_status status = hf_ctx_sleep(&ctx, 20);

    (void)status;
    atomic_store(&flag->is_set, true);
}

static void test_ctx__cancel_from_another_thread_ends_a_wait(void **state)
{
    struct hf_cancel flag = {0};
    struct hf_ctx ctx = {.cancel = &flag};
    int64_t start = hf_mono_us();
    (void)state;

    struct hf_thread *thread = hf_thread_start("cancel", cancel_soon, &flag);
    assert_int_equal(hf_ctx_sleep(&ctx, 60000).code, HF_CANCELLED);
    assert_in_range(hf_mono_us() - start, 0, 10000000);
    hf_thread_join(thread);
}

static void test_ctx__check_sees_an_arena_that_is_over(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct hf_ctx ctx = {.arena = arena};
    (void)state;

    assert_true(hf_is_ok(hf_ctx_check(&ctx)));
    (void)hf_alloc(arena, 5000);
    assert_int_equal(hf_ctx_check(&ctx).code, HF_RESOURCE_EXHAUSTED);
    assert_int_equal(hf_ctx_sleep(&ctx, 1).code, HF_RESOURCE_EXHAUSTED);
}

static void test_ctx__takes_any_deadline(void **state)
{
    static const int64_t deadlines[] = {INT64_MIN, -1, INT64_MAX, INT64_MAX - 1};
    (void)state;

    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        struct hf_ctx ctx = {.deadline_us = deadlines[i]};
        bool is_past = deadlines[i] < 0;
        assert_int_equal(hf_ctx_poll_ms(&ctx, 100), is_past ? 0 : 100);
        assert_int_equal(hf_ctx_check(&ctx).code, is_past ? HF_DEADLINE_EXCEEDED : HF_OK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ctx__check_sees_cancel_stop_and_deadline),
        cmocka_unit_test(test_ctx__poll_ms_is_bounded),
        cmocka_unit_test(test_ctx__sleep_ends_at_the_deadline),
        cmocka_unit_test(test_ctx__wait_fd_tells_ready_from_time_out),
        cmocka_unit_test(test_ctx__cancel_from_another_thread_ends_a_wait),
        cmocka_unit_test(test_ctx__check_sees_an_arena_that_is_over),
        cmocka_unit_test(test_ctx__takes_any_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

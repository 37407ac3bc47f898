/* The doorbell on a real Redis: order, fairness, loss of everything. */
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/pool.h"
#include "queue/queue.h"
#include "testkit/redisserver.h"
#include "tests/unit/unit.h"

struct fixture {
    struct redisserver *server;
    struct hf_arena *arena;
    struct hf_ctx ctx;
    struct queue *queue;
};

static struct queue *open_queue(const struct redisserver *server)
{
    const struct queue_options options = {.address = redisserver_address(server), .prefix = "test"};
    return queue_new(&options);
}

static int setup(void **state)
{
    struct fixture *fix = hf_heap_alloc(sizeof(*fix));

    fix->server = redisserver_new();
    fix->arena = hf_arena_new((size_t)16 * 1024 * 1024);
    fix->ctx = (struct hf_ctx){.arena = fix->arena, .deadline_us = hf_mono_us() + 60 * HF_US_PER_S};
    fix->queue = open_queue(fix->server);
    *state = fix;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fix = *state;

    queue_free(fix->queue);
    redisserver_free(fix->server);
    hf_arena_free(fix->arena);
    hf_heap_free(fix);
    return 0;
}

static void push(struct fixture *fix, const char *tenant, const char *id, int priority)
{
    const struct queue_item item = {
        .lane = "work", .tenant = tenant, .id = id, .priority = priority, .ready_us = hf_now_us()};
    assert_true(hf_is_ok(queue_push(&fix->ctx, fix->queue, &item, 1)));
}

static struct queue_claim claim(struct fixture *fix, size_t count, const char *skip)
{
    const struct queue_want want = {"work", count};
    const struct queue_request request = {
        .wants = &want, .wants_len = 1, .skip_tenants = &skip, .skip_len = skip == NULL ? 0 : 1};
    struct queue_claim found;

    assert_true(hf_is_ok(queue_claim(&fix->ctx, fix->queue, &request, &found)));
    return found;
}

static void test_queue__each_id_comes_once_in_order_of_priority(void **state)
{
    struct fixture *fix = *state;

    push(fix, "a", "late", 9);
    push(fix, "a", "first", 0);
    push(fix, "a", "first", 0);
    push(fix, "a", "middle", 5);
    struct queue_claim found = claim(fix, 10, NULL);
    assert_int_equal(found.len, 3);
    assert_string_equal(found.items[0].id, "first");
    assert_string_equal(found.items[1].id, "middle");
    assert_string_equal(found.items[2].id, "late");
    assert_string_equal(found.items[0].tenant, "a");
    assert_string_equal(found.items[0].lane, "work");
    assert_int_equal(claim(fix, 10, NULL).len, 0);
}

static void test_queue__tenants_take_turns(void **state)
{
    struct fixture *fix = *state;
    size_t of_small = 0;

    for (int i = 0; i < 20; i++) {
        push(fix, "big", hf_printf(fix->arena, "b%d", i), 5);
    }
    assert_int_equal(claim(fix, 10, NULL).len, 10);
    push(fix, "small", "s0", 5);
    push(fix, "small", "s1", 5);
    struct queue_claim found = claim(fix, 4, NULL);
    for (size_t i = 0; i < found.len; i++) {
        of_small += strcmp(found.items[i].tenant, "small") == 0 ? 1 : 0;
    }
    /* A newcomer neither waits for the old one's ten nor starves it. */
    assert_int_equal(of_small, 2);
    assert_int_equal(found.len, 4);
}

static void test_queue__long_runs_cost_turns(void **state)
{
    struct fixture *fix = *state;

    for (int i = 0; i < 6; i++) {
        push(fix, "slow", hf_printf(fix->arena, "l%d", i), 5);
        push(fix, "quick", hf_printf(fix->arena, "q%d", i), 5);
    }
    assert_int_equal(claim(fix, 2, NULL).len, 2);
    assert_true(hf_is_ok(queue_charge(&fix->ctx, fix->queue, "work", "slow", 100 * HF_US_PER_S)));
    struct queue_claim found = claim(fix, 5, NULL);
    for (size_t i = 0; i < found.len; i++) {
        assert_string_equal(found.items[i].tenant, "quick");
    }
    assert_int_equal(found.len, 5);
}

static void test_queue__tenants_at_their_limit_are_skipped(void **state)
{
    struct fixture *fix = *state;

    push(fix, "a", "1", 5);
    push(fix, "b", "2", 5);
    struct queue_claim found = claim(fix, 10, "a");
    assert_int_equal(found.len, 1);
    assert_string_equal(found.items[0].id, "2");
    assert_int_equal(claim(fix, 10, NULL).len, 1);
}

static void test_queue__flush_is_noticed(void **state)
{
    struct fixture *fix = *state;

    assert_true(claim(fix, 1, NULL).is_incomplete);
    assert_true(hf_is_ok(queue_mark_complete(&fix->ctx, fix->queue)));
    assert_false(claim(fix, 1, NULL).is_incomplete);
    redisserver_command(fix->server, "FLUSHALL");
    assert_true(claim(fix, 1, NULL).is_incomplete);
}

static void test_queue__functions_are_loaded_again_after_a_restart(void **state)
{
    struct fixture *fix = *state;
    struct hf_status status = hf_success();
    int64_t depth = 0;

    push(fix, "a", "1", 5);
    redisserver_kill(fix->server);
    status = queue_depth(&fix->ctx, fix->queue, &depth);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    int64_t start_us = hf_mono_us();
    status = queue_depth(&fix->ctx, fix->queue, &depth);
    assert_int_equal(status.code, HF_UNAVAILABLE);
    assert_true(hf_mono_us() - start_us < 50000);
    redisserver_start(fix->server);
    while (!hf_is_ok(status)) {
        assert_true(hf_is_ok(hf_ctx_sleep(&fix->ctx, 20)));
        status = queue_depth(&fix->ctx, fix->queue, &depth);
    }
    assert_int_equal(depth, 0);
    assert_true(claim(fix, 1, NULL).is_incomplete);
}

struct pusher {
    struct fixture *fix;
    int wake_fd;
};

static void push_soon(void *arg)
{
    const struct pusher *pusher = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1024 * 1024);
    HF_CLEANUP(queue_free) struct queue *queue = open_queue(pusher->fix->server);
    struct hf_ctx ctx = {.arena = arena};
    const uint64_t one = 1;

    (void)hf_is_ok(hf_ctx_sleep(&ctx, 100));
    if (pusher->wake_fd >= 0) {
        assert_int_equal(write(pusher->wake_fd, &one, sizeof(one)), sizeof(one));
        return;
    }
    const struct queue_item item = {.lane = "work", .tenant = "a", .id = "1"};
    assert_true(hf_is_ok(queue_push(&ctx, queue, &item, 1)));
}

static int64_t wait_time_us(struct fixture *fix, int wake_fd)
{
    struct pusher pusher = {fix, wake_fd};
    int64_t start_us = hf_mono_us();

    struct hf_thread *thread = hf_thread_start("push", push_soon, &pusher);
    assert_true(hf_is_ok(queue_wait(&fix->ctx, fix->queue, wake_fd, 5000)));
    hf_thread_join(thread);
    return hf_mono_us() - start_us;
}

static void test_queue_wait__ends_with_a_push_or_a_wake(void **state)
{
    struct fixture *fix = *state;
    int wake_fd = eventfd(0, EFD_CLOEXEC);

    assert_in_range(wait_time_us(fix, wake_fd), 80000, 2000000);
    close(wake_fd);
    assert_in_range(wait_time_us(fix, -1), 80000, 2000000);
    assert_int_equal(claim(fix, 1, NULL).len, 1);
}

static void test_queue_wait__stays_armed_while_work_remains(void **state)
{
    struct fixture *fix = *state;
    int64_t start_us = hf_mono_us();

    push(fix, "a", "1", 5);
    push(fix, "a", "2", 5);
    assert_true(hf_is_ok(queue_wait(&fix->ctx, fix->queue, -1, 5000)));
    assert_int_equal(claim(fix, 1, NULL).len, 1);
    assert_true(hf_is_ok(queue_wait(&fix->ctx, fix->queue, -1, 5000)));
    assert_int_equal(claim(fix, 1, NULL).len, 1);
    assert_true(hf_mono_us() - start_us < 2 * HF_US_PER_S);
}

/* The doorbell of an installation: nobody without the password, and nothing but the doorbell. */
static void test_queue__its_acl_is_enough(void **state)
{
    struct fixture *fix = *state;
    const struct queue_options options = {.address = redisserver_address(fix->server),
                                          .user = "bell",
                                          .password = "ring",
                                          .prefix = "test"};
    int64_t depth = 0;

    redisserver_command(fix->server,
                        hf_printf(fix->arena, "ACL SETUSER bell on >ring %s", queue_acl()));
    queue_free(fix->queue);
    fix->queue = queue_new(&options);
    push(fix, "a", "1", 5);
    push(fix, "a", "2", 5);
    assert_true(hf_is_ok(queue_wait(&fix->ctx, fix->queue, -1, 5000)));
    assert_int_equal(claim(fix, 1, NULL).len, 1);
    assert_true(hf_is_ok(queue_charge(&fix->ctx, fix->queue, "work", "a", 5 * HF_US_PER_S)));
    assert_int_equal(claim(fix, 2, NULL).len, 1);
    assert_true(hf_is_ok(queue_charge(&fix->ctx, fix->queue, "work", "a", 5 * HF_US_PER_S)));
    assert_true(hf_is_ok(queue_mark_complete(&fix->ctx, fix->queue)));
    assert_true(hf_is_ok(queue_depth(&fix->ctx, fix->queue, &depth)));
    assert_int_equal(depth, 0);
}

static void test_queue__a_wrong_password_is_refused(void **state)
{
    struct fixture *fix = *state;
    const struct queue_options options = {.address = redisserver_address(fix->server),
                                          .user = "bell",
                                          .password = "rang",
                                          .prefix = "test"};
    int64_t depth = 0;

    queue_free(fix->queue);
    fix->queue = queue_new(&options);
    assert_int_equal(queue_depth(&fix->ctx, fix->queue, &depth).code, HF_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queue__each_id_comes_once_in_order_of_priority, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue__tenants_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue__long_runs_cost_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue__tenants_at_their_limit_are_skipped, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue__flush_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue__functions_are_loaded_again_after_a_restart,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue_wait__ends_with_a_push_or_a_wake, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue_wait__stays_armed_while_work_remains, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_queue__its_acl_is_enough, setup, teardown),
        cmocka_unit_test_setup_teardown(test_queue__a_wrong_password_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

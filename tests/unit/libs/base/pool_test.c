/* Threads, queues and pools under contention. */
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pool.h"
#include "tests/unit/unit.h"

static atomic_int handled;

static void count_item(void *item, void *arg)
{
    (void)arg;
    atomic_fetch_add(&handled, *(int *)item);
}

static void test_pool__runs_every_item_before_it_ends(void **state)
{
    static int one = 1;
    struct hf_pool *pool = hf_pool_new("work", 4, 8, count_item, NULL);
    (void)state;

    atomic_store(&handled, 0);
    for (int i = 0; i < 10000; i++) {
        assert_true(hf_pool_push(pool, &one, -1));
    }
    hf_pool_free(pool);
    assert_int_equal(atomic_load(&handled), 10000);
}

static void test_queue__is_first_in_first_out_and_bounded(void **state)
{
    HF_CLEANUP(hf_queue_free) struct hf_queue *queue = hf_queue_new(2);
    int items[3] = {0};
    void *item = NULL;
    (void)state;

    assert_true(hf_queue_push(queue, &items[0], 0));
    assert_true(hf_queue_push(queue, &items[1], 0));
    assert_false(hf_queue_push(queue, &items[2], 5));
    assert_int_equal(hf_queue_pop(queue, 0, &item), HF_POP_ITEM);
    assert_ptr_equal(item, &items[0]);
    assert_true(hf_queue_push(queue, &items[2], 0));
    assert_int_equal(hf_queue_len(queue), 2);
    assert_int_equal(hf_queue_pop(queue, 0, &item), HF_POP_ITEM);
    assert_int_equal(hf_queue_pop(queue, 0, &item), HF_POP_ITEM);
    assert_ptr_equal(item, &items[2]);
    assert_int_equal(hf_queue_pop(queue, 5, &item), HF_POP_TIMEOUT);
}

static void test_queue__closed_gives_out_what_it_holds(void **state)
{
    HF_CLEANUP(hf_queue_free) struct hf_queue *queue = hf_queue_new(2);
    int value = 0;
    void *item = NULL;
    (void)state;

    assert_true(hf_queue_push(queue, &value, 0));
    hf_queue_close(queue);
    assert_false(hf_queue_push(queue, &value, -1));
    assert_int_equal(hf_queue_pop(queue, -1, &item), HF_POP_ITEM);
    assert_int_equal(hf_queue_pop(queue, -1, &item), HF_POP_CLOSED);
}

static void close_queue(void *arg)
{
    hf_queue_close(arg);
}

static void test_queue__close_wakes_a_waiting_consumer(void **state)
{
    HF_CLEANUP(hf_queue_free) struct hf_queue *queue = hf_queue_new(1);
    void *item = NULL;
    (void)state;

    struct hf_thread *thread = hf_thread_start("closer", close_queue, queue);
    assert_int_equal(hf_queue_pop(queue, -1, &item), HF_POP_CLOSED);
    hf_thread_join(thread);
}

static void read_mask(void *arg)
{
    (void)pthread_sigmask(SIG_SETMASK, NULL, arg);
}

static void test_thread__has_all_signals_blocked(void **state)
{
    sigset_t mask;
    sigset_t own;
    (void)state;

    (void)sigemptyset(&mask);
    hf_thread_join(hf_thread_start("a name that is too long", read_mask, &mask));
    assert_int_equal(sigismember(&mask, SIGTERM), 1);
    assert_int_equal(sigismember(&mask, SIGINT), 1);
    assert_int_equal(sigismember(&mask, SIGPIPE), 1);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_int_equal(sigismember(&own, SIGTERM), 0);
}

/* What a process that may have no more threads gets; run in a child of an ordinary user, as the
 * limit binds no other. */
static int try_without_threads(void)
{
    const struct rlimit none = {0, 0};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 16);

    if (setrlimit(RLIMIT_NPROC, &none) != 0 || (geteuid() == 0 && setuid(65534) != 0)) {
        return 1;
    }
    if (hf_thread_try("none", read_mask, NULL) != NULL) {
        return 2;
    }
    return hf_thread_refused(arena).code == HF_RESOURCE_EXHAUSTED ? 0 : 3;
}

static void test_thread__none_to_have_is_told(void **state)
{
    pid_t child = fork();
    int status = -1;
    (void)state;

    if (child == 0) {
        _exit(try_without_threads());
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void test_lock__wait_times_out(void **state)
{
    struct hf_lock lock;
    int64_t start = hf_mono_us();
    (void)state;

    hf_lock_init(&lock);
    hf_lock_take(&lock);
    while (hf_lock_wait(&lock, 20)) {
    }
    assert_in_range(hf_mono_us() - start, 20000, 5000000);
    hf_lock_release(&lock);
    hf_lock_done(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pool__runs_every_item_before_it_ends),
        cmocka_unit_test(test_queue__is_first_in_first_out_and_bounded),
        cmocka_unit_test(test_queue__closed_gives_out_what_it_holds),
        cmocka_unit_test(test_queue__close_wakes_a_waiting_consumer),
        cmocka_unit_test(test_thread__has_all_signals_blocked),
        cmocka_unit_test(test_thread__none_to_have_is_told),
        cmocka_unit_test(test_lock__wait_times_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Whoever waits for signals has a thread, and forks beside it: a child that inherited a lock of
 * that thread's beginning (a sanitizer's, the C library's) would hang when it begins a thread
 * itself. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/interrupt.h"
#include "tests/unit/unit.h"

#define ROUNDS 40
#define CHILD_SECONDS 10

static void test_interrupt__lets_a_child_begin_its_own(void **state)
{
    struct hf_cancel cancel = {0};
    (void)state;

    for (int i = 0; i < ROUNDS; i++) {
        struct interrupt *interrupt = interrupt_start(&cancel);
        pid_t pid = fork();
        int how = 0;

        if (pid == 0) {
            alarm(CHILD_SECONDS);
            _exit(interrupt_start(&cancel) == NULL ? 1 : 0);
        }
        assert_true(waitpid(pid, &how, 0) == pid);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        interrupt_stop(interrupt);
    }
}

/* Each command ends with it: archive_command, too. */
static void test_interrupt__stops_at_once(void **state)
{
    struct hf_cancel cancel = {0};
    const int64_t begin_us = hf_mono_us();
    (void)state;

    for (int i = 0; i < ROUNDS; i++) {
        interrupt_stop(interrupt_start(&cancel));
    }
    assert_in_range(hf_mono_us() - begin_us, 0, ROUNDS * 50000);
    assert_false(atomic_load(&cancel.is_set));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interrupt__lets_a_child_begin_its_own),
        cmocka_unit_test(test_interrupt__stops_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

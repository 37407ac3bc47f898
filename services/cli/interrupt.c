/* The thread that waits for SIGINT and SIGTERM. Commands fork beside it: it takes no lock but in
 * its beginning (the C library's, a sanitizer's), which is over before anybody can fork. */
#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"
#include "cli/cli.h"

#define BEGIN_MS 1000
#define WAKE SIGUSR2 /* from ourselves: look whether it is over */

struct interrupt {
    struct hf_lock begin;
    bool has_begun;
    struct hf_cancel *cancel;
    struct hf_thread *thread;
    sigset_t signals;
    atomic_bool is_over;
};

static void wait_for_signals(void *arg)
{
    struct interrupt *interrupt = arg;
    const struct timespec pause = {.tv_nsec = 100000000};

    hf_lock_take(&interrupt->begin);
    interrupt->has_begun = true;
    hf_lock_wake(&interrupt->begin);
    hf_lock_release(&interrupt->begin);
    while (!atomic_load(&interrupt->is_over)) {
        int taken = sigtimedwait(&interrupt->signals, NULL, &pause);

        if (taken < 0 || taken == WAKE) {
            continue;
        }
        if (atomic_exchange(&interrupt->cancel->is_set, true)) {
            _exit(130);
        }
    }
}

struct interrupt *interrupt_start(struct hf_cancel *cancel)
{
    struct interrupt *interrupt = hf_heap_alloc(sizeof(*interrupt));

    interrupt->cancel = cancel;
    sigemptyset(&interrupt->signals);
    sigaddset(&interrupt->signals, SIGINT);
    sigaddset(&interrupt->signals, SIGTERM);
    sigaddset(&interrupt->signals, WAKE);
    pthread_sigmask(SIG_BLOCK, &interrupt->signals, NULL);
    hf_lock_init(&interrupt->begin);
    interrupt->thread = hf_thread_try("signals", wait_for_signals, interrupt);
    if (interrupt->thread == NULL) {
        fputs("error: the system has no more threads for this command (see RLIMIT_NPROC, TasksMax "
              "and pids.max)\n",
              stderr);
        _exit(CLI_UNAVAILABLE);
    }
    hf_lock_take(&interrupt->begin);
    while (!interrupt->has_begun) {
        (void)hf_lock_wait(&interrupt->begin, BEGIN_MS);
    }
    hf_lock_release(&interrupt->begin);
    return interrupt;
}

void interrupt_stop(struct interrupt *interrupt)
{
    atomic_store(&interrupt->is_over, true);
    (void)kill(getpid(), WAKE); /* else each command would end with a pause */
    hf_thread_join(interrupt->thread);
    hf_lock_done(&interrupt->begin);
    hf_heap_free(interrupt);
}

/* The thread that waits for SIGINT and SIGTERM. */
#include "cli/interrupt.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"

struct interrupt {
    struct hf_cancel *cancel;
    struct hf_thread *thread;
    sigset_t signals;
    atomic_bool is_over;
};

static void wait_for_signals(void *arg)
{
    struct interrupt *interrupt = arg;
    const struct timespec pause = {.tv_nsec = 100000000};

    while (!atomic_load(&interrupt->is_over)) {
        if (sigtimedwait(&interrupt->signals, NULL, &pause) < 0) {
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
    pthread_sigmask(SIG_BLOCK, &interrupt->signals, NULL);
    interrupt->thread = hf_thread_start("signals", wait_for_signals, interrupt);
    return interrupt;
}

void interrupt_stop(struct interrupt *interrupt)
{
    atomic_store(&interrupt->is_over, true);
    hf_thread_join(interrupt->thread);
    hf_heap_free(interrupt);
}

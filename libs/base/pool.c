/* Threads, locks, bounded queues and pools of workers. */
#include "base/pool.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"

#if HF_HAS_ASAN || defined(__SANITIZE_THREAD__)
#define STACK_BYTES (2048 * 1024) /* sanitizers put red zones into every frame */
#else
#define STACK_BYTES (512 * 1024)
#endif
#define NAME_MAX_LEN 15

struct hf_thread {
    pthread_t id;
    char name[NAME_MAX_LEN + 1];
    void (*fn)(void *arg);
    void *arg;
};

static void *thread_main(void *arg)
{
    struct hf_thread *thread = arg;

    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->fn(thread->arg);
    return NULL;
}

struct hf_thread *hf_thread_try(const char *name, void (*fn)(void *arg), void *arg)
{
    struct hf_thread *thread = hf_heap_alloc(sizeof(*thread));
    size_t name_len = strnlen(name, NAME_MAX_LEN);
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    pthread_attr_t attr;
    sigset_t all;
    sigset_t old;

    memcpy(thread->name, name, name_len);
    thread->fn = fn;
    thread->arg = arg;
    /* The mask is inherited: set before the thread exists, so that it never sees a signal. Faults
     * of the thread itself stay open: blocked, they would kill without a sanitizer's report. */
    (void)sigfillset(&all);
    for (size_t i = 0; i < HF_LEN(faults); i++) {
        (void)sigdelset(&all, faults[i]);
    }
    HF_CHECK(pthread_sigmask(SIG_SETMASK, &all, &old) == 0);
    HF_CHECK(pthread_attr_init(&attr) == 0);
    HF_CHECK(pthread_attr_setstacksize(&attr, STACK_BYTES) == 0);
    int error = pthread_create(&thread->id, &attr, thread_main, thread);
    (void)pthread_attr_destroy(&attr);
    HF_CHECK(pthread_sigmask(SIG_SETMASK, &old, NULL) == 0);
    HF_CHECK(error == 0 || error == EAGAIN || error == ENOMEM);
    if (error != 0) {
        hf_heap_free(thread);
        return NULL;
    }
    return thread;
}

struct hf_status hf_thread_refused(struct hf_arena *arena)
{
    return hf_fail(arena, HF_RESOURCE_EXHAUSTED,
                   "the system has no more threads for this service (see RLIMIT_NPROC, TasksMax "
                   "and pids.max)");
}

struct hf_thread *hf_thread_start(const char *name, void (*fn)(void *arg), void *arg)
{
    struct hf_thread *thread = hf_thread_try(name, fn, arg);

    HF_CHECK(thread != NULL);
    return thread;
}

void hf_thread_join(struct hf_thread *thread)
{
    if (thread == NULL) {
        return;
    }
    HF_CHECK(pthread_join(thread->id, NULL) == 0);
    hf_heap_free(thread);
}

void hf_lock_init(struct hf_lock *lock)
{
    pthread_condattr_t attr;

    HF_CHECK(pthread_mutex_init(&lock->mutex, NULL) == 0);
    HF_CHECK(pthread_condattr_init(&attr) == 0);
    HF_CHECK(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    HF_CHECK(pthread_cond_init(&lock->changed, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
}

void hf_lock_done(struct hf_lock *lock)
{
    HF_CHECK(pthread_cond_destroy(&lock->changed) == 0);
    HF_CHECK(pthread_mutex_destroy(&lock->mutex) == 0);
}

void hf_lock_take(struct hf_lock *lock)
{
    HF_CHECK(pthread_mutex_lock(&lock->mutex) == 0);
}

void hf_lock_release(struct hf_lock *lock)
{
    HF_CHECK(pthread_mutex_unlock(&lock->mutex) == 0);
}

/* Wait until end_us (hf_mono_us scale, <0: for ever). */
static bool wait_until(struct hf_lock *lock, int64_t end_us)
{
    struct timespec end = {
        .tv_sec = (time_t)(end_us / HF_US_PER_S),
        .tv_nsec = (long)(end_us % HF_US_PER_S) * 1000,
    };

    if (end_us < 0) {
        HF_CHECK(pthread_cond_wait(&lock->changed, &lock->mutex) == 0);
        return true;
    }
    int error = pthread_cond_timedwait(&lock->changed, &lock->mutex, &end);
    HF_CHECK(error == 0 || error == ETIMEDOUT);
    return error == 0;
}

static int64_t end_of(int timeout_ms)
{
    return timeout_ms < 0 ? -1 : hf_mono_us() + (int64_t)timeout_ms * 1000;
}

bool hf_lock_wait(struct hf_lock *lock, int timeout_ms)
{
    return wait_until(lock, end_of(timeout_ms));
}

void hf_lock_wake(struct hf_lock *lock)
{
    HF_CHECK(pthread_cond_broadcast(&lock->changed) == 0);
}

struct hf_queue {
    struct hf_lock lock; /* guards all below */
    bool is_closed;
    size_t cap;
    size_t first;
    size_t len;
    void *items[];
};

struct hf_queue *hf_queue_new(size_t capacity)
{
    HF_CHECK(capacity > 0 && capacity < SIZE_MAX / sizeof(void *) / 2);
    struct hf_queue *queue = hf_heap_alloc(sizeof(*queue) + capacity * sizeof(queue->items[0]));

    hf_lock_init(&queue->lock);
    queue->cap = capacity;
    return queue;
}

void hf_queue_free(struct hf_queue *queue)
{
    if (queue == NULL) {
        return;
    }
    hf_lock_done(&queue->lock);
    hf_heap_free(queue);
}

bool hf_queue_push(struct hf_queue *queue, void *item, int timeout_ms)
{
    int64_t end_us = end_of(timeout_ms);
    bool is_in_time = true;

    hf_lock_take(&queue->lock);
    while (!queue->is_closed && queue->len == queue->cap && is_in_time) {
        is_in_time = wait_until(&queue->lock, end_us);
    }
    bool has_room = !queue->is_closed && queue->len < queue->cap;
    if (has_room) {
        queue->items[(queue->first + queue->len) % queue->cap] = item;
        queue->len++;
        hf_lock_wake(&queue->lock);
    }
    hf_lock_release(&queue->lock);
    return has_room;
}

enum hf_pop hf_queue_pop(struct hf_queue *queue, int timeout_ms, void **ret_item)
{
    int64_t end_us = end_of(timeout_ms);
    bool is_in_time = true;

    hf_lock_take(&queue->lock);
    while (!queue->is_closed && queue->len == 0 && is_in_time) {
        is_in_time = wait_until(&queue->lock, end_us);
    }
    enum hf_pop result = queue->is_closed ? HF_POP_CLOSED : HF_POP_TIMEOUT;
    if (queue->len > 0) {
        *ret_item = queue->items[queue->first];
        queue->first = (queue->first + 1) % queue->cap;
        queue->len--;
        hf_lock_wake(&queue->lock);
        result = HF_POP_ITEM;
    }
    hf_lock_release(&queue->lock);
    return result;
}

void hf_queue_close(struct hf_queue *queue)
{
    hf_lock_take(&queue->lock);
    queue->is_closed = true;
    hf_lock_wake(&queue->lock);
    hf_lock_release(&queue->lock);
}

size_t hf_queue_len(struct hf_queue *queue)
{
    hf_lock_take(&queue->lock);
    size_t len = queue->len;
    hf_lock_release(&queue->lock);
    return len;
}

struct hf_pool {
    struct hf_queue *queue;
    void (*fn)(void *item, void *arg);
    void *arg;
    size_t count;
    struct hf_thread *threads[];
};

static void pool_main(void *arg)
{
    struct hf_pool *pool = arg;
    void *item = NULL;

    while (hf_queue_pop(pool->queue, -1, &item) == HF_POP_ITEM) {
        pool->fn(item, pool->arg);
    }
}

struct hf_pool *hf_pool_new(const char *name, size_t count, size_t capacity,
                            void (*fn)(void *item, void *arg), void *arg)
{
    HF_CHECK(count > 0 && count <= 1024);
    struct hf_pool *pool = hf_heap_alloc(sizeof(*pool) + count * sizeof(pool->threads[0]));

    pool->queue = hf_queue_new(capacity);
    pool->fn = fn;
    pool->arg = arg;
    pool->count = count;
    for (size_t i = 0; i < count; i++) {
        pool->threads[i] = hf_thread_start(name, pool_main, pool);
    }
    return pool;
}

bool hf_pool_push(struct hf_pool *pool, void *item, int timeout_ms)
{
    return hf_queue_push(pool->queue, item, timeout_ms);
}

void hf_pool_free(struct hf_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    hf_queue_close(pool->queue);
    for (size_t i = 0; i < pool->count; i++) {
        hf_thread_join(pool->threads[i]);
    }
    hf_queue_free(pool->queue);
    hf_heap_free(pool);
}

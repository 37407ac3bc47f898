/* Threads and bounded queues. Threads are made here only. Messages have one owner; a queue
 * transfers it. Every wait has a deadline. Signals are blocked in all threads made here. */
#ifndef HF_BASE_POOL_H
#define HF_BASE_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/status.h"

struct hf_thread;
/* name ≤ 15 characters. stack 512 KiB. NULL: the system has none to give now (RLIMIT_NPROC,
 * TasksMax, pids.max), nothing is started. For all that data, rows or clients ask for. */
struct hf_thread *hf_thread_try(const char *name, void (*fn)(void *arg), void *arg);
/* RESOURCE_EXHAUSTED that says so. */
struct hf_status hf_thread_refused(struct hf_arena *arena) HF_MUST_USE;
/* The same, for the threads without which a process cannot be: aborts when the system refuses. */
struct hf_thread *hf_thread_start(const char *name, void (*fn)(void *arg), void *arg);
void hf_thread_join(struct hf_thread *thread); /* accepts NULL; frees it */

enum hf_pop { HF_POP_ITEM, HF_POP_TIMEOUT, HF_POP_CLOSED };

/* Bounded multi-producer multi-consumer queue of pointers. */
struct hf_queue;
struct hf_queue *hf_queue_new(size_t capacity);
void hf_queue_free(struct hf_queue *queue); /* accepts NULL; must be empty or items leak */
/* Wait for room up to timeout_ms (<0: for ever). False: timed out or closed; item stays ours. */
bool hf_queue_push(struct hf_queue *queue, void *item, int timeout_ms);
/* HF_POP_CLOSED only when closed *and* empty. */
enum hf_pop hf_queue_pop(struct hf_queue *queue, int timeout_ms, void **ret_item);
void hf_queue_close(struct hf_queue *queue);
size_t hf_queue_len(struct hf_queue *queue);

/* count threads that run fn(item, arg) for each pushed item. */
struct hf_pool;
struct hf_pool *hf_pool_new(const char *name, size_t count, size_t capacity,
                            void (*fn)(void *item, void *arg), void *arg);
bool hf_pool_push(struct hf_pool *pool, void *item, int timeout_ms);
/* Close, run what is queued, join, free. Accepts NULL. */
void hf_pool_free(struct hf_pool *pool);

/* Mutex + condition in one; wait has a timeout on CLOCK_MONOTONIC. */
struct hf_lock {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
};
void hf_lock_init(struct hf_lock *lock);
void hf_lock_done(struct hf_lock *lock);
void hf_lock_take(struct hf_lock *lock);
void hf_lock_release(struct hf_lock *lock);
/* Caller holds the lock. False after timeout_ms (<0: for ever). */
bool hf_lock_wait(struct hf_lock *lock, int timeout_ms);
void hf_lock_wake(struct hf_lock *lock); /* all waiters */

HF_DEFINE_CLEANUP(struct hf_thread *, hf_thread_join)
HF_DEFINE_CLEANUP(struct hf_queue *, hf_queue_free)
HF_DEFINE_CLEANUP(struct hf_pool *, hf_pool_free)

#endif

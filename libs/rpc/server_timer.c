/* rpc_stream_wake_after: one thread that sleeps until the nearest due stream. A list is enough,
 * there are at most max_streams timers. */
#include "base/clock.h"
#include "rpc/server_core.h"

#define LOOK_MS 1000

/* Wake what is due and return the milliseconds to the next, LOOK_MS at most. Caller holds
 * timer_lock, which keeps the streams alive: their end passes through rpc_timer_forget. */
static int fire(struct rpc_server *server)
{
    struct rpc_stream **link = &server->timers;
    int64_t now_us = hf_mono_us();
    int64_t next_us = 0;
    while (*link != NULL) {
        struct rpc_stream *call = *link;
        if (call->wake_at_us <= now_us) {
            *link = call->next_timer;
            call->wake_at_us = 0;
            rpc_stream_wake(call);
            continue;
        }
        if (next_us == 0 || call->wake_at_us < next_us) {
            next_us = call->wake_at_us;
        }
        link = &call->next_timer;
    }
    int64_t wait_ms = next_us == 0 ? LOOK_MS : (next_us - now_us) / 1000 + 1;
    return wait_ms < LOOK_MS ? (int)wait_ms : LOOK_MS;
}

static void timer_main(void *arg)
{
    struct rpc_server *server = arg;
    hf_lock_take(&server->timer_lock);
    while (!server->is_timer_stopped) {
        int wait_ms = fire(server);
        (void)hf_lock_wait(&server->timer_lock, wait_ms);
    }
    hf_lock_release(&server->timer_lock);
}

static void unlink_timer(struct rpc_stream *call)
{
    struct rpc_stream **link = &call->server->timers;
    if (call->wake_at_us == 0) {
        return;
    }
    while (*link != NULL && *link != call) {
        link = &(*link)->next_timer;
    }
    if (*link == call) {
        *link = call->next_timer;
    }
    call->wake_at_us = 0;
}

void rpc_timer_forget(struct rpc_stream *call)
{
    hf_lock_take(&call->server->timer_lock);
    unlink_timer(call);
    hf_lock_release(&call->server->timer_lock);
}

/* Caller holds timer_lock. */
static void link_timer(struct rpc_stream *call, int ms)
{
    unlink_timer(call);
    if (ms > 0) {
        call->wake_at_us = hf_mono_us() + INT64_C(1000) * ms;
        call->next_timer = call->server->timers;
        call->server->timers = call;
    }
}

void rpc_timer_remind(struct rpc_stream *call, int ms)
{
    hf_lock_take(&call->server->timer_lock);
    link_timer(call, ms);
    hf_lock_release(&call->server->timer_lock);
}

void rpc_stream_wake_after(struct rpc_stream *stream, int ms)
{
    struct rpc_server *server = stream->server;
    hf_lock_take(&server->timer_lock);
    link_timer(stream, ms);
    hf_lock_wake(&server->timer_lock);
    hf_lock_release(&server->timer_lock);
}

void rpc_timer_start(struct rpc_server *server)
{
    server->timer = hf_thread_start("rpc-timer", timer_main, server);
}

void rpc_timer_stop(struct rpc_server *server)
{
    hf_lock_take(&server->timer_lock);
    server->is_timer_stopped = true;
    hf_lock_wake(&server->timer_lock);
    hf_lock_release(&server->timer_lock);
    hf_thread_join(server->timer);
    server->timer = NULL;
}

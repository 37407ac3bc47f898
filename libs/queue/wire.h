/* One Redis connection: commands with a deadline, reconnection with a pause. Inside libs/queue
 * only; one thread. */
#ifndef HF_QUEUE_WIRE_H
#define HF_QUEUE_WIRE_H

#include <hiredis/hiredis.h>

#include "queue/queue.h"

struct queue_wire {
    redisContext *redis;                                       /* NULL: not connected */
    int64_t retry_us;                                          /* hf_mono_us: not before */
    int pause_ms;                                              /* last pause, doubles */
    bool is_waiting;                                           /* a blocking pop is on its way */
    redisReplyObjectFunctions functions;                       /* of the connection's reader */
    void *(*create_array)(const redisReadTask *task, int len); /* the library's */
};

static inline void redis_reply_cleanup(redisReply **reply)
{
    if (*reply != NULL) {
        freeReplyObject(*reply);
        *reply = NULL;
    }
}

/* Connected and authenticated, or UNAVAILABLE (at once during the pause). */
struct hf_status queue_wire_open(struct hf_ctx *ctx, struct queue_wire *wire,
                                 const struct queue_options *options) HF_MUST_USE;
/* Drop the connection and begin (or lengthen) the pause. */
void queue_wire_drop(struct queue_wire *wire);
void queue_wire_done(struct queue_wire *wire);

/* Bound what one reply may take: part of queue_wire_open. The wire then stays where it is. */
void queue_wire_bound(struct queue_wire *wire);

/* Send without waiting for the answer. */
struct hf_status queue_wire_send(struct hf_ctx *ctx, struct queue_wire *wire, int argc,
                                 const char **argv, const size_t *lens) HF_MUST_USE;
/* The next answer, waiting at most max_ms (also until wake_fd, when ≥ 0, is readable).
 * ret_reply NULL: not yet there. Error replies are returned as such. */
struct hf_status queue_wire_read(struct hf_ctx *ctx, struct queue_wire *wire, int wake_fd,
                                 int max_ms, redisReply **ret_reply) HF_MUST_USE;

#endif

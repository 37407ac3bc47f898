/* The doorbell. Two connections: one for commands, one on which a blocking pop may be on its way
 * for longer than a single queue_wait. A missing function library is loaded and the call repeated.
 */
#include "queue/queue.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/str.h"
#include "base/vec.h"
#include "queue/holdfast_jobs_lua.h"
#include "queue/wire.h"

#define COMMAND_MS 5000
#define PUSH_MAX 1000
#define WANTS_MAX 64
#define WAIT_SECONDS "2"

struct queue {
    struct queue_options options; /* constant; its texts: */
    char *address;
    char *user;
    char *password;
    char *prefix;
    struct queue_wire command;
    struct queue_wire wait;
};

struct args {
    HF_VEC(const char *) texts;
};

/* Commands of this file, and those that the functions of holdfast_jobs.lua call. */
const char *queue_acl(void)
{
    return "~* resetchannels -@all +auth +ping +function|load +fcall +blpop "
           "+exists +expire +hexists +hget +hincrbyfloat +hset +keys +llen +lpush +set "
           "+zadd +zcard +zincrby +zpopmin +zrange +zrem +zscore";
}

struct queue *queue_new(const struct queue_options *options)
{
    struct queue *queue = hf_heap_alloc(sizeof(*queue));

    queue->address = hf_heap_strdup(options->address);
    queue->user = options->user == NULL ? NULL : hf_heap_strdup(options->user);
    queue->password = options->password == NULL ? NULL : hf_heap_strdup(options->password);
    queue->prefix = hf_heap_strdup(options->prefix);
    queue->options =
        (struct queue_options){queue->address, queue->user, queue->password, queue->prefix};
    return queue;
}

void queue_free(struct queue *queue)
{
    if (queue == NULL) {
        return;
    }
    queue_wire_done(&queue->command);
    queue_wire_done(&queue->wait);
    hf_heap_free(queue->address);
    hf_heap_free(queue->user);
    hf_heap_free(queue->password);
    hf_heap_free(queue->prefix);
    hf_heap_free(queue);
}

static void add(struct hf_arena *arena, struct args *args, const char *text)
{
    *HF_VEC_ADD(arena, &args->texts) = text;
}

/* FCALL function 1 prefix … */
static void add_call(struct hf_arena *arena, struct args *args, const struct queue *queue,
                     const char *function)
{
    add(arena, args, "FCALL");
    add(arena, args, function);
    add(arena, args, "1");
    add(arena, args, hf_printf(arena, "{hf:%s}", queue->options.prefix));
}

static struct hf_status send_args(struct hf_ctx *ctx, struct queue_wire *wire,
                                  const struct args *args)
{
    size_t *lens = HF_NEW_N(ctx->arena, size_t, args->texts.len);

    for (size_t i = 0; i < args->texts.len; i++) {
        lens[i] = strlen(args->texts.items[i]);
    }
    return queue_wire_send(ctx, wire, (int)args->texts.len, args->texts.items, lens);
}

static struct hf_status exchange(struct hf_ctx *ctx, struct queue *queue, const struct args *args,
                                 redisReply **ret_reply)
{
    redisReply *reply = NULL;

    HF_TRY(queue_wire_open(ctx, &queue->command, &queue->options));
    HF_TRY(send_args(ctx, &queue->command, args));
    struct hf_status status = queue_wire_read(ctx, &queue->command, -1, COMMAND_MS, &reply);
    if (hf_is_ok(status) && reply != NULL) {
        queue->command.pause_ms = 0; /* only now: one that closes after each greeting is slowed */
        *ret_reply = reply;
        return hf_success();
    }
    /* An answer that comes later would be taken for that of the next command. */
    queue_wire_drop(&queue->command);
    if (!hf_is_ok(status)) {
        return status;
    }
    return hf_fail(ctx->arena, HF_UNAVAILABLE, "Redis at %s does not answer",
                   queue->options.address);
}

static bool has_error(const redisReply *reply, const char *text)
{
    return reply->type == REDIS_REPLY_ERROR && strstr(reply->str, text) != NULL;
}

static struct hf_status reply_status(struct hf_ctx *ctx, const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ERROR) {
        return hf_success();
    }
    bool is_full = strncmp(reply->str, "OOM", 3) == 0 || has_error(reply, "OOM command");
    return hf_fail(ctx->arena, is_full ? HF_RESOURCE_EXHAUSTED : HF_UNAVAILABLE, "Redis: %.200s",
                   reply->str);
}

static struct hf_status load_functions(struct hf_ctx *ctx, struct queue *queue)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;
    struct args args = {0};

    add(ctx->arena, &args, "FUNCTION");
    add(ctx->arena, &args, "LOAD");
    add(ctx->arena, &args, "REPLACE");
    add(ctx->arena, &args, text_holdfast_jobs);
    HF_TRY(exchange(ctx, queue, &args, &reply));
    HF_CHECK(reply != NULL);
    return hf_wrap(ctx->arena, reply_status(ctx, reply), "loading the job functions");
}

static struct hf_status call(struct hf_ctx *ctx, struct queue *queue, const struct args *args,
                             redisReply **ret_reply)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;

    HF_TRY(exchange(ctx, queue, args, &reply));
    if (reply != NULL && has_error(reply, "Function not found")) {
        HF_TRY(load_functions(ctx, queue));
        freeReplyObject(HF_TAKE(reply));
        HF_TRY(exchange(ctx, queue, args, &reply));
    }
    HF_CHECK(reply != NULL);
    HF_TRY(reply_status(ctx, reply));
    *ret_reply = HF_TAKE(reply);
    return hf_success();
}

/* Scores stay below 2^53: Lua's numbers are doubles. */
static const char *score_of(struct hf_arena *arena, const struct queue_item *item)
{
    int64_t score = (int64_t)item->priority * INT64_C(10000000000000) + item->ready_us / 1000;
    return hf_printf(arena, "%lld", (long long)score);
}

struct hf_status queue_push(struct hf_ctx *ctx, struct queue *queue, const struct queue_item *items,
                            size_t len)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;
    struct args args = {0};

    HF_CHECK(len <= PUSH_MAX);
    if (len == 0) {
        return hf_success();
    }
    add_call(ctx->arena, &args, queue, "hf_push_1");
    for (size_t i = 0; i < len; i++) {
        add(ctx->arena, &args, items[i].lane);
        add(ctx->arena, &args, items[i].tenant);
        add(ctx->arena, &args, items[i].id);
        add(ctx->arena, &args, score_of(ctx->arena, &items[i]));
    }
    return call(ctx, queue, &args, &reply);
}

struct hf_status queue_mark_complete(struct hf_ctx *ctx, struct queue *queue)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;
    struct args args = {0};

    add_call(ctx->arena, &args, queue, "hf_complete_1");
    return call(ctx, queue, &args, &reply);
}

static const char *text_at(struct hf_arena *arena, const redisReply *reply, size_t i)
{
    const redisReply *item = reply->element[i];
    return item->type == REDIS_REPLY_STRING ? hf_strndup(arena, item->str, (size_t)item->len) : "";
}

static struct hf_status decode_claim(struct hf_ctx *ctx, const redisReply *reply,
                                     struct queue_claim *ret_claim)
{
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements % 3 != 1) {
        return hf_fail(ctx->arena, HF_INTERNAL, "Redis answered a claim with another shape");
    }
    size_t len = reply->elements / 3;
    ret_claim->is_incomplete =
        reply->element[0]->type != REDIS_REPLY_INTEGER || reply->element[0]->integer == 0;
    ret_claim->items = HF_NEW_N(ctx->arena, struct queue_item, len + 1);
    ret_claim->len = len;
    for (size_t i = 0; i < len; i++) {
        ret_claim->items[i] = (struct queue_item){
            .lane = text_at(ctx->arena, reply, 1 + 3 * i),
            .tenant = text_at(ctx->arena, reply, 2 + 3 * i),
            .id = text_at(ctx->arena, reply, 3 + 3 * i),
        };
    }
    return hf_success();
}

struct hf_status queue_claim(struct hf_ctx *ctx, struct queue *queue,
                             const struct queue_request *request, struct queue_claim *ret_claim)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;
    struct args args = {0};

    HF_CHECK(request->wants_len <= WANTS_MAX && request->skip_len <= QUEUE_SKIP_MAX);
    add_call(ctx->arena, &args, queue, "hf_claim_1");
    add(ctx->arena, &args, hf_printf(ctx->arena, "%zu", request->skip_len));
    for (size_t i = 0; i < request->skip_len; i++) {
        add(ctx->arena, &args, request->skip_tenants[i]);
    }
    for (size_t i = 0; i < request->wants_len; i++) {
        add(ctx->arena, &args, request->wants[i].lane);
        add(ctx->arena, &args, hf_printf(ctx->arena, "%zu", request->wants[i].count));
    }
    HF_TRY(call(ctx, queue, &args, &reply));
    return decode_claim(ctx, reply, ret_claim);
}

/* Start a blocking pop of the wake item unless one is on its way. */
static struct hf_status start_wait(struct hf_ctx *ctx, struct queue *queue)
{
    struct args args = {0};

    HF_TRY(queue_wire_open(ctx, &queue->wait, &queue->options));
    if (queue->wait.is_waiting) {
        return hf_success();
    }
    add(ctx->arena, &args, "BLPOP");
    add(ctx->arena, &args, hf_printf(ctx->arena, "{hf:%s}:wake", queue->options.prefix));
    add(ctx->arena, &args, WAIT_SECONDS);
    HF_TRY(send_args(ctx, &queue->wait, &args));
    queue->wait.is_waiting = true;
    return hf_success();
}

struct hf_status queue_wait(struct hf_ctx *ctx, struct queue *queue, int wake_fd, int wait_ms)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;

    HF_TRY(start_wait(ctx, queue));
    HF_TRY(queue_wire_read(ctx, &queue->wait, wake_fd, wait_ms, &reply));
    if (reply != NULL) {
        queue->wait.is_waiting = false;
        queue->wait.pause_ms = 0;
        return reply_status(ctx, reply);
    }
    return hf_success();
}

struct hf_status queue_charge(struct hf_ctx *ctx, struct queue *queue, const char *lane,
                              const char *tenant, int64_t run_us)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;
    struct args args = {0};

    add_call(ctx->arena, &args, queue, "hf_charge_1");
    add(ctx->arena, &args, lane);
    add(ctx->arena, &args, tenant);
    add(ctx->arena, &args,
        hf_printf(ctx->arena, "%lld.%06lld", (long long)(run_us / HF_US_PER_S),
                  (long long)(run_us % HF_US_PER_S)));
    return call(ctx, queue, &args, &reply);
}

struct hf_status queue_depth(struct hf_ctx *ctx, struct queue *queue, int64_t *ret_depth)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;
    struct args args = {0};

    add_call(ctx->arena, &args, queue, "hf_depth_1");
    HF_TRY(call(ctx, queue, &args, &reply));
    *ret_depth = reply->integer;
    return hf_success();
}

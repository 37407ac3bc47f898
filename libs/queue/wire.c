/* hiredis without its blocking calls: its formatter and reader over a socket that is polled here,
 * so that deadlines, cancellation and a second descriptor can end a wait. */
#include "queue/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 5000
#define COMMAND_MS 5000
#define REPLY_MAX_BYTES ((size_t)8 << 20)
#define REPLY_MAX_ITEMS 65536 /* of one array; the longest we ask for is a page of ids */

/* hiredis asks for the memory of an array on the peer's word: a length alone would be gigabytes. */
static void *create_array(const redisReadTask *task, int len)
{
    const struct queue_wire *wire = task->privdata;

    return len > REPLY_MAX_ITEMS ? NULL : wire->create_array(task, len);
}

void queue_wire_bound(struct queue_wire *wire)
{
    redisReader *reader = wire->redis->reader;

    wire->functions = *reader->fn;
    wire->create_array = wire->functions.createArray;
    wire->functions.createArray = create_array;
    reader->fn = &wire->functions;
    reader->privdata = wire;
}

void queue_wire_done(struct queue_wire *wire)
{
    if (wire->redis != NULL) {
        redisFree(wire->redis);
        wire->redis = NULL;
    }
    wire->is_waiting = false;
}

void queue_wire_drop(struct queue_wire *wire)
{
    uint32_t dice = 0;

    queue_wire_done(wire);
    hf_random(&dice, sizeof(dice));
    wire->pause_ms = wire->pause_ms == 0 ? PAUSE_MIN_MS : wire->pause_ms * 2;
    wire->pause_ms = wire->pause_ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : wire->pause_ms;
    int jittered_ms = wire->pause_ms / 2 + (int)(dice % (unsigned)wire->pause_ms);
    wire->retry_us = hf_mono_us() + (int64_t)jittered_ms * 1000;
}

static struct hf_status lost(struct hf_ctx *ctx, struct queue_wire *wire)
{
    const char *words =
        wire->redis != NULL && wire->redis->err != 0 ? wire->redis->errstr : "not connected";
    struct hf_status status = hf_fail(ctx->arena, HF_UNAVAILABLE, "Redis: %s", words);

    queue_wire_drop(wire);
    return status;
}

/* send() instead of hiredis' own write: a peer that is gone must be an error, not a signal. */
static struct hf_status send_all(struct hf_ctx *ctx, struct queue_wire *wire, const char *bytes,
                                 size_t len)
{
    int64_t end_us = hf_mono_us() + COMMAND_MS * 1000;
    size_t sent = 0;

    while (sent < len) {
        ssize_t count = send(wire->redis->fd, bytes + sent, len - sent, MSG_NOSIGNAL);
        if (count >= 0) {
            sent += (size_t)count;
            continue;
        }
        if ((errno != EAGAIN && errno != EINTR) || hf_mono_us() > end_us) {
            return lost(ctx, wire);
        }
        short ready = 0;
        struct hf_status status = hf_ctx_wait_fd(ctx, wire->redis->fd, POLLOUT, 200, &ready);
        if (!hf_is_ok(status)) {
            queue_wire_drop(wire); /* half a command is on its way */
            return status;
        }
    }
    return hf_success();
}

struct hf_status queue_wire_send(struct hf_ctx *ctx, struct queue_wire *wire, int argc,
                                 const char **argv, const size_t *lens)
{
    char *command = NULL;

    HF_CHECK(wire->redis != NULL);
    int len = redisFormatCommandArgv(&command, argc, argv, lens);
    HF_CHECK(len > 0);
    struct hf_status status = send_all(ctx, wire, command, (size_t)len);
    redisFreeCommand(command);
    return status;
}

/* Wait for either descriptor. */
static struct hf_status wait_either(struct hf_ctx *ctx, int fd, int wake_fd, int max_ms,
                                    bool *ret_is_readable, bool *ret_is_woken)
{
    struct pollfd polled[2] = {{.fd = fd, .events = POLLIN}, {.fd = wake_fd, .events = POLLIN}};

    HF_TRY(hf_ctx_check(ctx));
    int count = poll(polled, wake_fd >= 0 ? 2 : 1, hf_ctx_poll_ms(ctx, max_ms));
    *ret_is_readable = count > 0 && polled[0].revents != 0;
    *ret_is_woken = count > 0 && wake_fd >= 0 && polled[1].revents != 0;
    return hf_success();
}

struct hf_status queue_wire_read(struct hf_ctx *ctx, struct queue_wire *wire, int wake_fd,
                                 int max_ms, redisReply **ret_reply)
{
    int64_t end_us = hf_mono_us() + (int64_t)max_ms * 1000;
    void *reply = NULL;

    for (;;) {
        if (redisGetReplyFromReader(wire->redis, &reply) != REDIS_OK) {
            return lost(ctx, wire);
        }
        int64_t left_ms = (end_us - hf_mono_us()) / 1000;
        if (reply != NULL || left_ms <= 0) {
            *ret_reply = reply;
            return hf_success();
        }
        bool is_readable = false;
        bool is_woken = false;
        HF_TRY(wait_either(ctx, wire->redis->fd, wake_fd, (int)left_ms, &is_readable, &is_woken));
        if (is_readable && (redisBufferRead(wire->redis) != REDIS_OK ||
                            wire->redis->reader->len > REPLY_MAX_BYTES)) {
            return lost(ctx, wire);
        }
        if (is_woken && !is_readable) {
            *ret_reply = NULL;
            return hf_success();
        }
    }
}

static struct hf_status authenticate(struct hf_ctx *ctx, struct queue_wire *wire,
                                     const struct queue_options *options)
{
    HF_CLEANUP(redis_reply) redisReply *reply = NULL;
    const char *argv[3] = {"PING"};
    size_t lens[3];
    int len = 1;

    if (options->password != NULL) {
        argv[0] = "AUTH";
        if (options->user != NULL) {
            argv[len++] = options->user;
        }
        argv[len++] = options->password;
    }
    for (int i = 0; i < len; i++) {
        lens[i] = strlen(argv[i]);
    }
    HF_TRY(queue_wire_send(ctx, wire, len, argv, lens));
    HF_TRY(queue_wire_read(ctx, wire, -1, COMMAND_MS, &reply));
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        queue_wire_drop(wire);
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "Redis at %s: %s", options->address,
                       reply == NULL ? "no answer" : reply->str);
    }
    return hf_success();
}

static redisContext *dial(struct hf_arena *arena, const char *address)
{
    const struct timeval timeout = {.tv_sec = 2, .tv_usec = 0};
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;

    if (address[0] == '/') {
        return redisConnectUnixWithTimeout(address, timeout);
    }
    if (colon == NULL || !hf_parse_u64(colon + 1, &port) || port > 65535) {
        return NULL;
    }
    return redisConnectWithTimeout(hf_strndup(arena, address, (size_t)(colon - address)), (int)port,
                                   timeout);
}

struct hf_status queue_wire_open(struct hf_ctx *ctx, struct queue_wire *wire,
                                 const struct queue_options *options)
{
    if (wire->redis != NULL) {
        return hf_success();
    }
    if (hf_mono_us() < wire->retry_us) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "Redis at %s is not reachable",
                       options->address);
    }
    wire->redis = dial(ctx->arena, options->address);
    if (wire->redis == NULL || wire->redis->err != 0) {
        return lost(ctx, wire);
    }
    queue_wire_bound(wire);
    /* From here on the socket is polled, never blocked on. */
    int flags = fcntl(wire->redis->fd, F_GETFL, 0);
    HF_CHECK(flags >= 0 && fcntl(wire->redis->fd, F_SETFL, flags | O_NONBLOCK) == 0);
    wire->redis->flags &= ~REDIS_BLOCK;
    return authenticate(ctx, wire, options);
}

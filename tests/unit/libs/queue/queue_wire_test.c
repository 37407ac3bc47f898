/* A Redis that promises more than it sends: lost at once, not believed. */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "queue/wire.h"
#include "tests/unit/unit.h"

enum { PIECE = 65536, PIECES = 256 };

struct redis {
    struct hf_ctx ctx;
    struct queue_wire wire;
    int fd;
};

static void open_redis(struct redis *redis)
{
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    *redis = (struct redis){.fd = pair[0]};
    redis->ctx.arena = hf_arena_new(1 << 20);
    redis->wire.redis = redisConnectFd(pair[1]);
    assert_non_null(redis->wire.redis);
    queue_wire_bound(&redis->wire);
}

static void close_redis(struct redis *redis)
{
    queue_wire_done(&redis->wire);
    hf_arena_free(redis->ctx.arena);
    close(redis->fd);
}

static void test_wire__an_array_is_not_believed(void **state)
{
    static const char *const promises[] = {"*2147483647\r\n", "*1\r\n*2000000000\r\n",
                                           "*65537\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(promises) / sizeof(promises[0]); i++) {
        struct redis redis;
        redisReply *reply = NULL;
        int64_t began_us = hf_mono_us();

        open_redis(&redis);
        assert_int_equal(write(redis.fd, promises[i], strlen(promises[i])), strlen(promises[i]));
        struct hf_status status = queue_wire_read(&redis.ctx, &redis.wire, -1, 5000, &reply);

        assert_int_equal(status.code, HF_UNAVAILABLE);
        assert_true(hf_mono_us() - began_us < 2 * HF_US_PER_S);
        close_redis(&redis);
    }
}

static void test_wire__an_endless_text_is_cut_off(void **state)
{
    static const char head[] = "$1000000000\r\n";
    static char piece[PIECE];
    struct redis redis;
    redisReply *reply = NULL;
    struct hf_status status = {.code = HF_OK};

    (void)state;
    open_redis(&redis);
    assert_int_equal(write(redis.fd, head, sizeof(head) - 1), sizeof(head) - 1);
    for (int i = 0; i < PIECES && hf_is_ok(status); i++) {
        (void)!write(redis.fd, piece, sizeof(piece));
        status = queue_wire_read(&redis.ctx, &redis.wire, -1, 20, &reply);
        assert_null(reply);
    }
    assert_int_equal(status.code, HF_UNAVAILABLE);
    close_redis(&redis);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire__an_array_is_not_believed),
        cmocka_unit_test(test_wire__an_endless_text_is_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

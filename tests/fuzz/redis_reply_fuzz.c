/* A Redis that answers anything: each reply is one, or the connection is lost; never more memory
 * than was sent, never a wait for what cannot come. */
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "queue/wire.h"
#include "tests/fuzz/fuzz.h"

enum { ARENA_BYTES = 4 << 20, INPUT_MAX = 32768, REPLIES_MAX = 65536, WAIT_MS = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(ARENA_BYTES);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = hf_mono_us() + 5 * HF_US_PER_S};
    struct queue_wire wire = {.redis = NULL};
    int pair[2];

    if (size > INPUT_MAX) {
        return 0;
    }
    HF_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    HF_CHECK(write(pair[0], data, size) == (ssize_t)size);
    close(pair[0]);
    wire.redis = redisConnectFd(pair[1]);
    HF_CHECK(wire.redis != NULL);
    queue_wire_bound(&wire);
    struct hf_status status = hf_success();

    for (int i = 0; i < REPLIES_MAX && hf_is_ok(status); i++) {
        HF_CLEANUP(redis_reply) redisReply *reply = NULL;

        status = queue_wire_read(&ctx, &wire, -1, WAIT_MS, &reply);
        HF_CHECK(!hf_is_ok(status) || reply != NULL);
    }
    HF_CHECK(status.code == HF_UNAVAILABLE);
    queue_wire_done(&wire);
    return 0;
}

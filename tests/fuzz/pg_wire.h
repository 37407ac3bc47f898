/* A replication connection whose server is the input: bytes in a socket, then its end. */
#ifndef HF_TESTS_FUZZ_PG_WIRE_H
#define HF_TESTS_FUZZ_PG_WIRE_H

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "pgwire/internal.h"

enum { FUZZ_ARENA_BYTES = 16 << 20, FUZZ_INPUT_MAX = 65536, FUZZ_ANSWER_MS = 1000 };

struct fuzz_server {
    struct hf_ctx ctx;
    struct pgwire_conn conn;
    int fd;
};

/* False: the input does not fit into a socket. */
static inline bool fuzz_server_open(struct fuzz_server *server, const uint8_t *data, size_t size)
{
    int room = 4 * FUZZ_INPUT_MAX;
    int pair[2];

    if (size > FUZZ_INPUT_MAX) {
        return false;
    }
    HF_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    HF_CHECK(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
    HF_CHECK(write(pair[0], data, size) == (ssize_t)size);
    HF_CHECK(shutdown(pair[0], SHUT_WR) == 0);
    *server = (struct fuzz_server){.fd = pair[0]};
    server->ctx.arena = hf_arena_new(FUZZ_ARENA_BYTES);
    server->ctx.deadline_us = hf_mono_us() + 5 * HF_US_PER_S;
    server->conn.mode = PGWIRE_REPLICATION;
    server->conn.answer_ms = FUZZ_ANSWER_MS;
    server->conn.is_idle = true;
    server->conn.password = hf_heap_strdup("");
    server->conn.peer = hf_heap_strdup("fuzz");
    hf_buf_init(&server->conn.notices, PGWIRE_NOTICES_MAX);
    hf_buf_init(&server->conn.rows, PGWIRE_ROWS_BYTES_MAX);
    pgwire_wire_init(&server->conn.wire, pair[1], NULL);
    return true;
}

static inline void fuzz_server_close(struct fuzz_server *server)
{
    close(server->conn.wire.fd);
    pgwire_wire_done(&server->conn.wire);
    hf_buf_done(&server->conn.notices);
    hf_buf_done(&server->conn.rows);
    hf_heap_free(server->conn.password);
    hf_heap_free(server->conn.peer);
    hf_arena_free(server->ctx.arena);
    close(server->fd);
}

/* An end that a caller may see: what the server said has a reason, a text is a text. */
static inline void fuzz_check_status(struct hf_status status)
{
    HF_CHECK(status.code != HF_UNKNOWN && (status.code != HF_INTERNAL || status.info != NULL));
    HF_CHECK(hf_is_ok(status) || hf_is_utf8(status.message, strlen(status.message)));
}

#endif

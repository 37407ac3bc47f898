/* Messages over the socket that libpq connected: from authentication on, every byte is taken here.
 *
 * Surprise: libpq makes room for whatever length a message claims and keeps all rows of an answer,
 * so a server could fill this process's memory through it. It connects, authenticates and owns TLS;
 * its queries are never used. Here a message has a ceiling, a text beyond its ceiling is skipped
 * without being stored, and what comes besides the answer (notices, parameters) is counted. */
#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "base/clock.h"
#include "pgwire/internal.h"

#define HEADER 5
#define BUFFER_FIRST ((size_t)128 << 10)
#define BUFFER_KEPT ((size_t)512 << 10) /* a larger one is given back when it is empty */
#define TEXT_KEPT ((size_t)64 << 10)    /* of an error or notice; the rest is skipped */
#define TEXT_MAX ((size_t)16 << 20)     /* beyond it is no text */
#define SMALL_MAX ((size_t)64 << 10)
#define ASIDES_MAX ((size_t)1 << 20) /* notices, parameters … between two messages that count */
#define NOTICE_SHOWN 500
#define CONNECT_BYTES_MAX ((uint64_t)1 << 20) /* certificates and greetings */
#define CONNECT_WINDOW (32 << 10)
#define WINDOW_WIDE (1 << 30)
#define OUT_MAX ((size_t)1 << 20)

/* What a message type may weigh. Types that no server sends to a client like us are not listed. */
static const struct limit {
    char type;
    size_t max;
    size_t kept;
} limits[] = {
    {'d', PGWIRE_MESSAGE_MAX, PGWIRE_MESSAGE_MAX},
    {'D', PGWIRE_MESSAGE_MAX, PGWIRE_MESSAGE_MAX},
    {'T', PGWIRE_MESSAGE_MAX, PGWIRE_MESSAGE_MAX},
    {'E', TEXT_MAX, TEXT_KEPT},
    {'N', TEXT_MAX, TEXT_KEPT},
    {'S', SMALL_MAX, SMALL_MAX},
    {'A', SMALL_MAX, SMALL_MAX},
    {'C', SMALL_MAX, SMALL_MAX},
    {'H', SMALL_MAX, SMALL_MAX},
    {'G', SMALL_MAX, SMALL_MAX},
    {'W', SMALL_MAX, SMALL_MAX},
    {'I', SMALL_MAX, SMALL_MAX},
    {'Z', SMALL_MAX, SMALL_MAX},
    {'c', SMALL_MAX, SMALL_MAX},
    {'n', SMALL_MAX, SMALL_MAX},
    {'1', SMALL_MAX, SMALL_MAX},
    {'2', SMALL_MAX, SMALL_MAX},
};

/* Until the connection stands, libpq takes the bytes; no honest server needs many. Sockets of files
 * do not count what came: there the end of the time is the bound. */
bool pgwire_socket_is_flooded(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           len >= offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(uint64_t) &&
           info.tcpi_bytes_received > CONNECT_BYTES_MAX;
}

void pgwire_socket_narrow(int fd, bool is_narrow)
{
    int clamp = is_narrow ? CONNECT_WINDOW : WINDOW_WIDE;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp, sizeof(clamp));
}

void pgwire_wire_init(struct pgwire_wire *wire, int fd, void *ssl)
{
    *wire = (struct pgwire_wire){.fd = fd, .ssl = ssl};
    wire->in = hf_heap_alloc(BUFFER_FIRST);
    wire->in_cap = BUFFER_FIRST;
    hf_buf_init(&wire->out, OUT_MAX);
}

void pgwire_wire_done(struct pgwire_wire *wire)
{
    hf_heap_free(wire->in);
    hf_buf_done(&wire->out);
    *wire = (struct pgwire_wire){.fd = -1};
}

/* --- bytes ---------------------------------------------------------------------------------- */

/* What an SSL call said: 0 would block, -1 the connection is gone. */
static ssize_t ssl_outcome(SSL *ssl, int done)
{
    int error = done > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl, done);

    if (done > 0) {
        return done;
    }
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static ssize_t socket_outcome(ssize_t done)
{
    if (done > 0) {
        return done;
    }
    return done < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

static ssize_t read_some(struct pgwire_wire *wire, uint8_t *bytes, size_t room)
{
    if (wire->ssl == NULL) {
        return socket_outcome(recv(wire->fd, bytes, room, MSG_DONTWAIT));
    }
    ERR_clear_error();
    return ssl_outcome(wire->ssl, SSL_read(wire->ssl, bytes, (int)room));
}

static ssize_t write_some(struct pgwire_wire *wire, const uint8_t *bytes, size_t len)
{
    if (wire->ssl == NULL) {
        return socket_outcome(send(wire->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL));
    }
    ERR_clear_error();
    return ssl_outcome(wire->ssl, SSL_write(wire->ssl, bytes, (int)len));
}

/* Room behind what is buffered: moved to the front first, then as large as the message needs. */
static void make_room(struct pgwire_wire *wire, size_t need)
{
    if (wire->in_from > 0) {
        memmove(wire->in, wire->in + wire->in_from, wire->in_len - wire->in_from);
        wire->in_len -= wire->in_from;
        wire->in_from = 0;
    }
    if (wire->in_len == 0 && wire->in_cap > BUFFER_KEPT && need < BUFFER_FIRST) {
        hf_heap_free(wire->in);
        wire->in = hf_heap_alloc(BUFFER_FIRST);
        wire->in_cap = BUFFER_FIRST;
    }
    if (need > wire->in_cap) {
        wire->in = hf_heap_grow(wire->in, need);
        wire->in_cap = need;
    }
}

static void skip_take(struct pgwire_wire *wire)
{
    size_t have = wire->in_len - wire->in_from;
    size_t used = have < wire->skip ? have : wire->skip;

    wire->skip -= used;
    wire->in_from += used;
}

bool pgwire_wire_read(struct pgwire_wire *wire)
{
    size_t need = wire->need > 0 ? wire->need : HEADER;
    ssize_t got;

    if (wire->is_held) {
        return false;
    }
    if (wire->in_from == wire->in_len || wire->in_from + need > wire->in_cap) {
        make_room(wire, need);
    }
    if (wire->in_len == wire->in_cap) {
        return false; /* a whole message waits to be taken */
    }
    got = read_some(wire, wire->in + wire->in_len, wire->in_cap - wire->in_len);
    wire->is_lost = wire->is_lost || got < 0;
    if (got <= 0) {
        return false;
    }
    wire->in_len += (size_t)got;
    skip_take(wire);
    return true;
}

bool pgwire_wire_write(struct pgwire_wire *wire)
{
    while (wire->out_from < wire->out.len) {
        ssize_t done =
            write_some(wire, wire->out.ptr + wire->out_from, wire->out.len - wire->out_from);

        wire->is_lost = wire->is_lost || done < 0;
        if (done <= 0) {
            return false;
        }
        wire->out_from += (size_t)done;
    }
    hf_buf_clear(&wire->out);
    wire->out_from = 0;
    return true;
}

/* --- messages ------------------------------------------------------------------------------- */

static const struct limit *limit_of(uint8_t type)
{
    for (size_t i = 0; i < HF_LEN(limits); i++) {
        if ((uint8_t)limits[i].type == type) {
            return &limits[i];
        }
    }
    return NULL;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

enum pgwire_take pgwire_wire_take(struct pgwire_wire *wire, struct pgwire_message *ret_message)
{
    const uint8_t *p = wire->in + wire->in_from;
    size_t have = wire->in_len - wire->in_from;

    if (wire->is_held) {
        wire->is_held = false;
        *ret_message = wire->held;
        return PGWIRE_TAKE_ONE;
    }
    wire->need = HEADER;
    if (wire->skip > 0 || have < HEADER) {
        return PGWIRE_TAKE_MORE;
    }
    size_t len = be32(p + 1);
    const struct limit *limit = limit_of(p[0]);

    if (limit == NULL || len < 4) {
        return PGWIRE_TAKE_STRANGE;
    }
    len -= 4;
    if (len > limit->max) {
        return PGWIRE_TAKE_TOO_LARGE;
    }
    size_t kept = len < limit->kept ? len : limit->kept;

    wire->need = HEADER + kept;
    if (have < HEADER + kept) {
        return PGWIRE_TAKE_MORE;
    }
    *ret_message = (struct pgwire_message){(char)p[0], p + HEADER, kept};
    wire->in_from += HEADER + kept;
    wire->skip = len - kept;
    skip_take(wire);
    wire->need = HEADER;
    return PGWIRE_TAKE_ONE;
}

void pgwire_wire_hold(struct pgwire_wire *wire, const struct pgwire_message *message)
{
    wire->held = *message;
    wire->is_held = true;
}

void pgwire_wire_put(struct pgwire_wire *wire, char type, const struct hf_buf *body)
{
    uint32_t len = (uint32_t)body->len + 4;
    const uint8_t header[HEADER] = {(uint8_t)type, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
                                    (uint8_t)(len >> 8), (uint8_t)len};

    hf_buf_append(&wire->out, header, HEADER);
    hf_buf_append(&wire->out, body->ptr, body->len);
    wire->out.is_full = wire->out.is_full || body->is_full;
}

/* --- with time ------------------------------------------------------------------------------ */

struct hf_status pgwire_flush(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    struct pgwire_wire *wire = &conn->wire;
    int64_t begin_us = hf_mono_us();

    if (wire->out.is_full) {
        conn->is_broken = true;
        return hf_buf_status(&wire->out, ctx->arena, "the command");
    }
    while (!pgwire_wire_write(wire)) {
        short ready = 0;

        if (wire->is_lost) {
            return pgwire_fail_lost(ctx, conn);
        }
        if (hf_mono_us() - begin_us > (int64_t)conn->answer_ms * 1000) {
            return pgwire_fail_silent(ctx, conn);
        }
        struct hf_status status = hf_ctx_wait_fd(ctx, wire->fd, POLLIN | POLLOUT, 200, &ready);

        if (!hf_is_ok(status)) {
            conn->is_broken = true;
            return status;
        }
        /* A server that waits for us to read before it reads: take its bytes in, as far as there is
         * room. With none it must do without. */
        if ((ready & POLLIN) != 0 && !pgwire_wire_read(wire) && (ready & POLLOUT) == 0) {
            HF_TRY(hf_ctx_sleep(ctx, 1));
        }
    }
    return hf_success();
}

struct hf_status pgwire_wait_input(struct hf_ctx *ctx, struct pgwire_conn *conn, int timeout_ms,
                                   bool *ret_came)
{
    short ready = 0;

    *ret_came = pgwire_wire_read(&conn->wire);
    if (*ret_came || conn->wire.is_lost) {
        return *ret_came ? hf_success() : pgwire_fail_lost(ctx, conn);
    }
    struct hf_status status =
        hf_ctx_wait_fd(ctx, conn->wire.fd, POLLIN, timeout_ms < 0 ? 0 : timeout_ms, &ready);

    if (!hf_is_ok(status)) {
        conn->is_broken = !conn->is_streaming; /* a stream is between messages, nothing is lost */
        return status;
    }
    *ret_came = ready != 0 && pgwire_wire_read(&conn->wire);
    return conn->wire.is_lost ? pgwire_fail_lost(ctx, conn) : hf_success();
}

static void notice_note(struct pgwire_conn *conn, const struct pgwire_message *message)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)256 << 10);
    struct pgwire_error fields;

    if (conn->notices.len >= PGWIRE_NOTICES_MAX / 2) {
        return;
    }
    pgwire_error_decode(message, &fields);
    hf_buf_printf(&conn->notices, "%s%s", conn->notices.len > 0 ? "; " : "",
                  pgwire_text(arena, conn, fields.message, NOTICE_SHOWN));
}

/* Is it one that may come at any time? It is noted and counted. */
static bool is_aside(struct pgwire_conn *conn, const struct pgwire_message *message)
{
    if (message->type != 'N' && message->type != 'S' && message->type != 'A') {
        conn->asides_bytes = 0;
        return false;
    }
    conn->asides_bytes += HEADER + message->len + conn->wire.skip;
    if (message->type == 'N') {
        notice_note(conn, message);
    }
    return true;
}

static struct hf_status take_fail(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                  enum pgwire_take take)
{
    const char *const metadata[] = {"host", conn->peer, NULL};

    conn->is_broken = true;
    if (take == PGWIRE_TAKE_TOO_LARGE || take == PGWIRE_TAKE_ONE) {
        return hf_fail_info(ctx->arena, HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", metadata,
                            "%s sends more than any answer needs", conn->peer);
    }
    return hf_fail_info(ctx->arena, HF_DATA_LOSS, "PROTOCOL_VIOLATION", metadata,
                        "what %s sends is not PostgreSQL's protocol", conn->peer);
}

struct hf_status pgwire_message_take(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                     struct pgwire_message *ret_message, bool *ret_is_there)
{
    enum pgwire_take take;

    do {
        struct hf_status status = hf_ctx_check(ctx);

        if (!hf_is_ok(status)) {
            conn->is_broken = conn->is_broken || !conn->is_streaming;
            return status;
        }
        take = pgwire_wire_take(&conn->wire, ret_message);
        if (take == PGWIRE_TAKE_STRANGE || take == PGWIRE_TAKE_TOO_LARGE ||
            conn->asides_bytes > ASIDES_MAX) {
            return take_fail(ctx, conn, take);
        }
    } while (take == PGWIRE_TAKE_ONE && is_aside(conn, ret_message));
    *ret_is_there = take == PGWIRE_TAKE_ONE;
    return hf_success();
}

struct hf_status pgwire_message_await(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                      int64_t until_us, struct pgwire_message *ret_message)
{
    for (;;) {
        bool is_there = false;
        bool came = false;

        HF_TRY(pgwire_message_take(ctx, conn, ret_message, &is_there));
        if (is_there) {
            return hf_success();
        }
        if (hf_mono_us() > until_us) {
            return pgwire_fail_silent(ctx, conn);
        }
        HF_TRY(pgwire_wait_input(ctx, conn, 200, &came));
    }
}

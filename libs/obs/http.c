/* The listener: one thread, one poll, a table of connections.
 *
 *   READING --head whole or refused--> WRITING --all sent--> LINGERING --peer closed--> free
 *
 * Every state has an end in time, and every entry can be cut when a newer connection needs it.
 * LINGERING is there because closing a socket with unread bytes resets it, and the peer would lose
 * the answer. */
#include "obs/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/pool.h"
#include "codec/hash.h"
#include "obs/answer.h"

#define MAX_CONNECTIONS 256
#define MAX_OF_ADDRESS 64
#define ACCEPT_AT_ONCE 8
#define MAX_BIG_REPLIES 4
#define BIG_REPLY_BYTES ((size_t)64 << 10)
#define REPLY_MAX_BYTES ((size_t)9 << 20)
#define MAX_HEAD_BYTES 4096
#define REQUEST_US (2 * HF_US_PER_S)
#define REPLY_US (5 * HF_US_PER_S)
#define LINGER_US (1 * HF_US_PER_S)
#define LINGER_BYTES ((size_t)64 << 10)
#define ACCEPT_PAUSE_US (HF_US_PER_S / 10) /* no descriptor is left: not asked again at once */
#define TICK_MS 500
#define BACKLOG 128
#define OWN_POLLS 2 /* wake-up and listener, before the connections */

enum connection_state { FREE, READING, WRITING, LINGERING };

struct connection {
    enum connection_state state;
    int fd;
    in_addr_t address;
    uint64_t order; /* of its coming; the lowest is the oldest */
    int64_t deadline_us;
    size_t head_len;
    struct hf_buf reply;
    size_t sent;
    size_t discarded;
    char head[MAX_HEAD_BYTES];
};

struct obs_http {
    struct obs_answers answers;
    char *token; /* owned; answers has a view */
    int listener;
    int wake;
    int port;
    int64_t pause_us; /* nothing is accepted before */
    uint64_t next_order;
    atomic_bool is_stopping;
    struct hf_thread *thread;
    struct connection list[MAX_CONNECTIONS];
};

/* --- one connection ------------------------------------------------------------------------- */

static void drop(struct connection *connection)
{
    close(connection->fd);
    hf_buf_done(&connection->reply);
    connection->state = FREE;
}

static bool is_local(const struct connection *connection)
{
    return ntohl(connection->address) >> 24 == IN_LOOPBACKNET;
}

static bool is_any(const struct connection *connection, const struct connection *other)
{
    (void)other;
    return connection->state != FREE;
}

static bool is_neighbour(const struct connection *connection, const struct connection *other)
{
    return connection->state != FREE && connection->address == other->address;
}

static bool is_big(const struct connection *connection, const struct connection *other)
{
    return connection->state == WRITING && connection != other &&
           connection->reply.len > BIG_REPLY_BYTES;
}

/* Make room among those that are like one: the oldest goes when there are max of them. */
static void make_room(struct obs_http *http, size_t max, const struct connection *one,
                      bool (*is_like)(const struct connection *connection,
                                      const struct connection *other))
{
    struct connection *oldest = NULL;
    size_t count = 0;

    for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
        struct connection *entry = &http->list[i];
        if (!is_like(entry, one)) {
            continue;
        }
        count++;
        oldest = oldest == NULL || entry->order < oldest->order ? entry : oldest;
    }
    if (count >= max) {
        drop(oldest);
    }
}

static void write_some(struct connection *connection)
{
    while (connection->sent < connection->reply.len) {
        ssize_t sent = send(connection->fd, connection->reply.ptr + connection->sent,
                            connection->reply.len - connection->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            return;
        }
        if (sent < 0) {
            drop(connection);
            return;
        }
        connection->sent += (size_t)sent;
    }
    hf_buf_done(&connection->reply);
    (void)shutdown(connection->fd, SHUT_WR);
    connection->state = LINGERING;
    connection->deadline_us = hf_mono_us() + LINGER_US;
}

static void reply(struct obs_http *http, struct connection *connection,
                  enum obs_request_state state, const struct obs_request *request)
{
    hf_buf_init(&connection->reply, REPLY_MAX_BYTES);
    if (state == OBS_REQUEST_WHOLE) {
        obs_answer(&http->answers, request, is_local(connection), &connection->reply);
    } else {
        obs_answer_refusal(state == OBS_REQUEST_MORE ? OBS_HEAD_TOO_LARGE : OBS_BAD_REQUEST,
                           &connection->reply);
    }
    connection->state = WRITING;
    connection->deadline_us = hf_mono_us() + REPLY_US;
    if (connection->reply.len > BIG_REPLY_BYTES) {
        make_room(http, MAX_BIG_REPLIES, connection, is_big);
    }
    write_some(connection);
}

static void read_some(struct obs_http *http, struct connection *connection)
{
    struct obs_request request;
    ssize_t got = read(connection->fd, connection->head + connection->head_len,
                       MAX_HEAD_BYTES - connection->head_len);

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        drop(connection);
        return;
    }
    connection->head_len += (size_t)got;
    enum obs_request_state state =
        obs_request_parse((struct hf_str){connection->head, connection->head_len}, &request);
    if (state != OBS_REQUEST_MORE || connection->head_len == MAX_HEAD_BYTES) {
        reply(http, connection, state, &request);
    }
}

static void discard_some(struct connection *connection)
{
    ssize_t got = read(connection->fd, connection->head, MAX_HEAD_BYTES);

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    connection->discarded += got > 0 ? (size_t)got : 0;
    if (got <= 0 || connection->discarded > LINGER_BYTES) {
        drop(connection);
    }
}

static void go_on(struct obs_http *http, struct connection *connection)
{
    switch (connection->state) {
    case READING:
        read_some(http, connection);
        break;
    case WRITING:
        write_some(connection);
        break;
    case LINGERING:
        discard_some(connection);
        break;
    case FREE:
        break;
    }
}

/* --- all of them ---------------------------------------------------------------------------- */

static void admit(struct obs_http *http, int fd, in_addr_t address)
{
    const struct connection newcomer = {.address = address};
    size_t i = 0;

    make_room(http, MAX_OF_ADDRESS, &newcomer, is_neighbour);
    make_room(http, MAX_CONNECTIONS, &newcomer, is_any);
    while (http->list[i].state != FREE) {
        i++;
    }
    struct connection *entry = &http->list[i];
    entry->state = READING;
    entry->fd = fd;
    entry->address = address;
    entry->order = http->next_order++;
    entry->deadline_us = hf_mono_us() + REQUEST_US;
    entry->head_len = 0;
    entry->sent = 0;
    entry->discarded = 0;
    read_some(http, entry); /* a probe has sent its request by now */
}

/* Few in one turn, so that what came is looked at before it can be the oldest. */
static void accept_some(struct obs_http *http)
{
    for (size_t i = 0; i < ACCEPT_AT_ONCE; i++) {
        struct sockaddr_in peer = {0};
        socklen_t len = sizeof(peer);
        int fd = accept4(http->listener, (struct sockaddr *)(void *)&peer, &len,
                         SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            admit(http, fd, peer.sin_addr.s_addr);
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            http->pause_us = hf_mono_us() + ACCEPT_PAUSE_US;
            return;
        }
    }
}

static size_t prepare(const struct obs_http *http, struct pollfd *polls, size_t *ret_of)
{
    bool may_accept = hf_mono_us() >= http->pause_us;
    size_t len = OWN_POLLS;

    polls[0] = (struct pollfd){.fd = http->wake, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = may_accept ? http->listener : -1, .events = POLLIN};
    for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
        const struct connection *entry = &http->list[i];
        if (entry->state != FREE) {
            ret_of[len] = i;
            polls[len++] = (struct pollfd){.fd = entry->fd,
                                           .events = entry->state == WRITING ? POLLOUT : POLLIN};
        }
    }
    return len;
}

static void drop_late(struct obs_http *http)
{
    int64_t now_us = hf_mono_us();

    for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
        if (http->list[i].state != FREE && http->list[i].deadline_us <= now_us) {
            drop(&http->list[i]);
        }
    }
}

static void serve(void *arg)
{
    struct obs_http *http = arg;
    struct pollfd polls[OWN_POLLS + MAX_CONNECTIONS];
    size_t of[OWN_POLLS + MAX_CONNECTIONS]; /* place in the list */

    while (!atomic_load(&http->is_stopping)) {
        size_t len = prepare(http, polls, of);

        if (poll(polls, len, TICK_MS) < 0 && errno != EINTR) {
            return;
        }
        for (size_t i = OWN_POLLS; i < len; i++) {
            /* One that was cut for another in this turn has nothing to do. */
            if (polls[i].revents != 0 && http->list[of[i]].state != FREE) {
                go_on(http, &http->list[of[i]]);
            }
        }
        if (polls[1].revents != 0) {
            accept_some(http);
        }
        drop_late(http);
    }
}

/* --- life ----------------------------------------------------------------------------------- */

static struct hf_status parse_address(struct hf_arena *arena,
                                      const struct obs_http_options *options,
                                      struct sockaddr_in *ret_address)
{
    *ret_address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)options->port)};
    if (inet_pton(AF_INET, options->address, &ret_address->sin_addr) != 1 || options->port < 0 ||
        options->port > 65535) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "metrics address %s:%d: expected an IPv4 address", options->address,
                       options->port);
    }
    if (ntohl(ret_address->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET &&
        hf_text_empty(options->token)) {
        return hf_fail(arena, HF_FAILED_PRECONDITION,
                       "metrics address %s:%d is reached from elsewhere: it needs a token",
                       options->address, options->port);
    }
    return hf_success();
}

static struct hf_status open_listener(struct hf_arena *arena,
                                      const struct obs_http_options *options, int *ret_fd,
                                      int *ret_port)
{
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    const int on = 1;

    HF_TRY(parse_address(arena, options, &address));
    HF_CLEANUP(hf_close)
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr *plain = (struct sockaddr *)(void *)&address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, plain, sizeof(address)) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, plain, &len) != 0) {
        return hf_fail_errno(arena, errno, "listening for metrics on %s:%d", options->address,
                             options->port);
    }
    *ret_port = ntohs(address.sin_port);
    *ret_fd = fd;
    fd = -1; /* the caller's now */
    return hf_success();
}

struct hf_status obs_http_start(struct hf_arena *arena, const struct obs_http_options *options,
                                struct obs_http **ret_http)
{
    HF_CLEANUP(obs_http_stop) struct obs_http *http = hf_heap_alloc(sizeof(*http));

    http->listener = -1;
    http->wake = -1;
    http->token = hf_text_empty(options->token) ? NULL : hf_heap_strdup(options->token);
    http->answers = (struct obs_answers){
        .obs = options->obs,
        .token = http->token == NULL ? (struct hf_str){NULL, 0} : hf_str_of(http->token),
        .is_ready = options->is_ready,
        .arg = options->arg,
    };
    HF_TRY(open_listener(arena, options, &http->listener, &http->port));
    http->wake = eventfd(0, EFD_CLOEXEC);
    if (http->wake < 0) {
        return hf_fail_errno(arena, errno, "making an event for the metrics thread");
    }
    http->thread = hf_thread_start("metrics", serve, http);
    *ret_http = HF_TAKE(http);
    return hf_success();
}

int obs_http_port(const struct obs_http *http)
{
    return http->port;
}

void obs_http_stop(struct obs_http *http)
{
    const uint64_t one = 1;

    if (http == NULL) {
        return;
    }
    atomic_store(&http->is_stopping, true);
    if (http->thread != NULL) {
        ssize_t told = write(http->wake, &one, sizeof(one));
        HF_CHECK(told == (ssize_t)sizeof(one));
        hf_thread_join(http->thread);
    }
    for (size_t i = 0; i < MAX_CONNECTIONS; i++) {
        if (http->list[i].state != FREE) {
            drop(&http->list[i]);
        }
    }
    hf_close_cleanup(&http->listener);
    hf_close_cleanup(&http->wake);
    if (http->token != NULL) {
        codec_wipe(http->token, strlen(http->token));
    }
    hf_heap_free(http->token);
    hf_heap_free(http);
}

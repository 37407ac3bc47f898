/* The listener over real sockets: answers, refusals, hostile requests, many connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "obs/http.h"
#include "tests/unit/unit.h"

static const struct obs_metric table[] = {
    {.name = "sample_total", .help = "A sample.", .type = OBS_COUNTER, .labels = {"n"}},
};

struct fixture {
    struct hf_arena *arena;
    struct obs *obs;
    struct obs_http *http;
    bool is_ready;
    struct hf_buf answer;
};

static bool is_ready(void *arg)
{
    const struct fixture *fixture = arg;

    return fixture->is_ready;
}

static int set_up(void **state)
{
    struct fixture *fixture = hf_heap_alloc(sizeof(*fixture));
    struct obs_http_options options = {.address = "127.0.0.1", .is_ready = is_ready};

    fixture->arena = hf_arena_new(1 << 16);
    fixture->obs = obs_new(table, HF_LEN(table));
    hf_buf_init(&fixture->answer, 16 << 20);
    options.obs = fixture->obs;
    options.arg = fixture;
    *state = fixture;
    return hf_is_ok(obs_http_start(fixture->arena, &options, &fixture->http)) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    obs_http_stop(fixture->http);
    obs_free(fixture->obs);
    hf_arena_free(fixture->arena);
    hf_buf_done(&fixture->answer);
    hf_heap_free(fixture);
    return 0;
}

/* From 127.0.0.last. */
static int dial_from(const struct fixture *fixture, uint8_t last)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(0x7f000000U | last);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    address.sin_port = htons((uint16_t)obs_http_port(fixture->http));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int dial(const struct fixture *fixture)
{
    return dial_from(fixture, 1);
}

/* Everything until the other side closes; fails after 20 s of silence. */
static const char *read_all(struct fixture *fixture, int fd)
{
    char bytes[4096];
    ssize_t got = 1;

    hf_buf_clear(&fixture->answer);
    while (got > 0) {
        struct pollfd entry = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&entry, 1, 20000), 1);
        got = read(fd, bytes, sizeof(bytes));
        hf_buf_append(&fixture->answer, bytes, got > 0 ? (size_t)got : 0);
    }
    close(fd);
    return hf_buf_text(&fixture->answer);
}

static const char *ask(struct fixture *fixture, const char *request)
{
    int fd = dial(fixture);
    ssize_t sent = send(fd, request, strlen(request), MSG_NOSIGNAL);

    assert_int_equal(sent, strlen(request));
    return read_all(fixture, fd);
}

#define REQUEST(line) line " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void assert_code(const char *answer, const char *code)
{
    if (strncmp(answer, "HTTP/1.", 7) != 0 || strncmp(answer + 9, code, 3) != 0) {
        fail_msg("expected %s, got: %s", code, answer);
    }
}

static void test_http__shows_metrics(void **state)
{
    struct fixture *fixture = *state;

    obs_add(obs_series(fixture->obs, 0, (const char *const[]){"a"}), 5);
    const char *answer = ask(fixture, REQUEST("GET /metrics"));
    assert_code(answer, "200");
    assert_non_null(strstr(answer, "text/plain; version=0.0.4"));
    assert_non_null(strstr(answer, "\r\n\r\n# HELP sample_total A sample.\n"));
    assert_non_null(strstr(answer, "sample_total{n=\"a\"} 5\n"));
}

static void test_http__sends_a_long_body_whole(void **state)
{
    struct fixture *fixture = *state;
    char name[64];

    for (int i = 0; i < 4000; i++) {
        (void)snprintf(name, sizeof(name), "a-rather-long-name-of-a-series-%d", i);
        obs_series(fixture->obs, 0, (const char *const[]){name});
    }
    const char *answer = ask(fixture, REQUEST("GET /metrics"));
    assert_code(answer, "200");
    assert_non_null(strstr(answer, "series-3999\"} 0\n"));
    assert_non_null(strstr(answer, "\nprocess_start_time_seconds "));
    assert_true(fixture->answer.len > 150000);
}

static void test_http__probes_say_yes_or_no(void **state)
{
    struct fixture *fixture = *state;

    assert_non_null(strstr(ask(fixture, REQUEST("GET /livez")), "\r\n\r\nok"));
    assert_code(ask(fixture, REQUEST("GET /healthz")), "200");
    const char *answer = ask(fixture, REQUEST("GET /readyz?verbose=1"));
    assert_code(answer, "503");
    assert_true(hf_has_suffix(answer, "\r\n\r\nno"));
    fixture->is_ready = true;
    answer = ask(fixture, REQUEST("GET /readyz"));
    assert_code(answer, "200");
    assert_true(hf_has_suffix(answer, "\r\n\r\nok"));
}

static void test_http__head_has_no_body(void **state)
{
    const char *answer = ask(*state, REQUEST("HEAD /healthz"));

    assert_code(answer, "200");
    assert_non_null(strstr(answer, "Content-Length: 2\r\n"));
    assert_true(hf_has_suffix(answer, "\r\n\r\n"));
}

static void test_http__answers_one_request_of_a_connection(void **state)
{
    const char *answer = ask(*state, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
                                     "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");

    assert_code(answer, "200");
    assert_null(strstr(answer + 1, "HTTP/1.1"));
}

static void test_http__refuses_other_paths_and_methods(void **state)
{
    assert_code(ask(*state, REQUEST("GET /")), "404");
    assert_code(ask(*state, REQUEST("GET /metrics/../x")), "404");
    assert_code(ask(*state, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
                            "Connection: close\r\n\r\n"),
                "405");
}

static void test_http__refuses_upgrades(void **state)
{
    const char *answer = ask(*state, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                                     "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");

    assert_null(strstr(answer, "101 Switching"));
}

static void test_http__survives_hostile_requests(void **state)
{
    struct fixture *fixture = *state;
    static char big[20000];
    int fd = dial(fixture);

    memset(big, 'a', sizeof(big) - 1);
    memcpy(big, "GET /", 5);
    (void)send(fd, big, sizeof(big) - 1, MSG_NOSIGNAL);
    assert_null(strstr(read_all(fixture, fd), " 200 "));
    assert_null(strstr(ask(fixture, "\r\n\x01\x02\r\n\r\nGARBAGE\r\n\r\n"), " 200 "));
    close(dial(fixture));
    assert_code(ask(fixture, REQUEST("GET /healthz")), "200");
}

/* Each hostile peer says this and then nothing more; a byte every second when it is slow. */
static const char *const hostile[] = {
    "",
    "GET /met",
    "GET /metrics HTTP/1.1\r\nA: b\r\n",
    "GET /metrics HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
};

#define HOSTILE 400
#define SECOND_US INT64_C(1000000)

static void make_metrics_long(struct fixture *fixture)
{
    char name[64];

    for (int i = 0; i < 4000; i++) {
        (void)snprintf(name, sizeof(name), "a-rather-long-name-of-a-series-%d", i);
        obs_series(fixture->obs, 0, (const char *const[]){name});
    }
}

/* How many of the peers are still connected. */
static size_t count_open(const int *fds, size_t len)
{
    size_t open = 0;
    char bytes[4096];

    for (size_t i = 0; i < len; i++) {
        ssize_t got = 1;
        while (got > 0) {
            got = recv(fds[i], bytes, sizeof(bytes), MSG_DONTWAIT);
        }
        open += got < 0 && errno == EAGAIN ? 1 : 0;
    }
    return open;
}

static void test_http__answers_probes_among_hostile_peers(void **state)
{
    struct fixture *fixture = *state;
    int fds[HOSTILE];
    int64_t slowest_us = 0;

    make_metrics_long(fixture);
    for (size_t i = 0; i < HOSTILE; i++) {
        const char *text = hostile[i % HF_LEN(hostile)];
        fds[i] = dial_from(fixture, (uint8_t)(1 + i % 16));
        (void)send(fds[i], text, strlen(text), MSG_NOSIGNAL);
        if (i % 20 == 19) {
            int64_t start_us = hf_mono_us();
            assert_code(ask(fixture, REQUEST("GET /livez")), "200");
            int64_t took_us = hf_mono_us() - start_us;
            slowest_us = took_us > slowest_us ? took_us : slowest_us;
        }
    }
    assert_true(slowest_us < SECOND_US);
    for (size_t i = 0; i < HOSTILE; i++) {
        close(fds[i]);
    }
}

static void test_http__cuts_slow_peers(void **state)
{
    struct fixture *fixture = *state;
    int fds[40];
    int64_t start_us = hf_mono_us();

    make_metrics_long(fixture);
    for (size_t i = 0; i < HF_LEN(fds); i++) {
        const char *text = hostile[i % HF_LEN(hostile)];
        fds[i] = dial(fixture);
        (void)send(fds[i], text, strlen(text), MSG_NOSIGNAL);
    }
    while (hf_mono_us() - start_us < 3 * SECOND_US) {
        for (size_t i = 0; i < HF_LEN(fds); i++) {
            (void)send(fds[i], "x", 1, MSG_NOSIGNAL); /* a byte is no reason to wait longer */
        }
        (void)poll(NULL, 0, 200);
    }
    (void)poll(NULL, 0, 4500);
    assert_int_equal(count_open(fds, HF_LEN(fds)), 0);
    for (size_t i = 0; i < HF_LEN(fds); i++) {
        close(fds[i]);
    }
}

static void test_http__start_says_why_it_failed(void **state)
{
    struct fixture *fixture = *state;
    struct obs_http_options options = {.address = "127.0.0.1", .obs = fixture->obs};
    struct obs_http *second = NULL;

    options.port = obs_http_port(fixture->http);
    assert_int_equal(obs_http_start(fixture->arena, &options, &second).code, HF_ALREADY_EXISTS);
    options.address = "localhost";
    assert_int_equal(obs_http_start(fixture->arena, &options, &second).code, HF_INVALID_ARGUMENT);
    options.port = 0;
    options.address = "0.0.0.0";
    assert_int_equal(obs_http_start(fixture->arena, &options, &second).code,
                     HF_FAILED_PRECONDITION);
    assert_null(second);
}

#define WITH_HTTP(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_HTTP(test_http__shows_metrics),
        WITH_HTTP(test_http__sends_a_long_body_whole),
        WITH_HTTP(test_http__probes_say_yes_or_no),
        WITH_HTTP(test_http__head_has_no_body),
        WITH_HTTP(test_http__refuses_other_paths_and_methods),
        WITH_HTTP(test_http__refuses_upgrades),
        WITH_HTTP(test_http__survives_hostile_requests),
        WITH_HTTP(test_http__answers_one_request_of_a_connection),
        WITH_HTTP(test_http__answers_probes_among_hostile_peers),
        WITH_HTTP(test_http__cuts_slow_peers),
        WITH_HTTP(test_http__start_says_why_it_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a server may send instead of an answer. Each lie ends one call with a status, in bounded
 * time and memory; the process goes on. The server is a thread that speaks just enough. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/pool.h"
#include "pgwire/walstream.h"
#include "tests/unit/libs/pgwire/wire_unit.h"

#define MIB ((size_t)1 << 20)
#define GROWTH_MAX (24 * MIB) /* of the process, over all lies */
#define PASSWORD "Sesame-2024"

struct lie {
    const char *name;
    enum { AT_QUERY, AT_CONNECT } stage;
    const char *once; /* bytes sent first; len by the macro */
    size_t once_len;
    const char *again; /* and then again and again … */
    size_t again_len;
    size_t times; /* … this often; 0: until the client has enough */
    int pause_ms;
    enum hf_code code;
    const char *reason;
};

#define BYTES(text) (text), sizeof(text) - 1
#define NOTHING "", 0
#define ROW_HEAD                                                                                   \
    "T\0\0\0\x1a\0\x01"                                                                            \
    "a\0"                                                                                          \
    "\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
#define READY "Z\0\0\0\x05I"
#define KIB16 "................................................................"
#define NOTICE                                                                                     \
    "N\0\0\0\x4e"                                                                                  \
    "M" KIB16 "......."                                                                            \
    "\0\0"
#define PARAMETER                                                                                  \
    "S\0\0\0\x0c"                                                                                  \
    "abc\0def\0"

static const struct lie lies[] = {
    {"a value of 70 MiB", AT_QUERY, BYTES(ROW_HEAD "D\x04\x60\0\0\0\x01\x04\x5f\xff\xf6"),
     BYTES(KIB16), 0, 0, HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE"},
    {"rows without end", AT_QUERY, BYTES(ROW_HEAD),
     BYTES("D\0\0\0\x0e\0\x01\0\0\0\x04"
           "abcd"),
     0, 0, HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE"},
    {"an error of a gigabyte", AT_QUERY, BYTES("E\x40\0\0\0M"), BYTES(KIB16), 0, 0,
     HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE"},
    {"notices without end", AT_QUERY, NOTHING, BYTES(NOTICE), 0, 0, HF_RESOURCE_EXHAUSTED,
     "ANSWER_TOO_LARGE"},
    {"parameters without end", AT_QUERY, NOTHING, BYTES(PARAMETER), 0, 0, HF_RESOURCE_EXHAUSTED,
     "ANSWER_TOO_LARGE"},
    {"results without end", AT_QUERY, NOTHING, BYTES("C\0\0\0\x0bSELECT\0"), 0, 0, HF_DATA_LOSS,
     "PROTOCOL_VIOLATION"},
    {"a message of no type", AT_QUERY, BYTES("\xff\0\0\0\x05x"), NOTHING, 0, 0, HF_DATA_LOSS,
     "PROTOCOL_VIOLATION"},
    {"a length of 3", AT_QUERY, BYTES("C\0\0\0\x03"), NOTHING, 0, 0, HF_DATA_LOSS,
     "PROTOCOL_VIOLATION"},
    {"a length of -1", AT_QUERY, BYTES("D\xff\xff\xff\xff"), NOTHING, 0, 0, HF_RESOURCE_EXHAUSTED,
     "ANSWER_TOO_LARGE"},
    {"a row of another width", AT_QUERY, BYTES(ROW_HEAD "D\0\0\0\x06\0\x02"), NOTHING, 0, 0,
     HF_DATA_LOSS, "PROTOCOL_VIOLATION"},
    {"a value longer than its row", AT_QUERY, BYTES(ROW_HEAD "D\0\0\0\x0a\0\x01\x7f\xff\xff\xff"),
     NOTHING, 0, 0, HF_DATA_LOSS, "PROTOCOL_VIOLATION"},
    {"a value of length -2", AT_QUERY, BYTES(ROW_HEAD "D\0\0\0\x0a\0\x01\xff\xff\xff\xfe"), NOTHING,
     0, 0, HF_DATA_LOSS, "PROTOCOL_VIOLATION"},
    {"a row without columns", AT_QUERY, BYTES("D\0\0\0\x06\0\0"), NOTHING, 0, 0, HF_DATA_LOSS,
     "PROTOCOL_VIOLATION"},
    {"65535 columns", AT_QUERY, BYTES("T\0\0\0\x06\xff\xff"), NOTHING, 0, 0, HF_DATA_LOSS,
     "PROTOCOL_VIOLATION"},
    {"a second description after rows", AT_QUERY,
     BYTES(ROW_HEAD "D\0\0\0\x0a\0\x01\xff\xff\xff\xff"
                    "T\0\0\0\x06\x06\x80"
                    "C\0\0\0\x0bSELECT\0"),
     NOTHING, 0, 0, HF_DATA_LOSS, "PROTOCOL_VIOLATION"},
    {"a second description before rows", AT_QUERY, BYTES(ROW_HEAD "T\0\0\0\x06\0\x02"), NOTHING, 0,
     0, HF_DATA_LOSS, "PROTOCOL_VIOLATION"},
    {"a copy that nobody asked for", AT_QUERY, BYTES("G\0\0\0\x07\0\0\0"), NOTHING, 0, 0,
     HF_DATA_LOSS, "PROTOCOL_VIOLATION"},
    {"a stream instead of rows", AT_QUERY, BYTES("W\0\0\0\x07\0\0\0"), NOTHING, 0, 0, HF_INTERNAL,
     "SERVER_ERROR"},
    {"an error without a text", AT_QUERY, BYTES("E\0\0\0\x05\0" READY), NOTHING, 0, 0, HF_INTERNAL,
     "SERVER_ERROR"},
    {"silence", AT_QUERY, NOTHING, BYTES(""), 0, 50, HF_UNAVAILABLE, "HOST_UNREACHABLE"},
    {"a byte now and then", AT_QUERY, BYTES("E\0\0\x10\0"), BYTES("."), 0, 50, HF_UNAVAILABLE,
     "HOST_UNREACHABLE"},
    {"a notice now and then", AT_QUERY, NOTHING, BYTES(NOTICE), 0, 50, HF_UNAVAILABLE,
     "HOST_UNREACHABLE"},
    {"an end in the middle of a row", AT_QUERY, BYTES(ROW_HEAD "D\0\0\0\x0e\0"), NOTHING, 0, 0,
     HF_UNAVAILABLE, "HOST_UNREACHABLE"},
    {"last words", AT_QUERY,
     BYTES("E\0\0\0\x14"
           "C57P01\0Mgo away\0\0"),
     NOTHING, 0, 0, HF_UNAVAILABLE, "HOST_UNREACHABLE"},
    {"greetings without end", AT_CONNECT, NOTHING, BYTES(NOTICE), 0, 0, HF_RESOURCE_EXHAUSTED,
     "ANSWER_TOO_LARGE"},
    {"parameters while connecting", AT_CONNECT, NOTHING, BYTES(PARAMETER), 0, 0,
     HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE"},
    {"a greeting of a gigabyte", AT_CONNECT, BYTES("N\x3f\xff\xff\xff"), BYTES(KIB16), 0, 0,
     HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE"},
};

/* --- the server ----------------------------------------------------------------------------- */

struct liar {
    const struct lie *lie;
    int listener;
    uint16_t port;
    struct hf_thread *thread;
};

static bool say(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t done = send(fd, bytes, len, MSG_NOSIGNAL);

        if (done <= 0) {
            return false;
        }
        bytes += done;
        len -= (size_t)done;
    }
    return true;
}

static void lie_tell(int fd, const struct lie *lie)
{
    static char many[1 << 16];
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(MIB);
    struct hf_ctx ctx = {.arena = arena, .deadline_us = hf_mono_us() + 20 * HF_US_PER_S};
    size_t each = lie->again_len == 0 ? 0 : sizeof(many) / lie->again_len;
    bool goes_on = say(fd, lie->once, lie->once_len) && (lie->again_len > 0 || lie->pause_ms > 0);

    each = lie->pause_ms > 0 ? 1 : each;
    for (size_t i = 0; i < each && lie->again_len > 0; i++) {
        memcpy(many + i * lie->again_len, lie->again, lie->again_len);
    }
    for (size_t i = 0; goes_on && (lie->times == 0 || i < lie->times); i++) {
        char heard[4096];

        goes_on = say(fd, many, each * lie->again_len) &&
                  hf_is_ok(hf_ctx_sleep(&ctx, lie->pause_ms)) &&
                  recv(fd, heard, sizeof(heard), MSG_DONTWAIT) != 0;
    }
}

static void serve(void *arg)
{
    static const char hello[] = "R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\0"
                                "15.1\0"
                                "K\0\0\0\x0c\0\0\0\x01\0\0\0\x02";
    struct liar *liar = arg;
    HF_CLEANUP(hf_close) int fd = accept(liar->listener, NULL, NULL);
    char heard[4096];

    (void)recv(fd, heard, sizeof(heard), 0); /* the startup packet */
    if (!say(fd, hello, sizeof(hello) - 1)) {
        return;
    }
    if (liar->lie->stage == AT_CONNECT) {
        lie_tell(fd, liar->lie);
        return;
    }
    if (say(fd, READY, 6) && recv(fd, heard, sizeof(heard), 0) > 0) {
        lie_tell(fd, liar->lie);
    }
}

static void liar_start(struct liar *liar, const struct lie *lie)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    liar->lie = lie;
    liar->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(liar->listener, (const struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(liar->listener, 1), 0);
    assert_int_equal(getsockname(liar->listener, (struct sockaddr *)&address, &len), 0);
    liar->port = ntohs(address.sin_port);
    liar->thread = hf_thread_start("liar", serve, liar);
}

static void liar_end(struct liar *liar)
{
    hf_thread_join(liar->thread);
    (void)close(liar->listener);
}

/* --- the client ----------------------------------------------------------------------------- */

static size_t resident_bytes(void)
{
    unsigned long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &pages, &resident), 2);
    (void)fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* What the lie makes of one query; the answer's rows are thrown away. */
static struct hf_status hear(struct hf_ctx *ctx, uint16_t port)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    struct pgwire_rows rows;
    const struct pgwire_options options = {
        .dsn = hf_printf(ctx->arena, "host=127.0.0.1 port=%u user=x sslmode=disable", port),
        .password = PASSWORD,
        .access = wire_access(),
        .mode = PGWIRE_SQL,
        .answer_timeout_ms = 500,
    };

    HF_TRY(pgwire_open(ctx, &options, &conn));
    return pgwire_query(ctx, conn, "select 1", NULL, 0, &rows);
}

static void lie_check(const struct lie *lie)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    int64_t begin_us = hf_mono_us();
    struct liar liar = {0};

    liar_start(&liar, lie);
    struct hf_status status = hear(&ctx, liar.port);

    liar_end(&liar);
    if (status.code != lie->code || status.info == NULL) {
        print_error("%s: %s %s\n", lie->name, hf_code_name(status.code), status.message);
    }
    assert_int_equal(status.code, lie->code);
    assert_non_null(status.info);
    assert_string_equal(status.info->reason, lie->reason);
    assert_true(hf_mono_us() - begin_us < 15 * HF_US_PER_S);
}

static void test_lies__end_the_call_and_nothing_else(void **state)
{
    size_t before = resident_bytes();

    (void)state;
    for (size_t i = 0; i < HF_LEN(lies); i++) {
        lie_check(&lies[i]);
        size_t now = resident_bytes();

        if (!HF_HAS_ASAN && now > before + GROWTH_MAX) {
            print_error("%s: %zu MiB resident\n", lies[i].name, now / MIB);
            fail();
        }
    }
}

/* A text of any size is a text: cut, clean, and the connection lives. */
static void test_lies__long_error_is_cut(void **state)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    static const struct lie lie = {"an error of 3 MB",
                                   AT_QUERY,
                                   BYTES("E\0\x30\0\x06"
                                         "M"),
                                   BYTES(KIB16),
                                   48 * 1024 / 1024,
                                   0,
                                   HF_INTERNAL,
                                   "SERVER_ERROR"};
    struct lie whole = lie;
    struct liar liar = {0};

    (void)state;
    whole.times = 48; /* 48 writes of 64 KiB, then the two NULs are missing: the end cuts it */
    liar_start(&liar, &whole);
    struct hf_status status = hear(&ctx, liar.port);

    liar_end(&liar);
    assert_int_equal(status.code, HF_INTERNAL);
    assert_true(strlen(status.message) < 2100);
}

static void text_check(const char *bytes, size_t len, const char *hidden)
{
    HF_CLEANUP(ctx_end) struct hf_ctx ctx = ctx_begin();
    const struct lie lie = {"a text", AT_QUERY, bytes,       len,           NOTHING,
                            0,        0,        HF_INTERNAL, "SERVER_ERROR"};
    struct liar liar = {0};

    liar_start(&liar, &lie);
    struct hf_status status = hear(&ctx, liar.port);

    liar_end(&liar);
    assert_int_equal(status.code, HF_INTERNAL);
    assert_null(strstr(status.message, hidden));
    assert_true(hf_is_utf8(status.message, strlen(status.message)));
    for (const char *p = status.message; *p != '\0'; p++) {
        assert_true((unsigned char)*p >= ' ' && *p != 0x7f);
    }
}

static void test_lies__texts_are_clean(void **state)
{
    (void)state;
    text_check(BYTES("E\0\0\0\x15"
                     "M<" PASSWORD ">\0\0" READY),
               PASSWORD);
    text_check(BYTES("E\0\0\0\x15"
                     "M<SESAME-2024>\0\0" READY),
               "SESAME");
    text_check(BYTES("E\0\0\0\x0e"
                     "MxSesame\0\0" READY),
               "Sesame");
    text_check(BYTES("E\0\0\0\x10"
                     "Ma\x1b[2J\x7f\xe9t\0\0\0" READY),
               "\x1b");
    text_check(BYTES("E\0\0\0\x0f"
                     "Ma\xe2\x80\xaetxt\0\0" READY),
               "\xe2\x80\xae");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lies__end_the_call_and_nothing_else),
        cmocka_unit_test(test_lies__long_error_is_cut),
        cmocka_unit_test(test_lies__texts_are_clean),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

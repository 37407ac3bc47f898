/* Loops that a source can turn: the receiver goes round each a bounded number of times, over all
 * its connections, says why it waits, and streams again when the source is honest. */
#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backup/source/receiver.h"
#include "backup/source/receiver_internal.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/pool.h"
#include "egress/egress.h"
#include "tests/unit/libs/vault/wal_fixture.h"

#define SEGMENT (16 * MIB)
#define SYSTEM "7300000000000000001"

enum lie {
    ENDS_AT_ONCE,      /* timeline 1 has ended, and I am on timeline 1 */
    ENDS_BACKWARDS,    /* after timeline 1 comes timeline 1 */
    TURNS_PAGES,       /* each look another timeline */
    GOES_BACK,         /* each look less WAL */
    FLOODS,            /* keepalives that want a reply */
    STARTS_AND_LEAVES, /* the stream stands, and is gone */
    TIMELINE_ZERO,
    LSN_BEYOND,
};

struct liar {
    enum lie lie;
    int listener;
    uint16_t port;
    struct hf_thread *thread;
    atomic_bool is_over;
    atomic_int connects;
    atomic_int identifies;
    atomic_int starts;
    atomic_int forks;
};

/* --- the source ----------------------------------------------------------------------------- */

static bool say(int fd, const struct hf_buf *out)
{
    size_t done = 0;

    while (done < out->len) {
        ssize_t sent = send(fd, out->ptr + done, out->len - done, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        done += (size_t)sent;
    }
    return true;
}

static void put_be(struct hf_buf *out, uint64_t value, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--) {
        const uint8_t byte = (uint8_t)(value >> (8 * i));

        hf_buf_append(out, &byte, 1);
    }
}

static void put_message(struct hf_buf *out, char type, const void *body, size_t len)
{
    hf_buf_append(out, &type, 1);
    put_be(out, len + 4, 4);
    hf_buf_append(out, body, len);
}

/* One row of texts. */
static void put_row(struct hf_buf *out, const char *const values[])
{
    HF_CLEANUP(hf_buf_done) struct hf_buf head = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf row = {0};
    size_t len = 0;

    while (values[len] != NULL) {
        len++;
    }
    hf_buf_init(&head, 4096);
    hf_buf_init(&row, 65536);
    put_be(&head, len, 2);
    put_be(&row, len, 2);
    for (size_t i = 0; i < len; i++) {
        hf_buf_append(&head, "c\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0", 20);
        put_be(&row, strlen(values[i]), 4);
        hf_buf_text_append(&row, values[i]);
    }
    put_message(out, 'T', head.ptr, head.len);
    put_message(out, 'D', row.ptr, row.len);
    put_message(out, 'C', "SELECT 1", 9);
}

static void put_identity(struct liar *liar, struct hf_buf *out)
{
    char timeline[16] = "1";
    char lsn[32] = "0/9000000";
    int n = atomic_fetch_add(&liar->identifies, 1);

    if (liar->lie == TURNS_PAGES) {
        (void)snprintf(timeline, sizeof(timeline), "%d", n + 1);
    } else if (liar->lie == GOES_BACK) {
        (void)snprintf(lsn, sizeof(lsn), "0/%X", 0x40000000U - (unsigned)n * 0x1000000U);
    } else if (liar->lie == TIMELINE_ZERO) {
        timeline[0] = '0';
    } else if (liar->lie == LSN_BEYOND) {
        (void)snprintf(lsn, sizeof(lsn), "FFFFFFFF/FFFFFFFF");
    }
    put_row(out, (const char *const[]){SYSTEM, timeline, lsn, "", NULL});
}

static void put_history(struct hf_buf *out, unsigned timeline)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, 65536);
    for (unsigned i = 1; i < timeline; i++) {
        hf_buf_printf(&text, "%u\t0/9000000\tlie\n", i);
    }
    put_row(out, (const char *const[]){"x.history", hf_buf_text(&text), NULL});
}

static bool flood(struct liar *liar, int fd)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf many = {0};

    hf_buf_init(&many, 1 << 16);
    for (int i = 0; i < 1000; i++) {
        put_message(&many, 'd', "k\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\1", 18);
    }
    while (!atomic_load(&liar->is_over) && say(fd, &many)) {
        char heard[2048];

        (void)recv(fd, heard, sizeof(heard), MSG_DONTWAIT);
    }
    return false;
}

/* The answer to START_REPLICATION; false: the connection is over. */
static bool start(struct liar *liar, int fd, struct hf_buf *out)
{
    char next[16];

    atomic_fetch_add(&liar->starts, 1);
    if (liar->lie == FLOODS || liar->lie == STARTS_AND_LEAVES) {
        put_message(out, 'W', "\0\0\0", 3);
        (void)say(fd, out);
        return liar->lie == FLOODS && flood(liar, fd);
    }
    (void)snprintf(next, sizeof(next), "%d",
                   liar->lie == ENDS_BACKWARDS ? 1 : atomic_load(&liar->identifies) + 1);
    if (liar->lie == ENDS_AT_ONCE) {
        (void)snprintf(next, sizeof(next), "2");
    }
    put_row(out, (const char *const[]){next, "0/9000000", NULL});
    return true;
}

static bool answer(struct liar *liar, int fd, const char *sql)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
    unsigned timeline = 0;

    hf_buf_init(&out, 1 << 20);
    if (hf_has_prefix(sql, "IDENTIFY_SYSTEM")) {
        put_identity(liar, &out);
    } else if (hf_has_prefix(sql, "SHOW wal_segment_size")) {
        put_row(&out, (const char *const[]){"16MB", NULL});
    } else if (hf_has_prefix(sql, "READ_REPLICATION_SLOT")) {
        put_row(&out, (const char *const[]){"physical",
                                            liar->lie == GOES_BACK ? "0/50000000" : "0/9000000",
                                            "1", NULL});
    } else if (sscanf(sql, "TIMELINE_HISTORY %u", &timeline) == 1) {
        put_history(&out, timeline);
    } else if (hf_has_prefix(sql, "START_REPLICATION")) {
        if (!start(liar, fd, &out)) {
            return false;
        }
    } else {
        put_row(&out, (const char *const[]){"x", "0/9000000", "", "", NULL});
    }
    put_message(&out, 'Z', "I", 1);
    return say(fd, &out);
}

static void serve_one(struct liar *liar, int fd)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf hello = {0};
    char heard[2048];

    hf_buf_init(&hello, 4096);
    put_message(&hello, 'R', "\0\0\0\0", 4);
    put_message(&hello, 'S', "server_version\00015.1", 20);
    put_message(&hello, 'S', "in_hot_standby\0off", 19);
    put_message(&hello, 'S', "default_transaction_read_only\0off", 34);
    put_message(&hello, 'K', "\0\0\0\1\0\0\0\2", 8);
    put_message(&hello, 'Z', "I", 1);
    if (recv(fd, heard, sizeof(heard), 0) <= 0 || !say(fd, &hello)) {
        return;
    }
    for (;;) {
        ssize_t len = recv(fd, heard, sizeof(heard) - 1, 0);

        if (len < 6) {
            return;
        }
        heard[len] = '\0';
        if (heard[0] == 'Q' && !answer(liar, fd, heard + 5)) {
            return;
        }
        if (heard[0] == 'X') {
            return;
        }
    }
}

static void serve(void *arg)
{
    struct liar *liar = arg;

    while (!atomic_load(&liar->is_over)) {
        HF_CLEANUP(hf_close) int fd = accept(liar->listener, NULL, NULL);

        if (fd >= 0 && !atomic_load(&liar->is_over)) {
            atomic_fetch_add(&liar->connects, 1);
            serve_one(liar, fd);
        }
    }
}

static void liar_start(struct liar *liar, enum lie lie)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);

    liar->lie = lie;
    liar->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(liar->listener, (const struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(liar->listener, 8), 0);
    assert_int_equal(getsockname(liar->listener, (struct sockaddr *)&address, &len), 0);
    liar->port = ntohs(address.sin_port);
    liar->thread = hf_thread_start("liar", serve, liar);
}

static void liar_end(struct liar *liar)
{
    atomic_store(&liar->is_over, true);
    (void)shutdown(liar->listener, SHUT_RDWR);
    hf_thread_join(liar->thread);
    (void)close(liar->listener);
}

/* --- the receiver --------------------------------------------------------------------------- */

static struct hf_status on_lineage(struct hf_ctx *ctx, void *arg, const struct receiver_fork *fork,
                                   const char **ret_lineage)
{
    struct liar *liar = arg;

    (void)fork;
    *ret_lineage = hf_printf(ctx->arena, "l%d", atomic_fetch_add(&liar->forks, 1) + 2);
    return hf_success();
}

static struct receiver *receive(struct fixture *f, struct liar *liar, struct egress *gate)
{
    const struct receiver_options options = {
        .cluster = "orders",
        .dsn = hf_printf(f->ctx.arena, "host=127.0.0.1 port=%u user=x sslmode=disable", liar->port),
        .slot = "holdfast_orders",
        .system_identifier = SYSTEM,
        .store = f->store,
        .keyring = f->keyring,
        .prefix = FIXTURE_SOURCE,
        .lineage = "l1",
        .segment_bytes = SEGMENT,
        .access = {.egress = gate, .is_operator = true},
        .hooks = {.arg = liar, .on_lineage = on_lineage},
    };

    return receiver_start(&options);
}

struct outcome {
    enum lie lie;
    enum receiver_state state; /* at the end, if it is not between two tries */
    const char *error;         /* part of it */
    int seconds;
    int connects_max;
    int starts_max;
    int forks_max;
};

static void test_receiver__is_not_turned_round_by_a_source(void **state)
{
    static const struct outcome outcomes[] = {
        {ENDS_AT_ONCE, RECEIVER_WAITING, "is on timeline 1", 2, 12, 12, 0},
        {ENDS_BACKWARDS, RECEIVER_WAITING, "as the one after", 2, 12, 12, 0},
        {TURNS_PAGES, RECEIVER_STALLED, "another timeline 100 times", 12, 12, 110, 0},
        {GOES_BACK, RECEIVER_STALLED, "another one 6 times", 5, 20, 8, 6},
        {FLOODS, RECEIVER_WAITING, "floods", 2, 12, 12, 0},
        {STARTS_AND_LEAVES, RECEIVER_WAITING, "", 2, 12, 12, 0},
        {TIMELINE_ZERO, RECEIVER_WAITING, "makes no sense", 1, 8, 0, 0},
        {LSN_BEYOND, RECEIVER_WAITING, "makes no sense", 1, 8, 0, 0},
    };

    for (size_t i = 0; i < HF_LEN(outcomes); i++) {
        const struct outcome *want = &outcomes[i];
        void *fixture = NULL;
        struct liar liar = {0};
        struct receiver_status status;

        (void)state;
        assert_int_equal(fixture_setup(&fixture), 0);
        struct fixture *f = fixture;
        struct egress *gate = NULL;

        assert_int_equal(
            egress_new(&f->ctx, &(struct egress_options){.prefix = "sources"}, &gate).code, HF_OK);
        liar_start(&liar, want->lie);
        struct receiver *receiver = receive(fixture, &liar, gate);
        int64_t until_us = hf_mono_us() + want->seconds * HF_US_PER_S;

        do {
            assert_int_equal(usleep(20000), 0);
            receiver_status_get(receiver, &status);
        } while (hf_mono_us() < until_us ||
                 (status.state != want->state && hf_mono_us() < until_us + 12 * HF_US_PER_S));
        if (status.state != want->state || strstr(status.error, want->error) == NULL ||
            atomic_load(&liar.connects) > want->connects_max ||
            atomic_load(&liar.starts) > want->starts_max) {
            print_error("lie %d: state %d, %d connects, %d starts, %d forks: %s\n", (int)want->lie,
                        (int)status.state, liar.connects, liar.starts, liar.forks, status.error);
        }
        assert_int_equal(status.state, want->state);
        assert_non_null(strstr(status.error, want->error));
        assert_in_range(atomic_load(&liar.connects), 1, want->connects_max);
        assert_in_range(atomic_load(&liar.starts), 0, want->starts_max);
        assert_in_range(atomic_load(&liar.forks), 0, want->forks_max);
        receiver_stop(receiver);
        liar_end(&liar);
        receiver_free(receiver);
        egress_free(gate);
        assert_int_equal(fixture_teardown(&fixture), 0);
    }
}

static struct hf_status on_lineage_away(struct hf_ctx *ctx, void *arg,
                                        const struct receiver_fork *fork, const char **ret_lineage)
{
    (void)arg;
    (void)fork;
    (void)ret_lineage;
    return hf_fail(ctx->arena, HF_UNAVAILABLE, "the database is away");
}

/* An outage of ours is not the source's doing: it does not count against it. */
static void test_receiver__what_could_not_be_begun_costs_nothing(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct hf_ctx ctx = {.arena = arena};
    struct receiver receiver = {.options = {.hooks = {.on_lineage = on_lineage_away}}};
    struct receiver_session session = {
        .receiver = &receiver, .timeline = 1, .place = {.segment_bytes = SEGMENT}};

    (void)state;
    for (int i = 0; i < 2 * RECEIVER_FORKS_PER_HOUR; i++) {
        assert_int_equal(receiver_fork_lineage(&ctx, &session, "it went back").code,
                         HF_UNAVAILABLE);
    }
    assert_int_equal(receiver.fork_budget.used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_receiver__is_not_turned_round_by_a_source),
        cmocka_unit_test(test_receiver__what_could_not_be_begun_costs_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

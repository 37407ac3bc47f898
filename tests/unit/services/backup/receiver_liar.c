/* The source is a listener on loopback that speaks as much of the protocol as a lie takes, to one
 * connection at a time; the receiver knows it by a name whose address can change. */
#include "receiver_liar.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"

#define SYSTEM "7300000000000000001"
#define END_LSN 0x9000000
#define YEARS_US (INT64_C(100) * 365 * 86400 * HF_US_PER_S)

/* --- the source ----------------------------------------------------------------------------- */

static bool goes_back(const struct liar *liar)
{
    return liar->lie == GOES_BACK || liar->lie == COSTS_MEMORY;
}

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
    } else if (liar->lie == BOASTS && atomic_load(&liar->starts) == 0) {
        timeline[0] = '2';
    } else if (goes_back(liar)) {
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

/* Signs of life at the end of its WAL; the first ones tell a time of years ahead. */
static bool live(struct liar *liar, int fd)
{
    for (int n = 0; !atomic_load(&liar->is_over) && !atomic_load(&liar->is_moving); n++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf out = {0};
        HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};
        bool is_dreaming = liar->lie == CLOCK_OF_A_DREAM && n < 20;
        int64_t ahead_us = is_dreaming ? YEARS_US : 0;
        char heard[2048];

        hf_buf_init(&out, 256);
        hf_buf_init(&body, 64);
        hf_buf_append(&body, "k", 1);
        put_be(&body, END_LSN, 8);
        put_be(&body, (uint64_t)(hf_now_us() + ahead_us - HF_PG_EPOCH_US), 8);
        put_be(&body, 0, 1);
        put_message(&out, 'd', body.ptr, body.len);
        if (!say(fd, &out) || recv(fd, heard, sizeof(heard), MSG_DONTWAIT) == 0 ||
            usleep(50000) != 0) {
            break;
        }
    }
    return false;
}

/* The answer to START_REPLICATION; false: the connection is over. */
static bool start(struct liar *liar, int fd, struct hf_buf *out)
{
    int before = atomic_fetch_add(&liar->starts, 1);
    char next[16];

    if (liar->lie == LOSES_ITS_END && before == 0) {
        put_message(out, 'E', "SERROR\0C58P01\0Mit was removed\0", 31);
        return true;
    }
    if (liar->lie == BOASTS && before == 0) {
        return false;
    }
    if (liar->lie == LOSES_ITS_END || liar->lie == BOASTS || liar->lie == CLOCK_OF_A_DREAM ||
        liar->lie == MOVES) {
        put_message(out, 'W', "\0\0\0", 3);
        return say(fd, out) && live(liar, fd);
    }
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
        put_row(&out, (const char *const[]){
                          "physical", goes_back(liar) ? "0/50000000" : "0/9000000", "1", NULL});
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
    if (liar->lie == COSTS_MEMORY) {
        (void)hf_alloc(ctx->arena, (size_t)512 << 20);
        return hf_ctx_check(ctx);
    }
    *ret_lineage = hf_printf(ctx->arena, "l%d", atomic_fetch_add(&liar->forks, 1) + 2);
    return hf_success();
}

static struct receiver *receive(struct fixture *f, struct liar *liar, struct egress *gate)
{
    const struct receiver_options options = {
        .cluster = "orders",
        .dsn = hf_printf(f->ctx.arena, "host=db.test port=%u user=x sslmode=disable", liar->port),
        .slot = "holdfast_orders",
        .system_identifier = SYSTEM,
        .store = f->store,
        .keyring = f->keyring,
        .prefix = FIXTURE_SOURCE,
        .lineage = "l1",
        .segment_bytes = LIAR_SEGMENT,
        .access = {.egress = gate, .is_operator = true},
        .hooks = {.arg = liar, .on_lineage = on_lineage},
    };

    return receiver_start(&options);
}

static bool look_up(void *arg, const char *host, struct egress_address *ret_addresses,
                    size_t *ret_len)
{
    struct liar *liar = arg;
    const char *answer = atomic_load(&liar->answer);
    struct egress_range range;

    assert_string_equal(host, "db.test");
    assert_true(egress_range_parse(answer != NULL ? answer : "127.0.0.1", &range));
    memcpy(ret_addresses[0].bytes, range.bytes, sizeof(range.bytes));
    *ret_len = 1;
    return true;
}

void play_begin(struct play *play, enum lie lie)
{
    void *fixture = NULL;

    assert_int_equal(fixture_setup(&fixture), 0);
    *play = (struct play){.f = fixture};
    liar_start(&play->liar, lie);
    const struct egress_endpoint own = {LIAR_OWN_HOST, play->liar.port};
    const struct egress_options options = {.prefix = "sources",
                                           .own = &own,
                                           .own_len = 1,
                                           .denied = LIAR_DENIED,
                                           .lookup = look_up,
                                           .lookup_arg = &play->liar};

    assert_ok(egress_new(&play->f->ctx, &options, &play->gate));
    play->receiver = receive(play->f, &play->liar, play->gate);
    play->begin_us = hf_mono_us();
}

void play_end(struct play *play)
{
    void *fixture = play->f;

    receiver_stop(play->receiver);
    liar_end(&play->liar);
    receiver_free(play->receiver);
    egress_free(play->gate);
    assert_int_equal(fixture_teardown(&fixture), 0);
}

void play_await(struct play *play, enum receiver_state state, int seconds,
                struct receiver_status *ret_status)
{
    int64_t until_us = play->begin_us + seconds * HF_US_PER_S;
    int64_t latest_us = hf_mono_us() + 12 * HF_US_PER_S;

    latest_us = latest_us > until_us ? latest_us : until_us;
    do {
        assert_int_equal(usleep(20000), 0);
        receiver_status_get(play->receiver, ret_status);
    } while (hf_mono_us() < until_us || (ret_status->state != state && hf_mono_us() < latest_us));
}

/* Hostile calls by the hundred thousand: loader TARGET CERTS CASES RESULTS SEED CALLS IN_FLIGHT
 *
 * CASES holds prepared calls (calls.py writes it): each is made once, in order, and what came back
 * is written to RESULTS. Then random ones follow, most of them broken a little more, until CALLS
 * have been made. Call i depends on SEED and i alone. The last line is a JSON summary; a line
 * before it names each answer that no server should give: its case, body and code. */
#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpc/support/alloc.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "codec/wire.h"

enum {
    CASES_MAX = 256 << 20,
    ARENA_MAX = 512 << 20,
    BODY_MAX = 2 << 20,
    PEM_MAX = 65536,
    CHANNELS = 4,
    METADATA_MAX = 16,
    CODES = 17,
    TELL_MAX = 40,
    STREAM_MESSAGES = 3,
    REPLY_KEPT = 65536,
    RARE = 256, /* a call that may begin work is made again once in so many */
};

enum { IS_STREAM = 1, IS_CANCELLED = 2, BEGINS_WORK = 4, IS_ONCE = 8 };

struct prepared {
    const char *path;
    uint8_t flags;
    uint32_t deadline_ms;
    grpc_metadata metadata[METADATA_MAX];
    size_t metadata_len;
    struct hf_bytes body;
};

struct load {
    struct hf_arena *arena;
    grpc_channel *channels[CHANNELS];
    grpc_completion_queue *queue;
    struct prepared *cases;
    size_t cases_len;
    uint64_t seed;
    uint64_t calls;
    uint64_t started;
    uint64_t ended;
    FILE *results;
    uint64_t codes[CODES];
    unsigned told;
};

struct call {
    struct load *load;
    const struct prepared *from;
    struct hf_buf body;
    bool is_prepared; /* one of the cases as it stands */
    bool is_stream;
    unsigned messages;
    unsigned pending; /* batches under way */
    grpc_call *core;
    grpc_metadata_array headers;
    grpc_metadata_array trailers;
    grpc_byte_buffer *received;
    grpc_status_code code;
    grpc_slice text;
    struct hf_buf reply;
};

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* --- cases ---------------------------------------------------------------------------------- */

static void decode_metadata(struct codec_wire *wire, struct load *load, struct prepared *one)
{
    size_t count = codec_wire_get_u8(wire);

    HF_CHECK(count <= METADATA_MAX);
    for (size_t i = 0; i < count; i++) {
        struct hf_bytes key = codec_wire_get_bytes(wire, UINT16_MAX);
        struct hf_bytes value = codec_wire_get_bytes(wire, 1 << 20);

        (void)load;
        one->metadata[i].key = grpc_slice_from_copied_buffer((const char *)key.ptr, key.len);
        one->metadata[i].value = grpc_slice_from_copied_buffer((const char *)value.ptr, value.len);
    }
    one->metadata_len = count;
}

static void decode_cases(struct load *load, struct hf_bytes bytes)
{
    struct codec_wire wire = codec_wire_open(bytes.ptr, bytes.len);
    size_t count = codec_wire_get_count(&wire, 1 << 20, 4);

    load->cases = HF_NEW_N(load->arena, struct prepared, count + 1);
    for (size_t i = 0; i < count; i++) {
        struct prepared *one = &load->cases[i];

        one->path = codec_wire_get_text(&wire, load->arena, UINT16_MAX);
        one->flags = codec_wire_get_u8(&wire);
        one->deadline_ms = (uint32_t)codec_wire_get_max(&wire, UINT32_MAX);
        decode_metadata(&wire, load, one);
        one->body = codec_wire_get_bytes(&wire, BODY_MAX * 8);
    }
    HF_CHECK(hf_is_ok(codec_wire_finish(&wire, load->arena, "cases")));
    load->cases_len = count;
}

/* --- breaking a body ------------------------------------------------------------------------ */

static void put_extreme(struct hf_buf *body, size_t at, uint64_t choice)
{
    static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x08, 0x12, '/', '%'};

    body->ptr[at] = extremes[choice % HF_LEN(extremes)];
}

/* A piece of another case's body at a random place, or at the end. */
static void splice(struct load *load, struct hf_buf *body, uint64_t *state)
{
    struct hf_bytes other = load->cases[draw(state) % load->cases_len].body;
    size_t from = other.len > 0 ? draw(state) % other.len : 0;
    size_t len = other.len - from < 4096 ? other.len - from : 4096;

    if (draw(state) % 2 == 0 && body->len > 0) {
        body->len = draw(state) % body->len;
    }
    hf_buf_append(body, len > 0 ? other.ptr + from : (const uint8_t *)"", len);
}

static void break_body(struct load *load, struct hf_buf *body, uint64_t *state)
{
    for (uint64_t left = 1 + draw(state) % 4; left > 0; left--) {
        uint64_t way = draw(state) % 6;

        if (way == 0 || body->len == 0) {
            splice(load, body, state);
        } else if (way == 1) {
            body->len = draw(state) % body->len;
        } else if (way == 2) {
            body->ptr[draw(state) % body->len] ^= (uint8_t)(1u << draw(state) % 8);
        } else {
            put_extreme(body, draw(state) % body->len, draw(state));
        }
    }
}

/* --- calls ---------------------------------------------------------------------------------- */

static const struct prepared *choose(struct load *load, uint64_t *state)
{
    for (;;) {
        const struct prepared *one = &load->cases[draw(state) % load->cases_len];

        bool is_rare = (one->flags & BEGINS_WORK) != 0 && draw(state) % RARE != 0;

        if ((one->flags & IS_ONCE) == 0 && !is_rare) {
            return one;
        }
    }
}

static void receive(struct call *call)
{
    grpc_op op = {.op = GRPC_OP_RECV_MESSAGE};

    op.data.recv_message.recv_message = &call->received;
    call->pending++;
    HF_CHECK(grpc_call_start_batch(call->core, &op, 1, call, NULL) == GRPC_CALL_OK);
}

static bool start_ops(struct call *call, grpc_byte_buffer *message)
{
    grpc_op ops[5] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    struct prepared from = *call->from;

    ops[0].data.send_initial_metadata.metadata = from.metadata;
    ops[0].data.send_initial_metadata.count = from.metadata_len;
    ops[1].data.send_message.send_message = message;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &call->headers;
    ops[4].data.recv_status_on_client.trailing_metadata = &call->trailers;
    ops[4].data.recv_status_on_client.status = &call->code;
    ops[4].data.recv_status_on_client.status_details = &call->text;
    call->pending++;
    return grpc_call_start_batch(call->core, ops, 5, call, NULL) == GRPC_CALL_OK;
}

static void call_free(struct call *call)
{
    grpc_metadata_array_destroy(&call->headers);
    grpc_metadata_array_destroy(&call->trailers);
    grpc_slice_unref(call->text);
    grpc_call_unref(call->core);
    hf_buf_done(&call->body);
    hf_buf_done(&call->reply);
    hf_heap_free(call);
}

static struct call *call_new(struct load *load, uint64_t number, uint32_t *ret_deadline_ms)
{
    struct call *call = hf_heap_alloc(sizeof(*call));
    uint64_t state = load->seed * UINT64_C(1000003) + number;

    call->load = load;
    call->is_prepared = number < load->cases_len;
    call->from = call->is_prepared ? &load->cases[number] : choose(load, &state);
    call->is_stream = (call->from->flags & IS_STREAM) != 0;
    call->text = grpc_empty_slice();
    hf_buf_init(&call->body, (size_t)BODY_MAX * 8);
    hf_buf_init(&call->reply, REPLY_KEPT);
    hf_buf_append(&call->body, call->from->body.ptr, call->from->body.len);
    *ret_deadline_ms = call->from->deadline_ms;
    if (!call->is_prepared && draw(&state) % 8 != 0) {
        break_body(load, &call->body, &state);
    }
    if (!call->is_prepared && draw(&state) % 64 == 0) {
        *ret_deadline_ms = (uint32_t)(draw(&state) % 3);
    }
    return call;
}

static void call_start(struct load *load, uint64_t number)
{
    uint32_t deadline_ms = 0;
    struct call *call = call_new(load, number, &deadline_ms);
    grpc_slice bytes = grpc_slice_from_copied_buffer((const char *)call->body.ptr, call->body.len);
    grpc_byte_buffer *message = grpc_raw_byte_buffer_create(&bytes, 1);
    grpc_slice path = grpc_slice_from_copied_string(call->from->path);

    call->core = grpc_channel_create_call(
        load->channels[number % CHANNELS], NULL, GRPC_PROPAGATE_DEFAULTS, load->queue, path, NULL,
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(deadline_ms, GPR_TIMESPAN)),
        NULL);
    grpc_slice_unref(path);
    grpc_slice_unref(bytes);
    load->started++;
    bool is_started = start_ops(call, message);

    grpc_byte_buffer_destroy(message);
    HF_CHECK(is_started); /* calls.py makes no metadata that core refuses */
    receive(call);
    if ((call->from->flags & IS_CANCELLED) != 0) {
        (void)grpc_call_cancel(call->core, NULL);
    }
}

/* Keep the beginning of the first message; ask for more of a stream. */
static void take_message(struct call *call)
{
    grpc_byte_buffer_reader reader;

    if (call->received == NULL) {
        return;
    }
    if (call->messages++ == 0 && grpc_byte_buffer_reader_init(&reader, call->received) != 0) {
        grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
        size_t len = GRPC_SLICE_LENGTH(all);

        hf_buf_append(&call->reply, GRPC_SLICE_START_PTR(all), len < REPLY_KEPT ? len : REPLY_KEPT);
        grpc_slice_unref(all);
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_byte_buffer_destroy(call->received);
    call->received = NULL;
    if (call->is_stream && call->messages < STREAM_MESSAGES) {
        receive(call);
    } else if (call->is_stream) {
        (void)grpc_call_cancel(call->core, NULL);
    }
}

static struct hf_bytes details_of(const struct call *call)
{
    for (size_t i = 0; i < call->trailers.count; i++) {
        const grpc_metadata *item = &call->trailers.metadata[i];

        if (grpc_slice_str_cmp(item->key, "grpc-status-details-bin") == 0) {
            return (struct hf_bytes){GRPC_SLICE_START_PTR(item->value),
                                     GRPC_SLICE_LENGTH(item->value)};
        }
    }
    return (struct hf_bytes){(const uint8_t *)"", 0};
}

static void record(struct call *call, struct hf_bytes text)
{
    struct hf_buf out = {0};

    hf_buf_init(&out, (size_t)REPLY_KEPT * 4);
    codec_wire_put_u64(&out, (uint64_t)(call->from - call->load->cases));
    codec_wire_put_u64(&out, (uint64_t)call->code);
    codec_wire_put_u64(&out, call->messages);
    codec_wire_put_bytes(&out, text.ptr, text.len);
    codec_wire_put_bytes(&out, details_of(call).ptr, details_of(call).len);
    codec_wire_put_bytes(&out, call->reply.ptr, call->reply.len);
    HF_CHECK(fwrite(out.ptr, 1, out.len, call->load->results) == out.len);
    hf_buf_done(&out);
}

/* INTERNAL, UNKNOWN, no code at all, a text that is no UTF-8, a server that is gone (one that is
 * there and says UNAVAILABLE gives a reason). */
static void judge(struct call *call, struct hf_bytes text)
{
    struct load *load = call->load;
    bool is_odd = call->code == GRPC_STATUS_INTERNAL || call->code == GRPC_STATUS_UNKNOWN ||
                  (call->code == GRPC_STATUS_UNAVAILABLE && details_of(call).len == 0) ||
                  (unsigned)call->code >= CODES || !hf_is_utf8((const char *)text.ptr, text.len);

    load->codes[(unsigned)call->code < CODES ? (unsigned)call->code : 2]++;
    if (is_odd && load->told++ < TELL_MAX) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(64 << 20);
        size_t len = call->body.len < 4096 ? call->body.len : 4096;

        printf("odd %d %s %.*s body %s\n", (int)call->code, call->from->path, (int)text.len,
               (const char *)text.ptr, hf_hex(arena, call->body.ptr, len));
    }
}

static void call_end(struct call *call)
{
    struct hf_bytes text = {GRPC_SLICE_START_PTR(call->text), GRPC_SLICE_LENGTH(call->text)};

    judge(call, text);
    if (call->is_prepared) {
        record(call, text);
    }
    call->load->ended++;
    call_free(call);
}

static void run(struct load *load, uint64_t in_flight)
{
    while (load->ended < load->calls) {
        while (load->started < load->calls && load->started - load->ended < in_flight) {
            call_start(load, load->started);
        }
        grpc_event event =
            grpc_completion_queue_next(load->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct call *call = event.tag;

        HF_CHECK(event.type == GRPC_OP_COMPLETE);
        take_message(call);
        if (--call->pending == 0) {
            call_end(call);
        }
    }
}

/* --- the whole ------------------------------------------------------------------------------ */

static const char *read_text(struct hf_arena *arena, const char *folder, const char *name)
{
    struct hf_buf buf;

    hf_buf_init(&buf, PEM_MAX);
    HF_CHECK(hf_is_ok(hf_read_file(arena, hf_path_join(arena, folder, name), &buf)));
    const char *text = hf_strdup(arena, hf_buf_text(&buf));

    hf_buf_done(&buf);
    return text;
}

static void connect_all(struct load *load, const char *target, const char *certs)
{
    grpc_ssl_pem_key_cert_pair pair = {read_text(load->arena, certs, "tls.key"),
                                       read_text(load->arena, certs, "tls.crt")};
    grpc_channel_credentials *credentials =
        grpc_ssl_credentials_create_ex(read_text(load->arena, certs, "ca.crt"), &pair, NULL, NULL);
    grpc_arg args[] = {
        {.type = GRPC_ARG_STRING, .key = hf_strdup(load->arena, GRPC_SSL_TARGET_NAME_OVERRIDE_ARG)},
        {.type = GRPC_ARG_INTEGER,
         .key = hf_strdup(load->arena, GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL)},
        {.type = GRPC_ARG_INTEGER, .key = hf_strdup(load->arena, GRPC_ARG_ENABLE_RETRIES)},
    };
    const grpc_channel_args all = {HF_LEN(args), args};

    args[0].value.string = hf_strdup(load->arena, "localhost");
    args[1].value.integer = 1;
    for (size_t i = 0; i < CHANNELS; i++) {
        load->channels[i] = grpc_channel_create(target, credentials, &all);
    }
    grpc_channel_credentials_release(credentials);
}

static void summary(const struct load *load, int64_t began_us)
{
    printf("{\"calls\": %" PRIu64 ", \"odd\": %u, \"ms\": %" PRId64 ", \"codes\": [", load->ended,
           load->told, (hf_mono_us() - began_us) / 1000);
    for (size_t i = 0; i < CODES; i++) {
        printf("%s%" PRIu64, i > 0 ? ", " : "", load->codes[i]);
    }
    printf("]}\n");
}

/* A sanitizer counts what is left. */
static void disconnect(struct load *load)
{
    for (size_t i = 0; i < CHANNELS; i++) {
        grpc_channel_destroy(load->channels[i]);
    }
    for (size_t i = 0; i < load->cases_len; i++) {
        for (size_t k = 0; k < load->cases[i].metadata_len; k++) {
            grpc_slice_unref(load->cases[i].metadata[k].key);
            grpc_slice_unref(load->cases[i].metadata[k].value);
        }
    }
    grpc_completion_queue_shutdown(load->queue);
    while (grpc_completion_queue_next(load->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL).type !=
           GRPC_QUEUE_SHUTDOWN) {
    }
    grpc_completion_queue_destroy(load->queue);
    grpc_shutdown_blocking();
    hf_arena_free(load->arena);
}

int main(int argc, char **argv)
{
    struct load load = {.started = 0};
    struct hf_buf bytes;
    uint64_t in_flight = 0;

    if (argc != 8 || !hf_parse_u64(argv[5], &load.seed) || !hf_parse_u64(argv[6], &load.calls) ||
        !hf_parse_u64(argv[7], &in_flight)) {
        fprintf(stderr, "usage: %s TARGET CERTS CASES RESULTS SEED CALLS IN_FLIGHT\n", argv[0]);
        return 2;
    }
    load.arena = hf_arena_new(ARENA_MAX);
    load.results = fopen(argv[4], "we");
    HF_CHECK(load.results != NULL);
    hf_buf_init(&bytes, CASES_MAX);
    HF_CHECK(hf_is_ok(hf_read_file(load.arena, argv[3], &bytes)));
    grpc_init();
    decode_cases(&load, (struct hf_bytes){bytes.ptr, bytes.len});
    load.calls = load.calls < load.cases_len ? load.cases_len : load.calls;
    load.queue = grpc_completion_queue_create_for_next(NULL);
    connect_all(&load, argv[1], argv[2]);
    int64_t began_us = hf_mono_us();

    run(&load, in_flight);
    summary(&load, began_us);
    disconnect(&load);
    hf_buf_done(&bytes);
    return fclose(load.results) == 0 ? 0 : 1;
}

/* Commands and their answers, over messages. Surprise: the rows of an answer are kept packed in one
 * bounded buffer of the connection until the last has come; only then are they handed out. */
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "pgformat/wal.h"
#include "pgwire/internal.h"

#define COLUMNS_MAX 1664
#define CELLS_MAX 100000
#define VALUE_SHOWN ((size_t)16 << 10) /* of a value as text */
#define TEXT_FIELDS_MAX 32

/* --- decoding ------------------------------------------------------------------------------- */

/* Fields "S…\0C…\0M…\0\0"; one that is cut off is what is there of it. */
void pgwire_error_decode(const struct pgwire_message *message, struct pgwire_error *ret_error)
{
    struct pgwire_error error = {{NULL, 0}, {NULL, 0}, ""};
    const char *p = (const char *)message->bytes;
    size_t left = message->len;

    for (int i = 0; i < TEXT_FIELDS_MAX && left > 1 && *p != '\0'; i++) {
        struct hf_str value = {p + 1, strnlen(p + 1, left - 1)};

        if (*p == 'C' && value.len == 5) {
            memcpy(error.sqlstate, value.ptr, 5);
        } else if (*p == 'M') {
            error.message = value;
        } else if (*p == 'D') {
            error.detail = value;
        }
        size_t used = 1 + value.len + 1;

        used = used < left ? used : left;
        p += used;
        left -= used;
    }
    *ret_error = error;
}

/* A short text of the cell; "" when it is none. */
static const char *cell_text(struct hf_arena *arena, struct hf_str cell)
{
    return cell.ptr == NULL || cell.len > 64 ? "" : hf_strndup(arena, cell.ptr, cell.len);
}

bool pgwire_cell_u64(struct hf_arena *arena, struct hf_str cell, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;

    if (!hf_parse_u64(cell_text(arena, cell), &value) || value > max) {
        return false;
    }
    *ret = value;
    return true;
}

bool pgwire_cell_lsn(struct hf_arena *arena, struct hf_str cell, uint64_t *ret_lsn)
{
    uint64_t lsn = 0;

    if (!pgf_lsn_parse(cell_text(arena, cell), &lsn) || lsn > PGWIRE_LSN_MAX) {
        return false;
    }
    *ret_lsn = lsn;
    return true;
}

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

/* Columns that a row description names; COLUMNS_MAX + 1: it makes no sense. */
static size_t columns_decode(const struct pgwire_message *message)
{
    return message->len < 2 ? COLUMNS_MAX + 1 : be16(message->bytes);
}

/* Is it a row of that many values, and nothing behind them? */
static bool row_ok(const struct pgwire_message *message, size_t columns)
{
    size_t at = 2;

    if (message->len < 2 || be16(message->bytes) != columns) {
        return false;
    }
    for (size_t i = 0; i < columns; i++) {
        uint32_t len = at + 4 <= message->len ? be32(message->bytes + at) : 0;

        if (at + 4 > message->len || (len != UINT32_MAX && len > message->len - at - 4)) {
            return false;
        }
        at += 4 + (len == UINT32_MAX ? 0 : len);
    }
    return at == message->len;
}

static struct hf_status answer_fail(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *what)
{
    const char *const metadata[] = {"host", conn->peer, NULL};

    conn->is_broken = true;
    return hf_fail_info(ctx->arena, HF_DATA_LOSS, "PROTOCOL_VIOLATION", metadata,
                        "the answer of %s makes no sense: %s", conn->peer, what);
}

static struct hf_status row_add(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                const struct pgwire_message *message, struct pgwire_result *result)
{
    const char *const metadata[] = {"host", conn->peer, NULL};

    if (!row_ok(message, result->columns)) {
        return answer_fail(ctx, conn, "a row that does not fit its description");
    }
    hf_buf_append(&conn->rows, message->bytes + 2, message->len - 2);
    result->rows++;
    if (conn->rows.is_full || result->rows > PGWIRE_ROWS_MAX ||
        result->rows * result->columns > CELLS_MAX) {
        conn->is_broken = true;
        return hf_fail_info(ctx->arena, HF_RESOURCE_EXHAUSTED, "ANSWER_TOO_LARGE", metadata,
                            "the answer of %s has more than %d rows or %zu MiB", conn->peer,
                            PGWIRE_ROWS_MAX, PGWIRE_ROWS_BYTES_MAX >> 20);
    }
    return hf_success();
}

/* Views of the packed values. */
static struct hf_status cells_make(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                   struct pgwire_result *result)
{
    size_t cells = result->rows * result->columns;
    struct hf_str *list = hf_try_alloc(ctx->arena, (cells + 1) * sizeof(*list));
    const uint8_t *p = conn->rows.ptr;
    size_t left = conn->rows.len;

    if (list == NULL) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "the answer of %s is too large",
                       conn->peer);
    }
    for (size_t i = 0; i < cells; i++) {
        uint32_t len = left >= 4 ? be32(p) : 0;
        size_t used = len == UINT32_MAX ? 4 : 4 + (size_t)len;

        if (left < 4 || used > left) {
            return answer_fail(ctx, conn, "fewer values than its rows have");
        }
        list[i] = len == UINT32_MAX ? (struct hf_str){NULL, 0}
                                    : (struct hf_str){(const char *)p + 4, len};
        p += used;
        left -= used;
    }
    result->cells = list;
    return hf_success();
}

/* --- results -------------------------------------------------------------------------------- */

static struct hf_status result_take(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    const struct pgwire_message *message,
                                    struct pgwire_result *result, bool *ret_is_whole)
{
    *ret_is_whole = true;
    switch (message->type) {
    case 'T':
        if (result->kind != PGWIRE_RES_DONE) { /* its rows were judged by the first */
            return answer_fail(ctx, conn, "it is described twice");
        }
        result->columns = columns_decode(message);
        result->kind = PGWIRE_RES_ROWS;
        *ret_is_whole = false;
        return result->columns > COLUMNS_MAX ? answer_fail(ctx, conn, "too many columns")
                                             : hf_success();
    case 'D':
        *ret_is_whole = false;
        return result->kind == PGWIRE_RES_ROWS ? row_add(ctx, conn, message, result)
                                               : answer_fail(ctx, conn, "a row without columns");
    case 'C':
    case 'I':
        return result->kind == PGWIRE_RES_ROWS ? cells_make(ctx, conn, result) : hf_success();
    case 'E':
        result->kind = PGWIRE_RES_ERROR;
        pgwire_error_decode(message, &result->error);
        return hf_success();
    case 'Z':
        result->kind = PGWIRE_RES_END;
        conn->is_idle = true;
        return hf_success();
    case 'H':
        result->kind = PGWIRE_RES_COPY_OUT;
        return hf_success();
    case 'W':
        result->kind = PGWIRE_RES_COPY_BOTH;
        return hf_success();
    case 'G':
    case 'd':
    case 'c':
        return answer_fail(ctx, conn, "a copy that nobody asked for");
    default: /* '1', '2', 'n': steps of the extended protocol */
        *ret_is_whole = false;
        return hf_success();
    }
}

struct hf_status pgwire_result_next(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    struct pgwire_result *ret_result)
{
    /* The whole result has this time: a server that says a little now and then says nothing. */
    int64_t until_us = hf_mono_us() + (int64_t)conn->answer_ms * 1000;
    struct pgwire_result result = {.kind = PGWIRE_RES_DONE};
    bool is_whole = false;

    if (conn->is_idle) {
        *ret_result = (struct pgwire_result){.kind = PGWIRE_RES_END};
        return hf_success();
    }
    hf_buf_clear(&conn->rows);
    while (!is_whole) {
        struct pgwire_message message;

        HF_TRY(pgwire_message_await(ctx, conn, until_us, &message));
        HF_TRY(result_take(ctx, conn, &message, &result, &is_whole));
    }
    *ret_result = result;
    return hf_success();
}

struct hf_status pgwire_result_expect(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                      enum pgwire_result_kind kind,
                                      struct pgwire_result *ret_result)
{
    HF_TRY(pgwire_result_next(ctx, conn, ret_result));
    return ret_result->kind == kind ? hf_success() : pgwire_fail_result(ctx, conn, ret_result);
}

struct hf_status pgwire_results_drain(struct hf_ctx *ctx, struct pgwire_conn *conn)
{
    struct hf_status outcome = hf_success();

    for (int i = 0; i < PGWIRE_RESULTS_MAX; i++) {
        struct pgwire_result result;

        HF_TRY(pgwire_result_next(ctx, conn, &result));
        if (result.kind == PGWIRE_RES_END) {
            return outcome;
        }
        if (result.kind != PGWIRE_RES_ROWS && result.kind != PGWIRE_RES_DONE && hf_is_ok(outcome)) {
            outcome = pgwire_fail_result(ctx, conn, &result);
        }
        if (result.kind == PGWIRE_RES_COPY_OUT || result.kind == PGWIRE_RES_COPY_BOTH) {
            conn->is_broken = true; /* a COPY that nobody asked for would never end */
            return outcome;
        }
    }
    return answer_fail(ctx, conn, "it has no end");
}

/* --- commands ------------------------------------------------------------------------------- */

static void put_be16(struct hf_buf *out, size_t value)
{
    const uint8_t bytes[2] = {(uint8_t)(value >> 8), (uint8_t)value};

    hf_buf_append(out, bytes, sizeof(bytes));
}

static void put_be32(struct hf_buf *out, uint32_t value)
{
    put_be16(out, value >> 16);
    put_be16(out, value & 0xffff);
}

static void put_text(struct hf_buf *out, const char *text)
{
    hf_buf_append(out, text, strlen(text) + 1);
}

static void put_simple(struct pgwire_wire *wire, const char *sql)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};

    hf_buf_init(&body, PGWIRE_COMMAND_MAX);
    put_text(&body, sql);
    pgwire_wire_put(wire, 'Q', &body);
}

/* Unnamed statement and portal, everything as text. */
static void put_extended(struct pgwire_wire *wire, const char *sql, const char *const *params,
                         size_t params_len)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};

    hf_buf_init(&body, PGWIRE_COMMAND_MAX);
    put_text(&body, "");
    put_text(&body, sql);
    put_be16(&body, 0);
    pgwire_wire_put(wire, 'P', &body);
    hf_buf_clear(&body);
    hf_buf_append(&body, "\0\0\0\0", 4); /* portal, statement, formats of parameters */
    put_be16(&body, params_len);
    for (size_t i = 0; i < params_len; i++) {
        size_t len = params[i] == NULL ? 0 : strlen(params[i]);

        put_be32(&body, params[i] == NULL ? UINT32_MAX : (uint32_t)len);
        hf_buf_append(&body, params[i] == NULL ? "" : params[i], len);
    }
    put_be16(&body, 0);
    pgwire_wire_put(wire, 'B', &body);
    hf_buf_clear(&body);
    put_text(&body, "P");
    pgwire_wire_put(wire, 'D', &body);
    hf_buf_clear(&body);
    put_text(&body, "");
    put_be32(&body, 0);
    pgwire_wire_put(wire, 'E', &body);
    hf_buf_clear(&body);
    pgwire_wire_put(wire, 'S', &body);
}

struct hf_status pgwire_send(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *sql,
                             const char *const *params, size_t params_len)
{
    if (!pgwire_is_alive(conn)) {
        return pgwire_fail_lost(ctx, conn);
    }
    if (conn->mode == PGWIRE_REPLICATION) {
        HF_CHECK(params_len == 0);
        put_simple(&conn->wire, sql);
    } else {
        put_extended(&conn->wire, sql, params, params_len);
    }
    conn->is_idle = false;
    conn->asides_bytes = 0;
    return pgwire_flush(ctx, conn);
}

/* Values of a server are shown, compared and stored: from here on they are clean texts. */
static struct hf_status rows_copy(struct hf_ctx *ctx, const struct pgwire_result *result,
                                  struct pgwire_rows *ret_rows)
{
    size_t cells = result->rows * result->columns;
    const char **values = HF_NEW_N(ctx->arena, const char *, cells + 1);

    HF_TRY(hf_ctx_check(ctx));
    for (size_t i = 0; i < cells; i++) {
        if (result->cells[i].ptr != NULL) {
            values[i] =
                hf_text_show(ctx->arena, result->cells[i].ptr, result->cells[i].len, VALUE_SHOWN);
        }
    }
    HF_TRY(hf_ctx_check(ctx));
    *ret_rows = (struct pgwire_rows){result->rows, result->columns, values};
    return hf_success();
}

struct hf_status pgwire_query(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *sql,
                              const char *const *params, size_t params_len,
                              struct pgwire_rows *ret_rows)
{
    struct pgwire_result result;
    struct hf_status status;

    HF_TRY(pgwire_send(ctx, conn, sql, params, params_len));
    HF_TRY(pgwire_result_next(ctx, conn, &result));
    status = result.kind == PGWIRE_RES_ROWS || result.kind == PGWIRE_RES_DONE
                 ? rows_copy(ctx, &result, ret_rows)
                 : pgwire_fail_result(ctx, conn, &result);
    if (result.kind == PGWIRE_RES_COPY_OUT || result.kind == PGWIRE_RES_COPY_BOTH) {
        conn->is_broken = true;
        return status;
    }
    if (hf_is_ok(status)) {
        return pgwire_results_drain(ctx, conn);
    }
    (void)hf_is_ok(pgwire_results_drain(ctx, conn));
    return status;
}

/* --- copies --------------------------------------------------------------------------------- */

struct hf_status pgwire_copy_take(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                  struct hf_bytes *ret_bytes, enum pgwire_copy *ret_copy)
{
    struct pgwire_message message;
    bool is_there = false;

    HF_TRY(pgwire_message_take(ctx, conn, &message, &is_there));
    *ret_copy = PGWIRE_COPY_IDLE;
    if (!is_there) {
        return hf_success();
    }
    if (message.type == 'd') {
        *ret_bytes = (struct hf_bytes){message.bytes, message.len};
        *ret_copy = PGWIRE_COPY_DATA;
        return hf_success();
    }
    *ret_copy = PGWIRE_COPY_END;
    if (message.type != 'c') { /* an error, or the end of a server that shuts down */
        pgwire_wire_hold(&conn->wire, &message);
    }
    return hf_success();
}

void pgwire_copy_end(struct pgwire_conn *conn)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};

    pgwire_wire_put(&conn->wire, 'c', &body);
}

void pgwire_copy_put(struct pgwire_conn *conn, const void *bytes, size_t len)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf body = {0};

    hf_buf_init(&body, len);
    hf_buf_append(&body, bytes, len);
    pgwire_wire_put(&conn->wire, 'd', &body);
}

/* BASE_BACKUP. Surprise: from version 15 on all archives come in one COPY with a type byte before
 * each message; before, each archive is a COPY of its own and the bytes are bare. */
#include "pgwire/basebackup.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "pgformat/wal.h"
#include "pgwire/internal.h"

#define TABLESPACES_MAX 1000
#define LOCATION_MAX 4096
#define SIZE_KIB_MAX (INT64_MAX / 1024 / TABLESPACES_MAX)
#define CHECKPOINT_MS (25 * 3600 * 1000) /* a spread one: checkpoint_timeout is a day at most */
#define FAST_MS (3600 * 1000)            /* a fast one writes what is dirty, at once */
#define SILENCE_MS (600 * 1000)          /* for PACE_BYTES of data */
#define PACE_BYTES (64u << 10)

struct transfer {
    struct hf_ctx *ctx;
    struct pgwire_conn *conn;
    const struct pgwire_backup_events *events;
    struct pgwire_backup_start start;
    struct pgf_tar tar;
    bool is_in_archive;
    size_t archives;
    uint64_t received_bytes;
    uint64_t paced_bytes; /* since paced_us, hf_mono_us() */
    int64_t paced_us;
};

static char *command_print(struct hf_ctx *ctx, const struct pgwire_conn *conn,
                           const struct pgwire_backup_options *options)
{
    const char *label = pgwire_quote_literal(ctx->arena, options->label);
    const char *rate = "";

    if (pgwire_server_version(conn) < 150000) {
        if (options->max_rate_kib > 0) {
            rate = hf_printf(ctx->arena, " MAX_RATE %u", (unsigned)options->max_rate_kib);
        }
        return hf_printf(ctx->arena, "BASE_BACKUP LABEL %s PROGRESS %s NOWAIT%s TABLESPACE_MAP",
                         label, options->is_spread_checkpoint ? "" : "FAST", rate);
    }
    if (options->max_rate_kib > 0) {
        rate = hf_printf(ctx->arena, ", MAX_RATE %u", (unsigned)options->max_rate_kib);
    }
    return hf_printf(ctx->arena,
                     "BASE_BACKUP (LABEL %s, PROGRESS 1, CHECKPOINT '%s', WAL 0, WAIT 0%s, "
                     "TABLESPACE_MAP 1, VERIFY_CHECKSUMS 1, MANIFEST 'no')",
                     label, options->is_spread_checkpoint ? "spread" : "fast", rate);
}

static struct hf_status stream_fail(struct hf_ctx *ctx, const char *what)
{
    return hf_fail_info(ctx->arena, HF_DATA_LOSS, "PROTOCOL_VIOLATION", NULL,
                        "the server's base backup stream is malformed: %s", what);
}

/* One row: LSN and timeline. */
static struct hf_status position_take(struct transfer *transfer, uint64_t *ret_lsn,
                                      uint32_t *ret_timeline)
{
    struct hf_arena *arena = transfer->ctx->arena;
    struct pgwire_result result;
    uint64_t timeline = 0;

    HF_TRY(pgwire_result_expect(transfer->ctx, transfer->conn, PGWIRE_RES_ROWS, &result));
    if (result.rows != 1 || result.columns < 2 ||
        !pgwire_cell_lsn(arena, pgwire_cell(&result, 0, 0), ret_lsn) || *ret_lsn == 0 ||
        !pgwire_cell_u64(arena, pgwire_cell(&result, 0, 1), INT32_MAX, &timeline) ||
        timeline == 0) {
        return stream_fail(transfer->ctx, "no position");
    }
    *ret_timeline = (uint32_t)timeline;
    return hf_success();
}

/* The third column is the server's estimate in KiB; NULL or -1: it makes none. */
static bool size_decode(struct hf_arena *arena, struct hf_str cell, int64_t *ret_bytes)
{
    uint64_t kib = 0;

    *ret_bytes = -1;
    if (cell.ptr == NULL || (cell.len == 2 && memcmp(cell.ptr, "-1", 2) == 0)) {
        return true;
    }
    if (!pgwire_cell_u64(arena, cell, SIZE_KIB_MAX, &kib)) {
        return false;
    }
    *ret_bytes = (int64_t)kib * 1024;
    return true;
}

static struct hf_status tablespace_take(struct transfer *transfer,
                                        const struct pgwire_result *result, size_t row,
                                        struct pgwire_backup_tablespace *ret_tablespace)
{
    struct hf_arena *arena = transfer->ctx->arena;
    struct hf_str oid_cell = pgwire_cell(result, row, 0);
    struct hf_str location = pgwire_cell(result, row, 1);
    uint64_t oid = 0;
    int64_t bytes = -1;

    if (oid_cell.ptr != NULL && (!pgwire_cell_u64(arena, oid_cell, UINT32_MAX, &oid) || oid == 0)) {
        return stream_fail(transfer->ctx, "a tablespace without a number");
    }
    if (oid != 0 && (location.len == 0 || location.len > LOCATION_MAX ||
                     memchr(location.ptr, '\0', location.len) != NULL)) {
        return stream_fail(transfer->ctx, "a tablespace without a place");
    }
    if (!size_decode(arena, pgwire_cell(result, row, 2), &bytes)) {
        return stream_fail(transfer->ctx, "a tablespace without a size");
    }
    *ret_tablespace = (struct pgwire_backup_tablespace){
        (uint32_t)oid, oid != 0 ? hf_strndup(arena, location.ptr, location.len) : "", bytes};
    return hf_success();
}

static struct hf_status tablespaces_take(struct transfer *transfer)
{
    struct pgwire_backup_start *start = &transfer->start;
    struct pgwire_backup_tablespace *items;
    struct pgwire_result result;

    HF_TRY(pgwire_result_expect(transfer->ctx, transfer->conn, PGWIRE_RES_ROWS, &result));
    if (result.rows == 0 || result.columns < 3) {
        return stream_fail(transfer->ctx, "no list of tablespaces");
    }
    if (result.rows > TABLESPACES_MAX) {
        return hf_fail_info(transfer->ctx->arena, HF_RESOURCE_EXHAUSTED, "TOO_MANY_TABLESPACES",
                            NULL, "the server names %zu tablespaces, at most %d can be backed up",
                            result.rows, TABLESPACES_MAX);
    }
    items = HF_NEW_N(transfer->ctx->arena, struct pgwire_backup_tablespace, result.rows);
    for (size_t i = 0; i < result.rows; i++) {
        HF_TRY(tablespace_take(transfer, &result, i, &items[i]));
        if (items[i].size_bytes > 0) {
            start->size_bytes += items[i].size_bytes; /* SIZE_KIB_MAX: cannot overflow */
        }
    }
    start->tablespaces = items;
    start->tablespaces_len = result.rows;
    return hf_ctx_check(transfer->ctx);
}

static struct hf_status archive_end(struct transfer *transfer)
{
    if (!transfer->is_in_archive) {
        return hf_success();
    }
    transfer->is_in_archive = false;
    HF_TRY(pgf_tar_finish(&transfer->tar, transfer->ctx->arena));
    return transfer->events->archive_end != NULL
               ? transfer->events->archive_end(transfer->events->arg)
               : hf_success();
}

static struct hf_status archive_begin(struct transfer *transfer, uint32_t oid)
{
    const char *location = NULL;

    HF_TRY(archive_end(transfer));
    for (size_t i = 0; i < transfer->start.tablespaces_len; i++) {
        if (transfer->start.tablespaces[i].oid == oid) {
            location = transfer->start.tablespaces[i].location;
        }
    }
    if (location == NULL || transfer->archives++ >= transfer->start.tablespaces_len) {
        return stream_fail(transfer->ctx, "an archive that was not announced");
    }
    pgf_tar_init(&transfer->tar, &transfer->events->tar);
    transfer->is_in_archive = true;
    return transfer->events->archive_begin != NULL
               ? transfer->events->archive_begin(transfer->events->arg, oid, location)
               : hf_success();
}

static struct hf_status data_take(struct transfer *transfer, const uint8_t *bytes, size_t len)
{
    if (!transfer->is_in_archive) {
        return stream_fail(transfer->ctx, "data outside of an archive");
    }
    transfer->received_bytes += len;
    HF_TRY(pgf_tar_feed(&transfer->tar, transfer->ctx->arena, bytes, len));
    return transfer->events->progress != NULL
               ? transfer->events->progress(transfer->events->arg, transfer->received_bytes)
               : hf_success();
}

/* "base.tar" → 0, "16385.tar" → 16385. */
static bool archive_oid(const char *name, uint32_t *ret_oid)
{
    uint64_t oid = 0;
    size_t digits = strspn(name, "0123456789");

    if (strcmp(name, "base.tar") == 0) {
        *ret_oid = 0;
        return true;
    }
    if (digits == 0 || digits > 10 || strcmp(name + digits, ".tar") != 0) {
        return false;
    }
    for (size_t i = 0; i < digits; i++) {
        oid = oid * 10 + (uint64_t)(name[i] - '0');
    }
    *ret_oid = (uint32_t)oid;
    return oid != 0 && oid <= UINT32_MAX;
}

/* A message of version 15 on. */
static struct hf_status message_take(struct transfer *transfer, struct hf_bytes message)
{
    const char *text = (const char *)message.ptr;
    uint32_t oid;

    switch (message.len > 0 ? text[0] : '\0') {
    case 'n':
        if (memchr(text, '\0', message.len) == NULL || !archive_oid(text + 1, &oid)) {
            return stream_fail(transfer->ctx, "an archive without a name");
        }
        return archive_begin(transfer, oid);
    case 'd':
        return data_take(transfer, message.ptr + 1, message.len - 1);
    case 'p':
        return hf_success(); /* sizes are counted here, too */
    default:
        return stream_fail(transfer->ctx, "an unknown message");
    }
}

/* Silence is also what a server says that drips. */
static struct hf_status pace_check(struct transfer *transfer, size_t len)
{
    int64_t now_us = hf_mono_us();

    transfer->paced_bytes += len;
    if (transfer->paced_bytes >= PACE_BYTES) {
        transfer->paced_bytes = 0;
        transfer->paced_us = now_us;
    }
    if (now_us - transfer->paced_us > (int64_t)transfer->conn->answer_ms * 1000) {
        return pgwire_fail_silent(transfer->ctx, transfer->conn);
    }
    return hf_success();
}

static struct hf_status copy_take(struct transfer *transfer, bool is_typed)
{
    struct hf_ctx *ctx = transfer->ctx;
    struct pgwire_result result;

    HF_TRY(pgwire_result_expect(ctx, transfer->conn, PGWIRE_RES_COPY_OUT, &result));
    transfer->paced_us = hf_mono_us();
    for (;;) {
        struct hf_bytes message = {0};
        enum pgwire_copy copy = PGWIRE_COPY_IDLE;
        bool came = false;

        HF_TRY(pgwire_copy_take(ctx, transfer->conn, &message, &copy));
        if (copy == PGWIRE_COPY_END) {
            return hf_success();
        }
        HF_TRY(pace_check(transfer, message.len));
        if (copy == PGWIRE_COPY_IDLE) {
            HF_TRY(pgwire_wait_input(ctx, transfer->conn, 200, &came));
        } else {
            HF_TRY(is_typed ? message_take(transfer, message)
                            : data_take(transfer, message.ptr, message.len));
        }
    }
}

static struct hf_status archives_take(struct transfer *transfer)
{
    if (pgwire_server_version(transfer->conn) >= 150000) {
        HF_TRY(copy_take(transfer, true));
        return archive_end(transfer);
    }
    for (size_t i = 0; i < transfer->start.tablespaces_len; i++) {
        HF_TRY(archive_begin(transfer, transfer->start.tablespaces[i].oid));
        HF_TRY(copy_take(transfer, false));
        HF_TRY(archive_end(transfer));
    }
    return hf_success();
}

/* The server's warnings name the damaged files; its error only says that there are some. */
static struct hf_status outcome_explain(struct transfer *transfer, struct hf_status status)
{
    if (pgwire_reason_is(status, "PAGE_CHECKSUM_FAILED") && transfer->conn->notices.len > 0) {
        return hf_fail_info(transfer->ctx->arena, status.code, "PAGE_CHECKSUM_FAILED", NULL,
                            "%s: %s", status.message, hf_buf_text(&transfer->conn->notices));
    }
    return status;
}

static struct hf_status transfer_run(struct transfer *transfer, bool is_spread,
                                     struct pgwire_backup_end *end)
{
    transfer->conn->answer_ms = is_spread ? CHECKPOINT_MS : FAST_MS;
    HF_TRY(position_take(transfer, &transfer->start.start_lsn, &transfer->start.timeline));
    HF_TRY(tablespaces_take(transfer));
    transfer->conn->answer_ms = SILENCE_MS;
    if (transfer->events->started != NULL) {
        HF_TRY(transfer->events->started(transfer->events->arg, &transfer->start));
    }
    HF_TRY(archives_take(transfer));
    HF_TRY(position_take(transfer, &end->stop_lsn, &end->timeline));
    HF_TRY(pgwire_results_drain(transfer->ctx, transfer->conn));
    if (end->stop_lsn < transfer->start.start_lsn) {
        return stream_fail(transfer->ctx, "it ends before it began");
    }
    if (transfer->archives != transfer->start.tablespaces_len) {
        return stream_fail(transfer->ctx, "fewer archives than announced");
    }
    end->received_bytes = transfer->received_bytes;
    return hf_success();
}

struct hf_status pgwire_base_backup(struct hf_ctx *ctx, struct pgwire_conn *conn,
                                    const struct pgwire_backup_options *options,
                                    const struct pgwire_backup_events *events,
                                    struct pgwire_backup_end *ret_end)
{
    struct transfer transfer = {.ctx = ctx, .conn = conn, .events = events};
    struct pgwire_backup_end end = {0};
    struct hf_status status;
    int answer_ms = conn->answer_ms;

    HF_CHECK(conn->mode == PGWIRE_REPLICATION);
    hf_buf_clear(&conn->notices);
    HF_TRY(pgwire_send(ctx, conn, command_print(ctx, conn, options), NULL, 0));
    status = transfer_run(&transfer, options->is_spread_checkpoint, &end);
    conn->answer_ms = answer_ms;
    if (!hf_is_ok(status)) {
        conn->is_broken = true;
        return outcome_explain(&transfer, status);
    }
    *ret_end = end;
    return hf_success();
}

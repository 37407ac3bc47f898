/* BASE_BACKUP. Surprise: from version 15 on all archives come in one COPY with a type byte before
 * each message; before, each archive is a COPY of its own and the bytes are bare. */
#include "pgwire/basebackup.h"

#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "pgformat/wal.h"
#include "pgwire/internal.h"

#define TABLESPACES_MAX 10000
#define CHECKPOINT_MS (25 * 3600 * 1000) /* a spread one: checkpoint_timeout is a day at most */
#define SILENCE_MS (600 * 1000)          /* between data */

struct transfer {
    struct hf_ctx *ctx;
    struct pgwire_conn *conn;
    const struct pgwire_backup_events *events;
    struct pgwire_backup_start start;
    struct pgf_tar tar;
    bool is_in_archive;
    size_t archives;
    uint64_t received_bytes;
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
    return hf_fail(ctx->arena, HF_DATA_LOSS, "the server's base backup stream is malformed: %s",
                   what);
}

/* One row: LSN and timeline. */
static struct hf_status position_take(struct transfer *transfer, uint64_t *ret_lsn,
                                      uint32_t *ret_timeline)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;
    uint64_t timeline;

    HF_TRY(pgwire_result_expect(transfer->ctx, transfer->conn, PGRES_TUPLES_OK, &res));
    if (PQntuples(res) != 1 || PQnfields(res) < 2 ||
        !pgf_lsn_parse(PQgetvalue(res, 0, 0), ret_lsn) ||
        !hf_parse_u64(PQgetvalue(res, 0, 1), &timeline) || timeline > UINT32_MAX) {
        return stream_fail(transfer->ctx, "no position");
    }
    *ret_timeline = (uint32_t)timeline;
    return hf_success();
}

static struct hf_status tablespace_take(struct transfer *transfer, const PGresult *res, int row,
                                        struct pgwire_backup_tablespace *ret_tablespace)
{
    struct hf_arena *arena = transfer->ctx->arena;
    uint64_t oid = 0;
    int64_t kib = -1;

    if (!PQgetisnull(res, row, 0) &&
        (!hf_parse_u64(PQgetvalue(res, row, 0), &oid) || oid == 0 || oid > UINT32_MAX)) {
        return stream_fail(transfer->ctx, "a tablespace without a number");
    }
    if (!PQgetisnull(res, row, 2) && !hf_parse_i64(PQgetvalue(res, row, 2), &kib)) {
        return stream_fail(transfer->ctx, "a tablespace without a size");
    }
    *ret_tablespace = (struct pgwire_backup_tablespace){
        (uint32_t)oid, oid != 0 ? hf_strdup(arena, PQgetvalue(res, row, 1)) : "",
        kib >= 0 ? kib * 1024 : -1};
    return hf_success();
}

static struct hf_status tablespaces_take(struct transfer *transfer)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;
    struct pgwire_backup_start *start = &transfer->start;
    struct pgwire_backup_tablespace *items;
    size_t len;

    HF_TRY(pgwire_result_expect(transfer->ctx, transfer->conn, PGRES_TUPLES_OK, &res));
    len = (size_t)PQntuples(res);
    if (len == 0 || len > TABLESPACES_MAX || PQnfields(res) < 3) {
        return stream_fail(transfer->ctx, "no list of tablespaces");
    }
    items = HF_NEW_N(transfer->ctx->arena, struct pgwire_backup_tablespace, len);
    for (size_t i = 0; i < len; i++) {
        HF_TRY(tablespace_take(transfer, res, (int)i, &items[i]));
        if (items[i].size_bytes > 0) {
            start->size_bytes += items[i].size_bytes;
        }
    }
    start->tablespaces = items;
    start->tablespaces_len = len;
    return hf_success();
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

static struct hf_status data_take(struct transfer *transfer, const char *bytes, size_t len)
{
    if (!transfer->is_in_archive) {
        return stream_fail(transfer->ctx, "data outside of an archive");
    }
    transfer->received_bytes += len;
    HF_TRY(pgf_tar_feed(&transfer->tar, transfer->ctx->arena, (const uint8_t *)bytes, len));
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

/* A message of version 15 on; libpq ends it with a NUL that is not counted. */
static struct hf_status message_take(struct transfer *transfer, const char *message, size_t len)
{
    uint32_t oid;

    switch (len > 0 ? message[0] : '\0') {
    case 'n':
        if (memchr(message, '\0', len) == NULL || !archive_oid(message + 1, &oid)) {
            return stream_fail(transfer->ctx, "an archive without a name");
        }
        return archive_begin(transfer, oid);
    case 'd':
        return data_take(transfer, message + 1, len - 1);
    case 'p':
        return hf_success(); /* sizes are counted here, too */
    default:
        return stream_fail(transfer->ctx, "an unknown message");
    }
}

/* One message of a COPY; ret_len 0: the COPY is over. */
static struct hf_status copy_next(struct transfer *transfer, char **ret_message, size_t *ret_len)
{
    int64_t heard_us = hf_mono_us();

    for (;;) {
        int len = PQgetCopyData(transfer->conn->pg, ret_message, 1);
        bool came;

        if (len > 0) {
            *ret_len = (size_t)len;
            return hf_success();
        }
        if (len == -1) {
            *ret_len = 0;
            return hf_success();
        }
        if (len < -1) {
            return pgwire_fail_result(transfer->ctx, transfer->conn, NULL);
        }
        HF_TRY(pgwire_wait_input(transfer->ctx, transfer->conn, 200, &came));
        heard_us = came ? hf_mono_us() : heard_us;
        if (hf_mono_us() - heard_us > (int64_t)transfer->conn->answer_ms * 1000) {
            return pgwire_fail_silent(transfer->ctx, transfer->conn);
        }
    }
}

static struct hf_status copy_take(struct transfer *transfer, bool is_typed)
{
    HF_CLEANUP(PQclear) PGresult *res = NULL;

    HF_TRY(pgwire_result_expect(transfer->ctx, transfer->conn, PGRES_COPY_OUT, &res));
    for (;;) {
        struct hf_status status;
        char *message = NULL;
        size_t len = 0;

        HF_TRY(hf_ctx_check(transfer->ctx));
        HF_TRY(copy_next(transfer, &message, &len));
        if (len == 0) {
            return hf_success();
        }
        status =
            is_typed ? message_take(transfer, message, len) : data_take(transfer, message, len);
        PQfreemem(message);
        HF_TRY(status);
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

static struct hf_status transfer_run(struct transfer *transfer, struct pgwire_backup_end *end)
{
    transfer->conn->answer_ms = CHECKPOINT_MS;
    HF_TRY(position_take(transfer, &transfer->start.start_lsn, &transfer->start.timeline));
    HF_TRY(tablespaces_take(transfer));
    transfer->conn->answer_ms = SILENCE_MS;
    if (transfer->events->started != NULL) {
        HF_TRY(transfer->events->started(transfer->events->arg, &transfer->start));
    }
    HF_TRY(archives_take(transfer));
    HF_TRY(position_take(transfer, &end->stop_lsn, &end->timeline));
    HF_TRY(pgwire_results_drain(transfer->ctx, transfer->conn));
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
    status = transfer_run(&transfer, &end);
    conn->answer_ms = answer_ms;
    if (!hf_is_ok(status)) {
        conn->is_broken = true;
        return outcome_explain(&transfer, status);
    }
    *ret_end = end;
    return hf_success();
}

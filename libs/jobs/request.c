/* Request ids. The insert is the lock: a second call with the same id waits there until the first
 * transaction has ended, and then reads its response. */
#include <string.h>

#include "base/check.h"
#include "jobs/internal.h"

static struct hf_status check_id(struct hf_ctx *ctx, const char *request_id)
{
    if (strlen(request_id) > 128) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "REQUEST_ID_TOO_LONG", NULL,
                            "a request id has at most 128 bytes");
    }
    return hf_success();
}

static struct hf_status known(struct hf_ctx *ctx, const struct db_rows *rows,
                              const char *request_id, const struct hf_bytes **ret_response)
{
    const char *const metadata[] = {"request_id", request_id, NULL};

    if (db_len(rows) == 0) {
        return hf_fail(ctx->arena, HF_ABORTED, "the record of request %s vanished", request_id);
    }
    if (!db_bool(rows, 0, 0)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "REQUEST_ID_REUSED", metadata,
                            "request id %s was used for another request", request_id);
    }
    struct hf_bytes *response = HF_NEW(ctx->arena, struct hf_bytes);
    *response = db_bytes(rows, 0, 1);
    if (response->ptr == NULL) {
        *response = (struct hf_bytes){(const uint8_t *)"", 0};
    }
    *ret_response = response;
    return hf_success();
}

struct hf_status jobs_request_begin(struct hf_ctx *ctx, struct db_tx *tx, const char *method,
                                    const char *request_id, struct hf_bytes digest,
                                    const struct hf_bytes **ret_response)
{
    const struct db_rows *rows = NULL;
    int64_t affected = 0;
    const struct db_param body = DB_BYTES(digest.ptr, digest.len);

    *ret_response = NULL;
    if (hf_text_empty(request_id)) {
        return hf_success();
    }
    HF_CHECK(digest.ptr != NULL && digest.len >= 16);
    HF_TRY(check_id(ctx, request_id));
    HF_TRY(db_exec(ctx, tx, sql_jobs_request_insert,
                   DB_ARGS(DB_UUID(db_tx_tenant(tx)), DB_TEXT(method), DB_TEXT(request_id), body),
                   &affected));
    if (affected == 1) {
        return hf_success();
    }
    HF_TRY(db_query(ctx, tx, sql_jobs_request_get,
                    DB_ARGS(DB_TEXT(method), DB_TEXT(request_id), body), &rows));
    return known(ctx, rows, request_id, ret_response);
}

struct hf_status jobs_request_save(struct hf_ctx *ctx, struct db_tx *tx, const char *method,
                                   const char *request_id, struct hf_bytes response)
{
    if (hf_text_empty(request_id)) {
        return hf_success();
    }
    return db_exec(
        ctx, tx, sql_jobs_request_save,
        DB_ARGS(DB_TEXT(method), DB_TEXT(request_id),
                response.ptr == NULL ? DB_BYTES("", 0) : DB_BYTES(response.ptr, response.len)),
        NULL);
}

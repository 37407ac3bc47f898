/* Restores run where the data goes, in the command line; here they are authorised and tracked, as
 * an external job that lives as long as its reports keep coming. */
#include "backup/store/restores.h"

#include <string.h>

#include "backup/api/api.h"
#include "backup/api/convert.h"
#include "backup/api/handlers.h"
#include "backup/api/replay.h"
#include "backup/domain/admit.h"
#include "backup/domain/names.h"
#include "backup/store/clusters.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "pgformat/wal.h"
#include "rpc/message.h"
#include "svc/page.h"

#define REPORT_TTL_S 60
#define PHASE_MAX 64
#define ERROR_MAX 2000

static struct hf_status begin(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx **ret_tx)
{
    return db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_READ_COMMITTED, ret_tx);
}

static struct hf_status add_restore(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx *tx,
                                    const PbBackup__CreateRestoreRequest *want, const char *cluster,
                                    PbBackup__Restore *resp)
{
    struct cluster_row row;
    struct jobs_job job;
    uint32_t random = 0;
    const char *job_id = NULL;

    HF_TRY(clusters_get(ctx, tx, cluster, &row));
    hf_random(&random, sizeof(random));
    struct restore_row restore = {
        .id = admit_backup_id(ctx->arena, 'r', hf_now_us(), random),
        .cluster = cluster,
        .cluster_id = row.id,
        .state = "RUNNING",
        .target = want->restore == NULL ? "latest" : want->restore->target,
        .backup_id = "",
        .directory = want->restore == NULL ? "" : want->restore->directory,
        .error_code = "",
        .create_time_us = hf_now_us(),
    };
    const struct jobs_spec spec = {
        .kind = "restore",
        .target = name_restore(ctx->arena, thread->grant.tenant_name, cluster, restore.id),
        .principal = thread->grant.principal,
        .priority = 1,
        .replay = JOBS_NEVER,
        .external_ttl_s = REPORT_TTL_S,
    };

    HF_TRY(jobs_add(ctx, tx, &spec, &job_id, NULL));
    HF_TRY(jobs_external_claim(ctx, tx, job_id, &job));
    restore.job_id = job_id;
    HF_TRY(restores_insert(ctx, tx, &restore));
    convert_restore(ctx->arena, thread->grant.tenant_name, &restore, resp);
    return hf_success();
}

API_UNARY(api_create_restore)
{
    const PbBackup__CreateRestoreRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    const struct replay replay = {thread->app->secrets, "CreateRestore", want->request_id,
                                  &want->base, resp};
    bool is_done = false;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_CLUSTER, &name));
    if (want->restore != NULL &&
        (strlen(want->restore->target) > 256 || strlen(want->restore->directory) > 4096)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "TOO_LONG", NULL,
                            "restore.target may have 256 and restore.directory 4096 characters");
    }
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(replay_begin(ctx, tx, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(add_restore(ctx, thread, tx, want, name.cluster, resp));
    if (want->validate_only) {
        return hf_success();
    }
    HF_TRY(replay_save(ctx, tx, &replay));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

API_UNARY(api_get_restore)
{
    const PbBackup__GetRestoreRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct restore_row row;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_RESTORE, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(restores_get(ctx, tx, name.cluster, name.id, &row));
    convert_restore(ctx->arena, thread->grant.tenant_name, &row, resp);
    return db_tx_commit(ctx, &tx);
}

API_UNARY(api_list_restores)
{
    const PbBackup__ListRestoresRequest *want = req;
    PbBackup__ListRestoresResponse *list = resp;
    struct api_thread *thread = app;
    struct resource_name name;
    struct restore_row *rows = NULL;
    size_t len = 0;
    struct cluster_row row;
    const struct svc_page_request pages = {.method = "ListRestores",
                                           .parent = want->parent,
                                           .page_size = want->page_size,
                                           .page_token = want->page_token};
    struct svc_page page;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_CLUSTER, &name));
    HF_TRY(svc_page_open(ctx, thread->app->secrets, &pages, &page));
    const struct restores_query query = {name.cluster, page.after, page.limit};

    HF_TRY(begin(ctx, thread, &tx));
    if (!hf_text_equal(name.cluster, "-")) { /* an unknown name is an error, not an empty list */
        HF_TRY(clusters_get(ctx, tx, name.cluster, &row));
    }
    HF_TRY(restores_list(ctx, tx, &query, &rows, &len));
    list->restores = HF_NEW_N(ctx->arena, PbBackup__Restore *, len + 1);
    for (size_t i = 0; i < len; i++) {
        list->restores[i] = rpc_message_new(ctx->arena, &pb_backup__restore__descriptor);
        convert_restore(ctx->arena, thread->grant.tenant_name, &rows[i], list->restores[i]);
        if (!svc_page_take(&page, protobuf_c_message_get_packed_size(&list->restores[i]->base))) {
            break;
        }
        list->n_restores++;
    }
    if (list->n_restores < len || len == page.limit) {
        HF_TRY(svc_page_next(ctx, thread->app->secrets, &pages, rows[list->n_restores - 1].id,
                             &list->next_page_token));
    }
    return db_tx_commit(ctx, &tx);
}

API_UNARY(api_delete_restore)
{
    const PbBackup__DeleteRestoreRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct restore_row row;
    struct jobs_job job;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    (void)resp;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_RESTORE, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(restores_get(ctx, tx, name.cluster, name.id, &row));
    HF_TRY(jobs_cancel(ctx, tx, thread->app->jobs, row.job_id, &job));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

/* --- reports -------------------------------------------------------------------------------- */

static const struct {
    PbBackup__Restore__State wire;
    const char *stored;
    enum hf_code outcome;
} report_states[] = {
    {PB_BACKUP__RESTORE__STATE__RUNNING, "RUNNING", HF_OK},
    {PB_BACKUP__RESTORE__STATE__SUCCEEDED, "SUCCEEDED", HF_OK},
    {PB_BACKUP__RESTORE__STATE__FAILED, "FAILED", HF_UNKNOWN},
    {PB_BACKUP__RESTORE__STATE__CANCELLED, "CANCELLED", HF_CANCELLED},
};

static struct hf_status state_reported(struct hf_arena *arena, const PbBackup__Restore *restore,
                                       const char **ret_state, enum hf_code *ret_outcome)
{
    for (size_t i = 0; restore != NULL && i < sizeof(report_states) / sizeof(report_states[0]);
         i++) {
        if (restore->state == report_states[i].wire) {
            *ret_state = report_states[i].stored;
            *ret_outcome = report_states[i].outcome;
            return hf_success();
        }
    }
    return hf_fail_info(arena, HF_INVALID_ARGUMENT, "STATE_MISSING", NULL,
                        "restore.state must be RUNNING, SUCCEEDED, FAILED or CANCELLED");
}

/* "tenants/…/backups/ID" or "ID" of the cluster that is restored; "" while it is not known. */
static struct hf_status backup_reported(struct hf_arena *arena, const struct resource_name *restore,
                                        const char *text, const char **ret_id)
{
    struct resource_name name;

    if (hf_text_empty(text) || hf_is_name(text)) {
        *ret_id = hf_text_empty(text) ? "" : text;
        return hf_success();
    }
    HF_TRY(name_parse(arena, "restore.backup", text, NAME_BACKUP, &name));
    if (!hf_text_equal(name.tenant, restore->tenant) ||
        !hf_text_equal(name.cluster, restore->cluster)) {
        const char *const metadata[] = {"backup", text, NULL};

        return hf_fail_info(arena, HF_INVALID_ARGUMENT, "FOREIGN_BACKUP", metadata,
                            "restore.backup must be a backup of cluster %s of tenant %s",
                            restore->cluster, restore->tenant);
    }
    *ret_id = name.id;
    return hf_success();
}

static struct hf_status field_fail(struct hf_arena *arena, const char *field, const char *must)
{
    const char *const metadata[] = {"field", field, NULL};

    return hf_fail_info(arena, HF_INVALID_ARGUMENT, "OUT_OF_RANGE", metadata, "%s must be %s",
                        field, must);
}

/* µs of a reported time; 0: none. */
static struct hf_status time_reported(struct hf_arena *arena,
                                      const Google__Protobuf__Timestamp *time, int64_t *ret_us)
{
    static const int64_t most_s = HF_TIME_MAX_US / HF_US_PER_S;
    static const int64_t least_s = HF_TIME_MIN_US / HF_US_PER_S;

    *ret_us = 0;
    if (time == NULL) {
        return hf_success();
    }
    if (time->seconds < least_s || time->seconds > most_s || time->nanos < 0 ||
        time->nanos > 999999999) {
        return field_fail(arena, "restore.resolved_time", "a time of the years 1 to 9999");
    }
    *ret_us = time->seconds * HF_US_PER_S + time->nanos / 1000;
    return hf_success();
}

/* Texts are made safe and cut where they are stored; the reply says what is stored. */
static struct hf_status take_report(struct hf_arena *arena,
                                    const PbBackup__ReportRestoreRequest *want, const char *state,
                                    struct restore_row *row)
{
    const PbBackup__Restore *restore = want->restore;

    if (restore->restored_bytes < 0 ||
        (want->progress != NULL &&
         (want->progress->done_bytes < 0 || want->progress->total_bytes < 0))) {
        return field_fail(arena, "a number of bytes", "0 or more");
    }
    HF_TRY(time_reported(arena, restore->resolved_time, &row->resolved_time_us));
    row->state = state;
    row->resolved_lsn = 0;
    if (!hf_text_empty(restore->resolved_lsn) &&
        !pgf_lsn_parse(restore->resolved_lsn, &row->resolved_lsn)) {
        return field_fail(arena, "restore.resolved_lsn", "an LSN such as 16/B374D848");
    }
    row->restored_bytes = (uint64_t)restore->restored_bytes;
    row->error_code = restore->error == NULL ? "" : restore->error->code;
    row->error_message = restore->error == NULL ? "" : restore->error->message;
    row->error_reason = restore->error == NULL ? "" : restore->error->reason;
    return hf_success();
}

struct reported {
    const PbBackup__ReportRestoreRequest *want;
    const struct restore_row *row; /* as it will be */
    enum hf_code outcome;
};

static struct hf_status report_job(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx *tx,
                                   const struct reported *reported, bool *ret_is_cancelled)
{
    struct jobs_job job = {0};
    const PbBackup__ReportRestoreRequest *want = reported->want;
    const struct restore_row *row = reported->row;
    const struct jobs_report report = {
        .phase = want->progress == NULL ? NULL
                                        : hf_text_show(ctx->arena, want->progress->phase,
                                                       strlen(want->progress->phase), PHASE_MAX),
        .done_bytes = want->progress == NULL ? 0 : want->progress->done_bytes,
        .total_bytes = want->progress == NULL ? 0 : want->progress->total_bytes,
    };

    if (hf_text_equal(row->state, "RUNNING")) {
        HF_TRY(jobs_external_beat(ctx, tx, row->job_id, &report, &job));
        *ret_is_cancelled = job.is_cancel_requested;
        return hf_success();
    }
    return jobs_external_finish(
        ctx, tx, thread->app->jobs, row->job_id,
        (struct hf_status){.code = reported->outcome,
                           .message = hf_text_show(ctx->arena, row->error_message,
                                                   strlen(row->error_message), ERROR_MAX)},
        NULL);
}

API_UNARY(api_report_restore)
{
    const PbBackup__ReportRestoreRequest *want = req;
    struct api_thread *thread = app;
    PbBackup__Restore *reply = resp;
    struct resource_name name;
    struct restore_row row;
    const char *state = NULL;
    const char *backup = "";
    enum hf_code outcome = HF_OK;
    bool is_cancelled = false;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_RESTORE, &name));
    HF_TRY(state_reported(ctx->arena, want->restore, &state, &outcome));
    HF_TRY(backup_reported(ctx->arena, &name, want->restore->backup, &backup));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(restores_get(ctx, tx, name.cluster, name.id, &row));
    if (!hf_text_equal(row.state, "RUNNING") && hf_text_equal(row.state, state)) {
        convert_restore(ctx->arena, thread->grant.tenant_name, &row, reply);
        return hf_success(); /* the last report came twice */
    }
    HF_TRY(take_report(ctx->arena, want, state, &row));
    row.backup_id = backup;
    HF_TRY(restores_report(ctx, tx, &row));
    HF_TRY(restores_get(ctx, tx, name.cluster, name.id, &row)); /* as it is stored: cut, ended */
    const struct reported reported = {want, &row, outcome};

    HF_TRY(report_job(ctx, thread, tx, &reported, &is_cancelled));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    convert_restore(ctx->arena, thread->grant.tenant_name, &row, reply);
    reply->cancel_requested = is_cancelled;
    return hf_success();
}

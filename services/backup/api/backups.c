/* Backups: a handler commits the backup's row and its job together; the work happens in work/. */
#include "backup/store/backups.h"

#include "backup/api/api.h"
#include "backup/api/convert.h"
#include "backup/api/etag.h"
#include "backup/api/filter.h"
#include "backup/api/handlers.h"
#include "backup/api/replay.h"
#include "backup/domain/admit.h"
#include "backup/domain/args.h"
#include "backup/domain/names.h"
#include "backup/source/source.h"
#include "backup/store/clusters.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/str.h"
#include "rpc/message.h"
#include "svc/page.h"

static uint32_t random_number(void)
{
    uint32_t number = 0;

    hf_random(&number, sizeof(number));
    return number;
}

static struct hf_status begin(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx **ret_tx)
{
    return db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_READ_COMMITTED, ret_tx);
}

static struct hf_status reply_job(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx *tx,
                                  const char *job_id, PbJobs__Job *resp)
{
    struct jobs_job job;

    HF_TRY(jobs_get(ctx, tx, job_id, &job));
    convert_job(ctx->arena, thread->grant.tenant_name, &job, resp);
    return hf_success();
}

/* Whether a backup of this cluster may start. The cluster stays locked: of two that ask at once one
 * sees the other. */
static struct hf_status admit(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *row)
{
    struct admit_snapshot seen = {.cluster = row->name, .is_connected = !hf_text_empty(row->dsn)};

    HF_TRY(clusters_lock(ctx, tx, row->id));
    HF_TRY(backups_active(ctx, tx, row->id, &seen.active_backup, &seen.active_job));
    return admit_backup(ctx->arena, &seen);
}

struct hf_status api_readmit_backup(struct hf_ctx *ctx, struct db_tx *tx, const char *args)
{
    const struct args target = args_decode(ctx->arena, args);
    struct cluster_row row;
    struct backup_row backup;

    HF_TRY(clusters_get_id(ctx, tx, target.cluster_id, &row));
    HF_TRY(admit(ctx, tx, &row));
    HF_TRY(backups_get(ctx, tx, row.name, target.backup_id, &backup)); /* it may be deleted */
    return backups_set_pending(ctx, tx, &backup);
}

/* Decide over what is stored, then store backup and job. */
static struct hf_status add_backup(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx *tx,
                                   const PbBackup__CreateBackupRequest *want, const char *cluster,
                                   PbJobs__Job *resp)
{
    struct cluster_row row;
    const char *job_id = hf_uuid_new_text(ctx->arena, hf_now_us());
    bool is_spread =
        want->backup != NULL && want->backup->checkpoint == PB_BACKUP__BACKUP__CHECKPOINT__SPREAD;

    HF_TRY(clusters_get(ctx, tx, cluster, &row));
    HF_TRY(admit(ctx, tx, &row));
    struct backup_row backup = {
        .id = admit_backup_id(ctx->arena, 'b', hf_now_us(), random_number()),
        .cluster_id = row.id,
        .checkpoint = is_spread ? "SPREAD" : "FAST",
        .job_id = job_id,
        .lineage = row.lineage,
    };
    const struct jobs_spec spec = {
        .id = job_id,
        .kind = "backup",
        .target = name_backup(ctx->arena, thread->grant.tenant_name, cluster, backup.id),
        .args =
            args_encode(ctx->arena, &(struct args){.cluster_id = row.id, .backup_id = backup.id}),
        .principal = thread->grant.principal,
        .priority = 5,
        .replay = JOBS_SAFE,
    };

    HF_TRY(backups_insert(ctx, tx, &backup));
    HF_TRY(jobs_add(ctx, tx, &spec, &job_id, NULL));
    return reply_job(ctx, thread, tx, job_id, resp);
}

API_UNARY(api_create_backup)
{
    const PbBackup__CreateBackupRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    const struct replay replay = {thread->app->secrets, "CreateBackup", want->request_id,
                                  &want->base, resp};
    bool is_done = false;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_CLUSTER, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(replay_begin(ctx, tx, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(add_backup(ctx, thread, tx, want, name.cluster, resp));
    if (want->validate_only) {
        return hf_success();
    }
    HF_TRY(replay_save(ctx, tx, &replay));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

API_UNARY(api_get_backup)
{
    const PbBackup__GetBackupRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct backup_row row;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_BACKUP, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(backups_get(ctx, tx, name.cluster, name.id, &row));
    convert_backup(ctx->arena, thread->grant.tenant_name, &row, resp);
    return db_tx_commit(ctx, &tx);
}

API_UNARY(api_list_backups)
{
    static const char *const fields[] = {"state", NULL};
    const PbBackup__ListBackupsRequest *want = req;
    PbBackup__ListBackupsResponse *list = resp;
    struct api_thread *thread = app;
    struct resource_name name;
    struct filter filter;
    const struct svc_page_request pages = {"ListBackups", want->parent, want->filter,
                                           want->page_size, want->page_token};
    struct svc_page page;
    struct backup_row *rows = NULL;
    size_t len = 0;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_CLUSTER, &name));
    HF_TRY(filter_parse(ctx->arena, want->filter, fields, &filter));
    HF_TRY(svc_page_open(ctx, thread->app->secrets, &pages, &page));
    struct backups_query query = {
        .cluster = name.cluster,
        .state = filter_value(&filter, "state"),
        .before = page.after,
        .limit = page.limit,
    };

    HF_TRY(begin(ctx, thread, &tx));
    if (!hf_text_equal(name.cluster, "-")) { /* an unknown name is an error, not an empty list */
        struct cluster_row row;

        HF_TRY(clusters_get(ctx, tx, name.cluster, &row));
    }
    HF_TRY(backups_list(ctx, tx, &query, &rows, &len));
    list->backups = HF_NEW_N(ctx->arena, PbBackup__Backup *, len + 1);
    for (size_t i = 0; i < len; i++) {
        list->backups[i] = rpc_message_new(ctx->arena, &pb_backup__backup__descriptor);
        convert_backup(ctx->arena, thread->grant.tenant_name, &rows[i], list->backups[i]);
        if (!svc_page_take(&page, protobuf_c_message_get_packed_size(&list->backups[i]->base))) {
            break;
        }
        list->n_backups++;
    }
    if (list->n_backups < len || len == query.limit) {
        HF_TRY(svc_page_next(ctx, thread->app->secrets, &pages, rows[list->n_backups - 1].id,
                             &list->next_page_token));
    }
    return db_tx_commit(ctx, &tx);
}

/* Whether this backup may go. */
static struct hf_status judge(struct hf_ctx *ctx, struct db_tx *tx,
                              const PbBackup__DeleteBackupRequest *want,
                              const struct resource_name *name, struct backup_row *ret_row)
{
    struct backups_summary summary;

    HF_TRY(backups_get(ctx, tx, name->cluster, name->id, ret_row));
    HF_TRY(etag_check(ctx, want->etag, ret_row->revision,
                      hf_printf(ctx->arena, "backup %s", name->id)));
    HF_TRY(backups_summary(ctx, tx, ret_row->cluster_id, &summary));
    const struct admit_delete seen = {ret_row->id, ret_row->state, summary.newest};

    return admit_backup_delete(ctx->arena, &seen);
}

static struct hf_status look_deletable(struct hf_ctx *ctx, struct api_thread *thread,
                                       const PbBackup__DeleteBackupRequest *want,
                                       const struct resource_name *name, struct backup_row *ret_row)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(judge(ctx, tx, want, name, ret_row));
    return db_tx_commit(ctx, &tx);
}

/* The vault first: a deletion that only the catalogue knew would come back with a rebuild. The row
 * is judged again behind the reading of the journal, as late as there is no transaction to hold;
 * what the vault says by then is final. ret_is_written: the vault has the deletion. */
static struct hf_status delete_point(struct hf_ctx *ctx, struct api_thread *thread,
                                     const PbBackup__DeleteBackupRequest *want,
                                     const struct resource_name *name, const char *cluster_id,
                                     bool *ret_is_written)
{
    struct source source;
    struct vault_source_state state;
    struct backup_row row;

    *ret_is_written = false;
    HF_TRY(source_load(ctx, thread->app, thread->grant.tenant_id, cluster_id, &source));
    HF_TRY(source_journal(ctx, &source, &state));
    if (vault_state_point(&state, name->id) == NULL) {
        return hf_success();
    }
    HF_TRY(look_deletable(ctx, thread, want, name, &row));
    struct vault_entry entry = {
        .kind = VAULT_ENTRY_DELETE,
        .time_us = hf_now_us(),
        .attempt_id = hf_printf(ctx->arena, "delete/%s", name->id),
        .u.deleted_id = name->id,
    };
    HF_TRY(source_append(ctx, &source, &state, &entry));
    *ret_is_written = true;
    return hf_success();
}

/* Without a deletion in the vault the row decides, and is judged under the lock of the cluster,
 * which who puts a backup back to work takes as well: it may have been retried meanwhile. */
static struct hf_status delete_row(struct hf_ctx *ctx, struct api_thread *thread,
                                   const struct replay *replay, const struct resource_name *name,
                                   bool is_written, struct backup_row *row)
{
    const PbBackup__DeleteBackupRequest *want =
        (const PbBackup__DeleteBackupRequest *)(const void *)replay->req;
    bool is_done = false;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(replay_begin(ctx, tx, replay, &is_done));
    if (is_done) { /* a twin with the same request id was faster */
        return hf_success();
    }
    if (!is_written) {
        HF_TRY(clusters_lock(ctx, tx, row->cluster_id));
        HF_TRY(judge(ctx, tx, want, name, row));
    }
    HF_TRY(backups_delete(ctx, tx, row));
    HF_TRY(replay_save(ctx, tx, replay));
    return db_tx_commit(ctx, &tx);
}

/* No transaction is open while the vault is written. A crash between vault and catalogue is made
 * good by the repeat: the vault then has the deletion already. */
API_UNARY(api_delete_backup)
{
    const PbBackup__DeleteBackupRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct backup_row row;
    const struct replay replay = {thread->app->secrets, "DeleteBackup", want->request_id,
                                  &want->base, resp};
    bool is_done = false;
    bool is_written = false;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_BACKUP, &name));
    HF_TRY(replay_look(ctx, thread->app->db, thread->grant.tenant_id, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(look_deletable(ctx, thread, want, &name, &row));
    if (want->validate_only) {
        return hf_success();
    }
    HF_TRY(delete_point(ctx, thread, want, &name, row.cluster_id, &is_written));
    return delete_row(ctx, thread, &replay, &name, is_written, &row);
}

/* A job without a row of its own: verification, rebuild. */
static struct hf_status add_job(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx *tx,
                                const struct jobs_spec *spec, PbJobs__Job *resp)
{
    const char *job_id = NULL;

    HF_TRY(jobs_add(ctx, tx, spec, &job_id, NULL));
    return reply_job(ctx, thread, tx, job_id, resp);
}

API_UNARY(api_verify_backup)
{
    const PbBackup__VerifyBackupRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct backup_row row;
    const struct replay replay = {thread->app->secrets, "VerifyBackup", want->request_id,
                                  &want->base, resp};
    bool is_done = false;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_BACKUP, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(replay_begin(ctx, tx, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(backups_get(ctx, tx, name.cluster, name.id, &row));
    if (!hf_text_equal(row.state, "SUCCEEDED")) {
        const char *const metadata[] = {"backup", row.id, "state", row.state, NULL};

        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "BACKUP_NOT_SUCCEEDED", metadata,
                            "backup %s is %s; only a backup that succeeded can be verified", row.id,
                            row.state);
    }
    const struct jobs_spec spec = {
        .kind = "verify",
        .target = want->name,
        .args = args_encode(ctx->arena,
                            &(struct args){.cluster_id = row.cluster_id, .backup_id = row.id}),
        .principal = thread->grant.principal,
        .priority = 5,
        .replay = JOBS_SAFE,
    };

    HF_TRY(add_job(ctx, thread, tx, &spec, resp));
    if (want->validate_only) {
        return hf_success();
    }
    HF_TRY(replay_save(ctx, tx, &replay));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

API_UNARY(api_rebuild_catalog)
{
    const PbBackup__RebuildCatalogRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    const struct replay replay = {thread->app->secrets, "RebuildCatalog", want->request_id,
                                  &want->base, resp};
    bool is_done = false;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_TENANT, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(replay_begin(ctx, tx, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    const struct jobs_spec spec = {
        .kind = "catalog-rebuild",
        .target = want->parent,
        .args = args_encode(ctx->arena, &(struct args){.cluster_id = "",
                                                       .backup_id = "",
                                                       .accept_rollback = want->accept_rollback}),
        .principal = thread->grant.principal,
        .priority = 3,
        .replay = JOBS_SAFE,
    };

    HF_TRY(add_job(ctx, thread, tx, &spec, resp));
    HF_TRY(replay_save(ctx, tx, &replay));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

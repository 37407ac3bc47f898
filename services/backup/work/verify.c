/* Proof of one point: every object it refers to, and all WAL from its start to its stop. Damage is
 * the answer of the job, not its failure: the job succeeds and the backup is DAMAGED. */
#include "vault/verify.h"

#include <string.h>

#include "backup/domain/args.h"
#include "backup/source/source.h"
#include "backup/store/backups.h"
#include "backup/work/work.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"
#include "base/str.h"
#include "vault/wal_check.h"

#define FINDINGS_TEXT_MAX (256u << 10)
#define AFFECTED_MAX 20 /* objects whose other points are looked up; more say nothing new */

struct verify_work {
    struct jobs_run *run;
    struct source source;
    struct backup_row row;
    struct vault_source_state state;
    const struct vault_point_info *point;
    struct hf_buf findings; /* one per line */
    size_t findings_len;
};

static struct hf_status load(struct hf_ctx *ctx, struct verify_work *work)
{
    struct jobs_run *run = work->run;
    struct args target = args_decode(ctx->arena, run->job.args);
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(source_load(ctx, run->app, run->job.tenant_id, target.cluster_id, &work->source));
    HF_TRY(db_tx_begin(ctx, work->source.app->db, run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(backups_get(ctx, tx, work->source.row.name, target.backup_id, &work->row));
    HF_TRY(db_tx_commit(ctx, &tx));
    HF_TRY(source_journal(ctx, &work->source, &work->state));
    work->point = vault_state_point(&work->state, target.backup_id);
    if (work->point == NULL) {
        return hf_fail_info(ctx->arena, HF_NOT_FOUND, "POINT_NOT_FOUND", NULL,
                            "the vault's journal knows no backup %s", target.backup_id);
    }
    return hf_success();
}

static void add_finding(struct verify_work *work, const char *object, const char *what)
{
    work->findings_len++;
    hf_buf_printf(&work->findings, "%s%s: %s", work->findings.len == 0 ? "" : "\n", object, what);
}

/* --- the vault's objects, while another thread tells the progress ---------------------------- */

struct proof {
    struct hf_ctx ctx;
    struct vault_verify_options options;
    struct vault_verify_report report;
    struct hf_status status;
    atomic_bool is_done;
};

static void prove(void *arg)
{
    struct proof *proof = arg;

    proof->status = vault_verify(&proof->ctx, &proof->options, &proof->report);
    atomic_store(&proof->is_done, true);
}

/* The proof keeps its own arena: this thread uses the job's meanwhile. */
static struct hf_status prove_objects(struct hf_ctx *ctx, struct verify_work *work,
                                      struct proof *proof)
{
    struct vault_verify_progress progress = {0};
    struct hf_cancel cancel = {0};
    struct hf_status told = hf_success();

    proof->options = (struct vault_verify_options){
        .place = {work->source.app->vault, work->source.keyring, work->source.prefix},
        .point = work->point,
        .threads = (unsigned)work->source.app->threads,
        .progress = &progress,
    };
    proof->ctx = *ctx;
    proof->ctx.arena = hf_arena_new((size_t)256 << 20);
    proof->ctx.cancel = &cancel;
    struct hf_thread *thread = hf_thread_start("verify", prove, proof);

    while (!atomic_load(&proof->is_done)) {
        struct hf_status slept = hf_ctx_sleep(ctx, 100);

        told = jobs_progress(ctx, work->run, "reading the vault",
                             (int64_t)atomic_load(&progress.bytes_done),
                             (int64_t)atomic_load(&progress.bytes_total));
        if (!hf_is_ok(slept) || !hf_is_ok(told)) {
            told = hf_is_ok(slept) ? told : slept;
            atomic_store(&cancel.is_set, true);
            break;
        }
    }
    hf_thread_join(thread);
    return hf_is_ok(told) ? hf_status_copy(ctx->arena, proof->status) : told;
}

/* Which other points refer to a damaged object: they are affected too. */
static struct hf_status name_affected(struct hf_ctx *ctx, struct verify_work *work,
                                      const char *object)
{
    const struct vault_place place = {work->source.app->vault, work->source.keyring,
                                      work->source.prefix};
    size_t *indexes = NULL;
    size_t len = 0;

    HF_TRY(vault_points_using(ctx, &place, work->state.points, work->state.points_len, object,
                              &indexes, &len));
    hf_buf_text_append(&work->findings, " (affects");
    for (size_t i = 0; i < len; i++) {
        hf_buf_printf(&work->findings, "%s %s", i == 0 ? "" : ",",
                      work->state.points[indexes[i]].id);
    }
    hf_buf_text_append(&work->findings, len == 0 ? " this point)" : ")");
    return hf_success();
}

static struct hf_status list_objects(struct hf_ctx *ctx, struct verify_work *work,
                                     const struct vault_verify_report *report)
{
    for (size_t i = 0; i < report->findings_len; i++) {
        add_finding(work, report->findings[i].object, report->findings[i].what);
        if (i < AFFECTED_MAX) {
            HF_TRY(name_affected(ctx, work, report->findings[i].object));
        }
    }
    return hf_success();
}

static struct hf_status check_objects(struct hf_ctx *ctx, struct verify_work *work)
{
    struct proof proof = {0};
    struct hf_status status = prove_objects(ctx, work, &proof);

    if (hf_is_ok(status)) {
        status = list_objects(ctx, work, &proof.report);
    }
    hf_arena_free(proof.ctx.arena);
    return status;
}

static struct hf_status check_wal(struct hf_ctx *ctx, struct verify_work *work)
{
    const struct vault_wal_place place = {work->source.prefix, work->point->lineage,
                                          work->source.row.segment_bytes};
    const struct vault_wal_range path = {.timeline = work->point->timeline,
                                         .from = work->point->start_lsn,
                                         .to = work->point->stop_lsn};
    struct vault_wal_report report;

    HF_TRY(jobs_progress(ctx, work->run, "checking WAL", 0, 0));
    HF_TRY(vault_wal_check(ctx, work->source.app->vault, work->source.keyring, &place, &path, 1,
                           &report));
    for (size_t i = 0; i < report.findings_len; i++) {
        add_finding(work, report.findings[i].object, report.findings[i].what);
    }
    return hf_success();
}

static struct hf_status store(struct hf_ctx *ctx, struct verify_work *work)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct backup_row row = work->row;

    row.verification = work->findings_len == 0 ? "VERIFIED" : "DAMAGED";
    row.findings = hf_buf_text(&work->findings);
    HF_TRY(db_tx_begin(ctx, work->source.app->db, work->source.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_finish_begin(ctx, tx, work->run));
    HF_TRY(backups_set_verified(ctx, tx, &row));
    return jobs_finish_commit(ctx, &tx, work->run, row.verification);
}

struct hf_status work_verify(struct hf_ctx *ctx, struct jobs_run *run)
{
    struct verify_work work = {.run = run};

    HF_TRY(load(ctx, &work));
    hf_buf_init(&work.findings, FINDINGS_TEXT_MAX); /* what does not fit is counted, not listed */
    struct hf_status status = check_objects(ctx, &work);

    if (hf_is_ok(status)) {
        status = check_wal(ctx, &work);
    }
    if (hf_is_ok(status)) {
        status = store(ctx, &work);
    }
    hf_buf_done(&work.findings);
    return status;
}

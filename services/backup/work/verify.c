/* Proof of one point: every object it refers to, and all WAL that it answers for. Damage is the
 * answer of the job, not its failure: the job succeeds and the backup is DAMAGED. */
#include "vault/verify.h"

#include <string.h>

#include "backup/domain/args.h"
#include "backup/work/verify_impl.h"
#include "base/pool.h"

#define FINDINGS_TEXT_MAX (256u << 10)
#define TASK_ARENA ((size_t)256 << 20)
#define AFFECTED_MAX 20 /* objects whose other points are looked up; more say nothing new */

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

void verify_add_finding(struct verify_work *work, const char *object, const char *what)
{
    work->findings_len++;
    hf_buf_printf(&work->findings, "%s%s: %s", work->findings.len == 0 ? "" : "\n", object, what);
}

/* --- work on another thread, while this one tells the progress -------------------------------- */

struct running {
    const struct verify_task *task;
    struct hf_ctx ctx;
    struct hf_status status;
    atomic_bool is_done;
};

static void run_task(void *arg)
{
    struct running *running = arg;

    running->status = running->task->fn(&running->ctx, running->task->arg);
    atomic_store(&running->is_done, true);
}

/* The task has an arena of its own: this thread uses the job's meanwhile. */
struct hf_status verify_run_task(struct hf_ctx *ctx, struct verify_work *work,
                                 const struct verify_task *task, struct hf_arena *arena)
{
    struct running running = {.task = task, .ctx = *ctx};
    struct hf_cancel cancel = {0};
    struct hf_status told = hf_success();

    running.ctx.arena = arena;
    running.ctx.cancel = &cancel;
    struct hf_thread *thread = hf_thread_try("verify", run_task, &running);

    if (thread == NULL) {
        return hf_thread_refused(ctx->arena);
    }
    while (!atomic_load(&running.is_done)) {
        struct hf_status slept = hf_ctx_sleep(ctx, 100);

        told = jobs_progress(ctx, work->run, task->phase, (int64_t)atomic_load(task->done_bytes),
                             (int64_t)atomic_load(task->total_bytes));
        if (!hf_is_ok(slept) || !hf_is_ok(told)) {
            told = hf_is_ok(slept) ? told : slept;
            atomic_store(&cancel.is_set, true);
            break;
        }
    }
    hf_thread_join(thread);
    return hf_is_ok(told) ? hf_status_copy(ctx->arena, running.status) : told;
}

/* --- the vault's objects ---------------------------------------------------------------------- */

struct proof {
    struct vault_verify_options options;
    struct vault_verify_report report;
};

static struct hf_status prove(struct hf_ctx *ctx, void *arg)
{
    struct proof *proof = arg;

    return vault_verify(ctx, &proof->options, &proof->report);
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
        verify_add_finding(work, report->findings[i].object, report->findings[i].what);
        if (i < AFFECTED_MAX) {
            HF_TRY(name_affected(ctx, work, report->findings[i].object));
        }
    }
    return hf_success();
}

static struct hf_status check_objects(struct hf_ctx *ctx, struct verify_work *work)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(TASK_ARENA);
    struct vault_verify_progress progress = {0};
    struct proof proof = {
        .options = {.place = {work->source.app->vault, work->source.keyring, work->source.prefix},
                    .point = work->point,
                    .threads = (unsigned)work->source.app->threads,
                    .progress = &progress},
    };
    const struct verify_task task = {prove, &proof, "reading the vault", &progress.bytes_done,
                                     &progress.bytes_total};

    HF_TRY(verify_run_task(ctx, work, &task, arena));
    return list_objects(ctx, work, &proof.report);
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
    hf_buf_init(&work.findings, FINDINGS_TEXT_MAX);
    struct hf_status status = check_objects(ctx, &work);

    if (hf_is_ok(status)) {
        status = verify_wal(ctx, &work);
    }
    if (hf_is_ok(status)) {
        status = store(ctx, &work);
    }
    hf_buf_done(&work.findings);
    return status;
}

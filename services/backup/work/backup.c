/* The backup job: journal first (is it done already?), base backup into a vault session, all WAL
 * through the stop LSN durable, journal entry, and only then the catalogue. The surprise: a run
 * that dies after the journal entry has succeeded; the next run only tells PostgreSQL. */
#include <string.h>

#include "backup/domain/args.h"
#include "backup/source/realms.h"
#include "backup/source/receivers.h"
#include "backup/source/source.h"
#include "backup/store/backups.h"
#include "backup/store/clusters.h"
#include "backup/work/capture.h"
#include "backup/work/found.h"
#include "backup/work/work.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "pgwire/conn.h"

#define STEP_ARENA_BYTES (1u << 20)
#define SETTLE_US (INT64_C(30) * HF_US_PER_S)
#define WAL_WAIT_US (INT64_C(600) * HF_US_PER_S)
#define STREAM_WAIT_US (INT64_C(30) * HF_US_PER_S)
#define STREAM_POLL_MS 100
#define CLOCK_AHEAD_US (INT64_C(86400) * HF_US_PER_S) /* a clock further ahead tells nothing */

struct backup_work {
    struct jobs_run *run;
    struct source source;
    struct backup_row row;
    struct vault_source_state state;
    struct vault_root *predecessor; /* NULL: first of its lineage */
    const char *predecessor_id;
    bool is_predecessor_damaged; /* so the session says */
    struct hf_ctx *ctx;
};

static struct vault_place place_of(const struct source *source)
{
    return (struct vault_place){source->app->vault, source->keyring, source->prefix};
}

static struct hf_status load(struct hf_ctx *ctx, struct jobs_run *run, struct backup_work *work)
{
    struct args target = args_decode(ctx->arena, run->job.args);
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    work->ctx = ctx;
    work->run = run;
    HF_TRY(source_load(ctx, run->app, run->job.tenant_id, target.cluster_id, &work->source));
    HF_TRY(realms_keep(ctx, work->source.app->realms, work->source.tenant));
    HF_TRY(db_tx_begin(ctx, work->source.app->db, run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_fence_check(ctx, tx, run));
    HF_TRY(backups_get(ctx, tx, work->source.row.name, target.backup_id, &work->row));
    HF_TRY(backups_set_running(ctx, tx, &work->row));
    return db_tx_commit(ctx, &tx);
}

/* What stands in the vault must not hinder what comes: without a predecessor everything is copied.
 */
static void leave_predecessor(struct hf_ctx *ctx, struct backup_work *work, struct hf_status status)
{
    hf_warn(ctx, HF_EVENT("backup.predecessor_unreadable"), HF_TEXT("backup", work->predecessor_id),
            HF_TEXT("error", status.message));
    work->predecessor = NULL;
    work->predecessor_id = NULL;
    work->is_predecessor_damaged = false;
}

/* The newest point of the current lineage is compared with. One that cannot be read is no reason to
 * fail: then everything counts as new, and verification will name the damage. */
static void find_predecessor(struct hf_ctx *ctx, struct backup_work *work)
{
    const struct vault_point_info *newest = NULL;

    for (size_t i = 0; i < work->state.points_len; i++) {
        if (hf_text_equal(work->state.points[i].lineage, work->source.row.lineage)) {
            newest = &work->state.points[i];
        }
    }
    if (newest == NULL) {
        return;
    }
    const struct vault_place place = place_of(&work->source);
    struct vault_root *root = HF_NEW(ctx->arena, struct vault_root);
    struct hf_status status = vault_root_open(ctx, &place, newest->root, newest->root_sha256, root);

    work->predecessor = root;
    work->predecessor_id = newest->id;
    if (!hf_is_ok(status)) {
        leave_predecessor(ctx, work, status);
    }
}

/* --- reading the source --------------------------------------------------------------------- */

static struct hf_status tell_progress(void *arg, uint64_t received_bytes, uint64_t total_bytes)
{
    struct backup_work *work = arg;

    return jobs_progress(work->ctx, work->run, "copying", (int64_t)received_bytes,
                         (int64_t)total_bytes);
}

static struct hf_status open_source(struct hf_ctx *ctx, const struct source *source,
                                    enum pgwire_mode mode, struct pgwire_conn **ret_conn)
{
    struct source_login login;

    HF_TRY(source_login_open(ctx, source, &login));
    const struct pgwire_options options = {
        .dsn = source->row.dsn,
        .password = login.password,
        .access = &login.access,
        .mode = mode,
        .application_name = "holdfast_backup",
    };

    return pgwire_open(ctx, &options, ret_conn);
}

/* The server's clock just after the end of the backup, ours when the role may not connect: the
 * earliest moment that the point can restore. */
static int64_t server_time(struct hf_ctx *ctx, const struct source *source)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    struct pgwire_rows rows;
    int64_t time_us = 0;

    if (hf_is_ok(open_source(ctx, source, PGWIRE_SQL, &conn)) &&
        hf_is_ok(pgwire_query(
            ctx, conn, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text",
            NULL, 0, &rows)) &&
        rows.rows == 1 && pgwire_value(&rows, 0, 0) != NULL &&
        hf_parse_i64(pgwire_value(&rows, 0, 0), &time_us) && time_us > 0 &&
        time_us < hf_now_us() + CLOCK_AHEAD_US) {
        return time_us;
    }
    return hf_now_us();
}

static struct hf_status stream(struct hf_ctx *ctx, struct backup_work *work,
                               struct capture *capture, struct pgwire_backup_end *ret_end)
{
    HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
    const struct pgwire_backup_options options = {
        .label = hf_printf(ctx->arena, "holdfast %s", work->row.id),
        .is_spread_checkpoint = hf_text_equal(work->row.checkpoint, "SPREAD"),
    };
    struct pgwire_backup_events events = capture_events(capture);

    HF_TRY(open_source(ctx, &work->source, PGWIRE_REPLICATION, &conn));
    HF_TRY(jobs_progress(ctx, work->run, "waiting for the checkpoint", 0, 0));
    return pgwire_base_backup(ctx, conn, &options, &events, ret_end);
}

/* A copy without its WAL is worth nothing: whether the stream runs is seen before, not after, hours
 * of copying. */
static struct hf_status await_stream(struct hf_ctx *ctx, struct backup_work *work)
{
    const struct source *source = &work->source;
    struct receiver_status status = {.state = RECEIVER_STOPPED};
    int64_t limit_us = hf_mono_us() + STREAM_WAIT_US;

    while (!receivers_status(source->app->receivers, source->row.id, &status) ||
           status.state != RECEIVER_STREAMING) {
        if (hf_mono_us() > limit_us) {
            const char *const metadata[] = {"cluster", source->row.name, "error", status.error,
                                            NULL};

            return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "WAL_NOT_STREAMING", metadata,
                                "the WAL stream of %s does not run: %s", source->row.name,
                                hf_text_empty(status.error) ? "see wal status" : status.error);
        }
        HF_TRY(jobs_progress(ctx, work->run, "waiting for the WAL stream", 0, 0));
        HF_TRY(hf_ctx_sleep(ctx, STREAM_POLL_MS));
    }
    return hf_success();
}

/* --- one session ---------------------------------------------------------------------------- */

static struct hf_status begin_session(struct hf_ctx *ctx, struct backup_work *work,
                                      struct vault_session **ret_session)
{
    const struct source *source = &work->source;
    struct vault_session_options options = {
        .place = place_of(source),
        .predecessor = work->predecessor,
        .backup_id = work->row.id,
        .cache_path =
            hf_printf(ctx->arena, "%s/%s.digests", source->app->cache_dir, source->row.id),
        .threads = (unsigned)source->app->threads,
        .next_pack_number = source->row.next_pack,
    };

    HF_TRY(hf_make_dirs(ctx->arena, source->app->cache_dir, 0700));
    struct hf_status status = vault_session_begin(ctx, &options, ret_session);

    if (status.code == HF_DATA_LOSS && work->predecessor != NULL) {
        leave_predecessor(ctx, work, status);
        options.predecessor = NULL;
        status = vault_session_begin(ctx, &options, ret_session);
    }
    return status;
}

static struct hf_status finish_session(struct hf_ctx *ctx, struct backup_work *work,
                                       struct vault_session *session, struct capture *capture,
                                       const struct pgwire_backup_end *end,
                                       struct vault_session_result *ret_result)
{
    const struct source *source = &work->source;
    const struct vault_point_info info = {
        .id = work->row.id,
        .lineage = source->row.lineage,
        .timeline = end->timeline,
        .start_lsn = capture->start.start_lsn,
        .stop_lsn = end->stop_lsn,
        .start_time_us = work->row.create_time_us,
        .stop_time_us = server_time(ctx, source),
        .server_version = source->row.server_version,
    };
    const struct hf_pair facts[] = {
        {"cluster", source->row.name},
        {"backup_label", hf_buf_text(&capture->label)},
        {"tablespace_map", hf_buf_text(&capture->tablespace_map)},
        {"system_identifier", source->row.system_identifier},
        {"segment_bytes",
         hf_printf(ctx->arena, "%llu", (unsigned long long)source->row.segment_bytes)},
    };
    const struct vault_session_facts all = {&info, facts, sizeof(facts) / sizeof(facts[0])};

    int64_t bytes = capture->start.size_bytes < 0 ? 0 : capture->start.size_bytes;

    if (capture->label.len == 0) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "the server's base backup has no backup_label");
    }
    HF_TRY(jobs_progress(ctx, work->run, "finishing", bytes, bytes));
    struct hf_status status = vault_session_finish(ctx, session, &all, ret_result);

    work->is_predecessor_damaged = status.code == HF_DATA_LOSS && work->predecessor != NULL;
    return status;
}

static struct hf_status wait_for_wal(struct hf_ctx *ctx, struct backup_work *work,
                                     const struct vault_point_info *info)
{
    struct hf_ctx waiting = *ctx;
    int64_t limit = hf_mono_us() + WAL_WAIT_US;

    if (waiting.deadline_us == 0 || waiting.deadline_us > limit) {
        waiting.deadline_us = limit;
    }
    HF_TRY(jobs_progress(ctx, work->run, "waiting for WAL", (int64_t)info->source_bytes,
                         (int64_t)info->source_bytes));
    return hf_wrap(ctx->arena,
                   receivers_wait_lsn(&waiting, work->source.app->receivers, work->source.row.id,
                                      info->timeline, info->stop_lsn),
                   "waiting for the WAL that makes the backup consistent");
}

static struct hf_status commit_point(struct hf_ctx *ctx, struct backup_work *work,
                                     const struct vault_session_result *result)
{
    struct vault_entry entry = {
        .kind = VAULT_ENTRY_BACKUP,
        .time_us = hf_now_us(),
        .attempt_id = hf_printf(ctx->arena, "backup/%s", work->row.id),
        .u.backup = result->info,
    };

    HF_TRY(source_journal(ctx, &work->source, &work->state)); /* others have written meanwhile */
    return source_append(ctx, &work->source, &work->state, &entry);
}

static struct hf_status remember_packs(struct hf_ctx *ctx, struct backup_work *work, uint64_t next)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, work->source.app->db, work->source.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_fence_check(ctx, tx, work->run)); /* no point for a job that is another's now */
    HF_TRY(clusters_set_pack(ctx, tx, work->source.row.id, next));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status copy(struct hf_ctx *ctx, struct backup_work *work,
                             struct vault_session *session, struct vault_session_result *ret_result)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *step_arena = hf_arena_new(STEP_ARENA_BYTES);
    struct hf_ctx step = *ctx; /* for members: reset at each, so that millions fit */
    struct pgwire_backup_end end = {0};
    struct capture capture;

    step.arena = step_arena;
    capture_init(&capture, &step, session);
    capture.on_progress = tell_progress;
    capture.progress_arg = work;
    struct hf_status status = stream(ctx, work, &capture, &end);

    if (hf_is_ok(status)) {
        status = finish_session(ctx, work, session, &capture, &end, ret_result);
    }
    status = hf_status_copy(ctx->arena, status); /* it may live in step_arena */
    capture_done(&capture);
    return status;
}

/* Up to the journal entry. Whatever fails before it leaves nothing that is referred to. */
static struct hf_status make_point(struct hf_ctx *ctx, struct backup_work *work)
{
    struct vault_session_result result = {0};
    struct vault_session *session = NULL;

    HF_TRY(await_stream(ctx, work));
    HF_TRY(begin_session(ctx, work, &session));
    struct hf_status status = copy(ctx, work, session, &result);

    if (hf_is_ok(status)) {
        status = wait_for_wal(ctx, work, &result.info);
    }
    if (hf_is_ok(status)) {
        status = remember_packs(ctx, work, result.next_pack_number);
    }
    if (!hf_is_ok(status)) {
        vault_session_abort(ctx, session);
        return status;
    }
    HF_CLEANUP(vault_session_free) struct vault_session *finished = session;

    HF_TRY(commit_point(ctx, work, &result));
    struct hf_status cached = vault_session_commit(ctx, finished);

    if (!hf_is_ok(cached)) {
        hf_warn(ctx, HF_EVENT("backup.cache_not_kept"), HF_TEXT("error", cached.message));
    }
    hf_heap_trim();
    return hf_success();
}

/* Tell PostgreSQL what the journal says. */
static struct hf_status finish(struct hf_ctx *ctx, struct backup_work *work)
{
    const struct vault_point_info *point = vault_state_point(&work->state, work->row.id);
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct backup_row row = work->row;

    if (point == NULL) {
        return hf_fail(ctx->arena, HF_INTERNAL, "the journal lacks the entry of backup %s", row.id);
    }
    HF_TRY(found_point(ctx->arena, &work->state, point, &row));
    row.predecessor = hf_is_name(work->predecessor_id) ? work->predecessor_id : "";
    HF_TRY(db_tx_begin(ctx, work->source.app->db, work->source.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_finish_begin(ctx, tx, work->run));
    HF_TRY(backups_set_succeeded(ctx, tx, &row));
    return jobs_finish_commit(ctx, &tx, work->run, work->run->job.target);
}

static struct hf_status attempt(struct hf_ctx *ctx, struct jobs_run *run, struct backup_work *work)
{
    HF_TRY(load(ctx, run, work));
    HF_TRY(source_journal(ctx, &work->source, &work->state));
    if (vault_state_point(&work->state, work->row.id) == NULL) {
        find_predecessor(ctx, work);
        struct hf_status status = make_point(ctx, work);

        if (work->is_predecessor_damaged) {
            leave_predecessor(ctx, work, status);
            status = make_point(ctx, work);
        }
        HF_TRY(status);
    }
    return finish(ctx, work);
}

/* The vault wins: a backup that was cancelled, or failed, behind its journal entry has succeeded.
 * The ctx is not the cancelled one; only stopping ends it. */
static struct hf_status settle(const struct hf_ctx *ctx, struct backup_work *work,
                               struct hf_status status)
{
    struct hf_ctx calm = {.arena = ctx->arena,
                          .deadline_us = hf_mono_us() + SETTLE_US,
                          .stop = ctx->stop,
                          .trace = ctx->trace};

    if (work->row.id == NULL || !hf_is_ok(source_journal(&calm, &work->source, &work->state)) ||
        vault_state_point(&work->state, work->row.id) == NULL) {
        return status;
    }
    return finish(&calm, work);
}

struct hf_status work_backup(struct hf_ctx *ctx, struct jobs_run *run)
{
    struct backup_work work = {0};
    struct hf_status status = attempt(ctx, run, &work);

    return hf_is_ok(status) ? status : settle(ctx, &work, status);
}

/* The job ended in another way than by work_backup: failure, cancellation, exhausted attempts. */
struct hf_status work_backup_end(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_job *job,
                                 void *app)
{
    struct args target = args_decode(ctx->arena, job->args);
    struct backup_row row = {
        .id = target.backup_id,
        .cluster_id = target.cluster_id,
        .state = job->state == JOBS_CANCELLED ? "CANCELLED" : "FAILED",
        .error_code = job->error.code == HF_OK ? "" : hf_code_name(job->error.code),
        .error_message = job->error.message,
        .error_reason = job->error.reason,
    };

    struct hf_uuid uuid;

    (void)app;
    if (hf_uuid_parse(target.cluster_id, &uuid) != 0) {
        return hf_success(); /* no row can follow; the job ends all the same */
    }
    return backups_set_ended(ctx, tx, &row);
}

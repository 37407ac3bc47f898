/* JobService: the jobs of this service. A watch holds no thread: the hub's callback leaves the
 * newest state in the watch and wakes the stream; slow clients see fewer, newer states. */
#include "backup/api/api.h"
#include "backup/api/convert.h"
#include "backup/api/filter.h"
#include "backup/api/handlers.h"
#include "backup/api/replay.h"
#include "backup/domain/names.h"
#include "base/pool.h"
#include "base/str.h"
#include "holdfast/jobs/v1/jobs.pb-c.h"
#include "rpc/message.h"
#include "svc/page.h"

#define WATCH_ARENA_BYTES (256u << 10)

static struct hf_status begin(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx **ret_tx)
{
    return db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_READ_COMMITTED, ret_tx);
}

API_UNARY(api_get_job)
{
    const PbJobs__GetJobRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct jobs_job job;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_JOB, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(jobs_get(ctx, tx, name.id, &job));
    convert_job(ctx->arena, thread->grant.tenant_name, &job, resp);
    return db_tx_commit(ctx, &tx);
}

/* The wire's names are the stored ones in capitals. */
static struct hf_status state_wanted(struct hf_arena *arena, const char *text, int *ret_state)
{
    static const struct {
        const char *wire;
        enum jobs_state state;
    } names[] = {
        {"PENDING", JOBS_PENDING},     {"RUNNING", JOBS_RUNNING},
        {"SUCCEEDED", JOBS_SUCCEEDED}, {"FAILED", JOBS_FAILED},
        {"CANCELLED", JOBS_CANCELLED}, {"OUTCOME_UNKNOWN", JOBS_OUTCOME_UNKNOWN},
    };

    *ret_state = -1;
    if (hf_text_empty(text)) {
        return hf_success();
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (hf_text_equal(text, names[i].wire)) {
            *ret_state = (int)names[i].state;
            return hf_success();
        }
    }
    return hf_fail_info(arena, HF_INVALID_ARGUMENT, "INVALID_FILTER", NULL,
                        "state must be PENDING, RUNNING, SUCCEEDED, FAILED, CANCELLED or "
                        "OUTCOME_UNKNOWN");
}

static const char *or_null(const char *text)
{
    return hf_text_empty(text) ? NULL : text;
}

API_UNARY(api_list_jobs)
{
    static const char *const fields[] = {"kind", "state", "target", NULL};
    const PbJobs__ListJobsRequest *want = req;
    PbJobs__ListJobsResponse *list = resp;
    struct api_thread *thread = app;
    struct resource_name name;
    struct filter filter;
    const struct svc_page_request pages = {"ListJobs", want->parent, want->filter, want->page_size,
                                           want->page_token};
    struct svc_page page;
    const struct jobs_job *jobs = NULL;
    size_t len = 0;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_TENANT, &name));
    HF_TRY(filter_parse(ctx->arena, want->filter, fields, &filter));
    HF_TRY(svc_page_open(ctx, thread->app->secrets, &pages, &page));
    struct jobs_filter query = {
        .kind = or_null(filter_value(&filter, "kind")),
        .target = or_null(filter_value(&filter, "target")),
        .before = or_null(page.after),
        .limit = page.limit,
    };

    HF_TRY(state_wanted(ctx->arena, filter_value(&filter, "state"), &query.state));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(jobs_list(ctx, tx, &query, &jobs, &len));
    list->jobs = HF_NEW_N(ctx->arena, PbJobs__Job *, len + 1);
    for (size_t i = 0; i < len; i++) {
        list->jobs[i] = rpc_message_new(ctx->arena, &pb_jobs__job__descriptor);
        convert_job(ctx->arena, thread->grant.tenant_name, &jobs[i], list->jobs[i]);
        if (!svc_page_take(&page, protobuf_c_message_get_packed_size(&list->jobs[i]->base))) {
            break;
        }
        list->n_jobs++;
    }
    if (list->n_jobs < len || len == query.limit) {
        HF_TRY(svc_page_next(ctx, thread->app->secrets, &pages, jobs[list->n_jobs - 1].id,
                             &list->next_page_token));
    }
    return db_tx_commit(ctx, &tx);
}

API_UNARY(api_cancel_job)
{
    const PbJobs__CancelJobRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct jobs_job job;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_JOB, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(jobs_cancel(ctx, tx, thread->app->jobs, name.id, &job));
    convert_job(ctx->arena, thread->grant.tenant_name, &job, resp);
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

API_UNARY(api_retry_job)
{
    const PbJobs__RetryJobRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct jobs_job job;
    const struct replay replay = {thread->app->secrets, "RetryJob", want->request_id, &want->base,
                                  resp};
    bool is_done = false;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_JOB, &name));
    HF_TRY(begin(ctx, thread, &tx));
    HF_TRY(replay_begin(ctx, tx, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(jobs_retry(ctx, tx, name.id, &job));
    if (hf_text_equal(job.kind, "backup")) {
        HF_TRY(api_readmit_backup(ctx, tx, job.args));
    }
    convert_job(ctx->arena, thread->grant.tenant_name, &job, resp);
    HF_TRY(replay_save(ctx, tx, &replay));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

/* --- watching ------------------------------------------------------------------------------- */

struct watch {
    struct hf_lock newest_lock;
    struct hf_arena *newest_arena; /* owns newest; NULL: nothing new */
    PbJobs__Job *newest;
    bool is_last; /* newest, or what was sent before, is the end */

    struct jobs_watch *handle;
    struct rpc_stream *stream;
    char *tenant;
};

/* On the hub's thread. */
static bool on_change(const struct jobs_job *job, struct hf_status status, void *arg)
{
    struct watch *watch = arg;

    if (!hf_is_ok(status)) {
        return true; /* the state cannot be read for now; the hub goes on trying */
    }
    struct hf_arena *arena = NULL;
    PbJobs__Job *message = NULL;

    if (job != NULL) {
        arena = hf_arena_new(WATCH_ARENA_BYTES);
        message = rpc_message_new(arena, &pb_jobs__job__descriptor);
        convert_job(arena, watch->tenant, job, message);
    }
    hf_lock_take(&watch->newest_lock);
    struct hf_arena *old = watch->newest_arena;

    watch->newest_arena = arena;
    watch->newest = message;
    watch->is_last = job == NULL || jobs_is_ended(job->state);
    bool goes_on = !watch->is_last;
    hf_lock_release(&watch->newest_lock);
    hf_arena_free(old);
    rpc_stream_wake(watch->stream);
    return goes_on;
}

static void watch_free(struct watch *watch)
{
    jobs_unwatch(watch->handle);
    hf_arena_free(watch->newest_arena);
    hf_lock_done(&watch->newest_lock);
    hf_heap_free(watch->tenant);
    hf_heap_free(watch);
}

static struct hf_status watch_open(struct hf_ctx *ctx, void *app, const struct rpc_peer *peer,
                                   const void *req, struct rpc_stream *stream, void **ret_state)
{
    const PbJobs__WatchJobRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_JOB, &name));
    struct watch *watch = hf_heap_alloc(sizeof(*watch));

    hf_lock_init(&watch->newest_lock);
    watch->stream = stream;
    watch->tenant = hf_heap_strdup(thread->grant.tenant_name);
    const struct jobs_watcher watcher = {on_change, watch};
    struct hf_status status = jobs_watch_open(ctx, thread->app->jobs, thread->grant.tenant_id,
                                              name.id, &watcher, &watch->handle);

    if (!hf_is_ok(status)) {
        watch_free(watch);
        return status;
    }
    *ret_state = watch;
    return hf_success();
}

static struct hf_status watch_writable(struct hf_ctx *ctx, void *app, struct rpc_stream *stream,
                                       void *state)
{
    struct watch *watch = state;

    (void)ctx;
    (void)app;
    hf_lock_take(&watch->newest_lock);
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = HF_TAKE(watch->newest_arena);
    PbJobs__Job *job = watch->newest;
    bool is_last = watch->is_last;

    watch->newest = NULL;
    hf_lock_release(&watch->newest_lock);
    if (arena != NULL) {
        PbJobs__WatchJobResponse message = PB_JOBS__WATCH_JOB_RESPONSE__INIT;

        message.job = job;
        (void)rpc_stream_send(stream, &message.base); /* nothing is being sent: never busy */
    }
    if (is_last) {
        rpc_stream_finish(stream, hf_success());
    }
    return hf_success();
}

static void watch_done(void *app, struct rpc_stream *stream, void *state)
{
    (void)app;
    (void)stream;
    watch_free(state);
}

const struct rpc_events api_watch_job = {
    .open = watch_open, .writable = watch_writable, .cancel = NULL, .done = watch_done};

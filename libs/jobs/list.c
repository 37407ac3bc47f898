/* Reading jobs: one, a page, the dead. Filters are equality in COLLATE "C", pages are keysets over
 * the time-ordered id. */
#include "base/check.h"
#include "jobs/internal.h"

struct hf_status jobs_get(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                          struct jobs_job *ret_job)
{
    const struct db_rows *rows = NULL;
    struct hf_uuid uuid;

    if (id == NULL || hf_uuid_parse(id, &uuid) != 0) {
        return jobs_not_found(ctx->arena, id == NULL ? "" : id);
    }
    HF_TRY(db_query(ctx, tx, sql_jobs_get, DB_ARGS(DB_UUID(id)), &rows));
    if (db_len(rows) == 0) {
        return jobs_not_found(ctx->arena, id);
    }
    jobs_decode(rows, 0, ret_job);
    return hf_success();
}

struct page {
    const char *kind;
    const char *target;
    const char *const *states; /* NULL: any */
    size_t states_len;
    bool is_kept_only; /* not the discarded */
    const char *before;
    size_t limit;
};

static struct hf_status list_page(struct hf_ctx *ctx, struct db_tx *tx, const struct page *page,
                                  const struct jobs_job **ret_jobs, size_t *ret_len)
{
    const struct db_rows *rows = NULL;
    struct hf_uuid uuid;

    HF_CHECK(page->limit > 0 && page->limit <= 1000);
    if (page->before != NULL && hf_uuid_parse(page->before, &uuid) != 0) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "the page token is not valid");
    }
    HF_TRY(
        db_query(ctx, tx, sql_jobs_list,
                 DB_ARGS(DB_TEXT(page->kind), DB_TEXT(page->target),
                         page->states == NULL ? DB_NULL : DB_LIST(page->states, page->states_len),
                         DB_BOOL(page->is_kept_only), DB_TEXT(page->before), DB_INT(page->limit)),
                 &rows));
    struct jobs_job *jobs = HF_NEW_N(ctx->arena, struct jobs_job, db_len(rows) + 1);
    for (size_t i = 0; i < db_len(rows); i++) {
        jobs_decode(rows, i, &jobs[i]);
    }
    *ret_jobs = jobs;
    *ret_len = db_len(rows);
    return hf_success();
}

struct hf_status jobs_list(struct hf_ctx *ctx, struct db_tx *tx, const struct jobs_filter *filter,
                           const struct jobs_job **ret_jobs, size_t *ret_len)
{
    const char *states[2] = {NULL, "waiting"};
    struct page page = {.kind = filter->kind,
                        .target = filter->target,
                        .before = filter->before,
                        .limit = filter->limit};

    if (filter->state >= 0) {
        states[0] = jobs_state_text((enum jobs_state)filter->state);
        page.states = states;
        page.states_len = filter->state == JOBS_PENDING ? 2 : 1;
    }
    return list_page(ctx, tx, &page, ret_jobs, ret_len);
}

struct hf_status jobs_dead_list(struct hf_ctx *ctx, struct db_tx *tx, const char *before,
                                size_t limit, const struct jobs_job **ret_jobs, size_t *ret_len)
{
    static const char *const states[] = {"failed", "outcome_unknown"};
    struct page page = {.states = states,
                        .states_len = HF_LEN(states),
                        .is_kept_only = true,
                        .before = before,
                        .limit = limit};

    return list_page(ctx, tx, &page, ret_jobs, ret_len);
}

struct hf_status jobs_discard(struct hf_ctx *ctx, struct db_tx *tx, const char *id)
{
    const struct db_rows *rows = NULL;
    struct jobs_job job = {.id = NULL};

    HF_TRY(jobs_get(ctx, tx, id, &job));
    HF_TRY(db_query(ctx, tx, sql_jobs_discard, DB_ARGS(DB_UUID(id)), &rows));
    if (db_int(rows, 0, 0) == 0) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION,
                       "job %s is %s; only a failed job can be discarded", id,
                       jobs_state_text(job.state));
    }
    return hf_success();
}

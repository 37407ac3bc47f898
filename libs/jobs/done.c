/* Successes without effects, written in groups: at most 100 or what comes within 5 ms, one
 * transaction per tenant. A synchronous commit each would be several times slower. */
#include <string.h>

#include "jobs/internal.h"

#define GROUP_MAX 100
#define GROUP_MS 5
#define WRITE_MS 10000
#define WRITE_PAUSE_MS 500
#define SINGLE_REFUSALS_MAX 2

struct group {
    struct jobs_run_state *runs[GROUP_MAX];
    size_t len;
};

struct columns {
    const char *ids[GROUP_MAX];
    const char *epochs[GROUP_MAX];
    const char *fences[GROUP_MAX];
    size_t len;
};

static void columns_of(struct hf_arena *arena, const struct group *group, struct columns *columns)
{
    columns->len = group->len;
    for (size_t i = 0; i < group->len; i++) {
        const struct jobs_run_state *state = group->runs[i];
        columns->ids[i] = state->id;
        columns->epochs[i] = hf_printf(arena, "%lld", (long long)state->fence.epoch);
        columns->fences[i] = hf_printf(arena, "%lld", (long long)state->fence.n);
    }
}

static struct hf_status write_once(struct hf_ctx *ctx, struct jobs *jobs, const struct group *group,
                                   size_t *ret_finished)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;
    struct columns columns;

    columns_of(ctx->arena, group, &columns);
    HF_TRY(db_tx_begin(ctx, jobs->options.app_db, group->runs[0]->tenant, DB_READ_COMMITTED, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_finish_many,
                    DB_ARGS(DB_LIST(columns.ids, columns.len), DB_LIST(columns.epochs, columns.len),
                            DB_LIST(columns.fences, columns.len)),
                    &rows));
    size_t len = db_len(rows);
    const char **ids = HF_NEW_N(ctx->arena, const char *, len + 1);
    for (size_t i = 0; i < len; i++) {
        ids[i] = db_text(rows, i, 0);
    }
    HF_TRY(jobs_release_children(ctx, tx, ids, len));
    *ret_finished = len;
    return db_tx_commit(ctx, &tx);
}

/* A doubtful commit is repeated: what took effect is not matched again. False when the database
 * refuses it. */
static bool write_together(struct jobs *jobs, const struct group *group, int refusals_max)
{
    struct jobs_trouble trouble = {false};
    size_t finished = 0;
    int refused = 0;

    for (;;) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA);
        struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->stop, WRITE_MS);
        struct hf_status status = write_once(&ctx, jobs, group, &finished);
        if (hf_is_ok(status)) {
            break;
        }
        jobs_trouble_note(&ctx, &trouble, "jobs.outcome_not_written", status);
        refused += jobs_is_refusal(status) ? 1 : 0;
        if (refused >= refusals_max) {
            return false;
        }
        if (!hf_is_ok(hf_ctx_sleep(&ctx, WRITE_PAUSE_MS))) {
            return true;
        }
    }
    atomic_fetch_add(&jobs->finished, (int64_t)finished);
    atomic_fetch_add(&jobs->fenced, (int64_t)(group->len - finished));
    return true;
}

/* One row that is refused keeps neither its group nor what comes after it: then each is written for
 * itself, and what is refused again is left to the reaper. */
static void write_group(struct jobs *jobs, const struct group *group)
{
    if (write_together(jobs, group, 1)) {
        return;
    }
    for (size_t i = 0; i < group->len; i++) {
        const struct group one = {.runs = {group->runs[i]}, .len = 1};
        (void)write_together(jobs, &one, SINGLE_REFUSALS_MAX);
    }
}

/* Take the runs of one tenant out of all. */
static void split(struct group *all, struct group *ret_group)
{
    size_t kept = 0;

    ret_group->len = 0;
    for (size_t i = 0; i < all->len; i++) {
        struct jobs_run_state *state = all->runs[i];
        if (strcmp(state->tenant, all->runs[0]->tenant) == 0) {
            ret_group->runs[ret_group->len++] = state;
        }
    }
    for (size_t i = 0; i < all->len; i++) {
        if (strcmp(all->runs[i]->tenant, ret_group->runs[0]->tenant) != 0) {
            all->runs[kept++] = all->runs[i];
        }
    }
    all->len = kept;
}

static void finish_all(struct jobs *jobs, struct group *all)
{
    while (all->len > 0) {
        struct group group;
        split(all, &group);
        write_group(jobs, &group);
        for (size_t i = 0; i < group.len; i++) {
            jobs_run_free(group.runs[i]);
        }
    }
    jobs_wake(jobs);
}

void jobs_done_main(void *arg)
{
    struct jobs *jobs = arg;
    void *item = NULL;
    enum hf_pop pop = HF_POP_TIMEOUT;

    while (pop != HF_POP_CLOSED) {
        struct group group = {.len = 0};
        int64_t end_us = 0;
        pop = hf_queue_pop(jobs->done, 200, &item);
        while (pop == HF_POP_ITEM) {
            end_us = end_us == 0 ? hf_mono_us() + GROUP_MS * 1000 : end_us;
            group.runs[group.len++] = item;
            int64_t left_ms = (end_us - hf_mono_us()) / 1000;
            if (group.len == GROUP_MAX || left_ms < 0) {
                break;
            }
            pop = hf_queue_pop(jobs->done, (int)left_ms, &item);
        }
        finish_all(jobs, &group);
    }
}

/* The runs of this process: what the beat thread keeps alive and cancels. A run is listed from the
 * commit of its claim until its outcome is written, so that a job of ours that is in no list is
 * known to be a stray. */
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "jobs/internal.h"

#define DEFAULT_RUN_ARENA ((size_t)64 * 1024 * 1024)

void jobs_trouble_note(struct hf_ctx *ctx, struct jobs_trouble *trouble, const char *event,
                       struct hf_status status)
{
    if (status.code == HF_CANCELLED || trouble->is_known == !hf_is_ok(status)) {
        return;
    }
    trouble->is_known = !hf_is_ok(status);
    if (trouble->is_known) {
        hf_warn(ctx, HF_EVENT(event), HF_TEXT("error", status.message));
    } else {
        hf_info(ctx, HF_EVENT(event), HF_TEXT("error", "over"));
    }
}

void jobs_ring(int event_fd)
{
    const uint64_t one = 1;
    ssize_t ignored = write(event_fd, &one, sizeof(one)); /* full means it rings already */
    (void)ignored;
}

void jobs_wait_ring(const struct hf_cancel *stop, int event_fd, int max_ms)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(4096);
    struct hf_ctx ctx = {.arena = arena, .stop = stop};
    short events = 0;
    uint64_t count = 0;

    if (hf_is_ok(hf_ctx_wait_fd(&ctx, event_fd, POLLIN, max_ms, &events)) && events != 0) {
        ssize_t ignored = read(event_fd, &count, sizeof(count));
        (void)ignored;
    }
}

static size_t kind_index_of(const struct jobs *jobs, const char *kind)
{
    size_t i = 0;

    while (i < jobs->options.kinds_len && strcmp(jobs->options.kinds[i].kind, kind) != 0) {
        i++;
    }
    HF_CHECK(i < jobs->options.kinds_len);
    return i;
}

static void copy_id(char *ret_text, const char *id)
{
    HF_CHECK(strlen(id) < JOBS_UUID_SIZE);
    memcpy(ret_text, id, strlen(id) + 1);
}

/* Columns of a claim: tenant, id, kind, epoch, fence. */
struct jobs_run_state *jobs_run_new(struct jobs *jobs, const struct db_rows *rows, size_t row)
{
    struct jobs_run_state *state = hf_heap_alloc(sizeof(*state));

    state->jobs = jobs;
    state->kind_index = kind_index_of(jobs, db_text(rows, row, 2));
    state->kind = &jobs->options.kinds[state->kind_index];
    state->arena =
        hf_arena_new(state->kind->arena_bytes == 0 ? DEFAULT_RUN_ARENA : state->kind->arena_bytes);
    state->run = HF_NEW(state->arena, struct jobs_run);
    state->run->app = jobs->options.app;
    state->run->state = state;
    state->started_us = hf_mono_us();
    state->dependency = "";
    state->fence = (struct jobs_fence){db_int(rows, row, 3), db_int(rows, row, 4)};
    copy_id(state->tenant, db_text(rows, row, 0));
    copy_id(state->id, db_text(rows, row, 1));
    hf_lock_take(&jobs->runs_lock);
    state->next = jobs->runs;
    jobs->runs = state;
    jobs->running++;
    jobs->busy[state->kind_index]++;
    hf_lock_release(&jobs->runs_lock);
    atomic_fetch_add(&jobs->claimed, 1);
    return state;
}

/* Caller holds the lock. */
static void charge(struct jobs *jobs, const struct jobs_run_state *state)
{
    if (jobs->options.redis == NULL || jobs->charges_len == JOBS_CHARGES_MAX) {
        return;
    }
    struct jobs_charge *charge = &jobs->charges[jobs->charges_len++];
    charge->kind_index = state->kind_index;
    charge->run_us = hf_mono_us() - state->started_us;
    copy_id(charge->tenant, state->tenant);
}

void jobs_run_leave_slot(struct jobs_run_state *state)
{
    struct jobs *jobs = state->jobs;

    hf_lock_take(&jobs->runs_lock);
    HF_CHECK(jobs->busy[state->kind_index] > 0);
    jobs->busy[state->kind_index]--;
    charge(jobs, state);
    hf_lock_release(&jobs->runs_lock);
    jobs_ring(jobs->claim_fd);
}

void jobs_run_free(struct jobs_run_state *state)
{
    struct jobs *jobs = state->jobs;

    hf_lock_take(&jobs->runs_lock);
    struct jobs_run_state **place = &jobs->runs;
    while (*place != state) {
        place = &(*place)->next;
    }
    *place = state->next;
    jobs->running--;
    hf_lock_wake(&jobs->runs_lock);
    hf_lock_release(&jobs->runs_lock);
    hf_arena_free(state->arena);
    hf_heap_free(state);
}

void jobs_run_lose(struct jobs_run_state *state)
{
    atomic_store(&state->is_lost, true);
    atomic_store(&state->cancel.is_set, true);
}

void jobs_runs_lose_all(struct jobs *jobs)
{
    hf_lock_take(&jobs->runs_lock);
    for (struct jobs_run_state *state = jobs->runs; state != NULL; state = state->next) {
        jobs_run_lose(state);
    }
    hf_lock_release(&jobs->runs_lock);
}

bool jobs_runs_has(struct jobs *jobs, const char *id, int64_t fence)
{
    bool is_found = false;

    hf_lock_take(&jobs->runs_lock);
    for (struct jobs_run_state *state = jobs->runs; state != NULL; state = state->next) {
        is_found = is_found || (strcmp(state->id, id) == 0 && state->fence.n == fence);
    }
    hf_lock_release(&jobs->runs_lock);
    return is_found;
}

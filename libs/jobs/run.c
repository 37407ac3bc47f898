/* One run, from the slot to its outcome. The outcome is written until it is known to be in the
 * database or the lease is lost: giving up earlier would leave a finished job to be run again. */
#include <string.h>

#include "base/log.h"
#include "jobs/internal.h"

#define WRITE_MS 10000
#define WRITE_PAUSE_MS 500
#define FAR_US (INT64_C(100) * 366 * 86400 * HF_US_PER_S)

static struct jobs_signs signs_of(const struct jobs_run_state *state)
{
    const struct jobs_job *job = &state->run->job;

    return (struct jobs_signs){
        .is_lost = atomic_load(&state->is_lost),
        .is_cancel_requested = atomic_load(&state->is_cancel_requested),
        .is_stopping = atomic_load(&state->jobs->drain.is_set),
        .is_deferred = state->is_deferred,
        .is_overdue = job->deadline_us != 0 && hf_now_us() >= job->deadline_us,
        .defer_ms = state->defer_ms,
    };
}

static struct jobs_verdict judge(const struct jobs_run_state *state, struct hf_status status)
{
    struct jobs_signs signs = signs_of(state);
    uint32_t dice = 0;

    hf_random(&dice, sizeof(dice));
    return jobs_judge_run(&state->run->job, status, &signs, state->jobs->options.retry_base_ms,
                          dice);
}

static struct hf_status write_once(struct hf_ctx *ctx, struct jobs_run_state *state,
                                   const struct jobs_verdict *verdict)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, state->jobs->options.app_db, state->tenant, DB_READ_COMMITTED, &tx));
    HF_TRY(jobs_move(ctx, tx, state->jobs, &state->run->job, verdict,
                     state->is_deferred ? state->dependency : ""));
    return db_tx_commit(ctx, &tx);
}

/* Every transition raises the fence, so a repeated write after a doubtful commit finds itself
 * fenced: the first one took effect. What is refused again and again is left to the reaper, so that
 * it does not keep the slot. */
static void write_outcome(struct jobs_run_state *state, const struct jobs_verdict *verdict)
{
    struct jobs_trouble trouble = {false};
    int refused = 0;

    while (refused < JOBS_REFUSALS_MAX) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA);
        struct hf_ctx ctx = jobs_step_ctx(arena, &state->jobs->stop, WRITE_MS);
        ctx.trace = state->id;
        struct hf_status status = write_once(&ctx, state, verdict);
        if (hf_is_ok(status) || jobs_is_fenced(status)) {
            atomic_fetch_add(hf_is_ok(status) ? &state->jobs->finished : &state->jobs->fenced, 1);
            return;
        }
        jobs_trouble_note(&ctx, &trouble, "jobs.outcome_not_written", status);
        refused += jobs_is_refusal(status) ? 1 : 0;
        if (atomic_load(&state->is_lost) || !hf_is_ok(hf_ctx_sleep(&ctx, WRITE_PAUSE_MS))) {
            return;
        }
    }
}

static void log_outcome(const struct jobs_run_state *state, struct hf_status status,
                        const struct jobs_verdict *verdict)
{
    const struct jobs_job *job = &state->run->job;
    struct hf_ctx ctx = {.arena = state->arena, .trace = state->id};

    if (verdict->move == JOBS_MOVE_NONE) {
        hf_warn(&ctx, HF_EVENT("jobs.fenced"), HF_TEXT("kind", job->kind), HF_TEXT("job", job->id));
    } else if (!hf_is_ok(status)) {
        hf_warn(&ctx, HF_EVENT(verdict->move == JOBS_MOVE_BACK ? "jobs.put_back" : "jobs.ended"),
                HF_TEXT("kind", job->kind), HF_TEXT("job", job->id),
                HF_TEXT("state", jobs_state_text(verdict->state)), HF_INT("attempt", job->attempt),
                HF_TEXT("error", status.message));
    }
}

/* May it start at all? Not after a deadline, not while a probe tries its dependency. */
static struct hf_status admit(struct jobs_run_state *state)
{
    const struct jobs_job *job = &state->run->job;

    if (job->deadline_us != 0 && hf_now_us() >= job->deadline_us) {
        return hf_fail(state->arena, HF_DEADLINE_EXCEEDED, "the job's deadline has passed");
    }
    if (state->dependency[0] == '\0') {
        return hf_success();
    }
    state->has_entered_gate = jobs_gate_enter(state->jobs->gate, state->dependency);
    if (!state->has_entered_gate) {
        state->is_deferred = true;
        state->defer_ms = 1000;
        return hf_fail(state->arena, HF_UNAVAILABLE, "%s is down; another job is trying it",
                       state->dependency);
    }
    return hf_success();
}

/* On the monotonic clock; one that lies further than 100 years away is none. */
static int64_t mono_deadline(int64_t deadline_us)
{
    int64_t left_us = 0;

    if (deadline_us == 0 || __builtin_sub_overflow(deadline_us, hf_now_us(), &left_us) ||
        left_us > FAR_US) {
        return 0;
    }
    return left_us <= 0 ? 1 : hf_mono_us() + left_us;
}

static void leave_gates(struct jobs_run_state *state, const char *entered)
{
    struct jobs_gate *gate = state->jobs->gate;
    bool is_same = state->is_deferred && strcmp(state->dependency, entered) == 0;

    if (state->has_entered_gate) {
        jobs_gate_leave(gate, entered, true, is_same);
    }
    if (state->is_deferred && !(state->has_entered_gate && is_same)) {
        jobs_gate_leave(gate, state->dependency, false, true);
    }
}

static struct hf_status call(struct jobs_run_state *state)
{
    struct hf_ctx ctx = {
        .arena = state->arena,
        .deadline_us = mono_deadline(state->run->job.deadline_us),
        .cancel = &state->cancel,
        .stop = &state->jobs->drain,
        .trace = state->id,
    };
    const char *entered = state->dependency;

    HF_TRY(admit(state));
    struct hf_status status = state->kind->fn(&ctx, state->run);
    leave_gates(state, entered);
    return hf_is_ok(status) && !state->is_finished ? hf_arena_check(state->arena) : status;
}

/* Success without effects and without a hook can be written in groups. */
static bool is_groupable(const struct jobs_run_state *state, struct hf_status status)
{
    return hf_is_ok(status) && state->kind->end == NULL && !atomic_load(&state->is_lost);
}

void jobs_run_main(void *item, void *arg)
{
    struct jobs_run_state *state = item;
    struct jobs *jobs = arg;

    struct hf_status status = call(state);
    if (state->is_finished) {
        atomic_fetch_add(&jobs->finished, 1);
    } else if (is_groupable(state, status) && hf_queue_push(jobs->done, state, 0)) {
        jobs_run_leave_slot(state);
        return;
    } else {
        struct jobs_verdict verdict = judge(state, status);
        log_outcome(state, status, &verdict);
        if (verdict.move == JOBS_MOVE_NONE) {
            atomic_fetch_add(&jobs->fenced, 1);
        } else {
            write_outcome(state, &verdict);
        }
    }
    jobs_run_leave_slot(state);
    jobs_run_free(state);
    jobs_wake(jobs);
}

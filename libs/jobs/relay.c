/* The relay: outbox → Redis, and the slow chores of the hub. The outbox row is deleted in the
 * transaction during which the id is pushed; when Redis does not take it, the row goes all the
 * same, because the claimer then looks into the table and a sweep pushes every pending id once
 * Redis is back. */
#include <string.h>

#include "base/check.h"
#include "jobs/internal.h"
#include "queue/queue.h"

#define STEP_MS 20000
#define SWEEP_US (30 * HF_US_PER_S)
#define SWEEP_SPACING_US HF_US_PER_S /* however often Redis says that it has forgotten */
#define CHORES_US (60 * HF_US_PER_S)
#define EPOCH_US (10 * HF_US_PER_S)
#define NO_ID "00000000-0000-0000-0000-000000000000"
#define TAKE_MAX 500
#define PAGES_MAX 20 /* of a step: the reaper waits for its end */
#define ARCHIVE_ROUNDS 20

struct relay {
    struct jobs *jobs;
    struct queue *queue; /* NULL: none configured */
    struct jobs_reaper *reaper;
    int64_t next_sweep_us;
    int64_t no_sweep_until_us;
    bool is_sweeping;
    char swept_tenant[JOBS_UUID_SIZE]; /* where the sweep is */
    char swept_id[JOBS_UUID_SIZE];
    int64_t next_reap_us;
    int64_t next_chores_us;
    int64_t next_epoch_us;
    struct jobs_trouble trouble;
    int64_t claimed; /* when the epoch counter was advanced */
};

/* Columns: tenant, id, kind, priority, time. */
static struct queue_item *items_of(struct hf_arena *arena, const struct db_rows *rows)
{
    struct queue_item *items = HF_NEW_N(arena, struct queue_item, db_len(rows) + 1);

    for (size_t i = 0; i < db_len(rows); i++) {
        items[i] = (struct queue_item){.tenant = db_text(rows, i, 0),
                                       .id = db_text(rows, i, 1),
                                       .lane = db_text(rows, i, 2),
                                       .priority = (int)db_int(rows, i, 3),
                                       .ready_us = db_time(rows, i, 4)};
    }
    return items;
}

/* A failed push is no failure of the step: it is made good by a sweep. */
static void push(struct hf_ctx *ctx, struct relay *relay, const struct db_rows *rows)
{
    struct jobs *jobs = relay->jobs;

    if (relay->queue == NULL) {
        jobs_ring(jobs->claim_fd);
        return;
    }
    struct hf_status status =
        queue_push(ctx, relay->queue, items_of(ctx->arena, rows), db_len(rows));
    if (!hf_is_ok(status)) {
        atomic_store(&jobs->is_incomplete, true);
        jobs_ring(jobs->claim_fd);
    }
}

static struct hf_status relay_once(struct hf_ctx *ctx, struct relay *relay, size_t *ret_len)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    HF_TRY(db_system_begin(ctx, relay->jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_relay_take, DB_NO_ARGS, &rows));
    *ret_len = db_len(rows);
    if (*ret_len > 0) {
        push(ctx, relay, rows);
    }
    return db_tx_commit(ctx, &tx);
}

static struct hf_status relay_some(struct hf_ctx *ctx, struct relay *relay)
{
    size_t len = TAKE_MAX;

    for (int i = 0; i < PAGES_MAX && len == TAKE_MAX; i++) {
        HF_TRY(relay_once(ctx, relay, &len));
    }
    if (len == TAKE_MAX) {
        jobs_ring(relay->jobs->relay_fd);
    }
    return hf_success();
}

/* Both are UUIDs of rows. */
static void move_sweep(struct relay *relay, const char *tenant, const char *id)
{
    HF_CHECK(strlen(tenant) < JOBS_UUID_SIZE && strlen(id) < JOBS_UUID_SIZE);
    memcpy(relay->swept_tenant, tenant, strlen(tenant) + 1);
    memcpy(relay->swept_id, id, strlen(id) + 1);
}

static struct hf_status push_page(struct hf_ctx *ctx, struct relay *relay, size_t *ret_len)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct db_rows *rows = NULL;

    HF_TRY(db_system_begin(ctx, relay->jobs->options.dispatch_db, &tx));
    HF_TRY(db_query(ctx, tx, sql_jobs_pending_page,
                    DB_ARGS(DB_UUID(relay->swept_tenant), DB_UUID(relay->swept_id)), &rows));
    HF_TRY(db_tx_commit(ctx, &tx));
    size_t len = db_len(rows);
    HF_TRY(queue_push(ctx, relay->queue, items_of(ctx->arena, rows), len));
    if (len > 0) {
        move_sweep(relay, db_text(rows, len - 1, 0), db_text(rows, len - 1, 1));
    }
    *ret_len = len;
    return hf_success();
}

static struct hf_status sweep_some(struct hf_ctx *ctx, struct relay *relay)
{
    size_t len = TAKE_MAX;

    for (int i = 0; i < PAGES_MAX && len == TAKE_MAX; i++) {
        HF_TRY(push_page(ctx, relay, &len));
    }
    if (len == TAKE_MAX) {
        jobs_ring(relay->jobs->relay_fd);
        return hf_success();
    }
    relay->is_sweeping = false;
    return queue_mark_complete(ctx, relay->queue);
}

/* Push every pending id: after a flush or restart of Redis, and now and then all the same. What
 * calls for a sweep while one is under way, such as another flush, starts the next. */
static struct hf_status sweep(struct hf_ctx *ctx, struct relay *relay)
{
    struct jobs *jobs = relay->jobs;
    bool is_due = hf_mono_us() >= relay->next_sweep_us;

    if (relay->queue == NULL) {
        return hf_success();
    }
    if (!relay->is_sweeping) {
        bool is_too_soon = hf_mono_us() < relay->no_sweep_until_us;
        if (is_too_soon || (!atomic_exchange(&jobs->is_incomplete, false) && !is_due)) {
            return hf_success();
        }
        relay->next_sweep_us = hf_mono_us() + SWEEP_US;
        relay->no_sweep_until_us = hf_mono_us() + SWEEP_SPACING_US;
        relay->is_sweeping = true;
        move_sweep(relay, NO_ID, NO_ID);
    }
    struct hf_status status = sweep_some(ctx, relay);
    if (!hf_is_ok(status)) {
        relay->is_sweeping = false;
        atomic_store(&jobs->is_incomplete, true);
    }
    return status;
}

static void flush_charges(struct hf_ctx *ctx, struct relay *relay)
{
    struct jobs *jobs = relay->jobs;
    struct jobs_charge charge;
    struct hf_status status = hf_success();

    while (hf_is_ok(status)) {
        hf_lock_take(&jobs->runs_lock);
        bool is_empty = jobs->charges_len == 0;
        if (!is_empty) {
            charge = jobs->charges[--jobs->charges_len];
        }
        hf_lock_release(&jobs->runs_lock);
        if (is_empty || relay->queue == NULL) {
            return;
        }
        status = queue_charge(ctx, relay->queue, jobs->options.kinds[charge.kind_index].kind,
                              charge.tenant, charge.run_us);
    }
}

/* sql gives a number of rows; it is repeated while that is a whole batch. */
static struct hf_status archive(struct hf_ctx *ctx, struct jobs *jobs, const char *sql, int number)
{
    const struct db_rows *rows = NULL;
    const struct db_param param = DB_INT(number);
    int64_t moved = TAKE_MAX;

    for (int i = 0; i < ARCHIVE_ROUNDS && moved == TAKE_MAX; i++) {
        HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
        HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
        HF_TRY(db_query(ctx, tx, sql, &param, 1, &rows));
        moved = db_int(rows, 0, 0);
        HF_TRY(db_tx_commit(ctx, &tx));
    }
    return hf_success();
}

static struct hf_status drop(struct hf_ctx *ctx, struct jobs *jobs, const char *sql)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_system_begin(ctx, jobs->options.dispatch_db, &tx));
    HF_TRY(db_exec(ctx, tx, sql, DB_NO_ARGS, NULL));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status chores(struct hf_ctx *ctx, struct relay *relay)
{
    struct jobs *jobs = relay->jobs;

    if (hf_mono_us() < relay->next_chores_us) {
        return hf_success();
    }
    relay->next_chores_us = hf_mono_us() + CHORES_US;
    HF_TRY(archive(ctx, jobs, sql_jobs_archive_move, jobs->options.keep_ended_s));
    HF_TRY(archive(ctx, jobs, sql_jobs_archive_drop, jobs->options.keep_archive_days));
    HF_TRY(drop(ctx, jobs, sql_jobs_requests_drop));
    return drop(ctx, jobs, sql_jobs_workers_drop);
}

static struct hf_status reap(struct hf_ctx *ctx, struct relay *relay)
{
    int64_t every_us = (int64_t)relay->jobs->options.lease_ms * 1000 / 10;

    if (hf_mono_us() < relay->next_reap_us) {
        return hf_success();
    }
    every_us = every_us > 2 * HF_US_PER_S ? 2 * HF_US_PER_S : every_us;
    relay->next_reap_us = hf_mono_us() + every_us;
    return jobs_reaper_pass(ctx, relay->jobs, relay->reaper);
}

static struct hf_status advance_epoch(struct hf_ctx *ctx, struct relay *relay)
{
    struct jobs *jobs = relay->jobs;
    int64_t claimed = atomic_load(&jobs->claimed);

    if (claimed == relay->claimed || hf_mono_us() < relay->next_epoch_us) {
        return hf_success();
    }
    relay->next_epoch_us = hf_mono_us() + EPOCH_US;
    relay->claimed = claimed;
    struct hf_status status = jobs_epoch_advance(
        ctx, jobs->options.dispatch_db, jobs->options.epoch_file, atomic_load(&jobs->epoch));
    return status.code == HF_ABORTED ? hf_success() : status; /* the beat adopts the new one */
}

/* Neither a Redis that is full nor a job that cannot be reaped holds up what comes after it. */
static struct hf_status step(struct hf_ctx *ctx, struct relay *relay)
{
    HF_TRY(relay_some(ctx, relay));
    struct hf_status first = sweep(ctx, relay);
    if (first.code == HF_UNAVAILABLE) { /* Redis is away: the claimers do without */
        first = hf_success();
    }
    flush_charges(ctx, relay);
    jobs_keep_first(&first, reap(ctx, relay));
    jobs_keep_first(&first, advance_epoch(ctx, relay));
    jobs_keep_first(&first, chores(ctx, relay));
    return first;
}

void jobs_relay_main(void *arg)
{
    struct jobs *jobs = arg;
    struct relay relay = {.jobs = jobs, .reaper = jobs_reaper_new()};
    const struct queue_options options = {.address = jobs->options.redis,
                                          .user = jobs->options.redis_user,
                                          .password = jobs->options.redis_password,
                                          .prefix = jobs->options.queue_prefix};

    relay.queue = options.address == NULL ? NULL : queue_new(&options);
    while (!atomic_load(&jobs->stop.is_set)) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(JOBS_STEP_ARENA * 4);
        struct hf_ctx ctx = jobs_step_ctx(arena, &jobs->stop, STEP_MS);
        struct hf_status status = step(&ctx, &relay);
        jobs_trouble_note(&ctx, &relay.trouble, "jobs.relay_failed", status);
        jobs_wait_ring(&jobs->stop, jobs->relay_fd, JOBS_SWEEP_MS);
    }
    queue_free(relay.queue);
    jobs_reaper_free(relay.reaper);
}

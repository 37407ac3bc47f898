/* Proof of the WAL that a point answers for: from its start along the newest timeline that it leads
 * to, up to the stop of the next point on that way, from where that one answers; the newest point
 * answers for all WAL there is. Every record is read and authenticated. The surprise: where the WAL
 * ends is told by the journal's inventory, too, as the names in the store cannot tell that the last
 * object has gone. */
#include <inttypes.h>

#include "backup/domain/reach.h"
#include "backup/source/way.h"
#include "backup/work/verify_impl.h"
#include "base/str.h"
#include "base/vec.h"
#include "pgformat/history.h"
#include "vault/wal_check.h"

#define TASK_ARENA ((size_t)64 << 20)

struct wal_proof {
    struct verify_work *work;
    struct way way;
    struct vault_wal_check_options options;
    struct vault_wal_report report;
    atomic_uint_fast64_t done_bytes;
    atomic_uint_fast64_t total_bytes;
};

/* --- the way ---------------------------------------------------------------------------------- */

/* OK and ret_is_way when the point leads to the timeline. A history that is damaged, or missing
 * although the timeline has WAL, is a finding. */
static struct hf_status try_timeline(struct hf_ctx *ctx, struct wal_proof *proof, uint32_t timeline,
                                     bool *ret_is_way)
{
    struct hf_status status = way_load(ctx, &proof->way, timeline);

    *ret_is_way = false;
    if (hf_is_ok(status)) {
        *ret_is_way = way_has(&proof->way, proof->work->point);
        return status;
    }
    if (status.code == HF_DATA_LOSS ||
        (status.code == HF_NOT_FOUND && way_end(&proof->way, timeline) > 0)) {
        verify_add_finding(
            proof->work, hf_printf(ctx->arena, "history of timeline %" PRIu32, timeline),
            status.code == HF_DATA_LOSS ? status.message : "is missing although its WAL is there");
    }
    return status.code == HF_DATA_LOSS || status.code == HF_NOT_FOUND ? hf_success() : status;
}

/* The newest timeline that the point leads to; its own one when there is no other. */
static struct hf_status choose_timeline(struct hf_ctx *ctx, struct wal_proof *proof)
{
    uint32_t own = proof->work->point->timeline;
    bool is_way = false;

    for (uint32_t timeline = way_below(&proof->way, UINT32_MAX); timeline > own;
         timeline = way_below(&proof->way, timeline)) {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(try_timeline(ctx, proof, timeline, &is_way));
        if (is_way) {
            return hf_success();
        }
    }
    proof->way.history = (struct pgf_history){.timeline = own};
    return hf_success();
}

static struct reach_point *reach_points(struct hf_arena *arena, const struct wal_proof *proof)
{
    const struct vault_source_state *state = &proof->work->state;
    struct reach_point *points = HF_NEW_N(arena, struct reach_point, state->points_len + 1);

    for (size_t i = 0; i < state->points_len; i++) {
        const struct vault_point_info *info = &state->points[i];

        points[i] = (struct reach_point){
            .is_on_way = way_has(&proof->way, info),
            .start_lsn = info->start_lsn,
            .stop_lsn = info->stop_lsn,
        };
    }
    return points;
}

/* The legs as ranges, cut where the next point takes over or the WAL ends. */
static struct hf_status make_path(struct hf_ctx *ctx, struct wal_proof *proof)
{
    const struct verify_work *work = proof->work;
    const struct vault_point_info *point = work->point;
    size_t own = (size_t)(point - work->state.points);
    uint64_t end_lsn = reach_end(reach_points(ctx->arena, proof), work->state.points_len, own);
    const struct pgf_history_leg *legs = NULL;
    HF_VEC(struct vault_wal_range) path = {0};
    size_t len = 0;

    HF_TRY(pgf_history_path(ctx->arena, &proof->way.history, point->timeline, point->start_lsn,
                            &legs, &len));
    for (size_t i = 0; i < len && legs[i].from_lsn < end_lsn; i++) {
        uint64_t to = legs[i].to_lsn;

        if (to == UINT64_MAX) {
            to = way_end(&proof->way, legs[i].timeline);
            to = to < point->stop_lsn ? point->stop_lsn : to;
        }
        to = to < end_lsn ? to : end_lsn;
        if (to > legs[i].from_lsn) {
            *HF_VEC_ADD(ctx->arena, &path) =
                (struct vault_wal_range){legs[i].timeline, legs[i].from_lsn, to};
            atomic_fetch_add(&proof->total_bytes, to - legs[i].from_lsn);
        }
    }
    proof->options.path = path.items;
    proof->options.path_len = path.len;
    return hf_success();
}

/* --- what was found --------------------------------------------------------------------------- */

static void name_affected(struct hf_ctx *ctx, struct wal_proof *proof,
                          const struct vault_wal_range *range)
{
    struct verify_work *work = proof->work;
    const struct reach_point *points = reach_points(ctx->arena, proof);
    size_t len = work->state.points_len;
    const char *before = " (affects ";

    for (size_t i = 0; i < len; i++) {
        if (reach_is_affected(points, len, i, range->from, range->to)) {
            hf_buf_printf(&work->findings, "%s%s", before, work->state.points[i].id);
            before = ", ";
        }
    }
    hf_buf_text_append(&work->findings, before[0] == ',' ? ")" : "");
}

static struct hf_status prove(struct hf_ctx *ctx, void *arg)
{
    struct wal_proof *proof = arg;

    return vault_wal_check(ctx, &proof->options, &proof->report);
}

struct hf_status verify_wal(struct hf_ctx *ctx, struct verify_work *work)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(TASK_ARENA);
    struct wal_proof proof = {
        .work = work,
        .way = {.store = work->source.app->vault,
                .keyring = work->source.keyring,
                .place = {work->source.prefix, work->point->lineage,
                          work->source.row.segment_bytes},
                .state = &work->state},
    };
    const struct verify_task task = {prove, &proof, "reading WAL", &proof.done_bytes,
                                     &proof.total_bytes};

    HF_TRY(vault_wal_index_load(ctx, proof.way.store, proof.way.keyring, &proof.way.place, 0,
                                &proof.way.index));
    HF_TRY(choose_timeline(ctx, &proof));
    HF_TRY(make_path(ctx, &proof));
    proof.options.store = proof.way.store;
    proof.options.keyring = proof.way.keyring;
    proof.options.place = proof.way.place;
    proof.options.done_bytes = &proof.done_bytes;
    HF_TRY(verify_run_task(ctx, work, &task, arena));
    for (size_t i = 0; i < proof.report.findings_len; i++) {
        verify_add_finding(work, proof.report.findings[i].object, proof.report.findings[i].what);
        name_affected(ctx, &proof, &proof.report.findings[i].range);
    }
    return hf_success();
}

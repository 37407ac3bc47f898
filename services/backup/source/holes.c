/* The surprise: a hole is looked for on the way to the newest timeline only. What an old timeline
 * lacks behind the place where it was left harms nobody. */
#include "backup/source/holes.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/vec.h"

struct finding {
    struct way way;
    HF_VEC(struct gap_row) rows;
    bool is_at_end;
};

/* A state whose inventory knows the points and the receiver, too: the journal's own is a minute old
 * at times. */
static struct vault_source_state with_all(struct hf_arena *arena,
                                          const struct vault_source_state *state,
                                          const struct vault_wal_info *now)
{
    struct vault_source_state all = *state;

    all.wal = HF_NEW_N(arena, struct vault_wal_info, state->wal_len + state->points_len + 1);
    for (size_t i = 0; i < state->wal_len; i++) {
        all.wal[i] = state->wal[i];
    }
    for (size_t i = 0; i < state->points_len; i++) {
        const struct vault_point_info *point = &state->points[i];

        all.wal[all.wal_len++] = (struct vault_wal_info){
            .lineage = point->lineage, .timeline = point->timeline, .durable_lsn = point->stop_lsn};
    }
    if (now != NULL && now->timeline != 0) {
        all.wal[all.wal_len++] = *now;
    }
    return all;
}

/* The first that starts, of all points of the lineage, or of those on the way alone. */
static const struct vault_point_info *oldest(const struct way *way, bool is_on_way)
{
    const struct vault_source_state *state = way->state;
    const struct vault_point_info *first = NULL;

    for (size_t i = 0; i < state->points_len; i++) {
        const struct vault_point_info *point = &state->points[i];
        bool is_wanted =
            is_on_way ? way_has(way, point) : hf_text_equal(point->lineage, way->place.lineage);

        if (is_wanted && point->start_lsn <= point->stop_lsn &&
            (first == NULL || point->start_lsn < first->start_lsn)) {
            first = point;
        }
    }
    return first;
}

static void add(struct hf_arena *arena, struct finding *finding, uint32_t timeline, uint64_t from,
                uint64_t to)
{
    if (from < to && timeline <= INT32_MAX) {
        *HF_VEC_ADD(arena, &finding->rows) = (struct gap_row){timeline, from, to};
        finding->is_at_end = to == way_end(&finding->way, timeline);
    }
}

/* A timeline of which nothing is stored, because a server only spoke of it, leads nowhere. */
static bool is_hollow(const struct way *way)
{
    const struct pgf_history *history = &way->history;

    return history->len > 0 &&
           way_end(way, history->timeline) <= history->entries[history->len - 1].switch_lsn;
}

static struct hf_status add_legs(struct hf_ctx *ctx, struct finding *finding,
                                 const struct vault_point_info *point)
{
    const struct way *way = &finding->way;
    const struct pgf_history_leg *legs = NULL;
    size_t len = 0;

    HF_TRY(pgf_history_path(ctx->arena, &way->history, point->timeline, point->start_lsn, &legs,
                            &len));
    for (size_t i = 0; i < len; i++) {
        struct vault_wal_range leg = {legs[i].timeline, legs[i].from_lsn, legs[i].to_lsn};
        struct vault_wal_range *holes = NULL;

        leg.to = leg.to == UINT64_MAX ? way_end(way, leg.timeline) : leg.to;
        size_t holes_len = vault_wal_index_holes(ctx->arena, &way->index, &leg, &holes);

        for (size_t k = 0; k < holes_len; k++) {
            add(ctx->arena, finding, leg.timeline, holes[k].from, holes[k].to);
        }
    }
    return hf_success();
}

/* ret_is_done: points lead to the timeline, or would if its history were there. */
static struct hf_status try_timeline(struct hf_ctx *ctx, struct finding *finding, uint32_t timeline,
                                     bool *ret_is_done)
{
    struct way *way = &finding->way;
    struct hf_status status = way_load(ctx, way, timeline);
    const struct vault_point_info *point = NULL;

    *ret_is_done = false;
    if (status.code == HF_NOT_FOUND || status.code == HF_DATA_LOSS) {
        add(ctx->arena, finding, timeline, oldest(way, false)->start_lsn, way_end(way, timeline));
        *ret_is_done = finding->rows.len > 0;
        return hf_success();
    }
    HF_TRY(status);
    point = is_hollow(way) ? NULL : oldest(way, true);
    if (point == NULL) {
        return hf_success();
    }
    *ret_is_done = true;
    return add_legs(ctx, finding, point);
}

static struct hf_status find_once(struct hf_ctx *ctx, const struct way *way,
                                  struct finding *ret_finding)
{
    struct finding finding = {.way = *way};
    bool is_done = oldest(way, false) == NULL;

    if (!is_done) {
        HF_TRY(vault_wal_index_load(ctx, way->store, way->keyring, &way->place, 0,
                                    &finding.way.index));
    }
    for (uint32_t timeline = way_below(&finding.way, UINT32_MAX); timeline > 0 && !is_done;
         timeline = way_below(&finding.way, timeline)) {
        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(try_timeline(ctx, &finding, timeline, &is_done));
    }
    *ret_finding = finding;
    return hf_success();
}

struct hf_status holes_find(struct hf_ctx *ctx, const struct way *way,
                            const struct vault_wal_info *now, struct holes *ret_holes)
{
    const struct vault_source_state all = with_all(ctx->arena, way->state, now);
    struct way own = *way;
    struct finding finding = {0};
    int64_t begin_us = hf_now_us();

    own.state = &all;
    HF_TRY(find_once(ctx, &own, &finding));
    if (finding.rows.len > 0) { /* a slice that was closed meanwhile is missed: see wal_index.c */
        HF_TRY(find_once(ctx, &own, &finding));
    }
    size_t len = finding.rows.len < HOLES_MAX ? finding.rows.len : HOLES_MAX;

    *ret_holes = (struct holes){
        .lineage = way->place.lineage,
        .begin_us = begin_us,
        .rows = len == 0 ? NULL : finding.rows.items + (finding.rows.len - len),
        .len = len,
        .is_at_end = finding.is_at_end,
    };
    return hf_success();
}

struct hf_status holes_store(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster_id,
                             const struct holes *holes)
{
    const struct cluster_row cluster = {.id = cluster_id, .lineage = holes->lineage};

    HF_TRY(gaps_clear(ctx, tx, &cluster, holes->begin_us));
    for (size_t i = 0; i < holes->len; i++) {
        HF_TRY(gaps_insert(ctx, tx, &cluster, &holes->rows[i]));
    }
    return hf_success();
}

struct hf_status holes_record(struct hf_ctx *ctx, const struct source *source,
                              const struct vault_wal_info *now, bool *ret_is_at_end)
{
    struct vault_source_state state;
    struct way way = {
        .store = source->app->vault,
        .keyring = source->keyring,
        .place = {source->prefix, source->row.lineage, source->row.segment_bytes},
        .state = &state,
    };
    struct holes holes;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(source_journal(ctx, source, &state));
    HF_TRY(holes_find(ctx, &way, now, &holes));
    HF_TRY(db_tx_begin(ctx, source->app->db, source->tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(clusters_lock(ctx, tx, source->row.id));
    HF_TRY(holes_store(ctx, tx, source->row.id, &holes));
    HF_TRY(db_tx_commit(ctx, &tx));
    if (holes.len > 0) {
        hf_warn(ctx, HF_EVENT("wal.holes"), HF_TEXT("cluster", source->row.name),
                HF_INT("holes", holes.len), HF_INT("to_lsn", holes.rows[holes.len - 1].to_lsn));
    }
    *ret_is_at_end = holes.is_at_end;
    return hf_success();
}

/* From a target to a point, a timeline and the WAL between, proven by walking that WAL. Points are
 * tried from the newest to the oldest, first those that lead to the newest timeline, then those of
 * branches that died; the first from which the target can be reached is taken. The surprise:
 * PostgreSQL fails when it is asked for a time after the last commit, so such a target becomes the
 * LSN of the last record, if the receiver's clock records prove that nothing more had happened by
 * then. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "pgformat/wal.h"
#include "restore/internal.h"

#define TIMELINE_UNREACHABLE "TIMELINE_UNREACHABLE"
#define WAL_GAP "WAL_GAP"
#define NAME_MAX_BYTES 63 /* MAXFNAMELEN - 1: what pg_create_restore_point takes */

enum verdict { TAKE, TRY_OLDER };

static struct hf_status refuse(struct restore *restore, enum hf_code code, const char *reason,
                               const char *key, const char *value, const char *message)
{
    const char *const metadata[] = {key, value, NULL};

    return hf_fail_info(restore->ctx->arena, code, reason, metadata, "%s", message);
}

/* --- timelines ------------------------------------------------------------------------------ */

static struct hf_status load_history(struct restore *restore, struct restore_plan *plan,
                                     uint32_t timeline)
{
    struct hf_ctx *ctx = restore->ctx;
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, PGF_HISTORY_MAX_BYTES);
    if (timeline > 1) {
        HF_TRY(hf_wrap(ctx->arena,
                       vault_wal_history_get(ctx, restore->place.store, restore->place.keyring,
                                             &plan->wal, timeline, &text),
                       "history of timeline %u", timeline));
    }
    return pgf_history_parse(ctx->arena, timeline,
                             (struct hf_str){(const char *)text.ptr, text.len}, &plan->history);
}

/* Does the point lead to the timeline? Its WAL without its history is damage, not a reason to fall
 * back to an older timeline in silence. */
static struct hf_status try_timeline(struct restore *restore, struct restore_plan *plan,
                                     uint32_t timeline, bool *ret_is_way)
{
    struct hf_status status = load_history(restore, plan, timeline);

    *ret_is_way = hf_is_ok(status) &&
                  pgf_history_reaches(&plan->history, plan->point->timeline, plan->point->stop_lsn);
    if (status.code == HF_NOT_FOUND && vault_wal_index_last(&plan->index, timeline) != NULL) {
        return hf_fail(restore->ctx->arena, HF_DATA_LOSS,
                       "the history of timeline %u is missing although its WAL is in the vault; an "
                       "older timeline must be asked for by its number",
                       (unsigned)timeline);
    }
    return status.code == HF_NOT_FOUND ? hf_success() : status;
}

/* The next one that the vault knows, at last the point's own; 0: none is left. Numbers between them
 * may be billions. */
static uint32_t older_timeline(const struct restore_plan *plan, uint32_t timeline)
{
    uint32_t own = plan->point->timeline;
    uint32_t older = vault_wal_index_below(&plan->index, timeline);

    return older < own && timeline > own ? own : older;
}

/* The newest timeline that this point can go on to, or the one that was asked for. is_strict: only
 * the newest of all. */
static struct hf_status choose_timeline(struct restore *restore, struct restore_plan *plan,
                                        bool is_strict)
{
    const struct vault_point_info *point = plan->point;
    const struct restore_target *target = &restore->options->target;
    uint32_t newest = vault_wal_index_timeline(&plan->index);
    bool is_way = false;

    newest = newest == 0 ? point->timeline : newest; /* no WAL at all: the gap is what is said */
    if (target->kind == RESTORE_IMMEDIATE) {
        return load_history(restore, plan, point->timeline);
    }
    for (uint32_t timeline = target->timeline != 0 ? target->timeline : newest;
         timeline >= point->timeline && timeline > 0; timeline = older_timeline(plan, timeline)) {
        HF_TRY(hf_ctx_check(restore->ctx));
        HF_TRY(try_timeline(restore, plan, timeline, &is_way));
        if (is_way) {
            return hf_success();
        }
        if (target->timeline != 0 || is_strict) {
            break;
        }
    }
    return refuse(restore, HF_FAILED_PRECONDITION, TIMELINE_UNREACHABLE, "backup", point->id,
                  "the timeline cannot be reached from this backup");
}

/* --- the WAL at hand ------------------------------------------------------------------------ */

static struct hf_status missing_wal(struct restore *restore, const struct vault_point_info *point,
                                    uint64_t from)
{
    return refuse(restore, HF_OUT_OF_RANGE, WAL_GAP, "backup", point->id,
                  hf_printf(restore->ctx->arena,
                            "WAL from %s on is missing in the vault; backup %s cannot become "
                            "consistent",
                            pgf_lsn(from).text, point->id));
}

/* Where the contiguous WAL of a leg ends; a leg may begin in its parent's bytes. */
static uint64_t leg_end(const struct restore_plan *plan, const struct pgf_history_leg *leg)
{
    const struct vault_wal_range *range =
        vault_wal_index_find(&plan->index, leg->timeline, leg->from_lsn, false);

    return range == NULL ? leg->from_lsn : (range->to < leg->to_lsn ? range->to : leg->to_lsn);
}

/* Legs from the point's start; the last is cut to what is there. A hole ends the path: recovery
 * could not pass it. */
static struct hf_status gather_wal(struct restore *restore, struct restore_plan *plan)
{
    const struct vault_point_info *point = plan->point;
    struct hf_ctx *ctx = restore->ctx;
    const struct pgf_history_leg *legs = NULL;
    size_t len = 0;

    HF_TRY(pgf_history_path(ctx->arena, &plan->history, point->timeline, point->start_lsn, &legs,
                            &len));
    struct pgf_history_leg *cut = HF_NEW_N(ctx->arena, struct pgf_history_leg, len);

    plan->legs_len = 0;
    for (size_t i = 0; i < len; i++) {
        uint64_t end = leg_end(plan, &legs[i]);

        cut[plan->legs_len] = legs[i];
        cut[plan->legs_len].to_lsn = end;
        if (end > legs[i].from_lsn || i == 0) {
            plan->legs_len++;
        }
        if (end < legs[i].to_lsn) {
            break;
        }
    }
    plan->legs = cut;
    plan->end_lsn = cut[plan->legs_len - 1].to_lsn;
    return plan->end_lsn >= point->stop_lsn ? hf_success()
                                            : missing_wal(restore, point, plan->end_lsn);
}

/* --- the walk ------------------------------------------------------------------------------- */

struct walk_reader {
    struct hf_ctx ctx;
    struct restore_path *path;
};

/* NOLINTNEXTLINE(readability-non-const-parameter): the signature is pgf_wal_reader.read */
static struct hf_status read_wal(void *arg, uint64_t lsn, uint8_t *ret_bytes, size_t len,
                                 size_t *ret_len)
{
    struct walk_reader *reader = arg;
    const struct restore_span span = {lsn, ret_bytes, len};

    HF_TRY(hf_ctx_check(&reader->ctx));
    hf_arena_reset(reader->ctx.arena);
    return restore_path_read(&reader->ctx, reader->path, &span, ret_len);
}

static struct pgf_target scan_target(const struct restore_target *target)
{
    static const enum pgf_target_kind kinds[] = {
        [RESTORE_LATEST] = PGF_TARGET_NONE, [RESTORE_IMMEDIATE] = PGF_TARGET_NONE,
        [RESTORE_TIME] = PGF_TARGET_TIME,   [RESTORE_LSN] = PGF_TARGET_LSN,
        [RESTORE_XID] = PGF_TARGET_XID,     [RESTORE_NAME] = PGF_TARGET_NAME,
    };

    return (struct pgf_target){
        .kind = kinds[target->kind],
        .time_us = target->time_us,
        .xid = (uint32_t)target->xid,
        .name = target->name,
        .lsn = target->lsn,
        .is_exclusive = target->is_exclusive,
    };
}

/* Of the cluster whose WAL the lineage is; 0 when the journal does not know. */
static uint64_t system_of(const struct restore *restore, const char *lineage)
{
    uint64_t system = 0;

    for (size_t i = 0; i < restore->state.lineages_len; i++) {
        const struct vault_lineage_info *info = &restore->state.lineages[i];

        if (hf_text_equal(info->lineage, lineage) &&
            !hf_parse_u64(info->system_identifier, &system)) {
            system = 0;
        }
    }
    return system;
}

static struct hf_status walk(struct restore *restore, struct restore_plan *plan)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)64 << 20);
    struct walk_reader reader = {*restore->ctx, restore_path_new(restore, plan)};
    struct pgf_target target = scan_target(&restore->options->target);

    reader.ctx.arena = arena;
    const struct pgf_walk_options options = {
        .reader = {read_wal, &reader},
        .start_lsn = plan->point->start_lsn,
        .segment_bytes = plan->wal.segment_bytes,
        .system_identifier = system_of(restore, plan->point->lineage),
    };
    struct hf_status status =
        pgf_wal_scan(restore->ctx->arena, &options, target.kind == PGF_TARGET_NONE ? NULL : &target,
                     &plan->seen);

    restore_path_free(reader.path);
    return hf_wrap(restore->ctx->arena, hf_status_copy(restore->ctx->arena, status), "reading WAL");
}

/* ret_time_us 0: no clock record proves anything. */
static struct hf_status proven_time(struct restore *restore, const struct restore_plan *plan,
                                    int64_t *ret_time_us)
{
    struct vault_wal_reader *reader =
        vault_wal_reader_new(restore->place.store, restore->place.keyring, &plan->wal);
    struct vault_wal_clock clock = {0};
    struct hf_status status = hf_success();

    for (size_t i = plan->legs_len; i > 0 && clock.time_us == 0; i--) {
        status = vault_wal_covered_time(restore->ctx, reader, plan->legs[i - 1].timeline,
                                        plan->legs[i - 1].to_lsn, &clock);
        if (!hf_is_ok(status) && status.code != HF_NOT_FOUND) {
            break;
        }
    }
    vault_wal_reader_free(reader);
    *ret_time_us = clock.time_us;
    return status.code == HF_NOT_FOUND ? hf_success() : status;
}

/* --- judging a point ------------------------------------------------------------------------ */

/* Every target is in the WAL: is it after the point became consistent? */
static enum verdict judge_reached(struct restore *restore, struct restore_plan *plan)
{
    if (plan->seen.target_lsn < plan->point->stop_lsn) {
        return TRY_OLDER;
    }
    plan->recovery = restore->options->target.kind;
    plan->end_lsn =
        plan->seen.last_end > plan->seen.target_lsn ? plan->seen.last_end : plan->end_lsn;
    return TAKE;
}

/* All WAL ends before the time: proven to be the end of what had happened, or not known. */
static struct hf_status judge_time_after_end(struct restore *restore, struct restore_plan *plan)
{
    struct hf_arena *arena = restore->ctx->arena;
    int64_t wanted_us = restore->options->target.time_us;

    if (plan->proven_time_us < wanted_us) {
        const char *last = plan->proven_time_us != 0
                               ? hf_time_text(arena, plan->proven_time_us)
                               : hf_time_text(arena, plan->seen.last_commit_time_us);

        return refuse(restore, HF_OUT_OF_RANGE, "TARGET_AFTER_WAL", "last", last,
                      hf_printf(arena,
                                "the WAL in the vault is proven complete up to %s only; choose an "
                                "earlier time or --latest",
                                last));
    }
    plan->recovery = RESTORE_LSN;
    plan->recovery_lsn = plan->seen.last_start;
    restore_note(restore,
                 "nothing was committed between %s and the requested time: recovery goes to the "
                 "proven end of WAL at %s",
                 plan->seen.last_commit_time_us == 0
                     ? "the backup"
                     : hf_time_text(arena, plan->seen.last_commit_time_us),
                 pgf_lsn(plan->seen.last_end).text);
    return hf_success();
}

/* No record begins at the target. When the last one ends there, as pg_current_wal_lsn() of a server
 * at rest says, all before the target is at hand. */
static struct hf_status judge_lsn_after_end(struct restore *restore, struct restore_plan *plan)
{
    struct hf_arena *arena = restore->ctx->arena;
    uint64_t wanted = restore->options->target.lsn;
    uint64_t end = plan->seen.last_end;
    /* At the end of a page the server counts the next page's header in. */
    uint64_t header = end % plan->wal.segment_bytes == 0 ? PGF_WAL_LONG_HEADER
                      : end % PGF_WAL_PAGE == 0          ? PGF_WAL_SHORT_HEADER
                                                         : 0;

    if (wanted > end + header) {
        return refuse(restore, HF_OUT_OF_RANGE, "TARGET_AFTER_WAL", "last", pgf_lsn(end).text,
                      hf_printf(arena, "the WAL in the vault ends at %s, before %s",
                                pgf_lsn(end).text, pgf_lsn(wanted).text));
    }
    plan->recovery = RESTORE_LSN;
    plan->recovery_lsn = plan->seen.last_start;
    return hf_success();
}

static struct hf_status judge_unreached(struct restore *restore, struct restore_plan *plan,
                                        enum verdict *ret_verdict)
{
    const struct restore_target *target = &restore->options->target;

    *ret_verdict = TAKE;
    switch (target->kind) {
    case RESTORE_TIME:
        return judge_time_after_end(restore, plan);
    case RESTORE_LSN:
        return judge_lsn_after_end(restore, plan);
    case RESTORE_XID:
    case RESTORE_NAME:
        *ret_verdict = TRY_OLDER; /* it may have ended before this point */
        return hf_success();
    case RESTORE_LATEST:
    case RESTORE_IMMEDIATE:
        plan->recovery = RESTORE_LSN;
        plan->recovery_lsn = plan->seen.last_start;
        return hf_success();
    }
    return hf_success();
}

static bool is_walk_needed(const struct restore_options *options)
{
    return options->target.kind != RESTORE_IMMEDIATE &&
           (options->target.kind != RESTORE_LATEST || options->action != RESTORE_PROMOTE);
}

/* Recovery cannot pass a hole: whoever wanted all WAL is told that there is more behind it. */
static void note_hole(struct restore *restore, const struct restore_plan *plan)
{
    const struct pgf_history_leg *last = &plan->legs[plan->legs_len - 1];
    const struct vault_wal_range *newest = vault_wal_index_last(&plan->index, last->timeline);
    bool is_cut = last->timeline != plan->history.timeline;

    if (restore->options->target.kind == RESTORE_LATEST &&
        (is_cut || (newest != NULL && newest->from > last->to_lsn))) {
        restore_note(restore,
                     "WAL from %s on timeline %u is missing in the vault although later WAL is "
                     "there: recovery ends there",
                     pgf_lsn(last->to_lsn).text, (unsigned)last->timeline);
    }
}

static struct hf_status judge(struct restore *restore, struct restore_plan *plan,
                              enum verdict *ret_verdict)
{
    *ret_verdict = TAKE;
    plan->recovery = restore->options->target.kind;
    HF_TRY(proven_time(restore, plan, &plan->proven_time_us));
    if (restore->options->target.kind == RESTORE_IMMEDIATE) {
        plan->end_lsn = plan->point->stop_lsn;
    }
    if (!is_walk_needed(restore->options)) {
        return hf_success();
    }
    HF_TRY(walk(restore, plan));
    if (plan->seen.is_target_reached) {
        *ret_verdict = judge_reached(restore, plan);
        return hf_success();
    }
    return judge_unreached(restore, plan, ret_verdict);
}

static struct hf_status try_point(struct restore *restore, const struct vault_point_info *point,
                                  bool is_strict, struct restore_plan *plan,
                                  enum verdict *ret_verdict)
{
    *plan = (struct restore_plan){
        .point = point,
        .wal = {restore->options->source_prefix, point->lineage,
                restore->state.source.wal_segment_bytes},
    };
    HF_TRY(vault_wal_index_load(restore->ctx, restore->place.store, restore->place.keyring,
                                &plan->wal, 0, &plan->index));
    HF_TRY(choose_timeline(restore, plan, is_strict));
    HF_TRY(gather_wal(restore, plan));
    HF_TRY(judge(restore, plan, ret_verdict));
    if (*ret_verdict == TAKE) {
        note_hole(restore, plan);
    }
    return hf_success();
}

/* --- choosing ------------------------------------------------------------------------------- */

/* Points that can be right, by what their journal entries say alone. One that ended after the
 * target never is, chosen or not: it holds later commits. */
static bool is_candidate(const struct restore_options *options,
                         const struct vault_point_info *point)
{
    if (options->backup_id != NULL && !hf_text_equal(point->id, options->backup_id)) {
        return false;
    }
    if (options->target.kind == RESTORE_TIME) {
        return point->stop_time_us <= options->target.time_us;
    }
    return options->target.kind != RESTORE_LSN || point->stop_lsn <= options->target.lsn;
}

static struct hf_status no_candidate(struct restore *restore)
{
    struct hf_arena *arena = restore->ctx->arena;
    const struct restore_options *options = restore->options;
    const struct vault_source_state *state = &restore->state;

    if (state->points_len == 0) {
        return refuse(restore, HF_NOT_FOUND, "NO_POINT", "cluster", options->cluster,
                      hf_printf(arena, "cluster %s has no backup in the vault", options->cluster));
    }
    if (options->backup_id != NULL && vault_state_point(state, options->backup_id) == NULL) {
        return refuse(restore, HF_NOT_FOUND, "UNKNOWN_BACKUP", "backup", options->backup_id,
                      hf_printf(arena, "the vault has no backup %s of cluster %s",
                                options->backup_id, options->cluster));
    }
    const struct vault_point_info *first = options->backup_id != NULL
                                               ? vault_state_point(state, options->backup_id)
                                               : &state->points[0];

    for (size_t i = 1; i < state->points_len && options->backup_id == NULL; i++) {
        first = state->points[i].stop_time_us < first->stop_time_us ? &state->points[i] : first;
    }
    const char *earliest = hf_time_text(arena, first->stop_time_us);

    return refuse(
        restore, HF_OUT_OF_RANGE, "TARGET_BEFORE_BACKUP", "earliest", earliest,
        hf_printf(arena, "the target lies before the end of %s; the earliest moment is %s (%s)",
                  options->backup_id != NULL ? "the chosen backup" : "the first usable backup",
                  earliest, pgf_lsn(first->stop_lsn).text));
}

static struct hf_status not_found(struct restore *restore)
{
    const struct restore_target *target = &restore->options->target;

    if (target->kind != RESTORE_XID && target->kind != RESTORE_NAME) {
        return no_candidate(restore);
    }
    const char *text = restore_target_text(restore->ctx->arena, target);

    return refuse(restore, HF_OUT_OF_RANGE, "TARGET_NOT_FOUND", "target", text,
                  hf_printf(restore->ctx->arena,
                            "%s was not found in the WAL after any backup of the vault", text));
}

struct candidate {
    const struct vault_point_info *point;
    bool is_tried; /* led to the newest timeline, but not to the target */
};

static int compare_candidates(const void *a, const void *b)
{
    const struct vault_point_info *left = ((const struct candidate *)a)->point;
    const struct vault_point_info *right = ((const struct candidate *)b)->point;

    return left->stop_time_us < right->stop_time_us   ? 1
           : left->stop_time_us > right->stop_time_us ? -1
                                                      : 0;
}

/* May an older point still do what this one refused? */
static bool is_passed_over(const struct restore *restore, struct hf_status status)
{
    enum restore_target_kind kind = restore->options->target.kind;

    if (hf_is_ok(status) || status.info == NULL) {
        return false;
    }
    return hf_text_equal(status.info->reason, TIMELINE_UNREACHABLE) ||
           ((kind == RESTORE_XID || kind == RESTORE_NAME) &&
            hf_text_equal(status.info->reason, WAL_GAP));
}

/* What trying them one after the other came to. */
struct choice {
    struct candidate *candidates; /* newest first */
    size_t len;
    enum verdict verdict;     /* TRY_OLDER: none of them */
    struct hf_status refusal; /* what the newest of them said then, or OK */
};

static struct hf_status try_all(struct restore *restore, struct choice *choice, bool is_strict,
                                struct restore_plan *ret_plan)
{
    choice->refusal = hf_success();
    for (size_t i = 0; i < choice->len && choice->verdict != TAKE; i++) {
        struct candidate *candidate = &choice->candidates[i];

        if (candidate->is_tried) {
            continue;
        }
        HF_TRY(hf_ctx_check(restore->ctx));
        struct hf_status status =
            try_point(restore, candidate->point, is_strict, ret_plan, &choice->verdict);

        candidate->is_tried = hf_is_ok(status);
        if (is_passed_over(restore, status)) {
            choice->refusal = hf_is_ok(choice->refusal) ? status : choice->refusal;
            choice->verdict = TRY_OLDER;
            continue;
        }
        HF_TRY(status);
    }
    return hf_success();
}

/* Restore points have names of 1 to 63 bytes; a line break in one cannot be asked for in
 * PostgreSQL's configuration. */
static struct hf_status check_name(struct restore *restore)
{
    const struct restore_target *target = &restore->options->target;
    size_t len = target->name == NULL ? 0 : strlen(target->name);

    if (target->kind != RESTORE_NAME) {
        return hf_success();
    }
    if (len == 0 || len > NAME_MAX_BYTES) {
        return hf_fail(restore->ctx->arena, HF_INVALID_ARGUMENT,
                       "the name of a restore point has 1 to %d bytes, not %zu", NAME_MAX_BYTES,
                       len);
    }
    if (strpbrk(target->name, "\n\r") != NULL) {
        return hf_fail(restore->ctx->arena, HF_INVALID_ARGUMENT,
                       "a restore point with a line break in its name can be restored by its LSN "
                       "only");
    }
    return hf_success();
}

struct hf_status restore_plan_make(struct restore *restore, struct restore_plan *ret_plan)
{
    const struct vault_source_state *state = &restore->state;
    struct choice choice = {
        .candidates = HF_NEW_N(restore->ctx->arena, struct candidate, state->points_len + 1),
        .verdict = TRY_OLDER,
    };

    HF_TRY(check_name(restore));
    for (size_t i = 0; i < state->points_len; i++) {
        if (is_candidate(restore->options, &state->points[i])) {
            choice.candidates[choice.len++] = (struct candidate){&state->points[i], false};
        }
    }
    if (choice.len == 0) {
        return no_candidate(restore);
    }
    qsort(choice.candidates, choice.len, sizeof(choice.candidates[0]), compare_candidates);
    HF_TRY(try_all(restore, &choice, true, ret_plan));
    HF_TRY(try_all(restore, &choice, false, ret_plan));
    if (choice.verdict == TAKE) {
        return hf_success();
    }
    return hf_is_ok(choice.refusal) ? not_found(restore) : choice.refusal;
}

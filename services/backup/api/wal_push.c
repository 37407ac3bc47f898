/* WAL pieces from archive_command.
 *
 * Nothing that was stored is ever taken back, and the receiver and every restore go by what is
 * there. So a piece is taken only when it is WAL of this system, on a timeline that is known or
 * goes on from one that is, near what is stored. Surprise: a timeline that no receiver has seen may
 * be right. A standby that was promoted while its stream was away pushes its history first.
 */
#include <string.h>

#include "backup/api/cluster_seen.h"
#include "backup/api/convert.h"
#include "backup/api/handlers.h"
#include "backup/source/receivers.h"
#include "backup/source/way.h"
#include "base/str.h"
#include "pgformat/wal.h"
#include "rpc/message.h"
#include "vault/wal_compare.h"

/* An archiver may be that much ahead of what the stream has heard. */
#define AHEAD_SEGMENTS 64u

/* What is known of a cluster's WAL: the timeline that streams, through where the source has it. */
struct known {
    const struct source *source;
    struct vault_wal_place place;
    uint64_t lsn;
    struct pgf_history history; /* of the timeline */
};

/* A piece of a segment, and what is known of its timeline. */
struct piece {
    uint32_t timeline;
    uint64_t segno;
    uint64_t lsn;
    struct hf_bytes bytes;
    struct pgf_history way; /* to its timeline, or to a later one */
};

static struct hf_status check_push(struct hf_ctx *ctx, const struct source *source,
                                   const PbBackup__PushWalRequest *want)
{
    const char *const metadata[] = {"expected", source->row.system_identifier, "found",
                                    want->system_identifier, NULL};

    if (!hf_text_equal(want->system_identifier, source->row.system_identifier)) {
        return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_SYSTEM", metadata,
                            "this WAL is of system %s, cluster %s is system %s; a restored copy "
                            "must not archive into its source's history",
                            want->system_identifier, source->row.name,
                            source->row.system_identifier);
    }
    if (hf_has_suffix(want->file, ".history")) {
        return hf_success();
    }
    if (want->offset < 0 || (uint64_t)want->segment_bytes != source->row.segment_bytes ||
        (uint64_t)want->offset > source->row.segment_bytes || want->offset % PGF_WAL_PAGE != 0 ||
        want->data.len > source->row.segment_bytes - (uint64_t)want->offset) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "RANGE", NULL,
                            "segment_bytes must be %llu, offset and data must lie within it, and "
                            "offset on a page of %d bytes",
                            (unsigned long long)source->row.segment_bytes, PGF_WAL_PAGE);
    }
    return hf_success();
}

/* --- what is known -------------------------------------------------------------------------- */

/* NOT_FOUND; DATA_LOSS it is no history. */
static struct hf_status load_history(struct hf_ctx *ctx, const struct known *known,
                                     uint32_t timeline, struct pgf_history *ret_history)
{
    struct way way = {known->source->app->vault, known->source->keyring, .place = known->place};

    HF_TRY(way_load(ctx, &way, timeline));
    *ret_history = way.history;
    return hf_success();
}

/* By the receiver, and by the journal while it has not looked yet. */
static struct hf_status look(struct hf_ctx *ctx, struct known *known)
{
    const struct source *source = known->source;
    struct receiver_status status = {.state = RECEIVER_STOPPED};
    struct vault_source_state state = {0};

    (void)receivers_status(source->app->receivers, source->row.id, &status);
    uint32_t timeline = hf_text_equal(status.lineage, source->row.lineage) ? status.timeline : 0;

    known->lsn = status.source_lsn > status.durable_lsn ? status.source_lsn : status.durable_lsn;
    if (timeline == 0) {
        HF_TRY(source_journal(ctx, source, &state));
        timeline = source_streamed(&state, source->row.lineage, &known->lsn);
    }
    if (timeline == 0) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE,
                       "nothing of cluster %s is stored yet: its WAL begins with the stream",
                       source->row.name);
    }
    return hf_wrap(ctx->arena, load_history(ctx, known, timeline, &known->history),
                   "reading the history of timeline %u", (unsigned)timeline);
}

static struct hf_status strange_timeline(struct hf_ctx *ctx, const struct known *known,
                                         uint32_t timeline, const char *why)
{
    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "TIMELINE_UNKNOWN", NULL,
                        "timeline %u is not known of cluster %s, which is on timeline %u: %s",
                        (unsigned)timeline, known->source->row.name,
                        (unsigned)known->history.timeline, why);
}

/* Is it the way to a timeline before or behind the known one? */
static struct hf_status judge_history(struct hf_ctx *ctx, const struct known *known,
                                      const struct pgf_history *history)
{
    bool is_same = history->timeline == known->history.timeline;
    bool is_later = pgf_history_follows(history, &known->history, known->lsn);
    bool is_earlier = pgf_history_follows(&known->history, history, UINT64_MAX);

    return is_same || is_later || is_earlier
               ? hf_success()
               : strange_timeline(ctx, known, history->timeline,
                                  hf_printf(ctx->arena,
                                            "its history does not leave that one at or before %s, "
                                            "through where its WAL is known",
                                            pgf_lsn(known->lsn).text));
}

/* --- history files -------------------------------------------------------------------------- */

static struct hf_status push_history(struct hf_ctx *ctx, const struct known *known,
                                     const PbBackup__PushWalRequest *want)
{
    const struct source *source = known->source;
    const struct hf_str text = {(const char *)want->data.data, want->data.len};
    struct pgf_history history = {0};
    uint32_t timeline = 0;

    if (!pgf_history_name_parse(want->file, &timeline) || timeline == 1) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "INVALID_FILE", NULL,
                            "%s is no timeline history file name", want->file);
    }
    struct hf_status status = pgf_history_parse(ctx->arena, timeline, text, &history);

    if (!hf_is_ok(status)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "INVALID_FILE", NULL,
                            "%s is no timeline history file: %s", want->file, status.message);
    }
    HF_TRY(judge_history(ctx, known, &history));
    return vault_wal_history_put(ctx, source->app->vault, source->keyring, &known->place, timeline,
                                 (struct hf_bytes){want->data.data, want->data.len});
}

/* --- segments ------------------------------------------------------------------------------- */

static struct hf_status find_way(struct hf_ctx *ctx, const struct known *known, uint32_t timeline,
                                 struct pgf_history *ret_way)
{
    if (timeline == known->history.timeline ||
        pgf_history_find(&known->history, timeline, NULL) != NULL) {
        *ret_way = known->history;
        return hf_success();
    }
    struct hf_status status = timeline < known->history.timeline
                                  ? hf_fail(ctx->arena, HF_NOT_FOUND, "not on the way")
                                  : load_history(ctx, known, timeline, ret_way);

    if (status.code == HF_NOT_FOUND || status.code == HF_DATA_LOSS) {
        return strange_timeline(
            ctx, known, timeline,
            timeline < known->history.timeline
                ? "it does not lead there"
                : hf_printf(ctx->arena, "push %s first", pgf_history_name(timeline).text));
    }
    HF_TRY(status);
    return judge_history(ctx, known, ret_way);
}

/* After a forced switch the rest of a segment is zeroes, headers too. */
static bool is_unused(struct hf_bytes page)
{
    return page.ptr[0] == 0 && memcmp(page.ptr, page.ptr + 1, page.len - 1) == 0;
}

static struct hf_status judge_page(struct hf_ctx *ctx, const struct known *known,
                                   const struct piece *piece, size_t offset)
{
    const size_t left = piece->bytes.len - offset;
    const struct hf_bytes bytes = {piece->bytes.ptr + offset,
                                   left < PGF_WAL_PAGE ? left : PGF_WAL_PAGE};
    struct pgf_wal_expect expect = {.lsn = piece->lsn + offset,
                                    .segment_bytes = known->place.segment_bytes};
    struct pgf_wal_page page;

    if (!hf_parse_u64(known->source->row.system_identifier, &expect.system_identifier)) {
        return hf_fail(ctx->arena, HF_FAILED_PRECONDITION, "the system identifier is damaged");
    }
    if (expect.lsn % expect.segment_bytes != 0 && is_unused(bytes)) {
        return hf_success();
    }
    HF_TRY(pgf_wal_page_decode(ctx->arena, bytes.ptr, bytes.len, &page));
    HF_TRY(pgf_wal_page_check(ctx->arena, &page, &expect));
    /* A timeline begins with a copy of its parent's last segment. */
    bool is_on_way = page.timeline == piece->timeline ||
                     (page.timeline < piece->timeline &&
                      pgf_history_find(&piece->way, page.timeline, NULL) != NULL);

    return is_on_way ? hf_success()
                     : hf_fail(ctx->arena, HF_DATA_LOSS, "WAL page at %s is of timeline %u",
                               pgf_lsn(expect.lsn).text, (unsigned)page.timeline);
}

static struct hf_status judge_content(struct hf_ctx *ctx, const struct known *known,
                                      const struct piece *piece)
{
    struct hf_status status = hf_success();

    for (size_t i = 0; i < piece->bytes.len && hf_is_ok(status); i += PGF_WAL_PAGE) {
        status = judge_page(ctx, known, piece, i);
    }
    return hf_is_ok(status) ? status
                            : hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "NOT_WAL", NULL,
                                           "this is no WAL of cluster %s: %s",
                                           known->source->row.name, status.message);
}

/* Is the byte before it stored? */
static struct hf_status is_continued(struct hf_ctx *ctx, const struct known *known,
                                     const struct piece *piece, bool *ret_is_continued)
{
    const struct vault_wal_source source = {known->source->app->vault, known->source->keyring,
                                            &known->place};
    struct vault_wal_index index = {0};

    if (piece->lsn == 0) {
        return hf_success();
    }
    HF_TRY(vault_wal_index_segment(ctx, &source, piece->timeline,
                                   (piece->lsn - 1) / known->place.segment_bytes, &index));
    *ret_is_continued =
        vault_wal_index_find(&index, piece->timeline, piece->lsn - 1, false) != NULL;
    return hf_success();
}

/* What lies far off, behind a hole, may be WAL that the source never wrote. */
static struct hf_status judge_place(struct hf_ctx *ctx, const struct known *known,
                                    const struct piece *piece)
{
    const uint64_t ahead = AHEAD_SEGMENTS * known->place.segment_bytes;
    bool is_near = piece->lsn <= known->lsn || piece->lsn - known->lsn <= ahead;

    if (!is_near) {
        HF_TRY(is_continued(ctx, known, piece, &is_near));
    }
    return is_near
               ? hf_success()
               : hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "WAL_AHEAD", NULL,
                              "the WAL of cluster %s is known through %s, and nothing is stored "
                              "directly before %s",
                              known->source->row.name, pgf_lsn(known->lsn).text,
                              pgf_lsn(piece->lsn).text);
}

static struct hf_status push_segment(struct hf_ctx *ctx, const struct known *known,
                                     const PbBackup__PushWalRequest *want, uint64_t *ret_lsn)
{
    const struct source *source = known->source;
    struct piece piece = {.bytes = {want->data.data, want->data.len}};

    if (!pgf_wal_name_parse(want->file, source->row.segment_bytes, &piece.timeline, &piece.segno)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "INVALID_FILE", NULL,
                            "%s is no WAL segment or timeline history file name", want->file);
    }
    piece.lsn =
        pgf_wal_segment_start(piece.segno, source->row.segment_bytes) + (uint64_t)want->offset;
    HF_TRY(find_way(ctx, known, piece.timeline, &piece.way));
    HF_TRY(judge_content(ctx, known, &piece));
    HF_TRY(judge_place(ctx, known, &piece));
    *ret_lsn = piece.lsn + piece.bytes.len;
    return vault_wal_push(ctx, source->app->vault, source->keyring, &known->place, piece.timeline,
                          piece.lsn, piece.bytes);
}

API_UNARY(api_push_wal)
{
    const PbBackup__PushWalRequest *want = req;
    PbBackup__PushWalResponse *reply = resp;
    struct source source;
    uint64_t lsn = 0;

    (void)peer;
    HF_TRY(api_load_source(ctx, app, want->parent, &source));
    HF_TRY(check_push(ctx, &source, want));
    struct known known = {
        .source = &source,
        .place = {source.prefix, source.row.lineage, source.row.segment_bytes},
    };

    HF_TRY(look(ctx, &known));
    if (hf_has_suffix(want->file, ".history")) {
        HF_TRY(push_history(ctx, &known, want));
    } else {
        HF_TRY(push_segment(ctx, &known, want, &lsn));
    }
    reply->durable_lsn = convert_lsn(ctx->arena, lsn);
    return hf_success();
}

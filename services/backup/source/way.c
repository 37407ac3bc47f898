/* The surprise: names cannot tell that the last object has gone; where WAL ended is told by the
 * journal's inventory, too. */
#include "backup/source/way.h"

#include "base/buf.h"
#include "base/str.h"

static bool is_own(const struct way *way, const char *lineage)
{
    return hf_text_equal(lineage, way->place.lineage);
}

uint64_t way_end(const struct way *way, uint32_t timeline)
{
    const struct vault_source_state *state = way->state;
    const struct vault_wal_range *last = vault_wal_index_last(&way->index, timeline);
    uint64_t end_lsn = last == NULL ? 0 : last->to;

    for (size_t i = 0; i < state->wal_len; i++) {
        const struct vault_wal_info *wal = &state->wal[i];

        if (wal->timeline == timeline && is_own(way, wal->lineage) && wal->durable_lsn > end_lsn) {
            end_lsn = wal->durable_lsn;
        }
    }
    return end_lsn;
}

uint32_t way_below(const struct way *way, uint32_t bound)
{
    const struct vault_source_state *state = way->state;
    uint32_t newest = vault_wal_index_below(&way->index, bound);

    for (size_t i = 0; i < state->wal_len; i++) {
        uint32_t timeline = state->wal[i].timeline;

        if (is_own(way, state->wal[i].lineage) && timeline < bound && timeline > newest) {
            newest = timeline;
        }
    }
    return newest;
}

struct hf_status way_load(struct hf_ctx *ctx, struct way *way, uint32_t timeline)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    hf_buf_init(&text, PGF_HISTORY_MAX_BYTES);
    if (timeline > 1) {
        HF_TRY(vault_wal_history_get(ctx, way->store, way->keyring, &way->place, timeline, &text));
    }
    return pgf_history_parse(ctx->arena, timeline,
                             (struct hf_str){(const char *)text.ptr, text.len}, &way->history);
}

bool way_has(const struct way *way, const struct vault_point_info *point)
{
    return is_own(way, point->lineage) &&
           pgf_history_reaches(&way->history, point->timeline, point->stop_lsn);
}

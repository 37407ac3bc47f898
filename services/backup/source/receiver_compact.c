/* Compaction of the segments that the stream has left, a few at a time, and removal of their slices
 * after the grace time. What is behind when the process starts is taken up again, as far back as
 * BACK segments of the current range. */
#include <string.h>

#include "backup/source/receiver_internal.h"
#include "base/clock.h"
#include "vault/wal_compact.h"

#define BACK 256    /* segments that are looked at again after a start */
#define STEPS_MAX 8 /* segments of one round */
#define GRACE_US (3600 * HF_US_PER_S)

static bool is_other_range(const struct receiver_compaction *state,
                           const struct receiver_status *now)
{
    return state->timeline != now->timeline || state->range_start != now->start_lsn ||
           !hf_text_equal(state->lineage, now->lineage);
}

static void begin(struct receiver_compaction *state, const struct receiver_status *now,
                  uint64_t segment_bytes)
{
    uint64_t first = (now->start_lsn + segment_bytes - 1) / segment_bytes;
    uint64_t end = now->durable_lsn / segment_bytes;

    state->timeline = now->timeline;
    state->range_start = now->start_lsn;
    memcpy(state->lineage, now->lineage, sizeof(state->lineage));
    state->written = end > first + BACK ? end - BACK : first;
    state->cleaned = state->written;
}

static struct hf_status step(struct hf_ctx *ctx, const struct receiver *receiver,
                             const struct receiver_compaction *state, uint64_t segno,
                             enum vault_wal_compacted *ret_result)
{
    const struct receiver_options *options = &receiver->options;
    struct vault_wal_place place = {options->prefix, state->lineage, options->segment_bytes};

    return vault_wal_compact_segment(ctx, options->store, options->keyring, &place, state->timeline,
                                     segno, GRACE_US, ret_result);
}

struct hf_status receiver_compact(struct hf_ctx *ctx, const struct receiver *receiver,
                                  const struct receiver_status *now,
                                  struct receiver_compaction *state)
{
    uint64_t segment_bytes = receiver->options.segment_bytes;
    enum vault_wal_compacted result = VAULT_WAL_COMPACT_NOTHING;

    if (now->durable_lsn == 0) {
        return hf_success();
    }
    if (is_other_range(state, now)) {
        begin(state, now, segment_bytes);
    }
    for (int i = 0; i < STEPS_MAX && state->written < now->durable_lsn / segment_bytes; i++) {
        HF_TRY(step(ctx, receiver, state, state->written, &result));
        state->written++;
    }
    for (int i = 0; i < STEPS_MAX && state->cleaned < state->written; i++) {
        HF_TRY(step(ctx, receiver, state, state->cleaned, &result));
        if (result == VAULT_WAL_COMPACT_WAITING || result == VAULT_WAL_COMPACT_WRITTEN) {
            break;
        }
        state->cleaned++;
    }
    return hf_success();
}

/* WAL along a path through timelines. The surprise: the first segment of a timeline begins with
 * bytes of its parent, which the vault may hold under the parent only. */
#include "base/check.h"
#include "restore/internal.h"

struct restore_path {
    const struct restore_plan *plan;
    struct vault_wal_reader *reader;
};

struct restore_path *restore_path_new(const struct restore *restore,
                                      const struct restore_plan *plan)
{
    struct restore_path *path = hf_heap_alloc(sizeof(*path));

    path->plan = plan;
    path->reader = vault_wal_reader_new(restore->place.store, restore->place.keyring, &plan->wal);
    return path;
}

void restore_path_free(struct restore_path *path)
{
    if (path != NULL) {
        vault_wal_reader_free(path->reader);
        hf_heap_free(path);
    }
}

static size_t leg_at(const struct restore_plan *plan, uint64_t lsn, size_t last)
{
    size_t leg = 0;

    while (leg < last && lsn >= plan->legs[leg].to_lsn) {
        leg++;
    }
    return leg;
}

struct hf_status restore_path_read_leg(struct hf_ctx *ctx, struct restore_path *path, size_t leg,
                                       const struct restore_span *span, size_t *ret_len)
{
    const struct restore_plan *plan = path->plan;
    size_t done = 0;

    HF_CHECK(leg < plan->legs_len);
    while (done < span->len) {
        uint64_t lsn = span->lsn + done;
        const struct pgf_history_leg *from = &plan->legs[leg_at(plan, lsn, leg)];
        uint64_t left = from->to_lsn > lsn ? from->to_lsn - lsn : 0;
        size_t want = span->len - done < left ? span->len - done : (size_t)left;
        size_t got = 0;

        if (want > 0) {
            HF_TRY(vault_wal_read_some(ctx, path->reader, from->timeline, lsn, want,
                                       span->bytes + done, &got));
        }
        if (got == 0) {
            break;
        }
        done += got;
    }
    *ret_len = done;
    return hf_success();
}

struct hf_status restore_path_read(struct hf_ctx *ctx, struct restore_path *path,
                                   const struct restore_span *span, size_t *ret_len)
{
    return restore_path_read_leg(ctx, path, path->plan->legs_len - 1, span, ret_len);
}

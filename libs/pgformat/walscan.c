/* Summary of a stretch of WAL and the question "would recovery stop here?". The surprise is
 * PostgreSQL's: a target time is only reached by a transaction's end *past* it, so a time after the
 * last commit is never reached however much WAL follows. */
#include <string.h>

#include "base/str.h"
#include "pgformat/walrec.h"

static bool is_transaction_end(const struct pgf_walrec *rec)
{
    return rec->what == PGF_REC_COMMIT || rec->what == PGF_REC_COMMIT_PREPARED ||
           rec->what == PGF_REC_ABORT || rec->what == PGF_REC_ABORT_PREPARED;
}

static bool is_commit(const struct pgf_walrec *rec)
{
    return rec->what == PGF_REC_COMMIT || rec->what == PGF_REC_COMMIT_PREPARED;
}

static bool is_target(const struct pgf_target *target, const struct pgf_walrec *rec)
{
    switch (target->kind) {
    case PGF_TARGET_NONE:
        return false;
    case PGF_TARGET_TIME:
        return is_transaction_end(rec) && (target->is_exclusive ? rec->time_us >= target->time_us
                                                                : rec->time_us > target->time_us);
    case PGF_TARGET_XID:
        return is_transaction_end(rec) && rec->ended_xid == target->xid;
    case PGF_TARGET_NAME:
        return rec->what == PGF_REC_RESTORE_POINT && strcmp(rec->name, target->name) == 0;
    case PGF_TARGET_LSN:
        return rec->lsn >= target->lsn;
    }
    return false;
}

static void summary_add(struct pgf_wal_summary *summary, const struct pgf_walrec *rec)
{
    if (summary->records++ == 0) {
        summary->first_lsn = rec->lsn;
    }
    summary->last_start = rec->lsn;
    summary->last_end = rec->end_lsn;
    if (!is_transaction_end(rec)) {
        return;
    }
    if (rec->time_us > summary->last_commit_time_us) {
        summary->last_commit_time_us = rec->time_us;
    }
    if (!is_commit(rec)) {
        summary->aborts++;
        return;
    }
    if (summary->commits++ == 0) {
        summary->first_commit_time_us = rec->time_us;
    }
    summary->last_commit_lsn = rec->lsn;
}

struct hf_status pgf_wal_scan(struct hf_arena *arena, const struct pgf_walk_options *options,
                              const struct pgf_target *target, struct pgf_wal_summary *ret_summary)
{
    static const struct pgf_target no_target = {.kind = PGF_TARGET_NONE};
    HF_CLEANUP(pgf_walk_free) struct pgf_walk *walk = pgf_walk_new(options);
    struct pgf_wal_summary summary = {.last_end = options->start_lsn};

    target = target != NULL ? target : &no_target;
    for (;;) {
        struct pgf_walrec rec;
        bool has;

        HF_TRY(pgf_walk_next(walk, arena, &rec, &has));
        if (!has) {
            break;
        }
        summary_add(&summary, &rec);
        if (is_target(target, &rec)) {
            summary.is_target_reached = true;
            summary.target_lsn = rec.lsn;
            summary.target_time_us = rec.time_us;
            break;
        }
    }
    summary.end = pgf_walk_end(walk);
    *ret_summary = summary;
    return hf_success();
}

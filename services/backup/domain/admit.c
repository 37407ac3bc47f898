/* Refusals of the backup service, each with its reason and remedy. */
#include "backup/domain/admit.h"

#include "base/clock.h"
#include "base/str.h"

struct hf_status admit_backup(struct hf_arena *arena, const struct admit_snapshot *seen)
{
    const char *const cluster[] = {"cluster", seen->cluster, NULL};

    if (!seen->is_connected) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NOT_CONNECTED", cluster,
                            "cluster %s came back from the vault without a connection; give it one "
                            "with `holdfast cluster add %s --dsn …`",
                            seen->cluster, seen->cluster);
    }
    if (seen->active_job == NULL) {
        return hf_success();
    }
    const char *const metadata[] = {"cluster", seen->cluster,    "backup", seen->active_backup,
                                    "job",     seen->active_job, NULL};
    return hf_fail_info(arena, HF_FAILED_PRECONDITION, "BACKUP_ALREADY_RUNNING", metadata,
                        "backup %s of cluster %s has not ended; watch it with "
                        "`holdfast job watch %s` or cancel it with `holdfast job cancel %s`",
                        seen->active_backup, seen->cluster, seen->active_job, seen->active_job);
}

struct hf_status admit_backup_delete(struct hf_arena *arena, const struct admit_delete *seen)
{
    const char *const metadata[] = {"backup", seen->backup, NULL};

    if (hf_text_equal(seen->state, "PENDING") || hf_text_equal(seen->state, "RUNNING")) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "BACKUP_NOT_ENDED", metadata,
                            "backup %s has not ended; cancel its job first", seen->backup);
    }
    if (seen->newest != NULL && hf_text_equal(seen->newest, seen->backup)) {
        return hf_fail_info(arena, HF_FAILED_PRECONDITION, "NEWEST_POINT", metadata,
                            "backup %s is the newest recovery point of its cluster and stays; "
                            "make a newer backup first",
                            seen->backup);
    }
    return hf_success();
}

char *admit_backup_id(struct hf_arena *arena, char prefix, int64_t now_us, uint32_t random)
{
    const char *text = hf_time_text(arena, now_us); /* 2026-11-24T03:48:01.123456Z */
    unsigned ms = (unsigned)(now_us / 1000 % 1000);

    return hf_printf(arena, "%c%.4s%.2s%.2st%.2s%.2s%.2s-%03x%03x", prefix, text, text + 5,
                     text + 8, text + 11, text + 14, text + 17, ms, random & 0xfffU);
}

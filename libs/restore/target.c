/* Recovery targets: from what a person types, and back. */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "pgformat/wal.h"
#include "restore/restore.h"

struct hf_status restore_target_time(struct hf_arena *arena, const char *text,
                                     struct restore_target *ret_target)
{
    int64_t time_us = 0;

    HF_TRY(hf_time_parse(arena, text, &time_us));
    *ret_target = (struct restore_target){.kind = RESTORE_TIME, .time_us = time_us};
    return hf_success();
}

struct hf_status restore_target_lsn(struct hf_arena *arena, const char *text,
                                    struct restore_target *ret_target)
{
    uint64_t lsn = 0;

    if (!pgf_lsn_parse(text, &lsn) || lsn == 0) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s is no LSN; expected a form like 0/16B3748",
                       text);
    }
    *ret_target = (struct restore_target){.kind = RESTORE_LSN, .lsn = lsn};
    return hf_success();
}

struct hf_status restore_target_xid(struct hf_arena *arena, const char *text,
                                    struct restore_target *ret_target)
{
    uint64_t xid = 0;

    if (!hf_parse_u64(text, &xid) || xid < 3) {
        return hf_fail(arena, HF_INVALID_ARGUMENT,
                       "%s is no transaction id; expected a number of at least 3", text);
    }
    *ret_target = (struct restore_target){.kind = RESTORE_XID, .xid = xid};
    return hf_success();
}

char *restore_target_text(struct hf_arena *arena, const struct restore_target *target)
{
    switch (target->kind) {
    case RESTORE_LATEST:
        return hf_strdup(arena, "latest");
    case RESTORE_IMMEDIATE:
        return hf_strdup(arena, "immediate");
    case RESTORE_TIME:
        return hf_printf(arena, "time %s", hf_time_text(arena, target->time_us));
    case RESTORE_LSN:
        return hf_printf(arena, "lsn %s", pgf_lsn(target->lsn).text);
    case RESTORE_XID:
        return hf_printf(arena, "xid %llu", (unsigned long long)target->xid);
    case RESTORE_NAME:
        return hf_printf(arena, "name %s", target->name);
    }
    return hf_strdup(arena, "");
}

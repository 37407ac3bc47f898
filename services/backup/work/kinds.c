/* Table of job kinds and what they share. */
#include <string.h>

#include "backup/work/work.h"

const struct jobs_kind work_kinds[] = {
    {.kind = "backup", .fn = work_backup, .end = work_backup_end, .concurrency = 2},
    {.kind = "verify", .fn = work_verify, .concurrency = 1},
    {.kind = "catalog-rebuild", .fn = work_rebuild, .concurrency = 1},
    {.kind = "restore", .end = work_restore_end, .concurrency = 1},
};
const size_t work_kinds_len = sizeof(work_kinds) / sizeof(work_kinds[0]);

char *work_args(struct hf_arena *arena, const char *cluster_id, const char *backup_id)
{
    return hf_printf(arena, "%s %s", cluster_id, backup_id);
}

struct work_target work_target_of(struct hf_arena *arena, const char *args)
{
    size_t len = strcspn(args, " ");
    struct work_target target = {
        .cluster_id = hf_strndup(arena, args, len),
        .backup_id = args[len] == ' ' ? hf_strdup(arena, args + len + 1) : "",
    };

    return target;
}

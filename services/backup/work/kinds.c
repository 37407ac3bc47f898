/* Table of job kinds. What waits for a source or reads a whole vault takes long, or as long as
 * somebody wants: no tenant has all slots of such a kind. */
#include "backup/work/work.h"

const struct jobs_kind work_kinds[] = {
    {.kind = "backup",
     .fn = work_backup,
     .end = work_backup_end,
     .concurrency = 3,
     .max_per_tenant = 2},
    {.kind = "verify", .fn = work_verify, .concurrency = 2, .max_per_tenant = 1},
    {.kind = "catalog-rebuild", .fn = work_rebuild, .concurrency = 2, .max_per_tenant = 1},
    {.kind = "restore", .end = work_restore_end, .concurrency = 1},
};
const size_t work_kinds_len = sizeof(work_kinds) / sizeof(work_kinds[0]);

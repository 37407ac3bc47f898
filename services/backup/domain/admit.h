/* May this backup start? Decided over a snapshot; pure. */
#ifndef HF_BACKUP_DOMAIN_ADMIT_H
#define HF_BACKUP_DOMAIN_ADMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/status.h"

struct admit_snapshot {
    const char *cluster;    /* name */
    bool is_connected;      /* has a DSN; false: it came back from the vault alone */
    const char *active_job; /* a backup of this cluster that has not ended, or NULL */
    const char *active_backup;
};

/* FAILED_PRECONDITION reason BACKUP_ALREADY_RUNNING or NOT_CONNECTED. */
struct hf_status admit_backup(struct hf_arena *arena,
                              const struct admit_snapshot *seen) HF_MUST_USE;

/* May this point be deleted? The newest point of a cluster stays.
 * FAILED_PRECONDITION reason NEWEST_POINT or BACKUP_NOT_ENDED. */
struct admit_delete {
    const char *backup;
    const char *state;
    const char *newest; /* id of the newest point that succeeded, or NULL */
};
struct hf_status admit_backup_delete(struct hf_arena *arena,
                                     const struct admit_delete *seen) HF_MUST_USE;

/* Backup id from its creation time, to the millisecond so that ids sort by it, and a random number:
 * b20261124t034801-07ba1c. now_us is not before 1970. */
char *admit_backup_id(struct hf_arena *arena, char prefix, int64_t now_us, uint32_t random);

#endif

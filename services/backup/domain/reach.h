/* Which WAL a point answers for. Pure. */
#ifndef HF_BACKUP_DOMAIN_REACH_H
#define HF_BACKUP_DOMAIN_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reach_point {
    bool is_on_way; /* of the same lineage, and recovery to the chosen timeline passes its stop */
    uint64_t start_lsn;
    uint64_t stop_lsn;
};

/* A point answers for the WAL from its start to the stop of the next point on the way, which every
 * later target is restored from; the newest one answers for all that follows: UINT64_MAX. So the
 * points together cover the window, each byte once but for the time that a backup took. */
uint64_t reach_end(const struct reach_point *points, size_t len, size_t point);

/* Would the proof of this point meet a fault in [from_lsn, to_lsn)? */
bool reach_is_affected(const struct reach_point *points, size_t len, size_t point,
                       uint64_t from_lsn, uint64_t to_lsn);

#endif

/* Which moments can be restored: from the earliest consistent backup whose WAL is unbroken up to
 * the newest durable position. Pure. */
#ifndef HF_BACKUP_DOMAIN_WINDOW_H
#define HF_BACKUP_DOMAIN_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct window_point {
    uint64_t start_lsn; /* of the WAL that it needs */
    int64_t stop_time_us;
};

struct window_gap {
    uint64_t from_lsn;
    uint64_t to_lsn;
};

struct window {
    bool is_open; /* false: no moment can be restored */
    int64_t start_us;
    int64_t end_us;
};

/* points in any order; a gap that ends behind a point's start LSN ends what that point can
 * reach, or the point itself. The window is the newest unbroken stretch: moments before the last
 * gap can be restored too, but not *every* moment between the two ends, which is what a window
 * promises. durable_us 0: the proven time is not known, the newest stop time is the end. */
struct window window_of(const struct window_point *points, size_t points_len,
                        const struct window_gap *gaps, size_t gaps_len, int64_t durable_us);

#endif

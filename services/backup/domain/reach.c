/* Points and the WAL they answer for. The surprise: a point beside the way takes over from nobody,
 * as no target on the way is restored from it. */
#include "backup/domain/reach.h"

uint64_t reach_end(const struct reach_point *points, size_t len, size_t point)
{
    uint64_t end_lsn = UINT64_MAX;

    for (size_t i = 0; i < len; i++) {
        if (points[i].is_on_way && points[i].stop_lsn > points[point].stop_lsn &&
            points[i].stop_lsn < end_lsn) {
            end_lsn = points[i].stop_lsn;
        }
    }
    return end_lsn;
}

bool reach_is_affected(const struct reach_point *points, size_t len, size_t point,
                       uint64_t from_lsn, uint64_t to_lsn)
{
    return points[point].is_on_way && points[point].start_lsn < to_lsn &&
           from_lsn < reach_end(points, len, point);
}

/* Recovery window. The surprise: a gap does not end a window, it moves the window's start to the
 * first backup taken after it. */
#include "backup/domain/window.h"

static bool is_cut(const struct window_point *point, const struct window_gap *gaps, size_t gaps_len)
{
    for (size_t i = 0; i < gaps_len; i++) {
        if (gaps[i].to_lsn > point->start_lsn) {
            return true;
        }
    }
    return false;
}

struct window window_of(const struct window_point *points, size_t points_len,
                        const struct window_gap *gaps, size_t gaps_len, int64_t durable_us)
{
    struct window window = {.is_open = false};

    for (size_t i = 0; i < points_len; i++) {
        const struct window_point *point = &points[i];

        if (is_cut(point, gaps, gaps_len)) {
            continue;
        }
        if (!window.is_open || point->stop_time_us < window.start_us) {
            window.start_us = point->stop_time_us;
        }
        if (!window.is_open || point->stop_time_us > window.end_us) {
            window.end_us = point->stop_time_us;
        }
        window.is_open = true;
    }
    if (window.is_open && durable_us > window.end_us) {
        window.end_us = durable_us;
    }
    return window;
}

/* Prometheus metrics: a table of metrics, series registered at start, values in atomics.
 *
 * The table is the documentation. A series is a metric with label values; its handle is got once
 * and kept, so that counting is one atomic addition. All values are int64_t; a metric of unit
 * OBS_SECONDS is fed in µs and shown in seconds.
 *
 *   static const struct obs_metric table[] = {
 *       [M_BACKUPS] = {"holdfast_backups_total", "Backups that ended.", OBS_COUNTER, OBS_PLAIN,
 *                      {"outcome"}, NULL, 0},
 *   };
 *   struct obs *obs = obs_new(table, HF_LEN(table));
 *   struct obs_series *good = obs_series(obs, M_BACKUPS, (const char *[]){"succeeded"});
 *   obs_add(good, 1);
 *
 * Threads: any.
 */
#ifndef HF_OBS_METRICS_H
#define HF_OBS_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define OBS_MAX_LABELS 3
#define OBS_MAX_BOUNDS 16
#define OBS_MAX_SERIES 4096 /* over all metrics of one obs */

enum obs_type { OBS_COUNTER, OBS_GAUGE, OBS_HISTOGRAM };
enum obs_unit { OBS_PLAIN, OBS_SECONDS };

struct obs_metric {
    const char *name; /* [a-z_:][a-z0-9_:]*; counters end in _total, seconds in _seconds */
    const char *help; /* one sentence */
    enum obs_type type;
    enum obs_unit unit;
    const char *labels[OBS_MAX_LABELS]; /* names; NULL after the last */
    const int64_t *bounds;              /* OBS_HISTOGRAM: upper bounds, rising, in fed units */
    size_t bounds_len;                  /* ≤ OBS_MAX_BOUNDS */
};

struct obs;
struct obs_series;

/* table is borrowed for the life of the result. A broken table is a bug and aborts. */
struct obs *obs_new(const struct obs_metric *table, size_t len);
void obs_free(struct obs *obs); /* accepts NULL; handles die with it */

/* Get or register the series of table[metric] with these label values (copied, as many as the
 * metric has labels; NULL for none). It shows 0 from now on. The handle lives as long as obs.
 * Never NULL: beyond OBS_MAX_SERIES a shared series is given that is never shown, and
 * holdfast_obs_series_dropped_total counts it. */
struct obs_series *obs_series(struct obs *obs, size_t metric, const char *const values[]);
/* Stop showing a series (a cluster was removed); asking for it again shows it again from 0. */
void obs_series_hide(struct obs *obs, struct obs_series *series);

void obs_add(struct obs_series *series, int64_t n);         /* counter (n ≥ 0) or gauge */
void obs_set(struct obs_series *series, int64_t value);     /* gauge */
void obs_observe(struct obs_series *series, int64_t value); /* histogram */
int64_t obs_value(const struct obs_series *series);         /* counter, gauge; histogram: count */

/* fn is called before every exposition, to set gauges that are read from elsewhere. It must not
 * block. One per obs; NULL: none. */
void obs_on_scrape(struct obs *obs, void (*fn)(void *arg), void *arg);

/* Append the text exposition (version 0.0.4): the table in its order, then the process's own
 * figures (process_cpu_seconds_total, process_resident_memory_bytes, process_start_time_seconds).
 * Metrics without series have their HELP and TYPE. */
void obs_write(struct obs *obs, struct hf_buf *buf);

static inline void obs_free_cleanup(struct obs **obs)
{
    obs_free(*obs);
    *obs = NULL;
}

#endif

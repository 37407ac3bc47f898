/* Series in one list per metric; the list is guarded by a lock, the values are atomics. A scrape
 * may therefore see a histogram's sum and its buckets one observation apart: Prometheus allows
 * that, and counting never waits for a scrape. */
#include "obs/metrics.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/pool.h"
#include "base/str.h"
#include "obs/process.h"

struct obs_series {
    struct obs_series *next;
    const struct obs_metric *metric;
    char *values[OBS_MAX_LABELS];
    bool is_shown;                                    /* under obs->lock */
    atomic_int_least64_t value;                       /* histogram: sum */
    atomic_int_least64_t buckets[OBS_MAX_BOUNDS + 1]; /* not cumulative; the last is +Inf */
};

struct list {
    struct obs_series *first;
    struct obs_series *last;
};

struct obs {
    struct hf_lock lock; /* guards lists, series_len, is_shown and the scrape function */
    const struct obs_metric *table;
    size_t len;
    size_t series_len;
    void (*on_scrape)(void *arg);
    void *on_scrape_arg;
    int64_t start_us;
    atomic_int_least64_t dropped;
    struct obs_series overflow; /* never shown */
    struct list lists[];
};

static bool is_metric_name(const char *name)
{
    bool is_good = name != NULL && *name != '\0' && isdigit((unsigned char)*name) == 0;

    for (const char *at = name; is_good && *at != '\0'; at++) {
        is_good = islower((unsigned char)*at) != 0 || isdigit((unsigned char)*at) != 0 ||
                  *at == '_' || *at == ':';
    }
    return is_good;
}

static void check_metric(const struct obs_metric *metric)
{
    HF_CHECK(is_metric_name(metric->name) && !hf_text_empty(metric->help));
    HF_CHECK(metric->type != OBS_COUNTER || hf_has_suffix(metric->name, "_total"));
    HF_CHECK((metric->type == OBS_HISTOGRAM) == (metric->bounds_len > 0));
    HF_CHECK(metric->bounds_len <= OBS_MAX_BOUNDS);
    for (size_t i = 1; i < metric->bounds_len; i++) {
        HF_CHECK(metric->bounds[i - 1] < metric->bounds[i]);
    }
}

struct obs *obs_new(const struct obs_metric *table, size_t len)
{
    struct obs *obs = hf_heap_alloc(sizeof(*obs) + len * sizeof(obs->lists[0]));

    for (size_t i = 0; i < len; i++) {
        check_metric(&table[i]);
    }
    hf_lock_init(&obs->lock);
    obs->table = table;
    obs->len = len;
    obs->start_us = hf_now_us();
    return obs;
}

static void series_free(struct obs_series *series)
{
    for (size_t i = 0; i < OBS_MAX_LABELS; i++) {
        hf_heap_free(series->values[i]);
    }
    hf_heap_free(series);
}

void obs_free(struct obs *obs)
{
    if (obs == NULL) {
        return;
    }
    for (size_t i = 0; i < obs->len; i++) {
        while (obs->lists[i].first != NULL) {
            struct obs_series *series = obs->lists[i].first;
            obs->lists[i].first = series->next;
            series_free(series);
        }
    }
    hf_lock_done(&obs->lock);
    hf_heap_free(obs);
}

static size_t label_count(const struct obs_metric *metric)
{
    size_t count = 0;

    while (count < OBS_MAX_LABELS && metric->labels[count] != NULL) {
        count++;
    }
    return count;
}

static struct obs_series *find(const struct list *list, const char *const values[], size_t count)
{
    for (struct obs_series *series = list->first; series != NULL; series = series->next) {
        size_t equal = 0;
        while (equal < count && hf_text_equal(series->values[equal], values[equal])) {
            equal++;
        }
        if (equal == count) {
            return series;
        }
    }
    return NULL;
}

static struct obs_series *series_add(struct obs *obs, size_t metric, const char *const values[],
                                     size_t count)
{
    struct obs_series *series = hf_heap_alloc(sizeof(*series));
    struct list *list = &obs->lists[metric];

    series->metric = &obs->table[metric];
    for (size_t i = 0; i < count; i++) {
        series->values[i] = hf_heap_strdup(values[i]);
    }
    if (list->last == NULL) {
        list->first = series;
    } else {
        list->last->next = series;
    }
    list->last = series;
    obs->series_len++;
    return series;
}

static void series_reset(struct obs_series *series)
{
    atomic_store(&series->value, 0);
    for (size_t i = 0; i <= OBS_MAX_BOUNDS; i++) {
        atomic_store(&series->buckets[i], 0);
    }
}

struct obs_series *obs_series(struct obs *obs, size_t metric, const char *const values[])
{
    HF_CHECK(metric < obs->len);
    size_t count = label_count(&obs->table[metric]);
    HF_CHECK(count == 0 || values != NULL);

    hf_lock_take(&obs->lock);
    struct obs_series *series = find(&obs->lists[metric], values, count);
    if (series == NULL && obs->series_len < OBS_MAX_SERIES) {
        series = series_add(obs, metric, values, count);
    }
    if (series == NULL) {
        atomic_fetch_add(&obs->dropped, 1);
        obs->overflow.metric = &obs->table[metric];
        series = &obs->overflow;
    } else if (!series->is_shown) {
        series_reset(series);
        series->is_shown = true;
    }
    hf_lock_release(&obs->lock);
    return series;
}

void obs_series_hide(struct obs *obs, struct obs_series *series)
{
    hf_lock_take(&obs->lock);
    series->is_shown = false;
    hf_lock_release(&obs->lock);
}

void obs_add(struct obs_series *series, int64_t n)
{
    atomic_fetch_add_explicit(&series->value, n, memory_order_relaxed);
}

void obs_set(struct obs_series *series, int64_t value)
{
    atomic_store_explicit(&series->value, value, memory_order_relaxed);
}

void obs_observe(struct obs_series *series, int64_t value)
{
    const struct obs_metric *metric = series->metric;
    size_t bucket = 0;

    while (bucket < metric->bounds_len && value > metric->bounds[bucket]) {
        bucket++;
    }
    atomic_fetch_add_explicit(&series->buckets[bucket], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&series->value, value, memory_order_relaxed);
}

static int64_t histogram_count(const struct obs_series *series)
{
    int64_t count = 0;

    for (size_t i = 0; i <= OBS_MAX_BOUNDS; i++) {
        count += atomic_load(&series->buckets[i]);
    }
    return count;
}

int64_t obs_value(const struct obs_series *series)
{
    bool is_histogram = series->metric->type == OBS_HISTOGRAM;

    return is_histogram ? histogram_count(series) : atomic_load(&series->value);
}

void obs_on_scrape(struct obs *obs, void (*fn)(void *arg), void *arg)
{
    hf_lock_take(&obs->lock);
    obs->on_scrape = fn;
    obs->on_scrape_arg = arg;
    hf_lock_release(&obs->lock);
}

/* "12", or of µs "0.005": no trailing zeros. */
static void write_number(struct hf_buf *buf, enum obs_unit unit, int64_t value)
{
    char fraction[8];
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    if (unit == OBS_PLAIN) {
        hf_buf_printf(buf, "%" PRId64, value);
        return;
    }
    hf_buf_printf(buf, "%s%" PRIu64, value < 0 ? "-" : "", size / 1000000);
    (void)snprintf(fraction, sizeof(fraction), "%06u", (unsigned)(size % 1000000));
    size_t len = 6;
    while (len > 0 && fraction[len - 1] == '0') {
        len--;
    }
    if (len > 0) {
        hf_buf_printf(buf, ".%.*s", (int)len, fraction);
    }
}

static void write_escaped(struct hf_buf *buf, const char *text)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '\n') {
            hf_buf_text_append(buf, "\\n");
        } else if (*at == '\\' || *at == '"') {
            hf_buf_printf(buf, "\\%c", *at);
        } else {
            hf_buf_append(buf, at, 1);
        }
    }
}

static void write_label(struct hf_buf *buf, const char *separator, const char *name,
                        const char *value)
{
    hf_buf_printf(buf, "%s%s=\"", separator, name);
    write_escaped(buf, value);
    hf_buf_text_append(buf, "\"");
}

/* name, suffix and {labels}; le is the bound of a bucket or NULL. */
static void write_head(struct hf_buf *buf, const struct obs_series *series, const char *suffix,
                       const char *le)
{
    size_t count = label_count(series->metric);

    hf_buf_printf(buf, "%s%s", series->metric->name, suffix);
    for (size_t i = 0; i < count; i++) {
        write_label(buf, i == 0 ? "{" : ",", series->metric->labels[i], series->values[i]);
    }
    if (le != NULL) {
        write_label(buf, count == 0 ? "{" : ",", "le", le);
    }
    hf_buf_text_append(buf, count > 0 || le != NULL ? "} " : " ");
}

static void write_histogram(struct hf_buf *buf, const struct obs_series *series)
{
    const struct obs_metric *metric = series->metric;
    int64_t count = 0;

    for (size_t i = 0; i <= metric->bounds_len; i++) {
        HF_CLEANUP(hf_buf_done) struct hf_buf bound = {0};
        hf_buf_init(&bound, 64);
        if (i == metric->bounds_len) {
            hf_buf_text_append(&bound, "+Inf");
        } else {
            write_number(&bound, metric->unit, metric->bounds[i]);
        }
        count += atomic_load(&series->buckets[i]);
        write_head(buf, series, "_bucket", hf_buf_text(&bound));
        hf_buf_printf(buf, "%" PRId64 "\n", count);
    }
    write_head(buf, series, "_sum", NULL);
    write_number(buf, metric->unit, atomic_load(&series->value));
    hf_buf_text_append(buf, "\n");
    write_head(buf, series, "_count", NULL);
    hf_buf_printf(buf, "%" PRId64 "\n", count);
}

static void write_series(struct hf_buf *buf, const struct obs_series *series)
{
    if (!series->is_shown) {
        return;
    }
    if (series->metric->type == OBS_HISTOGRAM) {
        write_histogram(buf, series);
        return;
    }
    write_head(buf, series, "", NULL);
    write_number(buf, series->metric->unit, atomic_load(&series->value));
    hf_buf_text_append(buf, "\n");
}

static void write_metric(struct hf_buf *buf, const struct obs_metric *metric,
                         const struct list *list)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};

    hf_buf_printf(buf, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help, metric->name,
                  types[metric->type]);
    for (const struct obs_series *series = list->first; series != NULL; series = series->next) {
        write_series(buf, series);
    }
}

void obs_write(struct obs *obs, struct hf_buf *buf)
{
    hf_lock_take(&obs->lock);
    void (*on_scrape)(void *arg) = obs->on_scrape;
    void *arg = obs->on_scrape_arg;
    hf_lock_release(&obs->lock);
    if (on_scrape != NULL) {
        on_scrape(arg);
    }
    hf_lock_take(&obs->lock);
    for (size_t i = 0; i < obs->len; i++) {
        write_metric(buf, &obs->table[i], &obs->lists[i]);
    }
    hf_lock_release(&obs->lock);
    hf_buf_printf(buf,
                  "# HELP holdfast_obs_series_dropped_total Series beyond the limit of this "
                  "process.\n# TYPE holdfast_obs_series_dropped_total counter\n"
                  "holdfast_obs_series_dropped_total %" PRId64 "\n",
                  (int64_t)atomic_load(&obs->dropped));
    obs_process_write(buf, obs->start_us);
}

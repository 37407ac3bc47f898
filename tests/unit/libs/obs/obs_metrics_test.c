/* The text exposition, the limits of series, and counting from many threads. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/pool.h"
#include "obs/metrics.h"
#include "tests/unit/unit.h"

enum { M_BACKUPS, M_LAG, M_DURATION, M_EMPTY };

static const int64_t bounds[] = {5000, 1000000, 60000000};
static const struct obs_metric table[] = {
    [M_BACKUPS] = {.name = "sample_backups_total",
                   .help = "Backups that ended.",
                   .type = OBS_COUNTER,
                   .labels = {"cluster", "outcome"}},
    [M_LAG] = {.name = "sample_lag_seconds",
               .help = "Lag.",
               .type = OBS_GAUGE,
               .unit = OBS_SECONDS},
    [M_DURATION] = {.name = "sample_duration_seconds",
                    .help = "Time of a call.",
                    .type = OBS_HISTOGRAM,
                    .unit = OBS_SECONDS,
                    .labels = {"method"},
                    .bounds = bounds,
                    .bounds_len = HF_LEN(bounds)},
    [M_EMPTY] = {.name = "sample_nothing", .help = "Nothing yet.", .type = OBS_GAUGE},
};

#define VALUES(...) ((const char *const[]){__VA_ARGS__})

static struct obs *obs;
static struct hf_buf text;

static int set_up(void **state)
{
    (void)state;
    obs = obs_new(table, HF_LEN(table));
    hf_buf_init(&text, 4 << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    obs_free(obs);
    hf_buf_done(&text);
    return 0;
}

static const char *exposition(void)
{
    hf_buf_clear(&text);
    obs_write(obs, &text);
    return hf_buf_text(&text);
}

static void assert_has(const char *part)
{
    if (strstr(exposition(), part) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", part, hf_buf_text(&text));
    }
}

static void test_metrics__show_counters_and_gauges(void **state)
{
    struct obs_series *good = obs_series(obs, M_BACKUPS, VALUES("orders", "succeeded"));
    struct obs_series *lag = obs_series(obs, M_LAG, NULL);
    (void)state;

    obs_add(good, 2);
    assert_ptr_equal(obs_series(obs, M_BACKUPS, VALUES("orders", "succeeded")), good);
    obs_add(good, 1);
    obs_set(lag, -1500000);
    assert_int_equal(obs_value(good), 3);
    assert_has("# HELP sample_backups_total Backups that ended.\n"
               "# TYPE sample_backups_total counter\n"
               "sample_backups_total{cluster=\"orders\",outcome=\"succeeded\"} 3\n"
               "# HELP sample_lag_seconds Lag.\n# TYPE sample_lag_seconds gauge\n"
               "sample_lag_seconds -1.5\n");
    assert_has("# TYPE sample_nothing gauge\n# HELP holdfast_obs_series_dropped_total");
    assert_has("\nprocess_resident_memory_bytes ");
    assert_has("\nprocess_cpu_seconds_total ");
}

static void test_metrics__histogram_is_cumulative(void **state)
{
    struct obs_series *calls = obs_series(obs, M_DURATION, VALUES("Get"));
    (void)state;

    obs_observe(calls, 5000);
    obs_observe(calls, 5001);
    obs_observe(calls, 70000000);
    assert_int_equal(obs_value(calls), 3);
    assert_has("sample_duration_seconds_bucket{method=\"Get\",le=\"0.005\"} 1\n"
               "sample_duration_seconds_bucket{method=\"Get\",le=\"1\"} 2\n"
               "sample_duration_seconds_bucket{method=\"Get\",le=\"60\"} 2\n"
               "sample_duration_seconds_bucket{method=\"Get\",le=\"+Inf\"} 3\n"
               "sample_duration_seconds_sum{method=\"Get\"} 70.010001\n"
               "sample_duration_seconds_count{method=\"Get\"} 3\n");
}

static void test_metrics__escape_label_values(void **state)
{
    (void)state;
    obs_series(obs, M_BACKUPS, VALUES("a\"b\\c\nd", ""));
    assert_has("sample_backups_total{cluster=\"a\\\"b\\\\c\\nd\",outcome=\"\"} 0\n");
}

static void test_metrics__hidden_series_starts_again_at_0(void **state)
{
    struct obs_series *series = obs_series(obs, M_BACKUPS, VALUES("gone", "x"));
    (void)state;

    obs_add(series, 7);
    obs_series_hide(obs, series);
    assert_null(strstr(exposition(), "gone"));
    assert_ptr_equal(obs_series(obs, M_BACKUPS, VALUES("gone", "x")), series);
    assert_has("sample_backups_total{cluster=\"gone\",outcome=\"x\"} 0\n");
}

static void test_metrics__series_are_bounded(void **state)
{
    char name[32];
    struct obs_series *last = NULL;
    (void)state;

    for (int i = 0; i < OBS_MAX_SERIES + 5; i++) {
        (void)snprintf(name, sizeof(name), "c%d", i);
        last = obs_series(obs, M_BACKUPS, VALUES(name, "x"));
        assert_non_null(last);
    }
    obs_add(last, 1);
    assert_null(strstr(exposition(), "\"c4096\""));
    assert_has("holdfast_obs_series_dropped_total 5\n");
}

static void count_up(void *item, void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++) {
        obs_add(item, 1);
    }
}

static void test_metrics__count_from_many_threads(void **state)
{
    struct obs_series *series = obs_series(obs, M_BACKUPS, VALUES("a", "b"));
    struct hf_pool *pool = hf_pool_new("count", 4, 8, count_up, NULL);
    (void)state;

    for (int i = 0; i < 100; i++) {
        assert_true(hf_pool_push(pool, series, -1));
        (void)exposition();
    }
    hf_pool_free(pool);
    assert_int_equal(obs_value(series), 100000);
}

static void set_lag(void *arg)
{
    obs_set(arg, 2000000);
}

static void test_metrics__scrape_function_runs_before(void **state)
{
    (void)state;
    obs_on_scrape(obs, set_lag, obs_series(obs, M_LAG, NULL));
    assert_has("sample_lag_seconds 2\n");
}

#define WITH_OBS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_OBS(test_metrics__show_counters_and_gauges),
        WITH_OBS(test_metrics__histogram_is_cumulative),
        WITH_OBS(test_metrics__escape_label_values),
        WITH_OBS(test_metrics__hidden_series_starts_again_at_0),
        WITH_OBS(test_metrics__series_are_bounded),
        WITH_OBS(test_metrics__count_from_many_threads),
        WITH_OBS(test_metrics__scrape_function_runs_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

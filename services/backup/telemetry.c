/* What the service tells Prometheus. Figures of receivers and jobs are read at each scrape. */
#include "backup/telemetry.h"

#include <string.h>

#include "backup/source/receivers.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/secret.h"
#include "base/str.h"
#include "codec/hash.h"
#include "obs/http.h"
#include "obs/metrics.h"

#define TOKEN_MIN_BYTES 16
#define TOKEN_MAX_BYTES 256

enum { CALLS, CALL_SECONDS, JOBS_NOW, JOBS_DONE, WAL_LAG, WAL_AGE, WAL_STREAMING, CONFINED };

static const int64_t call_bounds_us[] = {1000,   2500,   5000,    10000,   25000,   50000,
                                         100000, 250000, 1000000, 5000000, 30000000};

static const struct obs_metric table[] = {
    [CALLS] = {"holdfast_rpc_requests_total",
               "Calls by method and code.",
               OBS_COUNTER,
               OBS_PLAIN,
               {"method", "code"},
               NULL,
               0},
    [CALL_SECONDS] = {"holdfast_rpc_duration_seconds",
                      "Duration of calls by method.",
                      OBS_HISTOGRAM,
                      OBS_SECONDS,
                      {"method"},
                      call_bounds_us,
                      HF_LEN(call_bounds_us)},
    [JOBS_NOW] = {"holdfast_jobs_running",
                  "Jobs that run in this process.",
                  OBS_GAUGE,
                  OBS_PLAIN,
                  {NULL},
                  NULL,
                  0},
    [JOBS_DONE] = {"holdfast_jobs_finished_total",
                   "Jobs that ended in this process.",
                   OBS_COUNTER,
                   OBS_PLAIN,
                   {NULL},
                   NULL,
                   0},
    [WAL_LAG] = {"holdfast_wal_lag_bytes",
                 "WAL of the source that is not durable in the vault.",
                 OBS_GAUGE,
                 OBS_PLAIN,
                 {"tenant", "cluster"},
                 NULL,
                 0},
    [WAL_AGE] = {"holdfast_wal_durable_age_seconds",
                 "Age of the newest server time whose WAL is all durable.",
                 OBS_GAUGE,
                 OBS_SECONDS,
                 {"tenant", "cluster"},
                 NULL,
                 0},
    [WAL_STREAMING] = {"holdfast_wal_streaming",
                       "1 while the receiver streams.",
                       OBS_GAUGE,
                       OBS_PLAIN,
                       {"tenant", "cluster"},
                       NULL,
                       0},
    [CONFINED] = {"holdfast_confined",
                  "1 while this process is held: files by landlock, calls by seccomp, keys in "
                  "memory by mlock.",
                  OBS_GAUGE,
                  OBS_PLAIN,
                  {"layer"},
                  NULL,
                  0},
};

struct telemetry {
    struct backup_app *app;
    struct obs *obs;
    struct obs_http *http;
    struct svc_confinement confined;
};

static void show_cluster(const char *tenant_id, const char *cluster,
                         const struct receiver_status *seen, void *arg)
{
    struct telemetry *telemetry = arg;
    const char *const labels[] = {tenant_id, cluster};
    uint64_t lag = seen->source_lsn > seen->durable_lsn ? seen->source_lsn - seen->durable_lsn : 0;

    obs_set(obs_series(telemetry->obs, WAL_LAG, labels),
            lag < INT64_MAX ? (int64_t)lag : INT64_MAX);
    obs_set(obs_series(telemetry->obs, WAL_STREAMING, labels), seen->state == RECEIVER_STREAMING);
    if (seen->durable_time_us != 0) {
        obs_set(obs_series(telemetry->obs, WAL_AGE, labels), hf_now_us() - seen->durable_time_us);
    }
}

/* Would a key that is made now be locked? The limit may have been reached since the start. */
static bool can_lock_keys(void)
{
    void *probe = hf_secret_alloc(1);
    bool is_locked = hf_secret_is_locked(probe);

    hf_secret_free(probe);
    return is_locked;
}

static void show_confinement(const struct telemetry *telemetry)
{
    const struct {
        const char *layer;
        bool is_on;
    } layers[] = {{"landlock", telemetry->confined.landlock > 0},
                  {"seccomp", telemetry->confined.has_seccomp},
                  {"mlock", can_lock_keys()}};

    for (size_t i = 0; i < HF_LEN(layers); i++) {
        obs_set(obs_series(telemetry->obs, CONFINED, &layers[i].layer), layers[i].is_on);
    }
}

static bool is_ready(void *arg)
{
    const struct telemetry *telemetry = arg;

    return !atomic_load(&telemetry->app->is_leaving);
}

static void scrape(void *arg)
{
    struct telemetry *telemetry = arg;
    struct jobs_stats stats;
    struct obs_series *done = obs_series(telemetry->obs, JOBS_DONE, NULL);

    jobs_stats_get(telemetry->app->jobs, &stats);
    obs_set(obs_series(telemetry->obs, JOBS_NOW, NULL), (int64_t)stats.running);
    obs_add(done, stats.finished - obs_value(done));
    receivers_each(telemetry->app->receivers, show_cluster, telemetry);
    show_confinement(telemetry);
}

void telemetry_call(struct telemetry *telemetry, const char *method, enum hf_code code,
                    int64_t duration_us)
{
    const char *const labels[] = {method, hf_code_name(code)};

    if (telemetry != NULL) {
        obs_add(obs_series(telemetry->obs, CALLS, labels), 1);
        obs_observe(obs_series(telemetry->obs, CALL_SECONDS, labels), duration_us);
    }
}

/* One line; *ret_token is NULL when there is no file. The arena is the process's: the caller wipes.
 */
static struct hf_status load_token(struct hf_ctx *ctx, const char *path, char **ret_token)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    *ret_token = NULL;
    if (hf_text_empty(path)) {
        return hf_success();
    }
    hf_buf_init(&text, TOKEN_MAX_BYTES + 1);
    HF_TRY(hf_read_trusted(ctx->arena, path, HF_TRUST_SECRET, &text));
    size_t len = strcspn(hf_buf_text(&text), "\r\n");
    if (len < TOKEN_MIN_BYTES || len > TOKEN_MAX_BYTES) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT, "%s: expected one line of %d to %d bytes",
                       path, TOKEN_MIN_BYTES, TOKEN_MAX_BYTES);
    }
    *ret_token = hf_strndup(ctx->arena, hf_buf_text(&text), len);
    codec_wipe(text.ptr, text.len);
    return hf_success();
}

static struct hf_status listen_at(struct hf_ctx *ctx, struct telemetry *telemetry,
                                  const char *address, const char *token_file)
{
    char *token = NULL;
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;

    if (colon == NULL || !hf_parse_u64(colon + 1, &port) || port > 65535) {
        return hf_fail(ctx->arena, HF_INVALID_ARGUMENT,
                       "metrics_listen must have the form 127.0.0.1:7402, not %s", address);
    }
    HF_TRY(load_token(ctx, token_file, &token));
    const struct obs_http_options options = {
        .address = hf_strndup(ctx->arena, address, (size_t)(colon - address)),
        .port = (int)port,
        .token = token,
        .obs = telemetry->obs,
        .is_ready = is_ready,
        .arg = telemetry,
    };
    struct hf_status status = obs_http_start(ctx->arena, &options, &telemetry->http);

    if (token != NULL) {
        codec_wipe(token, strlen(token));
    }
    return status;
}

struct hf_status telemetry_start(struct hf_ctx *ctx, struct backup_app *app,
                                 const struct telemetry_options *options,
                                 struct telemetry **ret_telemetry)
{
    struct telemetry *telemetry = hf_heap_alloc(sizeof(*telemetry));

    telemetry->app = app;
    telemetry->confined = *options->confined;
    telemetry->obs = obs_new(table, HF_LEN(table));
    obs_on_scrape(telemetry->obs, scrape, telemetry);
    struct hf_status status = listen_at(ctx, telemetry, options->address, options->token_file);

    if (!hf_is_ok(status)) {
        telemetry_free(telemetry);
        return status;
    }
    *ret_telemetry = telemetry;
    return hf_success();
}

void telemetry_free(struct telemetry *telemetry)
{
    if (telemetry != NULL) {
        obs_http_stop(telemetry->http);
        obs_free(telemetry->obs);
        hf_heap_free(telemetry);
    }
}

/* Parts of the process and their order: what is started last is stopped first. The API opens after
 * the receivers, so that a client never sees a cluster without its receiver just because it was
 * early. */
#include "backup/service.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backup/api/api.h"
#include "backup/api/source_call.h"
#include "backup/config.h"
#include "backup/confine.h"
#include "backup/gate.h"
#include "backup/places.h"
#include "backup/source/realms.h"
#include "backup/source/receivers.h"
#include "backup/source/vault_home.h"
#include "backup/telemetry.h"
#include "backup/work/work.h"
#include "backup_migrations.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/str.h"
#include "egress/egress.h"
#include "svc/run_dir.h"
#include "vault/marker.h"

#define TRIM_IDLE_US (INT64_C(2) * HF_US_PER_S)
#define TRIM_BUSY_US (INT64_C(10) * HF_US_PER_S) /* a job wants its pages again at once */

struct process {
    struct backup_app app;
    struct rpc_server *server;
    struct telemetry *telemetry; /* NULL: not configured */
    struct svc_run_dir *run_dir;
    struct places places;
    int64_t trimmed_us;
};

static void observe(void *app, const char *method, enum hf_code code, int64_t duration_us)
{
    struct process *process = app; /* app is the first member */

    telemetry_call(process->telemetry, method, code, duration_us);
}

/* Every path and address that must be there; what is missing is named at once. */
static struct hf_status check_config(struct hf_arena *arena, const struct backup_config *config)
{
    const struct {
        const char *key;
        const char *value;
    } needed[] = {
        {"install_id", config->install_id},
        {"tls_ca", config->tls_ca},
        {"tls_cert", config->tls_cert},
        {"tls_key", config->tls_key},
        {"database", config->database},
        {"database_dispatch", config->database_dispatch},
        {"vault_dir", config->vault_dir},
        {"cache_dir", config->cache_dir},
        {"vault_key_file", config->vault_key_file},
        {"signing_key_file", config->signing_key_file},
        {"secrets_key_file", config->secrets_key_file},
    };

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (hf_text_empty(needed[i].value)) {
            return hf_fail(arena, HF_INVALID_ARGUMENT, "%s is not configured; see --help",
                           needed[i].key);
        }
    }
    return hf_success();
}

/* "host:port": where to listen. */
static struct hf_status check_address(struct hf_arena *arena, const char *key, const char *address)
{
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;

    return colon != NULL && hf_parse_u64(colon + 1, &port) && port <= UINT16_MAX
               ? hf_success()
               : hf_fail(arena, HF_INVALID_ARGUMENT, "%s must be an address and a port, not %s",
                         key, address);
}

/* "/a/b" and deeper, without names that mean another one. */
static bool is_deep(const char *path)
{
    const char *slash = path[0] == '/' ? strchr(path + 1, '/') : NULL;

    return slash != NULL && slash[1] != '\0' && strstr(path, "//") == NULL &&
           strstr(path, "/./") == NULL && strstr(path, "/..") == NULL && !hf_has_suffix(path, "/.");
}

/* What the process may write to once it is confined. At the root of the file system that would be
 * everything, or what belongs to the system. */
static struct hf_status check_directory(struct hf_arena *arena, const char *key, const char *path)
{
    char real[PATH_MAX]; /* what is not there is no link */

    return path == NULL || (is_deep(path) && (realpath(path, real) == NULL || is_deep(real)))
               ? hf_success()
               : hf_fail(arena, HF_INVALID_ARGUMENT,
                         "%s must be a whole path below a directory of /, not \"%s\"", key, path);
}

/* The values of what is there. */
static struct hf_status check(struct hf_ctx *ctx, const void *config)
{
    const struct backup_config *backup = config;

    HF_TRY(check_address(ctx->arena, "listen", backup->listen));
    if (!hf_text_empty(backup->metrics_listen)) {
        HF_TRY(check_address(ctx->arena, "metrics_listen", backup->metrics_listen));
    }
    HF_TRY(check_directory(ctx->arena, "cache_dir", backup->cache_dir));
    HF_TRY(check_directory(ctx->arena, "run_dir", backup->run_dir));
    HF_CLEANUP(egress_free) struct egress *egress = NULL;

    return gate_open(ctx, backup, &egress);
}

static struct hf_status open_database(struct hf_ctx *ctx, const struct backup_config *config,
                                      struct backup_app *app)
{
    const struct db_schema schemas[] = {
        auth_schema(),
        jobs_schema("backup"),
        {.schema = "backup",
         .component = "backup",
         .migrations = backup_migrations,
         .migrations_len = BACKUP_MIGRATIONS_LEN},
    };
    const struct db_options app_options = {.conninfo = config->database,
                                           .role = DB_APP,
                                           .schema = "backup",
                                           .application_name = "holdfast-backup"};
    const struct db_options dispatch_options = {.conninfo = config->database_dispatch,
                                                .role = DB_DISPATCH,
                                                .schema = "backup",
                                                .application_name = "holdfast-backup-dispatch"};

    if (config->database_migrate != NULL) {
        HF_TRY(db_migrate(ctx, config->database_migrate, schemas,
                          sizeof(schemas) / sizeof(schemas[0])));
    }
    app->db = db_new(&app_options);
    app->dispatch_db = db_new(&dispatch_options);
    HF_TRY(db_check(ctx, app->db));
    return db_check(ctx, app->dispatch_db);
}

/* Which directory this process holds, for `holdfast doctor`: a disk that is unmounted lazily, or
 * mounted over it, leaves another one at the path. Not to be told is no reason not to start. */
static void note_vault(struct hf_ctx *ctx, const struct backup_config *config)
{
    struct stat found;

    if (hf_text_empty(config->epoch_file) || stat(config->vault_dir, &found) != 0) {
        return;
    }
    const char *path =
        hf_path_join(ctx->arena, hf_path_parent(ctx->arena, config->epoch_file), VAULT_NOTE_NAME);
    const char *text =
        hf_printf(ctx->arena, VAULT_NOTE_FORMAT "\n", (unsigned long long)found.st_dev,
                  (unsigned long long)found.st_ino);
    struct hf_status status = hf_replace_file(ctx->arena, path, text, strlen(text), 0600);

    if (!hf_is_ok(status)) {
        hf_warn(ctx, HF_EVENT("vault.not_noted"), HF_TEXT("error", status.message));
    }
}

static struct hf_status open_vault(struct hf_ctx *ctx, const struct backup_config *config,
                                   struct backup_app *app)
{
    HF_TRY(objstore_local_open(ctx, config->vault_dir, true, &app->vault));
    HF_TRY(vault_home_open(ctx, app, config->vault_dir));
    note_vault(ctx, config);
    const struct realms_options options = {.vault = app->vault,
                                           .db = app->db,
                                           .kek_path = config->vault_key_file,
                                           .signing_key_path = config->signing_key_file,
                                           .escrow_public_path = config->escrow_key_file};

    HF_TRY(realms_new(ctx, &options, &app->realms));
    return secret_key_load(ctx, config->secrets_key_file, &app->secrets);
}

/* One line; NULL without a file. */
static struct hf_status read_password(struct hf_ctx *ctx, const char *path, const char **ret_text)
{
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};

    *ret_text = NULL;
    if (path == NULL) {
        return hf_success();
    }
    hf_buf_init(&text, 4096);
    HF_TRY(hf_read_file(ctx->arena, path, &text));
    const char *all = hf_buf_text(&text);

    *ret_text = hf_strndup(ctx->arena, all, strcspn(all, "\r\n"));
    explicit_bzero(text.ptr, text.len);
    return hf_success();
}

static struct hf_status start_work(struct hf_ctx *ctx, const struct backup_config *config,
                                   struct backup_app *app)
{
    const char *redis_password = NULL;

    HF_TRY(read_password(ctx, config->redis_password_file, &redis_password));
    const struct jobs_options options = {
        .app_db = app->db,
        .dispatch_db = app->dispatch_db,
        .redis = config->redis,
        .redis_user = config->redis_user,
        .redis_password = redis_password,
        .name = "backup",
        .queue_prefix = "backup",
        .epoch_file = config->epoch_file,
        .kinds = work_kinds,
        .kinds_len = work_kinds_len,
        .app = app,
        .is_worker = true,
        .lease_ms = (int)(config->lease_us / 1000),
    };

    app->source_calls = source_calls_new();
    app->receivers = receivers_new(app);
    app->jobs = jobs_new(&options);
    return jobs_start(ctx, app->jobs);
}

static struct hf_status start_api(struct hf_ctx *ctx, const struct backup_config *config,
                                  struct process *process)
{
    const struct rpc_server_config server = {
        .address = config->listen,
        .tls = {.ca_file = config->tls_ca,
                .cert_file = config->tls_cert,
                .key_file = config->tls_key},
        .install = config->install_id,
        .app = &process->app,
        .thread_init = api_thread_init,
        .thread_done = api_thread_done,
        .authorize = api_authorize,
        .observe = observe,
    };
    struct rpc_server_config *kept = HF_NEW(ctx->arena, struct rpc_server_config);

    *kept = server; /* the server borrows it as long as it lives */
    HF_TRY(rpc_server_new(ctx->arena, kept, &process->server));
    HF_TRY(api_add_services(ctx->arena, process->server));
    return rpc_server_start(ctx->arena, process->server);
}

static void stop(struct hf_ctx *ctx, void *arg)
{
    struct process *process = arg;
    struct backup_app *app = &process->app;

    (void)ctx;
    atomic_store(&app->is_leaving, true);
    if (app->jobs != NULL) {
        jobs_drain(app->jobs); /* a backup goes back while clients are still being served */
    }
    rpc_server_free(process->server);
    telemetry_free(process->telemetry);
    if (app->jobs != NULL) {
        jobs_stop(app->jobs, 10000);
        jobs_free(app->jobs);
    }
    receivers_free(app->receivers);
    source_calls_free(app->source_calls);
    egress_free(app->egress);
    svc_run_dir_free(process->run_dir);
    realms_free(app->realms);
    secret_key_free(app->secrets);
    objstore_free(app->vault);
    db_free(app->dispatch_db);
    db_free(app->db);
    hf_heap_free(process);
}

/* A directory that is another one now cannot be put right inside. Besides, bursts (a restore's
 * streams, a backup) leave free pages with the allocator; an idle service gives them back. */
static bool is_alive(void *arg)
{
    struct process *process = arg;
    int64_t now_us = hf_mono_us();
    struct jobs_stats stats;

    jobs_stats_get(process->app.jobs, &stats);
    if (now_us - process->trimmed_us > (stats.running > 0 ? TRIM_BUSY_US : TRIM_IDLE_US)) {
        process->trimmed_us = now_us;
        hf_heap_trim();
    }
    return places_are_ours(&process->places);
}

static struct hf_status open_run_dir(struct hf_ctx *ctx, const struct backup_config *config,
                                     struct process *process)
{
    const char *dir = hf_text_empty(config->run_dir) ? config->cache_dir : config->run_dir;

    HF_TRY(
        svc_run_dir_open(ctx->arena, hf_path_join(ctx->arena, dir, "connect"), &process->run_dir));
    process->app.run_dir = svc_run_dir_path(process->run_dir);
    return hf_success();
}

static struct hf_status start_parts(struct hf_ctx *ctx, const struct backup_config *config,
                                    const struct svc_confinement *confined, struct process *process)
{
    struct backup_app *app = &process->app;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    app->install_id = config->install_id;
    app->cache_dir = config->cache_dir;
    app->threads = config->threads > 0 ? (size_t)config->threads : (size_t)(cores < 1 ? 1 : cores);
    app->clusters_max = config->clusters_max;
    HF_TRY(check_config(ctx->arena, config));
    HF_TRY(check(ctx, config));
    HF_TRY(gate_open(ctx, config, &app->egress));
    HF_TRY(open_run_dir(ctx, config, process));
    HF_TRY(open_database(ctx, config, app));
    HF_TRY(open_vault(ctx, config, app));
    places_note(ctx->arena, config, &process->places);
    HF_TRY(start_work(ctx, config, app));
    if (!hf_text_empty(config->metrics_listen)) {
        const struct telemetry_options telemetry = {
            .address = config->metrics_listen,
            .token_file = config->metrics_token_file,
            .confined = confined,
        };

        HF_TRY(telemetry_start(ctx, app, &telemetry, &process->telemetry));
    }
    HF_TRY(start_api(ctx, config, process));
    /* Last: two threads for each cluster, and what serves must not lack them. */
    return receivers_start_all(ctx, app->receivers);
}

static struct hf_status start(struct hf_ctx *ctx, const void *config,
                              const struct svc_confinement *confined, void **ret_app)
{
    struct process *process = hf_heap_alloc(sizeof(*process));
    struct hf_status status = start_parts(ctx, config, confined, process);

    if (!hf_is_ok(status)) {
        stop(ctx, process);
        return status;
    }
    hf_info(ctx, HF_EVENT("service.ready"), HF_INT("port", rpc_server_port(process->server)));
    *ret_app = process;
    return hf_success();
}

const struct svc_service backup_service = {
    .program = &backup_program,
    .config_size = sizeof(struct backup_config),
    .check = check,
    .confine = backup_confine,
    .start = start,
    .is_alive = is_alive,
    .stop = stop,
    .drain_ms = 30000,
};

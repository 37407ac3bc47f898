/* The gRPC client of the command line. */
#include "cli/client.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/dir.h"
#include "cli/out.h"
#include "rpc/message.h"
#include "vault/journal.h"

#define CALL_TIMEOUT_US (INT64_C(60) * HF_US_PER_S)
#define SILENCE_MAX_US (INT64_C(300) * HF_US_PER_S) /* of a job that is watched */
#define PAGE_ITEMS 1000
#define PAGES_MAX 1000 /* a million items, unless they are large */

struct hf_status client_open(struct cli *cli, struct rpc_client **ret_client)
{
    struct dir_settings settings;

    HF_TRY(dir_load(&cli->ctx, cli->dir, &settings));
    const char *pki = hf_text_empty(settings.client)
                          ? hf_path_join(cli->ctx.arena, cli->dir, "pki/cli")
                          : cli->dir;
    const struct rpc_client_config config = {
        .target = settings.endpoint,
        .tls = {.below = cli->dir,
                .ca_file = hf_path_join(cli->ctx.arena, pki, "ca.crt"),
                .cert_file = hf_path_join(cli->ctx.arena, pki, "tls.crt"),
                .key_file = hf_path_join(cli->ctx.arena, pki, "tls.key")},
        .tenant = cli->tenant,
    };

    return rpc_client_new(cli->ctx.arena, &config, ret_client);
}

static struct hf_status call(struct cli *cli, struct rpc_client *client,
                             const struct rpc_method_ref *method, const ProtobufCMessage *req,
                             void **ret_resp)
{
    struct hf_ctx ctx = cli->ctx;

    if (ctx.deadline_us == 0) {
        ctx.deadline_us = hf_mono_us() + CALL_TIMEOUT_US;
    }
    struct hf_status status = rpc_call(&ctx, client, method, req, ret_resp);

    if (status.code == HF_UNAVAILABLE && status.info == NULL) {
        return hf_wrap(cli->ctx.arena, status,
                       "the backup service does not answer (look with `holdfast doctor`)");
    }
    if (status.code == HF_DEADLINE_EXCEEDED && status.info == NULL) {
        return hf_fail(cli->ctx.arena, HF_DEADLINE_EXCEEDED,
                       "the backup service runs but does not answer in time (look with `holdfast "
                       "doctor`)");
    }
    return status;
}

/* Reading may be repeated, and so may what carries a request id. */
static bool is_idempotent(const char *method)
{
    return hf_has_prefix(method, "Get") || hf_has_prefix(method, "List") ||
           hf_has_prefix(method, "Cancel") || hf_has_prefix(method, "Report") ||
           hf_has_prefix(method, "Push") || hf_has_prefix(method, "Create");
}

struct hf_status client_backup(struct cli *cli, struct rpc_client *client, const char *method,
                               const ProtobufCMessage *req, void **ret_resp)
{
    const struct rpc_method_ref ref = {&pb_backup__backup_service__descriptor, method,
                                       is_idempotent(method)};

    return call(cli, client, &ref, req, ret_resp);
}

struct hf_status client_jobs(struct cli *cli, struct rpc_client *client, const char *method,
                             const ProtobufCMessage *req, void **ret_resp)
{
    const struct rpc_method_ref ref = {&pb_jobs__job_service__descriptor, method,
                                       is_idempotent(method)};

    return call(cli, client, &ref, req, ret_resp);
}

/* --- lists ---------------------------------------------------------------------------------- */

static void *field_of(ProtobufCMessage *message, const char *name)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    HF_CHECK(field != NULL);
    return (uint8_t *)message + field->offset;
}

/* The items of a page: the one field of it that is a list of messages. */
struct items {
    void *len_at; /* size_t */
    void *at;     /* pointer to pointers */
    size_t len;
    const void *pointers;
};

static struct items items_of(ProtobufCMessage *message)
{
    struct items items = {.at = NULL};
    uint8_t *base = (uint8_t *)message;

    for (unsigned i = 0; i < message->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &message->descriptor->fields[i];

        if (field->label == PROTOBUF_C_LABEL_REPEATED && field->type == PROTOBUF_C_TYPE_MESSAGE) {
            items.len_at = base + field->quantifier_offset;
            items.at = base + field->offset;
        }
    }
    HF_CHECK(items.at != NULL);
    memcpy(&items.len, items.len_at, sizeof(items.len));
    memcpy(&items.pointers, items.at, sizeof(items.pointers));
    return items;
}

static void append_page(struct hf_arena *arena, ProtobufCMessage *all, ProtobufCMessage *page)
{
    struct items before = items_of(all);
    struct items more = items_of(page);
    size_t len = before.len + more.len;
    void **pointers = HF_NEW_N(arena, void *, len + 1);

    if (before.len > 0) {
        memcpy(pointers, before.pointers, before.len * sizeof(*pointers));
    }
    if (more.len > 0) {
        memcpy(pointers + before.len, more.pointers, more.len * sizeof(*pointers));
    }
    memcpy(before.len_at, &len, sizeof(len));
    memcpy(before.at, &pointers, sizeof(pointers));
}

/* --limit, which one page holds; 0: to the end. */
static struct hf_status take_limit(struct cli *cli, int32_t *ret_limit)
{
    const char *text = cli_option(cli, "limit");
    int64_t limit = 0;

    if (text != NULL && (!hf_parse_i64(text, &limit) || limit < 1 || limit > PAGE_ITEMS)) {
        return cli_usage(cli, "--limit must be 1 to %d, not %s", PAGE_ITEMS, text);
    }
    *ret_limit = (int32_t)limit;
    return hf_success();
}

struct hf_status client_list(struct cli *cli, struct rpc_client *client, const char *method,
                             ProtobufCMessage *req, void **ret_resp)
{
    bool is_backup = protobuf_c_service_descriptor_get_method_by_name(
                         &pb_backup__backup_service__descriptor, method) != NULL;
    int32_t limit = 0;
    void *all = NULL;

    HF_TRY(take_limit(cli, &limit));
    const int32_t size = limit > 0 ? limit : PAGE_ITEMS;

    memcpy(field_of(req, "page_size"), &size, sizeof(size));
    for (int pages = 0; pages < PAGES_MAX; pages++) {
        void *page = NULL;
        char *token = NULL;

        HF_TRY(is_backup ? client_backup(cli, client, method, req, &page)
                         : client_jobs(cli, client, method, req, &page));
        memcpy(&token, field_of(page, "next_page_token"), sizeof(token));
        if (all == NULL) {
            all = page;
        } else {
            append_page(cli->ctx.arena, all, page);
        }
        if (hf_text_empty(token) || limit > 0) {
            memcpy(field_of(all, "next_page_token"), &token, sizeof(token));
            *ret_resp = all;
            return hf_success();
        }
        memcpy(field_of(req, "page_token"), &token, sizeof(token));
        HF_TRY(hf_ctx_check(&cli->ctx));
    }
    return hf_fail_info(cli->ctx.arena, HF_RESOURCE_EXHAUSTED, "LIST_TOO_LONG", NULL,
                        "the list has not ended after %d pages; name a cluster or a state",
                        PAGES_MAX);
}

/* --- names ---------------------------------------------------------------------------------- */

char *client_tenant(struct cli *cli)
{
    return hf_printf(cli->ctx.arena, "tenants/%s", cli->tenant);
}

char *client_cluster(struct cli *cli, const char *name)
{
    return hf_has_prefix(name, "tenants/")
               ? hf_strdup(cli->ctx.arena, name)
               : hf_printf(cli->ctx.arena, "tenants/%s/clusters/%s", cli->tenant, name);
}

char *client_job(struct cli *cli, const char *text)
{
    return hf_has_prefix(text, "tenants/")
               ? hf_strdup(cli->ctx.arena, text)
               : hf_printf(cli->ctx.arena, "tenants/%s/jobs/%s", cli->tenant, text);
}

/* --- backups by ID -------------------------------------------------------------------------- */

static struct hf_status search_backup(struct cli *cli, struct rpc_client *client, const char *id,
                                      PbBackup__Backup **ret_backup)
{
    PbBackup__ListBackupsRequest req = PB_BACKUP__LIST_BACKUPS_REQUEST__INIT;
    const char *near = NULL;
    int near_distance = 6;
    void *resp = NULL;

    req.parent = hf_printf(cli->ctx.arena, "tenants/%s/clusters/-", cli->tenant);
    HF_TRY(client_list(cli, client, "ListBackups", &req.base, &resp));
    const PbBackup__ListBackupsResponse *list = resp;

    for (size_t i = 0; i < list->n_backups; i++) {
        const char *found = out_short(list->backups[i]->name);
        int distance = hf_text_distance(found, id);

        if (distance == 0) {
            *ret_backup = list->backups[i];
            return hf_success();
        }
        if (distance < near_distance) {
            near_distance = distance;
            near = found;
        }
    }
    return hf_fail_info(cli->ctx.arena, HF_NOT_FOUND, "BACKUP_NOT_FOUND", NULL,
                        near == NULL ? "there is no backup %s%s"
                                     : "there is no backup %s; did you "
                                       "mean %s?",
                        id, near == NULL ? "" : near);
}

struct hf_status client_find_backup(struct cli *cli, struct rpc_client *client, const char *text,
                                    PbBackup__Backup **ret_backup)
{
    PbBackup__GetBackupRequest req = PB_BACKUP__GET_BACKUP_REQUEST__INIT;
    void *resp = NULL;

    if (!hf_has_prefix(text, "tenants/")) {
        return search_backup(cli, client, text, ret_backup);
    }
    req.name = hf_strdup(cli->ctx.arena, text);
    HF_TRY(client_backup(cli, client, "GetBackup", &req.base, &resp));
    *ret_backup = resp;
    return hf_success();
}

/* --- watching ------------------------------------------------------------------------------- */

static bool is_ended(const PbJobs__Job *job)
{
    return job->state != PB_JOBS__JOB__STATE__PENDING && job->state != PB_JOBS__JOB__STATE__RUNNING;
}

static void show(struct hf_arena *arena, struct out_progress *progress, const PbJobs__Job *job)
{
    const char *state = client_enum(&pb_jobs__job__state__descriptor, (int)job->state);
    const PbJobs__Job__Progress *seen = job->progress;
    const struct out_step step = {
        .what = job->name,
        .state = state,
        .phase = seen == NULL || hf_text_empty(seen->phase) ? "waiting" : seen->phase,
        .done_bytes = seen == NULL ? 0 : seen->done_bytes,
        .total_bytes = seen == NULL ? 0 : seen->total_bytes,
    };

    out_progress_show(arena, progress, &step);
}

struct watch {
    struct out_progress progress;
    int64_t heard_us; /* of the job last, monotonic */
};

/* One stream of the job; ret_job set when it has ended. */
static struct hf_status watch_once(struct cli *cli, struct rpc_client *client, const char *job,
                                   struct watch *state, PbJobs__Job **ret_job)
{
    static const struct rpc_method_ref watch = {&pb_jobs__job_service__descriptor, "WatchJob",
                                                true};
    PbJobs__WatchJobRequest req = PB_JOBS__WATCH_JOB_REQUEST__INIT;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)64 << 20);
    HF_CLEANUP(rpc_reader_close) struct rpc_reader *reader = NULL;
    struct hf_ctx ctx = cli->ctx;
    void *message = NULL;

    req.name = hf_strdup(cli->ctx.arena, job);
    HF_TRY(rpc_reader_open(&cli->ctx, client, &watch, &req.base, &reader));
    ctx.arena = arena;
    for (;;) {
        hf_arena_reset(arena);
        struct hf_status status = rpc_reader_next(&ctx, reader, &message);

        if (!hf_is_ok(status)) {
            return hf_status_copy(cli->ctx.arena, status);
        }
        const PbJobs__WatchJobResponse *seen = message;

        if (seen == NULL || seen->job == NULL) {
            return hf_fail(cli->ctx.arena, HF_UNAVAILABLE, "the stream of the job ended early");
        }
        state->heard_us = hf_mono_us();
        show(arena, &state->progress, seen->job);
        if (is_ended(seen->job)) {
            void *copy = NULL;

            HF_TRY(rpc_message_copy(cli->ctx.arena, &seen->job->base, &copy));
            *ret_job = copy;
            return hf_success();
        }
    }
}

static struct hf_status interrupted(struct cli *cli, const char *job)
{
    const char *id = out_short(job);
    const char *where = out_where(cli);

    fprintf(stderr,
            "The job goes on without you.\n  watch it:  holdfast job watch %s%s\n"
            "  cancel it: holdfast job cancel %s%s\n",
            id, where, id, where);
    return hf_fail(cli->ctx.arena, HF_CANCELLED, "interrupted");
}

/* A service that restarts under us is no reason to stop watching: the job outlives it. */
struct hf_status client_watch(struct cli *cli, struct rpc_client *client, const char *job,
                              PbJobs__Job **ret_job)
{
    struct watch state = {out_progress_new(cli), hf_mono_us()};
    struct hf_status status = hf_success();

    for (;;) {
        status = watch_once(cli, client, job, &state, ret_job);
        if (status.code != HF_UNAVAILABLE || hf_mono_us() > state.heard_us + SILENCE_MAX_US) {
            break;
        }
        status = rpc_client_pause(&cli->ctx, client, 500);
        if (!hf_is_ok(status)) {
            break;
        }
    }
    out_progress_end(&state.progress);
    return status.code == HF_CANCELLED && atomic_load(&cli->interrupted.is_set)
               ? interrupted(cli, job)
               : status;
}

static enum hf_code code_of(const char *name)
{
    for (int code = HF_OK; code <= HF_UNAUTHENTICATED; code++) {
        if (hf_text_equal(hf_code_name((enum hf_code)code), name)) {
            return (enum hf_code)code;
        }
    }
    return HF_UNKNOWN;
}

struct hf_status client_job_status(struct cli *cli, const PbJobs__Job *job)
{
    const char *id = out_short(job->name);

    if (job->state == PB_JOBS__JOB__STATE__SUCCEEDED) {
        return hf_success();
    }
    if (job->state == PB_JOBS__JOB__STATE__CANCELLED) {
        return hf_fail_info(cli->ctx.arena, HF_UNKNOWN, "JOB_CANCELLED", NULL,
                            "job %s was cancelled", id);
    }
    if (job->error == NULL) {
        return hf_fail(cli->ctx.arena, HF_UNKNOWN, "job %s ended as %s", id,
                       client_enum(&pb_jobs__job__state__descriptor, (int)job->state));
    }
    enum hf_code code = code_of(job->error->code);

    return hf_fail_info(cli->ctx.arena, code == HF_OK ? HF_UNKNOWN : code,
                        hf_text_empty(job->error->reason) ? "JOB_FAILED" : job->error->reason, NULL,
                        "job %s failed: %s", id, job->error->message);
}

/* --- texts ---------------------------------------------------------------------------------- */

const char *client_enum(const ProtobufCEnumDescriptor *type, int value)
{
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(type, value);

    return found == NULL ? "?" : found->name;
}

struct hf_status client_check_enum(struct cli *cli, const ProtobufCEnumDescriptor *type,
                                   const char *option, const char *text)
{
    const char *names = NULL;

    for (unsigned i = 0; i < type->n_values; i++) {
        const ProtobufCEnumValue *value = &type->values[i];

        if (value->value != 0 && hf_text_equal(value->name, text)) {
            return hf_success();
        }
        if (value->value != 0) { /* 0 is "unspecified" */
            names = names == NULL ? value->name
                                  : hf_printf(cli->ctx.arena, "%s, %s", names, value->name);
        }
    }
    return cli_usage(cli, "--%s must be one of %s, not %s", option, names, text);
}

const char *client_time(struct cli *cli, const Google__Protobuf__Timestamp *time)
{
    if (time == NULL) {
        return "";
    }
    char *text = hf_time_text(cli->ctx.arena, hf_time_of_parts(time->seconds, time->nanos));

    return hf_printf(cli->ctx.arena, "%.19sZ", text);
}

bool client_is_vault_closed(const PbBackup__Cluster *cluster)
{
    const PbBackup__WalStatus *wal = cluster->wal;

    return wal != NULL && wal->window_start == NULL && !hf_text_empty(cluster->newest_backup) &&
           vault_is_loss(wal->error_reason);
}

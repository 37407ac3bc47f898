/* Rows to messages. Wire enums become ours through tables, never by casts of numbers. */
#include "backup/api/convert.h"

#include <string.h>

#include "backup/api/etag.h"
#include "backup/domain/names.h"
#include "backup/source/source.h"
#include "base/clock.h"
#include "base/str.h"
#include "pgformat/wal.h"
#include "rpc/message.h"

static const struct backup_state_row {
    const char *stored;
    PbBackup__Backup__State wire;
} backup_states[] = {
    {"PENDING", PB_BACKUP__BACKUP__STATE__PENDING},
    {"RUNNING", PB_BACKUP__BACKUP__STATE__RUNNING},
    {"SUCCEEDED", PB_BACKUP__BACKUP__STATE__SUCCEEDED},
    {"FAILED", PB_BACKUP__BACKUP__STATE__FAILED},
    {"CANCELLED", PB_BACKUP__BACKUP__STATE__CANCELLED},
};

static const struct restore_state_row {
    const char *stored;
    PbBackup__Restore__State wire;
} restore_states[] = {
    {"RUNNING", PB_BACKUP__RESTORE__STATE__RUNNING},
    {"SUCCEEDED", PB_BACKUP__RESTORE__STATE__SUCCEEDED},
    {"FAILED", PB_BACKUP__RESTORE__STATE__FAILED},
    {"CANCELLED", PB_BACKUP__RESTORE__STATE__CANCELLED},
};

static const PbJobs__Job__State job_states[JOBS_STATES] = {
    [JOBS_WAITING] = PB_JOBS__JOB__STATE__PENDING,
    [JOBS_PENDING] = PB_JOBS__JOB__STATE__PENDING,
    [JOBS_RUNNING] = PB_JOBS__JOB__STATE__RUNNING,
    [JOBS_SUCCEEDED] = PB_JOBS__JOB__STATE__SUCCEEDED,
    [JOBS_FAILED] = PB_JOBS__JOB__STATE__FAILED,
    [JOBS_CANCELLED] = PB_JOBS__JOB__STATE__CANCELLED,
    [JOBS_OUTCOME_UNKNOWN] = PB_JOBS__JOB__STATE__OUTCOME_UNKNOWN,
};

static const struct receiver_state_row {
    enum receiver_state state;
    PbBackup__WalStatus__ReceiverState wire;
    PbBackup__Cluster__State cluster;
} receiver_states[] = {
    {RECEIVER_CONNECTING, PB_BACKUP__WAL_STATUS__RECEIVER_STATE__CONNECTING,
     PB_BACKUP__CLUSTER__STATE__CONNECTING},
    {RECEIVER_STREAMING, PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STREAMING,
     PB_BACKUP__CLUSTER__STATE__STREAMING},
    {RECEIVER_WAITING, PB_BACKUP__WAL_STATUS__RECEIVER_STATE__WAITING,
     PB_BACKUP__CLUSTER__STATE__DISCONNECTED},
    {RECEIVER_STOPPED, PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STOPPED,
     PB_BACKUP__CLUSTER__STATE__DISCONNECTED},
    {RECEIVER_STALLED, PB_BACKUP__WAL_STATUS__RECEIVER_STATE__WAITING,
     PB_BACKUP__CLUSTER__STATE__DISCONNECTED},
};

char *convert_text(struct hf_arena *arena, const char *text)
{
    return text == NULL ? hf_strdup(arena, "")
                        : hf_text_show(arena, text, strlen(text), CONVERT_TEXT_MAX);
}

Google__Protobuf__Timestamp *convert_time(struct hf_arena *arena, int64_t time_us)
{
    if (time_us == 0 || !hf_time_in_range(time_us)) {
        return NULL;
    }
    Google__Protobuf__Timestamp *time =
        rpc_message_new(arena, &google__protobuf__timestamp__descriptor);
    time_us = hf_time_clamp(time_us); /* what a message can say */
    int64_t micros = time_us % HF_US_PER_S;

    time->seconds = time_us / HF_US_PER_S - (micros < 0 ? 1 : 0);
    time->nanos = (int32_t)((micros < 0 ? micros + HF_US_PER_S : micros) * 1000);
    return time;
}

char *convert_lsn(struct hf_arena *arena, uint64_t lsn)
{
    return convert_text(arena, lsn == 0 ? "" : pgf_lsn(lsn).text);
}

void convert_lines(struct hf_arena *arena, const char *lines, size_t *ret_len, char ***ret_items)
{
    size_t count = 0;

    for (const char *p = lines; *p != '\0'; p += strcspn(p, "\n") + (strchr(p, '\n') != NULL)) {
        count++;
    }
    char **items = HF_NEW_N(arena, char *, count + 1);
    const char *p = lines;

    for (size_t i = 0; i < count; i++) {
        size_t len = strcspn(p, "\n");

        items[i] = hf_text_show(arena, p, len, CONVERT_TEXT_MAX);
        p += len + 1;
    }
    *ret_len = count;
    *ret_items = items;
}

static void finding_add(struct hf_arena *arena, const struct source_finding *finding,
                        PbBackup__Cluster *cluster)
{
    PbBackup__Cluster__Finding *message =
        rpc_message_new(arena, &pb_backup__cluster__finding__descriptor);

    message->message = convert_text(arena, finding->message);
    message->fix = convert_text(arena, finding->fix);
    cluster->findings[cluster->n_findings++] = message;
    cluster->warnings[cluster->n_warnings++] =
        hf_printf(arena, "%s%s%s", message->message,
                  hf_text_empty(finding->fix) ? "" : "; fix: ", message->fix);
}

/* The row's lines, after what its connection string lacks. */
static void convert_findings(struct hf_arena *arena, const struct cluster_row *row,
                             PbBackup__Cluster *ret_cluster)
{
    struct source_finding finding = {.message = "", .fix = ""};
    char **lines = NULL;
    size_t len = 0;

    convert_lines(arena, row->warnings, &len, &lines);
    ret_cluster->findings = HF_NEW_N(arena, PbBackup__Cluster__Finding *, len + 1);
    ret_cluster->warnings = HF_NEW_N(arena, char *, len + 1);
    ret_cluster->connection_problem = convert_text(arena, "");
    if (source_dsn_problem(arena, row, &finding)) {
        finding_add(arena, &finding, ret_cluster);
        ret_cluster->findings[0]->needs_action = true;
        ret_cluster->connection_problem = ret_cluster->warnings[0];
    }
    for (size_t i = 0; i < len; i++) {
        bool has_fix = i + 1 < len && hf_has_prefix(lines[i + 1], SOURCE_FIX);

        finding = (struct source_finding){.message = lines[i],
                                          .fix = has_fix ? lines[i + 1] + strlen(SOURCE_FIX) : ""};
        finding_add(arena, &finding, ret_cluster);
        i += has_fix ? 1 : 0;
    }
}

void convert_cluster(struct hf_arena *arena, const char *tenant, const struct cluster_row *row,
                     PbBackup__Cluster *ret_cluster)
{
    ret_cluster->name = name_cluster(arena, tenant, row->name);
    ret_cluster->dsn = convert_text(arena, row->dsn);
    ret_cluster->state = PB_BACKUP__CLUSTER__STATE__CONNECTING;
    ret_cluster->system_identifier = convert_text(arena, row->system_identifier);
    ret_cluster->server_version = (int32_t)row->server_version;
    ret_cluster->lineage = convert_text(arena, row->lineage);
    ret_cluster->slot = convert_text(arena, row->slot);
    ret_cluster->size_bytes = (int64_t)row->size_bytes;
    ret_cluster->create_time = convert_time(arena, row->create_time_us);
    ret_cluster->damage = convert_text(arena, row->damage);
    ret_cluster->etag = etag_of(arena, row->revision);
    ret_cluster->has_ca = row->ca_sealed.len > 0;
    ret_cluster->has_certificate = row->cert_sealed.len > 0;
    convert_findings(arena, row, ret_cluster);
}

static PbJobs__Job__Error *convert_error(struct hf_arena *arena, const char *code,
                                         const char *message, const char *reason)
{
    if (hf_text_empty(code)) {
        return NULL;
    }
    PbJobs__Job__Error *error = rpc_message_new(arena, &pb_jobs__job__error__descriptor);

    error->code = convert_text(arena, code);
    error->message = convert_text(arena, message);
    error->reason = convert_text(arena, reason);
    return error;
}

static void convert_backup_state(const struct backup_row *row, PbBackup__Backup *ret_backup)
{
    for (size_t i = 0; i < sizeof(backup_states) / sizeof(backup_states[0]); i++) {
        if (hf_text_equal(row->state, backup_states[i].stored)) {
            ret_backup->state = backup_states[i].wire;
        }
    }
    ret_backup->checkpoint = hf_text_equal(row->checkpoint, "SPREAD")
                                 ? PB_BACKUP__BACKUP__CHECKPOINT__SPREAD
                                 : PB_BACKUP__BACKUP__CHECKPOINT__FAST;
    if (hf_text_equal(row->verification, "VERIFIED")) {
        ret_backup->verification = PB_BACKUP__BACKUP__VERIFICATION__VERIFIED;
    } else if (hf_text_equal(row->verification, "DAMAGED")) {
        ret_backup->verification = PB_BACKUP__BACKUP__VERIFICATION__DAMAGED;
    }
}

void convert_backup(struct hf_arena *arena, const char *tenant, const struct backup_row *row,
                    PbBackup__Backup *ret_backup)
{
    convert_backup_state(row, ret_backup);
    ret_backup->name = name_backup(arena, tenant, row->cluster, row->id);
    ret_backup->start_lsn = convert_lsn(arena, row->start_lsn);
    ret_backup->stop_lsn = convert_lsn(arena, row->stop_lsn);
    ret_backup->timeline = (int32_t)row->timeline;
    ret_backup->create_time = convert_time(arena, row->create_time_us);
    ret_backup->start_time = convert_time(arena, row->start_time_us);
    ret_backup->end_time = convert_time(arena, row->end_time_us);
    ret_backup->source_bytes = (int64_t)row->source_bytes;
    ret_backup->changed_bytes = (int64_t)row->changed_bytes;
    ret_backup->stored_bytes = (int64_t)row->stored_bytes;
    ret_backup->files = (int64_t)row->files;
    ret_backup->job =
        hf_text_empty(row->job_id) ? convert_text(arena, "") : name_job(arena, tenant, row->job_id);
    ret_backup->error =
        convert_error(arena, row->error_code, row->error_message, row->error_reason);
    ret_backup->journal_entry = (int64_t)row->journal_entry;
    ret_backup->server_version = (int32_t)row->server_version;
    ret_backup->predecessor = hf_text_empty(row->predecessor)
                                  ? convert_text(arena, "")
                                  : name_backup(arena, tenant, row->cluster, row->predecessor);
    ret_backup->etag = etag_of(arena, row->revision);
    ret_backup->verify_time = convert_time(arena, row->verify_time_us);
    ret_backup->lineage = convert_text(arena, row->lineage);
    ret_backup->damage = convert_text(arena, row->damage);
    convert_lines(arena, row->findings, &ret_backup->n_findings, &ret_backup->findings);
}

void convert_restore(struct hf_arena *arena, const char *tenant, const struct restore_row *row,
                     PbBackup__Restore *ret_restore)
{
    for (size_t i = 0; i < sizeof(restore_states) / sizeof(restore_states[0]); i++) {
        if (hf_text_equal(row->state, restore_states[i].stored)) {
            ret_restore->state = restore_states[i].wire;
        }
    }
    ret_restore->name = name_restore(arena, tenant, row->cluster, row->id);
    ret_restore->target = convert_text(arena, row->target);
    ret_restore->backup = hf_text_empty(row->backup_id)
                              ? convert_text(arena, "")
                              : name_backup(arena, tenant, row->cluster, row->backup_id);
    ret_restore->resolved_lsn = convert_lsn(arena, row->resolved_lsn);
    ret_restore->resolved_time = convert_time(arena, row->resolved_time_us);
    ret_restore->directory = convert_text(arena, row->directory);
    ret_restore->job = name_job(arena, tenant, row->job_id);
    ret_restore->error =
        convert_error(arena, row->error_code, row->error_message, row->error_reason);
    ret_restore->create_time = convert_time(arena, row->create_time_us);
    ret_restore->end_time = convert_time(arena, row->end_time_us);
    ret_restore->restored_bytes = (int64_t)row->restored_bytes;
    ret_restore->damage = convert_text(arena, row->damage);
}

void convert_job(struct hf_arena *arena, const char *tenant, const struct jobs_job *job,
                 PbJobs__Job *ret_job)
{
    ret_job->name = name_job(arena, tenant, job->id);
    ret_job->kind = convert_text(arena, job->kind);
    ret_job->state = job_states[job->state];
    ret_job->target = convert_text(arena, job->target);
    ret_job->progress = rpc_message_new(arena, &pb_jobs__job__progress__descriptor);
    ret_job->progress->phase = convert_text(arena, job->phase);
    ret_job->progress->done_bytes = job->done_bytes;
    ret_job->progress->total_bytes = job->total_bytes;
    if (job->error.code != HF_OK) {
        ret_job->error = convert_error(arena, hf_code_name(job->error.code), job->error.message,
                                       job->error.reason);
    }
    ret_job->attempt = job->attempt;
    ret_job->max_attempts = job->max_attempts;
    ret_job->cancel_requested = job->is_cancel_requested;
    ret_job->create_time = convert_time(arena, job->create_us);
    ret_job->start_time = convert_time(arena, job->start_us);
    ret_job->end_time = convert_time(arena, job->end_us);
    ret_job->next_attempt_time = convert_time(arena, job->run_at_us);
}

void convert_gaps(struct hf_arena *arena, const struct gap_row *newest_first, size_t len,
                  PbBackup__WalStatus *ret_wal)
{
    size_t shown = len < RECEIVER_GAPS_MAX ? len : RECEIVER_GAPS_MAX;

    ret_wal->n_gaps = 0;
    ret_wal->gaps = HF_NEW_N(arena, PbBackup__WalStatus__Gap *, shown + 1);
    for (size_t i = shown; i > 0; i--) {
        const struct gap_row *row = &newest_first[i - 1];
        PbBackup__WalStatus__Gap *gap =
            rpc_message_new(arena, &pb_backup__wal_status__gap__descriptor);

        gap->from_lsn = convert_lsn(arena, row->from_lsn);
        gap->to_lsn = convert_lsn(arena, row->to_lsn);
        gap->timeline = (int32_t)row->timeline;
        ret_wal->gaps[ret_wal->n_gaps++] = gap;
    }
}

void convert_wal(struct hf_arena *arena, const char *tenant, const struct cluster_row *row,
                 const struct receiver_status *seen, int64_t now_us, PbBackup__WalStatus *ret_wal)
{
    for (size_t i = 0; i < sizeof(receiver_states) / sizeof(receiver_states[0]); i++) {
        if (seen->state == receiver_states[i].state) {
            ret_wal->receiver_state = receiver_states[i].wire;
        }
    }
    ret_wal->name = name_cluster(arena, tenant, row->name);
    ret_wal->error = convert_text(arena, seen->error);
    ret_wal->error_reason = convert_text(arena, seen->reason);
    ret_wal->application_name = hf_printf(arena, "holdfast_%s", row->name);
    ret_wal->slot = convert_text(arena, row->slot);
    ret_wal->timeline = (int32_t)seen->timeline;
    ret_wal->durable_lsn = convert_lsn(arena, seen->durable_lsn);
    ret_wal->source_lsn = convert_lsn(arena, seen->source_lsn);
    uint64_t lag = seen->source_lsn > seen->durable_lsn ? seen->source_lsn - seen->durable_lsn : 0;

    ret_wal->lag_bytes = lag < INT64_MAX ? (int64_t)lag : INT64_MAX;
    ret_wal->durable_time = convert_time(arena, seen->durable_time_us);
    if (seen->durable_time_us != 0 && now_us > seen->durable_time_us) {
        ret_wal->lag_seconds = (double)(now_us - seen->durable_time_us) / (double)HF_US_PER_S;
    }
}

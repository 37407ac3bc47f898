/* backup list --vault DIR --key-file FILE: the journal of each source, as messages of the API. */
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/out.h"
#include "pgformat/wal.h"
#include "rpc/message.h"

static Google__Protobuf__Timestamp *time_of(struct hf_arena *arena, int64_t time_us)
{
    Google__Protobuf__Timestamp *time =
        rpc_message_new(arena, &google__protobuf__timestamp__descriptor);

    time->seconds = time_us / HF_US_PER_S;
    time->nanos = (int32_t)(time_us % HF_US_PER_S * 1000);
    return time;
}

static PbBackup__Backup *backup_of(struct cli *cli, const struct vault_source_state *state,
                                   size_t i)
{
    struct hf_arena *arena = cli->ctx.arena;
    const struct vault_point_info *point = &state->points[i];
    PbBackup__Backup *backup = rpc_message_new(arena, &pb_backup__backup__descriptor);

    backup->name = hf_printf(arena, "tenants/%s/clusters/%s/backups/%s", cli->tenant,
                             state->source.name, point->id);
    backup->state = PB_BACKUP__BACKUP__STATE__SUCCEEDED;
    backup->start_lsn = hf_strdup(arena, pgf_lsn(point->start_lsn).text);
    backup->stop_lsn = hf_strdup(arena, pgf_lsn(point->stop_lsn).text);
    backup->timeline = (int32_t)point->timeline;
    backup->start_time = time_of(arena, point->start_time_us);
    backup->end_time = time_of(arena, point->stop_time_us);
    backup->source_bytes = (int64_t)point->source_bytes;
    backup->changed_bytes = (int64_t)point->changed_bytes;
    backup->stored_bytes = (int64_t)point->stored_bytes;
    backup->files = (int64_t)point->files;
    backup->journal_entry = (int64_t)state->point_entries[i];
    backup->server_version = (int32_t)point->server_version;
    backup->lineage = hf_strdup(arena, point->lineage);
    return backup;
}

struct gathering {
    const char *wanted; /* NULL: all */
    bool is_found;
    PbBackup__ListBackupsResponse list;
};

/* Newest first, as the service lists them. */
static void gather(struct cli *cli, void *arg, const char *prefix,
                   const struct vault_source_state *state)
{
    struct gathering *gathering = arg;
    PbBackup__ListBackupsResponse *list = &gathering->list;

    if (gathering->wanted != NULL && !hf_text_equal(gathering->wanted, state->source.name) &&
        !hf_text_equal(gathering->wanted, vault_source_id(prefix))) {
        return;
    }
    PbBackup__Backup **all =
        HF_NEW_N(cli->ctx.arena, PbBackup__Backup *, list->n_backups + state->points_len + 1);

    gathering->is_found = true;
    for (size_t i = 0; i < list->n_backups; i++) {
        all[i] = list->backups[i];
    }
    for (size_t i = state->points_len; i > 0; i--) {
        all[list->n_backups++] = backup_of(cli, state, i - 1);
    }
    list->backups = all;
}

/* What can be read is listed; that a source cannot be is the command's failure all the same. */
struct hf_status cmd_offline_list(struct cli *cli)
{
    HF_CLEANUP(offline_close) struct offline offline = {0};
    struct gathering gathering = {.wanted = cli_arg(cli, 0) != NULL ? cli_arg(cli, 0)
                                                                    : cli_option(cli, "cluster"),
                                  .list = PB_BACKUP__LIST_BACKUPS_RESPONSE__INIT};
    struct hf_status unread;
    const char *ignored = NULL;

    HF_TRY(offline_open(cli, &offline));
    HF_TRY(offline_each(cli, &offline, gather, &gathering, &unread));
    if (gathering.wanted != NULL && !gathering.is_found) {
        return offline_find(cli, &offline, gathering.wanted, &ignored);
    }
    HF_TRY(out_backups(cli, &gathering.list));
    return unread;
}

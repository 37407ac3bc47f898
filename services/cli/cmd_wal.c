/* wal fetch and wal push: restore_command and archive_command. A failure to look is never "not
 * found": PostgreSQL would take it for the end of WAL and promote, so fetch exits with 255 then.
 *
 * Surprise: archive_command gets more than segments. One refusal stops the archiver for ever, so
 * what no restore needs is passed over, and of the partial segment that a promotion leaves only
 * the valid records are stored: what follows them is older than they are. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/offline.h"
#include "cli/out.h"
#include "cli/remote.h"
#include "pgformat/history.h"
#include "pgformat/wal.h"
#include "pgformat/walrec.h"
#include "vault/wal_index.h"
#include "vault/wal_reader.h"

#define PUSH_BYTES ((size_t)2 << 20)
#define PARTIAL ".partial"

struct wal_source {
    struct objstore *store;
    const struct vault_keyring *keyring;
    const char *prefix;
};

static struct hf_status need_cluster(struct cli *cli)
{
    return hf_text_empty(cli_option(cli, "cluster")) ? cli_usage(cli, "--cluster NAME is missing")
                                                     : hf_success();
}

/* --- fetch ---------------------------------------------------------------------------------- */

static struct hf_status write_file(struct cli *cli, const char *path, const struct hf_buf *bytes)
{
    HF_CLEANUP(hf_close) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0) {
        return hf_fail_errno(cli->ctx.arena, errno, "writing %s", path);
    }
    HF_TRY(hf_write_all(cli->ctx.arena, fd, bytes->ptr, bytes->len, path));
    return hf_fsync(cli->ctx.arena, fd, path);
}

static struct hf_status fetch_from(struct cli *cli, const struct wal_source *source,
                                   const struct vault_wal_place *place, struct hf_buf *bytes)
{
    struct hf_ctx *ctx = &cli->ctx;
    const char *file = cli_arg(cli, 0);
    uint32_t timeline = 0;
    uint64_t segno = 0;
    uint64_t end = 0;

    if (pgf_history_name_parse(file, &timeline)) {
        return vault_wal_history_get(ctx, source->store, source->keyring, place, timeline, bytes);
    }
    if (!pgf_wal_name_parse(file, place->segment_bytes, &timeline, &segno)) {
        return hf_fail(ctx->arena, HF_NOT_FOUND, "%s is no file that a vault has", file);
    }
    HF_CLEANUP(vault_wal_reader_free)
    struct vault_wal_reader *reader = vault_wal_reader_new(source->store, source->keyring, place);

    return vault_wal_segment_to_buf(ctx, reader, timeline, segno, bytes, &end);
}

/* The object is not there; a cluster or tenant that is not there has a reason of its own. */
static bool is_absent(struct hf_status status)
{
    return status.code == HF_NOT_FOUND &&
           (status.info == NULL || hf_text_equal(status.info->reason, "OBJECT_NOT_FOUND"));
}

/* The lineages from the newest to the oldest: the first that has the file gives it. Only a vault
 * that was opened and has it in none of them says "not there". */
static struct hf_status fetch(struct cli *cli, const struct wal_source *source)
{
    struct vault_source_state state = {0};
    struct hf_status status =
        hf_fail(cli->ctx.arena, HF_NOT_FOUND, "%s is not in the vault", cli_arg(cli, 0));

    HF_TRY(vault_journal_read(&cli->ctx, source->store, source->keyring, source->prefix, 0, NULL,
                              &state));
    for (size_t i = state.lineages_len; i > 0 && is_absent(status); i--) {
        HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
        const struct vault_wal_place place = {source->prefix, state.lineages[i - 1].lineage,
                                              state.source.wal_segment_bytes};

        hf_buf_init(&bytes, state.source.wal_segment_bytes + PGF_HISTORY_MAX_BYTES);
        status = fetch_from(cli, source, &place, &bytes);
        if (hf_is_ok(status)) {
            return write_file(cli, cli_arg(cli, 1), &bytes);
        }
    }
    if (is_absent(status)) {
        cli->exit_code = CLI_FAILED;
    }
    return status;
}

static struct hf_status fetch_online(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    HF_CLEANUP(remote_close) struct remote remote = {0};

    HF_TRY(client_open(cli, &client));
    HF_TRY(
        remote_open(&cli->ctx, client, client_cluster(cli, cli_option(cli, "cluster")), &remote));
    const struct wal_source source = {remote.store, remote.keyring, remote.source_prefix};

    return fetch(cli, &source);
}

static struct hf_status fetch_offline(struct cli *cli)
{
    HF_CLEANUP(offline_close) struct offline offline = {0};
    const char *prefix = NULL;

    HF_TRY(offline_open(cli, &offline));
    HF_TRY(offline_find(cli, &offline, cli_option(cli, "cluster"), &prefix));
    const struct wal_source source = {offline.store, offline.keyring, prefix};

    return fetch(cli, &source);
}

struct hf_status cmd_wal_fetch(struct cli *cli)
{
    HF_TRY(need_cluster(cli));
    return cli_flag(cli, "vault") ? fetch_offline(cli) : fetch_online(cli);
}

/* --- push ----------------------------------------------------------------------------------- */

struct push {
    struct cli *cli;
    struct rpc_client *client;
    PbBackup__PushWalRequest req;
};

/* At most PUSH_BYTES of the file from offset on. */
static struct hf_status push_piece(struct push *push, const struct hf_buf *file, size_t offset)
{
    size_t left = file->len - offset;
    void *resp = NULL;

    push->req.offset = (int64_t)offset;
    push->req.data =
        (ProtobufCBinaryData){left < PUSH_BYTES ? left : PUSH_BYTES, file->ptr + offset};
    return client_backup(push->cli, push->client, "PushWal", &push->req.base, &resp);
}

/* The segment's own first page says whose it is and how large segments are. */
static struct hf_status identify(struct push *push, const struct hf_buf *bytes)
{
    struct hf_arena *arena = push->cli->ctx.arena;
    struct pgf_wal_page page;

    HF_TRY(pgf_wal_page_decode(arena, bytes->ptr, bytes->len, &page));
    if (page.segment_bytes != bytes->len) {
        return hf_fail(arena, HF_DATA_LOSS, "%s has %zu bytes, its header says %u",
                       cli_arg(push->cli, 0), bytes->len, page.segment_bytes);
    }
    push->req.segment_bytes = page.segment_bytes;
    push->req.system_identifier =
        hf_printf(arena, "%llu", (unsigned long long)page.system_identifier);
    return hf_success();
}

/* A history file has no header: the service takes it for the cluster's own system. */
static struct hf_status identify_history(struct push *push)
{
    PbBackup__GetClusterRequest req = PB_BACKUP__GET_CLUSTER_REQUEST__INIT;
    void *resp = NULL;

    req.name = push->req.parent;
    HF_TRY(client_backup(push->cli, push->client, "GetCluster", &req.base, &resp));
    push->req.system_identifier = ((const PbBackup__Cluster *)resp)->system_identifier;
    return hf_success();
}

struct wal_bytes {
    const struct hf_buf *file;
    uint64_t start_lsn;
};

static struct hf_status read_bytes(void *arg, uint64_t lsn, uint8_t *ret_bytes, size_t len,
                                   size_t *ret_len)
{
    const struct wal_bytes *wal = arg;
    size_t offset = (size_t)(lsn - wal->start_lsn);
    size_t left = offset < wal->file->len ? wal->file->len - offset : 0;
    size_t n = len < left ? len : left;

    if (n > 0) {
        memcpy(ret_bytes, wal->file->ptr + offset, n);
    }
    *ret_len = n;
    return hf_success();
}

/* How much of a partial segment is WAL; the rest is what the file held before. */
static struct hf_status valid_bytes(struct push *push, const struct hf_buf *file, size_t *ret_bytes)
{
    struct hf_arena *arena = push->cli->ctx.arena;
    struct wal_bytes wal = {.file = file};
    struct pgf_wal_summary summary;
    uint32_t timeline = 0;
    uint64_t segno = 0;

    if (!pgf_wal_name_parse(push->req.file, file->len, &timeline, &segno)) {
        return hf_fail(arena, HF_INVALID_ARGUMENT, "%s.partial is no partial WAL segment",
                       push->req.file);
    }
    wal.start_lsn = pgf_wal_segment_start(segno, file->len);
    const struct pgf_walk_options options = {
        .reader = {read_bytes, &wal},
        .start_lsn = wal.start_lsn,
        .segment_bytes = file->len,
        .is_find_first = true,
    };

    HF_TRY(pgf_wal_scan(arena, &options, NULL, &summary));
    *ret_bytes = (size_t)(summary.last_end - wal.start_lsn);
    return hf_success();
}

static struct hf_status push_segment(struct push *push, struct hf_buf *bytes, bool is_partial)
{
    HF_TRY(identify(push, bytes));
    if (is_partial) {
        HF_TRY(valid_bytes(push, bytes, &bytes->len));
    }
    for (size_t offset = 0; offset < bytes->len; offset += PUSH_BYTES) {
        HF_TRY(push_piece(push, bytes, offset));
    }
    return hf_success();
}

static struct hf_status push_file(struct push *push)
{
    struct cli *cli = push->cli;
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    const char *path = cli_arg(cli, 0);
    const char *file = out_short(path);
    bool is_partial = hf_has_suffix(file, PARTIAL);
    uint32_t timeline = 0;

    hf_buf_init(&bytes, PGF_WAL_SEGMENT_MAX);
    HF_TRY(hf_read_file(cli->ctx.arena, path, &bytes));
    push->req.file =
        hf_strndup(cli->ctx.arena, file, strlen(file) - (is_partial ? strlen(PARTIAL) : 0));
    if (pgf_history_name_parse(file, &timeline)) {
        HF_TRY(identify_history(push));
        return push_piece(push, &bytes, 0);
    }
    return push_segment(push, &bytes, is_partial);
}

struct hf_status cmd_wal_push(struct cli *cli)
{
    HF_CLEANUP(rpc_client_free) struct rpc_client *client = NULL;
    struct push push = {.cli = cli, .req = PB_BACKUP__PUSH_WAL_REQUEST__INIT};

    HF_TRY(need_cluster(cli));
    if (hf_has_suffix(cli_arg(cli, 0), ".backup")) {
        return hf_success();
    }
    HF_TRY(client_open(cli, &client));
    push.client = client;
    push.req.parent = client_cluster(cli, cli_option(cli, "cluster"));
    return push_file(&push);
}

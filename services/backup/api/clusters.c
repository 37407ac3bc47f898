/* Clusters: look at, remove. cluster_connect.c registers them. */
#include "backup/store/clusters.h"

#include "backup/api/api.h"
#include "backup/api/cluster_seen.h"
#include "backup/api/convert.h"
#include "backup/api/etag.h"
#include "backup/api/handlers.h"
#include "backup/api/replay.h"
#include "backup/api/source_call.h"
#include "backup/domain/names.h"
#include "backup/domain/window.h"
#include "backup/source/receivers.h"
#include "backup/source/source.h"
#include "backup/store/backups.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "pgwire/dsn.h"
#include "pgwire/slot.h"
#include "pgwire/source.h"
#include "rpc/message.h"
#include "svc/page.h"
#include "vault/journal.h"

#define SLOT_TRIES 25

/* --- reading -------------------------------------------------------------------------------- */

static struct hf_status look(struct hf_ctx *ctx, struct db_tx *tx, struct cluster_seen *seen)
{
    HF_TRY(backups_summary(ctx, tx, seen->row.id, &seen->summary));
    HF_TRY(backups_moments(ctx, tx, &seen->row, &seen->moments, &seen->moments_len));
    return gaps_list(ctx, tx, &seen->row, &seen->gaps, &seen->gaps_len);
}

static struct window window_seen(struct hf_arena *arena, const struct cluster_seen *seen,
                                 int64_t durable_us)
{
    struct window_point *points = HF_NEW_N(arena, struct window_point, seen->moments_len + 1);
    struct window_gap *gaps = HF_NEW_N(arena, struct window_gap, seen->gaps_len + 1);

    for (size_t i = 0; i < seen->moments_len; i++) {
        points[i] = (struct window_point){seen->moments[i].start_lsn, seen->moments[i].end_time_us};
    }
    for (size_t i = 0; i < seen->gaps_len; i++) {
        gaps[i] = (struct window_gap){seen->gaps[i].from_lsn, seen->gaps[i].to_lsn};
    }
    return window_of(points, seen->moments_len, gaps, seen->gaps_len, durable_us);
}

static void fill_wal(struct hf_ctx *ctx, struct api_thread *thread, const struct cluster_seen *seen,
                     PbBackup__WalStatus *wal)
{
    struct receiver_status status = {.state = RECEIVER_STOPPED};

    (void)receivers_status(thread->app->receivers, seen->row.id, &status);
    convert_wal(ctx->arena, thread->grant.tenant_name, &seen->row, &status, hf_now_us(), wal);
    convert_gaps(ctx->arena, seen->gaps, seen->gaps_len, wal);
    struct window window = window_seen(ctx->arena, seen, status.durable_time_us);

    /* What the catalogue knows cannot be had from a vault that does not show it. */
    if (window.is_open && !vault_is_loss(status.reason)) {
        wal->window_start = convert_time(ctx->arena, window.start_us);
        wal->window_end = convert_time(ctx->arena, window.end_us);
    }
    if (hf_text_empty(wal->error) && seen->row.is_unusable) {
        struct hf_status damaged = clusters_usable(ctx->arena, &seen->row);

        wal->error = convert_text(ctx->arena, damaged.message);
    }
    wal->slot_is_unbounded = seen->row.is_slot_unbounded;
}

void api_fill_cluster(struct hf_ctx *ctx, struct api_thread *thread,
                      const struct cluster_seen *seen, PbBackup__Cluster *cluster)
{
    const char *tenant = thread->grant.tenant_name;

    convert_cluster(ctx->arena, tenant, &seen->row, cluster);
    cluster->wal = rpc_message_new(ctx->arena, &pb_backup__wal_status__descriptor);
    fill_wal(ctx, thread, seen, cluster->wal);
    switch (cluster->wal->receiver_state) {
    case PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STREAMING:
        cluster->state = seen->gaps_len > 0 && cluster->wal->window_start == NULL
                             ? PB_BACKUP__CLUSTER__STATE__GAP
                             : PB_BACKUP__CLUSTER__STATE__STREAMING;
        break;
    case PB_BACKUP__WAL_STATUS__RECEIVER_STATE__CONNECTING:
        cluster->state = PB_BACKUP__CLUSTER__STATE__CONNECTING;
        break;
    case PB_BACKUP__WAL_STATUS__RECEIVER_STATE__WAITING:
    case PB_BACKUP__WAL_STATUS__RECEIVER_STATE__STOPPED:
    case PB_BACKUP__WAL_STATUS__RECEIVER_STATE__GAP:
    case PB_BACKUP__WAL_STATUS__RECEIVER_STATE__RECEIVER_STATE_UNSPECIFIED:
    case _PB_BACKUP__WAL_STATUS__RECEIVER_STATE_IS_INT_SIZE:
        cluster->state = PB_BACKUP__CLUSTER__STATE__DISCONNECTED;
        break;
    }
    if (seen->summary.newest != NULL) {
        cluster->newest_backup =
            name_backup(ctx->arena, tenant, seen->row.name, seen->summary.newest);
        cluster->newest_backup_time = convert_time(ctx->arena, seen->summary.newest_time_us);
    }
    cluster->last_verify_time = convert_time(ctx->arena, seen->summary.last_verify_us);
}

struct hf_status api_load_cluster(struct hf_ctx *ctx, struct api_thread *thread, const char *name,
                                  struct cluster_seen *ret_seen)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_REPEATABLE_READ, &tx));
    HF_TRY(clusters_get(ctx, tx, name, &ret_seen->row));
    HF_TRY(look(ctx, tx, ret_seen));
    return db_tx_commit(ctx, &tx);
}

API_UNARY(api_get_cluster)
{
    const PbBackup__GetClusterRequest *want = req;
    struct resource_name name;
    struct cluster_seen seen = {0};

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_CLUSTER, &name));
    HF_TRY(api_load_cluster(ctx, app, name.cluster, &seen));
    api_fill_cluster(ctx, app, &seen, resp);
    return hf_success();
}

API_UNARY(api_get_wal_status)
{
    const PbBackup__GetWalStatusRequest *want = req;
    struct resource_name name;
    struct cluster_seen seen = {0};

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_CLUSTER, &name));
    HF_TRY(api_load_cluster(ctx, app, name.cluster, &seen));
    fill_wal(ctx, app, &seen, resp);
    return hf_success();
}

API_UNARY(api_list_clusters)
{
    const PbBackup__ListClustersRequest *want = req;
    PbBackup__ListClustersResponse *list = resp;
    struct api_thread *thread = app;
    struct resource_name name;
    struct cluster_row *rows = NULL;
    size_t len = 0;
    const struct svc_page_request pages = {.method = "ListClusters",
                                           .parent = want->parent,
                                           .page_size = want->page_size,
                                           .page_token = want->page_token};
    struct svc_page page;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_TENANT, &name));
    HF_TRY(svc_page_open(ctx, thread->app->secrets, &pages, &page));
    HF_TRY(db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_REPEATABLE_READ, &tx));
    HF_TRY(clusters_list(ctx, tx, page.after, page.limit, &rows, &len));
    list->clusters = HF_NEW_N(ctx->arena, PbBackup__Cluster *, len + 1);
    for (size_t i = 0; i < len; i++) {
        struct cluster_seen seen = {.row = rows[i]};

        HF_TRY(look(ctx, tx, &seen));
        list->clusters[i] = rpc_message_new(ctx->arena, &pb_backup__cluster__descriptor);
        api_fill_cluster(ctx, thread, &seen, list->clusters[i]);
        if (!svc_page_take(&page, protobuf_c_message_get_packed_size(&list->clusters[i]->base))) {
            break;
        }
        list->n_clusters++;
    }
    if (list->n_clusters < len || len == page.limit) {
        HF_TRY(svc_page_next(ctx, thread->app->secrets, &pages, rows[list->n_clusters - 1].name,
                             &list->next_page_token));
    }
    return db_tx_commit(ctx, &tx);
}

/* --- removing ------------------------------------------------------------------------------- */

/* The server lets go of a slot only when it has noticed that our receiver is gone. */
static struct hf_status drop_slot(struct hf_ctx *ctx, struct pgwire_conn *conn, const char *slot)
{
    struct hf_status status = hf_success();

    for (int tries = 0; tries < SLOT_TRIES; tries++) {
        status = pgwire_slot_drop(ctx, conn, slot);
        if (status.code != HF_FAILED_PRECONDITION) {
            break;
        }
        HF_TRY(hf_ctx_sleep(ctx, 200));
    }
    return status;
}

/* The slots of a cluster that is being removed: one on every host of its DSN. */
struct slots {
    const struct source *source;
    struct source_login login;
    struct pgwire_dsn dsn; /* no hosts: there is no slot to drop */
    const char **kept;     /* by host: why the slot is still there, NULL when dropped */
};

static void slots_find(struct hf_ctx *ctx, const struct source *source, struct slots *ret_slots)
{
    struct slots slots = {.source = source};

    if (hf_text_empty(source->row.slot) ||
        !hf_is_ok(pgwire_dsn_parse(ctx->arena, source->row.dsn, &slots.dsn))) {
        slots.dsn.hosts_len = 0;
    }
    if (!hf_is_ok(source_login_open(ctx, source, &slots.login))) { /* the hosts will say so */
        slots.login.access = (struct pgwire_access){.egress = source->app->egress};
    }
    slots.kept = HF_NEW_N(ctx->arena, const char *, slots.dsn.hosts_len + 1);
    for (size_t i = 0; i < slots.dsn.hosts_len; i++) {
        slots.kept[i] = "not dropped yet";
    }
    *ret_slots = slots;
}

static void slots_drop(struct hf_ctx *ctx, struct slots *slots)
{
    for (size_t i = 0; i < slots->dsn.hosts_len; i++) {
        HF_CLEANUP(pgwire_close) struct pgwire_conn *conn = NULL;
        char *single = NULL;
        struct hf_status status = pgwire_dsn_single(ctx->arena, slots->source->row.dsn, i, &single);
        const struct pgwire_options options = {.dsn = single,
                                               .password = slots->login.password,
                                               .access = &slots->login.access,
                                               .mode = PGWIRE_REPLICATION,
                                               .application_name = "holdfast",
                                               .connect_timeout_ms = 5000};

        if (hf_is_ok(status)) {
            status = pgwire_open(ctx, &options, &conn);
        }
        if (hf_is_ok(status)) {
            status = drop_slot(ctx, conn, slots->source->row.slot);
        }
        slots->kept[i] = hf_is_ok(status) ? NULL : status.message;
    }
}

static void slots_leave(struct slots *slots, const char *why)
{
    for (size_t i = 0; i < slots->dsn.hosts_len; i++) {
        slots->kept[i] = why;
    }
}

static void slots_tell(struct hf_ctx *ctx, const struct slots *slots,
                       PbBackup__DeleteClusterResponse *ret_left)
{
    ret_left->slots_left = HF_NEW_N(ctx->arena, char *, slots->dsn.hosts_len + 1);
    ret_left->n_slots_left = 0;
    for (size_t i = 0; i < slots->dsn.hosts_len; i++) {
        if (slots->kept[i] != NULL) {
            ret_left->slots_left[ret_left->n_slots_left++] =
                hf_printf(ctx->arena, "%s on %s:%s (%s)", slots->source->row.slot,
                          slots->dsn.hosts[i].host, slots->dsn.hosts[i].port, slots->kept[i]);
        }
    }
}

struct hf_status api_check_etag(struct hf_ctx *ctx, const char *given,
                                const struct cluster_row *row)
{
    return etag_check(ctx, given, row->revision, hf_printf(ctx->arena, "cluster %s", row->name));
}

/* etag: the row that was read may have changed since. */
static struct hf_status delete_row(struct hf_ctx *ctx, struct api_thread *thread,
                                   const struct source *source, const struct replay *replay,
                                   const char *etag, bool *ret_is_done)
{
    struct cluster_row row;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const char *backup = NULL;
    const char *job = NULL;
    struct jobs_job cancelled;

    HF_TRY(db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(replay_begin(ctx, tx, replay, ret_is_done));
    if (*ret_is_done) {
        return hf_success();
    }
    HF_TRY(clusters_lock(ctx, tx, source->row.id));
    HF_TRY(clusters_get_id(ctx, tx, source->row.id, &row));
    HF_TRY(api_check_etag(ctx, etag, &row));
    HF_TRY(backups_active(ctx, tx, source->row.id, &backup, &job));
    if (!hf_text_empty(job)) {
        HF_TRY(jobs_cancel(ctx, tx, thread->app->jobs, job, &cancelled));
    }
    HF_TRY(clusters_delete(ctx, tx, source->row.id));
    HF_TRY(replay_save(ctx, tx, replay));
    HF_TRY(db_tx_commit(ctx, &tx));
    jobs_wake(thread->app->jobs);
    return hf_success();
}

/* What a repeat of the request will be told. Until here, and when this fails, that is the reply
 * stored with the removal: every slot may be left. */
static void keep_reply(struct hf_ctx *ctx, struct api_thread *thread, const struct replay *replay)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct hf_status status =
        db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_READ_COMMITTED, &tx);

    if (hf_is_ok(status)) {
        status = replay_save(ctx, tx, replay);
    }
    if (hf_is_ok(status)) {
        status = db_tx_commit(ctx, &tx);
    }
    if (!hf_is_ok(status)) {
        hf_warn(ctx, HF_EVENT("reply.not_kept"), HF_TEXT("request_id", replay->request_id),
                HF_TEXT("error", status.message));
    }
}

API_UNARY(api_delete_cluster)
{
    const PbBackup__DeleteClusterRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct source source;
    struct slots slots;
    HF_CLEANUP(source_call_end) struct source_call call = {NULL, 0};
    const struct replay replay = {thread->app->secrets, "DeleteCluster", want->request_id,
                                  &want->base, resp};
    bool is_done = false;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_CLUSTER, &name));
    HF_TRY(replay_look(ctx, thread->app->db, thread->grant.tenant_id, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(source_load_name(ctx, thread->app, thread->grant.tenant_id, name.cluster, &source));
    HF_TRY(api_check_etag(ctx, want->etag, &source.row));
    if (want->validate_only) {
        return hf_success();
    }
    /* Without a place the source is not talked to, but the cluster goes all the same. */
    bool has_place =
        hf_is_ok(source_call_begin(ctx, thread->app->source_calls, thread->grant.tenant_id, &call));

    slots_find(ctx, &source, &slots);
    slots_tell(ctx, &slots, resp);
    HF_TRY(hf_ctx_check(ctx)); /* the last moment at which the caller may still go */
    struct hf_ctx own = source_call_after(ctx);

    HF_TRY(delete_row(&own, thread, &source, &replay, want->etag, &is_done));
    if (is_done) {
        return hf_success();
    }
    receivers_stop(thread->app->receivers, source.row.id);
    if (has_place) {
        slots_drop(&own, &slots);
    } else {
        slots_leave(&slots, "the service talks to other sources just now");
    }
    slots_tell(ctx, &slots, resp);
    struct hf_ctx last = source_call_after(ctx); /* whatever time the source has taken */

    keep_reply(&last, thread, &replay);
    return hf_success();
}

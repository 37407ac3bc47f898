/* How a cluster is reached: registration, and the change of it. Both talk to the source while no
 * transaction is open, store in one, and let the receiver begin after the commit, so a failure
 * leaves nothing half done: from the commit on the caller's deadline and cancellation count no
 * more, and a receiver that does not start is tried again in the background. Of two registrations
 * under one name the unique index lets one through; of two changes the revision does. */
#include <string.h>

#include "auth/operator.h"
#include "auth/pem.h"
#include "backup/api/cluster_seen.h"
#include "backup/api/handlers.h"
#include "backup/api/replay.h"
#include "backup/api/source_call.h"
#include "backup/domain/names.h"
#include "backup/source/receivers.h"
#include "backup/source/source.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/str.h"
#include "pgwire/dsn.h"
#include "pgwire/slot.h"
#include "pgwire/source.h"

#define PASSWORD_MAX 4096

/* What a request says about the way to a source. */
struct way {
    bool is_named; /* by this request; else the way is as it was, and so is who answers for it */
    const char *dsn;
    const char *password;
    struct pem_texts pem;
};

/* --- checks --------------------------------------------------------------------------------- */

static struct hf_status check_id(struct hf_ctx *ctx, const char *cluster_id)
{
    const char *const metadata[] = {"cluster_id", cluster_id, NULL};

    if (!hf_is_name(cluster_id)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "INVALID_NAME", metadata,
                            "cluster_id must be a lower-case letter and up to 39 letters, digits "
                            "or hyphens");
    }
    return hf_success();
}

/* DSN and certificates come back as they were understood. */
static struct hf_status check_way(struct hf_ctx *ctx, struct way *way)
{
    struct pem_texts texts;

    if (hf_text_empty(way->dsn)) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "DSN_MISSING", NULL,
                            "cluster.dsn is required: host=… user=… dbname=…");
    }
    if (way->password != NULL && strlen(way->password) > PASSWORD_MAX) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "PASSWORD_TOO_LONG", NULL,
                            "the password is longer than %d bytes", PASSWORD_MAX);
    }
    HF_TRY(pgwire_dsn_take(ctx->arena, way->dsn, &way->dsn));
    HF_TRY(pem_check(ctx, &way->pem, &texts));
    way->pem = texts;
    return hf_success();
}

/* A name that is taken is refused before the source is asked anything; one that came back from the
 * vault without a connection is adopted: ret_known is its row, else its id is NULL. */
static struct hf_status check_free(struct hf_ctx *ctx, struct api_thread *thread, const char *name,
                                   struct cluster_row *ret_known)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct cluster_row row = {0};

    HF_TRY(db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_READ_COMMITTED, &tx));
    struct hf_status status = clusters_get(ctx, tx, name, &row);

    if (status.code == HF_NOT_FOUND) {
        *ret_known = (struct cluster_row){0};
        return hf_success();
    }
    HF_TRY(status);
    if (hf_text_empty(row.dsn)) {
        *ret_known = row;
        return hf_success();
    }
    const char *const metadata[] = {"cluster", name, NULL};

    return hf_fail_info(ctx->arena, HF_ALREADY_EXISTS, "CLUSTER_EXISTS", metadata,
                        "a cluster named %s exists already; choose another name or look at it with "
                        "`holdfast cluster describe %s`",
                        name, name);
}

static struct hf_status check_system(struct hf_ctx *ctx, const struct cluster_row *known,
                                     const struct pgwire_source *source)
{
    const char *const metadata[] = {"cluster",  known->name,
                                    "expected", known->system_identifier,
                                    "found",    source->system_identifier,
                                    NULL};

    if (known->id == NULL || hf_text_equal(known->system_identifier, source->system_identifier)) {
        return hf_success();
    }
    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "FOREIGN_SYSTEM", metadata,
                        "the vault has backups of another system (%s) under the name %s; register "
                        "this one (%s) under another name",
                        known->system_identifier, known->name, source->system_identifier);
}

/* --- the row -------------------------------------------------------------------------------- */

static struct hf_status seal_way(struct hf_ctx *ctx, struct api_thread *thread,
                                 const struct way *way, struct cluster_row *row)
{
    const struct {
        struct source_part part;
        struct hf_bytes *sealed;
    } parts[] = {{{SOURCE_PASSWORD, way->password}, &row->password_sealed},
                 {{SOURCE_CA, way->pem.ca}, &row->ca_sealed},
                 {{SOURCE_CERT, way->pem.cert}, &row->cert_sealed},
                 {{SOURCE_KEY, way->pem.key}, &row->key_sealed}};

    for (size_t i = 0; i < HF_LEN(parts); i++) {
        HF_TRY(source_seal(ctx, thread->app, thread->grant.tenant_id, row->id, &parts[i].part,
                           parts[i].sealed));
    }
    row->dsn = way->dsn;
    return hf_success();
}

/* What was found by going the way, in the row that is there or in a new one. */
static void take_found(struct hf_ctx *ctx, const struct pgwire_source *source,
                       struct cluster_row *row)
{
    if (row->id == NULL) {
        row->id = hf_uuid_new_text(ctx->arena, hf_now_us());
        row->system_identifier = source->system_identifier;
        row->segment_bytes = source->wal_segment_bytes;
        row->lineage = "l1";
        row->create_time_us = hf_now_us();
    }
    if (hf_text_empty(row->slot)) {
        struct pgwire_slot_name slot = pgwire_slot_name(row->name, row->id);

        row->slot = hf_strdup(ctx->arena, slot.text);
    }
    row->server_version = (uint32_t)source->server_version;
    row->warnings = source_warnings(ctx->arena, source);
    row->is_slot_unbounded = source_is_unbounded(source);
    row->size_bytes = source->size_bytes < 0 ? 0 : (uint64_t)source->size_bytes;
}

static struct hf_status look(struct hf_ctx *ctx, struct api_thread *thread,
                             const struct pgwire_source_options *options,
                             struct pgwire_source *ret_source)
{
    HF_CLEANUP(source_call_end) struct source_call call = {NULL, 0};
    struct hf_ctx bounded = source_call_ctx(ctx);

    HF_TRY(source_call_begin(ctx, thread->app->source_calls, thread->grant.tenant_id, &call));
    return source_call_status(ctx, pgwire_source_check(&bounded, options, ret_source));
}

/* Goes the way and looks. known: the row that is there, or one without id; the new one has what was
 * found on the way. */
static struct hf_status examine(struct hf_ctx *ctx, struct api_thread *thread,
                                const struct way *way, const struct cluster_row *known,
                                struct cluster_row *ret_row)
{
    struct cluster_row row = *known;
    struct pgwire_source source;
    const struct pgwire_access access = {
        .egress = thread->app->egress,
        .is_operator = (way->is_named || known->is_operator_made) &&
                       auth_may_touch(&thread->grant, AUTH_LOOPBACK) &&
                       auth_may_touch(&thread->grant, AUTH_SOCKETS),
        .owner = thread->grant.tenant_id,
        .run_dir = thread->app->run_dir,
        .ca_pem = way->pem.ca,
        .cert_pem = way->pem.cert,
        .key_pem = way->pem.key,
    };
    const struct pgwire_source_options options = {
        .dsn = way->dsn,
        .password = hf_text_empty(way->password) ? NULL : way->password,
        .access = &access,
        .slot = hf_text_empty(row.slot) ? NULL : row.slot,
    };

    HF_TRY(look(ctx, thread, &options, &source));
    HF_TRY(check_system(ctx, known, &source));
    take_found(ctx, &source, &row);
    row.is_operator_made = access.is_operator;
    HF_TRY(seal_way(ctx, thread, way, &row));
    *ret_row = row;
    return hf_success();
}

/* What the reply says is stored before the receiver is started, and it is started at once. */
static void tell_start(PbBackup__Cluster *cluster)
{
    cluster->state = PB_BACKUP__CLUSTER__STATE__CONNECTING;
    cluster->wal->receiver_state = PB_BACKUP__WAL_STATUS__RECEIVER_STATE__CONNECTING;
}

/* Counted by the role that sees all tenants: what others have added under the lock is committed by
 * the time that they let go of it. */
static struct hf_status check_room(struct hf_ctx *ctx, struct api_thread *thread, struct db_tx *tx)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *all = NULL;

    HF_TRY(clusters_room_lock(ctx, tx));
    HF_TRY(db_system_begin(ctx, thread->app->dispatch_db, &all));
    HF_TRY(clusters_room_check(ctx, all, thread->grant.tenant_id, thread->app->clusters_max));
    return db_tx_commit(ctx, &all);
}

/* The only transaction that changes something. A twin with the same request id may have been
 * faster: then resp is its reply. The row has the revision that was read; 0: it is new. is_first:
 * it had no receiver until now. */
static struct hf_status store_cluster(struct hf_ctx *ctx, struct api_thread *thread,
                                      const struct replay *replay, const struct cluster_row *row,
                                      bool is_first, bool *ret_is_done)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, thread->app->db, thread->grant.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(replay_begin(ctx, tx, replay, ret_is_done));
    if (*ret_is_done) {
        return hf_success();
    }
    if (is_first) {
        HF_TRY(check_room(ctx, thread, tx));
    }
    HF_TRY(row->revision > 0 ? clusters_set_connection(ctx, tx, row)
                             : clusters_insert(ctx, tx, row));
    HF_TRY(replay_save(ctx, tx, replay));
    return db_tx_commit(ctx, &tx);
}

/* The receiver of what is stored now. */
static void begin_receiver(struct hf_ctx *ctx, struct api_thread *thread,
                           const struct cluster_row *row)
{
    struct receivers *receivers = thread->app->receivers;

    receivers_stop(receivers, row->id);
    struct hf_status started = receivers_start(ctx, receivers, thread->grant.tenant_id, row->id);

    if (!hf_is_ok(started)) {
        hf_error(ctx, HF_EVENT("receiver.not_started"), HF_TEXT("cluster", row->name),
                 HF_TEXT("error", started.message));
        receivers_start_later(receivers);
    }
}

/* The reply is made before it is stored with the change. */
static struct hf_status finish(struct hf_ctx *ctx, struct api_thread *thread,
                               const struct replay *replay, struct cluster_seen *seen,
                               bool is_first, bool validate_only)
{
    PbBackup__Cluster *resp = (PbBackup__Cluster *)replay->resp;
    const struct cluster_row row = seen->row;
    bool is_done = false;

    seen->row.revision++;
    api_fill_cluster(ctx, thread, seen, resp);
    tell_start(resp);
    if (validate_only) {
        return hf_success();
    }
    HF_TRY(hf_ctx_check(ctx)); /* the last moment at which the caller may still go */
    struct hf_ctx own = source_call_after(ctx);
    struct hf_status stored = store_cluster(&own, thread, replay, &row, is_first, &is_done);

    if (hf_is_ok(stored) && !is_done) {
        begin_receiver(&own, thread, &row);
    } else if (stored.code == HF_UNKNOWN) { /* in doubt: what is stored is read anew */
        receivers_stop(thread->app->receivers, row.id);
        receivers_start_later(thread->app->receivers);
    }
    return stored;
}

/* --- registering ---------------------------------------------------------------------------- */

API_UNARY(api_create_cluster)
{
    const PbBackup__CreateClusterRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct cluster_seen seen = {0};
    struct cluster_row known = {0};
    struct way way = {true, NULL, NULL, {NULL, NULL, NULL}};
    const struct replay replay = {thread->app->secrets, "CreateCluster", want->request_id,
                                  &want->base, resp};
    bool is_done = false;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "parent", want->parent, NAME_TENANT, &name));
    HF_TRY(check_id(ctx, want->cluster_id));
    if (want->cluster != NULL) {
        const PbBackup__Cluster *cluster = want->cluster;

        way = (struct way){true,
                           cluster->dsn,
                           cluster->password,
                           {cluster->ca_pem, cluster->cert_pem, cluster->key_pem}};
    }
    HF_TRY(check_way(ctx, &way));
    HF_TRY(replay_look(ctx, thread->app->db, thread->grant.tenant_id, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(check_free(ctx, thread, want->cluster_id, &known));
    known.name = want->cluster_id;
    HF_TRY(examine(ctx, thread, &way, &known, &seen.row));
    return finish(ctx, thread, &replay, &seen, hf_text_empty(known.slot), want->validate_only);
}

/* --- changing ------------------------------------------------------------------------------- */

struct change {
    const char *path; /* in the mask */
    const char *given;
    const char **target;
};

static bool is_in_mask(const Google__Protobuf__FieldMask *mask, const struct change *change)
{
    if (mask == NULL || mask->n_paths == 0) {
        return !hf_text_empty(change->given);
    }
    for (size_t i = 0; i < mask->n_paths; i++) {
        if (hf_text_equal(mask->paths[i], change->path)) {
            return true;
        }
    }
    return false;
}

static struct hf_status check_mask(struct hf_ctx *ctx, const Google__Protobuf__FieldMask *mask,
                                   const struct change *changes, size_t len)
{
    for (size_t i = 0; mask != NULL && i < mask->n_paths; i++) {
        bool is_known = false;

        for (size_t k = 0; k < len; k++) {
            is_known = is_known || hf_text_equal(mask->paths[i], changes[k].path);
        }
        if (!is_known) {
            return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "INVALID_MASK", NULL,
                                "update_mask may hold dsn, password, ca_pem, cert_pem and key_pem");
        }
    }
    return hf_success();
}

/* Is every secret that is stored given anew, or taken away? */
static bool replaces_secrets(const PbBackup__UpdateClusterRequest *want,
                             const struct cluster_row *row)
{
    static const PbBackup__Cluster none = PB_BACKUP__CLUSTER__INIT;
    const PbBackup__Cluster *given = want->cluster != NULL ? want->cluster : &none;
    const struct {
        struct hf_bytes sealed;
        struct change change;
    } secrets[] = {{row->password_sealed, {"password", given->password, NULL}},
                   {row->ca_sealed, {"ca_pem", given->ca_pem, NULL}},
                   {row->cert_sealed, {"cert_pem", given->cert_pem, NULL}},
                   {row->key_sealed, {"key_pem", given->key_pem, NULL}}};

    for (size_t i = 0; i < HF_LEN(secrets); i++) {
        if (secrets[i].sealed.len > 0 && !is_in_mask(want->update_mask, &secrets[i].change)) {
            return false;
        }
    }
    return true;
}

/* What does not open any more is not needed when all of it is given anew. */
static struct hf_status stored_way(struct hf_ctx *ctx, const struct source *source,
                                   const PbBackup__UpdateClusterRequest *want, struct way *ret_way)
{
    struct source_login login = {.password = NULL};
    struct hf_status status = source_login_open(ctx, source, &login);
    bool is_sealed_otherwise =
        status.info != NULL && hf_text_equal(status.info->reason, SOURCE_SECRETS_KEY_CHANGED);

    HF_TRY(is_sealed_otherwise && replaces_secrets(want, &source->row) ? hf_success() : status);
    *ret_way = (struct way){false,
                            source->row.dsn,
                            login.password,
                            {login.access.ca_pem, login.access.cert_pem, login.access.key_pem}};
    return hf_success();
}

/* What is there, with what the request changes of it. */
static struct hf_status change_way(struct hf_ctx *ctx, const PbBackup__UpdateClusterRequest *want,
                                   const struct way *stored, struct way *ret_way)
{
    static const PbBackup__Cluster none = PB_BACKUP__CLUSTER__INIT;
    const PbBackup__Cluster *given = want->cluster != NULL ? want->cluster : &none;
    struct way way = *stored;
    const struct change changes[] = {{"dsn", given->dsn, &way.dsn},
                                     {"password", given->password, &way.password},
                                     {"ca_pem", given->ca_pem, &way.pem.ca},
                                     {"cert_pem", given->cert_pem, &way.pem.cert},
                                     {"key_pem", given->key_pem, &way.pem.key}};
    size_t changed = 0;

    HF_TRY(check_mask(ctx, want->update_mask, changes, HF_LEN(changes)));
    for (size_t i = 0; i < HF_LEN(changes); i++) {
        if (is_in_mask(want->update_mask, &changes[i])) {
            *changes[i].target = changes[i].given;
            changed++;
        }
    }
    if (changed == 0) {
        return hf_fail_info(ctx->arena, HF_INVALID_ARGUMENT, "NOTHING_TO_CHANGE", NULL,
                            "the request changes nothing: give dsn, password or certificates");
    }
    way.is_named = is_in_mask(want->update_mask, &changes[0]);
    *ret_way = way;
    return hf_success();
}

/* Secrets are written, never read: whoever may change a connection could otherwise have what is
 * stored sent to a place of his own. */
static struct hf_status check_secrets(struct hf_ctx *ctx,
                                      const PbBackup__UpdateClusterRequest *want,
                                      const struct way *stored, const struct way *way)
{
    static const PbBackup__Cluster none = PB_BACKUP__CLUSTER__INIT;
    const PbBackup__Cluster *given = want->cluster != NULL ? want->cluster : &none;
    const struct change password = {"password", given->password, NULL};
    const struct change key = {"key_pem", given->key_pem, NULL};
    const struct pgwire_way before = {stored->dsn, !hf_text_empty(stored->pem.ca)};
    const struct pgwire_way after = {way->dsn, !hf_text_empty(way->pem.ca)};
    bool keeps_password =
        !hf_text_empty(stored->password) && !is_in_mask(want->update_mask, &password);
    bool keeps_key = !hf_text_empty(stored->pem.key) && !is_in_mask(want->update_mask, &key);
    bool is_trusted = pgwire_dsn_is_trusted(ctx->arena, &before, &after) &&
                      (!before.has_authority || hf_text_equal(stored->pem.ca, way->pem.ca));

    if (is_trusted || (!keeps_password && !keeps_key)) {
        return hf_success();
    }
    const char *flags = !keeps_key        ? "--password-stdin or --password-file"
                        : !keeps_password ? "--cert-file and --key-file"
                                          : "--password-stdin or --password-file, and --cert-file "
                                            "and --key-file";
    const char *const metadata[] = {"flags", flags, NULL};

    return hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION, "PASSWORD_REQUIRED", metadata,
                        "another host, port, user or authority, or less TLS: what is stored is not "
                        "sent there; give it again with %s",
                        flags);
}

API_UNARY(api_update_cluster)
{
    const PbBackup__UpdateClusterRequest *want = req;
    struct api_thread *thread = app;
    struct resource_name name;
    struct cluster_seen seen = {0};
    struct source source;
    struct way stored;
    struct way way;
    const struct replay replay = {thread->app->secrets, "UpdateCluster", want->request_id,
                                  &want->base, resp};
    bool is_done = false;

    (void)peer;
    HF_TRY(name_parse(ctx->arena, "name", want->name, NAME_CLUSTER, &name));
    HF_TRY(replay_look(ctx, thread->app->db, thread->grant.tenant_id, &replay, &is_done));
    if (is_done) {
        return hf_success();
    }
    HF_TRY(api_load_cluster(ctx, thread, name.cluster, &seen));
    HF_TRY(source_load_name(ctx, thread->app, thread->grant.tenant_id, name.cluster, &source));
    HF_TRY(api_check_etag(ctx, want->etag, &source.row));
    HF_TRY(stored_way(ctx, &source, want, &stored));
    HF_TRY(change_way(ctx, want, &stored, &way));
    HF_TRY(check_way(ctx, &way));
    HF_TRY(check_secrets(ctx, want, &stored, &way));
    HF_TRY(examine(ctx, thread, &way, &source.row, &seen.row));
    return finish(ctx, thread, &replay, &seen, hf_text_empty(source.row.slot), want->validate_only);
}

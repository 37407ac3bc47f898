/* The catalogue from the vault alone: every source of the tenant, every live point. The vault wins:
 * a point that it does not know is taken off the catalogue, and where somebody brought an older
 * copy of it back, its journals go on from there: whoever asks for this says that it is the right
 * one. Nothing else ever takes a pinned head back. A source that PostgreSQL has forgotten comes
 * back without connection; registering a cluster of that name and system adopts it. */
#include "backup/domain/args.h"
#include "backup/source/holes.h"
#include "backup/source/realms.h"
#include "backup/source/receivers.h"
#include "backup/source/source.h"
#include "backup/store/backups.h"
#include "backup/store/clusters.h"
#include "backup/work/found.h"
#include "backup/work/work.h"
#include "base/log.h"
#include "base/str.h"

#define PAGE 1000
#define SOURCE_ARENA ((size_t)256 << 20)

struct rebuild {
    struct jobs_run *run;
    struct backup_app *app;
    const char *tenant;
    const struct vault_keyring *keyring;
    bool accept_rollback;
    struct cluster_row *known; /* before */
    size_t known_len;
};

static struct hf_status mend(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *row,
                             const struct vault_source_state *state)
{
    struct cluster_row known = *row;

    if (row->damage == NULL) {
        return hf_success();
    }
    hf_warn(ctx, HF_EVENT("catalog.row_mended"), HF_TEXT("cluster", row->name),
            HF_TEXT("damage", row->damage));
    HF_TRY(found_source(ctx->arena, state, &known));
    return clusters_mend(ctx, tx, &known);
}

/* The row of the source, made when PostgreSQL has none. ret_is_removed: it was removed on purpose.
 */
static struct hf_status ensure_row(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                   const struct vault_source_state *state, bool *ret_is_removed)
{
    struct cluster_row row;
    struct cluster_row known = {
        .id = id,
        .dsn = "",
        .slot = "",
        .warnings = "not connected: register it again with `holdfast cluster add`",
    };

    HF_TRY(clusters_is_removed(ctx, tx, id, ret_is_removed));
    if (*ret_is_removed) {
        return hf_success();
    }
    struct hf_status found = clusters_get_id(ctx, tx, id, &row);

    if (found.code != HF_NOT_FOUND) {
        return hf_is_ok(found) ? mend(ctx, tx, &row, state) : found;
    }
    HF_TRY(found_source(ctx->arena, state, &known));
    if (hf_is_ok(clusters_get(ctx, tx, known.name, &row))) {
        known.name = hf_printf(ctx->arena, "%.32s-%.6s", known.name, id + 28);
    }
    return clusters_insert(ctx, tx, &known);
}

/* One page of the catalogue: take what the vault does not know off. ret_last: its last id. */
static struct hf_status drop_page(struct hf_ctx *ctx, struct db_tx *tx,
                                  const struct backups_query *query,
                                  const struct vault_source_state *state, const char **ret_last)
{
    struct backup_row *rows = NULL;
    size_t len = 0;

    HF_TRY(backups_list(ctx, tx, query, &rows, &len));
    for (size_t i = 0; i < len; i++) {
        if (vault_state_point(state, rows[i].id) == NULL) {
            HF_TRY(backups_delete(ctx, tx, &rows[i]));
        }
    }
    *ret_last = len < query->limit ? NULL : rows[len - 1].id;
    return hf_success();
}

static struct hf_status drop_unknown(struct hf_ctx *ctx, struct db_tx *tx, const char *cluster_id,
                                     const struct vault_source_state *state)
{
    struct cluster_row cluster;
    const char *last = "";

    HF_TRY(clusters_get_id(ctx, tx, cluster_id, &cluster));
    while (last != NULL) {
        const struct backups_query query = {
            .cluster = cluster.name, .state = "SUCCEEDED", .before = last, .limit = PAGE};

        HF_TRY(hf_ctx_check(ctx));
        HF_TRY(drop_page(ctx, tx, &query, state, &last));
    }
    return hf_success();
}

static struct hf_status store_points(struct hf_ctx *ctx, struct db_tx *tx, const char *id,
                                     const struct vault_source_state *state)
{
    for (size_t i = 0; i < state->points_len; i++) {
        struct backup_row row = {.cluster_id = id, .predecessor = ""};
        struct hf_status judged = found_point(ctx->arena, state, &state->points[i], &row);

        HF_TRY(hf_ctx_check(ctx));
        if (hf_is_ok(judged)) {
            HF_TRY(backups_upsert(ctx, tx, &row));
        } else {
            hf_warn(ctx, HF_EVENT("catalog.point_left_out"), HF_TEXT("cluster", id),
                    HF_INT("journal_entry", state->point_entries[i]),
                    HF_TEXT("error", judged.message));
        }
    }
    return drop_unknown(ctx, tx, id, state);
}

static bool has_lineage(const struct vault_source_state *state, const char *lineage)
{
    for (size_t i = 0; i < state->lineages_len; i++) {
        if (hf_text_equal(state->lineages[i].lineage, lineage)) {
            return true;
        }
    }
    return false;
}

static struct hf_status follow(struct hf_ctx *ctx, struct db_tx *tx, const struct cluster_row *row,
                               const struct vault_source_state *state, bool is_older_vault)
{
    struct cluster_row known = *row;

    if (!has_lineage(state, row->lineage)) { /* it began after the copy of the vault was made */
        HF_TRY(found_source(ctx->arena, state, &known));
    }
    known.journal_head = state->head;
    known.journal_hash = (struct hf_bytes){state->head_hash, VAULT_HASH_LEN};
    if (is_older_vault) {
        hf_warn(ctx, HF_EVENT("catalog.older_vault"), HF_TEXT("cluster", row->name),
                HF_INT("known_head", row->journal_head), HF_INT("head", state->head));
    }
    return clusters_follow_vault(ctx, tx, &known);
}

static struct hf_status refuse_rollback(struct hf_ctx *ctx, const char *name, const char *why)
{
    const char *const metadata[] = {"cluster", name, NULL};

    return hf_fail_info(ctx->arena, HF_DATA_LOSS, "JOURNAL_ROLLBACK", metadata,
                        "cluster %s: %s; put the vault back as it was, or, when this copy is the "
                        "one to go on with: holdfast catalog rebuild --accept-rollback",
                        name, why);
}

struct pass {
    struct holes *holes; /* one for each lineage */
    size_t holes_len;
    uint64_t last_head; /* of the journal when it was read before; 0: it was not */
    bool is_old;        /* entries came after it was read: nothing is stored */
    bool is_older_vault;
};

/* is_old: entries came after the journal was read, nothing is stored. Who appends an entry sets
 * the head before it changes a backup's row, and the lock keeps the head where it is. A head that
 * reading once more did not reach (last_head) is not in the vault: the vault wins. */
static struct hf_status store_source(struct hf_ctx *ctx, struct rebuild *rebuild, const char *id,
                                     const struct vault_source_state *state, struct pass *pass)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct cluster_row row;
    bool is_removed = false;

    pass->is_old = false;
    HF_TRY(db_tx_begin(ctx, rebuild->app->db, rebuild->run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(ensure_row(ctx, tx, id, state, &is_removed));
    if (is_removed) {
        return hf_success();
    }
    HF_TRY(clusters_lock(ctx, tx, id));
    HF_TRY(clusters_get_id(ctx, tx, id, &row));
    if (row.journal_head > state->head && state->head != pass->last_head) {
        pass->is_old = true;
        return hf_success();
    }
    pass->is_older_vault = pass->is_older_vault || row.journal_head > state->head;
    HF_TRY(pass->is_older_vault && !rebuild->accept_rollback
               ? refuse_rollback(ctx, row.name, "the vault has less than was seen of it")
               : hf_success());
    HF_TRY(store_points(ctx, tx, id, state));
    HF_TRY(follow(ctx, tx, &row, state, pass->is_older_vault));
    for (size_t i = 0; i < pass->holes_len; i++) {
        HF_TRY(holes_store(ctx, tx, id, &pass->holes[i]));
    }
    return db_tx_commit(ctx, &tx);
}

/* Gaps are told by no journal: what the vault lacks is seen in it alone. */
static struct hf_status find_holes(struct hf_ctx *ctx, const struct rebuild *rebuild,
                                   const char *prefix, const struct vault_source_state *state,
                                   struct pass *pass)
{
    struct receiver_status status = {.state = RECEIVER_STOPPED};
    struct way way = {.store = rebuild->app->vault, .keyring = rebuild->keyring, .state = state};

    (void)receivers_status(rebuild->app->receivers, vault_source_id(prefix), &status);
    const struct vault_wal_info now = {
        .lineage = status.lineage, .timeline = status.timeline, .durable_lsn = status.durable_lsn};

    pass->holes = HF_NEW_N(ctx->arena, struct holes, state->lineages_len + 1);
    pass->holes_len = 0;
    for (size_t i = 0; i < state->lineages_len; i++) {
        if (!hf_is_name(state->lineages[i].lineage)) {
            continue; /* a lie: no WAL can be there */
        }
        way.place = (struct vault_wal_place){prefix, state->lineages[i].lineage,
                                             state->source.wal_segment_bytes};
        HF_TRY(holes_find(ctx, &way, &now, &pass->holes[pass->holes_len]));
        pass->holes_len++;
    }
    return hf_success();
}

/* What it holds for stored may be in the newer vault alone: it reads anew where it goes on. */
static void restart_receiver(struct receivers *receivers, const char *id, bool is_older_vault)
{
    struct receiver_status status = {.state = RECEIVER_STOPPED};
    bool is_started = receivers_status(receivers, id, &status);

    if (is_started && (is_older_vault || hf_has_prefix(status.reason, "JOURNAL_"))) {
        receivers_stop(receivers, id);
        receivers_start_later(receivers);
    }
}

/* A damaged row pins nothing. */
static const struct cluster_row *find_pinned(const struct rebuild *rebuild, const char *id)
{
    for (size_t i = 0; i < rebuild->known_len; i++) {
        const struct cluster_row *row = &rebuild->known[i];

        if (hf_text_equal(row->id, id)) {
            return row->damage == NULL && row->journal_hash.len == VAULT_HASH_LEN ? row : NULL;
        }
    }
    return NULL;
}

/* With what was seen of it before: an older copy, or one that went another way, is no vault to
 * follow unasked. */
static struct hf_status read_journal(struct hf_ctx *ctx, const struct rebuild *rebuild,
                                     const char *prefix, struct vault_source_state *state,
                                     struct pass *pass)
{
    const struct cluster_row *row = find_pinned(rebuild, vault_source_id(prefix));
    struct objstore *vault = rebuild->app->vault;
    struct hf_status status = vault_journal_read(ctx, vault, rebuild->keyring, prefix,
                                                 row == NULL ? 0 : row->journal_head,
                                                 row == NULL ? NULL : row->journal_hash.ptr, state);

    if (hf_is_ok(status) || status.info == NULL ||
        !hf_text_equal(status.info->reason, "JOURNAL_ROLLBACK")) {
        return status;
    }
    if (!rebuild->accept_rollback) {
        return row == NULL ? status : refuse_rollback(ctx, row->name, status.message);
    }
    pass->is_older_vault = true;
    *state = (struct vault_source_state){0};
    return vault_journal_read(ctx, vault, rebuild->keyring, prefix, 0, NULL, state);
}

static struct hf_status rebuild_source(struct hf_ctx *ctx, struct rebuild *rebuild,
                                       const char *prefix)
{
    const char *id = vault_source_id(prefix);
    struct pass pass = {.is_old = true};

    while (pass.is_old) {
        struct vault_source_state state = {0};

        HF_TRY(read_journal(ctx, rebuild, prefix, &state, &pass));
        HF_TRY(find_holes(ctx, rebuild, prefix, &state, &pass));
        HF_TRY(store_source(ctx, rebuild, id, &state, &pass));
        pass.last_head = state.head;
    }
    restart_receiver(rebuild->app->receivers, id, pass.is_older_vault);
    return hf_success();
}

/* In an arena of its own: what one source's journal takes is given back. */
static struct hf_status rebuild_one(struct hf_ctx *ctx, struct rebuild *rebuild, const char *prefix)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(SOURCE_ARENA);
    struct hf_ctx own = *ctx;

    own.arena = arena;
    struct hf_status status = rebuild_source(&own, rebuild, prefix);

    if (hf_is_ok(status)) {
        status = hf_arena_check(arena);
    }
    return hf_wrap(ctx->arena, hf_status_copy(ctx->arena, status), "source %s",
                   vault_source_id(prefix));
}

static bool is_listed(const char *id, const char *const *prefixes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (hf_text_equal(vault_source_id(prefixes[i]), id)) {
            return true;
        }
    }
    return false;
}

/* Read before the vault is listed: what comes meanwhile is not missing. */
static struct hf_status load_known(struct hf_ctx *ctx, struct rebuild *rebuild)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, rebuild->app->db, rebuild->run->job.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(
        clusters_list(ctx, tx, "", CLUSTERS_PER_TENANT_MAX, &rebuild->known, &rebuild->known_len));
    return db_tx_commit(ctx, &tx);
}

/* A source of which the vault shows nothing at all is no older one: there is nothing to follow. */
static struct hf_status check_listed(struct hf_ctx *ctx, const struct rebuild *rebuild,
                                     const char *const *prefixes, size_t len)
{
    for (size_t i = 0; i < rebuild->known_len; i++) {
        const struct cluster_row *row = &rebuild->known[i];
        const char *const metadata[] = {"cluster", row->name, NULL};

        if (row->journal_head == 0 || is_listed(row->id, prefixes, len)) {
            continue;
        }
        return hf_fail_info(ctx->arena, HF_DATA_LOSS, "JOURNAL_ROLLBACK", metadata,
                            "the vault has nothing of cluster %s, whose backups the catalogue "
                            "knows; put tenants/%s/sources/%s/ back from a copy of the vault; when "
                            "there is none, remove the cluster and add it again",
                            row->name, rebuild->tenant, row->id);
    }
    return hf_success();
}

struct hf_status work_rebuild(struct hf_ctx *ctx, struct jobs_run *run)
{
    struct rebuild rebuild = {.run = run,
                              .app = run->app,
                              .accept_rollback =
                                  args_decode(ctx->arena, run->job.args).accept_rollback};
    const char **prefixes = NULL;
    size_t len = 0;

    HF_TRY(auth_tenant_name(ctx, rebuild.app->db, run->job.tenant_id, &rebuild.tenant));
    HF_TRY(
        realms_get(ctx, rebuild.app->realms, run->job.tenant_id, rebuild.tenant, &rebuild.keyring));
    HF_TRY(load_known(ctx, &rebuild));
    HF_TRY(vault_sources_list(ctx, rebuild.app->vault, rebuild.tenant, &prefixes, &len));
    /* One source that cannot be read keeps no other from coming back. */
    struct hf_status first = hf_success();

    for (size_t i = 0; i < len; i++) {
        HF_TRY(jobs_progress(ctx, run, "reading journals", (int64_t)i, (int64_t)len));
        if (vault_source_id(prefixes[i]) == NULL) {
            continue;
        }
        struct hf_status status = rebuild_one(ctx, &rebuild, prefixes[i]);

        HF_TRY(hf_ctx_check(ctx));
        if (!hf_is_ok(status) && hf_is_ok(first)) {
            first = status;
        }
    }
    return hf_is_ok(first) ? check_listed(ctx, &rebuild, prefixes, len) : first;
}

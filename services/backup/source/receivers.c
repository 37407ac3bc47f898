/* Who receives WAL for whom. An entry is counted while somebody waits on it, so that removing a
 * cluster cannot free a receiver under a backup that waits for WAL. */
#include "backup/source/receivers.h"

#include <string.h>

#include "backup/source/holes.h"
#include "backup/source/lineage.h"
#include "backup/source/realms.h"
#include "backup/source/source.h"
#include "backup/store/clusters.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/pool.h"

#define RETRY_MS 5000
#define RETRY_MAX_MS 40000 /* a damaged row stays so until somebody mends it */
#define RETRY_US (INT64_C(60) * HF_US_PER_S)
#define RETRY_ARENA ((size_t)256 << 20)
#define STARTS_MAX 8 /* tries of a start that a stop overtook */

struct entry {
    struct receiver *receiver;
    struct receivers *owner;
    char *tenant_id;
    char *tenant; /* name */
    char *cluster_id;
    char *prefix;  /* in the vault */
    char *cluster; /* name */
    size_t users;

    struct hf_lock journal_lock; /* guards head and hash: the newest entry that was seen here */
    uint64_t head;
    uint8_t hash[VAULT_HASH_LEN];
};

struct receivers {
    struct hf_lock entries_lock;
    struct hf_map *entries;   /* cluster id → struct entry */
    struct hf_map *unstarted; /* cluster id → struct receiver_status: why it has none */
    uint64_t stops; /* of any cluster: a row that was read before one may be of before it */
    bool is_behind; /* a cluster may have no receiver */

    struct backup_app *app;
    struct hf_cancel stop;
    struct hf_thread *retry; /* starts what could not be started; NULL before start_all */
};

struct receivers *receivers_new(struct backup_app *app)
{
    struct receivers *receivers = hf_heap_alloc(sizeof(*receivers));

    hf_lock_init(&receivers->entries_lock);
    receivers->entries = hf_map_new();
    receivers->unstarted = hf_map_new();
    receivers->app = app;
    return receivers;
}

static void entry_free(struct entry *entry)
{
    receiver_free(entry->receiver);
    hf_lock_done(&entry->journal_lock);
    hf_heap_free(entry->tenant);
    hf_heap_free(entry->tenant_id);
    hf_heap_free(entry->cluster_id);
    hf_heap_free(entry->prefix);
    hf_heap_free(entry->cluster);
    hf_heap_free(entry);
}

static bool stop_entry(const char *key, void *value, void *arg)
{
    struct entry *entry = value;

    (void)key;
    (void)arg;
    receiver_stop(entry->receiver);
    return true;
}

static bool free_entry(const char *key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    entry_free(value);
    return true;
}

static bool free_unstarted(const char *key, void *value, void *arg)
{
    (void)key;
    (void)arg;
    hf_heap_free(value);
    return true;
}

void receivers_free(struct receivers *receivers)
{
    if (receivers == NULL) {
        return;
    }
    atomic_store(&receivers->stop.is_set, true);
    hf_lock_take(&receivers->entries_lock);
    hf_lock_wake(&receivers->entries_lock);
    hf_lock_release(&receivers->entries_lock);
    hf_thread_join(receivers->retry);
    hf_map_each(receivers->entries, stop_entry, NULL); /* all at once, then wait for each */
    hf_map_each(receivers->entries, free_entry, NULL);
    hf_map_free(receivers->entries);
    hf_map_each(receivers->unstarted, free_unstarted, NULL);
    hf_map_free(receivers->unstarted);
    hf_lock_done(&receivers->entries_lock);
    hf_heap_free(receivers);
}

/* --- hooks, on the receiver's thread -------------------------------------------------------- */

static void note_journal(struct entry *entry, const struct vault_source_state *state)
{
    hf_lock_take(&entry->journal_lock);
    entry->head = state->head;
    memcpy(entry->hash, state->head_hash, VAULT_HASH_LEN);
    hf_lock_release(&entry->journal_lock);
}

/* The newest entry that was seen, by its name and hash, then the keys: these are written again when
 * they are gone, which must not begin anew what was moved away as a whole. PostgreSQL is not asked,
 * so that receivers go on without it; what a rebuild follows it tells by a new receiver. */
static struct hf_status on_vault(struct hf_ctx *ctx, void *arg)
{
    struct entry *entry = arg;
    struct backup_app *app = entry->owner->app;
    uint8_t hash[VAULT_HASH_LEN];

    hf_lock_take(&entry->journal_lock);
    uint64_t head = entry->head;

    memcpy(hash, entry->hash, VAULT_HASH_LEN);
    hf_lock_release(&entry->journal_lock);
    HF_TRY(hf_wrap(ctx->arena, vault_journal_check(ctx, app->vault, entry->prefix, head, hash),
                   "reading the journal of cluster %s", entry->cluster));
    return realms_keep(ctx, app->realms, entry->tenant);
}

static struct hf_status on_gap(struct hf_ctx *ctx, void *arg, const char *lineage,
                               const struct vault_wal_range *gap)
{
    struct entry *entry = arg;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    struct cluster_row row;
    const struct gap_row found = {gap->timeline, gap->from, gap->to};

    hf_warn(ctx, HF_EVENT("wal.gap"), HF_TEXT("cluster", entry->cluster_id),
            HF_INT("from_lsn", gap->from), HF_INT("to_lsn", gap->to));
    HF_TRY(db_tx_begin(ctx, entry->owner->app->db, entry->tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(clusters_get_id(ctx, tx, entry->cluster_id, &row));
    row.lineage = lineage;
    HF_TRY(gaps_insert(ctx, tx, &row, &found));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status on_lineage(struct hf_ctx *ctx, void *arg, const struct receiver_fork *fork,
                                   const char **ret_lineage)
{
    struct entry *entry = arg;
    struct source source;
    struct vault_source_state state;
    const char *lineage = NULL;

    HF_TRY(source_load(ctx, entry->owner->app, entry->tenant_id, entry->cluster_id, &source));
    HF_TRY(source_journal(ctx, &source, &state));
    HF_TRY(lineage_begin(ctx, &source, &state, fork, &lineage));

    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_tx_begin(ctx, source.app->db, source.tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(clusters_set_lineage(ctx, tx, source.row.id, lineage, source.row.system_identifier));
    HF_TRY(db_tx_commit(ctx, &tx));
    note_journal(entry, &state);
    *ret_lineage = lineage;
    return hf_success();
}

static struct hf_status on_inventory(struct hf_ctx *ctx, void *arg,
                                     const struct vault_wal_info *wal)
{
    struct entry *entry = arg;
    struct source source;
    struct vault_source_state state;

    HF_TRY(source_load(ctx, entry->owner->app, entry->tenant_id, entry->cluster_id, &source));
    HF_TRY(source_journal(ctx, &source, &state));
    struct vault_entry inventory = {
        .kind = VAULT_ENTRY_WAL,
        .time_us = hf_now_us(),
        .attempt_id = hf_printf(ctx->arena, "wal/%s/%08x/%016llx", wal->lineage, wal->timeline,
                                (unsigned long long)wal->durable_lsn),
        .u.wal = *wal,
    };
    HF_TRY(source_append(ctx, &source, &state, &inventory));
    note_journal(entry, &state);
    return hf_success();
}

static struct hf_status on_stored(struct hf_ctx *ctx, void *arg, const struct vault_wal_info *wal,
                                  bool *ret_is_at_end)
{
    struct entry *entry = arg;
    struct source source;

    HF_TRY(source_load(ctx, entry->owner->app, entry->tenant_id, entry->cluster_id, &source));
    return holes_record(ctx, &source, wal, ret_is_at_end);
}

static struct hf_status on_look(struct hf_ctx *ctx, void *arg, const struct pgwire_source *source)
{
    struct entry *entry = arg;
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;
    const struct cluster_row row = {
        .id = entry->cluster_id,
        .warnings = source_warnings(ctx->arena, source),
        .is_slot_unbounded = source_is_unbounded(source),
    };

    HF_TRY(db_tx_begin(ctx, entry->owner->app->db, entry->tenant_id, DB_READ_COMMITTED, &tx));
    HF_TRY(clusters_set_warnings(ctx, tx, &row));
    return db_tx_commit(ctx, &tx);
}

/* --- start, stop ---------------------------------------------------------------------------- */

/* An entry without its receiver yet, and what that is to be told; texts in the arena. */
static struct hf_status make_entry(struct hf_ctx *ctx, struct receivers *receivers,
                                   const char *tenant_id, const char *cluster_id,
                                   struct receiver_options *ret_options, struct entry **ret_entry)
{
    struct source source;
    struct vault_source_state state;
    struct source_login login;

    HF_TRY(source_load(ctx, receivers->app, tenant_id, cluster_id, &source));
    HF_TRY(source_login_open(ctx, &source, &login));
    HF_TRY(
        source_journal(ctx, &source, &state)); /* so that the vault explains itself from now on */

    struct entry *entry = hf_heap_alloc(sizeof(*entry));
    entry->owner = receivers;
    hf_lock_init(&entry->journal_lock);
    entry->tenant_id = hf_heap_strdup(tenant_id);
    entry->tenant = hf_heap_strdup(source.tenant);
    entry->cluster_id = hf_heap_strdup(cluster_id);
    entry->prefix = hf_heap_strdup(source.prefix);
    entry->cluster = hf_heap_strdup(source.row.name);
    note_journal(entry, &state);
    *ret_options = (struct receiver_options){
        .cluster = source.row.name,
        .dsn = source.row.dsn,
        .password = login.password,
        .access = login.access,
        .slot = source.row.slot,
        .system_identifier = source.row.system_identifier,
        .store = receivers->app->vault,
        .keyring = source.keyring,
        .prefix = source.prefix,
        .lineage = source.row.lineage,
        .timeline = source_streamed(&state, source.row.lineage, NULL),
        .segment_bytes = source.row.segment_bytes,
        .hooks = {entry, on_gap, on_lineage, on_inventory, on_vault, on_stored, on_look},
    };
    *ret_entry = entry;
    return hf_success();
}

/* Why a cluster has no receiver is told in the place of its status. */
static void note_unstarted(struct receivers *receivers, const char *cluster_id,
                           struct hf_status status)
{
    struct receiver_status *told = hf_heap_alloc(sizeof(*told));
    bool is_for_person = status.code == HF_FAILED_PRECONDITION || status.code == HF_DATA_LOSS;

    receiver_status_fail(told, is_for_person ? RECEIVER_STALLED : RECEIVER_WAITING, status);
    hf_lock_take(&receivers->entries_lock);
    hf_heap_free(hf_map_put(receivers->unstarted, cluster_id, told));
    hf_lock_release(&receivers->entries_lock);
}

static uint64_t stops_now(struct receivers *receivers, const char *cluster_id, bool *ret_is_there)
{
    hf_lock_take(&receivers->entries_lock);
    uint64_t stops = receivers->stops;

    *ret_is_there = hf_map_get(receivers->entries, cluster_id) != NULL;
    hf_lock_release(&receivers->entries_lock);
    return stops;
}

/* Not current: somebody stopped a receiver meanwhile, and the entry was made of what was before: of
 * a cluster that is removed now, or reached otherwise. Thus the receiver starts here and not
 * before: it would make the slot on the source again. */
static struct hf_status put_entry(struct hf_ctx *ctx, struct receivers *receivers,
                                  struct entry *entry, const struct receiver_options *options,
                                  uint64_t stops, bool *ret_is_current)
{
    hf_lock_take(&receivers->entries_lock);
    bool is_current = receivers->stops == stops;
    bool is_first = is_current && hf_map_get(receivers->entries, entry->cluster_id) == NULL;

    if (is_first) {
        entry->receiver = receiver_start(options);
    }
    bool is_started = entry->receiver != NULL;

    if (is_started) {
        (void)hf_map_put(receivers->entries, entry->cluster_id, entry);
        hf_heap_free(hf_map_remove(receivers->unstarted, entry->cluster_id));
    }
    hf_lock_release(&receivers->entries_lock);
    if (!is_started) {
        entry_free(entry);
    }
    *ret_is_current = is_current;
    return is_first && !is_started ? hf_thread_refused(ctx->arena) : hf_success();
}

static struct hf_status start(struct hf_ctx *ctx, struct receivers *receivers,
                              const char *tenant_id, const char *cluster_id)
{
    for (int tries = 0; tries < STARTS_MAX; tries++) {
        struct receiver_options options;
        struct entry *entry = NULL;
        bool is_there = false;
        bool is_current = false;
        uint64_t stops = stops_now(receivers, cluster_id, &is_there);

        if (is_there) {
            return hf_success();
        }
        HF_TRY(make_entry(ctx, receivers, tenant_id, cluster_id, &options, &entry));
        HF_TRY(put_entry(ctx, receivers, entry, &options, stops, &is_current));
        if (is_current) {
            return hf_success();
        }
    }
    return hf_fail(ctx->arena, HF_UNAVAILABLE, "clusters change too fast to start a receiver");
}

struct hf_status receivers_start(struct hf_ctx *ctx, struct receivers *receivers,
                                 const char *tenant_id, const char *cluster_id)
{
    struct hf_status status = start(ctx, receivers, tenant_id, cluster_id);

    if (!hf_is_ok(status)) {
        note_unstarted(receivers, cluster_id, status);
    }
    return status;
}

static struct hf_status load_refs(struct hf_ctx *ctx, struct receivers *receivers,
                                  struct cluster_ref **ret_refs, size_t *ret_len)
{
    HF_CLEANUP(db_tx_abort) struct db_tx *tx = NULL;

    HF_TRY(db_system_begin(ctx, receivers->app->dispatch_db, &tx));
    HF_TRY(clusters_refs(ctx, tx, ret_refs, ret_len));
    return db_tx_commit(ctx, &tx);
}

static struct hf_status start_each(struct hf_ctx *ctx, struct receivers *receivers,
                                   size_t *ret_failed)
{
    struct cluster_ref *refs = NULL;
    size_t len = 0;

    *ret_failed = 1;
    HF_TRY(load_refs(ctx, receivers, &refs, &len));
    *ret_failed = 0;
    for (size_t i = 0; i < len; i++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(RETRY_ARENA);
        struct hf_ctx own = *ctx;

        own.arena = arena; /* one that needs more than it may have takes none from the others */
        struct hf_status status =
            receivers_start(&own, receivers, refs[i].tenant_id, refs[i].cluster_id);

        if (!hf_is_ok(status)) { /* one broken source must not keep the others unprotected */
            hf_error(ctx, HF_EVENT("receiver.not_started"), HF_TEXT("cluster", refs[i].cluster_id),
                     HF_TEXT("error", status.message));
            (*ret_failed)++;
        }
    }
    return hf_success();
}

/* Until somebody is behind; false: the process ends. */
static bool await_behind(struct receivers *receivers)
{
    hf_lock_take(&receivers->entries_lock);
    while (!receivers->is_behind && !atomic_load(&receivers->stop.is_set)) {
        (void)hf_lock_wait(&receivers->entries_lock, 1000);
    }
    receivers->is_behind = false;
    hf_lock_release(&receivers->entries_lock);
    return !atomic_load(&receivers->stop.is_set);
}

static bool start_rest(struct receivers *receivers, int pause_ms)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(RETRY_ARENA);
    struct hf_ctx ctx = {.arena = arena, .stop = &receivers->stop};
    size_t failed = 0;

    if (!hf_is_ok(hf_ctx_sleep(&ctx, pause_ms))) {
        return true;
    }
    ctx.deadline_us = hf_mono_us() + RETRY_US;
    struct hf_status status = start_each(&ctx, receivers, &failed);
    (void)status; /* then failed says so */
    return failed == 0;
}

/* What kept a receiver from starting (the vault, the database) may pass; its source's WAL does not
 * wait for the next start of this process. */
static void retry_main(void *arg)
{
    struct receivers *receivers = arg;

    while (await_behind(receivers)) {
        int pause_ms = RETRY_MS;

        while (!start_rest(receivers, pause_ms)) {
            pause_ms = pause_ms < RETRY_MAX_MS ? pause_ms * 2 : RETRY_MAX_MS;
        }
    }
}

void receivers_start_later(struct receivers *receivers)
{
    hf_lock_take(&receivers->entries_lock);
    receivers->is_behind = true;
    hf_lock_wake(&receivers->entries_lock);
    hf_lock_release(&receivers->entries_lock);
}

struct hf_status receivers_start_all(struct hf_ctx *ctx, struct receivers *receivers)
{
    size_t failed = 0;

    /* Before the receivers take what there is. */
    receivers->retry = hf_thread_start("wal-retry", retry_main, receivers);
    HF_TRY(start_each(ctx, receivers, &failed));
    if (failed > 0) {
        receivers_start_later(receivers);
    }
    return hf_success();
}

void receivers_stop(struct receivers *receivers, const char *cluster_id)
{
    hf_lock_take(&receivers->entries_lock);
    struct entry *entry = hf_map_remove(receivers->entries, cluster_id);

    hf_heap_free(hf_map_remove(receivers->unstarted, cluster_id));
    receivers->stops++;
    if (entry != NULL) {
        receiver_stop(entry->receiver); /* wakes whoever waits on it */
        while (entry->users > 0) {
            (void)hf_lock_wait(&receivers->entries_lock, 200);
        }
    }
    hf_lock_release(&receivers->entries_lock);
    if (entry != NULL) {
        entry_free(entry);
    }
}

static struct entry *use_entry(struct receivers *receivers, const char *cluster_id)
{
    hf_lock_take(&receivers->entries_lock);
    struct entry *entry = hf_map_get(receivers->entries, cluster_id);

    if (entry != NULL) {
        entry->users++;
    }
    hf_lock_release(&receivers->entries_lock);
    return entry;
}

static void release_entry(struct receivers *receivers, struct entry *entry)
{
    hf_lock_take(&receivers->entries_lock);
    entry->users--;
    hf_lock_wake(&receivers->entries_lock);
    hf_lock_release(&receivers->entries_lock);
}

static void unstarted_get(struct receivers *receivers, const char *cluster_id,
                          struct receiver_status *ret_status)
{
    hf_lock_take(&receivers->entries_lock);
    const struct receiver_status *told = hf_map_get(receivers->unstarted, cluster_id);

    if (told != NULL) {
        *ret_status = *told;
    }
    hf_lock_release(&receivers->entries_lock);
}

bool receivers_status(struct receivers *receivers, const char *cluster_id,
                      struct receiver_status *ret_status)
{
    struct entry *entry = use_entry(receivers, cluster_id);

    if (entry == NULL) {
        unstarted_get(receivers, cluster_id, ret_status);
        return false;
    }
    receiver_status_get(entry->receiver, ret_status);
    release_entry(receivers, entry);
    return true;
}

struct visit {
    void (*fn)(const char *tenant_id, const char *cluster, const struct receiver_status *status,
               void *arg);
    void *arg;
};

static bool visit_entry(const char *key, void *value, void *arg)
{
    struct entry *entry = value;
    struct visit *visit = arg;
    struct receiver_status status;

    (void)key;
    receiver_status_get(entry->receiver, &status);
    visit->fn(entry->tenant_id, entry->cluster, &status, visit->arg);
    return true;
}

void receivers_each(struct receivers *receivers,
                    void (*fn)(const char *tenant_id, const char *cluster,
                               const struct receiver_status *status, void *arg),
                    void *arg)
{
    struct visit visit = {fn, arg};

    hf_lock_take(&receivers->entries_lock);
    hf_map_each(receivers->entries, visit_entry, &visit);
    hf_lock_release(&receivers->entries_lock);
}

struct hf_status receivers_wait_lsn(struct hf_ctx *ctx, struct receivers *receivers,
                                    const char *cluster_id, uint32_t timeline, uint64_t lsn)
{
    struct entry *entry = use_entry(receivers, cluster_id);

    if (entry == NULL) {
        return hf_fail(ctx->arena, HF_UNAVAILABLE, "no WAL receiver runs for this cluster");
    }
    struct hf_status status = receiver_wait_lsn(ctx, entry->receiver, timeline, lsn);

    release_entry(receivers, entry);
    return status;
}

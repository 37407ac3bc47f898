/* The receiver on a real PostgreSQL, its vault in a directory. */
#include "receiver_scene.h"

static struct hf_status on_gap(struct hf_ctx *ctx, void *arg, const char *lineage,
                               const struct vault_wal_range *gap)
{
    struct scene *scene = arg;

    (void)ctx;
    assert_string_equal(lineage, "l1");
    assert_true(gap->to > gap->from);
    atomic_fetch_add(&scene->gaps, 1);
    return hf_success();
}

static struct hf_status on_lineage(struct hf_ctx *ctx, void *arg, const struct receiver_fork *fork,
                                   const char **ret_lineage)
{
    struct scene *scene = arg;

    (void)ctx;
    assert_string_equal(fork->lineage, "l1");
    atomic_fetch_add(&scene->forks, 1);
    *ret_lineage = "l2";
    return hf_success();
}

static struct hf_status on_inventory(struct hf_ctx *ctx, void *arg,
                                     const struct vault_wal_info *wal)
{
    struct scene *scene = arg;

    assert_true(wal->durable_lsn > 0 && wal->timeline > 0);
    atomic_fetch_add(&scene->inventories, 1);
    return atomic_load(&scene->is_vault_lost) ? hf_fail_info(ctx->arena, HF_FAILED_PRECONDITION,
                                                             "KEYS_REPLACED", NULL, "other keys")
                                              : hf_success();
}

static struct hf_status on_vault(struct hf_ctx *ctx, void *arg)
{
    struct scene *scene = arg;

    return atomic_load(&scene->is_journal_gone)
               ? hf_fail_info(ctx->arena, HF_DATA_LOSS, "JOURNAL_ROLLBACK", NULL, "no journal")
               : hf_success();
}

static struct hf_status on_stored(struct hf_ctx *ctx, void *arg, const struct vault_wal_info *wal,
                                  bool *ret_is_at_end)
{
    struct scene *scene = arg;

    (void)ctx;
    (void)wal;
    (void)ret_is_at_end;
    atomic_fetch_add(&scene->stored, 1);
    return hf_success();
}

static struct hf_status on_look(struct hf_ctx *ctx, void *arg, const struct pgwire_source *source)
{
    struct scene *scene = arg;

    (void)ctx;
    atomic_store(&scene->keep_mb, (int)source->max_slot_wal_keep_mb);
    return hf_success();
}

void scene_receive(struct scene *scene)
{
    struct receiver_options options = {
        .cluster = "orders",
        .dsn = scene->dsn,
        .access = {.egress = scene->egress, .is_operator = true},
        .slot = "holdfast_orders",
        .system_identifier = scene->system_identifier,
        .store = scene->f->store,
        .keyring = scene->f->keyring,
        .prefix = FIXTURE_SOURCE,
        .lineage = scene->lineage,
        .segment_bytes = SEGMENT,
        .inventory_us = HF_US_PER_S / 2,
        .look_us = HF_US_PER_S / 2,
        .vault_us = HF_US_PER_S / 2,
        .hooks = {scene, on_gap, on_lineage, on_inventory, on_vault, on_stored, on_look},
    };

    scene->receiver = receiver_start(&options);
}

int scene_setup(void **state)
{
    static const char *const settings[] = {"max_wal_size = 64MB", "min_wal_size = 32MB",
                                           "wal_keep_size = 0", NULL};
    struct scene *scene = hf_heap_alloc(sizeof(*scene));
    void *fixture = NULL;

    assert_int_equal(fixture_setup(&fixture), 0);
    scene->f = fixture;
    assert_int_equal(
        egress_new(&scene->f->ctx, &(struct egress_options){.prefix = "sources"}, &scene->egress)
            .code,
        HF_OK);
    scene->server = pgserver_new(&(struct pgserver_options){.settings = settings});
    scene->dsn = pgserver_dsn(scene->server);
    scene->lineage = "l1";
    scene->system_identifier =
        hf_strdup(scene->f->ctx.arena,
                  pgserver_sql(scene->server, "SELECT system_identifier FROM pg_control_system()"));
    *state = scene;
    return 0;
}

int scene_teardown(void **state)
{
    struct scene *scene = *state;
    void *fixture = scene->f;

    receiver_free(scene->receiver);
    egress_free(scene->egress);
    pgserver_free(scene->server);
    fixture_teardown(&fixture);
    hf_heap_free(scene);
    return 0;
}

struct hf_ctx within(const struct scene *scene, int seconds)
{
    struct hf_ctx ctx = scene->f->ctx;

    ctx.deadline_us = hf_mono_us() + seconds * HF_US_PER_S;
    return ctx;
}

struct receiver_status status_of(const struct scene *scene)
{
    struct receiver_status status;

    receiver_status_get(scene->receiver, &status);
    return status;
}

void await_state(const struct scene *scene, enum receiver_state state)
{
    struct hf_ctx ctx = within(scene, 30);

    while (status_of(scene).state != state) {
        if (!hf_is_ok(hf_ctx_sleep(&ctx, 20))) {
            fail_msg("receiver is in state %d: %s", (int)status_of(scene).state,
                     status_of(scene).error);
        }
    }
}

uint64_t parse_lsn(const char *text)
{
    char *slash = NULL;
    uint64_t high = strtoull(text, &slash, 16);

    assert_int_equal(*slash, '/');
    return high << 32 | strtoull(slash + 1, NULL, 16);
}

uint64_t current_lsn(struct pgserver *server)
{
    return parse_lsn(pgserver_sql(server, "SELECT pg_current_wal_flush_lsn()"));
}

void await_lsn(const struct scene *scene, uint32_t timeline, uint64_t lsn)
{
    struct hf_ctx ctx = within(scene, 30);

    assert_ok(receiver_wait_lsn(&ctx, scene->receiver, timeline, lsn));
}

struct vault_wal_place place_of(const struct scene *scene, const char *lineage)
{
    (void)scene;
    return (struct vault_wal_place){FIXTURE_SOURCE, lineage, SEGMENT};
}

void write_segments(struct pgserver *server, int count)
{
    for (int i = 0; i < count; i++) {
        pgserver_sql(server, "CREATE TABLE junk AS SELECT 1");
        pgserver_sql(server, "DROP TABLE junk");
        pgserver_sql(server, "SELECT pg_switch_wal()");
    }
    pgserver_sql(server, "CHECKPOINT");
}

/* Whoever holds the vault's key and lies, against every reader of a point and of the journal:
 * nothing aborts, each call ends within a budget of time and the process within one of memory, and
 * what is refused says which object it was.
 *
 * HOLDFAST_HOSTILE_ROUNDS and HOLDFAST_HOSTILE_SEED ask for more, and for others. */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/hash.h"
#include "tests/unit/libs/vault/keyed.h"
#include "vault/extract.h"

#define ROUNDS (HF_HAS_ASAN ? 40 : 150)

/* --- readers of a point ----------------------------------------------------------------------- */

struct sink {
    int dir;
    uint64_t bytes;
};

static struct hf_status sink_dir(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs)
{
    const struct sink *sink = arg;

    for (size_t i = 1; i <= strlen(attrs->path); i++) { /* they come in no order */
        if (attrs->path[i] == '/' || attrs->path[i] == '\0') {
            (void)mkdirat(sink->dir, hf_strndup(ctx->arena, attrs->path, i), 0700);
        }
    }
    return hf_success();
}

static struct hf_status sink_link(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs)
{
    (void)ctx;
    (void)arg;
    (void)attrs;
    return hf_success();
}

/* The root counts the bytes; a restore takes no more than these either. */
static struct hf_status sink_file(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs,
                                  struct vault_extract_file *ret_file)
{
    struct sink *sink = arg;

    sink->bytes += attrs->size_bytes;
    if (attrs->size_bytes > (1u << 28) || sink->bytes > (1u << 28)) {
        return hf_fail(ctx->arena, HF_DATA_LOSS, "%s is larger than all that was stored",
                       attrs->path);
    }
    *ret_file = (struct vault_extract_file){.action = VAULT_EXTRACT_CREATE,
                                            .dir = sink->dir,
                                            .path = hf_strdup(ctx->arena, attrs->path)};
    return hf_success();
}

static struct hf_status extract(struct hf_ctx *ctx, const struct vault_place *place,
                                const struct vault_root *root, const char *dir)
{
    struct sink sink = {.dir = -1};
    const struct vault_extract_sink calls = {&sink, sink_dir, sink_link, sink_file, NULL};
    const struct vault_extract_options options = {
        .place = *place, .root = root, .sink = &calls, .threads = 2};
    struct hf_status status;

    assert_int_equal(mkdir(dir, 0700), 0);
    sink.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(sink.dir >= 0);
    status = vault_extract(ctx, &options);
    (void)close(sink.dir);
    assert_ok(hf_remove_tree(ctx->arena, dir));
    return status;
}

/* A backup on top of it: overlays, pack tables and the digest cache of the liar's point. */
static struct hf_status back_up(struct hf_ctx *ctx, struct keyed *k, const struct vault_root *root)
{
    struct vault_session *session = NULL;
    const char *id = hf_printf(ctx->arena, "n%s", root->info.id);
    const struct vault_session_options options = {
        .place = source_place(k->f),
        .predecessor = root,
        .backup_id = id,
        .cache_path = hf_printf(ctx->arena, "%s/%s.cache", k->f->dir, id),
        .threads = 2,
        .next_pack_number = 1 + (root->next_pack < 1000 ? root->next_pack : 1000),
    };
    struct hf_status status = vault_session_begin(ctx, &options, &session);

    if (hf_is_ok(status)) {
        status = source_feed(&k->s, session);
    }
    if (hf_is_ok(status)) {
        status = source_finish(&k->s, session);
    }
    if (session != NULL) {
        vault_session_free(session);
    }
    (void)unlink(options.cache_path);
    return status;
}

/* Everything that reads a point. ret_verified: and verify found nothing wrong. */
static struct hf_status read_point(struct keyed *k, const struct vault_point_info *point,
                                   bool *ret_verified)
{
    struct hf_ctx ctx = k->f->ctx;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)512 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf one = {0};
    const struct vault_place place = source_place(k->f);
    const struct vault_verify_options verify = {.place = place, .point = point, .threads = 2};
    struct vault_verify_report report = {0};
    struct vault_root root;
    size_t *indexes = NULL;
    size_t len = 0;
    struct keyed_call call = keyed_begin("verify");

    ctx.arena = arena;
    struct hf_status status = vault_verify(&ctx, &verify, &report);

    keyed_end(call, status);
    *ret_verified = hf_is_ok(status) && report.findings_total == 0;
    for (size_t i = 0; hf_is_ok(status) && i < report.findings_len; i++) {
        assert_true(report.findings[i].object[0] != '\0' && report.findings[i].what[0] != '\0');
    }
    call = keyed_begin("points using");
    keyed_end(call, vault_points_using(&ctx, &place, point, 1, point->root, &indexes, &len));
    call = keyed_begin("root");
    status = vault_root_open(&ctx, &place, point->root, point->root_sha256, &root);
    keyed_end(call, status);
    if (!hf_is_ok(status)) {
        return hf_status_copy(k->f->ctx.arena, status);
    }
    call = keyed_begin("extract one");
    hf_buf_init(&one, 1 << 20);
    keyed_end(call, vault_extract_one(&ctx, &place, &root, "PG_VERSION", &one));
    call = keyed_begin("digests");
    keyed_end(call, vault_digests_rebuild(&ctx, &place, &root,
                                          hf_printf(arena, "%s/rebuilt", k->f->dir)));
    call = keyed_begin("backup on top");
    keyed_end(call, back_up(&ctx, k, &root));
    call = keyed_begin("extract");
    status = extract(&ctx, &place, &root, hf_printf(arena, "%s/out", k->f->dir));
    keyed_end(call, status);
    return hf_status_copy(k->f->ctx.arena, status);
}

static void test_keyed__lies_about_points_are_refused_or_harmless(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)512 << 20);
    struct hf_arena *kept = f->ctx.arena;
    uint64_t rounds = keyed_setting("HOLDFAST_HOSTILE_ROUNDS", ROUNDS);
    struct keyed k;
    uint64_t refused = 0;

    keyed_init(&k, f);
    for (uint64_t i = 0; i < rounds; i++) {
        bool is_verified = false;

        f->ctx.arena = arena;
        struct vault_root root = keyed_copy(&k, arena);

        for (uint64_t lies = i == 0 ? 0 : 1 + keyed_pick(&k, 2); lies > 0; lies--) {
            keyed_lie(&k, &root);
        }
        struct vault_point_info point = keyed_root(&k, &root);
        struct hf_status status = read_point(&k, &point, &is_verified);

        refused += !hf_is_ok(status) || !is_verified;
        assert_true(i > 0 || refused == 0); /* the first one is honest */
        /* Verification proves bytes: that the liar's files have directories, a restore finds out.
         */
        if (is_verified && status.code == HF_DATA_LOSS &&
            strstr(status.message, "larger than") == NULL &&
            strstr(status.message, "has no directory") == NULL) {
            fail_msg("round %" PRIu64 ": verified, but: %s", i, status.message);
        }
        hf_arena_reset(arena);
        f->ctx.arena = kept;
    }
    print_message("%" PRIu64 " of %" PRIu64 " lying points were refused\n", refused, rounds);
    assert_true(refused > rounds / 3 && refused < rounds);
    source_free(&k.s);
    keyed_memory();
}

/* --- bombs ------------------------------------------------------------------------------------ */

/* Frames that say little, nothing or the truth of the 4 GiB that they are. */
static void test_keyed__four_gigabytes_of_a_frame_stay_in_it(void **state)
{
    static const uint64_t claims[] = {1, VAULT_PAGE, UINT64_C(4) << 30, UINT64_MAX};
    static const enum vault_pack_kind kinds[] = {VAULT_PACK_MAP, VAULT_PACK_TABLE};
    struct fixture *f = *state;
    struct keyed k;

    keyed_init(&k, f);
    for (size_t i = 0; i < HF_LEN(claims) * HF_LEN(kinds); i++) {
        const struct keyed_blob bomb = keyed_bomb(&k, claims[i / 2], 32768, 1u << 22);
        struct vault_root root = keyed_copy(&k, f->ctx.arena);
        struct vault_table_ref *ref = i % 2 == 0 ? &root.map.tables[0] : &root.pack_tables[0];
        bool is_verified = true;

        keyed_put(&k, kinds[i % 2], &bomb, 1, 1, ref);
        struct vault_point_info point = keyed_root(&k, &root);

        keyed_names(read_point(&k, &point, &is_verified), hf_hex(f->ctx.arena, ref->id, 16));
        assert_false(is_verified);
    }
    source_free(&k.s);
    keyed_memory();
}

/* A table of a thousand times as many entries as tables have, in a few hundred kilobytes. */
static void test_keyed__objects_hold_no_more_than_their_kind(void **state)
{
    struct fixture *f = *state;
    struct keyed k;

    keyed_init(&k, f);
    struct keyed_blob full = keyed_bomb(&k, VAULT_BLOB_MAX, VAULT_BLOB_MAX >> 17, VAULT_BLOB_MAX);

    for (int kind = VAULT_PACK_ROOT; kind <= VAULT_PACK_TABLE; kind++) {
        const struct vault_pack_options options = {.kind = (enum vault_pack_kind)kind};
        const char *name = hf_printf(f->ctx.arena, FIXTURE_SOURCE "/roots/bomb%d", kind);
        struct vault_pack pack;

        keyed_put_as(&k, &options, name, &full, 4000);
        struct hf_status status = vault_pack_open(&f->ctx, f->store, f->keyring, name, &pack);

        assert_code(status, HF_DATA_LOSS);
        keyed_names(status, name);
    }
    source_free(&k.s);
    keyed_memory();
}

/* Pack tables that list one pack again and again, in one object and over two. */
static void test_keyed__a_pack_that_is_listed_twice_is_no_whole_backup(void **state)
{
    struct fixture *f = *state;
    struct keyed k;
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};
    const struct vault_pack_ref pack = {.number = 1, .size_bytes = 1};
    bool is_verified = true;

    keyed_init(&k, f);
    hf_buf_init(&buf, 1 << 20);
    vault_packtable_encode(&buf, &pack, 1);
    const struct keyed_blob blob = keyed_raw((struct hf_bytes){buf.ptr, buf.len});
    struct vault_root root = keyed_copy(&k, f->ctx.arena);
    struct vault_table_ref *refs = HF_NEW_N(f->ctx.arena, struct vault_table_ref, 2);

    refs[0] = root.pack_tables[0];
    keyed_put(&k, VAULT_PACK_TABLE, &blob, 1, 1, &refs[1]);
    root.pack_tables = refs;
    root.pack_tables_len = 2;
    struct vault_point_info point = keyed_root(&k, &root);

    keyed_names(read_point(&k, &point, &is_verified), "listed twice");
    assert_false(is_verified);
    source_free(&k.s);
}

/* One that hides behind another path's place in the order could be a second of the same name. */
static void test_keyed__an_entry_under_the_key_of_another_path_is_found(void **state)
{
    struct fixture *f = *state;
    struct keyed k;

    keyed_init(&k, f);
    const struct vault_place place = source_place(f);
    HF_CLEANUP(vault_map_writer_free) struct vault_map_writer *writer = NULL;
    struct vault_map_entry entry = {
        .attrs = {.node = VAULT_NODE_DIR, .mode = 0700, .path = "base"}};
    struct vault_table_ref table;
    struct vault_share share = {0};
    struct vault_shard shard = {.shares = &share, .shares_len = 1};
    struct vault_root root = keyed_copy(&k, f->ctx.arena);
    struct vault_verify_report report = {0};

    memset(entry.key, 0x55, sizeof(entry.key));
    assert_ok(vault_map_writer_new(&f->ctx, &place, &writer));
    assert_ok(vault_map_writer_add(&f->ctx, writer, &entry));
    assert_ok(vault_map_writer_finish(&f->ctx, writer, &table));
    share.bytes = table.plain_bytes;
    root.map = (struct vault_map_set){&table, 1, &shard, 1};
    struct vault_point_info point = keyed_root(&k, &root);
    const struct vault_verify_options verify = {.place = place, .point = &point, .threads = 1};
    bool is_found = false;

    assert_ok(vault_verify(&f->ctx, &verify, &report));
    for (size_t i = 0; i < report.findings_len; i++) {
        is_found = is_found || strstr(report.findings[i].what, "key of another path") != NULL;
    }
    assert_true(is_found);
    source_free(&k.s);
}

/* A share opens a table: a root of few megabytes must not make a walk open millions. */
static void test_keyed__a_map_has_a_bound_of_shares(void **state)
{
    struct fixture *f = *state;
    struct keyed k;

    keyed_init(&k, f);
    struct vault_root root = keyed_copy(&k, f->ctx.arena);
    const size_t shards_len = ((1u << 20) / 2) + 1;
    struct vault_shard *shards = HF_NEW_N(f->ctx.arena, struct vault_shard, shards_len);
    struct vault_share shares[2] = {{.bytes = 1}, {.bytes = 1}};

    for (size_t i = 0; i < shards_len; i++) {
        shards[i] = (struct vault_shard){.shares = shares, .shares_len = 2};
        for (size_t at = 0; at < 4; at++) {
            shards[i].first_key[at] = (uint8_t)(i >> (24 - 8 * at));
        }
    }
    root.map.shards = shards;
    root.map.shards_len = shards_len;
    struct vault_point_info point = keyed_root(&k, &root);
    bool is_verified = true;

    keyed_names(read_point(&k, &point, &is_verified), "more shares");
    assert_false(is_verified);
    source_free(&k.s);
}

/* --- journals --------------------------------------------------------------------------------- */

struct chain {
    struct fixture *f;
    const char *prefix;
    struct vault_source_state state;
};

static struct chain chain_new(struct fixture *f, const char *name)
{
    return (struct chain){.f = f,
                          .prefix = hf_printf(f->ctx.arena, "tenants/acme/sources/%s", name)};
}

static void chain_add(struct chain *chain, struct vault_entry entry)
{
    struct fixture *f = chain->f;
    HF_CLEANUP(hf_buf_done) struct hf_buf bytes = {0};
    uint8_t hash[VAULT_HASH_LEN];

    entry.number = chain->state.head + 1;
    const struct vault_entry_seal seal = {f->keyring,    chain->prefix, &entry,
                                          &chain->state, NULL,          NULL};

    hf_buf_init(&bytes, 64u << 20);
    assert_ok(vault_entry_seal(&f->ctx, &seal, &bytes));
    codec_sha256(bytes.ptr, bytes.len, hash);
    assert_ok(objstore_put(&f->ctx, f->store,
                           vault_entry_name(f->ctx.arena, chain->prefix, entry.number),
                           (struct hf_bytes){bytes.ptr, bytes.len}));
    vault_state_apply(f->ctx.arena, &chain->state, &entry, hash);
}

static struct hf_status chain_read(struct chain *chain, struct vault_source_state *ret_state)
{
    struct keyed_call call = keyed_begin("journal");
    struct hf_status status = vault_journal_read(&chain->f->ctx, chain->f->store, chain->f->keyring,
                                                 chain->prefix, 0, NULL, ret_state);

    keyed_end(call, status);
    return status;
}

static const struct vault_entry entry_source = {
    .kind = VAULT_ENTRY_SOURCE, .u.source = {"orders", "7000000000000000000", 150000, 16u << 20}};

static void test_keyed__a_journal_begins_with_its_source(void **state)
{
    struct chain chain = chain_new(*state, "headless");
    struct vault_source_state read;

    chain_add(&chain, (struct vault_entry){.kind = VAULT_ENTRY_DELETE, .u.deleted_id = "b1"});
    keyed_names(chain_read(&chain, &read), "headless/journal/000000000001");
}

/* No checkpoint for thousands of entries: reading stops, whatever they are. */
static void test_keyed__a_journal_without_checkpoints_has_an_end(void **state)
{
    struct chain chain = chain_new(*state, "endless");
    struct vault_source_state read;

    chain_add(&chain, entry_source);
    for (unsigned i = 0; i < 4200; i++) {
        chain_add(&chain, (struct vault_entry){.kind = VAULT_ENTRY_WAL,
                                               .u.wal = {"l1", i, UINT64_MAX, INT64_MIN}});
    }
    keyed_names(chain_read(&chain, &read), "endless/journal/");
}

/* Times, numbers and texts at their extremes, also in the checkpoint that others go on from. */
static void test_keyed__a_journal_of_extremes_is_read_and_goes_on(void **state)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, INT64_MAX};
    struct fixture *f = *state;
    struct vault_source_state read;
    char *text = hf_alloc(f->ctx.arena, VAULT_TEXT_MAX + 1);

    memset(text, 0x1b, VAULT_TEXT_MAX);
    for (size_t i = 0; i < HF_LEN(times); i++) {
        struct chain chain = chain_new(f, hf_printf(f->ctx.arena, "extreme%zu", i));
        struct vault_entry next = {.kind = VAULT_ENTRY_WAL, .u.wal = {"l1", 1, 1, 1}};

        chain_add(&chain, entry_source);
        chain_add(&chain, (struct vault_entry){.kind = VAULT_ENTRY_BACKUP,
                                               .time_us = times[i],
                                               .fence = UINT64_MAX,
                                               .u.backup = {.id = text,
                                                            .lineage = text,
                                                            .root = "../../../etc/passwd",
                                                            .timeline = UINT32_MAX,
                                                            .start_lsn = UINT64_MAX,
                                                            .start_time_us = times[i],
                                                            .stop_time_us = times[i],
                                                            .source_bytes = UINT64_MAX,
                                                            .files = UINT64_MAX}});
        chain_add(&chain,
                  (struct vault_entry){.kind = VAULT_ENTRY_CHECKPOINT, .time_us = times[i]});
        assert_ok(chain_read(&chain, &read));
        assert_ok(vault_journal_append(&f->ctx, f->store, f->keyring, chain.prefix, &read, &next));
        const struct vault_verify_options verify = {
            .place = source_place(f), .point = &read.points[0], .threads = 1};
        struct vault_verify_report report = {0};
        struct hf_status status = vault_verify(&f->ctx, &verify, &report);

        assert_false(hf_is_ok(status) && report.findings_total == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        keyed_test(test_keyed__lies_about_points_are_refused_or_harmless),
        keyed_test(test_keyed__four_gigabytes_of_a_frame_stay_in_it),
        keyed_test(test_keyed__objects_hold_no_more_than_their_kind),
        keyed_test(test_keyed__a_pack_that_is_listed_twice_is_no_whole_backup),
        keyed_test(test_keyed__an_entry_under_the_key_of_another_path_is_found),
        keyed_test(test_keyed__a_map_has_a_bound_of_shares),
        keyed_test(test_keyed__a_journal_begins_with_its_source),
        keyed_test(test_keyed__a_journal_without_checkpoints_has_an_end),
        keyed_test(test_keyed__a_journal_of_extremes_is_read_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

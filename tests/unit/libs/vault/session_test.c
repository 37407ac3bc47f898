/* Backups of a changing source, and what comes back. */
#include "tests/unit/libs/vault/source_compare.h"
#include "vault/pack_format.h"

#define MIB ((size_t)1 << 20)
#define PAGE ((size_t)VAULT_PAGE)

/* Relations, small files, empty files, a sparse one, directories, a symlink. */
static void fill_source(struct source *s)
{
    static const char *const dirs[] = {"base", "base/1", "base/5", "global"};

    for (size_t i = 0; i < HF_LEN(dirs); i++) {
        source_add(s, dirs[i], 0)->node = VAULT_NODE_DIR;
    }
    for (unsigned i = 0; i < 60; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "base/1/%u", 1000 + i);
        source_add(s, path, (i % 7) * PAGE + (i % 3) * 100);
    }
    source_add(s, "base/5/16384", 6 * MIB);
    source_add(s, "base/5/16385", 3 * MIB + 777);
    source_add(s, "base/5/16386", 64 * PAGE);
    struct source_file *sparse = source_add(s, "base/5/sparse", 2 * MIB);
    memset(sparse->bytes + PAGE, 0, 2 * MIB - 3 * PAGE);
    struct source_file *link = source_add(s, "pg_tblspc", 0);
    link->node = VAULT_NODE_SYMLINK;
    (void)snprintf(link->link, sizeof(link->link), "/srv/space");
}

/* What happens to a database between two backups, and worse. */
static void mutate(struct source *s, unsigned round)
{
    for (unsigned i = 0; i < 40; i++) {
        struct source_file *file = &s->files[64 + source_random(s) % 4];
        size_t pages = file->len / PAGE;
        if (file->node == VAULT_NODE_FILE && pages > 0) {
            source_fill(s, file->bytes + source_random(s) % pages * PAGE, 64);
            file->mtime_us++;
        }
    }
    struct source_file *file = &s->files[4 + source_random(s) % 60];
    switch (round % 7) {
    case 0: /* deleted, or back with other contents */
        file->node = file->node == VAULT_NODE_GONE ? VAULT_NODE_FILE : VAULT_NODE_GONE;
        source_fill(s, file->bytes, file->len);
        break;
    case 1:
        source_resize(s, file, file->len / 2);
        break;
    case 2:
        source_resize(s, file, file->len + 3 * PAGE + 5);
        break;
    case 3: /* renamed */
        if (file->node == VAULT_NODE_FILE) {
            (void)snprintf(file->path, sizeof(file->path), "global/r%u", round);
        }
        break;
    case 4: /* shrunk and regrown with other contents */
        source_resize(s, &s->files[64], 2 * MIB + round);
        break;
    case 5:
        source_resize(s, &s->files[64], 5 * MIB + round);
        break;
    default:
        file->mtime_us++; /* attributes only */
        break;
    }
}

static void test_session__gives_back_each_of_seventy_backups(void **state)
{
    struct source s;
    size_t most = 0;
    size_t least_after = SIZE_MAX;

    source_init(&s, *state);
    fill_source(&s);
    for (unsigned round = 0; round < 75; round++) {
        source_backup(&s);
        assert_false(s.result.is_cache_rebuilt);
        source_compare(&s);
        size_t tables = s.root.map.shards[0].shares_len;
        assert_true(tables <= VAULT_OVERLAYS_MAX + 1);
        assert_true(s.root.pack_tables_len <= VAULT_OVERLAYS_MAX + 1);
        most = tables > most ? tables : most;
        least_after = round > 10 && tables < least_after ? tables : least_after;
        mutate(&s, round);
    }
    assert_true(most > 5);
    assert_true(least_after < most); /* a base was rewritten */
    assert_string_equal(vault_root_fact(&s.root, "backup_label"),
                        "START WAL LOCATION: 0/2000028\n");
    source_free(&s);
}

/* Overlays that never outweigh their base go until the limit of their number. */
static void test_session__rewrites_the_base_after_sixty_four_overlays(void **state)
{
    struct source s;
    size_t most = 0;

    source_init(&s, *state);
    for (unsigned i = 0; i < 200; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "t/%u", i);
        source_add(&s, path, 100);
    }
    for (unsigned round = 0; round < 70; round++) {
        s.files[round].bytes[0] ^= 1;
        source_backup(&s);
        size_t tables = s.root.map.shards[0].shares_len;
        most = tables > most ? tables : most;
    }
    assert_int_equal(most, VAULT_OVERLAYS_MAX + 1);
    assert_true(s.root.map.shards[0].shares_len < 10);
    source_compare(&s);
    source_assert_whole(&s);
    source_free(&s);
}

static void test_session__stores_next_to_nothing_when_nothing_changed(void **state)
{
    struct source s;

    source_init(&s, *state);
    fill_source(&s);
    source_add(&s, "big", 24 * MIB);
    source_backup(&s);
    uint64_t source_bytes = s.result.info.source_bytes;
    assert_true(s.result.info.stored_bytes < source_bytes * 6 / 10);
    source_backup(&s);
    assert_int_equal(s.result.info.changed_bytes, 0);
    assert_int_equal(s.result.packs, 0);
    assert_true(s.result.info.stored_bytes <= 64 * 1024);
    source_compare(&s);
    source_free(&s);
}

static void test_session__stores_what_changed_and_little_more(void **state)
{
    struct source s;

    source_init(&s, *state);
    struct source_file *file = source_add(&s, "base/5/1", 64 * MIB);
    source_backup(&s);
    double ratio = (double)s.result.info.source_bytes / (double)s.result.info.stored_bytes;
    size_t pages = file->len / PAGE;
    for (size_t i = 0; i < pages / 20; i++) {
        source_fill(&s, file->bytes + source_random(&s) % pages * PAGE, PAGE);
    }
    source_backup(&s);
    double changed = (double)s.result.info.changed_bytes;
    assert_true(changed > 0.04 * (double)file->len && changed < 0.055 * (double)file->len);
    double limit = 1.3 * changed / ratio + 0.002 * (double)file->len;
    if ((double)s.result.info.stored_bytes > limit) {
        fail_msg("stored %.0f, limit %.0f", (double)s.result.info.stored_bytes, limit);
    }
    source_compare(&s);
    source_free(&s);
}

static void assert_same_digests(struct source *s, const char *a, const char *b)
{
    HF_CLEANUP(vault_digests_free) struct vault_digests *x = NULL;
    HF_CLEANUP(vault_digests_free) struct vault_digests *y = NULL;
    size_t x_len = 0;
    size_t y_len = 0;

    assert_ok(vault_digests_open(&s->f->ctx, s->f->keyring, a, s->root.info.id, &x));
    assert_ok(vault_digests_open(&s->f->ctx, s->f->keyring, b, s->root.info.id, &y));
    const struct vault_digests_file *files = vault_digests_files(x, &x_len);
    (void)vault_digests_files(y, &y_len);
    assert_int_equal(x_len, y_len);
    for (size_t i = 0; i < x_len; i++) {
        const struct vault_digests_file *other = vault_digests_find(y, files[i].key);
        assert_non_null(other);
        assert_memory_equal(other->attrs, files[i].attrs, VAULT_ATTR_LEN);
        assert_int_equal(other->pages, files[i].pages);
        uint8_t *p = hf_heap_alloc(files[i].pages * 16u + 1);
        uint8_t *q = hf_heap_alloc(files[i].pages * 16u + 1);
        assert_ok(vault_digests_read(&s->f->ctx, x, &files[i], 0, files[i].pages, p));
        assert_ok(vault_digests_read(&s->f->ctx, y, other, 0, files[i].pages, q));
        assert_memory_equal(p, q, files[i].pages * 16u);
        hf_heap_free(p);
        hf_heap_free(q);
    }
}

static void test_digests__a_rebuilt_cache_equals_the_lost_one(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct vault_place place = source_place(f);
    const char *other = hf_printf(f->ctx.arena, "%s/rebuilt", f->dir);

    source_init(&s, f);
    fill_source(&s);
    for (unsigned round = 0; round < 9; round++) {
        source_backup(&s);
        mutate(&s, round);
    }
    assert_ok(vault_digests_rebuild(&f->ctx, &place, &s.root, other));
    assert_same_digests(&s, s.cache, other);
    assert_int_equal(unlink(s.cache), 0);
    source_backup(&s);
    assert_true(s.result.is_cache_rebuilt);
    assert_true(s.result.info.changed_bytes < s.result.info.source_bytes / 10);
    source_compare(&s);
    source_free(&s);
}

static void test_digests__a_damaged_or_stale_cache_is_rebuilt(void **state)
{
    struct source s;
    HF_CLEANUP(hf_buf_done) struct hf_buf old = {0};

    source_init(&s, *state);
    fill_source(&s);
    source_backup(&s);
    hf_buf_init(&old, 64 * MIB);
    assert_ok(hf_read_file(s.f->ctx.arena, s.cache, &old));
    source_backup(&s);
    assert_ok(hf_replace_file(s.f->ctx.arena, s.cache, old.ptr, old.len, 0600)); /* stale */
    source_backup(&s);
    assert_true(s.result.is_cache_rebuilt);
    assert_int_equal(s.result.info.changed_bytes, 0);
    hf_buf_clear(&old);
    assert_ok(hf_read_file(s.f->ctx.arena, s.cache, &old));
    old.ptr[old.len - 200] ^= 1; /* in the last trailer */
    assert_ok(hf_replace_file(s.f->ctx.arena, s.cache, old.ptr, old.len, 0600));
    source_backup(&s);
    assert_true(s.result.is_cache_rebuilt);
    assert_int_equal(s.result.info.changed_bytes, 0);
    source_free(&s);
}

/* finish succeeded, the process died before commit: the finished cache counts. */
static void test_digests__an_uncommitted_cache_is_found(void **state)
{
    struct source s;
    struct vault_place place = source_place(*state);

    source_init(&s, *state);
    fill_source(&s);
    struct vault_session *session = source_begin(&s);
    assert_ok(source_feed(&s, session));
    assert_ok(source_finish(&s, session));
    vault_session_free(session);
    s.backups++;
    assert_ok(vault_root_open(&s.f->ctx, &place, s.result.info.root, NULL, &s.root));
    s.has_root = true;
    source_backup(&s);
    assert_false(s.result.is_cache_rebuilt);
    assert_int_equal(s.result.info.changed_bytes, 0);
    source_free(&s);
}

static size_t objects_of(struct fixture *f, const char *kind)
{
    struct objstore_page page = {0};
    const char *prefix = hf_printf(f->ctx.arena, "%s/%s/", FIXTURE_SOURCE, kind);

    assert_ok(objstore_list_all(&f->ctx, f->store, prefix, 10000, &page));
    return page.len;
}

static void test_session__abort_leaves_nothing(void **state)
{
    struct source s;
    struct fixture *f = *state;

    source_init(&s, f);
    fill_source(&s);
    source_add(&s, "big", 80 * MIB); /* more than a pack */
    struct vault_session *session = source_begin(&s);
    assert_ok(source_feed(&s, session));
    vault_session_abort(&f->ctx, session);
    assert_int_equal(objects_of(f, "packs"), 0);
    session = source_begin(&s);
    assert_ok(source_feed(&s, session));
    assert_ok(source_finish(&s, session));
    assert_true(objects_of(f, "packs") > 1);
    vault_session_abort(&f->ctx, session);
    assert_int_equal(objects_of(f, "packs") + objects_of(f, "maps") + objects_of(f, "tables") +
                         objects_of(f, "roots"),
                     0);
    session = source_begin(&s);
    assert_ok(vault_session_file_begin(
        &f->ctx, session, &(struct vault_attrs){.node = VAULT_NODE_FILE, .path = "open"}));
    assert_ok(vault_session_write(&f->ctx, session, "x", 1));
    vault_session_abort(&f->ctx, session); /* in the middle of a file */
    source_backup(&s);
    source_compare(&s);
    source_free(&s);
}

static void test_session__cancel_ends_it(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct hf_cancel cancel;

    atomic_init(&cancel.is_set, false);
    f->ctx.cancel = &cancel;
    source_init(&s, f);
    fill_source(&s);
    struct vault_session *session = source_begin(&s);
    assert_ok(source_feed_file(&s, session, &s.files[64]));
    atomic_store(&cancel.is_set, true);
    assert_code(source_feed(&s, session), HF_CANCELLED);
    assert_code(source_finish(&s, session), HF_CANCELLED);
    vault_session_abort(&f->ctx, session);
    f->ctx.cancel = NULL;
    assert_int_equal(objects_of(f, "packs"), 0);
    source_free(&s);
}

static void test_session__refuses_bad_paths_and_repeated_ones(void **state)
{
    static const char *const bad[] = {"", "/etc/passwd", "a/../b", "a//b", "a/", ".", "..", "./a"};
    struct source s;
    struct fixture *f = *state;

    source_init(&s, f);
    struct vault_session *session = source_begin(&s);
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        const struct vault_attrs attrs = {.node = VAULT_NODE_FILE, .path = bad[i]};
        assert_code(vault_session_file_begin(&f->ctx, session, &attrs), HF_INVALID_ARGUMENT);
    }
    source_add(&s, "same", 10);
    assert_ok(source_feed(&s, session));
    assert_ok(source_feed(&s, session));
    assert_code(source_finish(&s, session), HF_ALREADY_EXISTS);
    vault_session_abort(&f->ctx, session);
    source_free(&s);
}

/* The first attempt of this backup died between root and journal entry. */
static void test_session__an_orphaned_root_does_not_block_the_next_attempt(void **state)
{
    struct source s;

    source_init(&s, *state);
    source_add(&s, "a", 10000);
    struct vault_session *session = source_begin(&s);
    assert_ok(source_feed(&s, session));
    assert_ok(source_finish(&s, session));
    vault_session_free(session);
    const char *first = s.result.info.root;
    source_backup(&s);
    assert_string_not_equal(first, s.result.info.root);
    source_compare(&s);
    source_assert_whole(&s);
    source_free(&s);
}

static void test_extract__reads_one_file(void **state)
{
    struct source s;
    struct vault_place place = source_place(*state);
    HF_CLEANUP(hf_buf_done) struct hf_buf buf = {0};

    source_init(&s, *state);
    fill_source(&s);
    source_backup(&s);
    mutate(&s, 6);
    source_backup(&s);
    hf_buf_init(&buf, 8 * MIB);
    const struct source_file *file = &s.files[65];
    assert_ok(vault_extract_one(&s.f->ctx, &place, &s.root, file->path, &buf));
    assert_int_equal(buf.len, file->len);
    assert_memory_equal(buf.ptr, file->bytes, file->len);
    assert_code(vault_extract_one(&s.f->ctx, &place, &s.root, "none", &buf), HF_NOT_FOUND);
    assert_code(vault_extract_one(&s.f->ctx, &place, &s.root, "base/5/16384", &buf),
                HF_RESOURCE_EXHAUSTED);
    source_free(&s);
}

static void test_extract__cancel_ends_it(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct hf_cancel cancel;

    source_init(&s, f);
    fill_source(&s);
    source_backup(&s);
    atomic_init(&cancel.is_set, true);
    f->ctx.cancel = &cancel;
    assert_code(source_extract(&s, &s.root, f->dir), HF_CANCELLED);
    f->ctx.cancel = NULL;
    source_free(&s);
}

/* Bytes of padding in the trailer of a pack. */
static uint64_t padding_of(struct fixture *f, const char *name)
{
    struct vault_pack pack;

    assert_ok(vault_pack_open(&f->ctx, f->store, f->keyring, name, &pack));
    const struct vault_blob_info *last = &pack.blobs[pack.blobs_len - 1];

    return pack.size_bytes -
           (last->offset + last->sealed_len + VAULT_TRAILER_HEAD_LEN +
            pack.blobs_len * VAULT_TRAILER_ENTRY_LEN + (uint64_t)pack.pages * VAULT_DIGEST_LEN +
            VAULT_TAG_LEN + VAULT_FOOTER_LEN);
}

static void test_session__pads_its_last_pack_alone(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct objstore_page page = {0};

    source_init(&s, f);
    source_add(&s, "big", 96 * MIB); /* about 48 MiB stored */
    source_backup(&s);
    assert_ok(objstore_list_all(&f->ctx, f->store, FIXTURE_SOURCE "/packs/", 100, &page));
    assert_true(page.len >= 2);
    for (size_t i = 0; i < page.len; i++) {
        bool is_last = i + 1 == page.len;

        if (is_last) {
            assert_int_equal(page.entries[i].size_bytes,
                             vault_padded_len(page.entries[i].size_bytes));
            assert_true(padding_of(f, page.entries[i].name) > 0);
        } else {
            assert_int_equal(padding_of(f, page.entries[i].name), 0);
        }
    }
    source_assert_whole(&s);
    source_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_session__gives_back_each_of_seventy_backups),
        fixture_test(test_session__rewrites_the_base_after_sixty_four_overlays),
        fixture_test(test_session__stores_next_to_nothing_when_nothing_changed),
        fixture_test(test_session__stores_what_changed_and_little_more),
        fixture_test(test_session__pads_its_last_pack_alone),
        fixture_test(test_digests__a_rebuilt_cache_equals_the_lost_one),
        fixture_test(test_digests__a_damaged_or_stale_cache_is_rebuilt),
        fixture_test(test_digests__an_uncommitted_cache_is_found),
        fixture_test(test_session__abort_leaves_nothing),
        fixture_test(test_session__cancel_ends_it),
        fixture_test(test_session__refuses_bad_paths_and_repeated_ones),
        fixture_test(test_session__an_orphaned_root_does_not_block_the_next_attempt),
        fixture_test(test_extract__reads_one_file),
        fixture_test(test_extract__cancel_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

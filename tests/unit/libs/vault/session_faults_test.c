/* Sessions and extractions when something is wrong: a store that fails, a cache that lies, a
 * restricted keyring, a target that exists. */
#include "tests/unit/libs/vault/source_compare.h"

#define MIB ((size_t)1 << 20)

/* A store that refuses the nth put and all later ones. */
struct faulty {
    struct objstore store;
    struct objstore *inner;
    atomic_int puts_left;
};

static struct hf_status faulty_put(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                   struct hf_bytes bytes)
{
    struct faulty *faulty = (struct faulty *)store;

    if (atomic_fetch_sub(&faulty->puts_left, 1) <= 0) {
        return hf_fail(ctx->arena, HF_RESOURCE_EXHAUSTED, "no space left for %s", name);
    }
    return objstore_put(ctx, faulty->inner, name, bytes);
}

static struct hf_status faulty_head(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t *ret_size)
{
    return objstore_head(ctx, ((struct faulty *)store)->inner, name, ret_size);
}

static struct hf_status faulty_read(struct hf_ctx *ctx, struct objstore *store, const char *name,
                                    uint64_t offset, size_t len, void *ret_bytes)
{
    return objstore_read(ctx, ((struct faulty *)store)->inner, name, offset, len, ret_bytes);
}

static struct hf_status faulty_list(struct hf_ctx *ctx, struct objstore *store, const char *prefix,
                                    const char *after, size_t max, struct objstore_page *ret_page)
{
    return objstore_list(ctx, ((struct faulty *)store)->inner, prefix, after, max, ret_page);
}

static struct hf_status faulty_remove(struct hf_ctx *ctx, struct objstore *store, const char *name)
{
    return objstore_remove(ctx, ((struct faulty *)store)->inner, name);
}

static const struct objstore_ops faulty_ops = {.kind = "faulty",
                                               .put = faulty_put,
                                               .head = faulty_head,
                                               .read = faulty_read,
                                               .list = faulty_list,
                                               .remove = faulty_remove};

static size_t objects(struct fixture *f)
{
    struct objstore_page page = {0};

    assert_ok(objstore_list_all(&f->ctx, f->store, FIXTURE_SOURCE "/", 10000, &page));
    return page.len;
}

/* Four puts make a backup: pack, overlay, table of packs, root. Each may be the one that fails. */
static void test_session__a_failing_store_fails_the_backup_and_leaves_nothing(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct objstore *whole = f->store;

    source_init(&s, f);
    source_add(&s, "big", 90 * MIB); /* two packs */
    for (int allowed = 0; allowed < 5; allowed++) {
        struct faulty faulty = {{&faulty_ops}, whole, allowed};
        f->store = &faulty.store;
        struct vault_session *session = source_begin(&s);
        struct hf_status status = source_feed(&s, session);
        if (hf_is_ok(status)) {
            status = source_finish(&s, session);
        }
        f->store = whole;
        assert_int_equal(status.code, HF_RESOURCE_EXHAUSTED);
        assert_non_null(strstr(status.message, "no space left"));
        vault_session_abort(&f->ctx, session);
        assert_int_equal(objects(f), 0);
    }
    source_backup(&s);
    source_compare(&s);
    source_free(&s);
}

/* A damaged blob of digests costs space, not the backup. */
static void test_session__an_unreadable_digest_blob_means_changed(void **state)
{
    struct source s;
    HF_CLEANUP(hf_buf_done) struct hf_buf cache = {0};

    source_init(&s, *state);
    source_add(&s, "a", MIB);
    source_backup(&s);
    hf_buf_init(&cache, MIB);
    assert_ok(hf_read_file(s.f->ctx.arena, s.cache, &cache));
    cache.ptr[192 + 60] ^= 1;
    assert_ok(hf_replace_file(s.f->ctx.arena, s.cache, cache.ptr, cache.len, 0600));
    source_backup(&s);
    assert_int_equal(s.result.info.changed_bytes, MIB);
    source_compare(&s);
    source_backup(&s);
    assert_int_equal(s.result.info.changed_bytes, 0);
    source_free(&s);
}

/* More digests than one volume of the cache holds. */
static void test_digests__spans_volumes(void **state)
{
    struct fixture *f = *state;
    HF_CLEANUP(vault_digests_writer_free) struct vault_digests_writer *writer = NULL;
    HF_CLEANUP(vault_digests_free) struct vault_digests *digests = NULL;
    const char *path = hf_printf(f->ctx.arena, "%s/cache", f->dir);
    const uint32_t blob = 16384;
    const uint32_t pages = blob * 515 + 3;
    uint8_t *part = hf_heap_alloc(blob * 16u);
    struct vault_digests_file file = {.key = {1}, .pages = pages};

    assert_ok(vault_digests_writer_new(&f->ctx, f->keyring, path, "b", &writer));
    for (uint32_t done = 0; done < pages;) {
        uint32_t count = pages - done < 10000 ? pages - done : 10000;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t page = done + i;
            memcpy(part + i * 16u, &page, sizeof(page));
        }
        assert_ok(vault_digests_writer_pages(&f->ctx, writer, part, count));
        done += count;
    }
    vault_digests_writer_file(writer, &file);
    assert_ok(vault_digests_writer_finish(&f->ctx, writer));
    assert_ok(vault_digests_commit(&f->ctx, path));
    assert_ok(vault_digests_open(&f->ctx, f->keyring, path, "b", &digests));
    const struct vault_digests_file *found = vault_digests_find(digests, file.key);
    assert_non_null(found);
    for (uint32_t at = 5; at + 100 < pages; at += 777777) {
        uint32_t page = 0;
        assert_ok(vault_digests_read(&f->ctx, digests, found, at, 100, part));
        memcpy(&page, part + 99 * 16, sizeof(page));
        assert_int_equal(page, at + 99);
    }
    const uint32_t edges[] = {blob * 512 - 50, blob - 50, pages - 100};
    for (size_t i = 0; i < HF_LEN(edges); i++) {
        uint32_t page = 0;
        assert_ok(vault_digests_read(&f->ctx, digests, found, edges[i], 100, part));
        memcpy(&page, part + 99 * 16, sizeof(page));
        assert_int_equal(page, edges[i] + 99);
    }
    hf_heap_free(part);
}

static struct hf_status lend(struct hf_ctx *ctx, void *arg, const struct vault_pack_header *header,
                             uint8_t ret_secret[VAULT_KEY_LEN])
{
    return vault_keyring_secret(ctx, arg, header, ret_secret);
}

/* The command line restores with the secrets of single objects and without any key. */
static void test_extract__works_with_a_borrowed_keyring(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct vault_keyring *full = f->keyring;
    struct vault_session *session = NULL;
    struct vault_root root;

    source_init(&s, f);
    source_add(&s, "d/a", MIB + 5);
    source_backup(&s);
    f->keyring = vault_keyring_borrowed((struct vault_secret_source){lend, full}, NULL, 0);
    const struct vault_place place = source_place(f);
    const struct vault_session_options refused = {
        .place = place, .backup_id = "x", .cache_path = s.cache};
    assert_ok(
        vault_root_open(&f->ctx, &place, s.result.info.root, s.result.info.root_sha256, &root));
    source_compare(&s);
    source_assert_whole(&s);
    assert_code(vault_session_begin(&f->ctx, &refused, &session), HF_FAILED_PRECONDITION);
    vault_keyring_free(f->keyring);
    f->keyring = full;
    source_free(&s);
}

struct choosing {
    int dir;
    atomic_int done;
    enum hf_code fail_with;
};

static struct hf_status choose_file(struct hf_ctx *ctx, void *arg, const struct vault_attrs *attrs,
                                    struct vault_extract_file *ret_file)
{
    const struct choosing *choosing = arg;

    if (strcmp(attrs->path, "skip") == 0) {
        return hf_success();
    }
    ret_file->action = VAULT_EXTRACT_OVER;
    ret_file->dir = choosing->dir;
    ret_file->path = hf_strdup(ctx->arena, attrs->path);
    ret_file->cookie = arg;
    return hf_success();
}

static struct hf_status count_done(struct hf_ctx *ctx, void *arg, int fd, const char *path,
                                   void *cookie)
{
    struct choosing *choosing = arg;

    assert_ptr_equal(cookie, arg);
    assert_true(fd >= 0);
    atomic_fetch_add(&choosing->done, 1);
    if (choosing->fail_with != HF_OK) {
        return hf_fail(ctx->arena, choosing->fail_with, "refused %s", path);
    }
    return hf_success();
}

static void test_extract__writes_over_and_skips(void **state)
{
    struct source s;
    struct fixture *f = *state;
    HF_CLEANUP(hf_close) int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct choosing choosing = {.dir = dir};
    struct vault_extract_progress progress = {0};
    HF_CLEANUP(hf_buf_done) struct hf_buf junk = {0};
    const struct vault_extract_sink sink = {
        .arg = &choosing, .dir = sink_dir, .file = choose_file, .file_done = count_done};
    const struct vault_extract_options options = {
        .place = source_place(f), .root = &s.root, .sink = &sink, .progress = &progress};

    source_init(&s, f);
    memset(source_add(&s, "zeros", 100000)->bytes, 0, 100000);
    source_add(&s, "skip", 100000);
    source_add(&s, "empty", 0);
    source_backup(&s);
    s.files[1].node = VAULT_NODE_GONE; /* not expected */
    hf_buf_init(&junk, MIB);
    memset(hf_buf_extend(&junk, 300000), 0x55, 300000);
    assert_ok(hf_create_file(f->ctx.arena, hf_path_join(f->ctx.arena, f->dir, "zeros"), junk.ptr,
                             junk.len, 0600));
    assert_ok(vault_extract(&f->ctx, &options));
    assert_int_equal(atomic_load(&choosing.done), 2);
    assert_int_equal(atomic_load(&progress.files_done), 2);
    assert_int_equal(atomic_load(&progress.bytes_done), atomic_load(&progress.bytes_total));
    for (size_t i = 0; i < s.len; i++) {
        source_compare_file(&s, &s.files[i], f->dir);
    }
    choosing.fail_with = HF_PERMISSION_DENIED;
    assert_code(vault_extract(&f->ctx, &options), HF_PERMISSION_DENIED);
    source_free(&s);
}

static void test_extract__refuses_what_exists(void **state)
{
    struct source s;
    struct fixture *f = *state;

    source_init(&s, f);
    source_add(&s, "a", 100);
    source_backup(&s);
    assert_ok(hf_create_file(f->ctx.arena, hf_path_join(f->ctx.arena, f->dir, "a"), "x", 1, 0600));
    assert_code(source_extract(&s, &s.root, f->dir), HF_DATA_LOSS);
    source_free(&s);
}

/* Thousands of tiny files: more than open descriptors and units at a time. */
static void test_session__bundles_many_small_files(void **state)
{
    struct source s;
    struct fixture *f = *state;
    struct vault_session *session = NULL;
    struct vault_verify_report report;

    source_init(&s, f);
    session = source_begin(&s);
    for (unsigned i = 0; i < 20000; i++) {
        const struct vault_attrs attrs = {
            .node = VAULT_NODE_FILE, .path = hf_printf(f->ctx.arena, "s/%u", i), .mode = 0600};
        assert_ok(vault_session_file_begin(&f->ctx, session, &attrs));
        assert_ok(vault_session_write(&f->ctx, session, attrs.path, strlen(attrs.path)));
        assert_ok(vault_session_file_end(&f->ctx, session));
    }
    assert_ok(source_finish(&s, session));
    assert_ok(vault_session_commit(&f->ctx, session));
    vault_session_free(session);
    assert_int_equal(s.result.info.files, 20000);
    assert_true(s.result.packs <= 2);
    assert_true(s.result.info.stored_bytes < 3 * MIB);
    source_verify(&s, &report);
    assert_int_equal(report.findings_total, 0);
    assert_int_equal(report.files, 20000);
    source_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_session__a_failing_store_fails_the_backup_and_leaves_nothing),
        fixture_test(test_session__an_unreadable_digest_blob_means_changed),
        fixture_test(test_session__bundles_many_small_files),
        fixture_test(test_digests__spans_volumes),
        fixture_test(test_extract__works_with_a_borrowed_keyring),
        fixture_test(test_extract__writes_over_and_skips),
        fixture_test(test_extract__refuses_what_exists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

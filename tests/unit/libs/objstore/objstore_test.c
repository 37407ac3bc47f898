/* The local store: whole objects or none, one winner, names in byte order. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/pool.h"
#include "objstore/objstore.h"
#include "tests/unit/unit.h"

struct fixture {
    struct hf_ctx ctx;
    char dir[64];
    struct objstore *store;
};

#define assert_code(expr, wanted)                                                                  \
    do {                                                                                           \
        struct hf_status status_ = (expr);                                                         \
        if (status_.code != (wanted)) {                                                            \
            fail_msg("wanted %s, got %s: %s", hf_code_name(wanted), hf_code_name(status_.code),    \
                     status_.message != NULL ? status_.message : "");                              \
        }                                                                                          \
    } while (0)
#define assert_ok(expr) assert_code(expr, HF_OK)

static int setup(void **state)
{
    struct fixture *f = hf_heap_alloc(sizeof(*f));

    f->ctx.arena = hf_arena_new((size_t)1 << 28);
    memcpy(f->dir, "/tmp/hf-objstore-XXXXXX", sizeof("/tmp/hf-objstore-XXXXXX"));
    assert_non_null(mkdtemp(f->dir));
    assert_ok(objstore_local_open(&f->ctx, f->dir, true, &f->store));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    objstore_free(f->store);
    (void)hf_is_ok(hf_remove_tree(f->ctx.arena, f->dir));
    hf_arena_free(f->ctx.arena);
    hf_heap_free(f);
    return 0;
}

static struct hf_bytes text(const char *s)
{
    return (struct hf_bytes){(const uint8_t *)s, strlen(s)};
}

static void test_name__only_plain_ones_are_valid(void **state)
{
    static const char *const good[] = {"a", "a/b.c/D_e-f", "tenants/x/keys/000001", "a..b"};
    static const char *const bad[] = {"",     "/a",   "a/",  "a//b", "..",     "a/../b",
                                      ".tmp", "a/.b", "a b", "a\n",  "a\\b",   "\xc3\xa4",
                                      "a/.",  "./a",  "~",   "a*",   "a/b/..", "a:b"};
    char longest[1002];

    (void)state;
    for (size_t i = 0; i < HF_LEN(good); i++) {
        assert_true(objstore_is_name(good[i]));
    }
    for (size_t i = 0; i < HF_LEN(bad); i++) {
        assert_false(objstore_is_name(bad[i]));
    }
    memset(longest, 'a', sizeof(longest));
    longest[1001] = '\0';
    assert_false(objstore_is_name(longest));
    longest[1000] = '\0';
    assert_true(objstore_is_name(longest));
    assert_false(objstore_is_name(NULL));
}

static void test_store__puts_reads_and_removes(void **state)
{
    struct fixture *f = *state;
    char bytes[8] = {0};
    uint64_t size = 0;

    assert_ok(objstore_put(&f->ctx, f->store, "a/b/c", text("content")));
    assert_ok(objstore_head(&f->ctx, f->store, "a/b/c", &size));
    assert_int_equal(size, 7);
    assert_ok(objstore_read(&f->ctx, f->store, "a/b/c", 3, 4, bytes));
    assert_string_equal(bytes, "tent");
    assert_code(objstore_read(&f->ctx, f->store, "a/b/c", 4, 4, bytes), HF_OUT_OF_RANGE);
    assert_ok(objstore_remove(&f->ctx, f->store, "a/b/c"));
    assert_ok(objstore_remove(&f->ctx, f->store, "a/b/c"));
    assert_ok(objstore_remove(&f->ctx, f->store, "never/was"));
    assert_code(objstore_head(&f->ctx, f->store, "a/b/c", &size), HF_NOT_FOUND);
    assert_code(objstore_read(&f->ctx, f->store, "a", 0, 1, bytes), HF_NOT_FOUND);
    assert_false(hf_path_exists(hf_path_join(f->ctx.arena, f->dir, "a")));
}

static void test_store__never_overwrites(void **state)
{
    struct fixture *f = *state;
    char bytes[4] = {0};

    assert_ok(objstore_put(&f->ctx, f->store, "x", text("one")));
    assert_code(objstore_put(&f->ctx, f->store, "x", text("two")), HF_ALREADY_EXISTS);
    assert_ok(objstore_read(&f->ctx, f->store, "x", 0, 3, bytes));
    assert_string_equal(bytes, "one");
}

static void test_store__refuses_names_that_leave_it(void **state)
{
    struct fixture *f = *state;
    struct objstore_appender *appender = NULL;
    struct objstore_page page;
    uint64_t size = 0;

    assert_code(objstore_put(&f->ctx, f->store, "../evil", text("x")), HF_INVALID_ARGUMENT);
    assert_code(objstore_head(&f->ctx, f->store, "a/../../etc/passwd", &size), HF_INVALID_ARGUMENT);
    assert_code(objstore_remove(&f->ctx, f->store, ".tmp/x"), HF_INVALID_ARGUMENT);
    assert_code(objstore_list(&f->ctx, f->store, "../", NULL, 1, &page), HF_INVALID_ARGUMENT);
    assert_code(f->store->ops->append_create(&f->ctx, f->store, "../x", &appender),
                HF_INVALID_ARGUMENT);
}

static void test_store__files_are_private(void **state)
{
    struct fixture *f = *state;
    struct stat info;

    assert_ok(objstore_put(&f->ctx, f->store, "a/b", text("x")));
    assert_int_equal(stat(hf_path_join(f->ctx.arena, f->dir, "a/b"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(stat(hf_path_join(f->ctx.arena, f->dir, "a"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
}

static void test_store__absent_directory_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct objstore *store = NULL;

    assert_code(
        objstore_local_open(&f->ctx, hf_path_join(f->ctx.arena, f->dir, "none"), false, &store),
        HF_NOT_FOUND);
}

struct race {
    struct objstore *store;
    atomic_int *wins;
    int number;
};

static void race_put(void *arg)
{
    struct race *race = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct hf_ctx ctx = {.arena = arena};

    for (int i = 0; i < 100; i++) {
        const char *name = hf_printf(arena, "race/%d/x", i);
        struct hf_status status =
            objstore_put(&ctx, race->store, name, text(hf_printf(arena, "%d", race->number)));

        HF_CHECK(hf_is_ok(status) || status.code == HF_ALREADY_EXISTS);
        atomic_fetch_add(&race->wins[i], hf_is_ok(status) ? 1 : 0);
    }
}

static void test_store__exactly_one_creator_wins(void **state)
{
    struct fixture *f = *state;
    static atomic_int wins[100];
    struct race races[3];
    struct hf_thread *threads[3];

    for (int i = 0; i < 3; i++) {
        races[i] = (struct race){f->store, wins, i};
        threads[i] = hf_thread_start("racer", race_put, &races[i]);
    }
    for (int i = 0; i < 3; i++) {
        hf_thread_join(threads[i]);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(wins[i], 1);
    }
}

/* Puts and removals in one directory: an emptied directory vanishes under a writer's feet. */
static void remove_again(void *arg)
{
    struct race *race = arg;
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
    struct hf_ctx ctx = {.arena = arena};

    for (int i = 0; i < 200; i++) {
        const char *name = hf_printf(arena, "d/e/%d-%d", race->number, i);

        HF_CHECK(hf_is_ok(objstore_put(&ctx, race->store, name, text("x"))));
        HF_CHECK(hf_is_ok(objstore_remove(&ctx, race->store, name)));
    }
}

static void test_store__survives_vanishing_directories(void **state)
{
    struct fixture *f = *state;
    struct race races[2] = {{f->store, NULL, 0}, {f->store, NULL, 1}};
    struct hf_thread *threads[2];

    for (int i = 0; i < 2; i++) {
        threads[i] = hf_thread_start("remover", remove_again, &races[i]);
    }
    for (int i = 0; i < 2; i++) {
        hf_thread_join(threads[i]);
    }
}

static void test_store__killed_writer_leaves_whole_objects_or_none(void **state)
{
    struct fixture *f = *state;
    const size_t len = 1 << 20;
    uint8_t *bytes = hf_alloc(f->ctx.arena, len);
    struct objstore_page page;
    pid_t child = fork();

    assert_true(child >= 0);
    memset(bytes, 0x5a, len);
    if (child == 0) {
        for (int i = 0;; i++) {
            (void)hf_is_ok(objstore_put(&f->ctx, f->store, hf_printf(f->ctx.arena, "k/%d", i),
                                        (struct hf_bytes){bytes, len}));
        }
    }
    (void)hf_is_ok(hf_ctx_sleep(&f->ctx, 100));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_ok(objstore_list_all(&f->ctx, f->store, "k/", 100000, &page));
    assert_true(page.len > 0);
    for (size_t i = 0; i < page.len; i++) {
        assert_int_equal(page.entries[i].size_bytes, len);
    }
}

static void test_store__what_died_before_the_link_is_not_listed(void **state)
{
    struct fixture *f = *state;
    struct objstore_page page;
    struct objstore *again = NULL;
    const char *temp = hf_path_join(f->ctx.arena, f->dir, ".tmp/0011");
    const struct timespec old[2] = {{1000, 0}, {1000, 0}};

    assert_ok(hf_create_file(f->ctx.arena, temp, "half", 4, 0600));
    assert_ok(objstore_list_all(&f->ctx, f->store, "", 10, &page));
    assert_int_equal(page.len, 0);
    assert_ok(objstore_local_open(&f->ctx, f->dir, true, &again));
    objstore_free(again);
    assert_true(hf_path_exists(temp)); /* may belong to a live writer */
    assert_int_equal(utimensat(AT_FDCWD, temp, old, 0), 0);
    assert_ok(objstore_local_open(&f->ctx, f->dir, true, &again));
    objstore_free(again);
    assert_false(hf_path_exists(temp));
}

static const char *const order[] = {"a-b", "a.b", "a/b", "a/b-c", "a/b0/x", "a0", "b"};

static void test_list__is_in_byte_order_of_full_names(void **state)
{
    struct fixture *f = *state;
    struct objstore_page page;

    for (size_t i = HF_LEN(order); i > 0; i--) {
        assert_ok(objstore_put(&f->ctx, f->store, order[i - 1], text("12")));
    }
    assert_ok(objstore_list(&f->ctx, f->store, "", NULL, 100, &page));
    assert_true(page.is_complete);
    assert_int_equal(page.len, HF_LEN(order));
    for (size_t i = 0; i < page.len; i++) {
        assert_string_equal(page.entries[i].name, order[i]);
        assert_int_equal(page.entries[i].size_bytes, 2);
    }
}

static void test_list__pages_without_gap_or_repeat(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < HF_LEN(order); i++) {
        assert_ok(objstore_put(&f->ctx, f->store, order[i], text("")));
    }
    for (size_t max = 1; max <= HF_LEN(order); max++) {
        struct objstore_page page = {.is_complete = false};
        const char *after = NULL;
        size_t seen = 0;

        while (!page.is_complete) {
            assert_ok(objstore_list(&f->ctx, f->store, "", after, max, &page));
            for (size_t i = 0; i < page.len; i++) {
                assert_string_equal(page.entries[i].name, order[seen++]);
            }
            after = order[seen - 1];
        }
        assert_int_equal(seen, HF_LEN(order));
    }
}

static void test_list__keeps_to_its_prefix(void **state)
{
    struct fixture *f = *state;
    struct objstore_page page;

    for (size_t i = 0; i < HF_LEN(order); i++) {
        assert_ok(objstore_put(&f->ctx, f->store, order[i], text("")));
    }
    assert_ok(objstore_list_all(&f->ctx, f->store, "a/b", 10, &page));
    assert_int_equal(page.len, 3);
    assert_ok(objstore_list_all(&f->ctx, f->store, "a/", 10, &page));
    assert_int_equal(page.len, 3);
    assert_ok(objstore_list_all(&f->ctx, f->store, "nothing/here/", 10, &page));
    assert_int_equal(page.len, 0);
    assert_code(objstore_list_all(&f->ctx, f->store, "", 3, &page), HF_RESOURCE_EXHAUSTED);
    assert_ok(objstore_list(&f->ctx, f->store, "", "a/zzz", 10, &page));
    assert_string_equal(page.entries[0].name, "a0");
}

static void test_append__grows_and_gets_its_name(void **state)
{
    struct fixture *f = *state;
    const struct objstore_ops *ops = f->store->ops;
    struct objstore_appender *appender = NULL;
    struct objstore_appender *second = NULL;
    uint64_t size = 0;

    assert_ok(ops->append_create(&f->ctx, f->store, "w/1-open", &appender));
    assert_code(ops->append_create(&f->ctx, f->store, "w/1-open", &second), HF_ALREADY_EXISTS);
    assert_ok(ops->append(&f->ctx, appender, text("abc"), true));
    assert_ok(objstore_head(&f->ctx, f->store, "w/1-open", &size));
    assert_int_equal(size, 3);
    assert_ok(ops->append(&f->ctx, appender, text("de"), false));
    assert_ok(objstore_put(&f->ctx, f->store, "w/1-taken", text("x")));
    assert_code(ops->append_close_as(&f->ctx, appender, "w/1-taken"), HF_ALREADY_EXISTS);
    assert_ok(ops->append_close_as(&f->ctx, appender, "v/1-5"));
    assert_ok(objstore_head(&f->ctx, f->store, "v/1-5", &size));
    assert_int_equal(size, 5);
    assert_code(objstore_head(&f->ctx, f->store, "w/1-open", &size), HF_NOT_FOUND);
}

static void test_append__left_one_stays_readable(void **state)
{
    struct fixture *f = *state;
    const struct objstore_ops *ops = f->store->ops;
    struct objstore_appender *appender = NULL;
    struct objstore_page page;

    assert_ok(ops->append_create(&f->ctx, f->store, "w/1-open", &appender));
    assert_ok(ops->append(&f->ctx, appender, text("abc"), true));
    ops->append_leave(appender);
    ops->append_leave(NULL);
    assert_ok(objstore_list_all(&f->ctx, f->store, "w/", 10, &page));
    assert_int_equal(page.len, 1);
    assert_int_equal(page.entries[0].size_bytes, 3);
}

static void assert_replaced(struct hf_status status)
{
    assert_code(status, HF_UNAVAILABLE);
    assert_string_equal(status.info->reason, "VAULT_REPLACED");
}

/* What somebody does with the directory of a store that is in use: to its path, by sh. */
static const char *const moves[] = {
    "mv $0 $0.old",
    "mv $0 $0.old && cp -a $0.old $0",
    "mv $0 $0.old && mkdir -m 700 $0",
    "rm -rf $0",
    "cp -a $0 $0.new && rm -rf $0 && mv $0.new $0",
};

static void shell(const char *script, const char *argument)
{
    pid_t pid = fork();
    int how = 0;

    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", script, argument, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    assert_int_equal(how, 0);
}

static void check_move(struct hf_ctx *ctx, const char *move, const char *dir)
{
    HF_CLEANUP(objstore_free) struct objstore *store = NULL;
    struct objstore_appender *appender = NULL;
    struct objstore_appender *closing = NULL;

    assert_ok(objstore_local_open(ctx, dir, true, &store));
    assert_ok(objstore_put(ctx, store, "p/1", text("a")));
    assert_ok(store->ops->append_create(ctx, store, "w/1-open", &appender));
    assert_ok(store->ops->append_create(ctx, store, "w/2-open", &closing));
    assert_ok(store->ops->append(ctx, appender, text("abc"), true));
    assert_ok(store->ops->append(ctx, closing, text("abc"), true));
    shell(move, dir);
    assert_replaced(store->ops->append(ctx, appender, text("de"), true));
    assert_replaced(store->ops->append_close_as(ctx, closing, "w/2-3"));
    struct hf_status taken = objstore_put(ctx, store, "p/1", text("a"));
    struct hf_status fresh = objstore_put(ctx, store, "p/2", text("a"));

    assert_int_not_equal(taken.code, HF_OK);
    assert_int_not_equal(taken.code, HF_ALREADY_EXISTS);
    assert_int_not_equal(fresh.code, HF_OK);
    store->ops->append_leave(appender);
    store->ops->append_leave(closing);
}

static void test_store__promises_nothing_in_a_directory_that_was_moved_away(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < HF_LEN(moves); i++) {
        check_move(&f->ctx, moves[i], hf_printf(f->ctx.arena, "%s/%zu", f->dir, i));
    }
}

static void test_append__promises_nothing_in_a_file_that_lost_its_name(void **state)
{
    static const char *const losses[] = {"rm $0/w/1-open", "mv $0/w $0/x && cp -a $0/x $0/w"};
    struct fixture *f = *state;

    for (size_t i = 0; i < HF_LEN(losses); i++) {
        const char *dir = hf_printf(f->ctx.arena, "%s/%zu", f->dir, i);
        HF_CLEANUP(objstore_free) struct objstore *store = NULL;
        struct objstore_appender *appender = NULL;

        assert_ok(objstore_local_open(&f->ctx, dir, true, &store));
        assert_ok(store->ops->append_create(&f->ctx, store, "w/1-open", &appender));
        assert_ok(store->ops->append(&f->ctx, appender, text("abc"), true));
        shell(losses[i], dir);
        assert_replaced(store->ops->append(&f->ctx, appender, text("de"), true));
        store->ops->append_leave(appender);
    }
}

static void test_store__a_cancelled_call_does_nothing(void **state)
{
    struct fixture *f = *state;
    const struct hf_cancel cancel = {true};
    struct objstore_page page;

    f->ctx.cancel = &cancel;
    assert_code(objstore_put(&f->ctx, f->store, "x", text("x")), HF_CANCELLED);
    f->ctx.cancel = NULL;
    assert_ok(objstore_list_all(&f->ctx, f->store, "", 10, &page));
    assert_int_equal(page.len, 0);
}

#define store_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name__only_plain_ones_are_valid),
        store_test(test_store__puts_reads_and_removes),
        store_test(test_store__never_overwrites),
        store_test(test_store__refuses_names_that_leave_it),
        store_test(test_store__files_are_private),
        store_test(test_store__absent_directory_is_not_found),
        store_test(test_store__exactly_one_creator_wins),
        store_test(test_store__survives_vanishing_directories),
        store_test(test_store__killed_writer_leaves_whole_objects_or_none),
        store_test(test_store__what_died_before_the_link_is_not_listed),
        store_test(test_list__is_in_byte_order_of_full_names),
        store_test(test_list__pages_without_gap_or_repeat),
        store_test(test_list__keeps_to_its_prefix),
        store_test(test_append__grows_and_gets_its_name),
        store_test(test_append__left_one_stays_readable),
        store_test(test_append__promises_nothing_in_a_file_that_lost_its_name),
        store_test(test_store__promises_nothing_in_a_directory_that_was_moved_away),
        store_test(test_store__a_cancelled_call_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

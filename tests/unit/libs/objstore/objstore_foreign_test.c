/* A directory that others wrote into: what is not an object is neither read nor waited for nor
 * followed, and what is one stays readable. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/fd.h"
#include "objstore/objstore.h"
#include "tests/unit/unit.h"

enum { EMPTY_DIRS = 2000, MANY_FILES = 70000, PAGE = 30000, DEEP = 600 };

struct fixture {
    struct hf_ctx ctx;
    char home[64];
    const char *dir;     /* the store's */
    const char *outside; /* a directory beside it */
    struct objstore *store;
};

static void assert_code(struct hf_status status, enum hf_code wanted)
{
    if (status.code != wanted) {
        fail_msg("wanted %s, got %s: %s", hf_code_name(wanted), hf_code_name(status.code),
                 status.message != NULL ? status.message : "");
    }
}

static int setup(void **state)
{
    struct fixture *f = hf_heap_alloc(sizeof(*f));

    f->ctx.arena = hf_arena_new((size_t)1 << 28);
    f->ctx.deadline_us = hf_mono_us() + 60 * HF_US_PER_S;
    memcpy(f->home, "/tmp/hf-foreign-XXXXXX", sizeof("/tmp/hf-foreign-XXXXXX"));
    assert_non_null(mkdtemp(f->home));
    f->dir = hf_path_join(f->ctx.arena, f->home, "vault");
    f->outside = hf_path_join(f->ctx.arena, f->home, "outside");
    assert_int_equal(mkdir(f->outside, 0700), 0);
    assert_code(objstore_local_open(&f->ctx, f->dir, true, &f->store), HF_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    objstore_free(f->store);
    assert_code(hf_remove_tree(f->ctx.arena, f->home), HF_OK);
    hf_arena_free(f->ctx.arena);
    hf_heap_free(f);
    return 0;
}

static const char *at(const struct fixture *f, const char *name)
{
    return hf_path_join(f->ctx.arena, f->dir, name);
}

static void put(struct fixture *f, const char *name)
{
    const struct hf_bytes bytes = {(const uint8_t *)name, strlen(name)};

    assert_code(objstore_put(&f->ctx, f->store, name, bytes), HF_OK);
}

static void make_file(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "foreign", 7), 7);
    close(fd);
}

static void make_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(strlen(path) < sizeof(address.sun_path));
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

static struct objstore_page listing(struct fixture *f, const char *prefix)
{
    struct objstore_page page = {0};

    assert_code(objstore_list(&f->ctx, f->store, prefix, NULL, 1000, &page), HF_OK);
    assert_true(page.is_complete);
    return page;
}

/* Everything that can stand at an object's name and is none. */
static void plant(struct fixture *f)
{
    put(f, "a/b");
    assert_int_equal(mkfifo(at(f, "a/fifo"), 0600), 0);
    make_socket(at(f, "a/socket"));
    make_file(hf_path_join(f->ctx.arena, f->outside, "file"));
    assert_int_equal(symlink("../../outside/file", at(f, "a/link")), 0);
    assert_int_equal(symlink("../../outside", at(f, "a/dir")), 0);
    assert_int_equal(symlink("loop", at(f, "a/loop")), 0);
    assert_int_equal(mkdir(at(f, "a/empty"), 0700), 0);
}

static void test_foreign__what_is_no_file_is_no_object(void **state)
{
    static const char *const names[] = {"a/fifo", "a/socket",   "a/link", "a/dir",
                                        "a/loop", "a/dir/file", "a",      "a/empty"};
    struct fixture *f = *state;
    uint64_t size = 0;
    uint8_t byte;

    plant(f);
    for (size_t i = 0; i < HF_LEN(names); i++) {
        assert_code(objstore_head(&f->ctx, f->store, names[i], &size), HF_NOT_FOUND);
        assert_code(objstore_read(&f->ctx, f->store, names[i], 0, 1, &byte), HF_NOT_FOUND);
    }
    struct objstore_page page = listing(f, "");

    assert_int_equal(page.len, 1);
    assert_string_equal(page.entries[0].name, "a/b");
}

static void test_foreign__device_is_no_object(void **state)
{
    struct fixture *f = *state;
    uint64_t size = 0;

    if (geteuid() != 0 || mknod(at(f, "zero"), S_IFCHR | 0600, makedev(1, 5)) != 0) {
        return; /* nobody else can make one */
    }
    assert_code(objstore_head(&f->ctx, f->store, "zero", &size), HF_NOT_FOUND);
    assert_int_equal(listing(f, "").len, 0);
}

static void test_foreign__nothing_is_written_or_removed_through_a_link(void **state)
{
    static const uint8_t byte[1] = {1};
    struct fixture *f = *state;
    struct objstore_appender *appender = NULL;
    const char *file = hf_path_join(f->ctx.arena, f->outside, "file");

    plant(f);
    assert_false(
        hf_is_ok(objstore_put(&f->ctx, f->store, "a/dir/new", (struct hf_bytes){byte, 1})));
    assert_false(
        hf_is_ok(objstore_put(&f->ctx, f->store, "a/dir/new/x", (struct hf_bytes){byte, 1})));
    assert_false(
        hf_is_ok(f->store->ops->append_create(&f->ctx, f->store, "a/dir/grows", &appender)));
    assert_code(objstore_remove(&f->ctx, f->store, "a/dir/file"), HF_FAILED_PRECONDITION);
    assert_true(hf_path_exists(file));
    assert_false(hf_path_exists(hf_path_join(f->ctx.arena, f->outside, "new")));
    assert_false(hf_path_exists(hf_path_join(f->ctx.arena, f->outside, "grows")));
    assert_code(objstore_remove(&f->ctx, f->store, "a/link"), HF_OK);
    assert_true(hf_path_exists(file));
}

static void test_foreign__opening_sweeps_no_other_directory(void **state)
{
    struct fixture *f = *state;
    const char *file = hf_path_join(f->ctx.arena, f->outside, "old");
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    struct objstore *again = NULL;

    make_file(file);
    assert_int_equal(utimensat(AT_FDCWD, file, long_ago, 0), 0);
    assert_int_equal(rmdir(at(f, ".tmp")), 0);
    assert_int_equal(symlink("../outside", at(f, ".tmp")), 0);
    assert_code(objstore_local_open(&f->ctx, f->dir, true, &again), HF_OK);
    objstore_free(again);
    assert_true(hf_path_exists(file));
}

static void test_foreign__names_that_no_object_has_are_not_listed(void **state)
{
    static const char *const names[] = {"a/with space", "a/new\nline", "a/\xff\xfe", "a/\x1b[31m",
                                        "a/tilde~",     ".hidden",     "a/.hidden",  "lost+found"};
    struct fixture *f = *state;
    char *longest = hf_strdup(f->ctx.arena, "a/");

    put(f, "a/b");
    for (size_t i = 0; i < HF_LEN(names); i++) {
        make_file(at(f, names[i]));
    }
    for (int i = 0; i < 255; i++) {
        longest = hf_printf(f->ctx.arena, "%sx", longest);
    }
    make_file(at(f, longest));
    assert_int_equal(listing(f, "").len, 2);
    assert_string_equal(listing(f, "a/").entries[1].name, longest);
}

static void test_foreign__depth_is_no_error(void **state)
{
    struct fixture *f = *state;
    int dirs[DEEP + 1] = {open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

    put(f, "z");
    for (int i = 0; i < DEEP; i++) {
        assert_int_equal(mkdirat(dirs[i], "dd", 0700), 0);
        dirs[i + 1] = openat(dirs[i], "dd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    assert_int_equal(listing(f, "").len, 1);
    for (int i = DEEP; i >= 0; i--) {
        close(dirs[i]);
        assert_true(i == 0 || unlinkat(dirs[i - 1], "dd", AT_REMOVEDIR) == 0);
    }
}

static void test_foreign__empty_directories_hide_nothing(void **state)
{
    struct fixture *f = *state;
    int dir;

    put(f, "a/d001000.x/y");
    put(f, "a/zz");
    dir = open(at(f, "a"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < EMPTY_DIRS; i++) {
        assert_int_equal(mkdirat(dir, hf_printf(f->ctx.arena, "d%06d", i), 0700), 0);
    }
    close(dir);
    struct objstore_page page = listing(f, "a/");

    assert_int_equal(page.len, 2);
    assert_string_equal(page.entries[0].name, "a/d001000.x/y");
}

/* More entries than are held at once: the listing goes on behind the window. */
static void test_foreign__a_directory_of_many_windows_is_listed_in_order(void **state)
{
    struct fixture *f = *state;
    struct objstore_page page = {.is_complete = false};
    const char *after = NULL;
    char name[16];
    int seen = 0;
    int dir = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (int i = MANY_FILES - 1; i >= 0; i--) {
        (void)snprintf(name, sizeof(name), "f%06d", i);
        assert_int_equal(mknodat(dir, name, S_IFREG | 0600, 0), 0);
    }
    close(dir);
    while (!page.is_complete) {
        assert_code(objstore_list(&f->ctx, f->store, "", after, PAGE, &page), HF_OK);
        for (size_t i = 0; i < page.len; i++, seen++) {
            (void)snprintf(name, sizeof(name), "f%06d", seen);
            assert_string_equal(page.entries[i].name, name);
        }
        after = page.entries[page.len - 1].name;
    }
    assert_int_equal(seen, MANY_FILES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_foreign__what_is_no_file_is_no_object, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_foreign__device_is_no_object, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign__nothing_is_written_or_removed_through_a_link,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign__opening_sweeps_no_other_directory, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_foreign__names_that_no_object_has_are_not_listed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign__depth_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign__empty_directories_hide_nothing, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            test_foreign__a_directory_of_many_windows_is_listed_in_order, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

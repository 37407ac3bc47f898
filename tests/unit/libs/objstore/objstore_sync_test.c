/* Durability of the local store: the order of flushes and links, and what a failed flush means.
 * The linker puts the wrappers below in the place of the system calls. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "objstore/objstore.h"
#include "tests/unit/unit.h"

/* One letter per call: f file flushed, d directory flushed, a data of a file flushed, l link. */
static char calls[64];
static int fail_with; /* errno of the next flush of a file; 0: works */

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);
int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags);

static void note(char call)
{
    size_t len = strlen(calls);

    if (len + 1 < sizeof(calls)) {
        calls[len] = call;
    }
}

int __wrap_fsync(int fd)
{
    struct stat info;

    assert_int_equal(fstat(fd, &info), 0);
    note(S_ISDIR(info.st_mode) ? 'd' : 'f');
    if (fail_with != 0 && S_ISREG(info.st_mode)) {
        errno = fail_with;
        return -1;
    }
    return __real_fsync(fd);
}

int __wrap_fdatasync(int fd)
{
    note('a');
    if (fail_with != 0) {
        errno = fail_with;
        return -1;
    }
    return __real_fdatasync(fd);
}

int __wrap_linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    int result = __real_linkat(from_dir, from, to_dir, to, flags);

    if (result == 0) {
        note('l');
    }
    return result;
}

struct fixture {
    struct hf_ctx ctx;
    char dir[64];
    struct objstore *store;
};

static int setup(void **state)
{
    struct fixture *f = hf_heap_alloc(sizeof(*f));

    fail_with = 0;
    f->ctx.arena = hf_arena_new(1 << 20);
    memcpy(f->dir, "/tmp/hf-objsync-XXXXXX", sizeof("/tmp/hf-objsync-XXXXXX"));
    assert_non_null(mkdtemp(f->dir));
    assert_true(hf_is_ok(objstore_local_open(&f->ctx, f->dir, true, &f->store)));
    memset(calls, 0, sizeof(calls));
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

static const struct hf_bytes abc = {(const uint8_t *)"abc", 3};

static void test_sync__put_flushes_file_then_links_then_flushes_directory(void **state)
{
    struct fixture *f = *state;

    assert_true(hf_is_ok(objstore_put(&f->ctx, f->store, "x", abc)));
    assert_string_equal(calls, "fld");
}

static void test_sync__new_directories_are_flushed_into_their_parents(void **state)
{
    struct fixture *f = *state;

    assert_true(hf_is_ok(objstore_put(&f->ctx, f->store, "a/b/x", abc)));
    assert_string_equal(calls, "fddld");
}

static void test_sync__put_fails_with_its_flush(void **state)
{
    struct fixture *f = *state;
    struct objstore_page page;

    fail_with = EIO;
    assert_false(hf_is_ok(objstore_put(&f->ctx, f->store, "x", abc)));
    fail_with = ENOSPC;
    assert_int_equal(objstore_put(&f->ctx, f->store, "x", abc).code, HF_RESOURCE_EXHAUSTED);
    assert_string_equal(calls, "ff");
    assert_true(hf_is_ok(objstore_list_all(&f->ctx, f->store, "", 10, &page)));
    assert_int_equal(page.len, 0);
}

static void test_sync__remove_flushes_the_directory(void **state)
{
    struct fixture *f = *state;

    assert_true(hf_is_ok(objstore_put(&f->ctx, f->store, "x", abc)));
    memset(calls, 0, sizeof(calls));
    assert_true(hf_is_ok(objstore_remove(&f->ctx, f->store, "x")));
    assert_string_equal(calls, "d");
}

static void test_sync__append_flushes_when_it_must(void **state)
{
    struct fixture *f = *state;
    const struct objstore_ops *ops = f->store->ops;
    struct objstore_appender *appender = NULL;

    assert_true(hf_is_ok(ops->append_create(&f->ctx, f->store, "o", &appender)));
    assert_true(hf_is_ok(ops->append(&f->ctx, appender, abc, false)));
    assert_true(hf_is_ok(ops->append(&f->ctx, appender, abc, true)));
    assert_true(hf_is_ok(ops->append_close_as(&f->ctx, appender, "c")));
    assert_string_equal(calls, "daaldd");
}

static void test_sync__after_a_failed_flush_an_appender_refuses(void **state)
{
    struct fixture *f = *state;
    const struct objstore_ops *ops = f->store->ops;
    struct objstore_appender *appender = NULL;

    assert_true(hf_is_ok(ops->append_create(&f->ctx, f->store, "o", &appender)));
    fail_with = EIO;
    assert_false(hf_is_ok(ops->append(&f->ctx, appender, abc, true)));
    fail_with = 0;
    assert_int_equal(ops->append(&f->ctx, appender, abc, true).code, HF_FAILED_PRECONDITION);
    assert_int_equal(ops->append_close_as(&f->ctx, appender, "c").code, HF_FAILED_PRECONDITION);
    ops->append_leave(appender);
}

#define sync_test(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        sync_test(test_sync__put_flushes_file_then_links_then_flushes_directory),
        sync_test(test_sync__new_directories_are_flushed_into_their_parents),
        sync_test(test_sync__put_fails_with_its_flush),
        sync_test(test_sync__remove_flushes_the_directory),
        sync_test(test_sync__append_flushes_when_it_must),
        sync_test(test_sync__after_a_failed_flush_an_appender_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

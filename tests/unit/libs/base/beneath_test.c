/* Names below a descriptor: what leads out is refused, with openat2 and without it (the linker puts
 * the wrapper below in the place of syscall). */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/beneath.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "tests/unit/unit.h"

#define NOBODY 65534

struct place {
    struct hf_arena *arena;
    char dir[64];
    int fd; /* of dir/in */
};

static bool is_old_kernel;
static bool is_never_ready; /* a lease of another process on the file */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

/* Of openat2 only: four arguments. */
long __wrap_syscall(long number, ...)
{
    va_list args;

    va_start(args, number);
    int dir = va_arg(args, int);
    const char *path = va_arg(args, const char *);
    const void *how = va_arg(args, const void *);
    size_t size = va_arg(args, size_t);

    va_end(args);
    if (number == SYS_openat2 && (is_old_kernel || is_never_ready)) {
        errno = is_old_kernel ? ENOSYS : EAGAIN;
        return -1;
    }
    return __real_syscall(number, dir, path, how, size);
}

static const char *at(struct place *place, const char *name)
{
    return hf_path_join(place->arena, place->dir, name);
}

static int set_up(void **state)
{
    struct place *place = hf_heap_alloc(sizeof(*place));

    place->arena = hf_arena_new(1 << 20);
    memcpy(place->dir, "/tmp/hf-beneath-XXXXXX", 23);
    assert_non_null(mkdtemp(place->dir));
    assert_true(hf_is_ok(hf_make_dirs(place->arena, at(place, "in/a/b"), 0755)));
    assert_true(hf_is_ok(hf_create_file(place->arena, at(place, "out"), "x", 1, 0644)));
    assert_true(hf_is_ok(hf_create_file(place->arena, at(place, "in/a/file"), "x", 1, 0644)));
    assert_int_equal(symlink(place->dir, at(place, "in/away")), 0);
    assert_int_equal(symlink("a", at(place, "in/near")), 0);
    assert_int_equal(symlink("/tmp/hf-beneath-nowhere", at(place, "in/a/dangling")), 0);
    place->fd = open(at(place, "in"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    is_old_kernel = false;
    *state = place;
    return place->fd < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    struct hf_status status = hf_remove_tree(place->arena, place->dir);

    is_old_kernel = false;
    close(place->fd);
    hf_arena_free(place->arena);
    hf_heap_free(place);
    return hf_is_ok(status) ? 0 : -1;
}

static bool opens(int dir, const char *path, int flags)
{
    HF_CLEANUP(hf_close) int fd = hf_beneath_open(dir, path, flags, 0600);

    return fd >= 0;
}

static void test_beneath__stays_below(void **state)
{
    static const char *const refused[] = {
        "..",       "../out",    "a/../../out", "/etc/passwd", "away/out",
        "away",     "near/file", "near",        "a/dangling",  "a/dangling/x",
        "a/file/x", "",          "../in/a",     "away/in/a/b", "/",
    };
    static const char *const taken[] = {"a", "a/b", "a/file", "."};
    struct place *place = *state;

    for (int old = 0; old < 2; old++) {
        is_old_kernel = old == 1;
        for (size_t i = 0; i < HF_LEN(refused); i++) {
            if (opens(place->fd, refused[i], O_RDONLY) ||
                opens(place->fd, refused[i], O_WRONLY | O_CREAT)) {
                fail_msg("%s was opened", refused[i]);
            }
        }
        for (size_t i = 0; i < HF_LEN(taken); i++) {
            assert_true(opens(place->fd, taken[i], O_RDONLY));
        }
    }
    assert_false(hf_path_exists("/tmp/hf-beneath-nowhere"));
}

static void test_beneath__creates_and_tells_what_is_there(void **state)
{
    struct place *place = *state;
    struct stat info;

    for (int old = 0; old < 2; old++) {
        is_old_kernel = old == 1;
        assert_true(opens(place->fd, "a/b/new", O_WRONLY | O_CREAT | O_EXCL));
        assert_int_equal(stat(at(place, "in/a/b/new"), &info), 0);
        assert_int_equal(info.st_mode & 07777, 0600);
        assert_false(opens(place->fd, "a/b/new", O_WRONLY | O_CREAT | O_EXCL));
        assert_int_equal(errno, EEXIST);
        assert_false(opens(place->fd, "a/none/new", O_WRONLY | O_CREAT | O_EXCL));
        assert_int_equal(errno, ENOENT);
        assert_int_equal(unlink(at(place, "in/a/b/new")), 0);
    }
}

static void test_beneath__parent_gives_the_last_part(void **state)
{
    struct place *place = *state;
    const char *name = NULL;

    for (int old = 0; old < 2; old++) {
        is_old_kernel = old == 1;
        HF_CLEANUP(hf_close) int near = hf_beneath_parent(place->fd, "x", &name);
        HF_CLEANUP(hf_close) int far = -1;

        assert_true(near >= 0);
        assert_string_equal(name, "x");
        far = hf_beneath_parent(place->fd, "a/b/y", &name);
        assert_true(far >= 0);
        assert_string_equal(name, "y");
        assert_int_equal(hf_beneath_parent(place->fd, "away/y", &name), -1);
        assert_int_equal(hf_beneath_parent(place->fd, "a/..", &name), -1);
        assert_int_equal(hf_beneath_parent(place->fd, "a/", &name), -1);
    }
}

/* --- places --------------------------------------------------------------------------------- */

static struct hf_place find(struct place *place, const char *path)
{
    struct hf_place found = {.fd = -1};
    struct hf_status status = hf_place_find(place->arena, path, &found);

    if (!hf_is_ok(status)) {
        fail_msg("%s: %s", path, status.message);
    }
    return found;
}

static void assert_refused(struct place *place, const char *path, enum hf_code code)
{
    struct hf_place found = {.fd = -1};
    struct hf_status status = hf_place_find(place->arena, path, &found);

    if (status.code != code) {
        fail_msg("%s: %s: %s", path, hf_code_name(status.code), status.message);
    }
    assert_int_equal(found.fd, -1);
}

static void test_place__follows_as_far_as_there_is_something(void **state)
{
    static const struct {
        const char *path;
        const char *rest;
        const char *is; /* the directory that is reached */
    } cases[] = {
        {"in/a", "", "in/a"},        {"in/a/x", "x", "in/a"},   {"in//a/.//x//y/", "x/y", "in/a"},
        {"in/near/b", "", "in/a/b"}, {"in/a/../a", "", "in/a"}, {"in/away/in/q", "q", "in"},
        {"in/a/", "", "in/a"},
    };
    struct place *place = *state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct hf_place found = find(place, at(place, cases[i].path));
        struct stat named;

        assert_string_equal(found.rest, cases[i].rest);
        assert_int_equal(stat(at(place, cases[i].is), &named), 0);
        assert_int_equal(found.ino, named.st_ino);
        close(found.fd);
    }
    assert_refused(place, "relative", HF_INVALID_ARGUMENT);
    assert_refused(place, at(place, "in/none/../x"), HF_INVALID_ARGUMENT);
    assert_refused(place, at(place, "out/x"), HF_FAILED_PRECONDITION);
    assert_int_equal(symlink("loop", at(place, "in/loop")), 0);
    assert_refused(place, at(place, "in/loop/x"), HF_FAILED_PRECONDITION);
}

/* As root: whoever owns a directory or a link on the way does not choose where it leads. */
static void test_place__follows_no_link_of_another_user(void **state)
{
    struct place *place = *state;

    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chown(at(place, "in"), NOBODY, NOBODY), 0);
    assert_refused(place, at(place, "in/near/x"), HF_FAILED_PRECONDITION);
    assert_refused(place, at(place, "in/a/../x"), HF_FAILED_PRECONDITION);
    struct hf_place found = find(place, at(place, "in/a/x"));

    assert_string_equal(found.rest, "x");
    close(found.fd);
    assert_int_equal(chown(at(place, "in"), 0, 0), 0);
    assert_int_equal(lchown(at(place, "in/near"), NOBODY, NOBODY), 0);
    assert_refused(place, at(place, "in/near/x"), HF_FAILED_PRECONDITION);
}

static bool is_within(struct place *place, const char *a, const char *b)
{
    struct hf_place inner = find(place, at(place, a));
    struct hf_place outer = find(place, at(place, b));
    bool is = false;

    assert_true(hf_is_ok(hf_place_is_within(place->arena, &inner, &outer, &is)));
    close(inner.fd);
    close(outer.fd);
    return is;
}

static void test_place__knows_what_lies_in_what(void **state)
{
    struct place *place = *state;

    assert_true(is_within(place, "in/a", "in"));
    assert_true(is_within(place, "in", "in"));
    assert_true(is_within(place, "in/a/b/x/y", "in/near/b"));
    assert_true(is_within(place, "in/x/y", "in/x"));
    assert_true(is_within(place, "in/x", "in/near/../x"));
    assert_false(is_within(place, "in", "in/a"));
    assert_false(is_within(place, "in/xy", "in/x"));
    assert_false(is_within(place, "in/x", "in/x/y"));
    assert_false(is_within(place, "in/a/x", "in/x"));
}

static void test_beneath__does_not_wait_for_ever(void **state)
{
    const struct place *place = *state;

    is_never_ready = true;
    assert_int_equal(hf_beneath_open(place->fd, "file", O_RDONLY | O_NONBLOCK, 0), -1);
    is_never_ready = false;
    assert_int_equal(errno, EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_beneath__stays_below, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_beneath__creates_and_tells_what_is_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_beneath__parent_gives_the_last_part, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_place__follows_as_far_as_there_is_something, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_place__follows_no_link_of_another_user, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_place__knows_what_lies_in_what, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_beneath__does_not_wait_for_ever, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Directories of processes side by side: each its own, and nobody's but those of the dead. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "svc/run_dir.h"
#include "tests/unit/unit.h"

#define TOO_DEEP 80 /* levels: hf_remove_tree goes into 64 */
#define CHILDREN 4
#define ROUNDS 200

struct place {
    struct hf_arena *arena;
    char *root;
    const char *parent;
};

static int place_make(void **state)
{
    struct place *place = hf_heap_alloc(sizeof(*place));

    place->arena = hf_arena_new(8 << 20);
    place->root = hf_strdup(place->arena, "/tmp/hf-run-dir-XXXXXX");
    HF_CHECK(mkdtemp(place->root) != NULL);
    place->parent = hf_path_join(place->arena, place->root, "cache/connect");
    *state = place;
    return 0;
}

static int place_remove(void **state)
{
    struct place *place = *state;

    HF_CHECK(hf_is_ok(hf_remove_tree(place->arena, place->root)));
    hf_arena_free(place->arena);
    hf_heap_free(place);
    return 0;
}

static struct svc_run_dir *open_dir(struct hf_arena *arena, const struct place *place)
{
    struct svc_run_dir *dir = NULL;

    assert_int_equal(svc_run_dir_open(arena, place->parent, &dir).code, HF_OK);
    return dir;
}

static const char *put_file(struct hf_arena *arena, const char *dir, const char *name)
{
    const char *path = hf_path_join(arena, dir, name);

    assert_int_equal(hf_create_file(arena, path, "x", 1, 0600).code, HF_OK);
    return path;
}

static void test_run_dir__of_a_living_process_is_left_alone(void **state)
{
    struct place *place = *state;
    struct svc_run_dir *first = open_dir(place->arena, place);
    const char *file = put_file(place->arena, svc_run_dir_path(first), "tls.key");
    struct svc_run_dir *second = open_dir(place->arena, place);

    assert_string_not_equal(svc_run_dir_path(first), svc_run_dir_path(second));
    assert_true(hf_path_exists(file));
    svc_run_dir_free(second);
    assert_true(hf_path_exists(file));
    svc_run_dir_free(first);
    assert_false(hf_path_exists(file));
}

static void test_run_dir__is_private_and_goes_with_all_in_it(void **state)
{
    struct place *place = *state;
    struct svc_run_dir *dir = open_dir(place->arena, place);
    const char *path = hf_strdup(place->arena, svc_run_dir_path(dir));
    struct stat found;

    assert_int_equal(stat(path, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0700);
    assert_int_equal(stat(place->parent, &found), 0);
    assert_int_equal(found.st_mode & 07777, 0700);
    assert_int_equal(hf_make_dirs(place->arena, hf_path_join(place->arena, path, "a/b"), 0700).code,
                     HF_OK);
    svc_run_dir_free(dir);
    assert_false(hf_path_exists(path));
    assert_true(hf_path_exists(place->parent));
}

/* What a killed process left, in the form of this release or of an earlier one. */
static void test_run_dir__of_the_dead_is_emptied(void **state)
{
    struct place *place = *state;
    const char *outside = hf_path_join(place->arena, place->root, "outside");
    const char *old = hf_path_join(place->arena, place->parent, "source-abcdef");

    assert_int_equal(hf_make_dirs(place->arena, old, 0700).code, HF_OK);
    assert_int_equal(hf_make_dirs(place->arena, outside, 0700).code, HF_OK);
    put_file(place->arena, old, "tls.key");
    const char *kept = put_file(place->arena, outside, "kept");
    assert_int_equal(symlink(outside, hf_path_join(place->arena, place->parent, "link")), 0);
    struct svc_run_dir *dir = open_dir(place->arena, place);
    assert_false(hf_path_exists(old));
    assert_true(hf_path_exists(kept));
    svc_run_dir_free(dir);
}

/* The library's call comes here: another process that starts was faster, once. */
static bool is_overtaken;

int flock(int fd, int operation)
{
    char link[64];
    char path[4096];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (is_overtaken) {
        ssize_t len = readlink(link, path, sizeof(path) - 1);

        is_overtaken = false;
        assert_true(len > 0);
        path[len] = '\0';
        assert_int_equal(rmdir(path), 0);
    }
    return (int)syscall(SYS_flock, fd, operation);
}

static void test_run_dir__that_was_removed_before_it_was_locked_is_none(void **state)
{
    struct place *place = *state;

    is_overtaken = true;
    struct svc_run_dir *dir = open_dir(place->arena, place);

    assert_false(is_overtaken);
    put_file(place->arena, svc_run_dir_path(dir), "tls.key");
    svc_run_dir_free(dir);
}

/* An entry that is not ours to remove, here one that is too deep, hinders no start. */
static void test_run_dir__starts_beside_what_it_cannot_remove(void **state)
{
    struct place *place = *state;
    const char *deep = hf_path_join(place->arena, place->parent, "deep");
    const char *dead = hf_path_join(place->arena, place->parent, "process-dead");
    const char *half = NULL;

    for (int i = 0; i < TOO_DEEP; i++) {
        deep = hf_path_join(place->arena, deep, "d");
        half = i == TOO_DEEP / 2 ? deep : half;
    }
    assert_int_equal(hf_make_dirs(place->arena, deep, 0700).code, HF_OK);
    assert_int_equal(hf_make_dirs(place->arena, dead, 0700).code, HF_OK);
    struct svc_run_dir *dir = open_dir(place->arena, place);

    assert_true(hf_path_exists(deep));
    assert_false(hf_path_exists(dead));
    svc_run_dir_free(dir);
    assert_int_equal(rename(half, hf_path_join(place->arena, place->root, "half")), 0);
}

/* Exit code of a child: 0 when nobody has ever touched what it had. */
static int live_for_a_while(const struct place *place)
{
    for (int i = 0; i < ROUNDS; i++) {
        HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new(1 << 20);
        struct svc_run_dir *dir = NULL;

        if (!hf_is_ok(svc_run_dir_open(arena, place->parent, &dir))) {
            return 1;
        }
        const char *path = hf_path_join(arena, svc_run_dir_path(dir), "file");
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

        if (fd < 0 || close(fd) != 0 || access(path, F_OK) != 0) {
            return 2;
        }
        svc_run_dir_free(dir);
    }
    return 0;
}

static void test_run_dir__of_many_that_start_and_end_at_once(void **state)
{
    struct place *place = *state;

    for (int i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            _exit(live_for_a_while(place));
        }
    }
    for (int i = 0; i < CHILDREN; i++) {
        int status = 0;

        assert_true(wait(&status) > 0);
        assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
    }
}

#define place_test(fn) cmocka_unit_test_setup_teardown(fn, place_make, place_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        place_test(test_run_dir__of_a_living_process_is_left_alone),
        place_test(test_run_dir__is_private_and_goes_with_all_in_it),
        place_test(test_run_dir__of_the_dead_is_emptied),
        place_test(test_run_dir__that_was_removed_before_it_was_locked_is_none),
        place_test(test_run_dir__starts_beside_what_it_cannot_remove),
        place_test(test_run_dir__of_many_that_start_and_end_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who holds a lock, when that is nobody who has a pid here. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/lock.h"
#include "tests/unit/unit.h"

static struct hf_arena *arena;
static struct hf_ctx ctx;
static const char *path;

static void check_refused(const char *by)
{
    int fd = -1;
    struct hf_status status = lock_take(&ctx, path, 0, &fd);

    assert_int_equal(status.code, HF_ALREADY_EXISTS);
    assert_string_equal(status.info->reason, "LOCKED");
    assert_non_null(strstr(status.message, by));
    assert_null(strstr(status.message, "kill"));
    assert_int_equal(fd, -1);
}

/* A lock of an open file is no process's: the kernel says -1 of it, which for kill(2) is everybody.
 */
static void test_lock__of_no_process_is_held_by_nobody_known(void **state)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    HF_CLEANUP(hf_close) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_false(lock_look(path).is_held);
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &whole), 0);
    assert_true(lock_look(path).is_held);
    assert_int_equal(lock_look(path).pid, 0);
    check_refused("cannot be seen from here");
}

static void test_lock__of_a_process_names_it(void **state)
{
    int ready[2];
    char byte = 0;
    int status = 0;

    (void)state;
    HF_CHECK(pipe(ready) == 0);
    pid_t pid = fork();

    if (pid == 0) {
        int fd = -1;
        bool is_taken = hf_is_ok(lock_take(&ctx, path, 0, &fd));

        HF_CHECK(write(ready[1], is_taken ? "1" : "0", 1) == 1);
        (void)pause();
        _exit(0);
    }
    HF_CHECK(read(ready[0], &byte, 1) == 1);
    assert_int_equal(byte, '1');
    assert_true(lock_look(path).is_held);
    assert_int_equal(lock_look(path).pid, pid);
    check_refused(hf_printf(arena, "process %d ", (int)pid));
    HF_CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
    assert_false(lock_look(path).is_held);
}

static int set_up(void **state)
{
    (void)state;
    arena = hf_arena_new((size_t)1 << 20);
    ctx = (struct hf_ctx){.arena = arena};
    path = hf_printf(arena, "/tmp/hf-lock.%d", (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    HF_CHECK(unlink(path) == 0);
    hf_arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lock__of_no_process_is_held_by_nobody_known, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_lock__of_a_process_names_it, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

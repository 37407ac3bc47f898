/* Logs of real processes, one of which writes as fast as it can. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/logs.h"
#include "tests/unit/unit.h"

#define FILE_BYTES (64 << 10)
#define FILES 3
#define FLOOD_BYTES ((size_t)64 << 20)

static const struct logs_limits limits = {FILE_BYTES, FILES};

struct fixture {
    struct hf_ctx ctx;
    char dir[64];
};

static int set_up(void **state)
{
    struct fixture *fixture = hf_heap_alloc(sizeof(*fixture));

    fixture->ctx.arena = hf_arena_new((size_t)16 << 20);
    memcpy(fixture->dir, "/tmp/hf-logs-test-XXXXXX", 25);
    *state = fixture;
    return mkdtemp(fixture->dir) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct hf_status status = hf_remove_tree(fixture->ctx.arena, fixture->dir);

    hf_arena_free(fixture->ctx.arena);
    hf_heap_free(fixture);
    return hf_is_ok(status) ? 0 : -1;
}

static const char *path_of(struct fixture *fixture, const char *name)
{
    return hf_path_join(fixture->ctx.arena, fixture->dir, name);
}

static int64_t size_of(struct fixture *fixture, const char *name)
{
    struct stat found;

    return stat(path_of(fixture, name), &found) == 0 ? found.st_size : -1;
}

static int open_log(struct fixture *fixture, const char *name)
{
    int fd = open(path_of(fixture, name), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    return fd;
}

static void fill(struct fixture *fixture, const char *name, char byte, size_t len)
{
    HF_CLEANUP(hf_close) int fd = open_log(fixture, name);
    static char bytes[4 * FILE_BYTES];

    memset(bytes, byte, len);
    assert_int_equal(write(fd, bytes, len), len);
}

static char first_byte(struct fixture *fixture, const char *name)
{
    HF_CLEANUP(hf_close) int fd = open(path_of(fixture, name), O_RDONLY | O_CLOEXEC);
    char byte = '-';

    return fd >= 0 && read(fd, &byte, 1) == 1 ? byte : '-';
}

static void test_logs__long_files_move_and_old_ones_go(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, "short.log", 's', FILE_BYTES);
    fill(fixture, "notes.txt", 'n', FILE_BYTES + 1);
    for (char round = 'a'; round <= 'e'; round++) {
        fill(fixture, "a.log", round, FILE_BYTES + 1);
        logs_tend(&fixture->ctx, fixture->dir, &limits);
        assert_int_equal(size_of(fixture, "a.log"), 0);
        assert_int_equal(first_byte(fixture, "a.log.1"), round);
    }
    assert_int_equal(first_byte(fixture, "a.log.2"), 'd');
    assert_int_equal(size_of(fixture, "a.log.3"), -1);
    assert_int_equal(size_of(fixture, "a.log.1"), FILE_BYTES);
    assert_int_equal(size_of(fixture, "short.log"), FILE_BYTES);
    assert_int_equal(size_of(fixture, "notes.txt"), FILE_BYTES + 1);
}

static _Noreturn void flood(int fd)
{
    static char line[4096];

    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\n';
    for (size_t written = 0; written < FLOOD_BYTES; written += sizeof(line)) {
        HF_CHECK(write(fd, line, sizeof(line)) == (ssize_t)sizeof(line));
    }
    HF_CHECK(write(fd, "end\n", 4) == 4);
    _exit(0);
}

/* The writer is never held up, goes on in the same file, and the bound holds when it has ended. */
static void test_logs__a_flood_stays_within_the_bound(void **state)
{
    struct fixture *fixture = *state;
    HF_CLEANUP(hf_close) int fd = open_log(fixture, "a.log");
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        flood(fd);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        logs_tend(&fixture->ctx, fixture->dir, &limits);
        (void)poll(NULL, 0, 1);
    }
    assert_int_equal(status, 0);
    logs_tend(&fixture->ctx, fixture->dir, &limits);
    assert_in_range(size_of(fixture, "a.log"), 0, FILE_BYTES);
    assert_in_range(size_of(fixture, "a.log.1"), 1, FILE_BYTES);
    assert_in_range(size_of(fixture, "a.log.2"), 1, FILE_BYTES);
    assert_int_equal(size_of(fixture, "a.log.3"), -1);
}

static void test_logs__are_bounded_behind_a_link_to_their_directory(void **state)
{
    struct fixture *fixture = *state;
    const char *link = path_of(fixture, "link");

    assert_int_equal(symlink(".", link), 0);
    fill(fixture, "a.log", 'a', FILE_BYTES + 1);
    logs_tend(&fixture->ctx, link, &limits);
    assert_int_equal(size_of(fixture, "a.log"), 0);
    assert_int_equal(first_byte(fixture, "a.log.1"), 'a');
}

/* A disk without room: here a limit on the size of files. */
static void test_logs__without_room_old_text_is_given_up(void **state)
{
    struct fixture *fixture = *state;
    int status = 0;

    fill(fixture, "a.log", 'a', FILE_BYTES + 1);
    pid_t pid = fork();
    if (pid == 0) {
        const struct rlimit small = {1024, 1024};
        (void)sigaction(SIGXFSZ, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
        HF_CHECK(setrlimit(RLIMIT_FSIZE, &small) == 0);
        logs_tend(&fixture->ctx, fixture->dir, &limits);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(size_of(fixture, "a.log"), 0);
    assert_int_equal(size_of(fixture, "a.log.1"), -1);
}

static void test_logs__no_link_is_followed(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, "victim", 'v', FILE_BYTES + 1);
    assert_int_equal(symlink(path_of(fixture, "victim"), path_of(fixture, "a.log")), 0);
    fill(fixture, "b.log", 'b', FILE_BYTES + 1);
    assert_int_equal(symlink(path_of(fixture, "victim"), path_of(fixture, "b.log.1")), 0);
    logs_tend(&fixture->ctx, fixture->dir, &limits);
    assert_int_equal(size_of(fixture, "victim"), FILE_BYTES + 1);
    assert_int_equal(first_byte(fixture, "b.log.1"), 'b');
}

/* logrotate renames a log and tells nobody: its server goes on writing to it. */
static void test_logs__what_was_renamed_stays_within_the_bound(void **state)
{
    static const char *const names[] = {"a.log-20260101", "a.log.1", "a.log.2", "a.log.7"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < HF_LEN(names); i++) {
        fill(fixture, "a.log", (char)('a' + i), FILE_BYTES + 1);
        HF_CLEANUP(hf_close)
        int begun = logs_open(fixture->ctx.arena, fixture->dir, "a.log", 0, "");
        struct stat found;

        assert_int_equal(rename(path_of(fixture, "a.log"), path_of(fixture, names[i])), 0);
        fill(fixture, "a.log", 'n', 10); /* a server that was started after it */
        HF_CLEANUP(hf_close)
        int log = logs_open(fixture->ctx.arena, fixture->dir, "a.log", 0,
                            logs_mark(fixture->ctx.arena, begun)); /* another supervisor */
        logs_tend(&fixture->ctx, fixture->dir, &limits);
        logs_tend_open(&fixture->ctx, fixture->dir, "a.log", log, &limits);
        assert_int_equal(fstat(log, &found), 0);
        assert_int_equal(found.st_size, 0);
        assert_int_equal(first_byte(fixture, "a.log.1"), 'a' + i);
        assert_int_equal(size_of(fixture, "a.log"), 10);
        assert_int_equal(unlink(path_of(fixture, "a.log")), 0);
    }
}

static void test_logs__of_a_running_process_is_the_file_that_it_writes(void **state)
{
    struct fixture *fixture = *state;
    HF_CLEANUP(hf_close) int fd = open_log(fixture, "other");
    struct stat found;
    struct stat wanted;
    pid_t pid = fork();

    if (pid == 0) {
        HF_CHECK(dup2(fd, 1) == 1 && raise(SIGSTOP) == 0);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
    fill(fixture, "a.log", 'a', 1);
    HF_CLEANUP(hf_close) int log = logs_open(fixture->ctx.arena, fixture->dir, "a.log", pid, "");

    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_true(fstat(log, &found) == 0 && fstat(fd, &wanted) == 0);
    assert_int_equal(found.st_ino, wanted.st_ino);
    assert_int_equal(unlink(path_of(fixture, "other")), 0); /* and the process hides it */
    assert_int_equal(
        logs_open(fixture->ctx.arena, fixture->dir, "a.log", 0, logs_mark(fixture->ctx.arena, log)),
        -1);
}

static void test_logs__tail_is_the_end_of_any_length(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, "a.log", 'a', FILE_BYTES);
    fill(fixture, "a.log", 'e', 3);
    assert_string_equal(logs_tail(fixture->ctx.arena, path_of(fixture, "a.log"), 5), "aaeee");
    assert_int_equal(strlen(logs_tail(fixture->ctx.arena, path_of(fixture, "a.log"), 1 << 20)),
                     FILE_BYTES + 3);
    assert_string_equal(logs_tail(fixture->ctx.arena, path_of(fixture, "none"), 5), "");
    assert_string_equal(logs_tail(fixture->ctx.arena, fixture->dir, 5), "");
}

#define WITH_DIR(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DIR(test_logs__long_files_move_and_old_ones_go),
        WITH_DIR(test_logs__a_flood_stays_within_the_bound),
        WITH_DIR(test_logs__are_bounded_behind_a_link_to_their_directory),
        WITH_DIR(test_logs__without_room_old_text_is_given_up),
        WITH_DIR(test_logs__no_link_is_followed),
        WITH_DIR(test_logs__what_was_renamed_stays_within_the_bound),
        WITH_DIR(test_logs__of_a_running_process_is_the_file_that_it_writes),
        WITH_DIR(test_logs__tail_is_the_end_of_any_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

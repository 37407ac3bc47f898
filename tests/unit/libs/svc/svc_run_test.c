/* The process frame, run in a child process and driven by real signals. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "svc/run.h"
#include "tests/unit/unit.h"

struct settings {
    const char *mode;
};

static const struct svc_field fields[] = {
    {.key = "mode",
     .flag = "mode",
     .type = SVC_TEXT,
     .offset = offsetof(struct settings, mode),
     .fallback = "good",
     .help = "what the sample does"},
};
static const struct svc_program program = {"sample", "a sample", "9.9", fields, HF_LEN(fields)};

static struct hf_status confine(struct hf_arena *arena, const void *config,
                                struct svc_confine_rules *ret_rules)
{
    static const char *const read[] = {SVC_CONFINE_SYSTEM, NULL};
    const struct settings *settings = config;

    if (hf_text_equal(settings->mode, "lost")) {
        return hf_fail(arena, HF_NOT_FOUND, "no vault");
    }
    ret_rules->read = read;
    return hf_success();
}

static struct hf_status start(struct hf_ctx *ctx, const void *config,
                              const struct svc_confinement *confined, void **ret_app)
{
    const struct settings *settings = config;
    int root = open("/", O_RDONLY | O_CLOEXEC);

    HF_CHECK(confined->has_seccomp && confined->landlock == svc_confine_available().landlock);
    HF_CHECK(prctl(PR_GET_SECCOMP) == 2 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    HF_CHECK(root < 0 && errno == EACCES);

    if (hf_text_equal(settings->mode, "fails")) {
        return hf_fail_info(ctx->arena, HF_UNAVAILABLE, "NO_DATABASE", NULL, "no database");
    }
    HF_CHECK(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == HF_HAS_ASAN);
    HF_CHECK(ctx->stop != NULL && !atomic_load(&ctx->stop->is_set));
    *ret_app = hf_heap_strdup(settings->mode);
    HF_CHECK(write(STDOUT_FILENO, "up\n", 3) == 3);
    return hf_success();
}

static bool is_alive(void *app)
{
    return !hf_text_equal(app, "breaks");
}

static void stop(struct hf_ctx *ctx, void *app)
{
    if (hf_text_equal(app, "slow")) {
        HF_CHECK(write(STDOUT_FILENO, "stopping\n", 9) == 9);
        struct hf_status status = hf_ctx_sleep(ctx, 60000);
        HF_CHECK(status.code == HF_CANCELLED);
    }
    hf_heap_free(app);
}

static const struct svc_service service = {
    .program = &program,
    .config_size = sizeof(struct settings),
    .confine = confine,
    .start = start,
    .is_alive = is_alive,
    .stop = stop,
    .drain_ms = 30000,
};

struct child {
    pid_t pid;
    int out; /* its stdout and stderr */
};

static struct child child_start(const char *argument)
{
    int ends[2];
    struct child child = {0};

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    child.pid = fork();
    if (child.pid == 0) {
        char name[] = "sample";
        char flag[64] = "";
        memcpy(flag, argument, strlen(argument));
        char *argv[] = {name, flag, NULL};
        HF_CHECK(dup2(ends[1], STDOUT_FILENO) >= 0 && dup2(ends[1], STDERR_FILENO) >= 0);
        _exit(svc_main(&service, 2, argv));
    }
    close(ends[1]);
    child.out = ends[0];
    return child;
}

/* Read the child's output until it holds text. */
static void child_expect(const struct child *child, const char *text)
{
    char seen[4096] = "";
    size_t len = 0;

    while (strstr(seen, text) == NULL) {
        struct pollfd entry = {.fd = child->out, .events = POLLIN};
        assert_int_equal(poll(&entry, 1, 20000), 1);
        ssize_t got = read(child->out, seen + len, sizeof(seen) - 1 - len);
        if (got <= 0) {
            fail_msg("\"%s\" is not in: %s", text, seen);
        }
        len += (size_t)got;
        seen[len] = '\0';
    }
}

static int child_wait(struct child *child)
{
    int status = 0;

    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->out);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_service__ends_with_0_after_sigterm(void **state)
{
    struct child child = child_start("--mode=good");
    (void)state;

    child_expect(&child, "process.started");
    assert_int_equal(kill(child.pid, SIGHUP), 0);
    assert_int_equal(kill(child.pid, SIGPIPE), 0);
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    child_expect(&child, "process.stopped");
    assert_int_equal(child_wait(&child), 0);
}

static void test_service__start_failure_gives_1(void **state)
{
    struct child child = child_start("--mode=fails");
    (void)state;

    child_expect(&child, "\"code\":\"UNAVAILABLE\",\"reason\":\"NO_DATABASE\","
                         "\"message\":\"no database\"");
    assert_int_equal(child_wait(&child), 1);
}

static void test_service__what_cannot_be_confined_does_not_start(void **state)
{
    struct child child = child_start("--mode=lost");
    (void)state;

    child_expect(&child, "\"code\":\"NOT_FOUND\",\"reason\":\"\",\"message\":\"no vault\"");
    assert_int_equal(child_wait(&child), 1);
}

static void test_service__says_what_confines_it(void **state)
{
    struct child child = child_start("--mode=good");
    (void)state;

    child_expect(&child, "\"event\":\"process.confinement\",\"landlock\":");
    assert_int_equal(kill(child.pid, SIGTERM), 0);
    assert_int_equal(child_wait(&child), 0);
}

static void test_service__bad_configuration_gives_2(void **state)
{
    struct child child = child_start("--mod=x");
    (void)state;

    child_expect(&child, "did you mean --mode?");
    assert_int_equal(child_wait(&child), 2);
}

static void test_service__check_starts_nothing(void **state)
{
    struct child child = child_start("--check");
    char byte = 0;
    (void)state;

    assert_int_equal(read(child.out, &byte, 1), 0);
    assert_int_equal(child_wait(&child), 0);
}

static void test_service__broken_part_gives_1(void **state)
{
    struct child child = child_start("--mode=breaks");
    (void)state;

    child_expect(&child, "process.broken");
    assert_int_equal(child_wait(&child), 1);
}

static void test_service__second_signal_ends_a_slow_stop(void **state)
{
    struct child child = child_start("--mode=slow");
    (void)state;

    child_expect(&child, "process.started");
    assert_int_equal(kill(child.pid, SIGINT), 0);
    child_expect(&child, "stopping\n");
    assert_int_equal(kill(child.pid, SIGINT), 0);
    assert_int_equal(child_wait(&child), 0);
}

static void test_service__help_and_version_give_0(void **state)
{
    struct child child = child_start("--help");
    (void)state;

    child_expect(&child, "what the sample does");
    assert_int_equal(child_wait(&child), 0);
    child = child_start("--version");
    child_expect(&child, "sample 9.9\n");
    assert_int_equal(child_wait(&child), 0);
}

static void test_prepare__forbids_core_files(void **state)
{
    struct rlimit limit;
    (void)state;

    svc_process_prepare();
    assert_int_equal(getrlimit(RLIMIT_CORE, &limit), 0);
    assert_int_equal(limit.rlim_max, 0);
    assert_int_equal(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), HF_HAS_ASAN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_service__ends_with_0_after_sigterm),
        cmocka_unit_test(test_service__start_failure_gives_1),
        cmocka_unit_test(test_service__what_cannot_be_confined_does_not_start),
        cmocka_unit_test(test_service__says_what_confines_it),
        cmocka_unit_test(test_service__bad_configuration_gives_2),
        cmocka_unit_test(test_service__check_starts_nothing),
        cmocka_unit_test(test_service__broken_part_gives_1),
        cmocka_unit_test(test_service__second_signal_ends_a_slow_stop),
        cmocka_unit_test(test_service__help_and_version_give_0),
        cmocka_unit_test(test_prepare__forbids_core_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The private servers' lists, tried from a child that took a plan. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/sandbox.h"
#include "tests/unit/unit.h"

#define PROGRAM "/usr/bin/env" /* stands for the server */

static struct hf_arena *arena;
static struct place place;

static int make_place(void **state)
{
    static const char *const names[] = {"pg", "run", "keys", "vault"};

    (void)state;
    arena = hf_arena_new((size_t)1 << 20);
    place.dir = hf_printf(arena, "/tmp/sandbox.%d", (int)getpid());
    place.pg = hf_path_join(arena, place.dir, "pg");
    place.run = hf_path_join(arena, place.dir, "run");
    for (size_t i = 0; i < HF_LEN(names); i++) {
        const char *dir = hf_path_join(arena, place.dir, names[i]);
        HF_CHECK(hf_is_ok(hf_make_dirs(arena, dir, 0700)));
        HF_CHECK(hf_is_ok(hf_create_file(arena, hf_path_join(arena, dir, "file"), "x", 1, 0600)));
    }
    return 0;
}

static int remove_place(void **state)
{
    (void)state;
    HF_CHECK(hf_is_ok(hf_remove_tree(arena, place.dir)));
    hf_arena_free(arena);
    return 0;
}

/* The error of opening path by a child of that kind. */
static int opened_by(enum child_id id, const char *path, int flags)
{
    HF_CLEANUP(svc_confine_close) struct svc_confine_plan *plan = NULL;
    struct hf_ctx ctx = {.arena = arena};
    int status = 0;

    HF_CHECK(hf_is_ok(sandbox_make(&ctx, &place, id, PROGRAM, &plan)));
    pid_t pid = fork();
    if (pid == 0) {
        HF_CHECK(svc_confine_apply(plan) == 0);
        int fd = open(path, flags | O_CLOEXEC, 0600);
        _exit(fd < 0 ? errno : 0);
    }
    HF_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_sandbox__servers_open_their_own_files_only(void **state)
{
    static const struct {
        const char *path; /* below the place when relative */
        int of_postgres;
        int of_redis;
        int flags;
    } tries[] = {
        {"pg/file", 0, EACCES, O_RDWR},
        {"pg/new", 0, EACCES, O_RDWR | O_CREAT},
        {"run/file", 0, 0, O_RDWR},
        {"run/new", 0, 0, O_RDWR | O_CREAT},
        {"keys/file", EACCES, EACCES, O_RDONLY},
        {"keys", EACCES, EACCES, O_RDONLY | O_DIRECTORY},
        {"vault/file", EACCES, EACCES, O_RDONLY},
        {"vault/new", EACCES, EACCES, O_RDWR | O_CREAT},
        {"other", EACCES, EACCES, O_RDWR | O_CREAT},
        {"/etc/passwd", 0, 0, O_RDONLY},
        {"/dev/null", 0, 0, O_RDWR},
        {"/usr/bin/id", EACCES, EACCES, O_RDONLY},
        {"/root", EACCES, EACCES, O_RDONLY | O_DIRECTORY},
        {"/home", EACCES, EACCES, O_RDONLY | O_DIRECTORY},
        {"/tmp", EACCES, EACCES, O_RDONLY | O_DIRECTORY},
    };
    size_t wrong = 0;

    (void)state;
    for (size_t i = 0; i < HF_LEN(tries); i++) {
        const char *path =
            tries[i].path[0] == '/' ? tries[i].path : hf_path_join(arena, place.dir, tries[i].path);
        int postgres = opened_by(CHILD_POSTGRES, path, tries[i].flags);
        (void)unlink(hf_path_join(arena, place.run, "new"));
        int redis = opened_by(CHILD_REDIS, path, tries[i].flags);
        if (postgres != tries[i].of_postgres || redis != tries[i].of_redis) {
            print_error("%s: PostgreSQL %d, Redis %d\n", path, postgres, redis);
            wrong++;
        }
    }
    assert_int_equal(wrong, 0);
}

static void test_sandbox__servers_start_their_own_program_only(void **state)
{
    static const struct {
        const char *argument; /* of env, which starts it */
        int code;
    } starts[] = {{"--version", 0}, {"/usr/bin/id", 126}, {"/usr/bin/env", 0}};

    (void)state;
    for (size_t i = 0; i < HF_LEN(starts); i++) {
        HF_CLEANUP(svc_confine_close) struct svc_confine_plan *plan = NULL;
        struct hf_ctx ctx = {.arena = arena};
        int status = 0;

        assert_true(hf_is_ok(sandbox_make(&ctx, &place, CHILD_POSTGRES, PROGRAM, &plan)));
        pid_t pid = fork();
        if (pid == 0) {
            int null = open("/dev/null", O_WRONLY);
            HF_CHECK(dup2(null, 1) == 1 && dup2(null, 2) == 2 && svc_confine_apply(plan) == 0);
            execl(PROGRAM, "env", starts[i].argument, (char *)NULL);
            _exit(errno);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), starts[i].code);
    }
}

static void test_sandbox__the_service_confines_itself(void **state)
{
    struct svc_confine_plan *plan = NULL;
    struct hf_ctx ctx = {.arena = arena};

    (void)state;
    assert_true(hf_is_ok(sandbox_make(&ctx, &place, CHILD_BACKUP, PROGRAM, &plan)));
    assert_null(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sandbox__servers_open_their_own_files_only),
        cmocka_unit_test(test_sandbox__servers_start_their_own_program_only),
        cmocka_unit_test(test_sandbox__the_service_confines_itself),
    };

    return cmocka_run_group_tests(tests, make_place, remove_place);
}

/* Whom servers may run as: who the users of this machine are when they cannot be asked, who is
 * postgres by another name, who runs a server. The lookup of libc is ours here. */
#include <errno.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "cli/supervise/account.h"
#include "cli/supervise/postmaster.h"
#include "tests/unit/unit.h"

#define POSTGRES_UID 41000

static int error_now; /* of every lookup; 0: the table answers */

static struct {
    const char *name;
    uid_t uid;
} users[] = {{"pgadmin", POSTGRES_UID}, {"postgres", POSTGRES_UID}, {"alice", 41001}};

static int answer(size_t i, struct passwd *entry, struct passwd **ret_found)
{
    *ret_found = NULL;
    if (error_now != 0) {
        return error_now;
    }
    if (i < HF_LEN(users)) {
        static char name[32];

        memcpy(name, users[i].name, strlen(users[i].name) + 1);
        *entry = (struct passwd){.pw_name = name, .pw_uid = users[i].uid, .pw_gid = users[i].uid};
        *ret_found = entry;
    }
    return 0;
}

int getpwnam_r(const char *name, struct passwd *entry, char *text, size_t len,
               struct passwd **ret_found)
{
    size_t i = 0;
    (void)text;
    (void)len;

    while (i < HF_LEN(users) && strcmp(users[i].name, name) != 0) {
        i++;
    }
    return answer(i, entry, ret_found);
}

int getpwuid_r(uid_t uid, struct passwd *entry, char *text, size_t len, struct passwd **ret_found)
{
    size_t i = 0;
    (void)text;
    (void)len;

    while (i < HF_LEN(users) && users[i].uid != uid) {
        i++;
    }
    return answer(i, entry, ret_found);
}

/* A directory service that does not answer has not said that there is no such user. */
static void test_account__of_users_that_cannot_be_asked_is_unknown(void **state)
{
    static const struct {
        int error;
        enum hf_code code;
    } cases[] = {
        {EIO, HF_UNAVAILABLE},    {EMFILE, HF_UNAVAILABLE}, {ENOMEM, HF_UNAVAILABLE},
        {ERANGE, HF_UNAVAILABLE}, {EINTR, HF_UNAVAILABLE},  {ENOENT, HF_NOT_FOUND},
        {ESRCH, HF_NOT_FOUND},    {EPERM, HF_NOT_FOUND},    {EBADF, HF_NOT_FOUND},
    };
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)4 << 20);
    struct hf_ctx ctx = {.arena = arena};
    struct account account;
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        error_now = cases[i].error;
        assert_int_equal(account_find(arena, "alice", &account).code, cases[i].code);
        assert_int_equal(account_of(arena, 41001, 41001, &account).code,
                         cases[i].code == HF_NOT_FOUND ? HF_OK : cases[i].code);
        if (cases[i].code == HF_UNAVAILABLE) { /* nobody is made then */
            assert_int_equal(account_ensure(&ctx, &account).code, HF_UNAVAILABLE);
        }
    }
    error_now = 0;
    assert_int_equal(account_find(arena, "bob", &account).code, HF_NOT_FOUND);
    assert_true(hf_is_ok(account_find(arena, "alice", &account)));
    assert_int_equal(account.uid, 41001);
}

static void test_account__of_postgres_by_any_name_is_refused(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1 << 20);
    struct account account;
    (void)state;

    assert_true(hf_is_ok(account_find(arena, "pgadmin", &account)));
    assert_non_null(account_objection(&account));
    assert_true(hf_is_ok(account_of(arena, POSTGRES_UID, POSTGRES_UID, &account)));
    assert_non_null(account_objection(&account));
    assert_true(hf_is_ok(account_find(arena, "alice", &account)));
    assert_null(account_objection(&account));
}

static void test_account__with_nothing_behind_the_colon_keeps_its_group(void **state)
{
    static const struct {
        const char *text;
        enum hf_code code;
    } cases[] = {{"alice", HF_OK},
                 {"alice:", HF_OK},
                 {"41001:", HF_OK},
                 {"41009:", HF_INVALID_ARGUMENT},
                 {":alice", HF_INVALID_ARGUMENT},
                 {":", HF_INVALID_ARGUMENT},
                 {"bob:", HF_NOT_FOUND}};
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1 << 20);
    (void)state;

    for (size_t i = 0; i < HF_LEN(cases); i++) {
        struct account account = {.gid = 41001};

        assert_int_equal(account_parse(arena, cases[i].text, &account).code, cases[i].code);
        assert_int_equal(account.gid, 41001);
    }
}

/* A process that /proc calls postgres, with these words; stopped, or ended and not waited for. */
static pid_t pretend(const char *program, const char *const words[3], bool is_ended)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        execl(program, words[0], "-c", is_ended ? "exit 0" : "kill -STOP $$", words[1], words[2],
              (char *)NULL);
        _exit(127);
    }
    if (is_ended) {
        siginfo_t info;

        assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        return pid;
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

static void test_account__of_who_runs_a_server_is_told(void **state)
{
    const struct {
        const char *words[3];
        bool is_ended;
        bool is_server;
    } cases[] = {
        {{"postgres", NULL, NULL}, false, true},
        {{"/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main"}, false, true},
        {{"postgres", "-D", "/nowhere/pg"}, false, true},
        {{"postgres", "--boot", "-F"}, false, false},
        {{"postgres", "--single", "template1"}, false, false},
        {{"postgres", "-V", NULL}, false, false},
        {{"postgres", "-C", "data_directory"}, false, false},
        {{"postgres: checkpointer ", NULL, NULL}, false, false},
        {{"postgres", "-D", "/nowhere/pg"}, true, false},
    };
    const pid_t before = postmaster_of(getuid());
    char folder[] = "/tmp/hf-account-XXXXXX";
    static const char *const names[] = {"postgres", "postmaster"};
    char program[64];
    (void)state;

    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < HF_LEN(cases) * HF_LEN(names); i++) {
        size_t at = i / HF_LEN(names);

        HF_CHECK(snprintf(program, sizeof(program), "%s/%s", folder, names[i % HF_LEN(names)]) > 0);
        assert_int_equal(symlink("/bin/sh", program), 0);
        pid_t pid = pretend(program, cases[at].words, cases[at].is_ended);
        pid_t found = postmaster_of(getuid());

        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(found, before == 0 && cases[at].is_server ? pid : before);
        assert_int_equal(unlink(program), 0);
    }
    assert_int_equal(postmaster_of(41001), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_account__of_users_that_cannot_be_asked_is_unknown),
        cmocka_unit_test(test_account__of_postgres_by_any_name_is_refused),
        cmocka_unit_test(test_account__with_nothing_behind_the_colon_keeps_its_group),
        cmocka_unit_test(test_account__of_who_runs_a_server_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

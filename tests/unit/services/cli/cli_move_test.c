/* What root gives away, to whom, and that a move which is killed between any two of its steps is
 * gone on with. The calls that change an owner are counted here; the last that is let through is
 * the process's last. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "cli/supervise/site.h"
#include "tests/unit/unit.h"

#define KILLED 77
#define SETTINGS "install_id: \"i\"\nendpoint: \"127.0.0.1:1\"\nmetrics: \"127.0.0.1:2\"\n"

static struct hf_arena *arena;
static struct hf_ctx ctx;
static const char *dir;
static int steps_left = -1; /* -1: nobody counts */
static off_t stubborn_size; /* a file of this size cannot be given away; 0: none */
static int gifts_left = -1; /* of the quota; -1: there is none */

static void step(void)
{
    if (steps_left == 0) {
        _exit(KILLED);
    }
    steps_left -= steps_left > 0 ? 1 : 0;
}

/* A giving to whom it belongs changes nothing, and is no step. */
int fchownat(int at, const char *name, uid_t uid, gid_t gid, int flags)
{
    struct stat found;

    HF_CHECK(fstat(at, &found) == 0);
    if (stubborn_size != 0 && found.st_size == stubborn_size) {
        errno = EPERM;
        return -1;
    }
    if (found.st_uid != uid) {
        if (gifts_left == 0) {
            errno = EDQUOT;
            return -1;
        }
        gifts_left -= gifts_left > 0 ? 1 : 0;
        step();
    }
    return (int)syscall(SYS_fchownat, at, name, uid, gid, flags);
}

int fchown(int fd, uid_t uid, gid_t gid)
{
    step();
    return (int)syscall(SYS_fchown, fd, uid, gid);
}

/* --- trees ---------------------------------------------------------------------------------- */

enum who { ROOT, FORMER, SERVERS, BOB, ROOTS_LEFT /* root's, of no use, may go */ };

static struct account account_named(enum who who)
{
    static const char *const names[] = {"root", "postgres", "daemon", "nobody", "root"};
    struct account account;

    HF_CHECK(hf_is_ok(account_find(arena, names[who], &account)));
    return account;
}

struct entry {
    const char *name; /* ends with a slash: a directory */
    enum who who;
};

static const struct entry earlier[] = {
    {"", FORMER},
    {"keys/", FORMER},
    {"keys/vault.key", FORMER},
    {"cache/", FORMER},
    {"log/", FORMER},
    {"log/backup.log", FORMER},
    {"log/supervisor.log", ROOTS_LEFT},
    {"run/", FORMER},
    {"run/setup.lock", ROOTS_LEFT},
    {"run/supervisor.lock", ROOTS_LEFT},
    {"run/processes.json", ROOTS_LEFT},
    {"run/processes.json.tmp", ROOTS_LEFT},
    {"run/.s.PGSQL.5432.lock", FORMER},
    {"holdfast.yaml", ROOT},
    {"recovery-kit.txt", ROOT},
    {"pki/", FORMER},
    {"pki/ca/", ROOT},
    {"pki/ca/ca.key", ROOT},
    {"pki/ca/ca.crt", ROOT},
    {"pki/cli/", FORMER},
    {"pki/cli/tls.key", FORMER},
    {"vault/", FORMER},
    {"vault/a/", FORMER},
    {"vault/a/b/", FORMER},
    {"vault/a/b/1", FORMER},
    {"vault/a/b/2", FORMER},
    {"vault/holdfast-vault", FORMER},
    {"zz/", FORMER},
    {"zz/last/", FORMER},
    {"zz/last/1", FORMER},
};
static const struct entry copied[] = {
    {"", ROOT},
    {"keys/", ROOT},
    {"keys/vault.key", ROOT},
    {"vault/", ROOT},
    {"vault/a/", ROOT},
    {"vault/a/1", ROOT},
    {"vault/b/", FORMER},
    {"vault/b/1", FORMER},
    {"vault/c/", SERVERS},
    {"vault/c/1", SERVERS},
};

static void make_entry(const struct entry *entry)
{
    const struct account owner = account_named(entry->who);
    const char *path = hf_path_join(arena, dir, entry->name);

    if (entry->name[0] == '\0' || hf_has_suffix(entry->name, "/")) {
        HF_CHECK(mkdir(path, 0700) == 0);
    } else {
        const char *text = hf_text_equal(entry->name, "holdfast.yaml") ? SETTINGS : "x";

        HF_CHECK(hf_is_ok(hf_create_file(arena, path, text, strlen(text), 0600)));
    }
    HF_CHECK(lchown(path, owner.uid, owner.gid) == 0);
}

static void make_tree(const struct entry *entries, size_t len)
{
    HF_CHECK(hf_is_ok(hf_remove_tree(arena, dir)));
    for (size_t i = 0; i < len; i++) {
        make_entry(&entries[i]);
    }
}

static uid_t owner_of(const char *name)
{
    struct stat found;

    HF_CHECK(lstat(hf_path_join(arena, dir, name), &found) == 0);
    return found.st_uid;
}

static void check_all_belong_to(const struct entry *entries, size_t len, uid_t uid)
{
    for (size_t i = 0; i < len; i++) {
        if (entries[i].who == ROOTS_LEFT) {
            assert_int_equal(access(hf_path_join(arena, dir, entries[i].name), F_OK), -1);
        } else {
            assert_int_equal(owner_of(entries[i].name), uid);
        }
    }
}

/* As `up` does. */
static struct hf_status move_over(void)
{
    HF_CLEANUP(site_done) struct site site = {.walk = {.fd = -1}, .dir = -1};
    const struct account to = account_named(SERVERS);
    struct move move;

    HF_TRY(site_look(&ctx, dir, &site));
    if (!site.is_old && !site.has_roots) {
        return hf_success();
    }
    bool is_another = account_objection(&site.owner) != NULL;

    HF_TRY(site_plan_move(&ctx, &site, is_another ? &to : &site.owner, &move));
    HF_TRY(move_judge(&ctx, &move));
    return move_run(&ctx, &move);
}

/* Whether it came to its end. */
static bool move_until(int steps)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        steps_left = steps;
        _exit(hf_is_ok(move_over()) ? 0 : 1);
    }
    HF_CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == KILLED);
    return WEXITSTATUS(status) == 0;
}

static bool is_as_made(const struct entry *entries, size_t len)
{
    bool is_same = true;

    for (size_t i = 0; i < len; i++) {
        is_same = is_same && (entries[i].who == ROOTS_LEFT ||
                              owner_of(entries[i].name) == account_named(entries[i].who).uid);
    }
    return is_same;
}

/* What only a real gift shows: the judge's, which changes nothing, are within every quota. */
static void check_every_quota(const struct entry *entries, size_t len)
{
    bool is_done = false;

    for (int quota = 0; !is_done; quota++) {
        make_tree(entries, len);
        gifts_left = quota;
        struct hf_status status = move_over();

        gifts_left = -1;
        is_done = hf_is_ok(status);
        assert_true(quota > 0 || is_as_made(entries, len)); /* the earlier release goes on */
        assert_true(is_done || strstr(status.message, "cache/cache") == NULL);
        assert_true(move_until(-1)); /* goes on, without a quota */
        check_all_belong_to(entries, len, account_named(SERVERS).uid);
    }
}

static void check_every_kill(const struct entry *entries, size_t len)
{
    uid_t to = account_named(SERVERS).uid;
    bool is_done = false;

    for (int steps = 0; !is_done; steps++) {
        make_tree(entries, len);
        is_done = move_until(steps);
        (void)move_until(steps / 2); /* killed again, early and late */
        struct hf_status status = move_over();

        if (!hf_is_ok(status)) {
            fail_msg("killed after %d steps: %s", steps, status.message);
        }
        check_all_belong_to(entries, len, to);
    }
}

static const char *reason_of(struct hf_status status)
{
    return status.info == NULL ? "" : status.info->reason;
}

static void for_root_only(void)
{
    if (geteuid() != 0) {
        skip();
    }
}

/* --- tests ---------------------------------------------------------------------------------- */

static void test_move__killed_between_any_two_steps_is_gone_on_with(void **state)
{
    (void)state;
    for_root_only();
    check_every_kill(earlier, HF_LEN(earlier));
}

static void test_move__of_a_copy_of_roots_is_gone_on_with(void **state)
{
    (void)state;
    for_root_only();
    check_every_kill(copied, HF_LEN(copied));
}

static void test_move__that_fails_anywhere_is_undone_or_gone_on_with(void **state)
{
    (void)state;
    for_root_only();
    check_every_quota(earlier, HF_LEN(earlier));
    check_every_quota(copied, HF_LEN(copied));
}

static void test_move__of_what_cannot_be_given_changes_nothing(void **state)
{
    (void)state;
    for_root_only();
    make_tree(earlier, HF_LEN(earlier));
    HF_CHECK(
        hf_is_ok(hf_replace_file(arena, hf_path_join(arena, dir, "zz/last/1"), "12345", 5, 0600)));
    HF_CHECK(lchown(hf_path_join(arena, dir, "zz/last/1"), account_named(FORMER).uid, 0) == 0);
    stubborn_size = 5;
    struct hf_status status = move_over();

    stubborn_size = 0;
    assert_string_equal(reason_of(status), "NOT_TO_BE_MOVED");
    assert_non_null(strstr(status.message, "zz/last/1 cannot be given away"));
    assert_int_equal(owner_of(""), account_named(FORMER).uid);
    assert_int_equal(owner_of("keys/vault.key"), account_named(FORMER).uid);
}

struct trap {
    const char *what;
    struct entry entries[6];
    const char *reason;
};

/* Bob, or the former servers' user, calls something of root's what root's `up` would give away. */
static const struct trap traps[] = {
    {"a directory of root's called keys in a user's",
     {{"", BOB}, {"keys/", ROOT}, {"keys/secret", ROOT}},
     "NOT_TO_BE_MOVED"},
    {"a user's with an installation's settings of root's",
     {{"", BOB}, {"holdfast.yaml", ROOT}, {"recovery-kit.txt", ROOT}},
     "NOT_TO_BE_MOVED"},
    {"the former user's without settings",
     {{"", FORMER}, {"keys/", ROOT}, {"keys/secret", ROOT}},
     "FOREIGN_DIRECTORY"},
    {"the former user's with settings of its own",
     {{"", FORMER}, {"holdfast.yaml", FORMER}, {"recovery-kit.txt", ROOT}},
     "NOT_TO_BE_MOVED"},
    {"a file of root's that no release left",
     {{"", FORMER}, {"holdfast.yaml", ROOT}, {"keys/", FORMER}, {"keys/secret", ROOT}},
     "NOT_TO_BE_MOVED"},
    {"a file of root's below run that no release left",
     {{"", FORMER}, {"holdfast.yaml", ROOT}, {"run/", FORMER}, {"run/secret", ROOT}},
     "NOT_TO_BE_MOVED"},
    {"a directory of root's that no release left",
     {{"", FORMER}, {"holdfast.yaml", ROOT}, {"vault/", ROOT}, {"vault/secret", ROOT}},
     "NOT_TO_BE_MOVED"},
    {"a copy of root's with what lies in a user's",
     {{"", ROOT}, {"keys/", ROOT}, {"vault/", SERVERS}, {"vault/secret", ROOT}},
     "NOT_TO_BE_MOVED"},
    {"a closed one with a file of root's that no release left",
     {{"", ROOT}, {"holdfast.yaml", ROOT}, {"secret", ROOT}},
     "NOT_TO_BE_MOVED"},
};

static size_t entries_of(const struct trap *trap)
{
    size_t len = 0;

    while (len < HF_LEN(trap->entries) && trap->entries[len].name != NULL) {
        len++;
    }
    return len;
}

static void test_move__gives_away_nothing_that_somebody_put_there(void **state)
{
    (void)state;
    for_root_only();
    for (size_t i = 0; i < HF_LEN(traps); i++) {
        size_t len = entries_of(&traps[i]);

        make_tree(traps[i].entries, len);
        struct hf_status status = move_over();

        if (!hf_text_equal(reason_of(status), traps[i].reason)) {
            fail_msg("%s: %s", traps[i].what, status.message);
        }
        for (size_t k = 0; k < len; k++) {
            assert_int_equal(owner_of(traps[i].entries[k].name),
                             account_named(traps[i].entries[k].who).uid);
        }
    }
}

/* Root's own, which others may write to, says nothing by what is in it. */
static void test_move__takes_no_open_directory_of_roots_by_its_settings(void **state)
{
    static const struct entry open_to_others[] = {{"", ROOT}, {"holdfast.yaml", ROOT}};
    static const mode_t modes[] = {0770, 0702};

    (void)state;
    for_root_only();
    for (size_t i = 0; i < HF_LEN(modes); i++) {
        make_tree(open_to_others, HF_LEN(open_to_others));
        HF_CHECK(chmod(dir, modes[i]) == 0);
        struct hf_status status = move_over();

        assert_string_equal(reason_of(status), "FOREIGN_DIRECTORY");
        check_all_belong_to(open_to_others, HF_LEN(open_to_others), 0);
    }
}

/* A directory of root's that its neighbour calls what root is about to use. */
static void test_move__takes_no_directory_of_roots_out_of_a_users(void **state)
{
    const struct account bob = account_named(BOB);
    const char *home = dir;

    (void)state;
    for_root_only();
    make_tree((struct entry[]){{"", BOB}}, 1);
    dir = hf_path_join(arena, home, "installation");
    make_tree(copied, 3);
    struct hf_status status = move_over();

    assert_string_equal(reason_of(status), "FOREIGN_DIRECTORY");
    check_all_belong_to(copied, 3, 0);
    HF_CLEANUP(walk_done) struct walk walk = {.fd = -1};
    HF_CLEANUP(hf_close) int fd = -1;
    bool is_made = false;

    assert_true(hf_is_ok(walk_open(&ctx, dir, &walk)));
    status = walk_make(&ctx, &walk, bob.uid, &fd, &is_made);
    assert_string_equal(reason_of(status), "FOREIGN_DIRECTORY");
    dir = home;
}

static int set_up(void **state)
{
    (void)state;
    arena = hf_arena_new((size_t)256 << 20);
    ctx = (struct hf_ctx){.arena = arena};
    dir = hf_printf(arena, "/tmp/hf-move.%d", (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    HF_CHECK(hf_is_ok(hf_remove_tree(arena, dir)));
    hf_arena_free(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_move__killed_between_any_two_steps_is_gone_on_with,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_move__of_a_copy_of_roots_is_gone_on_with, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_move__that_fails_anywhere_is_undone_or_gone_on_with,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_move__of_what_cannot_be_given_changes_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_move__gives_away_nothing_that_somebody_put_there,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_move__takes_no_open_directory_of_roots_by_its_settings,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_move__takes_no_directory_of_roots_out_of_a_users,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

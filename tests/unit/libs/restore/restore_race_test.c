/* A neighbour who owns the directories above the target, and the user that the files will belong
 * to: he swaps directories for links in a loop while root restores. Whatever he wins, nothing
 * outside of his own directories changes. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/libs/restore/canary.h"
#include "tests/unit/libs/restore/whole_fixture.h"

#define NEIGHBOUR 65534
#define ROUNDS (HF_HAS_ASAN ? 80 : 240)

struct race {
    struct whole w;
    struct fixture *f;
    char *box;
    char *outside; /* root's */
    char *home;    /* the neighbour's: where root restores into */
    pid_t neighbour;
};

/* --- the neighbour: system calls only ------------------------------------------------------- */

struct names {
    char home[160];
    char away[160]; /* in a directory of his, too */
    char parent[160];
    char parent_away[160];
    char data[160];
    char data_away[160];
    char spaces[160];
    char inside[4][192]; /* names in the target, for when he gets in */
    char outside[160];
};

static void names_fill(struct names *n, const struct race *r)
{
    static const char *const inside[] = {"base", "global", "pg_wal", "PG_VERSION"};

    (void)snprintf(n->home, sizeof(n->home), "%s", r->home);
    (void)snprintf(n->away, sizeof(n->away), "%s/away", r->home);
    (void)snprintf(n->parent, sizeof(n->parent), "%s/parent", r->home);
    (void)snprintf(n->parent_away, sizeof(n->parent_away), "%s/away/parent", r->home);
    (void)snprintf(n->data, sizeof(n->data), "%s/parent/data", r->home);
    (void)snprintf(n->data_away, sizeof(n->data_away), "%s/away/data", r->home);
    (void)snprintf(n->spaces, sizeof(n->spaces), "%s/parent/spaces", r->home);
    (void)snprintf(n->outside, sizeof(n->outside), "%s", r->outside);
    for (size_t i = 0; i < HF_LEN(inside); i++) {
        (void)snprintf(n->inside[i], sizeof(n->inside[i]), "%s/parent/data/%s", r->home, inside[i]);
    }
}

static void swap(const char *path, const char *away, const char *outside)
{
    if (rename(path, away) == 0) {
        (void)!symlink(outside, path);
        (void)unlink(path);
        (void)!rename(away, path);
    } else if (symlink(outside, path) == 0) {
        (void)unlink(path);
    }
}

static void enter(const struct names *n)
{
    for (size_t i = 0; i < HF_LEN(n->inside); i++) {
        (void)!symlink(n->outside, n->inside[i]);
        (void)!rename(n->inside[i], n->data_away);
        (void)unlink(n->data_away);
    }
}

static _Noreturn void neighbour_main(const struct names *n, unsigned kind)
{
    if (setgroups(0, NULL) != 0 || setgid(NEIGHBOUR) != 0 || setuid(NEIGHBOUR) != 0) {
        _exit(1);
    }
    for (;;) {
        if (kind % 4 == 0) {
            swap(n->data, n->data_away, n->outside);
        } else if (kind % 4 == 1) {
            swap(n->parent, n->parent_away, n->outside);
        } else if (kind % 4 == 2) {
            swap(n->spaces, n->data_away, n->outside);
        } else {
            (void)!mkdir(n->data, 0777);
            enter(n);
            (void)rmdir(n->data);
        }
    }
}

/* --- rounds --------------------------------------------------------------------------------- */

static void make_home(struct race *r)
{
    static const char *const dirs[] = {"", "/parent", "/away"};

    assert_ok(hf_remove_tree(r->f->ctx.arena, r->home));
    for (size_t i = 0; i < HF_LEN(dirs); i++) {
        const char *path = hf_printf(r->f->ctx.arena, "%s%s", r->home, dirs[i]);

        assert_int_equal(mkdir(path, 0755), 0);
        assert_int_equal(chown(path, NEIGHBOUR, NEIGHBOUR), 0);
    }
}

static void neighbour_start(struct race *r, unsigned kind)
{
    struct names names;

    names_fill(&names, r);
    r->neighbour = fork();
    assert_true(r->neighbour >= 0);
    if (r->neighbour == 0) {
        neighbour_main(&names, kind);
    }
}

static void neighbour_end(struct race *r)
{
    int how = 0;

    assert_int_equal(kill(r->neighbour, SIGKILL), 0);
    assert_int_equal(waitpid(r->neighbour, &how, 0), r->neighbour);
    assert_true(WIFSIGNALED(how));
}

static struct hf_status play(struct race *r, unsigned round)
{
    struct hf_arena *arena = r->f->ctx.arena;

    make_home(r);
    const char *before = canary_snapshot(arena, r->box, r->home);

    r->w.options.has_owner = round % 2 == 0; /* else as the parent, which is his */
    r->w.options.owner_uid = r->w.options.owner_gid = NEIGHBOUR;
    r->w.options.tablespaces_into = hf_printf(arena, "%s/parent/spaces", r->home);
    neighbour_start(r, round);
    struct hf_status status = whole_run(&r->w);

    neighbour_end(r);
    assert_string_equal(before, canary_snapshot(arena, r->box, r->home));
    return status;
}

/* What is said of it is a refusal that names its reason, or that something is there or gone. */
static void test_race__nothing_is_written_outside(void **state)
{
    struct fixture *f = *state;
    struct race r = {.f = f};
    const char *text = getenv("HOLDFAST_HOSTILE_ROUNDS");
    uint64_t rounds = ROUNDS;
    size_t done = 0;
    size_t refused = 0;

    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(chmod(f->dir, 0755), 0);
    whole_make(&r.w, f, "/srv/space");
    r.box = hf_printf(f->ctx.arena, "%s/box", f->dir);
    r.outside = hf_printf(f->ctx.arena, "%s/outside", r.box);
    r.home = hf_printf(f->ctx.arena, "%s/home", r.box);
    canary_make(f->ctx.arena, r.outside);
    r.w.dir = r.w.options.dir = hf_printf(f->ctx.arena, "%s/parent/data", r.home);
    r.w.options.target = (struct restore_target){.kind = RESTORE_IMMEDIATE};
    if (text != NULL) {
        assert_true(hf_parse_u64(text, &rounds));
    }
    for (uint64_t round = 0; round < rounds; round++) {
        struct hf_status status = play(&r, (unsigned)round);

        done += hf_is_ok(status);
        refused += !hf_is_ok(status);
        assert_int_not_equal(status.code, HF_UNKNOWN);
    }
    print_message("%zu restored, %zu refused\n", done, refused);
    assert_true(rounds < ROUNDS || refused > 0); /* he was there */
    whole_done(&r.w);
}

static int set_up(void **state)
{
    return fixture_setup_in(state, access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_race__nothing_is_written_outside, set_up,
                                        fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

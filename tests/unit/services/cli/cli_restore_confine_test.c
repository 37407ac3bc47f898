/* A restore that writes elsewhere after all is stopped by the kernel. In a child: what it gave up
 * does not come back. */
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "cli/restore_confine.h"
#include "tests/unit/libs/restore/whole_fixture.h"

enum outcome { AS_EXPECTED = 0, NOT_RESTORED = 2, WROTE_OUTSIDE = 3, RAN_A_PROGRAM = 4 };

static bool can_create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static enum outcome restore_and_try(struct whole *w, const struct restore_confine *confine,
                                    const char *outside)
{
    char *const words[] = {(char[]){"/bin/true"}, NULL};
    struct hf_status status = whole_run(w);

    if (!hf_is_ok(status)) {
        print_message("%s\n", status.message);
        return NOT_RESTORED;
    }
    if (confine->confinement.landlock > 0 &&
        (can_create(outside) ||
         can_create(hf_path_join(w->h.f->ctx.arena, w->h.f->dir, "vault/new")) ||
         rename(w->dir, outside) == 0 || symlink("/", outside) == 0)) {
        return WROTE_OUTSIDE;
    }
    if (!can_create(whole_path(w, "new"))) {
        return NOT_RESTORED;
    }
    (void)execv(words[0], words);
    return errno == EPERM ? AS_EXPECTED : RAN_A_PROGRAM;
}

static void test_restore_confine__holds_a_restore_to_its_directories(void **state)
{
    struct fixture *f = *state;
    const char *outside = hf_printf(f->ctx.arena, "%s/outside", f->dir);
    struct restore_confine confine = {.vault = hf_printf(f->ctx.arena, "%s/vault", f->dir)};
    struct whole w;
    int how = 0;

    whole_make(&w, f, "/srv/space");
    w.options.tablespaces_into = hf_printf(f->ctx.arena, "%s/spaces", f->dir);
    w.options.confine = restore_confine;
    w.options.confine_arg = &confine;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        _exit((int)restore_and_try(&w, &confine, outside));
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    assert_int_equal(WEXITSTATUS(how), AS_EXPECTED);
    whole_assert_restored(&w);
    assert_false(hf_path_exists(outside));
    whole_done(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        fixture_test(test_restore_confine__holds_a_restore_to_its_directories),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

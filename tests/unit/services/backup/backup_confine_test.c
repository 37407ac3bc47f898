/* What the service may write once it is confined: its state, never its keys. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backup/config.h"
#include "backup/confine.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/fd.h"
#include "base/str.h"
#include "tests/unit/unit.h"

#define MARK "holdfast-epoch 1 3 4\n"

/* In a child: confinement is for good. */
static int errno_of_writing(struct hf_arena *arena, const struct svc_confine_rules *rules,
                            const char *path)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct svc_confinement on;
        int fd = hf_is_ok(svc_confine(arena, rules, &on))
                     ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)
                     : -1;

        _exit(fd >= 0 ? 0 : errno);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_confine__keys_are_read_only_and_their_epoch_goes(void **state)
{
    HF_CLEANUP(hf_arena_free) struct hf_arena *arena = hf_arena_new((size_t)1 << 20);
    HF_CLEANUP(hf_buf_done) struct hf_buf text = {0};
    char home[] = "/tmp/hf-confine-test-XXXXXX";
    struct svc_confine_rules rules = {0};
    (void)state;

    assert_non_null(mkdtemp(home));
    const char *keys = hf_path_join(arena, home, "keys");
    const char *old = hf_path_join(arena, keys, "epoch");
    const struct backup_config config = {
        .vault_dir = hf_path_join(arena, home, "vault"),
        .cache_dir = hf_path_join(arena, home, "cache"),
        .vault_key_file = hf_path_join(arena, keys, "vault.key"),
        .epoch_file = hf_path_join(arena, home, "state/epoch"),
    };

    assert_true(hf_is_ok(hf_make_dirs(arena, keys, 0700)));
    assert_true(hf_is_ok(hf_create_file(arena, old, MARK, strlen(MARK), 0600)));
    assert_true(hf_is_ok(backup_confine(arena, &config, &rules)));
    assert_false(hf_path_exists(old));
    hf_buf_init(&text, 256);
    assert_true(hf_is_ok(hf_read_file(arena, config.epoch_file, &text)));
    assert_string_equal(hf_buf_text(&text), MARK);
    if (svc_confine_available().landlock > 0) {
        assert_int_equal(errno_of_writing(arena, &rules, old), EACCES);
        assert_int_equal(errno_of_writing(arena, &rules, config.vault_key_file), EACCES);
        assert_int_equal(errno_of_writing(arena, &rules, config.epoch_file), 0);
    }
    assert_true(hf_is_ok(hf_remove_tree(arena, home)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_confine__keys_are_read_only_and_their_epoch_goes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
